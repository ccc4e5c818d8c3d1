"""A model that reads earlier choices goes the whole way: trained under a bound, saved, opened, scored, the same."""

from __future__ import annotations

import numpy as np
import pytest

import faro
from faro.models import VPL, LatentClass, PReF


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "model", "constraint", "attribute"),
    [
        ("demo-51-49", LatentClass(kinds=2, support=8), "equal_opportunity", "dialect"),
        ("demo-levels", PReF(rank=1, support=8), "group_error", "community"),
    ],
    ids=["latent_class", "pref"],
)
def test_trained_saved_opened_scored(data, model, constraint, attribute, tmp_path):
    settings = {"steps": 60, "weight_decay": 1e-4}
    trained = faro.train(data, constraint, attribute=attribute, bound=0.4, model=model, settings=settings)
    assert trained.about["status"] == "FEASIBLE"
    trained.save(tmp_path / "model")
    again = faro.load_model(tmp_path / "model.json")
    assert again.model == model
    table = faro.load(data)
    first, second = trained.score(table), again.score(table)
    assert first.equals(second)
    assert (first["part"] == "support").sum() == 600 * 8 * (2 if table.k == 2 and not table.outsiders else 1)
    dev = first[first["part"] == "dev"]
    if data == "demo-51-49":
        assert (dev["label"] * dev["decision"]).sum() / dev["choice"].nunique() > 0.7  # a linear model is at .65
    assert np.isfinite(first["reward"]).all()


@pytest.mark.slow
def test_a_collapsed_encoder_is_noted():
    model = VPL(support=4, size=2, width=4, kl=100.0)
    trained = faro.train("demo-people", bound=1.0, model=model, settings={"steps": 40, "weight_decay": 1e-4})
    assert any("collapsed" in note for note in trained.about["notes"])
