"""Every notion of the catalogue: the contract, a second way to the same number, and training under it."""

import dataclasses
import itertools

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from reference import NOTIONS
from sklearn.metrics import precision_score

import constraints as ct
import faro
from constraints.testing import COMMUNITY, GROUP, KIND, example_choices, try_clauses
from faro.data import Dataset
from faro.data.schema import Schema
from faro.errors import DataError

CATALOGUE = {
    "demographic parity, chooser": ct.demographic_parity(COMMUNITY, of=(KIND, "x")),
    "equalized odds, pairwise": ct.equalized_odds(GROUP, form="pairwise"),
    "equal opportunity, anchored": ct.equal_opportunity(GROUP, form="anchored"),
    "predictive equality, crossed": ct.predictive_equality(ct.cross(GROUP, KIND)),
    "counterfactual parity, within": ct.counterfactual_parity(GROUP, within=COMMUNITY),
    "counterfactual parity, chooser of": ct.counterfactual_parity(COMMUNITY, of=(KIND, "y")),
    "counterfactual flip": ct.counterfactual_flip(GROUP),
    "oscillation": ct.counterfactual_oscillation(GROUP, scale=1.3),
    "oscillation, tail": ct.counterfactual_oscillation(COMMUNITY, tail=True),
    "rate cap": ct.rate_cap(GROUP),
    "rate floor, within": ct.rate_floor(GROUP, within=COMMUNITY),
    "group error, no worse": ct.group_error(GROUP, reference=[0.1, 0.2, 0.3, 0.0]),
    "group loss": ct.group_loss(COMMUNITY),
    "rate ratio": ct.rate_ratio(GROUP, within=COMMUNITY),
    "precision floor": ct.precision_floor(GROUP),
    "predictive parity": ct.predictive_parity(GROUP),
    "calibration": ct.calibration(GROUP, within=KIND),
    "reward parity": ct.reward_parity(GROUP, scale=2.0),
    "threshold parity": ct.threshold_parity(GROUP, thresholds=(-0.55, 0.45)),
    "exposure parity": ct.exposure_parity(GROUP),
    "stack of kinds": ct.Stack(members=(ct.group_loss(COMMUNITY), ct.calibration(GROUP), ct.exposure_parity(GROUP))),
}


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_contract(name):
    assert not any(try_clauses(CATALOGUE[name], example_choices(n=30)).values())


def test_the_contract_is_kept_by_the_whole_catalogue():
    parts = [part for constraint in CATALOGUE.values() for part in constraint.parts()]
    assert {part.name().partition("(")[0].removesuffix("_tail") for part in parts} == set(NOTIONS)


# A second way to the same number --------------------------------------------------------------------------------------

CHOICES = example_choices(n=40, seed=3)
REWARDS = jnp.where(CHOICES.outside, 0, jnp.asarray(np.round(np.random.default_rng(0).normal(size=(40, 4)), 1)))
OUTCOME = ct.read(ct.Hard(), REWARDS, CHOICES)
WEIGHT = np.repeat(np.asarray(CHOICES.weight)[:, None], 4, 1)
LABEL, DECISION = np.asarray(CHOICES.chosen), np.asarray(OUTCOME.decisions)
P = np.exp(np.asarray(OUTCOME.log_probabilities()))
CODES = {name: np.where(np.asarray(CHOICES.inside), codes, -1) for name, codes in CHOICES.attributes.items()}


def by_group(attribute, number):
    """`number(mask)` for every level of an attribute, 0 for a level without data."""
    masks = [CODES[attribute.name] == level for level in range(len(attribute.levels))]
    return np.array([number(mask) if (WEIGHT * mask).sum() > 0 else 0.0 for mask in masks])


def mean(values, mask, weight=WEIGHT):
    return (weight * values)[mask].sum() / weight[mask].sum()


def test_precision_is_scikit_learns():
    """On accept/reject, where precision is defined there; the linear row is violated exactly when the ratio is."""
    rng = np.random.default_rng(0)
    n = 200
    group, y, reward = rng.integers(0, 3, n), rng.integers(0, 2, n), rng.normal(size=n)
    choices = ct.make_choices(
        np.zeros((n, 2, 1)), 1 - y, outside=np.tile([False, True], (n, 1)),
        attributes={"group": np.stack([group, np.full(n, -1)], 1)},
    )  # fmt: skip
    outcome = ct.read(ct.Hard(), jnp.stack([jnp.asarray(reward), jnp.zeros(n)], 1), choices)
    precision = [precision_score(y[group == g], reward[group == g] > 0) for g in range(3)]
    floor = ct.precision_floor(GROUP)
    statistics = floor.statistics(outcome, choices)
    np.testing.assert_allclose(floor.rates(statistics)[:3], precision, atol=1e-6)
    np.testing.assert_allclose(floor.gap(statistics), [1 - min(precision)], atol=1e-6)
    parity = ct.predictive_parity(GROUP)
    gap = parity.gap(parity.statistics(outcome, choices))
    np.testing.assert_allclose(gap, [max(precision) - min(precision)], atol=1e-6)
    for bound in np.linspace(0.3, 0.7, 9):
        holds = bool((floor.at(bound).combine(statistics) <= bound + 1e-7).all())
        assert holds == bool(floor.at(bound).satisfied(statistics))


def test_choosing_nobody_of_a_group_is_no_predictive_parity():
    """Precision is then not defined: never 0, and never a way within the bound; the floor holds, and a rate floor says
    what it leaves open."""
    group = np.repeat([[0, 1], [0, 1], [1, 2], [1, 2]], 5, 0)
    choices = ct.make_choices(
        np.zeros((20, 2, 1)), np.tile([0, 1], 10), attributes={"group": group}, weight=np.r_[np.ones(19), 0]
    )
    where = ct.Attribute("group", ("a", "b", "c"))
    for favourite, unknown in ((1, {0, 2}), (0, {2}), (2, {0})):  # who is chosen wherever there is a choice
        rewards = jnp.asarray(np.where(group == favourite, 1.0, np.where(group == 1, 0.5, 0.0)))
        outcome = ct.read(ct.Hard(), rewards, choices)
        parity, floor = ct.predictive_parity(where, 0.3), ct.precision_floor(where, 0.9)
        statistics = parity.statistics(outcome, choices)
        assert set(np.flatnonzero(np.isnan(parity.rates(statistics)))) == unknown
        rows = dict(zip(parity.labels(), np.asarray(parity.combine(statistics)), strict=True))
        for g, name in enumerate("abc"):
            far = {abs(rows[f"{side} group={name}"]) for side in ("high", "low")}
            assert far == {1.0} if g in unknown else max(far) < 0.5
        assert float(parity.gap(statistics)[0]) == 1 and not bool(parity.satisfied(statistics))
        assert bool(floor.satisfied(floor.statistics(outcome, choices)))
        chosen = ct.rate_floor(where, 0.99)
        assert not bool(chosen.satisfied(chosen.statistics(outcome, choices)))
    nobody_else = choices.replace(weight=choices.weight.at[10:].set(0), available=jnp.asarray(group == 0))
    outcome = ct.read(ct.Hard(), jnp.zeros((20, 2)), nobody_else)
    assert float(parity.gap(parity.statistics(outcome, nobody_else))[0]) == 0  # one group: nothing to compare
    soft = ct.read(ct.Soft(temperature=0.1), rewards, choices)
    assert float(parity.gap(parity.statistics(soft, choices))[0]) < 1  # the proxy has a precision, and a slope


def test_calibration_forbids_parity():
    """Gap of p >= gap of base rates - E_g - E_h, E calibration in the large, for every pair of groups."""
    large = ct.calibration(GROUP, bins=1).measure(OUTCOME, CHOICES)[:3]
    soft, base = (by_group(GROUP, lambda m, v=v: mean(v, m))[:3] for v in (P, LABEL))
    for g, h in itertools.permutations(range(3), 2):
        assert abs(soft[g] - soft[h]) >= abs(base[g] - base[h]) - large[g] - large[h] - 1e-6


def test_counts_of_units_add_up_to_the_statistics():
    units = int(CHOICES.unit.max()) + 1
    for constraint in (ct.demographic_parity(GROUP), ct.equalized_odds(COMMUNITY), ct.rate_floor(GROUP)):
        assert constraint.evidence() == "counts"
        counts = constraint.counts(OUTCOME, CHOICES, units)
        assert counts.sums.shape == (units, len(constraint.cells()))
        whole = constraint.statistics(OUTCOME, CHOICES)
        np.testing.assert_allclose(counts.sums.sum(0), whole.sums, rtol=1e-5)
        np.testing.assert_allclose(counts.masses.sum(0), whole.masses, rtol=1e-5)
        mine = CHOICES.replace(weight=CHOICES.weight * (CHOICES.unit == 2))
        np.testing.assert_allclose(counts.sums[2], constraint.statistics(OUTCOME, mine).sums, rtol=1e-5)
    for name in ("reward parity", "threshold parity", "exposure parity", "oscillation"):
        assert CATALOGUE[name].evidence() == "scores"
        if not CATALOGUE[name].twins():  # scores are bounded: every unit's sum lies between 0 and its mass
            counts = CATALOGUE[name].counts(OUTCOME, CHOICES, units)
            assert np.all(counts.sums >= -1e-6) and np.all(counts.sums <= counts.masses + 1e-5)
    for name in ("group loss", "rate ratio", "calibration", "predictive parity", "precision floor"):
        assert CATALOGUE[name].evidence().startswith("no certificate")


# Invariances ----------------------------------------------------------------------------------------------------------

EVERYTHING = ct.Stack(
    members=tuple(
        getattr(ct, notion)(attribute, within=within)
        for notion in NOTIONS
        for attribute, within in ((GROUP, COMMUNITY), (COMMUNITY, KIND))
    )
)
ROWS, K = 12, 3


@jax.jit
@jax.vmap
def seen(choices, rewards, twins):
    """Truth, proxy and gaps of every notion."""
    rows = EVERYTHING.prepare(choices)
    masses = EVERYTHING.masses(rows)
    hard, soft = (ct.read(how, rewards, choices, twins) for how in (ct.Hard(), ct.Soft()))
    truth, proxy = (
        ct.Statistics(EVERYTHING.sums(hard, rows), masses),
        ct.Statistics(EVERYTHING.proxy_sums(soft, rows), masses),
    )
    return EVERYTHING.combine(truth), EVERYTHING.combine(proxy), EVERYTHING.gap(truth)


def draw_rows(rng, coarse, masked, missing):
    """`ROWS` choices with rewards and twin rewards, as plain arrays in double precision."""
    n, levels = ROWS, {"group": 4, "community": 2}
    available = rng.random((n, K)) >= masked
    available[:, 1] = True
    outside = np.zeros((n, K), bool)
    outside[:, 0] = available[:, 0] & (rng.random(n) < 0.3)
    votes = available * (rng.random((n, K)) + 1e-3)
    chosen = np.where(rng.random((n, 1)) < 0.5, np.eye(K)[votes.argmax(1)], votes / votes.sum(1, keepdims=True))
    codes = {name: rng.integers(0, size, (n, K)) for name, size in (("group", 3), ("kind", 2))}
    codes["community"] = np.repeat(rng.integers(0, 2, (n, 1)), K, 1)
    gone = {"group": (n, K), "kind": (n, K), "community": (n, 1)}
    codes = {name: np.where(rng.random(gone[name]) < missing, -1, own) for name, own in codes.items()}
    rewards = np.where(outside, 0, np.round(rng.normal(size=(n, K)) * coarse) / coarse)
    valid = {name: rng.random((n, K, size)) < 0.9 for name, size in levels.items()}
    moved = {name: np.round(rng.normal(size=(n, K, size)) * coarse) / coarse for name, size in levels.items()}
    choices = ct.Choices(
        items=np.zeros((n, K, 1)), available=available, chosen=chosen, weight=rng.uniform(0.1, 3, n),
        unit=np.arange(n), outside=outside, attributes=codes,
        twins={
            "group": ct.Twin(valid=valid["group"], items=np.zeros(n)),
            "community": ct.Twin(valid=valid["community"], context=np.zeros(n)),
        },
    )  # fmt: skip
    return choices, rewards, moved


def joined(first, second):
    return jax.tree.map(lambda a, b: np.concatenate([a, b]), first, second)


def weighted(drawn, factor):
    return drawn[0].replace(weight=drawn[0].weight * factor), *drawn[1:]


def relabelled(drawn, order):
    """The levels of the group in another order, as codes and as twins."""
    choices, rewards, moved = drawn
    own = choices.twins["group"]
    codes = np.append(np.argsort(order), -1)[choices.attributes["group"]]
    twin = ct.Twin(valid=own.valid[..., order], items=own.items)
    choices = choices.replace(attributes=choices.attributes | {"group": codes}, twins=choices.twins | {"group": twin})
    return choices, rewards, moved | {"group": moved["group"][..., order]}


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 10]), st.floats(0, 0.6), st.floats(0, 0.6))
@settings(max_examples=100, deadline=None)
def test_only_people_count_whatever_their_order_padding_parts_and_names(seed, coarse, masked, missing):
    """All notions at once, 100 draws: row order, padding, splitting rows into halves, the unit of weight and the names
    of groups change no measurement, no proxy and no gap."""
    rng = np.random.default_rng(seed)
    people, some, others = (draw_rows(rng, coarse, masked, missing) for _ in range(3))
    base = joined(people, weighted(some, 0))
    order = rng.permutation(2 * ROWS)
    lanes = [
        base,
        jax.tree.map(lambda leaf: leaf[order], base),
        joined(weighted(others, 0), people),
        joined(weighted(people, 0.5), weighted(people, 0.5)),
        weighted(base, 7.0),
        relabelled(base, rng.permutation(4)),
    ]
    with jax.enable_x64(True):
        found = [np.asarray(own) for own in seen(*jax.tree.map(lambda *leaves: np.stack(leaves), *lanes))]
    for values in found:
        assert np.isfinite(values).all()
        for lane in values[1:5]:
            np.testing.assert_allclose(lane, values[0], atol=1e-9)
    sizes = np.cumsum([len(part.labels()) for part in EVERYTHING.parts()])[:-1]
    for values in found[:2]:  # new names permute the rows of every notion
        for before, after in zip(np.split(values[0], sizes), np.split(values[5], sizes), strict=True):
            np.testing.assert_allclose(np.sort(after), np.sort(before), atol=1e-9)
    np.testing.assert_allclose(found[2][5], found[2][0], atol=1e-9)


def test_crossed_attributes():
    both = ct.cross(GROUP, KIND)
    assert both.levels[:2] == ("a & x", "a & y") and len(both.levels) == 8 and not both.chooser
    rates = ct.demographic_parity(both).rates(ct.demographic_parity(both).statistics(OUTCOME, CHOICES))
    for g in range(3):
        for k in range(2):
            mask = (CODES["group"] == g) & (CODES["kind"] == k)
            assert float(rates[2 * g + k]) == pytest.approx(mean(DECISION, mask), abs=1e-6)
    three = ct.cross(both, COMMUNITY)
    assert len(three.levels) == 16
    codes = np.asarray(three.codes(CHOICES))
    expected = (CODES["group"] * 2 + CODES["kind"]) * 2 + CODES["community"]
    some = np.asarray(CHOICES.inside) & (CODES["group"] >= 0)
    np.testing.assert_array_equal(codes[some], expected[some])


# Training under every notion ------------------------------------------------------------------------------------------


class Together(ct.Stack):
    """Parts with bounds of their own, which a sweep multiplies by a common factor."""

    def at(self, bound):
        return dataclasses.replace(self, members=tuple(part.at(part.bound * bound) for part in self.members))


# Bounds that the free model of the demo does not keep, in groups that can hold together.
TRAINED = {
    "decisions and scores": (
        {
            "demographic_parity": 0.05, "rate_ratio": 0.1, "rate_cap": 0.55, "rate_floor": 0.55, "reward_parity": 0.05,
            "threshold_parity": 0.1, "exposure_parity": 0.02, "counterfactual_parity": 0.05,
            "counterfactual_flip": 0.05, "counterfactual_oscillation": 0.3, "equal_opportunity": 0.1,
            "predictive_equality": 0.1, "equalized_odds": 0.1,
        },
        {"steps": 90, "dual_rate": 0.1},
    ),
    "errors": (
        {"group_error": 0.32, "group_loss": 0.6, "calibration": 0.05},
        {"steps": 240, "dual_rate": 1, "weight_decay": 0.3},  # so much decay that the free model is not calibrated
    ),
    "precision": ({"precision_floor": 0.25, "predictive_parity": 0.05}, {"steps": 240, "dual_rate": 0.2}),
}  # fmt: skip


def test_every_notion_is_trained():
    assert {name for bounds, _ in TRAINED.values() for name in bounds} == set(NOTIONS)


@pytest.mark.parametrize("name", TRAINED)
def test_a_model_trains_under_every_notion(name):
    """The free model breaks every bound; the trained one keeps all of them, and still predicts."""
    bounds, settings = TRAINED[name]
    data = faro.load("demo")
    parts = tuple(getattr(ct, notion)(data.attributes["dialect"], bound) for notion, bound in bounds.items())
    run = faro.frontier(data, Together(members=parts), bounds=[1.0], seeds=1, settings=settings)
    free, trained = run.table.to_dict("records")
    assert trained["status"] == "FEASIBLE"
    for part in parts:
        gap = f"train_gap[{part.name()}]"
        assert trained[gap] <= part.bound < free[gap], part.name()
    assert trained["train_accuracy"] > free["train_accuracy"] - 0.06


# Any number of groups -------------------------------------------------------------------------------------------------


def crowd(groups, people=400, each=3):
    """Choices between two alternatives of many groups, by choosers of ten camps; the first groups are liked less."""
    rng = np.random.default_rng(groups)
    n = people * each
    person, group, x = np.repeat(np.arange(people), each), rng.integers(0, groups, (n, 2)), rng.normal(size=(n, 2))
    reward = x + 2 * group / groups + rng.gumbel(size=(n, 2))
    table = pd.DataFrame(
        {
            "person": np.repeat(person, 2),
            "choice": np.repeat(np.arange(n), 2),
            "group": [f"g{g}" for g in group.ravel()],
            "camp": [f"c{p % 10}" for p in np.repeat(person, 2)],
            "x": x.ravel(),
            "chosen": (reward == reward.max(1, keepdims=True)).astype(int).ravel(),
        }
    )
    schema = {
        "unit": "person", "choice": ["choice"], "label": "chosen", "numeric": ["x"], "categorical": ["group"],
        "attributes": [
            {"name": "group", "levels": [f"g{g}" for g in range(max(groups, 2))]},
            {"name": "camp", "levels": [f"c{c}" for c in range(10)], "chooser": True},
        ],
    }  # fmt: skip
    return Dataset.from_table(table, Schema.from_dict(schema), name="crowd")


@pytest.mark.parametrize(("groups", "bound"), [(2, 0.2), (10, 0.6), (200, 0.9)])
def test_groups_times_ten_strata_are_swept(groups, bound):
    """Up to 2000 cells, most of them small: one program, a row for every cell, and the gap that pandas finds."""
    data = crowd(groups)
    constraint = ct.demographic_parity(data.attributes["group"], within=data.attributes["camp"])
    run = faro.frontier(data, constraint, bounds=[bound], seeds=1, settings={"steps": 60})
    assert run.manifest["traced"] == {"start": 1, "advance": 1}
    free, trained = run.table.to_dict("records")
    rates = [value for name, value in trained.items() if name.startswith("train_rate[")]
    assert len(rates) == 10 * groups and np.nanmin(rates) >= 0 and np.nanmax(rates) <= 1
    for row, model in zip((free, trained), run.models, strict=True):
        scored = model.score(data)
        mine = scored[scored["part"].isin(["train", "dual"])]
        rate = mine.groupby(["camp", "group"])["decision"].mean()
        spread = rate.groupby("camp").agg(lambda own: own.max() - own.min())
        assert row["train_gap"] == pytest.approx(spread.max(), abs=1e-9)
        assert row["train_accuracy"] > 0.6
    assert free["train_gap"] > bound
    if groups <= 10:
        assert trained["status"] == "FEASIBLE"
    else:  # a cell of two alternatives has a rate of 0, 1/2 or 1: nothing but ties keeps such a bound, and it says so
        assert trained["status"] == "INFEASIBLE" and trained["train_gap"] <= 1
        assert any("few train alternatives" in note for note in run.manifest["notes"])


def test_one_group_measures_nothing_and_is_refused_for_training():
    data = crowd(1)
    constraint = ct.demographic_parity(data.attributes["group"], within=data.attributes["camp"])
    choices = data.choices(data.fit_coding())
    outcome = ct.read(ct.Hard(), choices.items[..., 0], choices)
    assert float(constraint.gap(constraint.statistics(outcome, choices))[0]) == 0
    with pytest.raises(DataError, match="only one group has data") as refused:
        faro.frontier(data, constraint, bounds=[0.1], seeds=1)
    assert refused.value.exit_code == 5
