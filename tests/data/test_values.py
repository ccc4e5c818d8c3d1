"""One reading of cells: a table has one digest and one coding whatever container and program it came from."""

from __future__ import annotations

import datetime
import decimal
import json
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from faro.data import AttributeSpec, Dataset, Schema, read_table
from faro.data.values import canonical, infer, numbers, quoted, read, shortest
from faro.errors import UsageError

SCHEMA = Schema(
    format="accept",
    unit="person",
    label="hired",
    positive="TRUE",
    weight="w",
    numeric=("score", "price", "count"),
    categorical=("zip", "member", "since", "grade"),
    attributes=(
        AttributeSpec(name="zip", levels=("02139", "2139", "1.10", "1.1", "NO", "No")),
        AttributeSpec(name="member", levels=("false", "true")),
        AttributeSpec(name="grade", levels=("1", "2.50", "3"), others="exclude"),
    ),
    missing=("NA", "-99.9"),
    on_missing="level",
    types={"zip": "text", "member": "boolean", "since": "date", "grade": "number", "hired": "boolean"},
)
WRITERS = (
    "pandas.csv",
    "R.csv",
    "spark.csv",
    "typed.parquet",
    "upcast.parquet",
    "objects",
    "pandas.jsonl",
    "text.jsonl",
)


def people(seed: int, n: int = 120) -> list[dict]:
    """Rows as Python means them; None is missing."""
    rng = np.random.default_rng(seed)

    def gappy(value):
        return None if rng.random() < 0.1 else value

    return [
        {
            "person": int(rng.integers(1, 60)) if seed % 2 else int(rng.integers(1, 60)) + 2**53,
            "hired": bool(rng.integers(2)),
            "w": float(rng.integers(1, 5)) / 2,
            "score": gappy(np.float32(rng.normal())),
            "price": gappy(decimal.Decimal(int(rng.integers(0, 10**6))).scaleb(-2)),
            "count": gappy(int(rng.integers(0, 3)) * 100_000),
            "zip": str(rng.choice(["02139", "2139", "1.10", "1.1", "NO", "No"])),
            "member": bool(rng.integers(2)),
            "since": gappy(datetime.date(2020, 1, 1) + datetime.timedelta(int(rng.integers(9)))),
            "grade": [1.0, 2.5, 3.0, 1e17][rng.integers(4)],
        }
        for _ in range(n)
    ]


def spelled(value, program: str) -> str:
    """A value as a program writes it into a CSV file."""
    if value is None:
        return "NA" if program == "R" else ""
    if isinstance(value, bool):
        return {"pandas": str(value), "R": str(value).upper(), "spark": str(value).lower()}[program]
    if isinstance(value, int) and program == "R" and value == 100_000:
        return "1e+05"
    if isinstance(value, float) and program == "R":
        return f"{value:.15g}"
    if isinstance(value, float) and program == "spark" and abs(value) >= 1e7:
        return repr(value).replace("e+", "E")
    if isinstance(value, int) and program == "pandas" and 0 < value < 10**6:
        return f"{value}.0"  # a column of whole numbers with a gap is one of floats
    return str(value)


def write(rows: list[dict], writer: str, folder: Path) -> Path | pd.DataFrame:
    path, program = folder / writer, writer.split(".")[0]
    if writer.endswith(".csv"):
        cells = [{name: spelled(value, program) for name, value in row.items()} for row in rows]
        pd.DataFrame(cells).to_csv(path, index=False)
    elif writer.endswith(".jsonl"):
        text = writer == "text.jsonl"
        plain = [
            {
                name: value if isinstance(value, bool | int | None) and not text else None if value is None
                else str(value) if text or not isinstance(value, float | np.floating) else float(str(value))
                for name, value in row.items()
            }
            for row in rows
        ]  # fmt: skip
        path.write_text("".join(json.dumps(row) + "\n" for row in plain))
    elif writer == "objects":
        return pd.DataFrame(rows, dtype=object)
    else:
        frame = pd.DataFrame(rows)
        frame["score"] = pd.Series([row["score"] for row in rows], dtype="float32")
        if writer == "typed.parquet":
            frame["count"] = frame["count"].astype("Int32")
            frame["person"] = frame["person"].astype("int64")
            frame["grade"] = frame["grade"].astype("category")
        else:
            frame["since"] = pd.to_datetime(frame["since"])
            frame["price"] = frame["price"].astype(float)
            frame["zip"] = frame["zip"].astype("category")
        frame.to_parquet(path)
    return path


def content(data: Dataset) -> list:
    parsed = data.parsed
    coding = data.fit_coding()
    items = coding.items.transform(parsed.items, np.float64)
    return [data.digest, coding, items.tobytes(), parsed.chosen.tobytes(), parsed.weight.tobytes(),
            data.units.tolist(), {name: codes.tolist() for name, codes in parsed.attributes.items()}]  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_one_table_has_one_digest_and_one_coding(seed, tmp_path):
    """Property: containers by spellings of booleans, decimals, whole numbers, dates and gaps."""
    rows = people(seed)
    expected = content(Dataset.from_table(write(rows, "objects", tmp_path), SCHEMA))
    for writer in WRITERS:
        found = content(Dataset.from_table(write(rows, writer, tmp_path), SCHEMA))
        assert found == expected, writer
    assert expected[1].items.levels[0].levels == ("02139", "1.1", "1.10", "2139", "NO", "No")


def test_a_changed_cell_is_another_digest(tmp_path):
    """Control: what differs is told apart."""
    rows = people(1)
    reference = Dataset.from_table(write(rows, "R.csv", tmp_path), SCHEMA).digest
    other = {"zip": ("NO", "No")[rows[3]["zip"] == "NO"], "member": not rows[3]["member"], "count": 7}
    other |= {"since": datetime.date(2021, 1, 1), "score": np.float32(0.125), "person": 999}
    for name, value in other.items():
        changed = [dict(row) for row in rows]
        changed[3][name] = value
        assert Dataset.from_table(write(changed, "R.csv", tmp_path), SCHEMA).digest != reference, name


FORMS = [
    ("number", "12", [12, 12.0, "12", "12.0", "012.00", "+12", "1.2e1", "1.2E1", decimal.Decimal("12.0"), np.int8(12)]),
    ("number", "0.1", [0.1, np.float32(0.1), np.float16(0.1), "0.10", ".1", "1e-1", decimal.Decimal("0.1")]),
    ("number", "0", [0, -0.0, "-0", "0e5", False, "false", "FALSE"]),
    ("number", "9007199254740993", [2**53 + 1, "9007199254740993", decimal.Decimal(2**53 + 1)]),
    ("number", "1e+300", [1e300, "1e300", "1.0E300", 10**300, decimal.Decimal("1e300")]),
    ("number", "-99.9", [-99.9, "-99.90", "-99.9", np.float32(-99.9)]),
    ("boolean", "True", [True, np.True_, "TRUE", "true", "True", "T", 1, 1.0, "1", "1.0"]),
    ("boolean", "False", [False, "FALSE", "false", "F", 0, "0.0", -0.0]),
    ("date", "2024-02-29", ["2024-02-29", datetime.date(2024, 2, 29), pd.Timestamp("2024-02-29"),
                            "2024-02-29 00:00:00", "2024-02-29T00:00:00.000", np.datetime64("2024-02-29")]),
    ("date", "2024-02-29T22:30:00Z", ["2024-03-01T00:30:00+02:00", "2024-02-29T22:30:00.000Z",
                                      "2024-02-29 22:30:00 UTC", pd.Timestamp("2024-02-29 22:30", tz="UTC")]),
    ("text", "caf\u00e9", ["caf\u00e9", "cafe\u0301", " caf\u00e9\u00a0", "caf\u00e9".encode()]),
    ("text", "12", [12, 12.0, "12", decimal.Decimal("12.0"), np.float32(12)]),
    ("text", "True", [True, "True", np.True_]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "form", "values"), FORMS, ids=lambda value: value if isinstance(value, str) else "")
def test_forms(kind, form, values):
    assert {canonical(value, kind) for value in values} == {form}


def test_texts_are_no_numbers():
    apart = [
        "02139",
        "2139",
        "2139.0",
        "1.10",
        "1.1",
        "NO",
        "No",
        "TRUE",
        "true",
        "True",
        "x\u00b2",
        "x2",
        "\u2460",
        "1",
    ]
    assert [canonical(value, "text") for value in apart] == apart


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("number", ["", "abc", "1_0", "nan", "inf", "1e400", "0x1A", "1,5", datetime.date(2024, 1, 1), 10**400]),
        ("boolean", ["yes", "2", 0.5, "", "no"]),
        ("date", ["31/01/2024", "2024-02-30", 20240131, "20240131", "yesterday", True]),
        ("text", ["\ud800", b"\xff"]),
    ],
)
def test_cells_of_another_type(kind, values):
    for value in values:
        with pytest.raises(ValueError):  # of which UnicodeDecodeError is one
            print(value, canonical(value, kind))


def test_single_precision_is_its_shortest_decimal():
    """Every float32 and float16 reads as the decimal that a CSV file shows."""
    bits = np.random.default_rng(0).integers(0, 2**32, 20_000, dtype=np.uint32)
    single = bits.view(np.float32)
    single = np.append(single[np.isfinite(single)], np.float32([0.1, -0.0, 1e-45, 3.4e38, 16777216.0]))
    expected = np.array([float(str(value)) for value in single])
    np.testing.assert_array_equal(shortest(pd.Series(single)).to_numpy(), expected)
    half = np.arange(2**16, dtype=np.uint16).view(np.float16)
    half = half[np.isfinite(half)]
    np.testing.assert_array_equal(shortest(pd.Series(half)).to_numpy(), [float(str(value)) for value in half])


def test_columns_are_written_as_their_cells():
    """Floats by arrow, or one by one: the same texts."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=3000) * 10.0 ** rng.integers(-20, 25, 3000)
    special = [0.0, -0.0, np.nan, 1e-4, 9.99e-5, 1e10, 1e15, 1e16, 1e19, 1e20, 1e22, 5e-324, -99.9, 2.0**53]
    column = pd.Series(np.concatenate([special, values, np.round(values, 2), np.arange(-9, 9)]))
    one_by_one = quoted(column.astype(object), "number", ("-99.9",))
    assert quoted(column, "number", ("-99.9",)).to_pylist() == one_by_one.to_pylist()
    assert quoted(column, "number", ("?",))[2].as_py() == '"?"'  # whatever a container has for a gap


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([1, 2], "number"), ([1.5, None], "number"), ([True, None], "boolean"), (["1", "2"], "text"),
        ([1, "2"], "text"), ([True, 1], "text"), ([datetime.date(2024, 1, 1)], "date"),
        ([decimal.Decimal("1.0")], "number"), ([None], "text"),
    ],
)  # fmt: skip
def test_an_undeclared_column_has_the_type_of_its_container(cells, kind):
    assert infer([pd.Series(cells, dtype=object)]) == kind
    if cells != [True, 1]:  # pandas takes the two for one category
        assert infer([pd.Series(cells, dtype=object).astype("category")]) == kind
    assert infer([pd.Series(cells, dtype=object), pd.Series(["a"])]) == "text"


def test_levels_that_are_no_numbers_keep_a_column_text():
    assert infer([pd.Series([1, 2])], ("1", "2", "other")) == "text"
    assert read(pd.Series([1, 2.0], dtype=object), "text").values.tolist() == ["1", "2"]


def test_true_is_not_one_in_a_column_of_both():
    assert read(pd.Series([True, 1, "1", False, 0.0], dtype=object), "text").values.tolist() == [
        "True", "1", "1", "False", "0"
    ]  # fmt: skip


def test_missing_words_are_compared_by_type():
    column = pd.Series(["-99.90", "-99.9", "NA", "", "1"])
    assert read(column, "text", ("-99.9", "NA")).missing.tolist() == [False, True, True, True, False]
    assert read(column, "number", ("-99.9", "NA")).missing.tolist() == [True, True, True, True, False]
    assert numbers(column, "number", ("-99.9", "NA"))[1].tolist() == [True, True, True, True, False]
    assert numbers(pd.Series([-99.9, 1.0]), "number", ("-99.90",))[1].tolist() == [True, False]


@pytest.mark.parametrize(
    ("levels", "kind"), [(("02139", "2139"), "number"), (("1.10", "1.1"), "number"), (("TRUE", "true"), "boolean")]
)
def test_levels_that_meet_are_refused_by_name(levels, kind):
    spec = AttributeSpec(name="g", levels=levels)
    schema = Schema(format="accept", unit="row", label="y", numeric=("x",), attributes=(spec,))
    assert schema.attribute("g").levels == levels
    with pytest.raises(UsageError, match=f"'{levels[0]}' and '{levels[1]}' are one"):
        schema.replace(types={"g": kind})


def test_two_encodings_of_one_level_meet():
    with pytest.raises(UsageError, match="are one"):
        AttributeSpec(name="g", levels=("caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9")))


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ({"zip": "words"}, "one of text, number"),
        ({"nowhere": "text"}, "types names 'nowhere'"),
        ({"score": "text"}, "read as numbers"),
        ({"since": "number", "member": "date"}, "got 'False'"),
    ],
)
def test_mistakes_in_types(types, message):
    with pytest.raises(UsageError, match=message):
        SCHEMA.replace(types=types)


def test_types_in_toml(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text('unit = "p"\nformat = "accept"\nlabel = "y"\ncategorical = ["zip"]\n[types]\nzip = "number"\n')
    schema = Schema.read(path)
    assert schema.types == {"zip": "number"} and Schema.from_json(schema.to_json()) == schema
    path.write_text('unit = "p"\nformat = "accept"\nlabel = "y"\ncategorical = ["zip"]\ntypes = ["zip"]\n')
    with pytest.raises(UsageError, match="table of strings"):
        Schema.read(path)


def test_column_names_are_canonical(tmp_path):
    (tmp_path / "t.csv").write_text(unicodedata.normalize("NFD", "caf\u00e9") + ",x\n1,2\n")
    assert list(read_table(tmp_path / "t.csv").columns) == ["caf\u00e9", "x"]
