import torch
from helpers import BACKEND
from torch import nn

from mixlens.classifier.measures import predict, right_and_nll, to_unit

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
