"""How well one answer for everybody can do: the ceiling of an aggregate, which knows the item and not the person.

With p the shares of an item's alternatives among all people, accuracy is at most E max_k p_k, and the Brier score of
the shares themselves, sum over alternatives, is 1 - E sum_k p_k^2; of two alternatives E 2 p (1 - p). Votes are few, so
the first is known in a bracket alone:

    low   each vote against the majority of the others   below on average: some rule's accuracy, of one vote less
    high  each vote against the majority of all          above on average: it has seen the vote

and the second without bias from two votes on, as how often two people choose alike.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

from .estimate import Estimate, estimates, unknown
from .votes import Votes

ONE_VOTE = "not identified below two votes an item: no item was put to two people"
STEPS = (1, 2, 3, 5, 10, 20)  # of votes an item, that are counted apart


class Ceiling(NamedTuple):
    """What one answer for everybody reaches on the items that two people or more were asked.

    low, high: ends of the bracket of accuracy
    agreement: how often two people choose alike, E sum_k p_k^2; the Brier score is one less this
    votes: how many choices, on how many items, and of how many votes an item
    """

    low: Estimate
    high: Estimate
    agreement: Estimate
    votes: dict[str, Any]


def one_each(votes: Votes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(`[C, K]` shares, `[C]` person, `[C]` item): a person's several choices on an item as one, their mean.

    votes: n choices
    """
    cells, cell = np.unique(votes.person * votes.items + votes.item, return_inverse=True)
    count = np.bincount(cell)
    shares = np.stack([np.bincount(cell, column, len(cells)) for column in votes.share.T], 1) / count[:, None]
    return shares, cells // votes.items, cells % votes.items


def against(shares: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """`[C]` how much of each vote is for what has most counts, ties shared equally.

    shares: `[C, K]` votes
    counted: `[C, K]` counts that the answer is taken from
    """
    best = counted >= counted.max(1, keepdims=True) - 1e-9
    return (shares * best).sum(1) / best.sum(1)


def bracket(shares: np.ndarray, item: np.ndarray, available: np.ndarray | None = None) -> np.ndarray:
    """(low, high, agreement) over votes of items that have two or more; NaN where none has.

    shares: `[C, K]` votes, one a person and item
    item: `[C]` codes
    available: `[C, K]` alternatives that are there; None: all
    """
    count = np.bincount(item)
    kept = count[item] > 1
    if not kept.any():
        return np.full(3, np.nan)
    shares, item = shares[kept], item[kept]
    there = np.ones(shares.shape, bool) if available is None else available[kept]
    sums = np.stack([np.bincount(item, column, len(count)) for column in shares.T], 1)[item]
    others = np.where(there, sums - shares, -1.0)
    alike = (shares * (sums - shares)).sum(1) / (count[item] - 1)
    return np.array([against(shares, others).mean(), against(shares, sums).mean(), alike.mean()])


def ceiling(votes: Votes) -> Ceiling:
    """The ceiling of an aggregate on these choices, with 95 % intervals over people and items.

    votes: n choices
    """
    shares, person, item = one_each(votes)
    first = np.unique(votes.person * votes.items + votes.item, return_index=True)[1]
    available = votes.available[first]
    count = np.bincount(item)
    several = count[count > 1]
    steps = [*STEPS, np.inf]
    counts: dict[str, Any] = {
        "items": len(count),
        "items of two or more": len(several),
        "votes on them": int(several.sum()),
        "votes an item": {
            f"{low}" if high == low + 1 else f"{low} or more" if high == np.inf else f"{low} to {high - 1}": int(
                ((count >= low) & (count < high)).sum()
            )
            for low, high in itertools.pairwise(steps)
        },
    }
    if not len(several):
        return Ceiling(*(unknown(ONE_VOTE),) * 3, counts)
    counts["median votes on such an item"] = float(np.median(several))

    def figures(rows: np.ndarray) -> np.ndarray:
        return bracket(shares[rows], item[rows], available[rows])

    low, high, agreement = estimates(figures, (person, item), (ONE_VOTE,) * 3)
    return Ceiling(low.clipped(0, 1), high.clipped(0, 1), agreement.clipped(0, 1), counts)
