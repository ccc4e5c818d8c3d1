"""People as they would be: the same person, all of whose earlier choices are set to a level of an attribute.

    people     of U unit codes; behind them, for every level of every attribute whose twins rewrite history
               (`TwinSpec.history`), the same U people once more: code b U + u is person u in block b, 0 as they are
    as told    a choice that such a person made earlier is its own twin at that level; one that the attribute does not
               apply to stays what it is

So a twin through history is the question at a level, asked by the person at that level (`Twin.unit`), and whoever reads
earlier choices of people needs to know no more. Somebody is rewritten whole or not at all: who has made a choice
without a twin has none, however many choices a model reads.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from constraints import Choices, Twin
from faro.errors import DataError

from .coding import Coding
from .schema import Schema
from .twins import supported

if TYPE_CHECKING:
    from .dataset import Dataset


def blocks(schema: Schema) -> list[tuple[str, int]]:
    """(attribute, level) of every block of people behind those as they are.

    schema: whose twins may rewrite history
    """
    names = [twin.attribute for twin in schema.twins if twin.rewrites_history]
    return [(name, level) for name in names for level in range(len(schema.attribute(name).levels))]


def heads(data: Any) -> int:
    """U, how many unit codes there are.

    data: whose they are
    """
    return int(data.unit_codes.max(initial=-1)) + 1


def everybody(data: Any) -> np.ndarray:
    """`[(1 + blocks) U]` the codes of all people, as they are and as they would be.

    data: whose they are
    """
    return np.arange(heads(data) * (1 + len(blocks(data.schema))))


def whole(data: Dataset, name: str) -> np.ndarray:
    """`[U, L]` whether all choices of a unit code have a twin at a level, or none that the attribute applies to.

    data: whose choices they are
    name: of a chooser's attribute

    `DataError` where nobody's have.
    """
    applies = data.parsed.inside & (data.parsed.attributes[name] >= 0)
    there = (supported(data.schema, data.parsed, name) | ~applies[..., None]).all(1)
    found = np.ones((heads(data), there.shape[1]), bool)
    np.logical_and.at(found, data.unit_codes, there)
    if not found[np.unique(data.unit_codes)].all(1).any():
        raise DataError(
            f"{data.name}: twins of {name!r} rewrite history, and everybody has made a choice that has no twin; add "
            'those, or say history = "kept"'
        )
    return found


def of_histories(data: Dataset, twin: Twin, name: str, rows: Any) -> Twin:
    """The twin with the chooser at that level before, too, if it rewrites history; else itself.

    data: whose choices they are
    twin: of these choices
    name: of its attribute
    rows: indices of the choices; None: all
    """
    if not data.schema.twin(name).rewrites_history:
        return twin
    unit = data.unit_codes if rows is None else data.unit_codes[rows]
    first = 1 + blocks(data.schema).index((name, 0))
    people = unit[:, None] + heads(data) * (first + np.arange(twin.valid.shape[-1]))
    valid = twin.valid & data.rewritable(name)[unit][:, None]
    return dataclasses.replace(twin, valid=valid, unit=people.astype(np.int32))


def as_told(data: Dataset, coding: Coding, rows: np.ndarray, people: np.ndarray, dtype: Any) -> Choices:
    """These choices as the people who are asked made them.

    data: whose choices they are
    coding: learned from train
    rows: `[n]` indices
    people: `[n]` codes of whom each is read, as they are or would be; -1: nobody
    dtype: of coded features
    """
    choices = data.choices(coding, rows, dtype=dtype)
    block = people // max(heads(data), 1)  # of nobody -1
    for number, (name, level) in enumerate(blocks(data.schema), 1):
        applies: np.ndarray = np.any(data.parsed.inside & (data.parsed.attributes[name] >= 0), 1)
        where = np.flatnonzero((block == number) & applies[rows])
        if not len(where):
            continue
        twin = data.choices(coding, rows[where], twins=(name,), dtype=dtype).twins[name]
        for side, values, axis in (("items", twin.items, 2), ("context", twin.context, 1)):
            own = getattr(choices, side)
            if values is not None and own is not None:
                put = functools.partial(_put, where, level, axis)
                choices = choices.replace(**{side: jax.tree.map(put, own, values)})
    return choices


def _put(where: np.ndarray, level: int, axis: int, own: Any, at_levels: np.ndarray) -> np.ndarray:
    """An array with some rows at a level."""
    made = np.array(own)
    made[where] = np.take(at_levels, level, axis)
    return made
