"""What must not change by accident: the tasks of every preset with their keys, and the rows of a tiny study.

A key that changes means that a user's finished runs are made again; a row that changes means that a number did. Where
either is meant to change, ``python tests/test_golden.py`` writes the files anew, and the commit that does so says why.
"""

import hashlib
import json
import re
import sys
import tempfile
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from helpers import stand_in

from mixlens.analysis.store.record import read_record
from mixlens.analysis.study.plan import plan
from mixlens.analysis.study.sections import installed_sections
from mixlens.analysis.study.study import PRESETS, read_studies
from mixlens.analysis.training.backend import make_backend
from mixlens.cli.main import main

GOLDEN = Path(__file__).parent / "golden"
EXACT = {"vae": {"precision": "fp32"}, "classifier": {"precision": "fp32"}}  # whatever this machine would choose
STUDY = [
    *("run", "demo", "--name", "golden", "--augmentations", "baseline,fmix", "--seeds", "1", "--train-size", "128"),
    *("--vae.epochs", "1", "--vae.latents", "8", "--vae.precision", "fp32"),
    *("--vae.critic-steps", "20", "--vae.oracle-samples", "300"),
    *("--model", "preact-resnet18(width=2)", "--classifier.epochs", "3", "--classifier.batch-size", "32"),
    *("--classifier.precision", "fp32", "--robustness.images", "20", "--robustness.epsilons", "0", "0.01", "0.1", "1"),
    *("--gradcam.images", "50", "--calibration.resamples", "100", "--threads", "1", "--quiet"),
]
# Another processor rounds otherwise; a classifier's first steps at a high rate amplify that, and attacks follow it.
LOOSE = {"fraction": 0.11}  # of units, else a fiftieth


@pytest.mark.parametrize("preset", ["demo", "cpu", "gpu", "paper-core", pytest.param("paper", marks=pytest.mark.slow)])
def test_the_tasks_of_a_preset_keep_their_names(preset, tmp_path):
    assert plan_of(preset, tmp_path) == (GOLDEN / f"{preset}.txt").read_text(encoding="utf-8").splitlines()


def test_the_rows_of_a_tiny_study_stay_as_they_are(golden):
    kept = json.loads((GOLDEN / "rows.json").read_text(encoding="utf-8"))
    found = [json.loads(json.dumps(asdict(row))) for row in read_record(golden).rows()]
    if kept["environment"] == environment():
        assert found == kept["rows"], "bit for bit where the machine and its libraries are those of the file"
        return
    expected = [row for row in kept["rows"] if row["quantity"] not in SOMETIMES]
    for row, other in zip([row for row in found if row["quantity"] not in SOMETIMES], expected, strict=True):
        close = {key: row[key] for key in ("value", "stderr", "ci_low", "ci_high", "run")}
        params = {key: pytest.approx(it) if isinstance(it, float) else it for key, it in other["params"].items()}
        assert row == other | close | {"params": params}
        close_to = pytest.approx(
            other["value"], rel=0.02 if row["section"] == "vae" else 0.6, abs=LOOSE.get(row["unit"], 0.02)
        )
        assert row["value"] == close_to


def test_its_report_is_one_page_of_every_section(golden):
    page = (golden / "report.html").read_text(encoding="utf-8")
    assert len(page.encode()) < 3e6
    ids = re.findall(r'<section id="([\w-]+)"', page)
    measured = ["vae", "classifier", "robustness", "gradcam", "calibration"]
    assert ids == ["summary", *measured, "gallery", "study"], "claims are about CIFAR-10 alone"
    assert (golden / "report.pdf").read_bytes().startswith(b"%PDF")


SOMETIMES = {"median_epsilon", "median_distance", "masking_sign"}  # not of every network


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    return made(tmp_path_factory.mktemp("golden"))


def made(out):
    """The folder of the tiny study, run whole."""
    assert main([*STUDY, "--out", str(out)]) == 0
    return out / "golden"


def plan_of(preset, root):
    """The name and label of every task of a preset on pictures that take no data set, in an empty folder of data."""
    sections = installed_sections()
    tasks = [
        task
        for study in read_studies(preset, sections, EXACT)
        for task in plan(study, sections, stand_in(), make_backend("cpu"), root)
    ]
    return list(dict.fromkeys(f"{task.name}  {task.label}" for task in tasks))


def environment():
    """What the last bits of a number depend on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    processor = sorted({line for line in lines if line.startswith(("model name", "flags"))})
    packages = ("torch", "torchvision", "numpy", "scipy", "foolbox", "pillow", "scikit-image", "scikit-learn")
    return {name: version(name) for name in packages} | {
        "python": ".".join(map(str, sys.version_info[:2])),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "processor": hashlib.sha256("\n".join(processor).encode()).hexdigest(),
    }


def write():
    """Write the files anew."""
    with tempfile.TemporaryDirectory() as folder:
        for preset in PRESETS:
            names = plan_of(preset, Path(folder))
            (GOLDEN / f"{preset}.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
        rows = [json.dumps(asdict(row), ensure_ascii=False) for row in read_record(made(Path(folder))).rows()]
    kept = json.dumps(environment()), ",\n".join(rows)
    (GOLDEN / "rows.json").write_text('{{"environment": {},\n"rows": [\n{}\n]}}\n'.format(*kept), encoding="utf-8")


if __name__ == "__main__":
    write()
