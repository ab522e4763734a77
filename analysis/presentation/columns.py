"""How a table's columns are set: words at the left, numbers with their decimal points below each other.

A cell becomes lines, and a line a list of texts, by turns shown and unseen: an unseen text takes the room of digits
that the cell lacks and others of its column have. So a column stands at its right edge, whatever sets it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

NUMBER = re.compile(r"([−+]?)(\d+(?:,\d{3})*|∞)(\.\d+)?")
BEGINS = re.compile(r"[^\w(\[]{0,2}[\d∞]")  # a number, after a sign or ≥ at most
EMPTY = ("", "—", "not measured", "not known", "none fits", "no baseline")
SPREAD, INTERVAL = " ± ", " ["
WIDE = 155  # letters of a line that a page has room for; in wider tables intervals stand below their values
HEAD = 18  # letters of a line's head that need not be broken
Line = list[str]  # shown, unseen, shown, …


@dataclass(frozen=True)
class Column:
    """One column's cells, each as lines."""

    numeric: bool
    cells: tuple[tuple[Line, ...], ...]


def columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Column]:
    """Set a table's columns; where they would be too wide together, with intervals and remarks below their values."""
    cells = list(zip(*rows, strict=True)) or [()] * len(header)
    plain = [column(each) for each in cells]
    letters = [max((_letters(lines) for lines in each.cells), default=0) for each in plain]
    wide = min(HEAD, letters[0]) + sum(letters[1:]) + 3 * len(letters)  # with what is between them
    return plain if wide <= WIDE else [column(each, stacked=True) for each in cells]


def _letters(lines: Sequence[Line]) -> int:
    return max(len("".join(line)) for line in lines)


def column(cells: Sequence[str], *, stacked: bool = False) -> Column:
    """Set one column. It is of numbers if all its cells begin with one or say that there is none.

    What follows a semicolon in a cell of numbers stands on a line of its own; ``stacked``: what is in brackets too.
    """
    told = [cell for cell in cells if cell not in EMPTY]
    if not told or not all(BEGINS.match(cell) for cell in told):
        return Column(False, tuple(([cell],) for cell in cells))
    breaks = r"; |\n| (?=[\[(])" if stacked else r"; |\n"
    broken = [re.split(breaks, cell) for cell in cells]
    depth = max(map(len, broken))
    levels = [aligned([lines[level] if level < len(lines) else "" for lines in broken]) for level in range(depth)]
    return Column(
        True,
        tuple(tuple(levels[level][place] for level in range(len(lines))) for place, lines in enumerate(broken)),
    )


def aligned(cells: Sequence[str]) -> list[Line]:
    """Texts of numbers, such as ``−3.1 [−6.1, −0.1] ↓``, each filled up to the longest, number below number."""
    split = [_Cell.of(cell) for cell in cells]
    longest = max(split, key=lambda cell: (len(cell.numbers), len(cell.after[-1]) if cell.after else 0))
    alike = [cell for cell in split if cell.leads(longest)]
    widest = [
        _Widest.of([cell.numbers[slot] for cell in alike if slot < len(cell.numbers)])
        for slot in range(len(longest.numbers))
    ]
    return [cell.filled(longest, widest) for cell in split]


@dataclass(frozen=True)
class _Widest:
    """The most room that one number of a line takes in any cell: a sign, digits before the point, and the rest."""

    sign: str
    whole: str
    fraction: str

    @classmethod
    def of(cls, numbers: Sequence[tuple[str, str, str]]) -> _Widest:
        return cls(*(max((number[part] for number in numbers), key=len, default="") for part in range(3)))

    def __str__(self) -> str:
        return self.sign + self.whole + self.fraction


@dataclass(frozen=True)
class _Cell:
    """A text taken apart: what stands before its first number, its numbers, and what follows each."""

    before: str
    numbers: tuple[tuple[str, str, str], ...]
    after: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> _Cell:
        found = list(NUMBER.finditer(text)) if BEGINS.match(text) else []
        if not found:
            return cls(text, (), ())
        ends = [*(number.start() for number in found[1:]), len(text)]
        after = tuple(text[number.end() : end] for number, end in zip(found, ends, strict=True))
        numbers = tuple((number[1], number[2], number[3] or "") for number in found)
        return cls(text[: found[0].start()], numbers, after)

    def leads(self, other: _Cell) -> bool:
        """Whether the other goes on where this one ends."""
        last = len(self.after) - 1
        return (
            0 <= last < len(other.after)
            and self.after[:last] == other.after[:last]
            and other.after[last].startswith(self.after[last])
        )

    def filled(self, longest: _Cell, widest: Sequence[_Widest]) -> Line:
        if not self.numbers:
            return [self.before]
        fits = self.leads(longest)
        line = [self.before + "".join(self.numbers[0]), widest[0].fraction[len(self.numbers[0][2]) :]]
        if not fits:  # its first number stands below the others', the rest about where theirs is
            if longest.after[0] not in (SPREAD, INTERVAL):
                return ["".join(line[:1]) + self._behind()]
            rest, room = self._behind(), longest.after[0] + "".join(map(str, widest[1:])) + "".join(longest.after[1:])
            return [*line, rest, room[len(rest) :]]
        owed = ""  # room that a number within brackets lacks is left behind them
        for slot, (sign, whole, fraction) in enumerate(self.numbers[1:], 1):
            before = "0" * (len(widest[slot].whole) - len(whole)) + widest[slot].sign[len(sign) :]
            behind = widest[slot].fraction[len(fraction) :]
            if self.after[slot - 1] != SPREAD:
                owed, before, behind = owed + before + behind, "", ""
            line += [self.after[slot - 1], before, sign + whole + fraction, behind]
        last = len(self.numbers) - 1
        later = owed + "".join(f"{widest[slot]}{longest.after[slot]}" for slot in range(last + 1, len(longest.numbers)))
        return [*line, self.after[last], longest.after[last][len(self.after[last]) :] + later]

    def _behind(self) -> str:
        """All that follows the first number."""
        numbers = ["".join(number) for number in self.numbers[1:]]
        return "".join(part for pair in zip(self.after, [*numbers, ""], strict=True) for part in pair)
