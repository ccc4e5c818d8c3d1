"""Models without the people that training knew: the same for everybody else, and nothing of them left."""

from __future__ import annotations

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import faro
from faro import cli
from faro.errors import UsageError
from faro.models import Model
from faro.store.model import TrainedModel, load_model

SCHEMA = {"format": "accept", "unit": "who", "label": "took", "numeric": ["x"], "unit_index": True}


@dataclasses.dataclass(frozen=True)
class Untold(Model):
    """A level of each known person, whose class does not say so."""

    def init(self, key, spec):
        return {"common": jnp.zeros(spec.items.shape[-1]), "level": jnp.zeros(spec.units)}

    def apply(self, params, choices):
        known = choices.unit_index
        level = jnp.where(known < 0, 0, params["level"][jnp.maximum(known, 0)])
        return choices.items @ params["common"] + level[:, None]


@dataclasses.dataclass(frozen=True)
class Levels(Untold):
    """And one that does."""

    def personal(self, params):
        return {"common": False, "level": True}


def people(names) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"who": names, "x": rng.normal(size=len(names)), "took": rng.integers(0, 2, len(names))})


def knowing(model: Model) -> TrainedModel:
    data = faro.load(people([f"p{i % 20}" for i in range(60)]), SCHEMA)
    coding = data.fit_coding()
    params = {"common": np.ones(1), "level": np.arange(1.0, 1 + coding.units.size)}
    return TrainedModel(model, params, coding, data.schema, {"seed": 0, "digest": data.digest})


def test_nothing_of_known_people_is_left_and_new_people_are_as_before(tmp_path):
    model = knowing(Levels())
    less = model.without_people()
    known, strangers = people(["p1", "p2", "p3"]), people(["q1", "q2", "q3"])
    np.testing.assert_array_equal(less.rewards(strangers), model.rewards(strangers))
    np.testing.assert_array_equal(less.rewards(known), model.rewards(known.assign(who=["q1", "q2", "q3"])))
    assert not np.array_equal(less.rewards(known), model.rewards(known))
    files = {}
    for name, own in (("with", model), ("without", less)):
        own.save(tmp_path / name)
        again = load_model(tmp_path / name, own.model)
        np.testing.assert_array_equal(again.rewards(known), own.rewards(known))
        files[name] = (tmp_path / f"{name}.safetensors").read_bytes()
        said = json.loads((tmp_path / f"{name}.json").read_text()).get("personal_data", "")
        assert ("codes of 20 people" in said) == (name == "with")
    hashes = model.coding.units.hashes
    assert all(bytes(one) in files["with"] and bytes(one) not in files["without"] for one in hashes)
    assert not again.params["level"].any() and "known people were dropped" in again.about["notes"][-1]


def test_what_cannot_be_dropped_is_refused_in_words(capsys):
    with pytest.raises(UsageError, match="Untold has parameters with 20 rows"):
        knowing(Untold()).without_people()
    with pytest.raises(UsageError, match="knows nobody by name"):
        knowing(Levels()).without_people().without_people()
    assert cli.main(["train", "--data", "demo", "--drop-people"]) == 2  # before anything is trained
    assert "has no unit_index" in capsys.readouterr().err
    assert cli.main(["frontier", "--data", "demo", "--drop-people"]) == 2


def test_models_of_a_run_are_saved_without_people(tmp_path):
    table = people([f"p{i % 40}" for i in range(400)]).assign(side=np.tile(["a", "b"], 200))
    schema = {**SCHEMA, "attributes": [{"name": "side", "levels": ["a", "b"]}], "categorical": ["side"]}
    asked = {"bounds": [0.5], "seeds": 1, "model": Levels(), "settings": {"steps": 8, "every": 4}, "drop_people": True}
    run = faro.frontier(table, attribute="side", schema=schema, out=tmp_path / "out", **asked)
    assert run.models and not any(model.people or model.params["level"].any() for model in run.models)
    files = list((tmp_path / "out" / "models").glob("*.json"))
    assert files and not any("personal_data" in json.loads(path.read_text()) for path in files)
    again = faro.frontier(table, attribute="side", schema=schema, out=tmp_path / "out", **asked)
    assert again.reused and not again.models[0].params["level"].any()
    with pytest.raises(UsageError, match="another finished run"):
        faro.frontier(table, attribute="side", schema=schema, out=tmp_path / "out", **asked | {"drop_people": False})
