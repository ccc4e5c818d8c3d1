"""Whole runs against the promises of the README: feasible means feasible, accuracy is kept, killed runs go on.

Gaps are computed again with pandas alone, from the table that a saved model's `score` gives. The demo and one real data
set are swept here, at fewer bounds and seeds than by default; `python -m benchmarks` runs the others and the defaults.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import faro
from faro import api, sweep
from faro.data import Dataset
from faro.data import demo as demonstration
from faro.errors import UsageError
from faro.sweep import batched
from faro.sweep import run as running
from faro.training import Settings
from faro.training.problem import Problem
from tests.builders.processes import environment

FILES = {
    "uncertainty.csv",
    "hypervolume.csv",
    "frontier.csv",
    "frontier.png",
    "frontier.svg",
    "report.html",
    "traces.npz",
    "manifest.json",
    "models",
}


def rate_gap(scored: pd.DataFrame, attribute: str, of: tuple[str, str] | None) -> float:
    """max - min over groups of the weighted rate at which alternatives are chosen, in the rows that train a model."""
    rows = scored[scored["part"].isin(["train", "dual"]) & (scored[attribute] != "")]
    if of is not None:
        rows = rows[rows[of[0]] == of[1]]
    sums = rows.assign(chosen=rows["weight"] * rows["decision"]).groupby(attribute)[["chosen", "weight"]].sum()
    rates = sums["chosen"] / sums["weight"]
    return float(rates.max() - rates.min())


def non_dominated(table: pd.DataFrame) -> list[bool]:
    """Member by member, as the definition says it."""
    found = []
    rows = table.to_dict("records")
    for mine in rows:
        beaten = False
        for other in rows:
            if other["seed"] == mine["seed"] and other["status"] == "FEASIBLE":
                accuracy = other["selection_accuracy"] - mine["selection_accuracy"]
                gap = other["selection_gap"] - mine["selection_gap"]
                beaten |= accuracy >= 0 and gap <= 0 and (accuracy > 0 or gap < 0)
        found.append(mine["status"] == "FEASIBLE" and not beaten)
    return found


def check(name: str, folder: Path, **grid) -> pd.DataFrame:
    """Sweep a data set by its defaults and check what holds for every one; returns frontier.csv."""
    data = faro.load(name)
    run = faro.frontier(data, out=folder, **grid)
    assert {path.name for path in folder.iterdir()} == FILES
    assert max(run.manifest["traced"].values()) <= 1
    table = pd.read_csv(folder / "frontier.csv")
    bounded = table[np.isfinite(table["bound"])]
    assert (bounded["status"] == "FEASIBLE").mean() >= 0.95
    for row in table.to_dict("records"):
        scored = faro.load_model(folder / row["model"]).score(data)
        gap = rate_gap(scored, data.defaults["attribute"], data.defaults["of"])
        assert gap == pytest.approx(row["train_gap"], abs=1e-9)
        assert row["status"] != "FEASIBLE" or gap <= row["bound"]
    assert table["pareto"].tolist() == non_dominated(table)
    return table


def unconstrained(table: pd.DataFrame) -> pd.Series:
    """Figures of the unconstrained members, means over seeds."""
    return table[np.isinf(table["bound"])].mean(numeric_only=True)


def nearest(table: pd.DataFrame, bound: float) -> pd.Series:
    """Figures of the members at the bound nearest to this one, means over seeds."""
    bounds = table.loc[np.isfinite(table["bound"]), "bound"].unique()
    return table[table["bound"] == min(bounds, key=lambda b: abs(b - bound))].mean(numeric_only=True)


# The bars, set by set -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.whole_run
def test_demo(tmp_path):
    table = check("demo", tmp_path, bounds=14, seeds=1)
    assert len(table) == 15
    means = table[(table["bound"] >= 0.02) & np.isfinite(table["bound"])].groupby("bound").mean(numeric_only=True)
    assert len(means) >= 10
    assert (means["population_accuracy"] - means["population_frontier"]).abs().max() <= 0.005
    free = unconstrained(table)
    assert abs(free["population_accuracy"] - free["population_frontier"]) <= 0.005
    # the expected accuracy again, by pandas: labels of the population are choice probabilities
    row = table[table["bound"] < 0.05].iloc[-1]
    scored = faro.load_model(tmp_path / row["model"]).score(demonstration.Population().dataset())
    accuracy = (scored["label"] * scored["decision"]).sum() / scored["choice"].nunique()
    assert accuracy == pytest.approx(row["population_accuracy"], abs=1e-9)
    assert (faro.load("demo").population.frontier(row["bound"])[0]) == pytest.approx(row["population_frontier"])


@pytest.mark.slow
@pytest.mark.whole_run
@pytest.mark.real_data
def test_immigration(tmp_path):
    table = check("immigration", tmp_path, bounds=3, seeds=1)
    free = unconstrained(table)
    assert len(table) == 4
    assert free["dev_accuracy"] >= 0.69
    assert nearest(table, free["train_gap"] / 2)["dev_accuracy"] >= free["dev_accuracy"] - 0.01


# One program, whatever the grid --------------------------------------------------------------------------------------


def small(people=100, change=None) -> Dataset:
    """A small sample of the demo; `change(frame)` may alter it first."""
    frame = demonstration.generate(people, seed=3)
    frame = frame if change is None else change(frame)
    return Dataset.from_table(frame, demonstration.SCHEMA, name="small", defaults=demonstration.DEFAULTS)


QUICK = Settings(steps=60, batch=64)  # minibatches: then what a killed sweep goes on with includes the key
GRID: dict[str, Any] = {"bounds": [0.05, 0.2], "seeds": 2, "settings": QUICK}


@pytest.mark.slow
def test_a_sweep_is_one_program_and_another_like_it_none():
    def labels_turned(frame):  # of every second choice: other numbers, the same shapes
        return frame.assign(chosen=np.where(frame["choice"] % 2, frame["chosen"], 1 - frame["chosen"]))

    batched._kept.cache_clear()
    run, other = (faro.frontier(data, **GRID) for data in (small(), small(change=labels_turned)))
    assert run.manifest["traced"] == {"start": 1, "advance": 1, "close": 1}
    assert other.manifest["traced"] == {"start": 0, "advance": 0, "close": 0}
    assert len(run.table) == len(other.table) == 6
    assert not np.allclose(run.table["train_nll"], other.table["train_nll"], atol=1e-3)


@pytest.mark.slow
def test_less_memory_is_fewer_members_at_a_time_and_the_same_result(monkeypatch):
    sides, footprints = [], []
    decide, measure = sweep.Batched.at_once, Problem.footprint
    monkeypatch.setattr(sweep.Batched, "at_once", lambda *given: sides.append(decide(*given)) or sides[-1])
    monkeypatch.setattr(Problem, "footprint", lambda *given: footprints.append(measure(*given)) or footprints[-1])
    grid: dict[str, Any] = {"bounds": [0.05, 0.1, 0.2, 0.3], "seeds": 2, "settings": {"steps": 20}, "model": "mlp:4"}
    with pytest.raises(UsageError, match=r"one trial needs about [\d,]+ bytes a step, got 1,024; give more"):
        faro.frontier(small(), memory="1kB", **grid)
    whole = faro.frontier(small(), **grid)
    halves = faro.frontier(small(), memory=int(2.5 * footprints[-1]), **grid)
    assert sides == [(True, 4), (False, 2)]
    for figure in ("train_nll", "train_gap", "dev_accuracy"):
        np.testing.assert_allclose(halves.table[figure], whole.table[figure], atol=1e-4)


@pytest.mark.slow
def test_a_member_of_a_sweep_is_the_member_trained_alone(x64):
    """The first bound of the second seed, so that no axis can be taken for the other; all others are far away."""
    data = small()
    settings = Settings(steps=100)
    run = faro.frontier(data, bounds=[0.05, 0.2], seeds=[0, 4], settings=settings)
    (index,) = np.flatnonzero((run.table["bound"] == 0.05) & (run.table["seed"] == 4))
    row, model = run.table.to_dict("records")[index], run.models[index]
    alone = faro.train(data, bound=0.05, seed=4, settings=settings)
    assert alone.params.keys() == model.params.keys()
    for name, leaf in alone.params.items():
        np.testing.assert_allclose(leaf, model.params[name], atol=1e-4, err_msg=name)
    for other in (*run.models[:index], *run.models[index + 1 :]):
        assert max(float(np.abs(leaf - other.params[name]).max()) for name, leaf in alone.params.items()) > 2e-2
    for name, value in alone.about["figures"].items():
        assert float(value) == pytest.approx(row[name], abs=1e-4), name
    assert alone.about["status"] == row["status"]


@pytest.mark.slow
def test_the_people_of_the_gate_change_nothing():
    """Other labels, features and groups for the gate's people: not a digit of the frontier moves."""
    data = small()
    gate = set(data.units[data.rows("gate")])
    assert 5 < len(gate) < 40

    def change(frame):
        mine = frame["person"].isin(gate)
        assert mine.any()
        frame.loc[mine, "chosen"] = 1 - frame.loc[mine, "chosen"]
        frame.loc[mine, "quality"] += 7.0
        frame.loc[mine, "dialect"] = "B"
        return frame

    pd.testing.assert_frame_equal(faro.frontier(small(change=change), **GRID).table, faro.frontier(data, **GRID).table)
    for seed in range(3):
        assert gate == set(data.units[data.rows("gate", seed)])


# Killed sweeps --------------------------------------------------------------------------------------------------------

SCRIPT = """
import faro, faro.data.demo as demo
from faro.data import Dataset
from faro.errors import UsageError
from faro.training import Settings
data = Dataset.from_table(demo.generate(100, seed=3), demo.SCHEMA, name="small", defaults=demo.DEFAULTS)
faro.frontier(data, bounds=[0.05, 0.2], seeds=2, settings=Settings(steps=60, batch=64), out="out")
"""


def killed_when(path: Path, folder: Path) -> bool:
    """Run the sweep and kill -9 it as soon as `path` is there; whether it was still running."""
    with subprocess.Popen([sys.executable, "-c", SCRIPT], cwd=folder, env=environment()) as process:
        while process.poll() is None and not path.exists():
            time.sleep(0.001)
        running = process.poll() is None
        process.send_signal(signal.SIGKILL)
    return running


@pytest.mark.slow
def test_a_killed_sweep_goes_on_to_the_same_result(tmp_path, monkeypatch):
    whole, out = tmp_path / "whole", tmp_path / "out"
    faro.frontier(small(), **GRID, out=whole)
    assert killed_when(out / "models" / "bound01-seed0.json", tmp_path)
    assert not (out / "manifest.json").exists()  # nothing that looks finished
    run = faro.frontier(small(), **GRID, out=out)
    assert not run.reused
    assert "start" in run.manifest["resumed"] and run.manifest["resumed"][0] == "seed0.ridge"
    assert (out / "frontier.csv").read_bytes() == (whole / "frontier.csv").read_bytes()
    assert {path.name for path in out.iterdir()} == FILES
    assert {path.name for path in (out / "models").iterdir()} == {path.name for path in (whole / "models").iterdir()}
    assert not list(out.rglob(".*"))  # no lock, no checkpoint, no half-written file
    for path in (whole / "models").iterdir():
        assert (out / "models" / path.name).read_bytes() == path.read_bytes()

    def compute(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(running, "Batched", compute)
    (out / ".progress").mkdir()  # killed between its last two steps
    again = faro.frontier(small(), **GRID, out=out)
    assert again.reused and not (out / ".progress").exists()
    pd.testing.assert_frame_equal(again.table, run.table)
    for one, other in zip(again.models, run.models, strict=True):
        for name, leaf in one.params.items():
            np.testing.assert_array_equal(leaf, other.params[name])


@pytest.mark.slow
def test_a_sweep_interrupted_anywhere_goes_on_to_the_same_result(tmp_path):
    """Stopped at every third report of progress, then before the pictures."""
    out = tmp_path / "out"
    whole = faro.frontier(small(), **GRID).table

    class Stop(KeyboardInterrupt):  # of the user: a mere failure of the pictures is a note
        pass

    def until(step):
        def progress(done, total):
            if done == step:
                raise Stop

        return progress

    for step in (0, 3, 6, 7):  # of 6 chunks, and one before the judgement
        with pytest.raises(Stop):
            faro.frontier(small(), **GRID, out=out, progress=until(step))
        assert not (out / "manifest.json").exists()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api.report, "write_shown", lambda *_: (_ for _ in ()).throw(Stop()))
        with pytest.raises(Stop):
            faro.frontier(small(), **GRID, out=out)
    run = faro.frontier(small(), **GRID, out=out)  # all that is missing is the page
    assert run.reused
    assert {path.name for path in out.iterdir()} == FILES
    pd.testing.assert_frame_equal(run.table, whole)
