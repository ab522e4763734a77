"""Foolbox, called plainly, is the reference of what is broken; the closed-form count that of the work it takes."""

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from foolbox.attacks import LinfDeepFoolAttack
from foolbox.criteria import Misclassification
from foolbox.models import PyTorchModel
from safetensors.torch import load_file
from torch import nn

from mixlens.analysis.data.sources import photos
from mixlens.analysis.errors import InputError
from mixlens.classifier.model import PROBES, Classifier
from mixlens.robustness import sweep as module
from mixlens.robustness.attacks import parse_attacks
from mixlens.robustness.config import ATTACKS
from mixlens.robustness.draws import Draws
from mixlens.robustness.sweep import BROKEN, HELD, NOT_RUN, sweep

EPSILONS = (0.0, 0.002, 0.01, 0.03, 0.3)
CHEAPEST_FIRST = ("uniform-noise", "fgsm", "deepfool", "bim", "pgd")
PROTOCOLS = ("paper", "nested", "nested-worst")
CLASSES = 10
TRIED = 2 * PROBES + 2  # images that `check_classifier` shows the model


class Network(nn.Module):
    """Computes in float64 inside, so that whoever else is in a batch changes no bit by rounding."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layers = nn.Sequential(
                nn.Conv2d(3, 8, 5, stride=4),
                nn.Tanh(),
                nn.Flatten(),
                nn.Linear(392, 32),
                nn.Tanh(),
                nn.Linear(32, CLASSES),
            ).double()
        self.scale = 1.0

    def forward(self, x):
        return (self.layers(x.double() - 0.5) * self.scale).float()


class Counting(nn.Module):
    """Counts images forward and backward; remembers whether a gradient could have reached the weights."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.train(network.training)
        self.forwards = self.backwards = 0
        self.weights_with_gradients = False

    def forward(self, x):
        logits = self.network(x)
        self.forwards += len(x)
        if logits.requires_grad:
            logits.register_hook(self._count)
            self.weights_with_gradients |= any(parameter.requires_grad for parameter in self.parameters())
        return logits

    def _count(self, gradient):
        self.backwards += len(gradient)


@pytest.fixture(scope="module")
def data():
    """40 images of photographs, uint8, and their labels."""
    loaded = photos.load()
    chosen = torch.randperm(len(loaded.train), generator=torch.Generator().manual_seed(0))[:400]
    test = loaded.test.images[::25], loaded.test.labels[::25]
    return (loaded.train.images[chosen].float() / 255, loaded.train.labels[chosen]), test


@pytest.fixture(scope="module")
def images(data):
    return data[1][0]


@pytest.fixture(scope="module")
def labels(data):
    return data[1][1]


@pytest.fixture(scope="module")
def model(data):
    """Trained until about two thirds of the test images are right."""
    network, (x, y) = Network(), data[0]
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), y).backward()
        optimizer.step()
    network.zero_grad(set_to_none=True)
    return network.eval()


@pytest.fixture(scope="module")
def correct(model, images, labels):
    right = (model(images.float() / 255).argmax(1) == labels).numpy()
    assert 15 < right.sum() < 35, "some right and some wrong"
    return right


@pytest.fixture(scope="module")
def counted(model, images, labels):
    """All five attacks under each protocol: what was found, and by how many passes, without those of the trial."""
    found = {}
    for protocol in PROTOCOLS:
        counting = Counting(model)
        swept = sweep(counting, images, labels, epsilons=EPSILONS, protocol=protocol)
        found[protocol] = swept, counting.forwards - TRIED, counting.backwards
    return found


@pytest.fixture(scope="module")
def swept(counted):
    return {protocol: found for protocol, (found, _, _) in counted.items()}


def broken(found):
    return found.bits == BROKEN


def plain_foolbox(model, images, labels, attack, epsilons=EPSILONS):
    """Foolbox's own call with the list of ε; images that are wrong as they are count as broken."""
    x = images.float() / 255
    foolbox_model = PyTorchModel(model, bounds=(0, 1), device="cpu")
    _, _, success = attack(foolbox_model, x, Misclassification(labels), epsilons=list(epsilons))
    return success.numpy() | (model(x).argmax(1) != labels).numpy()


# what is broken


@pytest.mark.parametrize("name", ["fgsm", "bim", "deepfool"])
def test_paper_is_what_foolbox_finds(swept, model, images, labels, name):
    found = swept["paper"]
    (attack,) = parse_attacks([name])
    expected = plain_foolbox(model, images, labels, attack.foolbox)
    assert np.array_equal(broken(found)[found.attacks.index(name)], expected)
    assert 0 < expected[2].mean() < 1, "neither all nor none"
    assert set(np.unique(found.bits)) == {HELD, BROKEN}


@pytest.mark.parametrize(
    "name",
    [
        "FGM",
        "MIFGSM(steps=3)",
        "LinfAdamPGD(steps=3,random_start=False)",
        "L2DeepFoolAttack",
        "L2BasicIterativeAttack",
        "LInfFMNAttack(steps=5)",
        "InversionAttack",
        "DDNAttack(steps=3)",
    ],
)
def test_other_attacks_of_foolboxs_too(model, images, labels, name):
    (attack,) = parse_attacks([name])
    epsilons = (0.0, 0.01, 0.1, 0.5, 1.0, *([] if np.isinf(attack.norm.p) else [4.0]))
    found = sweep(model, images, labels, attacks=[name], epsilons=epsilons)
    assert np.array_equal(broken(found)[0], plain_foolbox(model, images, labels, attack.foolbox, epsilons))
    assert broken(found)[0, -1].sum() > broken(found)[0, 0].sum(), "it breaks something"


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("name", ["pgd", "uniform-noise", "LinfRepeatedAdditiveUniformNoiseAttack(repeats=3)"])
def test_with_our_draws_foolbox_finds_the_same(swept, model, images, labels, name, seed):
    found = swept["paper"] if seed == 0 and name in ATTACKS else None
    found = found or sweep(model, images, labels, attacks=[name], epsilons=EPSILONS, seed=seed)
    (attack,) = parse_attacks([name])
    draws = Draws(attack.foolbox, "attack", seed, attack.name)
    for k, epsilon in enumerate(EPSILONS):
        draws.begin(range(len(images)), epsilon)
        with torch.random.fork_rng(devices=[]):
            expected = plain_foolbox(model, images, labels, attack.foolbox, [epsilon])[0]
        assert np.array_equal(broken(found)[found.attacks.index(name), k], expected)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_images_that_are_wrong_as_they_are_count_as_broken(swept, correct, protocol):
    found = swept[protocol]
    assert np.array_equal(found.correct, correct)
    assert (found.bits[:, :, ~correct] == BROKEN).all()
    assert (found.bits[:, 0, correct] == HELD).all(), "nothing breaks at ε = 0"
    assert found.bits.shape == (len(ATTACKS), len(EPSILONS), len(correct))
    assert found.bits.dtype == np.int8
    assert (found.attacks, found.epsilons) == (ATTACKS, EPSILONS)


def test_at_nothing_but_epsilon_0_accuracy_is_the_clean_one(model, images, labels, correct):
    found = sweep(model, images, labels, epsilons=(0.0,))
    assert (broken(found) == ~correct).all()
    assert np.isnan(found.distance).all()


def test_without_epsilon_0_the_other_bits_are_the_same(swept, model, images, labels):
    found = sweep(model, images, labels, epsilons=EPSILONS[1:])
    assert np.array_equal(found.bits, swept["paper"].bits[:, 1:])


def test_nested_bits_are_monotone_and_hold_papers(swept):
    nested, paper = broken(swept["nested"]), broken(swept["paper"])
    assert all((after >= before).all() for before, after in pairwise(np.moveaxis(nested, 1, 0)))
    assert (nested >= paper).all()
    assert set(np.unique(swept["nested"].bits)) == {HELD, BROKEN}


def test_nested_is_the_running_maximum_of_what_a_deterministic_attack_breaks(swept):
    """What the nested protocol skips is exactly what was broken before; with the same draws, for any attack."""
    for name in ("fgsm", "bim", "pgd", "uniform-noise"):
        index = ATTACKS.index(name)
        paper = np.maximum.accumulate(broken(swept["paper"])[index], axis=0)
        assert np.array_equal(broken(swept["nested"])[index], paper), name


def test_nested_deepfool_is_broken_from_its_own_distance_on(swept):
    index = ATTACKS.index("deepfool")
    clipped = np.maximum.accumulate(broken(swept["paper"])[index], axis=0)
    within = swept["nested"].distance[index] <= np.array(EPSILONS)[:, None]
    assert np.array_equal(broken(swept["nested"])[index], clipped | within)


def test_the_worst_case_of_the_protocols(swept):
    worst = {protocol: broken(swept[protocol]).any(0) for protocol in PROTOCOLS}
    assert np.array_equal(worst["nested"], worst["nested-worst"])
    assert (worst["nested"] >= worst["paper"]).all(), "accuracy is never higher"
    assert 0 < worst["nested"][2].mean() < 1


@pytest.mark.parametrize("attacks", [ATTACKS, ATTACKS[::-1]])
def test_nested_worst_runs_an_attack_where_no_cheaper_one_broke_before(swept, model, images, labels, correct, attacks):
    """Worked out from the nested bits, in which every attack ran."""
    nested = broken(swept["nested"])
    expected = np.full(nested.shape, NOT_RUN, np.int8)
    expected[:, :, ~correct] = BROKEN
    for image in np.flatnonzero(correct):
        done = False
        for k in range(len(EPSILONS)):
            for name in CHEAPEST_FIRST:
                index = ATTACKS.index(name)
                if done:
                    continue
                expected[index, k, image] = HELD
                if nested[index, k, image]:
                    expected[index, k:, image] = BROKEN
                    done = True
    order = [ATTACKS.index(name) for name in attacks]
    found = sweep(model, images, labels, attacks=attacks, epsilons=EPSILONS, protocol="nested-worst")
    assert np.array_equal(found.bits, expected[order])
    assert (found.bits == NOT_RUN).any()


# invariances


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(("batch_size", "block"), [(3, 500), (5, 13)])
def test_batch_and_block_change_nothing(swept, model, images, labels, monkeypatch, protocol, batch_size, block):
    monkeypatch.setitem(module.BLOCK, "cpu", block)
    attacks = ATTACKS if (batch_size, block) == (5, 13) else ("fgsm", "pgd", "uniform-noise", "deepfool")
    keep = [ATTACKS.index(name) for name in attacks]
    found = sweep(model, images, labels, attacks=attacks, epsilons=EPSILONS, protocol=protocol, batch_size=batch_size)
    if protocol != "nested-worst" or attacks == ATTACKS:
        assert np.array_equal(found.bits, swept[protocol].bits[keep])
    else:
        whole = sweep(model, images, labels, attacks=attacks, epsilons=EPSILONS, protocol=protocol)
        assert np.array_equal(found.bits, whole.bits)
    assert np.array_equal(found.zero_gradient, swept[protocol].zero_gradient)
    if protocol != "nested-worst":
        assert np.allclose(found.distance, swept[protocol].distance[keep], atol=1e-6, equal_nan=True)


def test_an_image_keeps_its_draws_when_others_are_left_out_behind_it(swept, model, images, labels):
    found = sweep(model, images[:9], labels[:9], epsilons=EPSILONS)
    assert np.array_equal(found.bits, swept["paper"].bits[:, :, :9])


def test_an_image_keeps_its_draws_wherever_it_stands(swept, model, images, labels):
    """Draws go by the image's number in its data set, if that is given."""
    for chosen in (list(range(0, 40, 3)), [9, 2, 33, 14, 21]):
        found = sweep(model, images[chosen], labels[chosen], epsilons=EPSILONS, numbers=chosen)
        assert np.array_equal(found.bits, swept["paper"].bits[:, :, chosen])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_order_of_images_is_free_if_they_are_numbered(swept, model, images, labels, monkeypatch, protocol):
    monkeypatch.setitem(module.BLOCK, "cpu", 16)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    found = sweep(model, images[order], labels[order], epsilons=EPSILONS, protocol=protocol, numbers=order.tolist())
    for name in ("bits", "zero_gradient", "correct"):
        assert np.array_equal(getattr(found, name), getattr(swept[protocol], name)[..., order]), name
    assert np.allclose(found.distance, swept[protocol].distance[:, order], atol=1e-6, equal_nan=True)


def test_other_numbers_are_other_draws(model, images, labels):
    attacks, epsilons = ("pgd(steps=0)", "uniform-noise"), (0.3, 0.5, 0.7, 0.8, 1.0)
    first, other = (
        sweep(model, images, labels, attacks=attacks, epsilons=epsilons, numbers=range(start, start + 40)).bits
        for start in (0, 1)
    )
    for index in range(2):
        assert not np.array_equal(first[index], other[index])


@pytest.mark.parametrize("numbers", [[], [0, 1, 2], range(41)])
def test_a_number_for_each_image(model, images, labels, numbers):
    with pytest.raises(InputError, match="numbers must be 40 integers"):
        sweep(model, images, labels, attacks=("fgsm",), epsilons=(0.01,), numbers=numbers)


def test_attacks_do_not_depend_on_each_other(swept, model, images, labels):
    for name in ATTACKS:
        found = sweep(model, images, labels, attacks=[name], epsilons=EPSILONS)
        assert np.array_equal(found.bits[0], swept["paper"].bits[ATTACKS.index(name)])


def test_uint8_and_float_images_are_the_same(swept, model, images, labels):
    found = sweep(model, images.float() / 255, labels, epsilons=EPSILONS)
    assert np.array_equal(found.bits, swept["paper"].bits)


def test_seeds_change_what_draws_and_nothing_else(model, images, labels):
    attacks = ("fgsm", "bim", "deepfool", "pgd(steps=1,rel_stepsize=0.5)", "uniform-noise")
    epsilons = (0.005, 0.01, 0.03, 0.3, 0.5, 0.8, 1.0)
    first, again, other = (
        sweep(model, images, labels, attacks=attacks, epsilons=epsilons, seed=seed).bits for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert np.array_equal(first[:3], other[:3])
    for drawing in (3, 4):
        assert not np.array_equal(first[drawing], other[drawing])


# resuming


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("after", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_an_interrupted_sweep_goes_on(counted, model, images, labels, tmp_path, monkeypatch, protocol, after):
    monkeypatch.setitem(module.BLOCK, "cpu", 16)
    expected, forwards, backwards = counted[protocol]
    rest, calls = Counting(model), []
    known = {"epsilons": EPSILONS, "protocol": protocol}

    def interrupt(count):
        calls.append(count)
        if len(calls) == after:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        sweep(model, images, labels, **known, checkpoint=checkpoint, progress=interrupt)
    done = load_file(checkpoint)["done"]
    assert 0 < int(done.sum()) < done.numel()
    reported = []
    found = sweep(rest, images, labels, **known, checkpoint=checkpoint, progress=reported.append)
    for name in ("bits", "correct", "zero_gradient"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name
    assert np.allclose(found.distance, expected.distance, atol=1e-6, equal_nan=True)
    assert rest.forwards - TRIED < forwards
    assert rest.backwards <= backwards
    assert sum(reported) == len(ATTACKS) * len(images), "what was done before counts as progress"
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.name]


def test_a_finished_sweep_is_not_run_again(swept, model, images, labels, tmp_path):
    checkpoint = tmp_path / "checkpoint.safetensors"
    first = sweep(model, images, labels, epsilons=EPSILONS, checkpoint=checkpoint)
    counting = Counting(model)
    found = sweep(counting, images, labels, epsilons=EPSILONS, checkpoint=checkpoint)
    assert counting.forwards == TRIED, "the trial of the model, and nothing else"
    assert counting.backwards == 0
    assert np.array_equal(found.bits, swept["paper"].bits)
    assert np.array_equal(found.distance, first.distance, equal_nan=True)
    assert np.array_equal(found.correct, first.correct)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_progress_counts_every_image_for_every_attack(model, images, labels, monkeypatch, protocol):
    monkeypatch.setitem(module.BLOCK, "cpu", 16)
    told = []
    sweep(model, images, labels, attacks=("fgsm", "bim"), epsilons=(0.01,), protocol=protocol, progress=told.append)
    assert sum(told) == 2 * len(images)


@pytest.mark.parametrize("other", [{"epsilons": (0.0, 0.1)}, {"attacks": ("fgsm", "bim")}, {"images": 12}])
def test_a_checkpoint_of_a_sweep_of_another_shape_is_refused(model, images, labels, tmp_path, other):
    checkpoint = tmp_path / "checkpoint.safetensors"
    given = {"attacks": ("fgsm",), "epsilons": (0.01,)}
    sweep(model, images, labels, **given, checkpoint=checkpoint)
    count = other.get("images", len(images))
    arguments = given | {key: value for key, value in other.items() if key != "images"}
    with pytest.raises(InputError, match=r"checkpoint\.safetensors is no checkpoint of this sweep.*Delete it"):
        sweep(model, images[:count], labels[:count], **arguments, checkpoint=checkpoint)


@pytest.mark.parametrize(
    "other", [{"epsilons": (0.3,)}, {"attacks": ("bim",)}, {"seed": 1}, {"protocol": "nested"}], ids=str
)
def test_a_checkpoint_of_another_sweep_of_the_same_shape_is_refused(model, images, labels, tmp_path, other):
    checkpoint = tmp_path / "checkpoint.safetensors"
    given = {"attacks": ("fgsm",), "epsilons": (0.01,)}
    sweep(model, images, labels, **given, checkpoint=checkpoint)
    with pytest.raises(InputError, match="no checkpoint of this sweep"):
        sweep(model, images, labels, **(given | other), checkpoint=checkpoint)


@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_a_damaged_checkpoint_is_refused(model, images, labels, tmp_path, content):
    checkpoint = tmp_path / "checkpoint.safetensors"
    given = {"attacks": ("fgsm",), "epsilons": (0.01,), "checkpoint": checkpoint}
    sweep(model, images, labels, **given)
    checkpoint.write_bytes(checkpoint.read_bytes()[:-7] if content is None else content)
    with pytest.raises(InputError, match=r"checkpoint\.safetensors is no checkpoint of this sweep"):
        sweep(model, images, labels, **given)


# the model is left as it was


def test_the_models_parameters_stay_as_they_were(model, images, labels):
    model.zero_grad(set_to_none=True)
    parameters = list(model.parameters())
    parameters[0].requires_grad_(False)
    try:
        wanted = [parameter.requires_grad for parameter in parameters]
        before = {name: value.clone() for name, value in model.state_dict().items()}
        counting = Counting(model)
        sweep(counting, images, labels, attacks=("fgsm", "bim", "pgd(steps=2)", "deepfool"), epsilons=(0.01,))
        assert [parameter.requires_grad for parameter in parameters] == wanted
        assert set(wanted) == {True, False}
        assert all(parameter.grad is None for parameter in parameters)
        assert counting.backwards > 0
        assert not counting.weights_with_gradients, "weights took part in a backward pass"
        assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    finally:
        parameters[0].requires_grad_(True)


def test_also_after_an_interrupt(model, images, labels):
    def interrupted(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(model, images, labels, attacks=("fgsm",), epsilons=(0.01,), progress=interrupted)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_images_and_labels_stay_as_they_were(model, images, labels):
    x, y = images.float() / 255, labels.clone()
    before = x.clone()
    sweep(model, x, y, epsilons=(0.3,))
    assert torch.equal(x, before)
    assert not x.requires_grad
    assert torch.equal(y, labels)


# the work it takes


def steps_of_deepfool(model, images, labels):
    """Of Foolbox's steps, until each image is misclassified."""
    x = images.float() / 255
    taken = torch.where(model(x).argmax(1) == labels, -1, 0)
    for steps in range(1, 51):
        attack = LinfDeepFoolAttack(steps=steps)
        perturbed = attack.run(PyTorchModel(model, bounds=(0, 1), device="cpu"), x, Misclassification(labels))
        taken[(taken < 0) & (model(perturbed).argmax(1) != labels)] = steps
        if (taken >= 0).all():
            return taken
    raise AssertionError("some image holds after 50 steps")


def passes(model, images, labels, **arguments):
    counting = Counting(model)
    sweep(counting, images, labels, **arguments)
    return counting.forwards - TRIED, counting.backwards  # without the trial of the model


def test_the_number_of_passes_of_the_published_attacks(counted, model, images, labels, correct):
    """n images, r of them right, at e ε above 0; DeepFool takes s steps.

    Forward: n predictions, r for the gradient that FGSM and BIM begin with, one check of each attack's images at each
    ε, 9 more steps of BIM's ten, all of PGD's forty; DeepFool's 1 + 2 s. Backward: of the same gradients, and 9 of the
    10 classes for DeepFool.
    """
    n, r, e = len(images), int(correct.sum()), len(EPSILONS) - 1
    steps = steps_of_deepfool(model, images, labels)[torch.from_numpy(correct)]
    forwards = n + r + r * e * (5 + 9 + 40) + int((1 + 2 * steps).sum())
    backwards = r + r * e * (9 + 40) + int((CLASSES - 1) * steps.sum())
    assert counted["paper"][1:] == (forwards, backwards)


def test_fgsm_and_bim_share_their_first_gradient(model, images, labels, correct):
    n, r, e = len(images), int(correct.sum()), len(EPSILONS) - 1
    count = {a: passes(model, images, labels, attacks=a, epsilons=EPSILONS) for a in (("fgsm",), ("bim",))}
    assert count["fgsm",] == (n + r + r * e, r)
    assert count["bim",] == (n + r + r * e * 10, r + r * e * 9)
    both = passes(model, images, labels, attacks=("fgsm", "bim"), epsilons=EPSILONS)
    assert both == (n + r + r * e * 11, r + r * e * 9)


def test_nested_deepfool_checks_only_what_its_own_perturbation_leaves_open(swept, model, images, labels, correct):
    """At each ε: the images of larger distance that no smaller ε broke."""
    steps = steps_of_deepfool(model, images, labels)[torch.from_numpy(correct)]
    bits, distance = broken(swept["nested"])[4], swept["nested"].distance[4]
    checks = sum(int(((distance > EPSILONS[k]) & ~bits[k - 1]).sum()) for k in range(1, len(EPSILONS)))
    found = passes(model, images, labels, attacks=("deepfool",), epsilons=EPSILONS, protocol="nested")
    assert found[0] == len(images) + int((1 + 2 * steps).sum()) + checks


def test_nested_protocols_do_less(counted):
    paper, nested, worst = (counted[protocol][1] for protocol in PROTOCOLS)
    assert paper > nested > worst


# what it measures besides


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_saturated_network_is_marked_where_its_gradient_is_zero(model, images, labels, monkeypatch, protocol):
    monkeypatch.setattr(model, "scale", 100.0)
    found = sweep(model, images, labels, attacks=("pgd(steps=1)", "fgsm"), epsilons=(0.0, 0.01), protocol=protocol)
    for image in range(len(images)):
        x = (images[image : image + 1].float() / 255).requires_grad_()
        logits = model(x)
        if logits.argmax(1) != labels[image]:
            assert found.zero_gradient[image] == NOT_RUN
        else:
            nn.functional.cross_entropy(logits, labels[image : image + 1]).backward()
            assert found.zero_gradient[image] == (not x.grad.any())
    model.zero_grad(set_to_none=True)
    assert {0, 1} <= set(found.zero_gradient.tolist()), "some of each"


def test_logits_times_ten_thousand_have_no_gradient_at_all(model, images, labels, correct, monkeypatch):
    monkeypatch.setattr(model, "scale", 1e4)
    found = sweep(model, images, labels, attacks=("fgsm", "bim", "uniform-noise"), epsilons=(0.03, 1.0))
    assert (found.zero_gradient[correct] == 1).mean() > 0.8
    assert (found.zero_gradient[~correct] == NOT_RUN).all()
    still = found.zero_gradient == 1
    assert (found.bits[:2, :, still] == HELD).all(), "without a gradient they do not move"


def test_zero_gradients_are_not_known_without_an_attack_that_follows_them(swept, model, images, labels):
    found = sweep(model, images, labels, attacks=("uniform-noise", "deepfool"), epsilons=(0.01,))
    assert (found.zero_gradient == NOT_RUN).all()
    assert np.array_equal(swept["paper"].zero_gradient == NOT_RUN, ~swept["paper"].correct)


@pytest.mark.parametrize("protocol", ["paper", "nested"])
def test_distances_are_those_of_foolboxs_perturbations(swept, model, images, labels, correct, protocol):
    x = images.float() / 255
    perturbed = LinfDeepFoolAttack().run(PyTorchModel(model, bounds=(0, 1), device="cpu"), x, Misclassification(labels))
    expected = (perturbed - x).abs().flatten(1).amax(1).detach().numpy()
    found = swept[protocol].distance
    assert found.dtype == np.float32
    assert np.allclose(found[ATTACKS.index("deepfool")][correct], expected[correct], atol=1e-5)
    assert np.isnan(found[:, ~correct]).all()
    assert np.isnan(found[:4]).all(), "the other attacks have no distance of their own"


def test_distances_are_infinite_where_deepfool_ran_out_of_steps(model, images, labels, correct):
    steps = steps_of_deepfool(model, images, labels).numpy()
    found = sweep(model, images, labels, attacks=("deepfool(steps=1)",), epsilons=(0.03,))
    distance = found.distance[0]
    assert np.array_equal(np.isinf(distance), correct & (steps > 1))
    assert np.isinf(distance).any()
    assert np.isfinite(distance[correct & (steps == 1)]).all()


def test_under_nested_worst_distances_are_known_where_deepfool_ran(swept):
    found = swept["nested-worst"]
    index = ATTACKS.index("deepfool")
    ran = (found.bits[index, 1] != NOT_RUN) & found.correct
    assert np.array_equal(np.isfinite(found.distance[index]), ran)


# refusals


def given(**changes):
    return {"attacks": ("fgsm",), "epsilons": (0.01,)} | changes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"protocol": "papre"}, "unknown protocol 'papre'. Did you mean 'paper'"),
        ({"epsilons": ()}, "epsilons is empty"),
        ({"epsilons": (0.2, 0.1)}, "must ascend"),
        ({"epsilons": [float("nan")]}, "finite"),
        ({"attacks": ("fgms",)}, "Did you mean 'fgsm'"),
        ({"attacks": ("fgsm", "FGM")}, "one ε cannot mean both"),
        ({"attacks": ("GenAttack",)}, r"attack 'GenAttack' cannot be swept: it is targeted"),  # it wants a target
        ({"attacks": ("DatasetAttack",)}, r"attack 'DatasetAttack' cannot be swept: it has to be fed"),
        ({"attacks": ("pgd(steps='many')",)}, "steps='many'"),
    ],
    ids=str,
)
def test_settings_that_are_refused(model, images, labels, changes, words):
    with pytest.raises(InputError, match=words):
        sweep(model, images, labels, **given(**changes))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, y: (x.float() / 255 + 0.1, y), r"lie in \[0, 1\].*before normalisation"),
        (lambda x, y: (x.float() / 255 - 0.5, y), r"lie in \[0, 1\]"),
        (lambda x, y: (x.float(), y), "reach from 0 to 255"),
        (lambda x, y: (torch.full(x.shape, torch.nan), y), r"lie in \[0, 1\]"),
        (lambda x, y: (x.int(), y), "uint8 or floats.*int32"),
        (lambda x, y: (x[0], y), r"\(N, C, H, W\), got \(3, 32, 32\)"),
        (lambda x, y: (x[:0], y[:0]), r"\(N, C, H, W\), got \(0, 3, 32, 32\)"),
        (lambda x, y: (x, y[:-1]), "labels must be 40 integers"),
        (lambda x, y: (x, y.float()), "labels must be 40 integers.*float32"),
        (lambda x, y: (x, nn.functional.one_hot(y)), r"labels must be 40 integers.*\(40, 10\)"),
        (lambda x, y: (x, y + 1), "labels run from 1 to 10, but the model has 10 outputs"),
        (lambda x, y: (x, y - 1), "labels run from -1 to 8"),
        (lambda x, y: (x[:, :, :8, :8], y), r"failed on images of shape \(3, 8, 8\)"),
    ],
)
def test_data_that_are_refused(model, images, labels, change, words):
    x, y = change(images, labels)
    with pytest.raises(InputError, match=words):
        sweep(model, x, y, **given())


class Wrapped(nn.Module):
    def __init__(self, network, change):
        super().__init__()
        self.network, self.change = network, change
        self.train(network.training)

    def forward(self, x):
        return self.change(self.network(x))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda logits: logits.softmax(1), "returns probabilities"),
        (lambda logits: (logits, None), "returns tuple"),
        (lambda logits: {"logits": logits}, "returns dict"),
        (lambda logits: logits * torch.nan, "NaN or infinity"),
        (lambda logits: logits / 0, "NaN or infinity"),
        (lambda logits: logits + torch.randn_like(logits), "random numbers"),
        (lambda logits: nn.functional.dropout(logits), "random numbers"),
        (lambda logits: logits[:, :1], r"returns \(8, 1\) for 8 images"),
        (lambda logits: logits.argmax(1), r"returns \(8,\) for 8 images"),
        (lambda logits: logits[:1], r"returns \(1, 10\) for 8 images"),
    ],
)
def test_models_that_are_refused(model, images, labels, change, words):
    with pytest.raises(InputError, match=words):
        sweep(Wrapped(model, change), images, labels, **given())


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(CLASSES), nn.Dropout(0.1)])
def test_a_model_in_training_mode_is_refused(model, images, labels, layer):
    network = nn.Sequential(model, layer)
    with pytest.raises(InputError, match=rf"1 \({type(layer).__name__}\) is in training mode: call eval"):
        sweep(network.train(), images, labels, **given())
    assert sweep(network.eval(), images, labels, **given()).bits.shape == (1, 1, 40)
    model.eval()


# what users may give


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.int8, torch.uint8])
def test_labels_of_any_integer_dtype(swept, model, images, labels, dtype):
    found = sweep(model, images, labels.to(dtype), attacks=("fgsm", "deepfool"), epsilons=EPSILONS)
    assert np.array_equal(found.bits, swept["paper"].bits[[0, 4]])


@pytest.mark.parametrize("argument", ["candidates=1", "loss='nonsense'", "steps='many'", "overshoot='much'"])
def test_arguments_that_deepfool_refuses(model, images, labels, argument):
    with pytest.raises(InputError, match="deepfool"):
        sweep(model, images, labels, **given(attacks=(f"deepfool({argument})",)))


def test_steps_that_are_no_number_are_refused_under_nested_worst_too(model, images, labels):
    attacks = ("fgsm", "pgd(steps='many')")
    with pytest.raises(InputError, match="many"):
        sweep(model, images, labels, **given(attacks=attacks, protocol="nested-worst"))


def test_an_attack_that_cannot_be_clipped_is_refused(model, images, labels):
    with pytest.raises(InputError, match="L0FMNAttack"):
        sweep(model, images, labels, **given(attacks=("L0FMNAttack(steps=20)",), epsilons=(0.5,)))


@pytest.mark.parametrize("attack", ["LInfFMNAttack(steps=5)"])
def test_a_network_that_computes_in_float64(model, images, labels, attack):
    found = [
        sweep(Wrapped(model, change), images, labels, **given(attacks=(attack,))).bits
        for change in (torch.Tensor.float, torch.Tensor.double)
    ]
    assert np.array_equal(*found)


def test_a_checkpoint_of_another_network_is_refused(model, images, labels, tmp_path):
    checkpoint = tmp_path / "checkpoint.safetensors"
    known = {"attacks": ("fgsm",), "epsilons": (0.01,), "checkpoint": checkpoint}
    sweep(model, images, labels, **known)
    other = copy.deepcopy(model)
    with torch.no_grad():
        next(other.parameters()).mul_(1.001)
    with pytest.raises(InputError, match="weights"):
        sweep(other, images, labels, **known)
    with pytest.raises(InputError, match="no checkpoint of this sweep"):
        sweep(model, 255 - images, labels, **known)


def test_a_checkpoint_in_no_folder_is_refused_at_once(model, images, labels, tmp_path):
    with pytest.raises(InputError, match="no folder"):
        sweep(model, images, labels, attacks=("pgd",), checkpoint=tmp_path / "absent" / "c.safetensors")


class NanGradient(nn.Module):
    """The same logits, with gradients that are NaN: √0 has none."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x) + (x.flatten(1).sum(1, keepdim=True) * 0).sqrt()


@pytest.mark.parametrize("attack", ["fgsm", "pgd(steps=2)", "deepfool"])
def test_gradients_that_are_nan_are_no_robustness(model, images, labels, attack):
    with pytest.raises(InputError, match="NaN or infinite"):
        sweep(NanGradient(model), images, labels, attacks=(attack,), epsilons=(0.1,))


class NanOnOne(nn.Module):
    def __init__(self, model, image):
        super().__init__()
        self.model, self.image = model, image.float() / 255

    def forward(self, x):
        same = (x - self.image).flatten(1).abs().amax(1, keepdim=True) < 1e-6
        return self.model(x).masked_fill(same, float("nan"))


def test_logits_that_are_nan_on_a_later_image_are_refused(model, images, labels):
    with pytest.raises(InputError, match="NaN or infinity on 1 of"):
        sweep(NanOnOne(model, images[20]), images, labels, attacks=("fgsm",), epsilons=(0.1,))


def test_a_checkpoint_of_another_normalisation_is_refused(model, images, labels, tmp_path):
    known = {"attacks": ("fgsm",), "epsilons": (0.01,), "checkpoint": tmp_path / "c.safetensors"}
    sweep(Classifier(model, (0.5,) * 3, (0.25,) * 3), images, labels, **known)
    with pytest.raises(InputError, match="no checkpoint of this sweep"):
        sweep(Classifier(model, (0.4,) * 3, (0.25,) * 3), images, labels, **known)


@pytest.mark.parametrize("name", ["SpatialAttack", "GenAttack", "DatasetAttack", "PointwiseAttack", "L0FMNAttack"])
def test_attacks_that_no_sweep_can_run_are_refused_with_the_reason(name):
    with pytest.raises(InputError, match=f"{name!r} cannot be swept: it|{name!r} cannot be swept: the"):
        parse_attacks([name])


def test_an_attack_that_finds_no_start_leaves_the_image_unbroken(images):
    """A network that says class 0 whatever it sees: no starting point for HopSkipJump on any image."""
    constant = nn.Sequential(nn.Flatten(), nn.Linear(images[0].numel(), 3))
    with torch.no_grad():
        constant[1].weight.zero_()
        constant[1].bias.copy_(torch.tensor([2.0, 0.0, 0.0]))
    labels = torch.zeros(4, dtype=torch.long)
    found = sweep(constant, images[:4], labels, attacks=("HopSkipJumpAttack(steps=1)",), epsilons=(0.1,))
    assert (found.bits == HELD).all()
    assert np.isinf(found.distance).all()


# memory


class Small(nn.Module):
    """A network of which the device holds the gradients of only so many images at once."""

    def __init__(self, network, most):
        super().__init__()
        self.network, self.most = network, most
        self.train(network.training)

    def forward(self, x):
        if x.requires_grad and len(x) > self.most:
            raise torch.OutOfMemoryError(f"tried to hold {len(x)} images")
        return self.network(x)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_fewer_images_are_attacked_at_once_where_memory_does_not_hold_more(model, images, labels, protocol):
    options = {"attacks": ("fgsm", "pgd(steps=2)", "deepfool(steps=5)"), "epsilons": EPSILONS, "protocol": protocol}
    said, done = [], []
    found = sweep(Small(model, 9), images, labels, **options, batch_size=20, progress=done.append, say=said.append)
    assert np.array_equal(found.bits, sweep(model, images, labels, **options).bits)
    assert said == [f"{n} images are attacked at once: memory does not hold more" for n in (10, 5)]
    assert sum(done) == 3 * len(images)


def test_memory_that_does_not_hold_one_image(model, images, labels):
    with pytest.raises(InputError, match=r"a batch of 1 under attack \(tried to hold 1 images\), and there is no sm"):
        sweep(Small(model, 0), images, labels, attacks=("fgsm",), epsilons=(0.01,))


def test_attacks_by_batch_keep_theirs(model, images, labels):
    attack = "LinfAdditiveUniformNoiseAttack", "LInfFMNAttack(steps=2)"
    with pytest.raises(InputError, match=r"LInfFMNAttack\(steps=2\) draws or stops for a batch as a whole"):
        sweep(Small(model, 5), images, labels, attacks=attack, epsilons=(0.01,))


def test_no_images_at_once(model, images, labels):
    with pytest.raises(InputError, match="batch_size must be at least 1, got 0"):
        sweep(model, images, labels, attacks=("fgsm",), epsilons=(0.01,), batch_size=0)


# whoever calls


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_caller_that_computes_no_gradients_gets_the_same_bits(model, images, labels, mode):
    options = {"attacks": ("fgsm", "deepfool(steps=5)"), "epsilons": EPSILONS}
    expected = sweep(model, images, labels, **options)
    with mode():
        found = sweep(model, images.clone(), labels.clone(), **options)
    assert np.array_equal(found.bits, expected.bits)


def test_arrays_are_taken(model, images, labels):
    options = {"attacks": ("fgsm",), "epsilons": EPSILONS}
    found = sweep(model, images.numpy(), labels.numpy(), **options)
    assert np.array_equal(found.bits, sweep(model, images, labels, **options).bits)


def test_labels_that_are_true_or_false_are_no_classes(model, images, labels):
    with pytest.raises(InputError, match=r"labels must be 40 integers, .* got torch\.bool"):
        sweep(model, images, labels > 3, attacks=("fgsm",), epsilons=(0.01,))


def test_an_epsilon_of_bytes_is_refused_under_l_infinity_alone(model, images, labels):
    with pytest.raises(InputError, match="Did you mean 8/255"):
        sweep(model, images, labels, attacks=("fgsm",), epsilons=(0.0, 8.0))
    assert sweep(model, images[:2], labels[:2], attacks=("FGM",), epsilons=(0.0, 8.0)).bits.shape == (1, 2, 2)
