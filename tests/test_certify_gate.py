"""From bounds to verdicts; mixtures and repairs checked against other ways of computing them."""

from __future__ import annotations

import itertools
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from scipy import optimize

from faro.certify import exact2, gate, mixture, outward, repair, thresholds
from faro.certify.exact2 import Counts
from faro.certify.gate import Verdict, verdict
from faro.errors import NoProofError, UsageError

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
    assert found is expected and gate.vacuous(D(upper)) == (upper == "1")
    assert found.exit_code == {"CERTIFIED": 0, "REFUTED": 1, "INCONCLUSIVE": 3}[found]


def test_all_claims_must_hold():
    yes, no, open_ = Verdict.CERTIFIED, Verdict.REFUTED, Verdict.INCONCLUSIVE
    assert gate.all_of([yes, yes]) is yes and gate.all_of([yes, no, open_]) is no
    assert gate.all_of([yes, open_]) is open_ and gate.all_of([]) is open_


def pairs_of(counts):
    """Ordered pairs, those with the largest observed gap first."""
    pairs = itertools.permutations(counts, 2)
    return sorted(pairs, key=lambda pair: counts[pair[1]].k / counts[pair[1]].n - counts[pair[0]].k / counts[pair[0]].n)


def gate_of(counts, level=0.05):
    pairs = pairs_of(counts)
    upper = gate.largest_upper(
        pairs,
        lambda pair, first: exact2.upper(counts[pair[0]], counts[pair[1]], level, first),
        lambda pair, gap: exact2.rejects(counts[pair[0]], counts[pair[1]], gap, level),
        D("0.05"),
    )
    share = level / len(pairs)
    worst, lower = gate.largest_lower(
        pairs,
        lambda pair: -exact2.upper(counts[pair[1]], counts[pair[0]], share),
        lambda pair, gap: exact2.rejects(counts[pair[1]], counts[pair[0]], -gap, share),
    )
    return upper, worst, lower


def test_the_gate_is_the_largest_of_its_pairs():
    counts = {
        name: Counts(k, n) for name, k, n in (("a", 300, 1000), ("b", 420, 1500), ("c", 70, 300), ("d", 900, 3000))
    }
    upper, worst, lower = gate_of(counts)
    each = {pair: exact2.upper(counts[pair[0]], counts[pair[1]], 0.05) for pair in pairs_of(counts)}
    assert upper == max(each.values())
    below = {pair: -exact2.upper(counts[pair[1]], counts[pair[0]], 0.05 / 12) for pair in each}
    assert lower == max(below.values()) == below[worst]


def test_an_unprovable_pair_makes_the_gate_vacuous():
    calls = iter([D("0.1"), D("0.2"), D("1")])
    found = gate.largest_upper(["x", "y"], lambda *_: next(calls), lambda name, value: name == "x", D("0.05"))
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
    distance = max(thresholds.upper(x, y, 0.05) for x, y in ((a, b), (b, a)))
    least = max(thresholds.lower(x, y, 0.025) for x, y in ((a, b), (b, a)))
    assert verdict(distance, least, D("0.05")) is Verdict.REFUTED


# Numbers -------------------------------------------------------------------------------------------------------------


def test_rounding_is_outward_and_text_is_plain():
    for value in (0.1, 1 / 3, 0.0, 1e-12, 0.999999999999):
        assert outward.down(value) <= D(value) - outward.PAD < D(value) + outward.PAD <= outward.up(value)
    assert [outward.text(D(x)) for x in ("1E+2", "0.1000", "-0.0", "1E-7", "3")] == [
        "100",
        "0.1",
        "0",
        "0.0000001",
        "3",
    ]
    assert outward.quotient(Fraction(1, 3)) <= Fraction(1, 3) < outward.quotient(Fraction(1, 3)) + D("1e-19")


def test_the_search_finds_the_end_of_what_is_rejected():
    for end in (D("0.1234567"), D("-0.3"), D("0.0000004")):
        found = outward.least_rejected(lambda value, end=end: value >= end, -0.5, 1)
        assert end <= found < end + D("0.000001")
        asked = end + D("0.0000001")
        assert outward.least_rejected(lambda value, end=end: value >= end, -0.5, 1, asked) <= asked
    assert outward.least_rejected(lambda _: False, 0.2, 0.9) == D("0.9")
    assert outward.least_rejected(lambda _: False, 0.2, 0.9, D("0.5")) == D("0.9")


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


def test_totals_of_a_mixture_are_the_weighted_totals():
    totals = {0: [[1.0, 0.0], [2.0, 1.0]], 3: [[0.0, 1.0], [2.0, 0.0]]}
    mixed = mixture.mixed_totals({0: Fraction(1, 4), 3: Fraction(3, 4)}, totals)
    np.testing.assert_allclose(mixed, [[0.25, 0.75], [2.0, 0.25]])


# Repair --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [repair.repair_means, repair.repair_rates])
@pytest.mark.parametrize("bound", [0.2, 0.05])
def test_a_repair_is_feasible_cheapest_and_priced(kind, bound):
    values, weights = np.array([0.5, 0.8, 0.3, 0.45]), np.array([0.2, 0.3, 0.3, 0.2])
    found = kind(values, weights, bound)
    assert np.ptp(found.repaired) <= bound + 1e-9
    assert found.lower <= found.cost <= found.lower + 1e-6
    cost = repair._mean_cost if kind is repair.repair_means else repair._rate_cost
    rng = np.random.default_rng(3)
    for _ in range(200):  # no other feasible repair is cheaper
        low = rng.uniform(0.01, 0.99 - bound)
        assert cost(np.clip(values, low, low + bound), values, weights) >= found.lower
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
    with pytest.raises(UsageError, match="strictly"):
        repair.repair_rates([0.0, 0.5], [1, 1], 0.1)


def test_a_repair_without_a_solver_is_an_error_and_no_number(monkeypatch):
    monkeypatch.setattr(repair, "solve", lambda *_: None)
    with pytest.raises(NoProofError) as raised:
        repair.repair_means([0.5, 0.8], [1, 1], 0.1)
    assert raised.value.exit_code == 7
