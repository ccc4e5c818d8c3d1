"""Questions to a new person, of a saved model, beside the law that they are drawn from."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from faro.data import Dataset
from faro.data.demo_people import WORLDS
from faro.errors import DataError, UsageError
from faro.models import InputSpec, Linear, PReF
from faro.people import ask
from faro.store.model import TrainedModel

WORLD = WORLDS["demo-people"]


@pytest.fixture(scope="module")
def pairs():
    frame = WORLD.generate(people=1, choices=40)
    return Dataset.from_table(frame, WORLD.schema, name="pairs")


@pytest.fixture(scope="module")
def trained(pairs):
    coding, model = pairs.fit_coding(), PReF(rank=2)
    params = model.init(jax.random.key(0), InputSpec.of(pairs.choices(coding)))
    params["common"]["item"] = params["common"]["item"] + 0.3
    params["own"] = jnp.asarray(WORLD.directions)
    return TrainedModel(model, jax.tree.map(np.asarray, params), coding, WORLD.schema)


def answers(interview, taste):
    first = interview.pairs @ np.array([1.0, *taste]) > 0
    return lambda place: "1" if first[place] else "2"


@pytest.mark.slow
def test_what_is_asked_tells_more_than_chance(pairs, trained):
    left = {}
    for by in ("d_optimal", "random"):
        interview = ask.Interview.of(trained, pairs, 5, by)
        found = ask.hold(interview, answers(interview, (1.0, -1.0)))
        assert len({line["choice"] for line in found["asked"]}) == 5
        left[by] = np.linalg.slogdet(np.asarray(interview.person().covariance)[1:, 1:])[1]
        truth = 1 / (1 + np.exp(-interview.pairs @ np.array([1.0, 1.0, -1.0])))
        before = ask.Interview.of(trained, pairs, 5, by).predictions()["probability"]
        after = np.array([pair["probability"] for pair in found["pairs"]])
        assert ((after - truth) ** 2).mean() < ((before - truth) ** 2).mean()
        assert all(pair["low"] < pair["probability"] < pair["high"] for pair in found["pairs"])
    assert left["d_optimal"] < left["random"]


@pytest.mark.slow
def test_the_command(pairs, trained, faro, tmp_path, monkeypatch):
    trained.save(tmp_path / "model")
    pairs.frame.drop(columns=["chosen", "person"]).to_csv(tmp_path / "pairs.csv", index=False)
    rows = {"choice": pairs.choice_ids, "answer": ["1", "2"] * 20}
    pd.DataFrame(rows).to_csv(tmp_path / "answers.csv", index=False)
    words = ("ask", tmp_path / "model.json", tmp_path / "pairs.csv", "-k", 3)
    code, out, err = faro(*words, "--answers", tmp_path / "answers.csv", "--out", tmp_path / "said.csv", "--json")
    assert code == 0, err
    found, said = json.loads(out), pd.read_csv(tmp_path / "said.csv")
    assert len(found["asked"]) == 3
    assert list(said) == ["choice", "probability", "low", "high"]
    assert len(said) == 40
    code, out, _ = faro(*words, "--answers", tmp_path / "answers.csv")
    assert code == 0
    assert "3 answers, by d_optimal" in out
    code, _, err = faro(*words)
    assert code == 2
    assert "--answers FILE" in err
    said_on_terminal = iter(["what", "1", "q"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: next(said_on_terminal))
    code, out, err = faro(*words)
    assert code == 0, err
    assert "1 answers" in out
    assert "quality" in out
    assert "person" not in out


def test_what_cannot_be_asked(pairs, trained):
    with pytest.raises(UsageError, match="1 to 40 questions"):
        ask.Interview.of(trained, pairs, 41)
    with pytest.raises(UsageError, match="unknown criterion"):
        ask.Interview.of(trained, pairs, by="best")
    with pytest.raises(UsageError, match="got Linear"):
        ask.Interview.of(TrainedModel(Linear(), {}, trained.coding, WORLD.schema), pairs)
    with pytest.raises(DataError, match="no answer to choice"):
        interview = ask.Interview.of(trained, pairs, 2)
        ask.hold(interview, ask.given({}, interview.names))
    with pytest.raises(DataError, match="expected 1, 2 or ="):
        ask.hold(ask.Interview.of(trained, pairs, 2), lambda place: "3")
    with pytest.raises(UsageError, match="between 0 and 1"):
        ask.hold(ask.Interview.of(trained, pairs, 2), lambda place: None, level=1.0)
