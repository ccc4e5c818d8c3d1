"""Exposure: rankings give attention by position, and groups of alternatives share it.

    v(rank) = 1 / log2(1 + rank)        exposure of an alternative = v(its rank by reward) / sum of v over the choice

Parity of mean exposure over groups of alternatives. Ties share the positions they take. The proxy replaces a rank by
1 + sum over rivals of sigma((r_rival - r) / softness). Source: Singh & Joachims KDD 2018.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ._choices import Attribute
from ._constraint import Constraint
from ._grouping import Grouping
from ._outcome import Outcome
from ._parity import GroupParity


class ExposureParity(GroupParity):
    """Equal mean exposure, in place of decisions, over the groups of each stratum."""

    softness: float = 0.1

    def affine(self):
        return None

    def decision_values(self, outcome: Outcome):
        rewards, available = jax.lax.stop_gradient(outcome.rewards), _available(outcome)
        rival = available[:, None, :]
        above = jnp.sum(rival & (rewards[:, None, :] > rewards[:, :, None]), -1)
        tied = jnp.sum(rival & (rewards[:, None, :] == rewards[:, :, None]), -1)
        table = np.concatenate([[0.0], np.cumsum(1 / np.log2(1 + np.arange(1, rewards.shape[-1] + 1)))])
        attention = jnp.asarray(table, rewards.dtype)
        value = (attention[above + tied] - attention[above]) / jnp.maximum(tied, 1)
        return _share(value, available)

    def proxy_sums(self, outcome, rows):
        rewards, available = outcome.rewards, _available(outcome)
        ahead = jax.nn.sigmoid((rewards[:, None, :] - rewards[:, :, None]) / self.softness)
        rivals = available[:, None, :] & ~jnp.eye(rewards.shape[-1], dtype=bool)
        rank = 1 + jnp.sum(jnp.where(rivals, ahead, 0), -1)
        return self.total(_share(1 / jnp.log2(1 + rank), available), rows)


def _available(outcome: Outcome) -> Array:
    return jnp.ones(outcome.rewards.shape, bool) if outcome.available is None else outcome.available


def _share(value: Array, available: Array) -> Array:
    value = jnp.where(available, value, 0)
    total = value.sum(-1, keepdims=True)
    return (value / jnp.where(total > 0, total, 1))[..., None]


def exposure_parity(attribute: Attribute, bound=0.05, *, of=None, within=None, form="centred") -> Constraint:
    """Alternatives of every group get the same share of attention when each choice is shown ranked by reward:

        |mean share in g - mean share in h| <= bound        share = v(rank) / sum of v,  v(rank) = 1 / log2(1 + rank)

    attribute: declared `Attribute`, of the alternatives or of the chooser, whose groups are compared
    bound: in [0, 1]
    of: (attribute, level): only alternatives of this kind count; needed for a chooser's attribute
    within: an attribute, inside each level of which groups are compared; None: everywhere at once
    form: how the rows say it: "centred" (exact), "anchored" (stricter, at most by a factor 2), "pairwise" (exact,
        quadratic in the groups)
    Source: Singh & Joachims KDD 2018.
    """
    who = Grouping(attribute, of, within)
    return ExposureParity(bound=bound, who=who, form=form, title="exposure_parity")
