"""Where a line may break: not before a unit or an arrow, not inside a flag, in a long specification after a comma."""

from __future__ import annotations

import re

UNITS = "nats?|points?|pixels?|seeds?|epochs?|trials|images|%|h|min|s"
BOUND = re.compile(
    r" (?=[±†↑↓] ?)|(?<=\b\w) (?=[=≤≥<>~] )|(?<=[±=≤≥≈~]) "  # before an arrow, around signs
    rf"|(?<=\d) (?=(?:{UNITS})\b)|(?<=\d) (?=%)"
    r"|(?<=[\d∞]) (?=\[[−+\d])|(?<=\[)([^\] ]+), (?=[−+\d][^\]]*\])"  # an interval
)
LONG = 24  # letters of a word from which it may break inside


def bound(text: str) -> str:
    """A text with no-break spaces where a line must not end: around signs, before units, within an interval."""
    return BOUND.sub(lambda found: f"{found[1]},\u00a0" if found[1] else "\u00a0", text)


def pieces(word: str) -> list[str]:
    """The parts of a word that stay whole; a long one may break after a comma or an opening parenthesis."""
    if len(word) < LONG:
        return [word]
    return [part for part in re.split(r"(?<=[,(])(?<!^\()", word) if part]
