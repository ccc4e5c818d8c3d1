"""The folder of a finished sweep as plain records: the only place that knows its files.

    frontier.csv         a row per trial                            `columns` has the names
    traces.npz           what training saw, trials first
    models/              boundBB-seedS.json and .safetensors, seedS.units.txt
    manifest.json        what was run; written last, so that a folder with it is whole
    uncertainty.csv, hypervolume.csv, baselines.csv, sources.csv,
    calibration.csv, reliability.csv    where they were measured
    certificates/        of points that faro certify disclosed
    envelope-seedS.json  what no linear model can beat              `envelopes` reads them

Nothing here imports jax; `frontier` has the models of a run on top.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from ..errors import DataError
from ..files import replacing, write_json
from ..units import called
from . import columns
from .coefficients import Coefficients
from .coefficients import read as read_coefficients
from .columns import RESIDUALS, SLACK, TRACES, TRAINED_AT, VERDICT

FORMAT = 2  # of manifest.json; 1 had none, and no model as data
FRONTIER, TRACED, MANIFEST = "frontier.csv", "traces.npz", "manifest.json"
SHOWN = ("report.html", "frontier.png", "frontier.svg")  # what a report leaves
FILES = (FRONTIER, TRACED, MANIFEST)
MODELS, CERTIFICATES, POLICY = "models", "certificates", "faro.toml"
PEOPLE = ("dev_accuracy", "dev_gap", "dev_accuracy_low", "dev_accuracy_high", "dev_gap_low", "dev_gap_high")
TABLES = {  # files NAME.csv that a run may have, and their columns of numbers beside `seed`
    "uncertainty": ("bound", *PEOPLE, "non_dominated", "gap_at_most"),
    "hypervolume": ("hypervolume", "low", "high", "reference_gap", "reference_accuracy"),
    "baselines": ("setting", "train_gap", *PEOPLE, "ahead", "ahead_low", "ahead_high"),
    "sources": ("bound", "choices", "units", "accuracy", "accuracy_low", "accuracy_high", "nll", "length", "constant"),
    "calibration": (
        "bound",
        "accuracy",
        "nll",
        "ece",
        "worst_ece",
        "chance_ece",
        "decision_gap",
        "probability_gap",
        "base_gap",
        "least_gap",
        "temperature",
    ),
    "reliability": ("bin", "predicted", "chosen", "chosen_low", "chosen_high", "choices"),
}
TEXTS_OF = {  # their columns of texts
    "baselines": ("baseline", "uses_group", "note"),
    "sources": ("source",),
    "calibration": ("calibration", "worst"),
    "reliability": ("calibration", "group"),
}
VERDICTS = ("", "CERTIFIED", "REFUTED", "INCONCLUSIVE")
COLUMNS = (*columns.MEMBER, *(columns.figure(part, name) for part in columns.PARTS for name in columns.FIGURES))
Own = TypeVar("Own", bound="Run")


# Names of files -------------------------------------------------------------------------------------------------------


def model_name(place: int, seed: int) -> str:
    """Where the model of a trial is, below the run's folder: that of the place-th bound, 0 the unconstrained one."""
    return f"{MODELS}/bound{place:02d}-seed{seed}.json"


def units_name(seed: Any) -> str:
    """Where the hashed units are that all models of a seed were trained on."""
    return f"{MODELS}/seed{seed}.units.txt"


def units_of(model: Path) -> Path:
    """The file of `units_name` for a model of a run, by the path that its files begin with."""
    return model.with_name(f"{model.name.rpartition('-')[2]}.units.txt")


def certificate_name(model: str, suffix: str = ".json") -> str:
    """Where the certificate of a model of a run is, or with ".csv" the scored table that it is about."""
    return f"{CERTIFICATES}/{Path(model).with_suffix(suffix).name}"


def table_name(name: str) -> str:
    """The file of a table that a run may have: one of `TABLES`."""
    return f"{name}.csv"


# Reading --------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished sweep: `trials` is frontier.csv, a row per trial; `traces` has a row per trial in the same order:
    step [R], loss [M, R], gap [M, R, P], violation and multiplier [M, R, m], residuals of the conditions of a solution
    and capped [M, R]; `manifest` says what was run.
    `uncertainty`, `hypervolume`, `baselines`, `sources`, `calibration` and `reliability` are the tables of these names,
    where the folder has them."""

    folder: Path
    trials: pd.DataFrame
    traces: dict[str, np.ndarray]
    manifest: dict[str, Any]
    uncertainty: pd.DataFrame | None = None
    hypervolume: pd.DataFrame | None = None
    baselines: pd.DataFrame | None = None
    sources: pd.DataFrame | None = None
    calibration: pd.DataFrame | None = None
    reliability: pd.DataFrame | None = None

    @classmethod
    def read(cls: type[Own], folder: str | os.PathLike[str]) -> Own:
        """The run in this folder, of this format or the one before; numbers are those that were written, to the last
        digit. `DataError` of one line if a file is missing, damaged, or does not fit the others."""
        folder = Path(folder)
        for name in FILES:
            if not (folder / name).is_file():
                raise DataError(
                    f"{folder}: expected a finished run with {', '.join(FILES)}, found no {name}; run the sweep"
                )
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            constraint, _ = manifest["constraint"], manifest["data"]["name"]
            name, labels, number = constraint["name"], constraint["labels"], manifest.get("format", 1)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{folder}/{MANIFEST}: damaged ({_line(error)}); run the sweep again") from error
        if number not in (1, FORMAT):
            raise DataError(f"{folder}/{MANIFEST}: expected format {FORMAT} or 1, got {str(number)[:20]!r}")
        try:
            trials = _read(folder / FRONTIER, (*columns.TEXTS, VERDICT))
        except (ValueError, pd.errors.ParserError) as error:
            raise DataError(f"{folder}/{FRONTIER}: damaged ({_line(error)}); run the sweep again") from error
        try:
            with open(folder / TRACED, "rb") as file, np.load(file, allow_pickle=False) as archive:
                traces = {key: archive[key] for key in TRACES}
        except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{folder}/{TRACED}: damaged ({_line(error)}); run the sweep again") from error
        run = cls(folder, trials, traces, manifest, **{name: _optional(folder, name) for name in TABLES})
        _check(run, name, labels)
        return run

    @property
    def members(self) -> pd.DataFrame:
        """The old name of `trials`, for one release."""
        message = "Run.members is Run.trials now; the old name goes with the next release"
        warnings.warn(message, FutureWarning, stacklevel=2)
        return self.trials

    @property
    def data(self) -> dict[str, Any]:
        """What the manifest says of the data set."""
        return self.manifest["data"]

    @property
    def units(self) -> str:
        """What the units are called of which people count, "raters", "rows"; "units" where nobody says."""
        return called(str(self.data.get("unit") or ""))

    @property
    def drawn(self) -> str:
        """What intervals draw: the units, and where a second cluster is crossed with them that too."""
        crossed = str(self.data.get("crossed") or "")
        return f"{self.units} and {called(crossed)}" if crossed else self.units

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
    def known(self) -> bool:
        """Whether the population is known, so that expected values and the true frontier can be shown."""
        wanted = [columns.figure("population", name) for name in ("accuracy", "gap")]
        return all(name in self.trials and bool(self.trials[name].notna().any()) for name in wanted)

    @property
    def trained_at(self) -> np.ndarray:
        """The bound that the model of every row was trained at, `[M]`; its own in runs of before."""
        return self.trials[TRAINED_AT if TRAINED_AT in self.trials else "bound"].to_numpy(float)

    def gaps(self, part: str) -> np.ndarray:
        """Gap of every trial and part of the constraint, `[M, P]`, on a part of the data; NaN where it diverged."""
        if ("gap", part) not in self._arrays:
            own = list(columns.gaps_in(self.trials, part).values())
            self._arrays["gap", part] = self.trials[own].to_numpy(float)
        return self._arrays["gap", part]

    def gap(self, part: str) -> np.ndarray:
        """Largest gap over the parts, `[M]`: what every bound of the sweep was set on."""
        return self.gaps(part).max(axis=1)  # NaN stays NaN

    def rates(self, part: str) -> dict[str, np.ndarray]:
        """Cell -> rate of every trial, `[M]`."""
        if ("rate", part) not in self._arrays:
            found = columns.rates_in(self.trials, part)
            self._arrays["rate", part] = {cell: self.trials[column].to_numpy(float) for cell, column in found.items()}
        return self._arrays["rate", part]

    @functools.cached_property
    def rows(self) -> list[dict[str, Any]]:
        """`trials` as plain values, a dictionary per trial."""
        return self.trials.to_dict("records")

    @functools.cached_property
    def _arrays(self) -> dict[tuple[str, str], Any]:
        """What is read off `trials` again and again, once for each part of the data."""
        return {}

    @property
    def certified(self) -> np.ndarray:
        """Upper bound of the policy's claims for people who were held back, `[M]`; NaN where no certificate was made.

        1 says nothing.
        """
        none = np.full(len(self.trials), np.nan)
        return self.trials[SLACK].to_numpy(float) if SLACK in self.trials else none

    @property
    def verdicts(self) -> list[str]:
        """Verdict of every trial's certificate, `[M]`; "" where there is none."""
        return [""] * len(self.trials) if VERDICT not in self.trials else self.trials[VERDICT].tolist()

    def at(self, bound: float) -> np.ndarray:
        """Rows of this bound; `inf` for the unconstrained ones."""
        return np.flatnonzero(self.trials["bound"].to_numpy() == bound)

    @property
    def bounds(self) -> list[float]:
        """The finite bounds, ascending."""
        return sorted(float(bound) for bound in self.trials["bound"].unique() if math.isfinite(bound))

    def certificate(self, row: int) -> tuple[str, Any]:
        """Name of the certificate of a trial, below the folder, and what it holds; None where there is no such file.
        `DataError` if it is no JSON."""
        name = certificate_name(str(self.trials["model"].iloc[row]))
        file = Path(self.folder, name)
        try:
            return name, json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
        except (OSError, ValueError) as error:
            raise DataError(f"{file}: not a certificate ({_line(error)})") from error

    def coefficients(self, row: int, most: int) -> Coefficients | None:
        """Those of the model of a trial, at most so many; None where it is not linear or its files are not there."""
        name = self.trials["model"].iloc[row] if "model" in self.trials else ""
        return read_coefficients(Path(self.folder, str(name)), most) if name else None

    def policy(self) -> str | None:
        """The text of the policy beside the run, faro.toml; None where there is none."""
        file = Path(self.folder, POLICY)
        return file.read_bytes().decode(errors="replace") if file.is_file() else None


def finished(folder: str | Path) -> bool:
    """Whether the folder holds a finished run, whole or damaged since."""
    return (Path(folder) / MANIFEST).exists()


def fingerprint(folder: str | Path) -> str | None:
    """What identifies the finished run in a folder; None if its manifest does not say."""
    try:
        return json.loads((Path(folder) / MANIFEST).read_text(encoding="utf-8")).get("fingerprint")
    except (OSError, ValueError, AttributeError):
        return None


def has(folder: str | Path, *tables: str) -> bool:
    """Whether the folder has all these tables of `TABLES`."""
    return all((Path(folder) / table_name(name)).exists() for name in tables)


def shown(folder: str | Path) -> bool:
    """Whether a report of the run is there."""
    return (Path(folder) / SHOWN[0]).exists()


def texts(folder: str | Path) -> pd.DataFrame:
    """frontier.csv as it is written, every cell a text."""
    try:
        return pd.read_csv(Path(folder) / FRONTIER, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: not a finished run of faro frontier: {error}") from None


def _read(path: Path, words: tuple[str, ...]) -> pd.DataFrame:
    """A table with numbers exactly as they were written; these columns are texts, "" where they are empty."""
    texts = pd.read_csv(path, dtype=str, keep_default_na=False)
    return pd.DataFrame({name: texts[name] if name in words else _numbers(texts[name]) for name in texts})


def _numbers(column: pd.Series) -> pd.Series:
    """A column of texts as truth values or numbers, whichever they are; NaN where a number is missing."""
    cells = column.tolist()
    if cells and set(cells) <= {"True", "False"}:
        return column == "True"
    try:
        return pd.Series([int(cell) for cell in cells])
    except ValueError:
        pass
    try:
        return pd.Series([float(cell or "nan") for cell in cells])
    except ValueError:
        return column


def _optional(folder: Path, name: str) -> pd.DataFrame | None:
    """A table that a run may have; columns of numbers that it lacks are empty."""
    path, texts_of = folder / table_name(name), TEXTS_OF.get(name, ())
    if not path.is_file():
        return None
    try:
        table = _read(path, ("seed", *texts_of))
        wanted = [*table.columns, *TABLES[name], *texts_of]
        table = table.reindex(columns=list(dict.fromkeys(wanted)))
        table["seed"] = table["seed"].astype(str)
        table = table.replace({text: {"": np.nan} for text in texts_of})
        return table.astype(dict.fromkeys(TABLES[name], float))
    except (ValueError, KeyError, pd.errors.ParserError) as error:
        raise DataError(f"{path}: damaged ({_line(error)}); run the sweep again with --overwrite") from error


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no detail'}"


def _check(run: Run, name: Any, labels: Any) -> None:
    trials, where = run.trials, f"{run.folder}/{FRONTIER}"
    gaps = {part: columns.gaps_in(trials, part) for part in columns.PARTS}
    absent = [column for column in COLUMNS if column not in trials]
    absent += [columns.figure(part, "gap") for part, columns_found in gaps.items() if not columns_found]
    if absent:
        raise DataError(f"{where}: expected a column {absent[0]!r}, found none; run the sweep again")
    if not len(trials):
        raise DataError(f"{where}: expected a row per member, found none; run the sweep again")
    for column in {*COLUMNS, *({TRAINED_AT} & {*trials})} - {"status", "pareto"}:
        if not pd.api.types.is_numeric_dtype(trials[column]):
            raise DataError(f"{where}: expected numbers in column {column!r}, got {trials[column].iloc[0]!r}")
    if SLACK in trials and not pd.api.types.is_numeric_dtype(trials[SLACK]):
        raise DataError(f"{where}: expected numbers or empty cells in column {SLACK!r}, got {trials[SLACK].iloc[0]!r}")
    if strange := sorted(set(run.verdicts) - set(VERDICTS)):
        raise DataError(
            f"{where}: expected CERTIFIED, REFUTED, INCONCLUSIVE or nothing in {VERDICT!r}, got {strange[0]!r}"
        )
    for column in ("bound", *([TRAINED_AT] if TRAINED_AT in trials else [])):
        if trials[column].isna().any():
            raise DataError(f"{where}: expected a number or inf in column {column!r}, found an empty cell")
    if trials["pareto"].dtype != bool:
        raise DataError(f"{where}: expected True or False in column 'pareto', got {trials['pareto'].iloc[0]!r}")
    strange = sorted(set(trials["status"].astype(str)) - set(columns.STATUSES))
    if strange:
        raise DataError(f"{where}: expected a status of {', '.join(columns.STATUSES)}, got {strange[0]!r}")
    if not isinstance(name, str) or not isinstance(labels, list):
        raise DataError(f"{run.folder}/{MANIFEST}: expected a constraint with a name and a list of labels")
    if len(gaps["dev"]) != len(run.parts):
        raise DataError(f"{where}: expected a gap for each of {len(run.parts)} parts; manifest of another run?")
    shape = (len(trials), len(run.traces["step"]))
    shapes = dict.fromkeys(("loss", "capped", *RESIDUALS), shape) | {"gap": (*shape, len(run.parts))}
    shapes |= {key: (*shape, len(labels)) for key in ("violation", "multiplier")}
    for key, expected in shapes.items():
        if run.traces[key].shape != expected:
            got = run.traces[key].shape
            raise DataError(
                f"{run.folder}/{TRACED}: {key}: expected shape {expected} by frontier.csv and the manifest, got {got}"
            )


# Writing --------------------------------------------------------------------------------------------------------------


def write(folder: str | Path, table: pd.DataFrame, traces: Mapping[str, np.ndarray], manifest: dict[str, Any]) -> None:
    """Write frontier.csv, traces.npz and, last, manifest.json, each in one piece."""
    folder = Path(folder)
    _write(folder / FRONTIER, table)
    with replacing(folder / TRACED) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **traces)  # type: ignore[arg-type]
    write_json(folder / MANIFEST, manifest)


def entitle(folder: str | Path, title: str) -> None:
    """Keep what a reader calls the run; "" forgets it."""
    path = Path(folder) / MANIFEST
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | {"title": title})


def write_table(folder: str | Path, name: str, table: pd.DataFrame) -> None:
    """Write one of `TABLES` into the folder of a run."""
    _write(Path(folder) / table_name(name), table)


def write_certified(folder: str | Path, slacks: Mapping[int, str], verdicts: Mapping[int, str]) -> pd.DataFrame:
    """Write what was certified of these rows of frontier.csv into it; other cells stay as they are. The new table."""
    table = texts(folder)
    for column, cells in ((SLACK, slacks), (VERDICT, verdicts)):
        table[column] = [cells.get(row, "") for row in range(len(table))]
    _write(Path(folder) / FRONTIER, table)
    return table


def clear(folder: str | Path) -> None:
    """Remove the results of an earlier run from a folder, the manifest first; other files are left alone."""
    folder = Path(folder)
    for name in (MANIFEST, *SHOWN, FRONTIER, TRACED, *map(table_name, TABLES)):
        (folder / name).unlink(missing_ok=True)
    for path in (
        *folder.glob("envelope*.*"),
        *(folder / MODELS).glob("bound*-seed*.*"),
        *(folder / MODELS).glob("seed*.units.txt"),
    ):
        path.unlink()


def _write(path: Path, table: pd.DataFrame) -> None:
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)
