import importlib
import math
from functools import cache

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal

from mixlens.analysis.errors import InputError
from mixlens.analysis.information import Encoding, GaussianWorld, encodings, rate_gaussian, rate_mixture
from mixlens.analysis.information.rate_gaussian import factored, moments

MODULE = importlib.import_module("mixlens.analysis.information.rate_mixture")  # the package's name is the function's


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, source):
    return torch.randn(*shape, generator=source, dtype=torch.float64)


def of_world(world, n, seed):
    sample = world.sample(n, generator=generator(seed))
    return *world.encoder_a(sample.x), sample.z_a


def of_clusters(n, seed, d=2, clusters=2, distance=20.0, signal=2.0):
    """Equally many images of each kind, far from the others: z = place + signal · x + ε, x and ε ~ N(0, I)."""
    source = generator(seed)
    places = distance * torch.arange(clusters, dtype=torch.float64)
    kinds = torch.randint(clusters, (n,), generator=source)
    mean = signal * normal(n, d, source=source)
    mean[:, 0] += places[kinds]
    return mean, torch.zeros_like(mean), mean + normal(n, d, source=source)


def information_of_clusters(d=2, clusters=2, signal=2.0):
    """h(z) − h(z|x): log of their number, where they do not overlap, and a Gaussian channel's."""
    return math.log(clusters) + 0.5 * d * math.log(1 + signal**2)


def overlapping(n, seed, place=1.5):
    """In one dimension: z = ±place + x/2 + ε/2. The information has no closed form, but an integral."""
    source = generator(seed)
    mean = (torch.randint(2, (n, 1), generator=source) * 2 - 1) * place + 0.5 * normal(n, 1, source=source)
    return mean, torch.full_like(mean, math.log(0.5)), mean + 0.5 * normal(n, 1, source=source)


def information_overlapping(place=1.5):
    grid = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    spread = math.sqrt(0.5)
    density = sum(0.5 * Normal(centre, spread).log_prob(grid).exp() for centre in (-place, place))
    entropy = -torch.trapezoid(torch.xlogy(density, density), grid).item()
    return entropy - 0.5 * math.log(2 * math.pi * math.e * 0.25)


def differing(n, seed, d=4):
    """Scales that differ by image, and a marginal that is no mixture of few Gaussians."""
    mean, log_scale, noise = normal(3, n, d, source=generator(seed))
    mean, log_scale = mean.abs() + 0.3 * mean, 0.8 * log_scale[:, :1].expand(-1, d) - 0.7
    return mean, log_scale, mean + log_scale.exp() * noise


# what it is


@pytest.mark.parametrize("encode", [of_clusters, differing])
def test_one_component_is_the_gaussian(encode):
    test, fit = encode(200, 0), encode(300, 1)
    expected = rate_gaussian(*test[:2], fit=fit[:2])
    estimate = rate_mixture(*test, fit=fit[:2], components=1)
    assert torch.equal(estimate.samples, expected.samples)
    assert estimate == expected


def test_terms_are_the_gaussians_less_the_log_ratio_of_the_marginals():
    """The mixture that was fitted, written out in the latents' own coordinates with torch.distributions."""
    test, fit = differing(50, 0), differing(300, 1)
    centre, covariance = moments(*fit[:2])
    scale, factor = factored(covariance)
    latents = MODULE.Latents((fit[0] - centre) / scale, fit[1].exp() / scale, factor)
    fitted = MODULE.fit_mixture(latents, 3, generator(7))
    back = scale[:, None] * factor  # z = centre + back · y
    components = MultivariateNormal(
        centre + fitted.mean @ back.T, back @ torch.linalg.inv(fitted.root.mT @ fitted.root) @ back.T
    )
    mixture = MixtureSameFamily(Categorical(logits=fitted.log_weight), components)
    gaussian = MultivariateNormal(centre, covariance)
    marginal = torch.logaddexp(math.log(0.99) + mixture.log_prob(test[2]), math.log(0.01) + gaussian.log_prob(test[2]))
    expected = rate_gaussian(*test[:2], fit=fit[:2]).samples - marginal + gaussian.log_prob(test[2])
    estimate = rate_mixture(*test, fit=fit[:2], components=3, generator=generator(7))
    assert torch.allclose(estimate.samples, expected, rtol=0, atol=1e-9)
    assert estimate.value == pytest.approx(expected.mean().item(), abs=1e-9)
    assert estimate.stderr == pytest.approx(expected.std().item() / math.sqrt(50), rel=1e-9)
    assert (estimate.bound, estimate.unit, estimate.n, estimate.ceiling) == ("upper", "nats", 50, None)
    assert not estimate.saturated


def test_its_expectation_is_that_of_sampled_densities():
    """E [log q(z|x) − log r(z)], with many latents of each image: the control variate changes no mean."""
    mean, log_scale, _ = differing(20, 0)
    fit = differing(400, 1)[:2]
    mean, log_scale = (values.repeat(2000, 1) for values in (mean, log_scale))
    z = mean + log_scale.exp() * normal(*mean.shape, source=generator(3))
    estimate = rate_mixture(mean, log_scale, z, fit=fit, components=4, generator=generator())
    gaussian = MultivariateNormal(*moments(*fit))
    ratio = rate_gaussian(mean, log_scale, fit=fit).samples - estimate.samples  # log r − log g at z
    density = Independent(Normal(mean, log_scale.exp()), 1).log_prob(z)
    plain = density - gaussian.log_prob(z) - ratio
    error = (plain - estimate.samples).std().item() / math.sqrt(len(z))
    assert abs(plain.mean().item() - estimate.value) < 4 * error
    assert error < 0.02


@pytest.mark.parametrize("seed", range(1, 5))
def test_no_image_is_far_above_its_gaussian_rate(seed, monkeypatch):
    """At the means themselves, which are no draws."""
    monkeypatch.setattr(encodings, "check_draws", lambda *checked: None)
    fit = of_clusters(2000, seed)
    line = torch.linspace(-60, 80, 141, dtype=torch.float64)  # mostly where no encoding is
    mean = torch.stack([line, 20 - line / 2], 1)
    test = mean, torch.full_like(mean, -2.0), mean
    expected = rate_gaussian(*test[:2], fit=fit[:2])
    estimate = rate_mixture(*test, fit=fit[:2], components=4, generator=generator())
    worst = (estimate.samples - expected.samples).max().item()
    assert worst == pytest.approx(math.log(100), abs=1e-3)


# against the truth


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
@pytest.mark.parametrize(("d", "clusters"), [pytest.param(1, 2, marks=pytest.mark.slow), (2, 4), (8, 3)])
def test_separate_clusters_are_found(d, clusters, seed):
    """The information is known; the Gaussian marginal misses it by far, and the mixture by what its fit costs."""
    truth = information_of_clusters(d, clusters)
    test, fit = of_clusters(3000, seed, d, clusters), of_clusters(10_000, 100 + seed, d, clusters)[:2]
    estimate = rate_mixture(*test, fit=fit, generator=generator(seed))
    cost = 12 * d * (d + 3) / (4 * 10_000) + 0.02  # and the 0.01 that the Gaussian's share takes
    assert truth - 4 * estimate.stderr < estimate.value < truth + 4 * estimate.stderr + cost
    assert rate_gaussian(*test[:2], fit=fit).value > truth + 0.7


@pytest.mark.slow
def test_overlapping_clusters_against_an_integral():
    truth = information_overlapping()
    estimate = rate_mixture(*overlapping(20_000, 0), fit=overlapping(20_000, 1)[:2], generator=generator())
    assert truth - 4 * estimate.stderr < estimate.value < truth + 4 * estimate.stderr + 0.02
    assert rate_gaussian(*overlapping(20_000, 0)[:2], fit=overlapping(20_000, 1)[:2]).value > truth + 0.1


WORLDS = [(4, 4), (12, 16), (78, 64), (0, 1), (1, 1), (1, 16), (78, 8)]


@pytest.mark.parametrize("components", [None, 4])
@pytest.mark.parametrize(
    ("nats", "d"), [*WORLDS[:3], *(pytest.param(*world, marks=pytest.mark.slow) for world in WORLDS[3:])], ids=str
)
def test_never_below_the_truth(nats, d, components):
    """A mean over worlds' samples, each with a fit of its own: no mixture, wanted or forced, undercuts it."""
    world = GaussianWorld.with_information(nats, d, offset=0.1, stretch=1.2)
    excesses = []
    for seed in range(12):
        test, fit = of_world(world, 300, seed), of_world(world, 1500, 100 + seed)[:2]
        estimate = rate_mixture(*test, fit=fit, components=components, generator=generator(seed))
        excesses.append(estimate.value - nats)
    excesses = torch.tensor(excesses, dtype=torch.float64)
    assert excesses.mean().item() > -4 * excesses.std().item() / math.sqrt(12) - 1e-9


@pytest.mark.parametrize(
    ("nats", "d"), [*(pytest.param(n, n, marks=pytest.mark.slow) for n in (1, 4)), (12, 16), (40, 30)]
)
def test_gaussian_latents_get_the_gaussian(nats, d):
    """The Gaussian is the marginal, and held-out encodings see that no mixture is better; in one dimension, nearly."""
    world = GaussianWorld.with_information(nats, d)
    for seed in range(5):
        test, fit = of_world(world, 300, seed), of_world(world, 3000, 100 + seed)[:2]
        expected = rate_gaussian(*test[:2], fit=fit).value
        estimate = rate_mixture(*test, fit=fit, generator=generator(seed))
        assert estimate.value == pytest.approx(expected, abs=0.005 if d == 1 else 0)


@pytest.mark.parametrize("size", [30, 100, pytest.param(1000, marks=pytest.mark.slow)])
def test_it_does_not_exceed_the_gaussian_rate(size):
    """On average over fits, few encodings or many, of latents that are Gaussian, nearly so, and not at all."""
    for encode in (lambda n, seed: of_world(GaussianWorld.with_information(3, 3), n, seed), overlapping, differing):
        gains = []
        for seed in range(20):
            test, fit = encode(300, seed), encode(size, 1000 + seed)[:2]
            estimate = rate_mixture(*test, fit=fit, generator=generator(seed))
            gains.append(rate_gaussian(*test[:2], fit=fit).value - estimate.value)
        gains = torch.tensor(gains, dtype=torch.float64)
        assert gains.mean().item() >= -2 * gains.std().item() / math.sqrt(20)


def test_scales_that_differ_by_image_are_seen():
    test, fit = differing(3000, 0), differing(5000, 1)[:2]
    estimate, gaussian = rate_mixture(*test, fit=fit, generator=generator()), rate_gaussian(*test[:2], fit=fit)
    gain = gaussian.samples - estimate.samples
    assert gain.mean().item() > 0.3 + 4 * gain.std().item() / math.sqrt(3000)


# its error


@cache
def mixture_of(encode):
    """One marginal for all evaluations."""
    fit = encode(1000, 10_000_000)[:2]
    centre, covariance = moments(*fit)
    scale, factor = factored(covariance)
    latents = MODULE.Latents((fit[0] - centre) / scale, fit[1].exp() / scale, factor)
    return fit, MODULE.choose_mixture(latents, generator())


@pytest.mark.slow
@pytest.mark.parametrize("encode", [of_clusters, overlapping, differing])
def test_the_interval_covers_the_expectation(encode, monkeypatch):
    fit, mixture = mixture_of(encode)
    assert mixture is not None
    monkeypatch.setattr(MODULE, "choose_mixture", lambda latents, generator: mixture)
    expected = rate_mixture(*encode(400_000, 7_000_000), fit=fit).value
    found = [rate_mixture(*encode(300, seed), fit=fit) for seed in range(400)]
    covered = sum(each.interval.low <= expected <= each.interval.high for each in found) / len(found)
    assert 0.92 <= covered <= 0.985
    scores = torch.tensor([(each.value - expected) / each.stderr for each in found])
    assert abs(scores.mean().item()) < 4 / math.sqrt(400)
    assert scores.std().item() == pytest.approx(1, abs=0.15)


# what changes nothing


def test_the_order_of_the_images_does_not_matter():
    test, fit, order = differing(200, 0), differing(500, 1)[:2], torch.randperm(200, generator=generator())
    first = rate_mixture(*test, fit=fit, generator=generator())
    second = rate_mixture(*(values[order] for values in test), fit=fit, generator=generator())
    assert torch.allclose(second.samples, first.samples[order], rtol=0, atol=1e-9)


def test_images_of_the_fit_in_order_are_shuffled():
    """Sorted by kind, a held-out fifth of the last rows would hold one kind alone."""
    test, fit = of_clusters(2000, 0), of_clusters(4000, 1)
    order = fit[0][:, 0].argsort()
    values = [
        rate_mixture(*test, fit=rows, generator=generator()).value
        for rows in (fit[:2], tuple(part[order] for part in fit[:2]))
    ]
    assert values[0] == pytest.approx(values[1], abs=0.03)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_scaling_and_shifting_latents_change_nothing(size):
    test, fit = differing(200, 0), differing(500, 1)[:2]
    factor = size * torch.tensor([3.0, 0.01, 500.0, 1.0]).double()
    shift = size * torch.tensor([7.0, -1.0, 0.0, 100.0]).double()

    def mapped(mean, log_scale, *z):
        return mean * factor + shift, log_scale + factor.log(), *(values * factor + shift for values in z)

    base = rate_mixture(*test, fit=fit, generator=generator())
    other = rate_mixture(*mapped(*test), fit=mapped(*fit), generator=generator())
    assert torch.allclose(other.samples, base.samples, rtol=0, atol=1e-6)


def test_turning_latents_over_changes_the_draws_alone():
    test, fit = differing(4000, 0), differing(4000, 1)[:2]
    sign = torch.tensor([-1.0, 1.0, -1.0, 1.0])
    base = rate_mixture(*test, fit=fit, generator=generator()).value
    other = rate_mixture(sign * test[0], test[1], sign * test[2], fit=(sign * fit[0], fit[1]), generator=generator())
    assert other.value == pytest.approx(base, abs=0.05)


def test_chunks_do_not_matter(monkeypatch):
    test, fit = differing(100, 0), differing(500, 1)[:2]
    whole = rate_mixture(*test, fit=fit, generator=generator())
    monkeypatch.setattr("mixlens.analysis.information.mixtures.MEMORY", 5000)
    parts = rate_mixture(*test, fit=fit, generator=generator())
    assert torch.allclose(parts.samples, whole.samples, rtol=0, atol=1e-8)


def test_the_generator_fixes_all_draws():
    test, fit = of_clusters(100, 0), of_clusters(1000, 1)[:2]
    first, same, other = (rate_mixture(*test[:2], fit=fit, generator=generator(seed)).value for seed in (0, 0, 1))
    assert first == same != other


def test_encodings_with_latents_are_a_fit_too():
    test, fit = differing(100, 0), differing(500, 1)
    first, second = (rate_mixture(*test, fit=rows, generator=generator()) for rows in (fit[:2], Encoding(*fit)))
    assert first == second


def test_single_precision_is_computed_in_double():
    test, fit = of_clusters(100, 0), of_clusters(400, 1)[:2]
    single = rate_mixture(*(v.float() for v in test), fit=tuple(v.float() for v in fit), generator=generator())
    assert single.samples.dtype == torch.float64
    assert single.value == pytest.approx(rate_mixture(*test, fit=fit, generator=generator()).value, abs=1e-4)


def test_a_collapsed_posterior_has_no_rate():
    zero = torch.zeros(500, 3)
    estimate = rate_mixture(zero[:50], zero[:50], fit=(zero, zero), generator=generator())
    assert estimate.value == pytest.approx(0, abs=1e-9)


@pytest.mark.gpu
def test_devices_agree():
    """A generator of the CPU gives both the same draws."""
    test, fit = differing(500, 0), differing(2000, 1)[:2]
    on_cpu = rate_mixture(*test, fit=fit, generator=generator())
    on_gpu = rate_mixture(*(v.cuda() for v in test), fit=tuple(v.cuda() for v in fit), generator=generator())
    assert on_gpu.value == pytest.approx(on_cpu.value, abs=1e-6)
    assert on_gpu.stderr == pytest.approx(on_cpu.stderr, abs=1e-6)


# what is refused


@pytest.mark.parametrize("components", [0, -1, 401, 2.0])
def test_a_number_of_components_that_cannot_be(components):
    with pytest.raises(
        InputError, match=f"components must be from 1 to the 400 encodings of the fit set, got {components}"
    ):
        rate_mixture(*of_clusters(100, 0), fit=of_clusters(400, 1)[:2], components=components)


def test_an_overlap_is_refused():
    test, fit = of_clusters(100, 0), of_clusters(400, 1)
    fit = tuple(torch.cat([theirs, ours[:7]]) for ours, theirs in zip(test[:2], fit[:2], strict=True))
    with pytest.raises(InputError, match="7 of 100 evaluated encodings are also in the fit set"):
        rate_mixture(*test, fit=fit)


def test_a_bad_fit_is_refused():
    with pytest.raises(InputError, match="fit must be two tensors"):
        rate_mixture(*of_clusters(100, 0), fit=of_clusters(400, 1)[0])
    with pytest.raises(InputError, match="3 latent dimensions, the evaluated encodings have 2"):
        rate_mixture(*of_clusters(100, 0), fit=of_clusters(400, 1, 3)[:2])
    with pytest.raises(InputError, match="span fewer than their 2 dimensions"):
        rate_mixture(*of_clusters(100, 0), fit=(torch.zeros(400, 2) + torch.rand(400, 1), torch.full((400, 2), -60.0)))
