"""Models whose parameters are drawn instead of trained, for tests of what comes after training: no game is compiled."""

from __future__ import annotations

from collections import Counter

import jax
import numpy as np
import pytest

from faro import models
from faro.data import Dataset, demo
from faro.lagrangian import KKT
from faro.runtime import devices
from faro.sweep import run
from faro.training import Best, Data, EvaluationRecord, Game
from faro.training.trainer import Fitted, Trials


class Drawn:
    """A trainer that trains nothing: small parameters of every trial, and one evaluation that says nothing."""

    def __init__(self, game: Game):
        self.game, self.traced, self.mesh = game, Counter[str](), devices.mesh(1)

    def total(self, seeds: int, bounds: int) -> int:
        return 1

    def fit(self, trials: Trials) -> Fitted:
        """See `Trainer`. No trial is a candidate: whether a bound is kept is left to who judges."""
        trials.meanwhile()
        constraints = trials.grid(0.5)
        drawn = [
            [self._trial(seed, index, own, trials) for index in range(1 + len(constraints))]
            for seed, own in zip(trials.seeds, trials.data, strict=True)
        ]
        stacked = [jax.tree.map(lambda *leaves: np.stack(leaves), *own) for own in drawn]
        best, trace = jax.tree.map(lambda *leaves: np.stack(leaves), *stacked)
        kept = jax.tree.map(lambda leaf: leaf[:, 1:, None], best.params)  # of a game: its iterates
        return Fitted(constraints, best, jax.tree.map(lambda leaf: leaf[:, :, None], trace)._replace(params=kept))

    def _trial(self, seed: int, index: int, data: Data, trials: Trials) -> tuple[Best, EvaluationRecord]:
        rng = np.random.default_rng([seed, index])
        shapes = jax.eval_shape(
            lambda key: models.initial(self.game.model, key, data.train, self.game.units), jax.random.key(0)
        )
        params = jax.tree.map(lambda leaf: (0.3 * rng.normal(size=leaf.shape)).astype(leaf.dtype), shapes)
        gaps, rows = np.zeros(len(trials.constraint.parts())), np.zeros(len(trials.constraint.labels()))
        one = np.float32(1)
        best = Best(params, np.bool_(False), one, gaps, np.bool_(True), gaps, one)
        return best, EvaluationRecord(one, one, gaps, rows, rows, one * 0, KKT(one, one, one), np.bool_(False))


def draw(patch: pytest.MonkeyPatch) -> None:
    """Where the game would be played in memory, parameters are drawn."""
    patch.setattr(run._Run, "_execution", lambda self, game, *_: (Drawn(game), "drawn"))


def small(people: int = 100) -> Dataset:
    """A small sample of the demo."""
    return Dataset.from_table(demo.generate(people, seed=3), demo.SCHEMA, name="small", defaults=demo.DEFAULTS)
