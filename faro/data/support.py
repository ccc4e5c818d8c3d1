"""Support sets: a few earlier choices of every person, which a model may read before it is asked about the others.

Rows given as support never count as queries, in whatever part: they are neither trained on nor audited. Which rows they
are is fixed by the person's and the choice's names alone, so no order of rows and no seed moves them.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pandas as pd

from constraints import Choices
from faro.errors import DataError

from .coding import Coding
from .dataset import Dataset
from .split import uniform

SALT = "faro support 1"
SUPPORT = "support"  # the part that a scored table says of such rows: no audit is of it


def support_rows(data: Dataset, size: int) -> np.ndarray:
    """`[U, S]` indices of the choices that are the support of each unit code, -1 where it has none.

    data: whose units and choices are named
    size: S, choices of a person at most; every person keeps one choice at least to be asked about

    `DataError` where the table does not name units.
    """
    units = data.unit_codes
    rows = np.full((int(units.max(initial=-1)) + 1, size), -1)
    if not size:
        return rows
    if data.unit_origin != "column":
        raise DataError(f"{data.name}: the model reads earlier choices of a person, and no column names persons")
    names = [f"{unit}\x1f{choice}" for unit, choice in zip(data.units, data.choice_ids, strict=True)]
    order = np.lexsort((uniform(SALT, names), units))
    place = pd.Series(units[order]).groupby(units[order]).cumcount().to_numpy()
    spare = np.bincount(units)[units[order]] - 1
    kept = place < np.minimum(size, spare)
    rows[units[order][kept], place[kept]] = order[kept]
    return rows


def is_support(data: Dataset, size: int) -> np.ndarray:
    """`[n]` whether a choice is of some unit's support."""
    rows = support_rows(data, size)
    mask = np.zeros(data.n, bool)
    mask[rows[rows >= 0]] = True
    return mask


def support_sets(data: Any, coding: Coding, size: int, dtype: Any = np.float32) -> Choices | None:
    """Of every unit code its support, as `Choices` with leading axes `[U, S]`; weight 0 where there is none. Without
    attributes, twins and columns: a model reads what people chose, and not who they are. None for size 0."""
    if not size:
        return None
    rows = support_rows(data, size)
    flat = data.choices(coding, np.maximum(rows, 0).ravel(), dtype=dtype)
    flat = flat.replace(attributes={}, twins={}, columns={}, weight=np.asarray(rows.ravel() >= 0, dtype))
    return jax.tree.map(lambda leaf: np.asarray(leaf).reshape(*rows.shape, *leaf.shape[1:]), flat)
