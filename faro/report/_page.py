"""The report of a run: one self-contained HTML page that reads on a phone, in the dark, and on paper."""

from __future__ import annotations

import html
import json
import math
import os
import string
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..files import write_text
from ._ending import MEANINGS, ending
from ._plots import FLOOR, INEQUALITIES, inline_frontier, largest
from ._run import RESIDUALS, Run, bound_text, finite, headline, number, spread_text, summary_table

RECORDS = 60  # of a trace, at most
BUDGET = 250_000  # numbers of all traces together, which keeps the page below 3 MB

TUNING = (
    "These are numbers for tuning: development data were looked at while choosing, so they are not a certificate. One "
    "on people that nobody has looked at is what faro certify and faro gate are for."
)
CERTIFIED = (
    "These are numbers for tuning, but for those called certified: they are upper bounds for the population of the "
    "gate part, which was read once, for all these points together. The confidence, the policy and the assumptions are "
    "in the certificates beside this page. That audit set is now used up."
)

escape = html.escape


def write_report(run: Run, folder: str | os.PathLike[str]) -> Path:
    """Write report.html into the folder and return its path. The page loads nothing from anywhere."""
    path = Path(folder) / "report.html"
    write_text(path, _page(run))
    return path


def _page(run: Run) -> str:
    files = resources.files(__package__)
    template, css, js = (files.joinpath(f"page.{kind}").read_text("utf-8") for kind in ("html", "css", "js"))
    name = str(run.data["name"])
    seeds = run.members["seed"].nunique()
    bounds = f"{len(run.bounds)} bound{'s' * (len(run.bounds) != 1)}"
    records, kept = _records(run)
    return string.Template(template).substitute(
        title=escape(f"faro: {name}"),
        heading=escape(name),
        constraint=escape(run.spoken),
        subtitle=escape(f"{run.size}; {bounds}, {seeds} seed{'s' * (seeds != 1)}, {len(run.members)} models"),
        headline=escape(headline(run)),
        frontier=inline_frontier(run),
        caption=escape(_caption(run, seeds)),
        note=escape(CERTIFIED if len(finite(run.certified)) else TUNING),
        bounds=_bounds(run),
        bounds_note=escape(_bounds_note(run, seeds)),
        pareto=_pareto(run),
        traces_note=escape(
            f"At most {min(INEQUALITIES, len(run.labels))} of {len(run.labels)} inequalities are shown, those with the "
            f"largest multipliers, and {kept} of {len(run.traces['step'])} records of each trace. "
            "All of them are in traces.npz."
        ),
        facts=_facts(run),
        configuration=escape(json.dumps(run.manifest.get("configuration", {}), indent=2, ensure_ascii=False)),
        version=escape(str(run.manifest.get("faro", "unknown"))),
        records=_json(records),
        css=css,
        js=js,
    )


def _json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _numbers(values: Any, digits: int = 4) -> list[float | None]:
    """Rounded numbers, None for those that are not finite."""
    return [round(float(value), digits) if math.isfinite(value) else None for value in np.asarray(values, float)]


def _records(run: Run) -> tuple[dict[str, Any], int]:
    """What the page's script draws, and how many records of each trace were kept."""
    members, recorded = run.members, len(run.traces["step"])
    drawn = 1 + len(run.parts) + len(RESIDUALS) + 2 * min(INEQUALITIES, len(run.labels))
    kept = min(recorded, RECORDS, max(10, BUDGET // (len(members) * drawn)))
    thin = np.unique(np.linspace(0, recorded - 1, kept).round().astype(int)) if recorded else np.zeros(0, int)
    rates = {prefix: run.rates(prefix) for prefix in ("dev", "train")}
    cells = [cell for cell in rates["dev"] if cell in rates["train"]]
    table = {
        prefix: np.stack([rates[prefix][cell] for cell in cells], 1) if cells else np.zeros((len(members), 0))
        for prefix in rates
    }
    summary = {f"{prefix}_gap": run.gap(prefix) for prefix in ("train", "dev")}
    summary["dev_accuracy"] = members["dev_accuracy"].to_numpy(float)
    entries = []
    for row, member in enumerate(members.to_dict("records")):
        bounded = math.isfinite(member["bound"])
        shown = largest(run, row, INEQUALITIES) if bounded else []
        traces = {key: run.traces[key][row][thin] for key in ("loss", "gap", "violation", "multiplier", *RESIDUALS)}
        word = ending(run, row)
        entries.append(
            {
                "bound": member["bound"] if bounded else None,
                "bound_text": bound_text(member["bound"]),
                "seed": member["seed"],
                "status": member["status"],
                "ending": f"{word}: {MEANINGS[word]}" if bounded else "",
                "n": {prefix: member[f"{prefix}_n"] for prefix in rates},
                "summary": {name: _numbers(values[row : row + 1])[0] for name, values in summary.items()},
                "rates": {prefix: _numbers(table[prefix][row]) for prefix in rates},
                "loss": _numbers(traces["loss"]),
                "gap": [_numbers(column) for column in traces["gap"].T],
                "residuals": [_numbers(np.log10(np.maximum(traces[key], FLOOR)), 2) for key in RESIDUALS],
                "shown": shown,
                "violation": [_numbers(traces["violation"][:, index]) for index in shown],
                "multiplier": [_numbers(traces["multiplier"][:, index]) for index in shown],
            }
        )
    return {
        "parts": run.parts if len(run.parts) > 1 else ["gap"],
        "labels": run.labels,
        "residuals": RESIDUALS,
        "cells": cells,
        "step": _numbers(run.traces["step"][thin]),
        "members": entries,
        "chosen": _chosen(run),
    }, len(thin)


def _chosen(run: Run) -> int:
    """The member shown first: at the bound in focus a feasible one, if there is any."""
    at = run.at(run.focus())
    feasible = [row for row in at if run.members["status"].iloc[row] == "FEASIBLE"]
    return int(feasible[0] if feasible else at[0] if len(at) else 0)


def _caption(run: Run, seeds: int) -> str:
    where = (
        "in the known population: expected accuracy against gap, with the best that any model can reach at each gap"
        if run.known
        else "on held-out development data: accuracy against gap"
    )
    bars = (
        f" Points are means over {seeds} seeds, bars run from the smallest to the largest; a seed also changes who is "
        "in which part of the data."
        if seeds > 1
        else ""
    )
    certified = " Green ticks are certified upper bounds." if len(finite(run.certified)) else ""
    return (
        f"Every bound {where}.{bars}{certified} Up and to the left is better. Filled points are non-dominated for most "
        "seeds, judged on the selection part; crosses are bounds that not every seed satisfies on its training sample."
    )


def _bounds_note(run: Run, seeds: int) -> str:
    text = "Feasible: members whose training gap is within the bound. "
    text += "Means over the members that have numbers, with the range over seeds in brackets. " if seeds > 1 else ""
    text += "The gap is the largest over the parts of the constraint. " if len(run.parts) > 1 else ""
    diverged = int((run.members["status"] == "DIVERGED").sum())
    if math.isfinite(run.focus()):
        among = run.members["status"].iloc[run.at(run.focus())].eq("FEASIBLE").any()
        text += "Shaded: the bound nearest to half the unconstrained training gap"
        text += ", of those that some member satisfies. " if among else ". "
    return text + (f"{diverged} of {len(run.members)} members diverged." if diverged else "")


def _table(head: list[str], rows: list[tuple[str, list[str]]]) -> str:
    """An HTML table from a header and (class, cells) rows; a cell "a (b)" shows its bracket in small type."""
    lines = ["<table><thead><tr>", *(f"<th>{escape(name)}</th>" for name in head), "</tr></thead><tbody>"]
    for kind, cells in rows:
        lines.append(f'<tr class="{kind}">' if kind else "<tr>")
        for cell in cells:
            first, bracket, rest = cell.partition(" (")
            lines.append(
                f"<td>{escape(first)}{f' <small>{escape(bracket[1:] + rest)}</small>' if bracket else ''}</td>"
            )
        lines.append("</tr>")
    return "".join([*lines, "</tbody></table>"])


def _bounds(run: Run) -> str:
    table = summary_table(run)
    head = ["bound", "feasible", "train gap", "dev gap", "dev accuracy", "dev nll", "dev ece"]
    parts = run.parts if len(run.parts) > 1 else ()
    head += [f"dev gap: {part}" for part in parts]
    head += ["population gap", "population accuracy"] if run.known else []
    head += ["true frontier"] if "population_frontier" in table else []
    certified = bool(len(finite(run.certified)))
    if certified:
        head.insert(4, "certified at most")
    rows, gaps, focus = [], run.gaps("dev"), run.focus()
    for row in table.to_dict("records"):
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
            cells.insert(4, _slack(row["certified_slack"]) + which * bool(row["certified_members"]))
        kinds = {"focus": row["bound"] == focus, "fail": not free and row["feasible"] < row["members"]}
        rows.append((" ".join(kind for kind, holds in kinds.items() if holds), cells))
    return _table(head, rows)


def _pareto(run: Run) -> str:
    """Members that no other feasible member of their seed beats in both respects."""
    members = run.members[["bound", "seed", "pareto", "selection_accuracy", "dev_accuracy"]]
    members = members.assign(gap=run.gap("selection"), train=run.gap("train"), dev=run.gap("dev"))
    members = members.assign(certified=run.certified, verdict=run.verdicts)
    best = members[members["pareto"]].sort_values(["bound", "seed"])
    if not len(best):
        return "<p>None.</p>"
    head = ["bound", "seed", "selection gap", "selection accuracy", "train gap", "dev gap", "dev accuracy"]
    names = ["gap", "selection_accuracy", "train", "dev", "dev_accuracy"]
    certified = bool(len(finite(run.certified)))
    head[2:2] = ["certified at most", "verdict"] if certified else []
    rows = []
    for row in best.to_dict("records"):
        cells = [bound_text(row["bound"]), str(row["seed"])]
        cells += [_slack(row["certified"]), row["verdict"].lower()] if certified else []
        rows.append(("", [*cells, *(number(row[name]) for name in names)]))
    note = (
        f"{len(best)} of {len(members)} members: no feasible member of the same seed is better in gap or accuracy and "
        "at least as good in the other, on the selection part. The development columns took no part in that."
    )
    return f'<p class="quiet">{escape(note)}</p><div class="scroll tall">{_table(head, rows)}</div>'


def _slack(value: float) -> str:
    """A certified upper bound, rounded up; a dash where there is none."""
    return "vacuous" if value >= 1 else number(math.ceil(value * 1000) / 1000) if math.isfinite(value) else "-"


def _facts(run: Run) -> str:
    """The manifest as a definition list: data, constraint, software, command."""
    data, manifest = run.data, run.manifest
    versions = [f"{name} {version}" for name, version in (manifest.get("versions") or {}).items()]
    counts = {prefix: sorted(set(run.members[f"{prefix}_n"])) for prefix in ("train", "selection", "dev")}
    sizes = [f"{prefix} {_range(values)}" for prefix, values in counts.items()]
    seconds = manifest.get("seconds")
    facts = {
        "Data": ": ".join(str(data[key]) for key in ("name", "title") if data.get(key)),
        "Size": ", ".join(f"{data[key]:,} {key}" for key in ("choices", "people") if isinstance(data.get(key), int)),
        "Unit": data.get("unit"),
        "Parts": "choices: " + ", ".join(sizes),
        "Source": data.get("source"),
        "Licence": data.get("licence"),
        "Known traps": _listed(data.get("traps")),
        "Digest": data.get("digest"),
        "Constraint": manifest["constraint"]["name"],
        "Inequalities": f"{len(run.labels)}",
        "Bounds": ", ".join(bound_text(bound) for bound in run.bounds),
        "Seeds": ", ".join(str(seed) for seed in sorted(run.members["seed"].unique())),
        "Notes": _listed(manifest.get("notes")),
        "Versions": ", ".join(versions),
        "Device": manifest.get("device"),
        "Time": f"{seconds:.0f} s" if isinstance(seconds, int | float) else None,
        "Command": manifest.get("command"),
    }
    code = {"Digest", "Command", "Constraint"}
    return "".join(
        f"<dt>{name}</dt><dd>{f'<code>{escape(str(fact))}</code>' if name in code else escape(str(fact))}</dd>"
        for name, fact in facts.items()
        if fact and not (isinstance(fact, float) and pd.isna(fact))
    )


def _listed(values: Any) -> str:
    return values if isinstance(values, str) else "; ".join(map(str, values or []))


def _range(values: list[Any]) -> str:
    low, high = values[0], values[-1]
    return f"{low:,.0f}" if low == high else f"{low:,.0f}-{high:,.0f} over seeds"
