"""Training policies: known optima, bounds that are kept where the unconstrained policy breaks them, bad input."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import constraints as ct
from faro.errors import UsageError
from faro.models import Linear
from faro.policies import (
    GDPO,
    PGRPO,
    Autoregressive,
    Candidates,
    DrGRPO,
    Optimisation,
    OwnZ,
    Prompts,
    Task,
    Trainer,
)
from faro.policies.policy import sampled_outcome

USER = ct.Attribute("user", ("left", "right"), chooser=True)
KIND = ct.Attribute("kind", ("plain", "special"))


def played(trainer, params, train, constraint=None):
    """The best policy, its figures at the end, and all of them."""
    state, figures = trainer.start(params, train, constraint), []
    advance = jax.jit(trainer.advance)
    for _ in range(trainer.settings.steps // trainer.settings.every):
        state, found = advance(state, params, train, train, constraint, jax.random.key(0))
        figures.append(jax.tree.map(np.asarray, found))
    return state, figures


def candidates(rewards, n=64):
    """Prompts with the same candidates, each of which is a feature of its own."""
    k = len(rewards)
    choices = ct.make_choices(np.broadcast_to(np.eye(k), (n, k, k)), np.zeros(n, int), available=np.ones((n, k), bool))
    return Prompts(choices, jnp.broadcast_to(jnp.asarray(rewards, float), (n, k)))


def of_candidates(prompts, answers):
    return jnp.take_along_axis(prompts.told, answers.tokens[..., 0], 1)


@pytest.mark.slow
def test_without_a_bound_it_is_the_tilted_law():
    """Dr. GRPO with the exact divergence maximises E[r] - beta KL, whose optimum is known."""
    rewards, beta = np.array([0.0, 0.5, 1.0]), 0.4
    prompts = candidates(rewards)
    settings = Optimisation(steps=400, every=100, prompts=64, answers=16, learning_rate=0.05, beta=beta)
    trainer = Trainer(Candidates(Linear(scale=0.0)), Task(of_candidates), DrGRPO(), settings)
    params = trainer.policy.init(jax.random.key(0), prompts.asked)
    state, _ = played(trainer, params, prompts)
    found = np.exp(np.asarray(trainer.policy.law(state.game.params, prompts.asked))[0])
    wanted = np.exp(rewards / beta) / np.exp(rewards / beta).sum()
    np.testing.assert_allclose(found, wanted, atol=0.03)
    assert bool(state.finite) and np.abs(wanted - 1 / 3).max() > 0.3


def users(n=64):
    """Prompts of two kinds of users, one token each."""
    side = np.arange(n) % 2
    return Prompts(jnp.asarray(side[:, None] + 1), jnp.asarray(side))


def wants(prompts, answers):
    """The left want answers with token 3, the right none."""
    special = jnp.any((answers.tokens == 3) & answers.mask, -1)
    return jnp.where(prompts.told[:, None] == 0, special, ~special) * 1.0


def kinds(prompts, answers):
    return 1 * jnp.any((answers.tokens == 3) & answers.mask, -1)


def two_kinds(prompts):
    """A prompt is a choice between plain and special answers."""
    shape = (prompts.told.shape[0], 2)
    return ct.Choices(
        items=jnp.zeros((*shape, 1)),
        available=jnp.ones(shape, bool),
        chosen=jnp.full(shape, 1 / 2),
        weight=jnp.ones(shape[0]),
        unit=jnp.arange(shape[0]),
        outside=jnp.zeros(shape, bool),
        attributes={
            "user": jnp.broadcast_to(prompts.told[:, None], shape).astype(jnp.int32),
            "kind": jnp.broadcast_to(jnp.arange(2, dtype=jnp.int32), shape),
        },
    )


SPECIAL = ct.demographic_parity(USER, of=(KIND, "special"), bound=0.3)


@pytest.mark.slow
def test_a_policy_of_tokens_keeps_a_bound_that_the_unconstrained_one_breaks():
    policy, prompts = Autoregressive(vocabulary=4, length=2, width=8), users()
    params = policy.init(jax.random.key(1), prompts.asked)
    settings = Optimisation(steps=200, every=50, prompts=64, learning_rate=0.05, beta=0.02)
    trainer = Trainer(policy, Task(wants, kinds=kinds, choices=two_kinds), settings=settings)
    _, free = played(trainer, params, prompts, SPECIAL.at(jnp.inf))
    assert free[-1].gap[0] > 0.8 and free[-1].value > 0.9
    state, _ = played(trainer, params, prompts, SPECIAL)
    assert bool(state.best.candidate)
    fresh = Prompts(*(jnp.concatenate([leaf] * 8) for leaf in prompts))
    kept = jax.jit(trainer.judge)(state.best.params, params, fresh, SPECIAL)
    assert float(kept["gap"][0]) <= 0.3  # of fresh answers
    assert 0.5 < float(kept["value"]) < free[-1].value


@pytest.mark.slow
def test_answers_that_were_drawn_are_the_policys_rates_with_their_gradient():
    """The slope of a rate of drawn answers is that of the policy, in the mean."""
    logits = jnp.asarray([0.3, -0.2, 0.9])
    answers = jax.random.categorical(jax.random.key(0), logits, shape=(400, 50))
    choices = two_kinds(Prompts(None, jnp.zeros(400, int)))

    def rate(logits):
        logs = jax.nn.log_softmax(logits)[answers][..., None]
        old, mask = jax.lax.stop_gradient(logs), jnp.ones(logs.shape, bool)
        return sampled_outcome(logs, old, mask, 1 * (answers == 2), choices).decisions[:, 1].mean()

    value, slope = jax.value_and_grad(rate)(logits)
    share = jax.nn.softmax(logits)
    assert float(value) == pytest.approx(float(share[2]), abs=0.01)
    np.testing.assert_allclose(slope, share[2] * (jnp.eye(3)[2] - share), atol=0.01)


@pytest.mark.slow
def test_what_does_not_fit_is_said_before_anything_is_computed():
    prompts = candidates([0.0, 1.0], n=4)
    policy = Candidates(Linear())
    params = policy.init(jax.random.key(0), prompts.asked)

    def start(task, advantage=None, constraint=None):
        return Trainer(policy, task, advantage or DrGRPO()).start(params, prompts, constraint)

    with pytest.raises(UsageError, match=r"reward: expected \[N, G\] .* got \(2,\)"):
        start(Task(lambda prompts, answers: of_candidates(prompts, answers)[:, 0]))
    with pytest.raises(UsageError, match=r"groups: expected"):
        start(Task(of_candidates, groups=lambda prompts, answers: jnp.zeros(2, int)))
    with pytest.raises(UsageError, match="PGRPO reads the preference group"):
        start(Task(of_candidates), PGRPO())
    with pytest.raises(UsageError, match="GDPO reads several rewards"):
        start(Task(of_candidates), GDPO())
    tokens = Trainer(Autoregressive(vocabulary=4, length=2), Task(wants))
    asked = users(4)
    with pytest.raises(UsageError, match="kinds: the constraint reads what kind an answer is"):
        tokens.start(tokens.policy.init(jax.random.key(0), asked.asked), asked, SPECIAL)


def test_the_value_of_several_rewards_is_their_mean_or_that_of_the_own_group():
    several = jnp.asarray([[[1.0, 2.0], [3.0, 5.0]]])
    task = Task(lambda prompts, answers: several, lambda prompts, answers: jnp.asarray([[1, 0]]), 2)
    for advantage, wanted in ((GDPO(), [[1.5, 4.0]]), (OwnZ(), [[2.0, 3.0]])):
        found = Trainer(Candidates(Linear()), task, advantage)._rated(Prompts(None), None)
        np.testing.assert_allclose(found.rewards, wanted)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"beta": 0.0}, "beta: expected a number above 0, got 0.0; without a pull"),
        ({"beta": float("nan")}, "beta: expected a number above 0, got nan"),
        ({"answers": 1}, "answers: expected a whole number of at least 2: a lone answer"),
        ({"steps": 2.5}, "steps: expected a whole number"),
        ({"steps": 50, "every": 20}, "every: expected a divisor of steps = 50, got 20"),
        ({"level": "word"}, "level: expected token or sequence"),
        ({"margin": 1.0}, "margin: expected a number"),
    ],
)
def test_settings_that_cannot_be(wrong, said):
    with pytest.raises(UsageError, match=said):
        Optimisation(**wrong)
