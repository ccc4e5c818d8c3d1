"""What any model at all could make a constraint measure: a measurement that no model can move is not fairness.

Decisions in a choice sum to 1, so a rate ranges over

    sum_i min_k A_ik .. sum_i max_k A_ik         over available alternatives k, A = share * weight / mass

and the difference of two rates of a block over the difference of these ranges: an alternative is in one group only, so
one that is chosen for g leaves h at its least. A range of width zero is immovable (demographic parity of randomly
ordered pairs by the chooser's group is 1/2 always); a largest value within the bound cannot bind; a smallest value
above it is infeasible.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from ._choices import Choices
from ._constraint import Constraint, Statistics
from ._parity import Parity
from ._rate import Members, RateConstraint

SMALL = 30  # a rate of fewer alternatives than this says little; it is reported, never dropped


@dataclasses.dataclass(frozen=True)
class Reach:
    """What a constraint can measure on these choices, over all decisions.

    empty: cells without data (inactive); small: cells of fewer than `SMALL` alternatives (active); alone: blocks with
    data for one group only (inactive); immovable: what no model can move; lowest, highest: the gap lies in between
    whatever the model (inner ends may be unattainable together: lowest is a lower and highest an upper bound). Where
    nothing can be compared, highest is -inf.
    """

    name: str
    empty: tuple[str, ...]
    small: tuple[str, ...]
    alone: tuple[str, ...]
    immovable: tuple[str, ...]
    lowest: float
    highest: float

    def verdict(self, bound: float) -> str:
        """ "immovable", "inactive" (nothing to compare), "cannot bind", "infeasible" or "ok" at this bound."""
        if self.immovable:
            return "immovable"
        if self.highest == -np.inf:
            return "inactive"
        if self.lowest > bound:
            return "infeasible"
        return "cannot bind" if self.highest <= bound else "ok"

    def explain(self, bound: float) -> str:
        """The verdict at this bound in one sentence, with what to do."""
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
        }[what]


def reach(constraint: Constraint, choices: Choices) -> tuple[Reach, ...]:
    """`Reach` of every part of a constraint on these choices. Those that are no rates of decisions are left out."""
    rates = [(part, part.affine()) for part in constraint.parts() if isinstance(part, RateConstraint)]
    return tuple(_reach(part, affine, choices) for part, affine in rates if affine is not None)


@jax.jit
def _prepare(constraint: RateConstraint, choices: Choices) -> Members:
    """As one program, not an operation at a time."""
    return constraint.prepare(choices)


def _reach(constraint: RateConstraint, affine: tuple[float, float], choices: Choices) -> Reach:
    for name in constraint.twins():
        if name not in choices.twins:
            raise ValueError(f"{constraint.name()}: expected choices with twins of {name!r}, got {list(choices.twins)}")
    names, (offset, slope) = constraint.cells(), affine
    cells = len(names)
    groups = len(constraint.groups()) if isinstance(constraint, Parity) else 1
    rows = _prepare(constraint, choices)
    cell, share = np.asarray(rows.cell), np.asarray(rows.share, float)
    mass = np.bincount(cell.ravel(), share.ravel(), cells + 1)
    scale = np.append(1 / np.where(mass[:cells] > 0, mass[:cells], 1), 0)
    coefficient = share * scale[cell]  # [n, K, E]; 0 for members of no cell
    available = np.asarray(choices.available)
    alone_set = any(choices.twins[name].items is not None for name in constraint.twins())
    low, high = np.zeros(cells + 1), np.zeros(cells + 1)
    for slot in range(cell.shape[-1]):
        own, value = cell[..., slot], coefficient[..., slot]
        if alone_set:  # every twin is a world of its own; its decision is free unless it is the only alternative
            sole = available.sum(1, keepdims=True) == 1
            np.add.at(high, own, value)
            np.add.at(low, own, np.where(sole, value, 0))
        else:
            _add_world(low, high, own, value, available)
    low, high = low[:cells], high[:cells]
    empty = mass[:cells] <= 0
    vacant = tuple(name for name, none in zip(names, empty, strict=True) if none)
    members = np.bincount(cell[share > 0], minlength=cells + 1)[:cells]
    small = tuple(f"{name} ({count})" for name, count in zip(names, members, strict=True) if 0 < count < SMALL)
    tiny = 1e-9
    stuck = ~empty & (high - low <= tiny)
    if not isinstance(constraint, Parity):
        immovable = tuple(f"the rate of {names[c]}" for c in np.flatnonzero(stuck))
        masses = jnp.asarray(mass[:cells])
        ends = [
            np.asarray(constraint.combine(Statistics(masses * (offset + slope * jnp.asarray(end)), masses)))[~empty]
            for end in (low, high)
        ]
        return Reach(
            constraint.name(), vacant, small, (), immovable,
            float(np.minimum(*ends).max(initial=-np.inf)), float(np.maximum(*ends).max(initial=-np.inf)),
        )  # fmt: skip
    blocks = (len(constraint.blocks()), groups)
    empty, stuck = empty.reshape(blocks), stuck.reshape(blocks)
    low, high = low.reshape(blocks), high.reshape(blocks)
    span = high[:, :, None] - low[:, None, :]  # largest rate_g - rate_h [B, G, G]
    both = ~empty[:, :, None] & ~empty[:, None, :] & ~np.eye(groups, dtype=bool)
    fixed = both & stuck[:, :, None] & stuck[:, None, :]
    pairs = [
        f"{constraint.groups()[g]} against {constraint.groups()[h]}"
        + (f" | {constraint.blocks()[b]}" if constraint.blocks()[b] else "")
        for b, g, h in np.argwhere(np.triu(fixed))
    ]
    least = np.where(both, -np.swapaxes(span, 1, 2), 0)  # smallest rate_g - rate_h
    most = np.where(both, np.minimum(span, 1), -np.inf)
    alone = (~empty).sum(1) == 1
    return Reach(
        constraint.name(),
        vacant,
        small,
        tuple(block or "all choices" for block, one in zip(constraint.blocks(), alone, strict=True) if one),
        tuple(pairs),
        abs(slope) * float(least.max(initial=0)),
        abs(slope) * float(most.max(initial=-np.inf)),
    )


def _add_world(low, high, own, value, available):
    """Add the ranges of the rates over choices whose K decisions sum to 1; `own` and `value` `[n, K]`."""
    for k in range(own.shape[1]):
        mine = own == own[:, k : k + 1]
        first = ~mine[:, :k].any(1)  # once for every cell of a choice
        part = np.where(mine, value, 0)
        np.add.at(high, own[first, k], part[first].max(1))
        np.add.at(low, own[first, k], np.where(available, part, np.inf)[first].min(1))
