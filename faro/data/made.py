"""Columns that no table has: made by what was fitted to the same train rows, or of whose choices they are.

A constraint names them in `columns` like any other. Who makes them is in `Coding.made`, beside the means and levels
that were learned from train, and is stored with the model: so a column is the same number in training, in every figure,
after loading and in a scored table.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from constraints import UNIT_SHARE, Choices

if TYPE_CHECKING:
    from .dataset import Dataset

REWARD = "reward:"  # columns that another model makes begin so


class Made(Protocol):
    """Who makes a column."""

    def __call__(self, data: Dataset, choices: Choices, rows: Any) -> np.ndarray:
        """`[n, K]` of these choices.

        data: whose they are
        choices: coded, without the columns that are made
        rows: their indices; None: all
        """


@dataclasses.dataclass(frozen=True)
class UnitShare:
    """1 / the weight of all choices of the unit, so that a person counts once.

    support: choices of a person that a model reads first; they are no questions, and do not count
    """

    support: int = 0

    def __call__(self, data: Dataset, choices: Choices, rows: Any) -> np.ndarray:
        whole = data.unit_weights(self.support)
        codes = data.unit_codes if rows is None else data.unit_codes[rows]
        of_unit = whole[codes]
        share = np.divide(1.0, of_unit, out=np.zeros_like(of_unit), where=of_unit > 0)
        return np.broadcast_to(share[:, None], choices.shape)


def is_made(name: str) -> bool:
    """Whether a column of this name is made, and not read from the table.

    name: as a constraint says it
    """
    return name == UNIT_SHARE or name.startswith(REWARD)
