import math
import os
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import brentq
from scipy.special import log_softmax, rel_entr
from scipy.stats import entropy
from sklearn.metrics import log_loss
from torch import nn

from mixlens.analysis.data import cifar10, cifar10h
from mixlens.analysis.data.dataset import Dataset, Split
from mixlens.analysis.errors import InputError
from mixlens.analysis.store.results import read_rows
from mixlens.analysis.store.runs import Store
from mixlens.analysis.study.classifiers import SECTION as CLASSIFIERS
from mixlens.analysis.study.execute import Context, execute
from mixlens.analysis.study.plan import config_of, in_order, name_of, read_study
from mixlens.analysis.training.backend import make_backend, stream_seed
from mixlens.analysis.training.progress import Reporter
from mixlens.calibration import measures
from mixlens.calibration.config import CalibrationConfig
from mixlens.calibration.run import SECTION, human_counts, scale

BACKEND = make_backend("cpu", "fp32")
SECTIONS = {"classifier": CLASSIFIERS, "calibration": SECTION}
TEST_IMAGES, CLASSES = 80, 4
RESAMPLES = 200
SMOOTHING = [0.1, 0.5]
needs_data = pytest.mark.skipif("MIXLENS_DATA" not in os.environ, reason="needs CIFAR-10H: set MIXLENS_DATA")


def split(count, seed):
    """Four noisy checkerboards of 8 × 8 pixels. Every fifth label is another class's: nobody is always right."""
    patterns = torch.rand(CLASSES, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    shown = torch.arange(count) % CLASSES
    noise = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    clean = nn.functional.interpolate(patterns, size=8)[shown]
    labels = torch.where(torch.arange(count) % 5 == 0, (shown + 1) % CLASSES, shown)
    return Split((0.6 * clean + 0.4 * noise).mul(255).byte(), labels)


def votes():
    """From 10 to 13 votes an image; they agree on every fourth image and leave out some class on most."""
    generator = torch.Generator().manual_seed(3)
    labels = split(TEST_IMAGES, 2).labels
    p = torch.full((TEST_IMAGES, CLASSES), 0.1)
    p[torch.arange(TEST_IMAGES), labels] = 0.7
    counts = torch.zeros(TEST_IMAGES, CLASSES, dtype=torch.int64)
    for image in range(TEST_IMAGES):
        dealt = torch.multinomial(p[image], 10 + image % 4, replacement=True, generator=generator)
        counts[image] = dealt.bincount(minlength=CLASSES)
    counts[::4] = 10 * nn.functional.one_hot(labels[::4], CLASSES)
    return counts


def shares():
    return votes() / votes().sum(1, keepdim=True).double()


@cache
def splits():
    return split(160, 1), split(TEST_IMAGES, 2)


def dataset(human=None):
    return Dataset("tiny", *splits(), ("a", "b", "c", "d"), (0.5,) * 3, (0.25,) * 3, human)


def study(**values):
    classifier = {"width": 4, "epochs": 12, "learning_rate": 0.05, "batch_size": 16, "precision": "fp32"}
    calibration = {"resamples": RESAMPLES, "smoothing": SMOOTHING, "bins": 10} | values.pop("calibration", {})
    base = {"name": "tiny-study", "augmentations": ["baseline", "mixup"], "seeds": [0], "sections": ["calibration"]}
    settings = {"classifier": classifier | {"crop": 0, "flip": False}, "calibration": calibration}
    return read_study(None, SECTIONS, {**base, **values, **settings})


def plan(human=None, **values):
    return SECTION.tasks(study(**values), dataset(human), BACKEND)


def work(root, human=None, **values):
    chosen, data = study(**values), dataset(human)
    tasks = SECTION.tasks(chosen, data, BACKEND)
    outcome = execute(tasks, Store(root), Context(chosen.name, data, BACKEND, Reporter(quiet=True)))
    assert not outcome.failed
    return tasks, outcome


def measured(root, human=None, **values):
    """The rows of the baseline's measurement, by what is measured."""
    tasks, outcome = work(root, human, augmentations=["baseline"], **values)
    return by_key(read_rows(outcome.done[name_of(tasks[0])]))


def by_key(rows):
    found = {(row.quantity, row.params.get("temperature"), row.params.get("smoothing")): row for row in rows}
    assert len(found) == len(rows), "each is there once"
    return found


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("calibration") / "out"


@pytest.fixture(scope="module")
def done(root):
    """One seed of the baseline and MixUp, trained and measured once for all tests here."""
    return work(root, votes())


# the plan


def test_the_tasks_of_a_study():
    tasks = plan(votes(), augmentations=["baseline", "mixup", "fmix"], seeds=[0, 1])
    assert [task.kind for task in tasks] == ["calibration-measure"] * 6
    assert [[parent.kind for parent in task.inputs] for task in tasks] == [["classifier-measure"]] * 6
    assert tasks[0].label == "measure calibration, baseline, seed 0"
    assert len({task.label for task in in_order(tasks)}) == 18


def test_the_logits_are_those_of_the_classifier_section():
    chosen, data = study(), dataset()
    own = {name_of(task.inputs[0]) for task in SECTION.tasks(chosen, data, BACKEND)}
    assert own == {name_of(task) for task in CLASSIFIERS.tasks(chosen, data, BACKEND)}


def key(human=None, **calibration):
    return name_of(plan(human, calibration=calibration)[0])


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
    assert names[0] == names[1] == key(votes()), "given by file or with the data set"
    np.save(tmp_path / "votes.npy", 2 * votes().numpy())
    assert key(counts=str(tmp_path / "votes.npy")) != names[0], "another content under the same name"


def test_a_task_says_what_its_key_is_made_of():
    config = config_of(plan(None)[0])["config"]
    assert config == {"data": dataset().checksum, "bins": 10, "resamples": RESAMPLES, "smoothing": SMOOTHING}
    assert set(config_of(plan(votes())[0])["config"]) == {*config, "people"}


# the rows, each computed again from the stored logits


def temperature(logits, labels):
    """The zero of d NLL / d(1/T) = E Σ p z − z_label."""

    def slope(beta):
        p = np.exp(log_softmax(beta * logits, axis=1))
        return ((p * logits).sum(1) - logits[np.arange(len(labels)), labels]).mean()

    return 1 / brentq(slope, 1e-3, 1e3, xtol=1e-12)


def scaled_by_hand(logits, labels, seed=0):
    """Log-probabilities of both halves, each at the temperature of the other; the temperatures."""
    generator = torch.Generator().manual_seed(stream_seed("calibration", "halves", seed))
    order = torch.randperm(len(labels), generator=generator).numpy()
    first, second = order[: len(order) // 2], order[len(order) // 2 :]
    found = np.empty_like(logits)
    temperatures = [temperature(logits[half], labels[half]) for half in (first, second)]
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
    after, temperatures = scaled_by_hand(logits, labels)
    found["temperature", None, None] = sum(temperatures) / 2
    raw = counts / counts.sum(1, keepdims=True)
    for name, log_p in (("as trained", log_softmax(logits, axis=1)), ("scaled", after)):
        p = np.exp(log_p)
        confidence, right = p.max(1), (p.argmax(1) == labels).astype(float)
        found["nll", name, None] = -log_p[np.arange(len(labels)), labels]
        assert found["nll", name, None].mean() == pytest.approx(log_loss(labels, p))
        found["brier", name, None] = ((p - np.eye(CLASSES)[labels]) ** 2).sum(1)
        found["entropy_model", name, None] = entropy(p, axis=1)
        found["ece", name, None] = ece_by_hand(confidence, right, 10, adaptive=False)
        found["adaptive_ece", name, None] = ece_by_hand(confidence, right, 10, adaptive=True)
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
    found["entropy_people", None, None] = entropy(raw, axis=1)
    return found


UNITS = {"brier": "", "total_variation": "", "entropy_correlation": "", "temperature": ""} | dict.fromkeys(
    ("ece", "adaptive_ece", "second_best", "model_human_infinite"), "fraction"
)


@pytest.mark.parametrize("index", [0, 1], ids=["baseline", "mixup"])
def test_every_row_is_what_the_stored_logits_say(done, index):
    tasks, outcome = done
    logits = outcome.done[name_of(tasks[index].inputs[0])].read_arrays("logits")["logits"]
    assert logits.shape == (TEST_IMAGES, CLASSES)
    expected = by_hand(logits, dataset().test.labels.numpy(), votes().numpy())
    rows = by_key(read_rows(outcome.done[name_of(tasks[index])]))
    assert set(rows) == {*expected, *(("split_half", None, a) for a in SMOOTHING)}
    for which, terms in expected.items():
        row = rows[which]
        assert row.value == pytest.approx(np.mean(terms), rel=1e-4 if "temperature" in which else 1e-5), which
        assert row.n == (np.size(terms) if np.size(terms) > 1 else TEST_IMAGES), which
        assert row.unit == UNITS.get(row.quantity, "nats"), which


def test_what_every_row_says_of_itself(done):
    tasks, outcome = done
    for task, augmentation in zip(tasks, ("baseline", "mixup"), strict=True):
        for row in read_rows(outcome.done[name_of(task)]):
            assert (row.study, row.section, row.dataset, row.split) == ("tiny-study", "calibration", "tiny", "test")
            assert (row.model, row.seed, row.bound) == ("preact-resnet18", 0, "none")
            assert (row.augmentation, row.run) == (augmentation, name_of(task))
            assert math.isfinite(row.value)
            assert (row.params.get("bins") == 10) == row.quantity.endswith("ece")


def test_the_errors_are_those_of_means_over_images(done):
    """sd/√n and ± 1.96 of it, within 4 standard errors of a bootstrap of 200: 1/√400 = 5%, and the tails' shape."""
    tasks, outcome = done
    logits = outcome.done[name_of(tasks[0].inputs[0])].read_arrays("logits")["logits"]
    rows = by_key(read_rows(outcome.done[name_of(tasks[0])]))
    checked = 0
    for which, terms in by_hand(logits, dataset().test.labels.numpy(), votes().numpy()).items():
        row = rows[which]
        if row.quantity == "temperature":
            assert (row.stderr, row.ci_low, row.ci_high) == (None, None, None)
            continue
        assert row.ci_low <= row.value <= row.ci_high
        assert row.ci_high - row.ci_low == pytest.approx(3.92 * row.stderr, rel=0.25)
        if np.size(terms) > 1:
            assert row.stderr == pytest.approx(terms.std() / math.sqrt(len(terms)), rel=0.2), which
            checked += 1
    assert checked > 20


def test_people_differ_from_themselves_as_two_halves_do(done):
    """The floor is the mean over one dealing; over 200 others it has a mean and a spread, as a z-score."""
    rows = by_key(read_rows(done[1].done[name_of(done[0][0])]))
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
    other = by_key(read_rows(done[1].done[name_of(done[0][1])]))
    assert other["split_half", None, 0.1].value == rows["split_half", None, 0.1].value, "the model has no part in it"


def test_reliability_diagrams_are_stored_beside_the_rows(done):
    tasks, outcome = done
    run = outcome.done[name_of(tasks[0])]
    rows = by_key(read_rows(run))
    names = [f"{name}:{part}" for name in ("as trained", "scaled") for part in ("confidence", "accuracy", "count")]
    arrays = run.read_arrays(*names)
    for name in ("as trained", "scaled"):
        confidence, accuracy, count = (arrays[f"{name}:{part}"] for part in ("confidence", "accuracy", "count"))
        assert confidence.shape == (10,)
        assert count.sum() == TEST_IMAGES
        error = np.nansum(count * np.abs(accuracy - confidence)) / TEST_IMAGES
        assert error == pytest.approx(rows["ece", name, None].value)


def test_scaling_leaves_the_order_of_classes_alone(done):
    rows = by_key(read_rows(done[1].done[name_of(done[0][0])]))
    assert rows["second_best", "scaled", None].value == rows["second_best", "as trained", None].value
    assert rows["entropy_model", "scaled", None].value != rows["entropy_model", "as trained", None].value


def test_the_cross_entropy_is_peoples_entropy_and_their_divergence(done):
    for task in done[0]:
        rows = by_key(read_rows(done[1].done[name_of(task)]))
        for name in ("as trained", "scaled"):
            total = rows["entropy_people", None, None].value + rows["human_model", name, 0.0].value
            assert rows["soft_cross_entropy", name, None].value == pytest.approx(total)


# other studies of the same networks


def test_a_second_execute_does_no_work(done, root):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    _, outcome = work(root, votes())
    assert outcome.fresh == 0
    assert len(outcome.done) == 6
    after = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    assert {path: after[path] for path in before} == before


def test_a_measurement_made_anew_gives_the_same_rows(done, tmp_path):
    tasks, outcome = work(tmp_path, votes(), augmentations=["baseline"])
    assert read_rows(outcome.done[name_of(tasks[0])]) == read_rows(done[1].done[name_of(done[0][0])])


def test_without_people_only_the_labels_are_measured(done, root):
    tasks, outcome = work(root)
    assert outcome.fresh == 2, "nothing is trained again"
    rows = by_key(read_rows(outcome.done[name_of(tasks[0])]))
    quantities = {"temperature", "nll", "brier", "entropy_model", "ece", "adaptive_ece"}
    assert {quantity for quantity, _, _ in rows} == quantities
    with_people = by_key(read_rows(done[1].done[name_of(done[0][0])]))
    for which, row in rows.items():
        other = with_people[which]
        assert (row.value, row.stderr, row.ci_low) == (other.value, other.stderr, other.ci_low), which


def test_votes_by_file_are_measured_as_the_data_sets_own(done, root, tmp_path):
    np.save(tmp_path / "votes.npy", votes().numpy())
    given = {"counts": str(tmp_path / "votes.npy")}
    assert work(root, calibration=given)[1].fresh == 0, "the same votes"
    np.save(tmp_path / "votes.npy", votes().numpy().astype(np.uint8))
    rows, own = measured(root, calibration=given), by_key(read_rows(done[1].done[name_of(done[0][0])]))
    assert {k: row.value for k, row in rows.items()} == {k: row.value for k, row in own.items()}


def test_a_file_of_votes_comes_before_the_data_sets_own(done, root, tmp_path):
    np.save(tmp_path / "votes.npy", votes().numpy())
    assert work(root, 3 * votes(), calibration={"counts": str(tmp_path / "votes.npy")})[1].fresh == 0


def test_probabilities_have_no_smoothing_and_no_halves(done, root, tmp_path):
    np.save(tmp_path / "shares.npy", shares().numpy())
    rows = measured(root, calibration={"counts": str(tmp_path / "shares.npy")})
    own = by_key(read_rows(done[1].done[name_of(done[0][0])]))
    assert set(rows) == {(q, t, a) for q, t, a in own if a in (None, 0.0)}
    for which, row in rows.items():
        if row.quantity != "second_best":  # of ties, which rounding may break
            assert row.value == pytest.approx(own[which].value), which


def test_probabilities_without_zeros_give_both_directions(done, root):
    p = 0.9 * shares() + 0.1 / CLASSES
    rows = measured(root, p)
    assert ("model_human_infinite", "as trained", 0.0) not in rows
    logits = done[1].done[name_of(done[0][0].inputs[0])].read_arrays("logits")["logits"].astype(np.float64)
    expected = rel_entr(np.exp(log_softmax(logits, axis=1)), p.numpy()).sum(1).mean()
    assert rows["model_human", "as trained", 0.0].value == pytest.approx(expected)


def test_people_who_all_agree_leave_nothing_to_rank(done, root):
    """No second choice, no spread of entropies: no rows, in place of rows that say nothing."""
    labels = dataset().test.labels
    rows = measured(root, 6 * nn.functional.one_hot(labels, CLASSES))
    assert not {"second_best", "entropy_correlation"} & {quantity for quantity, _, _ in rows}
    assert rows["entropy_people", None, None].value == 0
    assert rows["human_model", "as trained", 0.0].value == pytest.approx(rows["nll", "as trained", None].value)
    assert rows["model_human_infinite", "scaled", 0.0].value == 1


# temperatures of two halves


def noisy(n=301):
    generator = torch.Generator().manual_seed(9)
    labels = torch.randint(0, CLASSES, (n,), generator=generator)
    logits = 3 * torch.randn(n, CLASSES, generator=generator)
    logits[torch.arange(n), labels] += 2
    return logits, labels


def halves(n, seed=0):
    """As `scale` draws them: which images lie in the first half."""
    first = torch.zeros(n, dtype=torch.bool)
    first[torch.randperm(n, generator=torch.Generator().manual_seed(seed))[: n // 2]] = True
    return first


def test_each_half_is_scaled_by_the_others_temperature():
    logits, labels = noisy()
    found, temperatures = scale(logits, labels, torch.Generator().manual_seed(0))
    first = halves(len(labels))
    for fitted, applied, used in ((first, ~first, temperatures[0]), (~first, first, temperatures[1])):
        assert used == pytest.approx(temperature(logits[fitted].double().numpy(), labels[fitted].numpy()), rel=1e-4)
        torch.testing.assert_close(found[applied], measures.log_probabilities(logits[applied], used))
    assert temperatures[0] != temperatures[1]
    assert found.isfinite().all()


def test_no_label_moves_its_own_half():
    logits, labels = noisy()
    found, temperatures = scale(logits, labels, torch.Generator().manual_seed(0))
    first = halves(len(labels))
    changed = torch.where(first & (torch.arange(len(labels)) % 3 == 0), (labels + 1) % CLASSES, labels)
    other, moved = scale(logits, changed, torch.Generator().manual_seed(0))
    assert moved[0] != temperatures[0]
    assert moved[1] == temperatures[1]
    assert torch.equal(other[first], found[first])
    assert not torch.equal(other[~first], found[~first])


def test_the_temperature_of_a_known_model_is_found_by_both_halves():
    """Labels drawn at T = 2: each half's 1/T within 4 standard errors, by its Fisher information."""
    generator = torch.Generator().manual_seed(5)
    logits = 4 * torch.randn(8000, CLASSES, generator=generator, dtype=torch.float64)
    p = torch.softmax(logits / 2, 1)
    labels = torch.multinomial(p, 1, generator=generator).squeeze(1)
    variance = (p * logits.square()).sum(1) - (p * logits).sum(1).square()
    _, temperatures = scale(logits, labels, torch.Generator().manual_seed(0))
    for found in temperatures:
        assert abs(1 / found - 0.5) * math.sqrt(variance.sum().item() / 2) < 4


# counts that cannot be


def given(path: Path | str, data=None):
    return human_counts(CalibrationConfig(counts=str(path)), data or dataset())


def saved(folder, array):
    np.save(folder / "votes.npy", array)
    return folder / "votes.npy"


def with_one(value, dtype=np.float64):
    array = votes().numpy().astype(dtype)
    array[5, 2] = value
    return array


def without_votes():
    array = votes().numpy().copy()
    array[7] = 0
    return array


def unfinished():
    array = shares().numpy().copy()
    array[9] *= 0.5
    return array


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (votes().numpy()[:-1], "has the shape (79, 4); expected (80, 4), a row for each test image in their order"),
        (votes().numpy().T, "has the shape (4, 80); expected (80, 4)"),
        (votes().numpy()[:, :3], "has the shape (80, 3); expected (80, 4)"),
        (votes().numpy()[None], "has the shape (1, 80, 4); expected (80, 4)"),
        (np.array(3), "has the shape (); expected (80, 4)"),
        (with_one(-1, np.int64), "human counts must be finite and at least 0; image 5 has -1"),
        (with_one(-0.5), "human counts must be finite and at least 0; image 5 has -0.5"),
        (with_one(math.nan), "human counts must be finite and at least 0; image 5 has nan"),
        (with_one(math.inf), "human counts must be finite and at least 0; image 5 has inf"),
        (without_votes(), "image 7 has no human votes: its counts sum to zero"),
        (with_one(0.5), "human labels with fractions are probabilities, which sum to one for each image"),
        (unfinished(), "those of image 9 sum to 0.5. Give probabilities, or whole numbers of votes."),
        (votes().numpy()[::-1], "the rows are in another order, or of another data set"),
        (
            votes().numpy()[:, [1, 2, 3, 0]],
            "people's first choice is the label on 0.0% of the images, no more than by chance",
        ),
        (votes().numpy().astype("U3"), "is no .npy array"),
        (np.zeros(3, [("votes", int)]), "is no .npy array"),
    ],
)
def test_counts_that_do_not_fit_are_one_clear_error(tmp_path, array, words):
    with pytest.raises(InputError) as caught:
        given(saved(tmp_path, array))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pickle_is_not_opened(tmp_path):
    path = tmp_path / "objects.npy"
    np.save(path, np.array([{"votes": 3}], object), allow_pickle=True)
    with pytest.raises(InputError, match=r"calibration\.counts: .*objects\.npy is no \.npy array of numbers"):
        given(path)


@pytest.mark.parametrize("content", [b"3,4\n5,6\n", b"\x93NUMPY", b"\x93NUMPY\x01\x00v\x00{'descr': '<i8', 'for"])
def test_a_file_that_is_no_array_is_one_clear_error(tmp_path, content):
    path = tmp_path / "votes.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"calibration\.counts: .*votes\.csv is no \.npy array") as caught:
        given(path)
    assert "\n" not in str(caught.value)


def test_a_file_of_several_arrays_is_refused(tmp_path):
    np.savez(tmp_path / "votes.npz", votes=votes().numpy())
    with pytest.raises(InputError, match=r"votes\.npz is no \.npy array"):
        given(tmp_path / "votes.npz")


@pytest.mark.parametrize(("name", "words"), [("missing.npy", "there is no such file"), (".", r"is no \.npy array")])
def test_a_file_that_is_not_there_is_one_clear_error(tmp_path, name, words):
    with pytest.raises(InputError, match=words):
        given(tmp_path / name)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"])
def test_votes_of_every_dtype_are_taken(tmp_path, dtype):
    found = given(saved(tmp_path, votes().numpy().astype(dtype)))
    assert measures.are_votes(found)
    torch.testing.assert_close(measures.smoothed(found, 0.1), measures.smoothed(votes(), 0.1))


def test_people_who_often_disagree_with_the_labels_are_taken(tmp_path):
    """Fewer than twice chance would be another order: here people are right on six images of ten."""
    counts = votes()
    wrong = torch.arange(TEST_IMAGES) % 5 < 2
    counts[wrong] = counts[wrong].roll(1, 1)
    assert torch.equal(given(saved(tmp_path, counts.numpy())), counts)


def test_without_a_file_the_data_sets_own_are_taken():
    assert human_counts(CalibrationConfig(), dataset()) is None
    counts = votes()
    assert torch.equal(human_counts(CalibrationConfig(), dataset(counts)), counts.double())


def test_the_data_sets_own_are_checked_as_a_file_is():
    with pytest.raises(InputError, match=r"human labels of tiny: .* the rows are in another order"):
        human_counts(CalibrationConfig(), dataset(votes().flip(0)))
    negative = votes()
    negative[3, 0] = -1
    with pytest.raises(InputError, match="human labels of tiny: human counts must be finite and at least 0; image 3"):
        human_counts(CalibrationConfig(), dataset(negative))


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.uint64])
def test_votes_of_any_number_type_are_taken(tmp_path, dtype):
    assert measures.are_votes(given(saved(tmp_path, votes().numpy().astype(dtype))))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04junk"])
def test_a_broken_file_is_one_clear_error(tmp_path, content):
    (tmp_path / "votes.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"no \.npy array of numbers"):
        given(tmp_path / "votes.npy")


def test_people_who_mostly_agree_with_two_classes_are_in_order():
    labels = torch.arange(24) % 2
    counts = 5 * torch.nn.functional.one_hot(labels, 2)
    counts[0] = torch.tensor([4, 5])
    images = torch.zeros(24, 3, 8, 8, dtype=torch.uint8)
    own = Dataset("two", Split(images, labels), Split(images, labels), ("a", "b"), (0.5,) * 3, (0.2,) * 3, counts)
    assert human_counts(CalibrationConfig(), own) is not None


def test_a_network_no_temperature_fits_has_its_other_rows():
    """Right on every image: the sharper the better, without end."""
    labels = torch.arange(60) % 3
    logits = 4 * torch.nn.functional.one_hot(labels, 3).float()
    assert scale(logits, labels, torch.Generator().manual_seed(0)) is None


def test_mistakes_are_known_before_anything_is_trained(tmp_path):
    with pytest.raises(InputError, match="the rows are in another order"):
        plan(calibration={"counts": str(saved(tmp_path, votes().numpy()[::-1]))})


# CIFAR-10H


@pytest.fixture(scope="module")
def cifar():
    return cifar10.load()


def published(name):
    path = cifar10h.status().path.with_name(name)
    if not path.is_file():
        pytest.skip(f"needs {path}, which CIFAR-10H publishes beside its counts")
    return path


@needs_data
def test_the_published_probabilities_are_those_of_the_published_counts(cifar):
    probabilities = given(published("cifar10h-probs.npy"), cifar)
    assert not measures.are_votes(probabilities)
    counts = given(published("cifar10h-counts.npy"), cifar)
    assert measures.are_votes(counts)
    assert torch.equal(counts, cifar10h.load())
    raw, own = measures.smoothed(probabilities, 0), measures.smoothed(counts, 0)
    torch.testing.assert_close(raw.exp(), own.exp(), atol=1e-12, rtol=0)
    assert measures.divergence(own, raw).abs().max() < 1e-9


@needs_data
@pytest.mark.parametrize("name", ["cifar10h-probs.npy", "cifar10h-counts.npy"])
def test_cifar10h_in_another_order_is_refused(cifar, tmp_path, name):
    array = np.load(published(name))
    for other in (array[::-1], np.roll(array, 1, 0), np.random.default_rng(0).permutation(array)):
        with pytest.raises(InputError, match="the rows are in another order"):
            given(saved(tmp_path, other), cifar)


@needs_data
def test_four_cells_of_five_have_no_vote():
    """80.6% of the cells, so that D(model‖human) is infinite on nearly every image: what the README says."""
    counts = cifar10h.load()
    assert (counts == 0).double().mean().item() == pytest.approx(0.806, abs=5e-4)
    uniform = torch.full((10_000, 10), 0.1, dtype=torch.float64).log()
    assert measures.divergence(uniform, measures.smoothed(counts, 0)).isinf().double().mean() > 0.99
    assert measures.divergence(measures.smoothed(counts, 0), uniform).isfinite().all()
