"""Tables: one content whatever the container, damaged files named in one line, equal cells read the same."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from faro.data import AttributeSpec, Dataset, Schema, read_table, write_table
from faro.data.table import content_digest, quoted, row_digests, text, vectors
from faro.errors import DataError, UsageError

SCHEMA = Schema(
    unit="who",
    choice=("task",),
    alternative="alt",
    label="y",
    numeric=("x", "n"),
    categorical=("colour",),
    vectors=("emb",),
    context_numeric=("age",),
    attributes=(AttributeSpec(name="colour", levels=("red", "None", "007")),),
)


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "who": [7, 7, 8, 8],
            "task": ["a", "a", "b", "b"],
            "alt": ["1", "2", "1", "2"],
            "y": [1, 0, 0, 1],
            "x": [0.1, -1e-7, 12.0, 1 / 3],
            "n": [1, 2, 3, 4],
            "colour": ["red", "None", "007", "red"],
            "emb": [[0.5, 0.25], [1.0, 0.1], [0.0, 2.0], [3.0, 4.0]],
            "age": [30, 30, 41, 41],
        }
    )


def write(kind: str, folder: Path) -> Path:
    path, table = folder / f"table{kind}", frame()
    if kind == ".parquet":
        table.to_parquet(path)
    elif kind.startswith(".jsonl"):
        lines = "".join(json.dumps(record) + "\n" for record in table.to_dict("records"))
        path.write_bytes(gzip.compress(lines.encode()) if kind.endswith(".gz") else lines.encode())
    else:
        table.assign(emb=[str(vector) for vector in table["emb"]]).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("kind", [".csv", ".csv.gz", ".parquet", ".jsonl", ".jsonl.gz"])
def test_every_container_gives_the_same_digest_and_choices(kind, tmp_path):
    reference = Dataset.from_table(frame(), SCHEMA)
    read = Dataset.from_table(write(kind, tmp_path), SCHEMA)
    assert read.digest == reference.digest
    assert read.units.tolist() == ["7", "8"] and read.choice_ids.tolist() == ["a", "b"]
    coding = reference.fit_coding()
    assert read.fit_coding() == coding
    expected, got = reference.choices(coding), read.choices(coding)
    np.testing.assert_array_equal(got.items, expected.items)
    np.testing.assert_array_equal(got.context, expected.context)
    np.testing.assert_array_equal(got.attributes["colour"], [[0, 1], [2, 0]])


def test_digest_sees_every_cell_and_no_other_column():
    reference = Dataset.from_table(frame(), SCHEMA).digest
    assert Dataset.from_table(frame().assign(other=1), SCHEMA).digest == reference
    for column, value in {"x": 0.2, "n": 9, "colour": "007", "age": 31, "y": 0.5, "emb": [1.0, 0.0]}.items():
        changed = frame().astype(object)
        for row in (0, 1) if column in ("age", "y") else (0,):
            changed.at[row, column] = value
        assert Dataset.from_table(changed, SCHEMA).digest != reference, column


def test_cells_read_the_same_from_text_and_numbers():
    assert {text(12), text("12"), text(12.0), text(" 12.0 "), text(np.int8(12)), text(np.float32(12))} == {"12"}
    assert text("007") == "007" and text("1.50") == "1.50" and text(0.1) == "0.1" and text(np.float32(0.1)) == "0.1"
    assert text(None) == text(float("nan")) == text(pd.NA) == "" and text("None") == "None" and text("nan") == "nan"
    columns = [pd.Series(v) for v in ([12, 5], ["12", "5"], [12.0, 5.0], ["12.0", "5.0"])]
    assert len({content_digest(pd.DataFrame({"a": column}), ["a"]) for column in columns}) == 1


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_columns_of_numbers_read_as_their_cells_do(dtype):
    """Written by arrow, and where arrow would write another text, by Python."""
    rng = np.random.default_rng(0)
    numbers = (rng.normal(size=4000) * 10.0 ** rng.integers(-20, 20, 4000)).astype(dtype)
    special = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-4, 9.99e-5, 1e10, 1e15, 1e16, 1e22, 5e-324], dtype)
    column = pd.Series(np.concatenate([special, numbers, np.arange(-50, 50), np.round(numbers, 2)]).astype(dtype))
    plain = [text(0.0 if value == 0 else value) for value in column.to_numpy(np.float64)]
    assert quoted(column).to_pylist() == [json.dumps(value) for value in plain]
    assert quoted(column.astype(object)).to_pylist() == [json.dumps(value) for value in plain]
    assert quoted(column[:0]).to_pylist() == []


def test_row_digests_are_of_the_row_as_json(monkeypatch):
    monkeypatch.setattr("faro.data.table.BLOCK", 2)
    table = pd.DataFrame({"b": [1.5, 2.0, None], "a": ['x"é', "007", None], "v": [[1.0], [2.0], [3.0]]})
    rows = ['["x\\"\\u00e9", "1.5"]', '["007", "2"]', '["", ""]']
    with_vectors = [row.encode() + np.array(v, "<f4").tobytes() for row, v in zip(rows, table["v"], strict=True)]
    for columns, arrays, contents in ((["a", "b"], ["v"], with_vectors), (["a", "b"], [], [r.encode() for r in rows])):
        expected = [hashlib.blake2b(content, digest_size=16).digest() for content in contents]
        assert row_digests(table, columns, arrays) == expected
    nothing = [hashlib.blake2b(b"[]" + np.array(v, "<f4").tobytes(), digest_size=16).digest() for v in table["v"]]
    assert row_digests(table, [], ["v"]) == nothing


def test_csv_cells_stay_text(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(" id , level\n007, None\nNA , \n")
    assert read_table(path).to_dict("list") == {"id": ["007", "NA"], "level": ["None", ""]}


def damaged(folder: Path) -> dict[str, Path]:
    files = {}
    for kind in (".parquet", ".csv.gz", ".jsonl.gz"):
        whole = write(kind, folder).read_bytes()
        files[f"cut{kind}"] = folder / f"cut{kind}"
        files[f"cut{kind}"].write_bytes(whole[: len(whole) // 2])
    contents = {
        "noise.parquet": b"PAR1 not at all",
        "noise.csv.gz": b"\x1f\x8bnonsense",
        "plain.csv.gz": b"a,b\n1,2\n",
        "bad.jsonl": b'{"a": 1}\n{"a": \n',
        "list.jsonl": b"[1, 2]\n",
        "empty.csv": b"",
        "header.csv": b"a,b\n",
        "short.csv": b"a,b\n1,2\n3\n",
        "long.csv": b"a,b\n1,2,3\n",
        "latin.csv": "a,b\n1,\xe9\n".encode("latin-1"),
        "twice.csv": b"a,b,a\n1,2,3\n",
        "quote.csv": b'a,b\n1,"2\n',
        "table.xlsx": b"",
    }
    for name, content in contents.items():
        files[name] = folder / name
        files[name].write_bytes(content)
    return files | {"absent.csv": folder / "absent.csv"}


def test_damaged_files_are_one_line_errors_that_name_the_file(tmp_path):
    for name, path in damaged(tmp_path).items():
        with pytest.raises(DataError) as caught:
            print(name, read_table(path))
        assert name in str(caught.value) and "\n" not in str(caught.value), name


def test_gzip_with_a_broken_checksum(tmp_path):
    packed = bytearray(gzip.compress(b"a,b\n" + b"1,2\n" * 1000))
    packed[-6] ^= 255
    (tmp_path / "t.csv.gz").write_bytes(packed)
    with pytest.raises(DataError, match="corrupt"):
        read_table(tmp_path / "t.csv.gz")


TOML = """
format = "long"
choice = "task"
alternative = "alt"
label = "y"
unit = "who"
numeric = ["x", "n"]
categorical = ["colour"]
vectors = ["emb"]
context_numeric = ["age"]

[[attributes]]
name = "colour"
levels = ["red", "None", "007"]

[[twins]]
attribute = "colour"
origin = "painted over"

[[twins.only]]
column = "colour"
equals = "red"
levels = ["red", "None"]
"""


def test_schema_from_toml_and_json(tmp_path):
    path = tmp_path / "schema.toml"
    path.write_text(TOML)
    schema = Schema.read(path)
    assert schema.replace(twins=()) == SCHEMA
    assert schema.twins[0].only[0].levels == ("red", "None")
    assert Schema.from_json(schema.to_json()) == schema


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("format =", "formatt ="), "unknown key 'formatt'"),
        (('"long"', '"tall"'), "format is one of"),
        (("origin =", "orgin ="), "unknown key 'orgin'"),
        (('equals = "red"', "equals = 3"), "expected a str"),
        (('numeric = ["x", "n"]', "numeric = [1]"), "expected a list of strings"),
        (('unit = "who"', ""), "'unit' is needed"),
        (('unit = "who"', "unit = ["), "not TOML"),
        (('categorical = ["colour"]', ""), "no categorical feature"),
        (('"007"]\n\n[[twins', '"red"]\n\n[[twins'), "different levels"),
        (('attribute = "colour"', 'attribute = "size"'), "unknown attribute 'size'"),
        (('levels = ["red", "None"]\n', 'levels = ["blue"]\n'), "undeclared level 'blue'"),
        (('numeric = ["x", "n"]', 'numeric = ["x", "y"]'), "cannot be a feature"),
        (('numeric = ["x", "n"]', 'numeric = ["x", "x"]'), "declared twice"),
    ],
)
def test_schema_mistakes_are_usage_errors(change, message, tmp_path):
    path = tmp_path / "schema.toml"
    assert change[0] in TOML
    path.write_text(TOML.replace(*change))
    with pytest.raises(UsageError, match=message) as caught:
        Schema.read(path)
    assert "\n" not in str(caught.value)


def test_schema_file_absent(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        Schema.read(tmp_path / "none.toml")


@pytest.mark.parametrize("kind", [".csv", ".csv.gz", ".parquet", ".jsonl", ".jsonl.gz"])
def test_what_is_written_is_read(kind, tmp_path):
    table = pd.DataFrame({"id": ["007", "b"], "x": [1 / 3, np.nan], "n": [1, 2], "share": np.float32([0.1, 0.2])})
    write_table(table, tmp_path / f"t{kind}")
    write_table(table, tmp_path / f"t{kind}")
    read = read_table(tmp_path / f"t{kind}")
    columns = ["id", "x", "n"]
    assert content_digest(read, columns) == content_digest(table, columns) and [*read.columns] == [*table.columns]
    assert [path.name for path in tmp_path.iterdir()] == [f"t{kind}"]


@pytest.mark.parametrize("kind", [".csv", ".parquet", ".jsonl"])
def test_a_carriage_return_ends_no_line(kind, tmp_path):
    table = pd.DataFrame({"said": ["a\rb", 'say "no",\nthen', "c"], "x": [1.5, 2.0, None]})
    write_table(table, tmp_path / f"t{kind}")
    read = read_table(tmp_path / f"t{kind}")
    assert list(read["said"]) == list(table["said"])
    assert content_digest(read, ["said", "x"]) == content_digest(table, ["said", "x"])


@pytest.mark.parametrize("kind", [".csv", ".parquet", ".jsonl"])
def test_cells_that_a_container_has_no_word_for(kind, tmp_path):
    """Dates in JSON, numbers beside texts in Parquet, lists in CSV: what typed containers hold once they are mixed."""
    day = pd.Timestamp("2026-11-28")
    table = pd.DataFrame({"when": [day, day], "mixed": [1.0, "a"], "emb": list(np.arange(4000.0).reshape(2, 2000))})
    table = pd.concat([table.assign(when=table["when"].astype(object)), table.assign(when=["2026-11-28"] * 2)])
    write_table(table, tmp_path / f"t{kind}")
    read = read_table(tmp_path / f"t{kind}")
    assert [cell.removesuffix("T00:00:00").removesuffix(" 00:00:00") for cell in map(str, read["when"])] == [
        "2026-11-28"
    ] * 4
    assert [str(cell).removesuffix(".0") for cell in read["mixed"]] == ["1", "a"] * 2
    np.testing.assert_array_equal(vectors(read["emb"]), vectors(table["emb"]))


def test_lists_that_a_container_has_not_are_refused(tmp_path):
    with pytest.raises(UsageError, match="column 'a' holds lists of texts, and CSV has none"):
        write_table(pd.DataFrame({"a": [["x", "y"]]}), tmp_path / "t.csv")
    with pytest.raises(UsageError, match="column 'a' holds lists or objects and other cells too, and Parquet has one"):
        write_table(pd.DataFrame({"a": [["x", "y"], "z"]}), tmp_path / "t.parquet")
    assert not [*tmp_path.iterdir()]


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(UsageError, match="ends in"):
        write_table(frame(), tmp_path / "t.txt")
    with pytest.raises(DataError, match="cannot be written"):
        write_table(frame(), tmp_path / "no" / "t.csv")
