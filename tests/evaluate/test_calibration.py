"""`faro calibrate`: figures counted again by hand, scales by an independent solver, and the law of base rates."""

from __future__ import annotations

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import constraints as ct
from constraints import Twin
from faro import metrics, models
from faro.data import Dataset
from faro.errors import DataError, UsageError
from faro.evaluate import calibration
from faro.evaluate.calibration import Read, Scale
from faro.store.frontier import Frontier
from faro.store.model import load_model
from tests.builders import runs

GROUP = ct.Attribute("g", ("a", "b"))


def accepted(n=6000, seed=0, slopes=(0.4, 2.0), constants=(0.5, -0.7)) -> Read:
    """Accept or reject by group, whose rewards are off by a slope and a constant each."""
    rng = np.random.default_rng(seed)
    reward, group = rng.normal(size=n), rng.integers(0, 2, n)
    true = np.array(slopes)[group] * reward + np.array(constants)[group]
    took = rng.random(n) < 1 / (1 + np.exp(-true))
    inside = np.tile([True, False], (n, 1))
    return Read(
        np.stack([reward, np.zeros(n)], 1), np.ones((n, 2), bool), inside, np.stack([took, ~took], 1).astype(float),
        rng.uniform(0.5, 2, n), np.stack([group, np.full(n, -1)], 1), ("a", "b"), np.arange(n),
    )  # fmt: skip


def test_a_scale_by_group_is_the_logistic_regression_of_each_and_a_temperature_that_of_all():
    some = accepted()
    own = calibration.fit(some, True)
    for code in range(2):
        here = some.group[:, 0] == code
        logit = LogisticRegression(C=1, tol=1e-10)  # the same shrinkage, but towards a slope of 0
        reward, took = some.rewards[here, :1], some.chosen[here, 0]
        logit.fit(reward, took, some.weight[here])
        assert own.slope[code] == pytest.approx(logit.coef_[0, 0], abs=5e-3)
        assert own.constant[code] == pytest.approx(logit.intercept_[0], abs=5e-3)
    assert own.slope[2] == 1 and own.constant[2] == 0  # of no group: nobody
    alone = LogisticRegression(C=1e6, tol=1e-10, fit_intercept=False)
    alone.fit(some.rewards[:, :1], some.chosen[:, 0], some.weight)
    assert calibration.fit(some, False).slope[0] == pytest.approx(alone.coef_[0, 0], abs=2e-3)


def test_a_planted_temperature_is_found_among_several_alternatives():
    rng = np.random.default_rng(1)
    rewards, n = rng.normal(size=(8000, 4)), 8000
    there = np.ones((n, 4), bool)
    there[::3, 3] = False
    scores = np.where(there, rewards / 2.5 + rng.gumbel(size=(n, 4)), -np.inf)
    chosen = np.eye(4)[scores.argmax(1)]
    some = Read(rewards, there, there, chosen, np.ones(n), np.zeros((n, 4), int), ("a",), np.arange(n))
    assert 1 / calibration.fit(some, False).slope[0] == pytest.approx(2.5, rel=0.05)


def test_figures_are_what_pandas_counts():
    dev = accepted(400, 2)
    own = Scale(np.array([1.0]), np.array([0.0]))
    probabilities, decisions = calibration._said(own, dev)
    figures = calibration._figures(dev, probabilities, decisions)
    table = pd.DataFrame({"g": dev.group[:, 0], "p": probabilities[:, 0], "y": dev.chosen[:, 0], "w": dev.weight})
    table["d"] = (table["p"] > 0.5) * 1.0
    rates = {
        name: table.groupby("g").apply(lambda t, name=name: (t[name] * t["w"]).sum() / t["w"].sum()) for name in "pyd"
    }
    gaps = {name: of.max() - of.min() for name, of in rates.items()}
    assert [figures[f"{of}_gap"] for of in ("probability", "base", "decision")] == pytest.approx([*gaps.values()])
    errors = [metrics.ece(*(table.loc[table["g"] == g, name].to_numpy() for name in "pyw")) for g in (0, 1)]
    assert figures["worst_ece"] == pytest.approx(max(errors)) and figures["worst"] == "ab"[int(np.argmax(errors))]
    assert figures["least_gap"] == pytest.approx(max(0, gaps["y"] - sum(errors)))
    loss = -(table["w"] * np.log(np.where(table["y"] == 1, table["p"], 1 - table["p"]))).sum() / table["w"].sum()
    assert figures["nll"] == pytest.approx(loss)
    assert figures["accuracy"] == pytest.approx((table["w"] * (table["d"] == table["y"])).sum() / table["w"].sum())
    assert figures["worst_ece"] > 1.7 * figures["chance_ece"]  # the rewards are off; and if they are not:
    honest = calibration._figures(dev, *calibration._said(Scale(np.array([0.4, 2, 1]), np.array([0.5, -0.7, 0])), dev))
    assert honest["worst_ece"] < 1.4 * honest["chance_ece"]


def test_no_gap_of_probabilities_is_below_that_of_labels_less_both_errors():
    rng, dev = np.random.default_rng(3), accepted(300, 4)
    slack = []
    for _ in range(50):
        own = Scale(rng.normal(size=3) * 2, rng.normal(size=3) * 2)
        figures = calibration._figures(dev, *calibration._said(own, dev))
        slack.append(figures["probability_gap"] - figures["least_gap"])
    assert min(slack) > -1e-12
    base = [
        np.average(dev.chosen[dev.group[:, 0] == code, 0], weights=dev.weight[dev.group[:, 0] == code])
        for code in (0, 1)
    ]
    logits = np.log(base) - np.log1p(-np.array(base))
    rates = calibration._figures(dev, *calibration._said(Scale(np.zeros(3), np.append(logits, 0)), dev))
    assert rates["probability_gap"] == pytest.approx(rates["least_gap"])  # the base rates themselves attain it


def test_the_baseline_has_one_cost_in_all_groups_and_stays_calibrated():
    some = accepted(20_000, 5)
    own = calibration.fit(some, True)
    twice, probabilities, decisions = calibration._equal_cost(some, some, own)
    assert twice.weight.sum() == pytest.approx(some.weight.sum())
    costs = []
    for code in range(2):
        mine = twice.weight * twice.chosen[:, 0] * (twice.group[:, 0] == code)
        costs.append(mine @ (1 - probabilities[:, 0]) / mine.sum())
    assert costs[0] == pytest.approx(costs[1], abs=1e-6)
    before = calibration._figures(some, *calibration._said(own, some))
    after = calibration._figures(twice, probabilities, decisions)
    assert after["worst_ece"] < 0.03 and after["nll"] > before["nll"] and after["accuracy"] < before["accuracy"]


# The model ------------------------------------------------------------------------------------------------------------


def choices(n=50):
    rng = np.random.default_rng(0)
    items = rng.normal(size=(n, 3, 2))
    group = np.where(np.arange(3) == 2, -1, rng.integers(0, 2, (n, 3)))
    out = np.zeros((n, 3), bool)
    out[:, 2] = True
    own = ct.make_choices(
        items[:, :2], rng.integers(0, 3, n), attributes={"g": group}, outside=out, available=out | True
    )
    levels = np.stack([items[:, :2] + shift for shift in (-0.5, 0.5)], 2)
    return own.replace(twins={"g": Twin(valid=jnp.ones((n, 3, 2), bool), items=jnp.asarray(levels))})


@dataclasses.dataclass(frozen=True)
class Probable(models.Linear):
    """The linear model, said as probabilities of its own."""

    def apply(self, params, choices):
        rewards = super().apply(params, choices)
        every = jnp.concatenate([rewards, jnp.zeros((len(rewards), 1))], 1)
        return models.Prediction(rewards, ct.log_softmax(every, choices.available))


@pytest.mark.parametrize("inner", [models.Linear(), Probable()], ids=["rewards", "probabilities"])
def test_scores_are_scaled_by_group_and_twins_by_the_group_they_are_set_to(inner, x64):
    some, own = choices(), models.Calibrated(inner, GROUP)
    params = own.init(jax.random.key(0), models.InputSpec.of(some))
    params["model"] = jax.tree.map(lambda leaf: leaf + 0.3, params["model"])
    params |= {"slope": jnp.array([0.5, 2.0, 1.0]), "constant": jnp.array([0.1, -0.4, 0.0])}
    plain = models.rewards(models.Linear(), params["model"], some)
    group = np.asarray(some.attributes["g"])
    wanted = np.where(
        np.arange(3) < 2, np.asarray(params["slope"])[group] * plain + np.asarray(params["constant"])[group], 0
    )
    seen = models.predict(own, params, some)
    scores = np.asarray(jnp.stack([jnp.squeeze(one, 0) for one in seen.scores], 1))
    assert np.allclose(ct.log_softmax(scores, some.available), ct.log_softmax(wanted, some.available), atol=1e-12)
    moved = models.twin_predictions(own, params, some, ("g",))["g"].rewards
    for level in range(2):
        at_level = models.rewards(
            models.Linear(), params["model"], some.replace(items=some.twins["g"].items[:, :, level])
        )
        scaled = params["slope"][level] * at_level[:, :2] + params["constant"][level]
        assert np.allclose(moved[:, :2, level], scaled, atol=1e-12)


# The command ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return runs.invented(tmp_path_factory.mktemp("runs"), runs.people(900))


@pytest.mark.slow
def test_a_run_is_measured_and_its_page_says_so(folder, faro):
    told = ("--data", folder.parent / "people.csv")
    code, out, err = faro("calibrate", folder, *told)
    assert code == 0, err
    assert max(map(len, out.splitlines())) <= 80 and "by chance" in out
    figures = Frontier.load(folder)
    table = pd.read_csv(folder / "calibration.csv")
    one = table[(table["seed"] == "0") & np.isinf(table["bound"])].set_index("calibration")
    dev = figures.table[(figures.table["seed"] == 0) & np.isinf(figures.table["bound"])].iloc[0]
    assert one.loc["as trained", "accuracy"] == pytest.approx(dev["dev_accuracy"])
    assert one.loc["temperature", "accuracy"] == pytest.approx(dev["dev_accuracy"])
    assert set(table["calibration"]) == {"as trained", "temperature", "by group", "equal cost"}
    assert (table["probability_gap"] >= table["least_gap"] - 1e-12)[table["seed"] != "mean"].all()
    curves = pd.read_csv(folder / "reliability.csv")
    assert curves["chosen"].between(curves["chosen_low"] - 1e-9, curves["chosen_high"] + 1e-9).all()
    page = (folder / "report.html").read_text()
    assert "As probabilities" in page and "probability of an alternative" in page
    code, out, _ = faro("calibrate", folder, *told, "--json")
    assert code == 0 and len(json.loads(out)) == len(table)


def test_a_calibrated_model_is_a_model(folder, faro, tmp_path):
    data = folder.parent / "people.csv"
    model = folder / "models" / "bound00-seed0.json"
    out = tmp_path / "calibrated.json"
    code, said, err = faro("calibrate", model, "--data", data, "--by-group", "--attribute", "group", "--out", out)
    assert code == 0 and "slope" in said and "certify" in err
    before, after = load_model(model), load_model(out)
    table = Dataset.from_table(data, runs.schema(), name="people.csv")
    first, second = before.score(table), after.score(table)
    slope, constant = (np.asarray(after.params[name], float) for name in ("slope", "constant"))
    code_of = first["group"].map({"a": 0, "b": 1, "": 2}).to_numpy()
    assert np.allclose(second["reward"], slope[code_of] * first["reward"] + constant[code_of], atol=1e-6)
    assert after.about["calibration"] == "by group: group"
    assert after.about["notes"][-1].endswith("status and figures are from before")
    assert (tmp_path / "calibrated.units.txt").read_text() == (folder / "models" / "seed0.units.txt").read_text()
    code, said, err = faro("calibrate", model, "--data", data, "--out", tmp_path / "warm.json")
    assert code == 0 and "temperature" in said
    assert (load_model(tmp_path / "warm.json").score(table)["decision"] == first["decision"]).all()


def test_what_cannot_be_is_refused_in_a_line(folder, faro, tmp_path):
    model = folder / "models" / "bound00-seed0.json"
    for words, reason in (
        (("calibrate", folder, "--out", tmp_path / "x.json"), "of one model"),
        (("calibrate", model), "expected --data"),
        (
            ("calibrate", folder, "--data", folder.parent / "people.csv", "--attribute", "height"),
            "unknown attribute 'height'",
        ),
    ):
        code, out, err = faro(*words)
        assert code == 2 and out == "" and err.count("\n") == 1 and reason in err
    table = Dataset.from_table(folder.parent / "people.csv", runs.schema(), name="people.csv")
    with pytest.raises(DataError, match="other data than the model was trained on"):  # whom no list of people has
        calibration.calibrated(load_model(model), table.frame.iloc[:-1])
    with pytest.raises(UsageError, match="says what was chosen"):
        calibration.read(load_model(model), table.frame.drop(columns="hired"), "group")
