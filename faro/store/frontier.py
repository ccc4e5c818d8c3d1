"""A finished sweep with its models, which train, score and certify; `run` has its files."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..data import write_units
from ..errors import UsageError
from ..models import Model
from . import run
from .model import TrainedModel, load_model
from .on_disk import OnDisk
from .run import Run


@dataclasses.dataclass(frozen=True, eq=False)
class Frontier:
    """A finished sweep: bounds x seeds, and the unconstrained trial of each seed.

    table: a row per trial, as frontier.csv has it; `bound` is inf for the unconstrained one of a seed
    models: a `TrainedModel` per row; of rows that one model answers, the same
    traces: name -> array `[trials, evaluations, ...]` of the training
    manifest: what was run, as plain values
    reused: whether it was read from a folder that held the finished run
    baselines: what other methods reach on the same data, where that was asked for; else None
    """

    table: pd.DataFrame
    models: Sequence[TrainedModel]
    traces: dict[str, np.ndarray]
    manifest: dict[str, Any]
    reused: bool = False
    baselines: pd.DataFrame | None = None

    def save(self, folder: str | Path) -> None:
        """Write models/, frontier.csv, traces.npz and, last, manifest.json, each in one piece.

        folder: of the run; made if it is not there
        """
        folder = Path(folder)
        rows = self.table["model"].drop_duplicates().index  # a model may answer several bounds
        for name, model in ((self.table["model"][row], self.models[row]) for row in rows):
            dataclasses.replace(model, seen=None).save(folder / name)
            units = folder / run.units_name(model.about["seed"])
            if model.seen is not None and not units.exists():  # the same for all models of a seed
                write_units(units, model.seen.units, model.salt, model.seen.shared)
        run.write(folder, self.table, self.traces, self.manifest)

    def without_people(self) -> Frontier:
        """The same run of models that know nobody: `TrainedModel.without_people` of each. Its table stays as it is, so
        what it says of train is of the models that knew them.

        `UsageError` for models that know nobody, or do not say which parameters are people's.
        """
        models: Sequence[TrainedModel]
        if isinstance(self.models, OnDisk):
            models = OnDisk(self.models.models, self.models.read, TrainedModel.without_people)
        else:
            models = [model.without_people() for model in self.models]
        return dataclasses.replace(self, models=models, manifest=self.manifest | {"people": "dropped"})

    @classmethod
    def load(cls, folder: str | Path, model: Model | None = None) -> Frontier:
        """The run that `save` wrote.

        folder: of the run
        model: what was trained, where the run does not have it as data or its module is not known

        `DataError` if a file is missing or damaged, `UsageError` for a model that must be given.
        """
        run = Run.read(folder)
        try:
            named = {name: load_model(run.folder / name, model) for name in dict.fromkeys(run.trials["model"])}
        except UsageError as error:
            raise UsageError(f"{error}, or Frontier.load(folder, model=...) for the run") from None
        models = [named[name] for name in run.trials["model"]]
        return cls(run.trials, models, run.traces, run.manifest, reused=True, baselines=run.baselines)
