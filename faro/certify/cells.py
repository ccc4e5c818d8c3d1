"""What a claim counts: which rows are members of which cell, with what mass and value, and what each method reads.

    rate of a cell = E sum mass z / E sum mass       over the rows of a unit in the cell; E over units

`cells` gives rows, masses and values; `sample` sums them per unit in the committed order; `kept` leaves one row of
every unit. The units are those of the table, or the values of the shared column that a claim names in `per`.
Definitions: docs/certificate-format.md, "What a claim measures".
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from constraints import ANOTHER

from ..errors import UsageError
from .audit import Audit, Codes
from .bounds.binomial import Floats
from .committed_order import key as hashed
from .committed_order import thinned
from .policy import EXCHANGE, FLOORS, SERVED, SIDES, Block, Claim, Policy

CUTOFF_SLACK = 1e-9  # a mean that is the cutoff but for rounding is of the tail
NEVER_IMMOVABLE = ("threshold_parity", "reward_parity", "counterfactual_oscillation", "counterfactual_flip")


class Cell(NamedTuple):
    """Members of a cell: row numbers, masses, values in [0, 1]."""

    rows: Codes
    mass: Floats
    z: Floats


class Sample(NamedTuple):
    """Per unit that has members in a cell, in the committed order: sums of mass z, and of mass."""

    totals: Floats
    masses: Floats


class Halves(NamedTuple):
    """The choices of all units, each cut in two by hash: the first half of a unit, rounded down, ranks it.

    order: `[m]` which choices, those of a unit side by side
    of_unit: `[m]` number of the unit
    in_a: `[m]` whether a choice is of half A
    mean: `[units]` mean gain over half A; NaN without one
    """

    order: Codes
    of_unit: Codes
    in_a: NDArray[np.bool_]
    mean: Floats


Blocks = dict[str, dict[str, Cell]]


def _shares(rank: Codes, mass: Floats) -> Floats:
    """Mass of every choice as a share of its unit's."""
    whole = np.bincount(rank, mass)[rank]
    return np.divide(mass, whole, out=np.zeros_like(mass), where=mass > 0)


class People:
    """An audit table under a policy, its units in the order that `key` fixes."""

    def __init__(self, policy: Policy, audit: Audit, key: str = ""):
        self.policy, self.audit, self.key = policy, audit, key
        self.threshold = float(policy.threshold)
        self.decisions = audit.decisions(audit.reward, self.threshold)
        self.first = np.unique(audit.member_of, return_index=True)[1]  # row of every choice
        self._ranks: dict[str | None, Codes] = {}

    def names(self, claim: Claim) -> list[str]:
        """The unit of every row, as this claim means it."""
        return self.audit.units_by(claim.units)

    def rank(self, claim: Claim) -> Codes:
        """Of every row's unit in the committed order."""
        if claim.units not in self._ranks:
            names = self.names(claim)
            ordered = sorted(set(names), key=lambda name: hashed(self.key, name))
            ranked = {name: rank for rank, name in enumerate(ordered)}
            self._ranks[claim.units] = np.fromiter(map(ranked.__getitem__, names), np.intp, len(names))
        return self._ranks[claim.units]

    def cap(self, claim: Claim) -> float:
        """The largest mass of a unit in a cell."""
        return 1.0 if claim.by_unit or self.policy.estimand == "unit" else float(claim.cap or self.policy.cap or 0)

    def blind(self, claim: Claim, cells: Blocks) -> str | None:
        """Why the decisions of a claim of pairs cannot tell groups apart, or None; docs/certificate-format.md."""
        if not claim.paired or claim.constraint in FLOORS:
            return None
        values = np.concatenate([cell.z for groups in cells.values() for cell in groups.values()])
        rows = np.concatenate([cell.rows for groups in cells.values() for cell in groups.values()])
        if not len(values):
            return None
        if values.min() == values.max():
            number_name = "value" if claim.scores or claim.by_unit else "reward"
            what = f"{number_name} is the same" if claim.of_rewards else f"decision is {values[0]:g}"
            return f"every {what}: that cannot tell groups apart"
        if claim.of_rewards or claim.by_choice or self.policy.rule:
            return None
        choices = self.audit.member_of[rows]
        tied = Fraction(len(set(choices[(values > 0) & (values < 1)])), len(set(choices)))
        if tied > Fraction(self.policy.ties):
            return f"ties decide {float(tied):.1%} of the choices, the policy allows {self.policy.ties:.1%}"
        return None

    def cells(self, claim: Claim) -> Blocks:
        """The cells of a claim by block and group; `UsageError` if no model can move its rates."""
        blocks: Blocks = {}
        if claim.plugin:
            return {block.name: self._made(claim, block) for block in claim.blocks}
        if claim.by_unit:
            return {block.name: self._welfare(claim, block) for block in claim.blocks}
        if claim.constraint == SERVED:
            return {block.name: self._served(claim, block) for block in claim.blocks}
        if claim.constraint == EXCHANGE:
            return {block.name: self._exchanged(claim, block) for block in claim.blocks}
        for block in claim.blocks:
            mass, row_level = self._members(claim, block)
            self._check_movable(claim, block, mass, row_level)
            if self.policy.estimand == "unit":
                rank = self.rank(claim)
                whole = np.bincount(rank, mass)[rank]
                mass = np.divide(mass, whole, out=np.zeros_like(mass), where=mass > 0)
            blocks[block.name] = {}
            for group in claim.groups:
                level = self._level(claim, group)
                inside = mass > 0
                if claim.constraint in ("counterfactual_flip", "counterfactual_oscillation"):
                    inside &= row_level != level
                elif not claim.twins:
                    inside &= row_level == level
                rows = np.flatnonzero(inside)
                blocks[block.name][group] = Cell(rows, mass[rows], self._values(claim, block, level)[rows])
        return blocks

    def _served(self, claim: Claim, block: Block) -> dict[str, Cell]:
        """How likely the answer to each choice is of the kind, at the choice's first row."""
        audit, first = self.audit, self.first
        of_kind = self._of_kind(claim)
        assert of_kind is not None and claim.attribute is not None
        at, row_level = audit.member_of, audit.levels[claim.attribute][first]
        likely = np.minimum(np.bincount(at, np.where(of_kind, self.decisions, 0)), 1)
        mass = self._of_choices(claim, np.isin(row_level, [self._level(claim, group) for group in claim.groups]))
        several = np.bincount(at, of_kind), np.bincount(at, ~of_kind) + audit.outside[first]
        if (mass > 0).any() and not ((mass > 0) & (several[0] > 0) & (several[1] > 0)).any():
            raise UsageError(f"claim {claim.name!r}: no model can move these rates: every set is of one kind")
        cells = {}
        for group in claim.groups:
            inside = (mass > 0) & (row_level == self._level(claim, group))
            cells[group] = Cell(first[inside], mass[inside], likely[inside])
        return cells

    def _exchanged(self, claim: Claim, block: Block) -> dict[str, Cell]:
        """How far the decision is from that with somebody else in the person's place, at the choice's first row."""
        audit, first, of_kind = self.audit, self.first, self._of_kind(claim)
        at, counts = audit.member_of, audit.valid_twins(ANOTHER, chooser=True)[first]
        other = audit.twin_decisions(ANOTHER, True, self.threshold)[0]
        apart = np.bincount(at, np.abs(self.decisions - other))
        apart += np.abs(np.bincount(at, self.decisions) - np.bincount(at, other))  # on the outside option
        if claim.within:
            level = self.policy.attributes[claim.within].levels.index(block.stratum)
            counts &= audit.levels[claim.within][first] == level
        if of_kind is not None:
            counts &= np.bincount(at, of_kind) > 0
        mass = self._of_choices(claim, counts)
        inside = mass > 0
        return {"": Cell(first[inside], mass[inside], np.minimum(apart / 2, 1)[inside])}

    def _of_kind(self, claim: Claim) -> NDArray[np.bool_] | None:
        """Of every row whether it is of the kind that a claim is about; None: of all."""
        if not claim.of:
            return None
        name, level = claim.of
        return self.audit.levels[name] == self.policy.attributes[name].levels.index(level)

    def _of_choices(self, claim: Claim, counts: NDArray[np.bool_]) -> Floats:
        """Mass of every choice, counted as one: its weight, or its share of its unit's, where it counts; else 0."""
        mass = np.where(counts, self.audit.weight[self.first], 0)
        return _shares(self.rank(claim)[self.first], mass) if self.policy.estimand == "unit" else mass

    def _made(self, claim: Claim, block: Block) -> dict[str, Cell]:
        """The cells of a block that a plug-in made: a row is in as many as it has slots there."""
        counted = self.audit.plugins[claim.plugin_sha256]
        value = counted.value
        if value is None:
            decided = self.decisions if counted.made.values == "decision" else 1 - self.decisions
            value = np.broadcast_to(decided[:, None], counted.cell.shape)
        member = {group: counted.cell == counted.place(block.name, group) for group in claim.groups}
        shares = np.stack([np.where(inside, counted.share, 0).sum(1) for inside in member.values()], 1)
        if counted.value is None:
            self._check_comparable(claim, block, shares)
        whole = np.ones(len(shares))
        if self.policy.estimand == "unit":
            rank = self.rank(claim)
            whole = np.bincount(rank, shares.sum(1)).astype(float)[rank]
        cells: dict[str, Cell] = {}
        for group, inside in member.items():
            at, slot = np.nonzero(inside)
            cells[group] = Cell(at, counted.share[at, slot] / whole[at], value[at, slot])
        return cells

    def _check_comparable(self, claim: Claim, block: Block, shares: Floats) -> None:
        """As `_check_movable`, of rows by their mass in each cell of the block, `[rows, groups]`."""
        choice, counts = self.audit.member_of, shares.any(1)
        first = np.full(int(choice.max()) + 1, len(shares))
        np.minimum.at(first, choice, np.arange(len(shares)))
        differ = (shares != shares[first[choice]]).any(1)
        here = np.bincount(choice, counts) > 0
        if counts.any() and not ((self.audit.outside | differ) & here[choice]).any():
            self._refuse_immovable(claim, block)

    def _welfare(self, claim: Claim, block: Block) -> dict[str, Cell]:
        """The cells of a block of people: a choice is its first row, and counts by its share of its unit."""
        audit, attributes = self.audit, self.policy.attributes
        first = self.first
        mass = audit.weight[first]
        if claim.within:
            mass = np.where(
                audit.levels[claim.within][first] == attributes[claim.within].levels.index(block.stratum), mass, 0
            )
        row_level = audit.levels[claim.attribute][first] if claim.attribute else np.zeros(len(first), np.intp)
        if claim.attribute:
            mass = np.where(np.isin(row_level, [self._level(claim, group) for group in claim.groups]), mass, 0)
        rank = self.rank(claim)[first]
        model = audit.welfare(audit.reward, self.threshold, claim)
        if claim.constraint not in FLOORS:
            share = _shares(rank, mass)
            groups = {group: (share > 0) & (row_level == self._level(claim, group)) for group in claim.groups}
            return {group: Cell(first[inside], share[inside], model[inside]) for group, inside in groups.items()}
        aggregate = audit.welfare(audit.others[claim.against or ""], self.threshold, claim)
        if claim.constraint == "welfare_tail":
            mass = self._tail(first, rank, mass, model - aggregate, float(claim.cutoff))
        share = _shares(rank, mass)
        inside = share > 0
        return {
            side: Cell(first[inside], share[inside], z[inside])
            for side, z in zip(SIDES, (aggregate, model), strict=True)
        }

    def _tail(self, first: Codes, rank: Codes, mass: Floats, gained: Floats, cutoff: float) -> Floats:
        """Mass of the choices of half B of those units whose mean over half A is at most the cutoff; 0 for others."""
        halves = self._halves(first, rank, mass, gained)
        tail = halves.mean <= cutoff + CUTOFF_SLACK  # NaN is not
        kept = np.zeros_like(mass)
        kept[halves.order] = np.where(tail[halves.of_unit] & ~halves.in_a, mass[halves.order], 0)
        return kept

    def _halves(self, first: Codes, rank: Codes, mass: Floats, gained: Floats) -> Halves:
        audit, counts = self.audit, np.flatnonzero(mass > 0)
        lots = [hashed(self.key, "half", audit.unit[first[at]], audit.choice[first[at]]) for at in counts]
        order = counts[np.lexsort((np.array(lots, str), rank[counts]))]
        units, begins, sizes = np.unique(rank[order], return_index=True, return_counts=True)
        of_unit = np.repeat(np.arange(len(units)), sizes)
        in_a = np.arange(len(order)) - begins[of_unit] < (sizes // 2)[of_unit]
        weights = np.where(in_a, mass[order], 0)
        whole = np.bincount(of_unit, weights, minlength=len(units))
        total = np.bincount(of_unit, weights * gained[order], minlength=len(units))
        mean = np.divide(total, whole, out=np.full(len(units), np.nan), where=whole > 0)
        return Halves(order, of_unit, in_a, mean)

    def cutoff(self, claim: Claim, share: float) -> tuple[float, float, int]:
        """The cutoff below which this share of units lies by half A, the share that it makes, and of how many units.

        claim: a `welfare_tail`, whatever its cutoff
        share: of the units of two or more choices, in (0, 1)
        """
        first = self.first
        gained = self.audit.welfare(self.audit.reward, self.threshold, claim)
        gained = gained - self.audit.welfare(self.audit.others[claim.against or ""], self.threshold, claim)
        mean = self._halves(first, self.rank(claim)[first], self.audit.weight[first], gained).mean
        mean = mean[~np.isnan(mean)]
        if not len(mean):
            return 0.0, 0.0, 0
        found = float(np.quantile(mean, share, method="inverted_cdf"))
        return found, float(np.mean(mean <= found + CUTOFF_SLACK)), len(mean)

    def _level(self, claim: Claim, group: str) -> int:
        return self.policy.attributes[claim.attribute].levels.index(group) if claim.attribute else 0

    def untwinned(self) -> dict[str, dict[str, int]]:
        """Of the attributes that claims set to their levels: how many choices are asked about, and in how many of them
        a row is not counted for want of a twin; none where all have theirs."""
        found = {}
        for name in self.policy.twins:
            asked, missing = set[int](), set[int]()
            for claim in self.policy.audited:
                if claim.twins and claim.attribute == name:
                    valid = self.audit.valid_twins(name, self.policy.attributes[name].chooser)
                    for block in claim.blocks:
                        rows = self._asked(claim, block)[0] > 0
                        asked |= set(self.audit.member_of[rows].tolist())
                        missing |= set(self.audit.member_of[rows & ~valid].tolist())
            if missing:
                found[name] = {"choices": len(asked), "missing": len(missing)}
        return found

    def _members(self, claim: Claim, block: Block) -> tuple[Floats, Codes]:
        """Mass of every row in the block, 0 for others, and the number of its level."""
        mass, row_level = self._asked(claim, block)
        if claim.twins and claim.attribute:
            mass = np.where(
                self.audit.valid_twins(claim.attribute, self.policy.attributes[claim.attribute].chooser), mass, 0.0
            )
        return mass, row_level

    def _asked(self, claim: Claim, block: Block) -> tuple[Floats, Codes]:
        """The same, whether a row has the twins that it needs or not."""
        audit, attributes = self.audit, self.policy.attributes
        everyone = np.zeros(len(audit.weight), np.intp)
        row_level = audit.levels[claim.attribute] if claim.attribute else everyone
        mass = audit.weight
        if block.event:
            assert audit.label is not None
            mass = mass * (audit.label if block.event == "chosen" else 1 - audit.label)
        taking_part = range(len(attributes[claim.attribute].levels)) if claim.twins and claim.attribute else None
        inside = np.isin(row_level, taking_part or [self._level(claim, group) for group in claim.groups])
        if claim.within:
            inside &= audit.levels[claim.within] == attributes[claim.within].levels.index(block.stratum)
        if (of_kind := self._of_kind(claim)) is not None:
            inside &= of_kind
        return np.where(inside, mass, 0.0), row_level

    def _values(self, claim: Claim, block: Block, level: int) -> Floats:
        """z of every row, for the group of this level."""
        kind, audit = claim.constraint, self.audit
        if kind in ("rate_floor", "group_error"):
            return 1 - self.decisions
        if kind == "threshold_parity":  # the reward itself, where its whole law is needed
            raw = claim.everywhere or claim.ball == "w1"
            return audit.reward if raw else (audit.reward > float(block.threshold)).astype(float)
        if kind == "reward_parity":
            return self._scores(claim)
        if not claim.twins or not claim.attribute:
            return self.decisions
        if kind == "counterfactual_oscillation":
            moves = np.abs(audit.reward - np.nan_to_num(audit.twins[claim.attribute][level])) / float(claim.scale)
            return (moves > 1).astype(float) if claim.tail else np.minimum(moves, 1)
        chooser = self.policy.attributes[claim.attribute].chooser
        twin = audit.twin_decisions(claim.attribute, chooser, self.threshold)[level]
        return twin if kind == "counterfactual_parity" else np.abs(self.decisions - twin)

    def _scores(self, claim: Claim) -> Floats:
        if claim.score == "sigmoid":
            return special.expit(self.audit.reward / float(claim.scale))
        low, high = float(claim.low), float(claim.high)
        return np.clip((self.audit.reward - low) / (high - low), 0, 1)

    def _check_movable(self, claim: Claim, block: Block, mass: Floats, row_level: Codes) -> None:
        """Without an outside option, decisions in a choice sum to 1: they move no rate if all its alternatives are in
        one same cell with the same mass."""
        chooser = claim.attribute is not None and self.policy.attributes[claim.attribute].chooser
        if claim.constraint in NEVER_IMMOVABLE or (claim.twins and not chooser) or not (mass > 0).any():
            return
        choice = self.audit.member_of
        choices = int(choice.max()) + 1
        first = np.full(choices, len(mass))
        np.minimum.at(first, choice, np.arange(len(mass)))
        head = first[choice]
        differ = mass != mass[head]
        if not claim.twins:
            differ |= (row_level != row_level[head]) & ((mass > 0) | (mass[head] > 0))
        counts = np.bincount(choice, mass > 0) > 0
        if not ((self.audit.outside | differ) & counts[choice]).any():
            self._refuse_immovable(claim, block)

    def _refuse_immovable(self, claim: Claim, block: Block) -> None:
        raise UsageError(
            f"claim {claim.name!r}, block {block.name!r}: no model can move these rates, since the decisions in "
            "every choice sum to 1; compare alternatives `of` one kind"
        )

    def sample(self, claim: Claim, rows: Codes, mass: Floats, z: Floats) -> Sample:
        """Sums per unit; `UsageError` for a unit above the cap."""
        ranks = self.rank(claim)
        rank, units, cap = ranks[rows], int(ranks.max()) + 1, self.cap(claim)
        totals = np.bincount(rank, mass * z, minlength=units).astype(float)
        masses = np.bincount(rank, mass, minlength=units).astype(float)
        some = np.bincount(rank, minlength=units) > 0
        totals, masses = totals[some], masses[some]
        if len(masses) and masses.max() > cap * (1 + 1e-9):
            raise UsageError(
                f"claim {claim.name!r}: a unit has mass {masses.max():g} in a cell, above the cap {cap:g}: raise "
                "the policy's cap, nothing is ever truncated"
            )
        masses = np.minimum(masses, cap)  # sums of doubles may exceed an exact cap by rounding
        return Sample(np.clip(totals, 0, masses), masses)

    def units(self, claim: Claim, cell: Cell) -> int:
        """How many a cell has."""
        return len(np.unique(self.rank(claim)[cell.rows]))

    def kept(self, claim: Claim, cells: dict[str, Cell]) -> dict[str, Floats]:
        """Values of one row per unit in a block, in the committed order of units; `UsageError` if rows of a unit may
        not stand for it."""
        ranks, found = self.rank(claim), {}
        if self.by_means(claim):
            return self._means(claim, cells)
        for group, cell in self.one_row_each(claim, cells).items():
            found[group] = cell.z[np.argsort(ranks[cell.rows], kind="stable")]
        return found

    def by_means(self, claim: Claim) -> bool:
        """Whether methods that want one number of a unit are given the mean of its rows, and not one of them."""
        return self.policy.estimand == "unit" and claim.decided and bool(self.policy.rule or claim.by_choice)

    def _means(self, claim: Claim, cells: dict[str, Cell]) -> dict[str, Floats]:
        """The mean value of every unit, which is in one group alone, in the committed order of units."""
        ranks = self.rank(claim)
        found: dict[str, Floats] = {}
        seen = np.zeros(int(ranks.max()) + 1, bool)
        for group, cell in cells.items():
            rank = ranks[cell.rows]
            if seen[rank].any():
                raise UsageError(
                    f"claim {claim.name!r}: a unit is in two groups of a block, and block-pair needs groups that share "
                    "none; use unit-ratio"
                )
            seen[rank] = True
            present = np.unique(rank)
            found[group] = np.clip(np.bincount(rank, cell.mass * cell.z)[present].astype(float), 0, 1)
        return found

    def one_row_each(self, claim: Claim, cells: dict[str, Cell]) -> dict[str, Cell]:
        """The cells of a block with one row per unit, all of mass 1; `UsageError` as in `kept`."""
        rows = np.concatenate([cell.rows for cell in cells.values()])
        mass = np.concatenate([cell.mass for cell in cells.values()])
        ranks = self.rank(claim)
        rank, units = ranks[rows], int(ranks.max()) + 1
        several = np.bincount(rank, minlength=units)[rank] > 1
        by_unit = self.policy.estimand == "unit"
        if several.any() and not by_unit:
            raise UsageError(
                f"claim {claim.name!r}: {claim.method} needs one row per unit; use unit-ratio, or estimand = 'unit'"
            )
        largest, least = np.full(units, -np.inf), np.full(units, np.inf)
        np.maximum.at(largest, rank if by_unit else rank * 0, mass)
        np.minimum.at(least, rank if by_unit else rank * 0, mass)
        if (largest > least).any():
            raise UsageError(f"claim {claim.name!r}: {claim.method} needs equal weights; use unit-ratio")
        if len(np.unique(rows)) < len(rows):
            raise UsageError(
                f"claim {claim.name!r}: a row is in several cells of a block: {claim.method} counts a row once; use "
                "unit-ratio"
            )
        keep = np.ones(len(self.audit.weight), bool)
        rows_of_several = rows[several]
        keep[rows_of_several] = False
        audit, unit = self.audit, self.names(claim)
        names = [(unit[row], audit.choice[row], audit.alternative[row]) for row in rows_of_several]
        keep[rows_of_several[thinned(names, self.key)]] = True
        kept = {}
        for group, cell in cells.items():
            mine = keep[cell.rows]
            kept[group] = Cell(cell.rows[mine], np.ones(int(mine.sum())), cell.z[mine])
        return kept
