import math
from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from mixlens.analysis.errors import InputError
from mixlens.analysis.interface import Arm, Estimate, Interval, Machine, Network, Study, Task

NATS = Estimate(
    2.0,
    0.5,
    4,
    "lower",
    interval=Interval(1.0, 3.0, 0.95, "Student t"),
    ceiling=math.log(8),
    saturated=True,
    samples=torch.tensor([1.0, 2.0, 2.0, 3.0]).double(),
    influence=torch.tensor([-1.0, 0.0, 0.0, 1.0]).double(),
)


def test_nats_to_bits():
    bits = NATS.to("bits")
    assert bits.value == pytest.approx(2 / math.log(2))
    assert bits.stderr == pytest.approx(0.5 / math.log(2))
    assert bits.interval == (pytest.approx(1 / math.log(2)), pytest.approx(3 / math.log(2)), 0.95, "Student t")
    assert bits.ceiling == pytest.approx(3), "8 to tell apart are 3 bits"
    assert torch.allclose(bits.samples, NATS.samples / math.log(2), rtol=1e-15)
    assert torch.allclose(bits.influence, NATS.influence / math.log(2), rtol=1e-15)
    assert (bits.unit, bits.n, bits.bound, bits.saturated) == ("bits", 4, "lower", True)


def test_bits_and_back():
    again = NATS.to("bits").to("nats")
    for name in ("value", "stderr", "ceiling"):
        assert getattr(again, name) == pytest.approx(getattr(NATS, name), rel=1e-15)
    assert again.interval[:2] == pytest.approx(NATS.interval[:2])
    assert torch.allclose(again.samples, NATS.samples, rtol=1e-15)
    assert torch.allclose(again.influence, NATS.influence, rtol=1e-15)
    assert (again.unit, again.n, again.bound, again.saturated) == ("nats", 4, "lower", True)


@pytest.mark.parametrize("unit", ["nats", "bits"])
def test_its_own_unit_changes_nothing(unit):
    given = NATS.to(unit)
    same = given.to(unit)
    assert same == given
    assert torch.equal(same.samples, given.samples)


def test_what_is_unknown_stays_unknown():
    bits = Estimate(1.0, None, 3, "none").to("bits")
    assert (bits.stderr, bits.interval, bits.ceiling, bits.samples, bits.influence) == (None,) * 5
    assert bits.value == pytest.approx(1 / math.log(2))


def test_zeros_stay_zeros():
    bits = replace(NATS, value=0.0, stderr=0.0, ceiling=0.0, interval=Interval(0.0, 0.0, 0.95, "Student t")).to("bits")
    assert (bits.value, bits.stderr, bits.ceiling) == (0, 0, 0)
    assert bits.interval == (0, 0, 0.95, "Student t")


@pytest.mark.parametrize(("own", "wanted"), [("nats", "bans"), ("1", "bits"), ("1", "1"), ("nats", "")])
def test_other_units_are_refused(own, wanted):
    with pytest.raises(InputError, match="nats or bits"):
        replace(NATS, unit=own).to(wanted)


@pytest.mark.parametrize("name", ["value", "stderr", "samples", "unit"])
def test_frozen(name):
    with pytest.raises(FrozenInstanceError):
        setattr(NATS, name, 1.0)


def test_conversion_leaves_the_original_alone():
    before = NATS.samples.clone()
    NATS.to("bits").samples.zero_()
    assert torch.equal(NATS.samples, before)
    assert NATS.unit == "nats"


def test_tensors_take_no_part_in_comparing_and_printing():
    assert replace(NATS, samples=None, influence=None) == NATS
    assert "tensor" not in repr(NATS)


# identity


@pytest.mark.parametrize("name", ["mine [v2]", "]", "baseline [x]", "fmix(alpha=0.2)", " ["])
def test_an_arm_is_compared_with_its_own_studys_baseline_whatever_its_name(name):
    arm = Arm("a study [b]", name)
    assert arm.baseline == Arm("a study [b]", "baseline")
    assert arm.baseline != Arm("a study", "baseline")
    assert not arm.is_baseline
    assert arm.baseline.is_baseline


def test_a_tasks_name_is_the_hash_of_what_determines_its_output():
    task = Task("kind", 1, "m:f", Machine(), "vae", "a label")
    same = replace(task, work="elsewhere:f", label="b", section="c", network=Network("fmix", 3, "m"), packages=("x",))
    assert same.name == task.name
    for change in (
        {"kind": "other"},
        {"version": 2},
        {"config": Machine(device="cuda")},
        {"data": "0" * 64},
        {"precision": "bf16"},
        {"inputs": (replace(task, kind="input"),)},
    ):
        assert replace(task, **change).name != task.name, change


def test_a_studys_settings_are_plain_values():
    described = Study(augmentations=("fmix",), seeds=(1, 2), settings={"m": Machine()}).describe()
    assert (described["augmentations"], described["seeds"], described["m"]["device"]) == (["fmix"], [1, 2], "auto")
    assert "settings" not in described


@pytest.mark.parametrize(("values", "words"), [({"threads": 0}, "threads must be at least 1, got 0")])
def test_what_a_machine_cannot_be(values, words):
    with pytest.raises(InputError, match=words):
        Machine(**values)
