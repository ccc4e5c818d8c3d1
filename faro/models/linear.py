"""Rewards that are linear in features and context."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from constraints import Choices
from constraints.alternatives import pieces

from .base import Dense, LinearHead, Model, numeric

WEIGHTS = ("item", "context", "cross")  # parameters of `Linear` in the order of the features that it prepares
PARTS = ("intercept", *WEIGHTS)
CROSSED = 1024  # products of features and context that `Linear` multiplies out before training
UNPUNISHED = 1e-6  # share of the intercept: next to nothing, but what is proved of an optimum needs some


@dataclasses.dataclass(frozen=True)
class Linear(Model):
    """reward = b + x.w + z.u + x.B z for features x `[n, K, d]` of the alternative and z `[n, c]` of the context.

    The taste w + B z depends on the chooser: with constants of the alternatives among x these are the usual
    alternative-specific effects. b and z.u matter only against an outside option (then this is logistic regression);
    without one they cancel in every choice.

    scale: standard deviation of the initial taste: small, so that seeds differ but none starts decided
    """

    linear: ClassVar[bool] = True

    scale: float = 0.01

    def init(self, key, spec):
        spec = numeric(spec)
        d = spec.items.shape[-1]
        params = {"intercept": jnp.zeros(()), "item": self.scale * jax.random.normal(key, (d,))}
        if spec.context is not None:
            c = spec.context.shape[-1]
            params |= {"context": jnp.zeros(c), "cross": jnp.zeros((d, c))}
        return params

    def apply(self, params, choices):
        choices = numeric(choices)
        if choices.context is None:
            weights = jnp.concatenate([params[part].ravel() for part in WEIGHTS if part in params])
            items = choices.items.reshape(-1, choices.items.shape[-1])  # a matrix: XLA copies what has more axes
            constant = params["intercept"]
            if choices.items.shape[1] == 1:  # as a product, whose way back reads the same array as that of the other
                constant = constant[None] @ jnp.ones((1, len(items)), constant.dtype)
            inside = jax.lax.dot_general(weights, items, (((0,), (1,)), ((), ())))  # weights first: see prepare
            return (constant + inside).reshape(choices.items.shape[:-1])
        value = (params["intercept"] + choices.context @ params["context"])[:, None]
        taste = params["item"] + choices.context @ params["cross"].T
        return value + jnp.einsum("nkd,nd->nk", choices.items, taste)

    def prepare(self, choices):
        """Products of features and context become features, unless they are too many: one matrix product serves all
        trials of a sweep, which is many times faster than a taste per chooser and trial. Trials come first in that
        product: with the choices last, no step transposes."""
        choices = numeric(choices)
        if choices.context is None or choices.items.shape[-1] * choices.context.shape[-1] > CROSSED:
            return choices
        twins = {}
        for name, twin in choices.twins.items():
            items = choices.items[:, :, None] if twin.items is None else twin.items
            context = choices.context[:, None, None] if twin.context is None else twin.context[:, None]
            twins[name] = dataclasses.replace(twin, items=_crossed(items, context))
        return choices.replace(items=_crossed(choices.items, choices.context[:, None]), context=None, twins=twins)

    def shares(self, params, interactions):
        every = {"intercept": UNPUNISHED, "item": 1.0, "context": 1.0, "cross": interactions}
        return {part: every[part] for part in params}

    def linear_features(self, params, choices):
        return linear_features(params, numeric(choices))

    def linear_head(self, params, choices):
        choices = self.prepare(choices)
        return None if choices.context is not None else LinearHead(choices, params)

    def with_head(self, params, head):
        return head

    def dense(self, params):
        return None if "context" in params else [Dense(params["item"][None], jnp.atleast_1d(params["intercept"]))]


def _crossed(items: Array, context: Array) -> Array:
    """Features, context and all their products side by side, `[..., d + c + d c]`; leading axes broadcast."""
    lead = jnp.broadcast_shapes(items.shape[:-1], context.shape[:-1])
    products = (items[..., :, None] * context[..., None, :]).reshape(*lead, -1)
    wide = [jnp.broadcast_to(part, (*lead, part.shape[-1])) for part in (items, context)]
    return jnp.concatenate([*wide, products], axis=-1)


def linear_features(params: Any, choices: Choices) -> list[Array]:
    """Pieces `[k, n, D]` of what the rewards of `Linear`, without context, are the product of with its D parameters in
    one vector (`ravel_pytree`): 1 for the intercept, and the features; 0 for the outside option.

    params: of `Linear` on these choices; only shapes are read
    choices: n choices that `Linear.prepare` gave: items `[n, J, d]`, no context
    """
    ends = np.cumsum([params[part].size for part in WEIGHTS if part in params])[:-1]
    parts = dict(zip(WEIGHTS, jnp.split(choices.items, ends, -1), strict=False))
    parts["intercept"] = jnp.ones_like(choices.items[..., :1])
    columns = jnp.concatenate(jax.tree.leaves(parts), -1)
    inside = pieces(jnp.moveaxis(jnp.where(choices.outside[:, : columns.shape[1], None], 0, columns), 1, -1))
    return [*inside, *[jnp.zeros_like(inside[0][:1])] * (choices.shape[1] - columns.shape[1])]
