"""What to type for a point of a run gives that point, whatever its names are."""

from __future__ import annotations

import json
import shlex
from types import SimpleNamespace

import pytest

import constraints as ct
import faro
from faro import api
from faro.report import read_run
from faro.report._commands import of_trial
from faro.store.spec import arguments_of, same, to_record
from tests.builders.catalogue import ATTRIBUTES, EVERY
from tests.builders.invented import Invented, recorded


@pytest.mark.parametrize(
    ("command", "again", "alone"),
    [
        ("faro frontier", "faro frontier --out again", "faro train"),
        (
            "faro frontier --data 'my table.csv' --schema=s.toml --bounds 1:2:3 --seeds 4 --out x --json --quiet",
            "faro frontier --data 'my table.csv' --schema=s.toml --bounds 1:2:3 --seeds 4 --out again",
            "faro train --data 'my table.csv' --schema=s.toml",
        ),
        (
            "faro frontier --overwrite --bounds=0.05 --config c.toml --of side=left --out=y",
            "faro frontier --bounds=0.05 --config c.toml --of side=left --out again",
            "faro train --config c.toml --of side=left",
        ),
    ],
)
def test_the_commands_of_a_point_keep_what_was_asked(command, again, alone, folder):
    sweep, train, score, *_ = of_trial(recorded(folder, command=command), 4)
    assert sweep.text == again and "again/models/bound02-seed1.json" in sweep.note
    assert train.text == f"{alone} --bound 0.05 --seed 1 --out bound02-seed1"
    assert ("'my table.csv'" in score.text) == ("table" in command)


def test_a_run_from_python_is_repeated_in_python(tmp_path):
    parts = ("demographic_parity(sex, of=side=left, within=age)", "equalized_odds(sex, of=side=left, within=age)")
    folder = Invented(parts=parts).write(tmp_path)
    constraint = json.loads((folder / "manifest.json").read_text())["constraint"]
    asked = {"constraint": "demographic_parity+equalized_odds", "attribute": "sex", "of": "side=left", "within": "age"}
    run = recorded(
        folder,
        command="",
        configuration={"model": "Linear(scale=0.5)", "steps": 9},
        constraint=constraint | {"asked": asked},
        model={"asked": "linear(scale=0.5)", "record": {}},
        loss={"asked": "cvar(share=0.5)", "record": {}},
    )
    text = of_trial(run, 4)[0].text
    compile(text, "again", "exec")
    for part in ("'demographic_parity+equalized_odds'", "attribute='sex'", "of='side=left'", "within='age'"):
        assert part in text
    own = ("model='linear(scale=0.5)'", "loss='cvar(share=0.5)'", "settings={'steps': 9}")
    for part in ("bounds=[0.02, 0.05, 0.1, 0.2]", "seeds=[0, 1, 2]", *own):
        assert part in text
    assert (
        f"    data,  # {run.data['name']}, as it was given" in text
    )  # a table and a schema, of which the run knows the name
    named = of_trial(recorded(folder, data={**run.data, "name": "adult", "title": "a registered set"}), 4)[0].text
    assert "    'adult'," in named
    own = recorded(Invented(parts=("Mine()",)).write(tmp_path / "own"), command="")
    text = of_trial(own, 4)[0].text  # names are not read
    compile(text, "again", "exec")
    assert "constraint,  # Mine(), as it was given" in text and "model=model,  # a model, as it was given" in text
    record = {"type": "mine.nets:Net", "options": {"depth": 2}}
    own = recorded(tmp_path / "own", model={"asked": None, "record": record})
    assert f"model=spec.from_record({record!r}, 'model')" in of_trial(own, 4)[0].text
    assert "--constraint NAME" in of_trial(own, 4)[-1].text and "name alone" in of_trial(own, 4)[-1].note


def test_what_is_typed_again_trains_the_same_constraint(tmp_path, monkeypatch):
    """Of the whole catalogue, with options, crossed, several and stacked: the very constraint, but for its bound."""
    run = recorded(Invented().write(tmp_path), command="")
    data, seen = SimpleNamespace(attributes=ATTRIBUTES, defaults={}), []
    monkeypatch.setattr(faro, "frontier", lambda *given, **named: seen.append((given, named)))
    for what, constraint in EVERY:
        run.manifest["constraint"] |= {"record": to_record(constraint), "asked": arguments_of(constraint, ATTRIBUTES)}
        exec(of_trial(run, 4)[0].text, {"model": None, "data": None})
        (_, own), named = seen.pop()
        made = api._constraint(data, own, *(named.get(key) for key in ("attribute", "of", "within")), 0.05)
        assert same(made.at(0.05), constraint.at(0.05)), what
    own = ct.Stack(members=(ct.rate_cap(None), ct.calibration(ATTRIBUTES["group"], bins=3)))
    record = to_record(own) | {"members": [{"type": "mine:Mine", "opaque": "a function"}]}
    run.manifest["constraint"] |= {"record": record, "asked": None, "name": "mine"}
    assert "constraint,  # mine, as it was given" in of_trial(run, 4)[0].text


def test_commands_import_what_no_package_declares(tmp_path):
    """A constraint and a model by their place; one that is declared, or faro's own, needs nothing."""
    folder = Invented().write(tmp_path)
    parts = [{"type": "mine.notions:Mixed", "options": {}}, {"type": "equalized_odds", "options": {}}]
    constraint = json.loads((folder / "manifest.json").read_text())["constraint"]
    stacked = constraint | {"record": {"type": "constraints:Stack", "options": {"members": parts}}}
    run = recorded(
        folder, constraint=stacked, model={"record": {"type": "mine.nets:Net", "options": {}}, "asked": None}
    )
    lines = [line for command in of_trial(run, 4) for line in command.text.splitlines() if "faro" in line]
    for line in lines:
        needed = line.startswith(("faro score", "faro policy"))
        assert ("--plugin mine.notions:Mixed --plugin mine.nets:Net" in line) == needed, line


def test_names_cannot_leave_their_place_in_a_command(tmp_path):
    """A shell reads back the very words, whatever they hold."""
    odd = "a b'; $(rm -rf ~) {seed} `x`"
    folder = Invented(name=odd).write(tmp_path / odd.replace("/", ""))
    for command in of_trial(recorded(folder, command=""), 4)[1:]:
        for line in command.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line)
            assert words[0] == "faro"
            assert not {"rm", "-rf", ";"} & set(words)
    assert odd in shlex.split(of_trial(read_run(folder), 4)[1].text)
