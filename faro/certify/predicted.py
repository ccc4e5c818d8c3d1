"""The chance that members of a frontier would pass a gate, foretold from other people, and the choice of one.

A gate passes a member if of every comparison  difference + width * standard error <= bound  on people nobody has seen.
What these people will show is drawn twice from those at hand: `once` the rates of a population that may have given them
(a bootstrap over units, all members on the same draws), `twice` those of a gate drawn from that population in turn. A
plug-in draws the gate from the people at hand themselves, as if they were the population, and promises too much.

    chance_m   = share of the draws in which the gate passes member m                                     at hand, D
    chosen     = the member of highest utility with chance_m >= least; the likeliest where there is none
    too much   = mean over draws D_b of chance(D_b) - power(T), each of the member that is chosen at D_b
    stated     = chance of the one chosen at D - too much

Choosing among many prefers those that were lucky at hand. So the whole choice is repeated at every D_b, from chances
found anew there, and judged by the power that its member has where T is the truth (Efron, JASA 1983: optimism). T is D
but for one thing: members that differ by their seed alone were seen on different people, and differ by that as well. In
T they differ less, by as much as chance explains; else luck of a split would be taken for truth in every D_b. Then
`least` is raised until what is stated reaches what is wanted. How often it holds: `python -m benchmarks choose`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .bounds.binomial import Floats

WANTED = 0.9
RAISED = 0.01  # steps of the least chance
REPEATED = 100  # draws D_b at which the choice is made again
INNER = 300  # draws of a gate at each of them
SELDOM = 0.001  # of the draws: comparisons that are hardest so seldom are left out
NOBODY = -1  # in place of the cell whose rate is taken off
TRACE = 1e-9
USUAL = 1.75  # standard errors that a method adds, where it was not asked


class Gate(NamedTuple):
    """What a gate asks of every member: P comparisons of the rates of C cells.

    name       `[P]` numbers by which whoever measures widths knows the comparisons
    high, low  `[P]` cells; `NOBODY` where a rate alone is bounded
    bound      `[P]`
    width      `[P]` what the method adds to a difference, in standard errors of it
    size       `[M, C]` independent units that are worth as much as those the gate has in the cell
    """

    name: np.ndarray
    high: np.ndarray
    low: np.ndarray
    bound: Floats
    width: Floats
    size: Floats

    def reach(self, rates: Floats) -> Floats:
        """`[P, ..., M]` upper bound less the policy's, of rates `[..., M, C]`; at most 0 passes."""
        within = np.clip(rates, 0, 1)
        variance = within * (1 - within) / self.size
        found = []
        for high, low, bound, width in zip(self.high, self.low, self.bound, self.width, strict=True):
            apart, of_both = rates[..., high], variance[..., high]
            if low != NOBODY:
                apart, of_both = apart - rates[..., low], of_both + variance[..., low]
            found.append(apart + width * np.sqrt(of_both) - bound)
        return np.stack(found)

    def passes(self, rates: Floats) -> np.ndarray:
        """`[..., M]` of rates `[..., M, C]`; a cell without enough people is NaN, and passes nothing."""
        return np.all(self.reach(rates) <= 0, axis=0)

    def binding(self, rates: Floats) -> Gate:
        """The same without the comparisons that are hardly ever the hardest at rates `[B, M, C]`."""
        hardest = np.bincount(np.nan_to_num(self.reach(rates), nan=np.inf).argmax(0).ravel(), minlength=len(self.name))
        kept = hardest >= SELDOM * hardest.sum()
        name, high, low, bound, width = (own[kept] for own in (self.name, self.high, self.low, self.bound, self.width))
        return Gate(name, high, low, bound, width, self.size)


class Draws(NamedTuple):
    """Of B draws: rates `once` and `twice` `[B, M, C]` (see above; NaN twice: too few people in that cell of the gate),
    and utilities `[B, M]` of the draws `once`."""

    once: Floats
    twice: Floats
    utility: Floats


class Choice(NamedTuple):
    """The member that is chosen.

    stated   its chance of passing, less the price of the choice
    chance   before that price
    reached  whether what is stated is as much as was wanted
    chances  `[M]` of all members, before that price
    gate     with the widths of the member that is chosen
    """

    member: int
    stated: float
    chance: float
    reached: bool
    chances: Floats
    gate: Gate


def choose(
    gate: Gate,
    draws: Draws,
    utility: Floats,
    measure: Callable[[Gate, int], Floats] | None = None,
    alike: np.ndarray | None = None,
    ratio: float = 1.0,
    wanted: float = WANTED,
) -> Choice:
    """The member of highest utility whose stated chance is at least `wanted`; the likeliest if none reaches it.

    gate     what is asked
    draws    of the people at hand
    utility  `[M]` of the members on them
    measure  widths `[P]` of a gate as the method itself has them at a member; asked until the member that is chosen
             was measured
    alike    `[M]` numbers, equal where members differ by their seed alone; None: no two do
    ratio    people of the gate by people at hand
    wanted   in (0, 1)
    """
    gate = gate.binding(draws.twice)
    truth = shrunk(gate, draws.once, np.arange(len(utility)) if alike is None else alike)
    found, measured = _choose(gate, draws, truth, utility, ratio, wanted), set[int]()
    while measure is not None and found.member not in measured:
        measured.add(found.member)
        gate = gate._replace(width=measure(gate, found.member))
        found = _choose(gate, draws, truth, utility, ratio, wanted)
    return found


def shrunk(gate: Gate, once: Floats, alike: np.ndarray) -> Floats:
    """`[M, C]` rates of a truth in which members that are alike differ as much as they do but for chance: by the root
    of 1 - (variance of their differences in draws) / (their own)."""
    same = (alike[:, None] == alike).astype(float)
    same /= same.sum(1, keepdims=True)
    middle = once.mean(0)
    apart, by_chance = middle - same @ middle, once - middle - same @ (once - middle)

    def spread(rates: Floats) -> float:
        low = np.where((gate.low == NOBODY)[:, None, None], 0, np.moveaxis(rates[..., gate.low], -1, 0))
        return float(((np.moveaxis(rates[..., gate.high], -1, 0) - low) ** 2).sum() / (rates.size / middle.size))

    observed = spread(apart[None])
    kept = np.sqrt(max(0.0, 1 - spread(by_chance) / observed)) if observed > 0 else 1.0
    return same @ middle + kept * apart


def _choose(gate: Gate, draws: Draws, truth: Floats, utility: Floats, ratio: float, wanted: float) -> Choice:
    own, power = chances(gate, draws.twice), powers(gate, draws, ratio, truth)
    again = _again(gate, draws, truth)
    for least in (*np.arange(wanted, 1, RAISED), 2.0):
        member = int(best(own, utility, least))
        there = best(again, draws.utility[: len(again)], least)
        too_much = float((np.take_along_axis(again, there[:, None], 1)[:, 0] - power[there]).mean())
        stated = min(1.0, max(0.0, float(own[member]) - too_much))
        if reached := bool(own[member] >= least and stated >= wanted):
            break
    return Choice(member, stated, float(own[member]), reached, own, gate)


def chances(gate: Gate, rates: Floats) -> Floats:
    """`[M]` share of draws `[B, M, C]` that pass; where equally many do, who comes nearer is a trace likelier."""
    reach = gate.reach(rates)
    short = np.nan_to_num(reach.max(0), nan=1.0).mean(0)
    return (reach <= 0).all(0).mean(0) - TRACE * short


def powers(gate: Gate, draws: Draws, ratio: float = 1.0, truth: Floats | None = None) -> Floats:
    """`[M]` chance of passing were `truth` `[M, C]` the population; None: the people at hand, the plug-in."""
    middle = draws.once.mean(0)
    gates = (middle if truth is None else truth) + (draws.once - middle) / np.sqrt(ratio)
    return gate.passes(np.where(np.isnan(draws.twice), np.nan, gates)).mean(0)


def best(chance: Floats, utility: Floats, least: float) -> np.ndarray:
    """`[...]` the member of highest utility with at least this chance, of `[..., M]`; the likeliest where none has."""
    enough = chance >= least
    return np.where(enough.any(-1), np.argmax(np.where(enough, utility, -np.inf), -1), np.argmax(chance, -1))


def _again(gate: Gate, draws: Draws, truth: Floats) -> Floats:
    """`[b, M]` chances found anew, had the people at hand been those of each draw from the truth."""
    middle = draws.once.mean(0)
    inner = draws.twice[:INNER] - middle
    return np.stack([chances(gate, truth + own - middle + inner) for own in draws.once[:REPEATED]])
