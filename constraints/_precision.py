"""Precision: of the alternatives of a group that the model chooses, how many did people choose?

    precision[g] = sum w d y / sum w d          the denominator depends on the decisions, so it is a ratio

A floor on it is still linear in the decisions, sum w d ((1 - y) - bound) <= 0; equal precision (predictive parity) is
not, and is trained by the ratio of soft sums as a proxy.

A group of which the model chooses nobody has no precision. The floor holds there: nothing was chosen wrongly. Parity
does not: a precision that is not known may be anything in [0, 1], so the gap is 1, and no model meets a bound by
choosing nobody of a group. Soft decisions never choose quite nobody; less than `NEGLIGIBLE_SHARE` of what is there is.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from ._choices import Attribute, Choices, static
from ._constraint import Constraint, Statistics
from ._grouping import Grouping
from ._parity import Parity, shares
from ._rate import Members, RateConstraint

NEGLIGIBLE_SHARE = 1e-12  # of a cell's mass
LEAST_DENOMINATOR = 1e-18  # the slope of a ratio with a smaller denominator is no number in float32


class AbstractPrecision(RateConstraint):
    """Sums of the decisions on what people chose and on what they rejected, `[2, C]`: right and wrong choices."""

    who: Grouping = static()

    def affine(self):
        return None

    def certifiable_as(self):
        return "no certificate: precision is a ratio whose denominator depends on the model"

    def cells(self):
        return self.who.cells

    def members(self, choices: Choices) -> Members:
        cell = self.who.cell(choices)
        label = [shares(choices, event) for event in ("chosen", "rejected")]
        return Members(jnp.stack([cell, cell], -1), jnp.stack(label, -1))

    def sums(self, outcome, rows):
        return jnp.stack([self.total(outcome.decisions[..., None] * event, rows) for event in jnp.eye(2)])

    def rates(self, statistics: Statistics):
        """Precision of each cell, `[C]`; NaN where the model chooses nothing."""
        right, wrong = statistics.sums
        some = right + wrong > jnp.maximum(NEGLIGIBLE_SHARE * statistics.masses, LEAST_DENOMINATOR)
        return jnp.where(some, right / jnp.where(some, right + wrong, 1), jnp.nan)


class PrecisionFloor(AbstractPrecision):
    """Every group's share of wrong choices among the model's choices, 1 - precision, is at most `bound`."""

    def name(self):
        return self.who.title("precision_floor")

    def combine(self, statistics: Statistics):
        (right, wrong), some = statistics.sums, statistics.masses > 0
        bound = jnp.minimum(self.bound, 1.0)  # a share is at most 1, and an infinite bound would make this NaN
        linear = wrong - bound * (right + wrong)  # <= 0 exactly when 1 - precision <= bound
        return jnp.where(some, linear / jnp.where(some, statistics.masses, 1) + bound, 0)

    def gap(self, statistics: Statistics):
        return jnp.max(1 - jnp.nan_to_num(self.rates(statistics), nan=1.0), keepdims=True)


class PredictiveParity(AbstractPrecision, Parity):
    """Equal precision over the groups of each stratum: a ratio, trained by the proxy of soft sums. 1 where a group with
    data has no precision, and another group of its stratum has data."""

    def name(self):
        return self.who.title("predictive_parity")

    def groups(self):
        return self.who.groups

    def blocks(self):
        return self.who.strata

    def labels(self):
        return Parity.labels(self)

    def _unknown(self, statistics: Statistics):
        """`[B, G]` groups whose precision would be compared with another's, if the model chose any of them."""
        shape = (len(self.blocks()), len(self.groups()))
        some = (statistics.masses > 0).reshape(shape)
        return some & jnp.isnan(self.rates(statistics)).reshape(shape) & (some.sum(-1, keepdims=True) > 1)

    def combine(self, statistics: Statistics):
        unknown = self._unknown(statistics)
        if self.form == "pairwise":
            some = (statistics.masses > 0).reshape(unknown.shape)
            pairs = (unknown[:, :, None] | unknown[:, None, :]) & some[:, :, None] & some[:, None, :]
            rows = pairs[:, *np.nonzero(~np.eye(len(self.groups()), dtype=bool))].ravel()
        else:
            rows = jnp.concatenate([unknown.ravel(), unknown.ravel()])
        return jnp.where(rows, 1, super().combine(statistics))

    def gap(self, statistics: Statistics):
        return jnp.where(self._unknown(statistics).any(), 1, super().gap(statistics))


def precision_floor(attribute: Attribute, bound=0.5, *, of=None, within=None) -> Constraint:
    """Of what the model chooses, at least 1 - bound was chosen by people, in every group: 1 - precision[g] <= bound.

    It holds for a group of which the model chooses nobody; join a `rate_floor` where that must not be.

    attribute: declared `Attribute`, of the alternatives or of the chooser, whose groups are looked at
    bound: in [0, 1]; the smaller, the more is asked
    of: (attribute, level): only alternatives of this kind count
    within: an attribute, inside each level of which groups are looked at; None: everywhere at once
    """
    return PrecisionFloor(bound=bound, who=Grouping(attribute, of, within))


def predictive_parity(attribute: Attribute, bound=0.05, *, of=None, within=None) -> Constraint:
    """What the model chooses is as often right in every group: |precision in g - precision in h| <= bound.

    No row is linear in the decisions. The gap is 1 where the model chooses nobody of a group: its precision is not
    defined, and nothing says that it is near another's.

    attribute: declared `Attribute`, of the alternatives or of the chooser, whose groups are compared
    bound: in [0, 1]
    of: (attribute, level): only alternatives of this kind count; needed for a chooser's attribute
    within: an attribute, inside each level of which groups are compared; None: everywhere at once
    Source: Chouldechova, Big Data 2017.
    """
    return PredictiveParity(bound=bound, who=Grouping(attribute, of, within))
