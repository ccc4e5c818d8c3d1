"""Whom a majority serves: 51/49, people who are in the minority again and again, pairs against the common order.

With p the share of people for an alternative, serving the most wanted leaves 1 - max_k p_k unhappy, the same people as
often as they are on that side; serving in proportion leaves E 2 p (1 - p) unhappy, everybody at times. At 51/49 that is
.490 and .4998: proportion is no gain in the mean.

Source: the 51/49 example is attributed to arXiv:2503.17338; Borda and hidden context, arXiv:2312.08358.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.optimize import minimize
from scipy.stats import binom, binomtest

from faro.data.split import uniform

from .ceiling import Ceiling, against, one_each
from .estimate import Estimate, unknown
from .votes import PAIRS, Votes

SALT = "faro people halves 1"
CLEAR = 0.05
TAIL = 0.1


class Service(NamedTuple):
    """Whom one answer for everybody serves.

    always: share left unhappy by what most want, a bracket (low, high)
    proportional: share left unhappy by serving in proportion
    items, unclear: items that two people or more were asked, and those on which which side is larger is not clear at
        their number of votes (exact test, p above .05)
    with_majority: how often a person is with the majority of the others
    spread: its standard deviation over people beyond chance
    worst: the same mean of the worst tenth of people, ranked on one half of their items and measured on the other
    """

    always: tuple[Estimate, Estimate]
    proportional: Estimate
    items: int
    unclear: int
    with_majority: Estimate
    spread: Estimate
    worst: Estimate


def service(votes: Votes, top: Ceiling) -> Service:
    """Whom a majority serves, and whether it is the same people again and again.

    votes: n choices
    top: their ceiling, from which the shares left unhappy follow
    """
    shares, person, item = one_each(votes)
    count = np.bincount(item)
    sums = np.stack([np.bincount(item, column, len(count)) for column in shares.T], 1)
    ordered = np.sort(sums, 1)[:, ::-1][count > 1]
    pairs, inverse = np.unique(np.round(ordered[:, :2]).astype(int), axis=0, return_inverse=True)
    clear = np.array(
        [first > second and binomtest(int(first), int(first + second)).pvalue <= CLEAR for first, second in pairs]
    )
    unclear = int((~clear[inverse.ravel()]).sum()) if len(pairs) else 0
    with_majority, spread, worst = _again(shares, person, item, sums, count)
    always = (_less(top.high), _less(top.low))
    return Service(always, _less(top.agreement), len(ordered), unclear, with_majority, spread, worst)


def _less(of: Estimate) -> Estimate:
    """One less a figure."""
    if of.value is None:
        return of
    low, high = (None if end is None else 1 - end for end in (of.high, of.low))
    return Estimate(1 - of.value, low, high, of.why)


def _again(
    shares: np.ndarray, person: np.ndarray, item: np.ndarray, sums: np.ndarray, count: np.ndarray
) -> tuple[Estimate, Estimate, Estimate]:
    kept = count[item] > 1
    why = "no item was put to two people"
    if not kept.any():
        return (unknown(why),) * 3
    served = against(shares[kept], (sums[item] - shares)[kept])
    person, item = person[kept], item[kept]
    people = np.unique(person, return_inverse=True)[1]
    of = np.bincount(people)
    rate = np.bincount(people, served) / of
    mean = float(served.mean())
    with_majority = _over_people(served - mean, people, mean)
    several = of > 1
    if several.sum() < 2:
        return with_majority, unknown("nobody chose on two items"), unknown("nobody chose on two items")
    noise = (np.bincount(people, (served - rate[people]) ** 2)[several] / (of[several] - 1) / of[several]).mean()
    spread = Estimate(float(np.sqrt(max(0.0, rate[several].var(ddof=1) - noise))), why="no interval")
    half = np.asarray(uniform(SALT, [f"{p}\x1f{i}" for p, i in zip(person, item, strict=True)])) < 0.5
    counts = np.stack([np.bincount(people, side) for side in (half, ~half)])
    both = (counts > 0).all(0)
    if both.sum() < 20:
        return with_majority, spread, unknown("fewer than 20 people chose on items of both halves")
    rates = np.stack([np.bincount(people, served * side) for side in (half, ~half)]) / np.maximum(counts, 1)
    chosen, means = max(1, int(TAIL * both.sum())), []
    for rank, measure in (rates, rates[::-1]):
        worst = np.flatnonzero(both)[np.argsort(rank[both], kind="stable")[:chosen]]
        means.append(measure[worst])
    values = np.concatenate(means)
    wide = 1.96 * float(values.std(ddof=1) / np.sqrt(chosen)) if chosen > 9 else None
    value = float(values.mean())
    worst_rate = Estimate(value, None if wide is None else value - wide, None if wide is None else value + wide)
    return with_majority, spread, worst_rate.clipped(0, 1)


def _over_people(away: np.ndarray, people: np.ndarray, value: float) -> Estimate:
    half = 1.96 * float(np.sqrt((np.bincount(people, away) ** 2).sum())) / len(away)
    return Estimate(value, value - half, value + half).clipped(0, 1)


class Dips(NamedTuple):
    """Pairs of alternatives whose majority goes against the common order.

    pairs: different pairs of alternatives that two people or more were asked
    against: pairs whose majority is the other way round than their Bradley-Terry scores
    beyond: those of them beyond chance (one-sided exact tests, Holm over all pairs)
    why: why there are no such figures; "" where there are
    """

    pairs: int
    against: int
    beyond: int
    why: str = ""


def dips(votes: Votes) -> Dips:
    """Borda dips: pairs whose majority goes against the order of one score for everybody.

    With equal counts of all pairs the Bradley-Terry scores have the order of the Borda counts, mean over j of the share
    that prefers i to j. Where everybody draws from one Bradley-Terry law no majority goes against it but by chance.

    votes: of kind "pairs"; of others there is no such figure
    """
    if votes.kind != PAIRS:
        return Dips(0, 0, 0, "alternatives are not compared two by two, so there is no order to go against")
    first, second = votes.alternative[:, 0], votes.alternative[:, 1]
    codes = np.unique(np.stack([first, second]), return_inverse=True)[1].reshape(2, -1)
    scores = bradley_terry(codes, votes.share[:, 0])
    shares, _, item = one_each(votes)
    count = np.bincount(item)
    wins = np.bincount(item, shares[:, 0], len(count))
    ahead = np.zeros(len(count))
    ahead[votes.item] = scores[codes[0]] - scores[codes[1]]
    several = count > 1
    if not several.any():
        return Dips(0, 0, 0, "no pair was put to two people")
    against_it = several & ((wins - count / 2) * ahead < 0)
    chance = binom.sf(np.ceil(np.abs(wins - count / 2) + count / 2 - 1e-9) - 1, count, 0.5)
    chance = np.where((wins - count / 2) * ahead < 0, chance, 1.0)[several]
    ranked = np.sort(chance)
    left = len(ranked) - np.arange(len(ranked))
    beyond = int(np.logical_and.accumulate(ranked * left <= CLEAR).sum())
    return Dips(int(several.sum()), int(against_it.sum()), beyond)


def bradley_terry(pairs: np.ndarray, share: np.ndarray, ridge: float = 1e-3) -> np.ndarray:
    """`[A]` scores r that minimise - sum_n (y_n log s(r_a - r_b) + (1 - y_n) log s(r_b - r_a)) + ridge / 2 |r|^2.

    pairs: `[2, n]` codes 0 to A - 1 of the alternatives a and b
    share: `[n]` y, for a
    ridge: which alone fixes scores of those who always win
    """
    n, size = pairs.shape[1], int(pairs.max()) + 1
    every = np.arange(n)
    design = sparse.csr_matrix((np.ones(n), (every, pairs[0])), (n, size))
    design = (design - sparse.csr_matrix((np.ones(n), (every, pairs[1])), (n, size))).tocsr()

    def loss(scores: np.ndarray) -> tuple[float, np.ndarray]:
        margin = design @ scores
        value = (np.logaddexp(0, margin) - share * margin).sum() + ridge / 2 * scores @ scores
        return float(value), design.T @ (1 / (1 + np.exp(-margin)) - share) + ridge * scores

    return np.asarray(minimize(loss, np.zeros(size), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x)


def opposite(votes: Votes, groups: np.ndarray) -> int:
    """Items on which two groups have opposite majorities.

    votes: n choices
    groups: `[P]` codes, -1 = in no group
    """
    shares, person, item = one_each(votes)
    own = groups[person]
    inside = own >= 0
    size = int(groups.max()) + 1
    cell = (item * size + own)[inside]
    sums = np.stack([np.bincount(cell, column, votes.items * size) for column in shares[inside].T], 1)
    top = np.sort(sums, 1)
    best = np.where(top[:, -1] > top[:, -2] + 1e-9, sums.argmax(1), -1).reshape(-1, size)
    some = np.where(best < 0, best.max(1, keepdims=True), best)
    return int((some != some[:, :1]).any(1).sum())


def facts(dips_: Dips) -> dict[str, Any]:
    """As plain data."""
    return {"why": dips_.why} if dips_.why else {key: value for key, value in dips_._asdict().items() if key != "why"}
