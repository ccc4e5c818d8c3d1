"""Twins that a table brings: what a level sets a feature to, in a column or an array of its own."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pandas as pd
import pytest

import constraints as ct
from faro.data import Dataset, Schema, Sharded, load
from faro.data.coded import CodedShards
from faro.errors import DataError, UsageError
from faro.models import MLP, Linear, initial, outcome

N, LEVELS, SIDES = 60, ("female", "male"), ("chosen", "rejected")
PAIRS = {
    "format": "wide",
    "unit": "who",
    "numeric": ["clarity"],
    "categorical": ["tone"],
    "vectors": ["emb"],
    "attributes": [{"name": "gender", "levels": list(LEVELS)}],
    "twins": [{"attribute": "gender", "origin": "names and pronouns were exchanged"}],
}
TEXT = [{"name": "text", "index": "row"}, {"name": "tokens", "index": "row", "raw": True}]


def pairs(n: int = N, seed: int = 0) -> pd.DataFrame:
    """A row's values are those of its twin at its own level."""
    rng = np.random.default_rng(seed)
    table = {"who": [f"p{i % 23}" for i in range(n)]}
    for side in SIDES:
        gender = rng.choice(LEVELS, n)
        clarity, tone = rng.normal(size=(2, n)), rng.choice(["warm", "cold"], (2, n))
        emb = rng.normal(size=(2, n, 3)).astype(np.float32).astype(float)
        table[f"{side}_gender"], own = gender, (gender == "male").astype(int)
        for name, values in (("clarity", clarity), ("tone", tone), ("emb", emb)):
            table[f"{side}_{name}"] = list(values[own, np.arange(n)])
            table |= {f"{side}_{name}:gender={level}": list(values[code]) for code, level in enumerate(LEVELS)}
    return pd.DataFrame(table)


def set_to(table: pd.DataFrame, level: str) -> pd.DataFrame:
    """The table with every column exchanged for its twin."""
    ending = f":gender={level}"
    twins = [column for column in table.columns if column.endswith(ending)]
    return table.assign(**{column.removesuffix(ending): table[column] for column in twins})


def test_a_twin_is_the_table_with_the_columns_exchanged():
    table, schema = pairs(), Schema.from_dict(PAIRS)
    data = Dataset.from_table(table, schema)
    coding, rows = data.fit_coding(np.arange(0, N, 2)), np.arange(5, 50)
    twin = data.choices(coding, rows, twins=["gender"]).twins["gender"]
    for code, level in enumerate(LEVELS):
        other = Dataset.from_table(set_to(table, level), schema).choices(coding, rows)
        np.testing.assert_array_equal(twin.items[:, :, code], other.items)
    assert twin.valid.all() and twin.items.shape == (45, 2, 2, 6)
    assert data.schema.twin("gender").features == ("clarity", "tone", "emb")
    assert Schema.from_json(data.schema.to_json()) == data.schema
    assert "features" not in schema.to_json()


@pytest.mark.parametrize("kind", ["long", "accept"])
def test_long_and_accept_tables(kind):
    """The two sides of the pairs, one after the other, as alternatives of a choice and as applicants."""
    wide = pairs()
    table = pd.concat(
        [wide.filter(regex=f"^{side}_").rename(columns=lambda name: name.split("_", 1)[1]) for side in SIDES]
    ).assign(who=[*wide["who"]] * 2, task=[*range(N)] * 2, took=[1] * N + [0] * N)
    choice = {"choice": "task"} if kind == "long" else {}
    schema = Schema.from_dict(PAIRS | {"format": kind, "label": "took"} | choice)
    data, known = Dataset.from_table(table, schema), Dataset.from_table(wide, Schema.from_dict(PAIRS))
    choices, expected = (own.choices(known.fit_coding(), twins=["gender"]) for own in (data, known))
    found = np.asarray(choices.twins["gender"].items)
    if kind == "accept":  # the outside option has no items
        assert found.shape == (2 * N, 1, 2, 6) and not choices.twins["gender"].valid[:, 1].any()
        found = np.stack([found[:N, 0], found[N:, 0]], 1)
    np.testing.assert_array_equal(found, expected.twins["gender"].items)


def test_a_choosers_twins_are_of_the_context():
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"who": range(N), "gender": rng.choice(LEVELS, N)})
    table = table.assign(prompt=list(rng.normal(size=(N, 2))), a_x=rng.normal(size=N), b_x=rng.normal(size=N))
    for level in LEVELS:
        table[f"prompt:gender={level}"] = list(rng.normal(size=(N, 2)))
    schema = Schema.from_dict(
        {
            "format": "wide", "unit": "who", "sides": ["a", "b"], "numeric": ["x"], "context_vectors": ["prompt"],
            "attributes": [{"name": "gender", "levels": list(LEVELS), "chooser": True}], "twins": PAIRS["twins"],
        }
    )  # fmt: skip
    data = Dataset.from_table(table, schema)
    coding = data.fit_coding()
    twin = data.choices(coding, twins=["gender"]).twins["gender"]
    for code, level in enumerate(LEVELS):
        other = Dataset.from_table(set_to(table, level), schema).choices(coding)
        np.testing.assert_array_equal(twin.context[:, code], other.context)
    assert twin.items is None and twin.valid.all()


@pytest.mark.slow
@pytest.mark.parametrize("prompt", [False, True])
def test_a_choosers_twins_may_set_both_sides_at_once(prompt, tmp_path):
    """The prompt was rewritten, and with it what both answers are about: decisions are those of the rewritten table."""
    rng = np.random.default_rng(5)
    table = pairs().drop(columns=["chosen_gender", "rejected_gender"]).assign(gender=rng.choice(LEVELS, N))
    schema = PAIRS | {"attributes": [{"name": "gender", "levels": list(LEVELS), "chooser": True}]}
    if prompt:
        for ending in ("", *(f":gender={level}" for level in LEVELS)):
            table[f"prompt{ending}"] = rng.normal(size=N)
        schema |= {"context_numeric": ["prompt"]}
    schema = Schema.from_dict(schema)
    data = Dataset.from_table(table, schema)
    coding = data.fit_coding()
    choices = data.choices(coding, twins=["gender"])
    assert choices.twins["gender"].context.shape == (N, 2, int(prompt))
    for model in (Linear(), MLP(widths=(3,))):
        params = jax.tree.map(
            lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), initial(model, jax.random.key(0), choices, 0)
        )
        for own in (choices, model.prepare(choices)):
            seen = outcome(model, params, own, ct.Argmax(), ["gender"]).twins["gender"]
            for code, level in enumerate(LEVELS):
                other = Dataset.from_table(set_to(table, level), schema).choices(coding)
                expected = outcome(
                    model, params, model.prepare(other) if own is not choices else other, ct.Argmax(), []
                )
                np.testing.assert_allclose(seen.rewards[..., code], expected.rewards, rtol=1e-4, atol=1e-5)
                np.testing.assert_array_equal(seen.decisions[..., code], expected.decisions)
    shard = CodedShards(data, coding, [np.arange(9)], {"twins": ["gender"]}, 1.0)[0]
    np.testing.assert_array_equal(shard.twins["gender"].items, choices.twins["gender"].items[:9])
    gap = table.assign(**{"chosen_tone:gender=male": table["chosen_tone:gender=male"].astype(object)})
    at = int(np.argmax(gap["gender"] == "female"))
    gap.loc[at, "chosen_tone:gender=male"] = None
    excluding = schema.replace(twins=(dataclasses.replace(schema.twins[0], missing="exclude"),))
    valid = Dataset.from_table(gap, excluding).choices(coding, twins=["gender"]).twins["gender"].valid
    assert not valid[at, :, 1].any() and (~valid).sum() == 2


@pytest.mark.parametrize("apart", [False, True])
def test_arrays_bring_twins_by_their_index_or_in_files_of_their_own(apart, tmp_path):
    """Rows of one array, or the same rows in one array a level; coded and raw ones."""
    rng = np.random.default_rng(2)
    text = rng.normal(size=(3 * 2 * N, 4)).astype(np.float32)
    tokens = rng.integers(0, 99, (3 * 2 * N, 5), np.int32)
    place = rng.permutation(3 * 2 * N).reshape(3, 2, N)  # of the pairs, and at each level
    table = pairs()[["who", "chosen_gender", "rejected_gender"]]
    arrays, specs = {"text": text, "tokens": tokens}, list(TEXT)
    for number, side in enumerate(SIDES):
        table[f"{side}_row"] = place[0, number]
        if not apart:
            for code, level in enumerate(LEVELS):
                table[f"{side}_row:gender={level}"] = place[1 + code, number]
    if apart:
        for code, level in enumerate(LEVELS):  # without an index: rows 2i and 2i + 1 are the sides of pair i
            own = place[1 + code].T.ravel()
            specs += [{"name": f"text:gender={level}"}, {"name": f"tokens:gender={level}", "raw": True}]
            arrays |= {f"text:gender={level}": text[own], f"tokens:gender={level}": tokens[own]}
            np.save(tmp_path / f"{level}.npy", text[own])
    schema = Schema.from_dict(PAIRS | {"numeric": [], "categorical": [], "vectors": [], "arrays": specs})
    data = Dataset.from_table(table, schema, arrays=arrays)
    coding = data.fit_coding()
    assert coding.features == ("text", "tokens")
    choices = data.choices(coding, twins=["gender"])
    twin = choices.twins["gender"].items
    vector = coding.items.vectors[0]
    for code in range(2):
        coded = ((text[place[1 + code].T] - vector.mean) / vector.scale).astype(np.float32)
        np.testing.assert_array_equal(twin["features"][:, :, code], coded)
        np.testing.assert_array_equal(twin["tokens"][:, :, code], tokens[place[1 + code].T])
    assert twin["tokens"].dtype == np.int32 and data.schema.twin("gender").features == ("text", "tokens")
    if apart:  # they are part of the content, and a table without them is read all the same
        del arrays["text:gender=male"], arrays["tokens:gender=male"]
        less = Dataset.from_table(table, data.schema, arrays=arrays)
        assert less.digest != data.digest
        with pytest.raises(DataError, match="no values to set it to"):
            less.choices(coding, twins=["gender"])
        with pytest.raises(DataError, match="shape and dtype of 'text'"):
            arrays["text:gender=female"] = arrays["text:gender=female"][:, :3]
            Dataset.from_table(table, schema, arrays=arrays)


def test_an_empty_cell_is_the_row_itself_an_error_or_no_twin():
    table, schema = pairs(), Schema.from_dict(PAIRS)
    coding = Dataset.from_table(table, schema).fit_coding()
    full = Dataset.from_table(table, schema).choices(coding, twins=["gender"]).twins["gender"]
    own = table.copy()
    for side in SIDES:
        for level in LEVELS:
            mine = (own[f"{side}_gender"] == level).to_numpy()
            for name in ("clarity", "tone", "emb"):
                column = f"{side}_{name}:gender={level}"
                own[column] = own[column].astype(object).where(~mine, None)
    twin = Dataset.from_table(own, schema).choices(coding, twins=["gender"]).twins["gender"]
    np.testing.assert_array_equal(twin.items, full.items)
    assert twin.valid.all()

    for name in ("clarity", "tone", "emb"):
        gap, column = table.copy(), f"chosen_{name}:gender=male"
        at = int(np.argmax(gap["chosen_gender"] == "female"))
        gap[column] = gap[column].astype(object)
        gap.at[at, column] = None
        with pytest.raises(DataError, match=rf"row {at + 1}: the twin is missing; declare missing = 'exclude'"):
            Dataset.from_table(gap, schema)
        assert Dataset.from_table(gap, schema.replace(on_missing="drop")).dropped == 1
        spec = PAIRS["twins"][0] | {"missing": "exclude"}
        excluding = Dataset.from_table(gap, Schema.from_dict(PAIRS | {"twins": [spec]}))
        valid = excluding.choices(coding, twins=["gender"]).twins["gender"].valid
        assert (~valid).sum() == 1 and not valid[at, 0, 1]
        only = {"column": "tone", "equals": gap.at[at, "chosen_tone"], "levels": ["female"]}
        by_design = Schema.from_dict(PAIRS | {"twins": [PAIRS["twins"][0] | {"only": [only]}]})
        assert not Dataset.from_table(gap, by_design).choices(coding, twins=["gender"]).twins["gender"].valid[at, 0, 1]


def test_the_digest_covers_twins_and_parts_do_not_depend_on_them():
    table, schema = pairs().drop(columns="who"), Schema.from_dict(PAIRS | {"unit": "row"})
    data = Dataset.from_table(table, schema)
    bare = table[[column for column in table.columns if ":" not in column]]
    without = Dataset.from_table(bare, data.schema)  # as a model reads a table to score
    assert data.digest != without.digest and (data.placement == without.placement).all()
    with pytest.raises(DataError, match="twins of 'gender': they set the feature 'clarity'"):
        without.choices(data.fit_coding(), twins=["gender"])
    plain = schema.replace(twins=())
    assert Dataset.from_table(table, plain).digest == Dataset.from_table(bare, plain).digest == without.digest


@pytest.mark.parametrize(
    ("change", "drop", "error", "message"),
    [
        ({}, ":gender", UsageError, "no categorical feature, and table has no columns such as 'clarity:gender=female'"),
        ({}, "chosen_emb:gender=male", DataError, "no column 'chosen_emb:gender=male': twins of 'gender' need 'emb'"),
        ({"features": ["tune"]}, "who", UsageError, "'tune' is no feature of an alternative; those are: clarity, tone"),
        ({"missing": "drop"}, "who", UsageError, "missing of the twins of 'gender' is one of error, exclude"),
    ],
)
def test_twins_that_cannot_be_are_refused(change, drop, error, message):
    table = pairs()
    table = table.drop(columns=[column for column in table.columns if drop in column and drop != "who"])
    with pytest.raises(error, match=message):
        Dataset.from_table(table, Schema.from_dict(PAIRS | {"twins": [PAIRS["twins"][0] | change]}))


def test_declared_features_are_needed_where_twins_are_built():
    schema = Schema.from_dict(PAIRS | {"twins": [PAIRS["twins"][0] | {"features": ["emb"]}]})
    table = pairs().drop(columns=[column for column in pairs().columns if "emb:" in column])
    data = Dataset.from_table(table, schema)
    assert data.schema.twin("gender").features == ("emb", "clarity", "tone")
    with pytest.raises(DataError, match="they set the feature 'emb', and the table has no values"):
        data.choices(data.fit_coding(), twins=["gender"])


def test_shards_have_the_twins_of_the_table(tmp_path):
    table, schema = pairs(), Schema.from_dict(PAIRS)
    for number, rows in enumerate(np.array_split(np.arange(N), 3)):
        table.iloc[rows].to_parquet(tmp_path / f"{number}.parquet")
    shards, data = Sharded.of_folder(tmp_path, schema), load(table, schema)
    coding, rows = data.fit_coding(), np.array([50, 3, 30])
    both = (own.choices(coding, rows, twins=["gender"]).twins["gender"] for own in (shards, data))
    first, second = both
    np.testing.assert_array_equal(first.items, second.items)
    np.testing.assert_array_equal(first.valid, second.valid)
