"""Which bounds may be asked for, and what is said of a model against them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import UsageError
from .settings import Settings

ROUNDING = 1e-4  # a candidate is within the bound by this share of it, so that float64 agrees with float32


def check_bounds(bounds: Sequence[float]) -> list[float]:
    """The bounds as floats; `UsageError` for none, a negative one or NaN."""
    values = [float(bound) for bound in bounds]
    if not values:
        raise UsageError("expected at least one bound, got none")
    for value in values:
        if not value >= 0:
            raise UsageError(f"a bound must be a number >= 0 (a largest allowed gap of rates), got {value}")
    return values


def decides(ties: Any, settings: Settings) -> Any:
    """Whether few enough choices are decided by a tie: a constant reward has gap 0 and is useless."""
    return ties <= settings.max_ties


def within(gap: Any, bounds: Any, *, candidate: bool = False) -> Any:
    """Whether every gap `[P]` is within its bound `[P]`: the one rule of feasibility, traced or not.

    candidate: of an iterate in training precision, by a share `ROUNDING` more, so that float64 agrees afterwards
    """
    limits = bounds * (1 - ROUNDING) if candidate else bounds
    return (gap <= limits).all()


def status_of(train: dict[str, Any], bounds: list[float], finite: bool, settings: Settings) -> str:
    """FEASIBLE, INFEASIBLE or DIVERGED, from the saved parameters in float64 against the bound that was asked."""
    if not (finite and np.isfinite(train["nll"])):
        return "DIVERGED"
    feasible = within(np.asarray(train["gap"]), np.asarray(bounds)) and decides(train["ties"], settings)
    return "FEASIBLE" if feasible else "INFEASIBLE"
