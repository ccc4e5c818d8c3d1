"""How sure the points of a frontier are: intervals over people and over seeds, who is not dominated, hypervolume.

People are drawn again with replacement (the unit bootstrap), B times. A statistic of a draw is a weighted sum over
units, so all draws of a trial are one matrix product:

    sums[u]            what unit u adds to correct choices, weight, and the statistics of the constraint    [U]
    multiplicity[b,u]  how often draw b has unit u                                                          [B, U]
    accuracy[b] = (multiplicity @ correct)[b] / (multiplicity @ weight)[b]
    gap[b]      = gap of the constraint at multiplicity @ statistics

Where units share a second cluster (the prompts that raters saw), both are drawn, and a choice is there as often as the
product of both says (the pigeonhole bootstrap, Owen 2007, doi:10.1214/07-AOAS122): sums are then kept for every pair of
clusters that some choice has. An interval over units alone would be too narrow, for other prompts would vary it too.

    multiplicity[b, (u, v)] = multiplicity of unit u x multiplicity of cluster v

One multiplicity serves all seeds and trials: a person who is in the dev part of several seeds is drawn in all of them,
and trials are compared on equal draws. Intervals are percentiles of the draws. Models, seeds and parts are given: an
interval over people says how the figures of these models would vary on other people like these, the range over seeds
how training and splits vary.

These are no certificates. A gap is a maximum minus a minimum: chance differences between groups add to it, so that
where it is near zero it is too large on average, in the sample and in every draw once more; such an interval lies too
high and may leave out the gap of the population. With a stated probability holds `gap_at_most`, of all members at once
(`simultaneous`), and what `faro certify` shows of one.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array

from constraints import ANOTHER, Argmax, Choices, Constraint, DecisionRule, Outcome, Statistics, rule_text
from constraints.alternatives import pieces, total

from .. import models
from ..data import Dataset
from ..data.masses import audit_sizes
from ..data.support import SupportRule, support_sets
from ..data.views import queries
from ..runtime.programs import Program
from ..store import columns
from ..store.columns import MEAN as MEAN
from ..store.frontier import Frontier
from ..store.model import TrainedModel
from ..store.on_disk import OnDisk
from ..store.run import write_table
from .pareto import WORST, hypervolume, non_dominated
from .simultaneous import gap_at_most

DRAWS = 1000
LEVEL = 0.95
ENTRIES = 1 << 23  # numbers of a block of multiplicities: 64 MiB


class Sums(NamedTuple):
    """What every unit (of two clusters: every pair) adds to the figures of M trials on one part; padding adds 0."""

    correct: Array  # [M, U] weight of what was chosen and decided
    weight: Array  # [U]
    statistics: Statistics  # sums with leaves [M, ..., U], masses [..., U]


class Known(NamedTuple):
    """What models know of the people of choices: their codes `[n]`; of every code its earlier choices, if at all."""

    code: Any
    people: Any = None


class Draws(NamedTuple):
    """Accuracy and gap (the largest over parts) of every trial in every draw, `[M, B]`."""

    accuracy: np.ndarray
    gap: np.ndarray


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


def interval(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Percentile interval of draws `[B]`."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def first(run: Frontier) -> dict[int, TrainedModel]:
    """The unconstrained trial of every seed."""
    free = np.flatnonzero(np.isinf(run.table["bound"])).tolist()
    return {int(run.table["seed"][row]): run.models[row] for row in free}


# People ---------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """One part of the data for every seed, padded to one shape; `unit` counts what is drawn of a seed's part, units or
    pairs of a unit and a second cluster, `codes` and `crossed` say which units and clusters of the whole data set they
    are, `known` what models know of the people."""

    constraint: Constraint
    choices: dict[int, Choices]
    codes: dict[int, np.ndarray]
    known: dict[int, Known] | None = None  # None: nothing
    crossed: dict[int, np.ndarray] | None = None  # None: units alone are drawn
    rule: DecisionRule | None = None  # from rewards to decisions; None: argmax

    def known_of(self, seed: int) -> Known:
        """What models know of the people of a seed's choices."""
        return Known(self.choices[seed].unit) if self.known is None else self.known[seed]

    @classmethod
    def of(
        cls, data: Dataset, constraint: Constraint, coded: dict[int, TrainedModel], names: Sequence[str] = ("dev",)
    ) -> Part:
        """The parts of these `names`, for the seeds that are the keys of `coded`, as the coding of each one's model
        has them."""
        with jax.enable_x64(True):
            choices_of, others = {}, {}
            for seed, model in coded.items():
                rows = queries(data, data.rows(names, seed), model.model.support)
                others[seed] = None if data.crossed_codes is None else data.crossed_codes[rows]
                choices_of[seed] = data.choices(model.coding, rows, **constraint.needs(), dtype=np.float64)
            largest = max(part_choices.shape[0] for part_choices in choices_of.values())
            doubled = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), constraint)
            choices, codes, crossed, known = {}, {}, {}, {}
            for seed, part_choices in choices_of.items():
                padded = part_choices.pad(largest)
                codes[seed], crossed[seed], local = _clusters(_independent(padded), others[seed])
                choices[seed] = padded.replace(unit=local.astype(np.int32))
                rule = SupportRule(coded[seed].model.support, data.schema.order)
                people = support_sets(data, coded[seed].coding, rule, np.float64)
                known[seed] = Known(np.asarray(padded.unit), people)
        trained = next(iter(coded.values())).rule_named()
        decides = None if isinstance(trained, Argmax) else trained
        return cls(doubled, choices, codes, known, None if data.crossed_codes is None else crossed, decides)

    def together(self) -> Part:
        """The same part as one unit, where only its own figures are asked for."""
        choices = {
            seed: part_choices.replace(unit=np.zeros_like(part_choices.unit))
            for seed, part_choices in self.choices.items()
        }
        return Part(
            self.constraint, choices, {seed: np.zeros(1, int) for seed in self.codes}, self.known, rule=self.rule
        )

    @property
    def units(self) -> int:
        """Units of the largest part; where two clusters are drawn, pairs of them."""
        return max(len(codes) for codes in self.codes.values())

    def of_units(self, seed: int, sums: Sums) -> Sums:
        """The sums of pairs of clusters as those of units, which are in order of their codes."""
        if self.crossed is None:
            return sums
        codes = self.codes[seed]
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        return jax.tree.map(lambda leaf: np.add.reduceat(np.asarray(leaf)[..., : len(codes)], starts, -1), sums)

    def of_models(self, seed: int, trials: Sequence[TrainedModel]) -> Sums:
        """What units add to the figures of these models; in expectation over the draw of a randomised one."""
        most = max(1 if one.draw is None else len(one.draw.weights) for one in trials)
        weights = np.zeros((len(trials), most))
        params = []
        for row, one in enumerate(trials):
            weight = (1.0,) if one.draw is None else one.draw.weights
            weights[row, : len(weight)] = weight
            components = one.params if one.draw else jax.tree.map(lambda leaf: np.asarray(leaf)[None], one.params)
            params.append(jax.tree.map(lambda leaf: _longer(np.asarray(leaf, np.float64), most), components))
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *params)
        return self.of_params(seed, trials[0].model, stacked, weights)

    def of_params(self, seed: int, model: models.Model, params: Any, weights: np.ndarray) -> Sums:
        """The same from parameters `[M, A, ...]` of components and their weights `[M, A]`."""
        with jax.enable_x64(True):
            of_units = _programs(model, self.units, self.rule)
            return of_units(self.constraint, (params, weights), self.choices[seed], self.known_of(seed))

    def of_decisions(self, seed: int, decisions: np.ndarray) -> Sums:
        """What units add where decisions `[M, n, K]` are given and not rewards; n may lack the padding."""
        padded = np.zeros((len(decisions), *self.choices[seed].shape))
        padded[:, : decisions.shape[1]] = decisions
        with jax.enable_x64(True):
            decided = jnp.asarray(padded)
            there = jnp.broadcast_to(self.choices[seed].available, decided.shape)
            zeros = jnp.zeros(decided.shape, decided.dtype)
            outcome = Outcome(rewards=zeros, decisions=decided, twins={}, available=there)
        return self.of_outcomes(seed, outcome)

    def of_outcomes(self, seed: int, outcomes: Outcome) -> Sums:
        """What units add where outcomes are given, leaves `[M, n, ...]`, and not rewards."""
        with jax.enable_x64(True):
            return _of_outcomes(self.constraint, outcomes, self.choices[seed], self.units)

    def bootstrap(self, sums: dict[int, Sums], draws: int = DRAWS, key: int = 0) -> dict[int, Draws]:
        """Draw people, and the clusters that are crossed with them: of every seed the figures of its trials, on the
        same draws for all seeds and every call."""
        clusters = [self.codes] if self.crossed is None else [self.codes, self.crossed]
        everyone = [np.unique(np.concatenate(list(of_seeds.values()))) for of_seeds in clusters]
        places = {
            seed: [np.searchsorted(names, of_seeds[seed]) for names, of_seeds in zip(everyone, clusters, strict=True)]
            for seed in sums
        }
        blocks: dict[int, list[Draws]] = {seed: [] for seed in sums}
        for times in _crossed_draws([len(names) for names in everyone], self.units, draws, key):
            for seed, seed_sums in sums.items():
                mine = np.zeros((len(times[0]), self.units))
                mine[:, : len(self.codes[seed])] = _products(times, places[seed])
                with jax.enable_x64(True):
                    blocks[seed].append(Draws(*map(np.asarray, _drawn(self.constraint, seed_sums, mine))))
        return {
            seed: Draws(*(np.concatenate(values, 1) for values in zip(*of_blocks, strict=True)))
            for seed, of_blocks in blocks.items()
        }


def _clusters(unit: np.ndarray, crossed: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(the units, the clusters crossed with them, which pair of those each choice `[n]` has): pairs in order of units;
    choices that lack a cluster are padding, copies of the first."""
    if crossed is None:
        units, local = np.unique(unit, return_inverse=True)
        return units, units, local
    crossed = np.concatenate([crossed, np.repeat(crossed[:1], len(unit) - len(crossed))])
    pairs, local = np.unique(np.stack([unit, crossed], 1), axis=0, return_inverse=True)
    return pairs[:, 0], pairs[:, 1], local.reshape(-1)


def limits_of_mean(
    values: np.ndarray, weight: np.ndarray, unit: np.ndarray, crossed: np.ndarray | None, level: float = LEVEL
) -> tuple[float, float]:
    """Percentile interval of the weighted mean of `values [n]` over draws of units, and of the clusters that are
    crossed with them where there are any; NaN where nothing weighs."""
    units, others, local = _clusters(unit, crossed)
    clusters = [np.unique(of, return_inverse=True) for of in ([units] if crossed is None else [units, others])]
    sums = np.stack([np.bincount(local, part, len(units)) for part in (weight * values, weight)], 1)
    drawn = [
        _products(times, [places for _, places in clusters]) @ sums
        for times in _crossed_draws([len(names) for names, _ in clusters], len(units), DRAWS, 0)
    ]
    total, mass = np.concatenate(drawn).T
    return interval(total[mass > 0] / mass[mass > 0], level) if (mass > 0).any() else (np.nan, np.nan)


def _crossed_draws(counts: Sequence[int], width: int, draws: int, key: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Blocks of `multiplicities` of one cluster, or of two that are drawn independently; `width`: of what is made."""
    size = max(1, ENTRIES // max(width, *counts))
    blocks = [multiplicities(count, draws, (key, place) if place else key, size) for place, count in enumerate(counts)]
    return zip(*blocks, strict=True)


def _products(times: Sequence[np.ndarray], places: Sequence[np.ndarray]) -> np.ndarray:
    """`[b, U]` how often each unit, or pair of clusters, is drawn."""
    of_pairs = [block[:, place] for block, place in zip(times, places, strict=True)]
    return math.prod(of_pairs[1:], start=of_pairs[0])


def multiplicities(units: int, draws: int, key: Any = 0, size: int | None = None) -> Iterator[np.ndarray]:
    """Blocks `[b, U]` that make up B draws: how often each unit is among U drawn with replacement (multinomial); `size`
    is the largest b, None: what `ENTRIES` allows."""
    rng = np.random.default_rng(key)
    size = max(1, ENTRIES // max(units, 1)) if size is None else size
    for start in range(0, draws, size):
        count = min(size, draws - start)
        drawn = rng.integers(units, size=(count, units)) + units * np.arange(count)[:, None]
        yield np.bincount(drawn.ravel(), minlength=count * units).reshape(count, units)


def figures(constraint: Constraint, sums: Sums) -> Draws:
    """Accuracy and gap of the sample itself, `[M, 1]`: every unit once."""
    with jax.enable_x64(True):
        return Draws(*map(np.asarray, _drawn(constraint, sums, np.ones((1, sums.weight.shape[0])))))


@functools.lru_cache(maxsize=16)
def _programs(model: models.Model, units: int, rule: DecisionRule | None) -> Program:
    said = ("units of members", model, units, rule and rule_text(rule))
    return Program(functools.partial(_of_params, model, units, rule), models.options(model), known=said)


def _of_params(
    model: models.Model,
    units: int,
    rule: DecisionRule | None,
    constraint: Constraint,
    trials: Any,
    choices: Choices,
    known: Known,
) -> Sums:
    def adds(seen, hard, slice_choices, local):
        return _adds(constraint, hard, slice_choices.replace(unit=local), units)

    def of_atom(params):
        coded, given = choices.replace(unit=known.code), {"twins": constraint.twins(), "people": known.people}
        given["rule"] = rule
        return models.evaluate(model, params, coded, sums=adds, rows=choices.unit, **given)[0]

    def of_trial(pair):
        params, weights = pair
        return jax.tree.map(lambda leaf: jnp.tensordot(weights, leaf, 1), jax.lax.map(of_atom, params))

    return _whole(constraint, jax.lax.map(of_trial, trials), choices, units)


def _independent(choices: Choices) -> np.ndarray:
    """`[n]` codes of what is drawn: people; where one stands for another, both."""
    unit = np.asarray(choices.unit)
    return np.minimum(unit, np.asarray(choices.twins[ANOTHER].unit)[:, 0]) if ANOTHER in choices.twins else unit


@functools.partial(jax.jit, static_argnums=3)
def _of_outcomes(constraint: Constraint, outcomes: Outcome, choices: Choices, units: int) -> Sums:
    added = jax.lax.map(lambda seen: _adds(constraint, seen, choices, units), outcomes)
    return _whole(constraint, added, choices, units)


def _whole(constraint: Constraint, added: Any, choices: Choices, units: int) -> Sums:
    correct, sums = added
    masses = _by_unit(lambda weighted: constraint.masses(constraint.prepare(weighted)), choices, units)
    weight = jax.ops.segment_sum(choices.weight, choices.unit, units)
    return Sums(correct, weight, Statistics(sums, masses))


def _adds(constraint: Constraint, seen: Outcome, choices: Choices, units: int) -> tuple[Array, Any]:
    """What units add to the weight of correct choices, `[U]`, and to the constraint's sums, leaves `[..., U]`."""
    right = choices.weight * total(pieces(choices.chosen * seen.decisions))
    sums = _by_unit(lambda weighted: constraint.sums(seen, constraint.prepare(weighted)), choices, units)
    return jax.ops.segment_sum(right, choices.unit, units), sums


def _by_unit(statistics: Any, choices: Choices, units: int) -> Any:
    """Statistics split by unit: what is additive over choices is linear in how often each unit is there, so the shares
    are its derivatives."""

    def of(multiplicity):
        return statistics(choices.replace(weight=choices.weight * multiplicity[choices.unit]))

    return jax.jacrev(of)(jnp.ones(units))


def _of_draws(constraint: Constraint, sums: Sums, multiplicity: Array) -> tuple[Array, Array]:
    """Accuracy and gap `[M, b]` of the draws in a block."""

    def drawn(leaf):
        return jnp.moveaxis(jnp.tensordot(leaf, multiplicity, (-1, -1)), -1, 0)  # the draws first

    masses = jax.tree.map(drawn, sums.statistics.masses)

    def of_trial(pair):
        correct, sums_of = pair
        drawn_sums = jax.tree.map(drawn, sums_of)
        gaps = jax.vmap(lambda s, m: constraint.gap(Statistics(s, m)).max())(drawn_sums, masses)
        return drawn(correct) / drawn(sums.weight), gaps

    return jax.lax.map(of_trial, (sums.correct, sums.statistics.sums))


_drawn = Program(_of_draws, known="draws of units")


# Tables ---------------------------------------------------------------------------------------------------------------


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


def _longer(leaf: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([leaf, np.repeat(leaf[:1], size - len(leaf), 0)])
