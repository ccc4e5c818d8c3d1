"""Cells as text that no container changes, tables written, and digests of what they hold."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from faro.errors import DataError, UsageError
from faro.files import replacing

Quote = Callable[[pd.Series], pa.Array]  # a column as JSON strings of its cells
KINDS = (".csv", ".csv.gz", ".parquet", ".jsonl", ".jsonl.gz")
LISTS = (list, tuple, dict, np.ndarray)  # cells that are no single values
BLOCK = 2**16  # rows whose texts are joined at once
_WHOLE = re.compile(r"-?\d+\.0+")


def write_table(frame: pd.DataFrame, path: str | os.PathLike) -> None:
    """A table into a `.csv[.gz]`, `.parquet` or `.jsonl[.gz]` file: whole, or not at all.

    A list of numbers is JSON in a CSV cell; in Parquet a column that mixes texts with numbers is one of texts, in their
    canonical form; in JSON a date is its text. `UsageError` for other lists and objects in CSV, and for lists beside
    other cells in Parquet.
    """
    path, kind = Path(path), kind_to_write(path)
    if kind == ".parquet":
        buffer = io.BytesIO()
        _of_one_type(frame, path).to_parquet(buffer, index=False)
        content = buffer.getvalue()
    elif kind.startswith(".csv"):
        lines = _of_lines(frame, path)
        text = lines.to_csv(index=False, lineterminator="\n")
        if "\r" in text:  # ends a line for readers, and is quoted only where all cells are
            text = lines.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_ALL)
        content = text.encode()
    else:
        records = frame.astype(object).where(frame.notna(), None).to_dict("records")
        content = "".join(json.dumps(record, default=_plain) + "\n" for record in records).encode()
    content = gzip.compress(content, mtime=0) if kind.endswith(".gz") else content
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _of_lines(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The frame as CSV can hold it: lists of numbers as JSON texts, as they are read again; `UsageError` for others."""
    made = {}
    for name in frame.columns:
        cells = frame[name].to_list() if frame[name].dtype == object else []
        if not any(isinstance(cell, LISTS) for cell in cells):
            continue
        plain = [cell.tolist() if isinstance(cell, np.ndarray) else cell for cell in cells]
        parts = [
            part for cell in plain if isinstance(cell, LISTS) for part in ([cell] if isinstance(cell, dict) else cell)
        ]
        if strange := next((part for part in parts if isinstance(part, dict | str)), None):
            what = "lists of texts" if isinstance(strange, str) else "objects"
            raise UsageError(f"{path}: column {str(name)!r} holds {what}, and CSV has none; write .jsonl or .parquet")
        made[name] = [json.dumps(cell, default=_plain) if isinstance(cell, list | tuple) else cell for cell in plain]
    return frame.assign(**made)


def _of_one_type(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The frame as Parquet can hold it: a column of objects that Arrow knows no type for as canonical texts."""
    from .values import canonical  # which reads cells by means of this module

    made = {}
    for name in frame.columns:
        try:
            pa.array(frame[name], from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            cells = frame[name].to_list()
            if any(isinstance(cell, LISTS) for cell in cells):
                raise UsageError(
                    f"{path}: column {str(name)!r} holds lists or objects and other cells too, and Parquet has one "
                    "type for a column; write .jsonl"
                ) from None
            made[name] = [
                None if gone else canonical(cell, "text") for cell, gone in zip(cells, frame[name].isna(), strict=True)
            ]
    return frame.assign(**made)


def _plain(value: object) -> object:
    """What JSON has no word for: an array, a number of numpy's, a date, a decimal."""
    if isinstance(value, np.datetime64):
        return pd.Timestamp(value).isoformat()
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return (
        value.decode() if isinstance(value, bytes) else value.isoformat() if hasattr(value, "isoformat") else str(value)
    )


def kind_to_write(path: str | os.PathLike, *read: str | os.PathLike | None) -> str:
    """The ending of a table that can be written there; `UsageError` for another one, `DataError` without the folder.

    path: of the table
    read: files that are read, none of which it may replace: `UsageError`
    """
    path = Path(path)
    if any(given and Path(given).exists() and path.exists() and path.samefile(given) for given in read):
        raise UsageError(f"{path}: is read, and would be replaced; choose another name")
    kind = next((kind for kind in sorted(KINDS, key=len, reverse=True) if path.name.lower().endswith(kind)), None)
    if kind is None:
        raise UsageError(f"{path}: expected a name that ends in {', '.join(KINDS)}")
    if not path.parent.is_dir():
        raise DataError(f"{path}: cannot be written: there is no folder {path.parent}")
    return kind


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
        raise DataError(several(column)) from error
    position: dict[str, int] = {}
    remap = [position.setdefault(text(value), len(position)) for value in uniques]
    if (codes < 0).any():
        remap.append(position.setdefault("", len(position)))  # codes of -1 index the last entry
    return np.asarray(remap, np.int64)[codes], np.asarray(list(position), object)


def several(column: pd.Series) -> str:
    """What is wrong with a column of cells that are no single values, and what to do."""
    several_in = ((at, cell) for at, cell in enumerate(column, 1) if isinstance(cell, dict | list | np.ndarray))
    at, cell = next(several_in, (0, []))
    if not isinstance(cell, dict):
        return f"column {column.name!r} holds lists; declare it under `vectors`"
    keys = ", ".join(repr(f"{column.name}.{key}") for key in list(cell)[:3]) or "none"
    return f"column {column.name!r}, row {at}: expected one value, got an object; its fields would be columns: {keys}"


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
    gone = value is None or value is pd.NA or (isinstance(value, float) and value != value)
    if gone or (isinstance(value, str) and not value.strip()):
        return None
    try:
        array = np.asarray(json.loads(value) if isinstance(value, str) else value, np.float64)
        if array.ndim != 1 or not array.size:
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
