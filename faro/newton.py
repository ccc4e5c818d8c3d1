"""The optimum of a linear model without constraints, by Newton's method inside a compiled program.

    loss(w)   sum_i p_i (-log likelihood of choice i) + mu/2 |w|^2       p_i = weight_i / sum of weights
    step      -(Hessian + mu I)^-1 gradient, of the first length of 1, 1/2, 1/4, ... that lowers the loss

A step costs O(n K d^2), and a dozen of them do what takes hundreds of first-order steps, each of which reads all
features as well. The loss is convex, so this is where any other method ends too. `faro.exact` does the same in float64
on the host, under rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import scipy.linalg.cython_lapack  # noqa: F401  which jax imports when it first compiles a Cholesky
from jax import Array
from jax.flatten_util import ravel_pytree

from constraints import Choices, log_softmax_pieces
from constraints.alternatives import total

from . import metrics, models

STEPS = 30  # at most
WIDEST = 512  # features; with more of them a step costs more than the first-order steps that it saves
SHORTEST = 2.0**-8  # share of a step that is tried


class _State(NamedTuple):
    w: Array
    loss: Array
    gradient: Array
    inverse: Array  # of the Hessian at w
    length: Array  # of the step that is tried next
    taken: Array

    @property
    def step(self) -> Array:
        return -self.inverse @ self.gradient

    @property
    def promise(self) -> Array:
        """By how much the step would lower the loss, were it quadratic."""
        return -jnp.dot(self.gradient, self.step) / 2


def suits(model: models.Model, choices: Choices) -> bool:
    """Whether the model is linear on these choices, as it prepares them, and narrow."""
    return isinstance(model, models.Linear) and choices.context is None and choices.items.shape[-1] <= WIDEST


def optimum(model: models.Model, params: Any, choices: Choices, decay: float) -> tuple[Any, Any, Array]:
    """(parameters, gradient of the loss there, inverse of its Hessian there `[d, d]`), on choices that the model
    `suits` and with mu = `decay`; `params` is where to begin."""
    start, unravel = ravel_pytree(params)
    eps = jnp.finfo(choices.weight.dtype).eps  # of the loss
    share = choices.weight / choices.weight.sum()
    features = jax.vmap(lambda one: models.reward_pieces(model, unravel(one), choices))(
        jnp.eye(start.size)
    )  # [d, k, n]

    def loss(w):
        rewards = models.reward_pieces(model, unravel(w), choices)
        return metrics.nll(rewards, choices) + decay / 2 * jnp.dot(w, w)

    def curvature(w):
        logs = log_softmax_pieces(models.reward_pieces(model, unravel(w), choices), choices.available)
        odds = [jnp.exp(log) for log in logs]  # [k, n]
        mean = total([jnp.moveaxis(own * part, 1, 0) for own, part in zip(features, odds, strict=True)])  # [d, n]
        ridge = decay + 10 * eps  # directions in which nothing happens stay where they are
        found = ridge * jnp.eye(start.size)
        for own, part in zip(features, odds, strict=True):
            spread = (own - mean[:, None]) * jnp.sqrt(part * share * choices.chosen.sum(-1))
            flat = spread.reshape(start.size, -1)
            found += jnp.matmul(flat, flat.T, precision="highest")
        return found

    def at(w, count):
        value, gradient = jax.value_and_grad(loss)(w)
        inverse = jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(curvature(w)), jnp.eye(w.size))
        return _State(w, value, gradient, inverse, jnp.ones_like(value), count)

    def move(now):
        tried = at(now.w + now.length * now.step, now.taken + 1)
        stays = now._replace(length=now.length / 2, taken=tried.taken)
        lower = tried.loss <= now.loss + 4 * eps * jnp.abs(now.loss)  # or not higher by more than is rounded away
        return jax.tree.map(lambda new, old: jnp.where(lower, new, old), tried, stays)

    def more(now):
        return (now.length > SHORTEST) & (now.promise > eps / 1e4) & (now.taken < STEPS)

    done = jax.lax.while_loop(more, move, at(start, 0))
    return unravel(done.w), unravel(done.gradient), done.inverse
