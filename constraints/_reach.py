"""What any model at all could make a constraint measure: a measurement that no model can move is not fairness.

Decisions in a choice sum to 1, so a rate, or the difference of two rates in a block, ranges over

    sum_i min_k A_ik .. sum_i max_k A_ik         over available alternatives k, A = share * weight / mass

A range of width zero is immovable (demographic parity of randomly ordered pairs by the chooser's group is 1/2 always);
a largest value within the bound cannot bind; a smallest value above it is infeasible.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np

from ._choices import Choices
from ._constraint import Constraint, Statistics
from ._parity import Parity
from ._rate import RateConstraint

SMALL = 30  # a rate of fewer alternatives than this says little; it is reported, never dropped
WIDE = 12  # more alternatives than this: differences are bounded by their rates alone, an outer range


@dataclasses.dataclass(frozen=True)
class Reach:
    """What a constraint can measure on these choices, over all decisions.

    empty: cells without data (inactive); small: cells of fewer than `SMALL` alternatives (active); alone: blocks with
    data for one group only (inactive); immovable: what no model can move; lowest, highest: the gap lies in between
    whatever the model (inner ends may be unattainable together: lowest is a lower and highest an upper bound).
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
        if self.highest <= 0 and self.alone:
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
            "inactive": f"{self.name}: only one group has data, so there is nothing to compare",
            "infeasible": f"{self.name}: every model has a gap of {self.lowest:.4g} or more, the bound is {bound:.4g}",
            "cannot bind": f"{self.name}: no model exceeds {self.highest:.4g}, so the bound {bound:.4g} cannot bind",
            "ok": f"{self.name}: gaps up to {self.highest:.4g} are possible",
        }[what]


def reach(constraint: Constraint, choices: Choices) -> tuple[Reach, ...]:
    """`Reach` of every part of a constraint on these choices. Those that are no rates of decisions are left out."""
    known = [p for p in constraint.parts() if isinstance(p, RateConstraint) and p.affine() is not None]
    return tuple(_reach(part, choices) for part in known)


def _reach(constraint: RateConstraint, choices: Choices) -> Reach:
    for name in constraint.twins():
        if name not in choices.twins:
            raise ValueError(f"{constraint.name()}: expected choices with twins of {name!r}, got {list(choices.twins)}")
    names = constraint.cells()
    cells = len(names)
    groups = len(constraint.groups()) if isinstance(constraint, Parity) else 1
    rows = constraint.prepare(choices)
    cell, share = np.asarray(rows.cell), np.asarray(rows.share, float)
    mass = np.bincount(cell.ravel(), share.ravel(), cells + 1)
    scale = np.append(1 / np.where(mass[:cells] > 0, mass[:cells], 1), 0)
    coefficient = share * scale[cell]  # [n, K, E]; 0 for members of no cell
    available = np.asarray(choices.available)
    alone_set = any(choices.twins[name].items is not None for name in constraint.twins())
    low, high, joint = np.zeros(cells + 1), np.zeros(cells + 1), np.zeros((cells + 1, groups))
    for slot in range(cell.shape[-1]):
        own, value = cell[..., slot], coefficient[..., slot]
        if alone_set:  # every twin is a world of its own; its decision is free unless it is the only alternative
            sole = available.sum(1, keepdims=True) == 1
            np.add.at(high, own, value)
            np.add.at(low, own, np.where(sole, value, 0))
        else:
            _add_world(low, high, joint, own, value, available, cells, groups)
    low, high, joint = low[:cells], high[:cells], joint[:cells]
    empty = mass[:cells] <= 0
    vacant = tuple(name for name, none in zip(names, empty, strict=True) if none)
    members = np.bincount(cell[share > 0], minlength=cells + 1)[:cells]
    small = tuple(f"{name} ({count})" for name, count in zip(names, members, strict=True) if 0 < count < SMALL)
    tiny = 1e-9
    stuck = ~empty & (high - low <= tiny)
    if not isinstance(constraint, Parity):
        immovable = tuple(f"the rate of {names[c]}" for c in np.flatnonzero(stuck))
        offset, slope = constraint.affine() or (0.0, 1.0)
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
    # largest rate_g - rate_h [B, G, G]: apart, they reach high_g - low_h; `joint` corrects where one choice holds both
    span = high[:, :, None] - low[:, None, :] + joint.reshape(*blocks, groups)
    both = ~empty[:, :, None] & ~empty[:, None, :] & ~np.eye(groups, dtype=bool)
    fixed = both & stuck[:, :, None] & stuck[:, None, :]
    pairs = [
        f"{constraint.groups()[g]} against {constraint.groups()[h]}"
        + (f" | {constraint.blocks()[b]}" if constraint.blocks()[b] else "")
        for b, g, h in np.argwhere(np.triu(fixed))
    ]
    least = np.where(both, -np.swapaxes(span, 1, 2), 0)  # smallest rate_g - rate_h
    alone = (~empty).sum(1) == 1
    return Reach(
        constraint.name(),
        vacant,
        small,
        tuple(block or "all choices" for block, one in zip(constraint.blocks(), alone, strict=True) if one),
        tuple(pairs),
        float(max(least.max(initial=0), 0)),
        float(min(np.where(both, span, 0).max(initial=0), 1)),
    )


def _add_world(low, high, joint, own, value, available, cells, groups):
    """Add the ranges of choices whose K decisions sum to 1: of every rate, and of every difference within a block."""
    k = own.shape[1]
    ends = {}
    for a in range(k):
        first = (own[:, a] < cells) & ~(own[:, :a] == own[:, a : a + 1]).any(1)
        part = np.where(own == own[:, a : a + 1], value, 0)
        top = np.where(available, part, -np.inf).max(1)
        bottom = np.where(available, part, np.inf).min(1)
        ends[a] = (first, part, top, bottom)
        np.add.at(high, own[first, a], top[first])
        np.add.at(low, own[first, a], bottom[first])
    if k > WIDE:
        return
    for a in range(k):
        for b in range(k):
            same_block = own[:, a] // groups == own[:, b] // groups
            pair = ends[a][0] & ends[b][0] & same_block & (own[:, a] != own[:, b])
            if pair.any():
                difference = np.where(available, ends[a][1] - ends[b][1], -np.inf).max(1)
                correction = difference - (ends[a][2] - ends[b][3])
                np.add.at(joint, (own[pair, a], own[pair, b] % groups), correction[pair])
