"""Texts as array features: the vectors that the encoder gives, one digest whatever machine, another encoder refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import faro
from faro.data import Dataset, Schema, describe, load
from faro.data.texts import StoredTexts
from faro.errors import DataError, UsageError
from faro.text import cache as cache_module
from faro.text import known
from tests.builders import encoders
from tests.oracles import bert

RECORDS = encoders.pairs()
SCHEMA = {
    "format": "wide",
    "unit": "prompt_id",
    "texts": [{"name": "answer", "scaling": "none"}],
    "attributes": [
        {"name": "politics", "levels": ["left", "right"], "chooser": True},
        {"name": "length", "column": "answer_length", "levels": ["shorter", "longer"], "others": "exclude"},
    ],
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    encoders.install(tmp_path / "cache")
    monkeypatch.setenv("FARO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def frame(**columns) -> pd.DataFrame:
    return pd.DataFrame(RECORDS).assign(**columns)


def with_text(**option) -> dict:
    return {**SCHEMA, "texts": [{**SCHEMA["texts"][0], **option}]}


def test_coded_features_are_the_encoders_vectors_and_are_computed_when_first_read(cache):
    data = load(frame(), SCHEMA)
    assert not (cache / "embeddings").exists()
    assert describe(data)["texts"][0] | {"median_tokens": 0} == {
        "name": "answer", "texts": len({r[side] for r in RECORDS for side in ("chosen", "rejected")}), "embedded": 0,
        "truncated": 0, "median_tokens": 0, "encoder": "minilm", "limit": 40}  # fmt: skip
    data.digest, data.parts(0)  # neither needs a vector
    assert not (cache / "embeddings").exists()
    encoder = known.find("minilm")
    wanted = np.stack([encoder.encode([r[side] for r in RECORDS]) for side in ("chosen", "rejected")], 1)
    np.testing.assert_allclose(data.choices(data.fit_coding()).items, wanted, atol=1e-6)
    assert describe(load(frame(), SCHEMA))["texts"][0]["embedded"] > 0
    seen = []
    load(frame(), SCHEMA).embed(lambda done, total: seen.append(done))
    assert not seen  # all are on disk


def test_a_prompt_may_be_read_before_the_answer_and_be_the_context():
    after = with_text(after="prompt")
    after["texts"].append({"name": "prompt", "context": True, "scaling": "none"})
    data = load(frame(), after)
    coded, encoder = data.choices(data.fit_coding()), known.find("minilm")
    wanted = encoder.encode([(r["prompt"], r["rejected"]) for r in RECORDS])
    np.testing.assert_allclose(coded.items[:, 1], wanted, atol=1e-6)
    np.testing.assert_allclose(coded.context, encoder.encode([r["prompt"] for r in RECORDS]), atol=1e-6)


def test_the_digest_is_of_texts_and_encoder(cache):
    first = load(frame(), SCHEMA)
    assert load(frame(), SCHEMA).digest == first.digest
    changed = frame()
    changed.loc[5, "chosen"] = "un tell"
    others = [load(changed, SCHEMA).digest, load(frame(), with_text(limit=8)).digest]
    others += [load(frame(), with_text(dtype="float16")).digest]
    bert.write(cache / "encoders" / "minilm", seed=1)
    others += [load(frame(), SCHEMA).digest]
    assert len({first.digest, *others}) == 5


def test_parts_of_rows_are_those_of_their_texts():
    rows = {**SCHEMA, "unit": "row"}
    one = load(frame(), rows)
    order = np.random.default_rng(0).permutation(len(RECORDS))
    other = load(frame().iloc[order].reset_index(drop=True), rows)
    assert (one.placement[order] == other.placement).all()


def test_equal_texts_are_refused_or_dropped_also_where_truncation_makes_them_so():
    twice = frame()
    twice.loc[4, "rejected"] = twice.loc[4, "chosen"]
    with pytest.raises(DataError, match=r"row 5: chosen and rejected are one text; leave it out"):
        load(twice, SCHEMA)
    dropped = load(twice, {**SCHEMA, "on_missing": "drop"})
    assert (dropped.n, dropped.dropped) == (len(RECORDS) - 1, 1)
    long = frame(chosen="the cat sat on a mat", rejected="the cat sat on a tree")
    with pytest.raises(DataError, match=r"row 1: chosen and rejected are alike in all 6 tokens read"):
        load(long, with_text(limit=6))
    assert load(long, with_text(limit=8)).n == len(RECORDS)
    with pytest.raises(DataError, match=r"every choice has a missing cell"):
        load(long, {**with_text(limit=6), "on_missing": "drop"})


def test_a_text_without_tokens_is_none():
    silent = frame()
    silent.loc[7, "rejected"] = "\u200b"
    with pytest.raises(DataError, match="column 'rejected_answer', row 8: expected a text, got one without tokens"):
        load(silent, SCHEMA)
    with pytest.raises(DataError, match="column 'rejected_answer', row 8: expected a text, got one without tokens"):
        load(silent, with_text(after="prompt"))  # the tokens before it are not its own
    data, whole = load(silent, {**SCHEMA, "on_missing": "drop"}), load(frame(), SCHEMA)
    assert data.dropped == 1
    kept = np.arange(len(RECORDS)) != 7
    coding = whole.fit_coding()
    np.testing.assert_allclose(data.choices(coding).items, whole.choices(coding, np.flatnonzero(kept)).items, atol=1e-6)


def test_truncation_is_noted():
    (note,) = load(frame(), with_text(limit=7)).notes
    assert "texts have more than 7 tokens; the rest is not read" in note


def test_columns_hold_rewritten_texts_as_twins():
    swapped = frame()
    for side in ("chosen", "rejected"):
        for level in ("left", "right"):
            swapped[f"{side}_answer:politics={level}"] = [f"{level} {r[side]}" for r in RECORDS]
    origin = "words exchanged"
    data = load(swapped, {**SCHEMA, "twins": [{"attribute": "politics", "origin": origin}]})
    assert data.schema.twins[0].features == ("answer",)
    choices = data.choices(data.fit_coding(), twins=["politics"])
    wanted = known.find("minilm").encode([f"right {r['rejected']}" for r in RECORDS])
    np.testing.assert_allclose(np.asarray(choices.twins["politics"].items)[:, 1, 1], wanted, atol=1e-6)


def test_twins_of_a_prompt_that_is_not_read_are_refused():
    asked = frame()
    for side in ("chosen", "rejected"):
        for level in ("left", "right"):
            asked[f"prompt:politics={level}"] = f"{level} cat"
            asked[f"{side}_answer:politics={level}"] = [r[side] for r in RECORDS]
    schema = {**SCHEMA, "twins": [{"attribute": "politics", "origin": "asked otherwise"}]}
    data = load(asked, schema)
    with pytest.raises(DataError, match="no values to set it to, or none that differ from its own"):
        data.choices(data.fit_coding(), twins=["politics"])
    read = load(asked, {**schema, "texts": [{"name": "answer", "after": "prompt"}]})
    assert np.asarray(read.choices(read.fit_coding(), twins=["politics"]).twins["politics"].valid).all()
    model = encoders.untrained(load(frame(), SCHEMA))
    with pytest.raises(DataError, match="none that differ"):  # a model that reads answers alone reads these so
        model.score(read, ["politics"])


def test_a_saved_model_scores_new_texts_and_refuses_another_encoder(cache, tmp_path):
    data = load(frame(), SCHEMA)
    model = encoders.untrained(data)
    path = model.save(tmp_path / "model")
    again = faro.load_model(path)
    np.testing.assert_array_equal(again.score(frame())["reward"], model.score(data)["reward"])
    new = pd.DataFrame(encoders.pairs(10, seed=1))
    assert np.isfinite(again.score(new)["reward"]).all()
    bert.write(cache / "encoders" / "minilm", seed=1)
    with pytest.raises(DataError, match=r"text 'answer' was read by encoder .*, and 'minilm' here is"):
        again.score(new)
    with pytest.raises(DataError, match=r"text 'answer' was read by encoder .* in training, and here by"):
        again.score(load(frame(), SCHEMA))


def test_what_a_schema_of_texts_contradicts_is_said():
    for changes, reason in (
        ({"dtype": "float8"}, "the dtype of text 'answer' is one of float32, float16"),
        ({"scaling": "all"}, "the scaling of text 'answer' is one of"),
        ({"limit": -1}, "expected a limit of tokens above 0"),
        ({"limit": "9"}, "expected a whole number, got '9'"),
    ):
        with pytest.raises(UsageError, match=reason):
            Schema.from_dict(with_text(**changes))
    with pytest.raises(UsageError, match=r"name at least one feature of the alternatives"):
        Schema.from_dict({**SCHEMA, "texts": [{"name": "prompt", "context": True}]})
    with pytest.raises(DataError, match=r"no column 'chosen_other' .needed as text 'other'."):
        load(frame(), with_text(name="other"))
    with pytest.raises(DataError, match=r"no column 'before', which text 'answer' is read after"):
        load(frame(), with_text(after="before"))


def test_a_schema_without_texts_is_written_as_before_there_were_any():
    plain = Schema(unit="row", format="accept", label="y", numeric=("x",))
    assert "texts" not in plain.to_dict()
    texts = Schema.from_dict(SCHEMA)
    assert Schema.from_json(texts.to_json()) == texts


def test_an_array_of_texts_is_read_by_rows():
    data = load(frame(), SCHEMA)
    stored = data.arrays["answer"]
    assert isinstance(stored, StoredTexts) and stored.shape[1] == 12
    assert stored.contents(np.array([1, 1, 0]))[0] == cache_module.key_of(stored.texts[1])[:16]
    assert isinstance(data, Dataset)
