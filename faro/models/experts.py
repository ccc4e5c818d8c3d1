"""Several objectives, one model: experts that all of them share, mixed anew for each, and a stated sum to serve."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from constraints import Choices

from ..errors import UsageError
from .base import SHOWN, InputSpec, Model, Prediction, at_least, levels_of
from .networks import features


@dataclasses.dataclass(frozen=True)
class MMoE(Model):
    """Every choice was made for one of T objectives (a click, a like; helpful, harmless), which an attribute says:

        reward_t(x, z) = head_t . sum_e gate_t(x, z)_e expert_e(x, z)          gate_t = softmax(G_t [x, z, 1])
        shown          = reward_t, t the objective for which people chose
        reward         = sum_t weight_t reward_t

    expert_e is one GELU layer. `faro.losses.Shown` fits each choice by its own objective; decisions, bounds, scores and
    accuracy are of the weighted sum, which is what is served, and so is a choice for no objective. Weights are a
    decision of whoever serves, not learned. With one expert it is a shared bottom. In training an expert is left out
    with chance `dropout` and the others have its share, so that gates do not settle on one.

    objectives: T; 0: as many as the attribute has levels, which training sees to
    weights: of the sum, `[T]`; None: 1 / T each
    experts: how many, >= 1
    width: units of each, >= 1
    dropout: in [0, 1)
    by: the attribute that says for which objective a choice was made
    Source: Ma et al. KDD 2018; Zhao et al. RecSys 2019 (who multiply heads; a product of exp(reward_t) has this sum).
    """

    loss: ClassVar[str] = SHOWN
    objectives: int = 0
    weights: tuple[float, ...] | None = None
    experts: int = 4
    width: int = 16
    dropout: float = 0.1
    by: str = "objective"

    def __post_init__(self):
        at_least(self, objectives=0, experts=1, width=1)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: expected a share of at least 0 and below 1, got {self.dropout}")

    @property
    def served(self) -> tuple[float, ...]:
        """Weights of the objectives in what is served, `[T]`; `UsageError` unless there are as many, and one not 0."""
        weights = (1 / max(self.objectives, 1),) * self.objectives if self.weights is None else tuple(self.weights)
        if self.objectives < 2 or len(weights) != self.objectives:
            raise UsageError(
                f"mmoe: expected two objectives or more, and a weight of each; got {self.objectives} and "
                f"weights={self.weights}"
            )
        if not all(map(math.isfinite, weights)) or not any(weights):
            raise UsageError(f"mmoe: expected finite weights, not all 0, got {weights}")
        return weights

    def of_schema(self, schema: Any) -> Model:
        own = dataclasses.replace(self, objectives=levels_of(schema, self.by, self.objectives, "mmoe: objectives"))
        return dataclasses.replace(own, weights=own.served)

    def init(self, key: Array, spec: InputSpec) -> Any:
        objectives = len(self.served)
        size = features(spec.example()).shape[-1]
        expert, head = jax.random.split(key)
        return {
            "expert": jax.random.normal(expert, (self.experts, size, self.width)) / jnp.sqrt(size),
            "bias": jnp.zeros((self.experts, self.width)),
            "gate": jnp.zeros((objectives, size + 1, self.experts)),
            "head": jax.random.normal(head, (objectives, self.width)) / jnp.sqrt(self.width),
            "constant": jnp.zeros(objectives),
        }

    def each(self, params: Any, choices: Choices, kept: Any = True) -> Array:
        """Rewards of every objective, `[n, J, T]`.

        params: of the model
        choices: n choices
        kept: which experts are there, `[E]` bool
        """
        x = features(choices)
        hidden = jnp.einsum("njd,edw->njew", x, params["expert"]) + params["bias"]
        said = jnp.einsum("njew,tw->njet", jax.nn.gelu(hidden, approximate=False), params["head"])
        gates = jnp.einsum("njd,tde->njet", x, params["gate"][:, :-1]) + params["gate"][:, -1].T
        mixed = jax.nn.softmax(jnp.where(jnp.reshape(kept, (-1, 1)), gates, -jnp.inf), axis=2)
        return jnp.sum(mixed * said, 2) + params["constant"]

    def apply(self, params: Any, choices: Choices, *, key: Any = None, train: bool = False) -> Any:
        kept: Any = True
        if train and key is not None and self.dropout:
            drawn = jax.random.uniform(key, (self.experts,))
            kept = (drawn >= self.dropout) | (drawn == drawn.max())  # one at least
        each = self.each(params, choices, kept)
        rewards = each @ jnp.array(self.served)
        if self.by not in choices.attributes:
            return Prediction(rewards)
        objective = choices.attributes[self.by][:, : each.shape[1], None]
        own = jnp.take_along_axis(each, jnp.clip(objective, 0, self.objectives - 1), -1)
        shown = jnp.where(objective >= 0, own, rewards[..., None])[..., 0]
        shown = jnp.where(choices.outside[:, : each.shape[1]], 0, shown)
        beyond = jnp.zeros((len(shown), choices.shape[1] - shown.shape[1]), shown.dtype)
        return Prediction(rewards, extra={SHOWN: jnp.concatenate([shown, beyond], 1)})

    def shares(self, params: Any, interactions: Any) -> Any:
        return {**dict.fromkeys(params, 1.0), "bias": 0.0, "constant": 0.0}
