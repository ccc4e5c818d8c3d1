"""Bounded personalisation: how much a decision depends on who asks.

    E TV(decision on x for u, decision on x for v) <= bound        x: a choice of u; u, v: independent people

TV of two laws of decisions on the same alternatives is half the sum of their absolute differences: the share of
decisions that are not the same for both. v takes the place of u whole: earlier choices, and what of the context is of
people (`faro.data.exchange`); the question stays. Who stands for whom belongs to the data, people two by two, so that
pairs are independent of each other: all pairs of people are not.
Source: ours; the taxonomy of what may be personal is Bounded personalisation, arXiv 2606.07629.
"""

from __future__ import annotations

import jax.numpy as jnp

from ._choices import ANOTHER, Attribute, static
from ._constraint import Constraint
from ._grouping import Grouping
from ._rate import Members, RateConstraint


class PersonExchange(RateConstraint):
    """Mean total variation of the decision and the one for somebody else; a choice counts once.

    who: which choices count, in which strata
    """

    who: Grouping = static()

    def name(self):
        return self.who.title("person_exchange")

    def affine(self):
        return None

    def twins(self):
        return (ANOTHER,)

    def cells(self):
        return self.who.cells

    def members(self, choices):
        """A choice is a member by the first of its alternatives that counts."""
        cell = self.who.cell(choices)
        cell = jnp.where(choices.twins[ANOTHER].valid[..., 0], cell, -1)
        first = (cell >= 0) & (jnp.cumsum(cell >= 0, 1) == 1)
        return Members(
            jnp.where(first, cell, -1)[..., None], jnp.broadcast_to(choices.weight[:, None, None], (*cell.shape, 1))
        )

    def decision_values(self, outcome):
        apart = jnp.abs(outcome.decisions - outcome.twins[ANOTHER].decisions[..., 0])
        return jnp.broadcast_to(jnp.minimum(jnp.sum(apart, -1) / 2, 1)[:, None, None], (*apart.shape, 1))


def person_exchange(
    bound=0.1, *, of: tuple[Attribute, str] | None = None, within: Attribute | None = None
) -> Constraint:
    """A decision seldom depends on which person asks: with another in the person's place it is another one in at most
    this share,

        E sum_k |decision_k - decision_k with another person| / 2 <= bound

    bound: in [0, 1]; 0: everybody is served alike
    of: (attribute, level): only choices with an alternative of this kind count, as those of marked items
    within: an attribute, inside each level of which it is bounded; None: everywhere at once
    Source: ours; compare Bounded personalisation, arXiv 2606.07629.
    """
    return PersonExchange(bound=bound, who=Grouping(None, of, within))
