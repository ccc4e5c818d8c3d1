"""Parity of rewards themselves, so of every decision that a threshold on them could make.

    reward parity     |mean sigma(r / scale) in g - in h| <= bound
    threshold parity  |P(r > t | g) - P(r > t | h)| <= bound           for every threshold t of a list

Rewards of choices without an outside option are only defined up to a constant per choice; there, both say something
about the model's scores and not about what is chosen. Reward-level parity neither implies nor is implied by parity of
the policy tuned on the reward. Source: Faro (arXiv 2602.07799) for reward-level notions; all thresholds at once:
Jiang et al. UAI 2020 (strong demographic parity).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ._choices import Attribute, Choices, static
from ._constraint import Constraint
from ._grouping import Grouping
from ._parity import GroupParity, Parity, shares
from ._rate import Members


class RewardParity(GroupParity):
    """Equal means of the bounded score sigma(r / scale), in place of decisions, over the groups of each stratum."""

    scale: float = 1.0

    def affine(self):
        return None

    def decision_values(self, outcome):
        return jax.lax.stop_gradient(self._score(outcome))

    def proxy_sums(self, outcome, rows):
        return self.total(self._score(outcome), rows)

    def _score(self, outcome):
        return jax.nn.sigmoid(outcome.rewards / self.scale)[..., None]


class ThresholdParity(Parity):
    """Equal shares of rewards above t over the groups of each stratum, for every threshold t; an event per threshold.

    The proxy is a logistic step of width `softness`.
    """

    who: Grouping = static()
    thresholds: tuple[float, ...] = static(default=(-2.0, -1.0, 0.0, 1.0, 2.0))
    softness: float = 0.25

    def name(self):
        return self.who.title("threshold_parity")

    def affine(self):
        return None

    def groups(self):
        return self.who.groups

    def blocks(self):
        names = [f"reward>{threshold:g}" for threshold in self.thresholds]
        return tuple(", ".join(filter(None, (name, stratum))) for name in names for stratum in self.who.strata)

    def members(self, choices: Choices) -> Members:
        cell, events = self.who.cell(choices)[..., None], jnp.arange(len(self.thresholds))
        share = jnp.broadcast_to(shares(choices, "all")[..., None], (*choices.shape, len(events)))
        return Members(jnp.where(cell < 0, -1, events * len(self.who.cells) + cell), share)

    def events_of_cells(self):
        return tuple((event,) for event in range(len(self.thresholds)) for _ in self.who.cells)

    def decision_values(self, outcome):
        above = self._above(jax.lax.stop_gradient(outcome.rewards))
        return (above > 0).astype(above.dtype)

    def proxy_sums(self, outcome, rows):
        return self.total(jax.nn.sigmoid(self._above(outcome.rewards) / self.softness), rows)

    def _above(self, rewards):
        return rewards[..., None] - jnp.asarray(self.thresholds, rewards.dtype)


def reward_parity(
    attribute: Attribute, bound=0.05, *, scale: float = 1.0, of=None, within=None, form="centred"
) -> Constraint:
    """Rewards are as high in every group: |mean of sigma(reward / scale) in g - in h| <= bound. The score is bounded,
    because no finite sample bounds a raw mean.

    attribute: declared `Attribute`, of the alternatives or of the chooser, whose groups are compared
    bound: in [0, 1]
    scale: in units of the reward, > 0
    of: (attribute, level): only alternatives of this kind count; needed for a chooser's attribute
    within: an attribute, inside each level of which groups are compared; None: everywhere at once
    form: how the rows say it: "centred" (exact), "anchored" (stricter, at most by a factor 2), "pairwise" (exact,
        quadratic in the groups)
    Source: Faro (arXiv 2602.07799).
    """
    who = Grouping(attribute, of, within)
    return RewardParity(bound=bound, who=who, scale=scale, form=form, title="reward_parity")


def threshold_parity(
    attribute: Attribute, bound=0.05, *, thresholds=(-2.0, -1.0, 0.0, 1.0, 2.0), of=None, within=None, form="centred"
) -> Constraint:
    """Every threshold on rewards passes the same share of each group: |P(reward > t | g) - P(reward > t | h)| <= bound.

    attribute: declared `Attribute`, of the alternatives or of the chooser, whose groups are compared
    bound: in [0, 1]
    thresholds: the t, in units of the reward
    of: (attribute, level): only alternatives of this kind count; needed for a chooser's attribute
    within: an attribute, inside each level of which groups are compared; None: everywhere at once
    form: how the rows say it: "centred" (exact), "anchored" (stricter, at most by a factor 2), "pairwise" (exact,
        quadratic in the groups)
    Source: Jiang et al. UAI 2020 (strong demographic parity).
    """
    who = Grouping(attribute, of, within)
    return ThresholdParity(bound=bound, who=who, thresholds=tuple(map(float, thresholds)), form=form)
