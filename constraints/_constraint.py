"""A constraint is a measurement and a bound: `measure(outcome, choices) <= bound`, m inequalities with a label each.

The measurement has two pure steps, so that minibatches, several devices and the certifier share it:

    statistics   sums and masses, additive over choices
    combine      statistics -> m measurements

Constraints are immutable pytrees: numbers are leaves, everything else is static. A sweep is `vmap` over the
constraint. Never validate values in a constructor: tracers pass through it.
"""

from __future__ import annotations

import abc
import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple, dataclass_transform

import jax
import jax.numpy as jnp
from jax import Array

from . import _renamed
from ._choices import Choices, record, static
from ._outcome import Outcome


class Statistics(NamedTuple):
    """What a constraint needs of the data, additive over choices.

    sums: `[J]`, or a pytree of such: of the decisions
    masses: `[J]`, or a pytree of such: weights and denominators, which no outcome moves
    """

    sums: Any
    masses: Any


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(static, dataclasses.field))
@dataclasses.dataclass(frozen=True, kw_only=True)
class Constraint(abc.ABC):
    """m inequalities `measure <= bound`. A subclass gives `labels`, `sums`, `masses` and `combine`, nothing else.

        measure = combine(sums(outcome, rows), masses(rows))  [m]        rows = prepare(choices)

    Every subclass becomes a frozen dataclass and a pytree by itself. Never validate values in a constructor.

    bound: scalar, a leaf; of rates in [0, 1]

    What methods are given:
    outcome: an `Outcome` `[n, K]` under some decision rule
    choices: the n `Choices` that it is of
    rows: what `prepare` gave of them
    statistics: `Statistics`, of these choices or added up over many
    """

    bound: Any

    def __init_subclass__(cls) -> None:
        _renamed.take_old_methods(cls)
        record(cls)

    # What a subclass says ------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def labels(self) -> tuple[str, ...]:
        """One unique name per inequality, `[m]`. Known without data."""

    def twins(self) -> tuple[str, ...]:
        """Names of the attributes whose twins the measurement looks at."""
        return ()

    def columns(self) -> tuple[str, ...]:
        """Names of the numeric columns of the table that the measurement reads as they are, `choices.columns[name]`
        `[n, K]`: features in `items` and `context` are coded and standardised, and have no names."""
        return ()

    def prepare(self, choices: Choices) -> Any:
        """What the measurement needs of the data: arrays with leading axis n as a pytree, computed once a data set."""
        return choices

    @abc.abstractmethod
    def sums(self, outcome: Outcome, rows: Any) -> Any:
        """Additive statistics of the decisions, `[J]`. `rows` is what `prepare` gave."""

    @abc.abstractmethod
    def masses(self, rows: Any) -> Any:
        """Additive statistics that no decision moves (weights, denominators), `[J]`."""

    @abc.abstractmethod
    def combine(self, statistics: Statistics) -> Array:
        """Statistics -> measurements `[m]`; a row that has no data measures 0."""

    def proxy_sums(self, outcome: Outcome, rows: Any) -> Any:
        """What the primal player differentiates in place of `sums`; `outcome` is of soft decisions.

        The one documented override point: replace it where softened decisions are a poor stand-in.
        """
        return self.sums(outcome, rows)

    # What every constraint has -------------------------------------------------------------------------------------

    def needs(self) -> dict[str, tuple[str, ...]]:
        """What of the data it reads beside labels and attributes: names of `twins` and `columns`."""
        return {"twins": self.twins(), "columns": self.columns()}

    def statistics(self, outcome: Outcome, choices: Choices) -> Statistics:
        """`Statistics(sums, masses)` of these choices; those of two data sets add up to those of both."""
        rows = self.prepare(choices)
        return Statistics(self.sums(outcome, rows), self.masses(rows))

    def measure(self, outcome: Outcome, choices: Choices) -> Array:
        """Measurements `[m]`, to be held against `bound`."""
        return self.combine(self.statistics(outcome, choices))

    def violation(self, outcome: Outcome, choices: Choices) -> Array:
        """`measure - bound`, `[m]`; positive means violated."""
        return self.measure(outcome, choices) - self.bounds()

    def bounds(self) -> Array:
        """The bound of each inequality, `[m]`."""
        return jnp.broadcast_to(jnp.asarray(self.bound, jnp.result_type(float)), (len(self.labels()),))

    def parts(self) -> tuple[Constraint, ...]:
        """The constraints that have a bound and a gap of their own: itself, or the parts of a `Stack`."""
        return (self,)

    def certifiable_as(self) -> str:
        """What a certificate on held-out units could rest on: "counts" of hard decisions in cells or bounded "scores",
        both of `RateConstraint.counts`, or the reason why there is none."""
        return "no certificate: the measurement is not known to be a rate of decisions"

    if not TYPE_CHECKING:  # its name of the release before
        evidence = _renamed.old_method("evidence")

    def name(self) -> str:
        """What it is called in tables."""
        return type(self).__name__

    def gap(self, statistics: Statistics) -> Array:
        """The one number that `bound` bounds: the largest measurement. `[P]`, one per part."""
        return jnp.max(self.combine(statistics), keepdims=True)

    def satisfied(self, statistics: Statistics) -> Array:
        """Whether every part's gap is within its bound; scalar bool."""
        return jnp.all(self.gap(statistics) <= jnp.stack([jnp.asarray(part.bound) for part in self.parts()]))

    def at(self, bound: Any) -> Constraint:
        """The same constraint with another bound (a `Stack`: with every part at it).

        bound: scalar; inf is none
        """
        return dataclasses.replace(self, bound=bound)


class Stack(Constraint):
    """Several constraints at once; itself a constraint, with the parts' inequalities one after another.

    members: the parts, each with its own bound
    bound: unused
    """

    bound: Any = None
    members: tuple[Constraint, ...]

    def labels(self):
        names = [f"{part.name()}: {label}" for part in self.members for label in part.labels()]
        repeats = len(set(names)) < len(names)
        return tuple(f"{i + 1} {name}" if repeats else name for i, name in enumerate(names))

    def twins(self):
        return tuple(dict.fromkeys(name for part in self.members for name in part.twins()))

    def columns(self):
        return tuple(dict.fromkeys(name for part in self.members for name in part.columns()))

    def prepare(self, choices):
        return tuple(part.prepare(choices) for part in self.members)

    def sums(self, outcome, rows):
        return tuple(part.sums(outcome, row) for part, row in zip(self.members, rows, strict=True))

    def masses(self, rows):
        return tuple(part.masses(row) for part, row in zip(self.members, rows, strict=True))

    def proxy_sums(self, outcome, rows):
        return tuple(part.proxy_sums(outcome, row) for part, row in zip(self.members, rows, strict=True))

    def _with_statistics(self, statistics):
        return [(p, Statistics(s, m)) for p, s, m in zip(self.members, statistics.sums, statistics.masses, strict=True)]

    def combine(self, statistics):
        return jnp.concatenate([part.combine(stats) for part, stats in self._with_statistics(statistics)])

    def gap(self, statistics):
        return jnp.concatenate([part.gap(stats) for part, stats in self._with_statistics(statistics)])

    def bounds(self):
        return jnp.concatenate([part.bounds() for part in self.members])

    def parts(self):
        return tuple(leaf for part in self.members for leaf in part.parts())

    def certifiable_as(self):
        return "; ".join(dict.fromkeys(part.certifiable_as() for part in self.parts()))

    def name(self):
        return " + ".join(part.name() for part in self.members)

    def at(self, bound):
        return dataclasses.replace(self, members=tuple(part.at(bound) for part in self.members))


def statistics_of_parts(constraint: Constraint, statistics: Statistics) -> tuple[Statistics, ...]:
    """The statistics of each part of a constraint, in the order of `constraint.parts()`.

    constraint: a `Stack`, or one that is its only part
    statistics: of the whole constraint
    """
    if not isinstance(constraint, Stack):
        return (statistics,)
    pairs = constraint._with_statistics(statistics)
    return tuple(leaf for part, stats in pairs for leaf in statistics_of_parts(part, stats))


def add(first: Statistics, second: Statistics) -> Statistics:
    """Statistics of two data sets together: their sum, leaf by leaf.

    first: of one data set
    second: of another, of the same constraint
    """
    return jax.tree.map(jnp.add, first, second)
