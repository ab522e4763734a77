"""`mixlens representations` as a user meets it."""

import pandas as pd
import pytest

from mixlens.cli.main import main

CODE = """
import numpy as np

def noise():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 3, 8, 8), dtype=np.uint8)
    labels = np.arange(60) % 3
    return dict(train_images=images[:30], train_labels=labels[:30], test_images=images[30:], test_labels=labels[30:],
                classes=list('abc'), mean=[.5] * 3, std=[.25] * 3)
"""
OWN = [
    "representations",
    "--data",
    "seen_code:noise",
    "--model",
    "preact-resnet18(width=2)",
    "--name",
    "own",
    "--quiet",
]
OWN += [
    "--classifier.epochs",
    "1",
    "--classifier.batch-size",
    "10",
    "--augmentations",
    "baseline,cutmix",
    "--seeds",
    "1",
]


@pytest.fixture
def code(here):
    (here / "seen_code.py").write_text(CODE, encoding="utf-8")
    return here


def test_a_study_and_its_report(code):
    """Also as a PDF, whose equations typst must take."""
    given = ["--representations.layers", "stem", "stages.1", "--representations.noise", "0.5", "--out", str(code)]
    assert main([*OWN, *given]) == 0
    rows = pd.read_csv(code / "own" / "rows.csv")
    rows = rows[rows["section"] == "representations"]
    assert set(rows["quantity"]) == {
        *("label_information", "infonce", "leave_one_out", "rate_gaussian", "rate_mixture", "cka", "cka_biased"),
        *("affinity", "affinity_loss", "clean_accuracy", "diversity", "label_entropy"),
    }
    assert set(rows["layer"].dropna()) == {"stem", "stages.1"}
    assert set(rows["noise"].dropna()) == {0.5}
    page = (code / "own" / "report.html").read_text(encoding="utf-8")
    for name in ("depth", "similarity-depth", "scatter"):
        assert f'id="representations-{name}"' in page
    for title in ("Information about the image", "Similarity to the baseline", "Affinity and diversity"):
        assert title in page
    assert (code / "own" / "report.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--representations.layers", "stage.1"], "'stage.1' does not exist; those there are: stem"),
        (["--representations.images", "31"], "representations.images is 31, but there are 30 test images"),
        (["--representations.noise", "0"], "noise must be positive, got 0.0"),
    ],
)
def test_a_mistake_is_one_clear_message_before_anything_runs(code, failing, arguments, words):
    assert words in failing(*OWN, *arguments, "--out", str(code))
    assert not list((code / "runs").glob("*-*"))


def test_help_shows_defaults(capsys):
    assert main(["representations", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "none: all, but at most 2,000" in shown
    assert "Without noise the information about the image is infinite" in shown
