"""The one driver loop, and the typed outcome of a solve. All of it is inside jit, and can be batched by vmap."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from jax import Array

from ..errors import UsageError
from ._problem import KKT, Evaluation, Info

RUNNING = -1
STALLED = 1e-3  # the least violation has improved if it fell by this share


class Status(enum.IntEnum):
    """How a solve ended; `Result.status` holds the number."""

    CONVERGED = 0  # all KKT residuals are within the tolerance
    LIMIT = 1  # out of gradients
    INFEASIBLE = 2  # multipliers are at their cap and the violation no longer falls
    DIVERGED = 3  # the objective, a constraint or a gradient is not finite


class Result(NamedTuple):
    """What `solve` found. Everything but the two `least` fields is taken at `params`."""

    params: Any
    multipliers: Array  # [m]
    status: Array  # a `Status`
    objective: Array
    violation: Array  # [m]
    kkt: KKT
    least_violation: Array  # the smallest `kkt.feasibility` of any step
    least_params: Any  # where that was
    steps: Array
    gradients: Array  # evaluations of the gradient, those of line searches included
    state: Any  # of the method, to go on from


class Method(Protocol):
    """What `solve` drives: `evaluate`, `init(params, m)` and `step(state, *args)`; the state has `params`."""

    @property
    def evaluate(self) -> Callable[..., Evaluation]: ...
    def init(self, params: Any, m: int) -> Any: ...
    def step(self, state: Any, *args: Any) -> tuple[Any, Info]: ...


class _Loop(NamedTuple):
    state: Any
    info: Info  # of the last look
    status: Array
    least: Array
    least_params: Any
    record: Array  # the least violation that was an improvement
    since: Array  # looks since then
    steps: Array
    gradients: Array


def solve(
    method: Method,
    params: Any,
    *,
    gradients: int = 20_000,
    tolerance: float = 1e-4,
    patience: int = 500,
    sample: Callable[[Array], tuple] = lambda step: (),
) -> Result:
    """Step until the KKT residuals are all within `tolerance`, or no more can be done.

    Stops with `Status.INFEASIBLE` when a multiplier is at its cap and the least violation has not improved for
    `patience` steps, and with `Status.LIMIT` after the first step that brings the count to `gradients` or more. A
    stochastic problem gets its batch of step t from `sample(t)`, a tuple of further arguments of `evaluate`; residuals
    are then those of a batch, so pass `tolerance=0`.
    """
    first = sample(jnp.zeros((), int))
    m = _rows(jax.eval_shape(method.evaluate, params, *first), params)
    start = method.init(params, m)
    blank = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(method.step, start, *first)[1])

    def look(loop: _Loop) -> _Loop:
        """One step; the state moves on only if the loop does, so that it stays at the point of the residuals."""
        state, info = method.step(loop.state, *sample(loop.steps))
        point = loop.state.params
        better = info.kkt.feasibility < loop.least
        improved = info.kkt.feasibility < (1 - STALLED) * loop.record
        since = jnp.where(improved, 0, loop.since + 1)
        spent = loop.gradients + info.gradients
        violated = info.kkt.feasibility > tolerance
        endings = {
            Status.DIVERGED: ~jnp.isfinite(info.objective + info.kkt.worst),
            Status.CONVERGED: info.kkt.worst <= tolerance,
            Status.INFEASIBLE: violated & info.capped & (since >= patience),
            Status.LIMIT: spent >= gradients,
        }
        status = jnp.select(list(endings.values()), list(endings), RUNNING)
        return _Loop(
            state=optax.tree.where(status == RUNNING, state, loop.state),
            info=info,
            status=status,
            least=jnp.where(better, info.kkt.feasibility, loop.least),
            least_params=optax.tree.where(better, point, loop.least_params),
            record=jnp.where(improved, info.kkt.feasibility, loop.record),
            since=since,
            steps=loop.steps + 1,
            gradients=spent,
        )

    zero, never = jnp.zeros((), int), jnp.asarray(jnp.inf)
    loop = _Loop(start, blank, jnp.asarray(RUNNING), never, params, never, zero, zero, zero)
    end = jax.lax.while_loop(lambda loop: loop.status == RUNNING, look, loop)
    return Result(
        params=end.state.params,
        multipliers=end.info.multipliers,
        status=end.status,
        objective=end.info.objective,
        violation=end.info.violation,
        kkt=end.info.kkt,
        least_violation=end.least,
        least_params=end.least_params,
        steps=end.steps,
        gradients=end.gradients,
        state=end.state,
    )


def _rows(seen: Evaluation, params: Any) -> int:
    """The number of rows of an evaluation, which must have the shapes that it should."""
    for leaf in jax.tree.leaves(params):
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            raise UsageError(f"expected parameters of floats, got {jnp.result_type(leaf)}; convert them first")
    if seen.objective.shape != ():
        raise UsageError(f"expected the objective to be a scalar, got shape {seen.objective.shape}; take a sum or mean")
    if seen.violation.ndim != 1 or seen.proxy.shape != seen.violation.shape:
        raise UsageError(
            f"expected proxy and violation of one shape [m], got {seen.proxy.shape} and {seen.violation.shape}; "
            "`problem` brings constraints into that shape"
        )
    return seen.violation.shape[0]
