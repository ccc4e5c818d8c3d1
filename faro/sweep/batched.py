"""All trials of a sweep at once: their states are one pytree, and a compiled program plays a stretch of all of them."""

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
from ..training import Best, Data, Game, Look, Member
from ..training.trainer import Fitted, Trials, real
from .execution import KEPT, Rounds, padding, stack

CACHE = 20 * 2**20  # bytes of a network's step on a CPU that stay close to its cores


class Batched:
    """The compiled programs of a sweep, partitioned on a mesh: bounds on one axis, choices on the other.

    They serve every sweep of the same game and shapes in this process (`Batched.of`). `traced` counts how often each
    was traced: once, whatever the grid, the mesh and the data set. Members are played side by side as far as `memory`
    bytes a device and, for a network on a CPU, its cache allow.
    """

    def __init__(self, game: Game, mesh: Mesh, memory: int | None = None, alternatives: int = 0):
        steps = models.options(game.model, alternatives)
        once = models.options(game.model, alternatives, 0 if game.second_order else game.rows)  # there: a few products
        self.game = game
        self.mesh = mesh
        self.memory = memory or devices.memory()
        self.rounds, self.calls, self.looks = Rounds.of(game)  # rounds per call of `advance`
        self.keep = game.settings.solution != "best"
        self.traced = {"start": 0, "advance": 0}
        lanes, members, choices = (devices.SWEEP,), (None, devices.SWEEP), (None, devices.DATA)
        self.start = devices.compiled(mesh, self._start, [(), (), lanes, choices], [(), (), members], once)
        self.advance = devices.compiled(mesh, self._advance, [members, lanes, choices], members, steps)
        if game.closes:
            self.traced["close"] = 0
            self.close = devices.compiled(mesh, self._close, [members, lanes, choices], members, once)

    @classmethod
    def of(cls, game: Game, mesh: Mesh, memory: int | None = None, alternatives: int = 0) -> Batched:
        """The programs of this game, compiled before if there was a sweep like it; for choices among so many
        `alternatives`, if that is known."""
        try:
            return _kept(game, mesh, memory, alternatives)
        except TypeError:  # a model that cannot be hashed is not known again
            return cls(game, mesh, memory, alternatives)

    def at_once(self, states: Member, data: Data) -> tuple[bool, int]:
        """Whether all seeds are played side by side, and how many bounds of each on a device.

        `UsageError` if a single member does not fit the memory that was asked for.
        """
        seeds, members = states.played.shape
        dealt = members // self.mesh.shape[devices.SWEEP]
        own = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[2:], leaf.dtype), states.game.params)
        train, people = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), (data.train, data.people)
        )
        one = self.game.footprint(own, train, states.scale.shape[-1], people) // self.mesh.shape[devices.DATA]
        room = self.memory
        if one > room:
            raise UsageError(
                f"memory: one member needs about {one:,} bytes a step, got {room:,}; give more, or set microbatch"
            )
        room = near(self.game.model, one, room)
        fits = [size for size in range(1, dealt + 1) if dealt % size == 0 and size * one <= room]
        return seeds * dealt * one <= room, max(fits)

    def _start(self, seeds: Array, constraint: Constraint, lanes: Array, data: Data) -> tuple[Best, Look, Member]:
        """Of every seed: what its unconstrained member returns, its looks, and the members that begin the game, one for
        each of the lanes."""
        self.traced["start"] += 1

        def of_seed(seed, own):
            pilot, looks = begun(self.game, jax.random.key(seed), constraint, own, self.looks)
            entered = self.game.enter(pilot, constraint, own)
            return pilot.best, looks, jax.vmap(lambda _: entered)(lanes)

        return self._each_seed(of_seed, (seeds, data), jax.default_backend() != "cpu")

    def ahead(self, seeds: Any, constraint: Constraint, lanes: Any, data: Data) -> None:
        """Begin to compile both programs for arguments of these shapes."""
        *_, states = self.start.ahead(seeds, constraint, lanes, data)
        members = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((*lanes.shape, *leaf.shape), leaf.dtype), constraint)
        self.advance.ahead(states, members, data)
        if self.game.closes:
            self.close.ahead(states, members, data)

    @staticmethod
    def _each_seed(of_seed: Callable[..., Any], own: Any, side_by_side: bool) -> Any:
        """`of_seed` of every seed, one after another or side by side."""
        if side_by_side:
            return jax.vmap(of_seed)(*own)
        if len(jax.tree.leaves(own)[0]) > 1:
            return jax.lax.map(lambda one: of_seed(*one), own)
        alone = of_seed(*jax.tree.map(lambda leaf: leaf[0], own))  # a loop would copy all data
        return jax.tree.map(lambda leaf: leaf[None], alone)

    def _advance(self, states: Member, members: Constraint, data: Data) -> tuple[Member, Look]:
        self.traced["advance"] += 1

        def play(state: Member, constraint: Constraint, own: Data) -> tuple[Member, Look]:
            return self.game.advance(state, constraint, own, self.rounds, self.keep)

        states, look = self._of_all(play, states, members, data)
        spaced = np.unique(np.linspace(0, self.rounds, KEPT + 1)[1:].astype(int) - 1)
        return states, look._replace(params=jax.tree.map(lambda leaf: leaf[:, :, spaced], look.params))

    def _close(self, states: Member, members: Constraint, data: Data) -> tuple[Member, Look]:
        self.traced["close"] += 1

        def play(state: Member, constraint: Constraint, own: Data) -> tuple[Member, Look]:
            return self.game.close(state, constraint, own, self.keep)

        return self._of_all(play, states, members, data)

    def _of_all(self, playing: Any, states: Member, members: Constraint, data: Data) -> tuple[Member, Look]:
        """`playing(state, constraint, data)` of every member of every seed."""

        def of_seed(own_states, own):
            def play(pair):
                state, constraint = pair
                return playing(state, constraint, own)

            pairs, lanes = (own_states, members), self.mesh.shape[devices.SWEEP]
            if side_by_side == own_states.played.shape[0] // lanes:
                return jax.vmap(play)(pairs)

            def in_turn(own):  # what a device plays
                cut = jax.tree.map(lambda leaf: leaf.reshape(-1, side_by_side, *leaf.shape[1:]), own)
                played = jax.lax.map(jax.vmap(play), cut)
                return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), played)

            if lanes == 1:  # an axis of one more would slow down every product
                return in_turn(pairs)
            dealt = jax.tree.map(lambda leaf: leaf.reshape(lanes, -1, *leaf.shape[1:]), pairs)
            return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), jax.vmap(in_turn)(dealt))

        seeds_too, side_by_side = self.at_once(states, data)
        seeds_too &= jax.default_backend() != "cpu" or len(states.played) == 1  # slower products with more of them
        return self._each_seed(of_seed, (states, data), seeds_too)

    def total(self, seeds: int, bounds: int) -> int:
        return self.calls + 2

    def fit(self, trials: Trials) -> Fitted:
        """See `Trainer`."""
        seeds, data, constraint, grid, keeper, progress, meanwhile = trials
        total = self.total(len(seeds), len(grid(1.0)))
        progress(0, total)
        whole, members = devices.on(self.mesh), devices.on(self.mesh, None, devices.SWEEP)
        own = devices.place(stack(data, padding(self.mesh, self.game)), devices.on(self.mesh, None, devices.DATA))
        lowest = real(constraint)
        asked = len(grid(1.0))
        spare = -asked % self.mesh.shape[devices.SWEEP]  # every device has the same number of members
        blank = np.zeros(asked + spare, jnp.result_type(float))
        blank = devices.place(blank, devices.on(self.mesh, devices.SWEEP))
        begin = (devices.place(np.asarray(seeds), whole), lowest, blank, own)
        if not keeper.stored("start"):
            self.ahead(*begin)
        meanwhile()
        *pilots, states = keeper.once("start", self.start, begin, [whole, whole, members])
        pilot_best, pilot_looks = devices.fetch(pilots)
        constraints = grid(float(np.max(pilot_best.gap, -1).mean()))
        padded = map(real, [*constraints, *[constraints[-1]] * spare])
        lanes = jax.tree.map(lambda *leaves: np.stack(leaves), *padded)
        lanes = devices.place(lanes, devices.on(self.mesh, devices.SWEEP))
        looks = []
        for call in range(self.calls):
            progress(call + 1, total)
            played = keeper.once(f"stretch{call}", self.advance, (states, lanes, own), members)
            states, look = jax.block_until_ready(played)
            looks.append(devices.fetch(look))
        if self.game.closes:
            states, look = keeper.once("close", self.close, (states, lanes, own), members)
            looks.append(devices.fetch(look))
        progress(self.calls + 1, total)
        iterates = jax.tree.map(lambda *leaves: np.concatenate(leaves, 2), *[look.params for look in looks])
        looks = [look._replace(params=None) for look in looks]
        first = jax.tree.map(lambda leaf: leaf[:, None], (pilot_best, pilot_looks))
        rest = (devices.fetch(states.best), jax.tree.map(lambda *leaves: np.concatenate(leaves, 2), *looks))
        kept = 1 + len(constraints)
        best, trace = jax.tree.map(lambda a, b: np.concatenate([a, b], 1)[:, :kept], first, rest)
        iterates = jax.tree.map(lambda leaf: leaf[:, : kept - 1], iterates)
        return Fitted(constraints, best, trace._replace(params=iterates))


def near(model: models.Model, one: int, room: int) -> int:
    """How many of so many bytes the steps of members should take, if `one` takes so many: those of a network on a CPU
    stay in its cache."""
    return room if model.linear or jax.default_backend() != "cpu" else min(room, max(one, CACHE))


def begun(game: Game, key: Array, constraint: Constraint, data: Data, looks: int) -> tuple[Member, Look]:
    """The unconstrained member with its best iterate, and so many looks."""
    if game.direct(data) or not game.closes:
        return game.start(key, constraint, data, looks)
    pilot, seen = game.start(key, constraint, data, looks - 1)
    closed, last = game.close(pilot, constraint.at(jnp.inf), data)
    return pilot._replace(best=closed.best), jax.tree.map(lambda *leaves: jnp.concatenate(leaves), seen, last)


@functools.lru_cache(maxsize=16)
def _kept(game: Game, mesh: Mesh, memory: int | None, alternatives: int) -> Batched:
    return Batched(game, mesh, memory, alternatives)
