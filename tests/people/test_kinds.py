"""Kinds of people: found where they are identified, and doubted where they are not."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, special

from faro.errors import UsageError
from faro.people import kinds
from faro.people.mixed_logit import Panel

TASTES = np.array([[2.0, -1.0, 0.5], [-1.5, 1.5, 1.0]])


def panel(people=60, each=20, seed=0, tastes=TASTES):
    rng = np.random.default_rng(seed)
    kind, person = (rng.random(people) < 0.3).astype(int), np.repeat(np.arange(people), each)
    features = rng.normal(size=(len(person), 2, 3))
    margin = np.einsum("nd,nd->n", features[:, 0] - features[:, 1], tastes[kind[person]])
    first = (rng.random(len(person)) < special.expit(margin)).astype(float)
    there, chosen = np.ones((len(person), 2), bool), np.stack([first, 1 - first], 1)
    return kind, Panel(*map(jnp.asarray, (features, there, chosen, person, np.ones(len(person)))))


@pytest.mark.slow
@pytest.mark.parametrize("hard", [False, True])
def test_kinds_are_found_and_one_kind_is_the_pooled_fit(hard, x64):
    kind, told = panel()
    found = kinds.fit(told, 2, hard=hard)
    assert found.doubt == ""
    assert found.share[0] > found.share[1]
    assert (found.member.argmax(-1) == kind).mean() > 0.95
    assert np.abs(found.weights - TASTES).max() < 0.5
    one = kinds.fit(told, 1, restarts=1, hard=hard)
    apart = np.asarray(told.features[:, 0] - told.features[:, 1])
    sign = 2 * np.asarray(told.chosen)[:, 0] - 1

    def loss(w):
        return np.logaddexp(0, -sign * (apart @ w)).sum() + 0.25 * w @ w

    assert np.allclose(one.weights[0], optimize.minimize(loss, np.zeros(3)).x, atol=1e-4)
    assert found.log_likelihood > one.log_likelihood + 50


def test_of_one_binary_choice_nothing_is_identified(x64):
    """Half a taste and half its opposite is as likely as no taste at all, if everybody chose once; not if twice."""
    for each, alike in ((1, True), (2, False)):
        _, told = panel(people=50, each=each)
        opposed = np.log(0.5) + kinds._told(told, jnp.asarray([TASTES[0], -TASTES[0]]), 50)
        likelihood = np.logaddexp(*np.asarray(opposed).T).sum()
        assert np.isclose(likelihood, len(told.person) * np.log(0.5)) == alike
    for wrong in ({"kinds": 0}, {"kinds": 2.5}, {"kinds": 2, "restarts": 1.5}, {"kinds": 2, "ridge": np.nan}):
        with pytest.raises(UsageError, match="kinds: expected at least one"):
            kinds.fit(told, **wrong)


@pytest.mark.slow
def test_what_is_not_identified_is_doubted(x64):
    assert "not identified" in kinds.fit(panel(people=50, each=1)[1], 2, restarts=1, rounds=3).doubt
    assert kinds.fit(panel(people=50, each=2)[1], 2, restarts=1, rounds=3).doubt == ""


def test_choices_of_nobody_or_of_nothing_are_refused(x64):
    _, told = panel(people=4, each=2)
    for change, words in (
        ({"features": told.features * np.nan}, "finite features"),
        ({"weight": told.weight - 2}, "weights of 0 or more"),
        ({"person": told.person - 1}, "codes of people"), ({"available": ~told.available}, "add up to 1"),
        ({"chosen": told.chosen[:3]}, r"got \[8, 2, 3\], \[8, 2\], \[3, 2\]"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=f"panel: expected .*{words}"):
            kinds.fit(told._replace(**change), 2)
    with pytest.raises(UsageError, match="one choice or more"):
        kinds.fit(Panel(*(of[:0] for of in told)), 2)


def test_kinds_that_choose_alike_are_doubted(x64):
    """Where features say nothing there is one kind, whatever shares the deals left."""
    _, told = panel(people=6, each=3)
    found = kinds.fit(told._replace(features=0 * told.features), 2, restarts=2, rounds=3)
    assert "all kinds choose alike" in found.doubt and np.allclose(found.member, found.share)
