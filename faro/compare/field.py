"""Who is served by which method: people on average, the worst group, and the tail, each beside the aggregate.

    mean          of people's shares of choices that are decided right
    worst group   mean of the group that fares worst
    tail          mean of the worst fifth of people

Who fares worst is said by one half of each person's choices and measured on the other, and the other way round, and the
two are averaged: ranked and measured on the same choices the worst would seem worse than they are. So a tail is that of
those whom half of their choices points out, and is never below the true one. Gains on the aggregate have intervals that
hold for all methods and all three figures at once: people are drawn together, and ranked anew in every draw.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..data.split import uniform
from . import sure

TAIL = 0.2  # share of people
FEWEST = 5  # people of a tail
FIGURES = ("mean", "worst_group", "tail")
SALT = "faro compare halves 1"


class Served(NamedTuple):
    """How M methods serve N people who have choices of both halves.

    right: `[M, N]` share of choices that are decided right
    halves: `[2, M, N]` the same of each half
    loss: `[2, M, N]` mean loss of each half, by which people are told apart who are decided right alike
    """

    right: np.ndarray
    halves: np.ndarray
    loss: np.ndarray


def halves(person: np.ndarray, names: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """`[n]` bool: the first half, by a hash of their names and rounded down, of each person's choices that count.

    person: `[n]` codes
    names: `[n]` of choices, those of one person different
    counted: `[n]` bool
    """
    rows = np.flatnonzero(counted)
    lots = uniform(SALT, [f"{person[row]}\x1f{names[row]}" for row in rows])
    rows = rows[np.lexsort((lots, person[rows]))]
    _, first, size = np.unique(person[rows], return_index=True, return_counts=True)
    found = np.zeros(len(person), bool)
    found[rows[np.arange(len(rows)) - np.repeat(first, size) < np.repeat(size // 2, size)]] = True
    return found


def tail(order: np.ndarray, measured: np.ndarray, count: np.ndarray, share: float = TAIL) -> np.ndarray:
    """`[M]` the mean of the first `share` of people in an order; who stands at the edge is counted in part.

    order: `[M, N]` people, who fares worst first
    measured: `[M, N]`
    count: `[N]` how often each counts
    share: in (0, 1]
    """
    mass = count[order]
    taken = np.clip(share * count.sum() - (np.cumsum(mass, 1) - mass), 0, mass)
    return (taken * np.take_along_axis(measured, order, 1)).sum(1) / taken.sum(1)


def worst_group(ranked: np.ndarray, measured: np.ndarray, member: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`[M]` means of the groups whose mean is least by another measurement, and which these are.

    ranked: `[M, N]` by which a group is chosen
    measured: `[M, N]`
    member: `[G, N]` how often each person counts in each group; one without anybody is never the worst
    """
    size = member.sum(1)
    share = member / np.where(size > 0, size, 1)[:, None]
    which = np.where(size > 0, ranked @ share.T, np.inf).argmin(1)
    return (measured @ share.T)[np.arange(len(which)), which], which


def field(
    served: Served, base: int, codes: np.ndarray | None = None, levels: tuple[str, ...] = (), draws: int = sure.DRAWS
) -> dict[str, Any]:
    """The three figures of every method, and gains on the aggregate with intervals of all at once: plain data.

    served: of M methods
    base: which of them is the aggregate
    codes: `[N]` level of each person, -1 of none; None: nobody's groups are known
    levels: their names; those of fewer than `sure.FEW` people are left out
    draws: of people
    """
    methods, people = served.right.shape
    if people < sure.FEW:
        return {"people": people, "why": f"fewer than {sure.FEW} people made two choices that are asked"}
    every = np.array([codes == code for code in range(len(levels) if codes is not None else 0)]).reshape(-1, people)
    large = every.sum(1) >= sure.FEW
    member, known = every[large].astype(float), [level for level, own in zip(levels, large, strict=True) if own]
    orders = [np.lexsort((-loss, right), axis=-1) for right, loss in zip(served.halves, served.loss, strict=True)]
    there, nothing = [True, len(known) > 1, TAIL * people >= FEWEST], np.full(methods, np.nan)

    def figures(count: np.ndarray) -> np.ndarray:  # [M, 3]
        worst = []
        for ranked, measured, order in zip(served.halves, served.halves[::-1], orders, strict=True):
            group = worst_group(ranked, measured, member * count)[0] if there[1] else nothing
            worst.append((group, tail(order, measured, count) if there[2] else nothing))
        return np.stack([served.right @ count / count.sum(), *np.mean(worst, 0)], 1)

    value = figures(np.ones(people))
    others = np.array([own for own in range(methods) if own != base], int)
    asked = np.ix_(others, np.flatnonzero(there))
    drawn = np.stack([(own - own[base])[asked].ravel() for own in map(figures, sure.counts(people, draws))])
    told = iter(sure.intervals((value - value[base])[asked].ravel(), drawn))
    said = []
    for own in range(methods):
        row: dict[str, Any] = dict.fromkeys(FIGURES)
        for place in np.flatnonzero(there):
            row[FIGURES[place]] = {"value": float(value[own, place])}
            if own != base:
                gain = next(told)
                row[FIGURES[place]] |= {"gain": gain.value, "low": gain.low, "high": gain.high}
        if there[1]:
            row["group"] = known[int(worst_group(served.right, served.right, member)[1][own])]
        said.append(row)
    few = [level for level in levels if level not in known]
    return {"people": people, "share": TAIL, "groups": known, "few": few, "methods": said}
