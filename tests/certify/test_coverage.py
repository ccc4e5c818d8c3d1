"""Coverage at the boundary, in small: `make coverage` runs the same studies, all of them and with more draws.

A share of false passes above delta would be seen in 2,500 draws; the controls show that it is.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import coverage

SMALL = [
    ("exact2", "rates (0.5, 0.45), n 50"),
    ("exact2", "rates (0.5, 0.45), n 1000"),
    ("exact2", "rates (0.05, 0.0), n 200"),
    ("exact2", "rates (0.15, 0.1), n (500, 50000)"),
    ("exact2", "4 groups, rates (0.5, 0.45)..., n 1000"),
    ("clopper-pearson", "rates (0.05, 0.0), n 1000"),
    ("exact2, false REFUTED", "2 groups, rates (0.05, 0.03), n 1000"),
    ("unit-ratio", "60 units of 0-9 rows, rate 0.5, correlation 0.67"),
    ("unit-ratio", "250 units of 0-10 rows, rate 0.1, correlation 0.3"),
    ("unit-ratio", "signed counterfactual, 300 units"),
    ("unit-ratio", "60 units in the order of hashes"),
    ("exact2, thinned", "250 people of 9 rows per group"),
    ("block-pair", "scores beta(8, 8), beta(8, 9), n 200, 200"),
    ("dkw", "all thresholds, five atoms, n 200, 200"),
    ("dkw", "both deviations beyond the radius, n 50, 50"),
    ("kl ball", "radius 0.01, rates (0.3, 0.25), n 1000"),
    ("exact2, thinned", "a scorer that knows names, 8 attempts"),
    ("unit-ratio", "a scorer that knows names, 8 attempts"),
    ("exact2 with a ledger", "projects of 20 attempts, rates (0.35, 0.3), n 1000"),
]
STUDIES = {(study.method, study.setting): study for study in coverage.studies()}
CONTROLS = [key for key, study in STUDIES.items() if study.control]


@pytest.mark.slow
@pytest.mark.parametrize("key", SMALL, ids=" ".join)
def test_false_passes_are_rare_at_the_boundary(key):
    share, low, good = coverage.run(STUDIES[key], 2500, seed=11)
    assert good, f"{share:.4f} of the draws were wrong, at least {low:.4f}; delta is {coverage.DELTA}"


@pytest.mark.slow
@pytest.mark.parametrize("key", CONTROLS, ids=" ".join)
def test_invalid_methods_are_seen_to_fail(key):
    _, low, good = coverage.run(STUDIES[key], 1000, seed=12)
    assert good and low > coverage.DELTA


def test_a_small_excess_would_be_seen():
    """A method that is wrong in 7 % of the draws, at delta 5 %: 19 of 20 runs of 2,500 draws notice."""
    study = coverage.Study("planted", "", lambda rng, draws: rng.random(draws) < 0.07, control=True)
    assert sum(coverage.run(study, 2500, seed)[2] for seed in range(60)) >= 56


def test_the_t_test_control_covers_as_known():
    """Rates .01 and 0, n = 50: all data are zero in about 60 % of the samples, and the interval is a point."""
    share, _, _ = coverage.run(STUDIES["t-test", "rates (0.01, 0), n 50"], 2000, seed=13)
    assert share == pytest.approx(1 - 0.401, abs=0.04)


def test_the_page_shows_these_studies():
    page = (Path(__file__).parents[2] / "docs" / "coverage.md").read_text("utf-8")
    rows = [tuple(cell.strip() for cell in line.split("|")[1:3]) for line in page.splitlines() if line.startswith("| ")]
    assert list(STUDIES) == [row for row in rows if row in STUDIES], "run make coverage"
    assert "0 rows are not in order" in page
