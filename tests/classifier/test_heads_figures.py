"""Networks of one head each, over folds and seeds, as one table: the paper's Table 4."""

from dataclasses import replace

import numpy as np
import pytest
from terms import in_family

from mixlens.analysis.interface import Row
from mixlens.analysis.store.record import TaskRecord, combine, read_record, write_record
from mixlens.analysis.store.results import write_rows
from mixlens.analysis.store.runs import ENVIRONMENT, Run
from mixlens.classifier import figures
from mixlens.classifier.heads_figures import over_folds
from mixlens.reports import paper

MODEL = "timm:seresnext50_32x4d"
N = 8
# Which of eight images are right, of the root's network and of the vowel's: by fold, the baseline's and FMix's.
RIGHT = {
    "root": {0: ("11110000", "11111100"), 1: ("11111100", "11111110")},
    "vowel": {0: ("11000011", "11111111"), 1: ("00111111", "01111111")},
}


def study(folder, data, rights, params=(), model=MODEL, epochs=100):
    """A finished study of one seed, of which is known which images are right; ``params`` name its heads' arrays."""
    runs, tasks = folder / "runs", []
    for augmentation, right in rights.items():
        name = f"measure-{folder.name}-{augmentation}"
        run = Run(runs / name)
        run.path.mkdir(parents=True)
        run.write_json(ENVIRONMENT, {"torch": "2.0", "commit": None, "device": "cpu"})
        arrays = {key: np.array(list(map(int, text))) > 0 for key, text in right.items()}
        row = Row(name, folder.name, "classifier", "x", "test", augmentation, model, 0, "accuracy", 0.5, "fraction", N)
        each = [
            replace(row, value=float(array.mean()), ci_low=0.0, ci_high=1.0, stderr=0.1) for array in arrays.values()
        ]
        rows = [
            replace(one, params={"head": key}) if key in params else one for key, one in zip(arrays, each, strict=True)
        ]
        write_rows(run, [*rows, replace(row, quantity="nll", unit="nats"), replace(row, quantity="recall")], 1.0)
        run.write_arrays({f"accuracy:{key}" if key in params else "accuracy": array for key, array in arrays.items()})
        tasks.append(TaskRecord(name, "classifier-measure", "classifier", name, (), "done"))
    settings = {"data": data, "seeds": [0], "augmentations": list(rights), "sections": ["classifier"]}
    settings |= {"train_size": None, "classifier": {"model": model, "epochs": epochs}}
    place = folder / folder.name
    write_record(place, name=folder.name, command="x", settings=settings, started="2026", runs=runs, tasks=tasks)
    return read_record(place)


@pytest.fixture
def parts(tmp_path):
    return [
        study(
            tmp_path / f"{head}{fold}",
            f"bengali(fold={fold},head='{head}')",
            {"baseline": {"": texts[0]}, "fmix": {"": texts[1]}},
        )
        for head, by_fold in RIGHT.items()
        for fold, texts in by_fold.items()
    ]


def test_whole_labels_are_right_where_the_network_of_every_head_is(parts):
    """Fold 0: both right are 11000000 and 11111100; fold 1: 00111100 and 01111110."""
    record = combine(parts, mixed=True)
    printed = paper.values_of("classifier", paper.setups_of(record), record.arms)
    (table,) = over_folds(record, printed)
    assert table.header == ("", "", "Baseline", "FMix")
    assert table.rows == (
        ("Root", "here", "62 ± 18", "81 ± 9"),
        ("", "paper", "92.86 ± 0.20", "96.13 ± 0.14"),
        ("Vowel", "here", "62 ± 18", "94 ± 9"),
        ("", "paper", "96.91 ± 0.19", "97.77 ± 0.30"),
        ("Whole", "here", "38 ± 18", "75 ± 0"),
        ("", "paper", "87.60 ± 0.45", "91.87 ± 0.30"),
    )
    assert "over 2 trainings, of 2 folds" in table.caption
    assert table in figures.tables(in_family(record, "classifier", figures), printed)


def test_a_fold_that_a_head_lacks_is_no_part_of_whole_labels(parts):
    (table,) = over_folds(combine(parts[:3], mixed=True), {})
    assert [row[2:] for row in table.rows] == [("62 ± 18", "81 ± 9"), ("50", "100"), ("25", "75")]


def test_studies_of_other_settings_stay_apart(parts, tmp_path):
    other = study(
        tmp_path / "longer",
        "bengali(fold=1,head='root')",
        {"baseline": {"": "1" * N}, "fmix": {"": "1" * N}},
        epochs=200,
    )
    record = combine([parts[0], other], mixed=True)
    assert over_folds(record, {}) == [], "one fold and one head each"


def test_folds_of_one_network_of_all_heads(tmp_path):
    """The paper's values of heads and whole labels are those of the same names."""
    rights = {fold: {"": texts[0], "root": texts[1], "vowel": "1" * N} for fold, texts in RIGHT["root"].items()}
    folds = [
        study(tmp_path / f"fold{fold}", f"bengali(fold={fold})", {"baseline": right}, params=("root", "vowel"))
        for fold, right in rights.items()
    ]
    record = combine(folds, mixed=True)
    (table,) = over_folds(record, paper.values_of("classifier", paper.setups_of(record), record.arms))
    assert table.rows == (
        ("Root", "here", "81 ± 9"),
        ("", "paper", "92.86 ± 0.20"),
        ("Vowel", "here", "100 ± 0"),
        ("", "paper", "96.91 ± 0.19"),
        ("Whole", "here", "81 ± 9"),
        ("", "paper", "87.60 ± 0.45"),
    )


def test_other_reports_have_no_such_table(parts, tmp_path):
    assert over_folds(parts[0], {}) == []
    alike = [
        study(tmp_path / name, "cifar10", {"baseline": {"": "1" * N}}, epochs=number)
        for number, name in enumerate("ab")
    ]
    assert over_folds(combine(alike, mixed=True), {}) == []
