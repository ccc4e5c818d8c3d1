"""The other side of a shift bound: a law inside the ball that attains the dual's value, found by cvxpy.

It shows that the bound is tight; that the bound is valid needs only the dual point. A solver's status is advice: what
it returns is moved into the ball, evaluated again, and counts only if it comes within `MEAN_TOLERANCE` of the dual.
Then the next solver is asked. If none succeeds, the dual alone stands.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cvxpy as cp
import numpy as np

from ...runtime.quiet import silence_highs
from .binomial import Floats
from .shift import BALLS, Law, worst

MEAN_TOLERANCE = 1e-6
LINEAR, CONIC = (cp.HIGHS, cp.CLARABEL, cp.SCS), (cp.CLARABEL, cp.SCS)


class Attained(NamedTuple):
    """The mean of a law in the ball, that law, and the solver that found it."""

    value: float
    q: Floats  # [m] probabilities of the law's values (w1: the mass that reaches the other side)
    solver: str


def solve(problem: cp.Problem, solvers: Sequence[str], accept: Callable[[], bool]) -> str | None:
    """The first solver whose answer is accepted, whatever status it reports; None if none is."""
    silence_highs()
    for solver in solvers:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # "may be inaccurate": that is for `accept` to say
                problem.solve(solver=solver)
        except (cp.SolverError, ValueError, ArithmeticError):
            continue
        values = [variable.value for variable in problem.variables()]
        if all(value is not None and np.isfinite(value).all() for value in values) and accept():
            return solver
    return None


def attained(name: str, law: Law, radius: float) -> Attained | None:
    """A law in the ball around `law` (without sampling error: `excess` 0) whose mean of z is within `MEAN_TOLERANCE` of
    the dual bound; None if no solver finds one."""
    target = float(worst(BALLS[name], law, radius).value)
    if name == "w1":
        return _transported(law, radius, target)
    z, p = law.values, law.weights
    if name in ("tv", "label-noise"):  # mass may go where the sample shows none
        z, p = np.append(z, 1.0), np.append(p, 0.0)
    q = cp.Variable(len(p), nonneg=True)
    problem = cp.Problem(cp.Maximize(z @ q), [cp.sum(q) == 1, *_ball(name, q, p, radius)])
    laws: list[tuple[float, Floats]] = []

    def accept() -> bool:
        law_in_ball = inside(name, np.asarray(q.value), p, radius)
        laws.append((float(z @ law_in_ball), law_in_ball))
        return target - laws[-1][0] <= MEAN_TOLERANCE

    solver = solve(problem, CONIC if name in ("kl", "chi2") else LINEAR, accept)
    return Attained(*laws[-1], solver) if solver else None


def _ball(name: str, q: cp.Variable, p: Floats, radius: float) -> list[cp.Constraint]:
    some = p > 0
    if name in ("tv", "label-noise"):
        return [cp.norm1(q - p) <= 2 * radius]
    on, ratio = q[some], cp.multiply(1 / p[some], q[some])  # q / p stays well scaled where p is tiny
    rest = [q[~some] == 0] if not some.all() else []
    if name == "kl":
        return [*rest, cp.sum(cp.rel_entr(on, p[some])) <= radius]
    if name == "chi2":
        return [*rest, cp.sum_squares(cp.multiply(np.sqrt(p[some]), ratio - 1)) <= radius]
    if name == "lr":
        return [*rest, on <= radius * p[some], on >= p[some] / radius]
    return [*rest, on <= p[some] / radius]


def inside(name: str, q: Floats, p: Floats, radius: float) -> Floats:
    """A law of the ball near q: on the way to p, or, where each cell has limits of its own, within these limits."""
    if name in ("lr", "cvar"):
        low, high = (p / radius, p * radius) if name == "lr" else (0 * p, p / radius)
        q = np.clip(q, low, high)
        lacking = 1 - q.sum()
        room = high - q if lacking > 0 else q - low
        return q + lacking * room / max(room.sum(), 1e-300)
    q = np.maximum(q, 0)
    if name in ("kl", "chi2"):
        q = np.where(p > 0, q, 0)
    q = q / q.sum()
    return p + min(1.0, radius / max(distance(name, q, p), 1e-300)) * (q - p)


def distance(name: str, q: Floats, p: Floats) -> float:
    """Total variation, KL or chi-squared of two laws on the same values."""
    if name in ("tv", "label-noise"):
        return float(np.abs(q - p).sum()) / 2
    ratio = q[p > 0] / p[p > 0]
    terms = ratio * np.log(np.maximum(ratio, 1e-300)) if name == "kl" else (ratio - 1) ** 2
    return float(p[p > 0] @ terms)


def _transported(law: Law, radius: float, target: float) -> Attained | None:
    away, p = law.values, law.weights
    moved = cp.Variable(len(p), nonneg=True)
    problem = cp.Problem(cp.Maximize(cp.sum(moved)), [moved <= p, away @ moved <= radius])
    laws: list[tuple[float, Floats]] = []

    def accept() -> bool:
        mass = np.clip(np.asarray(moved.value), 0, p)
        mass = np.where(away > 0, mass * min(1.0, radius / max(away @ mass, 1e-300)), p)
        laws.append((float(mass.sum()), mass))
        return target - laws[-1][0] <= MEAN_TOLERANCE

    solver = solve(problem, LINEAR, accept)
    return Attained(*laws[-1], solver) if solver else None
