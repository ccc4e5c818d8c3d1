"""Coefficients by name add up to the rewards of the model that they were read from."""

import json

import jax
import numpy as np
import pandas as pd
import pytest

from faro import models
from faro.data import Dataset, Schema
from faro.store.coefficients import read
from faro.store.model import TrainedModel

ACCEPT = {
    "format": "accept", "unit": "row", "label": "y", "numeric": ["age"], "categorical": ["colour"], "vectors": ["text"],
    "context_numeric": ["year"], "on_missing": "level",
}  # fmt: skip


def saved(tmp_path, kind, seed=0):
    """A model of drawn parameters on a small table, saved; (path, table, model)."""
    rng = np.random.default_rng(seed)
    n = 40
    age = rng.normal(40, 12, n).round(1)
    table = pd.DataFrame(
        {
            "age": np.where(np.arange(n) % 7 == 0, np.nan, age),
            "colour": rng.choice(["red", "blue"], n),
            "text": list(rng.normal(size=(n, 3)) * [1, 5, 9]),
            "year": rng.normal(2000, 5, n),
            "y": rng.integers(2, size=n),
        }
    )
    data = Dataset.from_table(table, Schema.from_dict(ACCEPT), name="t")
    coding = data.fit_coding()
    shapes = jax.eval_shape(lambda own: models.initial(kind, jax.random.key(0), own), data.choices(coding))
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)
    model = TrainedModel(kind, params, coding, data.schema)
    return model.save(tmp_path / "m"), data, model


def test_they_add_up_to_the_rewards(tmp_path):
    path, data, model = saved(tmp_path, models.Linear())
    found = read(path, 10_000)
    items, context = model.coding.transform(data.parsed.items, data.parsed.context, np.float64)
    value = {"(intercept)": np.ones(data.n)}
    value |= dict(zip(model.coding.items.names, items[:, 0].T, strict=True))
    sides = dict(zip(model.coding.context.names, context.T, strict=True))
    value |= sides | {f"{a} x {b}": value[a] * sides[b] for a in model.coding.items.names for b in sides}
    assert {own.name for own in found.listed} == set(value) and found.more == 0
    rewards = sum(own.standardised * value[own.name] for own in found.listed)
    assert rewards == pytest.approx(model.rewards(data)[:, 0], abs=1e-5)
    assert [abs(own.standardised) for own in found.listed] == sorted(
        (abs(own.standardised) for own in found.listed), reverse=True
    )
    age, text, year = model.coding.items.numbers[0], model.coding.items.vectors[0], model.coding.context.numbers[0]
    by_name = {own.name: own for own in found.listed}
    for name, scale in {
        "age": age.scale, "age=(missing)": 1, "colour=red": 1, "text[2]": text.scale[2], "(intercept)": 1,
        "age x year": age.scale * year.scale, "colour=blue x year": year.scale,
    }.items():  # fmt: skip
        assert by_name[name].natural == pytest.approx(by_name[name].standardised / scale)


def test_the_smallest_are_counted_and_what_cancels_is_left_out(tmp_path):
    path, _, _ = saved(tmp_path, models.Linear())
    every, some = read(path, 10_000), read(path, 3)
    assert some.listed == every.listed[:3] and some.more == len(every.listed) - 3
    record = json.loads(path.read_text())
    record["schema"]["format"] = "long"  # nobody can choose nothing
    path.write_text(json.dumps(record))
    left = {own.name for own in every.listed} - {own.name for own in read(path, 10_000).listed}
    assert left == {"(intercept)", "year"}


def test_there_are_none_of_what_is_not_linear_or_not_there(tmp_path):
    path, _, _ = saved(tmp_path, models.MLP((2,)))
    assert read(path, 10) is None
    assert read(tmp_path / "nothing.json", 10) is None
    path, _, _ = saved(tmp_path, models.Linear())
    path.with_suffix(".safetensors").write_bytes(b"damaged")
    assert read(path, 10) is None
