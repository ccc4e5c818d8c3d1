"""Laws of rewards: the largest of several is counted out, beside plain enumeration and draws."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import constraints as ct
from constraints.alternatives import joined
from faro.models import Distributional, InputSpec, distributional, predict

of_atoms, of_normals = jax.jit(distributional.of_atoms), jax.jit(distributional.of_normals)


@pytest.mark.parametrize("k", [2, 3])
def test_the_largest_atom_is_that_of_enumeration(k, x64):
    rng = np.random.default_rng(k)
    chances = rng.dirichlet(np.ones(4), (5, k))
    available = np.ones((5, k), bool)
    available[0, 0] = False
    plain = np.zeros((5, k))
    for row, drawn in itertools.product(range(5), itertools.product(range(4), repeat=k)):
        weight = np.prod([chances[row, own, atom] for own, atom in enumerate(drawn)])
        level = np.where(available[row], drawn, -1)
        best = level == level.max()
        plain[row] += weight * best / best.sum()
    said = np.exp(of_atoms(jnp.asarray(chances), jnp.asarray(available)))
    assert np.allclose(said, plain, atol=1e-12)


def test_the_largest_normal_is_that_of_its_closed_form_and_of_draws(x64):
    rng = np.random.default_rng(0)
    mean, spread = rng.normal(size=(4, 3)), np.exp(rng.normal(size=(4, 3)))
    pairs = of_normals(jnp.asarray(mean[:, :2]), jnp.asarray(spread[:, :2]), jnp.ones((4, 2), bool))
    z = (mean[:, 0] - mean[:, 1]) / np.hypot(spread[:, 0], spread[:, 1])
    assert np.allclose(np.exp(pairs), np.stack([stats.norm.cdf(z), stats.norm.cdf(-z)], 1), atol=1e-12)
    drawn = mean[:, None] + spread[:, None] * rng.normal(size=(4, 100_000, 3))
    often = np.eye(3)[drawn.argmax(-1)].mean(1)
    said = np.exp(of_normals(jnp.asarray(mean), jnp.asarray(spread), jnp.ones((4, 3), bool)))
    assert np.abs(said - often).max() < 0.01
    two = jnp.asarray([[True, True, False]] * 4)
    assert np.abs(np.exp(of_normals(jnp.asarray(mean), jnp.asarray(spread), two))[:, :2] - np.exp(pairs)).max() < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("head", ["normal", "atoms"])
def test_moments_and_quantiles_are_of_the_law(head, x64):
    rng = np.random.default_rng(1)
    outside = np.zeros((6, 2), bool)
    outside[:, 1] = True
    choices = ct.make_choices(rng.normal(size=(6, 1, 2)), np.eye(2)[rng.integers(0, 2, 6)], outside=outside)
    model = Distributional(head=head, widths=(3,), atoms=5)
    params = jax.tree.map(lambda leaf: leaf + 0.5, model.init(jax.random.key(0), InputSpec.of(choices)))
    first, second = model.law(params, choices)
    mean, variance = model.moments(params, choices)
    low = model.quantile(params, choices, 0.3)
    if head == "normal":
        assert np.allclose(low, stats.norm.ppf(0.3, first, second))
        assert np.allclose(variance, second**2)
        taken = stats.norm.cdf(mean / np.sqrt(variance + 1))  # of a number against N(0, 1)
    else:
        assert np.allclose(variance, second @ np.asarray(first) ** 2 - np.asarray(mean) ** 2)
        assert (np.asarray((np.asarray(first) <= np.asarray(low)[..., None]) * second).sum(-1) >= 0.3).all()
        taken = second @ np.array([0, 0, 0.5, 1, 1])  # above the middle, and half of what ties
    said = np.exp(joined(predict(model, params, choices).log_probs))
    assert np.allclose(said.sum(-1), 1)
    assert np.allclose(said[:, :1], taken, atol=1e-10)
    share = np.var(mean) / (np.var(mean) + np.mean(variance))
    assert model.hidden_context(params, choices) == pytest.approx(share)
    with pytest.raises(ValueError, match="head: expected one of"):
        Distributional(head="beta")
