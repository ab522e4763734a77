"""Heatmap methods by name: what makes a map of a layer's activations and a score's gradients by them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..analysis.errors import InputError, first_line
from ..analysis.spec import call, load_object, read_spec, source_of
from .eigen import eigencam
from .library import KIND, LibraryMethod, Seen, library_method

STABILITY = 1e-6  # pytorch-grad-cam's, in GradCAM++'s denominator
# Activations (B, C, h, w) and gradients by them → maps (B, h, w) of at least 0.
Map = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Method:
    name: str
    map: Map
    follows_gradients: bool = True
    source: str = ""  # of one of the user's own: SHA-256 of the file that makes it
    second_order: ClassVar[bool] = False
    replaces_layer: ClassVar[bool] = False
    at_once: ClassVar[int | None] = None  # images of one pass: as the device likes

    def score(self, logits: Tensor, classes: Tensor) -> Tensor:
        """The number whose gradients the method sees: the sum of the logits of the images' classes."""
        return logits.gather(1, classes.unsqueeze(1)).sum()

    def maps(self, layer: nn.Module, activations: Tensor, gradients: Tensor | None, seen: Seen) -> Tensor:
        """As a call: a formula looks at nothing else. See there."""
        return self(activations.detach(), gradients)

    def __call__(self, activations: Tensor, gradients: Tensor | None) -> Tensor:
        """Maps (B, h, w).

        Raises:
            InputError: a user's own fails, does not make maps (B, h, w) of at least 0, or gives an image another map
                when it is alone (what depends on the batch, or on chance, no result can rest on).
        """
        assert gradients is not None or not self.follows_gradients
        if not self.source:
            return self.map(activations, gradients)  # type: ignore[arg-type]
        assert gradients is not None
        try:
            with torch.no_grad():
                returned, alone = self.map(activations, gradients), self.map(activations[:1], gradients[:1])
        except (Exception, SystemExit) as error:  # whatever the user's code raises
            raise InputError(f"{KIND} {self.name!r} failed with {type(error).__name__}: {first_line(error)}") from error
        expected = (len(activations), *activations.shape[2:])
        if not isinstance(returned, Tensor) or returned.shape != expected or bool((returned < 0).any()):
            described = f"maps {tuple(returned.shape)}" if isinstance(returned, Tensor) else type(returned).__name__
            raise InputError(f"{KIND} {self.name!r} made {described}; expected maps {expected} of at least 0.")
        if not torch.allclose(returned[:1], alone, rtol=1e-3, atol=1e-3 * float(alone.max()), equal_nan=True):
            raise InputError(
                f"{KIND} {self.name!r} gives an image another map when it is alone: it depends on the batch, "
                "or on chance."
            )
        return returned


def find_method(text: str) -> Method | LibraryMethod:
    """A method of ours, a CAM class of pytorch_grad_cam (see `library`), or the user's own.

    ``gradcam``, ``gradcam++``, ``layercam``, ``eigencam``; ``HiResCAM``, ``FEM(k=3)``, …; or
    ``package.module:factory(key=value)``. The user's factory returns a function of activations (B, C, h, w) and the
    gradients of the explained logit by them, which gives maps (B, h, w) of at least 0.

    Raises:
        InputError: another name, arguments that the method does not take, a factory that fails.
    """
    spec = read_spec(text, KIND)
    if spec.is_own:
        returned = call(load_object(spec.use, KIND), spec.arguments, f"{KIND} {spec.text!r}")
        if not callable(returned):
            raise InputError(f"{KIND} {spec.text!r}: its factory gave {type(returned).__name__}, not a function.")
        return Method(spec.text, returned, source=source_of(spec.use, KIND))
    if spec.use not in METHODS:
        return library_method(spec, METHODS)
    if spec.arguments:
        raise InputError(f"{KIND} {text!r}: {spec.use} takes no arguments.")
    return METHODS[spec.use]


def gradcam(activations: Tensor, gradients: Tensor) -> Tensor:
    """ReLU(Σ_c w_c A_c), w_c = the mean of g_c over pixels (Selvaraju et al. 2017)."""
    return _weighted(activations, gradients.mean((2, 3)))


def gradcam_plus_plus(activations: Tensor, gradients: Tensor) -> Tensor:
    """As `gradcam`, w_c = Σ_ij α ReLU(g), α = g² / (2 g² + g³ Σ_ij A + 10⁻⁶), 0 where g is (Chattopadhay et al. 2018).

    Their eq. 19. The constant is pytorch-grad-cam's; it decides where gradients lie below about 10⁻³.
    """
    square = gradients.square()
    total = activations.sum((2, 3), keepdim=True)
    alpha = square / (2 * square + total * square * gradients + STABILITY)
    return _weighted(activations, (gradients.relu() * torch.where(gradients != 0, alpha, 0)).sum((2, 3)))


def layercam(activations: Tensor, gradients: Tensor) -> Tensor:
    """ReLU(Σ_c ReLU(g_c) A_c) (Jiang et al. 2021)."""
    return (gradients.relu() * activations).sum(1).relu()


def _weighted(activations: Tensor, weights: Tensor) -> Tensor:
    return torch.einsum("bc,bchw->bhw", weights, activations).relu()


METHODS = {
    "gradcam": Method("gradcam", gradcam),
    "gradcam++": Method("gradcam++", gradcam_plus_plus),
    "layercam": Method("layercam", layercam),
    "eigencam": Method("eigencam", eigencam, follows_gradients=False),
}
