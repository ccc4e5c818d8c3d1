"""The constrained optimiser on problems whose solutions and multipliers are known, without any choices."""

import cvxpy as cp
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from faro.lagrangian import Evaluation, Lagrangian, ascent, nupi


def solve(objective, constraints, start, m, dual, steps=4000, rate=0.02):
    """Play the game to the end with exact constraints."""

    def evaluate(x):
        g = constraints(x)
        return Evaluation(objective(x), g, g)

    game = Lagrangian(evaluate, optax.sgd(rate), dual)
    step = jax.jit(lambda state: jax.lax.scan(lambda s, _: game.step(s), state, length=steps))
    return step(game.init(start, m))


@pytest.mark.parametrize("dual", [ascent(0.05), nupi(0.05, 0.5), nupi(0.05, 0.5, smoothing=0.5)])
def test_one_variable(dual):
    """min (x - 2)^2 s.t. x <= 1: x = 1, multiplier 2. And with x <= 3, which does not bind: multiplier 0."""
    state, _ = solve(lambda x: (x - 2) ** 2, lambda x: jnp.stack([x - 1, x - 3]), jnp.asarray(0.0), 2, dual)
    np.testing.assert_allclose(state.params, 1, atol=1e-4)
    np.testing.assert_allclose(state.multipliers, [2, 0], atol=1e-3)


def test_a_quadratic_program_and_its_multipliers_equal_cvxpys(x64):
    rng = np.random.default_rng(0)
    half = rng.normal(size=(6, 6))
    p, q, a, b = half @ half.T + np.eye(6), rng.normal(size=6), rng.normal(size=(4, 6)), rng.uniform(-0.2, 0.5, 4)
    x = cp.Variable(6)
    rows = a @ x <= b
    cp.Problem(cp.Minimize(cp.quad_form(x, cp.psd_wrap(p)) / 2 + q @ x), [rows]).solve(solver=cp.CLARABEL)
    state, _ = solve(
        lambda v: v @ jnp.asarray(p) @ v / 2 + jnp.asarray(q) @ v,
        lambda v: jnp.asarray(a) @ v - jnp.asarray(b),
        jnp.zeros(6), 4, nupi(0.1, 1.0), steps=20_000, rate=0.03,
    )  # fmt: skip
    np.testing.assert_allclose(state.params, x.value, atol=1e-5)
    np.testing.assert_allclose(state.multipliers, rows.dual_value, atol=1e-4)


def test_the_dual_player_follows_the_truth_not_the_proxy():
    """The proxy is off by .3; the solution satisfies the true constraint, as only the dual player sees it."""

    def evaluate(x):
        return Evaluation((x - 2) ** 2, (x - 1.3)[None], (x - 1)[None])

    game = Lagrangian(evaluate, optax.sgd(0.02), nupi(0.05, 0.5))
    state, _ = jax.lax.scan(lambda s, _: game.step(s), game.init(jnp.asarray(0.0), 1), length=4000)
    np.testing.assert_allclose(state.params, 1, atol=1e-4)


def test_multipliers_stay_in_range_and_unasked_rows_never_move():
    """x >= 1 and x <= -1 cannot both hold: multipliers end at the cap, not beyond; a bound of infinity counts 0."""

    def evaluate(x):
        g = jnp.stack([1 - x, x + 1, -jnp.inf])
        return Evaluation(x**2, jnp.stack([1 - x, x + 1, x]), g)

    game = Lagrangian(evaluate, optax.sgd(0.02), nupi(0.1, 1.0, cap=7.0))
    state, _ = jax.lax.scan(lambda s, _: game.step(s), game.init(jnp.asarray(0.0), 3), length=3000)
    np.testing.assert_allclose(state.multipliers, [7, 7, 0], atol=1e-5)
    assert np.isfinite(state.params)


def test_proportional_control_damps_the_oscillation():
    """On a bilinear-like problem plain ascent swings more than nuPI at the same integral rate."""

    def swings(dual):
        _, seen = solve(lambda x: 0.5 * (x - 2) ** 2, lambda x: (x - 1)[None], jnp.asarray(0.0), 1, dual, steps=400)
        return np.abs(np.asarray(seen.violation)[100:]).max()

    assert swings(nupi(0.5, 2.0)) < 0.5 * swings(ascent(0.5))


def test_vmap_over_problems_equals_one_by_one():
    def run(limit):
        state, _ = solve(lambda x: (x - 2) ** 2, lambda x: (x - limit)[None], jnp.asarray(0.0), 1, nupi(0.05, 0.5), 500)
        return state.params, state.multipliers

    limits = jnp.array([0.5, 1.0, 3.0])
    together = jax.vmap(run)(limits)
    for i, limit in enumerate(limits):
        for a, b in zip(together, run(limit), strict=True):
            np.testing.assert_allclose(a[i], b, atol=1e-6)
