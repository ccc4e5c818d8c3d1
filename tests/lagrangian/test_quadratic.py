"""Second-order steps: solutions of independent solvers in few steps, true violations that proxies do not see, and what
happens where nothing is feasible."""

import cvxpy as cp
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faro.lagrangian import Evaluation, Quadratic, Seen, _quadratic, solve


def method(objective, rows, violation=None, equality=False, length=0.5, cap=1e3):
    """The game on `rows(params)` as sums; `violation` is the truth that the proxy stands in for."""

    def look(params):
        return Seen(objective(params), rows(params), params)

    def finish(seen):
        told = seen.sums if violation is None else violation(seen.aux)
        return Evaluation(seen.objective, seen.sums, told, None, equality)

    return Quadratic(look, finish, lambda count: length, cap)


def played(own, params, m, inverse, steps=80):
    state = own.init(params, m, jnp.asarray(inverse))
    return jax.lax.scan(lambda state, _: own.step(state), state, length=steps)


def program(d, m, seed):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(d, d))
    rows, inside = rng.normal(size=(m, d)), rng.normal(size=d)
    return root @ root.T / d + 0.3 * np.eye(d), rng.normal(size=d), rows, rows @ inside


@pytest.mark.parametrize(("d", "m", "equalities"), [(2, 1, 0), (5, 4, 0), (8, 12, 0), (6, 3, 3), (6, 8, 2)])
def test_quadratic_programs_are_solved_as_cvxpy_does(x64, d, m, equalities):
    curved, linear, rows, limits = program(d, m, seed=d + m)
    limits[equalities:] += 0.1  # so that there are points inside
    equality = jnp.arange(m) < equalities
    variable = cp.Variable(d)
    body = rows @ variable - limits
    kept = [body[:equalities] == 0] if equalities else []
    kept += [body[equalities:] <= 0] if equalities < m else []
    cp.Problem(cp.Minimize(cp.quad_form(variable, cp.psd_wrap(curved)) / 2 + linear @ variable), kept).solve(
        solver=cp.CLARABEL
    )
    own = method(lambda x: x @ curved @ x / 2 + linear @ x, lambda x: rows @ x - limits, equality=equality)
    state, seen = played(own, jnp.zeros(d), m, np.linalg.inv(curved), steps=300)
    np.testing.assert_allclose(state.params, variable.value, atol=2e-4)
    assert float(jax.tree.map(lambda leaf: leaf[-1], seen.kkt).worst) < 2e-3


def test_it_takes_few_steps_where_first_order_players_take_hundreds(x64):
    """A curvature of condition 1e4; with the wrong one, H = 1, the same steps do not arrive."""
    scale = jnp.asarray([100.0, 1.0, 0.01])
    own = method(lambda x: jnp.sum(scale * (x - 1) ** 2) / 2, lambda x: jnp.sum(x, keepdims=True) - 1)
    expected = 1 - 2 / scale / jnp.sum(1 / scale)
    found = played(own, jnp.zeros(3), 1, jnp.diag(1 / scale), steps=40)[0].params
    np.testing.assert_allclose(found, expected, atol=1e-5)
    plain = played(own, jnp.zeros(3), 1, 0.01 * jnp.eye(3), steps=40)[0].params
    assert float(jnp.abs(plain - expected).max()) > 0.1


def test_a_violation_that_the_proxy_does_not_see_is_worked_off(x64, monkeypatch):
    """The truth is .3 above the proxy's zero and flat in steps of .05: the shift finds it in a
    third of the steps or fewer."""

    def told(x):
        return jnp.ceil(20 * (x - 0.7)) / 20

    own = method(lambda x: jnp.sum((x - 2) ** 2) / 2, lambda x: 0.5 * (x - 0.7), told)
    _, seen = played(own, jnp.zeros(1), 1, jnp.eye(1), steps=200)
    assert float(seen.violation[-50:].min()) <= 0 and float(played(own, jnp.zeros(1), 1, jnp.eye(1))[0].params[0]) > 0.6
    off = method(lambda x: jnp.sum((x - 2) ** 2) / 2, lambda x: x - 0.7, lambda x: jnp.where(x > 0.4, 0.02, -1.0))

    def until_within(integral):
        monkeypatch.setattr(_quadratic, "INTEGRAL", integral)
        return int(np.argmax(np.asarray(played(off, jnp.ones(1), 1, jnp.eye(1), steps=3000)[1].violation)[:, 0] <= 0))

    assert 0 < until_within(0.1) < until_within(0.0) / 3


def test_what_cannot_be_met_has_its_multiplier_at_the_cap(x64):
    own = method(lambda x: jnp.sum(x**2) / 2, lambda x: jnp.stack([x[0] + 1, 1 - x[0]]), cap=50.0)
    state, seen = played(own, jnp.asarray([0.3]), 2, jnp.eye(1))
    assert bool(seen.capped[-1]) and float(state.multipliers.max()) == pytest.approx(50)
    assert np.isfinite(np.asarray(state.params)).all() and abs(float(state.params[0])) < 0.5


def test_rows_that_were_not_asked_for_and_rows_without_slope_do_nothing(x64):
    def told(x):
        return jnp.stack([x[0] - 1, -jnp.inf, -1.0])

    own = method(lambda x: jnp.sum((x - 2) ** 2) / 2, lambda x: jnp.stack([x[0] - 1, x[1], 0 * x[1]]), told)
    state, _ = played(own, jnp.zeros(2), 3, jnp.eye(2))
    np.testing.assert_allclose(state.params, [1, 2], atol=1e-4)
    np.testing.assert_allclose(state.multipliers, [1, 0, 0], atol=1e-3)


@pytest.mark.slow
def test_parameters_may_be_a_tree_and_the_driver_knows_the_method(x64):
    """Under vmap over the limit as well: every one as alone."""

    def at(limit):
        own = method(
            lambda p: (p["a"] - 2) ** 2 / 2 + jnp.sum((p["b"] + 1) ** 2) / 2,
            lambda p: (p["a"] + jnp.sum(p["b"]) - limit)[None],
        )
        begun = played(own, {"a": jnp.zeros(()), "b": jnp.zeros(2)}, 1, jnp.eye(3))[0]
        return begun.params["a"]

    limits = jnp.asarray([-1.0, -0.5, 5.0])
    np.testing.assert_allclose(jax.vmap(at)(limits), [at(limit) for limit in limits], atol=1e-9)
    np.testing.assert_allclose(jax.vmap(at)(limits), [2 - 1 / 3, 2 - 0.5 / 3, 2], atol=1e-4)

    class Started(Quadratic):  # `solve` starts a method itself
        def init(self, params, m):
            return super().init(params, m, jnp.eye(1))

    own = method(lambda x: jnp.sum((x - 2) ** 2) / 2, lambda x: x - 1)
    result = solve(Started(own.look, own.finish, own.length), jnp.zeros(1), tolerance=1e-6)
    assert result.status == 0 and float(result.params[0]) == pytest.approx(1, abs=1e-5)
