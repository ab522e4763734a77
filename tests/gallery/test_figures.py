"""The gallery's figures from plain arrays: one row a strip of pictures, nothing where nothing was drawn."""

from pathlib import Path

import numpy as np
import pytest

from mixlens.analysis.store.record import StudyRecord, TaskRecord
from mixlens.analysis.store.results import write_rows
from mixlens.analysis.store.runs import Run
from mixlens.gallery.figures import drawn, mask_plot, measured, plots, power_plot, spectrum_plot, tables

PICTURES = np.zeros((2, 8, 8, 3), np.uint8)
PAIRS = {"images": PICTURES, "partners": PICTURES}
MIXED = {"mask:fmix": np.ones((2, 8, 8), np.float32), "mixed:fmix": PICTURES}
SPECTRA = {f"spectrum:{variant}": np.full((8, 8), 0.5, np.float32) for variant in ("paper", "official")}


def record_of(folder, arrays):
    run = Run(folder / "gallery-0")
    run.path.mkdir()
    run.write_arrays(arrays)
    write_rows(run, [], 1.0)
    task = TaskRecord("gallery-0", "gallery", "gallery", "draw the masks", (), "done")
    return StudyRecord(folder, "s", "", {"augmentations": ["fmix"]}, "", folder, (task,))


def test_every_strip_has_its_name_and_the_words_say_which():
    plot = mask_plot(PAIRS | MIXED)
    texts = {text.get_text() for axis in plot.figure.axes for text in (axis.yaxis.label, axis.title, *axis.texts)}
    texts |= {text.get_text() for text in plot.figure.texts}
    assert {"First image", "Second image", "FMix, mask", "FMix, mixed"} <= texts
    assert "for each of FMix, a row of mixed images, under one of masks" in plot.alt


def test_an_augmentation_of_ones_own_has_its_images_alone():
    plot = mask_plot(PAIRS | {"mixed:my:make": PICTURES})
    names = [axis.get_ylabel() for axis in plot.figure.axes if axis.get_ylabel()]
    assert names == ["First image", "Second image", "my:make, mixed"]


def test_power_that_is_not_there_is_not_drawn():
    power = np.array([[0.5, 0.4, 0.1], [0.5, 0.5, 1e-17]], np.float32)
    plot = power_plot({"power:paper": power[[0, 0]], "power:official": power})
    first, last = ([line.get_xdata().tolist() for line in axis.get_lines()] for axis in plot.figure.axes)
    assert first == [[0, 1, 2], [0, 1, 2]]
    assert last == [[0, 1, 2], [0, 1]]


SHAPES = {1: (2, 9), 2: (2, 9, 8), 3: (2, 9, 8, 7)}


@pytest.mark.parametrize(("dims", "names"), [(1, ["masks"]), (2, ["masks"]), (3, ["masks", "slices"])])
def test_masks_alone_are_drawn_by_their_dimensions(dims, names):
    masks = {"mask:fmix": np.ones(SHAPES[dims], np.float32), "mask:cutmix": np.ones(SHAPES[dims], np.float32)}
    assert [plot.name for plot in drawn(masks)] == names


def test_frequencies_stand_at_their_bins():
    axis = spectrum_plot(SPECTRA).figure.axes[0]
    assert (axis.images[0].get_extent()) == [-4.5, 3.5, 3.5, -4.5]


@pytest.mark.parametrize(("arrays", "names"), [(PAIRS | MIXED | SPECTRA, ["masks", "spectra"]), (SPECTRA, ["spectra"])])
def test_a_study_shows_what_was_drawn(tmp_path, arrays, names):
    record = record_of(tmp_path, arrays)
    assert [plot.name for plot in plots(record, {})] == names
    assert (tables(record, {}), measured(record)) == ([], [])


def test_a_study_whose_gallery_is_not_there_shows_none():
    assert plots(StudyRecord(Path(), "s", "", {}, "", Path(), ()), {}) == []
