"""Which primal player suits: Adam, or second-order steps for a narrow linear model that sees all of train."""

from __future__ import annotations

import dataclasses

import jax

from constraints import Argmax, Constraint

from .. import models
from ..errors import UsageError
from ..losses import Objective
from ..runtime.programs import remembered
from .problem import DEFAULT
from .settings import Settings
from .trial import Data
from .unconstrained import MOST_FEATURES, suits

MOST_SUMS = 3  # numbers that a constraint sums up; with more of them first-order steps carry over better,
CHOICES_PER_SUM = 50_000  # unless there are so many choices for each: then rates are smooth, and half the steps do


def suited(
    model: models.Model,
    settings: Settings,
    constraint: Constraint,
    data: Data,
    objective: Objective = DEFAULT,
    units: int = 0,
) -> Settings:
    """The settings filled for the primal player that suits: second-order steps for a narrow linear model that sees
    all of train at every step, under a constraint of few sums or with many choices for each; else Adam. Only
    shapes are read.

    `UsageError` if sqp is asked for where the model or what it sees does not suit.
    """

    def sums(choices):
        prepared, params = model.prepare(choices), models.initial(model, jax.random.key(0), choices, units)
        hard = models.outcome(model, params, prepared, Argmax(), constraint.twins(), data.people)
        return constraint.proxy_sums(hard, constraint.prepare(prepared))

    n = data.train.shape[0]
    whole = min(settings.batch or n, settings.microbatch or n) >= n and settings.compute == "float32"
    fits = (
        whole and objective.logistic and not model.support and suits(model, jax.eval_shape(model.prepare, data.train))
    )
    if settings.primal == "sqp" and not fits:
        raise UsageError(
            f"primal = sqp: expected a linear model of at most {MOST_FEATURES} features, the loss logit, float32, "
            "and neither batch nor microbatch; leave primal out, or say adam"
        )
    if not fits or settings.primal == "adam":
        return settings.filled("adam", n)
    shapes = constraint, data.train, data.people
    count = remembered(
        ("numbers that are summed up", model, units),
        shapes,
        lambda: sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(sums, data.train))),
    )
    many = count * CHOICES_PER_SUM <= n
    filled = settings.filled("sqp" if many or count <= MOST_SUMS else "adam", n)
    halved = many and filled.second_order and settings.steps is None
    return dataclasses.replace(filled, steps=max(filled.every, filled.steps // 2)) if halved else filled
