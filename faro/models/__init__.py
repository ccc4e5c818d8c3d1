"""Reward models: `Linear`, `MLP` and `FlaxModel` (any Flax Linen module, or NNX module by its constructor) score one
alternative at a time from its features and the context; a model of your own only needs two methods of `Model`.
"""

from __future__ import annotations

from typing import Any

from ..runtime import devices
from .base import Model as Model
from .base import reward_pieces as reward_pieces
from .base import rewards as rewards
from .base import twin_rewards as twin_rewards
from .linear import Linear as Linear
from .linear import linear_features as linear_features
from .networks import MLP as MLP
from .networks import FlaxModel as FlaxModel
from .networks import features as features

FEW = 2**15  # alternatives over which a program that runs once is not worth optimising
BUILT_IN: dict[str, type[Model]] = {"linear": Linear, "mlp": MLP}


def options(model: Model, alternatives: int = 2, once: int | None = None) -> dict[str, Any]:
    """How programs of this model are compiled, for choices among so many `alternatives`; `once` is over how many
    choices the program runs, if it runs about once: then less is worth while (`faro.runtime.devices.options`)."""
    quick = isinstance(model, Linear) and alternatives == 2
    return devices.options(quick, None if once is None else int(once * alternatives > FEW))
