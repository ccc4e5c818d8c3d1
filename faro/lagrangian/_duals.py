"""The dual player: how multipliers follow the violation. No momentum: it makes multipliers overshoot and ring."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

Rate = float | Array  # a number, or one for each row


class DualUpdate(NamedTuple):
    """`init(m) -> state`; `update(violation, multipliers, state, equality) -> (multipliers, state)`; optax-style.

    Multipliers begin at 0. `full(multipliers)` tells which of them can grow no more, `[m]`.
    """

    init: Callable[[int], Any]
    update: Callable[..., tuple[Array, Any]]
    full: Callable[[Array], Array] = lambda multipliers: jnp.zeros(multipliers.shape, bool)


def _within(multipliers: Array, cap: Rate, equality: Array | bool) -> Array:
    return jnp.clip(multipliers, jnp.where(equality, -cap, 0), cap)


def ascent(rate: Rate, cap: Rate = 1e3) -> DualUpdate:
    """Projected ascent: multipliers <- clip(multipliers + rate * violation, 0, cap); [-cap, cap] for an equality."""

    def update(violation, multipliers, state, equality=False):
        return _within(multipliers + rate * violation, cap, equality), state

    return DualUpdate(lambda m: (), update, lambda multipliers: jnp.abs(multipliers) >= cap)


class NuPIState(NamedTuple):
    mean: Array  # [m] smoothed violation
    seen: Array  # whether a violation has been seen


def nupi(integral: Rate, proportional: Rate, smoothing: float = 0.0, cap: Rate = 1e3) -> DualUpdate:
    """nuPI control of the multipliers: integral action with a proportional term that damps oscillation.

        mean_t = smoothing * mean_(t-1) + (1 - smoothing) * violation_t
        multipliers <- clip(multipliers + integral * violation_t + proportional * (mean_t - mean_(t-1)), 0, cap)

    and [-cap, cap] for an equality. `proportional = 0` is projected ascent. Source: Sohrabi et al. ICML 2024.
    """

    def init(m):
        return NuPIState(jnp.zeros(m), jnp.zeros((), bool))

    def update(violation, multipliers, state, equality=False):
        mean = jnp.where(state.seen, smoothing * state.mean + (1 - smoothing) * violation, violation)
        change = jnp.where(state.seen, mean - state.mean, 0)
        multipliers = _within(multipliers + integral * violation + proportional * change, cap, equality)
        return multipliers, NuPIState(mean, jnp.ones((), bool))

    return DualUpdate(init, update, lambda multipliers: jnp.abs(multipliers) >= cap)


def optimistic(rate: Rate, cap: Rate = 1e3) -> DualUpdate:
    """Optimistic ascent: multipliers <- clip(multipliers + rate * (2 * violation_t - violation_(t-1)), 0, cap).

    nuPI with equal terms. On bilinear games it converges where plain ascent cycles, if the primal player is optimistic
    too (`optax.optimistic_gradient_descent`). Source: Daskalakis et al. ICLR 2018.
    """
    return nupi(rate, rate, cap=cap)


def exponentiated(rate: Rate, cap: float = 1e3) -> DualUpdate:
    """Exponentiated ascent on the simplex {sum of |multipliers| <= cap}, which has a corner for "no constraint":

        log weights <- log weights + rate * (violation, -violation, 0)
        multipliers = cap * (weight of + minus weight of -), weights = softmax(log weights)

    where - is there for equalities only. Its regret grows with the logarithm of m, so it suits many rows; and
    minimise-the-worst games, where `cap` is 1. Source: Kivinen and Warmuth, Information and Computation 1997.
    """

    def init(m):
        return jnp.zeros(m)

    def update(violation, multipliers, state, equality=False):
        state = state + rate * violation
        against = jnp.where(equality, -state, -jnp.inf)
        weights = jax.nn.softmax(jnp.concatenate([state, against, jnp.zeros(1)]))
        m = state.shape[0]
        return cap * (weights[:m] - weights[m : 2 * m]), state

    def full(multipliers):
        return jnp.broadcast_to(jnp.sum(jnp.abs(multipliers)) >= 0.999 * cap, multipliers.shape)

    return DualUpdate(init, update, full)
