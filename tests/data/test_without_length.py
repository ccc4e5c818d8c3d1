"""Length removed: on train no number is correlated with it, in new tables it is removed by what train taught."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pandas as pd
import pytest

import faro
from faro.data import load
from faro.data.coding import Coding
from faro.errors import DataError, UsageError
from faro.store.export import export_hf
from faro.text import known
from tests.builders import encoders

pytestmark = pytest.mark.usefixtures("small_encoder")

RECORDS = encoders.pairs(200)
FRAME = pd.DataFrame(RECORDS)
SIDES = ("chosen", "rejected")


def without(**option):
    """The schema of the pairs, without length."""
    declared = load(FRAME).declared
    texts = tuple(dataclasses.replace(spec, without="length", **option) for spec in declared.texts)
    return declared.replace(arrays=(), texts=texts)


def lengths(rows) -> np.ndarray:
    """`[2 n, 2]` tokens of both sides, special ones counted, and their logarithm."""
    tokens = [len(RECORDS[row][side].split()) + 2 for row in rows for side in SIDES]
    return np.stack([tokens, np.log(tokens)], 1)


def coded(data, coding, rows) -> np.ndarray:
    items = np.asarray(data.choices(coding, rows, dtype=np.float64).items)
    return items.reshape(-1, items.shape[-1])


def correlations(one, other) -> np.ndarray:
    return np.corrcoef(one.T, other.T)[: one.shape[1], one.shape[1] :]


@pytest.mark.parametrize("scaling", ["joint", "each", "none"])
def test_on_train_nothing_is_correlated_with_length(scaling, x64):
    data, plain = load(FRAME, without(scaling=scaling)), load(FRAME)
    train = data.rows("train")
    coding = data.fit_coding(train)
    values = coded(data, coding, train)
    assert np.abs(correlations(values, lengths(train))).max() < 1e-8
    assert np.abs(correlations(coded(plain, plain.fit_coding(train), train), lengths(train))).max() > 0.05
    encode = known.find("minilm").encode
    vectors = encode([RECORDS[row][side] for row in train for side in SIDES]).astype(np.float64)
    basis = np.concatenate([np.ones((len(vectors), 1)), lengths(train)], 1)
    left = vectors - basis @ np.linalg.lstsq(basis, vectors)[0]
    scale = {"joint": np.sqrt(np.mean(left.std(0) ** 2)), "each": left.std(0), "none": 1}[scaling]
    np.testing.assert_allclose(values, left / scale, atol=1e-4)


def test_other_parts_and_new_tables_are_coded_by_train(tmp_path, x64):
    data = load(FRAME, without())
    train, dev = data.rows("train"), data.rows("dev")
    coding = data.fit_coding(train)
    again = Coding.from_dict(coding.to_dict(), coding.arrays())
    assert again == coding and coding != load(FRAME).fit_coding(train)
    both = coded(data, coding, np.concatenate([dev, train]))[: 2 * len(dev)]
    np.testing.assert_allclose(coded(data, coding, dev), both)
    path = encoders.untrained(data).save(tmp_path / "model")
    model = faro.load_model(path)
    alone = FRAME.iloc[dev[:9]].reset_index(drop=True)
    np.testing.assert_allclose(model.rewards(alone), model.rewards(data)[dev[:9]], atol=1e-9)
    with jax.enable_x64(False):
        rewards = faro.reward_fn(path)(alone["prompt"].tolist(), alone["chosen"].tolist())
    np.testing.assert_allclose(rewards, model.rewards(alone)[:, 0], atol=1e-5)
    with pytest.raises(UsageError, match="export: length was removed from the vectors"):
        export_hf(path, tmp_path / "hf")


def test_pieces_of_a_table_teach_what_the_whole_does(x64):
    data = load(FRAME, without())
    parsed = [data.take(rows).parsed for rows in np.split(np.arange(data.n), [70])]
    joined = Coding.fit([(part.items, part.context) for part in parsed], data.schema)
    whole = data.fit_coding()
    for name, values in whole.arrays().items():
        np.testing.assert_allclose(joined.arrays()[name], values, atol=1e-9)


def test_texts_of_one_length_lose_their_mean_alone(x64):
    same = FRAME.assign(chosen="the cat sat", rejected="the dog sat")
    data = load(same, without(scaling="none"))
    values = coded(data, data.fit_coding(), None)
    vectors = known.find("minilm").encode(["the cat sat", "the dog sat"])
    np.testing.assert_allclose(values[:2], vectors - vectors.mean(0), atol=1e-6)


def test_what_cannot_be_without_length_is_said():
    with pytest.raises(UsageError, match=r"text 'answer': without is 'length', or left out; got 'size'"):
        dataclasses.replace(load(FRAME).schema.texts[0], without="size")
    data = load(FRAME, without())
    coding = data.fit_coding()
    vectors = np.zeros((len(FRAME) * 2, 12), np.float32)
    index = FRAME.assign(**{f"{side}_answer:row": np.arange(len(FRAME)) for side in SIDES})
    schema = data.declared.replace(texts=(), attributes=(), unit="row")
    arrays = load(index, schema, arrays={"answer": vectors})
    with pytest.raises(DataError, match="its length is to be removed, and it is an array and no texts"):
        arrays.choices(coding)
    assert "without" not in load(FRAME).schema.to_json()
