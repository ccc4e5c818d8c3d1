"""What a failed gate would cost to repair, and which pair of groups makes it cost: for dev-audit data only.

    means   minimise  1/2 sum_g w_g (q_g - m_g)^2   subject to  |q_g - q_h| <= bound for all pairs
    rates   minimise  sum_g w_g KL(q_g || p_g)      subject to  |q_g - q_h| <= bound for all pairs

The cheapest repair clips all values to an interval [low, low + bound], so the problem is convex in `low` alone. What
pulls the low groups up, and the high ones down, are the slopes of their costs there; where the two sums are equal they
are multipliers nu of pairs (high, low), and for any nu >= 0 every repair costs at least

    min over q of  cost(q) + sum nu (q_high - q_low - bound),     attained where slope_g(q_g) = -pull_g, pull = A' nu

The sum of nu is the shadow price: what one unit of bound would save (unique only for bound > 0). A repair needs to know
the group when it decides: a legal and a policy question. Never compute this on gate rows: its numbers use them up.
Certify a repaired model on rows that nobody has used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from ..errors import NoProofError, UsageError, beside
from .bounds.binomial import Floats
from .claims import Finding
from .policy import Claim

COST_TOLERANCE = 1e-9  # of the cost: what a proof may leave open
RATE_RESOLUTION = 1e-9  # of a rate: what floats resolve beside 1
Flags = NDArray[np.bool_]
NO_GROUPS = np.zeros(1, bool)


class Repair(NamedTuple):
    """Repaired means or rates `[G]`, their cost, a lower bound on the cost of any repair, and prices of pairs."""

    repaired: Floats
    cost: float
    lower: float
    prices: dict[tuple[int, int], float]  # (higher, lower) group -> what a unit of bound on this pair saves

    @property
    def price(self) -> float:
        """-d cost / d bound."""
        return sum(self.prices.values())


class _Cost(NamedTuple):
    """What it costs, per unit of weight, to move values `[G]` by `[G]`; its slope; the move that has a slope."""

    of: Callable[[Floats, Floats], Floats]  # (values, moves)
    slope: Callable[[Floats, Floats], Floats]  # (values, moves)
    move: Callable[[Floats, Floats], Floats]  # (values, slopes)


def repair_means(means: ArrayLike, weights: ArrayLike, bound: float) -> Repair:
    """The least shifts of group means `[G]`, in weighted squares, that bring all differences within `bound`."""
    m, w = _checked(means, weights, bound)
    return _repair(m, w, bound, SQUARES)


def repair_rates(rates: ArrayLike, weights: ArrayLike, bound: float) -> Repair:
    """The rates `[G]` nearest in weighted KL divergence whose differences are within `bound`.

    No finite cost moves a rate of 0 or 1: the others come to it, and `UsageError` if there are both, or if the bound
    is 0: then others must become 0 or 1, and no finite price of the bound stops that.
    """
    p, w = _checked(rates, weights, bound)
    at_0, at_1 = p == 0, p == 1
    if not (at_0 | at_1 | ((p >= RATE_RESOLUTION) & (1 - p >= RATE_RESOLUTION))).all():
        raise UsageError(f"expected rates of 0, of 1, or at least {RATE_RESOLUTION} from both")
    if np.ptp(p) > bound and ((at_0.any() and at_1.any()) or (bound == 0 and (at_0 | at_1).any())):
        raise UsageError("no finite cost moves a rate of 0 or 1, and no other could come within the bound of it")
    return _repair(p, w, bound, DIVERGENCE, at_0, at_1)


def _checked(values: ArrayLike, weights: ArrayLike, bound: float) -> tuple[Floats, Floats]:
    values, weights = np.asarray(values, float), np.asarray(weights, float)
    finite = np.isfinite(values).all() and np.isfinite(weights).all()
    if values.shape != weights.shape or len(values) < 2 or not finite or not (weights > 0).all() or not bound >= 0:
        raise UsageError("expected two or more groups, a finite value and a positive weight each, and a bound >= 0")
    return values, weights


def _repair(
    values: Floats, weights: Floats, bound: float, cost: _Cost, at_0: Flags = NO_GROUPS, at_1: Flags = NO_GROUPS
) -> Repair:
    """Groups `at_0` and `at_1` stay where they are: they take any pull."""
    if np.ptp(values) <= bound:
        return Repair(values, 0.0, 0.0, {})
    free = np.full(len(values), True) & ~(at_0 | at_1)
    free_values, free_weights = values[free], weights[free]

    def clipped(low: float) -> Floats:
        return np.clip(free_values, low, low + bound)

    if not free.all():
        low = 0.0 if at_0.any() else 1 - bound
    else:
        low = _crossing(
            lambda low: float(free_weights @ cost.slope(free_values, clipped(low) - free_values)),
            values.min(),
            values.max() - bound,
        )
    repaired, slopes, move = values.copy(), np.zeros(len(values)), np.zeros(len(values))
    repaired[free] = clipped(low)
    slopes[free] = free_weights * cost.slope(free_values, repaired[free] - free_values)
    prices = _matched(
        np.where(at_0, np.inf, np.maximum(slopes, 0)), np.where(at_1, np.inf, np.maximum(-slopes, 0)), values
    )
    pull = np.zeros(len(values))
    for (high, low_), price in prices.items():
        pull[high] += price
        pull[low_] -= price
    move[free] = cost.move(free_values, -pull[free] / free_weights)
    relaxed = values + move
    cost_found = float(free_weights @ cost.of(free_values, repaired[free] - free_values))
    lower = float(free_weights @ cost.of(free_values, move[free]))
    lower += sum(price * (relaxed[g] - relaxed[h] - bound) for (g, h), price in prices.items())
    if not cost_found - lower <= COST_TOLERANCE * max(cost_found, 1e-9):
        raise NoProofError("rounding leaves the cost of this repair unproved: nothing can be said of it")
    return Repair(repaired, cost_found, min(cost_found, lower), prices)


def _crossing(rising: Callable[[float], float], below: float, above: float) -> float:
    """Where a rising function crosses 0 between two ends."""
    if rising(above) <= 0:  # but for rounding it is not
        return above
    return optimize.brentq(rising, below, above, xtol=1e-18, rtol=1e-15)


def _matched(up: Floats, down: Floats, values: Floats) -> dict[tuple[int, int], float]:
    """Prices of (high, low) pairs that add up to the pulls `[G]` of both sides, extremes first. What rounding leaves on
    one side is dropped, so that the two sides are equal."""
    order = np.argsort(values, kind="stable").tolist()
    lows, highs = [g for g in order if up[g] > 0], [g for g in order[::-1] if down[g] > 0]
    left, prices = {"up": up.tolist(), "down": down.tolist()}, {}
    while lows and highs:
        h, g = lows[0], highs[0]
        prices[g, h] = price = min(left["up"][h], left["down"][g])
        left["up"][h] -= price
        left["down"][g] -= price
        lows, highs = lows[left["up"][h] <= 0 :], highs[left["down"][g] <= 0 :]
    return prices


def _divergence(p: Floats, d: Floats) -> Floats:
    """KL(p + d || p) = p e(d / p) + (1 - p) e(-d / (1 - p)), e(x) = (1 + x) log(1 + x) - x without cancellation."""

    def e(x: Floats) -> Floats:
        x = np.maximum(x, -1)
        near = np.where(np.abs(x) < 0.01, x, 0)
        series = sum((-near) ** k / (k * (k - 1)) for k in range(2, 10))
        return np.where(near == x, series, special.xlog1py(1 + x, x) - x)

    return p * e(d / p) + (1 - p) * e(-d / (1 - p))


def _tilt(p: Floats, slopes: Floats) -> Floats:
    """d with log odds of p + d larger by `slopes`."""
    grown = p * np.expm1(slopes)
    return (1 - p) * grown / (1 + grown)


SQUARES = _Cost(of=lambda _, d: d**2 / 2, slope=lambda _, d: d, move=lambda _, s: s)
DIVERGENCE = _Cost(of=_divergence, slope=lambda p, d: np.log1p(d / p) - np.log1p(-d / (1 - p)), move=_tilt)


def advice(claim: Claim, finding: Finding) -> list[str]:
    """In words, for rates of groups: which pair costs most, and what the cheapest repair would change."""
    if (
        not claim.paired
        or claim.ball
        or claim.scores
        or claim.by_unit
        or claim.constraint in ("reward_parity", "threshold_parity")
    ):
        return []
    lines = []
    for block in claim.blocks:
        where = f"{claim.name}: repair{' in ' + block.name if block.name else ''}"
        line = beside(partial(_words, claim, finding, block.name), "no advice: {}".format)
        lines += [f"{where}: {line}"] if line else []
    return lines


def _words(claim: Claim, finding: Finding, block: str) -> str | None:
    """One block; None where it is within the bound."""
    rates = np.array([finding.rates[block, group] for group in claim.groups])
    if np.isnan(rates).any():
        return "no advice: a group without people"
    units = np.array([finding.units[block, group] for group in claim.groups], float)
    repair = repair_rates(rates, units / units.sum(), float(claim.bound))
    if not repair.prices:
        return None
    (high, low), price = max(repair.prices.items(), key=lambda item: item[1])
    moved = ", ".join(f"{g} {p:.3f} -> {q:.3f}" for g, p, q in zip(claim.groups, rates, repair.repaired, strict=True))
    return (
        f"{moved}; cost {repair.cost:.2g} (KL), binding {claim.groups[high]} - {claim.groups[low]}, a bound larger by "
        f"0.01 saves {0.01 * price:.2g}"
    )
