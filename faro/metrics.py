"""How well rewards predict choices: log-likelihood, accuracy, calibration error, ties. Weighted means over choices."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from constraints import Argmax, Choices, decide, log_softmax, log_softmax_pieces
from constraints.alternatives import highest, pieces, total

ECE_BINS = 15
ROUNDINGS = 16  # units of rounding of the largest reward (1 at least): rewards that are nearer are the same


def log_losses(rewards: Array | list[Array], choices: Choices) -> Array:
    """-sum_k chosen log softmax(rewards), `[n]`, in nats: conditional logit (McFadden 1974), Bradley-Terry at K = 2."""
    logs = log_softmax_pieces(rewards, choices.available)
    return -total([label * log for label, log in zip(pieces(choices.chosen), logs, strict=True)])


def weighted(values: Array, choices: Choices) -> Array:
    """sum_i weight_i values_i over choices, `[n]` -> scalar; as a product, which a CPU takes four times faster."""
    return jnp.dot(choices.weight, jnp.asarray(values, choices.weight.dtype), precision="highest")


def _mean(values: Array, choices: Choices) -> Array:
    return weighted(values, choices) / jnp.sum(choices.weight)


def nll(rewards: Array | list[Array], choices: Choices) -> Array:
    """Mean negative log-likelihood, in nats."""
    return _mean(log_losses(rewards, choices), choices)


def accuracy(rewards: Array, choices: Choices) -> Array:
    """Probability that the best-rewarded alternative was chosen, in [0, 1]: mean of sum_k chosen * hard decision.

    Ties count their share; with soft labels that are known choice probabilities it is the expected accuracy.
    """
    return _mean(total(pieces(choices.chosen * decide(Argmax(), rewards, choices).decisions)), choices)


def tied(rewards: Array | list[Array], choices: Choices) -> Array:
    """Whether the best alternative is not unique up to rounding, `[n]` bool: so a tie in float64 is one in float32."""
    there = pieces(choices.available)
    masked = [jnp.where(exists, piece, -jnp.inf) for piece, exists in zip(pieces(rewards), there, strict=True)]
    best = highest(masked)
    largest = jnp.max(jnp.where(jnp.isfinite(best), jnp.abs(best), 0), initial=1)
    near = best - ROUNDINGS * jnp.finfo(best.dtype).eps * largest
    return total([jnp.asarray(piece >= near, jnp.int32) for piece in masked]) != 1  # none is best where rewards are NaN


def ties(rewards: Array, choices: Choices) -> Array:
    """Share of the choices whose best alternative is not unique, in [0, 1]."""
    return _mean(tied(rewards, choices), choices)


def spread(rewards: Array | list[Array], choices: Choices) -> Array:
    """Twice the standard deviation of the rewards within a choice, over all choices: of pairs, the root mean square of
    the difference. At least 1e-6, so that it can be a unit."""
    there = pieces(choices.available)
    present = [jnp.where(exists, piece, 0) for piece, exists in zip(pieces(rewards), there, strict=True)]
    count = jnp.maximum(total(there), 1)
    mean = total(present) / count
    squares = total([jnp.where(exists, (piece - mean) ** 2, 0) for piece, exists in zip(present, there, strict=True)])
    return jnp.maximum(2 * jnp.sqrt(_mean(squares / count, choices)), 1e-6)


def top_label(rewards: Array, choices: Choices) -> tuple[Array, Array]:
    """Of the alternative that is most probable, its probability and its label, `[n]` each."""
    probabilities = jnp.exp(log_softmax(rewards, choices.available))
    top = jnp.argmax(jnp.where(choices.available, probabilities, -1), axis=-1)[:, None]
    return jnp.take_along_axis(probabilities, top, -1)[:, 0], jnp.take_along_axis(choices.chosen, top, -1)[:, 0]


def ece(confidence: np.ndarray, label: np.ndarray, weight: np.ndarray) -> float:
    """Top-label expected calibration error, in [0, 1]: 15 bins of equal mass in the confidence.

    sum over bins of |sum_i w_i (confidence_i - label_i)| / sum_i w_i, of `top_label`. Where the same confidence lies in
    several bins, each has its share of their labels, so that the order of rows of equal weights does not matter. On the
    host, where sorting is five times as fast as in a program on a CPU.
    Source: Guo et al. ICML 2017, with equal-mass bins (Nguyen & O'Connor 2015).
    """
    if not len(confidence):
        return float("nan")
    order = np.argsort(confidence, kind="stable")
    weight, confidence = weight[order], confidence[order]
    first = np.flatnonzero(np.append(True, np.diff(confidence) != 0))  # of those with the same confidence
    mass = np.add.reduceat(weight, first)
    of_same = np.add.reduceat(weight * label[order], first) / np.where(mass > 0, mass, 1)
    label = np.repeat(of_same, np.diff(np.append(first, len(order))))
    position = (np.cumsum(weight) - weight / 2) / np.sum(weight)
    bins = np.clip(np.nan_to_num(position * ECE_BINS).astype(int), 0, ECE_BINS - 1)
    errors = np.bincount(bins, weight * (confidence - label), ECE_BINS)
    return float(np.sum(np.abs(errors)) / np.sum(weight))
