"""Two runs on one page."""

from __future__ import annotations

import json
import re

import pytest

from faro.errors import DataError
from faro.report import differences, read_run, write_comparison, write_pictures
from tests.builders.invented import Invented, recorded
from tests.oracles.page import Page


def test_two_runs_are_held_against_each_other(folder, tmp_path):
    other = Invented(bounds=(0.05, 0.3), seeds=2, seed=8, setting=1000).write(tmp_path / "other")
    runs = read_run(folder), read_run(other)
    runs[1].trials["dev_gap"] += 0.01
    told, warnings = differences(*runs)
    said = dict(told)
    assert not warnings
    assert said["setting steps"] == "2000 / 1000"
    assert said["seeds"] == "0, 1, 2 / 0, 1; development parts have not all the same people"
    assert said["bounds"] == "4 / 2, of which 1 are in both"
    assert said["data"].startswith("the same: invented, 1,396 people, digest 0000")
    path = write_comparison(*runs, tmp_path / "compare.html")
    text = path.read_text()
    parsed = Page(text)
    assert not parsed.loaded
    assert "run and other are runs on the same data. What was recorded of them differs in " in parsed.text
    assert len(json.loads(re.search(r'id="records">(.*?)</script>', text, re.S)[1])["runs"]) == 2
    ours, theirs = (run.trials[run.trials["bound"] == 0.05].set_index("seed")["dev_gap"] for run in runs)
    change = (theirs - ours).dropna()
    assert f"<td>{theirs.mean():.3f}</td>" in text and f"<td>{ours[:2].mean():.3f}</td>" in text  # of shared seeds
    assert abs(change.mean()) > 0.001
    expected = f"<td>{change.mean():+.3f} <small>({change.min():+.3f} to {change.max():+.3f})</small></td>"
    assert expected in text
    assert write_comparison(*runs, tmp_path / "again.html").read_text() == text


def test_a_run_does_not_differ_from_itself(folder, tmp_path):
    run = read_run(folder)
    text = Page(write_comparison(run, run, tmp_path / "same.html").read_text()).text
    assert "run (1) and run (2) are runs on the same data. Nothing else that was recorded differs." in text
    assert " 0.000 " in text and "-0.000" not in text
    other = read_run(Invented(bounds=(0.3,), seeds=1).write(tmp_path / "other"))
    other.trials.loc[:, "seed"] = 9
    text = Page(write_comparison(run, other, tmp_path / "apart.html").read_text()).text
    assert "The runs share no bound" in text and "The runs share no seed" in text


def test_runs_on_other_data_are_refused_and_other_constraints_warned_of(folder, tmp_path):
    run = read_run(folder)
    named = read_run(Invented(name="another").write(tmp_path / "named"))
    data = dict(run.data, digest="1" * 64)
    changed = recorded(Invented().write(tmp_path / "changed"), data=data)
    for other in (named, changed):
        with pytest.raises(DataError, match="points of different data do not compare"):
            write_comparison(run, other, tmp_path / "compare.html")
    assert not (tmp_path / "compare.html").exists()
    other = read_run(Invented(parts=("equalized_odds(sex)",)).write(tmp_path / "odds"))
    warnings = differences(run, other)[1]
    assert len(warnings) == 1 and "The constraints differ" in warnings[0]
    assert warnings[0] in Page(write_comparison(run, other, tmp_path / "compare.html").read_text()).text


def test_names_that_would_be_formulas_are_drawn(tmp_path):
    run = read_run(Invented(name="$\\frac$ _x").write(tmp_path / "_$\\frac$"))
    write_pictures(run, tmp_path)
    text = write_comparison(run, read_run(Invented(name="$\\frac$ _x").write(tmp_path / "b")), tmp_path / "c.html")
    assert "_$\\frac$" in text.read_text().partition("<figcaption>")[0]
