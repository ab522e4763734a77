import inspect
import math
import random

import numpy as np
import pytest
import torch
from scipy import stats
from torch.utils.data import DataLoader

from mixlens.analysis.errors import InputError
from mixlens.analysis.masks.cutmix import CutMix, cutmix_mask
from mixlens.analysis.masks.fmix import FMix, fmix_mask, gaussian_salience, low_frequency_image
from mixlens.analysis.masks.mixup import MixUp
from mixlens.analysis.masks.policies import Alternate
from mixlens.analysis.masks.transform import sample_lam

KINDS = [MixUp, CutMix, FMix]
MODES = ["elem", "batch", "batch-mask"]
BINARY = [CutMix, FMix]
OFFICIAL = pytest.param(lambda **options: FMix(variant="official", **options), id="FMix official")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(count=7, size=(8, 10), classes=5, seed=0):
    return torch.rand(count, 3, *size, generator=generator(seed)), torch.arange(count) % classes


# sample_lam


@pytest.mark.parametrize("reformulate", [False, True])
@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 5.0])
def test_lam_is_beta_distributed(alpha, reformulate):
    n = 20_000
    lam = sample_lam(n, alpha, reformulate=reformulate, generator=generator())
    assert lam.shape == (n,)
    assert lam.dtype == torch.float32
    values = lam.double().numpy()
    beta = stats.beta(alpha + reformulate, alpha)
    mean, variance = beta.stats("mv")
    fourth = beta.moment(4) - 4 * mean * beta.moment(3) + 6 * mean**2 * beta.moment(2) - 3 * mean**4
    assert abs(values.mean() - mean) / math.sqrt(variance / n) < 4.5
    assert abs(((values - mean) ** 2).mean() - variance) / math.sqrt((fourth - variance**2) / n) < 4.5
    # float32 has no numbers between 1 − 6e-8 and 1, where much of a small alpha's distribution lies: count those by
    # their share, and compare the others with the distribution below a point away from them.
    for point in (1e-30, 1e-10, 1e-3, 0.1, 0.5, 0.9, 0.999):
        below = beta.cdf(point)
        assert abs((values <= point).mean() - below) < 4.5 * math.sqrt(below * (1 - below) / n) + 1e-12
    smaller = values[(values > 1e-30) & (values <= 0.999)]
    low, high = beta.cdf([1e-30, 0.999])
    assert stats.kstest(smaller, lambda lam: (beta.cdf(lam) - low) / (high - low)).pvalue > 1e-4


@pytest.mark.parametrize("alpha", [1e-6, 1e-3, 1e3, 1e6])
@pytest.mark.parametrize("reformulate", [False, True])
def test_lam_of_extreme_alpha_is_finite_and_fair(alpha, reformulate):
    lam = sample_lam(2000, alpha, reformulate=reformulate, generator=generator())
    assert ((lam >= 0) & (lam <= 1)).all()  # also false for NaN
    mean = (alpha + reformulate) / (2 * alpha + reformulate)
    assert abs(lam.double().mean() - mean) < 4.5 * math.sqrt(0.25 / 2000)


@pytest.mark.parametrize("alpha", [1, 2, 5, np.float64(2)])
@pytest.mark.parametrize("reformulate", [False, True])
def test_a_whole_alpha_is_the_same_number(alpha, reformulate):
    lam = sample_lam(100, alpha, reformulate=reformulate, generator=generator())
    assert lam.dtype == torch.float32
    assert torch.equal(lam, sample_lam(100, float(alpha), reformulate=reformulate, generator=generator()))


@pytest.mark.parametrize("alpha", [0, -1.0, math.nan, math.inf, "1", None])
@pytest.mark.parametrize("kind", [lambda alpha: sample_lam(3, alpha), *KINDS])
def test_bad_alpha(kind, alpha):
    with pytest.raises(InputError, match=f"alpha must be a positive number.*got {alpha!r}"):
        kind(alpha)


def test_lam_is_the_same_from_the_same_seed():
    assert torch.equal(sample_lam(9, 0.3, generator=generator(4)), sample_lam(9, 0.3, generator=generator(4)))
    torch.manual_seed(4)
    assert torch.equal(sample_lam(9, 0.3), sample_lam(9, 0.3, generator=generator(4)))


# What every mixing augmentation promises


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(11,), (8, 10), (7, 7), (3, 4, 5)], ids=str)
@pytest.mark.parametrize("kind", [*KINDS, OFFICIAL])
def test_a_batch_is_what_its_parts_say(kind, size, mode):
    x, y = batch(7, size)
    x_before, y_before = x.clone(), y.clone()
    mix = kind(num_classes=5, mode=mode)
    mixed = mix.pairs(x, y, generator=generator())
    assert torch.equal(x, x_before)
    assert torch.equal(y, y_before)
    assert mixed.x.shape == x.shape
    assert mixed.mask.shape == (7, 1, *size)
    assert mixed.lam.shape == (7,)
    assert sorted(mixed.index.tolist()) == list(range(7))
    assert torch.equal(mixed.y, y)
    assert torch.equal(mixed.y_partner, y[mixed.index])
    assert torch.allclose(mixed.lam, mixed.mask.flatten(1).mean(1), atol=1e-6)
    plain = mixed.mask * x + (1 - mixed.mask) * x[mixed.index]
    assert torch.allclose(mixed.x, plain, atol=1e-6)
    same = bool((mixed.mask == mixed.mask[:1]).all())
    assert same == (mode == "batch-mask" or (mode == "batch" and kind is MixUp))
    if mode == "elem":
        assert len(mixed.lam.unique()) > 3
    elif kind is CutMix and mode == "batch":
        assert mixed.lam.max() < 1, "boxes of one size, clipped at the border"
    elif kind is not CutMix:  # k of n pixels, rounded mask by mask
        assert mixed.lam.max() - mixed.lam.min() <= 1 / math.prod(size) + 1e-6
    soft_x, soft_y = mix(x, y, generator=generator())
    assert torch.equal(soft_x, mixed.x)
    expected = torch.zeros(7, 5)
    for i in range(7):
        expected[i, mixed.y[i]] += mixed.lam[i]
        expected[i, mixed.y_partner[i]] += 1 - mixed.lam[i]
    assert torch.allclose(soft_y, expected, atol=1e-6)
    assert torch.allclose(soft_y.sum(1), torch.ones(7), atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_labels_by_the_lam_asked_for(kind, mode):
    x, y = batch(40)
    realised, asked = (
        kind(mode=mode, lam=lam, p=0.7).pairs(x, y, generator=generator()) for lam in ("realised", "asked")
    )
    assert torch.equal(asked.x, realised.x), "the same draws"
    given = torch.rand(40, generator=generator())
    assert torch.equal(kind(mode=mode, lam="asked").pairs(x, y, lam=given, generator=generator()).lam, given)
    if kind is not CutMix:
        assert (asked.lam - realised.lam).abs().max() <= 1 / 80 + 1e-6
    if mode == "elem":
        mixed = realised.lam < 1
        assert (asked.lam[(asked.mask == 1).flatten(1).all(1) & ~mixed] == 1).sum() > 5, "what is not mixed is itself"
    else:
        assert len(asked.lam.unique()) == 1
    mask = torch.zeros(40, 1, 8, 10)
    mask[..., :5] = 1
    assert (kind(mode=mode, lam="asked").pairs(x, y, mask=mask).lam == 0.5).all(), "a mask alone says its mean"


@pytest.mark.parametrize("kind", [*BINARY, OFFICIAL])
def test_binary_masks_copy_pixels_exactly(kind):
    x, y = batch(16)
    mixed = kind().pairs(x, y, generator=generator())
    assert torch.equal(mixed.x, torch.where(mixed.mask.bool(), x, x[mixed.index]))


@pytest.mark.parametrize("kind", BINARY)
def test_lam_is_the_realised_mean_not_the_one_asked_for(kind):
    x, y = batch(40, (5, 5))
    lam = torch.linspace(0.01, 0.99, 40)
    mixed = kind().pairs(x, y, lam=lam, generator=generator())
    assert torch.equal(mixed.lam, mixed.mask.flatten(1).mean(1))
    assert (mixed.lam - lam).abs().max() > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_soft_labels_give_the_same_as_integers(kind):
    x, y = batch()
    hard = kind(num_classes=5)(x, y, generator=generator())
    soft = kind()(x, torch.nn.functional.one_hot(y, 5).float(), generator=generator())
    assert torch.equal(hard[1], soft[1])
    mixed = kind().pairs(x, hard[1], generator=generator())
    assert torch.equal(mixed.y_partner, hard[1][mixed.index])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_labels_of_every_integer_type(dtype):
    x, y = batch()
    assert torch.equal(
        MixUp(num_classes=5)(x, y.to(dtype), generator=generator())[1],
        MixUp(num_classes=5)(x, y, generator=generator())[1],
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_images_keep_their_type_and_lam_its_precision(kind, dtype):
    x, y = batch(9, (31, 33))
    x = x.to(dtype)
    mixed = kind().pairs(x, y, generator=generator())
    assert mixed.x.dtype == dtype
    assert mixed.mask.dtype == dtype
    assert torch.allclose(mixed.lam.double(), mixed.mask.double().flatten(1).mean(1), atol=1e-6)
    plain = mixed.mask.double() * x.double() + (1 - mixed.mask.double()) * x[mixed.index].double()
    assert torch.allclose(mixed.x.double(), plain, atol=0.02)
    assert kind(num_classes=5)(x, y, generator=generator())[0].dtype == dtype


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", MODES)
def test_p_zero_changes_nothing(kind, mode):
    x, y = batch()
    mixed = kind(p=0, mode=mode).pairs(x, y, generator=generator())
    assert torch.equal(mixed.x, x)
    assert (mixed.lam == 1).all()
    assert (mixed.mask == 1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_p_mixes_its_share_of_the_samples(kind):
    n = 4000
    x, y = batch(n, (6,))
    mixed = kind(p=0.3, alpha=100.0).pairs(x, y, generator=generator())  # λ near ½: a mixed sample has λ < 1
    z = ((mixed.lam < 1).double().mean() - 0.3) / math.sqrt(0.3 * 0.7 / n)
    assert abs(z) < 4.5


def test_p_of_a_batch_mixes_all_or_none():
    x, y = batch()
    mixes = [(MixUp(p=0.5, mode="batch").pairs(x, y, generator=generator(i)).lam < 1) for i in range(100)]
    assert all(lam.all() or not lam.any() for lam in mixes)
    assert abs(sum(bool(lam.all()) for lam in mixes) - 50) < 4.5 * 5


def test_which_samples_are_mixed_can_be_handed_in():
    x, y = batch(4)
    applied = torch.tensor([True, False, True, False])
    mixed = MixUp().pairs(x, y, lam=torch.full((4,), 0.3), applied=applied)
    assert mixed.lam.tolist() == pytest.approx([0.3, 1, 0.3, 1])
    assert torch.equal(mixed.x[1::2], x[1::2])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [2, 3, 5, 129])
def test_any_batch_size_from_two(kind, count):
    x, y = batch(count, (4, 5))
    mixed, labels = kind(num_classes=5)(x, y)
    assert mixed.shape == x.shape
    assert labels.shape == (count, 5)


@pytest.mark.parametrize("kind", KINDS)
def test_partners_are_uniform(kind):
    x, y = batch(3, (1,))
    index = torch.stack([kind().pairs(x, y, generator=generator(i)).index for i in range(600)])
    counts = torch.stack([(index == partner).sum(0) for partner in range(3)]).double()
    assert ((counts - 200).abs() < 4.5 * math.sqrt(600 * 2 / 9)).all()


# Reformulation and target distribution


@pytest.mark.parametrize("kind", KINDS)
def test_reformulation_uses_the_first_label_only(kind):
    x, y = batch()
    mixed = kind(reformulate=True).pairs(x, y, generator=generator())
    assert torch.equal(mixed.y_partner, y)
    assert not torch.equal(mixed.x, x)
    labels = kind(reformulate=True, num_classes=5)(x, y, generator=generator())[1]
    assert torch.allclose(labels, torch.nn.functional.one_hot(y, 5).float())


@pytest.mark.parametrize("kind", KINDS)
def test_reformulation_draws_lam_from_beta_alpha_plus_one(kind):
    n = 4000
    x, y = batch(n, (4,))
    lam = [kind(reformulate=flag).pairs(x, y, generator=generator()).lam.double().mean() for flag in (False, True)]
    assert lam[1] - lam[0] > 0.08  # MixUp and FMix: 2/3 against 1/2
    if kind is not CutMix:
        assert abs(lam[1] - 2 / 3) < 4.5 * math.sqrt((1 / 18 + 1 / 64) / n)


def test_target_alpha_maps_the_label_weight_to_its_distribution():
    n = 5000
    x, y = batch(n, (1,))
    plain = MixUp(alpha=1.0).pairs(x, y, generator=generator())
    mapped = MixUp(alpha=1.0, target_alpha=0.2).pairs(x, y, generator=generator())
    assert torch.equal(mapped.x, plain.x)
    assert torch.equal(mapped.lam[plain.lam.argsort()], mapped.lam.sort().values)
    assert stats.kstest(mapped.lam.double().numpy(), stats.beta(0.2, 0.2).cdf).pvalue > 1e-4
    assert stats.kstest(plain.lam.double().numpy(), stats.beta(0.2, 0.2).cdf).pvalue < 1e-20


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_a_target_alpha_equal_to_alpha_changes_nothing(kind, alpha):
    x, y = batch(100)
    plain = kind(alpha=alpha).pairs(x, y, generator=generator())
    same = kind(alpha=alpha, target_alpha=alpha).pairs(x, y, generator=generator())
    assert torch.allclose(same.lam, plain.lam, atol=1e-5)


def test_target_alpha_of_a_reformulated_lam_starts_from_its_own_distribution():
    x, y = batch(5000, (1,))
    lam = MixUp(alpha=1.0, reformulate=True, target_alpha=0.5).pairs(x, y, generator=generator()).lam
    assert stats.kstest(lam.double().numpy(), stats.beta(0.5, 0.5).cdf).pvalue > 1e-4


# Randomness and state


@pytest.mark.parametrize("kind", [*KINDS, OFFICIAL])
@pytest.mark.parametrize("mode", MODES)
def test_the_same_seed_gives_the_same_batch_and_nothing_is_kept(kind, mode):
    x, y = batch(30)
    mix = kind(p=0.5, mode=mode, alpha=0.3)
    before = dict(vars(mix))
    first = mix.pairs(x, y, generator=generator(5))
    mix.pairs(x, y)
    again = mix.pairs(x, y, generator=generator(5))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert vars(mix) == before
    assert not torch.equal(first.index, mix.pairs(x, y, generator=generator(6)).index)
    torch.manual_seed(5)  # and with none, PyTorch's global generator
    assert torch.equal(first.x, mix.pairs(x, y).x)


@pytest.mark.parametrize("kind", [*KINDS, OFFICIAL])
def test_a_generator_leaves_the_global_ones_alone(kind):
    x, y = batch()
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    kind(p=0.5, alpha=0.3).pairs(x, y, generator=generator())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()
    assert random.getstate() == states[2]


@pytest.mark.parametrize("kind", KINDS)
def test_draws_handed_in_are_the_draws_used(kind):
    x, y = batch(4)
    mask = (torch.rand(4, 1, 8, 10, generator=generator()) < 0.4).float()
    index = torch.tensor([1, 2, 3, 0])
    mixed = kind().pairs(x, y, mask=mask, index=index)
    assert torch.equal(mixed.mask, mask)
    assert torch.equal(mixed.index, index)
    assert torch.equal(mixed.x, torch.where(mask.bool(), x, x[index]))
    one = kind().pairs(x, y, mask=mask[:1], index=index)
    assert torch.equal(one.mask, mask[:1].expand(4, 1, 8, 10))
    assert torch.equal(one.lam, mask[:1].mean().expand(4))


@pytest.mark.parametrize("kind", KINDS)
def test_one_lam_handed_in_serves_the_whole_batch(kind):
    x, y = batch(4)
    lam = kind().pairs(x, y, lam=torch.tensor([0.5])).lam
    assert lam.shape == (4,)
    assert (lam == lam[0]).all()


# In a training loop


@pytest.mark.parametrize("size", [(8, 10), (9,), (4, 5, 6)], ids=str)
@pytest.mark.parametrize("kind", [*KINDS, OFFICIAL])
def test_collate_in_a_data_loader(kind, size):
    x, y = batch(10, size)
    samples = [(image, int(label)) for image, label in zip(x, y, strict=True)]
    loader = DataLoader(samples, batch_size=4, collate_fn=kind(num_classes=5).collate, drop_last=True)
    for images, labels in loader:
        assert images.shape == (4, 3, *size)
        assert labels.shape == (4, 5)
        assert torch.allclose(labels.sum(1), torch.ones(4))


def same_as_uncompiled(compiled, mix, x, y):
    torch.manual_seed(0)
    expected = mix(x, y)
    torch.manual_seed(0)
    got = compiled(x, y)
    assert torch.allclose(got[0], expected[0], atol=1e-6)
    assert torch.allclose(got[1], expected[1], atol=1e-6)
    return got


@pytest.mark.parametrize("kind", [*KINDS, OFFICIAL])
def test_compiles_in_one_graph(kind):
    torch.compiler.reset()
    x, y = batch(6)
    mix = kind(num_classes=5)
    compiled = torch.compile(lambda x, y: mix(x, y), fullgraph=True, backend="aot_eager")
    got = same_as_uncompiled(compiled, mix, x, y)
    fresh = compiled(x, y)
    assert not torch.equal(fresh[0], got[0])


@pytest.mark.parametrize("kind", [*KINDS, OFFICIAL])
@pytest.mark.parametrize("mode", MODES)
def test_compiles_for_batches_of_any_size(kind, mode):
    torch.compiler.reset()
    mix, traced = kind(num_classes=5, mode=mode, p=0.5, alpha=0.3), []

    def backend(graph, inputs):
        traced.append(graph)
        return graph

    compiled = torch.compile(lambda x, y: mix(x, y), fullgraph=True, backend=backend)
    for count in (6, 9, 10, 3):
        same_as_uncompiled(compiled, mix, *batch(count))
    assert len(traced) == 2  # for the first size, then for any


SHAPES = ((6, 8, 10), (9, 8, 10), (7, 12, 7))


@pytest.mark.parametrize(
    ("dynamic", "given"),
    [(None, False), (True, True), *(pytest.param(each, False, marks=pytest.mark.slow) for each in (True, False))],
)
@pytest.mark.parametrize(
    "kind",
    [*KINDS, OFFICIAL, pytest.param(lambda **o: FMix(max_soft=0.2, **o), id="soft FMix", marks=pytest.mark.slow)],
)
def test_compiles_for_images_of_any_size(kind, dynamic, given):
    """Another batch, then other images: by a graph for each, or one for any. Drawn as uncompiled, or handed in."""
    torch.compiler.reset()
    mix = kind(num_classes=5, p=0.5)
    compiled = torch.compile(
        lambda x, y, **draws: mix(x, y, **draws), fullgraph=given or dynamic is None, dynamic=dynamic, backend="eager"
    )
    for seed, (count, *size) in enumerate(SHAPES):
        x, y = batch(count, tuple(size))
        if not given:
            same_as_uncompiled(compiled, mix, x, y)
            continue
        drawn = generator(seed)
        draws = {
            "lam": torch.rand(count, generator=drawn),
            "index": torch.randperm(count, generator=drawn),
            "applied": torch.rand(count, generator=drawn) < 0.5,
        }
        torch.manual_seed(0)
        expected = mix(x, y, **draws)
        torch.manual_seed(0)
        for one, other in zip(compiled(x, y, **draws), expected, strict=True):
            assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("dynamic", [None, pytest.param(True, marks=pytest.mark.slow)])
def test_compiles_for_signals_and_volumes_of_any_size(dynamic):
    for sizes in (((20,), (31,), (16,)), ((4, 6, 5), (6, 3, 4), (5, 5, 8))):
        torch.compiler.reset()
        mix = FMix(num_classes=5, variant="official")
        compiled = torch.compile(lambda x, y, mix=mix: mix(x, y), fullgraph=True, dynamic=dynamic, backend="eager")
        for size in sizes:
            same_as_uncompiled(compiled, mix, *batch(5, size))


@pytest.mark.parametrize(("kind", "graphs"), [(MixUp, 1), (CutMix, 1), (FMix, 3)])
def test_one_graph_serves_batches_of_any_size_and_but_for_fmix_any_images(kind, graphs):
    torch.compiler.reset()
    mix, traced = kind(num_classes=5), []

    def backend(graph, inputs):
        traced.append(graph)
        return graph

    compiled = torch.compile(lambda x, y: mix(x, y), fullgraph=True, dynamic=True, backend=backend)
    for count, *size in ((6, 8, 10), (9, 14, 9), (5, 20, 12), (7, 20, 12), (3, 8, 10)):
        same_as_uncompiled(compiled, mix, *batch(count, tuple(size)))
    assert len(traced) == graphs


@pytest.mark.parametrize("kind", KINDS)
def test_compiles_in_one_graph_with_draws_handed_in(kind):
    torch.compiler.reset()
    x, y = batch(6)
    lam, index = torch.rand(6, generator=generator()), torch.randperm(6, generator=generator())
    mask = kind().draw_mask(lam, (8, 10), generator=generator())
    mask = mask.expand(6, 1, 8, 10)
    mix = kind(num_classes=5, p=0.5)
    applied = torch.tensor([True, True, False, True, False, True])
    draws = {"mask": mask, "index": index, "applied": applied}
    compiled = torch.compile(lambda x, y, **draws: mix(x, y, **draws), fullgraph=True, backend="aot_eager")
    got, expected = compiled(x, y, **draws), mix(x, y, **draws)
    assert torch.equal(got[0], expected[0])
    assert torch.equal(got[1], expected[1])


@pytest.mark.parametrize("make", [fmix_mask, cutmix_mask, lambda *a, **k: fmix_mask(*a, variant="official", **k)])
def test_masks_are_the_same_under_autocast(make):
    lam = torch.rand(20, generator=generator())
    expected = make(lam, (32, 32), generator=generator())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(make(lam, (32, 32), generator=generator()), expected)
        x, y = batch(20, (32, 32))
        inside = FMix().pairs(x, y, generator=generator())
    outside = FMix().pairs(x, y, generator=generator())
    assert all(torch.equal(a, b) for a, b in zip(inside, outside, strict=True))


def test_every_class_names_its_options_alike():
    shared = list(inspect.signature(MixUp).parameters)
    for kind in KINDS:
        assert set(shared) <= set(inspect.signature(kind).parameters)
    assert list(inspect.signature(FMix).parameters)[:2] == ["alpha", "decay_power"]


# Errors

X, Y = batch(4)
ONE_HOT = torch.nn.functional.one_hot(Y, 5)


@pytest.mark.parametrize(
    ("x", "y", "told"),
    [
        (X[:0], Y[:0], "batch of at least 2 images, got 0"),
        (X[:1], Y[:1], "batch of at least 2 images, got 1"),
        ((X * 255).byte(), Y, r"images to mix must be floating point.*uint8.*Scale uint8 images"),
        (X[:, :, 0, 0], Y, r"1 to 3 spatial dimensions.*\(4, 3\)\. One channel is x\[:, None\]"),
        (torch.ones(4, 9, dtype=torch.long), Y, r"torch.int64 of shape \(4, 9\)\. Of texts.*mix the embeddings"),
        (X[:, :, :, :, None, None], Y, r"1 to 3 spatial dimensions.*\(4, 3, 8, 10, 1, 1\)"),
        (X, Y.float(), "class labels must be int8 to int64 or uint8, got torch.float32"),
        (X, Y > 1, "class labels must be int8 to int64 or uint8, got torch.bool"),
        (X, Y.to(torch.complex64), "class labels must be int8 to int64 or uint8, got torch.complex64"),
        (X, Y + 2, r"label 5 is outside 0\.\.4"),
        (X, Y - 1, r"label -1 is outside 0\.\.4"),
        (X, Y[:3], r"4 images need labels .* got shape \(3,\)"),
        (X, ONE_HOT[:, :, None], r"4 images need labels .* got shape \(4, 5, 1\)"),
        (X, ONE_HOT, r"soft labels \(B, classes\) must be float, got torch.int64"),
        (X, ONE_HOT.bool(), r"soft labels \(B, classes\) must be float, got torch.bool"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_bad_batches(kind, x, y, told):
    with pytest.raises(InputError, match=told):
        kind(num_classes=5)(x, y)


@pytest.mark.parametrize("kind", KINDS)
def test_integer_labels_need_the_number_of_classes(kind):
    with pytest.raises(InputError, match="integer labels need num_classes"):
        kind()(X, Y)
    kind().pairs(X, Y)


@pytest.mark.parametrize(
    ("draws", "told"),
    [
        ({"lam": torch.full((3,), 0.5)}, "for a batch of 4; give 4 draws, or 1"),
        ({"lam": torch.tensor([0.5, 0.5, 0.5, 1.5])}, r"lam must lie in \[0, 1\], got 1\.5"),
        ({"lam": torch.full((4,), torch.nan)}, "lam must lie .* got nan"),
        ({"lam": torch.ones(4, dtype=torch.long)}, "lam must be a float tensor"),
        ({"index": torch.arange(3)}, "index must hold 4 whole numbers"),
        ({"index": torch.tensor([0, 1, 2, 4])}, "index must name partners 0..3"),
        ({"index": torch.tensor([0, 1, 2, -1])}, "index must name partners 0..3"),
        ({"applied": torch.ones(4)}, "applied must be bool"),
        ({"lam": torch.tensor(0.5)}, "give 4 draws, or 1"),
        ({"mask": torch.full((4, 1, 8, 10), 1.5)}, "mask values must lie in"),
        ({"mask": torch.full((4, 1, 8, 10), torch.nan)}, "mask values must lie in"),
        ({"applied": torch.ones(2, dtype=torch.bool)}, "for a batch of 4; give 4 draws, or 1"),
        ({"mask": torch.ones(3, 1, 8, 10)}, "for a batch of 4; give 4 draws, or 1"),
        ({"mask": torch.ones(4, 1, 10, 8)}, r"mask must have shape \(B, 1, 8, 10\), got \(4, 1, 10, 8\)"),
        ({"mask": torch.ones(4, 3, 8, 10)}, r"mask must have shape \(B, 1, 8, 10\)"),
        ({"mask": torch.ones(4, 8, 10)}, r"mask must have shape \(B, 1, 8, 10\)"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_bad_draws(kind, draws, told):
    with pytest.raises(InputError, match=told):
        kind().pairs(X, Y, **draws)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"p": -0.1}, r"p is a probability in \[0, 1\], got -0\.1"),
        ({"p": 1.1}, r"p is a probability in \[0, 1\], got 1\.1"),
        ({"p": math.nan}, r"p is a probability in \[0, 1\], got nan"),
        ({"mode": "pair"}, "mode must be 'elem' .* 'batch' .* or 'batch-mask' .* got 'pair'"),
        ({"lam": "true"}, r"lam must be 'realised' .* or 'asked' .* got 'true'"),
        ({"num_classes": 0}, "num_classes must be a whole number of at least 1, got 0"),
        ({"target_alpha": 0}, "target_alpha must be a positive number"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_bad_options(kind, options, told):
    with pytest.raises(InputError, match=told):
        kind(**options)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_images_with_nan_are_counted_and_refused(kind, dtype):
    x = torch.rand(5, 3, 8, 10).to(dtype)
    x[1, 2, 3, 4] = x[4, 0, 0, 0] = torch.nan
    with pytest.raises(InputError, match="2 of 5 images contain NaN"):
        kind().pairs(x, torch.zeros(5, dtype=torch.long))
    x = torch.rand(5, 3, 8, 10).to(dtype)
    x[0, 0, 0, 0], x[0, 0, 0, 1] = torch.inf, -torch.inf
    kind().pairs(x, torch.zeros(5, dtype=torch.long), lam=torch.ones(5))


# Selection


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("infinite", [-math.inf, math.inf])
def test_an_infinite_pixel_stays_where_it_is(kind, infinite, dtype):
    """With p = 0 nothing is mixed, so nothing may change."""
    x, y = batch()
    x = x.to(dtype)
    x[2, 1, 3, 4], x[5] = infinite, -infinite
    mixed = kind(num_classes=5, p=0).pairs(x, y, generator=generator())
    assert torch.equal(mixed.x, x)


@pytest.mark.parametrize("kind", BINARY)
def test_a_binary_mask_chooses_between_infinite_pixels(kind):
    x, y = batch(4)
    x[0], x[1, :, ::2], x[2, 0] = math.inf, -math.inf, math.inf
    mixed = kind(num_classes=5).pairs(x, y, generator=generator(3), index=torch.tensor([1, 0, 3, 2]))
    for i, partner in enumerate([1, 0, 3, 2]):
        own = mixed.mask[i, 0].bool().expand(3, -1, -1)
        assert torch.equal(mixed.x[i][own], x[i][own])
        assert torch.equal(mixed.x[i][~own], x[partner][~own])


def test_a_lam_of_one_or_zero_chooses_beside_others_that_mix():
    x, y = torch.ones(3, 1, 1, 2), torch.tensor([0, 1, 0])
    x[0, 0, 0, 0], x[1, 0, 0, 1] = math.inf, -math.inf
    mixed = MixUp(num_classes=2).pairs(x, y, lam=torch.tensor([1.0, 0.0, 0.25]), index=torch.tensor([1, 0, 2]))
    assert mixed.x.flatten().tolist() == [math.inf, 1, math.inf, 1, 1, 1]


def test_differences_beyond_the_dtype_are_chosen_exactly():
    """3·10³⁸ and −3·10³⁸ differ by more than float32 holds."""
    x = torch.tensor([3e38, -3e38]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    mixed = CutMix().pairs(
        x, torch.tensor([0, 1]), mask=torch.tensor([[[[1.0, 0], [0, 1]]]]), index=torch.tensor([1, 0])
    )
    assert mixed.x[0].flatten().tolist() == x[[0, 1, 1, 0], 0, 0, 0].tolist()


def test_soft_labels_left_out_stay_out():
    x, _ = batch(2)
    y = torch.tensor([[0.0, 1.0], [-math.inf, 0.0]])
    _, labels = MixUp()(x, y, lam=torch.tensor([1.0, 0.0]), index=torch.tensor([1, 0]))
    assert torch.equal(labels, y[[0, 0]])


def test_what_is_chosen_has_gradients():
    x, y = batch(2)
    x[1, 0, 0, 0] = -math.inf
    x.requires_grad_()
    mixed = MixUp().pairs(x, y, lam=torch.tensor([1.0, 0.0]), index=torch.tensor([1, 0]))
    mixed.x.exp().sum().backward()
    assert torch.equal(x.grad, torch.stack([2 * x[0].exp(), torch.zeros_like(x[1])]).detach())


# Types


OTHERS = pytest.mark.parametrize("default", [torch.float64, torch.bfloat16, torch.float16], ids=str)


@pytest.fixture
def set_default():
    yield torch.set_default_dtype
    torch.set_default_dtype(torch.float32)


CASES = {
    "mixup": lambda: MixUp(num_classes=5),
    "mixup, alpha": lambda: MixUp(0.3, num_classes=5, reformulate=True, p=0.5),
    "cutmix": lambda: CutMix(0.3, num_classes=5, mode="batch", lam="asked", rounding="nearest"),
    "fmix": lambda: FMix(num_classes=5),
    "official": lambda: FMix(variant="official", num_classes=5),
    "soft": lambda: FMix(num_classes=5, max_soft=0.2, mode="batch-mask"),
    "salience": lambda: FMix(num_classes=5, salience=gaussian_salience((8, 10))),
    "alternate": lambda: Alternate(FMix(num_classes=5), MixUp(num_classes=5)),
}


@OTHERS
@pytest.mark.parametrize("name", CASES)
def test_no_default_dtype_changes_what_is_drawn(name, default, set_default):
    x, y = batch()
    expected = CASES[name]()(x, y, generator=generator(3), step=0)
    set_default(default)
    mixed, labels = CASES[name]()(x, y, generator=generator(3), step=0)
    assert labels.dtype == torch.float32
    assert torch.equal(mixed, expected[0])
    assert torch.equal(labels, expected[1])


@OTHERS
def test_lam_and_images_are_float32_under_any_default(default, set_default):
    set_default(default)
    assert sample_lam(3, 0.4).dtype == torch.float32
    assert low_frequency_image(2, 8).dtype == torch.float32
    assert gaussian_salience(8).dtype == torch.float32
    assert fmix_mask(torch.full((2,), 0.5, dtype=torch.float32), 8).dtype == torch.float32
    assert cutmix_mask(torch.full((2,), 0.5, dtype=torch.float16), 8).dtype == torch.float16


NUMBERS = [np.float32, np.float64, np.array, torch.tensor]
WHOLES = [np.int64, np.uint8, np.array, torch.tensor]


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_of_numpy_and_torch_are_numbers(number):
    for kind in KINDS:
        assert kind(number(0.5), p=number(0.25), target_alpha=number(2.0)) == kind(0.5, p=0.25, target_alpha=2.0)
    assert FMix(decay_power=number(2.5), max_soft=number(0.125)) == FMix(decay_power=2.5, max_soft=0.125)
    masks = (
        fmix_mask(torch.full((2,), 0.5), 8, d, max_soft=s, generator=generator())
        for d, s in ((2.5, 0.25), (number(2.5), number(0.25)))
    )
    assert torch.equal(*masks)
    assert torch.equal(sample_lam(5, number(0.5), generator=generator()), sample_lam(5, 0.5, generator=generator()))
    assert torch.equal(gaussian_salience(6, number(0.5)), gaussian_salience(6, 0.5))


@pytest.mark.parametrize("whole", WHOLES)
def test_whole_numbers_of_numpy_and_torch_are_whole_numbers(whole):
    x, y = batch()
    expected = MixUp(num_classes=5)(x, y, generator=generator())
    got = MixUp(num_classes=whole(5))(x, y, generator=generator())
    assert torch.equal(got[1], expected[1])
    assert fmix_mask(torch.rand(2), whole(8)).shape == (2, 1, 8)
    assert cutmix_mask(torch.rand(2), [whole(8), 6]).shape == (2, 1, 8, 6)


@pytest.mark.parametrize("wrong", [np.float64(5.5), np.array([5, 6]), torch.tensor([5]), "5", np.float32("nan")])
def test_what_is_no_whole_number_is_named(wrong):
    with pytest.raises(InputError, match="num_classes must be a whole number"):
        MixUp(num_classes=wrong)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
def test_partners_of_any_integer_type(dtype):
    x, y = batch()
    index = torch.tensor([1, 0, 3, 2, 6, 4, 5])
    assert torch.equal(
        *(MixUp(num_classes=5)(x, y, index=i, lam=torch.full((7,), 0.25))[0] for i in (index, index.to(dtype)))
    )


def test_truth_values_are_no_partners():
    x, y = batch(2)
    with pytest.raises(InputError, match=r"index must hold 2 whole numbers, got torch\.bool"):
        MixUp(num_classes=5)(x, y, index=torch.tensor([True, False]))


@pytest.mark.parametrize("make", [list, np.asarray])
def test_draws_may_be_lists_and_arrays(make):
    x, y = batch(2)
    draws = {"lam": [0.25, 0.75], "index": [1, 0], "applied": [True, False], "mask": np.full((2, 1, 8, 10), 0.5)}
    for chosen in ({"lam", "index", "applied"}, {"mask", "index"}):
        exact = {name: torch.as_tensor(draws[name]) for name in chosen}
        given = {name: make(draws[name]) if name != "mask" else draws[name] for name in chosen}
        for one, other in zip(MixUp(num_classes=5)(x, y, **given), MixUp(num_classes=5)(x, y, **exact), strict=True):
            assert torch.allclose(one, other)
    assert torch.equal(*(MixUp().pairs(x, y, lam=lam, index=[1, 0]).x for lam in (0.25, torch.tensor([0.25]))))
    assert torch.equal(
        fmix_mask(make([0.5, 0.25]), 8, noise=np.ones((1, 8, 2)), rounding=make([0.5, 0.5])).sum((1, 2)),
        torch.tensor([4.0, 2.0]),
    )
    assert cutmix_mask(make([0.0]), (4, 4), centre=[[2, 2]]).sum() == 0
    assert FMix(num_classes=5, salience=np.ones((8, 10)))(x, y)[0].shape == x.shape


def test_what_is_no_draw_is_named():
    x, y = batch(2)
    with pytest.raises(InputError, match="a draw must be a tensor"):
        MixUp(num_classes=5)(x, y, lam="half")
    with pytest.raises(InputError, match="a draw must be a tensor"):
        MixUp(num_classes=5)(x, y, index=[[1], [0, 1]])


# Collating


def test_what_else_samples_hold_comes_as_it_is():
    x, y = batch(4)
    samples = [(x[i], int(y[i]), f"image {i}", i) for i in range(4)]
    mixed, labels, names, numbers = MixUp(num_classes=5).collate(samples)
    assert mixed.shape == x.shape
    assert labels.shape == (4, 5)
    assert list(names) == [f"image {i}" for i in range(4)]
    assert numbers.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("image", "label"),
    [("image", "label"), ("pixel_values", "labels"), ("x", "y"), ("img", "target"), ("volume", "label")],
)
def test_dictionaries_are_mixed_under_their_names(image, label):
    x, y = batch(4)
    mixed = CutMix(num_classes=5).collate([{"id": i, image: x[i], label: int(y[i])} for i in range(4)])
    assert list(mixed) == ["id", image, label]
    assert mixed[image].shape == x.shape
    assert mixed[label].shape == (4, 5)
    assert mixed["id"].tolist() == [0, 1, 2, 3]


def test_dictionaries_without_an_image_are_named():
    with pytest.raises(InputError, match=r"image is expected under one of image, img.* got the keys picture, label"):
        MixUp(num_classes=5).collate([{"picture": torch.rand(3, 4, 4), "label": 0}] * 2)
    with pytest.raises(InputError, match=r"label is expected under one of label.*got the keys image, label, y"):
        MixUp(num_classes=5).collate([{"image": torch.rand(3, 4, 4), "label": 0, "y": 1}] * 2)
    with pytest.raises(InputError, match=r"samples to collate are \(image, label, …\) or dictionaries, got Tensor"):
        MixUp(num_classes=5).collate([torch.rand(3, 4, 4)] * 2)


@pytest.mark.parametrize("mix", [MixUp(num_classes=5), Alternate(FMix(num_classes=5), CutMix(num_classes=5))])
def test_a_last_batch_of_one_is_not_mixed(mix):
    x, y = batch(7)
    data = list(zip(x, y.tolist(), strict=True))
    *_, (last, labels) = DataLoader(data, 3, collate_fn=mix.collate)
    assert torch.equal(last, x[6:])
    assert torch.equal(labels, torch.eye(5)[y[6:]])
