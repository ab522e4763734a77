"""What a report is made of: tables, figures with their words, equations, and what is said of a section."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True)
class Plot:
    """A figure with the words that go with it."""

    name: str  # for file names and links
    title: str
    caption: str
    alt: str  # what a reader who cannot see it needs to know
    figure: Figure
    quotes: bool = False  # its letters are the data's own, in their places: one that a font lacks is a box, no code


@dataclass(frozen=True)
class Table:
    """A table as text: a header row, body rows whose first cell is their header, and a caption."""

    name: str
    title: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Equation:
    """A displayed equation: LaTeX for the page, typst's notation for the PDF, and in words for who cannot see it."""

    words: str
    latex: str
    typst: str


@dataclass(frozen=True)
class About:
    """What a report says of a section before its tables, in plain text."""

    question: str
    text: tuple[str | Equation, ...]  # paragraphs
    caveats: tuple[str, ...] = ()  # what its numbers do not say
