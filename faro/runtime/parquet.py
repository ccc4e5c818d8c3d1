"""Parquet and Arrow files as data frames; damaged ones are refused where they are read, not where a cell is first
looked at."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq


def read_parquet(path: str | Path) -> pd.DataFrame:
    """The table of a Parquet file; `ValueError` if it is damaged. Text is checked here: pandas keeps it as it lies in
    the file, and fails where it is first read."""
    try:
        frame = pd.read_parquet(path)
        if any(pa.types.is_struct(field.type) for field in pq.read_schema(path)):
            frame = flat(pq.read_table(path)).to_pandas()
        for name in frame.columns:
            column = frame[name]
            held = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column
            if isinstance(held.dtype, pd.StringDtype):
                pa.array(held.array).validate(full=True)
        return frame
    except (pa.ArrowException, NotImplementedError, OverflowError) as error:
        raise ValueError(str(error)) from error


def read_arrow(path: str | Path) -> pd.DataFrame:
    """The table of an Arrow IPC file, in either of its two forms (a stream, as `datasets` writes it); `ValueError` if
    it is damaged."""
    try:
        with pa.memory_map(str(path)) as source:
            with open(path, "rb") as file:
                whole = file.read(6) == b"ARROW1"
            reader = pa.ipc.open_file(source) if whole else pa.ipc.open_stream(source)
            table = reader.read_all()
            for column in table.columns:
                column.validate(full=True)
            return flat(table).to_pandas()
    except (pa.ArrowException, NotImplementedError, OverflowError) as error:
        raise ValueError(str(error)) from error


def flat(table: pa.Table) -> pa.Table:
    """The table with a column `a.b` for each field b of a column a of structs, whatever their depth."""
    while any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    return table
