"""Advantages that need no memory: of the rewards of a generation group and of the batch alone."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from constraints import static

from ..errors import UsageError
from .advantage import Advantage, Rated, needed


class GRPO(Advantage):
    """Group-relative: (R - mean of the row) / (s.d. of the row + epsilon).

    Source: Shao et al. arXiv 2402.03300.
    """

    def of(self, state, rated):
        return standard(rated.known, rated.weight, self.epsilon), state


class DrGRPO(Advantage):
    """ "GRPO done right": R - mean of the row, without a scale. Take `length = "constant"` in the surrogate with it.

    Source: Liu et al. arXiv 2503.20783.
    """

    standardised = False

    def of(self, state, rated):
        return centred(rated.known, rated.weight)[0], state


class LitePPO(Advantage):
    """(R - mean of the row) / (s.d. of all rewards of the batch + epsilon).

    That the deviation is of the raw rewards is our reading. Source: arXiv 2508.08221.
    """

    def of(self, state, rated):
        deviation = jnp.sqrt(moments(rated.known, rated.weight, None)[1])
        return centred(rated.known, rated.weight)[0] / (deviation + self.epsilon), state


class GDPO(Advantage):
    """Group reward-decoupled normalisation: each of M rewards is standardised in its row, the weighted sum whitened
    over the batch. Not group distributional preference optimisation, which has the same letters.

    weights: of the M rewards; None: all 1
    Source: arXiv 2601.05242.
    """

    reads = ("several",)

    weights: tuple[float, ...] | None = static(default=None)

    def of(self, state, rated):
        needed(self, rated)
        weight, many = rated.weight[..., None], rated.several.shape[-1]
        if self.weights is not None and len(self.weights) != many:
            raise UsageError(f"GDPO: expected {many} weights, one of each reward, got {len(self.weights)}")
        apart = standard(jnp.where(weight > 0, rated.several, 0), weight, self.epsilon, axis=1)
        summed = jnp.sum(apart * jnp.asarray(1.0 if self.weights is None else self.weights), -1)
        return whitened(summed, rated.weight, self.epsilon), state


class Stratified(Advantage):
    """A control: standardised among the answers of the row that were rated for the same preference group."""

    reads = ("groups",)

    def of(self, state, rated):
        needed(self, rated)
        same, count = alike(rated)
        mean = jnp.einsum("nij,nj->ni", same, rated.known) / count
        square = jnp.sum(same * (rated.known[:, None, :] - mean[:, :, None]) ** 2, -1) / count
        advantage = rated.weight * (rated.known - mean) / (jnp.sqrt(square) + self.epsilon)
        return jnp.where(rated.groups >= 0, advantage, 0), state


class OwnZ(Advantage):
    """A control: every answer is rated for every group (`several [N, G, P]`); the standardised reward of its own."""

    reads = ("groups", "several")

    def of(self, state, rated):
        needed(self, rated)
        weight = rated.weight[..., None]
        apart = standard(jnp.where(weight > 0, rated.several, 0), weight, self.epsilon, axis=1)
        own = jnp.take_along_axis(apart, jnp.maximum(rated.groups, 0)[..., None], -1)[..., 0]
        return jnp.where(rated.groups >= 0, own, 0), state


# What formulas are made of --------------------------------------------------------------------------------------------


def moments(values: Array, weight: Array, axis: int | None) -> tuple[Array, Array]:
    """Mean and variance (of the population) of weighted values along an axis, which is kept; None: of all."""
    count = jnp.maximum(jnp.sum(weight, axis, keepdims=True), 1)
    mean = jnp.sum(weight * values, axis, keepdims=True) / count
    return mean, jnp.sum(weight * (values - mean) ** 2, axis, keepdims=True) / count


def centred(values: Array, weight: Array, axis: int | None = -1) -> tuple[Array, Array]:
    """Values less their mean, 0 without weight; and the variance."""
    mean, variance = moments(values, weight, axis)
    return weight * (values - mean), variance


def standard(values: Array, weight: Array, epsilon: Any, axis: int | None = -1) -> Array:
    """Values less their mean, over their standard deviation."""
    apart, variance = centred(values, weight, axis)
    return apart / (jnp.sqrt(variance) + epsilon)


def whitened(values: Array, weight: Array, epsilon: Any) -> Array:
    """Standardised over the whole batch."""
    return standard(values, weight, epsilon, axis=None)


def alike(rated: Rated) -> tuple[Array, Array]:
    """`[N, G, G]` 1 where two answers of a row are rated for one group, and how many are like each, `[N, G]` >= 1."""
    assert rated.groups is not None
    pair = (rated.groups[:, :, None] == rated.groups[:, None, :]) & (rated.groups[:, :, None] >= 0)
    same = pair * rated.weight[:, None, :] * rated.weight[:, :, None]
    return same, jnp.maximum(same.sum(-1), 1)
