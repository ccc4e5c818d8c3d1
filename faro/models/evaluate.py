"""The one place where a model is evaluated on choices: in slices of bounded memory, under any decision rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import jaxprs_in_params

from constraints import Argmax, Choices, DecisionRule, Outcome

from .base import Model, Seen, decided, predict, twin_predictions

BLOCK = 2**25  # numbers of the items of a slice: 256 MiB in float64
MADE = 2**28  # bytes that a model may make of a slice
Reader = Callable[[Seen, Outcome, Choices, Any], Any]


def evaluate(
    model: Model,
    params: Any,
    choices: Choices,
    *,
    sums: Reader | None = None,
    each: Reader | None = None,
    rows: Any = None,
    rule: DecisionRule | None = None,
    twins: Iterable[str] = (),
    people: Any = None,
    batch: int | None = None,
) -> tuple[Any, Any]:
    """What readers make of a model on choices: `sums` added up over slices, `each` side by side.

    model: any
    params: its parameters; figures are in their precision and that of the choices
    choices: n choices, whatever dtype their items are stored in
    sums: (seen, outcome, choices, rows) of a slice -> pytree that is additive over choices
    each: the same -> pytree of arrays whose leading axis is that of the slice
    rows: pytree of arrays `[n, ...]` that readers are given their part of
    rule: from rewards to decisions; None: `constraints.Argmax()`
    twins: attributes whose twins the outcome has
    people: a pytree of the earlier choices of every person in `choices.unit`, where the model has `support`
    batch: choices of a slice; None: as many as keep items, and what the model makes of them, below 256 MiB
    """
    names, rule = tuple(twins), rule or Argmax()

    def of_slice(slice_choices: Choices, given: Any) -> tuple[Any, Any]:
        seen = predict(model, params, slice_choices, people=people)
        outcome = decided(
            rule, seen, slice_choices, twin_predictions(model, params, slice_choices, names, people=people)
        )
        read = [None if reader is None else reader(seen, outcome, slice_choices, given) for reader in (sums, each)]
        return read[0], read[1]

    n = choices.shape[0]
    size = batch or largest(choices)
    if batch is None:
        worlds = 1 + sum(choices.twins[name].valid.shape[-1] for name in names)
        size = max(1, min(size, MADE * n // max(1, worlds * made(model, params, choices, people))))
    if size >= n:
        return of_slice(choices, rows)
    whole, rest = divmod(n, size)
    head, tail = (jax.tree.map(lambda leaf, where=where: leaf[where], (choices, rows)) for where in _cut(whole * size))
    slices = jax.tree.map(lambda leaf: leaf.reshape(whole, size, *leaf.shape[1:]), head)
    first = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), slices)
    empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(of_slice, *first)[0])

    def add(total: Any, one_slice: Any) -> tuple[Any, Any]:
        added, apart = of_slice(*one_slice)
        return jax.tree.map(jnp.add, total, added), apart

    total, apart = jax.lax.scan(add, empty, slices)
    apart = jax.tree.map(lambda leaf: leaf.reshape(whole * size, *leaf.shape[2:]), apart)
    if rest:
        added, last = of_slice(*tail)
        total = jax.tree.map(jnp.add, total, added)
        apart = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), apart, last)
    return total, apart


def made(model: Model, params: Any, choices: Choices, people: Any = None) -> int:
    """About how many bytes a model makes of these choices: of its matrix products, and of what becomes of them. Only
    shapes are read."""
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), (params, choices, people))
    program = jax.make_jaxpr(lambda params, part, people: predict(model, params, part, people=people).rewards)(*shapes)
    return 2 * _products(program.jaxpr)


def _products(jaxpr: Any) -> int:
    """Bytes of all matrix products and convolutions of a program."""
    inner = [sub for eqn in jaxpr.eqns for sub in jaxprs_in_params(eqn.params)]
    products = [eqn for eqn in jaxpr.eqns if eqn.primitive.name in ("dot_general", "conv_general_dilated")]
    sizes = [var.aval.size * var.aval.dtype.itemsize for eqn in products for var in eqn.outvars]
    return sum(sizes) + sum(map(_products, inner))


def largest(choices: Choices) -> int:
    """How many of these choices make a slice of at most `BLOCK` numbers, twins included."""
    leaves = jax.tree.leaves((choices.items, choices.context, choices.twins))
    one = sum(math.prod(leaf.shape[1:]) for leaf in leaves)
    return max(1, BLOCK // max(one, 1))


def _cut(at: int) -> tuple[slice, slice]:
    return slice(None, at), slice(at, None)
