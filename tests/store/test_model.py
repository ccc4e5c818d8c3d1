"""A stranger's model in a package of its own: stored as data and opened without it, by its entry point alone."""

import importlib
import json
import sys

import jax
import numpy as np
import pytest

import faro
from faro import api, models, registry
from faro.cli import main
from faro.errors import DataError, UsageError
from faro.store import spec
from faro.store.model import TrainedModel, load_model

MINE = '''
import dataclasses

import jax

from faro.models import Model


@dataclasses.dataclass(frozen=True)
class Shape:
    power: int = 1


@dataclasses.dataclass(frozen=True)
class Layers(Model):
    """Rewards x.w of powers of the features; parameters are a list."""

    depth: int = 1
    shape: Shape = Shape()

    def init(self, key, spec):
        return [jax.random.normal(key, spec.items.shape[-1:]) for _ in range(self.depth)]

    def apply(self, params, choices):
        return sum((choices.items**self.shape.power) @ own for own in params)


class Other(Layers):
    pass
'''
DEMO = faro.load("demo")


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """The module `stranger_nets`, of a package that declares its class `Layers` as the model "layers"."""
    site = tmp_path / "site"
    (site / "stranger-1.0.dist-info").mkdir(parents=True)
    (site / "stranger_nets.py").write_text(MINE)
    (site / "stranger-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (site / "stranger-1.0.dist-info" / "entry_points.txt").write_text("[faro.models]\nlayers = stranger_nets:Layers\n")
    monkeypatch.syspath_prepend(site)
    importlib.invalidate_caches()
    _forget()
    yield importlib.import_module("stranger_nets")
    monkeypatch.undo()
    _forget()


def _forget():
    """As a new process, which has imported nothing of a stranger's."""
    sys.modules.pop("stranger_nets", None)
    registry.declared.cache_clear()
    spec._declared_modules.cache_clear()


def saved(model, place):
    coding = DEMO.fit_coding(DEMO.rows("train", 0))
    params = models.initial(model, jax.random.key(1), DEMO.choices(coding, np.arange(4)))
    trained = TrainedModel(model, jax.tree.map(np.asarray, params), coding, DEMO.schema, {"seed": 0})
    return trained, trained.save(place)


def test_a_declared_model_is_opened_without_its_class(stranger, tmp_path):
    before, path = saved(stranger.Layers(2, stranger.Shape(3)), tmp_path / "own")
    assert json.loads(path.read_text())["model"] == {
        "type": "layers",
        "options": {"depth": 2, "shape": {"is": "object", "type": "stranger_nets:Shape", "options": {"power": 3}}},
    }
    assert spec.typed(stranger.Layers(2)) == "layers(depth=2)"
    _forget()
    assert main(["score", str(path), "demo", "--part", "dev", "--out", str(tmp_path / "dev.csv"), "--quiet"]) == 0
    assert "stranger_nets" in sys.modules
    after = load_model(path)
    assert type(after.model).__name__ == "Layers" and (after.model.depth, after.model.shape.power) == (2, 3)
    assert isinstance(after.params, list)
    np.testing.assert_array_equal(after.rewards(DEMO), before.rewards(DEMO))
    assert api.make_model("layers(depth=2)").depth == 2
    for text, said in (("layers(width=2)", "option of layers 'width'"), ("tree", "known: .*encoder, .*linear, .*layer"),
                       ("stranger_nets:Shape", "expected a faro.models.Model, got Shape")):  # fmt: skip
        with pytest.raises(UsageError, match=said):
            api.make_model(text)


def test_a_class_beside_the_declared_one_is_opened_too(stranger, tmp_path):
    """A file imports what a package declares, and no more: where nothing is declared, nothing is imported."""
    _, path = saved(stranger.Other(1), tmp_path / "own")
    _forget()
    assert load_model(path).model.depth == 1
    _forget()
    (tmp_path / "site" / "stranger-1.0.dist-info" / "entry_points.txt").write_text("")
    importlib.invalidate_caches()
    with pytest.raises(UsageError, match=r"import stranger_nets first.*load_model\(path, model=\.\.\.\)"):
        load_model(path)
    assert "stranger_nets" not in sys.modules
    given = importlib.import_module("stranger_nets").Other(1)
    assert load_model(path, given).model == given


def test_parameters_of_another_shape_are_refused(stranger, tmp_path):
    _, path = saved(stranger.Layers(2), tmp_path / "own")
    record = json.loads(path.read_text())
    record["model"]["options"]["depth"] = 3
    path.write_text(json.dumps(record))
    with pytest.raises(DataError, match="other names"):
        load_model(path)
    record["model"]["options"]["depth"] = 1  # a layer of the file would be left out
    path.write_text(json.dumps(record))
    with pytest.raises(DataError, match="other names"):
        load_model(path)


def test_faros_names_are_nobody_elses(stranger, tmp_path):
    points = tmp_path / "site" / "stranger-1.0.dist-info" / "entry_points.txt"
    points.write_text("[faro.models]\nlinear = stranger_nets:Layers\n")
    _forget()
    assert api.make_model("linear") == models.Linear()
