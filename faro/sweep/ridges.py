"""The ridge of every seed, before its trials: one for all of its bounds, chosen without its dev people.

folds       a linear model whose optimum is found at once: by folds over units of train and selection
selection   another model in memory: trained without a constraint at each of a few ridges, by the selection loss, and at
            the best of them once more for each narrower width that the model leaves open
settings    they say it
nothing     a stream, and a table in several files, have what the settings say or leave at a default

What the settings say of the three, the weight decay, how much products are punished, and the width, is the only
candidate.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from constraints import Choices, Constraint

from .. import models
from ..runtime.checkpoint import Keeper
from ..training import Data, Game, Settings
from ..training import ridge as ridges
from ..training.ridge import Ridge
from .execution import stack


class Chosen(NamedTuple):
    """The ridges of all seeds.

    ridges: of every seed
    how: "folds", "selection", "settings" or "nothing"
    """

    ridges: list[Ridge]
    how: str


def has_products(model: models.Model, choices: Choices) -> bool:
    """Whether the model has parameters of products of features and context on such choices; only shapes are read."""
    if choices.context is None or not models.overrides(model, "shares"):
        return False
    params = jax.eval_shape(lambda own: models.initial(model, jax.random.key(0), own), choices)
    return jax.tree.leaves(model.shares(params, 1.0)) != jax.tree.leaves(model.shares(params, 2.0))


def choose(
    game: Game, constraint: Constraint, data: Sequence[Data], seeds: Sequence[int], units: Sequence[Any], keeper: Keeper
) -> Chosen:
    """The ridge of every seed.

    game: that will be played
    constraint: whose columns the data have
    data: of every seed, on the host
    seeds: their numbers
    units: of every seed the name of the unit of every row, those of selection after those of train
    keeper: keeps what is chosen
    """
    decay, interactions = game.settings.weight_decay, game.settings.interactions
    products: tuple[float, ...] = (1.0,)
    if interactions is not None:
        products = (interactions,)
    elif has_products(game.model, data[0].train):
        products = ridges.PRODUCTS
    width, *narrower = game.model.widths_offered if game.settings.width is None else (game.settings.width,)
    if decay is not None and len(products) == 1 and not narrower:
        return Chosen([Ridge(decay, products[0], game.settings.width)] * len(data), "settings")
    if game.direct(data[0]):
        path = ridges.PATH if decay is None else (decay,)
        return Chosen(_by_folds(game.model, data, units, path, products), "folds")
    widest = width if narrower else game.settings.width
    decays = ridges.FEW if decay is None else (decay,)
    candidates = [Ridge(one, share, widest) for one in decays for share in products]
    return Chosen(_by_selection(game, constraint, data, seeds, candidates, narrower, keeper), "selection")


def unchosen(settings: Settings, seeds: int) -> Chosen:
    """What the settings say of the ridge, for so many seeds; what they leave open is left at its default."""
    return Chosen([Ridge.unchosen(settings)] * seeds, "nothing" if settings.weight_decay is None else "settings")


def _by_folds(
    model: models.Model, data: Sequence[Data], units: Sequence[Any], path: Sequence[float], products: Sequence[float]
) -> list[Ridge]:
    size = jax.eval_shape(lambda own: models.initial(model, jax.random.key(0), own), data[0].train)
    weights = sum(leaf.size for leaf in jax.tree.leaves(size))
    found = []
    for own, names in zip(data, units, strict=True):
        folds = ridges.fold_rows(names, weights).ravel()
        plain = [part.replace(twins={}) for part in (own.train, own.selection)]
        sample = jax.tree.map(lambda *parts: np.concatenate(parts), *plain).take(np.maximum(folds, 0))
        sample = sample.replace(weight=np.where(folds >= 0, sample.weight, 0).astype(np.float32))
        scale = len(names) / np.count_nonzero(folds >= 0)
        found.append(ridges.chosen(model, sample, path, products, scale))
    return found


def _by_selection(
    game: Game,
    constraint: Constraint,
    data: Sequence[Data],
    seeds: Sequence[int],
    candidates: list[Ridge],
    widths: Sequence[float],
    keeper: Keeper,
) -> list[Ridge]:
    """The candidate of least selection loss for every seed, then the best of the other widths at that; a seed after
    another, each candidate after another, so that memory is that of one trial. Of several processes each does it."""
    together = stack(list(data), game.settings.microbatch or 1)
    program, found = _program(game), []
    for place, seed in enumerate(seeds):
        own = jax.tree.map(lambda leaf, place=place: jnp.asarray(leaf[place]), together)

        def least(name: str, tried: list[Ridge], seed: int = seed, own: Data = own) -> tuple[float, Ridge]:
            rows = jax.tree.map(lambda *values: jnp.asarray(values, jnp.float32), *tried)
            arguments = constraint.at(float("inf")), rows, jnp.asarray(seed), own
            merit = keeper.once(f"seed{seed}.{name}", program, arguments)
            merits = np.where(np.isfinite(merit), merit, np.inf)
            return float(merits.min()), tried[int(np.argmin(merits))]

        merit, best = least("ridge", candidates)
        narrower = [best._replace(width=width) for width in widths]
        if narrower and (other := least("width", narrower))[0] < merit:
            best = other[1]
        found.append(best)
    return found


@functools.lru_cache(maxsize=16)
def _program(game: Game) -> Any:
    return jax.jit(functools.partial(_merits, game), compiler_options=models.options(game.model))


def _merits(game: Game, constraint: Constraint, candidates: Ridge, seed: Array, data: Data) -> Array:
    """The least selection loss `[candidates]` on the way of an unconstrained training."""

    def of_candidate(ridge: Ridge) -> Array:
        begun, _ = game.start(jax.random.key(seed), constraint, data._replace(ridge=ridge), game.settings.evaluations)
        return begun.best.merit

    return jax.lax.map(of_candidate, candidates)
