"""Three hundred fuzzed cases through load, score, certify, gate, ledger and verify; 10,000 are `benchmarks/fuzz.py`.

What must hold of each command is there: documented codes, one line of reason, nothing left over, no false pass.
Controls: a command that breaks one of these rules is found.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import sys
import warnings

import numpy as np
import pytest
import safetensors.numpy

from benchmarks import fuzz
from benchmarks._fuzz import mutations
from benchmarks._fuzz.cases import Case
from benchmarks._fuzz.commands import run
from benchmarks._fuzz.ground import make_ground
from benchmarks._fuzz.kinds import record, run_case
from benchmarks._fuzz.mutations import Table
from benchmarks._fuzz.projects import PROJECTS, UNITS

CASES = 300
BLOCK = 25


@pytest.fixture(scope="module")
def grounds(tmp_path_factory):
    fuzz.quickly()
    folder = tmp_path_factory.mktemp("grounds")
    return {name: make_ground(name, folder) for name in PROJECTS}


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, CASES, BLOCK))
def test_fuzzed_cases_break_no_rule(first, grounds, tmp_path):
    for number in range(first, first + BLOCK):
        case = run_case(number, grounds, tmp_path / str(number))
        assert record(number, case)["faults"] == []


def test_cases_reach_verdicts_and_every_command(grounds, tmp_path):
    """A fuzzer whose every case is refused at the door would prove nothing."""
    ended = set()
    for number in (1, 8, 18, 20, 22, 24):
        ended |= {(ran.command, ran.code) for ran in run_case(number, grounds, tmp_path / str(number)).ran}
    assert {("certify", 0), ("verify", 0), ("verify.py", 0), ("gate", 0), ("ledger init", 0)} <= ended


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (lambda: 1 / 0, "exit code 70"),
        (lambda: warnings.warn("of a library", UserWarning, stacklevel=1) or 0, "warning: of a library"),
        (lambda: print("two\nlines", file=sys.stderr) or 5, "stderr: two"),
        (lambda: 5, "0 reasons for code 5"),
        (lambda: print("faro: not well", file=sys.stderr) or 0, "code 0, and yet faro: not well"),
        (lambda: 9, "exit code 9"),
    ],
)
def test_a_command_that_breaks_a_rule_is_found(said, fault, grounds, tmp_path, monkeypatch):
    monkeypatch.setattr("faro.cli.commands.data._data", lambda options: said())
    assert any(fault in found for found in run(tmp_path, ["data", "list"]).faults)


def test_what_is_left_over_is_found(tmp_path, monkeypatch):
    def leaves(options):
        (tmp_path / ".out.part").touch()
        (tmp_path / "out.csv").touch()
        print("faro: bad", file=sys.stderr)
        return 5

    monkeypatch.setattr("faro.cli.commands.data._data", leaves)
    faults = run(tmp_path, ["data", "list"], written="out.csv").faults
    assert faults == ["left over: .out.part", "code 5, and yet wrote out.csv"]


def test_a_checker_that_says_otherwise_is_found(grounds, tmp_path, monkeypatch):
    monkeypatch.setattr("faro.cli.commands.verifying._verify", lambda options: 3)
    case = Case(grounds["accept"], random.Random(0), tmp_path / "case", 0)
    shutil.copytree(grounds["accept"].folder, case.folder)
    case.judge("scored.csv")
    assert "certify ended with 0, verify with 3" in case.ran[-1].faults


# ---------------------------------------------------------------- named ones
def described(grounds, tmp_path, change, container=".jsonl", project="accept"):
    """(code, stderr) of `faro data describe` and of `faro score` on the project's table, changed."""
    ground = grounds[project]
    columns = dict(ground.data.columns)
    change(columns)
    table = tmp_path / f"t{container}"
    table.write_bytes(mutations.written(Table.of(columns), container))
    ran = [
        run(tmp_path, ["data", "describe", str(table), "--schema", str(ground.folder / "schema.toml")]),
        run(tmp_path, ["score", str(ground.folder / "model.json"), str(table), "--out", str(tmp_path / "s.csv")]),
    ]
    assert [each.faults for each in ran] == [[], []]
    return [(each.code, each.err) for each in ran]


@pytest.mark.parametrize("container", mutations.CONTAINERS)
def test_half_a_character_is_refused_by_name(container, grounds, tmp_path):
    def change(columns):
        columns["sex"] = [mutations.SURROGATE, *columns["sex"][1:]]

    for code, err in described(grounds, tmp_path, change, container):
        assert code == 5 and err.count("\n") == 1


@pytest.mark.parametrize("container", mutations.CONTAINERS)
def test_an_empty_label_column_is_refused(container, grounds, tmp_path):
    (code, err), _ = described(grounds, tmp_path, lambda columns: columns.update(hired=[""] * UNITS), container)
    assert code == 5 and "hired" in err


@pytest.mark.parametrize(("number", "code"), [(1e300, 0), (1e308, 5), (-1.7e308, 5)])
def test_no_reward_is_infinite(number, code, grounds, tmp_path):
    """Training could not standardise such a column, and refuses it; a model meets it in new rows."""
    _, scored = described(grounds, tmp_path, lambda columns: columns.update(score=[number, *columns["score"][1:]]))
    assert scored[0] == code and ("rescale it" in scored[1] or "no finite" in scored[1]) == (code == 5)


def test_a_number_that_equals_a_missing_one_is_missing(grounds, tmp_path):
    def spelled(text):
        def change(columns):
            columns["score"] = [text, *columns["score"][1:]]

        (tmp_path / text).mkdir()
        assert [code for code, _ in described(grounds, tmp_path / text, change, ".csv")] == [0, 0]
        return (tmp_path / text / "s.csv").read_text()

    assert spelled("-99.9") == spelled("-99.90") != spelled("-99.8")


@pytest.mark.parametrize("text", ["deep = " + "[" * 5000, "deep = " + "9" * 5000, "deep = [[[", "\0"])
@pytest.mark.parametrize("read", ["schema", "policy", "config"])
def test_toml_of_any_depth_is_refused(text, read, grounds, tmp_path):
    (tmp_path / "x.toml").write_text(text)
    folder = grounds["accept"].folder
    words = {
        "schema": ["data", "describe", str(folder / "data.csv"), "--schema"],
        "policy": ["certify", str(folder / "scored.csv"), "--html", str(tmp_path / "x.html"), "--policy"],
        "config": ["train", "--config"],
    }[read]
    ran = run(tmp_path, [*words, str(tmp_path / "x.toml")])
    assert (ran.code, ran.faults) == (2, []) and "not TOML" in ran.err


@pytest.mark.parametrize("value", [[1.0, 2.0], {"a": 1}, b"a", [["x"]]])
@pytest.mark.parametrize("column", ["reward", "sex", "unit"])
def test_a_cell_of_parquet_that_is_no_text_is_refused(column, value, grounds, tmp_path):
    ground = grounds["accept"]
    columns = dict(ground.scored.columns)
    columns[column] = [value] * UNITS
    (tmp_path / "t.parquet").write_bytes(mutations.written(Table.of(columns), ".parquet"))
    ran = run(tmp_path, ["certify", str(tmp_path / "t.parquet"), "--policy", str(ground.folder / "faro.toml")])
    said = f"no column '{column}'; there are" if isinstance(value, dict) else "expected texts, numbers or null"
    assert (ran.code, ran.faults) == (5, []) and said in ran.err  # an object is columns with dots


@pytest.mark.parametrize("keep", [0, 30, -66])
def test_a_list_of_audited_people_that_was_cut_is_refused(keep, grounds, tmp_path):
    """Whoever was forgotten in it could be looked at again."""
    shutil.copytree(grounds["accept"].ledgered, tmp_path / "case")
    marker = next((tmp_path / "case").glob("faro-audit-*.txt"))
    marker.write_bytes(marker.read_bytes()[:keep])
    words = ["gate", str(tmp_path / "case" / "scored.csv"), "--policy", str(tmp_path / "case" / "faro.toml")]
    ran = run(tmp_path, words)
    assert (ran.code, ran.faults) == (6, []) and "was changed" in ran.err


def with_tensors(change):
    def changed(record, tensors):
        change(tensors)

    return changed


DAMAGED = {
    "a seed that is no number": lambda record, tensors: record["about"].update(seed="x"),
    "a mean that is text": lambda record, tensors: record["coding"]["items"]["numbers"][0].update(mean="x"),
    "a feature of no column": lambda record, tensors: record["coding"]["items"]["levels"][0].update(name="x"),
    "a spread of 0": lambda record, tensors: record["coding"]["items"]["numbers"][0].update(scale=0),
    "a level that is no text": lambda record, tensors: record["coding"]["items"]["levels"][0].update(levels=[1, 2]),
    "an attribute without levels": lambda record, tensors: record["constraint"]["options"].update(
        x={"is": "attribute"}
    ),
    "a bound that is a list": lambda record, tensors: record["constraint"]["options"].update(bound=[0.1]),
    "no intercept": with_tensors(lambda tensors: tensors.pop('["intercept"]')),
    "a weight more": with_tensors(lambda tensors: tensors.update({'["item"]': np.zeros(99, np.float32)})),
    "weights that are whole": with_tensors(lambda tensors: tensors.update({'["intercept"]': np.zeros((), np.int32)})),
    "weights that are no numbers": with_tensors(
        lambda tensors: tensors.update({'["intercept"]': np.asarray(np.nan, np.float32)})
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_model_is_refused(name, grounds, tmp_path):
    folder = grounds["accept"].folder
    record = json.loads((folder / "model.json").read_text())
    tensors = safetensors.numpy.load((folder / "model.safetensors").read_bytes())
    DAMAGED[name](record, tensors)
    content = safetensors.numpy.save({key: np.asarray(value) for key, value in tensors.items()})
    record["parameters_sha256"] = hashlib.sha256(content).hexdigest()
    (tmp_path / "m.json").write_text(json.dumps(record))
    (tmp_path / "m.safetensors").write_bytes(content)
    scored = run(
        tmp_path, ["score", str(tmp_path / "m.json"), str(folder / "data.csv"), "--out", str(tmp_path / "x.csv")]
    )
    drafted = run(tmp_path, ["policy", str(tmp_path / "m.json")])
    assert scored.faults == drafted.faults == []
    assert scored.code == (0 if "bound" in name else 5)  # to score a table, nobody needs its bound
    assert drafted.code == (0 if "no numbers" in name else 5)  # and to draft a policy, nobody needs its weights


def test_a_page_says_what_the_checker_found_and_not_what_no_seal_covers(grounds, tmp_path):
    folder = grounds["accept"].folder
    found = json.loads((folder / "cert.json").read_text())
    found["info"]["table"]["units"]["column"] = "a forged column"
    (tmp_path / "cert.json").write_text(json.dumps(found))
    words = ["verify", str(tmp_path / "cert.json"), str(folder / "scored.csv"), "--policy", str(folder / "faro.toml")]
    ran = run(tmp_path, [*words, "--markdown", str(tmp_path / "sum.md"), "--html", str(tmp_path / "page.html")])
    assert (ran.code, ran.faults) == (0, [])
    for name in ("sum.md", "page.html"):
        assert "forged" not in (tmp_path / name).read_text() and "person" in (tmp_path / name).read_text()
