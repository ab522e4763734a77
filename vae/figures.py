"""The section's tables and figures, from rows and arrays. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.interface import PaperValues, Printed
from ..analysis.presentation.figures import FAINT, INK, drawing, log_axis, name_lines, over_epochs, picture_grid
from ..analysis.presentation.names import colours, short
from ..analysis.presentation.numbers import change, column, number, over_seeds
from ..analysis.presentation.parts import About, Equation, Plot, Table
from ..analysis.statistics.effect import Measured
from ..analysis.statistics.seeds import sd
from ..analysis.store.record import StudyRecord
from . import bounds_figures, protocol_figures
from .bounds_figures import Line, of
from .config import ACTIVE, SECTION

# quantity → (heading, axis label); the paper's names, with what they are
QUANTITIES = {
    "rate": ("I(Z_A;X)", "rate on test images (nats)"),
    "rate_reconstruction": ("I(Z_A;X̂)", "rate on reconstructions (nats)"),
    "mse": ("MSE", "squared error (normalised pixels)"),
}
# Beside them where differences are shown: does the ordering survive another estimate?
COMPARED = {
    "rate": "I(Z_A;X)",
    "rate_gaussian": "its Gaussian-marginal rate",
    "rate_mixture": "its mixture-marginal rate",
    "rate_reconstruction": "I(Z_A;X̂)",
    "latents_canonical": "I(Z_A;Z_X), canonical",
    "mse": "MSE",
}
OTHERS = {"rate_gaussian": "Gaussian-marginal rate"}
NO_MEAN = "latents_canonical"  # of those compared, the one that is no mean over images
TIGHTEST = ("rate_mixture", "I(Z_A;X), mixture-marginal rate")  # of the upper bounds
LINEAR = {"rate": "linear_rate", "mse": "linear_mse"}  # quantity → the same of the linear VAE
SELF, INDEPENDENT = "self", "independent"

ABOUT = About(
    question="How much do the latents of a VAE trained on augmented images know of real images?",
    text=(
        "For each seed a reference VAE is trained on real images, and one VAE per augmentation on mixed images. The "
        "paper reports two numbers of each augmented encoder q_A, over the whole test set:",
        Equation(
            "I(Z_A;X), in the paper's words: the mean over images of the KL divergence of q_A(z given x) from the "
            "standard normal",
            r"\text{“}I(Z_A;X)\text{”} = \mathbb{E}_x\,\mathrm{KL}\big(q_A(z|x)\,\|\,N(0,I)\big)",
            r'"“"I(Z_A; X)"”" = EE_x "KL"(q_A (z|x) || cal(N)(0, I))',
        ),
        Equation(
            "I(Z_A;X hat), in the paper's words: the same on reconstructions by the reference VAE",
            r"\text{“}I(Z_A;\hat X)\text{”} = \mathbb{E}_x\,\mathrm{KL}\big(q_A(z|\hat x)\,\|\,N(0,I)\big),\quad "
            r"\hat x = \mathrm{decode}_X(z),\; z \sim q_X(z|x)",
            r'"“"I(Z_A; hat(X))"”" = EE_x "KL"(q_A (z|hat(x)) || cal(N)(0, I)), quad '
            r'hat(x) = "decode"_X (z), z ~ q_X (z|x)',
        ),
        "Both are rates. The first is an upper bound on the mutual information I(Z_A;X); it exceeds it by "
        "KL(q_A(z)‖N(0,I)), the marginal gap. The second concerns a latent Z′_A that was made from the reconstruction. "
        "The paper reports it as a bound on I(Z_A;Z_X), what the two latents of one image share. There are two chains:",
        Equation(
            "Paired: Z_A from X, and X hat from Z_X from X. Re-encoded: Z'_A from X hat from Z_X from X",
            r"\text{paired: } Z_A \leftarrow X \rightarrow Z_X \rightarrow \hat X \qquad "
            r"\text{re-encoded: } X \rightarrow Z_X \rightarrow \hat X \rightarrow Z_A'",
            r'"paired:" Z_A <- X -> Z_X -> hat(X) quad quad "re-encoded:" X -> Z_X -> hat(X) -> Z_A^prime',
        ),
        "Data processing gives I(Z_A;X̂) ≤ I(Z_A;Z_X) ≤ I(Z_A;X) on the first; the paper’s number is on the second, of "
        "which no such inequality holds, and is an upper bound there. Both numbers stand in the first table under the "
        "paper’s names. Beside them: the rates against a Gaussian and a mixture of Gaussians fitted to the training "
        "images’ encodings instead of N(0, I), the interval of the marginal gap, both sides of the sandwich with its "
        "saturation flag, and estimates on the paired chain.",
    ),
    caveats=(
        "An upper bound that differs between two encoders does not order their informations: the marginal gaps may "
        "differ instead. The bounds’ table shows both.",
        "An estimate by contrast with N images cannot exceed log N, whatever the truth; where it comes near, it is "
        "marked as saturated.",
        "The null pair, a baseline trained twice, says how much of a difference another training makes.",
    ),
)


def tables(record: StudyRecord, printed: PaperValues) -> list[Table]:
    """Table 1 with the paper's values beside ours, the differences to the baseline, and what the rates leave open."""
    rows = _rows(record)
    lines = _lines(record, rows)
    shown = [_table_1(rows, lines, printed), _differences(record, rows, lines), *bounds_figures.tables(rows, lines)]
    return [*shown, _quality(rows, lines, _linear(record))] if "neg_elbo" in set(rows["quantity"]) else shown


def plots(record: StudyRecord, printed: PaperValues) -> list[Plot]:
    """Rates and errors, bounds, reconstructions, training curves; the estimators where the truth is known."""
    rows = _rows(record)
    lines = _lines(record, rows)
    trained = [line._replace(name=record.label(line.arm)) for line in lines if line.pair == INDEPENDENT]
    quantities = set(rows["quantity"])
    shown = [_quantities_plot(rows, lines, printed, _linear(record))]
    if "rate_gaussian" in quantities:
        shown.append(bounds_figures.range_plot(rows, lines))
    if found := protocol_figures.points(rows[rows["pair"] == INDEPENDENT]):
        shown.append(protocol_figures.protocol_plot(found))
    if trained and "active_units" in quantities:
        shown.append(_latents_plot(record, trained))
    if trained:
        shown += [_reconstructions_plot(record, rows, trained), _curves_plot(record, rows, trained)]
    tried = record.table(SECTION.name).dropna(subset="estimator") if record.done("vae-oracle") else None
    return shown if tried is None else [*shown, bounds_figures.oracle_plot(tried)]


def measured(record: StudyRecord) -> list[Measured]:
    """What the front page and the claims compare: bounds and the error of each augmentation's own VAE.

    The tightest upper bound leads.
    """
    rows = _rows(record)
    there = set(rows["quantity"])
    headings = dict([TIGHTEST] if TIGHTEST[0] in there else []) | {name: text for name, (text, _) in QUANTITIES.items()}
    headings |= {name: f"I(Z_A;X), {text}" for name, text in OTHERS.items() if name in there}
    shown = [
        Measured(
            quantity,
            heading,
            "" if quantity == "mse" else "nats",
            record.terms(SECTION.name, quantity, pair=INDEPENDENT),
            front="Upper bound on information" if place == 0 else "",
            figure="vae-quantities" if quantity in QUANTITIES else "vae-range",
        )
        for place, (quantity, heading) in enumerate(headings.items())
    ]
    if NO_MEAN in there:
        chosen = rows[(rows["quantity"] == NO_MEAN) & (rows["pair"] == INDEPENDENT)]
        columns = (chosen["arm"], chosen["seed"], chosen["value"])
        terms = {(arm, int(seed)): np.array([value], float) for arm, seed, value in zip(*columns, strict=True)}
        shown.append(Measured(NO_MEAN, COMPARED[NO_MEAN], "nats", terms, figure="vae-range"))
    return shown


def _linear(record: StudyRecord) -> dict[str, float]:
    """What the linear VAE reached, by its quantities' names."""
    rows = record.table(SECTION.name)
    rows = rows[rows["quantity"].str.startswith("linear_")].drop_duplicates("quantity")
    return dict(zip(rows["quantity"], rows["value"].astype(float), strict=True))


def _rows(record: StudyRecord) -> pd.DataFrame:
    """What was measured on VAEs, without the estimators' own trial."""
    table = record.table(SECTION.name)
    return table.assign(pair=table.get("pair")).dropna(subset="pair")  # where no VAE was measured no row has one


def _lines(record: StudyRecord, rows: pd.DataFrame) -> list[Line]:
    """Each measured line of Table 1, in the order of the rows; a baseline's as it is paired with itself and not."""
    measured = dict.fromkeys(zip(rows["arm"], rows["pair"], strict=True))
    pairs = {SELF: "paired with itself", INDEPENDENT: "second training"}
    lines = []
    for arm in dict.fromkeys(arm for arm, _ in measured):
        for pair, words in pairs.items():
            if (arm, pair) in measured:
                lines.append(Line(arm, pair, f"{record.label(arm)}, {words}" if arm.is_baseline else record.label(arm)))
    return lines


def _table_1(rows: pd.DataFrame, lines: Sequence[Line], printed: PaperValues) -> Table:
    header = ["Augmentation"]
    for heading, _ in QUANTITIES.values():
        header += [heading, "paper"] if printed else [heading]
    body, found = [], {name: [of(rows, line, name)["value"] for line in lines] for name in QUANTITIES}
    shown = {name: column(values) for name, values in found.items()}
    for place, line in enumerate(lines):
        cells = [line.name]
        for quantity in QUANTITIES:
            cells.append(shown[quantity][place])
            if printed:
                paper = _printed(printed, line, quantity)
                cells.append(number(paper.value, paper.sd, paper.decimals) if paper else "—")
        body.append((*cells, str(len(found["rate"][place]))))
    rows = rows[rows["quantity"].isin(list(QUANTITIES))]
    images = ", ".join(f"{n:,}" for n in sorted(set(rows["n"])))
    errors = ", ".join(f"{rows.loc[rows['quantity'] == quantity, 'stderr'].max():.2g}" for quantity in QUANTITIES)
    caption = (
        f"Mean ± standard deviation over training seeds. The standard errors over the {images} test images are another "
        f"matter: at most {errors}. The informations are rates in nats: the first is an upper bound on I(Z_A;X), the "
        "second an upper bound on the information between reconstructions and their re-encoding, which bounds "
        "I(Z_A;Z_X) from neither side. MSE in squared normalised pixels."
    )
    if printed:
        sources = sorted({value.source for values in printed.values() for value in values.values()})
        trials = max(value.trials or 1 for values in printed.values() for value in values.values())
        caption += (
            f" The paper's values: {' and '.join(sources)}, CIFAR-10, 100 epochs, {trials} trials; it prints one FMix, "
            "which stands beside both variants."
        )
    return Table("vae-table-1", "What a VAE learned (the paper’s Table 1)", caption, (*header, "seeds"), tuple(body))


def _quality(rows: pd.DataFrame, lines: Sequence[Line], linear: Mapping[str, float]) -> Table:
    """How good the VAEs are, beside the best linear one."""
    body = []
    for line in lines:
        bound, units, rates = (of(rows, line, quantity)["value"] for quantity in ("neg_elbo", "active_units", "rate"))
        per_unit = pd.Series(rates.to_numpy() / np.maximum(units.to_numpy(), 1))
        body.append((line.name, over_seeds(bound), over_seeds(units), over_seeds(per_unit), str(len(bound))))
    if "linear_neg_elbo" in linear:
        body.append(("Linear VAE (closed form)", f"{linear['linear_neg_elbo']:.1f}", "—", "—", "—"))
    return Table(
        "vae-quality",
        "How good the VAEs are",
        "−ELBO: rate plus half the squared error, in nats and without a constant, on test images; the less the better. "
        "A network above the linear VAE (probabilistic PCA with as many latents, unit noise) is under-trained. Active: "
        f"latents that carry more than {ACTIVE:g} nat. A rate that falls with the active latents falls because "
        "latents died, not because each tells less of the image. Mean ± standard deviation over seeds.",
        ("Augmentation", "−ELBO (nats)", "active latents", "rate per active latent (nats)", "seeds"),
        tuple(body),
    )


def _printed(printed: PaperValues, line: Line, quantity: str) -> Printed | None:
    """The paper's value; it pairs a baseline with itself only."""
    if line.arm.is_baseline and line.pair == INDEPENDENT:
        return None
    return printed.get(line.arm.augmentation, {}).get(quantity)


def _differences(record: StudyRecord, rows: pd.DataFrame, lines: Sequence[Line]) -> Table:
    compared = {quantity: heading for quantity, heading in COMPARED.items() if quantity in set(rows["quantity"])}
    body = []
    for line in lines:
        if not line.arm.is_baseline:
            changes = (record.family.of(SECTION.name, quantity, line.arm) for quantity in compared)
            body.append((line.name, *map(change, changes)))
    caption = (
        "Difference to the baseline's second training, which shares each seed's initial weights and order of images, "
        "with its 95% interval, judged as the summary says."
    )
    if NO_MEAN in compared:
        caption += f" Of {COMPARED[NO_MEAN]}, which is no mean over images, the interval is over seeds alone."
    header = ("Augmentation", *compared.values())
    return Table("vae-differences", "Differences to the baseline", caption, header, tuple(body))


def _quantities_plot(
    rows: pd.DataFrame, lines: Sequence[Line], printed: PaperValues, linear: Mapping[str, float]
) -> Plot:
    palette = colours(list(dict.fromkeys(rows["arm"])))
    with drawing():
        figure = Figure(figsize=(8.6, 0.42 * len(lines) + 1.5), layout="constrained")
        axes = figure.subplots(1, len(QUANTITIES), sharey=True)
        for axis, (quantity, (heading, unit)) in zip(axes, QUANTITIES.items(), strict=True):
            for y, line in enumerate(lines):
                values = of(rows, line, quantity)["value"]
                colour = palette[line.arm]
                axis.errorbar(values.mean(), y, xerr=sd(values) or 0, fmt="o", color=colour, capsize=3, zorder=3)
                axis.plot(values, np.full(len(values), y + 0.22), "|", color=colour, ms=6, zorder=3)
                paper = _printed(printed, line, quantity)
                if paper is not None:
                    axis.errorbar(
                        paper.value, y - 0.22, xerr=paper.sd, fmt="D", mfc="none", ms=4, color=FAINT, zorder=2
                    )
            if LINEAR.get(quantity) in linear:
                axis.axvline(linear[LINEAR[quantity]], color=INK, lw=0.8, ls=":", zorder=1)
            axis.set_title(heading)
            axis.set_xlabel(unit)
            axis.grid(axis="x")
        axes[0].set_yticks(range(len(lines)), [short(line.name, line=24) for line in lines])
        axes[0].set_ylim(len(lines) - 0.5, -0.6)
    return Plot(
        "vae-quantities",
        "Rates and reconstruction error",
        "Dots: mean over seeds, bars: standard deviation; ticks: single seeds."
        + (" Grey diamonds: the paper's values, after 100 epochs." if printed else "")
        + (" Dotted: the linear VAE of as many latents." if linear else ""),
        "Three dot plots, one per quantity, with a line for each augmentation; the numbers are those of Table 1.",
        figure,
    )


def _latents_plot(record: StudyRecord, trained: Sequence[Line]) -> Plot:
    terms = record.terms(SECTION.name, "rate_per_latent", pair=INDEPENDENT)
    palette = colours([line.arm for line in trained])
    with drawing():
        figure = Figure(figsize=(8.6, 2.8), layout="constrained")
        axis = figure.subplots()
        for line in trained:
            for count, rates in enumerate(rates for (arm, _), rates in terms.items() if arm == line.arm):
                falling = np.sort(rates)[::-1]
                place = np.arange(1, len(falling) + 1)
                axis.plot(place, falling, color=palette[line.arm], lw=1, label=None if count else line.name)
        axis.axhline(ACTIVE, color=INK, lw=0.8, ls=":")
        log_axis(axis, "y")
        axis.set_xlabel("latents, the most telling first")
        axis.set_ylabel("rate of a latent (nats)")
        axis.grid(axis="y")
        name_lines(figure, axis)
    return Plot(
        "vae-latents",
        "Which latents live",
        f"The rate of each latent, from the greatest to the least, one line per seed. Dotted: {ACTIVE:g} nat, below "
        "which a latent counts as dead. A rate that is lower because latents died falls off at the right; one that is "
        "lower although they live lies lower throughout.",
        "One falling curve for each VAE, rate against rank of the latent; how many lie above the dotted line is in the "
        "table of how good the VAEs are.",
        figure,
    )


def _reconstructions_plot(record: StudyRecord, rows: pd.DataFrame, trained: Sequence[Line]) -> Plot:
    strips: list[tuple[str, np.ndarray]] = []
    for line in trained:
        first = of(rows, line, "mse").iloc[0]  # of the lowest seed that finished
        arrays = record.run(str(first["run"])).read_arrays("images", "reconstructions")
        if not strips:
            strips.append(("Test image", arrays["images"]))
        strips.append((line.name, arrays["reconstructions"]))
    return Plot(
        "vae-reconstructions",
        "Reconstructions of the same test images",
        "Test images, evenly spaced over the test set, through the first seed's VAE of each augmentation: decode(z), "
        "one z ~ q(z|x).",
        f"A grid of pictures: test images in the first row, then their reconstructions by {len(strips) - 1} VAEs.",
        picture_grid(strips),
    )


def _curves_plot(record: StudyRecord, rows: pd.DataFrame, trained: Sequence[Line]) -> Plot:
    palette = colours(list(dict.fromkeys(rows["arm"])))
    inputs = {task.name: task.inputs for task in record.tasks}
    panels = {"train_loss": "training −ELBO (nats)", "test_rate": "test rate (nats)", "test_mse": "test MSE"}
    with drawing():
        figure = Figure(figsize=(8.6, 2.8), layout="constrained")
        axes: np.ndarray = figure.subplots(1, len(panels))
        for line in trained:
            for count, measurement in enumerate(of(rows, line, "rate")["run"]):
                training = record.run(inputs[measurement][1])
                history = pd.DataFrame(training.read_history("epoch", *panels))
                for axis, (column, unit) in zip(axes, panels.items(), strict=True):
                    _curve(axis, history, column, unit, palette[line.arm], None if count else line.name)
        name_lines(figure, axes[0])
    return Plot(
        "vae-curves",
        "Training curves",
        "One line per seed. The training loss is measured on augmented images, so its level compares within an "
        "augmentation only; test rate and error are on the first 2,000 real test images (or all, if fewer).",
        "Three line charts over epochs: training loss, test rate and test error of every VAE.",
        figure,
    )


def _curve(axis: Axes, history: pd.DataFrame, column: str, unit: str, colour: str, name: str | None) -> None:
    over_epochs(axis, history["epoch"], history[column], color=colour, label=name)
    axis.set_title(unit, color=INK)
    axis.grid(axis="y")
