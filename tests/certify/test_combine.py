"""From bounds to verdicts; mixtures and repairs checked against other ways of computing them."""

from __future__ import annotations

import itertools
from decimal import Decimal
from fractions import Fraction

import cvxpy as cp
import numpy as np
import pytest
from scipy import optimize, special

from faro.certify import combine, mixture, repair, rounding
from faro.certify.bounds import dkw, two_binomials
from faro.certify.bounds.two_binomials import Counts
from faro.certify.combine import Verdict, verdict
from faro.errors import UsageError

D = Decimal


@pytest.mark.parametrize(
    ("upper", "lower", "enough", "expected"),
    [
        ("0.04", None, True, Verdict.CERTIFIED),
        ("0.05", "0.01", True, Verdict.CERTIFIED),
        ("0.050000001", "0.05", True, Verdict.INCONCLUSIVE),
        ("0.09", "0.051", True, Verdict.REFUTED),
        ("1", "0.2", True, Verdict.REFUTED),
        ("1", None, True, Verdict.INCONCLUSIVE),
        ("0.01", None, False, Verdict.INCONCLUSIVE),
        ("0.5", "0.4", False, Verdict.INCONCLUSIVE),
    ],
)
def test_verdicts(upper, lower, enough, expected):
    found = verdict(D(upper), None if lower is None else D(lower), D("0.05"), enough)
    assert found is expected and combine.vacuous(D(upper)) == (upper == "1")
    assert found.exit_code == {"CERTIFIED": 0, "REFUTED": 1, "INCONCLUSIVE": 3}[found]


def test_all_claims_must_hold():
    yes, no, open_ = Verdict.CERTIFIED, Verdict.REFUTED, Verdict.INCONCLUSIVE
    assert combine.all_of([yes, yes]) is yes and combine.all_of([yes, no, open_]) is no
    assert combine.all_of([yes, open_]) is open_ and combine.all_of([]) is open_


def pairs_of(counts):
    """Ordered pairs, those with the largest observed gap first."""
    pairs = itertools.permutations(counts, 2)
    return sorted(pairs, key=lambda pair: counts[pair[1]].k / counts[pair[1]].n - counts[pair[0]].k / counts[pair[0]].n)


def gate_of(counts, level=0.05):
    pairs = pairs_of(counts)
    upper = combine.largest_upper(
        pairs,
        lambda pair, first: two_binomials.upper(counts[pair[0]], counts[pair[1]], level, first),
        lambda pair, gap: two_binomials.rejects(counts[pair[0]], counts[pair[1]], gap, level),
        D("0.05"),
    )
    share = level / len(pairs)
    below = {pair: -two_binomials.upper(counts[pair[1]], counts[pair[0]], share) for pair in pairs}
    worst = max(pairs, key=below.__getitem__)
    return upper, worst, below[worst]


def test_the_gate_is_the_largest_of_its_pairs():
    counts = {
        name: Counts(k, n) for name, k, n in (("a", 300, 1000), ("b", 420, 1500), ("c", 70, 300), ("d", 900, 3000))
    }
    upper, _, _ = gate_of(counts)
    each = {pair: two_binomials.upper(counts[pair[0]], counts[pair[1]], 0.05) for pair in pairs_of(counts)}
    assert upper == max(each.values())


def test_an_unprovable_pair_makes_the_gate_vacuous():
    calls = iter([D("0.1"), D("0.2"), D("1")])
    found = combine.largest_upper(["x", "y"], lambda *_: next(calls), lambda name, value: name == "x", D("0.05"))
    assert found == 1


@pytest.mark.parametrize("planted", ["a", "b", "c"])
def test_a_planted_group_is_found(planted):
    counts = {name: Counts(900 + 250 * (name == planted), 3000) for name in "abc"}
    upper, worst, lower = gate_of(counts)
    assert verdict(upper, lower, D("0.05")) is Verdict.REFUTED and planted in worst
    level = {name: Counts(900, 3000) for name in "abc"}
    upper, _, lower = gate_of(level)
    assert verdict(upper, lower, D("0.05")) is Verdict.CERTIFIED


def test_a_gap_above_one_threshold_is_seen_by_all_thresholds_only():
    """Scores differ above .9 alone: decisions at .5 agree, and pass; the distance of distributions refutes."""
    rng, n = np.random.default_rng(0), 50_000
    a, b = rng.random(n), rng.random(n)
    high = a > 0.9
    a[high & (rng.random(n) < 0.9)] = 0.89
    counts = {name: Counts(int((z > 0.5).sum()), n) for name, z in (("a", a), ("b", b))}
    upper, _, lower = gate_of(counts)
    assert verdict(upper, lower, D("0.05")) is Verdict.CERTIFIED
    distance = max(dkw.upper(x, y, 0.05) for x, y in ((a, b), (b, a)))
    least = max(dkw.lower(x, y, 0.025) for x, y in ((a, b), (b, a)))
    assert verdict(distance, least, D("0.05")) is Verdict.REFUTED


# Numbers -------------------------------------------------------------------------------------------------------------


def test_rounding_is_outward_and_text_is_plain():
    for value in (0.1, 1 / 3, 0.0, 1e-12, 0.999999999999):
        assert rounding.down(value) <= D(value) - rounding.PADDING < D(value) + rounding.PADDING <= rounding.up(value)
    assert [rounding.text(D(x)) for x in ("1E+2", "0.1000", "-0.0", "1E-7", "3")] == [
        "100",
        "0.1",
        "0",
        "0.0000001",
        "3",
    ]
    assert rounding.quotient(Fraction(1, 3)) <= Fraction(1, 3) < rounding.quotient(Fraction(1, 3)) + D("1e-19")


def test_the_search_finds_the_end_of_what_is_rejected():
    for end in (D("0.1234567"), D("-0.3"), D("0.0000004")):
        found = rounding.least_rejected(lambda value, end=end: value >= end, -0.5, 1)
        assert end <= found < end + D("0.000001")
        asked = end + D("0.0000001")
        assert rounding.least_rejected(lambda value, end=end: value >= end, -0.5, 1, asked) <= asked
    assert rounding.least_rejected(lambda _: False, 0.2, 0.9) == D("0.9")
    assert rounding.least_rejected(lambda _: False, 0.2, 0.9, D("0.5")) == D("0.9")


# Mixtures ------------------------------------------------------------------------------------------------------------

LOSSES, TABLE = [0.4, 0.5, 0.6], [[0.1], [-0.1], [-0.2]]


def test_a_mixture_is_checked_exactly():
    found = mixture.check({0: Fraction(1, 2), 1: Fraction(1, 2)}, LOSSES, TABLE, [0.5])
    assert found.violation == 0 and float(found.loss) == pytest.approx(0.45) and abs(found.gap) < 1e-15
    assert mixture.check({1: Fraction(1)}, LOSSES, TABLE, [0.5]).gap > 0.04
    assert mixture.check({0: Fraction(1)}, LOSSES, TABLE, [0.5]).violation == Fraction(0.1)


def test_multipliers_of_a_linear_program_prove_its_mixture():
    rng = np.random.default_rng(1)
    losses, table = rng.random(60), rng.normal(0.2, 0.5, (60, 4))
    found = optimize.linprog(losses, table.T, np.zeros(4), np.ones((1, 60)), [1.0])
    weights = mixture.normalised(dict(enumerate(found.x)))
    checked = mixture.check(weights, losses, table, np.maximum(-found.ineqlin.marginals, 0))
    assert len(weights) <= 5 and checked.gap < 1e-9 and checked.violation < 1e-9
    anything = mixture.check(weights, losses, table, rng.random(4))
    assert anything.lower <= checked.loss + Fraction(1, 10**9)  # any multipliers give a lower bound


def test_infeasible_mixtures_have_a_least_violation():
    table = [[0.3, -0.1], [-0.1, 0.3], [0.2, 0.2]]
    least = mixture.least_violation(table, [0.5, 0.5])
    shares = np.random.default_rng(2).dirichlet(np.ones(3), 500)
    assert float(least) == pytest.approx(0.1) and (shares @ np.array(table)).max(1).min() >= float(least) - 1e-12


@pytest.mark.parametrize(
    ("weights", "prices"),
    [
        ({0: Fraction(1, 2)}, [0.5]),
        ({0: Fraction(2), 1: Fraction(-1)}, [0.5]),
        ({0: Fraction(1)}, [-1.0]),
        ({0: Fraction(1)}, [1, 1]),
    ],
)
def test_what_is_no_mixture_is_refused(weights, prices):
    with pytest.raises(UsageError, match="expected"):
        mixture.check(weights, LOSSES, TABLE, prices)


# Repair --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [repair.repair_means, repair.repair_rates])
@pytest.mark.parametrize("bound", [0.2, 0.05])
def test_a_repair_is_feasible_cheapest_and_priced(kind, bound):
    values, weights = np.array([0.5, 0.8, 0.3, 0.45]), np.array([0.2, 0.3, 0.3, 0.2])
    found = kind(values, weights, bound)
    assert np.ptp(found.repaired) <= bound + 1e-9
    assert found.lower <= found.cost <= found.lower + 1e-6
    per_weight = (repair.SQUARES if kind is repair.repair_means else repair.DIVERGENCE).of
    rng = np.random.default_rng(3)
    for _ in range(200):  # no other feasible repair is cheaper
        low = rng.uniform(0.01, 0.99 - bound)
        assert weights @ per_weight(values, np.clip(values, low, low + bound) - values) >= found.lower
    more, less = kind(values, weights, bound + 1e-3), kind(values, weights, bound - 1e-3)
    assert found.price == pytest.approx((less.cost - more.cost) / 2e-3, rel=0.02)
    assert all(values[high] > values[low] for high, low in found.prices)


def test_nothing_to_repair_costs_nothing():
    found = repair.repair_means([0.3, 0.31], [1, 1], 0.05)
    assert found.cost <= 1e-6 and not found.prices and found.price == 0


def test_repairs_that_make_no_sense_are_refused():
    for values, weights, bound in (([0.5], [1], 0.1), ([0.5, 0.6], [1, 0], 0.1), ([0.5, 0.6], [1, 1], -0.1)):
        with pytest.raises(UsageError, match="expected"):
            repair.repair_means(values, weights, bound)
    for rates in ([0.5, 1.2], [-0.1, 0.5], [1e-12, 0.5], [0.5, np.nan]):
        with pytest.raises(UsageError, match="expected"):
            repair.repair_rates(rates, [1, 1], 0.1)
    for rates, bound in (([0.0, 0.5, 1.0], 0.1), ([0.0, 0.5, 0.5], 0.0), ([0.5, 0.5, 1.0], 0.0)):
        with pytest.raises(UsageError, match="no finite cost"):
            repair.repair_rates(rates, [1, 1, 1], bound)


def random_repair(rng):
    """Up to 12 groups; uniform, extreme, or counted rates, those of 0 or 1 on one side only."""
    groups = rng.integers(2, 13)
    rates = [
        rng.random(groups),
        np.clip(special.expit(rng.normal(0, 8, groups)), 1e-9, 1 - 2e-9),
        np.maximum(rng.integers(0, 31, groups), rng.integers(0, 2)) / 30,
    ][rng.integers(3)]
    if rates.min() == 0:
        rates = np.minimum(rates, 29 / 30)
    bound = [0.0, 0.001, 0.05, rng.random()][rng.integers(4)]
    if bound == 0:
        rates = np.clip(rates, 1e-3, 1 - 1e-3)
    return rates, rng.dirichlet(np.ones(groups)) + 1e-6, bound


@pytest.mark.parametrize("kind", [repair.repair_means, repair.repair_rates])
def test_every_repair_has_a_proof(kind):
    rng = np.random.default_rng(11)
    for _ in range(1000):
        values, weights, bound = random_repair(rng)
        found = kind(values, weights, bound)
        assert np.ptp(found.repaired) <= bound + 1e-12
        assert found.lower <= found.cost <= found.lower + 1e-9 * max(found.cost, 1e-9)
        assert all(price > 0 and values[high] > values[low] + bound for (high, low), price in found.prices.items())
        assert bool(found.prices) == (np.ptp(values) > bound)


def test_the_lower_bound_of_a_repair_is_the_dual_value_at_its_prices():
    rates, weights, bound = np.array([0.02, 0.3, 0.31, 0.8, 0.97]), np.array([3.0, 1, 2, 1, 2]), 0.2
    found = repair.repair_rates(rates, weights, bound)
    pull = np.zeros(5)
    for (high, low), price in found.prices.items():
        pull += price * (np.eye(5)[high] - np.eye(5)[low])
    dual = -weights @ np.log(1 - rates + rates * np.exp(-pull / weights)) - bound * found.price
    assert found.lower == pytest.approx(dual, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_repairs_are_those_that_solvers_find(seed):
    rng = np.random.default_rng(seed)
    rates, weights, bound = rng.uniform(0.05, 0.95, 10), rng.uniform(0.2, 1, 10), 0.1

    def gap(q):
        return cp.max(q) - cp.min(q)

    q = cp.Variable(10)
    divergence = cp.sum(cp.multiply(weights, cp.rel_entr(q, rates) + cp.rel_entr(1 - q, 1 - rates)))
    squares = cp.sum(cp.multiply(weights, (q - rates) ** 2)) / 2
    for kind, cost in ((repair.repair_rates, divergence), (repair.repair_means, squares)):
        problem = cp.Problem(cp.Minimize(cost), [gap(q) <= bound])
        problem.solve(solver=cp.CLARABEL)
        found = kind(rates, weights, bound)
        assert found.cost == pytest.approx(problem.value, rel=1e-5)
        np.testing.assert_allclose(found.repaired, q.value, atol=1e-3)
    clipped = lambda low: float(weights @ repair._divergence(rates, np.clip(rates, low, low + bound) - rates))  # noqa: E731
    best = optimize.minimize_scalar(clipped, bounds=(rates.min(), rates.max() - bound), method="bounded")
    assert repair.repair_rates(rates, weights, bound).cost == pytest.approx(best.fun, rel=1e-6)


def test_a_rate_of_0_stays_and_others_come_to_it():
    found = repair.repair_rates([0.0, 0.02, 0.3, 0.2], [1, 1, 1, 2], 0.05)
    np.testing.assert_allclose(found.repaired, [0, 0.02, 0.05, 0.05], atol=1e-15)
    assert set(found.prices) == {(2, 0), (3, 0)}
    up = repair.repair_rates([1.0, 0.98, 0.7, 0.8], [1, 1, 1, 2], 0.05)
    assert up.cost == pytest.approx(found.cost, rel=1e-12) and set(up.prices) == {(0, 2), (0, 3)}


def test_divergences_do_not_cancel():
    p, d = np.array([0.3, 0.3, 1e-9, 0.5]), np.array([1e-9, 0.2, 0.9, -0.5])
    q = p + d
    exact = [1e-18 / (2 * 0.21), *(special.rel_entr(q, p) + special.rel_entr(1 - q, 1 - p))[1:]]
    np.testing.assert_allclose(repair._divergence(p, d), exact, rtol=1e-7)
