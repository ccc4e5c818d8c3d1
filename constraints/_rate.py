"""Rates: how often the members of a cell are chosen, and constraints that are linear in them.

    rates[c] = sum share * weight * decision / sum share * weight        over the members of cell c

Membership of an alternative is a cell index and a share. An alternative can be a member once per event (equalized
odds: an event for the chosen share, one for the rejected share; counterfactual parity: one per level).

For few cells, sums are products with the shares laid out by cell, many times faster on a CPU; for many they are
`segment_sum`s, whose gradient is a gather of one price per alternative. Memory is linear in n, and no more than
MAX_PAIRS numbers per alternative whatever the number of cells.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from . import _renamed
from ._choices import Choices
from ._constraint import Constraint, Statistics
from ._outcome import Outcome
from .alternatives import pieces

MAX_PAIRS = 40  # pairs of a cell and an event up to which shares are laid out by pair


class Members(NamedTuple):
    """Who is in which cell, once per event.

    cell: `[n, K, E]` int, -1: in none
    share: `[n, K, E]` >= 0, the row's weight in the cell
    by_pair: `[n, J, S]`, the shares laid out by pairs of an event and a cell for the alternatives that have items, or
        None for many pairs; `prepare` fills it in
    """

    cell: Array
    share: Array
    by_pair: Any = None


class Counts(NamedTuple):
    """What a certificate counts, of every alternative and event.

    cell: `[n, K, E]` int, -1: in none
    share: `[n, K, E]` with which it counts there, > 0 in a cell
    value: `[n, K, E]` in [0, 1], of which the cell's rate is the mean
    """

    cell: Array
    share: Array
    value: Array


class Compared(NamedTuple):
    """Which rates a bound bounds, cell = block * G + group.

    blocks: `[B]` different names
    groups: `[G]` different names, none empty
    paired: whether it bounds the differences of two groups of a block, and not every rate alone
    """

    blocks: tuple[str, ...]
    groups: tuple[str, ...]
    paired: bool


class RateConstraint(Constraint):
    """Inequalities on the rates of cells: rates[c] = sum of share * decision / sum of share, over the members of c. A
    subclass gives `cells` and `members`, and `combine` unless the rates themselves are to be bounded."""

    def cells(self) -> tuple[str, ...]:
        """One unique name per cell, `[C]`. Known without data."""
        raise NotImplementedError

    def members(self, choices: Choices) -> Members:
        """`Members` with E events; may look at everything in the choices, never at decisions."""
        raise NotImplementedError

    def events_of_cells(self) -> tuple[tuple[int, ...], ...] | None:
        """Of every cell the events that its members can have, `[C]`; None: any. What it leaves out costs nothing."""
        return None

    def decision_values(self, outcome: Outcome) -> Array:
        """The decisions that are averaged, `[n, K, E]` or `[n, K, 1]`."""
        return outcome.decisions[..., None]

    if not TYPE_CHECKING:  # names of the release before
        slots, decided = _renamed.old_method("slots"), _renamed.old_method("decided")

    def affine(self) -> tuple[float, float] | None:
        """(a, b) if `decision_values` are a + b * decision, so that `attainable_range` is known; else None."""
        return 0.0, 1.0

    def labels(self):
        return self.cells()

    def prepare(self, choices):
        members = self.members(choices)
        outsider = (members.cell < 0) | ~choices.inside[..., None]
        share, spare = jnp.where(outsider, 0, members.share), len(self.cells())
        cell, by_pair = jnp.where(outsider, spare, members.cell), None
        pair_event, pair_cell = self._pairs(cell.shape[-1])
        if len(pair_event) <= MAX_PAIRS:
            inside = slice(jax.tree.leaves(choices.items)[0].shape[1])
            by_pair = jnp.where(cell[:, inside, pair_event] == pair_cell, share[:, inside, pair_event], 0)
        return Members(cell, share, by_pair)

    def _pairs(self, events: int) -> tuple[np.ndarray, np.ndarray]:
        """Event and cell of every pair, `[S]` each, in the order of the events."""
        known = self.events_of_cells() or [range(events)] * len(self.cells())
        pairs = sorted((event, cell) for cell, cell_events in enumerate(known) for event in cell_events)
        return np.array([event for event, _ in pairs], int), np.array([cell for _, cell in pairs], int)

    def sums(self, outcome, rows):
        return self.total(self.decision_values(outcome), rows)

    def masses(self, rows):
        if rows.by_pair is not None:
            return self._by_cell(jnp.sum(rows.by_pair, (0, 1)), rows)
        return self.total(jnp.ones_like(rows.share), rows)

    def total(self, values: Array, rows: Members) -> Array:
        """Sum of `share * values` over the members of every cell, `[C]`.

        values: `[n, K, E]` or `[n, K, 1]`
        rows: what `prepare` gave
        """
        if rows.by_pair is not None:
            events = rows.share.shape[-1]
            pair_event, _ = self._pairs(events)
            if values.shape[-1] == 1:
                sums = _product(values[..., 0], rows.by_pair)
            else:
                wide = values[..., pair_event] if not np.array_equal(pair_event, np.arange(events)) else values
                sums = jnp.sum(wide[:, : rows.by_pair.shape[1]] * rows.by_pair, (0, 1))
            return self._by_cell(sums, rows)
        spare = len(self.cells())  # members of no cell land in a spare segment that is cut off
        return jax.ops.segment_sum((rows.share * values).ravel(), rows.cell.ravel(), spare + 1)[:spare]

    def _by_cell(self, sums: Array, rows: Members) -> Array:
        """Sums by pair of an event and a cell, `[S]`, added up by cell, `[C]`."""
        _, pair_cell = self._pairs(rows.share.shape[-1])
        return sums @ jnp.asarray(pair_cell[:, None] == np.arange(len(self.cells())), sums.dtype)

    def certifiable_as(self):
        return "scores" if self.affine() is None else "counts"

    def counts(self, outcome: Outcome, choices: Choices) -> Counts:
        """Who counts in which cell, with what share and value; sums of share * value by cell are the `statistics`."""
        rows = self.prepare(choices)
        counted = (rows.cell < len(self.cells())) & (rows.share > 0)
        value = jnp.broadcast_to(self.decision_values(outcome), rows.share.shape)
        pairs = ((rows.cell, -1), (rows.share, 0), (value, 0))
        return Counts(*(jnp.where(counted, array, empty) for array, empty in pairs))

    def compared(self) -> Compared | None:
        """Which rates or differences of rates the bound bounds, so that a certificate can; None where `combine` or
        `gap` is a subclass's own, which may say here what it bounds."""
        kind = type(self)
        plain = kind.combine is RateConstraint.combine and kind.gap is Constraint.gap
        return Compared(("",), self.cells(), False) if plain else None

    def rates(self, statistics: Statistics) -> Array:
        """Rate of each cell, `[C]`; NaN where the cell is empty."""
        empty = statistics.masses <= 0
        return jnp.where(empty, jnp.nan, statistics.sums / jnp.where(empty, 1, statistics.masses))

    def combine(self, statistics):
        return jnp.nan_to_num(self.rates(statistics))


def _product(values: Array, shares: Array) -> Array:
    """sum over n and k of values `[n, K]` * shares `[n, J, S]`, `[S]`; alternatives without items come last."""
    split, laid = pieces(values), jnp.moveaxis(shares, 1, 0)
    laid_split = [laid] if len(split) == 1 else [laid[k : k + 1] for k in range(len(laid))]
    products = [
        jnp.tensordot(value[: len(share)], share, 2, precision="highest")
        for value, share in zip(split, laid_split, strict=False)
    ]
    return functools.reduce(jnp.add, products)
