"""Sums and maxima over the K alternatives of a choice, fast when K is small.

K is 2 for a pair, and a reduction over a last axis of length 2 runs several times slower on a CPU than the same sum of
two arrays. So an array `[..., K]` is worked on as pieces with the alternatives in front: one piece per alternative for
few of them, a single piece for many. Sums over pieces are the same either way. What is taken apart at once, before
anything is computed, costs nothing; and functions that take `[..., K]` here also take its pieces.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import Array

MAX_PIECES = 16


def pieces(values: Array | list[Array]) -> list[Array]:
    """`[..., K]` -> arrays `[k, ...]` whose leading axes hold all K alternatives in order; pieces stay as they are."""
    if isinstance(values, list):
        return values
    front = jnp.moveaxis(values, -1, 0)  # split, as the way back of slices would add up arrays that are mostly 0
    return list(jax.lax.split(front, [1] * len(front))) if len(front) <= MAX_PIECES else [front]


def joined(values: Array | list[Array]) -> Array:
    """The inverse of `pieces`."""
    return jnp.moveaxis(jnp.concatenate(values), 0, -1) if isinstance(values, list) else values


def total(values: list[Array]) -> Array:
    """Sum over the alternatives, `[...]`."""
    return functools.reduce(jnp.add, [piece.sum(0) for piece in values])


def highest(values: list[Array]) -> Array:
    """Maximum over the alternatives, `[...]`."""
    return functools.reduce(jnp.maximum, [piece.max(0) for piece in values])
