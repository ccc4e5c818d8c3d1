"""cvxpy as a guesser: the first attempt that leaves numbers in the variables wins, whatever status it claims."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import cvxpy as cp
import numpy as np

Attempt = tuple[str, dict[str, Any]]

TIGHT = {"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12}
QUADRATIC: Sequence[Attempt] = (("CLARABEL", TIGHT), ("CLARABEL", {}), ("OSQP", {"max_iter": 100_000}))
LINEAR: Sequence[Attempt] = (("HIGHS", {}), ("CLARABEL", {}))  # HiGHS first: its solutions are vertices


def guess(problem: cp.Problem, attempts: Sequence[Attempt]) -> bool:
    """Try to solve; True if every variable has finite numbers now. What they are worth is for the caller to compute."""
    for name, options in attempts:
        try:
            with warnings.catch_warnings():  # "may be inaccurate": we measure that ourselves
                warnings.simplefilter("ignore")
                problem.solve(solver=name, **options)
        except (cp.SolverError, ValueError, ArithmeticError):
            continue
        values = [variable.value for variable in problem.variables()]
        if all(value is not None and np.isfinite(value).all() for value in values):
            return True
    return False
