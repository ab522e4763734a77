"""Masks, mixed images and spectra: exact counts, the mixing rule by hand, the printed law of the spectrum."""

import numpy as np
import pytest
import torch
from helpers import tiny_dataset

from mixlens.analysis.data.dataset import Dataset, Split, Vocabulary
from mixlens.analysis.data.modalities.text import Texts
from mixlens.analysis.errors import InputError
from mixlens.analysis.masks.policies import parse_policy
from mixlens.gallery.measures import (
    SPECTRUM_IMAGES,
    WORDS,
    excerpts,
    gallery,
    masks_of,
    pictures,
    pixels,
    powers,
    spectra,
    structures,
)


def images(count, seed, channels=3):
    source = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, channels, 8, 8), dtype=torch.uint8, generator=source)


FIRST, SECOND = images(4, 0), images(4, 1)


def drawn(*names, **options):
    return gallery([parse_policy(name) for name in names], FIRST, SECOND, **options)


@pytest.mark.parametrize("name", ["mixup", "cutmix", "fmix", "fmix-official"])
def test_an_image_is_mixed_with_its_partner_under_the_mask_that_is_shown(name):
    arrays = drawn(name, lam=0.25)
    mask, mixed = arrays[f"mask:{name}"], arrays[f"mixed:{name}"]
    assert mask.shape == (4, 8, 8)
    expected = mask[..., None] * pixels(FIRST) + (1 - mask[..., None]) * pixels(SECOND)
    assert np.abs(mixed - expected).max() <= 0.5 + 1e-3


def test_a_mask_has_the_mean_that_was_asked_for():
    """CutMix alone has another one, where its box reaches over the border (Yun et al. 2019)."""
    assert (drawn("fmix", lam=0.25)["mask:fmix"].sum((1, 2)) == 16).all()
    assert (drawn("mixup", lam=0.25)["mask:mixup"] == 0.25).all()


def test_what_mixes_no_pairs_is_left_out_and_every_seed_is_another_mask():
    assert drawn("baseline", "fmix+mixup") == {}
    first, same, other = (drawn("fmix", seed=seed)["mask:fmix"] for seed in (0, 0, 1))
    assert (first == same).all()
    assert (first != other).any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((FIRST, SECOND[:3]), "as many images as partners, two or more, got 4 and 3"),
        ((FIRST[:1], SECOND[:1]), "two or more, got 1 and 1"),
        ((images(3, 0, channels=2), images(3, 1, channels=2)), "1 or 3 channels, these have 2"),
    ],
)
def test_pictures_that_cannot_be_mixed_are_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        gallery([parse_policy("fmix")], *arguments)


@pytest.mark.parametrize("lam", [-0.1, 1.5, float("nan")])
def test_a_share_outside_of_its_range_is_refused(lam):
    with pytest.raises(InputError, match=r"lam must lie in \[0, 1\]"):
        drawn("mixup", lam=lam)


def test_the_printed_spectrum_falls_as_the_frequency_to_minus_twice_the_decay_power():
    """S(k) ∝ |k|^(−2δ) in every direction; each bin is a mean over images of an exponential variable."""
    power = spectra((16, 16), decay_power=1.5)["spectrum:paper"]
    middle = power[8, 8]
    assert np.isnan(middle), "the zero frequency is left out"
    for ky, kx in ((0, 1), (1, 0), (1, 1), (-2, 0), (3, -2), (0, 5)):
        ratio = power[8 + ky, 8 + kx] / power[8 + 0, 8 + 1]
        expected = (ky * ky + kx * kx) ** -1.5
        z = (ratio / expected - 1) / np.sqrt(2 * 2 / SPECTRUM_IMAGES)  # two images of a pair share their noise
        assert abs(z) < 4, (ky, kx)


def test_the_published_code_has_all_power_in_three_columns():
    power = np.nan_to_num(spectra((16, 16))["spectrum:official"])
    assert power[:, 7:10].sum() > 0.999 * power.sum()


def test_partners_are_of_other_classes_and_nobody_is_shown_twice():
    labels = torch.arange(20) % 2
    shown = torch.arange(20).byte().view(-1, 1, 1, 1).expand(20, 3, 4, 4)  # an image is its number
    dataset = tiny_dataset(Split(shown.clone(), labels), Split(shown.clone(), labels))
    first, second = (part[:, 0, 0, 0].tolist() for part in pictures(dataset, 5, seed=3))
    assert len({*first, *second}) == 10
    assert all((a + b) % 2 for a, b in zip(first, second, strict=True))


def test_where_one_class_is_all_there_is_it_is_its_own_partner():
    only = Split(images(6, 2), torch.zeros(6, dtype=torch.long))
    first, second = pictures(tiny_dataset(only, only), 3)
    assert first.shape == second.shape == (3, 3, 8, 8)


# volumes, sequences and texts


@pytest.mark.parametrize("name", ["mixup", "cutmix", "fmix", "fmix-official"])
def test_a_volume_is_mixed_with_its_partner_under_the_mask_that_is_shown(name):
    source = torch.Generator().manual_seed(0)
    first, second = torch.randint(256, (2, 4, 1, 6, 5, 8), dtype=torch.uint8, generator=source)
    arrays = gallery([parse_policy(name)], first, second, lam=0.25)
    mask, mixed = arrays[f"mask:{name}"], arrays[f"mixed:{name}"]
    assert mask.shape == (4, 6, 5, 8)
    expected = mask[..., None] * pixels(first) + (1 - mask[..., None]) * pixels(second)
    assert np.abs(mixed - expected).max() <= 0.5 + 1e-3


POLICIES = [parse_policy(name) for name in ("baseline", "mixup", "cutmix", "fmix", "fmix-official", "fmix+mixup")]


@pytest.mark.parametrize("size", [(20,), (8, 6), (6, 4, 5)], ids=str)
def test_masks_of_any_size_at_one_share(size):
    drawn = masks_of(POLICIES, 12, size, lam=0.25)
    assert list(drawn) == ["mixup", "cutmix", "fmix", "fmix-official"]
    assert {masks.shape for masks in drawn.values()} == {(12, *size)}
    assert (drawn["mixup"] == 0.25).all()
    share = drawn["fmix"].flatten(1).sum(1)
    assert ((share - 0.25 * np.prod(size)).abs() < 1).all()
    assert len(drawn["fmix"].flatten(1).unique(dim=0)) > 6, "drawn one by one"
    assert list(structures(drawn)) == ["cutmix", "fmix", "fmix-official"], "MixUp's say nothing"


def test_masks_of_their_own_shares_are_as_a_training_draws_them():
    """Beta(α, α)'s variance is 1 / (4 (2α + 1)); of reformulated ones, λ ~ Beta(α + 1, α), the mean."""
    given = ["mixup(alpha=0.2)", "fmix(alpha=0.2)", "mixup(reformulate=True)"]
    mixup, fmix, reformulated = masks_of([parse_policy(name) for name in given], 4000, (50,), lam=None).values()
    for masks in (mixup, fmix):
        shares = masks.mean(1)
        assert abs(float(shares.mean()) - 0.5) < 4 * (1 / (4 * 1.4) / 4000) ** 0.5
        assert float(shares.var()) == pytest.approx(1 / (4 * 1.4), rel=0.05)
    assert float(reformulated.mean()) == pytest.approx(2 / 3, abs=4 * (1 / 18 / 4000) ** 0.5)


def test_a_share_of_masks_outside_of_its_range_is_refused():
    with pytest.raises(InputError, match=r"lam must lie in \[0, 1\]"):
        masks_of(POLICIES, 4, (20,), lam=2)


def test_power_along_each_axis_of_both_variants():
    """Of a sequence the published code leaves one wave; the printed law is |k|^(−2δ)."""
    line = powers((16,), decay_power=1)
    assert line["power:official"][0, 1] == pytest.approx(1)
    share = line["power:paper"][0]
    assert share.shape == (9,)
    assert share[1:].sum() == pytest.approx(1)
    assert share[2] < share[1] / 2
    cube = powers((6, 4, 8))["power:official"]
    assert cube.shape == (3, 5)
    assert np.isnan(cube[1]).tolist() == [False] * 3 + [True] * 2, "four positions know |k| of 0 to 2"
    assert np.nansum(cube, axis=1) == pytest.approx(1)
    assert cube[2, 2:].max() < 1e-6


def texts(lengths, labels):
    known = Vocabulary(tuple(f"word{i}" for i in range(1, 51)))
    split = Split(Texts.of([[1 + i] * length for i, length in enumerate(lengths)]), torch.tensor(labels))
    return Dataset("tiny", split, split, ("a", "b"), (), (), vocabulary=known)


def test_the_first_words_of_two_texts_of_different_classes():
    dataset = texts([3, 40, 30, 25, 1, 50], [0, 0, 1, 0, 1, 0])
    for seed in range(8):
        first, second = excerpts(dataset, seed)
        assert len(first) == len(second) == WORDS
        (one,), (other,) = set(first), set(second)
        assert {one, other} <= {"word2", "word3", "word4", "word6"}, "those that are long enough"
        assert one != other
        assert "word3" in (one, other), "the only one of the other class"


@pytest.mark.parametrize("lengths", [[1, 1], [2, 9], [9, 2, 4]])
def test_short_texts_are_shown_as_far_as_both_go(lengths):
    first, second = excerpts(texts(lengths, [0] * len(lengths)))
    assert len(first) == len(second) == sorted(lengths)[(len(lengths) - 1) // 2]
    assert first != second
