"""Training on one sample in memory, as estimators do it: the game of `faro.train`, without files and parts.

What is returned is judged as everywhere: in float64, from the parameters that are kept.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from constraints import Choices, Constraint
from constraints.alternatives import joined

from .. import metrics, models
from ..errors import UsageError
from ..training import Best, Data, Game, Settings, doubts, primal
from ..training.bounds import status_of
from ..training.notes import fit_for
from ..training.settings import Use

FEWEST = 512  # rows of a padded sample


class Trained(NamedTuple):
    """What came of it: parameters, status on the sample, its hard gaps `[P]` (None: unconstrained), notes on it."""

    params: Any
    status: str
    gap: np.ndarray | None
    notes: list[str]


class Standard(NamedTuple):
    """What features are standardised by: their weighted means and spreads `[d]`, 1 where a feature is constant."""

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, weight: np.ndarray) -> Standard:
        """Of values `[n, d]` with weights `[n]`."""
        mean = np.average(values, axis=0, weights=weight)
        spread = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weight))
        return cls(mean, np.where(spread > 1e-12 * np.abs(mean), spread, 1.0))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return (values - self.mean) / self.scale


def choice_of_two(items: np.ndarray, first: np.ndarray, weight: np.ndarray, **more: Any) -> Choices:
    """A choice of two in every row: features `[n, J, d]`, how much the first was chosen `[n]`, weights `[n]`."""
    n = len(items)
    given: dict[str, Any] = {
        "items": items,
        "available": np.ones((n, 2), bool),
        "chosen": np.stack([first, 1 - first], 1).astype(np.float64),
        "weight": weight,
        "unit": np.arange(n),
        "outside": np.zeros((n, 2), bool),
    }
    return Choices(**given | more)


def padded(choices: Choices, model: models.Model) -> Choices:
    """The choices with rows of weight 0 up to a power of two and, where a model is linear, features that are 0 up to a
    multiple of eight, neither of which changes a result: so few shapes are ever compiled."""
    n, width = choices.shape[0], choices.items.shape[-1]
    spare = -width % 8 if model.linear else 0
    items = np.pad(choices.items, [(0, 0)] * (choices.items.ndim - 1) + [(0, spare)])
    return choices.replace(items=items).pad(max(FEWEST, 1 << (n - 1).bit_length()))


def train(
    model: models.Model, constraint: Constraint, constrained: bool, choices: Choices, settings: Settings, seed: int
) -> Trained:
    """The best candidate on these choices, or where nothing is constrained the optimum; warns unless FEASIBLE.

    `UsageError` for settings that do not apply or a constraint that no model can move, `DataError` if only one group
    has data.
    """
    if model.support:
        raise UsageError(f"model: {type(model).__name__} reads earlier choices of a person, and rows have none")
    n, whole = choices.shape[0], padded(choices, model)
    data = Data(whole, whole)
    game = Game(model, primal.suited(model, settings, constraint, data), n if settings.batch else None)
    settings.check_effect(Use(game.settings, n, products=False))
    key, exact = jax.random.key(seed), not constrained and game.direct(data)
    notes = fit_for(constraint, whole, "X").all if constrained else []
    notes += doubts.said([doubts.Doubts(seed, {}, doubts.exceeding(models.parameter_count(model, choices), n))])
    if not exact:
        single = jax.tree.map(jnp.asarray, whole)
        data = Data(single, single)
    with jax.enable_x64(exact):  # a few steps, so in as many digits as those of scikit-learn
        best = _game(game, constrained)(key, constraint, data)
    params = jax.tree.map(np.asarray, best.params)
    if not constrained:
        return Trained(
            params, "FEASIBLE" if best.candidate else "INFEASIBLE" if best.finite else "DIVERGED", None, notes
        )
    figures = _judged(model, constraint, params, whole)
    status = status_of(figures, [float(part.bound) for part in constraint.parts()], bool(best.finite), game.settings)
    if status != "FEASIBLE":
        bounds = ", ".join(f"{float(part.bound):.4g}" for part in constraint.parts())
        gaps = ", ".join(f"{gap:.4g}" for gap in figures["gap"])
        warnings.warn(
            f"{status}: no iterate within the bound {bounds} on the training sample; gap reached {gaps}",
            ConvergenceWarning,
            stacklevel=4,  # of `fit`
        )
    return Trained(params, status, figures["gap"], notes)


@functools.lru_cache(maxsize=16)
def _game(game: Game, constrained: bool) -> Any:
    return jax.jit(functools.partial(_played, game, constrained), compiler_options=models.options(game.model))


@functools.lru_cache(maxsize=32)
def _once(program: Any, model: models.Model, rows: int) -> Any:
    """A program that runs about once over so many rows, which is compiled accordingly."""
    return jax.jit(functools.partial(program, model), compiler_options=models.options(model, once=rows))


def _played(game: Game, constrained: bool, key: Any, constraint: Constraint, data: Data) -> Best:
    unconstrained, _ = game.start(key, constraint, data, game.settings.evaluations)
    if not constrained:
        return unconstrained.best
    begun = game.warm_start(unconstrained, constraint, data)
    trial, _ = game.advance(begun, constraint, data, game.settings.evaluations)
    return trial.best


def said(model: models.Model, params: Any, choices: Choices) -> tuple[np.ndarray, np.ndarray]:
    """Rewards `[n, K]`, 0 for the outside option, and what decisions are made of (the same, unless a model has
    probabilities of its own), in float64."""
    n, own = choices.shape[0], padded(choices, model)
    with jax.enable_x64(True):
        found = _once(_said, model, own.shape[0])(_double(params), own)
        return np.asarray(found[0])[:n], np.asarray(found[1])[:n]


def _said(model: models.Model, params: Any, choices: Choices) -> Any:
    seen = models.predict(model, params, choices)
    return joined(seen.rewards), joined(seen.scores)


def _judged(model: models.Model, constraint: Constraint, params: Any, choices: Choices) -> dict[str, np.ndarray]:
    """nll, share of ties, and hard gaps of the constraint."""
    with jax.enable_x64(True):
        figures = _once(_figures, model, choices.shape[0])(_double(constraint), _double(params), choices)
        return jax.tree.map(np.asarray, figures)


def _double(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


def _figures(model: models.Model, constraint: Constraint, params: Any, choices: Choices) -> Any:
    def sums(seen: Any, hard: Any, own: Choices, _: Any) -> Any:
        scores = joined(seen.scores)
        each = {"nll": metrics.log_losses(scores, own), "ties": metrics.tied(scores, own)}
        return {name: own.weight @ value for name, value in each.items()}, constraint.statistics(hard, own)

    (added, statistics), _ = models.evaluate(model, params, choices, sums=sums)
    total = choices.weight.sum()
    return {name: value / total for name, value in added.items()} | {"gap": constraint.gap(statistics)}
