"""Containers that tables come in: one content is one digest, and what cannot be read is named as it was found."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import constraints as ct
import faro
from faro.data import Dataset, Schema, Sharded, load
from faro.data.containers import frame_of, read_table
from faro.errors import DataError, UsageError

N = 24
SCHEMA = Schema.from_dict(
    {
        "format": "accept",
        "unit": "who",
        "label": "hired",
        "numeric": ["scores.test", "age"],
        "categorical": ["scores.kind"],
        "vectors": ["emb"],
        "attributes": [{"name": "sex", "levels": ["F", "M"]}],
        "types": {"scores.kind": "text", "sex": "text", "who": "text"},
    }
)


def records() -> list[dict]:
    rng = np.random.default_rng(0)
    emb = rng.normal(size=(N, 2)).astype(np.float32).astype(float)
    return [
        {
            "who": f"p{i}", "scores": {"test": float(rng.normal()), "kind": "ab"[i % 2], "deep": {"x": 1}},
            "age": int(rng.integers(20, 60)), "sex": "FM"[i % 3 > 1], "hired": i % 2, "emb": emb[i].tolist(),
        }
        for i in range(N)
    ]  # fmt: skip


class Stream:
    """What polars gives and no more: a stream of Arrow batches, texts as views."""

    def __init__(self, table: pa.Table):
        views = [pa.string_view() if pa.types.is_string(field.type) else field.type for field in table.schema]
        self.table = table.cast(pa.schema(list(zip(table.schema.names, views, strict=True))))

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


class HuggingFace:
    """A table with a conversion of its own."""

    def __init__(self, frame: pd.DataFrame):
        self.frame = frame

    def to_pandas(self) -> pd.DataFrame:
        return self.frame


class Lazy:
    def collect(self):
        raise AssertionError


def lines(rows: list[dict]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_one_content_has_one_digest_in_any_container(tmp_path):
    rows = records()
    flat = pd.DataFrame([{**row, **{f"scores.{key}": value for key, value in row["scores"].items()}} for row in rows])
    expected = load(flat.drop(columns="scores"), SCHEMA)
    arrow = pa.Table.from_pylist(rows)
    arrow.to_pandas().to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + lines(rows).encode())
    (tmp_path / "a.json").write_text(json.dumps(rows, indent=1))
    with gzip.open(tmp_path / "b.json.gz", "wt") as file:
        file.write(lines(rows))
    text = flat.drop(columns=["scores", "scores.deep"]).assign(emb=flat["emb"].map(json.dumps))
    text.to_csv(tmp_path / "a.csv")  # the index is a column without a name
    spark = tmp_path / "spark"
    spark.mkdir()
    for name in ("_SUCCESS", "._SUCCESS.crc", ".part-00000.snappy.parquet.crc"):
        (spark / name).write_bytes(b"")
    for part in range(3):
        own = pa.Table.from_pylist(rows[part * 8 : part * 8 + 8]).to_pandas()
        own.to_parquet(spark / f"part-0000{part}-c3f0.snappy.parquet")
    hive = tmp_path / "hive"
    for kind in "ab":
        (hive / f"scores.kind={kind}").mkdir(parents=True)
        own = [row | {"scores": {"test": row["scores"]["test"]}} for row in rows if row["scores"]["kind"] == kind]
        (hive / f"scores.kind={kind}" / "part-0.json").write_text(lines(own))
    given = [tmp_path / "a.parquet", tmp_path / "a.jsonl", tmp_path / "a.json", tmp_path / "b.json.gz"]
    given += [tmp_path / "a.csv", spark, str(spark) + "/", arrow, Stream(arrow), pd.DataFrame(rows)]
    given += [HuggingFace(arrow.to_pandas())]
    for container in given:
        assert load(container, SCHEMA).digest == expected.digest, container
    hived = load(hive, SCHEMA)
    order = np.argsort(np.arange(N) % 2, kind="stable")
    assert hived.digest == load(flat.drop(columns="scores").iloc[order], SCHEMA).digest
    assert sorted(Sharded.of_folder(spark, SCHEMA).weight) == [1.0] * N


def test_sides_may_be_objects(tmp_path):
    rows = [{"who": i, "chosen": {"x": i, "g": "a"}, "rejected": {"x": 1, "g": "b"}} for i in range(8)]
    (tmp_path / "t.jsonl").write_text(lines(rows))
    schema = Schema.from_dict(
        {"format": "wide", "unit": "who", "numeric": ["x"], "attributes": [{"name": "g", "levels": ["a", "b"]}]}
    )
    data = load(tmp_path / "t.jsonl", schema)
    assert data.parsed.items.numeric["x"].tolist() == [[i, 1] for i in range(8)]


@pytest.mark.parametrize("nothing", [None, np.nan, pd.NA])
def test_what_is_nothing_hides_no_object_and_no_list(nothing):
    """Also in the first row, and as every writer has it."""
    frame = pd.DataFrame({"y": [0, 1, 1], "a": [nothing, {"b": 2}, {"b": 3}], "emb": [[1.0, 2.0], nothing, [3.0, 4.0]]})
    schema = Schema.from_dict(
        {"format": "accept", "unit": "row", "label": "y", "numeric": ["a.b"], "vectors": ["emb"], "on_missing": "drop"}
    )
    data = load(frame, schema)
    assert data.n == 1 and data.dropped == 2 and data.parsed.items.numeric["a.b"][0, 0] == 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.jsonl", '{"a": 1}\n{"a": 1, "b": {"c": 1, "c": 2}}\n', "line 2: the key 'c' stands twice in one object"),
        ("t.json", '[{"a": 1}, 3]', "line 1: expected a JSON object, got int"),
        ("t.jsonl", '{"a.b": 1, "a": {"b": 2}}\n', "two columns are named 'a.b'"),
        ("t.csv", "who;age\np1;1,5\n", "expected cells separated by commas, found ';' between them"),
        ("t.txt", "", r"expected a table ending in .*\.json"),
    ],
)
def test_files_that_cannot_be_read(name, content, message, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read_table(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"age": "41,5"}, r"expected a finite number, got '41,5' \(a comma in a number: write 1.5 for 1,5"),
        ({"age": "1.041,50"}, "a comma in a number"),
        ({"sex": ["F"]}, "column 'sex' holds lists; declare it under `vectors`"),
        ({"sex": {"v": "F"}}, "column 'sex', row 3: expected one value, got an object; its fields .* 'sex.v'"),
        ({"age": {"v": 3}}, "column 'age', row 3: expected one value, got an object"),
    ],
)
def test_messages_name_what_was_found(change, message):
    rows = records()
    rows[2] |= change
    with pytest.raises(DataError, match=message):
        load(pd.DataFrame(rows), SCHEMA)


def test_folders_that_are_no_table(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DataError, match=r"a folder: expected tables ending in .* found notes\.txt"):
        load(tmp_path, SCHEMA)
    (tmp_path / "part-0.csv").write_text("a,b\n1,2\n")
    (tmp_path / "part-1.csv").write_text("a,c\n1,2\n")
    with pytest.raises(DataError, match=r"part-1\.csv: lacks a column 'b', unlike part-0\.csv"):
        read_table(tmp_path)
    (tmp_path / "part-1.csv").unlink()
    with pytest.raises(UsageError, match="a table needs a schema"):
        load(tmp_path)
    with pytest.raises(UsageError, match="expected the TOML file of a schema, got a folder"):
        Schema.read(tmp_path)


def test_tables_that_are_not_one(tmp_path):
    for given, message in (
        (Lazy(), "collect"),
        ({"train": 1, "test": 2}, "a dict of train, test; choose one"),
        (3, "got a int"),
    ):
        with pytest.raises(UsageError, match=message):
            load(given, SCHEMA)
    assert frame_of("demo") is None
    with pytest.raises(UsageError, match="needs a schema"):
        load(Stream(pa.table({"a": ["b"]})))


FRAME = pd.DataFrame({"a": [1]})
CHOICES = ct.make_choices(np.zeros((4, 2, 1)), [0, 1, 0, 1])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data": CHOICES}, "got Choices, which do not say who is in which part: give the table"),
        ({"data": FRAME}, "a data frame needs a schema"),
        (
            {"data": FRAME, "schema": FRAME},
            "expected a Schema, a dictionary or the path of a TOML file, got a DataFrame",
        ),
        (
            {"attribute": ct.Attribute("g", ("a", "b"))},
            "the name of a declared attribute, 'g', got the Attribute itself",
        ),
        ({"attribute": ["g"]}, r"the name of a declared attribute, got \['g'\]"),
        ({"within": FRAME}, "within: expected the name of a declared attribute, got a DataFrame"),
        ({"of": 3}, "of: expected attribute=level, or a pair of both, got 3"),
        ({"constraint": FRAME}, "constraint: expected a name or a Constraint, got a DataFrame"),
        ({"settings": FRAME}, "settings: expected .* got a DataFrame"),
    ],
)
def test_where_a_name_is_meant_the_words_are_clear(given, message):
    if "data" not in given:
        rows = pd.DataFrame(records() * 3).assign(who=range(3 * N))
        given = {"data": load(rows, SCHEMA), **given}
    with pytest.raises(UsageError, match=message) as caught:
        faro.frontier(**given)
    assert "\n" not in str(caught.value)


def test_a_model_reads_what_a_schema_reads():
    rows = records() * 4
    for i, row in enumerate(rows):
        rows[i] = row | {"who": f"q{i}"}
    data = Dataset.from_table(pd.DataFrame(rows), SCHEMA)
    assert data.schema.types["scores.test"] == "number" and "scores" not in data.frame.columns
