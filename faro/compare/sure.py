"""Intervals of all gains at once: people are drawn together, so that what is common to methods stays common."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

DRAWS = 2000
LEVEL = 0.05
FEW = 10  # people below whom nothing is said


class Interval(NamedTuple):
    """A mean over people, and an interval that holds for all asked of together."""

    value: float
    low: float
    high: float


def together(gains: np.ndarray, level: float = LEVEL, draws: int = DRAWS) -> list[Interval] | None:
    """Max-t intervals of the means of all columns, from a bootstrap over people: mean -+ c se, c the quantile at
    1 - level of max over columns of |mean* - mean| / se. None of too few people.

    gains: `[people, columns]`; NaN: this person is in none of it
    level: that some interval misses, about
    draws: of people
    """
    gains = gains[~np.isnan(gains).any(1)]
    n, columns = gains.shape
    if n < FEW or not columns:
        return None
    mean = gains.mean(0)
    rng = np.random.default_rng(0)
    drawn = np.stack([rng.multinomial(n, np.full(n, 1 / n)) @ gains / n for _ in range(draws)]) - mean
    error = gains.std(0, ddof=1) / np.sqrt(n)
    apart = np.abs(drawn) / np.where(error > 0, error, 1)
    factor = float(np.quantile(np.where(error > 0, apart, 0).max(1), 1 - level))
    return [Interval(float(m), float(m - factor * e), float(m + factor * e)) for m, e in zip(mean, error, strict=True)]
