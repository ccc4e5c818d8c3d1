"""faro: train choice models under fairness constraints and see what each level of fairness costs.

    import faro
    data = faro.load("demo")
    run = faro.frontier(data, "demographic_parity", attribute="dialect")
    model = faro.train(data, "demographic_parity", attribute="dialect", bound=0.05)
    scored = model.score(data.frame)

Constraints live in the package `constraints`; everything here is imported on first use, so `import faro` is quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._moved import MOVED, find_old_names

if TYPE_CHECKING:
    from .api import Schema as Schema
    from .api import Settings as Settings
    from .api import frontier as frontier
    from .api import load as load
    from .api import load_model as load_model
    from .api import train as train
    from .api import tune as tune
    from .integrations.rewards import reward_fn as reward_fn
    from .integrations.sklearn_classifier import ChoiceClassifier as ChoiceClassifier
    from .integrations.sklearn_ranker import PairRanker as PairRanker

__all__ = [
    "ChoiceClassifier",
    "PairRanker",
    "Schema",
    "Settings",
    "__version__",
    "frontier",
    "load",
    "load_model",
    "reward_fn",
    "train",
    "tune",
]

find_old_names()


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("faro-fairness")
    if name == "ChoiceClassifier":
        from .integrations.sklearn_classifier import ChoiceClassifier

        return ChoiceClassifier
    if name == "reward_fn":
        from .integrations.rewards import reward_fn

        return reward_fn
    if name == "PairRanker":
        from .integrations.sklearn_ranker import PairRanker

        return PairRanker
    if name in __all__:
        from . import api

        return getattr(api, name)
    if name in MOVED:
        import importlib

        return importlib.import_module(f"faro.{name}")
    raise AttributeError(f"module 'faro' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
