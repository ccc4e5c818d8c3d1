"""Containers that tables come in, as data frames: files, folders of parts as Spark writes them, other libraries.

Whatever it was in, a column has one name: white space at the ends is cut, a column without a name is left out, and what
is inside an object is a column by a dotted name: `{"scores": {"clarity": 1}}` has the column `scores.clarity`.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import unicodedata
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import unquote

import pandas as pd
import pyarrow as pa

from faro.errors import DataError, UsageError
from faro.runtime.parquet import flat, read_arrow, read_parquet

from .table import KINDS, one_line
from .values import absent

NULL = "__HIVE_DEFAULT_PARTITION__"
READ = (*KINDS, ".json", ".json.gz", ".arrow")  # endings of tables that are read; what is written ends in KINDS


def read_table(path: str | os.PathLike) -> pd.DataFrame:
    """The table in a `.csv[.gz]`, `.parquet`, `.arrow` or `.json[l][.gz]` file, or in all such files of a folder, in
    the order of their names; in a folder of `datasets.save_to_disk` those that its state.json names.

    CSV cells stay text, nothing is taken for missing, and spaces around names and cells are dropped. JSON is an object
    a line, or one array of them. In a folder names that begin with a dot or an underscore are passed over, as Spark's
    `_SUCCESS`. A file that is absent, cut short or corrupt is a `DataError` of one line that names it.
    """
    path = Path(path)
    if path.is_dir():
        return unique_columns(_of_folder(path), str(path))
    if not path.name.lower().endswith(READ):
        raise DataError(f"{path}: expected a table ending in {', '.join(READ)}")
    if not path.is_file():
        raise DataError(f"{path}: no such file; check the path")
    return unique_columns(_of_file(path), str(path))


def tables_in(folder: Path) -> list[Path]:
    """The tables of a folder, in the order of their names."""
    files = sorted(path for path in folder.iterdir() if path.name[0] not in "._" and path.is_file())
    return [path for path in files if path.name.lower().endswith(READ)]


def frame_of(table: Any) -> pd.DataFrame | None:
    """A table in memory as a data frame: pandas', or what gives an Arrow stream (polars, pyarrow, DuckDB) or has
    `to_pandas` (Hugging Face); None for anything else, as the name of a file.

    `UsageError` for what is not read yet, and for several tables.
    """
    if isinstance(table, pd.DataFrame):
        return table
    if hasattr(table, "__arrow_c_stream__"):
        return flat(pa.table(table)).to_pandas()
    if callable(getattr(table, "to_pandas", None)):
        return table.to_pandas()
    if callable(getattr(table, "collect", None)):
        raise UsageError(f"data: a {type(table).__name__} is not read yet; call its collect() first")
    if isinstance(table, Mapping):
        names = ", ".join(map(str, table)) or "nothing"
        raise UsageError(f"data: expected one table, got a {type(table).__name__} of {names}; choose one of them")
    return None


def unique_columns(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """The frame with names in NFC, without white space at the ends, its objects as columns; `DataError` if it has no
    rows or two columns of one name."""
    names = [unicodedata.normalize("NFC", str(column)).strip() for column in frame.columns]
    frame = frame.set_axis(names, axis=1)
    if not all(names):  # an index that was written without a name
        frame = frame.loc[:, [bool(name) for name in names]]
    frame = _opened(frame)
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise DataError(f"{where}: two columns are named {repeated[0]!r}; rename one")
    if len(frame) == 0:
        raise DataError(f"{where}: expected rows, the table is empty")
    return frame


def _opened(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with a column for each field of a column of objects, whatever their depth."""
    columns = [frame.iloc[:, place] for place in range(frame.shape[1])]
    if not any(map(_of_objects, columns)):
        return frame
    opened: list[pd.Series] = []
    for column in columns:
        if not _of_objects(column):
            opened.append(column)
            continue
        cells = [cell if isinstance(cell, dict) else {} for cell in column]
        keys = dict.fromkeys(key for cell in cells for key in cell)
        fields = [pd.Series([cell.get(key) for cell in cells], frame.index, object) for key in keys]
        names = [f"{column.name}.{str(key).strip()}" for key in keys]
        opened += [field.rename(name) for field, name in zip(fields, names, strict=True)]
    return _opened(pd.concat(opened, axis=1))


def _of_objects(column: pd.Series) -> bool:
    """Whether a column holds objects and missing cells alone; a mixture is refused where its cells are read."""
    if column.dtype != object or not isinstance(next((cell for cell in column if not absent(cell)), None), dict):
        return False
    return all(isinstance(cell, dict) or absent(cell) for cell in column)


def _of_file(path: Path) -> pd.DataFrame:
    name = path.name.lower()
    try:
        if name.endswith(".parquet"):
            return read_parquet(path)
        if name.endswith(".arrow"):
            return read_arrow(path)
        return _read_json(path) if ".json" in name else _read_csv(path)
    except DataError:
        raise
    except (OSError, EOFError, ValueError, zlib.error, csv.Error) as error:
        raise DataError(f"{path}: cannot be read, cut short or corrupt: {one_line(error)}") from error


def _of_folder(folder: Path) -> pd.DataFrame:
    """The tables of a folder as one, those of its folders `column=value` with that column; `DataError` if it has none,
    or a part has other columns than the first."""
    parts = [(path, _of_file(path)) for path in _saved_to_disk(folder) or tables_in(folder)]
    for inner in sorted(path for path in folder.iterdir() if path.is_dir() and "=" in path.name):
        column, _, value = unquote(inner.name).partition("=")
        parts.append((inner, _of_folder(inner).assign(**{column: "" if value == NULL else value})))
    if not parts:
        names = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
        raise DataError(f"{folder}: a folder: expected tables ending in {', '.join(READ)}, found {names}")
    parts = [(path, part) for path, part in parts if len(part)] or parts[:1]
    first, columns = parts[0][0].name, set(parts[0][1].columns)
    for path, part in parts:
        for name in sorted(columns ^ set(part.columns), key=str):
            if ".json" in path.name.lower():
                break  # an object leaves out what it has not
            has = "has" if name in part.columns else "lacks"
            raise DataError(f"{path}: {has} a column {name!r}, unlike {first}; tables of a folder are parts of one")
    return pd.concat([part for _, part in parts], ignore_index=True)


def _saved_to_disk(folder: Path) -> list[Path]:
    """The tables of a folder that `datasets.save_to_disk` wrote, none of any other."""
    try:
        if (folder / "dataset_dict.json").is_file():
            splits = json.loads((folder / "dataset_dict.json").read_text(encoding="utf-8"))["splits"]
            raise DataError(
                f"{folder}: several tables, {', '.join(map(str, splits))}; name one, as {folder / splits[0]}"
            )
        if not (folder / "state.json").is_file():
            return []
        files = json.loads((folder / "state.json").read_text(encoding="utf-8"))["_data_files"]
        paths = [folder / Path(file["filename"]).name for file in files]
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(f"{folder}: its state.json is damaged: {one_line(error)}") from error
    if lacking := [path for path in paths if not path.is_file()]:
        raise DataError(f"{lacking[0]}: no such file, and {folder / 'state.json'} names it")
    return paths


def _read_csv(path: Path) -> pd.DataFrame:
    """Text cells; a row with too many or too few of them is an error (pandas would fill it up in silence)."""
    limit = csv.field_size_limit(2**31 - 1)  # a cell may hold an embedding
    try:
        with _open(path) as lines:
            reader = csv.reader(lines, skipinitialspace=True, strict=True)
            rows = [row for row in reader if row]
    finally:
        csv.field_size_limit(limit)
    names = [name.strip() for name in rows[0]] if rows else []
    if len(names) == 1 and (mark := next((mark for mark in ";\t|" if mark in names[0]), "")):
        raise DataError(f"{path}: expected cells separated by commas, found {mark!r} between them")
    for number, row in enumerate(rows):
        if len(row) != len(names):
            what = f"row {number} has {len(row)} cells, the header names {len(names)} columns"
            raise DataError(f"{path}: {what}; is the file cut short?")
    columns = zip(*rows[1:], strict=True) if len(rows) > 1 else ((),) * len(names)
    table = {i: [cell.strip() for cell in column] for i, column in enumerate(columns)}
    return pd.DataFrame(table, dtype=object).set_axis(names, axis=1)


def _open(path: Path) -> TextIO:
    opener: Any = gzip.open if path.name.lower().endswith(".gz") else open
    return opener(path, "rt", encoding="utf-8-sig", newline="")  # with a mark of the byte order, or without


def _read_json(path: Path) -> pd.DataFrame:
    """An object a line, or one array of objects; not by pandas, which guesses types (and turns "007" into 7)."""
    records: list[dict[str, Any]] = []
    array = ".jsonl" not in path.name.lower()
    with _open(path) as lines:
        content = enumerate(lines, 1)
        for number, line in content:
            if not line.strip():
                continue
            whole = array and not records and line.lstrip().startswith("[")
            where = f"{path}: line {number}"
            parsed = _parsed("".join([line, *(more for _, more in content)]) if whole else line, where)
            for record in parsed if whole else [parsed]:
                if not isinstance(record, dict):
                    raise DataError(f"{where}: expected a JSON object, got {type(record).__name__}")
                records.append(record)
    columns = list(dict.fromkeys(key for record in records for key in record))
    return pd.DataFrame({c: pd.Series([r.get(c) for r in records], dtype=object) for c in columns})


def _parsed(text: str, where: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        record = dict(pairs)
        if len(record) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"{where}: the key {twice!r} stands twice in one object; keep one")
        return record

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise DataError(f"{where} is not JSON ({one_line(error)})") from error
