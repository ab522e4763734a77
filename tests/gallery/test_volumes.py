"""Slices and surfaces of volumes: which slice stands where."""

import numpy as np

from mixlens.gallery.volumes import _places, _slices, slice_plot, solid_plot

VOLUMES = np.zeros((2, 6, 7, 8, 1), np.uint8)
ARRAYS = {"images": VOLUMES, "partners": VOLUMES, "mask:fmix": np.ones((2, 6, 7, 8), np.float32), "mixed:fmix": VOLUMES}


def test_slices_are_evenly_spaced_half_a_step_from_the_ends():
    assert _places(6) == [1, 3, 5]
    assert _places(32) == [5, 16, 26]
    assert _places(1) == [0, 0, 0]


def test_a_slice_is_what_lies_at_its_place_centred_on_a_square():
    d, h, w = np.meshgrid(np.arange(6), np.arange(7), np.arange(8), indexing="ij")
    for number, grid in enumerate((d, h, w)):
        slices = _slices(grid)[3 * number : 3 * number + 3]
        assert slices.shape == (3, 8, 8)
        for picture, place in zip(slices, _places(grid.shape[number]), strict=True):
            assert set(np.unique(picture[~np.isnan(picture)])) == {place}
    assert np.isnan(_slices(d)[0][7]).all(), "7 of 8 rows"
    assert not np.isnan(_slices(d)[0][:7]).any()


def test_both_figures_have_a_row_for_each_mask_and_volume():
    for plot, columns in ((slice_plot(ARRAYS), 9), (solid_plot(ARRAYS), 2)):
        axes = plot.figure.axes
        names = [axis.get_ylabel() for axis in axes if axis.get_ylabel()]
        assert names == ["First volume", "Second volume", "FMix, mask", "FMix, mixed"]
        assert len(axes) == 4 * columns
    heads = [axis.get_title() for axis in slice_plot(ARRAYS).figure.axes[:9]]
    assert heads == ["d1", "d3", "d5", "h1", "h3", "h5", "w1", "w4", "w6"]


def test_masks_alone_are_said_to_be_alone():
    alone = {"mask:fmix": ARRAYS["mask:fmix"]}
    assert solid_plot(alone).title == "Masks of a volume"
    assert "mixed" not in solid_plot(alone).alt
