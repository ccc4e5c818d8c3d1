"""The optimum of a linear model without constraints, by Newton's method inside a compiled program.

    loss(w)   sum_i p_i (-log likelihood of choice i) + mu/2 sum_j share_j w_j^2       p_i = weight_i / sum of weights
    step      -(Hessian + mu S)^-1 gradient, of the first length of 1, 1/2, 1/4, ... that lowers the loss

A Hessian costs O(n K d^2), and a few of them do what takes hundreds of first-order steps, each of which reads all
features as well; of many choices a sample's is nearly everybody's. The loss is convex, so this is where any other
method ends too. `faro.exact` does the same in float64 on the host, under rows.
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

from .. import metrics, models
from ..runtime import devices
from .ridge import Ridge

STEPS = 30  # at most
ENOUGH = 0.05  # a step that leaves no more than this share of what is to be gained keeps its curvature for the next
MOST_FEATURES = 1024  # features, two vectors of a text encoder among them; with many more of them steps become slow
BLOCK = 2**16  # choices whose curvature is added up at once, so that what is made of their features stays small
SHORTEST = 2.0**-8  # share of a step that is tried


class _State(NamedTuple):
    w: Array
    loss: Array
    gradient: Array
    inverse: Array  # of a Hessian
    here: Array  # bool: whether it is that at w
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
    if not model.linear or choices.context is not None:
        return False
    return sum(leaf.shape[-1] for leaf in jax.tree.leaves(choices.items)) <= MOST_FEATURES


def optimum(model: models.Model, params: Any, choices: Choices, ridge: Ridge) -> tuple[Any, Any, Array]:
    """(parameters, gradient of the loss there, inverse of its Hessian near there `[d, d]`), on choices that the model
    `suits`; `params` is where to begin."""
    n, stride = choices.shape[0], choices.shape[0] // BLOCK
    start, unravel = ravel_pytree(params)
    eps = jnp.finfo(choices.weight.dtype).eps  # of the loss
    counts = choices.weight / choices.weight.sum() * choices.chosen.sum(-1)
    plain = choices.replace(twins={})
    shares = ridge.vector(model, params)
    there = jnp.isfinite(shares)
    punished = ridge.decay * jnp.where(there, shares, 1)

    def loss(w):
        w = jnp.where(there, w, 0)
        rewards = models.reward_pieces(model, unravel(w), choices)
        return metrics.nll(rewards, choices) + jnp.dot(punished, jnp.square(w)) / 2

    def curvature(w):
        count = 1 if devices.dealt(n) else -(-n // BLOCK)
        size = -(-n // count)

        def add(block, added):
            first = jnp.minimum(block * size, n - size)  # the last block reaches back
            rows = first + jnp.arange(size)
            block_choices, mine = jax.tree.map(
                lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, first, size), (plain, counts)
            )
            return added + hessian(w, block_choices, jnp.where(rows >= block * size, mine, 0))

        held = punished + 10 * eps  # directions in which nothing happens stay where they are
        return jax.lax.fori_loop(0, count, add, jnp.diag(held))

    def hessian(w, block_choices, mine):
        logs = log_softmax_pieces(models.reward_pieces(model, unravel(w), block_choices), block_choices.available)
        odds = [jnp.exp(log)[..., None] for log in logs]  # [k, n, 1]
        features = model.linear_features(params, block_choices)
        mean = total([x * part for x, part in zip(features, odds, strict=True)])  # [n, d]
        mean = jnp.where(there, mean, 0)
        features = [jnp.where(there, x, 0) for x in features]
        spread = jnp.concatenate(
            [(x - mean) * jnp.sqrt(part * mine[:, None]) for x, part in zip(features, odds, strict=True)]
        ).reshape(-1, w.size)
        return jnp.matmul(spread.T, spread, precision="highest")

    def inverted(w):
        return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(curvature(w)), jnp.eye(w.size))

    def move(now):
        w = now.w + now.length * now.step
        value, gradient = value_and_gradient(w)
        tried = now._replace(w=w, loss=value, gradient=gradient, here=jnp.asarray(False))
        lower = value <= now.loss + 4 * eps * jnp.abs(now.loss)  # or not higher by more than is rounded away
        then = jax.tree.map(lambda new, old: jnp.where(lower, new, old), tried, now)
        renew = ~(lower & (tried.promise <= ENOUGH * now.promise)) & ~then.here
        inverse = jax.lax.cond(renew, inverted, lambda w: now.inverse, then.w)
        length = jnp.where(lower | renew, 1, now.length / 2)
        return then._replace(inverse=inverse, here=then.here | renew, length=length, taken=now.taken + 1)

    def more(now):
        return (now.length > SHORTEST) & (now.promise > eps / 1e4) & (now.taken < STEPS)

    value_and_gradient = jax.value_and_grad(loss)
    if stride > 1:  # a sample leads to where one or two steps with everybody are enough, if it knows enough
        sample = choices.take(slice(None, None, stride))
        weight = jnp.where(sample.weight.sum() > 0, sample.weight, 1)
        led, _, known = optimum(model, params, sample.replace(weight=weight), ridge)
        led = ravel_pytree(led)[0]
        start = jnp.where(loss(led) < loss(start), led, start)
    else:
        known = inverted(start)
    one = jnp.ones((), choices.weight.dtype)
    begin = _State(start, *value_and_gradient(start), known, jnp.asarray(stride < 2), one, jnp.asarray(0))
    done = jax.lax.while_loop(more, move, begin)
    return unravel(done.w), unravel(done.gradient), done.inverse
