"""A finished run as a report shows it: `Run`, what it says per bound and in a sentence. `faro.store.run` reads it."""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..store import run as store
from ..store.columns import MEAN as MEAN
from ..store.columns import RESIDUALS as RESIDUALS


class Run(store.Run):
    """A finished sweep, with the words for it."""

    @functools.cached_property
    def summary(self) -> pd.DataFrame:
        """`summary_table`, made once."""
        return _summary(self)

    @property
    def title(self) -> str:
        """What its reader calls it (`faro report --title`); "" if nobody has said."""
        return str(self.manifest.get("title", ""))

    @property
    def spoken(self) -> str:
        """The constraint as words: `demographic_parity(sex)` is said "demographic parity (sex)", with the rule that
        decides, where that is not argmax."""
        rule = (self.manifest.get("configuration") or {}).get("rule", "argmax")
        decided = "" if rule == "argmax" else f" by {rule}"
        return " and ".join(speak(part) for part in self.parts) + decided

    @property
    def size(self) -> str:
        """How many units, or choices where the data set knows no units."""
        people, choices = self.data.get("people"), self.data.get("choices")
        return f"{people:,} {self.units}" if people else f"{choices:,} choices" if choices else "size not recorded"

    @property
    def counted(self) -> str:
        """How many choices, and how many units made them, as far as the data set knows."""
        counts = [(self.data.get("choices"), "choices"), (self.data.get("people"), self.units)]
        return ", ".join(f"{count:,} {name}" for count, name in counts if isinstance(count, int))

    def focus(self) -> float:
        """The bound to look at first: nearest to half the unconstrained training gap, if it can be among those that
        some trial satisfies."""
        feasible = set(self.trials.loc[self.trials["status"] == "FEASIBLE", "bound"])
        among = [bound for bound in self.bounds if bound in feasible] or self.bounds
        if not among:
            return math.inf
        free = finite(self.gap("train")[self.at(math.inf)])
        half = free.mean() / 2 if len(free) else np.median(among)
        return min(among, key=lambda bound: abs(bound - half))


def speak(name: str) -> str:
    """A constraint's name as words."""
    match = re.fullmatch(r"(\w+)\((.*)\)", name)
    return f"{match[1].replace('_', ' ')} ({match[2]})" if match else name.replace("_", " ")


def finite(values: Any) -> np.ndarray:
    """The finite ones among the values."""
    values = np.asarray(values, float)
    return values[np.isfinite(values)]


def read_run(folder: str | os.PathLike[str]) -> Run:
    """The run in this folder; `DataError` of one line if a file is missing, damaged, or does not fit the others."""
    return Run.read(folder)


def summary_table(run: Run) -> pd.DataFrame:
    """A row per bound, ascending, the unconstrained trials (bound inf) last.

    `members`, `feasible` and `non_dominated` are counts; the rest are means over the trials that have numbers (all but
    the diverged), with the smallest and largest as `_low` and `_high` where seeds are compared. A gap is the largest
    over the parts of a stack. `certified_slack` is the largest over the `certified_members`, those with a certificate.
    """
    return run.summary.copy()


def _summary(run: Run) -> pd.DataFrame:
    rows = []
    for bound in [*run.bounds, math.inf]:
        at = run.at(bound)
        if not len(at):
            continue
        some = run.trials.iloc[at]
        row: dict[str, Any] = {
            "bound": bound,
            "members": len(at),
            "feasible": int((some["status"] == "FEASIBLE").sum()),
            "non_dominated": int(some["pareto"].sum()),
            "train_gap": _mean(run.gap("train")[at]),
        }
        spread = {"dev_gap": run.gap("dev")[at], "dev_accuracy": some["dev_accuracy"]}
        if run.known:
            spread |= {"population_gap": some["population_gap"], "population_accuracy": some["population_accuracy"]}
        for name, values in spread.items():
            values = finite(values)
            row[name] = _mean(values)
            row[f"{name}_low"], row[f"{name}_high"] = (values.min(), values.max()) if len(values) else (np.nan, np.nan)
        row |= {name: _mean(some[name]) for name in ("dev_nll", "dev_ece")}
        proved = finite(run.certified[at])
        row["certified_members"], row["certified_slack"] = len(proved), proved.max() if len(proved) else np.nan
        if run.known and "population_frontier" in some:
            row["population_frontier"] = _mean(some["population_frontier"])
        rows.append(row)
    return pd.DataFrame(rows)


def _mean(values: Any) -> float:
    values = finite(values)
    return float(values.mean()) if len(values) else math.nan


def number(value: float, digits: int = 3) -> str:
    """A number as a report shows it; a dash where there is none."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def bound_text(bound: float) -> str:
    """A bound as it was asked for, without noise digits."""
    return f"{bound:.4g}" if math.isfinite(bound) else "unconstrained"


def spread_text(row: Any, name: str) -> str:
    """Mean and, where trials differ, their range."""
    mean, low, high = (number(row[key]) for key in (name, f"{name}_low", f"{name}_high"))
    return mean if low == high else f"{mean} ({low}-{high})"


def limits_text(row: Any, name: str) -> str:
    """Where its interval over people ends."""
    return f"{number(row[f'{name}_low'])}-{number(row[f'{name}_high'])}"


HOW = {
    "folds": "chosen by folds over units of train and selection",
    "selection": "chosen by the selection part",
    "settings": "as given",
    "nothing": "the default, for nothing could choose it here",
}


def ridge_text(how: str, seeds: list[Mapping[str, Any]]) -> str:
    """How strongly parameters are punished, and who said so.

    how: "folds", "selection", "settings" or "nothing"
    seeds: of every seed its `weight_decay` and `interactions`, as stored, and the `width` of a network where it is open
    """
    decays, products = (sorted({float(seed[name]) for seed in seeds}) for name in ("weight_decay", "interactions"))
    text = f"weight decay {_from_to(decays)}"
    if products != [1.0]:
        text += ", products with context " + ("left out" if products == [math.inf] else f"times {_from_to(products)}")
    if widths := sorted({float(seed["width"]) for seed in seeds if "width" in seed}):
        text += f", {_from_to(widths)} of the hidden units"
    return f"{text}; {HOW[how]}"


def ridge_of(run: Run) -> str:
    """`ridge_text` of a run; "" where its manifest does not say."""
    ridge = run.manifest.get("ridge")
    return ridge_text(ridge["chosen_by"], list(ridge["seeds"].values())) if ridge else ""


def _from_to(values: list[float]) -> str:
    ends = [f"{value:.3g}" for value in (values[0], values[-1])]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def borrowed(run: Run) -> str:
    """How many members were trained at another bound than the one that they answer; "" where none was."""
    bounded = np.isfinite(run.trials["bound"].to_numpy(float))
    others = int((bounded & (run.trained_at != run.trials["bound"])).sum())
    if not others:
        return ""
    return (
        f"{others} of {int(bounded.sum())} members were trained at another bound of their seed (trained_at): of its "
        "models within the bound they have the lowest selection loss."
    )


def tightened(run: Run) -> str:
    """How much tighter than asked bounds were held, and why; "" where they were not."""
    tight = run.manifest.get("tighten")
    if not isinstance(tight, dict):
        return ""
    errors = ", ".join(f"{tight['t'] * error:.3f}" for error in tight["standard_errors"])
    text = (
        f"Bounds are held tighter by t = {tight['t']:g} standard errors of group sizes ({errors}, at most half of a "
        "bound), a heuristic"
    )
    by_t = {tried["t"]: tried["over"] for tried in tight["tried"]}
    if by_t:
        shown = [f"{by_t[t]:+.3f} at t = {t:g}" for t in dict.fromkeys((0.0, tight["t"]))]
        text += f"; t by cross-fitting on train, where the gap less the bound was {' and '.join(shown)} on other people"
    return f"{text}."


def headline(run: Run) -> str:
    """The result in house language: what holds on the training sample, what was then measured on held-out people."""
    table = summary_table(run)
    bound = run.focus()
    rows = table[table["bound"] == bound]
    if not len(rows) or not math.isfinite(bound):
        return "This run has no member that was trained under a bound."
    row = rows.to_dict("records")[0]
    if table.loc[np.isfinite(table["bound"]), "feasible"].sum() == 0:
        gaps = np.where(np.isfinite(run.trials["bound"]), run.gap("train"), np.nan)
        reached = (
            f"the smallest gap reached there was {number(np.nanmin(gaps))}" if len(finite(gaps)) else "all diverged"
        )
        return f"No model was found that satisfies {run.spoken} within its bound on the training sample; {reached}."
    several = row["members"] > 1
    text = (
        f"At bound {bound_text(bound)}, {row['feasible']} of {row['members']} models "
        f"{'satisfy' if several else 'satisfies'} {run.spoken} within {bound_text(bound)} on the training sample. "
        f"On held-out development data the gap was {_spread(row, 'dev_gap')} and accuracy {number(row['dev_accuracy'])}"
    )
    free = table[~np.isfinite(table["bound"])]
    if len(free):
        text += f", against {number(free['dev_gap'].iloc[0])} and {number(free['dev_accuracy'].iloc[0])} unconstrained"
    if run.known:
        text += (
            f". In the known population their gap is {_spread(row, 'population_gap')} and their expected accuracy "
            f"{number(row['population_accuracy'])}"
        )
        truth = run.manifest.get("truth")
        if truth and math.isfinite(row["population_gap"]):
            best = np.interp(row["population_gap"], truth["bounds"], truth["accuracy"])
            text += f"; the best possible at that gap is {number(float(best))}"
    return ". ".join([text, *run.dev_gap_over]) + "."


def _spread(row: Any, name: str) -> str:
    text = spread_text(row, name)
    return text[:-1] + " over seeds)" if text.endswith(")") else text
