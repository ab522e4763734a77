"""Tables of data whose images have several labels: heads of one network, networks of one head. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..analysis.interface import Arm, PaperValues
from ..analysis.presentation.names import label
from ..analysis.presentation.numbers import change, column
from ..analysis.presentation.parts import Table
from ..analysis.spec import Spec, read_spec
from ..analysis.statistics.effect import Terms
from ..analysis.store.record import StudyRecord
from .config import SECTION
from .rows import columns_table, of_head, printed_cells, shares, spoken, told, values_of

AREA = "roc_auc"
WHOLE = "whole"  # what the paper prints of whole labels, beside a head's network
Rights = dict[tuple[Any, int], np.ndarray]  # fold and training seed → which images are right


def heads_table(record: StudyRecord, rows: pd.DataFrame, of_heads: pd.DataFrame, printed: PaperValues) -> Table:
    """Each head's accuracy beside the paper's, and their recall."""
    heads, arms = told(of_heads, "head"), told(of_heads, "arm")
    columns: dict[str, list[str]] = {"Augmentation": [record.label(arm) for arm in arms]}
    for head in heads:
        own = of_heads[of_heads["head"] == head]
        changes = [record.family.of(SECTION.name, of_head(head), arm) for arm in arms]
        columns[f"{spoken(head).capitalize()} (%)"] = [
            share + (f"\n{change(effect)}" if effect is not None else "")
            for share, effect in zip(shares(own, arms, "accuracy"), changes, strict=True)
        ]
        if any(of_head(head) in values for values in printed.values()):
            columns[f"paper, {spoken(head)}"] = printed_cells(printed, arms, of_head(head))
    columns["Recall (%)"] = list(column([100 * values_of(rows, arm, "recall") for arm in arms]))
    caption = (
        "Accuracy of each head in percent, as in the table before; below it the difference to the baseline. Recall: "
        "the mean over a head’s classes of the share of a class’s images that are right, and of the heads by their "
        "weights, as the data set has them."
    )
    accuracies = rows[(rows["quantity"] == "accuracy") & (rows["note"] != "")]
    caption += "".join(f" There is {note}." for note in told(accuracies, "note"))
    return columns_table("classifier-heads", "Test accuracy of each head", caption, columns)


def areas_table(record: StudyRecord, rows: pd.DataFrame, of_heads: pd.DataFrame, printed: PaperValues) -> Table:
    """The mean of the heads' ROC-AUC beside the paper's, and each head's."""
    means, each = (table[table["quantity"] == AREA] for table in (rows, of_heads))
    heads, arms = told(each, "head"), told(means, "arm")
    columns: dict[str, list[str]] = {"Augmentation": [record.label(arm) for arm in arms]}
    for title, key, own in [
        ("Mean (%)", AREA, means),
        *((f"{spoken(head).capitalize()} (%)", of_head(head, AREA), each[each["head"] == head]) for head in heads),
    ]:
        changes = [record.family.of(SECTION.name, key, arm) for arm in arms]
        columns[title] = [
            area + (f"\n{change(effect)}" if effect is not None else "")
            for area, effect in zip(shares(own, arms, AREA), changes, strict=True)
        ]
        if any(key in values for values in printed.values()):
            columns["paper" if own is means else f"paper, {title.removesuffix(' (%)').lower()}"] = printed_cells(
                printed, arms, key
            )
    caption = (
        "Area under the ROC curve in percent: how often, of two images of which one has a label and the other has not, "
        "the network gives it the larger log odds of it; of a single network with its 95% interval over images "
        "(DeLong). Below it the difference to the baseline. The mean is over the heads, by their weights."
    )
    caption += "".join(f" The mean is {note}." for note in told(means[means["note"] != ""], "note"))
    return columns_table("classifier-roc-auc", "ROC-AUC of each head", caption, columns)


class _Group(NamedTuple):
    """Studies that differ in the fold and the head of their data alone."""

    data: str  # without these
    model: str
    one_network: bool  # for all heads, or each with its own
    settings: str  # all others of the section


def over_folds(record: StudyRecord, printed: PaperValues) -> list[Table]:
    """Studies that differ in the fold and the head of their data alone, as one: what the paper's Table 4 is made of.

    Networks of one head answer for whole labels together, those of the same fold, seed and augmentation: an image is
    right where each of them is. Folds and seeds are replicates alike.
    """
    arguments = [read_spec(str(parts[0].settings["data"]), "data set").arguments for parts in record.designs.values()]
    if len(arguments) < 2 or not any({"head", "fold"} & own.keys() for own in arguments):
        return []
    groups: dict[_Group, dict[tuple[str, str], Rights]] = {}  # by head and augmentation
    arms: dict[tuple[_Group, str, str], Arm] = {}
    for head, terms in _terms(record).items():
        for (arm, seed), right in terms.items():
            group, own_head, fold = _parted(record.designs[arm.study][0].settings, one_network=bool(head))
            place = head or own_head, arm.augmentation
            groups.setdefault(group, {}).setdefault(place, {})[fold, seed] = right
            arms.setdefault((group, *place), arm)
    tables: list[Table] = []
    for group, cells in groups.items():
        heads, mixes = (list(dict.fromkeys(keys)) for keys in zip(*cells, strict=True))
        folds = {fold for found in cells.values() for fold, _ in found}
        if len(folds) < 2 and (len(heads) < 2 or group.one_network):  # it stands in another table
            continue
        lines = {head: [cells.get((head, mix), {}) for mix in mixes] for head in heads}
        if len(heads) > 1:
            lines[WHOLE] = [_together(each) for each in zip(*lines.values(), strict=True)]
        body = []
        for head, found in lines.items():
            shown = column([pd.Series([100 * right.mean() for right in one.values()], dtype=float) for one in found])
            body.append((spoken(head).capitalize() or "Accuracy", "here", *shown))
            known = [arms.get((group, heads[0] if head == WHOLE else head, mix), Arm("", mix)) for mix in mixes]
            paper = printed_cells(printed, known, _printed_as(head, one_network=group.one_network))
            if set(paper) != {"—"}:
                body.append(("", "paper", *paper))
        most = max(len(one) for found in lines.values() for one in found)
        whole = "" if group.one_network or len(heads) < 2 else ": each by the network of that head, fold and seed"
        tables.append(
            Table(
                f"classifier-folds-{len(tables) + 1}",
                f"Test accuracy over folds and seeds: {group.data}, {group.model}",
                f"Percent on the images of a fold, mean ± standard deviation over {most} trainings, of {len(folds)} "
                f"fold{'s' * (len(folds) != 1)}." + f" Whole: all heads right{whole}." * (len(heads) > 1),
                ("", "", *map(label, mixes)),
                tuple(body),
            )
        )
    return tables


def _terms(record: StudyRecord) -> dict[str, Terms]:
    """Which images are right: of networks of several heads by each of these, of all others under an empty name."""
    rows = record.table(SECTION.name)
    by_head = {head: record.terms(SECTION.name, of_head(head), head=head) for head in told(rows, "head")}
    several = {arm for terms in by_head.values() for arm, _ in terms}
    alone = {place: right for place, right in record.terms(SECTION.name, "accuracy").items() if place[0] not in several}
    return by_head | {"": alone}


def _parted(settings: Mapping[str, Any], *, one_network: bool) -> tuple[_Group, str, Any]:
    """A study's group, and the head and the fold of its data."""
    spec, own = read_spec(str(settings["data"]), "data set"), dict(settings.get(SECTION.name, {}))
    arguments = dict(spec.arguments)
    head, fold = str(arguments.pop("head", "")), arguments.pop("fold", 0)
    others = json.dumps([own, settings.get("train_size"), settings.get("subset_seed")], sort_keys=True)
    return _Group(Spec(spec.use, arguments).text, str(own.get("model", "")), one_network, others), head, fold


def _printed_as(head: str, *, one_network: bool) -> str:
    """Under which quantity the paper's value of a head stands, or of whole labels."""
    if head == WHOLE:
        return "accuracy" if one_network else of_head(WHOLE)
    return of_head(head) if one_network else "accuracy"


def _together(heads: Sequence[Rights]) -> Rights:
    """Which images all heads have right, of the replicates that every head has."""
    every = [replicate for replicate in heads[0] if all(replicate in found for found in heads)]
    return {replicate: np.all([found[replicate] for found in heads], axis=0) for replicate in every}
