import copy
import dataclasses
import subprocess
import sys

import pytest
import torch
from torch import nn

from mixlens.analysis.errors import InputError
from mixlens.analysis.training.backend import Backend, environment, make_backend, stream_seed


@pytest.fixture(autouse=True)
def _same_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_auto_resolves_to_what_is_here():
    backend = make_backend()
    assert backend.device.type in ("cpu", "cuda", "mps")
    assert backend.precision in ("fp32", "bf16")
    assert make_backend(str(backend.device), backend.precision) == backend


@pytest.mark.parametrize("unit", ["amx_tile", "avx512_bf16", None])
def test_a_cpu_that_multiplies_bf16_itself_trains_in_it(unit, monkeypatch):
    for name in ("amx_tile", "avx512_bf16"):
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda name=name: name == unit, raising=False)
    assert make_backend("cpu").precision == ("fp32" if unit is None else "bf16")


def test_what_is_asked_for_is_taken():
    backend = make_backend("cpu", "bf16", compile=True, deterministic=True)
    assert dataclasses.astuple(backend) == (torch.device("cpu"), "bf16", True, True, None, None)
    assert backend.apart() is backend, "a CPU has no streams"
    assert make_backend("cpu", "fp32").precision == "fp32"


def test_threads_are_set():
    make_backend("cpu", threads=1)
    assert torch.get_num_threads() == 1
    make_backend("cpu")
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(("given", "nearest"), [("cdua", "cuda"), ("cpuu", "cpu"), ("Auto", "auto"), ("gpu", "cpu")])
def test_an_unknown_device_is_named_with_the_nearest(given, nearest):
    with pytest.raises(InputError, match=rf"unknown device '{given}'\. Did you mean '{nearest}'\?"):
        make_backend(given)


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")
@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_an_absent_gpu_is_named(name):
    with pytest.raises(InputError, match=rf"device '{name}' is not usable here: .*\. Try --device cpu\.") as caught:
        make_backend(name)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="MPS is here")
def test_an_absent_mps_is_named():
    with pytest.raises(InputError, match="device 'mps' is not usable here"):
        make_backend("mps")


@pytest.mark.parametrize("name", ["cuda:one", "cpu:x", "cpu:"])
def test_a_malformed_device_index_is_refused(name):
    with pytest.raises(InputError, match=f"device '{name}'"):
        make_backend(name)


@pytest.mark.parametrize("precision", ["bf15", "float32", "", "BF16"])
def test_an_unknown_precision_is_refused(precision):
    with pytest.raises(InputError, match=f"unknown precision '{precision}'"):
        make_backend("cpu", precision)


def test_the_nearest_precision_is_suggested():
    with pytest.raises(InputError, match="Did you mean 'fp32'"):
        make_backend("cpu", "fp23")


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_below_one_are_refused(threads):
    before = torch.get_num_threads()
    with pytest.raises(InputError, match=f"threads must be at least 1, got {threads}"):
        make_backend("cpu", threads=threads)
    assert torch.get_num_threads() == before


# seeds


def test_stream_seeds_differ_per_purpose_and_stay():
    purposes = [("vae", p, s, r) for p in ("weights", "images", "mixing") for s in range(20) for r in range(2)]
    seeds = {stream_seed(*purpose) for purpose in purposes}
    assert len(seeds) == len(purposes)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert stream_seed("a", 1) == stream_seed("a", 1)
    assert stream_seed("a", 12) != stream_seed("a1", 2), "the parts do not run together"
    # the first 8 bytes of sha256("vae\x1fimages\x1f0"), little-endian, halved: results on disk depend on it
    assert stream_seed("vae", "images", 0) == 3173375760603621074


def test_generators_of_two_purposes_are_two_streams():
    backend = make_backend("cpu")
    draws = [
        torch.rand(5, generator=backend.generator(*purpose)) for purpose in (("a", 0), ("a", 0), ("b", 0), ("a", 1))
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[3])


# what a backend does


def test_networks_are_channels_last_on_the_cpu():
    weight = make_backend("cpu").prepare(nn.Conv2d(3, 8, 3)).weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


STEPS_OF_A_NETWORK = """
import torch
from torch import nn
from mixlens.analysis.training.backend import make_backend

torch.set_num_threads(2)
network = make_backend("cpu").prepare(nn.Sequential(nn.Conv2d(8, 16, 1, stride=2, bias=False)))
x = torch.randn(7, 8, 32, 32).contiguous(memory_format=torch.channels_last)
for _ in range(20):
    network(x).square().mean().backward()
"""


def test_a_batch_that_threads_do_not_divide_ends_no_process():
    """torch 2.14.1 does, of a network that is not prepared: the lines in docs/reliability.md."""
    subprocess.run([sys.executable, "-c", STEPS_OF_A_NETWORK], check=True, timeout=120)


@pytest.mark.parametrize(
    "conv",
    [nn.Conv2d(3, 4, 1, stride=2), nn.Conv2d(3, 4, 1, stride=(1, 3), bias=False), nn.Conv2d(3, 4, 1, 2, "valid")],
)
def test_steps_before_a_pointwise_convolution_are_steps_in_it(conv):
    x = torch.randn(5, 3, 9, 8, generator=torch.Generator().manual_seed(0))
    prepared = make_backend("cpu").prepare(copy.deepcopy(conv))
    assert prepared.state_dict().keys() == conv.state_dict().keys()
    assert prepared.stride == conv.stride
    expected, found = conv(x), prepared(x)
    torch.testing.assert_close(found, expected)
    gradients = [
        torch.autograd.grad(y.square().sum(), one.parameters()) for y, one in ((found, prepared), (expected, conv))
    ]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    "conv",
    [nn.Conv2d(4, 4, 1, stride=2, groups=2), nn.Conv2d(3, 4, 1, stride=2, padding=1), nn.Conv2d(3, 4, 3, stride=2)],
)
def test_other_convolutions_stay_as_they_are(conv):
    assert type(make_backend("cpu").prepare(conv)) is nn.Conv2d


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast_follows_the_precision(precision, dtype):
    with make_backend("cpu", precision).autocast():
        assert nn.functional.linear(torch.ones(2, 4), torch.ones(3, 4)).dtype == dtype


@pytest.mark.parametrize("switch", [False, True])
def test_the_deterministic_switch_is_put_back(switch):
    before = torch.are_deterministic_algorithms_enabled()
    with pytest.raises(KeyError), make_backend("cpu", deterministic=switch).session():  # noqa: PT012
        assert torch.are_deterministic_algorithms_enabled() == (switch or before)
        raise KeyError
    assert torch.are_deterministic_algorithms_enabled() == before


def test_the_environment_is_plain_and_complete():
    found = environment(make_backend("cpu", "fp32", threads=1))
    assert found["device"] == "cpu"
    assert found["threads"] == 1
    assert found["torch"] == torch.__version__
    assert found["hardware"]
    assert {"mixlens", "commit", "python", "numpy", "precision", "compile", "deterministic"} <= set(found)
    assert all(isinstance(value, str | int | bool | None) for value in found.values())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_full_precision_is_no_tf32_and_the_switches_are_put_back(precision):
    """On a CUDA backend convolutions would round to ten bits by default; the switches themselves exist everywhere."""
    backend = Backend(torch.device("cuda"), precision)
    parts = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    before = [part.fp32_precision for part in parts]
    with backend.session():
        assert [part.fp32_precision for part in parts] == (["ieee"] * 2 if precision == "fp32" else before)
    assert [part.fp32_precision for part in parts] == before


def test_tf32_holds_for_as_long_as_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    backend = Backend(torch.device("cuda"), "fp32")
    parts = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    with backend.session():
        with backend.tf32():
            assert [part.fp32_precision for part in parts] == ["tf32"] * 2
        assert [part.fp32_precision for part in parts] == ["ieee"] * 2


@pytest.mark.parametrize("device", ["cpu", "mps", "cuda"])
def test_tf32_is_refused_where_there_is_none(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    with pytest.raises(InputError, match=f"from Ampere on, not of {device}"):
        Backend(torch.device(device), "fp32").tf32()


def test_global_draws_go_on_when_they_are_entered_again():
    draws, backend = torch.rand, make_backend("cpu")
    torch.manual_seed(3)
    outer = draws(4)
    torch.manual_seed(3)
    inner = backend.global_draws("a", 1)
    with inner:
        first = draws(2)
    assert torch.equal(draws(2), outer[:2]), "the draws outside go on as if nothing had been drawn inside"
    with inner:
        second = draws(2)
    assert torch.equal(draws(2), outer[2:])
    with backend.global_draws("a", 1):
        assert torch.equal(draws(4), torch.cat([first, second]))
    with backend.global_draws("a", 2):
        assert not torch.equal(draws(2), first)


def test_compiling_without_a_compiler_is_refused_at_once(monkeypatch):
    from torch._inductor import cpp_builder

    def none():
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none)
    with pytest.raises(InputError, match=r"--compile needs a C\+\+ compiler: No working .* leave --compile out"):
        make_backend("cpu", compile=True)
    assert not make_backend("cpu").compile
