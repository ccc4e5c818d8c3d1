"""Two runs on one page: both frontiers, what differs between them, and what each shared bound reaches in either."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..files import write_text
from ._page import TUNING, escape, page, quiet, section, training
from ._run import Run, bound_text, finite, number
from ._series import panel_of
from ._tables import bounds, facts, key, representative, scrolled, table

SAME = "the same"


def write_comparison(run: Run, other: Run, path: str | Path) -> Path:
    """Write the page that compares two runs of one data set; `DataError` if they are about different data."""
    runs, names = (run, other), _names(run, other)
    named = list(zip(runs, names, strict=True))
    recorded, warnings = differences(run, other)
    expected = run.known and other.known and not warnings
    text = page(
        title=f"{names[0]} and {names[1]}",
        constraint=" / ".join(dict.fromkeys(either.spoken for either in runs)),
        subtitle=f"{run.data['name']}, {run.size}; {len(run.trials)} and {len(other.trials)} models",
        lead=_told(recorded, warnings, names),
        note=TUNING,
        panels=[panel_of(runs, names, expected)],
        caption=(
            f"Circles: {names[0]}. Squares: {names[1]}. A point is a mean over seeds, bars and bands run from the "
            "smallest to the largest. Hollow points are dominated in their own run, crosses are bounds that not every "
            "seed satisfies on its training sample, diamonds are unconstrained. Up and to the left is better."
        ),
        runs=runs,
        names=names,
        sections=[
            section("Bound by bound", _paired(run, other, names)),
            *(section(f"Per bound: {name}", bounds(either, place)) for place, (either, name) in enumerate(named)),
            training(runs),
            *(section(f"What was run: {name}", f"<dl>{facts(either)}</dl>") for either, name in named),
        ],
    )
    write_text(path, text)
    return Path(path)


def differences(run: Run, other: Run) -> tuple[list[tuple[str, str]], list[str]]:
    """What is the same and what differs, as (what, words), and warnings where gaps do not compare.

    `DataError` where the data differ: then not even accuracies compare.
    """
    both = (run, other)
    digests = [str(either.data.get("digest", "not recorded"))[:12] for either in both]
    if run.data["name"] != other.data["name"] or run.data.get("digest") != other.data.get("digest"):
        what = [f"{either.data['name']} (digest {digest})" for either, digest in zip(both, digests, strict=True)]
        raise DataError(
            f"{run.folder} is about {what[0]} and {other.folder} about {what[1]}: points of different data do not "
            "compare; run both on one data set"
        )
    constraints = [either.manifest["constraint"]["name"] for either in both]
    seeds = [sorted(map(int, either.trials["seed"].unique())) for either in both]
    settings, versions = ([either.manifest.get(of) or {} for either in both] for of in ("configuration", "versions"))
    same = "the same" if seeds[0] == seeds[1] else "not all the same"
    shared = sum(bound in other.bounds for bound in run.bounds)
    lines = [
        ("data", f"{SAME}: {run.data['name']}, {run.size}, digest {digests[0]}"),
        ("constraint", _pair(*constraints)),
        *(_changed(settings, "setting ") or [("settings", SAME)]),
        (
            "seeds",
            f"{_pair(*(', '.join(map(str, some)) for some in seeds))}; development parts have {same} {run.units}",
        ),
        ("bounds", _pair(f"{len(run.bounds)}", f"{len(other.bounds)}, of which {shared} are in both"))
        if run.bounds != other.bounds
        else ("bounds", f"{SAME}: {shared}"),
        *(_changed(versions, "version of ") or [("versions", SAME)]),
        ("device", _pair(*(str(either.manifest.get("device", "not recorded")) for either in both))),
    ]
    warnings = [] if constraints[0] == constraints[1] else [_WARNING.format(*constraints)]
    return lines, warnings


_WARNING = (
    "The constraints differ: gaps are of {} in one run and of {} in the other. Only accuracies compare; a smaller gap "
    "of one says nothing of the other."
)


def _changed(values: Sequence[Mapping[str, Any]], what: str) -> list[tuple[str, str]]:
    names = dict.fromkeys(name for settings in values for name in settings)
    pairs = {name: [str(settings.get(name, "not recorded")) for settings in values] for name in names}
    return [(f"{what}{name}", _pair(*pair)) for name, pair in pairs.items() if pair[0] != pair[1]]


def _pair(first: str, second: str) -> str:
    return f"{SAME}: {first}" if first == second else f"{first} / {second}"


def _names(run: Run, other: Run) -> tuple[str, str]:
    """What the runs are called: their folders, as short as tells them apart."""
    folders = [Path(either.folder) for either in (run, other)]
    short, long = ([way(folder) for folder in folders] for way in (lambda f: f.name or str(f), Path.as_posix))
    if long[0] == long[1]:
        return f"{short[0]} (1)", f"{short[1]} (2)"
    return (long[0], long[1]) if short[0] == short[1] else (short[0], short[1])


def _told(lines: list[tuple[str, str]], warnings: list[str], names: tuple[str, str]) -> str:
    """A sentence about what differs; then all, what differs first."""
    order = sorted(lines, key=lambda one: one[1].startswith(SAME))
    what = [name for name, words in order if not words.startswith(SAME)]
    listed = ", ".join([*what[:-2], " and ".join(what[-2:])])
    text = f"{names[0]} and {names[1]} are runs on the same data. "
    text += f"What was recorded of them differs in {listed}." if what else "Nothing else that was recorded differs."
    rows = "".join(f"<dt>{escape(what)}</dt><dd>{escape(words)}</dd>" for what, words in order)
    warned = "".join(f'<p class="note warning">{escape(warning)}</p>' for warning in warnings)
    title = f"<h2>What differs</h2>{quiet(f'Before the stroke: {names[0]}. After it: {names[1]}.')}"
    return f'<p class="headline">{escape(text)}</p>{warned}<section class="differs">{title}<dl>{rows}</dl></section>'


def _paired(run: Run, other: Run, names: tuple[str, str]) -> str:
    """Development gap and accuracy at the bounds that both runs have, over the seeds that both have, and the changes
    within each seed; over all seeds of each, without changes, where they share none."""
    shared = [*(bound for bound in run.bounds if bound in other.bounds), math.inf]
    seeds = sorted(set(run.trials["seed"]) & set(other.trials["seed"]))
    measured = [(either.gap("dev"), either.trials["dev_accuracy"].to_numpy(float)) for either in (run, other)]
    rows = []
    for bound in shared:
        at = [_by_seed(either, bound) for either in (run, other)]
        if not all(at):
            continue
        rows_of = [[row_of_seed[seed] for seed in seeds] if seeds else list(row_of_seed.values()) for row_of_seed in at]
        cells = [bound_text(bound)]
        for before, after in zip(*measured, strict=True):
            first, second = before[rows_of[0]], after[rows_of[1]]
            cells += [_mean(first), _mean(second), _change(second - first) if seeds else "-"]
        rows.append((key(representative(other, other.at(bound)), 1), cells))
    head = ["bound", *(f"{what}: {word}" for what in ("gap", "accuracy") for word in (*names, "change"))]
    text = scrolled(table(head, rows), "bound by bound") if rows else ""
    if len(shared) == 1:
        text += quiet("The runs share no bound: sweep both with the same --bounds, or compare where their points lie.")
    if not seeds:
        return text + quiet("On development data, means over seeds. The runs share no seed: others were measured.")
    return text + quiet(
        f"On development data: means over the seeds that both have ({', '.join(map(str, seeds))}), and the change from "
        "one run to the other within each seed, as mean and range. A change whose range spans 0 is not told apart from "
        "none by these seeds."
    )


def _by_seed(run: Run, bound: float) -> dict[int, int]:
    """Seed -> row of frontier.csv of its trial at this bound."""
    return {int(run.trials["seed"].iloc[row]): int(row) for row in run.at(bound)}


def _mean(values: Any) -> str:
    values = finite(values)
    return number(float(values.mean())) if len(values) else "-"


def _change(values: np.ndarray) -> str:
    some = finite(values)
    if not len(some):
        return "-"
    mean, low, high = (f"{value:+.3f}" for value in (some.mean(), some.min(), some.max()))
    text = mean if low == high else f"{mean} ({low} to {high})"
    return re.sub(r"[+-]0\.000", "0.000", text)
