"""The sections that are installed: those of mixlens, and those that other packages declare. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from importlib.util import find_spec

from ..errors import InputError
from ..interface import Section

SECTIONS = "mixlens.sections"  # the group of entry points


def installed_sections() -> dict[str, Section]:
    """Every section by name: those that come with mixlens first, then those of other packages.

    Raises:
        InputError: a package declares what is no section, names modules that are not there, or takes a name twice.
    """
    found: dict[str, Section] = {}
    points = list(entry_points(group=SECTIONS))
    for point in sorted(points, key=lambda point: (not point.value.startswith("mixlens."), point.name)):
        package = point.dist.name if point.dist else point.value
        where = f"the section {point.name!r} of the package {package}"
        try:
            section = point.load()
            if not isinstance(section, Section) or section.name != point.name or not point.name.isidentifier():
                raise InputError(f"{where} must be a Section of that name, an identifier; it is {section!r}.")
            missing = [name for name in (section.run, section.figures) if find_spec(name) is None]
        except InputError:
            raise
        except (Exception, SystemExit) as error:  # whatever the package raises while it is imported
            raise InputError(
                f"{where} cannot be loaded ({type(error).__name__}: {error}). Mend or uninstall that package."
            ) from error
        if missing:
            raise InputError(f"{where} names the module {missing[0]}, which is not there.")
        if point.name in found:
            raise InputError(f"two packages have a section {point.name!r}; uninstall one, such as {package}.")
        found[point.name] = section
    for section in found.values():
        for name in section.uses:
            if name not in found:
                raise InputError(f"the section {section.name!r} uses the section {name!r}, which no package has.")
            if _leads_to(section.name, name, found):
                raise InputError(f"the sections {section.name!r} and {name!r} use each other; uninstall one.")
    return found


def package_of(name: str) -> str:
    """The other package that a section comes with; empty for those of mixlens."""
    for point in entry_points(group=SECTIONS):
        if point.name == name and not point.value.startswith("mixlens."):
            return point.dist.name if point.dist else point.value
    return ""


def _leads_to(goal: str, name: str, sections: Mapping[str, Section], passed: tuple[str, ...] = ()) -> bool:
    """Whether a section uses another, itself or by those that it uses."""
    if name == goal:
        return True
    others = sections[name].uses if name in sections and name not in passed else ()
    return any(_leads_to(goal, other, sections, (*passed, name)) for other in others)


def with_used(listed: Iterable[str], sections: Mapping[str, Section], *, every: bool = True) -> list[str]:
    """The listed sections, each after those that it uses, and with ``every`` last those that belong to every study."""
    ordered: dict[str, None] = {}

    def add(name: str) -> None:
        for other in sections[name].uses if name in sections else ():
            add(other)
        ordered.setdefault(name)

    for name in [*listed, *(name for name, section in sections.items() if every and section.every_study)]:
        add(name)
    return list(ordered)
