"""Advantages that remember: baselines and scales from the history of rewards, in a state of a few numbers a group."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from .advantage import Advantage, needed
from .rows import alike, moments, whitened

LEAST = 8  # rewards of a group from which its mean and deviation are used


class History(NamedTuple):
    """Running mean and variance of each of P groups: three numbers each, as of one pass over all that was added.

        n <- n + m        mean <- mean + d m / n        squares <- squares + s + d^2 m (n - m) / n

    of m new values, d their mean less the old one, s their squared deviations. Sources: Welford, Technometrics 1962;
    of batches: Chan, Golub & LeVeque, The American Statistician 1983.

    n: `[P]` how many values
    mean: `[P]`
    squares: `[P]` sum of squared deviations
    """

    n: Array
    mean: Array
    squares: Array

    @classmethod
    def empty(cls, groups: int) -> History:
        """Of nothing."""
        return cls(*(jnp.zeros(groups) for _ in cls._fields))

    @property
    def variance(self) -> Array:
        """`[P]`, of the population; 0 of nothing."""
        return self.squares / jnp.maximum(self.n, 1)

    def told(self) -> dict[str, Array]:
        """What a run reports of it, by name, `[P]` each."""
        return {"seen": self.n, "mean": self.mean, "deviation": jnp.sqrt(self.variance)}

    def add(self, values: Array, groups: Array, weight: Array) -> History:
        """With more values.

        values, groups, weight: of one shape; group -1 belongs to nobody, weights are 0 or 1
        """
        here = sums_of(len(self.n), groups)
        more = here(weight)
        mean = here(weight * values) / jnp.maximum(more, 1)
        apart = jnp.where(groups >= 0, values - mean[groups], 0)
        count = self.n + more
        share, away = more / jnp.maximum(count, 1), mean - self.mean
        squares = self.squares + here(weight * apart**2) + away**2 * self.n * share
        return History(count, self.mean + away * share, squares)


def sums_of(groups: int, codes: Array) -> Any:
    """Sums over the values of each group, `[P]`; code -1 is in none."""
    place = jnp.where(codes < 0, groups, codes).ravel()
    return lambda values: jax.ops.segment_sum(values.ravel(), place, groups)


class PGRPO(Advantage):
    """P-GRPO, personalised group-relative policy optimisation: against the reward history of the preference group.

        (R - mean of the group) / (s.d. of the group + epsilon)

    Mean and deviation are from before the step, so that a baseline does not depend on what it is a baseline of; 0 until
    a group has had `least` rewards, and while they are all equal, which gives no scale. The paper's text was not
    available to us: formula and Welford's sums come from two accounts that agree; the order, the population variance,
    `least` and what is said of equal rewards are our choice. Not posterior, pattern-aware or progressive GRPO, which
    have the same letters.

    least: rewards that a group must have had
    Source: arXiv 2603.10009.
    """

    reads = ("groups",)

    least: Any = LEAST

    def begin(self, groups):
        return History.empty(groups)

    def of(self, state, rated):
        needed(self, rated)
        mean, deviation, count = of_groups(rated.groups, state.mean, jnp.sqrt(state.variance), state.n)
        advantage = rated.weight * (rated.known - mean) / (deviation + self.epsilon)
        after = state.add(rated.known, rated.groups, rated.weight)
        said = (count >= self.least) & (deviation > 0) & (rated.groups >= 0)
        return jnp.where(said, advantage, 0), after

    def remembered(self, state):
        return state.told()


class EBPO(Advantage):
    """Empirical-Bayes shrinkage: the mean of the row is drawn to that of all, and what is left is whitened.

        V = (1 - S) mean of the row + S mean of all        S = (sigma^2 / G) / (sigma^2 / G + tau^2)

    sigma^2 is the running variance of all rewards and tau^2 that of the means of rows, this step included: the one
    account that we have of the paper says so.

    Source: arXiv 2602.05165.
    """

    def begin(self, groups):
        return History.empty(1), History.empty(1)

    def of(self, state, rated):
        values, weight = rated.known, rated.weight
        own, _ = moments(values, weight, 1)
        there = jnp.any(weight > 0, 1, keepdims=True)
        nobody = jnp.zeros(values.shape, int)
        every = state[0].add(values, nobody, weight)
        rows = state[1].add(own, nobody[:, :1], jnp.asarray(there, weight.dtype))
        noise = every.variance / jnp.maximum(weight.sum(1, keepdims=True), 1)
        total = noise + rows.variance
        shrink = jnp.where(total > 0, noise / jnp.where(total > 0, total, 1), 1)
        baseline = (1 - shrink) * own + shrink * every.mean
        return whitened(weight * (values - baseline), weight, self.epsilon), (every, rows)


class Within(NamedTuple):
    """What the hybrid remembers.

    history: of all rewards by group
    squares: `[P]` squared deviations from the mean of the group in its row
    degrees: `[P]` of freedom of them
    """

    history: History
    squares: Array
    degrees: Array


class Hybrid(Advantage):
    """A control: between the row and the history, by how much either is known to say.

        (R - [(1 - S) m + S mean of the group]) / (sigma + epsilon)      S = v / (v + tau^2)      v = sigma^2 / (k - 1)

    m is the mean of the row's other answers of the same group, k how many there are with it, sigma^2 the running
    variance of a group within rows, tau^2 what its whole variance has beyond that; S is 1 where k is 1. Statistics are
    from before the step; 0 until a group has had `least` rewards, and while they do not differ within rows.

    least: rewards that a group must have had
    """

    reads = ("groups",)

    least: Any = LEAST

    def begin(self, groups):
        return Within(History.empty(groups), jnp.zeros(groups), jnp.zeros(groups))

    def of(self, state, rated):
        needed(self, rated)
        values, weight, groups = rated.known, rated.weight, rated.groups
        same, count = alike(rated)
        total = jnp.einsum("nij,nj->ni", same, values)
        others = (total - values) / jnp.maximum(count - 1, 1)
        whole = state.history.variance
        within = jnp.where(state.degrees > 0, state.squares / jnp.maximum(state.degrees, 1), whole)
        mean, inside, between, seen = of_groups(
            groups, state.history.mean, within, jnp.maximum(whole - within, 0), state.history.n
        )
        noise = inside / jnp.maximum(count - 1, 1)
        shrink = jnp.where((count > 1) & (noise + between > 0), noise / jnp.maximum(noise + between, 1e-30), 1)
        baseline = (1 - shrink) * others + shrink * mean
        advantage = weight * (values - baseline) / (jnp.sqrt(inside) + self.epsilon)

        here, belongs = sums_of(len(whole), groups), weight * (groups >= 0)
        after = Within(
            state.history.add(values, groups, weight),
            state.squares + here(belongs * (values - total / count) ** 2),
            state.degrees + here(belongs * (1 - 1 / count)),
        )
        return jnp.where((seen >= self.least) & (inside > 0) & (groups >= 0), advantage, 0), after

    def remembered(self, state):
        return state.history.told()


def of_groups(groups: Array, *numbers: Array) -> list[Array]:
    """Of every answer the numbers `[P]` of its group."""
    return [number[jnp.maximum(groups, 0)] for number in numbers]
