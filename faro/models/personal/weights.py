"""What a person's earlier choices say of the person's weights: a normal law, at its mode.

    P(choices | z) = prod_i softmax(m_i + D_i z)[chosen_i] ^ weight_i,        z ~ N(0, I) before the first choice

m are rewards of everybody, D directions in which people differ. The mode is that of a convex function, found by
Newton's steps; its derivative by parameters is that of one more step, whatever led there: no step is kept.
A person without choices is N(0, I). Sources: Train, Discrete Choice Methods with Simulation (2009), 11; for the
length of steps Bach, Self-concordant analysis for logistic regression (2010).
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy import stats

from constraints import log_softmax

from .roots import root

STEPS = 200  # to a mode, at most; 4 to 8 are usual
SURE = 1.0  # a change of margins up to which a whole step makes nothing worse: curvature grows by e^1 at most
FEW = 4  # sums over choices that are written out, each a loop of its own to compile
NEVER = -1e30  # a score of what is not there
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
    told = _Told.of(earlier)
    seen = jax.lax.stop_gradient(told)
    real = earlier.rewards.dtype
    people, _, _, q = earlier.directions.shape

    def going(search: _Search) -> Array:
        return jnp.any(search.far) & (search.steps < STEPS)

    def step(search: _Search) -> _Search:
        scores = seen.scores(search.z)
        shares, loss = seen.shares(scores), seen.loss(search.z, scores)
        move = _times(inverse(seen.precision(shares)), seen.slope(search.z, shares))
        moved = list(zip(seen.available, seen.along(move), strict=True))
        up = functools.reduce(jnp.maximum, [jnp.where(there, own, NEVER) for there, own in moved])
        down = functools.reduce(jnp.minimum, [jnp.where(there, own, -NEVER) for there, own in moved])
        most = jnp.max(jnp.where(seen.weight > 0, up - down, 0), 0, initial=0)  # change of any margin
        worse = loss > search.loss  # then the step before was too long
        small = jnp.log1p(most) / jnp.where(most > 0, most, 1)
        new = _Search(
            z=jnp.where(worse, search.sure, search.z - move),
            sure=search.z - small * move,
            loss=jnp.where(worse | (most <= SURE), jnp.inf, loss),
            far=worse | (most > jnp.finfo(real).eps ** 0.25),  # of the two steps after it each squares what is left
            steps=search.steps + 1,
        )
        waits = jax.tree.map(lambda there, here: jnp.where(search.far, there, here), new, search)
        return waits._replace(steps=new.steps)  # whoever has arrived waits, untouched by the others

    nothing, everybody = jnp.zeros((q, people), real), jnp.ones(people, bool)
    begun = _Search(nothing, nothing, jnp.full(people, jnp.inf, real), everybody, jnp.zeros((), int))
    z = jax.lax.stop_gradient(jax.lax.while_loop(going, step, begun).z)
    curved = inverse(seen.precision(seen.shares(seen.scores(z))))
    mean = z - _times(curved, told.slope(z, told.shares(told.scores(z))))
    there = told.precision(told.shares(told.scores(mean)))
    moved = jnp.einsum("qru,rsu,stu->qtu", curved, there, curved)
    return Law(mean.T, jnp.moveaxis(2 * curved - moved, -1, 0))  # a step of Newton and Schulz: its derivative is right


class _Search(NamedTuple):
    """On the way to the modes: a step of Newton's, and where that made things worse a shorter one, which never does.

    z: `[q, U]`
    sure: `[q, U]` where to go instead if things are worse here
    loss: `[U]` than which they should not be worse; infinite where they cannot be
    far: `[U]` bool: who has not arrived
    steps: so far
    """

    z: Array
    sure: Array
    loss: Array
    far: Array
    steps: Array


class _Told(NamedTuple):
    """Earlier choices with people last: there are many of them and few numbers of each, and a CPU works through long
    rows many at a time. Sums over few are written out for the same reason (`constraints.alternatives`).

    rewards: of K - 1 alternatives, less that of the first, `[S, U]` each
    directions: likewise, `[q, S, U]` each
    available: of all K, `[S, U]` bool each
    chosen: of all K, `[S, U]` each
    weight: `[S, U]`
    """

    rewards: list[Array]
    directions: list[Array]
    available: list[Array]
    chosen: list[Array]
    weight: Array

    @classmethod
    def of(cls, earlier: Earlier) -> _Told:
        def last(values: Array) -> list[Array]:
            return list(jnp.moveaxis(values, (2, 0), (0, -1)))

        def apart(values: Array) -> list[Array]:
            return last(values[:, :, 1:] - values[:, :, :1])

        directions = [jnp.moveaxis(own, 1, 0) for own in apart(earlier.directions)]
        available, chosen = last(earlier.available), last(earlier.chosen)
        return cls(apart(earlier.rewards), directions, available, chosen, earlier.weight.T)

    def along(self, z: Array) -> list[Array]:
        """D z of all alternatives, `[S, U]` each."""
        moved = [_dot(own, z) for own in self.directions]
        return [jnp.zeros_like(moved[0]), *moved]

    def scores(self, z: Array) -> list[Array]:
        """Of all alternatives at weights `[q, U]`, less that of the first, `[S, U]` each."""
        first, *moved = self.along(z)
        scores = [first, *map(jnp.add, self.rewards, moved)]
        return [jnp.where(there, score, NEVER) for there, score in zip(self.available, scores, strict=True)]

    def shares(self, scores: list[Array]) -> list[Array]:
        """Choice probabilities, `[S, U]` each: of pairs by one exponential."""
        if len(scores) == 2:
            second = jax.nn.sigmoid(scores[1] - scores[0])
            return [1 - second, second]
        top = jax.lax.stop_gradient(functools.reduce(jnp.maximum, scores))
        odds = [jnp.exp(score - top) for score in scores]
        return [own / sum(odds[1:], odds[0]) for own in odds]

    def loss(self, z: Array, scores: list[Array]) -> Array:
        """What is minimised, `[U]`."""
        hit = sum(map(jnp.multiply, self.chosen[1:], scores[1:]))  # that of the first is 0
        return jnp.sum(self.weight * (functools.reduce(jnp.logaddexp, scores) - hit), 0) + _dot(z, z) / 2

    def slope(self, z: Array, shares: list[Array]) -> Array:
        """Its slope, `[q, U]`."""
        apart = [self.weight * (share - own) for share, own in zip(shares[1:], self.chosen[1:], strict=True)]
        return sum((_sums(along, own[None])[:, 0] for along, own in zip(self.directions, apart, strict=True)), z)

    def precision(self, shares: list[Array]) -> Array:
        """Its curvature, `[q, q, U]`: of pairs p (1 - p) d d', of more alternatives about their mean."""
        weights, directions = [shares[0] * shares[1]], self.directions
        if len(shares) > 2:
            mean = sum(map(jnp.multiply, shares[2:], directions[1:]), shares[1] * directions[0])
            weights, directions = shares, [-mean, *(own - mean for own in directions)]
        parts = [_sums(self.weight * share * own, own) for share, own in zip(weights, directions, strict=True)]
        return sum(parts, jnp.eye(len(directions[0]), dtype=directions[0].dtype)[..., None])


def _sums(first: Array, second: Array) -> Array:
    """Over choices, `[q, S, U]` times `[r, S, U]` as `[q, r, U]`: few are written out, many are matrix products."""
    if len(first) * len(second) > FEW:
        return jnp.einsum("qsu,rsu->qru", first, second)
    return jnp.stack([jnp.stack([jnp.sum(own * other, 0) for other in second]) for own in first])


def _times(matrix: Array, vector: Array) -> Array:
    """Of every person, `[q, r, U]` times `[r, U]`."""
    return jnp.stack([_dot(row, vector) for row in matrix])


def _dot(first: Array, second: Array) -> Array:
    """Of every person, `[q, ...]` times `[q, ...]`."""
    return sum(map(jnp.multiply, first[1:], second[1:]), first[0] * second[0])


def inverse(matrix: Array) -> Array:
    """Of many small positive definite matrices `[q, q, U]` at once, by Gauss and Jordan: of small ones LAPACK spends
    its time on being called. Without a derivative."""

    def eliminated(place: Array, matrix: Array) -> Array:
        here = (jnp.arange(len(matrix)) == place)[:, None]
        column, row = (jax.lax.dynamic_index_in_dim(matrix, place, axis, False) for axis in (1, 0))
        row = jnp.where(here, 1, row) / jax.lax.dynamic_index_in_dim(column, place, 0, False)
        rest = jnp.where(here, 0, matrix) - jnp.where(here, 0, column)[:, None] * row  # no scatter: slow to compile
        return jnp.where(here[:, None], row, rest)

    return jax.lax.fori_loop(0, len(matrix), eliminated, jax.lax.stop_gradient(matrix))


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
    if rewards.shape[1] == 2:
        mean, covariance = known.mean.T, jnp.moveaxis(known.covariance, 0, -1)
        apart, ahead = (directions[:, 0] - directions[:, 1]).T, rewards[:, 0] - rewards[:, 1]
        margin, variance = ahead + _dot(apart, mean), _dot(apart, _times(covariance, apart))
        spread = jnp.sqrt(jnp.where(variance > 0, variance, 1)) * (variance > 0)
        logs = jnp.stack(_of_pair(margin, spread), -1)
        alone = log_softmax(rewards, available)
        return jnp.where(available.all(-1, keepdims=True), logs, alone)
    scores = rewards + jnp.einsum("nkq,nq->nk", directions, known.mean)
    points = normal_points(draws, directions.shape[-1]).astype(scores.dtype)
    log_share = jnp.full(draws, -np.log(draws), scores.dtype)
    around = jnp.einsum("nkq,nqs,rs->nrk", directions, root(known.covariance), points)
    return mean_of(scores[:, None] + around, available, log_share)


@jax.custom_jvp
def _of_pair(margin: Array, spread: Array) -> tuple[Array, ...]:
    """log of the mean probabilities of both alternatives, `[n]` each, with one exponential a node, and their slopes in
    the same pass: most of the work of a step is here.

    margin: of the first over the second, `[n]`, its mean
    spread: its deviation, `[n]`
    """
    return _logs(*_over_nodes(margin, spread, lambda first, second, node: (first, second)))


@_of_pair.defjvp
def _of_pair_jvp(at: Any, along: Any) -> Any:
    def read(first: Array, second: Array, node: Array) -> tuple[Array, ...]:
        return first, second, first * second, first * second * node

    first, second, by_margin, by_spread = _over_nodes(at[0], at[1], read)
    moved, logs = by_margin * along[0] + by_spread * along[1], _logs(first, second)
    return logs, (moved * jnp.exp(-logs[0]), -moved * jnp.exp(-logs[1]))


def _over_nodes(margin: Array, spread: Array, read: Any) -> tuple[Array, ...]:
    """Means over the nodes of what is read of both probabilities and the node."""

    def add(sums: tuple[Array, ...], at: tuple[Array, ...]) -> tuple[tuple[Array, ...], None]:
        node, share = at
        here = margin + spread * node
        small = jnp.exp(-jnp.abs(here))
        likelier = 1 / (1 + small)
        sides = [jnp.where(side, likelier, small * likelier) for side in (here > 0, here <= 0)]
        return tuple(old + share * new for old, new in zip(sums, read(*sides, node), strict=True)), None

    nothing = tuple(jnp.zeros_like(margin) for _ in read(margin, margin, margin))
    return jax.lax.scan(add, nothing, tuple(jnp.asarray(part, margin.dtype) for part in _hermite()))[0]


def _logs(*chances: Array) -> tuple[Array, ...]:
    return tuple(jnp.log(jnp.maximum(own, jnp.finfo(own.dtype).tiny)) for own in chances)


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
