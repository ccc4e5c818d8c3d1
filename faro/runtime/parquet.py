"""Parquet files as data frames, damaged ones refused where they are read and not where a cell is first looked at."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa


def read_parquet(path: str | Path) -> pd.DataFrame:
    """The table of a Parquet file; `ValueError` if it is damaged. Text is checked here: pandas keeps it as it lies in
    the file, and fails where it is first read."""
    try:
        frame = pd.read_parquet(path)
        for name in frame.columns:
            column = frame[name]
            held = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column
            if isinstance(held.dtype, pd.StringDtype):
                pa.array(held.array).validate(full=True)
        return frame
    except (pa.ArrowException, NotImplementedError, OverflowError) as error:
        raise ValueError(str(error)) from error
