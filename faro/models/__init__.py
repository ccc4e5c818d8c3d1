"""Reward models: `Linear`, `MLP` and `FlaxModel` (any Flax Linen module, or NNX module by its constructor) score one
alternative at a time from its features and the context; a model of your own only needs two methods of `Model`.

    base        `Model` and what it may read and say: InputSpec, Prediction, LinearHead
    linear      `Linear`: rewards linear in features and context
    networks    `FlaxModel`, `MLP`
    encoder     `EncoderLayers`: the last layers of a text's encoder, and a head
    ensemble    `Ensemble`: a few weighted rewards whose votes are as people's are
    personal    models of people who differ, which read a few earlier choices of each: `MixedLogit`, `PReF` and others
    distributional  `Distributional`: a law of the reward in place of a number
    calibrated  `Calibrated`: another model, its rewards on the scale of probabilities
    position    `PositionTower`: another model, and what the place does at which an answer was shown
    experts     `MMoE`: several objectives by shared experts
    neighbours  `Neighbours`: another model, and what people who answered alike said of the same question
    spo         `SPO`: another model, its rewards as chances to be preferred
    wrapped     what a model around another one leaves to it
    evaluate    the one place where a model is evaluated on choices, under any decision rule
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..runtime import devices
from .base import Dense as Dense
from .base import InputSpec as InputSpec
from .base import LinearHead as LinearHead
from .base import Model as Model
from .base import Prediction as Prediction
from .base import Seen as Seen
from .base import decided as decided
from .base import declared as declared
from .base import initial as initial
from .base import numeric as numeric
from .base import outcome as outcome
from .base import overrides as overrides
from .base import parameter_count as parameter_count
from .base import predict as predict
from .base import reward_pieces as reward_pieces
from .base import rewards as rewards
from .base import twin_predictions as twin_predictions
from .base import twin_rewards as twin_rewards
from .evaluate import evaluate as evaluate
from .linear import PARTS as PARTS
from .linear import Linear as Linear
from .linear import linear_features as linear_features

if TYPE_CHECKING:
    from .calibrated import Calibrated as Calibrated
    from .distributional import Distributional as Distributional
    from .encoder import EncoderLayers as EncoderLayers
    from .ensemble import Ensemble as Ensemble
    from .experts import MMoE as MMoE
    from .neighbours import Neighbours as Neighbours
    from .networks import MLP as MLP
    from .networks import FlaxModel as FlaxModel
    from .networks import features as features
    from .personal.constants import PersonConstants as PersonConstants
    from .personal.gpo import GPO as GPO
    from .personal.ideal_point import IdealPoint as IdealPoint
    from .personal.latent_class import LatentClass as LatentClass
    from .personal.lore import LoRe as LoRe
    from .personal.mixed import MixedLogit as MixedLogit
    from .personal.pebs import PEBS as PEBS
    from .personal.plus import PLUS as PLUS
    from .personal.pref import PReF as PReF
    from .personal.vpl import VPL as VPL
    from .position import PositionTower as PositionTower
    from .spo import SPO as SPO

LATER = {  # imported on first use: flax takes long, and linear models need none
    "MLP": "networks",
    "FlaxModel": "networks",
    "features": "networks",
    "EncoderLayers": "encoder",
    "Calibrated": "calibrated",
    "PositionTower": "position",
    "Distributional": "distributional",
    "Ensemble": "ensemble",
    "MMoE": "experts",
    "Neighbours": "neighbours",
    "SPO": "spo",
    "PersonConstants": "personal.constants",
    "MixedLogit": "personal.mixed",
    "PReF": "personal.pref",
    "LatentClass": "personal.latent_class",
    "LoRe": "personal.lore",
    "VPL": "personal.vpl",
    "GPO": "personal.gpo",
    "IdealPoint": "personal.ideal_point",
    "PEBS": "personal.pebs",
    "PLUS": "personal.plus",
}
ALTERNATIVES_WORTH_OPTIMISING = 2**15  # a program that runs once over fewer is not worth optimising


def __getattr__(name: str) -> Any:
    if name in LATER:
        return getattr(importlib.import_module(f".{LATER[name]}", __name__), name)
    raise AttributeError(f"module 'faro.models' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *LATER})


def options(model: Model, alternatives: int = 2, once: int | None = None) -> dict[str, Any]:
    """How programs of this model are compiled: options of `jax.jit` (`faro.runtime.devices.options`).

    model: that the program is of
    alternatives: K of the choices
    once: over how many choices the program runs, if it runs about once, as then less is worth while; else None
    """
    quick = (model.linear or bool(model.support)) and alternatives == 2
    return devices.options(quick, None if once is None else int(once * alternatives > ALTERNATIVES_WORTH_OPTIMISING))
