"""Nearest neighbours: against sums by hand, on kinds of people that no feature tells apart, and what is refused."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy import special

import constraints as ct
import faro
from faro.data import Schema
from faro.data.support import QUERY, SupportRule, roles, support_rows
from faro.data.vocabulary import Vocabulary
from faro.errors import DataError, UsageError
from faro.evaluate import calibration
from faro.models import Calibrated, InputSpec, Linear, Neighbours, PersonConstants
from faro.models.neighbours import contents
from faro.people import neighbours

from ..builders.opinions import SCHEMA, votes

SUPPORT = 6


def trained(frame, model="linear"):
    data = faro.load(frame, SCHEMA)
    settings = {"steps": 60, "weight_decay": 1e-3}
    return data, faro.train(data, attribute="theme", bound=float("inf"), model=model, settings=settings)


@pytest.fixture(scope="module")
def fitted():
    data, base = trained(votes())
    return data, base, neighbours.fit(base, data, SUPPORT)


def test_what_is_added_is_that_by_hand(fitted):
    data, base, own = fitted
    frame = data.frame
    said, worth = own.rewards(data)[:, 0], own.about["neighbours"]
    plain = base.rewards(data)[:, 0]
    residual = frame["agree"].to_numpy() - special.expit(plain)
    train = data.rows(["train", "dual"], base.about["seed"])
    memory = {}
    for row in train:
        memory.setdefault(data.units[row], {})[frame["statement"][row]] = residual[row]
    told = support_rows(data, SupportRule(SUPPORT, ""))
    queries = np.flatnonzero(roles(data, SupportRule(SUPPORT, "")) == QUERY)
    assert worth["near"] > 1
    for row in queries[::40]:
        mine = {frame["statement"][s]: residual[s] for s in told[data.unit_codes[row]] if s >= 0}
        asked, near, size, crowd, count = frame["statement"][row], 0.0, 0.0, 0.0, 0
        for theirs in memory.values():
            if asked not in theirs:
                continue
            crowd, count = crowd + theirs[asked], count + 1
            both = sorted(set(mine) & set(theirs))
            if not both:
                continue
            a, b = (np.array([of[i] for i in both]) for of in (mine, theirs))
            like = a @ b / np.sqrt(a @ a * (b @ b)) * len(both) / (len(both) + worth["shrink"])
            near, size = near + like * theirs[asked], size + abs(like)
        expected = plain[row] + worth["near"] * near / (1 + size) + worth["crowd"] * crowd / (1 + count)
        np.testing.assert_allclose(said[row], expected, rtol=1e-5, atol=1e-5)


def test_kinds_that_no_feature_tells_apart_are_known_by_their_answers(fitted):
    """Right nearly as often as labels allow, on new people, where the model is nearly a coin; by dealt answers not."""
    data, base, own = fitted
    rule = SupportRule(SUPPORT, "")
    rows = np.intersect1d(data.rows("dev", base.about["seed"]), np.flatnonzero(roles(data, rule) == QUERY))
    agree = data.frame["agree"].to_numpy()

    def right(model, table):
        return np.mean((model.rewards(table)[rows, 0] > 0) == agree[rows])

    assert right(own, data) > 0.8 and right(base, data) < 0.7
    frame = data.frame.copy()  # the answers of everybody turned: likeness is that with the other kind
    rng = np.random.default_rng(3)
    support = np.flatnonzero(roles(data, rule) != QUERY)
    frame.loc[support, "agree"] = rng.permutation(frame["agree"].to_numpy()[support])
    assert right(own, faro.load(frame, SCHEMA)) < 0.7


def test_saved_loaded_dropped_and_unknown_questions(fitted, tmp_path):
    data, base, own = fitted
    own.save(tmp_path / "own")
    again = faro.load_model(tmp_path / "own.json")
    assert again.model == own.model == Neighbours(Linear(), SUPPORT, (own.people, 24, 1)) and own.people > 100
    np.testing.assert_array_equal(again.rewards(data), own.rewards(data))
    assert "what" in (tmp_path / "own.json").read_text().partition('"personal_data"')[2][:20]
    plain = base.rewards(data)
    np.testing.assert_allclose(own.without_people().rewards(data), plain, atol=1e-12)
    assert own.without_people().people == 0
    with pytest.raises(UsageError, match="nothing to drop"):
        own.without_people().without_people()
    nobody = dataclasses.replace(own.coding, units=Vocabulary.of(np.array(["p1"]), 1, "salt").forgotten())
    assert dataclasses.replace(own, coding=nobody).people == own.people  # codes are dropped, answers are not
    strange = data.frame.assign(x=data.frame["x"] + 0.001)
    np.testing.assert_allclose(own.rewards(strange), base.rewards(strange), atol=1e-12)
    scored = own.score(data)
    assert set(scored["role"]) == {"query", "support"}


def test_who_serves_a_model_says_the_attributes_that_it_reads(fitted):
    """And no others: groups are of training. Without its group nobody would be given the scale of no group."""
    data, base, own = fitted
    without = data.frame.drop(columns="theme")
    by_theme = calibration.calibrated(base, data, "theme")
    assert by_theme.model.reads == ("theme",) and own.model.reads == ()
    for model, frame in ((own, without), (base, without), (base, without.drop(columns="agree"))):
        scored = model.score(frame)
        assert "theme" not in scored
        np.testing.assert_allclose(scored["reward"], model.score(data)["reward"], atol=1e-12)
        with pytest.raises(DataError, match="no column 'theme', which the model reads"):
            by_theme.score(frame)
    with pytest.raises(DataError, match="no attribute 'theme', which the model reads"):
        by_theme.score(faro.load(without, SCHEMA.replace(attributes=(), types={})))


def test_a_question_is_told_by_arrays_that_the_model_does_not_read():
    """Statements that differ in their tokens alone; how far these are padded does not matter."""
    tokens = np.zeros((24, 3), np.int32)
    tokens[:, 0], tokens[:, 1] = np.arange(24) // 5 + 1, np.arange(24) % 5
    arrays = [{"name": "tokens", "raw": True, "index": "statement"}]
    alike = votes(people=60).assign(x=0.5)
    data = faro.load(alike, {**SCHEMA.to_dict(), "arrays": arrays}, arrays={"tokens": tokens})
    choices = data.choices(data.fit_coding())
    longer = {**choices.items, "tokens": np.pad(choices.items["tokens"], [(0, 0), (0, 0), (0, 4)])}
    for one, other in zip(contents(choices, ()), contents(choices.replace(items=longer), ()), strict=True):
        np.testing.assert_array_equal(one, other)
        assert len(np.unique(one, axis=0)) == 24


@pytest.mark.slow
def test_memory_grows_with_people_and_not_with_pairs_of_them():
    """20,000 people who are asked beside 15,000 who answered: likenesses of all at once would be 1.1 GiB."""
    model, choices = Neighbours(Linear(), 10, (15_000, 50, 2)), ct.make_choices(np.zeros((2, 2, 3), np.float32), [0, 1])

    def many(*lead):
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((*lead, *leaf.shape[1:]), leaf.dtype), choices)

    params = jax.eval_shape(lambda: model.init(jax.random.key(0), InputSpec.of(choices)))
    program = jax.jit(model.heard).lower(params, many(8000), many(20_000, 10)).compile()
    assert program.memory_analysis().temp_size_in_bytes < 2**28


@pytest.mark.slow
def test_alternatives_in_another_order_are_the_same_question():
    """Pairs: whoever is shown the sides exchanged has the same neighbours, and in the world of a twin that changes
    nothing what they said is not lost."""
    base, rng = votes(people=160, seed=1), np.random.default_rng(1)
    frame = base.rename(columns={"x": "left_x", "agree": "won", "theme": "left_theme"})
    other = rng.normal(size=24)[base["statement"]]
    frame = frame.assign(right_x=other, right_theme=np.where(base["statement"] % 3, "a", "b"))
    schema = Schema.from_dict({
        "format": "wide", "unit": "person", "sides": ["left", "right"], "label": "won", "numeric": ["x"],
        "attributes": [{"name": "theme", "levels": ["a", "b"]}], "categorical": ["theme"],
        "twins": [{"attribute": "theme", "origin": "the letter exchanged"}],
    })  # fmt: skip
    data = faro.load(frame, schema)
    free, settings = float("inf"), {"steps": 40, "weight_decay": 1e-3}
    model = faro.train(data, attribute="theme", bound=free, settings=settings)
    own = neighbours.fit(model, data, SUPPORT)
    said, worth = own.rewards(data), own.about["neighbours"]
    assert worth["near"] > 0.5 and np.abs(np.diff(said - model.rewards(data))).max() > 0.3
    sides = {"left_x": "right_x", "right_x": "left_x", "left_theme": "right_theme", "right_theme": "left_theme"}
    turned = frame.rename(columns=sides).assign(won=1 - frame["won"])
    np.testing.assert_allclose(own.rewards(turned)[:, ::-1], said, atol=1e-6)
    scored = own.score(data, ["theme"])
    as_it_is = np.where(scored["theme"] == "a", scored["reward:theme=a"], scored["reward:theme=b"])
    np.testing.assert_allclose(as_it_is, scored["reward"], atol=1e-6)
    reads = faro.train(data, attribute="theme", bound=free, model=PersonConstants(support=4), settings=settings)
    both = neighbours.fit(reads, data)
    assert both.model.support == 4 and both.about["neighbours"]["near"] > 0.5
    choices = np.exp(both.score(data)["reward"].to_numpy().reshape(-1, 2)).sum(
        1
    )  # probabilities of its own add up to 1
    np.testing.assert_allclose(choices, 1, atol=1e-6)


@pytest.mark.slow
def test_what_is_refused(fitted):
    data, base, own = fitted
    around = dataclasses.replace(own, model=Calibrated(own.model))
    groups = dataclasses.replace(base, model=Calibrated(base.model, data.attributes["theme"]))
    for made, table, support, words in (
        (own, data, 6, "has a memory"),
        (around, data, 6, "has a memory"),
        (groups, data, 6, "the model reads theme, which earlier choices do not tell"),
        (base, data, 0, "support of at least 1"),
        (base, data.frame.assign(agree=1 - data.frame["agree"]), 6, "other data than the model was trained on"),
    ):
        with pytest.raises((UsageError, DataError), match=words):
            neighbours.fit(made, table, support)
    alone = votes(people=120, each=6).assign(x=np.arange(720) / 100)
    data, base = trained(alone)
    with pytest.raises(DataError, match="no question was asked of two people"):
        neighbours.fit(base, data, 2)
    mixed = dataclasses.replace(base, draw=faro.store.draw.Draw((1.0,)))
    with pytest.raises(UsageError, match="randomised"):
        neighbours.fit(mixed, data, 2)
