"""What a report says of uncertainty and of baselines, against invented tables."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from faro.cli.terminal import show_frontier
from faro.errors import DataError
from faro.report import draw_frontier, read_run, verdicts, write_report
from faro.report._others import panels, series
from tests.builders.invented import Invented


def sure(bounds) -> pd.DataFrame:
    rows = [
        {"bound": bound, "seed": "mean", "dev_accuracy": 0.7, "dev_gap": 0.1, "dev_accuracy_low": 0.61,
         "dev_accuracy_high": 0.79, "dev_gap_low": 0.071, "dev_gap_high": 0.139, "non_dominated": 0.83}
        for bound in (*bounds, np.inf)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def others(ahead: dict[tuple[str, float], tuple[float, float, float] | None]) -> pd.DataFrame:
    """Baselines whose points have this lead, as (value, low, high); None: not compared."""
    rows = []
    for (name, setting), lead in ahead.items():
        for seed in ("0", "1", "mean"):
            shift = {"0": -0.01, "1": 0.01}.get(seed, 0.0)
            row = {"baseline": name, "setting": setting, "seed": seed, "uses_group": name == "thresholds"}
            row |= {"train_gap": 0.05, "dev_accuracy": 0.7 + shift, "dev_gap": 0.06 + shift}
            row |= {"dev_accuracy_low": 0.65, "dev_accuracy_high": 0.75, "dev_gap_low": 0.02, "dev_gap_high": 0.1}
            if seed == "mean" and lead:
                row |= dict(zip(("ahead", "ahead_low", "ahead_high"), lead, strict=True))
            rows.append(row)
    return pd.DataFrame(rows)


WON = {
    ("thresholds", 0.05): (0.04, 0.02, 0.06),
    ("thresholds", 0.1): (0.05, 0.01, 0.09),
    ("reweighting", np.nan): (0.01, -0.01, 0.03),
    ("penalty", 0.02): (-0.04, -0.06, -0.02),
    ("penalty", 5.0): None,
}


@pytest.fixture
def folder(tmp_path):
    made = Invented()
    made.write(tmp_path)
    sure(made.bounds).to_csv(tmp_path / "uncertainty.csv", index=False)
    volume = {"hypervolume": 0.61, "low": 0.55, "high": 0.66, "reference_gap": 1.0, "reference_accuracy": 0.0}
    rows = [
        volume | {"seed": 0, "hypervolume": 0.6},
        volume | {"seed": 1, "hypervolume": 0.62},
        volume | {"seed": "mean"},
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "hypervolume.csv", index=False)
    lacking = pd.DataFrame([{"baseline": "group_dro", "seed": "mean", "note": "not defined: no groups"}])
    pd.concat([others(WON), lacking]).to_csv(tmp_path / "baselines.csv", index=False)
    return tmp_path


def test_it_says_plainly_where_a_baseline_is_ahead(folder):
    thresholds, reweighting, penalty, dro = verdicts(read_run(folder))
    assert "use the group" in thresholds and "ahead of this run at 2 of 2 settings" in thresholds
    assert "bound 0.05: at a gap of 0.060, accuracy 0.700 is higher by 0.040 (0.020 to 0.060 over people)" in thresholds
    assert "at none of 1 setting" in reweighting  # the interval reaches below zero
    assert "at none of 2 settings; behind at 1; 1 with a smaller gap than any point of the run" in penalty
    assert dro == "group DRO: not defined: no groups."


def test_baselines_are_series_of_the_same_panel(folder):
    run = read_run(folder)
    found = {one.style: one for one in series(run)}
    assert list(found) == ["thresholds", "reweighting", "penalty"]
    first = found["thresholds"].points[0]
    assert (first.x, first.y) == (0.06, 0.7) and first.across == pytest.approx((0.05, 0.07))
    assert dict(first.facts)["decides by the group"] == "yes" and first.rows == ()
    (one,) = panels(run)
    assert [each.style for each in one.series][-3:] == list(found)
    assert any("use the group" in text.get_text() for text in draw_frontier(run).axes[0].get_legend().get_texts())


def test_where_the_population_is_known_baselines_have_a_panel_of_their_own(folder):
    Invented(known=True).write(folder)
    expected, measured = panels(read_run(folder))
    assert "population" in expected.x and "development" in measured.x
    assert not {"thresholds", "truth"} <= {each.style for each in expected.series}
    assert "truth" not in {each.style for each in measured.series}
    (folder / "baselines.csv").unlink()
    assert len(panels(read_run(folder))) == 1


def test_the_page_says_how_sure_the_points_are(folder):
    text = write_report(read_run(folder), folder).read_text("utf-8")
    for words in ("How sure the points are", "0.071-0.139", "0.83", "no certificates", "Baselines",
                  "Hypervolume of the feasible members on development data: 0.6100", "seeds: 0.6000-0.6200",
                  "gap 1 and accuracy 0"):  # fmt: skip
        assert words in text, words
    for name in ("uncertainty", "hypervolume", "baselines"):
        (folder / f"{name}.csv").unlink()
    text = write_report(read_run(folder), folder).read_text("utf-8")
    assert "How sure the points are" not in text and "<h2>Baselines" not in text


def test_each_source_has_its_figures_and_clusters_are_said(folder, capsys):
    row = {"bound": np.inf, "seed": "mean", "source": "helpful", "choices": 80, "units": 40, "accuracy": 0.612}
    row |= {"accuracy_low": 0.58, "accuracy_high": 0.64, "nll": 0.65, "length": 0.57, "constant": 0.5}
    pd.DataFrame([row, row | {"source": "harmless", "accuracy": 0.7}]).to_csv(folder / "sources.csv", index=False)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["data"]["crossed"] = "prompt_id"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    text = write_report(read_run(folder), folder).read_text("utf-8")
    for words in (
        "Each source",
        "harmless",
        "0.612 <small>(0.580-0.640)",
        "draws of people and prompts with replacement",
    ):
        assert words in text, words
    assert "over people and prompts)" in verdicts(read_run(folder))[0]
    show_frontier(read_run(folder))
    shown = capsys.readouterr().out
    assert "harmless" in shown and "sources.csv" in shown


def test_a_damaged_table_is_one_line(folder):
    (folder / "baselines.csv").write_text("baseline,seed,dev_gap\npenalty,mean,wide\n")
    with pytest.raises(DataError, match=r"baselines.csv: damaged"):
        read_run(folder)
