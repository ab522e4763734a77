"""The sandwich; its sides under their own names are in test_loo.py and test_contrastive.py."""

import math

import pytest
import torch
from torch.distributions import Normal

from mixlens.analysis.errors import InputError
from mixlens.analysis.information import GaussianWorld, sandwich
from mixlens.analysis.information.encodings import log_density
from mixlens.analysis.information.pairs import MEMORY
from mixlens.analysis.information.sandwich import bounds_from, contrast


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def encodings(n=30, d=3, seed=0):
    """Coordinates of different size, far from zero, with scales that differ by image."""
    mean, log_scale, noise = torch.randn(3, n, d, generator=generator(seed), dtype=torch.float64)
    size = torch.logspace(-1, 1, d, dtype=torch.float64)
    mean, log_scale = size * (mean + 2), size.log() - 0.2 + 0.4 * log_scale
    return mean, log_scale, mean + log_scale.exp() * noise


def of_world(world, n, seed):
    sample = world.sample(n, generator=generator(seed))
    return *world.encoder_a(sample.x), sample.z_a


def by_hand(mean, log_scale, z):
    """Both terms of each image, one pair at a time."""
    lower, upper = [], []
    for i in range(len(z)):
        q = [Normal(mean[j], log_scale[j].exp()).log_prob(z[i]).sum() for j in range(len(z))]
        everyone = torch.stack(q).logsumexp(0) - math.log(len(q))
        others = torch.stack(q[:i] + q[i + 1 :]).logsumexp(0) - math.log(len(q) - 1)
        lower.append(q[i] - everyone)
        upper.append(q[i] - others)
    return torch.stack(lower), torch.stack(upper)


@pytest.mark.parametrize("d", [1, 3, 10])
@pytest.mark.parametrize("n", [3, 30])
def test_against_loops(n, d):
    encoded = encodings(n, d)
    lower, upper = by_hand(*encoded)
    both = sandwich(*encoded)
    for estimate, terms, bound in ((both.lower, lower, "lower"), (both.upper, upper, "upper")):
        assert torch.allclose(estimate.samples, terms, rtol=0, atol=1e-10)
        assert estimate.value == pytest.approx(terms.mean().item(), abs=1e-10)
        assert (estimate.bound, estimate.unit, estimate.n) == (bound, "nats", n)
    assert both.lower.ceiling == pytest.approx(math.log(n))
    assert both.upper.ceiling is None


@pytest.mark.parametrize("d", [1, 3])
def test_influences_are_derivatives_by_the_weights_of_the_images(d):
    """d/dw_k of Σ w_i [log q_ii − log Σ_j w_j q_ij], by autograd; what the weights' sum adds is the same for all."""
    encoded = encodings(30, d)
    scores = torch.stack([log_density(encoded[2][i].expand(30, d), *encoded[:2]) for i in range(30)])
    for estimate, among in zip(sandwich(*encoded), (torch.ones(30, 30), 1 - torch.eye(30)), strict=True):
        weight = torch.ones(30, dtype=torch.float64, requires_grad=True)
        (weight @ (scores.diagonal() - (weight * among * scores.exp()).sum(1).log())).backward()
        expected = weight.grad - weight.grad.mean()
        assert torch.allclose(estimate.influence, expected, rtol=0, atol=1e-10)
        if estimate.stderr is not None:
            assert estimate.stderr == pytest.approx(expected.std().item() / math.sqrt(30), rel=1e-10)


@pytest.mark.parametrize("k", [2, 7, 10, 29])
def test_blocks_are_estimates_of_their_own(k):
    encoded = encodings()
    both = sandwich(*encoded, k=k)
    blocks = [sandwich(*(values[i : i + k] for values in encoded)) for i in range(0, 30 - k + 1, k)] if k > 2 else []
    assert both.lower.n == both.upper.n == 30 - 30 % k, "the last, incomplete block is left out"
    assert both.lower.ceiling == pytest.approx(math.log(k))
    terms = [by_hand(*(values[i : i + k] for values in encoded)) for i in range(0, 30 - k + 1, k)]
    for side in (0, 1):
        assert torch.allclose(both[side].samples, torch.cat([term[side] for term in terms]), rtol=0, atol=1e-10)
        values = [block[side].value for block in blocks]
        if len(values) > 1:
            assert both[side].value == pytest.approx(sum(values) / len(values), abs=1e-10)
            if not both[side].saturated:
                expected = torch.tensor(values, dtype=torch.float64).std().item() / math.sqrt(len(values))
                assert both[side].stderr == pytest.approx(expected, rel=1e-8)
                assert both[side].interval.method == f"{len(values)} disjoint blocks, Student t"


def test_a_single_block_that_leaves_some_out_is_the_sandwich_of_the_rest():
    encoded = encodings()
    assert sandwich(*encoded, k=20) == sandwich(*(values[:20] for values in encoded))


@pytest.mark.parametrize("k", [None, 5, 15])
def test_the_two_sides_are_one_identity_apart(k):
    encoded = encodings(30, 2)
    both, among = sandwich(*encoded, k=k), k or 30
    expected = math.log(among) - torch.nn.functional.softplus(math.log(among - 1) - both.upper.samples)
    assert torch.allclose(both.lower.samples, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("k", [2, 30, 10_000])
def test_contrast_keeps_its_digits(k):
    excess = torch.tensor([-1e6, -60.0, -3.0, 0.0, 1e-12, 3.0, 60.0, 1e6], dtype=torch.float64)
    terms = contrast(excess, k)
    assert (terms <= math.log(k)).all()
    assert terms[0].item() == pytest.approx(-1e6 + math.log(k / (k - 1)))
    assert terms[3].item() == pytest.approx(0, abs=1e-14)
    assert terms[-1].item() == math.log(k)
    odds = (excess[1:6] - math.log(k - 1)).exp()
    assert torch.allclose(terms[1:6], math.log(k) + (odds / (1 + odds)).log(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("nats", "d"), [(1, 1), (4, 4), (12, 8), (78, 1), (78, 16), (78, 64)])
@pytest.mark.parametrize("k", [None, 2, 30])
def test_nothing_exceeds_the_ceiling(nats, d, k):
    lower = sandwich(*of_world(GaussianWorld.with_information(nats, d), 300, 0), k=k).lower
    assert (lower.samples <= lower.ceiling).all()
    assert lower.value <= lower.ceiling + 1e-14


@pytest.mark.parametrize("k", [None, 10])
@pytest.mark.parametrize("rows", [0, 1, 7, 10**6])
def test_chunks_do_not_matter(k, rows):
    encoded = encodings(40)
    whole, parts = sandwich(*encoded, k=k, memory=MEMORY), sandwich(*encoded, k=k, memory=max(1, rows * 8 * 40))
    for a, b in zip(whole, parts, strict=True):
        assert a.value == pytest.approx(b.value, abs=1e-10)
        assert a.stderr == pytest.approx(b.stderr, abs=1e-10)


def test_the_order_of_the_images_does_not_matter():
    encoded = encodings(40)
    order = torch.randperm(40, generator=generator())
    for a, b in zip(sandwich(*encoded), sandwich(*(values[order] for values in encoded)), strict=True):
        assert b.value == pytest.approx(a.value, abs=1e-10)
        assert b.stderr == pytest.approx(a.stderr, abs=1e-10)
        assert torch.allclose(b.samples, a.samples[order], rtol=0, atol=1e-10)
        assert torch.allclose(b.influence, a.influence[order], rtol=0, atol=1e-10)


@pytest.mark.parametrize("k", [None, 10])
def test_affine_maps_of_coordinates_change_nothing(k):
    mean, log_scale, z = encodings(40)
    factor = torch.tensor([-3e4, 1e-5, 2.0], dtype=torch.float64)
    shift = torch.tensor([1e3, -1e-4, 7.0], dtype=torch.float64)
    mapped = sandwich(mean * factor + shift, log_scale + factor.abs().log(), z * factor + shift, k=k)
    for a, b in zip(sandwich(mean, log_scale, z, k=k), mapped, strict=True):
        assert b.value == pytest.approx(a.value, abs=1e-8)
        assert b.stderr == pytest.approx(a.stderr, abs=1e-8)


def test_single_precision_is_computed_in_double():
    encoded = encodings(100)
    for a, b in zip(sandwich(*encoded), sandwich(*(values.float() for values in encoded)), strict=True):
        assert b.samples.dtype == torch.float64
        assert b.value == pytest.approx(a.value, abs=1e-4)
        assert b.stderr == pytest.approx(a.stderr, rel=1e-3)


@pytest.mark.parametrize("k", [None, 30])
@pytest.mark.parametrize("d", [1, 64])
def test_far_too_few_images_are_flagged(d, k):
    both = sandwich(*of_world(GaussianWorld.with_information(78, d), 300, 0), k=k)
    for side in both:
        assert side.saturated
        assert (side.stderr, side.interval) == (None, None)
    assert both.lower.value == pytest.approx(both.lower.ceiling)
    assert both.upper.value > 78


@pytest.mark.parametrize("k", [None, 30])
@pytest.mark.parametrize("d", [1, 4, 64])
def test_enough_images_are_not_flagged(d, k):
    both = sandwich(*of_world(GaussianWorld.with_information(1, d), 300, 0), k=k)
    assert not both.lower.saturated
    assert not both.upper.saturated
    assert both.lower.stderr > 0
    assert both.lower.interval.low < both.lower.value < both.lower.interval.high


def test_where_the_flag_goes_up():
    """At a mean of log K − log 2: the right one of K has a probability of ½, in the geometric mean."""
    flags = []
    for log_scale in torch.linspace(-2, 1, 40):
        mean = torch.randn(50, 2, generator=generator(), dtype=torch.float64)
        noise = torch.randn(50, 2, generator=generator(1), dtype=torch.float64)
        both = sandwich(mean, torch.full_like(mean, log_scale.item()), mean + log_scale.exp() * noise)
        likely = by_probability(both.lower) > 0.5
        assert both.lower.saturated == both.upper.saturated == likely
        flags.append(likely)
    assert {True, False} == set(flags), "or the test shows nothing"


def by_probability(lower):
    return (lower.samples - math.log(lower.n)).mean().exp().item()


@pytest.mark.parametrize("k", [None, 5])
@pytest.mark.parametrize("place", [0.0, 3.0])
def test_a_collapsed_posterior_says_nothing(k, place):
    mean = torch.full((30, 4), place)
    for side in sandwich(mean, torch.zeros_like(mean), generator=generator(), k=k):
        assert side.value == pytest.approx(0, abs=1e-9)
        assert side.stderr == pytest.approx(0, abs=1e-9)
        assert not side.saturated


@pytest.mark.parametrize("side", ["lower", "upper"])
def test_nothing_is_clipped_at_zero(side):
    world = GaussianWorld.with_information(1e-3, 2)
    values = [getattr(sandwich(*of_world(world, 100, seed)), side).value for seed in range(40)]
    assert min(values) < -1e-4 < 1e-4 < max(values)


def test_an_image_far_from_all_others_withholds_the_upper_error():
    mean, log_scale, z = encodings(100, 1)
    mean[0], z[0] = 1e3, 1e3
    both = sandwich(mean, log_scale, z)
    assert (both.upper.stderr, both.upper.interval, both.upper.saturated) == (None, None, False)
    assert both.lower.interval is not None


@pytest.mark.parametrize("log_scale", [-18.0, -25.0])
def test_images_with_equal_encodings_of_small_scale(log_scale):
    """Ten classes, told apart perfectly: within a class all scores agree, however small the scale."""
    classes = torch.randint(10, (300, 1), generator=generator()).double()
    both = sandwich(classes, torch.full_like(classes, log_scale), generator=generator(1))
    counts = classes[:, 0].long().bincount()[classes[:, 0].long()].double()
    assert both.lower.value == pytest.approx((300 / counts).log().mean().item(), abs=1e-6)
    assert both.upper.value == pytest.approx((299 / (counts - 1)).log().mean().item(), abs=1e-6)


@pytest.mark.parametrize("k", [-1, 0, 1, 31, 10**6])
def test_k_out_of_range_is_refused(k):
    with pytest.raises(InputError, match=f"k is how many .* between 2 and the 30 there are; got {k}"):
        sandwich(*encodings(), k=k)


# scores that are no densities


class Biased:
    """A critic that likes some columns, and dislikes the pairs in them: f(i, j) = c_j − 2 c_j [i = j]."""

    def __init__(self, c):
        self.c, self.matched = c, -c

    def rows(self, part, out):
        out.copy_(self.c.expand_as(out))
        out.diagonal(part.start).copy_(-self.c[part])


@pytest.mark.parametrize("k", [None, 30])
def test_the_interval_knows_what_terms_share_and_the_textbook_one_does_not(k):
    """−c_i − log mean exp c has twice the error of its first term alone, because the second moves with it."""

    def estimate(seed):
        c = 0.3 * torch.randn(300, generator=generator(seed), dtype=torch.float64)
        return bounds_from(lambda part: Biased(c[part]), 300, k, MEMORY).lower

    expected = sum(estimate(seed).value for seed in range(1000, 3000)) / 2000
    estimates = [estimate(seed) for seed in range(200)]
    covered = sum(e.interval.low < expected < e.interval.high for e in estimates) / 200
    textbook = [1.97 * e.samples.std().item() / math.sqrt(300) for e in estimates]
    naive = sum(abs(e.value - expected) < half for e, half in zip(estimates, textbook, strict=True)) / 200
    assert 0.90 <= covered <= 0.99
    assert naive < 0.80


def test_other_scores_against_loops():
    f = torch.randn(12, 12, generator=generator(), dtype=torch.float64)

    class Given:
        matched = f.diagonal().clone()

        def rows(self, part, out):
            out.copy_(f[part])

    both = bounds_from(lambda part: Given(), 12, None, 1)
    for i in range(12):
        others = math.log(sum(math.exp(f[i, j]) for j in range(12) if j != i) / 11)
        everyone = math.log(sum(math.exp(f[i, j]) for j in range(12)) / 12)
        assert both.upper.samples[i].item() == pytest.approx(f[i, i].item() - others, abs=1e-10)
        assert both.lower.samples[i].item() == pytest.approx(f[i, i].item() - everyone, abs=1e-10)


@pytest.mark.gpu
@pytest.mark.gpu
@pytest.mark.parametrize("k", [None, 50])
def test_devices_agree(k):
    encoded = encodings(500, 8)
    for a, b in zip(sandwich(*encoded, k=k), sandwich(*(v.cuda() for v in encoded), k=k), strict=True):
        assert b.value == pytest.approx(a.value, abs=1e-9)
        assert a.saturated == b.saturated
        assert (a.stderr is None and b.stderr is None) or b.stderr == pytest.approx(a.stderr, abs=1e-9)
