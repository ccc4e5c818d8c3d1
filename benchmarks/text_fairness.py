"""The Faro experiment on real text: sets of preferences under demographic parity, equalized odds and counterfactual
fairness, where each is defined, beside what other methods reach, with gaps before and after on held-out units, and
certificates.

A cell is a set and a notion: a whole run of `faro frontier` (10 seeds, 4 bounds, baselines), then `faro policy` at
--bound, `faro choose`, `faro ledger init` and `faro certify`, as a user would give them. Every cell has a folder below
OUT; one that is finished is read, so a benchmark that was stopped goes on. What faro refuses is printed with its
reason.

    moved by    choices of all whose decision can move the rates: their alternatives are in different groups
    before      largest gap, and accuracy, on dev, of the unconstrained model: mean over seeds, and its 95 % interval
    after       the same at the smallest bound, of the model that answers it
    length      accuracy on dev of who takes the text of more tokens
    baseline    the most by which a baseline is more accurate than the run at the same dev gap, with its interval
    certified   what the one model that was chosen is certified within, at 95 % confidence, and the verdict
    needed      units in the gate part at which even equal groups have an even chance of being shown within --bound

The seeds of a set share their units, so intervals over seeds say how splits and minibatches vary, and are too narrow
for other people. Weights of the encoder (`make text`) and FARO_DATA are needed.

`python -m benchmarks text_fairness -- --out out/text_fairness`
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import faro
from faro.data import Dataset
from faro.evaluate import bias
from faro.evaluate.subsets import scored_by
from faro.store.frontier import Frontier

SEEDS, BOUNDS = 10, 4
STUDENT = 2.262  # 97.5 % of nine degrees of freedom
VERDICTS, REFUSALS = (0, 1, 3), (2, 5, 6, 7)  # exit codes


TABLES = (
    ("of", "bound", "feasible", "gap before", "gap after", "accuracy before", "accuracy after", "length", "baseline"),
    tuple(f"{score} {when}" for score in bias.FORMULAS for when in ("before", "after")),
    ("moved by", "showable", "needed", "certified"),
)


class Cell(NamedTuple):
    """A notion on a set; `by` is a column that the set has whatever the notion."""

    data: str
    notion: str
    constraint: str
    attribute: str
    by: str


CELLS = [
    Cell("polarized-issues", "DP", "demographic_parity", "author_politics", "topic"),
    Cell("polarized-issues", "EO", "equalized_odds", "author_politics", "topic"),
    Cell("polarized-issues", "CF", "counterfactual_flip", "author_politics", "topic"),
    Cell("polarized-issues", "DP, rater", "demographic_parity", "politics", "topic"),
    Cell("polarized-issues", "EO, rater", "equal_opportunity", "politics", "topic"),
    Cell("hh-harmless", "DP", "demographic_parity", "mentions", "chosen_answer_length"),
    Cell("hh-harmless", "EO", "equalized_odds", "mentions", "chosen_answer_length"),
    Cell("hh-harmless", "CF", "counterfactual_flip", "mentions", "chosen_answer_length"),
    Cell("bbq", "DP", "demographic_parity", "person", "category"),
    Cell("bbq", "EO", "equalized_odds", "person", "category"),
    Cell("bbq", "CF", "counterfactual_flip", "first", "category"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/text_fairness"))
    parser.add_argument("--data", nargs="+", default=list(dict.fromkeys(cell.data for cell in CELLS)), metavar="NAME")
    parser.add_argument("--bound", type=float, default=0.1, help="that is asked of the gate")
    parser.add_argument("--no-baselines", action="store_true", help="they take most of the time")
    options = parser.parse_args()
    rows = []
    for name in options.data:
        data = faro.load(name)
        for cell in (cell for cell in CELLS if cell.data == name):
            rows.append(row := of_cell(cell, data, options.out, options.bound, not options.no_baselines))
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    print()
    print(markdown(rows))


def of_cell(cell: Cell, data: Dataset, out: Path, bound: float, baselines: bool) -> dict[str, str]:
    """The line of a cell, kept in its folder once it is whole."""
    folder = out / f"{cell.data} {cell.notion}".replace(", ", "-").replace(" ", "-").lower()
    kept = folder / "row.json"
    if kept.exists():
        return json.loads(kept.read_text())
    row = {"set": cell.data, "notion": cell.notion, "of": f"{cell.constraint}({cell.attribute})"}
    options = {"data": cell.data, "constraint": cell.constraint, "attribute": cell.attribute, "bounds": BOUNDS}
    options |= {"seeds": SEEDS, "out": folder}
    given = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    if refused := asked("frontier", *given, *(["--baselines"] if baselines else [])):
        row["refused"] = refused
    else:
        row |= measured(cell, data, folder) | gated(folder, bound)
    folder.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(row))
    return row


def asked(*arguments: str | Path) -> str:
    """Give a command of faro; the reason that it gives for refusing, or ""."""
    command = [sys.executable, "-m", "faro", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode in VERDICTS:
        return ""
    said = [line.removeprefix("faro: ") for line in done.stderr.splitlines() if line.startswith("faro: ")]
    if done.returncode not in REFUSALS or not said:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return said[-1]


def measured(cell: Cell, data: Dataset, folder: Path) -> dict[str, str]:
    """Gaps, accuracies and bias scores of the dev parts, before and after, and the best baseline."""
    run = Frontier.load(folder)
    table = run.table
    gap = next(name for name in table.columns if name.startswith("dev_gap"))
    smallest = table["bound"].min()
    places = {"before": np.isinf(table["bound"]), "after": table["bound"] == smallest}
    row = {"moved by": f"{movable(cell, data)} of {data.n}", "bound": f"{smallest:.3f}"}
    lengths: Any = []
    for name, here in places.items():
        figures = pd.DataFrame(
            [scored_by(run.models[place], data, cell.by, "dev").iloc[-1] for place in np.flatnonzero(here)]
        )
        lengths = figures["length"]
        row[f"gap {name}"] = interval(table.loc[here, gap])
        row[f"accuracy {name}"] = interval(table.loc[here, "dev_accuracy"])
        row |= {f"{score} {name}": interval(figures[score]) for score in bias.FORMULAS if score in figures}
    row["feasible"] = f"{(table.loc[places['after'], 'status'] == 'FEASIBLE').sum()} of {SEEDS}"
    row["length"] = interval(lengths)
    if run.baselines is None:
        return row
    others = run.baselines[run.baselines["seed"].astype(str) == "mean"]
    others = others[others["ahead"].notna()]
    if len(others):
        best = others.loc[others["ahead"].idxmax()]
        low, high = best["ahead_low"], best["ahead_high"]
        row["baseline"] = f"{best['baseline']} {best['ahead']:+.3f} ({low:+.3f} to {high:+.3f})"
    return row


def movable(cell: Cell, data: Dataset) -> int:
    """Choices between alternatives that differ in the attribute; of a chooser's, or of twins, those whose group is
    known."""
    groups = data.parsed.attributes[cell.attribute]
    inside = data.parsed.inside
    if cell.notion == "CF" or data.schema.attribute(cell.attribute).chooser:
        return int((groups >= 0).any(1).sum())
    lowest, highest = np.where(inside, groups, 99).min(1), np.where(inside, groups, -1).max(1)
    return int((lowest != highest).sum())


def interval(values: Any) -> str:
    """Mean over seeds and the ends of its 95 % interval."""
    values = np.asarray(values, float)
    half = STUDENT * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():.3f} ({values.mean() - half:.3f} to {values.mean() + half:.3f})"


def gated(folder: Path, bound: float) -> dict[str, str]:
    """What the gate says of the one model that `faro choose` names."""
    policy, ledger = folder / "faro.toml", folder / "ledger.jsonl"
    steps: list[tuple[Path, list[str | Path]]] = [
        (policy, ["policy", folder, "--bound", str(bound), "--out", policy]),
        (folder / "choice.json", ["choose", folder, "--policy", policy]),
        (ledger, ["ledger", "init", folder, "--policy", policy]),
    ]
    certify = ["certify", folder, "--policy", policy, "--disclose"]
    for made, arguments in steps:
        if not made.exists() and (refused := asked(*arguments)):
            return {"certified": refused}
    if "certified_verdict" not in Frontier.load(folder).table and (refused := asked(*certify)):
        return {"certified": refused}
    table = Frontier.load(folder).table
    there = table[table["certified_slack"].notna()].iloc[0]
    shown = re.search(r"could show ([.\d]+) by", policy.read_text())
    needed = re.search(r"; ([^;]*) would have an even chance", policy.read_text())
    return {
        "certified": f"{there['certified_slack']:.3f}, {there['certified_verdict']}",
        "showable": shown[1] if shown else "",
        "needed": needed[1] if needed else "as many as there are",
    }


def markdown(rows: list[dict[str, str]]) -> str:
    """What training did, what bias scores say of it, what the gate says, and what was refused."""
    done = [row for row in rows if "refused" not in row]
    lines = []
    for heads in TABLES:
        there = [row for row in done if heads[0] in row]
        if there:
            lines += [f"| {' | '.join(('set', 'notion', *heads))} |", "|" + "---|" * (len(heads) + 2)]
            lines += [f"| {' | '.join(row.get(head, '') for head in ('set', 'notion', *heads))} |" for row in there]
            lines.append("")
    return "\n".join(
        [*lines, *(f"{row['set']}, {row['notion']}: {row['refused']}" for row in rows if "refused" in row)]
    )


if __name__ == "__main__":
    main()
