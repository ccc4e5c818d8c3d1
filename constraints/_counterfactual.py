"""Counterfactual parity: what happens to an alternative when its sensitive attribute, and nothing else, is set to l.

The twin's origin (a randomised attribute, rewritten text, a causal model) belongs to the data set, which names it;
a word swap is not called causal. Only alternatives whose twins are valid at every level are compared.
Source: Kusner et al. NeurIPS 2017; Garg et al. AIES 2019 for twins without a causal model.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from ._choices import Attribute, Choices, static
from ._constraint import Constraint
from ._outcome import Outcome
from ._parity import Parity
from ._rate import Members, RateConstraint


def _comparable(choices: Choices, attribute: Attribute, within: Attribute | None, of) -> tuple[Array, Array]:
    """Stratum `[n, K]` (-1: not compared) and weight `[n, K]` of alternatives whose twins are valid at all levels."""
    applies = choices.attributes[attribute.name] >= 0
    stratum = choices.attributes[within.name] if within else jnp.zeros(choices.shape, jnp.int32)
    counted = applies & (stratum >= 0) & choices.twins[attribute.name].valid.all(-1)
    if of:
        counted &= choices.attributes[of[0].name] == of[0].code(of[1])
    return jnp.where(counted, stratum, -1), jnp.broadcast_to(choices.weight[:, None], choices.shape)


def _title(kind: str, attribute: Attribute, of, within: Attribute | None) -> str:
    text = f"{kind}({attribute.name}" + (f", of={of[0].name}={of[1]}" if of else "")
    return text + (f", within={within.name})" if within else ")")


class CounterfactualParity(Parity):
    """Equal rates over the levels l of being chosen when *set to* l, others factual: gap = max - min over l.

    Signed and by level, because a mean of "twin minus factual" cancels over directions.
    """

    attribute: Attribute = static()
    within: Attribute | None = static(default=None)
    of: tuple[Attribute, str] | None = static(default=None)

    def name(self):
        return _title("counterfactual_parity", self.attribute, self.of, self.within)

    def twins(self):
        return (self.attribute.name,)

    def groups(self):
        return tuple(f"{self.attribute.name}:={level}" for level in self.attribute.levels)

    def blocks(self):
        return tuple(f"{self.within.name}={level}" for level in self.within.levels) if self.within else ("",)

    def members(self, choices):
        stratum, weight = _comparable(choices, self.attribute, self.within, self.of)
        levels = len(self.attribute.levels)
        cell = jnp.where(stratum[..., None] < 0, -1, stratum[..., None] * levels + jnp.arange(levels))
        return Members(cell, jnp.broadcast_to(weight[..., None], cell.shape))

    def decided(self, outcome: Outcome):
        return outcome.twins[self.attribute.name].decisions


class CounterfactualFlip(RateConstraint):
    """How often the decision on an alternative changes when its attribute is set to l: mean |decision - decision_l|
    per level, each at most `bound` (over alternatives that are not at l already)."""

    attribute: Attribute = static()
    within: Attribute | None = static(default=None)
    of: tuple[Attribute, str] | None = static(default=None)

    def name(self):
        return _title("counterfactual_flip", self.attribute, self.of, self.within)

    def twins(self):
        return (self.attribute.name,)

    def cells(self):
        strata = [f" | {self.within.name}={level}" for level in self.within.levels] if self.within else [""]
        return tuple(
            f"{self.attribute.name}:={level}{stratum}" for stratum in strata for level in self.attribute.levels
        )

    def members(self, choices):
        stratum, weight = _comparable(choices, self.attribute, self.within, self.of)
        levels = jnp.arange(len(self.attribute.levels))
        elsewhere = choices.attributes[self.attribute.name][..., None] != levels
        cell = jnp.where((stratum[..., None] >= 0) & elsewhere, stratum[..., None] * len(levels) + levels, -1)
        return Members(cell, jnp.broadcast_to(weight[..., None], cell.shape))

    def decided(self, outcome: Outcome):
        return jnp.abs(outcome.twins[self.attribute.name].decisions - outcome.decisions[..., None])


def counterfactual_parity(
    attribute: Attribute, bound=0.05, *, of=None, within: Attribute | None = None, form: str = "centred"
) -> Constraint:
    """|P(chosen when set to l) - P(chosen when set to l')| <= bound for all levels, over alternatives valid at all."""
    return CounterfactualParity(bound=bound, attribute=attribute, of=of, within=within, form=form)


def counterfactual_flip(attribute: Attribute, bound=0.05, *, of=None, within: Attribute | None = None) -> Constraint:
    """P(the decision on an alternative flips when it is set to l) <= bound for every level l."""
    return CounterfactualFlip(bound=bound, attribute=attribute, of=of, within=within)
