"""The steps of both players between two evaluations.

The primal player minimises the loss and the proxy by Adam, or by second-order steps; the dual player moves multipliers
by the true violation. Rates come from fixed population masses, so minibatch rates are unbiased; of minibatches the dual
player smooths sums over steps. Support of people is drawn anew at every step.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.flatten_util import ravel_pytree

from constraints import Choices, Constraint, Statistics

from .. import lagrangian, models
from ..data.draws import Pool, drawn
from .problem import Problem
from .ridge import Ridge
from .sums import Prepared
from .trial import TrainState

COOLING_SHARE = 0.7  # of second-order steps after which the temperature falls no more
FIRST_STEP_SHARE = (
    0.5  # of the first second-order step, as a share of what it solves for; falls to 0.3 of that by a cosine
)
SUPPORT_DRAWS = 1  # of a trial's key: what support is drawn by


class Step(NamedTuple):
    """What the first step after an evaluation saw, at the parameters that are evaluated."""

    kkt: Any  # KKT
    capped: Any
    seen: Any  # Tally of the choices of the step
    held: Any  # Tally that the dual player held against the bound, before it was smoothed; without sums of the proxy


@dataclasses.dataclass(frozen=True)
class Players:
    """Both players of a problem, and what a step of theirs sees; `rows` and `shards` as `Game` has them."""

    problem: Problem
    rows: int | None = None
    shards: int = 1

    def draws(self, train: Choices) -> bool:
        """Whether a step sees a batch that is drawn, not all of what it is given."""
        n = self.rows or train.shape[0]
        return (self.problem.settings.batch or n) < n

    def sees_all(self, train: Choices) -> bool:
        """Whether every step sees all of train as an evaluation would."""
        whole = not self.draws(train) and self.shards == 1 and self.problem.settings.compute == "float32"
        return whole and not self.problem.model.support

    def temperature(self, played: Any) -> Any:
        """Of the soft decisions after this many steps: geometric from `temperature_start` to `temperature`; of second
        order in units of the `spread` of the rewards."""
        s = self.problem.settings
        fall = s.steps * (COOLING_SHARE if s.second_order else 1)
        return s.temperature_start * (s.temperature / s.temperature_start) ** jnp.minimum(played / fall, 1)

    def begin(self, params: Any, constraint: Constraint, scale: Array, inverse: Any = None) -> lagrangian.State:
        """Before the first step. Second-order steps need the `inverse` of the loss's curvature, `[d, d]`."""
        curved = (inverse,) if self.problem.settings.second_order else ()
        return self._method(None, None, scale).init(params, len(constraint.labels()), *curved)

    def play(
        self,
        state: TrainState,
        constraint: Constraint,
        train: Prepared,
        dual: Prepared | None,
        pool: Pool | None = None,
    ) -> tuple[TrainState, Step]:
        """`every` steps of both players, and what the first of them saw; `pool` is what support is drawn from."""
        steps_key, key = jax.random.split(state.key) if self.draws(train.choices) else (state.key, state.key)
        game, moments, aim, first = self._steps(steps_key, state, constraint, train, dual, pool)
        played = state.played + self.problem.settings.every
        return state._replace(game=game, moments=moments, key=key, played=played, aim=aim), first

    def _method(self, evaluation: Any, finish: Any, scale: Array) -> Any:
        """The game on a pytree: `evaluation(params, ...)` makes sums, from which `finish` tells what they mean."""
        s, model = self.problem.settings, self.problem.model
        if s.second_order:
            fall = optax.cosine_decay_schedule(FIRST_STEP_SHARE, s.steps, alpha=0.3)
            return lagrangian.Quadratic(evaluation, finish, fall, cap=s.cap)
        rate: Any = optax.adam(optax.cosine_decay_schedule(s.learning_rate, s.steps, alpha=0.1))
        if models.overrides(model, "trainable"):  # the rest has no gradient, and needs no moments
            rate = optax.masked(rate, model.trainable)
        proportional = {"nupi": s.dual_proportional, "ascent": 0.0}[s.dual]
        dual = lagrangian.nupi(s.dual_rate * scale**2, proportional * scale**2, cap=s.cap * scale)
        return lagrangian.Lagrangian(lambda params, *args: finish(evaluation(params, *args), *args), rate, dual)

    def _steps(self, key, state, constraint, train, dual, pool):
        problem, s, n = self.problem, self.problem.settings, self.rows or train.choices.shape[0]
        model, objective = problem.model, problem.objective
        batch, one_batch = s.batch or n, not self.draws(train.choices)
        support_key = jax.random.fold_in(state.key, SUPPORT_DRAWS)
        remembers = dual is None and (not one_batch or self.shards > 1)  # else each step sees all that is held

        def observe(params, moments, temperature, shown, scale, aim, noise):
            def sums(params):
                seen = problem.tally(params, constraint, shown, aim, temperature, s.compute, noise, train=True)
                return seen, jax.tree.map(lambda leaf: scale * leaf, seen)

            def parts(params):
                return objective.parts(sums(self._held(params, train.ridge)[0])[1].loss, train.totals.aim)

            steered = objective.steer(aim, products(parts, params)) if objective.steers else aim
            params, moved = self._held(params, train.ridge)
            seen, tally = sums(params)
            loss = objective.combine(steered, tally.loss, train.totals.aim)
            loss += train.ridge.punishment(model, params, moved)
            for penalty in jax.tree.leaves(tally.penalty):
                loss += penalty / train.totals.weight
            held = tally  # else of the dual part, all of it at every step
            if dual is not None:
                held = problem.tally(jax.lax.stop_gradient(params), constraint, dual, aim, temperature, s.compute)
            return lagrangian.Seen(loss, tally.soft, (seen, held._replace(soft=())))

        def finish(observed, moments, temperature, shown, scale, aim, noise):
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

        method = self._method(observe, finish, state.scale)

        def step(carry, index):
            game, moments, played, aim = carry
            shown, scale = (train, 1.0) if one_batch else (train.take(index), n / batch)
            scale *= self.shards
            if pool is not None:
                mask = drawn(pool, jax.random.fold_in(support_key, played))
                shown = shown.told(pool, mask, model.support)
            noise = jax.random.fold_in(state.key, played) if "key" in models.declared(type(model)) else None
            given = jax.lax.stop_gradient(moments), self.temperature(played), shown, scale, aim, noise
            game, info = method.step(game, *given)
            moments, seen = info.aux
            saw = jax.tree.map(lambda leaf: scale * leaf, seen.seen.loss)
            aim = objective.follow(aim, saw, train.totals.aim)
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
        model = self.problem.model
        params = ridge.held(model, params)
        if not models.overrides(model, "trainable"):
            return params, True
        moved = jax.tree.broadcast(model.trainable(params), params)
        return jax.tree.map(lambda moves, part: part if moves else jax.lax.stop_gradient(part), moved, params), moved


def products(numbers: Any, params: Any) -> Array:
    """Inner products `[G, G]` of the slopes of the G numbers by the parameters; they are no function of these."""
    values, pull = jax.vjp(numbers, jax.lax.stop_gradient(params))
    slopes = jax.lax.map(lambda one: ravel_pytree(pull(one)[0])[0], jnp.eye(len(values), dtype=values.dtype))
    return slopes @ slopes.T


def _shuffled(key: Array, n: int, steps: int, batch: int) -> Array:
    """Row indices `[steps, batch]`, each pass over the data in a fresh order."""
    passes = -(-steps * batch // n)
    order = jax.vmap(lambda k: jax.random.permutation(k, n))(jax.random.split(key, passes)).ravel()
    return order[: steps * batch].reshape(steps, batch)
