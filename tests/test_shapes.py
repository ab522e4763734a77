"""Every section that measures classifiers, on images of other sizes, channels and class counts than CIFAR-10’s."""

import pandas as pd
import pytest

from mixlens.cli.main import main

MINE = """
import numpy as np

def data(channels, height, width, classes):
    draw = np.random.default_rng(0)
    labels = np.arange(96) % classes
    colour = draw.integers(0, 200, (classes, channels, 1, 1))
    images = (colour[labels] + draw.integers(0, 56, (96, channels, height, width))).astype(np.uint8)
    return {
        "train_images": images[:64], "train_labels": labels[:64],
        "test_images": images[64:], "test_labels": labels[64:],
        "classes": list(map(str, range(classes))), "mean": [0.5] * channels, "std": [0.25] * channels,
    }
"""
SECTIONS = ("classifier", "robustness", "gradcam", "calibration", "representations")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("channels", "height", "width", "classes"),
    [(1, 28, 28, 10), (3, 64, 64, 20), (1, 24, 40, 2), (3, 17, 33, 3)],
    ids=["grey", "large", "two classes, wide", "odd sides"],
)
def test_every_section_measures_them(channels, height, width, classes, mine, tmp_path, page_alone):
    data = f"{mine}:data(channels={channels},height={height},width={width},classes={classes})"
    command = ["run", "demo", "--name", "s", "--data", data, "--seeds", "1", "--augmentations", "baseline,fmix"]
    command += ["--sections", ",".join(SECTIONS), "--model", "preact-resnet18(width=2)"]
    command += ["--classifier.epochs", "1", "--classifier.batch-size", "16", "--robustness.images", "4"]
    assert main([*command, "--out", str(tmp_path), "--quiet"]) == 0
    rows = pd.read_csv(tmp_path / "s" / "rows.csv")
    assert set(SECTIONS) <= set(rows["section"])
    measured = rows[rows["section"].isin(SECTIONS)].groupby("section")["augmentation"].agg(set)
    assert all({"baseline", "fmix"} <= names for names in measured)
    page = (tmp_path / "s" / "report.html").read_text(encoding="utf-8")
    assert all(f'id="{section}' in page for section in SECTIONS)
