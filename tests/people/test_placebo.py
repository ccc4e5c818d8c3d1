"""Groups dealt at random: as large as before, a person whole, and nothing else moved."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import faro
from faro.errors import DataError, UsageError
from faro.people.placebo import placebo


def table():
    rng = np.random.default_rng(0)
    people, each = 60, 3
    group = np.where(np.arange(people) < 50, "A", "B").astype(object)
    group[:5] = "none"
    frame = pd.DataFrame({"u": np.repeat([f"p{i}" for i in range(people)], each), "g": np.repeat(group, each)})
    frame["a_x"], frame["b_x"] = rng.normal(size=(2, people * each))
    frame["y"] = rng.integers(0, 2, len(frame))
    schema = {
        "format": "wide", "unit": "u", "sides": ["a", "b"], "label": "y", "numeric": ["x"],
        "context_categorical": ["g"],
        "attributes": [
            {"name": "g", "levels": ["A", "B"], "chooser": True, "others": "exclude"},
            {"name": "side", "levels": ["l", "r"]},
        ],
    }  # fmt: skip
    return frame.assign(a_side="l", b_side="r"), schema


def test_groups_are_dealt_to_people_and_features_stay():
    data = faro.load(*table())
    dealt = placebo(data, "g")
    true, random = (own.parsed.attributes["g"][:, 0] for own in (data, dealt))
    people = dealt.units
    assert all(len(set(random[people == name])) == 1 for name in set(people))
    assert (np.bincount(true + 1) == np.bincount(random + 1)).all()  # who is in no group is as many
    assert (true != random).any()
    np.testing.assert_array_equal(dealt.frame["g"], data.frame["g"])  # the feature
    assert dealt.schema.context_categorical == data.schema.context_categorical
    np.testing.assert_array_equal(random, placebo(data, "g").parsed.attributes["g"][:, 0])
    assert (random != placebo(data, "g", seed=1).parsed.attributes["g"][:, 0]).any()


def test_what_is_no_group_of_people_is_refused():
    data = faro.load(*table())
    with pytest.raises(UsageError, match="attribute"):
        placebo(data, "h")
    with pytest.raises(DataError, match="expected a column's attribute of the chooser"):
        placebo(data, "side")
