"""The commands that run no study: reports, comparisons, information of a user's arrays, data, masks."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console

from ..analysis.errors import InputError
from .flags import Whole

if TYPE_CHECKING:
    from ..analysis.data.files import DataFile
    from ..analysis.masks.policies import Policy
    from ..analysis.masks.structure import Statistic
    from ..analysis.store.record import StudyRecord


Unit = Literal["nats", "bits"]


def information(
    file: Path,
    *,
    fit: Path | None = None,
    k: Whole = 128,
    unit: Unit = "nats",
    seed: Whole = 0,
    critic_steps: Whole = 600,
    jitter: float = 0.0,
) -> int:
    """Estimate mutual information from arrays of your own. (`mixlens oracle` tries the estimators where it is known.)

    Parameters
    ----------
    file
        An .npz file: mu and log_sigma (or sigma) of a Gaussian encoder, (N, d) each, and optional z, a draw per image;
        or x and z, (N, d_x) and (N, d_z), paired samples of two variables.
    fit
        A like file of *other* images or pairs: the marginals and the critics are fitted on it. Without it
        there is no rate against a fitted marginal, and critics are trained on one half of the pairs and evaluated on
        the other.
    k
        How many images InfoNCE tells apart, beside all N.
    unit
        Unit of the printed numbers.
    seed
        Of latents that are not in the file, of the order of samples, and of the critics.
    critic_steps
        Training steps of each neural critic.
    jitter
        Noise added to standardised samples for KSG, which cannot have ties; half their rounding, or 1e-6.
    """
    from ..analysis.information.files import estimate_file
    from .tables import estimate_table

    _check_draws(seed, critic_steps)
    estimates = estimate_file(file, fit, k=k, seed=seed, critic_steps=critic_steps, jitter=jitter)
    screen().print(estimate_table(estimates, unit))
    return 0


def oracle(
    *,
    level: float = 4.0,
    dimensions: Whole = 16,
    samples: Whole = 2000,
    unit: Unit = "nats",
    seed: Whole = 0,
    critic_steps: Whole = 600,
) -> int:
    """Try every estimator of mutual information on a linear-Gaussian world whose informations are known.

    Parameters
    ----------
    level
        I(Z_A;X) of the world, in nats.
    dimensions
        Of the latents.
    samples
        How many.
    unit
        Unit of the printed numbers.
    seed
        Of the samples and the critics.
    critic_steps
        Training steps of each neural critic.
    """
    from ..analysis.information.oracle import compare
    from ..analysis.information.world import GaussianWorld
    from .tables import comparison_table

    _check_draws(seed, critic_steps)
    for name, value, most in (("samples", samples, 10**6), ("dimensions", dimensions, 10_000)):
        if value > most:
            raise InputError(f"--{name} must be at most {most:,}, got {value}.")
    world = GaussianWorld.with_information(level, dimensions)
    screen().print(comparison_table(compare(world, samples, seed=seed, steps=critic_steps), unit))
    return 0


def _check_draws(seed: int, critic_steps: int = 1) -> None:
    if not 0 <= seed < 2**63:
        raise InputError(f"--seed must be a whole number from 0 to 2^63 − 1, got {seed}.")
    if not 1 <= critic_steps <= 10**7:
        raise InputError(f"--critic-steps must be 1 to 10,000,000, got {critic_steps}.")


def report(
    *folders: Path,
    out: Path | None = None,
    mixed: bool = False,
    figures: Literal["pdf", "svg", "png"] | None = None,
    width: Literal["column", "page"] | None = None,
) -> int:
    """Write a report again from the runs of one study, or of several side by side.

    Parameters
    ----------
    folders
        The studies' folders, such as mixlens-runs/demo; of a study with variants or several values of a setting, the
        one of its report stands for all.
    out
        Folder to write to. Default: the first study's.
    mixed
        Take studies whose settings differ too, each augmentation named with its study.
    figures
        Write each figure into a file of its own instead, in this format.
    width
        Of these files: of a paper's column (3.3 inches) or of its page (6.8). Default: page.
    """
    from ..analysis.store.parts import read_records
    from ..analysis.store.record import combine

    if not folders:
        raise InputError("name at least one study's folder, such as mixlens-runs/demo.")
    if width is not None and figures is None:
        raise InputError("--width is that of figures' files: add --figures pdf, svg or png.")
    record = combine([part for folder in folders for part in read_records(folder)], mixed=mixed or len(folders) == 1)
    target = out or folders[0]
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {target}: {error.strerror}.") from error
    if figures is None:
        return write_reports(record, target)
    from ..reports.report import write_figures

    print(*write_figures(record, target, figures, width or "page"), sep="\n")
    return 0


def compare(first: str, second: str) -> int:
    """What one study or augmentation changes against another: second minus first, on the same seeds and images.

    Parameters
    ----------
    first
        A study's folder, or one augmentation of it as FOLDER:AUGMENTATION.
    second
        The same. Two whole studies are compared augmentation by augmentation.
    """
    from ..reports.compare import compare_studies
    from .tables import effect_table

    comparison = compare_studies(first, second)
    screen().print(effect_table(comparison.lines))
    for line in comparison.left_out:
        screen().print(f"Left out: {line}")
    return 0


def data(
    name: str | None = None,
    *,
    data_root: Path | None = None,
    fetch: bool = False,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Show what data can be had and what is there, verified by checksum; with --fetch, download what is missing.

    Parameters
    ----------
    name
        One data set, file by file. Default: all of them, a line each.
    data_root
        Folder of the data. Default: $MIXLENS_DATA, else the user's cache folder.
    fetch
        Download the named one, and verify it.
    dry_run
        With --fetch: say what would be downloaded to where, and stop.
    """
    from ..analysis.data.load import find_source, source_names

    if dry_run and not fetch:
        raise InputError("--dry-run shows what --fetch would download; give both.")
    if name is None:
        if fetch:
            raise InputError(f"name what to fetch: {', '.join(source_names())}.")
        width = max(map(len, source_names()))
        for known in source_names():
            source = find_source(known)
            state, asked = _state(source.status(data_root)), getattr(source, "ASK", "")
            how = "" if state in ("ok", "own") else f" ({asked})" if asked else f" (mixlens data {known} --fetch)"
            print(f"{state:8} {known:{width}} {source.ABOUT}{how}")
        return 0
    source = find_source(name)
    if fetch and dry_run:
        missing = [file for file in source.status(data_root) if not file.ok]
        print(f"{name}: {source.MEGABYTES if missing else 0:g} MB to download")
        for file in missing:
            print(f"{_state([file]):8} {file.path}")
        return 0
    if fetch:
        source.fetch(data_root)
    files = source.status(data_root)
    print(f"{name}: {source.ABOUT}")
    for file in files:
        print(f"{_state([file]):8} {file.path}")
    if layout := getattr(source, "LAYOUT", ""):
        print(f"expected {layout}")
    if _state(files) in ("ok", "own"):
        return 0
    if asked := getattr(source, "ASK", ""):
        raise InputError(f"{name} is not complete: {source.missing(data_root)}. It is had from {asked}.")  # type: ignore[attr-defined]
    raise InputError(f"{name} is not complete. Run `mixlens data {name} --fetch`, or see `mixlens data --help`.")


def _state(files: Sequence[DataFile]) -> str:
    if not files:
        return "own"  # wherever the user says
    if all(file.ok for file in files):
        return "ok"
    return "damaged" if any(file.present and not file.ok for file in files) else "missing"


def masks(
    *,
    augmentations: str = "mixup,cutmix,fmix,fmix-official",
    data: str | None = None,
    data_root: Path | None = None,
    size: str | None = None,
    lam: float = 0.5,
    own_lam: bool = False,
    columns: Whole = 10,
    count: Whole = 500,
    seed: Whole = 0,
    out: Path = Path("masks.svg"),
) -> int:
    """Draw masks and what they mix (like Fig. 2) in one to three dimensions, FMix's spectra, and tell masks apart.

    Parameters
    ----------
    augmentations
        What to draw.
    data
        Data set whose samples are mixed: images, recordings, texts or volumes. Default: photos.
    data_root
        Folder of the data.
    size
        In place of data: one to three sides of masks alone, as 200, 32,32 or 32,32,32.
    lam
        λ asked of every mask.
    own_lam
        In the table and its files each mask has a λ of its augmentation's own distribution instead, as in a training.
    columns
        Pairs of samples; of texts, masks.
    count
        Masks of each augmentation that the table and its files are over.
    seed
        Of the masks and the choice of samples.
    out
        File to write: .svg, .png or .pdf. More figures go beside it, with -slices, -words or -spectra in the name, and
        what tells the masks apart, as -structure.csv and -structure.json.
    """
    from ..analysis.presentation.names import label
    from ..analysis.spec import split_list
    from ..analysis.study.study import read_augmentations
    from ..gallery.figures import drawn
    from ..gallery.measures import masks_of, powers, spectra, structures
    from .tables import structure_table

    if out.suffix not in (".svg", ".png", ".pdf"):
        raise InputError(f"--out must end in .svg, .png or .pdf, got {out}.")
    if not 2 <= columns <= 100:
        raise InputError(f"--columns must be 2 to 100, got {columns}.")
    if not 2 <= count <= 100_000:
        raise InputError(f"--count must be 2 to 100,000, got {count:,}.")
    _check_draws(seed)
    policies, aliases = read_augmentations(split_list(augmentations))
    arrays, texts, sides = _mixed_or_masks(policies, data, data_root, size, lam, columns, count, seed)
    if not any(key.startswith(("mask:", "mixed:")) for key in arrays):
        raise InputError(f"none of {augmentations!r} mixes pairs of images; name one such as fmix.")
    _check_count(count, sides)
    if any("fmix" in policy.spec.use for policy in policies):
        arrays |= spectra((sides[0], sides[1])) if len(sides) == 2 else powers(sides)

    def named(text: str) -> str:
        return label(aliases.get(text, text))

    for place, plot in enumerate(drawn(arrays, texts, named)):
        path = out.with_stem(f"{out.stem}-{plot.name}") if place else out
        with _writing(path):
            plot.figure.savefig(path, bbox_inches="tight", facecolor="white", dpi=200)
        print(path)
    told = structures(masks_of(policies, count, sides, lam=None if own_lam else lam, seed=seed))
    if told:
        _write_structure(told, out, {"size": sides, "lam": "own" if own_lam else lam, "seed": seed, "masks": count})
        screen().print(structure_table({named(text): each for text, each in told.items()}))
    return 0


MOST_DRAWN = 2**27  # positions of all masks of one augmentation


def _mixed_or_masks(
    policies: Sequence[Policy],
    data: str | None,
    data_root: Path | None,
    size: str | None,
    lam: float,
    columns: int,
    count: int,
    seed: int,
) -> tuple[dict[str, Any], Sequence[Sequence[str]], tuple[int, ...]]:
    """Arrays to draw, the first words of two texts, and the masks' sides. Raises InputError."""
    from ..analysis.data.load import load_dataset
    from ..gallery.measures import excerpts, gallery, masks_of, masks_of_texts, pictures, pixels

    if size is not None:
        if data is not None:
            raise InputError("--size is of masks without data; leave one of --size and --data out.")
        sides = _sides(size)
        _check_count(count, sides)
        masks = masks_of(policies, columns, sides, lam=lam, seed=seed)
        return {f"mask:{text}": each.numpy() for text, each in masks.items()}, (), sides
    dataset = load_dataset(data or "photos", data_root)
    if dataset.vocabulary is not None:
        both, length = excerpts(dataset, seed), int(dataset.test.images.lengths.median())
        if length < 2:
            raise InputError(
                f"half of the test texts of {dataset.name} are of one word, which nothing is mixed within."
            )
        return masks_of_texts(policies, dataset, columns, len(both[0]), lam=lam, seed=seed), both, (length,)
    if 2 * columns > len(dataset.test):
        raise InputError(
            f"--columns {columns} needs {2 * columns} test images; {dataset.name} has {len(dataset.test)}."
        )
    first, second = pictures(dataset, columns, seed)
    mixed = gallery(policies, first, second, lam=lam, seed=seed, num_classes=len(dataset.classes))
    return {"images": pixels(first), "partners": pixels(second)} | mixed, (), tuple(first.shape[2:])


def _check_count(count: int, sides: tuple[int, ...]) -> None:
    positions = math.prod(sides)
    if (most := MOST_DRAWN // positions) < count:
        raise InputError(f"--count {count:,} masks of {positions:,} positions are too many; give {most:,} at most.")


def _sides(size: str) -> tuple[int, ...]:
    try:
        sides = tuple(int(side) for side in size.split(","))
    except ValueError:
        sides = ()
    if not 1 <= len(sides) <= 3 or not all(2 <= side <= 2**16 for side in sides) or math.prod(sides) > 2**24:
        raise InputError(
            f"--size is one to three sides of 2 to 65,536 positions, 16,777,216 together, as 200, 32,32 or 32,32,32; "
            f"got {size}."
        )
    return sides


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}.") from error


def _write_structure(told: Mapping[str, Sequence[Statistic]], out: Path, settings: Mapping[str, Any]) -> None:
    """What tells masks apart, a line a statistic, as a table and as JSON."""
    rows = [{"augmentation": text, **each._asdict()} for text, statistics in told.items() for each in statistics]
    table, record = (out.with_name(f"{out.stem}-structure{suffix}") for suffix in (".csv", ".json"))
    with _writing(table), table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with _writing(record):
        record.write_text(json.dumps({**settings, "rows": rows}, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(table, record, sep="\n")


def screen() -> Console:
    """Standard output; a file or a pipe is wide enough for every column."""
    plain: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False}  # a name may hold brackets and colons
    found = Console(**plain)
    return found if found.is_terminal else Console(**plain, width=200)


def write_reports(record: StudyRecord, folder: Path, *, answer: bool = False, more: Mapping[str, str] = {}) -> int:
    """Write the report as a page and a PDF, and print where they are; a PDF that cannot be made leaves the page.

    Returns:
        The exit status: 1 where a section of another package cannot be shown; the rest is whole.

    Args:
        answer: print its first page's table and sentences too, once it is written.
        more: what else is to be found where, by its name.
    """
    from ..reports.content import collect
    from ..reports.pdf import NoPDFError
    from ..reports.report import write_content
    from .tables import front_table

    content, page = collect(record), folder / "report.html"
    places = {"report": str(page), "PDF": str(page.with_suffix(".pdf")), "rows": str(page.with_name("rows.csv"))}
    try:
        write_content(content, page, pdf=True)
    except NoPDFError as error:
        print(f"mixlens: {error}", file=sys.stderr)
        del places["PDF"]
    if answer and content.front.columns:
        screen().print(front_table(content.front))
    print_places({**places, **more})
    for message in content.broken:
        print(f"mixlens: {message}", file=sys.stderr)
    return 1 if content.broken else 0


def print_places(places: Mapping[str, str]) -> None:
    """What is to be found where: a line each, its name before."""
    width = max(map(len, places))
    for name, place in places.items():
        print(f"{name:{width}}  {place}")
