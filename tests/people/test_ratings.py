"""Calibration of raters as a reading of a model, on ratings whose lines are known."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from faro.data import AttributeSpec, Dataset, Schema
from faro.errors import DataError
from faro.models import Linear
from faro.people import ratings
from faro.store.model import TrainedModel

SCHEMA = Schema(
    format="accept",
    unit="rater",
    label="accepted",
    positive="yes",
    numeric=("x",),
    attributes=(AttributeSpec(name="kind", levels=("a", "b")),),
)


def drawn(raters=80, each=40, real=True, seed=0):
    """Raters whose slopes and intercepts differ; of an unreal one rewards say nothing."""
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(raters), each)
    reward = rng.normal(size=len(unit))
    slope, intercept = 10 * rng.lognormal(0, 0.4, raters), rng.normal(60, 12, raters)
    heard = reward if real else rng.normal(size=len(unit))
    rating = slope[unit] * heard + intercept[unit] + 10 * rng.normal(size=len(unit))
    part = np.array(["train", "dev"], object)[(unit >= raters // 2).astype(int)]
    names = np.array([f"r{number:03d}" for number in unit], object)
    return {"reward": reward, "rating": rating, "unit": names, "part": part, "order": rng.random(len(unit))}


@pytest.mark.slow
def test_shrunk_lines_beat_one_line_and_no_line():
    found = ratings.measured(drawn())
    rmse = found["rmse"]
    assert rmse["pebs"] < rmse["intercept"] < rmse["pooled"]
    assert rmse["pebs"] < rmse["own line"] + 0.1
    assert rmse["shuffled"] > rmse["pebs"] + 1
    assert found["turned"] == 0
    assert found["hurt"]["pooled"] == 0
    few = found["rmse_by_ratings"][2]
    assert few["ratings"] == 3
    assert few["pebs"] < few["own line"]


@pytest.mark.slow
def test_a_reward_that_says_nothing_gains_a_mean_alone():
    rmse = ratings.measured(drawn(real=False))["rmse"]
    assert rmse["pebs"] < rmse["pooled"]
    assert rmse["pebs"] == pytest.approx(rmse["shuffled"], rel=0.03)
    assert rmse["pebs"] == pytest.approx(rmse["intercept"], rel=0.03)


def test_too_few_raters_are_said():
    seen = drawn(raters=30, each=4)
    seen["part"] = np.where(seen["unit"] < "r025", "train", "dev").astype(object)
    with pytest.raises(DataError, match="at least 10 dev raters, got 5"):
        ratings.measured(seen)


@pytest.mark.slow
def test_the_command(faro, tmp_path):
    seen = drawn(raters=120, each=12)
    frame = pd.DataFrame({"rater": seen["unit"], "x": seen["reward"], "stars": seen["rating"]})
    frame["kind"] = np.where(np.arange(len(frame)) % 2, "a", "b")
    frame["accepted"] = np.where(frame["stars"] > 60, "yes", "no")
    frame.loc[0, "stars"] = np.nan  # not every row has a rating
    frame.to_csv(tmp_path / "ratings.csv", index=False)
    coding = Dataset.from_table(frame, SCHEMA, name="ratings").fit_coding()
    params = {"intercept": np.zeros(()), "item": np.ones(1)}
    TrainedModel(Linear(), params, coding, SCHEMA).save(tmp_path / "model")
    words = ("pebs", tmp_path / "model.json", tmp_path / "ratings.csv", "--rating", "stars")
    code, out, err = faro(*words, "--json", "--out", tmp_path / "lines.csv")
    assert code == 0, err
    found, lines = json.loads(out), pd.read_csv(tmp_path / "lines.csv")
    assert found["rmse"]["pebs"] < found["rmse"]["pooled"]
    assert list(lines) == ["unit", "slope", "intercept"]
    assert len(lines) == found["raters"]["dev"]
    code, out, _ = faro(*words)
    assert code == 0
    assert "pebs" in out
    assert "deviation of slopes" in out
    code, _, err = faro(*words[:-1], "moons")
    assert code == 5
    assert "no column 'moons'" in err
    code, _, err = faro(*words[:-1], "kind")
    assert code == 5
    assert "expected numbers" in err
