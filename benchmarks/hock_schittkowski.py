"""The Hock-Schittkowski problems of the package sif2jax (1 to 119 and variants), in double precision, one setting each.

A problem counts as solved if, within 20,000 gradients (those of line searches included), the largest KKT residual is at
most 1e-4, computed here and not by the solver, and the objective is within 1e-5 * max(1, |documented optimum|) of the
documented one. Bounds on variables are rows like any other. Multipliers of the documented point come from non-negative
least squares on stationarity and complementarity; where its own largest residual is above 1e-5, or no point is
documented, the problem is set aside and listed. Needs `pip install 'faro-fairness[bench]'`.
"""

import argparse
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from scipy.optimize import nnls

from faro.lagrangian import Evaluation, Lagrangian, MultiplierMethod, Status, ascent, nupi, optimistic, problem, solve

GRADIENTS, RESIDUAL, OBJECTIVE, DOCUMENTED = 20_000, 1e-4, 1e-5, 1e-5

METHODS: dict[str, Callable[[Any], Any]] = {
    "method of multipliers": MultiplierMethod,
    "augmented, Adam, nuPI": lambda evaluate: Lagrangian(evaluate, optax.adam(3e-3), nupi(0.1, 1.0), penalty=10.0),
    "Lagrangian, Adam, nuPI": lambda evaluate: Lagrangian(evaluate, optax.adam(3e-3), nupi(0.1, 1.0)),
    "Lagrangian, Adam, ascent": lambda evaluate: Lagrangian(evaluate, optax.adam(3e-3), ascent(0.1)),
    "Lagrangian, optimistic both": lambda evaluate: Lagrangian(
        evaluate, optax.optimistic_gradient_descent(3e-3), optimistic(3e-3)
    ),
}


class Case(NamedTuple):
    """One problem: minimise from `start`; `point` and `optimum` are what its authors document, if anything."""

    name: str
    evaluate: Callable[..., Evaluation]
    start: jax.Array
    point: jax.Array | None
    optimum: float | None


def cases(pattern: str) -> Iterator[Case]:
    """Those with constraints or bounds whose names match, each once."""
    import sif2jax

    listed = [*sif2jax.constrained_minimisation_problems, *sif2jax.bounded_minimisation_problems]
    named = {entry.name: entry for entry in listed if re.fullmatch(r"HS\d+\w*", entry.name)}
    for name in sorted(named, key=lambda name: (int(re.findall(r"\d+", name)[0]), name)):
        if re.fullmatch(pattern, name):
            yield _case(named[name])


def _flat(tree: Any) -> jax.Array:
    return jnp.zeros(0) if tree is None else ravel_pytree(tree)[0].astype(float)


def _case(entry: Any) -> Case:
    start, shaped = ravel_pytree(jax.tree.map(lambda leaf: jnp.asarray(leaf, float), entry.y0))
    limits = (-jnp.inf, jnp.inf) if entry.bounds is None else map(_flat, entry.bounds)
    lower, upper = (np.broadcast_to(limit, start.shape) for limit in limits)
    below, above = np.flatnonzero(np.isfinite(lower)), np.flatnonzero(np.isfinite(upper))

    def constraint(x):  # sif2jax: equalities, and inequalities that are to be at least 0
        return entry.constraint(shaped(x)) if hasattr(entry, "constraint") else (None, None)

    evaluate = problem(
        lambda x: jnp.sum(jnp.asarray(entry.objective(shaped(x), entry.args), float)),
        lambda x: (-_flat(constraint(x)[1]), lower[below] - x[below], x[above] - upper[above]),
        lambda x: _flat(constraint(x)[0]),
    )
    point = None if entry.expected_result is None else _flat(entry.expected_result)
    if entry.expected_objective_value is not None:
        optimum = float(entry.expected_objective_value)
    else:
        optimum = None if point is None else float(evaluate(point).objective)
    return Case(entry.name, evaluate, start, point, optimum)


class Slopes(NamedTuple):
    objective: np.ndarray  # [n] gradient
    rows: np.ndarray  # [m, n] Jacobian
    values: np.ndarray  # [m]
    equality: np.ndarray  # [m]


def slopes(case: Case, x: jax.Array) -> Slopes:
    """Everything that a residual is made of, without the solver."""
    seen = case.evaluate(x)
    objective, rows = jax.jacrev(lambda x: (case.evaluate(x).objective, case.evaluate(x).violation))(x)
    return Slopes(*(np.asarray(part) for part in (objective, rows, seen.violation, seen.equality)))


def residual(at: Slopes, multipliers: np.ndarray) -> float:
    """The largest of stationarity, feasibility, sign and complementarity, all absolute and unscaled."""
    parts = [
        np.abs(at.objective + multipliers @ at.rows),
        np.where(at.equality, np.abs(at.values), at.values),
        np.where(at.equality, 0, -multipliers),
        np.where(at.equality, 0, np.abs(multipliers * at.values)),
    ]
    return max(float(part.max(initial=0)) for part in parts)


def documented_residual(case: Case) -> float:
    """The residual of the documented point under the best multipliers; infinity where there is no point."""
    if case.point is None or case.point.shape != case.start.shape:
        return np.inf
    at = slopes(case, case.point)
    if not at.values.size:
        return residual(at, at.values)
    signs = np.concatenate([np.eye(len(at.values)), -np.eye(len(at.values))[at.equality]])
    stationarity = signs @ at.rows
    complementarity = np.diag(np.where(at.equality, 0, at.values)) @ signs.T
    weights, _ = nnls(np.concatenate([stationarity.T, complementarity]), np.concatenate([-at.objective, 0 * at.values]))
    return residual(at, weights @ signs)


class Attempt(NamedTuple):
    """What one method did on one problem."""

    kept: bool
    solved: bool
    gradients: int
    words: str


def attempted(case: Case, method: Callable[[Any], Any], kept: bool) -> Attempt:
    """One solve, judged by residual and objective."""
    run = jax.jit(lambda x: solve(method(case.evaluate), x, gradients=GRADIENTS, tolerance=1e-6))
    result = run(case.start)
    worst = residual(slopes(case, result.params), np.asarray(result.multipliers))
    objective, gradients = float(result.objective), int(result.gradients)
    near = case.optimum is not None and abs(objective - case.optimum) <= OBJECTIVE * max(1, abs(case.optimum))
    solved = bool(worst <= RESIDUAL and near and gradients <= GRADIENTS)
    return Attempt(
        kept,
        solved,
        gradients,
        f"{Status(int(result.status)).name:<10} gradients {gradients:>5}  KKT {worst:.0e}  objective {objective:.8g}  "
        + ("solved" if solved else f"not solved (documented {case.optimum})"),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", default=".*", help="a regular expression, as HS7[0-9]")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)

    kept: list[str] = []
    aside: list[str] = []
    attempts: dict[str, list[Attempt]] = {name: [] for name in options.methods}
    for case in cases(options.problems):
        documented = documented_residual(case)
        keep = documented <= DOCUMENTED
        (kept if keep else aside).append(f"{case.name} ({documented:.0e})")
        for name in options.methods:
            attempt = attempted(case, METHODS[name], keep)
            attempts[name].append(attempt)
            print(f"{case.name:>8} {name:<28} {attempt.words}{'' if keep else ', set aside'}", flush=True)
    print(f"\n{len(kept)} kept; {len(aside)} set aside (residual of the documented point): {', '.join(aside)}\n")
    print("| method | solved | of | share | median gradients | solved of those set aside |\n|---|---|---|---|---|---|")
    for name, all_of_it in attempts.items():
        counts = [attempt.gradients for attempt in all_of_it if attempt.kept and attempt.solved]
        middle = f"{np.median(counts):.0f}" if counts else "-"
        others = sum(attempt.solved for attempt in all_of_it if not attempt.kept)
        print(f"| {name} | {len(counts)} | {len(kept)} | {len(counts) / max(len(kept), 1):.0%} | {middle} | {others} |")


if __name__ == "__main__":
    main()
