"""What is minimised under what: loss, proxy and truth of a model's parameters on choices, as sums.

`Problem` is the one place of training that asks a model; steps, evaluations, the scale of multipliers and streams call
it. How much of the choices it works on at once, and about how many bytes that takes, is said here as well.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from constraints import Choices, Constraint, Statistics

from .. import metrics, models
from ..losses import Mean, Objective, Sight
from ..models.evaluate import made
from .ridge import Ridge
from .settings import Settings
from .sums import Prepared, Tally, summed
from .trial import Data

DEFAULT = Mean()  # the mean of the conditional logit
EVALUATION_BYTES = 2**26  # bytes that an evaluation may take at once, where a step sees a batch
DECISIONS = 6  # arrays `[n, K]` between rewards and sums


@dataclasses.dataclass(frozen=True)
class Problem:
    """A model and an objective under one kind of constraint, as filled settings have them computed. Static;
    `constraint` arguments carry the numbers."""

    model: models.Model
    settings: Settings
    objective: Objective = DEFAULT

    def ridge(self, data: Data) -> Ridge:
        """How strongly parameters are punished: as the data say, else the settings."""
        return data.ridge or Ridge.unchosen(self.settings)

    def prepared(
        self, constraint: Constraint, choices: Choices, data: Data, known: Any = None, questions: Any = None
    ) -> Prepared:
        """What steps and evaluations need of these choices of the data; `known` is what the objective knows of train,
        if that is not all here; `questions` is what they may be told, where that is drawn anew."""
        known = self.objective.known(data.train) if known is None else known
        multiple = self.settings.microbatch or 1
        people, ridge = data.people, self.ridge(data)
        prepared = self.model.prepare(choices)
        return Prepared.of(constraint, prepared, multiple, self.objective, known, people, ridge, questions)

    def tally(
        self,
        params: Any,
        constraint: Constraint,
        prepared: Prepared,
        aim: Any = (),
        temperature: Any = 1.0,
        compute: str = "float32",
        noise: Any = None,
        train: bool = False,
    ) -> Tally:
        """Sums over choices, a microbatch at a time.

        aim: what the objective keeps between steps
        temperature: of the soft decisions, see `Players.temperature`
        compute: precision of the model's own arithmetic
        noise: a key for models that draw; `train`: whether they are told that this is a step
        """

        def of_slice(choices, rows, aims, index=0):
            real, people = choices.weight.dtype, prepared.people
            mine, shown = _cast((params, choices), jnp.bfloat16) if compute == "bfloat16" else (params, choices)
            given = {
                "people": people,
                "train": train,
                "key": None if noise is None else jax.random.fold_in(noise, index),
            }
            said = _cast(models.predict(self.model, mine, shown, **given), real)
            twins = _cast(self._twins(mine, shown, constraint, **given), real)
            second_order = self.settings.second_order
            unit = jax.lax.stop_gradient(metrics.spread(said.scores, choices)) if second_order else 1.0
            truth = self.settings.decides
            rules = truth.softened(unit * temperature), truth
            soft, hard = (models.decided(rule, said, choices, twins) for rule in rules)
            losses = self.objective.loss.per_choice(said, choices)
            sight = Sight(losses, soft, hard) if self.objective.outcomes else Sight(losses)
            penalty = self.model.penalty(mine, said)
            return Tally(
                loss=self.objective.sums(aim, sight, choices, aims),
                ties=metrics.weighted(metrics.tied(said.scores, choices), choices),
                soft=constraint.proxy_sums(soft, rows),
                hard=constraint.sums(hard, rows),
                penalty=() if isinstance(penalty, float) else penalty * jnp.sum(choices.weight),
            )

        return summed(of_slice, (prepared.choices, prepared.rows, prepared.aims), self.at_once(params, prepared))

    def objective_statistics(self, params: Any, constraint: Constraint, prepared: Prepared, aim: Any) -> Statistics:
        """What the objective is on these choices, outside of steps."""

        def of_slice(choices, aims, index=0):
            seen = models.predict(self.model, params, choices, people=prepared.people)
            losses = self.objective.loss.per_choice(seen, choices)
            sight = Sight(losses)
            if self.objective.outcomes:
                twins = self._twins(params, choices, constraint, people=prepared.people)
                rules = self.settings.decides.softened(1.0), self.settings.decides
                sight = Sight(losses, *(models.decided(rule, seen, choices, twins) for rule in rules))
            return self.objective.sums(aim, sight, choices, aims)

        size = prepared.choices.shape[0] if self.settings.microbatch else self.at_once(params, prepared)
        return Statistics(summed(of_slice, (prepared.choices, prepared.aims), size), prepared.totals.aim)

    def _twins(self, params: Any, choices: Choices, constraint: Constraint, **given: Any) -> Any:
        return models.twin_predictions(self.model, params, choices, constraint.twins(), **given)

    def at_once(self, params: Any, prepared: Prepared) -> int:
        """How many of these choices are worked on at once: all that a step sees; in evaluations of many batches no more
        than two of them, which take as much as the way there and back of one, unless they are small."""
        n, batch = prepared.choices.shape[0], self.settings.batch or prepared.choices.shape[0]
        if self.settings.microbatch or n <= batch:
            return self.settings.microbatch or n
        few = jax.eval_shape(lambda choices: choices.take(slice(0, batch)), prepared.choices)
        one = made(self.model, params, few, prepared.people)
        return -(-n // -(-n // max(2 * batch, EVALUATION_BYTES * batch // max(one, 1))))  # in equal parts

    def footprint(self, params: Any, choices: Choices, rows: int = 0, people: Any = None) -> int:
        """About how many bytes a step of one trial takes beside the data, under so many rows: what its matrix products
        make, what becomes of that, and as much again for the way back. Only shapes are read."""
        n = min(self.settings.microbatch or self.settings.batch or choices.shape[0], choices.shape[0])
        part = jax.eval_shape(lambda choices: self.model.prepare(choices).take(slice(0, n)), choices)
        slopes = rows if self.settings.second_order else 0  # a way back for each of the sums, no more than rows
        return 2 * (made(self.model, params, part, people) + (DECISIONS + slopes) * n * choices.shape[1] * 4)


def _cast(tree: Any, real: Any) -> Any:
    """Floating-point leaves in this precision."""
    return jax.tree.map(lambda leaf: leaf.astype(real) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree)
