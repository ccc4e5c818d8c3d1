"""Who is in which group, for objectives that know groups and no constraint."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from constraints import Choices, Constraint, Grouping


def grouping(constraint: Constraint) -> Grouping | None:
    """Whose rates the constraint compares; None for several constraints at once and for those that know no groups."""
    who = getattr(constraint, "who", None)
    return who if isinstance(who, Grouping) and who.attribute is not None else None


class Labels(NamedTuple):
    """Weight of the alternatives of each cell, and of those that people chose, `[C]`."""

    mass: Array
    chosen: Array


def belongs(who: Grouping, choices: Choices) -> Array:
    """How many alternatives of each cell a choice has, `[n, C]`."""
    return jnp.sum(who.cell(choices)[..., None] == jnp.arange(len(who.cells)), 1).astype(choices.weight.dtype)


def labels(who: Grouping, choices: Choices) -> Labels:
    """The labels of these choices by cell."""
    mine = who.cell(choices)[..., None] == jnp.arange(len(who.cells))
    weight = choices.weight[:, None, None]
    return Labels(jnp.sum(weight * mine, (0, 1)), jnp.sum(weight * choices.chosen[..., None] * mine, (0, 1)))


def reweighting(who: Grouping, known: Labels, choices: Choices) -> Array:
    """Factor of the weight of every choice, `[n]`, so that in the data `known` labels do not depend on the group:

        W(g, y) = P(g) P(y) / P(g, y)        y: whether people chose the alternative; inside each stratum

    The factor is the mean of W over the alternatives of a choice that are in a cell (of soft labels: in expectation),
    and 1 if none is. With one such alternative, as in accept or reject, these are the weights of Kamiran and Calders
    (Knowledge and Information Systems 2012); among several alternatives of which one must be chosen it is our reading
    of them. A label that a cell never has keeps weight 1.
    """
    shape = (len(who.strata), len(who.groups))
    mass, chosen = (by_cell.reshape(shape) for by_cell in known)
    total = mass.sum(1, keepdims=True)
    rate = chosen.sum(1, keepdims=True) / jnp.where(total > 0, total, 1)

    def of(share: Array, with_label: Array) -> Array:
        return jnp.where(with_label > 0, share * mass / jnp.where(with_label > 0, with_label, 1), 1).ravel()

    accepted, rejected = of(rate, chosen), of(1 - rate, mass - chosen)
    cell = who.cell(choices)
    there = cell >= 0
    at = jnp.where(there, cell, 0)
    factor = jnp.where(there, choices.chosen * accepted[at] + (1 - choices.chosen) * rejected[at], 0).sum(1)
    return jnp.where(there.any(1), factor / jnp.maximum(there.sum(1), 1), 1)
