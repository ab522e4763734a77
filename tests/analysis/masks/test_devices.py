"""The same masks on an accelerator as on a CPU, from the same draws."""

import pytest
import torch

from mixlens import CutMix, FMix, MixUp, fmix_mask

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


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


@pytest.mark.parametrize("kind", [MixUp, CutMix, FMix])
def test_mixing_stays_on_the_device_without_a_wait(kind):
    x, y = torch.rand(64, 3, 32, 32, device="cuda"), torch.zeros(64, 10, device="cuda")
    mix = kind(num_classes=10)
    mix(x, y)
    torch.cuda.set_sync_debug_mode("error")
    try:
        mixed, labels = mix(x, y, generator=torch.Generator("cuda").manual_seed(0))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert mixed.is_cuda
    assert labels.is_cuda
