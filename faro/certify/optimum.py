"""Claims about tables, exact and without people: no mixture of models, or no linear head, is much better.

    mixture        minimise f . q   subject to   C'q <= tolerance, sum q = 1, q >= 0
    head_optimum   minimise mean log(1 + sum_k exp(-d_ik w)) + mu/2 w.w   subject to   |M w| <= slack

A solver proposes the point and its multipliers; they become decimals or rationals, and weak duality says what they
prove, whoever proposed them.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from ..errors import DataError, NoProofError
from . import combine, mixture
from .bounds.binomial import Floats
from .claims import Finding
from .policy import Claim
from .rounding import down, quotient, short, text, up

CONSTRAINT_MARGIN = 1e-9  # constraints are met with a margin, so that rational weights meet them exactly


def find(claim: Claim, path: str | Path) -> Finding:
    """The record of a `mixture` or `head_optimum` claim about the table in this file."""
    return mixture_of(claim, path) if claim.constraint == "mixture" else head(claim, path)


# Mixtures ------------------------------------------------------------------------------------------------------------


def mixture_of(claim: Claim, path: str | Path) -> Finding:
    """Weights and multipliers of the cheapest mixture; REFUTED if every mixture violates its tolerance."""
    sha, losses, violations = read_table(path)
    f, c = np.array(losses, float), np.array(violations, float)
    n, m = c.shape
    tolerance = float(claim.tolerance)
    solution = optimize.linprog(
        f, c.T, np.full(m, tolerance - CONSTRAINT_MARGIN), np.ones((1, n)), [1.0], bounds=(0, None), method="highs-ds"
    )
    if solution.status == 2:
        return _refuted(claim, sha, violations)
    if solution.status != 0:
        raise NoProofError(f"claim {claim.name!r}: no solution of the mixture programme: {solution.message}")
    weights = mixture.normalised(dict(enumerate(solution.x)))
    multipliers = [Fraction(max(0.0, -price)).limit_denominator(10**12) for price in solution.ineqlin.marginals]
    proved = mixture.check(weights, losses, violations, multipliers)
    if proved.violation > Fraction(claim.tolerance):
        raise NoProofError(f"claim {claim.name!r}: the solver's weights violate the tolerance by rounding")
    # the checker measures against min_i (f_i + lam c_i), which leaves the tolerance's price in the gap
    ucb = up(quotient(max(proved.gap, Fraction(0))) + Decimal("1e-20"))
    record = {
        "ucb": text(ucb), "lcb": None,
        "weights": {str(i): str(q) for i, q in sorted(weights.items())},
        "multipliers": [str(price) for price in multipliers], "table_sha256": sha,
    }  # fmt: skip
    return Finding(record, combine.verdict(ucb, None, claim.bound), ucb, None)


def _refuted(claim: Claim, sha: str, violations: list[list[Fraction]]) -> Finding:
    """The largest violation that every mixture has, by multipliers of sum 1."""
    c = np.array(violations, float)
    n, m = c.shape
    solution = optimize.linprog(  # maximise v subject to c @ lam >= v for every model
        np.r_[np.zeros(m), -1.0],
        np.c_[-c, np.ones(n)],
        np.zeros(n),
        np.r_[np.ones(m), 0.0][None],
        [1.0],
        bounds=[(0, None)] * m + [(None, None)],
        method="highs-ds",
    )
    if solution.status != 0:
        reason = solution.message
        raise NoProofError(f"claim {claim.name!r}: neither a mixture nor a proof that there is none: {reason}")
    shares = mixture.normalised(dict(enumerate(solution.x[:m])))
    multipliers = [shares.get(j, Fraction(0)) for j in range(m)]
    lcb = down(quotient(mixture.least_violation(violations, multipliers)))
    record: dict[str, Any] = {
        "ucb": None, "lcb": text(lcb), "weights": {}, "multipliers": [str(p) for p in multipliers], "table_sha256": sha,
    }  # fmt: skip
    verdict = combine.Verdict.REFUTED if lcb > claim.tolerance else combine.Verdict.INCONCLUSIVE
    return Finding(record, verdict, None, lcb)


def read_table(path: str | Path) -> tuple[str, list[Fraction], list[list[Fraction]]]:
    """sha256, losses and violations of a CSV with header loss,c1,...,cm."""
    sha, rows = _rows(path, "loss", "c")
    try:
        values = [[Fraction(cell) for cell in row] for row in rows]
    except (ValueError, ZeroDivisionError) as error:
        raise DataError(f"{path}: expected rationals in every cell: {error}") from None
    return sha, [row[0] for row in values], [row[1:] for row in values]


def _rows(path: str | Path, first: str, prefix: str) -> tuple[str, list[list[str]]]:
    """sha256 and rows of a CSV with header FIRST,PREFIX1,PREFIX2,..."""
    try:
        data = Path(path).read_bytes()
        rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a table: {error}") from None
    width = len(rows[0]) if rows else 0
    if width < 2 or len(rows) < 2 or rows[0] != [first, *(f"{prefix}{j}" for j in range(1, width))]:
        raise DataError(f"{path}: expected the header {first},{prefix}1,{prefix}2,... and a row or more")
    if any(len(row) != width for row in rows):
        raise DataError(f"{path}: a row has another length than the header; is the file cut short?")
    return hashlib.sha256(data).hexdigest(), rows[1:]


# Linear heads --------------------------------------------------------------------------------------------------------


def head(claim: Claim, path: str | Path) -> Finding:
    """Head w and multipliers nu of: minimise mean log(1 + sum_k exp(-d_ik w)) + mu/2 w.w subject to |M w| <= slack.

    With a_ik = exp(-d_ik w) / (1 + sum_l exp(-d_il w)) and v = mean sum_k a_ik d_ik the loss of w exceeds that of any
    feasible head by at most |mu w - v + M'nu|^2 / (2 mu) + slack |nu|_1 - nu.(M w), whatever nu (Fenchel).
    """
    sha, starts, pairs, exact = read_pairs(path)
    mu, slack, d = float(claim.mu), float(claim.slack), pairs.shape[1]
    m = np.array(exact, float).reshape(-1, d)
    of = np.cumsum(starts) - 1  # number of each pair's choice
    at = np.flatnonzero(starts)

    def pulled(w: Floats) -> tuple[float, Floats]:
        """Mean loss, and v."""
        u = -pairs @ w
        top = np.maximum(np.maximum.reduceat(u, at), 0)
        e = np.exp(u - top[of])
        total = np.exp(-top) + np.add.reduceat(e, at)
        return float((top + np.log(total)).mean()), e / total[of] @ pairs / len(at)

    def loss(w: Floats) -> tuple[float, Floats]:
        value, v = pulled(w)
        return value + mu / 2 * float(w @ w), mu * w - v

    decimals = _kernel_point(loss, exact, d) if slack == 0 else _inner_point(loss, m, slack)
    mapped = [sum((a * x for a, x in zip(row, decimals, strict=True)), Fraction(0)) for row in exact]
    if any(abs(x) > Fraction(claim.slack) for x in mapped) or max(len(str(x)) for x in decimals) > 2000:
        raise NoProofError(f"claim {claim.name!r}: no head within the slack was found")
    w = np.array(decimals, float)
    pull = pulled(w)[1] - mu * w
    active = np.abs(m @ w) >= slack * (1 - 1e-6)
    nu = np.zeros(len(m))
    if slack == 0 and len(m):
        nu = np.linalg.lstsq(m.T, pull, rcond=None)[0]
    elif active.any():
        signs = np.sign(m @ w)[active]
        nu[active] = signs * optimize.nnls((m[active] * signs[:, None]).T, pull)[0]
    multipliers = np.array([short(x) for x in nu], float)
    rest = ((pull - m.T @ multipliers) ** 2).sum() / (2 * mu)
    gap = rest + slack * np.abs(multipliers).sum() - multipliers @ (m @ w)
    ucb = up(float(gap) * (1 + 1e-6) + 1e-9)
    record = {
        "ucb": text(ucb), "lcb": None, "w": [str(x) for x in decimals], "nu": [text(short(x)) for x in nu],
        "table_sha256": sha,
    }  # fmt: skip
    return Finding(record, combine.verdict(ucb, None, claim.bound), ucb, None)


def read_pairs(path: str | Path) -> tuple[str, NDArray[np.bool_], Floats, list[list[Fraction]]]:
    """sha256, whether each pair begins a choice, pairs `[n, d]`, and the rows of M of a CSV with header kind,x1,..."""
    sha, rows = _rows(path, "kind", "x")
    kinds = [row[0] for row in rows if row[0] != "row"]
    try:
        pairs = np.array([row[1:] for row in rows if row[0] != "row"], float)
        exact = [[Fraction(cell) for cell in row[1:]] for row in rows if row[0] == "row"]
    except (ValueError, ZeroDivisionError) as error:
        raise DataError(f"{path}: expected numbers: {error}") from None
    if set(kinds) - {"pair", "also"} or kinds[:1] != ["pair"] or not np.isfinite(pairs).all():
        raise DataError(f"{path}: expected finite rows of kind 'pair', 'also' (after a pair) and 'row', a pair or more")
    return sha, np.array([kind == "pair" for kind in kinds]), pairs, exact


Loss = Callable[[Floats], tuple[float, Floats]]
SOLVER_OPTIONS = {"ftol": 1e-15, "maxiter": 1000}


def _inner_point(loss: Loss, m: Floats, slack: float) -> list[Fraction]:
    """Decimals near the best head, pulled in so that |M w| < slack."""
    within = {"type": "ineq", "fun": lambda w: np.r_[slack - m @ w, slack + m @ w], "jac": lambda w: np.r_[-m, m]}
    start, limits = np.zeros(m.shape[1]), [within] if len(m) else []
    optimum = optimize.minimize(loss, start, jac=True, method="SLSQP", constraints=limits, options=SOLVER_OPTIONS)
    reached = max(np.abs(m @ optimum.x).max(initial=0.0), 1e-300)
    return _decimals(optimum.x * min(1.0, slack * (1 - 1e-10) / reached))


def _kernel_point(loss: Loss, rows: list[list[Fraction]], d: int) -> list[Fraction]:
    """Rationals near the best head with M w = 0: decimals in the free places, the others solved exactly."""
    reduced, pivots = _reduced(rows)
    free = [j for j in range(d) if j not in pivots]
    basis = np.zeros((d, len(free)))
    basis[free, range(len(free))] = 1
    for pivot, row in zip(pivots, reduced, strict=True):
        basis[pivot] = [-float(row[j]) for j in free]
    if not free:
        return [Fraction(0)] * d

    def along(z: Floats) -> tuple[float, Floats]:
        value, gradient = loss(basis @ z)
        return value, basis.T @ gradient

    optimum = optimize.minimize(along, np.zeros(len(free)), jac=True, method="SLSQP", options=SOLVER_OPTIONS)
    point = [Fraction(0)] * d
    for j, value in zip(free, _decimals(optimum.x), strict=True):
        point[j] = value
    for pivot, row in zip(pivots, reduced, strict=True):
        point[pivot] = -sum((row[j] * point[j] for j in free), Fraction(0))
    return point


def _reduced(rows: list[list[Fraction]]) -> tuple[list[list[Fraction]], list[int]]:
    """The reduced row echelon form, without empty rows, and its pivots."""
    left, done, pivots = [list(row) for row in rows], list[list[Fraction]](), list[int]()
    for j in range(len(rows[0]) if rows else 0):
        pivot = max(left, key=lambda row: abs(row[j]), default=[Fraction(0)] * (j + 1))
        if pivot[j]:
            left.remove(pivot)
            pivot = [x / pivot[j] for x in pivot]
            left = [_less(row, row[j], pivot) for row in left]
            done = [*(_less(row, row[j], pivot) for row in done), pivot]
            pivots.append(j)
    return done, pivots


def _less(row: list[Fraction], times: Fraction, other: list[Fraction]) -> list[Fraction]:
    return [x - times * y for x, y in zip(row, other, strict=True)]


def _decimals(values: Floats) -> list[Fraction]:
    if not np.isfinite(values).all():
        raise NoProofError("no head was found: the solver ended at a number that is none")
    return [Fraction(short(x)) for x in values]
