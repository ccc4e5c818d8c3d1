"""The record of one claim about people: the bounds that its method finds, as a certificate states them.

Three kinds of evidence. A *whole* comparison has one bound (exact2, block-pair, dkw over all thresholds, counterfactual
parity). *Ends* bound the rate of every cell from both sides, and add up (clopper-pearson, unit-ratio). A *law* bounds
the mean of scores in every cell (dkw). A ball works on ends and laws: both are laws of z, of two points or of many.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ..errors import beside
from . import combine
from .attainable import some_scores
from .bounds import betting, dkw, shift, two_binomials
from .bounds.binomial import Floats, clopper_pearson_lower, clopper_pearson_upper
from .bounds.shift import BALLS, Law, Worst
from .cells import Cell, People
from .combine import Verdict
from .policy import Claim, Comparison, Policy
from .rounding import down, text, up

ONE = Decimal(1)
Place = tuple[str, str]  # block, group
Sides = dict[Place, dict[str, Law]]


class Finding(NamedTuple):
    """What was found about a claim. `counted` describes the audited people, without any confidence."""

    record: dict[str, Any]
    verdict: Verdict
    ucb: Decimal | None
    lcb: Decimal | None
    counted: float | None = None  # largest rate, or difference of rates, in the table
    units: Mapping[Place, int] = MappingProxyType({})
    rates: Mapping[Place, float] = MappingProxyType({})  # in the table, NaN for empty cells
    short: tuple[str, ...] = ()  # cells with too few units
    blind: str | None = None  # why the decisions cannot tell groups apart


def find(claim: Claim, people: People, level: float) -> Finding:
    """Bounds of all comparisons at `level` each, a lower bound at level / M, and the verdict."""
    return _Finder(claim, people, level).find()


def uppers(claim: Claim, people: People, level: float, comparisons: Sequence[Comparison]) -> list[Decimal]:
    """An upper bound of each of these comparisons at `level`, by the claim's method; they do not hold together."""
    return _Finder(claim, people, level).uppers(comparisons)


def units_of(claim: Claim, people: People) -> dict[Place, int]:
    """Units that a method reads in every cell: it depends on no score."""
    return _Finder(claim, people, 0.05).units


def attainable(claim: Claim, people: People, level: float) -> bool:
    """Whether some scores of these people might be certified; False only if none could. It depends on no score;
    `UsageError` if a unit is above the cap."""
    finder = _Finder(claim, people, level)
    masses = {}
    if claim.method == "unit-ratio":
        masses = {place: finder._sample(place)[1] / people.cap(claim) for place in finder.cells}
    return all(finder.units.values()) and some_scores(claim, level, finder.units, masses)


def too_few(place: Place, n: int, policy: Policy) -> str:
    """In words: a cell below the minimum size."""
    return f"{' '.join(filter(None, place)) or 'everyone'}: {n} units, the policy asks for {policy.min_group}"


class _Finder:
    def __init__(self, claim: Claim, people: People, level: float):
        self.claim, self.people, self.level = claim, people, level
        self.low_level = level / people.policy.comparisons
        self.cells: dict[Place, Cell] = {}
        self.z: dict[Place, Floats] = {}
        blocks = people.cells(claim)
        self.blind = people.blind(claim, blocks)
        for block, groups in blocks.items():
            self.cells |= {(block, group): cell for group, cell in groups.items()}
            if claim.method != "unit-ratio":
                self.z |= {(block, group): z for group, z in people.kept(claim, groups).items()}
        self.rates = {place: self._rate(cell) for place, cell in self.cells.items()}
        count = {place: len(z) for place, z in self.z.items()}
        self.units = count or {place: people.units(claim, cell) for place, cell in self.cells.items()}
        self.short = tuple(
            too_few(place, n, people.policy) for place, n in self.units.items() if n < people.policy.min_group
        )

    @property
    def has_ends(self) -> bool:
        return self.claim.method in ("clopper-pearson", "unit-ratio") and not self.claim.moves

    def find(self) -> Finding:
        record: dict[str, Any] = {}
        values = self._values(record)
        if values is None:
            ucb, lcb = self._whole()
            return self._finding({"ucb": text(ucb)}, ucb, lcb)
        ucb = max(self._added(values), Decimal(0) if self.counted is None else min(ONE, up(self.counted)))
        lcb = self._lower_of_ends() if self.has_ends else None
        return self._finding({"ucb": text(ucb)} | record, ucb, lcb)

    def uppers(self, comparisons: Sequence[Comparison]) -> list[Decimal]:
        """An upper bound of each of these comparisons, on its own."""
        values = self._values({})
        if values is not None:
            return [_allowed(self.claim, values, each) for each in comparisons]
        upper, _, _ = self._method()
        return [upper(each, self.level, self.claim.bound) for each in comparisons]

    def _values(self, record: dict[str, Any]) -> dict[Place, dict[str, Decimal]] | None:
        """Upper bounds of the rates of all cells and of their complements, and into `record` what they are made of;
        None where comparisons are bounded whole."""
        claim = self.claim
        if self.has_ends:
            ends = self._ends()
            record["ends"] = _nested({place: [text(x) for x in pair] for place, pair in ends.items()})
            sides = {
                place: {"up": shift.two_point(hi), "down": shift.two_point(1 - lo)} for place, (lo, hi) in ends.items()
            }
            values = {place: {"up": hi, "down": 1 - lo} for place, (lo, hi) in ends.items()}
        elif claim.method == "dkw" and not claim.everywhere:
            sides, values = self._laws(), {}
            if not claim.ball:
                values = {
                    p: {s: min(ONE, up(law.mean(lambda z: z))) for s, law in laws.items()} for p, laws in sides.items()
                }
        else:
            return None
        if claim.ball:
            worst = self._worst(sides, claim.radius)
            values = {place: {side: bound.value for side, bound in by_side.items()} for place, by_side in worst.items()}
            record["dual"] = _duals(worst)
            record["breakdown"] = beside(lambda: self._breakdown(sides), lambda why: None)
        return values

    def _finding(self, record: dict[str, Any], ucb: Decimal, lcb: dict[str, Any] | None) -> Finding:
        value = None if lcb is None else Decimal(lcb["value"])
        record["lcb"] = lcb
        verdict = combine.verdict(ucb, value, self.claim.bound, not self.short and not self.blind)
        return Finding(record, verdict, ucb, value, self.counted, self.units, self.rates, self.short, self.blind)

    def _added(self, values: dict[Place, dict[str, Decimal]]) -> Decimal:
        """The largest rate, or difference of rates, that bounds of cells allow."""
        return max(_allowed(self.claim, values, each) for each in self.claim.comparisons)

    # Whole comparisons ---------------------------------------------------------------------------------------------

    def _whole(self) -> tuple[Decimal, dict[str, Any] | None]:
        upper, rejects, guess = self._method()
        ordered = sorted(self.claim.comparisons, key=guess, reverse=True)
        ucb = ONE
        if all(self.units.values()):
            ucb = combine.largest_upper(
                ordered,
                lambda comparison, first: upper(comparison, self.level, first),
                lambda comparison, gap: rejects(comparison, gap, self.level),
                self.claim.bound,
                up(self.counted or 0),
            )
        worst = ordered[0]
        if guess(worst) <= 0 or not (self.units[worst.block, worst.high] and self.units[worst.block, worst.low or ""]):
            return ucb, None
        value = -upper(_reversed(worst), self.low_level, -self.claim.bound)
        if self.claim.everywhere:
            value = dkw.lower(*self._pair(_reversed(worst)), self.low_level)
        return ucb, _lcb(worst, value) if 0 < value <= self._apart(worst) else None

    def _pair(self, comparison: Comparison) -> tuple[Floats, Floats]:
        return self.z[comparison.block, comparison.high], self.z[comparison.block, comparison.low or ""]

    def _method(self) -> tuple[Callable, Callable, Callable]:
        """upper(comparison, level, first), rejects(comparison, gap, level), and what was counted."""
        claim = self.claim
        if claim.method == "exact2":

            def counts(comparison: Comparison) -> tuple[two_binomials.Counts, two_binomials.Counts]:
                a, b = self._pair(comparison)  # a tie counts in the worse direction
                return two_binomials.Counts(int((a > 0).sum()), len(a)), two_binomials.Counts(
                    int((b == 1).sum()), len(b)
                )

            return (
                lambda comparison, level, first: two_binomials.upper(*counts(comparison), level, first),
                lambda comparison, gap, level: two_binomials.rejects(*counts(comparison), gap, level),
                self._difference,
            )
        if claim.method == "block-pair":
            return (
                lambda comparison, level, first: betting.difference_upper(*self._pair(comparison), level, first),
                lambda comparison, gap, level: _shows(
                    betting.block_pairs(*self._pair(comparison)), 1.0, 1.0, gap, level
                ),
                self._difference,
            )
        if claim.everywhere:

            def apart(comparison: Comparison, gap: Decimal, level: float) -> bool:
                a, b = self._pair(comparison)
                r = float(Fraction(gap) - dkw.gap(b, a))
                return r > 0 and dkw.rejects(len(a), len(b), r, level)

            def observed(comparison: Comparison) -> float:
                a, b = self._pair(comparison)
                return float(dkw.gap(b, a)) if len(a) and len(b) else 0.0

            return (
                lambda comparison, level, first: dkw.upper(*self._pair(comparison)[::-1], level),
                apart,
                observed,
            )

        def moves(comparison: Comparison) -> tuple[Floats, Floats]:
            a, b = self.cells[comparison.block, comparison.high], self.cells[comparison.block, comparison.low or ""]
            return self.people.sample(claim, a.rows, a.mass, (1 + a.z - b.z) / 2)

        def paired(comparison: Comparison, level: float, first: Decimal | None) -> Decimal:
            first = None if first is None else (1 + first) / 2
            return 2 * betting.upper(*moves(comparison), self.people.cap(claim), level, first) - 1

        return (
            paired,
            lambda comparison, gap, level: _shows(*moves(comparison), self.people.cap(claim), gap, level),
            self._difference,
        )

    # Ends ----------------------------------------------------------------------------------------------------------

    def _ends(self) -> dict[Place, tuple[Decimal, Decimal]]:
        """Lower and upper end of the rate of every cell: at half the level each if cells are compared."""
        if not self.claim.paired:
            return {place: (Decimal(0), self._upper_end(place, self.level)) for place in self.cells}
        half = self.level / 2
        return {place: (self._lower_end(place, half), self._upper_end(place, half)) for place in self.cells}

    def _upper_end(self, place: Place, level: float) -> Decimal:
        if not self.units[place]:
            return ONE
        if self.claim.method == "unit-ratio":
            end = betting.upper(*self._sample(place), self.people.cap(self.claim), level)
        else:
            end = clopper_pearson_upper(int((self.z[place] > 0).sum()), len(self.z[place]), level)
        return max(end, min(ONE, up(self.rates[place])))

    def _lower_end(self, place: Place, level: float) -> Decimal:
        if not self.units[place]:
            return Decimal(0)
        if self.claim.method == "unit-ratio":
            end = betting.lower(*self._sample(place), self.people.cap(self.claim), level)
        else:
            end = clopper_pearson_lower(int((self.z[place] == 1).sum()), len(self.z[place]), level)
        return min(end, max(Decimal(0), down(self.rates[place])))

    def _sample(self, place: Place) -> tuple[Floats, Floats]:
        return self.people.sample(self.claim, *self.cells[place])

    def _lower_of_ends(self) -> dict[str, Any] | None:
        """A lower bound of the comparison that looks worst."""
        worst = max(self.claim.comparisons, key=self._difference)
        high = (worst.block, worst.high)
        if worst.low is None:
            value = self._lower_end(high, self.low_level)
            return _lcb(worst, value) if value > 0 else None
        split = self._lower_end(high, self.low_level / 2)
        value = split - (end := self._upper_end((worst.block, worst.low), self.low_level / 2))
        if self.claim.constraint == "accuracy_ratio":
            value = down(1 - end / split) if split > 0 else Decimal(0)
        return _lcb(worst, value, split) if value > 0 else None

    # Laws and shifts -----------------------------------------------------------------------------------------------

    def _laws(self) -> Sides:
        """The law of scores, or of distances to a threshold, in every cell, with its sampling error."""
        laws: Sides = {}
        at = {block.name: block.threshold for block in self.claim.blocks}
        for place, z in self.z.items():
            if not len(z):
                anything = shift.two_point(0 if self.claim.ball == "w1" else 1)  # w1: at no distance from the worst
                laws[place] = {"up": anything, "down": anything}
                continue
            excess = float(dkw.mean_excess(len(z), self.level / 2))
            if self.claim.ball == "w1":
                threshold = float(at[place[0]])
                laws[place] = {
                    "up": shift.distances(z, threshold, excess),
                    "down": shift.distances(z, threshold, excess, below=True),
                }
            else:
                laws[place] = {"up": shift.histogram(z, excess), "down": shift.histogram(1 - z, excess)}
        return laws

    def _worst(self, sides: Sides, radius: Decimal) -> dict[Place, dict[str, Worst]]:
        ball = BALLS[self.claim.ball or ""]
        wanted = ("up", "down") if self.claim.paired else ("up",)
        return {p: {side: shift.worst(ball, laws[side], radius) for side in wanted} for p, laws in sides.items()}

    def _breakdown(self, sides: Sides) -> dict[str, Any] | None:
        """The largest shift, at least the policy's, at which the claim still holds."""
        claim, ball = self.claim, BALLS[self.claim.ball or ""]

        def exceeds(radius: Decimal) -> Decimal:
            worst = self._worst(sides, radius)
            return self._added({p: {s: bound.value for s, bound in by_side.items()} for p, by_side in worst.items()})

        radius = shift.breakdown(ball, exceeds, claim.bound) if exceeds(claim.radius) <= claim.bound else None
        if radius is None or not (radius <= claim.radius if claim.ball == "cvar" else radius >= claim.radius):
            return None
        if claim.ball in ("tv", "label-noise") and radius >= 1:
            return None
        if exceeds(radius) > claim.bound:
            return None
        return {"radius": text(radius), "dual": _duals(self._worst(sides, radius))}

    # What was counted ----------------------------------------------------------------------------------------------

    def _rate(self, cell: Cell) -> float:
        """The rate in the table, or NaN."""
        return float((cell.mass * cell.z).sum() / cell.mass.sum()) if len(cell.rows) else math.nan

    def _apart(self, comparison: Comparison) -> float:
        """The difference of all rows, before thinning: no bound may contradict it."""
        if self.claim.everywhere:
            block, high, low = comparison
            a, b = self.cells[block, high], self.cells[block, low or ""]
            return dkw.weighted_gap(b.z, b.mass, a.z, a.mass)
        return self._difference(comparison)

    def _difference(self, comparison: Comparison) -> float:
        block, high, low = comparison
        rate = self.rates[block, high] - (self.rates[block, low] if low is not None else 0)
        if self.claim.constraint == "accuracy_ratio":
            rate = rate / self.rates[block, high] if self.rates[block, high] > 0 else 0.0
        return rate if rate == rate else -math.inf

    @functools.cached_property
    def counted(self) -> float | None:
        """The largest difference, or rate, of all rows."""
        if self.claim.ball == "w1":
            return None
        largest = max(map(self._apart, self.claim.comparisons))
        return largest if math.isfinite(largest) else None


def _allowed(claim: Claim, values: dict[Place, dict[str, Decimal]], each: Comparison) -> Decimal:
    """The rate, difference of rates, or of a ratio what it lacks of 1, that bounds of cells allow."""
    block, high, low = each
    if claim.constraint == "accuracy_ratio":
        most, least = values[block, high]["up"], 1 - values[block, low or ""]["down"]
        return min(ONE, up(1 - least / most)) if most > 0 else ONE
    return values[block, high]["up"] + (values[block, low]["down"] - 1 if low is not None else 0)


def _shows(totals: Floats, masses: Floats | float, cap: float, gap: Decimal, level: float) -> bool:
    """Whether the mean of (1 + difference) / 2 is shown to be below (1 + gap) / 2."""
    masses = np.broadcast_to(masses, totals.shape)
    middle = float((1 + gap) / 2)
    return middle >= 1 or bool(betting.rejects(totals, masses, cap, middle, level))


def _reversed(comparison: Comparison) -> Comparison:
    return Comparison(comparison.block, comparison.low or "", comparison.high)


def _lcb(comparison: Comparison, value: Decimal, split: Decimal | None = None) -> dict[str, Any]:
    split_text = None if split is None else text(split)
    return {**comparison._asdict(), "value": text(value), "split": split_text}


def _nested(by_place: dict[Place, Any]) -> dict[str, dict[str, Any]]:
    by_block: dict[str, dict[str, Any]] = {}
    for (block, group), value in by_place.items():
        by_block.setdefault(block, {})[group] = value
    return by_block


def _duals(worst: dict[Place, dict[str, Worst]]) -> dict[str, dict[str, Any]]:
    def point(bound: Worst) -> dict[str, str]:
        return {name: text(value) for name, value in bound.dual.items()}

    return _nested({place: {side: point(bound) for side, bound in by_side.items()} for place, by_side in worst.items()})
