"""Losses and objectives: closed forms, the noise that a correction undoes, and sums that add up."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

import constraints as ct
import faro
from constraints.alternatives import pieces
from faro.losses import (
    Brier,
    CVaR,
    Logit,
    Mean,
    Noisy,
    Objective,
    Pairwise,
    Penalised,
    PeopleMean,
    Reweighted,
    Sight,
    Smoothed,
    WorstGroup,
)
from faro.losses.groups import labels, reweighting
from faro.models import Seen, decided
from faro.registry import declared, make

GROUP = ct.Attribute("g", ("A", "B", "C"))
pytestmark = pytest.mark.usefixtures("x64")


def problem(n=60, k=3, seed=0):
    """Choices with gaps and soft labels, and what a model says of them."""
    rng = np.random.default_rng(seed)
    available = rng.random((n, k)) < 0.8
    available[np.arange(n), rng.integers(0, k, n)] = True
    chosen = np.where(available, rng.random((n, k)), 0)
    chosen /= chosen.sum(1, keepdims=True)
    group = np.where(available, rng.integers(0, 2, (n, k)), -1)  # nobody is a C
    given = {"available": available, "weight": rng.random(n) + 0.2, "attributes": {"g": group}}
    choices = ct.make_choices(rng.normal(size=(n, k, 2)), chosen, **given)
    scores = rng.normal(size=(n, k)) * 2
    return choices, Seen(pieces(jnp.asarray(scores)), None, {}), np.where(available, scores, -np.inf)


def by_hand(scores, available):
    """-log softmax of every alternative, `[n, K]`, 0 where there is none."""
    with np.errstate(invalid="ignore"):
        return np.where(available, -log_softmax(scores, 1), 0)


@pytest.mark.parametrize("k", [2, 3])
def test_losses_are_what_they_say(k):
    choices, seen, scores = problem(k=k)
    available, chosen = np.asarray(choices.available), np.asarray(choices.chosen)
    each, count = by_hand(scores, available), available.sum(1)
    logit = (chosen * each).sum(1)
    np.testing.assert_allclose(Logit().per_choice(seen, choices), logit, rtol=1e-9, atol=1e-12)
    smooth = 0.7 * logit + 0.3 * each.sum(1) / count
    np.testing.assert_allclose(Smoothed(share=0.3).per_choice(seen, choices), smooth, rtol=1e-9, atol=1e-12)
    pairwise = [
        sum(
            chosen[i, a] * np.log1p(np.exp(-(scores[i, a] - scores[i, b])))
            for a in range(k) for b in range(k) if a != b and available[i, a] and available[i, b]
        ) / max(count[i] - 1, 1)
        for i in range(len(scores))
    ]  # fmt: skip
    np.testing.assert_allclose(Pairwise().per_choice(seen, choices), pairwise, rtol=1e-9, atol=1e-12)
    apart = np.exp(-each) * available - chosen
    np.testing.assert_allclose(Brier().per_choice(seen, choices), (apart**2).sum(1) / 2, rtol=1e-6, atol=1e-12)
    votes = [choices.replace(chosen=jnp.asarray(np.broadcast_to(vote, chosen.shape))) for vote in np.eye(k)]
    single = sum(chosen[:, i] * np.asarray(Brier().per_choice(seen, own)) for i, own in enumerate(votes))
    noise = (1 - (chosen**2).sum(1)) / 2  # of single votes about their share, whatever is predicted
    np.testing.assert_allclose(single - noise, Brier().per_choice(seen, choices), rtol=1e-9, atol=1e-12)
    for loss in (Smoothed(share=0.0), Noisy(rate=0.0)):
        np.testing.assert_allclose(loss.per_choice(seen, choices), logit, rtol=1e-9, atol=1e-12)


def test_the_correction_undoes_the_noise_on_average_and_another_rate_does_not():
    choices, seen, scores = problem()
    available = np.asarray(choices.available)
    several = available.sum(1) > 1
    rate, each = 0.15, by_hand(scores, available)
    truth = np.argmax(np.where(available, np.asarray(choices.chosen), -1), 1)

    def mean(loss):
        """Expectation over noisy labels, choice by choice."""
        total = np.zeros(len(truth))
        for label in range(available.shape[1]):
            other = rate / np.maximum(available.sum(1) - 1, 1)
            chance = np.where(label == truth, 1 - rate, np.where(available[:, label], other, 0))
            held = np.where(available[:, label], label, truth)
            own = choices.replace(chosen=jnp.asarray(np.eye(available.shape[1])[held]))
            total += chance * np.asarray(loss.per_choice(seen, own))
        return total

    expected = each[np.arange(len(truth)), truth]
    np.testing.assert_allclose(mean(Noisy(rate=rate))[several], expected[several], rtol=1e-9)
    assert np.abs(mean(Noisy(rate=0.05)) - expected)[several].max() > 0.05


def objectives():
    who, parity = ct.Grouping(GROUP), ct.demographic_parity(GROUP, bound=0.1)
    priced = Penalised(constraint=parity, price=2.0)
    return [Mean(), Reweighted(who=who), WorstGroup(who=who, ascent=0.3), CVaR(share=0.3), priced]


@pytest.mark.parametrize("objective", objectives(), ids=lambda own: type(own).__name__)
def test_sums_of_two_halves_are_those_of_the_whole(objective):
    choices, seen, _ = problem(k=2)
    known = objective.known(choices)
    choices, seen = jax.tree.map(np.asarray, (choices, seen))
    twins: dict = {}

    @jax.jit
    def of(own, said):
        rows = objective.prepare(own, known)
        outcomes = [decided(rule, said, own, twins) for rule in (ct.Softmax(), ct.Argmax())]
        sight = Sight(objective.loss.per_choice(said, own), *outcomes)
        return objective.sums(objective.begin(own), sight, own, rows), objective.masses(own, rows)

    whole = of(choices, seen)
    halves = [
        of(choices.take(part), Seen([own[..., part] for own in seen.rewards], None, {}))
        for part in (slice(0, 30), slice(30, None))
    ]
    added = jax.tree.map(jnp.add, *halves)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-9), added, whole)
    assert np.isfinite(objective.combine(objective.begin(choices), *whole))
    leaves, structure = jax.tree.flatten(objective)
    assert jax.tree.unflatten(structure, leaves) == objective


def test_objectives_are_closed_forms():
    choices, seen, _ = problem(k=2)
    losses = np.asarray(Logit().per_choice(seen, choices))
    weight, who = np.asarray(choices.weight), ct.Grouping(GROUP)

    def value(objective, state=None):
        rows = objective.prepare(choices, objective.known(choices))
        state = objective.begin(choices) if state is None else state
        sums = objective.sums(state, Sight(jnp.asarray(losses)), choices, rows)
        return objective.combine(state, sums, objective.masses(choices, rows)), sums, objective.masses(choices, rows)

    assert np.isclose(value(Mean())[0], np.average(losses, weights=weight))
    factor = np.asarray(reweighting(who, labels(who, choices), choices))
    assert np.isclose(value(Reweighted(who=who))[0], np.average(losses, weights=weight * factor))
    assert np.isclose(value(Reweighted(who=who, power=0.0))[0], np.average(losses, weights=weight))
    # conditional value at risk: the least over thresholds is the mean of the worst share
    order = np.argsort(-losses)
    mass = np.minimum(np.cumsum(weight[order]), 0.3 * weight.sum())
    worst = np.sum(np.diff(mass, prepend=0) * losses[order]) / (0.3 * weight.sum())
    best = minimize_scalar(lambda t: float(value(CVaR(share=0.3), jnp.asarray(t))[0]), bounds=(0, 5), method="bounded")
    assert np.isclose(best.fun, worst, rtol=1e-5)
    state = jnp.zeros(())
    for _ in range(600):
        _, sums, masses = value(CVaR(share=0.3, rate=0.01), state)
        state = CVaR(share=0.3, rate=0.01).follow(state, sums, masses)
    assert np.isclose(value(CVaR(share=0.3), state)[0], worst, rtol=5e-3)
    # group DRO: weights go to the group that loses most, and a group without anybody has none
    dro, state = WorstGroup(who=who, ascent=0.5), jnp.zeros(3)
    for _ in range(300):
        _, sums, masses = value(dro, state)
        state = dro.follow(state, sums, masses)
    groups = np.asarray(sums / jnp.where(masses > 0, masses, 1))[:2]
    assert np.isclose(value(dro, state)[0], groups.max(), rtol=1e-3) and np.exp(state[2]) == 0


def test_of_people_each_counts_once():
    choices, _, _ = problem()
    person = np.arange(60) // 3 * (np.arange(60) < 30)  # one with half of the choices
    weight, losses = np.asarray(choices.weight), np.random.default_rng(1).random(60)
    of_person = np.bincount(person, weight)
    choices = choices.replace(columns={ct.UNIT_SHARE: np.repeat(1 / of_person[person][:, None], 3, 1)})
    objective = PeopleMean()
    rows = objective.prepare(choices, ())
    found = objective.combine((), objective.sums((), Sight(losses), choices, rows), objective.masses(choices, rows))
    there = np.unique(person)
    means = np.bincount(person, weight * losses)[there] / of_person[there]
    np.testing.assert_allclose(found, means.mean(), rtol=1e-12)


@pytest.mark.slow
def test_somebody_who_answers_a_lot_is_one_person():
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(61), np.where(np.arange(61) == 0, 900, 6))
    taste = np.where(person == 0, -2.0, 2.0)
    x = rng.normal(size=(len(person), 2))
    frame = pd.DataFrame({"u": person, "a_x": x[:, 0], "b_x": x[:, 1]})
    frame["y"] = (taste * (x[:, 0] - x[:, 1]) + rng.logistic(size=len(x)) > 0).astype(int)
    schema = {
        "format": "wide", "unit": "u", "sides": ["a", "b"], "label": "y", "numeric": ["x"],
        "attributes": [{"name": "g", "levels": ["A", "B"], "chooser": True}],
    }  # fmt: skip
    data = faro.load(frame.assign(g=np.where(person % 2, "A", "B")), schema)
    seed = next(seed for seed in range(20) if 0 in person[data.rows(("train",), seed)])
    given = {"attribute": "g", "bound": float("inf"), "seed": seed, "settings": {"primal": "adam", "steps": 60}}
    of_choices, of_people = (
        faro.train(data, "group_error", loss=loss, **given).rewards(data)
        for loss in ("logit", "faro.losses:PeopleMean")
    )
    ahead = x[:, 0] > x[:, 1]
    assert (
        ((of_choices[:, 0] > of_choices[:, 1]) == ahead).mean()
        < 0.5
        < ((of_people[:, 0] > of_people[:, 1]) == ahead).mean()
    )


def test_losses_are_known_by_name_and_what_is_unknown_is_refused():
    assert {"logit", "smoothed", "noisy", "pairwise", "brier", "cvar"} <= set(declared("loss"))
    assert make("loss", "smoothed(share=0.2)") == Smoothed(share=0.2)
    with pytest.raises(Exception, match="did you mean"):
        make("loss", "smoothd")
    with pytest.raises(Exception, match="option of smoothed"):
        make("loss", "smoothed(part=0.2)")


def test_an_objective_of_ones_own_needs_two_methods():
    @dataclasses.dataclass
    class Never:
        pass

    class Root(Objective):
        def sums(self, state, sight, choices, rows):
            return jnp.sum(choices.weight * jnp.sqrt(sight.losses))

        def combine(self, state, sums, masses):
            return sums / masses

    assert not Root().logistic and Mean().logistic and not Mean(loss=Pairwise()).logistic
    assert Root() == Root() and hash(Root()) == hash(Root()) and Root() != Never()
