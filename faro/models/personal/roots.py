"""Roots of many small matrices at once, a column at a time, with derivatives.

LAPACK of many matrices deals them to the threads of XLA and waits for them on a thread of the same pool: where two such
calls run at once on two cores, both wait for ever (jaxlib 0.10.2). Small ones it is not faster for either.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array


def root(matrix: Array) -> Array:
    """L, lower triangular, with L L' = matrix; NaN of one that is not positive definite.

    matrix: `[..., q, q]`, symmetric
    """
    places = jnp.arange(matrix.shape[-1])

    def column(place: Any, state: tuple[Array, Array]) -> tuple[Array, Array]:
        rest, found = state
        own = jax.lax.dynamic_index_in_dim(rest, place, -1, False)
        top = jnp.sqrt(jax.lax.dynamic_index_in_dim(own, place, -1))
        own = jnp.where(places >= place, own / top, 0)
        rest = rest - own[..., :, None] * own[..., None, :]
        return rest, jnp.where(places == place, own[..., None], found)

    matrix = (matrix + jnp.swapaxes(matrix, -1, -2)) / 2
    return jax.lax.fori_loop(0, len(places), column, (matrix, jnp.zeros_like(matrix)))[1]


def inverse_of_root(lower: Array) -> Array:
    """L^-1.

    lower: L, `[..., q, q]`, lower triangular
    """
    places = jnp.arange(lower.shape[-1])

    def row(place: Any, found: Array) -> Array:
        own = jax.lax.dynamic_index_in_dim(lower, place, -2, False)
        top = jax.lax.dynamic_index_in_dim(own, place, -1)
        line = ((places == place) - jnp.einsum("...j,...jr->...r", own, found)) / top
        return jnp.where((places == place)[:, None], line[..., None, :], found)

    return jax.lax.fori_loop(0, len(places), row, jnp.zeros_like(lower))
