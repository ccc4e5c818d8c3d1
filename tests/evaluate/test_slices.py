"""Figures in slices are those of everybody at once, and slices hold every choice once."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import constraints as ct
from faro import models
from faro.data import Dataset, demo
from faro.data.slices import Slices
from faro.data.views import View
from faro.evaluate import trials
from faro.training import Settings
from faro.training.returned import Solution


@pytest.fixture(scope="module")
def data() -> Dataset:
    return Dataset.from_table(demo.generate(100, seed=3), demo.SCHEMA, name="small", defaults=demo.DEFAULTS)


@pytest.mark.parametrize("most", [1, 7 * 2 + 2, 200, 10**6])
def test_slices_hold_every_choice_once(data, most):
    coding = data.fit_coding()
    rows = np.random.default_rng(0).permutation(data.n)[:50]
    sources = [(data, rows), (data, rows[:9])]
    slices = Slices.of(sources, coding, {"dtype": np.float32}, most)
    for own in (slices, slices.padded(slices.length + 30, len(slices) + 1)):
        given = list(own)
        assert len(given) == len(own)
        assert {jax.tree.map(np.shape, part) == jax.tree.map(np.shape, own.shape) for part in given} == {True}
        joined = jax.tree.map(lambda *leaves: np.concatenate(leaves), *given)
        expected = data.choices(coding, np.concatenate([rows, rows[:9]]))
        jax.tree.map(np.testing.assert_array_equal, joined.take(slice(59)), expected)
        assert not joined.weight[59:].any()


@pytest.mark.slow
def test_figures_do_not_depend_on_slices(data, monkeypatch):
    constraint, model = ct.demographic_parity(data.attributes["dialect"]), models.Linear()
    views = [View.of(data, seed) for seed in range(1)]
    params = jax.tree.map(
        lambda leaf: np.random.default_rng(1).normal(size=(1, 2, 2, *leaf.shape)),
        models.initial(model, jax.random.key(0), data.choices(views[0].coding)),
    )
    weights = np.array([[[1.0, 0.0], [0.25, 0.75]]])
    found = []
    for block in (trials.BLOCK, 1000):
        monkeypatch.setattr(trials, "BLOCK", block)
        evaluator = trials.Evaluator(data, constraint, model, Settings(), views)
        assert (len(evaluator.all_parts[0][0]) > 1) == (block == 1000)
        evaluator.ahead()
        found.append(evaluator.figures(Solution(params, weights)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14), *found)
