import json
import re

import pytest
import torch
from torchvision.transforms import v2

from mixlens.analysis.data import sub_policies as module
from mixlens.analysis.data.loader import Transforms
from mixlens.analysis.data.operations import OPERATIONS
from mixlens.analysis.data.sub_policies import Step, SubPolicies, autoaugment, fast_autoaugment, randaugment
from mixlens.analysis.data.sub_policies import read_transforms as read
from mixlens.analysis.errors import InputError

TWO = [[["Invert", 1, 0.1], ["TranslateX", 0.5, 1.0]], [["Cutout", 0.25, 0.5], ["Color", 0.0, 0.75]]]


def pictures(channels=3, count=64):
    return torch.randint(
        0, 256, (count, channels, 12, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def uniform(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return lambda rows: torch.rand(rows, count, generator=generator)


def file(folder, values=TWO, name="policies.json"):
    path = folder / name
    path.write_text(values if isinstance(values, str) else json.dumps(values), encoding="utf-8")
    return str(path)


def named(path, **more):
    return f"fast-autoaugment(path={path!r}{''.join(f',{k}={v!r}' for k, v in more.items())})"


# what they hold


def test_autoaugment_is_torchvisions_policy_with_its_strengths():
    ours, theirs = autoaugment(), v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)
    space = theirs._AUGMENTATION_SPACE
    assert len(ours.listed) == len(theirs._policies) == 25
    for steps, listed in zip(ours.listed, theirs._policies, strict=True):
        for step, (name, chance, place) in zip(steps, listed, strict=True):
            magnitudes, mirrored = space[name]
            strength = magnitudes(10, 1, 1)  # a translation of an image one pixel wide: in widths
            number = 0.0 if strength is None else float(strength[place])
            number *= 255 if name == "Solarize" else 1
            assert step.chance == chance
            assert step.strength == pytest.approx(number, abs=1e-5)
            assert step.mirrored is mirrored


@pytest.mark.parametrize("m", [0, 9, 30])
def test_randaugment_has_torchvisions_operations_and_strengths(m):
    ours, space = randaugment(3, m), v2.RandAugment()._AUGMENTATION_SPACE
    assert ours.rounds == 3
    assert len(ours.listed) == len(space) == 14
    assert {step.chance for (step,) in ours.listed} == {1}
    told = {step.operation: (step.strength, step.mirrored) for (step,) in ours.listed}
    for name, (operation, _, _) in module.TORCHVISION.items():
        magnitudes, mirrored = space.get(name, (lambda *_: None, False))
        strength = magnitudes(31, 1, 1)
        number = 0.0 if strength is None else float(strength[m]) * (255 if name == "Solarize" else 1)
        if name in space:
            assert told[operation] == (pytest.approx(number, abs=1e-4), mirrored)


def test_levels_of_fast_autoaugment_span_the_published_ranges(tmp_path):
    ends = {
        "ShearX": (-0.3, 0.3), "TranslateY": (-0.45, 0.45), "Rotate": (-30, 30), "Solarize": (0, 256),
        "Posterize": (4, 8), "Brightness": (-0.9, 0.9), "Sharpness": (-0.9, 0.9), "Cutout": (0, 0.2),
        "Equalize": (0, 0),
    }  # fmt: skip
    listed = fast_autoaugment(file(tmp_path, [[[name, 0.5, 0], [name, 0.5, 1]] for name in ends])).listed
    for steps, (low, high) in zip(listed, ends.values(), strict=True):
        assert [step.strength for step in steps] == pytest.approx([low, high])
        assert [step.chance for step in steps] == [0.5, 0.5]
    assert [steps[0].mirrored for steps in listed] == [True, True, True, False, False, False, False, False, False]


def test_the_authors_file_is_read_and_not_run(tmp_path):
    others = "raise SystemExit\n\ndef fa_other():\n    return [1]\n\n"
    text = f"{others}def fa_reduced_cifar10():\n    p = {TWO!r}\n    return p\n"
    python = fast_autoaugment(file(tmp_path, text, "archive.py"))
    assert python == fast_autoaugment(file(tmp_path))
    assert [step.operation for step in python.listed[0]] == ["invert", "shift-x"]


# what they do


@pytest.mark.parametrize("channels", [1, 3])
def test_chances_and_sides_come_out(channels):
    """Of two sub-policies: one inverts, or not, with chance 0.3; the other shifts to either side."""
    half = SubPolicies(((Step("invert", 0.3),), (Step("translate-x", 1.0, 0.25, True),)))
    x = torch.full((8000, channels, 4, 4), 50, dtype=torch.uint8)
    out = half(x, uniform(8000)).float().mean(1)
    inverted, left = (out == 205).all((1, 2)), (out[:, :, 3] == 0).all(1)
    right, same = (out[:, :, 0] == 0).all(1), (out == 50).all((1, 2))
    shares = [which.float().mean().item() for which in (inverted, same, left, right)]
    assert shares == pytest.approx([0.15, 0.35, 0.25, 0.25], abs=0.02)
    assert sum(shares) == pytest.approx(1)
    assert (x == 50).all(), "the data set's own images are as they were"


def test_steps_follow_each_other_and_rounds_too():
    """Solarize above 128 and then invert: 200 → 55 → 200, 100 → 100 → 155; and back in a second round."""
    steps = (Step("solarize", 1.0, 128.0), Step("invert", 1.0))
    x = torch.tensor([200, 100], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 1, 3, 3)
    assert SubPolicies((steps,))(x, uniform(2))[:, 0, 0, 0].tolist() == [200, 155]
    assert SubPolicies((steps,), rounds=2)(x, uniform(2))[:, 0, 0, 0].tolist() == [200, 155]  # 155 → 100 → 155


@pytest.mark.parametrize("policies", [autoaugment(), randaugment(2, 20)], ids=["autoaugment", "randaugment"])
@pytest.mark.parametrize("channels", [1, 3])
def test_all_images_at_once_is_each_operations_images_alone(policies, channels, monkeypatch):
    """As on a GPU, where each operation sees the whole batch and of the others' images nothing is kept."""
    x = pictures(channels)
    alone = policies(x, uniform(len(x)))
    assert not torch.equal(alone, x)

    def whole(images, number, strength, places, names):
        for name in names:
            chosen = (number == module._NUMBERS[name]).view(-1, 1, 1, 1)
            images = torch.where(chosen, OPERATIONS[name](images, strength, places), images)
        return images

    monkeypatch.setattr(module, "_applied", whole)
    assert torch.equal(policies(x, uniform(len(x))), alone)


def test_the_same_seed_draws_the_same_and_always_as_much():
    x, policies = pictures(), randaugment(2, 9)
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 1, 2)]
    first, again, other = (
        Transforms(policies=policies, flip=True, crop_padding=2)(x, generator=each) for each in generators
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    never = SubPolicies(tuple((step._replace(chance=0.0),) for (step,) in policies.listed), rounds=2)
    left = torch.Generator().manual_seed(1)
    Transforms(policies=never, flip=True, crop_padding=2)(x, generator=left)
    assert torch.equal(left.get_state(), generators[0].get_state()), "what follows is not moved by what came out"


def test_they_come_before_flip_and_crop():
    """Black images are inverted to white; the zeros that cropping brings in stay black."""
    x = torch.zeros(200, 3, 8, 8, dtype=torch.uint8)
    policies = SubPolicies(((Step("invert", 1.0),),))
    out = Transforms(flip=True, crop_padding=2, policies=policies)(x, generator=torch.Generator().manual_seed(0))
    assert set(out.unique().tolist()) == {0, 1}
    assert (out[:, :, 2:-2, 2:-2] == 1).all()
    assert out.mean() > 0.6


def test_none_draws_nothing():
    x, generators = pictures(), [torch.Generator().manual_seed(1) for _ in range(2)]
    plain = Transforms(flip=True, crop_padding=2)
    assert plain == Transforms(True, 2, 0.0, None)
    assert torch.equal(plain(x, generator=generators[0]), Transforms(True, 2)(x, generator=generators[1]))


@pytest.mark.parametrize("images", [torch.rand(2, 3, 8, 8), torch.zeros(2, 4, 8, 8, dtype=torch.uint8)])
def test_other_images_are_refused(images):
    with pytest.raises(InputError, match="bytes with 1 or 3 channels"):
        autoaugment()(images, uniform(2))


# by name


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", ""),
        ("none", ""),
        ("autoaugment", "autoaugment"),
        ("randaugment(n=2,m=9)", "randaugment"),
        ("randaugment(n=3)", "randaugment(n=3)"),
    ],
)
def test_what_is_the_same_has_one_name(text, canonical):
    assert read(text).text == canonical
    assert (read(text).policies is None) == (not canonical)


def test_a_file_is_known_by_what_it_holds(tmp_path):
    json_, python = file(tmp_path), file(tmp_path, f"def fa_reduced_cifar10():\n    return {TWO!r}\n", "archive.py")
    texts = [read(named(path)).text for path in (json_, python)]
    digests = [re.search(r"policies='(\w{64})'", text)[1] for text in texts]
    assert digests[0] == digests[1]
    assert read(texts[0]).text == texts[0], "its text is read as it was written"
    file(tmp_path, TWO[:1])
    with pytest.raises(InputError, match="others than when the study began"):
        read(texts[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("randaugmnet", "Did you mean 'randaugment'"),
        ("randaugment(k=2)", "unknown argument"),
        ("randaugment(n=0)", "1 to 100, got 0"),
        ("randaugment(m=31)", "0 to 30, got 31"),
        ("randaugment(m=2.5)", "0 to 30, got 2.5"),
        ("autoaugment(policy='svhn')", "unknown argument"),
        ("fast-autoaugment", "needs the file of its sub-policies"),
        ("fast-autoaugment(path=3)", "needs the file of its sub-policies"),
        ("fast-autoaugment(path='gone.json')", "the sub-policies of fast-autoaugment in 'gone.json': No such file"),
    ],
)  # fmt: skip
def test_another_name_is_one_message(text, message):
    with pytest.raises(InputError, match=re.escape(message)):
        read(text)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("[", "cannot read"),
        ([], "must be a list of sub-policies"),
        ({"a": 1}, "must be a list of sub-policies"),
        ([[]], "number 1, must be a list of operations"),
        ([[["Invert", 0.5]]], "must be a list of operations [name, chance, level], got ['Invert', 0.5]"),
        ([TWO[0], [["Invrt", 0.5, 0.5]]], "number 2, has an unknown operation"),
        ([[["Invert", 0.5, 1.5]]], "no number of 0 to 1"),
        ([[["Invert", True, 0.5]]], "no number of 0 to 1"),
        ([TWO[0], TWO[0][:1]], "number 2 has 1 operations, the first 2"),
    ],
)
def test_a_file_of_something_else_is_one_message(values, message, tmp_path):
    with pytest.raises(InputError, match=re.escape(message)):
        fast_autoaugment(file(tmp_path, values))


@pytest.mark.parametrize("text", ["x = (", "x = 1\n", "def fa_reduced_cifar10():\n    return make()\n"])
def test_a_python_file_without_the_list_is_one_message(text, tmp_path):
    with pytest.raises(InputError, match=r"cannot read|has no function fa_reduced_cifar10"):
        fast_autoaugment(file(tmp_path, text, "archive.py"))
