"""Welfare of people: counted choice by choice in plain Python, the contract, and a floor that is trained, stored and
read again."""

import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest

import constraints as ct
import faro
from constraints.testing import COMMUNITY, GROUP, KIND, example_choices, try_clauses, with_columns
from faro.errors import UsageError

NAMED = {
    "floor": ct.welfare_floor(COMMUNITY, 0.02),
    "floor of all, brier": ct.welfare_floor(None, welfare="brier"),
    "floor, log, of": ct.welfare_floor(GROUP, of=(KIND, "x"), welfare="log", floor=1.5),
    "accuracy": ct.accuracy_parity(COMMUNITY),
    "accuracy, within, brier": ct.accuracy_parity(GROUP, within=COMMUNITY, welfare="brier"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMED)
def test_the_contract(name):
    choices = with_columns(NAMED[name], example_choices(n=30))
    assert not any(try_clauses(NAMED[name], choices).values())


@pytest.mark.slow
def test_the_contract_of_all_at_once():
    together = ct.Stack(members=tuple(NAMED.values()))
    assert not any(try_clauses(together, with_columns(together, example_choices(n=30))).values())


def worth(rewards, label, live, welfare, floor):
    """Welfare of one choice, by loops."""
    best = [k for k in live if rewards[k] == max(rewards[j] for j in live)]
    if welfare == "decision":
        return sum(label[k] for k in best) / len(best)
    p = {k: math.exp(rewards[k]) / sum(math.exp(rewards[j]) for j in live) for k in live}
    if welfare == "brier":
        return 1 - sum((p[k] - label[k]) ** 2 for k in live) / 2
    return 1 - min(floor, -sum(label[k] * math.log(p[k]) for k in live if label[k] > 0)) / floor


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * ("," in name)) for name in NAMED])
def test_counted_choice_by_choice(name, x64):
    constraint = NAMED[name]
    choices = with_columns(constraint, example_choices(n=40, seed=1))
    rewards = np.round(np.random.default_rng(2).normal(size=choices.shape), 1)
    rewards = np.where(np.asarray(choices.outside), 0, rewards)
    who, sums, masses = constraint.who, {}, {}
    cell = np.asarray(who.cell(choices))
    for i in range(len(rewards)):
        live = np.flatnonzero(np.asarray(choices.available)[i]).tolist()
        label = np.asarray(choices.chosen, float)[i]
        gain = worth(rewards[i], label, live, constraint.welfare, constraint.floor)
        if isinstance(constraint, type(NAMED["floor"])):
            other = np.where(np.asarray(choices.inside)[i], np.asarray(choices.columns["reward:linear"])[i], 0)
            gain -= worth(other, label, live, constraint.welfare, constraint.floor)
        mine = [c for c in cell[i] if c >= 0]
        mass = float(choices.weight[i]) * float(np.max(np.asarray(choices.columns[ct.UNIT_SHARE])[i]))
        for c in mine:
            sums[c] = sums.get(c, 0) + mass * gain / len(mine)
            masses[c] = masses.get(c, 0) + mass / len(mine)
    means = {c: sums[c] / masses[c] for c in sums if masses[c] > 0}
    if name.startswith("floor"):
        expected = max([-m for m in means.values()] + [0.0] * (len(means) < len(who.cells)))
    else:
        strata = [[means[c] for c in means if c // len(who.groups) == s] for s in range(len(who.strata))]
        expected = max(max(own) - min(own) for own in strata if own)
    outcome = ct.decide(ct.Argmax(), jnp.asarray(rewards), choices)
    assert float(constraint.gap(constraint.statistics(outcome, choices))[0]) == pytest.approx(expected)


def people(seed=0):
    """120 people, of whom a tenth like the opposite and answer a third as often."""
    rng, rows = np.random.default_rng(seed), []
    for person in range(120):
        few = person % 10 == 0
        for choice in range(4 if few else 12):
            x = rng.normal(size=2)
            liking = (x if not few else -x) * 2
            chosen = int(rng.random() < 1 / (1 + math.exp(liking[0] - liking[1])))
            rows += [{"person": f"p{person}", "nr": choice, "side": side, "x": x[side], "few": "yes" if few else "no",
                      "chosen": int(side == chosen)} for side in range(2)]  # fmt: skip
    import pandas as pd

    schema = faro.Schema.from_dict(
        {"unit": "person", "choice": ["person", "nr"], "alternative": "side", "label": "chosen", "numeric": ["x"],
         "attributes": [{"name": "few", "levels": ["no", "yes"], "chooser": True}]}
    )  # fmt: skip
    return faro.data.Dataset.from_table(pd.DataFrame(rows), schema)


@pytest.mark.slow
def test_a_floor_against_an_aggregate_of_the_same_rows_is_trained_stored_and_read_again(tmp_path):
    data = people()
    constraint = ct.welfare_floor(data.attributes["few"], 0.03)
    run = faro.frontier(data, constraint, bounds=[0.03], seeds=1, settings={"steps": 30, "every": 3})
    plain, made = run.models
    assert made.about["status"] == "FEASIBLE"  # the model is of the aggregate's kind: it can be the aggregate
    aggregate = plain.coding.made["reward:linear"]
    for name, leaf in aggregate.params.items():  # the unconstrained model, on the same rows, is the aggregate
        np.testing.assert_allclose(leaf, plain.params[name], atol=1e-5)
    unit = plain.coding.made[ct.UNIT_SHARE]
    for name, leaf in aggregate.params.items():  # the unconstrained model, on the same rows, is the aggregate
        np.testing.assert_allclose(leaf, plain.params[name], atol=1e-5)
    share = unit(data, data.choices(plain.coding), None)[:, 0]
    totals = np.bincount(data.unit_codes, share)
    np.testing.assert_allclose(totals, 1)
    made.save(tmp_path / "model")
    again = faro.load_model(tmp_path / "model")
    first, second = made.score(data), again.score(data)
    assert first.equals(second) and "reward:linear" in first
    assert again.constraint.columns() == constraint.columns()


def test_what_a_stream_cannot_count_and_what_is_no_aggregate():
    data = people()
    few = data.attributes["few"]
    with pytest.raises(UsageError, match="leave out --stream"):
        faro.train(data, ct.accuracy_parity(few), stream=2)
    with pytest.raises(UsageError, match="unknown model 'nobody'"):
        faro.train(data, ct.welfare_floor(few, against="nobody"))


def test_names_of_options():
    for options in itertools.product(("decision", "brier", "log"), ("linear", "mlp(widths=(4,))")):
        text = f"welfare_floor(welfare={options[0]!r}, against={options[1]!r})"
        assert faro.registry.make_constraint({}, text).welfare == options[0]
    with pytest.raises(UsageError, match="welfare"):
        faro.registry.make_constraint({}, "welfare_floor(welfare='utility')")
