"""An upper bound of every member's gap in the population, all of them at once: from people who fitted nothing.

    P(some member's gap in the population is above its bound) <= delta

Units of a part that no fit and no selection has seen are draws from the population, and models are given. Each of M
members has delta / M. Its gap is the largest difference of two rates, so it is enough that every pair is bounded at
that level (intersection-union, docs/statistics.md): a rate's ends at half of it each,

    gap <= max over blocks of (largest upper end - smallest lower end of a cell's rate)

Ends are those of certificates: Clopper-Pearson where every unit counts once, else the betting bound, with the units in
an order that is drawn. Choosing a member afterwards, by these people as well, costs nothing more: that is what holding
at once means. It is no certificate all the same: nobody is bound to the models before the people are read, and only a
gate part is kept from everybody.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from constraints import Compared, Constraint, RateConstraint, Statistics, statistics_of_parts

from ..certify.bounds import betting
from ..certify.rounding import LEVEL_MARGIN, PADDING

HALVINGS = 14  # of the interval that an end is looked for in


def compared(constraint: Constraint) -> list[Compared] | None:
    """What every part of a constraint compares; None where one is not made of rates in [0, 1] whose ends bound it."""
    found = [
        part.compared() if isinstance(part, RateConstraint) and part.certifiable_as() in ("counts", "scores") else None
        for part in constraint.parts()
    ]
    return None if None in found else found  # type: ignore[return-value]


def gap_at_most(
    constraint: Constraint, statistics: Statistics, cap: float | None, level: float, once: bool
) -> np.ndarray:
    """An upper bound of the population's gap, the largest over parts, of every member, `[M]`, at `level` each; 1 says
    nothing, NaN: the constraint is not one of rates, or nobody knows what a unit weighs.

    statistics: sums `[M, C, U]` and masses `[C, U]` of U independent units; those of padding have mass 0
    cap: largest mass of a unit in a cell; None: not known
    once: whether every unit has one alternative that counts, decided without a draw
    """
    parts = compared(constraint)
    count = len(np.asarray(_first(statistics.sums)))
    if parts is None or cap is None:
        return np.full(count, np.nan)
    bounds = [
        _part(how, np.asarray(piece.sums, float), np.asarray(piece.masses, float), cap, level, once)
        for how, piece in zip(parts, statistics_of_parts(constraint, statistics), strict=True)
    ]
    return np.max(bounds, axis=0)


def _first(tree: Any) -> Any:
    return _first(tree[0]) if isinstance(tree, tuple) else tree


def _part(how: Compared, sums: np.ndarray, masses: np.ndarray, cap: float, level: float, once: bool) -> np.ndarray:
    ends = _counted if once else _weighed
    share = level / 2 if how.paired else level
    order = np.random.default_rng(0).permutation(masses.shape[-1])
    high, low = np.ones(sums.shape[:2]), np.zeros(sums.shape[:2])
    for cell, own in enumerate(masses):
        there = order[own[order] > 0]
        if len(there):
            totals = np.clip(sums[:, cell, there], 0, own[there])
            high[:, cell] = ends(totals, own[there], cap, share)
            low[:, cell] = 1 - ends(own[there] - totals, own[there], cap, share) if how.paired else 0
    if not how.paired:
        return high.max(1)
    blocks = (len(sums), len(how.blocks), len(how.groups))
    return np.minimum(1, (high.reshape(blocks).max(2) - low.reshape(blocks).min(2)).max(1))


def _counted(totals: np.ndarray, masses: np.ndarray, cap: float, level: float) -> np.ndarray:
    """Clopper-Pearson upper ends `[M]` of units that count once; a shared decision is counted as a whole one."""
    from scipy import special

    n, k = totals.shape[1], (totals > 0).sum(1)
    ends = special.betainccinv(k + 1, np.maximum(n - k, 1), level) + float(PADDING)
    return np.where(k == n, 1, np.minimum(ends, 1))


def _weighed(totals: np.ndarray, masses: np.ndarray, cap: float, level: float) -> np.ndarray:
    """Betting upper ends `[M]`: of all members at once, each the least rate that was seen to be rejected."""
    placed, wanted = betting.bets(totals, masses, cap, level), np.log(1 / level) + LEVEL_MARGIN
    low, high = totals.sum(1) / masses.sum(), np.ones(len(totals))
    for _ in range(HALVINGS):
        middle = np.minimum((low + high) / 2, 1 - 1e-9)
        rejected = betting.log_capital(totals, masses, cap, middle[:, None], placed) >= wanted
        low, high = np.where(rejected, low, middle), np.where(rejected, middle, high)
    return high
