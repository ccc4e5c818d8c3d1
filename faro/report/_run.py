"""What a finished sweep left in its folder, as plain records: `Run`, and what it says per bound and in a sentence."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import DataError

FILES = ("frontier.csv", "traces.npz", "manifest.json")
PREFIXES = ("train", "selection", "dev")
COLUMNS: tuple[str, ...] = ("bound", "seed", "status", "pareto")
COLUMNS += tuple(f"{prefix}_{name}" for prefix in PREFIXES for name in ("n", "accuracy", "nll", "ece"))
RESIDUALS = ("stationarity", "feasibility", "complementarity")
TRACES = ("step", "loss", "gap", "violation", "multiplier", *RESIDUALS, "capped")
SLACK, VERDICT = "certified_slack", "certified_verdict"  # written by faro certify; absent before
MEAN = "mean"  # in a column of seeds: the mean over them
PEOPLE = ("dev_accuracy", "dev_gap", "dev_accuracy_low", "dev_accuracy_high", "dev_gap_low", "dev_gap_high")
OPTIONAL = {  # files that a run may have, and their columns of numbers beside `seed`
    "uncertainty": ("bound", *PEOPLE, "non_dominated"),
    "hypervolume": ("hypervolume", "low", "high", "reference_gap", "reference_accuracy"),
    "baselines": ("setting", "train_gap", *PEOPLE, "ahead", "ahead_low", "ahead_high"),
}
STATUSES = ("FEASIBLE", "INFEASIBLE", "DIVERGED")


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished sweep: `members` is frontier.csv, a row per member; `traces` has a row per member in the same order:
    step [R], loss [M, R], gap [M, R, P], violation and multiplier [M, R, m], residuals of the conditions of a solution
    and capped [M, R]; `manifest` says what was run.
    `uncertainty`, `hypervolume` and `baselines` are the tables of these names, where the folder has them."""

    folder: Path
    members: pd.DataFrame
    traces: dict[str, np.ndarray]
    manifest: dict[str, Any]
    uncertainty: pd.DataFrame | None = None
    hypervolume: pd.DataFrame | None = None
    baselines: pd.DataFrame | None = None

    @property
    def data(self) -> dict[str, Any]:
        """What the manifest says of the data set."""
        return self.manifest["data"]

    @property
    def notes(self) -> list[str]:
        """What a user should know of the data under the constraint; [] in runs of before."""
        return list(map(str, self.manifest.get("notes") or []))

    @property
    def dev_gap_over(self) -> list[str]:
        """Of the notes, those on who is in the dev gap where not everybody is."""
        return list(map(str, self.manifest.get("dev_gap_over") or []))

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts that have a gap of their own, `[P]`; one unless the constraint is a stack."""
        return tuple(self.manifest["constraint"].get("parts") or [self.manifest["constraint"]["name"]])

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the inequalities, `[m]`."""
        return tuple(self.manifest["constraint"]["labels"])

    @property
    def spoken(self) -> str:
        """The constraint as words: `demographic_parity(sex)` is said "demographic parity (sex)"."""
        return " and ".join(speak(part) for part in self.parts)

    @property
    def size(self) -> str:
        """How many people, or choices where the data set knows no people."""
        people, choices = self.data.get("people"), self.data.get("choices")
        return f"{people:,} people" if people else f"{choices:,} choices" if choices else "size not recorded"

    @property
    def known(self) -> bool:
        """Whether the population is known, so that expected values and the true frontier can be shown."""
        wanted = ("population_accuracy", "population_gap")
        return all(name in self.members and bool(self.members[name].notna().any()) for name in wanted)

    def gaps(self, prefix: str) -> np.ndarray:
        """Gap of every member and part, `[M, P]`; NaN where it diverged."""
        names = gap_columns(self.members, prefix)
        return self.members[names].to_numpy(float)

    def gap(self, prefix: str) -> np.ndarray:
        """Largest gap over the parts, `[M]`: what every bound of the sweep was set on."""
        return self.gaps(prefix).max(axis=1)  # NaN stays NaN

    @property
    def certified(self) -> np.ndarray:
        """Upper bound of the policy's claims for people who were held back, `[M]`; NaN where no certificate was made.

        1 says nothing.
        """
        none = np.full(len(self.members), np.nan)
        return self.members[SLACK].to_numpy(float) if SLACK in self.members else none

    @property
    def verdicts(self) -> list[str]:
        """Verdict of every member's certificate, `[M]`; "" where there is none."""
        if VERDICT not in self.members:
            return [""] * len(self.members)
        return self.members[VERDICT].fillna("").astype(str).tolist()

    def rates(self, prefix: str) -> dict[str, np.ndarray]:
        """Cell -> rate of every member, `[M]`."""
        start = f"{prefix}_rate["
        names = [name for name in self.members.columns if name.startswith(start) and name.endswith("]")]
        return {name[len(start) : -1]: self.members[name].to_numpy(float) for name in names}

    def at(self, bound: float) -> np.ndarray:
        """Rows of the members trained at this bound; `inf` for the unconstrained ones."""
        return np.flatnonzero(self.members["bound"].to_numpy() == bound)

    @property
    def bounds(self) -> list[float]:
        """The finite bounds, ascending."""
        return sorted(float(bound) for bound in self.members["bound"].unique() if math.isfinite(bound))

    def focus(self) -> float:
        """The bound to look at first: nearest to half the unconstrained training gap, if it can be among those that
        some member satisfies."""
        feasible = set(self.members.loc[self.members["status"] == "FEASIBLE", "bound"])
        among = [bound for bound in self.bounds if bound in feasible] or self.bounds
        if not among:
            return math.inf
        free = finite(self.gap("train")[self.at(math.inf)])
        half = free.mean() / 2 if len(free) else np.median(among)
        return min(among, key=lambda bound: abs(bound - half))


def speak(name: str) -> str:
    """A constraint's name as words."""
    found = re.fullmatch(r"(\w+)\((.*)\)", name)
    return f"{found[1].replace('_', ' ')} ({found[2]})" if found else name.replace("_", " ")


def gap_columns(members: pd.DataFrame, prefix: str) -> list[str]:
    """The column `{prefix}_gap`, or one `{prefix}_gap[part]` per part of a stack."""
    if f"{prefix}_gap" in members:
        return [f"{prefix}_gap"]
    return [name for name in members.columns if name.startswith(f"{prefix}_gap[")]


def finite(values: Any) -> np.ndarray:
    """The finite ones among the values."""
    values = np.asarray(values, float)
    return values[np.isfinite(values)]


def read_run(folder: str | os.PathLike[str]) -> Run:
    """The run in this folder; `DataError` of one line if a file is missing, damaged, or does not fit the others."""
    folder = Path(folder)
    for name in FILES:
        if not (folder / name).is_file():
            raise DataError(
                f"{folder}: expected a finished run with {', '.join(FILES)}, found no {name}; run the sweep"
            )
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        name, labels, _ = manifest["constraint"]["name"], manifest["constraint"]["labels"], manifest["data"]["name"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder}/manifest.json: damaged ({_line(error)}); run the sweep again") from error
    try:
        members = pd.read_csv(folder / "frontier.csv", dtype={"status": str})
    except (ValueError, pd.errors.ParserError) as error:
        raise DataError(f"{folder}/frontier.csv: damaged ({_line(error)}); run the sweep again") from error
    try:
        with open(folder / "traces.npz", "rb") as file, np.load(file, allow_pickle=False) as archive:
            traces = {key: archive[key] for key in TRACES}
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{folder}/traces.npz: damaged ({_line(error)}); run the sweep again") from error
    run = Run(folder, members, traces, manifest, **{name: _optional(folder, name) for name in OPTIONAL})
    _check(run, name, labels)
    return run


def _optional(folder: Path, name: str) -> pd.DataFrame | None:
    """A table that a run may have; columns of numbers that it lacks are empty."""
    path = folder / f"{name}.csv"
    if not path.is_file():
        return None
    try:
        found = pd.read_csv(path, dtype={"seed": str, "note": str})
        keys = {"baselines": ["baseline", "uses_group", "note"]}.get(name, [])
        found = found.reindex(columns=list(dict.fromkeys([*found.columns, *OPTIONAL[name], *keys])))
        found["seed"] = found["seed"].astype(str)
        return found.astype(dict.fromkeys(OPTIONAL[name], float))
    except (ValueError, KeyError, pd.errors.ParserError) as error:
        raise DataError(f"{path}: damaged ({_line(error)}); run the sweep again with --overwrite") from error


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no detail'}"


def _check(run: Run, name: Any, labels: Any) -> None:
    members, where = run.members, f"{run.folder}/frontier.csv"
    absent = [column for column in COLUMNS if column not in members]
    absent += [f"{prefix}_gap" for prefix in PREFIXES if not gap_columns(members, prefix)]
    if absent:
        raise DataError(f"{where}: expected a column {absent[0]!r}, found none; run the sweep again")
    if not len(members):
        raise DataError(f"{where}: expected a row per member, found none; run the sweep again")
    for column in set(COLUMNS) - {"status", "pareto"}:
        if not pd.api.types.is_numeric_dtype(members[column]):
            raise DataError(f"{where}: expected numbers in column {column!r}, got {members[column].iloc[0]!r}")
    if SLACK in members and not pd.api.types.is_numeric_dtype(members[SLACK]):
        raise DataError(f"{where}: expected numbers or empty cells in column {SLACK!r}, got {members[SLACK].iloc[0]!r}")
    if strange := sorted(set(run.verdicts) - {"", "CERTIFIED", "REFUTED", "INCONCLUSIVE"}):
        raise DataError(
            f"{where}: expected CERTIFIED, REFUTED, INCONCLUSIVE or nothing in {VERDICT!r}, got {strange[0]!r}"
        )
    if members["bound"].isna().any():
        raise DataError(f"{where}: expected a number or inf in column 'bound', found an empty cell")
    if members["pareto"].dtype != bool:
        raise DataError(f"{where}: expected True or False in column 'pareto', got {members['pareto'].iloc[0]!r}")
    strange = sorted(set(members["status"].astype(str)) - set(STATUSES))
    if strange:
        raise DataError(f"{where}: expected a status of {', '.join(STATUSES)}, got {strange[0]!r}")
    if not isinstance(name, str) or not isinstance(labels, list):
        raise DataError(f"{run.folder}/manifest.json: expected a constraint with a name and a list of labels")
    if len(gap_columns(members, "dev")) != len(run.parts):
        raise DataError(f"{where}: expected a gap for each of {len(run.parts)} parts; manifest of another run?")
    shape = (len(members), len(run.traces["step"]))
    shapes = dict.fromkeys(("loss", "capped", *RESIDUALS), shape) | {"gap": (*shape, len(run.parts))}
    shapes |= {key: (*shape, len(labels)) for key in ("violation", "multiplier")}
    for key, expected in shapes.items():
        if run.traces[key].shape != expected:
            got = run.traces[key].shape
            raise DataError(
                f"{run.folder}/traces.npz: {key}: expected shape {expected} by frontier.csv and the manifest, got {got}"
            )


def summary_table(run: Run) -> pd.DataFrame:
    """A row per bound, ascending, the unconstrained members (bound inf) last.

    `members`, `feasible` and `non_dominated` are counts; the rest are means over the members that have numbers (all but
    the diverged), with the smallest and largest as `_low` and `_high` where seeds are compared. A gap is the largest
    over the parts of a stack. `certified_slack` is the largest over the `certified_members`, those with a certificate.
    """
    rows = []
    for bound in [*run.bounds, math.inf]:
        at = run.at(bound)
        if not len(at):
            continue
        some = run.members.iloc[at]
        row: dict[str, Any] = {
            "bound": bound,
            "members": len(at),
            "feasible": int((some["status"] == "FEASIBLE").sum()),
            "non_dominated": int(some["pareto"].sum()),
            "train_gap": _mean(run.gap("train")[at]),
        }
        spread = {"dev_gap": run.gap("dev")[at], "dev_accuracy": some["dev_accuracy"]}
        if run.known:
            spread |= {"population_gap": some["population_gap"], "population_accuracy": some["population_accuracy"]}
        for name, values in spread.items():
            values = finite(values)
            row[name] = _mean(values)
            row[f"{name}_low"], row[f"{name}_high"] = (values.min(), values.max()) if len(values) else (np.nan, np.nan)
        row |= {name: _mean(some[name]) for name in ("dev_nll", "dev_ece")}
        proved = finite(run.certified[at])
        row["certified_members"], row["certified_slack"] = len(proved), proved.max() if len(proved) else np.nan
        if run.known and "population_frontier" in some:
            row["population_frontier"] = _mean(some["population_frontier"])
        rows.append(row)
    return pd.DataFrame(rows)


def _mean(values: Any) -> float:
    values = finite(values)
    return float(values.mean()) if len(values) else math.nan


def number(value: float, digits: int = 3) -> str:
    """A number as a report shows it; a dash where there is none."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def bound_text(bound: float) -> str:
    """A bound as it was asked for, without noise digits."""
    return f"{bound:.4g}" if math.isfinite(bound) else "unconstrained"


def spread_text(row: Any, name: str) -> str:
    """Mean and, where members differ, their range."""
    mean, low, high = (number(row[key]) for key in (name, f"{name}_low", f"{name}_high"))
    return mean if low == high else f"{mean} ({low}-{high})"


def limits_text(row: Any, name: str) -> str:
    """Where its interval over people ends."""
    return f"{number(row[f'{name}_low'])}-{number(row[f'{name}_high'])}"


def headline(run: Run) -> str:
    """The result in house language: what holds on the training sample, what was then measured on held-out people."""
    table = summary_table(run)
    bound = run.focus()
    found = table[table["bound"] == bound]
    if not len(found) or not math.isfinite(bound):
        return "This run has no member that was trained under a bound."
    row = found.to_dict("records")[0]
    if table.loc[np.isfinite(table["bound"]), "feasible"].sum() == 0:
        gaps = np.where(np.isfinite(run.members["bound"]), run.gap("train"), np.nan)
        reached = (
            f"the smallest gap reached there was {number(np.nanmin(gaps))}" if len(finite(gaps)) else "all diverged"
        )
        return f"No model was found that satisfies {run.spoken} within its bound on the training sample; {reached}."
    several = row["members"] > 1
    text = (
        f"At bound {bound_text(bound)}, {row['feasible']} of {row['members']} models "
        f"{'satisfy' if several else 'satisfies'} {run.spoken} within {bound_text(bound)} on the training sample. "
        f"On held-out development data the gap was {_spread(row, 'dev_gap')} and accuracy {number(row['dev_accuracy'])}"
    )
    free = table[~np.isfinite(table["bound"])]
    if len(free):
        text += f", against {number(free['dev_gap'].iloc[0])} and {number(free['dev_accuracy'].iloc[0])} unconstrained"
    if run.known:
        text += (
            f". In the known population their gap is {_spread(row, 'population_gap')} and their expected accuracy "
            f"{number(row['population_accuracy'])}"
        )
        truth = run.manifest.get("truth")
        if truth and math.isfinite(row["population_gap"]):
            best = np.interp(row["population_gap"], truth["bounds"], truth["accuracy"])
            text += f"; the best possible at that gap is {number(float(best))}"
    return ". ".join([text, *run.dev_gap_over]) + "."


def _spread(row: Any, name: str) -> str:
    text = spread_text(row, name)
    return text[:-1] + " over seeds)" if text.endswith(")") else text
