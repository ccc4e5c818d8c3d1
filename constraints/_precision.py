"""Precision: of the alternatives of a group that the model chooses, how many did people choose?

    precision[g] = sum w d y / sum w d          the denominator depends on the decisions, so it is a ratio

A floor on it is still linear in the decisions, sum w d ((1 - y) - bound) <= 0; equal precision (predictive parity) is
not, and is trained by the ratio of soft sums as a proxy.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from ._choices import Attribute, Choices, static
from ._constraint import Constraint, Statistics
from ._grouping import Grouping
from ._parity import Parity, shares
from ._rate import Members, RateConstraint


def _members(who: Grouping, choices: Choices) -> Members:
    """Two slots and two sets of cells: decisions on what people chose, and on what they rejected."""
    cell = who.cell(choices)
    both = jnp.stack([cell, jnp.where(cell < 0, -1, cell + len(who.cells))], -1)
    return Members(both, jnp.stack([shares(choices, "chosen"), shares(choices, "rejected")], -1))


def _halves(values: Array) -> tuple[Array, Array]:
    return values[: len(values) // 2], values[len(values) // 2 :]


class PrecisionFloor(RateConstraint):
    """Every group's share of wrongly chosen alternatives among the chosen, 1 - precision, is at most `bound`."""

    who: Grouping = static()

    def name(self):
        return self.who.title("precision_floor")

    def labels(self):
        return self.who.cells

    def cells(self):
        return tuple(f"{event} by people: {cell}" for event in ("chosen", "rejected") for cell in self.who.cells)

    def members(self, choices):
        return _members(self.who, choices)

    def combine(self, statistics: Statistics):
        right, wrong = _halves(statistics.sums)
        mass = sum(_halves(statistics.masses))
        linear = wrong - self.bound * (right + wrong)
        return jnp.where(mass > 0, linear / jnp.where(mass > 0, mass, 1) + self.bound, 0)

    def gap(self, statistics: Statistics):
        right, wrong = _halves(statistics.sums)
        some = right + wrong > 0
        return jnp.max(jnp.where(some, wrong / jnp.where(some, right + wrong, 1), 0), keepdims=True)


def precision_floor(attribute: Attribute, bound=0.5, *, of=None, within=None) -> Constraint:
    """1 - precision <= bound for every group: at least 1 - bound of what the model chooses was chosen by people."""
    return PrecisionFloor(bound=bound, who=Grouping(attribute, of, within))


class PredictiveParity(Parity):
    """Equal precision over the groups of each stratum; a ratio, trained by the proxy of soft sums."""

    who: Grouping = static()

    def name(self):
        return self.who.title("predictive_parity")

    def groups(self):
        return self.who.groups

    def blocks(self):
        return self.who.strata
