"""Pairwise calibrated ensembles: tastes come back from shares alone, fewer rewards than tastes do not do."""

from __future__ import annotations

import numpy as np
import pytest

from faro.errors import UsageError
from faro.voting import Ensemble, joint, stagewise

WEIGHTS = np.array([0.5, 0.3, 0.2])


def people(tastes, weights, n=300, seed=1):
    apart = np.random.default_rng(seed).standard_normal((n, tastes.shape[1]))
    return apart, (apart @ tastes.T > 0) @ weights


def error(found, apart, share):
    return float(np.mean((found.votes(apart) - share) ** 2))


def test_votes_are_counted_by_weight_and_a_tie_is_half_a_vote():
    ensemble = Ensemble(np.eye(2), np.array([0.7, 0.3]))
    assert ensemble.votes(np.array([[1, -1], [-1, 1], [2, 3], [0, 1]])) == pytest.approx([0.7, 0.3, 1, 0.65])


def test_one_taste_is_found_by_one_reward_without_error():
    taste = np.array([[0.6, -0.8, 0.0]])
    apart, share = people(taste, np.ones(1))
    for fit in (joint, stagewise):
        found = fit(apart, share, 1, starts=2)
        assert found.weights == pytest.approx([1]) and (taste @ found.heads.T).item() > 0.999
    assert error(found, apart, share) == pytest.approx(0, abs=0.01)


def test_three_tastes_come_back_from_shares_and_two_rewards_are_too_few():
    tastes = np.random.default_rng(3).standard_normal((3, 4))
    tastes /= np.linalg.norm(tastes, axis=1, keepdims=True)
    given, fresh = people(tastes, WEIGHTS, 600), people(tastes, WEIGHTS, 4000, seed=2)
    few, enough = joint(*given, 2), joint(*given, 3)
    close = tastes @ enough.heads.T
    assert close.max(1).min() > 0.98 and sorted(close.argmax(1)) == [0, 1, 2]
    assert enough.weights[close.argmax(1)] == pytest.approx(WEIGHTS, abs=0.02)
    assert error(enough, *fresh) < 0.005 and error(few, *fresh) > 2 * error(enough, *fresh)
    assert error(enough, *fresh) < error(stagewise(*given, 3), *fresh) < error(stagewise(*given, 1), *fresh)


def test_what_is_no_share_is_refused():
    with pytest.raises(UsageError, match="shares in \\[0, 1\\]"):
        joint(np.ones((2, 1)), np.array([0.5, 1.2]), 1)
    with pytest.raises(UsageError, match="members: expected a whole number, 1 or more"):
        stagewise(np.ones((2, 1)), np.array([0.5, 0.2]), 0)
    with pytest.raises(UsageError, match=r"features \[n, d\]"):
        joint(np.ones(2), np.array([0.5, 0.2]), 1)
