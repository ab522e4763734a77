import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.linalg import block_diag
from torch.distributions import MultivariateNormal, kl_divergence

from mixlens.analysis.errors import InputError
from mixlens.analysis.information.rate import rate
from mixlens.analysis.information.world import GaussianWorld, LinearEncoder, mmse_decoder
from mixlens.analysis.statistics.uncertainty import from_independent

WORLDS = range(40)
NAMES = ("x", "z_a", "z_x", "reconstruction", "z_again")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_encoder(d, p, draw):
    def normal(*size):
        return torch.randn(*size, generator=draw, dtype=torch.float64)

    return LinearEncoder(normal(d, p), normal(d), normal(d).mul(0.5).exp())


def random_world(seed, decoder="random", same=False):
    """Non-square encoders of different sizes with offsets, anisotropic data and noise."""
    draw = generator(seed)
    p, d_a, d_x = (int(torch.randint(1, 9, (), generator=draw)) for _ in range(3))
    if decoder == "injective":
        d_x = min(d_x, p)
    root = torch.randn(p, p, generator=draw, dtype=torch.float64)
    covariance = root @ root.T + 0.1 * torch.eye(p, dtype=torch.float64)
    a, x = random_encoder(d_a, p, draw), random_encoder(d_x, p, draw)
    x = a if same else x
    if decoder == "mmse":
        matrix = mmse_decoder(covariance, x)
    else:
        matrix = torch.randn(p, len(x.scale), generator=draw, dtype=torch.float64)
    return GaussianWorld(covariance, a, x, matrix)


def joint(world):
    """Means and joint covariance of the whole chain: a linear map of (x, noise of z_A, of z_X, of z′_A)."""
    a, x, decoder = world.encoder_a, world.encoder_x, world.decoder.numpy()
    p, d_a, d_x = len(decoder), len(a.scale), len(x.scale)
    w_a, w_x = a.weight.numpy(), x.weight.numpy()
    zero = np.zeros
    rows = {
        "x": [np.eye(p), zero((p, d_a)), zero((p, d_x)), zero((p, d_a))],
        "z_a": [w_a, np.eye(d_a), zero((d_a, d_x)), zero((d_a, d_a))],
        "z_x": [w_x, zero((d_x, d_a)), np.eye(d_x), zero((d_x, d_a))],
        "reconstruction": [decoder @ w_x, zero((p, d_a)), decoder, zero((p, d_a))],
        "z_again": [w_a @ decoder @ w_x, zero((d_a, d_a)), w_a @ decoder, np.eye(d_a)],
    }
    noises = [np.diag(scale.numpy() ** 2) for scale in (a.scale, x.scale, a.scale)]
    base = block_diag(world.covariance.numpy(), *noises)
    matrices = {name: np.concatenate(blocks, 1) for name, blocks in rows.items()}
    mean_x = decoder @ x.offset.numpy()
    means = {
        "x": zero(p),
        "z_a": a.offset.numpy(),
        "z_x": x.offset.numpy(),
        "reconstruction": mean_x,
        "z_again": w_a @ mean_x + a.offset.numpy(),
    }
    return means, {(i, j): matrices[i] @ base @ matrices[j].T for i in NAMES for j in NAMES}


def information(world, first, second):
    """½ log [det C_1 / det C_1|2]; the pseudo-inverse because reconstructions may live on a plane."""
    _, covariance = joint(world)
    own, cross, other = covariance[first, first], covariance[first, second], covariance[second, second]
    left = own - cross @ np.linalg.pinv(other, rcond=1e-12, hermitian=True) @ cross.T
    return 0.5 * (np.linalg.slogdet(own)[1] - np.linalg.slogdet(left)[1])


# closed forms


@pytest.mark.parametrize(("w", "variance", "scale", "offset"), [(1.0, 1.0, 1.0, 0.0), (-2.0, 0.3, 0.1, 1.5)])
def test_one_dimension_by_hand(w, variance, scale, offset):
    def column(value):
        return torch.tensor([[value]], dtype=torch.float64)

    a = LinearEncoder(column(w), column(offset)[0], column(scale)[0])
    x = LinearEncoder(column(3.0), column(0.7)[0], column(0.5)[0])
    world = GaussianWorld(column(variance), a, x, column(0.8))
    cov_a, cov_x = w**2 * variance + scale**2, 9 * variance + 0.25
    encoded = 0.5 * math.log(1 + w**2 * variance / scale**2)
    shared = -0.5 * math.log(1 - (3 * w * variance) ** 2 / (cov_a * cov_x))
    reencoded = 0.5 * math.log(1 + w**2 * 0.64 * cov_x / scale**2)
    gap = 0.5 * (cov_a + offset**2 - 1 - math.log(cov_a))
    again, centre = w**2 * 0.64 * cov_x + scale**2, w * 0.8 * 0.7 + offset
    assert world.information() == pytest.approx(encoded, abs=1e-10)
    assert world.information(x) == pytest.approx(0.5 * math.log(1 + 9 * variance / 0.25), abs=1e-10)
    assert world.information_shared() == pytest.approx(shared, abs=1e-10)
    assert world.information_paired() == pytest.approx(shared, abs=1e-10), "x̂ is z_X in other units"
    assert world.information_reencoded() == pytest.approx(reencoded, abs=1e-10)
    assert world.gap() == pytest.approx(gap, abs=1e-10)
    assert world.rate() == pytest.approx(encoded + gap, abs=1e-10)
    expected = reencoded + 0.5 * (again + centre**2 - 1 - math.log(again))
    assert world.rate_reencoded() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("decoder", ["random", "mmse"])
@pytest.mark.parametrize("seed", WORLDS)
def test_informations_are_log_determinants_of_the_joint_covariance(seed, decoder):
    world = random_world(seed, decoder)
    assert world.information() == pytest.approx(information(world, "z_a", "x"), abs=1e-10)
    assert world.information(world.encoder_x) == pytest.approx(information(world, "z_x", "x"), abs=1e-10)
    assert world.information_shared() == pytest.approx(information(world, "z_a", "z_x"), abs=1e-10)
    assert world.information_paired() == pytest.approx(information(world, "z_a", "reconstruction"), abs=1e-10)
    # Its conditional covariance is known, the noise: no small difference of large matrices.
    _, covariance = joint(world)
    noise = 2 * world.encoder_a.scale.log().sum().item()
    expected = 0.5 * (np.linalg.slogdet(covariance["z_again", "z_again"])[1] - noise)
    assert world.information_reencoded() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("seed", WORLDS)
def test_rates_are_information_plus_a_divergence(seed):
    world = random_world(seed)
    means, covariance = joint(world)

    def from_prior(name):
        d = len(means[name])
        own = MultivariateNormal(torch.from_numpy(means[name]), torch.from_numpy(covariance[name, name]))
        return kl_divergence(own, MultivariateNormal(torch.zeros(d).double(), torch.eye(d).double())).item()

    assert world.gap() == pytest.approx(from_prior("z_a"), rel=1e-9)
    assert world.gap() > 0
    assert world.rate() == pytest.approx(world.information() + world.gap(), rel=1e-12)
    assert world.rate_reencoded() == pytest.approx(world.information_reencoded() + from_prior("z_again"), rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_rates_match_monte_carlo(seed):
    world = random_world(seed)
    sample = world.sample(20_000, generator=generator(100 + seed))
    for x, truth in ((sample.x, world.rate()), (sample.reconstruction, world.rate_reencoded())):
        estimate = rate(*world.encoder_a(x))
        assert abs(estimate.value - truth) < 4 * estimate.stderr
    means, covariance = joint(world)
    marginal = MultivariateNormal(torch.from_numpy(means["z_a"]), torch.from_numpy(covariance["z_a", "z_a"]))
    d = len(means["z_a"])
    prior = MultivariateNormal(torch.zeros(d).double(), torch.eye(d).double())
    gap = from_independent(marginal.log_prob(sample.z_a) - prior.log_prob(sample.z_a), "none")
    assert abs(gap.value - world.gap()) < 4 * gap.stderr


@pytest.mark.parametrize("seed", WORLDS)
def test_shared_information_is_symmetric(seed):
    world = random_world(seed)
    decoder = torch.zeros(len(world.covariance), len(world.encoder_a.scale), dtype=torch.float64)
    swapped = GaussianWorld(world.covariance, world.encoder_x, world.encoder_a, decoder)
    assert swapped.information_shared() == pytest.approx(world.information_shared(), abs=1e-10)


# the data-processing inequality


@pytest.mark.parametrize("seed", WORLDS)
def test_paired_is_at_most_shared_is_at_most_either_information(seed):
    world = random_world(seed)
    shared = world.information_shared()
    assert world.information_paired() <= shared + 1e-10
    assert shared < min(world.information(), world.information(world.encoder_x))
    assert world.information_paired() > 0


@pytest.mark.parametrize("seed", WORLDS)
def test_an_injective_decoder_loses_nothing(seed):
    world = random_world(seed, "injective")
    assert world.information_paired() == pytest.approx(world.information_shared(), abs=1e-9)


@pytest.mark.parametrize("seed", WORLDS)
def test_the_mmse_decoder_loses_nothing(seed):
    world = random_world(seed, "mmse")  # E[x|z] is sufficient even where it maps z to fewer dimensions
    assert world.information_paired() == pytest.approx(world.information_shared(), abs=1e-9)


@pytest.mark.parametrize("seed", WORLDS)
def test_a_decoder_of_lower_rank_loses_information(seed):
    world = random_world(seed)
    p, d = world.decoder.shape
    keeps = min(p, d, len(world.encoder_a.scale)) - 1
    left, right = (torch.randn(*s, generator=generator(seed), dtype=torch.float64) for s in ((p, keeps), (keeps, d)))
    world = replace(world, decoder=left @ right)
    if keeps:
        assert world.information_paired() == pytest.approx(information(world, "z_a", "reconstruction"), abs=1e-10)
    assert world.information_paired() < world.information_shared() - 1e-6


def test_a_constant_reconstruction_carries_no_information():
    world = random_world(3)
    world = replace(world, decoder=torch.zeros_like(world.decoder))
    assert world.information_paired() == 0
    assert world.information_reencoded() == 0


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("seed", WORLDS)
def test_reencoding_an_mmse_reconstruction_exceeds_what_is_shared(seed, same):
    # z_A = W x̂ + W (x − x̂) + noise has the noise of z′_A = W x̂ + noise, and more.
    world = random_world(seed, "mmse", same)
    assert world.information_reencoded() > world.information_shared() + 1e-6


@pytest.mark.parametrize("nats", [1, 4, 12, 40])
@pytest.mark.parametrize("dimensions", [4, 16, 64])
def test_reencoding_exceeds_what_is_shared_in_every_known_world(nats, dimensions):
    world = GaussianWorld.with_information(nats, dimensions, seed=nats)
    assert world.information_reencoded() > world.information_shared()
    assert world.information_paired() == pytest.approx(world.information_shared(), abs=1e-6)
    assert world.information_shared() < nats


# worlds of a given information


@pytest.mark.parametrize("nats", [0, 1, 4, 12, 78])
@pytest.mark.parametrize("dimensions", [1, 4, 16, 64])
def test_with_information_has_so_many_nats(nats, dimensions):
    world = GaussianWorld.with_information(nats, dimensions, seed=dimensions)
    assert world.information() == pytest.approx(nats, abs=1e-9)
    assert world.information(world.encoder_x) == pytest.approx(nats, abs=1e-9)
    assert world.gap() == pytest.approx(0, abs=1e-12)
    assert world.rate() == pytest.approx(nats, abs=1e-9)
    assert world.encoder_a.weight.shape == world.covariance.shape == (dimensions, dimensions)


def test_shared_information_of_known_worlds_in_one_dimension():
    # Both latents have the squared correlation 1 − e^−2I with x, and its square with each other.
    for nats in (0.5, 2, 8):
        expected = -0.5 * math.log(1 - (1 - math.exp(-2 * nats)) ** 2)
        assert GaussianWorld.with_information(nats, 1).information_shared() == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(("nats", "dimensions"), [(78, 1), (78, 4)])
def test_shared_information_at_correlations_that_round_to_one(nats, dimensions):
    shared = GaussianWorld.with_information(nats, dimensions).information_shared()
    assert math.isfinite(shared)
    assert 0 < shared < nats


@pytest.mark.parametrize(("offset", "stretch"), [(0.5, 1.0), (0.0, 3.0), (-1.0, 0.2)])
def test_offset_and_stretch_open_the_gap_and_change_no_information(offset, stretch):
    plain = GaussianWorld.with_information(5, 7, seed=2)
    other = GaussianWorld.with_information(5, 7, offset=offset, stretch=stretch, seed=2)
    expected = 7 * offset**2 / 2 + 4 * 0.5 * (stretch**2 - 1 - 2 * math.log(stretch))
    assert other.gap() == pytest.approx(expected, abs=1e-10)
    for name in ("information", "information_shared", "information_paired", "information_reencoded"):
        assert getattr(other, name)() == pytest.approx(getattr(plain, name)(), abs=1e-9)
    assert other.rate() == pytest.approx(5 + expected, abs=1e-9)


def test_worlds_are_drawn_from_the_seed():
    first, same, other = (GaussianWorld.with_information(3, 4, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.covariance, same.covariance)
    assert torch.equal(first.encoder_a.weight, same.encoder_a.weight)
    assert not torch.allclose(first.covariance, other.covariance)
    assert not torch.allclose(first.encoder_a.weight, first.encoder_x.weight), "two encoders"


# draws


@pytest.mark.parametrize("seed", range(8))
def test_sample_moments_match_the_closed_forms(seed):
    world, n = random_world(seed), 20_000
    means, covariance = joint(world)
    sample = world.sample(n, generator=generator(seed))
    for first in NAMES:
        mine = getattr(sample, first).numpy() - means[first]
        spread = np.sqrt(np.diag(covariance[first, first]))
        assert np.abs(mine.mean(0) / spread * math.sqrt(n)).max() < 5
        for second in NAMES:
            theirs = getattr(sample, second).numpy() - means[second]
            products = mine.T @ theirs / n
            # Isserlis: var(ab) = C_aa C_bb + C_ab²
            error = np.outer(np.diag(covariance[first, first]), np.diag(covariance[second, second]))
            error = np.sqrt((error + covariance[first, second] ** 2) / n)
            assert (np.abs(products - covariance[first, second]) < 5 * error).all()


def test_sample_runs_along_the_chain():
    world = random_world(4)
    sample = world.sample(50, generator=generator())
    assert [values.shape for values in sample] == [
        (50, len(world.covariance)),
        (50, len(world.encoder_a.scale)),
        (50, len(world.encoder_x.scale)),
        (50, len(world.covariance)),
        (50, len(world.encoder_a.scale)),
    ]
    assert torch.allclose(sample.reconstruction, sample.z_x @ world.decoder.T)
    assert all(values.dtype == torch.float64 for values in sample)


def test_draws_come_from_the_generator():
    world = random_world(4)
    first, same, other = (world.sample(10, generator=generator(seed)) for seed in (0, 0, 1))
    assert all(map(torch.equal, first, same))
    assert not any(map(torch.allclose, first, other))


def test_an_encoder_returns_means_and_log_scales():
    world = random_world(5)
    x = torch.randn(6, len(world.covariance), generator=generator(), dtype=torch.float64)
    mean, log_scale = world.encoder_a(x)
    expected = [world.encoder_a.weight @ row + world.encoder_a.offset for row in x]
    assert torch.allclose(mean, torch.stack(expected))
    assert torch.equal(log_scale, world.encoder_a.scale.log().expand(6, -1))


@pytest.mark.parametrize("seed", range(10))
def test_the_mmse_decoder_is_the_regression_of_x_on_z(seed):
    world = random_world(seed, "mmse")
    _, covariance = joint(world)
    expected = covariance["x", "z_x"] @ np.linalg.inv(covariance["z_x", "z_x"])
    assert np.allclose(world.decoder.numpy(), expected, atol=1e-10)


# what is refused


def plain(**changed):
    """Three data dimensions, two latents of A, one of X."""

    def ones(*size):
        return torch.ones(size, dtype=torch.float64)

    parts = {
        "covariance": torch.eye(3, dtype=torch.float64),
        "a": {"weight": ones(2, 3), "offset": ones(2), "scale": ones(2)},
        "x": {"weight": ones(1, 3), "offset": ones(1), "scale": ones(1)},
        "decoder": ones(3, 1),
    }
    for key, value in changed.items():
        head, _, tail = key.partition("_")
        if tail:
            parts[head][tail] = value
        else:
            parts[head] = value
    a, x = (LinearEncoder(**parts[name]) for name in ("a", "x"))
    return GaussianWorld(parts["covariance"], a, x, parts["decoder"])


def test_the_plain_world_is_accepted():
    assert plain().information() > 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"covariance": torch.ones(3, 2).double()}, r"covariance must be float64 of shape \(3, 3\)"),
        ({"covariance": torch.ones(3).double()}, r"covariance must be float64 of shape \(3, 3\)"),
        ({"covariance": torch.eye(3)}, "covariance must be float64"),
        ({"covariance": torch.eye(3).int()}, "covariance must hold floating-point numbers"),
        ({"covariance": np.eye(3)}, "covariance must be a torch tensor"),
        ({"covariance": torch.eye(3).double() * math.nan}, "covariance holds 9 NaN"),
        ({"covariance": torch.eye(3).double() * torch.tensor([1, 1, -1])}, "symmetric and positive definite"),
        ({"covariance": torch.ones(3, 3).double().triu() + torch.eye(3)}, "symmetric and positive definite"),
        ({"covariance": torch.zeros(3, 3).double()}, "symmetric and positive definite"),
        ({"decoder": torch.ones(1, 3).double()}, r"decoder must be float64 of shape \(3, 1\)"),
        ({"decoder": torch.ones(3, 1)}, "decoder must be float64"),
        ({"decoder": torch.ones(3, 1).double() / 0}, "decoder holds 3 NaN or infinite"),
        ({"a_weight": torch.ones(3, 2).double()}, r"encoder_a weight must be float64 of shape \(2, 3\)"),
        ({"a_weight": torch.ones(2, 3)}, "encoder_a weight must be float64"),
        ({"x_weight": torch.ones(1, 3).double() * math.nan}, "encoder_x weight holds 3 NaN"),
        ({"a_offset": torch.ones(3).double()}, r"encoder_a offset must be float64 of shape \(2,\)"),
        ({"x_offset": torch.ones(1)}, "encoder_x offset must be float64"),
        ({"x_scale": torch.ones(1)}, "encoder_x scale must be float64"),
        ({"a_scale": torch.tensor([1.0, 0.0]).double()}, "encoder_a scale holds standard deviations"),
        ({"x_scale": torch.tensor([-1.0]).double()}, "encoder_x scale holds standard deviations"),
    ],
)
def test_worlds_that_do_not_fit_are_refused(changed, message):
    with pytest.raises(InputError, match=message):
        plain(**changed)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nats": -1.0, "dimensions": 2}, "nats is an information: finite, at least 0; got -1"),
        ({"nats": math.nan, "dimensions": 2}, "nats is an information"),
        ({"nats": math.inf, "dimensions": 2}, "nats is an information"),
        ({"nats": 1.0, "dimensions": 0}, "dimensions must be at least 1, got 0"),
        ({"nats": 1000.0, "dimensions": 1}, "1000.0 nats in 1 dimensions .* give more dimensions"),
        ({"nats": 1.0, "dimensions": 2, "offset": math.nan}, "offset must be finite"),
        ({"nats": 1.0, "dimensions": 2, "stretch": 0.0}, "stretch positive"),
        ({"nats": 1.0, "dimensions": 2, "stretch": -1.0}, "stretch positive"),
        ({"nats": 1.0, "dimensions": 2, "stretch": math.inf}, "stretch positive"),
    ],
)
def test_impossible_informations_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        GaussianWorld.with_information(**arguments)
