"""Loss, ties and statistics of a model on choices, in the precision it is given: what candidates are compared by."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from constraints import Choices, Constraint, Statistics

from .. import metrics, models


class Figures(NamedTuple):
    """Mean log-loss in nats, share of ties in [0, 1], and the constraint's statistics of hard decisions, if any."""

    loss: Array
    ties: Array
    statistics: Any


def figures(
    model: models.Model, constraint: Constraint | None, params: Any, choices: Choices, people: Any = None
) -> Figures:
    """The figures of a model on all of these choices, evaluated in slices (`models.evaluate`)."""

    def sums(seen, hard, slice_choices, rows):
        loss = metrics.weighted(metrics.log_losses(seen.scores, slice_choices), slice_choices)
        ties = metrics.weighted(metrics.tied(seen.scores, slice_choices), slice_choices)
        return loss, ties, () if constraint is None else constraint.statistics(hard, slice_choices)

    twins = () if constraint is None else constraint.twins()
    (loss, ties, statistics), _ = models.evaluate(model, params, choices, sums=sums, twins=twins, people=people)
    weight = jnp.sum(choices.weight)
    return Figures(loss / weight, ties / weight, statistics if constraint is None else Statistics(*statistics))
