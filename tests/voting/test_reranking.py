"""Calibrated lists: the note's table, greedy against all lists, and refusals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from faro.errors import UsageError
from faro.voting import divergence, reranked, streamed


def interests():
    rng = np.random.default_rng(0)
    genres = rng.dirichlet(np.full(6, 0.15), 400)
    scores = genres @ [1, 0.55, 0.1, 0.1, 0.1, 0.1] + rng.normal(0, 0.05, 400)
    return scores, genres, np.array([0.7, 0.3, 0, 0, 0, 0])


def test_a_list_comes_to_the_proportions_that_are_wanted_at_a_stated_price():
    scores, genres, wanted = interests()
    found = {strength: reranked(scores, genres, wanted, 10, strength) for strength in (0, 0.5, 0.9, 0.99, 1)}
    best = np.sort(scores)[-10:].sum()
    assert set(found[0].items) == set(np.argsort(scores)[-10:])
    assert [own.divergence for own in found.values()] == pytest.approx([0.455, 0.321, 0.053, 0.015, 0.018], abs=2e-3)
    price = [scores[own.items].sum() / best for own in found.values()]
    assert price == pytest.approx([1, 0.999, 0.938, 0.907, 0.885], abs=2e-3)
    assert found[0.9].divergence < found[0].divergence / 2 and price[1] >= 0.99


def test_names_of_genres_do_not_matter_and_what_is_wanted_costs_nothing():
    scores, genres, wanted = interests()
    order = np.random.default_rng(1).permutation(6)
    assert (
        reranked(scores, genres[:, order], wanted[order], 10, 0.9).items
        == reranked(scores, genres, wanted, 10, 0.9).items
    ).all()
    assert divergence(wanted, wanted) == 0


def test_greedy_is_within_its_bound_of_the_best_of_all_lists():
    rng, ratios = np.random.default_rng(2), []
    for _ in range(60):
        genres, wanted, scores = rng.dirichlet(np.full(4, 0.3), 10), rng.dirichlet(np.ones(4)), rng.normal(size=10)
        strength = rng.random()
        greedy = reranked(scores, genres, wanted, 4, strength, surrogate=True)
        value = (scores - greedy.ends[0]) / (greedy.ends[1] - greedy.ends[0])

        def objective(items, genres=genres, wanted=wanted, value=value, strength=strength):
            sums = genres[list(items)].sum(0)
            return (1 - strength) * value[list(items)].sum() + strength * wanted @ (np.log(sums + 0.01) - np.log(0.01))

        assert greedy.objective == pytest.approx(objective(greedy.items))
        ratios.append(greedy.objective / max(map(objective, itertools.combinations(range(10), 4))))
    assert min(ratios) >= 1 - 1 / np.e and min(ratios) < 1 - 1e-9 and np.mean(ratios) > 0.97


def test_one_of_each_choice_is_in_proportion_over_them_and_within_its_bound_of_the_best():
    rng, ratios = np.random.default_rng(3), []
    for _ in range(40):
        scores, genres = rng.random((4, 5)), rng.dirichlet(np.full(3, 0.3), (4, 5))
        wanted, strength = rng.dirichlet(np.ones(3)), rng.random()
        greedy = streamed(scores, genres, wanted, strength, surrogate=True)
        value = (scores - scores.min()) / np.ptp(scores)

        def objective(items, genres=genres, wanted=wanted, value=value, strength=strength):
            rows = np.arange(4), np.array(items)
            covered = wanted @ (np.log(genres[rows].sum(0) + 0.01) - np.log(0.01))
            return (1 - strength) * value[rows].sum() + strength * covered

        assert greedy.objective == pytest.approx(objective(greedy.items))
        ratios.append(greedy.objective / max(map(objective, itertools.product(range(5), repeat=4))))
    assert 0.5 <= min(ratios) < 1 - 1e-9 and np.mean(ratios) > 0.95
    scores, genres, wanted = rng.random((60, 5)), np.eye(2)[rng.integers(0, 2, (60, 5))], np.array([0.8, 0.2])
    there = rng.random((60, 5)) < 0.8
    there[:, 0] = True
    plain, even = (streamed(scores, genres, wanted, strength, there=there) for strength in (0, 0.999))
    assert (plain.items == np.where(there, scores, -1).argmax(1)).all() and there[np.arange(60), even.items].all()
    assert plain.divergence > 0.05 > 0.01 > even.divergence
    with pytest.raises(UsageError, match="of each choice"):
        streamed(scores, genres, wanted, 0.5, there=there & (np.arange(60) > 0)[:, None])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"count": 0}, "count: expected a whole number, 1 to 400"),
        ({"strength": 1.5}, "strength: expected a number in"),
        ({"wanted": np.full(6, 0.2)}, "add up to 1"),
        ({"wanted": np.array([0.5, 0.5])}, "genres"),
    ],
)
def test_what_is_no_list_is_refused(change, words):
    scores, genres, wanted = interests()
    given = {"scores": scores, "genres": genres, "wanted": wanted, "count": 10, "strength": 0.5} | change
    with pytest.raises(UsageError, match=words):
        reranked(**given)
