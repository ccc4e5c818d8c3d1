"""Simulated likelihood against quadrature and finite differences, planted laws found again, people told apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faro.errors import NoProofError, UsageError
from faro.people import mixed_logit
from faro.people.mixed_logit import Panel, Population

log_likelihoods, posterior = jax.jit(mixed_logit.log_likelihoods), jax.jit(mixed_logit.posterior)
probabilities = jax.jit(mixed_logit.probabilities)


def panel(rng, law, people, choices, alternatives=3, dtype=float):
    """Choices of people with weights of that law, and those weights."""
    mean, factor = np.asarray(law.mean), np.asarray(law.factor)
    weights = mean + rng.normal(size=(people, factor.shape[1])) @ factor.T
    person = np.repeat(np.arange(people), choices)
    features = rng.normal(size=(len(person), alternatives, len(mean)))
    available = np.ones(features.shape[:2], bool)
    available[::4, -1] = False
    utility = np.einsum("nkd,nd->nk", features, weights[person]) + rng.gumbel(size=available.shape)
    chosen = np.eye(alternatives)[np.argmax(np.where(available, utility, -np.inf), 1)]
    arrays = features.astype(dtype), available, chosen.astype(dtype), person, np.ones(len(person), dtype)
    return Panel(*map(jnp.asarray, arrays)), weights


def likelihoods(law, own, nodes, weight):
    """Each person's likelihood at each node `[R, P]` of a law of one weight, in numpy."""
    at = float(law.mean[0]) + float(law.factor[0, 0]) * nodes
    utility = np.where(own.available, own.features[..., 0] * at[:, None, None], -np.inf)
    p = np.exp(utility) / np.exp(utility).sum(-1, keepdims=True)
    chosen = np.prod(np.where(own.chosen > 0, p, 1), -1)
    return np.stack([np.prod(chosen[:, own.person == j], 1) for j in range(own.person.max() + 1)], 1), at, weight


def quadrature(law, own):
    """At nodes so near that their sum is exact to rounding; those of Hermite are too few for people who are sure."""
    nodes = np.linspace(-9, 9, 1001)
    weight = np.exp(-(nodes**2) / 2)
    return likelihoods(law, own, nodes, weight / weight.sum())


ONE = Population(jnp.array([0.7]), jnp.array([[1.2]]))
TWO = Population(jnp.array([0.8, -0.5]), jnp.array([[1.0, 0.0], [0.6, 0.7]]))


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_likelihood_and_persons_of_one_weight_are_those_of_quadrature():
    own, _ = panel(np.random.default_rng(0), ONE, people=12, choices=6)
    draws = jnp.asarray(mixed_logit.halton(12, 16384, 1))
    exact, at, weight = quadrature(ONE, own)
    found = log_likelihoods(ONE, own, draws)
    assert np.allclose(found, np.log(weight @ exact), rtol=0, atol=1e-3)
    share = weight[:, None] * exact / (weight @ exact)
    persons = posterior(ONE, own, draws)
    assert np.allclose(persons.mean[:, 0], at @ share, rtol=0, atol=3e-3)
    assert np.allclose(persons.covariance[:, 0, 0], at**2 @ share - (at @ share) ** 2, rtol=0, atol=1e-2)
    assert (persons.draws() > 1600).all()
    asked, _ = panel(np.random.default_rng(1), ONE, people=12, choices=1)
    logits = np.asarray(asked.features)[None, ..., 0] * at[:, None, None]
    p = np.where(asked.available, np.exp(logits), 0)
    p /= p.sum(-1, keepdims=True)
    predicted = probabilities(ONE, asked, draws, persons.share)
    assert np.allclose(predicted, np.einsum("rp,rpk->pk", share, p), rtol=0, atol=3e-3)
    unknown = probabilities(ONE, asked, draws)
    assert np.allclose(unknown, np.einsum("r,rpk->pk", weight, p), rtol=0, atol=3e-3)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_gradient_is_that_of_finite_differences():
    own, _ = panel(np.random.default_rng(0), TWO, people=5, choices=4)
    draws = jnp.asarray(mixed_logit.halton(5, 19, 2))  # no multiple of a block

    @jax.jit
    def total(theta):
        law = Population(theta[:2], mixed_logit.factor(theta[2:], (0, 1), 2))
        return log_likelihoods(law, own, draws).sum()

    theta = jnp.array([0.8, -0.5, 1.0, 0.6, 0.7])
    slopes, step = jax.jit(jax.grad(total))(theta), 1e-5
    for place in range(5):
        apart = jnp.zeros(5).at[place].set(step)
        assert slopes[place] == pytest.approx(float(total(theta + apart) - total(theta - apart)) / (2 * step), abs=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_without_differences_it_is_the_conditional_logit():
    own, _ = panel(np.random.default_rng(0), TWO, people=3, choices=4)
    alike = Population(TWO.mean, jnp.zeros((2, 2)))
    draws = jnp.asarray(mixed_logit.halton(3, 400, 2))
    utility = np.where(own.available, own.features @ TWO.mean, -np.inf)
    p = np.exp(utility) / np.exp(utility).sum(-1, keepdims=True)
    rows = np.log(np.sum(own.chosen * p, -1))
    assert np.allclose(log_likelihoods(alike, own, draws), rows.reshape(3, 4).sum(1))
    persons = posterior(alike, own, draws)
    assert np.allclose(persons.mean, TWO.mean) and np.allclose(persons.covariance, 0)
    assert np.allclose(probabilities(alike, own, draws), p)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_rows_without_weight_and_people_without_choices_say_nothing():
    own, _ = panel(np.random.default_rng(0), TWO, people=3, choices=4)
    draws = jnp.asarray(mixed_logit.halton(3, 400, 2))
    less = own._replace(weight=own.weight.at[4:8].set(0))
    found, before = log_likelihoods(TWO, less, draws), log_likelihoods(TWO, own, draws)
    assert found[1] == pytest.approx(0, abs=1e-12) and np.allclose(found[::2], before[::2])
    person = posterior(TWO, less, draws)
    assert np.allclose(person.mean[1], TWO.mean, atol=0.05) and person.draws()[1] == pytest.approx(400)
    assert np.allclose(person.covariance[1], TWO.covariance(), atol=0.15)


def test_a_factor_is_the_triangle_of_those_that_differ():
    found = mixed_logit.factor(jnp.array([1.0, 2.0, 3.0]), (0, 2), 4)
    assert np.array_equal(found, [[1, 0], [0, 0], [2, 3], [0, 0]])


def test_draws_are_normal_and_each_person_has_a_stretch():
    draws = mixed_logit.halton(50, 64, 3)
    assert draws.shape == (64, 50, 3)
    assert np.abs(draws.mean((0, 1))).max() < 0.01 and np.abs(draws.std((0, 1)) - 1).max() < 0.02
    assert np.abs(draws.mean(0)).max() < 0.25  # of 64 independent ones, of 150 means, about .37
    assert np.abs(np.corrcoef(draws.reshape(-1, 3).T) - np.eye(3)).max() < 0.02
    assert np.array_equal(draws, mixed_logit.halton(50, 64, 3))
    with pytest.raises(UsageError, match="at least one person"):
        mixed_logit.halton(0, 64, 3)


@pytest.mark.slow
@pytest.mark.whole_run
def test_a_planted_law_is_found_and_its_people_are_told_apart():
    rng = np.random.default_rng(0)
    planted = Population(jnp.array([0.8, -0.5, 0.4]), jnp.array([[1.0, 0.0], [0.6, 0.7], [0.0, 0.0]]))
    own, weights = panel(rng, planted, people=600, choices=10, dtype=np.float32)
    draws = jnp.asarray(mixed_logit.halton(600, 128, 2), jnp.float32)
    law, reached = mixed_logit.fit(own, draws, differ=(0, 1))
    assert np.allclose(law.mean, planted.mean, atol=0.15)
    assert np.allclose(law.covariance(), planted.covariance(), atol=0.25) and law.factor[0, 0] > 0
    assert reached >= float(log_likelihoods(planted, own, draws).sum())
    persons = posterior(law, own, draws)
    explained = 1 - np.var(persons.mean - weights, axis=0)[:2] / np.var(weights, axis=0)[:2]
    assert (explained > 0.5).all()
    apart = (np.asarray(persons.mean) - weights)[:, :2] / np.sqrt(np.asarray(persons.covariance)[:, [0, 1], [0, 1]])
    assert 0.86 < np.mean(np.abs(apart) < 1.645) < 0.94
    shuffled = own._replace(person=jnp.asarray(rng.permutation(np.asarray(own.person))))  # control: nobody differs
    assert np.trace(mixed_logit.fit(shuffled, draws, differ=(0, 1))[0].covariance()) < 0.2


def test_what_cannot_be_fitted_is_said(monkeypatch):
    own, _ = panel(np.random.default_rng(0), ONE, people=8, choices=2, dtype=np.float32)
    with pytest.raises(UsageError, match="expected 1 number each"):
        mixed_logit.fit(own, jnp.zeros((4, 8, 2)))
    monkeypatch.setattr(mixed_logit, "FLAT", 1e-12)  # which single precision never reaches
    with pytest.raises(NoProofError, match="mixed logit: expected a slope"):
        mixed_logit.fit(own, jnp.asarray(mixed_logit.halton(8, 4, 1), jnp.float32))
