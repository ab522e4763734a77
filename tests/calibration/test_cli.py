"""`mixlens calibration` as a user meets it."""

import json

import numpy as np
import pandas as pd
import pytest

from mixlens.cli.main import main

pytestmark = pytest.mark.usefixtures("page_alone")

CODE = """
import numpy as np
from torch import nn

CENTRES = np.random.default_rng(0).integers(0, 256, (4, 3, 4, 4))

def split(count, seed):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    images = np.clip(CENTRES[labels] + rng.normal(0, 120, (count, 3, 4, 4)), 0, 255).astype(np.uint8)
    wrong = rng.random(count) < 0.2  # nobody is always right
    return images, np.where(wrong, (labels + 1) % 4, labels)

def plain():
    (x, y), (x_test, y_test) = split(400, 1), split(120, 2)
    return dict(train_images=x, train_labels=y, test_images=x_test, test_labels=y_test,
                classes=list('abcd'), mean=[.5] * 3, std=[.25] * 3)

def votes():
    rng = np.random.default_rng(3)
    p = 0.1 + 0.6 * np.eye(4)[plain()['test_labels']]
    return np.stack([rng.multinomial(20, row / row.sum()) for row in p])

def fewer():
    return votes()[1:]

def misfit():
    return plain() | dict(human=votes())

def linear(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(48, num_classes))
"""
NETWORK = ["--model", "calibrated_code:linear", "--classifier.epochs", "15", "--classifier.batch-size", "50"]
NETWORK += ["--classifier.learning-rate", "0.05", "--classifier.crop", "0", "--classifier.no-flip"]
OWN = ["calibration", *NETWORK, "--calibration.resamples", "100", "--quiet"]
SMALL = ["--augmentations", "baseline", "--seeds", "1"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the user's own data and network, from which the command is run."""
    (tmp_path / "calibrated_code.py").write_text(CODE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def rows(folder):
    found = pd.read_csv(folder / "rows.csv")
    assert set(found["section"]) == {"classifier", "calibration"}, "its accuracy, and what is measured here"
    return found[found["section"] == "calibration"]


def page(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_ones_own_votes_from_training_to_report(here, capsys):
    arguments = [*OWN, "--data", "calibrated_code:plain", "--augmentations", "baseline,mixup", "--seeds", "2"]
    arguments += ["--calibration.counts", "calibrated_code:votes"]
    arguments += ["--out", str(here), "--name", "own"]
    assert main(arguments) == 0
    assert str(here / "own" / "report.html") in capsys.readouterr().out.replace("\n", "")
    written = page(here / "own")
    for words in (
        "Divergence from people (the paper’s Table 6)",
        "What softness alone explains",
        "Agreement with people",
    ):
        assert words in written
    for words in ("Calibration against the labels", "120 test images", "<title", "Reliability"):
        assert words in written
    assert ">paper</th>" not in written, "the paper's numbers belong to CIFAR-10"
    found = rows(here / "own")
    assert set(zip(found["augmentation"], found["seed"], strict=True)) == {
        (name, seed) for name in ("baseline", "mixup") for seed in (0, 1)
    }
    assert set(found["dataset"]) == {"calibrated_code:plain"}
    assert set(found["smoothing"].dropna()) == {0.0, 0.05, 0.1, 0.5}, "the defaults"
    assert set(found["bins"].dropna()) == {15}
    assert found["value"].notna().all()
    before = (here / "own" / "rows.csv").read_bytes()
    made = sorted((here / "runs").iterdir())
    assert main(arguments) == 0
    assert main(["report", str(here / "own")]) == 0
    assert sorted((here / "runs").iterdir()) == made
    assert (here / "own" / "rows.csv").read_bytes() == before


def test_without_votes_the_report_says_what_is_left_out_and_a_file_brings_it_in(here):
    arguments = [*OWN, *SMALL, "--data", "calibrated_code:plain", "--out", str(here), "--name", "own"]
    assert main(arguments) == 0
    assert "There are no human labels for this data set, so agreement with people is left out." in page(here / "own")
    assert "the paper’s Table 6" not in page(here / "own")
    assert set(rows(here / "own")["quantity"]) == {
        "temperature",
        "nll",
        "brier",
        "entropy_model",
        "ece",
        "adaptive_ece",
        "classwise_ece",
        "smooth_ece",
    }
    from calibrated_code import votes

    np.save(here / "votes.npy", votes())
    settings = ["--calibration.counts", "votes.npy", "--calibration.smoothing", "0.2", "1", "--calibration.bins", "7"]
    assert main([*arguments, *settings]) == 2, "under one name there is one study"
    assert main([*arguments[:-1], "people", *settings]) == 0
    assert "Divergence from people (the paper’s Table 6)" in page(here / "people")
    found = rows(here / "people")
    assert set(found["smoothing"].dropna()) == {0.0, 0.2, 1.0}
    assert set(found["bins"].dropna()) == {7}
    assert len(list((here / "runs").glob("classifier-train-*"))) == 1, "trained once"
    assert len(list((here / "runs").glob("calibration-measure-*"))) == 2
    (here / "votes.npy").rename(here / "moved.npy")
    settings[1] = "moved.npy"
    assert main([*arguments[:-1], "people", *settings]) == 0
    assert len(list((here / "runs").glob("calibration-measure-*"))) == 2, "the same votes under another name"


def test_in_a_study_of_several_sections(here):
    text = (
        "name: both\ndata: calibrated_code:plain\nseeds: 1\naugmentations: [baseline]\n"
        "sections: [classifier, calibration]\n"
        "classifier: {model: 'calibrated_code:linear', epochs: 15, batch_size: 50, learning_rate: 0.05, crop: 0}\n"
        "calibration: {resamples: 100, smoothing: [0.3], seed: 4, counts: 'calibrated_code:votes'}\n"
    )
    (here / "both.yaml").write_text(text, encoding="utf-8")
    assert main(["run", "both.yaml", "--calibration.seed", "5", "--out", str(here), "--quiet"]) == 0
    settings = json.loads((here / "both" / "study.json").read_text(encoding="utf-8"))["settings"]["calibration"]
    assert settings == {"counts": "calibrated_code:votes", "smoothing": [0.3], "bins": 15, "resamples": 100, "seed": 5}
    found = pd.read_csv(here / "both" / "rows.csv")
    assert set(found["section"]) == {"classifier", "calibration"}
    nll = found[(found["quantity"] == "nll") & found["temperature"].isin([np.nan, "as trained"])]
    assert len(nll) == 2
    assert nll["value"].iloc[0] == pytest.approx(nll["value"].iloc[1], rel=1e-5), "both measure it"
    assert len(list((here / "runs").glob("classifier-train-*"))) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--calibration.bins", "0"], ["bins must be at least 1, got 0"]),
        (["--calibration.bins", "some"], ["--calibration.bins", "some"]),
        (["--calibration.bin", "3"], ["--calibration.bin", "--calibration.bins"]),
        (["--calibration.smoothing", "0"], ["smoothing must be positive, got 0.0"]),
        (["--calibration.smoothing", "0.1", "0.1"], ["smoothing must list different pseudo-counts"]),
        (["--calibration.smoothing", "-1"], ["-1"]),
        (["--calibration.smoothing", "inf"], ["inf"]),
        (["--calibration.smoothing", "nan"], ["nan"]),
        (["--calibration.resamples", "10"], ["resamples must be at least 100, got 10"]),
        (["--calibration.seed", "-1"], ["seed must be at least 0"]),
        (["--calibration.counts", "no/such.npy"], ["calibration.counts", "no/such.npy: there is no such file"]),
        (["--calibration.counts", "text.npy"], ["calibration.counts", "text.npy is no .npy array"]),
        (["--calibration.counts", "few.npy"], ["few.npy has the shape (119, 4); expected (120, 4)"]),
        (["--calibration.counts", "turned.npy"], ["the rows are in another order"]),
        (["--calibration.counts", "negative.npy"], ["human counts must be finite and at least 0; image 3 has -1"]),
        (["--calibration.counts", "empty.npy"], ["image 3 has no human votes"]),
        (["--calibration.counts", "fractions.npy"], ["those of image 0 sum to 10"]),
        (["--calibration.counts", "calibrated_code:fewer"], ["has the shape (119, 4); expected (120, 4)"]),
        (["--data", "calibrated_code:misfit"], ["'human': votes are the calibration section's"]),
        (["--classifier.batch-size", "401"], ["classifier.batch_size is 401"]),
    ],
    ids=" ".join,
)
def test_a_mistake_is_one_clear_message_before_anything_runs(here, failing, arguments, words):
    from calibrated_code import votes

    counts = votes()
    (here / "text.npy").write_text("3,1,0,0\n", encoding="utf-8")
    np.save(here / "few.npy", counts[1:])
    np.save(here / "turned.npy", np.roll(counts, 2, 0))
    np.save(here / "fractions.npy", counts / 2)
    for name, value in (("negative", -1), ("empty", 0)):
        changed = counts.copy()
        changed[3] = value
        np.save(here / f"{name}.npy", changed)
    own = [*OWN, *SMALL, "--data", "calibrated_code:plain"]
    if arguments[0] in own:  # given once
        index = own.index(arguments[0])
        del own[index : index + 2]
    message = failing(*own, *arguments, "--out", str(here))
    for word in words:
        assert word in message
    assert not list((here / "runs").glob("*-*"))


def test_help_shows_defaults_and_their_source(capsys):
    assert main(["calibration", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "Bins of the reliability diagram and of ECE. Default: 15. Source: Guo et al. 2017." in shown
    assert "Default: 0.05 0.1 0.5. Source: ours." in shown
