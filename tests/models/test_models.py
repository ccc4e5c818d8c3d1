"""Reward models: what they compute, twins, any Flax module, and what is saved."""

import dataclasses
import json
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from flax import nnx

import constraints as ct
import faro
from constraints.testing import example_choices
from faro import models
from faro.certify.drafts import constraint_of, draft_policy
from faro.errors import DataError, UsageError
from faro.store.model import TrainedModel, load_model
from faro.store.spec import to_record


class Tiny(nn.Module):
    width: int = 5

    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(nn.tanh(nn.Dense(self.width)(x)))


class TinyNNX(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(5, 4, rngs=rngs)
        self.out = nnx.List([nnx.Linear(4, 1, rngs=rngs)])

    def __call__(self, x):
        return self.out[0](jnp.tanh(self.hidden(x)))[..., 0]


class TinyNNXNormed(nnx.Module):
    def __init__(self, rngs):
        self.norm = nnx.BatchNorm(5, rngs=rngs)

    def __call__(self, x):
        return self.norm(x).sum(-1)


EVERY = [
    models.Linear(),
    models.MLP((8, 4)),
    models.FlaxModel(Tiny()),
    models.FlaxModel(lambda rngs: TinyNNX(rngs)),
]


rewards_of = jax.jit(models.rewards, static_argnums=0)
twin_rewards_of = jax.jit(models.twin_rewards, static_argnums=(0, 3))
decided = jax.jit(ct.decide)


@pytest.mark.parametrize("model", EVERY, ids=lambda m: type(m).__name__)
def test_every_model_scores_alternatives_one_at_a_time(model):
    """Rewards `[n, K]`, finite, 0 outside; swapping alternatives swaps rewards; vmap over parameters agrees."""
    choices = example_choices(n=12)
    params = model.init(jax.random.key(0), choices)
    rewards = rewards_of(model, params, choices)
    assert rewards.shape == choices.shape and np.isfinite(rewards).all()
    assert not np.any(np.asarray(rewards)[np.asarray(choices.outside)])
    swap = jnp.array([1, 0, 2, 3])
    swapped = choices.replace(items=choices.items[:, swap], outside=choices.outside[:, swap])
    np.testing.assert_allclose(rewards_of(model, params, swapped), rewards[:, swap], atol=1e-6)
    both = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), params)
    again = jax.jit(jax.vmap(lambda p: rewards_of(model, p, choices)))(both)
    np.testing.assert_allclose(again, jnp.stack([rewards, rewards]), atol=1e-6)
    assert not np.allclose(rewards_of(model, model.init(jax.random.key(1), choices), choices), rewards)


@pytest.mark.parametrize("model", EVERY, ids=lambda m: type(m).__name__)
def test_twin_rewards_are_rewards_of_the_twin(model):
    choices = example_choices(n=12)
    params = jax.tree.map(lambda leaf: leaf + 0.3, model.init(jax.random.key(0), choices))
    found = twin_rewards_of(model, params, choices, ("group", "community"))
    for level in range(4):
        at = choices.replace(items=choices.twins["group"].items[:, :, level])
        np.testing.assert_allclose(found["group"][..., level], rewards_of(model, params, at), atol=1e-5)
    for level in range(2):
        at = choices.replace(context=choices.twins["community"].context[:, level])
        np.testing.assert_allclose(found["community"][..., level], rewards_of(model, params, at), atol=1e-5)


def test_the_linear_model_is_its_formula():
    choices = example_choices(n=12)
    model, rng = models.Linear(), np.random.default_rng(0)
    params = model.init(jax.random.key(0), choices)
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), params)
    x, z = np.asarray(choices.items), np.asarray(choices.context)
    taste = np.asarray(params["item"]) + z @ np.asarray(params["cross"]).T
    expected = float(params["intercept"]) + (z @ np.asarray(params["context"]))[:, None] + (x * taste[:, None]).sum(-1)
    np.testing.assert_allclose(model.apply(params, choices), expected, atol=1e-5)


@pytest.mark.parametrize("model", EVERY, ids=lambda m: type(m).__name__)
def test_prepared_choices_have_the_same_rewards(model):
    choices = example_choices(n=12)
    params = jax.tree.map(lambda leaf: leaf + 0.3, model.init(jax.random.key(0), choices))
    prepared = model.prepare(choices)
    np.testing.assert_allclose(rewards_of(model, params, prepared), rewards_of(model, params, choices), atol=1e-5)
    names = ("group", "community")
    ours, theirs = (twin_rewards_of(model, params, own, names) for own in (prepared, choices))
    outcomes = []
    for name in names:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-5)
    for own, twins in ((prepared, ours), (choices, theirs)):
        outcomes.append(decided(ct.Softmax(), rewards_of(model, params, own), own, twins))
    for a, b in zip(jax.tree.leaves(outcomes[0]), jax.tree.leaves(outcomes[1]), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_modules_that_cannot_be_rewards_are_refused():
    choices = example_choices(n=12)

    class TwoOutputs(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2)(x)

    class Normed(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.BatchNorm(use_running_average=False)(x).sum(-1)

    wrong = models.FlaxModel(TwoOutputs())
    with pytest.raises(ValueError, match="must map features"):
        wrong.apply(wrong.init(jax.random.key(0), choices), choices)
    with pytest.raises(ValueError, match="parameters only"):
        models.FlaxModel(Normed()).init(jax.random.key(0), choices)
    with pytest.raises(ValueError, match="parameters only"):
        models.FlaxModel(lambda rngs: TinyNNXNormed(rngs)).init(jax.random.key(0), choices)


# Saved models ---------------------------------------------------------------------------------------------------------

DEMO = faro.load("demo")


def trained(model, seed=0):
    coding = DEMO.fit_coding(DEMO.rows(("train", "dual"), seed))
    params = model.init(jax.random.key(seed), DEMO.choices(coding, np.arange(4)))
    params = jax.tree.map(lambda leaf: np.asarray(leaf) + np.float32(0.1), params)
    return TrainedModel(model, params, coding, DEMO.schema, {"seed": seed})


@pytest.mark.parametrize("model", [models.Linear(), models.MLP((8, 4))], ids=["linear", "mlp"])
def test_a_saved_model_scores_exactly_as_before(model, tmp_path):
    before = trained(model)
    after = load_model(before.save(tmp_path / "some" / "model"))
    np.testing.assert_array_equal(after.rewards(DEMO), before.rewards(DEMO))
    pd.testing.assert_frame_equal(after.score(DEMO.frame), before.score(DEMO))
    assert sorted(path.name for path in (tmp_path / "some").iterdir()) == ["model.json", "model.safetensors"]
    record = json.loads((tmp_path / "some" / "model.json").read_text())
    assert record["features"]["items"][:3] == ["quality", "clarity", "brevity"]


def test_models_of_your_own_are_loaded_as_data_or_given(tmp_path):
    """A Linen module of plain fields is data; a function is none, so the model is given."""
    net = trained(models.FlaxModel(Tiny()))
    again = load_model(net.save(tmp_path / "net"))
    assert again.model == net.model
    np.testing.assert_array_equal(again.rewards(DEMO), net.rewards(DEMO))
    own = models.FlaxModel(lambda rngs: TinyNNXOnDemo(rngs))
    before = trained(own)
    path = before.save(tmp_path / "own")
    with pytest.raises(UsageError, match=r"'module' is a function.*call load_model\(path, model=...\)"):
        load_model(path)
    np.testing.assert_array_equal(load_model(path, own).rewards(DEMO), before.rewards(DEMO))
    with pytest.raises(DataError, match="other names"):
        load_model(path, models.MLP((9,)))
    with pytest.raises(DataError, match="other shapes"):
        load_model(net.save(tmp_path / "net"), models.FlaxModel(Tiny(4)))


class TinyNNXOnDemo(nnx.Module):
    def __init__(self, rngs):
        self.layers = nnx.List([nnx.Linear(7, 3, rngs=rngs), nnx.Linear(3, 1, rngs=rngs)])

    def __call__(self, x):
        return self.layers[1](jnp.tanh(self.layers[0](x)))


def test_the_scored_table():
    """A row per alternative; decisions of a choice sum to 1; rewards by hand in float64; parts of the data set."""
    model = trained(models.Linear())
    scored = model.score(DEMO)
    assert list(scored) == [
        "unit", "choice", "alternative", "dialect", "community", "label", "reward", "decision", "weight", "part",
    ]  # fmt: skip
    assert len(scored) == 24_000
    assert (scored.groupby("choice", sort=False)["decision"].sum() == 1).all()
    best = scored.groupby("choice")["reward"].transform("max") == scored["reward"]
    assert (scored.loc[best, "decision"] > 0).all() and (scored.loc[~best, "decision"] == 0).all()
    names = np.array(["train", "dual", "selection", "dev", "gate"])
    np.testing.assert_array_equal(scored["part"], np.repeat(names[DEMO.parts(0)], 2))
    items = model.coding.transform(DEMO.parsed.items, DEMO.parsed.context, np.float64)[0]
    context = model.coding.transform(DEMO.parsed.items, DEMO.parsed.context, np.float64)[1]
    p = {name: np.asarray(leaf, np.float64) for name, leaf in model.params.items()}
    expected = p["intercept"] + (items * (p["item"] + context @ p["cross"].T)[:, None]).sum(-1)
    expected += (context @ p["context"])[:, None]
    np.testing.assert_allclose(scored["reward"], expected.ravel(), atol=1e-12)


def test_new_people_without_labels_are_scored():
    model = trained(models.Linear())
    new = DEMO.frame.drop(columns=[DEMO.schema.label])
    scored = model.score(new)
    assert scored["label"].isna().all()
    np.testing.assert_array_equal(scored["reward"], model.score(DEMO)["reward"])


def test_damage_is_named(tmp_path):
    path = trained(models.Linear()).save(tmp_path / "model")
    with pytest.raises(DataError, match="no model at"):
        load_model(tmp_path / "absent")
    weights = path.with_suffix(".safetensors")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-8])
    with pytest.raises(DataError, match="damaged"):
        load_model(path)
    weights.write_bytes(whole)
    path.write_text(path.read_text().replace('"faro-model/3"', '"faro-model/9"'))
    with pytest.raises(DataError, match="faro-model/9"):
        load_model(path)
    path.write_text("{")
    with pytest.raises(DataError, match="damaged"):
        load_model(path)


def test_parameters_of_another_model_are_refused(tmp_path):
    """The two files of a model belong together, as when one of them was copied, or a run was killed between them."""
    first, second = (trained(models.Linear(), seed).save(tmp_path / f"{seed}") for seed in (0, 1))
    first.with_suffix(".safetensors").write_bytes(second.with_suffix(".safetensors").read_bytes())
    with pytest.raises(DataError, match=r"0\.safetensors: damaged, or not the parameters"):
        load_model(first)


class Layer(NamedTuple):
    weight: Any
    bias: Any


@dataclasses.dataclass(frozen=True)
class Layers(models.Model):
    """Parameters in a tuple of a named tuple, a list and a dict."""

    def init(self, key, choices):
        width = choices.items.shape[-1]
        return Layer(jax.random.normal(key, (width,)), jnp.zeros(())), [{"scale": jnp.ones(1)}, jnp.zeros(1)]

    def apply(self, params, choices):
        first, (second, last) = params
        return (choices.items @ first.weight + first.bias) * second["scale"] + last


class Bare(models.Model):
    """One array, in nothing."""

    def init(self, key, spec):
        return jnp.ones(spec.items.shape[-1])

    def apply(self, params, choices):
        return choices.items @ params


def test_parameters_may_be_one_array(tmp_path):
    before = trained(Bare())
    np.testing.assert_array_equal(load_model(before.save(tmp_path / "model")).params, before.params)


def test_parameters_may_be_any_pytree(tmp_path):
    before = trained(Layers())
    after = load_model(before.save(tmp_path / "model"))
    assert after.model == Layers()
    assert jax.tree.structure(after.params) == jax.tree.structure(before.params)
    np.testing.assert_array_equal(after.rewards(DEMO), before.rewards(DEMO))
    with pytest.raises(DataError, match="damaged"):
        load_model(tmp_path / "model", Layered())  # begins with other parameters


class Layered(Layers):
    def init(self, key, choices):
        return [*Layers.init(self, key, choices), jnp.zeros(3)]


# What it was trained under --------------------------------------------------------------------------------------------


def under(constraint):
    return dataclasses.replace(trained(models.Linear()), specification=to_record(constraint))


def test_a_saved_model_knows_its_constraint(tmp_path):
    dialect, community = DEMO.attributes["dialect"], DEMO.attributes["community"]
    own = ct.Stack(
        members=(
            ct.reward_parity(dialect, 0.1, scale=2.0, form="pairwise"),
            ct.threshold_parity(ct.cross(dialect, community), float("inf"), thresholds=(0.5,)),
        )
    )
    after = load_model(under(own).save(tmp_path / "model"))
    assert after.constraint == own and after.constraint.members[0].scale == 2.0
    scored = after.score(DEMO.frame)
    assert list(scored)[3:6] == ["dialect", "community", "dialect&community"]
    joined = scored["dialect"] + " & " + scored["community"]
    joined[(scored["dialect"] == "") | (scored["community"] == "")] = ""
    assert (scored["dialect&community"] == joined).all() and (joined != "").any()
    assert trained(models.Linear()).constraint is None


def test_a_constraint_that_cannot_be_stored_is_said_so(tmp_path):
    class Mine(type(ct.rate_cap(DEMO.attributes["dialect"]))):
        pass

    after = load_model(under(Mine(bound=0.1, who=ct.Grouping(DEMO.attributes["dialect"]))).save(tmp_path / "model"))
    assert len(after.score(DEMO.frame.head(8)))
    with pytest.raises(UsageError, match=r"not stored as data.*inside a function"):
        _ = after.constraint


def test_crossed_columns_belong_to_the_schema():
    dialect, community = DEMO.attributes["dialect"], DEMO.attributes["community"]
    other = ct.cross(ct.Attribute("dialect", dialect.levels[::-1]), community)
    with pytest.raises(UsageError, match="'dialect', which the schema does not declare so"):
        under(ct.demographic_parity(other)).score(DEMO)


def test_models_of_format_1_have_their_constraints_name_alone(tmp_path):
    """They open and score; what needs the constraint is told how to name it, and takes no other."""
    dialect = DEMO.attributes["dialect"]
    both = ct.Stack(members=(ct.demographic_parity(dialect, 0.1), ct.reward_parity(dialect, 0.2)))
    model = under(both)
    old = {"format": "faro-model/1", "model": {"kind": "linear", "options": {"scale": 0.01}, "class": "Linear"}}
    path = dataclasses.replace(model, about={"seed": 0, "bound": [0.1, 0.2], "constraint": both.name()}).save(
        tmp_path / "old"
    )
    record = json.loads(path.read_text()) | old
    del record["constraint"], record["parameters_sha256"], record["loss"]
    path.write_text(json.dumps(record))
    after = load_model(path)
    np.testing.assert_array_equal(after.rewards(DEMO), model.rewards(DEMO))
    assert after.model == models.Linear() and after.loss is None
    assert load_model(after.save(tmp_path / "again")).specification == after.specification
    with pytest.raises(UsageError, match="have its name alone"):
        _ = after.constraint
    with pytest.raises(UsageError, match="name it with --constraint"):
        draft_policy(after)
    with pytest.raises(UsageError, match=r"equalized_odds\(dialect\): not what the model was trained under"):
        constraint_of(after, {"constraint": "equalized_odds", "attribute": "dialect"})
    named = {"constraint": "demographic_parity+reward_parity(scale=1.0)", "attribute": "dialect"}
    assert constraint_of(after, named) == both
    assert draft_policy(after, arguments=named) == draft_policy(model)
    del record["about"]["constraint"]
    path.write_text(json.dumps(record))
    assert load_model(path).constraint is None


def test_models_of_format_2_are_read_by_their_kind(tmp_path):
    before = trained(models.MLP((8, 4), "gelu_tanh"))  # as all were
    path = before.save(tmp_path / "old")
    old = {"model": {"kind": "mlp", "options": {"widths": [8, 4]}, "class": "MLP"}, "format": "faro-model/2"}
    record = json.loads(path.read_text()) | old
    path.write_text(json.dumps(record))
    after = load_model(path)
    assert after.model == before.model
    np.testing.assert_array_equal(after.rewards(DEMO), before.rewards(DEMO))
    path.write_text(json.dumps(record | {"model": {"kind": None, "options": {}, "class": "Mine"}}))
    with pytest.raises(UsageError, match=r"not stored as data: Mine.*model=\.\.\."):
        load_model(path)
    assert load_model(path, before.model).model == before.model
