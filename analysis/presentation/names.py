"""One name and one colour per augmentation, as people know them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from textwrap import fill

from ..errors import InputError
from ..interface import Arm
from .axes import argument, mixing_of
from .shades import shades

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


def listed(words: Sequence[str]) -> str:
    """One or more, as a sentence has them."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def check_aliases(names: Sequence[str]) -> None:
    """Raises InputError for a name that two augmentations are given, or that a known one has."""
    plain = [name.partition("(")[0] for name in names]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise InputError(f"two augmentations are named {name!r}; give each a name of its own.")
    known = {each.lower() for pair in _NAMES.items() for each in pair}
    for name in plain:
        if name.lower() in known:
            raise InputError(f"an augmentation cannot be named {name!r}, which is another one; give it another name.")


def colours(arms: Sequence[Arm], among: Sequence[Arm] = ()) -> dict[Arm, str]:
    """A colour for each: one hue for each augmentation, known ones always theirs, others in order (of ``among``).

    What is the same augmentation with other arguments, or in other studies, is lighter or darker: by the arguments'
    values, from small to large, then by the order of the studies. A known one of a single study without arguments has
    its own colour among them.
    """
    studies = list(dict.fromkeys(arm.study for arm in arms))
    palette: dict[Arm, str] = {}
    for use, hue in hues(among or arms).items():
        members = [arm for arm in arms if mixing_of(arm.augmentation).use == use]
        ordered = sorted(dict.fromkeys(members), key=lambda arm: (*_place(arm, members), studies.index(arm.study)))
        own = [place for place, arm in enumerate(ordered) if arm.augmentation == use]
        keeps = len({arm.study for arm in members}) == 1 and use in _PALETTE and own
        palette |= dict(zip(ordered, shades(hue, len(ordered), own[0] if keeps else None), strict=True))
    return {arm: palette[arm] for arm in arms}


def hues(arms: Sequence[Arm]) -> dict[str, str]:
    """The hue of each augmentation, whatever its arguments."""
    uses = dict.fromkeys(mixing_of(arm.augmentation).use for arm in arms)
    rest = iter(_OTHERS * (len(uses) // len(_OTHERS) + 1))
    return {use: _PALETTE.get(use) or next(rest) for use in uses}


def _place(arm: Arm, members: Sequence[Arm]) -> tuple[tuple[float, str], ...]:
    """What an arm is ordered by among others of its augmentation: its arguments' values, numbers before text."""
    every = sorted({name for other in members for name in mixing_of(other.augmentation).arguments})
    values = (argument(mixing_of(arm.augmentation), name) for name in every)
    return tuple(
        (float(value), "") if isinstance(value, int | float) else (float("inf"), str(value)) for value in values
    )
