"""Wide tables (a row is a pair) and accept tables (a row is an applicant) into long ones, so that there is one path."""

from __future__ import annotations

import numpy as np
import pandas as pd

from faro.errors import DataError

from .schema import AttributeSpec, Schema
from .table import cells, text, texts

CHOICE, SIDE, LABEL, OUTSIDE = "(choice)", "(alternative)", "(label)", "(outside)"
_WORDS = {"true": 1.0, "false": 0.0}


def need(frame: pd.DataFrame, column: str, what: str, where: str) -> pd.Series:
    """A column of the table, or a `DataError` that lists what there is."""
    if column not in frame.columns:
        shown = ", ".join(map(str, frame.columns[:30]))
        raise DataError(f"{where}: no column {column!r} (needed as {what}); columns are: {shown}")
    return frame[column]


def numbers(
    column: pd.Series,
    where: str,
    row: np.ndarray,
    read: np.ndarray,
    missing: tuple[str, ...] = (),
    allow: bool = False,
) -> np.ndarray:
    """`[R]` a numeric column; NaN where not `read`, and where missing if that is allowed. Anything else that is not
    finite is a `DataError`."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        values = column.to_numpy(np.float64, na_value=np.nan)
        absent = np.isnan(values) | np.isin(values, [_number(word) for word in missing])
    else:
        codes, known = cells(column)
        values = np.array([_number(value) for value in known], np.float64)[codes]
        absent = np.array([value == "" or value in missing for value in known], bool)[codes]
    bad = read & np.where(absent, not allow, ~np.isfinite(values))
    if bad.any():
        at = int(np.argmax(bad))
        got = f"{text(column.iloc[at])!r}" + (" (missing)" if absent[at] else "")
        raise DataError(f"{where}: column {column.name!r}, row {row[at] + 1}: expected a finite number, got {got}")
    return np.where(read & ~absent, values, np.nan)


def _number(value: str) -> float:
    if value.lower() in _WORDS:
        return _WORDS[value.lower()]
    try:
        return np.nan if "_" in value else float(value)
    except ValueError:
        return np.nan


def shares(column: pd.Series, positive: str, where: str, row: np.ndarray, read: np.ndarray) -> np.ndarray:
    """`[R]` labels in [0, 1]; with `positive`, cells equal to it are 1 and all others 0."""
    if positive:
        words = texts(column)
        if (read & (words == "")).any():
            at = int(np.argmax(read & (words == "")))
            raise DataError(f"{where}: column {column.name!r}, row {row[at] + 1}: the label is missing")
        if not (read & (words == positive)).any():
            raise DataError(f"{where}: column {column.name!r}: no row has the label {positive!r}; check `positive`")
        return (words == positive).astype(np.float64)
    values = numbers(column, where, row, read)
    bad = read & ((values < 0) | (values > 1))
    if bad.any():
        at = int(np.argmax(bad))
        got = text(column.iloc[at])
        raise DataError(f"{where}: column {column.name!r}, row {row[at] + 1}: expected a label in [0, 1], got {got!r}")
    return values


def choice_ids(schema: Schema, frame: pd.DataFrame, where: str) -> np.ndarray:
    """`[R]` the id of every row's choice: its `choice` columns, joined by a slash."""
    columns = [texts(need(frame, column, "choice", where)) for column in schema.choice]
    for column, values in zip(schema.choice, columns, strict=True):
        if (values == "").any():
            at = int(np.argmax(values == ""))
            raise DataError(f"{where}: column {column!r}, row {at + 1}: the choice's id is missing")
    joined = columns[0] if len(columns) == 1 else ["/".join(parts) for parts in zip(*columns, strict=True)]
    return np.asarray(joined, object)


def melt(schema: Schema, frame: pd.DataFrame, where: str, labels: bool) -> tuple[Schema, pd.DataFrame, np.ndarray]:
    """(long schema, long table, `[R]` row of the given table): a long table is returned as it is."""
    row = np.arange(len(frame))
    if schema.format == "long":
        return schema, frame, row
    parts = _sides(schema, frame, where) if schema.format == "wide" else _applicants(schema, frame, where)
    label = np.ones(len(frame))
    if labels and schema.label:
        label = shares(need(frame, schema.label, "label", where), schema.positive, where, row, row >= 0)
    ids = choice_ids(schema, frame, where) if schema.choice else (row + 1).astype(str)
    for part, share in zip(parts, (label, 1 - label), strict=True):
        part[CHOICE], part[LABEL] = np.asarray(ids, object), share
    if schema.choice and len(set(ids)) < len(ids):
        at = int(np.argmax(pd.Series(ids).duplicated()))
        raise DataError(f"{where}: column {schema.choice[-1]!r}, row {at + 1}: choice {ids[at]!r} has two rows")
    order = np.arange(2 * len(frame)).reshape(2, -1).T.ravel()  # row 0 first side, row 0 second side, row 1 ...
    long = pd.concat(parts, ignore_index=True).iloc[order].reset_index(drop=True)
    plain = {"format": "long", "choice": (CHOICE,), "alternative": SIDE, "label": LABEL, "positive": ""}
    if schema.format == "accept":
        plain["outside"] = OUTSIDE
    return schema.replace(**plain), long, np.repeat(row, 2)


def _shared(schema: Schema, attributes: tuple[AttributeSpec, ...]) -> list[str]:
    """Columns that both alternatives of a row share."""
    columns = [schema.weight, "" if schema.unit == "row" else schema.unit, *schema.context_features]
    return list(dict.fromkeys(filter(None, [*columns, *(spec.column for spec in attributes if spec.chooser)])))


def _own(schema: Schema) -> list[str]:
    """Columns that belong to one alternative."""
    columns = [*schema.item_features, *(spec.column for spec in schema.attributes if not spec.chooser), schema.log_ref]
    return list(dict.fromkeys(filter(None, columns)))


def _sides(schema: Schema, frame: pd.DataFrame, where: str) -> list[pd.DataFrame]:
    shared = {name: frame[name] for name in _shared(schema, schema.attributes) if name in frame.columns}
    parts = []
    for side in schema.sides:
        own = {name: frame[column] for name, column in side_columns(schema, frame, side, where).items()}
        parts.append(pd.DataFrame({**shared, **own, SIDE: side}))
    return parts


def side_columns(schema: Schema, frame: pd.DataFrame, side: str, where: str) -> dict[str, str]:
    """Feature -> its column for one side of a wide table; optional columns that are absent are left out."""
    columns = {}
    for name in _own(schema):
        both = [column for column in (f"{side}_{name}", f"{name}_{side}") if column in frame.columns]
        if len(both) > 1:
            raise DataError(f"{where}: both {both[0]!r} and {both[1]!r} exist; keep one")
        if both:
            columns[name] = both[0]
        elif name in schema.item_features:
            raise DataError(f"{where}: no column '{side}_{name}' or '{name}_{side}' (needed as feature {name!r})")
    return columns


def _applicants(schema: Schema, frame: pd.DataFrame, where: str) -> list[pd.DataFrame]:
    shared = [name for name in _shared(schema, schema.attributes) if name in frame.columns]
    own = [name for name in _own(schema) if name in frame.columns]
    inside = frame[list(dict.fromkeys(shared + own))].copy()
    outside = frame[shared].copy()
    inside[SIDE], outside[SIDE] = "inside", "outside"
    inside[OUTSIDE], outside[OUTSIDE] = "0", "1"
    return [inside, outside]


def used_columns(schema: Schema, frame: pd.DataFrame) -> tuple[list[str], list[str]]:
    """(columns, vector columns) of the given table that the schema reads and that are there."""
    sides = schema.sides if schema.format == "wide" else ()
    own = [side_columns(schema, frame, side, "table") for side in sides] or [{name: name for name in _own(schema)}]
    vectors = [columns[name] for columns in own for name in schema.vectors if name in columns]
    unit = "" if schema.unit == "row" else schema.unit
    plain = [*schema.choice, schema.alternative, schema.label, schema.weight, schema.available, schema.outside, unit]
    plain += [column for columns in own for column in columns.values()] + _shared(schema, schema.attributes)
    vectors += list(schema.context_vectors)
    used = [column for column in dict.fromkeys(plain) if column in frame.columns and column not in vectors]
    return used, [column for column in vectors if column in frame.columns]
