"""The driver and the method of multipliers on problems with known answers; residuals are computed here once more."""

import cvxpy as cp
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from faro.errors import UsageError
from faro.lagrangian import (
    Evaluation,
    Lagrangian,
    MultiplierMethod,
    Status,
    ascent,
    exponentiated,
    nupi,
    optimistic,
    problem,
    solve,
)


def residual(objective, inequalities, equalities, result):
    """The largest KKT residual, by finite differences and plain numpy; shares nothing with the package."""
    x = np.asarray(result.params, float)

    def rows(f, x):
        return np.asarray(f(x), float).reshape(-1) if f else np.zeros(0)

    def slope(f):
        step = 1e-6 * np.eye(x.size)
        return np.stack([(rows(f, x + e) - rows(f, x - e)) / 2e-6 for e in step], -1) if f else np.zeros((0, x.size))

    g, h = rows(inequalities, x), rows(equalities, x)
    below, free = np.split(np.asarray(result.multipliers), [g.size])
    parts = [
        np.abs(slope(objective)[0] + below @ slope(inequalities) + free @ slope(equalities)),
        g, np.abs(h), -below, np.abs(below * g),
    ]  # fmt: skip
    return max(part.max(initial=0) for part in parts)


def run(method, start, **options):
    """`solve` in one program: what it does before its loop is compiled with it, not operation by operation."""
    return jax.jit(lambda x: solve(method, x, **options))(start)


def rosenbrock(x):
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


# name: objective, inequalities, equalities, start, solution, multipliers. Closed forms; multipliers by hand.
KNOWN = {
    "an inequality that binds, one that does not": (
        lambda x: (x[0] - 2) ** 2 + (x[1] + 1) ** 2, lambda x: jnp.array([x[0] - 1, x[1] - 5]), None,
        [0.0, 0.0], [1, -1], [2, 0],
    ),
    "an equality with a negative multiplier": (
        lambda x: x[0] ** 2 + x[1] ** 2, None, lambda x: x[0] + x[1] - 2, [3.0, 0.0], [1, 1], [-2],
    ),
    "an equality with a positive multiplier": (
        lambda x: x[0] ** 2 + x[1] ** 2, None, lambda x: 2 - x[0] - x[1], [3.0, 0.0], [1, 1], [2],
    ),
    "both kinds": (
        lambda x: (x[0] - 2) ** 2 + (x[1] - 1) ** 2, lambda x: x[0] - 1, lambda x: x[0] + x[1] - 3,
        [0.0, 0.0], [1, 2], [4, -2],
    ),
    "on a circle": (
        lambda x: x[0] + x[1], None, lambda x: x[0] ** 2 + x[1] ** 2 - 2, [0.0, -1.0], [-1, -1], [0.5],
    ),
    "a concave objective, unbounded below outside": (
        lambda x: x[1] ** 2 - x[0] ** 4, lambda x: jnp.array([x[0] - 1, -x[0] - 1]), None,
        [0.5, 1.0], [1, 0], [4, 0],
    ),
    "curved valley": (rosenbrock, lambda x: x[0] - 0.5, None, [-1.2, 1.0], [0.5, 0.25], [1]),
    "no constraints": (rosenbrock, None, None, [-1.2, 1.0], [1, 1], []),
    "badly scaled": (
        lambda x: 1e4 * ((x[0] - 2) ** 2 + x[1] ** 2), lambda x: 1e-3 * (x[0] - 1), None, [0.0, 1.0], [1, 0], [2e7],
    ),
}  # fmt: skip


ROWS = 2  # the most of any of them; the rest is filled up by rows that never bind


def known(index, x):
    """All of them in one program, so that one compilation serves all."""

    def padded(objective, inequalities, equalities, *_):
        def evaluate(x):
            seen = problem(objective, inequalities, equalities)(x)
            missing = ROWS - seen.violation.size
            rows = jnp.concatenate([seen.violation, jnp.full(missing, -1.0)])
            return Evaluation(
                seen.objective, rows, rows, None, jnp.concatenate([seen.equality, jnp.zeros(missing) > 0])
            )

        return evaluate

    return jax.lax.switch(index, [padded(*case) for case in KNOWN.values()], x)


@jax.jit
def solved(index, start):
    return solve(MultiplierMethod(lambda x: known(index, x)), start, tolerance=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", KNOWN)
def test_the_method_of_multipliers_finds_known_solutions_and_multipliers(name, x64):
    objective, inequalities, equalities, start, solution, multipliers = KNOWN[name]
    result = solved(list(KNOWN).index(name), jnp.asarray(start))
    assert result.status == Status.CONVERGED
    np.testing.assert_allclose(result.params, solution, atol=2e-5)
    np.testing.assert_allclose(result.multipliers[: len(multipliers)], multipliers, rtol=1e-4, atol=1e-5)
    if name != "badly scaled":  # where finite differences are too coarse
        result = result._replace(multipliers=result.multipliers[: len(multipliers)])
        assert residual(objective, inequalities, equalities, result) < 5e-6


def quadratic_program(seed, n=6, inequalities=4, equalities=2):
    rng = np.random.default_rng(seed)
    half, a, c = rng.normal(size=(n, n)), rng.normal(size=(inequalities, n)), rng.normal(size=(equalities, n))
    return half @ half.T + np.eye(n), 3 * rng.normal(size=n), a, rng.uniform(-0.2, 0.5, inequalities), c, 0.3 * c.sum(1)


def evaluate_program(p, q, a, b, c, d):
    return problem(lambda x: x @ p @ x / 2 + q @ x, lambda x: a @ x - b, lambda x: c @ x - d)


@pytest.mark.slow
def test_quadratic_programs_equal_cvxpys_and_a_batch_equals_one_by_one(x64):
    """The same programs: by vmap, one by one, and by an interior-point solver; parameters and multipliers."""
    programs = [quadratic_program(seed) for seed in range(4)]

    def optimum(*program):
        result = solve(MultiplierMethod(evaluate_program(*program)), jnp.zeros(6), tolerance=1e-7)
        return result.params, result.multipliers, result.status

    one_by_one = jax.jit(optimum)
    together = jax.jit(jax.vmap(optimum))(*(jnp.stack(parts) for parts in zip(*programs, strict=True)))
    for i, (p, q, a, b, c, d) in enumerate(programs):
        x = cp.Variable(6)
        rows = [a @ x <= b, c @ x == d]
        objective = cp.Minimize(cp.quad_form(x, cp.psd_wrap(p)) / 2 + q @ x)
        cp.Problem(objective, rows).solve(solver=cp.CLARABEL)
        alone = params, multipliers, status = one_by_one(p, q, a, b, c, d)
        assert status == Status.CONVERGED
        np.testing.assert_allclose(params, x.value, atol=1e-6)
        np.testing.assert_allclose(multipliers, np.concatenate([row.dual_value for row in rows]), atol=1e-5)
        assert np.max(np.abs(rows[0].dual_value)) > 0.1, "an inequality should bind"
        for one, many in zip(alone, together, strict=True):
            np.testing.assert_allclose(many[i], one, atol=1e-6)


GAMES = {
    "ascent": lambda evaluate: Lagrangian(evaluate, optax.sgd(0.03), ascent(0.05)),
    "nuPI": lambda evaluate: Lagrangian(evaluate, optax.sgd(0.03), nupi(0.1, 1.0)),
    "optimistic": lambda evaluate: Lagrangian(evaluate, optax.optimistic_gradient_descent(0.03), optimistic(0.1)),
    "exponentiated": lambda evaluate: Lagrangian(evaluate, optax.sgd(0.03), exponentiated(0.02, cap=10.0)),
    "augmented": lambda evaluate: Lagrangian(evaluate, optax.sgd(0.03), ascent(0.5), penalty=0.5),
    "a rate for each row": lambda evaluate: Lagrangian(evaluate, optax.sgd(0.03), ascent(jnp.array([0.05, 0.2]))),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", GAMES)
def test_games_converge_and_say_so_only_where_the_residuals_agree(name, x64):
    objective, inequalities, equalities, start, solution, multipliers = KNOWN["both kinds"]
    method = GAMES[name](problem(objective, inequalities, equalities))

    @jax.jit
    def spent(gradients):
        return solve(method, jnp.asarray(start), gradients=gradients, tolerance=1e-5)

    result = spent(20_000)
    assert result.status == Status.CONVERGED
    assert residual(objective, inequalities, equalities, result) < 1.1e-5
    np.testing.assert_allclose(result.params, solution, atol=2e-5)
    np.testing.assert_allclose(result.multipliers, multipliers, atol=1e-4)
    rows = 2
    looks, odd = divmod(int(result.gradients - result.steps), rows + 1)  # two before the first step, one at least after
    assert not odd and 3 <= looks <= 12
    early = spent(int(result.gradients) // 2)
    assert early.status == Status.LIMIT
    assert early.steps < result.steps
    assert residual(objective, inequalities, equalities, early) > 1e-5, "it could have stopped earlier"


def test_a_row_with_rate_zero_never_moves(x64):
    evaluate = problem(lambda x: (x - 2) ** 2, lambda x: jnp.stack([x - 1, x - 0.5]))
    result = run(Lagrangian(evaluate, optax.sgd(0.03), ascent(jnp.array([0.05, 0.0]))), jnp.zeros(()), gradients=2000)
    np.testing.assert_allclose(result.params, 1, atol=1e-4)
    np.testing.assert_allclose(result.multipliers, [2, 0], atol=1e-4)


def test_complementarity_counts(x64):
    """A multiplier on a row that does not bind: stationary and feasible at once, but no solution."""
    evaluate = problem(lambda x: (x - 2) ** 2, lambda x: x - 3)
    game = Lagrangian(evaluate, optax.sgd(0.0), ascent(0.0))
    state = game.init(jnp.asarray(1.0), 1)._replace(multipliers=jnp.array([2.0]))
    _, info = game.step(state)
    np.testing.assert_allclose(info.kkt, [0, 0, 4])
    assert info.kkt.worst == 4


def test_a_bilinear_game_needs_optimism(x64):
    """The linear program min -x - 2y in the unit box: (1, 1), multipliers 1 and 2. Plain players circle around it."""
    rows = problem(lambda x: -x[0] - 2 * x[1], lambda x: jnp.concatenate([x - 1, -x]))

    def played(primal, dual):
        return run(Lagrangian(rows, primal, dual), jnp.zeros(2), gradients=20_000, tolerance=1e-5)

    result = played(optax.optimistic_gradient_descent(0.05), optimistic(0.05))
    assert result.status == Status.CONVERGED
    np.testing.assert_allclose(result.params, [1, 1], atol=1e-4)
    np.testing.assert_allclose(result.multipliers, [1, 2, 0, 0], atol=1e-4)
    plain = played(optax.sgd(0.05), ascent(0.05))
    assert plain.status == Status.LIMIT
    assert plain.kkt.worst > 0.1, "the control should fail"


def test_exponentiated_multipliers_find_a_minimax_point(x64):
    """min over x of max((x - 1)^2, 2 (x + 2)^2, -5): where the two meet, with weights 2 - sqrt 2 and sqrt 2 - 1."""

    def evaluate(x):
        worst = jnp.stack([(x - 1) ** 2, 2 * (x + 2) ** 2, -5 + 0 * x])
        return Evaluation(0 * x, worst, worst)

    game = Lagrangian(evaluate, optax.sgd(0.02), exponentiated(0.05, cap=1.0))
    state, _ = jax.lax.scan(lambda s, _: game.step(s), game.init(jnp.asarray(2.0), 3), length=8000)
    root = np.sqrt(2)
    np.testing.assert_allclose(state.params, (1 - 2 * root) / (1 + root), atol=1e-4)
    np.testing.assert_allclose(state.multipliers, [2 - root, root - 1, 0], atol=1e-4)


INFEASIBLE = problem(
    lambda x: (x[0] - 3) ** 2 + x[1] ** 2, lambda x: jnp.stack([1 - x[0], x[0] + 1]), lambda x: x[1] - 2
)


@pytest.mark.parametrize(
    "method",
    [MultiplierMethod(INFEASIBLE), Lagrangian(INFEASIBLE, optax.sgd(0.02), nupi(0.2, 1.0, cap=50.0))],
    ids=["multipliers", "game"],
)
def test_an_infeasible_problem_is_reported_with_the_least_violation(method, x64):
    """x >= 1 and x <= -1: no point violates them by less than 1, and only x = 0 by that little."""
    result = run(method, jnp.array([2.0, 0.5]), tolerance=1e-5)
    assert result.status == Status.INFEASIBLE
    np.testing.assert_allclose(result.least_violation, 1, atol=1e-2)
    np.testing.assert_allclose(result.least_params[0], 0, atol=1e-2)
    assert result.kkt.feasibility > 0.9
    assert result.gradients < 20_000


def test_a_slow_but_feasible_problem_is_not_called_infeasible(x64):
    """The multiplier needed is above the cap at first sight only: patience sees that the violation still falls."""
    evaluate = problem(lambda x: (x - 2) ** 2, lambda x: x - 1)
    game = Lagrangian(evaluate, optax.sgd(1e-3), ascent(0.5, cap=2.5))
    result = run(game, jnp.asarray(30.0), patience=500, tolerance=1e-5)
    assert result.status == Status.CONVERGED


@jax.jit
def quadratic(objective, row, start, gradients=20_000):
    """min a + b x + c x^2 under p + q x + r x^2 <= 0, in one program for all numbers."""

    def of(numbers):
        return lambda x: numbers[0] + numbers[1] * x + numbers[2] * x**2

    return solve(MultiplierMethod(problem(of(objective), of(row))), start, gradients=gradients)


@pytest.mark.parametrize(
    ("objective", "row", "start"),
    [
        (1e9 * np.array([4, -4, 1]), np.array([-1, 1, 0]), 2.0),
        (np.array([0, -1, 0]), 1e-9 * np.array([-1, 1, 0]), 0.0),
        (1e-9 * np.array([4, -4, 1]), np.array([-1, 1, 0]), -5.0),
    ],
    ids=["slope 0 at the start", "small row", "small objective"],
)
def test_units_do_not_decide(objective, row, start, x64):
    result = quadratic(objective.astype(float), row.astype(float), start)
    assert result.status == Status.CONVERGED
    np.testing.assert_allclose(result.params, 1, atol=1e-3)


@pytest.mark.slow
def test_a_steep_objective_does_not_decide_either(x64):
    result = run(MultiplierMethod(problem(lambda x: jnp.exp(10 * x), lambda x: 2 - x)), jnp.asarray(-1.0))
    assert result.status == Status.CONVERGED
    np.testing.assert_allclose(result.params, 2, atol=1e-3)


@pytest.mark.slow
def test_a_maximum_of_the_violation_is_not_called_infeasible(x64):
    """x^2 >= 1 from 0, which first derivatives cannot leave."""
    result = quadratic(np.array([0.0, 0, 1]), np.array([1.0, 0, -1]), 0.0, 2000)
    assert result.status == Status.LIMIT


@pytest.mark.slow
def test_what_is_not_finite_ends_the_solve():
    evaluate = problem(lambda x: jnp.log(x), lambda x: x - 1)
    for method in (MultiplierMethod(evaluate), Lagrangian(evaluate, optax.sgd(1.0), ascent(0.1))):
        result = run(method, jnp.asarray(-1.0))
        assert result.status == Status.DIVERGED
        assert result.steps == 1


@pytest.mark.slow
def test_single_precision_and_pytrees_of_parameters():
    evaluate = problem(
        lambda x: (x["a"] - 2) ** 2 + jnp.sum((x["b"] - 1) ** 2),
        lambda x: {"cap": x["a"] - 1, "pairs": (x["b"] - 4,)},
        lambda x: x["a"] + jnp.sum(x["b"]) - 5,
    )
    result = run(MultiplierMethod(evaluate), {"a": jnp.zeros(()), "b": jnp.zeros(2)})
    assert result.status == Status.CONVERGED
    np.testing.assert_allclose(result.params["a"], 1, atol=1e-3)
    np.testing.assert_allclose(result.params["b"], [2, 2], atol=1e-3)
    np.testing.assert_allclose(result.multipliers, [4, 0, 0, -2], atol=5e-3)


@pytest.mark.slow
def test_gradients_are_counted_as_they_are_taken(x64):
    """Every backward pass through the objective is counted; of a look at all slopes, m of m + 1 are the rows' own."""
    taken = []

    @jax.custom_vjp
    def objective(x):
        return rosenbrock(x)

    def backward(x, cotangent):
        jax.debug.callback(lambda: taken.append(1))
        return (cotangent * jax.grad(rosenbrock)(x),)

    objective.defvjp(lambda x: (rosenbrock(x), x), backward)
    method = MultiplierMethod(problem(objective, lambda x: jnp.stack([x[0] - 0.5, -x[1]])))
    result = jax.block_until_ready(run(method, jnp.array([-1.2, 1.0])))
    jax.effects_barrier()
    assert result.status == Status.CONVERGED
    looks = 2 + 2 + 1  # the method's, to scale; those of sizes; the closer one
    assert len(taken) == result.gradients - 2 * looks


def test_batches_and_proxies(x64):
    """Noisy batches of a least-squares fit with a bound on a rate that has no gradient; the proxy is off by far."""
    key = jax.random.key(0)
    data = 2 + jax.random.normal(key, (400,))

    def batch(step):
        return (jax.random.choice(jax.random.fold_in(key, step), data, (50,)),)

    evaluate = problem(
        lambda x, seen: jnp.mean((x - seen) ** 2),
        lambda x, seen: jnp.mean(data < x) - 0.2,
        proxies=lambda x, seen: jnp.mean(jax.nn.sigmoid(x - data)) - 0.2,
    )
    game = Lagrangian(evaluate, optax.sgd(optax.cosine_decay_schedule(0.05, 6000)), ascent(0.1))
    result = run(game, jnp.asarray(0.0), gradients=6000, tolerance=0.0, sample=batch)
    assert result.status == Status.LIMIT
    np.testing.assert_allclose(result.params, np.quantile(data, 0.2), atol=0.02)


def test_rows_that_are_not_asked_for_have_no_say_and_the_truth_decides_not_the_proxy(x64):
    def evaluate(x):
        g = jnp.stack([x - 1, x + 100])
        return Evaluation((x - 2) ** 2, g - jnp.array([0.3, 0.0]), g.at[1].set(-jnp.inf))

    result = run(MultiplierMethod(evaluate), jnp.zeros(()), tolerance=1e-6)
    assert result.status == Status.CONVERGED
    np.testing.assert_allclose(result.params, 1, atol=1e-5)
    np.testing.assert_allclose(result.multipliers, [2, 0], atol=1e-4)


@pytest.mark.parametrize(
    ("evaluate", "start", "words"),
    [
        (problem(lambda x: x, lambda x: x), jnp.zeros(2), "objective to be a scalar"),
        (problem(jnp.sum, lambda x: x), jnp.zeros(2, int), "parameters of floats"),
        (problem(jnp.sum, lambda x: x, proxies=lambda x: x[:1]), jnp.zeros(2), "one proxy for each of 2"),
        (lambda x: Evaluation(x, x, x), jnp.zeros(()), "one shape"),
    ],
)
def test_errors_say_what_to_do(evaluate, start, words):
    with pytest.raises(UsageError, match=words):
        solve(MultiplierMethod(evaluate), start)
