"""The commands that run no study: reports, comparisons, information of a user's arrays, data, masks."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console

from ..analysis.errors import InputError
from .flags import Whole

if TYPE_CHECKING:
    from ..analysis.data.files import DataFile
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
        for known in source_names():
            source = find_source(known)
            state, asked = _state(source.status(data_root)), getattr(source, "ASK", "")
            how = "" if state in ("ok", "own") else f" ({asked})" if asked else f" (mixlens data {known} --fetch)"
            print(f"{state:8} {known:14} {source.ABOUT}{how}")
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
    data: str = "photos",
    data_root: Path | None = None,
    lam: float = 0.5,
    columns: Whole = 10,
    seed: Whole = 0,
    out: Path = Path("masks.svg"),
) -> int:
    """Draw masks and mixed images of each augmentation (like Fig. 2), and FMix's mean power spectra.

    Parameters
    ----------
    augmentations
        What to draw.
    data
        Data set whose images are mixed.
    data_root
        Folder of the data.
    lam
        λ asked of every mask.
    columns
        Pairs of images.
    seed
        Of the masks and the choice of images.
    out
        File to write: .svg, .png or .pdf. FMix's spectra go beside it, with -spectra in the name.
    """
    from ..analysis.data.load import load_dataset
    from ..analysis.presentation.names import label
    from ..analysis.spec import split_list
    from ..analysis.study.study import read_augmentations
    from ..gallery.figures import mask_plot, spectrum_plot
    from ..gallery.measures import gallery, pictures, pixels, spectra

    if out.suffix not in (".svg", ".png", ".pdf"):
        raise InputError(f"--out must end in .svg, .png or .pdf, got {out}.")
    if not 2 <= columns <= 100:
        raise InputError(f"--columns must be 2 to 100, got {columns}.")
    _check_draws(seed)
    policies, aliases = read_augmentations(split_list(augmentations))
    dataset = load_dataset(data, data_root)
    if 2 * columns > len(dataset.test):
        raise InputError(f"--columns {columns} needs {2 * columns} test images; {data} has {len(dataset.test)}.")
    first, second = pictures(dataset, columns, seed)
    arrays = gallery(policies, first, second, lam=lam, seed=seed, num_classes=len(dataset.classes))
    if not arrays:
        raise InputError(f"none of {augmentations!r} mixes pairs of images; name one such as fmix.")
    pairs = {"images": pixels(first), "partners": pixels(second)}
    figures = [mask_plot(pairs | arrays, lambda text: label(aliases.get(text, text)))]
    if any("fmix" in policy.spec.use for policy in policies):
        figures.append(spectrum_plot(spectra(dataset.image_size)))
    for plot, path in zip(figures, (out, out.with_stem(f"{out.stem}-spectra")), strict=False):
        try:
            plot.figure.savefig(path, bbox_inches="tight", facecolor="white", dpi=200)
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}.") from error
        print(path)
    return 0


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
