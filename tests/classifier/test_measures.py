import pytest
import torch
from helpers import BACKEND
from torch import nn

from mixlens.analysis.errors import InputError
from mixlens.classifier.measures import among_largest, predict, right_and_nll, to_unit

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
