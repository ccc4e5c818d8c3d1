"""Support sets: who is asked after which rows, against the definition row by row, and attacks on it."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

import constraints as ct
import faro
from faro.data import Dataset, Schema
from faro.data.masses import audit_sizes
from faro.data.support import NEITHER, QUERY, SUPPORT, SupportRule, roles, support_rows, support_sizes
from faro.errors import DataError, UsageError
from faro.store.draw import Draw
from tests.builders.support import PAIRS, SCHEMA, drawn, opposed, pairs, touching


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("k", [0, 1, 3, 20])
def test_nothing_asked_shares_an_item_with_what_was_told(k, ordered):
    """Row by row: support is k or as many as leave a question, a query shares no item with it (and is later), every
    other row is neither, and nobody is left without a question."""
    rows = drawn(seed=k)
    when = np.random.default_rng(1).integers(0, 6, len(rows))  # with ties
    schema = PAIRS.replace(order="at") if ordered else PAIRS
    data = pairs(rows, schema, at=when)
    rule = SupportRule(k, schema.order)
    found = roles(data, rule)
    for person in {row[0] for row in rows}:
        own = [i for i, row in enumerate(rows) if row[0] == person]
        told = [i for i in own if found[i] == SUPPORT]
        place = data.turns.place
        assert sorted(place[own]) == [*range(len(own))] and sorted(place[told]) == [*range(len(told))]

        def free(i, told):
            return all(not touching(rows[i], rows[j]) and (not ordered or when[j] < when[i]) for j in told)

        assert {i for i in own if found[i] == QUERY} == {i for i in own if free(i, told)} and QUERY in found[own]
        longer = [i for i in own if place[i] < len(told) + 1]  # one more row of support leaves nobody to ask
        assert len(told) == k or not any(free(i, longer) for i in own)
        if ordered:
            assert all(when[i] <= when[j] for i in told for j in own if found[j] != SUPPORT)
    assert (support_sizes(data, rule) <= k).all()
    assert (support_rows(data, rule) >= 0).sum() == (found == SUPPORT).sum()


def test_neither_order_of_rows_nor_other_people_nor_order_of_sides_move_anybody():
    rows, rule = drawn(seed=3), SupportRule(3)
    data = pairs(rows)
    told = dict(zip(data.choice_ids, roles(data, rule), strict=True))
    shuffled = np.random.default_rng(0).permutation(len(rows))
    again = Dataset.from_table(data.frame.iloc[shuffled].reset_index(drop=True), PAIRS)
    assert dict(zip(again.choice_ids, roles(again, rule), strict=True)) == told
    some = data.frame[data.frame["rater"] == "p5"].reset_index(drop=True)
    swapped = some.rename(columns={"a_x": "b_x", "b_x": "a_x"}).assign(first=0)
    for table in (some, swapped):
        alone = Dataset.from_table(table, PAIRS)
        for choice, role in zip(alone.choice_ids, roles(alone, rule), strict=True):
            assert told[choice] == role


@pytest.mark.parametrize("format", ["wide", "accept"])
def test_a_choice_without_a_name_is_called_by_what_it_asks(format):
    """Nameless rows, some of them equal or equal but for the answer: in another order, with sides exchanged, and beside
    other people each has the same role and the same component of a mixture. Called by its number it has not: the
    control."""
    rng, rule = np.random.default_rng(4), SupportRule(3)
    table = pd.DataFrame([row for person in range(30) for row in [(f"p{person}", *rng.integers(0, 4, 2))] * 3])
    table.columns = ["rater", "a_x", "b_x"]
    table["first"] = rng.integers(0, 2, len(table))
    extra = pd.DataFrame({"rater": [f"p{i % 30}" for i in range(300)], "first": rng.integers(0, 2, 300)})
    extra["a_x"], extra["b_x"] = rng.integers(0, 40, (2, 300))
    table = pd.concat([table, extra], ignore_index=True)
    if format == "accept":
        table = table.rename(columns={"a_x": "x", "b_x": "y"})
        schema = Schema(unit="rater", format="accept", label="first", numeric=("x", "y"))
    else:
        schema = PAIRS.replace(choice=())
    columns = ["rater", *(name for name in table.columns if name[-1] in "xy"), "first"]

    def told(given, called=None):
        data = Dataset.from_table(given, schema)
        named = data.choice_names if called is None else called
        parts = Draw((0.5, 0.5), by="choice").components(data)
        keys = given[columns].copy()
        if format == "wide":  # a pair is the same with its sides exchanged
            other = keys.rename(columns={"a_x": "b_x", "b_x": "a_x"}).assign(first=1 - keys["first"])
            keys = keys.where(keys["a_x"] <= keys["b_x"], other)
            keys["first"] = keys["first"].where(keys["a_x"] < keys["b_x"], 0)
        keys = keys.assign(role=roles(data, rule), drawn=parts, name=named)
        return sorted(map(tuple, keys.to_numpy().tolist()))

    whole = told(table)
    assert len({(row[0], row[-1]) for row in whole}) == len(table)
    shuffled = table.iloc[rng.permutation(len(table))].reset_index(drop=True)
    assert told(shuffled) == whole
    if format == "wide":
        flipped = shuffled.rename(columns={"a_x": "b_x", "b_x": "a_x"})
        assert told(flipped.assign(first=1 - flipped["first"])) == whole
    some = shuffled[shuffled["rater"] == "p5"].reset_index(drop=True)
    assert told(some) == [row for row in whole if row[0] == "p5"]
    ids = Dataset.from_table(shuffled, schema).choice_ids
    assert told(shuffled, ids) != told(table, Dataset.from_table(table, schema).choice_ids)


def test_items_are_dealt_before_rows():
    """All pairs of 20 items: ten rows of support are those among five items, and the 105 pairs of the others are left;
    ten rows at random would touch about thirteen, and leave about 21."""
    rows = [("p", i, j) for i, j in itertools.combinations(range(20), 2)]
    found = roles(pairs(rows), SupportRule(10))
    told = {item for row, role in zip(rows, found, strict=True) if role == SUPPORT for item in row[1:]}
    assert len(told) == 5 and (found == SUPPORT).sum() == 10 and (found == QUERY).sum() == 105


@pytest.mark.parametrize("exchanged", [False, True])
def test_the_twin_of_a_support_row_under_another_id_is_no_question(exchanged):
    rows = [("p", 2 * i, 2 * i + 1) for i in range(8)]
    copies = [(person, *(items[::-1] if exchanged else items)) for person, *items in rows]
    data = pairs(rows + copies)
    found = roles(data, SupportRule(4))
    assert (found == SUPPORT).sum() == 4 and (found == NEITHER).sum() == 0  # both of a couple, or neither of them
    np.testing.assert_array_equal(found[:8], found[8:])


def test_a_prompt_and_a_shared_column_are_items_too():
    rows = [("p", 2 * i, 2 * i + 1) for i in range(12)]
    prompts = [f"prompt {i // 3}" for i in range(12)]
    for schema in (PAIRS.replace(crossed="prompt"), PAIRS.replace(shared=("prompt",))):
        found = roles(pairs(rows, schema, prompt=prompts), SupportRule(3))
        told = {prompt for prompt, role in zip(prompts, found, strict=True) if role == SUPPORT}
        asked = {prompt for prompt, role in zip(prompts, found, strict=True) if role == QUERY}
        assert len(told) == 1 and len(asked) == 3 and not told & asked
    home = roles(pairs(rows, PAIRS.replace(shared=("town",)), town="x"), SupportRule(3))  # the person's own: no item
    assert (home == QUERY).sum() == 9


def test_alternatives_that_stand_in_every_choice_are_no_items():
    """Three brands are there every time, at prices of the day, which the context has."""
    rows = [{"who": "p", "day": day, "brand": brand, "price": day / 7, "took": brand == "a"}
            for day in range(10) for brand in "abc"]  # fmt: skip
    schema = Schema(
        unit="who", choice=("who", "day"), alternative="brand", label="took", categorical=("brand",),
        context_numeric=("price",),
    )  # fmt: skip
    data = Dataset.from_table(pd.DataFrame(rows), schema)
    assert [(roles(data, SupportRule(4)) == role).sum() for role in (SUPPORT, QUERY)] == [4, 6]
    always = Dataset.from_table(pd.DataFrame(rows).assign(price=1.0), schema)  # one question, ten times: all share it
    assert (roles(always, SupportRule(4)) == QUERY).all()


def test_people_of_one_row_and_votes_that_are_all_equal():
    rows = [(f"p{i}", 2 * i, 2 * i + 1) for i in range(10_000)]  # everybody chose once: nobody has support
    data = pairs(rows)
    assert (roles(data, SupportRule(5)) == QUERY).all() and (support_rows(data, SupportRule(5)) == -1).all()
    same = pairs([("p", 1, 2)] * 6)  # one question six times: every row shares it with every other
    assert (roles(same, SupportRule(2)) == QUERY).all() and support_sizes(same, SupportRule(2)).tolist() == [0]


def test_one_person_under_two_spellings_is_one():
    rows = [("007" if i % 2 else "7", 2 * i, 2 * i + 1) for i in range(6)]
    data = pairs(rows)
    assert data.people == 1 and (roles(data, SupportRule(2)) == SUPPORT).sum() == 2


def test_what_cannot_be_told_is_refused_in_words():
    rows = [("p", 2 * i, 2 * i + 1) for i in range(4)]
    data = pairs(rows)
    with pytest.raises(DataError, match="no column names persons"):
        roles(pairs(rows, PAIRS.replace(unit="row")), SupportRule(1))
    with pytest.raises(DataError, match="no column says what was chosen"):
        roles(Dataset.from_table(data.frame.drop(columns="first"), PAIRS, labels=False), SupportRule(1))
    ordered = PAIRS.replace(order="at")
    with pytest.raises(DataError, match="no column 'at' \\(needed as order\\)"):
        roles(pairs(rows, ordered), SupportRule(1))
    with pytest.raises(DataError, match="row 3: expected numbers or dates, got 'noon'"):
        roles(pairs(rows, ordered, at=["1", "2", "noon", "3"]), SupportRule(1))
    with pytest.raises(DataError, match="row 2: expected numbers or dates, got none"):
        roles(pairs(rows, ordered, at=["1", "", "2", "3"]), SupportRule(1))
    with pytest.raises(UsageError, match="order is of the choices of a unit"):
        PAIRS.replace(unit="row", order="at")
    with pytest.raises(UsageError, match="number or date"):
        PAIRS.replace(order="at", types={"at": "text"})


def test_times_are_numbers_or_dates_and_equal_times_are_not_earlier():
    rows = [("p", 2 * i, 2 * i + 1) for i in range(4)]
    for at in (["10", "9", "100", "1"], ["2026-02-01", "2026-01-31", "2026-10-01T10:00", "2025-12-31"]):
        data = pairs(rows, PAIRS.replace(order="at"), at=at)
        assert data.turns.place.tolist() == [2, 1, 3, 0]
    session = pairs(rows, PAIRS.replace(order="at"), at=[1, 1, 2, 2])
    assert sorted(roles(session, SupportRule(1, "at"))[:2]) == [NEITHER, SUPPORT]  # not later than what was told
    assert (roles(session, SupportRule(1, "at"))[2:] == QUERY).all()
    never = pairs(rows, PAIRS.replace(order="at"), at=[1, 1, 1, 1])
    assert (roles(never, SupportRule(1, "at")) == QUERY).all()  # nothing is earlier than anything
    assert Schema.from_json(session.schema.to_json()).order == "at" and "order" not in PAIRS.to_json()


def test_a_unit_weighs_what_is_asked_of_it():
    """Of each of 12 people 10 choices, of whom the model is told 4: they are no evidence, so they weigh nothing."""
    data = faro.load(opposed(people=12), SCHEMA)
    parity = ct.group_error(ct.Attribute("group", ("x", "y"), True), 0.1)
    assert audit_sizes(data, parity)["cap"] == 10
    assert audit_sizes(data, parity, 4)["cap"] == 6
