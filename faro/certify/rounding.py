"""Numbers that may be claimed: decimals rounded outward, so that whoever checks them with exact arithmetic agrees.

A float that a library computed is no proof. Every claimed bound is padded by `PADDING` and rounded away from the
truth to `DECIMALS` decimals; what is tested against a level must clear it by the relative margin `LEVEL_MARGIN`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from fractions import Fraction

PADDING = Decimal("1e-9")
DECIMALS = 12
LEVEL_MARGIN = 1e-6
BISECTION_DECIMALS = 6  # of bounds found by bisection: what was tested is what is claimed


def up(value: float | Decimal) -> Decimal:
    """The least decimal of `DECIMALS` digits that is at least `value` + 1e-9."""
    return (Decimal(value) + PADDING).quantize(Decimal(1).scaleb(-DECIMALS), ROUND_CEILING)


def down(value: float | Decimal) -> Decimal:
    """The largest decimal of `DECIMALS` digits that is at most `value` - 1e-9."""
    return (Decimal(value) - PADDING).quantize(Decimal(1).scaleb(-DECIMALS), ROUND_FLOOR)


def short(value: float) -> Decimal:
    """`value` to `DECIMALS` decimals: for dual points, near which every number proves nearly as much."""
    return Decimal(value).quantize(Decimal(1).scaleb(-DECIMALS))


def quotient(value: Fraction) -> Decimal:
    """A rational rounded down to 20 decimals, more than are claimed."""
    return Decimal(value.numerator * 10**20 // value.denominator).scaleb(-20)


def text(value: Decimal) -> str:
    """Plain notation without an exponent or trailing zeros; -0 is 0."""
    plain = format(value.normalize(), "f")
    return "0" if Decimal(plain) == 0 else plain


def least_rejected(
    rejects: Callable[[Decimal], bool], low: float, high: float, first: Decimal | None = None
) -> Decimal:
    """The smallest multiple of 10**-BISECTION_DECIMALS in (low, high] found to be rejected, by bisection.

    The caller answers for `high`, which is not tested. `first` is a value that decides a verdict: it is tried before
    all others, so that no rounding of the search can cost a certificate.
    """
    scale = 10**BISECTION_DECIMALS
    below, above = math.floor(low * scale), math.ceil(high * scale)
    rejected = Decimal(above).scaleb(-BISECTION_DECIMALS)
    if first is not None and low < float(first) and first < rejected:
        if rejects(first):
            rejected, above = first, math.ceil(first * scale)
        else:
            below = math.floor(first * scale)
    while above - below > 1:
        middle = (above + below) // 2
        value = Decimal(middle).scaleb(-BISECTION_DECIMALS)
        if rejects(value):
            rejected, above = value, middle
        else:
            below = middle
    return rejected
