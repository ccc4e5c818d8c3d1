"""Training on data larger than the device: shards pass through it, one after another, and leave sums behind.

    census   one pass: masses and weight of the population, which every rate and loss is divided by
    play     a pass in shuffled order: `every` steps on each shard, minibatches drawn within it
    evaluate a pass: sums of all shards, then one evaluation of the whole, as in `faro.training`
    judge    one pass in float64 over the parameters that are returned

The device holds the state of a trial and a few shards, however many there are. With one shard it is training in memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from constraints import Choices, Constraint, Statistics

from .. import models
from ..errors import UsageError
from ..lagrangian import KKT
from ..losses import Objective
from ..runtime import devices
from ..runtime.checkpoint import Keeper
from ..runtime.versions import OURS, versions
from .bounds import check_bounds, status_of, unbounded
from .candidates import EvaluationRecord
from .game import Game
from .notes import fit_for
from .players import Step
from .problem import DEFAULT
from .settings import Settings, Use
from .sums import Prepared, Tally, Totals
from .trainer import Fitted, Progress, Trials, real
from .trial import Data, TrainState

AHEAD = 2  # shards that are read while the device works


class Shards(Protocol):
    """A list of shards, or anything that reads one when it is asked for: `grain.MapDataset`, a class of your own.

    Every shard is a `Choices` of the same shape (`Choices.pad`), best on the host, in any order that does not sort
    people: each should look like a sample of all.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Choices: ...


@dataclasses.dataclass(frozen=True, eq=False)
class Streamed:
    """What was trained: parameters, FEASIBLE, INFEASIBLE or DIVERGED, train figures in float64, an evaluation per
    pass, and notes."""

    params: Any
    status: str
    figures: dict[str, Any]  # nll, gap [P], ties of all shards
    trace: EvaluationRecord  # of the constrained game, `[passes, ...]`
    notes: tuple[str, ...] = ()  # what to know of the data, as `faro.train` says it

    @property
    def looks(self) -> EvaluationRecord:
        """The old name of `trace`, for one release."""
        warnings.warn("Streamed.looks is trace now; the old name goes with the next release", FutureWarning, 2)
        return self.trace


class _Population(NamedTuple):
    """What all shards together are: their totals, and what the objective knows of them."""

    totals: Totals
    known: Any


class _Position(NamedTuple):
    """Everything that the next shard needs to find; a pytree that a checkpoint holds."""

    state: TrainState
    tally: Tally  # of the shards that the evaluation of this pass has seen
    trace: EvaluationRecord  # [passes, ...] filled as far as passes have come


def train(
    shards: Shards,
    selection: Choices,
    constraint: Constraint,
    *,
    seed: int = 0,
    model: models.Model | None = None,
    settings: Settings | None = None,
    objective: Objective = DEFAULT,
    folder: str | Path | None = None,
    save_every: int | None = None,
    progress: Progress = lambda done, total: None,
) -> Streamed:
    """One model under one constraint, at the constraint's own bound, on the choices of all shards.

    `selection` stays on the device and selects the iterate. `objective` is minimised.
    `settings.steps` counts steps on shards, at least one pass.
    With `folder` a killed run goes on where it stopped: there is a checkpoint every `save_every` shards (default: a
    pass). Needs `grain` (the extra `stream`). `UsageError` for shards of different shapes and for settings that a
    stream cannot have.
    """
    check_bounds([float(part.bound) for part in constraint.parts()])
    given = settings or Settings()
    model, settings = model or models.Linear(), given.filled()
    check_streamed(model, settings, objective)
    if not len(shards):
        raise UsageError("expected at least one shard, got none")
    given.check_effect(Use(settings, shards[0].shape[0], len(shards)))
    lacking = [name for name in constraint.columns() if name not in shards[0].columns]
    if lacking:
        raise UsageError(f"{constraint.name()} reads column {lacking[0]!r}, shard 0 has none; give it to make_choices")
    notes = fit_for(constraint, lambda: (shards[index] for index in range(len(shards))), "shards")
    stream = _Stream(shards, selection, constraint, seed, model, settings, objective)
    with contextlib.nullcontext() if folder is None else devices.alone(folder, folder=True):
        keeper = Keeper(None if folder is None else Path(folder) / ".progress", stream.fingerprint)
        result = stream.train(keeper, save_every or len(shards), progress)
        keeper.close()
    return dataclasses.replace(result, notes=notes.train)


def check_streamed(model: models.Model, settings: Settings, objective: Objective) -> None:
    """`UsageError` for what a stream cannot have: it has train shards only, never sees all of them in one step, and
    keeps one iterate."""
    if settings.dual_data != "train":
        raise UsageError(f"dual_data: a stream has train shards only, got {settings.dual_data!r}; leave it out")
    if settings.primal == "sqp":
        raise UsageError(f"primal: a stream never sees all of train in one step, got {settings.primal!r}; leave it out")
    if settings.solver != "game":
        raise UsageError(f"solver: a stream plays the game, got {settings.solver!r}; leave it out")
    if settings.solution != "best":
        raise UsageError(f"solution: a stream keeps the best iterate alone, got {settings.solution!r}; leave it out")
    if model.support:
        raise UsageError(f"{type(model).__name__} reads earlier choices of a person, which a stream does not have")


class Stream:
    """The trainer on shards: `Data.train` is `Shards`, and one trial is played after another. Needs `grain`."""

    def __init__(self, model: models.Model, settings: Settings, objective: Objective = DEFAULT, units: int = 0):
        self.model, self.settings, self.objective, self.units = model, settings, objective, units
        self.mesh, self.traced = devices.mesh(1), dict[str, int]()

    def total(self, seeds: int, bounds: int) -> int:
        return 1

    def fit(self, trials: Trials) -> Fitted:
        """See `Trainer`."""
        seeds, data, constraint, grid, keeper, progress, meanwhile = trials
        streams = [
            _Stream(
                seed_data.train,
                seed_data.selection,
                constraint,
                seed,
                self.model,
                self.settings,
                self.objective,
                self.units,
            )
            for seed, seed_data in zip(seeds, data, strict=True)
        ]
        meanwhile()
        plan = Plan(len(seeds) * (1 + len(grid(1.0))), progress)
        unconstrained_runs = [stream.unconstrained(keeper, plan, name=f"seed{stream.seed}.start") for stream in streams]
        constraints = grid(float(np.mean([np.max(devices.fetch(run.state.best.gap)) for run in unconstrained_runs])))
        played = [
            [unconstrained, *(
                stream.trial(unconstrained.state, constraint, keeper, plan, name=f"seed{stream.seed}.trial{number}")
                for number, constraint in enumerate(constraints, 1)
            )]
            for stream, unconstrained in zip(streams, unconstrained_runs, strict=True)
        ]  # fmt: skip
        fetched = [[devices.fetch((position.state.best, position.trace)) for position in of_seed] for of_seed in played]
        rows = [jax.tree.map(lambda *leaves: np.stack(leaves), *of_seed) for of_seed in fetched]
        return Fitted(constraints, *jax.tree.map(lambda *leaves: np.stack(leaves), *rows))


class Plan:
    """How far the stages of a training have come; a checkpoint every so many shards, by default a pass."""

    def __init__(self, stages: int, progress: Progress, save_every: int | None = None, more: int = 0):
        self.stages, self.tell, self.save_every, self.more, self.done = stages, progress, save_every, more, 0

    def at(self, position: int, visits: int) -> None:
        """Told before every visit of a stage, and after its last one."""
        total = self.stages * visits + self.more
        self.tell(self.done * visits + position, total)
        self.done += position == visits


class _Stream:
    """The programs of one streamed training, each compiled once, and the passes that call them."""

    def __init__(
        self, shards: Any, selection: Choices, constraint: Constraint, seed, model, settings, objective, units=0
    ):
        self.shards, self.constraint, self.seed = shards, constraint, seed
        mesh = devices.mesh(1)
        rows = shards[0].shape[0]
        self.game = Game(model, settings, rows, len(shards), objective, units)
        self.settings = settings = self.game.settings
        self.multiple = math.lcm(mesh.shape[devices.DATA], settings.microbatch or 1)
        self.passes = max(1, math.ceil(settings.steps / (settings.every * len(shards))))
        self.whole, choices = devices.on(mesh), (devices.DATA,)
        self.dealt = devices.on(mesh, *choices)
        self.shapes = _shapes(self._placed(shards[0]))
        self.selection = devices.place(selection.pad(_up(selection.shape[0], self.multiple)), self.dealt)
        self.learn = devices.compiled(mesh, self.game.objective.known, [choices], ())
        self.census = devices.compiled(mesh, self._census, [choices, ()], ())
        self.start = devices.compiled(mesh, self._start, [choices], ())
        self.warm_start = devices.compiled(mesh, self._warm_start, [(), (), choices], ())
        self.play = devices.compiled(mesh, self._play, [(), (), (), (), choices], ())
        self.count = devices.compiled(mesh, self._count, [(), (), (), (), choices], ())
        self.evaluate = devices.compiled(mesh, self._evaluate, [(), (), (), (), choices], ())
        known: Any = ()
        if jax.tree.leaves(jax.eval_shape(self.game.objective.known, shards[0])):
            known = self._added(self.learn(shard) for shard in self._read(range(len(shards))))
        totals = self._added(self.census(shard, known) for shard in self._read(range(len(shards))))
        self.population = _Population(totals, known)
        self.fingerprint = self._fingerprint()

    def _fingerprint(self) -> str:
        known = list(versions(OURS, "jax", "flax", "optax").values())
        game = [repr(self.constraint), repr(self.game), self.seed, jax.device_count(), self.shapes]
        data = [devices.fetch(leaf).tobytes().hex() for leaf in jax.tree.leaves(self.population)]
        return hashlib.sha256(repr([known, game, data]).encode()).hexdigest()

    @staticmethod
    def _added(sums: Iterable[Any]) -> Any:
        return functools.reduce(lambda whole, shard_sums: jax.tree.map(jnp.add, whole, shard_sums), sums)

    # Shards -----------------------------------------------------------------------------------------------------------

    def _placed(self, shard: Choices) -> Choices:
        return devices.place(shard.pad(_up(shard.shape[0], self.multiple)), self.dealt)

    def _read(self, indices: Sequence[int]) -> Iterator[Choices]:
        """The shards in this order on the device; the next ones are read meanwhile."""
        try:
            import grain
        except ImportError:
            raise UsageError("streaming needs grain; install the extra: faro-fairness[stream]") from None
        stream = grain.MapDataset.source(indices).map(lambda index: self.shards[int(index)])
        options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=AHEAD)
        for index, shard in zip(indices, stream.to_iter_dataset(options), strict=True):
            placed = self._placed(shard)
            if _shapes(placed) != self.shapes:
                raise UsageError(
                    f"shard {index}: expected the shapes of shard 0, {self.shapes}, got {_shapes(placed)}; "
                    "pad the last one with Choices.pad"
                )
            yield placed

    def _visits(self, stage: int) -> list[int]:
        """Which shard is visited when: every pass evaluates all of them, then plays all of them in a fresh order."""
        count = len(self.shards)
        orders = [np.random.default_rng([self.seed, stage, p]).permutation(count) for p in range(self.passes)]
        return [int(index) for order in orders for index in [*range(count), *order]]

    # Programs ---------------------------------------------------------------------------------------------------------

    def _census(self, shard: Choices, known: Any) -> Totals:
        return self.game.problem.prepared(self.constraint, shard, Data(shard, shard), known).totals

    def _prepared(self, constraint: Constraint, population: _Population, shard: Choices) -> Prepared:
        prepared = self.game.problem.prepared(constraint, shard, Data(shard, shard), population.known)
        return dataclasses.replace(prepared, totals=population.totals)

    def _position(self, state: TrainState, shard: Choices) -> _Position:
        """Before the first shard of a stage."""
        prepared = self.game.problem.prepared(self.constraint, shard, Data(shard, shard))
        tally = jax.eval_shape(lambda: self.game.problem.tally(state.game.params, self.constraint, prepared, state.aim))
        step = jax.eval_shape(lambda: self.game.players.play(state, self.constraint, prepared, None)[1])

        def evaluation(tally, step):
            held = Statistics(tally.hard, prepared.totals.masses)
            return self.game.evaluate(state, step, self.constraint, tally, prepared.totals, held, prepared)[1]

        trace = jax.tree.map(
            lambda leaf: jnp.zeros((self.passes, *leaf.shape), leaf.dtype), jax.eval_shape(evaluation, tally, step)
        )
        return _Position(state, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), tally), trace)

    def _start(self, shard: Choices) -> _Position:
        init_key, key = jax.random.split(jax.random.key(self.seed))
        params = models.initial(self.game.model, init_key, shard, self.game.units)
        free, rows = self.constraint.at(jnp.inf), len(self.constraint.labels())
        return self._position(self.game.initial_state(key, params, free, Data(shard, shard), jnp.ones(rows)), shard)

    def _warm_start(self, unconstrained: TrainState, constraint: Constraint, shard: Choices) -> _Position:
        return self._position(self.game.warm_start(unconstrained, constraint, Data(shard, shard)), shard)

    def _play(self, now: _Position, constraint: Constraint, population: Any, position: Array, shard: Choices):
        state, step = self.game.players.play(now.state, constraint, self._prepared(constraint, population, shard), None)
        index, place = jnp.divmod(position, 2 * len(self.shards))
        index = jnp.where(
            place == len(self.shards), index, self.passes
        )  # only the first of a pass starts where it is evaluated
        seen = jax.tree.map(
            lambda all_, one: all_.at[index].set(one, mode="drop"),
            (now.trace.kkt, now.trace.capped),
            (step.kkt, step.capped),
        )
        return now._replace(state=state, trace=now.trace._replace(kkt=seen[0], capped=seen[1]))

    def _count(self, now: _Position, constraint: Constraint, population: Any, position: Array, shard: Choices):
        prepared = self._prepared(constraint, population, shard)
        tally = self.game.problem.tally(now.state.game.params, constraint, prepared, now.state.aim)
        return now._replace(tally=jax.tree.map(jnp.add, now.tally, tally))

    def _evaluate(self, now: _Position, constraint: Constraint, population: Any, position: Array, selection: Choices):
        totals, weight = population.totals, population.totals.weight
        held = Statistics(now.tally.hard, totals.masses)
        data = self.game.problem.prepared(constraint, selection, Data(selection, selection), population.known)
        nothing = Step(jax.tree.map(jnp.zeros_like, KKT(weight, weight, weight)), jnp.asarray(False), None, None)
        best, evaluation = self.game.evaluate(now.state, nothing, constraint, now.tally, totals, held, data)
        index = position // (2 * len(self.shards))
        trace = jax.tree.map(lambda all_, one: all_.at[index].set(one), now.trace, evaluation)
        return _Position(now.state._replace(best=best), jax.tree.map(jnp.zeros_like, now.tally), trace)

    # Passes -----------------------------------------------------------------------------------------------------------

    def unconstrained(self, keeper: Keeper, plan: Plan, name: str = "start") -> _Position:
        """The unconstrained trial, which the others begin from."""
        begin = self.start(self._placed(self.shards[0]))
        return self._stage(0, name, self.constraint.at(float("inf")), begin, keeper, plan)

    def trial(
        self, unconstrained: TrainState, constraint: Constraint, keeper: Keeper, plan: Plan, name: str = "game"
    ) -> _Position:
        """The trial under this constraint."""
        begin = self.warm_start(unconstrained, real(constraint), self._placed(self.shards[0]))
        return self._stage(1, name, constraint, begin, keeper, plan)

    def _stage(
        self, number: int, name: str, constraint: Constraint, begin: _Position, keeper: Keeper, plan: Plan
    ) -> _Position:
        constraint, visits, count = real(constraint), self._visits(number), len(self.shards)
        position, now = keeper.newest(name, begin, self.whole)
        for shard in self._read(visits[position:]):
            plan.at(position, len(visits))
            place = np.int32(position)
            if position // count % 2 == 1:
                now = self.play(now, constraint, self.population, place, shard)
            else:
                now = self.count(now, constraint, self.population, place, shard)
                if position % (2 * count) == count - 1:
                    now = self.evaluate(now, constraint, self.population, place, self.selection)
            position += 1
            if position % (plan.save_every or count) == 0 or position == len(visits):
                keeper.keep(name, position, now)
        plan.at(position, len(visits))
        return now

    def train(self, keeper: Keeper, save_every: int, progress: Progress) -> Streamed:
        """The trial of the constraint, with its figures."""
        plan = Plan(2, progress, save_every, len(self.shards))
        unconstrained = self.unconstrained(keeper, plan).state
        done = self.trial(unconstrained, self.constraint, keeper, plan)
        free = unbounded([self.constraint])
        best = devices.fetch((unconstrained if free else done.state).best)
        figures = self._exact_figures(best.params)
        bounds = [float(part.bound) for part in self.constraint.parts()]
        status = status_of(figures, bounds, bool(best.finite), self.settings)
        return Streamed(best.params, status, figures, devices.fetch(done.trace))

    def _exact_figures(self, params: Any) -> dict[str, Any]:
        """Train figures of these parameters in float64."""

        def double(tree):
            def exact(leaf):
                return leaf.astype(np.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

            return jax.tree.map(lambda leaf: exact(np.asarray(leaf)), tree)

        likelihood = dataclasses.replace(self.game.problem, objective=DEFAULT)  # whatever was minimised
        with jax.enable_x64(True):

            @jax.jit
            def tally(params, shard):
                prepared = likelihood.prepared(self.constraint, shard, Data(shard, shard), ())
                return (
                    likelihood.tally(params, self.constraint, prepared),
                    prepared.totals.masses,
                    prepared.totals.weight,
                )

            whole: Any = None
            for index in range(len(self.shards)):
                of_shard = jax.tree.map(np.asarray, tally(double(params), double(self.shards[index])))
                whole = of_shard if whole is None else jax.tree.map(np.add, whole, of_shard)
            sums, masses, weight = whole
            gap = np.asarray(self.constraint.gap(Statistics(sums.hard, masses)))
            return {"nll": float(sums.loss / weight), "gap": gap.tolist(), "ties": float(sums.ties / weight)}


def _shapes(choices: Choices) -> str:
    return ", ".join(str(jax.typeof(leaf)) for leaf in jax.tree.leaves(choices))


def _up(n: int, multiple: int) -> int:
    return n + -n % multiple
