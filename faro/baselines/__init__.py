"""What other methods reach on the same data, model and settings: the baselines of a frontier.

    - thresholds: optimal post-processing of the unconstrained model, for every bound of the run; looks at the group
      of a person when it decides, which none of the others does beyond its features
    - reweighting: weights that make label and group independent, then unconstrained training
    - penalty: a fixed price on the soft gap in place of the dual player, over a grid of prices
    - group_dro: the mean of group losses under weights that grow with them, over a grid of steps

Each gives accuracy and gap on train, selection and dev for every seed, intervals over people, and whether it is ahead
of the run: its accuracy minus that of the run's best point whose dev gap is no larger, on equal draws of people.

    _thresholds  post-processing, by a linear program
    _trained     those that train: other objectives for the one trainer
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from constraints import Choices, Constraint

from ..data import Dataset
from ..data.views import PARTS
from ..evaluate.bootstrap import Uncertainty, first, place_of, spread
from ..evaluate.part import Draws, Part, Sums, figures
from ..evaluate.resampling import interval
from ..losses import Objective, Penalised, Reweighted, WorstGroup
from ..losses.groups import grouping
from ..models import Model
from ..store.columns import MEAN
from ..store.frontier import Frontier
from ..store.run import write_table
from ..sweep import stack
from ..training import Data
from ..training.ridge import Ridge
from ..training.settings import Settings
from ._thresholds import Rule as Rule
from ._thresholds import optimal as optimal
from ._trained import train as train

PENALTIES = tuple(float(f"{price:.2g}") for price in np.geomspace(0.02, 5, 10))
STEPS = (0.01, 0.1, 1.0)  # of the group weights of group DRO; the first is that of its authors
PRESENT = ("train", "selection", "dev")
Grid = list[tuple[str, float]]  # name and setting of every baseline point


def measure(
    run: Frontier,
    data: Dataset,
    constraint: Constraint,
    found: Uncertainty,
    model: Model,
    settings: Settings,
    penalties: tuple[float, ...] = PENALTIES,
    steps: tuple[float, ...] = STEPS,
    memory: int | None = None,
) -> pd.DataFrame:
    """The table of baselines.csv: a row per baseline, setting and seed, and with seed "mean" per baseline and setting.

    `found` is the uncertainty of the run, whose draws of people are used again. A baseline that is not defined for the
    constraint or the data has one row with a `note` that says why.
    """
    coded = first(run)
    parts = {name: Part.of(data, constraint, coded, PARTS[settings.dual_data][name]) for name in PRESENT}
    together = {name: part.together() for name, part in parts.items() if name != "dev"} | {"dev": parts["dev"]}
    sources: list[tuple[Grid, Callable[[str, int], Sums]]] = []
    notes = {}
    if reason := undefined(constraint, parts["train"].choices.values()):
        notes["thresholds"] = reason
    else:
        bounds = [float(bound) for bound in dict.fromkeys(run.table["bound"]) if np.isfinite(bound)]
        sources.append(_thresholds(constraint, parts, together, data, coded, bounds))
    grid: Grid = [("penalty", price) for price in penalties]
    if grouping(constraint) is None:
        for name in ("reweighting", "group_dro"):
            notes[name] = "not defined: the constraint does not compare the groups of one attribute"
    else:
        grid = [("reweighting", np.nan), *grid, *[("group_dro", step) for step in steps]]
    sources.append(_trained(constraint, data, coded, parts, together, model, settings, grid, memory))
    rows = [row for source in sources for row in _rows(run, constraint, together, found, *source)]
    rows += [{"baseline": name, "seed": MEAN, "note": note} for name, note in notes.items()]
    return pd.DataFrame(rows)


def save(table: pd.DataFrame, folder: str | Path) -> None:
    """Write baselines.csv."""
    write_table(folder, "baselines", table)


def undefined(constraint: Constraint, parts: Any) -> str:
    """Why thresholds of a score are not defined for this constraint on these choices; "" if they are."""
    if not _compares_rates(constraint):
        return "not defined: needs one constraint of parity between groups (demographic parity, equalized odds)"
    for choices in parts:
        outside, available = np.asarray(choices.outside), np.asarray(choices.available)
        if outside.shape[1] != 2 or not (available.all() and (outside.sum(1) == 1).all()):
            return "not defined: a choice among several alternatives has no threshold; only accept or reject has"
    return ""


def _compares_rates(constraint: Constraint) -> bool:
    """Whether it bounds differences of rates of decisions between groups, as the linear program states them."""
    events = getattr(constraint, "events", None)
    return grouping(constraint) is not None and events is not None and constraint.certifiable_as() == "counts"


# Points ---------------------------------------------------------------------------------------------------------------


def _thresholds(constraint: Any, parts: dict[str, Part], together, data, coded, bounds: list[float]) -> Any:
    cells, events = constraint.who.cells, constraint.events
    size = len(constraint.who.groups)
    blocks = [(event, range(s, s + size)) for event in events for s in range(0, len(cells), size)]

    def of(choices: Choices, seed: int) -> tuple[np.ndarray, ...]:
        """Score, group, weight of those to be accepted and not, and where the alternative is; without the padding."""
        rewards = _rewards(coded[seed], choices)
        inside = np.argmin(np.asarray(choices.outside), 1)
        rows = np.arange(len(inside))
        cell = np.asarray(constraint.who.cell(choices))[rows, inside]
        weight, label = np.asarray(choices.weight), np.asarray(choices.chosen)[rows, inside]
        group = np.where(cell < 0, len(cells), cell)
        return rewards[rows, inside], weight * label, weight * (1 - label), group, inside

    rules = {}
    for seed, choices in parts["train"].choices.items():
        score, right, wrong, group, _ = of(choices, seed)
        counts = right + wrong > 0
        score, right, wrong, group = (column[counts] for column in (score, right, wrong, group))
        rules[seed] = optimal(score, right, wrong, group, blocks, len(cells) + 1, bounds)

    def sums(part: str, seed: int) -> Sums:
        score, _, _, group, inside = of(parts[part].choices[seed], seed)
        decisions = np.zeros((len(bounds), len(score), 2))
        for b, rule in enumerate(rules[seed]):
            accepted = rule.accept(score, group)
            decisions[b, np.arange(len(score)), inside] = accepted
            decisions[b, np.arange(len(score)), 1 - inside] = 1 - accepted
        return together[part].of_decisions(seed, decisions)

    return [("thresholds", bound) for bound in bounds], sums


def _rewards(model: Any, choices: Choices) -> np.ndarray:
    from .. import models

    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), model.params)
        return np.asarray(models.rewards(model.model, params, choices))


def _trained(constraint, data, coded, parts, together, model, settings, grid: Grid, memory) -> Any:
    def narrow(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf.astype(np.float32) if leaf.dtype == np.float64 else leaf, tree)

    def single(choices: Choices) -> Choices:
        weight = np.asarray(choices.weight)
        return narrow(choices.replace(weight=weight * np.count_nonzero(weight) / weight.sum()))

    seeds = list(coded)
    training_data = []
    for seed in seeds:
        known = [(parts[name].choices[seed], parts[name].known_of(seed)) for name in ("train", "selection")]
        parts_of_seed = [single(choices.replace(unit=people.code)) for choices, people in known]
        ridge = Ridge.read(coded[seed].about.get("ridge"))
        training_data.append(Data(parts_of_seed[0], parts_of_seed[1], people=narrow(known[0][1].people), ridge=ridge))

    plain = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), constraint)
    who: Any = grouping(constraint)
    data_of, trained = stack(training_data), []
    kinds: dict[str, Callable[[float], Objective]] = {
        "reweighting": lambda _: Reweighted(who=who, power=1.0),
        "penalty": lambda price: Penalised(constraint=plain, price=price),
        "group_dro": lambda step: WorstGroup(who=who, ascent=step),
    }
    for name, points in itertools.groupby(grid, key=lambda point: point[0]):  # one program for each kind
        several = [kinds[name](setting) for _, setting in points]
        objectives = jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf, np.float32) for leaf in leaves]), *several)
        trained.append(train(model, settings, plain, objectives, np.asarray(seeds), data_of, memory))
    params = jax.tree.map(lambda *leaves: np.concatenate([np.asarray(leaf) for leaf in leaves], 1), *trained)

    def sums(part: str, seed: int) -> Sums:
        seed_params = jax.tree.map(lambda leaf: np.asarray(leaf[seeds.index(seed)], np.float64)[:, None], params)
        return together[part].of_params(seed, model, seed_params, np.ones((len(grid), 1)))

    return grid, sums


# Rows -----------------------------------------------------------------------------------------------------------------


def _rows(
    run: Frontier, constraint, together: dict[str, Part], uncertainty: Uncertainty, grid: Grid, sums
) -> list[dict]:
    seeds = list(uncertainty.draws)
    drawn = {part: {seed: sums(part, seed) for seed in seeds} for part in PRESENT}
    figured = {
        part: {seed: figures(together[part].constraint, seed_sums) for seed, seed_sums in by_seed.items()}
        for part, by_seed in drawn.items()
    }
    draws = together["dev"].bootstrap(drawn["dev"], len(next(iter(uncertainty.draws.values())).gap[0]))
    rows = []
    for place, (name, setting) in enumerate(grid):
        for whose in ([seed] for seed in seeds):
            rows.append(_row(name, setting, whose[0], place, whose, figured, draws))
        row = _row(name, setting, MEAN, place, seeds, figured, draws)
        rows.append(row | _ahead(run, uncertainty, [draws[seed].accuracy[place] for seed in seeds], row))
    return rows


def _row(name: str, setting: float, said: Any, place: int, seeds: list[int], figured, draws: dict[int, Draws]) -> dict:
    row: dict[str, Any] = {
        "baseline": name,
        "setting": setting,
        "seed": said,
        "uses_group": name == "thresholds",
    }
    for part in PRESENT:
        for what in Draws._fields:
            row[f"{part}_{what}"] = float(np.mean([getattr(figured[part][seed], what)[place, 0] for seed in seeds]))
    return row | spread([draws[seed] for seed in seeds], place)


def _ahead(run: Frontier, uncertainty: Uncertainty, accuracy: list[np.ndarray], row: dict) -> dict[str, float]:
    """By how much the baseline is more accurate than the run at the same dev gap, and limits over people; empty if
    every point of the run has a larger gap.

    The run at a gap is the best draw between two of its points whose bounds every seed satisfies: with probability p
    one model, else the other. Its accuracy is linear in p, and its gap at most linear, so this is reached.
    """
    points = uncertainty.trials[uncertainty.trials["seed"] == MEAN]
    status = run.table.groupby("bound")["status"].agg(lambda statuses: (statuses == "FEASIBLE").all())
    points = points[points["bound"].map(status).to_numpy(bool)]
    gap, height = points["dev_gap"].to_numpy(), points["dev_accuracy"].to_numpy()
    tighter, looser = (index.ravel() for index in np.meshgrid(*[np.arange(len(gap))] * 2, indexing="ij"))
    spans = (gap[tighter] <= row["dev_gap"]) & ((gap[looser] > row["dev_gap"]) | (tighter == looser))
    if not spans.any():
        return {}
    tighter, looser = tighter[spans], looser[spans]
    width = gap[looser] - gap[tighter]
    share = np.where(width > 0, (row["dev_gap"] - gap[tighter]) / np.where(width > 0, width, 1), 0)
    mixed = (1 - share) * height[tighter] + share * height[looser]
    best = int(np.argmax(mixed))
    bounds, p = [float(points["bound"].iloc[index[best]]) for index in (tighter, looser)], share[best]
    low_place, high_place = (place_of(run.table, bound) for bound in bounds)
    others = [
        (1 - p) * seed_draws.accuracy[low_place] + p * seed_draws.accuracy[high_place]
        for seed_draws in uncertainty.draws.values()
    ]
    low, high = interval(np.mean(accuracy, 0) - np.mean(others, 0))
    against = {"against_tighter": bounds[0], "against_looser": bounds[1]}
    return against | {"ahead": row["dev_accuracy"] - mixed[best], "ahead_low": low, "ahead_high": high}
