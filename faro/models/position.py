"""Where an answer was shown, as a tower of its own: added to rewards while a model learns, left out of decisions."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from constraints import Choices
from constraints.alternatives import joined

from .. import registry
from ..errors import UsageError
from .base import SHOWN, InputSpec, Model, Prediction, levels_of, predict
from .wrapped import Wrapped


@dataclasses.dataclass(frozen=True)
class PositionTower(Wrapped):
    """reward(x, z) is the model's, and people chose by what they were shown:

        shown_k = reward_k + tower[place of k]        mean of the tower over places: 0

    `faro.losses.Shown` fits what was shown, so that what a place does is learned beside the rewards and not in them;
    decisions, bounds and scores are of the reward, as of an answer shown at no place. Places are an attribute of the
    alternatives. A tower cannot tell a place from what is always shown there: without errors or chance in who was put
    where it learns nothing, and what a place does to some answers more than to others stays in the rewards.

    model: what gives rewards, or its name
    places: how many there are; 0: as many as the attribute has levels, which training sees to
    by: the attribute that says where an alternative was shown
    Source: Zhao et al. RecSys 2019 (the shallow tower; ours has no other inputs, and is centred in place of dropout).
    """

    loss: ClassVar[str] = SHOWN
    model: Any = "linear"
    places: int = 0
    by: str = "position"

    def __post_init__(self):
        if isinstance(self.model, str):
            object.__setattr__(self, "model", registry.make("model", self.model))
        if not isinstance(self.model, Model):
            raise ValueError(f"model: expected a model, or the name of one in quotes, got {self.model!r}")

    def of_schema(self, schema: Any) -> Model:
        own, places = super().of_schema(schema), levels_of(schema, self.by, self.places, "position_tower: places")
        if schema.attribute(self.by).chooser and schema.format != "accept" and not schema.outside:
            raise UsageError(
                f"position_tower: {self.by!r} is of who chooses, so all alternatives have the same place; name the "
                "attribute that says where each was shown (by=...)"
            )
        return dataclasses.replace(own, places=places)  # type: ignore[type-var]

    def init(self, key: Array, spec: InputSpec) -> Any:
        if self.places < 2:
            raise ValueError(f"places: expected at least 2, got {self.places}")
        return {"model": self.model.init(key, spec), "tower": jnp.zeros(self.places)}

    def apply(self, params: Any, choices: Choices, *, key: Any = None, train: bool = False, people: Any = None) -> Any:
        seen = predict(self.model, params["model"], choices, key=key, train=train, people=people)
        inside = jax.tree.leaves(choices.items)[0].shape[1]
        logs, extra = None if seen.log_probs is None else joined(seen.log_probs), dict(seen.extra)
        if self.by in choices.attributes:
            place, tower = choices.attributes[self.by], self.effects(params)
            added = jnp.where((place >= 0) & choices.inside, tower[jnp.clip(place, 0, self.places - 1)], 0)
            extra[SHOWN] = seen.extra.get(SHOWN, joined(seen.scores)) + added
        return Prediction(joined(seen.rewards)[:, :inside], logs, extra)

    def effects(self, params: Any) -> Array:
        """What each place adds to a reward, `[places]`, 0 on average.

        params: of the model
        """
        return params["tower"] - params["tower"].mean()

    def alarms(self, params: Any, people: Any) -> Any:
        said = tuple(super().alarms(params, people))
        if not (params["tower"] == 0).all():
            return said
        return (*said, "the tower of places has learned nothing: what was shown is fitted by the loss `shown`")
