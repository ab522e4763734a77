import re

import pytest

from mixlens.analysis.errors import InputError
from mixlens.analysis.interface import Arm
from mixlens.analysis.presentation.names import LONGEST, check_aliases, colours, label, short, visible
from mixlens.analysis.presentation.shades import luminance


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


def test_an_augmentation_has_one_hue_from_light_to_dark_in_order_of_its_values():
    names = ["fmix(alpha=5.0)", "fmix(alpha=0.2)", "fmix", "fmix(alpha=2.0)", "baseline"]
    palette = {arm.augmentation: colour for arm, colour in colours(arms(*names)).items()}
    ascending = ["fmix(alpha=0.2)", "fmix", "fmix(alpha=2.0)", "fmix(alpha=5.0)"]
    levels = [luminance(palette[name]) for name in ascending]
    assert levels == sorted(levels, reverse=True)
    assert palette["fmix"] == colours(arms("fmix"))[Arm("s", "fmix")], "the known one has its own colour among them"
    assert palette["baseline"] == colours(arms("baseline"))[Arm("s", "baseline")]
    own = colours(arms("my:a(width=8)", "my:a(width=16)", "my:b"))
    assert luminance(own[Arm("s", "my:a(width=8)")]) > luminance(own[Arm("s", "my:a(width=16)")]), "numbers, not text"


def test_an_augmentation_of_several_studies_goes_from_light_to_dark_in_their_order():
    several = [Arm(study, name) for study in ("b", "a", "c") for name in ("baseline", "mixup")]
    palette = colours(several)
    levels = [luminance(palette[Arm(study, "mixup")]) for study in ("b", "a", "c")]
    assert levels == sorted(levels, reverse=True)
    assert len(set(palette.values())) == 6


def test_colours_of_a_few_are_those_that_they_have_among_all():
    every = arms("own:a", "own:b", "own:c")
    assert colours(every[2:], among=every)[every[2]] == colours(every)[every[2]] != colours(every[2:])[every[2]]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "a"], "two augmentations are named 'a'"),
        (["FMix"], "cannot be named 'FMix'"),
        (["baseline"], "cannot be named 'baseline'"),
        (["mixup(width=2)"], "cannot be named 'mixup'"),
    ],
)
def test_a_name_that_means_another_is_refused(names, message):
    with pytest.raises(InputError, match=re.escape(message)):
        check_aliases(names)
    check_aliases(["a", "b", "a(width=2)"])
