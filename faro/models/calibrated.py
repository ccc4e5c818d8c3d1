"""A model whose rewards are put on the scale of probabilities after training; the model itself is not touched."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from constraints import Attribute, Choices, log_softmax
from constraints.alternatives import joined

from .base import InputSpec, Model, Prediction, predict
from .wrapped import Wrapped


@dataclasses.dataclass(frozen=True)
class Calibrated(Wrapped):
    """Rewards with a slope and a constant of each group:

        score_k = slope_g reward_k + constant_g        g the group of alternative k, or of who chooses

    one slope and no constant is a temperature of 1 / slope (Guo et al. 2017), a slope and a constant of each group are
    Platt's (1999) in each. `faro.evaluate.calibration` fits them; training leaves the model as it is.

    model: that was trained
    by: whose groups have a slope and a constant each; what is of none has the last ones. None: all alike

    What decides may change with the groups of alternatives, and does not with those of choosers or with none, but for
    an outside option. Twins have the slope of the group that they are set to.
    """

    model: Model
    by: Attribute | None = None

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """The attributes that the model reads, and that of the groups, or what it is crossed of."""
        return tuple(dict.fromkeys([*self.model.reads, *_declared(self.by)]))

    def init(self, key: Array, spec: InputSpec) -> Any:
        groups = 1 if self.by is None else len(self.by.levels) + 1
        return {"model": self.model.init(key, spec), "slope": jnp.ones(groups), "constant": jnp.zeros(groups)}

    def apply(self, params: Any, choices: Choices, *, key: Any = None, train: bool = False, people: Any = None) -> Any:
        seen = predict(self.model, params["model"], choices, key=key, train=train, people=people)
        scores, outside = joined(seen.scores), choices.outside
        if seen.log_probs is not None:  # of the outside option 0, as rewards have it
            there = outside & choices.available
            scores = jnp.where(outside, 0, scores - jnp.sum(jnp.where(there, scores, 0), -1, keepdims=True))
        group = jnp.zeros(choices.shape, int) if self.by is None else self.by.codes(choices)
        calibrated = params["slope"][group] * scores + params["constant"][group]  # -1: the last
        calibrated = jnp.where(outside, 0, calibrated)
        inside = jax.tree.leaves(choices.items)[0].shape[1]
        if seen.log_probs is None:
            return Prediction(calibrated[:, :inside], extra=seen.extra)
        return Prediction(calibrated[:, :inside], log_softmax(calibrated, choices.available), seen.extra)

    def trainable(self, params: Any) -> Any:
        return {"model": False, "slope": True, "constant": True}


def _declared(by: Attribute | None) -> list[str]:
    if by is None:
        return []
    return [name for part in by.parts for name in _declared(part)] or [by.name]
