"""Sparse mixtures of iterates: exact check of feasibility and optimality, and the statistics of a mixed policy.

    minimise f . q  subject to  C'q <= tolerance, sum q = 1, q >= 0
    for any lam >= 0:  every feasible mixture costs at least  min_i (f_i + lam . C_i) - tolerance |lam|_1

f_i is the loss of iterate i and C_i its measures minus bounds. Everything is rational, so what is stated is proved.
Who found q and lam does not matter. Source: Cotter et al., JMLR 2019, Lemma 3 (at most m + 1 iterates).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from ..errors import UsageError


class Mixture(NamedTuple):
    """Loss of a mixture, its largest violation, and how far from the least loss of any mixture it can be."""

    loss: Fraction
    violation: Fraction
    lower: Fraction

    @property
    def gap(self) -> Fraction:
        """Loss minus lower bound: at least 0 for a mixture without violation."""
        return self.loss - self.lower


def normalised(weights: Mapping[int, float], least: float = 1e-9) -> dict[int, Fraction]:
    """Weights of a solver as rationals of sum 1; those below `least` are dropped."""
    kept = {i: Fraction(float(value)).limit_denominator(10**12) for i, value in weights.items() if value > least}
    total = sum(kept.values())
    if not kept or total <= 0:
        raise UsageError("expected at least one positive weight of a mixture")
    return {i: value / total for i, value in kept.items()}


def check(
    weights: Mapping[int, Fraction],
    losses: Sequence[Fraction | float],
    violations: Sequence[Sequence[Fraction | float]],
    multipliers: Sequence[Fraction | float],
) -> Mixture:
    """What the weights and the multipliers prove: `violations` `[iterates][m]` are measures minus bounds."""
    table = [[Fraction(value) for value in row] for row in violations]
    costs = [Fraction(value) for value in losses]
    rationals = [Fraction(value) for value in multipliers]
    if any(len(row) != len(rationals) for row in table) or len(table) != len(costs):
        raise UsageError("expected a loss and a row of violations per iterate, and a multiplier per column")
    if min(weights.values()) < 0 or sum(weights.values()) != 1 or any(multiplier < 0 for multiplier in rationals):
        raise UsageError("expected weights >= 0 of sum 1 and multipliers >= 0")
    mixed = [sum(q * table[i][j] for i, q in weights.items()) for j in range(len(rationals))]
    lower = min(
        cost + sum(a * c for a, c in zip(rationals, row, strict=True)) for cost, row in zip(costs, table, strict=True)
    )
    return Mixture(sum((q * costs[i] for i, q in weights.items()), Fraction(0)), Fraction(max(mixed, default=0)), lower)


def least_violation(
    violations: Sequence[Sequence[Fraction | float]], multipliers: Sequence[Fraction | float]
) -> Fraction:
    """Every mixture violates some constraint by at least min_i multipliers . C_i, for multipliers >= 0 of sum 1
    (Farkas)."""
    shares = [Fraction(multiplier) for multiplier in multipliers]
    if any(share < 0 for share in shares) or sum(shares) != 1:
        raise UsageError("expected prices >= 0 of sum 1")
    return min(sum((a * Fraction(c) for a, c in zip(shares, row, strict=True)), Fraction(0)) for row in violations)
