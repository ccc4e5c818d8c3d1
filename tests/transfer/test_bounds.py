"""From rewards to policies: counterexamples, the bounds and where they are attained, sets of beta and n."""

from __future__ import annotations

import numpy as np
import pytest

from faro.errors import DataError, UsageError
from faro.transfer import bounds, measured

BETAS = (2, 1, 0.5, 0.2, 0.1, 0.05)


def sigma(x):
    return 1 / (1 + np.exp(-np.asarray(x, float)))


def equal_means():
    """Margins and weights: A always .5; B 3 or -3, so that mean sigma(margin) is the same."""
    w = (sigma(0.5) - sigma(-3)) / (sigma(3) - sigma(-3))
    return (np.array([0.5]), np.array([1.0])), (np.array([3.0, -3.0]), np.array([w, 1 - w]))


def policy_gap(a, b, beta):
    return abs(sigma(a[0] / beta) @ a[1] - sigma(b[0] / beta) @ b[1])


def test_equal_mean_rewards_hide_a_policy_gap():
    a, b = equal_means()
    assert sigma(a[0]) @ a[1] == pytest.approx(sigma(b[0]) @ b[1])
    found = [round(float(policy_gap(a, b, beta)), 4) for beta in BETAS]
    assert found == [0.0238, 0.0, 0.0964, 0.2888, 0.358, 0.3647]
    signed = [float(sigma(a[0] / beta) @ a[1] - sigma(b[0] / beta) @ b[1]) for beta in (2, 0.5)]
    assert signed[0] * signed[1] < 0  # the sign turns at beta 1


def test_equal_laws_of_rewards_hide_one_too():
    """A: (1, -1). B: (1, 1) or (-1, -1). Every reward is as frequent in both."""
    rewards = {"A": [(1, -1), (1, -1)], "B": [(1, 1), (-1, -1)]}
    assert sorted(np.ravel(rewards["A"])) == sorted(np.ravel(rewards["B"]))
    first = {group: np.mean([sigma((p[0] - p[1]) / 0.5) for p in prompts]) for group, prompts in rewards.items()}
    assert round(float(abs(first["A"] - first["B"])), 3) == 0.482


def test_wasserstein_holds_where_means_and_pooled_laws_do_not():
    a, b = equal_means()
    for beta in BETAS:
        bound = bounds.wasserstein_bound(a[0], b[0], beta, a[1], b[1])
        assert policy_gap(a, b, beta) <= bound
    rng = np.random.default_rng(0)
    for _ in range(200):
        one, other = rng.normal(size=rng.integers(1, 9)) * 3, rng.normal(size=rng.integers(1, 9)) * 3
        for beta in (1.0, 0.2):
            gap = abs(sigma(one / beta).mean() - sigma(other / beta).mean())
            assert gap <= bounds.wasserstein_bound(one, other, beta) + 1e-12
    for wrong in ({"answers": 3}, {"uniform": False}):
        with pytest.raises(UsageError, match="two answers with a uniform reference"):
            bounds.wasserstein_bound([0.0], [1.0], 1.0, **wrong)


def test_the_tanh_bound_is_never_exceeded_and_two_atoms_attain_it():
    rng, worst = np.random.default_rng(0), 0.0
    for size in (2, 3, 4, 5):  # 20,000 laws
        reference = rng.dirichlet(np.ones(size), 5000)
        tilt = rng.normal(size=(5000, size)) * rng.choice([0.3, 1, 4], (5000, 1))
        policy = reference * np.exp(tilt - tilt.max(1, keepdims=True))
        apart = np.abs(policy / policy.sum(1, keepdims=True) - reference).sum(1) / 2
        allowed = bounds.tilt_bound(np.ptp(tilt, axis=1), 1.0)
        assert (apart <= allowed + 1e-12).all()
        worst = max(worst, float((apart / allowed).max()))
    assert worst > 0.9
    for o in (0.1, 3.0):
        first = 1 / (1 + np.exp(-o / 2))
        policy = np.array([first, (1 - first) * np.exp(o)])
        assert abs(policy[0] / policy.sum() - first) == pytest.approx(float(bounds.tilt_bound(o, 1.0)))
    assert round(float(bounds.tilt_bound(3, 1.0)), 4) == 0.6351


def test_a_gap_of_groups_moves_by_two_of_them():
    rng = np.random.default_rng(1)
    for _ in range(300):
        rewards, kind = rng.normal(size=(12, 4)) * 2, rng.random((12, 4)) < 0.5
        group = np.arange(12) < 6
        beta = float(rng.choice([0.3, 1, 3]))
        policy = np.exp(rewards / beta)
        policy /= policy.sum(1, keepdims=True)
        likely, before = (policy * kind).sum(1), kind.mean(1)
        moved = bounds.mean_move(rewards, np.ones_like(kind), beta)
        gaps = [value[group].mean() - value[~group].mean() for value in (likely, before)]
        assert abs(gaps[0] - gaps[1]) <= moved[group].mean() + moved[~group].mean() + 1e-12


def test_twins_do_not_see_what_a_prompt_adds_to_all_rewards():
    rewards = np.array([[1.0, -1.0, 0.0]])
    there = np.array([[True, True, False]])
    assert bounds.twin_oscillation(rewards, rewards + 10, there)[0] == 0
    assert bounds.twin_oscillation(rewards, rewards + np.array([0.1, -0.1, 99]), there)[0] == pytest.approx(0.2)
    assert bounds.tilt_bound(0.2, 1.0) == pytest.approx(0.05, abs=1e-4)
    assert bounds.tilt_bound(0.2, 0.1) == pytest.approx(0.4621, abs=1e-4)
    with pytest.raises(DataError, match="same answers"):
        bounds.twin_oscillation(rewards, rewards[:, :2], there)


def test_the_gap_of_expected_rewards_is_the_integral_of_variances():
    rng = np.random.default_rng(2)
    rewards, group = rng.normal(size=(10, 5)) * np.where(np.arange(10) < 5, 1.5, 0.5)[:, None], np.arange(10) < 5
    logs = np.log(rng.dirichlet(np.ones(5), 10))
    logs[0, 3:] = -np.inf
    for beta in (2.0, 0.5, 0.2):
        direct = bounds.reward_gap(rewards, group, beta, logs)
        assert bounds.reward_gap_by_variance(rewards, group, beta, logs) == pytest.approx(direct, abs=1e-5)
        start = bounds.reward_gap(rewards, group, np.inf, logs)
        assert abs(direct - start) <= np.ptp(rewards) ** 2 / (4 * beta)


@pytest.mark.parametrize("beta", [0, -1, np.nan, np.inf])
def test_a_beta_that_is_none_is_refused(beta):
    with pytest.raises(UsageError, match="beta: expected a number > 0"):
        bounds.tilt_bound(1.0, beta)


def test_what_has_no_bound_is_refused():
    with pytest.raises(DataError, match="unbounded reward"):
        bounds.tilt_bound(np.inf, 1.0)
    with pytest.raises(DataError, match="two groups"):
        bounds.reward_gap([[0.0, 1.0]], [True], 1.0)


def test_what_keeps_a_bound_is_a_set_and_its_first_piece_ends():
    """Gaps of equal means: at beta 2 and 1 within .05, then beyond; another piece may follow."""
    a, b = equal_means()
    gaps = [float(policy_gap(a, b, beta)) for beta in BETAS]
    assert measured.kept(BETAS, gaps, 0.05) == [(2, 1)]
    assert measured.kept(BETAS, gaps, 0.01) == [(1, 1)]
    assert measured.kept([1, 2, 4, 8], [0.0, 0.2, 0.05, 0.04], 0.1) == [(1, 1), (4, 8)]
    assert measured.kept([1, 2], [0.5, 0.6], 0.1) == []
    found = measured._pieces(BETAS, gaps, 0.0, 0.05, lambda beta: float(policy_gap(a, b, beta)))
    (first, last), *others = found
    assert first == np.inf and not others  # the reference keeps it, and 2, 1 and what lies between
    assert policy_gap(a, b, last) <= 0.05 < policy_gap(a, b, last - 1e-3)
    (_, one), (again, two) = measured._pieces(BETAS, gaps, 0.0, 0.01, lambda beta: float(policy_gap(a, b, beta)))
    assert one > 2 > again > 1 > two and policy_gap(a, b, again) <= 0.01 < policy_gap(a, b, again + 1e-3)
