"""The demo: its exact frontier against simulation, and what the drawn data promise."""

from __future__ import annotations

import gzip
import json

import jax.numpy as jnp
import numpy as np
import pytest

from constraints import Argmax, decide, demographic_parity
from faro.data import demo, describe, listing, load
from faro.data.registry import GENERATED
from faro.errors import DataError, UsageError

BOUNDS = [0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5]


@pytest.fixture(scope="module")
def drawn():
    """Utilities and dialects of 2,000,000 pairs, drawn from the definition and not by `generate`."""
    rng = np.random.default_rng(7)
    n = 2_000_000
    community = (rng.random(n) < 0.25).astype(int)
    dialect = rng.integers(0, 2, (n, 2))
    x = rng.standard_normal((n, 2, 3))
    x[..., 0] += np.where(dialect == 0, demo.QUALITY_GAP / 2, -demo.QUALITY_GAP / 2)
    utility = (x * demo.BETA[community][:, None]).sum(-1) + demo.GAMMA[community][:, None] * dialect
    return utility[:, 0] - utility[:, 1], dialect


def measure(difference, dialect, first):
    """(gap, expected accuracy) of decisions `first` on simulated pairs."""
    decision = np.stack([first, 1 - first], 1)
    rate = [decision[dialect == level].mean() for level in (0, 1)]
    truth = 1 / (1 + np.exp(-difference))
    return rate[0] - rate[1], (first * truth + (1 - first) * (1 - truth)).mean()


@pytest.mark.parametrize("shift", [0.0, 0.4, 1.0, 1.6, 2.5])
def test_quadrature_against_simulation(drawn, shift):
    difference, dialect = drawn
    population = demo.Population()
    first = (difference + shift * (dialect[:, 0] - dialect[:, 1]) > 0).astype(float)
    gap, accuracy = measure(difference, dialect, first)
    assert population.gap(shift) == pytest.approx(gap, abs=0.0015)  # about 3 standard errors
    assert population.accuracy(shift) == pytest.approx(accuracy, abs=0.0006)


def test_more_nodes_change_nothing():
    for shift in (0.0, 1.5):
        fine, coarse = demo.Population(nodes=800), demo.Population()
        assert coarse.accuracy(shift) == pytest.approx(fine.accuracy(shift), abs=1e-12)


def test_frontier_is_monotone_and_tight():
    population = demo.Population()
    frontier = population.frontier(BOUNDS)
    assert ((np.diff(frontier) >= 0).all() and frontier[-1] == frontier[-2]) or frontier[-1] > frontier[-2]
    assert population.frontier(0.9)[0] == population.accuracy(0.0)
    for bound in (0.0, 0.02, 0.1, 0.2):
        assert population.gap(population.shift(bound)) == pytest.approx(bound, abs=1e-10)


def test_the_trade_is_visible():
    population = demo.Population()
    assert 0.25 < population.gap() < 0.4 and 0.75 < population.accuracy() < 0.8
    assert 0.03 < population.accuracy() - population.frontier(0.0)[0] < 0.06


def test_no_shift_by_community_does_better():
    """Rules whose shift differs between the communities fall below the frontier."""
    population = demo.Population()
    rng = np.random.default_rng(0)
    mean, spread = population.advantage, population.spread
    for _ in range(60):
        shifts = rng.uniform(0, 3, 2)
        gap, accuracy = 0.0, 0.0
        for c in range(2):
            same = 2 * population._integral(0.0, spread[c], 0.0, 12 * spread[c], 1.0)
            a = population._integral(mean[c], spread[c], shifts[c], mean[c] + 12 * spread[c], 1.0)
            b = population._integral(mean[c], spread[c], mean[c] - 12 * spread[c], shifts[c], -1.0)
            accuracy += demo.SHARE[c] * (same + a + b) / 2
            gap += demo.SHARE[c] * (demo._normal_cdf((mean[c] - shifts[c]) / spread[c]) - 0.5)
        assert accuracy <= population.frontier(abs(gap))[0] + 1e-12


def test_demo_is_as_declared():
    data = load("demo")
    assert (data.n, data.k, len(set(data.units.tolist()))) == (12_000, 2, 2_000)
    assert data.digest == load("demo").digest and data.population == demo.Population()
    minority = data.parsed.attributes["community"][:, 0] == 1
    assert minority.mean() == 0.25
    dialect = data.parsed.attributes["dialect"]
    assert abs(dialect.mean() - 0.5) < 0.02
    quality = data.parsed.items.numeric["quality"]
    assert quality[dialect == 0].mean() - quality[dialect == 1].mean() == pytest.approx(0.5, abs=0.05)
    coding = data.fit_coding(data.rows("train"))
    assert coding.items.names == ("quality", "clarity", "brevity", "dialect=A", "dialect=B")
    assert coding.context.names == ("community=majority", "community=minority")
    choices = data.choices(coding, twins=("dialect",))
    assert choices.twins["dialect"].items.shape == (12_000, 2, 2, 5) and bool(choices.twins["dialect"].valid.all())


def test_fresh_sample_knows_the_truth():
    population = demo.Population()
    sample = population.dataset(60_000)
    assert sample.n == 60_000 and sample.schema == load("demo").schema and sample.digest != load("demo").digest
    truth = sample.parsed.chosen
    assert truth.max() < 1
    best = truth.max(1).mean()
    assert best == pytest.approx(population.accuracy(), abs=0.003)
    coding = load("demo").fit_coding()
    choices = sample.choices(coding)
    np.testing.assert_allclose(choices.chosen, truth, atol=1e-6)
    features = sample.parsed.items
    community = sample.parsed.attributes["community"][:, 0]
    x = np.stack([features.numeric[name] for name in demo.FEATURES], -1)
    utility = np.einsum("nkf,nf->nk", x, demo.BETA[community])
    utility += demo.GAMMA[community][:, None] * sample.parsed.attributes["dialect"]
    np.testing.assert_allclose(truth[:, 0], 1 / (1 + np.exp(utility[:, 1] - utility[:, 0])), atol=1e-12)


def test_drawn_labels_follow_the_probabilities():
    soft, hard = demo.generate(2000, 5, soft=True), demo.generate(2000, 5)
    assert soft.drop(columns="chosen").equals(hard.drop(columns="chosen"))
    assert abs((soft["chosen"] - hard["chosen"])[::2].mean()) < 0.015
    strong = soft["chosen"] > 0.8
    assert hard["chosen"][strong].mean() == pytest.approx(soft["chosen"][strong].mean(), abs=0.02)


def test_describe_is_plain_and_adds_up():
    record = describe("demo")
    assert json.loads(json.dumps(record)) == record
    assert record["choices"] == 12_000 and record["rows"] == 24_000 and record["units"] == 2_000
    assert sum(part["choices"] for part in record["parts"].values()) == 12_000
    dialect, community = record["attributes"]
    assert sum(level["count"] for level in dialect["levels"]) == 24_000
    assert dialect["levels"][0]["base_rate"] > 0.55 > 0.45 > dialect["levels"][1]["base_rate"]
    assert [level["units"] for level in community["levels"]] == [1_500, 500]
    for attribute in record["attributes"]:
        for level in attribute["levels"]:
            assert sum(level["parts"].values()) == level["count"]


def test_names_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.delenv("FARO_DATA", raising=False)
    monkeypatch.setenv("FARO_CACHE", str(tmp_path))
    with pytest.raises(DataError, match="run: faro data fetch adult"):
        load("adult")
    with pytest.raises(UsageError, match=r"demo, .*swissmetro, immigration, adult, compas"):
        load("adlut")
    with pytest.raises(UsageError, match="needs a schema"):
        load(demo.generate(5, 0))
    with pytest.raises(UsageError, match="brings its own schema"):
        load("demo", demo.SCHEMA)
    assert [record["name"] for record in listing() if record["present"]] == list(GENERATED)
    (tmp_path / "t.csv").write_text("a\n1\n")
    with pytest.raises(UsageError, match="needs a schema"):
        load(tmp_path / "t.csv")
    frame = demo.generate(60, 0)
    frame.to_csv(tmp_path / "d.csv.gz", index=False)
    assert load(tmp_path / "d.csv.gz", demo.SCHEMA).digest == load(frame, demo.SCHEMA).digest


@pytest.mark.slow
def test_the_library_measures_the_same_gap():
    """The best rule for a bound, read by the library's own demographic parity on a fresh sample."""
    population = demo.Population()
    sample = population.dataset(60_000, seed=3)
    choices = sample.choices(sample.fit_coding())
    truth = sample.parsed.chosen
    utility = np.log(np.clip(truth, 1e-300, 1))
    for bound in (1.0, 0.1, 0.02):
        rewards = utility + population.shift(bound) * sample.parsed.attributes["dialect"]
        outcome = decide(Argmax(), jnp.asarray(rewards, jnp.float32), choices)
        constraint = demographic_parity(sample.attributes["dialect"], bound)
        gap = float(constraint.gap(constraint.statistics(outcome, choices))[0])
        assert gap == pytest.approx(min(bound, population.gap()), abs=0.006)
        accuracy = float((choices.chosen * outcome.decisions).sum(1).mean())
        assert accuracy == pytest.approx(population.frontier(bound)[0], abs=0.003)


def test_a_file_that_is_not_the_published_table(tmp_path):
    for name, content in {"compas/compas_two_years.csv.gz": "id,age\n1,20\n", "adult/adult_train.csv.gz": ""}.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(gzip.compress(content.encode()))
    (tmp_path / "adult/adult_test.csv.gz").write_bytes(b"cut")
    with pytest.raises(DataError, match=r"is not the published table.*faro data fetch compas"):
        load("compas", root=tmp_path)
    with pytest.raises(DataError, match="adult_train"):
        load("adult", root=tmp_path)
