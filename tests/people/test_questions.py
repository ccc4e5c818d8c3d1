"""Questions to a new person: closed forms, brute force, and intervals that cover what they say after adaptive ones."""

import itertools
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize
from scipy.special import expit
from scipy.stats import norm

from faro.errors import UsageError
from faro.people import questions
from faro.people.questions import Gaussian

CRITERIA = {"d_optimal": questions.d_optimal, "pref": questions.pref, "bald": questions.bald}


def law(rng, d, scale=1.0):
    root = rng.normal(size=(d, d)) * scale
    return Gaussian(jnp.asarray(rng.normal(size=d)), jnp.asarray(root @ root.T + 0.1 * np.eye(d)))


def normal(mean, variance, of):
    """E of a function under a normal law, by adaptive quadrature."""
    deviation = np.sqrt(variance)
    ends = mean - 12 * deviation, mean + 12 * deviation
    at = {"points": [0.0, mean], "limit": 500, "epsabs": 1e-13}
    return integrate.quad(lambda x: of(x) * norm.pdf(x, mean, deviation), *ends, **at)[0]


def entropy(p):
    return -p * np.log(p) - (1 - p) * np.log1p(-p) if 0 < p < 1 else 0.0


@pytest.mark.usefixtures("x64")
def test_the_posterior_of_one_weight_is_at_the_root_of_its_equation():
    prior = Gaussian(jnp.array([0.4]), jnp.array([[2.0]]))
    v, answers, weight = np.array([1.5, -0.7, 2.0]), np.array([1.0, 0.0, 0.25]), np.array([1.0, 2.0, 1.0])
    mode = optimize.brentq(lambda w: (w - 0.4) / 2 + np.sum(weight * v * (expit(v * w) - answers)), -20, 20, xtol=1e-14)
    found = questions.posterior(prior, jnp.asarray(v[:, None]), jnp.asarray(answers), jnp.asarray(weight))
    assert found.mean[0] == pytest.approx(mode, abs=1e-10)
    p = expit(v * mode)
    assert found.covariance[0, 0] == pytest.approx(1 / (0.5 + np.sum(weight * v**2 * p * (1 - p))), rel=1e-10)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("variance", [0.3, 2.0, 50.0])
def test_the_variational_law_of_one_weight_is_the_nearest(variance):
    prior = Gaussian(jnp.array([0.4]), jnp.array([[variance]]))
    v, answers = np.array([1.5, -0.7, 2.0, 1.0]), np.array([1.0, 0.0, 1.0, 1.0])
    found = questions.variational(prior, jnp.asarray(v[:, None]), jnp.asarray(answers))
    nodes, share = np.polynomial.hermite_e.hermegauss(120)
    share /= share.sum()

    def bound(at):
        """E log p(answers | w) - KL(law, prior), which the nearest law has the most of."""
        x = v[:, None] * (at[0] + np.exp(at[1]) * nodes)
        told = np.sum((answers[:, None] * x - np.logaddexp(0, x)) @ share)
        return told - (np.exp(2 * at[1]) + (at[0] - 0.4) ** 2) / variance / 2 + at[1]

    best = optimize.minimize(lambda at: -bound(at), [0.0, 0.0], tol=1e-10).x
    assert found.mean[0] == pytest.approx(best[0], rel=5e-4)
    assert np.sqrt(found.covariance[0, 0]) == pytest.approx(np.exp(best[1]), rel=5e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("variance", [0.3, 2.0, 50.0])
def test_the_matched_law_has_the_mean_and_the_spread_of_what_is_known(variance):
    prior = Gaussian(jnp.array([0.4]), jnp.array([[variance]]))
    v, answers = np.array([1.5, -0.7, 2.0, 1.0]), np.array([1.0, 0.0, 1.0, 1.0])
    found = questions.matched(prior, jnp.asarray(v[:, None]), jnp.asarray(answers))
    w = np.linspace(-60, 60, 200_001)
    x = v[:, None] * w
    density = np.sum(answers[:, None] * x - np.logaddexp(0, x), 0) - (w - 0.4) ** 2 / variance / 2
    share = np.exp(density - density.max())
    share /= share.sum()
    mean = share @ w
    assert found.mean[0] == pytest.approx(mean, rel=0.02)
    assert np.sqrt(found.covariance[0, 0]) == pytest.approx(np.sqrt(share @ (w - mean) ** 2), rel=0.02)
    narrow = questions.variational(prior, jnp.asarray(v[:, None]), jnp.asarray(answers))
    assert narrow.covariance[0, 0] < found.covariance[0, 0]


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_before_the_first_answer_it_is_the_prior_and_of_many_weights_no_worse_than_the_nearest():
    rng = np.random.default_rng(0)
    prior, pairs = law(rng, 4), rng.normal(size=(10, 4))
    found = questions.matched(prior, pairs, np.zeros(10), np.zeros(10))
    assert np.allclose(found.mean, prior.mean) and np.allclose(found.covariance, prior.covariance)
    wide = Gaussian(jnp.zeros(40), 25 * jnp.eye(40))
    pairs, answers = jnp.asarray(rng.normal(size=(200, 40))), (rng.random(200) < 0.5).astype(float)
    found, nearest = (of(wide, pairs, answers) for of in (questions.matched, questions.variational))
    assert np.allclose(found.mean, nearest.mean)  # few points would have a say


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_the_posterior_is_flat_and_ignores_what_was_not_asked():
    rng = np.random.default_rng(0)
    prior, pairs, answers = law(rng, 4), rng.normal(size=(10, 4)), (rng.random(10) < 0.5).astype(float)
    found = questions.posterior(prior, pairs, answers)
    precision = np.linalg.inv(prior.covariance)
    p = expit(pairs @ found.mean)
    assert np.allclose(precision @ (found.mean - prior.mean) + pairs.T @ (p - answers), 0, atol=1e-8)
    assert np.allclose(np.linalg.inv(found.covariance), precision + pairs.T * (p * (1 - p)) @ pairs, rtol=1e-8)
    longer = np.concatenate([pairs, rng.normal(size=(5, 4))]), np.concatenate([answers, np.ones(5)])
    again = questions.posterior(prior, *longer, np.arange(15) < 10)
    assert np.allclose(again.mean, found.mean) and np.allclose(again.covariance, found.covariance)
    turned = questions.posterior(prior, -pairs, 1 - answers)  # exchanged order
    assert np.allclose(turned.mean, found.mean)
    nothing = questions.posterior(prior, pairs, answers, np.zeros(10))
    assert np.allclose(nothing.mean, prior.mean) and np.allclose(nothing.covariance, prior.covariance)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_a_change_of_basis_leaves_predictions_and_questions_alone():
    rng = np.random.default_rng(1)
    prior, pairs, answers = law(rng, 3), rng.normal(size=(12, 3)), (rng.random(12) < 0.5).astype(float)
    basis = rng.normal(size=(3, 3)) + 2 * np.eye(3)
    back = np.linalg.inv(basis)
    other = Gaussian(back @ prior.mean, back @ prior.covariance @ back.T)
    one, two = questions.posterior(prior, pairs, answers), questions.posterior(other, pairs @ basis, answers)
    for criterion in CRITERIA.values():
        assert np.allclose(criterion(one, pairs), criterion(two, pairs @ basis), atol=1e-9)


@pytest.mark.slow
def test_separable_answers_and_a_wide_prior_are_no_trouble_in_single_precision():
    rng = np.random.default_rng(0)
    pairs = jnp.asarray(5 * rng.normal(size=(10, 5)), jnp.float32)
    answers = (pairs @ jnp.ones(5) > 0).astype(jnp.float32)
    found = questions.posterior(questions.pref_prior(5), pairs, answers)
    p = jax.nn.sigmoid(pairs @ found.mean)
    assert np.allclose(found.mean / 1000 + pairs.T @ (p - answers), 0, atol=2e-4)
    assert np.isfinite(found.covariance).all()
    flat = Gaussian(jnp.zeros(5), jnp.zeros((5, 5)).at[0, 0].set(1.0))  # only one weight differs between people
    found = questions.posterior(flat, pairs, answers)
    assert np.allclose(found.mean[1:], 0, atol=1e-6) and found.covariance[0, 0] < 1


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (1.3, 2.0), (-4.0, 0.5), (0.5, 12.0)])
def test_criteria_of_one_weight_are_their_closed_forms(mean, deviation):
    person, one = Gaussian(jnp.array([mean]), jnp.array([[deviation**2]])), jnp.ones((1, 1))
    p = expit(mean)
    assert questions.d_optimal(person, one)[0] == pytest.approx(p * (1 - p) * deviation**2, rel=1e-12)
    assert questions.pref(person, one)[0] == pytest.approx((p * (1 - p) * deviation) ** 2, rel=1e-12)
    expected = normal(mean, deviation**2, expit)
    said = entropy(expected) - normal(mean, deviation**2, lambda x: entropy(expit(x)))
    assert questions.probability(person, one)[0] == pytest.approx(expected, abs=1e-5)
    assert questions.bald(person, one)[0] == pytest.approx(said, abs=1e-5)
    low, high = questions.interval(person, one, 0.9)
    assert low[0] == pytest.approx(expit(mean - 1.6448536 * deviation), rel=1e-6)
    assert high[0] == pytest.approx(expit(mean + 1.6448536 * deviation), rel=1e-6)


@pytest.mark.slow
def test_criteria_differ_where_they_should():
    """Of a person who is known well in one direction and not in another, with a sure answer in it."""
    person = Gaussian(jnp.array([0.0, 5.0]), jnp.diag(jnp.array([0.04, 4.0])))
    pairs = jnp.eye(2)
    assert questions.ask(questions.d_optimal, person, pairs) == 1
    assert questions.ask(questions.pref, person, pairs) == 0
    assert questions.ask(questions.bald, person, pairs) == 1
    assert questions.ask(questions.bald, person, pairs, jnp.array([True, False])) == 0
    sure = Gaussian(jnp.zeros(2), jnp.zeros((2, 2)))
    assert all(np.allclose(criterion(sure, pairs), 0, atol=1e-6) for criterion in CRITERIA.values())


@pytest.mark.usefixtures("x64")
def test_the_next_question_is_the_one_that_brute_force_finds():
    rng = np.random.default_rng(3)
    for _ in range(5):
        person, pairs = law(rng, 3), rng.normal(size=(9, 3))
        p = expit(pairs @ person.mean)
        information = np.linalg.inv(person.covariance)
        gains = [
            np.linalg.slogdet(information + q * (1 - q) * np.outer(v, v))[1] for v, q in zip(pairs, p, strict=True)
        ]
        assert questions.ask(questions.d_optimal, person, pairs) == int(np.argmax(gains))
        assert np.allclose(np.log1p(questions.d_optimal(person, pairs)), gains - np.linalg.slogdet(information)[1])


@pytest.mark.usefixtures("x64")
def test_a_plan_takes_the_best_question_each_time_and_nearly_the_best_set():
    rng = np.random.default_rng(4)
    prior, pairs = law(rng, 3), rng.normal(size=(8, 3))
    weight = expit(pairs @ prior.mean) * expit(-(pairs @ prior.mean))

    def worth(places):
        chosen = pairs[list(places)]
        added = chosen.T * weight[list(places)] @ chosen
        return np.linalg.slogdet(np.eye(3) + np.asarray(prior.covariance) @ added)[1]

    greedy: list[int] = []
    for _ in range(3):
        greedy.append(max(set(range(8)) - set(greedy), key=lambda place: worth([*greedy, place])))
    assert list(questions.plan(prior, pairs, 3)) == greedy
    best = max(worth(places) for places in itertools.combinations(range(8), 3))
    assert worth(greedy) >= (1 - 1 / np.e) * best  # Nemhauser et al. 1978
    with pytest.raises(UsageError, match="1 to 8 questions"):
        questions.plan(prior, pairs, 9)


def test_the_law_of_people_has_what_is_not_known_of_each():
    weights = jnp.array([[1.0, 0.0], [3.0, 2.0]])
    found = questions.population(weights, jnp.stack([jnp.eye(2), 3 * jnp.eye(2)]))
    assert np.allclose(found.mean, [2, 1]) and np.allclose(found.covariance, np.ones((2, 2)) + 2 * np.eye(2))
    assert np.allclose(questions.population(weights).covariance, np.ones((2, 2)))


PEOPLE, COUNT = 400, 10


@pytest.fixture(scope="module")
def asked():
    """People of a known law, ten adaptive questions to each by every prior: coverage of 90 % intervals, and accuracy
    of the predictions in log loss, over pairs that were not asked."""
    rng = np.random.default_rng(0)
    root = np.array([[1.5, 0, 0], [0.6, 1, 0], [-0.3, 0.2, 0.7]])
    mean = np.array([0.5, -0.2, 0.0])
    weights = mean + rng.normal(size=(PEOPLE, 3)) @ root.T
    pairs, others = rng.normal(size=(40, 3)), rng.normal(size=(100, 3))
    answers = jnp.asarray(rng.random((PEOPLE, 40)) < expit(weights @ pairs.T), jnp.float32)
    truth = expit(weights @ others.T)
    right = Gaussian(jnp.asarray(mean, jnp.float32), jnp.asarray(root @ root.T, jnp.float32))
    pairs, others = jnp.asarray(pairs, jnp.float32), jnp.asarray(others, jnp.float32)

    def figures(prior, criterion=None, law=questions.matched):
        def one(answers):
            asked = jnp.arange(COUNT)
            if criterion is not None:
                asked, _ = questions.interview(prior, pairs, answers, criterion, COUNT)
            person = law(prior, pairs[asked], answers[asked])
            return *questions.interval(person, others, 0.9), questions.probability(person, others)

        low, high, p = (np.asarray(own, float) for own in jax.jit(jax.vmap(one))(answers))
        loss = -np.mean(truth * np.log(p) + (1 - truth) * np.log(1 - p))
        return float(np.mean((low <= truth) & (truth <= high))), loss

    return right, figures


@pytest.mark.slow
@pytest.mark.whole_run
@pytest.mark.parametrize("name", CRITERIA)
def test_intervals_cover_what_they_say_after_adaptive_questions(asked, name):
    right, figures = asked
    covered, loss = figures(right, CRITERIA[name])
    assert 0.88 < covered < 0.92
    assert figures(right, CRITERIA[name], questions.posterior)[0] < covered  # those of Laplace are a little short
    assert loss < figures(right)[1] - 0.005  # than the first ten pairs, which are as good as random


@pytest.mark.slow
@pytest.mark.whole_run
def test_intervals_of_a_wrong_prior_do_not_cover(asked):
    right, figures = asked
    narrow = right._replace(covariance=right.covariance / 9)
    assert figures(narrow, questions.d_optimal)[0] < 0.6
    moved = right._replace(mean=right.mean + 2, covariance=right.covariance / 4)
    assert figures(moved, questions.d_optimal)[0] < 0.6


@pytest.mark.slow
@pytest.mark.whole_run
def test_ten_answers_take_less_than_ten_milliseconds():
    rng = np.random.default_rng(0)
    pairs = jnp.asarray(rng.normal(size=(10, 5)), jnp.float32)
    answers = jnp.asarray(rng.random(10) < 0.5, jnp.float32)
    prior = Gaussian(jnp.zeros(5), jnp.eye(5))  # of 32 weights it takes as long, but not as conftest compiles

    def seconds():
        start = time.perf_counter()
        jax.block_until_ready(questions.posterior(prior, pairs, answers))
        return time.perf_counter() - start

    seconds()
    assert min(seconds() for _ in range(20)) < 0.01
