"""Welfare of people: each counts once, whatever the number of their choices.

    welfare of a choice   the correct decision, sum y d; or a bounded score of the probabilities, in [0, 1]
    welfare floor         E[welfare of a frozen aggregate - welfare of the model | g] <= bound      for every group g
    accuracy parity       |E[welfare | g] - E[welfare | h]| <= bound

E is over people: a choice counts by its share of its person. Both that share and the rewards of the aggregate are
columns that the table has not: `UNIT_SHARE`, and `reward_by` a model that was fitted to the same train rows before
(`faro.data.coding.Coding.made`). With a chooser's attribute a choice is in one group; with an alternative's it counts
in those of its alternatives, by their number.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ._choices import Attribute, Choices, static
from ._constraint import Constraint, Statistics
from ._grouping import Grouping
from ._outcome import Argmax, Outcome, Softmax, log_softmax

UNIT_SHARE = "share of unit"  # column: 1 / the weight of all choices of the unit
WELFARES = ("decision", "brier", "log")


def reward_by(model: str) -> str:
    """The column of the rewards that another model gives.

    model: its name, as "linear"
    """
    return f"reward:{model}"


class People(NamedTuple):
    """What the welfare of n choices is made of.

    chosen: `[n, K]` the label
    mass: `[n, C]` with which a choice counts in a cell; over the choices of a person at most 1
    hard: `[n]` welfare of the aggregate by its hard decisions, 0 where there is none
    soft: `[n]` the same by soft ones
    """

    chosen: Array
    mass: Array
    hard: Array
    soft: Array


class PeopleConstraint(Constraint):
    """Means of the welfare of people by cell: a subclass gives `labels` and `combine` of them.

    who: the groups
    welfare: "decision"; "brier", 1 - half the squared distance of probabilities and label; or "log", 1 + max(sum y log
        p, -floor) / floor
    floor: of "log", in nats, > 0: no loss counts for more
    """

    who: Grouping = static()
    welfare: str = static(default="decision")
    floor: float = static(default=3.0)

    def columns(self):
        return (UNIT_SHARE,)

    def certifiable_as(self):
        return "counts" if self.welfare == "decision" else "scores"

    def welfare_of(self, decisions: Array, log_probabilities: Array, chosen: Array) -> Array:
        """Welfare of every choice, `[n]` in [0, 1].

        decisions: `[n, K]`
        log_probabilities: `[n, K]`; very negative where nothing is available
        chosen: `[n, K]` the label
        """
        if self.welfare == "decision":
            return jnp.sum(chosen * decisions, -1)
        if self.welfare == "brier":
            return 1 - jnp.sum((jnp.exp(log_probabilities) - chosen) ** 2, -1) / 2
        loss = -jnp.sum(jnp.where(chosen > 0, chosen * log_probabilities, 0), -1)
        return 1 - jnp.minimum(loss, self.floor) / self.floor

    def reference(self, choices: Choices) -> tuple[Array, Array]:
        """Welfare of the aggregate by hard and by soft decisions, `[n]` each; 0 without one."""
        none = jnp.zeros(choices.shape[0], choices.chosen.dtype)
        return none, none

    def prepare(self, choices: Choices) -> People:
        cell, cells = self.who.cell(choices), len(self.who.cells)
        inside = (cell[..., None] == jnp.arange(cells)).astype(choices.chosen.dtype)
        share = jnp.sum(inside, 1) / jnp.maximum(jnp.sum(inside, (1, 2)), 1)[:, None]
        mass = choices.weight * jnp.max(choices.columns[UNIT_SHARE], -1)
        return People(choices.chosen, mass[:, None] * share, *self.reference(choices))

    def masses(self, rows):
        return jnp.sum(rows.mass, 0)

    def sums(self, outcome, rows):
        logs = jax.lax.stop_gradient(outcome.log_probabilities())
        return self._total(self.welfare_of(outcome.decisions, logs, rows.chosen) - rows.hard, rows)

    def proxy_sums(self, outcome: Outcome, rows: People) -> Array:
        """Of probabilities, less those of the aggregate: the welfare of soft decisions is below that of hard ones."""
        return self._total(
            self.welfare_of(outcome.decisions, outcome.log_probabilities(), rows.chosen) - rows.soft, rows
        )

    def _total(self, values: Array, rows: People) -> Array:
        return jnp.matmul(values, rows.mass, precision="highest")

    def rates(self, statistics: Statistics) -> Array:
        """Mean welfare of every cell, `[C]`, less that of the aggregate; NaN where the cell is empty."""
        empty = statistics.masses <= 0
        return jnp.where(empty, jnp.nan, statistics.sums / jnp.where(empty, 1, statistics.masses))

    def cells(self) -> tuple[str, ...]:
        """Names of the cells, `[C]`."""
        return self.who.cells


class WelfareFloor(PeopleConstraint):
    """E[welfare of the aggregate - of the model | g] is at most `bound` for every group.

    against: the model whose rewards are the aggregate's, by name
    """

    against: str = static(default="linear")

    def name(self):
        return self.who.title("welfare_floor")

    def labels(self):
        return self.who.cells

    def columns(self):
        return UNIT_SHARE, reward_by(self.against)

    def reference(self, choices):
        rewards = jnp.where(choices.inside, choices.columns[reward_by(self.against)], 0)
        no_policy = jnp.zeros_like(rewards)
        hard, soft = (rule.decide(rewards, choices.available, no_policy) for rule in (Argmax(), Softmax()))
        logs = log_softmax(rewards, choices.available)
        return tuple(self.welfare_of(decisions, logs, choices.chosen) for decisions in (hard, soft))

    def combine(self, statistics):
        return -jnp.nan_to_num(self.rates(statistics))


class AccuracyParity(PeopleConstraint):
    """Largest mean welfare of a group less the smallest is at most `bound`, in every stratum."""

    def name(self):
        return self.who.title("accuracy_parity")

    def labels(self):
        return tuple(f"{side} {cell}" for side in ("high", "low") for cell in self.who.cells)

    def _ends(self, statistics):
        rates = self.rates(statistics).reshape(len(self.who.strata), len(self.who.groups))
        empty = jnp.isnan(rates)
        some = ~empty.all(-1)
        low = jnp.where(some, jnp.where(empty, jnp.inf, rates).min(-1), 0)
        high = jnp.where(some, jnp.where(empty, -jnp.inf, rates).max(-1), 0)
        return jnp.where(empty, 0, rates), empty, low, high

    def combine(self, statistics):
        rates, empty, low, high = self._ends(statistics)
        above = jnp.where(empty, 0, 2 * rates - (low + high)[:, None]).ravel()
        return jnp.concatenate([above, -above])

    def gap(self, statistics):
        _, _, low, high = self._ends(statistics)
        return jnp.max(high - low, keepdims=True)


def welfare_floor(
    attribute: Attribute | None = None,
    bound=0.05,
    *,
    welfare: str = "decision",
    floor: float = 3.0,
    against: str = "linear",
    of=None,
    within=None,
) -> Constraint:
    """No group's people fare worse than under a frozen aggregate by more than `bound`:
    E[welfare of the aggregate - of the model | g] <= bound, every person counting once.

    attribute: declared `Attribute` of the chooser, whose groups are looked at; None: everyone is one
    bound: >= 0, in units of welfare, which is in [0, 1]
    welfare: "decision", whether what people chose is decided; "brier" or "log", a bounded score of the probabilities
    floor: of "log": losses in nats count up to it
    against: the aggregate: a model that is fitted without a constraint to the same train rows, by name
    of: (attribute, level): only choices with alternatives of this kind count
    within: an attribute, inside each level of which groups are looked at; None: everywhere at once
    """
    who = Grouping(attribute, of, within)
    return WelfareFloor(bound=bound, who=who, welfare=_known(welfare), floor=float(floor), against=against)


def accuracy_parity(
    attribute: Attribute, bound=0.05, *, welfare: str = "decision", floor: float = 3.0, of=None, within=None
) -> Constraint:
    """People of all groups are decided equally well, every person counting once:
    |E[accuracy | g] - E[accuracy | h]| <= bound.

    Over rows, where who answers more counts more, it is `equal_opportunity` of a chooser's attribute.

    attribute: declared `Attribute` of the chooser, whose groups are compared
    bound: in [0, 1]
    welfare: "decision", the accuracy; "brier" or "log", a bounded score of the probabilities
    floor: of "log": losses in nats count up to it
    of: (attribute, level): only choices with alternatives of this kind count
    within: an attribute, inside each level of which groups are compared; None: everywhere at once
    """
    who = Grouping(attribute, of, within)
    return AccuracyParity(bound=bound, who=who, welfare=_known(welfare), floor=float(floor))


def _known(welfare: str) -> str:
    if welfare not in WELFARES:
        raise ValueError(f"welfare: expected one of {', '.join(WELFARES)}, got {welfare!r}")
    return welfare
