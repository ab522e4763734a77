"""Rows and arrays of the right types that no figure can be drawn from: one message that names section and runs."""

from dataclasses import replace

import numpy as np
import pytest

from mixlens.analysis.errors import InputError
from mixlens.analysis.interface import Row
from mixlens.analysis.store.record import TaskRecord, read_record, write_record
from mixlens.analysis.store.results import read_rows, write_rows
from mixlens.analysis.store.runs import ARRAYS, ENVIRONMENT, Run
from mixlens.cli.main import main
from mixlens.reports.report import write_report

EPSILONS, IMAGES = (0.0, 0.01, 0.1), 20


@pytest.fixture
def attacked(tmp_path):
    """A finished study of robustness with made-up rows: one attack and the worst case, two seeds of the baseline."""
    tasks = []
    for seed in range(2):
        name = f"robustness-measure-{seed}"
        run = Run(tmp_path / "runs" / name)
        run.path.mkdir(parents=True)
        run.write_json(ENVIRONMENT, {"torch": "2.0"})
        facts = (name, "other", "robustness", "photos", "test", "baseline", "preact-resnet18", seed)
        how = {"protocol": "paper", "norm": "L∞"}
        rows = [Row(*facts, "clean_accuracy", 0.9, "fraction", IMAGES, how)]
        for attack in ("fgsm", "worst case"):
            for place, epsilon in enumerate(EPSILONS):
                own = how | {"attack": attack, "epsilon": epsilon}
                rows.append(Row(*facts, "accuracy", 0.9 - 0.3 * place, "fraction", IMAGES, own, 0.1, 0.0, 1.0, "upper"))
        write_rows(run, rows, 1.0)
        run.write_arrays({"bits": np.zeros((1, len(EPSILONS), IMAGES), np.int8)})
        tasks.append(TaskRecord(name, "robustness-measure", "robustness", name, (), "done"))
    settings = {"data": "cifar10", "seeds": [0, 1], "augmentations": ["baseline"], "sections": ["robustness"]}
    settings["train_size"] = None
    study = tmp_path / "attacked"
    write_record(study, name="s", command="", settings=settings, started="", runs=tmp_path / "runs", tasks=tasks)
    return read_record(study)


def change(run, edit):
    """Edit every row of a run as JSON."""
    content = run.read_result()
    for row in content["rows"]:
        edit(row)
    run.write_result(content)


@pytest.mark.parametrize("key", ["epsilon", "attack", "protocol", "norm"])
def test_robustness_rows_without_a_parameter_name_the_section(attacked, failing, key):
    assert main(["report", str(attacked.folder)]) == 0
    before = {path.name: path.read_bytes() for path in attacked.folder.iterdir()}
    change(attacked.run("robustness-measure-1"), lambda row: row["params"].pop(key, None))
    message = failing("report", str(attacked.folder))
    assert "section 'robustness' of study 's' cannot be shown" in message
    assert f"{attacked.runs}/robustness-measure-*" in message
    assert {path.name: path.read_bytes() for path in attacked.folder.iterdir()} == before, "the old report stays"


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((1, 2, IMAGES), np.int8),
        np.zeros(IMAGES, np.int8),
        np.array(0, np.int8),
        np.full((1, len(EPSILONS), IMAGES), "held"),
    ],
    ids=["an ε less", "one dimension", "a number", "text"],
)
def test_bits_of_another_kind_name_the_section_or_the_file(attacked, record, failing, array):
    attacked.run("robustness-measure-1").write_arrays({"bits": array})
    words = "robustness-measure-1/arrays.npz is damaged" if array.dtype.kind == "U" else "section 'robustness'"
    for command in (["report", str(attacked.folder)], ["compare", str(attacked.folder), str(record.folder)]):
        assert words in failing(*command)


@pytest.mark.parametrize(
    "values",
    [np.full(1000, np.nan), np.full(1000, 1e300), np.zeros((1000, 2)), np.array(1.0), np.zeros(0)],
    ids=["nan", "too large", "two columns", "one number", "none"],
)
def test_terms_that_are_not_one_number_an_image_are_refused(record, values):
    run = record.run("measure-mixup-independent-1")
    run.write_arrays(run.read_arrays() | {"rate": values})
    with pytest.raises(InputError, match="rate of 'mixup', seed 1, is not one finite number an image") as caught:
        write_report(record, record.folder / "report.html")
    assert isinstance(caught.value.__cause__, ValueError), "the cause is kept for who looks for it"


def test_other_images_are_shown_and_not_compared(record):
    """As many terms as another test set has images: the report stands, without a difference between the two."""
    for seed in range(3):
        run = record.run(f"measure-mixup-independent-{seed}")
        run.write_arrays({name: a if a.ndim > 1 else a[:999] for name, a in run.read_arrays().items()})
    page = write_report(record, record.folder / "report.html").read_text(encoding="utf-8")
    assert "After correction no difference to the baseline can be told in upper bound on information." in page
    differences = page.partition('id="summary-heading"')[2].partition("</table>")[0]
    assert differences.count("<small>") == 2, "the column's quantity, and FMix's difference"


def test_quantities_and_sections_never_heard_of_are_among_the_rows(record):
    run = record.run("measure-mixup-independent-1")
    first = read_rows(run)[0]
    write_rows(run, [*read_rows(run), replace(first, quantity="spin"), replace(first, section="weather")], 1.0)
    page = write_report(record, record.folder / "report.html").read_text(encoding="utf-8")
    assert '"spin"' in page
    assert '"weather"' in page


def test_a_network_without_one_of_the_quantities_has_a_dash(record):
    for seed in range(3):
        run = record.run(f"measure-mixup-independent-{seed}")
        write_rows(run, [row for row in read_rows(run) if row.quantity != "rate_reconstruction"], 1.0)
    page = write_report(record, record.folder / "report.html").read_text(encoding="utf-8")
    assert "not a number" not in page
    assert ">—<" in page


def test_pictures_of_another_shape_are_refused_at_once(record):
    run = record.run("measure-mixup-independent-0")
    arrays = run.read_arrays()
    run.write_arrays(arrays | {"reconstructions": arrays["reconstructions"].ravel()})
    with pytest.raises(InputError, match=r"MixUp: \(9216,\) are no pictures"):
        write_report(record, record.folder / "report.html")


@pytest.mark.parametrize(
    "content", [[], "cpu", *(pytest.param(content, marks=pytest.mark.slow) for content in (3, None))]
)
def test_an_environment_of_another_kind_is_refused(record, content):
    run = record.run("measure-mixup-independent-0")
    run.write_json(ENVIRONMENT, content)
    run.write_result(run.read_result())
    with pytest.raises(InputError, match=rf"{run.path.name}/{ENVIRONMENT} is damaged.*must be an object"):
        write_report(record, record.folder / "report.html")


def test_a_missing_input_of_a_task_names_the_section(record):
    tasks = tuple(replace(task, inputs=()) for task in record.tasks)
    with pytest.raises(InputError, match=r"section 'vae'.*cannot be shown.*IndexError.*vae-measure-\*"):
        write_report(replace(record, tasks=tasks), record.folder / "report.html")
    assert not (record.folder / "report.html").exists()
    assert (record.run("measure-mixup-independent-0") / ARRAYS).exists()
