"""People drawn again with replacement: how often each is in a draw, and percentile intervals over the draws.

    multiplicity[b, u]       how often draw b has unit u                               [B, U]
    multiplicity[b, (u, v)]  multiplicity of unit u x multiplicity of cluster v

Where units share a second cluster (the prompts that raters saw), both are drawn, and a choice is there as often as the
product of both says (the pigeonhole bootstrap, Owen 2007, doi:10.1214/07-AOAS122): sums are then kept for every pair of
clusters that some choice has. An interval over units alone would be too narrow, for other prompts would vary it too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

DRAWS = 1000
LEVEL = 0.95
ENTRIES = 1 << 23  # numbers of a block of multiplicities: 64 MiB


def interval(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Percentile interval of draws `[B]`."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def limits_of_mean(
    values: np.ndarray, weight: np.ndarray, unit: np.ndarray, crossed: np.ndarray | None, level: float = LEVEL
) -> tuple[float, float]:
    """Percentile interval of the weighted mean of `values [n]` over draws of units, and of the clusters that are
    crossed with them where there are any; NaN where nothing weighs."""
    units, others, local = clusters(unit, crossed)
    found = [np.unique(of, return_inverse=True) for of in ([units] if crossed is None else [units, others])]
    sums = np.stack([np.bincount(local, part, len(units)) for part in (weight * values, weight)], 1)
    drawn = [
        products(times, [places for _, places in found]) @ sums
        for times in crossed_draws([len(names) for names, _ in found], len(units), DRAWS, 0)
    ]
    total, mass = np.concatenate(drawn).T
    return interval(total[mass > 0] / mass[mass > 0], level) if (mass > 0).any() else (np.nan, np.nan)


def clusters(unit: np.ndarray, crossed: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(the units, the clusters crossed with them, which pair of those each choice `[n]` has): pairs in order of units;
    choices that lack a cluster are padding, copies of the first."""
    if crossed is None:
        units, local = np.unique(unit, return_inverse=True)
        return units, units, local
    crossed = np.concatenate([crossed, np.repeat(crossed[:1], len(unit) - len(crossed))])
    pairs, local = np.unique(np.stack([unit, crossed], 1), axis=0, return_inverse=True)
    return pairs[:, 0], pairs[:, 1], local.reshape(-1)


def crossed_draws(counts: Sequence[int], width: int, draws: int, key: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Blocks of `multiplicities` of one cluster, or of two that are drawn independently; `width`: of what is made."""
    size = max(1, ENTRIES // max(width, *counts))
    blocks = [multiplicities(count, draws, (key, place) if place else key, size) for place, count in enumerate(counts)]
    return zip(*blocks, strict=True)


def products(times: Sequence[np.ndarray], places: Sequence[np.ndarray]) -> np.ndarray:
    """`[b, U]` how often each unit, or pair of clusters, is drawn."""
    of_pairs = [block[:, place] for block, place in zip(times, places, strict=True)]
    return math.prod(of_pairs[1:], start=of_pairs[0])


def multiplicities(units: int, draws: int, key: Any = 0, size: int | None = None) -> Iterator[np.ndarray]:
    """Blocks `[b, U]` that make up B draws: how often each unit is among U drawn with replacement (multinomial); `size`
    is the largest b, None: what `ENTRIES` allows."""
    rng = np.random.default_rng(key)
    size = max(1, ENTRIES // max(units, 1)) if size is None else size
    for start in range(0, draws, size):
        count = min(size, draws - start)
        drawn = rng.integers(units, size=(count, units)) + units * np.arange(count)[:, None]
        yield np.bincount(drawn.ravel(), minlength=count * units).reshape(count, units)
