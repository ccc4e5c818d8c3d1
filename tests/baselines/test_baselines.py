"""Baselines: closed forms, brute force, fairlearn, and planted examples."""

from __future__ import annotations

import itertools

import jax
import numpy as np
import pandas as pd
import pytest
from fairlearn.postprocessing import ThresholdOptimizer
from sklearn.base import BaseEstimator

import constraints as ct
import faro
import faro.metrics
from faro import baselines, models
from faro.baselines import optimal
from faro.data import Dataset, Schema
from faro.evaluate import bootstrap
from faro.losses import Penalised, WorstGroup
from faro.losses.groups import labels, reweighting
from faro.training import Data
from faro.training.ridge import Ridge
from faro.training.settings import Settings

GROUP = ct.Attribute("group", ("a", "b"))
SETTINGS = Settings(steps=60)
SCHEMA = Schema.from_dict(
    {
        "format": "accept",
        "unit": "person",
        "label": "chosen",
        "numeric": ["x", "z"],
        "attributes": [{"name": "group", "levels": ["a", "b"]}],
    }
)


def people(n=900, seed=0) -> Dataset:
    """Accept or reject, where group b is accepted less; x says so, and z does not."""
    rng = np.random.default_rng(seed)
    group = rng.integers(2, size=n)
    x, z = rng.normal(size=n) - 1.2 * group, rng.normal(size=n)
    chosen = (x + z + rng.logistic(size=n) > 0).astype(int)
    names = {"person": np.arange(n), "group": np.array(["a", "b"])[group]}
    return Dataset.from_table(pd.DataFrame(names | {"x": x, "z": z, "chosen": chosen}), SCHEMA, name="people")


# Reweighting ----------------------------------------------------------------------------------------------------------


def applicants(group, chosen, weight):
    """Accept or reject as choices: the second alternative is outside."""
    n = len(group)
    outside = np.stack([np.zeros(n, bool), np.ones(n, bool)], 1)
    both = np.stack([chosen, 1 - np.asarray(chosen, float)], 1)
    codes = {"group": np.stack([group, -np.ones(n, int)], 1)}
    return ct.make_choices(np.zeros((n, 1, 1)), both, outside=outside, attributes=codes, weight=weight)


def test_weights_are_those_of_kamiran_and_calders(x64):
    """P(g) P(y) / P(g, y), counted by hand: 8 people of a of whom 6 are accepted, 4 of b of whom 1 is."""
    group = np.array([0] * 8 + [1] * 4)
    chosen = np.array([1] * 6 + [0] * 2 + [1] + [0] * 3)
    choices = applicants(group, chosen, np.ones(12))
    who = ct.demographic_parity(GROUP).who
    found = reweighting(who, labels(who, choices), choices)
    table = {(0, 1): 8 * 7 / (12 * 6), (0, 0): 8 * 5 / (12 * 2), (1, 1): 4 * 7 / (12 * 1), (1, 0): 4 * 5 / (12 * 3)}
    assert np.allclose(found, [table[g, y] for g, y in zip(group, chosen, strict=True)])
    nobody = choices.replace(attributes={"group": -np.ones((12, 2), int)})
    assert np.allclose(reweighting(who, labels(who, choices), nobody), 1)


def test_reweighted_labels_do_not_depend_on_the_group(x64):
    """Inside every stratum, with weights; without strata they would, within them."""
    rng = np.random.default_rng(3)
    n = 400
    group, camp = rng.integers(2, size=(2, n))
    chosen = (rng.uniform(size=n) < 0.3 + 0.3 * group - 0.2 * camp * group).astype(int)
    choices = applicants(group, chosen, rng.uniform(0.5, 2, n))
    camps = ct.Attribute("camp", ("n", "s"), chooser=True)
    choices = choices.replace(attributes=choices.attributes | {"camp": np.repeat(camp[:, None], 2, 1)})

    def gaps(who):
        weight = np.asarray(choices.weight * reweighting(who, labels(who, choices), choices))
        rates = {key: np.average(chosen[m], weights=weight[m]) for key, m in _cells(group, camp).items()}
        return [abs(rates[0, c] - rates[1, c]) for c in range(2)]

    assert max(gaps(ct.demographic_parity(GROUP, within=camps).who)) < 1e-12
    assert max(gaps(ct.demographic_parity(GROUP).who)) > 0.02


def _cells(group, camp):
    return {(g, c): (group == g) & (camp == c) for g in range(2) for c in range(2)}


# Thresholds -----------------------------------------------------------------------------------------------------------

BLOCKS = {
    "demographic_parity": [("all", (0, 1))],
    "equalized_odds": [("chosen", (0, 1)), ("rejected", (0, 1))],
    "equal_opportunity": [("chosen", (0, 1))],
}


def invented(n, seed, apart=0.7):
    rng = np.random.default_rng(seed)
    group = rng.integers(2, size=n)
    score = np.round(rng.normal(size=n) - apart * group, 1)  # with ties
    label = (score + 0.4 * group + rng.logistic(size=n) > 0).astype(float)
    return score, label, group


def judged(rule, score, label, group, blocks):
    """Accuracy and largest gap, by hand."""
    accept = rule.accept(score, group)
    rates = []
    for event, groups in blocks:
        mask = {"all": label >= 0, "chosen": label == 1, "rejected": label == 0}[event]
        rates.append([accept[mask & (group == g)].mean() for g in groups])
    return np.mean(label * accept + (1 - label) * (1 - accept)), max(np.ptp(own) for own in rates)


@pytest.mark.parametrize("notion", ["demographic_parity", "equal_opportunity"])
@pytest.mark.parametrize("bound", [0.0, 0.1, 0.4])
def test_thresholds_against_brute_force(notion, bound):
    """Every pair of thresholds in each group, mixed in steps of a 40th: no pair within the bound is more accurate."""
    score, label, group = invented(14, 1)
    rule = optimal(score, label, 1 - label, group, BLOCKS[notion], 2, [bound])[0]
    accuracy, gap = judged(rule, score, label, group, BLOCKS[notion])
    assert gap <= bound + 1e-9
    shares = np.linspace(0, 1, 41)
    figures = []
    for g in range(2):
        own, mine = score[group == g], label[group == g]
        cuts = [*np.unique(own), np.inf]
        rates = np.array([[(own >= t).mean(), (own[mine == 1] >= t).mean()] for t in cuts])
        hits = np.array([np.sum(mine == (own >= t)) for t in cuts])
        rate = rates[:, 0 if notion == "demographic_parity" else 1]
        pairs = list(itertools.combinations(range(len(cuts)), 2))
        mixed = [(s * rate[i] + (1 - s) * rate[j], s * hits[i] + (1 - s) * hits[j]) for i, j in pairs for s in shares]
        figures.append(np.array(mixed))
    (rate_a, hit_a), (rate_b, hit_b) = figures[0].T, figures[1].T
    within = np.abs(rate_a[:, None] - rate_b) <= bound + 1e-12
    best = np.max(np.where(within, hit_a[:, None] + hit_b, 0)) / 14
    assert best <= accuracy + 1e-9  # the program's optimum is one of all mixtures
    assert accuracy <= best + 0.05  # and the grid comes near


@pytest.mark.parametrize("notion", ["demographic_parity", "equalized_odds"])
def test_thresholds_against_fairlearn(notion):
    """The same optimum at bound 0, which is all that fairlearn's ThresholdOptimizer knows; it searches a grid."""

    class Known(BaseEstimator):
        def fit(self, x, y):
            self.fitted_ = True
            return self

        def predict(self, x):
            return np.asarray(x)[:, 0]

    score, label, group = invented(1500, 2, apart=1.5)
    rule = optimal(score, label, 1 - label, group, BLOCKS[notion], 2, [0.0, 0.05, 1.0])
    accuracy, gap = judged(rule[0], score, label, group, BLOCKS[notion])
    theirs = ThresholdOptimizer(
        estimator=Known().fit(None, None),
        constraints=notion,
        objective="accuracy_score",
        prefit=True,
        predict_method="predict",
    ).fit(score[:, None], label, sensitive_features=group)
    accept = theirs._pmf_predict(score[:, None], sensitive_features=group)[:, 1]
    reached = np.mean(label * accept + (1 - label) * (1 - accept))
    assert gap < 1e-7
    assert reached - 1e-6 <= accuracy <= reached + 3e-3
    more = [judged(own, score, label, group, BLOCKS[notion]) for own in rule]
    assert more[0][0] < more[1][0] < more[2][0]  # a looser bound costs less
    assert 0.049 < more[1][1] <= 0.05 + 1e-7


def test_a_group_without_data_has_the_usual_threshold():
    score, label, _ = invented(30, 3)
    rule = optimal(score, label, 1 - label, np.zeros(30, int), [("all", (0, 1))], 2, [0.0])[0]
    assert rule.accept(np.array([-0.1, 0.0, 0.1]), np.ones(3, int)).tolist() == [0, 0, 1]


# Training -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def run(folder):
    data = people()
    own = ct.demographic_parity(data.attributes["group"])
    asked = {"bounds": [0.05, 0.2], "seeds": 2, "settings": SETTINGS, "out": folder}
    assert faro.frontier(data, own, **asked).baselines is None
    made = faro.frontier(data, own, **asked, baselines=True)
    again = faro.frontier(data, own, **asked, baselines=True)
    assert again.reused and list(again.baselines["seed"]) == [str(seed) for seed in made.baselines["seed"]]
    return data, own, made


@pytest.mark.slow
def test_a_finished_run_gets_its_baselines_without_training_again(run, folder):
    _, _, made = run
    written = pd.read_csv(folder / "baselines.csv")
    assert np.allclose(written["dev_gap"], made.baselines["dev_gap"])
    assert "<h2>Baselines</h2>" in (folder / "report.html").read_text("utf-8")
    assert (folder / "report.html").stat().st_mtime_ns >= (folder / "baselines.csv").stat().st_mtime_ns
    assert (folder / "manifest.json").stat().st_mtime_ns < (folder / "hypervolume.csv").stat().st_mtime_ns


def parts(data, coded, names=("train", "selection")) -> Data:
    rows = {"train": ("train", "dual"), "selection": ("selection",)}
    return Data(*(data.choices(coded.coding, data.rows(rows[name], 0)) for name in names))


@pytest.mark.slow
def test_a_penalty_of_nothing_is_the_unconstrained_member(run):
    """First-order steps end where the member is, which has seen the selection part too; a penalty does not."""
    data, own, made = run
    free = made.models[0]
    ridge = Ridge.read(free.about["ridge"])
    one = jax.tree.map(lambda leaf: np.asarray(leaf)[None], parts(data, free)._replace(ridge=ridge))
    prices = np.array([0.0, 5.0], np.float32)
    plain = jax.tree.map(lambda leaf: np.full(2, leaf, np.float32), own)
    penalties = Penalised(constraint=plain, price=prices)
    settings = Settings(steps=400, primal="sqp")  # of the run: baselines have no quadratic programs
    found = baselines.train(models.Linear(), settings, own, penalties, np.array([0]), one)

    def loss(params):
        train = jax.tree.map(lambda leaf: leaf[0], one.train)
        punished = float(ridge.punishment(models.Linear(), params))
        return float(faro.metrics.nll(models.rewards(models.Linear(), params, train), train)) + punished

    free, unpriced, priced = [
        loss(params) for params in (free.params, *({k: v[0, i] for k, v in found.items()} for i in (0, 1)))
    ]
    assert free - 2e-3 <= unpriced < free + 1e-4 and free + 5e-3 < priced


@pytest.mark.slow
def test_group_dro_helps_the_group_that_loses_most():
    """A large and a small group with opposite labels: the mean serves the large one."""
    rng = np.random.default_rng(8)
    n = 600
    small = np.arange(n) % 10 == 0
    x = rng.normal(size=n)
    chosen = ((np.where(small, -1, 1) * x + 0.7 + 0.3 * rng.logistic(size=n)) > 0).astype(int)
    choices = applicants(small.astype(int), chosen, np.ones(n)).replace(items=x[:, None, None].astype(np.float32))
    choices = jax.tree.map(np.asarray, choices)
    own = ct.demographic_parity(GROUP)
    one = jax.tree.map(lambda leaf: np.asarray(leaf)[None], Data(choices, choices))
    mean = Penalised(
        constraint=ct.demographic_parity(GROUP, bound=np.ones(1, np.float32)), price=np.zeros(1, np.float32)
    )
    robust = WorstGroup(who=own.who, ascent=np.array([0.1, 1], np.float32))
    found = [
        baselines.train(models.Linear(), Settings(steps=150), own, objectives, np.array([0]), one)
        for objectives in (mean, robust)
    ]
    found = jax.tree.map(lambda *leaves: np.concatenate(leaves, 1), *found)
    worst = []
    for r in range(3):
        params = jax.tree.map(lambda leaf, r=r: leaf[0, r], found)
        losses = np.asarray(faro.metrics.log_losses(models.rewards(models.Linear(), params, choices), choices))
        worst.append(max(losses[small].mean(), losses[~small].mean()))
    assert worst[1] < worst[0] - 0.1 and worst[2] < worst[0] - 0.1


# The table ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_table_of_a_run(run):
    _, _, made = run
    table = made.baselines
    assert list(dict.fromkeys(table["baseline"])) == ["thresholds", "reweighting", "penalty", "group_dro"]
    assert (table["uses_group"] == (table["baseline"] == "thresholds")).all()
    thresholds = table[table["baseline"] == "thresholds"]
    assert sorted(set(thresholds["setting"])) == [0.05, 0.2]
    assert (thresholds["train_gap"] <= thresholds["setting"] + 1e-7).all()
    own = table[table["baseline"] == "penalty"].pivot(index="setting", columns="seed", values="train_gap")
    assert (own.loc[5.0] < 0.5 * own.loc[0.02]).all()  # a high price closes the gap
    assert (table["dev_accuracy_low"] < table["dev_accuracy_high"]).all()
    for name in ("dev_accuracy", "dev_gap"):  # rows come as two seeds and their mean
        assert np.allclose(table[name][2::3], (table[name][::3].to_numpy() + table[name][1::3].to_numpy()) / 2)


@pytest.mark.slow
def test_thresholds_are_judged_on_people_by_hand(run):
    """Accuracy and gap of a row of the table again: scores and rates by numpy, decisions by fairlearn's definition."""
    data, _, made = run
    table = made.baselines.set_index(["baseline", "setting", "seed"])
    scored = made.models[0].score(data)
    train, dev = (scored[scored["part"].isin(names)] for names in (["train", "dual"], ["dev"]))
    group = (train["group"] == "b").to_numpy(int)
    label = train["label"].to_numpy(float)
    rule = optimal(train["reward"].to_numpy(), label, 1 - label, group, BLOCKS["demographic_parity"], 2, [0.05])[0]
    accuracy, gap = judged(
        rule,
        dev["reward"].to_numpy(),
        dev["label"].to_numpy(float),
        (dev["group"] == "b").to_numpy(int),
        BLOCKS["demographic_parity"],
    )
    row = table.loc[("thresholds", 0.05, 0)]
    assert (row["dev_accuracy"], row["dev_gap"]) == pytest.approx((accuracy, gap), abs=1e-6)


@pytest.mark.slow
def test_ahead_of_the_run_at_the_same_gap(run):
    """A baseline that is a point of the run is not ahead of it; one that is right about everybody is."""
    data, own, made = run
    sure = bootstrap.measure(made, data, own, draws=100)
    point = sure.trials[sure.trials["seed"] == "mean"].iloc[0]
    row = {"dev_gap": point["dev_gap"], "dev_accuracy": point["dev_accuracy"]}
    equal = baselines._ahead(made, sure, [each.accuracy[0] for each in sure.draws.values()], row)
    assert equal["ahead"] <= 1e-12 and equal["ahead_low"] <= 1e-12
    perfect = baselines._ahead(made, sure, [np.ones(100)] * 2, row | {"dev_accuracy": 1.0})
    assert perfect["ahead_low"] > 0.05
    assert baselines._ahead(made, sure, [np.ones(100)] * 2, {"dev_gap": -1.0, "dev_accuracy": 1.0}) == {}


def test_what_is_not_defined_says_so():
    data = faro.load("demo")
    one = ct.demographic_parity(data.attributes["dialect"])
    rows = data.rows("dev", 0)
    choices = data.choices(data.fit_coding(rows), rows)
    assert "no threshold" in baselines.undefined(one, [choices])
    assert "needs one constraint of parity" in baselines.undefined(ct.Stack(members=(one, one)), [choices])
    assert "needs one constraint of parity" in baselines.undefined(ct.rate_cap(GROUP), [choices])
    assert "needs one constraint of parity" in baselines.undefined(ct.reward_parity(GROUP), [choices])
