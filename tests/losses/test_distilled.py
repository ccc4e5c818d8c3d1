"""Margins of teachers: closed forms of every condition and penalty, and a student that knows no groups."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import constraints as ct
import faro
from constraints.alternatives import pieces
from faro.errors import UsageError
from faro.losses import CVaR, Distilled, Mean, Reweighted, Sight
from faro.losses.distilled import CONDITIONS, PENALTIES, margin
from faro.models import Seen

GROUP = ct.Attribute("g", ("A", "B"), chooser=True)
WHO = ct.Grouping(GROUP)
POOLED, A, B = "reward:linear", "reward:linear@g=A", "reward:linear@g=B"


def problem(n=40, k=2, seed=0, same=False):
    """Choices with the rewards of a pooled model and two teachers; the last five choosers are in no group."""
    rng = np.random.default_rng(seed)
    group = np.where(np.arange(n) < n - 5, rng.integers(0, 2, n), -1)
    columns = {name: 2 * rng.normal(size=(n, k)) for name in (POOLED, A, B)}
    if same:
        columns[B] = columns[A]
    chosen = np.eye(k)[rng.integers(0, k, n)]
    given = {"weight": rng.random(n) + 0.2, "attributes": {"g": np.repeat(group[:, None], k, 1)}, "columns": columns}
    choices = ct.make_choices(rng.normal(size=(n, k, 3)), chosen, **given)
    return choices, rng.normal(size=(n, k)), group


def total_of(objective, choices, rewards):
    losses = objective.loss.per_choice(Seen(pieces(rewards), None, {}), choices)
    outcome = ct.Outcome(rewards=rewards, decisions=rewards, twins={})
    rows = objective.prepare(choices, objective.known(choices))
    sums = objective.sums((), Sight(losses, outcome, outcome), choices, rows)
    return float(objective.combine((), sums, objective.masses(choices, rows))), np.asarray(losses)


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_objective_is_what_it_says(condition, penalty, balanced, k, x64):
    choices, rewards, group = problem(k=k)
    objective = Distilled(who=WHO, condition=condition, penalty=penalty, balanced=balanced, weight=0.7, most=1.5)
    found, losses = total_of(objective, choices, rewards)
    weight, chosen = np.asarray(choices.weight), np.asarray(choices.chosen).argmax(1)
    expected = 0.0
    for i in np.flatnonzero(group >= 0):

        def lead(values, i=i):
            values = np.asarray(values)[i]
            return values[chosen[i]] - np.delete(values, chosen[i]).mean()

        own, other = (lead(choices.columns[name]) for name in ((A, B) if group[i] == 0 else (B, A)))
        pooled = lead(choices.columns[POOLED])
        kept = {
            "all": True, "right": own > 0, "ahead": own > max(0, other), "pooled": own > max(0, pooled),
            "disagreement": pooled < 0,
        }[condition]  # fmt: skip
        short = np.clip(own, 0, 1.5) - lead(rewards)
        phi = {"hinge": max(0, short), "square": short**2, "shifted": np.log1p(np.exp(short))}[penalty]
        share = weight[group == group[i]].sum() / weight[group >= 0].sum()
        expected += kept * weight[i] * phi * (1 / (2 * share) if balanced else 1)
    assert np.isclose(found, (weight @ losses + 0.7 * expected) / weight.sum(), rtol=1e-9)


def test_the_filter_and_weight_of_scpo(x64):
    choices, _, group = problem()
    lead = np.asarray(margin(choices.columns[POOLED], choices))
    given = {"who": WHO, "condition": "disagreement"}
    for threshold, softness in ((0.5, np.inf), (0.3, np.inf), (0.3, 0.7), (1.0, 1.0), (1.0, np.inf)):
        objective = Distilled(threshold=threshold, softness=softness, **given)
        _, factor = objective.prepare(choices, objective.known(choices))
        kept = 1 / (1 + np.exp(-lead)) < threshold if threshold < 1 else np.ones_like(lead)
        np.testing.assert_allclose(factor, (group >= 0) * kept * np.minimum(np.exp(lead / softness), 1), rtol=1e-12)


def test_pairs_without_a_wanted_margin_weigh_their_own_loss(x64):
    choices, rewards, group = problem()
    objective = Distilled(who=WHO, condition="disagreement", penalty="shifted", most=0.0, balanced=True)
    found, losses = total_of(objective, choices, rewards)
    weight, wrong = np.asarray(choices.weight), np.asarray(margin(choices.columns[POOLED], choices)) < 0
    share = np.array([weight[group == own].sum() for own in (0, 1)]) / weight[group >= 0].sum()
    factor = 1 + wrong * np.where(group >= 0, 1 / (2 * share[group]), 0)
    assert np.isclose(found, weight * factor @ losses / weight.sum(), rtol=1e-12)


def test_no_weight_is_the_mean_and_equal_teachers_are_ahead_of_nobody(x64):
    choices, rewards, _ = problem(same=True)
    mean = total_of(Mean(), choices, rewards)[0]
    assert total_of(Distilled(who=WHO, weight=0.0), choices, rewards)[0] == mean
    assert total_of(Distilled(who=WHO, condition="ahead"), choices, rewards)[0] == mean
    assert total_of(Distilled(who=WHO, condition="right"), choices, rewards)[0] > mean


def test_a_margin_of_soft_labels_is_in_expectation(x64):
    choices = ct.make_choices(np.zeros((2, 2, 1)), np.array([[0.5, 0.5], [0.75, 0.25]]))
    np.testing.assert_allclose(margin(np.array([[1.0, 3.0], [1.0, 3.0]]), choices), [0, -1])


@pytest.mark.parametrize(
    "wrong",
    [
        {"who": ct.Grouping(ct.Attribute("g", ("A", "B")))},
        {"who": ct.Grouping()},
        {"who": WHO, "condition": "alone"},
        {"who": WHO, "penalty": "cubic"},
    ],
)
def test_what_has_no_teachers_is_refused(wrong):
    with pytest.raises(UsageError, match="distilled: expected"):
        Distilled(**wrong).columns()


@pytest.mark.slow
def test_a_student_learns_from_teachers_and_knows_no_groups(tmp_path):
    rng = np.random.default_rng(0)
    people, each = 120, 12
    group = np.repeat(np.where(np.arange(people) < 24, "B", "A"), each)
    x = rng.normal(size=(people * each, 3))
    taste = np.where(group == "B", -1.5, 1.5)
    frame = pd.DataFrame({"u": np.repeat(np.arange(people), each), "g": group})
    for at in range(3):
        frame[f"a_x{at}"], frame[f"b_x{at}"] = x[:, at], 0.0
    frame["y"] = (taste * x[:, 0] + x[:, 1] + rng.logistic(size=len(x)) > 0).astype(int)
    schema = {
        "format": "wide", "unit": "u", "sides": ["a", "b"], "label": "y", "numeric": ["x0", "x1", "x2"],
        "attributes": [{"name": "g", "levels": ["A", "B"], "chooser": True}],
    }  # fmt: skip
    data = faro.load(frame, schema)

    def fitted(loss):
        given = {"loss": loss, "settings": {"primal": "adam", "steps": 60, "weight_decay": 1e-3}}
        return faro.train(data, "group_error", attribute="g", bound=float("inf"), **given)

    def rewards(model, table):
        return model.score(faro.load(table, schema))["reward"].to_numpy()

    who = ct.Grouping(data.attributes["g"])
    student = fitted(Distilled(who=who, balanced=True, condition="right", weight=2.0))
    mean = Reweighted(who=who, power=0.0)  # by the same steps
    pooled, none = fitted(mean), fitted(Distilled(who=who, weight=0.0))
    np.testing.assert_allclose(rewards(none, frame), rewards(pooled, frame), atol=1e-5)
    scored = student.score(data), pooled.score(data)
    right = [(table.label * table.decision)[table.g == "B"].sum() for table in scored]
    assert right[0] > right[1]  # the teacher of a fifth of the people is heard
    exchanged = frame.assign(g=frame["g"].map({"A": "B", "B": "A"}))
    np.testing.assert_array_equal(rewards(student, exchanged), rewards(student, frame))
    student.save(tmp_path / "student")
    again = faro.load_model(tmp_path / "student.json")
    np.testing.assert_array_equal(rewards(again, frame), rewards(student, frame))
    assert set(again.coding.made) <= {ct.UNIT_SHARE} and again.loss["options"]["condition"] == "right"


@pytest.mark.slow
def test_a_student_that_robs_a_group_is_not_accepted():
    """Pareto acceptance: a floor of 0 against the aggregate on people of whom neither has seen anything."""
    data = faro.load("demo-people")
    who = ct.Grouping(data.attributes["community"])
    given = {"attribute": "community", "bound": 0.0, "settings": {"primal": "adam", "steps": 40, "dual_data": "own"}}

    def status(loss):
        return faro.train(data, "welfare_floor(welfare='brier')", loss=loss, **given).about

    accepted = status(Distilled(who=who))
    assert accepted["status"] == "FEASIBLE" and accepted["figures"]["dual_gap"] <= 0
    refused = status(CVaR(share=0.02))  # who only knows the worst loses everywhere
    assert refused["status"] == "INFEASIBLE" and "on dual, over the bound 0" in refused["reason"]
