import math
import re

import numpy as np
import pytest
import torch

from mixlens.analysis.errors import InputError
from mixlens.analysis.masks import fmix
from mixlens.analysis.masks.cutmix import cutmix_mask
from mixlens.analysis.masks.fmix import (
    FMix,
    fmix_mask,
    gaussian_salience,
    low_frequency_image,
    noise_shape,
)

SIZES = [(1,), (2,), (8,), (9,), (1, 1), (1, 6), (6, 1), (4, 6), (5, 7), (6, 5), (3, 4, 5), (4, 3, 4), (1, 2, 3)]
OFFICIAL_SIZES = [
    (2,),
    (8,),
    (9,),
    (4, 4),
    (5, 5),
    (4, 6),
    (5, 8),
    (8, 5),
    (7, 3),
    (4, 1),
    (4, 4, 4),
    (8, 6, 4),
    (3, 4, 5),
]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_noise(n, size, variant="paper", seed=0):
    return torch.randn(noise_shape(n, size, variant), generator=generator(seed))


def frequencies(size):
    """|f| of every bin of the full spectrum, its zero clamped to the lowest non-zero frequency."""
    grids = np.meshgrid(*[np.fft.fftfreq(side) for side in size], indexing="ij")
    return np.maximum(np.sqrt(sum(grid**2 for grid in grids)), 1 / max(size))


# The plain, slow definitions. Each maps white noise (n, *noise) to images (n, *size), in double precision.


def paper_slow(noise, size, decay_power):
    """Eq. 1–2 as written: complex noise over the whole spectrum, its real part after the inverse transform."""
    spectrum = (noise[..., 0] + 1j * noise[..., 1]) / frequencies(size) ** decay_power
    return np.fft.ifftn(spectrum, axes=range(1, len(size) + 1)).real


def official_frequencies(size):
    axes = [np.fft.fftfreq(size[0]), *(np.fft.fftfreq(side) for side in size[2:])]
    axes += [np.fft.fftfreq(side)[: side // 2 + 1 + side % 2] for side in size[1:2]]
    return np.sqrt(sum(grid**2 for grid in np.meshgrid(*axes, indexing="ij")))


def official_slow(noise, size, decay_power):
    """The published code: rows 0 and 1 of a half-spectrum of paired normals, taken for its real and imaginary parts."""
    weighted = noise / (np.maximum(official_frequencies(size), 1 / max(size)) ** decay_power)[..., None]
    return np.fft.irfftn(weighted[:, 0] + 1j * weighted[:, 1], s=size, axes=range(1, len(size) + 1))


def covariance(images_of, noise):
    """The exact covariance of the images' pixels under white noise: the map is linear, so one-hot noise gives it."""
    numbers = math.prod(noise)
    images = np.asarray(images_of(np.eye(numbers).reshape(numbers, *noise))).reshape(numbers, -1)
    return images.T @ images


def ours(size, decay_power, variant):
    return lambda noise: low_frequency_image(
        len(noise), size, decay_power, variant=variant, noise=torch.from_numpy(noise)
    )


# low_frequency_image


@pytest.mark.parametrize("decay_power", [0, 1.5, 3])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_images_have_the_covariance_of_equations_1_and_2(size, decay_power):
    scale = (1 / max(size)) ** (2 * decay_power)
    expected = covariance(lambda noise: paper_slow(noise, size, decay_power), (*size, 2)) * scale

    def pair(noise):
        images = low_frequency_image(2 * len(noise), size, decay_power, noise=torch.from_numpy(noise))
        return images.reshape(len(noise), -1)  # both images of one transform side by side

    got = covariance(pair, noise_shape(2, size)[1:])
    assert np.allclose(got, np.kron(np.eye(2), expected), rtol=1e-5, atol=1e-6 * expected.max())  # and independent


@pytest.mark.parametrize("decay_power", [0, 3])
@pytest.mark.parametrize("size", OFFICIAL_SIZES, ids=str)
def test_official_images_have_the_covariance_of_the_published_code(size, decay_power):
    scale = (1 / max(size)) ** (2 * decay_power)
    noise = (*official_frequencies(size).shape, 2)
    expected = covariance(lambda noise: official_slow(noise, size, decay_power), noise) * scale
    got = covariance(ours(size, decay_power, "official"), noise_shape(1, size, "official")[1:])
    assert np.allclose(got, expected, rtol=1e-5, atol=1e-6 * expected.max())


@pytest.mark.parametrize("size", [(9,), (8,), (6, 8), (7, 5), (4, 6, 5)], ids=str)
def test_mean_power_of_drawn_images_in_every_bin(size):
    """E|F G|² = (f_min / f)^2δ, also in the kx = 0 and Nyquist columns, which a plain half-spectrum would halve."""
    n = 4000
    images = low_frequency_image(n, size, 1.0, generator=generator()).double().numpy()
    assert images.shape == (n, *size)
    axes = tuple(range(1, len(size) + 1))
    power = np.abs(np.fft.fftn(images, axes=axes)) ** 2 * (frequencies(size) * max(size)) ** 2
    # A bin that is its own mirror image is real: chi-squared with one degree of freedom, twice the variance.
    own = np.ones(size, bool)
    for axis, side in enumerate(size):
        k = np.arange(side)
        own &= (2 * k % side == 0).reshape([-1 if a == axis else 1 for a in range(len(size))])
    z = (power.mean(0) - 1) * np.sqrt(n / np.where(own, 2, 1))
    assert np.abs(z).max() < 4.5
    columns = power.mean(0)
    first_rows = columns.reshape(-1, size[-1])
    for column in {0, size[-1] // 2}:  # and each column as a whole, where a small bias would add up
        bins = np.where(own, 2, 1).reshape(-1, size[-1])[:, column]
        # Mirror images within a column are one number drawn once.
        spread = np.sqrt(2 * bins.sum() / n)
        assert abs(first_rows[:, column].sum() - len(bins)) < 4.5 * spread


@pytest.mark.parametrize("variant", ["paper", "official"])
@pytest.mark.parametrize("decay_power", [0, 3, 10])
@pytest.mark.parametrize("size", [(16_000,), (32, 32), (33, 20), (32, 32, 32)], ids=str)
def test_any_decay_power_is_finite_float32(size, decay_power, variant):
    images = low_frequency_image(2, size, decay_power, variant=variant, generator=generator())
    assert images.shape == (2, *size)
    assert images.dtype == torch.float32
    assert images.isfinite().all()
    assert (images.flatten(1).std(1) > 0).all()


def test_larger_decay_power_is_smoother():
    roughness = [
        low_frequency_image(50, 64, d, generator=generator()).diff(dim=1).std().item()
        / low_frequency_image(50, 64, d, generator=generator()).std().item()
        for d in (0, 1, 2, 3)
    ]
    assert roughness == sorted(roughness, reverse=True)


@pytest.mark.parametrize("variant", ["paper", "official"])
def test_noise_handed_in_is_used_and_left_alone(variant):
    noise = random_noise(3, (6, 7), variant)
    before = noise.clone()
    first = low_frequency_image(3, (6, 7), variant=variant, noise=noise)
    masks = fmix_mask(torch.full((3,), 0.4), (6, 7), variant=variant, noise=noise, rounding=torch.zeros(3))
    assert torch.equal(noise, before)
    assert torch.equal(first, low_frequency_image(3, (6, 7), variant=variant, generator=generator()))
    assert not torch.equal(first, low_frequency_image(3, (6, 7), variant=variant, generator=generator(1)))
    assert masks.flatten(1).gather(1, first.flatten(1).argsort(1, descending=True)[:, :5]).all()


def test_an_integer_size_is_one_dimension():
    assert low_frequency_image(2, 5).shape == (2, 5)
    assert fmix_mask(torch.rand(2), 5).shape == (2, 1, 5)
    assert noise_shape(2, 5) == (1, 5, 2)
    assert noise_shape(3, 5) == (2, 5, 2)


@pytest.mark.parametrize("shape", [(3, 4, 3), (2, 4, 3, 2), (3, 4, 4, 2), (3, 4, 2, 2)])
def test_noise_of_another_shape_is_refused(shape):
    with pytest.raises(InputError, match=r"noise .*must have shape \(2, 4, 4, 2\)"):
        low_frequency_image(3, (4, 4), noise=torch.zeros(shape))
    with pytest.raises(InputError, match=r"noise must have shape \(2, 4, 4, 2\)"):
        fmix_mask(torch.rand(3), (4, 4), noise=torch.zeros(shape))


@pytest.mark.parametrize("size", [(1,), (1, 4), (1, 2, 3)], ids=str)
def test_official_needs_two_rows_as_the_published_code_does(size):
    told = re.escape(f"'official' needs a first side of at least 2, got size {size}")
    with pytest.raises(InputError, match=told):
        fmix_mask(torch.rand(2), size, variant="official")
    with pytest.raises(InputError, match=told):
        low_frequency_image(2, size, variant="official")


@pytest.mark.parametrize("size", [(32,), (16, 16), (9, 12), (8, 12, 10), (5, 4, 9)], ids=str)
def test_official_energy_sits_in_the_two_lowest_columns(size):
    images = low_frequency_image(100, size, variant="official", generator=generator()).double()
    power = torch.fft.rfft(images, dim=-1).abs().square().flatten(0, -2).sum(0)
    assert power[2:].sum() < 1e-9 * power.sum()
    assert power[0] > 0
    assert power[1] > 0


# fmix_mask: the count


def assert_floor_or_ceiling(masks, lam):
    count = masks.flatten(1).double().sum(1)
    exact = lam.double() * masks[0].numel()
    assert (((masks == 0) | (masks == 1)).all()).item()
    # One part in 10⁶ of float32 arithmetic in λ·n may carry a product to the whole number beside it.
    assert (count >= (exact * (1 - 1e-6)).floor()).all()
    assert (count <= (exact * (1 + 1e-6)).ceil()).all()


@pytest.mark.parametrize("size", [*SIZES, (31, 33), (17,), (224, 224), (9, 10, 11)], ids=str)
def test_floor_or_ceiling_of_lam_n_ones(size):
    lam = torch.tensor([0, 1e-30, 1e-6, 0.3, 0.5, 2 / 3, 1 - 1e-6, 1])
    masks = fmix_mask(lam, size, generator=generator())
    assert masks.shape == (len(lam), 1, *size)
    assert masks.dtype == torch.float32
    assert_floor_or_ceiling(masks, lam)
    assert not masks[0].any()
    assert masks[-1].all()


@pytest.mark.parametrize("size", OFFICIAL_SIZES, ids=str)
def test_official_masks_of_every_size(size):
    lam = torch.tensor([0, 0.3, 0.5, 0.9, 1])
    assert_floor_or_ceiling(fmix_mask(lam, size, variant="official", generator=generator()), lam)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_lam_of_any_float_type(dtype):
    lam = torch.tensor([0, 0.3, 0.77, 1], dtype=dtype)
    masks = fmix_mask(lam, (31, 33), max_soft=0.0, generator=generator())
    assert masks.dtype == dtype
    assert_floor_or_ceiling(masks, lam)


@pytest.mark.parametrize("lam", [0.01, 0.3, 0.5, 0.999])
def test_the_count_is_right_on_average(lam):
    n, pixels = 40_000, 35
    counts = fmix_mask(torch.full((n,), lam), (7, 5), generator=generator()).flatten(1).sum(1).double()
    remainder = lam * pixels % 1
    z = (counts.mean() - lam * pixels) / math.sqrt(remainder * (1 - remainder) / n)
    assert abs(z) < 4.5


def test_rounding_handed_in_decides_the_count():
    rounding = torch.tensor([0, 0.24, 0.26, 0.99])
    counts = fmix_mask(torch.full((4,), 0.25), 5, rounding=rounding).flatten(1).sum(1)  # λn = 1.25
    assert counts.tolist() == [2, 2, 1, 1]
    counts = fmix_mask(torch.full((4,), 0.25), 5, rounding=rounding, variant="official").flatten(1).sum(1)
    assert counts.tolist() == [2, 2, 2, 1]
    assert fmix_mask(torch.full((4,), 0.4), 5, rounding=rounding).flatten(1).sum(1).tolist() == [2] * 4


def test_official_rounds_either_way_with_equal_chance():
    n = 20_000
    counts = fmix_mask(torch.full((n,), 0.28), (5, 7), variant="official", generator=generator()).flatten(1).sum(1)
    up = (counts == 10).double()  # λn = 9.8
    assert ((counts == 9) | (counts == 10)).all()
    assert abs(up.mean() - 0.5) * 2 * math.sqrt(n) < 4.5


# fmix_mask: which pixels


@pytest.mark.parametrize("size", [(33,), (5, 8), (3, 4, 5)], ids=str)
def test_ones_are_the_largest_pixels(size):
    noise, lam = random_noise(64, size), torch.linspace(0, 1, 64)
    images = low_frequency_image(64, size, noise=noise).flatten(1)
    masks = fmix_mask(lam, size, noise=noise, generator=generator()).flatten(1).bool()
    for image, mask in zip(images, masks, strict=True):
        if mask.any() and not mask.all():
            assert image[mask].min() > image[~mask].max()


@pytest.mark.parametrize("variant", ["paper", "official"])
def test_equal_pixels_are_taken_in_raster_order(variant):
    lam = torch.tensor([0, 0.2, 0.5, 0.95, 1])
    noise = torch.zeros(noise_shape(5, (4, 5), variant))
    masks = fmix_mask(lam, (4, 5), variant=variant, noise=noise).flatten(1)
    for mask, count in zip(masks, (0, 4, 10, 19, 20), strict=True):
        assert mask.tolist() == [1] * count + [0] * (20 - count)


def test_ties_across_the_threshold_of_a_two_valued_image():
    noise = torch.zeros(noise_shape(9, 8))
    noise[:, 4] = 1  # the Nyquist bin alone, in both parts: +, −, +, −, …
    masks = fmix_mask(torch.arange(9) / 8, 8, noise=noise).flatten(1)
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    for count, mask in enumerate(masks):
        assert sorted(order[:count]) == mask.nonzero().flatten().tolist()


@pytest.mark.parametrize("options", [{}, {"max_soft": 0.2}, {"salience": gaussian_salience((6, 7))}], ids=str)
@pytest.mark.parametrize("variant", ["paper", "official"])
def test_masks_do_not_depend_on_how_many_are_made_at_a_time(monkeypatch, variant, options):
    noise, lam, rounding = random_noise(50, (6, 7), variant), torch.rand(50), torch.rand(50)
    made = []
    for chunk in (1, 42 * 7, 10**9):
        monkeypatch.setattr(fmix, "CPU_CHUNK_ELEMENTS", chunk)
        made.append(fmix_mask(lam, (6, 7), variant=variant, noise=noise, rounding=rounding, **options))
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[0], made[2])


@pytest.mark.parametrize("variant", ["paper", "official"])
@pytest.mark.parametrize("size", [(32, 32), (33, 20), (7, 5), (999,), (8, 9, 10)], ids=str)
def test_many_small_draws_are_one_large_draw(monkeypatch, size, variant):
    """So a seed means the same masks wherever they are made: an accelerator draws all at once."""
    lam, made = torch.rand(70, generator=generator(1)), []
    for chunk in (1, 40 * math.prod(size), 10**9):
        monkeypatch.setattr(fmix, "CPU_CHUNK_ELEMENTS", chunk)
        made.append(fmix_mask(lam, size, variant=variant, generator=generator()))
    assert torch.equal(made[0], made[2])
    assert torch.equal(made[1], made[2])


@pytest.mark.parametrize("options", [{}, {"max_soft": 0.2}, {"variant": "official"}, {"salience": torch.ones(6, 8)}])
def test_the_function_compiles_whole(options):
    lam, noise = torch.rand(8), random_noise(8, (6, 8), options.get("variant", "paper"))
    draws = {"noise": noise, "rounding": torch.rand(8), **options}
    compiled = torch.compile(fmix_mask, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(lam, (6, 8), **draws), fmix_mask(lam, (6, 8), **draws))


def test_a_mask_per_sample_and_the_same_from_the_same_seed():
    lam = torch.full((300,), 0.5)
    masks = fmix_mask(lam, (32, 32), generator=generator(3))
    assert torch.equal(masks, fmix_mask(lam, (32, 32), generator=generator(3)))
    assert len(masks.flatten(1).unique(dim=0)) == 300


def asymmetry(masks):
    """z-scores of the difference between a mask's edges along x and along y, at several distances."""
    scores = []
    for lag in (1, 2, 4):
        along_x = (masks[..., lag:] != masks[..., :-lag]).double().mean((1, 2, 3))
        along_y = (masks[..., lag:, :] != masks[..., :-lag, :]).double().mean((1, 2, 3))
        difference = along_x - along_y
        scores.append((difference.mean() / difference.std() * math.sqrt(len(masks))).item())
    return scores


@pytest.mark.parametrize("side", [16, 15])
@pytest.mark.parametrize("decay_power", [1, 3])
def test_masks_are_isotropic_and_the_official_ones_are_not(side, decay_power):
    lam = torch.full((3000,), 0.5)
    paper = fmix_mask(lam, (side, side), decay_power, generator=generator())
    assert max(map(abs, asymmetry(paper))) < 4.5
    official = fmix_mask(lam, (side, side), decay_power, variant="official", generator=generator())
    assert max(map(abs, asymmetry(official))) > 10


# Softening


@pytest.mark.parametrize("max_soft", [0.01, 0.1, 0.3, 0.5])
@pytest.mark.parametrize("size", [(40,), (9, 11), (4, 5, 6), (100, 101)], ids=str)
def test_softening_keeps_the_mean_and_its_bound(size, max_soft):
    pixels = math.prod(size)
    lam = torch.cat([torch.linspace(0, 1, 21), torch.tensor([1e-3, 0.999])])
    count = (lam * pixels).floor()
    soft = fmix_mask(lam, size, max_soft=max_soft, rounding=torch.full_like(lam, 0.999999), generator=generator())
    assert ((soft >= 0) & (soft <= 1)).all()
    assert torch.allclose(soft.flatten(1).double().sum(1), count.double(), rtol=1e-5, atol=1e-4)
    partial = ((soft > 0) & (soft < 1)).flatten(1).sum(1)
    assert (partial <= 2 * max_soft * pixels).all()
    if pixels * max_soft >= 2:
        assert partial[10] > 0  # λ = ½ is softened


def test_softening_is_a_linear_ramp_in_rank():
    noise = random_noise(1, 20)
    order = low_frequency_image(1, 20, noise=noise)[0].argsort(descending=True)
    soft = fmix_mask(torch.tensor([0.5]), 20, max_soft=0.2, noise=noise)[0, 0]
    expected = [1.0] * 6 + torch.linspace(1, 0, 8).tolist() + [0.0] * 6
    assert soft[order].tolist() == pytest.approx(expected, abs=1e-6)
    tiny = fmix_mask(torch.tensor([0.5]), 20, max_soft=0.01, noise=noise)
    assert torch.equal(tiny, fmix_mask(torch.tensor([0.5]), 20, noise=noise))


# Salience


@pytest.mark.parametrize("size", [(50,), (12, 15), (5, 6, 7)], ids=str)
@pytest.mark.parametrize("sigma", [0.1, 0.25, 10])
def test_the_share_of_the_salience_is_lam_to_half_a_pixel(size, sigma):
    salience = gaussian_salience(size, sigma)
    lam = torch.linspace(0, 1, 101)
    masks = fmix_mask(lam, size, salience=salience, generator=generator())
    share = (masks.double() * salience.double()).flatten(1).sum(1) / salience.double().sum()
    assert (share - lam).abs().max() <= 0.5 * salience.max() / salience.sum() + 1e-6
    assert not masks[0].any()
    assert masks[-1].all()


def test_uniform_salience_counts_pixels_and_ranks_decide():
    noise, lam = random_noise(11, (4, 5)), torch.arange(11) / 10
    plain = fmix_mask(lam, (4, 5), noise=noise, rounding=torch.full((11,), 0.5))
    assert torch.equal(plain, fmix_mask(lam, (4, 5), noise=noise, salience=torch.full((4, 5), 3.0)))


def test_gaussian_salience_in_closed_form():
    weights = gaussian_salience((4, 7), 0.25)
    for row, column in ((0, 0), (1, 3), (3, 6)):
        y, x = (row + 0.5) / 4 - 0.5, (column + 0.5) / 7 - 0.5
        assert weights[row, column].item() == pytest.approx(math.exp(-(x**2 + y**2) / (2 * 0.25**2)))
    assert torch.allclose(weights, weights.flip(0, 1))


@pytest.mark.parametrize("size", [(60,), (16, 16), (6, 7, 8)], ids=str)
@pytest.mark.parametrize("variant", ["paper", "official"])
def test_fmix_with_salience_weighs_labels_by_the_salience(size, variant):
    salience = gaussian_salience(size)
    batch = fmix.FMix(salience=salience, variant=variant).pairs(
        torch.rand(64, 1, *size), torch.zeros(64, dtype=torch.long), generator=generator()
    )
    share = (batch.mask * salience).flatten(1).sum(1) / salience.sum()
    assert torch.allclose(batch.lam, share)
    assert not torch.allclose(batch.lam, batch.mask.flatten(1).mean(1), atol=1e-2)


# Errors

GOOD = torch.tensor([0.5, 0.5])


@pytest.mark.parametrize(
    ("lam", "told"),
    [
        (torch.tensor([0.5, 1.01]), r"lam must lie in \[0, 1\], got 1\.01"),
        (torch.tensor([-0.1, 0.5]), r"lam must lie in \[0, 1\], got -0\.1"),
        (torch.tensor([0.5, torch.nan]), r"lam must lie in \[0, 1\], got nan"),
        (torch.tensor([0, 1]), "lam must be a float tensor.*int64"),
        (torch.tensor([[0.5]]), r"lam must be a float tensor of shape \(B,\)"),
        (torch.tensor(0.5), r"lam must be a float tensor of shape \(B,\)"),
    ],
)
def test_bad_lam(lam, told):
    with pytest.raises(InputError, match=told):
        fmix_mask(lam, (4, 4))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"decay_power": -1}, "decay_power must be a number of at least 0, got -1"),
        ({"decay_power": math.nan}, "decay_power must be .* got nan"),
        ({"decay_power": math.inf}, "decay_power must be .* got inf"),
        ({"decay_power": "3"}, "decay_power must be .* got '3'"),
        ({"variant": "oficial"}, "unknown FMix variant 'oficial'. Did you mean 'official'"),
        ({"variant": "x"}, "unknown FMix variant 'x'. Known: official, paper"),
        ({"max_soft": -0.1}, r"max_soft must lie in \[0, 0\.5\], got -0\.1"),
        ({"max_soft": 0.51}, r"max_soft must lie in \[0, 0\.5\], got 0\.51"),
        ({"max_soft": math.nan}, "max_soft must lie .* got nan"),
        ({"salience": torch.ones(4, 5)}, r"salience must have the images' size \(4, 4\), got \(4, 5\)"),
        ({"salience": torch.zeros(4, 4)}, "salience must be non-negative"),
        ({"salience": -torch.eye(4)}, "salience must be non-negative"),
        ({"salience": torch.full((4, 4), torch.nan)}, "salience must be non-negative, finite"),
        ({"salience": torch.full((4, 4), torch.inf)}, "salience must be non-negative, finite"),
        ({"rounding": torch.zeros(3)}, r"rounding must have shape \(2,\), got \(3,\)"),
    ],
)
def test_bad_options(options, told):
    with pytest.raises(InputError, match=told):
        fmix_mask(GOOD, (4, 4), **options)
    if next(iter(options)) in ("decay_power", "variant"):
        with pytest.raises(InputError, match=told):
            low_frequency_image(2, (4, 4), **options)
    if next(iter(options)) in ("decay_power", "variant", "max_soft"):
        with pytest.raises(InputError, match=told):
            fmix.FMix(**options)


@pytest.mark.parametrize("size", [0, (), (4, 0), (-1, 4), (2, 2, 2, 2)])
def test_bad_size(size):
    with pytest.raises(InputError, match="a mask has 1, 2 or 3 dimensions of at least 1"):
        fmix_mask(GOOD, size)
    with pytest.raises(InputError, match="a mask has 1, 2 or 3 dimensions of at least 1"):
        low_frequency_image(2, size)


@pytest.mark.parametrize("sigma", [0, -1, math.nan])
def test_bad_sigma(sigma):
    with pytest.raises(InputError, match="sigma must be positive"):
        gaussian_salience((4, 4), sigma)


@pytest.mark.parametrize("make", [fmix_mask, cutmix_mask])
@pytest.mark.parametrize("dynamic", [None, True, pytest.param(False, marks=pytest.mark.slow)])
def test_masks_compile_for_any_size(make, dynamic):
    torch.compiler.reset()
    compiled = torch.compile(make, fullgraph=True, dynamic=dynamic, backend="eager")
    for count, size in ((4, (8, 8)), (6, (8, 8)), (6, (9, 12)), (3, (16, 5))):
        lam = torch.linspace(0, 1, count)
        torch.manual_seed(0)
        expected = make(lam, size)
        torch.manual_seed(0)
        assert torch.equal(compiled(lam, size), expected)


@pytest.mark.parametrize("variant", ["paper", "official"])
def test_of_one_position_all_or_nothing_is_kept(variant):
    mix = FMix(variant=variant)
    mask = mix.draw_mask(torch.full((4000,), 0.3), (1,), generator=torch.Generator().manual_seed(0))
    assert mask.shape == (4000, 1, 1)
    assert set(mask.flatten().tolist()) == {0.0, 1.0}
    assert abs(mask.mean().item() - 0.3) < 4 * math.sqrt(0.21 / 4000)
