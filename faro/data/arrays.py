"""What parsing makes of a table: arrays of one shape, `[n, K]` for alternatives and `[n]` for choosers."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from faro.errors import UsageError

from .mapped import Rows

MISSING = "(missing)"  # the level that missing categorical cells make when `on_missing` is "level"


@dataclasses.dataclass(frozen=True)
class Category:
    """`codes` index `texts`; -1 where there is no alternative."""

    codes: np.ndarray
    texts: np.ndarray

    def take(self, rows: Any) -> Category:
        return Category(self.codes[rows], self.texts)

    def used(self) -> Category:
        """The same with those texts alone that some entry has."""
        codes = np.unique(self.codes[self.codes >= 0])
        position = np.full(len(self.texts) + 1, -1)
        position[codes] = np.arange(len(codes))
        return Category(position[self.codes], self.texts[codes])

    def values(self) -> np.ndarray:
        """The texts, "" where there is none."""
        return np.append(self.texts, "").astype(object)[self.codes]


@dataclasses.dataclass(frozen=True)
class Features:
    """numeric name -> `[n, K]` (NaN = missing), categorical name -> `Category`, vectors name -> `[n, K, D]`, rows of a
    stored array among them; raw name -> rows `[n, K, ...]` that are handed out as they are.

    `live` says which entries exist; the others are never read. `incomplete`: numerics with a missing cell in the table.
    """

    live: np.ndarray
    numeric: dict[str, np.ndarray]
    categorical: dict[str, Category]
    vectors: dict[str, np.ndarray | Rows]
    incomplete: frozenset[str] = frozenset()
    raw: dict[str, Rows] = dataclasses.field(default_factory=dict)

    def take(self, rows: Any) -> Features:
        """The features of these choices."""
        return Features(
            self.live[rows],
            {name: values[rows] for name, values in self.numeric.items()},
            {name: category.take(rows) for name, category in self.categorical.items()},
            {name: values[rows] for name, values in self.vectors.items()},
            self.incomplete,
            {name: values[rows] for name, values in self.raw.items()},
        )

    def present(self, name: str) -> np.ndarray:
        """`[...]` whether there is a value of the feature, and not a missing cell."""
        if name in self.numeric:
            return ~np.isnan(self.numeric[name])
        if name in self.categorical:
            held = self.categorical[name].values()
            return (held != "") & (held != MISSING)
        values = self.vectors[name] if name in self.vectors else self.raw[name]
        return values.index >= 0 if isinstance(values, Rows) else np.logical_not(np.isnan(values).any(-1))

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.numeric, *self.categorical, *self.vectors, *self.raw)

    @property
    def stored(self) -> list[Rows]:
        """The features that are rows of stored arrays."""
        return [values for values in (*self.vectors.values(), *self.raw.values()) if isinstance(values, Rows)]


class Moved(NamedTuple):
    """What a twin sets at one level, of alternatives and of the chooser; `live` where there is such a twin."""

    items: Features
    context: Features

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.items.names, *self.context.names)

    def take(self, rows: Any) -> Moved:
        """The same of these choices."""
        return Moved(self.items.take(rows), self.context.take(rows))


@dataclasses.dataclass(frozen=True)
class Parsed:
    """n choices as arrays: what a `Dataset` codes. `alternatives [n, K]` are names ("" = none); `attributes`:
    name -> codes `[n, K]`, -1 = does not apply; `shared`: name -> texts `[n, K]` of columns that units share; `chosen`
    is None without labels, `margin [n]` without its column; `source [n, K]`: row of the given table, -1 = none;
    `twins`: attribute -> at every level what the table sets features to, if it sets any."""

    choice_ids: np.ndarray
    alternatives: np.ndarray
    available: np.ndarray
    outside: np.ndarray
    chosen: np.ndarray | None
    weight: np.ndarray
    units: np.ndarray | None
    log_ref: np.ndarray | None
    attributes: dict[str, np.ndarray]
    shared: dict[str, np.ndarray]
    items: Features
    context: Features
    source: np.ndarray
    dropped: int
    margin: np.ndarray | None = None
    twins: dict[str, tuple[Moved, ...]] = dataclasses.field(default_factory=dict)

    @property
    def inside(self) -> np.ndarray:
        """`[n, K]` alternatives that exist and are not the outside option."""
        return self.available & ~self.outside


def select(parsed: Parsed, rows: Any) -> Parsed:
    """These choices only."""
    if not len(rows):
        raise UsageError("expected at least one choice, got none")
    changes = {}
    for field in dataclasses.fields(parsed):
        value = getattr(parsed, field.name)
        if isinstance(value, np.ndarray):
            changes[field.name] = value[rows]
        elif isinstance(value, Features):
            changes[field.name] = value.take(rows)
        elif field.name == "twins":
            changes[field.name] = {
                name: tuple(at_level.take(rows) for at_level in levels) for name, levels in value.items()
            }
        elif isinstance(value, dict):
            changes[field.name] = {name: codes[rows] for name, codes in value.items()}
    return dataclasses.replace(parsed, **changes)


def widened(parsed: Parsed, k: int) -> Parsed:
    """The same among k alternatives: those beyond its own are not there."""
    n, width = parsed.available.shape
    if width == k:
        return parsed

    def grown(values: np.ndarray, fill: Any) -> np.ndarray:
        return np.concatenate([values, np.full((n, k - width, *values.shape[2:]), fill, values.dtype)], 1)

    def placed(values: np.ndarray | Rows) -> np.ndarray | Rows:
        return Rows(values.of, grown(values.index, -1)) if isinstance(values, Rows) else grown(values, 0)

    def features(of: Features) -> Features:
        return Features(
            grown(of.live, False),
            {name: grown(values, np.nan) for name, values in of.numeric.items()},
            {name: Category(grown(category.codes, -1), category.texts) for name, category in of.categorical.items()},
            {name: placed(values) for name, values in of.vectors.items()},
            of.incomplete,
            {name: Rows(rows.of, grown(rows.index, -1)) for name, rows in of.raw.items()},
        )

    return dataclasses.replace(
        parsed,
        alternatives=grown(parsed.alternatives, ""),
        available=grown(parsed.available, False),
        outside=grown(parsed.outside, False),
        chosen=None if parsed.chosen is None else grown(parsed.chosen, 0),
        log_ref=None if parsed.log_ref is None else grown(parsed.log_ref, 0),
        attributes={name: grown(codes, -1) for name, codes in parsed.attributes.items()},
        shared={name: grown(texts, "") for name, texts in parsed.shared.items()},
        items=features(parsed.items),
        source=grown(parsed.source, -1),
        twins={
            name: tuple(moved._replace(items=features(moved.items)) for moved in levels)
            for name, levels in parsed.twins.items()
        },
    )
