"""Caps on rates, one group at a time: budgets, caps, floors, and the errors that no group should suffer.

    measure[cell] = rate, or 1 - rate            of being chosen, in an event          each at most `bound`

A floor f on a rate is the cap 1 - f on its complement, so that a smaller bound always asks for more.
"""

from __future__ import annotations

from ._choices import Attribute, Choices, static
from ._constraint import Constraint
from ._grouping import Grouping
from ._parity import shares
from ._rate import Members, RateConstraint


class RateCap(RateConstraint):
    """Every group's rate of being chosen in `event`, or with `complement` of not being chosen, is at most `bound`."""

    who: Grouping = static()
    event: str = static(default="all")
    complement: bool = static(default=False)
    title: str = static(default="rate_cap")

    def name(self):
        return self.who.title(self.title)

    def cells(self):
        return self.who.cells

    def members(self, choices: Choices) -> Members:
        return Members(self.who.cell(choices)[..., None], shares(choices, self.event)[..., None])

    def decided(self, outcome):
        decisions = outcome.decisions[..., None]
        return 1 - decisions if self.complement else decisions


def rate_cap(attribute: Attribute | None = None, bound=0.5, *, of=None, within=None) -> Constraint:
    """P(chosen | g) <= bound for every group; without an attribute, a budget: at most that share of the alternatives
    (of a kind, with `of`) is chosen."""
    return RateCap(bound=bound, who=Grouping(attribute, of, within))


def rate_floor(attribute: Attribute | None = None, bound=0.5, *, of=None, within=None) -> Constraint:
    """P(not chosen | g) <= bound for every group: every group's rate of being chosen is at least 1 - bound."""
    return RateCap(bound=bound, who=Grouping(attribute, of, within), complement=True, title="rate_floor")


def group_error(attribute: Attribute, bound=0.4, *, of=None, within=None) -> Constraint:
    """P(the model does not choose what people chose | g) <= bound: no group's accuracy is below 1 - bound.

    For a chooser's attribute this is the error rate of the group's own choices: minimising the bound is minimax
    fairness (Martinez et al. ICML 2020; Diana et al. AIES 2021). For an alternative's attribute it is a floor on the
    group's true positive rate.
    """
    who = Grouping(attribute, of, within)
    return RateCap(bound=bound, who=who, event="chosen", complement=True, title="group_error")
