"""What each seed sees of a data set: a coding of its own train part, and which rows are in which part."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from faro.errors import UsageError

from .coding import Coding
from .dataset import Dataset
from .sharded import Sharded
from .support import QUERY, SupportRule, roles

SEEN = ("train", "dual", "selection")  # the parts that a model has been fitted to or chosen by
PARTS: dict[str, dict[str, tuple[str, ...]]] = {  # by `Settings.dual_data`
    "train": {
        "train": ("train", "dual"),
        "selection": ("selection",),
        "dev": ("dev",),
    },  # one data set for both players
    "own": {"train": ("train",), "selection": ("selection",), "dual": ("dual",), "dev": ("dev",)},
}
BOUNDED_PART = {"train": "train", "own": "dual"}  # the part whose gap is held against the bound


@dataclasses.dataclass(frozen=True)
class View:
    """One seed's view of the data set: a coding of its own, and which rows are in which part; rows that are no
    queries (`faro.data.support`) are in none."""

    seed: int
    coding: Coding
    rows: dict[str, np.ndarray]
    taught: np.ndarray  # all rows of train: steps ask them, and give some of them as support of others

    @property
    def units(self) -> int:
        """How many people models may know by number: those of the coding's vocabulary."""
        return 0 if self.coding.units is None else self.coding.units.size

    @classmethod
    def of(cls, data: Dataset | Sharded, seed: int, dual_data: str = "train", support: int = 0) -> View:
        """The view of a seed, for models that read so many earlier choices of a person."""
        rows = {part: data.rows(names, seed) for part, names in PARTS[dual_data].items()}
        taught, coding = rows["train"], dataclasses.replace(data.fit_coding(rows["train"]), seed=seed)
        if support and data.schema.summaries:
            raise UsageError(
                f"{data.name}: the model reads earlier choices of a person, of whom others stand in the text "
                f"{next(iter(data.schema.summaries))!r} already; take one or the other"
            )
        if support:
            assert isinstance(data, Dataset)  # a stream refuses models that read support
            asked = roles(data, SupportRule(support, data.schema.order)) == QUERY
            rows = {part: of_part[asked[of_part]] for part, of_part in rows.items()}
        return cls(seed, coding, rows, taught)

    def among(self, data: Dataset, attribute: str, level: str) -> View:
        """The same view of the choices of one group of choosers alone.

        data: whose rows these are
        attribute: of the chooser, by name
        level: of the group
        """
        codes = data.parsed.attributes[attribute].max(1)
        inside = codes == data.attributes[attribute].levels.index(level)
        rows = {part: of_part[inside[of_part]] for part, of_part in self.rows.items()}
        return dataclasses.replace(self, rows=rows, taught=self.taught[inside[self.taught]])


def queries(data: Any, rows: np.ndarray, support: int) -> np.ndarray:
    """Those of the rows that a model which reads so many earlier choices of a person is asked about."""
    return rows[roles(data, SupportRule(support, data.schema.order))[rows] == QUERY] if support else rows
