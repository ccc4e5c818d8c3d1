"""The cells of a scored table as texts, column by column: CSV, JSON lines or Parquet. Nothing is stripped or guessed.

Digests are taken of these texts and numbers, so a reader that helped would make another table.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from pathlib import Path

import numpy as np

from ..errors import DataError, UsageError
from ..files import absent

TEXT = (".csv", ".jsonl")


def read_columns(path: str | Path) -> dict[str, list[str]]:
    """The cells of a `.csv[.gz]`, `.jsonl[.gz]` or `.parquet` file as texts, by column; nothing is guessed."""
    path = Path(path)
    if not path.is_file():
        raise DataError(absent(path, "a scored table, of faro score", TEXT, "reward"))
    if path.suffix == ".parquet":
        return _parquet(path)
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if kind not in TEXT:
        raise UsageError(f"{path}: expected a scored table ending in .csv[.gz], .jsonl[.gz] or .parquet")
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")
        header, rows = _csv(text) if kind == ".csv" else _jsonl(text)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error, ValueError, RecursionError) as error:
        raise error if isinstance(error, DataError) else DataError(f"{path}: cannot be read: {error}") from None
    if len(set(header)) < len(header):
        raise DataError(f"{path}: two columns have the same name")
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise DataError(
                f"{path}: row {number} has {len(row)} cells, the header {len(header)}; is the file cut short?"
            )
    return {name: list(cells) for name, cells in zip(header, zip(*rows, strict=True), strict=False)}


def _csv(text: str) -> tuple[list[str], list[list[str]]]:
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    return (rows[0], rows[1:]) if rows else ([], [])


def _jsonl(text: str) -> tuple[list[str], list[list[str]]]:
    header: list[str] = []
    rows = []
    for number, line in enumerate(text.replace("\r\n", "\n").removesuffix("\n").split("\n") if text else [], 1):
        record = json.loads(line, parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=once)
        header = header or list(record) if isinstance(record, dict) else header
        if not isinstance(record, dict) or set(record) != set(header):
            raise DataError(f"line {number}: expected an object with the names of the first line")
        cells = [record[name] for name in header]
        if not all(cell is None or isinstance(cell, str) for cell in cells):
            raise DataError(f"line {number}: expected texts, numbers or null in every cell")
        rows.append([cell or "" for cell in cells])
    return header, rows


def once(pairs: list) -> dict:
    """An object of JSON whose names all differ."""
    record = dict(pairs)
    if len(record) < len(pairs):
        raise DataError("a name stands twice in one line")
    return record


def _parquet(path: Path) -> dict[str, list[str]]:
    import pandas as pd

    from ..runtime.parquet import read_parquet

    def text(value: object) -> str:
        if isinstance(value, bytes | list | tuple | dict | np.ndarray):
            raise DataError(f"{path}: expected texts, numbers or null in every cell, got {str(value)[:40]!r}")
        if value is None or value is pd.NA or value != value:
            return ""
        return repr(float(value)) if isinstance(value, float | np.floating) else str(value)

    try:
        frame = read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {' '.join(str(error).split())[:200]}") from None
    return {str(name): [text(value) for value in frame[name].astype(object)] for name in frame.columns}


def write_columns(columns: dict[str, list[str]], path: Path) -> None:
    """Columns of texts as a CSV file, for a checker that reads no Parquet."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
