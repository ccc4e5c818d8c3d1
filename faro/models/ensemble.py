"""A few weighted rewards whose votes are as people's are, where nobody knows whose vote is whose."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from .base import Model, Prediction, at_least, numeric
from .linear import Linear
from .personal.tastes import placed
from .personal.weights import mean_of

MEMBER = Linear(scale=0.3)  # long enough that a step does not turn it round, short enough that it turns


@dataclasses.dataclass(frozen=True)
class Ensemble(Model):
    """P(choice) = sum_k a_k softmax(sharpness r_k), with r_k the rewards of `Linear` at weights of length 1.

    So sharp a softmax is nearly a vote, and P the share of the votes; trained by `faro.losses.Brier` on shares of pairs
    it is a pairwise calibrated ensemble. `Softmax(1)` is then the decision of one member, drawn by its weight, and
    `Argmax` that of their majority. A fit depends on where it begins: seeds are its starts. Source: arXiv 2506.06298;
    the joint fit at one sharpness is ours, see `faro.voting.ensemble`.

    members: K >= 1
    sharpness: > 0
    """

    settings: ClassVar[dict[str, Any]] = {"steps": 300, "every": 10, "weight_decay": 0.0, "interactions": 1.0}
    members: int = 3
    sharpness: float = 20.0

    def __post_init__(self):
        at_least(self, members=1)
        if not 0 < self.sharpness < float("inf"):
            raise ValueError(f"sharpness: expected a number above 0, got {self.sharpness}")

    def init(self, key, spec):
        every = jax.vmap(lambda own: MEMBER.init(own, spec))(jax.random.split(key, self.members))
        return {"members": every, "share": jnp.zeros(self.members)}

    def shares(self, params, interactions):
        return 0.0  # their length does not matter

    def apply(self, params, choices):
        choices = numeric(choices)

        def rewards(member):
            length = jnp.sqrt(jnp.sum(ravel_pytree(member)[0] ** 2) + 1e-12)
            return self.sharpness / length * MEMBER.apply(member, choices)

        inside = jax.vmap(rewards, out_axes=-1)(params["members"])  # [n, J, K]
        log_share = jax.nn.log_softmax(params["share"])
        found = mean_of(jnp.moveaxis(placed(inside, choices), -1, 1), choices.available, log_share)
        return Prediction(inside @ jnp.exp(log_share), found)
