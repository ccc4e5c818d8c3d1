"""What a person's earlier choices say of the person's weights: a normal law, at its mode.

    P(choices | z) = prod_i softmax(m_i + D_i z)[chosen_i] ^ weight_i,        z ~ N(0, I) before the first choice

m are rewards of everybody, D directions in which people differ. The mode is that of a convex function, found by
Newton's steps; its derivative by parameters is that of one more step, whatever led there: no step is kept.
A person without choices is N(0, I). Sources: Train, Discrete Choice Methods with Simulation (2009), 11; for the
length of steps Bach, Self-concordant analysis for logistic regression (2010).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy import stats

from constraints import log_softmax

STEPS = 50  # to a mode, at most; 4 to 8 are usual
NODES = 20  # of the expectation over one margin, where there are two alternatives


class Earlier(NamedTuple):
    """S earlier choices of each of U people, among K alternatives.

    rewards: `[U, S, K]`, m: what everybody's taste says
    directions: `[U, S, K, q]`, D
    available: `[U, S, K]` bool
    chosen: `[U, S, K]`, as a distribution
    weight: `[U, S]`, 0 where there is no choice
    """

    rewards: Array
    directions: Array
    available: Array
    chosen: Array
    weight: Array


class Law(NamedTuple):
    """A normal law of the weights z of each of U people.

    mean: `[U, q]`
    covariance: `[U, q, q]`
    """

    mean: Array
    covariance: Array

    def of(self, person: Array) -> Law:
        """Of every choice the law of who makes it.

        person: whose, `[n]` codes in 0..U - 1
        """
        return Law(self.mean[person], self.covariance[person])


def law(earlier: Earlier) -> Law:
    """The normal law of each person's weights given the earlier choices, by Laplace: at the mode, with the curvature
    there. Differentiable in rewards and directions.

    earlier: choices of U people
    """
    seen = jax.lax.stop_gradient(earlier)
    real = earlier.rewards.dtype
    close = jnp.sqrt(jnp.finfo(real).eps)  # the step after it leaves the square of that

    def going(state: tuple[Array, Array, Array]) -> Array:
        return jnp.any(state[1]) & (state[2] < STEPS)

    def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        z, far, steps = state
        slope, precision = _slope(seen, z), _precision(seen, z)
        move = jnp.einsum("uqr,ur->uq", inverse(precision), slope)
        moved = jnp.einsum("uskq,uq->usk", seen.directions, move)
        moved = jnp.where(seen.available & (seen.weight > 0)[..., None], moved, 0)
        most = jnp.max(moved.max(-1, initial=0) - moved.min(-1, initial=0), -1, initial=0)  # change of any margin
        length = jnp.log1p(most) / jnp.where(most > 0, most, 1)  # at which the objective falls for sure
        length = jnp.where(most > close, length, 1)
        z = jnp.where(far[:, None], z - length[:, None] * move, z)  # whoever has arrived waits, untouched by the others
        return z, far & (most > close), steps + 1

    people, _, _, q = earlier.directions.shape
    begun = jnp.zeros((people, q), real), jnp.ones(people, bool), jnp.zeros((), int)
    z = jax.lax.stop_gradient(jax.lax.while_loop(going, step, begun)[0])
    curved = inverse(_precision(seen, z))
    mean = z - jnp.einsum("uqr,ur->uq", curved, _slope(earlier, z))
    there = _precision(earlier, mean)
    return Law(mean, 2 * curved - curved @ there @ curved)  # a step of Newton and Schulz, whose derivative is right


def _probabilities(earlier: Earlier, z: Array) -> Array:
    scores = earlier.rewards + jnp.einsum("uskq,uq->usk", earlier.directions, z)
    return jnp.exp(log_softmax(scores, earlier.available))


def _slope(earlier: Earlier, z: Array) -> Array:
    apart = earlier.weight[..., None] * (_probabilities(earlier, z) - earlier.chosen)
    return z + jnp.einsum("uskq,usk->uq", earlier.directions, apart)


def _precision(earlier: Earlier, z: Array) -> Array:
    shares = _probabilities(earlier, z)
    centred = earlier.directions - jnp.einsum("usk,uskq->usq", shares, earlier.directions)[:, :, None]
    weighted = (earlier.weight[..., None] * shares)[..., None] * centred
    return jnp.eye(z.shape[-1], dtype=z.dtype) + jnp.einsum("uskq,uskr->uqr", weighted, centred)


def inverse(matrix: Array) -> Array:
    """Of many small positive definite matrices `[..., q, q]` at once, by Gauss and Jordan: of small ones LAPACK spends
    its time on being called. Without a derivative."""
    matrix = jax.lax.stop_gradient(matrix)
    for place in range(matrix.shape[-1]):
        here = np.arange(matrix.shape[-1]) == place
        column = matrix[..., :, place, None]
        rest = jnp.where(here, here[:, None], matrix)  # no scatter, which takes long to compile
        row = rest[..., place, None, :] / column[..., place, None, :]
        matrix = jnp.where(here[:, None], row, rest - column * row)
    return matrix


def log_probabilities(rewards: Array, directions: Array, available: Array, known: Law, draws: int = 64) -> Array:
    """log E softmax(m + D z), `[n, K]`: what is not known of a person makes a prediction less sure of itself.

    Of two alternatives by Gauss and Hermite, as their margin is normal; of more by points of Halton's sequence, the
    same for everybody.

    rewards: m, `[n, K]`
    directions: D, `[n, K, q]`
    available: `[n, K]` bool
    known: law of the weights of who makes each choice, `[n, q]` and `[n, q, q]`
    draws: points, where there are more than two alternatives
    """
    scores = rewards + jnp.einsum("nkq,nq->nk", directions, known.mean)
    if rewards.shape[1] == 2:
        nodes, share = (jnp.asarray(part, scores.dtype) for part in _hermite())
        apart = directions[:, 0] - directions[:, 1]
        variance = jnp.einsum("nq,nqr,nr->n", apart, known.covariance, apart)
        spread = jnp.sqrt(jnp.where(variance > 0, variance, 1)) * (variance > 0)
        logs = _of_pair((scores[:, 0] - scores[:, 1])[:, None] + spread[:, None] * nodes, share)
        return jnp.where(available.all(-1, keepdims=True), logs, log_softmax(scores, available))
    points = normal_points(draws, directions.shape[-1]).astype(scores.dtype)
    log_share = jnp.full(draws, -np.log(draws), scores.dtype)
    root = jnp.linalg.cholesky(known.covariance)
    around = jnp.einsum("nkq,nqs,rs->nrk", directions, root, points)
    return mean_of(scores[:, None] + around, available, log_share)


def _of_pair(margins: Array, share: Array) -> Array:
    """log of the mean probabilities of both alternatives, `[n, 2]`, with one exponential a node: most of the work of a
    step is here.

    margins: of the first over the second at each node, `[n, R]`
    share: of each node, `[R]`
    """
    small = jnp.exp(-jnp.abs(margins))
    likelier = 1 / (1 + small)
    ahead = margins > 0
    both = [jnp.where(side, likelier, small * likelier) @ share for side in (ahead, ~ahead)]
    return jnp.log(jnp.maximum(jnp.stack(both, -1), jnp.finfo(margins.dtype).tiny))


def mean_of(scores: Array, available: Array, log_share: Array) -> Array:
    """log of the mean choice probabilities over R scores, `[n, K]`; very negative where unavailable.

    scores: `[n, R, K]`
    available: `[n, K]` bool
    log_share: log of the share of each, `[R]` or `[n, R]`; shares sum to 1
    """
    return jax.nn.logsumexp(log_softmax(scores, available[:, None]) + log_share[..., None], axis=1)


@functools.cache
def _hermite() -> tuple[np.ndarray, np.ndarray]:
    nodes, share = np.polynomial.hermite_e.hermegauss(NODES)
    return nodes, share / share.sum()


@functools.cache
def normal_points(draws: int, size: int) -> np.ndarray:
    """Standard normal points `[R, size]` of Halton's sequence, scrambled with a fixed seed, moved to mean 0.

    draws: R
    size: numbers of a point
    """
    points = stats.norm.ppf(stats.qmc.Halton(size, seed=np.random.default_rng(20)).random(draws))
    return points - points.mean(0)
