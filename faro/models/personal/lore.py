"""A person mixes a few rewards that all share, with weights that are shares: on the simplex."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from constraints import Choices, log_softmax

from ..base import Model, numeric
from ..linear import UNPUNISHED
from .tastes import COMMON, SETTINGS, flat, met, placed, punished, several
from .weights import inverse

STEPS = 50  # to a person's shares, at most; 5 to 10 are usual
SOFTEST = 0.02  # strength of the prior, at least


@dataclasses.dataclass(frozen=True)
class LoRe(Model):
    """reward = common(x, z) + sum_b w_b (x . V_b), with shares w_b >= 0 of the person that sum to 1:

        w = argmin  sum_i weight_i nll_i(w) + strength sum_b w_b log(w_b / w0_b)

    strength and the population's shares w0 are learned; without earlier choices w = w0. A share cannot be negative, so
    nobody dislikes what a reward V_b likes unless another one does. Source: LoRe, arXiv 2504.14439. Ours has the prior,
    which the published one has not, a common taste, which moves all V_b alike, and Newton's steps in place of projected
    gradients; every choice counts alike, where the published loss is a mean over each person's.

    rewards: B >= 2
    support: earlier choices of a person that are read, at most
    """

    settings = SETTINGS
    rewards: int = 4
    support: int = 10

    def __post_init__(self):
        if self.rewards < 2:
            raise ValueError(f"rewards: expected at least 2, got {self.rewards}")

    def init(self, key, spec):
        return {**several(key, spec, self.rewards), "strength": jnp.zeros(())}

    def shares(self, params, interactions):
        return {**punished(params, interactions), "strength": UNPUNISHED}

    def mixed(self, params: Any, people: Choices) -> Array:
        """Shares of every person, `[U, B]`.

        params: of the model
        people: leading axes `[U, S]`
        """
        before = flat(numeric(people))
        shape = people.weight.shape
        common, rewards = (
            leaf.reshape(*shape, *leaf.shape[1:])
            for leaf in (placed(COMMON.apply(params["common"], before), before), self._rewards(params, before))
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
            solved = inverse(jnp.moveaxis(curvature, 0, -1) + given[2] * jnp.eye(self.rewards)[..., None])
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

        begun = jnp.broadcast_to(seen[3], (shape[0], self.rewards))
        found = jax.lax.while_loop(going, step, (begun, jnp.ones(shape[0], bool), jnp.zeros((), int)))[0]
        found = jax.lax.stop_gradient(found)
        return jax.nn.softmax(found + move(given, found))

    def _rewards(self, params: Any, choices: Choices) -> Array:
        """Of all alternatives, `[n, K, B]`."""
        return placed(jnp.einsum("nkd,bd->nkb", choices.items, params["taste"]) + params["level"], choices)

    def apply(self, params, choices, *, people=None):
        people, choices = met(people, numeric(choices))
        own = self.mixed(params, people)[choices.unit]
        rewards = self._rewards(params, choices)[:, : choices.items.shape[1]]
        return COMMON.apply(params["common"], choices) + jnp.einsum("nkb,nb->nk", rewards, own)
