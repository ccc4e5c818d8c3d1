"""Texts rewritten by rules are twins as those that a table brings, and what cannot be rewritten has none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import faro
from faro.data import Schema, describe, load
from faro.errors import DataError, UsageError
from faro.text import known
from tests.builders import encoders

WORDS = 'levels = ["female", "male"]\nwords = [["cat", "dog"], ["tree", "stone"], ["her", "him"], ["her", "his"]]\n'
RULES = {
    "levels": ["female", "male"],
    "words": [["cat", "dog"], ["tree", "stone"], ["her", "him"], ["her", "his"]],
    "resolve": [{"row": ["her", "his"], "before": ["sat"]}],
}
STARTS = ["the cat", "The Dog", "her", "cat dog", "a tree", "her cat sat", "cat her sat"]
LEVEL = {"name": "gender", "levels": ["female", "male"], "others": "exclude", "text": "answer"}
SCHEMA = {
    "format": "wide", "unit": "row", "texts": [{"name": "answer", "scaling": "none"}], "attributes": [LEVEL],
    "twins": [{"attribute": "gender", "rules": RULES}],
}  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    encoders.install(tmp_path / "cache")
    monkeypatch.setenv("FARO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def frame(n: int = 70, **columns) -> pd.DataFrame:
    """Pairs: `chosen` begins with one of STARTS, `rejected` mentions nobody."""
    made = {
        "chosen": [f"{STARTS[row % 7]} {row}" for row in range(n)],
        "rejected": [f"a mat {row}" for row in range(n)],
    }
    return pd.DataFrame({"prompt": [f"{row}?" for row in range(n)], **made, **columns})


def test_rewritten_texts_are_twins_of_who_mentions_one_group():
    data = load(frame(), SCHEMA)
    twin = data.choices(data.fit_coding(), twins=["gender"]).twins["gender"]
    encoder = known.find("minilm")
    np.testing.assert_allclose(
        np.asarray(twin.items)[:2, 0],
        [encoder.encode(["the cat 0", "the dog 0"]), encoder.encode(["The Cat 1", "The Dog 1"])],
        atol=1e-6,
    )
    whole = np.asarray(twin.valid).all(-1)
    # "cat dog" mentions both; "her" is ambiguous but before "sat"
    assert whole[:7, 0].tolist() == [True, True, False, False, True, False, True]
    assert not whole[:, 1].any() and np.asarray(twin.valid)[2, 0].tolist() == [True, False]
    note = data.notes[-1]
    assert note.startswith("twins of gender: word exchange by rules: not causal; of 60 texts 40 are rewritten, 0 have ")
    assert "and 20 a word that could be several (her): those have no twin" in note
    assert data.schema.twins[0].features == ("answer",)


def test_rules_are_a_file_beside_the_schema_and_part_of_a_saved_model(tmp_path):
    (tmp_path / "words.toml").write_text(WORDS, encoding="utf-8")
    (tmp_path / "schema.toml").write_text(
        'format = "wide"\nunit = "row"\n[[texts]]\nname = "answer"\n[[attributes]]\nname = "gender"\n'
        'levels = ["female", "male"]\nothers = "exclude"\ntext = "answer"\n[[twins]]\nattribute = "gender"\n'
        'rules = "words.toml"\n',
        encoding="utf-8",
    )
    data = load(frame(), tmp_path / "schema.toml")
    rules = data.schema.twins[0].rules
    assert rules.file == "words.toml" and "word exchange by rules words.toml: not causal" in data.notes[-1]
    assert Schema.from_json(data.schema.to_json()) == data.schema
    path = encoders.untrained(data).save(tmp_path / "model")
    scored = faro.load_model(path).score(data, ["gender"])
    (tmp_path / "words.toml").unlink()
    model = faro.load_model(path)
    pd.testing.assert_frame_equal(model.score(frame(), ["gender"]), scored)
    (tmp_path / "words.toml").write_text(WORDS.replace("stone", "mat"), encoding="utf-8")
    changed = load(frame(), tmp_path / "schema.toml")
    assert changed.digest != data.digest
    with pytest.raises(DataError, match=r"rules words.toml of the twins of 'gender' have other words .* than in train"):
        model.score(changed, ["gender"])
    model.score(changed)  # without twins nothing depends on them


def test_a_choosers_rules_rewrite_prompt_and_answers_together():
    schema = {
        "format": "wide", "unit": "row", "texts": [{"name": "answer", "after": "prompt", "scaling": "none"}],
        "attributes": [{"name": "who", "levels": ["female", "male"], "chooser": True}],
        "twins": [{"attribute": "who", "rules": RULES}],
    }  # fmt: skip
    table = frame(7, who=["female"] * 5 + ["male"] * 2)
    table["prompt"] = ["the cat?", "?", "?", "?", "her?", "a stone", "?"]
    data = load(table, schema)
    twin = data.choices(data.fit_coding(), twins=["who"]).twins["who"]
    wanted = known.find("minilm").encode([("the dog?", "the dog 0"), ("the dog?", "a mat 0")])
    np.testing.assert_allclose(np.asarray(twin.items)[0, :, 1], wanted, atol=1e-6)
    np.testing.assert_allclose(np.asarray(twin.items)[0, :, 0], np.asarray(data.choices(data.fit_coding()).items)[0])
    assert np.asarray(twin.valid).all((1, 2)).tolist() == [True, True, False, True, False, False, True]


def test_of_a_choosers_rules_the_alternatives_of_a_long_table_are_rewritten_together():
    schema = {
        "format": "long", "unit": "choice", "choice": "choice", "label": "took",
        "texts": [{"name": "answer", "scaling": "none"}],
        "attributes": [{"name": "who", "levels": ["female", "male"], "chooser": True}],
        "twins": [{"attribute": "who", "rules": RULES}],
    }  # fmt: skip
    texts = ["the cat", "a mat", "a mat", "on a mat", "her", "the cat"]
    table = pd.DataFrame({"choice": [0, 0, 1, 1, 2, 2], "took": [1, 0] * 3, "who": "female", "answer": texts})
    data = load(table, schema)
    assert data.frame["answer:who=male"].tolist() == ["the dog", "a mat", None, None, None, None]
    valid = np.asarray(data.choices(data.fit_coding(), twins=["who"]).twins["who"].valid)
    assert valid.all((1, 2)).tolist() == [True, False, False]


def test_messages_are_rewritten_by_message(tmp_path):
    table = frame(14)
    table["chosen"] = [[{"role": "assistant", "content": text}] for text in table["chosen"]]
    assert np.asarray(load(table, SCHEMA).frame["chosen_answer:gender=male"])[0] == "the dog 0"


def test_a_description_shows_samples():
    record = describe(load(frame(), SCHEMA))
    (count,) = record["rewritten"]
    assert count["samples"][0] == {"own": "female", "other": "male", "before": "the cat 0", "after": "the dog 0"}
    assert (count["rewritten"], count["ambiguous"], count["words"]) == (40, 20, {"her": 20})
    assert record["attributes"][0]["by"] == "lexicon"


def test_a_change_that_the_encoder_does_not_read_is_none():
    late = frame()
    late["chosen"] = [f"on a mat on a mat {text}" for text in late["chosen"]]
    data = load(late, {**SCHEMA, "texts": [{"name": "answer", "limit": 6}]})
    valid = np.asarray(data.choices(data.fit_coding(), twins=["gender"]).twins["gender"].valid)
    assert not valid.all(-1).any()
    assert any("40 twins are alike in all 6 tokens read" in note for note in data.notes)


def test_what_contradicts_itself_is_refused(tmp_path):
    for change, reason in (
        ({"rules": None}, "expected a table of levels and words, got None"),
        ({"rules": "none.toml"}, "rules none.toml: cannot be read"),
        ({"origin": "by hand"}, "`origin` is what the rules say; leave it out"),
        ({"texts": ["question"]}, "rules rewrite texts; expected of answer, got question"),
        ({"rules": {**RULES, "levels": ["f", "male"]}}, "`text` and `lexicon` go together, or its twins have `rules`"),
        ({"rules": {**RULES, "sha256": "00"}}, "sha256 is of other words"),
    ):
        with pytest.raises(UsageError, match=reason):
            Schema.from_dict({**SCHEMA, "twins": [{**SCHEMA["twins"][0], **change}]})
    with pytest.raises(UsageError, match="key 'origin' is needed"):
        Schema.from_dict({**SCHEMA, "attributes": [{**LEVEL, "text": ""}], "twins": [{"attribute": "gender"}]})
    with pytest.raises(UsageError, match="have the levels female, male, and not 'other'"):
        own = {**LEVEL, "levels": ["female", "other"], "text": ""}
        Schema.from_dict({**SCHEMA, "attributes": [own]})
    with pytest.raises(DataError, match="a column 'chosen_answer:gender=male' is there, and the rules make it"):
        load(frame(**{"chosen_answer:gender=male": "him"}), SCHEMA)
