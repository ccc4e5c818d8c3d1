"""The scale of multipliers: with it the dual player's steps do not depend on a constraint's own scale.

    scale = REFERENCE_NORM / root mean square over the rows of a part of |gradient of the row's proxy|

A row pushes the parameters by multiplier * gradient, so a row whose measure is ten times flatter needs ten times the
multiplier for the same push, and one hundred times the step. Estimated with random signs.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from constraints import Constraint, Statistics

from .players import Players
from .trial import Data

PROBES = 16  # random signs that estimate the norm of a constraint's gradients
SAMPLE = 2**11  # choices among which that is estimated, where a step sees a batch: each sign costs a pass over them
REFERENCE_NORM = 0.6  # a norm at which the dual rates are what the settings say
LARGEST_SCALE = 30.0  # no row's multiplier is scaled by more than this


def multiplier_scale(players: Players, params: Any, constraint: Constraint, data: Data) -> Array:
    """What a unit of each multiplier is, `[m]`: by gradients at these parameters, at the temperature of step 0."""
    problem = players.problem
    stride = -(-data.train.shape[0] // SAMPLE) if players.draws(data.train) else 1
    some = data if stride == 1 else data.some(slice(None, None, stride))
    train = problem.prepared(constraint, some.asked, some)
    aim = problem.objective.begin(train.choices)
    owner = jnp.repeat(
        jnp.arange(len(constraint.parts())),
        jnp.asarray([len(part.labels()) for part in constraint.parts()]),
        total_repeat_length=len(constraint.labels()),
    )

    def proxy(params):
        tally = problem.tally(params, constraint, train, aim, players.temperature(0))
        return constraint.combine(Statistics(tally.soft, train.totals.masses))

    value, pull = jax.vjp(proxy, params)

    def of_part(part):
        mine = (owner == part) & (value != 0)  # a row without data measures 0
        signs = jax.random.rademacher(jax.random.key(part), (PROBES, len(owner)), value.dtype)
        squares = jax.lax.map(lambda sign: _square(pull(sign)[0]), jnp.where(mine, signs, 0))
        return jnp.sqrt(squares.mean() / jnp.maximum(mine.sum(), 1))

    norm = jax.lax.map(of_part, jnp.arange(len(constraint.parts())))[owner]
    return jnp.where(
        norm > 0, jnp.clip(REFERENCE_NORM / jnp.where(norm > 0, norm, 1), 1 / LARGEST_SCALE, LARGEST_SCALE), 1
    )


def _square(tree: Any) -> Array:
    """Sum of squares; optax's norm also makes the imaginary parts, which take a fifth of the tracing."""
    return optax.tree.vdot(tree, tree)
