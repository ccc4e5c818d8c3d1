"""Several files as one table: sources and weights of every row, and what cannot be mixed."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from faro.data import load, mixed, write_table
from faro.errors import DataError, UsageError
from tests.builders import encoders

pytestmark = pytest.mark.usefixtures("small_encoder")


@pytest.fixture
def files(tmp_path):
    """Two files of pairs, the second with prompts of the first."""
    first, second = tmp_path / "helpful.jsonl", tmp_path / "harmless.jsonl"
    write_table(pd.DataFrame(encoders.pairs(60)), first)
    write_table(
        pd.DataFrame(encoders.pairs(60, seed=1)).assign(prompt=[r["prompt"] for r in encoders.pairs(60)]), second
    )
    return first, second


def test_rows_have_their_files_name_and_weight(files):
    first, second = files
    table = mixed({first: 1, second: 0.5})
    assert table["source"].tolist() == ["helpful"] * 60 + ["harmless"] * 60
    assert "weight" not in mixed({first: 1, second: 1})
    data = load(table)
    assert data.weight.tolist() == [1.0] * 60 + [0.5] * 60
    assert data.attributes["source"].levels == ("harmless", "helpful") and data.attributes["source"].chooser
    assert data.people == load(pd.read_json(first, lines=True)).people  # prompts that both have are one unit
    names = dict(zip(data.units, data.parts(0), strict=True))
    assert all(names[unit] == part for unit, part in zip(data.units, data.parts(0), strict=True))


def test_a_weight_that_rows_have_is_multiplied(files):
    first, second = files
    weighed = pd.read_json(second, lines=True).assign(weight=3)
    write_table(weighed, second)
    write_table(pd.read_json(first, lines=True).assign(weight=2.0), first)
    assert set(mixed({first: 1, second: 0.5})["weight"]) == {2.0, 1.5}
    write_table(weighed.assign(weight=-1), second)
    with pytest.raises(
        DataError, match=r"harmless.jsonl: column 'weight', row 1: expected a weight that is not negative"
    ):
        mixed({first: 1, second: 1})


def test_names_that_two_files_share_are_their_paths(files, tmp_path):
    other = tmp_path / "other" / "helpful.jsonl"
    other.parent.mkdir()
    write_table(pd.read_json(files[1], lines=True), other)
    assert set(mixed({files[0]: 1, other: 1})["source"]) == {str(files[0]), str(other)}


def test_what_cannot_be_mixed_is_said(files):
    first, second = files
    with pytest.raises(UsageError, match="expected two files or more, got 1"):
        mixed({first: 1})
    for weight in (0, -1, np.inf, "2", True):
        with pytest.raises(UsageError, match="expected a weight above 0"):
            mixed({first: 1, second: weight})
    with pytest.raises(UsageError, match="given twice"):
        mixed({first: 1, first.parent / ".." / first.parent.name / first.name: 1})
    table = pd.read_json(second, lines=True)
    write_table(table.assign(margin=1), second)
    with pytest.raises(DataError, match=r"helpful.jsonl: no column 'margin', which .*harmless.jsonl has"):
        mixed({first: 1, second: 1})
    write_table(table.assign(source="web"), second)
    with pytest.raises(DataError, match=r"harmless.jsonl: has a column 'source' already"):
        mixed({first: 1, second: 1})


def test_the_command_writes_one_table(faro, files, tmp_path):
    first, second = files
    out = tmp_path / "both.jsonl"
    code, said, _ = faro("mix", first, f"{second}=0.5", "--out", out)
    assert code == 0 and "helpful 60, harmless 60 rows" in said
    pd.testing.assert_frame_equal(
        load(str(out)).frame[["source", "weight"]],
        mixed({first: 1, second: 0.5})[["source", "weight"]],
        check_dtype=False,
    )
    code, said, _ = faro("mix", first, second, "--out", out, "--json")
    assert json.loads(said)["rows"] == {"helpful": 60, "harmless": 60}
    messages = pd.DataFrame({"chosen": [[{"role": "user", "content": "the cat"}]]})
    with pytest.raises(UsageError, match=r"column 'chosen' holds objects, and CSV has none; write .jsonl or .parquet"):
        write_table(messages, tmp_path / "messages.csv")
    for words in ((first, first), (first, f"{second}=half"), (first,)):
        assert faro("mix", *words, "--out", out)[0] == 2
    assert faro("mix", first, tmp_path / "none.jsonl", "--out", out)[0] == 5


@pytest.mark.slow
def test_a_frontier_shows_figures_of_each_source(faro, files, tmp_path):
    first, second = files
    write_table(pd.DataFrame(encoders.pairs(400)), first)
    write_table(pd.DataFrame(encoders.pairs(400, seed=1)), second)
    out = tmp_path / "both.jsonl"
    assert faro("mix", first, f"{second}=0.5", "--out", out)[0] == 0
    words = ("--data", out, "--pairs", "products", "--bounds", "0.3", "--seeds", 2, "--set", "steps=20")
    code, said, err = faro("frontier", *words, "--out", tmp_path / "run")
    assert code in (0, 3), err
    assert "harmless" in said and "sources.csv" in said
    table = pd.read_csv(tmp_path / "run" / "sources.csv")
    assert set(table["source"]) == {"helpful", "harmless", "all"} and set(table["seed"]) == {"0", "1", "mean"}
    assert table["accuracy"].between(table["accuracy_low"], table["accuracy_high"]).all()
    assert "Each source" in (tmp_path / "run" / "report.html").read_text("utf-8")
    code, said, err = faro("score", tmp_path / "run" / "models" / "bound00-seed0.json", out, "--by", "source", "--json")
    assert code == 0 and [record["source"] for record in json.loads(said)] == ["harmless", "helpful", "all"]
