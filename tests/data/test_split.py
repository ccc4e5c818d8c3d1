"""Splits and coding: people stay where they are, equal rows stay together, and only train rows teach the coding."""

from __future__ import annotations

import json

import jax
import numpy as np
import pandas as pd
import pytest

from faro.data import PARTS, AttributeSpec, Coding, Dataset, Only, Schema, TwinSpec
from faro.data.schema import ArraySpec
from faro.data.split import assign, uniform
from faro.errors import DataError, UsageError

SCHEMA = Schema(
    format="accept",
    unit="row",
    label="y",
    numeric=("x",),
    categorical=("colour",),
    vectors=("emb",),
    context_numeric=("age",),
    context_categorical=("town",),
    attributes=(
        AttributeSpec(name="colour", levels=("red", "blue", "green")),
        AttributeSpec(name="town", levels=("n", "s"), chooser=True),
    ),
    twins=(
        TwinSpec(attribute="colour", origin="painted", only=(Only(column="town", equals="n", levels=("red", "blue")),)),
        TwinSpec(attribute="town", origin="moved"),
    ),
)


def frame(n: int = 400, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "x": rng.normal(5, 3, n),
            "colour": rng.choice(["red", "blue", "green"], n),
            "emb": list(rng.normal(size=(n, 2))),
            "age": rng.integers(20, 60, n),
            "town": rng.choice(["n", "s"], n),
            "y": rng.integers(0, 2, n),
            "who": rng.integers(0, 150, n),
            "w": rng.random(n),
        }
    )


def test_shares_of_many_units():
    parts = assign(np.arange(200_000).astype(str), 3)
    shares = np.bincount(parts, minlength=5) / 200_000
    np.testing.assert_allclose(shares, [0.5, 0.1, 0.1, 0.15, 0.15], atol=0.004)


def test_placement_is_fixed_for_ever():
    placed, gate_of_a = [0, 4, 4, 1, 2, 0, 2, 0], 0.6064058587500094
    np.testing.assert_array_equal(assign(np.array(["a", "b", "c", "d", "e", "f", "g", "h"]), 0), placed)
    assert uniform("faro gate-audit 1", ["a"])[0] == pytest.approx(gate_of_a, abs=1e-15)


def test_gate_is_the_same_for_every_seed_and_the_rest_is_not():
    data = Dataset.from_table(frame(), SCHEMA.replace(unit="who"))
    first, second = data.parts(0), data.parts(1)
    gate = PARTS.index("gate")
    np.testing.assert_array_equal(first == gate, second == gate)
    assert (first != second).mean() > 0.3 and first.dtype == np.int8
    np.testing.assert_array_equal(data.rows("gate", 0), np.flatnonzero(first == gate))
    assert len(data.rows(PARTS, 0)) == data.n and len(data.rows(("train", "dual"), 0)) == (first < 2).sum()


def test_adding_rows_moves_nobody():
    table = frame()
    for unit in ("who", "row"):
        schema = SCHEMA.replace(unit=unit)
        few = Dataset.from_table(table, schema)
        more = Dataset.from_table(pd.concat([frame(100, seed=1).assign(who=range(900, 1000)), table]), schema)
        np.testing.assert_array_equal(more.parts(5)[100:], few.parts(5))


def test_a_person_is_in_one_part_however_the_id_is_written():
    table, schema = frame(), SCHEMA.replace(unit="who")
    parts = Dataset.from_table(table, schema).parts(0)
    assert pd.Series(parts).groupby(table["who"].to_numpy()).nunique().max() == 1
    for kind in (float, str, object, "int8", "category"):
        written = table.assign(who=table["who"].astype("uint8" if kind == "int8" else kind))
        np.testing.assert_array_equal(Dataset.from_table(written, schema).parts(0), parts)
    twelve = table.assign(who=[f"{value}.0" for value in table["who"]])
    np.testing.assert_array_equal(Dataset.from_table(twelve, schema).parts(0), parts)


def test_equal_rows_do_not_straddle():
    table = pd.concat([frame(300), frame(300).assign(w=9.0)], ignore_index=True)
    data = Dataset.from_table(table, SCHEMA.replace(weight="w"))
    np.testing.assert_array_equal(data.parts(0)[:300], data.parts(0)[300:])
    assert len(set(data.units.tolist())) == 600 and len(set(data.placement.tolist())) == 300
    changed = Dataset.from_table(table.assign(x=table["x"] + 1e-9), SCHEMA)
    assert (changed.parts(0) != data.parts(0)).any()


def test_every_row_is_a_unit_whatever_rows_have_in_common():
    """Alternatives that many choices offer, and features in arrays, once left few names for all."""
    rng = np.random.default_rng(0)
    offers = pd.DataFrame({"task": np.repeat(np.arange(200), 3), "x": rng.integers(0, 4, 600), "y": [1, 0, 0] * 200})
    long = Schema(unit="row", choice=("task",), label="y", numeric=("x",))
    lone = Schema(unit="row", format="accept", label="y", arrays=(ArraySpec(name="emb"),))
    of_arrays = Dataset.from_table(offers[["y"]], lone, arrays={"emb": rng.normal(size=(600, 2))})
    for data in (Dataset.from_table(offers, long), of_arrays):
        assert data.people == data.n and len(set(data.unit_codes.tolist())) == data.n


def test_equal_choices_of_a_long_table_do_not_straddle():
    one = pd.DataFrame({"x": np.repeat(np.arange(100.0), 2) + np.tile([0, 0.5], 100), "y": np.tile([0, 1], 100)})
    table = pd.concat([one, one.iloc[::-1]], ignore_index=True).assign(
        task=np.repeat(np.arange(200), 2), alt=range(400)
    )
    schema = Schema(unit="row", choice=("task",), alternative="alt", label="y", numeric=("x",))
    parts = Dataset.from_table(table, schema).parts(0)
    np.testing.assert_array_equal(parts[:100], parts[100:][::-1])


def test_too_few_people_and_unknown_parts():
    data = Dataset.from_table(frame(4), SCHEMA)
    with pytest.raises(DataError, match="part is empty: 4 units"):
        data.parts(0)
    with pytest.raises(UsageError, match="no part 'test'"):
        Dataset.from_table(frame(), SCHEMA).rows("test", 0)


def test_coding_ignores_all_but_the_train_rows():
    table = frame().astype(object)
    schema = SCHEMA.replace(unit="who")
    data = Dataset.from_table(table, schema)
    train = data.rows("train", 0)
    coding = data.fit_coding(train)
    changed = table.copy()
    for row in np.setdiff1d(np.arange(data.n), train):
        changed.at[row, "x"], changed.at[row, "age"], changed.at[row, "emb"] = 1e9, -1e9, [7.0, 7.0]
        changed.at[row, "town"] = "n"
    other = Dataset.from_table(changed, schema)
    assert other.fit_coding(other.rows("train", 0)) == coding
    assert data.fit_coding() != coding


def test_coding_standardises_and_round_trips():
    data = Dataset.from_table(frame(), SCHEMA)
    coding = data.fit_coding()
    assert coding.items.names == ("x", "colour=blue", "colour=green", "colour=red", "emb[0]", "emb[1]")
    assert coding.context.names == ("age", "town=n", "town=s")
    choices = data.choices(coding)
    for values in (choices.items[:, 0, 0], choices.items[:, 0, 4], choices.context[:, 0]):
        assert abs(np.mean(values)) < 1e-5 and np.std(values) == pytest.approx(1, abs=1e-5)
    assert Coding.from_dict(json.loads(json.dumps(coding.to_dict())), coding.arrays()) == coding


def test_constant_numbers_are_centred_not_blown_up():
    data = Dataset.from_table(frame().assign(x=0.1), SCHEMA)
    assert data.fit_coding().items.numbers[0].scale == 1
    assert np.abs(data.choices(data.fit_coding()).items[:, 0, 0]).max() < 1e-12


def test_levels_never_seen_are_zeros_and_counted():
    table = frame()
    coding = Dataset.from_table(table[table["colour"] != "green"], SCHEMA).fit_coding()
    data = Dataset.from_table(table, SCHEMA)
    green = (table["colour"] == "green").to_numpy()
    assert data.unseen(coding) == {"colour": int(green.sum())}
    items = np.asarray(data.choices(coding).items[:, 0])
    np.testing.assert_array_equal(items[:, 1:3].sum(1), ~green)
    with pytest.raises(DataError, match="no train row has the level 'green'"):
        data.choices(coding, twins=("colour",))
    wide = Dataset.from_table(table.assign(emb=[[1.0, 2.0, 3.0]] * 400), SCHEMA)
    with pytest.raises(DataError, match="expected vectors of length 2, got 3"):
        wide.choices(coding)


def test_twins_are_the_table_with_the_column_changed():
    table = frame(60)
    data = Dataset.from_table(table, SCHEMA)
    coding = data.fit_coding()
    rows = np.arange(10, 50)
    choices = data.choices(coding, rows, twins=("colour", "town"))
    for index, level in enumerate(("red", "blue", "green")):
        other = Dataset.from_table(table.assign(colour=level), SCHEMA).choices(coding, rows)
        np.testing.assert_array_equal(choices.twins["colour"].items[:, :, index], other.items)
    for index, level in enumerate(("n", "s")):
        other = Dataset.from_table(table.assign(town=level), SCHEMA).choices(coding, rows)
        np.testing.assert_array_equal(choices.twins["town"].context[:, index], other.context)
    north = (table["town"] == "n").to_numpy()[rows]
    valid = np.asarray(choices.twins["colour"].valid)
    np.testing.assert_array_equal(valid[:, 0], np.stack([north | True, north | True, ~north], 1))
    assert not valid[:, 1].any() and choices.twins["town"].valid.shape == (40, 2, 2)
    assert data.choices(coding).twins == {}
    with pytest.raises(UsageError, match="unknown attribute 'size'"):
        data.choices(coding, twins=("size",))
    with pytest.raises(UsageError, match="has no twins"):
        Dataset.from_table(table, SCHEMA.replace(twins=())).choices(coding, twins=("town",))


def test_rows_of_choices_are_rows_of_all():
    data = Dataset.from_table(frame(), SCHEMA.replace(unit="who"))
    coding, rows = data.fit_coding(), np.array([7, 3, 99])
    part, whole = data.choices(coding, rows), data.choices(coding)
    np.testing.assert_array_equal(part.items, whole.items[rows])
    np.testing.assert_array_equal(part.context, whole.context[rows])
    np.testing.assert_array_equal(part.attributes["colour"], whole.attributes["colour"][rows])
    with pytest.raises(UsageError, match="at least one choice"):
        data.choices(coding, [])


def test_double_precision_on_request():
    data = Dataset.from_table(frame(), SCHEMA)
    coding = data.fit_coding()
    with jax.enable_x64(False), pytest.raises(UsageError, match="jax_enable_x64"):
        data.choices(coding, dtype=np.float64)
    with jax.enable_x64(True):
        exact = data.choices(coding, dtype=np.float64)
        single = data.choices(coding)
    assert exact.items.dtype == exact.chosen.dtype == exact.context.dtype == np.float64
    assert single.items.dtype == single.chosen.dtype == np.float32
    np.testing.assert_allclose(exact.items, single.items, atol=1e-6)


def test_unit_codes_agree_between_parts():
    data = Dataset.from_table(frame(), SCHEMA.replace(unit="who"))
    coding = data.fit_coding()
    train, dev = (data.choices(coding, data.rows(part)) for part in ("train", "dev"))
    assert not set(np.asarray(train.unit).tolist()) & set(np.asarray(dev.unit).tolist())


def test_a_coding_of_other_features_is_refused():
    data = Dataset.from_table(frame(), SCHEMA)
    other = Dataset.from_table(frame(), SCHEMA.replace(numeric=("w",)))
    with pytest.raises(UsageError, match="belongs to other features: w"):
        data.choices(other.fit_coding())
    assert repr(data) == "Dataset('table', 400 choices among 2, 400 units)"
