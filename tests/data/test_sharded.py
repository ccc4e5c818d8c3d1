"""A table in several files is the table: coding, choices, parts, units and sizes, from one file at a time."""

import jax
import numpy as np
import pandas as pd
import pytest

import constraints as ct
import faro
from faro.data import Dataset, Schema, Seen, Sharded, write_table
from faro.data.coded import CodedShards
from faro.data.masses import audit_sizes
from faro.data.sharded import cuts
from faro.errors import DataError, UsageError

SCHEMA = Schema.from_dict(
    {
        "unit": "person",
        "choice": ["choice"],
        "alternative": "option",
        "label": "chosen",
        "weight": "weight",
        "numeric": ["x", "holes"],
        "categorical": ["colour"],
        "context_numeric": ["age"],
        "shared": ["page"],
        "on_missing": "level",
        "unit_index": True,
        "attributes": [{"name": "group", "levels": ["a", "b"]}],
        "twins": [],
    }
)
PARITY = ct.demographic_parity(ct.Attribute("group", ("a", "b")), 0.1)


def table(people: int = 60, seed: int = 0) -> pd.DataFrame:
    """Choices among two or three; only the last fifth of people know "green", lack numbers and see three options."""
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(people):
        late = person >= 0.8 * people
        for turn in range(2):
            size, weight = 3 if late and turn else 2, round(float(rng.uniform(0.5, 2)), 2)
            chosen = rng.integers(size)
            for option in range(size):
                rows.append(
                    {
                        "person": f"p{person}",
                        "choice": f"{person}-{turn}",
                        "option": f"o{option}",
                        "chosen": int(option == chosen),
                        "weight": weight,
                        "x": round(float(rng.normal(5, 3)), 3),
                        "holes": "" if late and option else round(float(rng.normal()), 3),
                        "colour": "green" if late else rng.choice(["red", "blue"]),
                        "age": 20 + person,
                        "page": f"g{person // 2}",
                        "group": "ab"[option % 2],
                    }
                )
    return pd.DataFrame(rows).astype(str)


def split(frame: pd.DataFrame, folder) -> Sharded:
    """Three files: the last one has what the others lack, and a person is in the first two."""
    number = frame["person"].str[1:].astype(int)
    where = np.select([number < 20, number < 48], [0, 1], 2)
    where[(number == 3) & frame["choice"].str.endswith("-1")] = 1
    for index, ending in enumerate((".csv", ".parquet", ".jsonl")):
        write_table(frame[where == index].reset_index(drop=True), folder / f"part{index}{ending}")
    return Sharded.of_folder(folder, SCHEMA)


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[Sharded, Dataset]:
    many = split(table(), tmp_path_factory.mktemp("shards"))
    frames = [many.shard(index).frame for index in range(3)]
    return many, Dataset.from_table(pd.concat(frames, ignore_index=True), many.schema)


def test_files_are_the_table(both):
    many, one = both
    assert (many.n, many.k, many.people, len(many.schema.types)) == (one.n, one.k, one.people, len(one.schema.types))
    np.testing.assert_array_equal(many.parts(3), one.parts(3))
    np.testing.assert_array_equal(many.weight, one.weight)
    rows = one.rows(("train", "dual"))
    coding, own = many.fit_coding(rows), one.fit_coding(rows)
    assert [coding.items.levels, coding.context.levels] == [own.items.levels, own.context.levels]
    assert coding.items.names == own.items.names and "holes=(missing)" in own.items.names
    pairs = [(coding.items.numbers, own.items.numbers), (coding.context.numbers, own.context.numbers)]
    for mine, theirs in [pair for sides in pairs for pair in zip(*sides, strict=True)]:
        assert (mine.mean, mine.scale) == pytest.approx((theirs.mean, theirs.scale), rel=1e-12)
    np.testing.assert_array_equal(coding.units.hashes.shape, own.units.hashes.shape)
    rows = np.random.default_rng(0).permutation(one.n)[::3]  # in any order, as parts one after another are
    found, expected = many.choices(own, rows), one.choices(own, rows)
    for mine, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_units_and_sizes_are_those_of_the_table(both):
    many, one = both
    assert audit_sizes(many, PARITY) == audit_sizes(one, PARITY)
    assert audit_sizes(one, PARITY)["cap"] > 0 and audit_sizes(one, PARITY)["crossed"] == ["page"]
    seen, expected = (Seen.of(data, data.rows(("train", "selection"))) for data in both)
    np.testing.assert_array_equal(seen.units, expected.units)
    np.testing.assert_array_equal(seen.shared["page"], expected.shared["page"])


def test_people_who_are_held_back_teach_the_coding_nothing(tmp_path, both):
    """Their numbers are multiplied by a thousand; the control does so to people of train."""
    frame = table()
    where = dict(zip(both[1].units, both[1].parts(0), strict=True))
    codings = []
    for number, code in enumerate((None, 4, 0)):  # nobody, gate, train
        changed = frame.copy()
        changed.loc[frame["person"].map(where) == code, "x"] = "1000"
        folder = tmp_path / str(number)
        folder.mkdir()
        many = split(changed, folder)
        codings.append(many.fit_coding(many.rows(("train", "dual"))).to_dict() | {"units": None})
    assert codings[0] == codings[1] != codings[2]


def test_shards_on_disk_are_of_one_shape_and_hold_every_choice_once(both):
    for data, count in ((both[0], None), (both[1], 4)):
        rows = data.rows("train")
        parts = cuts(data, rows, count)
        assert sorted(np.concatenate(parts)) == sorted(rows) and len(parts) == (count or 3)
        coding = data.fit_coding(rows)
        shards = CodedShards(data, coding, [*parts, np.zeros(0, int)], {}, 2.0)
        assert len({shard.shape for shard in shards}) == 1 and len(list(shards)) == len(parts) + 1
        assert sum(float(shard.weight.sum()) for shard in shards) == pytest.approx(data.weight[rows].sum() / 2)
        assert not shards[len(parts)].weight.any()
        own = data.choices(coding, parts[1])
        np.testing.assert_array_equal(shards[1].items[: len(parts[1])], own.items)
    whose = [set(both[1].units[own]) for own in cuts(both[1], np.arange(both[1].n), 4)]
    assert sum(map(len, whose)) == both[1].people  # all of a person in one shard


def test_what_is_no_table_in_files_is_refused(tmp_path, both):
    many, one = both
    paths = list(map(str, many.paths))
    with pytest.raises(DataError, match="rows of one choice are in two files"):
        Sharded([paths[0], paths[0]], SCHEMA)
    with pytest.raises(UsageError, match="at least one file"):
        Sharded([], SCHEMA)
    with pytest.raises(DataError, match="found none"):
        Sharded.of_folder(tmp_path, SCHEMA)
    for data in (many, paths):
        with pytest.raises(UsageError, match="several files is streamed"):
            faro.train(data, "demographic_parity", attribute="group")
    with pytest.raises(UsageError, match="files need a schema"):
        faro.train(paths, "demographic_parity", attribute="group", stream=True)
    with pytest.raises(UsageError, match="a shard for each"):
        faro.train(paths, "demographic_parity", attribute="group", schema=SCHEMA, stream=2)
    for settings, words in ({"solver": "exact"}, "plays the game"), ({"solution": "last"}, "best iterate alone"):
        with pytest.raises(UsageError, match=words):
            faro.train(one, "demographic_parity", attribute="group", stream=2, settings=settings)
