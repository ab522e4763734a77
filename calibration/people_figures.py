"""Tables and the figure of how far networks lie from people. From rows and curves; imports no torch."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..analysis.interface import PaperValues
from ..analysis.presentation.figures import INK, drawing, log_axis, name_lines
from ..analysis.presentation.names import colours, label
from ..analysis.presentation.numbers import change, number, over_seeds
from ..analysis.presentation.parts import Plot, Table
from ..analysis.statistics.level import ENOUGH_SEEDS
from ..analysis.store.record import StudyRecord
from .config import AS_TRAINED, SECTION
from .rows import (
    HUMAN_MODEL,
    MODEL_HUMAN,
    arms_of,
    error_over_images,
    quantity_at,
    smoothings_of,
    softness_of,
    values,
)

SHOWN_TEMPERATURES = (0.25, 0.5, 0.7, 1, 1.4, 2, 4)
STRATA = ("unanimous", "low", "high")


def directions(record: StudyRecord, rows: pd.DataFrame, printed: PaperValues) -> Table:
    smoothings = smoothings_of(rows)
    header = ["Augmentation", HUMAN_MODEL, *(["paper"] if printed else []), f"{MODEL_HUMAN}, a = 0"]
    header += [f"{MODEL_HUMAN}, a = {a:g}" for a in smoothings]
    body = []
    for arm in arms_of(rows):
        cells = [record.label(arm), over_seeds(values(rows, arm, "human_model", AS_TRAINED, 0.0))]
        if printed:
            paper = printed.get(arm.augmentation, {}).get("human_model")
            cells.append(number(paper.value, paper.sd, paper.decimals) if paper else "—")
        infinite = values(rows, arm, "model_human_infinite", AS_TRAINED, 0.0)
        raw = values(rows, arm, "model_human", AS_TRAINED, 0.0)
        cells.append(f"∞ ({100 * infinite.mean():.1f}% of images)" if len(infinite) else over_seeds(raw))
        cells += [over_seeds(values(rows, arm, "model_human", AS_TRAINED, a)) for a in smoothings]
        body.append(tuple(cells))
    floors = [("split_half", a) for a in smoothings]
    first = arms_of(rows)[0]
    dashes = ["—"] * (2 if printed else 1)
    floor = (over_seeds(values(rows, first, quantity, None, a).iloc[:1]) for quantity, a in floors)
    body.append(("People, half against half", *dashes, "—", *floor))
    caption = (
        f"Nats per image, mean ± standard deviation over training seeds; {error_over_images(rows, 'human_model')} "
        "People's probabilities are (c + a)/(n + Ca) "
        f"from their votes c; {HUMAN_MODEL} needs no smoothing (a = 0), {MODEL_HUMAN} is infinite without it wherever "
        "a class has no vote. The last line: the votes of each image dealt into two halves, D(half‖other half)."
    )
    if printed:
        caption += " The paper prints one direction, which its text and its numbers name differently."
    return Table(
        "calibration-table-6", "Divergence from people (the paper’s Table 6)", caption, tuple(header), tuple(body)
    )


def differences(record: StudyRecord, rows: pd.DataFrame) -> Table:
    body = []
    for arm in arms_of(rows):
        if arm.is_baseline:
            continue
        cells = [record.label(arm)]
        for temperature in softness_of(rows):
            cells.append(change(record.family.of(SECTION.name, quantity_at("human_model", temperature), arm)))
        body.append(tuple(cells))
    return Table(
        "calibration-differences",
        "What softness alone explains",
        f"{HUMAN_MODEL} in nats minus the baseline's of the same seed, as trained and after temperature scaling (each "
        "half of the test images at the temperature fitted on the other half's labels, or on its people), with its "
        "95% interval. The first column is the summary's, judged there; the others are not judged. What remains "
        "after scaling is no matter of softer outputs; scaled to people, every network is as close to them as one "
        "temperature brings it.",
        ("Augmentation", *softness_of(rows)),
        tuple(body),
    )


def orders(record: StudyRecord, rows: pd.DataFrame, printed: PaperValues) -> Table:
    """What the paper's Table 6 ranks, under each direction, softness and stratum."""
    choices: list[tuple[str, str, float, str | None]] = [(HUMAN_MODEL, "human_model", 0.0, None)]
    choices += [(f"{MODEL_HUMAN}, a = {a:g}", "model_human", a, None) for a in smoothings_of(rows)]
    choices += [(f"{HUMAN_MODEL}, {part}", "human_model", 0.0, part) for part in _strata(rows)]
    body = []
    for title, quantity, a, part in choices:
        cells = []
        for temperature in softness_of(rows):
            columns = {record.label(arm): values(rows, arm, quantity, temperature, a, part) for arm in arms_of(rows)}
            cells.append(_order(pd.DataFrame(columns)))
        body.append((title, *cells))
    caption = (
        "Augmentations from the closest to people to the furthest, by their means over seeds. A < B: B is further in "
        f"every pair of one seed, of {ENOUGH_SEEDS} or more; A ~ B: it is not. That describes these networks and is no "
        "test. The last lines: on the images of each stratum alone."
    )
    known = {arm.augmentation: printed.get(arm.augmentation, {}).get("human_model") for arm in arms_of(rows)}
    paper = sorted((value.value, label(name)) for name, value in known.items() if value)
    if len(paper) > 1:
        caption += f" The paper's means: {', '.join(name for _, name in paper)}."
    header = ("Direction", *softness_of(rows))
    return Table(
        "calibration-orders", "The order of the paper’s Table 6 under each choice", caption, header, tuple(body)
    )


def strata(record: StudyRecord, rows: pd.DataFrame) -> Table:
    """Whether a network is near people where they agree, or also where they do not."""
    parts = _strata(rows)
    inside = {part: rows[rows["stratum"] == part].iloc[0] for part in parts}
    body = [
        (
            f"{record.label(arm)}, {temperature}",
            *(over_seeds(values(rows, arm, "human_model", temperature, 0.0, part)) for part in parts),
        )
        for arm in arms_of(rows)
        for temperature in softness_of(rows)
    ]
    bounds = "; ".join(f"{part}: {inside[part]['note']}" for part in parts)
    return Table(
        "calibration-strata",
        "Where people agree, and where they do not",
        f"{HUMAN_MODEL} in nats, mean ± standard deviation over training seeds, on strata of the test images by the "
        f"entropy of people's votes. {bounds[0].upper()}{bounds[1:]}.",
        ("Augmentation", *(f"{part} ({inside[part]['n']:,} images)" for part in parts)),
        tuple(body),
    )


def at_temperatures(record: StudyRecord, rows: pd.DataFrame) -> Table:
    """The curves of `softness` at a few temperatures."""
    keys = {"curve:human_model": HUMAN_MODEL}
    keys |= {f"curve:model_human:{a:g}": f"{MODEL_HUMAN}, a = {a:g}" for a in smoothings_of(rows)}
    body, header = [], []
    for arm in arms_of(rows):
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


def agreement(record: StudyRecord, rows: pd.DataFrame) -> Table:
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
            *(over_seeds(factor * values(rows, arm, q, temperature)) for q, (_, factor) in columns.items()),
        )
        for arm in arms_of(rows)
        for temperature in softness_of(rows)
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


def softness(record: StudyRecord, rows: pd.DataFrame) -> Plot:
    arms, palette = arms_of(rows), colours(arms_of(rows))
    smoothings = smoothings_of(rows)
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
            log_axis(axis, "y")
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


def _strata(rows: pd.DataFrame) -> list[str]:
    return [part for part in STRATA if (rows["stratum"] == part).any()]


def _order(distances: pd.DataFrame) -> str:
    """Names of the columns by their means over rows (seeds); "<" where a neighbour is further beyond chance."""
    means = distances.mean().dropna().sort_values()
    names = list(means.index)
    text = "".join(names[:1])
    for near, far in pairwise(names):
        pairs = (distances[far] - distances[near]).dropna()
        further = len(pairs) >= ENOUGH_SEEDS and bool((pairs > 0).all())
        text += f"{' < ' if further else ' ~ '}{far}"
    return text or "—"
