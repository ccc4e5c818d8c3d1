"""How well rewards predict choices: log-likelihood, accuracy, calibration error, ties. Weighted means over choices."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from constraints import Choices, Hard, log_softmax, log_softmax_pieces, read
from constraints.alternatives import highest, pieces, total

ECE_BINS = 15


def log_losses(rewards: Array | list[Array], choices: Choices) -> Array:
    """-sum_k chosen log softmax(rewards), `[n]`, in nats: conditional logit (McFadden 1974), Bradley-Terry at K = 2."""
    logs = log_softmax_pieces(rewards, choices.available)
    return -total([label * log for label, log in zip(pieces(choices.chosen), logs, strict=True)])


def weighted(values: Array, choices: Choices) -> Array:
    """sum_i weight_i values_i over choices, `[n]` -> scalar; as a product, which a CPU takes four times faster."""
    return jnp.dot(choices.weight, jnp.asarray(values, choices.weight.dtype), precision="highest")


def _mean(values: Array, choices: Choices) -> Array:
    return weighted(values, choices) / jnp.sum(choices.weight)


def nll(rewards: Array, choices: Choices) -> Array:
    """Mean negative log-likelihood, in nats."""
    return _mean(log_losses(rewards, choices), choices)


def accuracy(rewards: Array, choices: Choices) -> Array:
    """Probability that the best-rewarded alternative was chosen, in [0, 1]: mean of sum_k chosen * hard decision.

    Ties count their share; with soft labels that are known choice probabilities it is the expected accuracy.
    """
    return _mean(total(pieces(choices.chosen * read(Hard(), rewards, choices).decisions)), choices)


def tied(rewards: Array | list[Array], choices: Choices) -> Array:
    """Whether the best alternative is not unique, `[n]` bool."""
    there = pieces(choices.available)
    parts = [jnp.where(own, part, -jnp.inf) for part, own in zip(pieces(rewards), there, strict=True)]
    best = highest(parts)
    return total([jnp.asarray(part == best, jnp.int32) for part in parts]) != 1  # nobody is best where rewards are NaN


def ties(rewards: Array, choices: Choices) -> Array:
    """Share of the choices whose best alternative is not unique, in [0, 1]."""
    return _mean(tied(rewards, choices), choices)


def ece(rewards: Array, choices: Choices) -> Array:
    """Top-label expected calibration error, in [0, 1]: 15 bins of equal mass in the confidence.

    sum over bins of |sum_i w_i (confidence_i - label share of the predicted alternative_i)| / sum_i w_i.
    Source: Guo et al. ICML 2017, with equal-mass bins (Nguyen & O'Connor 2015).
    """
    probabilities = jnp.exp(log_softmax(rewards, choices.available))
    top = jnp.argmax(jnp.where(choices.available, probabilities, -1), axis=-1)[:, None]
    confidence = jnp.take_along_axis(probabilities, top, -1)[:, 0]
    correct = jnp.take_along_axis(choices.chosen, top, -1)[:, 0]
    order = jnp.argsort(confidence)
    weight = choices.weight[order]
    position = (jnp.cumsum(weight) - weight / 2) / jnp.sum(weight)
    bins = jnp.clip((position * ECE_BINS).astype(int), 0, ECE_BINS - 1)
    errors = jax.ops.segment_sum(weight * (confidence - correct)[order], bins, ECE_BINS)
    return jnp.sum(jnp.abs(errors)) / jnp.sum(weight)
