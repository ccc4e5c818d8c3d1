"""The game of two players, both first-order, who move at the same time. Batches, noise and proxies are welcome."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from ._duals import DualUpdate
from ._problem import Evaluation, Info, excess, kkt, signed


class State(NamedTuple):
    """What the next step needs."""

    params: Any
    primal: Any
    multipliers: Array  # [m]
    dual: Any


@dataclasses.dataclass(frozen=True)
class Lagrangian:
    """The game: `evaluate(params, *args) -> Evaluation`, an optax optimiser for the primal player, a `DualUpdate`.

        primal player   a step down the gradient of  objective + effective . proxy
        dual player     a step up along the true violation
        effective       multipliers, plus `penalty` * violation: at least 0 for an inequality

    The Lagrangian has penalty 0. With a penalty it is the augmented Lagrangian, which damps the game and turns
    solutions at which the Lagrangian is not convex into minima. If proxy and violation differ it is the
    proxy-Lagrangian. Source: Cotter et al. JMLR 2019 (additive external form); Bertsekas 1982 (augmented).
    """

    evaluate: Callable[..., Evaluation]
    primal: optax.GradientTransformation
    dual: DualUpdate
    penalty: float = 0.0

    def init(self, params: Any, m: int) -> State:
        """The state before the first step, multipliers 0."""
        return State(params, self.primal.init(params), jnp.zeros(m), self.dual.init(m))

    def step(self, state: State, *args: Any) -> tuple[State, Info]:
        """One simultaneous step of both players; `args` (a batch) go to `evaluate`."""

        def lagrangian(params):
            seen = self.evaluate(params, *args)
            effective = signed(state.multipliers + self.penalty * seen.active_violation, seen.equality)
            return seen.objective + jnp.dot(effective, seen.proxy), (seen, effective)

        gradient, (seen, effective) = jax.grad(lagrangian, has_aux=True)(state.params)
        change, primal = self.primal.update(gradient, state.primal, state.params)
        multipliers, dual = self.dual.update(seen.active_violation, state.multipliers, state.dual, seen.equality)
        info = Info(
            objective=seen.objective,
            violation=seen.violation,
            multipliers=effective,
            kkt=kkt(gradient, effective, seen),
            capped=jnp.any((excess(seen) > 0) & self.dual.full(state.multipliers)),
            gradients=1,
            aux=seen.aux,
        )
        return State(optax.apply_updates(state.params, change), primal, multipliers, dual), info
