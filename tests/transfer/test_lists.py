"""Calibrated lists of a scored table: the wanted shares from every source, a stored map, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from faro.cli import main
from faro.data.decided import read_decided
from faro.errors import DataError, UsageError
from faro.transfer.lists import lists, over_strengths, read_genres, read_wanted, scores, written
from faro.voting import reranked


def scored(people: int = 30, size: int = 12) -> pd.DataFrame:
    """Two lists of each person, of which the first was told; rewards like what is on the left."""
    rng = np.random.default_rng(0)
    side = rng.choice(["left", "right"], (people, 2, size))
    reward = rng.standard_normal(side.shape) * 3 + 4 * (side == "left") + rng.normal(0, 50, (people, 2, 1))
    likes = np.where(np.arange(people)[:, None, None] % 4 == 0, "right", "left")
    best = np.where(side == likes, rng.random(side.shape), -1).argmax(-1)
    return pd.DataFrame(
        {
            "unit": np.repeat([f"u{person}" for person in range(people)], 2 * size),
            "choice": np.repeat(np.arange(2 * people), size),
            "alternative": np.tile(np.arange(size), 2 * people),
            "side": side.ravel(),
            "reward": reward.ravel(),
            "label": (np.arange(size) == best[..., None]).astype(float).ravel(),
            "role": np.tile(np.repeat(["support", "query"], size), people),
        }
    )


def test_what_is_wanted_comes_of_earlier_choices_of_everybody_or_is_given():
    table = read_decided(scored(), ("reward",))
    genres, own = read_wanted(table, ["side"], "told", prior=0.0)
    assert genres.names == ("left", "right") and set(own[:, 1]) == {0.0, 1.0} and own[::4, 1].all()
    everybody = read_wanted(table, ["side"], "told", prior=1.0)[1]
    assert everybody == pytest.approx(np.tile(own.mean(0), (30, 1)))
    assert read_wanted(table, ["side"], "told", prior=0.5)[1] == pytest.approx((own + everybody) / 2)
    assert read_wanted(table, ["side"], {"left": 0.25, "right": 0.75})[1][0].tolist() == [0.25, 0.75]
    assert read_wanted(table, ["side"], "there")[1] == pytest.approx(genres.shares.mean(1))
    assert read_wanted(table, ["side"], "people")[1][0] == pytest.approx(own.mean(0))


def test_lists_come_nearer_to_what_is_wanted_and_the_map_of_rewards_is_stored():
    table = read_decided(scored(), ("reward",))
    genres, wanted = read_wanted(table, ["side"], {"left": 0.5, "right": 0.5})
    made, rows = over_strengths(table, genres, wanted, 4, 0.9)
    assert rows[0]["scores"] == 1 and rows[4]["strength"] == 0.9
    assert rows[4]["divergence"] < rows[0]["divergence"] / 2 and rows[4]["scores"] < 1
    assert rows[0]["cost"] == rows[0]["low"] == 0 and rows[4]["low"] <= rows[4]["cost"] <= rows[4]["high"]
    out = written(table, made)
    assert np.allclose(out["least"] + out["score"] * (out["largest"] - out["least"]), out["reward"].astype(float))
    assert (out.groupby("choice")["decision"].sum().round(9) == 1).all()
    assert all(sorted(own) == [1, 2, 3, 4] for _, own in out[out["place"] > 0].groupby("choice")["place"])
    moved = table.frame.assign(reward=table.frame["reward"] * 7 - 3)  # units of rewards mean nothing
    again = lists(read_decided(moved, ("reward",)), genres, wanted, 4, 0.9)
    assert (again.taken == made.taken).all()


def test_of_equal_gains_the_larger_score_is_taken():
    genres = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    assert reranked(np.array([0, 1, 0, 1]), genres, np.array([0.5, 0.5]), 2, 1.0).items.tolist() == [1, 3]


def test_short_lists_have_all_and_shares_may_stand_in_columns(tmp_path, capsys):
    frame = scored(6, 5)
    frame["a"] = np.where(frame["side"] == "left", 0.75, 0.25)
    frame["b"] = 1 - frame["a"]
    frame.to_csv(tmp_path / "scored.csv", index=False)
    words = ["rerank", str(tmp_path / "scored.csv"), "--genres", "a,b", "--wanted", "a=.5,b=.5", "--count", "9"]
    assert main([*words, "--out", str(tmp_path / "lists.parquet"), "--json", "--surrogate"]) == 0
    said = capsys.readouterr()
    record = json.loads(said.out)
    assert "fewer than 9 candidates" in said.err and {row["scores"] for row in record["rows"]} == {1.0}
    out = pd.read_parquet(tmp_path / "lists.parquet")
    assert len(out) == 30 and (out["place"] > 0).all() and set(out["role"]) == {"query"}
    assert main(words) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_a_list_of_each_person_takes_one_candidate_of_every_choice(tmp_path, capsys):
    frame = scored(60).drop(columns="role")
    frame["unit"] = "u" + (frame["choice"] % 3).astype(str)  # forty choices of three people
    frame.to_csv(tmp_path / "scored.csv", index=False)
    words = ["rerank", str(tmp_path / "scored.csv"), "--genres", "side", "--wanted", "left=.3,right=.7", "--across"]
    assert main([*words, "--strength", ".99", "--out", str(tmp_path / "out.csv"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    out = pd.read_csv(tmp_path / "out.csv")
    assert record["lists"] == 3 and (out.groupby("choice")["decision"].sum() == 1).all()
    served = out[out["decision"] > 0]
    assert served.groupby("unit")["side"].apply(lambda own: (own == "left").mean()).to_numpy() == pytest.approx(
        0.3, abs=0.03
    )
    assert all(sorted(own) == list(range(1, 41)) for _, own in served.groupby("unit")["place"])
    first = {row["strength"]: row for row in record["rows"]}
    assert (
        first[0]["divergence"] > 0.3 > 0.01 > first[0.99]["divergence"] and first[0.99]["scores"] < first[0]["scores"]
    )
    assert first[0]["right"] == pytest.approx(
        np.mean([own.loc[own["reward"].idxmax(), "label"] for _, own in frame.groupby("choice")])
    )
    assert main([*words, "--count", "3"]) == 2 and "leave out --count" in capsys.readouterr().err
    assert {row["low"] for row in record["rows"]} == {None}  # three people are no sample of people
    words[words.index("left=.3,right=.7")] = "left=.3,rihgt=.7"
    assert main(words) == 0
    said = capsys.readouterr()
    assert "no candidate is of 'rihgt'" in said.err and "+0.000 (" not in said.out


@pytest.mark.parametrize(
    ("columns", "genres", "wanted", "error", "what"),
    [
        ({}, ["side"], "history", UsageError, "one of told, people, there"),
        ({}, ["side"], {"middle": 1.0, "left": 0.5}, UsageError, "add up to 1"),
        ({"a": 0.5, "b": 0.4}, ["a", "b"], "there", DataError, "add up to 0.9"),
        ({"a": 0.5, "b": 0.5}, ["a", "b"], {"c": 1.0}, UsageError, "unknown genre 'c'"),
        ({"side": ""}, ["side"], "there", DataError, "expected a genre"),
        ({"role": "query"}, ["side"], "told", DataError, "role = support"),
        ({"label": 0.0}, ["side"], "people", DataError, "nobody chose anything"),
        ({"reward": "high"}, ["side"], "there", DataError, "expected a number"),
    ],
)
def test_what_makes_no_lists_is_refused_in_a_line(columns, genres, wanted, error, what):
    table = read_decided(scored(4).assign(**columns), ("reward",))
    with pytest.raises(error, match=what):
        scores(table)
        read_wanted(table, genres, wanted)
    with pytest.raises(UsageError, match="--count"):
        whole = read_decided(scored(4), ("reward",))
        lists(whole, read_genres(whole, ["side"]), np.full((4, 2), 0.5), 0, 0.5)
