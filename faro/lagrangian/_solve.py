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
from ._verdict import hopeless, relative, sizes, slopes

RUNNING = -1
STALLED = 1e-3  # a violation or a residual has improved if it fell by this share


class Status(enum.IntEnum):
    """How a solve ended; `Result.status` holds the number."""

    CONVERGED = 0  # all KKT residuals are within the tolerance, in the problem's own sizes too
    LIMIT = 1  # out of gradients
    INFEASIBLE = 2  # the violation no longer falls, and violated rows pull against each other
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
    info: Info  # of the last step
    status: Array
    asks: Array  # bool: the last step may be the end, if its point stands up to a closer examination
    least: Array
    least_params: Any
    record: tuple[Array, Array]  # the smallest feasibility and worst residual that were improvements
    since: Array  # steps since then
    wait: Array  # steps until small residuals ask again
    refused: Array  # how often they were refused
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

    Ends with `Status.CONVERGED` where the residuals are within the tolerance both as they are and in the problem's own
    sizes; or, if feasible as they are, in those sizes alone, once neither violation nor residuals have improved for
    `patience` steps, or the gradients are spent. Ends with `Status.INFEASIBLE` if after `patience` such steps no point
    within the tolerance was seen and violated rows pull against each other, and with `Status.LIMIT` after the first
    step that brings the count to `gradients` or more. Each closer examination takes m + 1 gradients, which count.
    A stochastic problem gets its batch of step t from `sample(t)`, a tuple of further arguments of `evaluate`;
    residuals are then those of a batch, so pass `tolerance=0`.
    """
    first = sample(jnp.zeros((), int))
    m = _rows(jax.eval_shape(method.evaluate, params, *first), params)
    start = method.init(params, m)
    typical = sizes(method.evaluate, params, *first)
    blank = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(method.step, start, *first)[1])

    def take_step(loop: _Loop) -> _Loop:
        """One step; the state moves on only if the loop does, so that it stays at the point of the residuals."""
        state, info = method.step(loop.state, *sample(loop.steps))
        missed, worst = info.kkt.feasibility, info.kkt.worst
        nearer, smaller = missed < (1 - STALLED) * loop.record[0], worst < (1 - STALLED) * loop.record[1]
        since = jnp.where(nearer | smaller, 0, loop.since + 1)
        spent = loop.gradients + info.gradients
        finite = jnp.isfinite(info.objective + worst)
        asks = finite & ((worst <= tolerance) & (loop.wait <= 0) | (since >= patience) | (spent >= gradients))
        better = missed < loop.least
        return loop._replace(
            state=optax.tree.where(finite & ~asks, state, loop.state),
            info=info,
            status=jnp.where(finite, RUNNING, Status.DIVERGED),
            asks=asks,
            least=jnp.where(better, missed, loop.least),
            least_params=optax.tree.where(better, loop.state.params, loop.least_params),
            record=(jnp.where(nearer, missed, loop.record[0]), jnp.where(smaller, worst, loop.record[1])),
            since=since,
            wait=loop.wait - 1,
            steps=loop.steps + 1,
            gradients=spent,
        )

    def examine(loop: _Loop) -> _Loop:
        """The closer examination, at the point of the last step."""
        batch = sample(loop.steps - 1)
        point, multipliers = loop.state.params, loop.info.multipliers
        seen = method.evaluate(point, *batch)
        at = slopes(method.evaluate, point, *batch)
        close = (loop.info.kkt.feasibility <= tolerance) & (
            relative(point, multipliers, seen, at, typical).worst <= tolerance
        )
        spent = loop.gradients + m + 1
        endings = {
            Status.CONVERGED: close,
            Status.INFEASIBLE: (loop.since >= patience)
            & (loop.least > tolerance)
            & hopeless(lambda x: method.evaluate(x, *batch), point, multipliers, seen, at, typical),
            Status.LIMIT: spent >= gradients,
        }
        refused = loop.refused + 1
        judged = loop._replace(
            status=jnp.select(list(endings.values()), list(endings), RUNNING),
            asks=jnp.zeros_like(loop.asks),
            since=jnp.where(loop.since >= patience, 0, loop.since),
            wait=2**refused,
            refused=refused,
            gradients=spent,
        )
        return optax.tree.where(loop.asks, judged, loop)

    def onward(loop: _Loop) -> _Loop:
        return examine(jax.lax.while_loop(lambda loop: (loop.status == RUNNING) & ~loop.asks, take_step, loop))

    zero, never, no = jnp.zeros((), int), jnp.asarray(jnp.inf), jnp.zeros((), bool)
    loop = _Loop(
        start,
        blank,
        jnp.asarray(RUNNING),
        no,
        never,
        params,
        (never, never),
        zero,
        zero,
        zero,
        zero,
        zero + 2 * (m + 1),
    )
    end = jax.lax.while_loop(lambda loop: loop.status == RUNNING, onward, loop)
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
