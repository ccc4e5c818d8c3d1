"""Bounds that training holds tighter than they are asked, so that they rather hold on new people: a heuristic.

    held = max(bound - t * standard error, bound / 2)
    standard error = max over blocks of sqrt(1 / n_g + 1 / n_h) / 2        of the two smallest groups

n is the effective number of units of a cell in train (`AttainableRange.people`), and 1 / 2 the largest
standard deviation that a decision can have. t is a number, or found by cross-fitting on train: trials at a few bounds
and at every t are trained on half of the units, and the pair of groups that is furthest apart there is measured on the
other half. The least t whose measured gaps are within their bounds on average is taken; what the others came to is told
beside it. Nothing is proved by that: it is a rule of thumb, and what holds with a probability is `gap_at_most` or a
certificate.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from constraints import Choices, Constraint, RateConstraint, Stack, attainable_range, statistics_of_parts

from .. import models
from ..errors import UsageError
from ..runtime.checkpoint import Keeper
from ..training import Data
from ..training.figures import figures
from ..training.trainer import Grid, Trainer, Trials

TRIED = (0.0, 0.5, 1.0, 1.5, 2.0)
BOUNDS = 4  # of a grid, at which they are tried
LEAST = 0.5  # of a bound that is left of it


class Tightened(NamedTuple):
    """How much tighter bounds are held.

    t: standard errors
    errors: `[P]` one of them, of each part of the constraint
    tried: of every t that was tried: how far the gaps of the other half were over their bounds, and the loss there
    """

    t: float
    errors: list[float]
    tried: list[dict[str, float]]

    def said(self) -> dict[str, Any]:
        """As a manifest has it."""
        return {"t": self.t, "standard_errors": self.errors, "tried": self.tried}

    def held(self, constraint: Constraint) -> Constraint:
        """The constraint as training holds it."""
        return held(constraint, self.t, self.errors)


def held(constraint: Constraint, t: float, errors: Sequence[float]) -> Constraint:
    """The constraint with tighter bounds."""
    if isinstance(constraint, Stack):
        counts, members = [len(member.parts()) for member in constraint.members], []
        for member, end in zip(constraint.members, np.cumsum(counts), strict=True):
            members.append(held(member, t, errors[end - len(member.parts()) : end]))
        return dataclasses.replace(constraint, members=tuple(members))
    bound = float(constraint.bound)
    return constraint.at(max(bound - t * errors[0], LEAST * bound)) if np.isfinite(bound) else constraint


def standard_errors(constraint: Constraint, parts_of_seeds: Sequence[Choices]) -> list[float]:
    """`[P]` by group sizes alone, means over seeds; `UsageError` for a constraint that compares no rates."""
    return [float(np.mean([_error(part, choices) for choices in parts_of_seeds])) for part in constraint.parts()]


def _error(part: Constraint, choices: Choices) -> float:
    how = part.compared() if isinstance(part, RateConstraint) else None
    if how is None or not isinstance(part, RateConstraint):
        raise UsageError(f"tighten: {part.name()} compares no rates of groups whose sizes say how sure they are")
    (span,) = attainable_range(part, choices)
    inverse = 1 / np.maximum(span.people, 1).reshape(len(how.blocks), -1)
    return float(np.sqrt(np.sort(inverse, 1)[:, -2 if how.paired else -1 :].sum(1)).max() / 2)


# By cross-fitting -----------------------------------------------------------------------------------------------------


def by_halves(
    trainer_of: Callable[[list[Data]], Trainer],
    model: models.Model,
    constraint: Constraint,
    grid: Grid,
    data: Sequence[Data],
    seeds: Sequence[int],
) -> tuple[float, list[dict[str, float]]]:
    """t, and what became of all that were tried.

    trainer_of: the trainer of such data
    model: that is trained
    constraint: at its lowest bound
    grid: lists the constraints, as asked
    data: of every seed, on the host
    seeds: their numbers
    """
    halves = [half for seed, own in zip(seeds, data, strict=True) for half in _halves(own, seed)]
    fitted_to = [own for own, _ in halves]
    errors = standard_errors(constraint, [own.asked for own in fitted_to])

    asked_at: list[float] = []

    def tried(gap: float) -> list[Constraint]:
        asked = grid(gap)
        some = [asked[place] for place in np.unique(np.linspace(0, len(asked) - 1, BOUNDS).round().astype(int))]
        asked_at[:] = [max(float(part.bound) for part in constraint.parts()) for constraint in some]
        return [held(constraint, t, errors) for t in TRIED for constraint in some]

    repeated = [seed for seed in seeds for _ in range(2)]
    fitted = trainer_of(fitted_to).fit(Trials(repeated, fitted_to, constraint, tried, Keeper(None)))
    over, loss = [], []
    most = max(part.shape[0] for own, other in halves for part in (own.asked, other))
    for place, (own, other) in enumerate(halves):
        params = jax.tree.map(lambda leaf, place=place: jnp.asarray(leaf[place, 1:]), fitted.best.params)
        here, there = (_rates(model, constraint, params, part.pad(most), own.people) for part in (own.asked, other))
        over.append(_apart(constraint, here[0], there[0]))
        loss.append(np.asarray(there[1]))
    shape = len(halves), len(TRIED), len(asked_at)
    beyond = np.mean(np.reshape(over, shape) - np.array(asked_at), (0, 2))
    losses = np.mean(np.reshape(loss, shape), (0, 2))
    found = [
        {"t": t, "over": float(one), "loss": float(other)} for t, one, other in zip(TRIED, beyond, losses, strict=True)
    ]
    return next((one["t"] for one in found if one["over"] <= 0), TRIED[-1]), found


def _halves(data: Data, seed: int) -> list[tuple[Data, Choices]]:
    """Each half of the units of train in the place of train, and the other."""
    units, own = np.unique(np.asarray(data.train.unit), return_inverse=True)
    first = (np.random.default_rng([seed, 2]).permutation(len(units)) % 2 == 0)[own]
    parts = [data.some(np.flatnonzero(rows)) for rows in (first, ~first)]
    return [(mine, other.asked) for mine, other in (parts, parts[::-1])]


def _apart(constraint: Constraint, here: Sequence[Any], there: Sequence[Any]) -> np.ndarray:
    """`[T]` of every trial what is furthest apart `here`, of all parts, as it is `there`; rates are `[T, C]`."""
    found = []
    for part, own, other in zip(constraint.parts(), here, there, strict=True):
        assert isinstance(part, RateConstraint)
        how = part.compared()
        assert how is not None
        shape = (len(own), len(how.blocks), len(how.groups))
        own, other = (np.nan_to_num(np.asarray(rates, float), nan=0.5).reshape(shape) for rates in (own, other))
        high, low = own.argmax(2)[..., None], own.argmin(2)[..., None]
        gaps = [np.take_along_axis(rates, high, 2)[..., 0] for rates in (own, other)]
        if how.paired:
            lower = [np.take_along_axis(rates, low, 2)[..., 0] for rates in (own, other)]
            gaps = [top - bottom for top, bottom in zip(gaps, lower, strict=True)]
        block = gaps[0].argmax(1)[:, None]
        found.append((np.take_along_axis(gaps[0], block, 1)[:, 0], np.take_along_axis(gaps[1], block, 1)[:, 0]))
    widest = np.argmax([own for own, _ in found], 0)
    return np.array([other for _, other in found])[widest, np.arange(len(widest))]


@functools.partial(jax.jit, static_argnums=0)
def _rates(model: models.Model, constraint: Constraint, params: Any, choices: Choices, people: Any) -> Any:
    """Of every trial the rates of all parts, `[T, C]` each, and the loss `[T]`."""

    def of_trial(own: Any) -> Any:
        found = figures(model, constraint, own, choices, people)
        pieces = zip(constraint.parts(), statistics_of_parts(constraint, found.statistics), strict=True)
        return [part.rates(piece) for part, piece in pieces if isinstance(part, RateConstraint)], found.loss

    return jax.lax.map(of_trial, params)
