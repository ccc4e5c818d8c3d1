"""Rewards by networks: any Flax module, and the multilayer perceptron."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx
from flax.errors import InvalidRngError
from jax import Array

from constraints import Choices

from .base import Dense, InputSpec, LinearHead, Model, numeric, twin_sides


def features(choices: Choices | InputSpec) -> Array:
    """What a network sees of each alternative: its features and the context, side by side, `[n, J, d + c]`.

    choices: n choices, or an `InputSpec` with arrays (`InputSpec.example`)
    """
    choices = numeric(choices)
    if choices.context is None:
        return choices.items
    context = jnp.broadcast_to(choices.context[:, None], (*choices.items.shape[:2], choices.context.shape[-1]))
    return jnp.concatenate([choices.items, context], axis=-1)


def _score(output: Array, shape: tuple[int, int]) -> Array:
    if output.shape not in (shape, (*shape, 1)):
        raise ValueError(
            f"a reward module must map features [n, K, d] to [n, K] or [n, K, 1], got {output.shape} for {shape}"
        )
    return output.reshape(shape)


@dataclasses.dataclass(frozen=True)
class FlaxModel(Model):
    """Any Flax module that maps features `[n, K, d + c]` to rewards `[n, K]` or `[n, K, 1]`.

    module: a Linen module, or a function of `nnx.Rngs` that makes an NNX module, as `lambda rngs: MyModule(8,
        rngs=rngs)`. A Linen module whose call takes `train` or `deterministic` is told which it is, and has a key for
        dropout in training steps; evaluations are without

    Only parameters are kept: `ValueError` for a module with other state (batch statistics, dropout of NNX).
    """

    module: nn.Module | Callable[[nnx.Rngs], nnx.Module]

    def init(self, key, spec):
        if isinstance(self.module, nn.Module):
            variables = self._told(self.module.init, key, features(InputSpec.of(spec).example()))
            self._only_params(set(variables) - {"params"})
            return variables["params"]
        make: Any = self.module
        _, params, *rest = nnx.split(make(nnx.Rngs(key)), nnx.Param, ...)
        self._only_params(
            {type(leaf).__name__ for leaf in jax.tree.leaves(rest, is_leaf=lambda v: isinstance(v, nnx.Variable))}
        )
        return nnx.to_pure_dict(params)

    def apply(self, params, choices, *, key=None, train=False):
        if isinstance(self.module, nn.Module):
            rngs = None if key is None else {"dropout": key}
            output: Any = self._told(self.module.apply, {"params": params}, features(choices), train=train, rngs=rngs)
            return _score(output, numeric(choices).items.shape[:2])
        make: Any = self.module
        skeleton, state = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))))
        nnx.replace_by_pure_dict(state, params)
        return _score(nnx.merge(skeleton, state)(features(choices)), numeric(choices).items.shape[:2])

    def _told(self, call: Callable[..., Any], *args: Any, train: bool = False, **named: Any) -> Any:
        """A call of the Linen module, told whether it is training if it asks; `ValueError` for noise without end."""
        takes = inspect.signature(type(self.module).__call__).parameters
        told = {"train": train, "deterministic": not train}
        try:
            return call(*args, **named, **{name: value for name, value in told.items() if name in takes})
        except InvalidRngError as error:
            raise ValueError(
                f"{type(self.module).__name__} draws random numbers outside of training steps; let its __call__ take "
                "deterministic (or train) and hand it to its dropout"
            ) from error

    @staticmethod
    def _only_params(others: set[str]) -> None:
        if others:
            raise ValueError(
                f"expected a module with parameters only, it also has {sorted(others)}; remove those layers"
            )


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {  # of hidden units
    "gelu_tanh": functools.partial(nn.gelu, approximate=True),
    "gelu": functools.partial(nn.gelu, approximate=False),
    "relu": nn.relu,
    "silu": nn.silu,
    "tanh": jnp.tanh,
}


class Perceptron(nn.Module):
    """Dense layers one behind another, `[..., d]` to `[..., outputs]`.

    widths: units of each hidden layer
    activation: of the hidden units, one of `ACTIVATIONS`
    outputs: numbers at the end
    """

    widths: tuple[int, ...]
    activation: str
    outputs: int = 1

    @nn.compact
    def __call__(self, x):
        for width in self.widths:
            x = ACTIVATIONS[self.activation](nn.Dense(width)(x))
        return nn.Dense(self.outputs)(x)


def hidden(widths: Any, activation: Any) -> None:
    """`ValueError` unless these can be hidden layers.

    widths: units of each
    activation: of the units
    """
    whole = isinstance(widths, tuple | list) and all(type(units) is int and units > 0 for units in widths)
    if not whole:
        raise ValueError(f"widths: expected whole numbers above 0 in brackets, as (64, 32), got {widths!r}")
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation: expected one of {', '.join(ACTIVATIONS)}, got {activation!r}")


@dataclasses.dataclass(frozen=True)
class MLP(Model):
    """A multilayer perceptron on the features and the context of one alternative; one reward out.

    widths: units of each hidden layer, >= 1; None: one layer of 64, or of a half, a quarter or an eighth of them, which
        the selection part chooses
    activation: of the hidden units: "gelu", "gelu_tanh" (in its form with a tanh, as files have it that say none),
        "relu", "silu" or "tanh"
    """

    widths: tuple[int, ...] | None = None
    activation: str = "gelu"

    def __post_init__(self):
        hidden(() if self.widths is None else self.widths, self.activation)

    @classmethod
    def from_config(cls, config):
        return super().from_config({"activation": "gelu_tanh", **config})

    @property
    def layers(self) -> tuple[int, ...]:
        """Units of each hidden layer, at most."""
        return (64,) if self.widths is None else tuple(self.widths)

    @property
    def widths_offered(self):
        return (1.0, 0.5, 0.25, 0.125) if self.widths is None else (1.0,)

    def narrowed(self, params, width):
        there = [jnp.arange(units) < jnp.ceil(width * units) for units in self.layers]
        found = {}
        for layer, own in sorted(params.items()):
            number = int(layer.removeprefix("Dense_"))
            kernel, bias = own["kernel"], own["bias"]
            if number > 0:
                kernel = jnp.where(there[number - 1][:, None], kernel, 0)
            if number < len(there):
                kernel, bias = jnp.where(there[number], kernel, 0), jnp.where(there[number], bias, 0)
            found[layer] = {"kernel": kernel, "bias": bias}
        return found

    def _flax(self) -> FlaxModel:
        return FlaxModel(Perceptron(self.layers, self.activation))

    def init(self, key, spec):
        return self._flax().init(key, spec)

    def apply(self, params, choices):
        return self._flax().apply(params, choices)

    def linear_head(self, params, choices):
        """On the outputs of the last hidden layer, `[n, J, layers[-1]]`."""
        *hidden, last = (params[f"Dense_{layer}"] for layer in range(len(self.layers) + 1))

        def outputs(shown: Choices) -> Array:
            x = features(shown)
            for layer in hidden:
                x = ACTIVATIONS[self.activation](x @ layer["kernel"] + layer["bias"])
            return x

        choices = numeric(choices)
        plain, twins = choices.replace(twins={}), {}
        for name, twin in choices.twins.items():
            moved, axes = twin_sides(twin, choices)
            items = jax.vmap(lambda sides: outputs(plain.replace(**sides)), (axes,), 2)(moved)
            twins[name] = dataclasses.replace(twin, items=items)
        linear = {"item": last["kernel"][:, 0], "intercept": last["bias"][0]}
        return LinearHead(plain.replace(items=outputs(plain), context=None, twins=twins), linear)

    def with_head(self, params, head):
        last = {"kernel": jnp.reshape(head["item"], (-1, 1)), "bias": jnp.reshape(head["intercept"], 1)}
        return {**params, f"Dense_{len(self.layers)}": last}

    def dense(self, params):
        """Its layers, where the schema has no context."""
        layers = [params[f"Dense_{number}"] for number in range(len(self.layers) + 1)]
        units = [*[self.activation] * len(self.layers), "identity"]
        return [Dense(own["kernel"].T, own["bias"], unit) for own, unit in zip(layers, units, strict=True)]
