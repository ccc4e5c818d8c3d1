"""The model protocol: dict items, noise in training alone, probabilities that are no logit of rewards, parameters that
stay, a linear model of one's own."""

from __future__ import annotations

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import constraints as ct
from constraints import Twin
from faro import models
from faro.errors import UsageError
from faro.losses import Mean
from faro.models import FlaxModel, InputSpec, Linear, Model, Prediction
from faro.training import Data, Game, Settings, primal
from faro.training.ridge import UNCHOSEN

GROUP = ct.Attribute("g", ("A", "B"))
KEY = jax.random.key(0)


def choices(n=80, k=3, outside=False, seed=0):
    rng = np.random.default_rng(seed)
    items, context = rng.normal(size=(n, k, 2)), rng.normal(size=(n, 2))
    chosen = (items[..., 0] + context[:, :1] * items[..., 1] + rng.gumbel(size=(n, k))).argmax(1)
    out = np.zeros((n, k), bool)
    out[:, -1] = outside
    group = np.where(out, -1, rng.integers(0, 2, (n, k)))
    own = ct.make_choices(items, chosen, context=context, attributes={"g": group}, outside=out)
    levels = np.stack([items + shift for shift in (-0.5, 0.5)], 2)
    return own.replace(twins={"g": Twin(valid=jnp.ones((n, k, 2), bool), items=jnp.asarray(levels, jnp.float32))})


class Pair(nn.Module):
    """A network with dropout that is told whether it is training."""

    @nn.compact
    def __call__(self, x, train):
        return nn.Dense(1)(nn.Dropout(0.5, deterministic=not train)(nn.relu(nn.Dense(8)(x))))


class Restless(nn.Module):
    """Dropout that nobody can turn off."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(nn.Dropout(0.5, deterministic=False)(x))


@dataclasses.dataclass(frozen=True)
class Classes(Model):
    """A mixture of two tastes: its probabilities are no logit of one reward."""

    def init(self, key, spec):
        return {"taste": jax.random.normal(key, (2, spec.items.shape[-1])), "share": jnp.zeros(())}

    def apply(self, params, choices):
        each = jnp.einsum("nkd,md->mnk", choices.items, params["taste"])
        share = jax.nn.log_sigmoid(jnp.stack([params["share"], -params["share"]]))
        logs = jax.nn.log_softmax(jnp.where(choices.available, each, -1e30))
        mixed = jax.scipy.special.logsumexp(share[:, None, None] + logs, axis=0)
        return Prediction(jnp.tensordot(jnp.exp(share), each, 1), mixed)


@pytest.mark.slow
@pytest.mark.parametrize("model", [Linear(), models.MLP((4,)), FlaxModel(Pair())], ids=lambda own: type(own).__name__)
def test_built_ins_read_the_coded_features_of_dict_items(model):
    own = choices()
    tokens = jnp.zeros((*own.shape, 4), jnp.int32)
    twin = own.twins["g"]
    wide = dataclasses.replace(twin, items={"features": twin.items, "tokens": jnp.zeros((*own.shape, 2, 4), jnp.int32)})
    rich = own.replace(items={"features": own.items, "tokens": tokens}, twins={"g": wide})
    params, others = (models.initial(model, KEY, given) for given in (own, rich))
    jax.tree.map(np.testing.assert_array_equal, params, others)
    for given in (rich, model.prepare(rich)):
        np.testing.assert_allclose(models.rewards(model, params, given), models.rewards(model, params, own), atol=1e-5)
        moved = models.twin_rewards(model, params, given, ["g"])["g"]
        np.testing.assert_allclose(moved, models.twin_rewards(model, params, own, ["g"])["g"], atol=1e-5)
    with pytest.raises(UsageError, match=r"raw arrays alone \(tokens\)"):
        models.initial(model, KEY, own.replace(items={"tokens": tokens}, twins={}))


@pytest.mark.slow
def test_dropout_is_noise_in_steps_and_none_in_evaluations():
    own, model = choices(), FlaxModel(Pair())
    params = models.initial(model, KEY, own)
    plain = [models.rewards(model, params, own) for _ in range(2)]
    np.testing.assert_array_equal(*plain)
    noisy = [models.predict(model, params, own, key=jax.random.key(i), train=True).scores[0] for i in (0, 0, 1)]
    np.testing.assert_array_equal(noisy[0], noisy[1])
    assert not np.allclose(noisy[0], noisy[2])
    restless = FlaxModel(Restless())
    with pytest.raises(ValueError, match="draws random numbers outside of training"):
        models.rewards(restless, models.initial(restless, KEY, own), own)
    game = Game(model, Settings(steps=6, every=2))
    constraint = ct.demographic_parity(GROUP, bound=0.2)
    start = jax.jit(game.start, static_argnums=3)
    first, again = (start(KEY, constraint, Data(own, own), 3)[0].best.params for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, again)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("outside", [False, True])
def test_decisions_and_losses_are_of_probabilities_where_a_model_has_them(outside):
    own, model = choices(outside=outside), Classes()
    params = models.initial(model, KEY, own)
    seen = models.predict(model, params, own)
    by_hand = np.zeros(own.shape)
    for taste, share in zip(np.asarray(params["taste"]), (0.5, 0.5), strict=True):
        score = np.asarray(own.items) @ taste
        by_hand += share * np.exp(score) / np.exp(score).sum(1, keepdims=True)
    probability = np.exp(np.moveaxis(np.concatenate(seen.scores), 0, -1))
    np.testing.assert_allclose(probability, by_hand, rtol=1e-6)
    soft = models.outcome(model, params, own, ct.Softmax(), ())
    np.testing.assert_allclose(soft.decisions, by_hand, rtol=1e-6)
    loss = Mean().loss.per_choice(seen, own)
    np.testing.assert_allclose(loss, -np.log((by_hand * np.asarray(own.chosen)).sum(1)), rtol=1e-6)


@pytest.mark.usefixtures("x64")
@pytest.mark.slow
def test_a_twin_of_a_mixture_is_a_world_of_its_own():
    """Alternative k alone is set; the probabilities of that world are counted one world after another."""
    own, model = choices(n=12), Classes()
    params = models.initial(model, KEY, own)
    decided = models.outcome(model, params, own, ct.Softmax(), ["g"]).twins["g"].decisions
    for k in range(own.shape[1]):
        for level in range(2):
            items = own.items.at[:, k].set(own.twins["g"].items[:, k, level])
            world = models.outcome(model, params, own.replace(items=items, twins={}), ct.Softmax(), ())
            np.testing.assert_allclose(decided[:, k, level], world.decisions[:, k], rtol=1e-6)


@dataclasses.dataclass(frozen=True)
class Plain(Model):
    """A linear model of somebody else, with parameters of its own shape."""

    linear = True

    def init(self, key, spec):
        return {"b": jnp.zeros(spec.items.shape[-1]), "a": [jnp.zeros(())]}

    def apply(self, params, choices):
        return choices.items @ params["b"] + params["a"][0] * choices.items[..., 0] ** 2

    def prepare(self, choices):
        return choices.replace(context=None)


def test_newton_starts_serve_any_linear_model():
    """Features are found one parameter after another; the optimum has no slope, and second-order steps are taken."""
    own = choices(n=300)
    constraint = ct.demographic_parity(GROUP, bound=0.05)
    settings = primal.suited(Plain(), Settings(steps=12), constraint, Data(own, own))
    assert settings.primal == "sqp"
    game = Game(Plain(), settings)
    pilot, _ = jax.jit(game.start, static_argnums=3)(KEY, constraint, Data(own, own), 2)
    params = pilot.best.params

    def loss(params):
        decay = UNCHOSEN / 2 * sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params))
        shown = Plain().prepare(own)
        return jnp.mean(Mean().loss.per_choice(models.predict(Plain(), params, shown), shown)) + decay

    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(jax.jit(jax.grad(loss))(params))) < 1e-4


@dataclasses.dataclass(frozen=True)
class Frozen(models.MLP):
    """A network of which the first layer stays, and which pays for a large last one."""

    def trainable(self, params):
        return {name: name != "Dense_0" for name in params}

    def penalty(self, params, seen):
        return 3.0 * jnp.sum(params["Dense_1"]["kernel"] ** 2)


@pytest.mark.slow
def test_parameters_that_are_not_trained_stay_and_a_penalty_counts():
    own = choices()
    constraint = ct.demographic_parity(GROUP, bound=jnp.inf)
    found = {}
    for kind in (models.MLP, Frozen):
        game = Game(kind((4,)), Settings(steps=30, every=5))
        begun = models.initial(game.model, jax.random.split(KEY)[0], own)
        found[kind] = begun, jax.jit(game.start, static_argnums=3)(KEY, constraint, Data(own, own), 6)[0].game.params
    begun, ended = found[Frozen]
    jax.tree.map(np.testing.assert_array_equal, begun["Dense_0"], ended["Dense_0"])
    assert not np.allclose(begun["Dense_1"]["kernel"], ended["Dense_1"]["kernel"])
    assert np.abs(ended["Dense_1"]["kernel"]).sum() < np.abs(found[models.MLP][1]["Dense_1"]["kernel"]).sum()


def test_an_input_spec_has_shapes_alone():
    spec = InputSpec.of(choices(n=7), units=5)
    assert spec.items.shape == (7, 3, 2) and spec.units == 5 and InputSpec.of(spec).items == spec.items
    example = spec.example(2)
    assert example.items.shape == (2, 3, 2) and not np.any(example.items) and example.context.shape == (2, 2)
