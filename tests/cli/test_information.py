"""What needs no training: help, the version, lists and descriptions, colour, and which options there are."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from faro import cli
from tests.builders.processes import environment

pytestmark = pytest.mark.usefixtures("place")


@pytest.mark.parametrize("command", ["data", "train", "frontier", "score", "report"])
def test_help_has_examples(command, faro):
    code, out, err = faro(command, "--help")
    assert (code, err) == (0, "")
    assert "examples:" in out
    assert f"\n  faro {command} " in out
    assert "exit codes:" in out
    assert command in faro("--help")[1]


def test_version(faro):
    code, out, err = faro("--version")
    assert (code, err) == (0, "")
    assert out.startswith("faro 0.")
    command = [sys.executable, "-m", "faro", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, out, "")


def test_list_and_describe(faro):
    code, out, err = faro("data", "list")
    assert (code, err) == (0, "")
    assert "generated" in out
    assert "faro data fetch compas" in " ".join(out.split())
    listed = json.loads(faro("data", "list", "--json")[1])
    assert [row["name"] for row in listed if row["fetched"]] == ["swissmetro", "immigration", "adult", "compas"]
    code, _, err = faro("data", "describe", "pandalm")
    assert code == 5 and "put its tables (Wang et al." in err and "names: pandalm/testset.jsonl.gz" in err
    code, out, err = faro("data", "describe", "demo")
    assert (code, err) == (0, "")
    for word in ("12,000 choices", "2,000 people", "gate", "chosen", "dialect", "licence", "trap", "twins"):
        assert word in out
    described = json.loads(faro("data", "describe", "demo", "--json")[1])
    assert sum(part["choices"] for part in described["parts"].values()) == 12_000
    code, out, err = faro("data", "describe", "t.csv", "--schema", "t.toml")
    assert (code, err) == (0, "")
    assert "300 choices" in out


def test_colour_only_where_it_is_wanted(faro, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in faro("data", "list")[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in faro("data", "list")[1]


def test_commands_of_a_point_know_every_option():
    """An option without a value that is not known would swallow the word after it."""
    from faro.report import _commands

    def options(command):
        subparsers = next(action for action in cli._parser()._actions if hasattr(action, "choices") and action.choices)
        return {action.option_strings[-1]: action.nargs for action in subparsers.choices[command]._actions}

    many, one = options("frontier"), options("train")
    bare = {name for name, nargs in many.items() if nargs == 0 and name != "--help"}
    assert bare == set(_commands.FLAGS)
    assert set(many) - set(one) - bare == set(_commands.GRID)
