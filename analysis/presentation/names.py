"""One name and one colour per augmentation, as people know them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from textwrap import fill

from ..interface import Arm

# Okabe and Ito (2008): told apart by colour-blind readers, on white and on black.
_PALETTE = {
    "baseline": "#7f8790",
    "mixup": "#e69f00",
    "cutmix": "#56b4e9",
    "fmix": "#009e73",
    "fmix-official": "#cc79a7",
    "fmix+mixup": "#d55e00",
    "cutmix+mixup": "#0072b2",
    "fmix+cutmix": "#b5a900",
}
_OTHERS = ("#9b6dd7", "#5f9e3a", "#c0504d", "#3aa6a0", "#a0642d", "#6f7bd0")  # none of the above
_UNSEEN = "[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]"
LONGEST = 44  # letters of a name in a figure; tables and rows have them all
_NAMES = {
    "baseline": "Baseline",
    "mixup": "MixUp",
    "cutmix": "CutMix",
    "fmix": "FMix",
    "fmix-official": "FMix (official code)",
    "fmix+mixup": "FMix + MixUp",
    "cutmix+mixup": "CutMix + MixUp",
    "fmix+cutmix": "FMix + CutMix",
}


def label(augmentation: str, study: str = "") -> str:
    """The name people know: ``fmix`` → FMix, and behind it the study that it is of, if one is given.

    A user's own augmentation keeps the name it was given, with a space before its arguments. Letters that cannot be
    seen, or turn the text around them, are written as their escapes.
    """
    name, opened, rest = visible(augmentation).partition("(")
    text = _NAMES.get(name, name.rstrip()) + (f" ({rest}" if opened else "")
    return f"{text} [{visible(study)}]" if study else text


def visible(text: str) -> str:
    """Line breaks, control characters and changes of direction as their escapes."""
    return re.sub(_UNSEEN, lambda found: found[0].encode("unicode_escape").decode(), text)


def short(name: str, line: int = LONGEST) -> str:
    """A name as a figure has room for it: the middle left out beyond `LONGEST` letters, in lines of so many."""
    half = (LONGEST - 1) // 2
    return fill(name if len(name) <= LONGEST else f"{name[:half]}…{name[-half:]}", line)


def colours(arms: Sequence[Arm]) -> dict[Arm, str]:
    """A colour for each: known augmentations of the first arm's study always have the same, others follow in order."""
    rest = iter(_OTHERS * (len(arms) // len(_OTHERS) + 1))
    return {
        arm: _PALETTE[arm.augmentation] if arm.study == arms[0].study and arm.augmentation in _PALETTE else next(rest)
        for arm in arms
    }
