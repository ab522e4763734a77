import math
import sys

import pytest
import torch
from safetensors.torch import load_file

from mixlens.analysis.data.dataset import Dataset, Split
from mixlens.analysis.errors import InputError
from mixlens.analysis.masks.policies import parse_policy
from mixlens.analysis.store.runs import CHECKPOINT, MODEL, Run
from mixlens.analysis.training.backend import make_backend
from mixlens.analysis.training.progress import Reporter
from mixlens.analysis.training.turns import whole
from mixlens.vae import train as module
from mixlens.vae.config import VAEConfig
from mixlens.vae.train import check_data, load_vae, train_vae

CONFIG = VAEConfig(latents=4, epochs=2, batch_size=16)

MINE = """
import torch

seen, orders = [], []


class Same:
    '''Draws as a mixing augmentation does, and gives its images back.'''

    def __call__(self, x, y, *, generator=None):
        torch.rand(100, generator=generator)
        orders.append(y.clone())
        return x, y


class Counted:
    def __call__(self, x, y, *, generator=None, step=None):
        seen.append(step)
        return x, y


def cut(x, y, *, generator=None):
    return x[:, :, :-2], y


def fewer(x, y, *, generator=None):
    return x[:-1], y[:-1]


def poisoned(x, y, *, generator=None):
    return x * float("nan"), y


def lone(x, y, *, generator=None):
    return x


def double(x, y, *, generator=None):
    return x.double(), y


def unseeded(x, y):
    return x, y


def make_lone():
    return lone


def make_double():
    return double


def make_unseeded():
    return unseeded


def make_cut():
    return cut


def make_fewer():
    return fewer


def make_poisoned():
    return poisoned
"""


def split(count, size=32, seed=0):
    source = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=source)
    images = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear").mul(255).byte()
    return Split(images, torch.arange(count) % 4)


def dataset(size=32):
    return Dataset("tiny", split(64, size), split(20, size, 1), ("a", "b", "c", "d"), (0.5,) * 3, (0.25,) * 3)


@pytest.fixture
def train(tmp_path):
    def run(augmentation="baseline", *, seed=0, replicate=1, config=CONFIG, data=None, name=None, reporter=None):
        path = tmp_path / (name or f"run-{len(list(tmp_path.glob('run-*')))}")
        path.mkdir(exist_ok=True)
        whole(
            train_vae(
                config,
                data or dataset(),
                parse_policy(augmentation),
                seed,
                replicate,
                run=Run(path),
                backend=make_backend("cpu", "fp32"),
                reporter=reporter or Reporter(quiet=True),
                label="test",
            )
        )
        return Run(path)

    return run


def test_training_learns_and_records(train):
    history = train(config=VAEConfig(latents=4, epochs=4, batch_size=16)).read_history()
    assert [record["epoch"] for record in history] == [1, 2, 3, 4]
    assert {"train_loss", "train_rate", "test_rate", "test_mse", "lr", "seconds"} <= set(history[0])
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert [record["lr"] for record in history] == pytest.approx([3e-3, 3e-3, 3e-4, 3e-5])


def test_the_same_seed_gives_the_same_weights(train, same, timeless):
    first, second = train(), train()
    assert same(first, second)
    assert timeless(first) == timeless(second)


def test_seeds_and_replicates_differ(train, same):
    first = train()
    assert not same(first, train(seed=1))
    assert not same(first, train(replicate=0))


def test_a_first_training_step_starts_at_the_shared_weights(train, starts):
    """Augmentations of one seed and replicate start from the same weights."""
    baseline, mixup, fmix, other = starts(module, train)
    assert torch.equal(baseline, mixup)
    assert torch.equal(baseline, fmix)
    assert not torch.equal(baseline, other)


def test_an_augmentation_that_changes_nothing_is_the_baseline_bit_for_bit(train, same, timeless, mine):
    """So the order of images, their flips and jitter, and the latents' noise are shared; mixing has its own stream."""
    baseline, unchanged = train(), train(f"{mine}:Same")
    assert same(baseline, unchanged)
    assert timeless(baseline) == timeless(unchanged)


def test_the_order_of_images_belongs_to_seed_and_replicate(train, mine):
    orders = []
    for seed, replicate in ((0, 1), (0, 1), (1, 1), (0, 0)):
        train(f"{mine}:Same", seed=seed, replicate=replicate)
        orders.append(torch.cat(sys.modules[mine].orders))
        sys.modules[mine].orders.clear()
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])
    assert not torch.equal(orders[0], orders[3])


@pytest.mark.parametrize("augmentation", ["mixup", "cutmix", "fmix", "fmix-official", "fmix+mixup", "fmix(alpha=0.2)"])
def test_every_named_augmentation_trains_and_differs_from_the_baseline(train, same, augmentation):
    config = VAEConfig(latents=4, epochs=1, batch_size=16)
    assert not same(train(config=config), train(augmentation, config=config))


def test_one_mask_per_batch_or_one_per_image(train, same):
    first, second = (
        train("mixup", config=VAEConfig(latents=4, epochs=1, batch_size=16, mix_mode=mode))
        for mode in ("batch", "elem")
    )
    assert not same(first, second)


def test_an_augmentation_that_takes_a_step_gets_it(train, mine):
    train(f"{mine}:Counted")
    assert sys.modules[mine].seen == list(range(8))


def test_alternating_augmentations_alternate_by_step(train, monkeypatch):
    policy, used = parse_policy("fmix+mixup"), []
    mix = policy.build(4, "batch")
    choose = type(mix)._choose

    def spy(self, generator, step):
        chosen = choose(self, generator, step)
        used.append((step, type(chosen).__name__))
        return chosen

    monkeypatch.setattr(type(mix), "_choose", spy)
    train("fmix+mixup")
    assert used == [(step, ("FMix", "MixUp")[step % 2]) for step in range(8)]


def test_a_resumed_training_with_alternation_is_bit_identical(train, same, timeless, mortal):
    whole = train("fmix+mixup")
    with pytest.raises(KeyboardInterrupt):
        train("fmix+mixup", name="killed", reporter=mortal(6))
    resumed = train("fmix+mixup", name="killed")
    assert same(whole, resumed)
    assert timeless(whole) == timeless(resumed)


# One epoch is a natural first try, and round(0.4 · 1) = 0 puts a milestone before it: the rate is a tenth throughout.
def test_one_epoch_trains_at_the_full_rate(train):
    history = train(config=VAEConfig(latents=4, epochs=1, batch_size=16)).read_history()
    assert history[0]["lr"] == 3e-3


# bad input


@pytest.mark.parametrize("size", [8, 15])
def test_small_images_are_refused(train, size):
    with pytest.raises(InputError, match=rf"of 16 or more a side; data set 'tiny' has 3×{size}×{size}"):
        train(data=dataset(size))


def test_colours_that_cannot_be_jittered_are_refused():
    half = Split(torch.zeros(16, 2, 32, 32, dtype=torch.uint8), torch.arange(16) % 4)
    data = Dataset("two", half, half, ("a", "b", "c", "d"), (0.5, 0.5), (0.25, 0.25))
    with pytest.raises(InputError, match=r"images of 'two' have 2 channels.*--vae.jitter 0"):
        check_data(data, CONFIG)
    check_data(data, VAEConfig(latents=4, epochs=2, batch_size=16, jitter=0))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 33, 17), (1, 16, 18, 20)])
def test_other_shapes_train_and_load(train, shape):
    pixels = torch.randint(0, 256, (16, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    half = Split(pixels, torch.arange(16) % 4)
    std = [0.25] * shape[0]
    data = Dataset("other", half, half, ("a", "b", "c", "d"), tuple(2 * one for one in std), tuple(std))
    check_data(data, CONFIG)
    run = train("fmix", data=data, config=VAEConfig(latents=4, epochs=1, batch_size=16))
    assert math.isfinite(run.read_history()[-1]["test_rate"])
    vae = load_vae(run, 4, make_backend("cpu"), shape)
    assert vae.decode(torch.zeros(2, 4)).shape == (2, *shape)


@pytest.mark.parametrize(("name", "shape"), [("make_cut", "16, 3, 30, 32"), ("make_fewer", "15, 3, 32, 32")])
def test_an_augmentation_that_changes_the_shape_is_refused(train, mine, name, shape):
    with pytest.raises(InputError, match=rf"{name}' turned .* images \(16, 3, 32, 32\) into .*\({shape}\)"):
        train(f"{mine}:{name}")


# With several augmentations in a study the message must say which: make_step no longer knows the policy's text.
def test_an_augmentation_that_changes_the_shape_is_named(train, mine):
    with pytest.raises(InputError, match=f"{mine}:make_cut"):
        train(f"{mine}:make_cut")


# ValueError (too many values to unpack), RuntimeError (dtypes) and TypeError (unexpected keyword 'generator'): the
# user's augmentation breaks the contract of interface.Augmentation and gets a traceback from inside the step.
@pytest.mark.parametrize("name", ["make_lone", "make_double", "make_unseeded"])
def test_an_augmentation_that_breaks_its_contract_is_refused(train, mine, name):
    with pytest.raises(InputError, match=f"{mine}:{name}"):
        train(f"{mine}:{name}")


def test_an_augmentation_that_gives_nan_ends_as_diverged(train, mine):
    with pytest.raises(RuntimeError, match="loss became nan in epoch 1"):
        train(f"{mine}:make_poisoned")


def test_a_batch_larger_than_the_data_is_refused(train):
    with pytest.raises(InputError, match=r"vae\.batch_size is 128, but there are 64 training images"):
        train(config=VAEConfig(latents=4, epochs=1))


@pytest.mark.parametrize("file", [CHECKPOINT, MODEL])
def test_damaged_files_are_refused(train, file):
    run = train(config=VAEConfig(latents=4, epochs=1, batch_size=16), name="damaged")
    content = (run / file).read_bytes()
    (run / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="damaged"):
        train(name="damaged") if file == CHECKPOINT else load_vae(run, CONFIG.latents, make_backend("cpu"))


def test_another_networks_weights_are_refused(train):
    run = train(config=VAEConfig(latents=5, epochs=1, batch_size=16))
    with pytest.raises(InputError, match="weights of another network"):
        load_vae(run, CONFIG.latents, make_backend("cpu"))


def test_a_loaded_network_is_frozen_and_in_eval_mode(train):
    run = train(config=VAEConfig(latents=4, epochs=1, batch_size=16))
    vae = load_vae(run, CONFIG.latents, make_backend("cpu"))
    assert not vae.training
    assert not any(parameter.requires_grad for parameter in vae.parameters())
    saved = load_file(run / MODEL)
    assert all(torch.equal(value, saved[name]) for name, value in vae.state_dict().items())
