"""What a trial is given, and its state between evaluations."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from constraints import UNIT_SHARE, Choices

from .. import lagrangian
from ..data.draws import Pool, Questions
from .candidates import Best


class Data(NamedTuple):
    """What a trial trains on and what selects its iterate; each `Choices` may be padded.

    train: what the primal player sees; of a stream its shards (`faro.training.streaming`)
    selection: what the best iterate is chosen by
    dual: what the dual player measures violations on, if that is not train (Cotter et al. ICML 2019)
    people: of every unit code its earlier choices, for models that read them; else None
    pool: what steps draw such choices from; None: they read those of `people`
    questions: then, of every row of train, what it may be told, and whether evaluations ask it
    ridge: how strongly parameters are punished; then an unconstrained optimum that is found at once is that of train
        and selection. None: as the settings say, and it is that of train alone
    """

    train: Any
    selection: Choices
    dual: Choices | None = None
    people: Any = None
    pool: Pool | None = None
    questions: Questions | None = None
    ridge: Any = None

    @property
    def asked(self) -> Choices:
        """Train as evaluations see it: rows that support fixed leaves no question weigh nothing."""
        if self.questions is None:
            return self.train
        train, questions = self.train, self.questions
        columns = dict(train.columns)
        if UNIT_SHARE in columns:  # a person counts once, in steps as a whole, here by the queries
            columns[UNIT_SHARE] = columns[UNIT_SHARE] * questions.more[:, None]
        return train.replace(weight=jnp.where(questions.asked, train.weight, 0), columns=columns)

    def some(self, rows: Any) -> Data:
        """The same with these rows of train."""
        questions = None if self.questions is None else self.questions.take(rows)
        return self._replace(train=self.train.take(rows), questions=questions)


class TrainState(NamedTuple):
    """State of one trial between evaluations; a pytree that a checkpoint holds."""

    game: lagrangian.State
    moments: Any  # running sums of the constraint (minibatch)
    best: Best
    key: Array
    played: Array  # steps so far
    scale: Array  # [m] what a unit of each multiplier is, see `faro.training.scales`
    aim: Any = ()  # what the objective keeps between steps
