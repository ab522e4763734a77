import math

import pytest
import torch
from torch.nn.functional import softplus

from mixlens.analysis.errors import InputError
from mixlens.analysis.information.critics import SeparableCritic, _Ensemble, fit_critic, fit_critics, objective_of
from mixlens.analysis.information.neural import evaluate_critic

OBJECTIVES = ("infonce", "nwj", "mine", "smile")
SMALL = {"steps": 300, "batch_size": 128, "hidden": 32, "features": 16, "learning_rate": 3e-3}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def bivariate(rho, n, seed=0):
    x, noise = torch.randn(2, n, 1, generator=generator(seed), dtype=torch.float64)
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def truth(rho):
    return -0.5 * math.log(1 - rho**2)


def fitted(rho=0.9, n=2000, seed=0, **options):
    return fit_critic(*bivariate(rho, n, 10 + seed), **{**SMALL, "generator": generator(seed), **options})


# the network


def random_critic(d_x=3, d_y=2):
    critic = SeparableCritic(d_x, d_y, hidden=8, features=5)
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.normal_(generator=generator(len(parameter)))
    return critic.eval().requires_grad_(False)


def test_scores_are_products_of_features_plus_a_bias_of_y():
    critic = random_critic()
    x, y = torch.randn(4, 3, generator=generator()), torch.randn(6, 2, generator=generator(1))
    left, right = critic.networks.x(x), critic.networks.y(y)
    scores = critic(x, y)
    assert scores.shape == (4, 6)
    for i in range(4):
        for j in range(6):
            assert scores[i, j].item() == pytest.approx((left[i] @ right[j, :5] + right[j, 5]).item(), rel=1e-4)


def test_inputs_are_standardised_by_the_moments_given():
    x, y = 50 + 9 * torch.randn(500, 3, generator=generator()), torch.randn(500, 2, generator=generator(1))
    critic = SeparableCritic(3, 2)
    critic.initialise(x, y, 0.0, generator())
    assert torch.allclose(critic.shift_x, x.mean(0).double())
    assert torch.allclose(critic.scale_x, x.std(0).double())
    assert torch.allclose(critic.scale_y, y.std(0).double())
    assert {"shift_x", "scale_x", "shift_y", "scale_y"} <= set(critic.state_dict()), "saved with the weights"


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_new_critic_scores_all_pairs_alike(level):
    x, y = torch.randn(9, 3, generator=generator()), torch.randn(9, 2, generator=generator(1))
    critic = SeparableCritic(3, 2)
    critic.initialise(x, y, level, generator())
    assert torch.equal(critic(x, y), torch.full((9, 9), level))
    assert critic.networks.x(x).std() > 0.1, "x is embedded at random, so that there is a gradient"


# what training maximises


def plain_objective(scores, objective):
    b = len(scores)
    own = [scores[i][i] for i in range(b)]
    apart = [scores[i][j] for i in range(b) for j in range(b) if i != j]
    mean_exp = sum(math.exp(f) for f in apart) / len(apart)
    if objective == "infonce":
        rows = [math.log(sum(math.exp(scores[i][j]) for j in range(b)) / b) for i in range(b)]
        return sum(own) / b - sum(rows) / b
    if objective == "nwj":
        return sum(own) / b - mean_exp / math.e
    if objective == "mine":
        return sum(own) / b - math.log(mean_exp)
    # Jensen–Shannon, Song and Ermon 2020: E_p −softplus(−f) − E_p⊗p softplus(f)
    return -sum(math.log1p(math.exp(-f)) for f in own) / b - sum(math.log1p(math.exp(f)) for f in apart) / len(apart)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("b", [2, 3, 17])
def test_objectives_match_plain_loops(objective, b):
    scores = 2 * torch.randn(b, b, generator=generator(b), dtype=torch.float64)
    expected = plain_objective(scores.tolist(), objective)
    assert objective_of(scores, objective).item() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_objectives_can_be_differentiated(objective):
    scores = torch.randn(6, 6, generator=generator(), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: objective_of(s, objective), scores)


@pytest.mark.parametrize("objective", ["infonce", "mine", "smile"])
def test_large_scores_do_not_overflow(objective):
    scores = 1000 * torch.randn(8, 8, generator=generator())
    assert torch.isfinite(objective_of(scores, objective))


def test_the_jensen_shannon_objective_is_at_most_its_limit():
    scores = torch.full((4, 4), -50.0).fill_diagonal_(50.0)
    assert objective_of(scores, "smile").item() == pytest.approx(0, abs=1e-6)
    assert objective_of(torch.zeros(4, 4), "smile").item() == pytest.approx(-2 * softplus(torch.zeros(())).item())


# training


@pytest.mark.parametrize(("objective", "tolerance"), [("infonce", 0.1), ("nwj", 0.3), ("mine", 0.4), ("smile", 0.3)])
def test_it_learns(objective, tolerance):
    # InfoNCE is nearly there in 300 steps; the others are on their way.
    estimate = evaluate_critic(fitted(objective=objective), *bivariate(0.9, 1000, 20), objective)
    assert abs(estimate.value - truth(0.9)) < tolerance


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("n", [200, 2000])
def test_independent_samples_give_about_zero(objective, n):
    critic = fitted(0.0, n, objective=objective, steps=150)
    value = evaluate_critic(critic, *bivariate(0.0, 1000, 20), objective).value
    assert -0.05 <= value < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_few_independent_samples_give_about_zero(objective):
    values = []
    for seed in range(6):
        critic = fitted(0.0, 60, seed, objective=objective, steps=100)
        values.append(evaluate_critic(critic, *bivariate(0.0, 500, 120 + seed), objective).value)
    assert min(values) >= -0.1


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_critic_that_learned_nothing_returns_zero(objective):
    # A rate at which every step makes it worse: the weights it began with are kept.
    critic = fitted(0.0, 100, objective=objective, steps=10, learning_rate=10.0)
    estimate = evaluate_critic(critic, *bivariate(0.9, 200, 20), objective)
    assert estimate.value == pytest.approx(0, abs=1e-12)
    assert estimate.stderr == pytest.approx(0, abs=1e-12)


def test_long_training_on_few_pairs_does_no_harm():
    few = {"n": 40, "steps": 300, "learning_rate": 3e-3, "weight_decay": 0.0}
    assert evaluate_critic(fitted(0.3, **few), *bivariate(0.3, 1000, 20)).value > -0.05


def test_weights_come_from_the_generator():
    torch.manual_seed(0)
    first = fitted(steps=20).state_dict()
    torch.manual_seed(1)
    same, other = fitted(steps=20).state_dict(), fitted(steps=20, generator=generator(5)).state_dict()
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["networks.x.last.weight"], other["networks.x.last.weight"])


def test_no_other_draws_than_the_generators():
    before = torch.get_rng_state()
    fitted(steps=2)
    assert torch.equal(torch.get_rng_state(), before)


def test_training_works_where_gradients_are_off():
    with torch.no_grad():
        assert not fitted(steps=2).training


def test_the_critic_comes_back_frozen_in_eval_mode():
    critic = fitted(steps=5)
    assert not critic.training
    assert not any(parameter.requires_grad for parameter in critic.parameters())
    assert all(parameter.dtype == torch.float32 for parameter in critic.parameters())


def test_units_do_not_matter():
    x, y = bivariate(0.9, 1000, 10)
    u, v = bivariate(0.9, 500, 20)
    plain = evaluate_critic(fit_critic(x, y, generator=generator(), **SMALL), u, v)
    moved = fit_critic(1e-4 * x, 3e3 * y - 5e3, generator=generator(), **SMALL)
    assert evaluate_critic(moved, 1e-4 * u, 3e3 * v - 5e3).value == pytest.approx(plain.value, abs=0.02)


def test_a_constant_coordinate_does_no_harm():
    (x, y), (u, v) = bivariate(0.9, 1000, 10), bivariate(0.9, 500, 20)
    plain = evaluate_critic(fit_critic(x, y, generator=generator(), **SMALL), u, v)

    def padded(values):
        return torch.cat([values, torch.full_like(values, 0.3)], 1)

    critic = fit_critic(padded(x), padded(y), generator=generator(), **SMALL)
    assert evaluate_critic(critic, padded(u), padded(v)).value == pytest.approx(plain.value, abs=0.1)


def test_the_pairs_are_left_alone():
    x, y = bivariate(0.5, 50)
    before = x.clone(), y.clone()
    fit_critic(x, y, steps=3, generator=generator())
    assert torch.equal(x, before[0])
    assert torch.equal(y, before[1])


@pytest.mark.parametrize(
    ("steps", "tolerance"), [(1, 1e-6), (20, 1e-4), pytest.param(1500, 0.02, marks=pytest.mark.slow)]
)
def test_critics_trained_together_are_those_trained_alone(steps, tolerance):
    # At 1,500 steps on little data some stop long before others, and are left as they were; rounding grows meanwhile.
    pairs = [bivariate(rho, 200, seed) for seed, rho in enumerate((0.9, 0.0, 0.6))]
    objectives = ["infonce", "smile", "mine"]
    options = SMALL | {"steps": steps}
    together = fit_critics(pairs, objectives, generator=generator(), **options)
    turned = fit_critics(pairs[::-1], objectives[::-1], generator=generator(), **options)[::-1]
    u, v = bivariate(0.6, 50, 20)
    for critic, other, pair, objective in zip(together, turned, pairs, objectives, strict=True):
        alone = fit_critic(*pair, objective=objective, generator=generator(), **options)
        expected = evaluate_critic(alone, u, v, objective).value
        assert evaluate_critic(critic, u, v, objective).value == pytest.approx(expected, abs=tolerance)
        assert evaluate_critic(other, u, v, objective).value == pytest.approx(expected, abs=tolerance)


def test_a_critic_that_has_stopped_stays_as_it_was():
    # Found by a search: alone, the second stops at step 100; trained on beside the first it would have learned more.
    pairs, options = [bivariate(0.9, 200, 99), bivariate(0.3, 200, 3)], SMALL | {"steps": 200, "learning_rate": 1e-2}
    together = fit_critics(pairs, ["infonce", "infonce"], generator=generator(), **options)
    alone = fit_critic(*pairs[1], generator=generator(), **options)
    u, v = bivariate(0.6, 50, 20)
    assert evaluate_critic(alone, u, v).value == 0
    assert evaluate_critic(together[1], u, v).value == 0
    assert evaluate_critic(together[0], *bivariate(0.9, 50, 20)).value > 0.1


def test_a_gradient_is_clipped_for_each_critic_by_itself():
    networks = [random_critic().networks for _ in range(2)]
    ensemble = _Ensemble(networks, ["infonce", "infonce"])
    gradient = torch.randn(ensemble.flat.shape, generator=generator()) * torch.tensor([[1e-3], [5.0]])
    ensemble.flat.grad = gradient.clone()
    ensemble.clip(1.0)
    for row, before in zip(ensemble.flat.grad, gradient, strict=True):
        parameter = torch.nn.Parameter(torch.zeros_like(before))
        parameter.grad = before.clone()
        torch.nn.utils.clip_grad_norm_([parameter], 1.0)
        assert torch.allclose(row, parameter.grad, rtol=1e-6)


def test_a_gaussian_pair_of_other_shapes_is_not_trained_along():
    x, y = bivariate(0.5, 100)
    with pytest.raises(InputError, match=r"same shapes, got \(100, 1\), \(100, 1\) and \(100, 2\), \(100, 1\)"):
        fit_critics([(x, y), (x.repeat(1, 2), y)], ["infonce", "infonce"])


# what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "infonse"}, "unknown objective 'infonse'. Did you mean 'infonce'"),
        ({"objective": "dv"}, "unknown objective 'dv'.* Known: infonce, mine, nwj, smile"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"batch_size": 1}, "batch_size must be at least 2, got 1"),
        ({"hidden": 0}, "hidden must be at least 1, got 0"),
        ({"features": 0}, "features must be at least 1, got 0"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        fit_critic(*bivariate(0.5, 50), **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:39], y[:39]), "a critic needs at least 40 pairs to be trained on, got 39"),
        (lambda x, y: (x[:2], y[:2]), "at least 3 pairs, got 2"),
        (lambda x, y: (x, y[:45]), "one row per pair"),
        (lambda x, y: (x.int(), y), "x must hold floating-point numbers"),
        (lambda x, y: (x, y.log()), "y holds .* NaN"),
        (lambda x, y: (x.numpy(), y), "x must be a torch tensor"),
        (lambda x, y: (x[:, :0], y), r"x and y must be \(N, d_x\)"),
    ],
)
def test_pairs_that_cannot_be_used_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        fit_critic(*change(*bivariate(0.5, 50)))


def test_no_default_dtype_changes_a_critic():
    x, y = torch.randn(2, 60, 2, generator=torch.Generator().manual_seed(0))
    plain = fit_critic(x, y, steps=5, generator=torch.Generator().manual_seed(1))(x, y)
    torch.set_default_dtype(torch.float64)
    try:
        other = fit_critic(x, y, steps=5, generator=torch.Generator().manual_seed(1))(x, y)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(plain, other)
