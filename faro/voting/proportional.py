"""Population-proportional answers from pair comparisons alone: no names of annotators and no groups are needed.

With P_ij the share of people who prefer item i to j, at most u_i = min_{j != i} P_ij put i first. Drawn is

    pi_i = u_i exp(beta u_i) / sum_j u_j exp(beta u_j)

beta = 0 is proportional to the bounds, beta to infinity the minimax Condorcet winner. Shares themselves are not
identified by pairs: half a > b > c and half c > b > a have the same P as half b > c > a and half a > c > b.

Source: population-proportional preference learning, arXiv 2506.05619. The level 1 / sum_j u_j is derived: pi_i >= w_i /
sum_j u_j for the true share w_i <= u_i, at beta = 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from ..errors import DataError, UsageError
from .numbers import array, number

ROUNDING = 1e-6  # of shares


class Shares(NamedTuple):
    """Shares of pairs of n items of one question.

    items: their names, `[n]`
    preferred: `[n, n]` share of people who prefer the row's item to the column's; P_ij + P_ji = 1, .5 on the diagonal,
        and NaN where nobody was asked
    asked: `[n, n]` weight of the answers
    """

    items: tuple[str, ...]
    preferred: np.ndarray
    asked: np.ndarray


def pair_shares(first: np.ndarray, second: np.ndarray, share: np.ndarray, weight: np.ndarray | None = None) -> Shares:
    """Shares of pairs from answers.

    first, second: names of the two items of every answer, `[m]` each
    share: how much of the answer is for the first, in [0, 1]: a tie is .5
    weight: of every answer, >= 0; default 1

    `DataError` for a pair of one item with itself, or a share that is none.
    """
    share = array("pairs: shares", share)
    weight = np.ones(len(share)) if weight is None else array("pairs: weights", weight)
    sizes = len(first), len(second), *share.shape, *weight.shape
    if len(set(sizes)) > 1 or len(sizes) != 4:
        raise DataError(
            f"pairs: expected as many firsts, seconds, shares and weights, got {', '.join(map(str, sizes))}"
        )
    if pd.isna(first).any() or pd.isna(second).any():
        raise DataError("pairs: an item without a name; drop such rows")
    if not ((share >= 0) & (share <= 1)).all() or not ((weight >= 0) & np.isfinite(weight)).all():
        raise DataError("pairs: expected shares in [0, 1] and weights of 0 or more")
    names, codes = np.unique(np.concatenate([first, second]).astype(str), return_inverse=True)
    one, other = codes[: len(share)], codes[len(share) :]
    if (one == other).any():
        raise DataError(f"pairs: {names[one[one == other][0]]!r} is compared with itself; drop such rows")
    won, asked = np.zeros((len(names),) * 2), np.zeros((len(names),) * 2)
    for row, column, part in ((one, other, share), (other, one, 1 - share)):
        np.add.at(won, (row, column), weight * part)
        np.add.at(asked, (row, column), weight)
    with np.errstate(invalid="ignore"):
        preferred = won / asked
    np.fill_diagonal(preferred, 0.5)
    return Shares(tuple(names.tolist()), preferred, asked)


def first_choice_bounds(preferred: np.ndarray) -> np.ndarray:
    """u_i = min_{j != i} P_ij `[n]`: no larger share of people puts item i first.

    preferred: `[n, n]`, each pair adding up to 1

    `DataError` where a pair was not asked about, for then a bound is not known; `UsageError` for no such matrix.
    """
    preferred = array("shares of pairs", preferred)
    if preferred.ndim != 2 or preferred.shape[0] != preferred.shape[1] or preferred.shape[0] < 2:
        raise UsageError(f"shares of pairs: expected [n, n] of two items or more, got {list(preferred.shape)}")
    apart = ~np.eye(len(preferred), dtype=bool)
    if np.isnan(preferred[apart]).any():
        row, column = np.argwhere(np.isnan(preferred) & apart)[0]
        raise DataError(
            f"shares of pairs: items {row} and {column} were never compared, so no share is known of either; ask "
            "about them, or fit a model of pairs (not Bradley-Terry, which loses cycles) and give its shares"
        )
    inside = ((preferred > -ROUNDING) & (preferred < 1 + ROUNDING)).all()
    if not (inside and np.allclose(preferred + preferred.T, 1, atol=ROUNDING)):
        raise UsageError("shares of pairs: expected shares in [0, 1] whose two directions add up to 1")
    return np.clip(np.where(apart, preferred, np.inf).min(1), 0, 1)


def proportional(preferred: np.ndarray, beta: float = 0.0) -> tuple[np.ndarray, float]:
    """(probabilities `[n]` of the items, the level 1 / sum_j u_j).

    preferred: `[n, n]` shares of pairs
    beta: >= 0, inf for the minimax winner, ties shared; small ones are far from majority rule: at 51 to 49, 10 still
        gives the smaller side .44

    `DataError` where all bounds are 0, as no people give.

    The level: at beta = 0 an item whose people are a share w of all is drawn with w times that at least; 1 says that
    the bounds are the shares, and more than 1 that no people with one order each give such shares of pairs. With an
    item that is everybody's second it is low, and then that item gets what nobody put first. Merge copies of an item
    before: two that tie keep a large bound each.
    """
    beta, bounds = number("beta", beta, 0), first_choice_bounds(preferred)
    if not bounds.any():
        raise DataError(
            "shares of pairs: every item loses to another one in the eyes of all, so nobody could put any first: no "
            "people who each have one order say so; were the same people asked about each pair?"
        )
    best = bounds == bounds.max()
    weights = best * 1.0 if np.isinf(beta) else bounds * np.exp(beta * (bounds - bounds.max()))
    return weights / weights.sum(), float(1 / bounds.sum())
