import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import BACKEND, rows_of, tasks_of, tiny_dataset, tiny_study, work

from mixlens.analysis.data.dataset import Split
from mixlens.analysis.data.loader import normalise
from mixlens.analysis.errors import InputError
from mixlens.analysis.information.rate import rate, rate_per_sample
from mixlens.analysis.store.results import read_rows
from mixlens.analysis.store.runs import MODEL, Store
from mixlens.analysis.study.plan import in_order
from mixlens.analysis.training.backend import make_backend
from mixlens.vae import train
from mixlens.vae.linear import fit_linear
from mixlens.vae.measures import encode_all
from mixlens.vae.train import load_vae

TEST_IMAGES = 24
TERMS = ("rate", "rate_reconstruction", "rate_gaussian", "rate_mixture", "mse")
BOUNDS = {  # every quantity of a measurement, in order, and what it is of the information it stands for
    "rate": "upper",
    "rate_reconstruction": "upper",
    "mse": "none",
    "neg_elbo": "upper",
    "active_units": "none",
    "rate_gaussian": "upper",
    "rate_gaussian_reconstruction": "upper",
    "rate_mixture": "upper",
    "infonce": "lower",
    "leave_one_out": "upper",
    "marginal_gap_lower": "lower",
    "marginal_gap_upper": "upper",
    "latents_upper": "upper",
    "latents_canonical": "none",
    "paired_canonical": "none",
    "latents_infonce": "lower",
    "paired_infonce": "lower",
}


LINEAR = "vae-linear"


def split(count, size=32, seed=0):
    source = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=source)
    images = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear").mul(255).byte()
    return Split(images, torch.arange(count) % 4)


def dataset(size=32):
    return tiny_dataset(split(64, size), split(TEST_IMAGES, size, 1))


def study(**values):
    vae = {"latents": 4, "epochs": 3, "batch_size": 16, "precision": "fp32"}
    vae |= {"critic_steps": 20, "oracle_samples": 0} | values.pop("vae", {})
    return tiny_study("vae", vae=vae, **values)


def planned(data=None, **values):
    """The measurements of pairs; the linear VAE, which has none, is at the end of this file."""
    return [task for task in tasks_of(study(**values), data or dataset()) if task.kind != LINEAR]


def worked(root, **values):
    tasks, outcome = work(root, study(**values), dataset())
    outcome.done = {name: run for name, run in outcome.done.items() if not name.startswith(LINEAR)}
    return [task for task in tasks if task.kind != LINEAR], outcome


def values_of(rows):
    return {(row.augmentation, row.seed, row.params["pair"], row.quantity): row.value for row in rows}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("vae") / "out"


@pytest.fixture(scope="module")
def done(root):
    """One seed of the baseline and MixUp, trained and measured once for all tests here."""
    return worked(root)


# the plan


def test_the_tasks_of_a_study():
    tasks = planned(augmentations=["baseline", "mixup", "cutmix"], seeds=[0, 1])
    everything = in_order(tasks)
    kinds = [task.kind for task in everything]
    # for each seed: a reference and one VAE per augmentation; a pair for each augmentation and the self pair
    assert kinds.count("vae-train") == 2 * (1 + 3)
    assert kinds.count("vae-measure") == len(tasks) == 2 * (1 + 3)
    references = {task.inputs[0].name for task in tasks}
    assert len(references) == 2, "one reference VAE per seed"
    own = [task for task in tasks if task.inputs[0] is task.inputs[1]]
    assert len(own) == 2, "the reference with itself, as in the paper"
    null = [task for task in tasks if task.label == "measure VAE, baseline, seed 0"]
    assert len(null) == 1
    reference, second = (task.config for task in null[0].inputs)
    assert replace(reference, replicate=1) == second, "an independent training that differs in its draws alone"


def test_without_a_baseline_there_is_still_a_reference():
    tasks = planned(augmentations=["mixup"])
    assert [task.kind for task in in_order(tasks)] == ["vae-train", "vae-train", "vae-measure"]
    assert tasks[0].inputs[0].label == "train VAE, reference, seed 0"


def test_labels_are_for_people_and_differ():
    tasks = in_order(planned(seeds=[0, 1]))
    assert len({task.label for task in tasks}) == len(tasks)


def test_small_images_are_refused_before_anything_is_trained():
    with pytest.raises(InputError, match="images of 16 or more a side; data set 'tiny' has 3×12×12"):
        planned(dataset(12))


def test_a_batch_larger_than_the_data_is_refused_before_anything_is_trained():
    with pytest.raises(InputError, match=r"vae\.batch_size is 65, but there are 64"):
        planned(vae={"batch_size": 65})


def test_precision_is_resolved_in_the_plan():
    fp32, bf16, auto = (planned(vae={"precision": name})[0].inputs[0] for name in ("fp32", "bf16", "auto"))
    assert (fp32.precision, bf16.precision) == ("fp32", "bf16")
    assert auto.precision == make_backend("cpu", "auto").precision
    assert [task.settings["config"]["precision"] for task in (fp32, bf16)] == ["fp32", "bf16"]


# the numbers


def test_rows_say_what_they_are(done):
    tasks, outcome = done
    rows = rows_of(tasks, outcome)
    assert len(outcome.done) == 6
    assert outcome.fresh == 7
    pairs = [("baseline", "self"), ("baseline", "independent"), ("mixup", "independent")]
    assert [(row.augmentation, row.params["pair"]) for row in rows[:: len(BOUNDS)]] == pairs
    assert [row.quantity for row in rows] == list(BOUNDS) * 3
    for row in rows:
        assert (row.study, row.section, row.dataset, row.split) == ("tiny-study", "vae", "tiny", "test")
        assert (row.model, row.seed, row.n) == ("vae", 0, TEST_IMAGES)
        units = {"mse": "squared normalised pixels", "active_units": "latents"}
        assert row.unit == units.get(row.quantity, "nats")
        assert row.bound == BOUNDS[row.quantity]
        assert math.isfinite(row.value)
        assert row.note
        if row.ci_low is None:
            assert row.stderr is None
        else:
            assert row.ci_low <= row.value <= row.ci_high
            assert row.stderr >= 0
        if row.saturated:
            assert row.ci_low is None
        assert row.ceiling == (pytest.approx(math.log(TEST_IMAGES)) if "infonce" in row.quantity else None)
    values = values_of(rows)
    for name, seed, pair, quantity in values:
        if quantity == "rate":
            of = {q: values[name, seed, pair, q] for q in BOUNDS}
            assert of["marginal_gap_lower"] == pytest.approx(of["rate"] - of["rate_mixture"])
            assert of["marginal_gap_upper"] == pytest.approx(of["rate"] - of["infonce"])
            assert of["infonce"] <= math.log(TEST_IMAGES)
    assert {row.run for row in rows} == {task.name for task in tasks}, "not the partial folder's name"


def test_values_and_errors_are_those_of_the_arrays(done):
    tasks, outcome = done
    for task in tasks:
        run = outcome.done[task.name]
        arrays = run.read_arrays()
        for row in read_rows(run):
            if row.quantity not in arrays:
                continue
            samples = arrays[row.quantity].astype(np.float64)
            assert samples.shape == (TEST_IMAGES,)
            assert row.value == pytest.approx(samples.mean(), rel=1e-5)
            assert row.stderr == pytest.approx(samples.std(ddof=1) / math.sqrt(TEST_IMAGES), rel=1e-4)


def test_the_arrays_that_figures_need(done):
    tasks, outcome = done
    for task in tasks:
        arrays = outcome.done[task.name].read_arrays()
        assert set(arrays) == {*TERMS, "rate_per_latent", "images", "reconstructions"}
        assert arrays["images"].shape == arrays["reconstructions"].shape == (8, 32, 32, 3)
        assert arrays["images"].dtype == arrays["reconstructions"].dtype == np.uint8
        shown = np.linspace(0, TEST_IMAGES - 1, 8).astype(int)
        assert np.array_equal(arrays["images"], dataset().test.images[shown].permute(0, 2, 3, 1).numpy())
        assert not np.array_equal(arrays["images"], arrays["reconstructions"])


def test_rates_are_those_of_the_trained_networks(done):
    """The self pair's rate is the reference's; the others' is that of the VAE trained with the augmentation."""
    tasks, outcome = done
    data, latents = dataset(), study().settings["vae"].latents
    for task in tasks:
        run = outcome.done[task.name]
        vae = load_vae(outcome.done[task.inputs[1].name], latents, BACKEND)
        coded = encode_all(vae, data.test.images, data.mean, data.std, BACKEND, generator=torch.Generator())
        assert read_rows(run)[0].value == pytest.approx(coded.rate.double().mean().item(), rel=1e-6)
    own, null, mixup = (read_rows(outcome.done[task.name])[0].value for task in tasks)
    assert len({own, null, mixup}) == 3


def test_reconstructions_are_the_references(done):
    """x̂ is decoded by the reference VAE, from its own code, and encoded by the VAE that is compared with it."""
    tasks, outcome = done
    data, latents = dataset(), study().settings["vae"].latents
    for task in tasks:
        reference, trained = (load_vae(outcome.done[parent.name], latents, BACKEND) for parent in task.inputs)
        draws = BACKEND.generator("vae", "reference", 0)
        real = encode_all(reference, data.test.images, data.mean, data.std, BACKEND, generator=draws)
        row = read_rows(outcome.done[task.name])[1]
        assert row.quantity == "rate_reconstruction"
        assert row.value == pytest.approx(rate(*trained.encode(real.reconstruction)).value, rel=1e-5)


def test_a_second_execute_does_no_work(done, root):
    _, outcome = worked(root)
    assert outcome.fresh == 0
    assert outcome.done.keys() == done[1].done.keys()


def test_another_augmentation_reuses_what_is_there(done, root):
    _, outcome = worked(root, augmentations=["baseline", "mixup", "fmix+mixup"])
    assert outcome.fresh == 2


def test_the_same_seed_gives_the_same_numbers_in_another_store(done, tmp_path):
    tasks, outcome = worked(tmp_path)
    assert outcome.fresh == 7
    assert rows_of(tasks, outcome) == rows_of(*done)
    for task in tasks:
        for parent in task.inputs:
            name = parent.name
            assert (outcome.done[name] / MODEL).read_bytes() == (done[1].done[name] / MODEL).read_bytes()


def test_another_seed_gives_other_numbers(done, root):
    tasks, outcome = worked(root, seeds=[1])
    assert outcome.fresh == 6
    first, second = values_of(rows_of(*done)), values_of(rows_of(tasks, outcome))
    assert len(first) == len(second) == 3 * len(BOUNDS)
    assert not {v for v in first.values() if v} & set(second.values())  # a critic that learned nothing gives 0


def test_reconstruction_noise_changes_what_is_reencoded_only(done, root):
    tasks, outcome = worked(root, vae={"reconstruction_noise": 0.1})
    assert outcome.fresh == 3, "measured anew, not trained anew"
    before, after = values_of(rows_of(*done)), values_of(rows_of(tasks, outcome))
    assert before.keys() == after.keys()
    changed = {key[-1] for key, value in before.items() if after[key] != value}
    reencoded = {"rate_reconstruction", "rate_gaussian_reconstruction", "paired_canonical"}
    assert reencoded <= changed <= reencoded | {"paired_infonce"}


# The store is shared by studies, and the study's name is (rightly) not in a task's key: rows of a shared run carry the
# name of the study that happened to measure first. Set study (and dataset's name) when rows are collected.
def test_rows_of_a_shared_run_carry_the_first_studys_name(done, root):
    tasks, outcome = worked(root, name="another")
    assert outcome.fresh == 0
    assert {row.study for row in rows_of(tasks, outcome)} == {"tiny-study"}


def test_a_diverged_training_leaves_the_other_pairs(tmp_path, monkeypatch):
    original = train.negative_elbo
    calls = []

    def poisoned(x, reconstruction, mean, log_scale):
        calls.append(len(x))
        distortion, rate = original(x, reconstruction, mean, log_scale)
        return (distortion * (math.nan if 25 <= len(calls) < 37 else 1)), rate  # the third training

    monkeypatch.setattr(train, "negative_elbo", poisoned)
    tasks, outcome = worked(tmp_path)
    assert len(outcome.failed) == 1
    assert outcome.skipped == [tasks[2].name]
    assert set(outcome.failed) == {tasks[2].inputs[1].name}
    assert "loss became nan in epoch 1" in next(iter(outcome.failed.values()))
    assert [row.augmentation for row in rows_of(tasks[:2], outcome)] == ["baseline"] * 2 * len(BOUNDS)


# the linear VAE


def test_the_linear_vae_of_a_study(root, done):
    (task,) = [task for task in tasks_of(study(), dataset()) if task.kind == LINEAR]
    rows = {row.quantity: row for row in read_rows(Store(root).find(task.name))}
    data = dataset()
    fitted = fit_linear(data.train.images, data.mean, data.std, 4)
    x = normalise(data.test.images, data.mean, data.std).flatten(1).double()
    rates, errors = rate_per_sample(*fitted.encode(x)), fitted.squared_error(x)
    assert rows["linear_rate"].value == pytest.approx(rates.mean().item())
    assert rows["linear_mse"].value == pytest.approx(errors.mean().item() / x.shape[1])
    assert rows["linear_neg_elbo"].value == pytest.approx((rates + errors / 2).mean().item())
    assert {(row.augmentation, row.seed, row.n) for row in rows.values()} == {("", None, TEST_IMAGES)}
    assert rows["linear_neg_elbo"].bound == "upper"
