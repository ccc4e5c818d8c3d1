"""Affine proxies: a constraint as inequalities A w <= b on the parameters of a linear head.

The constraint itself says what its proxy is: it is measured with decisions replaced by their first-order expansion at
equal rewards, the rule

    Affine     decision_k = (1 + (r_k - mean of r over the available) / temperature) / (number of available)

which is the tangent of `Softmax(temperature)`. Such decisions sum to 1 and do not see a constant added to all rewards
of a choice. Column j of A is the measurement of feature j read as if it were the reward. So cells, strata, events and
twins need no code of their own, and a measurement that is not linear in decisions is refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from constraints import Choices, Constraint, DecisionRule, Parity, Stack, Statistics, decide, record

from ..errors import UsageError
from .head import Head

PROBES = (0.1, 1.0, 10.0, 100.0)  # sizes of the random parameters at which linearity is tried
ACCURACY = 1e-9


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """m inequalities `A w <= base + slope * bound`, a label each; a bound may move only some of them (slope 0)."""

    matrix: np.ndarray  # A [m, d]
    base: np.ndarray  # [m]
    slope: np.ndarray  # [m], >= 0
    labels: tuple[str, ...]

    @classmethod
    def of(cls, matrix: Any, base: Any = 0.0, slope: Any = 1.0, labels: tuple[str, ...] | None = None) -> Rows:
        """Rows from arrays; `base` and `slope` may be one number for all. |M w| <= bound is `of([M, -M])` stacked.

        Raises `UsageError` for shapes that do not fit, numbers that are not finite, or a negative slope.
        """
        matrix = np.array(matrix, np.float64)
        if matrix.ndim != 2:
            raise UsageError(f"matrix: expected rows [m, d], got shape {matrix.shape}")
        m = len(matrix)
        try:
            base, slope = (np.broadcast_to(np.asarray(value, np.float64), (m,)).copy() for value in (base, slope))
        except ValueError:
            raise UsageError(f"base, slope: expected one number or {m}, one per row of the matrix") from None
        labels = tuple(f"row {j}" for j in range(m)) if labels is None else tuple(labels)
        if len(labels) != m or not all(np.isfinite(value).all() for value in (matrix, base, slope)):
            raise UsageError(f"rows: expected {m} labels and finite numbers, got {len(labels)} labels; see Rows")
        if (slope < 0).any():
            raise UsageError("slope: expected numbers >= 0, so that a larger bound asks for less; negate the bound")
        return cls(matrix, base, slope, labels)

    def limits(self, bound: float) -> np.ndarray:
        """Right-hand sides at this bound, `[m]`."""
        return self.base + self.slope * bound

    def violation(self, w: np.ndarray, bound: float) -> float:
        """How far the worst row is over its limit; 0 if all hold."""
        return float(np.max(self.matrix @ w - self.limits(bound), initial=0))

    def slack(self, w: np.ndarray) -> float:
        """The smallest bound at which all rows hold at w; inf if one that does not move with the bound fails."""
        over, moved = self.matrix @ w - self.base, self.slope > 0
        if (over[~moved] > 0).any():
            return np.inf
        return float(np.max(over[moved] / self.slope[moved], initial=-np.inf))

    def __add__(self, other: Rows) -> Rows:
        """These rows and those."""
        return Rows(
            np.concatenate([self.matrix, other.matrix]),
            np.concatenate([self.base, other.base]),
            np.concatenate([self.slope, other.slope]),
            self.labels + other.labels,
        )


@record
class Affine(DecisionRule):
    """The tangent of `Softmax(temperature)` at equal rewards: affine in the rewards, sums to 1, may leave [0, 1]."""

    temperature: Any = 1.0

    def decide(self, rewards, available, log_ref):
        count = jnp.sum(available, -1, keepdims=True)
        mean = jnp.sum(jnp.where(available, rewards, 0), -1, keepdims=True) / count
        return jnp.where(available, (1 + (rewards - mean) / self.temperature) / count, 0)


def linear(constraint: Constraint) -> Constraint:
    """The same requirement in rows that are linear in the rates: centred parity rows, which hold a maximum and a
    minimum over groups, become the differences of all ordered pairs of groups."""
    if isinstance(constraint, Stack):
        return dataclasses.replace(constraint, members=tuple(map(linear, constraint.members)))
    if isinstance(constraint, Parity) and constraint.form == "centred":
        return dataclasses.replace(constraint, form="pairwise")
    return constraint


def multipliers_of_linear(constraint: Constraint, multipliers: Any, measured: np.ndarray) -> np.ndarray:
    """Multipliers `[m]` of the constraint's own rows as multipliers of those of `linear(constraint)`, which were
    `measured` at some parameters: with the same pull there, because

        2 (r_g - midrange) = (r_g - highest rate) + (r_g - lowest rate)      and likewise from below
    """
    multipliers, translated = np.asarray(multipliers, np.float64), []
    for part, linear_part in zip(constraint.parts(), linear(constraint).parts(), strict=True):
        nu, multipliers = np.split(multipliers, [len(part.labels())])
        seen, measured = np.split(measured, [len(linear_part.labels())])
        translated.append(
            _paired(nu, seen, len(part.groups())) if linear_part is not part and isinstance(part, Parity) else nu
        )
    return np.concatenate(translated)


def _paired(nu: np.ndarray, differences: np.ndarray, groups: int) -> np.ndarray:
    """Of centred rows, `[2, B, G]`, as of all ordered pairs, `[B, G (G - 1)]`, whose differences of rates are these."""
    apart = ~np.eye(groups, dtype=bool)
    pairs = np.zeros((len(differences) // apart.sum(), groups, groups))
    pairs[:, apart] = differences.reshape(len(pairs), -1)
    lead = pairs.sum(-1)  # the higher a rate, the higher
    pairs[:] = 0
    for block, (above, below) in enumerate(np.moveaxis(nu.reshape(2, len(pairs), groups), 0, 1)):
        for end in (lead[block].argmax(), lead[block].argmin()):
            pairs[block, :, end] += above
            pairs[block, end] += below
    return pairs[:, apart].ravel()


def rows_of(constraint: Constraint, head: Head, *, temperature: float = 1.0) -> Rows:
    """The affine proxy of a constraint: `Rows` with A w + a = the measurement under `Affine(temperature)`.

    The bound of the rows takes the place of the constraint's own (a `Stack`: of every part's). Cost: d + 9 passes over
    the choices. Raises `UsageError` if the measurement is not affine in rewards, or if its rows change with the bound.
    """
    constraint = linear(constraint)
    with jax.enable_x64(True):
        measure = _measurement(constraint, head, temperature)
        identity = np.eye(head.d)
        offset = measure(np.zeros(head.d), constraint)
        matrix = np.stack([measure(unit, constraint) - offset for unit in identity], 1)
        rng = np.random.default_rng(0)
        for size in PROBES:
            w = size * rng.normal(size=head.d)
            for bound in (1.0, 0.25):  # precision floors are linear, with rows that depend on the bound
                seen, said = measure(w, constraint.at(bound)), matrix @ w + offset
                if not np.allclose(seen, said, rtol=0, atol=ACCURACY * (1 + np.abs(matrix) @ np.abs(w)).max()):
                    raise UsageError(
                        f"{constraint.name()}: its rows are not linear in rewards at every bound alike, so there is no "
                        "exact solve; bound a rate (parity, equalized odds, a cap), or train with `faro.training`"
                    )
        low, high = (np.asarray(constraint.at(bound).bounds(), np.float64) for bound in (0.0, 1.0))
    return Rows.of(matrix, low - offset, high - low, constraint.labels())


def _measurement(constraint: Constraint, head: Head, temperature: float) -> Callable[..., np.ndarray]:
    """(w, constraint) -> measurements `[m]` in float64 of the rewards that w gives."""
    names = constraint.twins()
    for name in names:
        if name not in head.choices.twins:
            raise UsageError(f"{constraint.name()}: needs twins of {name!r}, the choices have none; declare them")
        if head.choices.twins[name].items is None:
            raise UsageError(f"twin of {name!r}: expected features of the twins as items [n, K, L, d]")
    inside = np.asarray(head.choices.inside)
    twins = {name: np.asarray(head.choices.twins[name].items) for name in names}
    choices = _without_features(head.choices)

    def rewards(features: np.ndarray, w: np.ndarray) -> np.ndarray:
        """[n, K, ..., d] -> [n, K, ...]; one feature after another, so that nothing of the size of the table is made"""
        total = np.zeros(features.shape[:-1])
        for j in np.flatnonzero(w[: features.shape[-1]]):
            total += w[j] * features[..., j]
        there = inside.reshape(*inside.shape, *[1] * (total.ndim - 2))
        constant = w[-1] if head.intercept and features.shape[-1] < head.d else 0.0
        return np.where(there, total + constant, 0)

    def at(w: np.ndarray, constraint: Constraint) -> np.ndarray:
        seen = {name: rewards(items, w) for name, items in twins.items()}
        rule, doubled = Affine(temperature=temperature), jax.tree.map(_double, constraint)
        return np.asarray(_measure(rule, rewards(head.features, w), seen, doubled, choices), np.float64)

    return at


@jax.jit
def _measure(rule: Affine, rewards: Array, twins: Any, constraint: Constraint, choices: Choices) -> Array:
    rows = constraint.prepare(choices)
    outcome = decide(rule, rewards, choices, twins)
    return constraint.combine(Statistics(constraint.proxy_sums(outcome, rows), constraint.masses(rows)))


def _without_features(choices: Choices) -> Choices:
    """All that a measurement looks at beside rewards, in float64; features and contexts keep their place only."""
    nothing = {
        name: dataclasses.replace(
            twin, items=None, context=None if twin.context is None else np.zeros((*twin.context.shape[:2], 0))
        )
        for name, twin in choices.twins.items()
    }
    return jax.tree.map(_double, choices.replace(items=np.zeros((*choices.shape, 0)), twins=nothing))


def _double(leaf: Any) -> np.ndarray:
    leaf = np.asarray(leaf)
    return leaf.astype(np.float64) if np.issubdtype(leaf.dtype, np.floating) else leaf
