"""The differences to the baseline that one report shows: each computed once, those of its questions judged together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..interface import Arm
from .effect import Effect, Measured, effect
from .holm import holm


@dataclass(frozen=True)
class Family:
    """Every difference to the baseline by section, quantity and arm, the same wherever it is shown.

    Those of a quantity that stands on the front page are the family: their p are corrected for their number (Holm), and
    they alone have an `Effect.adjusted` and so a direction. The others are exploratory.
    """

    effects: Mapping[tuple[str, str, Arm], Effect] = field(default_factory=dict)

    def of(self, section: str, quantity: str, arm: Arm) -> Effect | None:
        """None where it was not measured, or there is no baseline to differ from."""
        return self.effects.get((section, quantity, arm))

    @property
    def size(self) -> int:
        """How many are judged together."""
        return sum(one.adjusted is not None for one in self.effects.values())


def family_of(quantities: Mapping[str, Sequence[Measured]], *, as_given: bool = False) -> Family:
    """The family of what each section measured; ``as_given`` as in `effect`."""
    effects, asked = {}, []
    for section, measured in quantities.items():
        for one in (one for one in measured if not one.apart):
            for arm in dict.fromkeys(arm for arm, _ in one.terms if not arm.is_baseline):
                if (change := effect(one, arm, arm.baseline, as_given=as_given)) is not None:
                    effects[section, one.quantity, arm] = change
                    asked += [(section, one.quantity, arm)] if one.front else []
    return Family(effects | dict(zip(asked, holm([effects[key] for key in asked]), strict=True)))
