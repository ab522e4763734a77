import re

import pytest

from mixlens.analysis.interface import Arm
from mixlens.analysis.presentation.names import LONGEST, colours, label, short, visible


def arms(*names, study="s"):
    return [Arm(study, name) for name in names]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("fmix-official", "FMix (official code)"),
        ("fmix(alpha=0.2)", "FMix (alpha=0.2)"),
        ("my.mod:make(k=1)", "my.mod:make (k=1)"),
        ("mine", "mine"),
        ("mine [v2]", "mine [v2]"),
        ("mine (v2)", "mine (v2)"),
        ("fmix [v2]", "fmix [v2]"),  # a name of a user's own, and no FMix of another study
        ("", ""),
    ],
)
def test_known_names_are_spelt_as_people_know_them_and_others_as_they_were_given(name, text):
    assert label(name) == text
    assert label(name, "a study") == f"{text} [a study]"


def test_letters_that_cannot_be_seen_are_escaped():
    assert label("a\nb", "c\u202ed") == r"a\nb [c\u202ed]"
    assert visible("é ✓ x̂") == "é ✓ x̂"


def test_a_long_name_has_its_middle_left_out():
    name = "a" * 40 + "b" * 40
    assert LONGEST - 1 <= len(short(name)) <= LONGEST
    assert short(name).startswith("aaa")
    assert short(name).endswith("bbb")
    assert short("fmix") == "fmix"


def test_known_augmentations_of_the_first_study_have_their_colour_whatever_is_beside_them():
    many = arms("baseline", "mixup", *(f"own:{i}" for i in range(9)))
    assert colours(many)[Arm("s", "mixup")] == colours(arms("mixup"))[Arm("s", "mixup")]
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours(many).values())


def test_several_arms_are_told_apart():
    several = arms("fmix+mixup", "mixup(alpha=2.0)", "cutmix+mixup", "fmix(alpha=0.2)", "own:a", "own:b", "own:c")
    assert len(set(colours(several).values())) == len(several)
    beside = [*arms("baseline", "fmix"), *arms("baseline", "fmix", study="other")]
    assert len(set(colours(beside).values())) == 4, "the same augmentations of another study have other colours"
    assert colours(beside)[Arm("s", "fmix")] == colours(arms("fmix"))[Arm("s", "fmix")]
