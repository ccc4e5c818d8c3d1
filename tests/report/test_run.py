"""What a finished sweep left in its folder: how training ended, and files that are missing, damaged or strange."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from faro.errors import DataError, UsageError
from faro.report import Run, draw_traces, ending, read_run
from tests.builders.invented import Invented, certify

STEPS = np.arange(80)
ENDINGS = {  # gap by step at bound .1, multiplier by step, whether a multiplier is at its cap
    "settled": (0.1 - 0.01 * np.cos(STEPS) * 0.9**STEPS + 0.1 * 0.8**STEPS, 1 - 0.9**STEPS, False),
    "oscillating": (0.1 + 0.05 * np.sin(STEPS), 1 + np.sin(STEPS), False),
    "unfinished": (0.1 + 0.2 * 0.98**STEPS, 0.01 * STEPS, False),
    "infeasible": (0.15 + 0.2 * 0.8**STEPS, 0.01 * STEPS, False),
    "infeasible at the cap": (0.15 + 0.2 * 0.8**STEPS, np.minimum(0.1 * STEPS, 1), True),
    "diverged": (np.where(STEPS > 60, np.nan, 0.2), 0.01 * STEPS, False),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_how_training_ended_is_read_off_the_traces(name):
    gap, multiplier, capped = ENDINGS[name]
    members = pd.DataFrame({"bound": [0.1, math.inf]})
    traces = {
        "loss": np.ones((2, 80)), "capped": np.full((2, 80), capped), "gap": np.stack([gap, gap])[..., None],
        "violation": np.stack([gap - 0.1, gap * 0 - math.inf])[..., None],
        "multiplier": np.stack([multiplier, multiplier])[..., None],
    }  # fmt: skip
    run = Run(Path(), members, traces, {})
    assert ending(run, 0) == name.split()[0]
    assert ending(run, 1) == ("diverged" if name == "diverged" else "unconstrained")


@pytest.mark.parametrize("name", ["frontier.csv", "traces.npz", "manifest.json"])
def test_missing_or_damaged_file_is_one_line(folder, name):
    whole = (folder / name).read_bytes()
    for damage in (b"", b"\x00\xff\x00", whole[: len(whole) // 3]):
        (folder / name).write_bytes(damage)
        with pytest.raises(DataError, match=name) as caught:
            read_run(folder)
        assert "\n" not in str(caught.value)
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"no {name}"):
        read_run(folder)


def change(folder: Path, column: str, value) -> None:
    members = pd.read_csv(folder / "frontier.csv").astype({column: object})
    members.loc[1, column] = value
    members.to_csv(folder / "frontier.csv", index=False)


@pytest.mark.parametrize(
    ("column", "value"), [("status", "FINE"), ("pareto", "maybe"), ("bound", ""), ("dev_accuracy", "high")]
)
def test_strange_cell_is_refused(folder, column, value):
    change(folder, column, value)
    with pytest.raises(DataError, match=column):
        read_run(folder)


@pytest.mark.parametrize(("column", "value"), [("certified_slack", "low"), ("certified_verdict", "FINE")])
def test_strange_certificate_is_refused(folder, column, value):
    certify(folder)
    change(folder, column, value)
    with pytest.raises(DataError, match=column):
        read_run(folder)


def test_files_of_different_runs_are_refused(folder, tmp_path):
    other = Invented(seeds=1).write(tmp_path / "other")
    (other / "traces.npz").rename(folder / "traces.npz")
    with pytest.raises(DataError, match=r"traces\.npz: loss: expected shape"):
        read_run(folder)


def test_trace_of_no_member_is_refused(folder):
    with pytest.raises(UsageError, match=r"expected 0\.\.14, got 15"):
        draw_traces(read_run(folder), 15)
