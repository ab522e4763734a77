"""The section's tables and figures, from rows and bins. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..analysis.interface import Arm, PaperValues
from ..analysis.presentation.figures import FAINT, INK, drawing, name_lines
from ..analysis.presentation.names import colours
from ..analysis.presentation.numbers import difference, number, over_seeds
from ..analysis.presentation.parts import About, Equation, Plot, Table
from ..analysis.statistics.effect import Measured
from ..analysis.store.record import StudyRecord
from .config import SECTION

ABOUT = About(
    question="Do a classifier’s probabilities look like people’s, and are they right as often as they say?",
    text=(
        "From the softmax p of each test image and people’s votes c for its classes (n votes, C classes), which give "
        "their probabilities h:",
        Equation(
            "the divergence of people's probabilities h from the model's p, and of p from h; h is smoothed with a "
            "pseudo-votes for each class",
            r"D(h\|p) = \sum_k h_k \log\frac{h_k}{p_k},\quad D(p\|h) = \sum_k p_k \log\frac{p_k}{h_k},\quad "
            r"h_k = \frac{c_k + a}{n + C a}",
            r"D(h || p) = sum_k h_k log h_k / p_k, quad D(p || h) = sum_k p_k log p_k / h_k, quad "
            r"h_k = (c_k + a) / (n + C a)",
        ),
        "Every score stands here twice: as trained, and after temperature scaling, with each half of the test images "
        "at the temperature that fits the labels of the other half.",
    ),
    caveats=(
        "A network can come closer to people by being softer everywhere, without knowing where they hesitate. That is "
        "what the scaled scores are for.",
        "D(model‖human) is infinite wherever nobody voted for a class to which the network gives a probability: nearly "
        "every image. It depends on the smoothing a, which is why several are given.",
        "ECE is biased upwards: a calibrated network’s is not zero.",
    ),
)
TEMPERATURES = ("as trained", "scaled")
SHOWN_TEMPERATURES = (0.25, 0.5, 0.7, 1, 1.4, 2, 4)
HUMAN_MODEL, MODEL_HUMAN = "D(human‖model)", "D(model‖human)"
SYMBOLS = {"nll": "NLL", "human_model": HUMAN_MODEL}


def tables(record: StudyRecord, printed: PaperValues) -> list[Table]:
    """Table 6 with both directions, what softness alone explains, agreement beyond it, and calibration."""
    rows = _rows(record)
    shown = [_labels(record, rows)]
    if (rows["quantity"] == "human_model").any():
        arms = _arms(rows)
        compared = [_differences(record, rows)] if len({arm.is_baseline for arm in arms}) == 2 else []
        beside = [_at_temperatures(record, rows), _agreement(record, rows)]
        shown = [_directions(record, rows, printed), *compared, *beside, *shown]
    return shown


def plots(record: StudyRecord, printed: PaperValues) -> list[Plot]:
    """Divergence from people against temperature, and reliability diagrams before and after scaling."""
    rows = _rows(record)
    shown = [_reliability(record, rows)]
    if (rows["quantity"] == "human_model").any():
        shown.insert(0, _softness(record, rows))
    return shown


def measured(record: StudyRecord) -> list[Measured]:
    """What the front page and the claims compare: D(human‖model), or without people's labels the NLL."""
    rows = _rows(record)
    people = (rows["quantity"] == "human_model").any()
    quantity, title, front = (
        ("human_model", HUMAN_MODEL, "Distance from people") if people else ("nll", "NLL", "Loss on the labels")
    )
    figure = "calibration-softness" if people else "calibration-reliability"
    shown = []
    for temperature in TEMPERATURES:
        terms = record.terms(SECTION.name, f"{temperature}:{quantity}", temperature=temperature)
        if temperature == "as trained":
            shown.append(Measured(quantity, title, "nats", terms, front=front, figure=figure))
        else:
            shown.append(Measured(f"{quantity}_scaled", f"{title}, {temperature}", "nats", terms, figure=figure))
    return shown


def _rows(record: StudyRecord) -> pd.DataFrame:
    rows = record.table(SECTION.name)
    return rows if "smoothing" in rows else rows.assign(smoothing=np.nan)  # without people's labels


def _arms(rows: pd.DataFrame) -> list[Arm]:
    return list(dict.fromkeys(rows["arm"]))


def _values(
    rows: pd.DataFrame, arm: Arm, quantity: str, temperature: str | None = None, smoothing: float | None = None
) -> pd.Series:
    """One value a seed."""
    chosen = rows[(rows["arm"] == arm) & (rows["quantity"] == quantity)]
    for column, wanted in (("temperature", temperature), ("smoothing", smoothing)):
        if wanted is not None:
            chosen = chosen[chosen[column] == wanted]
    return chosen.set_index("seed")["value"]


def _smoothings(rows: pd.DataFrame) -> list[float]:
    return sorted(set(rows.loc[(rows["quantity"] == "model_human") & (rows["smoothing"] > 0), "smoothing"]))


def _directions(record: StudyRecord, rows: pd.DataFrame, printed: PaperValues) -> Table:
    smoothings = _smoothings(rows)
    header = ["Augmentation", HUMAN_MODEL, *(["paper"] if printed else []), f"{MODEL_HUMAN}, a = 0"]
    header += [f"{MODEL_HUMAN}, a = {a:g}" for a in smoothings]
    body = []
    for arm in _arms(rows):
        cells = [record.label(arm), over_seeds(_values(rows, arm, "human_model", "as trained", 0.0))]
        if printed:
            paper = printed.get(arm.augmentation, {}).get("human_model")
            cells.append(number(paper.value, paper.sd, paper.decimals) if paper else "—")
        infinite = _values(rows, arm, "model_human_infinite", "as trained", 0.0)
        raw = _values(rows, arm, "model_human", "as trained", 0.0)
        cells.append(f"∞ ({100 * infinite.mean():.1f}% of images)" if len(infinite) else over_seeds(raw))
        cells += [over_seeds(_values(rows, arm, "model_human", "as trained", a)) for a in smoothings]
        body.append(tuple(cells))
    floors = [("split_half", a) for a in smoothings]
    first = _arms(rows)[0]
    dashes = ["—"] * (2 if printed else 1)
    floor = (over_seeds(_values(rows, first, quantity, None, a).iloc[:1]) for quantity, a in floors)
    body.append(("People, half against half", *dashes, "—", *floor))
    caption = (
        f"Nats per image, mean ± standard deviation over training seeds; {_error_over_images(rows, 'human_model')} "
        "People's probabilities are (c + a)/(n + Ca) "
        f"from their votes c; {HUMAN_MODEL} needs no smoothing (a = 0), {MODEL_HUMAN} is infinite without it wherever "
        "a class has no vote. The last line: the votes of each image dealt into two halves, D(half‖other half)."
    )
    if printed:
        caption += (
            " The paper prints one direction, which its text and its numbers name differently (section's README)."
        )
    return Table(
        "calibration-table-6", "Divergence from people (the paper’s Table 6)", caption, tuple(header), tuple(body)
    )


def _differences(record: StudyRecord, rows: pd.DataFrame) -> Table:
    body = []
    for arm in _arms(rows):
        if arm.is_baseline:
            continue
        cells = [record.label(arm)]
        for temperature in TEMPERATURES:
            pair = (arm, arm.baseline)
            ours, baseline = (_values(rows, each, "human_model", temperature, 0.0) for each in pair)
            cells.append(difference((ours - baseline).dropna()))
        body.append(tuple(cells))
    return Table(
        "calibration-differences",
        "What softness alone explains",
        f"{HUMAN_MODEL} in nats minus the baseline's of the same seed, as trained and after temperature scaling (each "
        "half of the test images at the temperature fitted on the other half's labels): mean over seeds and its 95% "
        "Student t interval, each by itself. What remains after scaling is no matter of softer outputs.",
        ("Augmentation", "as trained", "scaled"),
        tuple(body),
    )


def _at_temperatures(record: StudyRecord, rows: pd.DataFrame) -> Table:
    """The curves of `_softness` at a few temperatures."""
    keys = {"curve:human_model": HUMAN_MODEL}
    keys |= {f"curve:model_human:{a:g}": f"{MODEL_HUMAN}, a = {a:g}" for a in _smoothings(rows)}
    body, header = [], []
    for arm in _arms(rows):
        runs = dict.fromkeys(rows.loc[rows["arm"] == arm, "run"])
        arrays = [record.run(run).read_arrays("temperatures", *keys) for run in runs]
        temperatures = arrays[0]["temperatures"]
        chosen = [int(np.abs(np.log(temperatures / wanted)).argmin()) for wanted in SHOWN_TEMPERATURES]
        header = [f"T = {temperatures[place]:.3g}" for place in chosen]
        for key, text in keys.items():
            curves = pd.DataFrame([kept[key][chosen] for kept in arrays])
            body.append((f"{record.label(arm)}, {text}", *(f"{value:.3f}" for value in curves.mean())))
    return Table(
        "calibration-temperatures",
        "The same networks, sharper and softer",
        "Nats, mean over training seeds, with the logits divided by T: below 1 sharper than trained, above 1 softer. "
        "What changes along a line is softness alone.",
        ("Network and direction", *header),
        tuple(body),
    )


def _agreement(record: StudyRecord, rows: pd.DataFrame) -> Table:
    columns = {
        "jensen_shannon": ("Jensen–Shannon", 1),
        "total_variation": ("total variation", 1),
        "soft_cross_entropy": ("H(human, model)", 1),
        "entropy_model": ("entropy of the model", 1),
        "entropy_correlation": ("rank correlation of entropies", 1),
        "second_best": ("second best (%)", 100),
    }
    body = [
        (
            f"{record.label(arm)}, {temperature}",
            *(over_seeds(factor * _values(rows, arm, q, temperature)) for q, (_, factor) in columns.items()),
        )
        for arm in _arms(rows)
        for temperature in TEMPERATURES
    ]
    people = rows.loc[rows["quantity"] == "entropy_people", "value"].iloc[0]
    return Table(
        "calibration-agreement",
        "Agreement with people",
        "Mean ± standard deviation over training seeds; divergences and entropies in nats. People's own entropy is "
        f"{people:.3f}. Second best: how often the model's second class is one of people's second choices, on images "
        "where they have one (a tie for the second place: any of them; for the first: the lowest class is the first).",
        ("Augmentation", *(heading for heading, _ in columns.values())),
        tuple(body),
    )


def _labels(record: StudyRecord, rows: pd.DataFrame) -> Table:
    quantities: Sequence[tuple[str, str, float]] = (
        ("nll", "NLL", 1),
        ("brier", "Brier", 1),
        ("ece", "ECE (%)", 100),
        ("adaptive_ece", "adaptive ECE (%)", 100),
    )
    body = []
    for arm in _arms(rows):
        temperatures = _values(rows, arm, "temperature")
        fitted = over_seeds(temperatures) if len(temperatures) else "none fits"
        for temperature in TEMPERATURES:
            cells = (over_seeds(factor * _values(rows, arm, q, temperature)) for q, _, factor in quantities)
            name = f"{record.label(arm)}, {temperature}"
            body.append((name, "1" if temperature == "as trained" else fitted, *cells))
    caption = (
        f"Mean ± standard deviation over training seeds; {_error_over_images(rows, 'nll')} T: the temperature "
        "fitted on labels (above 1: the network was too sure). NLL in nats; Brier: Σ (p − label)²; ECE over bins of "
        "equal width, adaptive ECE of equal numbers of images."
    )
    if not (rows["quantity"] == "human_model").any():
        caption += " There are no human labels for this data set, so agreement with people is left out."
        if record.settings["data"] == "cifar10":
            caption += " `mixlens data cifar10h --fetch` brings CIFAR-10's."
    header = ("Augmentation", "T", *(heading for _, heading, _ in quantities))
    return Table("calibration-labels", "Calibration against the labels", caption, header, tuple(body))


def _error_over_images(rows: pd.DataFrame, quantity: str) -> str:
    chosen = rows[rows["quantity"] == quantity]
    images = " and ".join(f"{n:,}" for n in sorted(set(chosen["n"])))
    error = f"{chosen['stderr'].max():.2g}"
    return f"{images} test images, over which the standard error of {SYMBOLS[quantity]} is at most {error}."


def _softness(record: StudyRecord, rows: pd.DataFrame) -> Plot:
    arms, palette = _arms(rows), colours(_arms(rows))
    smoothings = _smoothings(rows)
    panels = {"curve:human_model": HUMAN_MODEL}
    if smoothings:
        middle = smoothings[len(smoothings) // 2]
        panels[f"curve:model_human:{middle:g}"] = f"{MODEL_HUMAN}, a = {middle:g}"
    with drawing():
        figure = Figure(figsize=(4.3 * len(panels), 3.3), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axis, (key, title) in zip(axes, panels.items(), strict=True):
            for arm in arms:
                runs = dict.fromkeys(rows.loc[rows["arm"] == arm, "run"])
                for count, run in enumerate(runs):
                    arrays = record.run(run).read_arrays("temperatures", key)
                    temperatures, curve = arrays["temperatures"], arrays[key]
                    shown = None if count else record.label(arm)
                    axis.plot(temperatures, curve, color=palette[arm], lw=1.1, label=shown)
                    axis.plot(1, np.interp(0, np.log(temperatures), curve), "o", color=palette[arm], ms=3)
            axis.set_xscale("log")
            axis.set_yscale("log")
            axis.set_xticks([0.125, 0.25, 0.5, 1, 2, 4, 8], ["⅛", "¼", "½", "1", "2", "4", "8"])
            axis.minorticks_off()
            axis.set_title(f"{title} (nats)", color=INK)
            axis.set_xlabel("temperature")
            axis.grid(axis="both")
        name_lines(figure, axes[0])
    return Plot(
        "calibration-softness",
        "What softness does to each direction",
        "The divergence of the same networks as their logits are divided by a temperature: left of 1 sharper than "
        "trained, right of 1 softer. A dot marks each network as trained; one line a seed. Where two networks' lines "
        "have the same lowest point, nothing but their softness sets them apart.",
        "Line charts of the divergence from people against temperature, one panel for each direction.",
        figure,
    )


def _reliability(record: StudyRecord, rows: pd.DataFrame) -> Plot:
    arms = _arms(rows)
    palette = colours(arms)
    with drawing():
        figure = Figure(figsize=(8.6, 3.9), layout="constrained")
        axes: np.ndarray = figure.subplots(1, 2, sharey=True)
        for axis, temperature in zip(axes, TEMPERATURES, strict=True):
            axis.plot([0, 1], [0, 1], color=FAINT, lw=0.8)
            for arm in arms:
                chosen = rows[(rows["arm"] == arm) & (rows["quantity"] == "nll") & (rows["temperature"] == temperature)]
                for count, run in enumerate(dict.fromkeys(chosen["run"])):
                    keys = [f"{temperature}:{part}" for part in ("confidence", "accuracy", "count")]
                    arrays = record.run(run).read_arrays(*keys)
                    confidence, accuracy, images = (arrays[key] for key in keys)
                    filled = images > 0
                    axis.plot(
                        confidence[filled],
                        accuracy[filled],
                        color=palette[arm],
                        lw=1.1,
                        marker="o",
                        ms=2.5,
                        label=None if count else record.label(arm),
                    )
            axis.set_title(temperature, color=INK)
            axis.set_xlabel("confidence")
            axis.set_xlim(0, 1)
            axis.set_ylim(0, 1)
            axis.grid(axis="both")
        axes[0].set_ylabel("accuracy")
        name_lines(figure, axes[0])
    return Plot(
        "calibration-reliability",
        "Reliability",
        "Accuracy against mean confidence in bins of equal width; one line a seed; the diagonal is perfect "
        "calibration. Left: as trained; right: after temperature scaling.",
        "Two reliability diagrams, before and after temperature scaling, with a line for each network.",
        figure,
    )
