"""A list in proportion to interests: of what a person, or people, chose before in each genre, it has about as much.

    argmax over lists I of N items  (1 - lambda) sum_{i in I} score_i - lambda C_KL(p, q(I))
    C_KL(p, q) = sum_g p_g log(p_g / ((1 - alpha) q_g + alpha p_g))        q(I) the mean of p(g | i) over the list

filled greedily. Genres may be kinds of items, viewpoints, or whose items they are. C_KL itself can make the objective
negative, so no share of the optimum is claimed for it. That greedy reaches 1 - 1 / e of the best is claimed for

    (1 - lambda) sum_{i in I} score_i + lambda sum_g p_g (log(sum_{i in I} p(g | i) + eps) - log eps)

which is monotone and submodular where scores are >= 0: `surrogate = True`, for which scores are mapped to [0, 1] by

    (score - least) / (largest - least)        of the items at hand; the two ends are returned

A list may also be what is served over choices, one candidate of each (`streamed`), filled in the order of the choices:
then greedy reaches half of the best of the monotone objective.

Source: Steck, RecSys 2018; Nemhauser, Wolsey and Fisher 1978 for both greedy bounds. A list counts all its
places alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..errors import UsageError
from .numbers import array, number
from .numbers import count as whole

ALPHA, EPS = 0.01, 0.01
Offer = Callable[[list[int]], tuple[np.ndarray, np.ndarray, np.ndarray]]  # of the next place: scores, genres, who may


class Reranked(NamedTuple):
    """A list.

    items: indices of its items `[N]`, in the order in which they were taken
    divergence: C_KL of the list
    objective: what was maximised, of the list
    ends: the least and the largest score, that the scores were mapped by; (0, 1) where they were not
    """

    items: np.ndarray
    divergence: float
    objective: float
    ends: tuple[float, float]


def divergence(wanted: np.ndarray, shown: np.ndarray, alpha: float = ALPHA) -> float:
    """C_KL(wanted, shown) >= 0, in nats; 0 if they are the same.

    wanted, shown: `[G]` each, shares of genres that add up to 1
    alpha: share of `wanted` mixed into `shown`, in (0, 1), so that an absent genre costs something finite
    """
    number("alpha", alpha, 0, 1, ends=False)
    wanted, shown = array("wanted", wanted), array("shown", shown)
    for of in (wanted, shown):
        if of.shape != wanted.shape or of.ndim != 1 or not ((of >= 0).all() and np.isclose(of.sum(), 1)):
            raise UsageError("divergence: expected shares of the same genres, 0 or more, that add up to 1")
    mixed, there = (1 - alpha) * shown + alpha * wanted, wanted > 0
    return float(np.sum(wanted[there] * np.log(wanted[there] / mixed[there])))


def reranked(
    scores: np.ndarray,
    genres: np.ndarray,
    wanted: np.ndarray,
    count: int,
    strength: float,
    *,
    surrogate: bool = False,
    alpha: float = ALPHA,
    eps: float = EPS,
) -> Reranked:
    """A list of `count` of n items, filled greedily; O(count n G).

    scores: `[n]`, as a model rewards the items
    genres: `[n, G]` p(g | i), each adding up to 1
    wanted: `[G]` p, adding up to 1
    count: N, in 1..n
    strength: lambda in [0, 1]; 0 is the ranking by scores. Near 1 the divergence need not fall any more
    surrogate: the monotone objective, by scores mapped to [0, 1]
    alpha, eps: of the two objectives

    `UsageError` for shares that are none, a count that is not there, a score that is no number.
    """
    scores, genres, wanted = (array("reranking", of) for of in (scores, genres, wanted))
    _check(scores, genres, wanted, strength, alpha, eps)
    whole("count", count, 1, len(scores))
    ends = _ends(scores) if surrogate else (0.0, 1.0)
    value, left = _mapped(scores, ends), np.ones(len(scores), bool)

    def offer(items: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        left[items[-1:]] = False
        return value, genres, left

    return _filled(count, offer, wanted, strength, ends, surrogate, alpha, eps)


def streamed(
    scores: np.ndarray,
    genres: np.ndarray,
    wanted: np.ndarray,
    strength: float,
    *,
    there: np.ndarray | None = None,
    surrogate: bool = False,
    alpha: float = ALPHA,
    eps: float = EPS,
) -> Reranked:
    """One candidate of each of T choices, as the best of n draws is one, so that what is served over the choices is in
    proportion; `items` are the places of candidates in their choices, `[T]`.

    scores: `[T, K]`, as a model rewards the candidates
    genres: `[T, K, G]` p(g | candidate), each adding up to 1
    wanted: `[G]` p, adding up to 1
    strength: lambda in [0, 1]; 0 is the best of each choice
    there: `[T, K]` where a candidate is; None: everywhere
    surrogate: the monotone objective, by scores mapped to [0, 1]
    alpha, eps: of the two objectives

    `UsageError` for shares that are none, a choice without candidates, a score that is no number.
    """
    scores, genres, wanted = (array("reranking", of) for of in (scores, genres, wanted))
    there = np.ones(scores.shape, bool) if there is None else there
    if scores.ndim != 2 or not len(scores) or genres.shape[:2] != scores.shape or not there.any(1).all():
        raise UsageError(f"reranking: expected candidates of each choice [T, K], got {scores.shape}, {genres.shape}")
    _check(scores[there], genres[there], wanted, strength, alpha, eps)
    ends = _ends(scores[there]) if surrogate else (0.0, 1.0)
    value = _mapped(scores, ends)

    def offer(items: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        at = len(items)
        return value[at], genres[at], there[at]

    return _filled(len(scores), offer, wanted, strength, ends, surrogate, alpha, eps)


def _filled(
    count: int,
    offer: Offer,
    wanted: np.ndarray,
    strength: float,
    ends: tuple[float, float],
    surrogate: bool,
    alpha: float,
    eps: float,
) -> Reranked:
    """Places filled one after another by who gains most of those that may; of equal gains by the largest score."""

    def proportion(sums: np.ndarray, taken: int) -> np.ndarray:  # sums [..., G] of `taken` items
        if surrogate:
            return (np.log(sums + eps) - np.log(eps)) @ wanted
        mixed = (1 - alpha) * sums / taken + alpha * wanted
        some = wanted > 0
        return -np.sum(wanted[some] * np.log(wanted[some] / mixed[..., some]), -1)

    items: list[int] = []
    sums, total = np.zeros(len(wanted)), 0.0
    for taken in range(1, count + 1):
        value, genres, may = offer(items)
        gain = (1 - strength) * (total + value) + strength * proportion(sums + genres, taken)
        gain = np.where(may, gain, -np.inf)
        best = int(np.argmax(np.where(gain == gain.max(), value, -np.inf)))
        items.append(best)
        sums, total = sums + genres[best], total + value[best]
    objective = float((1 - strength) * total + strength * proportion(sums, count))
    return Reranked(np.array(items), divergence(wanted, sums / count, alpha), objective, ends)


def _ends(scores: np.ndarray) -> tuple[float, float]:
    return float(scores.min()), float(scores.max())


def _mapped(scores: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    return (scores / 2 - ends[0] / 2) / (ends[1] / 2 - ends[0] / 2 or 0.5)  # halves: of any numbers, without overflow


def _check(
    scores: np.ndarray, genres: np.ndarray, wanted: np.ndarray, strength: float, alpha: float, eps: float
) -> None:
    number("alpha", alpha, 0, 1, ends=False)
    number("eps", eps, 0, np.inf, ends=False)
    number("strength", strength, 0, 1)
    if genres.shape != (len(scores), len(wanted)) or not np.isfinite(scores).all():
        raise UsageError(f"reranking: expected finite scores [n] and genres [n, {len(wanted)}], got {genres.shape}")
    if min(genres.min(initial=0), wanted.min(initial=0)) < 0 or not (
        np.allclose(genres.sum(1), 1) and np.isclose(wanted.sum(), 1)
    ):
        raise UsageError("reranking: expected shares of genres, 0 or more, that add up to 1")
