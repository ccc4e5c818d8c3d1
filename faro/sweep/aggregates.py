"""Models that a constraint measures against, fitted before everything else: one for every seed, to its train rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import constraints as ct
from constraints import Constraint

from .. import models
from ..data.made import REWARD, Made
from ..data.views import View
from ..errors import UsageError
from ..registry import make
from ..store.model import TrainedModel
from ..store.others import Rewards, with_made

Fit = Callable[[models.Model, Constraint], Sequence[TrainedModel]]  # a model of every seed, without a bound


def with_columns(views: Sequence[View], constraint: Constraint, model: models.Model, fit: Fit) -> list[View]:
    """The views, whose codings make the columns that the constraint reads and no table has.

    views: of every seed
    constraint: that names the columns
    model: that will be trained
    fit: (model, a constraint that every data set has) -> the fitted models, one a seed

    `UsageError` for an aggregate that is unknown, or reads earlier choices of a person.
    """
    wanted = [name for name in constraint.columns() if name.startswith(REWARD)]
    made: list[dict[str, Made]] = [{} for _ in views]
    for column in wanted:
        aggregate = make("model", column.removeprefix(REWARD))
        if not isinstance(aggregate, models.Model) or aggregate.support:
            raise UsageError(f"{constraint.name()}: against: {column.removeprefix(REWARD)!r} is no aggregate model")
        fitted = {own.about["seed"]: own for own in fit(aggregate, everyones_error())}
        for view, of_seed in zip(views, made, strict=True):
            own = fitted[view.seed]
            if own.coding != view.coding:
                raise UsageError(f"{constraint.name()}: the aggregate {column} reads other features than the model")
            of_seed[column] = Rewards(own.model, own.params)
    return [
        dataclasses.replace(view, coding=with_made(view.coding, model.support, of_seed))
        for view, of_seed in zip(views, made, strict=True)
    ]


def everyones_error() -> Constraint:
    """The error of all people: a constraint that needs no attribute."""
    floor: Any = ct.rate_floor(None, float("inf"))
    return dataclasses.replace(floor, event="chosen", title="error")


def check_stream(constraint: Constraint) -> None:
    """`UsageError` where a stream cannot make the columns that a constraint reads."""
    made = [name for name in constraint.columns() if name == ct.UNIT_SHARE or name.startswith(REWARD)]
    if made:
        raise UsageError(f"{constraint.name()}: counts people, and a stream sees a shard at a time; leave out --stream")
