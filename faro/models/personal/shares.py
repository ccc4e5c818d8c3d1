"""Weights of a person that are shares: on the simplex, and found from the earlier choices."""

from __future__ import annotations

import abc
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from constraints import Choices, log_softmax

from ..base import Model, numeric
from .tastes import SETTINGS, flat, met, placed
from .weights import inverse

STEPS = 50  # to a person's shares, at most; 5 to 10 are usual
SOFTEST = 0.02  # strength of the prior, at least


class Shares(Model, abc.ABC):
    """reward = common(x, z) + sum_b w_b reward_b(x), with shares w_b >= 0 of the person that sum to 1:

        w = argmin  sum_i weight_i nll_i(w) + strength sum_b w_b log(w_b / w0_b)

    strength and the population's shares w0 are learned; without earlier choices w = w0. Found by Newton's steps within
    the simplex; slopes are those of one more step, whatever led there.
    """

    settings = SETTINGS

    @abc.abstractmethod
    def pieces(self, params: Any, choices: Choices) -> tuple[Array, Array]:
        """Of alternatives with items what is the same for everybody, `[n, J]`, and rewards to be mixed, `[n, J, B]`.

        params: of the model, with a "strength" and B of "share"
        choices: n choices, with coded features alone
        """

    def mixed(self, params: Any, people: Choices) -> Array:
        """Shares of every person, `[U, B]`.

        params: of the model
        people: leading axes `[U, S]`
        """
        before = flat(numeric(people))
        shape = people.weight.shape
        common, rewards = (
            placed(piece, before).reshape(*shape, -1, *piece.shape[2:]) for piece in self.pieces(params, before)
        )
        strength = SOFTEST + jax.nn.softplus(params["strength"])
        prior = jax.nn.log_softmax(params["share"])

        def pull(given: Any, log_share: Array) -> tuple[Array, Array, Array]:
            """Slope by the shares, and by sqrt(share) the curvature of the loss."""
            common, rewards, strength, prior = given
            share = jnp.exp(log_share)
            scores = common + jnp.einsum("uskb,ub->usk", rewards, share)
            chances = jnp.exp(log_softmax(scores, people.available))
            apart = people.weight[..., None] * (chances - people.chosen)
            slope = jnp.einsum("uskb,usk->ub", rewards, apart) + strength * (log_share - prior)
            root = jnp.sqrt(share)
            centred = (rewards - jnp.einsum("usk,uskb->usb", chances, rewards)[:, :, None]) * root[:, None, None]
            weighted = (people.weight[..., None] * chances)[..., None] * centred
            return slope, root, jnp.einsum("uskb,uskc->ubc", weighted, centred)

        def move(given: Any, log_share: Array) -> Array:
            """Newton's step within the simplex, as a change of log shares."""
            slope, root, curvature = pull(given, log_share)
            unit = jnp.eye(len(params["share"]), dtype=curvature.dtype)
            solved = inverse(jnp.moveaxis(curvature, 0, -1) + given[2] * unit[..., None])
            root = jax.lax.stop_gradient(root)
            first, second = (jnp.einsum("bcu,uc->ub", solved, side) for side in (root * slope, root))
            level = (root * first).sum(-1, keepdims=True) / (root * second).sum(-1, keepdims=True)
            return (level * second - first) / jnp.maximum(root, 1e-30)

        given = common, rewards, strength, prior
        seen = jax.lax.stop_gradient(given)
        close = jnp.sqrt(jnp.finfo(common.dtype).eps)

        def going(state: tuple[Array, Array, Array]) -> Array:
            return jnp.any(state[1]) & (state[2] < STEPS)

        def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            log_share, far, steps = state
            along = move(seen, log_share)
            most = jnp.abs(along).max(-1)
            length = jnp.where(most > close, jnp.log1p(most) / jnp.where(most > 0, most, 1), 1)
            moved = jax.nn.log_softmax(log_share + length[:, None] * along)
            return jnp.where(far[:, None], moved, log_share), far & (most > close), steps + 1

        begun = jnp.broadcast_to(seen[3], (shape[0], len(params["share"])))
        found = jax.lax.while_loop(going, step, (begun, jnp.ones(shape[0], bool), jnp.zeros((), int)))[0]
        found = jax.lax.stop_gradient(found)
        return jax.nn.softmax(found + move(given, found))

    def apply(self, params, choices, *, people=None):
        people, choices = met(people, numeric(choices))
        common, rewards = self.pieces(params, choices)
        return common + jnp.einsum("nkb,nb->nk", rewards, self.mixed(params, people)[choices.unit])
