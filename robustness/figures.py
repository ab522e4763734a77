"""The section's tables and figures, from rows and bits. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.comparison import difference, sd
from ..analysis.interface import Printed
from ..analysis.store.record import StudyRecord
from ..analysis.store.results import table
from ..analysis.style import INK, Plot, Table, colours, drawing, label, number
from .measures import SIGNIFICANT, WORST, broken_by, paired

TITLES = {
    "fgsm": "FGSM",
    "pgd": "PGD",
    "bim": "BIM",
    "uniform-noise": "Uniform noise",
    "deepfool": "DeepFool",
    WORST: "Worst case",
}
FIGURE_1 = ("uniform-noise", "deepfool", WORST)  # the panels of the paper's Fig. 1; its Fig. 5 has all attacks
COLUMNS = 3


def tables(record: StudyRecord, printed: Mapping[str, Mapping[str, Printed]]) -> list[Table]:
    """Accuracy and median ε; the worst case at every ε; differences to the baseline; signs of masked gradients."""
    rows = _rows(record)
    return [_summary(rows), _worst(rows), _differences(record, rows), _signs(rows)]


def plots(record: StudyRecord, printed: Mapping[str, Mapping[str, Printed]]) -> list[Plot]:
    """Accuracy against ε: the panels of Fig. 1, then every attack as in Fig. 5."""
    rows = _rows(record)
    attacks = _attacks(rows)
    shown = [_curves(rows, attacks, "robustness-attacks", "Accuracy under every attack (like Fig. 5)")]
    if set(FIGURE_1) <= set(attacks):
        shown.insert(0, _curves(rows, FIGURE_1, "robustness-worst", "Noise, DeepFool and the worst case (like Fig. 1)"))
    return shown


def _rows(record: StudyRecord) -> pd.DataFrame:
    """The section's rows with columns of their own for attack and epsilon."""
    rows = table(row for row in record.rows() if row.section == "robustness")
    params = rows["params"].map(json.loads)
    return rows.assign(
        **{key: params.map(lambda p, key=key: p.get(key)) for key in ("attack", "epsilon", "protocol", "norm")}
    )


def _attacks(rows: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(rows.loc[rows["quantity"] == "accuracy", "attack"]))


def _augmentations(rows: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(rows["augmentation"]))


def title(attack: str) -> str:
    """The name people know: ``pgd`` → PGD; arguments stay."""
    head, _, rest = attack.partition("(")
    return TITLES.get(head, head) + (f" ({rest}" if rest else "")


def _how(rows: pd.DataFrame) -> str:
    """What was attacked, for captions."""
    images = " and ".join(f"{n:,}" for n in sorted(set(rows["n"])))
    protocols = ", ".join(dict.fromkeys(rows["protocol"]))
    return f"{images} test images, protocol {protocols}; images that were wrong as they are count as broken"


def _summary(rows: pd.DataFrame) -> Table:
    attacks = _attacks(rows)
    norm = ", ".join(dict.fromkeys(rows["norm"]))
    body = []
    for augmentation in _augmentations(rows):
        own = rows[rows["augmentation"] == augmentation]
        clean = own[(own["quantity"] == "accuracy") & (own["epsilon"] == 0) & (own["attack"] == WORST)]["value"] * 100
        cells = [label(augmentation), number(clean.mean(), sd(clean)) if len(clean) else "—"]
        for attack in attacks:
            found = own[(own["quantity"] == "median_epsilon") & (own["attack"] == attack)]["value"]
            reached = "" if len(found) == own["seed"].nunique() else f" (in {len(found)} of {own['seed'].nunique()})"
            cells.append(number(found.mean(), sd(found)) + reached if len(found) else "> all")
        body.append((*cells, str(own["seed"].nunique())))
    return Table(
        "robustness-summary",
        "Accuracy, and the ε that breaks half of the images",
        "Mean ± standard deviation over training seeds; accuracy in percent of the attacked images. Median ε: the "
        f"smallest of the sweep's ε ({norm} norm, images in [0, 1]) at which half of the images are broken. "
        f"{_how(rows)}.",
        ("Augmentation", "Accuracy (%)", *(f"{title(attack)}, median ε" for attack in attacks), "seeds"),
        tuple(body),
    )


def _worst(rows: pd.DataFrame) -> Table:
    worst = rows[(rows["quantity"] == "accuracy") & (rows["attack"] == WORST)]
    by = worst.assign(percent=100 * worst["value"]).groupby(["epsilon", "augmentation"])["percent"]
    augmentations = _augmentations(worst)
    body = []
    for epsilon in sorted(set(worst["epsilon"])):
        cells = []
        for augmentation in augmentations:
            values = by.get_group((epsilon, augmentation)) if (epsilon, augmentation) in by.groups else pd.Series()
            cells.append(number(values.mean(), sd(values), 1) if len(values) > 1 else f"{values.mean():.1f}")
        body.append((f"{epsilon:g}", *cells))
    half = (worst["ci_high"] - worst["ci_low"]).max() / 2
    return Table(
        "robustness-worst-case",
        "Worst case over all attacks (%)",
        "Accuracy in percent on images that no attack breaks at that ε, mean ± standard deviation over training seeds. "
        f"Wilson's 95% interval over the images is at most ± {100 * half:.1f} points. {_how(worst)}.",
        ("ε", *map(label, augmentations)),
        tuple(body),
    )


def _differences(record: StudyRecord, rows: pd.DataFrame) -> Table:
    """Against the baseline of the same seed, at the ε where the baseline is nearest to half of its images broken."""
    attacks, columns, body = _attacks(rows), {}, []
    accuracy = rows[rows["quantity"] == "accuracy"]
    baseline = accuracy[accuracy["augmentation"] == "baseline"]
    for attack in attacks:
        curve = baseline[baseline["attack"] == attack].groupby("epsilon")["value"].mean()
        if len(curve):
            columns[attack] = float((curve - curve.get(0.0, 1.0) / 2).abs().idxmin())
    runs = {key: str(group["run"].iloc[0]) for key, group in accuracy.groupby(["augmentation", "seed"], sort=False)}
    epsilons = list(dict.fromkeys(accuracy.sort_values("epsilon")["epsilon"]))
    cache: dict[str, np.ndarray[Any, Any]] = {}
    for augmentation in _augmentations(rows):
        if augmentation == "baseline":
            continue
        seeds = [s for (name, s) in runs if name == augmentation and ("baseline", s) in runs]
        cells = []
        for attack, epsilon in columns.items():
            changes, ps = [], []
            for seed in seeds:
                broken = []
                for name in (augmentation, "baseline"):
                    run = runs[name, seed]
                    if run not in cache:
                        cache[run] = record.run(run).read_arrays("bits")["bits"]
                    broken.append(_broken(cache[run], attacks, attack)[epsilons.index(epsilon)])
                change, p = paired(broken[0], broken[1])
                changes.append(100 * change)
                ps.append(p)
            told = sum(p < SIGNIFICANT for p in ps)
            cells.append(f"{difference(pd.Series(changes))}; {told}/{len(ps)}")
        body.append((label(augmentation), *cells))
    return Table(
        "robustness-differences",
        "Differences to the baseline (points of accuracy)",
        "On the same images, against the baseline of the same seed, at the ε where the baseline has lost half of its "
        "accuracy: mean over seeds with its 95% Student t interval, each by itself (not corrected for their number); "
        "with fewer than three seeds one cannot tell what another training would give. After the semicolon: in how "
        f"many of the seeds McNemar's exact test tells the two networks apart at {SIGNIFICANT:.0%}.",
        ("Augmentation", *(f"{title(attack)}, ε = {epsilon:g}" for attack, epsilon in columns.items())),
        tuple(body),
    )


def _broken(bits: np.ndarray[Any, Any], attacks: Sequence[str], attack: str) -> np.ndarray[Any, Any]:
    return broken_by(bits, [name for name in attacks if name != WORST], attack)


def _signs(rows: pd.DataFrame) -> Table:
    signs = rows[rows["quantity"] == "masking_sign"]
    columns = (signs["augmentation"], signs["seed"], signs["note"], signs["value"])
    body = [
        (f"{label(a)}, seed {seed}", note, f"{100 * value:.1f}%") for a, seed, note, value in zip(*columns, strict=True)
    ]
    return Table(
        "robustness-signs",
        "Signs of masked gradients",
        "Where gradients do not show the way to what breaks a network, its accuracy under gradient attacks says little "
        "(Athalye et al. 2018; Carlini et al. 2019). A difference between attacks is a sign where McNemar's exact test "
        f"rejects it at {SIGNIFICANT:.0%}, corrected for the number of ε. Finding none proves nothing.",
        ("Network", "Sign", "Images"),
        tuple(body) or (("all", "none found", "—"),),
    )


def _curves(rows: pd.DataFrame, attacks: Sequence[str], name: str, heading: str) -> Plot:
    augmentations = _augmentations(rows)
    palette = colours(augmentations)
    columns = min(COLUMNS, len(attacks))
    lines = -(-len(attacks) // columns)
    accuracy = rows[rows["quantity"] == "accuracy"]
    with drawing():
        figure = Figure(figsize=(8.6, 2.5 * lines + 0.5), layout="constrained")
        axes = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        for axis in axes.flat[len(attacks) :]:
            axis.set_visible(False)
        for axis, attack in zip(axes.flat, attacks, strict=False):
            for augmentation in augmentations:
                own = accuracy[(accuracy["attack"] == attack) & (accuracy["augmentation"] == augmentation)]
                _curve(axis, own, palette[augmentation], label(augmentation))
            axis.set_title(title(attack), color=INK)
            axis.grid(axis="both")
        _epsilon_axis(axes, sorted(set(accuracy["epsilon"])))
        for row in axes:
            row[0].set_ylabel("accuracy")
        figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=6)
    seeds = rows.groupby("augmentation")["seed"].nunique()
    band = "standard deviation over training seeds" if seeds.min() > 1 else "Wilson's 95% interval over images"
    return Plot(
        name,
        heading,
        f"Lines: mean over training seeds; bands: {band}. {_how(accuracy)}. The ε axis is linear from 0 to the first ε "
        "and logarithmic from there.",
        f"Line charts of accuracy against ε, one for each of {', '.join(map(title, attacks))}; a line for each of "
        f"{', '.join(map(label, augmentations))}. The worst case's numbers stand in its table.",
        figure,
    )


def _curve(axis: Axes, own: pd.DataFrame, colour: str, name: str) -> None:
    by = own.groupby("epsilon")
    mean = by["value"].mean()
    if own["seed"].nunique() > 1:
        spread = by["value"].std(ddof=1)
        low, high = mean - spread, mean + spread
    else:
        low, high = by["ci_low"].mean(), by["ci_high"].mean()
    x = mean.index.to_numpy(float)
    axis.fill_between(x, low.to_numpy(), high.to_numpy(), color=colour, alpha=0.2, lw=0)
    axis.plot(x, mean.to_numpy(), color=colour, lw=1.4, marker="o", ms=2.5, label=name)


def _epsilon_axis(axes: np.ndarray[Any, Any], epsilons: Sequence[float]) -> None:
    positive = [epsilon for epsilon in epsilons if epsilon > 0]
    first = positive[0] if positive else 1.0
    for axis in axes.flat:
        axis.set_xscale("symlog", linthresh=first, linscale=0.4)
        ticks = [0.0, *(10.0**k for k in range(-6, 3) if first <= 10.0**k <= max(epsilons))]
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
        axis.set_ylim(0, 1)
    for column in axes.T:
        lowest = [axis for axis in column if axis.get_visible()][-1]
        lowest.set_xlabel("ε")
        lowest.tick_params(labelbottom=True)
