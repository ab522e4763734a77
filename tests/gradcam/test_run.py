import math

import numpy as np
import pytest
import torch.nn.functional as F
from helpers import BACKEND, checkerboards, context_of, tasks_of, tiny_dataset, tiny_study, work
from scipy.stats import t as student

from mixlens.analysis.errors import InputError
from mixlens.analysis.statistics.proportion import proportion
from mixlens.analysis.store.results import read_rows
from mixlens.analysis.store.runs import Store
from mixlens.analysis.study.executors.local import execute
from mixlens.analysis.study.plan import in_order
from mixlens.classifier.model import load_classifier
from mixlens.gradcam import run as module

TEST_IMAGES = 24
LAYERS = ("stem", "stages.0", "stages.1")
SIDES = (8, 8, 4)


def dataset(side=8):
    return tiny_dataset(*(checkerboards(count, seed, side=side) for seed, count in ((1, 64), (2, TEST_IMAGES))))


def study(**values):
    classifier = {
        "model": "preact-resnet18(width=4)",
        "epochs": 3,
        "learning_rate": 0.05,
        "batch_size": 16,
        "precision": "fp32",
    }
    classifier |= {"crop": 0, "flip": False} | values.pop("classifier", {})
    return tiny_study("gradcam", classifier=classifier, **values)


def planned(**values):
    return tasks_of(study(**values), dataset())


def worked(root, **values):
    return work(root, study(**values), dataset())


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("gradcam") / "out"


@pytest.fixture(scope="module")
def done(root):
    """One seed of the baseline and MixUp, trained and measured once for all tests here."""
    return worked(root)


# the plan


def test_the_tasks_of_a_study():
    tasks = planned(augmentations=["baseline", "mixup", "fmix"], seeds=[0, 1])
    assert [task.kind for task in tasks] == ["gradcam-measure"] * 6
    assert [task.kind for task in in_order(tasks)].count("classifier-train") == 6
    assert len({task.label for task in in_order(tasks)}) == 12
    assert tasks[0].label == "measure heatmaps, baseline, seed 0"
    for task in tasks:
        assert [parent.kind for parent in task.inputs] == ["classifier-train"]


def test_the_classifiers_are_those_of_the_classifier_section():
    own = {task.inputs[0].name for task in planned()}
    classifier = vars(study().settings["classifier"])
    assert own == {task.inputs[0].name for task in tasks_of(tiny_study("classifier", classifier=classifier), dataset())}


def key(**gradcam):
    return planned(gradcam=gradcam)[0].name


def test_what_belongs_to_a_tasks_key():
    same = key()
    assert key(method="FEM( k = 2 )") == key(method="FEM"), "the package's default, written out"
    assert key(batch_size=3) == same, "results do not depend on it"
    assert key(layers=list(LAYERS)) == same, "the default, written out"
    assert key(images=TEST_IMAGES) == same, "all of them, the default"
    assert key(images=None, norm="max", method="gradcam", target="predicted", upsample=False, shown=6) == same
    others = [
        {"layers": ["stem"]},
        {"layers": ["stages.0", "stem", "stages.1"]},  # the order of the arrays
        {"layers": ["stem", "stages.0", "stages.2"]},
        {"method": "gradcam++"},
        {"method": "layercam"},
        {"method": "eigencam"},
        {"method": "HiResCAM"},
        {"method": "GradCAM"},  # another computation, although the same formula
        {"method": "FEM(k=3)"},
        {"norm": "minmax"},
        {"norm": "none"},
        {"target": "true"},
        {"target": "0"},
        {"target": "3"},
        {"upsample": True},
        {"images": TEST_IMAGES - 1},
        {"shown": 2},
    ]
    assert len({same, *(key(**other) for other in others)}) == len(others) + 1


def test_the_key_names_the_layers_the_data_and_what_is_no_default():
    assert planned()[0].settings["config"] == {"data": dataset().checksum, "layers": list(LAYERS)}
    changed = {"method": "layercam", "images": 10, "batch_size": 7, "layers": ["stages.1"]}
    config = planned(gradcam=changed)[0].settings["config"]
    assert config == {"data": dataset().checksum, "layers": ["stages.1"], "method": "layercam", "images": 10}


@pytest.mark.parametrize(
    ("gradcam", "words"),
    [
        ({"images": TEST_IMAGES + 1}, r"gradcam\.images is 25, but there are 24 test images"),
        ({"target": "4"}, r"gradcam\.target is 4, but tiny has classes 0 to 3"),
        ({"target": "best"}, "gradcam: target must be predicted, true or the index of a class"),
        ({"layers": ["stem", "stem"]}, "gradcam: layers lists a name twice"),
        ({"layers": ["stem", "stages.9"]}, r"layer 'stages\.9' does not exist; those with maps: stem 4×8×8"),
        ({"layers": ["stages.3"]}, r"layer 'stages\.3' puts out no map"),
        ({"layers": ["head"]}, r"layer 'head' puts out no map"),
        ({"method": "HiRes"}, "unknown heatmap method 'HiRes'. Did you mean 'HiResCAM'"),
        ({"method": "FullGrad"}, "'FullGrad' of pytorch_grad_cam cannot be used: it makes one map of all layers"),
        ({"method": "FEM(k='a')"}, r"heatmap method \"FEM\(k='a'\)\" failed with"),
        ({"images": 1}, "gradcam: images must be at least 2"),
    ],
    ids=str,
)
def test_mistakes_are_known_before_anything_is_trained(gradcam, words):
    with pytest.raises(InputError, match=words):
        planned(gradcam=gradcam)


def test_as_many_images_as_there_are_and_the_last_class():
    assert planned(gradcam={"images": TEST_IMAGES, "target": "3"})


def test_the_default_layers_of_torchvisions_resnet():
    chosen = study(classifier={"model": "torchvision:resnet18"})
    (task, _) = tasks_of(chosen, dataset(32))
    assert task.config.layers == ("conv1", "layer1", "layer2")


# the rows


def plain(model, images, classes=None):
    """Each layer's maps from one image at a time and no hooks; and the predicted classes."""
    network, made, predicted = model.network, [], []
    for position, image in enumerate(images):
        stem = network.stem((image[None].float() / 255 - model.mean) / model.std)
        kept = [stem.requires_grad_()]
        for stage in network.stages:
            kept.append(stage(kept[-1]))
            kept[-1].retain_grad()
        logits = network.head(network.head_norm(kept[-1]).mean((2, 3)))[0]
        predicted.append(int(logits.argmax()))
        logits[predicted[-1] if classes is None else classes[position]].backward()
        made.append([sum(g.mean() * a for a, g in zip(A[0], A.grad[0], strict=True)).relu().detach() for A in kept[:3]])
    return made, predicted


def over_maximum(made):
    return made / made.max() if made.max() > 0 else made


def load(task, outcome):
    chosen = study()
    return load_classifier(outcome.done[task.inputs[0].name], chosen.settings["classifier"], dataset(), BACKEND)


def test_rows_and_arrays_are_those_of_a_plain_loop(done):
    tasks, outcome = done
    images = dataset().test.images
    for task, augmentation in zip(tasks, ("baseline", "mixup"), strict=True):
        run = outcome.done[task.name]
        maps, predicted = plain(load(task, outcome), images)
        arrays = run.read_arrays()
        assert set(arrays) == {
            *("images", "sums", "zero", "predicted", "shown", "pictures"),
            *(f"map:{layer}" for layer in LAYERS),
        }
        assert arrays["images"].tolist() == list(range(TEST_IMAGES))
        assert arrays["predicted"].tolist() == predicted
        assert arrays["shown"].tolist() == [0, 5, 9, 14, 18, 23]
        assert np.array_equal(arrays["pictures"], images[arrays["shown"]].permute(0, 2, 3, 1).numpy())
        assert (arrays["sums"].shape, arrays["sums"].dtype) == ((3, TEST_IMAGES), np.float32)
        assert (arrays["zero"].shape, arrays["zero"].dtype) == ((3, TEST_IMAGES), np.bool_)
        rows = {(row.params["layer"], row.quantity): row for row in read_rows(run)}
        assert set(rows) == {(layer, name) for layer in LAYERS for name in ("heatmap_sum", "heatmap_mean", "zero_maps")}
        assert len(read_rows(run)) == 9
        for index, (layer, side) in enumerate(zip(LAYERS, SIDES, strict=True)):
            own = [over_maximum(found[index]) for found in maps]
            sums = np.array([float(made.sum()) for made in own])
            zero = sum(not made.any() for made in own)
            assert arrays["sums"][index] == pytest.approx(sums, rel=1e-3, abs=1e-4)
            assert arrays["zero"][index].sum() == zero
            pictured = arrays[f"map:{layer}"]
            assert (pictured.shape, pictured.dtype) == ((6, side, side), np.float16)
            for shown, position in zip(pictured, arrays["shown"], strict=True):
                assert shown == pytest.approx(own[position].numpy(), abs=2e-3)
            half = float(student.ppf(0.975, TEST_IMAGES - 1)) * sums.std(ddof=1) / math.sqrt(TEST_IMAGES)
            for quantity, area, unit in (("heatmap_sum", 1, "pixels"), ("heatmap_mean", side**2, "")):
                row = rows[layer, quantity]
                assert row.value == pytest.approx(sums.mean() / area, rel=1e-4)
                assert row.stderr == pytest.approx(sums.std(ddof=1) / math.sqrt(TEST_IMAGES) / area, rel=1e-3)
                assert (row.ci_low, row.ci_high) == pytest.approx((row.value - half / area, row.value + half / area))
                assert row.unit == unit
            row, expected = rows[layer, "zero_maps"], proportion(zero, TEST_IMAGES)
            assert (row.value, row.stderr, row.unit) == (expected.value, expected.stderr, "fraction")
            assert (row.ci_low, row.ci_high) == expected.interval[:2]
        for (layer, _), row in rows.items():
            assert (row.study, row.section, row.dataset, row.split) == ("tiny-study", "gradcam", "tiny", "test")
            assert (row.augmentation, row.model, row.seed) == (augmentation, "preact-resnet18(width=4)", 0)
            assert (row.run, row.n, row.bound) == (task.name, TEST_IMAGES, "none")
            assert row.params == {
                "layer": layer,
                "method": "gradcam",
                "norm": "max",
                "target": "predicted",
                "upsample": False,
                "area": SIDES[LAYERS.index(layer)] ** 2,
            }


@pytest.mark.parametrize("target", ["true", "2"])
def test_another_target(root, done, target):
    gradcam = {"target": target, "layers": ["stages.1"], "images": 10}
    tasks, outcome = worked(root, augmentations=["baseline"], gradcam=gradcam)
    run, data = outcome.done[tasks[0].name], dataset().test
    arrays = run.read_arrays()
    chosen = arrays["images"]
    classes = data.labels[chosen].tolist() if target == "true" else [2] * 10
    maps, predicted = plain(load(tasks[0], outcome), data.images[chosen], classes)
    assert arrays["sums"][0] == pytest.approx(np.array([float(over_maximum(own[2]).sum()) for own in maps]), rel=1e-3)
    assert arrays["predicted"].tolist() == predicted
    assert {row.params["target"] for row in read_rows(run)} == {target}


def test_norm_and_upsampling(root, done):
    gradcam = {"norm": "minmax", "upsample": True, "layers": ["stages.1", "stem"]}
    tasks, outcome = worked(root, augmentations=["baseline"], gradcam=gradcam)
    maps, _ = plain(load(tasks[0], outcome), dataset().test.images)
    run = outcome.done[tasks[0].name]
    for index, layer in enumerate((2, 0)):
        sums = []
        for own in maps:
            made = F.interpolate(own[layer][None, None], (8, 8), mode="bilinear")
            sums.append(float(over_maximum(made - made.min()).sum()))
        assert run.read_arrays()["sums"][index] == pytest.approx(np.array(sums), rel=1e-3, abs=1e-3)
    rows = read_rows(run)
    assert [row.params["layer"] for row in rows] == ["stages.1"] * 3 + ["stem"] * 3
    assert {(row.params["norm"], row.params["upsample"], row.params["area"]) for row in rows} == {("minmax", True, 64)}


@pytest.mark.parametrize("method", ["gradcam++", "layercam", "eigencam", "HiResCAM", "ScoreCAM"])
def test_other_methods_have_other_sums_and_the_same_predictions(root, done, method):
    tasks, outcome = worked(root, augmentations=["baseline"], gradcam={"method": method})
    arrays = outcome.done[tasks[0].name].read_arrays()
    before = done[1].done[done[0][0].name].read_arrays()
    assert not np.allclose(arrays["sums"], before["sums"])
    assert np.array_equal(arrays["predicted"], before["predicted"])
    assert {row.params["method"] for row in read_rows(outcome.done[tasks[0].name])} == {method}


def test_some_of_the_images_evenly_spaced(root, done):
    """The same networks and images: the same sums, and the maps of the images that are shown."""
    tasks, outcome = worked(root, gradcam={"images": 10, "shown": 4, "batch_size": 3})
    assert outcome.fresh == 2
    for task, whole in zip(tasks, done[0], strict=True):
        run = outcome.done[task.name]
        arrays, before = run.read_arrays(), done[1].done[whole.name].read_arrays()
        assert arrays["images"].tolist() == [0, 3, 5, 8, 10, 13, 15, 18, 20, 23]
        assert arrays["shown"].tolist() == [0, 8, 15, 23], "the first, fourth, seventh and last of these"
        assert arrays["sums"] == pytest.approx(before["sums"][:, arrays["images"]], rel=1e-3, abs=1e-4)
        assert np.array_equal(arrays["zero"], before["zero"][:, arrays["images"]])
        assert np.array_equal(arrays["predicted"], before["predicted"][arrays["images"]])
        test = dataset().test.images
        assert np.array_equal(arrays["pictures"], test[arrays["shown"]].permute(0, 2, 3, 1).numpy())
        maps, _ = plain(load(task, outcome), test[arrays["shown"]])
        for index, layer in enumerate(LAYERS):
            for shown, own in zip(arrays[f"map:{layer}"], maps, strict=True):
                assert shown == pytest.approx(over_maximum(own[index]).numpy(), abs=2e-3)
        assert {row.n for row in read_rows(run)} == {10}


def test_more_images_to_show_than_are_measured(root, done):
    tasks, outcome = worked(root, augmentations=["baseline"], gradcam={"images": 3, "shown": 50, "layers": ["stem"]})
    arrays = outcome.done[tasks[0].name].read_arrays()
    assert arrays["shown"].tolist() == arrays["images"].tolist()
    assert arrays["map:stem"].shape == (3, 8, 8)


# again


def test_a_second_execute_does_no_work(done, root, monkeypatch):
    monkeypatch.setattr(module, "heatmap_sums", None)
    _, outcome = worked(root, gradcam={"batch_size": 5, "layers": list(LAYERS), "images": TEST_IMAGES})
    assert outcome.fresh == 0


def test_a_measurement_that_was_killed_is_made_again(done, root, tmp_path, mortal):
    chosen, data = study(augmentations=["baseline"]), dataset()
    tasks = tasks_of(chosen, data)
    trained = execute([tasks[0].inputs[0]], Store(tmp_path), context_of(chosen, data))
    assert trained.fresh == 1
    with pytest.raises(KeyboardInterrupt):
        execute(tasks, Store(tmp_path), context_of(chosen, data, mortal(0)))
    assert not (tmp_path / tasks[0].name).exists(), "nothing half-written that looks whole"
    _, outcome = worked(tmp_path, augmentations=["baseline"], gradcam={"batch_size": 7})
    assert outcome.fresh == 1
    found, expected = (each.done[tasks[0].name].read_arrays() for each in (outcome, done[1]))
    assert found.keys() == expected.keys()
    assert found["sums"] == pytest.approx(expected["sums"], rel=1e-4, abs=1e-4), "whatever the batch size"
