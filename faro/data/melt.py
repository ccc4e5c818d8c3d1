"""Wide tables (a row is a pair) and accept tables (a row is an applicant) as long ones, so that there is one path.

Nothing is copied: a column of the long table is one or several columns of the given one, dealt in turn.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from faro.errors import DataError, UsageError
from faro.units import RULE

from .columns import places, recognise, twin_places, used_columns
from .schema import Schema
from .table import text, vectors
from .values import Cells, canonical, infer, is_of, numbers, read

CHOICE, SIDE, LABEL, OUTSIDE = "(choice)", "(alternative)", "(label)", "(outside)"
_COMMA = re.compile(r"[+-]?[0-9][0-9.]*(,[0-9]+)+([.][0-9]+)?")
SIDES = ("inside", "outside")  # the alternatives of an accept table


def resolve(schema: Schema, frame: pd.DataFrame, where: str, rule: int, arrays: Collection[str] = ()) -> Schema:
    """The schema with the type of every column that the table has (under rule 1, "cell" where none is declared), and
    the features whose twins it, or the `arrays` beside it, bring."""
    schema = recognise(schema, frame, where, arrays)
    used, _ = used_columns(schema, frame)
    of_name: dict[str, list[pd.Series]] = {}
    for column, name in used.items():
        of_name.setdefault(name, []).append(frame[column])
    types = dict(schema.types)
    for name, columns in of_name.items():
        if name in types:
            continue
        if rule < RULE:
            types[name] = "cell"
        elif name in schema.numbers:
            types[name] = schema.kind(name)
        else:
            types[name] = infer(columns, filter(None, schema.words_of(name)))
    try:
        return schema.replace(types=types)
    except UsageError as error:
        raise DataError(f"{where}: {error}") from None


@dataclasses.dataclass(frozen=True)
class Long:
    """A table as a long one. `columns`: name -> the columns that are dealt out, None for one that a side lacks; a
    column alone stands for all sides. `types`: name -> type; `called`: what the given table calls a made column;
    `given`: its own columns."""

    schema: Schema
    where: str
    row: np.ndarray  # [R] row of the given table
    width: int  # rows of the long table per row of the given one
    columns: Mapping[str, Sequence[pd.Series | None]]
    types: Mapping[str, str]
    called: Mapping[str, str]
    rule: int
    given: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.row)

    def has(self, name: str) -> bool:
        return name in self.columns

    def _parts(self, name: str, what: str) -> Sequence[pd.Series | None]:
        if name not in self.columns:
            shown = ", ".join(self.given[:30])
            raise DataError(f"{self.where}: no column {name!r} (needed as {what}); columns are: {shown}")
        return self.columns[name]

    def _deal(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        if len(parts) == self.width:
            return parts[0] if self.width == 1 else np.stack(parts, 1).reshape(len(self), *parts[0].shape[1:])
        return np.repeat(parts[0], self.width, 0)

    def cells(self, name: str, what: str, names: bool = False) -> Cells:
        """A column as cells of its type; of `names`, floats that stand for several are faults."""
        count = len(self) // self.width
        nothing = Cells.of([("", True, "")], np.zeros(count, int))
        kind, missing = self.types.get(name, "text"), self.schema.missing
        parts = [
            nothing if column is None else read(column, kind, missing, names) for column in self._parts(name, what)
        ]
        if len(parts) > 1:
            return Cells.dealt(parts)
        return dataclasses.replace(parts[0], codes=np.repeat(parts[0].codes, self.width))

    def numbers(self, name: str, what: str) -> tuple[np.ndarray, np.ndarray]:
        """(`[R]` values, NaN where a cell is no finite number; `[R]` whether it is missing)."""
        count = len(self) // self.width
        nothing = np.full(count, np.nan), np.ones(count, bool)
        kind, missing = self.types.get(name, "number"), self.schema.missing
        parts = [nothing if column is None else numbers(column, kind, missing) for column in self._parts(name, what)]
        return self._deal([values for values, _ in parts]), self._deal([absent for _, absent in parts])

    def vectors(self, name: str, what: str) -> np.ndarray:
        """`[R, D]` a column of vectors in single precision, as digests know them; NaN where there is none."""
        words = self.schema.missing
        parts = [None if column is None else vectors(_without(column, words)) for column in self._parts(name, what)]
        width = max(part.shape[1] for part in parts if part is not None)
        for column, part in zip(self._parts(name, what), parts, strict=True):
            if part is not None and part.shape[1] not in (0, width):
                raise DataError(f"column {column.name!r}: expected vectors of length {width}, got {part.shape[1]}")  # type: ignore[union-attr]
        count = len(self) // self.width
        empty = np.full((count, width), np.nan)
        dealt = self._deal([empty if part is None or part.shape[1] < width else part for part in parts])
        with np.errstate(over="ignore"):
            return dealt if self.rule < RULE else dealt.astype(np.float32).astype(np.float64)

    def check(self, name: str, cells: Cells, rows: np.ndarray) -> None:
        """`DataError` for the first of these rows whose cell is not of the column's type."""
        for fault in dict.fromkeys(filter(None, cells.faults)):
            self.refuse(name, rows & (cells.faults == fault)[cells.codes], f"expected {fault}, got {{}}")

    def refuse(self, name: str, bad: np.ndarray, message: str) -> None:
        """`DataError` naming the first bad row `[R]`; {} in the message becomes its cell."""
        if bad.any():
            at = int(np.argmax(bad))
            if message.endswith("{}"):
                message = message.removesuffix("{}") + self.shown(name, at) + self._advice(name, at)
            raise DataError(f"{self.where}: column {self._called(name, at)!r}, row {self.row[at] + 1}: {message}")

    def _called(self, name: str, at: int) -> str:
        """What the given table calls the column that a long row has its cell from."""
        column = self._column(name, at)
        return self.called.get(name, name) if column is None or column.name is None else str(column.name)

    def shown(self, name: str, at: int) -> str:
        """The cell of a long row, for a message."""
        value = self._cell(name, at)
        return ascii(value.strip() if isinstance(value, str) else text(value))[:60]

    def _column(self, name: str, at: int) -> pd.Series | None:
        parts = self.columns[name]
        return parts[at % self.width if len(parts) > 1 else 0]

    def _cell(self, name: str, at: int) -> object:
        column = self._column(name, at)
        return None if column is None else column.iloc[at // self.width]

    def _advice(self, name: str, at: int) -> str:
        """What to do about a cell that looks like a number in another writing, or ""."""
        value = self._cell(name, at)
        if isinstance(value, str) and _COMMA.fullmatch(value.strip()):
            return " (a comma in a number: write 1.5 for 1,5 and 1234 for 1,234)"
        return ""


def _without(column: pd.Series, words: Sequence[str]) -> pd.Series:
    """A column of vectors, None where the cell is one of these words."""
    if not words or not (column.dtype == object or pd.api.types.is_string_dtype(column.dtype)):
        return column
    cells = [None if isinstance(cell, str) and cell.strip() in words else cell for cell in column]
    return pd.Series(cells, column.index, object, column.name)


def choice_ids(schema: Schema, cells: Sequence[Cells], rule: int) -> tuple[np.ndarray, np.ndarray]:
    """(`[R]` the id of every row's choice, its `choice` columns joined by a slash; `[R]` whether a part is missing).

    A slash or backslash in any part but the last is escaped by a backslash, so that no two keys have one id.
    """
    columns = []
    for number, column_cells in enumerate(cells):
        texts = column_cells.texts
        if rule >= RULE and number < len(cells) - 1:
            texts = np.array([t.replace("\\", "\\\\").replace("/", "\\/") for t in texts], object)
        columns.append(texts[column_cells.codes])
    joined = columns[0] if len(columns) == 1 else ["/".join(parts) for parts in zip(*columns, strict=True)]
    gone = np.logical_or.reduce([column_cells.missing for column_cells in cells])
    ids = np.asarray(joined, object)
    if gone.any():  # nobody knows which rows belong together: neighbours do
        run = np.cumsum(np.diff(gone.astype(int), prepend=0) == 1)
        ids = np.where(gone, np.array([f"(missing) {number}" for number in run], object), ids)
    return ids, gone


def melt(
    schema: Schema, frame: pd.DataFrame, where: str, labels: bool, rule: int, arrays: Collection[str] = ()
) -> tuple[Long, Schema]:
    """(the long table, the schema with all types and label words)."""
    schema = resolve(schema, frame, where, rule, arrays)
    row, types = np.arange(len(frame)), dict(schema.types)
    for twin in schema.twins:  # what a feature is set to is of its type
        levels = schema.attribute(twin.attribute).levels
        types |= {twin.column(name, level): kind for name, kind in schema.types.items() for level in levels}
    every = {name: (frame[name],) for name in map(str, frame.columns)}
    given = Long(schema, where, row, 1, every, types, {}, rule, tuple(every))
    if schema.format == "long":
        return given, schema
    of_side, shared = (
        {name: tuple(None if column is None else frame[column] for column in columns) for name, columns in part.items()}
        for part in map(dict.__or__, places(schema, frame, where), twin_places(schema, frame, where))
    )
    long: dict[str, Sequence[pd.Series | None]] = {**shared, **of_side}
    sides = schema.sides
    if schema.format == "accept":
        sides = SIDES
        long |= {name: (*columns, None) for name, columns in of_side.items() if name not in shared}
        long[OUTSIDE] = tuple(pd.Series(value, frame.index) for value in (0, 1))
    label = np.ones(len(frame))
    if labels and schema.label_names_sides:
        chosen = sides_chosen(given, schema)
    else:
        if labels and schema.label:
            label, schema = shares(given, schema, schema.label, np.ones(len(frame), bool))
        chosen = [label, 1 - label]
    if schema.choice:
        cells = [given.cells(column, "choice", True) for column in schema.choice]
        for column, column_cells in zip(schema.choice, cells, strict=True):
            given.check(column, column_cells, ~column_cells.missing)
        ids, gone = choice_ids(schema, cells, rule)
        twice = pd.Series(ids).duplicated().to_numpy() & ~gone
        if twice.any():
            at = int(np.argmax(twice))
            raise DataError(f"{where}: column {schema.choice[-1]!r}, row {at + 1}: choice {ids[at]!r} has two rows")
        ids[gone] = None
    else:
        ids = (row + 1).astype(str).astype(object)
    long[CHOICE] = (pd.Series(ids, dtype=object),)
    long[LABEL] = tuple(map(pd.Series, chosen))
    side = schema.alternative or SIDE
    long[side] = tuple(pd.Series(name, frame.index) for name in sides)
    if schema.available:
        always = pd.Series(1, frame.index)
        long[schema.available] = tuple(always if flag is None else flag for flag in long[schema.available])
    made: dict[str, Any] = {"format": "long", "choice": (CHOICE,), "alternative": side, "label": LABEL}
    made |= {"positive": "", "negative": "", "codes": (), "unknown": ()}
    made |= {"types": {}, "shared": schema.shared_columns}
    if schema.format == "accept":
        made["outside"] = OUTSIDE
    types |= {CHOICE: "cell" if rule < RULE else "text", side: "text", LABEL: "number", OUTSIDE: "number"}
    called = {CHOICE: schema.choice[-1] if schema.choice else CHOICE, LABEL: schema.label or LABEL}
    width = len(sides)
    rows, names = np.repeat(row, width), given.given
    return Long(schema.replace(**made), where, rows, width, long, types, called, rule, names), schema


def sides_chosen(table: Long, schema: Schema) -> list[np.ndarray]:
    """Of every side the labels `[R]`: 1 where it was chosen, NaN where nobody knows."""
    kind = schema.kind(schema.label)
    codes = [canonical(code, kind) if is_of(code, kind) else code for code in schema.codes or schema.sides]
    cells = table.cells(schema.label, "label")
    live = ~cells.missing & ~np.isin(cells.values, schema.unknown)
    table.check(schema.label, cells, live)
    message = f"labels are {', '.join(codes)}; list what says nothing under `unknown`; got {{}}"
    table.refuse(schema.label, live & ~np.isin(cells.values, codes), message)
    return [np.where(live, cells.values == code, np.nan) for code in codes]


def shares(table: Long, schema: Schema, name: str, read_rows: np.ndarray) -> tuple[np.ndarray, Schema]:
    """(`[R]` labels in [0, 1], NaN where missing or not read; the schema with both label words).

    With `positive`, cells equal to it are 1; the others must all be `negative`, or one word if that is not declared.
    """

    if not schema.positive:
        values, absent = table.numbers(name, "label")
        table.refuse(name, read_rows & ~absent & ~np.isfinite(values), "expected a finite number, got {}")
        table.refuse(name, read_rows & ~absent & ((values < 0) | (values > 1)), "expected a label in [0, 1], got {}")
        return np.where(read_rows & ~absent, values, np.nan), schema
    cells = table.cells(name, "label")
    live = read_rows & ~cells.missing & ~np.isin(cells.values, schema.unknown)
    table.check(name, cells, live)
    counts = np.bincount(cells.codes[live], minlength=len(cells.texts))
    words = [str(cells.texts[code]) for code in np.argsort(-counts, kind="stable") if counts[code]]
    if live.any() and not schema.negative and schema.positive not in words:
        raise DataError(f"{table.where}: column {name!r}: no row has the label {schema.positive!r}; check `positive`")
    if not schema.negative and len(words) > (schema.positive in words):
        schema = schema.replace(negative=next(word for word in words if word != schema.positive))
    for word in words:
        if word not in (schema.positive, schema.negative):
            two = f"the words {schema.positive!r} and {schema.negative!r}"
            message = f"labels are {two}, got {word!r}; list it under `unknown`, or give shares in [0, 1]"
            table.refuse(name, live & (cells.values == word), message)
    value = (cells.texts == schema.positive).astype(np.float64)[cells.codes]
    return np.where(live, value, np.nan), schema
