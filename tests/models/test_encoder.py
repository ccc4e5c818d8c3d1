"""`EncoderLayers`: begins as its encoder, moves with the head, is the same model after a trip over the disk."""

from __future__ import annotations

import jax
import numpy as np
import pandas as pd
import pytest

import faro
from faro.errors import DataError, UsageError
from faro.models import EncoderLayers, initial
from faro.text import cache, known
from tests.builders import encoders
from tests.oracles import bert

pytestmark = pytest.mark.usefixtures("small_encoder")

FRAME = pd.DataFrame(encoders.pairs(90))
QUICK = {"steps": 20, "every": 5, "batch": 16, "weight_decay": 1e-3}


@pytest.fixture(scope="module")
def data():
    return faro.load(FRAME)


@pytest.mark.parametrize("layers", [1, 2])
def test_it_begins_as_the_encoder_itself(data, layers):
    states = data.before_layers(layers)
    model = EncoderLayers(layers).of_schema(states.schema)
    vectors = data.arrays["answer"].read(data.frame["chosen_answer:row"].astype(int).to_numpy())
    few = jax.tree.map(jax.numpy.asarray, states.choices(states.fit_coding()))
    params = initial(model, jax.random.key(0), few)
    head = model.linear_head(params, few)
    assert params["layers"]["inner"]["kernel"].shape == (layers, 12, 20)
    np.testing.assert_allclose(head.choices.items[:, 0], np.sqrt(12) * vectors, atol=1e-5)
    rewards = head.choices.items @ head.params["item"] + head.params["intercept"]
    np.testing.assert_allclose(rewards, model.apply(params, few), atol=1e-5)


def test_states_on_disk_are_ragged_and_found_again(data, tmp_path):
    encoder, texts = known.find("minilm"), ["the cat", "a dog ran on the mat. ask the tree?"]
    made = cache.embed(encoder, texts, folder=tmp_path, dtype="float16", layers=1)
    again = cache.embed(encoder, texts[::-1], folder=tmp_path, dtype="float16", layers=1)
    assert (made.new, again.new) == (2, 0) and made.shape == (2, 16, 13) and made[:].dtype == np.float16
    np.testing.assert_array_equal(made[:], again[:][::-1])
    np.testing.assert_array_equal(made[:,][:, :, -1].sum(1), made.read)
    np.testing.assert_array_equal(made[np.array([[1], [0]])][:, 0], again[:])
    with pytest.raises(DataError, match="in float16 before 1 layers, not of minilm"):
        cache.embed(encoder, texts, folder=tmp_path, dtype="float16")
    with pytest.raises(UsageError, match="expected 1 to 2 last layers, got 3"):
        cache.embed(encoder, texts, layers=3)


@pytest.mark.slow
def test_a_frontier_is_trained_saved_and_scored_again(data, tmp_path):
    run = faro.frontier(
        data, "demographic_parity", attribute="length", bounds=[0.1, 0.4], seeds=1, model="encoder(layers=1)",
        settings=QUICK, out=tmp_path / "run",
    )  # fmt: skip
    assert set(run.table["status"]) <= {"FEASIBLE", "INFEASIBLE"} and len(run.models) == 3
    first = run.models[0]
    begun = initial(first.model, jax.random.key(0), _few(data))
    apart = jax.tree.map(lambda now, then: float(np.abs(now - then).max()), first.params["layers"], begun["layers"])
    assert min(jax.tree.leaves(apart)) > 0  # every tensor of the layer moved
    read = faro.load_model(tmp_path / "run" / run.table["model"][0])
    assert read.model == first.model and read.model.digest == known.find("minilm").digest
    wanted = first.rewards(FRAME)
    np.testing.assert_allclose(read.rewards(FRAME), wanted, atol=1e-9)
    np.testing.assert_allclose(read.rewards(data), wanted, atol=1e-9)  # a data set that was read as vectors
    few = FRAME.sort_values("chosen", key=lambda cells: cells.str.len())[:5]  # shorter texts: another padding
    np.testing.assert_allclose(read.rewards(few), wanted[few.index], atol=1e-5)
    about = read.about["rewards"]
    reward = faro.reward_fn(read)(few["prompt"].tolist(), few["chosen"].tolist())
    np.testing.assert_allclose(reward, (wanted[few.index, 0] - about["centre"]) / about["scale"], atol=1e-4)


def _few(data):
    states = data.before_layers(1)
    return jax.tree.map(jax.numpy.asarray, states.choices(states.fit_coding(), [0, 1]))


def test_what_it_cannot_be_trained_on_is_said(data, small_encoder):
    with pytest.raises(UsageError, match="expected data with one text, of the alternatives; got none"):
        faro.train("demo", model="encoder(layers=1)")
    with pytest.raises(UsageError, match="minilm: expected 1 to 2 last layers, got 3"):
        faro.train(data, model="encoder(layers=3)")
    with pytest.raises(UsageError, match="expected layers >= 1 and pace > 0"):
        faro.train(data, model="encoder(layers=0)")
    states = data.before_layers(1)
    model = encoders.untrained(states, model=EncoderLayers(1).of_schema(states.schema))
    bert.write(small_encoder / "encoders" / "minilm", seed=1)
    with pytest.raises(DataError, match="its layers are of encoder"):
        initial(model.model, jax.random.key(0), states.choices(states.fit_coding(), [0, 1]))
    with pytest.raises(DataError, match="was read by encoder"):
        model.rewards(FRAME)
