"""Somebody else in a person's place: who that is, and what the choice is then.

    pairs     people of a part two by two, as `faro.units.two_by_two` has them; of an odd number one has nobody
    exchanged the same question, asked by the partner: the partner's earlier choices (`Twin.unit`), code among known
              people, and those features of the context that vary within no person of train (`Coding.people`)

Pairs share nobody, so what is measured of one is independent of another; with every pair of people it would not be.
Neither order of rows, nor other parts, nor which rows are read move them; those of the gate part no seed moves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from constraints import Twin
from faro.errors import DataError
from faro.units import pair_name, two_by_two

from .coding import Coding
from .specs import FEATURES
from .split import assign

if TYPE_CHECKING:
    from .dataset import Dataset


def partners(data: Dataset, seed: int) -> np.ndarray:
    """`[U]` of every unit code that of the partner, -1: nobody.

    data: whose column names people
    seed: of the split

    `DataError` where no column does.
    """
    if data.unit_origin != "column":
        raise DataError(f"{data.name}: somebody else takes a person's place, and no column names persons")
    codes, first = np.unique(data.unit_codes, return_index=True)
    part, names = assign(data.placement, seed)[first], [str(data.units[row]) for row in first]
    code_of = dict(zip(names, codes, strict=True))
    found = np.full(int(codes.max(initial=-1)) + 1, -1)
    for own in np.unique(part):
        for both in two_by_two(name for name, place in zip(names, part, strict=True) if place == own):
            one, other = code_of[both[0]], code_of[both[-1]]
            found[one], found[other] = (other, one) if len(both) == 2 else (-1, -1)
    return found


def pair_names(data: Dataset, seed: int) -> np.ndarray:
    """`[n]` the name of the pair of every choice's person (`faro.units.pair_name`).

    data: whose column names people
    seed: of the split
    """
    codes, first = np.unique(data.unit_codes, return_index=True)
    names = np.full(int(codes.max(initial=-1)) + 1, "", object)
    names[codes] = [str(data.units[row]) for row in first]
    partner = partners(data, seed)
    both = np.array(
        [pair_name((name,) if other < 0 else (name, names[other])) for name, other in zip(names, partner, strict=True)],
        object,
    )
    return both[data.unit_codes]


def exchanged(data: Dataset, coding: Coding, rows: Any, context: Any, dtype: Any) -> Twin:
    """The `Twin` in which the partner of each choice's person is the chooser.

    data: whose choices they are
    coding: learned from train, whose seed says who is in which part
    rows: indices of the choices
    context: what models read of it, `[n, c]` or a dict of that and of raw arrays, or None
    dtype: of coded features
    """
    rows = np.arange(data.n)[slice(None) if rows is None else rows]
    partner = partners(data, coding.seed)[data.unit_codes[rows]]
    there, other = partner >= 0, np.where(partner >= 0, partner, data.unit_codes[rows])
    first = np.zeros(int(data.unit_codes.max(initial=-1)) + 1, np.intp)
    seen, at = np.unique(data.unit_codes, return_index=True)
    first[seen] = at
    parsed = data.parsed
    valid = (parsed.inside[rows] & there[:, None])[..., None]
    index = None if coding.units is None else coding.units.codes(data.units[first[other]])[:, None]
    moved = None if context is None else _of_partner(data, coding, context, first[other], dtype)
    return Twin(valid=valid, context=moved, unit=other[:, None], unit_index=index)


def of_people(data: Dataset, coding: Coding) -> tuple[str, ...]:
    """The features of the context that are of people, the others being of what is asked: those that vary within no
    person of train, where the coding says so, else of this table.

    data: whose column names people
    coding: learned from train

    `DataError` where there is context and nobody made two choices: then no feature varies within anybody.
    """
    if coding.people is not None:
        return coding.people
    context = data.parsed.context
    if context.names and np.bincount(data.unit_codes).max(initial=0) < 2:
        which = ", ".join(context.names)[:80]
        raise DataError(
            f"{data.name}: nobody made two choices, so which of {which} are of people and which of what is asked "
            "cannot be told; read it together with people who made several"
        )
    return data.of_people


def _of_partner(data: Dataset, coding: Coding, context: Any, theirs: np.ndarray, dtype: Any) -> Any:
    """The context `[n, 1, ...]` with what is of people from these rows."""
    block = coding.context
    features = data.parsed.context.take(theirs)
    other = block.tree(block.transform(features, dtype), features)
    raw = {part.name for part in block.raw}
    tree = context if isinstance(context, dict) else {"": context}
    source = other if isinstance(other, dict) else {"": other}
    moved = {part: np.array(values) for part, values in tree.items()}
    for name in of_people(data, coding):
        if name in raw:
            moved[name] = source[name]
        else:
            _, where = block.only(name)
            part = "" if "" in moved else FEATURES
            moved[part][..., where] = source[part][..., where]
    found = jax.tree.map(lambda values: values[:, None], moved)
    return found if isinstance(context, dict) else found[""]
