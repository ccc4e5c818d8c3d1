"""Features of pairs: what each form reads of prompt and answer, wherever it is said, and what refuses it."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

import faro
from faro.data import Schema, load
from faro.data.pair_features import FORMS, with_pairs
from faro.data.texts import StoredTexts
from faro.errors import DataError, UsageError
from faro.store.export import export_hf
from faro.text import known
from tests.builders import encoders

pytestmark = pytest.mark.usefixtures("small_encoder")

RECORDS = encoders.pairs()
FRAME = pd.DataFrame(RECORDS)
SIDES = ("chosen", "rejected")


def unscaled(form: str, **option) -> Schema:
    """A schema of a form, whose vectors are left as they are."""
    schema = with_pairs(load(FRAME).declared, form, "it")
    texts = tuple(dataclasses.replace(spec, scaling="none", digest="", **option) for spec in schema.texts)
    return schema.replace(arrays=(), texts=texts)


def vectors() -> dict[str, np.ndarray]:
    """`[n, 2, d]` of the answers alone, and behind their prompts; `[n, 1, d]` of the prompts."""
    encode = known.find("minilm").encode
    return {
        "alone": np.stack([encode([r[side] for r in RECORDS]) for side in SIDES], 1),
        "behind": np.stack([encode([(r["prompt"], r[side]) for r in RECORDS]) for side in SIDES], 1),
        "prompt": encode([r["prompt"] for r in RECORDS])[:, None],
    }


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_the_vectors_that_it_names(form):
    own = vectors()
    wanted = {
        "answer": [own["alone"]],
        "together": [own["behind"]],
        "both": [own["alone"], own["behind"]],
        "products": [own["alone"], own["alone"] * own["prompt"]],
    }[form]
    data = load(FRAME, unscaled(form))
    np.testing.assert_allclose(data.choices(data.fit_coding()).items, np.concatenate(wanted, 2), atol=1e-6)


def test_products_are_read_by_rows_and_said_by_both_texts():
    data = load(FRAME, pairs="products")
    stored = data.arrays["answer_times_prompt"]
    assert isinstance(stored, StoredTexts) and stored.held is None and stored.place is None
    assert stored.shape[0] == len({(r["prompt"], r[side]) for r in RECORDS for side in SIDES})
    assert len(stored.texts) == len({r["prompt"] for r in RECORDS} | {r[side] for r in RECORDS for side in SIDES})
    rows = np.array([7, 0, 7])
    own, other = stored.factors[rows].T
    plain = known.find("minilm").encode(list(stored.texts))
    np.testing.assert_allclose(stored.read(rows), plain[own] * plain[other], atol=1e-6)
    small = load(FRAME, unscaled("products", dtype="float16"))
    product = small.arrays["answer_times_prompt"]
    assert product.dtype == np.float32 and np.abs(product.read(rows) - stored.read(rows)).max() < 2e-3
    other_prompts = FRAME.assign(prompt=FRAME["prompt"].to_numpy()[::-1])
    digests = [load(frame, pairs=form).digest for frame in (FRAME, other_prompts) for form in FORMS]
    assert len(set(digests)) == len(digests)
    assert load(FRAME).digest == load(FRAME, pairs="answer").digest


def test_a_model_reads_new_tables_as_it_was_trained(tmp_path):
    data = load(FRAME, pairs="products")
    path = encoders.untrained(data).save(tmp_path / "model")
    again = faro.load_model(path)
    wanted = again.score(data)["reward"].to_numpy()
    assert again.read(load(FRAME)).digest == again.read(FRAME).digest == data.digest
    np.testing.assert_array_equal(again.score(FRAME)["reward"], wanted)
    np.testing.assert_array_equal(again.score(load(FRAME))["reward"], wanted)  # read without saying so
    reward = faro.reward_fn(path)
    given = reward(FRAME["prompt"].tolist()[:9], FRAME["chosen"].tolist()[:9])
    np.testing.assert_allclose(given, again.rewards(FRAME)[:9, 0], atol=1e-5)
    with pytest.raises(UsageError, match=r"export: expected one text as the only feature"):
        export_hf(path, tmp_path / "hf")


def test_equal_answers_are_refused_also_where_several_features_are_made_of_them():
    twice = FRAME.copy()
    twice.loc[4, "rejected"] = twice.loc[4, "chosen"]
    for form in FORMS:
        with pytest.raises(DataError, match=r"row 5: chosen and rejected are one text"):
            load(twice, pairs=form)


def test_rewritten_answers_are_twins_in_every_form():
    columns = {
        f"{side}_answer:politics={level}": [f"{level} {r[side]}" for r in RECORDS]
        for side in SIDES
        for level in ("left", "right")
    }
    twins = Schema.from_dict({
        "unit": "row", "format": "accept", "label": "y", "numeric": ["x"],
        "attributes": [{"name": "politics", "levels": ["left", "right"], "chooser": True}],
        "twins": [{"attribute": "politics", "origin": "words"}],
    }).twins  # fmt: skip
    data = load(FRAME.assign(**columns), unscaled("products").replace(twins=twins))
    moved = np.asarray(data.choices(data.fit_coding(), twins=["politics"]).twins["politics"].items)[:, 1, 1]
    encode = known.find("minilm").encode
    alone = encode([f"right {r['rejected']}" for r in RECORDS])
    wanted = np.concatenate([alone, alone * encode([r["prompt"] for r in RECORDS])], 1)
    np.testing.assert_allclose(moved, wanted, atol=1e-6)


def test_schemas_without_products_are_written_as_before():
    assert "times" not in load(FRAME).schema.to_json()
    schema = load(FRAME, pairs="products").schema
    assert Schema.from_json(schema.to_json()) == schema


def test_an_encoder_may_be_named_where_no_schema_does(faro, tmp_path):
    folder = str(known.find("minilm").folder)
    data = load(FRAME, encoder=folder)
    assert [spec.encoder for spec in data.schema.texts] == [folder] and data.info["encoder"] == folder
    assert data.digest == load(FRAME).digest  # what an encoder is, is said by its files
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    code, _, err = faro("frontier", "--data", path, "--encoder", tmp_path / "none", "--out", tmp_path / "out")
    assert code == 5 and "none" in err and not (tmp_path / "out").exists()


def test_what_a_form_cannot_be_is_said(faro, tmp_path):
    for data, options, reason in (
        (FRAME, {"pairs": "sum"}, "pairs: expected answer, together, both or products, got 'sum'"),
        ("demo", {"pairs": "both"}, "pairs: demo has no answers to prompts"),
        (FRAME, {"pairs": "both", "schema": unscaled("answer")}, "a schema says itself"),
        (FRAME, {"encoder": "minilm", "schema": unscaled("answer")}, r"a schema says itself .* with encoder"),
        ("demo", {"encoder": "minilm"}, "encoder: demo has no texts that one could read"),
    ):
        with pytest.raises(UsageError, match=reason):
            load(data, **options)
    alone = FRAME.drop(columns="prompt")
    with pytest.raises(DataError, match=r"no column 'prompt', which text 'answer_times_prompt' is multiplied by"):
        load(alone, pairs="products")
    blank = FRAME.assign(prompt=["", *FRAME["prompt"][1:]])
    with pytest.raises(DataError, match=r"column 'prompt', row 1: expected a text, got none"):
        load(blank, pairs="products")
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    code, out, _ = faro("data", "describe", path, "--pairs", "products", "--json")
    assert code == 0 and json.loads(out)["features"]["items"] == ["answer", "answer_times_prompt"]
    assert faro("data", "describe", path, "--pairs", "sum")[0] == 2
    code, out, _ = faro("embed", path, "--pairs", "both", "--json")
    assert json.loads(out)["texts"] == len({(r["prompt"], r[side]) for r in RECORDS for side in SIDES}) + len(
        {r[side] for r in RECORDS for side in SIDES}
    )
