"""Models of wide features: little JSON, the same scores to the last bit after loading, and the formats before."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import jax
import numpy as np
import pandas as pd
import pytest
import safetensors.numpy

from faro import models
from faro.data import Dataset, Schema
from faro.errors import DataError
from faro.store import rewards as store_rewards
from faro.store.model import TrainedModel, load_model

WIDE = 4096
SCHEMA = Schema.from_dict(
    {
        "format": "accept",
        "unit": "who",
        "label": "y",
        "numeric": ["x"],
        "vectors": ["own"],
        "unit_index": True,
        "arrays": [
            {"name": "text", "file": "text.npy", "index": "row"},
            {"name": "each", "file": "each.npy", "index": "row", "scaling": "each"},
        ],
    }
)


def table(n: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    columns = {"who": rng.integers(0, 20, n), "x": rng.normal(size=n), "own": list(rng.normal(size=(n, 3)))}
    return pd.DataFrame({**columns, "row": rng.integers(0, 30, n), "y": np.arange(n) % 2})


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> TrainedModel:
    """A linear model, its table and arrays in a folder."""
    folder = tmp_path_factory.mktemp("wide")
    rng = np.random.default_rng(1)
    for name in ("text", "each"):
        np.save(folder / f"{name}.npy", rng.normal(size=(30, WIDE)).astype("<f2"))
    table().to_json(folder / "table.jsonl", orient="records", lines=True)
    data = Dataset.from_table(folder / "table.jsonl", SCHEMA)
    coding = data.fit_coding()
    params = models.initial(models.Linear(), jax.random.key(0), data.choices(coding))
    about = {"seed": 0, "unit_rule": 2, "folder": str(folder)}
    return TrainedModel(models.Linear(), jax.tree.map(np.asarray, params), coding, data.schema, about)


def test_json_stays_small_and_scores_stay_to_the_last_bit(model, tmp_path):
    path = model.save(tmp_path / "model")
    assert path.stat().st_size < 10_000
    record = json.loads(path.read_text())
    assert record["features"]["items"] == ["x", "own[0:3]", f"text[0:{WIDE}]", f"each[0:{WIDE}]"]
    after, where = load_model(path), f"{model.about['folder']}/table.jsonl"
    assert after.coding == model.coding and after.schema == model.schema
    np.testing.assert_array_equal(after.rewards(where), model.rewards(where))
    assert np.isfinite(after.score(where)["reward"]).all()
    with pytest.raises(DataError, match="no such file; its place is beside the table"):
        after.score(table())  # a data frame's place is the working directory


def test_a_table_is_scored_in_slices(model, monkeypatch):
    where = f"{model.about['folder']}/table.jsonl"
    whole = model.rewards(where)
    monkeypatch.setattr(store_rewards, "BLOCK", 7 * 2 * WIDE * 4)
    np.testing.assert_allclose(model.rewards(where), whole, rtol=1e-12, atol=1e-12)


def test_vectors_in_the_json_file_are_read_as_before(model, tmp_path):
    """Formats 1 and 2, in which the coding's means and scales were lists."""
    plain = SCHEMA.replace(arrays=(), unit_index=False)
    data = Dataset.from_table(table(), plain)
    coding = data.fit_coding()
    params = jax.tree.map(np.asarray, models.initial(models.Linear(), jax.random.key(0), data.choices(coding)))
    own = dataclasses.replace(model, params=params, coding=coding, schema=data.schema)
    path = own.save(tmp_path / "old")
    record = json.loads(path.read_text())
    (vector,) = coding.items.vectors
    record["coding"]["items"]["vectors"] = [
        {"name": "own", "mean": vector.mean.tolist(), "scale": vector.scale.tolist()}
    ]
    record |= {"format": "faro-model/2", "model": {"kind": "linear", "options": {"scale": 0.01}, "class": "Linear"}}
    path.write_text(json.dumps(record))
    assert load_model(path).coding == coding
    np.testing.assert_array_equal(load_model(path).rewards(data), own.rewards(data))


def broken(arrays: dict[str, np.ndarray], name: str, value: np.ndarray | None) -> dict[str, np.ndarray]:
    return {own: values for own, values in {**arrays, name: value}.items() if values is not None}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("items/text/mean", None),
        ("items/text/mean", np.zeros(5)),
        ("items/text/mean", np.full(WIDE, np.nan)),
        ("items/text/scale", np.zeros(())),
        ("items/each/scale", np.full(WIDE, -1.0)),
        ("items/own/mean", np.zeros((3, 1))),
        ("units", None),
        ("units", np.zeros((2, 16), np.uint8)),
    ],
)
def test_a_damaged_coding_is_refused(model, tmp_path, name, value):
    path = model.save(tmp_path / "model")
    record, weights = json.loads(path.read_text()), path.with_suffix(".safetensors")
    tensors = broken(safetensors.numpy.load_file(weights), f"coding/{name}", value)
    safetensors.numpy.save_file(tensors, weights)
    record["parameters_sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest()
    path.write_text(json.dumps(record))
    with pytest.raises(DataError, match="not a saved model or damaged"):
        load_model(path)
