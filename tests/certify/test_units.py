"""Bounds from units: the betting bound, orders fixed by hashes, all thresholds at once."""

from __future__ import annotations

import hashlib
import json
import math
from decimal import Decimal
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import constraints as ct
from constraints.testing import GROUP, example_choices
from faro.certify import committed_order
from faro.certify.bounds import betting, dkw

RNG = np.random.default_rng


def slow_capital(totals, masses, cap, m, level):
    """Largest capital, unit by unit, as docs/certificate-format.md writes it."""
    n, capital, largest = len(totals), 1.0, 1.0
    for i in range(n):
        rates = [(0.5 + sum(totals[:j])) / (1 + sum(masses[:j])) for j in range(i)]
        variance = (0.25 + sum(((totals[j] - rates[j] * masses[j]) / cap) ** 2 for j in range(i))) / (i + 1)
        bet = min(math.sqrt(2 * math.log(1 / level) / (n * variance)), 3 / (4 * (1 - m)))
        capital *= 1 - bet * (totals[i] - m * masses[i]) / cap
        largest = max(largest, capital)
    return largest


def some_units(rng, n=40, cap=5):
    masses = rng.integers(1, cap + 1, n).astype(float)
    return rng.binomial(masses.astype(int), 0.3).astype(float), masses


def test_capital_is_the_product_of_the_formula():
    totals, masses = some_units(RNG(0))
    for m in (0.1, 0.35, 0.8):
        placed = betting.bets(totals, masses, 5, 0.05)
        found = math.exp(betting.log_capital(totals, masses, 5, m, placed))
        assert found == pytest.approx(slow_capital(totals, masses, 5, m, 0.05), rel=1e-12)


def test_rejection_is_monotone_and_the_bound_is_its_end():
    rng = RNG(1)
    for cap in (1, 5):
        totals, masses = some_units(rng, 120, cap)
        placed = betting.bets(totals, masses, cap, 0.05)
        grid = np.linspace(0, 0.999, 300)
        capital = [betting.log_capital(totals, masses, cap, m, placed) for m in grid]
        assert (np.diff(capital) >= -1e-12).all()
        bound = float(betting.upper(totals, masses, cap, 0.05))
        assert betting.rejects(totals, masses, cap, bound, 0.05)
        assert not betting.rejects(totals, masses, cap, bound - 2e-6, 0.05)
        assert totals.sum() / masses.sum() < bound < 1


def test_every_factor_is_a_supermartingale_step():
    """With all past fixed, the mean of the next factor is at most 1 under H0, and the factor is positive."""
    cap, m = 4.0, 0.3
    bet = 0.75 / (1 - m)  # the largest
    laws = [([0, 4], [4, 4], [0.7, 0.3]), ([0, 1], [3, 1], [0.4, 0.6]), ([1, 0, 2], [1, 2, 2], [0.3, 0.4, 0.3])]
    for totals, masses, p in laws:
        totals, masses, p = np.array(totals, float), np.array(masses, float), np.array(p)
        assert p @ totals >= m * (p @ masses) - 1e-12  # the law is in H0
        factors = 1 - bet * (totals - m * masses) / cap
        assert p @ factors <= 1 + 1e-12 and (factors > 0).all()


@pytest.mark.parametrize("level", [0.05, 0.4])
def test_no_sequence_breaks_the_level(level):
    """All outcomes of 11 independent units with an answer or two each: no simulation."""
    n = 11
    bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    masses = np.broadcast_to(np.where(np.arange(n) % 3 == 0, 2.0, 1.0), bits.shape)
    for p in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98):
        chance = np.prod(np.where(bits, p, 1 - p), 1)
        wrong = betting.rejects(bits * masses, masses, 2.0, p, level)
        assert chance @ wrong <= level
        assert p < 0.9 or level < 0.4 or wrong.any()  # it does reject


def test_lower_is_the_mirror_image():
    totals, masses = some_units(RNG(2), 200)
    assert betting.lower(totals, masses, 5, 0.05) == 1 - betting.upper(masses - totals, masses, 5, 0.05)
    assert betting.lower(totals, masses, 5, 0.05) < totals.sum() / masses.sum()


def test_units_without_mass_change_nothing():
    totals, masses = some_units(RNG(3))
    more = np.insert(totals, [3, 9], 0), np.insert(masses, [3, 9], 0)
    assert betting.upper(*more, 5, 0.05) == betting.upper(totals, masses, 5, 0.05)


@pytest.mark.parametrize(
    ("totals", "masses", "message"),
    [
        ([1], [6], "cap"),
        ([2], [1], "between"),
        ([-1], [1], "between"),
        ([0], [0], "no unit"),
        ([np.nan], [1], "finite"),
        ([1, 0], [1], "one length"),
    ],
)
def test_units_that_break_a_promise_are_refused(totals, masses, message):
    with pytest.raises(ValueError, match=message):
        betting.upper(totals, masses, 5, 0.05)


def test_block_pairs_have_the_mean_of_the_difference():
    a, b = RNG(4).random(10), RNG(5).random(3)
    found = betting.block_pairs(a, b)
    np.testing.assert_allclose(found, (1 + a[:9].reshape(3, 3).mean(1) - b) / 2)
    assert len(betting.block_pairs(b, a)) == 3


def test_block_pairs_are_near_wald_and_mirror():
    rng, n, level, bounds = RNG(6), 1000, 0.025, []
    for _ in range(40):
        a, b = rng.beta(8, 8, n), rng.beta(8, 9, n)
        wald = a.mean() - b.mean() + stats.norm.ppf(1 - level) * np.sqrt((a.var() + b.var()) / n)
        bounds.append((float(betting.difference_upper(a, b, level)), wald))
    bet, wald = np.mean(bounds, 0)
    assert wald < bet <= 1.1 * wald


def test_the_order_is_that_of_hashes_and_says_nothing_of_scores():
    units = [f"person {i}" for i in range(30)]
    found = committed_order.committed(units, "nonce")
    hashes = [
        hashlib.sha256(json.dumps(["nonce", units[i]], separators=(",", ":")).encode()).hexdigest() for i in found
    ]
    assert hashes == sorted(hashes) and sorted(found) == list(range(30))
    assert list(committed_order.committed(units, "another")) != list(found)
    shuffled = [units[i] for i in found]
    assert [shuffled[i] for i in committed_order.committed(shuffled, "nonce")] == shuffled


def test_thinning_keeps_one_row_of_every_unit_whatever_the_order():
    names = [(f"p{i % 7}", f"c{i}", alternative) for i in range(20) for alternative in ("left", "right")]
    kept = committed_order.thinned(names, "nonce")
    assert sorted(names[i][0] for i in kept) == sorted({name[0] for name in names})
    turned = names[::-1]
    assert {turned[i] for i in committed_order.thinned(turned, "nonce")} == {names[i] for i in kept}
    in_blocks = committed_order.thinned(names, "nonce", [(name[0], name[2]) for name in names])
    assert len(in_blocks) == 14


@pytest.mark.slow
def test_counts_of_a_constraint_are_what_the_bound_takes():
    """Shares and values per unit add up to what the bounds take, and the bounds enclose the rates."""
    choices = example_choices(n=200, seed=1)
    choices = choices.replace(unit=jnp.arange(200) // 4, weight=jnp.ones(200))
    constraint = ct.equalized_odds(GROUP, 0.1)
    outcome = ct.decide(ct.Argmax(), jnp.asarray(RNG(1).normal(size=choices.shape)), choices)
    assert constraint.certifiable_as() == "counts"
    cells, share, value = (np.asarray(array, float) for array in constraint.counts(outcome, choices))
    unit = np.broadcast_to(np.asarray(choices.unit)[:, None, None], cells.shape)
    rates = constraint.rates(constraint.statistics(outcome, choices))
    some = [cell for cell in range(len(constraint.cells())) if (cells == cell).any()]
    assert len(some) >= 4
    for cell, rate in ((cell, rates[cell]) for cell in some):
        mine = cells == cell
        sums, masses = np.bincount(unit[mine], (share * value)[mine], 50), np.bincount(unit[mine], share[mine], 50)
        cap = masses.max()
        assert betting.lower(sums, masses, cap, 0.05) < float(rate) < betting.upper(sums, masses, cap, 0.05)


# All thresholds -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "expected"), [(200, 0.1493), (1000, 0.0667), (50000, 0.0094)])
def test_radius_of_equal_sizes(n, expected):
    found = dkw.radius(n, n, 0.05)
    assert float(found) == pytest.approx(expected, abs=1.01e-4)
    assert (
        dkw.exceeds(
            n,
            n,
            float(found),
        )
        <= 0.05
    )


def test_radius_solves_the_convolution():
    """Against the integral itself: E_a + E_b under the dominating laws, an atom of 1/2 and a density each."""
    n_a, n_b, level = 300, 120, 0.05
    r = float(dkw.radius(n_a, n_b, level))
    rng = RNG(7)
    a, b = (np.sqrt(np.maximum(rng.exponential(size=400_000), np.log(2)) / (2 * n)) for n in (n_a, n_b))
    assert np.mean(a + b > r) == pytest.approx(level, abs=0.002)


def test_the_gap_is_exact_with_ties():
    a, b = [0.0, 0.0, 1.0, 2.0], [0.0, 1.0, 1.0]
    assert dkw.gap(a, b) == Fraction(1, 2) - Fraction(1, 3)
    assert dkw.gap(b, a) == Fraction(1) - Fraction(3, 4)
    assert dkw.gap(a, a) == 0
    assert dkw.gap([-0.0], [0.0]) == 0
    for bad in ([], [np.nan]):
        with pytest.raises(ValueError, match="finite"):
            dkw.gap(bad, b)


def test_bounds_of_all_thresholds_enclose_the_gap_and_shrink():
    rng = RNG(8)
    a, b = rng.normal(0.0, 1, 4000), rng.normal(0.3, 1, 4000)
    truth = stats.norm.cdf(0.15) - stats.norm.cdf(-0.15)
    low, high = dkw.lower(a, b, 0.05), dkw.upper(a, b, 0.05)
    assert low < dkw.gap(a, b) < high and float(low) < truth < float(high)
    assert dkw.upper(a[:5], b[:5], 0.05) <= 1 and dkw.lower(b, a, 0.05) == 0


def test_one_deviation_bounds_every_rising_function():
    rng, n, misses = RNG(9), 200, 0
    x = float(dkw.mean_excess(n, 0.05))
    for _ in range(1000):
        z = rng.random(n)
        below = np.sort(z)
        misses += any(z_mean + x < truth for z_mean, truth in ((z.mean(), 0.5), ((z**2).mean(), 1 / 3))) or bool(
            (np.arange(1, n + 1) / n - below).max() > x
        )
    assert misses <= 70 and isinstance(dkw.mean_excess(n, 0.05), Decimal)
