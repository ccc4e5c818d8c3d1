"""Rewards of a trained model on a table, in float64: of its components, of twins, and of the other models that its
constraint reads."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

import constraints as ct
from constraints.alternatives import joined

from .. import models
from ..data import Dataset
from ..data.slices import Slices
from ..data.support import support_sets
from ..errors import DataError
from ..models.evaluate import BLOCK
from . import others

if TYPE_CHECKING:
    from .model import TrainedModel

Rewards = tuple[np.ndarray, dict[str, np.ndarray]]  # of the choices, and by attribute of their twins


def drawn_rewards(trained: TrainedModel, data: Dataset, twins: Sequence[str]) -> Rewards:
    """Rewards, and `[n, K, L]` of twins, of the component that is drawn for each choice."""
    rewards, moved = component_rewards(trained, data, twins)
    drawn = np.zeros(data.n, int) if trained.draw is None else trained.draw.components(data)
    every = np.arange(data.n)
    return rewards[drawn, every], {name: values[drawn, every] for name, values in moved.items()}


def component_rewards(trained: TrainedModel, data: Dataset, twins: Sequence[str]) -> Rewards:
    """Rewards of every component, `[A, n, K]`, and of twins, `[A, n, K, L]`; NaN where the design supports none."""
    trained.coding.check_known(data.parsed.items, data.parsed.context)
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), trained.params)
        if trained.draw is None:
            params = jax.tree.map(lambda leaf: leaf[None], params)
        people = support_sets(data, trained.coding, trained.support, np.float64)
        options = {"twins": tuple(twins), "dtype": np.float64}
        slices = []
        for choices in Slices.of([(data, np.arange(data.n))], trained.coding, options, BLOCK):
            valid_here = {name: choices.twins[name].valid for name in twins}
            of_slice = _rewards(trained.model, params, choices, people, tuple(twins))
            slices.append((jax.tree.map(np.asarray, of_slice), valid_here))
    of_slices, valid_in_slices = zip(*slices, strict=True)
    rewards, moved = jax.tree.map(lambda *some: np.concatenate(some, 1)[:, : data.n], *of_slices)
    valid = jax.tree.map(lambda *some: np.concatenate(some)[: data.n], *valid_in_slices)
    available = data.parsed.available
    available_rewards = np.where(available, rewards, np.nan)
    twin_rewards = {name: np.where(valid[name], moved[name], np.nan) for name in twins}
    endless = [~np.isfinite(available_rewards) & available]
    endless += [(~np.isfinite(level_rewards) & valid[name]).any(-1) for name, level_rewards in twin_rewards.items()]
    if any(map(np.any, endless)):
        choice = data.choice_ids[int(np.argmax(np.logical_or.reduce(endless).any((0, 2))))]
        raise DataError(
            f"{data.name}: choice {str(choice)[:40]}: its reward is no finite number; are its features too large "
            "for this model, or is the model one that DIVERGED?"
        )
    return available_rewards, twin_rewards


def other_rewards(trained: TrainedModel, data: Dataset) -> dict[str, np.ndarray]:
    """Column -> `[n, K]` rewards in float64 of the models that its constraint reads."""
    names = tuple(others.others(trained.coding))
    if not names:
        return {}
    with jax.enable_x64(True):
        options = {"columns": names, "dtype": np.float64}
        slices = Slices.of([(data, np.arange(data.n))], trained.coding, options, BLOCK)
        read = [choices.columns for choices in slices]
    return {name: np.concatenate([columns[name] for columns in read])[: data.n] for name in names}


def has_probabilities(trained: TrainedModel, data: Dataset) -> bool:
    """Whether its choice probabilities are other than the conditional logit of its rewards."""
    one = jax.tree.map(lambda leaf: np.asarray(leaf)[0], trained.params) if trained.draw else trained.params
    some, people = (
        data.choices(trained.coding, np.arange(1)),
        support_sets(data, trained.coding, trained.support, np.float32),
    )
    said = jax.eval_shape(
        lambda params, some, people: models.predict(trained.model, params, some, people=people), one, some, people
    )
    return said.log_probs is not None


@functools.partial(jax.jit, static_argnames=("model", "twins"))
def _rewards(model: models.Model, params: Any, choices: ct.Choices, people: Any, twins: tuple[str, ...]) -> Any:
    def of_slice(component: Any, seen: models.Seen, outcome: ct.Outcome, some: ct.Choices, rows: Any) -> Any:
        scores = joined(seen.scores)
        out = jnp.sum(jnp.where(some.outside & some.available, scores, 0), -1, keepdims=True)  # 0 by convention
        shifted = scores if seen.log_probs is None else jnp.where(some.outside, 0, scores - out)
        if seen.log_probs is None:
            return shifted, {name: twin.rewards for name, twin in outcome.twins.items()}
        said = models.twin_predictions(model, component, some, twins, people=people)
        return shifted, {name: _as_rewards(twin.scores, shifted, some) for name, twin in said.items()}

    def of_component(component: Any) -> Any:
        read = functools.partial(of_slice, component)
        return models.evaluate(model, component, choices, each=read, twins=twins, people=people)[1]

    return jax.lax.map(of_component, params)


def _as_rewards(scores: Any, rewards: Any, choices: ct.Choices) -> Any:
    """Rewards `[n, K, L]` of the twins of a model with probabilities of its own: those by which each is decided.

    Of a chooser's attribute the log probabilities at each level, as `rewards` are those of the choice as it is. Of an
    alternative's, in whose world it alone is set, by as much above the best of the others as its log probability is:

        reward_k,l = log P_k,l(k) - max_j log P_k,l(j) + max_j reward_j        j: the other alternatives

    so it wins, ties or loses among the others as they are just as in its world (a tie of three or more may be shared
    by another count); of pairs probabilities are kept too.

    scores: log probabilities, see `models.TwinPrediction`
    rewards: `[n, K]` of the choices as they are
    choices: those n choices
    """
    there = choices.available
    if scores.ndim == 3:
        out = jnp.sum(jnp.where((choices.outside & there)[..., None], scores, 0), 1, keepdims=True)
        return jnp.where(choices.outside[..., None], 0, scores - out)
    others = there[:, None] & ~jnp.eye(there.shape[1], dtype=bool)  # [n, K, K]
    rival = jnp.max(jnp.where(others[..., None], scores, -jnp.inf), 2)
    beside = jnp.max(jnp.where(others, rewards[:, None], -jnp.inf), -1)[..., None]
    own = jnp.diagonal(scores, axis1=1, axis2=2).swapaxes(1, 2)
    return jnp.where(jnp.isfinite(rival), own - rival + beside, rewards[..., None])
