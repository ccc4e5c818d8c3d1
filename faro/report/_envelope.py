"""The certified envelope of a run, where `faro envelope` has written one: a panel with axes of its own, and a table.

Regularised train loss against slack of the affine proxy: neither axis is one of the frontier's, so the two are never
drawn over each other. What the line says, and of what it says nothing, is its scope; it stands below it.
"""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, Context
from typing import Any

import numpy as np

from ..store.envelopes import Envelope, envelopes
from ._run import Run, bound_text, number
from ._series import Panel, Point, Series
from ._tables import scrolled, table

LINE_POINTS = 200  # points of the drawn line
UP = Context(prec=2, rounding=ROUND_CEILING)


def envelope_panel(run: Run) -> Panel | None:
    """The envelope of the first seed that has one, with the models of that seed; a bar is what a model can be beaten
    by at most. None without an envelope."""
    known = envelopes(run)
    if not known:
        return None
    envelope = known[0]
    slacks = [trial["slack"] for trial in envelope.trials.values()]
    grid = np.linspace(min([envelope.lines[0, 0], *slacks]), max([envelope.lines[-1, 0], *slacks]), LINE_POINTS)
    line = tuple(Point(float(x), float(y)) for x, y in zip(grid, envelope.lower(grid), strict=True))
    kinds: dict[str, list[Point]] = {"best": [], "fail": [], "free": []}
    for row, trial in envelope.trials.items():
        bound, status = float(run.trials["bound"].iloc[row]), str(run.trials["status"].iloc[row])
        style = "free" if math.isinf(bound) else "best" if status == "FEASIBLE" else "fail"
        kinds[style].append(_point(trial, bound, status, row))
    names = {"best": "models within their bound", "fail": "models that are not", "free": "unconstrained"}
    series = [Series("lower", line, "no linear model is below")]
    series += [Series(style, tuple(points), names[style]) for style, points in kinds.items() if points]
    note = _note(run, envelope)
    return Panel("slack of the affine proxy", "regularised training loss, nats", tuple(series), note=note)


def _point(trial: dict[str, float], bound: float, status: str, row: int) -> Point:
    return Point(
        trial["slack"],
        trial["loss"],
        up=(trial["loss"] - trial["gap"], trial["loss"]),
        title=f"bound {bound_text(bound)}" if math.isfinite(bound) else "unconstrained",
        facts=(
            ("status", status),
            ("regularised loss", f"{number(trial['loss'], 4)} nats"),
            ("slack of the proxy", number(trial["slack"], 4)),
            ("none lower by more than", f"{rounded_up(trial['gap'])} nats"),
            ("by its own multipliers", f"{rounded_up(trial['own_gap'])} nats"),
        ),
        rows=(row,),
    )


def _note(run: Run, envelope: Envelope) -> str:
    lowest, highest = envelope.lines[0, 0], envelope.lines[-1, 0]
    seeds = f" of seed {envelope.seed}" if run.trials["seed"].nunique() > 1 else ""
    return (
        f"Certified envelope{seeds}: {envelope.scope}. LB is the line; between slack {number(lowest)} and "
        f"{number(highest)} some model is within {rounded_up(envelope.width)} nats of it. Down and to the left is "
        "better. It says nothing of accuracy, of gaps of decisions, or of other data."
    )


def envelope_table(run: Run) -> str:
    """A row per bound, over the seeds that have an envelope, as HTML; "" without any."""
    known = envelopes(run)
    rows: list[tuple[dict[str, Any], list[str]]] = []
    for bound in [*run.bounds, math.inf]:
        at = set(run.at(bound).tolist())
        some = [trial for envelope in known for row, trial in envelope.trials.items() if row in at]
        if some:
            mean = {name: sum(trial[name] for trial in some) / len(some) for name in ("slack", "loss")}
            worst = [rounded_up(max(trial[name] for trial in some)) for name in ("gap", "own_gap")]
            rows.append(({}, [bound_text(bound), number(mean["slack"], 4), number(mean["loss"], 4), *worst]))
    head = ["bound", "proxy slack", "loss with ridge", "none lower by more than", "by own multipliers"]
    return scrolled(table(head, rows), "certified envelope") if rows else ""


def envelope_note(run: Run) -> str:
    """What the table is about."""
    known = envelopes(run)
    if not known:
        return ""
    several = f"{len(known)} seeds: means, and the largest gap" if len(known) > 1 else f"seed {known[0].seed}"
    points = sum(len(envelope.lines) for envelope in known)
    width = rounded_up(max(envelope.width for envelope in known))
    return (
        f"Over {several}, from {points} dual points; some model is everywhere within {width} nats of the lower bound. "
        f"{known[0].scope[0].upper()}{known[0].scope[1:]}. Loss is that of training, ridge included; slack is the "
        "smallest bound at which the affine proxy of the constraint holds. A model far above the line at its slack is "
        "not therefore worse: it was trained for the gap of decisions, of which the proxy is a tangent. Check it: faro "
        "envelope --features, then faro verify."
    )


def rounded_up(value: float) -> str:
    """A certified number with two digits, rounded up."""
    return f"{float(UP.create_decimal_from_float(value)):g}"
