"""The tables of a page: a row per bound, the non-dominated trials, and what was run."""

from __future__ import annotations

import html
import math
from typing import Any

import numpy as np
import pandas as pd

from ..store import columns
from ._run import Run, borrowed, bound_text, finite, number, ridge_of, spread_text, summary_table, tightened
from ._series import representative, slack_text

escape = html.escape


def bounds_note(run: Run, seeds: int) -> str:
    """What the columns of `bounds` mean."""
    text = "Feasible: members whose training gap is within the bound. "
    text += "Means over the members that have numbers, with the range over seeds in brackets. " if seeds > 1 else ""
    text += "The gap is the largest over the parts of the constraint. " if len(run.parts) > 1 else ""
    diverged = int((run.trials["status"] == "DIVERGED").sum())
    if math.isfinite(run.focus()):
        among = run.trials["status"].iloc[run.at(run.focus())].eq("FEASIBLE").any()
        text += "Shaded: the bound nearest to half the unconstrained training gap"
        text += ", of those that some member satisfies. " if among else ". "
    text += f"{diverged} of {len(run.trials)} members diverged. " if diverged else ""
    return text + "".join(f"{sentence}. " for sentence in run.dev_gap_over)


def table(head: list[str], rows: list[tuple[dict[str, Any], list[str]]]) -> str:
    """An HTML table from a header and (attributes, cells) rows; a cell "a (b)" shows its bracket in small type."""
    lines = ["<table><thead><tr>", *(f'<th scope="col">{escape(name)}</th>' for name in head), "</tr></thead><tbody>"]
    for attributes, cells in rows:
        given = "".join(f' {name}="{escape(str(value))}"' for name, value in attributes.items() if value != "")
        lines.append(f"<tr{given}>")
        for cell in cells:
            first, bracket, rest = cell.partition(" (")
            lines.append(
                f"<td>{escape(first)}{f' <small>{escape(bracket[1:] + rest)}</small>' if bracket else ''}</td>"
            )
        lines.append("</tr>")
    return "".join([*lines, "</tbody></table>"])


def scrolled(text: str, what: str, tall: bool = False) -> str:
    """A table that scrolls by itself where the screen is narrow; the keyboard reaches it."""
    kind = "scroll wide tall" if tall else "scroll wide"
    return f'<div class="{kind}" tabindex="0" role="region" aria-label="{escape(what)}">{text}</div>'


def key(row: int, place: int = 0) -> dict[str, Any]:
    """Attributes by which the script knows which trial of which run a row of a table shows."""
    return {"data-run": place, "data-row": int(row)}


def bounds(run: Run, place: int = 0) -> str:
    """A row per bound; `place` is the run's place on the page."""
    summary = summary_table(run)
    head = ["bound", "feasible", "train gap", "dev gap", "dev accuracy", "dev nll", "dev ece"]
    parts = run.parts if len(run.parts) > 1 else ()
    head += [f"dev gap: {part}" for part in parts]
    head += ["population gap", "population accuracy"] if run.known else []
    head += ["true frontier"] if "population_frontier" in summary else []
    certified = bool(len(finite(run.certified)))
    if certified:
        head.insert(4, "certified at most")
    rows, gaps, focus = [], run.gaps("dev"), run.focus()
    for row in summary.to_dict("records"):
        free = not math.isfinite(row["bound"])
        cells = [
            bound_text(row["bound"]),
            f"{row['feasible']}/{row['members']}" if not free else "",
            number(row["train_gap"]),
            spread_text(row, "dev_gap"),
            spread_text(row, "dev_accuracy"),
            number(row["dev_nll"]),
            number(row["dev_ece"]),
        ]
        some = gaps[run.at(row["bound"])]
        some = some[np.isfinite(some).all(axis=1)]
        cells += [number(some[:, part].mean()) if len(some) else number(math.nan) for part in range(len(parts))]
        if run.known:
            cells += [spread_text(row, "population_gap"), spread_text(row, "population_accuracy")]
        if "population_frontier" in row:
            cells.append(number(row["population_frontier"]))
        if certified:
            which = f" ({row['certified_members']} of {row['members']})" if row["members"] > 1 else ""
            cells.insert(4, slack_text(row["certified_slack"]) + which * bool(row["certified_members"]))
        kinds = {"focus": row["bound"] == focus, "fail": not free and row["feasible"] < row["members"]}
        at = run.at(row["bound"])
        attributes = {"id": f"run{place}-{at[0]}", "class": " ".join(kind for kind, holds in kinds.items() if holds)}
        rows.append((attributes | key(representative(run, at), place), cells))
    said = "".join(f'<p class="quiet">{escape(words)}</p>' for words in (borrowed(run), tightened(run)) if words)
    return said + scrolled(table(head, rows), "a row per bound")


def pareto(run: Run) -> str:
    """Trials that no other feasible trial of their seed beats in both respects."""
    trials = run.trials[["bound", "seed", "pareto", "selection_accuracy", "dev_accuracy"]]
    trials = trials.assign(row=range(len(trials)), gap=run.gap("selection"), train=run.gap("train"), dev=run.gap("dev"))
    trials = trials.assign(certified=run.certified, verdict=run.verdicts, trained_at=run.trained_at)
    best = trials[trials["pareto"]].sort_values(["bound", "seed"])
    if not len(best):
        return "<p>None.</p>"
    used = [f"{columns.said('selection')} {name}" for name in ("gap", "accuracy")]
    head = ["bound", "seed", *used, "train gap", "dev gap", "dev accuracy", "trained at"]
    names = ["gap", "selection_accuracy", "train", "dev", "dev_accuracy"]
    certified = bool(len(finite(run.certified)))
    head[2:2] = ["certified at most", "verdict"] if certified else []
    rows = []
    for row in best.to_dict("records"):
        cells = [bound_text(row["bound"]), str(row["seed"])]
        cells += [slack_text(row["certified"]), row["verdict"].lower()] if certified else []
        rows.append((key(row["row"]), [*cells, *(number(row[name]) for name in names), bound_text(row["trained_at"])]))
    note = (
        f"{len(best)} of {len(trials)} members: no feasible member of the same seed is better in gap or accuracy and "
        f"at least as good in the other, on the selection part. {columns.USED_NOTE}"
    )
    note = " ".join([note, *(f"{sentence}." for sentence in run.dev_gap_over)])
    return f'<p class="quiet">{escape(note)}</p>{scrolled(table(head, rows), "non-dominated points", tall=True)}'


def facts(run: Run) -> str:
    """The manifest as a definition list: data, constraint, software, command."""
    data, manifest = run.data, run.manifest
    versions = [f"{name} {version}" for name, version in (manifest.get("versions") or {}).items()]
    counts = {prefix: sorted(set(run.trials[f"{prefix}_n"])) for prefix in ("train", "selection", "dev")}
    sizes = [f"{prefix} {_range(values)}" for prefix, values in counts.items()]
    seconds = manifest.get("seconds")
    entries = {
        "Data": ": ".join(str(data[key]) for key in ("name", "title") if data.get(key)),
        "Size": run.counted,
        "Unit": data.get("unit"),
        "Parts": "choices: " + ", ".join(sizes),
        "Source": data.get("source"),
        "Licence": data.get("licence"),
        "Known traps": _listed(data.get("traps")),
        "Digest": data.get("digest"),
        "Constraint": manifest["constraint"]["name"],
        "Inequalities": f"{len(run.labels)}",
        "Bounds": ", ".join(bound_text(bound) for bound in run.bounds),
        "Seeds": ", ".join(str(seed) for seed in sorted(run.trials["seed"].unique())),
        "Ridge": ridge_of(run) or None,
        "Notes": _listed(manifest.get("notes")),
        "Versions": ", ".join(versions),
        "Device": manifest.get("device"),
        "Time": f"{seconds:.0f} s" if isinstance(seconds, int | float) else None,
        "Command": manifest.get("command"),
    }
    code = {"Digest", "Command", "Constraint"}
    return "".join(
        f"<dt>{name}</dt><dd>{f'<code>{escape(str(fact))}</code>' if name in code else escape(str(fact))}</dd>"
        for name, fact in entries.items()
        if fact and not (isinstance(fact, float) and pd.isna(fact))
    )


def _listed(values: Any) -> str:
    return values if isinstance(values, str) else "; ".join(map(str, values or []))


def _range(values: list[Any]) -> str:
    low, high = values[0], values[-1]
    return f"{low:,.0f}" if low == high else f"{low:,.0f}-{high:,.0f} over seeds"
