"""Several files as one table: each choice has the name of its file, and the weight that the file was given."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from faro.errors import DataError, UsageError

from .containers import read_table
from .values import numbers

SOURCE, WEIGHT = "source", "weight"


def mixed(files: Mapping[Any, float]) -> pd.DataFrame:
    """The rows of several files below each other, with the column `source`, the name of the file without its ending,
    and where weights differ from 1 the column `weight`; a weight that a row has already is multiplied.

    files: path -> weight of its rows, > 0; tables with the same columns

    Weights count wherever choices do: in the loss, in rates, in figures. Those of one source do not change with its
    weight. `UsageError` for fewer than two files, for one that is given twice, and for a weight that is none,
    `DataError` for a file that lacks a column of another, and for files that have a column `source` already.
    """
    if len(files) < 2:
        raise UsageError(f"mix: expected two files or more, got {len(files)}")
    tables, places = [], set[str]()
    for path, weight in files.items():
        if (place := os.path.realpath(path)) in places:
            raise UsageError(f"mix: {path} is given twice; give it once, with its weight")
        places.add(place)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
            raise UsageError(f"mix: {path}: expected a weight above 0, got {weight!r}")
        tables.append(read_table(path))
    named = dict(zip(map(os.fspath, files), tables, strict=True))
    _check_columns(named)
    stems = [Path(path).name.split(".")[0] for path in named]
    sources = stems if len(set(stems)) == len(stems) else list(named)
    made = []
    for source, (path, table), weight in zip(sources, named.items(), files.values(), strict=True):
        columns: dict[str, Any] = {SOURCE: pd.Series(source, table.index, object)}
        if WEIGHT in table.columns or any(one != 1 for one in files.values()):
            columns[WEIGHT] = weight * _weights(table, path)
        made.append(table.assign(**columns))
    return pd.concat(made, ignore_index=True)


def _weights(table: pd.DataFrame, path: str) -> np.ndarray:
    """`[R]` what its rows weigh."""
    if WEIGHT not in table.columns:
        return np.ones(len(table))
    own, absent = numbers(table[WEIGHT], "number")
    wrong = absent | ~np.isfinite(own) | (own < 0)
    if wrong.any():
        row = int(np.argmax(wrong)) + 1
        raise DataError(f"{path}: column {WEIGHT!r}, row {row}: expected a weight that is not negative")
    return own


def _check_columns(tables: Mapping[str, pd.DataFrame]) -> None:
    """`DataError` for tables that do not have the same columns."""
    everywhere = {column: path for path, table in tables.items() for column in table.columns}
    if SOURCE in everywhere:
        where = everywhere[SOURCE]
        raise DataError(f"{where}: has a column {SOURCE!r} already, which is to name the file; give it another name")
    for path, table in tables.items():
        if lacking := [column for column in everywhere if column not in table.columns]:
            other = everywhere[lacking[0]]
            raise DataError(
                f"{path}: no column {lacking[0]!r}, which {other} has: files that are mixed have the same columns"
            )
