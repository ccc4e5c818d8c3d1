"""Features as numbers, learned from the training rows alone: means and spreads, levels, and what was never seen."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from faro.errors import DataError

from .arrays import Features

CODED = 2**28  # entries of levels in one array: 1 GiB in single precision


@dataclasses.dataclass(frozen=True)
class Number:
    """(x - mean) / scale; missing is 0, plus an indicator column if `indicator`."""

    name: str
    mean: float
    scale: float
    indicator: bool


@dataclasses.dataclass(frozen=True)
class Levels:
    """One column per level of the table, so that codings of one table have one shape; any level that is not among
    `seen`, those of the fit rows, is all zeros."""

    name: str
    levels: tuple[str, ...]
    seen: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Vector:
    """(x - mean) / scale per dimension."""

    name: str
    mean: tuple[float, ...]
    scale: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Block:
    """The coding of one set of features (the items', or the context's): columns `names`, in this order."""

    numbers: tuple[Number, ...] = ()
    levels: tuple[Levels, ...] = ()
    vectors: tuple[Vector, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Name of every column: "time", "time=(missing)", "colour=red", "text[0]"."""
        out = []
        for number in self.numbers:
            out += [number.name] + ([f"{number.name}=(missing)"] if number.indicator else [])
        for part in self.levels:
            out += [f"{part.name}={level}" for level in part.levels]
        for vector in self.vectors:
            out += [f"{vector.name}[{d}]" for d in range(len(vector.mean))]
        return tuple(out)

    @property
    def features(self) -> tuple[str, ...]:
        """Columns of the table that are coded."""
        names = [number.name for number in self.numbers] + [part.name for part in self.levels]
        return (*names, *(vector.name for vector in self.vectors))

    def columns(self, name: str) -> slice:
        """Where the levels of a categorical feature lie."""
        start = sum(1 + number.indicator for number in self.numbers)
        for part in self.levels:
            if part.name == name:
                return slice(start, start + len(part.levels))
            start += len(part.levels)
        raise KeyError(name)

    @classmethod
    def fit(cls, features: Features) -> Block:
        """Learned from the live entries of these features only."""
        live = features.live
        numbers, levels, arrays = [], [], []
        for name, values in features.numeric.items():
            seen = values[live]
            absent = np.isnan(seen)
            mean, scale = _moments(seen[~absent][:, None])
            numbers.append(Number(name, float(mean[0]), float(scale[0]), name in features.incomplete))
        for name, category in features.categorical.items():
            texts = np.asarray(category.texts, object)
            seen = {str(texts[code]) for code in np.unique(category.codes[live]) if code >= 0}
            levels.append(Levels(name, tuple(sorted(map(str, texts))), tuple(sorted(seen))))
        for name, values in features.vectors.items():
            mean, scale = _moments(values[live])
            arrays.append(Vector(name, tuple(mean.tolist()), tuple(scale.tolist())))
        return cls(tuple(numbers), tuple(levels), tuple(arrays))

    def transform(self, features: Features, dtype: Any = np.float32) -> np.ndarray:
        """`[..., F]` the coded features; zeros where nothing is live."""
        live = features.live
        self.check_size(live.size)
        out = np.zeros((*live.shape, len(self.names)), dtype)
        column = 0
        for number in self.numbers:
            values = features.numeric[number.name]
            absent = np.isnan(values)
            coded = (np.where(absent, 0.0, values) - number.mean) / number.scale
            coded = np.where(absent | ~live, 0.0, coded)
            if (largest := np.abs(coded).max(initial=0.0)) > np.finfo(dtype).max / 2:
                raise DataError(f"feature {number.name!r}: a value is {largest:.3g} spreads from the mean; rescale it")
            out[..., column] = coded
            if number.indicator:
                out[..., column + 1] = absent & live
            column += 1 + number.indicator
        for part in self.levels:
            width = len(part.levels)
            codes = np.where(live, self.codes(part, features), -1)
            held = np.nonzero(codes >= 0)
            out[(*held, column + codes[held])] = 1
            column += width
        for vector in self.vectors:
            values, width = features.vectors[vector.name], len(vector.mean)
            if values.shape[-1] != width:
                raise DataError(f"feature {vector.name!r}: expected vectors of length {width}, got {values.shape[-1]}")
            coded = (values - np.asarray(vector.mean)) / np.asarray(vector.scale)
            out[..., column : column + width] = np.where(live[..., None], coded, 0.0)
            column += width
        return out

    def check_size(self, entries: int) -> None:
        """`DataError` naming the widest feature if levels of so many alternatives would take more than `CODED`."""
        widths = {part.name: len(part.levels) for part in self.levels}
        if entries * sum(widths.values()) > CODED:
            name = max(widths, key=widths.__getitem__)
            raise DataError(
                f"feature {name!r} has {widths[name]} levels: a column for each, in {entries} rows, is more than "
                f"{CODED * 4 / 2**30:g} GiB; join rare levels, or give it as numbers or vectors"
            )

    def check_known(self, features: Features) -> None:
        """`DataError` if a categorical feature has no level at all that the fit rows held: another spelling, not new
        people."""
        for part in self.levels:
            category, codes = features.categorical[part.name], self.codes(part, features)
            if features.live.any() and (codes[features.live] < 0).all():
                got = ", ".join(sorted({str(category.texts[c]) for c in category.codes[features.live] if c >= 0})[:5])
                known = ", ".join(part.seen[:10]) + (", ..." if len(part.seen) > 10 else "")
                raise DataError(
                    f"column {part.name!r}: no cell has a level that the model knows; got: {got}; known: {known}"
                )

    @staticmethod
    def codes(part: Levels, features: Features) -> np.ndarray:
        """Index of every entry's level, -1 if it was never seen."""
        category = features.categorical[part.name]
        seen = set(part.seen)
        position = {level: i for i, level in enumerate(part.levels) if level in seen}
        known = np.array([*(position.get(str(value), -1) for value in category.texts), -1])
        return known[category.codes]

    def unseen(self, features: Features) -> dict[str, int]:
        """Feature -> live entries that the fit rows never held: new levels, or missing numbers without an indicator."""
        counts = {}
        for number in self.numbers:
            absent = 0 if number.indicator else int((np.isnan(features.numeric[number.name]) & features.live).sum())
            counts[number.name] = absent
        for part in self.levels:
            counts[part.name] = int(((self.codes(part, features) < 0) & features.live).sum())
        return {name: count for name, count in counts.items() if count}


@dataclasses.dataclass(frozen=True)
class Coding:
    """How items and context become numbers. Fitted on given rows, stored with a model, applied to any rows."""

    items: Block
    context: Block

    @property
    def features(self) -> tuple[str, ...]:
        """Columns that are coded, items' first."""
        return (*self.items.features, *self.context.features)

    @classmethod
    def fit(cls, items: Features, context: Features) -> Coding:
        """From the features of the train rows; nothing else can influence it."""
        return cls(Block.fit(items), Block.fit(context))

    def transform(self, items: Features, context: Features, dtype: Any = np.float32) -> tuple[np.ndarray, np.ndarray]:
        """(items `[n, K, F]`, context `[n, C]`)."""
        return self.items.transform(items, dtype), self.context.transform(context, dtype)

    def check_known(self, items: Features, context: Features) -> None:
        """`DataError` naming a column whose levels were all never seen by the fit rows."""
        self.items.check_known(items)
        self.context.check_known(context)

    def unseen(self, items: Features, context: Features) -> dict[str, int]:
        """Feature -> entries with a level that the fit rows never held; they are coded as zeros."""
        return {**self.items.unseen(items), **self.context.unseen(context)}

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, dicts, numbers and strings."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """One line of JSON; floats round-trip exactly."""
        return json.dumps(self.to_dict(), sort_keys=True, allow_nan=False)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Coding:
        """The coding that `to_dict` described, also after a trip through JSON."""
        return cls(_block(values["items"]), _block(values["context"]))

    @classmethod
    def from_json(cls, line: str) -> Coding:
        """The coding that `to_json` wrote."""
        return cls.from_dict(json.loads(line))


def _block(values: Mapping[str, Any]) -> Block:
    """`ValueError` for values that `to_dict` never wrote."""
    block = Block(
        tuple(Number(**number) for number in values["numbers"]),
        tuple(Levels(part["name"], tuple(part["levels"]), tuple(part["seen"])) for part in values["levels"]),
        tuple(Vector(v["name"], tuple(v["mean"]), tuple(v["scale"])) for v in values["vectors"]),
    )
    texts = [*block.features, *(level for part in block.levels for level in (*part.levels, *part.seen))]
    moments = [*((n.mean, n.scale) for n in block.numbers)]
    moments += [pair for vector in block.vectors for pair in zip(vector.mean, vector.scale, strict=True)]
    floats = [x for pair in moments for x in pair]
    if not all(isinstance(text, str) for text in texts) or not all(type(n.indicator) is bool for n in block.numbers):
        raise ValueError("coding: expected texts as names and levels")
    if not all(type(x) in (int, float) and math.isfinite(x) for x in floats) or any(scale <= 0 for _, scale in moments):
        raise ValueError("coding: expected finite means and scales above 0")
    return block


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread `[D]` of rows `[N, D]`; a spread of nothing but rounding is 1."""
    if not len(values):
        return np.zeros(values.shape[1]), np.ones(values.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = values.mean(0), values.std(0)
    if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
        raise DataError("a feature has values too large to standardise (beyond 1e150); rescale it")
    return mean, np.where(scale <= 1e-12 * np.abs(mean), 1.0, scale)
