"""Which networks of a report lie on a line over a parameter."""

from pathlib import Path

from mixlens.analysis.interface import Arm
from mixlens.analysis.store.record import StudyRecord, combine
from mixlens.reports.scale import over_arguments, over_settings, settings_varied


def part(name="s", *augmentations, train_size=None, sweep="", **sections):
    settings = {"data": "photos", "seeds": [0], "sections": ["vae"], "train_size": train_size, "sweep": sweep}
    settings |= {"augmentations": list(augmentations or ("baseline", "mixup")), "aliases": {}, **sections}
    return StudyRecord(Path(), name, "", settings, "", Path(), (), train_images=train_size or 50000)


def lines(parameters):
    return {each.name: {line.name: line.points for line in each.lines} for each in parameters}


def test_an_argument_is_a_parameter_of_each_augmentation_that_has_several_values():
    names = ("baseline", "mixup", "mixup(alpha=5.0)", "fmix(alpha=0.2)", "fmix", "fmix(decay_power=1.0)", "cutmix")
    record = part("s", *names)
    found = over_arguments(record, record.arms)
    arm = record.arm
    assert lines(found) == {
        "alpha": {
            "MixUp": {1.0: arm("mixup"), 5.0: arm("mixup(alpha=5.0)")},
            "FMix": {0.2: arm("fmix(alpha=0.2)"), 1.0: arm("fmix")},
        },
        "decay_power": {"FMix": {3.0: arm("fmix"), 1.0: arm("fmix(decay_power=1.0)")}},
    }
    assert [each.values for each in found] == [(0.2, 1.0, 5.0), (1.0, 3.0)]
    assert all(each.numeric and not each.setting for each in found)


def test_what_differs_in_another_argument_is_another_line():
    record = part("s", *(f"my:a(kind={kind!r},width={width})" for kind in ("x", "y") for width in (2, 4)))
    found = lines(over_arguments(record, record.arms))
    assert list(found["width"]) == ["my:a (kind='x')", "my:a (kind='y')"]
    assert list(found["kind"]) == ["my:a (width=2)", "my:a (width=4)"]
    lone = part("s", "my:a", "my:a(width=2)")
    assert over_arguments(lone, lone.arms) == [], "an unwritten argument of a user's own is not known"


def test_settings_in_which_studies_differ():
    sizes = [part(f"s ({size})", train_size=size, sweep="s") for size in (2500, 10000, None)]
    record = combine(sizes, mixed=True)
    (found,) = over_settings(record, record.arms)
    assert (found.name, found.values, found.words) == ("train_size", (2500, 10000, 50000), "training images")
    assert lines([found])["train_size"]["MixUp"][50000] == Arm("s (None)", "mixup")
    assert record.label(Arm("s (2500)", "mixup")) == "MixUp [train_size=2500]"
    assert record.label(Arm("s (None)", "mixup")) == "MixUp [train_size=all]"


def test_of_a_product_each_setting_has_a_line_for_every_value_of_the_others():
    points = [
        part(f"s ({size}, {epochs})", train_size=size, sweep="s", vae={"epochs": epochs})
        for size in (100, 200)
        for epochs in (1, 2)
    ]
    record = combine(points, mixed=True)
    found = lines(over_settings(record, record.arms))
    assert list(found["train_size"]) == [
        *("Baseline [epochs=1]", "MixUp [epochs=1]", "Baseline [epochs=2]", "MixUp [epochs=2]")
    ]
    assert list(found["vae.epochs"])[:2] == ["Baseline [train_size=100]", "MixUp [train_size=100]"]
    assert record.label(Arm("s (200, 1)", "mixup")) == "MixUp [train_size=200, epochs=1]"


def test_a_network_is_its_width_and_words_are_no_number():
    wide = [part(f"s ({width})", classifier={"model": f"net(width={width})"}) for width in (16, 8)]
    (found,) = settings_varied(combine(wide, mixed=True))
    assert (found.name, found.short, found.values, found.numeric) == ("classifier.model.width", "width", (8, 16), True)
    modes = [part(f"s ({mode})", vae={"mix_mode": mode}) for mode in ("elem", "batch")]
    (found,) = settings_varied(combine(modes, mixed=True))
    assert (found.values, found.numeric) == (("elem", "batch"), False)


def test_studies_of_one_design_and_of_other_lists_have_no_parameter():
    assert settings_varied(combine([part("a"), part("b", "baseline", "fmix")], mixed=True)) == []
    lists = [part("a", vae={"milestones": [0.4]}), part("b", vae={"milestones": [0.5]})]
    assert settings_varied(combine(lists, mixed=True)) == []


def test_an_arm_that_was_not_measured_is_on_no_line():
    record = combine([part("a", train_size=1), part("b", train_size=2)], mixed=True)
    arms = [arm for arm in record.arms if arm != Arm("b", "mixup")]
    assert list(lines(over_settings(record, arms))["train_size"]) == ["Baseline"]


def test_aliases_name_a_line():
    record = part("s", "baseline", "my:a(width=2)", "my:a(width=4)")
    record.settings["aliases"] = {f"my:a(width={width})": f"stripes(width={width})" for width in (2, 4)}
    assert list(lines(over_arguments(record, record.arms))["width"]) == ["stripes"]
    assert record.label(record.arm("my:a(width=2)")) == "stripes (width=2)"
