"""How the trials of a sweep share the devices, and which way they can: what they take against what there is.

    Batched     the states of all trials at once, played side by side as far as memory and cache allow
    Sequential  one trial at a time on all devices; what is kept of it lies on disk

Both are trainers (`faro.training.trainer`) by the game.

What a trial takes on a device, beside the data:

    state   what is kept of it between steps: parameters, moments of the optimiser, best iterate, multipliers, rates
    step    what a step makes: activations on the way there and back, and a gradient
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from constraints import Choices, Constraint

from ..runtime import devices
from ..runtime.programs import remembered
from ..training import Data, Game

MOST_CHUNKS = 10  # calls of the compiled program, and checkpoints, at most: of a sweep, or of a trial on its own
KEPT = 5  # iterates of each that a mixture may draw on, of every trial


class Chunks(NamedTuple):
    """The steps of a training, cut into calls of a compiled program, and the evaluations there are in all."""

    length: int  # evaluations of a call, steps after each
    calls: int
    evaluations: int

    @classmethod
    def of(cls, game: Game) -> Chunks:
        length = -(-game.settings.evaluations // MOST_CHUNKS)
        calls = -(-game.settings.evaluations // length)
        return cls(length, calls, length * calls + game.closes)


class Need(NamedTuple):
    """Bytes on a device, about, of the trials of a sweep beside the data; only shapes are read."""

    trials: int  # on a device, all seeds together
    state: int  # of one trial
    step: int  # of one trial
    kept: int  # iterates of one trial that a call returns

    @classmethod
    def of(cls, game: Game, data: Data, constraint: Constraint, trials: int, mesh: Mesh) -> Need:
        """Of so many trials, dealt out on the sweep axis of the mesh; `data` is that of one seed."""
        said = ("bytes of trials", game, trials, tuple(mesh.shape.items()))
        return cls(*remembered(said, (data, constraint), lambda: cls._of(game, data, constraint, trials, mesh)))

    @classmethod
    def _of(cls, game: Game, data: Data, constraint: Constraint, trials: int, mesh: Mesh) -> Need:
        state = game.state_shapes(constraint, data)
        params = size(state.game.params)
        activations = game.problem.footprint(state.game.params, data.train, len(constraint.labels()), data.people)
        kept = params * Chunks.of(game).length if game.settings.solution != "best" else 0
        dealt = -(-trials // mesh.shape[devices.SWEEP])
        return cls(dealt, size(state), activations // mesh.shape[devices.DATA] + params, kept)

    @property
    def together(self) -> int:
        """All trials at once: every state before and after a call, and a step of one."""
        return self.trials * (2 * self.state + self.kept) + self.step

    @property
    def alone(self) -> int:
        """One trial: its state, the state that trials begin in, and a step."""
        return 2 * self.state + self.step

    def said(self, room: int) -> str:
        """Which execution that leaves in so many bytes, and why."""
        fits = self.together <= room
        return (
            f"{'batched' if fits else 'sequential'}, because {self.trials} trials at once need about "
            f"{devices.spelled(self.together)} on a device (state {devices.spelled(self.state)} each, step "
            f"{devices.spelled(self.step)}), which {'fits into' if fits else 'is more than'} {devices.spelled(room)}"
        )


def size(tree: Any) -> int:
    """Bytes of all arrays, or shapes of them, in a pytree."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def stack(data_of_seeds: list[Data], multiple: int = 1) -> Data:
    """One `Data` on the host with a leading axis of seeds; parts are padded to the largest seed's, and to a multiple of
    this many choices."""

    def largest(*parts: Any) -> Any:
        size = max(part.shape[0] for part in parts)
        size += -size % multiple
        stacked = jax.tree.map(functools.partial(_stacked, size), *parts)
        for row, part in zip(stacked.weight, parts, strict=True):
            if part.shape[0] < size:  # nobody counts there, as in `Choices.pad`
                row[part.shape[0] :] = 0
        return stacked

    def many(*leaves: Any) -> np.ndarray:  # as many people for every seed
        size = max(map(len, leaves))
        return _stacked(size + -size % multiple, *leaves)

    def of_people(name: str) -> Any:
        return jax.tree.map(many, *(getattr(seed_data, name) for seed_data in data_of_seeds))

    rows = [Data(seed_data.train, seed_data.selection, seed_data.dual) for seed_data in data_of_seeds]
    data = jax.tree.map(largest, *rows, is_leaf=lambda node: isinstance(node, Choices))
    size = data.train.weight.shape[1]
    questions = jax.tree.map(functools.partial(_stacked, size), *(seed_data.questions for seed_data in data_of_seeds))
    ridge = jax.tree.map(_beside, *(seed_data.ridge for seed_data in data_of_seeds))
    return data._replace(people=of_people("people"), pool=of_people("pool"), questions=questions, ridge=ridge)


def _beside(*leaves: Any) -> np.ndarray:
    return np.stack([np.asarray(leaf) for leaf in leaves])


def _stacked(size: int, *leaves: Any) -> np.ndarray:
    """With a leading axis of seeds, and copies of the first row behind the last; of one seed nothing is copied. Where
    the array begins a CPU reads it as it is: else there would be two of all data."""
    arrays = [np.asarray(leaf) for leaf in leaves]
    if len(arrays) == 1 and len(arrays[0]) == size:
        return arrays[0][None]
    out = devices.aligned((len(arrays), size, *arrays[0].shape[1:]), arrays[0].dtype)
    for row, own in zip(out, arrays, strict=True):
        row[: len(own)] = own
        row[len(own) :] = own[:1]
    return out


def dealt(mesh: Mesh, *axes: str | None) -> Data:
    """Where data are on the mesh: after these leading axes choices and people are dealt out, a ridge is whole."""
    choices: Any = devices.on(mesh, *axes, devices.DATA)
    return Data(choices, choices, choices, choices, choices, choices, devices.on(mesh, *axes))


def padding(mesh: Mesh, game: Game) -> int:
    """Choices are padded to a multiple of this many."""
    return math.lcm(mesh.shape[devices.DATA], game.settings.microbatch or 1)
