"""Coded choices in shards on disk, memory-mapped: a table is read and coded once, and passed over many times."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from constraints import Choices

from .coding import Coding
from .dataset import Dataset
from .sharded import Sharded


class CodedShards:
    """Shards of one shape, `[i]` reads one; what is on disk goes with the object.

    data: whose choices
    coding: of all of them
    cuts: rows of every shard; one without any has a choice of weight 0
    options: `twins`, `columns` and `dtype` of `Dataset.choices`
    unit: what weights are divided by
    """

    def __init__(
        self, data: Dataset | Sharded, coding: Coding, cuts: Iterable[np.ndarray], options: dict[str, Any], unit: float
    ):
        self._folder = tempfile.mkdtemp(prefix="faro-shards-")
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        cuts = list(cuts)
        self.size, somebody = max(map(len, cuts)), next(rows for rows in cuts if len(rows))[:1]
        for index, rows in enumerate(cuts):
            choices = data.choices(coding, rows if len(rows) else somebody, **options)
            weight = data.weight[rows] / unit if len(rows) else np.zeros(1)
            choices = choices.replace(weight=np.asarray(weight, choices.weight.dtype)).pad(self.size)
            leaves, self._shape = jax.tree.flatten(choices)
            for number, leaf in enumerate(leaves):
                np.save(self._file(index, number), np.asarray(leaf), allow_pickle=False)
        self._count, self._kinds = len(cuts), [leaf.dtype for leaf in leaves]

    def _file(self, index: int, number: int) -> Path:
        return Path(self._folder, f"{index}-{number}.npy")

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Choices:
        if not 0 <= index < self._count:
            raise IndexError(index)
        leaves = [np.load(self._file(index, number), mmap_mode="r") for number in range(len(self._kinds))]
        kinds = zip(leaves, self._kinds, strict=True)  # numpy itself knows no bfloat16
        return jax.tree.unflatten(self._shape, [leaf.view(kind) for leaf, kind in kinds])
