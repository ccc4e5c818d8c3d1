"""People as they would be: whose earlier choices are set to a level, what that changes, and what cannot be set."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

import constraints as ct
import faro
from constraints.alternatives import joined
from faro import sweep
from faro.data import Dataset, Schema, load
from faro.data.draws import drawn, pool_of, questions_of, told
from faro.data.support import SupportRule, support_sets
from faro.errors import DataError, UsageError
from faro.models import predict, twin_predictions
from tests.builders import encoders
from tests.builders.history import GROUP, ORIGIN, SCHEMA, Recalls, table

RULE = SupportRule(3)


@pytest.fixture(scope="module")
def data():
    return Dataset.from_table(table(), Schema.from_dict(SCHEMA), name="people")


@pytest.fixture(scope="module")
def coding(data):
    return data.fit_coding(data.rows("train"))


def gap(data, coding, name, model):
    """Of all queries the largest share of decisions that a level changes, and how many are told nothing."""
    choices, people = data.choices(coding, twins=(name,)), support_sets(data, coding, RULE)
    before = {"people": people}
    own = joined(predict(model, {"taste": 1.0}, choices.replace(twins={}), **before).rewards)
    twins = twin_predictions(model, {"taste": 1.0}, choices, (name,), **before)[name].rewards
    return np.mean(np.argmax(own, 1)[:, None] != np.argmax(twins, 1), 0)


def test_who_reads_the_group_in_history_alone_has_no_direct_effect_and_all_of_it_through_history(data, coding):
    assert gap(data, coding, "group", Recalls()).max() == 0
    at_x, at_y = np.mean(table()["group"] == "y"), np.mean(table()["group"] == "x")  # set to x, it is y who change
    assert np.allclose(gap(data, coding, "group before", Recalls()), [at_x, at_y])


def test_the_past_is_the_persons_own_choices_with_the_level_set(data, coding):
    """As in a table in which the person is of the other group throughout."""
    people, size = support_sets(data, coding, RULE), len(set(table()["rater"]))
    assert len(people.weight) == 3 * size
    for block, level in ((1, "x"), (2, "y")):
        there = Dataset.from_table(table().assign(group=level), Schema.from_dict(SCHEMA), name="people")
        other = support_sets(there, coding, RULE)
        for field in ("items", "context", "available", "chosen", "weight"):
            old, new = (np.asarray(getattr(of, field)) for of in (people, other))
            assert np.array_equal(old[block * size : (block + 1) * size], new[:size]), field
    twin = data.choices(coding, twins=("group before",)).twins["group before"]
    assert np.array_equal(twin.unit, data.unit_codes[:, None] + size * np.array([1, 2]))


def test_a_step_tells_both_the_same_places(data, coding):
    """What is drawn for a person is drawn for the person at another level."""
    rows = data.rows("train")
    choices = data.choices(coding, rows, twins=("group before",))
    codes = np.concatenate([choices.unit, np.ravel(choices.twins["group before"].unit)])
    pool, questions = pool_of(data, coding, RULE, codes), questions_of(data, RULE, rows)
    mask = drawn(pool, jax.random.key(0))
    asked, people = told(pool, questions, choices, mask, RULE.k)
    there = asked.twins["group before"].unit
    assert (np.asarray(asked.unit) > 0).any() and (
        (np.asarray(asked.unit) == 0) == (np.asarray(there) == 0).all(1)
    ).all()
    for level in (0, 1):
        assert np.array_equal(people.items[asked.unit], people.items[there[:, level]])
        assert np.array_equal(people.weight[asked.unit], people.weight[there[:, level]])
        mine = np.asarray(people.weight[there[:, level]]) > 0
        assert (np.asarray(people.context)[there[:, level]][mine][:, level] == 1).all()


@pytest.mark.slow
def test_the_gap_of_training_is_the_count_of_the_scored_table(data):
    through = dataclasses.replace(GROUP, name="group before")
    made = ct.counterfactual_flip(through, 1.0)
    trained = sweep.train(data, made, model=Recalls(), settings=faro.Settings(steps=4, every=2))
    scored = trained.score(data, ["group", "group before"])
    asked = scored[scored["part"] == "dev"].pivot(index="choice", columns="alternative")
    counted = {}
    for name in ("group", "group before"):
        flips = []
        for level in ("x", "y"):
            first = [asked[column]["a"] > asked[column]["b"] for column in ("reward", f"reward:{name}={level}")]
            flips.append(np.mean((first[0] != first[1])[asked["group"]["a"] != level]))
        counted[name] = max(flips)
    assert counted == {"group": 0, "group before": trained.about["figures"]["dev_gap"]} and counted["group before"] == 1
    again = Schema.from_json(trained.schema.to_json())
    assert again == trained.schema and again.twin("group before").rewrites_history
    assert "history" not in again.to_dict()["twins"][0]
    kept = [{**twin, "history": "kept"} for twin in SCHEMA["twins"]]
    other = Dataset.from_table(table(), Schema.from_dict(SCHEMA | {"twins": kept}), name="other")
    with pytest.raises(DataError, match="history = 'kept' here, and 'rewritten' in training"):
        trained.twin_rewards(other, "group before")
    note = "twins of group before: earlier choices of the person are rewritten too (through history)"
    assert note in trained.about["notes"]


def test_somebody_is_rewritten_whole_or_not_at_all():
    """One text of one person is ambiguous, and she has no twin; words that nobody exchanges stay as they are."""
    rules = {"levels": ["x", "y"], "words": [["cat", "dog"], ["her", "him"], ["her", "his"]]}
    schema = {
        "format": "wide", "unit": "rater", "sides": ["a", "b"], "label": "first", "texts": [{"name": "said"}],
        "attributes": [{"name": "group", "levels": ["x", "y"], "chooser": True}],
        "twins": [{"attribute": "group", "rules": rules, "history": "rewritten"}],
    }  # fmt: skip
    frame = table(40, 6).drop(columns=["a_x", "b_x"])
    words = np.where(np.arange(len(frame)) % 2, "a mat", np.where(frame["group"] == "x", "the cat", "the dog"))
    frame["a_said"] = [f"{word} {row}" for row, word in enumerate(words)]
    frame["b_said"] = [f"no {row}" for row in range(len(frame))]
    frame.loc[8, ["a_said", "group"]] = ["it is her", "x"]  # the second person
    frame.loc[6:11, "group"] = "x"
    data = load(frame, schema)
    twin = data.choices(data.fit_coding(), twins=["group"]).twins["group"]
    mine = frame["rater"].to_numpy() == "r001"
    assert not np.asarray(twin.valid)[mine].any(1)[:, 1].any() and np.asarray(twin.valid)[~mine].all()
    assert "have no word to exchange and stay as they are, and 1 a word that could be several (her)" in data.notes[-1]
    everybody = frame.assign(a_said="it is her", b_said=[f"her {row}" for row in range(len(frame))])
    with pytest.raises(DataError, match="everybody has made a choice that has no twin"):
        every = load(everybody, schema)
        every.choices(every.fit_coding(), twins=["group"])


def test_what_has_no_history_is_refused():
    alone = [{**SCHEMA["attributes"][0], "chooser": False}]
    with pytest.raises(UsageError, match="history is of the person who chooses"):
        Schema.from_dict(
            SCHEMA | {"attributes": alone, "categorical": ["group"], "context_categorical": [], "twins": [
                {"attribute": "group", "origin": ORIGIN, "history": "rewritten"}]}
        )  # fmt: skip
    with pytest.raises(UsageError, match="a column names persons"):
        Schema.from_dict(SCHEMA | {"unit": "row"})
    twins = [{"attribute": "group", "origin": ORIGIN, "history": "forgotten"}]
    with pytest.raises(UsageError, match="history of the twins of 'group' is one of kept, rewritten; got 'forgotten'"):
        Schema.from_dict(SCHEMA | {"twins": twins})


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    encoders.install(tmp_path / "cache")
    monkeypatch.setenv("FARO_CACHE", str(tmp_path / "cache"))
