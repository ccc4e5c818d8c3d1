"""Features as numbers, learned from the training rows alone: means and spreads, levels, and what was never seen.

A coding is stored in two pieces: `to_dict`, names and what is said once per feature, as JSON, and `arrays`, what grows
with the width of a feature or the number of units, as named arrays.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
import numpy as np

from faro.errors import DataError

from .arrays import Features
from .made import Made
from .mapped import BLOCK, Rows
from .schema import Schema
from .specs import FEATURES
from .tally import Lengths, Moments, Tally, basis
from .vocabulary import Vocabulary

CODED = 2**28  # entries of levels in one array: 1 GiB in single precision


@dataclasses.dataclass(frozen=True)
class Number:
    """(x - mean) / scale; missing is 0, plus an indicator column if `indicator`."""

    name: str
    mean: float
    scale: float
    indicator: bool

    @property
    def columns(self) -> int:
        """How many columns it is coded in."""
        return 1 + self.indicator


@dataclasses.dataclass(frozen=True)
class Levels:
    """One column per level of the table, so that codings of one table have one shape; any level that is not among
    `seen`, those of the fit rows, is all zeros."""

    name: str
    levels: tuple[str, ...]
    seen: tuple[str, ...]

    @property
    def columns(self) -> int:
        """How many columns it is coded in."""
        return len(self.levels)


@dataclasses.dataclass(frozen=True, eq=False)
class Vector:
    """(x - mean) / scale of vectors of `width` numbers: `mean` and `scale` are `[width]`, or one number for all. Where
    length is `removed [3, width]`, the mean is that of texts of the same length, by these weights of `tally.basis`."""

    name: str
    width: int
    mean: np.ndarray
    scale: np.ndarray
    removed: np.ndarray | None = None

    @property
    def columns(self) -> int:
        """How many columns it is coded in."""
        return self.width

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vector) or (self.name, self.width) != (other.name, other.width):
            return False
        mine, theirs = ((of.mean, of.scale, () if of.removed is None else of.removed) for of in (self, other))
        return all(np.array_equal(one, another) for one, another in zip(mine, theirs, strict=True))

    @classmethod
    def fit(cls, name: str, moments: Moments, scaling: str, lengths: Lengths | None = None) -> Vector:
        """Of the moments of its columns; `scaling` as in `faro.data.specs.ArraySpec`, `lengths` where length goes."""
        removed = None
        if lengths is not None:
            removed, moments = lengths.projection()
        _, mean, spread = moments
        if scaling == "none":
            return cls(name, len(mean), np.zeros(()), np.ones(()), removed)
        scale = _apart_from_0(mean, spread) if scaling == "each" else _joint(mean, spread)
        return cls(name, len(mean), mean, scale, removed)

    def centred(self, values: np.ndarray, given: np.ndarray | Rows) -> np.ndarray:
        """`[..., width]` in float64 less their mean; `given` are the same before they were read."""
        values = values.astype(np.float64, copy=False) - self.mean
        if self.removed is None:
            return values
        if not isinstance(given, Rows):
            raise DataError(f"feature {self.name!r}: length was removed in training; expected texts, got vectors")
        return values - basis(given.tokens) @ self.removed


@dataclasses.dataclass(frozen=True)
class Raw:
    """An array that is handed out as it is: rows of this shape and dtype; an axis of 0 is as long as a table needs."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    def fits(self, shape: tuple[int, ...], dtype: str) -> bool:
        """Whether rows of this shape and dtype are such."""
        if dtype != self.dtype or len(shape) != len(self.shape):
            return False
        return all(own in (0, size) for own, size in zip(self.shape, shape, strict=True))


@dataclasses.dataclass(frozen=True)
class Block:
    """The coding of one set of features (the items', or the context's): columns `names`, in this order."""

    numbers: tuple[Number, ...] = ()
    levels: tuple[Levels, ...] = ()
    vectors: tuple[Vector, ...] = ()
    raw: tuple[Raw, ...] = ()

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """Name of every column: "time", "time=(missing)", "colour=red", "text[0]"."""
        out = []
        for number in self.numbers:
            out += [number.name] + ([f"{number.name}=(missing)"] if number.indicator else [])
        for part in self.levels:
            out += [f"{part.name}={level}" for level in part.levels]
        for vector in self.vectors:
            out += [f"{vector.name}[{d}]" for d in range(vector.width)]
        return tuple(out)

    @property
    def summary(self) -> list[str]:
        """The same in few words: "text[0:384]"."""
        wide = sum(vector.width for vector in self.vectors)
        vectors = [f"{vector.name}[0:{vector.width}]" for vector in self.vectors]
        return [*self.names[: len(self.names) - wide], *vectors, *(part.name for part in self.raw)]

    @property
    def features(self) -> tuple[str, ...]:
        """Features that are coded or handed out."""
        coded: tuple[Number | Levels | Vector | Raw, ...] = (*self.numbers, *self.levels, *self.vectors, *self.raw)
        return tuple(part.name for part in coded)

    def only(self, name: str) -> tuple[Block, slice]:
        """(the coding of one coded feature alone, where its columns lie)."""
        start = 0
        for kind in ("numbers", "levels", "vectors"):
            for part in getattr(self, kind):
                if part.name == name:
                    return Block(**{kind: (part,)}), slice(start, start + part.columns)
                start += part.columns
        raise KeyError(name)

    @classmethod
    def fit(cls, tally: Tally, scaling: Mapping[str, str] = MappingProxyType({})) -> Block:
        """Learned from a tally of the live entries of features, and from nothing else; `scaling`: that of arrays, by
        name."""
        numbers = []
        for name, (_, mean, spread) in tally.numbers.items():
            scale = _apart_from_0(mean, spread)
            numbers.append(Number(name, float(mean[0]), float(scale[0]), name in tally.incomplete))
        levels = [
            Levels(name, tuple(sorted(levels)), tuple(sorted(tally.seen[name])))
            for name, levels in tally.levels.items()
        ]
        vectors = [
            Vector.fit(name, moments, scaling.get(name, "each"), tally.lengths.get(name))
            for name, moments in tally.vectors.items()
        ]
        raw = [Raw(name, *shape_and_dtype) for name, shape_and_dtype in tally.raw.items()]
        return cls(tuple(numbers), tuple(levels), tuple(vectors), tuple(raw))

    def tree(self, coded: np.ndarray, features: Features) -> Any:
        """What a model reads: `coded`, the outcome of `transform` `[..., F]`; where arrays are raw, a dict of it (as
        "features", if there are any) and of them, by name, in their own dtype, 0 where nothing is live."""
        if not self.raw:
            return coded
        there = {FEATURES: coded} if coded.shape[-1] else {}
        for part in self.raw:
            rows = features.raw[part.name]
            if not part.fits(rows.of.row, str(rows.of.dtype)):
                expected, got = f"{part.dtype} {list(part.shape)}", f"{rows.of.dtype} {list(rows.of.row)}"
                raise DataError(f"{rows.of.where}: expected rows of {expected}, as in training, got {got}")
            there[part.name] = rows.gather(features.live)
        return there

    def blank(self, *lead: int) -> Any:
        """A `tree` of zeros with these leading axes: its structure, shapes and dtypes; None if it has nothing."""
        coded = np.zeros((*lead, len(self.names)), np.float32)
        if not self.raw:
            return coded if coded.shape[-1] else None
        sizes = {part.name: [max(1, size) for size in part.shape] for part in self.raw}
        raw = {part.name: np.zeros((*lead, *sizes[part.name]), jnp.dtype(part.dtype)) for part in self.raw}
        return raw | ({FEATURES: coded} if coded.shape[-1] else {})

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
            given, width = features.vectors[vector.name], vector.width
            if given.shape[-1] != width:
                raise DataError(f"feature {vector.name!r}: expected vectors of length {width}, got {given.shape[-1]}")
            step = max(1, BLOCK * len(live) // max(1, live.size * width))
            for rows in (slice(first, first + step) for first in range(0, len(live), step)):
                block = given[rows]
                plain = block.gather(live[rows]) if isinstance(block, Rows) else block
                coded = vector.centred(plain, block) / vector.scale
                out[rows, ..., column : column + width] = np.where(live[rows][..., None], coded, 0.0)
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
    units: Vocabulary | None = None  # of the fit rows, where the schema asks for it
    # features of the context that vary within nobody of the fit rows; None: not known, and read off the table at hand
    people: tuple[str, ...] | None = None
    made: Mapping[str, Made] = dataclasses.field(default_factory=dict, compare=False)  # columns that no table has
    seed: int = dataclasses.field(default=0, compare=False)  # of the split whose train part it was learned from

    @property
    def features(self) -> tuple[str, ...]:
        """Features that are coded or handed out, items' first."""
        return (*self.items.features, *self.context.features)

    @classmethod
    def fit(
        cls, pieces: Iterable[tuple[Features, Features]], schema: Schema, units: Vocabulary | None = None
    ) -> Coding:
        """From the features of the train rows, items' and context's, of every piece of the table; nothing else can
        influence it."""
        scaling = {spec.name: spec.scaling for spec in schema.arrays}
        without = frozenset(spec.name for spec in schema.texts if spec.without)
        tallies = [tuple(Tally.of(side, scaling, without) for side in sides) for sides in pieces]
        items, context = (Tally.together(list(side)) for side in zip(*tallies, strict=True))
        return cls(Block.fit(items, scaling), Block.fit(context, scaling), units)

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
        """All but `arrays`: plain lists, dicts, numbers and strings."""
        sides = {"items": self.items, "context": self.context}
        record: dict[str, Any] = {side: _record(block) for side, block in sides.items()}
        record |= {} if self.people is None else {"people": list(self.people)}
        return record if self.units is None else record | {"units": self.units.to_dict()}

    def arrays(self) -> dict[str, np.ndarray]:
        """Name -> array: means and scales of vectors in float64, hashes of units."""
        named = {} if self.units is None else {"units": self.units.hashes}
        for side, block in (("items", self.items), ("context", self.context)):
            for vector in block.vectors:
                named |= {f"{side}/{vector.name}/mean": vector.mean, f"{side}/{vector.name}/scale": vector.scale}
                named |= {} if vector.removed is None else {f"{side}/{vector.name}/removed": vector.removed}
        return named

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray] = MappingProxyType({})) -> Coding:
        """The coding that `to_dict`, also after a trip through JSON, and `arrays` described; means and scales of
        vectors may stand in the former, where all of it was before. `ValueError` for what they never wrote."""
        items, context = (_block(side, values[side], arrays) for side in ("items", "context"))
        units, people = values.get("units"), values.get("people")
        if people is not None and not (isinstance(people, list) and {*people} <= {*context.features}):
            raise ValueError("coding: expected names of context features as those that are of people")
        known = None if units is None else Vocabulary.from_dict(units, arrays["units"])
        return cls(items, context, known, None if people is None else tuple(people))


def _record(block: Block) -> dict[str, Any]:
    record: dict[str, Any] = {
        "numbers": [dataclasses.asdict(number) for number in block.numbers],
        "levels": [dataclasses.asdict(part) for part in block.levels],
        "vectors": [{"name": vector.name, "width": vector.width} for vector in block.vectors],
    }
    return record | ({"raw": [dataclasses.asdict(part) for part in block.raw]} if block.raw else {})


def _block(side: str, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Block:
    """`ValueError` for values that `to_dict` and `arrays` never wrote."""

    def vector(stored: Mapping[str, Any]) -> Vector:
        inline = "mean" in stored
        moments = [stored[key] if inline else arrays[f"{side}/{stored['name']}/{key}"] for key in ("mean", "scale")]
        mean, scale = (np.asarray(moment) for moment in moments)
        width = len(mean) if inline else stored["width"]
        fits = all(part.shape in ((), (width,)) and part.dtype.kind in "if" for part in (mean, scale))
        if type(width) is not int or not fits or not (np.isfinite(mean).all() and np.isfinite(scale).all()):
            raise ValueError(f"coding: expected finite means and scales of {stored['name']!r}, one or a number each")
        removed = arrays.get(f"{side}/{stored['name']}/removed")
        if removed is not None and (removed.shape != (3, width) or not np.isfinite(removed).all()):
            raise ValueError(f"coding: expected what length explains of {stored['name']!r} as three finite rows")
        return Vector(stored["name"], width, mean.astype(np.float64), scale.astype(np.float64), removed)

    block = Block(
        tuple(Number(**number) for number in values["numbers"]),
        tuple(Levels(part["name"], tuple(part["levels"]), tuple(part["seen"])) for part in values["levels"]),
        tuple(map(vector, values["vectors"])),
        tuple(Raw(part["name"], tuple(part["shape"]), str(jnp.dtype(part["dtype"]))) for part in values.get("raw", ())),
    )
    texts = [*block.features, *(level for part in block.levels for level in (*part.levels, *part.seen))]
    moments = [(n.mean, n.scale) for n in block.numbers]
    sizes = [size for part in block.raw for size in part.shape]
    if not all(isinstance(text, str) for text in texts) or not all(type(n.indicator) is bool for n in block.numbers):
        raise ValueError("coding: expected texts as names and levels")
    if not all(type(x) in (int, float) and math.isfinite(x) for pair in moments for x in pair):
        raise ValueError("coding: expected finite means and scales above 0")
    if any(scale <= 0 for _, scale in moments) or any((vector.scale <= 0).any() for vector in block.vectors):
        raise ValueError("coding: expected finite means and scales above 0")
    if not all(type(size) is int and size >= 0 for size in sizes):
        raise ValueError("coding: expected sizes of raw arrays as whole numbers")
    return block


def _apart_from_0(mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """The spreads, 1 where there is nothing but rounding."""
    return np.where(spread <= 1e-12 * np.abs(mean), 1.0, spread)


def _joint(mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """One spread of all columns: the root of their mean square."""
    return _apart_from_0(np.sqrt(np.mean(mean**2)), np.sqrt(np.mean(spread**2)))
