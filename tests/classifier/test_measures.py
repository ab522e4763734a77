import numpy as np
import pytest
import torch
from helpers import BACKEND
from sklearn.metrics import roc_auc_score
from torch import nn

from mixlens.analysis.errors import InputError
from mixlens.classifier.measures import among_largest, predict, right_and_nll, roc_auc, to_unit

IMAGES = torch.randint(256, (11, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_batches_change_nothing_and_leave_no_graph():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 5)).double()
    model.register_forward_pre_hook(lambda _, inputs: inputs[0].double())
    whole, parts = predict(model, IMAGES, BACKEND), predict(model, IMAGES, BACKEND, batch_size=4)
    assert torch.equal(whole, parts)
    assert whole.dtype == torch.float32
    assert not whole.requires_grad


def test_images_become_numbers_from_0_to_1():
    assert torch.equal(to_unit(IMAGES, BACKEND), IMAGES / 255)


def test_the_likelihood_is_the_softmaxs():
    logits = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    right, nll = right_and_nll(logits, torch.tensor([0, 1, 1]))
    assert right.tolist() == [True, False, True]
    assert torch.allclose(nll, -torch.log(torch.tensor([0.5, 1 / (1 + 2.718281828**2), 1 / (1 + 2.718281828**-3)])))


def flat(*more):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 5), *more).eval()


class Pair(nn.Module):
    def forward(self, x):
        return x, x


@pytest.mark.parametrize(
    ("model", "images", "words"),
    [
        (flat(), IMAGES / 255, r"expected images as uint8 \(N, C, H, W\); got \(11, 3, 4, 4\) of torch\.float32"),
        (flat(), IMAGES[0], r"got \(3, 4, 4\)"),
        (flat(), IMAGES[:0], r"got \(0, 3, 4, 4\)"),
        (nn.Sequential(*flat(), nn.Dropout()).train(), IMAGES, r"model's 2 \(Dropout\) is in training mode"),
        (flat(nn.BatchNorm1d(5, track_running_stats=False)), IMAGES, "normalises by the batch at hand"),
        (flat(Pair()), IMAGES, "returns tuple; expected one tensor of logits"),
        (nn.Flatten(0), IMAGES, r"returns \(528,\) for 11 images"),
    ],
)
def test_what_gives_no_predictions(model, images, words):
    with pytest.raises(InputError, match=words):
        predict(model, images, BACKEND)


def test_arrays_are_taken():
    assert torch.equal(predict(flat(), IMAGES.numpy(), BACKEND), predict(flat(), IMAGES, BACKEND))


def test_a_label_is_among_the_largest_by_its_rank():
    logits = torch.arange(12.0).repeat(3, 1)
    labels = torch.tensor([11, 7, 6])
    assert among_largest(logits, labels, 5).tolist() == [True, True, False]
    assert among_largest(logits, labels, 1).tolist() == right_and_nll(logits, labels)[0].tolist()
    assert among_largest(logits, labels, 12).all()


# the area under the ROC curve


def scored(count, share, seed=0, ties=False):
    """Logits that know something of their labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(count, generator=generator) < share).long()
    logits = torch.randn(count, 2, generator=generator)
    logits[:, 1] += labels
    return (2 * logits).round() if ties else logits, labels


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_the_area_is_scikit_learns(share, ties):
    logits, labels = scored(500, share, ties=ties)
    area = roc_auc(logits, labels).mean().item()
    assert area == pytest.approx(roc_auc_score(labels, logits[:, 1] - logits[:, 0]), abs=1e-12)


def test_closed_forms_of_the_area():
    labels = torch.tensor([0, 0, 1, 1])
    apart = torch.tensor([[0.0, 0], [0, 1], [0, 2], [0, 3]])
    assert roc_auc(apart, labels).tolist() == [1, 1, 1, 1]
    assert roc_auc(-apart, labels).mean() == 0
    assert roc_auc(torch.zeros(4, 2), labels).mean() == 0.5
    # Of the pairs (0, 1), (0, 2), (1, 1) and (1, 2) the third is half right.
    assert roc_auc(torch.tensor([[0.0, 0], [0, 1], [0, 1], [0, 2]]), labels).mean() == 3.5 / 4


@pytest.mark.parametrize("label", [0, 1])
def test_labels_of_one_class_have_no_area(label):
    assert roc_auc(torch.randn(5, 2), torch.full((5,), label)) is None


def delong(scores, labels):
    """The variance of DeLong, DeLong and Clarke-Pearson, pair by pair."""
    above, below = scores[labels == 1], scores[labels == 0]
    pairs = (above[:, None] > below) + 0.5 * (above[:, None] == below)
    return pairs.mean(1).var(ddof=1) / len(above) + pairs.mean(0).var(ddof=1) / len(below)


def test_the_error_of_the_area_is_delongs_and_the_bootstraps():
    logits, labels = scored(800, 0.2, ties=True)
    scores, y = (logits[:, 1] - logits[:, 0]).numpy(), labels.numpy()
    error = roc_auc(logits, labels).std().item() / len(y) ** 0.5
    assert error == pytest.approx(delong(scores, y) ** 0.5, rel=0.01)
    rng = np.random.default_rng(0)
    drawn = (rng.integers(0, len(y), len(y)) for _ in range(600))
    assert error == pytest.approx(np.std([roc_auc_score(y[k], scores[k]) for k in drawn]), rel=0.1)


@pytest.mark.slow
def test_the_error_of_a_difference_is_that_of_paired_areas():
    """Two networks that share most of what they know: the bootstrap draws the same images for both."""
    logits, labels = scored(800, 0.2)
    other = logits + 0.3 * torch.randn(logits.shape, generator=torch.Generator().manual_seed(1))
    terms = roc_auc(logits, labels) - roc_auc(other, labels)
    error = terms.std().item() / len(terms) ** 0.5
    y, scores = labels.numpy(), [(one[:, 1] - one[:, 0]).numpy() for one in (logits, other)]
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, len(y), len(y)) for _ in range(600)]
    areas = [[roc_auc_score(y[k], one[k]) for k in drawn] for one in scores]
    assert error == pytest.approx(np.std(np.subtract(*areas)), rel=0.1)
    assert error < 0.6 * np.std(areas[0])
