"""Bounds of the gaps of all members at once: equal to those of certificates, and as often wrong as they say."""

import numpy as np
import pytest

import constraints as ct
from constraints import Statistics
from faro.certify.bounds import betting
from faro.certify.bounds.binomial import clopper_pearson_lower, clopper_pearson_upper
from faro.evaluate.simultaneous import gap_at_most

RACE = ct.Attribute("race", ("a", "b", "c"))
PARITY = ct.demographic_parity(RACE)


def counted(rng, rates, units, members=1):
    """Units of one choice each, in groups of equal size: sums `[M, C, U]` and masses `[C, U]`."""
    group = np.arange(units) % len(rates)
    masses = (group == np.arange(len(rates))[:, None]).astype(float)
    return Statistics((rng.random((members, 1, units)) < np.array(rates)[group]) * masses, masses)


def weighed(rng, rates, units, members=1, most=6):
    """Units of several choices, which lean to one side together."""
    masses = rng.integers(0, most, (len(rates), units)).astype(float)
    leaning = rng.beta(0.5, 0.5, (members, 1, units)) - 0.5
    rate = np.clip(np.array(rates)[:, None] + 0.4 * leaning, 0, 1)
    return Statistics(rng.binomial(masses.astype(int)[None], rate).astype(float), masses)


def test_ends_of_units_that_count_once_are_clopper_pearsons():
    level, found = 0.01, counted(np.random.default_rng(0), (0.5, 0.4, 0.3), 300, members=4)
    k, n = found.sums.sum(-1).astype(int), found.masses.sum(-1).astype(int)
    for own, bound in zip(k, gap_at_most(PARITY, found, 1, level, True), strict=True):
        high = max(clopper_pearson_upper(int(x), int(y), level / 2) for x, y in zip(own, n, strict=True))
        low = min(clopper_pearson_lower(int(x), int(y), level / 2) for x, y in zip(own, n, strict=True))
        assert bound == pytest.approx(float(high - low), abs=1e-8)
    tied = Statistics(np.where(found.masses > 0, 0.5, 0)[None] * np.ones((1, 1, 300)), found.masses)
    assert gap_at_most(PARITY, tied, 1, level, True) == [1]  # a shared decision counts on the worse side of both


def test_ends_of_units_that_weigh_are_the_betting_bounds():
    level, found = 0.01, weighed(np.random.default_rng(1), (0.5, 0.4, 0.3), 200, members=3)
    order = np.random.default_rng(0).permutation(200)
    for own, bound in zip(found.sums, gap_at_most(PARITY, found, 5, level, False), strict=True):
        cells = [(s[order], m[order]) for s, m in zip(own, found.masses, strict=True)]
        high = max(betting.upper(s, m, 5, level / 2) for s, m in cells)
        low = min(betting.lower(s, m, 5, level / 2) for s, m in cells)
        assert bound == pytest.approx(float(high - low), abs=3e-4)


def test_what_is_compared_decides_what_is_bounded():
    found = counted(np.random.default_rng(2), (0.6, 0.3, 0.4), 600)
    high = [float(clopper_pearson_upper(int(k), 200, 0.05)) for k in found.sums[0].sum(-1)]
    assert gap_at_most(ct.rate_cap(RACE, 0.5), found, 1, 0.05, True)[0] == pytest.approx(max(high), abs=1e-8)
    both = ct.Stack(members=(PARITY, ct.rate_cap(RACE, 0.5)))
    twice = Statistics((found.sums, found.sums), (found.masses, found.masses))
    alone = [gap_at_most(part, found, 1, 0.05, True)[0] for part in both.parts()]
    assert gap_at_most(both, twice, 1, 0.05, True) == [max(alone)]
    nobody = Statistics(found.sums * [[1], [1], [0]], found.masses * [[1], [1], [0]])
    assert gap_at_most(PARITY, nobody, 1, 0.05, True) == [1]  # of a group without people nothing is known
    assert np.isnan(gap_at_most(ct.rate_ratio(RACE, 0.2), found, 1, 0.05, True)).all()


@pytest.mark.parametrize("draw", [counted, weighed])
def test_all_hold_at_once_as_often_as_is_said_and_measured_gaps_do_not(draw):
    rng, delta, members, truth = np.random.default_rng(3), 0.2, 20, 0.1
    wrong = {"at once": 0, "one by one": 0, "measured": 0}
    for _ in range(60):
        found = draw(rng, (0.5, 0.45, 0.4), 240, members)
        rates = found.sums.sum(-1) / found.masses.sum(-1)
        error = np.sqrt(((found.sums - rates[..., None] * found.masses) ** 2).sum(-1) / found.masses.sum(-1) ** 2)
        measured, spread = np.ptp(rates, axis=1), np.sqrt((error[:, [0, 2]] ** 2).sum(1))
        bounds = {
            "at once": gap_at_most(PARITY, found, 5 if draw is weighed else 1, delta / members, draw is counted),
            "one by one": rates[:, 0] - rates[:, 2] + 0.84 * spread,  # the normal limit at delta, not corrected
            "measured": measured,
        }
        for name, own in bounds.items():
            wrong[name] += (own < truth).any()
    assert wrong["at once"] <= delta * 60
    assert wrong["one by one"] > 2 * delta * 60 and wrong["measured"] > 2 * delta * 60  # controls: too often wrong
