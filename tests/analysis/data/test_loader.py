import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from mixlens.analysis.data.dataset import Split
from mixlens.analysis.data.loader import Batches, Transforms, colour_jitter, crop, flip, normalise
from mixlens.analysis.errors import InputError

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(count=16, channels=3, size=(9, 7), seed=0):
    return torch.rand(count, channels, *size, generator=generator(seed))


def indexed(count, size=4):
    """A split whose labels number its images, each image filled with its own number."""
    labels = torch.arange(count)
    return Split(labels.byte().view(-1, 1, 1, 1).repeat(1, 3, size, size), labels)


# pure functions


def test_normalise_closed_form_and_input_untouched():
    x = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    out = normalise(x, MEAN, STD)
    assert out.dtype == torch.float32
    assert out.flatten().tolist() == pytest.approx([-0.5 / 0.2, (0.2 - 0.4) / 0.25, 0.7 / 0.3])
    assert x.flatten().tolist() == [0, 51, 255]


def test_flip_mirrors_the_chosen_only():
    x, which = images(4), torch.tensor([True, False, False, True])
    out = flip(x, which)
    for i in range(4):
        assert torch.equal(out[i], reference.horizontal_flip(x[i]) if which[i] else x[i])
    assert torch.equal(flip(out, which), x)


@pytest.mark.parametrize("padding", [1, 4])
def test_crop_matches_torchvision_at_every_offset(padding):
    ends = 2 * padding + 1
    offsets = torch.cartesian_prod(torch.arange(ends), torch.arange(ends))
    x = images(len(offsets))
    out = crop(x, padding, offsets)
    for i, (row, column) in enumerate(offsets.tolist()):
        assert torch.equal(out[i], reference.crop(reference.pad(x[i], [padding] * 4), row, column, 9, 7))
    middle = torch.full((len(x), 2), padding)
    assert torch.equal(crop(x, padding, middle), x)


def jitter_one_by_one(x, brightness, contrast, saturation, hue):
    out = []
    for i, image in enumerate(x):
        image = reference.adjust_brightness(image, brightness[i].item())
        image = reference.adjust_contrast(image, contrast[i].item())
        image = reference.adjust_saturation(image, saturation[i].item())
        out.append(reference.adjust_hue(image, hue[i].item()))
    return torch.stack(out)


def factors(count, spread, seed=1):
    draws = spread * (2 * torch.rand(4, count, generator=generator(seed)) - 1)
    return 1 + draws[0], 1 + draws[1], 1 + draws[2], draws[3]


@pytest.mark.parametrize("spread", [0.05, 0.5])
@pytest.mark.parametrize("levels", [None, 4], ids=["continuous", "with ties, greys and saturated colours"])
@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_matches_torchvision(spread, levels, channels):
    x = images(64, channels, (16, 16))
    if levels:
        x = (x * levels).floor() / (levels - 1)
        x[:8] = x[:8, :1]
        x[8], x[9] = 0, 1
    drawn = factors(len(x), spread)
    out = colour_jitter(x, *drawn)
    assert (out - jitter_one_by_one(x, *drawn)).abs().max() < 1e-5
    assert 0 <= out.min() <= out.max() <= 1


@pytest.mark.parametrize("part", range(4))
def test_each_part_of_the_jitter_matches_alone(part):
    x = images(32)
    one, zero = torch.ones(32), torch.zeros(32)
    drawn = [one, one, one, zero]
    drawn[part] = factors(32, 0.5)[part]
    out = colour_jitter(x, *drawn)
    assert (out - jitter_one_by_one(x, *drawn)).abs().max() < 1e-5
    assert not torch.allclose(out, x, atol=1e-2)


def test_neutral_jitter_is_the_identity_and_the_input_is_untouched():
    x = images(8)
    before, one = x.clone(), torch.ones(8)
    assert torch.allclose(colour_jitter(x, one, one, one, torch.zeros(8)), x, atol=1e-6)
    colour_jitter(x, 2 * one, one, one, 0.3 * one)
    assert torch.equal(x, before)


def test_a_third_of_a_turn_moves_each_channel_to_the_next():
    x, one = images(8), torch.ones(8)
    assert torch.allclose(colour_jitter(x, one, one, one, one / 3), x.roll(1, dims=1), atol=1e-5)
    assert torch.allclose(colour_jitter(x, one, one, one, -one / 3), x.roll(-1, dims=1), atol=1e-5)


def test_jitter_of_other_channel_counts_is_refused():
    with pytest.raises(InputError, match="1 or 3 channels, these have 4"):
        Transforms(jitter=0.1)(images(2, 4))


# Transforms


def test_transforms_draw_per_image_within_range_and_from_the_generator():
    x = images(1).expand(400, 3, 9, 7)
    both = Transforms(flip=True, crop_padding=2)(x, generator=generator())
    assert 40 < len(torch.unique(both.flatten(1), dim=0)) <= 50  # 2 mirrors × 25 offsets
    transforms = Transforms(True, 2, 0.1)
    assert torch.equal(transforms(x, generator=generator(3)), transforms(x, generator=generator(3)))
    assert not torch.equal(transforms(x, generator=generator(3)), transforms(x, generator=generator(4)))


def test_transforms_without_a_generator_follow_the_global_seed():
    transforms, x = Transforms(True, 2, 0.1), images()
    torch.manual_seed(5)
    first = transforms(x)
    torch.manual_seed(5)
    assert torch.equal(transforms(x), first)


def test_flip_probability_is_one_half():
    x = torch.tensor([0.0, 1.0]).expand(20_000, 1, 1, 2)
    flipped = Transforms(flip=True)(x, generator=generator())[:, 0, 0, 0].mean().item()
    assert flipped == pytest.approx(0.5, abs=4 * 0.5 / 20_000**0.5)


def test_jitter_factors_are_uniform_around_one():
    x = torch.full((20_000, 1, 1, 1), 0.5)  # on one grey pixel only brightness acts
    factor = Transforms(jitter=0.2)(x, generator=generator()).flatten() / 0.5
    assert 0.8 - 1e-6 <= factor.min() < 0.801
    assert 1.199 < factor.max() <= 1.2 + 1e-6
    assert factor.mean().item() == pytest.approx(1, abs=4 * 0.4 / 12**0.5 / 20_000**0.5)


def test_no_transforms_draw_nothing():
    x, source = images(), generator()
    before = source.get_state()
    assert torch.equal(Transforms()(x, generator=source), x)
    assert torch.equal(source.get_state(), before)


@pytest.mark.parametrize("bad", [{"crop_padding": -1}, {"jitter": -0.1}, {"jitter": 0.6}, {"jitter": float("nan")}])
def test_impossible_transforms(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        Transforms(**bad)


# Batches


@pytest.mark.parametrize(
    ("count", "size", "sizes"),
    [(10, 5, [5, 5]), (12, 5, [5, 5, 2]), (11, 5, [5, 6]), (3, 2, [3]), (2, 2, [2]), (5, 5, [5]), (6, 5, [6])],
)
@pytest.mark.parametrize("shuffle", [False, True])
def test_batch_sizes_cover_every_image_once(count, size, sizes, shuffle):
    batches = Batches(indexed(count), MEAN, STD, size, shuffle=shuffle, generator=generator())
    found = list(batches)
    assert [len(y) for _, y in found] == sizes
    assert len(batches) == len(sizes)
    order = torch.cat([y for _, y in found]).tolist()
    assert sorted(order) == list(range(count))
    for x, y in found:
        assert torch.equal(x, normalise(y.byte().view(-1, 1, 1, 1).repeat(1, 3, 4, 4), MEAN, STD))


def test_unshuffled_batches_keep_the_order_and_the_source():
    split = indexed(20)
    before = split.images.clone()
    for _ in range(2):
        batches = Batches(split, MEAN, STD, 6, transforms=Transforms(True, 1, 0.1), generator=generator())
        assert torch.equal(torch.cat([y for _, y in batches]), split.labels)
    assert torch.equal(split.images, before)


def test_each_epoch_has_its_own_order_and_the_seed_fixes_them_all():
    def epochs(seed):
        batches = Batches(
            indexed(50), MEAN, STD, 8, transforms=Transforms(True, 1, 0.1), shuffle=True, generator=generator(seed)
        )
        return [[torch.cat(parts) for parts in zip(*batches, strict=True)] for _ in range(2)]

    one, again, other = epochs(0), epochs(0), epochs(1)
    assert not torch.equal(one[0][1], one[1][1])
    assert not torch.equal(one[0][1], other[0][1])
    for (x, y), (x2, y2) in zip(one, again, strict=True):
        assert torch.equal(x, x2)
        assert torch.equal(y, y2)


def test_transforms_act_on_the_unit_scale_before_normalisation():
    split = Split(torch.randint(0, 256, (8, 3, 6, 6), dtype=torch.uint8, generator=generator()), torch.zeros(8).long())
    transforms = Transforms(True, 2, 0.3)
    ((x, _),) = Batches(split, MEAN, STD, 8, transforms=transforms, generator=generator(1))
    unit = transforms(split.images / 255, generator=generator(1))
    expected = (unit - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    assert torch.allclose(x, expected, atol=1e-6)


def test_channels_last():
    plain, last = (Batches(indexed(8), MEAN, STD, 4, channels_last=flag) for flag in (False, True))
    for (x, _), (x_last, _) in zip(plain, last, strict=True):
        assert x.is_contiguous()
        assert x_last.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(x, x_last)


@pytest.mark.parametrize("size", [-1, 0, 1, 11])
def test_impossible_batch_sizes(size):
    with pytest.raises(InputError, match=f"batch size {size} for a split of 10 images; give 2 to 10"):
        Batches(indexed(10), MEAN, STD, size)


@pytest.mark.gpu
@pytest.mark.parametrize("source", ["cpu", "cuda"])
def test_on_cuda_with_a_generator_on_either_device(source):
    draw = torch.Generator(source).manual_seed(0)
    batches = Batches(
        indexed(50), MEAN, STD, 8, transforms=Transforms(True, 1, 0.1), device="cuda", generator=draw, shuffle=True
    )
    found = list(batches)
    assert all(x.is_cuda and y.is_cuda for x, y in found)
    assert sorted(torch.cat([y for _, y in found]).tolist()) == list(range(50))


@pytest.mark.gpu
def test_cuda_agrees_with_cpu():
    x, drawn = images(64), factors(64, 0.3)
    out = colour_jitter(x.cuda(), *(factor.cuda() for factor in drawn))
    assert torch.allclose(out.cpu(), colour_jitter(x, *drawn), atol=1e-5)


def test_bytes_are_transformed_as_their_floats_are():
    images = torch.randint(0, 256, (16, 3, 9, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    transforms = Transforms(flip=True, crop_padding=2, jitter=0.1)
    made = [transforms(x, generator=torch.Generator().manual_seed(1)) for x in (images, images.float() / 255)]
    assert torch.equal(*made)
