"""exact2: how much larger one group's rate can be than another's, from two independent binomial counts.

H0: p_a - p_b >= gap is rejected if P(X_a / n_a - X_b / n_b <= observed) is small at every null point of a box that
holds (p_a, p_b) with probability 1 - gamma, gamma = level / 20. The null points of the box are cut by p_b into cells:

    reject  iff  max over cells [u0, u1] of P(... | p_a = u0 + gap, p_b = u1)  <=  level - gamma

The probability falls in p_a and rises in p_b, so a cell's corner dominates every null point with p_b in [u0, u1] and
any larger gap: there is no grid between whose points something could hide. Sources: Berger & Boos, JASA 1994 (the
box); Agresti & Min, Biometrics 2001 (inverting exact tests).
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import numpy as np

from ..rounding import LEVEL_MARGIN, least_rejected
from .binomial import Floats, clopper_pearson_lower, clopper_pearson_upper, difference_tail

RATE_STEPS = 100


class Counts(NamedTuple):
    """k of n independent units of a group were chosen; every unit counts once."""

    k: int
    n: int


class Box(NamedTuple):
    """p_a <= high_a and p_b >= low_b, each but for a probability of at most gamma / 2.

    The other two ends would be wasted: a gap that can be rejected exceeds the observed one, and there these two bind.
    """

    high_a: Decimal
    low_b: Decimal


def box(a: Counts, b: Counts, level: float) -> Box:
    """Clopper-Pearson ends that hold with probability at least 1 - level / 20."""
    return Box(clopper_pearson_upper(a.k, a.n, level / 40), clopper_pearson_lower(b.k, b.n, level / 40))


def rejects(a: Counts, b: Counts, gap: Decimal, level: float, within: Box | None = None) -> bool:
    """Whether p_a - p_b >= gap is rejected: p_a - p_b < gap at error probability `level`. A gate needs only this."""
    within = within or box(a, b, level)
    excess = int(a.k) * int(b.n) - int(b.k) * int(a.n)
    if excess >= gap * int(a.n) * int(b.n):  # the observed gap already reaches it
        return False
    if within.high_a - within.low_b < gap:
        return True  # the box holds no null point
    edges = np.linspace(float(within.low_b), float(within.high_a - gap), RATE_STEPS + 1)  # of p_b
    limit = (level - level / 20) * (1 - LEVEL_MARGIN)

    def corners(some: slice) -> Floats:
        return difference_tail(edges[:-1][some] + float(gap), edges[1:][some], a.n, b.n, excess, limit * 1e-10)

    few = slice(RATE_STEPS // 16, None, RATE_STEPS // 8)  # most gaps that are not rejected are not so already here
    return bool((corners(few) <= limit).all() and (corners(slice(None)) <= limit).all())


def upper(a: Counts, b: Counts, level: float, first: Decimal | None = None) -> Decimal:
    """Upper bound on p_a - p_b at error probability `level`: the smallest gap found to be rejected; at most 1.

    Valid whatever the path of the search: if the truth were beyond a rejected gap, the corner that was rejected
    would dominate its own p-value. `first` is tried first (a gate's bound).
    """
    within = box(a, b, level)
    beyond = float(within.high_a - within.low_b) + 1e-6
    difference = least_rejected(lambda gap: rejects(a, b, gap, level, within), a.k / a.n - b.k / b.n, beyond, first)
    return min(difference, Decimal(1))


def clopper_pearson_difference(a: Counts, b: Counts, level: float) -> Decimal:
    """Upper bound on p_a - p_b from two one-sided intervals at level / 2 each: wider, and the easiest to check."""
    return clopper_pearson_upper(a.k, a.n, level / 2) - clopper_pearson_lower(b.k, b.n, level / 2)
