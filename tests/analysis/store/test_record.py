"""The record of a study: whose rows they are, what stands beside what, and what each is compared with."""

from dataclasses import replace

import numpy as np
import pytest

from mixlens.analysis.errors import InputError
from mixlens.analysis.interface import Arm, Row
from mixlens.analysis.store.record import TaskRecord, combine, read_record, write_record
from mixlens.analysis.store.results import write_rows
from mixlens.analysis.store.runs import Run

SETTINGS = {
    "data": "photos",
    "train_size": None,
    "augmentations": ["baseline", "mixup"],
    "seeds": [0],
    "sections": ["s"],
}


@pytest.fixture
def study(tmp_path):
    """Makes a study: a run for each augmentation and seed, with one row and one array each, of one section."""

    def make(name, augmentations=("baseline", "mixup"), seeds=(0,), value=1.0, **settings):
        runs, tasks = tmp_path / "runs", []
        for augmentation in augmentations:
            for seed in seeds:
                run = Run(runs / f"s-{name}-{len(tasks)}".replace(" ", "-").replace("[", "-").replace("]", "-"))
                run.path.mkdir(parents=True)
                row = Row(run.path.name, "another", "s", "photos", "test", augmentation, "net", seed, "q", value, "", 9)
                write_rows(run, [replace(row, params={"k": 1}), replace(row, value=2 * value, params={"k": 2})], 1.0)
                run.write_arrays({"right": np.full(3, value)})
                tasks.append(TaskRecord(run.path.name, "s-measure", "s", "measure", (), "done"))
        own = SETTINGS | {"augmentations": list(augmentations), "seeds": list(seeds)} | settings
        folder = tmp_path / name
        write_record(folder, name=name, command=f"run {name}", settings=own, started="2026", runs=runs, tasks=tasks)
        return read_record(folder)

    return make


def networks(record):
    return {(row.study, row.augmentation, row.seed) for row in record.rows()}


def test_what_is_written_is_read_again(study):
    record = study("one")
    assert (record.name, record.command, record.study) == ("one", "run one", "one")
    assert record.arms == [Arm("one", "baseline"), Arm("one", "mixup")]
    assert networks(record) == {("one", "baseline", 0), ("one", "mixup", 0)}


def test_params_are_columns_and_terms_are_keyed_by_arm_and_seed(study):
    record = study("one", seeds=(0, 3))
    table = record.table("s")
    assert list(table["k"]) == [1, 2] * 4
    assert list(table.loc[table["k"] == 2, "value"]) == [2.0] * 4
    assert table["arm"][0] == Arm("one", "baseline")
    terms = record.terms("s", "right", k=2)
    assert terms.keys() == {(Arm("one", name), seed) for name in ("baseline", "mixup") for seed in (0, 3)}
    assert all((values == 1).all() for values in terms.values())
    assert len(record.table("nothing")) == 0


# Side by side


def test_studies_of_one_design_are_one(study):
    both = combine([study("one"), study("two", ["cutmix"], seeds=(0, 1), value=3.0)])
    assert networks(both) == {("one", "baseline", 0), ("one", "mixup", 0), ("one", "cutmix", 0), ("one", "cutmix", 1)}
    assert both.settings["seeds"] == [0, 1]
    assert [both.label(arm) for arm in both.arms] == ["Baseline", "MixUp", "CutMix"]


@pytest.mark.parametrize("name", ["two", "mine [v2]", "a]", "[b", "baseline"])
def test_an_arm_of_another_design_has_its_own_studys_baseline(study, name):
    """Names are for people: whatever a study is called, its networks are told apart and compared as they should be."""
    other = study(name, ["baseline", "mixup", "fmix [x]"], train_size=9, subset_seed=9, value=5.0)
    both = combine([study("one", subset_seed=0), other], mixed=True)
    assert networks(both) == {
        *(("one", augmentation, 0) for augmentation in ("baseline", "mixup")),
        *((name, augmentation, 0) for augmentation in ("baseline", "mixup", "fmix [x]")),
    }
    terms = both.terms("s", "right", k=1)
    for arm in both.arms:
        assert arm.baseline == Arm(arm.study, "baseline")
        assert (terms[arm.baseline, 0] == (1 if arm.study == "one" else 5)).all()
        assert arm.is_baseline == (arm.augmentation == "baseline")
    assert [both.label(arm) for arm in both.arms if arm.study == name][1] == f"MixUp [{name}]"


def test_an_augmentation_whose_name_ends_in_a_bracket_has_a_baseline(study):
    """As of weights that were brought: ``--weights baseline=… "mine [v2]=…"``."""
    record = study("one", ["baseline", "mine [v2]"])
    mine = record.arms[1]
    assert mine.baseline == record.arms[0]
    assert record.label(mine) == "mine [v2]"


def test_other_designs_are_refused_unless_they_may_be_mixed(study):
    with pytest.raises(InputError, match=r"'one' and 'two' have other settings of train_size\. Give --mixed"):
        combine([study("one"), study("two", train_size=9)])


def test_two_designs_of_one_name_are_numbered(study, tmp_path):
    first, second = study("one"), study("two", train_size=9)
    both = combine([first, replace(second, name="one")], mixed=True)
    assert {arm.study for arm in both.arms} == {"one", "one (2)"}


def test_two_studies_of_a_second_design_are_one_as_well(study):
    three = combine([study("one"), study("two", train_size=9), study("three", ["fmix"], train_size=9)], mixed=True)
    assert {arm.study for arm in three.arms} == {"one", "two"}
    assert Arm("two", "fmix") in three.arms


def test_what_an_earlier_study_did_not_finish_is_taken_from_a_later_one(study):
    whole = study("one")
    begun = replace(whole, tasks=tuple(replace(task, state="failed") for task in whole.tasks))
    assert networks(combine([begun, whole])) == networks(whole)


# What it refuses


def test_rows_of_another_run_are_damage(study):
    record = study("one")
    run = record.run(record.tasks[1].name)
    content = run.read_result()
    content["rows"][1]["run"] = "s-elsewhere"
    run.write_result(content)
    with pytest.raises(InputError, match=r"result\.json is damaged .*rows, number 2: of the run 's-elsewhere'"):
        record.rows()


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden"])
def test_a_task_leads_to_no_other_folder(name):
    with pytest.raises(ValueError, match="is no name of a run's folder"):
        TaskRecord(name, "kind", "s", "label", (), "done")


@pytest.mark.parametrize("key", ["data", "train_size", "augmentations", "seeds", "sections"])
def test_a_record_without_what_reports_read_is_refused(study, key, tmp_path):
    record = study("one")
    settings = {name: value for name, value in record.settings.items() if name != key}
    write_record(record.folder, name="one", command="", settings=settings, started="", runs=record.runs, tasks=())
    with pytest.raises(InputError, match=f"its settings have no {key}"):
        read_record(record.folder)


def test_an_older_record_says_what_to_do(study):
    """Before tasks said of which section they are."""
    path = study("one").folder / "study.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"section": "s",', ""), encoding="utf-8")
    with pytest.raises(
        InputError, match="Run the study again: that writes it anew and takes what is done from its runs"
    ):
        read_record(path.parent)


def test_rows_are_of_the_data_as_their_study_names_it(study):
    """A run is taken over from a study whose data were the same by another name."""
    record = study("mine", data="my_code.data:load")
    assert {(row.study, row.dataset) for row in record.rows()} == {("mine", "my_code.data:load")}


def test_a_table_follows_the_order_of_studies_and_of_their_augmentations(study):
    made = [study(name, ("mixup", "baseline"), seeds=(1, 0), subset_seed=place) for place, name in enumerate("ba")]
    turned = [replace(part, settings={**part.settings, "augmentations": ["baseline", "mixup"]}) for part in made]
    record = combine(turned, mixed=True)
    order = [(name, augmentation) for name in "ba" for augmentation in ("baseline", "mixup")]
    assert list(dict.fromkeys(record.table("s")["arm"])) == [Arm(*each) for each in order] == record.arms
    assert list(record.table("s")["seed"])[:4] == [1, 1, 0, 0], "of one augmentation as they were measured"
    assert [arm for arm, _ in record.terms("s", "right")][::2] == record.arms


def test_an_augmentation_has_the_name_that_its_study_gave_it(study):
    one = study("one", subset_seed=0, aliases={"mixup": "soft"})
    two = study("two", subset_seed=1, aliases={"mixup": "soft(a=2)"})
    record = combine([one, two], mixed=True)
    assert [record.label(arm) for arm in record.arms] == [
        *(
            f"{name} [subset_seed={n}]"
            for n, name in [(0, "Baseline"), (0, "soft"), (1, "Baseline"), (1, "soft (a=2)")]
        ),
    ]
    assert record.alias(Arm("one", "cutmix")) == "cutmix"
    assert combine([one, study("three", seeds=(1,))]).label(Arm("one", "mixup")) == "soft", "names make no design"


def test_points_of_a_sweep_are_told_apart_by_their_values(study):
    points = [study(f"m (train_size={n})", sweep="m", train_size=n) for n in (10, None)]
    record = combine(points, mixed=True)
    assert record.name == "m"
    assert [record.label(arm) for arm in record.arms[::2]] == ["Baseline [train_size=10]", "Baseline [train_size=all]"]
    assert [points[0].label(arm) for arm in points[0].arms] == ["Baseline", "MixUp"], "one alone needs no more"
    apart = combine([study("one", train_size=10), study("two", train_size=20)], mixed=True)
    assert [apart.label(arm) for arm in apart.arms[::2]] == ["Baseline [train_size=10]", "Baseline [train_size=20]"]
    beside = combine([*points, study("other", subset_seed=3)], mixed=True)
    assert beside.label(Arm("other", "mixup")) == "MixUp [other]"


def test_a_study_called_as_the_sweep_is_another(study):
    record = combine([study("m (train_size=10)", train_size=10), study("m", train_size=20)], mixed=True)
    assert {row.study for row in record.rows()} == {"m (train_size=10)", "m"}
