"""Tables as they come: CSV, Parquet or JSON lines into a data frame, and cells as text that no container changes."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from faro.errors import DataError, UsageError
from faro.files import replacing
from faro.runtime.parquet import read_parquet

Quote = Callable[[pd.Series], pa.Array]  # a column as JSON strings of its cells
KINDS = (".csv", ".csv.gz", ".parquet", ".jsonl", ".jsonl.gz")
BLOCK = 2**16  # rows whose texts are joined at once
_WHOLE = re.compile(r"-?\d+\.0+")


def read_table(path: str | os.PathLike) -> pd.DataFrame:
    """The table in a `.csv[.gz]`, `.parquet` or `.jsonl[.gz]` file.

    CSV cells stay text, nothing is taken for missing, and spaces around names and cells are dropped. A file that is
    absent, cut short or corrupt is a `DataError` of one line that names it.
    """
    path = Path(path)
    name = path.name.lower()
    if not name.endswith(KINDS):
        raise DataError(f"{path}: expected a table ending in {', '.join(KINDS)}")
    if not path.is_file():
        raise DataError(f"{path}: no such file; check the path")
    try:
        if name.endswith(".parquet"):
            frame = read_parquet(path)
        elif ".jsonl" in name:
            frame = _read_json_lines(path)
        else:
            frame = _read_csv(path)
    except DataError:
        raise
    except (OSError, EOFError, ValueError, zlib.error, csv.Error) as error:
        raise DataError(f"{path}: cannot be read, cut short or corrupt: {one_line(error)}") from error
    return unique_columns(frame, str(path))


def _read_csv(path: Path) -> pd.DataFrame:
    """Text cells; a row with too many or too few of them is an error (pandas would fill it up in silence)."""
    limit = csv.field_size_limit(2**31 - 1)  # a cell may hold an embedding
    try:
        with _open(path, "utf-8-sig") as lines:
            reader = csv.reader(lines, skipinitialspace=True, strict=True)
            rows = [row for row in reader if row]
    finally:
        csv.field_size_limit(limit)
    names = [name.strip() for name in rows[0]] if rows else []
    for number, row in enumerate(rows):
        if len(row) != len(names):
            what = f"row {number} has {len(row)} cells, the header names {len(names)} columns"
            raise DataError(f"{path}: {what}; is the file cut short?")
    columns = zip(*rows[1:], strict=True) if len(rows) > 1 else ((),) * len(names)
    table = {i: [cell.strip() for cell in column] for i, column in enumerate(columns)}
    return pd.DataFrame(table, dtype=object).set_axis(names, axis=1)


def _open(path: Path, encoding: str) -> TextIO:
    opener: Any = gzip.open if path.name.lower().endswith(".gz") else open
    return opener(path, "rt", encoding=encoding, newline="")


def _read_json_lines(path: Path) -> pd.DataFrame:
    """Line by line, because pandas guesses types (and turns "007" into 7)."""
    records = []
    with _open(path, "utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{path}: line {number} is not JSON ({one_line(error)})") from error
            if not isinstance(record, dict):
                raise DataError(f"{path}: line {number}: expected a JSON object, got {type(record).__name__}")
            records.append(record)
    columns = list(dict.fromkeys(key for record in records for key in record))
    return pd.DataFrame({c: pd.Series([r.get(c) for r in records], dtype=object) for c in columns})


def write_table(frame: pd.DataFrame, path: str | os.PathLike) -> None:
    """A table into a `.csv[.gz]`, `.parquet` or `.jsonl[.gz]` file: whole, or not at all."""
    path, kind = Path(path), kind_to_write(path)
    if kind == ".parquet":
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        content = buffer.getvalue()
    elif kind.startswith(".csv"):
        content = frame.to_csv(index=False, lineterminator="\n").encode()
    else:
        records = frame.astype(object).where(frame.notna(), None).to_dict("records")
        content = "".join(json.dumps(record) + "\n" for record in records).encode()
    content = gzip.compress(content, mtime=0) if kind.endswith(".gz") else content
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def kind_to_write(path: str | os.PathLike) -> str:
    """The ending of a table that can be written there; `UsageError` for another one, `DataError` without the folder."""
    path = Path(path)
    kind = next((kind for kind in sorted(KINDS, key=len, reverse=True) if path.name.lower().endswith(kind)), None)
    if kind is None:
        raise UsageError(f"{path}: expected a name that ends in {', '.join(KINDS)}")
    if not path.parent.is_dir():
        raise DataError(f"{path}: cannot be written: there is no folder {path.parent}")
    return kind


def unique_columns(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """The frame with names in NFC, without white space at the ends; `DataError` if it has no rows or two columns of
    one name."""
    names = [unicodedata.normalize("NFC", str(column)).strip() for column in frame.columns]
    frame = frame.set_axis(names, axis=1)
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise DataError(f"{where}: two columns are named {repeated[0]!r}; rename one")
    if len(frame) == 0:
        raise DataError(f"{where}: expected rows, the table is empty")
    return frame


def one_line(error: BaseException) -> str:
    """The message of an exception, on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def text(value: object) -> str:
    """A cell as text that does not depend on the container: 12, 12.0, "12" and "12.0" are "12"; None is ""."""
    if isinstance(value, str):
        value = value.strip()
        return value[: value.index(".")] if _WHOLE.fullmatch(value) else value
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return ""
    if isinstance(value, (float, np.floating)):
        number = str(value)
        return number[:-2] if number.endswith(".0") else number
    return str(value)


def cells(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """(codes `[R]`, texts): a column as text cells, each distinct text once."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    try:
        codes, uniques = pd.factorize(column)
    except TypeError as error:
        raise DataError(f"column {column.name!r} holds lists; declare it under `vectors`") from error
    position: dict[str, int] = {}
    remap = [position.setdefault(text(value), len(position)) for value in uniques]
    if (codes < 0).any():
        remap.append(position.setdefault("", len(position)))  # codes of -1 index the last entry
    return np.asarray(remap, np.int64)[codes], np.asarray(list(position), object)


def texts(column: pd.Series) -> np.ndarray:
    """`[R]` the cells of a column as text."""
    codes, values = cells(column)
    return values[codes]


def quoted(column: pd.Series, form: Callable[[float], str] = text) -> pa.Array:
    """`[R]` the cells of a column as JSON strings of their text; `form` writes the floats that arrow does not."""
    if column.dtype not in (np.float32, np.float64):
        codes, values = cells(column)
        return pa.array([json.dumps(value) for value in values], pa.large_string()).take(pa.array(codes))
    numbers = column.to_numpy(np.float64)
    zero, size = numbers == 0, np.abs(numbers)
    if zero.any():  # 0 and -0 are one value, and so is their text
        numbers = np.where(zero, numbers[zero.argmax()], numbers)
    texts = pa.array(numbers).cast(pa.large_string())
    odd = ~(zero | ((size >= 1e-4) & (size < 1e10)))  # these arrow writes in other words, or not at all
    if odd.any():
        texts = pc.replace_with_mask(texts, odd, pa.array(map(form, numbers[odd].tolist()), pa.large_string()))
    quote, nothing = (pa.scalar(mark, pa.large_string()) for mark in ('"', ""))
    return pc.binary_join_element_wise(quote, texts, quote, nothing)


def all_quoted(frame: pd.DataFrame, names: Iterable[str], quote: Quote) -> Iterator[pa.Array]:
    """`quote` of these columns, in this order, several at a time."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(lambda name: quote(frame[name]), names)


def vectors(column: pd.Series) -> np.ndarray:
    """`[R, D]` a column of arrays (or of their JSON text) as float64; rows that hold nothing are NaN."""
    rows = [_vector(value, column.name, number) for number, value in enumerate(column, 1)]
    width = max((len(row) for row in rows if row is not None), default=0)
    for number, row in enumerate(rows, 1):
        if row is not None and len(row) != width:
            raise DataError(
                f"column {column.name!r}, row {number}: expected a vector of length {width}, got {len(row)}"
            )
    empty = np.full(width, np.nan)
    return np.stack([empty if row is None else row for row in rows])


def _vector(value: object, name: object, number: int) -> np.ndarray | None:
    if value is None or (isinstance(value, float) and value != value) or (isinstance(value, str) and not value.strip()):
        return None
    try:
        array = np.asarray(json.loads(value) if isinstance(value, str) else value, np.float64)
        if array.ndim != 1:
            raise ValueError
        return array
    except (ValueError, TypeError) as error:
        raise DataError(
            f"column {name!r}, row {number}: expected a list of numbers, got {str(value)[:40]!r}"
        ) from error


def content_digest(
    frame: pd.DataFrame, columns: Iterable[str], vector_columns: Iterable[str] = (), quote: Quote = quoted
) -> str:
    """sha256 of the cells of these columns, whatever file they came in; the order of rows matters, of columns not."""
    digest = hashlib.sha256(b"faro table 1\n")
    vector_columns = set(vector_columns)
    names = sorted(set(columns) | vector_columns)
    plain = all_quoted(frame, [name for name in names if name not in vector_columns], quote)
    for name in names:
        digest.update(json.dumps([name, len(frame)]).encode())
        if name in vector_columns:
            digest.update(vectors(frame[name]).astype("<f4").tobytes())
        else:
            digest.update(f"[{', '.join(next(plain).to_pylist())}]".encode())
    return digest.hexdigest()


def row_digests(
    frame: pd.DataFrame, columns: Iterable[str], vector_columns: Iterable[str] = (), quote: Quote = quoted
) -> list[bytes]:
    """A 16-byte hash of the content of every row: equal rows, equal hash."""
    vector_columns = set(vector_columns)
    plain = list(all_quoted(frame, sorted(set(columns) - vector_columns), quote))
    extra = [vectors(frame[name]).astype("<f4") for name in sorted(vector_columns)]
    return [
        hashlib.blake2b(f"[{row}]".encode() + b"".join(e[i].tobytes() for e in extra), digest_size=16).digest()
        for i, row in enumerate(_joined(plain) if plain else [""] * len(frame))
    ]


def _joined(columns: list[pa.Array]) -> Iterator[str]:
    """The texts of every row, with commas between them."""
    comma = pa.scalar(", ", pa.large_string())
    for first in range(0, len(columns[0]), BLOCK):
        yield from pc.binary_join_element_wise(*(column.slice(first, BLOCK) for column in columns), comma).to_pylist()
