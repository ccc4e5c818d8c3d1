"""`faro tune`: the bound is kept on held-out prompts, a killed run ends with the same numbers, bad input is a line."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import constraints as ct
import faro
from faro.data import Dataset, demo
from faro.errors import DataError, UsageError
from faro.models import Linear
from faro.policies.tune import read
from faro.store.model import TrainedModel, load_model
from tests.builders.processes import environment

WANTED = {"quality": 0.9, "clarity": 0.5, "brevity": 0.3, "dialect=A": 0.5, "dialect=B": -0.7}


def a_table(people=300):
    return Dataset.from_table(demo.generate(people, seed=3), demo.SCHEMA, name="small", defaults=demo.DEFAULTS)


def a_reward(data, scale=1.0):
    """A reward that is as annotators are: it penalises a dialect."""
    coding = data.fit_coding(data.rows(("train", "dual")))
    names = list(coding.items.names)
    params = {"intercept": np.zeros(()), "item": np.array([scale * WANTED[name] for name in names])}
    params |= {"context": np.zeros(2), "cross": np.zeros((len(names), 2))}
    params = {name: np.asarray(value, np.float32) for name, value in params.items()}
    return TrainedModel(Linear(), params, coding, data.schema, {"seed": 0, "unit_rule": data.unit_rule})


SHORT = {"steps": 120, "every": 20, "prompts": 128, "learning_rate": 0.05}
BOUND = 0.15


@pytest.mark.slow
def test_policy_rates_are_within_the_bound_on_held_out_prompts_where_the_unconstrained_ones_are_not(tmp_path):
    data = faro.load("demo")
    reward = a_reward(data)
    free = faro.tune(reward, data, settings=SHORT)
    tuned = faro.tune(reward, data, bound=BOUND, settings=SHORT, group="community", advantage="p_grpo", out=tmp_path)
    assert free.policy.about["status"] == tuned.policy.about["status"] == "FEASIBLE"
    figures, unbound = tuned.policy.about["figures"], free.policy.about["figures"]
    assert unbound["dev_gap"] > BOUND + 0.05
    assert figures["dev_gap"] <= BOUND and figures["held_gap"] <= BOUND
    assert unbound["dev_reference_value"] + 0.3 < figures["dev_value"] < unbound["dev_value"]
    # The saved policy says the same through the front door: softmax of its rewards
    policy = load_model(tmp_path / "policy")
    assert policy.about["policy"]["rule"] == "softmax(temperature=1)"
    dev = data.take(data.rows("dev"))
    scored = policy.score(dev, rule=policy.rule_named())["decision"]
    shares = np.exp(policy.rewards(dev))
    shares /= shares.sum(1, keepdims=True)
    np.testing.assert_allclose(scored, shares.reshape(-1), rtol=1e-6)  # the policy, not its argmax
    codes = dev.parsed.attributes["dialect"]
    rates = [shares[codes == code].mean() for code in (0, 1)]
    assert abs(rates[0] - rates[1]) == pytest.approx(figures["dev_gap"], abs=1e-6)
    assert (shares * reward.rewards(dev)).sum(1).mean() == pytest.approx(figures["dev_value"], abs=1e-4)
    kept = policy.about["policy"]["group_rewards"]
    assert min(kept["seen"]) > 1000 and kept["mean"][0] > kept["mean"][1]
    assert any("may be the bias of the reward model" in note for note in policy.about["notes"])
    again = faro.tune(reward, data, bound=BOUND, settings=SHORT, group="community", advantage="p_grpo", out=tmp_path)
    pd.testing.assert_frame_equal(again.trace, tuned.trace, check_exact=False, rtol=1e-6)
    with pytest.raises(UsageError, match="has another finished run"):
        faro.tune(reward, data, bound=0.1, settings=SHORT, out=tmp_path)
    # A bound that cannot be reached is said, and no last iterate is passed off as a solution
    short = {"steps": 10, "every": 10, "prompts": 32, "learning_rate": 0.5}
    missed = faro.tune(reward, data, bound=0.001, settings=short)
    assert missed.policy.about["status"] == "INFEASIBLE"
    assert any("no solution found" in note for note in missed.policy.about["notes"])


KILLED = """
import os, signal, sys
import faro
from faro.store.model import load_model

def stop(done, total):
    if done == 40:
        os.kill(os.getpid(), signal.SIGKILL)

faro.tune(sys.argv[1], sys.argv[2], "demographic_parity", attribute="dialect", bound=0.15,
          settings={"steps": 80, "every": 20, "prompts": 64}, out=sys.argv[3], progress=stop)
"""


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_numbers(tmp_path):
    data = a_table()
    reward = a_reward(data).save(tmp_path / "reward")
    data.frame.to_csv(tmp_path / "table.csv", index=False)
    out = tmp_path / "run"
    words = [sys.executable, "-c", KILLED, str(reward), str(tmp_path / "table.csv"), str(out)]
    ended = subprocess.run(words, env=environment(), check=False)
    assert ended.returncode == -signal.SIGKILL
    assert (out / "steps" / "state-2").exists() and not (out / "tune.json").exists()
    with pytest.raises(DataError, match="expected a finished run"):
        read(out)

    def run(folder):
        steps = []
        options = {"attribute": "dialect", "bound": 0.15, "settings": {"steps": 80, "every": 20, "prompts": 64}}
        faro.tune(
            str(reward), str(tmp_path / "table.csv"), "demographic_parity", **options, out=folder,
            progress=lambda done, total: steps.append(done),
        )  # fmt: skip
        return steps

    assert run(out) == [40, 60, 80]  # from where it was killed
    assert run(tmp_path / "whole") == [0, 20, 40, 60, 80]
    for name in ("policy.json", "policy.safetensors", "policy.units.txt", "tune.csv"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert not (out / "steps").exists()


@pytest.mark.slow
def test_bad_input_is_a_line_with_a_code(tmp_path, faro):
    data = a_table(60)
    model = a_reward(data)
    reward = model.save(tmp_path / "reward")
    data.frame.to_csv(tmp_path / "table.csv", index=False)

    def said(*words):
        code, out, err = faro("tune", reward, "--data", tmp_path / "table.csv", *words)
        assert not out and err.count("\n") == 1, err
        return code, err

    assert said("--beta", "0") == (2, "faro: beta: expected a number above 0, got 0.0; without a pull to the reference "
                                      "the best policy is an argmax\n")  # fmt: skip
    assert said("--beta", "nan")[0] == 2
    assert said("--advantage", "p_grpo") == (
        2, "faro: PGRPO reads the preference group of each answer; name a group\n"
    )  # fmt: skip
    assert "did you mean 'grpo'" in said("--advantage", "gropo")[1]
    assert "unknown attribute 'sex'" in said("--group", "sex")[1]
    assert said("--advantage", "gdpo") == (
        2, "faro: GDPO reads several rewards of each answer; give several models\n"
    )  # fmt: skip
    assert "there are no groups to deal" in said("--placebo")[1]
    assert "unknown setting 'setps'" in said("--set", "setps=3")[1]
    params = {**model.params, "item": np.full_like(model.params["item"], np.nan)}
    dataclasses.replace(model, params=params).save(tmp_path / "reward")
    code, err = said()
    assert code == 5 and "reward is no finite number" in err


def test_a_reference_of_other_people_is_refused_and_an_attribute_without_a_bound_is_measured():
    data = a_table(60)
    reward = a_reward(data)
    other = dataclasses.replace(reward, about={"seed": 1, "unit_rule": data.unit_rule})
    with pytest.raises(UsageError, match="reference: expected models of one seed"):
        faro.tune(reward, data, reference=other, settings={"steps": 20})
    plain = dataclasses.replace(data, defaults={})
    with pytest.raises(UsageError, match="unknown attribute 'dialekt'"):
        faro.tune(reward, plain, attribute="dialekt", settings={"steps": 20})


def test_what_a_policy_was_made_from_is_said():
    from faro.policies import GRPO
    from faro.policies.tune import Asked, _doubts, _manifest

    data = a_table(60)
    reward = a_reward(data)
    same = dataclasses.replace(reward, about=reward.about | {"digest": data.digest})
    other = dataclasses.replace(reward, about=reward.about | {"digest": "of another"})
    assert _doubts(Asked([reward, same], None, GRPO()), data) == []
    assert "a reward was trained on another table" in _doubts(Asked([other], None, GRPO()), data)[0]
    manifest = _manifest(Asked([reward], None, GRPO()), data, "")
    assert (manifest["rule"], manifest["candidates"]) == ("softmax(temperature=1)", "")
    moved = dataclasses.replace(reward, coding=data.fit_coding(data.rows("selection")))
    assert _manifest(Asked([moved], None, GRPO()), data, "")["fingerprint"] != manifest["fingerprint"]


def test_a_group_with_one_prompt_is_too_few():
    frame = demo.generate(60, seed=3)
    data = a_table(60)
    person = data.units[data.rows("train")[0]]
    once = frame[frame["person"].astype(str) == str(person)]["choice"].iloc[0]
    frame["community"] = np.where(frame["choice"] == once, "minority", "majority")
    lone = Dataset.from_table(frame, demo.SCHEMA, name="lone", defaults=demo.DEFAULTS)
    with pytest.raises(DataError, match="group 'minority' has 1 prompt in train: too few"):
        faro.tune(a_reward(data), lone, advantage="p_grpo", group="community", settings={"steps": 20})


def test_groups_dealt_at_random_keep_their_numbers():
    from faro.policies import PGRPO
    from faro.policies.tune import Asked, _groups

    data = a_table(100)
    asked = Asked([a_reward(data)], None, PGRPO(), data.attributes["community"], placebo=True)
    dealt, true = _groups(asked, data, "dev"), _groups(dataclasses.replace(asked, placebo=False), data, "dev")
    per_person = pd.DataFrame({"unit": data.unit_codes, "dealt": dealt[:, 0], "true": true[:, 0]}).groupby("unit")
    assert (per_person["dealt"].nunique() == 1).all()  # a person has one
    first = per_person.first()
    assert sorted(first["dealt"]) == sorted(first["true"]) and (first["dealt"] != first["true"]).any()


def test_a_table_is_shown(capsys):
    from faro.cli.terminal import show_policy

    figures = {f"{part}_{what}{name}": 0.25 for part in ("train", "selection", "dev") for what in ("", "reference_")
               for name in ("value", "value:a", "value:b", "worst_value", "gap")}  # fmt: skip
    figures |= {f"{part}_divergence": 0.5 for part in ("train", "selection", "dev")}
    kept = {"seen": [10.0, 20.0], "mean": [0.1, 0.2], "deviation": [1.0, 2.0]}
    about = {"status": "FEASIBLE", "constraint": "parity", "bound": [0.1], "data": "demo", "figures": figures,
             "policy": {"rule": "softmax(temperature=1)", "levels": ["a", "b"], "group_rewards": kept}}  # fmt: skip
    show_policy(about, "out/policy")
    out = capsys.readouterr().out
    assert "FEASIBLE: parity at bound 0.1, demo" in out and "out/policy/policy.json" in out
    assert json.dumps(about)
    assert ct.rule_of(about["policy"]["rule"])
