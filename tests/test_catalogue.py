"""Every notion of the catalogue: the contract, a second way to the same number, and training under it."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import precision_score

import constraints as ct
from constraints.testing import COMMUNITY, GROUP, KIND, example_choices, try_clauses

CATALOGUE = {
    "predictive equality, crossed": ct.predictive_equality(ct.cross(GROUP, KIND)),
    "oscillation": ct.counterfactual_oscillation(GROUP, scale=1.3),
    "oscillation, tail": ct.counterfactual_oscillation(COMMUNITY, tail=True),
    "rate cap": ct.rate_cap(GROUP),
    "budget": ct.rate_cap(of=(KIND, "x")),
    "rate floor, within": ct.rate_floor(GROUP, within=COMMUNITY),
    "group error": ct.group_error(COMMUNITY),
    "group error, no worse": ct.group_error(GROUP, reference=[0.1, 0.2, 0.3, 0.0]),
    "group loss": ct.group_loss(COMMUNITY),
    "rate ratio": ct.rate_ratio(GROUP, within=COMMUNITY),
    "precision floor": ct.precision_floor(GROUP),
    "predictive parity": ct.predictive_parity(GROUP),
    "calibration": ct.calibration(GROUP, within=KIND),
    "calibration in the large": ct.calibration(COMMUNITY, bins=1),
    "reward parity": ct.reward_parity(GROUP, scale=2.0),
    "threshold parity": ct.threshold_parity(GROUP, thresholds=(-0.55, 0.45)),
    "exposure parity": ct.exposure_parity(GROUP),
    "stack of kinds": ct.Stack(members=(ct.group_loss(COMMUNITY), ct.calibration(GROUP), ct.exposure_parity(GROUP))),
}


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_contract(name):
    assert not any(try_clauses(CATALOGUE[name], example_choices(n=30)).values())


# A second way to the same number --------------------------------------------------------------------------------------

CHOICES = example_choices(n=40, seed=3)
REWARDS = jnp.where(CHOICES.outside, 0, jnp.asarray(np.round(np.random.default_rng(0).normal(size=(40, 4)), 1)))
OUTCOME = ct.read(ct.Hard(), REWARDS, CHOICES)
WEIGHT = np.repeat(np.asarray(CHOICES.weight)[:, None], 4, 1)
LABEL, DECISION = np.asarray(CHOICES.chosen), np.asarray(OUTCOME.decisions)
P = np.exp(np.asarray(OUTCOME.log_probabilities()))
CODES = {name: np.where(np.asarray(CHOICES.inside), codes, -1) for name, codes in CHOICES.attributes.items()}


def measured(constraint):
    return np.asarray(constraint.measure(OUTCOME, CHOICES))


def by_group(attribute, number):
    """`number(mask)` for every level of an attribute, 0 for a level without data."""
    masks = [CODES[attribute.name] == level for level in range(len(attribute.levels))]
    return np.array([number(mask) if (WEIGHT * mask).sum() > 0 else 0.0 for mask in masks])


def mean(values, mask, weight=WEIGHT):
    return (weight * values)[mask].sum() / weight[mask].sum()


def test_caps_floors_and_budgets():
    np.testing.assert_allclose(measured(ct.rate_cap(GROUP)), by_group(GROUP, lambda m: mean(DECISION, m)), atol=1e-6)
    np.testing.assert_allclose(
        measured(ct.rate_floor(GROUP))[:3], 1 - by_group(GROUP, lambda m: mean(DECISION, m))[:3], atol=1e-6
    )
    budget = mean(DECISION, CODES["kind"] == 0)
    np.testing.assert_allclose(measured(ct.rate_cap(of=(KIND, "x"))), [budget], atol=1e-6)


def test_group_errors_and_losses_and_their_excess_over_another_model():
    error = by_group(COMMUNITY, lambda m: 1 - mean(DECISION, m, WEIGHT * LABEL))
    np.testing.assert_allclose(measured(ct.group_error(COMMUNITY)), error, atol=1e-6)
    excess = measured(ct.group_error(COMMUNITY, reference=error))
    np.testing.assert_allclose(excess, [0, 0], atol=1e-6)
    loss = by_group(COMMUNITY, lambda m: mean(-np.log(P + 1e-30), m, WEIGHT * LABEL))
    np.testing.assert_allclose(measured(ct.group_loss(COMMUNITY)), loss, rtol=1e-5)


def test_four_fifths():
    rates = by_group(GROUP, lambda m: mean(DECISION, m))[:3]
    np.testing.assert_allclose(measured(ct.rate_ratio(GROUP))[:3], 1 - rates / rates.max(), atol=1e-6)
    assert measured(ct.rate_ratio(GROUP))[3] == 0


def test_precision_is_scikit_learns():
    """On accept/reject, where precision is defined there; the linear row is violated exactly when the ratio is."""
    rng = np.random.default_rng(0)
    n = 200
    group, y, reward = rng.integers(0, 3, n), rng.integers(0, 2, n), rng.normal(size=n)
    choices = ct.make_choices(
        np.zeros((n, 2, 1)), 1 - y, outside=np.tile([False, True], (n, 1)),
        attributes={"group": np.stack([group, np.full(n, -1)], 1)},
    )  # fmt: skip
    outcome = ct.read(ct.Hard(), jnp.stack([jnp.asarray(reward), jnp.zeros(n)], 1), choices)
    precision = [precision_score(y[group == g], reward[group == g] > 0) for g in range(3)]
    floor = ct.precision_floor(GROUP)
    statistics = floor.statistics(outcome, choices)
    np.testing.assert_allclose(floor.rates(statistics)[:3], precision, atol=1e-6)
    np.testing.assert_allclose(floor.gap(statistics), [1 - min(precision)], atol=1e-6)
    parity = ct.predictive_parity(GROUP)
    gap = parity.gap(parity.statistics(outcome, choices))
    np.testing.assert_allclose(gap, [max(precision) - min(precision)], atol=1e-6)
    for bound in np.linspace(0.3, 0.7, 9):
        holds = bool((floor.at(bound).combine(statistics) <= bound + 1e-7).all())
        assert holds == bool(floor.at(bound).satisfied(statistics))


def test_choosing_nobody_of_a_group_is_no_predictive_parity():
    """Precision is then not defined: never 0, and never a way within the bound; the floor holds, and a rate floor says
    what it leaves open."""
    group = np.repeat([[0, 1], [0, 1], [1, 2], [1, 2]], 5, 0)
    choices = ct.make_choices(
        np.zeros((20, 2, 1)), np.tile([0, 1], 10), attributes={"group": group}, weight=np.r_[np.ones(19), 0]
    )
    where = ct.Attribute("group", ("a", "b", "c"))
    for favourite, unknown in ((1, {0, 2}), (0, {2}), (2, {0})):  # who is chosen wherever there is a choice
        rewards = jnp.asarray(np.where(group == favourite, 1.0, np.where(group == 1, 0.5, 0.0)))
        outcome = ct.read(ct.Hard(), rewards, choices)
        parity, floor = ct.predictive_parity(where, 0.3), ct.precision_floor(where, 0.9)
        statistics = parity.statistics(outcome, choices)
        assert set(np.flatnonzero(np.isnan(parity.rates(statistics)))) == unknown
        rows = dict(zip(parity.labels(), np.asarray(parity.combine(statistics)), strict=True))
        for g, name in enumerate("abc"):
            far = {abs(rows[f"{side} group={name}"]) for side in ("high", "low")}
            assert far == {1.0} if g in unknown else max(far) < 0.5
        assert float(parity.gap(statistics)[0]) == 1 and not bool(parity.satisfied(statistics))
        assert bool(floor.satisfied(floor.statistics(outcome, choices)))
        chosen = ct.rate_floor(where, 0.99)
        assert not bool(chosen.satisfied(chosen.statistics(outcome, choices)))
    nobody_else = choices.replace(weight=choices.weight.at[10:].set(0), available=jnp.asarray(group == 0))
    outcome = ct.read(ct.Hard(), jnp.zeros((20, 2)), nobody_else)
    assert float(parity.gap(parity.statistics(outcome, nobody_else))[0]) == 0  # one group: nothing to compare
    soft = ct.read(ct.Soft(temperature=0.1), rewards, choices)
    assert float(parity.gap(parity.statistics(soft, choices))[0]) < 1  # the proxy has a precision, and a slope


def test_calibration_and_what_it_forbids():
    """Binned errors by hand; and with one bin, gap of p >= gap of base rates - E_g - E_h for every pair of groups."""

    def error(mask, bins):
        own = np.minimum((P * bins).astype(int), bins - 1)
        sums = [abs((WEIGHT * (P - LABEL))[mask & (own == b)].sum()) for b in range(bins)]
        return sum(sums) / WEIGHT[mask].sum()

    for bins in (1, 10):
        expected = by_group(GROUP, lambda m, bins=bins: error(m, bins))
        np.testing.assert_allclose(measured(ct.calibration(GROUP, bins=bins)), expected, atol=1e-5)
    in_the_large = by_group(GROUP, lambda m: error(m, 1))[:3]
    soft, base = (by_group(GROUP, lambda m, v=v: mean(v, m))[:3] for v in (P, LABEL))
    for g in range(3):
        for h in range(3):
            least = abs(base[g] - base[h]) - in_the_large[g] - in_the_large[h]
            assert abs(soft[g] - soft[h]) >= least - 1e-9


def test_reward_and_threshold_parity():
    rewards = np.asarray(REWARDS)
    score = by_group(GROUP, lambda m: mean(1 / (1 + np.exp(-rewards / 2)), m))[:3]
    constraint = ct.reward_parity(GROUP, scale=2.0)
    gap = constraint.gap(constraint.statistics(OUTCOME, CHOICES))
    np.testing.assert_allclose(gap, [score.max() - score.min()], atol=1e-6)
    constraint = ct.threshold_parity(GROUP, thresholds=(-0.55, 0.45))
    above = [by_group(GROUP, lambda m, t=t: mean(rewards > t, m))[:3] for t in (-0.55, 0.45)]
    gap = constraint.gap(constraint.statistics(OUTCOME, CHOICES))
    np.testing.assert_allclose(gap, [max(v.max() - v.min() for v in above)], atol=1e-6)


def test_exposure_by_enumeration_of_ties():
    """Mean over all orders that the rewards allow, of 1 / log2(1 + rank), as a share of the choice's total."""
    import itertools

    exposure = np.zeros((40, 4))
    for i in range(40):
        shown = np.flatnonzero(np.asarray(CHOICES.available)[i])
        orders = [
            order for order in itertools.permutations(shown)
            if all(REWARDS[i, a] >= REWARDS[i, b] for a, b in itertools.pairwise(order))
        ]  # fmt: skip
        for order in orders:
            for rank, k in enumerate(order, 1):
                exposure[i, k] += 1 / np.log2(1 + rank) / len(orders)
        exposure[i] /= exposure[i].sum()
    constraint = ct.exposure_parity(GROUP)
    rates = constraint.rates(constraint.statistics(OUTCOME, CHOICES))[:3]
    np.testing.assert_allclose(rates, by_group(GROUP, lambda m: mean(exposure, m))[:3], atol=1e-6)


def test_oscillation():
    rng = np.random.default_rng(1)
    twins = {"group": jnp.asarray(rng.normal(size=(40, 4, 4)))}
    outcome = ct.read(ct.Hard(), REWARDS, CHOICES, twins)
    moved = np.abs(np.asarray(twins["group"]) - np.asarray(REWARDS)[..., None]) / 1.3
    valid = np.asarray(CHOICES.twins["group"].valid).all(-1) & (CODES["group"] >= 0)
    for tail in (False, True):
        found = ct.counterfactual_oscillation(GROUP, scale=1.3, tail=tail).measure(outcome, CHOICES)
        values = moved > 1 if tail else np.minimum(moved, 1)
        for level in range(4):
            mask = valid & (CODES["group"] != level)
            assert float(found[level]) == pytest.approx(mean(values[..., level], mask), abs=1e-6)


def test_counts_of_units_add_up_to_the_statistics():
    units = int(CHOICES.unit.max()) + 1
    for constraint in (ct.demographic_parity(GROUP), ct.equalized_odds(COMMUNITY), ct.rate_floor(GROUP)):
        assert constraint.evidence() == "counts"
        counts = constraint.counts(OUTCOME, CHOICES, units)
        assert counts.sums.shape == (units, len(constraint.cells()))
        whole = constraint.statistics(OUTCOME, CHOICES)
        np.testing.assert_allclose(counts.sums.sum(0), whole.sums, rtol=1e-5)
        np.testing.assert_allclose(counts.masses.sum(0), whole.masses, rtol=1e-5)
        mine = CHOICES.replace(weight=CHOICES.weight * (CHOICES.unit == 2))
        np.testing.assert_allclose(counts.sums[2], constraint.statistics(OUTCOME, mine).sums, rtol=1e-5)
    for name in ("reward parity", "threshold parity", "exposure parity", "oscillation"):
        assert CATALOGUE[name].evidence() == "scores"
        if not CATALOGUE[name].twins():  # scores are bounded: every unit's sum lies between 0 and its mass
            counts = CATALOGUE[name].counts(OUTCOME, CHOICES, units)
            assert np.all(counts.sums >= -1e-6) and np.all(counts.sums <= counts.masses + 1e-5)
    for name in ("group loss", "rate ratio", "calibration", "predictive parity", "precision floor"):
        assert CATALOGUE[name].evidence().startswith("no certificate")


@pytest.mark.parametrize("seed", range(6))
def test_relabelling_groups_changes_no_gap(seed):
    """A permutation of the levels, with the codes, permutes rows and leaves every gap."""
    choices = example_choices(n=40, seed=seed)
    rewards = jnp.asarray(np.round(np.random.default_rng(seed).normal(size=(40, 4)), 1))
    outcome = ct.read(ct.Hard(), jnp.where(choices.outside, 0, rewards), choices)
    order = np.random.default_rng(seed).permutation(4)
    renamed = ct.Attribute("group", tuple(GROUP.levels[i] for i in order))
    codes = jnp.asarray(np.append(np.argsort(order), -1))[choices.attributes["group"]]
    moved = choices.replace(attributes=choices.attributes | {"group": codes})
    makers = (
        ct.demographic_parity, ct.equalized_odds, ct.predictive_equality, ct.rate_cap, ct.rate_ratio, ct.group_error,
        ct.precision_floor, ct.predictive_parity, ct.calibration, ct.exposure_parity, ct.threshold_parity,
        ct.group_loss,
    )  # fmt: skip
    for make in makers:
        before, after = make(GROUP, within=COMMUNITY), make(renamed, within=COMMUNITY)
        gaps = [c.gap(c.statistics(outcome, data)) for c, data in ((before, choices), (after, moved))]
        np.testing.assert_allclose(gaps[0], gaps[1], atol=1e-6)


def test_crossed_attributes():
    both = ct.cross(GROUP, KIND)
    assert both.levels[:2] == ("a & x", "a & y") and len(both.levels) == 8 and not both.chooser
    rates = ct.demographic_parity(both).rates(ct.demographic_parity(both).statistics(OUTCOME, CHOICES))
    for g in range(3):
        for k in range(2):
            mask = (CODES["group"] == g) & (CODES["kind"] == k)
            assert float(rates[2 * g + k]) == pytest.approx(mean(DECISION, mask), abs=1e-6)
    three = ct.cross(both, COMMUNITY)
    assert len(three.levels) == 16
    codes = np.asarray(three.codes(CHOICES))
    expected = (CODES["group"] * 2 + CODES["kind"]) * 2 + CODES["community"]
    some = np.asarray(CHOICES.inside) & (CODES["group"] >= 0)
    np.testing.assert_array_equal(codes[some], expected[some])


# Training under every notion ------------------------------------------------------------------------------------------

DEMO_BOUNDS = {
    "rate_ratio": 0.2,
    "group_error": 0.3,
    "precision_floor": 0.3,
    "predictive_parity": 0.03,
    "threshold_parity": 0.1,
    "exposure_parity": 0.02,
    "counterfactual_oscillation(scale=2.0)": 0.1,
    "demographic_parity+group_error": 0.32,
}


@pytest.mark.parametrize("name", DEMO_BOUNDS)
def test_a_model_trains_under_it(name):
    import faro

    attribute = "dialect"
    model = faro.train("demo", name, attribute=attribute, bound=DEMO_BOUNDS[name], settings={"dual_rate": 0.1})
    assert model.about["status"] == "FEASIBLE"
    gaps = [value for key, value in model.about["figures"].items() if key.startswith("train_gap")]
    assert max(gaps) <= DEMO_BOUNDS[name]
    assert model.about["figures"]["train_accuracy"] > 0.6
