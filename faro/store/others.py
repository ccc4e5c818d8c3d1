"""Rewards of another model as a column of the choices: an aggregate against which a constraint measures.

The other model is fitted before, to the same train rows, and is part of what a seed learned from train, as its means
and levels are (`Coding.made`). It is stored with whatever was trained against it, and never fitted again.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from constraints import UNIT_SHARE, Choices
from constraints.alternatives import joined

from .. import models
from ..data import Coding, Dataset
from ..data.made import Made, UnitShare
from .coefficients import CODING
from .parameters import named, nested
from .spec import from_record, to_record

OTHERS = "other:"  # what names of tensors of other models begin with


@dataclasses.dataclass(frozen=True, eq=False)
class Rewards:
    """The rewards of a model that is no part of what is trained.

    model: the configuration; one that reads nothing of a person's earlier choices
    params: its parameters
    """

    model: models.Model
    params: Any

    def __call__(self, data: Dataset, choices: Choices, rows: Any) -> np.ndarray:
        params = jax.tree.map(lambda leaf: np.asarray(leaf, choices.weight.dtype), self.params)
        return np.asarray(_rewards(self.model, params, choices))

    def sha256(self, coding: Coding) -> str:
        """Of all that its rewards depend on: model, parameters and coding."""
        arrays = {f"{CODING}{name}": np.asarray(array, order="C") for name, array in coding.arrays().items()}
        parts = [json.dumps([to_record(self.model), coding.to_dict()], sort_keys=True).encode()]
        parts += [safetensors.numpy.save(named(self.params) | arrays)]
        return hashlib.sha256("".join(hashlib.sha256(part).hexdigest() for part in parts).encode()).hexdigest()


@functools.partial(jax.jit, static_argnames="model")
def _rewards(model: models.Model, params: Any, choices: Choices) -> Any:
    """Rewards `[n, K]`, those of the outside option 0 by convention."""

    def of_slice(seen: models.Seen, outcome: Any, some: Choices, rows: Any) -> Any:
        scores = joined(seen.scores)
        return scores - jnp.sum(jnp.where(some.outside & some.available, scores, 0), -1, keepdims=True)

    return models.evaluate(model, params, choices, each=of_slice)[1]


def others(coding: Coding) -> dict[str, Rewards]:
    """The columns that other models make, by name.

    coding: what a seed learned from train
    """
    return {name: made for name, made in coding.made.items() if isinstance(made, Rewards)}


def digests(coding: Coding) -> dict[str, str]:
    """Column -> digest of the model that makes it.

    coding: what a seed learned from train
    """
    return {name: rewards.sha256(coding) for name, rewards in others(coding).items()}


def stored(coding: Coding) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The other models as data, by column, and their parameters by the names of tensors.

    coding: what a seed learned from train
    """
    records: dict[str, Any] = {}
    tensors: dict[str, np.ndarray] = {}
    for name, rewards in others(coding).items():
        records[name] = to_record(rewards.model)
        tensors |= {f"{OTHERS}{name}/{own}": leaf for own, leaf in named(rewards.params).items()}
    return records, tensors


def read(records: Mapping[str, Any], tensors: dict[str, np.ndarray], coding: Coding) -> dict[str, Made]:
    """What `stored` said; their tensors are taken out of `tensors`.

    records: the other models as data, by column
    tensors: all of the file, by name
    coding: what a seed learned from train

    `DataError` or `UsageError` as for a model's own file.
    """
    made: dict[str, Made] = {}
    for name, record in records.items():
        begins = f"{OTHERS}{name}/"
        own = {key.removeprefix(begins): tensors.pop(key) for key in [*tensors] if key.startswith(begins)}
        model = from_record(record, "model")
        made[name] = Rewards(model, nested(own, model, coding))
    return made


def with_made(coding: Coding, support: int, made: Mapping[str, Made]) -> Coding:
    """The coding with these columns, and the share of a unit.

    coding: what a seed learned from train
    support: choices of a person that the model reads first
    made: by name of the column
    """
    return dataclasses.replace(coding, made={UNIT_SHARE: UnitShare(support), **made})
