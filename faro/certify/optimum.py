"""Claims about tables, exact and without people: no mixture of models, or no linear head, is much better.

    mixture        minimise f . q   subject to   C'q <= tolerance, sum q = 1, q >= 0
    head_optimum   minimise mean log(1 + exp(-d_i w)) + mu/2 w.w   subject to   |M w| <= slack

A solver proposes the point and its multipliers; they become decimals or rationals, and weak duality says what they
prove, whoever proposed them.
"""

from __future__ import annotations

import csv
import hashlib
import io
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from scipy import optimize, special

from ..errors import DataError, NoProofError, UsageError
from . import gate, mixture
from .binomial import Floats
from .claims import Finding
from .outward import down, quotient, short, text, up
from .policy import Claim

PULLED_IN = 1e-9  # constraints are met with a margin, so that rational weights meet them exactly


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
    found = optimize.linprog(
        f, c.T, np.full(m, tolerance - PULLED_IN), np.ones((1, n)), [1.0], bounds=(0, None), method="highs-ds"
    )
    if found.status == 2:
        return _refuted(claim, sha, violations)
    if found.status != 0:
        raise NoProofError(f"claim {claim.name!r}: no solution of the mixture programme: {found.message}")
    weights = mixture.normalised(dict(enumerate(found.x)))
    prices = [Fraction(max(0.0, -price)).limit_denominator(10**12) for price in found.ineqlin.marginals]
    proved = mixture.check(weights, losses, violations, prices)
    if proved.violation > claim.tolerance:
        raise NoProofError(f"claim {claim.name!r}: the solver's weights violate the tolerance by rounding")
    # the checker measures against min_i (f_i + lam c_i), which leaves the tolerance's price in the gap
    ucb = up(quotient(max(proved.gap, Fraction(0))) + Decimal("1e-20"))
    record = {
        "ucb": text(ucb), "lcb": None,
        "weights": {str(i): str(q) for i, q in sorted(weights.items())},
        "multipliers": [str(price) for price in prices], "table_sha256": sha,
    }  # fmt: skip
    return Finding(record, gate.verdict(ucb, None, claim.bound), ucb, None)


def _refuted(claim: Claim, sha: str, violations: list[list[Fraction]]) -> Finding:
    """The largest violation that every mixture has, by prices of sum 1."""
    c = np.array(violations, float)
    n, m = c.shape
    found = optimize.linprog(  # maximise v subject to c @ lam >= v for every model
        np.r_[np.zeros(m), -1.0],
        np.c_[-c, np.ones(n)],
        np.zeros(n),
        np.r_[np.ones(m), 0.0][None],
        [1.0],
        bounds=[(0, None)] * m + [(None, None)],
        method="highs-ds",
    )
    if found.status != 0:
        raise NoProofError(f"claim {claim.name!r}: neither a mixture nor a proof that there is none: {found.message}")
    shares = mixture.normalised(dict(enumerate(found.x[:m])))
    prices = [shares.get(j, Fraction(0)) for j in range(m)]
    lcb = down(quotient(mixture.least_violation(violations, prices)))
    record: dict[str, Any] = {
        "ucb": None, "lcb": text(lcb), "weights": {}, "multipliers": [str(p) for p in prices], "table_sha256": sha,
    }  # fmt: skip
    verdict = gate.Verdict.REFUTED if lcb > claim.tolerance else gate.Verdict.INCONCLUSIVE
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
    """Head w and multipliers nu of: minimise mean log(1 + exp(-d_i w)) + mu/2 w.w subject to |M w| <= slack.

    With a_i = 1 / (1 + exp(d_i w)) and v = mean a_i d_i the loss of w exceeds that of any feasible head by at most
    |mu w - v + M'nu|^2 / (2 mu) + slack |nu|_1 - nu.(M w), whatever nu (Fenchel). SLSQP proposes w, non-negative least
    squares nu.
    """
    if claim.slack == 0:
        raise UsageError(f"claim {claim.name!r}: slack 0 has no head of finite decimals; ask for a slack above 0")
    sha, rows = _rows(path, "kind", "x")
    try:
        pairs = np.array([row[1:] for row in rows if row[0] == "pair"], float)
        exact = [[Fraction(cell) for cell in row[1:]] for row in rows if row[0] == "row"]
    except (ValueError, ZeroDivisionError) as error:
        raise DataError(f"{path}: expected numbers: {error}") from None
    if not len(pairs) or {row[0] for row in rows} > {"pair", "row"} or not np.isfinite(pairs).all():
        raise DataError(f"{path}: expected finite rows of kind 'pair', at least one, and of kind 'row'")
    mu, slack, d = float(claim.mu), float(claim.slack), pairs.shape[1]
    m = np.array(exact, float).reshape(-1, d)

    def loss(w: Floats) -> tuple[float, Floats]:
        u = pairs @ w
        gradient = mu * w - special.expit(-u) @ pairs / len(pairs)
        return float(np.logaddexp(0, -u).mean() + mu / 2 * w @ w), gradient

    within = {"type": "ineq", "fun": lambda w: np.r_[slack - m @ w, slack + m @ w], "jac": lambda w: np.r_[-m, m]}
    options = {"ftol": 1e-15, "maxiter": 1000}
    found = optimize.minimize(
        loss, np.zeros(d), jac=True, method="SLSQP", constraints=[within] if len(m) else [], options=options
    )
    reached = max(np.abs(m @ found.x).max(initial=0.0), 1e-300)
    w = found.x * min(1.0, slack * (1 - 1e-10) / reached)
    decimals = [short(x) for x in w]
    mapped = [sum((a * Fraction(x) for a, x in zip(row, decimals, strict=True)), Fraction(0)) for row in exact]
    if not np.isfinite(w).all() or any(abs(x) > claim.slack for x in mapped):
        raise NoProofError(f"claim {claim.name!r}: no head within the slack was found")
    w = np.array(decimals, float)
    pull = special.expit(-pairs @ w) @ pairs / len(pairs) - mu * w
    active = np.abs(m @ w) >= slack * (1 - 1e-6)
    nu = np.zeros(len(m))
    if active.any():
        signs = np.sign(m @ w)[active]
        nu[active] = signs * optimize.nnls((m[active] * signs[:, None]).T, pull)[0]
    prices = np.array([short(x) for x in nu], float)
    gap = ((pull - m.T @ prices) ** 2).sum() / (2 * mu) + slack * np.abs(prices).sum() - prices @ (m @ w)
    ucb = up(float(gap) * (1 + 1e-6) + 1e-9)
    record = {
        "ucb": text(ucb), "lcb": None, "w": [text(x) for x in decimals], "nu": [text(short(x)) for x in nu],
        "table_sha256": sha,
    }  # fmt: skip
    return Finding(record, gate.verdict(ucb, None, claim.bound), ucb, None)
