"""How sure the points of a frontier are: intervals over people and over seeds, who is not dominated, hypervolume.

People are drawn again with replacement (the unit bootstrap), B times; intervals are percentiles of the draws. Models,
seeds and parts are given: an interval over people says how the figures of these models would vary on other people like
these, the range over seeds how training and splits vary.

These are no certificates. A gap is a maximum minus a minimum: chance differences between groups add to it, so that
where it is near zero it is too large on average, in the sample and in every draw once more; such an interval lies too
high and may leave out the gap of the population. With a stated probability holds `gap_at_most`, of all members at once
(`simultaneous`), and what `faro certify` shows of one.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd

from constraints import Constraint, Statistics

from ..data import Dataset
from ..data.masses import audit_sizes
from ..store import columns
from ..store.columns import MEAN
from ..store.frontier import Frontier
from ..store.model import TrainedModel
from ..store.on_disk import OnDisk
from ..store.run import write_table
from .pareto import WORST, hypervolume, non_dominated
from .part import Draws, Part, Sums
from .resampling import DRAWS, LEVEL, interval
from .simultaneous import gap_at_most


@dataclasses.dataclass(frozen=True, eq=False)
class Uncertainty:
    """`trials`: a row per trial and, with seed "mean", per bound; `hypervolume`: a row per seed and their mean;
    `draws`: of every seed those of its trials, in the order of the run's table."""

    trials: pd.DataFrame
    hypervolume: pd.DataFrame
    draws: dict[int, Draws]

    @property
    def members(self) -> pd.DataFrame:
        """The old name of `trials`, for one release."""
        warnings.warn("Uncertainty.members is trials now; the old name goes with the next release", FutureWarning, 2)
        return self.trials

    def save(self, folder: str | Path) -> None:
        """Write uncertainty.csv and hypervolume.csv."""
        write_table(folder, "uncertainty", self.trials)
        write_table(folder, "hypervolume", self.hypervolume)


def measure(
    run: Frontier,
    data: Dataset,
    constraint: Constraint,
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    reference: tuple[float, float] = WORST,
    key: int = 0,
) -> Uncertainty:
    """How sure the figures of a run are on its dev part, and `gap_at_most`, of all members at once. `data` and
    `constraint` are those of the run; `reference` is the (gap, accuracy) from which hypervolume is counted; `key` seeds
    the draws."""
    table = run.table
    dev = Part.of(data, constraint, first(run))
    sums = {}
    for seed in dev.choices:
        rows = np.flatnonzero(table["seed"] == seed).tolist()
        if isinstance(run.models, OnDisk):  # one in memory at a time
            sums[seed] = _joined([dev.of_models(seed, [run.models[row]]) for row in rows])
        else:
            sums[seed] = dev.of_models(seed, [run.models[row] for row in rows])
    drawn = dev.bootstrap(sums, draws, key)
    sizes = audit_sizes(data, constraint, _all(run)[0].model.support)
    once = sizes["single"] and dev.rule is None and all(model.draw is None for model in _all(run))
    share = (1 - level) / table["model"].nunique()  # of the error probability, for every member
    at_most = {
        seed: gap_at_most(dev.constraint, dev.of_units(seed, own).statistics, sizes["cap"], share, once)
        for seed, own in sums.items()
    }
    trials = _trials(table, drawn, at_most, level)
    return Uncertainty(trials, _volumes(table, drawn, level, reference), drawn)


def _all(run: Frontier) -> Sequence[TrainedModel]:
    """The models of a run, without reading their parameters."""
    return run.models.models if isinstance(run.models, OnDisk) else run.models


def _joined(parts: Sequence[Sums]) -> Sums:
    """The sums of trials that were taken on their own."""
    correct = np.concatenate([np.asarray(one.correct) for one in parts])
    sums = jax.tree.map(lambda *leaves: np.concatenate(leaves), *[one.statistics.sums for one in parts])
    return Sums(correct, parts[0].weight, Statistics(sums, parts[0].statistics.masses))  # type: ignore[arg-type]


def first(run: Frontier) -> dict[int, TrainedModel]:
    """The unconstrained trial of every seed."""
    free = np.flatnonzero(np.isinf(run.table["bound"])).tolist()
    return {int(run.table["seed"][row]): run.models[row] for row in free}


def spread(draws: Sequence[Draws], trial: int, level: float = LEVEL) -> dict[str, float]:
    """Limits over people of accuracy and gap of a trial, mean over the seeds whose draws are given."""
    limits = {}
    for name in Draws._fields:
        values = np.mean([getattr(of_seed, name)[trial] for of_seed in draws], 0)
        limits[f"dev_{name}_low"], limits[f"dev_{name}_high"] = interval(values, level)
    return limits


def _trials(table: pd.DataFrame, draws: dict[int, Draws], at_most: dict[int, np.ndarray], level: float) -> pd.DataFrame:
    feasible = (table["status"] == "FEASIBLE").to_numpy()
    gap = table[list(columns.gaps_in(table, "dev").values())].max(axis=1).to_numpy()
    accuracy, rows, kept = table["dev_accuracy"].to_numpy(), {}, {}
    for seed, seed_draws in draws.items():
        at = np.flatnonzero(table["seed"] == seed)
        kept[seed] = non_dominated(seed_draws.accuracy.T, seed_draws.gap.T, feasible[at]).mean(0)
        for place, row in enumerate(at):
            rows[row] = {
                "bound": table["bound"][row],
                "seed": seed,
                "dev_accuracy": accuracy[row],
                "dev_gap": gap[row],
                **spread([seed_draws], place, level),
                "non_dominated": kept[seed][place] if feasible[row] else np.nan,
                "gap_at_most": at_most[seed][place] if table["status"][row] != "DIVERGED" else np.nan,
            }
    records = [rows[row] for row in sorted(rows)]
    for bound in dict.fromkeys(table["bound"]):
        place = place_of(table, bound)
        everyone = np.flatnonzero(table["bound"] == bound)
        measured = everyone[np.isfinite(accuracy[everyone])]
        at = measured if len(measured) else everyone  # every bound has a row
        some = [draws[seed] for seed in table["seed"].iloc[at]]
        sure = [records[row]["non_dominated"] for row in at if feasible[row]]
        records.append(
            {
                "bound": bound,
                "seed": MEAN,
                "dev_accuracy": accuracy[at].mean(),
                "dev_gap": gap[at].mean(),
                **spread(some, place, level),
                "non_dominated": float(np.mean(sure)) if sure else np.nan,
                "gap_at_most": float(np.max([records[row]["gap_at_most"] for row in at])),
            }
        )
    return pd.DataFrame(records)


def place_of(table: pd.DataFrame, bound: float) -> int:
    """Which trial of a seed has this bound (the first, if it was asked for twice); the same for every seed."""
    return int(np.flatnonzero(table["bound"][table["seed"] == table["seed"][0]] == bound)[0])


def _volumes(
    table: pd.DataFrame, draws: dict[int, Draws], level: float, reference: tuple[float, float]
) -> pd.DataFrame:
    gap = table[list(columns.gaps_in(table, "dev").values())].max(axis=1).to_numpy()
    values, drawn, rows = {}, {}, []
    for seed, seed_draws in draws.items():
        at = np.flatnonzero(table["seed"] == seed)
        feasible = (table["status"] == "FEASIBLE").to_numpy()[at]
        values[seed] = float(hypervolume(table["dev_accuracy"].to_numpy()[at][feasible], gap[at][feasible], reference))
        drawn[seed] = hypervolume(seed_draws.accuracy[feasible].T, seed_draws.gap[feasible].T, reference)
    values_of: dict[Any, float] = {**values, MEAN: float(np.mean(list(values.values())))}
    drawn_of: dict[Any, np.ndarray] = {**drawn, MEAN: np.mean(list(drawn.values()), 0)}
    for seed, value in values_of.items():
        low, high = interval(drawn_of[seed], level)
        rows.append({"seed": seed, "hypervolume": value, "low": low, "high": high})
    volumes = pd.DataFrame(rows)
    volumes["reference_gap"], volumes["reference_accuracy"] = reference
    return volumes
