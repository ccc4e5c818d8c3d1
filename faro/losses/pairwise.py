"""The chosen alternative against each of the others."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from constraints.alternatives import joined

from .base import Loss


class Pairwise(Loss):
    """Mean over the other alternatives j of -log sigmoid(score of the chosen - score of j - margin); of pairs it is
    `Logit`, where there is no margin.

    Of soft labels the expectation. The margin is that of each choice, where the schema names its column. Source: Burges
    et al. ICML 2005 (RankNet), one choice a query; the margin of pairs Touvron et al. 2023 (Llama 2), section 3.2.2.
    """

    def per_choice(self, seen, choices):
        scores, there = joined(seen.scores), choices.available
        apart = scores[..., :, None] - scores[..., None, :]
        if "margin" in choices.columns:
            apart = apart - choices.columns["margin"][..., :, None]
        other = there[..., None, :] & ~jnp.eye(scores.shape[-1], dtype=bool)
        lost = jnp.where(other, jax.nn.softplus(-jnp.where(other, apart, 0)), 0).sum(-1)
        return jnp.sum(choices.chosen * lost, -1) / jnp.maximum(there.sum(-1) - 1, 1)
