import math
import subprocess
import sys

import pytest
import torch
from torch.distributions import Normal

from mixlens.analysis.errors import InputError
from mixlens.analysis.information.pairs import GaussianScores, pair_sums, rows_within


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def encodings(n=30, d=3, seed=0):
    """Coordinates of different size, far from zero, with scales that differ by image."""
    mean, log_scale, noise = torch.randn(3, n, d, generator=generator(seed), dtype=torch.float64)
    size = torch.logspace(-1, 1, d, dtype=torch.float64)
    mean, log_scale = size * (mean + 2), size.log() - 0.7 + 0.4 * log_scale
    return mean, log_scale, mean + log_scale.exp() * noise


def matrix(mean, log_scale, z):
    """log q(z_i|x_j), one pair at a time."""
    scores = torch.empty(len(z), len(z), dtype=torch.float64)
    for i in range(len(z)):
        for j in range(len(z)):
            scores[i, j] = Normal(mean[j], log_scale[j].exp()).log_prob(z[i]).sum()
    return scores


def one_gate(part, own, others):
    return torch.ones_like(own).unsqueeze(0)


@pytest.mark.parametrize("d", [1, 3, 8])
def test_scores_are_log_densities(d):
    encoded = encodings(20, d)
    scores, out = GaussianScores(*encoded), torch.empty(20, 20, dtype=torch.float64)
    scores.rows(slice(0, 20), out)
    expected = matrix(*encoded)
    assert torch.allclose(out, expected, rtol=1e-12, atol=1e-10)
    assert torch.allclose(scores.matched, expected.diagonal(), rtol=1e-12, atol=1e-12)
    scores.rows(slice(5, 8), out[:3])
    assert torch.allclose(out[:3], expected[5:8], rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("n", [3, 30])
def test_sums_over_others(n):
    encoded = encodings(n)
    scores = matrix(*encoded)
    sums = pair_sums(GaussianScores(*encoded), lambda part, own, others: torch.stack([own, others.exp()]))
    pull = torch.zeros(2, n, dtype=torch.float64)
    for i in range(n):
        others = [scores[i, j] for j in range(n) if j != i]
        mean = torch.stack(others).exp().mean()
        assert sums.matched[i].item() == pytest.approx(scores[i, i].item(), abs=1e-10)
        assert sums.others[i].item() == pytest.approx(mean.log().item(), abs=1e-10)
        for j in range(n):
            if j != i:
                share = scores[i, j].exp() / torch.stack(others).exp().sum()
                pull[0, j] += scores[i, i] * share
                pull[1, j] += mean * share
    assert torch.allclose(sums.pull, pull, rtol=0, atol=1e-10)


def test_the_pull_without_gates_adds_to_the_number_of_rows():
    sums = pair_sums(GaussianScores(*encodings(50)), one_gate)
    assert sums.pull.sum().item() == pytest.approx(50, abs=1e-10)


@pytest.mark.parametrize("rows", [1, 7, 29, 30, 31])
def test_chunks_do_not_matter(rows):
    scores = GaussianScores(*encodings())
    whole, parts = pair_sums(scores, one_gate), pair_sums(scores, one_gate, rows * 8 * 30)
    for a, b in zip(whole, parts, strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-11)


def test_coordinates_far_from_zero_keep_their_digits():
    mean, log_scale, z = encodings()
    far = pair_sums(GaussianScores(mean + 1e5, log_scale, z + 1e5), one_gate)
    near = pair_sums(GaussianScores(mean, log_scale, z), one_gate)
    assert torch.allclose(far.others, near.others, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("memory", "n", "rows"), [(1, 100, 1), (8 * 100 * 7, 100, 7), (8 * 100 * 8 - 1, 100, 7), (2**40, 100, 100)]
)
def test_rows_within_memory(memory, n, rows):
    assert rows_within(memory, n) == rows


@pytest.mark.parametrize("memory", [0, -5])
def test_no_memory_is_refused(memory):
    with pytest.raises(InputError, match=f"memory .* at least 1; got {memory}"):
        rows_within(memory, 100)


PEAK = """
import resource, torch
from mixlens.analysis.information import leave_one_out
encoded = torch.randn(3, 20_000, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
encoded[2] = encoded[0] + encoded[1].exp() * encoded[2]
leave_one_out(*encoded[:, :100])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
leave_one_out(*encoded, memory=2**24)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
def test_a_matrix_of_all_pairs_is_never_held():
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True, timeout=300)
    assert float(done.stdout) < 150, "MiB; all pairs would take 3052"


@pytest.mark.gpu
@pytest.mark.gpu
def test_devices_agree():
    encoded = encodings(500, 8)
    on_cpu = pair_sums(GaussianScores(*encoded), one_gate)
    on_gpu = pair_sums(GaussianScores(*(values.cuda() for values in encoded)), one_gate, 8 * 500 * 64)
    assert on_gpu.others.is_cuda
    for a, b in zip(on_cpu, on_gpu, strict=True):
        assert torch.allclose(a, b.cpu(), rtol=0, atol=1e-9)


def test_one_score_far_above_the_others_stays_finite():
    mean = torch.tensor([[0.0], [1e-3], [1.0], [2.0]], dtype=torch.float64)
    sums = pair_sums(GaussianScores(mean, torch.full_like(mean, -50), mean), one_gate)
    assert all(torch.isfinite(values).all() for values in sums)
    assert sums.others[0].item() == pytest.approx(-0.5 * (1e-3 * math.exp(50)) ** 2, rel=1e-9), "the nearest one's"
