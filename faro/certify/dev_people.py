"""What the dev people of a run show in the claims of a policy, member by member: what a gate is foretold from.

Every seed has dev people of its own; a person of several seeds is drawn in all of them. Rows, cells and methods are
those of the gate itself: `scored`, `audit`, `cells` and `claims` do here what they will do there. Of the gate part
nothing is read: that it has as many people as the dev part, but for the ratio of their shares, is what the split says.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..data import Dataset
from ..data.split import GATE, PARTS, SHARES
from ..errors import UsageError
from ..store.model import TrainedModel
from . import claims
from .audit import Audit
from .bounds.binomial import Floats
from .cells import Cell, People
from .certificate import read_described
from .policy import Claim, Comparison, Policy
from .predicted import NOBODY, USUAL, Draws, Gate
from .scored import under, write_scored

RATIO = GATE / SHARES[PARTS.index("dev")]  # people of the gate by people of dev
DRAWS = 1000
ENTRIES = 1 << 22  # numbers of a block of draws
KEYS = ("a", "b", "c")  # orders of units that widths are means over


class Asked(NamedTuple):
    """A comparison of a claim: of two cells, or of one; `high` and `low` are columns of all cells."""

    claim: Claim
    comparison: Comparison
    high: int
    low: int


@dataclasses.dataclass(frozen=True, eq=False)
class DevPeople:
    """M members on their dev people, C cells of the policy's claims.

    policy   what is asked
    audits   of every member its scored dev people
    samples  `[M][C]` units, masses and totals of a cell
    asked    `[P]` the comparisons
    correct  `[M]` units, weights and weights of choices decided as people did
    base     `[M]` the member that utilities are taken against, -1 for none
    blind    `[M]` why a claim cannot tell groups apart by this member's decisions, or ""
    """

    policy: Policy
    audits: list[Audit]
    samples: list[list[Sample]]
    asked: list[Asked]
    correct: list[Sample]
    base: np.ndarray
    blind: list[str]

    def gate(self, ratio: float = RATIO) -> Gate:
        """What the gate asks, before any width is measured."""
        high, low = ([getattr(own, side) for own in self.asked] for side in ("high", "low"))
        bounds = [_scaled(own.claim, own.claim.bound) for own in self.asked]
        size = np.array([[sample.size * ratio for sample in own] for own in self.samples])
        count = len(self.asked)
        return Gate(
            np.arange(count),
            np.array(high),
            np.array(low),
            np.array(bounds),
            np.full(count, USUAL),
            np.maximum(size, 1),
        )

    def measure(self, level: float) -> Callable[[Gate, int], Floats]:
        """Widths of a gate's comparisons, by the methods themselves, at a member's dev people."""

        def widths(gate: Gate, member: int) -> Floats:
            return np.mean([self._widths(gate, member, level, key) for key in KEYS], 0)

        return widths

    def _widths(self, gate: Gate, member: int, level: float, key: str) -> Floats:
        people = People(self.policy, self.audits[member], key)
        cells = samples_of(people, names_of([people]))
        found = np.zeros(len(gate.name))
        for claim in self.policy.audited:
            mine = [place for place, name in enumerate(gate.name) if self.asked[name].claim is claim]
            if not mine:
                continue
            uppers = claims.uppers(claim, people, level, [self.asked[gate.name[place]].comparison for place in mine])
            for place, upper in zip(mine, uppers, strict=True):
                sides = [cells[column] for column in (gate.high[place], gate.low[place]) if column != NOBODY]
                apart = sides[0].counted - (sides[1].counted if len(sides) > 1 else 0)
                error = np.sqrt(sum(side.rate * (1 - side.rate) / side.size for side in sides))
                found[place] = max(0.0, _scaled(claim, upper) - apart) / error
        return found

    @property
    def utility(self) -> Floats:
        """`[M]` accuracy less that of the unconstrained member of the same seed."""
        return self._apart(np.array([own.counted for own in self.correct]))

    def _apart(self, accuracy: Floats) -> Floats:
        base = np.where(self.base >= 0, self.base, 0)
        return accuracy - np.where(self.base >= 0, accuracy[..., base], 0)

    def draws(self, count: int = DRAWS, seed: int = 0, ratio: float = RATIO) -> Draws:
        """Rates and utilities of people drawn again: units by gammas (a Bayesian bootstrap, to which half a unit of
        rate 0 and half a one of rate 1 are added in every cell), then those of the gate by Poissons."""
        rng = np.random.default_rng(seed)
        units = 1 + max(int(own.units.max(initial=-1)) for samples in (*self.samples, self.correct) for own in samples)
        size = max(1, ENTRIES // units)
        blocks = [self._drawn(rng, min(size, count - start), units, ratio) for start in range(0, count, size)]
        return Draws(*(np.concatenate(own) for own in zip(*blocks, strict=True)))

    def _drawn(self, rng: np.random.Generator, count: int, units: int, ratio: float) -> Draws:
        members, cells = len(self.samples), len(self.samples[0])
        once_of = rng.standard_gamma(1, (count, units))
        twice_of = rng.poisson(ratio * once_of).astype(float)
        halves = rng.standard_gamma(0.5, (2, count, cells))
        halves_there = rng.poisson(ratio * halves).astype(float)
        once, twice = np.empty((2, count, members, cells))
        utility = np.empty((count, members))
        for m, samples in enumerate(self.samples):
            for c, own in enumerate(samples):
                once[:, m, c] = own.rates(once_of, halves[:, :, c])
                many = twice_of[:, own.units]
                enough = many.sum(1) >= self.policy.min_group
                with np.errstate(invalid="ignore", divide="ignore"):
                    twice[:, m, c] = np.where(enough, own.rates(twice_of, halves_there[:, :, c]), np.nan)
            utility[:, m] = self.correct[m].rates(once_of, np.zeros((2, count)))
        twice[:, [m for m, why in enumerate(self.blind) if why]] = np.nan
        return Draws(once, twice, self._apart(utility))


class Sample(NamedTuple):
    """A cell, or all people: numbers of the units in it, and sums of mass and of mass z per unit."""

    units: np.ndarray
    masses: Floats
    totals: Floats

    @property
    def half(self) -> float:
        """The mass of a unit that is added by half."""
        return float(self.masses.mean()) if len(self.masses) else 1.0

    @property
    def counted(self) -> float:
        return float(self.totals.sum() / max(self.masses.sum(), 1e-300))

    @property
    def rate(self) -> float:
        """With half a unit of rate 0 and half a one of rate 1."""
        return float((self.totals.sum() + self.half / 2) / (self.masses.sum() + self.half))

    @property
    def size(self) -> float:
        """Independent units, each 0 or 1, that would show the rate as surely."""
        p, m = self.rate, self.half
        spread = ((self.totals - p * self.masses) ** 2).sum() + m**2 * (p**2 + (1 - p) ** 2) / 2
        return float(p * (1 - p) * (self.masses.sum() + m) ** 2 / spread)

    def rates(self, drawn: Floats, halves: Floats) -> Floats:
        """`[B]` of draws `[B, U]` of units, and `[2, B]` of the halves of rate 0 and of rate 1."""
        mine = drawn[:, self.units]
        added = halves * self.half
        return (mine @ self.totals + added[1]) / (mine @ self.masses + added.sum(0))


# Reading --------------------------------------------------------------------------------------------------------------


def read_dev(
    data: Dataset, models: Sequence[TrainedModel], files: Sequence[Sequence[Path]], policy: Policy, base: np.ndarray
) -> DevPeople:
    """The dev people of these members under a policy.

    data    of the run
    models  its members, in any order
    files   those of each model
    policy  what is asked of people
    base    `[M]` see `DevPeople`

    `UsageError` for a claim whose bound no rates foretell.
    """
    for claim in policy.audited:
        if not foretellable(claim):
            raise UsageError(f"claim {claim.name!r} compares whole distributions, whose chance is not foretold")
    if not policy.audited:
        raise UsageError("no claim of the policy is about people: there is nothing to foretell")
    audits: list[Audit] = []
    tables: list[pd.DataFrame] = []
    of_seed: dict[int, tuple[Dataset, Audit]] = {}
    made = any(claim.plugin for claim in policy.audited)
    for model, own in zip(models, files, strict=True):
        seed = model.about["seed"]
        part = of_seed[seed][0] if seed in of_seed else data.take(data.rows("dev", seed))
        if made or seed not in of_seed:
            table, audit = audited(model, part, own, policy, policy.twins)
            of_seed[seed] = part, audit
        else:
            deciding, rule = under(model, policy)
            scored = deciding.score(part, policy.twins, rule=deciding.rule_named(rule))
            table = _in_order(scored[scored["part"] == "dev"])
            audit = _rescored(of_seed[seed][1], table, policy)
        audits.append(audit)
        tables.append(table)
    everybody = [People(policy, audit, KEYS[0]) for audit in audits]
    names = names_of(everybody)
    samples = [samples_of(people, names) for people in everybody]
    blind = [next(filter(None, (people.blind(c, people.cells(c)) for c in policy.audited)), "") for people in everybody]
    correct = [_correct(audit, table, names) for audit, table in zip(audits, tables, strict=True)]
    return DevPeople(policy, audits, samples, asked_of(policy), correct, base, blind)


def foretellable(claim: Claim) -> bool:
    """Whether a claim is one of rates or means in cells, and not of whole distributions."""
    return not claim.everywhere and claim.ball != "w1"


def audited(
    model: TrainedModel, part: Dataset, files: Sequence[Path], policy: Policy, twins: list[str]
) -> tuple[pd.DataFrame, Audit]:
    """The scored table as the gate would read it, rows in its order."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "dev.csv")
        model, rule = under(model, policy)
        table = write_scored(model, part, place, part="dev", twins=twins, files=files, rule=rule)
        _, _, audit = read_described(place, policy)
    return _in_order(table), audit


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Rows as `audit_of` sorts them."""
    names = list(zip(*(table[name].astype(str) for name in ("unit", "choice", "alternative")), strict=True))
    return table.iloc[sorted(range(len(names)), key=names.__getitem__)]


def _rescored(audit: Audit, table: pd.DataFrame, policy: Policy) -> Audit:
    """The same people as another model scores them."""
    twins = {
        name: np.stack([table[column].to_numpy(float) for column in policy.twin_columns(name)]) for name in audit.twins
    }
    return dataclasses.replace(audit, reward=table["reward"].to_numpy(float) + 0.0, twins=twins)


Names = dict[tuple[str | None, str], int]


def names_of(everybody: Sequence[People]) -> Names:
    """A number for every unit, and for every value of a column that a claim takes for units."""
    named: dict[tuple[str | None, str], None] = {}
    for people in {id(own.audit.unit): own for own in everybody}.values():
        for per in dict.fromkeys((None, *(claim.units for claim in people.policy.audited))):  # in one order
            named |= dict.fromkeys((per, name) for name in people.audit.units_by(per))
    return {name: number for number, name in enumerate(named)}


def samples_of(people: People, names: Names) -> list[Sample]:
    """Every cell of every claim, in the order of `asked_of`."""
    found = []
    for claim in people.policy.audited:
        codes = np.array([names[claim.units, name] for name in people.names(claim)])
        for groups in people.cells(claim).values():
            if claim.moves:
                groups = {f"{a}|{b}": _moved(groups, a, b) for a in groups for b in groups if a != b}
            elif claim.method != "unit-ratio" and not people.by_means(claim):
                groups = people.one_row_each(claim, groups)
            found += [_summed(cell, codes) for cell in groups.values()]
    return found


def _moved(groups: dict[str, Cell], high: str, low: str) -> Cell:
    """Twins at two levels, whose difference is from -1 to 1, as a rate."""
    a, b = groups[high], groups[low]
    return Cell(a.rows, a.mass, (1 + a.z - b.z) / 2)


def _summed(cell: Cell, codes: np.ndarray) -> Sample:
    units, back = np.unique(codes[cell.rows], return_inverse=True)
    masses, totals = (np.bincount(back, own).astype(float) for own in (cell.mass, cell.mass * cell.z))
    return Sample(units, masses, totals)


def _correct(audit: Audit, table: pd.DataFrame, names: Names) -> Sample:
    """Of every unit the weight of its choices, and that of those decided as people did; the outside option is what the
    alternatives leave."""
    choice, weight = audit.member_of, audit.weight
    label, decided = (table[name].to_numpy(float) for name in ("label", "decision"))
    first = np.unique(choice, return_index=True)[1]
    right = np.bincount(choice, label * decided)
    left = [np.clip(1 - np.bincount(choice, own), 0, 1) for own in (label, decided)]
    codes = np.array([names[None, audit.unit[row]] for row in first])
    return _summed(Cell(np.arange(len(first)), weight[first], right + left[0] * left[1]), codes)


def asked_of(policy: Policy) -> list[Asked]:
    found: list[Asked] = []
    begun = 0
    for claim in policy.audited:
        groups = list(claim.groups)
        for block in claim.blocks:
            mine = [each for each in claim.comparisons if each.block == block.name]
            if claim.moves:
                pairs = [(a, b) for a in groups for b in groups if a != b]
                found += [Asked(claim, own, begun + pairs.index((own.high, own.low or "")), NOBODY) for own in mine]
                begun += len(pairs)
                continue
            place = {group: begun + number for number, group in enumerate(groups)}
            found += [Asked(claim, own, place[own.high], NOBODY if own.low is None else place[own.low]) for own in mine]
            begun += len(groups)
    return found


def _scaled(claim: Claim, value: Decimal) -> float:
    """A bound of a claim as one of the rate in its cells."""
    return float((1 + value) / 2 if claim.moves else value)
