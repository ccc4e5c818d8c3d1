"""What commands make of a finished sweep: reports, scores, cards, the commands of a point."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from faro.report import read_run
from faro.report._commands import of_trial
from tests.builders.processes import environment
from tests.builders.swept import QUICK, TABLE

pytestmark = pytest.mark.usefixtures("place")


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


@pytest.mark.slow
def test_a_closed_pipe_is_no_error(finished):
    folder, _ = finished
    command = f"{sys.executable} -m faro score out/models/bound01-seed0.json t.csv"
    command = f"set -o pipefail; {command} | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=folder, env=environment())
    assert done.returncode == 0
    assert done.stdout.startswith("unit,choice,")
    assert done.stderr == ""


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
