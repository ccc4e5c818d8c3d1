"""`reward_fn`: the rewards of the scored table, in the shape that trainers of policies call."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

import faro
from faro.errors import DataError, UsageError
from tests.builders import encoders
from tests.oracles import bert

pytestmark = pytest.mark.usefixtures("small_encoder")

RECORDS = encoders.pairs(160)
SCHEMA = {
    "format": "wide",
    "unit": "prompt_id",
    "numeric": ["answer_tokens"],
    "context_categorical": ["politics"],
    "texts": [{"name": "answer", "after": "prompt"}, {"name": "prompt", "context": True}],
    "attributes": [
        {"name": "length", "column": "answer_length", "levels": ["shorter", "longer"], "others": "exclude"},
    ],
}


@pytest.fixture(scope="module")
def model():
    return encoders.untrained(faro.load(pd.DataFrame(RECORDS), SCHEMA))


def test_rewards_are_those_of_the_scored_table(model, small_encoder, tmp_path):
    frame = pd.DataFrame(RECORDS)
    wanted = model.rewards(frame)[:9]
    shards = {path: path.stat().st_mtime_ns for path in small_encoder.rglob("*.safetensors")}
    reward = faro.reward_fn(model.save(tmp_path / "model"))
    prompts, politics = frame["prompt"].tolist()[:9], frame["politics"].tolist()[:9]
    chosen = reward(prompts, frame["chosen"].tolist()[:9], politics=politics, trainer_state=None)
    rejected = reward(
        prompts=[[{"role": "user", "content": prompt}] for prompt in prompts],
        completions=[[{"role": "assistant", "content": text}] for text in frame["rejected"].tolist()[:9]],
        politics=politics,
    )
    assert all(isinstance(value, float) for value in chosen)
    np.testing.assert_allclose(np.stack([chosen, rejected], 1), wanted, atol=1e-5)
    after = {path: path.stat().st_mtime_ns for path in small_encoder.rglob("*.safetensors")}
    assert after == shards  # nothing was written


def test_a_completion_without_text_has_no_reward(model):
    asked = {"prompts": ["the cat"] * 3, "politics": ["left"] * 3}
    some = faro.reward_fn(model)(completions=["a dog", " ", "sat"], **asked)
    alone = faro.reward_fn(model)(["the cat"], ["sat"], politics=["left"])
    assert some[1] is None and some[2] == pytest.approx(alone[0], abs=1e-6)
    assert faro.reward_fn(model)(["the cat"], [""], politics=["left"]) == [None]
    assert faro.reward_fn(model)(["the cat"], ["\u200b"], politics=["left"]) == [None]  # nothing that has a token


def test_answers_that_are_accepted_or_not_have_a_reward_against_refusing():
    records = [{"prompt": r["prompt"], "completion": r["chosen"], "label": i % 2 == 0, "group": "ab"[i % 3 == 0]}
               for i, r in enumerate(RECORDS)]  # fmt: skip
    frame = pd.DataFrame(records)
    data = faro.load(frame)
    model = encoders.untrained(data)
    got = faro.reward_fn(model)(frame["prompt"].tolist()[:5], frame["completion"].tolist()[:5])
    np.testing.assert_allclose(got, model.rewards(data)[:5, 0], atol=1e-5)


def test_what_a_trainer_cannot_give_is_said(model, small_encoder, tmp_path):
    with pytest.raises(UsageError, match="reads the column 'politics', and the trainer gave none"):
        faro.reward_fn(model)(["the cat"], ["sat"])
    with pytest.raises(UsageError, match="expected a model whose features are texts"):
        faro.reward_fn(encoders.untrained(faro.load("demo")))
    with pytest.MonkeyPatch.context() as patch:
        encoders.install(tmp_path)
        bert.write(tmp_path / "encoders" / "minilm", seed=1)
        patch.setenv("FARO_CACHE", str(tmp_path))
        with pytest.raises(DataError, match="text 'answer' was read by encoder"):
            faro.reward_fn(model)


def test_there_is_a_prompt_and_a_cell_for_each_completion(model):
    with pytest.raises(UsageError, match="expected prompts for each of 2 completions, got 1"):
        faro.reward_fn(model)(["ask"], ["the cat", "a dog"], politics=["left", "left"])
    for cells in (["left"], ["left"] * 3):
        with pytest.raises(UsageError, match=f"expected politics for each of 2 completions, got {len(cells)}"):
            faro.reward_fn(model)(["ask"] * 2, ["the cat", "a dog"], politics=cells)


def test_centre_and_scale_are_taken_off_unless_asked_otherwise(model):
    of_train = dataclasses.replace(model, about={**model.about, "rewards": {"centre": 0.5, "scale": 2.0}})
    given = {"prompts": ["the cat"] * 2, "completions": ["a dog", "sat"], "politics": ["left"] * 2}
    plain = faro.reward_fn(of_train, normalised=False)(**given)
    assert plain == pytest.approx(faro.reward_fn(model)(**given))  # a model that was saved before there were any
    assert faro.reward_fn(of_train)(**given) == pytest.approx((np.array(plain) - 0.5) / 2)
    for wrong in ({"centre": 0.0, "scale": 0.0}, {"centre": "a"}, 3):
        damaged = dataclasses.replace(model, about={**model.about, "rewards": wrong})
        with pytest.raises(DataError, match="centre and scale of rewards are no numbers"):
            faro.reward_fn(damaged)
