"""Which declared groups of people differ: in level, and in what they choose, beside people dealt to groups at random.

With r what was chosen less the mean of its item, q that less the person's mean of it, n_g choices of a group and n_gi
of them on an item,

    level   T = sum_g n_g |mean r_g|^2
    taste   T = sum_gi n_gi |mean q_gi|^2

(of pairs and sets, which have no level, q is r). Both are compared with the same of groups
dealt to people at random, a person with all of their choices, which is exact if the groups do not matter:
p = (1 + #{T* >= T}) / (1 + deals). Holm over all attributes and both figures. The excess of T over its mean among the
deals, over the sum of |z|^2, is the part of the variance that the groups explain, which is 0 on average where they
explain nothing.

Source: Phipson & Smyth, doi:10.2202/1544-6115.1585, of the p; Holm, Scand. J. Statist. 6 (1979).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .majority import opposite
from .votes import Votes

DEALS = 999
MOST = 2e8  # numbers that are summed in all deals together; more data have fewer deals
SHOWN = 20  # deals that items of opposite majorities are compared with


class Difference(NamedTuple):
    """How the groups of an attribute differ.

    attribute: its name
    people: in each group
    choices: on items that two groups were asked, which alone tell
    level, taste: part of their variance that the groups explain; None of a level where there is none
    p_level, p_taste: of the permutation null, Holm over all attributes and both figures
    opposite: items on which two groups have opposite majorities
    opposite_by_chance: the same of groups dealt at random, mean
    why: why there are no figures
    """

    attribute: str
    people: dict[str, int]
    choices: int | None = None
    level: float | None = None
    taste: float | None = None
    p_level: float | None = None
    p_taste: float | None = None
    opposite: int | None = None
    opposite_by_chance: float | None = None
    why: str = ""

    def record(self) -> dict[str, Any]:
        """As plain data, without what is not there."""
        return {key: value for key, value in self._asdict().items() if value not in (None, "")}


def differences(votes: Votes, deals: int = DEALS, seed: int = 0) -> list[Difference]:
    """Of every declared attribute of people how its groups differ.

    votes: n choices of people with groups
    deals: of people to groups at random
    seed: of the deals
    """
    found, chances = [], []
    for name, (levels, codes) in votes.groups.items():
        people = {level: int((codes == code).sum()) for code, level in enumerate(levels)}
        inside = codes[votes.person] >= 0
        if sum(count > 0 for count in people.values()) < 2:
            found.append(Difference(name, people, why="fewer than two of its groups have people here"))
            continue
        if min(count for count in people.values() if count) < 2:
            found.append(
                Difference(name, people, why="a group of one person: it could be named, and says nothing of a group")
            )
            continue
        table = _Table(votes, inside)
        if not table.total > 0:
            why = "everybody chose the same" if len(table.z) else "no item was put to two people of its groups"
            found.append(Difference(name, people, why=why))
            continue
        rng = np.random.default_rng([seed, len(found)])
        least = 40 * 2 * len(votes.groups)  # with fewer no p is at most .05 after Holm
        times = int(min(deals, max(99, least, MOST / len(table.z))))
        member = np.flatnonzero(codes >= 0)
        dealt = [_dealt(codes, member, rng) for _ in range(times)]
        common = table.common(codes)
        if 2 * common < np.mean([table.common(some) for some in dealt[:SHOWN]]):
            found.append(
                Difference(name, people, why="its groups were asked about other items, so they are not compared")
            )
            continue
        own, by_chance = table.statistics(codes), np.array([table.statistics(some) for some in dealt])
        p = (1 + (by_chance >= own - 1e-12).sum(0)) / (1 + times)
        part = (own - by_chance.mean(0)) / table.total
        none: dict[str, None] = {} if votes.level else {"level": None, "p_level": None}
        figures: dict[str, Any] = {"level": float(part[0]), "taste": float(part[1])}
        figures |= {"p_level": float(p[0]), "p_taste": float(p[1])} | none
        by_deals = float(np.mean([opposite(votes, some) for some in dealt[:SHOWN]]))
        found.append(
            Difference(name, people, common, **figures, opposite=opposite(votes, codes), opposite_by_chance=by_deals)
        )
        chances += [figures[key] for key in ("p_level", "p_taste") if figures[key] is not None]
    corrected = iter(holm(np.array(chances)).tolist())
    return [
        of
        if of.why
        else of._replace(p_level=next(corrected) if of.p_level is not None else None)._replace(p_taste=next(corrected))
        for of in found
    ]


def _dealt(codes: np.ndarray, member: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    made = codes.copy()
    made[member] = rng.permutation(codes[member])
    return made


class _Table:
    """Choices of those who are in some group, on items put to two of them, less the means of item and person."""

    def __init__(self, votes: Votes, inside: np.ndarray):
        asked = np.unique(votes.person[inside] * votes.items + votes.item[inside]) % votes.items
        inside = inside & (np.bincount(asked, minlength=votes.items) > 1)[votes.item]
        z = votes.centred[inside]
        self.person, self.item = votes.person[inside], np.unique(votes.item[inside], return_inverse=True)[1]
        self.size, self.total, self.level = int(self.item.max(initial=-1)) + 1, float((z**2).sum()), bool(votes.level)
        self.z = z - _means(self.item, z) if len(z) else z
        self.taste = self.z - _means(self.person, self.z) if self.level and len(z) else self.z

    def common(self, codes: np.ndarray) -> int:
        """Choices on items that two groups were asked."""
        size = int(codes.max()) + 1
        met = np.unique(self.item * size + codes[self.person]) // size
        return int((np.bincount(met, minlength=self.size) > 1)[self.item].sum())

    def statistics(self, codes: np.ndarray) -> np.ndarray:
        """(level, taste) as the equations at the top of the module have them."""
        own, groups = codes[self.person], int(codes.max()) + 1
        level = _between(own, self.z, groups) if self.level else 0.0
        return np.array([level, _between(own * self.size + self.item, self.taste, groups * self.size)])


def _means(codes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """`[n, K]` of each row the mean of its code."""
    sums = np.stack([np.bincount(codes, column) for column in values.T], 1)
    return (sums / np.maximum(np.bincount(codes), 1)[:, None])[codes]


def _between(codes: np.ndarray, values: np.ndarray, size: int) -> float:
    """The sum over codes of n |mean|^2."""
    count = np.maximum(np.bincount(codes, minlength=size), 1)
    return float(sum((np.bincount(codes, column, size) ** 2 / count).sum() for column in values.T))


def holm(p: np.ndarray) -> np.ndarray:
    """p values corrected for being several, in their order: running maximum of (m - rank) p, at most 1.

    p: `[m]`
    """
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(1, np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order]))
    return corrected
