"""A person in a few phrases: a summary of the earlier choices, learned with the rewards that read it."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from constraints import Choices

from ..base import Model, Prediction, at_least, numeric
from .tastes import COMMON, SETTINGS, layer, met, placed, punished, several, sides
from .weights import NEVER

MOST = 4096  # summaries, of each of which every choice holds rewards


@dataclasses.dataclass(frozen=True)
class PLUS(Model):
    """reward(z) = common(x, z) + [x, 1] . E_z, given a summary z, phrases of a vocabulary that has no words yet, and
    pi(z | earlier choices) of a network on a sum over them. A summary is one phrase, or `length` of them, each of a
    list of its own and chosen apart from the others given the earlier choices; what they say adds up:
    E_z = sum_l E_(l, z_l). Trained is what was published, for both at once:

        - E_z log P(chosen | z) = logit loss of the mean reward E_z reward(z) + E_z lse reward(z) - lse E_z reward(z)

    lse: log of the sum of exponentials over alternatives. The mean over all summaries is exact, so its slope is that of
    a policy gradient with reward log P(chosen | z) without the noise of sampling, and nothing alternates. The second
    part is the `penalty`: what a summary leaves open costs. The first says what is predicted: the logit of the mean
    reward, which is that of the summary itself once it is certain.

    Source: PLUS, arXiv 2507.13579, where a summary is a text of a language model, trained by PPO in turn with the
    rewards. Ours also has a common taste. A person without earlier choices has what the network says of nothing.

    phrases: of a list, >= 2
    length: phrases of a summary, >= 1; of all phrases ** length summaries, at most 4096, the mean is taken
    width: units of both hidden layers of the summariser
    frozen: whether the summariser stays as it began, and rewards alone learn: the control
    support: earlier choices of a person that are read, at most
    """

    settings = SETTINGS
    phrases: int = 12
    length: int = 1
    width: int = 32
    frozen: bool = False
    support: int = 10

    def __post_init__(self):
        at_least(self, phrases=2, length=1, width=1, support=1)
        if self.phrases**self.length > MOST:
            got = f"{self.phrases} ** {self.length}"
            raise ValueError(f"length: expected at most {MOST} summaries, phrases ** length, got {got}")

    def init(self, key, spec):
        spec, (of_rewards, *keys) = numeric(spec), jax.random.split(key, 4)
        summariser = {
            "read": layer(keys[0], 2 * (spec.items.shape[-1] + 1), self.width),
            "read_bias": jnp.zeros(self.width),
            "hidden": layer(keys[1], self.width, self.width),
            "bias": jnp.zeros(self.width),
            "out": layer(keys[2], self.width, self.length * self.phrases),
        }
        return {**several(of_rewards, spec, self.length * self.phrases), "summariser": summariser}

    def shares(self, params, interactions):
        return {**punished(params, interactions), "summariser": 1.0}

    def trainable(self, params):
        return {**dict.fromkeys(params, True), "summariser": not self.frozen}

    def every(self, said: Array) -> Array:
        """Of every summary the sum of what is said of its phrases, `[..., phrases ** length]`, the last phrase fastest.

        said: of every phrase, list by list, `[..., length * phrases]`
        """
        lists = jnp.reshape(said, (*said.shape[:-1], self.length, self.phrases))
        total = lists[..., 0, :]
        for place in range(1, self.length):
            total = jnp.reshape(total[..., None] + lists[..., place, None, :], (*said.shape[:-1], -1))
        return total

    def summaries(self, params: Any, people: Choices) -> Array:
        """Probabilities of all summaries for every person, `[U, phrases ** length]`, as `every` lists them.

        params: of the model
        people: leading axes `[U, S]`
        """
        own = params["summariser"]
        read = jax.nn.gelu(sides(numeric(people)) @ own["read"] + own["read_bias"])
        total = jnp.einsum("us,usw->uw", people.weight, read.reshape(*people.weight.shape, self.width))
        logits = jax.nn.gelu(total @ own["hidden"] + own["bias"]) @ own["out"] + params["share"]
        return jax.nn.softmax(self.every(logits))

    def given(self, params: Any, choices: Choices) -> Array:
        """Rewards of the alternatives with items under each summary, `[n, J, phrases ** length]`: who edits one reads
        them.

        params: of the model
        choices: n choices
        """
        choices = numeric(choices)
        own = jnp.einsum("nkd,zd->nkz", choices.items, params["taste"]) + params["level"]
        return COMMON.apply(params["common"], choices)[..., None] + self.every(own)

    def apply(self, params, choices, *, people=None):
        people, choices = met(people, numeric(choices))
        summary = self.summaries(params, people)[choices.unit]
        rewards = self.given(params, choices)
        mean = jnp.einsum("nkz,nz->nk", rewards, summary)

        def lse(inside: Array) -> Array:
            there = choices.available.reshape(*choices.available.shape, *[1] * (inside.ndim - 2))
            return jax.nn.logsumexp(jnp.where(there, placed(inside, choices), NEVER), axis=1)

        open_to = jnp.einsum("nz,nz->n", summary, lse(rewards)) - lse(mean)
        return Prediction(mean, extra={"left_open": open_to})

    def penalty(self, params, seen):
        return jnp.mean(seen.extra["left_open"])

    def alarms(self, params, people):
        used = len(set(jnp.argmax(self.summaries(params, people), -1).tolist()))
        if used > 1:
            return ()
        return ("one summary is given to everybody, so all are predicted alike; take another seed, or another model",)
