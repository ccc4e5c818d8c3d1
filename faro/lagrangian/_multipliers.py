"""The method of multipliers: minimise the augmented Lagrangian by L-BFGS, then move the multipliers; and again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from ._problem import Evaluation, Info, excess, kkt, largest, signed
from ._verdict import sizes

# One setting for all problems, measured by `python -m benchmarks hock_schittkowski`.
MEMORY = 30  # pairs that L-BFGS keeps
REACH = 1.0  # a direction is at most this long, relative to the parameters or 1 ...
AHEAD = 10.0  # ... and the line search goes at most this much further
SEARCH = 30  # gradients of a line search
DESCENT = 200  # descents between two moves of the multipliers
PENALTY = 10.0  # largest first penalty
GROWTH = 10.0  # of the penalty, where the miss did not fall to ...
SHRINK = 0.25  # ... this share
LOST = 10.0  # the penalty was too small if the miss grew by this factor
GOAL = 0.1  # first goal of a minimisation, and its factor from one to the next


class MultiplierState(NamedTuple):
    """What the next step needs. Multipliers, penalty and goal belong to the scaled problem."""

    params: Any
    descent: Any  # state of L-BFGS and its line search
    multipliers: Array  # [m]
    penalty: Array
    scale: tuple[Array, Array]  # of the objective; of the rows, [m]
    goal: Array  # the minimisation ends at a gradient of this size
    miss: Array  # how far rows were from feasible and complementary when the multipliers last moved
    anchor: Any  # the parameters then
    descents: Array  # since then
    stuck: Array  # bool: the last descent went nowhere
    owed: Array  # gradients taken that no Info has told of


@dataclasses.dataclass(frozen=True)
class MultiplierMethod:
    """The method of multipliers on a deterministic smooth problem, `evaluate(params) -> Evaluation`; nothing to tune.

        minimise over x   f(x) + sum of (signed(multipliers + penalty * proxy(x))^2 - multipliers^2) / (2 * penalty)
        multipliers    <- signed(multipliers + penalty * violation)      once the gradient is small
        penalty        <- 10 * penalty                                   if rows miss by more than 1/4 of before

    `signed` is the maximum with 0 for an inequality and nothing for an equality. Objective and rows are first scaled
    to gradients of about 1 at the start. One step is one L-BFGS descent or one move of the multipliers; the scaled
    multipliers and the penalty stay below `cap`, by default 1 / sqrt(machine epsilon): where they would not, objective
    and multipliers are divided by 10, so a cap is no bound for the problem. Source: Bertsekas 1982; Birgin
    and Martinez, Practical Augmented Lagrangian Methods, 2014 (safeguards, scaling).
    """

    evaluate: Callable[..., Evaluation]
    cap: float | None = None

    def init(self, params: Any, m: int) -> MultiplierState:
        """The state before the first step, multipliers 0. Takes 2 (m + 1) gradients, to scale the rows."""
        seen = self.evaluate(params)
        here, beside = sizes(self.evaluate, params)
        objective_scale = 1 / _typical(largest(here.objective), largest(beside.objective))
        row_scale = 1 / _typical(jnp.max(here.rows, axis=1, initial=0), jnp.max(beside.rows, axis=1, initial=0))
        missed = row_scale * excess(seen)
        balance = jnp.maximum(jnp.abs(objective_scale * seen.objective), 1) / jnp.maximum(jnp.sum(missed**2) / 2, 1)
        return MultiplierState(
            params=params,
            descent=_lbfgs.init(params),
            multipliers=jnp.zeros_like(seen.active_violation),
            penalty=PENALTY * jnp.clip(balance, 1e-5, 1),
            scale=(objective_scale, row_scale),
            goal=jnp.full_like(objective_scale, GOAL),
            miss=jnp.max(missed, initial=0),
            anchor=params,
            descents=jnp.zeros((), int),
            stuck=jnp.zeros((), bool),
            owed=jnp.full((), 2 * (m + 1)),
        )

    def step(self, state: MultiplierState) -> tuple[MultiplierState, Info]:
        """One descent, or one move of the multipliers."""

        def augmented(params):
            seen = self.evaluate(params)
            rows = scaled(seen.proxy)
            rows = jnp.where(seen.equality, rows, jnp.maximum(rows, -state.multipliers / state.penalty))
            # (effective^2 - multipliers^2) / (2 * penalty), free of cancellation
            return objective_scale * seen.objective + jnp.sum(rows * (state.multipliers + state.penalty / 2 * rows))

        def scaled(rows):
            return row_scale * jnp.where(jnp.isneginf(seen.violation), 0, rows)

        cap = jnp.finfo(state.penalty.dtype).eps ** -0.5 if self.cap is None else self.cap
        objective_scale, row_scale = state.scale
        seen = self.evaluate(state.params)
        effective = signed(state.multipliers + state.penalty * scaled(seen.proxy), seen.equality)
        moved = signed(state.multipliers + state.penalty * scaled(seen.active_violation), seen.equality)
        miss = jnp.max(jnp.abs(moved - state.multipliers), initial=0) / state.penalty

        # The line search leaves value and gradient in its state; they are taken again where it began afresh.
        taken = ~jnp.isfinite(optax.tree.get(state.descent, "value"))
        value, gradient = optax.value_and_grad_from_state(augmented)(state.params, state=state.descent)
        slope = largest(gradient)

        remembers = optax.tree.get(state.descent, "count") > 1  # if stuck, begin afresh before giving up
        lost = (miss > LOST * jnp.maximum(state.miss, 1)) & (state.penalty < cap)
        done = (slope <= state.goal) | (state.descents >= DESCENT) | (state.stuck & ~remembers)
        fresh = _lbfgs.init(state.params)

        def move():
            # A row that is better than the gradient is good enough: a larger penalty would only harm the descent.
            raised = lost | (miss > jnp.maximum(SHRINK * state.miss, slope))
            # What is at its cap grows on by a smaller objective. A miss that rose comes of multipliers that are behind
            # the last penalty, where proxies are off: these catch up by themselves.
            full = (largest(moved) >= cap) | raised & (state.penalty >= cap) & (miss <= state.miss)
            relief = jnp.where(full, 1 / GROWTH, 1)
            relief = jnp.where(objective_scale > jnp.finfo(value.dtype).tiny ** 0.5, relief, 1)
            here = state._replace(
                multipliers=relief * jnp.clip(moved, -cap, cap),
                scale=(relief * objective_scale, row_scale),
                goal=jnp.maximum(GOAL * state.goal, jnp.finfo(value.dtype).eps ** 0.75),
                miss=miss,
                anchor=state.params,
            )
            after = optax.tree.where(lost, state._replace(params=state.anchor), here)
            return after._replace(
                descent=fresh,
                penalty=jnp.minimum(jnp.where(raised, GROWTH, 1) * state.penalty, cap),
                descents=jnp.zeros_like(state.descents),
                stuck=jnp.zeros_like(state.stuck),
            ), 0

        def descend():
            start = optax.tree.where(state.stuck, fresh, state.descent)
            change, descent = _lbfgs.update(
                gradient, start, state.params, value=value, grad=gradient, value_fn=augmented
            )
            search = optax.tree.get(descent, "info")
            unmoved = largest(change) <= 4 * jnp.finfo(value.dtype).eps * largest(state.params)
            return state._replace(
                params=optax.apply_updates(state.params, change),
                descent=descent,
                descents=state.descents + 1,
                stuck=unmoved | (search.decrease_error > 0),
            ), search.num_linesearch_steps

        after, searched = jax.lax.cond(lost | done, move, descend)
        unscaled = effective * row_scale / objective_scale
        info = Info(
            objective=seen.objective,
            violation=seen.violation,
            multipliers=unscaled,
            kkt=kkt(optax.tree.scale(1 / objective_scale, gradient), unscaled, seen),
            capped=jnp.any((excess(seen) > 0) & (jnp.abs(moved) >= cap)),
            gradients=state.owed + taken + searched,
            aux=seen.aux,
        )
        return after._replace(owed=jnp.zeros_like(state.owed)), info


def _typical(here: Array, beside: Array) -> Array:
    """The slope at the start. One that is below 1 there, but not next to it, is taken as 1: it will not stay small."""
    steady = jnp.maximum(here, jnp.minimum(beside, 1))
    return jnp.where(here > 0, steady, jnp.where(beside > 0, beside, 1))


def _shortened() -> optax.GradientTransformationExtraArgs:
    """Directions of bounded length: far from the start the augmented Lagrangian may fall without end."""

    def update(change, state, params, **_):
        longest = REACH * jnp.maximum(optax.tree.norm(params), 1)
        shrink = jnp.minimum(1, longest / jnp.maximum(optax.tree.norm(change), longest))
        return optax.tree.scale(shrink, change), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


_lbfgs = optax.chain(
    optax.scale_by_lbfgs(MEMORY),
    optax.scale(-1.0),
    _shortened(),
    optax.scale_by_zoom_linesearch(SEARCH, max_learning_rate=AHEAD, initial_guess_strategy="one"),
)
