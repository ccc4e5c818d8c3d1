"""Trained models whose parameters stay where they are until one is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .model import TrainedModel


class OnDisk(Sequence[TrainedModel]):
    """A list of trained models that holds no parameters: `read(index)` gives those of one, whenever it is taken, and
    `changed` what becomes of it then."""

    def __init__(
        self,
        models: Sequence[TrainedModel],
        read: Callable[[int], Any],
        changed: Callable[[TrainedModel], TrainedModel] = lambda model: model,
    ):
        self.models, self.read, self.changed = list(models), read, changed

    def __len__(self) -> int:
        return len(self.models)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            rows = range(len(self))[index]
            return OnDisk(self.models[index], lambda row: self.read(rows[row]), self.changed)
        row = range(len(self))[index]  # counts from the end, and ends iteration
        return self.changed(dataclasses.replace(self.models[row], params=self.read(row)))

    def __iter__(self) -> Iterator[TrainedModel]:
        return (self[row] for row in range(len(self)))

    def about(self) -> Iterator[dict[str, Any]]:
        """How each was made, without reading it."""
        return (model.about for model in self.models)
