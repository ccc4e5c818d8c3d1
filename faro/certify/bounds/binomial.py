"""Binomial tails: Clopper-Pearson ends, and probabilities of many success rates at once with a known error.

Source: Clopper & Pearson, Biometrika 1934; the width of the window is Bernstein's inequality.
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, UsageError
from ..rounding import down, up

Floats = NDArray[np.float64]


def clopper_pearson_upper(k: int, n: int, level: float) -> Decimal:
    """U with P(p > U) <= level for k ~ Binomial(n, p): the p with P(X <= k) = level, rounded up; 1 if k = n."""
    from scipy import special  # here: it takes long to import, and scoring needs no bound

    _check(k, n, level)
    return Decimal(1) if k == n else min(Decimal(1), up(float(special.betainccinv(k + 1, n - k, level))))


def clopper_pearson_lower(k: int, n: int, level: float) -> Decimal:
    """L with P(p < L) <= level for k ~ Binomial(n, p): the p with P(X >= k) = level, rounded down; 0 if k = 0."""
    from scipy import special

    _check(k, n, level)
    return Decimal(0) if k == 0 else max(Decimal(0), down(float(special.betaincinv(k, n - k + 1, level))))


def _check(k: int, n: int, level: float) -> None:
    if not (isinstance(k, int | np.integer) and isinstance(n, int | np.integer) and 0 <= k <= n and n >= 1):
        raise DataError(f"expected counts 0 <= k <= n with n >= 1, got k={k!r}, n={n!r}: shared ties are not counts")
    if not 0 < level < 1:
        raise UsageError(f"expected a level in (0, 1), got {level}")


def window(n: int, p: Floats, outside: float) -> tuple[int, Floats]:
    """First value and probabilities `[len(p), W]` of X ~ Binomial(n, p) on a window shared by all `p`.

    The probabilities are conditional on the window; on either side of it lies at most outside / 2 of the mass.
    """
    p = np.clip(p, 1e-18, 1 - 1e-16)
    log = np.log(2 / outside)
    reach = log / 3 + np.sqrt(log**2 / 9 + 2 * n * p * (1 - p) * log)
    first = max(0, int(np.floor((n * p - reach).min())))
    last = min(n, int(np.ceil((n * p + reach).max())))
    x = np.arange(first, last)
    coefficients = np.concatenate([[0.0], np.cumsum(np.log(n - x) - np.log(x + 1))])  # log C(n, x) - log C(n, first)
    logits = (np.log(p) - np.log1p(-p))[:, None]
    exponents = coefficients + logits * np.arange(len(coefficients))
    mass = np.exp(exponents - exponents.max(1, keepdims=True))
    return first, mass / mass.sum(1, keepdims=True)


def difference_tail(p_a: Floats, p_b: Floats, n_a: int, n_b: int, excess: int, outside: float) -> Floats:
    """Upper bounds on P(X_a n_b - X_b n_a <= excess), `[len(p_a)]`, for independent X_g ~ Binomial(n_g, p_g).

    The comparison is of integers, so ties are exact. The mass outside the windows, 2 `outside`, is added.
    """
    first_a, mass_a = window(n_a, p_a, outside)
    first_b, mass_b = window(n_b, p_b, outside)
    x_b = np.arange(first_b, first_b + mass_b.shape[1], dtype=np.int64)
    largest = (excess + x_b * n_a) // n_b - first_a  # X_a may be at most this, counted from the window's first value
    some = np.flatnonzero(largest >= 0)
    if not len(some):
        return np.full(len(p_a), 2 * outside)
    below = np.cumsum(mass_a, axis=1)[:, np.minimum(largest[some], mass_a.shape[1] - 1)]
    return np.einsum("cx,cx->c", mass_b[:, some], below) + 2 * outside
