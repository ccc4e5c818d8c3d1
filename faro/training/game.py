"""Training one trial of a sweep: the two-player game on choices, from the optimum to the end.

A trial is trained in two stages: `start` finds the unconstrained optimum, from which every bound of the sweep begins;
`advance` plays the constrained game, with Adam as the primal player, or second-order steps where a model is
linear (`faro.training.primal`): an evaluation on the whole train and selection parts, `every` steps from there, and
again; where a step sees all of train anyway, the evaluation shares its pass. What is returned is chosen, not last
(`faro.training.candidates`). Everything here is pure and un-batched: a sweep is `vmap` over the constraint's leaves and
over seeds.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from constraints import Constraint, Statistics

from .. import lagrangian, models
from ..lagrangian import KKT
from ..losses import Objective
from .candidates import Best, EvaluationRecord
from .players import Players, Step
from .problem import DEFAULT, Problem
from .scales import multiplier_scale
from .settings import Settings
from .sums import Prepared, Tally, Totals
from .trial import Data, TrainState
from .unconstrained import optimum, suits


@dataclasses.dataclass(frozen=True)
class Game:
    """The game of one model class under one kind of constraint. Static; `constraint` arguments carry the numbers.

    Minibatches are drawn from the first `rows` train choices: what comes after them is padding. None: from all. The
    train choices of a step are one of `shards` shards of equal size.
    """

    model: models.Model
    settings: Settings = dataclasses.field(default_factory=Settings)
    rows: int | None = None
    shards: int = 1
    objective: Objective = DEFAULT
    units: int = 0  # how many people the model may know, see `InputSpec`

    def __post_init__(self):
        object.__setattr__(self, "settings", self.settings.filled(rows=self.rows or 0, shards=self.shards))

    @property
    def problem(self) -> Problem:
        """What is minimised under what."""
        return Problem(self.model, self.settings, self.objective)

    @property
    def players(self) -> Players:
        """Who takes the steps."""
        return Players(self.problem, self.rows, self.shards)

    def start(
        self, key: Array, constraint: Constraint, data: Data, evaluations: int
    ) -> tuple[TrainState, EvaluationRecord]:
        """A state at the unconstrained optimum, and the evaluations on the way; the multipliers never move. A linear
        model is there at once, and every evaluation is the same."""
        problem, unconstrained = self.problem, constraint.at(jnp.inf)
        train, ones = problem.prepared(unconstrained, data.train, data), jnp.ones(len(constraint.labels()))
        if not self.direct(data):
            init_key, key = jax.random.split(key)
            begun = models.initial(self.model, init_key, data.train, self.units)
            begun = self.initial_state(key, begun, unconstrained, data, ones)
            return self.advance(begun, unconstrained, data, evaluations, bounded=False)
        shapes = jax.eval_shape(lambda key: models.initial(self.model, key, data.train, self.units), key)
        # the optimum is one, wherever it is looked for
        params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        seen = train.choices
        if data.ridge is not None:  # nothing is selected here
            seen = jax.tree.map(lambda *parts: jnp.concatenate(parts), seen, self.model.prepare(data.selection))
        params, gradient, inverse = optimum(self.model, params, seen, problem.ridge(data))
        state = self.initial_state(key, params, unconstrained, data, ones, inverse)
        asked = train if data.dual is None else problem.prepared(unconstrained, data.dual, data)
        tally = problem.tally(params, unconstrained, train)
        hard = tally.hard if data.dual is None else problem.tally(params, unconstrained, asked).hard
        nothing = jnp.zeros_like(tally.loss)
        step = Step(KKT(lagrangian.largest(gradient), nothing, nothing), jnp.asarray(False), None, None)
        held, selection = Statistics(hard, asked.totals.masses), problem.prepared(unconstrained, data.selection, data)
        best, evaluation = self.evaluate(state, step, unconstrained, tally, train.totals, held, selection)
        trace = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (evaluations, *leaf.shape)), evaluation)
        return state._replace(best=best), trace

    def direct(self, data: Data) -> bool:
        """Whether the unconstrained optimum is found at once, without steps; only shapes are read."""
        if not self.objective.logistic or not self.players.sees_all(data.train):
            return False
        return suits(self.model, jax.eval_shape(self.model.prepare, data.train))

    def warm_start(self, unconstrained: TrainState, constraint: Constraint, data: Data) -> TrainState:
        """A state that begins the constrained game where the `unconstrained` one ended."""
        params = unconstrained.best.params
        if self.settings.second_order:
            return self.initial_state(
                unconstrained.key, params, constraint, data, unconstrained.scale, unconstrained.game.primal.inverse
            )
        scale = multiplier_scale(self.players, params, constraint, data)
        state = self.initial_state(unconstrained.key, params, constraint, data, scale)
        return state._replace(aim=unconstrained.aim)

    def initial_state(
        self, key: Array, params: Any, constraint: Constraint, data: Data, scale: Array, inverse: Any = None
    ) -> TrainState:
        """A state before its first step; only shapes of `data` are read. Second-order steps need the `inverse` of
        the loss's curvature, `[d, d]`."""
        problem = self.problem
        params = problem.ridge(data).held(self.model, params)  # what is not there is 0 before it is without gradient
        train = jax.eval_shape(
            lambda constraint, data: problem.prepared(constraint, data.train, data), constraint, data
        )
        aim = self.objective.begin(train.choices)
        hard = jax.eval_shape(lambda prepared: problem.tally(params, constraint, prepared, aim).hard, train)
        moments = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), hard)
        best = Best.unknown(params, constraint)
        game = self.players.begin(params, constraint, scale, inverse)
        return TrainState(game, (moments, jnp.zeros(())), best, key, jnp.zeros((), int), scale, aim)

    def advance(
        self,
        state: TrainState,
        constraint: Constraint,
        data: Data,
        evaluations: int,
        keep: bool = False,
        bounded: bool = True,
    ) -> tuple[TrainState, EvaluationRecord]:
        """Evaluate and play so many times; evaluations are stacked along a leading axis, with iterates if `keep`.
        Where all bounds are infinite (not `bounded`), multipliers stay 0 and steps need not measure by what."""
        problem, players = self.problem, self.players
        selection = problem.prepared(constraint, data.selection, data)
        train = seen = problem.prepared(constraint, data.train, data)
        if data.questions is not None:  # steps ask everything, evaluations what support fixed leaves
            seen = problem.prepared(constraint, data.asked, data)
            train = problem.prepared(constraint, data.train, data, questions=data.questions)
        dual = None if data.dual is None else problem.prepared(constraint, data.dual, data)

        asked = dual or seen
        # support that is drawn says less than what is fixed, so a bound held there is not held where it is judged
        apart = bounded and data.questions is not None and not players.draws(train.choices)
        watched = asked if apart else dual
        # what the dual player sees at a step is then all that an evaluation there sees
        shared = apart and dual is None and self.settings.compute == "float32"

        def evaluated_steps(state: TrainState, _):
            params = state.game.params
            after, step = players.play(state, constraint, train, watched, data.pool)
            tally, hard = (step.held if shared else step.seen), step.held.hard
            if not shared and not players.sees_all(train.choices):
                tally = problem.tally(params, constraint, seen, state.aim)
                hard = tally.hard if dual is None else problem.tally(params, constraint, dual, state.aim).hard
            held = Statistics(hard, asked.totals.masses)
            best, evaluation = self.evaluate(state, step, constraint, tally, seen.totals, held, selection)
            return after._replace(best=best), evaluation._replace(params=params) if keep else evaluation

        return jax.lax.scan(evaluated_steps, state, length=evaluations)

    @property
    def closes(self) -> bool:
        """Whether a training ends with an evaluation, at where its last steps led."""
        return self.settings.every > 1

    def close(
        self, state: TrainState, constraint: Constraint, data: Data, keep: bool = False, bounded: bool = True
    ) -> tuple[TrainState, EvaluationRecord]:
        """The evaluation at where the steps have led, as `advance` returns it; one more step tells its residuals."""
        one = dataclasses.replace(self, settings=dataclasses.replace(self.settings, every=1))
        return one.advance(state, constraint, data, 1, keep, bounded)

    def evaluate(
        self,
        state: TrainState,
        step: Step,
        constraint: Constraint,
        tally: Tally,
        totals: Totals,
        asked: Statistics,
        selection: Prepared,
    ) -> tuple[Best, EvaluationRecord]:
        """An evaluation of the state, and what would be returned now: from the tally of all train choices, their
        totals, and the hard statistics that are held against the bound."""
        params, aim = state.game.params, state.aim
        of_train = Statistics(tally.loss, totals.aim)
        of_selection = self.problem.objective_statistics(params, constraint, selection, aim)
        evaluation = EvaluationRecord(
            loss=self.objective.combine(aim, *of_train),
            selection_loss=self.objective.merit(aim, of_selection, of_train),
            gap=constraint.gap(asked),
            violation=constraint.combine(asked) - constraint.bounds(),
            multipliers=state.game.multipliers,
            ties=tally.ties / totals.weight,
            kkt=step.kkt,
            capped=step.capped,
        )
        return state.best.after(params, evaluation, constraint, self.settings), evaluation

    def state_shapes(self, constraint: Constraint, data: Data) -> TrainState:
        """The shapes of the state of one trial, which is all that is kept of it between steps."""

        def begun(key: Array, constraint: Constraint, data: Data) -> TrainState:
            params = models.initial(self.model, key, data.train, self.units)
            size = sum(leaf.size for leaf in jax.tree.leaves(params))
            inverse = jnp.zeros((size, size)) if self.settings.second_order else None
            return self.initial_state(key, params, constraint, data, jnp.ones(len(constraint.labels())), inverse)

        return jax.eval_shape(begun, jax.random.key(0), constraint, data)
