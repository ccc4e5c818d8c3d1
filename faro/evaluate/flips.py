"""How often a model decides otherwise when an attribute, and nothing else, is set to another level: by the twins.

    mean |decision - decision when set to l|    over alternatives whose twins are all valid, and over the other levels l

as `constraints.counterfactual_flip` has it, of all levels together.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import constraints as ct
from faro.data import Dataset
from faro.store.model import TrainedModel


def of(data: Dataset) -> tuple[str, ...]:
    """The attributes whose twins are there.

    data: that is looked at
    """
    brought = {name: {*levels[0].names} for name, levels in data.parsed.twins.items()}
    twins = data.schema.twins
    return tuple(twin.attribute for twin in twins if {*twin.features} <= brought.get(twin.attribute, set()))


def sums(
    model: TrainedModel, data: Dataset, name: str, rewards: np.ndarray, rule: ct.DecisionRule | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(`[n]` sums of differences of a choice, `[n]` how many they are).

    model: a trained model
    data: that has the twins
    name: of the attribute
    rewards: `[n, K]` of the model
    rule: from rewards to decisions; None: argmax
    """
    log_ref = None if data.parsed.log_ref is None else np.asarray(data.parsed.log_ref)
    decide = functools.partial(_decided, rule or ct.Argmax(), log_ref)
    moved, own = model.twin_rewards(data, name), data.parsed.attributes[name]
    available, valid = data.parsed.available, np.isfinite(moved).all(-1)
    decisions = decide(np.nan_to_num(rewards), available)
    total, mass = np.zeros(data.n), np.zeros(data.n)
    for level in range(moved.shape[-1]):
        counted = valid & (own != level)
        set_so = np.nan_to_num(moved[..., level])
        at_level = _decided_at(decide, set_so, rewards, available, data.attributes[name].chooser)
        total += (np.abs(at_level - decisions) * counted).sum(1)
        mass += counted.sum(1)
    return total, mass


def _decided_at(
    decide: Callable[..., np.ndarray], moved: np.ndarray, rewards: np.ndarray, available: np.ndarray, chooser: bool
) -> np.ndarray:
    """`[n, K]` decisions: a chooser's level sets all alternatives at once, an alternative's that one alone."""
    if chooser:
        return decide(moved, available)
    decisions = np.zeros(moved.shape)
    for place in range(moved.shape[1]):
        alone = np.nan_to_num(rewards)
        alone[:, place] = moved[:, place]
        decisions[:, place] = decide(alone, available)[:, place]
    return decisions


def _decided(rule: ct.DecisionRule, log_ref: Any, rewards: Any, available: Any) -> np.ndarray:
    with jax.enable_x64(True):
        logs: Any = np.zeros(rewards.shape) if log_ref is None else log_ref
        return np.asarray(rule.decide(rewards, available, logs))
