"""Margins of teachers: models fitted to one group each, whose lead one model without groups is asked to keep."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import logit

from constraints import Choices, Grouping, reward_by, static

from .. import metrics
from ..errors import UsageError
from .objective import Objective

CONDITIONS = ("all", "right", "ahead", "pooled", "disagreement")
POOLED = ("pooled", "disagreement")  # of these, those that read the pooled model
PENALTIES = ("hinge", "square", "shifted")


class Distilled(Objective):
    """The mean loss, and the margins of the teachers of people's own groups, where they are to be kept:

        mean loss + weight * mean of  w_g c phi(m_g - D)      D = margin(rewards),  m_g = margin(rewards of teacher g)

    The margin of rewards is what was chosen less the mean of the rest. Teachers are fitted to the train choices of one
    group each, before; the group of a choice is read in training alone. PAFO-style: arXiv 2606.07988 says of its method
    that group models are distilled by conditional supervision of margins; condition and penalty are our reading.

    who: groups of choosers, a `constraints.Grouping` of one chooser's attribute; who is in none has no teacher
    teacher: model of the teachers, and of the pooled one, by name
    condition: c is 1 for "all"; where m_g > 0: "right"; where it is also above the margins of all other teachers:
        "ahead"; or above that of the pooled model: "pooled"; "disagreement": where sigmoid of the pooled model's margin
        m_0 is below `threshold`, SCPO's filter (arXiv 2606.18606), times its weight min(exp(m_0 / softness), 1)
    penalty: phi(z) is max(0, z) for "hinge", z^2 for "square", log(1 + exp(z)), Bradley-Terry with a margin, for
        "shifted"
    balanced: w_g makes all groups count alike (1 / (groups * share of g)), else 1
    weight: of the margins, >= 0; 0 is the mean loss
    most: cap of m_g, >= 0, in units of the reward; 0 with "shifted" weighs the loss of pairs itself
    threshold: of "disagreement", in [0, 1]; at .5 it keeps what the pooled model gets wrong, at 1 everything
    softness: of the weight of "disagreement", > 0, in units of the reward; inf: 1
    """

    outcomes = True

    who: Grouping = static()
    teacher: str = static(default="linear")
    condition: str = static(default="ahead")
    penalty: str = static(default="hinge")
    balanced: bool = static(default=False)
    weight: Any = 1.0
    most: Any = 6.0
    threshold: Any = 0.5
    softness: Any = float("inf")

    def columns(self):
        attribute = self.who.attribute
        plain = attribute is not None and attribute.chooser and not attribute.parts
        if not plain or self.who.of is not None or self.who.within is not None:
            raise UsageError("distilled: expected groups of one attribute of the chooser, without `of` and `within`")
        if self.condition not in CONDITIONS or self.penalty not in PENALTIES:
            raise UsageError(
                f"distilled: expected a condition of {', '.join(CONDITIONS)} and a penalty of {', '.join(PENALTIES)}, "
                f"got {self.condition!r} and {self.penalty!r}"
            )
        return (*([reward_by(self.teacher)] if self.condition in POOLED else []), *self._teachers())

    def known(self, train):
        return train.weight @ self._member(train)

    def prepare(self, choices, known):
        member = self._member(choices)
        margins = jnp.stack([margin(choices.columns[name], choices) for name in self._teachers()], -1)
        own = jnp.sum(jnp.where(member > 0, margins, 0), -1)
        others = jnp.max(jnp.where(member > 0, -jnp.inf, margins), -1, initial=-jnp.inf)
        if self.condition in POOLED:
            pooled = margin(choices.columns[reward_by(self.teacher)], choices)
            of_filter = (pooled < logit(self.threshold)) * jnp.exp(jnp.minimum(pooled / self.softness, 0))
            kept = of_filter if self.condition == "disagreement" else (own > 0) & (own > pooled)
        else:
            kept = {"all": own == own, "right": own > 0, "ahead": (own > 0) & (own > others)}[self.condition]
        share = known / jnp.maximum(jnp.sum(known), 1e-30)
        of_group = 1 / jnp.where(share > 0, share * jnp.sum(share > 0), 1) if self.balanced else jnp.ones_like(share)
        return jnp.clip(own, 0, self.most), kept * (member @ of_group)

    def sums(self, state, sight, choices, rows):
        wanted, factor = rows
        short = wanted - margin(sight.soft.rewards, choices)
        missing = {"hinge": jax.nn.relu, "square": jnp.square, "shifted": jax.nn.softplus}[self.penalty](short)
        return metrics.weighted(sight.losses, choices), metrics.weighted(factor * missing, choices)

    def combine(self, state, sums, masses):
        losses, missing = sums
        return (losses + self.weight * missing) / masses

    def _teachers(self) -> tuple[str, ...]:
        attribute: Any = self.who.attribute
        return tuple(reward_by(f"{self.teacher}@{attribute.name}={level}") for level in attribute.levels)

    def _member(self, choices: Choices) -> Array:
        """`[n, G]` 1 where the chooser is in the group."""
        cell = jnp.max(self.who.cell(choices), -1)
        return (cell[:, None] == jnp.arange(len(self.who.cells))).astype(choices.weight.dtype)


def margin(rewards: Array, choices: Choices) -> Array:
    """`[n]`: the reward of what was chosen less the mean of the rest; of a pair the difference.

    rewards: `[n, K]`
    choices: n choices; of soft labels in expectation
    """
    rest = jnp.where(choices.available, 1 - choices.chosen, 0)
    there = jnp.where(choices.available, rewards, 0)
    count = jnp.sum(rest, -1)
    other = jnp.sum(rest * there, -1) / jnp.where(count > 0, count, 1)
    return jnp.where(count > 0, jnp.sum(choices.chosen * there, -1) - other, 0)
