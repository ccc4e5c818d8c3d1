"""Reward models: `init(key, choices) -> params` and `apply(params, choices) -> rewards [n, K]`, pure functions.

`Linear`, `MLP` and `FlaxModel` (any Flax Linen module, or NNX module by its constructor) score one alternative at a
time from its features and the context; a model of your own only needs the two methods.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from constraints import Choices, Twin
from constraints.alternatives import joined, pieces

from . import devices

FEW = 2**15  # alternatives over which a program that runs once is not worth optimising
WEIGHTS = ("item", "context", "cross")  # parameters of `Linear` in the order of the features that it prepares
CROSSED = 1024  # products of features and context that `Linear` multiplies out before training


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


def options(model: Model, alternatives: int = 2, once: int | None = None) -> dict[str, Any]:
    """How programs of this model are compiled, for choices among so many `alternatives`; `once` is over how many
    choices the program runs, if it runs about once: then less is worth while (`faro.devices.options`)."""
    quick = isinstance(model, Linear) and alternatives == 2
    return devices.options(quick, None if once is None else int(once * alternatives > FEW))


@dataclasses.dataclass(frozen=True)
class Linear(Model):
    """reward = b + x.w + z.u + x.B z for features x `[n, K, d]` of the alternative and z `[n, c]` of the context.

    The taste w + B z depends on the chooser: with constants of the alternatives among x these are the usual
    alternative-specific effects. b and z.u matter only against an outside option (then this is logistic regression);
    without one they cancel in every choice.
    """

    scale: float = 0.01  # standard deviation of the initial taste: small, so that seeds differ but none starts decided

    def init(self, key, choices):
        d = choices.items.shape[-1]
        params = {"intercept": jnp.zeros(()), "item": self.scale * jax.random.normal(key, (d,))}
        if choices.context is not None:
            c = choices.context.shape[-1]
            params |= {"context": jnp.zeros(c), "cross": jnp.zeros((d, c))}
        return params

    def apply(self, params, choices):
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
        members of a sweep, which is many times faster than a taste per chooser and member. Members come first in that
        product: with the choices last, no step transposes."""
        if choices.context is None or choices.items.shape[-1] * choices.context.shape[-1] > CROSSED:
            return choices
        twins = {}
        for name, twin in choices.twins.items():
            items = choices.items[:, :, None] if twin.items is None else twin.items
            context = choices.context[:, None, None] if twin.context is None else twin.context[:, None]
            twins[name] = Twin(valid=twin.valid, items=_crossed(items, context), context=twin.context)
        return choices.replace(items=_crossed(choices.items, choices.context[:, None]), context=None, twins=twins)


def _crossed(items: Array, context: Array) -> Array:
    """Features, context and all their products side by side, `[..., d + c + d c]`; leading axes broadcast."""
    lead = jnp.broadcast_shapes(items.shape[:-1], context.shape[:-1])
    products = (items[..., :, None] * context[..., None, :]).reshape(*lead, -1)
    wide = [jnp.broadcast_to(part, (*lead, part.shape[-1])) for part in (items, context)]
    return jnp.concatenate([*wide, products], axis=-1)


def linear_features(params: Any, choices: Choices) -> list[Array]:
    """Pieces `[k, n, D]` of what the rewards of `Linear`, without context, are the product of with its D parameters in
    one vector (`ravel_pytree`): 1 for the intercept, and the features; 0 for the outside option."""
    ends = np.cumsum([params[part].size for part in WEIGHTS if part in params])[:-1]
    parts = dict(zip(WEIGHTS, jnp.split(choices.items, ends, -1), strict=False))
    parts["intercept"] = jnp.ones_like(choices.items[..., :1])
    own = jnp.concatenate(jax.tree.leaves(parts), -1)
    inside = pieces(jnp.moveaxis(jnp.where(choices.outside[:, : own.shape[1], None], 0, own), 1, -1))
    return [*inside, *[jnp.zeros_like(inside[0][:1])] * (choices.shape[1] - own.shape[1])]


def features(choices: Choices) -> Array:
    """What a network sees of each alternative: its features and the context, side by side, `[n, J, d + c]`."""
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

    `module` is a Linen module, or a function of `nnx.Rngs` that makes an NNX module, as
    `lambda rngs: MyModule(8, rngs=rngs)`.
    Only parameters are kept: a module with other state (batch statistics, dropout) is refused.
    """

    module: nn.Module | Callable[[nnx.Rngs], nnx.Module]

    def init(self, key, choices):
        if isinstance(self.module, nn.Module):
            variables = self.module.init(key, features(choices.take(slice(0, 1))))
            self._only_params(set(variables) - {"params"})
            return variables["params"]
        make: Any = self.module
        _, params, *rest = nnx.split(make(nnx.Rngs(key)), nnx.Param, ...)
        self._only_params(
            {type(leaf).__name__ for leaf in jax.tree.leaves(rest, is_leaf=lambda v: isinstance(v, nnx.Variable))}
        )
        return nnx.to_pure_dict(params)

    def apply(self, params, choices):
        if isinstance(self.module, nn.Module):
            output: Any = self.module.apply({"params": params}, features(choices))
            return _score(output, choices.items.shape[:2])
        make: Any = self.module
        skeleton, state = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))))
        nnx.replace_by_pure_dict(state, params)
        return _score(nnx.merge(skeleton, state)(features(choices)), choices.items.shape[:2])

    @staticmethod
    def _only_params(others: set[str]) -> None:
        if others:
            raise ValueError(
                f"expected a module with parameters only, it also has {sorted(others)}; remove those layers"
            )


class _Perceptron(nn.Module):
    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x):
        for width in self.widths:
            x = nn.gelu(nn.Dense(width)(x))
        return nn.Dense(1)(x)


@dataclasses.dataclass(frozen=True)
class MLP(Model):
    """A multilayer perceptron on the features and the context of one alternative; GELU units, one reward out."""

    widths: tuple[int, ...] = (64,)

    def _flax(self) -> FlaxModel:
        return FlaxModel(_Perceptron(tuple(self.widths)))

    def init(self, key, choices):
        return self._flax().init(key, choices)

    def apply(self, params, choices):
        return self._flax().apply(params, choices)

    def frozen(self, params: Any, choices: Choices) -> tuple[Choices, Any]:
        """The choices with the outputs of the last hidden layer as items, `[n, J, widths[-1]]`, twins likewise, and the
        parameters with which `Linear` on them is this network."""
        *hidden, last = (params[f"Dense_{layer}"] for layer in range(len(self.widths) + 1))

        def outputs(own: Choices) -> Array:
            x = features(own)
            for layer in hidden:
                x = nn.gelu(x @ layer["kernel"] + layer["bias"])
            return x

        plain, twins = choices.replace(twins={}), {}
        for name, twin in choices.twins.items():
            field, axis = ("context", 1) if twin.items is None else ("items", 2)
            moved = jax.vmap(lambda own, field=field: outputs(plain.replace(**{field: own})), axis, 2)
            twins[name] = Twin(valid=twin.valid, items=moved(getattr(twin, field)))
        linear = {"item": last["kernel"][:, 0], "intercept": last["bias"][0]}
        return plain.replace(items=outputs(plain), context=None, twins=twins), linear


BUILT_IN: dict[str, type[Model]] = {"linear": Linear, "mlp": MLP}
