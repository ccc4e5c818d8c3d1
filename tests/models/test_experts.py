"""Several objectives by shared experts: each choice is fitted by its own, and the stated sum is what is served."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import special

import constraints as ct
import faro
from faro.data import Schema
from faro.errors import UsageError
from faro.losses import Shown
from faro.models import InputSpec, MMoE, PositionTower, predict

OBJECTIVES = {"name": "objective", "chooser": True, "levels": ["helpful", "harmless"]}


def choices(n=30, k=3, outside=True, seed=0):
    rng = np.random.default_rng(seed)
    out = np.zeros((n, k), bool)
    out[:, -1] = outside
    objective = np.repeat(rng.integers(-1, 2, (n, 1)), k, 1)
    return ct.make_choices(
        rng.normal(size=(n, k, 2)).astype(np.float32), np.eye(k)[rng.integers(0, k, n)],
        context=rng.normal(size=(n, 1)).astype(np.float32), attributes={"objective": objective}, outside=out,
    )  # fmt: skip


def drawn(model, own, seed=1):
    """Parameters none of which is 0."""
    params = model.init(jax.random.key(seed), InputSpec.of(own))
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed + 1), len(leaves))
    moved = [leaf + 0.3 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(tree, moved)


def by_hand(model, params, x):
    """Rewards of every objective of one alternative, `[T]`."""
    hidden = [x @ kernel + bias for kernel, bias in zip(params["expert"], params["bias"], strict=True)]
    said = [own * special.ndtr(own) for own in hidden]
    found = []
    for gate, head, constant in zip(params["gate"], params["head"], params["constant"], strict=True):
        shares = special.softmax(np.append(x, 1) @ gate)
        found.append(head @ sum(share * own for share, own in zip(shares, said, strict=True)) + constant)
    return np.array(found)


def test_rewards_and_what_was_shown_are_those_by_hand():
    own, model = choices(), MMoE(2, weights=(0.7, 0.3), experts=3, width=4)
    params = drawn(model, own)
    seen = predict(model, params, own)
    plain = jax.tree.map(np.asarray, params)
    x = np.concatenate([own.items, np.repeat(np.asarray(own.context)[:, None], own.items.shape[1], 1)], -1)
    each = np.array([[by_hand(model, plain, one) for one in row] for row in x])
    inside = each.shape[1]
    out = np.asarray(own.outside)[:, :inside]
    rewards = np.where(out, 0, each @ [0.7, 0.3])
    np.testing.assert_allclose(np.stack(seen.rewards).reshape(own.shape[1], -1).T[:, :inside], rewards, atol=1e-5)
    objective = np.asarray(own.attributes["objective"])[:, :inside]
    shown = np.where(objective < 0, each @ [0.7, 0.3], np.take_along_axis(each, objective[..., None], 2)[..., 0])
    shown = np.concatenate([np.where(out, 0, shown), np.zeros((len(x), own.shape[1] - inside))], 1)
    there = np.asarray(own.available)
    logs = shown - special.logsumexp(np.where(there, shown, -np.inf), axis=1, keepdims=True)
    expected = -(np.asarray(own.chosen) * np.where(there, logs, 0)).sum(1)
    np.testing.assert_allclose(np.asarray(Shown().per_choice(seen, own)), expected, rtol=1e-4)


def test_one_expert_has_no_gate_and_the_order_of_experts_does_not_matter():
    own, model = choices(), MMoE(2, experts=3)
    params = drawn(model, own)
    turned = {
        **params,
        "expert": params["expert"][::-1],
        "bias": params["bias"][::-1],
        "gate": params["gate"][..., ::-1],
    }
    np.testing.assert_allclose(model.each(params, own), model.each(turned, own), atol=1e-5)
    alone = MMoE(2, experts=1)
    params = drawn(alone, own)
    np.testing.assert_array_equal(alone.each(params, own), alone.each({**params, "gate": 9 * params["gate"]}, own))


def test_an_expert_is_left_out_in_training_alone_and_never_all_of_them():
    own, model = choices(), MMoE(2, experts=2, dropout=0.99)
    params = drawn(model, own)
    single = [model.each(params, own, jnp.arange(2) == one) @ jnp.array([0.5, 0.5]) for one in range(2)]
    seen = {
        tuple(
            np.abs(np.asarray(model.apply(params, own, key=key, train=True).rewards) - one).max() < 1e-5
            for one in single
        )
        for key in jax.random.split(jax.random.key(0), 20)
    }
    assert seen <= {(True, False), (False, True), (False, False)} and {(True, False), (False, True)} <= seen
    still = model.apply(params, own, key=jax.random.key(0), train=False).rewards
    np.testing.assert_array_equal(still, model.apply(params, own).rewards)


def test_what_is_refused():
    schema = Schema.from_dict(
        {"format": "accept", "unit": "row", "label": "y", "numeric": ["a"], "attributes": [OBJECTIVES]}
    )
    assert MMoE().of_schema(schema) == MMoE(2, weights=(0.5, 0.5))
    assert PositionTower("linear", by="objective").of_schema(schema).places == 2
    for model, words in (
        (MMoE(3), "mmoe: objectives=3, and the attribute 'objective' has 2 levels"),
        (MMoE(by="goal"), "unknown attribute 'goal' .known: objective"),
        (MMoE(weights=(1.0,)), "a weight of each; got 2"),
        (PositionTower("linear", 10, by="objective"), "places=10, and the attribute 'objective' has 2 levels"),
        (PositionTower("linear"), "unknown attribute 'position'"),
    ):
        with pytest.raises(UsageError, match=words):
            model.of_schema(schema)
    for weights in ((0.0, 0.0), (float("nan"), 1.0)):
        with pytest.raises(UsageError, match="finite weights, not all 0"):
            MMoE(objectives=2, weights=weights).init(jax.random.key(0), None)
    with pytest.raises(ValueError, match="experts"):
        MMoE(experts=0)


@pytest.mark.slow
def test_opposed_objectives_are_told_apart(tmp_path):
    """Of choices by two opposed objectives a plain model learns nothing; MMoE learns both, serves the sum that is asked
    for, is bounded as any model, and the same again from disk; tables that are served need no objective."""
    rng, n = np.random.default_rng(2), 1500
    settings = {"steps": 200, "weight_decay": 1e-3}
    x = rng.normal(size=(n, 2, 2))
    goal = rng.integers(0, 2, n)
    liked = np.where(goal[:, None] == 0, 3 * x[..., 0], -3 * x[..., 0] + 3 * x[..., 1])
    frame = pd.DataFrame({"rater": np.arange(n) // 5, "objective": np.array(OBJECTIVES["levels"])[goal]})
    for side, own in zip(("left", "right"), x.transpose(1, 0, 2), strict=True):
        frame[[f"{side}_a", f"{side}_b"]] = own
        frame[f"{side}_dialect"] = np.where(own[:, 0] + rng.normal(size=n) > 0, "A", "B")
    frame["left_won"] = (liked[:, 0] - liked[:, 1] + rng.logistic(size=n) > 0).astype(int)
    schema = Schema.from_dict({
        "format": "wide", "unit": "rater", "sides": ["left", "right"], "label": "left_won", "numeric": ["a", "b"],
        "attributes": [OBJECTIVES, {"name": "dialect", "levels": ["A", "B"]}],
    })  # fmt: skip
    data = faro.load(frame, schema)
    model = faro.train(data, attribute="dialect", bound=0.1, model=MMoE(), settings=settings)
    assert model.about["status"] == "FEASIBLE" and model.about["figures"]["train_gap"] <= 0.1
    free = faro.train(
        data, attribute="dialect", bound=float("inf"), model=MMoE(weights=(1.0, 0.0)), loss=Shown(), settings=settings
    )
    plain = faro.train(data, attribute="dialect", bound=float("inf"), model="mlp:16", settings=settings)
    fresh = frame.assign(objective="helpful")

    def right(own):  # pairs in the order of the first objective
        rewards = own.rewards(fresh)
        return np.mean((rewards[:, 0] > rewards[:, 1]) == (x[:, 0, 0] > x[:, 1, 0]))

    assert right(free) > 0.95 and right(plain) < 0.8
    free.save(tmp_path / "free")
    again = faro.load_model(tmp_path / "free.json")
    assert again.model == free.model
    np.testing.assert_array_equal(again.rewards(frame), free.rewards(frame))
    np.testing.assert_array_equal(free.rewards(fresh), free.rewards(frame))
