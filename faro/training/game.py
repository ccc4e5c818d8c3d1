"""Training one trial of a sweep: the two-player game on choices, and which of its iterates is returned.

A trial is trained in two stages: `start` finds the unconstrained optimum, from which every bound of the sweep begins;
`advance` plays the constrained game, with Adam as the primal player, or second-order steps where a model is
linear (`Game.suited`): an evaluation on the whole train and selection parts, `every` steps from there, and
again; where a step sees all of train anyway, the evaluation shares its pass. What is returned is chosen, not last:
among the evaluated iterates whose hard train gap is within the bound and where at most `max_ties` of the choices are
decided by a tie, the one with the lowest selection loss. Everything here is pure and un-batched: a sweep is
`vmap` over the constraint's leaves and over seeds.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.flatten_util import ravel_pytree

from constraints import UNIT_SHARE, Argmax, Choices, Constraint, DecisionRule, Statistics, record

from .. import lagrangian, metrics, models
from ..data.draws import Pool, Questions, told
from ..data.draws import drawn as support_drawn
from ..errors import UsageError
from ..lagrangian import KKT
from ..losses import Mean, Objective, Sight
from ..models.evaluate import made
from ..runtime import devices
from ..runtime.programs import remembered
from .bounds import decides, within
from .ridge import Ridge
from .settings import Settings as Settings
from .unconstrained import MOST_FEATURES, optimum, suits

DEFAULT = Mean()  # the mean of the conditional logit
PROBES = 16  # random signs that estimate the norm of a constraint's gradients
SAMPLE = 2**11  # choices among which that is estimated, where a step sees a batch: each sign costs a pass over them
REFERENCE_NORM = 0.6  # a norm at which the dual rates are what the settings say
LARGEST_SCALE = 30.0  # no row's multiplier is scaled by more than this
EVALUATION_BYTES = 2**26  # bytes that an evaluation may take at once, where a step sees a batch
DECISIONS = 6  # arrays `[n, K]` between rewards and sums
COOLING_SHARE = 0.7  # of second-order steps after which the temperature falls no more
FIRST_STEP_SHARE = (
    0.5  # of the first second-order step, as a share of what it solves for; falls to 0.3 of that by a cosine
)
MOST_SUMS = 3  # numbers that a constraint sums up; with more of them first-order steps carry over better,
SUPPORT_DRAWS = 1  # of a trial's key: what support is drawn by
CHOICES_PER_SUM = 50_000  # unless there are so many choices for each: then rates are smooth, and half the steps do


class Data(NamedTuple):
    """What a trial trains on and what selects its iterate; each `Choices` may be padded.

    train: what the primal player sees; of a stream its shards (`faro.training.streaming`)
    selection: what the best iterate is chosen by
    dual: what the dual player measures violations on, if that is not train (Cotter et al. ICML 2019)
    people: of every unit code its earlier choices, for models that read them; else None
    pool: what steps draw such choices from; None: they read those of `people`
    questions: then, of every row of train, what it may be told, and whether evaluations ask it
    ridge: how strongly parameters are punished; then an unconstrained optimum that is found at once is that of train
        and selection. None: as the settings say, and it is that of train alone
    """

    train: Any
    selection: Choices
    dual: Choices | None = None
    people: Any = None
    pool: Pool | None = None
    questions: Questions | None = None
    ridge: Any = None

    @property
    def asked(self) -> Choices:
        """Train as evaluations see it: rows that support fixed leaves no question weigh nothing."""
        if self.questions is None:
            return self.train
        train, questions = self.train, self.questions
        columns = dict(train.columns)
        if UNIT_SHARE in columns:  # a person counts once, in steps as a whole, here by the queries
            columns[UNIT_SHARE] = columns[UNIT_SHARE] * questions.more[:, None]
        return train.replace(weight=jnp.where(questions.asked, train.weight, 0), columns=columns)

    def some(self, rows: Any) -> Data:
        """The same with these rows of train."""
        questions = None if self.questions is None else self.questions.take(rows)
        return self._replace(train=self.train.take(rows), questions=questions)


class EvaluationRecord(NamedTuple):
    """One evaluation on the whole train and selection parts."""

    loss: Array  # train NLL
    selection_loss: Array
    gap: Array  # [P] hard gap of train, or of the dual player's own data
    violation: Array  # [m] hard
    multipliers: Array  # [m]
    ties: Array
    kkt: KKT  # of the step from here
    capped: Array  # bool: then a violated row's multiplier could grow no more
    params: Any = None  # the iterate, where `advance` is told to keep it


class Best(NamedTuple):
    """The iterate that would be returned now."""

    params: Any
    candidate: Array  # bool: within the bound, with few ties
    merit: Array  # the lower, the better: selection loss of a candidate, else by how much the gap exceeds the bound
    gap: Array  # [P] its hard gap
    finite: Array  # bool: whether the newest evaluation was finite
    smallest_gap: Array  # [P] the smallest gap of any evaluation with few ties
    selection_loss: Array  # of this iterate


class TrainState(NamedTuple):
    """State of one trial between evaluations; a pytree that a checkpoint holds."""

    game: lagrangian.State
    moments: Any  # running sums of the constraint (minibatch)
    best: Best
    key: Array
    played: Array  # steps so far
    scale: Array  # [m] what a unit of each multiplier is, see `Game.scale`
    aim: Any = ()  # what the objective keeps between steps


class Step(NamedTuple):
    """What the first step after an evaluation saw, at the parameters that are evaluated."""

    kkt: Any  # KKT
    capped: Any
    seen: Any  # Tally of the choices of the step
    held: Any  # Tally that the dual player held against the bound, before it was smoothed; without sums of the proxy


class Tally(NamedTuple):
    """Sums over choices, all that a step or an evaluation needs of them: tallies of two data sets add up."""

    loss: Any  # sums of the objective
    ties: Array
    soft: Any  # sums of the constraint, of the proxy
    hard: Any  # and of the truth
    penalty: Any = ()  # the model's own, times the weight


class Totals(NamedTuple):
    """What no model moves, of all that choices are drawn from; those of two data sets add up."""

    masses: Any  # of the constraint
    weight: Array
    aim: Any  # masses of the objective


@record
class Prepared:
    """Choices, what constraint and objective need of them, and the totals of all that they are drawn from."""

    choices: Choices
    rows: Any
    aims: Any
    totals: Totals
    people: Any = None
    ridge: Any = None
    questions: Any = None  # where support is drawn anew: what each may be told

    @classmethod
    def of(
        cls,
        constraint: Constraint,
        choices: Choices,
        multiple: int = 1,
        objective: Objective = DEFAULT,
        known: Any = (),
        people: Any = None,
        ridge: Any = None,
        questions: Any = None,
    ) -> Prepared:
        """Computed once, outside the training scan; padded to a multiple of this many choices. `known` is what the
        objective knows of train."""
        n = choices.shape[0]
        position = jnp.arange(n + -n % multiple)
        if n % multiple:
            choices, questions = jax.tree.map(lambda leaf: leaf[position % n], (choices, questions))
        choices = choices.replace(weight=jnp.where(position < n, choices.weight, 0))
        rows, aims = constraint.prepare(choices), objective.prepare(choices, known)
        totals = Totals(constraint.masses(rows), jnp.sum(choices.weight), objective.masses(choices, aims))
        told = {"people": people, "questions": questions}
        return cls(choices=choices, rows=rows, aims=aims, totals=totals, ridge=ridge, **told)

    def take(self, index: Any) -> Prepared:
        """These choices only; totals stay those of all."""
        picked = jax.tree.map(lambda leaf: leaf[index], (self.choices, self.rows, self.aims, self.questions))
        choices, rows, aims, questions = devices.spread(picked)
        return dataclasses.replace(self, choices=choices, rows=rows, aims=aims, questions=questions)

    def told(self, pool: Pool, mask: Any, k: int) -> Prepared:
        """The same, each told what is drawn of its person's choices, k at most."""
        choices, people = told(pool, self.questions, self.choices, mask, k)
        return dataclasses.replace(self, choices=choices, people=people)


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

    @classmethod
    def suited(
        cls,
        model: models.Model,
        settings: Settings,
        constraint: Constraint,
        data: Data,
        objective: Objective = DEFAULT,
        units: int = 0,
    ) -> Settings:
        """The settings filled for the primal player that suits: second-order steps for a narrow linear model that sees
        all of train at every step, under a constraint of few sums or with many choices for each; else Adam. Only
        shapes are read.

        `UsageError` if sqp is asked for where the model or what it sees does not suit.
        """

        def sums(choices):
            prepared, params = model.prepare(choices), models.initial(model, jax.random.key(0), choices, units)
            hard = models.outcome(model, params, prepared, Argmax(), constraint.twins(), data.people)
            return constraint.proxy_sums(hard, constraint.prepare(prepared))

        n = data.train.shape[0]
        whole = min(settings.batch or n, settings.microbatch or n) >= n and settings.compute == "float32"
        fits = (
            whole
            and objective.logistic
            and not model.support
            and suits(model, jax.eval_shape(model.prepare, data.train))
        )
        if settings.primal == "sqp" and not fits:
            raise UsageError(
                f"primal = sqp: expected a linear model of at most {MOST_FEATURES} features, the loss logit, float32, "
                "and neither batch nor microbatch; leave primal out, or say adam"
            )
        if not fits or settings.primal == "adam":
            return settings.filled("adam", n)
        shapes = constraint, data.train, data.people
        count = remembered(
            ("numbers that are summed up", model, units),
            shapes,
            lambda: sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(sums, data.train))),
        )
        many = count * CHOICES_PER_SUM <= n
        filled = settings.filled("sqp" if many or count <= MOST_SUMS else "adam", n)
        halved = many and filled.primal == "sqp" and settings.steps is None
        return dataclasses.replace(filled, steps=max(filled.every, filled.steps // 2)) if halved else filled

    @property
    def rule(self) -> DecisionRule:
        """The decision rule that the dual player and every evaluation see."""
        return self.settings.decides

    @property
    def second_order(self) -> bool:
        """Whether the primal player takes second-order steps."""
        return self.settings.primal == "sqp"

    def start(
        self, key: Array, constraint: Constraint, data: Data, evaluations: int
    ) -> tuple[TrainState, EvaluationRecord]:
        """A state at the unconstrained optimum, and the evaluations on the way; the multipliers never move. A linear
        model is there at once, and every evaluation is the same."""
        unconstrained = constraint.at(jnp.inf)
        train, ones = self.prepared(unconstrained, data.train, data), jnp.ones(len(constraint.labels()))
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
        params, gradient, inverse = optimum(self.model, params, seen, self.ridge(data))
        state = self.initial_state(key, params, unconstrained, data, ones, inverse)
        asked = train if data.dual is None else self.prepared(unconstrained, data.dual, data)
        tally = self.tally(params, unconstrained, train)
        hard = tally.hard if data.dual is None else self.tally(params, unconstrained, asked).hard
        nothing = jnp.zeros_like(tally.loss)
        step = Step(KKT(lagrangian.largest(gradient), nothing, nothing), jnp.asarray(False), None, None)
        held, selection = Statistics(hard, asked.totals.masses), self.prepared(unconstrained, data.selection, data)
        best, evaluation = self.evaluate(state, step, unconstrained, tally, train.totals, held, selection)
        trace = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (evaluations, *leaf.shape)), evaluation)
        return state._replace(best=best), trace

    def direct(self, data: Data) -> bool:
        """Whether the unconstrained optimum is found at once, without steps; only shapes are read."""
        if not self.objective.logistic or not self._sees_all(data.train):
            return False
        return suits(self.model, jax.eval_shape(self.model.prepare, data.train))

    def warm_start(self, unconstrained: TrainState, constraint: Constraint, data: Data) -> TrainState:
        """A state that begins the constrained game where the `unconstrained` one ended."""
        params = unconstrained.best.params
        if self.second_order:
            return self.initial_state(
                unconstrained.key, params, constraint, data, unconstrained.scale, unconstrained.game.primal.inverse
            )
        stride = -(-data.train.shape[0] // SAMPLE) if self._draws(data.train) else 1
        some = data if stride == 1 else data.some(slice(None, None, stride))
        state = self.initial_state(unconstrained.key, params, constraint, data, self.scale(params, constraint, some))
        return state._replace(aim=unconstrained.aim)

    def initial_state(
        self, key: Array, params: Any, constraint: Constraint, data: Data, scale: Array, inverse: Any = None
    ) -> TrainState:
        """A state before its first step; only shapes of `data` are read. Second-order steps need the `inverse` of
        the loss's curvature, `[d, d]`."""
        params = self.ridge(data).held(self.model, params)  # what is not there must be 0 before it is without gradient
        train = jax.eval_shape(lambda constraint, data: self.prepared(constraint, data.train, data), constraint, data)
        aim = self.objective.begin(train.choices)
        hard = jax.eval_shape(lambda prepared: self._tally(params, constraint, prepared, 1.0, aim).hard, train)
        moments = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), hard)
        real = jnp.result_type(float)
        never, unknown = jnp.asarray(False), jnp.full(len(constraint.parts()), jnp.inf, real)
        worst = jnp.asarray(jnp.inf, real)
        best = Best(params, never, worst, unknown, never, unknown, worst)
        curved = (inverse,) if self.second_order else ()
        game = self._players(None, None, scale).init(params, len(constraint.labels()), *curved)
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
        selection = self.prepared(constraint, data.selection, data)
        train = seen = self.prepared(constraint, data.train, data)
        if data.questions is not None:  # steps ask everything, evaluations what support fixed leaves
            seen = self.prepared(constraint, data.asked, data)
            train = self.prepared(constraint, data.train, data, questions=data.questions)
        dual = None if data.dual is None else self.prepared(constraint, data.dual, data)

        asked, params_of = dual or seen, lambda state: state.game.params
        # support that is drawn says less than what is fixed, so a bound held there is not held where it is judged
        apart = bounded and data.questions is not None and not self._draws(train.choices)
        watched = asked if apart else dual
        # what the dual player sees at a step is then all that an evaluation there sees
        shared = apart and dual is None and self.settings.compute == "float32"

        def evaluated_steps(state: TrainState, _):
            after, step = self.play(state, constraint, train, watched, data.pool)
            tally, hard = (step.held if shared else step.seen), step.held.hard
            if not shared and not self._sees_all(train.choices):
                tally = self.tally(params_of(state), constraint, seen, state.aim)
                hard = tally.hard if dual is None else self.tally(params_of(state), constraint, dual, state.aim).hard
            held = Statistics(hard, asked.totals.masses)
            best, evaluation = self.evaluate(state, step, constraint, tally, seen.totals, held, selection)
            return after._replace(best=best), evaluation._replace(params=params_of(state)) if keep else evaluation

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

    def state_shapes(self, constraint: Constraint, data: Data) -> TrainState:
        """The shapes of the state of one trial, which is all that is kept of it between steps."""

        def begun(key: Array, constraint: Constraint, data: Data) -> TrainState:
            params = models.initial(self.model, key, data.train, self.units)
            size = sum(leaf.size for leaf in jax.tree.leaves(params))
            inverse = jnp.zeros((size, size)) if self.second_order else None
            return self.initial_state(key, params, constraint, data, jnp.ones(len(constraint.labels())), inverse)

        return jax.eval_shape(begun, jax.random.key(0), constraint, data)

    def prepared(
        self, constraint: Constraint, choices: Choices, data: Data, known: Any = None, questions: Any = None
    ) -> Prepared:
        """What steps and evaluations need of these choices of the data; `known` is what the objective knows of train,
        if that is not all here; `questions` is what they may be told, where that is drawn anew."""
        known = self.objective.known(data.train) if known is None else known
        multiple = self.settings.microbatch or 1
        people, ridge = data.people, self.ridge(data)
        prepared = self.model.prepare(choices)
        return Prepared.of(constraint, prepared, multiple, self.objective, known, people, ridge, questions)

    def ridge(self, data: Data) -> Ridge:
        """How strongly parameters are punished: as the data say, else the settings."""
        return data.ridge or Ridge.unchosen(self.settings)

    def play(
        self,
        state: TrainState,
        constraint: Constraint,
        train: Prepared,
        dual: Prepared | None,
        pool: Pool | None = None,
    ) -> tuple[TrainState, Step]:
        """`every` steps of both players, and what the first of them saw; `pool` is what support is drawn from."""
        steps_key, key = jax.random.split(state.key) if self._draws(train.choices) else (state.key, state.key)
        game, moments, aim, first = self._steps(steps_key, state, constraint, train, dual, pool)
        played = state.played + self.settings.every
        return state._replace(game=game, moments=moments, key=key, played=played, aim=aim), first

    def tally(self, params: Any, constraint: Constraint, prepared: Prepared, aim: Any = ()) -> Tally:
        """What an evaluation needs of these choices; `aim` is what the objective keeps."""
        return self._tally(params, constraint, prepared, 1.0, aim)

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
        of_train, of_selection = Statistics(tally.loss, totals.aim), self._aimed(params, constraint, selection, aim)
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
        return _better(state.best, params, evaluation, constraint, self.settings), evaluation

    def _aimed(self, params: Any, constraint: Constraint, prepared: Prepared, aim: Any) -> Statistics:
        """What the objective is on these choices, outside of steps."""

        def of_slice(choices, aims, index=0):
            seen = models.predict(self.model, params, choices, people=prepared.people)
            losses = self.objective.loss.per_choice(seen, choices)
            sight = Sight(losses)
            if self.objective.outcomes:
                twins = self._twins(params, choices, constraint, people=prepared.people)
                rules = self.rule.softened(1.0), self.rule
                sight = Sight(losses, *(models.decided(rule, seen, choices, twins) for rule in rules))
            return self.objective.sums(aim, sight, choices, aims)

        size = prepared.choices.shape[0] if self.settings.microbatch else self._at_once(params, prepared)
        return Statistics(_summed(of_slice, (prepared.choices, prepared.aims), size), prepared.totals.aim)

    def _twins(self, params: Any, choices: Choices, constraint: Constraint, **given: Any) -> Any:
        return models.twin_predictions(self.model, params, choices, constraint.twins(), **given)

    def scale(self, params: Any, constraint: Constraint, data: Data) -> Array:
        """What a unit of each multiplier is, `[m]`: the dual player's steps do not depend on a constraint's own scale.

            scale = REFERENCE_NORM / root mean square over the rows of a part of |gradient of the row's proxy|

        A row pushes the parameters by multiplier * gradient, so a row whose measure is ten times flatter needs ten
        times the multiplier for the same push, and one hundred times the step. Estimated with random signs.
        """
        train = self.prepared(constraint, data.asked, data)
        aim = self.objective.begin(train.choices)
        owner = jnp.repeat(
            jnp.arange(len(constraint.parts())),
            jnp.asarray([len(part.labels()) for part in constraint.parts()]),
            total_repeat_length=len(constraint.labels()),
        )

        def proxy(params):
            tally = self._tally(params, constraint, train, self.temperature(0), aim)
            return constraint.combine(Statistics(tally.soft, train.totals.masses))

        value, pull = jax.vjp(proxy, params)

        def of_part(part):
            mine = (owner == part) & (value != 0)  # a row without data measures 0
            signs = jax.random.rademacher(jax.random.key(part), (PROBES, len(owner)), value.dtype)
            squares = jax.lax.map(lambda sign: _square(pull(sign)[0]), jnp.where(mine, signs, 0))
            return jnp.sqrt(squares.mean() / jnp.maximum(mine.sum(), 1))

        norm = jax.lax.map(of_part, jnp.arange(len(constraint.parts())))[owner]
        return jnp.where(
            norm > 0, jnp.clip(REFERENCE_NORM / jnp.where(norm > 0, norm, 1), 1 / LARGEST_SCALE, LARGEST_SCALE), 1
        )

    def footprint(self, params: Any, choices: Choices, rows: int = 0, people: Any = None) -> int:
        """About how many bytes a step of one trial takes beside the data, under so many rows: what its matrix products
        make, what becomes of that, and as much again for the way back. Only shapes are read."""
        n = min(self.settings.microbatch or self.settings.batch or choices.shape[0], choices.shape[0])
        part = jax.eval_shape(lambda choices: self.model.prepare(choices).take(slice(0, n)), choices)
        slopes = rows if self.second_order else 0  # a way back for each of the sums, which are no more than rows
        return 2 * (made(self.model, params, part, people) + (DECISIONS + slopes) * n * choices.shape[1] * 4)

    def _at_once(self, params: Any, prepared: Prepared) -> int:
        """How many of these choices are worked on at once: all that a step sees; in evaluations of many batches no more
        than two of them, which take as much as the way there and back of one, unless they are small."""
        n, batch = prepared.choices.shape[0], self.settings.batch or prepared.choices.shape[0]
        if self.settings.microbatch or n <= batch:
            return self.settings.microbatch or n
        few = jax.eval_shape(lambda choices: choices.take(slice(0, batch)), prepared.choices)
        one = made(self.model, params, few, prepared.people)
        return -(-n // -(-n // max(2 * batch, EVALUATION_BYTES * batch // max(one, 1))))  # in equal parts

    def temperature(self, played: Any) -> Any:
        """Of the soft decisions after this many steps: geometric from `temperature_start` to `temperature`; of second
        order in units of the `spread` of the rewards."""
        s = self.settings
        fall = s.steps * (COOLING_SHARE if self.second_order else 1)
        return s.temperature_start * (s.temperature / s.temperature_start) ** jnp.minimum(played / fall, 1)

    # steps ---------------------------------------------------------------------------------------------------------

    def _players(self, evaluation: Any, finish: Any, scale: Array) -> Any:
        """Both players: `observe(params, ...)` makes sums, from which `finish` tells what they mean."""
        s = self.settings
        if self.second_order:
            fall = optax.cosine_decay_schedule(FIRST_STEP_SHARE, s.steps, alpha=0.3)
            return lagrangian.Quadratic(evaluation, finish, fall, cap=s.cap)
        rate: Any = optax.adam(optax.cosine_decay_schedule(s.learning_rate, s.steps, alpha=0.1))
        if models.overrides(self.model, "trainable"):  # the rest has no gradient, and needs no moments
            rate = optax.masked(rate, self.model.trainable)
        proportional = {"nupi": s.dual_proportional, "ascent": 0.0}[s.dual]
        dual = lagrangian.nupi(s.dual_rate * scale**2, proportional * scale**2, cap=s.cap * scale)
        return lagrangian.Lagrangian(lambda params, *args: finish(evaluation(params, *args), *args), rate, dual)

    def _draws(self, train: Choices) -> bool:
        """Whether a step sees a batch that is drawn, not all of what it is given."""
        n = self.rows or train.shape[0]
        return (self.settings.batch or n) < n

    def _sees_all(self, train: Choices) -> bool:
        """Whether every step sees all of train as an evaluation would."""
        whole = not self._draws(train) and self.shards == 1 and self.settings.compute == "float32"
        return whole and not self.model.support

    def _steps(self, key, state, constraint, train, dual, pool):
        """`every` steps of both players. Rates come from fixed population masses, so minibatch rates are unbiased."""
        s, n = self.settings, self.rows or train.choices.shape[0]
        batch, one_batch = s.batch or n, not self._draws(train.choices)
        support_key = jax.random.fold_in(state.key, SUPPORT_DRAWS)
        remembers = dual is None and (not one_batch or self.shards > 1)  # else each step sees all that is held

        def observe(params, moments, temperature, drawn, scale, aim, noise):
            def sums(params):
                seen = self._tally(params, constraint, drawn, temperature, aim, s.compute, noise, train=True)
                return seen, jax.tree.map(lambda leaf: scale * leaf, seen)

            def parts(params):
                return self.objective.parts(sums(self._held(params, train.ridge)[0])[1].loss, train.totals.aim)

            steered = self.objective.steer(aim, _products(parts, params)) if self.objective.steers else aim
            params, moved = self._held(params, train.ridge)
            seen, tally = sums(params)
            loss = self.objective.combine(steered, tally.loss, train.totals.aim)
            loss += train.ridge.punishment(self.model, params, moved)
            for penalty in jax.tree.leaves(tally.penalty):
                loss += penalty / train.totals.weight
            held = tally  # else of the dual part, all of it at every step
            if dual is not None:
                held = self._tally(jax.lax.stop_gradient(params), constraint, dual, temperature, aim, s.compute)
            return lagrangian.Seen(loss, tally.soft, (seen, held._replace(soft=())))

        def finish(observed, moments, temperature, drawn, scale, aim, noise):
            seen, held = observed.aux
            smooth = hard = held.hard
            if remembers:
                mean, count = moments
                count = s.memory * count + (1 - s.memory)
                mean = jax.tree.map(lambda old, new: s.memory * old + (1 - s.memory) * new, mean, hard)
                smooth, moments = jax.tree.map(lambda leaf: leaf / count, mean), (mean, count)
            masses = (dual or train).totals.masses
            violation = constraint.combine(Statistics(smooth, masses)) - (1 - s.margin) * constraint.bounds()
            proxy = constraint.combine(Statistics(observed.sums, train.totals.masses))
            aux = moments, Step(None, None, seen, held)
            return lagrangian.Evaluation(observed.objective, proxy, violation, aux)

        players = self._players(observe, finish, state.scale)

        def step(carry, index):
            game, moments, played, aim = carry
            drawn, scale = (train, 1.0) if one_batch else (train.take(index), n / batch)
            scale *= self.shards
            if pool is not None:
                mask = support_drawn(pool, jax.random.fold_in(support_key, played))
                drawn = drawn.told(pool, mask, self.model.support)
            noise = jax.random.fold_in(state.key, played) if "key" in models.declared(type(self.model)) else None
            given = jax.lax.stop_gradient(moments), self.temperature(played), drawn, scale, aim, noise
            game, info = players.step(game, *given)
            moments, seen = info.aux
            saw = jax.tree.map(lambda leaf: scale * leaf, seen.seen.loss)
            aim = self.objective.follow(aim, saw, train.totals.aim)
            return (game, moments, played + 1, aim), seen._replace(kkt=info.kkt, capped=info.capped)

        order = None if one_batch else _shuffled(key, n, s.every, batch)
        begin = state.game, state.moments, state.played, state.aim
        if s.every == 1:  # a loop inside the loop of evaluations would be traced for nothing
            (game, moments, _, aim), first = step(begin, None if order is None else order[0])
            return game, moments, aim, first
        (game, moments, _, aim), steps = jax.lax.scan(step, begin, order, length=s.every)
        return game, moments, aim, jax.tree.map(lambda leaf: leaf[0], steps)

    def _held(self, params: Any, ridge: Ridge) -> tuple[Any, Any]:
        """The parameters, without a gradient of those that training does not move; and which it moves."""
        params = ridge.held(self.model, params)
        if not models.overrides(self.model, "trainable"):
            return params, True
        moved = jax.tree.broadcast(self.model.trainable(params), params)
        return jax.tree.map(lambda moves, part: part if moves else jax.lax.stop_gradient(part), moved, params), moved

    def _tally(
        self, params, constraint, prepared: Prepared, temperature, aim, compute="float32", noise=None, train=False
    ) -> Tally:
        """Sums over choices, a microbatch at a time: what backward passes need of one is computed again, not kept."""

        def of_slice(choices, rows, aims, index=0):
            real, people = choices.weight.dtype, prepared.people
            mine, shown = _cast((params, choices), jnp.bfloat16) if compute == "bfloat16" else (params, choices)
            given = {
                "people": people,
                "train": train,
                "key": None if noise is None else jax.random.fold_in(noise, index),
            }
            said = _cast(models.predict(self.model, mine, shown, **given), real)
            twins = _cast(self._twins(mine, shown, constraint, **given), real)
            unit = jax.lax.stop_gradient(metrics.spread(said.scores, choices)) if self.second_order else 1.0
            rules = self.rule.softened(unit * temperature), self.rule
            soft, hard = (models.decided(rule, said, choices, twins) for rule in rules)
            losses = self.objective.loss.per_choice(said, choices)
            sight = Sight(losses, soft, hard) if self.objective.outcomes else Sight(losses)
            penalty = self.model.penalty(mine, said)
            return Tally(
                loss=self.objective.sums(aim, sight, choices, aims),
                ties=metrics.weighted(metrics.tied(said.scores, choices), choices),
                soft=constraint.proxy_sums(soft, rows),
                hard=constraint.sums(hard, rows),
                penalty=() if isinstance(penalty, float) else penalty * jnp.sum(choices.weight),
            )

        return _summed(of_slice, (prepared.choices, prepared.rows, prepared.aims), self._at_once(params, prepared))


def _summed(of_slice: Any, parts: tuple, size: int) -> Any:
    """The sums over choices `of_slice(*parts, index)`, so many choices at a time; the last slice may be smaller."""
    n = parts[0].shape[0]
    if size >= n:
        return of_slice(*parts)
    even = n - n % size
    body = parts if even == n else jax.tree.map(lambda leaf: leaf[:even], parts)
    slices = (*devices.slices(body, size), jnp.arange(even // size))
    first = jax.tree.map(lambda leaf: leaf[0], slices)
    empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(of_slice, *first))

    def add(sums, part):
        return jax.tree.map(jnp.add, sums, jax.checkpoint(of_slice)(*part)), None

    sums = jax.lax.scan(add, empty, slices)[0]
    if even == n:
        return sums
    return add(sums, (*jax.tree.map(lambda leaf: leaf[even:], parts), jnp.asarray(even // size)))[0]


def _products(numbers: Any, params: Any) -> Array:
    """Inner products `[G, G]` of the slopes of the G numbers by the parameters; they are no function of these."""
    values, pull = jax.vjp(numbers, jax.lax.stop_gradient(params))
    slopes = jax.lax.map(lambda one: ravel_pytree(pull(one)[0])[0], jnp.eye(len(values), dtype=values.dtype))
    return slopes @ slopes.T


def _square(tree: Any) -> Array:
    """Sum of squares; optax's norm also makes the imaginary parts, which take a fifth of the tracing."""
    return optax.tree.vdot(tree, tree)


def _cast(tree: Any, real: Any) -> Any:
    """Floating-point leaves in this precision."""
    return jax.tree.map(lambda leaf: leaf.astype(real) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree)


def _shuffled(key: Array, n: int, steps: int, batch: int) -> Array:
    """Row indices `[steps, batch]`, each pass over the data in a fresh order."""
    passes = -(-steps * batch // n)
    order = jax.vmap(lambda k: jax.random.permutation(k, n))(jax.random.split(key, passes)).ravel()
    return order[: steps * batch].reshape(steps, batch)


def _better(best: Best, params: Any, evaluation: EvaluationRecord, constraint: Constraint, settings: Settings) -> Best:
    """The better of the best so far and this evaluation: candidates before others, then by merit."""
    finite = jnp.isfinite(evaluation.loss) & jnp.isfinite(evaluation.selection_loss)
    few_ties = finite & decides(evaluation.ties, settings)
    bounds = jnp.stack([jnp.asarray(part.bound) for part in constraint.parts()])
    candidate = few_ties & within(evaluation.gap, bounds, candidate=True)
    excess = jnp.where(few_ties, jnp.max(evaluation.gap - bounds), jnp.inf)
    merit = jnp.where(candidate, evaluation.selection_loss, excess)
    wins = (candidate & ~best.candidate) | ((candidate == best.candidate) & (merit < best.merit))
    return Best(
        params=jax.tree.map(lambda new, old: jnp.where(wins, new, old), params, best.params),
        candidate=best.candidate | candidate,
        merit=jnp.where(wins, merit, best.merit),
        gap=jnp.where(wins, evaluation.gap, best.gap),
        finite=finite,
        smallest_gap=jnp.where(few_ties, jnp.minimum(best.smallest_gap, evaluation.gap), best.smallest_gap),
        selection_loss=jnp.where(wins, evaluation.selection_loss, best.selection_loss),
    )
