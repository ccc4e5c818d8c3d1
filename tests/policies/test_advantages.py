"""Advantages: the formulas by hand, what they do not change with, and what is remembered."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faro.errors import DataError, UsageError
from faro.policies import EBPO, GDPO, GRPO, PGRPO, DrGRPO, History, Hybrid, LitePPO, OwnZ, Rated, Stratified, rated
from faro.policies.advantage import Advantage
from faro.policies.rows import whitened
from faro.registry import declared, make

pytestmark = pytest.mark.usefixtures("x64")
EXACT = {"rtol": 1e-9, "atol": 1e-9}


def some(n=5, g=8, groups=2, seed=0):
    """Rewards and groups."""
    rng = np.random.default_rng(seed)
    return rng.normal(0.3, 0.4, (n, g)), rng.integers(0, groups, (n, g))


one_program = jax.jit(lambda advantage, state, given: advantage.of(state, given))
add = jax.jit(History.add)


def of(advantage, rewards, groups=None, several=None, valid=None, state=None, levels=2):
    given = rated(rewards, groups, several, valid)
    advantages, after = one_program(advantage, advantage.begin(levels) if state is None else state, given)
    return np.asarray(advantages), after


def z(values, axis):
    return (values - values.mean(axis, keepdims=True)) / values.std(axis, keepdims=True)


def test_forms_of_a_row_and_a_batch_are_what_they_say():
    rewards, groups = some()
    np.testing.assert_allclose(of(GRPO(epsilon=0.0), rewards)[0], z(rewards, 1), **EXACT)
    away = rewards - rewards.mean(1, keepdims=True)
    np.testing.assert_allclose(of(DrGRPO(), rewards)[0], away, **EXACT)
    np.testing.assert_allclose(of(LitePPO(epsilon=0.0), rewards)[0], away / rewards.std(), **EXACT)
    several = np.random.default_rng(1).normal(size=(*rewards.shape, 3))
    summed = (z(several, 1) * [1, 2, 3]).sum(-1)
    decoupled = GDPO(epsilon=0.0, weights=(1.0, 2.0, 3.0))
    np.testing.assert_allclose(of(decoupled, rewards, several=several)[0], z(summed, None), **EXACT)
    own = np.take_along_axis(z(several, 1), groups[..., None], -1)[..., 0]
    np.testing.assert_allclose(of(OwnZ(epsilon=0.0), rewards, groups, several)[0], own, **EXACT)


def test_stratified_is_standardised_among_its_own():
    rewards, groups = some()
    found, _ = of(Stratified(epsilon=1e-300), rewards, groups)
    for row in range(len(rewards)):
        for group in (0, 1):
            mine = groups[row] == group
            if mine.sum() > 1:
                np.testing.assert_allclose(found[row, mine], z(rewards[row, mine], 0), rtol=1e-6)


def test_stratified_is_exact_far_from_0_in_single_precision():
    rewards = np.float32(1000) + np.arange(4, dtype=np.float32)[None] / 64
    found, _ = of(Stratified(epsilon=0.0), rewards, np.zeros((1, 4), int))
    np.testing.assert_allclose(found, of(GRPO(epsilon=0.0), rewards - 1000)[0], rtol=1e-5)


@pytest.mark.parametrize("advantage", [PGRPO(), Stratified(), OwnZ(), Hybrid()], ids=lambda one: one.name())
def test_an_answer_of_nobodys_group_has_no_advantage_and_moves_none(advantage):
    rewards, groups = some(n=6)
    several = np.random.default_rng(5).normal(size=(6, 8, 2))
    groups[:, 6:] = -1
    state = cut_state = advantage.begin(2)
    for _ in range(3):
        found, state = of(advantage, rewards, groups, several, state=state)
        cut, cut_state = of(advantage, rewards[:, :6], groups[:, :6], several[:, :6], state=cut_state)
    assert not found[:, 6:].any() and found[:, :6].any()
    if advantage.name() != "OwnZ":  # it rates every answer for every group
        np.testing.assert_allclose(found[:, :6], cut, **EXACT)


@pytest.mark.parametrize("advantage", [PGRPO(), Hybrid()], ids=lambda one: one.name())
def test_equal_rewards_give_no_scale(advantage):
    """A first success after failures alone has no advantage of reward / epsilon."""
    failed, groups = np.zeros((2, 8)), np.zeros((2, 8), int)
    _, state = of(advantage, failed, groups, levels=1)
    rare = failed.copy()
    rare[0, 0] = 1
    found, state = of(advantage, rare, groups, state=state)
    assert not found.any()
    again, _ = of(advantage, rare, groups, state=state)
    assert 1 < again[0, 0] < 10


def test_one_group_stratified_and_own_z_are_grpo():
    rewards, _ = some()
    one = np.zeros(rewards.shape, int)
    plain, _ = of(GRPO(), rewards)
    np.testing.assert_allclose(of(Stratified(), rewards, one)[0], plain, **EXACT)
    np.testing.assert_allclose(of(OwnZ(), rewards, one, rewards[..., None])[0], plain, **EXACT)


@pytest.mark.parametrize("count", [4, 8, 16])
def test_a_lone_outlier_has_one_advantage_whatever_its_reward(count):
    for value in (0.1, 7.0):
        rewards = np.zeros((1, count))
        rewards[0, 0] = value
        assert of(GRPO(epsilon=0.0), rewards)[0][0, 0] == pytest.approx(np.sqrt(count - 1))


def test_two_rewards_that_add_up_alike_are_told_apart_when_decoupled():
    """Rows {00, 01} and {00, 11}: of the sum +-1 in both, decoupled +-1 and +-2 before the batch is whitened."""
    several = np.array([[[0, 0], [0, 1]], [[0, 0], [1, 1]]], float)
    np.testing.assert_allclose(of(GRPO(epsilon=0.0), several.sum(-1))[0], [[-1, 1], [-1, 1]], **EXACT)
    spread = np.array([[0, 1], [0, 2]]) * 2.0 - np.array([[1, 1], [2, 2]])  # a constant reward has no deviation
    found, _ = of(GDPO(), several.sum(-1), several=several)
    np.testing.assert_allclose(found, spread / spread.std(), rtol=1e-3)


@pytest.mark.parametrize("advantage", [GRPO(), DrGRPO(), LitePPO(), EBPO()])
def test_a_shift_of_all_rewards_changes_nothing(advantage):
    rewards, _ = some()
    np.testing.assert_allclose(of(advantage, rewards + 9)[0], of(advantage, rewards)[0], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("advantage", [GRPO(epsilon=0.0), LitePPO(epsilon=0.0), EBPO(epsilon=0.0)])
def test_a_scale_of_all_rewards_changes_nothing(advantage):
    rewards, _ = some()
    np.testing.assert_allclose(of(advantage, rewards * 5)[0], of(advantage, rewards)[0], rtol=1e-6)
    with pytest.raises(AssertionError):  # the one without a scale, as a control
        np.testing.assert_allclose(of(DrGRPO(), rewards * 5)[0], of(DrGRPO(), rewards)[0], rtol=1e-6)


def test_history_is_mean_and_variance_of_the_stream():
    """In batches, as one pass over single values would have it."""
    rng = np.random.default_rng(2)
    values, groups = rng.normal(5, 2, 300), rng.integers(-1, 3, 300)
    state, one_by_one = History.empty(4), History.empty(4)
    for some_rows in np.arange(300).reshape(3, 100):
        state = add(state, *(part[some_rows] for part in (values, groups, np.ones(300))))
    for value, group in zip(values, groups, strict=True):
        one_by_one = add(one_by_one, np.array([value]), np.array([group]), np.ones(1))
    for group in range(3):
        mine = values[groups == group]
        for found in (state, one_by_one):
            assert found.n[group] == len(mine)
            np.testing.assert_allclose(found.mean[group], mine.mean(), rtol=1e-12)
            np.testing.assert_allclose(found.variance[group], mine.var(), rtol=1e-10)
    assert float(state.n[3]) == 0 == float(state.variance[3])


def history_of(rewards, groups, levels=2):
    return add(History.empty(levels), rewards, groups, np.ones(np.shape(rewards)))


def test_p_grpo_takes_statistics_from_before_the_step_and_is_grpo_shifted_and_scaled():
    before, now = some(seed=1), some(seed=2)
    state = history_of(*before)
    found, after = of(PGRPO(epsilon=0.0), *now, state=state)
    mean = np.array([before[0][before[1] == group].mean() for group in (0, 1)])[now[1]]
    deviation = np.array([before[0][before[1] == group].std() for group in (0, 1)])[now[1]]
    np.testing.assert_allclose(found, (now[0] - mean) / deviation, **EXACT)
    plain, _ = of(GRPO(epsilon=0.0), now[0])
    row_mean, row_deviation = now[0].mean(1, keepdims=True), now[0].std(1, keepdims=True)
    identity = row_deviation / deviation * plain + (row_mean - mean) / deviation
    np.testing.assert_allclose(found, identity, **EXACT)
    both = [np.concatenate([a.ravel(), b.ravel()]) for a, b in zip(before, now, strict=True)]
    np.testing.assert_allclose(after.mean, [both[0][both[1] == group].mean() for group in (0, 1)], **EXACT)


def test_p_grpo_is_blind_to_a_groups_units_and_speaks_where_all_rewards_are_equal():
    (old, old_groups), (rewards, groups) = some(seed=1), some(seed=2)
    plain, _ = of(PGRPO(epsilon=0.0), rewards, groups, state=history_of(old, old_groups))

    def move(values, codes):
        return np.where(codes == 1, 3 * values - 2, values)

    state = history_of(move(old, old_groups), old_groups)
    moved, _ = of(PGRPO(epsilon=0.0), move(rewards, groups), groups, state=state)
    np.testing.assert_allclose(moved, plain, **EXACT)
    level = np.full((1, 4), 0.9)
    assert not of(GRPO(), level)[0].any()
    assert (of(PGRPO(), level, np.zeros((1, 4), int), state=history_of(old, old_groups))[0] > 0).all()


def test_a_group_is_quiet_until_it_was_seen_often_enough():
    state = PGRPO().begin(2)
    groups = np.array([[0, 0, 0, 0, 0, 0, 0, 1]])
    rewards = np.arange(8.0)[None]
    first, state = of(PGRPO(), rewards, groups, state=state)
    second, state = of(PGRPO(), rewards, groups, state=state)  # 7 were seen
    third, state = of(PGRPO(), rewards, groups, state=state)  # 14 and 2
    assert not first.any() and not second.any()
    assert third[0, :7].any() and third[0, 7] == 0
    eager, _ = of(PGRPO(least=2), rewards, groups, state=of(PGRPO(least=2), rewards, groups)[1])
    assert eager[0, 7] == 0  # a group seen once has no deviation: still nothing


def test_shrinkage_goes_from_the_row_to_all():
    rewards, _ = some(n=6)
    every, _ = EBPO().begin(1)
    # Means of rows that vary without end: nothing is shrunk, and what is left is Dr. GRPO, whitened
    apart = History(jnp.ones(1) * 1e9, jnp.zeros(1), jnp.ones(1) * 1e30)
    found, _ = of(EBPO(epsilon=0.0), rewards, state=(every, apart))
    np.testing.assert_allclose(found, z(rewards - rewards.mean(1, keepdims=True), None), rtol=1e-6)
    # Means of rows that do not: all are shrunk, and what is left is the reward, whitened over the batch
    equal = History(jnp.ones(1) * 1e15, jnp.zeros(1), jnp.zeros(1))
    found, _ = of(EBPO(epsilon=0.0), rewards, state=(every, equal))
    np.testing.assert_allclose(found, z(rewards, None), rtol=1e-5)
    zero_row = np.vstack([np.zeros(8), np.ones((3, 8)) + rewards[:3]])
    assert of(EBPO(), zero_row)[0][0].all() and not of(GRPO(), zero_row)[0][0].any()


def test_hybrid_lies_between_row_and_history():
    (old, _), (rewards, _) = some(n=40, seed=1), some(seed=2)
    ones = np.zeros(rewards.shape, int)
    base = Hybrid(epsilon=0.0)
    _, state = of(base, old, np.zeros(old.shape, int), levels=1)
    shift = np.arange(5)[:, None] * 50.0
    # Rows that differ by nothing but noise: almost the history. Here tau is small, so S is near 1
    found, _ = of(base, rewards, ones, state=state)
    sigma = np.sqrt(float(state.squares[0] / state.degrees[0]))
    share = (sigma**2 / 7) / (sigma**2 / 7 + max(float(state.history.variance[0]) - sigma**2, 0))
    others = (rewards.sum(1, keepdims=True) - rewards) / 7
    baseline = (1 - share) * others + share * float(state.history.mean[0])
    np.testing.assert_allclose(found, (rewards - baseline) / sigma, **EXACT)
    # Rows far apart: the row's other answers are the baseline
    _, state = of(base, rewards + shift, ones, levels=1)
    found, _ = of(base, rewards + shift, ones, state=state)
    assert np.abs(found - (rewards - others) / np.sqrt(float(state.squares[0] / state.degrees[0]))).max() < 0.5
    # Alone of its group in the row: the history
    lone = np.array([[1, 0, 0, 0, 0, 0, 0, 0]])
    _, state = of(base, *some(n=40, seed=3))
    found, _ = of(base, rewards[:1], lone, state=state)
    expected = (rewards[0, 0] - state.history.mean[1]) / np.sqrt(state.squares[1] / state.degrees[1])
    assert found[0, 0] == pytest.approx(float(expected))


EVERY = [GRPO(), DrGRPO(), LitePPO(), GDPO(), EBPO(), PGRPO(), Stratified(), OwnZ(), Hybrid()]


@pytest.mark.parametrize("advantage", EVERY, ids=lambda one: one.name())
def test_an_answer_that_is_not_rated_counts_for_nothing(advantage):
    rewards, groups = some(n=6)
    several = np.random.default_rng(5).normal(size=(6, 8, 2))
    valid = np.ones(rewards.shape, bool)
    valid[:, 5:] = False
    dirty, dirty_several = rewards.copy(), several.copy()
    dirty[:, 5:], dirty_several[:, 5:] = np.nan, np.nan
    state = cut_state = advantage.begin(2)
    for _ in range(2):
        found, state = of(advantage, dirty, groups, dirty_several, valid, state)
        cut, cut_state = of(advantage, rewards[:, :5], groups[:, :5], several[:, :5], state=cut_state)
    np.testing.assert_allclose(found[:, :5], cut, **EXACT)
    assert not found[:, 5:].any()


@pytest.mark.parametrize("advantage", EVERY, ids=lambda one: one.name())
def test_all_are_found_by_name(advantage):
    names = {"DrGRPO": "dr_grpo", "LitePPO": "lite_ppo", "PGRPO": "p_grpo", "OwnZ": "own_z"}
    made = make("advantage", names.get(advantage.name(), advantage.name().lower()))
    assert type(made) is type(advantage)
    assert isinstance(make("advantage", "faro.policies:PGRPO(least=4)"), PGRPO)
    assert len(declared("advantage")) >= len(EVERY)


def test_an_advantage_of_ones_own_is_found_by_its_place():
    made = make("advantage", f"{__name__}:Raw(epsilon=1.0)")
    assert isinstance(made, Raw) and made.epsilon == 1.0
    with pytest.raises(UsageError, match="unknown advantage 'grop'; did you mean 'grpo'"):
        make("advantage", "grop")


class Raw(Advantage):
    """The reward itself."""

    def of(self, state, rated):
        return rated.known, state


def test_what_is_missing_or_no_number_is_said_in_a_line():
    rewards, groups = some()
    for advantage, word in ((PGRPO(), "groups"), (GDPO(), "several"), (OwnZ(), "groups")):
        with pytest.raises(UsageError, match=f"give `{word}`"):
            of(advantage, rewards)
    with pytest.raises(UsageError, match="expected 2 weights, one of each reward, got 3"):
        of(GDPO(weights=(1.0, 2.0, 3.0)), rewards, several=np.stack([rewards, rewards], -1))
    rewards[2, 3] = np.nan
    with pytest.raises(DataError, match=r"answer 4 to prompt 3: expected a finite number, got nan"):
        rated(rewards)
    with pytest.raises(DataError, match="rewards: expected"):
        rated(rewards[0])
    with pytest.raises(DataError, match="at most 1, got 2"):
        rated(np.zeros((5, 8)), groups + 1, levels=2)
    assert isinstance(rated(np.zeros((2, 3, 4))), Rated) and rated(np.zeros((2, 3, 4))).several.shape == (2, 3, 4)


def test_whitening_leaves_mean_0_and_deviation_1():
    values = whitened(jnp.asarray(some()[0]), jnp.ones((5, 8)), 0.0)
    assert float(values.mean()) == pytest.approx(0, abs=1e-12) and float(values.std()) == pytest.approx(1)
