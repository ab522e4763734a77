import math
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import BACKEND, NARROW, checkerboards, tasks_of, tiny_dataset, tiny_study, work

from mixlens.analysis.errors import InputError
from mixlens.analysis.statistics.proportion import proportion
from mixlens.analysis.store.results import read_rows
from mixlens.analysis.store.runs import CHECKPOINT
from mixlens.analysis.study.plan import in_order
from mixlens.analysis.training.progress import Reporter
from mixlens.classifier.model import load_classifier
from mixlens.robustness import sweep as module
from mixlens.robustness.attacks import parse_attacks
from mixlens.robustness.config import ATTACKS
from mixlens.robustness.measures import BROKEN, NOT_RUN, WORST
from mixlens.robustness.run import measurements_of
from mixlens.robustness.sweep import Swept, sweep

TEST_IMAGES = 24
EPSILONS = [0.0, 0.02, 0.1]


def dataset():
    return tiny_dataset(checkerboards(64, 1), checkerboards(TEST_IMAGES, 2))


def study(**values):
    classifier = dict(NARROW)
    classifier |= {"crop": 0, "flip": False} | values.pop("classifier", {})
    robustness = {"epsilons": EPSILONS, "attacks": ["uniform-noise", "pgd(steps=3)", "fgsm", "deepfool"]}
    robustness |= values.pop("robustness", {})
    return tiny_study("robustness", classifier=classifier, robustness=robustness, **values)


def planned(**values):
    return tasks_of(study(**values), dataset())


def worked(root, **values):
    return work(root, study(**values), dataset())


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("robustness") / "out"


@pytest.fixture(scope="module")
def done(root):
    """One seed of the baseline and MixUp, trained and attacked once for all tests here."""
    return worked(root)


# the plan


def test_the_tasks_of_a_study():
    tasks = planned(augmentations=["baseline", "mixup", "fmix"], seeds=[0, 1])
    assert [task.kind for task in tasks] == ["robustness-measure"] * 6
    assert {parent.kind for task in tasks for parent in task.inputs} == {"robustness-sweep"}
    assert [task.kind for task in in_order(tasks)].count("classifier-train") == 6
    assert len({task.label for task in in_order(tasks)}) == 18
    assert tasks[0].inputs[0].label == "attack baseline, seed 0"
    for task in tasks:
        assert len(task.inputs) == 1


def test_the_classifiers_are_those_of_the_classifier_section():
    own = {task.inputs[0].inputs[0].name for task in planned()}
    assert own == {task.inputs[0].name for task in tasks_of(accuracy_study(), dataset())}


def accuracy_study():
    return tiny_study("classifier", classifier=vars(study().settings["classifier"]))


def key(**robustness):
    return planned(robustness=robustness)[0].inputs[0].name


def test_what_belongs_to_a_tasks_key():
    same = key()
    assert key(batch_size=3) == same, "results do not depend on it"
    assert key(images=TEST_IMAGES) == same, "all of them, the default"
    assert key(attacks=["uniform-noise", "pgd(steps = 3)", "fgsm()", "deepfool(steps=50)"]) == same, "spelling"
    assert key(protocol="paper") == same, "a default"
    for other in (
        {"attacks": ["fgsm", "pgd(steps=3)", "uniform-noise", "deepfool"]},  # their order, as bits are in it
        {"attacks": ["uniform-noise", "pgd(steps=4)", "fgsm", "deepfool"]},
        {"attacks": ["fgsm"]},
        {"epsilons": [0.0, 0.02]},
        {"protocol": "nested"},
        {"seed": 1},
        {"images": 12},
    ):
        assert key(**other) != same, other


def test_the_batch_size_is_in_the_key_of_attacks_that_work_on_a_batch_as_a_whole():
    assert key(attacks=["LInfFMNAttack"], batch_size=500) == key(attacks=["LInfFMNAttack"]), "what none is with them"
    for attack, matters in (("LInfFMNAttack", True), ("HopSkipJumpAttack", True), ("LinfAdamPGD", False)):
        assert (key(attacks=[attack], batch_size=3) != key(attacks=[attack])) == matters, attack


def test_the_key_names_all_attacks_and_the_data():
    config = planned()[0].inputs[0].settings["config"]
    assert config == {
        "data": dataset().checksum,
        "attacks": ["uniform-noise", "pgd(steps=3)", "fgsm", "deepfool"],
        "epsilons": EPSILONS,
    }


@pytest.mark.parametrize(
    ("robustness", "words"),
    [
        ({"images": TEST_IMAGES + 1}, r"robustness\.images is 25, but there are 24 test images"),
        ({"attacks": ["fgms"]}, "Did you mean 'fgsm'"),
        ({"attacks": ["fgsm", "fgsm"]}, "listed twice"),
        ({"attacks": ["fgsm", "L2PGD"]}, "one ε cannot mean both"),
        ({"attacks": []}, "robustness: attacks is empty"),
        ({"epsilons": [0.2, 0.1]}, "robustness: epsilons must ascend"),
        ({"precision": "tf32"}, "tf32 is a precision of NVIDIA GPUs from Ampere on, not of cpu. Use fp32"),
        ({"precision": "bf16"}, "robustness.precision: 'bf16'. Known: fp32, tf32"),
    ],
)
def test_mistakes_are_known_before_anything_is_trained(robustness, words):
    with pytest.raises(InputError, match=words):
        planned(robustness=robustness)


def test_as_many_images_as_there_are():
    assert planned(robustness={"images": TEST_IMAGES})


# the rows


def test_rows_are_what_the_stored_bits_say(done):
    tasks, outcome = done
    attacks = ["uniform-noise", "pgd(steps=3)", "fgsm", "deepfool"]
    for task, augmentation in zip(tasks, ("baseline", "mixup"), strict=True):
        run = outcome.done[task.name]
        bits = run.read_arrays("bits")["bits"]
        assert np.array_equal(bits, outcome.done[task.inputs[0].name].read_arrays()["bits"])
        assert bits.shape == (4, 3, TEST_IMAGES)
        held = {name: bits[index] != BROKEN for index, name in enumerate(attacks)}
        held[WORST] = np.all(list(held.values()), axis=0)
        rows = read_rows(run)
        for row in rows:
            assert (row.study, row.section, row.dataset, row.split) == ("tiny-study", "robustness", "tiny", "test")
            assert (row.model, row.seed, row.n) == ("preact-resnet18(width=4)", 0, TEST_IMAGES)
            assert (row.augmentation, row.run, row.bound) == (augmentation, task.name, "none")
            assert row.params["protocol"] == "paper"
            assert math.isfinite(row.value)
        accuracy = {(row.params["attack"], row.params["epsilon"]): row for row in rows if row.quantity == "accuracy"}
        assert set(accuracy) == {(name, epsilon) for name in held for epsilon in EPSILONS}
        for (name, epsilon), row in accuracy.items():
            count = int(held[name][EPSILONS.index(epsilon)].sum())
            expected = proportion(count, TEST_IMAGES)
            assert (row.value, row.stderr, row.unit) == (expected.value, expected.stderr, "fraction")
            assert (row.ci_low, row.ci_high) == expected.interval[:2]
        for row in (row for row in rows if row.quantity == "median_epsilon"):
            broken = np.maximum.accumulate(~held[row.params["attack"]], axis=0).mean(1)  # by this ε or a smaller one
            assert row.value == EPSILONS[int((broken >= 0.5).argmax())]
            assert (row.unit, row.params.keys()) == ("L∞", {"protocol", "norm", "attack"})


def test_medians_are_rows_only_where_half_of_the_images_are_broken(done):
    for task in done[0]:
        rows = read_rows(done[1].done[task.name])
        last = {r.params["attack"]: r.value for r in rows if r.quantity == "accuracy" and r.params["epsilon"] == 0.1}
        reached = {r.params["attack"] for r in rows if r.quantity == "median_epsilon"}
        assert reached == {attack for attack, value in last.items() if value <= 0.5}


def test_the_bits_are_those_of_a_sweep_of_the_trained_network(done):
    tasks, outcome = done
    chosen, data = study(), dataset()
    for task in tasks:
        swept = task.inputs[0]
        model = load_classifier(outcome.done[swept.inputs[0].name], chosen.settings["classifier"], data, BACKEND)
        attacks = chosen.settings["robustness"].attacks
        found = sweep(model, data.test.images, data.test.labels, attacks=attacks, epsilons=EPSILONS)
        arrays = outcome.done[swept.name].read_arrays()
        assert np.array_equal(arrays["bits"], found.bits)
        assert np.array_equal(arrays["correct"], found.correct)
        assert np.allclose(arrays["distance"], found.distance, atol=1e-6, equal_nan=True)
        assert np.array_equal(arrays["zero_gradient"], found.zero_gradient)


def test_clean_accuracy_is_the_classifier_sections(done, root):
    tasks, outcome = work(root, accuracy_study(), dataset())
    for measured, attacked in zip(tasks, done[0], strict=True):
        (accuracy,) = (row for row in read_rows(outcome.done[measured.name]) if row.quantity == "accuracy")
        clean = [
            row.value
            for row in read_rows(done[1].done[attacked.name])
            if row.quantity == "clean_accuracy" or (row.quantity == "accuracy" and row.params["epsilon"] == 0)
        ]
        assert clean == [accuracy.value] * 6


def test_some_of_the_images_evenly_spaced(root, done):
    """The same networks, images and draws: the same bits."""
    tasks, outcome = worked(root, robustness={"images": 10})
    assert outcome.fresh == 4
    for task, whole in zip(tasks, done[0], strict=True):
        run = outcome.done[task.name]
        chosen = run.read_arrays("images")["images"]
        assert chosen.tolist() == [0, 3, 5, 8, 10, 13, 15, 18, 20, 23]
        before = done[1].done[whole.name].read_arrays()
        assert before["images"].tolist() == list(range(TEST_IMAGES))
        assert np.array_equal(run.read_arrays()["bits"], before["bits"][:, :, chosen])
        assert {row.n for row in read_rows(run)} == {10}


def test_a_second_execute_does_no_work(done, root):
    _, outcome = worked(root, robustness={"batch_size": 5})
    assert outcome.fresh == 0


def test_the_batch_size_changes_nothing(done, tmp_path):
    tasks, outcome = worked(tmp_path, augmentations=["baseline"], robustness={"batch_size": 5})
    expected = done[1].done[tasks[0].name]
    assert np.array_equal(outcome.done[tasks[0].name].read_arrays()["bits"], expected.read_arrays()["bits"])


def test_a_killed_sweep_goes_on_from_its_checkpoint(done, tmp_path, monkeypatch):
    monkeypatch.setitem(module.BLOCK, "cpu", 10)
    swept = []
    original = module._each_epsilon

    def recorded(state, rows, *arguments, **named):
        swept.append(int(state.done.sum()))
        return original(state, rows, *arguments, **named)

    monkeypatch.setattr(module, "_each_epsilon", recorded)
    advance = Reporter.advance

    def killed(self, *told, **counts):
        advance(self, *told, **counts)
        if counts.get("steps") == 10 and swept == [0, 10, 20, 30, 40]:  # the second block's first attack
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Reporter, "advance", killed)
        with pytest.raises(KeyboardInterrupt):
            worked(tmp_path, augmentations=["baseline"])
    (left,) = tmp_path.glob("robustness-sweep-*.partial")
    assert (left / CHECKPOINT).exists()
    swept.clear()
    tasks, outcome = worked(tmp_path, augmentations=["baseline"])
    assert swept[0] == 50, "what was done is not done again"
    run = outcome.done[tasks[0].name]
    bits = run.read_arrays()["bits"]
    assert np.array_equal(bits, done[1].done[tasks[0].name].read_arrays()["bits"])
    whole = worked(tmp_path / "whole", augmentations=["baseline"])[1].done[tasks[0].name]  # in blocks of this size too
    assert np.array_equal(bits, whole.read_arrays()["bits"])
    assert read_rows(run) == read_rows(whole)
    assert not (run / CHECKPOINT).exists()


# measurements by hand


def swept_of(bits, attacks, epsilons, distance=None, correct=None):
    bits = np.asarray(bits, np.int8)
    images = bits.shape[2]
    distance = np.full((len(attacks), images), np.nan, np.float32) if distance is None else distance
    correct = np.ones(images, bool) if correct is None else np.asarray(correct)
    return Swept(tuple(attacks), tuple(epsilons), bits, correct, np.full(images, NOT_RUN, np.int8), distance)


def facts(found, protocol="paper"):
    """What is measured, with the estimate's own fields."""
    measured = measurements_of(found, parse_attacks(found.attacks), protocol=protocol, classes=10)

    def row(quantity, estimate, params, note):
        low, high = estimate.interval[:2] if estimate.interval else (None, None)
        own = {"quantity": quantity, "params": params, "note": note, "ci_low": low, "ci_high": high}
        return SimpleNamespace(**vars(estimate), **own)

    return [row(*one) for one in measured]


def test_rows_say_a_precision_that_is_not_fp32():
    found = swept_of(np.zeros((1, 2, 9)), ["fgsm"], [0.0, 0.05])
    for precision, said in (("fp32", None), ("tf32", "tf32")):
        measured = measurements_of(found, parse_attacks(["fgsm"]), protocol="paper", classes=10, precision=precision)
        assert {one.params.get("precision") for one in measured} == {said}


def test_medians_of_images_that_are_wrong_as_they_are():
    """Two thirds are wrong: the median ε is 0, and so is DeepFool's median distance."""
    bits = np.zeros((1, 2, 9))
    bits[:, :, :6] = 1
    distance = np.array([[np.nan] * 6 + [0.1, 0.2, 0.3]], np.float32)
    rows = facts(swept_of(bits, ["deepfool"], [0.0, 0.05], distance, [False] * 6 + [True] * 3))
    values = {(row.quantity, row.params.get("attack")): row.value for row in rows if row.quantity != "accuracy"}
    assert values == {
        ("clean_accuracy", None): pytest.approx(1 / 3),
        ("median_epsilon", "deepfool"): 0.0,
        ("median_epsilon", WORST): 0.0,
        ("median_distance", "deepfool"): 0.0,
    }


def test_median_distance():
    distance = np.array([[0.5, 0.1, np.inf, 0.2, 0.3, np.nan, np.inf]], np.float32)
    correct = [True] * 5 + [False, True]
    rows = facts(swept_of(np.zeros((1, 1, 7)), ["deepfool"], [0.05], distance, correct))
    (found,) = (row for row in rows if row.quantity == "median_distance")
    assert found.value == pytest.approx(0.3), "of 0, 0.1, 0.2, 0.3, 0.5, ∞, ∞"
    assert (found.unit, found.n, found.ci_low) == ("L∞", 7, None)
    assert not [row for row in rows if row.quantity == "median_epsilon"]


def test_an_infinite_median_distance_is_no_row():
    distance = np.array([[0.1, np.inf, np.inf]], np.float32)
    rows = facts(swept_of(np.zeros((1, 1, 3)), ["deepfool"], [0.05], distance))
    assert {row.quantity for row in rows} == {"accuracy", "clean_accuracy"}


def test_the_unit_is_the_norms():
    bits = np.ones((1, 1, 4))
    for attack, unit in (("fgsm", "L∞"), ("FGM", "L2"), ("L1PGD", "L1")):
        assert {row.unit for row in facts(swept_of(bits, [attack], [0.1])) if row.quantity == "median_epsilon"} == {
            unit
        }


def test_signs_of_masked_gradients_are_rows():
    bits = np.zeros((2, 2, 100), np.int8)
    bits[0, 0, :60] = 1  # noise
    bits[1, 0, :20] = 1  # one gradient step
    bits[:, 1, :90] = 1
    found = swept_of(bits, ["uniform-noise", "pgd"], [0.1, 1.0])
    rows = [row for row in facts(found) if row.quantity == "masking_sign"]
    told = {(row.params["sign"], row.params["attack"], row.params["epsilon"]): row.value for row in rows}
    assert told == {
        ("noise", "pgd", 0.1): pytest.approx(0.4),
        ("left over", "pgd", 1.0): pytest.approx(0.1),
        ("left over", WORST, 1.0): pytest.approx(0.1),
    }
    assert all(row.note for row in rows)
    other = swept_of(bits, ["L2AdditiveUniformNoiseAttack", "L2ProjectedGradientDescentAttack"], [0.1, 1.0])
    kinds = [row.params["sign"] for row in facts(other) if row.quantity == "masking_sign"]
    assert kinds == ["noise"], "under L2 an ε of 1 does not allow any image"


# nested-worst


def nested_worst(root, epsilons):
    tasks, outcome = worked(root, robustness={"protocol": "nested-worst", "epsilons": epsilons})
    return [outcome.done[task.name] for task in tasks]


def test_nested_worst_gives_the_worst_case_alone(done, root):
    for run in nested_worst(root, [0.0, 0.005, 0.02, 0.05, 0.1, 0.3, 1.0]):
        rows = read_rows(run)
        assert {row.params["attack"] for row in rows if row.quantity in ("accuracy", "median_epsilon")} == {WORST}
        assert {row.params["protocol"] for row in rows} == {"nested-worst"}
        assert [row.quantity for row in rows][:8] == ["clean_accuracy"] + ["accuracy"] * 7
        bits = run.read_arrays()["bits"]
        assert (bits == NOT_RUN).any()
        values = [row.value for row in rows if row.quantity == "accuracy"]
        assert values == (~(bits == BROKEN).any(0)).mean(1).tolist()
        assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("epsilons", [[0.1], [0.0, 0.1], [0.0, 1e-6, 2e-6]], ids=str)
def test_nested_worst_gives_the_worst_case_alone_whatever_the_bits(done, root, epsilons):
    attacks = set()
    for run in nested_worst(root, epsilons):
        attacks |= {row.params["attack"] for row in read_rows(run) if row.quantity == "accuracy"}
    assert attacks == {WORST}


def test_the_published_attacks_are_the_default():
    chosen = tiny_study("robustness")
    assert chosen.settings["robustness"].attacks == ATTACKS


def test_an_epsilon_of_bytes_is_refused_before_anything_runs():
    with pytest.raises(InputError, match="Did you mean 8/255"):
        planned(robustness={"epsilons": [0.0, 8.0]})
