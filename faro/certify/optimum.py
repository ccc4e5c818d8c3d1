"""Claims about tables of models, exact and without people: a mixture that no other mixture beats by more than a bound.

    minimise f . q   subject to   C'q <= tolerance, sum q = 1, q >= 0

HiGHS proposes weights and multipliers; they become rationals, and `mixture.check` says what they prove.
"""

from __future__ import annotations

import csv
import hashlib
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from scipy import optimize

from ..errors import DataError, NoProofError, UsageError
from . import gate, mixture
from .claims import Finding
from .outward import down, quotient, text, up
from .policy import Claim

PULLED_IN = 1e-9  # constraints are met with a margin, so that rational weights meet them exactly


def find(claim: Claim, path: str | Path) -> Finding:
    """The record of a `mixture` claim; REFUTED if every mixture violates its tolerance."""
    if claim.constraint != "mixture":
        raise UsageError(
            f"claim {claim.name!r}: a certificate of {claim.constraint} is made from the multipliers of a solved head "
            "(faro.exact), not by this command; see docs/certificate-format.md, Optimality"
        )
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
    try:
        data = Path(path).read_bytes()
        rows = list(csv.reader(data.decode("utf-8-sig").splitlines(), strict=True))
        width = len(rows[0])
        if rows[0] != ["loss", *(f"c{j}" for j in range(1, width))] or width < 2 or len(rows) < 2:
            raise ValueError("expected the header loss,c1,...,cm and a row per model")
        if any(len(row) != width for row in rows):
            raise ValueError("a row of another length")
        values = [[Fraction(cell) for cell in row] for row in rows[1:]]
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, IndexError, ZeroDivisionError, csv.Error) as error:
        raise DataError(f"{path}: not a table of models: {error}") from None
    return hashlib.sha256(data).hexdigest(), [row[0] for row in values], [row[1:] for row in values]
