"""What people like in common, and directions in which they differ: what models of people's own weights share."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from constraints import Choices

from ..base import InputSpec, Model, Prediction, at_least, numeric
from ..linear import UNPUNISHED, Linear
from . import weights

COMMON = Linear()
# the prior is learned, so no ridge is looked for; an evaluation sees other support than a step, and costs as much
SETTINGS = {"steps": 120, "every": 10, "weight_decay": 1e-3, "interactions": 1.0}
START = 0.5  # deviation of what several tastes like, of all features together, at the start


def flat(people: Choices) -> Choices:
    """Earlier choices of all people one after another, `[U S, ...]`.

    people: of every person, leading axes `[U, S]`
    """
    return jax.tree.map(lambda leaf: jnp.reshape(leaf, (-1, *leaf.shape[2:])), people)


def met(people: Choices, choices: Choices) -> tuple[Choices, Choices]:
    """The people who make these choices: all of them, or of few choices among many people one for each choice; and the
    choices, whose `unit` says whose of these they are.

    people: of every person, leading axes `[U, S]`
    choices: n choices
    """
    n = choices.unit.shape[0]
    if n >= people.weight.shape[0]:
        return people, choices
    return jax.tree.map(lambda leaf: leaf[choices.unit], people), choices.replace(unit=jnp.arange(n))


def placed(inside: Array, choices: Choices) -> Array:
    """What is said of the alternatives with items, `[n, J, ...]`, with 0 for the outside option, `[n, K, ...]`.

    inside: of the alternatives that have items
    choices: n choices
    """
    n, k = choices.available.shape
    outside = jnp.reshape(choices.outside[:, : inside.shape[1]], (*inside.shape[:2], *[1] * (inside.ndim - 2)))
    rest = jnp.zeros((n, k - inside.shape[1], *inside.shape[2:]), inside.dtype)
    return jnp.concatenate([jnp.where(outside, 0, inside), rest], axis=1)


def sides(people: Choices) -> Array:
    """Of every earlier choice the mean of what was chosen and that of what was left, with a 1 behind the features of
    each alternative that is no outside option, `[U S, 2 (d + 1)]`: what encoders of earlier choices read.

    people: of every person, leading axes `[U, S]`, with coded features alone
    """
    before = flat(people)
    known = placed(jnp.concatenate([before.items, jnp.ones_like(before.items[..., :1])], -1), before)
    left = jnp.where(before.available, 1 - before.chosen, 0)
    left = left / jnp.maximum(left.sum(-1, keepdims=True), 1e-6)
    return jnp.concatenate([jnp.einsum("nk,nkd->nd", share, known) for share in (before.chosen, left)], -1)


def layer(key: Array, inputs: int, outputs: int, scale: float = 1.0) -> Array:
    """Weights of a dense layer, `[inputs, outputs]`, normal: of inputs of deviation 1 it gives outputs of `scale`.

    key: a jax random key
    inputs, outputs: how many numbers
    scale: of an output
    """
    return scale / inputs**0.5 * jax.random.normal(key, (inputs, outputs))


def several(key: Array, spec: InputSpec, count: int) -> dict[str, Any]:
    """Parameters of a common taste and of several others that people share: a taste, a level and a share of each.

    key: a jax random key
    spec: what may be known
    count: how many others
    """
    spec = numeric(spec)
    d, (of_common, of_others) = spec.items.shape[-1], jax.random.split(key)
    return {
        "common": COMMON.init(of_common, spec),
        "taste": START / d**0.5 * jax.random.normal(of_others, (count, d)),
        "level": jnp.zeros(count),
        "share": jnp.zeros(count),
    }


def punished(params: Any, interactions: Any) -> dict[str, Any]:
    """How strongly those are punished, as `Model.shares` says it; shares are not.

    params: as `several` gave them
    interactions: share of products of features and context, >= 0
    """
    common = COMMON.shares(params["common"], interactions)
    return {"common": common, "taste": 1.0, "level": 1.0, "share": UNPUNISHED}


@dataclasses.dataclass(frozen=True)
class Tastes(Model, abc.ABC):
    """reward = common(x, z) + D(x) . u, with the person's weights u ~ N(0, I), and given the person's earlier choices
    the normal law at the mode (`weights.law`); probabilities are means over it.

    `common` is `Linear`: with groups among the context, it is a mean taste of each group, to which people of that group
    are shrunk. Trained on choices given earlier ones, which is the likelihood of the population's law: that of all of a
    person's choices is the product of each given those before it.

    support: earlier choices of a person that are read, at most
    draws: points of Halton's sequence over which probabilities are means, among more than two alternatives
    """

    settings = SETTINGS
    support: int = 10
    draws: int = 64

    def __post_init__(self):
        at_least(self, support=1, draws=1)

    @abc.abstractmethod
    def begin(self, key: Array, spec: InputSpec) -> Any:
        """Parameters of the directions.

        key: a jax random key
        spec: shapes of coded features
        """

    @abc.abstractmethod
    def directions(self, params: Any, items: Array, common: Array) -> Array:
        """D, `[n, J, q]`: what a person's weights are multiplied by.

        params: as `begin` gave them
        items: coded features `[n, J, d]`
        common: what everybody's taste says, `[n, J]`
        """

    def init(self, key, spec):
        spec = numeric(spec)
        of_common, of_own = jax.random.split(key)
        return {"common": COMMON.init(of_common, spec), "own": self.begin(of_own, spec)}

    def shares(self, params, interactions):
        return {"common": COMMON.shares(params["common"], interactions), "own": 1.0}

    def law(self, params: Any, people: Choices) -> weights.Law:
        """What earlier choices say of the weights u of every person.

        params: of the model
        people: leading axes `[U, S]`
        """
        before = flat(numeric(people))
        shape = people.weight.shape

        def unflat(leaf: Array) -> Array:
            return jnp.reshape(leaf, (*shape, *leaf.shape[1:]))

        rewards, directions = self.pieces(params, before)
        return weights.law(
            weights.Earlier(unflat(rewards), unflat(directions), people.available, people.chosen, people.weight)
        )

    def pieces(self, params: Any, choices: Choices) -> tuple[Array, Array]:
        """Of all alternatives what everybody's taste says, `[n, K]`, and directions, `[n, K, q]`.

        params: of the model
        choices: n choices, with coded features alone
        """
        common = COMMON.apply(params["common"], choices)
        return placed(common, choices), placed(self.directions(params["own"], choices.items, common), choices)

    def apply(self, params, choices, *, people=None):
        people, choices = met(people, numeric(choices))
        known = self.law(params, people).of(choices.unit)
        common, directions = self.pieces(params, choices)
        scores = common + jnp.sum(directions * known.mean[:, None], -1)
        logs = weights.log_probabilities(common, directions, choices.available, known, self.draws)
        return Prediction(scores[:, : choices.items.shape[1]], logs)
