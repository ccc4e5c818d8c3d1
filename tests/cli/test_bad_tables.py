"""Bad data, exit 5: one line that names file, column, row and value; nothing is written."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.builders.swept import LONG, SWEEP, TABLE, refused

pytestmark = pytest.mark.usefixtures("place")


def put(column, row, value):
    table = TABLE.astype({"weight": object, "x": object})
    table.loc[row, column] = value
    return table


BAD_TABLES = {
    "no column": (TABLE.drop(columns="x"), ["no column 'x'", "columns are"]),
    "no label column": (TABLE.drop(columns="chosen"), ["no column 'chosen'", "label"]),
    "no unit column": (TABLE.drop(columns="person"), ["no column 'person'", "unit"]),
    "unknown level": (put("group", 6, "c"), ["row 7", "no level 'c'", "declared: a, b"]),
    "NaN feature": (put("x", 3, "nan"), ["column 'x'", "row 4", "finite"]),
    "infinite feature": (put("x", 3, "inf"), ["column 'x'", "row 4", "finite"]),
    "empty feature": (put("x", 3, ""), ["column 'x'", "row 4"]),
    "no label in a choice": (put("chosen", TABLE["choice"] == 3, 0), ["choice 3", "no alternative is labelled"]),
    "two labels in a choice": (put("chosen", TABLE["choice"] == 3, 1), ["choice 3", "two"]),
    "weight in words": (put("weight", 4, "heavy"), ["column 'weight'", "row 5", "'heavy'"]),
    "negative weight": (TABLE.assign(weight=-1), ["column 'weight'", "negative"]),
    "a doubled row": (pd.concat([TABLE, TABLE.head(1)]), ["twice in choice 0"]),
    "one group": (TABLE.assign(group="a"), ["only one group"]),
    "few people": (TABLE.head(8), ["part is empty", "add people"]),
    "no rows": (TABLE.head(0), ["empty"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_tables(case, faro):
    table, words = BAD_TABLES[case]
    table.to_csv("t.csv", index=False)
    refused(faro(*SWEEP), 5, *words)


def test_a_choice_in_which_nothing_is_available(faro):
    Path("t.toml").write_text('available = "there"\n' + LONG)
    there = (TABLE["choice"] != 2).astype(int)
    TABLE.assign(there=there, chosen=TABLE["chosen"] * there).to_csv("t.csv", index=False)
    refused(faro(*SWEEP), 5, "choice 2", "no alternative is available")


def test_files_that_cannot_be_read(faro):
    TABLE.to_parquet("t.parquet")
    whole = Path("t.parquet").read_bytes()
    Path("t.parquet").write_bytes(whole[: len(whole) // 2])
    refused(faro(*SWEEP[:-1], "t.parquet"), 5, "t.parquet", "cut short or corrupt")
    refused(faro(*SWEEP[:-1], "absent.csv"), 5, "absent.csv", "no such file")
    Path("t.csv").write_text("person,choice\np1\n")
    refused(faro(*SWEEP), 5, "row 1 has 1 cells")


@pytest.mark.parametrize("name", ["swissmetro", "immigration", "adult", "compas"])
def test_a_known_data_set_that_is_not_here(name, faro):
    refused(faro("frontier", "--data", name, "--out", "out"), 5, f"faro data fetch {name}")
    refused(faro("data", "describe", name), 5, f"faro data fetch {name}")


@pytest.mark.slow
def test_damaged_models(run, faro):
    model = run / "models" / "bound01-seed0.json"
    whole = model.read_text()
    for text in ("", "{", "[]", '{"format": "other"}', whole.replace('"coding"', '"codings"')):
        model.write_text(text)
        code, out, err = faro("score", model, "t.csv")
        assert (code, out, err.count("\n")) == (5, "", 1), err
        assert "bound01-seed0" in err
    model.write_text(whole)
    tensors = model.with_suffix(".safetensors")
    tensors.write_bytes(tensors.read_bytes()[:-4])
    code, out, err = faro("score", model, "t.csv")
    assert (code, out, err.count("\n")) == (5, "", 1), err
    tensors.unlink()
    assert faro("score", model, "t.csv")[0] == 5
    code, _, err = faro("score", "nothing.json", "t.csv")
    assert code == 5
    assert "no model at nothing" in err


@pytest.mark.parametrize("name", ["frontier.csv", "traces.npz", "manifest.json"])
def test_damaged_run_folders(name, run, faro):
    whole = (run / name).read_bytes()
    for content in (b"", whole[: len(whole) // 2]):
        (run / name).write_bytes(content)
        code, out, err = faro("report", run)
        assert (code, out, err.count("\n")) == (5, "", 1), err
        assert name in err
    (run / name).unlink()
    code, _, err = faro("report", run)
    assert code == 5
    assert name in err
    assert faro("report", "nothing")[0] == 5
