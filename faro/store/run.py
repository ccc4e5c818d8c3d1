"""A finished sweep in its folder: frontier.csv, traces.npz, models, manifest.json."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..data import write_units
from ..errors import DataError, FaroError
from ..files import replacing, write_json
from ..models import Model
from .model import TrainedModel, load_model


@dataclasses.dataclass(frozen=True, eq=False)
class Frontier:
    """A finished sweep. `table` has a row per member (`bound` inf: the unconstrained one of its seed), `models` one
    `TrainedModel` per row, `traces` arrays with the members first, `manifest` what was run; `baselines` what other
    methods reach, where that was asked for."""

    table: pd.DataFrame
    models: list[TrainedModel]
    traces: dict[str, np.ndarray]
    manifest: dict[str, Any]
    reused: bool = False  # read from a folder that held the finished run
    baselines: pd.DataFrame | None = None

    def save(self, folder: str | Path) -> None:
        """Write models/, frontier.csv, traces.npz and, last, manifest.json, each in one piece."""
        folder = Path(folder)
        for name, model in zip(self.table["model"], self.models, strict=True):
            dataclasses.replace(model, seen=None).save(folder / name)
            units = folder / "models" / f"seed{model.about['seed']}.units.txt"
            if model.seen is not None and not units.exists():  # the same for all models of a seed
                write_units(units, model.seen.units, model.salt, model.seen.shared)
        with replacing(folder / "frontier.csv") as temporary:
            self.table.to_csv(temporary, index=False)
        with replacing(folder / "traces.npz") as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **self.traces)  # type: ignore[arg-type]
        write_json(folder / "manifest.json", self.manifest)

    @staticmethod
    def fingerprint(folder: str | Path) -> str | None:
        """What identifies the finished run in a folder; None if its manifest does not say."""
        try:
            return json.loads((Path(folder) / "manifest.json").read_text(encoding="utf-8")).get("fingerprint")
        except (OSError, ValueError, AttributeError):
            return None

    @staticmethod
    def clear(folder: str | Path) -> None:
        """Remove the results of an earlier run from a folder, the manifest first; other files are left alone."""
        folder = Path(folder)
        names = ["manifest.json", "report.html", "frontier.png", "frontier.svg", "frontier.csv", "traces.npz"]
        for name in [*names, "uncertainty.csv", "hypervolume.csv", "baselines.csv"]:
            (folder / name).unlink(missing_ok=True)
        for path in [
            *folder.glob("envelope*.*"),
            *(folder / "models").glob("bound*-seed*.*"),
            *(folder / "models").glob("seed*.units.txt"),
        ]:
            path.unlink()

    @classmethod
    def load(cls, folder: str | Path, model: Model | None = None) -> Frontier:
        """The run that `save` wrote; `model` must be given if it is of a class that is not built in. `DataError` if it
        is damaged."""
        folder = Path(folder)
        try:
            manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            table = _exact(pd.read_csv(folder / "frontier.csv", dtype=str, keep_default_na=False))
            with np.load(folder / "traces.npz", allow_pickle=False) as stored:
                traces = dict(stored)
            trained = [load_model(folder / name, model) for name in table["model"]]
            others = folder / "baselines.csv"
            baselines = pd.read_csv(others, dtype={"seed": str}) if others.exists() else None
        except FaroError:
            raise
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{folder}: not a finished run, or damaged ({error})") from error
        return cls(table, trained, traces, manifest, reused=True, baselines=baselines)


def _exact(table: pd.DataFrame) -> pd.DataFrame:
    """The table with numbers read exactly as they were written; pandas' default reader may be off in the last digit."""
    words = {"constraint", "status", "model", "certified_verdict"}
    for name in table:
        if name == "pareto":
            table[name] = table[name] == "True"
        elif name == "seed" or name.endswith("_n"):
            table[name] = table[name].map(int)
        elif name not in words:
            table[name] = table[name].map(lambda text: float(text or "nan"))
    return table
