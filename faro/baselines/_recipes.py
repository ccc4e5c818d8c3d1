"""Baselines that train: one program for a grid of recipes, with the model, data and settings of the run.

    penalty       mean loss + penalty * gap of the soft decisions: a fixed price in place of the dual player
    reweight      mean loss under the weights of Kamiran and Calders; 0 leaves the weights as they are
    ascent        sum_g q_g loss_g,   q_g <- q_g exp(ascent * loss_g) / sum: group DRO; 0 is the mean loss
                  (Sagawa et al. ICLR 2020, Algorithm 1)

All three zero is the unconstrained member of the sweep: the same initialisation, steps and rate. Each recipe returns
the look with few ties that is best at what the recipe minimises: the loss on the selection part (reweighted; the worst
group's for group DRO), plus penalty * hard train gap.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from constraints import Choices, Constraint, Hard, Soft, Statistics, read

from .. import metrics, models
from ..runtime import devices
from ..sweep import CACHE
from ..training import Data, Game, outcome
from ..training.settings import Settings
from ._groups import belongs, grouping, labels, reweighting


class Recipe(NamedTuple):
    """What a baseline minimises; scalars, or `[R]` of a grid."""

    penalty: Any = 0.0
    reweight: Any = 0.0
    ascent: Any = 0.0


class _Part(NamedTuple):
    """Choices with what recipes need of them; leaves `[n, ...]`."""

    choices: Choices
    factor: Array  # [n] of reweighting
    belongs: Array  # [n, C]


class _State(NamedTuple):
    params: Any
    moments: Any
    played: Array
    log_q: Array  # [C]
    key: Array
    kept: Any
    merit: Array


def train(
    model: models.Model,
    settings: Settings,
    constraint: Constraint,
    recipes: Recipe,
    seeds: Any,
    data: Data,
    memory: int | None = None,
) -> Any:
    """Parameters `[S, R, ...]` of a recipe grid `[R]` for seeds `[S]` with their data `[S, ...]`; steps of what is
    trained side by side take about `memory` bytes."""
    return _program(model, settings.filled(), memory or devices.memory())(constraint, recipes, seeds, data)


@functools.lru_cache(maxsize=16)
def _program(model: models.Model, settings: Settings, memory: int) -> Any:
    return jax.jit(
        functools.partial(_train, model, settings, memory),
        compiler_options=models.options(model),
    )


def _train(
    model: models.Model, s: Settings, memory: int, constraint: Constraint, recipes: Recipe, seeds: Array, data: Data
) -> Any:
    who = grouping(constraint)

    def part(choices: Choices, of: Choices) -> _Part:
        if who is None:
            n = choices.shape[0]
            return _Part(model.prepare(choices), jnp.ones(n), jnp.ones((n, 1)))
        return _Part(model.prepare(choices), reweighting(who, labels(who, of), choices), belongs(who, choices))

    def losses(params, own: _Part, recipe: Recipe, weight: Array, mass: Array) -> tuple[Array, Array, Array]:
        """Rewards; mean loss under the recipe's weights; mean loss of every cell `[C]`."""
        rewards = models.rewards(model, params, own.choices)
        each = metrics.log_losses(rewards, own.choices)
        scale = weight / jnp.sum(own.choices.weight)  # a minibatch stands for all
        used = own.choices.weight * own.factor**recipe.reweight
        groups = scale * (own.choices.weight * each) @ own.belongs / jnp.where(mass > 0, mass, 1)
        return rewards, jnp.sum(used * each) / jnp.sum(used), groups

    def of_seed(seed: Array, own: Data) -> Any:
        init_key, key = jax.random.split(jax.random.key(seed))
        params = model.init(init_key, own.train)
        whole, selection = part(own.train, own.train), part(own.selection, own.train)
        rows = constraint.prepare(whole.choices)
        masses, weight = constraint.masses(rows), jnp.sum(whole.choices.weight)
        mass = whole.choices.weight @ whole.belongs
        chosen_by = selection.choices.weight @ selection.belongs
        n = own.train.shape[0]
        batch = min(s.batch or n, n)
        adam = optax.adam(optax.cosine_decay_schedule(s.learning_rate, s.steps, alpha=0.1))

        def objective(params, state: _State, recipe: Recipe, seen: _Part, seen_rows: Any):
            rewards, mean, groups = losses(params, seen, recipe, weight, mass)
            log_q = jax.lax.stop_gradient(
                jax.nn.log_softmax(jnp.where(mass > 0, state.log_q + recipe.ascent * groups, -jnp.inf))
            )
            worst = jnp.sum(jnp.where(mass > 0, jnp.exp(log_q) * groups, 0))
            temperature = s.temperature_start * (s.temperature / s.temperature_start) ** jnp.minimum(
                state.played / s.steps, 1
            )
            twins = models.twin_rewards(model, params, seen.choices, constraint.twins())
            soft = read(Soft(temperature=temperature), rewards, seen.choices, twins)
            sums = jax.tree.map(lambda leaf: leaf * n / batch, constraint.proxy_sums(soft, seen_rows))
            gap = jnp.sum(constraint.gap(Statistics(sums, masses)))
            decay = s.weight_decay / 2 * optax.tree.vdot(params, params)
            return jnp.where(recipe.ascent > 0, worst, mean) + recipe.penalty * gap + decay, log_q

        def merit(params, recipe: Recipe) -> Array:
            hard = outcome(model, params, whole.choices, Hard(), constraint.twins())
            gap = jnp.sum(constraint.gap(Statistics(constraint.sums(hard, rows), masses)))
            few = metrics.ties(hard.rewards, whole.choices) <= s.max_ties
            _, mean, groups = losses(params, selection, recipe, jnp.sum(selection.choices.weight), chosen_by)
            worst = jnp.max(jnp.where(chosen_by > 0, groups, -jnp.inf))
            found = jnp.where(recipe.ascent > 0, worst, mean) + recipe.penalty * gap
            return jnp.where(few & jnp.isfinite(found), found, jnp.inf)

        def of_recipe(recipe: Recipe) -> Any:
            def look(state: _State) -> _State:
                now = merit(state.params, recipe)
                better = now < state.merit
                kept = jax.tree.map(lambda new, old: jnp.where(better, new, old), state.params, state.kept)
                return state._replace(kept=kept, merit=jnp.where(better, now, state.merit))

            def step(state: _State, index: Array | None) -> tuple[_State, None]:
                pick = (whole, rows) if index is None else jax.tree.map(lambda leaf: leaf[index], (whole, rows))
                gradient, log_q = jax.grad(objective, has_aux=True)(state.params, state, recipe, *pick)
                change, moments = adam.update(gradient, state.moments, state.params)
                params = optax.apply_updates(state.params, change)
                return state._replace(params=params, moments=moments, played=state.played + 1, log_q=log_q), None

            def round_(state: _State, _: None) -> tuple[_State, None]:
                state = look(state)
                steps_key, key = jax.random.split(state.key)
                index = None if batch >= n else _shuffled(steps_key, n, s.every, batch)
                state, _ = jax.lax.scan(step, state._replace(key=key), index, length=s.every)
                return state, None

            start = _State(
                params, adam.init(params), jnp.zeros((), int), jnp.zeros(len(mass)), key, params, jnp.asarray(jnp.inf)
            )
            return jax.lax.scan(round_, start, length=s.rounds)[0].kept

        return jax.lax.map(of_recipe, recipes, batch_size=at_once)

    everybody, at_once = _at_once(model, s, memory, recipes, data)
    if everybody:
        return jax.vmap(of_seed)(seeds, data)
    return jax.lax.map(lambda own: of_seed(*own), (seeds, data))


def _at_once(model: models.Model, s: Settings, memory: int, recipes: Recipe, data: Data) -> tuple[bool, int]:
    """Whether all seeds are trained side by side, and how many recipes of each, as in a sweep; one always is."""
    seeds, grid = data.train.weight.shape[0], recipes.penalty.shape[0]
    train = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), data.train)
    params = jax.eval_shape(lambda own: model.init(jax.random.key(0), own), train)
    whole = Game(model, dataclasses.replace(s, batch=None, microbatch=None))  # looks see all of train
    one = whole.footprint(params, train)
    if not isinstance(model, models.Linear) and jax.default_backend() == "cpu":
        memory = min(memory, max(one, CACHE))
    return seeds * grid * one <= memory, max(1, min(grid, memory // one))


def _shuffled(key: Array, n: int, steps: int, batch: int) -> Array:
    """Row indices `[steps, batch]`, each pass over the data in a fresh order."""
    passes = -(-steps * batch // n)
    order = jax.vmap(lambda own: jax.random.permutation(own, n))(jax.random.split(key, passes)).ravel()
    return order[: steps * batch].reshape(steps, batch)
