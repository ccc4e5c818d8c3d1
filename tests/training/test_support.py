"""A model that reads earlier choices, trained on support that is drawn anew at every step."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import faro
from faro.errors import DataError
from faro.models import Model


@dataclasses.dataclass(frozen=True)
class Follows(Model):
    """The direction in which the person chose before."""

    support: int = 4

    def init(self, key, spec):
        return {"common": jnp.zeros(spec.items.shape[-1]), "follow": jnp.zeros(())}

    def apply(self, params, choices, *, people):
        before = jax.tree.map(lambda leaf: leaf[choices.unit], people)
        liked = jnp.einsum("nskd,nsk,ns->nd", before.items, before.chosen - 1 / 2, before.weight)
        return jnp.einsum("nkd,nd->nk", choices.items, params["common"] + params["follow"] * liked)


def opposed(people: int = 120, each: int = 10) -> pd.DataFrame:
    """Half of the people want what the other half does not, so nothing common predicts anything."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(people), each)
    first, second = rng.normal(size=(2, len(person)))
    likes = np.where(person % 2, 4, -4) * (first - second) + rng.logistic(size=len(person)) > 0
    table = {"rater": [f"r{p}" for p in person], "group": np.where(person % 3, "x", "y"), "first": likes.astype(int)}
    return pd.DataFrame(table | {"a_x": first, "b_x": second})


pytestmark = pytest.mark.slow
SCHEMA = {
    "format": "wide", "unit": "rater", "sides": ["a", "b"], "label": "first", "numeric": ["x"],
    "attributes": [{"name": "group", "levels": ["x", "y"], "chooser": True}],
}  # fmt: skip


@pytest.fixture(scope="module")
def trained():
    settings = {"steps": 60, "batch": 200, "weight_decay": 0.0}
    data = faro.load(opposed(), SCHEMA)
    return data, faro.frontier(data, "equal_opportunity", attribute="group", bounds=[0.3], seeds=1, model=Follows(),
                               settings=settings)  # fmt: skip


def test_taste_that_nobody_shares_is_read_from_support(trained):
    _, run = trained
    figures = run.models[-1].about["figures"]
    assert figures["dev_accuracy"] > 0.7  # the aggregate is a coin
    assert float(run.models[-1].params["follow"]) > 0.2
    assert set(run.manifest["traced"].values()) == {1}  # drawn on the device: nothing is traced twice


def test_a_support_longer_than_in_training_and_a_table_of_strangers(trained):
    """New people are read with their own choices; places beyond what somebody has weigh nothing."""
    _, run = trained
    model = run.models[-1]
    strangers = opposed(people=6, each=3).assign(rater=lambda own: "new " + own["rater"])
    scored = model.score(strangers)
    assert (scored["part"] == "support").sum() == 2 * 2 * 6  # two of three choices, and two alternatives each
    longer = dataclasses.replace(model, model=Follows(support=9))
    assert np.isfinite(longer.rewards(opposed())).all()
    alone = model.score(strangers.iloc[:1])  # one row: nobody has support, and it is asked
    assert not (alone["part"] == "support").any() and np.isfinite(alone["reward"]).all()
    with pytest.raises(DataError, match="no column says what was chosen"):
        model.score(strangers.drop(columns="first"))
    with pytest.raises(DataError, match="in training it was none"):
        model.score(faro.load(strangers.assign(at=1), SCHEMA | {"order": "at"}))
