"""Intervals of all gains at once: people are drawn together, so that what is common to methods stays common."""

from __future__ import annotations

from collections.abc import Iterator
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
    """Intervals of the means of all columns; None of too few people.

    gains: `[people, columns]`; NaN: this person is in none of it
    level: that some interval misses, about
    draws: of people
    """
    gains = gains[~np.isnan(gains).any(1)]
    n, columns = gains.shape
    if n < FEW or not columns:
        return None
    drawn = np.stack([count @ gains / n for count in counts(n, draws)])
    return intervals(gains.mean(0), drawn, gains.std(0, ddof=1) / np.sqrt(n), level)


def counts(people: int, draws: int = DRAWS) -> Iterator[np.ndarray]:
    """How often each person is drawn, `[people]`, draw after draw; the same for all who ask about as many.

    people: how many there are
    draws: how often so many are drawn
    """
    rng = np.random.default_rng(0)
    for _ in range(draws):
        yield rng.multinomial(people, np.full(people, 1 / people))


def intervals(
    value: np.ndarray, drawn: np.ndarray, error: np.ndarray | None = None, level: float = LEVEL
) -> list[Interval]:
    """Max-t intervals of C figures: value -+ c error, c the quantile at 1 - level of max over figures of
    |drawn - value| / error.

    value: `[C]`
    drawn: `[D, C]` of people drawn again
    error: `[C]` standard errors; None: the deviations of what was drawn
    level: that some interval misses, about
    """
    error = drawn.std(0) if error is None else error
    apart = np.abs(drawn - value) / np.where(error > 0, error, 1)
    factor = float(np.quantile(np.where(error > 0, apart, 0).max(1), 1 - level)) if value.size else 0.0
    return [Interval(float(v), float(v - factor * e), float(v + factor * e)) for v, e in zip(value, error, strict=True)]
