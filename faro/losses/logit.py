"""The conditional logit, and what it becomes where labels are not to be trusted."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from constraints import log_softmax_pieces
from constraints.alternatives import pieces, total

from .. import metrics
from .base import Loss


class Logit(Loss):
    """The conditional logit, in nats; Bradley-Terry at K = 2:

        -sum_k chosen_k log softmax(scores)_k

    Source: McFadden 1974.
    """

    logistic = True

    def per_choice(self, seen, choices):
        return metrics.log_losses(seen.scores, choices)


class Smoothed(Loss):
    """The conditional logit of smoothed labels: (1 - share) chosen + share / K over the alternatives there are.

    share: in [0, 1); 0 is `Logit`
    Source: Szegedy et al. CVPR 2016, section 7.
    """

    share: Any = 0.1

    def per_choice(self, seen, choices):
        logs = log_softmax_pieces(seen.scores, choices.available)
        there = pieces(choices.available)
        count = total([jnp.asarray(available, choices.weight.dtype) for available in there])
        smooth = -total([jnp.where(available, log, 0) for available, log in zip(there, logs, strict=True)]) / count
        return (1 - self.share) * metrics.log_losses(seen.scores, choices) + self.share * smooth


class Noisy(Loss):
    """The conditional logit, corrected for labels that are wrong at a known rate: its mean over noisy labels is that of
    `Logit` over true ones.

        loss(y) = (l(y) - b sum_k l(k)) / (1 - K b)      l(k) = -log softmax(scores)_k,  b = rate / (K - 1)

    rate: chance in [0, (K - 1) / K) that another alternative, each as likely, stands where the chosen one should.
    Source: Natarajan et al. NeurIPS 2013, Lemma 1; of pairs Chowdhury et al. ICML 2024.
    """

    rate: Any = 0.1

    def per_choice(self, seen, choices):
        logs = log_softmax_pieces(seen.scores, choices.available)
        there = pieces(choices.available)
        count = total([jnp.asarray(available, choices.weight.dtype) for available in there])
        everything = -total([jnp.where(available, log, 0) for available, log in zip(there, logs, strict=True)])
        other = jnp.where(count > 1, self.rate / jnp.maximum(count - 1, 1), 0)
        return (metrics.log_losses(seen.scores, choices) - other * everything) / (1 - count * other)
