"""All trials of a sweep at once: their states are one pytree, and a compiled program plays a chunk of all of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from constraints import Constraint

from .. import models
from ..errors import UsageError
from ..runtime import devices
from ..training import Best, Data, EvaluationRecord, Game, TrainState
from ..training.bounds import unbounded
from ..training.trainer import Fitted, Trials, real
from .execution import KEPT, Chunks, dealt, padding, stack

CACHE = 20 * 2**20  # bytes of a network's step on a CPU that stay close to its cores


class Batched:
    """The compiled programs of a sweep, partitioned on a mesh: bounds on one axis, choices on the other.

    They serve every sweep of the same game and shapes in this process (`Batched.of`). `traced` counts how often each
    was traced: once, whatever the grid, the mesh and the data set. Trials are played side by side as far as `memory`
    bytes a device and, for a network on a CPU, its cache allow.
    """

    def __init__(self, game: Game, mesh: Mesh, memory: int | None = None, alternatives: int = 0):
        steps = models.options(game.model, alternatives)
        few_products = game.settings.second_order
        once = models.options(game.model, alternatives, 0 if few_products else game.rows)
        self.game = game
        self.mesh = mesh
        self.memory = memory or devices.memory()
        self.chunk, self.chunks, self.evaluations = Chunks.of(game)  # `chunk`: evaluations of a call of `advance`
        self.keep = game.settings.solution != "best"
        self.traced = {"start": 0, "advance": 0}
        trial_axis, state_axes, choices = (devices.SWEEP,), (None, devices.SWEEP), dealt(mesh, None)

        def known(name: str) -> tuple[Any, ...]:
            return "Batched", name, game, self.memory

        begin, play, returned = [(), (), trial_axis, choices], [state_axes, trial_axis, choices], [(), (), state_axes]
        start = steps if game.model.support else once  # a long loop, not an optimum at once
        self.start = devices.compiled(mesh, self._start, begin, returned, start, known=known("start"))
        self.advance = devices.compiled(mesh, self._advance, play, state_axes, steps, known=known("advance"))
        if game.closes:
            self.traced["close"] = 0
            self.close = devices.compiled(mesh, self._close, play, state_axes, once, known=known("close"))

    @classmethod
    def of(cls, game: Game, mesh: Mesh, memory: int | None = None, alternatives: int = 0) -> Batched:
        """The programs of this game, compiled before if there was a sweep like it; for choices among so many
        `alternatives`, if that is known."""
        try:
            return _kept(game, mesh, memory, alternatives)
        except TypeError:  # a model that cannot be hashed is not known again
            return cls(game, mesh, memory, alternatives)

    def at_once(self, states: TrainState, data: Data) -> tuple[bool, int]:
        """Whether all seeds are played side by side, and how many bounds of each on a device.

        `UsageError` if a single trial does not fit the memory that was asked for.
        """
        seeds, trials = states.played.shape
        on_device = trials // self.mesh.shape[devices.SWEEP]
        params = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[2:], leaf.dtype), states.game.params)
        train, people = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), (data.train, data.people)
        )
        whole = self.game.problem.footprint(params, train, states.scale.shape[-1], people)
        one = whole // self.mesh.shape[devices.DATA]
        room = self.memory
        if one > room:
            raise UsageError(
                f"memory: one trial needs about {one:,} bytes a step, got {room:,}; give more, or set microbatch"
            )
        room = near(self.game.model, one, room)
        fits = [size for size in range(1, on_device + 1) if on_device % size == 0 and size * one <= room]
        return seeds * on_device * one <= room, max(fits)

    def _start(
        self, seeds: Array, constraint: Constraint, blank: Array, data: Data
    ) -> tuple[Best, EvaluationRecord, TrainState]:
        """Of every seed: what its unconstrained trial returns, its evaluations, and the states that begin the game, one
        for each of the `blank` places."""
        self.traced["start"] += 1

        def of_seed(seed, seed_data):
            unconstrained, trace = unconstrained_state(
                self.game, jax.random.key(seed), constraint, seed_data, self.evaluations
            )
            warm = self.game.warm_start(unconstrained, constraint, seed_data)
            return unconstrained.best, trace, jax.vmap(lambda _: warm)(blank)

        return self._each_seed(of_seed, (seeds, data), jax.default_backend() != "cpu")

    def ahead(self, seeds: Any, constraint: Constraint, blank: Any, data: Data, plays: bool = True) -> None:
        """Begin to compile the programs for arguments of these shapes; without a game the first alone."""
        *_, states = self.start.ahead(seeds, constraint, blank, data)
        if not plays:
            return
        constraints = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((*blank.shape, *leaf.shape), leaf.dtype), constraint
        )
        self.advance.ahead(states, constraints, data)
        if self.game.closes:
            self.close.ahead(states, constraints, data)

    @staticmethod
    def _each_seed(of_seed: Callable[..., Any], arguments: Any, side_by_side: bool) -> Any:
        """`of_seed` of every seed, one after another or side by side."""
        if side_by_side:
            return jax.vmap(of_seed)(*arguments)
        if len(jax.tree.leaves(arguments)[0]) > 1:
            return jax.lax.map(lambda one: of_seed(*one), arguments)
        alone = of_seed(*jax.tree.map(lambda leaf: leaf[0], arguments))  # a loop would copy all data
        return jax.tree.map(lambda leaf: leaf[None], alone)

    def _advance(self, states: TrainState, constraints: Constraint, data: Data) -> tuple[TrainState, EvaluationRecord]:
        self.traced["advance"] += 1

        def play(state: TrainState, constraint: Constraint, seed_data: Data) -> tuple[TrainState, EvaluationRecord]:
            return self.game.advance(state, constraint, seed_data, self.chunk, self.keep)

        states, trace = self._of_all(play, states, constraints, data)
        spaced = np.unique(np.linspace(0, self.chunk, KEPT + 1)[1:].astype(int) - 1)
        return states, trace._replace(params=jax.tree.map(lambda leaf: leaf[:, :, spaced], trace.params))

    def _close(self, states: TrainState, constraints: Constraint, data: Data) -> tuple[TrainState, EvaluationRecord]:
        self.traced["close"] += 1

        def play(state: TrainState, constraint: Constraint, seed_data: Data) -> tuple[TrainState, EvaluationRecord]:
            return self.game.close(state, constraint, seed_data, self.keep)

        return self._of_all(play, states, constraints, data)

    def _of_all(
        self, playing: Any, states: TrainState, constraints: Constraint, data: Data
    ) -> tuple[TrainState, EvaluationRecord]:
        """`playing(state, constraint, data)` of every trial of every seed."""

        def of_seed(seed_states, seed_data):
            def play(pair):
                state, constraint = pair
                return playing(state, constraint, seed_data)

            pairs, sweep_devices = (seed_states, constraints), self.mesh.shape[devices.SWEEP]
            if side_by_side == seed_states.played.shape[0] // sweep_devices:
                return jax.vmap(play)(pairs)

            def in_turn(share):  # what a device plays
                cut = jax.tree.map(lambda leaf: leaf.reshape(-1, side_by_side, *leaf.shape[1:]), share)
                played = jax.lax.map(jax.vmap(play), cut)
                return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), played)

            if sweep_devices == 1:  # an axis of one more would slow down every product
                return in_turn(pairs)
            dealt = jax.tree.map(lambda leaf: leaf.reshape(sweep_devices, -1, *leaf.shape[1:]), pairs)
            return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), jax.vmap(in_turn)(dealt))

        seeds_too, side_by_side = self.at_once(states, data)
        seeds_too &= jax.default_backend() != "cpu" or len(states.played) == 1  # slower products with more of them
        return self._each_seed(of_seed, (states, data), seeds_too)

    def total(self, seeds: int, bounds: int) -> int:
        return self.chunks + 2

    def fit(self, trials: Trials) -> Fitted:
        """See `Trainer`."""
        seeds, data, constraint, grid, keeper, progress, meanwhile = trials
        total = self.total(len(seeds), len(grid(1.0)))
        progress(0, total)
        whole, state_axes = devices.on(self.mesh), devices.on(self.mesh, None, devices.SWEEP)
        placed = devices.place(stack(data, padding(self.mesh, self.game)), dealt(self.mesh, None))
        lowest = real(constraint)
        asked = grid(1.0)
        requested, plays = len(asked), self.keep or not unbounded(asked)
        spare = -requested % self.mesh.shape[devices.SWEEP]  # every device has the same number of trials
        blank = np.zeros(requested + spare, jnp.result_type(float))
        blank = devices.place(blank, devices.on(self.mesh, devices.SWEEP))
        begin = (devices.place(np.asarray(seeds), whole), lowest, blank, placed)
        if not keeper.stored("start"):
            self.ahead(*begin, plays=plays)
        meanwhile()
        *unconstrained, states = keeper.once("start", self.start, begin, [whole, whole, state_axes])
        unconstrained_best, unconstrained_trace = devices.fetch(unconstrained)
        constraints = grid(float(np.max(unconstrained_best.gap, -1).mean()))
        first = jax.tree.map(lambda leaf: leaf[:, None], (unconstrained_best, unconstrained_trace))
        if not plays:  # the unconstrained trial is what all of them are
            progress(total - 1, total)
            return Fitted(constraints, *jax.tree.map(lambda leaf: np.repeat(leaf, 1 + len(constraints), 1), first))
        padded = map(real, [*constraints, *[constraints[-1]] * spare])
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *padded)
        stacked = devices.place(stacked, devices.on(self.mesh, devices.SWEEP))
        traces = []
        for call in range(self.chunks):
            progress(call + 1, total)
            played = keeper.once(f"chunk{call}", self.advance, (states, stacked, placed), state_axes)
            states, chunk_trace = jax.block_until_ready(played)
            traces.append(devices.fetch(chunk_trace))
        if self.game.closes:
            states, chunk_trace = keeper.once("close", self.close, (states, stacked, placed), state_axes)
            traces.append(devices.fetch(chunk_trace))
        progress(self.chunks + 1, total)
        iterates = jax.tree.map(
            lambda *leaves: np.concatenate(leaves, 2), *[chunk_trace.params for chunk_trace in traces]
        )
        traces = [chunk_trace._replace(params=None) for chunk_trace in traces]
        rest = (devices.fetch(states.best), jax.tree.map(lambda *leaves: np.concatenate(leaves, 2), *traces))
        kept = 1 + len(constraints)
        best, trace = jax.tree.map(lambda a, b: np.concatenate([a, b], 1)[:, :kept], first, rest)
        iterates = jax.tree.map(lambda leaf: leaf[:, : kept - 1], iterates)
        return Fitted(constraints, best, trace._replace(params=iterates))


def near(model: models.Model, one: int, room: int) -> int:
    """How many of so many bytes the steps of trials should take, if `one` takes so many: those of a network on a CPU
    stay in its cache."""
    return room if model.linear or jax.default_backend() != "cpu" else min(room, max(one, CACHE))


def unconstrained_state(
    game: Game, key: Array, constraint: Constraint, data: Data, evaluations: int
) -> tuple[TrainState, EvaluationRecord]:
    """The unconstrained state with its best iterate, and so many evaluations."""
    if game.direct(data) or not game.closes:
        return game.start(key, constraint, data, evaluations)
    unconstrained, seen = game.start(key, constraint, data, evaluations - 1)
    closed, last = game.close(unconstrained, constraint.at(jnp.inf), data, bounded=False)
    return unconstrained._replace(best=closed.best), jax.tree.map(lambda *leaves: jnp.concatenate(leaves), seen, last)


@functools.lru_cache(maxsize=16)
def _kept(game: Game, mesh: Mesh, memory: int | None, alternatives: int) -> Batched:
    return Batched(game, mesh, memory, alternatives)
