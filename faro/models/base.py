"""What a reward model is: `init(key, choices) -> params` and `apply(params, choices) -> rewards [n, K]`, pure functions."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from constraints import Choices
from constraints.alternatives import joined, pieces


class Model(abc.ABC):
    """A reward model. Hashable configuration; the numbers live in `params`, a pytree."""

    @abc.abstractmethod
    def init(self, key: Array, choices: Choices) -> Any:
        """Parameters for data of this shape; only shapes of `choices` may be read."""

    @abc.abstractmethod
    def apply(self, params: Any, choices: Choices) -> Array:
        """Rewards `[n, J]` of the alternatives that have items; pure, each alternative scored on its own."""

    def prepare(self, choices: Choices) -> Choices:
        """The same choices with what can be computed once, before training: `apply` gives the same rewards on them."""
        return choices


def rewards(model: Model, params: Any, choices: Choices) -> Array:
    """Rewards `[n, K]` of the model, 0 for the outside option."""
    return joined(reward_pieces(model, params, choices))


def reward_pieces(model: Model, params: Any, choices: Choices) -> list[Array]:
    """`rewards` as `constraints.alternatives.pieces`, which steps work on without putting them side by side."""
    inside = model.apply(params, choices)
    outside = pieces(choices.outside[:, : inside.shape[1]])
    parts = [jnp.where(out, 0, own) for own, out in zip(pieces(inside), outside, strict=True)]
    return [*parts, *[jnp.zeros_like(parts[0][:1])] * (choices.shape[1] - inside.shape[1])]


def twin_rewards(model: Model, params: Any, choices: Choices, names: Iterable[str]) -> dict[str, Array]:
    """Rewards `[n, K, L]` with the attribute set to each level, for each named attribute."""
    plain = choices.replace(twins={})
    result = {}
    for name in names:
        twin = choices.twins[name]
        if twin.items is not None:
            at_level = jax.vmap(lambda items: rewards(model, params, plain.replace(items=items)), 2, -1)
            result[name] = at_level(twin.items)
        else:
            at_level = jax.vmap(lambda context: rewards(model, params, plain.replace(context=context)), 1, -1)
            result[name] = at_level(twin.context)
    return result
