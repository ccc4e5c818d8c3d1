"""An objective: one number of the losses of many choices, from sums that add up over minibatches and devices."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar, NamedTuple, dataclass_transform

import jax
import jax.numpy as jnp
from jax import Array

from constraints import UNIT_SHARE, Choices, Constraint, Grouping, Outcome, Statistics, record, static

from .. import metrics
from .base import Loss
from .groups import belongs, labels, reweighting
from .logit import Logit

LOGIT = Logit()


class Sight(NamedTuple):
    """What an objective may look at.

    losses: `[n]`, of its `loss`
    soft: the `Outcome` under `Softmax`, at the temperature of the step, where it says `outcomes`; else None
    hard: the `Outcome` under `Argmax`, likewise
    """

    losses: Array
    soft: Outcome | None = None
    hard: Outcome | None = None


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(static, dataclasses.field))
@dataclasses.dataclass(frozen=True, kw_only=True)
class Objective(abc.ABC):
    """What training minimises: combine(state, sums of all choices, masses of all choices), differentiable.

    A subclass gives `sums` and `combine`, and becomes a frozen dataclass and a pytree by itself.

    loss: of every choice

    What methods are given:
    state: what it keeps between steps, `begin` at first and `follow` after a step; () by default
    sight: losses and outcomes of some choices, a `Sight`
    choices: those n choices; of `begin` only their shapes
    rows: what `prepare` gave of them
    known: what `known` said of all of train, added up
    sums: what `sums` gave, added up over all that a step sees
    masses: what `masses` gave, likewise
    """

    outcomes: ClassVar[bool] = False  # whether `sums` look at outcomes, not at losses alone
    steers: ClassVar[bool] = False  # whether a step is given the slopes of its `parts` before it is taken

    loss: Loss = LOGIT

    def __init_subclass__(cls) -> None:
        record(cls)

    @property
    def logistic(self) -> bool:
        """Whether it is the mean of the conditional logit, whose optimum and curvature are known of linear models."""
        return False

    def columns(self) -> tuple[str, ...]:
        """Names of the columns that it reads, `choices.columns[name]`, as `Constraint.columns` says them; none by
        default."""
        return ()

    def known(self, train: Choices) -> Any:
        """What it must know of all of train, additive over choices: `prepare` is given it, of any part.

        train: the train choices, or a shard of them
        """
        return ()

    def prepare(self, choices: Choices, known: Any) -> Any:
        """What it needs of choices, computed once: arrays with leading axis n as a pytree."""
        return ()

    def masses(self, choices: Choices, rows: Any) -> Any:
        """Additive statistics that no model moves; by default the weight."""
        return jnp.sum(choices.weight)

    @abc.abstractmethod
    def sums(self, state: Any, sight: Sight, choices: Choices, rows: Any) -> Any:
        """Additive statistics of the losses and outcomes."""

    @abc.abstractmethod
    def combine(self, state: Any, sums: Any, masses: Any) -> Array:
        """The number to be minimised."""

    def begin(self, choices: Choices) -> Any:
        """What it keeps between steps (weights of groups, a threshold); only shapes of `choices` are read."""
        return ()

    def follow(self, state: Any, sums: Any, masses: Any) -> Any:
        """What it keeps after a step that saw these sums."""
        return state

    def parts(self, sums: Any, masses: Any) -> Array:
        """Numbers `[G]` whose slopes `steer` is told of, where it says `steers`."""
        raise NotImplementedError(f"{type(self).__name__}.parts: an objective that steers says what it is made of")

    def steer(self, state: Any, products: Array) -> Any:
        """What it keeps for this step alone.

        products: inner products of the slopes of `parts` by the parameters, `[G, G]`
        """
        return state

    def merit(self, state: Any, selection: Statistics, train: Statistics) -> Array:
        """By what the best of the iterates within the bound is chosen, the lower the better.

        selection: `Statistics` of the selection part
        train: of the train part
        """
        return self.combine(state, selection.sums, selection.masses)


class Mean(Objective):
    """The weighted mean of the losses: what everything else is compared with."""

    @property
    def logistic(self):
        return self.loss.logistic

    def sums(self, state, sight, choices, rows):
        return metrics.weighted(sight.losses, choices)

    def combine(self, state, sums, masses):
        return sums / masses


class PeopleMean(Objective):
    """The mean over people of the mean of each one's losses: who answers more does not count for more.

    Source: LoRe, arXiv 2504.14439, whose loss it is, of any model.
    """

    def columns(self):
        return (UNIT_SHARE,)

    def prepare(self, choices, known):
        return jnp.max(choices.columns[UNIT_SHARE], -1)

    def masses(self, choices, rows):
        return choices.weight @ rows

    def sums(self, state, sight, choices, rows):
        return (choices.weight * rows) @ sight.losses

    def combine(self, state, sums, masses):
        return sums / masses


class Reweighted(Objective):
    """The mean loss under weights that make label and group independent in train:

        W(g, y) = P(g) P(y) / P(g, y)        y: whether people chose the alternative; inside each stratum

    who: the groups, a `constraints.Grouping`
    power: of the weights, in [0, 1]: 1 for these, 0 for none
    Source: Kamiran & Calders, Knowledge and Information Systems 2012.
    """

    who: Grouping = static()
    power: Any = 1.0

    def known(self, train):
        return labels(self.who, train)

    def prepare(self, choices, known):
        return reweighting(self.who, known, choices)

    def sums(self, state, sight, choices, rows):
        used = choices.weight * rows**self.power
        return jnp.sum(used * sight.losses), jnp.sum(used)

    def combine(self, state, sums, masses):
        loss, used = sums
        return loss / used


class WorstGroup(Objective):
    """The losses of groups, under weights that grow with a group's loss: group DRO.

        sum_g q_g loss_g        q_g <- q_g exp(ascent * loss_g) / sum

    who: the groups, a `constraints.Grouping`; a choice belongs to those of its alternatives
    ascent: step of the weights, > 0, per unit of the loss
    Source: Sagawa et al. ICLR 2020, Algorithm 1.
    """

    who: Grouping = static()
    ascent: Any = 0.01

    def prepare(self, choices, known):
        return belongs(self.who, choices)

    def masses(self, choices, rows):
        return choices.weight @ rows

    def begin(self, choices):
        return jnp.zeros(len(self.who.cells))

    def sums(self, state, sight, choices, rows):
        return (choices.weight * sight.losses) @ rows

    def combine(self, state, sums, masses):
        groups = sums / jnp.where(masses > 0, masses, 1)
        return jnp.sum(jnp.where(masses > 0, jnp.exp(self.follow(state, sums, masses)) * groups, 0))

    def follow(self, state, sums, masses):
        groups = jax.lax.stop_gradient(sums) / jnp.where(masses > 0, masses, 1)
        return jax.nn.log_softmax(jnp.where(masses > 0, state + self.ascent * groups, -jnp.inf))

    def merit(self, state, selection, train):
        groups = selection.sums / jnp.where(selection.masses > 0, selection.masses, 1)
        return jnp.max(jnp.where(selection.masses > 0, groups, -jnp.inf))


class CVaR(Objective):
    """The mean of the worst share of the losses, whoever they belong to: conditional value at risk.

        min over t of  t + mean of max(loss - t, 0) / share        t follows the gradient

    share: in (0, 1]; 1 is the mean
    rate: step of the threshold t, in units of the loss
    Source: Rockafellar & Uryasev, Journal of Risk 2000, Theorem 1; Levy et al. NeurIPS 2020.
    """

    share: Any = 0.2
    rate: Any = 0.05

    def begin(self, choices):
        return jnp.zeros(())

    def sums(self, state, sight, choices, rows):
        above = sight.losses - state
        weight = jax.lax.stop_gradient(jnp.asarray(above > 0, choices.weight.dtype))
        return metrics.weighted(jnp.maximum(above, 0), choices), metrics.weighted(weight, choices)

    def combine(self, state, sums, masses):
        excess, _ = sums
        return state + excess / masses / self.share

    def follow(self, state, sums, masses):
        _, above = sums
        return state - self.rate * (1 - jax.lax.stop_gradient(above) / masses / self.share)


class Penalised(Objective):
    """A fixed price on the gap of a constraint, which a Lagrangian game replaces by multipliers:

        mean loss + price * gap

    constraint: whose gap, of soft decisions in training, of hard ones where iterates are compared
    price: nats per unit of gap, >= 0
    """

    outcomes = True

    constraint: Constraint
    price: Any = 1.0

    def prepare(self, choices, known):
        return self.constraint.prepare(choices)

    def masses(self, choices, rows):
        return jnp.sum(choices.weight), self.constraint.masses(rows)

    def sums(self, state, sight, choices, rows):
        soft, hard = self.constraint.proxy_sums(sight.soft, rows), self.constraint.sums(sight.hard, rows)
        return metrics.weighted(sight.losses, choices), soft, hard

    def combine(self, state, sums, masses):
        loss, soft, _ = sums
        weight, gap_masses = masses
        return loss / weight + self.price * jnp.sum(self.constraint.gap(Statistics(soft, gap_masses)))

    def merit(self, state, selection, train):
        loss, _, _ = selection.sums
        _, _, hard = train.sums
        gap = jnp.sum(self.constraint.gap(Statistics(hard, train.masses[1])))
        return loss / selection.masses[0] + self.price * gap
