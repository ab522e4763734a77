import pytest
import torch

from mixlens.classifier.probabilities import source_of_probabilities, sum_alike

Z = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("make", "source"),
    [
        (lambda z: z.softmax(1), "softmax"),
        (lambda z: z.sigmoid(), "sigmoid"),
        (lambda z: (z.softmax(1) + z.sigmoid()) / 2, "sigmoid"),  # the first by name
        (lambda z: torch.stack([z.softmax(1)] * 3, 1).mean(1).unsqueeze(2).squeeze(2)[:, :3], "softmax"),
        (lambda z: torch.cat([1 - z.sigmoid()[:, :1], z.sigmoid()[:, :1]], 1), "sigmoid"),
        (lambda z: z.softmax(1) * torch.rand(4, requires_grad=True), "softmax"),
        (lambda z: z.softmax(1).double(), "softmax"),
        (lambda z: z.softmax(1) @ torch.eye(4), ""),  # a layer follows
        (lambda z: z.softmax(1).log(), ""),
        (lambda z: z.log_softmax(1), ""),
        (lambda z: z.softmax(1) * (z @ torch.eye(4)), ""),  # a gate
        (lambda z: z * 2, ""),
        (lambda z: z.detach().softmax(1), ""),  # no graph tells
    ],
)
def test_what_outputs_come_from(make, source):
    assert source_of_probabilities(make(Z.clone().requires_grad_())) == source


def test_a_graph_of_many_paths_is_read_once():
    outputs = Z.clone().requires_grad_().softmax(1)
    for _ in range(200):
        outputs = outputs + outputs * 0.5
    assert source_of_probabilities(outputs) == "softmax"


@pytest.mark.parametrize(
    ("values", "alike"),
    [
        (Z.softmax(1), True),
        (3 * Z.softmax(1), True),
        (torch.full((6, 4), 0.25), True),
        (torch.ones(6, 4), False),  # a network that has learnt nothing
        (Z.sigmoid(), False),
        (Z - Z.mean(1, keepdim=True), False),
    ],
)
def test_rows_that_sum_alike(values, alike):
    assert sum_alike(values) is alike
