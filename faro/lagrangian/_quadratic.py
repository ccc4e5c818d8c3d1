"""The game with a second-order primal player: every step solves a quadratic model of the problem, in few steps.

    min over p   objective' p + 1/2 p' H p     such that     violation + shift + (d rows / d params) p <= 0

The violation is the truth, its slope that of the proxy, and H a fixed curvature that the caller brings, such as that of
the objective at its own minimum. The dual of this program has one variable per row, so its solution is the multipliers;
no rate says how fast they follow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree

from ._game import State
from ._problem import Evaluation, Info, excess, kkt

ITERATIONS = 40  # of the dual program, which starts at the multipliers of the step before
INTEGRAL = 0.1  # how much of a violation is added to the shift
SHORTER, LONGER = 0.7, 1.15  # by what the pace changes where a violation did not fall as promised, and where it did
PACES = (0.05, 1.0)


class Seen(NamedTuple):
    """An evaluation in two stages, so that slopes are taken of the fewest numbers: `sums` small, `finish` cheap."""

    objective: Array
    sums: Any  # a pytree of J numbers, differentiable
    aux: Any = None


class Pace(NamedTuple):
    """What a step remembers."""

    inverse: Array  # [d, d] of H, over the parameters in one vector
    steps: Array  # so far
    pace: Array  # share of the length that is taken
    taken: Array  # share of the last step that was
    excess: Array  # largest violation that the last step saw
    shift: Array  # [m] violations added up: what the slopes of a proxy do not see, this does


@dataclasses.dataclass(frozen=True)
class Quadratic:
    """`look(params, *args) -> Seen`, then `finish(Seen, *args) -> Evaluation`, whose rows are a function of the sums.

        step    params += length(steps so far) * pace * p
        shift   max(0, shift + INTEGRAL * violation): a violation that steps leave where it is counts for more each time
        pace    falls where the largest violation did not fall by a third of what the step promised, else rises

    An inequality that nothing can meet has its multiplier at `cap`. Source: Wilson 1963 and Han 1977 (sequential
    quadratic programming), with the true violation as Cotter et al. JMLR 2019 have it; the integral term as Sohrabi et
    al. ICML 2024; the dual program by Nesterov's method with restarts (O'Donoghue and Candes 2015).
    """

    look: Callable[..., Seen]
    finish: Callable[..., Evaluation]
    length: Callable[[Array], Array]
    cap: float = 1e3

    def evaluate(self, params: Any, *args: Any) -> Evaluation:
        """Both stages of an evaluation."""
        return self.finish(self.look(params, *args), *args)

    def init(self, params: Any, m: int, inverse: Array) -> State:
        """The state before the first step, multipliers 0; `inverse [d, d]` of the curvature, with d parameters."""
        zero = jnp.zeros(())
        start = Pace(inverse, jnp.zeros((), int), jnp.ones(()), zero, zero, jnp.zeros(m))
        return State(params, start, jnp.zeros(m), ())

    def step(self, state: State, *args: Any) -> tuple[State, Info]:
        """One step, and what was seen at the parameters from which it starts."""

        def numbers(params):
            seen = self.look(params, *args)
            return (seen.objective, seen.sums), seen

        (objective, sums), pushed, seen = jax.linearize(numbers, state.params, has_aux=True)
        told = self.finish(seen, *args)
        memory: Pace = state.primal

        back = jax.linear_transpose(lambda change: ravel_pytree(pushed(change))[0], state.params)
        flat, unravel_sums = ravel_pytree(sums)
        one_by_one = jnp.eye(1 + flat.size, dtype=jnp.result_type(objective, flat))  # all slopes in one way back
        all_slopes = jax.vmap(lambda weight: ravel_pytree(back(weight)[0])[0])(one_by_one)  # [1 + J, d]
        gradient, of_sums = all_slopes[0], all_slopes[1:]
        of_rows = jax.jacobian(lambda flat: self.finish(seen._replace(sums=unravel_sums(flat)), *args).proxy)(flat)
        slopes = of_rows @ of_sums  # [m, d]

        active = told.active_violation
        largest = jnp.max(excess(told), initial=0)
        kept = largest > (1 - 0.3 * memory.taken) * memory.excess
        slower = (memory.steps > 0) & (largest > 0) & kept
        shift = memory.shift + INTEGRAL * active
        shift = jnp.where(told.equality, shift, jnp.maximum(shift, 0))
        cap = jnp.where(jnp.isneginf(told.violation), 0, self.cap)  # a row that is not asked for binds nothing
        limits = jnp.where(told.equality, -cap, 0), cap
        multipliers = self._dual(gradient, slopes, active + shift, state.multipliers, memory.inverse, limits)
        lagrangian = gradient + multipliers @ slopes
        step = -(memory.inverse @ lagrangian)

        pace = jnp.clip(memory.pace * jnp.where(slower, SHORTER, LONGER), *PACES)
        taken = self.length(memory.steps) * pace
        flat_params, unravel = ravel_pytree(state.params)
        after = Pace(memory.inverse, memory.steps + 1, pace, taken, largest, shift)
        info = Info(
            objective=objective,
            violation=told.violation,
            multipliers=multipliers,
            kkt=kkt(lagrangian, multipliers, told),
            capped=jnp.any((excess(told) > 0) & (jnp.abs(multipliers) >= self.cap)),
            gradients=1 + flat.size,
            aux=told.aux,
        )
        return State(unravel(flat_params + taken * step), after, multipliers, ()), info

    @staticmethod
    def _dual(gradient, slopes, violation, start, inverse, limits) -> Array:
        """Multipliers `[m]` of the step:  max  violation' u - 1/2 |gradient + slopes' u|^2 in the norm of `inverse`."""
        across = slopes @ inverse  # [m, d]
        curved, linear = across @ slopes.T, violation - across @ gradient
        size = jnp.sqrt(jnp.maximum(jnp.sum(across * slopes, -1), jnp.finfo(curved.dtype).tiny))
        scaled = curved / (size[:, None] * size)  # ones on the diagonal, so rows of any scale are alike
        rate = 1 / jnp.maximum(jnp.max(jnp.sum(jnp.abs(scaled), -1)), 1)

        def project(multipliers):
            return jnp.clip(multipliers, limits[0] * size, limits[1] * size)

        def move(_, now):
            at, ahead, momentum = now
            rise = linear / size - scaled @ ahead
            new = project(ahead + rate * rise)
            again = jnp.dot(rise, new - at) < 0  # momentum carries downhill: begin anew
            larger = jnp.where(again, 1.0, (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2)
            carried = jnp.where(again, 0.0, (momentum - 1) / larger)
            return new, new + carried * (new - at), larger

        begin = project(start * size)
        scaled_multipliers = jax.lax.fori_loop(0, ITERATIONS, move, (begin, begin, jnp.ones_like(rate)))[0]
        return jnp.clip(scaled_multipliers / size, *limits)
