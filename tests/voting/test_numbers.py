"""What callers of voting may give: numbers of any size, and a line for what is none; never a NaN in silence."""

from __future__ import annotations

import numpy as np
import pytest

from faro import voting
from faro.errors import DataError, FaroError

CYCLE = np.array([[0.5, 1, 0], [0, 0.5, 1], [1, 0, 0.5]])
GENRES, HALF = np.eye(3), np.array([0.5, 0.5, 0])
APART, SHARE = np.random.default_rng(0).normal(size=(9, 2)), np.linspace(0, 1, 9)
BAD = {
    "all lose to somebody": (lambda: voting.proportional(CYCLE), "every item loses to another one"),
    "a limit of nothing": (lambda: voting.proportional(CYCLE, np.inf), "every item loses to another one"),
    "beta in words": (lambda: voting.proportional(CYCLE, "1"), "beta: expected a number of 0 or more, got '1'"),
    "words for shares": (lambda: voting.proportional([["a"]]), "expected an array of numbers"),
    "fewer shares": (lambda: voting.pair_shares(list("abc"), list("bcabc"), [1, 0, 1, 1]), "3, 5, 4, 4"),
    "one weight": (lambda: voting.pair_shares(["a", "b"], ["b", "c"], [1, 0], [1]), "2, 2, 2, 1"),
    "no name": (lambda: voting.pair_shares(["a", np.nan], ["b", "c"], [1, 0]), "an item without a name"),
    "words for values": (lambda: voting.maximin([["a"]]), "values: expected an array of numbers"),
    "beyond doubles": (lambda: voting.maximin(1e12 * np.eye(2), 1e-300), "got nan; scale values"),
    "a ragged jury": (lambda: voting.jury({"a": [[0, 1], [1]]}, {"a": 1}), "decisions: expected an array of numbers"),
    "words for seats": (lambda: voting.jury({"a": [[0, 1]]}, {"a": "x"}), "weights: expected an array of numbers"),
    "one and a half members": (lambda: voting.joint(APART, SHARE, 1.5), "members: expected a whole number"),
    "no starts": (lambda: voting.stagewise(APART, SHARE, 1, starts=0), "starts: expected a whole number"),
    "no pairs": (lambda: voting.joint(APART[:0], SHARE[:0], 1), "of one pair or more"),
    "no slope": (lambda: voting.joint(1e20 * APART, SHARE, 1), "expected features of about 1"),
    "no alpha": (lambda: voting.reranked([1, 2, 3], GENRES, HALF, 2, 0.5, alpha=0), "alpha: expected a number in"),
    "eps below 0": (lambda: voting.reranked([1, 2, 3], GENRES, HALF, 2, 0.5, eps=-1), "eps: expected a number above 0"),
    "half an item": (lambda: voting.reranked([1, 2, 3], GENRES, HALF, 1.5, 0.5), "count: expected a whole number"),
    "other genres": (lambda: voting.divergence([0.5, 0.5], [1.0]), "shares of the same genres"),
    "nan of genres": (lambda: voting.divergence([0.5, 0.5], [np.nan, 1]), "shares of the same genres"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_question_is_a_line(name):
    ask, words = BAD[name]
    with pytest.raises(FaroError, match=words) as refused:
        ask()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("unit", [1e-300, 1e-9, 1.0, 1e9, 1e300])
def test_values_may_be_in_any_unit(unit):
    """Who is served does not depend on it: at no price, and at one in the same unit."""
    values = np.array([[1.0, 0.2, 0.0], [0.0, 0.3, 0.7]])
    for beta in (0.0, 0.5):
        plain, found = voting.maximin(values, beta), voting.maximin(unit * values, unit * beta)
        assert np.allclose(found.chances, plain.chances, atol=1e-6)
        assert found.of_kinds.min() == pytest.approx(unit * plain.of_kinds.min(), rel=1e-6)


def test_scores_may_be_as_large_as_numbers_are():
    found = voting.reranked([1e308, -1e308, 0], GENRES, HALF, 2, 0.5, surrogate=True)
    assert sorted(found.items) == [0, 1] and np.isfinite(found.objective)


def test_people_who_contradict_themselves_a_little_are_told_by_the_level():
    noisy = np.array([[0.5, 0.9, 0.1], [0.1, 0.5, 0.9], [0.9, 0.1, 0.5]])
    chances, level = voting.proportional(noisy)
    assert np.allclose(chances, 1 / 3) and level > 1
    with pytest.raises(DataError, match="who each have one order"):
        voting.proportional(CYCLE)
