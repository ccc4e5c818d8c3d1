"""What the script of a page is given: panels of points, and every trial with its figures, traces and commands."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..store import columns
from ._commands import blanks, commands, trial_text
from ._ending import MEANINGS, ending
from ._run import RESIDUALS, Run, bound_text, number
from ._series import INEQUALITIES, RESIDUAL_FLOOR, Spot, largest, representative, slack_text

MAX_RECORDS = 60  # of a trace, at most
MAX_COEFFICIENTS = 20  # of a trial
MAX_NUMBERS = 250_000  # numbers of all traces together, which keeps the page below 3 MB
PART_WORDS = {
    part: columns.said(part, word)
    for part, word in (("dev", "development"), ("train", "training"), ("selection", ""), ("population", ""))
}
WEIGHTS = (
    "What the model adds to the reward for each feature, the largest first: standardised, by spreads of the training "
    "sample (a level is 0 or 1), and per unit of the feature. A product has both names, and is of deviations from the "
    "training means. Features that go together share their weight: no single one is a cause."
)
STATUS = {
    "FEASIBLE": "its training gap is within its bound",
    "INFEASIBLE": "its training gap is not within its bound, or ties decide too much",
    "DIVERGED": "its loss stopped being a number",
}


def records(panels: Sequence[Sequence[Spot]], runs: Sequence[Run], names: Sequence[str] = ("",)) -> dict[str, Any]:
    """`panels` has the points of each, with the run and the rows that they stand for; `runs` a record of each run."""
    budget = MAX_NUMBERS // len(runs)
    return {
        "panels": [
            [
                {"run": s.run, "rows": s.point.rows, "title": s.point.title, "facts": s.point.facts, "x": s.x, "y": s.y}
                for s in spots
            ]
            for spots in panels
        ],
        "runs": [_run(run, name, budget) for run, name in zip(runs, names, strict=True)],
    }


def as_json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def kept(run: Run, budget: int = MAX_NUMBERS) -> int:
    """How many records of each trace a page holds."""
    drawn = 1 + len(run.parts) + len(RESIDUALS) + 2 * min(INEQUALITIES, len(run.labels))
    return min(len(run.traces["step"]), MAX_RECORDS, max(10, budget // (len(run.trials) * drawn)))


def chosen(run: Run) -> int:
    """The trial to show first: at the bound in focus a feasible one, if there is any."""
    return representative(run, run.at(run.focus()))


def _run(run: Run, name: str, budget: int) -> dict[str, Any]:
    recorded = len(run.traces["step"])
    thin = np.unique(np.linspace(0, max(recorded - 1, 0), kept(run, budget)).round().astype(int))
    rates = {prefix: run.rates(prefix) for prefix in ("dev", "train")}
    cells = [cell for cell in rates["dev"] if cell in rates["train"]]
    return {
        "name": name,
        "parts": run.parts if len(run.parts) > 1 else ["gap"],
        "labels": run.labels,
        "residuals": RESIDUALS,
        "cells": cells,
        "step": _numbers(run.traces["step"][thin]),
        "columns": [PART_WORDS[prefix] for prefix in _prefixes(run)],
        "commands": [command._asdict() for command in commands(run)],
        "members": [_trial(run, row, thin, cells, rates) for row in range(len(run.trials))],
        "chosen": chosen(run),
        "weights": WEIGHTS,
    }


def _trial(run: Run, row: int, thin: Any, cells: list[str], rates: dict[str, dict[str, np.ndarray]]) -> dict[str, Any]:
    trial = run.rows[row]
    bounded, trained_at = math.isfinite(trial["bound"]), float(run.trained_at[row])
    trained = math.isfinite(trained_at)
    shown = largest(run, row, INEQUALITIES) if trained else []
    traces = {key: run.traces[key][row][thin] for key in ("loss", "gap", "violation", "multiplier", *RESIDUALS)}
    word = ending(run, row)
    return {
        "bound": float(trial["bound"]) if bounded else None,
        "bound_text": bound_text(trial["bound"]),
        "seed": int(trial["seed"]),
        "name": trial_text(run, row),
        "said": standing(run, row),
        "figures": figures(run, row),
        "blanks": blanks(run, row),
        "certified": bool(run.verdicts[row]),
        "coefficients": _coefficients(run, row),
        "trained_at": trained_at if trained else None,
        "trained_at_text": bound_text(trained_at),
        "ending": f"{word}: {MEANINGS[word]}" if trained else "",
        "n": {prefix: int(trial[f"{prefix}_n"]) for prefix in rates},
        "rates": {prefix: _numbers([rates[prefix][cell][row] for cell in cells]) for prefix in rates},
        "loss": _numbers(traces["loss"]),
        "gap": [_numbers(column) for column in traces["gap"].T],
        "residuals": [_numbers(np.log10(np.maximum(traces[key], RESIDUAL_FLOOR)), 2) for key in RESIDUALS],
        "shown": shown,
        "violation": [_numbers(traces["violation"][:, index]) for index in shown],
        "multiplier": [_numbers(traces["multiplier"][:, index]) for index in shown],
    }


def standing(run: Run, row: int) -> list[tuple[str, str]]:
    """Status, standing and certificate of a trial, as (what, words)."""
    trial = run.rows[row]
    free = math.isinf(trial["bound"]) and trial["status"] == "FEASIBLE"
    lines = [("status", f"{trial['status']}: {'no bound was asked for' if free else STATUS[trial['status']]}")]
    if run.trained_at[row] != trial["bound"]:
        lines += [("trained at", f"{bound_text(run.trained_at[row])}: of its seed's models within the bound the best")]
    lines += [("non-dominated", "yes, on the selection part" if trial["pareto"] else "no")]
    if run.verdicts[row]:
        lines += [
            ("certificate", f"{run.verdicts[row]} under its policy; gap at most {slack_text(run.certified[row])}")
        ]
    return lines


def figures(run: Run, row: int) -> list[tuple[str, ...]]:
    """A trial's figures: (name, one per part of `PART_WORDS` that the run has), with four digits."""
    prefixes = _prefixes(run)
    trial = run.rows[row]
    gaps = {prefix: run.gaps(prefix)[row] for prefix in prefixes}
    rows = [("accuracy", *(number(trial[f"{prefix}_accuracy"], 4) for prefix in prefixes))]
    names = ["gap"] if len(run.parts) == 1 else [f"gap: {part}" for part in run.parts]
    rows += [(name, *(number(gaps[prefix][p], 4) for prefix in prefixes)) for p, name in enumerate(names)]
    for key, name in (("nll", "nll, in nats"), ("ece", "ece")):
        rows.append((name, *(number(trial.get(f"{prefix}_{key}", math.nan), 4) for prefix in prefixes)))
    return [*rows, ("choices", *(f"{trial[f'{p}_n']:,.0f}" if f"{p}_n" in trial else "-" for p in prefixes))]


def _coefficients(run: Run, row: int) -> dict[str, Any] | None:
    """The largest coefficients of a linear model, as (name, standardised, per unit), and how many there are more."""
    found = run.coefficients(row, MAX_COEFFICIENTS)
    if found is None:
        return None
    listed = [(name, f"{standardised:+.4f}", f"{natural:+.4g}") for name, standardised, natural in found.listed]
    return {"listed": listed, "more": found.more}


def _prefixes(run: Run) -> list[str]:
    return ["dev", "train", "selection", *(["population"] if run.known else [])]


def _numbers(values: Any, digits: int = 4) -> list[float | None]:
    """Rounded numbers, None for those that are not finite."""
    return [round(float(value), digits) if math.isfinite(value) else None for value in np.asarray(values, float)]
