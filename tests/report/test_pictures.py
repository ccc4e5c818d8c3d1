"""The picture of a frontier: what is drawn, where, and what a point says."""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
import pytest

from faro.report import draw_frontier, read_run, summary_table, write_pictures
from faro.report._plots import inline
from faro.report._series import panel
from tests.builders.invented import Invented, certify, page


def test_drawing_into_axes_of_the_caller(folder):
    from matplotlib.figure import Figure

    figure = Figure()
    assert draw_frontier(read_run(folder), figure.add_subplot()) is figure
    assert "demographic parity (sex)\ninvented, 1,396 people" in figure.axes[0].get_title()


def test_points_lie_where_their_marks_are_drawn(folder, tmp_path):
    for place in (folder, Invented(known=True, status="INFEASIBLE").write(tmp_path / "known")):
        run = read_run(place)
        svg, spots = inline(panel(run))
        marks = np.array(re.findall(r'<use xlink:href="#[^"]+" x="([-\d.]+)" y="([-\d.]+)"', svg), float)
        assert [spot.point.title for spot in spots][-1] == f"bound {run.bounds[-1]:g}" or len(spots) == 5
        for spot in spots:
            assert np.abs(marks - (spot.x, spot.y)).max(axis=1).min() < 0.02
        assert len({(spot.x, spot.y) for spot in spots}) == 5


def test_points_say_the_numbers_of_the_file(folder):
    run = certify(folder)
    spots = {spot.point.title: spot.point for spot in inline(panel(run))[1]}
    assert list(spots) == ["bound 0.02", "bound 0.05", "bound 0.1", "bound 0.2", "unconstrained"]
    some = run.trials[run.trials["bound"] == 0.1]
    facts = dict(spots["bound 0.1"].facts)
    assert list(spots["bound 0.1"].rows) == list(some.index)
    assert facts["status"] == "FEASIBLE (3 of 3)"
    assert facts["accuracy, development"].startswith(f"{some['dev_accuracy'].mean():.3f} ")
    assert facts["rate, 1"] == f"{some['dev_rate[sex=1]'].mean():.3f}"
    assert facts["gap certified at most"] == f"{math.ceil(some['certified_slack'].max() * 1000) / 1000:.3f} (3 of 3)"
    assert "gap certified at most" not in dict(spots["unconstrained"].facts)


def test_a_point_of_many_groups_says_how_many_more(tmp_path):
    run = read_run(Invented(groups=200, seeds=1).write(tmp_path))
    facts = dict(inline(panel(run))[1][0].point.facts)
    assert facts["more groups"] == "194"
    assert sum(name.startswith("rate, ") for name in facts) == 6


def test_certified_slack_is_drawn_and_listed_where_there_is_any(folder):
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    def drawn(run):
        ax = Figure().add_subplot()
        draw_frontier(run, ax)
        return ax, [line for line in ax.lines if line.get_label() == "certified: at most"]

    before = read_run(folder)
    assert np.isnan(before.certified).all()
    assert not drawn(before)[1]
    assert "certified at most" not in page(folder)[0]
    run = certify(folder)
    ax, (ticks,) = drawn(run)
    at = np.flatnonzero((run.certified < 1) & run.trials["pareto"])
    assert len(at) == run.trials["pareto"].sum() - 1  # not the vacuous one
    assert ticks.get_xdata() == pytest.approx(run.certified[at])
    assert ticks.get_ydata() == pytest.approx(run.trials["dev_accuracy"].to_numpy()[at])
    drawn_bars = [one for one in ax.collections if isinstance(one, LineCollection)]
    bars = [segment for one in drawn_bars for segment in one.get_segments() if segment[1, 0] in run.certified]
    assert sorted(bar[0, 0] for bar in bars) == pytest.approx(sorted(run.gap("dev")[at]))
    assert ax.get_xlim()[1] > run.certified[at].max()
    text, _ = page(folder)
    largest = max(run.certified[at][run.trials["bound"].to_numpy()[at] == 0.1])
    assert f"<td>{math.ceil(1000 * largest) / 1000:.3f} <small>(3 of 3)</small></td>" in text  # rounded up
    for part in ("vacuous", "<td>refuted</td>", "<td>certified</td>", "read once", "Green ticks"):
        assert part in text
    table = summary_table(run).set_index("bound")
    assert table.loc[0.1, "certified_slack"] == pytest.approx(largest)
    assert table.loc[math.inf, "certified_members"] == 0
    write_pictures(run, folder)


def series_of(run, style):
    return [point for one in panel(run).series if one.style == style for point in one.points]


def test_filled_points_and_the_line_are_judged_on_what_is_drawn(tmp_path):
    folder = Invented().write(tmp_path / "run")
    table = pd.read_csv(folder / "frontier.csv")
    table["pareto"] = False  # what selection says
    at = {"dev_gap": [0.03, 0.06, 0.09, 0.2, 0.3], "dev_accuracy": [0.7, 0.74, 0.73, 0.75, 0.76]}
    for name, values in at.items():
        table[name] = np.repeat(values, 3) + np.tile([-0.001, 0, 0.001], 5)
    table.to_csv(folder / "frontier.csv", index=False)
    run = read_run(folder)
    assert [point.x for point in series_of(run, "best")] == pytest.approx([0.03, 0.06, 0.2])
    assert [point.x for point in series_of(run, "rest")] == pytest.approx([0.09])  # below and to the right of .06
    line = series_of(run, "line")
    assert [point.x for point in line] == pytest.approx([0.03, 0.06, 0.2, 0.3])  # to the unconstrained
    assert [point.up for point in line] == [pytest.approx((y - 0.001, y + 0.001)) for y in (0.7, 0.74, 0.75, 0.76)]
    table.loc[table["bound"] == 0.05, "status"] = "INFEASIBLE"  # a cross neither joins nor dominates
    table.to_csv(folder / "frontier.csv", index=False)
    assert [point.x for point in series_of(read_run(folder), "best")] == pytest.approx([0.03, 0.09, 0.2])


def test_bars_and_labels_do_not_lie_over_each_other_at_close_bounds(tmp_path):
    run = read_run(Invented(bounds=tuple(np.geomspace(0.01, 0.0117, 10).round(5))).write(tmp_path))
    points = [point for style in ("best", "rest", "free") for point in series_of(run, style)]
    assert len(points) == 11 and sum(bool(point.label) for point in points) == 1
    barred = [point for point in points if point.across]
    assert 1 < len(barred) < 11
    for place, one in enumerate(barred):
        for other in barred[:place]:
            apart = [a[0] > b[1] or b[0] > a[1] for a, b in ((one.across, other.across), (one.up, other.up))]
            assert any(apart)


def test_population_values_are_drawn_where_they_are_known(tmp_path):
    axes = draw_frontier(read_run(Invented(known=True).write(tmp_path))).axes[0]
    assert axes.get_xlabel() == "gap in the known population"
    assert "true frontier" in axes.get_legend_handles_labels()[1]
