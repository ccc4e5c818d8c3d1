"""Encoders of the BERT family in Flax: BERT (MiniLM is one), RoBERTa and DistilBERT, from the files they ship in.

Devlin et al. (2019), Liu et al. (2019), Sanh et al. (2019). Layers are scanned, so that a program of six layers is
compiled as fast as one of a single layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from faro.errors import DataError

from .architecture import Architecture

FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "gelu_new": lambda x: jax.nn.gelu(x, approximate=True),
    "gelu_pytorch_tanh": lambda x: jax.nn.gelu(x, approximate=True),
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
}
BLOCKED = -1e9  # what a padded place is told to weigh, before the softmax


class _Layer(nn.Module):
    """h = norm(x + attention(x)), norm(h + MLP(h))."""

    sizes: Architecture

    @nn.compact
    def __call__(self, x: Array, blocked: Array) -> tuple[Array, None]:
        sizes = self.sizes
        batch, length, width = x.shape
        query, key, value = jnp.split(nn.Dense(3 * width, name="projections")(x), 3, -1)

        def of_heads(values: Array) -> Array:
            return values.reshape(batch, length, sizes.heads, width // sizes.heads).transpose(0, 2, 1, 3)

        scores = of_heads(query) @ of_heads(key).swapaxes(-1, -2) / math.sqrt(width // sizes.heads) + blocked
        seen = jax.nn.softmax(scores, -1) @ of_heads(value)
        seen = nn.Dense(width, name="output")(seen.transpose(0, 2, 1, 3).reshape(x.shape))
        x = nn.LayerNorm(sizes.epsilon, name="attention_norm")(x + seen)
        inner = FUNCTIONS[sizes.activation](nn.Dense(sizes.hidden, name="inner")(x))
        x = nn.LayerNorm(sizes.epsilon, name="norm")(x + nn.Dense(width, name="outer")(inner))
        return x, None


def _through(sizes: Architecture, count: int, x: Array, mask: Array) -> Array:
    """So many layers of the module that calls this, its parameters `layers`."""
    if not count:
        return x
    blocked = jnp.where(mask, 0.0, BLOCKED)[:, None, None, :].astype(x.dtype)
    layers = nn.scan(
        _Layer,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=nn.broadcast,
        length=count,
    )
    return layers(sizes, name="layers")(x, blocked)[0]


class Layers(nn.Module):
    """The last layers alone: vectors of tokens before them to vectors behind them, `[B, T, width]`.

    sizes: the architecture
    count: how many layers
    """

    sizes: Architecture
    count: int

    @nn.compact
    def __call__(self, x: Array, mask: Array) -> Array:
        """Vectors of the last layer.

        x: `[B, T, width]`; mask: `[B, T]` whether a place has a token
        """
        return _through(self.sizes, self.count, x, mask)


class Bert(nn.Module):
    """Tokens to vectors, `[B, T]` to `[B, T, width]`.

    sizes: the architecture
    without: how many of the last layers it goes without
    """

    sizes: Architecture
    without: int = 0

    @nn.compact
    def __call__(self, tokens: Array, mask: Array, types: Array) -> Array:
        """Vectors of the last layer.

        tokens: `[B, T]` ids; mask: `[B, T]` whether a place has a token; types: `[B, T]` the segment of each
        """
        sizes = self.sizes
        places = jnp.arange(tokens.shape[1])[None] + sizes.shift
        if sizes.shift:  # RoBERTa: padding has a place of its own
            places = jnp.where(mask, places, sizes.shift - 1)
        x = nn.Embed(sizes.vocabulary, sizes.width, name="words")(tokens)
        x = x + nn.Embed(sizes.positions, sizes.width, name="places")(places)
        if sizes.types:
            x = x + nn.Embed(sizes.types, sizes.width, name="types")(types if sizes.types > 1 else types * 0)
        x = nn.LayerNorm(sizes.epsilon, name="norm")(x)
        return _through(sizes, sizes.layers - self.without, x, mask)


def cut(params: Any, without: int) -> tuple[Any, Any]:
    """(parameters of `Bert` without its last layers, those of `Layers`).

    params: of `Bert`, all of its layers
    without: how many layers are the last
    """
    layers = params["layers"]
    first = jax.tree.leaves(layers)[0].shape[0] - without
    before = {**params, "layers": jax.tree.map(lambda leaf: leaf[:first], layers)}
    return before, {"layers": jax.tree.map(lambda leaf: leaf[first:], layers)}


# Weights as they ship ------------------------------------------------------------------------------------------------

QKV = ("query", "key", "value")  # the parts of `projections`
# our name -> theirs, in a layer
_BERT = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "inner": "intermediate.dense",
    "outer": "output.dense",
    "norm": "output.LayerNorm",
}
_DISTILBERT = {
    "query": "attention.q_lin",
    "key": "attention.k_lin",
    "value": "attention.v_lin",
    "output": "attention.out_lin",
    "attention_norm": "sa_layer_norm",
    "inner": "ffn.lin1",
    "outer": "ffn.lin2",
    "norm": "output_layer_norm",
}


def tensors_of(sizes: Architecture, layers: Any, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Tensors of the last layers by the names that they ship with: the inverse of `parameters`.

    sizes: what config.json says
    layers: {"layers": parameters} of `Layers`
    names: of all tensors of the file, which say its prefix
    """
    layer, theirs = ("transformer.layer", _DISTILBERT) if sizes.family == "distilbert" else ("encoder.layer", _BERT)
    known, stacked = set(names), layers["layers"]
    count = len(jax.tree.leaves(stacked)[0])
    found = {}

    def put(name: str, suffix: str, value: np.ndarray) -> None:
        older = {"weight": "gamma", "bias": "beta"}[suffix]
        here = next(key for key in known for own in (suffix, older) if key.endswith(f"{name}.{own}"))
        found[here] = np.ascontiguousarray(value, np.float32)

    for number in range(count):
        own = jax.tree.map(lambda leaf, number=number: np.asarray(leaf)[number], stacked)
        at = f"{layer}.{sizes.layers - count + number}"
        parts = {key: np.split(values, 3, -1) for key, values in own["projections"].items()}
        dense = {name: {key: values[place] for key, values in parts.items()} for place, name in enumerate(QKV)}
        dense |= {name: own[name] for name in ("output", "inner", "outer")}
        for name, values in dense.items():
            put(f"{at}.{theirs[name]}", "weight", values["kernel"].T)
            put(f"{at}.{theirs[name]}", "bias", values["bias"])
        for name in ("attention_norm", "norm"):
            put(f"{at}.{theirs[name]}", "weight", own[name]["scale"])
            put(f"{at}.{theirs[name]}", "bias", own[name]["bias"])
    return found


def parameters(sizes: Architecture, tensors: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The parameters of `Bert`, in single precision, of the tensors of a model.safetensors.

    sizes: what config.json says
    tensors: by the names that they ship with; a prefix as `bert.` is passed over, and so is what an encoder does not
        read (pooler, heads)
    where: what messages call the file

    `DataError` for a tensor that is absent or of another shape than the sizes say.
    """
    word = "embeddings.word_embeddings.weight"
    prefix = next((key.removesuffix(word) for key in tensors if key.endswith(word)), "")
    layer, theirs = ("transformer.layer", _DISTILBERT) if sizes.family == "distilbert" else ("encoder.layer", _BERT)
    width = sizes.width

    def tensor(name: str, *shape: int) -> np.ndarray:
        older = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        found = next((tensors[prefix + key] for key in (name, older) if prefix + key in tensors), None)
        if found is None:
            raise DataError(f"{where}: no tensor {prefix + name!r}; is it a {sizes.family} encoder?")
        if found.shape != shape:
            expected = f"expected {shape} by config.json, got {tuple(found.shape)}"
            raise DataError(f"{where}: tensor {prefix + name!r}: {expected}")
        return np.asarray(found, np.float32)

    def norm(name: str) -> dict[str, np.ndarray]:
        return {"scale": tensor(f"{name}.weight", width), "bias": tensor(f"{name}.bias", width)}

    def dense(name: str, out: int, into: int) -> dict[str, np.ndarray]:
        return {"kernel": tensor(f"{name}.weight", out, into).T, "bias": tensor(f"{name}.bias", out)}

    def one_layer(number: int) -> dict[str, Any]:
        names = {ours: f"{layer}.{number}.{name}" for ours, name in theirs.items()}
        parts = [dense(names[part], width, width) for part in QKV]
        return {
            "projections": {key: np.concatenate([part[key] for part in parts], -1) for key in ("kernel", "bias")},
            "output": dense(names["output"], width, width),
            "attention_norm": norm(names["attention_norm"]),
            "inner": dense(names["inner"], sizes.hidden, width),
            "outer": dense(names["outer"], width, sizes.hidden),
            "norm": norm(names["norm"]),
        }

    table = {
        "words": {"embedding": tensor(word, sizes.vocabulary, width)},
        "places": {"embedding": tensor("embeddings.position_embeddings.weight", sizes.positions, width)},
        "norm": norm("embeddings.LayerNorm"),
        "layers": jax.tree.map(lambda *parts: np.stack(parts), *map(one_layer, range(sizes.layers))),
    }
    if sizes.types:
        table["types"] = {"embedding": tensor("embeddings.token_type_embeddings.weight", sizes.types, width)}
    return table
