"""What rewards are worth as probabilities, where `faro calibrate` has measured it: a table and a panel of its own."""

from __future__ import annotations

import math
from typing import Any

from ._run import MEAN, Run, bound_text, limits_text, number
from ._series import Panel, Point, Series
from ._tables import scrolled, table

GAPS = ("decision_gap", "probability_gap", "base_gap")
HEAD = ("bound", "rewards", "accuracy", "nll", "ece", "worst group", "decisions", "probabilities", "labels")
NOTE = (
    "Calibrated on the selection part, measured on development data, means over seeds. Worst group: the largest "
    "calibration error of a group's alternatives, probability against whether chosen, and in brackets what a model "
    "that is calibrated would show by chance. The last three are the largest differences between groups: in decisions, "
    "in mean probability, and in how often alternatives were chosen. Whoever is calibrated in every group passes that "
    "last one on: the difference in probability is at least it, less both errors."
)
CURVE = "Of the unconstrained model of one seed, as trained; bars are 95 % over {units}. {others}"
GROUPS = 6  # that are drawn


def calibration_cells(run: Run) -> list[tuple[dict[str, Any], list[str]]]:
    """(record, cells of `HEAD`) of every calibration of the unconstrained models, of those at the focus, and of those
    at the least bound: means over seeds."""
    assert run.calibration is not None
    means = run.calibration[run.calibration["seed"] == MEAN]
    rows = []
    for bound in dict.fromkeys([math.inf, run.focus(), *run.bounds[:1]]):
        for row in means[means["bound"] == bound].to_dict("records"):
            first = ["none" if math.isinf(bound) else bound_text(bound), str(row["calibration"])]
            figures = [number(row[name]) for name in ("accuracy", "nll", "ece", "worst_ece", *GAPS)]
            rows.append((row, [*first, *figures]))
    return rows


def calibration_table(run: Run) -> str:
    """The table as HTML."""
    rows: list[tuple[dict[str, Any], list[str]]] = []
    for row, cells in calibration_cells(run):
        worst = f"{cells[5]} ({row['worst']}; by chance {number(row['chance_ece'])})"
        rows.append(({}, [*cells[:5], worst, *cells[6:]]))
    return scrolled(table(list(HEAD), rows), "calibration")


def reliability_panel(run: Run) -> Panel | None:
    """How often alternatives were chosen against their probability, of the groups with most choices; None where that
    was not measured."""
    if run.reliability is None or not len(run.reliability):
        return None
    as_trained = run.reliability[run.reliability["calibration"] == run.reliability["calibration"].iloc[0]]
    largest = as_trained.groupby("group")["choices"].sum().sort_values(ascending=False, kind="stable").index
    series = [Series("diagonal", (Point(0, 0), Point(1, 1)), "calibrated")]
    for place, name in enumerate(largest[:GROUPS]):
        bins = as_trained[as_trained["group"] == name].to_dict("records")
        series.append(Series(f"group {place}", tuple(_point(name, one) for one in bins), str(name)))
    left_out = len(largest) - GROUPS
    others = f"The {GROUPS} groups with most choices of {len(largest)}." if left_out > 0 else ""
    note = CURVE.format(units=run.units, others=others).strip()
    return Panel("probability of an alternative", "share that was chosen", tuple(series), note=note)


def _point(name: Any, one: dict[str, Any]) -> Point:
    facts = (
        ("probability", number(one["predicted"])),
        ("chosen", f"{number(one['chosen'])} ({limits_text(one, 'chosen')})"),
        ("choices", number(one["choices"], 0)),
    )
    ends = (one["chosen_low"], one["chosen_high"])
    return Point(one["predicted"], one["chosen"], up=ends, title=str(name), facts=facts)
