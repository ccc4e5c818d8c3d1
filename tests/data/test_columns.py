"""Columns that a schema names: by patterns, of three sides and more, by a margin; and keys in the wrong place."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from constraints.alternatives import pieces
from faro.data import Dataset, Schema, load
from faro.errors import DataError, UsageError
from faro.losses import Logit, Pairwise
from faro.models import Seen

MODES, CODES = ("TRAIN", "SM", "CAR"), ("1", "2", "3")
TRAVEL = {
    "format": "wide",
    "unit": "ID",
    "sides": list(MODES),
    "codes": list(CODES),
    "unknown": ["0"],
    "on_missing": "drop",
    "label": "CHOICE",
    "available": "AV",
    "alternative": "mode",
    "numeric": ["TT", "CO"],
    "categorical": ["mode"],
    "attributes": [
        {"name": "male", "column": "MALE", "levels": ["0", "1"], "chooser": True},
        {"name": "mode", "levels": list(MODES)},
    ],
}


def travel(n: int = 30, seed: int = 0) -> pd.DataFrame:
    """A row a choice, columns for each alternative, as biogeme reads them."""
    rng = np.random.default_rng(seed)
    table = {"ID": rng.integers(0, 9, n), "MALE": rng.integers(0, 2, n), "CHOICE": rng.integers(0, 4, n)}
    for mode in MODES:
        table |= {f"{mode}_TT": rng.integers(5, 90, n), f"{mode}_CO": rng.normal(size=n), f"{mode}_AV": 1}
    table = pd.DataFrame(table)
    return table.assign(CAR_AV=((rng.random(n) < 0.7) | (table["CHOICE"] == 3)).astype(int))


def test_a_row_a_choice_among_three():
    table = travel()
    data = Dataset.from_table(table, Schema.from_dict(TRAVEL))
    known = table[table["CHOICE"] > 0]
    assert (data.n, data.k, data.dropped) == (len(known), 3, len(table) - len(known))
    np.testing.assert_array_equal(data.parsed.chosen.argmax(1), known["CHOICE"] - 1)
    np.testing.assert_array_equal(data.parsed.available, known[[f"{mode}_AV" for mode in MODES]].to_numpy() == 1)
    assert data.alternatives[0].tolist() == [*MODES]
    choices = data.choices(data.fit_coding())
    assert choices.items.shape[-1] == 5 and choices.attributes["mode"][0].tolist() == [
        0,
        1,
        2 if data.parsed.available[0, 2] else -1,
    ]


def test_it_is_the_long_table_of_the_same_choices():
    table = travel(60)
    parts = [
        table.assign(row=range(60), mode=mode, TT=table[f"{mode}_TT"], CO=table[f"{mode}_CO"], AV=table[f"{mode}_AV"],
                     took=(table["CHOICE"] == k + 1) * 1) for k, mode in enumerate(MODES)
    ]  # fmt: skip
    long = pd.concat(parts)
    long = long[long["CHOICE"] > 0]
    without = {"format": "long", "choice": "row", "label": "took", "codes": [], "unknown": [], "sides": ["a", "b"]}
    first, second = (
        Dataset.from_table(frame, Schema.from_dict(TRAVEL | changes))
        for frame, changes in ((table, {}), (long.sort_values("row", kind="stable"), without))
    )
    coding = first.fit_coding()
    both = [own.choices(coding) for own in (first, second)]
    for name in ("items", "available", "chosen", "unit"):
        np.testing.assert_array_equal(*[getattr(choices, name) for choices in both])


def test_labels_may_be_the_names_of_the_sides():
    table = travel()
    table["CHOICE"] = np.array(["", *MODES])[table["CHOICE"]]
    schema = Schema.from_dict(TRAVEL | {"codes": [], "unknown": []})
    named = Dataset.from_table(table, schema)
    np.testing.assert_array_equal(
        named.parsed.chosen, Dataset.from_table(travel(), Schema.from_dict(TRAVEL)).parsed.chosen
    )
    bus = table.assign(CHOICE=table["CHOICE"].replace("CAR", "BUS"))
    with pytest.raises(DataError, match="labels are TRAIN, SM, CAR; list what says nothing under `unknown`; got 'BUS'"):
        Dataset.from_table(bus, schema)


def test_an_alternative_may_lack_a_feature_where_missing_is_a_level():
    table = travel().drop(columns="CAR_CO")
    with pytest.raises(DataError, match="no column 'CAR_CO' or 'CO_CAR'"):
        Dataset.from_table(table, Schema.from_dict(TRAVEL))
    table = table[table["CHOICE"] > 0]
    data = Dataset.from_table(table, Schema.from_dict(TRAVEL | {"on_missing": "level"}))
    assert np.isnan(data.parsed.items.numeric["CO"][:, 2]).all() and "CO=(missing)" in data.fit_coding().items.names
    with pytest.raises(DataError, match="no side has a column of the feature 'CO'"):
        Dataset.from_table(table.drop(columns=["TRAIN_CO", "SM_CO"]), data.schema)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "", "codes": [], "unknown": []}, "`alternative` need `label`"),
        ({"codes": ["1", "2"]}, "`codes` are the cells of the label of a wide table, one for each of 3 sides"),
        ({"sides": ["a", "a", "b"]}, "two or more different `sides`"),
        ({"positive": "1"}, "this label names sides"),
        ({"sides": ["a", "b"], "codes": []}, "`unknown` goes with a label of words"),
        ({"outside": "AV"}, "`outside` belongs to format 'long'"),
    ],
)
def test_sides_that_cannot_be(change, message):
    with pytest.raises(UsageError, match=message):
        Schema.from_dict(TRAVEL | change)


TONE = {"name": "tone", "levels": ["warm", "cold"]}


def wide_features(n: int = 12) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    table = {"who": range(n), "note": "x", "age": rng.normal(size=n)}
    for side in ("chosen", "rejected"):
        table |= {f"{side}_emb_{d}": rng.normal(size=n) for d in range(11)}
        table |= {f"{side}_emb_id": rng.integers(0, 2, n), f"{side}_tone": rng.choice(["warm", "cold"], n)}
        table |= {f"{side}_emb_0:tone={level}": rng.normal(size=n) for level in ("warm", "cold")}
    return pd.DataFrame(table)


def test_patterns_stand_for_the_columns_that_the_schema_says_nothing_else_of():
    """Not for an attribute's, a twin's or one in another list; in the table's order, and stored by name."""
    schema = Schema.from_dict(
        {
            "format": "wide", "unit": "who", "numeric": ["emb_*"], "context_numeric": ["a*"],
            "attributes": [{"name": "id", "column": "emb_id", "levels": ["0", "1"]}, TONE],
            "twins": [{"attribute": "tone", "origin": "rewritten", "features": ["emb_0*"]}],
        }
    )  # fmt: skip
    table = wide_features()
    data = Dataset.from_table(table, schema)
    names = tuple(f"emb_{d}" for d in range(11))
    assert data.schema.numeric == names and data.schema.context_numeric == ("age",)
    assert data.schema.twin("tone").features == ("emb_0",)
    named = Dataset.from_table(table, schema.replace(numeric=names, context_numeric=("age",), twins=data.schema.twins))
    assert named.digest == data.digest and data.read_by(named.schema, 2) is data
    again = Schema.from_json(data.schema.to_json())
    assert Dataset.from_table(table.assign(chosen_emb_11=0, rejected_emb_11=0), again).schema.numeric == names
    with pytest.raises(DataError, match=r"no column matches 'vec_\*' \(`numeric`\); those that are free: emb_0, emb_1"):
        Dataset.from_table(table, schema.replace(numeric=("vec_*",), twins=()))
    literal = table.rename(columns={"chosen_emb_1": "chosen_emb_*", "rejected_emb_1": "rejected_emb_*"})
    assert load(literal, schema.replace(twins=())).schema.numeric == ("emb_*",)  # a column of this very name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"unit": "u", "levels": ["a"]}, r"unknown key 'levels', a key of \[\[attributes\]\] or \[\[twins.only\]\]"),
        ({"unit": "u", "origin": "x"}, r"unknown key 'origin', a key of \[\[twins\]\]"),
        (
            {"unit": "u", "attributes": [{"name": "g", "levels": ["a", "b"], "numeric": ["x"]}]},
            r"schema.attributes: unknown key 'numeric', a key of the schema itself: put it above the first \[\[...\]\]",
        ),
        ({"unit": "u", "attributes": {"name": "g"}}, r"expected a list of tables, \[\[attributes\]\] in TOML"),
    ],
)
def test_a_misplaced_key_is_told_where_it_belongs(values, message):
    with pytest.raises(UsageError, match=message):
        Schema.from_dict(values)


def test_a_margin_is_what_the_chosen_should_be_ahead_by():
    table = pd.DataFrame(
        {"who": range(6), "chosen_x": [1.0, 2, 3, 4, 5, 6], "rejected_x": 0.0, "strength": [0, 1, 2, 0.5, 0, 3]}
    )
    schema = Schema.from_dict({"format": "wide", "unit": "who", "numeric": ["x"], "margin": "strength"})
    data = load(table, schema)
    plain = load(table, schema.replace(margin=""))
    assert data.digest != plain.digest
    choices, bare = (own.choices(data.fit_coding()) for own in (data, plain))
    assert choices.columns["margin"].tolist() == [[m, m] for m in table["strength"]] and not bare.columns
    rewards = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    seen = Seen(pieces(jnp.asarray(rewards)), None, {})
    expected = np.log1p(np.exp(-(rewards[:, 0] - rewards[:, 1] - table["strength"])))
    np.testing.assert_allclose(Pairwise().per_choice(seen, choices), expected, rtol=1e-5)
    np.testing.assert_allclose(Pairwise().per_choice(seen, bare), Logit().per_choice(seen, bare), rtol=1e-5)
    with pytest.raises(DataError, match=r"expected a margin that is not negative .* got '-1"):
        load(table.assign(strength=-1.0), schema)


def test_words_that_say_nothing_are_missing_labels():
    """Ties of an arena, beside the word that means the first side and the one that means the second."""
    table = pd.DataFrame({"who": range(4), "a_x": range(4), "b_x": 0, "winner": ["a", "tie", "b", "a"]})
    schema = Schema.from_dict(
        {
            "format": "wide", "unit": "who", "sides": ["a", "b"], "numeric": ["x"], "label": "winner", "positive": "a",
            "unknown": ["tie"], "on_missing": "drop",
        }
    )  # fmt: skip
    data = load(table, schema)
    assert data.parsed.chosen.tolist() == [[1, 0], [0, 1], [1, 0]] and (data.schema.negative, data.dropped) == ("b", 1)
    with pytest.raises(DataError, match=r"labels are the words 'a' and 'b', got 'tie'; list it under `unknown`"):
        load(table, schema.replace(unknown=(), negative="b"))
