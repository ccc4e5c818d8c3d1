"""Linear heads solved exactly: against cvxpy with all rows, scipy's SLSQP, finite differences, and solvers that lie."""

import time

import cvxpy as cp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import constraints as ct
from constraints.testing import COMMUNITY, GROUP, KIND, example_choices
from faro import exact, metrics, models
from faro.errors import DataError, UsageError
from faro.exact import newton

LINEAR = models.Linear()
PAIRS = ct.Attribute("g", ("a", "b", "c"))


def pairs(n=60, k=2, d=4, seed=0):
    """Choices that want to violate parity of `PAIRS`, without an outside option."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 3, (n, k))
    items = rng.normal(size=(n, k, d)) + 0.7 * group[..., None] * np.eye(d)[0]
    utility = items @ np.linspace(2, -1, d) + rng.gumbel(size=(n, k))
    return ct.make_choices(items, utility.argmax(1), attributes={"g": group})


def awkward():
    """Unavailable alternatives, soft labels, weights, padding, outside options, a context."""
    return example_choices(n=45, k=3, seed=1)


def loss_by_hand(head, w):
    """The loss, row by row in numpy."""
    c = head.choices
    available, chosen, weight = (np.asarray(v, float) for v in (c.available, c.chosen, c.weight))
    utility = np.where(available > 0, head.features.astype(float) @ w, -1e9)
    losses = np.log(np.exp(utility).sum(1)) * chosen.sum(1) - (chosen * utility * available).sum(1)
    return float(weight @ losses / weight.sum() + head.ridge / 2 * w @ w)


def by_cvxpy(head, rows, bound):
    """The optimum by a general solver that is given every row."""
    c, w = head.choices, cp.Variable(head.d)
    weight, chosen = np.asarray(c.weight, float), np.asarray(c.chosen, float)
    terms = []
    for i in np.flatnonzero(weight):
        there = np.flatnonzero(np.asarray(c.available)[i])
        utility = head.features[i, there].astype(float) @ w
        terms.append(
            weight[i] / weight.sum() * (cp.log_sum_exp(utility) * chosen[i].sum() - chosen[i, there] @ utility)
        )
    objective = cp.Minimize(cp.sum(cp.hstack(terms)) + head.ridge / 2 * cp.sum_squares(w))
    problem = cp.Problem(objective, [rows.matrix @ w <= rows.limits(bound)])
    problem.solve(solver="CLARABEL", tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
    return problem.value


PROBLEMS = {
    "pairs": (pairs, ct.demographic_parity(PAIRS), 1e-3),
    "three, unavailable, soft, weighted, padded, outside": (awkward, ct.equalized_odds(GROUP), 1e-2),
    "twins": (awkward, ct.counterfactual_parity(GROUP), 1e-2),
}


@pytest.fixture(scope="module")
def problems():
    """name -> (head, rows, bound that binds)."""
    made = {}
    for name, (choices, constraint, ridge) in PROBLEMS.items():
        head = exact.Head.of(choices(), ridge)
        rows = exact.rows_of(constraint, head)
        free = exact.solve(head, rows, 1e3)
        made[name] = head, rows, 0.4 * rows.violation(free.w, 0)
    return made


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_optimum_agrees_with_a_solver_that_sees_every_row(name, problems):
    head, rows, bound = problems[name]
    point = exact.solve(head, rows, bound)
    assert point.violation == 0
    assert 0 <= point.gap <= 1e-8
    assert point.price > 1e-3, "the bound should bind"
    np.testing.assert_allclose(point.loss, loss_by_hand(head, point.w), rtol=1e-12)
    np.testing.assert_allclose(point.loss, by_cvxpy(head, rows, bound), atol=1e-7)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_optimum_agrees_with_slsqp(name, problems):
    head, rows, bound = problems[name]
    held = {"type": "ineq", "fun": lambda w: rows.limits(bound) - rows.matrix @ w, "jac": lambda w: -rows.matrix}
    gradient = lambda w: head.moments(w, False).gradient + head.ridge * w  # noqa: E731
    found = minimize(
        lambda w: loss_by_hand(head, w), np.zeros(head.d), jac=gradient, method="SLSQP", constraints=[held],
        options={"ftol": 1e-13, "maxiter": 500},
    )  # fmt: skip
    np.testing.assert_allclose(exact.solve(head, rows, bound).loss, found.fun, atol=1e-8)


@pytest.mark.parametrize("name", PROBLEMS)
def test_prices_are_the_slope_of_the_loss(name, problems):
    head, rows, bound = problems[name]
    step = 1e-4 * bound
    low, middle, high = (exact.solve(head, rows, at, tolerance=1e-11) for at in (bound - step, bound, bound + step))
    np.testing.assert_allclose((low.loss - high.loss) / (2 * step), middle.price, rtol=1e-3)
    np.testing.assert_allclose(middle.price, middle.multipliers @ rows.slope)


def test_moments_are_derivatives(problems):
    head, _, _ = problems["three, unavailable, soft, weighted, padded, outside"]
    w, step = np.linspace(-1, 1, head.d), 1e-5
    seen = head.moments(w)
    for j, unit in enumerate(np.eye(head.d)):
        high, low = head.moments(w + step * unit), head.moments(w - step * unit)
        np.testing.assert_allclose((high.loss - low.loss) / (2 * step), seen.gradient[j], atol=1e-8)
        np.testing.assert_allclose((high.gradient - low.gradient) / (2 * step), seen.hessian[j], atol=1e-8)


def test_chunks_change_nothing(problems, monkeypatch):
    head, _, _ = problems["three, unavailable, soft, weighted, padded, outside"]
    monkeypatch.setattr("faro.exact.head.CHUNK", 7 * 3 * head.d)
    small = exact.Head.of(awkward(), head.ridge)
    assert small.table.features.shape[0] > 3
    w = np.linspace(-1, 1, head.d)
    for one, other in zip(head.moments(w), small.moments(w), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(head.features, small.features)


def test_the_loss_and_parameters_are_those_of_the_linear_model(x64):
    choices = awkward()
    head = exact.Head.of(choices, 0.1)
    w = np.random.default_rng(0).normal(size=head.d)
    params = head.params(w)
    np.testing.assert_array_equal(head.weights(params), w)
    rewards = models.rewards(LINEAR, jax.tree.map(jnp.asarray, params), choices)
    decay = 0.05 * sum(float(np.sum(np.square(value))) for value in params.values())
    np.testing.assert_allclose(head.loss(w), float(metrics.nll(rewards, choices)) + decay, rtol=1e-12)


def test_jax_keeps_its_precision(problems):
    head, rows, bound = problems["pairs"]
    exact.solve(head, rows, bound)
    assert jnp.ones(()).dtype == jnp.float32


# Affine proxies ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_proxy_is_the_tangent_of_the_soft_reading(x64):
    """Value and derivative at equal rewards of the measurement that training differentiates, by automatic
    differentiation through the model itself."""
    constraint = ct.Stack(
        members=(
            ct.demographic_parity(GROUP, within=COMMUNITY),
            ct.demographic_parity(COMMUNITY, of=(KIND, "x")),
            ct.equalized_odds(GROUP, form="anchored"),
            ct.counterfactual_parity(GROUP, within=KIND),
            ct.counterfactual_parity(COMMUNITY, of=(KIND, "y")),
            ct.rate_cap(GROUP, 0.3),
            ct.rate_floor(GROUP, 0.3),
            ct.group_error(COMMUNITY),
        )
    )
    choices, temperature = awkward(), 0.7
    head = exact.Head.of(choices, 0.1)
    rows = exact.rows_of(constraint, head, temperature=temperature)
    constraint = exact.linear(constraint)

    def measure(w):
        d, c = head.shape
        cross = w[d + c : d + c + d * c].reshape(d, c)
        params = {"item": w[:d], "context": w[d : d + c], "cross": cross, "intercept": w[-1]}
        rewards = models.rewards(LINEAR, params, choices)
        twins = models.twin_rewards(LINEAR, params, choices, constraint.twins())
        measured = constraint.measure(ct.decide(ct.Softmax(temperature=temperature), rewards, choices, twins), choices)
        return measured, measured

    slope, value = jax.jit(jax.jacobian(measure, has_aux=True))(jnp.zeros(head.d))
    np.testing.assert_allclose(rows.matrix, slope, atol=1e-6)  # labels and weights are float32
    np.testing.assert_allclose(rows.limits(0.3), 0.3 - value, atol=1e-6)
    assert rows.labels == constraint.labels()
    assert all(np.abs(rows.matrix).sum(1)[[not label.count("empty") for label in rows.labels]] > 0)


@pytest.mark.parametrize("form", ["centred", "pairwise"])
def test_rows_of_parity_hold_exactly_when_the_gap_is_within_the_bound(form):
    choices = pairs()
    head = exact.Head.of(choices, 0.1)
    assert not head.intercept
    rows = exact.rows_of(ct.demographic_parity(PAIRS, form=form), head)
    with jax.enable_x64(True):
        constraint = ct.demographic_parity(PAIRS)
        for w in np.random.default_rng(0).normal(size=(5, head.d)):
            rewards = head.features.astype(float) @ w
            outcome = ct.decide(exact.Affine(), rewards + 5, choices)  # a constant added to a choice is not seen
            gap = float(constraint.gap(constraint.statistics(outcome, choices))[0])
            np.testing.assert_allclose(rows.violation(w, 0), gap, rtol=1e-6)


def test_means_of_rewards_by_hand():
    """K = 2 without an outside option: a quarter of the reward's lead, so parity compares mean leads."""
    choices = pairs()
    head = exact.Head.of(choices, 0.1)
    rows = exact.rows_of(ct.demographic_parity(PAIRS), head)
    group, x = np.asarray(choices.attributes["g"]), np.asarray(choices.items, float)
    lead = (x - x[:, ::-1]) / 4
    means = {g: lead[group == g].mean(0) for g in range(3)}
    want = [means[g] - means[h] for g in range(3) for h in range(3) if g != h]
    np.testing.assert_allclose(rows.matrix, want, atol=1e-12)
    np.testing.assert_allclose(rows.base, 0, atol=1e-12)
    assert rows.labels[0] == "g=a over g=b"


@pytest.mark.parametrize(
    "constraint",
    [
        ct.reward_parity(GROUP), ct.threshold_parity(GROUP), ct.rate_ratio(GROUP), ct.precision_floor(GROUP, 0.6),
        ct.predictive_parity(GROUP), ct.calibration(GROUP), ct.group_loss(GROUP), ct.exposure_parity(GROUP),
        ct.counterfactual_flip(GROUP), ct.counterfactual_oscillation(GROUP, tail=True),
        ct.Stack(members=(ct.demographic_parity(GROUP), ct.reward_parity(GROUP))),
    ],
    ids=lambda constraint: constraint.name(),
)  # fmt: skip
def test_what_is_not_linear_says_so(constraint):
    with pytest.raises(UsageError, match="not linear in rewards"):
        exact.rows_of(constraint, exact.Head.of(awkward(), 0.1))


# Paths, bounds that cannot be met, bad input ------------------------------------------------------------------------


def test_a_path_is_its_points(problems):
    head, rows, bound = problems["pairs"]
    bounds = [0.5 * bound, 2 * bound, bound]
    points = exact.path(head, rows, bounds)
    assert [point.bound for point in points] == bounds
    for point in points:
        assert point.gap <= 1e-8
        np.testing.assert_allclose(point.loss, exact.solve(head, rows, point.bound).loss, atol=2e-9)
    assert points[0].loss > points[2].loss > points[1].loss


def test_far_starts_and_tiny_ridges_arrive(problems):
    head, rows, bound = problems["pairs"]
    there = exact.solve(head, rows, bound)
    far = exact.solve(head, rows, bound, start=50 * np.ones(head.d))
    np.testing.assert_allclose(far.loss, there.loss, atol=2e-9)
    tiny = exact.Head.of(pairs(n=300), 1e-7)
    assert exact.solve(tiny, exact.rows_of(ct.demographic_parity(PAIRS), tiny), 0.02).gap <= 1e-8


def test_equality_and_no_rows(problems):
    head, rows, _ = problems["pairs"]
    point = exact.solve(head, rows, 0.0)
    assert point.gap <= 1e-8
    assert point.violation <= exact.dual.FEASIBLE
    odds = exact.rows_of(ct.equalized_odds(PAIRS), head)  # 12 rows in 4 dimensions: multipliers are not unique
    assert exact.solve(head, odds, 0.0).gap <= 1e-8
    free = exact.solve(head, exact.Rows.of(np.zeros((0, head.d))), 0.0)
    assert free.gap <= 1e-8
    assert free.loss < point.loss


@pytest.mark.parametrize(("seed", "bound"), [(0, 0.01), (2, 1e-4), (4, 1e-6)])
def test_no_violation_is_left_where_there_is_room(seed, bound):
    """The solver alone oversteps these by 1e-15 to 1e-13."""
    head = exact.Head.of(pairs(seed=seed), 1e-3)
    point = exact.solve(head, exact.rows_of(ct.equalized_odds(PAIRS), head), bound)
    assert point.violation == 0
    assert point.gap <= 1e-8


def test_rows_that_the_bound_does_not_move(problems):
    head, rows, bound = problems["pairs"]
    fixed = rows + exact.Rows.of(np.eye(head.d), base=0.1, slope=0.0)
    point = exact.solve(head, fixed, bound)
    assert point.gap <= 1e-8
    assert point.w.max() <= 0.1
    assert point.price < point.multipliers.sum()


def test_an_impossible_bound_is_refused_with_the_smallest_possible(problems):
    head, _, _ = problems["pairs"]
    unit = np.eye(head.d)[:1]
    clash = exact.Rows.of(np.concatenate([unit, -unit]), base=-1.0)  # w0 <= bound - 1 and w0 >= 1 - bound
    with pytest.raises(UsageError, match=r"smallest bound that any satisfies is 1$"):
        exact.solve(head, clash, 0.9)
    assert exact.solve(head, clash, 1.1).gap <= 1e-8


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        (lambda c: exact.Head.of(c, 0.0), UsageError, "ridge"),
        (lambda c: exact.Head.of(c.replace(items={"x": c.items}), 0.1), UsageError, "items"),
        (lambda c: exact.Head.of(c.replace(items=c.items.at[3, 0, 0].set(jnp.nan)), 0.1), DataError, "choice 3"),
        (lambda c: exact.Head.of(c.replace(weight=0 * c.weight), 0.1), DataError, "weights"),
        (lambda c: exact.Rows.of([1.0, 2.0]), UsageError, "matrix"),
        (lambda c: exact.Rows.of(np.eye(2), base=[1.0, 2.0, 3.0]), UsageError, "one per row"),
        (lambda c: exact.Rows.of(np.eye(2), slope=-1.0), UsageError, "slope"),
        (lambda c: exact.Rows.of(np.eye(2) * np.nan), UsageError, "finite"),
        (lambda c: exact.solve(exact.Head.of(c, 0.1), exact.Rows.of(np.eye(2)), 0.1), UsageError, "columns"),
        (lambda c: exact.solve(exact.Head.of(c, 0.1), exact.Rows.of(np.eye(4)), np.inf), UsageError, "finite"),
        (lambda c: exact.rows_of(ct.counterfactual_parity(PAIRS), exact.Head.of(c, 0.1)), UsageError, "twins"),
    ],
)
def test_bad_input_is_named(wrong, error, says):
    with pytest.raises(error, match=says):
        wrong(pairs())


# Solvers only guess -------------------------------------------------------------------------------------------------

OPTIMA: dict[str, exact.Point] = {}


def optimum(name, problems):
    """Of one of the problems, solved once."""
    if name not in OPTIMA:
        OPTIMA[name] = exact.solve(*problems[name])
    return OPTIMA[name]


@pytest.mark.slow
@pytest.mark.parametrize(
    "lie",
    [
        lambda z, nu, rng: (z, 0 * nu),
        lambda z, nu, rng: (z, 3 * nu),
        lambda z, nu, rng: (z, rng.random(nu.shape)),
        lambda z, nu, rng: (0 * z, nu),
        lambda z, nu, rng: (-z, nu),
        lambda z, nu, rng: (z + rng.normal(size=z.shape), nu),
        lambda z, nu, rng: (0.5 * z, 0.5 * nu),
    ],
)
@pytest.mark.parametrize("name", ["pairs", "three, unavailable, soft, weighted, padded, outside"])
def test_a_solver_that_lies_proves_nothing_false(lie, name, problems, monkeypatch):
    head, rows, bound = problems[name]
    truth = optimum(name, problems)
    honest, rng = newton.Projection.__call__, np.random.default_rng(0)
    monkeypatch.setattr(newton.Projection, "__call__", lambda *args: lie(*honest(*args), rng))
    point = exact.solve(head, rows, bound)
    assert point.lower() <= truth.loss
    assert point.gap >= point.loss - truth.loss
    assert point.gap >= 0
    assert np.isinf(point.gap) or point.violation <= exact.dual.FEASIBLE


def test_a_solver_that_fails_leaves_an_honest_gap(problems, monkeypatch):
    head, rows, bound = problems["pairs"]
    truth = exact.solve(head, rows, bound)
    monkeypatch.setattr(newton.Projection, "__call__", lambda *args: None)
    point = exact.solve(head, rows, bound)
    assert point.gap >= point.loss - truth.loss > 0.01
    monkeypatch.undo()
    attempts = (("NO SUCH SOLVER", {}), ("CLARABEL", {"max_iter": 1}), ("OSQP", {}))
    monkeypatch.setattr("faro.exact.solver.QUADRATIC", attempts)
    assert exact.solve(head, rows, bound).gap <= 1e-6  # the next in line


@pytest.mark.slow
@pytest.mark.whole_run
def test_a_hundred_thousand_choices_in_ten_seconds():
    rng = np.random.default_rng(0)
    n, k, d = 100_000, 4, 32
    group = rng.integers(0, 3, (n, k))
    items = rng.normal(size=(n, k, d)).astype(np.float32)
    items[..., 0] += 0.5 * group
    chosen = (items @ np.linspace(1, -1, d) + rng.gumbel(size=(n, k))).argmax(1)
    choices = ct.make_choices(items, chosen, attributes={"g": group})
    began = time.process_time()
    head = exact.Head.of(choices, 1e-4)
    point = exact.solve(head, exact.rows_of(ct.demographic_parity(PAIRS), head), 0.02)
    assert time.process_time() - began < 10
    assert 0 <= point.gap <= 1e-8
    assert point.violation == 0
    assert point.price > 0.01
