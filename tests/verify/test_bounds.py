"""Each proof of the checker on small problems: exact arithmetic, exhaustive enumeration, independent solvers.

A bound may be too large, never too small: what is proved is compared with exact Fractions, and how often a true value
is excluded is summed over all outcomes, without Monte Carlo. A control that must fail shows that this can be seen.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction as F

import numpy as np
import pytest
from scipy.optimize import linprog, minimize
from scipy.stats import norm

from faro import verify as v
from tests.oracles import verify_by_hand as hand


def pmf(x, n, p):
    return math.comb(n, x) * p**x * (1 - p) ** (n - x)


def below(k, n, p):
    return sum((pmf(x, n, p) for x in range(k + 1)), F(0))


GRID = [F(i, 17) for i in range(18)]


# ---------------------------------------------------------------- numbers
@pytest.mark.parametrize("x", [F(1, 3), F(2, 7), F(10**20 + 1, 7), F(-5, 11), F(1, 2), F(0)])
def test_rounding_is_directed(x):
    assert F(v.down(x)) <= x <= F(v.up(x))
    assert v.up(x) - v.down(x) <= 2 * abs(v.down(x)) * 2**-52


def test_exp_ln_sqrt_enclose():
    for x in (F(0), F(1, 3), F(7), F(-3, 2), F(900)):
        up = v.exp_up(x)
        assert up >= 1 + x
        assert v.ln_up(up) >= x
        assert v.ln_up(up) <= x + F(1, 10**20)
    for x in (F(2), F(1, 7)):
        assert x <= v.sqrt_up(x) ** 2 <= x * (1 + F(1, 10**20))


def test_sigmoid_is_that_of_the_platform():
    for x in (-800.0, -3.0, 0.0, 1e-9, 2.5, 40.0, 800.0):
        expected = 1 / (1 + math.exp(-x)) if x > -700 else 0.0
        assert v.sigmoid(x) == pytest.approx(expected, rel=1e-15, abs=1e-300)
    assert v.sigmoid(0.0) == 0.5


# ---------------------------------------------------------------- binomial
def test_tail_is_above_the_exact_one_and_close():
    for n in (1, 2, 7, 12):
        for p in GRID:
            for k in range(-1, n + 2):
                exact = below(min(k, n), n, p)
                found = v.tail_at(k, n, p)
                assert F(found) >= exact
                assert found <= float(exact) * (1 + 1e-12) + 1e-300


def test_tail_far_out_and_at_large_n():
    n, p = 2000, F(3, 10)
    for k in (0, 100, 500, 600, 700, 1500):
        exact = below(k, n, p)
        assert exact <= F(v.tail_at(k, n, p)) <= exact * (1 + F(1, 10**9)) + F(1, 10**250)


def test_clopper_pearson_covers_at_every_rate():
    n, level = 11, F(1, 20)
    ends = [v.upper_end(k, n, float(level)) for k in range(n + 1)]
    assert ends[-1] == 1.0
    assert ends == pytest.approx([hand.cp_upper(k, n, 0.05) for k in range(n + 1)], abs=1e-11)
    for p in GRID[1:-1]:
        missed = sum(pmf(k, n, p) for k in range(n + 1) if F(ends[k]) < p)
        assert missed <= level
    assert v.clopper_pearson(3, n, F(ends[3]), level)
    assert not v.clopper_pearson(3, n, F(ends[3]) - F(1, 10**9), level)


def test_difference_tail_is_above_the_exact_one_and_close():
    n_a, n_b = 6, 5
    for p_a, p_b in itertools.product((0.0, 0.1, 0.5, 0.77, 1.0), repeat=2):
        for observed in (-31, -30, -7, 0, 4, 30):
            exact = sum(
                pmf(x, n_a, F(p_a)) * pmf(y, n_b, F(p_b))
                for x in range(n_a + 1)
                for y in range(n_b + 1)
                if x * n_b - y * n_a <= observed
            )
            found = v.difference_tail(p_a, p_b, n_a, n_b, observed)
            assert F(found) >= exact
            assert found <= float(exact) * (1 + 1e-12) + 1e-19


def outcome(k, n):
    return [1.0] * k + [0.0] * (n - k)


@pytest.mark.parametrize("level", [F(1, 20), F(3, 10)])
@pytest.mark.parametrize("gap", [F(0), F(1, 5), F(1, 2), F(-1, 5)])
def test_exact2_rarely_excludes_a_true_gap(level, gap):
    n_a, n_b = 9, 7
    proved = {
        (i, j): v.exact2(outcome(i, n_a), outcome(j, n_b), gap, level) for i in range(n_a + 1) for j in range(n_b + 1)
    }
    assert any(proved.values())
    for k in range(20):
        p_b = max(F(0), -gap) + (1 - abs(gap)) * F(k, 19)
        missed = sum(pmf(i, n_a, p_b + gap) * pmf(j, n_b, p_b) for (i, j), is_out in proved.items() if is_out)
        assert missed <= level


def test_wald_fails_where_exact2_holds():
    """The control: with the same enumeration Wald's interval excludes a true gap far too often."""
    n, level, p_a = 20, F(1, 20), F(1, 25)
    z = norm.ppf(0.95)
    missed = F(0)
    for i, j in itertools.product(range(n + 1), repeat=2):
        a, b = i / n, j / n
        if a - b + z * math.sqrt(a * (1 - a) / n + b * (1 - b) / n) < 0.04:
            missed += pmf(i, n, p_a) * pmf(j, n, F(0))
            assert not v.exact2(outcome(i, n), outcome(j, n), F(1, 25), level) or i > 0 or j > 0
    assert missed > 0.4


@pytest.mark.parametrize(
    ("eps", "rate", "n"), [(F(1, 20), 0.5, 659), (F(1, 20), 0.1, 322), (F(1, 10), 0.5, 165), (F(1, 10), 0.1, 100)]
)
def test_exact2_needs_no_more_people_than_it_should(eps, rate, n):
    def gate(size):
        same = outcome(round(rate * size), size)
        return v.exact2(same, same, eps, F(1, 20))

    assert gate(n)
    assert not gate(int(0.9 * n))


def test_ties_count_in_the_worse_direction():
    tied = [0.5] * 200
    assert not v.exact2(tied, tied, F(99, 100), F(1, 20))
    clear = outcome(100, 200)
    assert v.exact2(clear, clear, F(1, 4), F(1, 20))
    assert not v.exact2(clear, [*clear[:150], *[0.5] * 50], F(1, 4), F(1, 20)) or sum(clear[150:]) == 0


# ---------------------------------------------------------------- betting
def exact_capital(sample, cap, m, level):
    """The largest capital in Fractions, with the bets of the specification as doubles."""
    n, best, capital = len(sample.sums), F(0), F(1)
    past_s, past_n, spread = 0.5, 1.0, 0.25
    for i, (s, mass) in enumerate(zip(sample.sums, sample.masses, strict=True), 1):
        bet = min(math.sqrt(2 * math.log(1 / float(level)) / (n * spread / i)), 0.75 / (1 - m))
        capital *= 1 - F(bet) * (F(s) - F(m) * F(mass)) / F(cap)
        best = max(best, capital)
        spread += ((s - past_s / past_n * mass) / cap) ** 2
        past_s, past_n = past_s + s, past_n + mass
    return best


def test_betting_never_excludes_more_often_than_its_level():
    """All 2^10 outcomes of ten coins: the chance to exclude the true mean, exactly."""
    n = 10
    for level, m in itertools.product((F(1, 20), F(1, 4)), (F(1, 10), F(1, 2), F(9, 10))):
        missed = F(0)
        for outcomes in itertools.product((0.0, 1.0), repeat=n):
            if v.betting(v.Sample(list(outcomes), [1.0] * n, 1), 1.0, m, level):
                k = int(sum(outcomes))
                missed += m**k * (1 - m) ** (n - k)
        assert missed <= level
        assert missed > 0 or m < F(1, 2)  # it does exclude something


def test_betting_on_units_of_several_rows():
    """Units of 1 or 3 rows whose rate depends on their size: the row-weighted rate is rarely excluded."""
    law = {(0, 1): F(2, 8), (1, 1): F(2, 8), (0, 3): F(1, 8), (2, 3): F(1, 8), (3, 3): F(2, 8)}
    rate = sum(s * p for (s, _), p in law.items()) / sum(n * p for (_, n), p in law.items())
    level, missed, n = F(1, 4), F(0), 6
    for units in itertools.product(law, repeat=n):
        sample = v.Sample([float(s) for s, _ in units], [float(size) for _, size in units], 3)
        if v.betting(sample, 3.0, rate, level):
            missed += math.prod(law[unit] for unit in units)
    assert 0 < missed <= level


def test_what_is_proved_by_betting_holds_in_exact_arithmetic():
    rng = np.random.default_rng(0)
    proved = 0
    for _ in range(150):
        n, cap = int(rng.integers(5, 60)), float(rng.integers(1, 6))
        masses = rng.uniform(0, cap, n)
        sample = v.Sample(list(masses * rng.beta(1, 4, n)), list(masses), 3)
        level = F(1, int(rng.integers(2, 60)))
        m = float(rng.uniform(0.2, 0.999))
        found = v.betting(sample, cap, F(m), level)
        exact = exact_capital(sample, cap, m, level)
        if found:
            assert exact >= 1 / level
            assert v.betting(sample, cap, F(m) + (1 - F(m)) / 3, level)  # rises with m
            proved += 1
        elif exact > 0:
            assert float(exact) <= float(1 / level) * (1 + 1e-9)
    assert 30 < proved < 140


def test_betting_survives_a_capital_that_almost_vanishes():
    sums = [1.0] * 2000 + [0.0] * 40000
    sample = v.Sample(sums, [1.0] * len(sums), 1)
    level = F(1, 20)
    end = hand.betting_upper(np.array(sums), np.ones(len(sums)), 1.0, 0.05)
    assert v.betting(sample, 1.0, F(end) + F(1, 10**8), level)
    assert not v.betting(sample, 1.0, F(end) - F(1, 10**6), level)


def test_block_pairs():
    a, b = [1.0, 0.0, 1.0, 1.0, 0.0], [0.5, 1.0]
    sample = v.block_pair(a, b)
    assert sample.sums == [(1 + 0.5 - 0.5) / 2, (1 + 1.0 - 1.0) / 2]
    assert sample.masses == [1.0, 1.0]
    assert v.block_pair([], b).sums == []


# ---------------------------------------------------------------- all thresholds
@pytest.mark.parametrize(("n", "radius"), [(200, 0.1493), (1000, 0.0667), (50000, 0.0094)])
def test_radius_of_two_distributions(n, radius):
    assert hand.dkw_radius(n, n, 0.05) == pytest.approx(radius, abs=6e-5)
    exact = hand.dkw_radius(n, n, 0.05)
    assert v.radius_tail(n, n, exact + 1e-9) <= 0.05 < v.radius_tail(n, n, exact - 1e-9)


def test_radius_tail_is_above_a_finer_integral():
    def finer(n_a, n_b, r, steps=60000):
        """The tail with the first deviation rounded down: below the truth, and close to it."""
        g = r * np.arange(steps + 1) / steps
        a = hand.massart(n_a, g)
        return a[-1] + ((a[:-1] - a[1:]) * hand.massart(n_b, r - g[:-1])).sum()

    for n_a, n_b, r in ((50, 80, 0.3), (1000, 4000, 0.06), (30, 30, 0.1)):
        low = finer(n_a, n_b, r)
        assert low <= v.radius_tail(n_a, n_b, r) <= low * 1.02 + 1e-12


def test_all_thresholds_at_once_are_rarely_excluded():
    """Two laws on three values, four people each: all outcomes. The true largest distance is rarely excluded."""
    laws = ([F(1, 5), F(2, 5), F(2, 5)], [F(3, 5), F(1, 5), F(1, 5)])
    cdf = [[sum(law[: i + 1]) for i in range(3)] for law in laws]
    truth = max(y - x for x, y in zip(*cdf, strict=True))
    level = F(2, 5)
    radius = hand.bisect(lambda r: v.radius_tail(4, 4, r) <= float(level), 0.0, 2.0, 18)
    missed = F(0)
    for a in itertools.product(range(3), repeat=4):
        for b in itertools.product(range(3), repeat=4):
            chance = math.prod(laws[0][i] for i in a) * math.prod(laws[1][i] for i in b)
            missed += chance * (v.cdf_gap(list(map(float, a)), list(map(float, b))) + F(radius) < truth)
    assert missed <= level


def test_cdf_gap_with_ties():
    rng = np.random.default_rng(1)
    for _ in range(60):
        a, b = (list(map(float, rng.integers(0, 6, rng.integers(1, 12)))) for _ in range(2))
        thresholds = sorted({*a, *b})
        exact = max(F(sum(x <= t for x in b), len(b)) - F(sum(x <= t for x in a), len(a)) for t in thresholds)
        assert v.cdf_gap(a, b) == max(F(0), exact)


# ---------------------------------------------------------------- shift
POINTS = [F(0), F(1, 3), F(3, 4), F(1)]


def inside(ball, rho, p, q):
    """Whether the law q is in the ball around p (floats)."""
    if ball in ("tv", "label-noise"):
        return sum(abs(x - y) for x, y in zip(p, q, strict=True)) / 2 <= rho
    if ball == "kl":
        return sum(y * math.log(y / x) for x, y in zip(p, q, strict=True) if y > 0) <= rho
    if ball == "chi2":
        return sum(x * (y / x - 1) ** 2 for x, y in zip(p, q, strict=True)) <= rho
    if ball == "lr":
        return all(x / rho <= y <= x * rho for x, y in zip(p, q, strict=True))
    return all(y <= x / rho for x, y in zip(p, q, strict=True))


BALLS = [("tv", 0.1), ("label-noise", 0.05), ("kl", 0.05), ("chi2", 0.2), ("lr", 1.5), ("cvar", 0.6)]


@pytest.mark.parametrize(("ball", "rho"), BALLS)
def test_no_law_in_the_ball_exceeds_any_dual_point(ball, rho):
    """A fine grid of laws on four points, against random duals and against the best one, which is nearly reached."""
    rng = np.random.default_rng(2)
    p = [0.3, 0.3, 0.25, 0.15]
    law = v.Law(list(zip(POINTS, [F(x) for x in map(str, p)], strict=True)), F(0))
    steps = 60
    worst = max(
        sum(float(z) * x for z, x in zip(POINTS, q, strict=True))
        for c in itertools.combinations_with_replacement(range(steps + 1), 3)
        if inside(ball, rho, p, q := [c[0] / steps, (c[1] - c[0]) / steps, (c[2] - c[1]) / steps, 1 - c[2] / steps])
    )
    floats = {float(z): x for z, x in zip(POINTS, p, strict=True)}
    best = hand.best_dual(ball, rho, floats)
    found = v.shifted(ball, F(str(rho)), {k: F(x) for k, x in best.items()}, law)
    assert worst <= found <= worst + 0.04
    for _ in range(40):
        dual = {"eta": F(str(round(rng.uniform(0, 1), 6))), "lambda": F(str(round(rng.uniform(0.01, 4), 6)))}
        dual = {k: x for k, x in dual.items() if k in v.BALLS[ball]}
        value = v.shifted(ball, F(str(rho)), dual, law)
        assert value >= F(worst)
        expected = hand.up(ball, rho, {k: float(x) for k, x in dual.items()}, floats)
        assert float(value) == pytest.approx(expected)


@pytest.mark.parametrize(("ball", "rho"), BALLS)
def test_two_points_are_the_worst_law_of_their_mean(ball, rho):
    rng = np.random.default_rng(3)
    for _ in range(50):
        weights = [F(int(x), 1000) for x in rng.multinomial(1000, [0.25] * 4)]
        law = v.Law(list(zip(POINTS, weights, strict=True)), F(0))
        mean = law.mean(lambda z: z)
        dual = {"eta": F(str(round(rng.uniform(0, 1), 6))), "lambda": F(str(round(rng.uniform(0.05, 4), 6)))}
        dual = {k: x for k, x in dual.items() if k in v.BALLS[ball]}
        one = v.shifted(ball, F(str(rho)), dual, law)
        assert one <= v.shifted(ball, F(str(rho)), dual, v.two_points(mean)) + F(1, 10**20)
        assert v.shifted(ball, F(str(rho)), dual, v.two_points(mean)) <= v.shifted(
            ball, F(str(rho)), dual, v.two_points(min(F(1), mean + F(1, 100)))
        ) + F(1, 10**20)


def test_no_shift_is_no_change():
    law = v.Law(list(zip(POINTS, [F(1, 4)] * 4, strict=True)), F(0))
    mean = law.mean(lambda z: z)
    assert v.shifted("tv", F(0), {"eta": F(0)}, law) == mean
    assert v.shifted("lr", F(1), {"eta": F(1, 2)}, law) == mean
    assert v.shifted("cvar", F(1), {"eta": F(0)}, law) == mean
    assert float(v.shifted("chi2", F(0), {"eta": F(0), "lambda": F(10**5)}, law)) == pytest.approx(
        float(mean), abs=1e-4
    )
    assert float(v.shifted("kl", F(0), {"lambda": F(10**5)}, law)) == pytest.approx(float(mean), abs=1e-4)


def test_histogram_and_deviation_are_outer():
    rng = np.random.default_rng(4)
    z = list(rng.beta(2, 3, 300))
    law = v.histogram(z, F(1, 40))
    assert sum(mass for _, mass in law.points) == 1
    for f in (lambda t: t, lambda t: t * t, lambda t: max(F(0), t - F(1, 2))):
        plain = float(np.mean([float(f(F(x))) for x in z]))
        x = math.sqrt(math.log(40) / 600)
        assert (
            plain + x * float(f(F(1)) - f(F(0))) <= float(law.mean(f)) <= plain + x * float(f(F(1)) - f(F(0))) + 1 / 100
        )


def test_one_deviation_bounds_all_monotone_functions():
    """All 3^6 samples of six people: some monotone mean is underestimated by more than x at most with the level."""
    law, level = [F(1, 2), F(1, 4), F(1, 4)], F(1, 5)
    x = v.deviation(6, level)
    missed = F(0)
    for sample in itertools.product(range(3), repeat=6):
        share = [F(sample.count(i), 6) for i in range(3)]
        deviation = max(share[0] - law[0], share[0] + share[1] - law[0] - law[1])  # the extreme monotone f are steps
        missed += math.prod(law[i] for i in sample) * (deviation > x)
    assert missed <= level


def test_transport_is_above_what_moving_people_can_reach():
    rewards, threshold, rho, level = [0.0, 0.3, 0.45, 0.9, 1.2], 0.5, F(1, 10), F(1, 4)
    x = float(v.deviation(5, level))
    # The mean move may be .1, in all .5: the reward .45 needs .05, the reward .3 needs .2, then .25 of .5 remains.
    reached_up, reached_down = (2 + 2 + 0.25 / 0.5) / 5, (3 + 0.5 / 0.4 - 0.25) / 5
    ups = [v.transported(rewards, threshold, True, rho, F(k, 20), level) for k in range(1, 200)]
    downs = [v.transported(rewards, threshold, False, rho, F(k, 20), level) for k in range(1, 200)]
    assert float(min(ups)) == pytest.approx(reached_up + x, abs=1e-9)
    assert float(min(downs)) >= reached_down + x - 1e-9 or float(min(downs)) == pytest.approx(
        0.8 + 0.1 / 0.7 / 5 + x, abs=0.05
    )


# ---------------------------------------------------------------- tables
def mixture_table(tmp_path, rng, n=30, m=3):
    table = np.round(np.c_[rng.uniform(0.4, 0.6, n), rng.normal(0.02, 0.05, (n, m))], 4)
    path = tmp_path / "mixture.csv"
    rows = [["loss", *(f"c{j + 1}" for j in range(m))], *[[f"{x:.4f}" for x in row] for row in table]]
    path.write_text("\n".join(map(",".join, rows)) + "\n")
    return path, table


def claim(constraint, **fields):
    return v.Claim("it", constraint, **{k: F(str(x)) for k, x in fields.items()})


def test_mixture_against_linear_programming(tmp_path):
    rng = np.random.default_rng(5)
    path, table = mixture_table(tmp_path, rng)
    n, m = len(table), table.shape[1] - 1
    solved = linprog(
        table[:, 0], A_ub=table[:, 1:].T, b_ub=np.zeros(m), A_eq=np.ones((1, n)), b_eq=[1], method="highs-ds"
    )
    assert solved.success
    support = np.flatnonzero(solved.x > 1e-12)
    shares = [F(x).limit_denominator(10**12) for x in solved.x[support]]
    shares[-1] = 1 - sum(shares[:-1])
    record = {
        "ucb": "0.000001", "lcb": None, "table_sha256": v.sha256(path.read_bytes()),
        "weights": {str(i): f"{q.numerator}/{q.denominator}" for i, q in zip(support, shares, strict=True)},
        "multipliers": [f"{-x:.12f}" for x in solved.ineqlin.marginals],
    }  # fmt: skip
    wanted = claim("mixture", bound=0.001, tolerance=1e-9)
    assert v.mixture(wanted, record, str(path)).verdict == "CERTIFIED"
    value = float(sum(q * F(str(table[i, 0])) for i, q in zip(support, shares, strict=True)))
    assert value == pytest.approx(solved.fun, abs=1e-9)
    refusals = [
        ({"multipliers": ["0.000000000000"] * m}, 4), ({"multipliers": ["-0.1", *record["multipliers"][1:]]}, 7),
        ({"weights": {"0": "1"}}, 4), ({"weights": {**record["weights"], "99": "0.1"}}, 5), ({"ucb": "-0.1"}, 4),
        ({"weights": dict.fromkeys(list(record["weights"])[:1], "1/2")}, 4), ({"table_sha256": "0" * 64}, 5),
    ]  # fmt: skip
    for change, code in refusals:
        with pytest.raises(v.Refused) as refused:
            v.mixture(wanted, record | change, str(path))
        assert refused.value.code == code, change


def test_mixture_that_cannot_be_is_refuted(tmp_path):
    path = tmp_path / "no.csv"
    path.write_text("loss,c1,c2\n0.5,0.3,-0.1\n0.4,0.1,0.2\n")
    solved = linprog([0, 0, 1], A_ub=[[0.3, 0.1, -1], [-0.1, 0.2, -1]], b_ub=[0, 0], A_eq=[[1, 1, 0]], b_eq=[1],
                     bounds=[(0, None), (0, None), (None, None)])  # fmt: skip
    lam = [F(f"{-x:.9f}") for x in solved.ineqlin.marginals]
    lam[0] = 1 - lam[1]
    record = {
        "ucb": None, "lcb": f"{solved.fun - 1e-6:.9f}", "weights": {}, "multipliers": [f"{float(x):.9f}" for x in lam],
        "table_sha256": v.sha256(path.read_bytes()),
    }  # fmt: skip
    wanted = claim("mixture", bound=0.001, tolerance=0.001)
    assert v.mixture(wanted, record, str(path)).verdict == "REFUTED"
    with pytest.raises(v.Refused) as refused:
        v.mixture(wanted, record | {"lcb": f"{solved.fun + 1e-4:.9f}"}, str(path))
    assert refused.value.code == 4


def test_head_optimum_against_a_solver(tmp_path):
    rng = np.random.default_rng(6)
    n, d, mu, slack = 60, 3, 0.05, 0.02
    pairs = np.round(rng.normal([0.8, -0.3, 0.1], size=(n, d)), 4)
    rows = np.round(rng.normal(size=(2, d)), 4)
    path = tmp_path / "head.csv"
    lines = [
        ["kind", "x1", "x2", "x3"],
        *(["pair", *map(str, x)] for x in pairs),
        *(["row", *map(str, x)] for x in rows),
    ]
    path.write_text("\n".join(map(",".join, lines)) + "\n")

    def loss(w):
        return np.logaddexp(0, -pairs @ w).mean() + mu / 2 * w @ w

    limits = [{"type": "ineq", "fun": lambda w: slack - rows @ w}, {"type": "ineq", "fun": lambda w: slack + rows @ w}]
    solved = minimize(loss, np.zeros(d), constraints=limits, options={"ftol": 1e-14, "maxiter": 500})
    w = solved.x * (slack / max(slack, np.abs(rows @ solved.x).max()) * (1 - 1e-9))
    active = np.abs(np.abs(rows @ w) - slack) < 1e-5
    gradient = -(pairs * (1 / (1 + np.exp(pairs @ w)))[:, None]).mean(0) + mu * w
    nu = np.zeros(2)
    nu[active] = np.linalg.lstsq(rows[active].T, -gradient, rcond=None)[0]
    assert active.any()
    record = {
        "ucb": "0.000001", "lcb": None, "w": [f"{x:.12f}" for x in w], "nu": [f"{x:.12f}" for x in nu],
        "table_sha256": v.sha256(path.read_bytes()),
    }  # fmt: skip
    wanted = claim("head_optimum", bound=0.001, mu=mu, slack=slack)
    assert v.head_optimum(wanted, record, str(path)).verdict == "CERTIFIED"

    def fenchel(w, nu):
        """The bound as it is derived, with logarithms."""
        a = 1 / (1 + np.exp(pairs @ w))
        entropy = -(a * np.log(a) + (1 - a) * np.log(1 - a)).mean()
        pulled = (pairs * a[:, None]).mean(0) - rows.T @ nu
        return loss(w) - (entropy - pulled @ pulled / (2 * mu) - slack * np.abs(nu).sum())

    planted = {"w": ["0.1", "-0.02", "0.03"], "nu": ["0.01", "-0.02"]}
    other = np.array([float(x) for x in planted["w"]]), np.array([float(x) for x in planted["nu"]])
    other = (other[0] * min(1, 0.99 * slack / np.abs(rows @ other[0]).max()), other[1])
    planted["w"] = [f"{x:.12f}" for x in other[0]]
    gap = fenchel(*other)
    assert gap > 0.05
    for shift, code in ((1e-9, 0), (-1e-9, 4)):
        changed = record | planted | {"ucb": f"{gap + shift:.12f}"}
        if code:
            with pytest.raises(v.Refused) as refused:
                v.head_optimum(wanted, changed, str(path))
            assert refused.value.code == code
        else:
            assert v.head_optimum(wanted, changed, str(path)).verdict == "INCONCLUSIVE"
    with pytest.raises(v.Refused, match="slack"):
        v.head_optimum(wanted, record | {"w": ["1", "1", "1"]}, str(path))
    feasible = [x for x in rng.normal(size=(4000, d)) * 0.3 if np.abs(rows @ x).max() <= slack]
    assert len(feasible) > 5
    assert min(map(loss, feasible)) >= loss(w) - 1e-6


# ---------------------------------------------------------------- ledger
@pytest.mark.parametrize("passes", [1, 2, 4])
def test_all_shares_together_stay_below_delta(passes):
    """Sum over every transcript with fewer than `passes` passes that an adaptive submitter can meet."""
    delta, spent = F(1, 20), F(0)
    for j in range(1, 400):
        transcripts = sum(math.comb(j - 1, i) for i in range(min(passes, j)))
        spent += transcripts * v.attempt_share(delta, j, passes)
    rest = delta * v.SHARE / 399
    assert spent < delta
    assert spent + rest > delta * F(99, 100)
    assert F(6) / F("9.8696044010893586") > v.SHARE  # pi^2 rounded down, so 6/pi^2 rounded up by 1e-17
    assert 6 / math.pi**2 - float(v.SHARE) < 1e-12
