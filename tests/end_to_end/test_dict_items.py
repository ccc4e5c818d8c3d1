"""A model that reads tokens, a mask, coded features and who is asked: from a table and its arrays to a scored table."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import constraints as ct
import faro
from benchmarks import wide_features
from faro import models
from faro.data import Dataset, Schema
from faro.store.model import load_model

WORDS, TALL, LONG = 50, 400, 5
SCHEMA = Schema.from_dict(
    {
        "format": "wide",
        "unit": "who",
        "numeric": ["length"],
        "categorical": ["style"],
        "unit_index": True,
        "arrays": [
            {"name": "tokens", "file": "tokens.npy", "index": "row", "raw": True},
            {"name": "mask", "file": "mask.npy", "index": "row", "raw": True},
            {"name": "embedding", "file": "embedding.npy", "index": "row"},
        ],
        "attributes": [{"name": "style", "levels": ["A", "B"]}],
        "twins": [{"attribute": "style", "origin": "exchanged"}],
    }
)


@dataclasses.dataclass(frozen=True)
class Bag(models.Model):
    """The mean of the words' values, weighted features, and what each known person thinks of the length."""

    def init(self, key, spec):
        d = spec.items["features"].shape[-1]
        return {"words": 0.1 * jax.random.normal(key, (WORDS,)), "features": jnp.zeros(d), "people": jnp.zeros(60)}

    def apply(self, params, choices):
        items = choices.items
        assert jnp.issubdtype(items["tokens"].dtype, jnp.integer) and items["mask"].dtype == bool
        mask = items["mask"].astype(params["words"].dtype)
        words = (params["words"][items["tokens"]] * mask).sum(-1) / jnp.maximum(mask.sum(-1), 1)
        own = jnp.where(choices.unit_index >= 0, params["people"][choices.unit_index], 0)
        return words + items["features"] @ params["features"] + own[:, None] * items["features"][..., 0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """pairs.csv and three arrays."""
    where = tmp_path_factory.mktemp("tokens")
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, WORDS, (TALL, LONG)).astype("<i4")
    mask = np.arange(LONG) < rng.integers(1, LONG + 1, TALL)[:, None]
    value = (np.linspace(-4, 4, WORDS)[tokens] * mask).sum(1) / mask.sum(1)
    pair = rng.integers(0, TALL, (500, 2))
    won = rng.random(500) < 1 / (1 + np.exp(value[pair[:, 1]] - value[pair[:, 0]]))
    pair = np.where(won[:, None], pair, pair[:, ::-1])
    table = {"who": [f"r{number}" for number in rng.integers(0, 60, 500)]}
    for side, rows in zip(("chosen", "rejected"), pair.T, strict=True):
        table |= {f"{side}_row": rows, f"{side}_length": mask[rows].sum(1)}
        table |= {f"{side}_style": np.array(["A", "B"])[(value[rows] > 0.5).astype(int)]}
    np.save(where / "tokens.npy", tokens)
    np.save(where / "mask.npy", mask)
    np.save(where / "embedding.npy", rng.normal(size=(TALL, 8)).astype("<f2"))
    pd.DataFrame(table).to_csv(where / "pairs.csv", index=False)
    return where


@pytest.mark.slow
def test_tokens_masks_and_people_train_are_saved_and_score(folder, tmp_path):
    data = faro.load(folder / "pairs.csv", SCHEMA)
    style = data.attributes["style"]
    settings = faro.Settings(steps=40, every=10)
    model = faro.train(data, constraint=ct.demographic_parity(style), bound=0.1, model=Bag(), settings=settings)
    assert model.about["figures"]["train_accuracy"] > 0.6
    path = model.save(tmp_path / "bag")
    assert path.stat().st_size < wide_features.BARS["json"] / 2
    after = load_model(path, Bag())
    assert after.coding == model.coding and after.coding.units.size == len(set(data.units))
    scored = model.score(folder / "pairs.csv", twins=["style"])
    pd.testing.assert_frame_equal(after.score(folder / "pairs.csv", twins=["style"]), scored)
    # a part of the table, in another order: the same people, so the same rewards
    frame = data.frame.iloc[np.random.default_rng(1).permutation(500)[:77]]
    part = Dataset.from_table(frame, SCHEMA, folder=folder)
    own = dict(zip(zip(scored["choice"], scored["alternative"], strict=True), scored["reward"], strict=True))
    rewards = model.rewards(part)
    expected = [[own[str(row + 1), side] for side in ("chosen", "rejected")] for row in frame.index]
    np.testing.assert_allclose(rewards, expected, rtol=1e-12, atol=1e-12)
    people = np.asarray(model.params["people"])
    known = set(model.coding.units.codes(data.units).tolist()) - {-1}
    assert np.count_nonzero(people) and set(np.flatnonzero(people)) <= known


def test_what_the_benchmark_generates_is_read(tmp_path):
    """Of `python -m benchmarks wide_features`, small; the sweep itself takes too long for this suite."""
    wide_features.generate(tmp_path, 400, 64)
    data = faro.load(tmp_path / "pairs.csv", tmp_path / "schema.toml")
    coding = data.fit_coding(data.rows("train"))
    items = data.choices(coding).items
    assert items.shape == (400, 2, 64) and 0.9 < items.std() < 1.1
    assert len(str(coding.to_dict())) < 200
