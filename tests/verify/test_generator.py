"""Two implementations of one page: every bound that faro.certify states is proved by faro.verify, which shares no code.

Random counts, units, scores and laws. A claim a little stronger than the generator's is not proved, so that neither of
the two gives much away.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction as F

import numpy as np
import pytest

from faro import verify as v
from faro.certify.bounds import betting, binomial, dkw, shift, two_binomials

STRONGER = F(3, 10**6)
LEVELS = (0.05, 0.01, 0.05 / 12)


def outcome(counts):
    return [1.0] * counts.k + [0.0] * (counts.n - counts.k)


@pytest.mark.parametrize("seed", range(30))
def test_rates(seed):
    rng = np.random.default_rng(seed)
    level = float(rng.choice(LEVELS))
    sizes = [int(n) for n in rng.choice([5, 20, 60, 200, 1000, 4000], 2)]
    rates = rng.uniform(0, 1, 2) * rng.choice([0.05, 1])
    a, b = (two_binomials.Counts(int(rng.binomial(n, p)), n) for n, p in zip(sizes, rates, strict=True))
    claimed = two_binomials.upper(a, b, level)
    if claimed < 1:
        assert v.exact2(outcome(a), outcome(b), F(claimed), F(level))
        assert not v.exact2(outcome(a), outcome(b), F(claimed) - STRONGER, F(level))
    end = binomial.clopper_pearson_upper(a.k, a.n, level)
    assert v.clopper_pearson(a.k, a.n, F(end), F(level))
    assert end == 1 or not v.clopper_pearson(a.k, a.n, F(end) - STRONGER, F(level))
    end = binomial.clopper_pearson_lower(a.k, a.n, level)
    assert v.clopper_pearson(a.n - a.k, a.n, 1 - F(end), F(level))


@pytest.mark.parametrize("seed", range(30))
def test_units(seed):
    rng = np.random.default_rng(seed)
    n, cap, level = int(rng.integers(5, 400)), float(rng.integers(1, 6)), float(rng.choice(LEVELS))
    masses = rng.uniform(0, cap, n)
    totals = masses * rng.beta(0.5, 2, n)
    sample = v.Sample(list(totals), list(masses), 5)
    claimed = betting.upper(totals, masses, cap, level)
    assert v.betting(sample, cap, F(claimed), F(level))
    assert claimed == 1 or not v.betting(sample, cap, F(claimed) - STRONGER, F(level))
    claimed = betting.lower(totals, masses, cap, level)
    assert claimed == 0 or v.betting(v.complement(sample), cap, 1 - F(claimed), F(level))
    a, b = list(rng.beta(2, 3, int(rng.integers(3, 300)))), list(rng.beta(2, 2, int(rng.integers(3, 300))))
    claimed = betting.difference_upper(a, b, level)
    assert v.betting(v.block_pair(a, b), 1.0, (1 + F(claimed)) / 2, F(level))
    assert claimed == 1 or not v.betting(v.block_pair(a, b), 1.0, (1 + F(claimed) - 2 * STRONGER) / 2, F(level))


@pytest.mark.parametrize("seed", range(8))
def test_thresholds(seed):
    rng = np.random.default_rng(seed)
    level = float(rng.choice(LEVELS))
    a, b = (list(np.round(rng.normal(m, size=int(rng.integers(10, 2000))), 1)) for m in (0.3, 0))
    gap, sizes = v.cdf_gap(a, b), sorted((len(a), len(b)))
    assert gap == dkw.gap(b, a)
    radius = F(dkw.upper(b, a, level)) - gap
    assert v.radius_tail(*sizes, v.down(radius)) <= level or radius + gap >= 1
    assert v.radius_tail(*sizes, v.down(radius - STRONGER)) > level or radius + gap >= 1


RADII = {"tv": "0.03", "label-noise": "0.02", "kl": "0.004", "chi2": "0.01", "lr": "1.3", "cvar": "0.8"}


@pytest.mark.parametrize("ball", RADII)
def test_shift(ball):
    rng = np.random.default_rng(0)
    level = 0.025
    for _ in range(6):
        mean = Decimal(str(round(rng.uniform(0, 1), 9)))
        z = rng.beta(*rng.uniform(0.3, 4, 2), int(rng.integers(20, 500)))
        excess = dkw.mean_excess(len(z), level)
        for theirs, ours in (
            (shift.two_point(mean), v.two_points(F(mean))),
            (shift.histogram(z, float(excess)), v.histogram(list(z), F(level))),
        ):
            claimed = shift.worst(shift.BALLS[ball], theirs, Decimal(RADII[ball]))
            texts = {name: format(x, "f") for name, x in claimed.dual.items()}
            proved = v.shifted(ball, F(RADII[ball]), v.read_dual(ball, texts, ""), ours)
            assert min(F(1), proved) <= F(claimed.value) <= proved + STRONGER


def test_transport():
    rng = np.random.default_rng(1)
    level, threshold = 0.025, 0.4
    for _ in range(6):
        rewards = list(np.round(rng.normal(size=int(rng.integers(20, 400))), 3))
        excess = float(dkw.mean_excess(len(rewards), level))
        for above in (True, False):
            law = shift.distances(rewards, threshold, excess, below=not above)
            claimed = shift.worst(shift.BALLS["w1"], law, Decimal("0.02"))
            dual = v.read_dual("w1", {"lambda": format(claimed.dual["lambda"], "f")}, "")
            proved = v.transported(rewards, threshold, above, F("0.02"), dual["lambda"], F(level))
            assert min(F(1), proved) <= F(claimed.value) <= proved + STRONGER
