"""A person is of one of a few kinds: tastes that come in groups without names."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from constraints import log_softmax

from ..base import Model, Prediction, at_least, numeric
from . import weights
from .tastes import COMMON, SETTINGS, flat, met, placed, punished, several


@dataclasses.dataclass(frozen=True)
class LatentClass(Model):
    """P(choice) = sum_k share_k(person) softmax(common(x, z) + [x, 1] . W_k), where
    share_k(person) is in proportion to share_k times the probability of the person's earlier choices under W_k.

    The posterior is exact. Kinds are numbered by chance; of one binary choice a person they are not identified, earlier
    choices of people are what tells them apart. Source: Kamakura and Russell 1989; the mixture of MaxMin-RLHF, arXiv
    2402.08925, is of this kind, with hard assignment.

    kinds: K >= 2
    support: earlier choices of a person that are read, at most
    """

    settings = SETTINGS
    kinds: int = 4
    support: int = 10

    def __post_init__(self):
        at_least(self, kinds=2, support=1)

    def init(self, key, spec):
        return several(key, spec, self.kinds)

    def shares(self, params, interactions):
        return punished(params, interactions)

    def apply(self, params, choices, *, people=None):
        people, choices = met(people, numeric(choices))
        before = flat(numeric(people))
        logs = log_softmax(self._scores(params, before), before.available[:, None])
        told = jnp.where(before.chosen[:, None] > 0, before.chosen[:, None] * logs, 0).sum(-1)  # [U S, kinds]
        told = (before.weight[:, None] * told).reshape(*people.weight.shape, self.kinds).sum(1)
        log_share = jax.nn.log_softmax(params["share"] + told)[choices.unit]
        scores = self._scores(params, choices)
        found = weights.mean_of(scores, choices.available, log_share)
        mean = jnp.einsum("nrk,nr->nk", scores, jnp.exp(log_share))
        return Prediction(mean[:, : choices.items.shape[1]], found)

    def _scores(self, params, choices):
        """Rewards of all alternatives under each kind, `[n, kinds, K]`."""
        own = jnp.einsum("nkd,rd->nkr", choices.items, params["taste"]) + params["level"]
        common = COMMON.apply(params["common"], choices)
        return jnp.moveaxis(placed(common[..., None] + own, choices), -1, 1)
