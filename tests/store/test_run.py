"""The folder of a run: one of the version before is opened whole; names of columns are read back as they were made."""

import ast
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import constraints as ct
from faro import models
from faro.cli import main
from faro.errors import DataError, UsageError
from faro.exact.of_run import stored_constraint
from faro.report import read_run
from faro.store import columns, run
from faro.store.frontier import Frontier

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "run"  # by faro frontier before runs had a number, of a stack with an option
TONGUE = ct.Attribute("tongue", ("x", "y"))
BOTH = ct.Stack(members=(ct.demographic_parity(TONGUE, 0.3), ct.reward_parity(TONGUE, 0.3, scale=2.0)))


@pytest.fixture
def old(tmp_path):
    return shutil.copytree(GOLDEN, tmp_path / "old")


def test_a_run_of_the_version_before_is_opened(old):
    found = Frontier.load(old)
    assert [model.model for model in found.models] == [models.Linear(), models.Linear()]
    assert stored_constraint(found) == BOTH and found.models[1].constraint == BOTH
    texts = pd.read_csv(old / "frontier.csv", dtype=str, keep_default_na=False)
    for name in found.table.select_dtypes("number"):  # every digit
        assert [float(text or "nan") for text in texts[name]] == pytest.approx(
            found.table[name].tolist(), rel=0, nan_ok=True
        )
    shown = read_run(old)
    assert shown.uncertainty is not None and shown.hypervolume is not None and shown.baselines is None
    assert shown.parts == ("demographic_parity(tongue)", "reward_parity(tongue)")
    assert list(shown.rates("dev")) == shown.manifest["constraint"]["cells"]
    np.testing.assert_array_equal(
        shown.gap("dev"), found.table[["dev_gap[" + part + "]" for part in shown.parts]].max(axis=1)
    )


def test_it_is_scored_reported_and_drafted_as_before(old, tmp_path, capsys):
    scored = tmp_path / "dev.csv"
    model = str(old / "models" / "bound01-seed0.json")
    assert main(["score", model, str(old / "people.csv"), "--part", "dev", "--out", str(scored), "--quiet"]) == 0
    assert scored.read_bytes() == (GOLDEN / "dev.csv").read_bytes()
    assert main(["policy", model, "--out", str(tmp_path / "p.toml"), "--quiet"][:-1]) == 0
    assert "scale = 2.0" in (tmp_path / "p.toml").read_text()
    assert main(["report", str(old), "--quiet"]) == 0
    assert "model=model" not in (old / "report.html").read_text()  # it was typed, and is typed again


def test_of_a_name_alone_nothing_is_guessed(old, tmp_path, capsys):
    """Older still: neither the run nor its models have the constraint as data."""
    manifest = json.loads((old / "manifest.json").read_text())
    for key in ("record", "asked", "twins"):
        del manifest["constraint"][key]
    (old / "manifest.json").write_text(json.dumps(manifest))
    for path in (old / "models").glob("*.json"):
        record = json.loads(path.read_text()) | {"format": "faro-model/1"}
        del record["constraint"]
        path.write_text(json.dumps(record))
    with pytest.raises(UsageError, match=r"name alone; name it with --constraint"):
        stored_constraint(Frontier.load(old))
    model = str(old / "models" / "bound01-seed0.json")
    assert main(["policy", model]) == 2
    assert "name it with --constraint" in capsys.readouterr().err
    named = ["--constraint", "demographic_parity+reward_parity(scale=2.0)", "--attribute", "tongue"]
    assert main(["policy", model, *named]) == 0
    assert "scale = 2.0" in capsys.readouterr().out
    assert main(["policy", model, "--constraint", "equalized_odds", "--attribute", "tongue"]) == 2
    assert main(["report", str(old), "--quiet"]) == 0


def test_a_run_of_a_later_format_is_refused(old):
    manifest = json.loads((old / "manifest.json").read_text()) | {"format": 3}
    (old / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="expected format 2 or 1, got '3'"):
        Frontier.load(old)


def test_a_run_is_written_and_read_back_equal(old, tmp_path):
    before = Frontier.load(old)
    before.save(tmp_path / "new")
    after = Frontier.load(tmp_path / "new")
    pd.testing.assert_frame_equal(after.table, before.table)
    assert after.manifest == before.manifest and after.traces.keys() == before.traces.keys()
    for name in ("frontier.csv", "manifest.json"):
        assert (tmp_path / "new" / name).read_bytes() == (old / name).read_bytes()
    one, two = dict(enumerate(["0.25"])), dict(enumerate(["CERTIFIED"]))
    run.write_certified(tmp_path / "new", one, two)
    assert read_run(tmp_path / "new").verdicts == ["CERTIFIED", ""]
    run.clear(tmp_path / "new")
    assert [path.name for path in (tmp_path / "new").rglob("*")] == ["models"]


def test_a_run_whose_model_must_be_given_says_so(old):
    own = models.FlaxModel(lambda rngs: None)
    found = Frontier.load(old)
    changed = [dataclasses.replace(model, model=own) for model in found.models]
    dataclasses.replace(found, models=changed).save(old)
    with pytest.raises(UsageError, match=r"'module' is a function.*Frontier\.load\(folder, model=\.\.\.\)"):
        Frontier.load(old)
    again = Frontier.load(old, models.Linear())
    assert again.models[1].params["item"].tolist() == found.models[1].params["item"].tolist()
    assert read_run(old).trials.equals(found.table)


# Names of columns -----------------------------------------------------------------------------------------------------

NAMES = st.lists(st.text("ab[]:= _", min_size=1, max_size=6), min_size=2, max_size=4, unique=True)


@given(NAMES, NAMES)
def test_columns_are_read_back_as_they_were_made(names, cells):
    made = [
        *columns.gaps("dev", names),
        *(columns.rate("dev", columns.cell_of(names, names[0], cell)) for cell in cells),
    ]
    assert list(columns.gaps_in(made, "dev")) == names
    assert list(columns.rates_in(made, "dev", names, names[0])) == cells
    assert not columns.gaps_in(made, "train") and not columns.rates_in(made, "train")
    assert columns.figures_in(made, ("dev",)) == made
    assert list(columns.gaps_in(columns.gaps("dev", names[:1]), "dev")) == [""]


def test_names_of_columns_and_files_are_known_in_one_place():
    """No other module writes the beginning of such a name, or asks for it."""
    known = ("_gap[", "_rate[", "multiplier[", "traces.npz", "manifest.json", ".units.txt", "envelope-seed")

    def names_in(path):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
        texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in said]
        return {name for text in texts if isinstance(text, str) for name in known if name in text and " " not in text}

    found = {path.relative_to(ROOT).as_posix(): names_in(path) for path in (ROOT / "faro").rglob("*.py")}
    places = {path for path, names in found.items() if names}
    assert places <= {f"faro/store/{name}.py" for name in ("columns", "run", "saved", "envelopes")}, places
    assert "faro/store/columns.py" in places  # the control: they are seen
