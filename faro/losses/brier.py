"""Squared distance of probabilities and shares."""

from __future__ import annotations

import jax.numpy as jnp

from constraints import log_softmax_pieces
from constraints.alternatives import pieces, total

from .base import Loss


class Brier(Loss):
    """Half the squared distance of what is predicted and what was chosen, in [0, 1]; of pairs (p - share)^2:

        1/2 sum_k (p_k - chosen_k)^2        p the choice probabilities

    Its mean over single votes is that over shares of votes and a constant, so both have the same optimum. Bounded: a
    choice that is foretold with near certainty and wrong counts 1, where `Logit` has no limit. Source: Brier 1950.
    """

    def per_choice(self, seen, choices):
        logs = log_softmax_pieces(seen.scores, choices.available)
        there, chosen = pieces(choices.available), pieces(choices.chosen)
        apart = [jnp.where(here, jnp.exp(log) - own, 0) for here, log, own in zip(there, logs, chosen, strict=True)]
        return total([part**2 for part in apart]) / 2
