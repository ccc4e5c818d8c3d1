"""A transformer over the earlier choices: what they say of a person is learned, and nothing is solved for a person."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from constraints import Choices

from ..base import Model, at_least, numeric
from .tastes import COMMON, SETTINGS, layer, met, sides
from .weights import NEVER


@dataclasses.dataclass(frozen=True)
class GPO(Model):
    """reward = common(x, z) + x . B a + network([x, a]), where a is what the alternative reads off the person's earlier
    choices: by attention, after these have read each other.

        token_i = W [chosen_i, left_i]            a token of nothing beside them
        tokens  = tokens + attention(tokens), + network(tokens)            `layers` times
        a(x)    = attention of x to the tokens

    No token has a place, so the order of choices does not matter; a choice of weight w counts w times, and without any
    the token of nothing is all there is to read. Alternatives do not see each other: there may be any number of them.

    Source: GPO, arXiv 2310.11523 (neural processes, Garnelo et al. 2018). Published is a larger one that reads points
    with their answers and asks several at once; ours also has a common taste and the bilinear part.

    width: numbers of a token, and units of its networks
    layers: of attention among earlier choices, >= 1
    support: earlier choices of a person that are read, at most
    """

    settings = SETTINGS
    width: int = 8
    layers: int = 1
    support: int = 10

    def __post_init__(self):
        at_least(self, width=1, layers=1, support=1)

    def init(self, key, spec):
        spec, keys, width = numeric(spec), jax.random.split(key, 6 + self.layers), self.width
        d, of_head = spec.items.shape[-1], jax.random.split(keys[5], 4)

        def block(key: Array) -> dict[str, Array]:
            parts = jax.random.split(key, 5)
            names = ("query", "key", "value", "hidden", "out")
            return {name: layer(own, width, width) for name, own in zip(names, parts, strict=True)}

        return {
            "common": COMMON.init(keys[0], spec),
            "token": layer(keys[1], 2 * (d + 1), width),
            "nothing": jnp.zeros(width),
            "blocks": [block(own) for own in keys[6:]],
            "reader": {
                "query": layer(keys[2], d, width),
                "key": layer(keys[3], width, width),
                "value": layer(keys[4], width, width),
            },
            "head": {
                "bilinear": layer(of_head[0], d, width, 0.5),
                "item": layer(of_head[1], d, width),
                "told": layer(of_head[2], width, width),
                "bias": jnp.zeros(width),
                "out": layer(of_head[3], width, 1, 0.1)[:, 0],
            },
        }

    def shares(self, params, interactions):
        return {**dict.fromkeys(params, 1.0), "common": COMMON.shares(params["common"], interactions)}

    def told(self, params: Any, people: Choices) -> tuple[Array, Array]:
        """Tokens of every person, `[U, 1 + S, width]`, the first of nothing, and the log of their weights `[U, 1 + S]`.

        params: of the model
        people: leading axes `[U, S]`
        """
        shape = people.weight.shape
        read = (sides(numeric(people)) @ params["token"]).reshape(*shape, self.width)
        nothing = jnp.broadcast_to(params["nothing"], (shape[0], 1, self.width))
        weight = jnp.concatenate([jnp.ones((shape[0], 1), read.dtype), people.weight], 1)
        there = jnp.where(weight > 0, jnp.log(jnp.where(weight > 0, weight, 1)), NEVER)
        tokens = jnp.concatenate([nothing, read], 1)
        for block in params["blocks"]:
            queries, keys, values = (_normal(tokens) @ block[name] for name in ("query", "key", "value"))
            tokens += _attended(queries, keys, values, there)
            tokens += jax.nn.gelu(_normal(tokens) @ block["hidden"]) @ block["out"]
        return tokens, there

    def apply(self, params, choices, *, people=None):
        people, choices = met(people, numeric(choices))
        tokens, there = self.told(params, people)
        reader, head, who = params["reader"], params["head"], choices.unit
        keys, values = tokens @ reader["key"], tokens @ reader["value"]
        read = _attended(choices.items @ reader["query"], keys[who], values[who], there[who])  # [n, J, width]
        hidden = jax.nn.gelu(choices.items @ head["item"] + read @ head["told"] + head["bias"])
        bent = jnp.sum((choices.items @ head["bilinear"]) * read, -1)
        return COMMON.apply(params["common"], choices) + bent + hidden @ head["out"]


def _normal(tokens: Array) -> Array:
    """Each token at mean 0 and deviation 1."""
    apart = tokens - tokens.mean(-1, keepdims=True)
    return apart / jnp.sqrt(jnp.mean(apart**2, -1, keepdims=True) + 1e-6)


def _attended(queries: Array, keys: Array, values: Array, there: Array) -> Array:
    """softmax(q . k / sqrt(width) + log weight) v, `[U, Q, width]`.

    queries: `[U, Q, width]`
    keys, values: `[U, S, width]`
    there: log of the weights, `[U, S]`
    """
    scores = jnp.einsum("uqw,usw->uqs", queries, keys) / keys.shape[-1] ** 0.5 + there[:, None]
    return jnp.einsum("uqs,usw->uqw", jax.nn.softmax(scores), values)
