"""The files that faro certify and faro gate write beside their answer, through the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from faro import cli, verify
from tests.builders.ci_files import ACTION, GITLAB
from tests.builders.outputs import PEOPLE, Command

ADMITTED = ["iid-units", "group-labels-correct", "train-overlap-unchecked"]


@pytest.fixture
def faro(tmp_path, capsys, monkeypatch):
    return Command(tmp_path, capsys, monkeypatch)


def test_certify_writes_what_it_found(faro):
    code, files = faro("certify", "--out", "cert.json")
    assert code == 0
    record = json.loads(Path("cert.json").read_text())
    assert all(record["sha256"] in files[kind] for kind in ("html", "markdown"))
    assert record["claims"]["it"]["ucb"] and "Proved at most 0." in files["html"]
    assert ET.fromstring(files["junit-xml"]).get("tests") == "2"
    assert json.loads(files["sarif"])["runs"][0]["results"] == []
    assert verify.main(["cert.json", "audit.csv", "--policy", "faro.toml"]) == 0


def test_inconclusive_says_how_many_people(faro, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    code, files = faro("certify", bound=0.02)
    assert code == 3
    assert "would have an even chance to show 0.02" in files["html"]
    assert "::error file=faro.toml,line=" in faro.shown.err
    code, files = faro("certify", "--report-only", bound=0.02)
    assert code == 0
    assert "::warning file=faro.toml,line=" in faro.shown.err
    assert "INCONCLUSIVE" in files["markdown"]


def test_tuning_is_marked(faro):
    rows = [row | {"part": "dev"} for row in PEOPLE]
    _, files = faro("certify", rows=rows)
    assert all("uning data, no guarantee" in files[kind] for kind in ("html", "junit-xml", "markdown"))


def test_gate_shows_one_bit_everywhere(faro, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    gap = [row | {"reward": 1.0 if row["g"] == "A" else row["reward"]} for row in PEOPLE]
    ledger = {"ledger": "ledger.jsonl", "escrow": "escrow", "assumptions": ADMITTED, "min_group": 50}
    code, files = faro("gate", "--out", "cert.json", rows=gap, **ledger)
    assert code == 1
    (escrowed,) = (tmp_path / "escrow").iterdir()
    secret = json.loads(escrowed.read_text())["certificate"]
    numbers = {secret["claims"]["it"]["ucb"][:5], secret["claims"]["it"]["lcb"]["value"][:5], secret["sha256"]}
    numbers |= {secret["data"]["rows_sha256"]}
    texts = [*files.values(), faro.shown.out, faro.shown.err, (tmp_path / "summary").read_text()]
    for text in texts:
        assert "no pass" in text.lower()
        assert not [number for number in numbers if number in text]
    assert not (tmp_path / "cert.json").exists()
    code, files = faro("gate", "--out", "cert.json", **ledger)
    assert code == 0
    assert "attempt 2" in files["html"]
    assert json.loads((tmp_path / "cert.json").read_text())["sha256"] in files["html"]


def test_too_few_people_names_the_groups(faro):
    code, files = faro("gate", ledger="ledger.jsonl", assumptions=ADMITTED, min_group=2000)
    assert code == 3
    assert all("500 units, the policy asks for 2000" in text for text in files.values())


@pytest.mark.parametrize("command", ["certify", "gate"])
def test_refused_input_is_an_error_in_every_file(faro, command):
    rows = [PEOPLE[0] | {"g": "Z"}, *PEOPLE[1:]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("faro.certify.ledger.create", lambda *args: None)
        code, files = faro(command, rows=rows)
    assert code == 5
    assert all("Z" in text for text in files.values())
    assert ET.fromstring(files["junit-xml"]).get("errors") == "1"


def test_outputs_are_for_one_certificate(faro, tmp_path, capsys):
    faro("certify")
    words = ["certify", str(tmp_path), "--policy", "faro.toml", "--disclose", "--html", "x.html"]
    assert cli.main(words) == 2
    assert "for one certificate" in capsys.readouterr().err


def test_ci_files_use_options_that_exist():
    """Every option in action.yml and the GitLab example is one of faro gate or faro score."""
    parser = cli._parser()
    known = {
        option
        for action in parser._actions
        for name, sub in (getattr(action, "choices", None) or {}).items()
        if name in ("gate", "score")
        for option in sub._option_string_actions
    }
    gitlab = "\n".join(line for line in yaml.safe_dump(GITLAB["script"]).splitlines())
    calls = re.findall(r"faro (?:gate|score)[^|;>]*", gitlab.replace("\\\\\\n", " "))
    action = next(step["run"] for step in ACTION["runs"]["steps"] if "faro gate" in step["run"])
    used = set(re.findall(r"(?<!\S)\(?(--[a-z-]+)", " ".join(calls) + action.replace("(", " ")))
    assert {"--policy", "--ledger", "--html", "--part"} <= used
    assert used <= known
