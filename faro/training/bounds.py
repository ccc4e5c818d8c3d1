"""Which bounds may be asked for, and what is said of a model against them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import UsageError
from .settings import Settings


def check_bounds(bounds: Sequence[float]) -> list[float]:
    """The bounds as floats; `UsageError` for none, a negative one or NaN."""
    values = [float(bound) for bound in bounds]
    if not values:
        raise UsageError("expected at least one bound, got none")
    for value in values:
        if not value >= 0:
            raise UsageError(f"a bound must be a number >= 0 (a largest allowed gap of rates), got {value}")
    return values


def status_of(train: dict[str, Any], bounds: list[float], finite: bool, settings: Settings) -> str:
    """FEASIBLE, INFEASIBLE or DIVERGED, from the saved parameters in float64 against the bound that was asked."""
    if not (finite and np.isfinite(train["nll"])):
        return "DIVERGED"
    within = all(gap <= bound for gap, bound in zip(train["gap"], bounds, strict=True))
    return "FEASIBLE" if within and train["ties"] <= settings.max_ties else "INFEASIBLE"
