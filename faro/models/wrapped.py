"""A model around another one: what it does not say itself, the other one says."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from constraints import Choices

from .base import Model


class Wrapped(Model):
    """A dataclass with a field `model`, whose parameters are `{"model": those of that one, ...}`. Its own parameters
    are trained, of nobody alone, and not punished."""

    model: Model

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
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """The attributes that the model reads."""
        return self.model.reads

    @property
    def widths_offered(self) -> tuple[float, ...]:
        return self.model.widths_offered

    def narrowed(self, params: Any, width: Any) -> Any:
        return {**params, "model": self.model.narrowed(params["model"], width)}

    def of_schema(self, schema: Any) -> Model:
        return dataclasses.replace(self, model=self.model.of_schema(schema))  # type: ignore[type-var]

    def prepare(self, choices: Choices) -> Choices:
        return self.model.prepare(choices)

    def penalty(self, params: Any, seen: Any) -> Any:
        return self.model.penalty(params["model"], seen)

    def alarms(self, params: Any, people: Any) -> Any:
        return self.model.alarms(params["model"], people)

    def shares(self, params: Any, interactions: Any) -> Any:
        return {**dict.fromkeys(params, 0.0), "model": self.model.shares(params["model"], interactions)}

    def personal(self, params: Any) -> Any:
        return {**dict.fromkeys(params, False), "model": self.model.personal(params["model"])}

    def trainable(self, params: Any) -> Any:
        return {**dict.fromkeys(params, True), "model": self.model.trainable(params["model"])}


def layers(model: Model) -> Iterator[Model]:
    """The model, the one that it is around, and so on to the one that was trained.

    model: any
    """
    yield model
    if isinstance(model, Wrapped):
        yield from layers(model.model)
