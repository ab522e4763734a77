"""The studies of Tables 2 to 5 and 7 of the paper: their recipes are Table 8's, they plan, costs are as counted."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from texts import labelled_texts, text_dataset
from torch.utils.flop_counter import FlopCounterMode

from mixlens.analysis.data.dataset import Dataset, Split
from mixlens.analysis.data.load import find_source, source_names
from mixlens.analysis.data.modalities.sound import Recordings
from mixlens.analysis.data.shape import Shape
from mixlens.analysis.masks.policies import parse_policy
from mixlens.analysis.models.build import build
from mixlens.analysis.spec import read_spec
from mixlens.analysis.study.plan import plan
from mixlens.analysis.study.sections import installed_sections
from mixlens.analysis.study.study import read_study
from mixlens.analysis.training.backend import make_backend
from mixlens.analysis.training.engine import take_step
from mixlens.classifier.config import ClassifierConfig
from mixlens.classifier.train import make_recipe, make_schedule, make_step
from mixlens.reports.paper import TRAIN_IMAGES, Setup, values

ROOT = Path(__file__).parents[3]
SECTIONS = installed_sections()
TEXTS = {path.stem: path for path in sorted((ROOT / "studies").glob("table5-*-[cl]*.yaml"))}  # cnn and lstm
STUDIES = {path.stem: path for path in sorted((ROOT / "studies").glob("table[234]-*.yaml"))}
STUDIES["table7-commands"] = ROOT / "studies" / "table7-commands.yaml"

# Table 8: epochs, the epochs at which the rate drops tenfold, batch size, rate.
SHORT, LONG = (200, (100, 150), 128, 0.1), (300, (100, 150, 225), 32, 0.1)
RECIPES = {
    "table2-cifar10-wrn": SHORT,
    "table2-cifar10-densenet": LONG,
    "table2-cifar10-pyramidnet": (1800, "cosine", 64, 0.05),
    "table2-cifar100-resnet18": SHORT,
    "table2-cifar100-wrn": SHORT,
    "table2-cifar100-densenet": LONG,
    "table2-fashion-resnet18": SHORT,
    "table2-fashion-wrn": LONG,
    "table2-fashion-densenet": LONG,
    "table2-tiny-imagenet-resnet18": (200, (150, 180), 128, 0.1),
    "table3-imagenet": (90, (30, 60, 80), 256, 0.4),
    "table4-bengali": (100, (50, 75), 512, 0.1),
    "table7-commands": (90, (30, 60, 80), 128, 0.1),
}
IMAGES = {"cifar10": (3, 32, 10), "cifar100": (3, 32, 100), "fashion_mnist": (1, 28, 10), "tiny_imagenet": (3, 64, 200)}
IMAGES |= {"imagenet": (3, 224, 1000), "bengali": (1, 64, 168), "speech_commands": (1, 32, 12)}
# Channels, side and classes of each.


def recorded(split):
    """As many recordings of noise."""
    return replace(split, images=Recordings.of(torch.rand(len(split), 16_000), 16_000))


def study_of(name, **classifier):
    return read_study(str((STUDIES | TEXTS)[name]), SECTIONS, {"classifier": classifier} if classifier else None)


def opening(name):
    """What its comment says, in one line."""
    lines = (STUDIES | TEXTS)[name].read_text(encoding="utf-8").splitlines()
    return " ".join(line[2:] for line in lines if line.startswith("# "))


def test_there_is_a_recipe_of_each():
    assert RECIPES.keys() == STUDIES.keys()


@pytest.mark.parametrize("name", RECIPES)
def test_its_recipe_is_table_8s(name):
    epochs, drops, batch, rate = RECIPES[name]
    study = study_of(name)
    settings = study.settings["classifier"]
    assert (settings.epochs, settings.batch_size, settings.learning_rate) == (epochs, batch, rate)
    assert (settings.momentum, settings.weight_decay) == (0.9, 1e-4)
    schedule = make_schedule(settings)
    if drops == "cosine":
        assert [schedule(epoch) for epoch in (0, 900, 1800)] == pytest.approx([1, 0.5, 0], abs=1e-12)
        return
    if name == "table3-imagenet":
        assert [rate * schedule(epoch) for epoch in (0, 2.5, 5)] == pytest.approx([0.1, 0.25, 0.4])
    for number, epoch in enumerate(drops):
        assert schedule(epoch - 1e-3) == pytest.approx(0.1**number)
        assert schedule(epoch) == pytest.approx(0.1 ** (number + 1))


@pytest.mark.parametrize("name", RECIPES)
def test_it_asks_for_the_papers_augmentations_of_its_data(name):
    study = study_of(name)
    spec = read_spec(study.data, "data")
    assert spec.use in IMAGES
    alphas = ["(alpha=0.2)", ""] if name in ("table3-imagenet", "table7-commands") else [""]
    assert list(study.augmentations) == [
        "baseline",
        *(f"{mix}{a}" for mix in ("mixup", "cutmix", "fmix") for a in alphas),
    ]
    assert study.sections == ("classifier",)
    text = opening(name)
    assert f"mixlens run studies/{name}.yaml" in text
    # A study of one training cannot tell; a study that says nothing of it has as many as the paper.
    assert (len(study.seeds) < 3) == ("one cannot tell" in text)


# Networks of hundreds of layers are counted in the slow set.
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if "densenet" in name or "pyramidnet" in name else [])
        for name in RECIPES
    ],
)
def test_its_cost_is_as_counted(name):
    """Multiply-adds of an image there and back, and of a training; nothing is computed for that."""
    study, text = study_of(name), opening(name)
    settings = study.settings["classifier"]
    channels, side, classes = IMAGES[read_spec(study.data, "data").use]
    with torch.device("meta"):
        network, x = build(settings.model, classes=classes, channels=channels), torch.zeros(2, channels, side, side)
        with FlopCounterMode(display=False) as counter:
            network.train()(x).sum().backward()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    each = counter.get_total_flops() / 2 / len(x)
    trainings, images, millions, billions, digits, power = re.search(
        r"Cost: (\d+) trainings of ([\d.]+) million images each. The network has ([\d.]+) million parameters and takes "
        r"([\d.]+) billion multiply-adds an image, forward and backward: ([\d.]+)·10([⁰¹²³⁴⁵⁶⁷⁸⁹]+) a training\.",
        text,
    ).groups()
    assert int(trainings) == len(study.seeds) * len(study.augmentations)
    assert parameters / 1e6 == pytest.approx(float(millions), rel=0.01)
    assert each / 1e9 == pytest.approx(float(billions), abs=0.05)
    exponent = int(power.translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")))
    assert float(images) * 1e6 * each == pytest.approx(float(digits) * 10**exponent, rel=0.03)
    assert re.search(r"A step of \d+ images with FMix took [\d.]+ s on one core", text)
    assert "No GPU has been measured" in text


@pytest.mark.parametrize("name", RECIPES)
def test_its_step_is_the_benchmarks(name):
    recorded = json.loads((ROOT / "docs" / "results" / "benchmarks" / "architectures.json").read_text(encoding="utf-8"))
    images, seconds = re.search(r"A step of (\d+) images with FMix took ([\d.]+) s", opening(name)).groups()
    known = {(row["images"], f"{row['ours']:.3g}") for row in recorded if row["augmentation"] == "fmix"}
    assert (int(images), seconds) in known


@pytest.mark.parametrize("name", RECIPES)
def test_it_plans_before_its_data_are_there(name, tmp_path, monkeypatch):
    """With a network in the stead of its own that is tried in a moment, on a few images of its data's shape."""
    use = read_spec(study_of(name).data, "data").use
    shape = find_source(use).SHAPE if use in source_names() else None
    if shape is None:  # planned with its data alone; here one label an image
        channels, side, classes = IMAGES[use]
        names = tuple(f"class {number}" for number in range(classes))
        shape = Shape(0, 0, (channels, side, side), names, (0.5,) * channels, (0.25,) * channels)
    (tmp_path / "archive.py").write_text(
        "def fa_reduced_cifar10():\n    return [[['Invert', 0.5, 0.5], ['Rotate', 0.5, 0.5]]]\n", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    study = study_of(name, model="conv4(width=4)", batch_size=16)
    dataset = shape._replace(train=64, test=32).stand_in(use)
    if use == "speech_commands":
        dataset = replace(dataset, train=recorded(dataset.train), test=recorded(dataset.test))
    tasks = plan(study, SECTIONS, dataset, make_backend("cpu", "fp32"))
    trained = [task for task in tasks if task.kind == "classifier-train"]
    assert len(trained) == len(study.seeds) * len(study.augmentations)
    assert len({task.name for task in trained}) == len(trained)


# Table 5, whose recipes are Table 8's: Adam, 15 epochs, a tenth of the rate from epoch 10 on.


def test_there_is_a_study_of_each_row_of_table_5():
    sets = ("imdb", "toxic", "yelp-full", "yelp-polarity")
    assert list(TEXTS) == [f"table5-{name}-{network}" for name in sets for network in ("cnn", "lstm")]


@pytest.mark.parametrize("name", TEXTS)
def test_a_study_of_texts_is_the_papers(name):
    study, text = study_of(name), opening(name)
    settings, use = study.settings["classifier"], read_spec(study.data, "data set").use
    model = read_spec(settings.model, "model")
    assert f"table5-{use.replace('_', '-')}-{model.use.removeprefix('text-')}" == study.name == name
    assert model.arguments == {"frozen": True}, "as published"
    assert (settings.epochs, settings.batch_size, settings.learning_rate) == (15, 64, 1e-3)
    assert settings.optimizer == "adam"
    schedule = make_schedule(settings)
    assert [schedule(epoch) for epoch in (0, 9.999, 10, 14.999)] == pytest.approx([1, 1, 0.1, 0.1])
    alpha = "(alpha=0.2)" if use == "imdb" else ""
    assert study.augmentations == ("baseline", f"mixup{alpha}", f"fmix{alpha}", f"fmix-official{alpha}")
    assert len(study.seeds) == 3
    printed = values("classifier", Setup(use, model.use))
    numbers = [f"{one.value:.2f} ± {one.sd:.2f}" for mix in study.augmentations[:3] for one in printed[mix].values()]
    assert re.findall(r"\d+\.\d+ ± \d+\.\d+", text) == numbers
    assert f"mixlens run studies/{name}.yaml" in text
    assert read_spec(study.data, "data set").arguments == {"vectors": "wiki.simple.vec"}


@pytest.mark.parametrize("name", TEXTS)
def test_a_study_of_texts_says_what_it_takes(name):
    study, text = study_of(name), opening(name)
    trainings, millions, words, embedding, rest = re.search(
        r"Cost: (\d+) trainings of ([\d.]+) million texts each. Of ([\d,]+) words the embedding has ([\d.]+) million "
        r"parameters, the rest of the network ([\d.]+) million. GPU cost: not measured",
        text,
    ).groups()
    assert int(trainings) == len(study.seeds) * len(study.augmentations)
    epochs = study.settings["classifier"].epochs
    assert float(millions) == pytest.approx(
        epochs * TRAIN_IMAGES[read_spec(study.data, "data set").use] / 1e6, rel=1e-3
    )
    with torch.device("meta"):
        known = int(words.replace(",", ""))
        model, vectors = study.settings["classifier"].model, torch.empty(known, 300)
        network = build(model, classes=2, modality="text", num_words=known, vectors=vectors)
    assert not network.embed.table.weight.requires_grad
    counts = [sum(one.numel() for one in part.parameters()) / 1e6 for part in (network.embed, network.body)]
    assert counts == pytest.approx([float(embedding), float(rest)], abs=0.05)


@pytest.mark.parametrize("name", TEXTS)
def test_a_study_of_texts_plans(name):
    dataset = labelled_texts() if "toxic" in name else text_dataset()
    vectors = torch.randn(len(dataset.vocabulary.words), 4)
    dataset = replace(dataset, vocabulary=replace(dataset.vocabulary, vectors=vectors))
    model = study_of(name).settings["classifier"].model.replace("(", "(width=4,")
    study = study_of(name, model=model, batch_size=16)
    trained = [t for t in plan(study, SECTIONS, dataset, make_backend("cpu", "fp32")) if t.kind == "classifier-train"]
    assert len(trained) == 12


NARROW = {
    "preact-resnet18(width=4)": 3,
    "preact-resnet18-official(width=4)": 3,
    "wide-resnet(depth=10,width=1)": 3,
    "wide-resnet-official(depth=10,width=1)": 1,
    "densenet-bc(depth=16,growth=4)": 3,
    "pyramidnet(depth=20,alpha=9,shakedrop=0.5)": 3,
    "torchvision:resnet18": 3,
    "timm:resnet10t": 1,
}


@pytest.mark.slow
@pytest.mark.parametrize("augmentation", ["baseline", "mixup", "cutmix", "fmix", "fmix+mixup"])
@pytest.mark.parametrize("model", NARROW)
def test_every_network_learns_a_few_steps_with_every_augmentation(model, augmentation):
    """Dark or bright, whatever it is mixed with."""
    channels, backend = NARROW[model], make_backend("cpu", "fp32")
    labels = torch.arange(32) % 2
    noise = torch.randint(0, 60, (32, channels, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    split = Split(noise + 150 * labels.byte().view(-1, 1, 1, 1), labels)
    dataset = Dataset("flat", split, split, ("dark", "bright"), (0.5,) * channels, (0.3,) * channels)
    config = ClassifierConfig(model=model, batch_size=16, learning_rate=0.02, crop=0)
    with backend.global_draws("test"):
        recipe = make_recipe(config, dataset, backend.generator("images"), backend)
        mix = parse_policy(augmentation).build(2, config.mix_mode)
        step = make_step(recipe, mix, {"mixing": backend.generator("mixing")}, backend)
        clean = make_step(recipe, None, {}, backend)
        recipe.network.train()
        x, y = next(iter(recipe.batches))
        before = [parameter.detach().clone() for parameter in recipe.network.parameters()]
        first = clean(x, y, 0)["loss"].item()
        number = 0
        for _ in range(20):
            for images, labels in recipe.batches:
                loss = take_step(recipe.optimizer, step, images, labels, number)["loss"]
                assert loss.isfinite()
                number += 1
        last = clean(x, y, 0)
    after = list(recipe.network.parameters())
    assert not any(map(torch.equal, before, after)), "every parameter is trained"
    assert last["loss"].item() < 0.7 * first
    assert last["accuracy"].item() >= 0.9


# Table 7's shapes: the fair study, and the one that trains on other inputs than it tests on.

SHAPES = ("table7-modelnet10", "table7-modelnet10-published")


def study_of_shapes(name, **classifier):
    path = ROOT / "studies" / f"{name}.yaml"
    lines = path.read_text(encoding="utf-8").splitlines()
    study = read_study(str(path), SECTIONS, {"classifier": classifier} if classifier else None)
    return study, " ".join(line[2:] for line in lines if line.startswith("# "))


@pytest.mark.parametrize("name", SHAPES)
def test_a_study_of_shapes_is_the_papers(name):
    study, text = study_of_shapes(name)
    settings = study.settings["classifier"]
    assert (study.name, study.data) == (name, "modelnet10")
    assert (settings.epochs, settings.batch_size, settings.learning_rate) == (50, 16, 1e-3)
    assert (settings.optimizer, settings.weight_decay, settings.last_epochs) == ("adam", 0, 5)
    schedule = make_schedule(settings)
    for number, epoch in enumerate((10, 20, 30, 40)):
        assert schedule(epoch - 1e-3) == pytest.approx(0.1**number)
        assert schedule(epoch) == pytest.approx(0.1 ** (number + 1))
    printed = values("classifier", Setup.of({"data": study.data, "classifier": {"model": settings.model}}))
    numbers = [
        f"{printed[mix]['accuracy_median'].value:.2f} ± {printed[mix]['accuracy_median'].sd:.2f}"
        for mix in ("baseline", "fmix")
    ]
    assert re.findall(r"\d+\.\d+ ± \d+\.\d+", text) == numbers
    assert f"mixlens run studies/{name}.yaml" in text
    assert len(study.seeds) == 3


def test_only_the_published_study_of_shapes_trains_on_other_inputs():
    fair, published = (read_spec(study_of_shapes(name)[0].settings["classifier"].model, "model") for name in SHAPES)
    assert fair.arguments == {}
    assert published.arguments == {"train_points": 128}
    assert fair.use == published.use
    assert set(study_of_shapes(SHAPES[0])[0].augmentations) > {"baseline", "mixup", "cutmix", "fmix"}


@pytest.mark.parametrize("name", SHAPES)
def test_a_study_of_shapes_says_what_it_takes(name):
    study, text = study_of_shapes(name)
    settings = study.settings["classifier"]
    trainings, shapes, millions, billions, digits, power = re.search(
        r"Cost: (\d+) trainings of ([\d.]+) million shapes each. The network has ([\d.]+) million parameters and takes "
        r"([\d.]+) billion multiply-adds a shape, forward and backward: ([\d.]+)·10([⁰¹²³⁴⁵⁶⁷⁸⁹]+) a training\. GPU "
        r"cost: not measured",
        text,
    ).groups()
    with torch.device("meta"):
        network = build(settings.model, classes=10, channels=1, modality="volume")
        with FlopCounterMode(display=False) as counter:
            network.train()(torch.zeros(2, 1, 32, 32, 32)).sum().backward()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    each, seen = counter.get_total_flops() / 4, settings.epochs * TRAIN_IMAGES["modelnet10"]
    assert int(trainings) == len(study.seeds) * len(study.augmentations)
    assert seen / 1e6 == pytest.approx(float(shapes), rel=0.01)
    assert parameters / 1e6 == pytest.approx(float(millions), abs=5e-4)
    assert each / 1e9 == pytest.approx(float(billions), abs=6e-4)
    exponent = int(power.translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")))
    assert seen * each == pytest.approx(float(digits) * 10**exponent, rel=0.03)


@pytest.mark.parametrize("name", SHAPES)
def test_a_study_of_shapes_plans(name):
    study, _ = study_of_shapes(name, model="pointnet-official(points=20)", batch_size=16)
    split = Split(torch.randint(2, (40, 1, 8, 8, 8), dtype=torch.uint8) * 255, torch.arange(40) % 10)
    dataset = Dataset("modelnet10", split, split, tuple("abcdefghij"), (0.5,), (0.5,))
    tasks = plan(study, SECTIONS, dataset, make_backend("cpu", "fp32"))
    trained = {task.name for task in tasks if task.kind == "classifier-train"}
    assert len(trained) == len(study.seeds) * len(study.augmentations)
