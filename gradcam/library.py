"""Any CAM class of pytorch-grad-cam by its name, such as ``HiResCAM`` or ``FinerCAM(alpha=0.5)``.

What is the package's is the formula: `get_cam_image`, which makes a layer's map of its activations and gradients (and,
as ScoreCAM does, of passes of its own). What it does around that is ours: the passes, where its own leave gradients in
the parameters, and the end, where it would move every map to [0, 1] and resize it to the images by OpenCV. So a map has
the layer's own size and scale, and sums mean what those of our own methods mean.

An image is handed to its class alone, so that its map cannot depend on its batch. The package takes a second to import
and brings OpenCV: it is imported when one of its classes is named.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..analysis.errors import InputError, first_line, unknown
from ..analysis.spec import Spec, without_defaults
from .eigen import oriented

KIND = "heatmap method"
UNUSABLE = {
    "FullGrad": "it makes one map of all layers' biases, none of a layer",
    "RefineCAM": "it multiplies the maps of several layers, each resized to the images and moved to [0, 1]",
    "SESS": "it fuses the maps of patches, each resized to the images and moved to [0, 1]",
    "RandomCAM": "it draws its weights by chance, and a result has to repeat itself",
    "GuidedBackpropReLUModel": "it is no CAM: it gives gradients by the images' pixels",
    "DeepFeatureFactorization": "it is no CAM: it factorises the activations of many images together",
    "ActivationsAndGradients": "it is no CAM: it holds hooks",
    "AblationLayer": "it is no CAM, but a part of AblationCAM",
    "AblationLayerVit": "it is no CAM, but a part of AblationCAM",
    "AblationLayerFasterRCNN": "it is no CAM, but a part of AblationCAM",
}
# Given by us, or objects that no text names; the target is `--gradcam.target`.
NOT_ARGUMENTS = {"self", "model", "target_layers", "reshape_transform", "input_tensor", "targets", "target_idx"}
NOT_ARGUMENTS |= {"base_method", "ablation_layer"}
PROJECTIONS = ("EigenCAM", "EigenGradCAM")  # as with eigen_smooth, of a sign that is not theirs
UNSMOOTHED = (*PROJECTIONS, "FEM", "KPCA_CAM", "SegEigenCAM")  # they are given eigen_smooth and do not look at it
PASS_PER_CHANNEL = ("ScoreCAM", "AblationCAM")
NEAREST = (1, 2, 3)  # FinerCAM compares with the classes of the nearest logits; the package's default
ANY_LAYER = nn.PReLU()  # a class says what it needs once it is made; this draws no weights


class Seen(NamedTuple):
    """What a batch's pass used and gave, for methods that look at more than activations and gradients."""

    model: nn.Module
    x: Tensor  # (B, C, H, W)
    logits: Tensor  # (B, classes), without a graph
    classes: Tensor  # (B,) explained


@dataclass(frozen=True)
class LibraryMethod:
    """A class of the package with its arguments. What `methods.Method` is for a formula of our own."""

    name: str  # arguments that equal the package's defaults left out
    kind: Any  # the class
    built: Mapping[str, Any]  # its constructor's arguments
    called: Mapping[str, Any]  # its call's, defaults included
    source: str = ""

    def cam(self, model: nn.Module, layer: nn.Module) -> Any:
        """The package's object, without the hooks by which it would look at a pass."""
        # Its default is one layer for all objects, which would keep the last activations.
        fresh = {"ablation_layer": _package().AblationLayer()} if self.kind.__name__ == "AblationCAM" else {}
        cam = self.kind(model, [layer], **self.built, **fresh)
        cam = getattr(cam, "base_cam", cam)  # FinerCAM holds the one that makes its maps
        cam.activations_and_grads.release()
        return cam

    @cached_property
    def follows_gradients(self) -> bool:
        return bool(self.cam(ANY_LAYER, ANY_LAYER).uses_gradients)

    @cached_property
    def second_order(self) -> bool:
        """Whether it differentiates the gradients once more, as ShapleyCAM does, which frees the pass's graph."""
        return not self.cam(ANY_LAYER, ANY_LAYER).detach

    @property
    def replaces_layer(self) -> bool:
        """Whether it puts a layer of its own, which puts out (B, C, h, w), in another's place."""
        return self.kind.__name__ == "AblationCAM"

    @property
    def at_once(self) -> int | None:
        """Images of one pass, where the device's own number would mean minutes without a sign of progress."""
        return 8 if self.kind.__name__ in PASS_PER_CHANNEL else None

    def score(self, logits: Tensor, classes: Tensor) -> Tensor:
        """The number whose gradients the class sees: the sum over images of what explains each."""
        with self._named():
            targets = self._targets(logits, classes)
            return torch.stack([target(row) for target, row in zip(targets, logits, strict=True)]).sum()

    def maps(self, layer: nn.Module, activations: Tensor, gradients: Tensor | None, seen: Seen) -> Tensor:
        """Maps (B, h, w) of at least 0; NaN where the class's are not finite.

        Raises:
            InputError: the class fails.
        """
        smooth = self.called.get("eigen_smooth", False)
        with self._named(), restored(seen.model), quiet(self.kind), np.errstate(all="ignore"):
            made = self._images(self.cam(seen.model, layer), layer, activations, gradients, seen, smooth)
        maps = torch.as_tensor(made, dtype=torch.float32, device=activations.device)
        if smooth or self.kind.__name__ in PROJECTIONS:
            maps = oriented(maps, activations)
        # Its projections read NaN as 0, and the ReLU would hide −∞.
        return torch.where(maps.isfinite() & activations.detach().isfinite().all(1), maps.relu(), torch.nan)

    def _images(
        self, cam: Any, layer: nn.Module, activations: Tensor, gradients: Tensor | None, seen: Seen, smooth: bool
    ) -> np.ndarray:
        targets = self._targets(seen.logits, seen.classes)
        if self.second_order:  # the graph is the batch's, and none where the logits are linear in the activations
            assert gradients is not None
            gradients = gradients if gradients.requires_grad else gradients.requires_grad_()
            return cam.get_cam_image(seen.x, layer, targets, activations, gradients, smooth)
        arrays = [it if it is None else it.detach().float().cpu().numpy() for it in (activations, gradients)]
        parts = []
        for start in range(len(targets)):
            one = slice(start, start + 1)
            inputs = [it if it is None else it[one] for it in arrays]
            parts.append(cam.get_cam_image(seen.x[one], layer, targets[one], *inputs, smooth))
        return np.concatenate(parts)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Whatever the package raises as an error that names the method."""
        try:
            yield
        except (InputError, torch.OutOfMemoryError):  # without memory, a study tries again beside fewer tasks
            raise
        except Exception as error:
            raise InputError(f"{KIND} {self.name!r} failed with {type(error).__name__}: {first_line(error)}") from error

    def _targets(self, logits: Tensor, classes: Tensor) -> list[Callable[[Tensor], Tensor]]:
        """For each image the package's function of its logits."""
        targets = import_module("pytorch_grad_cam.utils.model_targets")
        if self.kind.__name__ != "FinerCAM":
            return [targets.ClassifierOutputTarget(label) for label in classes.tolist()]
        places = [place for place in self.called["comparison_categories"] or NEAREST if place < logits.shape[1]]
        if not places:
            raise InputError(f"{KIND} {self.name!r}: of {logits.shape[1]} classes, none is left to compare with.")
        column = classes.unsqueeze(1)
        distances = (logits.detach() - logits.detach().gather(1, column)).abs().scatter(1, column, -1)
        others = distances.argsort(dim=1, stable=True)[:, places].tolist()  # at place 0 stands the class itself
        alpha = self.called["alpha"]
        return [targets.FinerWeightedTarget(*pair, alpha) for pair in zip(classes.tolist(), others, strict=True)]


def library_method(spec: Spec, own: Mapping[str, object]) -> LibraryMethod:
    """A class of pytorch_grad_cam by its name. ``own``: the short names there are beside it, for messages.

    Raises:
        InputError: a name that is none, a class that makes no map of a layer, arguments that it does not take; or the
            package cannot be imported.
    """
    kind, where = _class(spec.use, own), f"{KIND} {spec.text!r}"
    built, called = _defaults(kind.__init__), _defaults(kind.forward)
    if spec.use in UNSMOOTHED:
        del called["eigen_smooth"]
    given = without_defaults(spec.arguments, built | called, where)
    places = given.get("comparison_categories")
    if places is not None and not (isinstance(places, list) and places and all(_is_place(it) for it in places)):
        raise InputError(f"{where}: comparison_categories counts the other classes from 1, the nearest, as [1, 2, 3].")
    method = LibraryMethod(
        Spec(spec.use, given).text,
        kind,
        built={key: value for key, value in given.items() if key in built},
        called={key: given.get(key, default) for key, default in called.items()},
    )
    try:
        method.cam(ANY_LAYER, ANY_LAYER)
    except (Exception, SystemExit) as error:  # whatever its constructor raises
        raise InputError(f"{where}: {type(error).__name__}: {first_line(error)}") from error
    return method


def _class(name: str, own: Mapping[str, object]) -> Any:
    """The package's class of this name, which makes a layer's map. Raises InputError."""
    if name in UNUSABLE:
        raise InputError(f"{KIND} {name!r} of pytorch_grad_cam cannot be used: {UNUSABLE[name]}.")
    try:
        package = _package()
    except Exception as error:  # an OpenCV of another build raises more than ImportError
        raise InputError(
            f"{KIND} {name!r} is none of {', '.join(own)}; the others are classes of pytorch_grad_cam, which cannot be "
            f"imported ({type(error).__name__}: {first_line(error)}): pip install grad-cam. Where it is a library such "
            "as libGL that is missing, pip install opencv-python-headless in place of opencv-python."
        ) from error
    kinds = (import_module("pytorch_grad_cam.base_cam").BaseCAM, package.FinerCAM)
    known: dict[str, Any] = {
        each: kind
        for each, kind in vars(package).items()
        if inspect.isclass(kind) and issubclass(kind, kinds) and each not in UNUSABLE
    }
    if name not in known:
        raise InputError(
            f"{unknown(KIND, name, own, [*known, *UNUSABLE])} Or a CAM class of pytorch_grad_cam by its name: "
            f"{', '.join(sorted(known))}; or your own as package.module:factory."
        )
    return known[name]


def _package() -> Any:
    return import_module("pytorch_grad_cam")


def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """What a text may give to a function, with its defaults."""
    parameters = inspect.signature(function).parameters.items()
    return {name: parameter.default for name, parameter in parameters if name not in NOT_ARGUMENTS}


def _is_place(value: object) -> bool:
    return type(value) is int and value > 0


@contextmanager
def restored(model: nn.Module) -> Iterator[None]:
    """The model as it was: the package puts it in eval mode, and AblationCAM a layer of its own in another's place."""
    modes = [(module, module.training) for module in model.modules()]
    children = [(module, dict(module._modules)) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for module, named in children:
            module._modules.update(named)


@contextmanager
def quiet(kind: Any) -> Iterator[None]:
    """ScoreCAM and AblationCAM would draw a bar for every image, and HiResCAM print a warning for each batch."""
    names = vars(sys.modules[kind.__module__])
    before: dict[str, Any] = {name: names[name] for name in ("tqdm", "print") if name in names}
    names.update(tqdm=SimpleNamespace(tqdm=iter), print=lambda *words: None)
    try:
        yield
    finally:
        for name in ("tqdm", "print"):
            names.pop(name, None)
        names.update(before)
