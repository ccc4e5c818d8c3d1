"""Mixtures: the best randomised choice among q models that are there already, of at most m + 1 of them.

    min f . q    such that    C' q <= s,  sum q = 1,  q >= 0          f losses [q], C measurements [q, m], s limits [m]

Rates, and so rows that are linear in rates (`rows.linear`), are linear in q for the *randomised* policy, which draws
one model and follows it. A vertex of this linear program has at most m + 1 models (Cotter et al. JMLR 2019, Lemma 3).
The solver guesses q and multipliers lam; what is claimed is computed from them in exact rationals:

    a mixture that satisfies the limits costs at least      min_i (f_i + lam . C_i) - s . lam      any lam >= 0
    every mixture violates some limit by at least           min_i lam . (C_i - s)                  lam >= 0, sum 1

q is fitted: choose it on tuning data, and judge the mixture on data that chose nothing.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import cvxpy as cp
import numpy as np

from ..errors import NoProofError, UsageError
from . import solver

UNIT = 10**15  # weights and multipliers are multiples of 1e-15, so that they print as short decimals
TRIES = 4
Guess = tuple[list[Fraction], list[Fraction]]  # weights [q], multipliers [m]


@dataclasses.dataclass(frozen=True)
class Mixture:
    """A randomised model: member `members[j]` with probability `weights[j]`; weights are positive and sum to 1 exactly.

    To decide, draw u in [0, 1) once per unit (or per choice) from a hash of a salt and the unit's id, and follow the
    first member whose cumulative weight exceeds u. So a person meets one model whatever the order of rows, and the draw
    can be repeated by anyone who has the salt. Rates of the mixture are means over draws.
    """

    members: tuple[int, ...]  # indices of the models, ascending
    weights: tuple[Fraction, ...]
    multipliers: tuple[Fraction, ...]  # lam [m]: what the last unit of each limit costs in f
    value: Fraction  # f . q
    lower: Fraction  # no mixture within the limits costs less
    violation: Fraction  # of the worst limit; 0 unless the limits leave no room at all

    @property
    def gap(self) -> Fraction:
        """value - lower: how far from the best mixture this can be."""
        return self.value - self.lower

    @property
    def prices(self) -> tuple[Fraction, ...]:
        """The old name of `multipliers`, for one release; JSON keeps it."""
        warnings.warn("Mixture.prices is multipliers now; the old name goes with the next release", FutureWarning, 2)
        return self.multipliers

    def plain(self) -> dict[str, Any]:
        """As JSON values: weights and multipliers as decimal strings, the rest as "p/q"."""
        return {
            "members": list(self.members),
            "weights": [decimal(weight) for weight in self.weights],
            "prices": [decimal(price) for price in self.multipliers],
            "value": str(self.value),
            "lower": str(self.lower),
            "violation": str(self.violation),
        }


@dataclasses.dataclass(frozen=True)
class Unattainable:
    """Proof that no mixture satisfies the limits: each violates one by at least `least`, by the prices `witness`."""

    least: Fraction  # minimum attainable slack: the limits would have to grow by this much, all alike
    attained: Fraction  # by the mixture of `members` and `weights`
    witness: tuple[Fraction, ...]  # lam [m] >= 0, sums to 1
    members: tuple[int, ...]
    weights: tuple[Fraction, ...]

    def plain(self) -> dict[str, Any]:
        """As JSON values: weights as decimal strings, the rest as "p/q"."""
        return {
            "least": str(self.least),
            "attained": str(self.attained),
            "witness": [str(price) for price in self.witness],
            "members": list(self.members),
            "weights": [decimal(weight) for weight in self.weights],
        }


def mix(losses: Any, measurements: Any, limits: Any) -> Mixture | Unattainable:
    """The mixture of least loss whose measurements are within the limits, or the proof that there is none.

    `losses [q]`, `measurements [q, m]`, `limits [m]` or one number for all. Raises `UsageError` for shapes that do not
    fit or numbers that are not finite, and `NoProofError` if solvers fail.
    """
    f, table, s = _checked(losses, measurements, limits)
    exact_f, exact_table, exact_s = _fractions(f), [_fractions(row) for row in table], _fractions(s)
    best, margin = None, 0.0
    for _ in range(TRIES):  # solvers overstep limits by a little: ask for that much less
        guessed = _cheapest(f, table, s - margin)
        if guessed is None:
            break
        weights, multipliers = guessed
        chosen = _evaluate(weights, multipliers, exact_f, exact_table, exact_s)
        if best is None or (chosen.violation, chosen.gap) < (best.violation, best.gap):
            best = chosen
        if best.violation == 0 or best.violation > Fraction(1, 10**6):
            break
        margin += 2 * float(best.violation) + 10 / UNIT * (1 + float(np.abs(table).max(initial=0)))
    if best is not None and best.violation <= Fraction(1, 10**9):
        return best
    guessed = _least_slack(table, s)
    if guessed is not None:
        weights, multipliers = guessed
        least = min(
            _dot(multipliers, [c - limit for c, limit in zip(row, exact_s, strict=True)]) for row in exact_table
        )
        attained = _violation(weights, exact_table, exact_s, floor=False)
        if least > 0:
            return Unattainable(least, attained, tuple(multipliers), *_support(weights))
    raise NoProofError("mixture: solvers found neither a mixture within the limits nor a proof that there is none")


def _cheapest(f: np.ndarray, table: np.ndarray, s: np.ndarray) -> Guess | None:
    q = cp.Variable(len(f), nonneg=True)
    rows = table.T @ q <= s

    def defect() -> float:
        lam = solver.multipliers(rows)
        value, lower = f @ q.value, np.min(f + table @ lam) - s @ lam
        return max(np.max(table.T @ q.value - s, initial=0), value - lower) / (1 + np.abs(f).max())

    return _guess(q, rows, cp.Problem(cp.Minimize(f @ q), [cp.sum(q) == 1, rows]), defect)


def _least_slack(table: np.ndarray, s: np.ndarray) -> Guess | None:
    q, t = cp.Variable(len(table), nonneg=True), cp.Variable()
    rows = table.T @ q - s <= t

    def defect() -> float:
        lam = solver.multipliers(rows)
        lower = np.min((table - s) @ lam) / max(lam.sum(), 1e-300)
        return (np.max(table.T @ q.value - s) - lower) / (1 + np.abs(table).max())

    guessed = _guess(q, rows, cp.Problem(cp.Minimize(t), [cp.sum(q) == 1, rows]), defect)
    if guessed is None:
        return None
    weights, multipliers = guessed
    return weights, [price / sum(multipliers) for price in multipliers]


def _guess(q: Any, rows: cp.Constraint, problem: cp.Problem, defect: Callable[[], float]) -> Guess | None:
    """Weights on a grid of decimals that sum to 1 exactly, and multipliers >= 0; None if no solver gave good ones."""
    if not solver.guess(problem, solver.LINEAR, defect):
        return None
    parts = np.maximum(q.value, 0)
    counts = [int(part) for part in np.floor(parts / parts.sum() * UNIT)]
    counts[int(np.argmax(counts))] += UNIT - sum(counts)
    multipliers = [Fraction(int(price * UNIT), UNIT) for price in solver.multipliers(rows)]
    return [Fraction(count, UNIT) for count in counts], multipliers


def _evaluate(weights, multipliers, f, table, s) -> Mixture:
    return Mixture(
        *_support(weights),
        multipliers=tuple(multipliers),
        value=_dot(weights, f),
        lower=min(cost + _dot(multipliers, row) for cost, row in zip(f, table, strict=True)) - _dot(multipliers, s),
        violation=_violation(weights, table, s),
    )


def _support(weights: list[Fraction]) -> tuple[tuple[int, ...], tuple[Fraction, ...]]:
    components = tuple(i for i, weight in enumerate(weights) if weight > 0)
    return components, tuple(weights[i] for i in components)


def _violation(weights: list[Fraction], table: list[list[Fraction]], s: list[Fraction], floor: bool = True) -> Fraction:
    components, component_weights = _support(weights)
    over = [_dot(component_weights, [table[i][j] for i in components]) - limit for j, limit in enumerate(s)]
    return max([Fraction(0), *over]) if floor else max(over)


def _dot(a: Any, b: Any) -> Fraction:
    return sum((x * y for x, y in zip(a, b, strict=True) if x), Fraction(0))


def _fractions(values: np.ndarray) -> list[Fraction]:
    return [Fraction(float(value)) for value in values]


def _checked(losses: Any, measurements: Any, limits: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    f, table = np.asarray(losses, np.float64), np.asarray(measurements, np.float64)
    if f.ndim != 1 or not len(f) or table.ndim != 2 or len(table) != len(f) or np.ndim(limits) > 1:
        raise UsageError(f"mixture: expected losses [q] and measurements [q, m], got {f.shape} and {table.shape}")
    m = table.shape[1]
    if np.shape(limits) not in ((), (m,)):
        raise UsageError(f"limits: expected one number or {m}, got shape {np.shape(limits)}")
    s = np.broadcast_to(np.asarray(limits, np.float64), (m,))
    if not all(np.isfinite(values).all() for values in (f, table, s)):
        raise UsageError("mixture: expected finite numbers; leave out models that diverged and infinite limits")
    return f, table, s


def decimal(value: Fraction) -> str:
    """An exact multiple of 1e-15 as a decimal string."""
    whole, rest = divmod(value.numerator * (UNIT // value.denominator), UNIT)
    digits = f"{rest:015d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
