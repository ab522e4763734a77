"""AutoAttack (Croce and Hein 2020) as one more attack of a sweep: APGD-CE, targeted APGD, targeted FAB and Square.

RobustBench's attack, by its authors' own package (an extra: ``pip install 'mixlens[autoattack]'``).
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from foolbox.attacks.base import FixedEpsilonAttack
from foolbox.distances import linf
from torch import Tensor, nn

Version = Literal["standard", "plus", "rand"]
FEWEST_CLASSES = 4  # of the difference of logits ratio


class AutoAttack(FixedEpsilonAttack):
    """The whole ensemble, image by image until one of its attacks succeeds. L∞, images in [0, 1].

    Raises:
        ValueError: another version.
        ImportError: the extra is not installed.
    """

    distance = linf
    steps = 100  # of each APGD

    def __init__(self, *, version: Version = "standard") -> None:
        import pyautoattack  # noqa: F401  missing? then say so now, before anything is trained

        if version not in get_args(Version):
            raise ValueError(f"version must be one of {', '.join(get_args(Version))}, got {version!r}")
        self.version = version

    def run(self, model: Any, inputs: Any, criterion: Any, *, epsilon: float, **kwargs: Any) -> Any:
        """Perturbed images; those that no attack broke come back as they were. Draws are seeded by PyTorch's seed."""
        from pyautoattack import AutoAttack as Ensemble

        network = _Module(model)
        with torch.no_grad():
            classes = network(inputs[:1]).shape[1]
        if classes < FEWEST_CLASSES:
            raise ValueError(f"it needs at least {FEWEST_CLASSES} classes, the model has {classes}")
        seed = torch.initial_seed() % 2**31
        ensemble = Ensemble(network, norm="Linf", eps=epsilon, version=self.version, device=inputs.device, seed=seed)
        for part in (ensemble.apgd_targeted, ensemble.fab):
            part.n_target_classes = min(part.n_target_classes, classes - 1)
        inputs = inputs.contiguous()  # it takes views that channels-last does not allow
        perturbed, _ = ensemble.run_standard_evaluation(inputs, criterion.labels.raw, batch_size=len(inputs))
        return perturbed


class _Module(nn.Module):
    """A Foolbox model as the module that the package wants."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model = model
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self._model(x)
