"""The frontier: bounds x seeds by compiled programs, then every trial evaluated again from its saved parameters.

data per seed (split, coded on its own train part, padded to one shape)
  -> start     the unconstrained trial of every seed, which also fixes the grid of bounds
  -> advance   all trials at once or one after another (`execution`), a chunk of steps per call; a checkpoint after
               every chunk
  -> evaluate  gaps, accuracy, calibration in float64 from the parameters that are saved
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from constraints import Constraint

from .. import models
from ..data import Dataset, Sharded
from ..data.candidates import check_sets
from ..data.made import is_made
from ..data.views import BOUNDED_PART, View
from ..errors import DataError, UsageError
from ..evaluate.trials import Evaluator
from ..losses import Mean, Objective
from ..registry import make
from ..runtime import devices
from ..runtime.checkpoint import Keeper
from ..runtime.versions import OURS, versions
from ..store import run as store
from ..store.fingerprint import fingerprint
from ..store.frontier import Frontier
from ..store.model import TrainedModel, load_model
from ..store.on_disk import OnDisk
from ..store.spec import to_record
from ..training import Data, Game, Settings, primal
from ..training.bounds import check_bounds
from ..training.problem import DEFAULT
from ..training.returned import choose
from ..training.settings import Use
from ..training.streaming import Stream, check_streamed
from ..training.trainer import Progress, Trainer, Trials
from . import aggregates, ridges
from .batched import Batched
from .execution import Need
from .grid import LOWEST_BOUND, default_bounds
from .noted import notes_of, tell
from .seed_data import check_weights, in_memory, in_shards
from .sequential import Sequential
from .tighten import Tightened, by_halves, standard_errors

PROGRESS = ".progress"  # below the folder of a run: its checkpoints
UNCONSTRAINED = float("inf")  # the bound of the trials that are not constrained


def frontier(
    data: Dataset,
    constraint: Constraint,
    *,
    bounds: Sequence[float] | int = 20,
    seeds: Sequence[int] | int = 3,
    model: models.Model | None = None,
    settings: Settings | None = None,
    objective: Objective | None = None,
    mesh: str | None = None,
    memory: int | None = None,
    folder: str | Path | None = None,
    overwrite: bool = False,
    baselines: bool = False,
    drop_people: bool = False,
    command: str = "",
    progress: Progress = lambda done, total: None,
) -> Frontier:
    """Train a model for every bound and seed, and evaluate them all.

    `bounds` is a list, or how many to lay geometrically from 0.01 to the unconstrained train gap (mean over seeds; from
    a tenth of it where that is lower).
    With `folder`, results and progress are kept there: a killed sweep goes on where it stopped, a finished one is read,
    another one is a `UsageError` unless `overwrite`. With `drop_people` models know nobody once they are judged. All
    devices of all processes are used, see `faro.runtime.devices.mesh`; `memory` bounds the bytes that steps may take on
    each, about.
    `UsageError` also for bounds that are left open where the unconstrained gap is 0: nothing is to be constrained
    there; for a bound that is negative or NaN, for a constraint that no model can move, and for a setting
    without effect on the sweep, and on `baselines` if they will be trained beside it; `DataError` for data that cannot
    carry it.
    """
    if isinstance(bounds, int):
        if bounds < 1:
            raise UsageError(f"expected at least one bound, got {bounds}")

        def grid(gap):
            return [constraint.at(b) for b in default_bounds(gap, bounds)]
    else:
        requested = check_bounds(bounds)

        def grid(gap):
            return [constraint.at(b) for b in requested]

    lowest = LOWEST_BOUND if isinstance(bounds, int) else min(requested)
    run = _Run(
        data, constraint.at(lowest), grid, seeds, model, settings, mesh, memory, objective, baselines=baselines,
        drop_people=drop_people,
    )  # fmt: skip
    return run.result(None if folder is None else Path(folder), overwrite, command, progress)


def train(
    data: Dataset | Sharded,
    constraint: Constraint,
    *,
    seed: int = 0,
    model: models.Model | None = None,
    settings: Settings | None = None,
    objective: Objective | None = None,
    mesh: str | None = None,
    stream: bool | int = False,
    progress: Progress = lambda done, total: None,
) -> TrainedModel:
    """One model under one constraint, at the constraint's own bound: a sweep of one. `about` has its figures. With
    `stream` the trainer passes over shards on disk: those of a `Sharded` table, or so many of a `Dataset`."""
    check_bounds([float(part.bound) for part in constraint.parts()])
    if isinstance(data, Dataset):
        data = dataclasses.replace(data, population=None)  # one model is judged on the data it comes from
    run = _Run(
        data, constraint, lambda gap: [constraint], [seed], model, settings, mesh, objective=objective, stream=stream
    )
    trials = run.result(None, False, "", progress)
    bounds = [float(part.bound) for part in constraint.parts()]
    if all(bound == UNCONSTRAINED for bound in bounds):
        return trials.models[0]
    answer, status = trials.models[-1], trials.table["status"].iloc[-1]
    if answer.about["bound"] == bounds:
        return answer
    about = answer.about | {"bound": bounds, "status": status}  # the unconstrained model is within them as well
    return dataclasses.replace(answer, about=about, specification=to_record(constraint))


# The run --------------------------------------------------------------------------------------------------------------


class _Run:
    """One sweep from data to judgement; `grid(unconstrained gap)` lists the constraints of its trials."""

    def __init__(
        self, data: Dataset | Sharded, constraint: Constraint, grid: Any, seeds: Any, model: Any, settings: Any,
        mesh: Any, memory: int | None = None, objective: Objective | None = None, stream: bool | int = False,
        baselines: bool = False, among: aggregates.Group = None, drop_people: bool = False,
    ):  # fmt: skip
        self.data, self.constraint, self.grid = data, constraint, grid
        self.model, self.memory = model or models.Linear(), memory
        self.requested = settings or Settings()
        self.settings = self.requested.suiting(self.model.settings)
        objective = Mean(loss=make("loss", self.model.loss)) if objective is None else objective
        self.objective, self.stream, self.baselines = objective, stream, baselines
        self.among, self.drop_people = among, drop_people
        self.seeds = list(range(seeds)) if isinstance(seeds, int) else [int(seed) for seed in seeds]
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise UsageError(f"expected one or more different seeds, none negative, got {self.seeds}")
        if drop_people and not data.schema.unit_index:
            raise UsageError("drop people: the schema has no unit_index: nobody is known by name; leave it out")
        self.settings = self._with_rule()
        if self.settings.solver == "exact":
            from . import exact_path  # cvxpy takes long to import, and the game needs none

            if not objective.logistic:
                raise UsageError("solver exact minimises the loss logit; leave out the loss, or the solver")
            self.constraint = exact_path.check(self.model, constraint)
            self.grid = lambda gap: [exact_path.check(self.model, unchecked) for unchecked in grid(gap)]
        if stream:
            check_streamed(self.model, self.settings, self.objective)
            aggregates.check_stream(constraint, objective)
        elif isinstance(data, Sharded):
            raise UsageError(
                f"{data.name}: a table in several files is streamed; ask train to (--stream), or join them"
            )
        if not data.labelled:
            raise DataError(f"{data.name}: training needs labels; name the label column in the schema")
        self.mesh, self.requested_mesh = devices.mesh(len(self.grid(1.0)), mesh), mesh
        self.fingerprint = self._fingerprint()

    def _fingerprint(self) -> str:
        bounds = [[float(part.bound) for part in c.parts()] for c in self.grid(1.0)]
        known = versions(OURS, "jax", "flax", "optax")
        data = [self.data.name, self.data.digest, self.data.schema.to_dict(), self.data.unit_rule]
        game = [self.constraint, bounds, self.seeds, self.model, dataclasses.asdict(self.settings)]
        game += [] if self.objective == DEFAULT else [self.objective]
        game += ["people are dropped"] if self.drop_people else []
        game += [f"stream {int(self.stream)}"] if self.stream else []
        return fingerprint(known, data, game)

    def result(self, folder: Path | None, overwrite: bool, command: str, progress: Progress) -> Frontier:
        """The run as `folder` holds it, or computed and saved there by one process, or several as one, at a time."""
        if folder is None:
            return self._computed(None, command, progress)
        finished = None if (folder / PROGRESS).exists() else self._finished(folder, overwrite)
        if finished is not None:  # reading needs no lock
            return finished
        with devices.alone(folder, folder=True):
            finished = self._finished(folder, overwrite)
            if finished is None:
                return self._computed(folder, command, progress)
            if devices.first():  # killed before its last step
                shutil.rmtree(folder / PROGRESS, ignore_errors=True)
            return finished

    def _finished(self, folder: Path, overwrite: bool) -> Frontier | None:
        """This run, if the folder holds it finished; `UsageError` if it holds another one that is not to go."""
        if not store.finished(folder):
            return None
        if store.fingerprint(folder) == self.fingerprint:
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
        views = [View.of(self.data, seed, self.settings.dual_data, self.model.support) for seed in self.seeds]
        if self.among is not None:
            assert isinstance(self.data, Dataset)  # nobody else asks for a group
            views = [view.among(self.data, *self.among) for view in views]
        for view in views:
            check_weights(self.data, view)
        read = (*self.constraint.columns(), *self.objective.columns())
        if any(map(is_made, read)):
            asked_by = self.constraint.name() if self.constraint.columns() else type(self.objective).__name__
            views = aggregates.with_columns(views, read, asked_by, self.model, self._fitted)
        taught_views = views
        training_data = [self._trained_on(view) for view in views]
        views = [aggregates.without_teachers(view, self.constraint) for view in views]
        notes = notes_of(self.data, self.constraint, self.model, views, training_data)
        trainer, why = self._trainer(views, training_data)
        self.requested.check_effect(self._use(training_data))
        before, tag = dict(trainer.traced), f"{self.fingerprint} {type(trainer).__name__} {trainer.mesh.shape}"
        keeper = Keeper(None if folder is None else folder / PROGRESS, tag)
        evaluator = Evaluator(self.data, self.constraint, self.model, self.settings, views, self.objective)
        given = self._exactly(taught_views) if self.settings.solver == "exact" else training_data
        chosen = self._ridges(views, training_data, trainer, keeper)
        given = [seed_data._replace(ridge=ridge) for seed_data, ridge in zip(given, chosen.ridges, strict=True)]
        tight: Tightened | None = None
        asked: list[Constraint] = []

        def grid(gap: float) -> list[Constraint]:
            asked[:] = self.grid(gap)
            return asked[:] if tight is None else [tight.held(one) for one in asked]

        trials = Trials(self.seeds, given, self.constraint, grid, keeper, progress, evaluator.ahead)
        try:
            tight = self._tightened(given, trainer)
            constraints, best, trace, solution = trainer.fit(trials)
        except UsageError:  # there is nothing to go on with
            keeper.close()
            raise
        unconstrained = self.constraint.at(UNCONSTRAINED)
        all_constraints = [unconstrained, *asked]
        mixes = self.settings.solution == "mixture"
        if solution is None:
            solution = choose(
                self.model, constraints, self.settings, self._exactly(taught_views) if mixes else [], best, trace.params
            )
        run = evaluator.frontier(
            all_constraints,
            best,
            solution,
            trace,
            keeper if isinstance(trainer, Sequential) else None,
            None if tight is None else [unconstrained, *constraints],
        )
        ridge_of = dict(zip(self.seeds, [own.said() for own in chosen.ridges], strict=True))
        abouts = list(run.models.about() if isinstance(run.models, OnDisk) else (own.about for own in run.models))
        for about in abouts:
            about.update({"trainer": why} if self.stream else {})
            about["ridge"] = {"chosen_by": chosen.how, **ridge_of[about["seed"]]}
        tell(run, self.constraint, self.model, notes, views, training_data, BOUNDED_PART[self.settings.dual_data])
        run.manifest.update(
            command=command,
            fingerprint=self.fingerprint,
            execution=why,
            ridge={"chosen_by": chosen.how, "seeds": {str(seed): said for seed, said in ridge_of.items()}},
            resumed=keeper.resumed,
            traced={program: count - before[program] for program, count in trainer.traced.items()},
            seconds=round(time.perf_counter() - began, 2),
        )
        if tight is not None:
            run.manifest["tighten"] = tight.said()
        run = run.without_people() if self.drop_people else run
        if folder is not None and devices.first():
            store.clear(folder)
            run.save(folder)
        devices.together("saved")
        if folder is not None and isinstance(run.models, OnDisk):  # what they were read from goes
            names = run.table["model"]
            changed = run.models.changed
            saved = OnDisk(run.models.models, lambda row: load_model(folder / names[row], self.model).params, changed)
            run = dataclasses.replace(run, models=saved)
        keeper.close()
        total = trainer.total(len(self.seeds), len(constraints))
        progress(total, total)
        return run

    def _fitted(self, model: models.Model, constraint: Constraint, among: aggregates.Group) -> Sequence[TrainedModel]:
        """A model of every seed, fitted to its train rows, or those of a group; no bound, default settings."""
        settings = Settings(dual_data=self.settings.dual_data)
        assert isinstance(self.data, Dataset)  # a stream refuses constraints that need one
        data = dataclasses.replace(self.data, population=None)
        return (
            _Run(data, constraint, lambda gap: [constraint], self.seeds, model, settings, None, among=among)
            .result(None, False, "", lambda done, total: None)
            .models
        )

    @property
    def needs(self) -> dict[str, Any]:
        """Twins and columns that training reads."""
        needs = self.constraint.needs()
        return {**needs, "columns": tuple(dict.fromkeys((*needs["columns"], *self.objective.columns())))}

    def _trained_on(self, view: View) -> Data:
        """What a seed trains on."""
        if self.stream:
            return in_shards(self.data, view, self.constraint, self.needs, self.stream)
        return in_memory(self.data, view, self.needs, self.model)

    def _with_rule(self) -> Settings:
        """The settings, with what the sets are from the schema; `FaroError` for a rule that cannot be."""
        settings, declared = self.settings, self.data.schema.candidates
        if settings.rule == "argmax":
            return settings
        if settings.candidates and declared and settings.candidates != declared:
            raise UsageError(f"candidates = {settings.candidates}: the schema says {declared}; leave one out")
        settings = dataclasses.replace(settings, candidates=settings.candidates or declared)
        rule = settings.decides
        if self.baselines:
            raise UsageError(f"baselines are decided by argmax; leave out --baselines, or the rule {settings.rule}")
        if rule.draws and self.data.schema.log_ref:
            raise UsageError("candidates = sampled: draws stand for the reference, and the schema names log_ref beside")
        if isinstance(self.data, Dataset):
            check_sets(self.data, rule)
        return settings

    def _trainer(self, views: list[View], training_data: list[Data]) -> tuple[Trainer, str]:
        """What trains, and why so, as the manifest says it."""
        if self.settings.solver == "exact":
            from .exact_path import ExactPath

            return ExactPath(self.settings), "exact solves, one after another"
        units = views[0].units
        if self.stream:
            shards: Any = training_data[0].train
            self.settings = self.settings.filled(rows=shards.size, shards=len(shards))
            stream = Stream(self.model, self.settings, self.objective, units)
            return stream, f"stream of {len(shards)} shards of {shards.size} choices"
        self.settings = primal.suited(
            self.model, self.settings, self.constraint, training_data[0], self.objective, units
        )
        rows, alternatives = (
            max(seed_data.train.shape[0] for seed_data in training_data),
            training_data[0].train.shape[1],
        )
        game = Game(self.model, self.settings, rows, objective=self.objective, units=units)
        return self._execution(game, alternatives, training_data[0])

    def _ridges(self, views: list[View], training_data: list[Data], trainer: Trainer, keeper: Keeper) -> ridges.Chosen:
        """The ridge of every seed, and how it was found."""
        if self.stream or not isinstance(self.data, Dataset):
            return ridges.unchosen(self.settings, len(self.seeds))
        plays = trainer.game if isinstance(trainer, Batched | Sequential) else None
        game = plays or Game(self.model, self.settings, units=views[0].units)
        names, both = self.data.units, ("train", "selection")
        units = [names[np.concatenate([view.rows[part] for part in both])] for view in views]
        return ridges.choose(game, self.constraint, training_data, self.seeds, units, keeper)

    def _tightened(self, data: list[Data], trainer: Trainer) -> Tightened | None:
        """How much tighter than asked bounds are held; None where they are not."""
        t = self.settings.tighten
        if not t:
            return None
        if self.stream:
            raise UsageError("tighten: a stream never holds all of train, whose group sizes it takes; leave it out")
        errors = standard_errors(self.constraint, [own.asked if own.dual is None else own.dual for own in data])
        if t != "chosen":
            return Tightened(float(t), errors, [])
        if not isinstance(trainer, Batched) or self.settings.dual_data != "train":
            raise UsageError(
                "tighten = chosen: needs the game on train, all trials at once; name a number, or leave it out"
            )

        def trainer_of(halves: list[Data]) -> Trainer:
            game = dataclasses.replace(trainer.game, rows=max(own.train.shape[0] for own in halves))
            return Batched.of(game, trainer.mesh, self.memory, halves[0].train.shape[1])

        found, tried = by_halves(trainer_of, self.model, self.constraint, self.grid, data, self.seeds)
        return Tightened(found, errors, tried)

    def _use(self, training_data: list[Data]) -> Use:
        """What the settings are used for."""
        if self.stream:
            shards: Any = training_data[0].train
            return Use(self.settings, shards.size, len(shards))
        rows = max(seed_data.train.shape[0] for seed_data in training_data)
        products = ridges.has_products(self.model, training_data[0].train)
        open_width = len(self.model.widths_offered) > 1
        return Use(self.settings, rows, baselines=self.baselines, products=products, widths=open_width)

    def _execution(self, game: Game, alternatives: int, data: Data) -> tuple[Trainer, str]:
        """How the trials of the game share memory."""
        trials = len(self.seeds) * len(self.grid(1.0))
        need, room = Need.of(game, data, self.constraint, trials, self.mesh), self.memory or devices.room()
        if need.together <= room:
            return Batched.of(game, self.mesh, self.memory, alternatives), need.said(room)
        mesh = devices.mesh(1)
        alone = Need.of(game, data, self.constraint, 1, mesh).alone
        if alone > room:
            raise UsageError(
                f"memory: one trial needs about {alone:,} bytes a step, got {room:,}; give more, or set batch or "
                "microbatch"
            )
        if self.requested_mesh and self.mesh.shape[devices.SWEEP] > 1:
            raise UsageError(f"mesh {self.requested_mesh}: deals out trials, but {need.said(room)}; leave mesh out")
        return Sequential.of(game, mesh, alternatives), need.said(room)

    def _exactly(self, views: list[View]) -> list[Data]:
        """What every seed trains on in float64, as it is judged."""
        with jax.enable_x64(True):
            return [in_memory(self.data, view, self.needs, self.model, np.float64, steps=False) for view in views]
