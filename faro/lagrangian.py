"""A constrained optimiser on pytrees: minimise f(x) subject to g(x) <= 0 by a Lagrangian game of two players.

    primal player   gradient step on  f(x) + multipliers . proxy(x)      any optax optimiser
    dual player     multipliers grow where the true g(x) > 0             projected ascent or nuPI

Knows nothing of fairness or choices. `init` and `step` are pure, in the manner of optax; the caller scans.
Proxies: differentiate the proxy, ascend on the truth (Cotter et al. JMLR 2019, additive external form).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array


class Evaluation(NamedTuple):
    """One look at the problem: `objective` scalar, `proxy [m]` (differentiable stand-in of the constraints), `violation
    [m]` (the truth; positive = violated; -inf = not asked for), `aux` anything."""

    objective: Array
    proxy: Array
    violation: Array
    aux: Any = None


class DualUpdate(NamedTuple):
    """`init(m) -> state` and `update(violation, multipliers, state) -> (multipliers, state)`; optax-style."""

    init: Callable[[int], Any]
    update: Callable[[Array, Array, Any], tuple[Array, Any]]


def ascent(rate: float, cap: float = 1e3) -> DualUpdate:
    """Projected ascent: multipliers <- clip(multipliers + rate * violation, 0, cap)."""

    def update(violation, multipliers, state):
        return jnp.clip(multipliers + rate * violation, 0, cap), state

    return DualUpdate(lambda m: (), update)


class NuPIState(NamedTuple):
    mean: Array  # [m] smoothed violation
    seen: Array  # whether a violation has been seen


def nupi(integral: float, proportional: float, smoothing: float = 0.0, cap: float = 1e3) -> DualUpdate:
    """nuPI control of the multipliers: integral action with a proportional term that damps oscillation.

        mean_t = smoothing * mean_(t-1) + (1 - smoothing) * violation_t
        multipliers <- clip(multipliers + integral * violation_t + proportional * (mean_t - mean_(t-1)), 0, cap)

    `proportional = 0` is projected ascent. Source: Sohrabi et al. ICML 2024.
    """

    def init(m):
        return NuPIState(jnp.zeros(m), jnp.zeros((), bool))

    def update(violation, multipliers, state):
        mean = jnp.where(state.seen, smoothing * state.mean + (1 - smoothing) * violation, violation)
        change = jnp.where(state.seen, mean - state.mean, 0)
        multipliers = jnp.clip(multipliers + integral * violation + proportional * change, 0, cap)
        return multipliers, NuPIState(mean, jnp.ones((), bool))

    return DualUpdate(init, update)


class State(NamedTuple):
    """What the next step needs."""

    params: Any
    primal: Any
    multipliers: Array  # [m], in [0, cap]
    dual: Any


@dataclasses.dataclass(frozen=True)
class Lagrangian:
    """The game: `evaluate(params, *args) -> Evaluation`, an optax optimiser for the primal player, a `DualUpdate`."""

    evaluate: Callable[..., Evaluation]
    primal: optax.GradientTransformation
    dual: DualUpdate

    def init(self, params: Any, m: int) -> State:
        """The state before the first step, multipliers 0."""
        return State(params, self.primal.init(params), jnp.zeros(m), self.dual.init(m))

    def step(self, state: State, *args: Any) -> tuple[State, Evaluation]:
        """One simultaneous step of both players; `args` (a batch) go to `evaluate`."""

        def lagrangian(params):
            seen = self.evaluate(params, *args)
            return seen.objective + jnp.dot(state.multipliers, seen.proxy), seen

        gradient, seen = jax.grad(lagrangian, has_aux=True)(state.params)
        change, primal = self.primal.update(gradient, state.primal, state.params)
        asked = jnp.where(jnp.isneginf(seen.violation), 0, jax.lax.stop_gradient(seen.violation))
        multipliers, dual = self.dual.update(asked, state.multipliers, state.dual)
        return State(optax.apply_updates(state.params, change), primal, multipliers, dual), seen
