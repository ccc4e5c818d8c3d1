"""What a coding is learned from: counts, means and spreads, levels; those of two pieces of a table add up."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from faro.errors import DataError

from .arrays import Features
from .mapped import Rows


class Moments(NamedTuple):
    """Of n rows `[N, D]`: mean and spread, `[D]` each; of no rows 0 and 1."""

    n: int
    mean: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Moments:
        """Of rows `[N, D]`."""
        if not len(values):
            return cls(0, np.zeros(values.shape[1]), np.ones(values.shape[1]))
        with np.errstate(over="ignore", invalid="ignore"):
            mean, spread = values.mean(0), values.std(0)
        return cls(len(values), *_finite(mean, spread))

    @classmethod
    def of_blocks(cls, values: Rows, live: np.ndarray) -> Moments:
        """The same of the live rows of an array, in two passes that hold a block of it at a time."""
        count, width = int(live.sum()), values.shape[-1]
        if not count:
            return cls(0, np.zeros(width), np.ones(width))
        with np.errstate(over="ignore", invalid="ignore"):
            mean = sum((often @ block for often, block in values.blocks(live)), np.zeros(width)) / count
            square = (often @ (block - mean) ** 2 for often, block in values.blocks(live))
            spread = np.sqrt(sum(square, np.zeros(width)) / count)
        return cls(count, *_finite(mean, spread))

    def joined(self, other: Moments) -> Moments:
        """Of the rows of both. Source: Chan, Golub, LeVeque 1983."""
        if not (self.n and other.n):
            return self if self.n else other
        count = self.n + other.n
        share = other.n / count
        with np.errstate(over="ignore", invalid="ignore"):
            apart = other.mean - self.mean
            mean = self.mean + share * apart
            square = (1 - share) * self.spread**2 + share * other.spread**2 + share * (1 - share) * apart**2
        return Moments(count, *_finite(mean, np.sqrt(square)))


def basis(tokens: np.ndarray) -> np.ndarray:
    """`[..., 3]`: 1, the tokens of a text, and their logarithm; what its length explains is a combination of them."""
    tokens = np.maximum(tokens, 1).astype(np.float64)
    return np.stack([np.ones_like(tokens), tokens, np.log(tokens)], -1)


class Lengths(NamedTuple):
    """What a projection on the lengths of n texts `[N, D]` is made of: inner products of the basis with itself and with
    the columns, and squares of these."""

    n: int
    gram: np.ndarray  # [3, 3]
    cross: np.ndarray  # [3, D]
    square: np.ndarray  # [D]

    @classmethod
    def of(cls, values: Rows, live: np.ndarray) -> Lengths:
        """Of the live rows of an array of texts, a block of it at a time."""
        width = values.shape[-1]
        _, first = np.unique(values.index[live], return_index=True)
        own, begun = basis(values.tokens[live][first]), 0
        gram, cross, square = np.zeros((3, 3)), np.zeros((3, width)), np.zeros(width)
        for often, block in values.blocks(live):
            here = own[begun : begun + len(block)]
            gram += (here * often[:, None]).T @ here
            cross += (here * often[:, None]).T @ block
            square += often @ block**2
            begun += len(block)
        return cls(int(live.sum()), gram, cross, square)

    def joined(self, other: Lengths) -> Lengths:
        """Of the rows of both."""
        return Lengths(self.n + other.n, self.gram + other.gram, self.cross + other.cross, self.square + other.square)

    def projection(self) -> tuple[np.ndarray, Moments]:
        """(`[3, D]` coefficients of the least squares, the moments of what is left)."""
        scale = np.sqrt(np.maximum(np.diag(self.gram), 1e-300))
        weights = np.linalg.lstsq(self.gram / np.outer(scale, scale), self.cross / scale[:, None])[0] / scale[:, None]
        left = np.maximum(self.square - np.sum(weights * self.cross, 0), 0)
        spread = np.sqrt(left / self.n) if self.n else np.ones(len(left))
        return weights, Moments(self.n, *_finite(np.zeros(len(left)), spread))


@dataclasses.dataclass(frozen=True)
class Tally:
    """Of the live entries of features, by name: moments of numbers (where they are not missing) and vectors, the
    numbers with a missing cell in the table, levels of the table and those `seen`, shape and dtype of raw arrays."""

    numbers: Mapping[str, Moments]
    incomplete: frozenset[str]
    levels: Mapping[str, frozenset[str]]
    seen: Mapping[str, frozenset[str]]
    vectors: Mapping[str, Moments]
    raw: Mapping[str, tuple[tuple[int, ...], str]]
    lengths: Mapping[str, Lengths] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, features: Features, scaling: Mapping[str, str], without: frozenset[str] = frozenset()) -> Tally:
        """scaling: that of arrays, by name; one that is not scaled is not read. without: names of those whose length is
        removed."""
        live = features.live
        numbers, levels, held = {}, {}, {}
        for name, values in features.numeric.items():
            seen = values[live]
            numbers[name] = Moments.of(seen[~np.isnan(seen)][:, None])
        for name, category in features.categorical.items():
            texts = np.asarray(category.texts, object)
            levels[name] = frozenset(map(str, texts))
            held[name] = frozenset(str(texts[code]) for code in np.unique(category.codes[live]) if code >= 0)

        def of_vector(name: str, values: np.ndarray | Rows) -> Moments:
            if scaling.get(name) == "none" or name in without:
                return Moments.of(np.zeros((0, values.shape[-1])))
            return Moments.of(values[live]) if isinstance(values, np.ndarray) else Moments.of_blocks(values, live)

        vectors = {name: of_vector(name, values) for name, values in features.vectors.items()}
        raw = {name: (rows.of.row, str(rows.of.dtype)) for name, rows in features.raw.items()}
        lengths = {
            name: Lengths.of(values, live)
            for name, values in features.vectors.items()
            if name in without and isinstance(values, Rows)
        }
        return cls(numbers, features.incomplete, levels, held, vectors, raw, lengths)

    def joined(self, other: Tally) -> Tally:
        """Of both pieces; `DataError` if vectors or arrays of one name differ in shape."""
        for name, moments in self.vectors.items():
            if moments.mean.shape != other.vectors[name].mean.shape:
                lengths = f"{len(moments.mean)} and {len(other.vectors[name].mean)}"
                raise DataError(f"feature {name!r}: expected vectors of one length, got {lengths}")
        if self.raw != other.raw:
            raise DataError(f"arrays: expected one shape and dtype in all files, got {self.raw} and {other.raw}")
        return Tally(
            {name: moments.joined(other.numbers[name]) for name, moments in self.numbers.items()},
            self.incomplete | other.incomplete,
            {name: levels | other.levels[name] for name, levels in self.levels.items()},
            {name: levels | other.seen[name] for name, levels in self.seen.items()},
            {name: moments.joined(other.vectors[name]) for name, moments in self.vectors.items()},
            self.raw,
            {name: lengths.joined(other.lengths[name]) for name, lengths in self.lengths.items()},
        )

    @staticmethod
    def together(pieces: list[Tally]) -> Tally:
        """Of all pieces."""
        return functools.reduce(Tally.joined, pieces)


def _finite(mean: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not (np.isfinite(mean).all() and np.isfinite(spread).all()):
        raise DataError("a feature has values too large to standardise (beyond 1e150); rescale it")
    return mean, spread
