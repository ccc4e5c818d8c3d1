"""Commands that train: what they write and say, when they do not train again, and how they end otherwise."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.builders.drawn import draw
from tests.builders.swept import ACCEPT, LONG, QUICK, SWEEP, TABLE, WIDE, refused

pytestmark = pytest.mark.usefixtures("place")


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
