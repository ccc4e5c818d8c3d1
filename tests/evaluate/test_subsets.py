"""`faro score --by`: figures of subsets, counted by hand from the scored table."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

import faro as package
from faro.data import TwinSpec
from faro.errors import DataError, UsageError
from faro.evaluate import bias
from faro.evaluate.subsets import of_sources, scored_by
from faro.store.frontier import Frontier
from tests.builders import encoders

pytestmark = pytest.mark.usefixtures("small_encoder")

RECORDS = encoders.pairs(160)
SOURCES = ["a", "b", "b", ""] * 40


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


def test_intervals_are_over_units_and_what_is_crossed_with_them(model, table):
    figures = scored_by(model, table, "source").set_index("source")
    low, high = figures["accuracy_low"], figures["accuracy_high"]
    assert figures["accuracy"].between(low, high).all() and (high - low).between(0.05, 0.5).all()
    rewards = model.rewards(table)
    theme = np.where(rewards[:, 0] > rewards[:, 1], "won", "lost")  # all that accuracy depends on
    both = dataclasses.replace(model, schema=model.schema.replace(crossed="theme"))
    wide = scored_by(both, table.assign(theme=theme), "source").set_index("source")
    assert (wide["accuracy_high"] - wide["accuracy_low"] > 1.5 * (high - low)).all()
    assert (wide["accuracy"] == figures["accuracy"]).all()


def test_a_run_has_the_figures_of_each_source_and_their_means(model, table):
    data = package.load(table.assign(source=["a", "b"] * 80))
    bounds, seeds, status = [np.inf, 0.1, np.inf, 0.1], [0, 0, 1, 1], ["FEASIBLE"] * 3 + ["DIVERGED"]
    trials = pd.DataFrame({"bound": bounds, "seed": seeds, "status": status})
    models = [encoders.untrained(data, seed) for seed in seeds]
    found = of_sources(Frontier(trials, models, {}, {}), data, [np.inf, 0.1])
    found = found.groupby(["bound", "seed"])
    for seed in (0, 1):
        wanted = scored_by(models[2 * seed], data, "source", "dev").set_index("source")
        got = found.get_group((np.inf, seed)).set_index("source")[wanted.columns]
        pd.testing.assert_frame_equal(got, wanted, check_dtype=False)
    mean = (found.get_group((np.inf, 0))["nll"].to_numpy() + found.get_group((np.inf, 1))["nll"].to_numpy()) / 2
    np.testing.assert_allclose(found.get_group((np.inf, "mean"))["nll"], mean)
    assert found.get_group((0.1, "mean"))["source"].tolist() == ["a", "b", "all"]  # of the seed that did not diverge


def test_figures_do_not_depend_on_batches(model, table, monkeypatch):
    whole = scored_by(model, table, "source")
    monkeypatch.setattr("faro.store.rewards.BLOCK", 64)
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


def test_a_column_may_have_the_name_of_a_figure_and_a_subset_no_weight(model, table):
    named = scored_by(model, table.assign(length=SOURCES), "length")
    pd.testing.assert_frame_equal(named, scored_by(model, table, "source").rename(columns={"source": "subset"}))
    weighed = dataclasses.replace(model, schema=model.schema.replace(weight="w"))
    figures = scored_by(weighed, table.assign(w=[float(source != "a") for source in SOURCES]), "source")
    assert figures.loc[figures["source"] == "a", "accuracy":].isna().all(axis=None)
    assert figures.loc[figures["source"] != "a", "accuracy":].notna().all(axis=None)
    with pytest.raises(DataError, match="column 'emb' holds lists or objects"):
        scored_by(model, table.assign(emb=[np.ones(2)] * len(table)), "emb")
    dated = scored_by(model, table.assign(at=[pd.Timestamp("2026-01-01"), pd.NaT] * 80), "at")
    assert dated["at"].tolist() == ["", "2026-01-01", "all"]


def test_flips_are_counted_by_the_twins_that_a_table_brings(table):
    twins = {
        f"{side}_answer:politics={level}": [f"{word} {record[side]}" for record in RECORDS]
        for side in ("chosen", "rejected")
        for level, word in (("left", "the"), ("right", "cat sat on"))
    }
    plain = package.load(table.drop(columns="source"))
    rewritten = table.assign(**twins)
    rewritten.loc[:9, [column for column in twins if "right" in column]] = None
    schema = plain.schema.replace(twins=(TwinSpec(attribute="politics", origin="a word before it", missing="exclude"),))
    model = encoders.untrained(package.load(rewritten, schema))
    figures = scored_by(model, rewritten, "politics").set_index("politics")["flips:politics"]
    ahead, flipped = {}, []
    for level in ("left", "right"):
        columns = {
            side: rewritten[f"{side}_answer:politics={level}"].fillna(table[side]) for side in ("chosen", "rejected")
        }
        of_level = model.rewards(table.assign(**columns))
        ahead[level] = of_level[:, 0] > of_level[:, 1]
    own = model.rewards(table)
    for row, record in enumerate(RECORDS):
        other = {"left": "right", "right": "left"}[record["politics"]]
        gone = row < 10 and other == "right"
        flipped.append(np.nan if gone else float(ahead[other][row] != (own[row, 0] > own[row, 1])))
    of = pd.Series(flipped).groupby([record["politics"] for record in RECORDS]).mean()
    assert 0 < figures["left"] < 1
    assert figures[["left", "right"]].tolist() == pytest.approx(of[["left", "right"]].tolist())
    assert figures["all"] == pytest.approx(np.nanmean(flipped))


def test_the_command_prints_a_row_of_each_subset(faro, model, table, tmp_path):
    path = model.save(tmp_path / "model")
    table.to_json(tmp_path / "pairs.jsonl", orient="records", lines=True)
    code, out, _ = faro("score", path, tmp_path / "pairs.jsonl", "--by", "source", "--json")
    assert code == 0 and [row["source"] for row in json.loads(out)] == ["", "a", "b", "all"]
    code, out, _ = faro("score", path, tmp_path / "pairs.jsonl", "--by", "source")
    assert code == 0 and "(empty)" in out and "constant" in out
    code, _, err = faro("score", path, tmp_path / "pairs.jsonl", "--by", "source", "--out", tmp_path / "x.csv")
    assert code == 2 and "--by gives figures and no rows; leave out --out" in err


QUESTIONS = [(condition, polarity, right) for condition in ("ambig", "disambig") for polarity in ("neg", "nonneg")
             for right in (("unknown",) if condition == "ambig" else ("target", "other"))]  # fmt: skip
ROLES = ("target", "other", "unknown")


@pytest.fixture(scope="module")
def questions():
    """Six questions, each with three answers, in 50 templates."""
    records = []
    for template in range(50):
        for number, (condition, polarity, right) in enumerate(QUESTIONS):
            words = [f"{encoders.WORDS[(template + at) % 10]} {encoders.WORDS[(number + at) % 11]}" for at in range(3)]
            records.append(
                {"template": template, "condition": condition, "polarity": polarity, "label": f"a{ROLES.index(right)}"}
                | {f"a{at}_answer": text for at, text in enumerate(words)}
                | {f"a{at}_role": ROLES[at] for at in range(3)}
            )  # fmt: skip
    attributes = [
        {"name": "role", "levels": list(ROLES)},
        {"name": "condition", "levels": ["ambig", "disambig"], "chooser": True},
        {"name": "polarity", "levels": ["neg", "nonneg"], "chooser": True},
    ]
    schema = {"format": "wide", "unit": "template", "sides": ["a0", "a1", "a2"], "label": "label",
              "texts": [{"name": "answer"}], "attributes": attributes}  # fmt: skip
    return package.load(pd.DataFrame(records), schema)


@pytest.mark.parametrize(
    ("decide", "ambig", "disambig"),
    [
        (lambda polarity: "unknown", 0.0, np.nan),
        (lambda polarity: {"neg": "target", "nonneg": "other"}[polarity], 1.0, 1.0),
        (lambda polarity: {"neg": "other", "nonneg": "target"}[polarity], -1.0, -1.0),
        (lambda polarity: "target", 0.0, 0.0),
    ],
)
def test_bias_scores_of_known_deciders(questions, decide, ambig, disambig):
    assert bias.applies(questions)
    polarity = questions.frame["polarity"]
    decisions = np.array([[decide(own) == role for role in ROLES] for own in polarity], float)
    got = bias.scores(questions, decisions, np.arange(questions.n))
    np.testing.assert_allclose([got["bias_ambig"], got["bias_disambig"]], [ambig, disambig])


def test_half_wrong_answers_count_half_where_nothing_is_known(questions):
    decisions = np.zeros((questions.n, 3))
    decisions[:, 2], decisions[:, 0] = 0.5, 0.5  # half of the time the target
    of_negative = np.flatnonzero(questions.frame["polarity"] == "neg")
    got = bias.scores(questions, decisions, of_negative)
    assert got["bias_ambig"] == pytest.approx(0.5) and got["bias_disambig"] == 1


def test_bias_scores_stand_beside_the_figures(questions):
    figures = scored_by(encoders.untrained(questions), questions, "condition")
    assert figures.columns.tolist()[-2:] == [*bias.FORMULAS]
    assert np.isnan(figures["bias_disambig"][0]) and -1 <= figures["bias_disambig"][1] <= 1
