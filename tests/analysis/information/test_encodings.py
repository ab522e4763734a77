"""What every estimator of Gaussian encodings refuses, and the parts they share."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from mixlens.analysis.errors import InputError
from mixlens.analysis.information import (
    index_code,
    infonce,
    leave_one_out,
    marginal_gap,
    rate,
    rate_defensive,
    rate_gaussian,
    rate_mixture,
    sandwich,
)
from mixlens.analysis.information.encodings import check_apart, log_density, log_prior, overlap, prepare


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


FIT = (draws(20, 3, seed=8), draws(20, 3, seed=9))
CLOSED = {"rate": rate, "rate_gaussian": lambda mean, log_scale: rate_gaussian(mean, log_scale, fit=FIT)}
SAMPLED = {
    "sandwich": sandwich,
    "leave_one_out": leave_one_out,
    "infonce": lambda *args, **options: infonce(*args, k=3, **options),
    "index_code": index_code,
    "rate_defensive": rate_defensive,
    "marginal_gap": lambda *args, **options: marginal_gap(*args, fit=FIT, **options),
}
MIXTURE = {"rate_mixture": lambda *args, **options: rate_mixture(*args, fit=FIT, components=2, **options)}
DRAWN = SAMPLED | MIXTURE  # the mixture takes no memory, and draws for its fit too


def spoiled(value, shape=(10, 3)):
    values = torch.zeros(shape)
    values.view(-1)[1] = value
    return values


@pytest.mark.parametrize("name", [*CLOSED, *DRAWN])
@pytest.mark.parametrize(
    ("mean", "log_scale", "message"),
    [
        (torch.zeros(10, 3), torch.zeros(10, 2), r"must both be \(N, d\), got \(10, 3\) and \(10, 2\)"),
        (torch.zeros(10, 3), torch.zeros(9, 3), r"must both be \(N, d\), got \(10, 3\) and \(9, 3\)"),
        (torch.zeros(10), torch.zeros(10), r"must both be \(N, d\), got \(10,\)"),
        (torch.zeros(5, 3, 2), torch.zeros(5, 3, 2), r"must both be \(N, d\), got \(5, 3, 2\)"),
        (torch.zeros(10, 0), torch.zeros(10, 0), r"must both be \(N, d\), got \(10, 0\)"),
        (torch.zeros(0, 3), torch.zeros(0, 3), "at least 3 encodings, got 0"),
        (torch.zeros(2, 3), torch.zeros(2, 3), "at least 3 encodings, got 2"),
        (spoiled(math.nan), torch.zeros(10, 3), "^mean holds 1 NaN or infinite values of 30"),
        (spoiled(-math.inf), torch.zeros(10, 3), "^mean holds 1 NaN or infinite"),
        (torch.zeros(10, 3), spoiled(math.nan), "^log_scale holds 1 NaN or infinite"),
        (torch.zeros(10, 3), spoiled(-math.inf), "^log_scale holds 1 NaN or infinite"),
        (torch.zeros(10, 3).long(), torch.zeros(10, 3), "^mean must hold floating-point numbers, got torch.int64"),
        (torch.zeros(10, 3), torch.zeros(10, 3).int(), "^log_scale must hold floating-point numbers"),
        (np.zeros((10, 3)), torch.zeros(10, 3), "^mean must be a torch tensor, got ndarray"),
        (torch.zeros(10, 3), np.zeros((10, 3)), "^log_scale must be a torch tensor, got ndarray"),
        (torch.zeros(10, 3), spoiled(150.5), r"^log_scale reaches 15\d; between ±150 is expected"),
        (torch.zeros(10, 3), spoiled(-1e4), r"^log_scale reaches 1e\+04.*natural logarithms"),
    ],
)
def test_bad_encodings_are_refused(name, mean, log_scale, message):
    with pytest.raises(InputError, match=message):
        (CLOSED | DRAWN)[name](mean, log_scale)


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize(
    ("z", "message"),
    [
        (torch.zeros(10, 2), r"^z must have the means' shape \(10, 3\).*got \(10, 2\)"),
        (torch.zeros(9, 3), "^z must have the means' shape"),
        (torch.zeros(1, 10, 3), "^z must have the means' shape"),
        (torch.zeros(3), "^z must have the means' shape"),
        (spoiled(math.nan), "^z holds 1 NaN"),
        (spoiled(math.inf), "^z holds 1 NaN or infinite"),
        (torch.zeros(10, 3).long(), "^z must hold floating-point numbers"),
        (np.zeros((10, 3)), "^z must be a torch tensor"),
    ],
)
def test_bad_latents_are_refused(name, z, message):
    with pytest.raises(InputError, match=message):
        DRAWN[name](draws(10, 3), draws(10, 3, seed=1), z)


@pytest.mark.parametrize("name", SAMPLED)
@pytest.mark.parametrize("memory", [0, -1])
def test_no_memory_is_refused(name, memory):
    with pytest.raises(InputError, match=f"memory is the bytes .* got {memory}"):
        SAMPLED[name](draws(10, 3), draws(10, 3, seed=1), generator=generator(), memory=memory)


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("log_scale", [-150.0, 75.0, 150.0])
def test_the_largest_scales_are_accepted(name, log_scale):
    estimate = DRAWN[name](draws(10, 3), torch.full((10, 3), log_scale), generator=generator())
    for side in estimate if isinstance(estimate, tuple) else [estimate]:
        assert math.isfinite(side.value)


@pytest.mark.parametrize("name", DRAWN)
def test_scales_far_from_one_another_are_accepted(name):
    log_scale = torch.full((10, 3), 150.0)
    log_scale[::2] *= -1
    estimate = DRAWN[name](draws(10, 3), log_scale, generator=generator())
    for side in estimate if isinstance(estimate, tuple) else [estimate]:
        assert math.isfinite(side.value)


@pytest.mark.parametrize("name", DRAWN)
def test_the_input_is_left_alone(name):
    mean, log_scale, noise = (draws(10, 3, seed=seed) for seed in (0, 1, 2))
    given = [mean, log_scale, mean + log_scale.exp() * noise / noise.square().mean(0).sqrt()]
    before = [values.clone() for values in given]
    DRAWN[name](*given)
    assert all(torch.equal(a, b) for a, b in zip(given, before, strict=True))


@pytest.mark.parametrize("name", SAMPLED)
def test_latents_come_from_the_generator_or_from_the_caller(name):
    mean, log_scale = draws(10, 3), draws(10, 3, seed=1) / 4 + 1
    z = mean + log_scale.exp() * torch.randn(10, 3, generator=generator(5), dtype=torch.float64)

    def values(*args, **options):
        estimate = SAMPLED[name](mean, log_scale, *args, **options)
        return [side.value for side in estimate] if isinstance(estimate, tuple) else [estimate.value]

    drawn = values(generator=generator(5))
    assert drawn == values(generator=generator(5))
    assert drawn == values(z)
    assert drawn != values(generator=generator(6))


# the parts


def test_latents_are_drawn_from_the_encodings():
    mean, log_scale = torch.tensor([[3.0, -1.0]]).expand(50_000, 2), torch.tensor([[0.5, -2.0]]).expand(50_000, 2)
    z = prepare(mean, log_scale, generator=generator())[2]
    standard = (z - mean) / log_scale.exp()
    assert z.dtype == torch.float64
    assert standard.mean(0).abs().max() < 4 / math.sqrt(50_000)
    assert torch.allclose(standard.T.cov(), torch.eye(2, dtype=torch.float64), atol=0.03)


def test_densities_against_torch_distributions():
    mean, log_scale, z = (draws(30, 4, seed=seed) for seed in range(3))
    expected = Normal(mean, log_scale.exp()).log_prob(z).sum(1)
    assert torch.allclose(log_density(z, mean, log_scale), expected, rtol=0, atol=1e-12)
    assert torch.allclose(log_prior(z), Normal(0.0, 1.0).log_prob(z).sum(1), rtol=0, atol=1e-12)


def test_common_rows_are_found():
    rows, others = draws(1000, 3), draws(500, 3, seed=1)
    assert not any(part.any() for part in overlap(rows, others))
    shared = torch.zeros(1000, dtype=torch.bool)
    shared[[0, 17, 999]] = True
    in_rows, in_fit = overlap(rows, torch.cat([rows[shared], others]))
    assert torch.equal(in_rows, shared)
    assert in_fit.nonzero().flatten().tolist() == [0, 1, 2]


def test_similar_rows_are_others():
    rows = draws(100, 3)
    for other in (rows.flip(1), -rows, 2 * rows, rows + 1e-15):
        assert not any(part.any() for part in overlap(rows, other))


def test_rows_of_few_values_are_told_apart():
    """Small integers: all low bits of their representation are zero."""
    grid = torch.cartesian_prod(*[torch.arange(16.0)] * 3)
    assert not any(part.any() for part in overlap(grid[::2], grid[1::2]))
    assert all(part.all() for part in overlap(grid, grid))


def test_minus_zero_is_zero():
    rows = draws(5, 2)
    rows[:, 0] = 0.0
    assert overlap(rows, rows * torch.tensor([-1.0, 1.0]))[0].all()


def test_rows_that_repeat_in_the_evaluation_are_no_overlap():
    rows = torch.zeros(10, 2)
    rows[0] = 1.0
    assert [part.tolist() for part in overlap(rows, rows)] == [[True] + [False] * 9] * 2
    check_apart(rows[1:], rows, "images")
    with pytest.raises(InputError, match="1 of 10 evaluated images are also in the fit set"):
        check_apart(rows, rows, "images")


def test_rows_that_repeat_in_the_fit_are_overlap():
    rows = draws(10, 2)
    in_rows, in_fit = overlap(rows, rows[[3, 3, 5]])
    assert in_rows.nonzero().flatten().tolist() == [3, 5]
    assert in_fit.all()


# z is a draw


def encoded(rows=400, latents=3, scale=0.2):
    source = torch.Generator().manual_seed(0)
    mean = 3 + torch.randn(rows, latents, generator=source, dtype=torch.float64)
    log_scale = torch.full_like(mean, math.log(scale))
    return mean, log_scale, mean + scale * torch.randn(rows, latents, generator=source, dtype=torch.float64)


@pytest.mark.parametrize("rows", [3, 20, 4000])
@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e3])
def test_a_draw_passes(rows, scale):
    for seed in range(20):
        mean, log_scale, _ = encoded(rows, scale=scale)
        z = prepare(mean, log_scale, generator=torch.Generator().manual_seed(seed))[2]
        assert torch.equal(prepare(mean, log_scale, z)[2], z)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda mean, z: z.flip(0), r"\(\(z − mean\)/scale\)²( of latent \d)? is \d\d"),  # another image's
        (lambda mean, z: mean, r"is 0, and 1 is expected"),
        (lambda mean, z: mean + 0.2 * (z - mean), r"is 0\.04"),  # scaled by the variance
        (lambda mean, z: mean + 1.3 * (z - mean), r"is 1\.[67]"),
        (lambda mean, z: torch.cat([z[:, :2], z[:, 2:].flip(0)], 1), r"of latent 2 is \d\d"),
        (lambda mean, z: z + 1, r"is \d\d"),
    ],
)
def test_what_is_none_is_told_with_the_mean_square(change, told):
    mean, log_scale, z = encoded()
    with pytest.raises(InputError, match=f"z is no draw from .*{told}"):
        prepare(mean, log_scale, change(mean, z))


def test_a_scale_that_float32_rounds_away():
    """Around 3 its numbers are 2.4e-7 apart: an upper bound of 1.15 came out as 0.88."""
    mean, log_scale, z = encoded(scale=1e-7)
    prepare(mean, log_scale, z)
    with pytest.raises(InputError, match=r"torch\.float32 rounds it\. .* Draw z in float64, or leave z out"):
        prepare(mean.float(), log_scale.float(), z.float())
    for rows in (10, 400):  # of which the mean square need not tell
        with pytest.raises(InputError, match=r"float32 rounds it"):
            prepare(mean[:rows].float(), log_scale[:rows].float(), z[:rows].float())
    prepare(mean.float(), log_scale.float())
    prepare(mean.float(), (log_scale + 5).float(), (mean + math.exp(5) * (z - mean)).float())
