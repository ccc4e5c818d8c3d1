"""Uncertainty of a frontier: against plain Python, closed forms, and planted members."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
from scipy.stats import binom

import constraints as ct
import faro
from faro import models
from faro.evaluate import resampling
from faro.evaluate.bootstrap import measure
from faro.evaluate.pareto import hypervolume, non_dominated
from faro.evaluate.part import Part, figures
from faro.evaluate.resampling import interval, limits_of_mean, multiplicities

GROUP = ct.Attribute("group", ("a", "b"))
PERSON = ct.Attribute("person", ("x", "y"), chooser=True)


def part(constraint, choices) -> Part:
    """A part by hand: seed 0, units as they are."""
    choices = jax.tree.map(np.asarray, choices)
    own = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), constraint)
    return Part(own, {0: choices}, {0: np.arange(int(choices.unit.max()) + 1)})


def invented(n: int, units: int, seed: int = 0, k: int = 2):
    """Choices with two groups and a level of the chooser, by units of several choices."""
    rng = np.random.default_rng(seed)
    label = np.eye(k)[rng.integers(k, size=n)]
    person = np.repeat(rng.integers(2, size=(n, 1)), k, 1)
    return ct.make_choices(
        rng.normal(size=(n, k, 2)),
        0.8 * label + 0.2 / k,  # split votes
        attributes={"group": rng.integers(2, size=(n, k)), "person": person},
        weight=rng.uniform(0.5, 2, n),
        unit=np.concatenate([np.arange(units), rng.integers(units, size=n - units)]),
    )


CONSTRAINTS = {
    "demographic parity": ct.demographic_parity(GROUP),
    "equalized odds within": ct.equalized_odds(GROUP, within=PERSON),
    "ratio": ct.rate_ratio(GROUP),
    "predictive parity": ct.predictive_parity(GROUP),
    "calibration": ct.calibration(GROUP),
    "rewards": ct.reward_parity(GROUP),
    "thresholds": ct.threshold_parity(GROUP),
    "two": ct.Stack(members=(ct.demographic_parity(GROUP), ct.group_loss(PERSON, 0.9))),
}


@jax.jit
def plain(constraint, params, drawn):
    """Accuracy and the largest gap of choices as they are weighted."""
    seen = ct.decide(ct.Argmax(), models.rewards(models.Linear(), params, drawn), drawn)
    right = (drawn.weight * (drawn.chosen * seen.decisions).sum(1)).sum() / drawn.weight.sum()
    return right, constraint.gap(constraint.statistics(seen, drawn)).max()


@pytest.mark.slow
@pytest.mark.parametrize("name", CONSTRAINTS)
def test_draws_are_those_of_a_plain_bootstrap(name, x64):
    """Whatever the statistics are: every draw is the constraint's own gap on choices that are there that often."""
    choices, constraint = invented(60, 25, k=3), CONSTRAINTS[name]
    dev = part(constraint, choices)
    params = {"intercept": np.zeros((2, 1)), "item": np.random.default_rng(1).normal(size=(2, 1, 2))}
    found = dev.bootstrap({0: dev.of_params(0, models.Linear(), params, np.ones((2, 1)))}, 4, key=3)[0]
    for b, times in enumerate(np.concatenate(list(multiplicities(25, 4, 3)))):
        drawn = choices.replace(weight=np.asarray(choices.weight) * times[choices.unit])
        for member in range(2):
            own = jax.tree.map(lambda leaf, m=member: leaf[m, 0], params)
            right, gap = plain(dev.constraint, own, drawn)
            assert found.accuracy[member, b] == pytest.approx(float(right), abs=1e-12)
            assert found.gap[member, b] == pytest.approx(float(gap), abs=1e-12)


def test_a_bootstrap_of_people_in_plain_python(x64):
    """The same without the package: people drawn one by one, rates counted by hand."""
    choices = invented(80, 20)
    decided = np.eye(2)[np.random.default_rng(2).integers(2, size=80)]
    dev = part(CONSTRAINTS["demographic parity"], choices)
    found = dev.bootstrap({0: dev.of_decisions(0, decided[None])}, 500)[0]
    rng, plain = np.random.default_rng(9), []
    unit, group, weight = np.asarray(choices.unit), np.asarray(choices.attributes["group"]), np.asarray(choices.weight)
    for _ in range(500):
        rows = [row for person in rng.integers(20, size=20) for row in np.flatnonzero(unit == person)]
        rates = []
        for g in range(2):
            mass = sum(weight[row] for row in rows for k in range(2) if group[row, k] == g)
            rates.append(
                sum(weight[row] * decided[row, k] for row in rows for k in range(2) if group[row, k] == g) / mass
            )
        plain.append(abs(rates[0] - rates[1]))
    assert interval(found.gap[0]) == pytest.approx(interval(np.array(plain)), abs=0.03)
    assert not np.allclose(interval(found.gap[0], 0.5), interval(found.gap[0]), atol=0.03)  # the level counts


def test_accuracy_of_independent_choices_is_binomial(x64):
    n, p = 400, 0.7
    choices = invented(n, n).replace(weight=np.ones(n), unit=np.arange(n), chosen=np.eye(2)[np.zeros(n, int)])
    decided = np.eye(2)[(np.arange(n) >= p * n).astype(int)]
    dev = part(CONSTRAINTS["demographic parity"], choices)
    found = dev.bootstrap({0: dev.of_decisions(0, decided[None])}, 4000)[0].accuracy[0]
    assert interval(found) == pytest.approx(binom.ppf([0.025, 0.975], n, p) / n, abs=0.006)
    assert found.std() == pytest.approx(np.sqrt(p * (1 - p) / n), rel=0.05)


def test_rows_of_one_person_say_less_than_people(x64):
    """Five equal rows a person: the interval over people is sqrt(5) times as wide as one that takes rows for people."""
    one = invented(100, 100).replace(unit=np.arange(100))
    rows = jax.tree.map(lambda leaf: np.repeat(np.asarray(leaf), 5, 0), one)
    decided = np.repeat(np.eye(2)[np.random.default_rng(5).integers(2, size=100)], 5, 0)
    widths = []
    for unit in (rows.unit, np.arange(500)):
        dev = part(CONSTRAINTS["demographic parity"], rows.replace(unit=unit))
        found = dev.bootstrap({0: dev.of_decisions(0, decided[None])}, 2000)[0]
        widths.append([np.std(found.accuracy), np.std(found.gap)])
    assert np.divide(*widths) == pytest.approx([5**0.5] * 2, rel=0.12)


def test_a_small_gap_is_too_large_and_its_draws_more_so(x64):
    """The warning of the documentation: where groups are alike, percentiles of the gap lie too high."""
    sample, drawn = [], []
    dev = part(CONSTRAINTS["demographic parity"], invented(80, 80).replace(unit=np.arange(80)))
    for seed in range(20):
        sums = dev.of_decisions(0, np.eye(2)[np.random.default_rng(seed).integers(2, size=(1, 80))])
        sample.append(figures(dev.constraint, sums).gap[0, 0])
        drawn.append(dev.bootstrap({0: sums}, 200, seed)[0].gap.mean())
    assert 0.02 < np.mean(sample) < np.mean(drawn) - 0.01


def test_draws_are_multinomial_and_shared(x64):
    blocks = list(multiplicities(50, 300))
    times = np.concatenate(blocks)
    assert times.shape == (300, 50) and (times.sum(1) == 50).all()
    assert times.var() == pytest.approx(1 - 1 / 50, rel=0.05)
    choices = invented(60, 25)
    dev = part(CONSTRAINTS["demographic parity"], choices)
    both = Part(dev.constraint, {0: dev.choices[0], 1: dev.choices[0]}, {0: dev.codes[0], 1: dev.codes[0]})
    decided = np.asarray(choices.chosen)[None]
    found = both.bootstrap({seed: both.of_decisions(seed, decided) for seed in (0, 1)}, 50)
    assert (found[0].gap == found[1].gap).all()  # the same people in both seeds


# Two clusters ---------------------------------------------------------------------------------------------------------


def crossing(of: Part, clusters: np.ndarray) -> Part:
    """The same part, where every choice has a second cluster too."""
    codes, crossed, local = resampling.clusters(np.asarray(of.choices[0].unit), clusters)
    return Part(of.constraint, {0: of.choices[0].replace(unit=local)}, {0: codes}, None, {0: crossed})


def test_draws_of_two_clusters_are_products_of_both(x64):
    """Every draw is the constraint's own figure on choices that are there as often as unit and prompt together."""
    choices, prompts = invented(60, 25), np.random.default_rng(3).integers(7, size=60)
    alone = part(CONSTRAINTS["demographic parity"], choices)
    dev = crossing(alone, prompts)
    decided = np.eye(2)[np.random.default_rng(2).integers(2, size=60)]
    sums = dev.of_decisions(0, decided[None])
    found = dev.bootstrap({0: sums}, 5, key=3)[0]
    unit, group, weight = (np.asarray(of) for of in (choices.unit, choices.attributes["group"], choices.weight))
    for b in range(5):
        times = [np.concatenate(list(multiplicities(*of)))[b] for of in ((25, 5, 3), (7, 5, (3, 1)))]
        own = weight * times[0][unit] * times[1][prompts]
        right = (own * (np.asarray(choices.chosen) * decided).sum(1)).sum() / own.sum()
        rates = [(own[:, None] * decided * (group == g)).sum() / (own[:, None] * (group == g)).sum() for g in (0, 1)]
        assert found.accuracy[0, b] == pytest.approx(right, abs=1e-12)
        assert found.gap[0, b] == pytest.approx(abs(rates[0] - rates[1]), abs=1e-12)
    for got, wanted in zip(
        jax.tree.leaves(dev.of_units(0, sums)), jax.tree.leaves(alone.of_decisions(0, decided[None])), strict=True
    ):
        np.testing.assert_allclose(got, wanted, atol=1e-12)


def raters_and_prompts(rng, raters=30, prompts=30, noise=0.0):
    """Values of every rater on every prompt, mean 0 in the population: an effect of each, and noise."""
    values = rng.normal(size=(raters, 1)) * 0.5 + rng.normal(size=(1, prompts))
    values = values + noise * rng.normal(size=(raters, prompts))
    unit, prompt = np.indices(values.shape)
    return values, (values.ravel(), np.ones(values.size), unit.ravel()), prompt.ravel()


def test_spread_of_two_clusters_is_the_sum_of_both():
    """Where a value is a + b, draws of the mean have the variance of a over its number and of b over its own."""
    values, given, prompt = raters_and_prompts(np.random.default_rng(1), 100, 60)
    deviation = np.sqrt(values.mean(1).var() / 100 + values.mean(0).var() / 60)
    low, high = limits_of_mean(*given, prompt)
    assert (high - low) / 2 == pytest.approx(1.96 * deviation, rel=0.08)
    low, high = limits_of_mean(*given, None)  # raters alone
    assert (high - low) / 2 == pytest.approx(1.96 * np.sqrt(values.mean(1).var() / 100), rel=0.08)


def test_intervals_of_units_alone_miss_where_prompts_vary_too():
    """New raters and new prompts each time: how many 95 % intervals hold the population's mean, 0."""
    rng, held = np.random.default_rng(0), np.zeros(2)
    for _ in range(80):
        _, given, prompt = raters_and_prompts(rng, noise=0.5)
        for way, clusters in enumerate((None, prompt)):
            low, high = limits_of_mean(*given, clusters)
            held[way] += low <= 0 <= high
    assert held[0] < 62 and held[1] >= 70


# A run ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo():
    data = faro.load("demo")
    own = ct.demographic_parity(data.attributes["dialect"])
    return data, own, faro.frontier(data, own, bounds=[0.05, 0.2], seeds=2, settings={"steps": 60})


@pytest.mark.slow
def test_figures_of_a_run(demo):
    data, own, run = demo
    found = measure(run, data, own, draws=200)
    trials = found.trials[found.trials["seed"] != "mean"]
    assert len(trials) == 6 and len(found.trials) == 9
    for name in ("accuracy", "gap"):
        assert np.allclose(trials[f"dev_{name}"], run.table[f"dev_{name}"])
        assert (found.trials[f"dev_{name}_low"] < found.trials[f"dev_{name}_high"]).all()
    dev = Part.of(data, own, {1: run.models[1]})
    again = figures(dev.constraint, dev.of_models(1, [run.models[1]]))
    assert again.accuracy[0, 0] == pytest.approx(run.table["dev_accuracy"][1], abs=1e-9)  # judged another way
    assert again.gap[0, 0] == pytest.approx(run.table["dev_gap"][1], abs=1e-9)
    assert list(found.hypervolume["seed"]) == [0, 1, "mean"]
    assert (found.hypervolume["low"] < found.hypervolume["high"]).all()


@pytest.mark.slow
def test_a_planted_member_that_is_dominated_never_counts(demo):
    """Negated rewards: the same gap at a lower accuracy than the member that they negate."""
    data, own, run = demo
    table, planted = run.table.copy(), list(run.models)
    table["status"] = "FEASIBLE"
    for seed in range(2):
        free, tight = (int(np.flatnonzero((table["seed"] == seed) & (table["bound"] == b))[0]) for b in (np.inf, 0.05))
        negated = jax.tree.map(lambda leaf: -np.asarray(leaf), planted[free].params)
        planted[tight] = dataclasses.replace(planted[free], params=negated)
    run = dataclasses.replace(run, table=table, models=planted)
    sure = measure(run, data, own, draws=100).trials.set_index(["bound", "seed"])["non_dominated"]
    assert (sure[0.05] == 0).all()
    assert (sure[np.inf] > 0).all() and (sure[0.2] > 0).all()
    table["status"] = np.where(np.isinf(table["bound"]), "INFEASIBLE", "FEASIBLE")  # what is infeasible is no rival
    sure = measure(run, data, own, draws=100).trials.set_index(["bound", "seed"])["non_dominated"]
    assert sure[np.inf].isna().all()


# Points ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gap", "accuracy", "area"),
    [
        ([0.2], [0.8], 0.8 * 0.8),
        ([0.1, 0.5], [0.6, 0.9], 0.4 * 0.6 + 0.5 * 0.9),
        ([0.5, 0.1, 0.3], [0.9, 0.6, 0.5], 0.4 * 0.6 + 0.5 * 0.9),  # one dominated, order does not matter
        ([0.0], [1.0], 1.0),
        ([1.5], [0.9], 0.0),
        ([], [], 0.0),
    ],
)
def test_hypervolume_of_staircases(gap, accuracy, area):
    assert hypervolume(np.array(accuracy), np.array(gap)) == pytest.approx(area)


def test_hypervolume_counted_on_a_grid():
    rng = np.random.default_rng(4)
    gap, accuracy = rng.uniform(0, 1.2, (3, 7)), rng.uniform(size=(3, 7))
    x, y = (np.arange(2000) + 0.5) / 2000 * 0.9, (np.arange(2000) + 0.5) / 2000
    found = hypervolume(accuracy, gap, (0.9, 0.3))
    for g, a, area in zip(gap, accuracy, found, strict=True):
        best = np.max(np.where(g[:, None] <= x, a[:, None], 0), 0)
        assert area == pytest.approx(np.mean((y[:, None] < best) & (y[:, None] > 0.3)) * 0.9, abs=2e-3)


def test_dominance_by_definition():
    rng = np.random.default_rng(6)
    accuracy, gap = rng.integers(4, size=(2, 50, 6)) / 4  # many ties
    rivals = np.array([True, True, False, True, True, True])
    found = non_dominated(accuracy, gap, rivals)
    for a, g, kept in zip(accuracy, gap, found, strict=True):
        for i in range(6):
            beaten = any(rivals[j] and a[j] >= a[i] and g[j] <= g[i] and (a[j], g[j]) != (a[i], g[i]) for j in range(6))
            assert kept[i] == (not beaten)


@pytest.mark.slow
def test_every_bound_has_a_row_whatever_became_of_it(demo):
    data, own, run = demo
    table = run.table.copy()
    lost = table["bound"] == 0.05
    table.loc[lost, ["dev_accuracy", "dev_gap"]] = np.nan
    table.loc[lost, "status"] = "DIVERGED"
    sure = measure(dataclasses.replace(run, table=table), data, own, draws=20).trials
    means = sure[sure["seed"] == "mean"]
    assert list(means["bound"]) == [np.inf, 0.05, 0.2]
    assert means["non_dominated"].isna().tolist() == [False, True, False]
