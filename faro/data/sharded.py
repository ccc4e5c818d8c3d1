"""A table in several files of one schema, read one file at a time, again whenever its choices are asked for.

    first pass   types and label words, alternatives of the largest choice, units, weights; nothing else is kept
    parts        a pass for every seed: the split is by unit and salted hash, so a file's people are placed without
                 the others; people who are held back take no part in the coding
    coding       a pass: counts, means, spreads and levels of the train rows of every file add up

Of every choice a weight, a unit's number and a part are held, of every unit its name.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd

from constraints import Attribute, Choices
from faro.errors import DataError, UsageError

from .arrays import widened
from .coding import Coding
from .containers import READ, tables_in
from .dataset import Dataset, Whole
from .schema import Schema
from .split import assign, check_parts, part_codes, uniform
from .vocabulary import Vocabulary

SHARD = 2**17  # choices of a shard of data in memory, where nobody says how many shards
SALT = "faro shards 1"


class Sharded:
    """Choices in several files, of which at most one is in memory; what a `Dataset` is to those who train, by the same
    names. Choice i is the i-th of all files in their order."""

    population = None

    def __init__(self, paths: Sequence[str | os.PathLike], schema: Schema, *, name: str | None = None):
        """paths: tables (CSV, Parquet, JSON lines), each with whole choices, best of people in no order; schema: of all

        `DataError` for a choice that is in two files, and for tables that differ in what columns hold.
        """
        self.paths = [Path(path) for path in paths]
        if not self.paths:
            raise UsageError("expected at least one file, got none")
        self.name = name or f"{self.paths[0].name} and {len(self.paths) - 1} more"
        self.schema = schema
        self.defaults: dict[str, Any] = {}
        self.info: dict[str, Any] = {}
        self._read: tuple[int, Dataset] | None = None
        self._arrays: Mapping[str, Any] = {}
        self._whole: list[Whole] | None = None
        self._census()
        self._parts: dict[int, np.ndarray] = {}

    def __repr__(self) -> str:
        return f"Sharded({self.name!r}, {len(self.paths)} files, {self.n} choices among {self.k})"

    @classmethod
    def of_folder(cls, folder: str | os.PathLike, schema: Schema) -> Sharded:
        """All tables of a folder, in the order of their names."""
        folder = Path(folder)
        paths = tables_in(folder)
        if not paths:
            raise DataError(f"{folder}: expected tables ending in {', '.join(READ)}, found none")
        return cls(paths, schema, name=folder.resolve().name)

    def _census(self) -> None:
        digests, weights, names, ids, sizes = [], [], [], [], []
        ends, units, self.dropped = [], [0], 0
        for index in range(len(self.paths)):
            shard = self.shard(index)
            if not index:
                self._arrays = shard.arrays  # opened and scanned once
                self.unit_rule, self.unit_origin, self.labelled = shard.unit_rule, shard.unit_origin, shard.labelled
            self.schema = shard.schema  # its types hold for the next files too
            sizes.append(shard.parsed.available.shape)
            ends.append(shard.outsiders)
            digests.append(shard.digest)
            weights.append(shard.weight)
            self.dropped += shard.dropped
            if self.unit_origin == "column":
                names.append(np.unique(shard.units))
            units.append(units[-1] + shard.n)
            if self.schema.format == "long":
                ids.append(pd.util.hash_array(shard.choice_ids))
        self.starts = np.array(units)
        self.weight = np.concatenate(weights)
        self.k = max(k for _, k in sizes)
        self.digest = hashlib.sha256(json.dumps(["faro shards 1", digests]).encode()).hexdigest()
        self._names = np.unique(np.concatenate(names)) if names else None
        outsiders = all(ends) and len({k for _, k in sizes}) == 1
        self._whole = [Whole(self._names, first, outsiders) for first in units[:-1]]
        self._read = None
        if ids and len(np.unique(together := np.concatenate(ids))) < len(together):
            raise DataError(f"{self.name}: rows of one choice are in two files; put all rows of a choice into one")

    def shard(self, index: int) -> Dataset:
        """The choices of one file."""
        if self._read is None or self._read[0] != index:
            self._read = None  # not two at a time
            path = self.paths[index]
            data = Dataset.from_table(path, self.schema, arrays=self._arrays)
            if self._whole is not None:
                parsed = widened(data.parsed, self.k)
                data = dataclasses.replace(data, parsed=parsed, whole=self._whole[index])
            self._read = index, data
        return self._read[1]

    @property
    def n(self) -> int:
        """Number of choices."""
        return len(self.weight)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be known of how the tables were read."""
        return self.shard(0).notes if self.schema.texts else ()

    @property
    def people(self) -> int:
        """Number of units."""
        return self.n if self._names is None else len(self._names)

    @property
    def attributes(self) -> dict[str, Attribute]:
        """The declared attributes by name."""
        return {spec.name: spec.attribute for spec in self.schema.attributes}

    def pieces(self, rows: np.ndarray) -> Iterator[tuple[Dataset, np.ndarray]]:
        """The files that these choices are in, one after another, and where in each."""
        for index, in_file in enumerate(self.cut(rows)):
            if len(in_file):
                yield self.shard(index), in_file - self.starts[index]

    def cut(self, rows: np.ndarray) -> list[np.ndarray]:
        """Those of the rows that are in each file."""
        rows = np.asarray(rows)
        return [rows[(rows >= start) & (rows < end)] for start, end in zip(self.starts, self.starts[1:], strict=False)]

    def parts(self, seed: int = 0) -> np.ndarray:
        """`[n]` int8 codes into `PARTS`; the gate part is the same for every seed."""
        if seed not in self._parts:
            parts = [assign(self.shard(index).placement, seed) for index in range(len(self.paths))]
            self._parts[seed] = np.concatenate(parts)
            check_parts(self._parts[seed], self.people)
        return self._parts[seed]

    def rows(self, part_names: str | Sequence[str], seed: int = 0) -> np.ndarray:
        """Indices of the choices in these parts."""
        return np.flatnonzero(np.isin(self.parts(seed), part_codes(part_names)))

    def fit_coding(self, rows: np.ndarray) -> Coding:
        """The coding learned from these choices (the train part) and from nothing else; levels that no such choice has
        are known by name alone, as in a `Dataset`."""

        def features() -> Iterator[tuple[Any, Any]]:
            for index, in_file in enumerate(self.cut(rows)):
                parsed, local = self.shard(index).parsed, in_file - self.starts[index]
                yield parsed.items.take(local), parsed.context.take(local)

        coding = Coding.fit(features(), self.schema, self._vocabulary(rows))
        largest = int(np.diff(self.starts).max())
        coding.items.check_size(largest * self.k)
        coding.context.check_size(largest)
        return coding

    def _vocabulary(self, rows: np.ndarray) -> Vocabulary | None:
        if not self.schema.unit_index or self._names is None:
            return None
        units = [np.unique(piece.units[local]) for piece, local in self.pieces(rows)]
        return Vocabulary.of(np.concatenate(units), self.people, f"faro units {self.digest[:16]}")

    def choices(self, coding: Coding, rows: np.ndarray, **options: Any) -> Choices:
        """These choices, coded, as `Dataset.choices` does it, in this order."""
        by_file = [piece.choices(coding, local, **options) for piece, local in self.pieces(rows)]
        together = by_file[0] if len(by_file) == 1 else jax.tree.map(lambda *leaves: np.concatenate(leaves), *by_file)
        file = np.searchsorted(self.starts, rows, side="right")
        if (np.diff(file) >= 0).all():
            return together
        place = np.empty(len(rows), int)
        place[np.argsort(file, kind="stable")] = np.arange(len(rows))
        return jax.tree.map(lambda leaf: leaf[place], together)


def cuts(data: Dataset | Sharded, rows: np.ndarray, count: int | None = None) -> list[np.ndarray]:
    """Rows by shard: those of each file; of a table in memory, so many shards of whole units, each a sample of all.

    count: of shards of a table in memory; None: as many as make shards of `SHARD` choices
    """
    if isinstance(data, Sharded):
        return data.cut(rows)
    count = count or -(-len(rows) // SHARD)
    where = np.floor(uniform(SALT, data.placement[rows]) * count).astype(int)
    return [rows[where == index] for index in range(count)]
