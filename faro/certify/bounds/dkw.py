"""All thresholds at once: how much larger one group's distribution function can be than another's, anywhere.

    sup_t (F_a(t) - F_b(t))  <=  sup_t (Fhat_a(t) - Fhat_b(t)) + E_a + E_b,     P(E_g > x) <= tail(n_g, x)

E_g are the groups' one-sided deviations, independent of each other, so the radius r solves P(E_a + E_b > r) <= level
for the tails; a convolution instead of a union of two events. It holds for every law, with atoms and ties.
Sources: Dvoretzky, Kiefer & Wolfowitz 1956; the constant and the one-sided form: Massart, Annals of Probability 1990.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from ...errors import DataError
from ..rounding import LEVEL_MARGIN, down, least_rejected, quotient, up
from .binomial import Floats

STEPS = 2000  # from 0 to a radius


def tail(n: int, x: Floats) -> Floats:
    """exp(-2 n x^2) where that is at most 1/2, else 1: P(sup_t (Fhat - F)(t) > x) is at most this."""
    bound = np.exp(-2 * n * np.maximum(x, 0) ** 2)
    return np.where((x > 0) & (bound <= 0.5), bound, 1.0)


def exceeds(n_a: int, n_b: int, radius: float) -> float:
    """Upper bound on P(E_a + E_b > radius): that of the smaller group is rounded up to `STEPS` steps on [0, radius]."""
    n_a, n_b = sorted((n_a, n_b))
    grid = np.linspace(0, radius, STEPS + 1)
    tails = tail(n_a, grid)
    return float(-np.diff(tails) @ tail(n_b, radius - grid[1:]) + tails[-1])


def radius(n_a: int, n_b: int, level: float) -> Decimal:
    """The smallest r found with P(E_a + E_b > r) <= level."""
    union = np.sqrt(np.log(2 / level) / 2) * (n_a**-0.5 + n_b**-0.5)
    return least_rejected(lambda r: rejects(n_a, n_b, float(r), level), 0.0, float(union) * (1 + 2 / STEPS) + 1e-6)


def rejects(n_a: int, n_b: int, radius: float, level: float) -> bool:
    """Whether P(E_a + E_b > radius) <= level is shown."""
    return exceeds(n_a, n_b, radius) <= level * (1 - LEVEL_MARGIN)


def gap(a: ArrayLike, b: ArrayLike) -> Fraction:
    """sup_t of Fhat_a(t) - Fhat_b(t), exactly, at least 0; taken after all values equal to t, so ties need no care."""
    a, b = np.sort(np.asarray(a, float)), np.sort(np.asarray(b, float))
    if not (len(a) and len(b) and np.isfinite(a).all() and np.isfinite(b).all()):
        raise DataError("expected at least one score in each group, all finite")
    at = np.union1d(a, b)
    below = [np.searchsorted(values, at, "right") for values in (a, b)]
    return Fraction(max(0, int((below[0] * len(b) - below[1] * len(a)).max())), len(a) * len(b))


def weighted_gap(a: ArrayLike, mass_a: ArrayLike, b: ArrayLike, mass_b: ArrayLike) -> float:
    """The same of rows that have masses; 0 where a group has none."""
    at = np.union1d(a, b)
    shares = []
    for values, mass in ((a, mass_a), (b, mass_b)):
        order = np.argsort(values, kind="stable")
        total = np.concatenate([[0.0], np.cumsum(np.asarray(mass, float)[order])])
        if total[-1] <= 0:
            return 0.0
        shares.append(total[np.searchsorted(np.asarray(values, float)[order], at, "right")] / total[-1])
    return max(0.0, float((shares[0] - shares[1]).max()))


def upper(a: ArrayLike, b: ArrayLike, level: float) -> Decimal:
    """Upper bound on sup_t (F_a(t) - F_b(t)), at most 1; scores `[n_a]`, `[n_b]` of independent units, none shared."""
    observed = gap(a, b)
    return min(Decimal(1), up(quotient(observed)) + radius(len(np.asarray(a)), len(np.asarray(b)), level))


def lower(a: ArrayLike, b: ArrayLike, level: float) -> Decimal:
    """Lower bound on sup_t (F_a(t) - F_b(t)), at least 0: where the empirical difference is largest, F_a is at most
    E_a lower and F_b at most E_b higher than observed."""
    observed = gap(a, b)
    return max(Decimal(0), down(quotient(observed)) - radius(len(np.asarray(a)), len(np.asarray(b)), level))


def mean_excess(n: int, level: float) -> Decimal:
    """x with E f <= mean f + x (f(1) - f(0)) for every rising f at once, at error probability `level`: one deviation
    of the distribution function, sqrt(log(1 / level) / 2n). Level at most 1/2."""
    return up(float(np.sqrt(np.log(1 / level) / (2 * n))))
