"""The optimum of a linear model without constraints, by Newton's method inside a compiled program.

    loss(w)   sum_i p_i (-log likelihood of choice i) + mu/2 |w|^2       p_i = weight_i / sum of weights
    step      -(Hessian + mu I)^-1 gradient, of the length 1, 1/2, 1/4, ... that lowers the loss most

A step costs O(n K d^2), and a dozen of them do what takes hundreds of first-order steps, each of which reads all
features as well. The loss is convex, so this is where any other method ends too. `faro.exact` does the same in float64
on the host, under rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree

from constraints import Choices, log_softmax

from . import metrics, models

STEPS = 30  # at most
WIDEST = 512  # features; with more of them a step costs more than the first-order steps that it saves
LENGTHS = 8  # of a step that are tried


class _State(NamedTuple):
    w: Array
    step: Array  # Newton's, from w
    promise: Array  # by how much the step lowers the loss, were it quadratic
    taken: Array


def suits(model: models.Model, choices: Choices) -> bool:
    """Whether the model is linear on these choices, as it prepares them, and narrow."""
    return isinstance(model, models.Linear) and choices.context is None and choices.items.shape[-1] <= WIDEST


def optimum(model: models.Model, params: Any, choices: Choices, decay: float) -> tuple[Any, Any]:
    """(parameters, gradient of the loss there) on choices that the model `suits`, with mu = `decay`; `params` is where
    to begin."""
    start, unravel = ravel_pytree(params)
    eps = jnp.finfo(start.dtype).eps
    share = choices.weight / choices.weight.sum()
    features = jax.vmap(lambda one: models.rewards(model, unravel(one), choices))(jnp.eye(start.size))  # [d, n, K]

    def loss(w):
        return metrics.nll(models.rewards(model, unravel(w), choices), choices) + decay / 2 * jnp.dot(w, w)

    def curvature(w):
        odds = jnp.exp(log_softmax(models.rewards(model, unravel(w), choices), choices.available))
        apart = features - jnp.sum(features * odds, -1, keepdims=True)
        spread = apart * jnp.sqrt(odds * (share * choices.chosen.sum(-1))[:, None])
        flat = spread.reshape(start.size, -1)
        ridge = decay + 10 * eps  # directions in which nothing happens stay where they are
        return jnp.matmul(flat, flat.T, precision="highest") + ridge * jnp.eye(start.size)

    def at(w, count):
        gradient = jax.grad(loss)(w)
        step = -jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(curvature(w)), gradient)
        return _State(w, step, -jnp.dot(gradient, step) / 2, count)

    def move(now):
        lengths = jnp.append(0.5 ** jnp.arange(LENGTHS), 0)
        tried = now.w + lengths[:, None] * now.step
        lowest = jnp.argmin(jax.lax.map(loss, tried))
        moved = at(tried[lowest], now.taken + 1)
        return moved._replace(promise=jnp.where(lowest == LENGTHS, 0, moved.promise))

    done = jax.lax.while_loop(lambda now: (now.promise > eps / 100) & (now.taken < STEPS), move, at(start, 0))
    return unravel(done.w), unravel(jax.grad(loss)(done.w))
