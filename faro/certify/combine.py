"""From bounds of single comparisons to one verdict: intersection-union upwards, a union downwards.

A gate asks whether ALL comparisons (ordered pairs of groups in blocks, or caps on cells) are within a bound. The truly
worst comparison alone decides that, so each upper bound gets the whole level and needs no correction (Berger 1982):
P(worst > U) <= P(worst one > its own upper bound) <= delta. "Some comparison is beyond" is a union of M events: lower
bounds get delta / M. A wrong CERTIFIED and a wrong REFUTED cannot both be possible at one truth.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TypeVar

Comparison = TypeVar("Comparison")


class Verdict(enum.StrEnum):
    """What was shown of "the gap is within the bound"; only CERTIFIED passes a gate."""

    CERTIFIED = "CERTIFIED"
    REFUTED = "REFUTED"
    INCONCLUSIVE = "INCONCLUSIVE"

    @property
    def exit_code(self) -> int:
        """Of a command: 0 CERTIFIED, 1 REFUTED, 3 INCONCLUSIVE."""
        return {"CERTIFIED": 0, "REFUTED": 1, "INCONCLUSIVE": 3}[self.value]


def verdict(upper: Decimal, lower: Decimal | None, bound: Decimal, enough: bool = True) -> Verdict:
    """CERTIFIED if upper <= bound, REFUTED if lower > bound, else, or with too few units in a cell, INCONCLUSIVE.

    A bound is below 1, so a vacuous upper bound never certifies.
    """
    if enough and upper <= bound:
        return Verdict.CERTIFIED
    return Verdict.REFUTED if enough and lower is not None and lower > bound else Verdict.INCONCLUSIVE


def vacuous(upper: Decimal) -> bool:
    """Whether an upper bound on a rate, or on a difference of rates, says nothing."""
    return upper >= 1


def all_of(verdicts: Sequence[Verdict]) -> Verdict:
    """CERTIFIED if all claims are, REFUTED if one is, else INCONCLUSIVE."""
    if verdicts and all(claimed is Verdict.CERTIFIED for claimed in verdicts):
        return Verdict.CERTIFIED
    return Verdict.REFUTED if Verdict.REFUTED in verdicts else Verdict.INCONCLUSIVE


def largest_upper(
    comparisons: Sequence[Comparison],
    upper: Callable[[Comparison, Decimal | None], Decimal],
    rejects: Callable[[Comparison, Decimal], bool],
    bound: Decimal,
    least: Decimal = Decimal(0),
) -> Decimal:
    """One number, at least `least`, that every comparison is shown not to reach, at the whole level each; at most 1.

    Searched for one comparison and tested for the others, which is far cheaper. List those that look worst first.
    """
    value, step = max(upper(comparisons[0], bound), least), Decimal("1e-6")
    while value < 1:
        beyond = next((comparison for comparison in comparisons if not rejects(comparison, value)), None)
        if beyond is None:
            return value
        value, step = max(upper(beyond, bound), value + step), 2 * step  # a step: where rejection is not monotone
    return Decimal(1)
