import math

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import NARROW, context_of, tasks_of, tiny_study, work
from judged import CLASSES, TEST_IMAGES, dataset, shares, votes
from scipy.optimize import brentq
from scipy.special import log_softmax, rel_entr
from scipy.stats import entropy, norm
from sklearn.metrics import log_loss
from torch import nn

from mixlens.analysis.errors import InputError
from mixlens.analysis.store.results import read_rows
from mixlens.analysis.store.runs import Store
from mixlens.analysis.study.executors.local import execute
from mixlens.analysis.study.plan import in_order
from mixlens.analysis.training.backend import stream_seed
from mixlens.calibration.config import SOFTNESS
from mixlens.calibration.votes import fingerprint

RESAMPLES = 200
SMOOTHING = [0.1, 0.5]


@pytest.fixture(autouse=True, scope="module")
def folder(tmp_path_factory):
    """Where people's votes are kept, as files."""
    FOLDERS.append(tmp_path_factory.mktemp("votes"))


FOLDERS = []


def file_of(human):
    path = FOLDERS[-1] / f"{fingerprint(human.double())}.npy"
    np.save(path, human.numpy())
    return str(path)


def study(human=None, **values):
    classifier = dict(NARROW)
    calibration = {"resamples": RESAMPLES, "smoothing": SMOOTHING, "bins": 10} | values.pop("calibration", {})
    calibration |= {} if human is None else {"counts": file_of(human)}
    settings = {"classifier": classifier | {"crop": 0, "flip": False}, "calibration": calibration}
    return tiny_study("calibration", **values, **settings)


def planned(human=None, **values):
    return tasks_of(study(human, **values), dataset())


def worked(root, human=None, **values):
    tasks, outcome = work(root, study(human, **values), dataset())
    assert not outcome.failed
    return tasks, outcome


def measured(root, human=None, **values):
    """The rows of the baseline's measurement, by what is measured."""
    tasks, outcome = worked(root, human, augmentations=["baseline"], **values)
    return by_key(read_rows(outcome.done[tasks[0].name]))


def stratum(row):
    return [row.params["stratum"]] if "stratum" in row.params else []


def by_key(rows):
    found = {
        (row.quantity, row.params.get("temperature"), row.params.get("smoothing"), *stratum(row)): row for row in rows
    }
    assert len(found) == len(rows), "each is there once"
    return found


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("calibration") / "out"


@pytest.fixture(scope="module")
def done(root):
    """One seed of the baseline and MixUp, trained and measured once for all tests here."""
    return worked(root, votes())


# the plan


def test_the_tasks_of_a_study():
    tasks = planned(votes(), augmentations=["baseline", "mixup", "fmix"], seeds=[0, 1])
    assert [task.kind for task in tasks] == ["calibration-measure"] * 6
    assert [[parent.kind for parent in task.inputs] for task in tasks] == [["classifier-measure"]] * 6
    assert tasks[0].label == "measure calibration, baseline, seed 0"
    assert len({task.label for task in in_order(tasks)}) == 18


def test_the_logits_are_those_of_the_classifier_section():
    own = {task.inputs[0].name for task in planned()}
    classifier = vars(study().settings["classifier"])
    assert own == {task.name for task in tasks_of(tiny_study("classifier", classifier=classifier), dataset())}


def key(human=None, **calibration):
    return planned(human, calibration=calibration)[0].name


def test_what_belongs_to_a_tasks_key(tmp_path):
    same = key(votes())
    other = votes()
    other[0, 0] += 1
    for human, calibration in (
        (None, {}),
        (other, {}),
        (shares(), {}),
        (votes(), {"bins": 11}),
        (votes(), {"smoothing": [0.1]}),
        (votes(), {"resamples": 201}),
        (votes(), {"seed": 1}),
    ):
        assert key(human, **calibration) != same, calibration
    assert key(votes()) == same
    assert key(votes(), seed=0) == same, "a default"


def test_the_key_knows_the_votes_and_not_their_file(tmp_path):
    names = []
    for path in (tmp_path / "votes.npy", tmp_path / "moved" / "other.npy"):
        path.parent.mkdir(exist_ok=True)
        np.save(path, votes().numpy())
        names.append(key(counts=str(path)))
    assert names[0] == names[1] == key(votes()), "wherever it lies"
    np.save(tmp_path / "votes.npy", 2 * votes().numpy())
    assert key(counts=str(tmp_path / "votes.npy")) != names[0], "another content under the same name"


def test_a_task_says_what_its_key_is_made_of():
    config = planned(None)[0].settings["config"]
    assert config == {"data": dataset().checksum, "bins": 10, "resamples": RESAMPLES, "smoothing": SMOOTHING}
    assert set(planned(votes())[0].settings["config"]) == {*config, "people"}


# the rows, each computed again from the stored logits


def temperature(logits, target):
    """The zero of d H(target, p) / d(1/T) = E Σ (p − target) z."""

    def slope(beta):
        p = np.exp(log_softmax(beta * logits, axis=1))
        return ((p - target) * logits).sum(1).mean()

    return 1 / brentq(slope, 1e-3, 1e3, xtol=1e-12)


def scaled_by_hand(logits, target, seed=0):
    """Log-probabilities of both halves, each at the temperature of the other; the temperatures."""
    generator = torch.Generator().manual_seed(stream_seed("calibration", "halves", seed))
    order = torch.randperm(len(target), generator=generator).numpy()
    first, second = order[: len(order) // 2], order[len(order) // 2 :]
    found = np.empty_like(logits)
    temperatures = [temperature(logits[half], target[half]) for half in (first, second)]
    found[second] = log_softmax(logits[second] / temperatures[0], axis=1)
    found[first] = log_softmax(logits[first] / temperatures[1], axis=1)
    return found, temperatures


def ece_by_hand(confidence, right, bins, adaptive):
    n = len(right)
    if adaptive:
        parts = np.array_split(confidence.argsort(kind="stable"), bins)  # n is a multiple of the bins
    else:
        parts = [np.flatnonzero((confidence > k / bins) & (confidence <= (k + 1) / bins)) for k in range(bins)]
    return sum(len(part) / n * abs(right[part].mean() - confidence[part].mean()) for part in parts if len(part))


def classwise_by_hand(p, labels, bins):
    """Each class's probability as a confidence that it is the label. None is exactly 0, which would lie in no bin."""
    return np.mean([ece_by_hand(p[:, c], (labels == c).astype(float), bins, adaptive=False) for c in range(CLASSES)])


def smooth_by_hand(confidence, right):
    t = np.linspace(0, 1, 4001)[:, None]

    def error(sigma):
        mirrored = [2 * k + sign * confidence for k in range(-3, 4) for sign in (1, -1)]
        kernel = sum(norm.pdf(t, each, sigma) for each in mirrored)
        return np.trapezoid(np.abs(kernel @ (right - confidence)), t[:, 0]) / len(right)

    return brentq(lambda sigma: error(sigma) - sigma, 1e-3, 1)


def strata_by_hand(counts):
    """Which images are in each, their entropies rounded so that like votes are alike."""
    people = entropy(counts, axis=1).round(12)
    middle = np.sort(people[people > 0])[(np.sum(people > 0) - 1) // 2]
    return {"unanimous": people == 0, "low": (people > 0) & (people <= middle), "high": people > middle}


def second_best_by_hand(p, counts):
    agrees = []
    for model, people in zip(p, counts, strict=True):
        others = np.delete(np.arange(CLASSES), people.argmax())
        if people[others].max() > 0:
            agrees.append(people[model.argsort()[-2]] == people[others].max() and model.argsort()[-2] in others)
    return np.array(agrees, float)


def by_hand(logits, labels, counts):
    """(quantity, temperature, smoothing) → terms of images, or a number; nothing of mixlens in it."""
    logits, counts = logits.astype(np.float64), counts.astype(np.float64)
    found = {}
    raw = counts / counts.sum(1, keepdims=True)
    softness = {"as trained": log_softmax(logits, axis=1)}
    for name, target in (("scaled", np.eye(CLASSES)[labels]), ("scaled to people", raw)):
        softness[name], temperatures = scaled_by_hand(logits, target)
        found["temperature", name, None] = sum(temperatures) / 2
    for name, log_p in softness.items():
        p = np.exp(log_p)
        confidence, right = p.max(1), (p.argmax(1) == labels).astype(float)
        found["nll", name, None] = -log_p[np.arange(len(labels)), labels]
        assert found["nll", name, None].mean() == pytest.approx(log_loss(labels, p))
        found["brier", name, None] = ((p - np.eye(CLASSES)[labels]) ** 2).sum(1)
        found["entropy_model", name, None] = entropy(p, axis=1)
        found["ece", name, None] = ece_by_hand(confidence, right, 10, adaptive=False)
        found["adaptive_ece", name, None] = ece_by_hand(confidence, right, 10, adaptive=True)
        found["classwise_ece", name, None] = classwise_by_hand(p, labels, 10)
        found["smooth_ece", name, None] = smooth_by_hand(confidence, right)
        found["soft_cross_entropy", name, None] = -(raw * log_p).sum(1)
        middle = (p + raw) / 2
        found["jensen_shannon", name, None] = (rel_entr(p, middle) + rel_entr(raw, middle)).sum(1) / 2
        found["total_variation", name, None] = np.abs(p - raw).sum(1) / 2
        found["second_best", name, None] = second_best_by_hand(p, counts)
        ranks = [pd.Series(entropy(q, axis=1).round(12)).rank() for q in (p, raw)]
        found["entropy_correlation", name, None] = np.corrcoef(*ranks)[0, 1]
        found["human_model", name, 0.0] = rel_entr(raw, p).sum(1)
        found["model_human_infinite", name, 0.0] = (counts == 0).any(1).astype(float)
        for a in SMOOTHING:
            people = (counts + a) / (counts.sum(1, keepdims=True) + CLASSES * a)
            found["human_model", name, a] = rel_entr(people, p).sum(1)
            found["model_human", name, a] = rel_entr(p, people).sum(1)
        for part, images in strata_by_hand(counts).items():
            for quantity, a in (
                ("soft_cross_entropy", None),
                ("human_model", 0.0),
                *(("model_human", a) for a in SMOOTHING),
            ):
                found[quantity, name, a, part] = found[quantity, name, a][images]
    found["entropy_people", None, None] = entropy(raw, axis=1)
    return found


UNITS = {"brier": "", "total_variation": "", "entropy_correlation": "", "temperature": ""} | dict.fromkeys(
    ("ece", "adaptive_ece", "classwise_ece", "smooth_ece", "second_best", "model_human_infinite"), "fraction"
)


@pytest.mark.parametrize("index", [0, 1], ids=["baseline", "mixup"])
def test_every_row_is_what_the_stored_logits_say(done, index):
    tasks, outcome = done
    logits = outcome.done[tasks[index].inputs[0].name].read_arrays("logits")["logits"]
    assert logits.shape == (TEST_IMAGES, CLASSES)
    expected = by_hand(logits, dataset().test.labels.numpy(), votes().numpy())
    rows = by_key(read_rows(outcome.done[tasks[index].name]))
    assert set(rows) == {*expected, *(("split_half", None, a) for a in SMOOTHING)}
    for which, terms in expected.items():
        row = rows[which]
        rel = 2e-3 if row.quantity == "smooth_ece" else 1e-5  # that is on a grid
        assert row.value == pytest.approx(np.mean(terms), rel=rel), which
        assert row.n == (np.size(terms) if np.size(terms) > 1 else TEST_IMAGES), which
        assert row.unit == UNITS.get(row.quantity, "nats"), which


def test_what_every_row_says_of_itself(done):
    tasks, outcome = done
    for task, augmentation in zip(tasks, ("baseline", "mixup"), strict=True):
        for row in read_rows(outcome.done[task.name]):
            assert (row.study, row.section, row.dataset, row.split) == ("tiny-study", "calibration", "tiny", "test")
            assert (row.model, row.seed, row.bound) == ("preact-resnet18(width=4)", 0, "none")
            assert (row.augmentation, row.run) == (augmentation, task.name)
            assert math.isfinite(row.value)
            assert (row.params.get("bins") == 10) == (row.quantity in ("ece", "adaptive_ece", "classwise_ece"))


def test_the_errors_are_those_of_means_over_images(done):
    """sd/√n and ± 1.96 of it, within 4 standard errors of a bootstrap of 200: 1/√400 = 5%, and the tails' shape."""
    tasks, outcome = done
    logits = outcome.done[tasks[0].inputs[0].name].read_arrays("logits")["logits"]
    rows = by_key(read_rows(outcome.done[tasks[0].name]))
    checked = 0
    for which, terms in by_hand(logits, dataset().test.labels.numpy(), votes().numpy()).items():
        row = rows[which]
        if row.quantity == "temperature":
            assert (row.stderr, row.ci_low, row.ci_high) == (None, None, None)
            continue
        assert row.ci_low <= row.value <= row.ci_high
        assert row.ci_high - row.ci_low == pytest.approx(3.92 * row.stderr, rel=0.25)
        if np.size(terms) == TEST_IMAGES:
            assert row.stderr == pytest.approx(terms.std() / math.sqrt(len(terms)), rel=0.2), which
            checked += 1
    assert checked > 20


def test_people_differ_from_themselves_as_two_halves_do(done):
    """The floor is the mean over one dealing; over 200 others it has a mean and a spread, as a z-score."""
    rows = by_key(read_rows(done[1].done[done[0][0].name]))
    counts, rng = votes().numpy(), np.random.default_rng(0)
    for a in SMOOTHING:
        floors = []
        for _ in range(200):
            total = 0.0
            for people in counts:
                dealt = rng.permutation(np.repeat(np.arange(CLASSES), people))
                middle = (len(dealt) + 1) // 2
                first, second = (np.bincount(h, minlength=CLASSES) + a for h in (dealt[:middle], dealt[middle:]))
                total += rel_entr(first / first.sum(), second / second.sum()).sum()
            floors.append(total / TEST_IMAGES)
        row = rows["split_half", None, a]
        assert abs(row.value - np.mean(floors)) / np.std(floors) < 4
        assert row.note == "D(half‖other half) of people"
        assert row.stderr > 0
    other = by_key(read_rows(done[1].done[done[0][1].name]))
    assert other["split_half", None, 0.1].value == rows["split_half", None, 0.1].value, "the model has no part in it"


def test_reliability_diagrams_are_stored_beside_the_rows(done):
    tasks, outcome = done
    run = outcome.done[tasks[0].name]
    rows = by_key(read_rows(run))
    names = [f"{name}:{part}" for name in SOFTNESS for part in ("confidence", "accuracy", "count")]
    arrays = run.read_arrays(*names)
    for name in SOFTNESS:
        confidence, accuracy, count = (arrays[f"{name}:{part}"] for part in ("confidence", "accuracy", "count"))
        assert confidence.shape == (10,)
        assert count.sum() == TEST_IMAGES
        error = np.nansum(count * np.abs(accuracy - confidence)) / TEST_IMAGES
        assert error == pytest.approx(rows["ece", name, None].value)


def test_scaling_leaves_the_order_of_classes_alone(done):
    rows = by_key(read_rows(done[1].done[done[0][0].name]))
    first = rows["second_best", "as trained", None], rows["entropy_model", "as trained", None]
    for name in ("scaled", "scaled to people"):
        assert rows["second_best", name, None].value == first[0].value
        assert rows["entropy_model", name, None].value != first[1].value


def test_scaled_to_people_a_network_is_closer_to_them_than_scaled_to_labels(done):
    """Fitted on the other half of 80 images, each is best for its own target, and both halves are alike enough."""
    for task in done[0]:
        rows = by_key(read_rows(done[1].done[task.name]))
        for quantity, best in (("human_model", "scaled to people"), ("nll", "scaled")):
            a = 0.0 if quantity == "human_model" else None
            values = {name: rows[quantity, name, a].value for name in ("scaled", "scaled to people")}
            assert min(values, key=values.get) == best
        assert rows["temperature", "scaled", None].value != rows["temperature", "scaled to people", None].value


def test_the_strata_are_parts_of_the_whole(done):
    """Means over strata, weighted by their images, are the mean over all."""
    rows = by_key(read_rows(done[1].done[done[0][0].name]))
    parts = {which: row for which, row in rows.items() if len(which) == 4}
    assert {which[3] for which in parts} == {"unanimous", "low", "high"}
    for which in {which[:3] for which in parts}:
        own = [row for part, row in parts.items() if part[:3] == which]
        assert sum(row.n for row in own) == TEST_IMAGES
        assert sum(row.n * row.value for row in own) / TEST_IMAGES == pytest.approx(rows[which].value)
    notes = {which[3]: row.note for which, row in parts.items()}
    assert notes["unanimous"] == "images on which people's entropy is 0"
    assert notes["low"].startswith("images on which people's entropy is above 0, at most ")
    assert notes["high"] == notes["low"].replace("0, at most ", "")


def test_the_cross_entropy_is_peoples_entropy_and_their_divergence(done):
    for task in done[0]:
        rows = by_key(read_rows(done[1].done[task.name]))
        for name in SOFTNESS:
            total = rows["entropy_people", None, None].value + rows["human_model", name, 0.0].value
            assert rows["soft_cross_entropy", name, None].value == pytest.approx(total)


# other studies of the same networks


def test_a_second_execute_does_no_work(done, root):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    _, outcome = worked(root, votes())
    assert outcome.fresh == 0
    assert len(outcome.done) == 6
    after = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    assert {path: after[path] for path in before} == before


def test_a_measurement_made_anew_gives_the_same_rows(done, tmp_path):
    tasks, outcome = worked(tmp_path, votes(), augmentations=["baseline"])
    assert read_rows(outcome.done[tasks[0].name]) == read_rows(done[1].done[done[0][0].name])


def test_without_people_only_the_labels_are_measured(done, root):
    tasks, outcome = worked(root)
    assert outcome.fresh == 2, "nothing is trained again"
    rows = by_key(read_rows(outcome.done[tasks[0].name]))
    quantities = {"temperature", "nll", "brier", "entropy_model", "ece", "adaptive_ece", "classwise_ece", "smooth_ece"}
    assert {quantity for quantity, _, _ in rows} == quantities
    assert {name for _, name, _ in rows} == {"as trained", "scaled"}
    with_people = by_key(read_rows(done[1].done[done[0][0].name]))
    for which, row in rows.items():
        other = with_people[which]
        assert (row.value, row.stderr, row.ci_low) == (other.value, other.stderr, other.ci_low), which


def test_the_type_of_votes_changes_nothing(done, root, tmp_path):
    np.save(tmp_path / "votes.npy", votes().numpy())
    given = {"counts": str(tmp_path / "votes.npy")}
    assert worked(root, calibration=given)[1].fresh == 0, "the same votes"
    np.save(tmp_path / "votes.npy", votes().numpy().astype(np.uint8))
    rows, own = measured(root, calibration=given), by_key(read_rows(done[1].done[done[0][0].name]))
    assert {k: row.value for k, row in rows.items()} == {k: row.value for k, row in own.items()}


def test_probabilities_have_no_smoothing_and_no_halves(done, root, tmp_path):
    np.save(tmp_path / "shares.npy", shares().numpy())
    rows = measured(root, calibration={"counts": str(tmp_path / "shares.npy")})
    own = by_key(read_rows(done[1].done[done[0][0].name]))
    assert set(rows) == {which for which in own if which[2] in (None, 0.0)}
    for which, row in rows.items():
        if row.quantity != "second_best":  # of ties, which rounding may break
            assert row.value == pytest.approx(own[which].value), which


def test_probabilities_without_zeros_give_both_directions(done, root):
    p = 0.9 * shares() + 0.1 / CLASSES
    rows = measured(root, p)
    assert ("model_human_infinite", "as trained", 0.0) not in rows
    logits = done[1].done[done[0][0].inputs[0].name].read_arrays("logits")["logits"].astype(np.float64)
    expected = rel_entr(np.exp(log_softmax(logits, axis=1)), p.numpy()).sum(1).mean()
    assert rows["model_human", "as trained", 0.0].value == pytest.approx(expected)


def test_people_who_all_agree_leave_nothing_to_rank(done, root):
    """No second choice, no spread of entropies: no rows, in place of rows that say nothing."""
    labels = dataset().test.labels
    rows = measured(root, 6 * nn.functional.one_hot(labels, CLASSES))
    assert {row.params.get("stratum") for row in rows.values()} == {None, "unanimous"}
    assert not {"second_best", "entropy_correlation"} & {which[0] for which in rows}
    assert rows["entropy_people", None, None].value == 0
    assert rows["human_model", "as trained", 0.0].value == pytest.approx(rows["nll", "as trained", None].value)
    assert rows["model_human_infinite", "scaled", 0.0].value == 1


def test_mistakes_are_known_before_anything_is_trained():
    with pytest.raises(InputError, match="the rows are in another order"):
        planned(votes().flip(0))


def test_votes_that_change_while_the_study_runs_are_noticed(tmp_path):
    chosen = study(votes(), augmentations=["baseline"])
    tasks = tasks_of(chosen, dataset())
    np.save(chosen.settings["calibration"].counts, 2 * votes().numpy())
    reasons = execute(tasks, Store(tmp_path), context_of(chosen, dataset())).failed.values()
    assert any("changed while the study ran" in reason for reason in reasons)
