"""Baselines that train: other objectives, without multipliers, by the trainer, model, data and settings of the run."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
from jax import Array

from constraints import Constraint

from .. import models
from ..losses import Objective
from ..runtime import devices
from ..sweep.batched import near
from ..training import Data, Game
from ..training.settings import Settings


def train(
    model: models.Model,
    settings: Settings,
    constraint: Constraint,
    objectives: Objective,
    seeds: Any,
    data: Data,
    memory: int | None = None,
) -> Any:
    """Parameters `[S, R, ...]` that `Game.start` finds for a grid of objectives, without a bound.

    model, settings: those of the run
    constraint: whose twins and columns the data have
    objectives: one, with leaves `[R]`
    seeds: `[S]`
    data: of every seed, leaves `[S, ...]`
    memory: bytes that the steps of what is trained side by side may take, about
    """
    settings = dataclasses.replace(settings, primal="adam").filled(rows=data.train.weight.shape[1])  # of first order
    return _program(model, settings, memory or devices.memory())(constraint, objectives, seeds, data)


@functools.lru_cache(maxsize=16)
def _program(model: models.Model, settings: Settings, memory: int) -> Any:
    return jax.jit(functools.partial(_train, model, settings, memory), compiler_options=models.options(model))


def _train(
    model: models.Model,
    settings: Settings,
    memory: int,
    constraint: Constraint,
    objectives: Objective,
    seeds: Array,
    data: Data,
) -> Any:
    all_seeds, at_once = _at_once(model, settings, memory, len(jax.tree.leaves(objectives)[0]), data)

    def of_seed(seed: Array, seed_data: Data) -> Any:
        def of_objective(objective: Objective) -> Any:
            game = Game(model, settings, objective=objective)
            return game.start(jax.random.key(seed), constraint, seed_data, settings.evaluations)[0].best.params

        return jax.lax.map(of_objective, objectives, batch_size=at_once)

    if all_seeds:
        return jax.vmap(of_seed)(seeds, data)
    return jax.lax.map(lambda seed_and_data: of_seed(*seed_and_data), (seeds, data))


def _at_once(model: models.Model, settings: Settings, memory: int, grid: int, data: Data) -> tuple[bool, int]:
    """Whether all seeds are trained side by side, and how many objectives of each, as in a sweep; one always is."""
    seeds = data.train.weight.shape[0]
    train, people = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), (data.train, data.people)
    )
    params = jax.eval_shape(lambda choices: models.initial(model, jax.random.key(0), choices), train)
    whole = Game(model, dataclasses.replace(settings, batch=None, microbatch=None))  # evaluations see all of train
    one = whole.problem.footprint(params, train, people=people)
    memory = near(model, one, memory)
    return seeds * grid * one <= memory, max(1, min(grid, memory // one))
