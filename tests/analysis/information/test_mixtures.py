import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from mixlens.analysis.information import mixtures
from mixlens.analysis.information.mixtures import Latents, Mixture, choose_mixture, fit_mixture, improve
from mixlens.analysis.information.rate_gaussian import factored, moments


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def encodings(n=200, d=3, seed=0):
    mean, log_scale = torch.randn(2, n, d, generator=generator(seed), dtype=torch.float64)
    mean = mean @ torch.randn(d, d, generator=generator(99), dtype=torch.float64)
    mean[: n // 3] += 4
    return mean, 0.5 * log_scale - 1


def latents(*args, **options):
    mean, log_scale = encodings(*args, **options)
    centre, covariance = moments(mean, log_scale)
    scale, factor = factored(covariance)
    return Latents((mean - centre) / scale, log_scale.exp() / scale, factor)


def gaussians(mixture):
    return [
        MultivariateNormal(mean, precision_matrix=root.T @ root)
        for mean, root in zip(mixture.mean, mixture.root, strict=True)
    ]


def a_mixture(k=2, d=3):
    mean = torch.randn(k, d, generator=generator(5), dtype=torch.float64)
    root = torch.randn(k, d, d, generator=generator(6), dtype=torch.float64).tril(-1) / 2
    root = root + torch.diag_embed(torch.rand(k, d, generator=generator(7), dtype=torch.float64) + 0.5)
    return Mixture(torch.log_softmax(torch.arange(k, dtype=torch.float64), 0), mean, root)


def mean_log_density(mixture, y):
    return torch.logsumexp(mixture.log_ratios(y), 1).mean().item()


def test_draws_have_the_moments_of_the_coordinates():
    y = torch.cat([latents().draw(generator(seed)) for seed in range(500)])
    assert y.mean(0).abs().max() < 0.02
    assert torch.allclose(y.T.cov(), torch.eye(3, dtype=torch.float64), atol=0.02)


def test_ratios_against_torch_distributions():
    mixture, y = a_mixture(), torch.randn(40, 3, generator=generator(), dtype=torch.float64)
    parts = torch.stack([w + g.log_prob(y) for w, g in zip(mixture.log_weight, gaussians(mixture), strict=True)], 1)
    standard = MultivariateNormal(torch.zeros(3).double(), torch.eye(3).double()).log_prob(y)
    assert torch.allclose(mixture.log_ratios(y), parts - standard[:, None], rtol=0, atol=1e-12)
    whole = (0.99 * parts.exp().sum(1) + 0.01 * standard.exp()).log() - standard
    assert torch.allclose(mixture.log_ratio(y), whole, rtol=0, atol=1e-12)


def test_a_step_against_loops():
    """Responsibilities, then means, covariances shrunk to I by d rows of it, weights with one row more."""
    y, before = latents(), a_mixture()
    after = improve(before, y, 1, generator(3))
    y = y.draw(generator(3))
    shares = torch.stack(
        [w.exp() * g.log_prob(y).exp() for w, g in zip(before.log_weight, gaussians(before), strict=True)]
    )
    shares = shares / shares.sum(0)
    for k, share in enumerate(shares):
        count, mean = share.sum(), (share[:, None] * y).sum(0) / share.sum()
        spread = sum(s * torch.outer(row - mean, row - mean) for s, row in zip(share, y, strict=True))
        covariance = (spread + 3 * torch.eye(3)) / (count + 3)
        assert after.log_weight[k].exp().item() == pytest.approx((count.item() + 1) / 202)
        assert torch.allclose(after.mean[k], mean, rtol=0, atol=1e-10)
        assert torch.allclose(torch.linalg.inv(after.root[k].T @ after.root[k]), covariance, rtol=0, atol=1e-10)


def test_steps_raise_the_density_of_fresh_latents():
    of, mixture = latents(2000), a_mixture(4)
    values = []
    for step in range(8):
        values.append(mean_log_density(mixture, of.draw(generator(99))))
        mixture = improve(mixture, of, 1, generator(step))
    assert values[0] < values[1] < values[2] < values[4] < values[7]


def test_fresh_latents_keep_a_component_from_the_draws_of_few_encodings():
    """With two encodings of wide scale, repeated latents would be fitted by needles; fresh ones give their scale."""
    few = Latents(torch.zeros(2, 1).double(), torch.ones(2, 1).double(), torch.eye(1).double())
    mixture = improve(
        Mixture(torch.zeros(1).double(), torch.zeros(1, 1).double(), torch.ones(1, 1, 1).double()), few, 50, generator()
    )
    assert mixture.root.item() < 3


def test_a_component_that_loses_all_rows_stays_finite():
    mixture = a_mixture(3)
    mixture.mean[1] = 1e6
    after = improve(mixture, latents(), 2, generator())
    assert all(torch.isfinite(part).all() for part in after)


@pytest.mark.parametrize(("n", "tried"), [(100, []), (120, [4]), (359, [4]), (360, [4, 12])])
def test_few_encodings_try_few_components(monkeypatch, n, tried):
    sizes = []
    monkeypatch.setattr(mixtures, "fit_mixture", lambda rest, components, _: sizes.append(components) or a_mixture())
    choose_mixture(latents(n), generator())
    assert sizes == tried


def test_what_is_held_out_has_no_part_in_its_fit(monkeypatch):
    seen = []
    monkeypatch.setattr(mixtures, "fit_mixture", lambda rest, components, _: seen.append(rest) or a_mixture())
    of = latents(400)
    choose_mixture(of, generator())
    assert [len(rest.mean) for rest in seen] == [320, 320]
    assert all(any(torch.equal(row, other) for other in of.mean) for row in seen[0].mean[:5])
    assert len(torch.cat([seen[0].mean, of.mean]).unique(dim=0)) == 400


def test_a_mixture_that_gains_nothing_is_not_chosen():
    of = Latents(
        torch.randn(1000, 2, generator=generator(), dtype=torch.float64),
        torch.full((1000, 2), 1e-3).double(),
        torch.eye(2).double(),
    )
    assert choose_mixture(of, generator()) is None
    assert choose_mixture(latents(1000), generator()) is not None


def test_more_components_than_encodings_are_as_many():
    assert len(fit_mixture(latents(5), 5, generator()).mean) == 5


def test_the_share_bounds_the_tails():
    ratio = a_mixture().log_ratio(torch.full((1, 3), 50.0).double())
    assert ratio.item() == pytest.approx(math.log(0.01), abs=1e-9)
