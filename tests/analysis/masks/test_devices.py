"""The same masks on an accelerator as on a CPU, from the same draws, and without a wait."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mixlens import CutMix, FMix, MixUp, cutmix_mask, fmix_mask
from mixlens.analysis.masks import fmix
from mixlens.analysis.masks.fmix import noise_shape

KINDS = [MixUp, CutMix, FMix]
MODES = ["elem", "batch", "batch-mask"]


# The accelerator's way, on a CPU


def noises(n, size, variant):
    """Noise of many values and of few, so that pixels tie, and none at all: a constant image."""
    shape = noise_shape(n, size, variant)
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    yield drawn
    yield drawn.round()
    single = torch.zeros(shape)
    single[:, -1] = 1  # one frequency
    yield single
    yield torch.zeros(shape)


@pytest.mark.parametrize("options", [{}, {"max_soft": 0.2}, {"salience": True}], ids=str)
@pytest.mark.parametrize("variant", ["paper", "official"])
@pytest.mark.parametrize(
    "size", [(2,), (9,), (16,), (5000,), (2, 1), (8, 8), (5, 8), (7, 3), (32, 32), (4, 6, 5), (5, 3, 3)], ids=str
)
def test_its_masks_are_the_cpus_bit_for_bit(monkeypatch, size, variant, options):
    n, options = 33, dict(options)
    if "salience" in options:
        options["salience"] = torch.rand(size, generator=torch.Generator().manual_seed(4)) + 0.1
    lam = torch.rand(n, generator=torch.Generator().manual_seed(0))
    lam[:4] = torch.tensor([0.0, 1.0, 0.5, 1e-30])
    rounding = torch.rand(n, generator=torch.Generator().manual_seed(1))
    for noise in noises(n, size, variant):
        draws = {"variant": variant, "noise": noise, "rounding": rounding, **options}
        expected = fmix_mask(lam, size, **draws)
        with monkeypatch.context() as patch:
            patch.setattr(fmix, "readable", lambda values: False)
            assert torch.equal(fmix_mask(lam, size, **draws), expected)


# On a device without values: whatever reads one, fails


class Operations(TorchDispatchMode):
    """What is dispatched, without views and empty tensors: on a GPU, each is a kernel, an FFT two and a sort four."""

    def __init__(self):
        super().__init__()
        self.names, self.devices = [], set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if not function.is_view and function.overloadpacket.__name__ not in ("empty", "_unsafe_view"):
            self.names.append(function.overloadpacket.__name__)
        self.devices |= {value.device.type for value in args if isinstance(value, torch.Tensor)}
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("make", [fmix_mask, cutmix_mask, lambda *a: fmix_mask(*a, variant="official")])
@pytest.mark.parametrize("size", [(32, 32), (1000,), (8, 9, 10)], ids=str)
def test_masks_read_and_copy_nothing(make, size):
    lam = torch.rand(64, device="meta")
    make(lam, size)  # the filter is made once, on the host
    with Operations() as operations:
        assert make(lam, size).device.type == "meta"
    assert operations.devices == {"meta"}


def test_masks_take_few_operations():
    lam = torch.rand(64, device="meta")
    fmix_mask(lam, (32, 32))
    with Operations() as operations:
        fmix_mask(lam, (32, 32))
    image = ["rand", "randn", "mul_", "_fft_c2c", "clone"]
    count = ["mul", "floor_divide", "sub", "lt", "add", "_to_copy"]
    assert operations.names == [*image, *count, "sort", "arange", "lt", "scatter_"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", MODES)
def test_mixing_reads_and_copies_nothing(kind, mode):
    x, y = torch.rand(64, 3, 32, 32, device="meta"), torch.zeros(64, dtype=torch.long, device="meta")
    mix = kind(num_classes=10, mode=mode, p=0.5, alpha=0.3)
    mix(x, y)
    with Operations() as operations:
        mixed, labels = mix(x, y)
    assert mixed.shape == x.shape
    assert labels.shape == (64, 10)
    assert operations.devices == {"meta"}


# On a GPU


@pytest.mark.gpu
@pytest.mark.parametrize("variant", ["paper", "official"])
@pytest.mark.parametrize("size", [(32, 32), (33, 20), (8, 9, 10), (1000,)], ids=str)
def test_masks_from_a_cpu_generator_agree(variant, size):
    lam = torch.rand(64, generator=torch.Generator().manual_seed(0))
    on_cpu = fmix_mask(lam, size, variant=variant, generator=torch.Generator().manual_seed(1))
    on_gpu = fmix_mask(lam.cuda(), size, variant=variant, generator=torch.Generator().manual_seed(1))
    assert on_gpu.is_cuda
    assert torch.equal(on_cpu.flatten(1).sum(1), on_gpu.cpu().flatten(1).sum(1))
    # Two FFTs differ in the last bits, which can swap the two pixels at a threshold.
    assert (on_cpu != on_gpu.cpu()).flatten(1).sum(1).max() <= 2


@pytest.mark.gpu
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_mixing_stays_on_the_device_without_a_wait(kind, mode):
    x, y = torch.rand(64, 3, 32, 32, device="cuda"), torch.zeros(64, 10, device="cuda")
    mix = kind(num_classes=10, mode=mode)
    mix(x, y)
    torch.cuda.set_sync_debug_mode("error")
    try:
        mixed, labels = mix(x, y, generator=torch.Generator("cuda").manual_seed(0))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert mixed.is_cuda
    assert labels.is_cuda


@pytest.mark.gpu
def test_masks_are_made_without_a_wait():
    lam = torch.rand(1024, device="cuda")
    fmix_mask(lam, (32, 32))
    torch.cuda.set_sync_debug_mode("error")
    try:
        masks = fmix_mask(lam, (32, 32))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert (masks.flatten(1).sum(1) - lam * 1024).abs().max() < 1


@pytest.mark.gpu
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_mixing_is_captured_in_a_graph(kind, mode):
    x, y = torch.rand(64, 3, 32, 32, device="cuda"), torch.zeros(64, 10, device="cuda")
    mix = kind(mode=mode)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        mix.pairs(x, y)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        batch = mix.pairs(x, y)
    masks = []
    for _ in range(2):
        graph.replay()
        assert torch.equal(batch.x, torch.lerp(x[batch.index], x, batch.mask))
        assert torch.allclose(batch.lam, batch.mask.flatten(1).mean(1))
        masks.append(batch.mask.clone())
    assert not torch.equal(*masks)  # each replay draws anew
