"""Person exchange: counted choice by choice in plain Python, its ends, and what it must not depend on."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import constraints as ct
from constraints import ANOTHER, Argmax, BestOf, Softmax, decide
from constraints.testing import COMMUNITY, KIND, check_constraint, example_choices

KINDS = {
    "everyone": ct.person_exchange(0.1),
    "of": ct.person_exchange(0.1, of=(KIND, "x")),
    "within": ct.person_exchange(0.1, within=COMMUNITY),
}


def outcome_of(choices, seed=0, rule=Argmax()):  # noqa: B008
    rng = np.random.default_rng(seed)
    own = jnp.asarray(np.where(choices.outside, 0, np.round(rng.normal(size=choices.shape), 1)))
    other = jnp.asarray(np.where(choices.outside, 0, np.round(rng.normal(size=choices.shape), 1)))
    return decide(rule, own, choices, {ANOTHER: other[..., None]}), np.asarray(own), np.asarray(other)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_as_counted_choice_by_choice(name, seed):
    """Argmax with ties and an outside option, half of the absolute differences, by weight, in plain Python."""
    choices, constraint = example_choices(seed=seed), KINDS[name]
    outcome, own, other = outcome_of(choices, seed)
    sums, masses = {}, {}
    inside = np.asarray(choices.inside)
    kind, community = (np.asarray(choices.attributes[a]) for a in ("kind", "community"))
    valid = np.asarray(choices.twins[ANOTHER].valid)[..., 0]
    for i in range(choices.shape[0]):
        live = np.flatnonzero(np.asarray(choices.available)[i])
        laws = []
        for rewards in (own[i], other[i]):
            best = [k for k in live if rewards[k] == max(rewards[live])]
            laws.append({k: (k in best) / len(best) for k in live})
        counts = [k for k in live if inside[i, k] and valid[i, k] and (name != "of" or kind[i, k] == 0)]
        if not counts:
            continue
        cell = community[i, counts[0]] if name == "within" else 0
        weight = float(choices.weight[i])
        apart = sum(abs(laws[0][k] - laws[1][k]) for k in live) / 2
        sums[cell] = sums.get(cell, 0) + weight * apart
        masses[cell] = masses.get(cell, 0) + weight
    measured = np.asarray(constraint.measure(outcome, choices))
    np.testing.assert_allclose(measured, [sums[cell] / masses[cell] for cell in sorted(sums)], rtol=1e-5)
    assert 0.1 < measured.max() < 1


@pytest.mark.parametrize("name", KINDS)
def test_the_contract(name):
    check_constraint(KINDS[name])


def test_its_ends():
    """The same rewards for both: 0 under every rule. Opposite ones of pairs: 1 by argmax."""
    choices = example_choices()
    twin = dataclasses.replace(choices.twins[ANOTHER], valid=choices.inside[..., None])
    choices = choices.replace(twins={ANOTHER: twin})
    rewards = jnp.asarray(np.random.default_rng(1).normal(size=choices.shape)) * ~choices.outside
    for rule in (Argmax(), Softmax(temperature=0.5), BestOf(n=3)):
        same = decide(rule, rewards, choices, {ANOTHER: rewards[..., None]})
        assert float(KINDS["everyone"].measure(same, choices)[0]) == pytest.approx(0, abs=1e-6)
    pairs = ct.make_choices(np.zeros((5, 2, 1)), np.eye(2)[[0, 1, 0, 1, 0]])
    pairs = pairs.replace(twins={ANOTHER: ct.Twin(valid=jnp.ones((5, 2, 1), bool), unit=pairs.unit[:, None])})
    rewards = jnp.asarray([[1.0, 0.0]] * 5)
    opposite = decide(Argmax(), rewards, pairs, {ANOTHER: -rewards[..., None]})
    assert float(KINDS["everyone"].measure(opposite, pairs)[0]) == 1


def test_the_proxy_has_the_slope_of_total_variation(x64):
    """Of pairs TV is |sigmoid(a) - sigmoid(b)|; its derivative by a finite difference."""
    pairs = ct.make_choices(np.zeros((6, 2, 1)), np.eye(2)[[0, 1, 0, 1, 0, 1]])
    pairs = pairs.replace(twins={ANOTHER: ct.Twin(valid=jnp.ones((6, 2, 1), bool), unit=pairs.unit[:, None])})
    rng = np.random.default_rng(2)
    own, other = rng.normal(size=(6, 2)), rng.normal(size=(6, 2))
    constraint = KINDS["everyone"]

    def proxy(own):
        outcome = decide(Softmax(), own, pairs, {ANOTHER: jnp.asarray(other)[..., None]})
        rows = constraint.prepare(pairs)
        return (constraint.proxy_sums(outcome, rows) / constraint.masses(rows))[0]

    apart = lambda rewards: 1 / (1 + np.exp(rewards[:, 1] - rewards[:, 0]))  # noqa: E731
    assert float(proxy(jnp.asarray(own))) == pytest.approx(np.abs(apart(own) - apart(other)).mean())
    slope, step = np.asarray(jax.grad(proxy)(jnp.asarray(own))), 1e-6
    moved = own.copy()
    moved[3, 1] += step
    assert slope[3, 1] == pytest.approx(
        (float(proxy(jnp.asarray(moved))) - float(proxy(jnp.asarray(own)))) / step, rel=1e-4
    )
