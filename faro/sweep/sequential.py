"""One trial at a time on all devices, for models of which no two fit: what is kept of a trial lies on disk.

    start   a seed's unconstrained trial, in stretches; every other trial of the seed begins where it ended
    trial   its state on the device, a stretch after another; a checkpoint after each
    done    its best iterate and its looks are stored, its state is gone

So memory does not grow with the number of trials, and a kill loses at most a stretch of one. One compiled program plays
the stretches of all trials.
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
from ..training import Best, Data, Game, Look, Member
from ..training.trainer import Fitted, Trials, real
from .execution import Rounds, padding, stack


class StoredAtoms:
    """What trials return, read when it is asked for: as `faro.training.returned.Solution`, one atom each."""

    def __init__(self, read: Callable[[int, int], Any], seeds: int, members: int, scratch: Any = None):
        self.read, self.scratch = read, scratch  # a temporary folder lives as long as somebody may read it
        self.weights = np.ones((seeds, members, 1))

    def atoms(self, seed: int, member: int) -> Any:
        """Parameters of the one atom, leaves `[1, ...]`."""
        return jax.tree.map(lambda leaf: leaf[None], self.read(seed, member))


class Sequential:
    """The compiled programs of trials that are played one after another; all devices share the choices of each."""

    def __init__(self, game: Game, mesh: Mesh, alternatives: int = 0):
        if game.settings.solution != "best":
            raise UsageError(
                f"solution = {game.settings.solution}: keeps iterates of every trial, and these do not fit into memory "
                "(execution: sequential); leave solution out, or give more memory"
            )
        self.game, self.mesh = game, mesh
        self.rounds, self.calls, self.looks = Rounds.of(game)
        self.traced = {"begin": 0, "advance": 0, "close": 0, "enter": 0}
        steps, once = models.options(game.model, alternatives), models.options(game.model, alternatives, game.rows)
        data = (devices.DATA,)
        self.begin = devices.compiled(mesh, self._begin, [(), (), data], (), once)
        self.advance = devices.compiled(mesh, self._advance, [(), (), data], (), steps, consumed=(0,))
        self.close = devices.compiled(mesh, self._close, [(), (), data], (), once)
        self.enter = devices.compiled(mesh, self._enter, [(), (), data], (), once)

    @classmethod
    def of(cls, game: Game, mesh: Mesh, alternatives: int = 0) -> Sequential:
        """The programs of this game, compiled before if there was a sweep like it."""
        try:
            return _kept(game, mesh, alternatives)
        except TypeError:  # a model that cannot be hashed is not known again
            return cls(game, mesh, alternatives)

    def _begin(self, seed: Array, constraint: Constraint, data: Data) -> tuple[Member, Look]:
        """The unconstrained member before its first step; all its looks where no step is needed, else none."""
        self.traced["begin"] += 1
        looks = self.looks if self.game.direct(data) else 0
        return self.game.start(jax.random.key(seed), constraint, data, looks)

    def _advance(self, state: Member, constraint: Constraint, data: Data) -> tuple[Member, Look]:
        self.traced["advance"] += 1
        return self.game.advance(state, constraint, data, self.rounds)

    def _close(self, state: Member, constraint: Constraint, data: Data) -> tuple[Best, Look]:
        self.traced["close"] += 1
        closed, look = self.game.close(state, constraint, data)
        return closed.best, look

    def _enter(self, pilot: Member, constraint: Constraint, data: Data) -> Member:
        self.traced["enter"] += 1
        return self.game.enter(pilot, constraint, data)

    def total(self, seeds: int, bounds: int) -> int:
        return seeds * (1 + bounds) * self.calls + 2

    def fit(self, trials: Trials) -> Fitted:
        """See `Trainer`."""
        seeds, data, constraint, grid, keeper, progress, meanwhile = trials
        scratch = None
        if keeper.folder is None:
            if jax.process_count() > 1:
                raise UsageError("execution sequential: several processes share what is on disk; give --out")
            scratch = tempfile.TemporaryDirectory(prefix="faro-")
            keeper = Keeper(Path(scratch.name))
        self.whole, self.dealt = devices.on(self.mesh), devices.on(self.mesh, devices.DATA)
        padded = stack(data, padding(self.mesh, self.game))  # one shape for all seeds
        total, done = self.total(len(seeds), len(grid(1.0))), 0

        def stretch() -> None:
            nonlocal done
            done += 1
            progress(done, total)

        progress(0, total)
        meanwhile()
        lowest, free = real(constraint), real(constraint.at(float("inf")))
        shapes: Any = None  # of a state and of all looks of a trial
        figures: dict[tuple[int, int], Any] = {}
        gaps = []
        for s, seed in enumerate(seeds):
            own: Any = self._placed(padded, s)
            begin = (devices.place(np.asarray(seed), self.whole), lowest, own)
            state_shapes, _ = self.begin.ahead(*begin)
            looks = self.advance.ahead(state_shapes, free, own)[1]
            shapes = (
                state_shapes,
                jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((self.looks, *leaf.shape[1:]), leaf.dtype), looks),
            )
            at_once = self.game.direct(own)
            starting = functools.partial(self.begin, *begin)
            figures[s, 0] = self._trial(f"seed{seed}.start", starting, free, own, keeper, shapes, at_once, stretch)
            gaps.append(float(np.max(figures[s, 0][0].gap, -1)))
        constraints = grid(float(np.mean(gaps)))
        for s, seed in enumerate(seeds):
            names = [f"seed{seed}.trial{b + 1}" for b in range(len(constraints))]
            entered: Any = None
            own = None
            for b, (name, asked) in enumerate(zip(names, map(real, constraints), strict=True), 1):
                if entered is None and not keeper.stored(name):
                    own = self._placed(padded, s)
                    pilot = keeper.read(f"seed{seed}.start.state", shapes[0], self.whole)
                    entered = self.enter(pilot, lowest, own)
                    del pilot
                copied = functools.partial(_copied, entered)
                figures[s, b] = self._trial(name, copied, asked, own, keeper, shapes, False, stretch)
            del entered, own
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
        return Fitted(constraints, best, trace, StoredAtoms(read, len(seeds), 1 + len(constraints), scratch))

    def _placed(self, padded: Data, seed: int) -> Data:
        return devices.place(jax.tree.map(lambda leaf: leaf[seed], padded), self.dealt)

    def _trial(
        self,
        name: str,
        begin: Callable[[], tuple[Member, Look | None]],
        constraint: Constraint,
        data: Data,
        keeper: Keeper,
        shapes: tuple[Member, Look],
        at_once: bool,
        stretch: Callable[[], None],
    ) -> tuple[Any, Look]:
        """What a trial's best iterate is like, without parameters, and its looks, on the host; played unless stored.
        Of the unconstrained trial the state is stored as well, from which others begin."""
        figures_shapes = (shapes[0].best._replace(params=None), shapes[1])
        if keeper.stored(name):
            keeper.resumed.append(name)
            for _ in range(self.calls):
                stretch()
            return devices.fetch(keeper.read(name, figures_shapes, self.whole))
        state, looks = begin()
        seen = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes[1])
        if at_once:
            seen = devices.fetch(looks)
            for _ in range(self.calls):
                stretch()
        else:
            position, (state, stored) = keeper.newest(name, (state, seen), self.whole)
            seen = jax.tree.map(np.array, devices.fetch(stored)) if position else seen
            for call in range(self.calls):
                stretch()
                if call < position:
                    continue
                state, looks = self.advance(state, constraint, data)
                _put(seen, devices.fetch(looks), call * self.rounds)
                if call + 1 < self.calls:
                    keeper.keep(name, call + 1, (state, seen))
            if self.game.closes:
                best, looks = self.close(state, constraint, data)
                state = state._replace(best=best)
                _put(seen, devices.fetch(looks), self.looks - 1)
        if name.endswith(".start"):
            keeper.write(f"{name}.state", state)
        keeper.write(f"{name}.params", state.best.params)
        figures = devices.fetch((state.best._replace(params=None), seen))
        keeper.write(name, figures)  # the last: it says that the trial is done
        keeper.drop(name)
        return figures


@functools.lru_cache(maxsize=4)
def _kept(game: Game, mesh: Mesh, alternatives: int) -> Sequential:
    return Sequential(game, mesh, alternatives)


def _copied(state: Member) -> tuple[Member, None]:
    """A state of its own, which may be consumed."""
    return jax.tree.map(lambda leaf: leaf.copy(), state), None


def _put(all_: Look, some: Look, position: int) -> None:
    """Looks in their place among all of a trial."""

    def put(whole: np.ndarray, own: np.ndarray) -> None:
        whole[position : position + len(own)] = own

    jax.tree.map(put, all_, some)
