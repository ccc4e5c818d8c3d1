"""cvxpy as a guesser: the first attempt whose numbers are good by our own reckoning wins, whatever status it claims."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import cvxpy as cp
import numpy as np

from ..runtime.quiet import silence_highs

Attempt = tuple[str, dict[str, Any]]

TIGHT, LOOSE = (dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), size) for size in (1e-12, 1e-8))
QUADRATIC: Sequence[Attempt] = (("CLARABEL", TIGHT), ("CLARABEL", LOOSE), ("OSQP", {"max_iter": 100_000}))
LINEAR: Sequence[Attempt] = (("HIGHS", {}), ("SCIPY", {}))  # HiGHS both times: its solutions are vertices


ENOUGH = 1e-6  # primal-dual gap and violation, relative, with which an attempt is good


def guess(problem: cp.Problem, attempts: Sequence[Attempt], defect: Callable[[], float]) -> bool:
    """Solve with one solver after another until `defect()`, computed from what it left in the variables, is at most
    `ENOUGH`; False if none gets there."""
    silence_highs()
    for name, options in attempts:
        try:
            with warnings.catch_warnings():  # "may be inaccurate": we measure that ourselves
                warnings.simplefilter("ignore")
                problem.solve(solver=name, **options)
        except (cp.SolverError, ValueError, ArithmeticError):
            continue
        values = [variable.value for variable in problem.variables()]
        if all(value is not None and np.isfinite(value).all() for value in values) and defect() <= ENOUGH:
            return True
    return False


def multipliers(rows: cp.Constraint) -> np.ndarray:
    """Multipliers of `<=` rows as the solver left them, clipped at 0; 0 where it left none."""
    left = rows.dual_value
    return np.zeros(rows.size) if left is None else np.maximum(np.nan_to_num(np.ravel(left)), 0)
