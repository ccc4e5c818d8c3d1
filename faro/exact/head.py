"""A linear head on frozen features: its loss, gradient and curvature in float64, in chunks of bounded memory.

    rewards   u_ik = x_ik . w                                        0 for an outside option
    loss(w)   sum_i p_i sum_k y_ik (log sum_j exp u_ij - u_ik) + mu/2 |w|^2      p_i = weight_i / sum of weights

Where some parameters are punished more than others, features come in units in which all are punished alike.

This is the loss that `faro.training` minimises, with mu its `weight_decay`: conditional logit (McFadden 1974) over the
available alternatives, with soft labels y. Sums over rows are taken here; solvers see d numbers and d x d tables.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from constraints import Choices

from ..errors import DataError, UsageError
from ..models import Linear, numeric

CHUNK = 2**18  # numbers of a chunk of features: 2 MiB in float64, about a core's cache


class Table(NamedTuple):
    """The rows in C chunks of R, padded with rows that have no share: what a pass over the data reads."""

    features: Array  # [C, R, K, d] as given, 0 where there is no alternative or it is the outside option
    available: Array  # [C, R, K]
    label: Array  # [C, R, K] float64
    share: Array  # [C, R] float64, sums to 1


class Moments(NamedTuple):
    """What one pass over the rows gives, without the ridge: `loss`, `gradient [d]`, `hessian [d, d]` (of size 0
    if it was not asked for)."""

    loss: float
    gradient: np.ndarray
    hessian: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Head:
    """Rewards linear in parameters `w [d]`, on choices whose `items [n, K, d]` are the features; make one with `of`.

    With `intercept`, the last of the d features is the constant 1 of every alternative but the outside option.
    """

    choices: Choices
    ridge: float  # mu > 0, in units of the loss
    intercept: bool
    shape: tuple[int, int]  # features of an alternative and of the context, before they were multiplied out
    table: Table
    units: np.ndarray  # [d] of the features: w * units are the parameters of features as they are

    @classmethod
    def of(
        cls,
        choices: Choices,
        ridge: float,
        *,
        intercept: bool | None = None,
        shares: Mapping[str, float] | None = None,
    ) -> Head:
        """The head that `faro.models.Linear` is, on these choices; or, with `items` replaced by the last features of a
        network (twins likewise, `context=None`), the network's last layer.

        `ridge` is mu > 0. `intercept=None`: one if any choice has an outside option; without one it cancels.
        `shares`: by part of the parameters, how strongly it is punished as a share of the ridge, above 0; inf: it stays
        0. 1 by default.
        Raises `UsageError` for a ridge that is not positive, items that are no array `[n, K, d]`, or too many products
        of features and context; `DataError` for features that are not finite, or weights that are all zero.
        """
        if not (np.isfinite(ridge) and ridge > 0):
            raise UsageError(f"ridge: expected a number above 0, got {ridge}; without one there is no lower bound")
        choices = numeric(choices)
        if np.ndim(choices.items) != 3:
            raise UsageError("items: expected one array of features [n, K, d]; take the last features of the network")
        context = choices.context
        shape = (choices.items.shape[-1], 0 if context is None else context.shape[-1])
        choices = Linear().prepare(choices)
        if choices.context is not None:
            raise UsageError(f"{shape[0]} features x {shape[1]} of the context are too many for an exact solve")
        inside = np.asarray(choices.inside)
        items = np.asarray(choices.items)
        items = np.pad(items, ((0, 0), (0, inside.shape[1] - items.shape[1]), (0, 0)))
        items = items if inside.all() else np.where(inside[..., None], items, 0)
        if intercept is None:
            intercept = bool(np.any(np.asarray(choices.outside & choices.available)))
        if intercept:
            items = np.concatenate([items, inside[..., None].astype(items.dtype)], -1)
        parts = {"item": shape[0], "context": shape[1], "cross": shape[0] * shape[1], "intercept": int(intercept)}
        punished = np.concatenate([np.full(size, (shares or {}).get(part, 1.0)) for part, size in parts.items()])
        units = 1 / np.sqrt(punished)
        items = items if (units == 1).all() else items * units.astype(items.dtype)
        bad = ~np.isfinite(items.sum((1, 2)))
        if bad.any():
            raise DataError(f"choice {int(np.argmax(bad))}: features must be finite, got NaN or infinity")
        weight = np.asarray(choices.weight, np.float64)
        if not weight.sum() > 0:
            raise DataError("weights: all are zero, so there is no loss; give some choice a weight")
        table = _table(items, choices, weight / weight.sum())
        return cls(choices, float(ridge), intercept, shape, table, units)

    @property
    def d(self) -> int:
        """Number of parameters."""
        return self.table.features.shape[-1]

    @property
    def features(self) -> np.ndarray:
        """`[n, K, d]` with the constant of the intercept; 0 where there is no alternative, or the outside option."""
        features = np.asarray(self.table.features)
        return features.reshape(-1, *features.shape[2:])[: self.choices.shape[0]]

    def moments(self, w: np.ndarray, curvature: bool = True) -> Moments:
        """Loss without the ridge, its gradient and, with `curvature`, its Hessian at w: one pass, O(n K d^2)."""
        with jax.enable_x64(True):
            loss, *others = _moments(jnp.asarray(w, jnp.float64), self.table, curvature)
            return Moments(float(loss), *(np.array(value) for value in others))

    def loss(self, w: np.ndarray) -> float:
        """Negative log-likelihood + mu/2 |w|^2, in nats."""
        return self.moments(w, curvature=False).loss + self.ridge / 2 * float(w @ w)

    def params(self, w: np.ndarray) -> dict[str, np.ndarray]:
        """w as the parameters of `faro.models.Linear`."""
        (d, c), w = self.shape, w * self.units
        params = {"intercept": w[-1] if self.intercept else np.zeros(()), "item": w[:d]}
        return params | ({"context": w[d : d + c], "cross": w[d + c : d + c + d * c].reshape(d, c)} if c else {})

    def weights(self, params: Any) -> np.ndarray:
        """The inverse of `params`, `[d]`; an intercept that the head does not have is dropped, for it cancels."""
        parts = [params[part] for part in ("item", "context", "cross") if part in params]
        parts += [params["intercept"]] * self.intercept
        flat = np.concatenate([np.ravel(np.asarray(part, np.float64)) for part in parts])
        return np.where(self.units > 0, flat / np.where(self.units > 0, self.units, 1), 0)


def _table(items: np.ndarray, choices: Choices, share: np.ndarray) -> Table:
    n, k, d = items.shape
    chunks = -(-n * k * d // CHUNK)
    rows = -(-n // chunks)

    def cut(values: Any, fill: float) -> Array:
        spare = np.full((chunks * rows - n, *np.shape(values)[1:]), fill, values.dtype)
        return jnp.asarray(np.concatenate([values, spare]).reshape(chunks, rows, *np.shape(values)[1:]))

    with jax.enable_x64(True):
        label = np.asarray(choices.chosen, np.float64)
        return Table(cut(items, 0), cut(np.asarray(choices.available), True), cut(label, 0), cut(share, 0))


@functools.partial(jax.jit, static_argnames="curvature")
def _moments(w: Array, table: Table, curvature: bool) -> tuple[Array, Array, Array]:
    d = table.features.shape[-1]

    def add(sums: tuple[Array, Array, Array], chunk: Table) -> tuple[tuple[Array, Array, Array], None]:
        loss, gradient, hessian = sums
        x, y, p = chunk.features.astype(w.dtype), chunk.label, chunk.share[:, None]
        u = x @ w
        alpha, normaliser = jax.nn.softmax(u, where=chunk.available), jax.nn.logsumexp(u, -1, where=chunk.available)
        total = y.sum(1, keepdims=True)
        loss += jnp.sum(p * (total * normaliser[:, None] - (y * u).sum(1, keepdims=True)))
        gradient += jnp.einsum("nk,nkd->d", p * (total * alpha - y), x)
        if curvature:
            mean = jnp.einsum("nk,nkd->nd", alpha, x)
            spread = ((x - mean[:, None]) * jnp.sqrt(p * total * alpha)[..., None]).reshape(-1, d)
            hessian += spread.T @ spread
        return (loss, gradient, hessian), None

    nothing = (jnp.zeros(()), jnp.zeros(d), jnp.zeros((d, d) if curvature else (0, 0)))
    return jax.lax.scan(add, nothing, table)[0]
