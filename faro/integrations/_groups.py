"""Who is in which group: what people pass as `sensitive_features`, and whether it lies in the order of X.

Groups are levels, in the spelling that faro has for cells. Several columns, and tuples in one, are crossed:
("F", "black") is the level "F & black", as `constraints.cross` calls it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..data.values import infer, read
from ..errors import DataError, UsageError

GROUP = "sensitive_features"


class Groups(NamedTuple):
    """`code` indexes `levels`, the groups that occur, sorted."""

    levels: tuple[str, ...]
    code: np.ndarray


def columns(given: Any, n: int) -> list[Any]:
    """The columns of what is passed for n rows: a sequence of labels or of tuples, an array, a frame, or columns as a
    dictionary or a tuple of sequences. Those of pandas are series and keep their index."""
    if isinstance(given, pd.DataFrame):
        return [given.iloc[:, place] for place in range(given.shape[1])]
    if isinstance(given, pd.Series):
        return [given]
    if hasattr(given, "to_pandas"):  # polars, arrow
        return columns(given.to_pandas(), n)
    if isinstance(given, pd.Categorical):
        return [given]
    apart = isinstance(given, tuple) and len(given) != n and all(_rows(part) == n for part in given)
    if isinstance(given, Mapping) or apart:
        parts = given.values() if isinstance(given, Mapping) else given
        return [column for part in parts for column in columns(part, n)]
    if isinstance(given, Sequence) and given and all(isinstance(row, tuple) for row in given):
        return [_objects(given)]
    frame = pd.DataFrame(given)
    return [frame.iloc[:, place].array for place in range(frame.shape[1])]


def crossed(parts: Sequence[Any]) -> Groups:
    """The groups of rows, of these columns crossed; `DataError` for missing values, or none."""
    own = [_levels(part) for part in parts]
    if not own:
        raise DataError(f"{GROUP}: expected a column, got none")
    if len(own) == 1:
        return own[0]
    sizes = [len(part.levels) for part in own]
    pairs, code = np.unique(np.ravel_multi_index([part.code for part in own], sizes), return_inverse=True)
    named = [
        " & ".join(part.levels[at].replace("&", "&&") for part, at in zip(own, place, strict=True))
        for place in zip(*np.unravel_index(pairs, sizes), strict=True)
    ]
    return Groups(tuple(named), code)


def check_rows(n: int, parts: Sequence[Any]) -> None:
    """`DataError` unless every column has n rows."""
    for part in parts:
        if len(part) != n:
            raise DataError(
                f"{GROUP}: inconsistent with X, expected {n} rows, got {len(part)}; several columns go side by side, "
                "as a frame or a list of tuples"
            )


def check_indices(X: Any, y: Any, groups: Sequence[Any], sample_weight: Any) -> None:
    """`DataError` where pandas objects hold their rows in different orders: nothing is aligned in silence.

    Meta-estimators number what they make anew (0, 1, ...) beside an X that keeps its labels, so labels and weights
    numbered so pass, unless X has these very labels in another order; groups must have the index of the others.
    """
    given = [("X", X), ("y", y), ("sample_weight", sample_weight), *((GROUP, column) for column in groups)]
    pandas = [(name, own.index) for name, own in given if isinstance(own, pd.DataFrame | pd.Series)]
    for name, index in pandas[1:]:
        first, known = pandas[0]
        if len(index) != len(known) or index.equals(known):
            continue
        if name != GROUP and index.equals(pd.RangeIndex(len(index))) and set(index) != set(known):
            continue
        at = next(place for place, (a, b) in enumerate(zip(index, known, strict=True)) if a != b)
        raise DataError(
            f"{name}: its index is not that of {first} (row {at}: {index[at]}, there {known[at]}); take "
            f"{name}.loc[{first}.index], or pass {name}.to_numpy() if the rows are in this order"
        )


def named(X: Any, given: Any) -> list[str]:
    """The columns of X that are named instead of passed: by a name or a list of names; [] where groups are passed."""
    if isinstance(given, str):
        if not isinstance(X, pd.DataFrame):
            raise UsageError(
                f"{GROUP}: {given!r} names a column, and X is no data frame with columns; pass the groups themselves"
            )
        return [given]
    several = isinstance(given, list | tuple) and all(isinstance(name, str) for name in given)
    if not several or not isinstance(X, pd.DataFrame) or len(given) == len(X):
        return []
    return list(given)


def taken(X: pd.DataFrame, name: str) -> Any:
    """The column of this name; `DataError` unless there is exactly one."""
    if list(X.columns).count(name) != 1:
        shown = ", ".join(map(str, X.columns[:30]))
        raise DataError(f"{GROUP}: expected one column {name!r} in X, whose columns are: {shown}")
    return X[name]


def _rows(part: Any) -> int:
    return len(part) if hasattr(part, "__len__") and not isinstance(part, str) else -1


def _objects(rows: Sequence[Any]) -> np.ndarray:
    """One column, also of tuples."""
    column = np.empty(len(rows), object)
    column[:] = rows
    return column


def _levels(column: Any) -> Groups:
    own = pd.Series(column).reset_index(drop=True)
    if own.dtype == object and any(isinstance(value, tuple) for value in own):
        widths = {len(value) if isinstance(value, tuple) else 0 for value in own}
        if len(widths) > 1 or widths == {0}:
            raise DataError(f"{GROUP}: expected tuples of one length, got lengths {sorted(widths)}")
        return crossed([_objects([value[place] for value in own]) for place in range(widths.pop())])
    cells = read(own, infer([own]))
    if cells.missing.any():
        raise DataError(f"{GROUP}: missing values (row {int(np.argmax(cells.missing))}); give every row a group")
    there, code = np.unique(cells.codes, return_inverse=True)
    levels, place = np.unique(cells.texts[there].astype(str), return_inverse=True)
    return Groups(tuple(map(str, levels)), place[code])
