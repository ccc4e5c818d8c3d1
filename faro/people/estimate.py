"""A figure with its interval, or the reason why there is none; intervals leave out people, and items, by blocks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import t as student

BLOCKS = 25  # of people and of items that are left out one after another
LEVEL = 0.95
FEW = 10  # people or items below which an interval is not given


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A figure, or why there is none.

    value: the figure; None where it is not identified
    low, high: ends of its 95 % interval; None where there is none
    why: of a figure that is not there the reason, of one without an interval the reason of that
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    why: str = ""

    def record(self) -> dict[str, Any]:
        """As plain data, without what is not there."""
        return {
            key: value for key, value in dataclasses.asdict(self).items() if key == "value" or value not in (None, "")
        }

    def clipped(self, low: float, high: float) -> Estimate:
        """The same, its interval within what the figure can be."""
        if self.low is None or self.high is None:
            return self
        return dataclasses.replace(self, low=max(low, self.low), high=min(high, self.high))


def unknown(why: str) -> Estimate:
    """A figure that is not identified.

    why: in plain words
    """
    return Estimate(None, why=why)


def jackknifed(
    figures: Callable[[np.ndarray], np.ndarray], clusters: tuple[np.ndarray, ...], seed: int = 0
) -> list[tuple[float, float, float]]:
    """(value, low, high) of every figure; NaN ends where there is no interval.

    Clusters of each kind are dealt to g blocks; with figures f_b without block b,

        variance = sum over kinds of (g - 1) / g sum_b (f_b - mean_b f_b)^2,

    and the interval is value +- t_{g-1} sqrt(variance). What varies with people and items at once is in both terms, so
    of crossed clusters the interval is rather too wide.

    figures: of a mask `[n]` of rows the figures `[F]`, NaN where there is none
    clusters: codes `[n]` of each kind: people, items
    seed: of the deal

    Source: Shao & Tu, The Jackknife and Bootstrap (1995), 2.3; Owen, doi:10.1214/07-AOAS122, of the sum over kinds.
    """
    n = len(clusters[0])
    whole = np.asarray(figures(np.ones(n, bool)), float)
    variance, least = np.zeros_like(whole), BLOCKS
    for codes in clusters:
        size = int(codes.max(initial=-1)) + 1
        if size < FEW:
            return [(float(value), math.nan, math.nan) for value in whole]
        blocks = min(BLOCKS, size)
        deal = np.random.default_rng([seed, size]).permutation(size) % blocks
        without = np.array([figures(deal[codes] != block) for block in range(blocks)])
        variance += (blocks - 1) / blocks * ((without - without.mean(0)) ** 2).sum(0)
        least = min(least, blocks)
    half = student.ppf((1 + LEVEL) / 2, least - 1) * np.sqrt(variance)
    return [(float(value), float(value - wide), float(value + wide)) for value, wide in zip(whole, half, strict=True)]


def estimates(
    figures: Callable[[np.ndarray], np.ndarray], clusters: tuple[np.ndarray, ...], why: tuple[str, ...]
) -> list[Estimate]:
    """Every figure as an `Estimate`.

    figures, clusters: as of `jackknifed`
    why: of each figure what it lacks where it is NaN
    """
    found = []
    for (value, low, high), reason in zip(jackknifed(figures, clusters), why, strict=True):
        if math.isnan(value):
            found.append(unknown(reason))
        elif math.isnan(low):
            found.append(Estimate(value, why="too few people or items for an interval"))
        else:
            found.append(Estimate(value, low, high))
    return found
