"""Choices of several data sets one after another, a slice at a time, so that what is held does not grow with them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from constraints import Choices

from .coding import Coding
from .dataset import Dataset
from .sharded import Sharded


@dataclasses.dataclass(frozen=True)
class Slices:
    """Slices of one shape; each is coded when its turn comes, and only then.

    sources: data sets and the rows of each
    coding: of all of them
    options: `twins`, `columns` and `dtype` of `Dataset.choices`
    length: choices of all slices together, at least those of the sources; the rest is padding
    size: choices of a slice
    """

    sources: Sequence[tuple[Dataset | Sharded, np.ndarray]]
    coding: Coding
    options: Mapping[str, Any]
    length: int
    size: int

    @classmethod
    def of(
        cls,
        sources: Sequence[tuple[Dataset | Sharded, np.ndarray]],
        coding: Coding,
        options: Mapping[str, Any],
        most: int,
    ) -> Slices:
        """As few slices as hold at most `most` numbers of items, context and twins each; their sizes differ by
        padding alone."""
        length = sum(len(rows) for _, rows in sources)
        alone = cls(sources, coding, options, length, 1)
        one = alone.shape
        read = jax.tree.leaves((one.items, one.context, one.twins))
        limit = max(1, most // max(1, sum(math.prod(leaf.shape[1:]) for leaf in read)))
        return alone.padded(length, -(-length // limit))

    def padded(self, length: int, count: int) -> Slices:
        """The same in so many slices, whose last is padded to `length` choices in all, or a few more."""
        return dataclasses.replace(self, length=length, size=-(-length // count))

    def __len__(self) -> int:
        return -(-self.length // self.size)

    @property
    def shape(self) -> Choices:
        """Shapes and dtypes of a slice."""
        data, rows = self.sources[0]
        one = data.choices(self.coding, rows[:1], **self.options)
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((self.size, *leaf.shape[1:]), leaf.dtype), one)

    def __iter__(self) -> Iterator[Choices]:
        ends = np.cumsum([0, *(len(rows) for _, rows in self.sources)])
        for first in range(0, self.length, self.size):
            cuts = [(max(0, first - start), max(0, first + self.size - start)) for start in ends[:-1]]
            parts = [(data, rows[low:high]) for (data, rows), (low, high) in zip(self.sources, cuts, strict=True)]
            coded = [data.choices(self.coding, rows, **self.options) for data, rows in parts if len(rows)]
            if not coded:  # padding alone
                data, rows = self.sources[0]
                nobody = data.choices(self.coding, rows[:1], **self.options)
                coded = [nobody.replace(weight=np.zeros_like(nobody.weight))]
            yield jax.tree.map(lambda *leaves: np.concatenate(leaves), *coded).pad(self.size)
