"""Few directions of taste: a person's reward is a product of low rank."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from ..base import at_least
from .tastes import Tastes

START = 0.5  # length of a direction, of all features together, at the start


@dataclasses.dataclass(frozen=True)
class PReF(Tastes):
    """reward = common(x, z) + u . A x, with rank q of A `[q, d]` and a person's weights u ~ N(0, I).

    Source: PReF, arXiv 2503.06358; RFM, arXiv 2503.17338, is the same family. Ours has a common taste, of which the
    published one has a fixed first weight; a prior whose scale is learned with A, in place of a ridge; means over what
    is not known of a person, in place of the mode; and no start by SVD, since a model sees shapes before it is trained
    and no choices: directions start at random.

    support: earlier choices of a person that are read, at most
    draws: points over which probabilities are means, among more than two alternatives
    rank: q, >= 1
    """

    rank: int = 3

    def __post_init__(self):
        super().__post_init__()
        at_least(self, rank=1)

    def begin(self, key, spec):
        d = spec.items.shape[-1]
        return START / d**0.5 * jax.random.normal(key, (self.rank, d))

    def directions(self, params, items, common):
        return jnp.einsum("qd,nkd->nkq", params, items)
