"""Sweeps whose ridge the data choose: one loss for the game, the exact path and the envelope."""

import json

import jax
import numpy as np
import pandas as pd
import pytest

import constraints as ct
import faro
from faro import exact, models, verify
from faro.data.views import View
from faro.errors import UsageError
from faro.exact.of_run import write_envelopes
from faro.sweep import ridges
from faro.training.ridge import UNCHOSEN

SETTINGS = {"steps": 20}


@pytest.fixture(scope="module")
def data():
    return faro.load("demo")


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ridges")
    return folder, faro.frontier(data, bounds=[0.1], seeds=2, settings=SETTINGS, out=folder)


def optimum(data, trained):
    """By the exact solver in float64, on train and selection, with the ridge that the model names."""
    view = View.of(data, trained.about["seed"])
    rows = np.concatenate([view.rows[part] for part in ("train", "selection")])
    with jax.enable_x64(True):
        choices = data.choices(trained.coding, rows, dtype=np.float64)
    said = trained.about["ridge"]
    shares = models.Linear().shares(models.PARTS, float(said["interactions"]))
    head = exact.Head.of(choices, said["weight_decay"], shares=shares)
    return head, exact.solve(head, exact.Rows.of(np.zeros((0, head.d))), 0.0)


@pytest.mark.slow
def test_the_unconstrained_model_is_the_optimum_of_all_that_was_seen(data, run):
    folder, made = run
    stored = json.loads((folder / "manifest.json").read_text())["ridge"]
    assert stored["chosen_by"] == "folds" and stored["seeds"].keys() == {"0", "1"}
    for trained in made.models[:2]:
        assert trained.about["ridge"] == {"chosen_by": "folds"} | stored["seeds"][str(trained.about["seed"])]
        head, best = optimum(data, trained)
        reached = head.loss(head.weights(jax.tree.map(np.asarray, trained.params)))
        assert best.loss - 1e-9 <= reached <= best.loss + 1e-6
    assert made.table["status"].tolist() == ["FEASIBLE"] * 4


@pytest.mark.slow
def test_the_exact_path_and_the_envelope_are_of_the_same_loss(data, run):
    folder, made = run
    by_solves = faro.frontier(data, bounds=[0.1], seeds=1, settings={"solver": "exact"})
    assert by_solves.models[0].about["ridge"] == made.models[0].about["ridge"]
    columns = ["train_nll", "selection_nll", "dev_nll"]
    np.testing.assert_allclose(by_solves.table[columns][:1], made.table[columns][:1], atol=1e-5)
    summary, _ = write_envelopes(folder, features=True, width=1e-2)
    assert (
        summary["points"] > 2
        and verify.main([str(folder / f"envelope-seed0.{kind}") for kind in ("json", "jsonl")]) == 0
    )


@pytest.mark.slow
def test_what_is_given_is_not_chosen_and_gives_the_same_again(data):
    """Both numbers, given, lead to the figures that choosing them led to; one alone leaves the other open."""
    made = faro.frontier(data, bounds=[0.1], seeds=[0], settings=SETTINGS)
    said = {name: float(value) for name, value in made.models[0].about["ridge"].items() if name != "chosen_by"}
    again = faro.frontier(data, bounds=[0.1], seeds=[0], settings=SETTINGS | said)
    assert again.manifest["ridge"] == {"chosen_by": "settings", "seeds": {"0": made.manifest["ridge"]["seeds"]["0"]}}
    pd.testing.assert_frame_equal(again.table, made.table)
    half = faro.frontier(data, bounds=[0.1], seeds=[0], settings={"steps": 2, "weight_decay": 0.03}).manifest["ridge"]
    assert half["chosen_by"] == "folds" and half["seeds"]["0"]["weight_decay"] == 0.03


@pytest.mark.slow
def test_products_that_are_left_out_are_written_and_read_again(data, tmp_path):
    """JSON has no infinity: what the manifest says is what the settings take."""
    given = {"steps": 2, "weight_decay": 0.03, "interactions": float("inf")}
    faro.frontier(data, bounds=[0.3], seeds=1, settings=given, out=tmp_path / "run")
    stored = json.loads((tmp_path / "run" / "manifest.json").read_text())["configuration"]
    assert stored.pop("model") and stored["interactions"] == "inf"
    assert faro.Settings.of(stored).interactions == float("inf")


@pytest.mark.slow
def test_a_stream_has_the_default_and_says_so(data):
    trained = faro.train(data, bound=0.1, settings={"steps": 4}, stream=2)
    assert trained.about["ridge"] == {"chosen_by": "nothing", "weight_decay": UNCHOSEN, "interactions": 1.0}


@pytest.mark.slow
def test_a_network_is_given_the_ridge_that_selection_prefers(data):
    made = faro.frontier(data, bounds=[0.1], seeds=1, model="mlp:4", settings={"steps": 10})
    assert made.manifest["ridge"]["chosen_by"] == "selection"
    assert made.models[0].about["ridge"]["weight_decay"] in ridges.ridges.FEW


@pytest.mark.slow
def test_a_network_is_as_wide_as_selection_prefers(data):
    """The unconstrained loss at the ends of what is offered, each trained on its own: none is below that of the width
    that was chosen; units that are not there have no parameters, and the model says what it has."""
    asked = {"bounds": [1.0], "seeds": 1, "model": "mlp"}
    settings = {"steps": 30, "weight_decay": 1e-3}
    offered = models.MLP().widths_offered
    chosen = faro.frontier(data, **asked, settings=settings).models[0].about["ridge"]["width"]
    losses = {}
    for width in {chosen, offered[0], offered[-1]}:
        made = faro.frontier(data, **asked, settings=settings | {"width": width})
        losses[width] = made.table["selection_nll"].iloc[0]
        kernel = np.asarray(made.models[0].params["Dense_0"]["kernel"])
        assert np.count_nonzero(np.abs(kernel).sum(0)) == 64 * width
    assert chosen in offered and losses[chosen] == min(losses.values())


@pytest.mark.slow
def test_a_network_without_some_of_its_units_is_a_narrower_one():
    rng = np.random.default_rng(0)
    wide, narrow = models.MLP((8, 4)), models.MLP((2, 1))
    x = rng.normal(size=(5, 3, 6)).astype(np.float32)
    choices = ct.make_choices(x, np.eye(3)[rng.integers(0, 3, 5)])
    params = wide.narrowed(models.initial(wide, jax.random.key(0), choices), 0.25)
    first, second, last = (params[f"Dense_{layer}"] for layer in range(3))
    own = {
        "Dense_0": {"kernel": first["kernel"][:, :2], "bias": first["bias"][:2]},
        "Dense_1": {"kernel": second["kernel"][:2, :1], "bias": second["bias"][:1]},
        "Dense_2": {"kernel": last["kernel"][:1], "bias": last["bias"]},
    }
    rewards = [np.asarray(model.apply(some, choices)) for model, some in ((wide, params), (narrow, own))]
    np.testing.assert_allclose(*rewards, atol=1e-6)
    assert np.abs(rewards[0]).max() > 0.01


@pytest.mark.parametrize("model", ["linear", "mlp:4"])
def test_a_width_that_is_not_open_is_refused(data, model):
    with pytest.raises(UsageError, match=r"width = 0.5: can have no effect, for the model has no hidden units"):
        faro.frontier(data, bounds=[0.1], seeds=1, model=model, settings={"width": 0.5})
    with pytest.raises(UsageError, match=r"share of hidden units in \(0, 1\], got 2"):
        faro.frontier(data, bounds=[0.1], seeds=1, model="mlp", settings={"width": 2})
