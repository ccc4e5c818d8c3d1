"""How much of the choices is shared by all, how much is a person's level, and what is left; order against level.

With z what was chosen less what is known before (`Votes.centred`), and products summed over alternatives,

    items   = E z_pi z_qi - E z_pi z_qj        two people, the same item
    level   = E z_pi z_pj - E z_pi z_qj        one person, two items
    repeats = E z_pi z'_pi - E z_pi z_qj       one person, the same item again
    total   = E z_pi z_pi - E z_pi z_qj

which are components of variance of a person x item table, and no model: means over pairs of choices, without bias from
two on. A person's taste is repeats - items - level, and noise within the person total - repeats; without repeats only
their sum is known.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

from .estimate import Estimate, estimates, unknown
from .votes import ACCEPT, SETS, Votes

MOST = 1500  # people whose orders are compared, each with each
NO_ITEM = "no item was put to two people"
NO_PERSON = "no person chose on two items"
REPEATS = 30  # that noise within people is read from at least
NO_LEVEL = "alternatives have no names of their own, so a person has no level"
NO_ORDER = "no two people both accept one and refuse another of the same two items"


class Components(NamedTuple):
    """Parts of the variance of choices, of which `total` is 1.

    items: what all share, by item
    level: what a person has on every item
    rest: what is left of the total: a person's taste and noise
    taste: of the rest what a person would choose again; needs repeats
    noise: of the rest what a person would not choose again; needs repeats
    """

    items: Estimate
    level: Estimate
    rest: Estimate
    taste: Estimate
    noise: Estimate


def moments(votes: Votes, rows: np.ndarray | None = None) -> tuple[float, float, float, float]:
    """(total, items, level, repeats) as the equations at the top of the module have them; NaN where no two choices say.
    Every choice counts alike, however many others its item and its person have.

    votes: n choices
    rows: `[n]` mask of those to use; None: all
    """
    rows = np.ones(votes.n, bool) if rows is None else rows
    z, person, item = votes.centred[rows], votes.person[rows], votes.item[rows]
    n = len(z)
    if not n:
        return (np.nan,) * 4
    cells, cell = np.unique(person * votes.items + item, return_inverse=True)
    of_cell, in_cell = _sums(cell, z, len(cells)), np.bincount(cell)
    squares = (of_cell**2).sum(1)
    means = []
    for own in (cells % votes.items, cells // votes.items):
        size = int(own.max()) + 1
        together = np.bincount(own, in_cell, size)
        pairs = together**2 - np.bincount(own, in_cell.astype(float) ** 2, size)
        product = (_sums(own, of_cell, size) ** 2).sum(1) - np.bincount(own, squares, size)
        there = pairs > 0
        means.append(
            float((together[there] * product[there] / pairs[there]).sum() / together[there].sum())
            if there.any()
            else np.nan
        )
    again = in_cell > 1
    itself = np.bincount(cell, (z**2).sum(1))
    pairs_again = in_cell * (in_cell - 1.0)
    repeats = (
        float((in_cell * (squares - itself) / np.maximum(pairs_again, 1))[again].sum() / in_cell[again].sum())
        if again.any()
        else np.nan
    )
    of_item, of_person = (_sums(of, z, int(of.max()) + 1) for of in (item, person))
    count = n**2 - (np.bincount(item) ** 2.0).sum() - (np.bincount(person) ** 2.0).sum() + (in_cell**2.0).sum()
    product = (z.sum(0) ** 2).sum() - (of_item**2).sum() - (of_person**2).sum() + squares.sum()
    apart = float(product / count) if count > 0 and votes.level else 0.0
    total = float((z**2).sum() / n) - apart
    return total, means[0] - apart, means[1] - apart, repeats - apart


def _sums(codes: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    """`[size, K]` sums of values `[n, K]` by code."""
    return np.stack([np.bincount(codes, column, size) for column in values.T], 1)


def components(votes: Votes) -> Components:
    """The parts of the variance of choices, with 95 % intervals over people and items.

    votes: n choices
    """

    def figures(rows: np.ndarray) -> np.ndarray:
        total, items, level, repeats = moments(votes, rows)
        level = level if votes.level else np.nan
        known = items + (level if votes.level else 0.0)
        repeats = repeats if again >= REPEATS else np.nan
        parts = np.array([items, level, total - known, repeats - known, total - repeats])
        return parts / total if total > 1e-12 else np.full(5, np.nan)

    cells = np.bincount(np.unique(votes.person * votes.items + votes.item, return_inverse=True)[1])
    again = int((cells > 1).sum())
    no_repeat = f"{again:,} items were put to a person again: too few" if again else "nobody was asked the same twice"
    total = moments(votes)[0]
    if not total > 1e-12:
        return Components(*(unknown("everybody chose the same"),) * 5)
    why = (NO_ITEM, NO_PERSON if votes.level else NO_LEVEL, f"{NO_ITEM}, or {NO_PERSON}", no_repeat, no_repeat)
    return Components(*(part.clipped(0, 1) for part in estimates(figures, (votes.person, votes.item), why)))


def habit(votes: Votes) -> Estimate:
    """How much of the choices in pairs is a person's habit of place: the part `level` of choosing what stands first.

    votes: n pairs
    """
    if votes.place is None:
        return unknown("the table does not say what stood first")
    placed = np.stack([votes.place, 1 - votes.place], 1)
    by_place = Votes(ACCEPT, placed, np.ones_like(placed, bool), votes.alternative, votes.person, votes.item, "first")

    def figures(rows: np.ndarray) -> np.ndarray:
        total, _, level, _ = moments(by_place, rows)
        return np.array([level / total if total > 1e-12 else np.nan])

    return estimates(figures, (votes.person, votes.item), (NO_PERSON,))[0].clipped(0, 1)


def order_agreement(votes: Votes) -> Estimate:
    """How often two people agree in the order of two items on which each of them accepts one and refuses one.

    Over pairs of people, with n_ab the items on which the first says a and the second b,

        sum n_11 n_00 / sum (n_11 n_00 + n_10 n_01)

    1 where people differ in level alone and without noise (who accepts more accepts all that the other does), .5 by
    chance. It is an odds ratio pooled as Mantel and Haenszel do. Interval over people.

    votes: of kind "accept"; of others there is no such figure
    """
    if votes.kind != ACCEPT:
        return unknown("order and level are told apart where items are accepted or refused one by one")
    some = np.random.default_rng(0).permutation(votes.people)[:MOST]
    place = np.full(votes.people, -1)
    place[np.sort(some)] = np.arange(len(some))
    rows = place[votes.person] >= 0
    at = (place[votes.person[rows]], votes.item[rows])
    shape = (len(some), votes.items)
    accept = votes.share[rows, 0]  # the outside option is last
    times = sparse.csr_matrix((np.ones(len(accept)), at), shape)
    yes = sparse.csr_matrix((accept, at), shape)
    times.data = 1 / times.data
    yes = yes.multiply(times).tocsr()  # a person's several choices on an item are one, their mean
    there = (times > 0).astype(float)
    no = (there - yes).tocsr()
    both, none, first = ((a @ b.T).toarray() for a, b in ((yes, yes), (no, no), (yes, no)))
    agree, differ = both * none, first * first.T
    for of in (agree, differ):
        np.fill_diagonal(of, 0)

    def figures(kept: np.ndarray) -> np.ndarray:
        alike, apart = agree[kept][:, kept].sum(), differ[kept][:, kept].sum()
        return np.array([alike / (alike + apart) if alike + apart else np.nan])

    return estimates(figures, (np.arange(len(some)),), (NO_ORDER,))[0].clipped(0, 1)


def level_spread(votes: Votes) -> Estimate:
    """Standard deviation over people of how often they accept, less what chance alone gives: the root of `level`.

    votes: of kind "accept"
    """
    if votes.kind != ACCEPT:
        return unknown(NO_LEVEL if votes.kind != SETS else "given for items that are accepted or refused")

    def figures(rows: np.ndarray) -> np.ndarray:
        return np.sqrt(np.maximum([moments(votes, rows)[2] / 2], 0.0))

    return estimates(figures, (votes.person, votes.item), (NO_PERSON,))[0].clipped(0, 0.5)
