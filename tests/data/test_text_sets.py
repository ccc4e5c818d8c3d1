"""The registered sets of text: the counts that their sources state, and the traps that they warn of."""

from __future__ import annotations

import numpy as np
import pytest

from faro.data import describe, load, read_table
from faro.data.lexicon import by_lexicon
from faro.data.rewriting import rewritten
from faro.data.sets import SETS

pytestmark = [pytest.mark.real_data, pytest.mark.usefixtures("small_encoder")]


@pytest.fixture(scope="module")
def table():
    """Name -> the table that a set is made into, without an encoder."""
    import os
    from pathlib import Path

    def made(name: str, part: int = 0):
        return SETS[name].read(*(read_table(Path(os.environ["FARO_DATA"]) / file) for file in SETS[name].files))[part]

    return made


def test_hh_harmless(table):
    frame = table("hh-harmless")
    assert len(frame) == 2_312 and frame["prompt_id"].nunique() == 2_310
    assert frame["prompt"].str.endswith("Assistant:").all()
    last = [frame[side].str.rsplit("\n\nAssistant:", n=1).str[0].str.strip() for side in ("chosen", "rejected")]
    shared = frame["prompt"].str.removesuffix("Assistant:").str.strip()
    assert ((shared == last[0]) & (shared == last[1])).sum() == 2_307


def test_pandalm(table):
    frame = table("pandalm")
    assert len(frame) == 999 and frame["instruction"].nunique() == 170
    assert (frame["votes"] == "split").sum() == 120
    assert set(np.round(frame["share"] * 6)) == set(range(7))
    data = load("pandalm")
    empty = int(((frame["first_answer"] == "") | (frame["second_answer"] == "")).sum())
    assert (empty, data.dropped, data.n + data.dropped) == (54, 54 + 18, 999)  # 18 are alike in 40 tokens
    record = describe(data)
    assert record["licence"] and record["traps"] and data.defaults["attribute"] in data.attributes


@pytest.mark.slow
def test_bbq(table):
    frame = table("bbq")
    assert len(frame) == 11_956 and frame["template"].nunique() == 150
    roles = frame[[f"ans{number}_role" for number in range(3)]].to_numpy()
    assert (np.sort(roles, 1) == ["other", "target", "unknown"]).all()
    right = roles[np.arange(len(roles)), frame["label"].str[-1].astype(int)]
    assert (right[frame["condition"] == "ambig"] == "unknown").all()
    assert not (right[frame["condition"] == "disambig"] == "unknown").any()
    with_twin = frame[frame["first"] != ""]
    assert len(with_twin) == 7_380
    row = with_twin.iloc[0]
    prompt, own = row["prompt"], row[[f"ans{number}_answer" for number in range(3)]].tolist()
    other = {"target": "other", "other": "target"}[row["first"]]
    there = frame[(frame["template"] == row["template"]) & (frame["prompt"] == row[f"prompt:first={other}"])]
    assert len(there) == 1 and there["first"].item() == other and there[f"prompt:first={row['first']}"].item() == prompt
    moved = row[[f"ans{number}_answer:first={other}" for number in range(3)]].tolist()
    people = {text for text, role in zip(own, roles[row.name], strict=True) if role != "unknown"}
    assert {*moved} & {*own} == {*own} and {*people} <= {*moved} and moved != own


def test_polarized_agree(table):
    frame = table("polarized-agree")
    assert (len(frame), frame["participant"].nunique()) == (18_144, 924) and frame["agrees"].mean().round(2) == 0.73
    assert set(frame["author_politics"]) == set(frame["politics"]) == {"left", "middle", "right"}


def test_twins_of_hh_harmless_are_of_whom_an_answer_mentions(table):
    frame, schema = table("hh-harmless"), table("hh-harmless", 1)
    (count,) = rewritten(schema, by_lexicon(schema, frame, "hh").frame, "hh").counts
    assert (count.rewritten, count.unchanged, count.ambiguous, count.one_way) == (480, 0, 0, 20)


def test_pluriharms(table):
    data = load("pluriharms")
    assert (data.n, data.people) == (14_725, 100)
    assert data.notes[-1] == "intervals draw 100 raters and, crossed with them, 150 items"
    assert describe(data)["texts"][0]["texts"] == 150
    frame = table("pluriharms")
    assert (frame["accepted"] == (frame["rating"] < 50)).all()
    pairs = table("pluriharms-pairs")
    given = frame.groupby("rater").size()
    assert pairs.groupby("rater").size().to_dict() == (given // 2).to_dict()
    ratings = frame.set_index(["rater", "answer"])["rating"]
    first, second = (
        ratings.loc[list(zip(pairs["rater"], pairs[f"{side}_answer"], strict=True))].to_numpy()
        for side in ("first", "second")
    )
    np.testing.assert_array_equal(pairs["share"], (1 + np.sign(second - first)) / 2)
    both = [
        *zip(pairs["rater"], pairs["first_answer"], strict=True),
        *zip(pairs["rater"], pairs["second_answer"], strict=True),
    ]
    assert len(set(both)) == len(both)
