"""A tiny study from end to end: what is planned, what is refused, and rows against plain loops."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import BACKEND, NARROW, checkerboards, record_of, rows_of, tasks_of, tiny_dataset, tiny_study, work

from mixlens.analysis.errors import InputError
from mixlens.analysis.interface import Arm
from mixlens.analysis.study.plan import in_order
from mixlens.classifier.model import load_classifier
from mixlens.representations.figures import measured, plots, tables
from mixlens.representations.layers import features
from mixlens.representations.similarity import cka

TEST, TRAIN = 40, 64
LAYERS = ("stages.0", "stages.1", "stages.2", "head_norm")


def dataset():
    return tiny_dataset(*(checkerboards(count, seed) for seed, count in ((1, TRAIN), (2, TEST))))


def study(**values):
    classifier = {**NARROW, "epochs": 3, "crop": 0, "flip": False} | values.pop("classifier", {})
    return tiny_study("representations", classifier=classifier, **{"seeds": [0, 1]} | values)


def planned(**values):
    return tasks_of(study(**values), dataset())


def worked(root, **values):
    return work(root, study(**values), dataset())


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("representations")


@pytest.fixture(scope="module")
def done(root):
    """Two seeds of the baseline and MixUp, trained and measured once for all tests here."""
    return worked(root / "runs")


def of(done, quantity, augmentation, seed):
    rows = [row for task in in_order(done[0]) for row in rows_of([task], done[1])]
    return [r for r in rows if (r.quantity, r.augmentation, r.seed) == (quantity, augmentation, seed)]


# the plan


def test_the_tasks_of_a_study():
    every = in_order(planned(augmentations=["baseline", "mixup", "fmix"]))
    kinds = [task.kind for task in every]
    assert kinds.count("classifier-train") == kinds.count("representations-measure") == 6
    assert kinds.count("representations-augment") == 6
    compared = [task for task in every if task.kind == "representations-compare"]
    assert [(str(task.network), str(task.inputs[1].network)) for task in compared] == [
        ("mixup, seed 0", "baseline, seed 0"),
        ("fmix, seed 0", "baseline, seed 0"),
        ("baseline, seed 1", "baseline, seed 0"),
        ("mixup, seed 1", "baseline, seed 1"),
        ("fmix, seed 1", "baseline, seed 1"),
    ]
    assert len({task.label for task in every}) == len(every)


def test_without_a_baseline_there_is_nothing_to_compare_with():
    tasks = in_order(planned(augmentations=["mixup"], seeds=[0]))
    assert "representations-compare" not in {task.kind for task in tasks}
    (augmented,) = [task for task in tasks if task.kind == "representations-augment"]
    assert len(augmented.inputs) == 1


def key(kind="measure", **settings):
    tasks = in_order(planned(representations=settings))
    return next(task.name for task in tasks if task.kind == f"representations-{kind}")


def test_what_belongs_to_a_tasks_key():
    assert key() == key(layers=list(LAYERS), images=TEST, training_images=TRAIN, noise=[0.1, 0.3]), "the defaults"
    assert key() == key(draws=3) == key(front=LAYERS[0])
    assert key("augment") == key("augment", noise=[2.0])
    others = [{"noise": [2.0]}, {"dimensions": 3}, {"images": 20}, {"training_images": 20}, {"seed": 1}]
    others += [{"layers": ["stem"]}]
    assert len({key(), *(key(**other) for other in others)}) == len(others) + 1
    others = [{"draws": 3}, {"images": 20}, {"seed": 1}]
    assert len({key("augment"), *(key("augment", **other) for other in others)}) == len(others) + 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"layers": ["stem", "stages.9"]},
            r"representations\.layers: 'stages\.9' does not exist; those there are: stem",
        ),
        ({"layers": ["stem", "stem"]}, "layers lists a name twice"),
        ({"images": TEST + 1}, r"representations\.images is 41, but there are 40 test images; give at most that"),
        ({"training_images": 65}, r"representations\.training_images is 65, but there are 64 training images"),
        ({"images": 3}, "images must be at least 5"),
        ({"noise": [0.0]}, "noise must be positive, got 0.0"),
        ({"noise": [-1.0]}, "noise must be positive"),
        ({"noise": []}, "noise must list different standard deviations"),
        ({"noise": [1.0, 1.0]}, "noise must list different"),
        ({"dimensions": 0}, "dimensions must be at least 1"),
        ({"draws": 0}, "draws must be at least 1"),
        ({"front": "stages.9"}, r"layer in representations\.front: 'stages\.9'"),
    ],
    ids=str,
)
def test_mistakes_are_known_before_anything_is_trained(settings, words):
    with pytest.raises(InputError, match=words):
        planned(representations=settings)


def test_training_images_of_one_class_are_refused():
    data = dataset()
    data.train.labels[:] = 1
    with pytest.raises(InputError, match="64 evenly spaced ones are all of one class"):
        tasks_of(study(), data)


# the rows


def loaded(done, augmentation, seed):
    every = in_order(done[0])
    task = next(t for t in every if t.kind == "classifier-train" and t.network[:2] == (augmentation, seed))
    return load_classifier(done[1].done[task.name], study().settings["classifier"], dataset(), BACKEND)


def test_the_bounds_of_every_layer_have_their_directions(done):
    directions = {"infonce": "lower", "leave_one_out": "upper", "rate_gaussian": "upper", "rate_mixture": "upper"}
    for quantity, bound in directions.items():
        rows = of(done, quantity, "mixup", 1)
        assert [row.params["layer"] for row in rows[::2]] == list(LAYERS)
        assert [row.params["dimensions"] for row in rows[::2]] == [4, 8, 16, 32]
        assert [row.params["noise"] for row in rows] == [0.1, 0.3] * 4
        assert {(row.bound, row.n, row.unit) for row in rows} == {(bound, TEST, "nats")}
        assert all(more.value > less.value for more, less in zip(rows[::2], rows[1::2], strict=True))
    for row in of(done, "infonce", "mixup", 1):
        assert row.value <= row.ceiling == pytest.approx(math.log(TEST))
    for row in of(done, "label_information", "mixup", 1):
        assert (row.bound, row.n) == ("lower", TEST)
        assert row.value <= row.ceiling == pytest.approx(math.log(4))
        assert row.stderr > 0


def test_similarity_is_that_of_the_two_networks_features(done):
    for augmentation, seed, other in (("mixup", 1, 1), ("baseline", 1, 0)):
        pair = [
            features(loaded(done, *network), dataset().test.images, LAYERS, BACKEND)
            for network in ((augmentation, seed), ("baseline", other))
        ]
        for quantity in ("cka", "cka_biased"):
            rows = of(done, quantity, augmentation, seed)
            assert [row.params["layer"] for row in rows] == list(LAYERS)
            for row in rows:
                expected = cka(*(part[row.params["layer"]] for part in pair))[quantity == "cka_biased"]
                assert row.value == pytest.approx(expected.value)
                assert row.stderr == pytest.approx(expected.stderr)
                assert (row.params["other_seed"], row.bound) == (other, "none")
    assert not of(done, "cka", "baseline", 0)


def test_the_baselines_affinity_is_zero_and_its_diversity_its_training_loss(done):
    """Without flips and crops its augmented images are the images."""
    data = dataset()
    for seed in (0, 1):
        (affinity,), (loss,) = of(done, "affinity", "baseline", seed), of(done, "affinity_loss", "baseline", seed)
        assert (affinity.value, affinity.stderr, loss.value) == (0, 0, 0)
        with torch.no_grad():
            logits = loaded(done, "baseline", seed)(data.train.images.float() / 255)
        # 40 images, evenly spaced; whole batches of 16 are two, whose images the seed chooses
        (diversity,) = of(done, "diversity", "baseline", seed)
        chosen = torch.linspace(0, TRAIN - 1, TEST, dtype=torch.float64).round().long()
        order = torch.randperm(TEST, generator=BACKEND.generator("representations", "images", 0))[:32]
        losses = F.cross_entropy(logits, data.train.labels, reduction="none")[chosen][order]
        assert diversity.value == pytest.approx(losses.mean().item(), rel=1e-4)
        assert of(done, "label_entropy", "baseline", seed)[0].value == 0


def test_mixup_is_apart_and_its_labels_have_entropy(done):
    (affinity,), (clean,) = of(done, "affinity", "mixup", 0), of(done, "clean_accuracy", "mixup", 0)
    assert -1 <= affinity.value < 0.2
    assert 0 <= clean.value + affinity.value <= 1
    assert clean.value == of(done, "clean_accuracy", "baseline", 0)[0].value, "of the same network"
    (entropy,), (diversity,) = of(done, "label_entropy", "mixup", 0), of(done, "diversity", "mixup", 0)
    assert 0 < entropy.value < min(math.log(2), diversity.value)


def test_features_and_terms_are_kept(done):
    task = next(
        t for t in in_order(done[0]) if t.kind == "representations-measure" and str(t.network) == "baseline, seed 0"
    )
    arrays = done[1].done[task.name].read_arrays()
    assert arrays["features:head_norm"].shape == (TEST, 32)
    (row,) = [r for r in of(done, "label_information", "baseline", 0) if r.params["layer"] == "stages.2"]
    assert arrays["label_information:stages.2"].mean() == pytest.approx(row.value, rel=1e-5)
    assert all(np.isfinite(values).all() for values in arrays.values())


def test_a_second_execute_does_no_work(root, done):
    assert worked(root / "runs")[1].fresh == 0


def test_what_a_report_shows(root, done):
    record = record_of(root, study(), dataset())
    names = [table.name for table in tables(record, {})]
    assert [name.removeprefix("representations-") for name in names] == ["label", "image", "similarity", "augmented"]
    assert len(plots(record, {})) == 3
    for quantity in measured(record):
        assert {arm for arm, _ in quantity.terms} == {Arm("tiny-study", "baseline"), Arm("tiny-study", "mixup")}
        assert not quantity.front


def test_weights_that_were_brought_along(tmp_path, done):
    """Any network has information, and is compared with one called baseline; what it was trained with is not known."""
    for augmentation in ("baseline", "mixup"):
        weights = loaded(done, augmentation, 0).network.state_dict()
        torch.save(weights, tmp_path / f"{augmentation}.pt")
    files = [f"baseline={tmp_path / 'baseline.pt'}", f"mine={tmp_path / 'mixup.pt'}"]
    chosen = study(classifier={"weights": files}, augmentations=["baseline"], seeds=[0])
    tasks, outcome = work(tmp_path / "runs", chosen, dataset())
    every = in_order(tasks)
    assert [task.kind for task in every if task.section == "representations"] == [
        "representations-measure",
        "representations-measure",
        "representations-compare",
    ]
    for quantity in ("label_information", "rate_gaussian", "cka"):
        values = [
            row.value for row in rows_of(every, outcome) if (row.quantity, row.augmentation) == (quantity, "mine")
        ]
        assert values == pytest.approx([row.value for row in of(done, quantity, "mixup", 0)], rel=1e-3)
    record = record_of(tmp_path, chosen, dataset())
    names = [table.name.removeprefix("representations-") for table in tables(record, {})]
    assert names == ["label", "image", "similarity"]
    assert len(plots(record, {})) == 2
