"""A model trained under a decision rule, scored by it, certified, and checked again by scoring once more."""

from __future__ import annotations

import json
import tomllib

import numpy as np
import pandas as pd
import pytest

from faro.cli import main
from tests.builders import runs

RULES = {"best_of(n=4)": "kl_tilted(beta=0.1)", "softmax(temperature=0.5)": "argmax"}


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_from_training_to_a_certificate_of_the_policy(rule, tmp_path, capsys):
    place = str(tmp_path / "model")
    words = ["train", "--data", "demo", "--bound", "0.05", "--set", "steps=30", "--rule", rule]
    assert main([*words, "--candidates", "enumerated", "--out", place]) == 0
    about = json.loads((tmp_path / "model.json").read_text())["about"]
    assert about["rule"] == rule and about["figures"]["train_gap"] <= 0.0501
    policy = str(tmp_path / "faro.toml")
    assert main(["policy", place, "--bound", "0.2", "--out", policy]) == 0
    text = (tmp_path / "faro.toml").read_text()
    assert 'schema = "faro-policy/3"' in text and f'rule = "{rule}"' in text and 'kind = "enumerated"' in text
    lines = [line for line in text.splitlines() if not line.startswith(("ledger", "escrow"))]
    admitted = '["iid-units", "group-labels-correct", "no-ledger"]'
    lines = [f"assumptions = {admitted}" if line.startswith("assumptions") else line for line in lines]
    (tmp_path / "faro.toml").write_text("\n".join(lines))
    table, certificate = str(tmp_path / "gate.csv"), str(tmp_path / "cert.json")
    assert main(["score", place, "demo", "--part", "gate", "--out", table]) == 0
    files = ["--model", f"{place}.json", "--model", f"{place}.safetensors", "--train-units", f"{place}.units.txt"]
    assert main(["certify", table, "--policy", policy, "--out", certificate, *files]) == 0
    assert f"the probability under {rule}" in " ".join(capsys.readouterr().out.split())  # lines are wrapped
    assert main(["verify", certificate, table, "--policy", policy, *files, "--rescore", "demo"]) == 0
    other = str(tmp_path / "other.csv")
    assert main(["score", place, "demo", "--part", "gate", "--rule", RULES[rule], "--out", other]) == 0
    assert main(["certify", other, "--policy", policy, *files]) == 5  # decided by another rule
    assert "score with --rule" in capsys.readouterr().err


@pytest.mark.slow
def test_a_tuned_policy_to_its_certificate(tmp_path, monkeypatch, capsys):
    """As a user types it: the saved policy says its rule, and every command after it reads that."""
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--data", "demo", "--bound", "inf", "--set", "steps=20", "--out", "reward"]) == 0
    words = "tune reward.json --data demo --attribute dialect --bound 0.15 --set steps=60 --out policy"
    assert main(words.split()) == 0
    about = json.loads((tmp_path / "policy" / "policy.json").read_text())["about"]
    assert about["rule"] == "softmax(temperature=1)"
    assert main(["policy", "policy/policy.json", "--bound", "0.25", "--out", "faro.toml"]) == 0
    assert main(["score", "policy/policy.json", "demo", "--part", "gate", "--out", "gate.csv"]) == 0
    assert main(["ledger", "init", "gate.csv", "--policy", "faro.toml"]) == 0
    files = "--model policy/policy.json --model policy/policy.safetensors --train-units policy/policy.units.txt"
    assert main(f"gate gate.csv --policy faro.toml --out cert.json {files}".split()) == 0
    assert main(f"verify cert.json gate.csv --policy faro.toml {files} --rescore demo".split()) == 0
    assert "the probability under softmax(temperature=1)" in " ".join(capsys.readouterr().out.split())
    assert main(["score", "policy/policy.json", "demo", "--part", "dev", "--out", "dev.csv"]) == 0
    by = ["score", "policy/policy.json", "demo", "--part", "dev", "--by", "community", "--json"]
    capsys.readouterr()
    assert main(by) == 0
    found = json.loads(capsys.readouterr().out)[-1]
    table = pd.read_csv(tmp_path / "dev.csv")
    hits = (table["label"] * table["decision"]).groupby(table["choice"]).sum().mean()
    assert found["accuracy"] == pytest.approx(hits, abs=1e-9)
    for command in ("report", "card"):  # of runs; a policy is none
        assert main([command, "policy"]) == 5
        assert "expected a finished run" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_is_read_by_another_rule(tmp_path, capsys):
    run = str(tmp_path / "run")
    words = "frontier --data demo --bounds 2 --seeds 2 --set steps=20 --rule best_of(n=2) --candidates enumerated --out"
    assert main([*words.split(), run]) == 0
    table = pd.read_csv(tmp_path / "run" / "frontier.csv").groupby("bound")[["dev_gap", "dev_accuracy"]].mean()
    capsys.readouterr()
    read = {}
    for rule in ("best_of(n=2)", "argmax"):
        assert main(["report", run, "--rule", rule, "--json"]) == 0
        read[rule] = pd.DataFrame(json.loads(capsys.readouterr().out)).set_index("bound")
    assert np.allclose(read["best_of(n=2)"][["gap", "accuracy"]], table, atol=1e-9)
    assert (read["argmax"]["gap"] > read["best_of(n=2)"]["gap"]).all()
    for one in read.values():
        assert (one["gap_low"] <= one["gap"]).all() and (one["accuracy"] <= one["accuracy_high"]).all()
    assert main(["report", run, "--rule", "best_of(n=0)"]) == 2
    assert "whole number in 1..100000" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, code, said",
    [
        (["--rule", "kl_tilted(beta=0)", "--candidates", "enumerated"], 2, "1e+30), got '0'"),
        (["--rule", "kl_tilted(beta=nan)", "--candidates", "enumerated"], 2, "1e+30), got 'nan'"),
        (["--rule", "best_of(n=2)"], 2, "say what the sets are"),
        (["--rule", "best_of(n=3)", "--candidates", "sampled"], 5, "2 draws, and best_of(n=3) needs 3 or more"),
        (["--rule", "best"], 2, "expected one of argmax"),
        (["--candidates", "enumerated"], 2, "can have no effect, for argmax asks for no reference"),
    ],
)
def test_what_is_no_rule_is_refused_in_a_line(words, code, said, capsys):
    assert main(["train", "--data", "demo", *words]) == code
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_a_draft_and_a_table_say_the_same_of_draws_that_nobody_described(tmp_path, capsys):
    folder = runs.invented(tmp_path, runs.people(900))
    model, data = str(folder / "models" / "bound00-seed0.json"), str(tmp_path / "people.csv")
    words = [model, "--rule", "softmax(temperature=1)", "--candidates", "sampled"]
    policy, table = tmp_path / "served.toml", tmp_path / "served.csv"
    assert main(["policy", *words, "--bound", "0.2"]) == 2 and "--data" in capsys.readouterr().err
    assert main(["policy", *words, "--bound", "0.2", "--data", data, "--out", str(policy)]) == 0
    drafted = tomllib.loads(policy.read_text())["candidates"]
    assert drafted["draws"] == 1  # the outside option is no draw
    assert main(["score", model, data, *words[1:], "--part", "gate", "--out", str(table)]) == 0
    made = json.loads((tmp_path / "served.csv-metadata.json").read_text())["candidates"]
    assert made == {name: drafted[name] for name in ("kind", "reference", "decoding")}
