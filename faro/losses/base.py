"""A loss: how badly a prediction fits a choice."""

from __future__ import annotations

import abc
import dataclasses
from typing import TYPE_CHECKING, ClassVar, dataclass_transform

from jax import Array

from constraints import Choices, record, static

if TYPE_CHECKING:
    from ..models import Seen


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(static, dataclasses.field))
@dataclasses.dataclass(frozen=True, kw_only=True)
class Loss(abc.ABC):
    """A number per choice, differentiable in what the model says: how badly that fits what was chosen.

    A subclass gives `per_choice`. It becomes a frozen dataclass and a pytree by itself, whose numbers are leaves; never
    validate values in a constructor, as tracers pass through it.
    """

    logistic: ClassVar[bool] = False  # the conditional logit itself, whose optimum and curvature are known

    def __init_subclass__(cls) -> None:
        record(cls)

    @abc.abstractmethod
    def per_choice(self, seen: Seen, choices: Choices) -> Array:
        """The loss of every choice, `[n]`, in nats or whatever its unit is.

        seen: what the model says (`faro.models.Seen`): `scores` as pieces `[k, n]` (`constraints.alternatives`), and
            its `extra`
        choices: n choices; `chosen [n, K]` is a distribution, `available [n, K]`
        """

    def name(self) -> str:
        """What it is called in tables."""
        return type(self).__name__.lower()
