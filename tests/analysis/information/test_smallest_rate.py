"""The smallest rate of several encoders, chosen where it is not evaluated."""

import pytest
import torch

from mixlens.analysis.errors import InputError
from mixlens.analysis.information import rate, rate_gaussian, rate_mixture, smallest_rate


def generator():
    """A fixed one: on a few hundred Gaussian latents a mixture is now and then taken for better than their Gaussian."""
    return torch.Generator().manual_seed(0)


def encodings(seed, offset=0.0, scale=1.0):
    source = torch.Generator().manual_seed(seed)
    mean = scale * torch.randn(400, 3, generator=source, dtype=torch.float64) + offset
    return mean, torch.full_like(mean, -1.0)


POOR, RICH, SHIFTED = ({"scale": 0.1}, {"scale": 3.0}, {"scale": 0.1, "offset": 20.0})


@pytest.mark.parametrize("order", [(POOR, RICH), (RICH, POOR)])
def test_it_is_the_poorer_encoders(order):
    test, fit = encodings(0, **POOR), encodings(1, **POOR)
    expected = min(rate(*test).value, rate_gaussian(*test, fit=fit).value)
    given = [(encodings(0, **kind), encodings(1, **kind)) for kind in order]
    assert smallest_rate(*given, generator=generator()).value == expected


def test_it_is_against_the_marginal_where_the_prior_misses():
    test, fit = encodings(0, **SHIFTED), encodings(1, **SHIFTED)
    made = smallest_rate((test, fit), generator=generator())
    assert made == rate_gaussian(*test, fit=fit)
    assert made.value < rate(*test).value / 10


def test_the_choice_does_not_look_at_what_is_evaluated():
    """The fit sets say that the first is poorer; the evaluated encodings, the other way round, have no say."""
    rich, poor = (encodings(0, **RICH), encodings(1, **POOR)), (encodings(2, **POOR), encodings(3, **RICH))
    made = smallest_rate(rich, poor, generator=generator())
    assert made.value > 10


def test_no_encoder_is_refused():
    with pytest.raises(InputError, match="at least one encoder"):
        smallest_rate()


def test_it_is_against_a_mixture_where_one_is_better():
    """Encodings of two kinds, far apart; the latents that are given are those evaluated."""

    def clusters(seed):
        mean, log_scale = encodings(seed)
        mean[::2] += 30
        noise = torch.randn(400, 3, generator=torch.Generator().manual_seed(99 + seed), dtype=torch.float64)
        return mean, log_scale, mean + log_scale.exp() * noise

    test, fit = clusters(0), clusters(1)
    made = smallest_rate((test, fit[:2]), generator=generator())
    assert made == rate_mixture(*test, fit=fit[:2], generator=generator())
    assert made.value < rate_gaussian(*test[:2], fit=fit[:2]).value - 0.5
