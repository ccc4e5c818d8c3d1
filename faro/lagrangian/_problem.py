"""What is to be solved: one evaluation of a problem, and how far a point is from satisfying its conditions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree

from ..errors import UsageError


class Evaluation(NamedTuple):
    """One evaluation of the problem: `objective` scalar, `proxy [m]` (differentiable stand-in of the constraints),
    `violation [m]` (the truth; positive = violated; -inf = not asked for), `aux` anything,
    `equality [m]` (rows that mean = 0).

    An equality row is violated on both sides, and its multiplier may have either sign. Nothing else sets it apart.
    """

    objective: Array
    proxy: Array
    violation: Array
    aux: Any = None
    equality: Array | bool = False

    @property
    def active_violation(self) -> Array:
        """`violation` without gradient, 0 where it was not asked for."""
        return jnp.where(jnp.isneginf(self.violation), 0, jax.lax.stop_gradient(self.violation))

    @property
    def asked(self) -> Array:
        """The old name of `active_violation`, for one release."""
        warnings.warn("Evaluation.asked is active_violation now; the old name goes", FutureWarning, stacklevel=2)
        return self.active_violation


def problem(
    objective: Callable[..., Array],
    inequalities: Callable[..., Any] | None = None,
    equalities: Callable[..., Any] | None = None,
    proxies: Callable[..., Any] | None = None,
) -> Callable[..., Evaluation]:
    """`evaluate` of: minimise objective(x) subject to inequalities(x) <= 0 and equalities(x) = 0.

    Each takes the parameters, and a batch if there is one. Constraints may be any pytree of arrays; the rows, and so
    the multipliers, are its leaves in order, inequalities first. `proxies` stand in for the inequalities where they are
    differentiated, row by row.
    """

    def rows(function, args):
        return jnp.zeros(0) if function is None else ravel_pytree(function(*args))[0]

    def evaluate(*args):
        inequality, equality = rows(inequalities, args), rows(equalities, args)
        stand_in = inequality if proxies is None else rows(proxies, args)
        if stand_in.shape != inequality.shape:
            raise UsageError(
                f"expected one proxy for each of {inequality.size} inequalities, got {stand_in.size}; "
                "let proxies return the same rows as inequalities"
            )
        return Evaluation(
            objective=objective(*args),
            proxy=jnp.concatenate([stand_in, equality]),
            violation=jnp.concatenate([inequality, equality]),
            equality=jnp.arange(inequality.size + equality.size) >= inequality.size,
        )

    return evaluate


class KKT(NamedTuple):
    """How far a point and its multipliers are from the Karush-Kuhn-Tucker conditions; three scalars, 0 at a solution.

    stationarity     max |gradient of objective + multipliers . proxy|     over all parameters
    feasibility      max of max(violation, 0), of |violation| for an equality     over rows
    complementarity  max |multipliers * violation|     over inequality rows
    """

    stationarity: Array
    feasibility: Array
    complementarity: Array

    @property
    def worst(self) -> Array:
        """The largest of the three."""
        return jnp.maximum(jnp.maximum(self.stationarity, self.feasibility), self.complementarity)


def kkt(gradient: Any, multipliers: Array, seen: Evaluation) -> KKT:
    """The residuals of one evaluation, from the gradient of the Lagrangian at these multipliers."""
    return KKT(
        stationarity=largest(gradient),
        feasibility=jnp.max(excess(seen), initial=0),
        complementarity=jnp.max(jnp.where(seen.equality, 0, jnp.abs(multipliers * seen.active_violation)), initial=0),
    )


def largest(tree: Any) -> Array:
    """The largest absolute value in a tree."""
    return jnp.max(jnp.stack([jnp.max(jnp.abs(leaf), initial=0) for leaf in jax.tree.leaves(tree)]))


def excess(seen: Evaluation) -> Array:
    """By how much each row is violated, `[m]`, never negative."""
    return jnp.where(seen.equality, jnp.abs(seen.active_violation), jnp.maximum(seen.active_violation, 0))


def signed(multipliers: Array, equality: Array | bool) -> Array:
    """Multipliers with the sign that each row allows: any for an equality, 0 or more for an inequality."""
    return jnp.where(equality, multipliers, jnp.maximum(multipliers, 0))


class Info(NamedTuple):
    """What one step saw, at the parameters that it started from."""

    objective: Array
    violation: Array  # [m]
    multipliers: Array  # [m] those of the Lagrangian whose gradient was taken
    kkt: KKT
    capped: Array  # bool: a violated row's multiplier can grow no more
    gradients: Array | int  # how many gradients the step took
    aux: Any = None
