"""The chosen alternative against each of the others."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from constraints.alternatives import joined

from .base import Loss


class Pairwise(Loss):
    """Mean over the other alternatives j of -log sigmoid(score of the chosen - score of j); of pairs it is `Logit`.

    Of soft labels the expectation. Source: Burges et al. ICML 2005 (RankNet), one choice a query.
    """

    def per_choice(self, seen, choices):
        scores, there = joined(seen.scores), choices.available
        apart = scores[..., :, None] - scores[..., None, :]
        other = there[..., None, :] & ~jnp.eye(scores.shape[-1], dtype=bool)
        lost = jnp.where(other, jax.nn.softplus(-jnp.where(other, apart, 0)), 0).sum(-1)
        return jnp.sum(choices.chosen * lost, -1) / jnp.maximum(there.sum(-1) - 1, 1)
