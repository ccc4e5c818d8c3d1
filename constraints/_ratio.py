"""Ratio rules: the smallest rate of a block is not far below the largest, as a share of it.

    measure[b, g] = 1 - rate[b, g] / max_h rate[b, h]             each at most `bound`; four-fifths is bound 0.2

Source: the four-fifths rule of the US Uniform Guidelines on Employee Selection Procedures (1978). A ratio of rates is
not linear in the decisions; the proxy is the same ratio of soft rates.
"""

from __future__ import annotations

import jax.numpy as jnp

from ._choices import Attribute, Choices, static
from ._constraint import Constraint, Statistics
from ._grouping import Grouping
from ._parity import shares
from ._precision import NEGLIGIBLE_SHARE
from ._rate import Members, RateConstraint


class RateRatio(RateConstraint):
    """Shortfall of every group's rate against the best group of its stratum, as a share of that rate."""

    who: Grouping = static()

    def name(self):
        return self.who.title("rate_ratio")

    def groups(self) -> tuple[str, ...]:
        """Name of each group, `[G]`."""
        return self.who.groups

    def blocks(self) -> tuple[str, ...]:
        """Name of each stratum, `[B]`; rates are compared within one only."""
        return self.who.strata

    def cells(self):
        return self.who.cells

    def affine(self):
        return None

    def certifiable_as(self):
        return "no certificate: a ratio of rates is no mean over people"

    def members(self, choices: Choices) -> Members:
        return Members(self.who.cell(choices)[..., None], shares(choices, "all")[..., None])

    def combine(self, statistics: Statistics):
        shape = (len(self.who.strata), len(self.who.groups))
        rates, empty = self.rates(statistics).reshape(shape), (statistics.masses <= 0).reshape(shape)
        best = jnp.where(empty, 0, rates).max(-1, keepdims=True)
        nobody = best <= NEGLIGIBLE_SHARE
        shortfall = 1 - jnp.where(empty, 0, rates) / jnp.where(nobody, 1, best)
        return jnp.where(empty | nobody, 0, shortfall).ravel()


def rate_ratio(attribute: Attribute, bound=0.2, *, of=None, within=None) -> Constraint:
    """No group is chosen much less often than the best, as a share of it: P(chosen | g) >= (1 - bound) P(chosen | h).

    attribute: declared `Attribute`, of the alternatives or of the chooser, whose groups are compared
    bound: in [0, 1]; 0.2 is the four-fifths rule
    of: (attribute, level): only alternatives of this kind count; needed for a chooser's attribute
    within: an attribute, inside each level of which groups are compared; None: everywhere at once
    Source: US Uniform Guidelines on Employee Selection Procedures (1978), section 4D.
    """
    return RateRatio(bound=bound, who=Grouping(attribute, of, within))
