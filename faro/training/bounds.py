"""Which bounds may be asked for, which trial answers each of them, and what is said of its model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from constraints import Constraint

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


def unbounded(constraints: Iterable[Constraint]) -> bool:
    """Whether none of them has a bound: then there is no game to be played.

    constraints: of trials, with bounds that are numbers
    """
    return all(math.isinf(part.bound) for constraint in constraints for part in constraint.parts())


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


def answering(
    held: dict[str, Any],
    loss: np.ndarray,
    bounds: np.ndarray,
    finite: np.ndarray,
    settings: Settings,
    tighter: np.ndarray | None = None,
) -> np.ndarray:
    """Which trial of a seed answers each of its bounds, `[T]`: of those within the bound, by the figures that statuses
    are told from, the one with the lowest selection loss, whatever bound it was trained at.

        answer[b] = argmin over t of loss[t],   gap[t] <= bounds[b],   few ties in t

    A bound that no trial satisfies is left to its own, and so are two that are no choice: no bound at all, for that
    trial is the optimum which the others begin from, and a training that ended in numbers that are not finite. Among
    equals a trial answers its own bound.

    held: of every trial, `gap` `[T, P]`, `ties` and `nll` `[T]` in float64, on the part that bounds are held on
    loss: `[T]` of every trial on selection
    bounds: `[T, P]` that were asked for
    finite: `[T]` whether its training ended in finite numbers
    tighter: `[T, P]` bounds that training held, where that is tighter: trials within these come first
    """
    few_ties = decides(held["ties"], settings) & np.isfinite(held["nll"]) & np.isfinite(loss)
    answers = np.arange(len(loss))
    for own in np.flatnonzero(finite & np.isfinite(bounds).any(1)):
        for limits in (bounds,) if tighter is None else (tighter, bounds):
            if fit := [t for t in range(len(loss)) if few_ties[t] and within(held["gap"][t], limits[own])]:
                answers[own] = min(fit, key=lambda t: (loss[t], t != own, t))
                break
    return answers
