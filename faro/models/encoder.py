"""Rewards by the last layers of a text's encoder, which are trained together with the head."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from constraints import Choices
from faro.errors import DataError, UsageError
from faro.text import known
from faro.text.architecture import Architecture
from faro.text.bert import Layers
from faro.text.encoder import Encoder, Pooling, pooled

from .base import FEATURES, InputSpec, Model, twin_sides
from .linear import Linear


@dataclasses.dataclass(frozen=True)
class EncoderLayers(Model):
    """The last layers of the encoder of one text, its pooling, and `Linear` on that and all other features.

        reward = Linear(features, scale * pool(layers(states)), context)

    States are the vectors of a text's tokens before these layers: they do not move, and are computed once. The layers
    begin with the encoder's own weights; scale is the root of the width for vectors of length 1, else 1.

    layers: how many of the last, >= 1
    pace: what a step of the optimiser moves a weight of a layer, in units of one of the head, > 0; parameters are
        weights / pace. They are not punished by the ridge
    text: the name of the text's feature; this and the next three are those of the data, by `of_schema`
    encoder: a name or a folder
    limit: tokens of a text at most; 0: the encoder's own
    digest: of the encoder
    """

    layers: int = 1
    pace: float = 0.003
    text: str = ""
    encoder: str = ""
    limit: int = 0
    digest: str = ""

    def __post_init__(self):
        if not (isinstance(self.layers, int) and self.layers >= 1 and self.pace > 0):
            raise ValueError(f"expected layers >= 1 and pace > 0, got {self.layers} and {self.pace}")

    @property
    def own_layers(self) -> int:  # type: ignore[override]
        """How many last layers of the encoder it has."""
        return self.layers

    def of_schema(self, schema: Any) -> EncoderLayers:
        """The same model on the texts of this schema.

        schema: of the data

        `UsageError` unless it has one text, of an alternative, and its encoder has so many layers.
        """
        texts = schema.texts
        if len(texts) != 1 or texts[0].context:
            names = ", ".join(f"{spec.name} (of the context)" if spec.context else spec.name for spec in texts)
            raise UsageError(f"model encoder: expected data with one text, of the alternatives; got {names or 'none'}")
        (spec,) = texts
        own = dataclasses.replace(self, text=spec.name, encoder=spec.encoder, limit=spec.limit, digest=spec.digest)
        own._encoder().check_layers(self.layers)
        return own

    def init(self, key, spec):
        width = self._encoder().width
        layers = self._encoder().split(self.layers)[1]["layers"]
        coded = spec.items.get(FEATURES)
        wide = jax.ShapeDtypeStruct((1, 1, width + (0 if coded is None else coded.shape[-1])), jnp.float32)
        head = InputSpec(wide, _matrix(spec.context))
        return {"layers": jax.tree.map(lambda leaf: leaf / self.pace, layers), "head": Linear().init(key, head)}

    def apply(self, params, choices):
        return Linear().apply(params["head"], self._read(params, choices.replace(twins={})))

    def shares(self, params, interactions):
        return {"layers": 0.0, "head": Linear().shares(params["head"], interactions)}

    def linear_head(self, params, choices):
        """On the pooled vector and all other features."""
        return Linear().linear_head(params["head"], self._read(params, choices))

    def with_head(self, params, head):
        return {**params, "head": head}

    def dense(self, params):
        """On the pooled vector alone."""
        head = Linear().dense(params["head"])
        return None if head is None else [head[0]._replace(weight=self.scale * head[0].weight)]

    def weights(self, params: Any) -> Any:
        """The weights of the layers, as `faro.text.bert.Layers` takes them.

        params: of the model
        """
        return {"layers": jax.tree.map(lambda leaf: leaf * self.pace, params["layers"])}

    @property
    def scale(self) -> float:
        """What the pooled vector is times."""
        encoder = self._encoder()
        return math.sqrt(encoder.width) if encoder.pooling.normalised else 1.0

    def _read(self, params: Any, choices: Choices) -> Choices:
        """The choices with features of the head in the place of the text, twins likewise."""
        encoder, weights, scale = self._encoder(), self.weights(params), self.scale

        def features(items: Any) -> Array:  # [n, J, D]
            states = items[self.text]
            flat = states.reshape(-1, *states.shape[2:])
            text = scale * _pooled(encoder.sizes, self.layers, encoder.pooling, weights, flat)
            text = text.reshape(*states.shape[:2], -1)
            coded = items.get(FEATURES)
            return text if coded is None else jnp.concatenate([coded.astype(text.dtype), text], -1)

        twins = {}
        for name, twin in choices.twins.items():
            moved, axes = twin_sides(twin, choices)
            items = jax.vmap(features, 2, 2)(moved["items"]) if "items" in axes else None
            twins[name] = dataclasses.replace(twin, items=items, context=_matrix(twin.context))
        return choices.replace(items=features(choices.items), context=_matrix(choices.context), twins=twins)

    def _encoder(self) -> Encoder:
        if not self.encoder:
            raise UsageError("model encoder: its encoder is that of the data's text; train it by faro.train")
        encoder = known.find(self.encoder, self.limit)
        if self.digest not in ("", encoder.digest):
            its = f"{encoder.name} here is {encoder.digest[:12]}"
            raise DataError(f"model encoder: its layers are of encoder {self.digest[:12]}, and {its}")
        return encoder


def _matrix(context: Any) -> Any:
    return context.get(FEATURES) if isinstance(context, dict) else context


@functools.partial(jax.jit, static_argnums=(0, 1, 2))  # so that it is traced once for all programs
def _pooled(sizes: Architecture, count: int, pooling: Pooling, weights: Any, states: Array) -> Array:
    """`[B, width]` of states `[B, T, width + 1]`, in the precision of the weights."""
    mask, real = states[..., -1] > 0, jax.tree.leaves(weights)[0].dtype
    module = Layers(sizes, count)
    vectors: Any = module.apply({"params": weights}, states[..., :-1].astype(real), mask)
    return pooled(pooling, vectors, mask)
