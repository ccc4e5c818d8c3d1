"""What any model at all could make a constraint measure: a measurement that no model can move is not fairness.

Decisions in a choice sum to 1, so a rate ranges over

    sum_i min_k A_ik .. sum_i max_k A_ik         over available alternatives k, A = share * weight / mass

and the difference of two rates of a block over the difference of these ranges: an alternative is in one group only, so
one that is chosen for g leaves h at its least. A range of width zero is immovable (demographic parity of randomly
ordered pairs by the chooser's group is 1/2 always); a largest value within the bound cannot bind; a smallest value
above it is infeasible.

Of parts that are no rates of decisions the range is not known. Who is in their cells is: cells without data, with few
units, alone in their block.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._choices import Choices
from ._constraint import Constraint, Statistics
from ._parity import Parity
from ._precision import AbstractPrecision
from ._rate import Members, RateConstraint
from ._ratio import RateRatio

FEW_UNITS = 30  # a rate of fewer units than this says little; it is reported, never dropped


@dataclasses.dataclass(frozen=True)
class AttainableRange:
    """What a constraint can measure on these choices, over all decisions.

    name: of the part
    live: cells with data
    empty: cells without, which are inactive
    small: cells of fewer than `FEW_UNITS` units, which are active, with how many
    alone: blocks with data for one group only, which are inactive
    unchosen: cells of a precision in which people chose nothing
    immovable: what no model can move
    lowest: the gap is not below it, whatever the model
    highest: nor above it (the ends may be unattainable together); -inf where nothing can be compared, inf where nobody
        knows
    people: of every cell, of how many units alike its rate is the mean: (sum of their masses)^2 / sum of squares
    shared: whether somebody counts in several cells
    """

    name: str
    live: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    small: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    unchosen: tuple[str, ...] = ()
    immovable: tuple[str, ...] = ()
    lowest: float = 0.0
    highest: float = np.inf
    people: tuple[float, ...] = ()
    shared: bool = False

    def verdict(self, bound: float) -> str:
        """ "immovable", "inactive" (nothing to compare), "cannot bind", "infeasible", "ok" at this bound, or "unknown"
        (not a rate of decisions, so its range is not known).

        bound: in the units of the gap
        """
        if self.immovable:
            return "immovable"
        if self.highest == -np.inf:
            return "inactive"
        if self.lowest > bound:
            return "infeasible"
        if self.highest == np.inf:
            return "unknown"
        return "cannot bind" if self.highest <= bound else "ok"

    def explain(self, bound: float) -> str:
        """The verdict at this bound in one sentence, with what to do.

        bound: in the units of the gap
        """
        what = self.verdict(bound)
        listed = "; ".join(self.immovable[:3]) + (
            f"; and {len(self.immovable) - 3} more" if len(self.immovable) > 3 else ""
        )
        return {
            "immovable": f"{self.name}: no model can move {listed}, so it measures the data, not the model; name the "
            "kind of alternative with `of` (a chooser's group alone says nothing of which one is chosen), or drop it",
            "inactive": f"{self.name}: {'only one' if self.alone else 'no'} group has data, so nothing can be compared",
            "infeasible": f"{self.name}: every model has a gap of {self.lowest:.4g} or more, the bound is {bound:.4g}",
            "cannot bind": f"{self.name}: no model exceeds {self.highest:.4g}, so the bound {bound:.4g} cannot bind",
            "ok": f"{self.name}: gaps up to {self.highest:.4g} are possible",
            "unknown": f"{self.name}: no rate of decisions, so what is possible is not known beforehand",
        }[what]


def attainable_range(constraint: Constraint, choices: Choices | Iterable[Choices]) -> tuple[AttainableRange, ...]:
    """What any model at all could make each part of a constraint measure on these choices, in the order of the parts.

        sum_i min_k A_ik <= rate <= sum_i max_k A_ik        A = share * weight / mass, over available alternatives k

    constraint: whose twins and columns the choices have; `ValueError` for a twin that they lack
    choices: n choices, or shards of them that are looked at one after another and counted together
    """
    parts = constraint.parts()
    tallies = [_Tally(part) if _cells(part) else None for part in parts]
    for shard in [choices] if isinstance(choices, Choices) else choices:
        for tally in filter(None, tallies):
            tally.add(shard)
    pairs = zip(parts, tallies, strict=True)
    return tuple(AttainableRange(part.name()) if tally is None else tally.attainable_range() for part, tally in pairs)


def _cells(part: Any) -> tuple[str, ...]:
    """Names of the cells of a part; () where it has none that anybody knows of."""
    if isinstance(part, RateConstraint):
        return part.cells()
    return part.who.cells if hasattr(part, "who") else ()


@jax.jit
def _prepare(constraint: Any, choices: Choices) -> Members:
    """Who is in which cell; as one program, not an operation at a time."""
    if isinstance(constraint, RateConstraint):
        return constraint.prepare(choices)
    cell = constraint.who.cell(choices)
    share = jnp.where(cell < 0, 0, choices.weight[:, None])
    return Members(jnp.where(cell < 0, len(_cells(constraint)), cell)[..., None], share[..., None])


class _Tally:
    """What is in the cells of a part, and the ends of their rates, added up over choices."""

    def __init__(self, part: Any):
        self.part, self.names = part, _cells(part)
        self.affine = part.affine() if isinstance(part, RateConstraint) else None
        size = len(self.names) + 1  # the last: members of no cell
        self.mass, self.chosen, self.low, self.high, self.squares = (np.zeros(size) for _ in range(5))
        self.units: list[set[int]] = [set() for _ in self.names]  # up to FEW_UNITS of each
        self.shared = False

    def add(self, choices: Choices) -> None:
        for name in self.part.twins():
            if name not in choices.twins:
                raise ValueError(
                    f"{self.part.name()}: expected choices with twins of {name!r}, got {list(choices.twins)}"
                )
        rows = _prepare(self.part, choices)
        cell, share = np.asarray(rows.cell, np.int64), np.asarray(rows.share, float)
        self.mass += np.bincount(cell.ravel(), share.ravel(), len(self.mass))
        if isinstance(self.part, AbstractPrecision):
            self.chosen += np.bincount(cell[..., 0].ravel(), share[..., 0].ravel(), len(self.mass))
        unit = np.asarray(choices.unit)
        self._weigh(cell, share, unit)
        self._count(cell, share, unit)
        if self.affine is None:
            return
        available = np.asarray(choices.available)
        alone_set = any(not choices.twins[name].chooser for name in self.part.twins())
        for event in range(cell.shape[-1]):
            event_cell, event_share = cell[..., event], share[..., event]
            if alone_set:  # every twin is a world of its own; its decision is free unless it is the only alternative
                sole = available.sum(1, keepdims=True) == 1
                np.add.at(self.high, event_cell, event_share)
                np.add.at(self.low, event_cell, np.where(sole, event_share, 0))
            else:
                _add_world(self.low, self.high, event_cell, event_share, available)

    def _weigh(self, cell: np.ndarray, share: np.ndarray, unit: np.ndarray) -> None:
        """Add the squares of what units weigh in cells; one that is in two shards counts as two."""
        counts = (share > 0) & (cell < len(self.names))
        pair = unit[np.nonzero(counts)[0]].astype(np.int64) * len(self.squares) + cell[counts]
        pairs, which = np.unique(pair, return_inverse=True)
        who, cells = np.divmod(pairs, len(self.squares))
        self.squares += np.bincount(cells, np.bincount(which, share[counts], len(pairs)) ** 2, len(self.squares))
        self.shared |= bool((np.diff(who) == 0).any())

    def _count(self, cell: np.ndarray, share: np.ndarray, unit: np.ndarray) -> None:
        """Add the units of cells that have few so far."""
        few = np.append([len(units) < FEW_UNITS for units in self.units], False)
        wanted = (share > 0) & few[cell]
        base = int(unit.max(initial=0)) + 1
        cells, who = np.divmod(np.unique(cell[wanted] * base + unit[np.nonzero(wanted)[0]]), base)
        starts = np.searchsorted(cells, np.arange(len(few)))
        for units, first, end in zip(self.units, starts[:-1], starts[1:], strict=True):
            units.update(who[first : min(end, first + FEW_UNITS)].tolist())

    def attainable_range(self) -> AttainableRange:
        part, names = self.part, self.names
        empty = self.mass[:-1] <= 0
        compares = isinstance(part, Parity | RateRatio)
        groups = len(part.groups()) if compares else 1
        unchosen = ~empty & (self.chosen[:-1] <= 0) & isinstance(part, AbstractPrecision)

        def named(which: np.ndarray) -> tuple[str, ...]:
            return tuple(names[c] for c in np.flatnonzero(which))

        small = tuple(
            f"{name} ({len(unit)})" for name, unit in zip(names, self.units, strict=True) if 0 < len(unit) < FEW_UNITS
        )
        blocks = part.blocks() if compares else ()
        alone = (~empty).reshape(-1, groups).sum(1) == 1 if compares else np.zeros(0, bool)
        known = {
            "name": part.name(),
            "live": named(~empty),
            "empty": named(empty),
            "small": small,
            "alone": tuple(block or "all choices" for block, one in zip(blocks, alone, strict=True) if one),
            "unchosen": named(unchosen),
            "people": tuple((self.mass[:-1] ** 2 / np.where(empty, 1, self.squares[:-1])).tolist()),
            "shared": self.shared,
        }
        if self.affine is None:
            some = (~empty).reshape(-1, groups).sum(1) > 1 if compares else ~empty
            return AttainableRange(**known, highest=np.inf if some.any() else -np.inf)
        return AttainableRange(**known, **self._range(empty, groups))

    def _range(self, empty: np.ndarray, groups: int) -> dict[str, Any]:
        """What no model can move, and the ends of the gap; `empty [C]`."""
        part, names, (offset, slope) = self.part, self.names, self.affine or (0.0, 1.0)
        mass = self.mass[:-1]
        low, high = (end[:-1] / np.where(empty, 1, mass) for end in (self.low, self.high))
        tiny = 1e-9
        stuck = ~empty & (high - low <= tiny)
        if not isinstance(part, Parity) and not _monotone(part):
            return self._box(empty, low, high)
        if not isinstance(part, Parity):
            masses = jnp.asarray(mass)
            ends = [
                np.asarray(part.combine(Statistics(masses * (offset + slope * jnp.asarray(end)), masses)))[~empty]
                for end in (low, high)
            ]
            return {
                "immovable": tuple(f"the rate of {names[c]}" for c in np.flatnonzero(stuck)),
                "lowest": float(np.minimum(*ends).max(initial=-np.inf)),
                "highest": float(np.maximum(*ends).max(initial=-np.inf)),
            }
        blocks = (-1, groups)
        empty, stuck, low, high = (
            empty.reshape(blocks),
            stuck.reshape(blocks),
            low.reshape(blocks),
            high.reshape(blocks),
        )
        span = high[:, :, None] - low[:, None, :]  # largest rate_g - rate_h [B, G, G]
        both = ~empty[:, :, None] & ~empty[:, None, :] & ~np.eye(groups, dtype=bool)
        fixed = both & stuck[:, :, None] & stuck[:, None, :]
        pairs = [
            f"{part.groups()[g]} against {part.groups()[h]}" + (f" | {part.blocks()[b]}" if part.blocks()[b] else "")
            for b, g, h in np.argwhere(np.triu(fixed))
        ]
        least = np.where(both, -np.swapaxes(span, 1, 2), 0)  # smallest rate_g - rate_h
        most = np.where(both, np.minimum(span, 1), -np.inf)
        return {
            "immovable": tuple(pairs),
            "lowest": abs(slope) * float(least.max(initial=0)),
            "highest": abs(slope) * float(most.max(initial=-np.inf)),
        }

    def _box(self, empty: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, Any]:
        """The same of a measurement of somebody's own, where it is affine in the rates: each rate takes the end that
        suits it. Of another one nothing is known."""
        part, masses, (offset, slope) = (
            self.part,
            jnp.asarray(np.where(empty, 0, self.mass[:-1])),
            self.affine or (0.0, 1.0),
        )

        def measured(rates: Any) -> Any:
            return part.combine(Statistics(masses * (offset + slope * rates), masses))

        middle = jnp.asarray((low + high) / 2)
        slopes = [np.asarray(jax.jacfwd(measured)(middle * at + (1 - at) * jnp.asarray(low))) for at in (0.0, 0.4, 1.0)]
        if not all(np.allclose(slope, slopes[0], atol=1e-5) for slope in slopes):
            return {"highest": np.inf}
        steps = np.where(empty, 0, slopes[0])
        base = np.asarray(measured(jnp.asarray(low))) - steps @ low
        ends = [
            base + np.minimum(steps * low, steps * high).sum(1),
            base + np.maximum(steps * low, steps * high).sum(1),
        ]
        moved = np.abs(steps).sum(1) > 0
        stuck = moved & (ends[1] - ends[0] <= 1e-6)
        fixed = tuple(label for label, one in zip(part.labels(), stuck, strict=True) if one)
        lowest, highest = (float(end[moved].max(initial=-np.inf)) for end in ends)
        return {"immovable": fixed, "lowest": max(lowest, 0.0), "highest": highest}


def _monotone(part: Any) -> bool:
    """Whether every measurement is a monotone function of one rate: rates themselves, and ours that are no parities."""
    combine = type(part).combine
    return combine is RateConstraint.combine or combine.__module__.partition(".")[0] == __package__


def _add_world(low, high, cell, share, available):
    """Add the ranges of the rates over choices whose K decisions sum to 1; `cell` and `share` `[n, K]`."""
    for k in range(cell.shape[1]):
        same_cell = cell == cell[:, k : k + 1]
        first = ~same_cell[:, :k].any(1)  # once for every cell of a choice
        cell_share = np.where(same_cell, share, 0)
        np.add.at(high, cell[first, k], cell_share[first].max(1))
        np.add.at(low, cell[first, k], np.where(available, cell_share, np.inf)[first].min(1))
