"""Where an answer was shown, as a tower of its own: added to rewards while a model learns, left out of decisions."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from constraints import Choices
from constraints.alternatives import joined

from .. import registry
from ..errors import UsageError
from .base import InputSpec, Model, Prediction, predict

SHOWN = "shown"  # what a `Prediction` calls the scores with the tower


@dataclasses.dataclass(frozen=True)
class PositionTower(Model):
    """reward(x, z) is the model's, and people chose by what they were shown:

        shown_k = reward_k + tower[place of k]        mean of the tower over places: 0

    `faro.losses.Shown` fits what was shown, so that what a place does is learned beside the rewards and not in them;
    decisions, bounds and scores are of the reward, as of an answer shown at no place. Places are an attribute of the
    alternatives. A tower cannot tell a place from what is always shown there: without errors or chance in who was put
    where it learns nothing, and what a place does to some answers more than to others stays in the rewards.

    model: what gives rewards, or its name
    places: how many there are, the levels of the attribute
    by: the attribute that says where an alternative was shown
    Source: Zhao et al. RecSys 2019 (the shallow tower; ours has no other inputs, and is centred in place of dropout).
    """

    model: Any = "linear"
    places: int = 2
    by: str = "position"

    def __post_init__(self):
        if isinstance(self.model, str):
            object.__setattr__(self, "model", registry.make("model", self.model))
        if self.places < 2:
            raise ValueError(f"places: expected at least 2, got {self.places}")

    @property
    def settings(self) -> Any:  # type: ignore[override]
        """Those that suit the model."""
        return self.model.settings

    @property
    def support(self) -> int:  # type: ignore[override]
        """As many earlier choices as the model reads."""
        return self.model.support

    @property
    def own_layers(self) -> int:  # type: ignore[override]
        """As many layers of the encoder as the model has."""
        return self.model.own_layers

    @property
    def widths_offered(self) -> tuple[float, ...]:
        return self.model.widths_offered

    def narrowed(self, params: Any, width: Any) -> Any:
        return {**params, "model": self.model.narrowed(params["model"], width)}

    def of_texts(self, texts: Any) -> Model:
        return dataclasses.replace(self, model=self.model.of_texts(texts))

    def init(self, key: Array, spec: InputSpec) -> Any:
        return {"model": self.model.init(key, spec), "tower": jnp.zeros(self.places)}

    def apply(self, params: Any, choices: Choices, *, key: Any = None, train: bool = False, people: Any = None) -> Any:
        if self.by not in choices.attributes:
            raise UsageError(
                f"position_tower: no attribute {self.by!r} says where an alternative was shown; declare it, or name "
                f"another (by=...); there are: {', '.join(choices.attributes) or 'none'}"
            )
        seen = predict(self.model, params["model"], choices, key=key, train=train, people=people)
        place, tower = choices.attributes[self.by], params["tower"] - params["tower"].mean()
        added = jnp.where((place >= 0) & choices.inside, tower[jnp.clip(place, 0, self.places - 1)], 0)
        inside = jax.tree.leaves(choices.items)[0].shape[1]
        logs = None if seen.log_probs is None else joined(seen.log_probs)
        extra = {**seen.extra, SHOWN: joined(seen.scores) + added}
        return Prediction(joined(seen.rewards)[:, :inside], logs, extra)

    def effects(self, params: Any) -> Array:
        """What each place adds to a reward, `[places]`, 0 on average.

        params: of the model
        """
        return params["tower"] - params["tower"].mean()

    def prepare(self, choices: Choices) -> Choices:
        return self.model.prepare(choices)

    def shares(self, params: Any, interactions: Any) -> Any:
        return {"model": self.model.shares(params["model"], interactions), "tower": 0.0}

    def trainable(self, params: Any) -> Any:
        return {"model": self.model.trainable(params["model"]), "tower": True}

    def personal(self, params: Any) -> Any:
        return {"model": self.model.personal(params["model"]), "tower": False}

    def penalty(self, params: Any, seen: Any) -> Any:
        return self.model.penalty(params["model"], seen)

    def alarms(self, params: Any, people: Any) -> Any:
        said = tuple(self.model.alarms(params["model"], people))
        if not (params["tower"] == 0).all():
            return said
        return (*said, "the tower of places has learned nothing: what was shown is fitted by the loss `shown`")
