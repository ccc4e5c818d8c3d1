"""Advantages of faro in trainers of others: what stands in for these has their methods, shapes and calls."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from faro.errors import DataError, UsageError
from faro.integrations.advantages import GroupAdvantage, trl_trainer, tunix_estimator
from faro.policies import DrGRPO

SIDES = ["left", "right"]


def test_state_is_kept_between_steps_and_groups_are_told_by_their_cells():
    personal = GroupAdvantage("p_grpo(least=4)", "politics", SIDES)
    rewards, politics = np.arange(8.0).reshape(2, 4), ["left"] * 4 + ["right"] * 2 + ["neither"] * 2
    assert not personal.compute(rewards, politics).any()
    found = personal.compute(rewards, politics)
    assert found[0].any() and not found[1, 2:].any()  # nobody's group
    assert not found[1, :2].any()  # seen twice
    kept = personal.remembered()
    assert kept["seen"] == {"left": 8, "right": 4} and kept["mean"]["left"] == pytest.approx(1.5)
    own = GroupAdvantage(DrGRPO())
    np.testing.assert_allclose(own.compute(rewards), rewards - rewards.mean(1, keepdims=True))


def test_bad_input_is_a_line():
    with pytest.raises(UsageError, match="PGRPO reads the group of each answer: give column and levels"):
        GroupAdvantage("p_grpo")
    with pytest.raises(UsageError, match=r"expected a name or a faro\.policies\.Advantage, got 3"):
        GroupAdvantage(3)
    personal = GroupAdvantage("p_grpo", "politics", SIDES)
    with pytest.raises(DataError, match="answer 2 to prompt 1: expected a finite number, got nan"):
        personal.compute([[0.0, np.nan]], SIDES)
    with pytest.raises(DataError, match="politics: expected a group of each of 2 answers, got 3"):
        personal.compute([[0.0, 1.0]], [*SIDES, "left"])
    watched = personal.of_reward(lambda prompts, completions, **columns: [1.0])
    with pytest.raises(DataError, match="expected 2 rewards, got 1"):
        watched(["a"] * 2, ["b"] * 2, politics=SIDES)
    with pytest.raises(UsageError, match="no column 'politics'"):
        watched(["a"], ["b"])


class Tensor(np.ndarray):
    """As much of a torch tensor as is asked for."""

    def cpu(self):
        return self

    def new_tensor(self, values):
        return np.asarray(values).view(Tensor)


def tensor(values):
    return np.asarray(values, float).view(Tensor)


class Trainer:
    """As TRL 1.16 has them: rewards of every function first, then advantages beside the rest of the batch."""

    num_generations = 2

    def __init__(self, training=True):
        self.model = types.SimpleNamespace(training=training)
        self.reward_weights = tensor([1.0, 0.5])

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        return tensor([row["rewards"] for row in inputs])

    def _generate_and_score_completions(self, inputs):
        self._calculate_rewards(inputs, None, None, None)
        return {"advantages": tensor(np.zeros(len(inputs))), "kept": inputs}


def rows(*rewards):
    return [{"politics": SIDES[at // 2 % 2], "rewards": values} for at, values in enumerate(rewards)]


def test_trl_trains_with_these_advantages_and_everything_else_of_its_own():
    own = GroupAdvantage(DrGRPO())
    kind = trl_trainer(Trainer, own)
    assert kind.__name__ == "DrGRPOTrainer" and issubclass(kind, Trainer)
    batch = rows((1, 0), (0, 4), (5, 0), (np.nan, np.nan))
    out = kind()._generate_and_score_completions(batch)
    np.testing.assert_allclose(out["advantages"], [-0.5, 0.5, 0, 0])  # of 1, 2 and of 5 alone: not rated is no reward
    assert isinstance(out["advantages"], Tensor) and out["kept"] is batch
    assert not kind(training=False)._generate_and_score_completions(batch)["advantages"].any()
    personal = GroupAdvantage("p_grpo(least=2)", "politics", SIDES)
    trainer = trl_trainer(Trainer, personal)()
    trainer._generate_and_score_completions(batch)
    found = trainer._generate_and_score_completions(batch)["advantages"]
    np.testing.assert_allclose(found[:2], [-1, 1], rtol=1e-3)
    assert found[2] == found[3] == 0  # the right were seen once before
    with pytest.raises(UsageError, match=r"expected the GRPOTrainer of TRL 1\.16, which has _calculate_rewards"):
        trl_trainer(object, personal)


def test_tunix_estimates_by_name_what_faro_computes(monkeypatch):
    registered = {}

    def register_advantage_estimator(name):
        return lambda function: registered.setdefault(name, function)

    config = types.SimpleNamespace(advantage_estimator="grpo")
    personal = GroupAdvantage("p_grpo(least=2)", "politics", SIDES)
    monkeypatch.setitem(sys.modules, "tunix", None)
    with pytest.raises(UsageError, match=r"pip install 'faro-fairness\[llm\]'"):
        tunix_estimator(config, personal)
    rl = types.ModuleType("tunix.rl")
    rl.function_registry = types.SimpleNamespace(register_advantage_estimator=register_advantage_estimator)
    monkeypatch.setitem(sys.modules, "tunix", types.ModuleType("tunix"))
    monkeypatch.setitem(sys.modules, "tunix.rl", rl)
    assert tunix_estimator(config, personal) is config and config.advantage_estimator == "faro"
    reward = personal.of_reward(lambda prompts, completions, **columns: [1.0, 2.0, 3.0, 5.0])
    for _ in range(2):
        given = reward(["a"] * 4, ["b"] * 4, politics=["left"] * 4, mode="train")
        found = registered["faro"](rewards=np.array(given), num_generations=2)
    scale = np.std([1, 2, 3, 5])
    np.testing.assert_allclose(found, (np.array([1, 2, 3, 5]) - 2.75) / scale, rtol=1e-3)
    assert found.shape == (4,)
