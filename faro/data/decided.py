"""A table of decisions as choices with their candidates: what `faro score` wrote, or anybody's with these columns.

    unit, choice        whose, and which; a choice is the rows that share both
    decision            how much of the choice each row gets, in [0, 1]
    reward, label, ...  read where somebody asks for them

Rows that a model was told, `role` other than "query", are left out: they are no evidence about it.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from faro.errors import DataError, UsageError

from .containers import read_table
from .support import QUERY
from .values import canonical

ROUNDING = 1e-9  # of numbers at an end of what is expected
SUMMED = 1e-6  # of sums of decisions
YES, NO = ("yes", "true", "1", "1.0"), ("no", "false", "0", "0.0")


@dataclasses.dataclass(frozen=True, eq=False)
class Decided:
    """n choices of up to K candidates.

    where: name of the table, for messages
    frame: its rows, but for those that were told
    rows: `[n, K]` the row of each candidate; -1 where a choice has fewer
    told: the rows that were told
    """

    where: str
    frame: pd.DataFrame
    rows: np.ndarray
    told: pd.DataFrame

    @functools.cached_property
    def there(self) -> np.ndarray:
        """`[n, K]` where a candidate is."""
        return self.rows >= 0

    @functools.cached_property
    def units(self) -> np.ndarray:
        """`[n]` whose choice it is."""
        return self.of_choice("unit")

    def filled(self, name: str) -> bool:
        """Whether there is a column of this name and any number in it, which labels and rewards need not have.

        name: of the column
        """
        return name in self.frame and bool(pd.to_numeric(self.frame[name], errors="coerce").notna().any())

    def column(self, name: str) -> pd.Series:
        """A column; `DataError` with those that there are.

        name: of the column
        """
        return column_of(self.frame, name, self.where)

    def texts(self, name: str) -> np.ndarray:
        """`[n, K]` cells as canonical texts, "" where there is none.

        name: of the column
        """
        return np.where(self.there, _texts(self.column(name))[self.rows], "")

    def numbers(self, name: str, least: float = -np.inf, most: float = np.inf) -> np.ndarray:
        """`[n, K]` numbers, 0 where there is no candidate; `DataError` for a cell that is none, or outside its range.

        name: of the column
        least, most: ends of what is expected
        """
        cells = self.column(name)
        values = pd.to_numeric(cells, errors="coerce").to_numpy(float)
        wrong = ~(np.isfinite(values) & (values >= least - ROUNDING) & (values <= most + ROUNDING))
        if wrong.any():
            first, span = int(np.argmax(wrong)), f" in [{least:g}, {most:g}]" if np.isfinite(least) else ""
            raise DataError(
                f"{self.where}: column {name!r}, row {first + 1}: expected a number{span}, got {cells.iloc[first]!r}"
            )
        return np.where(self.there, values[self.rows], 0.0)

    @functools.cached_property
    def decisions(self) -> np.ndarray:
        """`[n, K]` how much of its choice each candidate gets; `DataError` where a choice is decided more than once."""
        read = self.numbers("decision", 0, 1)
        total = read.sum(1)
        if total.max() > 1 + SUMMED:
            choice = self.texts("choice")[int(np.argmax(total)), 0]
            raise DataError(
                f"{self.where}: decisions of choice {choice!r} add up to {total.max():g}, expected at most 1"
            )
        return read

    def whether(self, named: str) -> np.ndarray:
        """`[n, K]` 1 where it is so, 0 where not, -1 where the cell is empty or nobody is there.

        named: COLUMN=LEVEL, or a COLUMN of yes and no, true and false, 1 and 0
        """
        name, equals, level = named.partition("=")
        texts = self.texts(name)
        if equals:
            if not (texts == level).any():
                known = ", ".join(sorted(set(texts[self.there].tolist()) - {""})[:10])
                raise UsageError(f"{self.where}: column {name!r} has no {level!r}; it has {known or 'nothing'}")
            return np.where(texts == "", -1, (texts == level).astype(int))
        lower = np.char.lower(texts.astype(str))
        if strange := sorted(set(lower[self.there].tolist()) - {*YES, *NO, ""}):
            raise UsageError(
                f"{self.where}: column {name!r} holds {strange[0]!r}; say which level is meant, {name}=LEVEL"
            )
        return np.where(np.isin(lower, YES), 1, np.where(np.isin(lower, NO), 0, -1))

    def of_choice(self, name: str, values: np.ndarray | None = None) -> np.ndarray:
        """`[n]` what is the same for all candidates of a choice; `DataError` where it is not.

        name: of the column, whose texts are taken
        values: `[n, K]` in place of the texts
        """
        cells = self.texts(name) if values is None else values
        first = cells[:, 0]
        apart = (cells != first[:, None]) & self.there
        if apart.any():
            choice = self.texts("choice")[int(np.argmax(apart.any(1))), 0]
            raise DataError(f"{self.where}: {name!r} differs within choice {choice!r}; expected one for all its rows")
        return first

    def flat(self, values: np.ndarray) -> np.ndarray:
        """`[rows]` in the order of the frame, of `[n, K]`.

        values: of the candidates
        """
        out = np.empty(len(self.frame), np.asarray(values).dtype)
        out[self.rows[self.there]] = np.asarray(values)[self.there]
        return out


def read_decided(table: str | os.PathLike | pd.DataFrame, needed: Sequence[str] = ("decision",)) -> Decided:
    """Read a table of decisions; `DataError` where a column is missing, or a candidate stands twice.

    table: file or data frame
    needed: columns, beside unit and choice
    """
    where = "table" if isinstance(table, pd.DataFrame) else str(table)
    frame = table if isinstance(table, pd.DataFrame) else read_table(table)
    for name in ("unit", "choice", *needed):
        column_of(frame, name, where)
    asked = (frame["role"] == QUERY).to_numpy() if "role" in frame else np.ones(len(frame), bool)
    if not asked.any():
        raise DataError(f"{where}: every row was told to the model; expected some whose role is {QUERY!r}")
    told, frame = frame[~asked].reset_index(drop=True), frame[asked].reset_index(drop=True)
    key: list[Any] = [_texts(frame[name]) for name in ("unit", "choice")]
    number = frame.groupby(key, sort=False).ngroup().to_numpy()
    place = frame.groupby(number).cumcount().to_numpy()
    rows = np.full((number.max() + 1, place.max() + 1), -1)
    rows[number, place] = np.arange(len(frame))
    if "alternative" in frame:
        twice = frame.assign(number=number).duplicated(["number", "alternative"])
        if twice.any():
            row = int(np.argmax(twice))
            raise DataError(f"{where}: row {row + 1}: {frame['alternative'][row]!r} stands twice in its choice")
    return Decided(where, frame, rows, told)


def column_of(frame: pd.DataFrame, name: str, where: str) -> pd.Series:
    """A column of a table; `DataError` with those that there are.

    frame: the table
    name: of the column
    where: name of the table, for messages
    """
    if name not in frame:
        raise DataError(f"{where}: no column {name!r}; columns are: {', '.join(map(str, frame.columns[:30]))}")
    return frame[name]


def _texts(cells: pd.Series) -> np.ndarray:
    """Canonical texts of cells, "" of those that hold nothing."""
    codes, levels = pd.factorize(cells.astype(object), use_na_sentinel=True)
    return np.array([*(canonical(level, "text") for level in levels), ""], object)[codes]
