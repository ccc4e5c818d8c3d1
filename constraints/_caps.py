"""Caps on rates, one group at a time: budgets, caps, floors, and the errors that no group should suffer.

    measure[cell] = rate, or 1 - rate            of being chosen, in an event          each at most `bound`
    measure[cell] = mean -log p(what was chosen)                                      each at most `bound`

A floor f on a rate is the cap 1 - f on its complement, so that a smaller bound always asks for more. With `reference`,
the numbers of another model, what is bounded is the excess over it: "no group is made worse off".
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._choices import Attribute, Choices, static
from ._constraint import Constraint
from ._grouping import Grouping
from ._parity import shares
from ._rate import Compared, Members, RateConstraint


class RateCap(RateConstraint):
    """Every group's rate of being chosen in `event`, or with `complement` of not being chosen, is at most `bound`.

    who: the groups
    event: which alternatives count: "all", those "chosen" or "rejected" by people
    complement: whether the rate is that of not being chosen
    title: what it is called in tables
    reference: scalar or `[C]` in [0, 1], taken off the rates; 0: the rates themselves are bounded
    """

    who: Grouping = static()
    event: str = static(default="all")
    complement: bool = static(default=False)
    title: str = static(default="rate_cap")
    reference: Any = 0.0

    def name(self):
        return self.who.title(self.title)

    def affine(self):
        return (1.0, -1.0) if self.complement else (0.0, 1.0)

    def cells(self):
        return self.who.cells

    def combine(self, statistics):
        empty = statistics.masses <= 0
        return jnp.where(empty, 0, jnp.nan_to_num(self.rates(statistics)) - jnp.asarray(self.reference))

    def compared(self):
        plain = type(self).combine is RateCap.combine and not np.any(np.asarray(self.reference))
        return Compared(self.who.strata, self.who.groups, False) if plain else None

    def members(self, choices: Choices) -> Members:
        return Members(self.who.cell(choices)[..., None], shares(choices, self.event)[..., None])

    def decision_values(self, outcome):
        decisions = outcome.decisions[..., None]
        return 1 - decisions if self.complement else decisions


def rate_cap(attribute: Attribute | None = None, bound=0.5, *, of=None, within=None) -> Constraint:
    """No group's alternatives are chosen more often than `bound`: P(chosen | g) <= bound.

    attribute: declared `Attribute` whose groups are looked at; None: everyone, which makes it a budget
    bound: in [0, 1]
    of: (attribute, level): only alternatives of this kind count
    within: an attribute, inside each level of which groups are looked at; None: everywhere at once
    """
    return RateCap(bound=bound, who=Grouping(attribute, of, within))


def rate_floor(attribute: Attribute | None = None, bound=0.5, *, of=None, within=None) -> Constraint:
    """Every group's alternatives are chosen at a rate of at least 1 - bound: P(not chosen | g) <= bound.

    attribute: declared `Attribute` whose groups are looked at; None: everyone
    bound: in [0, 1]; the smaller, the more is asked
    of: (attribute, level): only alternatives of this kind count
    within: an attribute, inside each level of which groups are looked at; None: everywhere at once
    """
    return RateCap(bound=bound, who=Grouping(attribute, of, within), complement=True, title="rate_floor")


def group_error(attribute: Attribute, bound=0.4, *, reference=0.0, of=None, within=None) -> Constraint:
    """P(the model does not choose what people chose | g) <= bound: no group's accuracy is below 1 - bound.

    For a chooser's attribute this is the error rate of the group's own choices, and minimising the bound is minimax
    fairness. For an alternative's attribute it is a floor on the group's true positive rate.

    attribute: declared `Attribute`, of the alternatives or of the chooser, whose groups are looked at
    bound: in [0, 1]
    reference: scalar or `[cells]` in [0, 1]: errors of another model, which are not to be exceeded by more than `bound`
    of: (attribute, level): only alternatives of this kind count
    within: an attribute, inside each level of which groups are looked at; None: everywhere at once
    Source: Martinez et al. ICML 2020; Diana et al. AIES 2021.
    """
    who, title = Grouping(attribute, of, within), "group_error"
    reference = tuple(np.atleast_1d(reference).tolist())
    return RateCap(bound=bound, who=who, event="chosen", complement=True, title=title, reference=jnp.asarray(reference))


class GroupLoss(RateCap):
    """Mean of -log p(chosen) in nats over what people of each group chose; p are the model's choice probabilities."""

    def affine(self):
        return None

    def certifiable_as(self):
        return "no certificate: a loss has no upper end, and no finite sample bounds its mean"

    def decision_values(self, outcome):
        return -jax.lax.stop_gradient(outcome.log_probabilities())[..., None]

    def proxy_sums(self, outcome, rows):
        return self.total(-outcome.log_probabilities()[..., None], rows)


def group_loss(attribute: Attribute, bound=0.7, *, reference=0.0, of=None, within=None) -> Constraint:
    """Mean of -log p(what was chosen | g) is at most `bound` nats for every group: a floor on each group's likelihood.

    attribute: declared `Attribute`, of the alternatives or of the chooser, whose groups are looked at
    bound: in nats, >= 0; with a reference, how far above it
    reference: scalar or `[cells]` in nats: losses of another model
    of: (attribute, level): only alternatives of this kind count
    within: an attribute, inside each level of which groups are looked at; None: everywhere at once
    """
    who = Grouping(attribute, of, within)
    reference = jnp.asarray(tuple(np.atleast_1d(reference).tolist()))
    return GroupLoss(bound=bound, who=who, event="chosen", title="group_loss", reference=reference)
