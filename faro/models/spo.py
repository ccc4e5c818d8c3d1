"""Rewards between 0 and 1: how likely an alternative is preferred to what else there is, by the person who is asked."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from constraints import Choices
from constraints.alternatives import joined

from .base import InputSpec, Prediction, predict
from .wrapped import Wrapped


@dataclasses.dataclass(frozen=True)
class SPO(Wrapped):
    """Rewards of a model on a scale that means the same for everybody:

        reward(x, z, person) = 1 / M sum_m P(x is preferred to x_m | z, person)            in [0, 1]

    with M alternatives x_m of train, the same for all. Of a person's own alternatives none changes its place, up to
    rounding and where the model has one reward of each; between people, where rewards of one may be ten times those of
    another, a rule that reads sizes (a tilt, a policy that is trained on rewards) treats all alike. They are no
    log-odds any more: as probabilities of choices they say too little. `faro.people.spo.fit` makes one.

    model: that was trained
    references: M
    Source: VPL, arXiv 2408.10075, after Swamy et al., arXiv 2401.04056 (self-play preference optimisation).
    """

    model: Any = "linear"
    references: int = 1

    def init(self, key: Array, spec: InputSpec) -> Any:
        against = jax.tree.map(lambda leaf: jnp.zeros((self.references, *leaf.shape[2:])), spec.items)
        return {"model": self.model.init(key, spec), "against": against}

    def apply(self, params: Any, choices: Choices, *, people: Any = None) -> Any:
        n, inside = jax.tree.leaves(choices.items)[0].shape[:2]

        def each(leaf: Array) -> Array:  # of a choice, for each of its alternatives
            return jnp.repeat(leaf, inside, axis=0)

        def preferred(reference: Any) -> Array:
            def pair(own: Array, other: Array) -> Array:
                own = own.reshape(n * inside, *own.shape[2:])
                return jnp.stack([own, jnp.broadcast_to(other.astype(own.dtype), own.shape)], 1)

            pairs = Choices(
                items=jax.tree.map(pair, choices.items, reference),
                available=jnp.ones((n * inside, 2), bool),
                chosen=jnp.full((n * inside, 2), 0.5, choices.chosen.dtype),
                weight=each(choices.weight),
                unit=each(choices.unit),
                outside=jnp.zeros((n * inside, 2), bool),
                context=jax.tree.map(each, choices.context),
                unit_index=None if choices.unit_index is None else each(choices.unit_index),
            )
            scores = joined(predict(self.model, params["model"], pairs, people=people).scores)
            return jax.nn.sigmoid(scores[:, 0] - scores[:, 1]).reshape(n, inside)

        return Prediction(jax.lax.map(preferred, jax.tree.map(jnp.asarray, params["against"])).mean(0))

    def trainable(self, params: Any) -> Any:
        return False
