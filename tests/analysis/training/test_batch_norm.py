"""Batch normalisation of rows that several processes hold, here threads, is PyTorch's of the whole batch."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mixlens.analysis.training.batch_norm import WholeBatchNorm, batch_norm


class Threads:
    """Ranks that are threads: the same sums, in place."""

    def __init__(self, rank, world, shared):
        self.rank, self.world, self.shared = rank, world, shared

    def sum(self, values):
        barrier, slots = self.shared
        slots[self.rank] = values.clone()
        barrier.wait(10)
        total = torch.stack(slots).sum(0)
        barrier.wait(10)
        return values.copy_(total)


def in_threads(work, sizes):
    """``work(ranks, rows)`` in a thread for each of these numbers of rows."""
    shared = Barrier(len(sizes)), [None] * len(sizes)
    ends = torch.tensor(sizes).cumsum(0).tolist()
    with ThreadPoolExecutor(len(sizes)) as pool:
        return list(
            pool.map(
                lambda rank: work(Threads(rank, len(sizes), shared), slice(ends[rank] - sizes[rank], ends[rank])),
                range(len(sizes)),
            )
        )


def made(*shape):
    source = torch.Generator().manual_seed(0)
    x = 3 + 2 * torch.randn(*shape, generator=source, dtype=torch.float64)
    return (
        x,
        torch.rand(2, shape[1], generator=source, dtype=torch.float64),
        torch.randn(*shape, generator=source, dtype=torch.float64),
    )


@pytest.mark.parametrize("sizes", [(4, 4), (5, 2, 1)])
@pytest.mark.parametrize("shape", [(8, 3), (8, 3, 5), (8, 3, 4, 2)])
def test_outputs_gradients_and_running_moments_are_those_of_the_whole_batch(sizes, shape):
    x, (weight, bias), gradient = made(*shape)

    def whole():
        given = [value.clone().requires_grad_() for value in (x, weight, bias)]
        moments = torch.full((3,), 0.5).double(), torch.full((3,), 2.0).double()
        y = F.batch_norm(given[0], *moments, *given[1:], training=True, momentum=0.3, eps=1e-3)
        return y, moments, torch.autograd.grad(y, given, gradient)

    def part(ranks, rows):
        given = [value.clone().requires_grad_() for value in (x[rows], weight, bias)]
        moments = torch.full((3,), 0.5).double(), torch.full((3,), 2.0).double()
        y = batch_norm(ranks, given[0], *moments, *given[1:], momentum=0.3, eps=1e-3)
        return y, moments, torch.autograd.grad(y, given, gradient[rows])

    y, moments, gradients = whole()
    parts = in_threads(part, sizes)
    torch.testing.assert_close(torch.cat([one[0] for one in parts]), y)
    torch.testing.assert_close(torch.cat([one[2][0] for one in parts]), gradients[0])
    for place in (1, 2):  # of the weights the processes' gradients are summed
        torch.testing.assert_close(sum(one[2][place] for one in parts), gradients[place])
    for one in parts:
        torch.testing.assert_close(one[1], moments)


def test_whoever_calls_it_is_answered_and_only_in_training_mode():
    x, _, _ = made(6, 3, 4, 4)
    x = x.float()
    one, two = nn.BatchNorm2d(3), nn.BatchNorm2d(3, affine=False, track_running_stats=False)
    expected = F.relu(two(one(x)))

    def part(ranks, rows):
        network = nn.BatchNorm2d(3)
        with WholeBatchNorm(ranks):
            y = F.relu(two(network(x[rows])))
            z = network.eval()(x[rows])
        return y, z, network.state_dict()

    parts = in_threads(part, (3, 3))
    torch.testing.assert_close(torch.cat([y for y, *_ in parts]), expected)
    torch.testing.assert_close(torch.cat([z for _, z, _ in parts]), one.eval()(x))
    for *_, state in parts:
        torch.testing.assert_close(state, one.state_dict())
        assert state["num_batches_tracked"] == 1


def test_half_precision_keeps_its_type_and_is_computed_in_full():
    x, _, _ = made(6, 3, 4, 4)
    half = x.bfloat16()
    expected = F.batch_norm(half.float(), None, None, training=True)
    parts = in_threads(lambda ranks, rows: batch_norm(ranks, half[rows], None, None), (3, 3))
    assert {part.dtype for part in parts} == {torch.bfloat16}
    torch.testing.assert_close(torch.cat(parts), expected.bfloat16())
