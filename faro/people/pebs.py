"""How each rater uses the rating scale: a slope and an intercept, shrunk towards the population's, in closed form.

    rating_ji = slope_j reward_ji + intercept_j + noise_ji
    slope_j ~ (a, A),  intercept_j ~ (b, B),  noise_ji ~ (0, s2)

It goes after any model: rewards are given and are not touched. With Z_j = [reward, 1] and D = diag(A, B) rater j has

    (Z_j'Z_j / s2 + D^-1)^-1 (Z_j' rating_j / s2 + D^-1 (a, b))

the posterior mean if all laws are normal, and (a, b) before the first rating. A positive slope leaves the order of a
rater's own items as it is; it is not so against an outside option, nor where a rule is soft. Of labels instead of
ratings the same is a `mixed_logit` with the features (reward, 1).

Source: PEBS, arXiv 2606.27578. `population(weighted=False)` and `separable` are as published; the
joint form, the pooled s2 and the weights of Paule and Mandel (1982) are our reading: differences of variances break
where some raters have three ratings.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

FEWEST = 3  # ratings of whom has a line of their own with something left to say how far off it is
HALVINGS = 40  # of the interval in which a variance is looked for


class Moments(NamedTuple):
    """What ratings say of each of J raters, `[J]` each; somebody without ratings has zeros.

    ratings: how many
    reward, rating: means
    reward_square, rating_square, product: sums of squares and of products of the deviations from those means
    """

    ratings: Array
    reward: Array
    rating: Array
    reward_square: Array
    rating_square: Array
    product: Array


class Lines(NamedTuple):
    """Least squares of each rater, `[J]` each.

    slope, intercept, residual: of the line, and the sum of squares that it leaves; NaN where `known` is False
    known: whether there are three ratings or more, of rewards that differ
    """

    slope: Array
    intercept: Array
    residual: Array
    known: Array


class Population(NamedTuple):
    """The law of slopes and intercepts. A scalar each, or `[J]` where raters are of different populations.

    slope, intercept: a and b
    slope_variance, intercept_variance: A and B, >= 0; A = 0 is the arm in which only intercepts differ
    noise: s2 > 0
    raters: how many had a line of their own; below two nothing is known of differences, and A = B = 0
    """

    slope: Any
    intercept: Any
    slope_variance: Any
    intercept_variance: Any
    noise: Any
    raters: Any


class Calibration(NamedTuple):
    """Slope and intercept of each rater, `[J]` each, with how sure they are.

    slope, intercept: posterior means
    slope_variance, intercept_variance, covariance: of the posterior
    """

    slope: Array
    intercept: Array
    slope_variance: Array
    intercept_variance: Array
    covariance: Array

    def rating(self, reward: Array, rater: Array) -> Array:
        """The expected rating, in the shape of `reward`.

        reward: of an item
        rater: whose, codes in the same shape
        """
        return self.slope[rater] * reward + self.intercept[rater]

    def variance(self, reward: Array, rater: Array) -> Array:
        """How sure the expected rating is: its posterior variance, without the noise of a single rating.

        reward: of an item
        rater: whose, codes in the same shape
        """
        spread = self.slope_variance[rater] * reward**2 + self.intercept_variance[rater]
        return spread + 2 * self.covariance[rater] * reward

    def margin(self, first: Array, second: Array, rater: Array) -> Array:
        """slope (first - second): the intercept cancels, and rounding never makes a tie of two different rewards.

        first, second: rewards of two items
        rater: whose, codes in the same shape
        """
        return self.slope[rater] * (first - second)

    def flipped(self) -> Array:
        """Whose order of items is not the model's, `[J]` bool: slope <= 0."""
        return self.slope <= 0

    def positive(self, least: Any) -> Calibration:
        """With slopes of `least` or more, so that nobody's order of items changes; `flipped` says whom that moves.

        least: > 0, in ratings per reward
        """
        return self._replace(slope=jnp.maximum(self.slope, least))


def moments(reward: Array, rating: Array, rater: Array, raters: int, weight: Array | None = None) -> Moments:
    """Counts, means and sums of squares of each rater, in two passes, so that single precision is enough.

    reward, rating: of every rating, `[n]`; rewards are best centred, as slope and intercept differ independently only
        around the reward 0
    rater: whose, `[n]` codes in 0..raters - 1
    raters: J
    weight: `[n]`, 0 where there is no rating; default 1
    """
    weight = jnp.ones_like(reward) if weight is None else weight

    def by_rater(values: Array) -> Array:
        return jax.ops.segment_sum(weight * values, rater, raters)

    count = by_rater(jnp.ones_like(reward))
    at_least = jnp.where(count > 0, count, 1)
    mean_reward, mean_rating = by_rater(reward) / at_least, by_rater(rating) / at_least
    x, y = reward - mean_reward[rater], rating - mean_rating[rater]
    return Moments(count, mean_reward, mean_rating, by_rater(x * x), by_rater(y * y), by_rater(x * y))


def pooled(moments: Moments, of: Array | None = None) -> tuple[Array, Array, Array]:
    """Slope, intercept and mean square residual of one line through all ratings: what calibration is compared with.

    moments: of every rater
    of: `[J]` bool, whose ratings count; default all
    """
    count = moments.ratings if of is None else jnp.where(of, moments.ratings, 0)
    there = count > 0
    total = jnp.maximum(count.sum(), 1)
    reward, rating = count @ moments.reward / total, count @ moments.rating / total
    x, y = moments.reward - reward, moments.rating - rating
    square = jnp.where(there, moments.reward_square, 0).sum() + count @ x**2
    product = jnp.where(there, moments.product, 0).sum() + count @ (x * y)
    rating_square = jnp.where(there, moments.rating_square, 0).sum() + count @ y**2
    varied = _varied(total, reward, square)
    slope = jnp.where(varied, product / jnp.where(varied, square, 1), 0)
    residual = jnp.maximum(rating_square - slope * product, 0) / total
    return slope, rating - slope * reward, residual


def least_squares(moments: Moments) -> Lines:
    """Each rater's own line, where there are `FEWEST` ratings of rewards that differ by more than rounding.

    moments: of every rater
    """
    count, square = moments.ratings, moments.reward_square
    known = (count >= FEWEST) & _varied(count, moments.reward, square)
    slope = moments.product / jnp.where(known, square, 1)
    residual = jnp.maximum(moments.rating_square - slope * moments.product, 0)
    intercept = moments.rating - slope * moments.reward
    slope, intercept, residual = (jnp.where(known, own, jnp.nan) for own in (slope, intercept, residual))
    return Lines(slope, intercept, residual, known)


def _varied(count: Array, mean: Array, square: Array) -> Array:
    """Whether rewards differ by more than rounding of their mean leaves."""
    return square > count * (8 * jnp.finfo(square.dtype).eps * mean) ** 2


def _sampling(moments: Moments, noise: Any) -> tuple[Array, Array]:
    """Variances of least squares' slopes and intercepts, `[J]` each; inf where rewards do not differ."""
    count, square = moments.ratings, moments.reward_square
    varied = (count > 0) & (square > 0)
    slope = noise / jnp.where(varied, square, 1)
    intercept = noise / jnp.where(varied, count, 1) + moments.reward**2 * slope
    return jnp.where(varied, slope, jnp.inf), jnp.where(varied, intercept, jnp.inf)


def population(moments: Moments, of: Array | None = None, *, weighted: bool = True) -> Population:
    """The law of slopes and intercepts, of the raters who have a line of their own.

        s2 = sum of residuals / sum of (count - 2)
        A: sum_j (slope_j - a)^2 / (V_j + A) = J - 1,  a = mean of slope_j weighted by 1 / (V_j + A)

    with V_j the sampling variance of slope_j; 0 where the sum is smaller at A = 0. B and b in the same way.

    moments: of every rater
    of: `[J]` bool, a group whose law is wanted; default everybody. Laws of several groups, each taken by rater, are a
        prior for `calibrate` that does not draw small groups to the scale of the large
    weighted: False: as published, A = Var(slope_j) - mean V_j, and a is weighted by 1 / V_j
    """
    lines = least_squares(moments)
    there = lines.known if of is None else lines.known & of
    raters = there.sum()
    slope, intercept, leftover = pooled(moments, of)
    freedom = jnp.where(there, moments.ratings - 2, 0).sum()
    noise = jnp.where(there, lines.residual, 0).sum() / jnp.maximum(freedom, 1)
    scale = jnp.where(there, moments.rating_square, 0).sum() / jnp.maximum(freedom, 1)
    tiny = jnp.finfo(noise.dtype).eps * scale + jnp.finfo(noise.dtype).eps ** 2  # lines that leave nothing
    noise = jnp.maximum(jnp.where(raters > 0, noise, leftover), tiny)
    law = _precision_weighted if weighted else _plain
    of_slope, of_intercept = _sampling(moments, noise)
    a, slope_variance = law(lines.slope, of_slope, there)
    b, intercept_variance = law(lines.intercept, of_intercept, there)
    a, b = jnp.where(raters > 0, a, slope), jnp.where(raters > 0, b, intercept)
    return Population(a, b, slope_variance, intercept_variance, noise, raters)


def _mean(own: Array, variance: Array, there: Array) -> Array:
    """Weighted by precision, over whom `there` says."""
    weight = jnp.where(there, 1 / variance, 0)
    total = weight.sum()
    return weight @ jnp.where(there, own, 0) / jnp.where(total > 0, total, 1)


def _plain(own: Array, sampling: Array, there: Array) -> tuple[Array, Array]:
    """Mean and variance as published."""
    return _mean(own, sampling, there), jnp.maximum(_variance(own, there) - _average(sampling, there), 0)


def _average(own: Array, there: Array) -> Array:
    return jnp.where(there, own, 0).sum() / jnp.maximum(there.sum(), 1)


def _variance(own: Array, there: Array) -> Array:
    squares = jnp.where(there, (own - _average(own, there)) ** 2, 0)
    return squares.sum() / jnp.maximum(there.sum() - 1, 1)


def _precision_weighted(own: Array, sampling: Array, there: Array) -> tuple[Array, Array]:
    """Mean and variance of Paule and Mandel. What is to be J - 1 falls in the variance, and at that of the raters' own
    lines it is J - 1 or less: so halving finds it, or ends at 0."""

    def high(between: Array) -> Array:
        squares = (own - _mean(own, sampling + between, there)) ** 2 / (sampling + between)
        return jnp.where(there, squares, 0).sum() > there.sum() - 1

    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, top = ends
        middle = (low + top) / 2
        above = high(middle)
        return jnp.where(above, middle, low), jnp.where(above, top, middle)

    most = _variance(own, there)
    low, top = jax.lax.fori_loop(0, HALVINGS, halve, (jnp.zeros_like(most), most))
    between = jnp.where(high(jnp.zeros_like(most)), (low + top) / 2, 0)
    return _mean(own, sampling + between, there), between


def calibrate(moments: Moments, population: Population) -> Calibration:
    """Slope and intercept of each rater, both at once: one 2 x 2 system each, solved in closed form.

    Somebody without ratings has the population's; of infinitely many it is least squares.

    moments: of every rater; they need not be those that the population was learned from
    population: whose scalars may be `[J]`
    """
    count, reward, square = moments.ratings, moments.reward, moments.reward_square
    slopes = population.slope_variance / population.noise
    intercepts = population.intercept_variance / population.noise
    total, squares = count * reward, square + count * reward**2  # the entries of Z'Z
    error = count * (moments.rating - population.slope * reward - population.intercept)
    along = moments.product - population.slope * square + reward * error  # Z' of what the population leaves
    determinant = 1 + slopes * squares + intercepts * count + slopes * intercepts * count * square
    by_slope, by_intercept = slopes / determinant, intercepts / determinant
    return Calibration(
        population.slope + by_slope * ((1 + intercepts * count) * along - intercepts * total * error),
        population.intercept + by_intercept * ((1 + slopes * squares) * error - slopes * total * along),
        population.noise * by_slope * (1 + intercepts * count),
        population.noise * by_intercept * (1 + slopes * squares),
        -population.noise * by_slope * intercepts * total,
    )


def separable(moments: Moments, population: Population) -> tuple[Array, Array]:
    """Slopes and intercepts `[J]` as published, each shrunk for itself, and the population's for whom has no line:

        slope_j <- A / (A + V_j) slope_j + V_j / (A + V_j) a

    moments: of every rater
    population: whose noise may be each rater's own, `[J]`
    """
    lines = least_squares(moments)
    of_slope, of_intercept = _sampling(moments, population.noise)

    def shrunk(own: Array, mean: Any, between: Any, sampling: Array) -> Array:
        share = between / jnp.maximum(between + sampling, jnp.finfo(sampling.dtype).tiny)
        return jnp.where(lines.known, share * jnp.where(lines.known, own, 0) + (1 - share) * mean, mean)

    return (
        shrunk(lines.slope, population.slope, population.slope_variance, of_slope),
        shrunk(lines.intercept, population.intercept, population.intercept_variance, of_intercept),
    )


def forecast(population: Population, ratings: Any, reward_variance: Any, reward_square: Any) -> Array:
    """By how much calibration is expected to lower the mean square error of the population's line, of a pilot's law:

        A mean(reward^2) g(n A Var(reward) / s2) + B g(n B / s2),      g(r) = r / (1 + r)

    population: of the pilot
    ratings: n of each rater
    reward_variance: within a rater
    reward_square: mean of reward^2
    """

    def share(ratio: Any) -> Any:
        return ratio / (1 + ratio)

    slopes, intercepts, noise = population.slope_variance, population.intercept_variance, population.noise
    of_slopes = slopes * reward_square * share(ratings * slopes * reward_variance / noise)
    return jnp.asarray(of_slopes + intercepts * share(ratings * intercepts / noise))
