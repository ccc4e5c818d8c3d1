"""A person mixes a few rewards that all share, with weights that are shares: on the simplex."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from ..base import at_least
from ..linear import UNPUNISHED
from .shares import Shares
from .tastes import COMMON, punished, several


@dataclasses.dataclass(frozen=True)
class LoRe(Shares):
    """reward = common(x, z) + sum_b w_b (x . V_b), with shares w of the person (`Shares`).

    A share cannot be negative, so nobody dislikes what a reward V_b likes unless another one does. Source: LoRe, arXiv
    2504.14439. Ours has the prior, which the published one has not, a common taste, which moves all V_b alike, and
    Newton's steps in place of projected gradients; every choice counts alike, where the published loss is a mean over
    each person's.

    rewards: B >= 2
    support: earlier choices of a person that are read, at most
    """

    rewards: int = 4
    support: int = 10

    def __post_init__(self):
        at_least(self, rewards=2, support=1)

    def init(self, key, spec):
        return {**several(key, spec, self.rewards), "strength": jnp.zeros(())}

    def shares(self, params, interactions):
        return {**punished(params, interactions), "strength": UNPUNISHED}

    def pieces(self, params, choices):
        own = jnp.einsum("nkd,bd->nkb", choices.items, params["taste"]) + params["level"]
        return COMMON.apply(params["common"], choices), own
