"""The place at which an answer was shown: heard by the loss, left out of rewards; refused where nobody says it."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special

import constraints as ct
import faro
from faro.data import Schema
from faro.errors import UsageError
from faro.losses import Logit, Shown
from faro.models import InputSpec, Linear, PositionTower, predict

PLACES = {"name": "position", "levels": ["0", "1", "2"]}


def choices(n=40, seed=0):
    rng = np.random.default_rng(seed)
    place = np.argsort(rng.random((n, 3)), 1)
    made = ct.make_choices(
        rng.normal(size=(n, 3, 2)).astype(np.float32),
        np.eye(3)[rng.integers(0, 3, n)],
        attributes={"position": np.where(rng.random((n, 3)) < 0.1, -1, place)},
    )
    return made


def test_the_tower_moves_what_was_shown_and_no_reward():
    """The loss is the logit of reward + tower, by hand; rewards, decisions and every metric are the model's own."""
    own, model = choices(), PositionTower(Linear(), 3)
    params = model.init(jax.random.key(0), InputSpec.of(own))
    params = {**params, "tower": jnp.array([1.0, -2.0, 4.0])}
    seen, plain = predict(model, params, own), predict(Linear(), params["model"], own)
    np.testing.assert_array_equal(np.stack(seen.rewards), np.stack(plain.rewards))
    place = np.asarray(own.attributes["position"])
    effect = np.where(place < 0, 0, np.array([0.0, -3.0, 3.0])[place])  # centred
    rewards = np.stack(plain.rewards).reshape(3, -1).T
    logs = rewards + effect - special.logsumexp(rewards + effect, axis=1, keepdims=True)
    expected = -(np.asarray(own.chosen) * logs).sum(1)
    np.testing.assert_allclose(np.asarray(Shown().per_choice(seen, own)), expected, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(model.effects(params)), [0, -3, 3], atol=1e-6)
    assert not np.allclose(expected, np.asarray(Logit().per_choice(plain, own)), atol=0.1)


def test_what_is_refused_and_what_is_said():
    own, model = choices(), PositionTower("linear", 3)
    params = model.init(jax.random.key(0), InputSpec.of(own))
    served = predict(model, params, own.replace(attributes={}))  # nobody has to say where what is served will stand
    np.testing.assert_array_equal(np.stack(served.rewards), np.stack(predict(Linear(), params["model"], own).rewards))
    with pytest.raises(UsageError, match="nothing but rewards"):
        Shown().per_choice(served, own)
    with pytest.raises(UsageError, match="take position_tower"):
        Shown().per_choice(predict(Linear(), params["model"], own), own)
    (alarm,) = model.alarms(params, None)
    assert "fitted by the loss `shown`" in alarm
    assert model.alarms({**params, "tower": jnp.array([1.0, 0, 0])}, None) == ()
    schema = Schema.from_dict({
        "format": "wide", "sides": ["a", "b"], "unit": "who", "label": "won", "numeric": ["x"],
        "attributes": [{"name": "position", "levels": ["0", "1"], "chooser": True}],
    })  # fmt: skip
    with pytest.raises(UsageError, match="'position' is of who chooses, so all alternatives have the same place"):
        PositionTower("linear").of_schema(schema)
    with pytest.raises(ValueError, match="at least 2"):
        PositionTower("linear", 1).init(jax.random.key(0), InputSpec.of(own))
    with pytest.raises(UsageError, match="unknown model"):
        PositionTower("nobody")


@pytest.mark.slow
def test_a_place_is_told_from_merit(tmp_path):
    """Of clicks that depend on the place the tower is that of scipy's fit of both, and a plain model errs where an
    imperfect ranker put answers; saved and loaded it scores the same."""
    rng, lists, places = np.random.default_rng(1), 900, 6
    w = np.array([1.0, -0.6, 0.3])
    x = rng.normal(size=(lists, places, 3))
    order = np.argsort(-(x @ (w + np.array([-0.8, 0.9, 0.6]))), 1)
    x = np.take_along_axis(x, order[..., None], 1)
    clicked = rng.random(x.shape[:2]) < special.expit(x @ w + 1 - 0.6 * np.arange(places))
    frame = pd.DataFrame(x.reshape(-1, 3), columns=["a", "b", "c"]).assign(
        list=np.repeat(np.arange(lists), places), click=clicked.ravel().astype(int),
        position=np.tile(np.arange(places), lists).astype(str))  # fmt: skip
    schema = {"format": "accept", "unit": "list", "label": "click", "numeric": ["a", "b", "c"],
              "attributes": [{"name": "position", "levels": [str(place) for place in range(places)],
                              "others": "exclude"}]}  # fmt: skip
    data = faro.load(frame, Schema.from_dict(schema))
    free, settings = ct.rate_cap(None, float("inf")), {"steps": 1000, "solution": "last", "weight_decay": 0.0}
    tower = faro.train(data, free, model=PositionTower("linear", places), settings=settings)
    plain = faro.train(data, free, model=Linear(), settings={"steps": 300})
    rows = data.rows(["train", "dual"])
    design = np.concatenate([x.reshape(-1, 3), np.eye(places)[np.tile(np.arange(places), lists)]], 1)[rows]
    label = frame["click"].to_numpy()[rows]

    def loss(b):
        fitted = design @ b
        return np.mean(np.logaddexp(0, fitted) - label * fitted), design.T @ (special.expit(fitted) - label) / len(
            label
        )

    best = optimize.minimize(loss, np.zeros(3 + places), jac=True, method="BFGS").x
    scale = np.array([number.scale for number in tower.coding.items.numbers])
    np.testing.assert_allclose(np.asarray(tower.model.effects(tower.params)), best[3:] - best[3:].mean(), atol=0.02)
    np.testing.assert_allclose(np.asarray(tower.params["model"]["item"]) / scale, best[:3], atol=0.02)
    off = [np.abs(np.asarray(own) / scale - w).max() for own in (tower.params["model"]["item"], plain.params["item"])]
    assert off[0] < off[1] / 2
    tower.save(tmp_path / "tower")
    again = faro.load_model(tmp_path / "tower.json")
    assert again.model == tower.model and again.loss == tower.loss
    np.testing.assert_array_equal(again.rewards(frame.assign(position="")), tower.rewards(frame))
