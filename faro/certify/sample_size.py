"""How many units would show a bound: every number of this kind, wherever it stands, is of `times_as_many`.

What a method adds to the gap that was counted falls with the square root of the number of units, so that an even chance
to show a bound takes

    ((upper bound - counted) / (bound - counted))^2

times as many, if the gap stays where it is. Where a gap has no upper bound below 1, there is one number besides: the
least n per group at which groups of one observed rate, whose gap is 0, are certified. `faro choose` asks for more than
an even chance, and counts draws. Tiny groups are never merged or dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial

from ..errors import beside
from ..units import called
from .bounds import two_binomials
from .bounds.two_binomials import Counts
from .claims import Finding
from .combine import Verdict
from .policy import PAIR, Claim

MAX_UNITS = 10**8
ROUNDING_ERROR = 1e-9  # two numbers of a table this close are one number, rounded


def units_needed(rate: float, bound: Decimal, level: float, method: str = "exact2") -> int | None:
    """Least n found, per group, with which "exact2" or "clopper-pearson" certifies `bound` between two groups that
    both show `rate`, at error probability `level`; None if more than 10**8."""
    certifies: Callable[[Counts], bool]
    if method == "exact2":
        certifies = lambda c: two_binomials.rejects(c, c, bound, level)  # noqa: E731
    else:
        certifies = lambda c: two_binomials.clopper_pearson_difference(c, c, level) <= bound  # noqa: E731

    def enough(n: int) -> bool:
        return certifies(Counts(round(rate * n), n))

    if bound <= 0:
        return None
    high = 2
    while not enough(high):
        high *= 2
        if high > MAX_UNITS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def advice(claim: Claim, finding: Finding, level: float, units: int | None) -> str | None:
    """How many units would do where the verdict is INCONCLUSIVE and so many were audited; None where nothing can be
    said."""
    return beside(partial(_words, claim, finding, level, units), "no advice: {}".format)


def _words(claim: Claim, finding: Finding, level: float, units: int | None) -> str | None:
    if finding.verdict is not Verdict.INCONCLUSIVE or claim.ball or finding.counted is None:
        return None
    if (beyond := finding.counted - float(claim.bound)) > -ROUNDING_ERROR:
        where = "above" if beyond > ROUNDING_ERROR else "the bound itself,"
        would = f"more {_called(claim)} would show if that is chance"
        return f"{finding.counted:.3f} was counted, {where} {claim.bound}; {would}"
    if (times := times_as_many(finding.ucb, finding.counted, claim.bound)) is not None:
        total = "" if units is None or claim.units else f" ({times * units:,.0f})"
        return (
            f"{more(times, _called(claim))}{total} would have an even chance to show {claim.bound}, were the gap "
            f"{finding.counted:.3f}"
        )
    rates = [rate for rate in finding.rates.values() if rate == rate]
    if claim.method in ("exact2", "clopper-pearson") and claim.paired and rates:
        rate = min(max(max(rates, key=lambda p: p * (1 - p)), 0.001), 0.999)
        n = units_needed(rate, claim.bound, level, claim.method)
        return (
            None
            if n is None
            else f"even with equal rates of {rate:.2f}, {n:,} units per group are needed to show {claim.bound}"
        )
    return None


def _called(claim: Claim) -> str:
    """What a claim counts."""
    return "pairs of people" if claim.units == PAIR else called(claim.per) if claim.per else "units"


def more(times: float, units: str) -> str:
    """So many times as many, in words."""
    return f"hardly more {units}" if times < 1.05 else f"about {times:.2g} times as many {units}"


def times_as_many(ucb: Decimal | float | None, counted: float, bound: Decimal) -> float | None:
    """((ucb - counted) / (bound - counted))^2, see above; None where that says nothing."""
    if ucb is None or ucb >= 1 or counted > float(bound) - ROUNDING_ERROR:
        return None
    return ((float(ucb) - counted) / (float(bound) - counted)) ** 2
