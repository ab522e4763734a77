"""Batches put into static ones of few sizes; on a CUDA device replayed as graphs."""

import pytest
import torch

from mixlens.analysis.training.replay import SMALLEST, Replayed, replayed

CPU = torch.device("cpu")


def unsaid(text):
    raise AssertionError(text)


class Doubling:
    """Notes what it is called with."""

    def __init__(self):
        self.sizes, self.formats = [], []

    def __call__(self, x, weights):
        self.sizes.append(len(x))
        self.formats.append(x.is_contiguous(memory_format=torch.channels_last))
        return 2 * x, x.flatten(1).sum(1) * weights


def batch(rows, seed=0):
    drawn = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 3, 4, 5, generator=drawn), torch.randn(rows, generator=drawn)


@pytest.mark.parametrize("rows", [1, 2, 31, 32, 33, 64, 100])
def test_each_row_is_what_it_is_without_padding(rows):
    once = Replayed(Doubling(), CPU, unsaid)
    for seed in (0, 1):  # the second time in the same static batch
        doubled, summed = once(*batch(rows, seed))
        expected, sums = Doubling()(*batch(rows, seed))
        assert torch.equal(doubled, expected)
        assert torch.equal(summed, sums)


def test_results_are_the_callers_own():
    once = Replayed(Doubling(), CPU, unsaid)
    first, _ = once(*batch(5))
    kept = first.clone()
    once(*batch(5, 1))
    assert torch.equal(first, kept)


def test_there_are_few_sizes_and_the_memory_format_is_kept():
    doubling = Doubling()
    once = Replayed(doubling, CPU, unsaid)
    for rows in range(1, 130):
        x, weights = batch(rows)
        once(x.contiguous(memory_format=torch.channels_last), weights)
    assert sorted(set(doubling.sizes)) == [SMALLEST, 64, 128, 256]
    assert len(once._graphs) == 4
    assert all(doubling.formats)


def test_other_shapes_and_dtypes_have_static_batches_of_their_own():
    once = Replayed(Doubling(), CPU, unsaid)
    x, weights = batch(5)
    for other in (x.double(), x[:, :1], x[..., :2]):
        doubled, _ = once(other, weights)
        assert torch.equal(doubled, 2 * other)
    assert len(once._graphs) == 3


def test_a_cpu_calls_the_function_itself():
    doubling = Doubling()
    assert replayed(doubling, CPU, unsaid) is doubling


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_replayed_on_a_gpu():
    doubling = Doubling()
    once = replayed(doubling, torch.device("cuda"), unsaid)
    for seed, rows in enumerate((5, 40, 5, 33, 32, 100, 5)):
        x, weights = (each.cuda() for each in batch(rows, seed))
        doubled, summed = once(x, weights)
        assert torch.equal(doubled, 2 * x)
        assert torch.allclose(summed, x.flatten(1).sum(1) * weights)
    assert len(doubling.sizes) == 3 * 4, "three sizes, warmed three times and captured once"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_what_waits_for_the_device_is_called_as_it_is():
    said = []

    def waits(x):
        return (x * float(x[0].sum() > -1e9),)

    once = replayed(waits, torch.device("cuda"), said.append)
    x = torch.randn(40, 3, device="cuda")
    for _ in range(3):
        assert torch.equal(once(x)[0], x)
    assert len(said) == 1
    assert said[0].startswith("passes run one by one, not as a CUDA graph: ")
