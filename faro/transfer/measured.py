"""Gaps of a model under one decision rule after another, beside what is known of them from its rewards alone.

The model is not trained again: its rewards on held-out people are decided by the KL-tilted policy at many beta, and by
best-of-n at many n. Gaps are those of the constraint, with intervals over units; they need not grow as beta falls or n
rises, so what keeps a bound is a set, and the end of its piece that begins at the reference is said apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
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
    kl_divergence,
    rule_text,
    statistics_of_parts,
)  # fmt: skip

from ..data import Dataset
from ..data.candidates import check_sets
from ..errors import DataError, UsageError
from ..evaluate.bootstrap import Part, interval
from ..store.model import TrainedModel
from .bounds import mean_move, tilt_bound, twin_oscillation, wasserstein_bound

BETAS = tuple(float(beta) for beta in np.geomspace(4, 0.02, 47).round(6))
LARGEST_N = 256  # answers of which the best is kept
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
    """

    table: pd.DataFrame
    reference: float
    bound: float
    notes: tuple[str, ...]

    def kept(self, axis: str) -> list[tuple[float, float]]:
        """The runs of values of an axis, from the reference on, at which the gap is within the bound: [first, last].

        axis: "beta" or "n"
        """
        rows = self.table[self.table["axis"] == axis]
        return kept(rows["value"].tolist(), rows["gap"].tolist(), self.bound)

    def end(self, axis: str) -> float | None:
        """Where the run that begins at the reference ends; None if the reference itself is beyond the bound, or the
        first value of the axis is.

        axis: "beta" or "n"
        """
        rows = self.table[self.table["axis"] == axis]
        runs = self.kept(axis)
        begins = len(rows) and runs and runs[0][0] == rows["value"].iloc[0]
        return runs[0][1] if begins and self.reference <= self.bound else None


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
    scored = data.take(rows)
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
    raw = model.rewards(scored)
    rewards = np.zeros(choices.shape)
    rewards[: len(raw)] = np.nan_to_num(raw)
    with jax.enable_x64(True):
        available = np.asarray(choices.available)
        log_ref = np.zeros(choices.shape) if choices.log_ref is None else np.asarray(choices.log_ref, float)
        there, logs = jnp.asarray(available), jnp.asarray(log_ref)
        laws = [rule.decide(jnp.asarray(rewards), there, logs) for _, _, rule in rules]
        reference = np.asarray(tilted(beta=1.0).decide(jnp.zeros(choices.shape), there, logs))
        far = [np.asarray(kl_divergence(law, there, logs)) for law in laws]
        decided = np.stack([np.asarray(law) for law in laws])
    drawn = held.bootstrap({seed: held.of_decisions(seed, decided)}, draws)[seed]
    known = _Known(held.constraint, choices, rewards, available, reference)
    weight = np.asarray(choices.weight)
    table = []
    for place, (axis, value, rule) in enumerate(rules):
        low, high = interval(drawn.gap[place], LEVEL)
        row = {"rule": rule_text(rule), "axis": axis, "value": value, "gap": known.gap(decided[place])}
        row |= {"low": low, "high": high, "kl": np.nan if sampled else float(far[place] @ weight / weight.sum())}
        table.append(row | (known.bounds(value) if axis == "beta" else dict.fromkeys(("tanh", "wasserstein"), np.nan)))
    frame = pd.DataFrame(table)
    frame["twins"] = _twins(model, scored, constraint, betas, frame)
    return Transfer(frame, known.gap(reference), asked, (*notes, *known.notes))


class _Known:
    """Gaps of decisions on these choices, and what rewards say of them."""

    def __init__(self, constraint: Constraint, choices: Any, rewards: Any, available: Any, reference: Any):
        self.constraint, self.choices, self.rewards = constraint, choices, rewards
        self.available, self.reference = available, reference
        (self.part,) = constraint.parts()
        self.compared = self.part.compared() if isinstance(self.part, RateConstraint) else None
        pairs = bool((available.sum(1) == 2).all())
        self.margins = pairs and choices.log_ref is None and self.compared is not None and self.compared.paired
        self.notes = []
        if self.compared is None:
            self.notes.append("tanh: the constraint does not say which rates it compares")
        if not self.margins:
            self.notes.append("wasserstein: not defined; it needs two answers, a uniform reference, pairs of rates")

    def _statistics(self, decisions: Any) -> Statistics:
        with jax.enable_x64(True):
            outcome = Outcome(
                rewards=jnp.zeros_like(decisions), decisions=jnp.asarray(decisions), twins={}, available=self.available
            )
            whole = self.constraint.statistics(outcome, self.choices)
            return statistics_of_parts(self.constraint, whole)[0]

    def gap(self, decisions: Any) -> float:
        with jax.enable_x64(True):
            return float(np.max(np.asarray(self.part.gap(self._statistics(decisions)))))

    def _rates(self, decisions: Any) -> np.ndarray:
        assert isinstance(self.part, RateConstraint) and self.compared is not None
        with jax.enable_x64(True):
            rates = np.asarray(self.part.rates(self._statistics(decisions)))
        return rates.reshape(len(self.compared.blocks), len(self.compared.groups))

    def bounds(self, beta: float) -> dict[str, float]:
        """Upper bounds of the gap at this beta."""
        if self.compared is None:
            return {"tanh": np.nan, "wasserstein": np.nan}
        moved = mean_move(self.rewards, self.available, beta)
        move = self._rates(np.broadcast_to(moved[:, None], self.rewards.shape))
        start = self._rates(self.reference)
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
            outcome = Outcome(
                rewards=jnp.zeros_like(self.rewards), decisions=jnp.asarray(self.reference), twins={},
                available=self.available,
            )  # fmt: skip
            counts = self.part.counts(outcome, self.choices)
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


def _twins(
    model: TrainedModel, data: Dataset, constraint: Constraint, betas: Sequence[float], table: pd.DataFrame
) -> list[float]:
    """Per row of the table the mean of tanh of twins, by the constraint's attribute; NaN where there are none."""
    attribute = getattr(getattr(constraint.parts()[0], "who", None), "attribute", None)
    known = attribute is not None and any(twin.attribute == attribute.name for twin in data.schema.twins)
    if not known or attribute is None:
        return [np.nan] * len(table)
    moved, rewards = model.twin_rewards(data, attribute.name), np.nan_to_num(model.rewards(data))
    there = data.parsed.available
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
