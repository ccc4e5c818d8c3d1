"""A model trained under a decision rule, scored by it, certified, and checked again by scoring once more."""

from __future__ import annotations

import json
import tomllib

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
