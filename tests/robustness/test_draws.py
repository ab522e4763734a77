import math

import eagerpy as ep
import foolbox.attacks as fa
import pytest
import torch
from torch import nn

from mixlens.robustness.draws import Draws
from mixlens.robustness.sweep import sweep

EPSILON = 0.25
COUNT = 1500  # draws of a statistic
PGD = [
    fa.L1ProjectedGradientDescentAttack,
    fa.L2ProjectedGradientDescentAttack,
    fa.LinfProjectedGradientDescentAttack,
]
NOISE = [
    fa.LinfAdditiveUniformNoiseAttack,
    fa.L2AdditiveGaussianNoiseAttack,
    fa.L2AdditiveUniformNoiseAttack,
    fa.L2ClippingAwareAdditiveGaussianNoiseAttack,
    fa.LinfRepeatedAdditiveUniformNoiseAttack,
    fa.L2RepeatedAdditiveGaussianNoiseAttack,
]


def images(count, shape=(3, 4, 4)):
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(0))


def draw(kind, numbers, x=None, *, epsilon=EPSILON, purpose=("attack", 0, "name"), times=1):
    """The last of so many draws for the images of these numbers: the start minus the image, or the noise."""
    attack = kind()
    draws = Draws(attack, *purpose)
    x = images(200)[torch.as_tensor(numbers)] if x is None else x
    draws.begin(list(numbers), epsilon)
    for _ in range(times):
        if hasattr(attack, "get_random_start"):
            found = attack.get_random_start(ep.astensor(x), epsilon).raw - x
        else:
            found = attack.sample_noise(ep.astensor(x)).raw
    return found


@pytest.fixture(autouse=True)
def other_people_draw_too():
    """Whatever the state of the global generator, draws must not depend on it."""
    with torch.random.fork_rng(devices=[]):
        torch.seed()
        yield


@pytest.mark.parametrize("kind", PGD + NOISE, ids=lambda kind: kind.__name__)
def test_an_image_draws_the_same_in_any_company_and_order(kind):
    together = draw(kind, [3, 1, 7, 150])
    assert together.shape == (4, 3, 4, 4)
    reordered = draw(kind, [7, 150, 3, 1])
    for row, number in enumerate([3, 1, 7, 150]):
        alone = draw(kind, [number])
        torch.testing.assert_close(alone[0], together[row], atol=1e-6, rtol=0)
        torch.testing.assert_close(reordered[[7, 150, 3, 1].index(number)], together[row], atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", PGD + NOISE, ids=lambda kind: kind.__name__)
def test_whatever_it_is_for_it_draws_anew(kind):
    """Other images, ε, sweep seeds and attacks, and the second draw: nothing in common."""
    x = images(1)
    purposes = [
        draw(kind, [3], x),
        draw(kind, [4], x),
        draw(kind, [3], x, epsilon=EPSILON / 2) * (2 if kind in PGD else 1),
        draw(kind, [3], x, purpose=("attack", 1, "name")),
        draw(kind, [3], x, purpose=("attack", 0, "other")),
        draw(kind, [3], x, times=2),
        draw(kind, [3], x, times=3),
    ]
    for i, first in enumerate(purposes):
        for second in purposes[:i]:
            assert not torch.isclose(first, second, atol=1e-5, rtol=0).all()


def test_beginning_again_draws_the_same():
    attack = fa.LinfAdditiveUniformNoiseAttack()
    draws = Draws(attack, "attack", 0, "name")
    x, found = ep.astensor(images(2)), []
    for _ in range(2):
        draws.begin([0, 1], 0.1)
        found.append(attack.sample_noise(x).raw)
    assert torch.equal(*found)


def test_images_draw_independently():
    noise = draw(fa.L2AdditiveGaussianNoiseAttack, range(100)).flatten(1)
    correlations = (noise[::2] * noise[1::2]).sum(1) / noise.shape[1] ** 0.5
    assert abs(correlations.mean() * 50**0.5) < 4


def z(samples, mean, variance):
    return (samples.double().mean() - mean) / math.sqrt(variance / samples.numel())


@pytest.mark.parametrize(("kind", "p"), list(zip(PGD, (1, 2, math.inf), strict=True)), ids=["L1", "L2", "Linf"])
def test_starts_are_uniform_in_the_ball(kind, p):
    """In dimension n, (‖δ‖ / ε)ⁿ is uniform on [0, 1], and so is each orthant's share."""
    dimension = 4
    x = torch.full((COUNT, 1, 2, 2), 0.5)
    start = draw(kind, range(COUNT), x).flatten(1)
    radius = torch.linalg.vector_norm(start, ord=p, dim=1) / EPSILON
    assert radius.max() <= 1 + 1e-5
    level = radius.double() ** dimension
    assert abs(z(level, 1 / 2, 1 / 12)) < 4
    assert abs(z(level**2, 1 / 3, 1 / 5 - 1 / 9)) < 4
    positive = (start > 0).double()
    for coordinate in range(dimension):
        assert abs(z(positive[:, coordinate], 1 / 2, 1 / 4)) < 4
    for other in range(1, dimension):
        same = (positive[:, 0] == positive[:, other]).double()
        assert abs(z(same, 1 / 2, 1 / 4)) < 4
    size = start.abs().double().mean(0)
    assert size.max() - size.min() < 8 * EPSILON / math.sqrt(12 * COUNT), "no coordinate is favoured"


def test_uniform_noise_is_uniform_and_gaussian_noise_gaussian():
    x = torch.full((200, 3, 4, 4), 0.5)
    uniform = draw(fa.LinfAdditiveUniformNoiseAttack, range(200), x)
    assert uniform.abs().max() <= 1
    assert abs(z(uniform, 0, 1 / 3)) < 4
    assert abs(z(uniform**2, 1 / 3, 1 / 5 - 1 / 9)) < 4
    gaussian = draw(fa.L2AdditiveGaussianNoiseAttack, range(200), x)
    assert abs(z(gaussian, 0, 1)) < 4
    assert abs(z(gaussian**2, 1, 2)) < 4


def test_attacks_that_draw_elsewhere_start_from_their_batch():
    """Salt and pepper noise has no hook of ours: its stream is seeded by the batch, so that runs repeat."""
    draws = Draws(fa.SaltAndPepperNoiseAttack(), "attack", 0, "name")
    found = []
    for numbers in ([5, 6], [5, 9], [6, 5]):
        draws.begin(numbers, 0.1)
        found.append(torch.rand(3))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("attack", ["pgd(steps=2)", "uniform-noise", "SaltAndPepperNoiseAttack(steps=2)"])
def test_a_sweep_leaves_the_callers_generator_as_it_was(attack):
    x = images(6)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 3)).eval()
    labels = model(x).argmax(1)
    before = torch.random.get_rng_state()
    sweep(model, x, labels, attacks=[attack], epsilons=(0.0, 0.1))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_also_when_it_is_interrupted():
    x = images(6)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 3)).eval()

    def interrupted(_):
        raise KeyboardInterrupt

    before = torch.random.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        sweep(model, x, model(x).argmax(1), attacks=["pgd(steps=2)"], epsilons=(0.1,), progress=interrupted)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_an_epsilon_is_a_number_not_a_text():
    whole, decimal = (draw(fa.LinfAdditiveUniformNoiseAttack, [3], epsilon=epsilon) for epsilon in (1, 1.0))
    assert torch.equal(whole, decimal)
