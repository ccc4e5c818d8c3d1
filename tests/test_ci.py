"""action.yml and the CI examples, run by bash with a stand-in for `faro`: no answer before the ledger is safe."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
GITLAB = yaml.safe_load((ROOT / "docs/ci/gitlab.yml").read_text("utf-8"))["faro-gate"]
GITHUB = yaml.safe_load((ROOT / "docs/ci/github.yml").read_text("utf-8"))

FARO = """#!/usr/bin/env bash
# A stand-in: notes how it was called, writes what faro gate would, and ends with the code it was given.
printf '%s\\n' "$@" > called
[ "$1" = score ] && exit 0
echo '{"kind": "attempt"}' >> ledger/ledger.jsonl
echo second > ledger/ledger.jsonl.head
[ -n "$GITHUB_STEP_SUMMARY" ] && echo "## the summary" >> "$GITHUB_STEP_SUMMARY"
while [ $# -gt 0 ]; do
  case "$1" in --html | --junit-xml | --sarif) echo "$1" > "$2" ;; esac
  shift
done
echo "THE ANSWER"
echo "::error title=faro::THE ANSWER" >&2
exit "$CODE"
"""


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A working folder with a stand-in `faro` and a ledger in a clone of `remote`; returns (folder, remote)."""
    for name, value in (("AUTHOR", "a"), ("COMMITTER", "c")):
        monkeypatch.setenv(f"GIT_{name}_NAME", value)
        monkeypatch.setenv(f"GIT_{name}_EMAIL", f"{value}@example.org")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    remote, work, tools = tmp_path / "remote.git", tmp_path / "work", tmp_path / "tools"
    for folder in (work, tools):
        folder.mkdir()
    for name, text in {"faro": FARO, "pip": "#!/bin/sh\n", "curl": "#!/bin/sh\n"}.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    git("init", "--quiet", "--bare", "--initial-branch=faro-ledger", remote)
    git("clone", "--quiet", remote, work / "ledger")
    git("-C", work / "ledger", "checkout", "--quiet", "-B", "faro-ledger")
    (work / "ledger/ledger.jsonl").write_text('{"kind": "init"}\n')
    (work / "ledger/ledger.jsonl.head").write_text("first\n")
    git("-C", work / "ledger", "add", "--all")
    git("-C", work / "ledger", "commit", "--quiet", "-m", "init")
    git("-C", work / "ledger", "push", "--quiet", "-u", "origin", "faro-ledger")
    return work, remote


def git(*words):
    return subprocess.run(["git", *map(str, words)], check=True, capture_output=True, text=True).stdout


def pushed(remote):
    assert git("-C", remote, "show", "faro-ledger:ledger.jsonl.head") == "second\n"  # they belong together
    return git("-C", remote, "show", "faro-ledger:ledger.jsonl").splitlines()


def run_action(work, code, **given):
    """The steps of action.yml as GitHub would run them; (exit code, everything shown, summary, outputs)."""
    inputs = {name: spec.get("default", "") for name, spec in ACTION["inputs"].items()}
    inputs |= {"table": "gate.csv", "ledger": "ledger/ledger.jsonl", "install": ""} | given
    assert set(inputs) == set(ACTION["inputs"])
    outputs, shown = {}, ""
    summary = work / "summary.md"
    summary.touch()
    for step in ACTION["runs"]["steps"]:
        if "if" in step and not inputs["install"]:
            continue
        assert "${{" not in step["run"]  # inputs reach the shell through the environment only

        def value(found):
            kind, *names = found[1].strip().split(".")
            return inputs[names[0]] if kind == "inputs" else outputs[names[0], names[2]]

        env = {key: re.sub(r"\$\{\{(.*?)\}\}", value, text) for key, text in step["env"].items()}
        (work / "output").write_text("")
        shell = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]], cwd=work, capture_output=True,
            text=True, env=env | {"PATH": os.environ["PATH"], "CODE": str(code), "HOME": str(work),
                                  "GIT_CONFIG_GLOBAL": "/dev/null",
                                  "GITHUB_OUTPUT": str(work / "output"), "GITHUB_STEP_SUMMARY": str(summary)},
        )  # fmt: skip
        shown += shell.stdout + shell.stderr
        for line in (work / "output").read_text().splitlines():
            key, _, text = line.partition("=")
            outputs[step["id"], key] = text
        if shell.returncode:
            break
    return shell.returncode, shown, summary.read_text(), outputs


@pytest.mark.parametrize("code", [0, 1, 3, 5, 70])
def test_action_shows_the_answer_after_the_ledger_is_pushed(checkout, code):
    work, remote = checkout
    ended, shown, summary, outputs = run_action(work, code)
    assert ended == code
    assert outputs["show", "code"] == str(code)
    assert "THE ANSWER" in shown
    assert "::error title=faro::THE ANSWER" in shown.splitlines()
    assert summary == "## the summary\n"
    assert len(pushed(remote)) == 2
    assert sorted(path.name for path in (work / "faro-gate").iterdir()) == [
        "certificate.html", "faro.sarif", "junit.xml"
    ]  # fmt: skip


def test_action_shows_nothing_if_the_ledger_cannot_be_pushed(checkout):
    work, remote = checkout
    shutil.rmtree(remote)
    ended, shown, summary, outputs = run_action(work, 0)
    assert ended not in (0, 1, 3)
    assert "THE ANSWER" not in shown
    assert summary == ""
    assert ("show", "code") not in outputs
    assert not (work / "faro-gate").exists()


def test_action_passes_inputs_on_as_they_are(checkout):
    work, _ = checkout
    strange = "a b; echo $(whoami).csv"
    run_action(
        work, 0, table=strange, models="one.json\ntwo two.safetensors\n", tables="mix=t.csv", **{"train-units": "u"}
    )
    words = (work / "called").read_text().splitlines()
    assert words[:2] == ["gate", strange]
    pairs = list(itertools.pairwise(words))
    for pair in (("--model", "one.json"), ("--model", "two two.safetensors"), ("--table", "mix=t.csv"),
                 ("--train-units", "u"), ("--policy", "faro.toml"), ("--ledger", "ledger/ledger.jsonl")):  # fmt: skip
        assert pair in pairs
    assert words.count("--model") == 2


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize("broken", [False, True])
def test_gitlab_job_does_the_same(checkout, code, broken):
    work, remote = checkout
    script = "\n".join(line for line in GITLAB["script"] if not line.startswith("git clone"))
    if broken:
        shutil.rmtree(remote)
    shell = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script], cwd=work, capture_output=True, text=True,
        env={"PATH": os.environ["PATH"], "CODE": str(code), "AUDIT_DATA": "x", "HOME": str(work),
             "GIT_CONFIG_GLOBAL": "/dev/null"},
    )  # fmt: skip
    assert ("THE ANSWER" in shell.stdout) != broken
    assert (work / "faro-gate").exists() != broken
    if not broken:
        assert shell.returncode == code
        assert len(pushed(remote)) == 2
        assert (work / GITLAB["artifacts"]["reports"]["junit"]).exists()
    else:
        assert shell.returncode not in (0, 1, 3)


def test_examples_call_the_action_as_it_is():
    steps = GITHUB["jobs"]["gate"]["steps"]
    (gate,) = [step for step in steps if step.get("id") == "gate"]
    assert gate["uses"].startswith("OWNER/faro@")
    assert set(gate["with"]) <= set(ACTION["inputs"])
    needed = {name for name, spec in ACTION["inputs"].items() if spec.get("required")}
    assert needed <= set(gate["with"])
    folder = gate["with"].get("out", ACTION["inputs"]["out"]["default"])
    uploads = [step["with"] for step in steps if "upload" in step.get("uses", "")]
    assert {with_.get("path", with_.get("sarif_file")) for with_ in uploads} == {folder, f"{folder}/faro.sarif"}
    assert all("OWNER" in words for step in steps for words in [step.get("run", "OWNER")])
    assert GITHUB["concurrency"]["cancel-in-progress"] is False
    assert GITLAB["resource_group"]
