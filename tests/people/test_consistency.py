"""Types of answers: recall by closed forms, patterns that cannot be told apart, weights that a table carries."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import faro
from faro.cli import main
from faro.data import Schema
from faro.errors import DataError, UsageError
from faro.people.consistency import TYPES, mixture, types

SHARES, LAPSE = (0.45, 0.25, 0.3), 0.08


def replies(shares=SHARES, groups=4000, frames=2, again=2, lapse=LAPSE, seed=0):
    rng = np.random.default_rng(seed)
    kind, side = rng.choice(3, groups, p=shares), rng.integers(0, 2, (groups, 1, 1))
    moved = np.where(np.arange(frames)[None, :, None] == rng.integers(0, frames, (groups, 1, 1)), 1 - side, side)
    coin = rng.integers(0, 2, (groups, frames, again))
    meant = np.choose(
        kind[:, None, None], [np.broadcast_to(side, coin.shape), np.broadcast_to(moved, coin.shape), coin]
    )
    said = np.where((rng.random(coin.shape) < lapse) & (kind < 2)[:, None, None], 1 - meant, meant)
    who = np.broadcast_to(np.arange(groups)[:, None, None], said.shape)
    frame = np.broadcast_to(np.arange(frames)[None, :, None], said.shape)
    return kind, who.ravel(), frame.ravel(), said.ravel().astype(float)


def test_shares_lapse_and_recall_are_those_of_the_law():
    kind, *told = replies()
    found = mixture(*told)
    assert found.shares == pytest.approx(SHARES, abs=0.03) and found.lapse == pytest.approx(LAPSE, abs=0.015)
    said = found.posterior.argmax(1)
    recall = [(said == k)[kind == k].mean() for k in range(3)]
    stays = (1 - LAPSE) ** 4 + LAPSE**4  # nothing slips, or everything
    both = ((1 - LAPSE) ** 2 + LAPSE**2) ** 2
    apart = both - 2 * (LAPSE * (1 - LAPSE)) ** 2  # each frame whole, and the two not the same
    assert recall == pytest.approx([stays, apart, 0.75], abs=0.03)
    assert (said == 0)[kind == 2].mean() == pytest.approx(1 / 8, abs=0.02)
    turned = mixture(told[0], told[1], 1 - told[2])  # which side is the first does not matter
    assert np.allclose(found.posterior, turned.posterior, atol=1e-6)


def test_more_frames_and_more_replies_tell_more():
    wrong = []
    for frames, again in ((2, 2), (3, 3)):
        kind, *told = replies(groups=1500, frames=frames, again=again)
        wrong.append((mixture(*told).posterior.argmax(1) != kind).mean())
    assert wrong[1] < wrong[0] / 1.5


@pytest.mark.parametrize(("shares", "place"), [((1.0, 0.0, 0.0), 0), ((0.0, 0.0, 1.0), 2)])
def test_where_all_are_of_one_type_the_others_have_next_to_no_share(shares, place):
    _, *told = replies(shares, 2000)
    assert mixture(*told).shares[place] > 0.9


@pytest.mark.parametrize(("frames", "again", "what"), [(1, 3, "in two frames"), (2, 1, "twice in the same frame")])
def test_what_cannot_be_told_apart_is_refused(frames, again, what):
    _, *told = replies(groups=50, frames=frames, again=again)
    with pytest.raises(DataError, match=what):
        mixture(*told)


@pytest.fixture
def table():
    """30 people, of whom those of the region N know what they want; 12 items, of 4 replies each."""
    rng, rows = np.random.default_rng(0), []
    for person in range(30):
        region = "N" if person < 15 else "S"
        for item in range(12):
            for frame in ("gain", "loss"):
                for again in range(2):
                    likes = item % 3 > 0 if region == "N" else rng.random() < 0.5
                    rows.append((person, region, item, frame, again, float(likes)))
    return pd.DataFrame(rows, columns=["person", "region", "quality", "frame", "again", "accept"])


SCHEMA = {
    "format": "accept",
    "unit": "person",
    "label": "accept",
    "numeric": ["quality"],
    "attributes": [{"name": "region", "levels": ["N", "S"], "chooser": True}],
}


def test_the_command_writes_weights_that_a_schema_reads(table, tmp_path, capsys):
    table.to_csv(tmp_path / "t.csv", index=False)
    toml = 'format = "accept"\nunit = "person"\nlabel = "accept"\nnumeric = ["quality"]\n'
    (tmp_path / "s.toml").write_text(toml + '[[attributes]]\nname = "region"\nlevels = ["N", "S"]\nchooser = true\n')
    data = faro.load(table, Schema.from_dict(SCHEMA))
    record, weights = types(data, "frame")
    kept = record["kept"]["region"]
    assert kept["N"] > 0.85 and kept["S"] < 0.3 and record["answers"] == 360 and record["once"] == 0
    assert list(record["shares"]) == list(TYPES) and record["coverage"]["least"] <= record["coverage"]["median"]
    assert (pd.Series(weights).groupby([table["person"], table["quality"]]).nunique() == 1).all()
    north = weights[table["region"] == "N"].mean()
    assert north == pytest.approx(kept["N"])
    words = ["types", str(tmp_path / "t.csv"), "--schema", str(tmp_path / "s.toml"), "--frame", "frame", "--json"]
    assert main([*words, "--out", str(tmp_path / "w.csv")]) == 0
    assert json.loads(capsys.readouterr().out)["shares"] == pytest.approx(record["shares"])
    weighted = faro.load(pd.read_csv(tmp_path / "w.csv"), Schema.from_dict({**SCHEMA, "weight": "genuine"}))
    assert weighted.weight == pytest.approx(weights)
    assert main([*words[:-1]]) == 0 and "kept by region: N" in capsys.readouterr().out
    with pytest.raises(UsageError, match="no such column"):
        types(data, "wording")
    with pytest.raises(DataError, match="in two frames"):
        types(faro.load(table, Schema.from_dict({**SCHEMA, "categorical": ["frame"]})), "frame")


def test_majorities_turn_where_coins_outnumber_answers():
    rng, rows = np.random.default_rng(1), []
    for person in range(40):  # of ten who know all say yes, of thirty who do not, most say no by the coin's fall
        for frame in ("a", "b"):
            for _ in range(2):
                rows.append((person, frame, 1.0 if person < 10 else float(rng.random() < 0.2)))
    table = pd.DataFrame(rows, columns=["person", "frame", "accept"]).assign(quality=1.0)
    record, weights = types(faro.load(table, Schema.from_dict({**SCHEMA, "attributes": []})), "frame")
    assert record["flips"]["items"] == 1 and weights[table["person"] < 10].min() > weights.mean()


def test_a_frame_that_is_missing_is_no_frame_and_copies_are_said(table):
    schema = Schema.from_dict({**SCHEMA, "attributes": []})
    assert types(faro.load(table.assign(time=np.arange(len(table))), schema), "frame")[0]["notes"] == []
    twice = pd.concat([table, table.iloc[:7]], ignore_index=True).assign(time=[*range(len(table)), *range(7)])
    assert types(faro.load(twice, schema), "frame")[0]["notes"][-1].startswith("7 rows are as others in every column")
    for missing in ("", None, np.nan):
        gone = table.astype({"frame": object})
        gone.loc[gone.index[4], "frame"] = missing
        with pytest.raises(DataError, match=r"column 'frame', row 5: the frame is missing"):
            types(faro.load(gone, schema), "frame")
