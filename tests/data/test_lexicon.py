"""Attributes by lexicon: whole words in any case, both and neither, marked and shown with samples."""

from __future__ import annotations

import pandas as pd
import pytest

from faro.data import Schema, describe, load
from faro.data.lexicon import mentioned
from faro.data.specs import AttributeSpec
from faro.errors import DataError, UsageError
from tests.builders import encoders

LEXICON = {"female": "she, her, young woman", "male": "he, his, man"}
SPEC = {"name": "mentions", "levels": ["female", "male"], "others": "exclude", "text": "answer", "lexicon": LEXICON}
SCHEMA = {"format": "wide", "unit": "row", "texts": [{"name": "answer"}], "attributes": [SPEC]}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    encoders.install(tmp_path / "cache")
    monkeypatch.setenv("FARO_CACHE", str(tmp_path / "cache"))


def frame() -> pd.DataFrame:
    records = encoders.pairs(60)
    starts = ["She sat", "his dog", "her man", "the tree", "ask HE."] * 12
    return pd.DataFrame(
        [{**own, "chosen": f"{start} {own['chosen']}"} for own, start in zip(records, starts, strict=True)]
    )


def test_whole_words_in_any_case():
    spec = AttributeSpec(**{**SPEC, "levels": ("female", "male")})
    texts = ["SHE sat.", "the sheep", "he's", "her (man)", "a young woman", "a young   woman", "woman", ""]
    wanted = ["female", "neither", "male", "both", "female", "neither", "neither", "neither"]
    assert mentioned(spec, texts) == wanted


def test_levels_of_a_table_are_marked_and_shown():
    data = load(frame(), SCHEMA)
    codes = data.parsed.attributes["mentions"]
    assert codes[:5].tolist() == [[0, -1], [1, -1], [-1, -1], [-1, -1], [1, -1]]
    (note,) = data.notes
    assert "by lexicon" in note and "(female 12, male 24, both 12, neither 72)" in note
    record = describe(data)["attributes"][0]
    assert record["by"] == "lexicon" and record["samples"]["both"][0].startswith("her man")
    again = load(frame(), data.schema)
    assert again.schema == data.schema and again.digest == data.digest
    prompt = {**SPEC, "name": "asked", "text": "prompt", "chooser": True, "levels": ["female", "male", "neither"]}
    of_prompt = load(frame(), {**SCHEMA, "attributes": [prompt]})
    assert (of_prompt.parsed.attributes["asked"] == 2).all()


def test_what_contradicts_itself_is_refused():
    for change, reason in (
        ({"text": ""}, "`text`, a column of texts, and `lexicon` go together"),
        ({"lexicon": {"other": "a"}}, "expected words of a level, got 'other' = 'a'"),
        ({"lexicon": {"male": " ,"}}, "expected words of a level, got 'male'"),
    ):
        with pytest.raises(UsageError, match=reason):
            Schema.from_dict({**SCHEMA, "attributes": [{**SPEC, **change}]})
    with pytest.raises(DataError, match=r"no column 'chosen_other' .the lexicon of 'mentions' reads it"):
        load(frame(), {**SCHEMA, "attributes": [{**SPEC, "text": "other"}]})
    with pytest.raises(DataError, match="neither"):
        load(frame(), {**SCHEMA, "attributes": [{**SPEC, "others": "error"}]})


def test_a_schema_without_a_lexicon_is_written_as_before_there_were_any():
    plain = Schema(
        unit="row", format="accept", label="y", numeric=("x",), attributes=(AttributeSpec(name="a", levels=("b", "c")),)
    )
    assert set(plain.to_dict()["attributes"][0]) == {"name", "levels", "column", "chooser", "others"}
    with_lexicon = Schema.from_dict(SCHEMA)
    assert Schema.from_json(with_lexicon.to_json()) == with_lexicon
