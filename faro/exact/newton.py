"""The optimum of a linear head under affine rows, with its multipliers: Newton steps projected on the rows.

With H = L L' the curvature at w and g the gradient, ridge included, a step p = L'^-1 z solves

    min 1/2 |z + L^-1 g|^2    such that    (A L'^-1) z <= b - A w

a projection of the Newton step in the metric of the curvature: a problem in d numbers, whatever n is, compiled by cvxpy
once for a whole path of bounds. Its multipliers are those of the rows. Far from the optimum, steps are shortened until
an exact penalty falls. Source: Lee, Sun & Saunders 2014 (proximal Newton); Nocedal & Wright 2006, chapter 18.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cvxpy as cp
import numpy as np
from scipy.linalg import cholesky, solve_triangular

from ..errors import UsageError
from . import solver
from .dual import FEASIBLE, Point, certify, point
from .head import Head, Moments
from .rows import Rows

STEPS = 60
TRIES = 3  # of a margin by which solvers are asked for less
TOLERANCE = 1e-9  # gap at which a solve ends, in nats


def solve(head: Head, rows: Rows, bound: float, *, start: np.ndarray | None = None, tolerance=TOLERANCE) -> Point:
    """The head of least loss whose rows hold at `bound`, with its multipliers and certified gap.

    Raises `UsageError` if no head satisfies the rows, with the smallest bound that one does. Where solvers fail, the
    point comes with the gap that it has.
    """
    return Solver(head, rows, tolerance).at(bound, start)


def path(head: Head, rows: Rows, bounds: Sequence[float], *, tolerance=TOLERANCE) -> tuple[Point, ...]:
    """`solve` at every bound, in their order; each begins where the next larger bound ended."""
    solver, points, w = Solver(head, rows, tolerance), {}, None
    for bound in sorted({float(bound) for bound in bounds}, reverse=True):
        points[bound] = solver.at(bound, w)
        w = points[bound].w
    return tuple(points[float(bound)] for bound in bounds)


def priced(head: Head, rows: Rows, bound: float, multipliers: Any, *, start: np.ndarray | None = None) -> Point:
    """The best lower bound that multiples c nu, c >= 0, of these multipliers prove at `bound`: those of another proxy,
    or of an unfinished run, of which one unit need not be one unit of these rows.

    It is what remains of the problem when the rows are replaced by their one mean, nu . (A w - b) <= 0, whose own
    multiplier is c. Raises `UsageError` as `certify` does.
    """
    nu = certify(head, rows, bound, np.zeros(head.d), multipliers).multipliers
    one = Rows.of(nu[None] @ rows.matrix, nu @ rows.base, nu @ rows.slope)
    point_of_one = solve(head, one, bound, start=start)
    return certify(head, rows, bound, point_of_one.w, point_of_one.multipliers[0] * nu)


class Solver:
    """Solves at one bound after another; what is compiled is kept."""

    def __init__(self, head: Head, rows: Rows, tolerance: float = TOLERANCE):
        if rows.matrix.shape[1] != head.d:
            raise UsageError(f"rows: expected {head.d} columns, one per parameter, got {rows.matrix.shape[1]}")
        self.head, self.rows, self.tolerance = head, rows, tolerance
        self.project = Projection(*rows.matrix.shape)

    def at(self, bound: float, start: np.ndarray | None = None) -> Point:
        """The optimum at this bound, begun at `start` (default: all zero)."""
        if not np.isfinite(bound):
            raise UsageError(f"bound: expected a finite number, got {bound}; leave the rows out to solve without")
        best = self._descend(bound, np.zeros(self.head.d) if start is None else np.array(start, np.float64))
        if best.violation > FEASIBLE and (least := least_bound(self.rows)) > bound:
            reach = f"the smallest bound that any satisfies is {least:.6g}" if np.isfinite(least) else "at any bound"
            raise UsageError(f"no parameters satisfy the rows at bound {bound:.6g}; {reach}")
        return best

    def _descend(self, bound: float, w: np.ndarray) -> Point:
        head, rows = self.head, self.rows
        nu, margin, narrowed = np.zeros(len(rows.matrix)), 0.0, 0
        at_w = head.moments(w)
        best = point(head, rows, bound, w, nu, at_w)
        for _ in range(STEPS):
            seen = point(head, rows, bound, w, nu, at_w)
            best = min(best, seen, key=self._rank)
            if best.gap <= self.tolerance and (best.violation == 0 or narrowed == TRIES):
                break
            if seen.gap <= self.tolerance:
                # solvers overstep rows by a little: ask for that much less, where there is room
                margin, narrowed = margin + 2 * seen.violation, narrowed + 1
            limits = rows.limits(bound) - margin
            factor = cholesky(at_w.hessian + head.ridge * np.eye(head.d), lower=True)
            target = -solve_triangular(factor, at_w.gradient + head.ridge * w, lower=True)
            normals = solve_triangular(factor, rows.matrix.T, lower=True).T
            projected = self.project(normals, limits - rows.matrix @ w, target)
            if projected is None:
                break
            z, nu = projected
            step = solve_triangular(factor, z, lower=True, trans="T")
            moved = self._walk(w, at_w, step, float(z @ z), limits, 1e-3 + 2 * np.max(nu, initial=0))
            if moved is None:
                break
            w, at_w = moved
        return best

    def _walk(self, w, at_w, step, square: float, limits, penalty: float) -> tuple[np.ndarray, Moments] | None:
        """The longest of step, step/2, ... at which loss + penalty * (sum of violations) falls; None if none does."""

        def merit(w: np.ndarray, moments: Moments) -> float:
            over = np.maximum(self.rows.matrix @ w - limits, 0).sum()
            return moments.loss + self.head.ridge / 2 * float(w @ w) + penalty * float(over)

        before, size = merit(w, at_w), 1.0
        while size > 1e-9:
            trial = w + size * step
            at_trial = self.head.moments(trial)
            if merit(trial, at_trial) <= before - 1e-4 * size * square + 1e-12:
                return trial, at_trial
            size /= 2
        return None

    def _rank(self, seen: Point) -> tuple[float, float, float]:
        """Held rows first, then the smaller gap; among those that are small enough, the smaller violation."""
        return max(seen.violation - FEASIBLE, 0), max(seen.gap, self.tolerance), seen.violation


class Projection:
    """min 1/2 |z - target|^2 such that normals z <= room, with the multipliers of the rows; compiled once."""

    def __init__(self, m: int, d: int):
        self.m = m
        if m == 0:
            return
        self.z: Any = cp.Variable(d)
        self.normals: Any = cp.Parameter((m, d))
        self.room: Any = cp.Parameter(m)
        self.target: Any = cp.Parameter(d)
        self.rows = self.normals @ self.z <= self.room
        self.problem = cp.Problem(cp.Minimize(cp.sum_squares(self.z) / 2 - self.target @ self.z), [self.rows])
        assert self.problem.is_dpp()

    def __call__(self, normals: np.ndarray, room: np.ndarray, target: np.ndarray) -> Any:
        """(z, multipliers >= 0), a guess; None if every solver fails."""
        if self.m == 0 or np.all(normals @ target <= room):
            return target, np.zeros(self.m)
        length = np.linalg.norm(normals, axis=1)
        length = np.where(length > 0, length, 1)
        self.normals.value, self.room.value = normals / length[:, None], room / length
        self.target.value = target
        if not solver.guess(self.problem, solver.QUADRATIC, self._defect):
            return None
        return self.z.value, solver.multipliers(self.rows) / length

    def _defect(self) -> float:
        """By how much the Karush-Kuhn-Tucker conditions fail, relative to the size of what is projected."""
        normals, multipliers = self.normals.value, solver.multipliers(self.rows)
        over = normals @ self.z.value - self.room.value
        apart = self.z.value - self.target.value + multipliers @ normals
        wrong = (np.max(over, initial=0), np.abs(apart).max(), np.abs(multipliers @ over))
        return max(wrong) / (1 + np.linalg.norm(self.target.value))


def least_bound(rows: Rows) -> float:
    """The smallest bound at which some parameters satisfy all rows, by a linear program; -inf if any, inf if none."""
    w: Any = cp.Variable(rows.matrix.shape[1])
    bound: Any = cp.Variable()
    problem = cp.Problem(cp.Minimize(bound), [rows.matrix @ w <= rows.base + rows.slope * bound])
    if solver.guess(problem, solver.LINEAR, lambda: rows.violation(w.value, float(bound.value))):
        return float(bound.value)
    return np.inf if problem.status in ("infeasible", "infeasible_inaccurate") else -np.inf
