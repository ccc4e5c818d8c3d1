"""Points of accuracy against gap, many samples at once: who is not dominated, and how much a set of points dominates.

Accuracy is better the higher, a gap the lower. A point dominates another if it is at least as good in both and better
in one. Leading axes are samples (draws of a bootstrap, seeds), the last one is that of the points, `[..., M]`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..store import columns

WORST = (1.0, 0.0)  # gap and accuracy that no model of choices can do worse than: one reference for all runs


def non_dominated(accuracy: np.ndarray, gap: np.ndarray, rivals: np.ndarray) -> np.ndarray:
    """`[..., M]` bool: which points none of the `rivals` (`[M]` bool) dominates."""
    kept = np.ones(np.broadcast_shapes(accuracy.shape, gap.shape), bool)
    for rival in np.flatnonzero(rivals):
        high, low = accuracy[..., rival, None], gap[..., rival, None]
        kept &= ~((high >= accuracy) & (low <= gap) & ((high > accuracy) | (low < gap)))
    return kept


def hypervolume(accuracy: np.ndarray, gap: np.ndarray, reference: tuple[float, float] = WORST) -> np.ndarray:
    """`[...]` area of what the points dominate and `reference` = (gap, accuracy) does not exceed.

        area = integral over x from 0 to the reference gap of max(0, best accuracy at a gap <= x - reference accuracy)

    In [0, 1] at the default reference, and 1 for accuracy 1 at gap 0. A point beyond the reference adds nothing; no
    points give 0. Source: Zitzler and Thiele, PPSN 1998.
    """
    widest, lowest = reference
    shape = np.broadcast_shapes(accuracy.shape, gap.shape)
    accuracy, gap = np.broadcast_to(accuracy, shape), np.broadcast_to(gap, shape)
    if not shape[-1]:
        return np.zeros(shape[:-1])
    order = np.argsort(gap, -1, kind="stable")
    x = np.clip(np.take_along_axis(gap, order, -1), 0, widest)
    best = np.maximum.accumulate(np.take_along_axis(accuracy, order, -1), -1)
    width = np.diff(x, axis=-1, append=widest)
    return np.sum(width * np.maximum(best - lowest, 0), -1)


def pareto(table: pd.DataFrame) -> np.ndarray:
    """Which trials no feasible trial of the same seed dominates: accuracy at least as high and gap at most as large,
    one of them strictly, on the selection part. With several parts the gap is the largest."""
    gap = table[list(columns.gaps_in(table, "selection").values())].max(axis=1).to_numpy()
    accuracy, feasible = table["selection_accuracy"].to_numpy(), (table["status"] == "FEASIBLE").to_numpy()
    seed = table["seed"].to_numpy()
    rival = feasible[None, :] & (seed[None, :] == seed[:, None])
    no_worse = (accuracy[None, :] >= accuracy[:, None]) & (gap[None, :] <= gap[:, None])
    better = (accuracy[None, :] > accuracy[:, None]) | (gap[None, :] < gap[:, None])
    return feasible & ~(rival & no_worse & better).any(1)
