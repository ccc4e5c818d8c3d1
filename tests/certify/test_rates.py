"""Bounds on rates from counts: Clopper-Pearson and exact2, against exact arithmetic and full enumeration.

Nothing here is simulated: n is small enough to go through every outcome, or the tails are summed as fractions.
"""

from __future__ import annotations

import itertools
import time
from decimal import Decimal
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from scipy import stats

from faro.certify.bounds import two_binomials
from faro.certify.bounds.binomial import clopper_pearson_lower, clopper_pearson_upper, difference_tail
from faro.certify.bounds.two_binomials import Counts
from faro.certify.sample_size import units_needed


def pmf(n: int, p: Fraction) -> list[Fraction]:
    return [comb(n, x) * p**x * (1 - p) ** (n - x) for x in range(n + 1)]


@pytest.mark.parametrize("level", [0.3, 0.05, 0.00125, 1e-7])
def test_clopper_pearson_ends_are_proved_and_tight(level):
    for n in (1, 2, 7, 40):
        for k in range(n + 1):
            high, low = clopper_pearson_upper(k, n, level), clopper_pearson_lower(k, n, level)
            assert abs(low + clopper_pearson_upper(n - k, n, level) - 1) <= Decimal("2e-12")
            if k < n:
                assert sum(pmf(n, Fraction(high))[: k + 1]) <= Fraction(level)
                nearer = Fraction(high) - Fraction(3, 10**9)
                assert nearer <= 0 or sum(pmf(n, nearer)[: k + 1]) > Fraction(level)
            if k > 0:
                assert sum(pmf(n, Fraction(low))[k:]) <= Fraction(level)
                nearer = Fraction(low) + Fraction(3, 10**9)
                assert nearer >= 1 or sum(pmf(n, nearer)[k:]) > Fraction(level)
    assert clopper_pearson_upper(5, 5, level) == 1 and clopper_pearson_lower(0, 5, level) == 0


@pytest.mark.parametrize("k", [-1, 6, 2.5, True + 0.5])
def test_counts_that_are_no_counts_are_refused(k):
    with pytest.raises(ValueError, match="counts"):
        clopper_pearson_upper(k, 5, 0.05)


def test_large_samples_agree_with_scipy():
    for n, k in ((10**6, 3), (10**6, 499_000), (50_000, 49_999)):
        high, low = float(clopper_pearson_upper(k, n, 0.025)), float(clopper_pearson_lower(k, n, 0.025))
        assert stats.binom.cdf(k, n, high) == pytest.approx(0.025, rel=1e-2)
        assert stats.binom.sf(k - 1, n, low) == pytest.approx(0.025, rel=1e-2)


@pytest.mark.parametrize(("n_a", "n_b"), [(12, 12), (9, 7), (1, 12), (12, 5)])
def test_tail_of_a_difference_counts_ties_exactly(n_a, n_b):
    rates = [Fraction(0), Fraction(1, 7), Fraction(1, 2), Fraction(9, 10), Fraction(1)]
    pairs = list(itertools.product(rates, rates))
    p_a, p_b = (np.array([float(pair[side]) for pair in pairs]) for side in (0, 1))
    mass = {(n, p): pmf(n, p) for n in {n_a, n_b} for p in rates}
    for excess in range(-n_a * n_b - 1, n_a * n_b + 1, 5):
        found = difference_tail(p_a, p_b, n_a, n_b, excess, 1e-13)
        for value, (a, b) in zip(found, pairs, strict=True):
            exact = sum(
                mass[n_a, a][x] * mass[n_b, b][y]
                for x in range(n_a + 1)
                for y in range(n_b + 1)
                if x * n_b - y * n_a <= excess
            )
            assert float(exact) - 1e-15 <= value <= float(exact) + 1e-11


def test_tail_of_a_large_difference_is_an_upper_bound():
    p_a, p_b = np.array([0.5, 0.02, 0.9]), np.array([0.45, 0.01, 0.88])
    for n_a, n_b in ((3000, 3000), (3000, 170)):
        excess = int(0.02 * n_a * n_b)
        x = np.arange(n_b + 1)
        exact = [
            stats.binom.pmf(x, n_b, b) @ stats.binom.cdf((excess + x * n_a) // n_b, n_a, a)
            for a, b in zip(p_a, p_b, strict=True)
        ]
        found = difference_tail(p_a, p_b, n_a, n_b, excess, 1e-12)
        np.testing.assert_allclose(found, exact, rtol=1e-9, atol=1e-11)


# exact2 ---------------------------------------------------------------------------------------------------------------


def rejection_table(n_a, n_b, gap, level):
    return np.array(
        [
            [two_binomials.rejects(Counts(i, n_a), Counts(j, n_b), Decimal(str(gap)), level) for j in range(n_b + 1)]
            for i in range(n_a + 1)
        ]
    )


def wald_table(n_a, n_b, gap, level):
    a, b = np.arange(n_a + 1)[:, None] / n_a, np.arange(n_b + 1)[None] / n_b
    return a - b + stats.norm.ppf(1 - level) * np.sqrt(a * (1 - a) / n_a + b * (1 - b) / n_b) <= gap


def worst_error(table, gap):
    """Largest probability of rejecting `p_a - p_b >= gap` where it is true: p_b on a grid, and larger gaps too."""
    n_a, n_b = (size - 1 for size in table.shape)
    worst = 0.0
    for more in (0, 0.1):
        for p_b in np.linspace(max(0, -gap - more), min(1, 1 - gap - more), 60) if gap + more <= 1 else ():
            a = stats.binom.pmf(np.arange(n_a + 1), n_a, min(1, p_b + gap + more))
            worst = max(worst, a @ table @ stats.binom.pmf(np.arange(n_b + 1), n_b, p_b))
    return worst


@pytest.mark.parametrize(("n_a", "n_b"), [(12, 12), (11, 6)])
@pytest.mark.parametrize(("gap", "level"), [(-0.3, 0.1), (0.0, 0.3), (0.2, 0.05), (0.2, 0.3), (0.5, 0.05), (0.7, 0.1)])
def test_no_outcome_breaks_the_level(n_a, n_b, gap, level):
    table = rejection_table(n_a, n_b, gap, level)
    assert worst_error(table, gap) <= level
    if gap >= 0.5:
        assert table.any()  # not by never rejecting


def test_the_enumeration_sees_an_invalid_test():
    assert worst_error(wald_table(12, 12, 0.2, 0.05), 0.2) > 0.08


@pytest.mark.parametrize(
    "fault",
    [
        lambda tail: lambda p_a, p_b, n_a, n_b, excess, out: tail(p_a, p_b, n_a, n_b, excess - 1, out),  # ties lost
        lambda tail: (
            lambda p_a, p_b, n_a, n_b, excess, out: tail(p_a + 0.1, p_b, n_a, n_b, excess, out)
        ),  # a wrong null
        lambda tail: lambda p_a, p_b, n_a, n_b, excess, out: tail(p_a, p_b, n_a, n_b, excess, out) / 2,  # half the mass
    ],
)
def test_the_enumeration_sees_a_planted_fault(fault, monkeypatch):
    monkeypatch.setattr(two_binomials, "difference_tail", fault(difference_tail))
    errors = [worst_error(rejection_table(12, 11, gap, 0.3), gap) for gap in (0.0, 0.2, 0.5)]
    assert max(errors) > 0.3


def test_no_outcome_breaks_the_level_of_the_reported_bound():
    """Every pair of counts at n = 9 and 7: the bound that is found by a search is wrong with probability <= level."""
    n_a, n_b, level = 9, 7, 0.2
    bounds = np.array(
        [
            [float(two_binomials.upper(Counts(i, n_a), Counts(j, n_b), level)) for j in range(n_b + 1)]
            for i in range(n_a + 1)
        ]
    )
    rates = np.linspace(0, 1, 41)
    mass_a, mass_b = (stats.binom.pmf(np.arange(n + 1), n, rates[:, None]) for n in (n_a, n_b))
    worst = max(mass_a[i] @ (bounds <= rates[i] - rates[j] - 1e-12) @ mass_b[j] for i in range(41) for j in range(41))
    assert 0.05 < worst <= level


def test_a_corner_dominates_its_cell():
    rng = np.random.default_rng(0)
    for _ in range(30):
        n_a, n_b = rng.integers(5, 60, 2)
        a, b = Counts(int(rng.integers(n_a + 1)), int(n_a)), Counts(int(rng.integers(n_b + 1)), int(n_b))
        excess, gap = a.k * b.n - b.k * a.n, float(rng.uniform(-0.5, 0.5))
        u0, u1 = np.sort(rng.uniform(max(0, -gap), min(1, 1 - gap), 2))
        (corner,) = difference_tail(np.array([u0 + gap]), np.array([u1]), a.n, b.n, excess, 1e-12)
        p_b = rng.uniform(u0, u1, 40)
        p_a = np.minimum(1, p_b + gap + rng.exponential(0.05, 40) * (rng.random(40) < 0.5))
        pairs = zip(p_a, p_b, strict=True)
        inner = [difference_tail(np.array([x]), np.array([y]), a.n, b.n, excess, 1e-12)[0] for x, y in pairs]
        assert max(inner) <= corner + 1e-10


def test_the_upper_bound_is_rejected_and_nothing_much_smaller_is():
    for a, b in (
        (Counts(300, 1000), Counts(250, 1000)),
        (Counts(0, 80), Counts(3, 50)),
        (Counts(7, 7), Counts(0, 900)),
    ):
        bound = two_binomials.upper(a, b, 0.05)
        assert bound == 1 or two_binomials.rejects(a, b, bound, 0.05)
        assert bound > Fraction(a.k, a.n) - Fraction(b.k, b.n) or bound == 1
        assert not two_binomials.rejects(a, b, bound - Decimal("0.002"), 0.05)


def test_the_bound_of_a_gate_is_tried_first():
    a, b = Counts(300, 1000), Counts(290, 1000)
    free = two_binomials.upper(a, b, 0.05)
    asked = free + Decimal("0.0000003")  # between two steps of the search
    assert two_binomials.rejects(a, b, asked, 0.05)
    assert two_binomials.upper(a, b, 0.05, asked) <= asked


def test_exact2_beats_clopper_pearson_where_samples_are_not_tiny():
    for k_a, k_b, n in ((500, 450, 1000), (50, 30, 1000), (2500, 2250, 5000)):
        a, b = Counts(k_a, n), Counts(k_b, n)
        assert two_binomials.upper(a, b, 0.05) < two_binomials.clopper_pearson_difference(a, b, 0.05)


@pytest.mark.parametrize("rates", [(0.5, 0.45), (0.05, 0.03)])
def test_mean_bound_is_within_a_tenth_of_wald(rates):
    rng, n, bounds = np.random.default_rng(3), 1000, []
    for _ in range(150):
        a, b = (Counts(int(rng.binomial(n, p)), n) for p in rates)
        spread = np.sqrt(sum(g.k / n * (1 - g.k / n) / n for g in (a, b)))
        bounds.append((float(two_binomials.upper(a, b, 0.05)), (a.k - b.k) / n + stats.norm.ppf(0.95) * spread))
    exact, wald = np.mean(bounds, 0)
    assert exact <= 1.1 * wald


def test_fifty_thousand_per_group_take_a_fraction_of_a_second():
    begin = time.process_time()
    two_binomials.upper(Counts(25_000, 50_000), Counts(22_500, 50_000), 0.05)
    assert time.process_time() - begin < 1


@pytest.mark.parametrize(
    ("bound", "rate", "exact", "separate"),
    [("0.05", 0.5, 604, 1574), ("0.05", 0.1, 293, 592), ("0.10", 0.5, 156, 402), ("0.20", 0.02, 22, 17)],
)
def test_units_needed(bound, rate, exact, separate):
    """A regression: a change of these numbers is a change of power."""
    for method, n in (("exact2", exact), ("clopper-pearson", separate)):
        found = units_needed(rate, Decimal(bound), 0.05, method)
        assert found == pytest.approx(n, rel=0.02)
    assert units_needed(rate, Decimal(0), 0.05) is None
