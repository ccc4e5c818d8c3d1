"""What may be said of a point: whether it is solved, or hopeless, whatever the units of objective, rows and parameters.

    size of a parameter    X_j = max(1, |x_j|)
    size of a row          R_i = max over j of |d row_i / d x_j| X_j: by how much it changes if parameters do by their size
    size of a slope        T_j = largest of |d f / d x_j| and |multiplier_i d row_i / d x_j|, but at least
                           min(1 / X_j, slope of f at the start or a size off it)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree

from ._problem import KKT, Evaluation, excess

OPPOSED = 1e-4  # violated rows cancel if what is left of their slopes is this share
WEIGHING = 300  # steps of the search for weights with which they do
HEAVIEST = 1e4  # largest of those weights, where 1 is a row's slope


class Slopes(NamedTuple):
    """Of the objective, `[d]`, and the rows, `[m, d]`, over all parameters in one vector."""

    objective: Array
    rows: Array


def slopes(evaluate: Callable[..., Evaluation], params: Any, *args: Any) -> Slopes:
    """The slopes at one point; m + 1 gradients."""
    flat, shaped = ravel_pytree(params)
    return Slopes(
        jax.grad(lambda x: evaluate(shaped(x), *args).objective)(flat),
        jax.jacrev(lambda x: evaluate(shaped(x), *args).proxy)(flat),
    )


def reach(flat: Array) -> Array:
    """The size of each parameter."""
    return jnp.maximum(jnp.abs(flat), 1)


def sizes(evaluate: Callable[..., Evaluation], params: Any, *args: Any) -> Slopes:
    """The larger of the absolute slopes at a point and one size off it, where they are finite; 2 (m + 1) gradients.

    The second point is there since a start may well be where a slope vanishes. A slope of f that vanishes at both is
    given the size of the largest.
    """
    flat, shaped = ravel_pytree(params)
    here, off = slopes(evaluate, params, *args), slopes(evaluate, shaped(flat + reach(flat)), *args)
    objective, rows = jax.tree.map(
        lambda one, other: jnp.maximum(*(jnp.where(jnp.isfinite(s), jnp.abs(s), 0) for s in (one, other))), here, off
    )
    typical = jnp.max(objective, initial=0)
    objective = jnp.where(objective > 0, objective, jnp.where(typical > 0, typical, 1))
    return Slopes(objective, rows)


def relative(params: Any, multipliers: Array, seen: Evaluation, at: Slopes, start: Slopes) -> KKT:
    """The KKT residuals in the problem's own sizes.

    stationarity     max |d L / d x_j| / T_j     over parameters
    feasibility      max of violation_i / min(1, R_i)     over rows
    complementarity  max of |violation_i| / R_i * |multiplier_i d row_i / d x_j| / T_j     over inequality rows
    """
    size = reach(ravel_pytree(params)[0])
    terms = jnp.abs(multipliers[:, None] * at.rows)
    largest_term = jnp.maximum(jnp.abs(at.objective), jnp.max(terms, axis=0, initial=0))
    slope = jnp.maximum(largest_term, jnp.minimum(1 / size, start.objective))
    row = jnp.max(jnp.abs(at.rows) * size, axis=1, initial=0)
    pull = jnp.max(terms / slope, axis=1, initial=0)
    missed = excess(seen)
    slack = jnp.where(seen.equality | (pull == 0), 0, jnp.abs(seen.asked) / row * pull)
    return KKT(
        stationarity=jnp.max(jnp.abs(at.objective + multipliers @ at.rows) / slope, initial=0),
        feasibility=jnp.max(jnp.where(missed > 0, missed / jnp.minimum(row, 1), 0), initial=0),
        complementarity=jnp.max(slack, initial=0),
    )


def hopeless(params: Any, multipliers: Array, seen: Evaluation, at: Slopes, start: Slopes) -> Array:
    """Whether violated rows pull against each other: weights w >= 0 on them, of either sign for an equality, with

        sum over j of |sum_i w_i d row_i / d x_j| X_j <= OPPOSED * sum_i w_i violation_i
        and the left side <= OPPOSED * sum_i w_i R_i     R_i no smaller than at the start

    So no small step lessens all of them. Where rows are convex (equalities: affine) no point within X / OPPOSED of here
    satisfies them all: the lemma of Farkas. Weights come from the multipliers, improved by the dual of the program
    that would satisfy the linearised rows.
    """
    size = reach(ravel_pytree(params)[0])
    row = jnp.maximum(jnp.max(jnp.abs(at.rows) * size, axis=1, initial=0), jnp.max(start.rows, axis=1, initial=0))
    row = jnp.where(row > 0, row, 1)
    slope, missed = at.rows * size / row[:, None], seen.asked / row
    most = jnp.max(jnp.abs(jnp.where(excess(seen) > 0, missed, 0)), initial=0)
    missed = missed / jnp.where(most > 0, most, 1)
    upper = jnp.where(excess(seen) > 0, HEAVIEST, 0)
    lower = jnp.where(seen.equality, -upper, 0)

    def within(weights):
        return jnp.clip(weights, lower, upper)

    def normalised(weights):
        return weights * HEAVIEST / jnp.maximum(jnp.max(jnp.abs(weights), initial=0), jnp.finfo(missed.dtype).tiny)

    def holds(weights):
        left = jnp.sum(jnp.abs(weights @ slope))
        gained = jnp.dot(weights, missed) * most
        return (left <= OPPOSED * gained) & (left <= OPPOSED * jnp.sum(jnp.abs(weights))) & (gained > 0)

    curved = slope @ slope.T
    rate = 1 / jnp.maximum(jnp.max(jnp.sum(jnp.abs(curved), -1), initial=0), 1e-6)

    def improve(_, now):
        weights, ahead, momentum = now
        rise = missed - curved @ ahead
        new = within(ahead + rate * rise)
        again = jnp.dot(rise, new - weights) < 0
        larger = jnp.where(again, 1.0, (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2)
        carried = jnp.where(again, 0.0, (momentum - 1) / larger)
        return new, new + carried * (new - weights), larger

    told = within(normalised(within(multipliers * row)))
    found = jax.lax.fori_loop(0, WEIGHING, improve, (told, told, jnp.ones_like(rate)))[0]
    return holds(told) | holds(within(normalised(jnp.where(seen.equality, seen.asked, excess(seen)) / row))) | holds(found)
