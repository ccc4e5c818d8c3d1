"""Constraints against closed forms, brute force, an independent library, and the contract with planted faults."""

import itertools

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fairlearn.metrics import demographic_parity_difference, equal_opportunity_difference, equalized_odds_difference
from hypothesis import given, settings

import constraints as ct
from constraints.testing import COMMUNITY, GROUP, KIND, check_constraint, example_choices

FORMS = ("centred", "anchored", "pairwise")
TABLE = {
    "demographic parity": ct.demographic_parity(GROUP),
    "demographic parity, within": ct.demographic_parity(GROUP, within=COMMUNITY),
    "demographic parity, chooser": ct.demographic_parity(COMMUNITY, of=(KIND, "x")),
    "equalized odds": ct.equalized_odds(GROUP),
    "equalized odds, chooser within": ct.equalized_odds(COMMUNITY, within=KIND),
    "equal opportunity, anchored": ct.equal_opportunity(GROUP, form="anchored"),
    "equalized odds, pairwise": ct.equalized_odds(GROUP, form="pairwise"),
    "counterfactual parity": ct.counterfactual_parity(GROUP),
    "counterfactual parity, chooser of": ct.counterfactual_parity(COMMUNITY, of=(KIND, "y")),
    "counterfactual parity, within pairwise": ct.counterfactual_parity(GROUP, within=KIND, form="pairwise"),
    "counterfactual flip": ct.counterfactual_flip(GROUP, within=COMMUNITY),
    "stack": ct.Stack(members=(ct.demographic_parity(GROUP, 0.1), ct.counterfactual_flip(COMMUNITY, 0.2))),
}


@pytest.mark.parametrize("name", TABLE)
def test_the_contract(name):
    check_constraint(TABLE[name], example_choices(n=30))


# Planted faults: each mutant forgets one thing, and the contract must notice.


class ForgetsWeight(type(TABLE["demographic parity"])):
    def members(self, choices):
        return super().members(choices.replace(weight=jnp.ones_like(choices.weight)))


class SumsWithoutMass(type(TABLE["demographic parity"])):
    def rates(self, statistics):
        return statistics.sums


class LooksAtUnavailable(type(TABLE["demographic parity"])):
    def sums(self, outcome, rows):
        return super().sums(outcome, rows) + jnp.tanh(outcome.rewards).mean()


class WrongGap(type(TABLE["demographic parity"])):
    def gap(self, statistics):
        return super().gap(statistics) * 2


class TwiceTheLabel(type(TABLE["demographic parity"])):
    def labels(self):
        return ("same",) * len(super().labels())


class OneLabelShort(type(TABLE["demographic parity"])):
    def labels(self):
        return super().labels()[:-1]


class ProxyWithoutGradient(type(TABLE["demographic parity"])):
    def proxy_sums(self, outcome, rows):
        return jax.lax.stop_gradient(self.sums(outcome, rows))


class UnhashedConfiguration(type(TABLE["demographic parity"])):
    extra: object = ct.static(default_factory=object)


class OrderMatters(type(TABLE["demographic parity"])):
    def members(self, choices):
        members = super().members(choices)
        return members._replace(share=members.share * jnp.linspace(1, 2, choices.shape[0])[:, None, None])


MUTANTS = [
    ForgetsWeight, SumsWithoutMass, LooksAtUnavailable, WrongGap, TwiceTheLabel, OneLabelShort,
    ProxyWithoutGradient, UnhashedConfiguration, OrderMatters,
]  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_caught(mutant):
    with pytest.raises(AssertionError):
        check_constraint(mutant(bound=0.05, who=ct.Grouping(GROUP)), example_choices(n=30))


def pairs(rewards, group, chosen):
    """Choices between pairs, with one attribute of the alternatives."""
    n, k = np.shape(rewards)
    levels = tuple(f"g{i}" for i in range(int(np.max(group)) + 1))
    attribute = ct.Attribute("g", levels)
    choices = ct.make_choices(np.zeros((n, k, 1)), np.asarray(chosen), attributes={"g": np.asarray(group)})
    return attribute, choices, ct.read(ct.Hard(), jnp.asarray(rewards, float), choices)


def test_by_hand():
    """Three pairs; g0 wins once against g1, ties once against g1, loses within its own group."""
    attribute, choices, outcome = pairs([[2, 1], [1, 1], [0, 1]], [[0, 1], [0, 1], [0, 0]], [0, 1, 0])
    constraint = ct.demographic_parity(attribute, 0.1)
    # g0: decisions 1, .5, 0, 1 -> 2.5 / 4; g1: 0, .5 -> .25
    np.testing.assert_allclose(constraint.rates(constraint.statistics(outcome, choices)), [0.625, 0.25])
    np.testing.assert_allclose(constraint.gap(constraint.statistics(outcome, choices)), [0.375], atol=1e-6)
    np.testing.assert_allclose(constraint.violation(outcome, choices).max(), 0.275, atol=1e-6)
    odds = ct.equalized_odds(attribute, 0.1)
    # chosen: g0 1, 0 -> .5; g1 .5 -> .5. rejected: g0 .5, 1 -> .75; g1 0
    np.testing.assert_allclose(odds.rates(odds.statistics(outcome, choices)), [0.5, 0.5, 0.75, 0.0])
    np.testing.assert_allclose(odds.gap(odds.statistics(outcome, choices)), [0.75])


def test_split_votes_lose_nothing():
    """Equalized odds of a row with label (.3, .7) equals that of ten rows of which three chose the first."""
    rng = np.random.default_rng(0)
    rewards, group = rng.normal(size=(6, 2)), rng.integers(0, 2, (6, 2))
    attribute, choices, outcome = pairs(rewards, group, [0] * 6)
    constraint = ct.equalized_odds(attribute)
    soft = choices.replace(chosen=jnp.tile(jnp.array([0.3, 0.7]), (6, 1)))
    many = jax.tree.map(lambda leaf: jnp.repeat(leaf, 10, 0), choices)
    many = many.replace(chosen=jnp.tile(jnp.repeat(jnp.eye(2), jnp.array([3, 7]), 0), (6, 1)))
    repeated = jax.tree.map(lambda leaf: jnp.repeat(leaf, 10, 0), outcome)
    np.testing.assert_allclose(constraint.measure(outcome, soft), constraint.measure(repeated, many), atol=1e-6)


@given(st.integers(0, 10**6), st.integers(2, 6), st.floats(0.01, 0.9))
@settings(max_examples=60, deadline=None)
def test_centred_and_pairwise_hold_exactly_when_the_gap_is_within_the_bound(seed, groups, bound):
    rng = np.random.default_rng(seed)
    attribute, choices, outcome = pairs(
        rng.normal(size=(20, 2)), rng.integers(0, groups, (20, 2)), rng.integers(0, 2, 20)
    )
    for form, exact in (("centred", True), ("pairwise", True), ("anchored", False)):
        constraint = ct.demographic_parity(attribute, bound, form=form)
        gap = float(constraint.gap(constraint.statistics(outcome, choices))[0])
        holds = bool((constraint.violation(outcome, choices) <= 1e-6).all())
        if abs(gap - bound) > 1e-5:
            assert holds <= (gap <= bound), form  # rows that hold prove the gap
            assert holds == (gap <= bound) or not exact, form


@given(st.integers(0, 10**6))
@settings(max_examples=100, deadline=None)
def test_gaps_equal_fairlearns_on_accept_reject(seed):
    rng = np.random.default_rng(seed)
    n, groups = 60, 3
    group, label, reward = rng.integers(0, groups, n), rng.integers(0, 2, n), np.round(rng.normal(size=n), 1)
    reward[reward == 0] = 0.05
    weight = rng.uniform(0.5, 2, n)
    attribute = ct.Attribute("g", tuple("abc"))
    choices = ct.make_choices(
        np.zeros((n, 2, 1)),
        1 - label,
        weight=weight,
        outside=np.tile([False, True], (n, 1)),
        attributes={"g": np.stack([group, np.full(n, -1)], 1)},
    )
    outcome = ct.read(ct.Hard(), jnp.stack([jnp.asarray(reward), jnp.zeros(n)], 1), choices)
    oracle = {
        ct.demographic_parity: demographic_parity_difference,
        ct.equalized_odds: equalized_odds_difference,
        ct.equal_opportunity: equal_opportunity_difference,
    }
    for ours, theirs in oracle.items():
        constraint = ours(attribute)
        gap = float(constraint.gap(constraint.statistics(outcome, choices))[0])
        expected = theirs(label, (reward > 0).astype(int), sensitive_features=group, sample_weight=weight)
        assert gap == pytest.approx(expected, abs=1e-6), ours.__name__


def test_of_and_within_select_what_they_say():
    choices = example_choices(n=40)
    outcome = ct.read(ct.Hard(), jnp.asarray(np.random.default_rng(1).normal(size=choices.shape)), choices)
    constraint = ct.demographic_parity(COMMUNITY, of=(KIND, "x"), within=GROUP)
    rates = constraint.rates(constraint.statistics(outcome, choices))
    codes = {name: np.asarray(value) for name, value in choices.attributes.items()}
    weight = np.repeat(np.asarray(choices.weight)[:, None], choices.shape[1], 1)
    for g, c in itertools.product(range(4), range(2)):
        mine = (codes["kind"] == 0) & (codes["group"] == g) & (codes["community"] == c)
        mine &= np.asarray(choices.inside)
        expected = (
            np.sum(weight[mine] * np.asarray(outcome.decisions)[mine]) / weight[mine].sum() if mine.any() else np.nan
        )
        np.testing.assert_allclose(rates[g * 2 + c], expected, atol=1e-6)


def test_empty_groups_and_single_groups_measure_nothing():
    attribute, choices, outcome = pairs([[2, 1], [0, 1]], [[0, 0], [0, 0]], [0, 1])
    wide = ct.Attribute("g", ("g0", "absent", "gone"))
    for own in (attribute, wide):
        for form in FORMS:
            constraint = ct.demographic_parity(own, 0.05, form=form)
            assert float(constraint.gap(constraint.statistics(outcome, choices))[0]) == 0
            assert not np.any(np.asarray(constraint.measure(outcome, choices)))


@pytest.mark.parametrize("groups", [1, 2, 10, 200])
def test_any_number_of_groups(groups):
    rng = np.random.default_rng(groups)
    n = 2000
    attribute = ct.Attribute("g", tuple(f"g{i}" for i in range(groups)))
    stratum = ct.Attribute("s", tuple(f"s{i}" for i in range(10)), chooser=True)
    codes = {"g": rng.integers(0, groups, (n, 3)), "s": np.repeat(rng.integers(0, 10, (n, 1)), 3, 1)}
    choices = ct.make_choices(np.zeros((n, 3, 1)), rng.integers(0, 3, n), attributes=codes)
    outcome = ct.read(ct.Hard(), jnp.asarray(rng.normal(size=(n, 3))), choices)
    constraint = ct.demographic_parity(attribute, within=stratum)
    gap = float(constraint.gap(constraint.statistics(outcome, choices))[0])
    decisions = np.asarray(outcome.decisions)
    expected = 0.0
    for s in range(10):
        rates = [
            decisions[(codes["g"] == g) & (codes["s"] == s)].mean()
            for g in range(groups)
            if ((codes["g"] == g) & (codes["s"] == s)).any()
        ]
        expected = max(expected, max(rates) - min(rates))
    assert gap == pytest.approx(expected, abs=1e-6)


def test_a_sweep_is_vmap_over_the_constraint():
    choices = example_choices(n=20)
    outcome = ct.read(ct.Hard(), jnp.asarray(np.random.default_rng(0).normal(size=choices.shape)), choices)
    constraint, bounds = ct.demographic_parity(GROUP), jnp.array([0.01, 0.1, 0.5])
    swept = jax.vmap(lambda c: c.violation(outcome, choices))(jax.vmap(constraint.at)(bounds))
    one_by_one = [constraint.at(bound).violation(outcome, choices) for bound in bounds]
    np.testing.assert_allclose(swept, jnp.stack(one_by_one), atol=1e-7)


# Readings -----------------------------------------------------------------------------------------------------------


def test_readings_by_hand():
    available = jnp.array([[True, True, False], [True, True, True]])
    rewards, none = jnp.array([[1.0, 1.0, 9.0], [0.0, 2.0, 1.0]]), jnp.zeros((2, 3))
    np.testing.assert_allclose(ct.Hard().decide(rewards, available, none), [[0.5, 0.5, 0], [0, 1, 0]])
    soft = np.exp([0, 4, 2]) / np.exp([0, 4, 2]).sum()
    np.testing.assert_allclose(ct.Soft(temperature=0.5).decide(rewards, available, none)[1], soft, rtol=1e-5)
    log_ref = jnp.log(jnp.array([[0.2, 0.8, 1.0], [0.5, 0.25, 0.25]]))
    tilted = np.array([0.5, 0.25 * np.e**4, 0.25 * np.e**2])
    decided = ct.Policy(beta=0.5).decide(rewards, available, log_ref)
    np.testing.assert_allclose(decided, [[0.2, 0.8, 0], tilted / tilted.sum()], rtol=1e-5)


def test_a_twin_is_set_alone_and_a_chooser_for_all():
    """Alternative k set to level l while the others stay, for every reading, by brute force."""
    rng = np.random.default_rng(0)
    choices = example_choices(n=12)
    rewards = jnp.asarray(np.round(rng.normal(size=choices.shape), 1))
    twins = {name: jnp.asarray(np.round(rng.normal(size=choices.twins[name].valid.shape), 1)) for name in choices.twins}
    for reading in (ct.Hard(), ct.Soft(temperature=0.7), ct.Policy(beta=0.3)):
        seen = ct.read(reading, rewards, choices, twins)
        zeros = jnp.zeros_like(rewards)
        for k, level in itertools.product(range(4), range(4)):
            world = rewards.at[:, k].set(twins["group"][:, k, level])
            expected = reading.decide(world, choices.available, zeros)[:, k]
            np.testing.assert_allclose(seen.twins["group"].decisions[:, k, level], expected, atol=1e-6)
        for level in range(2):
            expected = reading.decide(twins["community"][..., level], choices.available, zeros)
            np.testing.assert_allclose(seen.twins["community"].decisions[..., level], expected, atol=1e-6)


def test_rows_of_padding_never_make_nan():
    choices = example_choices(n=10).pad(16)
    assert choices.shape[0] == 16 and float(choices.weight[10:].sum()) == 0
    blank = choices.replace(available=choices.available.at[10:].set(False))

    def loss(rewards):
        outcome = ct.read(ct.Soft(temperature=1.0), rewards, blank)
        return ct.demographic_parity(GROUP).measure(outcome, blank).sum()

    assert np.isfinite(np.asarray(jax.grad(loss)(jnp.zeros(choices.shape)))).all()


# Broken promises ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"items": np.zeros(4)}, "items"),
        ({"items": np.full((4, 2, 1), np.nan)}, "choice 0: items must be finite"),
        ({"context": np.array([[1.0], [np.inf], [0], [0]])}, "choice 1: context must be finite"),
        ({"chosen": np.array([0, 1, 2, 0])}, "chosen"),
        ({"chosen": np.array([[1, 0], [0, 1], [1, 1], [1, 0]])}, "choice 2: labels of a choice must sum to 1"),
        ({"available": np.array([[1, 1], [0, 0], [1, 1], [1, 1]], bool)}, "choice 1: no alternative is available"),
        ({"available": np.array([[0, 1], [1, 1], [1, 1], [1, 1]], bool)}, "choice 0: an unavailable alternative"),
        ({"weight": np.array([1.0, -1, 1, 1])}, "choice 1: weight"),
        ({"weight": np.ones(3)}, "weight: expected shape"),
        ({"attributes": {"g": np.zeros((4, 3), int)}}, "attribute 'g'"),
    ],
)
def test_broken_promises_are_named(change, message):
    good = {"items": np.zeros((4, 2, 1)), "chosen": np.array([0, 1, 0, 1])}
    ct.make_choices(**good)
    with pytest.raises(ValueError, match=message):
        ct.make_choices(**good | change)
