"""A jury of scored tables: of twins and of several tables alike, certified as a law of its own, refusals."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from faro.certify.rules import decisions, served
from faro.cli import main
from faro.data.decided import read_decided
from faro.transfer import juries


def twins(outside: bool = False) -> pd.DataFrame:
    """Fifty choices of three, rewards of two levels of region, and which of them chose."""
    rng = np.random.default_rng(0)
    rows = 150
    frame = pd.DataFrame(
        {
            "unit": np.repeat([f"u{person}" for person in range(50)], 3),
            "choice": np.repeat(np.arange(50), 3),
            "alternative": np.tile(["a", "b", "c"], 50),
            "region": np.repeat(np.where(np.arange(50) % 2, "north", "south"), 3),
            "label": np.tile([1.0, 0.0, 0.0], 50),
            "reward": rng.standard_normal(rows),
            "decision": 0.0,
            "reward:region=north": rng.standard_normal(rows),
            "reward:region=south": rng.standard_normal(rows),
        }
    )
    return frame.assign(outside=1) if outside else frame


def test_a_jury_that_decides_for_nobody_where_nobody_was_chosen_is_right(tmp_path, capsys):
    frame = twins(outside=True)
    frame["label"] = np.repeat(np.arange(50) % 2, 3) * np.tile([1.0, 0.0, 0.0], 50)
    for level in ("north", "south"):
        frame[f"reward:region={level}"] = 2 * frame["label"] - 1  # none of them beats the outside option, or the chosen
    frame.to_csv(tmp_path / "scored.csv", index=False)
    given = ["jury", str(tmp_path / "scored.csv"), "--of", "region", "--weights", "north=.6,south=.4"]
    assert main([*given, "--out", str(tmp_path / "jury.csv"), "--json"]) == 0
    assert [row["right"] for row in json.loads(capsys.readouterr().out)["rows"]] == [1.0] * 4


@pytest.mark.parametrize("outside", [False, True])
@pytest.mark.parametrize("rule", ["argmax", "softmax(temperature=0.5)"])
def test_a_juror_is_drawn_by_seats_and_the_table_says_the_law(tmp_path, capsys, outside, rule):
    frame = twins(outside)
    frame.to_csv(tmp_path / "scored.csv", index=False)
    given = ["jury", str(tmp_path / "scored.csv"), "--of", "region", "--weights", "north=.6,south=.4", "--rule", rule]
    assert main([*given, "--out", str(tmp_path / "jury.csv"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    out = pd.read_csv(tmp_path / "jury.csv")
    scale = 1e6 if rule == "argmax" else 2
    laws = {}
    for level in ("north", "south"):
        rewards = scale * frame[f"reward:region={level}"].to_numpy().reshape(50, 3)
        whole = np.concatenate([rewards, np.zeros((50, 1))], 1) if outside else rewards
        powers = np.exp(whole - whole.max(1, keepdims=True))
        laws[level] = (powers / powers.sum(1, keepdims=True))[:, :3].ravel()
        assert out[f"decision:{level}"].to_numpy() == pytest.approx(laws[level], abs=1e-6)
    mixed = 0.6 * laws["north"] + 0.4 * laws["south"]
    assert out["decision"].to_numpy() == pytest.approx(mixed, abs=1e-6)
    assert not {"reward:region=north", "reward:region=south"} & set(out)
    law = served(juries.RULE, "enumerated")
    again = decisions(law, out["reward"].to_numpy(), out["choice"].to_numpy(), np.full(150, outside), 0.0, None)
    assert again == pytest.approx(out["decision"].to_numpy(), abs=1e-9)
    by_name = {row["who"]: row for row in record["rows"]}
    assert by_name["a juror drawn"]["right"] == pytest.approx(mixed[::3].mean(), abs=1e-6)
    assert by_name["north"]["of"]["north"] == pytest.approx(laws["north"].reshape(50, 3)[1::2, 0].mean(), abs=1e-6)


def test_tables_of_each_group_in_any_order_say_the_same(tmp_path, capsys):
    frame = twins()
    read = read_decided(frame)
    by_twins = juries.of_twins(read, "region")
    for level, of in by_twins.items():
        table = frame.drop(columns=[name for name in frame if name.startswith("reward:")])
        own = table.assign(decision=read.flat(of)).sample(frac=1, random_state=0)
        own.to_csv(tmp_path / f"{level}.csv", index=False)
    tables = [f"{level}={tmp_path / level}.csv" for level in by_twins]
    assert main(["jury", *tables, "--weights", "north=.5,south=.5", "--of", "region"]) == 0
    said = capsys.readouterr().out
    assert "people of north" in said and max(map(len, said.splitlines())) <= 80
    of_tables = juries.of_tables({level: read_decided(tmp_path / f"{level}.csv") for level in by_twins})
    first = read_decided(tmp_path / "north.csv")
    for level, of in of_tables.items():
        row = pd.DataFrame({"choice": first.frame["choice"].astype(int), "alternative": first.frame["alternative"]})
        found = row.assign(decision=first.flat(of)).sort_values(["choice", "alternative"])["decision"]
        assert found.to_numpy() == pytest.approx(read.flat(by_twins[level]))


def test_a_name_is_its_text_whatever_the_container_makes_of_it():
    table = pd.DataFrame({"unit": [1, 1, 2, 2], "choice": [1, 1, 2, 2], "alternative": [1, 2, 1, 2]})
    whole = table.assign(decision=[0.5, 0.5, 0.25, 0.75])
    found = juries.of_tables({"a": read_decided(whole), "b": read_decided(whole.iloc[::-1].astype(float))})
    np.testing.assert_array_equal(found["a"], found["b"])


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        (["scored.csv", "--weights", "north=1"], 2, "expected --of"),
        (["scored.csv", "--of", "age", "--weights", "north=1"], 5, "--twins age"),
        (["scored.csv", "--of", "region", "--weights", "north=.5"], 2, "add up to 1"),
        (["scored.csv", "--of", "region", "--weights", "north"], 2, "expected NAME=SHARE"),
        (["scored.csv", "--of", "region", "--weights", "west=1"], 2, "unknown group"),
        (["scored.csv", "--of", "region", "--weights", "north=1", "--rule", "best_of(n=2)"], 2, "expected argmax"),
        (["a=scored.csv", "scored.csv", "--weights", "a=1"], 2, "GROUP=TABLE"),
        (["a=scored.csv", "b=short.csv", "--weights", "a=.5,b=.5"], 5, "no row of unit"),
        (["a=double.csv", "--weights", "a=1"], 5, "add up to 3"),
        (["a=short.csv", "b=more.csv", "--weights", "a=.5,b=.5"], 5, "'d' of unit 'u0', choice '0' is not in short"),
        (["a=scored.csv", "--of", "age", "--weights", "a=1"], 5, "no column 'age'"),
        (["a=scored.csv", "--rule", "argmax", "--weights", "a=1"], 2, "--rule is of one table's twins"),
        (["a=scored.csv", "--weights", "a=.5,a=1"], 2, "'a' stands twice"),
    ],
)
def test_a_jury_of_tables_that_cannot_sit_is_refused(tmp_path, capsys, monkeypatch, words, code, what):
    monkeypatch.chdir(tmp_path)
    twins().to_csv("scored.csv", index=False)
    twins().iloc[:30].to_csv("short.csv", index=False)
    twins().assign(decision=1.0).to_csv("double.csv", index=False)
    pd.concat([twins(), twins().iloc[:1].assign(alternative="d")]).to_csv("more.csv", index=False)
    assert main(["jury", *words]) == code
    said = capsys.readouterr().err
    assert what in said and said.count("\n") == 1
