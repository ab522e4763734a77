"""Constants, ties, outliers and scales at float64's ends: an estimate is finite, or is refused with a reason."""

import math
import warnings

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from mixlens.analysis.errors import InputError
from mixlens.analysis.information import (
    encodings,
    fit_critic,
    gaussian,
    infonce,
    ksg,
    marginal_gap,
    neural,
    rate,
    rate_defensive,
    rate_gaussian,
    rate_mixture,
    sandwich,
    smallest_rate,
)
from mixlens.analysis.statistics.uncertainty import from_independent

KINDS = ("plain", "constant", "one constant", "zero", "ties", "outlier")
SCALES = (1e-300, 1e-160, 1e-20, 1.0, 1e20, 1e60, 1e160, 1e299)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(kind, n, d=2, seed=0):
    values = torch.randn(n, d, generator=generator(seed), dtype=torch.float64)
    if kind == "constant":
        values[:] = 0.7
    elif kind == "one constant":
        values[:, 0] = 0.7
    elif kind == "zero":
        values[:] = 0
    elif kind == "ties":
        values = values.round()
    elif kind == "outlier":
        values[0, 0] = 1e7
    return values


def is_finite(estimate):
    numbers = [estimate.value, *([] if estimate.stderr is None else [estimate.stderr]), *(estimate.interval or ())[:2]]
    return all(map(math.isfinite, numbers))


def ends(estimate):
    """Finite, or refused; refusals are no errors of NumPy's or LAPACK's."""
    try:
        result = estimate()
    except InputError as error:
        return len(str(error)) > 20
    return all(map(is_finite, result if isinstance(result, tuple) else (result,)))


@pytest.mark.parametrize("n", [3, pytest.param(4, marks=pytest.mark.slow), 30])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", SCALES)
def test_estimates_from_encodings(kind, scale, n):
    mean, scales = draw(kind, n) * scale, draw("plain", n, seed=1) / 10
    fit = draw(kind, n, seed=2) * scale, draw("plain", n, seed=3) / 10
    for log_scale in (scales, scales - 140, scales + 140, torch.zeros_like(mean)):
        for z in (None, mean, torch.full_like(mean, scale)):
            coded = {"mean": mean, "log_scale": log_scale, "z": z, "generator": generator()}
            assert ends(lambda coded=coded: sandwich(**coded))
            assert ends(lambda coded=coded: infonce(k=2, **coded))
            assert ends(lambda coded=coded: rate_defensive(**coded))
        assert ends(lambda log_scale=log_scale: rate(mean, log_scale))
        assert ends(lambda log_scale=log_scale: rate_gaussian(mean, log_scale, fit=fit))
        assert ends(lambda log_scale=log_scale: smallest_rate(((mean, log_scale), fit), generator=generator()))
        assert ends(lambda coded=coded: rate_mixture(**coded, fit=fit, components=2))
        assert ends(lambda coded=coded: marginal_gap(**coded, fit=fit))


@pytest.mark.parametrize("n", [3, 4, 60])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", SCALES)
def test_estimates_from_samples(kind, scale, n):
    x = draw(kind, n) * scale
    y = (draw("plain", n) + draw("plain", n, seed=1)) / scale
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert ends(lambda: gaussian(x, y))
        for variant in (1, 2):
            assert ends(lambda variant=variant: ksg(x, y, k=2, variant=variant, workers=1))
        assert ends(lambda: ksg(x, y, k=2, jitter=1e-6, generator=generator(), workers=1))


def by_hand(mean, log_scale, z):
    q = [[Normal(m, s.exp()).log_prob(value).sum() for m, s in zip(mean, log_scale, strict=True)] for value in z]
    q = torch.stack([torch.stack(row) for row in q])
    others = q.masked_fill(torch.eye(len(q), dtype=torch.bool), -math.inf).logsumexp(1) - math.log(len(q) - 1)
    return (math.log(len(q)) + q.diagonal() - q.logsumexp(1)).mean().item(), (q.diagonal() - others).mean().item()


@pytest.fixture
def any_latents(monkeypatch):
    """Latents need be no draws here: of their formulas, not of their meaning."""
    monkeypatch.setattr(encodings, "check_draws", lambda *checked: None)


@pytest.mark.parametrize("constant", ["z", "mean", "both"])
def test_a_constant_latent_has_its_value(constant, any_latents):
    """Every pair's density by torch.distributions. Before, the spread of zero left NaN."""
    mean, log_scale, z = draw("plain", 20), draw("plain", 20, seed=1) / 4, draw("plain", 20, seed=2)
    if constant != "z":
        mean[:, 0] = 0.7
    if constant != "mean":
        z[:, 0] = 0.7
    both = sandwich(mean, log_scale, z)
    assert (both.lower.value, both.upper.value) == pytest.approx(by_hand(mean, log_scale, z), rel=1e-9)
    assert both.lower.stderr > 0


def test_latents_that_are_all_equal_have_no_information(any_latents):
    """q(z|x) is one for all, so no pair is better than another: 0 below, 0 above, whatever the draws."""
    both = sandwich(torch.full((9, 2), 0.7), torch.zeros(9, 2), torch.full((9, 2), 0.7))
    assert (both.lower.value, both.upper.value) == pytest.approx((0, 0), abs=1e-12)


@pytest.mark.parametrize("scale", [2.0**-990, 2.0**-500, 2.0**900])
def test_samples_in_other_units_have_the_same_information(scale):
    """A power of two rounds nothing, so it is the same to the last bit, for a critic too."""
    x, y = draw("plain", 200), draw("plain", 200) + draw("plain", 200, seed=1)
    assert gaussian(x * scale, y).value == gaussian(x, y).value
    assert ksg(x * scale, y, workers=1).value == ksg(x, y, workers=1).value
    fit = draw("plain", 300, seed=2), draw("plain", 300, seed=2) + draw("plain", 300, seed=3)
    known = {"steps": 100, "batch_size": 64}
    plain = neural(x, y, fit=fit, generator=generator(), **known)
    assert plain.value > 0.1, "it learned something"
    assert neural(x * scale, y, fit=(fit[0] * scale, fit[1]), generator=generator(), **known).value == plain.value


def test_the_error_of_terms_whose_squares_overflow():
    """Of a, 2a, 3a the deviation is a and the error of the mean a/√3: ½ μ² here, then as given."""
    mean = torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64).sqrt() * 2**0.5 * 1e74
    estimate = rate(mean, torch.full((3, 1), -1.0, dtype=torch.float64))
    assert estimate.stderr == pytest.approx(1e148 / 3**0.5)
    huge = from_independent(torch.tensor([1e200, 2e200, 3e200], dtype=torch.float64), "upper")
    assert (huge.value, huge.stderr) == pytest.approx((2e200, 1e200 / 3**0.5))


def test_a_critic_of_a_constant_coordinate_scores_it_alike():
    x, y = draw("one constant", 100), draw("plain", 100, seed=1)
    critic = fit_critic(x, y, steps=5, generator=generator())
    assert torch.isfinite(critic(x, y)).all()


@pytest.mark.parametrize("whole", [np.int64, np.array, torch.tensor])
def test_counts_of_numpy_and_torch_are_counts(whole):
    x, y = draw("plain", 30), draw("plain", 30, seed=1)
    scales, fit = torch.zeros_like(x), (draw("plain", 40, seed=2), torch.zeros(40, 2))
    assert ksg(x, y, k=whole(5), workers=1).value == ksg(x, y, k=5, workers=1).value
    z = x + draw("plain", 30, seed=4)
    assert infonce(x, scales, z, k=whole(10)).value == infonce(x, scales, z, k=10).value
    one, other = (rate_mixture(x, scales, z, fit=fit, components=c, generator=generator()) for c in (2, whole(2)))
    assert one.value == other.value
    with pytest.raises(InputError, match="k is a number of neighbours"):
        ksg(x, y, k=np.float64(2.5))
