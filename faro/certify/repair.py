"""What a failed gate would cost to repair, and which pair of groups makes it cost: for dev-audit data only.

    means   minimise  1/2 sum_g w_g d_g^2           subject to  |(m_g + d_g) - (m_h + d_h)| <= bound for all pairs
    rates   minimise  sum_g w_g KL(q_g || p_g)      subject to  |q_g - q_h| <= bound for all pairs

A solver proposes multipliers nu, one per pair; whatever they are, the dual formulas are lower bounds on the cost, and
the repair that belongs to them is the closed form. The sum of |nu| is the shadow price: what one unit of bound would
save (unique only for bound > 0). A repair needs to know the group when it decides: a legal and a policy question.
Never compute this on gate rows: its numbers use them up. Certify a repaired model on rows that nobody has used.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import cvxpy as cp
import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ..errors import NoProofError, UsageError
from .binomial import Floats
from .claims import Finding
from .policy import Claim
from .primal import CLOSE, solve


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


def _differences(groups: int) -> tuple[list[tuple[int, int]], Floats]:
    pairs = list(itertools.combinations(range(groups), 2))
    matrix = np.zeros((len(pairs), groups))
    for row, (g, h) in enumerate(pairs):
        matrix[row, g], matrix[row, h] = 1, -1
    return pairs, matrix


def repair_means(means: ArrayLike, weights: ArrayLike, bound: float) -> Repair:
    """The least shifts d_g of group means, weighted squares, that bring all differences within `bound`."""
    m, w = _checked(means, weights, bound)
    d = cp.Variable(len(m))
    return _repair(m, w, bound, m + d, cp.sum(cp.multiply(w, d**2)) / 2, _mean_dual, _mean_cost)


def repair_rates(rates: ArrayLike, weights: ArrayLike, bound: float) -> Repair:
    """The rates nearest in weighted KL divergence whose differences are within `bound`; rates are inside (0, 1)."""
    p, w = _checked(rates, weights, bound)
    if (p <= 0).any() or (p >= 1).any():
        raise UsageError("expected rates strictly between 0 and 1: no finite cost moves a rate of 0 or 1")
    q = cp.Variable(len(p))
    cost = cp.sum(cp.multiply(w, cp.rel_entr(q, p) + cp.rel_entr(1 - q, 1 - p)))
    return _repair(p, w, bound, q, cost, _rate_dual, _rate_cost)


def _checked(values: ArrayLike, weights: ArrayLike, bound: float) -> tuple[Floats, Floats]:
    values, weights = np.asarray(values, float), np.asarray(weights, float)
    if values.shape != weights.shape or len(values) < 2 or not (weights > 0).all() or not bound >= 0:
        raise UsageError("expected two or more groups, a positive weight each, and a bound >= 0")
    return values, weights


def _mean_cost(repaired, m, w):
    return float(w @ (repaired - m) ** 2) / 2


def _mean_dual(pull, m, w):
    """min over d of 1/2 sum w d^2 + pull . (m + d), and where it is attained."""
    return m - pull / w, float(pull @ m - pull**2 @ (1 / w) / 2)


def _rate_cost(repaired, p, w):
    return float(w @ (special.rel_entr(repaired, p) + special.rel_entr(1 - repaired, 1 - p)))


def _rate_dual(pull, p, w):
    """min over q of sum w KL(q || p) + pull . q: the tilt q ~ p exp(-pull / w)."""
    s = pull / w
    return special.expit(special.logit(p) - s), float(-w @ np.log1p(p * np.expm1(-s)))


def _repair(values, weights, bound, repaired, cost, dual, price_of) -> Repair:
    pairs, matrix = _differences(len(values))
    above, below = matrix @ repaired <= bound, matrix @ repaired >= -bound
    problem = cp.Problem(cp.Minimize(cost), [above, below])
    found: list[Repair] = []

    def accept() -> bool:
        nu = np.maximum(above.dual_value, 0) - np.maximum(below.dual_value, 0)
        tilted, value = dual(matrix.T @ nu, values, weights)
        spread = np.abs(matrix @ tilted).max()
        if spread > bound:  # towards the mean until feasible: convex costs only fall short by rounding
            centre = (tilted.max() + tilted.min()) / 2
            tilted = centre + (tilted - centre) * bound / spread
        prices = {(g, h) if n > 0 else (h, g): abs(float(n)) for (g, h), n in zip(pairs, nu, strict=True)}
        prices = {pair: price for pair, price in prices.items() if price > CLOSE}
        lower = value - bound * float(np.abs(nu).sum())
        found.append(Repair(tilted, price_of(tilted, values, weights), lower, prices))
        return found[-1].cost - found[-1].lower <= CLOSE

    if solve(problem, (cp.CLARABEL, cp.SCS), accept) is None:
        raise NoProofError("no solver found multipliers that prove the cost of a repair: nothing can be said of it")
    return found[-1]


def advice(claim: Claim, finding: Finding) -> list[str]:
    """In words, for rates of groups: which pair costs most, and what the cheapest repair would change."""
    if not claim.paired or claim.ball or claim.constraint in ("reward_parity", "threshold_parity"):
        return []
    lines = []
    for block in claim.blocks:
        rates = {g: finding.rates.get((block.name, g), np.nan) for g in claim.groups}
        values = np.array(list(rates.values()))
        if not ((values > 0) & (values < 1)).all() or values.max() - values.min() <= float(claim.bound):
            continue
        weights = np.array([finding.units[block.name, g] for g in claim.groups], float)
        found = repair_rates(values, weights / weights.sum(), float(claim.bound))
        (high, low), price = max(found.prices.items(), key=lambda item: item[1])
        moved = ", ".join(
            f"{g} {old:.3f} -> {new:.3f}" for g, old, new in zip(rates, values, found.repaired, strict=True)
        )
        lines.append(
            f"{claim.name}: repair{' in ' + block.name if block.name else ''}: {moved}; cost {found.cost:.2g} (KL), "
            f"binding {claim.groups[high]} - {claim.groups[low]}, a bound larger by 0.01 saves {0.01 * price:.2g}"
        )
    return lines
