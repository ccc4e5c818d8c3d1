"""What every unit of a part adds to the figures of models, and the figures when units are drawn again.

A statistic of a draw is a weighted sum over units, so all draws of a trial are one matrix product:

    sums[u]      what unit u adds to correct choices, weight, and the statistics of the constraint    [U]
    accuracy[b]  (multiplicity @ correct)[b] / (multiplicity @ weight)[b]
    gap[b]       gap of the constraint at multiplicity @ statistics

One multiplicity serves all seeds and trials: a person who is in the dev part of several seeds is drawn in all of them,
and trials are compared on equal draws.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from constraints import ANOTHER, Argmax, Choices, Constraint, DecisionRule, Outcome, Statistics, rule_text
from constraints.alternatives import pieces, total

from .. import models
from ..data import Dataset
from ..data.support import SupportRule, support_sets
from ..data.views import queries
from ..runtime.programs import Program
from ..store.model import TrainedModel
from .resampling import DRAWS, clusters, crossed_draws, products


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
                codes[seed], crossed[seed], local = clusters(_independent(padded), others[seed])
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
        both = [self.codes] if self.crossed is None else [self.codes, self.crossed]
        everyone = [np.unique(np.concatenate(list(of_seeds.values()))) for of_seeds in both]
        places = {
            seed: [np.searchsorted(names, of_seeds[seed]) for names, of_seeds in zip(everyone, both, strict=True)]
            for seed in sums
        }
        blocks: dict[int, list[Draws]] = {seed: [] for seed in sums}
        for times in crossed_draws([len(names) for names in everyone], self.units, draws, key):
            for seed, seed_sums in sums.items():
                mine = np.zeros((len(times[0]), self.units))
                mine[:, : len(self.codes[seed])] = products(times, places[seed])
                with jax.enable_x64(True):
                    blocks[seed].append(Draws(*map(np.asarray, _drawn(self.constraint, seed_sums, mine))))
        return {
            seed: Draws(*(np.concatenate(values, 1) for values in zip(*of_blocks, strict=True)))
            for seed, of_blocks in blocks.items()
        }


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


def _longer(leaf: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([leaf, np.repeat(leaf[:1], size - len(leaf), 0)])
