"""Best-of-n: of n answers of a reference the one with the largest reward is kept. Its law is known and computed.

With the alternatives of a set in the order of their rewards, what is kept is a level of tied rewards or below with
probability G, and a level is shared in proportion to the reference:

    enumerated set, reference p:        G = F(level)^n,  F the c.d.f. of rewards under p; any n >= 1
    N draws of the reference, kept:     G = C(c, n) / C(N, n),  c of the draws at the level or below; n <= N

The first is the law itself (n may exceed K); the second is its mean over all n of the N draws, an unbiased estimate of
the law of the prompt. Both cost a sort, O(K log K). Source: Beirami et al. 2024 (arXiv 2401.01879), theorem 1.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from ._choices import record
from ._outcome import DecisionRule, log_softmax
from .alternatives import joined


@record
class BestOf(DecisionRule):
    """Best of n draws of the reference over an enumerated set: level v of rewards is kept with probability
    F(v)^n - F(v-)^n, in which alternative k has the share p_k / p(v). Without `log_ref` the reference is uniform.

    n: >= 1; 1 is the reference itself
    """

    n: Any = 1

    def decide(self, rewards, available, log_ref):
        order, level = _sorted(rewards, available)
        chances = jnp.exp(log_softmax(jnp.broadcast_to(log_ref, available.shape), available))
        mass = jnp.take_along_axis(jnp.where(available, chances, 0), order, -1)
        below = jnp.cumsum(mass, -1)
        start, end = _at(below, level.first - 1), _at(below, level.last)
        top = below[..., -1:]  # 1 but for rounding
        kept = (end / top) ** self.n - (start / top) ** self.n
        shared = mass / jnp.where(end > start, end - start, 1)
        return _unsorted(kept * shared, order)

    def softened(self, temperature):
        return SmoothBestOf(n=self.n, temperature=temperature)


@record
class BestOfDraws(DecisionRule):
    """Best of n of the N draws of the reference that a set consists of: rank i of N, ascending, has the weight
    C(i - 1, n - 1) / C(N, n), averaged over tied ranks. Refuses `log_ref`: draws are kept as often as they came, and
    weighing them again would square the reference.

    n: whole, 1 <= n <= N of every set; beyond N decisions are NaN
    """

    n: Any = 1
    draws = True

    def decide(self, rewards, available, log_ref):
        order, level = _sorted(rewards, available)
        k = order.shape[-1]
        draws = jnp.sum(available, -1, keepdims=True)
        count = jnp.arange(1, k + 1) - (k - draws)  # of the draws at this place or below; what is unavailable is first
        real = jnp.asarray(joined(rewards)).dtype
        # C(c, n) / C(N, n) is a product over j = c + 1..N of (j - n) / j
        factors = jnp.where(count > self.n, jnp.log1p(-self.n / jnp.maximum(count, self.n + 1).astype(real)), 0)
        after = jnp.cumsum(factors[..., ::-1], -1)[..., ::-1] - factors
        at_most = jnp.where(count >= self.n, jnp.exp(after), 0)
        start, end = _at(at_most, level.first - 1), _at(at_most, level.last)
        kept = (end - start) / (level.last - level.first + 1)
        kept = jnp.where(draws >= self.n, kept, jnp.nan)
        return _unsorted(jnp.where(count > 0, kept, 0), order)

    def softened(self, temperature):
        return SmoothBestOfDraws(n=self.n, temperature=temperature)


@record
class SmoothBestOf(DecisionRule):
    """A differentiable stand-in of `BestOf`, for training: F is smoothed by sigma((r_k - r_j) / temperature),

        at most   hi_k = sum_j p_j min(1, 2 sigma_kj)       below   lo_k = sum_j p_j max(0, 2 sigma_kj - 1)
        decision_k  proportional to  p_k (hi_k^n - lo_k^n) / (hi_k - lo_k)

    whose mean (hi + lo) / 2 is the smoothed F; towards temperature 0 it is the exact law, ties included. O(K^2).

    n: >= 1
    temperature: > 0, in units of the rewards
    """

    n: Any = 1
    temperature: Any = 1.0

    def decide(self, rewards, available, log_ref):
        chances = jnp.exp(log_softmax(jnp.broadcast_to(log_ref, available.shape), available))
        chances = jnp.where(available, chances, 0)
        high, low = _smoothed(joined(rewards), chances, self.temperature)
        level = jnp.maximum(high - low, jnp.finfo(high.dtype).tiny)
        return _normalised(chances * (high**self.n - low**self.n) / level)


@record
class SmoothBestOfDraws(DecisionRule):
    """The same stand-in of `BestOfDraws`: C(c, n) / C(N, n) at the smoothed counts c = N hi and N lo, by log-gamma.

    n: 1 <= n <= N of every set
    temperature: > 0, in units of the rewards
    """

    n: Any = 1
    temperature: Any = 1.0
    draws = True

    def decide(self, rewards, available, log_ref):
        values = joined(rewards)
        draws = jnp.sum(available, -1, keepdims=True).astype(values.dtype)
        chances = jnp.where(available, 1 / draws, 0)
        high, low = _smoothed(values, chances, self.temperature)
        level = jnp.maximum(high - low, jnp.finfo(high.dtype).tiny)
        return _normalised(chances * (self._at_most(high * draws, draws) - self._at_most(low * draws, draws)) / level)

    def _at_most(self, count: Array, draws: Array) -> Array:
        there = count > self.n - 1 + 1e-6
        count = jnp.where(there, count, self.n)
        log = jax.lax.lgamma
        ways = log(count + 1) - log(count - self.n + 1) - log(draws + 1) + log(draws - self.n + 1)
        return jnp.where(there, jnp.exp(ways), 0)


@record
class _Level:
    """Of every place of a sorted set the first and the last of those whose rewards are tied with it."""

    first: Array
    last: Array


def _sorted(rewards: Array | list[Array], available: Array) -> tuple[Array, _Level]:
    """The order of the rewards, ascending, what is unavailable first; and the levels of tied ones."""
    values = jnp.where(available, jax.lax.stop_gradient(joined(rewards)), -jnp.inf)
    order = jnp.argsort(values, -1)
    values = jnp.take_along_axis(values, order, -1)
    places = jnp.broadcast_to(jnp.arange(values.shape[-1]), values.shape)
    begins = jnp.concatenate([jnp.ones_like(values[..., :1], bool), values[..., 1:] != values[..., :-1]], -1)
    ends = jnp.concatenate([begins[..., 1:], jnp.ones_like(begins[..., :1])], -1)
    axis, size = values.ndim - 1, values.shape[-1]
    first = jax.lax.cummax(jnp.where(begins, places, 0), axis)
    last = jax.lax.cummin(jnp.where(ends, places, size), axis, reverse=True)
    return order, _Level(first=first, last=last)


def _at(values: Array, places: Array) -> Array:
    """Values at places of the last axis; 0 before the first."""
    return jnp.where(places < 0, 0, jnp.take_along_axis(values, jnp.maximum(places, 0), -1))


def _unsorted(values: Array, order: Array) -> Array:
    return jnp.take_along_axis(values, jnp.argsort(order, -1), -1)


def _smoothed(rewards: Array, chances: Array, temperature: Any) -> tuple[Array, Array]:
    """Smoothed probabilities that a draw has at most, and less than, the reward of alternative k, `[..., K]` each."""
    above = jax.nn.sigmoid((rewards[..., :, None] - rewards[..., None, :]) / temperature)
    others = chances[..., None, :]
    return jnp.sum(others * jnp.minimum(1, 2 * above), -1), jnp.sum(others * jnp.maximum(0, 2 * above - 1), -1)


def _normalised(weights: Array) -> Array:
    return weights / jnp.maximum(jnp.sum(weights, -1, keepdims=True), jnp.finfo(weights.dtype).tiny)
