"""What a picture of frontiers shows, before anything draws it: a panel of series of points, and what each point says.

The still pictures, the page and its script all take their points from here. A series that is not a sweep (an envelope,
a baseline) is a `Series` more; another pair of axes is a `Panel` more.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ._run import MEAN, Run, bound_text, finite, limits_text, number, spread_text, summary_table

RESIDUAL_FLOOR = 1e-8  # residuals below are drawn here
INEQUALITIES = 8  # shown of one trial: those with the largest multipliers
MAX_GROUPS = 6  # whose rates a point says at once
NEAR = (0.25, 0.06)  # labels lie over each other where their points are nearer than these shares of the axes


@dataclasses.dataclass(frozen=True)
class Point:
    """A place in a panel. `across` and `up` are where its bars end; a point with a `title` can be pointed at and then
    says its `facts`; `rows` are those of frontier.csv that it stands for, so that one can be chosen."""

    x: float
    y: float
    across: tuple[float, float] | None = None
    up: tuple[float, float] | None = None
    label: str = ""
    title: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    rows: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Series:
    """Points that look alike: `style` is one of `_plots.STYLES`, `name` is said in the legend, if at all; `run` is the
    place of the run among those of the panel, which also gives the colour where there are several."""

    style: str
    points: tuple[Point, ...]
    name: str = ""
    run: int = 0


@dataclasses.dataclass(frozen=True)
class Panel:
    """A pair of axes with its series."""

    x: str
    y: str
    series: tuple[Series, ...]
    runs: int = 1
    note: str = ""  # what stands below this panel alone


class Spot(NamedTuple):
    """Where a point is in the coordinates of the drawn `<svg>`."""

    run: int
    point: Point
    x: float
    y: float


NAMES = {
    "best": "non-dominated",
    "rest": "dominated",
    "line": "frontier; band: range over seeds",
    "fail": "not every seed satisfies its bound",
    "free": "unconstrained",
}


def panel(run: Run, others: Sequence[Series] = (), expected: bool = True) -> Panel:
    """Accuracy against gap of a run, and the points of others: on held-out development data, or the expected values
    where the population is known (unless not `expected`), then with the true frontier."""
    known = run.known and expected
    truth = run.manifest.get("truth") if known else None
    series = []
    if truth:
        line = tuple(Point(x, y) for x, y in zip(truth["bounds"], truth["accuracy"], strict=True))
        series.append(Series("truth", line, "true frontier"))
    names = NAMES | ({"line": "frontier"} if run.trials["seed"].nunique() < 2 else {})
    series += [Series(style, points, names[style]) for style, points in _bounds(run, known).items()]
    return Panel(*_axes(known), (*series, *_certified(run, known), *others))


def panel_of(runs: Sequence[Run], names: Sequence[str], expected: bool) -> Panel:
    """The frontiers of several runs in one pair of axes; expected values in the known population if `expected`."""
    series = []
    for place, (run, name) in enumerate(zip(runs, names, strict=True)):
        points_of = _bounds(run, expected)
        named = next(iter(points_of), None)  # one entry of the legend is enough
        series += [Series(style, points, name if style == named else "", place) for style, points in points_of.items()]
    return Panel(*_axes(expected), tuple(series), len(runs))


def coordinates(run: Run, expected: bool) -> tuple[np.ndarray, np.ndarray]:
    """Gap and accuracy of every trial, `[M]` each, as a panel shows them."""
    if expected:
        return run.trials["population_gap"].to_numpy(float), run.trials["population_accuracy"].to_numpy(float)
    return run.gap("dev"), run.trials["dev_accuracy"].to_numpy(float)


def _axes(expected: bool) -> tuple[str, str]:
    if expected:
        return "gap in the known population", "expected accuracy"
    return "gap on held-out development data", "accuracy on held-out development data"


def _bounds(run: Run, expected: bool) -> dict[str, tuple[Point, ...]]:
    """Look -> a point per bound: filled if no other point that is drawn is better in one axis and as good in the other,
    else hollow; a cross if a seed fails. Filled points, and the unconstrained one if it is among them, are joined."""
    gap, accuracy = coordinates(run, expected)
    drawn: list[tuple[str, Point]] = []
    named = {run.focus(), *run.bounds[:1]}
    for row in summary_table(run).to_dict("records"):
        bound = row["bound"]
        all_of = run.at(bound)
        some = run.trials.iloc[all_of]
        at = all_of[np.isfinite(gap[all_of]) & np.isfinite(accuracy[all_of])]
        if not len(at):
            continue
        x, y = gap[at], accuracy[at]
        text = f"bound {bound_text(bound)}" if math.isfinite(bound) else "unconstrained"
        point = Point(
            float(x.mean()),
            float(y.mean()),
            (float(x.min()), float(x.max())),
            (float(y.min()), float(y.max())),
            label=text if bound in named and math.isfinite(bound) else "",
            title=text,
            facts=tuple(_facts(run, row, all_of)),
            rows=tuple(int(one) for one in all_of),
        )
        failed = (some["status"] != "FEASIBLE").any()
        drawn.append(("free" if math.isinf(bound) else "fail" if failed else "best", point))
    within = [point for style, point in drawn if style != "fail"]
    front = [point for point in within if not any(_dominates(other, point) for other in within)]
    kinds: dict[str, list[Point]] = {"best": [], "rest": [], "fail": [], "free": [], "line": []}
    for (style, _), point in zip(drawn, _apart([point for _, point in drawn]), strict=True):
        kinds["rest" if style == "best" and not any(point.rows == one.rows for one in front) else style].append(point)
    if len(front) > 1:
        kinds["line"] = [Point(one.x, one.y, up=one.up) for one in sorted(front, key=lambda one: (one.x, one.y))]
    return {style: tuple(points) for style, points in kinds.items() if points}


def _dominates(one: Point, other: Point) -> bool:
    """Whether a point lies as far up and to the left as another, and further in one of the two."""
    return one.x <= other.x and one.y >= other.y and (one.x, one.y) != (other.x, other.y)


def _apart(points: Sequence[Point]) -> list[Point]:
    """The points, without the bars that would lie over those of another and without labels that would: points with a
    label come first, then in order."""
    wide = max((point.x for point in points), default=0.0) * NEAR[0]
    high = (max(point.y for point in points) - min(point.y for point in points)) * NEAR[1] if points else 0.0
    barred: list[Point] = []
    labelled: list[Point] = []
    kept: dict[int, Point] = {}
    for place in sorted(range(len(points)), key=lambda place: not points[place].label):
        point = points[place]
        if any(_overlap(point.across, one.across) and _overlap(point.up, one.up) for one in barred):
            point = dataclasses.replace(point, across=None, up=None)
        else:
            barred.append(point)
        if point.label and any(abs(point.x - one.x) < wide and abs(point.y - one.y) < high for one in labelled):
            point = dataclasses.replace(point, label="")
        elif point.label:
            labelled.append(point)
        kept[place] = point
    return [kept[place] for place in range(len(points))]


def _overlap(one: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    return one is not None and other is not None and one[0] <= other[1] and other[0] <= one[1]


def _facts(run: Run, row: dict[str, Any], at: np.ndarray) -> list[tuple[str, str]]:
    """What a point says: means over its seeds, with the range in brackets."""
    facts = [("status", statuses(run, at))]
    facts += [("gap, development", spread_text(row, "dev_gap"))]
    facts += [("accuracy, development", spread_text(row, "dev_accuracy")), *people_facts(run, row["bound"])]
    facts += [("gap, training", number(row["train_gap"]))]
    if run.known:
        facts += [("gap, population", spread_text(row, "population_gap"))]
        facts += [("accuracy, population", spread_text(row, "population_accuracy"))]
    if row["certified_members"]:
        of = f" ({row['certified_members']} of {len(at)})" if len(at) > 1 else ""
        facts += [("gap certified at most", slack_text(row["certified_slack"]) + of)]
    rates = run.rates("dev")
    starts = {cell.partition("=")[0] for cell in rates}  # "sex=Male" is "Male" where all are of one attribute
    drop = len(starts) == 1 and all("=" in cell for cell in rates)
    names = {cell: cell.partition("=")[2] if drop else cell for cell in list(rates)[:MAX_GROUPS]}
    facts += [(f"rate, {name}", number(_mean(rates[cell][at]))) for cell, name in names.items()]
    return facts + ([("more groups", f"{len(rates) - MAX_GROUPS}")] if len(rates) > MAX_GROUPS else [])


def people_facts(run: Run, bound: float) -> list[tuple[str, str]]:
    """What a point at this bound says of its uncertainty."""
    if run.uncertainty is None:
        return []
    table = run.uncertainty
    rows = table[(table["seed"] == MEAN) & (table["bound"] == bound)].to_dict("records")
    return [fact for row in rows for fact in sure_facts(row, run.drawn)]


def sure_facts(row: dict[str, Any], units: str) -> list[tuple[str, str]]:
    """Intervals over people, by what they are called, and how often it is not dominated."""
    facts = [(f"{word}, over {units}", limits_text(row, f"dev_{word}")) for word in ("gap", "accuracy")]
    sure = row.get("non_dominated", math.nan)
    return facts + ([("not dominated in draws", number(sure, 2))] if math.isfinite(sure) else [])


def representative(run: Run, rows: Any) -> int:
    """The first feasible trial among the rows, else the first."""
    feasible = [row for row in rows if run.trials["status"].iloc[row] == "FEASIBLE"]
    return int(feasible[0] if feasible else rows[0] if len(rows) else 0)


def largest(run: Run, row: int, count: int = INEQUALITIES) -> list[int]:
    """Indices of the inequalities worth showing of a trial: largest multiplier, then largest last violation."""
    multiplier = np.nan_to_num(run.traces["multiplier"][row]).max(axis=0, initial=0)
    violation = run.traces["violation"][row]
    last = np.nan_to_num(violation[-1]) if len(violation) else np.zeros(len(multiplier))
    return [int(index) for index in np.lexsort((-last, -multiplier))[:count]]


def statuses(run: Run, at: Sequence[int] | np.ndarray) -> str:
    """The status of a trial, or how many have which: "FEASIBLE (2 of 3), INFEASIBLE (1 of 3)"."""
    counts = run.trials["status"].iloc[list(at)].value_counts(sort=False)
    return next(iter(counts.index)) if len(at) == 1 else ", ".join(f"{k} ({n} of {len(at)})" for k, n in counts.items())


def slack_text(value: float) -> str:
    """A certified upper bound, rounded up; a dash where there is none."""
    return "vacuous" if value >= 1 else number(math.ceil(value * 1000) / 1000) if math.isfinite(value) else "-"


def _certified(run: Run, expected: bool) -> list[Series]:
    """From the measured gap of a certified trial to its upper bound; no point where that says nothing."""
    proved = run.certified
    gap, accuracy = coordinates(run, expected)
    at = np.flatnonzero((proved < 1) & np.isfinite(gap) & np.isfinite(accuracy))
    points = [
        Point(float(proved[row]), float(accuracy[row]), across=(float(gap[row]), float(proved[row]))) for row in at
    ]
    return [Series("certified", tuple(points), "certified: at most")] if points else []


def _mean(values: np.ndarray) -> float:
    values = finite(values)
    return float(values.mean()) if len(values) else math.nan
