"""Counterfactual notions: what happens to an alternative when its sensitive attribute, and nothing else, is set to l.

    parity       equal rates, over the levels l, of being chosen when set to l; signed and by level
    flip         mean |decision - decision when set to l|
    oscillation  mean of min(1, |reward - reward when set to l| / scale), or how often that difference exceeds scale

The twin's origin (a randomised attribute, rewritten text, a causal model) belongs to the data set, which names it;
a word swap is not called causal. Only alternatives whose twins are valid at every level are compared.
Source: Kusner et al. NeurIPS 2017; Garg et al. AIES 2019 for twins without a causal model.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from ._choices import Attribute, Choices, static
from ._constraint import Constraint
from ._grouping import Grouping, joined
from ._outcome import Outcome
from ._parity import Parity
from ._rate import Members, RateConstraint


def _attribute(who: Grouping) -> Attribute:
    assert who.attribute is not None  # the functions below require one
    return who.attribute


def _levels(who: Grouping) -> tuple[str, ...]:
    return tuple(f"{_attribute(who).name}:={level}" for level in _attribute(who).levels)


def _members(who: Grouping, choices: Choices, others_only: bool) -> Members:
    """An event per level; cell = stratum * L + level. `others_only`: not at the level that the alternative has."""
    factual, levels = _attribute(who).codes(choices), jnp.arange(len(_attribute(who).levels))
    valid = choices.twins[_attribute(who).name].valid.all(-1)
    stratum = jnp.where((factual < 0) | ~valid, -1, who.stratum(choices))[..., None]
    counted = (stratum >= 0) & (~jnp.asarray(others_only) | (factual[..., None] != levels))
    cell = jnp.where(counted, stratum * len(levels) + levels, -1)
    return Members(cell, jnp.broadcast_to(choices.weight[:, None, None], cell.shape))


def _level_of_cells(who: Grouping) -> tuple[tuple[int, ...], ...]:
    """The level of every cell."""
    return tuple((level,) for level in range(len(_attribute(who).levels))) * len(who.strata)


class CounterfactualParity(Parity):
    """Equal rates over the levels l of being chosen when *set to* l, others factual: gap = max - min over l.

    Signed and by level, because a mean of "twin minus factual" cancels over directions.
    """

    who: Grouping = static()

    def name(self):
        return self.who.title("counterfactual_parity")

    def twins(self):
        return (_attribute(self.who).name,)

    def groups(self):
        return _levels(self.who)

    def blocks(self):
        return self.who.strata

    def members(self, choices):
        return _members(self.who, choices, others_only=False)

    def events_of_cells(self):
        return _level_of_cells(self.who)

    def decision_values(self, outcome: Outcome):
        return outcome.twins[_attribute(self.who).name].decisions


class AbstractTwinDifference(RateConstraint):
    """A mean difference between an alternative and itself set to level l, per level, each at most `bound`."""

    who: Grouping = static()
    title: str = static(default="counterfactual_flip")

    def name(self):
        return self.who.title(self.title)

    def affine(self):
        return None

    def twins(self):
        return (_attribute(self.who).name,)

    def cells(self):
        return tuple(joined(level, stratum) for stratum in self.who.strata for level in _levels(self.who))

    def members(self, choices):
        return _members(self.who, choices, others_only=True)

    def events_of_cells(self):
        return _level_of_cells(self.who)


class CounterfactualFlip(AbstractTwinDifference):
    """How often the decision on an alternative changes when its attribute is set to l: mean |decision - decision_l|."""

    def decision_values(self, outcome: Outcome):
        return jnp.abs(outcome.twins[_attribute(self.who).name].decisions - outcome.decisions[..., None])


class CounterfactualOscillation(AbstractTwinDifference):
    """How far the reward moves when the attribute is set to l, in units of `scale`: mean min(1, |r - r_l| / scale).

    With `tail`, how often it moves further than `scale`; its proxy is a logistic step of width scale / 10.
    Rewards are the model's own, so this is about the score and not about who is chosen.
    """

    scale: float = 1.0
    tail: bool = static(default=False)

    def _moved(self, outcome: Outcome) -> Array:
        return jnp.abs(outcome.twins[_attribute(self.who).name].rewards - outcome.rewards[..., None]) / self.scale

    def decision_values(self, outcome: Outcome):
        moved = jax.lax.stop_gradient(self._moved(outcome))
        return (moved > 1).astype(moved.dtype) if self.tail else jnp.minimum(moved, 1)

    def proxy_sums(self, outcome, rows):
        moved = self._moved(outcome)
        return self.total(jax.nn.sigmoid(10 * (moved - 1)) if self.tail else jnp.minimum(moved, 1), rows)


def counterfactual_parity(attribute: Attribute, bound=0.05, *, of=None, within=None, form="centred") -> Constraint:
    """Alternatives are chosen at the same rate whatever level they are set to, all else as it was:

        |P(chosen when set to l) - P(chosen when set to l')| <= bound        over alternatives whose twins are all valid

    attribute: declared `Attribute` that the data have twins of
    bound: in [0, 1]
    of: (attribute, level): only alternatives of this kind count
    within: an attribute, inside each level of which levels are compared; None: everywhere at once
    form: how the rows say it: "centred" (exact), "anchored" (stricter, at most by a factor 2), "pairwise" (exact,
        quadratic in the levels)
    Source: Kusner et al. NeurIPS 2017.
    """
    return CounterfactualParity(bound=bound, who=Grouping(attribute, of, within), form=form)


def counterfactual_flip(attribute: Attribute, bound=0.05, *, of=None, within=None) -> Constraint:
    """The decision on an alternative seldom changes when its attribute alone does:

        mean |decision - decision when set to l| <= bound        for every level l, over alternatives not at it

    attribute: declared `Attribute` that the data have twins of
    bound: in [0, 1]
    of: (attribute, level): only alternatives of this kind count
    within: an attribute, inside each level of which levels are looked at; None: everywhere at once
    Source: Garg et al. AIES 2019.
    """
    return CounterfactualFlip(bound=bound, who=Grouping(attribute, of, within))


def counterfactual_oscillation(
    attribute: Attribute, bound=0.05, *, scale: float = 1.0, tail: bool = False, of=None, within=None
) -> Constraint:
    """The reward of an alternative moves little when its attribute alone is changed:

        mean min(1, |reward - reward when set to l| / scale) <= bound        for every level l
        P(|reward - reward when set to l| > scale) <= bound                  with `tail`

    attribute: declared `Attribute` that the data have twins of
    bound: in [0, 1]
    scale: in units of the reward, > 0
    tail: whether it is about how often the difference exceeds `scale`
    of: (attribute, level): only alternatives of this kind count
    within: an attribute, inside each level of which levels are looked at; None: everywhere at once
    Source: Garg et al. AIES 2019.
    """
    who = Grouping(attribute, of, within)
    title = "counterfactual_oscillation" + ("_tail" if tail else "")
    return CounterfactualOscillation(bound=bound, who=who, scale=scale, tail=tail, title=title)
