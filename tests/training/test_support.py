"""A model that reads earlier choices, trained on support that is drawn anew at every step."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import faro
from faro.errors import DataError
from tests.builders.support import SCHEMA, Follows, opposed

pytestmark = pytest.mark.slow


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
