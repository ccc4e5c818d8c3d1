"""An ensemble of rewards as a model: its probabilities are shares of votes, also under a constraint."""

from __future__ import annotations

import jax
import numpy as np
import pandas as pd
import pytest

import constraints as ct
import faro
from constraints.alternatives import joined
from faro.data import Schema
from faro.losses import Brier
from faro.models import Ensemble, InputSpec, predict


@pytest.mark.parametrize("outside", [False, True])
def test_probabilities_are_those_of_a_member_drawn_by_weight(outside, x64):
    rng, k = np.random.default_rng(0), 3
    out = np.zeros((7, k), bool)
    out[:, -1] = outside
    items, context = rng.normal(size=(7, k - outside, 2)), rng.normal(size=(7, 1))
    choices = ct.make_choices(items, np.eye(k)[rng.integers(0, k, 7)], context=context, outside=out)
    model = Ensemble(members=2, sharpness=5.0)
    params = jax.tree.map(
        lambda leaf: leaf + 0.3 * rng.normal(size=leaf.shape), model.init(jax.random.key(0), InputSpec.of(choices))
    )
    said = np.exp(joined(predict(model, params, choices).scores))
    plain, shares = 0, np.exp(params["share"]) / np.exp(params["share"]).sum()
    for member, share in enumerate(shares):
        own = jax.tree.map(lambda leaf, member=member: np.asarray(leaf[member]), params["members"])
        length = np.sqrt(sum((leaf**2).sum() for leaf in own.values()))
        taste = own["item"] + context @ own["cross"].T
        rewards = own["intercept"] + context @ own["context"][:, None] + np.einsum("nkd,nd->nk", items, taste)
        scores = np.concatenate([5 * rewards / length, np.zeros((7, int(outside)))], 1)
        plain = plain + share * np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    assert np.allclose(said, plain, atol=1e-12)
    longer = {**params, "members": jax.tree.map(lambda leaf: 3 * leaf, params["members"])}
    assert np.allclose(said, np.exp(joined(predict(model, longer, choices).scores)), atol=1e-9)


@pytest.mark.slow
def test_shares_are_matched_under_a_bound_on_the_draw_and_the_file_serves_it(tmp_path):
    rng = np.random.default_rng(0)
    tastes = rng.standard_normal((3, 3))
    tastes /= np.linalg.norm(tastes, axis=1, keepdims=True)
    x = rng.standard_normal((900, 2, 3))
    share = ((x[:, 0] - x[:, 1]) @ tastes.T > 0) @ np.array([0.5, 0.3, 0.2])
    sides = ("left", "right")
    frame = pd.DataFrame({f"{side}_{j}": x[:, i, j] for i, side in enumerate(sides) for j in range(3)})
    frame = frame.assign(pair=range(900), share=share)
    for i, side in enumerate(sides):
        frame[f"{side}_long"] = np.where(x[:, i, 0] > 0, "yes", "no")
    schema = Schema.from_dict(
        {
            "format": "wide",
            "unit": "pair",
            "sides": list(sides),
            "label": "share",
            "numeric": ["0", "1", "2"],
            "attributes": [{"name": "long", "levels": ["yes", "no"]}],
        }
    )
    drawn = {"rule": "softmax(temperature=1)"}
    data, of = faro.load(frame, schema), {"attribute": "long", "model": "ensemble", "loss": Brier()}
    errors = {}
    for bound in (1.0, 0.1):
        model = faro.train(data, bound=bound, settings={**drawn, "steps": 300}, seed=0, **of)
        assert model.about["status"] == "FEASIBLE" and model.about["figures"]["train_gap"] <= bound
        served = model.score(frame, rule=model.rule_named()).set_index(["choice", "alternative"])
        errors[bound] = ((served["decision"] - served["label"]) ** 2).mean()
    assert errors[1.0] < 0.005 and errors[0.1] > 2 * errors[1.0]  # what the bound costs
    found = np.asarray(model.params["members"]["item"])
    assert model.model == Ensemble() and found.shape == (3, 3)
    model.save(tmp_path / "m")
    again = faro.load_model(tmp_path / "m.json")
    pd.testing.assert_frame_equal(again.score(frame), model.score(frame))
