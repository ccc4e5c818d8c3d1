"""Every notion of the catalogue: the contract, what must not matter, and training with any number of groups."""

import dataclasses
import itertools

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

import constraints as ct
import faro
from constraints.testing import COMMUNITY, GROUP, KIND, example_choices, try_clauses
from faro.data import Dataset
from faro.data.schema import Schema
from faro.errors import DataError
from tests.oracles.reference import NOTIONS

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
    "predictive parity, pairwise": dataclasses.replace(ct.predictive_parity(GROUP), form="pairwise"),
    "calibration": ct.calibration(GROUP, within=KIND),
    "reward parity": ct.reward_parity(GROUP, scale=2.0),
    "threshold parity": ct.threshold_parity(GROUP, thresholds=(-0.55, 0.45)),
    "exposure parity": ct.exposure_parity(GROUP),
}
# A stack keeps the contract only if its members do, and is one program; the two of one name are in different ones.
STACKS = [ct.Stack(members=tuple(CATALOGUE.values())[first::3]) for first in range(3)]


@pytest.mark.slow
@pytest.mark.parametrize("stack", STACKS, ids=lambda stack: stack.members[0].name())
def test_the_contract(stack):
    broken = {clause: what for clause, what in try_clauses(stack, example_choices(n=30)).items() if what}
    assert not broken


@pytest.mark.parametrize("name", ["demographic parity, chooser", "oscillation, tail"])
def test_the_contract_of_one_alone(name):
    assert not any(try_clauses(CATALOGUE[name], example_choices(n=30)).values())


class Slack(type(ct.rate_cap(GROUP))):
    """Forgets weights."""

    def members(self, choices):
        return super().members(choices.replace(weight=choices.weight > 0))


@pytest.mark.slow
def test_a_stack_breaks_the_contract_that_a_member_breaks():
    cap = ct.rate_cap(GROUP)
    slack = Slack(**{field.name: getattr(cap, field.name) for field in dataclasses.fields(cap)})
    broken = try_clauses(ct.Stack(members=(ct.group_loss(COMMUNITY), slack)), example_choices(n=30))
    assert "weight" in broken["weights count"]


def test_the_contract_is_kept_by_the_whole_catalogue():
    parts = [part for constraint in CATALOGUE.values() for part in constraint.parts()]
    assert {part.name().partition("(")[0].removesuffix("_tail") for part in parts} == set(NOTIONS)


# What the table in test_mutants.py does not say -----------------------------------------------------------------------


@jax.jit
def look(constraint, rewards, choices, how):
    """Rates, rows by label, the gap, and whether the bound is kept."""
    statistics = constraint.statistics(ct.decide(how, rewards, choices), choices)
    return (
        constraint.rates(statistics),
        dict(zip(constraint.labels(), constraint.combine(statistics), strict=True)),
        constraint.gap(statistics)[0],
        constraint.satisfied(statistics),
    )


def test_choosing_nobody_of_a_group_is_no_predictive_parity():
    """Precision is then not defined: never 0, and never a way within the bound; the floor holds, and a rate floor says
    what it leaves open."""
    group = np.repeat([[0, 1], [0, 1], [1, 2], [1, 2]], 5, 0)
    choices = ct.make_choices(
        np.zeros((20, 2, 1)), np.tile([0, 1], 10), attributes={"group": group}, weight=np.r_[np.ones(19), 0]
    )
    where = ct.Attribute("group", ("a", "b", "c"))
    parity, floor, chosen = ct.predictive_parity(where, 0.3), ct.precision_floor(where, 0.9), ct.rate_floor(where, 0.99)
    for favourite, unknown in ((1, {0, 2}), (0, {2}), (2, {0})):  # who is chosen wherever there is a choice
        rewards = jnp.asarray(np.where(group == favourite, 1.0, np.where(group == 1, 0.5, 0.0)))
        rates, rows, gap, kept = look(parity, rewards, choices, ct.Argmax())
        assert set(np.flatnonzero(np.isnan(rates))) == unknown
        for g, name in enumerate("abc"):
            far = {abs(float(rows[f"{side} group={name}"])) for side in ("high", "low")}
            assert far == {1.0} if g in unknown else max(far) < 0.5
        assert float(gap) == 1 and not kept
        assert look(floor, rewards, choices, ct.Argmax())[-1] and not look(chosen, rewards, choices, ct.Argmax())[-1]
    assert look(parity, rewards, choices, ct.Softmax(temperature=0.1))[2] < 1  # the proxy has a precision, and a slope
    alone = choices.replace(weight=choices.weight.at[10:].set(0), available=jnp.asarray(group == 0))
    assert float(look(parity, rewards, alone, ct.Argmax())[2]) == 0  # one group: nothing to compare


CHOICES = example_choices(n=40, seed=3)
REWARDS = np.where(CHOICES.outside, 0, np.round(np.random.default_rng(0).normal(size=(40, 4)), 1)).astype(np.float32)


def test_calibration_forbids_parity():
    """Gap of p >= gap of base rates - E_g - E_h, E calibration in the large, for every pair of groups."""
    large = list(jax.jit(ct.calibration(GROUP, bins=1).measure)(ct.decide(ct.Argmax(), REWARDS, CHOICES), CHOICES))
    parity = ct.demographic_parity(GROUP)
    soft, base = (look(parity, r, CHOICES, ct.Softmax())[0] for r in (REWARDS, jnp.log(CHOICES.chosen + 1e-30)))
    for g, h in itertools.permutations(range(3), 2):
        assert abs(soft[g] - soft[h]) >= abs(base[g] - base[h]) - large[g] - large[h] - 1e-6


@pytest.mark.slow
def test_what_is_counted_adds_up_to_the_statistics():
    outcome = ct.decide(ct.Argmax(), REWARDS, CHOICES)

    @jax.jit
    def both(constraint, choices):
        return constraint.counts(outcome, choices), constraint.statistics(outcome, choices)

    for constraint in (ct.demographic_parity(GROUP), ct.equalized_odds(COMMUNITY), ct.rate_floor(GROUP)):
        assert constraint.certifiable_as() == "counts"
        counts, whole = both(constraint, CHOICES)
        for cell in range(len(constraint.cells())):
            mine = counts.cell == cell
            np.testing.assert_allclose((counts.share * counts.value)[mine].sum(), whole.sums[cell], rtol=1e-5)
            np.testing.assert_allclose(counts.share[mine].sum(), whole.masses[cell], rtol=1e-5)
        assert not np.any((counts.share > 0) != (counts.cell >= 0))
    for name in ("reward parity", "threshold parity", "exposure parity", "oscillation"):
        assert CATALOGUE[name].certifiable_as() == "scores"
        if not CATALOGUE[name].twins():
            value = both(CATALOGUE[name], CHOICES)[0].value
            assert np.all((value >= 0) & (value <= 1))
    for name in ("group loss", "rate ratio", "calibration", "predictive parity", "precision floor"):
        assert CATALOGUE[name].certifiable_as().startswith("no certificate")


def test_what_a_bound_compares_is_said_where_it_is_known():
    parity = ct.equalized_odds(GROUP)
    assert parity.compared() == ct.Compared(("chosen", "rejected"), parity.groups(), True)
    cap = ct.rate_cap(GROUP, within=KIND)
    assert cap.compared() == ct.Compared(("kind=x", "kind=y"), cap.who.groups, False)
    assert ct.group_error(GROUP, reference=0.1).compared() is None  # bounded is an excess

    class Own(ct.RateConstraint):
        def cells(self):
            return ("a", "b")

        def combine(self, statistics):
            return 2 * super().combine(statistics)

    class Plain(ct.RateConstraint):
        def cells(self):
            return ("a", "b")

    assert Own(bound=0.1).compared() is None and Plain(bound=0.1).compared() == ct.Compared(("",), ("a", "b"), False)


def test_crossed_attributes():
    both = ct.cross(GROUP, KIND)
    assert both.levels[:2] == ("a & x", "a & y") and len(both.levels) == 8 and not both.chooser
    rates = look(ct.demographic_parity(both), REWARDS, CHOICES, ct.Argmax())[0]
    inside = look(ct.demographic_parity(GROUP, within=KIND), REWARDS, CHOICES, ct.Argmax())[0]
    np.testing.assert_array_equal(np.reshape(rates, (4, 2)), np.reshape(inside, (2, 4)).T)
    three = ct.cross(both, COMMUNITY)
    assert len(three.levels) == 16
    codes = {name: np.asarray(own) for name, own in CHOICES.attributes.items()}
    expected = (codes["group"] * 2 + codes["kind"]) * 2 + codes["community"]
    some = np.asarray(CHOICES.inside) & (codes["group"] >= 0)
    np.testing.assert_array_equal(np.asarray(three.codes(CHOICES))[some], expected[some])


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
    hard, soft = (ct.decide(how, rewards, choices, twins) for how in (ct.Argmax(), ct.Softmax()))
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


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 10]), st.floats(0, 0.6), st.floats(0, 0.6))
@settings(max_examples=100, deadline=None)
def test_only_people_count_whatever_their_order_padding_parts_and_names(seed, coarse, masked, missing):
    """All notions at once, 100 draws: row order, padding, splitting rows into halves, the unit of weight and the names
    of groups change no measurement, no proxy and no gap; and the gap is what the inequalities bound."""
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
    for part, rows, gap in zip(EVERYTHING.parts(), np.split(found[0][0], sizes), found[2][0], strict=True):
        if abs(gap - part.bound) > 1e-9:  # every inequality holds exactly when the gap is within the bound
            assert (rows.max() <= part.bound + 1e-12) == (gap <= part.bound), part.name()


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


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_a_model_trains_under_every_notion(name):
    """The free model breaks every bound; the trained one keeps all of them, and still predicts."""
    bounds, settings = TRAINED[name]
    data = dataclasses.replace(faro.load("demo"), population=None)
    parts = tuple(getattr(ct, notion)(data.attributes["dialect"], bound) for notion, bound in bounds.items())
    run = faro.frontier(data, Together(members=parts), bounds=[1.0], seeds=1, settings=settings)
    free, trained = run.table.to_dict("records")
    assert trained["status"] == "FEASIBLE"
    for part in parts:
        gap = f"train_gap[{part.name()}]"
        assert trained[gap] <= part.bound < free[gap], part.name()
    assert trained["train_accuracy"] > free["train_accuracy"] - 0.06


# Any number of groups -------------------------------------------------------------------------------------------------


LEVELS = [f"g{g}" for g in range(200)]


def crowd(groups, people=1600, each=3):
    """Choices between two alternatives of many groups, by choosers of ten camps; the first groups are liked less. 200
    groups are always declared, so that every sweep has the same shapes."""
    rng = np.random.default_rng(groups)
    n = people * each
    person, group, x = np.repeat(np.arange(people), each), rng.integers(0, groups, (n, 2)), rng.normal(size=(n, 2))
    x += 6 * group / groups
    reward = x + rng.gumbel(size=(n, 2))
    table = pd.DataFrame(
        {
            "person": np.repeat(person, 2),
            "choice": np.repeat(np.arange(n), 2),
            "group": np.array(LEVELS)[group.ravel()],
            "camp": [f"c{p % 10}" for p in np.repeat(person, 2)],
            "x": x.ravel(),
            "place": group.ravel() / groups,
            "chosen": (reward == reward.max(1, keepdims=True)).astype(int).ravel(),
        }
    )
    schema = {
        "unit": "person", "choice": ["choice"], "label": "chosen", "numeric": ["x", "place"],
        "attributes": [
            {"name": "group", "levels": LEVELS},
            {"name": "camp", "levels": [f"c{c}" for c in range(10)], "chooser": True},
        ],
    }  # fmt: skip
    return Dataset.from_table(table, Schema.from_dict(schema), name="crowd")


@pytest.mark.slow
@pytest.mark.parametrize("groups", [10, 200])
def test_groups_times_ten_strata_are_swept(groups):
    """Up to 2000 cells, most of them small: a row for every cell, and the gap that pandas finds."""
    data = crowd(groups)
    constraint = ct.demographic_parity(data.attributes["group"], within=data.attributes["camp"])
    run = faro.frontier(data, constraint, bounds=[0.4], seeds=1, settings={"steps": 60})
    free, trained = run.table.to_dict("records")
    rates = np.array([value for name, value in trained.items() if name.startswith("train_rate[")])
    some = ~np.isnan(rates)
    assert len(rates) == 2000 and 10 * groups * 0.9 < some.sum() <= 10 * groups
    assert rates[some].min() >= 0 and rates[some].max() <= 1
    for row, model in zip((free, trained), run.models, strict=True):
        scored = model.score(data)
        mine = scored[scored["part"].isin(["train", "dual"])]
        rate = mine.groupby(["camp", "group"])["decision"].mean().groupby("camp")
        assert row["train_gap"] == pytest.approx((rate.max() - rate.min()).max(), abs=1e-9)
        assert row["train_accuracy"] > 0.6
    assert free["train_gap"] > 0.4
    if groups <= 10:
        assert trained["status"] == "FEASIBLE"
    else:  # a cell of two alternatives has a rate of 0, 1/2 or 1: nothing but ties keeps such a bound, and it says so
        assert trained["status"] == "INFEASIBLE" and trained["train_gap"] <= 1
        assert any("fewer than 30 train units" in note for note in run.manifest["notes"])


def test_one_group_measures_nothing_and_is_refused_for_training():
    data = crowd(1)
    constraint = ct.demographic_parity(data.attributes["group"], within=data.attributes["camp"])
    choices = data.choices(data.fit_coding())
    outcome = ct.decide(ct.Argmax(), choices.items[..., 0], choices)
    assert float(constraint.gap(constraint.statistics(outcome, choices))[0]) == 0
    with pytest.raises(DataError, match="only one group has data") as refused:
        faro.frontier(data, constraint, bounds=[0.1], seeds=1)
    assert refused.value.exit_code == 5
