"""What a model knows of units: the same number in any table, and of no other unit than those of training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from faro.data import Coding, Dataset, Schema
from faro.data.vocabulary import Vocabulary

SCHEMA = Schema.from_dict(
    {"format": "accept", "unit": "who", "label": "y", "numeric": ["x"], "unit_index": True},
)


def table(people: list[str], n: int = 400, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"who": rng.choice(people, n), "x": rng.normal(size=n), "y": rng.integers(0, 2, n)})


PEOPLE = [f"p{number}" for number in range(58)]


def test_people_keep_their_number_in_every_table():
    frame = table(PEOPLE)
    data = Dataset.from_table(frame, SCHEMA)
    coding = data.fit_coding()
    number = dict(zip(data.units, data.choices(coding).unit_index, strict=True))
    assert sorted(number.values()) == list(range(58))
    rng = np.random.default_rng(1)
    for _ in range(20):
        own = frame.iloc[rng.permutation(len(frame))[: rng.integers(2, len(frame))]]
        new = table(["new", "p58", "p1 x"], 5, seed=2)
        part = Dataset.from_table(pd.concat([new, own]), SCHEMA)
        for known in (coding, Coding.from_dict(coding.to_dict(), coding.arrays())):
            given = part.choices(known).unit_index
            assert given.tolist() == [number.get(name, -1) for name in part.units]
            rows = rng.permutation(part.n)[:4]
            np.testing.assert_array_equal(part.choices(known, rows).unit_index, given[rows])
    # what made this needful: codes of a table are places in that table, and say nothing of another
    again = Dataset.from_table(frame[frame["who"] != "p0"], SCHEMA)
    codes = dict(zip(data.units, data.unit_codes, strict=True))
    assert not any(codes[name] == code for name, code in zip(again.units, again.unit_codes, strict=True))


def test_only_units_of_train_are_known_and_all_seeds_have_one_size():
    data = Dataset.from_table(table(PEOPLE), SCHEMA)
    for seed in range(3):
        train = data.rows(("train", "dual"), seed)
        coding = data.fit_coding(train)
        known = data.choices(coding).unit_index >= 0
        np.testing.assert_array_equal(known, np.isin(np.arange(data.n), train))
        assert coding.units.size == 58 and len(coding.units) == len(set(data.units[train])) < 58


def test_numbers_do_not_depend_on_rows_spelling_or_the_order_of_names():
    frame = table([str(number) for number in range(40)])
    first = Dataset.from_table(frame, SCHEMA)
    coding = first.fit_coding()
    spelled = Dataset.from_table(frame.assign(who=[f" 00{name}" for name in frame["who"]]), SCHEMA)
    np.testing.assert_array_equal(spelled.choices(coding).unit_index, first.choices(coding).unit_index)
    own = dict(zip(first.units, first.choices(coding).unit_index, strict=True))
    assert sorted(own, key=own.__getitem__) != sorted(own, key=int)


def test_a_coding_holds_hashes_and_no_names():
    data = Dataset.from_table(table(["Ada Lovelace", "Alan Turing"]), SCHEMA)
    coding = data.fit_coding()
    hashes = coding.arrays()["units"]
    assert hashes.shape == (2, 16) and hashes.dtype == np.uint8
    assert "Ada" not in str(coding.to_dict()) and b"Ada" not in hashes.tobytes()


def test_tables_without_units_have_new_people_only():
    data = Dataset.from_table(table(PEOPLE), SCHEMA)
    coding = data.fit_coding()
    nobody = Dataset.from_table(table(PEOPLE).drop(columns="who"), SCHEMA, labels=False)
    assert (nobody.choices(coding).unit_index == -1).all()
    plain = Dataset.from_table(table(PEOPLE), SCHEMA.replace(unit_index=False))
    assert plain.fit_coding().units is None and plain.choices(plain.fit_coding()).unit_index is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda record, hashes: (record, hashes[::-1]),
        lambda record, hashes: (record, np.concatenate([hashes[:1], hashes])),
        lambda record, hashes: (record, hashes[:, :8]),
        lambda record, hashes: (record, hashes.astype(np.int64)),
        lambda record, hashes: (record | {"size": 1}, hashes),
        lambda record, hashes: (record | {"size": True}, hashes),
        lambda record, hashes: (record | {"salt": "x" * 65}, hashes),
    ],
)
def test_damage_is_refused(damage):
    own = Vocabulary.of(np.array(PEOPLE, object), 60, "salt")
    assert Vocabulary.from_dict(own.to_dict(), own.hashes) == own
    with pytest.raises(ValueError, match="coding: expected"):
        Vocabulary.from_dict(*damage(own.to_dict(), own.hashes))
