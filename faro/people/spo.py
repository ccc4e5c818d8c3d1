"""SPO scaling after any model: rewards as chances of being preferred to what else there is, alike for everybody."""

from __future__ import annotations

import numbers
from typing import Any

import jax
import numpy as np

from ..data.split import uniform
from ..errors import DataError, UsageError
from ..models import SPO, Neighbours
from ..models.wrapped import layers
from ..store.model import TrainedModel

REFERENCES = 32
SALT = "faro spo 1"


def fit(model: TrainedModel, data: Any, references: int = REFERENCES) -> TrainedModel:
    """The model with its rewards as means of chances to be preferred to alternatives of train (`faro.models.SPO`).

    model: a trained model that is not randomised
    data: what it was trained on: a `Dataset`, a data frame, or the path of a table
    references: M >= 1, drawn by a hash of names

    `UsageError` for a randomised model, one with layers of an encoder or a memory of answers, or that reads attributes,
    or M below 1; `DataError` for other data than it was trained on, with an outside option, whose reward is 0, or with
    fewer alternatives.
    """
    model.check_one("spo")
    if model.model.own_layers or any(isinstance(own, SPO) for own in layers(model.model)):
        raise UsageError(f"spo: expected a model of coded features or arrays, got {type(model.model).__name__}")
    if any(isinstance(own, Neighbours) for own in layers(model.model)):
        raise UsageError(
            "spo: nobody in the model's memory was asked to compare with these alternatives, so what they said "
            "would be lost; scale the model that it was made of, then take neighbours"
        )
    if model.model.reads:
        raise UsageError(
            f"spo: the model reads {', '.join(model.model.reads)}, which pairs with alternatives of train do not tell; "
            "scale the model that it was made of, then calibrate by group"
        )
    if not isinstance(references, numbers.Integral) or references < 1:
        raise UsageError(f"spo: expected references of at least 1, a whole number, got {references!r}")
    table = model.own_data(data)
    if (table.parsed.outside & table.parsed.available).any():
        raise DataError(f"{table.name}: an outside option has the reward 0, below which no chance is")
    seed = model.about.get("seed", 0)
    rows, places = np.nonzero(np.asarray(table.parsed.inside)[table.rows(["train", "dual"], seed)])
    rows = table.rows(["train", "dual"], seed)[rows]
    if len(rows) < references:
        raise DataError(f"{table.name}: {references} references of {len(rows)} alternatives of train")
    names = [f"{table.units[row]}\x1f{table.choice_names[row]}\x1f{at}" for row, at in zip(rows, places, strict=True)]
    drawn = np.sort(np.argsort(uniform(SALT, names), kind="stable")[:references])
    items = table.choices(model.coding, rows[drawn]).items
    against = jax.tree.map(lambda leaf: np.asarray(leaf)[np.arange(references), places[drawn]], items)
    note = f"rewards are chances to be preferred to {references} alternatives of train (SPO), put on after training"
    made = SPO(model.model, references)
    return model.refitted(made, {"model": model.params, "against": against}, {"spo": references}, note)
