"""The decision of a stated mix of people: whoever serves says who sits on the jury, not who happened to answer.

    decision_k = sum_g weight_g decision_g,k        of a juror drawn by the weights; its argmax is their plurality

The decisions of a group, or of a kind, are those of a model that reads it: hard for a vote of its typical member,
choice probabilities for that of any member. Source: Jury Learning, Gordon et al. CHI 2022, which draws named annotators
within groups and takes medians of ratings; the law of decisions by group is our reading.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import UsageError
from .numbers import array

ROUNDING = 1e-6


def jury(decisions: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> np.ndarray:
    """Decisions `[n, K]` of a juror who is drawn by weight.

    decisions: group -> `[n, K]` in [0, 1], rows add up to 1
    weights: group -> its share of the jury, >= 0; they add up to 1, and a group that is not named has no seat

    `UsageError` for a group that nothing is known of, weights that are no shares, decisions that are none.
    """
    if unknown := [group for group in weights if group not in decisions]:
        raise UsageError(f"jury: unknown group {unknown[0]!r} (known: {', '.join(map(str, decisions))})")
    seats = array("jury: weights", list(weights.values()))
    if not len(seats) or not (seats >= 0).all() or abs(seats.sum() - 1) > ROUNDING:
        raise UsageError(f"jury: expected weights of 0 or more that add up to 1, got {dict(weights)}")
    every = [array("jury: decisions", decisions[group]) for group in weights]
    if len({of.shape for of in every}) > 1 or any(
        of.ndim != 2 or (of < 0).any() or not np.allclose(of.sum(1), 1, atol=ROUNDING) for of in every
    ):
        raise UsageError("jury: expected decisions [n, K] of every group, 0 or more, whose rows add up to 1")
    return np.einsum("g,gnk->nk", seats, np.stack(every))
