"""Calibration by rater: closed forms, limits, and the figures of a population like that of people's ratings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from faro.people import pebs

NOISE = 20.0
MOST = 40  # ratings of one rater
moments = jax.jit(pebs.moments, static_argnums=3)
calibrate = jax.jit(pebs.calibrate)
population = jax.jit(pebs.population, static_argnames="weighted")
least_squares, separable, pooled = jax.jit(pebs.least_squares), jax.jit(pebs.separable), jax.jit(pebs.pooled)


def people(rng, raters):
    """Slopes of mean 10 and deviation 4, positive; intercepts of mean 60 and deviation 12."""
    deviation = np.sqrt(np.log(1.16))
    slopes = rng.lognormal(np.log(10) - deviation**2 / 2, deviation, raters)
    return slopes, rng.normal(60, 12, raters)


def rated(rng, slopes, intercepts, counts):
    """Moments of so many ratings of each rater."""
    reward = rng.normal(size=(len(slopes), MOST))
    rating = slopes[:, None] * reward + intercepts[:, None] + NOISE * rng.normal(size=reward.shape)
    there = np.arange(MOST) < np.asarray(counts)[:, None]
    rater = np.repeat(np.arange(len(slopes)), MOST)
    flat = [jnp.asarray(own.ravel(), jnp.float32) for own in (reward, rating, there)]
    return moments(flat[0], flat[1], jnp.asarray(rater), len(slopes), flat[2])


def pilot(rng, raters=600):
    counts = rng.choice([3, 5, 8, 12, 20, 40], raters, p=[0.2, 0.2, 0.2, 0.15, 0.15, 0.1])
    return rated(rng, *people(rng, raters), counts)


def rmse(slope, intercept, slopes, intercepts):
    """Of a new rating, exact over rewards, with the noise of a rating."""
    return np.sqrt(np.mean((slope - slopes) ** 2 + (intercept - intercepts) ** 2) + NOISE**2)


def some():
    """Ratings of four raters in double precision: 6, 4, 1 and none."""
    rng = np.random.default_rng(0)
    rater = np.repeat([0, 1, 2], [6, 4, 1])
    reward = rng.normal(size=11) + 0.5
    return reward, 3 * reward + 50 + rng.normal(size=11), rater


LAW = pebs.Population(2.0, 45.0, 1.5, 30.0, 0.8, 10)


@pytest.mark.usefixtures("x64")
def test_the_joint_form_is_the_posterior_of_normal_laws():
    reward, rating, rater = some()
    found = calibrate(moments(reward, rating, rater, 4), LAW)
    prior = np.diag([1 / LAW.slope_variance, 1 / LAW.intercept_variance])
    for j in range(4):
        z = np.stack([reward, np.ones(11)], 1)[rater == j]
        precision = z.T @ z / LAW.noise + prior
        mean = np.linalg.solve(precision, z.T @ rating[rater == j] / LAW.noise + prior @ [LAW.slope, LAW.intercept])
        covariance = np.linalg.inv(precision)
        assert np.allclose([found.slope[j], found.intercept[j]], mean, rtol=1e-10)
        own = [found.slope_variance[j], found.intercept_variance[j], found.covariance[j]]
        assert np.allclose(own, [covariance[0, 0], covariance[1, 1], covariance[0, 1]], rtol=1e-10)
        at = np.array([1.7, 1.0])
        assert np.isclose(found.variance(1.7, j), at @ covariance @ at) and np.isclose(found.rating(1.7, j), at @ mean)


@pytest.mark.usefixtures("x64")
def test_limits_of_shrinkage():
    reward, rating, rater = some()
    own = moments(reward, rating, rater, 4)
    alike = calibrate(own, LAW._replace(slope_variance=0.0, intercept_variance=0.0))
    assert np.allclose(alike.slope, 2, rtol=0, atol=0) and np.allclose(alike.intercept, 45, rtol=0, atol=0)
    nobody = calibrate(own, LAW)
    assert nobody.slope[3] == 2 and nobody.intercept[3] == 45  # without ratings
    assert nobody.slope_variance[3] == 1.5 and nobody.intercept_variance[3] == 30
    many = calibrate(pebs.Moments(own.ratings * 1e9, *own[1:3], *(one * 1e9 for one in own[3:])), LAW)
    lines = least_squares(own)
    assert list(lines.known) == [True, True, False, False] and np.isnan(lines.slope[2])
    for j in (0, 1):
        line = np.polyfit(reward[rater == j], rating[rater == j], 1)
        assert np.allclose([many.slope[j], many.intercept[j]], line, rtol=1e-6)
        assert np.allclose([lines.slope[j], lines.intercept[j]], line, rtol=1e-10)
    free = separable(own, LAW._replace(slope_variance=1e12, intercept_variance=1e12))
    assert np.allclose(free[0][:2], lines.slope[:2]) and list(free[0][2:]) == [2, 2] and list(free[1][2:]) == [45, 45]
    assert np.allclose(separable(own, LAW._replace(slope_variance=0.0))[0], 2)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_the_law_of_people_solves_its_equations():
    own = pilot(np.random.default_rng(0), 60)
    own = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), own)
    law, lines = population(own), least_squares(own)
    noise = lines.residual.sum() / (own.ratings - 2).sum()
    sampling = noise / own.reward_square
    weight = 1 / (sampling + law.slope_variance)
    assert law.noise == pytest.approx(float(noise)) and law.raters == 60
    assert law.slope == pytest.approx(float(weight @ lines.slope / weight.sum()))
    assert weight @ (lines.slope - law.slope) ** 2 == pytest.approx(59, rel=1e-6)
    plain = population(own, weighted=False)
    assert plain.slope == pytest.approx(float(lines.slope @ (1 / sampling) / (1 / sampling).sum()))
    wanted = float(np.var(lines.slope, ddof=1) - sampling.mean())
    assert plain.slope_variance == pytest.approx(max(wanted, 0))
    slope, intercept, residual = pooled(own)
    errors = own.rating - slope * own.reward - intercept
    assert own.ratings @ errors == pytest.approx(0, abs=1e-6) and residual > law.noise


@pytest.mark.slow
def test_where_raters_do_not_differ_no_variance_is_found():
    rng = np.random.default_rng(0)
    law = population(rated(rng, np.full(400, 10.0), np.full(400, 60.0), np.full(400, 8)))
    assert law.slope_variance < 10 and law.intercept_variance < 10  # least squares' own vary by 80 and 60


@pytest.mark.parametrize("counts", [[0, 0, 0], [2, 1, 2], [40, 0, 1]])
def test_where_nothing_is_known_of_differences_the_law_says_so(counts):
    law = population(rated(np.random.default_rng(1), *people(np.random.default_rng(0), 3), counts))
    assert law.raters < 2 and law.slope_variance == 0 and law.intercept_variance == 0
    assert all(np.isfinite(float(leaf)) for leaf in law) and law.noise > 0


@pytest.mark.slow
def test_ratings_that_are_all_equal_make_no_nan():
    same = moments(jnp.arange(12.0), jnp.full(12, 7.0), jnp.arange(12) // 4, 4)
    law = population(same)
    found = calibrate(same, law)
    assert np.allclose(found.slope, 0, atol=1e-6) and np.allclose(found.intercept, 7, rtol=1e-6)
    steady = moments(jnp.full(12, 3.3), jnp.arange(12.0), jnp.arange(12) // 4, 4)  # one reward: nobody has a line
    assert population(steady).raters == 0 and np.all(np.isfinite(calibrate(steady, population(steady)).slope))


@pytest.mark.slow
def test_decisions_between_own_pairs_stay_where_slopes_are_positive():
    rng = np.random.default_rng(0)
    own = rated(rng, *people(rng, 50), np.full(50, 4))
    found = calibrate(own, population(own)).positive(1e-3)
    assert not found.flipped().any()
    first = jnp.asarray(rng.normal(1e4, 1, (50, 30)), jnp.float32)
    second = first.at[:, 10:].set(jnp.asarray(rng.normal(1e4, 1, (50, 20)), jnp.float32))
    second = second.at[:, :5].set(jnp.nextafter(first[:, :5], jnp.inf))  # as near as two rewards can be
    rater = jnp.broadcast_to(jnp.arange(50)[:, None], first.shape)
    margin = found.margin(first, second, rater)
    assert np.array_equal(np.sign(margin), np.sign(first - second)) and (margin[:, 5:10] == 0).all()
    apart = found.rating(first, rater) - found.rating(second, rater)  # control: intercepts and rounding make ties
    assert not np.array_equal(np.sign(apart), np.sign(first - second))
    flipped = least_squares(rated(rng, *people(rng, 400), np.full(400, 3))).slope <= 0  # control
    assert 0.2 < float(flipped.mean()) < 0.36


PUBLISHED = {  # n: least squares, own variance, separable, intercepts only, joint, share hurt; RMSE of rounding .05
    1: (None, None, None, (22.8, 22.9), (22.8, 22.9), (0.39, 0.42)),
    3: ((40, 160), (24.2, 27.0), (22.3, 22.4), (22.0, 22.1), (22.0, 22.1), (0.33, 0.35)),
    5: ((26.6, 27.2), (22.1, 22.2), (21.8, 21.8), (21.6, 21.7), (21.6, 21.6), (0.30, 0.32)),
    10: ((22.4, 22.5), (21.2, 21.2), (21.1, 21.2), (21.2, 21.2), (21.0, 21.1), (0.24, 0.26)),
    40: ((20.5, 20.5), (20.4, 20.4), (20.4, 20.4), (20.6, 20.6), (20.4, 20.4), (0.12, 0.14)),
}


@pytest.fixture(scope="module")
def law():
    return population(pilot(np.random.default_rng(2)))


@pytest.mark.slow
@pytest.mark.parametrize("n", PUBLISHED)
def test_errors_of_new_raters_are_those_of_the_note(law, n):
    rng = np.random.default_rng(100 + n)
    slopes, intercepts = people(rng, 4000)
    own = rated(rng, slopes, intercepts, np.full(4000, n))
    joint = calibrate(own, law)
    lines = least_squares(own)
    own_noise = law._replace(noise=jnp.maximum(lines.residual / jnp.maximum(own.ratings - 2, 1), 1e-6))
    fits = {
        "least squares": (lines.slope, lines.intercept),
        "own variance": separable(own, own_noise),
        "separable": separable(own, law),
        "intercepts": calibrate(own, law._replace(slope_variance=0.0))[:2],
        "joint": joint[:2],
    }
    errors = {name: rmse(*fit, slopes, intercepts) for name, fit in fits.items()}
    typical = rmse(law.slope, law.intercept, slopes, intercepts)
    assert 23.5 < typical < 23.85
    for (name, error), ends in zip(errors.items(), PUBLISHED[n], strict=False):
        assert ends is None or ends[0] - 0.1 <= error <= ends[1] + 0.1, (name, error)
    assert errors["joint"] < typical and (n != 3 or errors["own variance"] > typical)
    own_error = (joint.slope - slopes) ** 2 + (joint.intercept - intercepts) ** 2
    hurt = float(np.mean(own_error > (law.slope - slopes) ** 2 + (law.intercept - intercepts) ** 2))
    low, high = PUBLISHED[n][-1]
    assert low - 0.015 <= hurt <= high + 0.015
    assert pebs.forecast(law, n, 1.0, 1.0) == pytest.approx(typical**2 - errors["joint"] ** 2, rel=0.2)
    assert joint.flipped().mean() < 0.001  # of least squares' at n = 3: more than a fourth

    apart = rng.normal(size=(4000, 30)) * np.sqrt(2)
    prefers = norm.cdf(slopes[:, None] * apart / (NOISE * np.sqrt(2)))

    def nll(slope):
        said = np.clip(norm.cdf(np.asarray(slope)[:, None] * apart / np.sqrt(2 * law.noise)), 1e-7, 1 - 1e-7)
        return -np.mean(prefers * np.log(said) + (1 - prefers) * np.log(1 - said))

    assert 0.626 < nll(np.full(4000, law.slope)) < 0.633
    assert nll(joint.slope) <= nll(np.full(4000, law.slope)) + 1e-4
    if n == 5:
        assert 0.72 < nll(lines.slope) < 0.76 and 0.627 < nll(joint.slope) < 0.631


def test_differences_of_variances_break_where_some_have_three_ratings(law):
    assert abs(law.slope_variance - 16) < 5 and abs(law.intercept_variance - 144) < 25
    assert population(pilot(np.random.default_rng(2)), weighted=False).slope_variance == 0


@pytest.mark.slow
def test_with_rewards_that_are_noise_all_of_the_gain_is_a_mean_of_the_rater():
    rng = np.random.default_rng(0)
    law = population(rated(rng, np.zeros(600), people(rng, 600)[1], np.full(600, 10)))
    intercepts = people(rng, 4000)[1]
    own = rated(rng, np.zeros(4000), intercepts, np.full(4000, 10))
    joint, alone = calibrate(own, law), calibrate(own, law._replace(slope_variance=0.0))
    assert 23.2 < rmse(law.slope, law.intercept, 0, intercepts) < 23.5
    assert 20.6 < rmse(*alone[:2], 0, intercepts) < 20.9
    assert rmse(*joint[:2], 0, intercepts) == pytest.approx(rmse(*alone[:2], 0, intercepts), abs=0.1)


@pytest.mark.slow
def test_a_law_of_each_group_takes_the_bias_from_a_minority_with_few_ratings():
    rng = np.random.default_rng(0)

    def draw(raters):
        slopes, intercepts = people(rng, raters)
        minority = np.arange(raters) % 10 == 0
        intercepts = intercepts - 25 * minority
        return rated(rng, slopes, intercepts, np.where(minority, 4, 20)), slopes, intercepts, minority

    pilots, _, _, group = draw(1000)
    everybody = population(pilots)
    groups = [population(pilots, members) for members in (~group, group)]
    own, _, intercepts, minority = draw(4000)
    by_rater = jax.tree.map(lambda most, few: np.where(minority, few, most), *groups)
    without = calibrate(own, everybody).intercept - intercepts
    given = calibrate(own, by_rater).intercept - intercepts
    assert np.mean(without[minority]) > 5 and abs(np.mean(given[minority])) < 2
    assert abs(np.mean(without[~minority])) < 2 and abs(np.mean(given[~minority])) < 2
