"""Models that a constraint measures against, or an objective learns from, fitted before everything else: one for every
seed, to its train rows, or to those of one group of choosers (a teacher).

    reward:linear                    of everybody's choices
    reward:linear@politics=left      of those of one group
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import constraints as ct
from constraints import Constraint

from .. import models
from ..data.made import REWARD, Made, is_made
from ..data.views import View
from ..errors import UsageError
from ..losses import Objective
from ..registry import make
from ..store.model import TrainedModel
from ..store.others import Rewards, with_made

Group = tuple[str, str] | None  # attribute of choosers and level; None: everybody
Fit = Callable[[models.Model, Constraint, Group], Sequence[TrainedModel]]  # a model of every seed, without a bound


def with_columns(
    views: Sequence[View], columns: Iterable[str], asked_by: str, model: models.Model, fit: Fit
) -> list[View]:
    """The views, whose codings make the columns that are read and no table has.

    views: of every seed
    columns: names of all that are read
    asked_by: who reads them, in words
    model: that will be trained
    fit: (model, a constraint that every data set has, whose choices) -> the fitted models, one a seed

    `UsageError` for an aggregate that is unknown, or reads earlier choices of a person.
    """
    wanted = [name for name in dict.fromkeys(columns) if name.startswith(REWARD)]
    made: list[dict[str, Made]] = [{} for _ in views]
    for column in wanted:
        name, _, group = column.removeprefix(REWARD).partition("@")
        aggregate = make("model", name)
        if not isinstance(aggregate, models.Model) or aggregate.support:
            raise UsageError(f"{asked_by}: against: {name!r} is no aggregate model")
        attribute, _, level = group.partition("=")
        models_of_seeds = fit(aggregate, everyones_error(), (attribute, level) if group else None)
        fitted = {own.about["seed"]: own for own in models_of_seeds}
        for view, of_seed in zip(views, made, strict=True):
            own = fitted[view.seed]
            if own.coding != view.coding:
                raise UsageError(f"{asked_by}: the aggregate {column} reads other features than the model")
            of_seed[column] = Rewards(own.model, own.params)
    return [
        dataclasses.replace(view, coding=with_made(view.coding, model.support, of_seed))
        for view, of_seed in zip(views, made, strict=True)
    ]


def without_teachers(view: View, constraint: Constraint) -> View:
    """The view without the models that only training reads: what is stored with a model is what its figures need.

    view: of one seed
    constraint: whose columns stay
    """
    read = {ct.UNIT_SHARE, *constraint.columns()}
    made = {name: maker for name, maker in view.coding.made.items() if name in read}
    return dataclasses.replace(view, coding=dataclasses.replace(view.coding, made=made))


def everyones_error() -> Constraint:
    """The error of all people: a constraint that needs no attribute."""
    floor: Any = ct.rate_floor(None, float("inf"))
    return dataclasses.replace(floor, event="chosen", title="error")


def check_stream(constraint: Constraint, objective: Objective) -> None:
    """`UsageError` where a stream cannot make the columns that a constraint or an objective reads."""
    if any(map(is_made, constraint.columns())):
        raise UsageError(f"{constraint.name()}: counts people, and a stream sees a shard at a time; leave out --stream")
    if ct.ANOTHER in constraint.twins():
        raise UsageError(
            f"{constraint.name()}: puts people in each other's place, and a stream sees a shard at a time; leave out "
            "--stream"
        )
    if objective.columns():
        raise UsageError(f"{type(objective).__name__}: learns from other models, which a stream has not; leave it out")
