"""Support: a few earlier choices of every person, which a model may read before it is asked about the others.

    support   the first k choices of the person: the earliest, by the column of `Schema.order`; without one in an order
              that the names of person and choices fix, item after item
    query     a choice that shares nothing with the person's support (`faro.data.items.touched`) and, with an order, is
              later than all of it
    neither   the rest: such rows straddle the two, and count nowhere

Items are dealt before rows. Without an order every item that several rows touch has a hash, and a row stands where the
last of its items does: so the first rows are those among the first few items, and many others remain whole. Support is
cut short where nothing would be left to be asked. No order of rows, no seed and nobody else's rows move it: a choice
that no column names is called by what it asks. Memory is linear in rows. Support never counts as a question, in
whatever part: what a model was told is no evidence about it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
import pandas as pd

from constraints import Choices
from faro.errors import DataError

from .coding import Coding
from .history import as_told, everybody
from .items import codes, touched
from .split import uniform

if TYPE_CHECKING:
    from .dataset import Dataset

SALT = "faro support 1"
QUERY, SUPPORT, NEITHER = ROLES = ("query", "support", "neither")
BITS = 2**53  # of a hash


@dataclasses.dataclass(frozen=True)
class SupportRule:
    """Which choices of a person are support.

    k: at most so many, >= 0
    order: the column that says which came first; "": by a hash of names
    """

    k: int
    order: str = ""

    def __str__(self) -> str:
        how = f"the earliest by {self.order}" if self.order else "by a hash of names"
        return f"{self.k} choices of the person, {how}; what shares an item with them is not asked"


class Turns(NamedTuple):
    """The choices of every person in the order in which they are support, whatever k is.

    place: `[n]` 0, 1, 2 ... among the person's
    before: `[n]` how many of the person's are before it in time; without an order all count as that
    first: `[n]` the least place of a row that shares something with it: it can be asked after so many rows of support
    things: `[n, T]` codes of what it touches, of one person each; -1 = none
    """

    place: np.ndarray
    before: np.ndarray
    first: np.ndarray
    things: np.ndarray


def turns_of(data: Dataset) -> Turns:
    """The order of choices within people.

    data: whose column names people, and says what was chosen

    `DataError` where it does not.
    """
    if data.unit_origin != "column":
        raise DataError(f"{data.name}: the model reads earlier choices of a person, and no column names persons")
    if not data.labelled:
        raise DataError(
            f"{data.name}: the model reads earlier choices of a person, and no column says what was chosen; add labels"
        )
    person, when = data.unit_codes.astype(np.int64), data.when
    groups, start = [], 0
    for kind in touched(data.parsed, person, data.crossed_codes):
        width = int(kind.max(initial=-1)) + 1
        own = codes(np.where(kind < 0, -1, person[:, None] * width + kind))
        own -= int((kind < 0).any())  # what is not there comes first
        groups.append(np.where(own < 0, -1, own + start))
        start += int(own.max(initial=-1)) + 1
    things = np.concatenate(groups, 1)
    names = [f"{unit}\x1f{choice}" for unit, choice in zip(data.units, data.choice_names, strict=True)]
    chance = uniform(SALT, names)
    turn = _item_after_item(things, chance, start) if when is None else when
    order = np.lexsort((chance, turn, person))
    place = np.empty(data.n, np.int64)
    place[order] = pd.Series(order).groupby(person[order]).cumcount()
    first = _least(things, place, start, data.n).min(1)
    before = np.full(data.n, data.n)
    if when is not None:
        same_time = codes(person * (int(codes(when).max()) + 1) + codes(when))
        least = np.full(int(same_time.max()) + 1, data.n)
        np.minimum.at(least, same_time, place)
        before = least[same_time]
    return Turns(place, before, np.minimum(first, before), things)


def _item_after_item(things: np.ndarray, chance: np.ndarray, size: int) -> np.ndarray:
    """`[n]` the last hash of the items of a row that other rows touch as well, else its own: that of an item is the sum
    of its rows', which is spread as they are."""
    often = np.bincount(things[things >= 0], minlength=size)
    sums = np.zeros(size, np.uint64)  # whole numbers: no order of rows moves them
    for column in things.T:
        np.add.at(sums, column[column >= 0], (chance[column >= 0] * BITS).astype(np.uint64))
    of_things = (sums % np.uint64(BITS)) / BITS
    last = np.where((things >= 0) & (often[things] > 1), of_things[things], -1).max(1)
    return np.where(last < 0, chance, last)


def _least(things: np.ndarray, values: np.ndarray, size: int, most: Any) -> np.ndarray:
    """`[n, T]` the least value of all rows that touch the same thing; `most` where there is none."""
    found = np.full(size + 1, most, values.dtype)
    for column in things.T:
        np.minimum.at(found, np.where(column < 0, size, column), values)
    found[size] = most
    return found[np.where(things < 0, size, things)]


def support_sizes(data: Dataset, rule: SupportRule) -> np.ndarray:
    """`[U]` how many choices of each unit code are support: k, or as many as leave a question.

    data: whose choices they are
    rule: with k
    """
    units, first = data.unit_codes, data.turns.first
    most = np.zeros(int(units.max(initial=-1)) + 1, np.int64)
    np.maximum.at(most, units, first)
    return np.minimum(most, rule.k)


def roles(data: Dataset, rule: SupportRule) -> np.ndarray:
    """`[n]` "query", "support" or "neither".

    data: whose choices they are
    rule: which are support
    """
    size = support_sizes(data, rule)[data.unit_codes]
    turns = data.turns
    found = np.where(turns.first >= size, QUERY, NEITHER).astype(object)
    found[turns.place < size] = SUPPORT
    return found


def support_rows(data: Dataset, rule: SupportRule, width: int | None = None) -> np.ndarray:
    """`[U, S]` indices of the first choices of each unit code, -1 where it has none.

    data: whose choices they are
    rule: which are support
    width: S, so many of them, support or not; None: the k of support alone
    """
    size = support_sizes(data, rule)
    rows = np.full((len(size), rule.k if width is None else width), -1)
    place, units = data.turns.place, data.unit_codes
    kept = np.flatnonzero(place < (size[units] if width is None else width))
    rows[units[kept], place[kept]] = kept
    return rows


def support_sets(data: Any, coding: Coding, rule: SupportRule, dtype: Any = np.float32) -> Choices | None:
    """Of every unit code its support, as `Choices` with leading axes `[V, k]`; weight 0 where there is none. Without
    attributes, twins and columns: a model reads what people chose, and not who they are. Behind the U people as they
    are stand those whose history twins rewrite (`faro.data.history`). None for k = 0.

    data: whose choices they are
    coding: learned from train
    rule: which are support
    dtype: of coded features
    """
    return sets_of(data, coding, support_rows(data, rule), everybody(data), dtype) if rule.k else None


def sets_of(data: Any, coding: Coding, rows: np.ndarray, people: np.ndarray, dtype: Any = np.float32) -> Choices:
    """Some choices of these people, as `support_sets` has them.

    data: whose choices they are
    coding: learned from train
    rows: `[U, S]` indices of every unit code, -1 = none
    people: `[V]` unit codes, with those of `faro.data.history`; -1 = nobody
    dtype: of coded features
    """
    rows = np.concatenate([rows, np.full((1, rows.shape[1]), -1)])[np.where(people < 0, len(rows), people % len(rows))]
    whose = np.repeat(people, rows.shape[1])
    flat = as_told(data, coding, np.maximum(rows, 0).ravel(), whose, dtype)
    flat = flat.replace(attributes={}, twins={}, columns={}, weight=np.asarray(rows.ravel() >= 0, dtype))
    return jax.tree.map(lambda leaf: np.asarray(leaf).reshape(*rows.shape, *leaf.shape[1:]), flat)
