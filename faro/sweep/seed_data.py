"""What each seed trains on: in memory or in shards on disk, weights in units of their mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from constraints import UNIT_SHARE, Choices, Constraint

from .. import models
from ..data import Dataset, Sharded
from ..data.coded import CodedShards
from ..data.draws import pool_of, questions_of
from ..data.sharded import cuts
from ..data.support import SupportRule, support_sets
from ..data.views import View
from ..errors import DataError
from ..training import Data


def in_memory(
    data: Any, view: View, needs: Any, model: models.Model, dtype: Any = np.float32, steps: bool = True
) -> Data:
    """What a seed trains on, on the host; `needs`: twins and columns; `steps`: where support is drawn anew, else it is
    fixed."""
    parts = [part for part in Data._fields if part in view.rows]
    chosen: dict[str, Any] = {part: choices_of(data, view.rows[part], view, needs, dtype) for part in parts}
    rule = SupportRule(model.support, data.schema.order)
    fixed = Data(**chosen, people=support_sets(data, view.coding, rule, dtype))
    if not rule.k or not steps:
        return fixed
    train, questions = choices_of(data, view.taught, view, needs, dtype), questions_of(data, rule, view.taught)
    if UNIT_SHARE in train.columns:
        share = np.asarray(train.columns[UNIT_SHARE] / questions.more[:, None], dtype)
        train = train.replace(columns={**train.columns, UNIT_SHARE: share})
    people = np.concatenate(
        [train.unit, *(twin.unit.ravel() for twin in train.twins.values() if twin.unit is not None)]
    )
    return fixed._replace(train=train, pool=pool_of(data, view.coding, rule, people, dtype), questions=questions)


def in_shards(data: Dataset | Sharded, view: View, constraint: Constraint, needs: Any, stream: bool | int) -> Data:
    """Train in shards on disk, those of a table in several files or so many; the rest in memory."""
    rows, options = view.rows["train"], {**constraint.needs(), "dtype": np.float32}
    count = None if stream is True else int(stream)
    shards = CodedShards(data, view.coding, cuts(data, rows, count), options, data.weight[rows].mean())
    return Data(shards, choices_of(data, view.rows["selection"], view, needs))


def choices_of(data: Dataset | Sharded, rows: np.ndarray, view: View, needs: Any, dtype: Any = np.float32) -> Choices:
    """These choices for training, weights in units of their mean: no statistic sees the unit, float32 would."""
    choices = data.choices(view.coding, rows, **needs, dtype=dtype)
    weight = data.weight[rows]
    return choices.replace(weight=np.asarray(weight / weight.mean(), choices.weight.dtype))


def check_weights(data: Dataset | Sharded, view: View) -> None:
    """`DataError` for a part in which nobody counts."""
    for part, rows in view.rows.items():
        if not data.weight[rows].sum() > 0:
            raise DataError(f"{data.name}, seed {view.seed}: every weight in the {part} part is 0; nobody counts there")
