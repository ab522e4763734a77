"""The command line: one command per section, whole studies, data and masks. Reads arguments, prints, sets exit status.

Exit status 0: done; 1: some tasks failed; 2: something given cannot be used; 130: interrupted.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Group, Parameter
from rich.console import Console

from .analysis.errors import InputError, unknown
from .analysis.training.config import ClassifierConfig
from .calibration.config import CalibrationConfig
from .gradcam.config import GradCAMConfig
from .options import STUDY, Common, given, overrides_of
from .robustness.config import RobustnessConfig
from .vae.config import VAEConfig

if TYPE_CHECKING:
    from .analysis.interface import Section
    from .analysis.store.record import StudyRecord

_arguments: ContextVar[list[str]] = ContextVar("arguments")  # as typed, for a study's record


def _version() -> str:
    try:
        return version("mixlens")
    except PackageNotFoundError:
        return "not installed"


app = App(
    name="mixlens",
    suppress_keyboard_interrupt=False,
    help="What mixed-sample augmentation (MixUp, CutMix, FMix, your own) does to what a network learns.",
    version=_version,
    help_format="plaintext",
)


VAEOverrides = overrides_of(VAEConfig)
VAESettings = Annotated[VAEOverrides | None, Parameter(name="--vae", group=Group("VAE section", sort_key=3))]  # type: ignore[valid-type]
RobustnessOverrides = overrides_of(RobustnessConfig)
RobustnessSettings = Annotated[
    RobustnessOverrides | None,  # type: ignore[valid-type]
    Parameter(name="--robustness", group=Group("Robustness section", sort_key=4)),
]
ClassifierOverrides = overrides_of(ClassifierConfig, model="--model", weights="--weights")
ClassifierSettings = Annotated[
    ClassifierOverrides | None,  # type: ignore[valid-type]
    Parameter(name="--classifier", group=Group("Classifiers", sort_key=2)),
]
GradCAMOverrides = overrides_of(GradCAMConfig)
GradCAMSettings = Annotated[
    GradCAMOverrides | None,  # type: ignore[valid-type]
    Parameter(name="--gradcam", group=Group("Grad-CAM section", sort_key=5)),
]
CalibrationOverrides = overrides_of(CalibrationConfig)
CalibrationSettings = Annotated[
    CalibrationOverrides | None,  # type: ignore[valid-type]
    Parameter(name="--calibration", group=Group("Calibration section", sort_key=6)),
]
Config = Annotated[str | None, Parameter(group=STUDY)]


@app.command
def run(
    study: str,
    *,
    sections: Annotated[str | None, Parameter(group=STUDY)] = None,
    dry_run: Annotated[bool, Parameter(group=STUDY, negative=())] = False,
    common: Common | None = None,
    classifier: ClassifierSettings = None,
    vae: VAESettings = None,
    robustness: RobustnessSettings = None,
    gradcam: GradCAMSettings = None,
    calibration: CalibrationSettings = None,
) -> int:
    """Run a whole study and write its report. Run the same command again to go on where it stopped.

    Several terminals or machines that share --out may run the same study at once: each takes what is not taken.

    Parameters
    ----------
    study
        A preset (demo, cpu, paper) or a YAML file.
    sections
        Only these sections of it, e.g. vae,robustness.
    dry_run
        Show the plan and stop: every task, what is done already, and how long the rest took in past runs.
    """
    settings: dict[str, Any] = {
        "classifier": given(classifier),
        "vae": given(vae),
        "robustness": given(robustness),
        "gradcam": given(gradcam),
        "calibration": given(calibration),
    }
    return _run(study, common, settings | ({} if sections is None else {"sections": sections}), dry_run=dry_run)


@app.command
def train(*, config: Config = None, common: Common | None = None, classifier: ClassifierSettings = None) -> int:
    """Train the study's classifiers and measure their test accuracy.

    Parameters
    ----------
    config
        A preset (demo, cpu, paper) or a YAML file to start from. Default: the paper's settings.
    """
    return _run(config, common, {"classifier": given(classifier)}, only="classifier")


@app.command
def vae(*, config: Config = None, common: Common | None = None, vae: VAESettings = None) -> int:
    """Paired VAEs: I(Z_A;X), I(Z_A;X̂) and reconstruction error of each augmentation (Table 1).

    Parameters
    ----------
    config
        A preset (demo, cpu, paper) or a YAML file to start from. Default: the paper's settings.
    """
    return _run(config, common, {"vae": given(vae)}, only="vae")


@app.command
def robustness(
    *,
    config: Config = None,
    common: Common | None = None,
    classifier: ClassifierSettings = None,
    robustness: RobustnessSettings = None,
) -> int:
    """Accuracy under FGSM, PGD, BIM, DeepFool and noise at every ε, and the worst case (Fig. 1 and 5).

    Parameters
    ----------
    config
        A preset (demo, cpu, paper) or a YAML file to start from. Default: the paper's settings.
    """
    settings = {"classifier": given(classifier), "robustness": given(robustness)}
    return _run(config, common, settings, only="robustness")


@app.command
def gradcam(
    *,
    config: Config = None,
    common: Common | None = None,
    classifier: ClassifierSettings = None,
    gradcam: GradCAMSettings = None,
) -> int:
    """Sums of the classifiers' Grad-CAM heatmaps over the test set (section 3, Fig. 4).

    Parameters
    ----------
    config
        A preset (demo, cpu, paper) or a YAML file to start from. Default: the paper's settings.
    """
    settings = {"classifier": given(classifier), "gradcam": given(gradcam)}
    return _run(config, common, settings, only="gradcam")


@app.command
def calibration(
    *,
    config: Config = None,
    common: Common | None = None,
    classifier: ClassifierSettings = None,
    calibration: CalibrationSettings = None,
) -> int:
    """Divergence of the classifiers' probabilities from people's labels (Table 6), and calibration against labels.

    Parameters
    ----------
    config
        A preset (demo, cpu, paper) or a YAML file to start from. Default: the paper's settings.
    """
    settings = {"classifier": given(classifier), "calibration": given(calibration)}
    return _run(config, common, settings, only="calibration")


@app.command
def information(
    file: Path | None = None,
    *,
    fit: Path | None = None,
    k: int = 128,
    unit: Literal["nats", "bits"] = "nats",
    seed: int = 0,
    critic_steps: int = 2000,
    jitter: float = 0.0,
    oracle: bool = False,
    level: float = 4.0,
    dimensions: int = 16,
    samples: int = 2000,
) -> int:
    """Estimate mutual information from arrays of your own, or try the estimators where the truth is known (--oracle).

    Parameters
    ----------
    file
        An .npz file: mu and log_sigma (or sigma) of a Gaussian encoder, (N, d) each, and optional z, a draw per image;
        or x and z, (N, d_x) and (N, d_z), paired samples of two variables.
    fit
        A like file of *other* images or pairs: the Gaussian marginal and the critics are fitted on it. Without it there
        is no Gaussian-marginal rate, and critics are trained on one half of the pairs and evaluated on the other.
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
    oracle
        Try every estimator on a Gaussian world with known informations instead of a file.
    level
        With --oracle: I(Z_A;X) of the world, in nats.
    dimensions
        With --oracle: of the latents.
    samples
        With --oracle: how many.
    """
    from .analysis.information.files import estimate_file
    from .analysis.information.oracle import compare
    from .analysis.information.world import GaussianWorld
    from .reports.terminal import comparison_table, estimate_table

    if oracle == (file is not None):
        raise InputError("give either a file of arrays or --oracle; see `mixlens information --help`.")
    if not 0 <= seed < 2**63:
        raise InputError(f"--seed must be a whole number from 0 to 2^63 − 1, got {seed}.")
    if critic_steps < 1:
        raise InputError(f"--critic-steps must be at least 1, got {critic_steps}.")
    screen = _screen()
    if file is None:
        if fit is not None:
            raise InputError("--oracle fits on samples of its own; --fit belongs to a file of arrays.")
        world = GaussianWorld.with_information(level, dimensions)
        screen.print(comparison_table(compare(world, samples, seed=seed, steps=critic_steps), unit))
    else:
        found = estimate_file(file, fit, k=k, seed=seed, critic_steps=critic_steps, jitter=jitter)
        screen.print(estimate_table(found, unit))
    return 0


@app.command
def report(
    *folders: Path,
    out: Path | None = None,
    mixed: bool = False,
    figures: Literal["pdf", "svg", "png"] | None = None,
) -> int:
    """Write a report again from the runs of one study, or of several side by side.

    Parameters
    ----------
    folders
        The studies' folders, such as mixlens-runs/demo.
    out
        Folder to write to. Default: the first study's.
    mixed
        Take studies whose settings differ too, each augmentation named with its study.
    figures
        Write each figure into a file of its own instead, in this format.
    """
    from .analysis.store.record import combine, read_record

    if not folders:
        raise InputError("name at least one study's folder, such as mixlens-runs/demo.")
    record = combine([read_record(folder) for folder in folders], mixed=mixed)
    target = out or folders[0]
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {target}: {error.strerror}.") from error
    if figures is None:
        return _report(record, target)
    from .reports.report import write_figures

    print(*write_figures(record, target, figures), sep="\n")
    return 0


@app.command
def compare(first: str, second: str) -> int:
    """What one study or augmentation changes against another: second minus first, on the same seeds and images.

    Parameters
    ----------
    first
        A study's folder, or one augmentation of it as FOLDER:AUGMENTATION.
    second
        The same. Two whole studies are compared augmentation by augmentation.
    """
    from .reports.compare import compare_studies
    from .reports.terminal import effect_table

    _screen().print(effect_table(compare_studies(first, second)))
    return 0


@app.command
def data(name: str = "cifar10", *, data_root: Path | None = None, fetch: bool = False) -> int:
    """Show what data is there, verified by checksum; with --fetch, download what is missing.

    Parameters
    ----------
    name
        cifar10, cifar10h (people's votes on CIFAR-10's test set), or photos (which needs no download).
    data_root
        Folder of the data. Default: $MIXLENS_DATA, else the user's cache folder.
    fetch
        Download CIFAR-10 (170 MB) or CIFAR-10H (0.8 MB) and verify it.
    """
    from .analysis.data import cifar10, cifar10h, photos

    if name == "photos":
        dataset = photos.load()
        print(f"photos: {len(dataset.train)} training and {len(dataset.test)} test patches, built in")
        return 0
    if name not in ("cifar10", "cifar10h"):
        raise unknown("data set", name, ("cifar10", "cifar10h", "photos"))
    if fetch:
        (cifar10 if name == "cifar10" else cifar10h).fetch(data_root)
    files = cifar10.status(data_root) if name == "cifar10" else [cifar10h.status(data_root)]
    for file in files:
        print(f"{'ok' if file.ok else 'damaged' if file.present else 'missing':8} {file.path}")
    if not all(file.ok for file in files):
        raise InputError(f"{name} is not complete. Run `mixlens data {name} --fetch`, or see `mixlens data --help`.")
    return 0


@app.command
def masks(
    *,
    augmentations: str = "mixup,cutmix,fmix,fmix-official",
    data: str = "photos",
    data_root: Path | None = None,
    lam: float = 0.5,
    columns: int = 10,
    seed: int = 0,
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
        File to write: .svg, .png or .pdf. The spectra go beside it, with -spectra in the name.
    """
    from .analysis.data.dataset import load_dataset
    from .analysis.masks.gallery import gallery, spectra
    from .analysis.masks.policies import parse_policy
    from .analysis.plugins import split_list
    from .analysis.study.gallery import pictures, pixels
    from .reports.gallery import mask_plot, spectrum_plot

    if out.suffix not in (".svg", ".png", ".pdf"):
        raise InputError(f"--out must end in .svg, .png or .pdf, got {out}.")
    if columns < 2:
        raise InputError(f"--columns must be at least 2, got {columns}.")
    policies = [parse_policy(text) for text in split_list(augmentations)]
    dataset = load_dataset(data, data_root)
    if 2 * columns > len(dataset.test):
        raise InputError(f"--columns {columns} needs {2 * columns} test images; {data} has {len(dataset.test)}.")
    first, second = pictures(dataset, columns, seed)
    arrays = gallery(policies, first, second, lam=lam, seed=seed)
    if not arrays:
        raise InputError(f"none of {augmentations!r} mixes pairs of images; name one such as fmix.")
    figures = [mask_plot(pixels(first), pixels(second), arrays), spectrum_plot(spectra(dataset.image_size))]
    for plot, path in zip(figures, (out, out.with_stem(f"{out.stem}-spectra")), strict=True):
        try:
            plot.figure.savefig(path, bbox_inches="tight", facecolor="white", dpi=200)
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}.") from error
        print(path)
    return 0


def _run(
    source: str | None,
    common: Common | None,
    settings: Mapping[str, Any],
    only: str | None = None,
    *,
    dry_run: bool = False,
) -> int:
    """Read the study, run what is missing, write the record and the report; or only show the plan."""
    from .analysis.store.record import TaskRecord, read_record, write_record
    from .analysis.store.runs import Store
    from .analysis.study.execute import Context, Outcome, execute, task_records
    from .analysis.study.gallery import gallery_task
    from .analysis.study.plan import read_study, try_policies
    from .analysis.training.backend import make_backend
    from .analysis.training.progress import Reporter

    common = common or Common()
    sections = _sections()
    overrides = common.overrides() | {name: values for name, values in settings.items() if values}
    if only is not None:
        overrides["sections"] = [only]
    study = read_study(source, sections, overrides)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    backend = make_backend(
        common.device, threads=common.threads, compile=common.compile, deterministic=common.deterministic
    )
    store = Store(common.out / "runs")
    dataset = study.load(common.data_root)
    try_policies(study, dataset)
    tasks = [gallery_task(study, dataset)]
    for name in study.sections:
        tasks += sections[name].tasks(study, dataset, backend)

    if dry_run:
        from .analysis.study.forecast import forecast
        from .reports.terminal import plan_table

        _screen().print(plan_table(study.name, forecast(tasks, store)))
        return 0
    outcome = Outcome()
    folder = common.out / study.name

    def write_down() -> list[TaskRecord]:
        records = task_records(tasks, store, outcome)
        write_record(
            folder,
            name=study.name,
            command=shlex.join(["mixlens", *_arguments.get()]),
            settings=study.describe(),
            started=started,
            runs=store.root,
            tasks=records,
        )
        return records

    write_down()  # now, so that an unfinished study can be reported, and a folder that cannot be written is known
    try:
        with Reporter(quiet=common.quiet) as reporter:
            execute(tasks, store, Context(study.name, dataset, backend, reporter), outcome)
            reporter.say(f"{outcome.fresh} tasks run, {len(outcome.done) - outcome.fresh} taken from {store.root}")
    finally:
        records = write_down()
    for record in records:
        if record.state != "done":
            print(f"mixlens: {record.state}: {record.label}. {record.reason}".rstrip(), file=sys.stderr)
    written = read_record(folder)
    if written.rows():
        _report(written, folder)
    return 1 if outcome.failed else 0


def _screen() -> Console:
    """Standard output; a file or a pipe is wide enough for every column."""
    plain: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False}  # a name may hold brackets and colons
    screen = Console(**plain)
    return screen if screen.is_terminal else Console(**plain, width=200)


def _report(record: StudyRecord, folder: Path) -> int:
    """Write the report as a page and a PDF, and print where they are; a PDF that cannot be made leaves the page."""
    from .reports.pdf import NoPDFError
    from .reports.report import write_report

    page = folder / "report.html"
    try:
        write_report(record, page, pdf=True)
        made = [page, page.with_suffix(".pdf")]
    except NoPDFError as error:
        print(f"mixlens: {error}", file=sys.stderr)
        made = [page]
    print(*made, sep="\n")
    return 0


def _sections() -> dict[str, Section]:
    found: dict[str, Section] = {}
    for point in entry_points(group="mixlens.sections"):
        found[point.name] = point.load()
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """The ``mixlens`` command. Returns the exit status; a user's mistake is one message, never a traceback."""
    errors = Console(stderr=True, highlight=False, emoji=False)
    given = sys.argv[1:] if arguments is None else list(arguments)
    _arguments.set(given)
    try:
        for argument in given:
            if not argument.isascii() and argument != argument.encode(errors="ignore").decode():
                raise InputError(f"{argument!r} is not UTF-8, so that no record could hold it; rename it.")
        result = app(
            given,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
    except CycloptsError as error:
        errors.print(f"mixlens: {error}".replace("\n", " "), markup=False, soft_wrap=True)
        return 2
    except InputError as error:
        errors.print(f"mixlens: {error}".replace("\n", " "), markup=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        errors.print("mixlens: interrupted. Run the same command again to go on where it stopped.", markup=False)
        return 130
    return result if isinstance(result, int) else 0
