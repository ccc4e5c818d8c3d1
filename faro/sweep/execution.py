"""The programs of a sweep: how its members share the devices."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh

from constraints import Choices, Constraint

from .. import models
from ..errors import UsageError
from ..runtime import devices
from ..training import Best, Data, Game, Look, Member

STRETCHES = 10  # calls of the compiled program, and checkpoints, per sweep
CACHE = 20 * 2**20  # bytes of a network's step on a CPU that stay close to its cores
KEPT = 5  # iterates of each that a mixture may draw on, of every member


class Sweep:
    """The compiled programs of a sweep, partitioned on a mesh: bounds on one axis, choices on the other.

    They serve every sweep of the same game and shapes in this process (`Sweep.of`). `traced` counts how often each was
    traced: once, whatever the grid, the mesh and the data set. Members are played side by side as far as `memory` bytes
    a device and, for a network on a CPU, its cache allow.
    """

    def __init__(self, game: Game, mesh: Mesh, memory: int | None = None, alternatives: int = 0):
        steps = models.options(game.model, alternatives)
        once = models.options(game.model, alternatives, 0 if game.second_order else game.rows)  # there: a few products
        self.game = game
        self.mesh = mesh
        self.memory = memory or devices.memory()
        self.rounds = -(-game.settings.rounds // STRETCHES)  # per call of `advance`
        self.keep = game.settings.solution != "best"
        self.traced = {"start": 0, "advance": 0}
        lanes, members, choices = (devices.SWEEP,), (None, devices.SWEEP), (None, devices.DATA)
        self.start = devices.compiled(mesh, self._start, [(), (), lanes, choices], [(), (), members], once)
        self.advance = devices.compiled(mesh, self._advance, [members, lanes, choices], members, steps)

    @classmethod
    def of(cls, game: Game, mesh: Mesh, memory: int | None = None, alternatives: int = 0) -> Sweep:
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
        if not self.game.model.linear and jax.default_backend() == "cpu":
            room = min(room, max(one, CACHE))
        fits = [size for size in range(1, dealt + 1) if dealt % size == 0 and size * one <= room]
        return seeds * dealt * one <= room, max(fits)

    def _start(self, seeds: Array, constraint: Constraint, lanes: Array, data: Data) -> tuple[Best, Look, Member]:
        """Of every seed: what its unconstrained member returns, its looks, and the members that begin the game, one for
        each of the lanes."""
        self.traced["start"] += 1

        def of_seed(seed, own):
            pilot, looks = self.game.start(jax.random.key(seed), constraint, own, self.rounds * STRETCHES)
            entered = self.game.enter(pilot, constraint, own)
            return pilot.best, looks, jax.vmap(lambda _: entered)(lanes)

        return self._each_seed(of_seed, (seeds, data), jax.default_backend() != "cpu")

    def ahead(self, seeds: Any, constraint: Constraint, lanes: Any, data: Data) -> None:
        """Begin to compile both programs for arguments of these shapes."""
        *_, states = self.start.ahead(seeds, constraint, lanes, data)
        members = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((*lanes.shape, *leaf.shape), leaf.dtype), constraint)
        self.advance.ahead(states, members, data)

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

        def of_seed(own_states, own):
            def play(pair):
                state, constraint = pair
                return self.game.advance(state, constraint, own, self.rounds, self.keep)

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
        states, look = self._each_seed(of_seed, (states, data), seeds_too)
        spaced = np.unique(np.linspace(0, self.rounds, KEPT + 1)[1:].astype(int) - 1)
        return states, look._replace(params=jax.tree.map(lambda leaf: leaf[:, :, spaced], look.params))


@functools.lru_cache(maxsize=16)
def _kept(game: Game, mesh: Mesh, memory: int | None, alternatives: int) -> Sweep:
    return Sweep(game, mesh, memory, alternatives)


def stack(members: list[Data], multiple: int = 1) -> Data:
    """One `Data` on the host with a leading axis of seeds; parts are padded to the largest seed's, and to a multiple of
    this many choices."""

    def stacked(own: tuple) -> Any:
        if len(own) == 1:  # of one seed nothing is copied
            return jax.tree.map(lambda leaf: np.asarray(leaf)[None], own[0])
        return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *own)

    def largest(*parts):
        size = max(part.shape[0] for part in parts)
        return stacked(tuple(part.pad(size + -size % multiple) for part in parts))

    def whole(leaf: Any) -> np.ndarray:  # as many people for every seed
        spare = np.arange(len(leaf) + -len(leaf) % multiple) % max(len(leaf), 1)
        return np.asarray(leaf)[spare]

    rows = [own._replace(people=None) for own in members]
    data = jax.tree.map(largest, *rows, is_leaf=lambda node: isinstance(node, Choices))
    return data._replace(people=stacked(tuple(jax.tree.map(whole, own.people) for own in members)))
