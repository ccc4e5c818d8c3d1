"""One trial at a time on all devices, for models of which no two fit: what is kept of a trial lies on disk.

    start   a seed's unconstrained trial, in chunks; every other trial of the seed begins where it ended
    trial   its state on the device, a chunk after another; a checkpoint after each
    done    its best iterate and its evaluations are stored, its state is gone

So memory does not grow with the number of trials, and a kill loses at most a chunk of one. One compiled program plays
the chunks of all trials.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh

from constraints import Constraint

from .. import models
from ..errors import UsageError
from ..runtime import devices
from ..runtime.checkpoint import Keeper
from ..training import Best, Data, EvaluationRecord, Game, TrainState
from ..training.trainer import Fitted, Trials, real
from .execution import Chunks, dealt, padding, stack


class StoredComponents:
    """What trials return, read when it is asked for: as `faro.training.returned.Solution`, one component each."""

    def __init__(self, read: Callable[[int, int], Any], seeds: int, trials: int, scratch: Any = None):
        self.read, self.scratch = read, scratch  # a temporary folder lives as long as somebody may read it
        self.weights = np.ones((seeds, trials, 1))

    def components(self, seed: int, trial: int) -> Any:
        """Parameters of the one component, leaves `[1, ...]`."""
        return jax.tree.map(lambda leaf: leaf[None], self.read(seed, trial))


class Sequential:
    """The compiled programs of trials that are played one after another; all devices share the choices of each."""

    def __init__(self, game: Game, mesh: Mesh, alternatives: int = 0):
        if game.settings.solution != "best":
            raise UsageError(
                f"solution = {game.settings.solution}: keeps iterates of every trial, and these do not fit into memory "
                "(execution: sequential); leave solution out, or give more memory"
            )
        self.game, self.mesh = game, mesh
        self.chunk, self.chunks, self.evaluations = Chunks.of(game)
        self.traced = {"begin": 0, "advance": 0, "close": 0, "enter": 0}  # keys of manifests
        steps, once = models.options(game.model, alternatives), models.options(game.model, alternatives, game.rows)
        data = dealt(mesh)

        def known(name: str) -> tuple[Any, ...]:
            return "Sequential", name, game

        inputs = [(), (), data]
        self.begin = devices.compiled(mesh, self._begin, inputs, (), once, known=known("begin"))
        self.advance = devices.compiled(mesh, self._advance, inputs, (), steps, (0,), known("advance"))
        self.close = devices.compiled(mesh, self._close, inputs, (), once, known=known("close"))
        self.warm_start = devices.compiled(mesh, self._warm_start, inputs, (), once, known=known("warm_start"))

    @classmethod
    def of(cls, game: Game, mesh: Mesh, alternatives: int = 0) -> Sequential:
        """The programs of this game, compiled before if there was a sweep like it."""
        try:
            return _kept(game, mesh, alternatives)
        except TypeError:  # a model that cannot be hashed is not known again
            return cls(game, mesh, alternatives)

    def _begin(self, seed: Array, constraint: Constraint, data: Data) -> tuple[TrainState, EvaluationRecord]:
        """The unconstrained state before its first step; all its evaluations where no step is needed, else none."""
        self.traced["begin"] += 1
        evaluations = self.evaluations if self.game.direct(data) else 0
        return self.game.start(jax.random.key(seed), constraint, data, evaluations)

    def _advance(self, state: TrainState, constraint: Constraint, data: Data) -> tuple[TrainState, EvaluationRecord]:
        self.traced["advance"] += 1
        return self.game.advance(state, constraint, data, self.chunk)

    def _close(self, state: TrainState, constraint: Constraint, data: Data) -> tuple[Best, EvaluationRecord]:
        self.traced["close"] += 1
        closed, evaluation = self.game.close(state, constraint, data)
        return closed.best, evaluation

    def _warm_start(self, unconstrained: TrainState, constraint: Constraint, data: Data) -> TrainState:
        self.traced["enter"] += 1
        return self.game.warm_start(unconstrained, constraint, data)

    def total(self, seeds: int, bounds: int) -> int:
        return seeds * (1 + bounds) * self.chunks + 2

    def fit(self, trials: Trials) -> Fitted:
        """See `Trainer`."""
        seeds, data, constraint, grid, keeper, progress, meanwhile = trials
        scratch = None
        if keeper.folder is None:
            if jax.process_count() > 1:
                raise UsageError("execution sequential: several processes share what is on disk; give --out")
            scratch = tempfile.TemporaryDirectory(prefix="faro-")
            keeper = Keeper(Path(scratch.name))
        self.whole = devices.on(self.mesh)
        padded = stack(data, padding(self.mesh, self.game))  # one shape for all seeds
        total, done = self.total(len(seeds), len(grid(1.0))), 0

        def played_chunk() -> None:
            nonlocal done
            done += 1
            progress(done, total)

        progress(0, total)
        meanwhile()
        lowest, free = real(constraint), real(constraint.at(float("inf")))
        shapes: Any = None  # of a state and of all evaluations of a trial
        figures: dict[tuple[int, int], Any] = {}
        gaps = []
        for s, seed in enumerate(seeds):
            placed: Any = self._placed(padded, s)
            begin = (devices.place(np.asarray(seed), self.whole), lowest, placed)
            state_shapes, _ = self.begin.ahead(*begin)
            chunk_trace = self.advance.ahead(state_shapes, free, placed)[1]
            shapes = (
                state_shapes,
                jax.tree.map(
                    lambda leaf: jax.ShapeDtypeStruct((self.evaluations, *leaf.shape[1:]), leaf.dtype), chunk_trace
                ),
            )
            at_once = self.game.direct(placed)
            starting = functools.partial(self.begin, *begin)
            figures[s, 0] = self._trial(
                f"seed{seed}.start", starting, free, placed, keeper, shapes, at_once, played_chunk
            )
            gaps.append(float(np.max(figures[s, 0][0].gap, -1)))
        constraints = grid(float(np.mean(gaps)))
        for s, seed in enumerate(seeds):
            names = [f"seed{seed}.trial{b + 1}" for b in range(len(constraints))]
            warm: Any = None
            placed = None
            for b, (name, bounded) in enumerate(zip(names, map(real, constraints), strict=True), 1):
                if warm is None and not keeper.stored(name):
                    placed = self._placed(padded, s)
                    unconstrained = keeper.read(f"seed{seed}.start.state", shapes[0], self.whole)
                    warm = self.warm_start(unconstrained, lowest, placed)
                    del unconstrained
                copied = functools.partial(_copied, warm)
                figures[s, b] = self._trial(name, copied, bounded, placed, keeper, shapes, False, played_chunk)
            del warm, placed
        progress(total - 1, total)

        def read(s: int, b: int) -> Any:
            name = f"seed{seeds[s]}.{'start' if b == 0 else f'trial{b}'}.params"
            return devices.fetch(keeper.read(name, shapes[0].best.params, self.whole))

        best, trace = (
            jax.tree.map(
                lambda *leaves: np.stack(leaves).reshape(len(seeds), -1, *np.shape(leaves[0])),
                *[figures[s, b][part] for s in range(len(seeds)) for b in range(1 + len(constraints))],
            )
            for part in (0, 1)
        )
        return Fitted(constraints, best, trace, StoredComponents(read, len(seeds), 1 + len(constraints), scratch))

    def _placed(self, padded: Data, seed: int) -> Data:
        return devices.place(jax.tree.map(lambda leaf: leaf[seed], padded), dealt(self.mesh))

    def _trial(
        self,
        name: str,
        begin: Callable[[], tuple[TrainState, EvaluationRecord | None]],
        constraint: Constraint,
        data: Data,
        keeper: Keeper,
        shapes: tuple[TrainState, EvaluationRecord],
        at_once: bool,
        played_chunk: Callable[[], None],
    ) -> tuple[Any, EvaluationRecord]:
        """What a trial's best iterate is like, without parameters, and its evaluations, on the host; played unless
        stored. Of the unconstrained trial the state is stored as well, from which others begin."""
        figures_shapes = (shapes[0].best._replace(params=None), shapes[1])
        if keeper.stored(name):
            keeper.resumed.append(name)
            for _ in range(self.chunks):
                played_chunk()
            return devices.fetch(keeper.read(name, figures_shapes, self.whole))
        state, trace = begin()
        whole_trace = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes[1])
        if at_once:
            whole_trace = devices.fetch(trace)
            for _ in range(self.chunks):
                played_chunk()
        else:
            position, (state, stored) = keeper.newest(name, (state, whole_trace), self.whole)
            whole_trace = jax.tree.map(np.array, devices.fetch(stored)) if position else whole_trace
            for call in range(self.chunks):
                played_chunk()
                if call < position:
                    continue
                state, trace = self.advance(state, constraint, data)
                _put(whole_trace, devices.fetch(trace), call * self.chunk)
                if call + 1 < self.chunks:
                    keeper.keep(name, call + 1, (state, whole_trace))
            if self.game.closes:
                best, trace = self.close(state, constraint, data)
                state = state._replace(best=best)
                _put(whole_trace, devices.fetch(trace), self.evaluations - 1)
        if name.endswith(".start"):
            keeper.write(f"{name}.state", state)
        keeper.write(f"{name}.params", state.best.params)
        figures = devices.fetch((state.best._replace(params=None), whole_trace))
        keeper.write(name, figures)  # the last: it says that the trial is done
        keeper.drop(name)
        return figures


@functools.lru_cache(maxsize=4)
def _kept(game: Game, mesh: Mesh, alternatives: int) -> Sequential:
    return Sequential(game, mesh, alternatives)


def _copied(state: TrainState) -> tuple[TrainState, None]:
    """A state of its own, which may be consumed."""
    return jax.tree.map(lambda leaf: leaf.copy(), state), None


def _put(all_: EvaluationRecord, some: EvaluationRecord, position: int) -> None:
    """Evaluations in their place among all of a trial."""

    def put(whole: np.ndarray, part: np.ndarray) -> None:
        whole[position : position + len(part)] = part

    jax.tree.map(put, all_, some)
