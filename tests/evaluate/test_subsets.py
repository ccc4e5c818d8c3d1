"""`faro score --by`: figures of subsets, counted by hand from the scored table."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import faro as package
from faro.errors import DataError, UsageError
from faro.evaluate.subsets import scored_by
from tests.builders import encoders

RECORDS = encoders.pairs(160)
SOURCES = ["a", "b", "b", ""] * 40


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    encoders.install(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FARO_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def table():
    return pd.DataFrame(RECORDS).assign(source=SOURCES)


@pytest.fixture(scope="module")
def model(table):
    return encoders.untrained(package.load(table.drop(columns="source")))


def test_figures_are_those_of_the_scored_rows(model, table):
    figures = scored_by(model, table, "source").set_index("source")
    assert figures.index.tolist() == ["", "a", "b", "all"] and figures["choices"].tolist() == [40, 40, 80, 160]
    rewards = model.rewards(table)
    ahead = rewards[:, 0] - rewards[:, 1]
    tokens = np.array([[len(record[side].split()) for side in ("chosen", "rejected")] for record in RECORDS])
    for level in ("", "a", "b", "all"):
        own = np.array([level in (source, "all") for source in SOURCES])
        got, of = figures.loc[level], ahead[own]
        assert got["accuracy"] == pytest.approx((of > 0).mean()) and got["ties"] == 0
        assert got["margin"] == pytest.approx(of.mean())
        assert got["nll"] == pytest.approx(np.log1p(np.exp(-of)).mean())
        longer = np.sign(tokens[own, 0] - tokens[own, 1])
        assert got["length"] == pytest.approx((1 + longer).mean() / 2) and got["constant"] == 0.5
        assert 0 <= got["ece"] <= 1
    assert figures["units"].tolist() == [40, 40, 80, 80]


def test_figures_do_not_depend_on_batches(model, table, monkeypatch):
    whole = scored_by(model, table, "source")
    monkeypatch.setattr("faro.store.model.BLOCK", 64)
    pd.testing.assert_frame_equal(scored_by(model, table, "source"), whole, rtol=1e-9)


def test_a_part_alone_and_one_level_alone(model, table):
    gate = scored_by(model, table, "politics", "gate")
    assert gate["choices"].tolist()[-1] == (model.read(table).parts(0) == 4).sum()
    assert scored_by(model, table.assign(source="a"), "source")["source"].tolist() == ["a"]


def test_what_cannot_be_counted_is_said(model, table):
    with pytest.raises(DataError, match="no column 'other'; columns are"):
        scored_by(model, table, "other")
    with pytest.raises(UsageError, match="no part 'all'"):
        scored_by(model, table, "source", "all")


def test_the_command_prints_a_row_of_each_subset(faro, model, table, tmp_path):
    path = model.save(tmp_path / "model")
    table.to_json(tmp_path / "pairs.jsonl", orient="records", lines=True)
    code, out, _ = faro("score", path, tmp_path / "pairs.jsonl", "--by", "source", "--json")
    assert code == 0 and [row["source"] for row in json.loads(out)] == ["", "a", "b", "all"]
    code, out, _ = faro("score", path, tmp_path / "pairs.jsonl", "--by", "source")
    assert code == 0 and "(empty)" in out and "constant" in out
    code, _, err = faro("score", path, tmp_path / "pairs.jsonl", "--by", "source", "--out", tmp_path / "x.csv")
    assert code == 2 and "--by gives figures and no rows; leave out --out" in err
