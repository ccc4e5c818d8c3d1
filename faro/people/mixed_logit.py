"""Weights that differ between people by a normal law: the mixed logit of stated choice, by simulated likelihood.

    P(person's choices) = E over w ~ N(mean, F F') of  prod over the person's choices i of  softmax(x_i w)[chosen_i]

The expectation is a mean over draws w = mean + F z, with z from Halton's sequence, which each person has a stretch of.
F is lower triangular (Cholesky), so the covariance is a full one. What a person's choices say of the person follows
from the same draws, weighted by how probable they make those choices: the empirical-Bayes posterior, and predictions
that are means over it. Somebody without choices is predicted by the population's law.

Memory is that of people x draws and a few draws of all rows at once, also for gradients. Source: Train, Discrete Choice
Methods with Simulation (2009), chapters 6, 9 and 11; Revelt and Train 2000 (a person's own weights).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy import optimize, stats

from constraints import log_softmax

from ..errors import NoProofError, UsageError

BLOCK = 8  # draws of all rows at once
START = 0.3  # deviation of every weight that differs, at the start of a fit
FLAT = 1e-3  # largest slope of the mean loss of a person, in nats per unit, at which a fit is one


class Panel(NamedTuple):
    """n choices of P people, of K alternatives with D features each.

    features: `[n, K, D]`; a person's level is a feature that is 1 of one alternative and 0 of the others
    available: `[n, K]` bool
    chosen: `[n, K]`, one-hot, or shares of votes; rows sum to 1
    person: whose, `[n]` codes in 0..P - 1
    weight: `[n]`, 0 where there is no choice
    """

    features: Array
    available: Array
    chosen: Array
    person: Array
    weight: Array


def check(panel: Panel) -> None:
    """`UsageError` unless a panel is one of choices: arrays of one length, finite features, of weight above 0 an
    alternative chosen that is there, codes of people and weights of 0 or more.

    panel: as a caller made it
    """
    features, available, chosen, person, weight = map(np.asarray, panel)
    n = features.shape[0] if features.ndim == 3 else -1
    shapes = available.shape == chosen.shape == features.shape[:2] and person.shape == weight.shape == (n,)
    if n < 1 or not shapes:
        shown = ", ".join(str(list(of.shape)) for of in (features, available, chosen, person, weight))
        raise UsageError(f"panel: expected [n, K, D], [n, K], [n, K], [n] and [n] of one choice or more, got {shown}")
    there = np.where(available.astype(bool), chosen, 0).sum(1)[weight > 0]
    for good, words in (
        (np.isfinite(features).all(), "finite features"),
        (np.issubdtype(person.dtype, np.integer) and (person >= 0).all(), "codes of people of 0 or more"),
        (np.isfinite(weight).all() and (weight >= 0).all(), "weights of 0 or more"),
        ((chosen >= 0).all() and np.allclose(there, 1, atol=1e-6), "shares of available alternatives that add up to 1"),
    ):
        if not good:
            raise UsageError(f"panel: expected {words}")


class Population(NamedTuple):
    """The law of people's weights.

    mean: `[D]`
    factor: F, `[D, q]`: of the q weights that differ, lower triangular; rows of the others are 0
    """

    mean: Array
    factor: Array

    def covariance(self) -> Array:
        """F F', `[D, D]`."""
        return self.factor @ self.factor.T


class Person(NamedTuple):
    """What the choices of each of P people say of their weights.

    mean: `[P, D]`, posterior means
    covariance: `[P, D, D]`
    share: of each draw, `[R, P]`; sums to 1 over draws
    """

    mean: Array
    covariance: Array
    share: Array

    def draws(self) -> Array:
        """How many draws carry the posterior, `[P]`, of R: below about 10 it needs more of them."""
        return 1 / jnp.sum(self.share**2, 0)


def halton(people: int, draws: int, differing: int, seed: int = 0) -> np.ndarray:
    """Standard normal draws `[R, P, q]`, of a scrambled Halton sequence of which each person has R points in a row.

    people: P
    draws: R, of each person; 200 is usual, and 1000 before figures are compared with another program's
    differing: q, how many weights differ
    seed: of the scrambling
    """
    if min(people, draws, differing) < 1:
        raise UsageError(
            f"halton: expected at least one person, draw and weight that differs, got {people}, {draws}, {differing}"
        )
    points = stats.qmc.Halton(differing, seed=np.random.default_rng(seed)).random(people * draws)
    normal = stats.norm.ppf(np.clip(points, 1e-12, 1 - 1e-12)).reshape(people, draws, differing)
    return np.ascontiguousarray(normal.swapaxes(0, 1))


def factor(entries: Array, differ: Sequence[int], weights: int) -> Array:
    """F, `[D, q]`, of its q (q + 1) / 2 entries, row after row of the triangle.

    entries: `[q (q + 1) / 2]`
    differ: which weights differ between people, q places in 0..D - 1
    weights: D
    """
    q = len(differ)
    rows, columns = np.tril_indices(q)
    return jnp.zeros((weights, q), entries.dtype).at[np.asarray(differ)[rows], columns].set(entries)


def _weights(population: Population, z: Array) -> Array:
    """Of every person at one draw, `[P, D]`."""
    return population.mean + z @ population.factor.T


def _logs(panel: Panel, weights: Array) -> Array:
    """log probabilities of the alternatives of each choice, `[n, K]`, at the persons' weights `[P, D]`."""
    return log_softmax(jnp.einsum("nkd,nd->nk", panel.features, weights[panel.person]), panel.available)


def draw_logs(population: Population, panel: Panel, draws: Array) -> Array:
    """log probability of all choices of each person at each draw, `[R, P]`; 0 of whom makes none.

    population: mean and factor
    panel: choices
    draws: standard normal, `[R, P, q]`, of `halton`
    """

    @jax.checkpoint
    def at(z: Array) -> Array:
        logs = jnp.where(panel.chosen > 0, panel.chosen * _logs(panel, _weights(population, z)), 0)
        return jax.ops.segment_sum(panel.weight * logs.sum(-1), panel.person, draws.shape[1])

    return jax.lax.map(at, draws, batch_size=min(BLOCK, len(draws)))


def log_likelihoods(population: Population, panel: Panel, draws: Array) -> Array:
    """Simulated log likelihood of each person's choices, `[P]`, in nats; their sum is what a fit maximises.

    population: mean and factor
    panel: choices
    draws: standard normal, `[R, P, q]`, of `halton`
    """
    return jax.nn.logsumexp(draw_logs(population, panel, draws), axis=0) - jnp.log(len(draws))


def posterior(population: Population, panel: Panel, draws: Array) -> Person:
    """Mean and covariance of each person's weights given the person's choices (empirical Bayes).

        sum_r w_r P(choices | w_r) / sum_r P(choices | w_r)

    population: as fitted
    panel: choices that people have made, their support
    draws: standard normal, `[R, P, q]`, of `halton`
    """
    share = jax.nn.softmax(draw_logs(population, panel, draws), axis=0)
    mean = jnp.einsum("rp,rpq->pq", share, draws)
    square = jnp.einsum("rp,rpq,rps->pqs", share, draws, draws) - mean[:, :, None] * mean[:, None]
    spread = jnp.einsum("dq,pqs,es->pde", population.factor, square, population.factor)
    return Person(population.mean + mean @ population.factor.T, spread, share)


def probabilities(population: Population, panel: Panel, draws: Array, share: Array | None = None) -> Array:
    """Probability of every alternative, `[n, K]`: the mean over draws, and no choice at mean weights, which would be
    too sure of itself.

    population: as fitted
    panel: choices that are asked about; `chosen` is not read
    draws: standard normal, `[R, P, q]`, those of the posterior
    share: `[R, P]`, of `posterior`; default: of people of whom nothing is known
    """
    share = jnp.full(draws.shape[:2], 1 / len(draws)) if share is None else share

    def add(total: Array, at: tuple[Array, Array]) -> Any:
        z, own = at
        return total + own[panel.person, None] * jnp.exp(_logs(panel, _weights(population, z))), None

    start = jnp.zeros(panel.chosen.shape, jnp.result_type(panel.features, population.mean, draws, share))
    return jax.lax.scan(add, start, (draws, share))[0]


def fit(panel: Panel, draws: Array, differ: Sequence[int] | None = None) -> tuple[Population, float]:
    """The law of greatest simulated likelihood, by quasi-Newton steps, and the log likelihood that it reaches.

    panel: choices
    draws: standard normal, `[R, P, q]`, of `halton`; also these in double precision where figures are to be exact
    differ: which weights differ between people, q places in 0..D - 1; default all D

    Raises `NoProofError` if it ends where the likelihood is not flat. It is flat as well far out, where choices are
    separable: weights that are very large say so.
    """
    size = panel.features.shape[-1]
    differ = tuple(range(size)) if differ is None else tuple(differ)
    q, people = len(differ), draws.shape[1]
    check(panel)
    if draws.shape[2] != q:
        raise UsageError(
            f"draws: expected {q} number{'s'[: q != 1]} each, one per weight that differs, got {draws.shape[2]}"
        )

    def law(theta: Array) -> Population:
        return Population(theta[:size], factor(theta[size:], differ, size))

    @jax.jit
    def slope(theta: Array, panel: Panel, draws: Array) -> Any:
        def mean_loss(theta: Array) -> tuple[Array, Array]:
            logs = log_likelihoods(law(theta), panel, draws)
            return -logs.sum() / people, logs

        return jax.grad(mean_loss, has_aux=True)(theta)

    def loss(theta: np.ndarray) -> tuple[Any, np.ndarray]:
        slopes, logs = slope(jnp.asarray(theta, panel.features.dtype), panel, draws)
        return -np.asarray(logs, float).mean(), np.asarray(slopes, float)  # in single precision it would be too rough

    start = np.concatenate([np.zeros(size), START * np.eye(q)[np.tril_indices(q)]])
    found = optimize.minimize(loss, start, jac=True, method="BFGS", options={"gtol": FLAT / 10, "maxiter": 500})
    steepest = np.abs(found.jac).max()
    if not steepest <= FLAT:
        raise NoProofError(
            f"mixed logit: expected a slope of at most {FLAT:g} nats a person at the end, got {steepest:.3g}; leave "
            "out weights that the choices do not tell apart, or scale features to a deviation of about 1"
        )
    best = law(jnp.asarray(found.x, panel.features.dtype))
    signs = np.where(np.diag(np.asarray(best.factor)[list(differ)]) < 0, -1, 1)  # of a column any is as good
    return Population(best.mean, best.factor * signs), -float(found.fun) * people
