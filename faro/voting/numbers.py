"""Numbers that a caller gives: finite or not, as arrays of doubles; a line that says what was expected."""

from __future__ import annotations

import numbers as kinds
from typing import Any

import numpy as np

from ..errors import UsageError

LARGEST = np.finfo(float).max


def array(what: str, values: Any) -> np.ndarray:
    """The values as doubles; `UsageError` for what are none.

    what: what they are, for the message
    values: an array, or what becomes one
    """
    try:
        return np.asarray(values, float)
    except (TypeError, ValueError):
        raise UsageError(f"{what}: expected an array of numbers, got {str(values)[:60]!r}") from None


def number(what: str, value: Any, least: float, most: float = np.inf, ends: bool = True) -> float:
    """The number; `UsageError` unless it is one between these.

    what: what it is, for the message
    value: a number
    least, most: its range
    ends: whether both belong to it
    """
    good = isinstance(value, kinds.Real) and not isinstance(value, bool)
    if not good or not (least <= value <= most if ends else least < value < most):
        wanted = f"a number of {least:g} or more" if ends else f"a number above {least:g}"
        if most < LARGEST:
            wanted = f"a number in [{least:g}, {most:g}]" if ends else f"a number in ({least:g}, {most:g})"
        raise UsageError(f"{what}: expected {wanted}, got {value!r}")
    return float(value)


def count(what: str, value: Any, least: int = 1, most: float = np.inf) -> int:
    """The whole number; `UsageError` unless it is one between these.

    what: what it is, for the message
    value: a number
    least, most: its range
    """
    whole = isinstance(value, kinds.Integral) and not isinstance(value, bool)
    if not whole or not least <= value <= most:
        top = "or more" if most == np.inf else f"to {most:g}"
        raise UsageError(f"{what}: expected a whole number, {least} {top}, got {value!r}")
    return int(value)
