"""The unconstrained optimum of a linear model: where independent solvers end, wherever it begins."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.optimize import minimize

import constraints as ct
from faro import models
from faro.models.linear import UNPUNISHED
from faro.training import Data, Game, unconstrained
from faro.training.ridge import Ridge
from faro.training.settings import Settings

DECAY = 1e-3


@functools.cache
def program(block):
    """`unconstrained.optimum` as one program; of another size of blocks another one."""
    return jax.jit(unconstrained.optimum, static_argnums=0)


def optimum(model, start, choices, decay):
    return program(unconstrained.BLOCK)(model, start, choices, Ridge(decay, 1.0))


def choices(seed: int, n: int = 200, k: int = 3, d: int = 4, outside: bool = False, soft: bool = False):
    """Random choices of unequal weight; the last alternative is the outside option, some others are missing."""
    rng = np.random.default_rng(seed)
    items = rng.normal(size=(n, k, d))
    available = rng.random((n, k)) < 0.8
    available[:, 0] = True
    utility = np.where(available, rng.normal(size=(n, k)), -np.inf)
    chosen = np.exp(utility) / np.exp(utility).sum(1, keepdims=True) if soft else np.eye(k)[utility.argmax(1)]
    left_out = np.zeros((n, k), bool)
    left_out[:, k - 1] = outside & available[:, k - 1]
    own = ct.make_choices(items, chosen, available=available, outside=left_out, weight=rng.random(n))
    return own.replace(items=jnp.asarray(items[:, : k - outside]))


def by_scipy(own, decay=DECAY):
    """Parameters (features, then the constant) that BFGS finds on a loss written in numpy."""
    x = np.asarray(own.items, float)
    x = np.concatenate([x, np.ones((*x.shape[:2], 1))], -1)
    x = np.pad(x, ((0, 0), (0, own.shape[1] - x.shape[1]), (0, 0)))
    mask, y = np.asarray(own.available), np.asarray(own.chosen, float)
    p = np.asarray(own.weight, float) / np.asarray(own.weight, float).sum()
    punished = np.r_[np.ones(x.shape[-1] - 1), UNPUNISHED]

    def loss(w):
        u = np.where(mask, x @ w, -np.inf)
        top = u.max(1, keepdims=True)
        normaliser = (top + np.log(np.exp(u - top).sum(1, keepdims=True)))[:, 0]
        return float(p @ (y.sum(1) * normaliser - (y * np.where(mask, u, 0)).sum(1)) + decay / 2 * punished @ w**2)

    found = minimize(loss, np.zeros(x.shape[-1]), method="BFGS", options={"gtol": 1e-9})
    return found.x, found.fun


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("k,outside,soft", [(2, False, False), (2, True, False), (3, True, True), (5, False, True)])
def test_it_is_where_an_independent_solver_ends(k, outside, soft):
    own = choices(k, k=k, outside=outside, soft=soft)
    start = {"intercept": jnp.asarray(3.0), "item": jnp.full(4, -2.0)}
    params, gradient, _ = optimum(models.Linear(), start, own, DECAY)
    w, _ = by_scipy(own)
    np.testing.assert_allclose(params["item"], w[:4], atol=1e-6)
    np.testing.assert_allclose(params["intercept"], w[4] if outside else 0, atol=1e-6)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient)) < 1e-9


@pytest.mark.parametrize("outside,context", [(False, False), (True, False), (True, True)])
def test_rewards_are_products_of_linear_features(outside, context):
    rng = np.random.default_rng(0)
    own = choices(6, d=2, outside=outside)
    own = own.replace(context=jnp.asarray(rng.normal(size=(200, 3)))) if context else own
    shapes = models.Linear().init(jax.random.key(0), own)
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32), shapes)
    own = models.Linear().prepare(own)
    expected = models.reward_pieces(models.Linear(), params, own)
    for part, rewards in zip(models.linear_features(params, own), expected, strict=True):
        np.testing.assert_allclose(part @ ravel_pytree(params)[0], rewards, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("rare", [False, True])
def test_a_sample_leads_the_way_but_everybody_decides(monkeypatch, rare):
    """Many choices: steps begin with the curvature of a sample, which may know nothing of what few people have."""
    monkeypatch.setattr(
        unconstrained, "BLOCK", 64
    )  # one in three of 200, and four blocks, the last of which reaches back
    own = choices(7, k=2, outside=True)
    if rare:
        unseen = (np.arange(200) % 3 == 1) & (np.arange(200) < 20)
        own = own.replace(items=own.items.at[:, 0, 2].set(jnp.where(unseen, 30.0, 0.0)))
    decay = 1e-6
    start = {"intercept": jnp.asarray(0.0), "item": jnp.zeros(4)}
    params, gradient, inverse = optimum(models.Linear(), start, own, decay)
    w, _ = by_scipy(own, decay)
    np.testing.assert_allclose(params["item"], w[:4], atol=2e-5)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient)) < 1e-6
    sampled = optimum(models.Linear(), start, own.take(slice(None, None, 3)), decay)[0]
    assert float(jnp.abs(sampled["item"] - params["item"]).max()) > 0.01  # the sample alone ends elsewhere
    nobody = jnp.where(jnp.arange(200) % 3 == 0, 0.0, own.weight)  # whom the sample knows
    params_, gradient, _ = optimum(models.Linear(), start, own.replace(weight=nobody), decay)
    np.testing.assert_allclose(params_["item"], by_scipy(own.replace(weight=nobody), decay)[0][:4], atol=2e-5)
    if rare:  # everybody's curvature was taken
        x = np.pad(np.asarray(own.items)[:, 0], ((0, 0), (1, 0)), constant_values=1.0)
        q = 1 / (1 + np.exp(-(x @ np.r_[params["intercept"], params["item"]])))
        open_ = np.asarray(own.available).all(1)
        p = np.asarray(own.weight, float) / np.asarray(own.weight, float).sum() * open_
        hessian = (x * (p * q * (1 - q))[:, None]).T @ x + decay * np.diag([UNPUNISHED, 1, 1, 1, 1])
        np.testing.assert_allclose(inverse @ hessian, np.eye(5), atol=0.5)


@pytest.mark.usefixtures("x64")
def test_products_with_the_context_and_many_starts_end_in_one_point():
    rng = np.random.default_rng(0)
    own = choices(1, d=2).replace(context=jnp.asarray(rng.normal(size=(200, 3))))
    prepared = models.Linear().prepare(own)
    assert unconstrained.suits(models.Linear(), prepared) and not unconstrained.suits(models.Linear(), own)
    starts = [models.Linear(scale=scale).init(jax.random.key(i), own) for i, scale in enumerate([0.01, 1.0, 30.0])]
    found = [optimum(models.Linear(), start, prepared, DECAY)[0] for start in starts]
    for one in found[1:]:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), found[0], one)


def test_people_who_can_be_told_apart_are_found_in_float32_too():
    """Separable: without the ridge there is no optimum, and full Newton steps from far away overshoot."""
    own = choices(2, k=2, d=1, outside=True)
    sign = np.sign(np.asarray(own.items)[:, 0, 0])
    own = own.replace(
        chosen=jnp.asarray(np.stack([sign > 0, sign <= 0], 1), jnp.float32), available=jnp.ones((200, 2), bool)
    )
    own = jax.tree.map(lambda leaf: leaf.astype(jnp.float32) if leaf.dtype.kind == "f" else leaf, own)
    for begin in (0.0, 40.0, -40.0):
        start = {"intercept": jnp.asarray(0.0), "item": jnp.full(1, begin)}
        params, *_ = optimum(models.Linear(), start, own, 1e-4)
        w, _ = by_scipy(own, 1e-4)
        np.testing.assert_allclose(params["item"], w[:1], rtol=2e-3)


def test_a_feature_that_nobody_has_stays_where_it_is_told_to():
    own = choices(3, outside=True)
    own = own.replace(items=own.items.at[..., 1].set(0))
    params, *_ = optimum(models.Linear(), models.Linear(scale=0.0).init(jax.random.key(0), own), own, 0.0)
    assert float(params["item"][1]) == 0 and np.isfinite(params["item"]).all()


@pytest.mark.slow
def test_wide_models_networks_and_batches_take_first_order_steps():
    wide = choices(4, n=8, d=unconstrained.MOST_FEATURES + 1)
    assert not unconstrained.suits(models.Linear(), wide) and not unconstrained.suits(models.MLP(), choices(4))
    own = choices(5, k=2)
    constraint = ct.group_error(ct.Attribute("g", ("a", "b")), 0.5)
    data = Data(*[own.replace(attributes={"g": jnp.asarray(np.arange(400).reshape(200, 2) % 2)})] * 2)
    for settings, at_once in ((Settings(steps=3), True), (Settings(steps=3, batch=50), False)):
        _, looks = Game(models.Linear(), settings).start(jax.random.key(0), constraint, data, 3)
        assert bool(jnp.ptp(looks.loss) == 0) is at_once
