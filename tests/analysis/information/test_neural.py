import math

import pytest
import torch
from torch import nn

from mixlens.analysis.errors import InputError
from mixlens.analysis.information.neural import evaluate_critic, neural

ESTIMATORS = ("infonce", "nwj", "mine", "smile")
BOUNDS = {"infonce": "lower", "nwj": "lower", "mine": "none", "smile": "none"}
SMALL = {"steps": 100, "batch_size": 128, "hidden": 32, "features": 16, "learning_rate": 3e-3}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def bivariate(rho, n, seed=0):
    x, noise = torch.randn(2, n, 1, generator=generator(seed), dtype=torch.float64)
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def truth(rho):
    return -0.5 * math.log(1 - rho**2)


def log_ratio(rho, shift=0.0):
    """log p(x, y) / p(x) p(y) of a bivariate normal, plus ``shift``."""

    def critic(x, y):
        y = y.T
        return truth(rho) + shift + (2 * rho * x * y - rho**2 * (x**2 + y**2)) / (2 * (1 - rho**2))

    return critic


def bilinear(d_x, d_y, size=1.0):
    weight = size * torch.randn(d_x, d_y, generator=generator(d_x), dtype=torch.float64)
    return lambda x, y: x @ weight @ y.T


def plain(scores, estimator, clip=5.0):
    """The estimators' definitions in loops over a full matrix of scores."""
    n, scores = len(scores), scores.tolist()
    own = sum(scores[i][i] for i in range(n)) / n
    if estimator == "infonce":
        return own - sum(math.log(sum(math.exp(f) for f in row) / n) for row in scores) / n
    apart = [scores[i][j] for i in range(n) for j in range(n) if i != j]
    if estimator == "nwj":
        return own - sum(math.exp(f - 1) for f in apart) / len(apart)
    if estimator == "smile":
        apart = [min(max(f, -clip), clip) for f in apart]
    return own - math.log(sum(math.exp(f) for f in apart) / len(apart))


def mean_over_seeds(critic, estimator, rho, n, seeds):
    values = [evaluate_critic(critic, *bivariate(rho, n, seed), estimator).value for seed in range(seeds)]
    values = torch.tensor(values, dtype=torch.float64)
    return values.mean().item(), values.std().item() / math.sqrt(seeds)


# the values


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("n", [3, 64, 65, 150])
def test_estimates_match_plain_loops(estimator, n):
    x, y = bivariate(0.8, n)
    critic = log_ratio(0.8)
    estimate = evaluate_critic(critic, x, y, estimator)
    assert estimate.value == pytest.approx(plain(critic(x, y), estimator), abs=1e-10)
    assert estimate.samples.mean().item() == pytest.approx(estimate.value, abs=1e-10)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_estimates_of_a_bilinear_critic_match_plain_loops(estimator):
    x = torch.randn(130, 4, generator=generator(), dtype=torch.float64)
    y = torch.randn(130, 2, generator=generator(1), dtype=torch.float64)
    critic = bilinear(4, 2)
    assert critic(x, y).abs().max() > 5, "SMILE clips some"
    estimate = evaluate_critic(critic, x, y, estimator)
    assert estimate.value == pytest.approx(plain(critic(x, y), estimator), rel=1e-12, abs=1e-10)


@pytest.mark.parametrize("clip", [0.1, 1.0, 100.0])
def test_smile_clips_where_it_is_told(clip):
    x, y = bivariate(0.8, 60)
    critic = log_ratio(0.8)
    value = evaluate_critic(critic, x, y, "smile", clip=clip).value
    assert value == pytest.approx(plain(critic(x, y), "smile", clip), abs=1e-10)
    if clip == 100:
        assert value == pytest.approx(evaluate_critic(critic, x, y, "mine").value, abs=1e-12)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("memory", [1, 8 * 150 * 7, 8 * 150 * 149])
def test_the_chunk_size_does_not_matter(estimator, memory):
    x, y = bivariate(0.8, 150)
    whole = evaluate_critic(log_ratio(0.8), x, y, estimator)
    parts = evaluate_critic(log_ratio(0.8), x, y, estimator, memory=memory)
    assert parts.value == pytest.approx(whole.value, abs=1e-9)
    assert parts.stderr == pytest.approx(whole.stderr, rel=1e-9)
    assert torch.allclose(parts.influence, whole.influence, atol=1e-9)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_order_of_pairs_does_not_matter(estimator):
    x, y = bivariate(0.8, 150)
    order = torch.randperm(150, generator=generator())
    before, after = (evaluate_critic(log_ratio(0.8), *p, estimator) for p in ((x, y), (x[order], y[order])))
    assert after.value == pytest.approx(before.value, abs=1e-10)
    assert after.stderr == pytest.approx(before.stderr, rel=1e-9)


@pytest.mark.parametrize("estimator", ["infonce", "mine"])
def test_a_constant_added_to_the_scores_changes_nothing(estimator):
    x, y = bivariate(0.8, 100)
    values = [evaluate_critic(log_ratio(0.8, shift), x, y, estimator).value for shift in (0.0, 30.0)]
    assert values[1] == pytest.approx(values[0], abs=1e-10)


def test_infonce_does_not_mind_a_function_of_x():
    x, y = bivariate(0.8, 100)
    plain, moved = log_ratio(0.8), lambda x, y: log_ratio(0.8)(x, y) + 5 * x.square()
    expected = evaluate_critic(plain, x, y).value
    assert evaluate_critic(moved, x, y).value == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(("estimator", "level"), [("infonce", 3.0), ("nwj", 1.0), ("mine", 3.0), ("smile", 3.0)])
def test_scores_all_alike_say_zero(estimator, level):
    estimate = evaluate_critic(lambda x, y: torch.full((len(x), len(y)), level), *bivariate(0.9, 50), estimator)
    assert estimate.value == pytest.approx(0, abs=1e-12)
    assert estimate.stderr == pytest.approx(0, abs=1e-12)


# directions


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_estimates_state_their_direction(estimator):
    estimate = evaluate_critic(log_ratio(0.8), *bivariate(0.8, 100), estimator)
    assert (estimate.bound, estimate.unit, estimate.n) == (BOUNDS[estimator], "nats", 100)
    assert estimate.ceiling == (math.log(100) if estimator == "infonce" else None)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_nwj_is_unbiased_at_its_optimum(rho):
    mean, stderr = mean_over_seeds(log_ratio(rho, 1.0), "nwj", rho, 200, 100)
    assert abs(mean - truth(rho)) <= 4 * stderr + 1e-9


@pytest.mark.parametrize("n", [5, 50, 200])
@pytest.mark.parametrize("rho", [0.5, 0.8, 0.95])
def test_infonce_is_below_the_truth(rho, n):
    mean, stderr = mean_over_seeds(log_ratio(rho), "infonce", rho, n, 100)
    assert mean <= truth(rho) + 4 * stderr
    assert mean > 0.5 * truth(rho)


@pytest.mark.parametrize("estimator", ["infonce", "nwj"])
@pytest.mark.parametrize("critic", [log_ratio(0.3), log_ratio(0.85), log_ratio(-0.5), bilinear(1, 1, 0.3)])
def test_any_critic_gives_a_lower_bound(estimator, critic):
    mean, stderr = mean_over_seeds(critic, estimator, 0.6, 100, 60)
    assert mean <= truth(0.6) + 4 * stderr


def test_infonce_is_at_most_log_n():
    x, y = bivariate(1 - 1e-9, 40)
    estimate = evaluate_critic(log_ratio(1 - 1e-9), x, y)
    assert estimate.value <= math.log(40) < truth(1 - 1e-9)
    assert estimate.saturated
    assert (estimate.stderr, estimate.interval) == (None, None)
    assert not evaluate_critic(log_ratio(0.5), *bivariate(0.5, 40)).saturated


@pytest.mark.parametrize("estimator", ["mine", "smile"])
def test_donsker_varadhan_exceeds_the_truth_with_few_samples_at_high_information(estimator):
    # Even with the best critic of all: the log of a mean of few e^f misses the rare large ones. So it bounds nothing.
    rho = 1 - 1e-5
    mean, stderr = mean_over_seeds(log_ratio(rho), estimator, rho, 20, 200)
    assert mean > truth(rho) + 0.5 + 4 * stderr
    for lower, shift in (("infonce", 0.0), ("nwj", 1.0)):
        mean, stderr = mean_over_seeds(log_ratio(rho, shift), lower, rho, 20, 200)
        assert mean < truth(rho) + 4 * stderr


# errors


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("rho", [0.5, 0.9])
def test_standard_errors_match_the_jackknife(estimator, rho):
    n = 150
    x, y = bivariate(rho, n, seed=3)
    critic = log_ratio(rho, 1.0 if estimator == "nwj" else 0.0)
    without = [torch.arange(n) != i for i in range(n)]
    values = torch.tensor([evaluate_critic(critic, x[rest], y[rest], estimator).value for rest in without]).double()
    jackknife = math.sqrt((n - 1) / n * (values - values.mean()).square().sum().item())
    assert evaluate_critic(critic, x, y, estimator).stderr == pytest.approx(jackknife, rel=0.05)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_standard_errors_match_the_spread_over_samples(estimator):
    critic = log_ratio(0.7, 1.0 if estimator == "nwj" else 0.0)
    found = [evaluate_critic(critic, *bivariate(0.7, 300, seed), estimator) for seed in range(150)]
    spread = torch.tensor([e.value for e in found]).std().item()
    assert sum(e.stderr for e in found) / len(found) == pytest.approx(spread, rel=0.2)
    centre = sum(e.value for e in found) / len(found)
    covered = sum(e.interval.low <= centre <= e.interval.high for e in found) / len(found)
    assert covered >= 0.88


# training and evaluating in one


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_neural_is_reproducible_and_keeps_its_direction(estimator):
    x, y = bivariate(0.8, 300, 1)
    fit = bivariate(0.8, 600, 2)
    first, same = (neural(x, y, estimator, fit=fit, generator=generator(), **SMALL) for _ in range(2))
    other = neural(x, y, estimator, fit=fit, generator=generator(1), **SMALL)
    assert first.value == same.value
    assert first.value != other.value
    assert first.bound == BOUNDS[estimator]
    assert 0.1 < first.value < truth(0.8) + 4 * first.stderr


def test_vectors_are_one_dimension():
    (x, y), fit = bivariate(0.8, 100, 1), bivariate(0.8, 100, 2)
    columns = neural(x, y, fit=fit, generator=generator(), steps=5)
    vectors = neural(x[:, 0], y[:, 0], fit=(fit[0][:, 0], fit[1][:, 0]), generator=generator(), steps=5)
    assert vectors.value == columns.value


def test_overlap_of_fit_and_evaluated_pairs_is_refused():
    x, y = bivariate(0.8, 100)
    with pytest.raises(InputError, match="1 of 50 evaluated pairs are also in the fit set"):
        neural(x[:50], y[:50], fit=(x[49:], y[49:]))
    neural(x[:50], y[:50], fit=(x[50:], y[50:]), steps=1)


def test_sharing_x_alone_is_no_overlap():
    x, y = bivariate(0.8, 100)
    neural(x[:50], y[:50], fit=(x[:50], y[50:]), steps=1)


def test_a_fit_set_of_other_dimensions_is_refused():
    x, y = bivariate(0.8, 100)
    with pytest.raises(InputError, match="the fit set has 2 and 1 dimensions, the evaluated pairs have 1 and 1"):
        neural(x[:50], y[:50], fit=(x[50:].expand(-1, 2), y[50:]))


def test_a_small_fit_set_is_refused():
    x, y = bivariate(0.8, 69)
    with pytest.raises(InputError, match="at least 40 pairs to be trained on, got 19"):
        neural(x[:50], y[:50], fit=(x[50:], y[50:]))


def test_an_unknown_estimator_is_refused():
    x, y = bivariate(0.8, 100)
    with pytest.raises(InputError, match=r"unknown estimator 'infoNCE'\. Did you mean 'infonce'"):
        evaluate_critic(log_ratio(0.8), x, y, "infoNCE")
    with pytest.raises(InputError, match=r"unknown .* 'smiles'\. Did you mean 'smile'"):
        neural(x[:50], y[:50], "smiles", fit=(x[50:], y[50:]), steps=1)


# critics of the user's own


class Product(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))
        self.seen = []

    def forward(self, x, y):
        self.seen.append((x.dtype, torch.is_grad_enabled()))
        return self.scale * x @ y.T


def test_modules_get_their_own_dtype_and_no_gradient():
    x, y = bivariate(0.8, 100)
    module = Product().eval()
    estimate = evaluate_critic(module, x, y)
    assert set(module.seen) == {(torch.float32, False)}
    expected = plain(0.5 * x @ y.T, "infonce")
    assert estimate.value == pytest.approx(expected, abs=1e-5)
    assert module.scale.requires_grad


def test_a_module_in_training_mode_is_refused():
    with pytest.raises(InputError, match=r"training mode.* Call .eval\(\)"):
        evaluate_critic(Product(), *bivariate(0.8, 100))


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
    ("critic", "message"),
    [
        (lambda x, y: (x * y).sum(1), r"\(64, 64\) is expected for 64 x and 64 y, got \(64,\)"),
        (lambda x, y: (x @ y.T)[:, :1], r"got \(64, 1\)"),
        (lambda x, y: (x @ y.T)[None], r"got \(1, 64, 64\)"),
        (lambda x, y: (x @ y.T).log(), "scores are not all finite"),
        (lambda x, y: x @ y.T / 0, "scores are not all finite"),
        # finite on the diagonal blocks that are scored first
        (lambda x, y: x @ y.T * (math.inf if len(x) != len(y) else 1), "scores are not all finite"),
    ],
)
def test_scores_that_cannot_be_used_are_refused(critic, message, estimator):
    with pytest.raises(InputError, match=message):
        evaluate_critic(critic, *bivariate(0.8, 100), estimator, memory=8 * 100 * 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip": 0.0}, "clip bounds .* must be positive, got 0"),
        ({"clip": -1.0}, "clip bounds .* must be positive"),
        ({"clip": math.nan}, "clip bounds .* must be positive"),
        ({"memory": 0}, "memory .* at least 1; got 0"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        evaluate_critic(log_ratio(0.5), *bivariate(0.5, 50), "smile", **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:2], y[:2]), "at least 3 pairs, got 2"),
        (lambda x, y: (x, y[:40]), "one row per pair"),
        (lambda x, y: (x.int(), y), "x must hold floating-point numbers"),
        (lambda x, y: (x, y / 0), "y holds 50 NaN or infinite"),
        (lambda x, y: (x.numpy(), y), "x must be a torch tensor"),
    ],
)
def test_pairs_that_cannot_be_used_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        evaluate_critic(log_ratio(0.5), *change(*bivariate(0.5, 50)))
