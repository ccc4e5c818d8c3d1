"""Optimal post-processing of accept or reject: a randomised threshold of the score per group, by a linear program.

    max   sum_g sum_t p_gt (right_gt - wrong_gt)           right, wrong: weight accepted rightly and wrongly in group g
    s.t.  sum_t p_gt = 1,  p >= 0                                                               at score >= t   [G, T]
          low_b <= sum_t p_gt stat_gt / mass_g <= high_b          every block b of groups that have data
          high_b - low_b <= bound

A randomised threshold is a distribution over thresholds, so (wrong, right) of a group is a point of the convex hull of
its ROC curve; thresholds that are no vertex of that hull change nothing and are left out, so the optimum over all
thresholds is exact on the data that it is fitted to. It looks at the group when it decides. Source: Hardt, Price and
Srebro NeurIPS 2016 (equalized odds); with a bound and demographic parity, Agarwal et al. ICML 2018, appendix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from ..errors import NoProofError


class Rule(NamedTuple):
    """Of every group: thresholds and the probability of each, `[V]`. A choice is accepted if its score >= threshold."""

    thresholds: list[np.ndarray]
    weights: list[np.ndarray]

    def accept(self, score: np.ndarray, group: np.ndarray) -> np.ndarray:
        """Probability of accepting, `[n]`."""
        accepted = np.zeros(len(score))
        for g, (thresholds, weights) in enumerate(zip(self.thresholds, self.weights, strict=True)):
            mine = group == g
            accepted[mine] = (score[mine, None] >= thresholds) @ weights
        return np.clip(accepted, 0, 1)


class Curve(NamedTuple):
    """The hull of a group's ROC curve: thresholds, and weight accepted rightly and wrongly at each, `[V]`."""

    thresholds: np.ndarray
    right: np.ndarray
    wrong: np.ndarray


def curve(score: np.ndarray, right: np.ndarray, wrong: np.ndarray) -> Curve:
    """From every choice's score and its weight if accepted rightly and wrongly. Without data: accept above 0."""
    if not len(score):
        return Curve(np.array([np.nextafter(0, 1)]), np.zeros(1), np.zeros(1))
    steps, place = np.unique(-score, return_inverse=True)
    tp = np.concatenate([[0.0], np.cumsum(np.bincount(place, right))])
    fp = np.concatenate([[0.0], np.cumsum(np.bincount(place, wrong))])
    thresholds = np.concatenate([[np.inf], -steps])
    kept = sorted(set(_chain(fp, tp)) | set(_chain(fp, -tp)))
    return Curve(thresholds[kept], tp[kept], fp[kept])


def _chain(x: np.ndarray, y: np.ndarray) -> list[int]:
    """Indices of the upper hull of points that never go back in x (Andrew's monotone chain), both ends included."""
    kept: list[int] = []
    for i in range(len(x)):
        while len(kept) > 1:
            a, b = kept[-2], kept[-1]
            if (x[b] - x[a]) * (y[i] - y[a]) < (y[b] - y[a]) * (x[i] - x[a]):
                break
            kept.pop()
        kept.append(i)
    return kept


def optimal(
    score: np.ndarray,
    right: np.ndarray,
    wrong: np.ndarray,
    group: np.ndarray,
    blocks: Sequence[tuple[str, Sequence[int]]],
    groups: int,
    bounds: Sequence[float],
) -> list[Rule]:
    """The most accurate rule for every bound.

    `score`, `right` and `wrong` `[n]`: score of a choice and its weight if accepted rightly and wrongly; `group` `[n]`
    in 0..groups-1. A block is an event ("all", "chosen" or "rejected") and the groups whose rates it compares. Rates
    are in [0, 1]. `NoProofError` if the solver gives up; the program always has a solution, accept everybody.
    """
    curves = [curve(*(values[group == g] for values in (score, right, wrong))) for g in range(groups)]
    sizes = [len(roc.thresholds) for roc in curves]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    columns = starts[-1] + 2 * len(blocks)
    cost = np.zeros(columns)
    cost[: starts[-1]] = np.concatenate([roc.wrong - roc.right for roc in curves])
    scale = max(float(right.sum() + wrong.sum()), 1e-300)
    once = sparse.csr_array((np.ones(starts[-1]), np.arange(starts[-1]), starts), shape=(groups, columns))
    rows, limits, bounded = [], [], []
    for b, (event, compared) in enumerate(blocks):
        low, high = starts[-1] + 2 * b, starts[-1] + 2 * b + 1
        for g in compared:
            roc = curves[g]
            stat = {"all": roc.right + roc.wrong, "chosen": roc.right, "rejected": roc.wrong}[event]
            mass = stat.max(initial=0)  # everybody is accepted at the last threshold
            if mass <= 0:
                continue
            for sign, end in ((1, high), (-1, low)):
                row = sparse.lil_array((1, columns))
                row[0, starts[g] : starts[g + 1]] = sign * stat / mass
                row[0, end] = -sign
                rows.append(row)
                limits.append(0.0)
        row = sparse.lil_array((1, columns))
        row[0, high], row[0, low] = 1, -1
        rows.append(row)
        bounded.append(len(limits))
        limits.append(0.0)
    matrix = sparse.vstack(rows).tocsr()
    rules = []
    for bound in bounds:
        upper = np.array(limits)
        upper[bounded] = min(float(bound), 1.0)
        solved = linprog(cost / scale, matrix, upper, once, np.ones(groups), bounds=(0, 1), method="highs")
        if solved.x is None:
            raise NoProofError(f"thresholds at bound {bound:g}: {solved.message}")
        weights = [np.clip(solved.x[starts[g] : starts[g + 1]], 0, 1) for g in range(groups)]
        rules.append(
            Rule([roc.thresholds for roc in curves], [group_weights / group_weights.sum() for group_weights in weights])
        )
    return rules
