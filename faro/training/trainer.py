"""What trains: a trainer is given every seed's data and a grid of constraints, and says what came of each trial.

game       `faro.sweep.execution`: the two players on choices in memory, all trials at once or one after another
exact      `faro.sweep.exact_path`: a linear model's exact optima, no game
stream     `faro.training.streaming`: the game on shards of choices that are not in memory
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from constraints import Constraint

from ..runtime.checkpoint import Keeper
from .candidates import Best, EvaluationRecord
from .trial import Data

Progress = Callable[[int, int], None]  # (done, total)
Grid = Callable[[float], list[Constraint]]  # of the unconstrained gap: the constraints of a seed's trials


class Fitted(NamedTuple):
    """What the trials came to, as numpy with leaves `[seeds, 1 + bounds, ...]`, the unconstrained ones first.

    constraints: of the grid
    best: of every trial; without parameters where these are on disk
    trace: `[seeds, 1 + bounds, evaluations, ...]`; `params` are the iterates kept of the
        others, `[seeds, bounds, kept, ...]`
    solution: what is returned, where that is not left to be chosen
    """

    constraints: list[Constraint]
    best: Best
    trace: EvaluationRecord
    solution: Any = None


class Trials(NamedTuple):
    """What is to be trained: a trial for every seed and constraint, and an unconstrained one for every seed.

    seeds: one or more
    data: of every seed, on the host
    constraint: at its lowest bound
    grid: lists the constraints, given the unconstrained gap (mean over seeds)
    keeper: keeps what a killed run goes on with
    progress: told `(done, total)` after every chunk
    meanwhile: called once, while programs compile
    """

    seeds: Sequence[int]
    data: list[Data]
    constraint: Constraint
    grid: Grid
    keeper: Keeper
    progress: Progress = lambda done, total: None
    meanwhile: Callable[[], None] = lambda: None


class Trainer(Protocol):
    """How trials are trained. `traced` counts how often each of its programs was traced: once, whatever the grid."""

    traced: dict[str, int]
    mesh: Mesh

    def total(self, seeds: int, bounds: int) -> int:
        """Of how many chunks `progress` is told, the preparation and the judgement included."""

    def fit(self, trials: Trials) -> Fitted:
        """Train all of them."""


def real(constraint: Constraint) -> Constraint:
    """The constraint with its numbers as arrays of the precision that programs are in."""
    kind = jnp.result_type(float)
    return jax.tree.map(lambda leaf: np.asarray(leaf, kind), constraint)
