"""The real data sets: the counts that their sources state, and the traps that they warn of."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from constraints import check_choices
from faro.data import describe, listing, load
from faro.data.registry import NAMES
from tests.builders import encoders

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    encoders.install(cache)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FARO_CACHE", str(cache))
        yield {name: load(name) for name in ("swissmetro", "immigration", "adult", "compas", "polarized-issues")}


def levels(data, name):
    """Level -> number of alternatives that carry it."""
    codes = data.parsed.attributes[name]
    return {level: int((codes == i).sum()) for i, level in enumerate(data.attributes[name].levels)}


def people(data, name):
    """Level -> number of units, of a chooser's attribute."""
    codes = data.parsed.attributes[name].max(1)
    return {level: len(set(data.units[codes == i])) for i, level in enumerate(data.attributes[name].levels)}


@pytest.mark.parametrize(
    ("name", "n", "k", "units"),
    [
        ("swissmetro", 10_719, 3, 1_191),
        ("immigration", 6_980, 2, 1_396),
        ("adult", 48_842, 2, 48_842),
        ("compas", 6_172, 2, 6_172),
        ("polarized-issues", 16_771, 2, 922),
    ],
)
def test_sizes(sets, name, n, k, units):
    data = sets[name]
    assert (data.n, data.k, len(set(data.units.tolist())), data.dropped) == (n, k, units, 0)
    coding = data.fit_coding(data.rows("train"))
    check_choices(data.choices(coding, twins=[twin.attribute for twin in data.schema.twins]))
    record = describe(data)
    assert json.loads(json.dumps(record)) == record
    assert record["choices"] == n and record["licence"] and record["traps"]
    assert data.defaults["attribute"] in data.attributes


def test_all_are_listed(real_data):
    records = {record["name"]: record for record in listing()}
    assert tuple(records) == NAMES and all(record["present"] for record in records.values())
    assert records["adult"]["where"] == str(real_data)


def test_swissmetro(sets):
    data = sets["swissmetro"]
    assert levels(data, "mode") == {"Train": 10_719, "Swissmetro": 10_719, "Car": 10_719 - 1_683}
    chosen = data.parsed.chosen.sum(0)
    np.testing.assert_array_equal(chosen, [1_423, 6_216, 3_080])
    assert people(data, "gender") == {"female": 297, "male": 894}  # person 199, dropped, is a woman
    assert people(data, "income")["50k to 100k"] == 416 and people(data, "age")["over 65"] == 90
    free = data.parsed.context.categorical["rail_pass"].values() == "yes"
    cost = data.parsed.items.numeric["cost"]
    assert free.sum() == 1_521 - 9 and (cost[free, :2] == 0).all() and (cost[~free, :2] > 0).all()
    assert (cost[free & data.parsed.available[:, 2], 2] > 0).all()
    assert (data.parsed.items.numeric["headway"][:, 2][data.parsed.available[:, 2]] == 0).all()
    choices = data.choices(data.fit_coding(), twins=("gender",))
    assert choices.twins["gender"].context.shape == (10_719, 2, choices.context.shape[1])
    assert "not causal" in data.schema.twin("gender").origin


def test_immigration(sets):
    data = sets["immigration"]
    assert levels(data, "Gender") == {"Female": 7_130, "Male": 6_830}
    country = levels(data, "CountryOfOrigin")
    assert (min(country.values()), max(country.values()), len(country)) == (1_324, 1_442, 10)
    experience = data.parsed.items.categorical["JobExperience"].values()
    assert (experience == "None").sum() == 3_434
    assert "JobExperience=None" in data.fit_coding(data.rows("train")).items.names
    groups = people(data, "ethnocentrism")
    assert sum(groups.values()) == 1_396 - 246
    mixed = data.parsed.attributes["Gender"]
    assert (mixed[:, 0] != mixed[:, 1]).sum() == 3_514
    origin = data.parsed.attributes["CountryOfOrigin"]
    assert (origin[:, 0] != origin[:, 1]).sum() == 6_251


def test_immigration_twins_respect_the_design(sets):
    data = sets["immigration"]
    choices = data.choices(data.fit_coding(), twins=("Gender", "CountryOfOrigin"))
    assert bool(choices.twins["Gender"].valid.all())
    valid = np.asarray(choices.twins["CountryOfOrigin"].valid)
    fleeing = data.parsed.items.categorical["ReasonForApplication"].values() == "Escape Persecution"
    countries = data.attributes["CountryOfOrigin"].levels
    four = np.isin(countries, ["China", "Sudan", "Somalia", "Iraq"])
    np.testing.assert_array_equal(valid[fleeing], np.broadcast_to(four, (fleeing.sum(), 10)))
    assert valid[~fleeing].all() and fleeing.sum() == 1_899
    factual = np.take_along_axis(valid, data.parsed.attributes["CountryOfOrigin"][..., None], -1)
    assert factual.all()  # what was shown is on support


def test_adult(sets):
    data = sets["adult"]
    assert levels(data, "sex") == {"Female": 16_192, "Male": 32_650} and levels(data, "race")["White"] == 41_762
    assert data.parsed.chosen[:, 0].sum() == 11_687
    names = data.fit_coding().items.names
    assert "workclass=(missing)" in names and "native-country=(missing)" in names
    assert not any(name.startswith(("sex", "race", "fnlwgt", "education=")) for name in names)
    assert (data.parsed.items.categorical["occupation"].values() == "(missing)").sum() == 2_809
    assert (data.parsed.weight == 1).all()
    parts = pd.Series(data.parts(0)).groupby(data.placement)
    assert parts.nunique().max() == 1 and data.n - parts.ngroups > 5_000


def test_compas(sets):
    data = sets["compas"]
    assert levels(data, "race") == {"African-American": 3_175, "Caucasian": 2_103}
    assert data.parsed.chosen[:, 0].sum() == 3_363  # 2,809 of 6,172 recidivated
    names = " ".join(data.fit_coding().items.names)
    assert not any(word in names for word in ("race", "score", "sex", "recid", "start", "event"))


def test_polarized_issues(sets):
    data = sets["polarized-issues"]
    assert people(data, "politics") == {"left": 342, "middle": 295, "right": 285}
    assert people(data, "topic") == {"campus_protests": 308, "foreign_intervention": 308, "right_to_assemble": 306}
    assert levels(data, "author_politics") == {"left": 14_735, "middle": 10_192, "right": 8_615}
    assert describe(data)["texts"][0]["texts"] == 3_321
    assert data.parsed.chosen[:, 0].sum() == 8_685 - 7  # votes for A, without those on pairs of one text
