"""Candidates that agree or disagree with what people stated, whose tastes for that are known."""

from __future__ import annotations

import numpy as np
import pandas as pd

from faro.transfer.views import Served, Views


def echoed(
    seed: int, people: int = 60, items: int = 40, size: int = 8, spread: float = 1.0
) -> tuple[Views, Served, Served]:
    """Views, and what a personal and a common reward decide: quality + .5 [true] + taste [agrees].

    seed: of all that is drawn
    people, items, size: how many people, choices of each, candidates of a choice
    spread: deviation of tastes around .3
    """
    rng = np.random.default_rng([20, 26, seed])
    taste = rng.normal(0.3, spread, people)
    truth, side = rng.choice([-1, 1], (people, items, 1)), rng.choice([-1, 1], (people, items, size))
    view = np.where(rng.random((people, items, 1)) < 0.6, truth, -truth)
    agrees, true = ((side == of).reshape(-1, size) for of in (view, truth))
    base = rng.standard_normal(agrees.shape) + 0.5 * true
    unit = np.repeat(np.arange(people), items)

    def by(of: np.ndarray) -> Served:
        rewards = base + of[:, None] * agrees
        return Served(np.eye(size)[rewards.argmax(1)], rewards)

    views = Views(
        unit=unit, there=np.ones(agrees.shape, bool), agrees=agrees, right=(view == truth).ravel().astype(int),
        truth=true, taste=taste, viewpoint=(side.reshape(-1, size) + 1) // 2, viewpoints=("con", "pro"),
    )  # fmt: skip
    return views, by(taste[unit]), by(np.full(len(unit), taste.mean()))


def table(views: Views, served: Served) -> pd.DataFrame:
    """The same as a scored table."""
    assert views.truth is not None and served.rewards is not None
    n, size = views.there.shape
    return pd.DataFrame(
        {
            "unit": np.repeat([f"p{unit}" for unit in views.unit], size),
            "choice": np.repeat(np.arange(n), size),
            "alternative": np.tile(np.arange(size), n),
            "agrees": np.where(views.agrees.ravel(), "yes", "no"),
            "true": np.where(views.truth.ravel(), "yes", "no"),
            "reward": served.rewards.ravel(),
            "decision": served.decisions.ravel(),
        }
    )
