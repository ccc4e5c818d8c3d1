"""Training a policy: rollouts, advantages, and the two-player game on the policy's own rates.

    maximise  E[reward] by the surrogate of advantages - beta KL(policy || reference)   such that   gap <= bound

The primal player goes down the gradient of the surrogate and of multipliers times rates; the dual player moves the
multipliers by the rates that the policy really has, smoothed over steps. Nothing is solved beforehand: a dual that was
(one shot, from samples of the reference) holds for another policy than the one that training ends with. What is
returned is the evaluated iterate within the bound that is best on the selection prompts; if there is none, that is
said. Everything here is pure: a training is a scan of steps between evaluations, and all that it needs is its `State`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from constraints import Choices, Constraint, Outcome, Statistics, add

from .. import lagrangian
from ..errors import UsageError
from ..lagrangian import Evaluation, Lagrangian, nupi
from ..training.bounds import within
from .advantage import Advantage, Rated
from .policy import Answers, Policy, sampled_outcome
from .rows import GRPO
from .surrogate import LENGTHS, LEVELS, clipped, divergence, exact_divergence

EVALUATED = 16  # answers to each prompt that an evaluation draws, where they cannot be listed


@dataclasses.dataclass(frozen=True)
class Optimisation:
    """How a policy is trained.

    steps: of rollouts
    every: steps between two evaluations
    prompts: N, prompts of a step
    answers: G, answers to each of them
    updates: gradient steps on one rollout
    learning_rate: of Adam, which falls to a tenth by a cosine
    beta: > 0, weight of the divergence from the reference, in units of the advantage
    low, high: how far below and above 1 a ratio still counts
    level: "token" or "sequence"
    length: "answer" or "constant"
    integral, proportional: rates of the multipliers (`faro.lagrangian.nupi`)
    cap: of a multiplier: one that stays there says that the bound is out of reach
    memory: share of older steps in the rates that multipliers follow, in [0, 1)
    margin: share of the bound by which training stays below it, in [0, 1): rates of other prompts vary
    """

    steps: int = 400
    every: int = 20
    prompts: int = 128
    answers: int = 8
    updates: int = 1
    learning_rate: float = 0.03
    beta: float = 0.05
    low: float = 0.2
    high: float = 0.2
    level: str = "token"
    length: str = "answer"
    integral: float = 0.05
    proportional: float = 2.0
    cap: float = 100.0
    memory: float = 0.8
    margin: float = 0.2

    def __post_init__(self) -> None:
        """`UsageError` for a value that cannot be."""
        for name in ("steps", "every", "prompts", "answers", "updates"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < (2 if name == "answers" else 1):
                least = "2: a lone answer has nothing to be better than" if name == "answers" else "1"
                raise UsageError(f"{name}: expected a whole number of at least {least}, got {value!r}")
        for name in ("learning_rate", "beta", "low", "high", "integral", "cap"):
            value = getattr(self, name)
            if not (_number(value) and value > 0):
                hint = "; without a pull to the reference the best policy is an argmax" if name == "beta" else ""
                raise UsageError(f"{name}: expected a number above 0, got {value!r}{hint}")
        for name in ("memory", "margin", "proportional"):
            value = getattr(self, name)
            if not (_number(value) and value >= 0 and (value < 1 or name == "proportional")):
                raise UsageError(f"{name}: expected a number of at least 0, shares below 1, got {value!r}")
        for name, known in (("level", LEVELS), ("length", LENGTHS)):
            if getattr(self, name) not in known:
                raise UsageError(f"{name}: expected {' or '.join(known)}, got {getattr(self, name)!r}")
        if self.steps % self.every:
            raise UsageError(f"every: expected a divisor of steps = {self.steps}, got {self.every}")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


class Prompts(NamedTuple):
    """What is asked: pytrees with leading axis N.

    asked: what the policy reads; `Choices` for one over candidates
    told: what the reward, the groups and the constraint read besides
    """

    asked: Any
    told: Any = None


@dataclasses.dataclass(frozen=True)
class Task:
    """What a policy is trained for. Functions are pure, of some `Prompts` and the `Answers` to them.

    reward: `[N, G]`, or `[N, G, M]` of several, whose mean is the value then; where the advantage reads one of each
        group, it is that of the own group
    groups: `[N, G]` int, the preference group that each answer is rated for, -1 = none; None: there are none
    levels: how many groups there are
    kinds: `[N, G]`, which of the K kinds of answers each is, where answers cannot be listed; None: prompts are
        `Choices` of all candidates
    choices: of some prompts the `Choices` among the K kinds, which the constraint reads
    """

    reward: Callable[[Prompts, Answers], Array]
    groups: Callable[[Prompts, Answers], Array] | None = None
    levels: int = 1
    kinds: Callable[[Prompts, Answers], Array] | None = None
    choices: Callable[[Prompts], Choices] | None = None


class Rollout(NamedTuple):
    """What a step learns from."""

    prompts: Prompts
    answers: Answers
    old: Array  # [N, G, T] log-probabilities of the policy that answered
    reference: Array  # [N, G, T]
    advantages: Array  # [N, G]
    rows: Any  # what the constraint prepared of these prompts


class Figures(NamedTuple):
    """One evaluation, of the policy as it is."""

    value: Array  # mean reward on the training prompts
    selection_value: Array
    divergence: Array  # from the reference, nats a prompt
    selection_divergence: Array
    gap: Array  # [P] on training and selection prompts together
    multipliers: Array  # [m]
    groups: Array  # [levels] mean reward of each preference group on the selection prompts; NaN of an absent one
    capped: Array  # whether a violated row's multiplier can grow no more


class Best(NamedTuple):
    """The iterate that would be returned now."""

    params: Any
    candidate: Array  # bool: within the bound
    merit: Array  # the higher, the better: regularised value of a candidate, else by how much the gap is too large
    step: Array


class State(NamedTuple):
    """A training between two evaluations; a pytree of arrays that a file can hold."""

    game: lagrangian.State
    advantage: Any
    moments: Any  # running sums and masses of the constraint
    spread: Array  # standard deviation of rewards under the reference: a unit of the advantage in those of the reward
    best: Best
    played: Array
    finite: Array


@dataclasses.dataclass(frozen=True)
class Trainer:
    """Static: `start` gives a `State`, `advance` plays the steps to the next evaluation.

    policy: what is trained
    task: what for
    advantage: by which answers are compared
    settings: how
    """

    policy: Policy
    task: Task
    advantage: Advantage = dataclasses.field(default_factory=GRPO)
    settings: Optimisation = dataclasses.field(default_factory=Optimisation)

    # Pure functions ---------------------------------------------------------------------------------------------------

    def start(self, params: Any, train: Prompts, constraint: Constraint | None) -> State:
        """Before the first step. `UsageError` for a reward, groups or choices of another shape than the answers'.

        params: that the policy begins with; also the reference
        train: the training prompts
        constraint: on the policy's rates, with its bound; None: there is none
        """
        self.check(params, train, constraint)
        return jax.jit(self._begin)(params, train, constraint)

    def _begin(self, params: Any, train: Prompts, constraint: Constraint | None) -> State:
        moments = None
        if constraint is not None:  # of as many prompts as a step has
            count = jax.tree.leaves(train)[0].shape[0]
            share = min(self.settings.prompts, count) / count
            whole = self._statistics(constraint, params, train, jax.random.key(0))
            moments = jax.tree.map(lambda leaf: leaf * share, whole)
        m = 0 if constraint is None else len(constraint.labels())
        state = State(
            game=self._game(constraint).init(params, m),
            advantage=self.advantage.begin(self.task.levels),
            moments=moments,
            spread=self._spread(params, train) if self.advantage.standardised else jnp.ones(()),
            best=Best(params, jnp.zeros((), bool), jnp.asarray(-jnp.inf), jnp.zeros((), int)),
            played=jnp.zeros((), int),
            finite=jnp.ones((), bool),
        )
        return _strong(state)

    def advance(
        self,
        state: State,
        reference: Any,
        train: Prompts,
        selection: Prompts,
        constraint: Constraint | None,
        key: Array,
    ) -> tuple[State, Figures]:
        """`settings.every` steps, and the evaluation after them.

        state: of `start` or of an earlier call
        reference: parameters of the reference policy
        train, selection: prompts
        constraint: as in `start`
        key: of the whole training: steps fold their number in
        """
        count = jax.tree.leaves(train)[0].shape[0]
        size = min(self.settings.prompts, count)
        prepared = () if constraint is None else constraint.prepare(self._choices(train))

        def step(carry: Any, number: Array) -> tuple[Any, None]:
            game, kept, moments = carry
            drawn, answering = jax.random.split(jax.random.fold_in(key, number))
            picked = jax.random.choice(drawn, count, (size,), replace=False)
            prompts, rows = jax.tree.map(lambda leaf: leaf[picked], (train, prepared))
            rollout, kept = self._rollout(game.params, reference, prompts, rows, kept, answering)
            for _ in range(self.settings.updates):
                game, info = self._game(constraint).step(game, rollout, reference, moments, constraint)
                moments = info.aux
            return (game, kept, moments), None

        numbers = state.played + jnp.arange(self.settings.every)
        carry = (state.game, state.advantage, state.moments)
        (game, kept, moments), _ = jax.lax.scan(step, carry, numbers)
        played = state.played + self.settings.every
        figures = self._figures(
            game, reference, train, selection, constraint, jax.random.fold_in(key, self.settings.steps)
        )
        finite = jnp.isfinite(figures.value) & jnp.isfinite(figures.selection_value) & jnp.isfinite(figures.divergence)
        best = self._better(state, game.params, figures, constraint, played, finite)
        after = State(game, kept, moments, state.spread, best, played, state.finite & finite)
        return _strong(after), figures

    def check(self, params: Any, prompts: Prompts, constraint: Constraint | None) -> None:
        """`UsageError` unless reward, groups and choices have the shapes of answers; nothing is computed."""
        some = jax.tree.map(lambda leaf: leaf[:2], prompts)
        answers = jax.eval_shape(lambda: self.policy.answer(params, some.asked, jax.random.key(0), 3))
        wanted = answers.tokens.shape[:2]

        def shape(function: Any) -> Any:
            return jax.eval_shape(function, some, answers)

        rewards = shape(self.task.reward)
        if rewards.shape[:2] != wanted or len(rewards.shape) > 3:
            raise UsageError(f"reward: expected [N, G] or [N, G, M] with [N, G] = {wanted}, got {rewards.shape}")
        if self.task.groups is not None and (groups := shape(self.task.groups)).shape != wanted:
            raise UsageError(f"groups: expected [N, G] = {wanted}, got {groups.shape}")
        if "groups" in self.advantage.reads and self.task.groups is None:
            raise UsageError(f"{self.advantage.name()} reads the preference group of each answer; name a group")
        if "several" in self.advantage.reads and len(rewards.shape) < 3:
            raise UsageError(f"{self.advantage.name()} reads several rewards of each answer, and there is one")
        if constraint is None:
            return
        if self.task.kinds is None:
            if jax.eval_shape(self.policy.law, params, some.asked) is None:
                raise UsageError("kinds: the constraint reads what kind an answer is, and nothing says that")
        elif (kinds := shape(self.task.kinds)).shape != wanted:
            raise UsageError(f"kinds: expected [N, G] = {wanted}, got {kinds.shape}")
        elif constraint.twins():
            raise UsageError(
                f"{constraint.name()}: answers that are drawn have no twins; take a policy over candidates"
            )

    # What a step is made of -------------------------------------------------------------------------------------------

    def _rollout(self, params: Any, reference: Any, prompts: Prompts, rows: Any, kept: Any, key: Array) -> Any:
        answers = self.policy.answer(params, prompts.asked, key, self.settings.answers)
        advantages, kept = self.advantage.of(kept, self._rated(prompts, answers))
        old = self.policy.log_probs(params, prompts.asked, answers)
        ref = self.policy.log_probs(reference, prompts.asked, answers)
        return Rollout(prompts, answers, old, ref, jax.lax.stop_gradient(advantages), rows), kept

    def _rated(self, prompts: Prompts, answers: Answers) -> Rated:
        rewards = self.task.reward(prompts, answers)
        several = rewards if rewards.ndim == 3 else None
        groups = None if self.task.groups is None else self.task.groups(prompts, answers)
        if several is None:
            return Rated(rewards, groups)
        if groups is not None and {"groups", "several"} <= set(self.advantage.reads):  # one of each group: the own
            own = jnp.take_along_axis(several, jnp.maximum(groups, 0)[..., None], -1)[..., 0]
            return Rated(own, groups, several)
        return Rated(several.mean(-1), groups, several)

    def _game(self, constraint: Constraint | None) -> Lagrangian:
        settings = self.settings
        rate = optax.cosine_decay_schedule(settings.learning_rate, settings.steps * settings.updates, 0.1)
        dual = nupi(settings.integral, settings.proportional, cap=settings.cap)
        return Lagrangian(self._evaluate, optax.adam(rate), dual)

    def _evaluate(self, params: Any, rollout: Rollout, reference: Any, moments: Any, constraint: Any) -> Evaluation:
        """Surrogate, divergence and rates at some parameters. `aux` are the new running sums."""
        settings, prompts, answers = self.settings, rollout.prompts, rollout.answers
        logs = self.policy.log_probs(params, prompts.asked, answers)
        limits: Any = {"low": settings.low, "high": settings.high, "level": settings.level, "length": settings.length}
        gain = clipped(logs, rollout.old, rollout.advantages, answers.mask, **limits).mean()
        law = self.policy.law(params, prompts.asked)
        if law is None:
            away = divergence(logs, rollout.reference, answers.mask).mean()
        else:
            away = exact_divergence(law, self.policy.law(reference, prompts.asked)).mean()  # type: ignore[arg-type]
        objective = settings.beta * away - gain
        if constraint is None:
            return Evaluation(objective, jnp.zeros(0), jnp.zeros(0), None)
        outcome, rows = self._outcome(params, constraint, prompts, answers, logs, rollout.old), rollout.rows
        sums = Statistics(constraint.sums(outcome, rows), constraint.masses(rows))
        proxy = Statistics(constraint.proxy_sums(outcome, rows), sums.masses)
        moved, held = jax.lax.stop_gradient(moments), jax.lax.stop_gradient(sums)
        kept = jax.tree.map(lambda old, new: settings.memory * old + (1 - settings.memory) * new, moved, held)

        bounds = (1 - settings.margin) * constraint.bounds()

        def measured(new: Any) -> Array:  # at the smoothed sums, with the slope of the step's own
            total = jax.tree.map(lambda old, now: old + now - jax.lax.stop_gradient(now), kept, new)
            return constraint.combine(total)

        proxies = measured(proxy) - jnp.where(jnp.isfinite(bounds), bounds, 0)  # a row that is not asked for: times 0
        return Evaluation(objective, proxies, measured(sums) - bounds, kept)

    def _choices(self, prompts: Prompts) -> Choices:
        return prompts.asked if self.task.choices is None else self.task.choices(prompts)

    def _outcome(
        self, params: Any, constraint: Constraint, prompts: Prompts, answers: Answers, logs: Array, old: Array
    ) -> Outcome:
        """What a constraint looks at: the law of all candidates, or the shares of kinds among the answers."""
        if self.task.kinds is None:
            return self.policy.outcome(params, prompts.asked, constraint.twins())
        kinds = self.task.kinds(prompts, answers)
        return sampled_outcome(logs, old, answers.mask, kinds, self._choices(prompts))

    def _statistics(self, constraint: Constraint, params: Any, prompts: Prompts, key: Array) -> Statistics:
        """What the constraint sums up of the policy as it is."""
        answers = self.policy.answer(params, prompts.asked, key, EVALUATED)
        logs = self.policy.log_probs(params, prompts.asked, answers)
        outcome = self._outcome(params, constraint, prompts, answers, logs, logs)
        return constraint.statistics(outcome, self._choices(prompts))

    def judge(self, params: Any, reference: Any, prompts: Prompts, constraint: Constraint | None) -> dict[str, Any]:
        """What a policy is worth on some prompts: `value`, `divergence`, `groups` `[levels]`, `gap` `[P]` and what the
        constraint sums up, `statistics`, in the precision of what it is given.

        params: of the policy
        reference: parameters of the reference
        prompts: that are judged
        constraint: on the policy's rates; None: there is none
        """
        key = jax.random.key(1)
        value, away, groups = self._values(params, reference, prompts, key)
        found = {"value": value, "divergence": away, "groups": groups}
        if constraint is None:
            return found
        statistics = self._statistics(constraint, params, prompts, key)
        return found | {"gap": constraint.gap(statistics), "statistics": statistics}

    # Evaluations ------------------------------------------------------------------------------------------------------

    def _figures(self, game: Any, reference: Any, train: Any, selection: Any, constraint: Any, key: Array) -> Figures:
        value, away, _ = self._values(game.params, reference, train, key)
        chosen_value, chosen_away, groups = self._values(game.params, reference, selection, key)
        gap, capped = jnp.zeros(0), jnp.zeros((), bool)
        if constraint is not None:
            held = add(*(self._statistics(constraint, game.params, part, key) for part in (train, selection)))
            gap, violated = constraint.gap(held), constraint.combine(held) > constraint.bounds()
            capped = jnp.any(violated & (game.multipliers >= self.settings.cap))
        return Figures(value, chosen_value, away, chosen_away, gap, game.multipliers, groups, capped)

    def _values(self, params: Any, reference: Any, prompts: Prompts, key: Array) -> tuple[Array, Array, Array]:
        """Mean reward, mean divergence, and mean reward of every preference group."""
        law = self.policy.law(params, prompts.asked)
        answers, weight = self._answers(params, prompts, key, law)
        if law is None:
            logs = self.policy.log_probs(params, prompts.asked, answers)
            ref = self.policy.log_probs(reference, prompts.asked, answers)
            away = divergence(logs, ref, answers.mask).mean()
        else:
            away = exact_divergence(law, self.policy.law(reference, prompts.asked)).mean()  # type: ignore[arg-type]
        rated = self._rated(prompts, answers)
        value = jnp.where(weight > 0, weight * rated.rewards, 0)
        if rated.groups is None:
            return value.sum(1).mean(), away, jnp.full(self.task.levels, value.sum(1).mean())
        belongs = rated.groups[..., None] == jnp.arange(self.task.levels)
        total, mass = (jnp.einsum("nk,nkp->p", part, 1.0 * belongs) for part in (value, weight))
        return value.sum(1).mean(), away, total / jnp.where(mass > 0, mass, jnp.nan)

    def _spread(self, params: Any, prompts: Prompts) -> Array:
        law = self.policy.law(params, prompts.asked)
        answers, weight = self._answers(params, prompts, jax.random.key(0), law)
        rewards = jnp.where(weight > 0, self._rated(prompts, answers).rewards, 0)
        mean = (weight * rewards).sum() / weight.sum()
        deviation = jnp.sqrt((weight * (rewards - mean) ** 2).sum() / weight.sum())
        return jnp.where(deviation > 0, deviation, 1)

    def _answers(self, params: Any, prompts: Prompts, key: Array, law: Array | None) -> tuple[Answers, Array]:
        """Answers and their weights `[N, G]`, which sum to 1: all there are, by their probabilities, or some draws."""
        if law is None:
            answers = self.policy.answer(params, prompts.asked, key, EVALUATED)
            return answers, jnp.full(answers.tokens.shape[:2], 1 / EVALUATED)
        tokens = jnp.broadcast_to(jnp.arange(law.shape[1]), law.shape)[..., None]
        return Answers(tokens, jnp.ones(tokens.shape, bool)), jnp.exp(law)

    def _better(
        self, state: State, params: Any, figures: Figures, constraint: Any, played: Array, finite: Array
    ) -> Best:
        """The better of the best so far and this evaluation: candidates before others, then by merit."""
        best, candidate = state.best, finite
        merit = figures.selection_value - self.settings.beta * state.spread * figures.selection_divergence
        if constraint is not None:
            bounds = (1 - self.settings.margin) * jnp.stack([jnp.asarray(part.bound) for part in constraint.parts()])
            candidate = finite & within(figures.gap, bounds, candidate=True)
            merit = jnp.where(candidate, merit, -jnp.max(figures.gap - bounds))
        merit = jnp.where(finite, merit, -jnp.inf)
        wins = (candidate & ~best.candidate) | ((candidate == best.candidate) & (merit > best.merit))
        return Best(
            jax.tree.map(lambda new, old: jnp.where(wins, new, old), params, best.params),
            best.candidate | candidate,
            jnp.where(wins, merit, best.merit),
            jnp.where(wins, played, best.step),
        )


def _strong(state: State) -> State:
    """The same with types that do not depend on where numbers came from, so that one program serves all calls."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf).astype(jnp.asarray(leaf).dtype), state)
