import math
import sys
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from pictures import two_splits
from safetensors.torch import load_file
from torch import nn

from mixlens.analysis.data.dataset import Dataset, Split, evenly_spaced
from mixlens.analysis.data.decoders import use
from mixlens.analysis.data.load import load_dataset
from mixlens.analysis.data.loader import normalise
from mixlens.analysis.errors import InputError
from mixlens.analysis.masks.mixup import MixUp
from mixlens.analysis.masks.policies import parse_policy
from mixlens.analysis.models.preact_resnet import PreActResNet18
from mixlens.analysis.store.runs import CHECKPOINT, MODEL, Run
from mixlens.analysis.training.backend import make_backend
from mixlens.analysis.training.loop import DivergedError
from mixlens.analysis.training.progress import Reporter
from mixlens.analysis.training.ranks import Ranks
from mixlens.analysis.training.recipe import Recipe, accuracy, cross_entropy
from mixlens.analysis.training.schedules import Cosine, OneCycle, StepDecay, WarmUp
from mixlens.analysis.training.turns import whole
from mixlens.classifier import train as module
from mixlens.classifier.config import ClassifierConfig
from mixlens.classifier.measures import predict
from mixlens.classifier.model import load_classifier, make_network, try_network
from mixlens.classifier.train import (
    check_batches,
    make_batches,
    make_optimizer,
    make_schedule,
    make_step,
    recipe_named,
    train_classifier,
    try_recipe,
)

CONFIG = ClassifierConfig(model="preact-resnet18(width=2)", epochs=2, batch_size=16, learning_rate=0.05, crop=1)
BACKEND = make_backend("cpu", "fp32")
CLASSES = ("a", "b", "c", "d")

MINE = """
import torch
from torch import nn

from mixlens import MixUp

seen, orders, sizes = [], [], []


class Same:
    '''Draws as a mixing augmentation does, and gives its images back.'''

    def __call__(self, x, y, *, generator=None):
        torch.rand(100, generator=generator)
        orders.append(y.clone())
        return x, y


class Soft:
    def __call__(self, x, y, *, generator=None, step=None):
        return MixUp(num_classes=4, mode="batch")(x, y, generator=generator)


class Pairs:
    def __call__(self, x, y, *, generator=None, step=None):
        return MixUp(mode="batch").pairs(x, y, generator=generator)


class Counted:
    def __init__(self, scale=1.0):
        self.scale = scale

    def __call__(self, x, y, *, generator=None, step=None):
        seen.append(step)
        return self.scale * x, nn.functional.one_hot(y, 4).float()


def cut(x, y, *, generator=None):
    return x[:, :, :-2], y


def poisoned(x, y, *, generator=None):
    return x * float("nan"), y


def other_classes(x, y, *, generator=None):
    return x, torch.ones(len(x), 7) / 7


def fewer_labels(x, y, *, generator=None):
    return x, y[:-1]


def make_cut():
    return cut


def make_poisoned():
    return poisoned


def make_other_classes():
    return other_classes


def make_fewer_labels():
    return fewer_labels


class Seen(nn.Module):
    def forward(self, x):
        sizes.append(tuple(x.shape[1:]))
        return x


def linear(num_classes):
    return nn.Sequential(Seen(), nn.Flatten(), nn.Linear(3 * 16 * 16, num_classes))


def dropout(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(3 * 8 * 8, num_classes))


def two_classes():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
"""


def split(count, seed=0):
    """Four classes that differ in their colour, beneath noise."""
    source = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 4
    colours = torch.tensor([[0.8, 0.2, 0.2], [0.2, 0.8, 0.2], [0.2, 0.2, 0.8], [0.5, 0.5, 0.5]])
    images = colours[labels][:, :, None, None] + 0.2 * (torch.rand(count, 3, 8, 8, generator=source) - 0.5)
    return Split(images.mul(255).byte(), labels)


def dataset(train=64, test=40):
    return Dataset("tiny", split(train), split(test, 1), CLASSES, (0.5, 0.45, 0.4), (0.25, 0.2, 0.3))


@pytest.fixture
def train(tmp_path):
    def run(augmentation="baseline", *, seed=0, config=CONFIG, data=None, name=None, reporter=None, precision="fp32"):
        path = tmp_path / (name or f"run-{len(list(tmp_path.glob('run-*')))}")
        path.mkdir(exist_ok=True)
        whole(
            train_classifier(
                config,
                data or dataset(),
                parse_policy(augmentation),
                seed,
                run=Run(path),
                backend=make_backend("cpu", precision),
                reporter=reporter or Reporter(quiet=True),
                label="test",
            )
        )
        return Run(path)

    return run


# settings


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"batch_size": 1}, r"batch_size must be at least 2, got 1"),
        ({"learning_rate": 0.0}, "learning_rate must be positive, got 0.0"),
        ({"learning_rate": math.nan}, "learning_rate must be positive, got nan"),
        ({"milestones": (0.5, 1.5)}, r"milestones must lie in \(0, 1\], got 1.5"),
        ({"milestones": (0.0,)}, r"milestones must lie in \(0, 1\], got 0.0"),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\), got 1.0"),
        ({"momentum": -0.1}, "momentum must lie in"),
        ({"weight_decay": -1e-4}, "weight_decay must be at least 0, got -0.0001"),
        ({"crop": -1}, "crop must be at least 0, got -1"),
        ({"std": (0.2, 0.0, 0.2)}, r"std must be positive, got 0.0"),
    ],
)
def test_settings_that_cannot_be_are_refused(values, told):
    with pytest.raises(InputError, match=told):
        ClassifierConfig(**values)


def test_the_edges_of_what_can_be_are_allowed():
    ClassifierConfig(
        model="preact-resnet18(width=1)",
        epochs=1,
        size=1,
        batch_size=2,
        milestones=(1.0,),
        momentum=0.0,
        weight_decay=0.0,
        crop=0,
    )
    ClassifierConfig(milestones=())


def test_the_defaults_are_the_papers():
    """Table 8 and appendix D: 200 epochs of SGD, momentum 0.9, decay 10⁻⁴, a tenth at epochs 100 and 150."""
    config, network = ClassifierConfig(), nn.Linear(2, 2)
    group = make_optimizer(config, network).param_groups[0]
    assert (group["lr"], group["momentum"], group["weight_decay"], group["nesterov"]) == (0.1, 0.9, 1e-4, False)
    assert make_schedule(config) == StepDecay((100, 150))
    assert (config.epochs, config.batch_size, config.model) == (200, 128, "preact-resnet18")
    assert make_network(config, dataset()).stem.out_channels == 64


@pytest.mark.parametrize(
    ("values", "schedule"),
    [
        ({"schedule": "one-cycle"}, OneCycle(10)),
        ({"milestones": (0.4, 0.86)}, StepDecay((4, 9))),
        ({"milestones": (0.01,)}, StepDecay((1,))),
        ({"milestones": ()}, StepDecay(())),
        ({"schedule": "cosine"}, Cosine(10)),
        ({"warm_up": 2, "learning_rate": 0.4}, WarmUp(StepDecay((5, 8)), 2, 0.25)),
        ({"warm_up": 2, "schedule": "cosine", "warm_up_rate": 0.05}, WarmUp(Cosine(10), 2, 0.5)),
    ],
)
def test_schedules_by_their_settings(values, schedule):
    assert make_schedule(ClassifierConfig(epochs=10, **values)) == schedule


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"schedule": "one-cycle", "warm_up": 1}, "one-cycle rises by itself"),
        ({"warm_up": 10}, "warm_up is 10 of 10 epochs"),
        ({"warm_up": -1}, "warm_up must be at least 0"),
        ({"warm_up_rate": 0}, "warm_up_rate must be positive"),
    ],
)
def test_a_warm_up_that_cannot_be_is_refused(values, message):
    with pytest.raises(InputError, match=message):
        ClassifierConfig(epochs=10, **values)


def test_settings_that_do_not_fit_the_data_are_refused():
    for name, count in (("mean", 1), ("std", 4)):
        with pytest.raises(InputError, match=rf"classifier\.{name} has {count} values for 3 channels"):
            try_network(replace(CONFIG, **{name: (0.5,) * count}), dataset(), nn.Identity())
    for name in ("mean", "std"):
        with pytest.raises(InputError, match=rf"classifier\.{name} is .* on the 0 to 255 scale; divide it by 255"):
            try_network(replace(CONFIG, **{name: (125.3, 123.0, 113.9)}), dataset(), nn.Identity())
    too_many = replace(CONFIG, batch_size=65)
    with pytest.raises(
        InputError, match=r"batch_size is 65, but there are 64 training images.*--classifier\.batch-size 8"
    ):
        check_batches(too_many, dataset())
    check_batches(replace(CONFIG, batch_size=64), dataset())


@pytest.mark.parametrize(("size", "world", "smallest"), [(16, 17, 16), (30, 5, 4), (21, 16, None), (31, 2, None)])
def test_a_batch_must_have_an_image_for_each_process(size, world, smallest):
    """Of 64 images: batches of 16 alone; of 30, 30 and 4; of 21, 21 and 22; of 31, 31 and 2."""
    config, ranks = replace(CONFIG, batch_size=size), Ranks.__new__(Ranks)
    ranks.rank, ranks.world = 0, world
    if smallest is None:
        check_batches(config, dataset(), ranks)
        return
    with pytest.raises(InputError, match=f"a batch of {smallest} images cannot be divided among {world} processes"):
        check_batches(config, dataset(), ranks)


def test_a_training_checks_its_data_first(train):
    with pytest.raises(InputError, match="batch_size is 128"):
        train(config=ClassifierConfig(model="preact-resnet18(width=2)", epochs=1))


# what training sees


def test_the_images_are_normalised_by_the_data_or_as_asked():
    plain = replace(CONFIG, flip=False, crop=0, batch_size=64)
    for config, mean, std in (
        (plain, (0.5, 0.45, 0.4), (0.25, 0.2, 0.3)),
        (replace(plain, mean=(0.1, 0.2, 0.3)), (0.1, 0.2, 0.3), (0.25, 0.2, 0.3)),
        (replace(plain, std=(0.1, 0.2, 0.3)), (0.5, 0.45, 0.4), (0.1, 0.2, 0.3)),
    ):
        ((x, y),) = make_batches(config, dataset(), torch.Generator().manual_seed(0), BACKEND)
        order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
        assert torch.equal(x, normalise(dataset().train.images[order], mean, std))
        assert torch.equal(y, dataset().train.labels[order])


def test_flips_and_crops_are_those_of_the_settings():
    batches = make_batches(CONFIG, dataset(), torch.Generator(), BACKEND)
    assert (batches.transforms.flip, batches.transforms.crop_padding, batches.transforms.jitter) == (True, 1, 0)
    assert batches.shuffle


def test_networks_start_as_pytorch_makes_them_for_the_datas_classes_and_channels():
    network = make_network(CONFIG, dataset())
    assert isinstance(network, PreActResNet18)
    assert network(torch.rand(2, 3, 8, 8)).shape == (2, 4)
    assert network.stem.weight.shape == (2, 3, 3, 3)


# one step


def pieces(seed=0):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    x = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    return network, x, torch.arange(16) % 4, {"mixing": torch.Generator().manual_seed(seed)}


def recipe_of(network, loss=cross_entropy, score=accuracy):
    return Recipe(network, loss, score, make_optimizer(CONFIG, nn.Linear(1, 1)), make_schedule(CONFIG), [], 1)


def test_without_an_augmentation_the_loss_is_that_of_the_labels():
    network, x, y, generators = pieces()
    found = make_step(recipe_of(network), None, generators, BACKEND)(x, y, 0)
    logits = network(x)
    by_hand = (logits.logsumexp(1) - logits[range(16), y]).mean()
    assert found["loss"].item() == pytest.approx(by_hand.item(), rel=1e-6)
    assert found["accuracy"].item() == (logits.argmax(1) == y).sum().item() / 16


@pytest.mark.parametrize("mode", ["batch", "elem"])
def test_with_one_it_is_the_cross_entropy_of_both_labels(mode):
    network, x, y, generators = pieces(seed=5)
    mix = MixUp(num_classes=4, mode=mode)
    found = make_step(recipe_of(network), mix, generators, BACKEND)(x, y, 0)
    batch = mix.pairs(x, y, generator=torch.Generator().manual_seed(5))
    logs = network(batch.x).log_softmax(1)
    own, partner = -logs[range(16), y], -logs[range(16), batch.y_partner]
    by_hand = (batch.lam * own + (1 - batch.lam) * partner).mean()
    assert found["loss"].item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert found["accuracy"].item() == (logs.argmax(1) == y).sum().item() / 16
    hard = make_step(recipe_of(network), None, generators, BACKEND)(batch.x, y, 0)["loss"].item()
    assert abs(hard - by_hand.item()) > 1e-3


def test_the_loss_is_in_full_precision_when_the_network_is_not():
    network, x, y, generators = pieces()
    found = make_step(recipe_of(network), None, generators, make_backend("cpu", "bf16"))(x, y, 0)
    assert found["loss"].dtype == torch.float32
    exact = make_step(recipe_of(network), None, generators, BACKEND)(x, y, 0)["loss"]
    assert 0 < abs((found["loss"] - exact).item()) < 0.05


def test_mixing_is_at_the_datas_size_and_resizing_after_it():
    sizes, seen = [], []

    class Network(nn.Module):
        def forward(self, x):
            seen.append(tuple(x.shape))
            return x.mean((2, 3))

    class Mix:
        def pairs(self, x, y, *, generator, step):
            sizes.append((tuple(x.shape), step))
            return x, y

    _, x, _, generators = pieces()
    make_step(recipe_of(Network()), Mix(), generators, BACKEND, 16)(x, torch.arange(16) % 3, 7)
    assert sizes == [((16, 3, 8, 8), 7)]
    assert seen == [(16, 3, 16, 16)]


# whole trainings


def test_training_learns_what_is_easy(train):
    """Test accuracy after six epochs against the chance of one in four, as a z-score."""
    data = dataset(128, 200)
    config = replace(CONFIG, model="preact-resnet18(width=8)", epochs=6, flip=False, crop=0)
    history = train(config=config, data=data).read_history()
    z = (history[-1]["test_accuracy"] - 0.25) / math.sqrt(0.25 * 0.75 / 200)
    assert z > 10
    assert history[-1]["train_loss"] < math.log(4)
    assert history[-1]["test_loss"] < math.log(4)


def test_labels_that_mean_nothing_cannot_be_learned(train):
    """The same with labels that were drawn: so nothing of the test labels reaches the network."""
    data = dataset(128, 400)
    drawn = torch.randint(4, (528,), generator=torch.Generator().manual_seed(0))
    data = replace(data, train=Split(data.train.images, drawn[:128]), test=Split(data.test.images, drawn[128:]))
    history = train(config=replace(CONFIG, epochs=3), data=data).read_history()
    z = (history[-1]["test_accuracy"] - 0.25) / math.sqrt(0.25 * 0.75 / 400)
    assert abs(z) < 4


def test_history_columns_and_rates(train):
    run = train(config=replace(CONFIG, epochs=4))
    history = run.read_history()
    assert set(history[0]) == {
        "epoch", "lr", "train_loss", "train_accuracy", "test_accuracy", "test_loss", "seconds",
    }  # fmt: skip
    assert [record["epoch"] for record in history] == [1, 2, 3, 4]
    assert [record["lr"] for record in history] == pytest.approx([0.05, 0.05, 0.005, 0.0005])
    assert set(load_file(run / MODEL)) == set(PreActResNet18(4, width=2).state_dict())


def test_one_cycle_sets_the_rate_at_every_step(train):
    history = train(config=replace(CONFIG, epochs=4, schedule="one-cycle")).read_history()
    last_steps = [epoch + 3 / 4 for epoch in range(4)]  # 64 images in batches of 16
    assert [record["lr"] for record in history] == pytest.approx([0.05 * OneCycle(4)(step) for step in last_steps])


def test_the_last_evaluation_is_that_of_the_saved_weights(train):
    run, data = train(), dataset()
    network = PreActResNet18(4, width=2).eval()
    network.load_state_dict(load_file(run / MODEL))
    logits = network(normalise(data.test.images, data.mean, data.std))
    last = run.read_history()[-1]
    assert last["test_accuracy"] == pytest.approx((logits.argmax(1) == data.test.labels).float().mean().item())
    assert last["test_loss"] == pytest.approx(F.cross_entropy(logits, data.test.labels).item(), rel=1e-5)


def test_the_curves_are_on_evenly_spaced_test_images(train, monkeypatch):
    monkeypatch.setattr(module, "EVALUATED_IMAGES", 10)
    monkeypatch.setattr(module, "images_at_once", lambda device: 4)  # the last batch has two
    run, data = train(), dataset()
    some = evenly_spaced(len(data.test), 10, "")
    assert some[-1] == len(data.test) - 1  # the last class too, of data that are sorted
    logits = predict(load_classifier(run, CONFIG, data, BACKEND), data.test.images[some], BACKEND)
    nll = F.cross_entropy(logits, data.test.labels[some]).item()
    assert run.read_history()[-1]["test_loss"] == pytest.approx(nll, rel=1e-5)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(train, same, timeless):
    torch.manual_seed(1)
    first = train("mixup")
    torch.manual_seed(2)  # nothing depends on the global generator
    second = train("mixup")
    assert same(first, second)
    assert timeless(first) == timeless(second)
    assert not same(first, train("mixup", seed=1))


def test_training_leaves_the_global_generator_alone(train):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    train()
    assert torch.equal(torch.rand(2), expected)


# torch's dropout and stochastic depth draw from the global generator, which is neither seeded by the run nor kept in
# its checkpoint: `timm:` and `torchvision:` networks with dropout (vgg, efficientnet, …) train differently every time.
def test_a_network_with_dropout_is_fixed_by_the_seed_too(train, same, mine):
    config = replace(CONFIG, model=f"{mine}:dropout")
    assert same(train(config=config), train(config=config))


def test_a_killed_training_with_dropout_ends_bit_identical(train, same, mortal, mine):
    config = replace(CONFIG, model=f"{mine}:dropout")
    torch.manual_seed(0)
    whole = train(config=config)
    torch.manual_seed(0)
    with pytest.raises(KeyboardInterrupt):
        train(config=config, name="killed", reporter=mortal(6))
    assert same(whole, train(config=config, name="killed"))


def test_augmentations_of_one_seed_start_from_the_same_weights(train, starts):
    baseline, mixup, fmix, other = starts(module, train)
    assert torch.equal(baseline, mixup)
    assert torch.equal(baseline, fmix)
    assert not torch.equal(baseline, other)


def test_an_augmentation_that_changes_nothing_is_the_baseline_bit_for_bit(train, same, timeless, mine):
    """So the order of images, their flips and crops are shared; mixing has its own stream."""
    baseline, unchanged = train(), train(f"{mine}:Same")
    assert same(baseline, unchanged)
    assert timeless(baseline) == timeless(unchanged)


def test_the_order_of_images_belongs_to_the_seed(train, mine):
    orders = []
    for seed in (0, 0, 1):
        train(f"{mine}:Same", seed=seed)
        orders.append(torch.cat(sys.modules[mine].orders))
        sys.modules[mine].orders.clear()
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])
    assert torch.equal(orders[0][:64].sort().values, dataset().train.labels.sort().values), "each image once an epoch"


@pytest.mark.parametrize("augmentation", ["mixup", "cutmix", "fmix-official", "fmix+mixup", "mixup(alpha=0.2)"])
def test_named_augmentations_train_and_differ_from_the_baseline(train, same, augmentation):
    config = replace(CONFIG, epochs=1)
    assert not same(train(config=config), train(augmentation, config=config))


def test_an_augmentation_of_ones_own_by_its_path(train, mine):
    """One with soft labels of the same classes trains as the baseline does, up to rounding; its argument arrives."""
    baseline = train(config=replace(CONFIG, epochs=1))
    own = train(f"{mine}:Counted(scale=1.0)", config=replace(CONFIG, epochs=1))
    assert sys.modules[mine].seen == list(range(4))
    first, second = load_file(baseline / MODEL), load_file(own / MODEL)
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-3, atol=1e-4)
    scaled = load_file(train(f"{mine}:Counted(scale=2.0)", config=replace(CONFIG, epochs=1)) / MODEL)
    assert (scaled["head.weight"] - first["head.weight"]).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["Soft", "Pairs"])
def test_labels_of_ones_own_may_be_soft_or_both(train, mine, name):
    """MixUp by hand, with soft labels or as a MixedBatch, trains as the built-in does, up to rounding."""
    built_in = load_file(train("mixup", config=replace(CONFIG, epochs=1)) / MODEL)
    own = load_file(train(f"{mine}:{name}", config=replace(CONFIG, epochs=1)) / MODEL)
    for key, values in built_in.items():
        torch.testing.assert_close(values, own[key], rtol=1e-3, atol=1e-4)


def test_one_mask_per_batch_or_one_per_image(train, same):
    first, second = (train("mixup", config=replace(CONFIG, epochs=1, mix_mode=mode)) for mode in ("batch", "elem"))
    assert not same(first, second)


@pytest.mark.parametrize(
    "values",
    [
        {"learning_rate": 0.01},
        {"momentum": 0.5},
        {"weight_decay": 0.1},
        {"flip": False},
        {"crop": 0},
        {"schedule": "one-cycle"},
        {"batch_size": 32},
        {"size": 12},
        {"mean": (0.1,) * 3},
        {"std": (0.9,) * 3},
        {"milestones": (1.0,)},
        {"model": "preact-resnet18-official"},
    ],
    ids=str,
)
def test_every_setting_changes_what_is_trained(train, same, values):
    assert not same(train(), train(config=replace(CONFIG, **values)))


@pytest.mark.parametrize(("augmentation", "schedule"), [("baseline", "one-cycle"), ("fmix+mixup", "step")])
def test_a_killed_training_ends_bit_identical(train, same, timeless, mortal, augmentation, schedule):
    config = replace(CONFIG, epochs=3, schedule=schedule)
    whole = train(augmentation, config=config)
    for life in (2, 6):  # within the first epoch, within the second
        with pytest.raises(KeyboardInterrupt):
            train(augmentation, config=config, name="killed", reporter=mortal(life))
    assert (whole.path.parent / "killed" / CHECKPOINT).exists()
    resumed = train(augmentation, config=config, name="killed")
    assert same(whole, resumed)
    assert timeless(whole) == timeless(resumed)


@pytest.fixture
def of_files(tmp_path):
    """Twelve training images of each of two classes, in files."""
    return load_dataset(f"folder(path={str(two_splits(tmp_path / 'pictures', each=12))!r},size=8)", tmp_path / "data")


def test_a_training_from_files_that_was_killed_ends_bit_identical(train, same, timeless, mortal, of_files):
    config = replace(CONFIG, batch_size=8)
    whole = train("fmix", config=config, data=of_files)
    for life in (1, 4):  # within the first epoch, within the second
        with pytest.raises(KeyboardInterrupt):
            train("fmix", config=config, data=of_files, name="killed", reporter=mortal(life))
    use(2)  # by one more process now
    resumed = train("fmix", config=config, data=of_files, name="killed")
    assert same(whole, resumed)
    assert timeless(whole) == timeless(resumed)


def test_augmentations_of_one_seed_see_the_same_crops_and_flips(train, same, mine, of_files):
    config = replace(CONFIG, batch_size=8)
    assert same(train(config=config, data=of_files), train(f"{mine}:Same", config=config, data=of_files))
    assert not same(train(config=config, data=of_files), train(config=replace(config, flip=False), data=of_files))
    assert same(train(config=config, data=of_files), train(config=replace(config, crop=0), data=of_files)), "no padding"


def test_a_network_of_ones_own_is_trained_at_its_own_size(train, mine):
    config = replace(CONFIG, model=f"{mine}:linear", size=16, epochs=1)
    run = train("mixup", config=config)
    assert set(sys.modules[mine].sizes) == {(3, 16, 16)}
    model = load_classifier(run, config, dataset(), BACKEND)
    assert predict(model, dataset().test.images, BACKEND).shape == (40, 4)


def test_bf16_trains_and_differs(train, same):
    assert not same(train(), train(precision="bf16"))


# recipes


RECIPES = """
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import nn


def adam(recipe, lr=1e-3, epochs=None):
    optimizer = torch.optim.Adam(recipe.network.parameters(), lr)
    return replace(recipe, optimizer=optimizer, epochs=epochs or recipe.epochs)


def binary(recipe):
    return replace(recipe, loss=one_against_all)


def one_against_all(outputs, y):
    return F.binary_cross_entropy_with_logits(outputs, F.one_hot(y, 4).float(), reduction="none").mean(1)


def mean_loss(recipe):
    return replace(recipe, loss=F.cross_entropy)


def failing(recipe):
    return replace(recipe, loss=lambda outputs, y: outputs @ 3)


def nothing(recipe):
    return None


def another(recipe):
    network = nn.Linear(3, 4)
    return replace(recipe, network=network, optimizer=torch.optim.SGD(network.parameters(), 0.1))


def elsewhere(recipe):
    return replace(recipe, optimizer=torch.optim.SGD(nn.Linear(1, 1).parameters(), 0.1))


def epochs(recipe, count):
    return replace(recipe, epochs=count)


def schedule(recipe):
    return replace(recipe, schedule=lambda epoch: "fast")


def endless(recipe):
    return replace(recipe, batches=iter(recipe.batches))


def closure(recipe):
    return replace(recipe, optimizer=torch.optim.LBFGS(recipe.network.parameters()))


def in_training(recipe):
    def loss(outputs, y):
        return F.cross_entropy(outputs @ 3 if outputs.requires_grad else outputs, y, reduction="none")

    return replace(recipe, loss=loss)


class Heads(nn.Module):
    # Two heads in training, the first alone when it is measured.

    recipe = "mixlens_tests_recipes:both"

    def __init__(self, num_classes):
        super().__init__()
        self.first, self.second = nn.Linear(3 * 8 * 8, num_classes), nn.Linear(3 * 8 * 8, num_classes)

    def forward(self, x):
        first = self.first(x.flatten(1))
        return (first, self.second(x.flatten(1))) if self.training else first


def both(recipe):
    def loss(outputs, y):
        heads = outputs if isinstance(outputs, tuple) else (outputs,)
        return sum(F.cross_entropy(head, y, reduction="none") for head in heads)

    def score(outputs, y):
        return (outputs[0] if isinstance(outputs, tuple) else outputs).argmax(1) == y

    return replace(recipe, loss=loss, score=score)


class Named(nn.Module):
    recipe = "mixlens_tests_recipes:adam(lr=0.01)"

    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Linear(3 * 8 * 8, num_classes)

    def forward(self, x):
        return self.head(x.flatten(1))
"""


@pytest.fixture
def recipes(here):
    (here / "mixlens_tests_recipes.py").write_text(RECIPES, encoding="utf-8")
    return "mixlens_tests_recipes"


def test_another_optimiser_by_its_name(train, recipes):
    text = f"{recipes}:adam(lr=0.01, epochs=1)"
    run = train("mixup", config=replace(CONFIG, recipe=text))
    assert len(run.read_history()) == 1, "CONFIG has two epochs"
    assert run.read_history()[0]["lr"] == 0.01
    try_recipe(replace(CONFIG, recipe=text), dataset())


def test_another_loss_by_its_name(train, same, recipes):
    """Its value at the untrained network's outputs is near log 2 for each class."""
    config = replace(CONFIG, recipe=f"{recipes}:binary", learning_rate=1e-6)
    history = train("fmix", config=config).read_history()
    assert history[0]["train_loss"] == pytest.approx(math.log(2), abs=0.2)
    assert history[0]["test_loss"] == pytest.approx(math.log(2), abs=0.2)


def test_several_heads_are_trained_and_the_first_is_measured(train, recipes):
    config = replace(CONFIG, model=f"{recipes}:Heads", recipe=f"{recipes}:both", epochs=2, learning_rate=0.05)
    try_recipe(config, dataset())
    history = train("mixup", config=config).read_history()
    assert history[0]["train_loss"] > history[0]["test_loss"], "of two heads, and of one"
    assert history[1]["test_loss"] < history[0]["test_loss"]


def test_what_was_asked_for_comes_before_the_networks_and_that_before_the_data_sets(recipes):
    named, plain = make_network(replace(CONFIG, model=f"{recipes}:Named"), dataset()), nn.Linear(1, 1)
    own = replace(dataset(), recipe=f"{recipes}:binary")
    asked = replace(CONFIG, recipe=f" {recipes}:adam( lr = 0.5 )")
    assert recipe_named(asked, own, named) == f"{recipes}:adam(lr=0.5)"
    assert recipe_named(CONFIG, own, named) == f"{recipes}:adam(lr=0.01)"
    assert recipe_named(CONFIG, own, plain) == f"{recipes}:binary"
    assert recipe_named(CONFIG, dataset(), plain) == ""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mean_loss", r"the recipe's loss of 8 images is torch\.float32 \(\); expected a finite number each"),
        ("failing", "the recipe's loss failed with TypeError"),
        ("nothing", "returned NoneType; expected the Recipe it got, or another"),
        ("adam(rate=3)", "unexpected keyword argument 'rate'"),
        ("adma", "Did you mean 'adam'"),
        ("another", "network is another than the model that is measured"),
        ("elsewhere", "optimiser has none of the network's parameters"),
        ("epochs(count=0)", "epochs must be a whole number of at least 1, got 0"),
        ("epochs(count=1.5)", "epochs must be a whole number of at least 1, got 1.5"),
        ("schedule", "schedule must give a number for an epoch"),
        ("endless", "its batches have a length"),
        ("closure", "a training step by the recipe failed with TypeError"),
        ("in_training", "a training step by the recipe failed with TypeError"),
    ],
)
def test_a_recipe_that_trains_nothing_is_named_before_training(recipes, name, words):
    with pytest.raises(InputError, match=words):
        try_recipe(replace(CONFIG, recipe=f"{recipes}:{name}"), dataset())


def test_a_schedule_is_over_the_recipes_epochs(train, recipes):
    config = replace(CONFIG, schedule="one-cycle", epochs=2)
    longer = train(config=replace(config, recipe=f"{recipes}:epochs(count=3)")).read_history()
    asked = train(config=replace(config, epochs=3)).read_history()
    assert [epoch["lr"] for epoch in longer] == [epoch["lr"] for epoch in asked]


def test_a_name_alone_is_no_recipe():
    with pytest.raises(InputError, match=r"'adam' is not of the form package\.module:function"):
        recipe_named(replace(CONFIG, recipe="adam"), dataset(), nn.Linear(1, 1))


def test_trying_a_recipe_leaves_the_global_generator_alone(recipes):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    try_recipe(replace(CONFIG, recipe=f"{recipes}:adam"), dataset())
    assert torch.equal(torch.rand(2), expected)


# networks whose training fails, or almost: a step is tried

UNTRAINABLE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.c, self.head = nn.Conv2d(3, 4, 3), nn.Linear(144, num_classes)

    def forward(self, x):
        return self.head(self.c(x).flatten(1))


class Viewed(Net):
    def forward(self, x):
        h = self.c(x)
        return self.head(h.view(len(h), -1))


class Heads(Net):
    def forward(self, x):
        logits = super().forward(x)
        return (logits, logits) if self.training else logits


class Named(Net):
    def forward(self, x):
        logits = super().forward(x)
        return {"logits": logits} if self.training else logits


class Silent(Net):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


class Broken(Net):
    def forward(self, x):
        h = super().forward(x)
        return h[self.training * 100] if self.training else h


class Infinite(Net):
    def forward(self, x):
        return super().forward(x) + (torch.inf if self.training else 0)


class InPlace(Net):
    def forward(self, x):
        h = self.c(x).flatten(1).sigmoid()
        h *= h
        return self.head(h.exp_())


def frozen(num_classes):
    return Net(num_classes).requires_grad_(False)


def lazy(num_classes):
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(num_classes))


class Fixed(nn.Module):
    def forward(self, x):
        return x.flatten(1)[:, :4]


def lazily_wrong(num_classes):
    return nn.Sequential(nn.LazyLinear(4), nn.Flatten(), nn.Linear(7, num_classes))
"""


@pytest.fixture
def untrainable(here):
    (here / "mixlens_tests_untrainable.py").write_text(UNTRAINABLE, encoding="utf-8")
    return "mixlens_tests_untrainable"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Heads", "returns tuple in training mode; expected one tensor"),
        ("Named", "returns dict in training mode"),
        ("Silent", "no gradient comes from what the network returns"),
        ("frozen", "all parameters of the network are frozen"),
        ("Fixed", "has no parameters: there is nothing to train"),
        ("Broken", r"a training step failed with IndexError: .* \(mixlens_tests_untrainable\.py, line \d+: return h\["),
        ("Infinite", "loss of the first training step is nan"),
        ("InPlace", "a training step failed with RuntimeError: one of the variables"),
        ("lazily_wrong", "has Lazy modules, and failed on images of shape"),
    ],
)
def test_a_network_that_cannot_be_trained_is_named_before_training(untrainable, name, words):
    with pytest.raises(InputError, match=words):
        try_recipe(replace(CONFIG, model=f"{untrainable}:{name}"), dataset())


def test_googlenets_tuple_is_named_with_what_to_give():
    config = replace(CONFIG, model="torchvision:googlenet(init_weights=False)", size=64)
    with pytest.raises(InputError, match=r"GoogLeNetOutputs in training mode; .*aux_logits=False"):
        try_recipe(config, dataset())


@pytest.mark.parametrize("name", ["Viewed", "lazy"])
def test_networks_that_only_looked_untrainable_are_trained_and_measured(train, untrainable, name):
    config = replace(CONFIG, model=f"{untrainable}:{name}")
    try_network(config, dataset(), make_network(config, dataset()))
    try_recipe(config, dataset())
    run = train("mixup", config=config)
    logits = predict(load_classifier(run, config, dataset(), BACKEND), dataset().test.images, BACKEND)
    right = (logits.argmax(1) == dataset().test.labels).float().mean().item()
    assert run.read_history()[-1]["test_accuracy"] == pytest.approx(right)


def test_the_memory_format_changes_no_logits(untrainable):
    """A network that takes channels-last images is left in them; another gets contiguous ones."""
    for name, last in (("Net", True), ("Viewed", False)):
        network = make_network(replace(CONFIG, model=f"{untrainable}:{name}"), dataset())
        x = torch.rand(4, 3, 8, 8)
        with torch.no_grad():
            expected = network(x)
            prepared = BACKEND.prepare(network, x)
            assert prepared.c.weight.is_contiguous(memory_format=torch.channels_last) is last
            torch.testing.assert_close(prepared(x.contiguous(memory_format=torch.channels_last)), expected)
        assert prepared.training


# what goes wrong while training


def test_an_augmentation_that_changes_the_shape_is_named(train, mine):
    with pytest.raises(InputError, match=rf"{mine}:make_cut' turned .* images \(16, 3, 8, 8\) into .*\(16, 3, 6, 8\)"):
        train(f"{mine}:make_cut")


def test_an_augmentation_that_gives_nan_ends_as_diverged(train, mine):
    told = rf"augmentation '{mine}:make_poisoned' gave NaN or infinite .*: the training loss became nan in epoch 1\.$"
    with pytest.raises(DivergedError, match=told):
        train(f"{mine}:make_poisoned")
    with pytest.raises(InputError, match="loss of the first training step is nan"):
        try_recipe(CONFIG, dataset(), policies=[parse_policy(f"{mine}:make_poisoned")])


def test_a_rate_that_is_too_high_is_not_the_augmentations_fault(train, mine):
    with pytest.raises(DivergedError, match="try a lower learning rate"):
        train(f"{mine}:Same", config=replace(CONFIG, learning_rate=1e30))


# Here the labels are used, unlike in the VAE; cross_entropy's RuntimeError or ValueError names nobody.
@pytest.mark.parametrize("name", ["make_other_classes", "make_fewer_labels"])
def test_an_augmentation_that_returns_unfit_labels_is_named(train, mine, name):
    with pytest.raises(InputError, match=f"{mine}:{name}"):
        train(f"{mine}:{name}")


# IndexError from cross_entropy on a CPU; on CUDA a device-side assert that ends the process.
def test_a_network_of_other_classes_is_refused(mine):
    config = replace(CONFIG, model=f"{mine}:two_classes")
    with pytest.raises(InputError, match="has 2 outputs, but data set"):
        try_network(config, dataset(), make_network(config, dataset()))


def test_a_network_for_other_images_is_refused(mine):
    config = replace(CONFIG, model=f"{mine}:linear")  # takes 16 × 16, and size is not set
    with pytest.raises(InputError, match="the model failed on images of shape"):
        try_network(config, dataset(), make_network(config, dataset()))


# loading and predicting


def test_a_loaded_classifier_is_the_trained_network_frozen_in_eval_mode(train):
    config = replace(CONFIG, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), size=12)
    run, data = train(config=config), dataset()
    model = load_classifier(run, config, data, BACKEND)
    assert not any(part.training for part in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    saved = load_file(run / MODEL)
    assert all(torch.equal(value, saved[name]) for name, value in model.network.state_dict().items())
    assert model.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert model.std.flatten().tolist() == pytest.approx([0.4, 0.5, 0.6])
    assert model.size == 12
    logits = predict(model, data.test.images, BACKEND)
    nll = F.cross_entropy(logits, data.test.labels).item()
    assert nll == pytest.approx(run.read_history()[-1]["test_loss"], rel=1e-4), (
        "resized and then normalised, or the reverse"
    )


@pytest.mark.parametrize("batch_size", [1, 7, 40, 500])
def test_predictions_do_not_depend_on_the_batch(train, batch_size):
    model, images = load_classifier(train(), CONFIG, dataset(), BACKEND), dataset().test.images
    whole = model(images.float() / 255)
    found = predict(model, images, BACKEND, batch_size)
    assert (found.dtype, found.shape, found.requires_grad) == (torch.float32, (40, 4), False)
    torch.testing.assert_close(found, whole, rtol=1e-4, atol=1e-5)


def test_predictions_leave_the_images_as_they_are(train):
    model, images = load_classifier(train(), CONFIG, dataset(), BACKEND), dataset().test.images
    before = images.clone()
    predict(model, images, BACKEND)
    assert torch.equal(images, before)


@pytest.mark.parametrize("file", [CHECKPOINT, MODEL])
def test_damaged_files_are_refused(train, file):
    run = train(config=replace(CONFIG, epochs=1), name="damaged")
    content = (run / file).read_bytes()
    (run / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="damaged"):
        train(name="damaged") if file == CHECKPOINT else load_classifier(run, CONFIG, dataset(), BACKEND)


@pytest.mark.parametrize("values", [{"model": "preact-resnet18(width=3)"}, {"model": "preact-resnet18-official"}])
def test_another_networks_weights_are_refused(train, values):
    with pytest.raises(InputError, match="weights of another network than PreActResNet18"):
        load_classifier(train(config=replace(CONFIG, epochs=1)), replace(CONFIG, **values), dataset(), BACKEND)


def test_missing_weights_are_refused(tmp_path):
    with pytest.raises(InputError, match="there are no weights at"):
        load_classifier(Run(tmp_path), CONFIG, dataset(), BACKEND)
