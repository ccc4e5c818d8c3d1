"""The frontier: bounds x seeds in one compiled program, then every member judged again from its saved parameters.

data per seed (split, coded on its own train part, padded to one shape)
  -> start     the unconstrained member of every seed, which also fixes the grid of bounds
  -> advance   all members at once, a stretch of rounds per call; a checkpoint after every stretch
  -> judge     gaps, accuracy, calibration in float64 from the parameters that are saved
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from constraints import Choices, Constraint

from . import devices, models
from .checkpoint import Keeper
from .data import Dataset
from .errors import DataError, UsageError
from .judge import ASKED, Frontier, Judge, View
from .notes import fit_for, reason, together
from .solutions import choose
from .trained import TrainedModel
from .training import Best, Data, Game, Look, Member, Settings

Progress = Callable[[int, int], None]  # (done, total)
STRETCHES = 10  # calls of the compiled program, and checkpoints, per sweep
CACHE = 20 * 2**20  # bytes of a network's step on a CPU that stay close to its cores
PROGRESS = ".progress"  # below the folder of a run: its checkpoints
KEPT = 5  # iterates of each that a mixture may draw on, of every member
LOWEST_BOUND = 0.01
UNCONSTRAINED = float("inf")  # the bound of the members that are not constrained


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
        train = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), data.train)
        one = self.game.footprint(own, train, states.scale.shape[-1]) // self.mesh.shape[devices.DATA]
        room = self.memory
        if one > room:
            raise UsageError(
                f"memory: one member needs about {one:,} bytes a step, got {room:,}; give more, or set microbatch"
            )
        if not isinstance(self.game.model, models.Linear) and jax.default_backend() == "cpu":
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


def frontier(
    data: Dataset,
    constraint: Constraint,
    *,
    bounds: Sequence[float] | int = 20,
    seeds: Sequence[int] | int = 3,
    model: models.Model | None = None,
    settings: Settings | None = None,
    mesh: str | None = None,
    memory: int | None = None,
    folder: str | Path | None = None,
    overwrite: bool = False,
    command: str = "",
    progress: Progress = lambda done, total: None,
) -> Frontier:
    """Train a model for every bound and seed, and judge them all.

    `bounds` is a list, or how many to lay geometrically from 0.01 to the unconstrained train gap (mean over seeds).
    With `folder`, results and progress are kept there: a killed sweep goes on where it stopped, a finished one is read,
    another one is a `UsageError` unless `overwrite`. All devices of all processes are used: see `faro.devices.mesh`;
    `memory` bounds the bytes that steps may take on each, about.
    `UsageError` also for a bound that is negative or NaN and for a constraint that no model can move; `DataError` for
    data that cannot carry it.
    """
    if isinstance(bounds, int):
        if bounds < 1:
            raise UsageError(f"expected at least one bound, got {bounds}")

        def grid(gap):
            return [constraint.at(b) for b in default_bounds(gap, bounds)]
    else:
        asked = check_bounds(bounds)

        def grid(gap):
            return [constraint.at(b) for b in asked]

    lowest = LOWEST_BOUND if isinstance(bounds, int) else min(asked)
    run = _Run(data, constraint.at(lowest), grid, seeds, model, settings, mesh, memory)
    return run.result(None if folder is None else Path(folder), overwrite, command, progress)


def train(
    data: Dataset,
    constraint: Constraint,
    *,
    seed: int = 0,
    model: models.Model | None = None,
    settings: Settings | None = None,
    mesh: str | None = None,
    progress: Progress = lambda done, total: None,
) -> TrainedModel:
    """One model under one constraint, at the constraint's own bound: a sweep of one. `about` has its figures."""
    check_bounds([float(part.bound) for part in constraint.parts()])
    data = dataclasses.replace(data, population=None)  # one model is judged on the data it comes from
    members = _Run(data, constraint, lambda gap: [constraint], [seed], model, settings, mesh).result(
        None, False, "", progress
    )
    unconstrained = all(part.bound == UNCONSTRAINED for part in constraint.parts())
    return members.models[0 if unconstrained else -1]


def check_bounds(bounds: Sequence[float]) -> list[float]:
    """The bounds as floats; `UsageError` for none, a negative one or NaN."""
    values = [float(bound) for bound in bounds]
    if not values:
        raise UsageError("expected at least one bound, got none")
    for value in values:
        if not value >= 0:
            raise UsageError(f"a bound must be a number >= 0 (a largest allowed gap of rates), got {value}")
    return values


def default_bounds(gap: float, count: int) -> list[float]:
    """`count` bounds, geometric from 0.01 to the unconstrained train gap (from a tenth of it, if it is below 0.01)."""
    top = max(gap, 1e-6)
    bottom = LOWEST_BOUND if top > LOWEST_BOUND else top / 10
    bounds = np.geomspace(bottom, top, count) if count > 1 else np.array([top / 2])
    return [float(f"{bound:.4g}") for bound in bounds]


# The run --------------------------------------------------------------------------------------------------------------


class _Run:
    """One sweep from data to judgement; `grid(unconstrained gap)` lists the constraints of its members."""

    def __init__(
        self, data: Dataset, constraint: Constraint, grid: Any, seeds: Any, model: Any, settings: Any, mesh: Any,
        memory: int | None = None,
    ):  # fmt: skip
        self.data, self.constraint, self.grid = data, constraint, grid
        self.model, self.settings, self.memory = model or models.Linear(), settings or Settings(), memory
        self.seeds = list(range(seeds)) if isinstance(seeds, int) else [int(seed) for seed in seeds]
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise UsageError(f"expected one or more different seeds, none negative, got {self.seeds}")
        if self.settings.solver == "exact":
            from . import solved  # cvxpy takes long to import, and the game needs none

            self.constraint = solved.check(self.model, constraint)
            self.grid = lambda gap: [solved.check(self.model, own) for own in grid(gap)]
        if not data.labelled:
            raise DataError(f"{data.name}: training needs labels; name the label column in the schema")
        self.mesh = devices.mesh(len(self.grid(1.0)), mesh)
        self.fingerprint = self._fingerprint()

    def _fingerprint(self) -> str:
        bounds = [[float(part.bound) for part in c.parts()] for c in self.grid(1.0)]
        versions = {name: metadata.version(name) for name in ("faro-fairness", "jax", "flax", "optax")}
        data = [self.data.name, self.data.digest, self.data.schema.to_dict(), self.data.unit_rule]
        game = [repr(self.constraint), bounds, self.seeds, repr(self.model), dataclasses.asdict(self.settings)]
        return hashlib.sha256(json.dumps([versions, data, game], sort_keys=True, default=str).encode()).hexdigest()

    def result(self, folder: Path | None, overwrite: bool, command: str, progress: Progress) -> Frontier:
        """The run as `folder` holds it, or computed and saved there by one process, or several as one, at a time."""
        if folder is None:
            return self._computed(None, command, progress)
        found = None if (folder / PROGRESS).exists() else self._finished(folder, overwrite)
        if found is not None:  # reading needs no lock
            return found
        with devices.alone(folder, folder=True):
            found = self._finished(folder, overwrite)
            if found is None:
                return self._computed(folder, command, progress)
            if devices.first():  # killed before its last step
                shutil.rmtree(folder / PROGRESS, ignore_errors=True)
            return found

    def _finished(self, folder: Path, overwrite: bool) -> Frontier | None:
        """This run, if the folder holds it finished; `UsageError` if it holds another one that is not to go."""
        if not (folder / "manifest.json").exists():
            return None
        if Frontier.fingerprint(folder) == self.fingerprint:
            try:
                return Frontier.load(folder, self.model)
            except DataError:
                if not overwrite:
                    raise
        elif not overwrite:
            raise UsageError(f"{folder} holds another finished run; choose another --out, or add --overwrite")
        return None

    def _computed(self, folder: Path | None, command: str, progress: Progress) -> Frontier:
        began = time.perf_counter()
        views = [View.of(self.data, seed, self.settings.dual_data) for seed in self.seeds]
        members, notes = [], {}
        for view in views:
            _somebody_counts(self.data, view)
            parts = [part for part in Data._fields if part in view.rows]
            members.append(Data(**{part: _choices(self.data, view, part, self.constraint) for part in parts}))
        rows = max(own.train.shape[0] for own in members)
        for view, own in zip(views, members, strict=True):  # padded: one shape, one compilation
            dev = _choices(self.data, view, "dev", self.constraint)
            where = f"{self.data.name}, seed {view.seed}"
            notes[view.seed] = fit_for(self.constraint, own.train.pad(rows), where, dev.pad(rows))
        keeper = Keeper(None if folder is None else folder / PROGRESS, f"{self.fingerprint} {self.mesh.shape}")
        if self.settings.solver == "game":
            self.settings = Game.suited(self.model, self.settings, self.constraint, members[0])
        game, alternatives = Game(self.model, self.settings, rows), members[0].train.shape[1]
        sweep = Sweep.of(game, self.mesh, self.memory, alternatives)
        before = dict(sweep.traced)
        court = Judge(self.data, self.constraint, self.model, self.settings, views)
        if self.settings.solver == "exact":
            constraints, best, trace = self._solve(views, progress)
        else:
            stacked = stack(members, math.lcm(self.mesh.shape[devices.DATA], self.settings.microbatch or 1))
            constraints, best, trace = self._play(sweep, stacked, keeper, progress, court)
        everyone = [self.constraint.at(UNCONSTRAINED), *constraints]
        mixes = self.settings.solution == "mixture"
        solution = choose(
            self.model, constraints, self.settings, self._exactly(views) if mixes else [], best, trace.params
        )
        run = court.frontier(everyone, best, solution, trace)
        asked = ASKED[self.settings.dual_data]
        for model in run.models:
            own_notes = notes[model.about["seed"]]
            model.about.update(notes=own_notes.all, dev_gap_over=list(own_notes.dev))
            if why := reason(self.constraint, model.about, own_notes, asked):
                model.about["reason"] = why
        run.manifest.update(
            notes=together({seed: own.all for seed, own in notes.items()}),
            dev_gap_over=together({seed: own.dev for seed, own in notes.items()}),
            command=command,
            fingerprint=self.fingerprint,
            resumed=keeper.resumed,
            traced={program: count - before[program] for program, count in sweep.traced.items()},
            seconds=round(time.perf_counter() - began, 2),
        )
        if folder is not None and devices.first():
            Frontier.clear(folder)
            run.save(folder)
        devices.together("saved")
        keeper.close()
        progress(STRETCHES + 2, STRETCHES + 2)
        return run

    def _solve(self, views: list[View], progress: Progress) -> tuple[list[Constraint], Any, Any]:
        """What `_play` gives, by exact solves."""
        from . import solved

        progress(0, STRETCHES + 2)
        return solved.solve(self._exactly(views), self.grid, self.constraint, self.settings)

    def _exactly(self, views: list[View]) -> list[Data]:
        """What every seed trains on in float64, as it is judged."""
        with jax.enable_x64(True):
            return [
                Data(
                    *(
                        _choices(self.data, view, part, self.constraint, np.float64)
                        for part in Data._fields
                        if part in view.rows
                    )
                )
                for view in views
            ]

    def _play(
        self, sweep: Sweep, data: Data, keeper: Keeper, progress: Progress, court: Judge
    ) -> tuple[list[Constraint], Any, Any]:
        """Train everybody: the constraints of the grid, and `Best` and `Look` as numpy, `[seeds, 1 + bounds, ...]`, the
        unconstrained members first."""
        progress(0, STRETCHES + 2)
        whole, members = devices.on(self.mesh), devices.on(self.mesh, None, devices.SWEEP)
        data = devices.place(data, devices.on(self.mesh, None, devices.DATA))
        seeds = devices.place(np.asarray(self.seeds), whole)
        real = jnp.result_type(float)
        lowest = jax.tree.map(lambda leaf: np.asarray(leaf, real), self.constraint)
        asked = len(self.grid(1.0))
        spare = -asked % self.mesh.shape[devices.SWEEP]  # every device has the same number of members
        blank = devices.place(np.zeros(asked + spare, real), devices.on(self.mesh, devices.SWEEP))
        begin = (seeds, lowest, blank, data)
        if not keeper.stored("start"):
            sweep.ahead(*begin)
        court.ahead()
        *pilots, states = keeper.once("start", sweep.start, begin, [whole, whole, members])
        pilot_best, pilot_looks = devices.fetch(pilots)
        constraints = self.grid(float(np.max(pilot_best.gap, -1).mean()))
        padded = [*constraints, *[constraints[-1]] * spare]
        lanes = jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf, real) for leaf in leaves]), *padded)
        lanes = devices.place(lanes, devices.on(self.mesh, devices.SWEEP))
        looks = []
        for stretch in range(STRETCHES):
            progress(stretch + 1, STRETCHES + 2)
            stretched = keeper.once(f"stretch{stretch}", sweep.advance, (states, lanes, data), members)
            states, look = jax.block_until_ready(stretched)
            looks.append(devices.fetch(look))
        iterates = jax.tree.map(lambda *leaves: np.concatenate(leaves, 2), *[look.params for look in looks])
        looks = [look._replace(params=None) for look in looks]
        progress(STRETCHES + 1, STRETCHES + 2)
        first = jax.tree.map(lambda leaf: leaf[:, None], (pilot_best, pilot_looks))
        rest = (devices.fetch(states.best), jax.tree.map(lambda *leaves: np.concatenate(leaves, 2), *looks))
        kept = 1 + len(constraints)
        best, trace = jax.tree.map(lambda a, b: np.concatenate([a, b], 1)[:, :kept], first, rest)
        return constraints, best, trace._replace(params=jax.tree.map(lambda leaf: leaf[:, : kept - 1], iterates))


def _choices(data: Dataset, view: View, part: str, constraint: Constraint, dtype: Any = np.float32) -> Choices:
    """The choices of a part for training, weights in units of their mean: no statistic sees the unit, float32 would."""
    rows = view.rows[part]
    choices = data.choices(view.coding, rows, **constraint.needs(), dtype=dtype)
    weight = data.parsed.weight[rows]
    return choices.replace(weight=np.asarray(weight / weight.mean(), choices.weight.dtype))


def _somebody_counts(data: Dataset, view: View) -> None:
    for part, rows in view.rows.items():
        if not data.parsed.weight[rows].sum() > 0:
            raise DataError(f"{data.name}, seed {view.seed}: every weight in the {part} part is 0; nobody counts there")


def stack(members: list[Data], multiple: int = 1) -> Data:
    """One `Data` on the host with a leading axis of seeds; parts are padded to the largest seed's, and to a multiple of
    this many choices."""

    def largest(*parts):
        size = max(part.shape[0] for part in parts)
        padded = [part.pad(size + -size % multiple) for part in parts]
        return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *padded)

    return jax.tree.map(largest, *members, is_leaf=lambda node: isinstance(node, Choices))
