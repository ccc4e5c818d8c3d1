"""Who takes whose place: pairs that share nobody and stay in their part; what is exchanged, and what is not."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import faro
from constraints import ANOTHER
from constraints.alternatives import joined
from faro.data import Dataset, Schema
from faro.data.coding import Coding
from faro.data.exchange import pair_names, partners
from faro.data.split import assign
from faro.data.support import SupportRule, support_sets
from faro.errors import DataError, UsageError
from faro.models import Prediction, predict, twin_predictions

SCHEMA = {
    "format": "wide", "unit": "person", "sides": ["left", "right"], "label": "won", "numeric": ["clarity"],
    "context_categorical": ["town", "topic"], "context_numeric": ["age"], "crossed": "",
    "attributes": [{"name": "dialect", "levels": ["A", "B"]}],
}  # fmt: skip


def table(people=101, choices=6, seed=0):
    rng = np.random.default_rng(seed)
    n = people * choices
    person = np.repeat(np.arange(people), choices)
    frame = pd.DataFrame({"person": [f"p{p:03}" for p in person], "won": rng.integers(0, 2, n)})
    for side in ("left", "right"):
        frame[f"{side}_clarity"] = rng.normal(size=n)
        frame[f"{side}_dialect"] = rng.choice(["A", "B"], n)
    frame["town"] = np.array(["x", "y", "z"])[rng.integers(0, 3, people)][person]
    frame["age"] = rng.integers(20, 80, people).astype(float)[person]
    frame["topic"] = rng.choice(["u", "v"], n)  # of what is asked
    return frame


@pytest.fixture(scope="module")
def data():
    schema = {key: value for key, value in SCHEMA.items() if value != ""}
    return Dataset.from_table(table(), Schema.from_dict(schema), name="people")


@pytest.mark.parametrize("seed", range(3))
def test_pairs_share_nobody_and_stay_in_their_part(data, seed):
    partner = partners(data, seed)
    there = np.flatnonzero(partner >= 0)
    assert (partner[partner[there]] == there).all() and (partner[there] != there).all()
    codes, first = np.unique(data.unit_codes, return_index=True)
    part = np.empty(len(partner), int)
    part[codes] = assign(data.placement, seed)[first]
    assert (part[there] == part[partner[there]]).all()
    alone = np.bincount(part, partner < 0)
    assert set(alone) <= {0, 1} and (np.bincount(part) % 2 == alone).all()
    names = pd.Series(pair_names(data, seed)).groupby(data.unit_codes).nunique()
    assert (names == 1).all()
    of_pair = pd.Series(data.unit_codes).groupby(pair_names(data, seed)).nunique()
    assert of_pair.max() == 2 and (of_pair == 1).sum() == (partner < 0).sum()


def test_no_order_of_rows_and_no_other_part_moves_a_pair(data):
    shuffled = Dataset.from_table(table().sample(frac=1, random_state=3), data.schema, name="people")
    names = dict(zip(data.units, pair_names(data, 0), strict=True))
    assert names == dict(zip(shuffled.units, pair_names(shuffled, 0), strict=True))
    gate = [unit for unit, part in zip(data.units, assign(data.placement, 0), strict=True) if part == 4]
    other = dict(zip(data.units, pair_names(data, 1), strict=True))
    assert {names[unit] for unit in gate} == {other[unit] for unit in gate} and names != other


def test_a_partner_brings_what_is_of_people_and_leaves_what_is_asked(data):
    coding = dataclasses.replace(data.fit_coding(data.rows("train")), seed=0)
    assert set(coding.people or ()) == {"town", "age"}
    rows = data.rows("dev")
    choices = data.choices(coding, rows, twins=(ANOTHER,))
    twin, partner = choices.twins[ANOTHER], partners(data, 0)
    assert np.array_equal(
        np.asarray(twin.unit)[:, 0], np.where(partner[choices.unit] < 0, choices.unit, partner[choices.unit])
    )
    names = coding.context.names
    whole = data.choices(coding)
    first = {unit: row for row, unit in reversed(list(enumerate(data.unit_codes)))}
    theirs = np.asarray(whole.context)[[first[unit] for unit in np.asarray(twin.unit)[:, 0]]]
    for column, name in enumerate(names):
        own = name.startswith("topic")
        expected = np.asarray(choices.context)[:, column] if own else theirs[:, column]
        assert np.array_equal(np.asarray(twin.context)[:, 0, column], expected), name
    assert not np.array_equal(np.asarray(twin.context)[:, 0], np.asarray(choices.context))
    one = data.choices(coding, rows[5:6], twins=(ANOTHER,)).twins[ANOTHER]  # whichever rows are read
    assert np.array_equal(one.context, np.asarray(twin.context)[5:6]) and one.unit == np.asarray(twin.unit)[5]


def test_what_is_of_people_is_known_from_training(data):
    """Else what is asked would be taken for theirs where a table asks everybody one thing, and exchanged with them."""
    coding = data.fit_coding(data.rows("train"))
    once = Dataset.from_table(table().drop_duplicates("person"), data.schema, name="once")
    asked = table().groupby(["person", "topic"]).head(2).drop_duplicates(["person", "age"], keep="last")
    alike = Dataset.from_table(pd.concat([asked, asked]), data.schema, name="alike")  # one topic a person
    assert "topic" in alike.of_people
    read = Coding.from_dict(coding.to_dict(), coding.arrays())
    topic = [name.startswith("topic") for name in coding.context.names]
    for own in (once, alike):
        choices = own.choices(read, twins=(ANOTHER,))
        kept = np.asarray(choices.context)[:, topic]
        np.testing.assert_array_equal(choices.twins[ANOTHER].context[:, 0, topic], kept)
    with pytest.raises(DataError, match="nobody made two choices, so which of age, town, topic are of people"):
        once.choices(once.fit_coding(), twins=(ANOTHER,))
    for wrong in ("topic", ["nothing"]):
        with pytest.raises(ValueError, match="names of context features"):
            Coding.from_dict({**coding.to_dict(), "people": wrong}, coding.arrays())


@dataclasses.dataclass(frozen=True)
class Remembers(faro.models.Model):
    """The mean clarity of what the person chose before, times that of an alternative."""

    support: int = 2

    def init(self, key, spec):
        return {"weight": np.ones(())}

    def apply(self, params, choices, *, people):
        chosen = (people.items[..., 0] * people.chosen[..., : people.items.shape[2]]).sum(-1) * people.weight
        return Prediction(params["weight"] * choices.items[..., 0] * jnp.asarray(chosen.sum(-1))[choices.unit][:, None])


def test_the_partner_is_read_by_the_partners_earlier_choices(data):
    """The twin's rewards are those that the model gives the same alternatives with the partner as their unit."""
    coding = data.fit_coding(data.rows("train"))
    choices = data.choices(coding, data.rows("dev"), twins=(ANOTHER,))
    people = support_sets(data, coding, SupportRule(2, ""))
    model, params = Remembers(), {"weight": np.ones(())}
    said = twin_predictions(model, params, choices, (ANOTHER,), people=people)[ANOTHER].rewards
    partner = partners(data, 0)[choices.unit]
    there = partner >= 0
    direct = predict(
        model, params, choices.replace(twins={}, unit=np.where(there, partner, choices.unit)), people=people
    )
    assert np.allclose(np.asarray(said)[there, :, 0], _side(direct)[there])
    assert not np.allclose(_side(predict(model, params, choices.replace(twins={}), people=people)), _side(direct))


def _side(seen):
    return np.asarray(joined(seen.rewards))


def test_refusals(data):
    without = ("context_categorical", "context_numeric", "crossed")
    alone = Schema.from_dict({key: value for key, value in SCHEMA.items() if key not in without})
    plain = Dataset.from_table(table(), alone, name="people")
    served_alike = faro.train(plain, "person_exchange", bound=0.1, settings={"steps": 10})
    assert served_alike.about["figures"]["train_gap"] == 0 and served_alike.about["status"] == "FEASIBLE"
    assert any("0 by construction" in note for note in served_alike.about["notes"])
    by_row = Schema.from_dict({key: value for key, value in SCHEMA.items() if value != ""} | {"unit": "row"})
    rows = Dataset.from_table(table(), by_row, name="rows")
    with pytest.raises(DataError, match="no column names persons"):
        faro.train(rows, "person_exchange", bound=0.1, settings={"steps": 10})
    twins = [{"attribute": "group", "origin": "the model's input exchanged"}]
    groups = {
        **alone.to_dict(),
        "attributes": [{"name": "group", "levels": ["a", "b"], "chooser": True}],
        "twins": twins,
    }
    frame = table().assign(group=lambda own: np.where(own["person"] < "p050", "a", "b"))
    with pytest.raises(UsageError, match="bound by person_exchange"):
        Dataset.from_table(frame, Schema.from_dict(groups), name="grouped")
    with pytest.raises(UsageError, match="leave out --stream"):
        faro.train(plain, "person_exchange", bound=0.1, stream=2, settings={"steps": 10})
