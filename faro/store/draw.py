"""How a randomised model decides, and how that is stored."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..data import Dataset
from ..data.split import uniform
from ..errors import DataError


@dataclasses.dataclass(frozen=True)
class Draw:
    """How a randomised model decides: component j with probability `weights[j]`, drawn once per unit (or per choice).

    u = the hash of the salt "faro mixture SEED" and the id (blake2b keyed by the salt, 53 bits), in [0, 1); the
    component is the first one whose cumulative weight exceeds u. So a person meets one model whatever the order of
    rows, and anyone can repeat the draw.
    """

    weights: tuple[float, ...]  # sum to 1
    seed: int = 0
    by: str = "unit"  # or "choice"

    def components(self, data: Dataset) -> np.ndarray:
        """`[n]` which component decides each choice."""
        ids = [str(unit) for unit in data.units]
        if self.by == "choice":
            ids = [f"{unit} {choice}" for unit, choice in zip(ids, data.choice_names, strict=True)]
        u = uniform(f"faro mixture {self.seed}", ids)
        return np.searchsorted(np.cumsum(self.weights)[:-1], u, side="right")


def stored_draw(base: Path, draw: dict[str, Any], params: Any) -> Draw:
    """The stored draw; `DataError` if its weights are no distribution over the components of the parameters."""
    weights, by = np.array(draw["weights"]), draw["by"]
    components = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(params)}
    numbers = weights.dtype == np.float64 and components == {weights.shape}
    if not (numbers and weights.min() >= 0 and abs(weights.sum() - 1) <= 1e-9 and by in ("unit", "choice")):
        raise DataError(f"{base}.json: draw: expected weights of {len(weights)} atoms that sum to 1, by unit or choice")
    return Draw(tuple(weights.tolist()), int(draw["seed"]), by)
