"""The betting bound: an upper bound on a rate or mean of bounded variables, from units in an order fixed beforehand.

A unit i has mass N_i (its weighted rows in a cell, at most `cap`) and total S_i in [0, N_i] (decisions, or scores in
[0, 1]). What is bounded is the row-weighted rate rho = E S / E N. Against H0: rho >= m a gambler starts with 1 and has

    K_t(m) = prod over i <= t of (1 - bet_i (S_i - m N_i) / cap),     0 <= bet_i <= 3 / (4 (1 - m)), from units before i

Under H0 every factor is positive with mean at most 1, so P(max_t K_t >= 1 / level) <= level (Ville). Factors rise with
m, also where the largest bet binds: the rejected m are an upper interval, and its end is the bound. A mean of values in
[0, 1] is the case N = cap = 1. Nothing is assumed of how rows of a unit depend on each other, or of how S depends on N.
Source: Waudby-Smith & Ramdas, JRSS B 2024; Ville 1939.
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from numpy.typing import ArrayLike

from ...errors import DataError, UsageError
from ..rounding import LEVEL_MARGIN, least_rejected
from .binomial import Floats


def bets(totals: Floats, masses: Floats, cap: float, level: float) -> Floats:
    """`[..., n]` bets before the largest is imposed: sqrt(2 log(1 / level) / (n variance_i)), variance of the units
    before i."""
    n = totals.shape[-1]
    rate = _before((np.cumsum(totals, -1) + 0.5) / (np.cumsum(masses, -1) + 1), 0.5)
    spread = np.cumsum(((totals - rate * masses) / cap) ** 2, -1)
    variance = _before((0.25 + spread) / np.arange(2, n + 2), 0.25)
    return np.sqrt(2 * np.log(1 / level) / (n * variance))


def _before(values: Floats, first: float) -> Floats:
    """`values` one place later: what was known before each unit."""
    return np.concatenate([np.full((*values.shape[:-1], 1), first), values[..., :-1]], -1)


def log_capital(totals: Floats, masses: Floats, cap: float, m: float, placed: Floats) -> Floats:
    """`[...]` log of the largest capital that the gambler against "the rate is at least m" ever held; m < 1."""
    bet = np.minimum(placed, 0.75 / (1 - m))
    return np.maximum(np.cumsum(np.log1p(-bet * (totals - m * masses) / cap), -1).max(-1), 0)


def rejects(totals: Floats, masses: Floats, cap: float, m: float, level: float) -> Floats:
    """`[...]` whether "the rate is at least m" is rejected; leading axes are separate samples."""
    wanted = np.log(1 / level) + LEVEL_MARGIN
    return log_capital(totals, masses, cap, m, bets(totals, masses, cap, level)) >= wanted


def upper(totals: ArrayLike, masses: ArrayLike, cap: float, level: float, first: Decimal | None = None) -> Decimal:
    """Upper bound on E S / E N at error probability `level`; 1 if nothing smaller is proved.

    `totals`, `masses` `[n]`: of the units that have mass, in the committed order. A mass above the cap is refused: a
    policy raises its cap, it never truncates.
    """
    totals, masses = check_units(totals, masses, cap)
    placed = bets(totals, masses, cap, level)
    wanted = np.log(1 / level) + LEVEL_MARGIN

    def rejected(m: Decimal) -> bool:
        return bool(log_capital(totals, masses, cap, float(m), placed) >= wanted)

    return least_rejected(rejected, totals.sum() / masses.sum(), 1, first)


def lower(totals: ArrayLike, masses: ArrayLike, cap: float, level: float) -> Decimal:
    """Lower bound on E S / E N: 1 - the upper bound of the complement, S -> N - S."""
    totals, masses = check_units(totals, masses, cap)
    return 1 - upper(masses - totals, masses, cap, level)


def check_units(totals: ArrayLike, masses: ArrayLike, cap: float) -> tuple[Floats, Floats]:
    """Totals and masses of the units that have mass, as floats; an error if they are not 0 <= S <= N <= cap."""
    totals, masses = np.asarray(totals, float), np.asarray(masses, float)
    if totals.shape != masses.shape or totals.ndim != 1 or not (np.isfinite(totals).all() & np.isfinite(masses).all()):
        raise DataError("expected two finite arrays of one length: a total and a mass per unit")
    if (masses > cap).any():
        raise UsageError(f"a unit has mass {masses.max():g} in the cell, above the cap {cap:g}: raise the policy's cap")
    some = masses > 0
    totals, masses = totals[some], masses[some]
    if not len(totals):
        raise DataError("no unit has mass in the cell: there is nothing to bound")
    if (totals < 0).any() or (totals > masses * (1 + 1e-9)).any():
        raise DataError("expected totals between 0 and the unit's mass")
    return np.minimum(totals, masses), masses


def mean_upper(values: ArrayLike, level: float, first: Decimal | None = None) -> Decimal:
    """Upper bound on the mean of independent values in [0, 1]; `values` `[n]` in the committed order."""
    values = np.asarray(values, float)
    return upper(values, np.ones(len(values)), 1, level, first)


def difference_upper(a: ArrayLike, b: ArrayLike, level: float, first: Decimal | None = None) -> Decimal:
    """Upper bound on E a - E b, for two groups of independent values in [0, 1] that share no unit: block pairs."""
    mean = mean_upper(block_pairs(a, b), level, None if first is None else (1 + first) / 2)
    return 2 * mean - 1


def block_pairs(a: ArrayLike, b: ArrayLike) -> Floats:
    """`[min(n_a, n_b)]` values (1 + difference of block means) / 2, independent and in [0, 1].

    Each group is cut into that many blocks of equal size; surplus rows at the end of the committed order are left out.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    blocks = min(len(a), len(b))
    if not blocks:
        raise DataError("expected at least one unit in each group")
    first, second = (rows[: len(rows) // blocks * blocks].reshape(blocks, -1).mean(1) for rows in (a, b))
    return (1 + first - second) / 2
