"""Which pairs to ask a new person, and what the answers say: a normal law of the person's weights.

    P(first of pair v) = sigmoid(w . v),      w ~ N(mean, covariance) before the first answer

v is the difference of two items' features, and the law before is that of the people who were fitted: ten answers are
often separable, so weights of greatest likelihood alone do not exist. After the answers the law is taken as normal
again, with precision M: that of Laplace (`posterior`), the nearest (`variational`), or that of the mean and covariance
(`matched`), whose intervals cover. The next question is the pair with the highest

    d_optimal   s'(w . v) v' M^-1 v               by which the information's log determinant grows the most
    pref        s'(w . v)^2 v' M^-1 v             the criterion of PReF
    bald        H[E s(w . v)] - E H[s(w . v)]     what an answer says of w, in nats

Source: Chaloner and Verdinelli 1995 (Bayesian designs); PReF, arXiv 2503.06358, with M from .001 I (`pref_prior`);
Houlsby et al. 2011 (BALD). All are functions of arrays, for `vmap` over people and `jit`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import cho_factor, cho_solve, solve_triangular
from jax.scipy.special import entr, ndtri

from ..errors import UsageError
from ..models.personal.weights import normal_points

STEPS = 20  # to a mode, and from there to the nearest normal law
HALVINGS = 8  # of a step
NODES, REACH = 129, 8.0  # of an expectation under a normal law, and how many deviations away the last ones are
PREF_RIDGE = 1e-3


class Gaussian(NamedTuple):
    """A normal law of a person's weights.

    mean: `[d]`
    covariance: `[d, d]`, which may be singular
    """

    mean: Array
    covariance: Array

    def margins(self, pairs: Array) -> tuple[Array, Array]:
        """Mean and variance of w . v, `[m]` each.

        pairs: v, `[m, d]`
        """
        return pairs @ self.mean, jnp.maximum(jnp.sum(pairs @ self.covariance * pairs, -1), 0)


Criterion = Callable[[Gaussian, Array], Array]


def population(weights: Array, covariances: Array | None = None) -> Gaussian:
    """The law of people: mean and covariance of their weights, with what is not known of each (a step of EM).

    weights: of U people, `[U, d]`, posterior means
    covariances: of the same, `[U, d, d]`; without them people look more alike than they are, if weights were shrunk
    """
    mean = weights.mean(0)
    apart = weights - mean
    spread = apart.T @ apart / len(weights)
    return Gaussian(mean, spread if covariances is None else spread + covariances.mean(0))


def pref_prior(d: int) -> Gaussian:
    """N(0, I / .001): what makes `posterior` PReF's fit and its M, up to the ridge, which holds the mode as well.

    d: number of weights
    """
    return Gaussian(jnp.zeros(d), jnp.eye(d) / PREF_RIDGE)


@jax.jit
def posterior(prior: Gaussian, pairs: Array, answers: Array, weight: Array | None = None) -> Gaussian:
    """The law of a person's weights after some answers, by Laplace: normal, at the mode, with the curvature there.

        mode of  sum_i weight_i log s(+-w . v_i) - (w - mean)' covariance^-1 (w - mean) / 2

    Its intervals are a little short, as after few answers the law leans: `matched` is for those.

    prior: before the answers
    pairs: v_i, `[a, d]`
    answers: 1: the first, 0: the second, or the share of votes for the first, `[a]`
    weight: `[a]`, 0: not asked yet; default 1
    """
    task = _Answers.of(prior, pairs, answers, weight)
    z = task.mode()
    return task.law(prior, z, task.precision(_slope(task.margins(z))))


@jax.jit
def variational(prior: Gaussian, pairs: Array, answers: Array, weight: Array | None = None) -> Gaussian:
    """The normal law nearest to that of a person's weights after some answers, by Kullback and Leibler: at its own
    optimum, where slope and curvature are 0 and right on average under it, not at one point.

    By Newton steps from the law of Laplace, with half of each change of the precision. The nearest law is narrower than
    what is known: `matched` is for intervals. Source: Opper and Archambeau 2009.

    prior: before the answers
    pairs: v_i, `[a, d]`
    answers: 1: the first, 0: the second, or the share of votes for the first, `[a]`
    weight: `[a]`, 0: not asked yet; default 1
    """
    task = _Answers.of(prior, pairs, answers, weight)
    return task.law(prior, *task.nearest())


@functools.partial(jax.jit, static_argnames="points")
def matched(prior: Gaussian, pairs: Array, answers: Array, weight: Array | None = None, points: int = 2048) -> Gaussian:
    """The normal law with the mean and covariance of a person's weights after some answers.

    Both are means over points of a normal law around the nearest one (`variational`), with a precision half way to the
    prior's, each weighted by its density against that: before the first answer it is the prior. Where answers leave
    fewer than a twentieth of the points with a say, it is the nearest law. Source: Kloek and van Dijk 1978.

    prior: before the answers
    pairs: v_i, `[a, d]`
    answers: 1: the first, 0: the second, or the share of votes for the first, `[a]`
    weight: `[a]`, 0: not asked yet; default 1
    points: how many
    """
    task = _Answers.of(prior, pairs, answers, weight)
    z, precision = task.nearest()
    unit = jnp.eye(len(z), dtype=z.dtype)
    drawn = jnp.asarray(_points(points, len(z)), z.dtype)
    lower = jnp.linalg.cholesky((precision + unit) / 2)
    at = z + solve_triangular(lower, drawn.T, trans=1, lower=True).T
    margins = task.offset + at @ task.inputs.T
    told = (task.answers * margins - jax.nn.softplus(margins)) @ task.weight
    share = jax.nn.softmax(told + (jnp.sum(drawn**2, -1) - jnp.sum(at**2, -1)) / 2)
    mean = share @ at
    covariance = (share * (at - mean).T) @ (at - mean)
    enough = 1 / jnp.sum(share**2) > points / 20
    found, nearest = task.placed(prior, mean, covariance), task.law(prior, z, precision)
    return jax.tree.map(lambda own, other: jnp.where(enough, own, other), found, nearest)


@functools.cache
def _points(count: int, size: int) -> np.ndarray:
    """Standard normal points `[count, size]` whose mean is 0 and covariance I, exactly."""
    points = normal_points(count, size)
    return np.linalg.solve(np.linalg.cholesky(points.T @ points / count), points.T).T


class _Answers(NamedTuple):
    """What was answered, in coordinates z in which the prior is N(0, I): w = mean + root z."""

    root: Array  # [d, d]
    inputs: Array  # v root, [a, d]
    offset: Array  # v . mean, [a]
    answers: Array
    weight: Array

    @classmethod
    def of(cls, prior: Gaussian, pairs: Array, answers: Array, weight: Array | None) -> _Answers:
        values, vectors = jnp.linalg.eigh(prior.covariance)
        root = vectors * jnp.sqrt(jnp.maximum(values, 0))  # of a singular one as well
        answers = jnp.asarray(answers, root.dtype)
        weight = jnp.ones_like(answers) if weight is None else jnp.asarray(weight, root.dtype)
        return cls(root, pairs @ root, pairs @ prior.mean, answers, weight)

    def margins(self, z: Array) -> Array:
        return self.offset + self.inputs @ z

    def precision(self, slopes: Array) -> Array:
        return jnp.eye(len(self.root), dtype=self.root.dtype) + self.inputs.T * (self.weight * slopes) @ self.inputs

    def law(self, prior: Gaussian, z: Array, precision: Array) -> Gaussian:
        covariance = self.root @ cho_solve(cho_factor(precision, lower=True), self.root.T)
        return Gaussian(prior.mean + self.root @ z, (covariance + covariance.T) / 2)

    def placed(self, prior: Gaussian, z: Array, covariance: Array) -> Gaussian:
        """The law of weights, of mean and covariance in these coordinates."""
        return Gaussian(prior.mean + self.root @ z, self.root @ covariance @ self.root.T)

    def nearest(self) -> tuple[Array, Array]:
        """Mean and precision of the nearest normal law."""
        z = self.mode()

        def step(_: Any, state: tuple[Array, Array]) -> tuple[Array, Array]:
            z, precision = state
            factor = cho_factor(precision, lower=True)
            mean, variance = self.margins(z), jnp.sum(self.inputs * cho_solve(factor, self.inputs.T).T, -1)
            apart = _expectation(jax.nn.sigmoid, mean, variance) - self.answers
            slope = z + self.inputs.T @ (self.weight * apart)
            precision = (precision + self.precision(_expectation(_slope, mean, variance))) / 2
            return z - cho_solve(cho_factor(precision, lower=True), slope), precision

        start = z, self.precision(_slope(self.margins(z)))
        return jax.lax.fori_loop(0, STEPS, step, start)

    def mode(self) -> Array:
        """By Newton steps, each halved until the objective falls."""
        lengths = jnp.asarray([*(0.5**k for k in range(HALVINGS)), 0.0], self.root.dtype)
        rounding = 16 * jnp.finfo(self.root.dtype).eps

        def value(z: Array) -> Array:
            margins = self.margins(z)
            return self.weight @ (jax.nn.softplus(margins) - self.answers * margins) + z @ z / 2

        def step(_: Any, z: Array) -> Array:
            margins = self.margins(z)
            slope = z + self.inputs.T @ (self.weight * (jax.nn.sigmoid(margins) - self.answers))
            move = cho_solve(cho_factor(self.precision(_slope(margins)), lower=True), slope)
            here, there = value(z), jax.vmap(value)(z - lengths[:, None] * move)
            falls = there <= here - 1e-4 * lengths * (slope @ move) + rounding * (1 + jnp.abs(here))
            return z - lengths[jnp.argmax(falls)] * move  # the longest; of length 0 it does

        return jax.lax.fori_loop(0, STEPS, step, jnp.zeros(len(self.root), self.root.dtype))


def _slope(margins: Array) -> Array:
    """s', without the loss of digits of s (1 - s)."""
    return jax.nn.sigmoid(margins) * jax.nn.sigmoid(-margins)


def d_optimal(person: Gaussian, pairs: Array) -> Array:
    """s'(w . v) v' M^-1 v, `[m]`: log det M grows by log(1 + that).

    person: the law so far
    pairs: that might be asked, `[m, d]`
    """
    mean, variance = person.margins(pairs)
    return _slope(mean) * variance


def pref(person: Gaussian, pairs: Array) -> Array:
    """s'(w . v)^2 v' M^-1 v, `[m]`: the variance of the predicted probability, to first order.

    person: the law so far
    pairs: that might be asked, `[m, d]`
    """
    mean, variance = person.margins(pairs)
    return _slope(mean) ** 2 * variance


def bald(person: Gaussian, pairs: Array) -> Array:
    """H[E s(w . v)] - E H[s(w . v)], `[m]`, in [0, log 2]: mutual information of the answer and the weights.

    person: the law so far
    pairs: that might be asked, `[m, d]`
    """
    expected = probability(person, pairs)
    mean, variance = person.margins(pairs)
    entropy = _expectation(lambda x: jax.nn.softplus(x) - x * jax.nn.sigmoid(x), mean, variance)
    return jnp.maximum(entr(expected) + entr(1 - expected) - entropy, 0)


def _expectation(of: Callable[[Array], Array], mean: Array, variance: Array) -> Array:
    """E of(x) of normal x, `[m]`: a sum over nodes at equal distances, which for smooth functions is exact to
    rounding."""
    nodes = jnp.linspace(-REACH, REACH, NODES, dtype=mean.dtype)
    share = jnp.exp(-(nodes**2) / 2)
    return of(mean[:, None] + jnp.sqrt(variance)[:, None] * nodes) @ (share / share.sum())


def probability(person: Gaussian, pairs: Array) -> Array:
    """E s(w . v), `[m]`: of the first of a pair, with what is not known of the person.

    person: the law so far
    pairs: `[m, d]`
    """
    return jnp.clip(_expectation(jax.nn.sigmoid, *person.margins(pairs)), 0, 1)


def interval(person: Gaussian, pairs: Array, level: Any = 0.9) -> tuple[Array, Array]:
    """Lower and upper end of the person's own probability s(w . v), `[m]` each: central, Bayesian. That it covers
    `level` of the pairs is true on average over people whom the prior describes, however the questions were chosen.

    person: the law so far
    pairs: `[m, d]`
    level: in (0, 1)
    """
    mean, variance = person.margins(pairs)
    reach = ndtri((1 + jnp.asarray(level, mean.dtype)) / 2) * jnp.sqrt(variance)
    return jax.nn.sigmoid(mean - reach), jax.nn.sigmoid(mean + reach)


def ask(criterion: Criterion, person: Gaussian, pairs: Array, left: Array | None = None) -> Array:
    """Which pair to ask next, its place: the first with the highest criterion.

    criterion: `d_optimal`, `pref`, `bald`, or another of the same signature
    person: the law so far
    pairs: that might be asked, `[m, d]`
    left: `[m]` bool, which have not been asked; default all
    """
    worth = criterion(person, pairs)
    return jnp.argmax(worth if left is None else jnp.where(left, worth, -jnp.inf))


@functools.partial(jax.jit, static_argnames="count")
def plan(prior: Gaussian, pairs: Array, count: int) -> Array:
    """Questions `[count]` that are D-optimal before any answer is known, one after another: a list to print.

    prior: before the answers
    pairs: that might be asked, `[m, d]`
    count: how many, m at most
    """
    _enough(pairs, count)
    information = _slope(pairs @ prior.mean)

    def pick(state: tuple[Array, Array], _: Any) -> Any:
        covariance, left = state
        person = Gaussian(prior.mean, covariance)
        best = ask(d_optimal, person, pairs, left)
        along = covariance @ pairs[best]
        lost = information[best] / (1 + information[best] * (pairs[best] @ along))
        return (covariance - lost * jnp.outer(along, along), left.at[best].set(False)), best

    return jax.lax.scan(pick, (prior.covariance, jnp.ones(len(pairs), bool)), length=count)[1]


@functools.partial(jax.jit, static_argnames=("criterion", "count"))
def interview(
    prior: Gaussian, pairs: Array, answers: Array, criterion: Criterion, count: int
) -> tuple[Array, Gaussian]:
    """Questions one after another to a person whose answers are known: which were asked, `[count]`, and the law after
    each, `[count, d]` and `[count, d, d]`. For simulations and for people who have answered everything.

    prior: before the answers
    pairs: that might be asked, `[m, d]`
    answers: to all of them, `[m]`; only those to what is asked are read
    criterion: `d_optimal`, `pref`, `bald`, or another of the same signature
    count: how many questions, m at most
    """
    _enough(pairs, count)

    def question(state: tuple[Gaussian, Array, Array], place: Array) -> Any:
        person, asked, left = state
        best = ask(criterion, person, pairs, left)
        asked = asked.at[place].set(best)
        person = posterior(prior, pairs[asked], answers[asked], jnp.arange(count) <= place)
        return (person, asked, left.at[best].set(False)), person

    start = (prior, jnp.zeros(count, int), jnp.ones(len(pairs), bool))
    (_, asked, _), persons = jax.lax.scan(question, start, jnp.arange(count))
    return asked, persons


def _enough(pairs: Array, count: int) -> None:
    if not 1 <= count <= len(pairs):
        raise UsageError(f"count: expected 1 to {len(pairs)} questions, as there are so many pairs, got {count}")
