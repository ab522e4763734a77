"""Where and how training runs: device, precision, memory format, compilation, threads, seeds."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, get_args

import torch
from torch import Generator, Tensor, nn

from ..data.decoders import use
from ..errors import InputError, first_line, unknown

if TYPE_CHECKING:
    from .ranks import Ranks

Precision = Literal["fp32", "bf16"]
Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Backend:
    """How tensors are computed with. ``precision`` changes results and belongs to a run's key; the rest does not."""

    device: torch.device
    precision: Precision
    compile: bool = False
    deterministic: bool = False
    stream: torch.cuda.Stream | None = None  # on which a task's work is queued; None: the device's default
    ranks: Ranks | None = None  # the processes that a training is divided among; None: it is not

    @property
    def channels_last(self) -> bool:
        """Channels-last convolutions: twice as fast on CPUs and with bf16 on CUDA; MPS gains nothing."""
        return self.device.type != "mps"

    def apart(self) -> Backend:
        """The same on a stream of its own, so that the work of several tasks fills a CUDA device."""
        if self.device.type != "cuda":
            return self
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        return replace(self, stream=stream)

    def resolve(self, precision: str) -> Precision:
        """What ``auto`` stands for on this device: bf16 where the hardware multiplies it natively, else fp32.

        Raises:
            InputError: an unknown precision.
        """
        if precision == "auto":
            return "bf16" if _has_bf16(self.device) else "fp32"
        if precision not in get_args(Precision):
            raise unknown("precision", precision, ("auto", *get_args(Precision)))
        return cast(Precision, precision)

    def prepare(self, module: Module, tried: Tensor | None = None) -> Module:
        """The module on the device, in its memory format.

        One that fails on images ``tried`` (B, C, H, W) in that format alone, as `view` after a convolution does, is
        contiguous, and is handed contiguous images whatever it is called on.
        """
        module = module.to(self.device)
        if not self.channels_last or (tried is not None and tried.ndim != 4):  # the format is of images
            return module
        module = module.to(memory_format=torch.channels_last)
        if self.device.type == "cpu":
            _Points.replace_in(module)
        if tried is not None and not _runs(module, self, tried.contiguous(memory_format=torch.channels_last)):
            contiguous = module.to(memory_format=torch.contiguous_format)
            if _runs(contiguous, self, tried.contiguous()):
                contiguous.register_forward_pre_hook(_as_contiguous)
                return contiguous
            module = contiguous.to(memory_format=torch.channels_last)
        return module

    def autocast(self) -> torch.autocast:
        return torch.autocast(
            self.device.type,
            dtype=torch.bfloat16,
            enabled=self.precision == "bf16",
            cache_enabled=self.device.type != "cuda",
        )

    def generator(self, *purpose: object) -> Generator:
        """A generator on the device, seeded by what it is for: ``backend.generator(seed, "noise")``."""
        return Generator(device=self.device).manual_seed(stream_seed(*purpose))

    def global_draws(self, *purpose: object) -> GlobalDraws:
        """PyTorch's own generators, from which dropout draws, as this purpose seeds them."""
        return GlobalDraws(self.device, stream_seed(*purpose))

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        """Sets stream, deterministic switch and fp32 that is no TF32, for a turn of a task, and puts them back."""
        before = torch.are_deterministic_algorithms_enabled()
        if self.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)
        exact = self.precision == "fp32" and self.device.type == "cuda"
        try:
            with torch.cuda.stream(self.stream), _fp32("ieee" if exact else None):  # None: nothing changes
                yield
        finally:
            torch.use_deterministic_algorithms(before)

    def check_tf32(self) -> None:
        """Raises InputError where the device has no TF32."""
        if self.device.type != "cuda" or torch.cuda.get_device_capability(self.device)[0] < 8:
            raise InputError(f"tf32 is a precision of NVIDIA GPUs from Ampere on, not of {self.device.type}. Use fp32.")

    def tf32(self) -> contextlib.AbstractContextManager[None]:
        """fp32 products rounded to TF32's ten bits meanwhile. Raises InputError where the device has none."""
        self.check_tf32()
        return _fp32("tf32")


CPU = Backend(torch.device("cpu"), "fp32")


def _runs(module: nn.Module, backend: Backend, x: Tensor) -> bool:
    """Whether a pass in eval mode goes through."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        with torch.no_grad(), backend.autocast():
            module.eval()(x.to(backend.device))
    except (Exception, SystemExit):  # whatever it raises; the doors say what
        return False
    finally:
        for part, training in modes:
            part.training = training
    return True


def _as_contiguous(module: nn.Module, images: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(x.contiguous() if isinstance(x, Tensor) else x for x in images)


class _Points(nn.Conv2d):
    """A 1×1 convolution in steps, which are taken before it: the same.

    PyTorch 2.14.1 writes beyond its memory in the gradient of such a convolution's weights, channels last, unless the
    threads of a CPU divide the images evenly (docs/reliability.md).
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return nn.functional.conv2d(input[..., :: self.stride[0], :: self.stride[1]], self.weight, self.bias)

    @classmethod
    def replace_in(cls, module: nn.Module) -> None:
        for conv in module.modules():
            plain = type(conv) is nn.Conv2d and conv.groups == 1 and conv.padding in ((0, 0), "valid")
            if plain and conv.kernel_size == (1, 1) and conv.stride != (1, 1):
                conv.__class__ = cls


@contextlib.contextmanager
def _fp32(rounding: str | None) -> Iterator[None]:
    """How a CUDA device multiplies fp32: ``ieee`` or ``tf32``; by default convolutions round to TF32's ten bits."""
    parts = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # type: ignore[attr-defined]
    before = [part.fp32_precision for part in parts]
    for part in parts:
        part.fp32_precision = rounding or part.fp32_precision
    try:
        yield
    finally:
        for part, value in zip(parts, before, strict=True):
            part.fp32_precision = value


class GlobalDraws:
    """A context in which PyTorch's own generators draw from streams of its own; it may be left and entered again.

    ``generators`` are they, by name, so that a training can checkpoint them.
    """

    def __init__(self, device: torch.device, seed: int) -> None:
        self.generators = {"global": torch.default_generator}
        if device.type == "cuda":
            index = torch.cuda.current_device() if device.index is None else device.index
            self.generators["global-cuda"] = torch.cuda.default_generators[index]
        if device.type == "mps":
            self.generators["global-mps"] = torch.mps._get_default_mps_generator()
        self._inside = {
            name: Generator(generator.device).manual_seed(seed).get_state()
            for name, generator in self.generators.items()
        }
        self._outside: dict[str, Tensor] = {}

    def __enter__(self) -> GlobalDraws:
        self._outside = self._change(self._inside)
        return self

    def __exit__(self, *error: object) -> None:
        self._inside = self._change(self._outside)

    def _change(self, states: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Set the generators' states, and return those that they had."""
        before = {name: generator.get_state() for name, generator in self.generators.items()}
        for name, generator in self.generators.items():
            generator.set_state(states[name])
        return before


def images_at_once(device: torch.device) -> int:
    """Images of one pass where results do not depend on it: few, for a CPU's caches, or many, for a GPU's cores."""
    return 128 if device.type == "cpu" else 1000


def stream_seed(*purpose: object) -> int:
    """A 63-bit seed from a description, so that no two purposes share a random stream by accident."""
    digest = hashlib.sha256("\x1f".join(map(str, purpose)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def make_backend(
    device: str = "auto",
    precision: str = "auto",
    *,
    compile: bool = False,  # noqa: A002  torch's own word for it
    deterministic: bool = False,
    threads: int | None = None,
    decoders: int | None = None,
) -> Backend:
    """Resolve ``auto``: cuda, then mps, then cpu; bf16 where the hardware multiplies it natively, else fp32.

    Threads, and the processes that decode image files, are this process's from here on, whatever the backend.

    Raises:
        InputError: an unknown or absent device, an unknown precision, a thread count below 1.
    """
    if threads is not None:
        if threads < 1:
            raise InputError(f"threads must be at least 1, got {threads}.")
        torch.set_num_threads(threads)
    use(decoders)
    backend = Backend(_device(device), "fp32", compile, deterministic)
    if compile and backend.device.type == "cpu":
        _check_compiler()
    return replace(backend, precision=backend.resolve(precision))


def _check_compiler() -> None:
    """Raises InputError where torch.compile would find no C++ compiler, in the midst of a study."""
    from torch._inductor.cpp_builder import get_cpp_compiler  # a second

    try:
        get_cpp_compiler()
    except Exception as error:  # of a private module
        raise InputError(
            f"--compile needs a C++ compiler: {first_line(error)}. Install one (g++), name it in $CXX, or "
            "leave --compile out."
        ) from error


def _device(name: str) -> torch.device:
    if name == "auto":
        for kind in ("cuda", "mps"):
            if getattr(torch, kind).is_available():
                return torch.device(kind)
        return torch.device("cpu")
    kind = name.partition(":")[0]
    if kind not in ("cpu", "cuda", "mps"):
        raise unknown("device", name, ("auto", "cpu", "cuda", "mps"))
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} is not usable here: {first_line(error)}. Try --device cpu.") from error
    return device


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8  # Ampere on
    if device.type == "cpu":
        asked = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("amx_tile", "avx512_bf16"))
        return any(supported is not None and supported() for supported in asked)
    return False


def environment(backend: Backend, packages: Sequence[str] = ()) -> dict[str, Any]:
    """What a result was made with: versions, hardware, threads, commit. Stored beside it, never part of its key.

    ``packages`` are more of those whose versions are noted.
    """
    import numpy
    import torchvision

    name = torch.cuda.get_device_name(backend.device) if backend.device.type == "cuda" else _processor()
    return {
        "mixlens": _version("mixlens"),
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": numpy.__version__,
        **{package: _version(package) for package in packages},
        "platform": platform.system(),
        "device": backend.device.type,
        "hardware": name,
        "threads": torch.get_num_threads(),
        "precision": backend.precision,
        "compile": backend.compile,
        "deterministic": backend.deterministic,
        **({"processes": backend.ranks.world} if backend.ranks else {}),
    }


@cache
def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


@cache
def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@cache
def _commit() -> str | None:
    """The checkout's commit when the package runs from one; None from an installed wheel. As this process began."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        described = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()
