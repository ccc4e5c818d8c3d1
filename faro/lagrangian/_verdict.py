"""What may be said of a point: whether it is solved, or hopeless, whatever the units of objective, rows and parameters.

size of a parameter   X_j = max(|x_j|, SMALL)
size of a row         R_i = max over j of |d row_i / d x_j| X_j: by how much it changes if parameters do by their size
size of a slope       T_j = largest of |d f / d x_j| and |multiplier_i d row_i / d x_j|, but at least
                      min(1 / max(|x_j|, 1), slope of f at the start or next to it)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree

from ._problem import KKT, Evaluation, excess, largest

SMALL = 0.01  # the least size of a parameter
OPPOSED = 1e-4  # violated rows cancel if what is left of their slopes is this share
NEARBY, PROBES, ROUNDING = 1e-2, 8, 1e-5  # points next to a hopeless one, in sizes; how many; what counts as no better
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


class Sizes(NamedTuple):
    """Absolute slopes at the start, and next to it, since a start may well be where a slope vanishes."""

    here: Slopes
    beside: Slopes

    @property
    def largest(self) -> Slopes:
        """The larger of both. A slope of f that vanishes at both is given the size of the largest."""
        objective, rows = jax.tree.map(jnp.maximum, self.here, self.beside)
        typical = jnp.max(objective, initial=0)
        return Slopes(jnp.where(objective > 0, objective, jnp.where(typical > 0, typical, 1)), rows)


def sizes(evaluate: Callable[..., Evaluation], params: Any, *args: Any) -> Sizes:
    """What is known of sizes before anything is solved; 2 (m + 1) gradients. Slopes that are not finite count as 0."""
    flat, shaped = ravel_pytree(params)
    points = flat, flat + jnp.maximum(jnp.abs(flat), 1)
    return Sizes(
        *(
            jax.tree.map(
                lambda slope: jnp.where(jnp.isfinite(slope), jnp.abs(slope), 0), slopes(evaluate, shaped(point), *args)
            )
            for point in points
        )
    )


def relative(params: Any, multipliers: Array, seen: Evaluation, at: Slopes, start: Sizes) -> KKT:
    """The KKT residuals in the problem's own sizes.

    stationarity     max |d L / d x_j| / T_j     over parameters
    feasibility      max of violation_i / min(1, R_i)     over rows
    complementarity  max of the smaller of |violation_i| / R_i and max over j of |multiplier_i d row_i / d x_j| / T_j
                     over inequality rows: each binds, or its multiplier weighs nothing
    """
    values = jnp.abs(ravel_pytree(params)[0])
    size = jnp.maximum(values, SMALL)
    terms = jnp.abs(multipliers[:, None] * at.rows)
    largest_term = jnp.maximum(jnp.abs(at.objective), jnp.max(terms, axis=0, initial=0))
    slope = jnp.maximum(largest_term, jnp.minimum(1 / jnp.maximum(values, 1), start.largest.objective))
    row = jnp.max(jnp.abs(at.rows) * size, axis=1, initial=0)
    pull = jnp.max(terms / slope, axis=1, initial=0)
    missed = excess(seen)
    slack = jnp.where(seen.equality | (pull == 0), 0, jnp.minimum(jnp.abs(seen.active_violation) / row, pull))
    return KKT(
        stationarity=jnp.max(jnp.abs(at.objective + multipliers @ at.rows) / slope, initial=0),
        feasibility=jnp.max(jnp.where(missed > 0, missed / jnp.minimum(row, 1), 0), initial=0),
        complementarity=jnp.max(slack, initial=0),
    )


def hopeless(
    evaluate: Callable[..., Evaluation], params: Any, multipliers: Array, seen: Evaluation, at: Slopes, start: Sizes
) -> Array:
    """Whether violated and binding rows pull against each other: weights w >= 0, of either sign for an equality, with

        sum over j of |sum_i w_i d row_i / d x_j| X_j <= OPPOSED * sum_i w_i violation_i       here X_j = max(|x_j|, 1)
        and the left side <= OPPOSED * sum_i |w_i| R_i                             R_i no smaller than at the start
        and sum_i w_i row_i is no smaller at PROBES points on either side: not a maximum of the violation

    So no small step satisfies all of them. Where rows are convex (equalities: affine) no point within X / OPPOSED of
    here satisfies them all: the lemma of Farkas. Weights are the multipliers, the violations, or those of the dual of
    the program that would satisfy the linearised rows.
    """
    flat, shaped = ravel_pytree(params)
    size = jnp.maximum(jnp.abs(flat), 1)
    violated = excess(seen) > 0
    row = jnp.max(jnp.abs(at.rows) * size, axis=1, initial=0)
    row = jnp.maximum(row, jnp.max(start.largest.rows, axis=1, initial=0))
    row = jnp.where(row > 0, row, 1)
    pulls = violated | (seen.active_violation >= -OPPOSED * row) & ~jnp.isneginf(seen.violation)
    slope, missed = at.rows * size / row[:, None], jnp.where(pulls, seen.active_violation / row, 0)
    most = largest(missed)
    upper = jnp.where(pulls, HEAVIEST, 0)
    lower = jnp.where(seen.equality, -upper, 0)

    aside = NEARBY * size * jax.random.normal(jax.random.key(0), (PROBES, flat.size), flat.dtype)
    rows = jax.vmap(lambda point: evaluate(shaped(point)).proxy)(jnp.concatenate([flat + aside, flat - aside])) / row

    def heavy(weights):
        scale = largest(weights)
        return jnp.clip(weights * HEAVIEST / jnp.where(scale > 0, scale, 1), lower, upper)

    def holds(weights):
        left, gained = jnp.sum(jnp.abs(weights @ slope)), jnp.dot(weights, missed)
        opposed = left <= OPPOSED * jnp.minimum(gained, jnp.sum(jnp.abs(weights)))
        return opposed & (gained > 0) & jnp.all((rows - seen.proxy / row) @ weights >= -ROUNDING * gained)

    curved, wanted = slope @ slope.T, missed / jnp.where(most > 0, most, 1)
    rate = 1 / jnp.maximum(jnp.max(jnp.sum(jnp.abs(curved), axis=1), initial=0), jnp.finfo(curved.dtype).eps)

    def improve(_, now):
        """Nesterov's method with restarts on the dual: max wanted . w - |slope' w|^2 / 2."""
        weights, ahead, momentum = now
        rise = wanted - curved @ ahead
        new = jnp.clip(ahead + rate * rise, lower, upper)
        again = jnp.dot(rise, new - weights) < 0
        larger = jnp.where(again, 1.0, (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2)
        carried = jnp.where(again, 0.0, (momentum - 1) / larger)
        return new, new + carried * (new - weights), larger

    told = heavy(jnp.where(pulls, multipliers * row, 0))
    weights = jax.lax.fori_loop(0, WEIGHING, improve, (told, told, jnp.ones_like(rate)))[0]
    return jnp.any(jax.vmap(holds)(jnp.stack([told, heavy(missed), weights])))
