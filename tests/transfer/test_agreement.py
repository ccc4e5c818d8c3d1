"""Agreement with stated views: closed forms, people who are high by chance alone, words that say mean and tail."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pandas as pd
import pytest

from faro.cli import main
from faro.data import write_table
from faro.data.decided import read_decided
from faro.errors import DataError, UsageError
from faro.transfer import exposure, words
from faro.transfer.agreement import agreement
from faro.transfer.views import Asked, Served, Views, read_served, read_views
from tests.builders.views import echoed, table


def test_the_tail_rises_where_the_mean_does_not():
    views, personal, common = echoed(0, people=120)
    found = agreement(views, personal, common, (1, 8))
    mean, tail, wrong = (found["agreement"][row]["difference"] for row in (0, 1, 3))
    assert abs(mean["value"]) < 0.1 and tail["low"] > 0.2 and wrong["value"] > tail["value"]
    assert found["taste"]["value"] > 0.95 and found["truth"][0]["difference"]["high"] < 0
    assert found["best_of"][0]["high"]["difference"]["value"] == pytest.approx(0, abs=1e-9)  # n = 1 looks at no reward
    assert found["best_of"][1]["all"]["served"] == pytest.approx(found["agreement"][0]["served"])
    assert "amplified in the tail, not in the mean" in words.verdict(found)


def test_people_of_one_taste_are_served_alike():
    views, personal, common = echoed(1, spread=0.0)
    found = agreement(dataclasses.replace(views, taste=None), personal, common)
    for row in found["agreement"]:
        assert row["difference"] == {"value": 0, "low": 0, "high": 0}
    assert "not shown to be amplified" in words.verdict(found)


def test_who_is_high_by_chance_is_not_high_again():
    rng = np.random.default_rng(0)
    agrees = np.tile([True, False], (2400, 1))
    views = Views(np.repeat(np.arange(300), 8), np.ones((2400, 2), bool), agrees, np.full(2400, -1))
    coins = rng.integers(0, 2, 2400)
    served = Served(np.stack([coins, 1 - coins], 1).astype(float))
    every, high = agreement(views, served)["agreement"]
    assert high["difference"]["low"] < 0 < high["difference"]["high"]
    own = views.means(coins)
    naive = own[own > own.mean() + own.std()].mean()
    assert naive > 0.7 > high["served"] and abs(every["served"] - 0.5) < 0.03  # the control that halves are for


def test_the_mean_gap_knows_no_constant_of_a_choice_and_best_of_n_is_the_mean_over_all_draws():
    views, personal, _ = echoed(2, people=12, items=6, size=5)
    moved = Served(personal.decisions, personal.rewards + np.arange(len(views.unit))[:, None])
    first, second = (agreement(views, own)["gap"]["served"] for own in (personal, moved))
    assert first == pytest.approx(second)
    gap = [
        np.mean([r[a].mean() - r[~a].mean() for r, a in zip(own, of, strict=True) if 0 < a.sum() < 5])
        for own, of in zip(personal.rewards.reshape(12, 6, 5), views.agrees.reshape(12, 6, 5), strict=True)
    ]
    assert first["mean"] == pytest.approx(np.mean(gap))
    drawn = [
        np.mean([a[max(of, key=r.__getitem__)] for of in map(list, itertools.combinations(range(5), 3))])
        for r, a in zip(personal.rewards, views.agrees, strict=True)
    ]
    (found,) = agreement(views, personal, kept=(3,))["best_of"]
    assert found["all"]["served"] == pytest.approx(np.mean(drawn))


def test_dispersion_by_hand():
    shares = np.random.default_rng(0).dirichlet(np.ones(3), 7)
    pairs = [[np.abs(a - b).sum() / 2 for b in shares] for a in shares]
    assert exposure.apart(shares) == pytest.approx(np.sum(pairs, 1) / 6)
    assert exposure.entropy(np.array([[1, 0], [0.5, 0.5]])) == pytest.approx([0, np.log(2)])
    views, personal, _ = echoed(3)
    only = Served(
        np.eye(8)[(views.viewpoint == (views.unit % 2)[:, None]).argmax(1)]
    )  # each person one side, by halves
    found = agreement(views, only, personal)["exposure"]
    assert found["of_all"]["served"] > 0.69 > 0.1 > found["of_each"]["served"] and found["apart"]["served"] > 0.45


def test_of_viewpoints_that_nobody_is_served_nothing_is_said():
    views, personal, common = echoed(3)
    nobody = Served(np.zeros_like(personal.decisions))
    found = agreement(views, nobody, common)
    assert found["exposure"] == {"people": 0, "most": pytest.approx(np.log(len(views.viewpoints)))}
    json.dumps(found, allow_nan=False)
    (said,) = (part for part in words.sections(found) if part.title == "Exposure to viewpoints")
    assert "Only 0 people" in said.said[0]


def test_who_chose_none_of_the_candidates_is_served_so():
    """The outside option has no row: what is left of labels and of decisions is its own."""
    views, personal, _ = echoed(4)
    none = (np.arange(len(views.unit)) % 3 == 0)[:, None]
    label = np.where(none, 0.0, personal.decisions)
    found = agreement(dataclasses.replace(views, label=label), Served(label), Served(personal.decisions))
    assert found["label"][0]["served"] == 1 and found["label"][0]["against"] == pytest.approx(2 / 3, abs=0.05)


@pytest.mark.parametrize("mean", [-1, 0, 1])
@pytest.mark.parametrize("tail", [-1, 0, 1])
def test_amplified_is_never_said_of_one_alone(mean, tail):
    rows = [
        {"difference": {"value": sign * 0.1, "low": sign * 0.1 - 0.05, "high": sign * 0.1 + 0.05}}
        for sign in (mean, tail)
    ]
    said = words.verdict({"agreement": rows, "second": "against"})
    assert said.count("in the mean") >= 1 and said.count("among high people") == 1
    assert ("amplified in" in said) == (mean == 1 or tail == 1)
    rows[1]["difference"] = None
    assert "nothing is said of either" in words.verdict({"agreement": rows, "second": "against"})


def test_a_taste_that_answers_do_not_show_is_not_identified():
    views, personal, _ = echoed(4)
    rng = np.random.default_rng(0)
    coins = np.eye(8)[rng.integers(0, 8, len(views.unit))]
    unknown = dataclasses.replace(views, taste=None)
    assert "no labels" in agreement(unknown, personal)["taste"]["why"]
    assert agreement(dataclasses.replace(unknown, label=coins), personal)["taste"]["by"] is None
    shown = agreement(dataclasses.replace(unknown, label=personal.decisions), personal)["taste"]
    assert shown["by"] == "choices" and shown["low"] > 0.5


def test_the_command_reads_tables_in_any_order(tmp_path, capsys):
    views, personal, common = echoed(5)
    own, other = table(views, personal), table(views, common)
    told = own.iloc[:8].assign(choice="told", role="support")
    write_table(pd.concat([told, own.assign(role="query")]), tmp_path / "own.csv")
    write_table(other.sample(frac=1, random_state=0), tmp_path / "other.parquet")
    given = ["agreement", str(tmp_path / "own.csv"), "--agrees", "agrees", "--true", "true=yes"]
    assert (
        main([*given, "--against", str(tmp_path / "other.parquet"), "--out", str(tmp_path / "each.csv"), "--json"]) == 0
    )
    record = json.loads(capsys.readouterr().out)
    expected = agreement(dataclasses.replace(views, taste=None), personal, common)
    assert record["choices"] == expected["choices"]
    for found, wanted in zip(record["agreement"][:2], expected["agreement"][:2], strict=True):
        assert found["people"] == wanted["people"] and found["served"] == pytest.approx(wanted["served"])
    assert len(pd.read_csv(tmp_path / "each.csv")) == 60
    assert main([*given, "--against", str(tmp_path / "other.parquet"), "--n", "1,8"]) == 0
    said = capsys.readouterr().out
    before = (tmp_path / "other.parquet").read_bytes()
    assert main([*given, "--against", str(tmp_path / "other.parquet"), "--out", str(tmp_path / "other.parquet")]) == 2
    assert "would be replaced" in capsys.readouterr().err and (tmp_path / "other.parquet").read_bytes() == before
    assert max(map(len, said.splitlines())) <= 80 and "n = 8 candidates" in " ".join(said.split())


@pytest.mark.parametrize(
    ("columns", "asked", "error", "what"),
    [
        ({}, {"agrees": "view"}, DataError, "no column 'view'"),
        ({}, {"agrees": "agrees=maybe"}, UsageError, "it has no, yes"),
        ({"agrees": "x"}, {}, UsageError, "say which level"),
        ({"agrees": ""}, {}, DataError, "who stated a view"),
        ({}, {"right": "true"}, DataError, "differs within choice"),
        ({}, {"taste": "reward"}, DataError, "differs within choice"),
        ({"taste": "high"}, {"taste": "taste"}, DataError, "expected a number"),
        ({"side": "left"}, {"viewpoint": "side"}, UsageError, "expected two or more"),
        ({"alternative": "a"}, {}, DataError, "stands twice"),
        ({"weight": 0.0}, {}, DataError, "has weight 0"),
        ({"decision": 1.0}, {}, DataError, "add up to 3"),
    ],
)
def test_columns_that_do_not_say_it_are_refused_in_a_line(columns, asked, error, what):
    views, personal, _ = echoed(6, people=4, items=2, size=3)
    with pytest.raises(error, match=what) as caught:
        read = read_decided(table(views, personal).assign(**columns))
        read_served(read, read_views(read, Asked(**{"agrees": "agrees", **asked}))[1])
    assert "\n" not in str(caught.value)


def test_a_mean_of_several_models_has_no_reward_and_is_audited_all_the_same():
    views, personal, _ = echoed(8, people=12, items=4, size=3)
    read = read_decided(table(views, personal).assign(reward="", label=""))
    own, kept = read_views(read, Asked("agrees"))
    found = agreement(own, read_served(read, kept))
    assert found["gap"] == {} and own.label is None and found["agreement"][0]["served"] > 0


def test_who_weighs_nothing_is_as_if_not_there():
    views, personal, _ = echoed(8, people=12, items=4, size=3)
    frame = table(views, personal)
    nobody = frame["unit"] == frame["unit"].iloc[0]
    found = []
    for own in (frame.assign(weight=np.where(nobody, 0.0, 2.0)), frame[~nobody]):
        read = read_decided(own)
        seen, kept = read_views(read, Asked("agrees"))
        found.append(json.dumps(agreement(seen, read_served(read, kept)), allow_nan=False))
    assert found[0] == found[1] and json.loads(found[0])["people"] == 11


def test_what_cannot_be_audited_is_refused():
    views, personal, _ = echoed(7, people=4, items=2, size=3)
    with pytest.raises(UsageError, match="n is 1 to 3"):
        agreement(views, personal, kept=(4,))
    with pytest.raises(DataError, match="some candidates agree"):
        agreement(dataclasses.replace(views, agrees=views.there), personal)
    with pytest.raises(UsageError, match="no column 'reward'"):
        agreement(views, Served(personal.decisions), kept=(2,))
