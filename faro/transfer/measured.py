"""Gaps of a model under one decision rule after another, beside what is known of them from its rewards alone.

The model is not trained again: its rewards on held-out people are decided by the KL-tilted policy at many beta, and by
best-of-n at many n. Gaps are those of the constraint, with intervals over units; they need not grow as beta falls or n
rises, so what keeps a bound is a set, and the end of its piece that begins at the reference is said apart.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from constraints import (
    BestOf,
    BestOfDraws,
    Constraint,
    DecisionRule,
    KLTilted,
    Outcome,
    RateConstraint,
    Resampled,
    Statistics,
    decide,
    kl_divergence,
    rule_text,
    statistics_of_parts,
)  # fmt: skip

from ..data import Dataset
from ..data.candidates import check_sets
from ..data.views import queries
from ..errors import DataError, UsageError
from ..evaluate.part import Part
from ..evaluate.resampling import interval
from ..store.model import TrainedModel
from .bounds import mean_move, tilt_bound, twin_oscillation, wasserstein_bound

BETAS = tuple(float(beta) for beta in np.geomspace(4, 0.02, 47).round(6))
LARGEST_N = 256  # answers of which the best is kept
REFERENCE = {"beta": np.inf, "n": 1}  # where an axis begins
HALVINGS = 16  # of the distance between two 1 / beta, until an end is known
DRAWS = 400  # of units
LEVEL = 0.95


@dataclasses.dataclass(frozen=True, eq=False)
class Transfer:
    """What was measured and what is known.

    table: a row per rule: `rule`, `axis` ("beta" or "n"), `value`, `gap` with `low` and `high`, `kl` (mean over prompts
        in nats, exact on enumerated sets; NaN of draws), `tanh` and `wasserstein` (upper bounds of the gap, from
        rewards; NaN where they are not defined) and `twins` (mean bound of how far twins are apart, likewise)
    reference: the gap of the reference itself
    bound: that is to be kept
    notes: conditions that do not hold, in words
    pieces: of "beta" and "n" where the gap is within the bound, from the reference on: [first, last] of every piece.
        beta begin at the reference, inf; ends are found between neighbours of the table. Of n every number was tried
    """

    table: pd.DataFrame
    reference: float
    bound: float
    notes: tuple[str, ...]
    pieces: dict[str, list[tuple[float, float]]]

    def end(self, axis: str) -> float | None:
        """Where the piece that begins at the reference ends; None if the reference itself is beyond the bound.

        axis: "beta" or "n"
        """
        first = self.pieces[axis][:1]
        return first[0][1] if first and first[0][0] == REFERENCE[axis] else None


def kept(values: Sequence[float], gaps: Sequence[float], bound: float) -> list[tuple[float, float]]:
    """Runs of neighbouring values whose gaps are within a bound, as (first, last).

    values: in the order of the axis, from the reference on
    gaps: of each
    bound: of the gap
    """
    runs: list[tuple[float, float]] = []
    before = False
    for value, gap in zip(values, gaps, strict=True):
        within = gap <= bound
        if within:
            runs[-1:] = [(runs[-1][0], value)] if before else [*runs[-1:], (value, value)]
        before = within
    return runs


def crossing(inside: float, beyond: float, gap: Callable[[float], float], bound: float) -> float:
    """The end of a piece of beta: the last one found within the bound, by halving in 1 / beta.

    inside: a beta within the bound, inf for the reference
    beyond: one that is not
    gap: of a beta
    bound: of the gap
    """
    low, high = 1 / inside, 1 / beyond
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if gap(1 / middle) <= bound else (low, middle)
    return 1 / low if low else np.inf


def measure(
    model: TrainedModel,
    data: Dataset,
    constraint: Constraint | None = None,
    *,
    part: str = "dev",
    betas: Sequence[float] = BETAS,
    largest_n: int = LARGEST_N,
    bound: float | None = None,
    draws: int = DRAWS,
) -> Transfer:
    """Measure a model's gaps under KL-tilted policies and best-of-n, beside the bounds.

    model: whose rewards are used
    data: that the model can score, with its parts
    constraint: whose gap is measured; None: that of training
    part: of the split
    betas: of the tilted policies, > 0
    largest_n: of best-of-n; on draws no more than there are
    bound: that is to be kept; None: that of training
    draws: of units, for intervals

    `UsageError` for a constraint that is no rate of decisions, or sets that nobody declared; `DataError` for sets on
    which a rule has no law.
    """
    constraint = constraint or model.constraint
    if constraint is None or len(constraint.parts()) != 1 or not isinstance(constraint.parts()[0], RateConstraint):
        raise UsageError("transfer: expected a model trained under one constraint on rates of decisions")
    if not betas or min(betas) <= 0 or not np.isfinite(betas).all():
        raise UsageError("betas: expected numbers > 0")
    asked = bound if bound is not None else min(model.about.get("bound", [1.0]))
    asked = 1.0 if isinstance(asked, str) or not np.isfinite(asked) else float(asked)
    kind = model.candidates or "enumerated"
    rows = data.rows(part, model.about.get("seed", 0))
    scored, asked_of = data.take(rows), np.isin(rows, queries(data, rows, model.model.support))
    sizes = scored.parsed.available.sum(1)
    sampled = kind == "sampled"
    tilted, best = (Resampled, BestOfDraws) if sampled else (KLTilted, BestOf)
    most = min(largest_n, int(sizes.min())) if sampled else largest_n
    notes = check_sets(scored, tilted(beta=1.0)) + check_sets(scored, best(n=1))
    whole = sorted({1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, most})
    rules: list[tuple[str, float, DecisionRule]] = [("beta", beta, tilted(beta=beta)) for beta in betas]
    rules += [("n", n, best(n=n)) for n in whole if n <= most]
    seed = int(model.about.get("seed", 0))
    held = Part.of(data, constraint, {seed: model}, (part,))
    choices = held.choices[seed]
    with jax.enable_x64(True):
        known = _Known(model, scored, asked_of, held.constraint, choices, tilted(beta=1.0))
        outcomes = [known.outcome(rule) for _, _, rule in rules]
        far = [known.distance(outcome) for outcome in outcomes]
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *outcomes)
    drawn = held.bootstrap({seed: held.of_outcomes(seed, stacked)}, draws)[seed]
    weight = np.asarray(choices.weight)
    table = []
    for place, (axis, value, rule) in enumerate(rules):
        low, high = interval(drawn.gap[place], LEVEL)
        row = {"rule": rule_text(rule), "axis": axis, "value": value, "gap": known.gap(outcomes[place])}
        row |= {"low": low, "high": high, "kl": np.nan if sampled else float(far[place] @ weight / weight.sum())}
        table.append(row | (known.bounds(value) if axis == "beta" else dict.fromkeys(("tanh", "wasserstein"), np.nan)))
    frame = pd.DataFrame(table)
    frame["twins"] = _twins(model, scored, asked_of, constraint, betas, frame)
    reference = known.gap(known.reference)
    at = functools.cache(lambda beta: known.gap(known.outcome(tilted(beta=beta))))
    every = [float(known.gap(known.outcome(best(n=n)))) for n in range(1, most + 1)]
    pieces = {"beta": _pieces(betas, frame[frame["axis"] == "beta"]["gap"].tolist(), reference, asked, at)}
    pieces["n"] = kept(range(1, most + 1), every, asked)
    return Transfer(frame, reference, asked, (*notes, *known.notes), pieces)


def _pieces(
    betas: Sequence[float], gaps: Sequence[float], reference: float, bound: float, at: Callable[[float], float]
) -> list[tuple[float, float]]:
    """Pieces of beta within the bound, from the reference on, whose ends lie between those that were tried."""
    tried = [REFERENCE["beta"], *betas]
    found = []
    for first, last in kept(tried, [reference, *gaps], bound):
        before, after = tried.index(first) - 1, tried.index(last) + 1
        begins = crossing(first, tried[before], at, bound) if before >= 0 else first
        found.append((begins, crossing(last, tried[after], at, bound) if after < len(tried) else last))
    return found


class _Known:
    """What rules make of a model's rewards on these choices, and what rewards alone say of that."""

    def __init__(
        self, model: TrainedModel, data: Dataset, asked: Any, constraint: Constraint, choices: Any, tilt: DecisionRule
    ):
        self.constraint, self.choices = constraint, choices
        (self.part,) = constraint.parts()
        self.rewards, self.available = np.nan_to_num(model.rewards(data))[asked], np.asarray(choices.available)
        self.moved = {name: np.nan_to_num(model.twin_rewards(data, name))[asked] for name in constraint.twins()}
        self.log_ref = np.zeros(choices.shape) if choices.log_ref is None else np.asarray(choices.log_ref, float)
        self.reference = self._alike(tilt)
        if all(jax.tree.leaves(jax.tree.map(np.array_equal, self._filled(0.0), self._filled(1.0)))):
            raise UsageError(f"transfer: {constraint.name()} is about rewards, and the same under every rule")
        self.compared = self.part.compared() if isinstance(self.part, RateConstraint) and not self.moved else None
        pairs = bool((self.available.sum(1) == 2).all())
        self.margins = pairs and choices.log_ref is None and self.compared is not None and self.compared.paired
        self.notes = []
        if self.moved:
            self.notes.append("tanh: not of gaps between twins; the column twins bounds how far those are apart")
        elif self.compared is None:
            self.notes.append("tanh: the constraint does not say which rates it compares")
        if not self.margins:
            self.notes.append("wasserstein: not defined; it needs two answers, a uniform reference, pairs of rates")

    def outcome(self, rule: DecisionRule) -> Outcome:
        """What a rule makes of the rewards."""
        with jax.enable_x64(True):
            return _decided(rule, self.rewards, self.choices, self.moved)

    def _alike(self, tilt: DecisionRule) -> Outcome:
        """What the reference does, whatever the rewards."""
        with jax.enable_x64(True):
            nothing = {name: np.zeros_like(moved) for name, moved in self.moved.items()}
            alike = _decided(tilt, np.zeros_like(self.rewards), self.choices, nothing)
            told = {name: dataclasses.replace(twin, rewards=self.moved[name]) for name, twin in alike.twins.items()}
            return dataclasses.replace(alike, rewards=self.rewards, twins=told)

    def distance(self, outcome: Outcome) -> np.ndarray:
        """KL from the reference, `[n]` nats."""
        with jax.enable_x64(True):
            return np.asarray(kl_divergence(outcome.decisions, self.choices.available, jnp.asarray(self.log_ref)))

    def _filled(self, share: float) -> Any:
        """Sums where every decision is this share, and of twins half of it: what reads rewards does not see it."""
        with jax.enable_x64(True):
            seen, twins = self.reference, self.reference.twins.items()
            half = {name: dataclasses.replace(twin, decisions=0 * twin.decisions + share / 2) for name, twin in twins}
            filled = dataclasses.replace(seen, decisions=0 * seen.decisions + share, twins=half)
            return self.constraint.statistics(filled, self.choices).sums

    def _statistics(self, outcome: Outcome) -> Statistics:
        return statistics_of_parts(self.constraint, self.constraint.statistics(outcome, self.choices))[0]

    def gap(self, outcome: Outcome) -> float:
        """Of decisions, the constraint's own."""
        with jax.enable_x64(True):
            return float(np.max(np.asarray(self.part.gap(self._statistics(outcome)))))

    def _rates(self, decisions: Any) -> np.ndarray:
        assert isinstance(self.part, RateConstraint) and self.compared is not None
        with jax.enable_x64(True):
            seen = dataclasses.replace(self.reference, decisions=jnp.asarray(decisions))
            rates = np.asarray(self.part.rates(self._statistics(seen)))
        return rates.reshape(len(self.compared.blocks), len(self.compared.groups))

    def bounds(self, beta: float) -> dict[str, float]:
        """Upper bounds of the gap at this beta."""
        if self.compared is None:
            return {"tanh": np.nan, "wasserstein": np.nan}
        moved = mean_move(self.rewards, self.available, beta)
        move = self._rates(np.broadcast_to(moved[:, None], self.rewards.shape))
        start = self._rates(self.reference.decisions)
        affine = self.part.affine() if isinstance(self.part, RateConstraint) else None
        scale = abs(affine[1]) if affine else 1.0
        if self.compared.paired:
            apart = np.abs(start[:, :, None] - start[:, None]) + scale * (move[:, :, None] + move[:, None])
            tanh = np.nanmax(np.where(np.eye(apart.shape[1], dtype=bool), np.nan, apart)) if apart.shape[1] > 1 else 0.0
        else:
            tanh = np.nanmax(start + scale * move)
        return {"tanh": float(tanh), "wasserstein": self._wasserstein(beta) if self.margins else np.nan}

    def _wasserstein(self, beta: float) -> float:
        """The largest over pairs of groups, by the margins of the members of their cells."""
        assert isinstance(self.part, RateConstraint) and self.compared is not None
        with jax.enable_x64(True):
            counts = self.part.counts(self.reference, self.choices)
        cell, share = np.asarray(counts.cell), np.asarray(counts.share)
        margin = np.broadcast_to((self.rewards - self.rewards[:, ::-1])[..., None], cell.shape)
        worst, groups = 0.0, len(self.compared.groups)
        for block in range(len(self.compared.blocks)):
            laws = [cell == block * groups + group for group in range(groups)]
            there = [(margin[law], share[law]) for law in laws if share[law].sum() > 0]
            for a in range(len(there)):
                for b in range(a):
                    worst = max(worst, wasserstein_bound(there[a][0], there[b][0], beta, there[a][1], there[b][1]))
        return worst


@jax.jit
def _decided(rule: DecisionRule, rewards: Any, choices: Any, twins: Any) -> Outcome:
    return decide(rule, rewards, choices, twins)


def _twins(
    model: TrainedModel, data: Dataset, asked: Any, constraint: Constraint, betas: Sequence[float], table: pd.DataFrame
) -> list[float]:
    """Per row of the table the mean of tanh of twins, by the constraint's attribute; NaN where there are none."""
    attribute = getattr(getattr(constraint.parts()[0], "who", None), "attribute", None)
    known = attribute is not None and any(twin.attribute == attribute.name for twin in data.schema.twins)
    if not known or attribute is None:
        return [np.nan] * len(table)
    moved, rewards = model.twin_rewards(data, attribute.name)[asked], np.nan_to_num(model.rewards(data))[asked]
    there = data.parsed.available[asked]
    valid = ~np.isnan(moved).any((1, 2)) if attribute.chooser else (~np.isnan(moved).any(2) | ~there).all(1)
    if not valid.any():
        raise DataError(f"{data.name}: no choice has twins of {attribute.name!r} at every level")
    moved, rewards, there = np.nan_to_num(moved[valid]), rewards[valid], there[valid]
    if attribute.chooser:
        levels = range(moved.shape[-1])
        far = [twin_oscillation(moved[..., a], moved[..., b], there) for a in levels for b in levels if a < b]
        omega = np.max(far, 0)
    else:  # one answer alone is moved, so its move is the oscillation
        omega = np.where(there, moved.max(-1) - moved.min(-1), 0).max(1)
    return [
        float(tilt_bound(omega, value).mean()) if axis == "beta" else np.nan
        for axis, value in zip(table["axis"], table["value"], strict=True)
    ]
