"""What a game returns: planted iterates whose best mixture is known, and a randomised model saved, drawn and judged."""

import dataclasses

import jax
import numpy as np
import pandas as pd
import pytest

import constraints as ct
import faro
from faro import models
from faro.cli import main
from faro.errors import DataError, UsageError
from faro.store.draw import Draw
from faro.training import Best, Data, Settings
from faro.training.returned import choose

GROUP = ct.Attribute("g", ("a", "b"))


def planted():
    """Accept or reject by one feature per iterate: iterate t accepts shares (p_a, p_b) of the groups."""
    n = 400
    group = np.repeat([0, 1], n // 2)
    rank = np.tile(np.arange(n // 2), 2) / (n // 2)
    accepts = [(0.8, 0.2), (0.4, 0.6), (0.6, 0.3)]  # signed gaps .6, -.2, .3
    features = np.stack([np.where(group == 0, a, b) - rank - 1e-3 for a, b in accepts], -1)
    items = np.zeros((n, 2, 3))
    items[:, 0] = features
    outside = np.tile([False, True], (n, 1))
    codes = np.stack([group, np.full(n, -1)], 1)
    return ct.make_choices(
        items.astype(np.float64), np.zeros(n, int), outside=outside, attributes={"g": codes}, unit=np.arange(n)
    )


def atoms_of(solution, member):
    """The atoms that are there, `[A, ...]`, and their weights."""
    there = np.flatnonzero(solution.weights[0, member])
    params = jax.tree.map(lambda leaf: leaf[there], solution.components(0, member))
    return params, solution.weights[0, member][there]


def chosen(solution, bound=0.1, constraint=None):
    choices = planted()
    iterates = {"intercept": np.zeros((1, 1, 3)), "item": 5 * np.eye(3)[None, None]}
    first = jax.tree.map(
        lambda leaf: np.concatenate([leaf[:, :, 2], leaf[:, :, 2]], 1), iterates
    )  # the best one: t = 2
    constraint = (constraint or ct.demographic_parity(GROUP)).at(bound)
    best = Best(first, *[np.ones((1, 2))] * 6)
    settings = Settings(solution=solution)
    data = [Data(choices, choices)]
    return choose(models.Linear(), [constraint], settings, data, best, iterates)


def test_a_mixture_is_within_the_bound_where_no_iterate_is(x64):
    """Signed gaps .6, -.2 and .3 have no iterate within .1, but mixtures; at most m + 1 = 3 atoms, gap exactly .1."""
    params, weights = atoms_of(chosen("mixture"), 1)
    gaps = {0: 0.6, 1: -0.2, 2: 0.3}
    signed = sum(w * gaps[int(np.argmax(item))] for w, item in zip(weights, params["item"], strict=True))
    assert weights.sum() == pytest.approx(1, abs=1e-12) and 2 <= len(weights) <= 3
    assert abs(signed) <= 0.1 and abs(signed) == pytest.approx(0.1, abs=1e-3)
    assert len(atoms_of(chosen("mixture"), 0)[1]) == 1  # the unconstrained member is one model


def test_a_bound_that_no_mixture_meets_gets_the_nearest(x64):
    """Only positive gaps, .3 at least: all weight on that iterate, which is there twice."""
    choices = planted()
    iterates = {"intercept": np.zeros((1, 1, 2)), "item": 5 * np.eye(3)[None, None, [0, 2]]}
    best = Best(jax.tree.map(lambda leaf: np.concatenate([leaf[:, :, 1]] * 2, 1), iterates), *[np.ones((1, 2))] * 6)
    constraint = ct.demographic_parity(GROUP, 0.1)
    found = choose(
        models.Linear(), [constraint], Settings(solution="mixture"), [Data(choices, choices)], best, iterates
    )
    params, weights = atoms_of(found, 1)
    assert all(np.argmax(item) == 2 for item in params["item"]) and weights.sum() == pytest.approx(1)


def test_last_and_average(x64):
    params, weights = atoms_of(chosen("last"), 1)
    assert np.argmax(params["item"][0]) == 2 and weights.tolist() == [1]
    params, weights = atoms_of(chosen("average"), 1)
    assert len(weights) == 3 and weights == pytest.approx(np.full(3, 1 / 3))


def test_rows_that_are_not_linear_in_rates_are_refused(x64):
    with pytest.raises(UsageError, match="not linear in rates"):
        chosen("mixture", 0.1, ct.rate_ratio(GROUP))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixture")
    settings = {"solution": "mixture", "steps": 120, "primal": "adam"}  # whose iterates straddle the bound
    return folder, faro.frontier("demo", bounds=[0.03], seeds=1, settings=settings, out=folder)


def gap(scored):
    rows = scored[scored["part"].isin(["train", "dual"]) & (scored["dialect"] != "")]
    rates = rows.groupby("dialect")["decision"].mean()
    return rates.max() - rates.min()


@pytest.mark.slow
def test_a_saved_mixture_is_judged_by_its_expected_decisions(run):
    folder, made = run
    model, data = faro.load_model(folder / made.table["model"][1]), faro.load("demo")
    assert made.table["status"][1] == "FEASIBLE" and len(model.draw.weights) > 1
    assert gap(model.score(data, expected=True)) == pytest.approx(made.table["train_gap"][1], abs=1e-9)
    assert faro.load_model(folder / made.table["model"][0]).draw is None
    assert (
        main(["score", str(folder / made.table["model"][1]), "demo", "--expected", "--out", str(folder / "s.csv")]) == 0
    )
    assert pd.read_csv(folder / "s.csv")["decision"].between(0.001, 0.999).any()


@pytest.mark.slow
def test_a_damaged_draw_is_refused(run):
    folder, made = run
    made.models[1].save(folder / "copy")
    text = (folder / "copy.json").read_text()
    first = str(made.models[1].draw.weights[0])
    for wrong in ("0.99", "-1", '"many"'):
        (folder / "copy.json").write_text(text.replace(first, wrong))
        with pytest.raises(DataError):
            faro.load_model(folder / "copy")


@pytest.mark.slow
def test_the_draw_is_by_unit_repeatable_and_has_its_weights(run):
    _, made = run
    data, model = faro.load("demo"), made.models[1]
    alone = [
        dataclasses.replace(model, params=jax.tree.map(lambda leaf, j=j: leaf[j], model.params), draw=None)
        for j in range(len(model.draw.weights))
    ]
    drawn = model.draw.components(data)
    each = np.stack([own.rewards(data) for own in alone])
    np.testing.assert_array_equal(model.rewards(data), each[drawn, np.arange(data.n)])
    by_unit = pd.Series(drawn).groupby(data.units)
    assert (by_unit.nunique() == 1).all()
    share = by_unit.first().value_counts(normalize=True).reindex(range(len(alone))).to_numpy()
    n = by_unit.ngroups
    assert np.all(np.abs(share - model.draw.weights) < 4 * np.sqrt(0.25 / n))
    other = dataclasses.replace(model.draw, seed=1)
    assert np.any(other.components(data) != drawn)
    by_choice = Draw(model.draw.weights, 0, "choice").components(data)
    assert (pd.Series(by_choice).groupby(data.units).nunique() > 1).any()
