"""Proportional answers: the exact tables, bounds against all rankings, and what pairs cannot tell."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from faro.errors import DataError, UsageError
from faro.voting import first_choice_bounds, pair_shares, proportional


def shares(profile: dict[str, float]) -> np.ndarray:
    """Shares of pairs of rankings, of items in alphabetical order."""
    items = sorted(next(iter(profile)))
    ahead = [[[ranking.index(a) < ranking.index(b) for b in items] for a in items] for ranking in profile]
    preferred = np.tensordot(list(profile.values()), np.array(ahead, float), 1)
    np.fill_diagonal(preferred, 0.5)
    return preferred


def test_a_slim_majority_is_served_its_share_and_by_strength_more():
    preferred = shares({"ab": 0.51, "ba": 0.49})
    served = [proportional(preferred, beta)[0][0] for beta in (0, 1, 10, 100, 1000, np.inf)]
    assert served == pytest.approx([0.51, 0.515, 0.560, 0.885, 1, 1], abs=6e-4)


@pytest.mark.parametrize(
    ("profile", "bounds", "drawn", "at_ten"),
    [
        ({"abc": 0.5, "bca": 0.3, "cab": 0.2}, [0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.91, 0.07, 0.02]),
        ({"abc": 0.45, "bac": 0.3, "cba": 0.25}, [0.45, 0.55, 0.25], [0.36, 0.44, 0.2], [0.23, 0.76, 0.02]),
        (
            {"adbc": 0.5, "bdca": 0.3, "cdab": 0.2},
            [0.5, 0.3, 0.2, 0.5],
            [0.333, 0.2, 0.133, 0.333],
            [0.48, 0.04, 0.01, 0.48],
        ),
    ],
    ids=["a cycle", "three groups", "everybody's second"],
)
def test_the_exact_tables(profile, bounds, drawn, at_ten):
    preferred = shares(profile)
    assert first_choice_bounds(preferred) == pytest.approx(bounds, abs=1e-12)
    assert proportional(preferred)[0] == pytest.approx(drawn, abs=5e-3)
    assert proportional(preferred, 10)[0] == pytest.approx(at_ten, abs=6e-3)


def test_bounds_are_above_shares_and_answers_are_above_their_level():
    rng, rankings = np.random.default_rng(0), ["".join(order) for order in itertools.permutations("abcd")]
    ratios = []
    for _ in range(60):
        profile = dict(zip(rng.choice(rankings, 4, replace=False), rng.dirichlet(np.ones(4)), strict=True))
        first = np.array([sum(share for ranking, share in profile.items() if ranking[0] == item) for item in "abcd"])
        drawn, level = proportional(shares(profile))
        assert (first_choice_bounds(shares(profile)) >= first - 1e-12).all() and level <= 1 + 1e-12
        ratios += (drawn[first > 0] / first[first > 0] / level).tolist()
    assert min(ratios) == pytest.approx(1)


def test_names_do_not_matter_and_pairs_do_not_tell_who_is_first():
    rng = np.random.default_rng(1)
    preferred, order = shares({"abc": 0.45, "bac": 0.3, "cba": 0.25}), rng.permutation(3)
    assert proportional(preferred[order][:, order], 2)[0] == pytest.approx(proportional(preferred, 2)[0][order])
    one, other = shares({"abc": 0.5, "cba": 0.5}), shares({"bca": 0.5, "acb": 0.5})
    assert (one == other).all() and proportional(one)[0] == pytest.approx([1 / 3] * 3)


def test_shares_are_counted_from_answers():
    first, second = np.array(["a", "b", "a", "c"]), np.array(["b", "a", "c", "b"])
    found = pair_shares(first, second, np.array([1, 0.5, 1, 0]), np.array([2, 1, 1, 1]))
    assert found.items == ("a", "b", "c") and found.asked[0, 1] == 3
    assert found.preferred[0, 1] == pytest.approx(2.5 / 3) and found.preferred[1, 2] == 1
    assert found.preferred + found.preferred.T == pytest.approx(np.ones((3, 3)))


def test_what_is_not_known_or_no_share_is_refused():
    with pytest.raises(DataError, match="never compared"):
        proportional(pair_shares(np.array(["a", "b"]), np.array(["b", "c"]), np.ones(2)).preferred)
    with pytest.raises(DataError, match="with itself"):
        pair_shares(np.array(["a"]), np.array(["a"]), np.ones(1))
    with pytest.raises(UsageError, match="add up to 1"):
        first_choice_bounds(np.array([[0.5, 0.9], [0.9, 0.5]]))
    with pytest.raises(UsageError, match="beta"):
        proportional(shares({"ab": 0.5, "ba": 0.5}), float("nan"))
