"""Mixtures against brute force over bases, scipy's linprog, planted infeasible tables, and solvers that lie."""

import itertools
import json
from fractions import Fraction

import cvxpy as cp
import numpy as np
import pytest
from scipy.optimize import linprog

from faro.errors import NoProofError, UsageError
from faro.exact import Mixture, Unattainable, mix, mixture


def brute_force(f, table, s):
    """The least f . q over all basic solutions; None if there is none."""
    q, m = table.shape
    equations = np.concatenate([np.ones((1, q)), table.T])
    equations = np.concatenate([equations, np.concatenate([np.zeros((1, m)), np.eye(m)])], 1)
    right, best = np.concatenate([[1.0], s]), None
    for basis in itertools.combinations(range(q + m), m + 1):
        columns = equations[:, basis]
        if abs(np.linalg.det(columns)) < 1e-12:
            continue
        value = np.linalg.solve(columns, right)
        if (value >= -1e-12).all():
            cost = sum(f[j] * v for j, v in zip(basis, value, strict=True) if j < q)
            best = cost if best is None else min(best, cost)
    return best


@pytest.mark.parametrize("seed", range(12))
def test_against_brute_force(seed):
    rng = np.random.default_rng(seed)
    f, table = rng.random(6), rng.normal(size=(6, 2))
    s = table.mean(0) + rng.normal(size=2) * 0.5
    want, got = brute_force(f, table, s), mix(f, table, s)
    if want is None:
        assert isinstance(got, Unattainable)
        return
    assert isinstance(got, Mixture)
    np.testing.assert_allclose(float(got.value), want, atol=1e-9)
    assert len(got.members) <= 3
    assert sum(got.weights) == 1
    assert min(got.weights) > 0
    assert got.violation == 0
    assert 0 <= got.gap < 1e-9


def test_five_hundred_models_none_within_the_limits_alone():
    rng = np.random.default_rng(0)
    f, table = rng.random(500), rng.normal(size=(500, 12))
    table[np.arange(500), rng.integers(0, 12, 500)] = rng.uniform(0.5, 1, 500)  # every model breaks some limit
    assert (table > 0).any(1).all()
    got = mix(f, table, 0.0)
    want = linprog(f, A_ub=table.T, b_ub=np.zeros(12), A_eq=np.ones((1, 500)), b_eq=[1.0])
    np.testing.assert_allclose(float(got.value), want.fun, atol=1e-9)
    assert len(got.members) <= 13
    assert got.violation == 0
    assert got.gap < 1e-9
    # the whole claim again, from what is stored
    stored = json.loads(json.dumps(got.plain()))
    weights, prices = ([Fraction(v) for v in stored[key]] for key in ("weights", "prices"))
    exact_table = [[Fraction(float(v)) for v in row] for row in table]
    assert sum(weights) == 1
    for j in range(12):
        rows = [exact_table[i][j] for i in stored["members"]]
        assert sum(w * c for w, c in zip(weights, rows, strict=True)) <= 0
    priced = [sum(p * c for p, c in zip(prices, row, strict=True)) for row in exact_table]
    costs = [Fraction(float(loss)) + price for loss, price in zip(f, priced, strict=True)]
    assert min(costs) == Fraction(stored["lower"]) <= Fraction(stored["value"])


def test_impossible_limits_come_with_the_least_slack(capfd):
    rng = np.random.default_rng(1)
    table = rng.normal(size=(40, 5))
    t = linprog(
        np.append(np.zeros(40), 1), A_ub=np.column_stack([table.T, -np.ones(5)]), b_ub=np.zeros(5),
        A_eq=np.append(np.ones(40), 0)[None], b_eq=[1.0], bounds=[(0, None)] * 40 + [(None, None)],
    ).fun  # fmt: skip
    limits = t - 0.1923
    got = mix(rng.random(40), table, limits)
    assert isinstance(got, Unattainable)
    np.testing.assert_allclose(float(got.least), 0.1923, atol=1e-9)
    assert got.least <= got.attained <= got.least + Fraction(1, 10**9)
    assert sum(got.witness) == 1 == sum(got.weights)
    assert min(got.witness) >= 0
    shares = np.array([float(value) for value in got.witness])
    assert np.min((table - limits) @ shares) == pytest.approx(float(got.least), abs=1e-12)
    for q in rng.dirichlet(np.ones(40), 200):
        assert np.max(q @ table - limits) >= float(got.least)
    json.dumps(got.plain())
    assert capfd.readouterr() == ("", "")  # no solver's banner


def test_limits_that_leave_no_room():
    """Only one mixture satisfies both limits; no hair can be asked for."""
    got = mix([0.0, 1.0], [[1.0, -1.0], [-1.0, 1.0]], 0.0)
    assert got.weights == (Fraction(1, 2), Fraction(1, 2))
    assert got.violation == 0
    third = mix([0.0, 1.0], [[1.0, -1.0], [-2.0, 2.0]], 0.0)  # 2/3 and 1/3 are no decimals
    assert third.violation < Fraction(1, 10**14)
    assert abs(float(third.weights[0]) - 2 / 3) < 1e-14


def test_rounding_of_weights_is_made_good():
    """Where there is room, no violation is left: not even that of the last decimal of a weight."""
    for seed in range(30):
        rng = np.random.default_rng(seed)
        rates = np.sort(rng.uniform(0, 0.5, 5)).astype(np.float32)
        got = mix(1 - np.sqrt(rates), np.stack([rates, -rates], 1), np.float32(rates.mean()))
        assert got.violation == 0
        assert got.gap < Fraction(1, 10**12)


def test_a_model_of_its_own_and_no_limits():
    got = mix([0.3, 0.1, 0.2], np.zeros((3, 0)), 0.0)
    assert got.members == (1,)
    assert got.weights == (1,)
    assert got.value == Fraction(0.1) == got.lower
    alone = mix([0.3, 0.1], [[0.0], [0.5]], 0.1)
    assert alone.members == (0, 1)
    assert alone.plain()["weights"] == ["0.8", "0.2"]


def test_decimals_are_exact():
    for value in (Fraction(0), Fraction(1), Fraction(1, 8), Fraction(123456789, 10**15), Fraction(7, 2)):
        assert Fraction(mixture.decimal(value)) == value


def lying(change):
    """`solver.guess` whose answer is tampered with after it was judged."""
    honest = mixture.solver.guess

    def guess(problem, attempts, defect):
        good = honest(problem, attempts, defect)
        if good:
            change(problem)
        return good

    return guess


def worst_vertex(problem):
    q = next(v for v in problem.variables() if v.size > 1)
    q.value = np.eye(q.size)[0]


def no_prices(problem):
    for row in problem.constraints:
        row.save_dual_value(np.zeros(row.shape))


def big_prices(problem):
    for row in problem.constraints:
        row.save_dual_value(7 + np.zeros(row.shape))


@pytest.mark.parametrize("change", [worst_vertex, no_prices, big_prices])
def test_a_solver_that_lies_proves_nothing_false(change, monkeypatch):
    rng = np.random.default_rng(3)
    f, table = rng.random(20), rng.normal(size=(20, 3))
    truth = mix(f, table, 0.1)
    monkeypatch.setattr(mixture.solver, "guess", lying(change))
    try:
        got = mix(f, table, 0.1)
    except NoProofError:
        return
    assert isinstance(got, Mixture)
    assert got.lower <= truth.value
    assert got.violation <= Fraction(1, 10**9)
    assert got.gap >= got.value - truth.value - Fraction(1, 10**9)


def test_no_solver_is_no_pass(monkeypatch):
    monkeypatch.setattr(mixture.solver, "guess", lambda *_: False)
    with pytest.raises(NoProofError) as caught:
        mix([0.0, 1.0], [[1.0], [-1.0]], 0.0)
    assert caught.value.exit_code == 7


def test_the_next_solver_in_line(monkeypatch):
    monkeypatch.setattr(mixture.solver, "LINEAR", (("NO SUCH SOLVER", {}), ("SCIPY", {})))
    assert "NO SUCH SOLVER" not in cp.installed_solvers()
    assert mix([0.0, 1.0], [[1.0], [-1.0]], 0.0).gap < Fraction(1, 10**6)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (([], np.zeros((0, 1)), 0.0), "losses"),
        (([0.0, 1.0], [[1.0]], 0.0), "measurements"),
        (([0.0], [[1.0]], [0.0, 1.0]), "limits"),
        (([np.nan], [[1.0]], 0.0), "finite"),
        (([0.0], [[1.0]], np.inf), "finite"),
    ],
)
def test_bad_input_is_named(arguments, says):
    with pytest.raises(UsageError, match=says):
        mix(*arguments)
