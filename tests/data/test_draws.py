"""Support that training draws: nothing that is asked is told, every size and set alike, against counting."""

from __future__ import annotations

import itertools

import jax
import numpy as np
import pytest

from constraints import Twin
from faro.data.draws import drawn, pool_of, questions_of, told, width
from faro.data.support import QUERY, SupportRule, roles
from tests.builders.support import PAIRS, pairs, touching
from tests.builders.support import drawn as drawn_pairs


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("k", [2, 20])
def test_no_question_is_told_what_it_shares_an_item_with(k, ordered):
    rows = drawn_pairs(seed=5, people=8, items=12)
    rows += [("long", 100 + 2 * i, 101 + 2 * i) for i in range(70)]  # pools of two words
    when = np.random.default_rng(2).integers(0, 50, len(rows))
    schema = PAIRS.replace(order="at") if ordered else PAIRS
    data, rule = pairs(rows, schema, at=when), SupportRule(k, schema.order)
    coding, every = data.fit_coding(), np.arange(data.n)
    pool, questions = pool_of(data, coding, rule, data.unit_codes), questions_of(data, rule, every)
    choices = data.choices(coding)
    assert questions.barred.shape[1] == -(-width(data, rule) // 32)
    np.testing.assert_array_equal(questions.asked, roles(data, rule) == QUERY)
    row_at = {(int(data.unit_codes[i]), int(data.turns.place[i])): i for i in every}
    draw, tell = jax.jit(drawn), jax.jit(told, static_argnums=4)
    items, most = np.asarray(choices.items), np.asarray(pool.most)
    for seed in range(4):
        mask = draw(pool, jax.random.key(seed))
        asked, people = tell(pool, questions, choices, mask, k)
        mask, unit, read = np.asarray(mask), np.asarray(asked.unit), np.asarray(people.items)
        assert (mask.sum(1) <= most).all() and not mask[0].any()
        told_of = np.asarray(people.weight) > 0  # first places first
        np.testing.assert_array_equal(told_of, np.arange(told_of.shape[1]) < mask.sum(1, keepdims=True))
        for i in every:
            given = [row_at[int(data.unit_codes[i]), p] for p in np.flatnonzero(mask[data.unit_codes[i] + 1])]
            free = all(not touching(rows[i], rows[j]) and (not ordered or when[j] < when[i]) for j in given)
            assert unit[i] == (data.unit_codes[i] + 1 if free else 0)
            np.testing.assert_array_equal(read[unit[i]][told_of[unit[i]]], items[given if free else []])


def test_sizes_are_all_alike_and_sets_of_a_size_too():
    data = pairs([("p", 2 * i, 2 * i + 1) for i in range(7)] * 1 + [("q", 50, 51)])
    pool = pool_of(data, data.fit_coding(), SupportRule(3), data.unit_codes)
    masks = np.asarray(jax.vmap(lambda key: drawn(pool, key))(jax.random.split(jax.random.key(0), 8000)))
    own = masks[:, 1, :6]  # the pool is twice k
    sizes = np.bincount(own.sum(1), minlength=4)
    assert np.abs(sizes / 8000 - 1 / 4).max() < 0.02
    sets = [tuple(np.flatnonzero(row)) for row in own if row.sum() == 2]
    counts = np.array([sets.count(pair) for pair in itertools.combinations(range(6), 2)])
    assert counts.sum() == len(sets) and np.abs(counts / len(sets) - 1 / 15).max() < 0.03
    assert not masks[:, 2].any()  # who chose once has nothing to be told


def test_the_pool_of_some_people_is_theirs_alone_and_what_twins_are_told_too():
    data, rule = pairs([(f"p{i % 4}", 2 * i, 2 * i + 1) for i in range(24)]), SupportRule(2)
    coding, every, codes = data.fit_coding(), np.arange(data.n), data.unit_codes
    pool, questions = pool_of(data, coding, rule, np.array([3, 1, 3])), questions_of(data, rule, every)
    whole, mask = pool_of(data, coding, rule, codes), np.ones((3, 4), bool)
    mask[:, 2:], mask[0] = False, False
    for row, code in ((1, 1), (2, 3)):
        np.testing.assert_array_equal(pool.rows.items[row], whole.rows.items[1 + code])
    nothing = questions._replace(barred=np.zeros_like(questions.barred))
    swapped = Twin(valid=np.ones((data.n, 1), bool), unit=np.where(codes == 1, 3, 2)[:, None])
    asked, people = told(pool, nothing, data.choices(coding).replace(twins={"another": swapped}), mask, 2)
    np.testing.assert_array_equal(asked.unit, np.select([codes == 1, codes == 3], [1, 2]))
    np.testing.assert_array_equal(asked.twins["another"].unit[:, 0], np.where(codes == 1, 2, 0))
    np.testing.assert_array_equal(people.items[2], whole.rows.items[4][:2])


def test_memory_is_linear_in_people_and_rows():
    """Twice the support is twice the pool, and a bit a row and place: no array of rows x support."""
    data = pairs([(f"p{i % 20}", 2 * i, 2 * i + 1) for i in range(2000)])
    coding, every = data.fit_coding(), np.arange(data.n)
    sizes = {}
    for k in (8, 16):
        rule = SupportRule(k)
        pool, questions = pool_of(data, coding, rule, data.unit_codes), questions_of(data, rule, every)
        sizes[k] = sum(np.asarray(leaf).size for leaf in jax.tree.leaves(pool.rows))
        assert questions.barred.nbytes == 4 * data.n
    assert sizes[16] == 2 * sizes[8] and pool.rows.items.shape == (21, 32, 2, 1)


def test_a_person_counts_once_in_steps_and_in_evaluations():
    rows = [(f"p{i % 7}", 2 * i, 2 * i + 1) for i in range(60)]
    data, rule = pairs(rows), SupportRule(3)
    every, codes = np.arange(data.n), data.unit_codes
    questions = questions_of(data, rule, every)
    share = 1 / data.unit_weights(0)[codes]  # in steps; in evaluations of queries alone
    np.testing.assert_allclose(np.bincount(codes, share), 1)
    np.testing.assert_allclose(np.bincount(codes, np.where(questions.asked, share * questions.more, 0)), 1, rtol=1e-6)
