"""The command line as a user meets it: exit codes, one line per mistake, results on stdout and chatter on stderr."""

import dataclasses
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest

from faro import cli
from faro.certify import description, rescore
from faro.certify.columns import read_columns
from faro.certify.policy import read_policy
from faro.errors import UnprovedError
from faro.report import read_run
from faro.report._commands import of_trial
from tests.builders.drawn import draw
from tests.builders.processes import environment

LONG = """
unit = "person"
choice = ["choice"]
alternative = "side"
label = "chosen"
weight = "weight"
numeric = ["x"]
categorical = ["group"]
context_categorical = ["camp"]

[[attributes]]
name = "group"
levels = ["a", "b"]

[[attributes]]
name = "camp"
levels = ["north", "south"]
chooser = true

[[attributes]]
name = "side"
levels = ["left", "right"]

[[twins]]
attribute = "group"
origin = "randomised"
"""
WIDE = """
format = "wide"
unit = "person"
numeric = ["x"]
categorical = ["group"]

[[attributes]]
name = "group"
levels = ["a", "b"]
"""
ACCEPT = """
format = "accept"
unit = "person"
label = "chosen"
numeric = ["x"]

[[attributes]]
name = "group"
levels = ["a", "b"]
"""
QUICK = "[settings]\nsteps = 30\nevery = 3\n"


def choices(people=150, each=2, seed=0):
    """A long table in which group b is chosen less."""
    rng = np.random.default_rng(seed)
    n = people * each
    x, group = rng.normal(size=(n, 2)).round(3), rng.integers(0, 2, (n, 2))
    first = x[:, 0] - x[:, 1] - group[:, 0] + group[:, 1] + rng.logistic(size=n) > 0
    person = np.repeat(np.arange(people), each)
    return pd.DataFrame(
        {
            "person": np.repeat([f"p{number}" for number in person], 2),
            "camp": np.repeat(np.where(person % 2, "north", "south"), 2),
            "choice": np.repeat(np.arange(n), 2),
            "side": np.tile(["left", "right"], n),
            "x": x.ravel(),
            "group": np.array(["a", "b"])[group.ravel()],
            "weight": 1,
            "chosen": np.stack([first, ~first], 1).ravel().astype(int),
        }
    )


TABLE = choices()


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty folder to work in, with the table and its schema, and no data set but the demo."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FARO_DATA", str(tmp_path / "no data"))
    monkeypatch.setenv("FARO_CACHE", str(tmp_path / "no cache"))
    TABLE.to_csv("t.csv", index=False)
    Path("t.toml").write_text(LONG)
    Path("quick.toml").write_text(QUICK)


SWEEP = ("frontier", "--schema", "t.toml", "--attribute", "group", "--config", "quick.toml", "--bounds", "0.05,0.2")
SWEEP += ("--seeds", "1", "--out", "out", "--data", "t.csv")
ONE = ("train", "--data", "t.csv", "--schema", "t.toml", "--attribute", "group", "--config", "quick.toml")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished sweep, made once; (folder, how the command ended)."""
    folder = tmp_path_factory.mktemp("finished")
    TABLE.to_csv(folder / "t.csv", index=False)
    (folder / "t.toml").write_text(LONG)
    (folder / "quick.toml").write_text(QUICK)
    out, err = io.StringIO(), io.StringIO()
    jax.config.update("jax_disable_most_optimizations", True)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setenv("NO_COLOR", "1")
        code = cli.main(list(SWEEP))
    return folder, subprocess.CompletedProcess(SWEEP, code, out.getvalue(), err.getvalue())


def process(*arguments):
    command = [sys.executable, "-m", "faro.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=300)


@pytest.fixture
def run(finished):
    """A copy of the finished sweep, in the working folder as `out`."""
    shutil.copytree(finished[0] / "out", "out")
    return Path("out")


def refused(result, code, *words):
    """One line on stderr that begins with the command's name, nothing on stdout, nothing written."""
    got, out, err = result
    assert got == code, err
    assert err.startswith("faro"), err
    assert err.count("\n") == 1, err
    assert err.endswith("\n")
    assert out == ""
    for word in words:
        assert word in err
    assert not Path("out").exists()


# Bad data: exit 5 ----------------------------------------------------------------------------------------------------


def put(column, row, value):
    table = TABLE.astype({"weight": object, "x": object})
    table.loc[row, column] = value
    return table


BAD_TABLES = {
    "no column": (TABLE.drop(columns="x"), ["no column 'x'", "columns are"]),
    "no label column": (TABLE.drop(columns="chosen"), ["no column 'chosen'", "label"]),
    "no unit column": (TABLE.drop(columns="person"), ["no column 'person'", "unit"]),
    "unknown level": (put("group", 6, "c"), ["row 7", "no level 'c'", "declared: a, b"]),
    "NaN feature": (put("x", 3, "nan"), ["column 'x'", "row 4", "finite"]),
    "infinite feature": (put("x", 3, "inf"), ["column 'x'", "row 4", "finite"]),
    "empty feature": (put("x", 3, ""), ["column 'x'", "row 4"]),
    "no label in a choice": (put("chosen", TABLE["choice"] == 3, 0), ["choice 3", "no alternative is labelled"]),
    "two labels in a choice": (put("chosen", TABLE["choice"] == 3, 1), ["choice 3", "two"]),
    "weight in words": (put("weight", 4, "heavy"), ["column 'weight'", "row 5", "'heavy'"]),
    "negative weight": (TABLE.assign(weight=-1), ["column 'weight'", "negative"]),
    "a doubled row": (pd.concat([TABLE, TABLE.head(1)]), ["twice in choice 0"]),
    "one group": (TABLE.assign(group="a"), ["only one group"]),
    "few people": (TABLE.head(8), ["part is empty", "add people"]),
    "no rows": (TABLE.head(0), ["empty"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_tables(case, faro):
    table, words = BAD_TABLES[case]
    table.to_csv("t.csv", index=False)
    refused(faro(*SWEEP), 5, *words)


def test_a_choice_in_which_nothing_is_available(faro):
    Path("t.toml").write_text('available = "there"\n' + LONG)
    there = (TABLE["choice"] != 2).astype(int)
    TABLE.assign(there=there, chosen=TABLE["chosen"] * there).to_csv("t.csv", index=False)
    refused(faro(*SWEEP), 5, "choice 2", "no alternative is available")


def test_files_that_cannot_be_read(faro):
    TABLE.to_parquet("t.parquet")
    whole = Path("t.parquet").read_bytes()
    Path("t.parquet").write_bytes(whole[: len(whole) // 2])
    refused(faro(*SWEEP[:-1], "t.parquet"), 5, "t.parquet", "cut short or corrupt")
    refused(faro(*SWEEP[:-1], "absent.csv"), 5, "absent.csv", "no such file")
    Path("t.csv").write_text("person,choice\np1\n")
    refused(faro(*SWEEP), 5, "row 1 has 1 cells")


@pytest.mark.parametrize("name", ["swissmetro", "immigration", "adult", "compas"])
def test_a_known_data_set_that_is_not_here(name, faro):
    refused(faro("frontier", "--data", name, "--out", "out"), 5, f"faro data fetch {name}")
    refused(faro("data", "describe", name), 5, f"faro data fetch {name}")


@pytest.mark.slow
def test_damaged_models(run, faro):
    model = run / "models" / "bound01-seed0.json"
    whole = model.read_text()
    for text in ("", "{", "[]", '{"format": "other"}', whole.replace('"coding"', '"codings"')):
        model.write_text(text)
        code, out, err = faro("score", model, "t.csv")
        assert (code, out, err.count("\n")) == (5, "", 1), err
        assert "bound01-seed0" in err
    model.write_text(whole)
    tensors = model.with_suffix(".safetensors")
    tensors.write_bytes(tensors.read_bytes()[:-4])
    code, out, err = faro("score", model, "t.csv")
    assert (code, out, err.count("\n")) == (5, "", 1), err
    tensors.unlink()
    assert faro("score", model, "t.csv")[0] == 5
    code, _, err = faro("score", "nothing.json", "t.csv")
    assert code == 5
    assert "no model at nothing" in err


@pytest.mark.parametrize("name", ["frontier.csv", "traces.npz", "manifest.json"])
def test_damaged_run_folders(name, run, faro):
    whole = (run / name).read_bytes()
    for content in (b"", whole[: len(whole) // 2]):
        (run / name).write_bytes(content)
        code, out, err = faro("report", run)
        assert (code, out, err.count("\n")) == (5, "", 1), err
        assert name in err
    (run / name).unlink()
    code, _, err = faro("report", run)
    assert code == 5
    assert name in err
    assert faro("report", "nothing")[0] == 5


# Wrong usage: exit 2 --------------------------------------------------------------------------------------------------

WRONG = {
    "negative bound": (["--bounds", "-0.1"], ["bound", "-0.1"]),
    "NaN bound": (["--bounds=nan"], ["bound", "nan"]),
    "negative and fine": (["--bounds=0.1,-0.2"], ["bound", "-0.2"]),
    "no number": (["--bounds=small"], ["LO:HI:N", "'small'"]),
    "two of three": (["--bounds=0.1:0.2"], ["LO:HI:N"]),
    "backwards": (["--bounds=0.2:0.1:5"], ["LO <= HI"]),
    "from zero": (["--bounds=0:0.1:5"], ["0 < LO"]),
    "no bounds": (["--bounds=0.1:0.2:0"], ["N >= 1"]),
    "half a bound": (["--bounds=0.1:0.2:1.5"], ["LO:HI:N"]),
    "nothing": (["--bounds="], ["LO:HI:N"]),
    "no seeds": (["--seeds=0"], ["--seeds", "at least one"]),
    "negative seeds": (["--seeds=-1"], ["--seeds", "negative"]),
    "half a seed": (["--seeds=1.5"], ["--seeds", "whole"]),
    "words for seeds": (["--seeds=many"], ["--seeds", "'many'"]),
    "equal seeds": (["--seeds=1,1"], ["different seeds"]),
    "huge seed": (["--seeds=0,99999999999"], ["seeds", "2147483647"]),
    "constraint": (["--constraint=demographic_party"], ["did you mean 'demographic_parity'"]),
    "empty constraint": (["--constraint="], ["unknown constraint"]),
    "half a stack": (["--constraint=demographic_parity+"], ["unknown constraint"]),
    "attribute": (["--attribute=colour"], ["unknown attribute 'colour'", "group"]),
    "level of": (["--of=group=c"], ["level of group 'c'", "a, b"]),
    "attribute of": (["--of=colour=c"], ["unknown attribute 'colour'"]),
    "no level of": (["--of=group"], ["attribute=level"]),
    "within": (["--within=colour"], ["unknown attribute 'colour'"]),
    "twins that are not": (["--constraint=counterfactual_parity", "--attribute=camp"], ["no twins"]),
    "immovable": (["--attribute=camp"], ["no model can move", "`of`"]),
    "model": (["--model=tree"], ["unknown model 'tree'", "linear, lore, "]),
    "layers": (["--model=mlp:0"], ["mlp:WIDTH"]),
    "no layers": (["--model=mlp:"], ["mlp:WIDTH"]),
    "cold": (["--temperature=0"], ["temperature", "above 0"]),
    "negative temperature": (["--temperature=-1"], ["temperature", "above 0"]),
    "not a temperature": (["--temperature=nan"], ["temperature"]),
    "words for temperature": (["--temperature=warm"], ["temperature", "'warm'", "faro frontier --help"]),
    "option": (["--bond=0.1"], ["--bond", "faro frontier --help"]),
    "abbreviation": (["--bound=0.1"], ["--bound", "faro frontier --help"]),
    "no value": (["--model"], ["expected one argument"]),
    "data": (["--data=nothing"], ["nothing"]),
    "schema": (["--schema=no.toml"], ["no.toml", "cannot be read"]),
    "configuration": (["--config=no.toml"], ["no.toml", "cannot be read"]),
    "folder as configuration": (["--config=."], ["cannot be read"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage(case, faro):
    flags, words = WRONG[case]
    code = 5 if case == "data" else 2  # with a schema a name is a file
    refused(faro(*SWEEP, *flags), code, *words)


CONFIGURATIONS = {
    "name": ("bonds = 1", "did you mean 'bounds'"),
    "setting": ("[settings]\nstep = 1", "unknown setting 'step'"),
    "value": ("[settings]\nsteps = -1", "steps"),
    "kind of value": ('[settings]\nsteps = "many"', "steps"),
    "dual": ('[settings]\ndual = "adam"', "nupi"),
    "every": ("[settings]\nsteps = 2\nevery = 3", "every"),
    "no table": ("settings = 3", "settings: expected a table"),
    "number for a name": ("attribute = 3", "attribute: expected text"),
    "true for a number": ("temperature = true", "temperature: expected a number"),
    "words in a list": ('bounds = ["a"]', "LO:HI:N"),
    "half a seed": ("seeds = [0.5]", "--seeds"),
    "no TOML": ("bounds = ", "not TOML"),
    "schema": ("[schema]\nunits = 'person'", "unknown key 'units'"),
}


@pytest.mark.parametrize("case", CONFIGURATIONS)
def test_wrong_configurations(case, faro):
    text, word = CONFIGURATIONS[case]
    Path("quick.toml").write_text(text)
    arguments = ["frontier", "--data", "t.csv", "--config", "quick.toml", "--out", "out"]
    arguments += [] if case == "schema" else ["--schema", "t.toml"]
    refused(faro(*arguments), 2, word)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "COMMAND"),
        (["fronteer"], "invalid choice: 'fronteer'"),
        (["frontier", "--data", "nothing"], "data sets: demo"),
        (["frontier", "--data", "t.csv"], "needs a schema"),
        (["frontier", "--data", "t.csv", "--schema", "t.toml"], "needs an attribute"),
        (["frontier", "--data", "demo", "--schema", "t.toml"], "brings its own schema"),
        (["frontier", "--data", "demo", "--attribute", "community"], "no model can move"),
        (["train", "--data", "demo", "--bound", "-1"], "bound"),
        (["train", "--data", "demo", "--bound", "nan"], "bound"),
        (["train", "--data", "demo", "--seed", "-1"], "seeds"),
        (["train", "--data", "demo", "--seed", "99999999999"], "seeds"),
        (["data", "describe"], "name of a data set"),
        (["data", "describe", "nothing"], "data sets: demo"),
        (["data", "list", "demo"], "takes no name"),
        (["data", "fetch", "demo"], "nothing to fetch"),
        (["data", "fetch", "nothing"], "data sets: swissmetro"),
        (["data", "forget"], "invalid choice"),
        (["score", "m.json"], "required: data"),
        (["score", "m.json", "t.csv", "--part", "test"], "unknown part 'test'"),
    ],
)
def test_wrong_commands(arguments, word, faro):
    refused(faro(*arguments), 2, word)


# Runs that end --------------------------------------------------------------------------------------------------------


def test_a_sweep_writes_everything_and_says_so(finished):
    folder, done = finished
    assert done.returncode == 0, done.stderr
    assert {"0.0500", "0.2000", "none"} <= set(done.stdout.split())
    assert "satisfies demographic parity (group) within" in " ".join(done.stdout.split())
    assert done.stderr == ""  # no terminal: no progress; nothing to note
    assert "\x1b" not in done.stdout
    names = {path.name for path in (folder / "out").iterdir()}
    files = {"frontier.csv", "frontier.png", "frontier.svg", "report.html", "traces.npz", "manifest.json", "models"}
    assert names == files | {"uncertainty.csv", "hypervolume.csv"}
    table = pd.read_csv(folder / "out" / "frontier.csv")
    assert table["bound"].tolist() == [np.inf, 0.05, 0.2]
    assert all((folder / "out" / name).exists() for name in table["model"])
    assert json.loads((folder / "out" / "manifest.json").read_text())["command"].startswith("faro frontier")


def test_a_finished_sweep_is_read_and_another_one_is_not_overwritten(run, faro, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    monkeypatch.setattr("faro.sweep.Batched.__init__", lambda *_: pytest.fail("computed again"))
    code, out, err = faro(*SWEEP)
    assert code == 0
    assert "nothing was computed again" in " ".join(out.split())
    assert err == ""
    code, out, err = faro(*SWEEP, "--seeds", "0,1")
    assert (code, out) == (2, "")
    assert "--overwrite" in err
    assert err.count("\n") == 1
    code, out, err = faro(*SWEEP, "--json")
    record = json.loads(out)
    assert code == 0
    assert err == ""
    assert [row["status"] for row in record["members"]] == ["FEASIBLE"] * 3
    assert record["manifest"]["seeds"] == [0]
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*")}


@pytest.mark.slow
def test_overwriting_and_no_feasible_member(run, faro, monkeypatch):
    """Of two alternatives one is chosen, so some group's rate is a half or more, whatever the model."""
    draw(monkeypatch)
    asked = ("--constraint", "rate_cap", "--bounds", "0.2", "--overwrite", "--seeds", "0,1")
    code, out, err = faro(*SWEEP[:-2], "--data", "t.csv", *asked)
    table = pd.read_csv(run / "frontier.csv")
    assert (table.loc[table["bound"] == 0.2, "status"] == "INFEASIBLE").all()
    assert code == 3
    assert "No model was found that satisfies" in " ".join(out.split())
    assert sum("every model has a gap of" in line for line in err.splitlines()) == 2
    assert "0/2" in out


def test_report_draws_again(run, faro):
    page = (run / "report.html").read_bytes()
    for name in ("report.html", "frontier.png", "frontier.svg"):
        (run / name).unlink()
    code, out, err = faro("report", run, "--json")
    assert (code, err) == (0, "")
    assert {Path(path).name for path in json.loads(out)["written"]} == {"report.html", "frontier.png", "frontier.svg"}
    assert (run / "report.html").read_bytes() == page


def test_scores_in_every_container(run, faro):
    model = run / "models" / "bound01-seed0.json"
    code, out, err = faro("score", model, "t.csv")
    assert (code, err) == (0, "")
    Path("scored.csv").write_text(out)
    read = {"csv": pd.read_csv, "parquet": pd.read_parquet, "jsonl": lambda path: pd.read_json(path, lines=True)}
    expected = pd.read_csv("scored.csv")
    assert len(expected) == len(TABLE)
    assert {"unit", "choice", "alternative", "group", "label", "reward", "decision"} <= set(expected)
    assert (expected.groupby("choice")["decision"].sum() - 1).abs().max() < 1e-12
    for kind, reader in read.items():
        code, out, _ = faro("score", model, "t.csv", "--out", f"again.{kind}", "--json")
        assert code == 0
        assert json.loads(out) == {"rows": len(TABLE), "out": f"again.{kind}"}
        pd.testing.assert_frame_equal(reader(f"again.{kind}").astype(expected.dtypes), expected, rtol=1e-9)
    sizes = []
    for part in ("train", "dual", "selection", "dev", "gate"):
        code, out, _ = faro("score", model, "t.csv", "--part", part, "--json")
        rows = [json.loads(line) for line in out.splitlines()]
        assert {row["part"] for row in rows} == {part}
        sizes.append(len(rows))
    assert sum(sizes) == len(TABLE)
    assert faro("score", model, "t.csv", "--out", "scored.xlsx")[0] == 2
    assert faro("score", model, "t.csv", "--out", "no/scored.csv")[0] == 5
    code, _, err = faro("score", model, "nothing.csv")
    assert code == 5
    assert "nothing.csv" in err


def test_scoring_says_what_the_model_never_saw(run, faro):
    model = run / "models" / "bound01-seed0.json"
    TABLE.assign(camp="north").drop(columns=["chosen", "weight"]).to_csv("new.csv", index=False)
    code, out, err = faro("score", model, "new.csv")
    assert (code, err) == (0, "")
    assert out.splitlines()[1].count(",,") == 1  # no label
    Path("bare.csv").write_text("person,choice,side,x\np,1,left,0\n")
    code, _, err = faro("score", model, "bare.csv")
    assert code == 5
    assert "no column" in err


@pytest.fixture
def wide():
    left, right = (TABLE[TABLE["side"] == side].reset_index() for side in ("left", "right"))
    first = left["chosen"] == 1
    pairs = pd.DataFrame({"person": left["person"]})
    for name in ("x", "group"):
        pairs[f"chosen_{name}"] = left[name].where(first, right[name])
        pairs[f"rejected_{name}"] = right[name].where(first, left[name])
    return pairs


def test_wide_tables(wide, faro, monkeypatch):
    draw(monkeypatch)
    wide.to_parquet("pairs.parquet")
    Path("t.toml").write_text(WIDE)
    code, out, err = faro(*SWEEP[:-1], "pairs.parquet", "--bounds", "0.9", "--json", "--quiet")
    assert (code, err) == (0, "")
    assert json.loads(out)["members"][1]["status"] == "FEASIBLE"


def test_accept_tables(faro, monkeypatch):
    draw(monkeypatch)
    TABLE[TABLE["side"] == "left"].to_json("people.jsonl", orient="records", lines=True)
    Path("t.toml").write_text(ACCEPT)
    code, out, err = faro(*SWEEP[:-1], "people.jsonl", "--bounds", "0.9", "--json", "--quiet")
    assert (code, err) == (0, "")
    assert json.loads(out)["members"][1]["status"] == "FEASIBLE"


@pytest.mark.slow
def test_one_model_with_a_schema_and_all_else_in_the_configuration(faro):
    Path("all.toml").write_text(
        'data = "t.csv"\nattribute = "group"\nconstraint = "demographic_parity+equal_opportunity"\nbound = 0.3\n'
        f"out = \"model\"\n{QUICK}\n" + LONG.replace("[[", "[[schema.").replace("\nunit", "\n[schema]\nunit", 1)
    )  # fmt: skip
    code, out, err = faro("train", "--config", "all.toml", "--json")
    about = json.loads(out)
    assert (code, err) == (0, "")
    assert about["status"] == "FEASIBLE"
    assert about["bound"] == [0.3, 0.3]
    assert {"train_gap[demographic_parity(group)]", "train_gap[equal_opportunity(group)]"} <= set(about["figures"])
    assert sorted(path.name for path in Path().glob("model*")) == ["model.json", "model.safetensors", "model.units.txt"]
    code, out, _ = faro("score", "model", "t.csv", "--part", "dev")
    assert code == 0
    assert len(out.splitlines()) - 1 == 2 * about["figures"]["dev_n"]


def test_notes_go_to_stderr_and_quiet_drops_them(run, faro, monkeypatch):
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest | {"notes": ["mind the gap"]}))
    assert faro(*SWEEP)[2] == "faro: note: mind the gap\n"
    assert faro(*SWEEP, "--quiet")[2] == ""


def test_interruptions_and_internal_errors_have_codes_of_their_own(faro, monkeypatch):
    def fail(error):
        def raising(*_, **__):
            raise error

        return raising

    monkeypatch.setattr("faro.api.frontier", fail(KeyboardInterrupt()))
    refused(faro(*SWEEP), 130, "interrupted")
    monkeypatch.setattr("faro.api.frontier", fail(RuntimeError("surprise")))
    code, out, err = faro(*SWEEP)
    assert (code, out) == (70, "")
    assert "internal error" in err


def test_an_out_that_is_a_file(faro):
    Path("file").write_text("mine")
    code, out, err = faro(*SWEEP[:-4], "--out", "file", "--data", "t.csv")
    assert (code, out) == (5, "")
    assert err.count("\n") == 1
    assert "file" in err
    assert Path("file").read_text() == "mine"


# What needs no training -----------------------------------------------------------------------------------------------


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
    done = process("--version")
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


@pytest.mark.slow
def test_a_closed_pipe_is_no_error(finished):
    folder, _ = finished
    command = f"{sys.executable} -m faro.cli score out/models/bound01-seed0.json t.csv"
    command = f"set -o pipefail; {command} | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=folder, env=environment())
    assert done.returncode == 0
    assert done.stdout.startswith("unit,choice,")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("owner", "name", "word"),
    [("faro.evaluate.bootstrap", "measure", "no intervals"),
     ("faro.report._plots", "write_pictures", "no pictures and no report"),
     ("faro.cli.terminal", "show_frontier", "cannot be shown")],
)  # fmt: skip
def test_a_finished_sweep_stays_finished_whatever_shows_it(owner, name, word, finished, run, faro, monkeypatch):
    for file in ("t.csv", "t.toml", "quick.toml"):
        shutil.copy(finished[0] / file, ".")
    (run / "report.html").unlink()

    def fails(*args, **named):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(f"{owner}.{name}", fails)
    table = (run / "frontier.csv").read_bytes()
    code, _, err = faro(*SWEEP)
    assert code == finished[1].returncode
    assert f"{word}: ZeroDivisionError: planted" in err
    assert (run / "frontier.csv").read_bytes() == table


@pytest.mark.slow
def test_the_commands_of_a_point_give_the_point(run, finished, faro):
    """What the report says to type is typed: the sweep comes out the same to the byte, the point alone nearly so."""
    members = pd.read_csv(run / "frontier.csv")
    Path("quick.toml").write_text("bounds = [0.3]\nseeds = 2\n" + QUICK)  # one file for both commands: flags win
    again, train, score, certify = of_trial(read_run(run), 2)
    assert members["bound"][2] == 0.2
    assert faro(*shlex.split(again.text)[1:], "--quiet")[0] == 0
    assert Path("again/frontier.csv").read_bytes() == (run / "frontier.csv").read_bytes()
    assert "Gives again/models/bound02-seed0.json" in again.note and Path("again/models/bound02-seed0.json").exists()
    code, out, err = faro(*shlex.split(train.text)[1:], "--json")
    assert code == 0, err
    figures = json.loads(out)["figures"]
    same = [name for name in figures if re.match(r"\w+_(n|accuracy|gap|rate)\b", name)]
    assert len(same) == 15
    assert {name: figures[name] for name in same} == pytest.approx(members.loc[2, same].to_dict(), abs=0.05)
    assert json.loads(Path(shlex.split(train.text)[-1] + ".json").read_text())["about"]["seed"] == 0
    code, out, err = faro(*shlex.split(score.text)[1:])
    assert code == 0, err
    scored = pd.read_csv("scored.csv")
    assert scored["choice"].nunique() == members["dev_n"][2]
    codes = [faro(*shlex.split(line)[1:])[0] for line in certify.text.replace("\\\n", " ").splitlines()]
    assert codes == [0, 0, 0, 3]  # three dozen people show nothing
    assert json.loads(Path("certificate.json").read_text())["result"]["verdict"] == "INCONCLUSIVE"


def test_two_runs_on_one_page(run, faro):
    shutil.copytree(run, "other")
    code, out, err = faro("report", run, "other", "--out", "two.html")
    assert (code, out, err) == (0, "two.html\n", "")
    assert "Nothing else that was recorded differs" in Path("two.html").read_text()
    assert not Path("out/compare.html").exists()
    manifest = json.loads(Path("other/manifest.json").read_text())
    Path("other/manifest.json").write_text(
        json.dumps(manifest | {"constraint": manifest["constraint"] | {"name": "x"}})
    )
    code, out, err = faro("report", run, "other", "--json")
    assert json.loads(out) == {"written": ["out/compare.html"]}
    assert err.startswith("faro: note: The constraints differ") and err.count("\n") == 1
    Path("other/manifest.json").write_text(json.dumps(manifest | {"data": manifest["data"] | {"digest": "0"}}))
    code, out, err = faro("report", run, "other")
    assert (code, out) == (5, "")
    assert "points of different data do not compare" in err and err.count("\n") == 1
    assert faro("report", run, "--out", "one.html")[0] == 2


def test_a_model_card(run, faro):
    code, out, err = faro("card", run, "--bound", "0.1")
    assert (code, err) == (0, "") and out.endswith("out/MODEL_CARD.md\n") and "standardised" in out
    text = (run / "MODEL_CARD.md").read_text()
    assert ", demographic parity (group), bound 0.05, seed 0" in text
    code, out, err = faro("card", run, "--bound", "0.01", "--json")
    assert (code, out) == (2, "")
    assert "its bounds are 0.05, 0.2" in err and err.count("\n") == 1


# Certificates of a finished run ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_is_certified_once(run, faro):
    table = pd.read_csv("out/frontier.csv")
    assert faro("policy", "out", "--bound", "0.2", "--out", "out/faro.toml")[0] == 0
    text = Path("out/faro.toml").read_text()
    assert 'method = "unit-ratio"' in text
    assert 'levels = ["a", "b"]' in text
    ask = ("--policy", "out/faro.toml", "--data", "t.csv")
    assert faro("certify", "out", "--disclose", *ask)[0] == 6  # no ledger
    assert faro("ledger", "init", "out", "--policy", "out/faro.toml")[0] == 2  # a table of one's own has to be given
    code, out, _ = faro("ledger", "init", "out", *ask)
    assert (code, "no attempt yet" in out) == (0, True)
    code, out, err = faro("certify", "out", "--disclose", "--json", *ask)
    assert code == 0, err
    rows = json.loads(out)
    certified = pd.read_csv("out/frontier.csv")
    assert certified["certified_slack"].notna().sum() == len(rows) == table["pareto"].sum()
    assert certified.drop(columns=["certified_slack", "certified_verdict"]).equals(table)
    for name in sorted(Path("out/certificates").glob("*-seed?.json")):
        words = [name, name.with_suffix(".csv"), "--policy", "out/faro.toml", "--train-units"]
        code, out, err = faro("verify", *words, "out/models/seed0.units.txt")
        assert code in (1, 3), err
        assert "iid-units" in out
        assert "unchecked" not in out
    verdict, asked = code, [*words, "out/models/seed0.units.txt", "--model", f"out/models/{name.name}"]
    asked += ["--model", f"out/models/{name.stem}.safetensors"]
    code, out, err = faro("verify", *asked, "--rescore", "t.csv")
    assert (code, "scored again" in out) == (verdict, True), err
    assert faro("verify", *words, "out/models/seed0.units.txt", "--rescore", "t.csv")[0] == 2  # with what model?
    before = Path("out/ledger.jsonl").read_bytes()
    assert faro("certify", "out", "--disclose", *ask)[0] == 0  # interrupted: what was shown may be shown again
    assert Path("out/ledger.jsonl").read_bytes() == before
    _refuses_what_the_model_does_not_give(name)
    assert faro("report", "out")[0] == 0
    assert faro(*SWEEP)[0] == 0  # read again, with its new columns
    bound = certified.loc[certified["pareto"], "bound"].max()
    assert faro("card", "out", "--bound", str(bound))[0] == 0
    card = " ".join(Path("out/MODEL_CARD.md").read_text().split())
    for part in ("how often the model chooses an alternative differs by at most 0.2", "The recorded group labels are"):
        assert part in card or part.capitalize() in card
    ends = json.loads(
        next(Path("out/certificates").glob(f"{card.split('models/')[1].split('.json')[0]}.json")).read_text()
    )
    low, high = (float(end) for end in ends["claims"]["demographic_parity"]["ends"][""]["b"])
    shown = re.search(r"\| demographic\\_parity: b \| ([\d.]+) \| ([\d.]+) \|", card)
    assert shown and low - 1e-4 < float(shown[1]) <= low and high <= float(shown[2]) < high + 1e-4  # rounded outward
    assert re.search(r"At 9\d(\.\d+)? % confidence, for the population", card)
    check = of_trial(read_run("out"), int(np.flatnonzero(certified["pareto"])[0]))[3]
    assert check.title == "Check its certificate"
    assert faro(*shlex.split(check.text.replace("\\\n", " "))[1:])[0] in (1, 3)


def _refuses_what_the_model_does_not_give(certificate):
    table, policy = certificate.with_suffix(".csv"), read_policy("out/faro.toml")
    model = f"out/models/{certificate.name}"
    scored = pd.read_csv(table, dtype=str, keep_default_na=False)
    assert rescore.rescore(table, policy, model, "t.csv").rows == len(scored)
    better = scored.assign(reward=scored["reward"].mask(scored.index == 3, "9.5"))
    moved = scored.assign(alternative=scored["alternative"].mask(scored.index == 3, "another"))
    weighted = scored.assign(weight="0.5")
    less = scored.iloc[1:]
    described = description.read_description(table)
    tables = {"not what the model gives": better, "not in": moved, "other people": weighted, "1 rows .* missing": less}
    for reason, wrong in tables.items():
        wrong.to_csv("wrong.csv", index=False)
        digest = description.table_digest(read_columns("wrong.csv"))
        description.write_description("wrong.csv", dataclasses.replace(described, table_sha256=digest))
        with pytest.raises(UnprovedError, match=reason):
            rescore.rescore("wrong.csv", policy, model, "t.csv")


def test_training_units_are_refused_in_an_audit(run, faro):
    model = "out/models/bound01-seed0.json"
    faro("policy", model, "--out", "faro.toml")
    Path("faro.toml").write_text(Path("faro.toml").read_text().replace('ledger = "ledger.jsonl"', "").replace(
        'assumptions = [', 'assumptions = ["no-ledger", '))  # fmt: skip
    for part, code in (("train", 6), ("dev", (0, 1, 3))):
        faro("score", model, "t.csv", "--part", part, "--twins", "group", "--out", "scored.csv")
        assert "reward:group=a" in pd.read_csv("scored.csv")
        asked = ("--policy", "faro.toml", "--train-units", "out/models/seed0.units.txt")
        got, _, err = faro("certify", "scored.csv", *asked)
        assert got in np.atleast_1d(code), err
        if part == "train":
            assert "were seen in training" in err


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
