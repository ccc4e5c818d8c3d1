"""Whether any scores of these people could be certified, which their numbers alone decide: asked before an attempt.

"No" is said only where it is proved, whatever the scores; where that is not known, the answer is yes.

    exact2, clopper-pearson   counts k_g of n_g are tried, all that the conditions below leave
    unit-ratio, block-pair    of a single rate or of pairs in one sample: no gambler can win, with the largest bets from
                              the beginning and totals of 0; of separate ends nothing is known: a lucky order of units
                              shows almost anything
    dkw                       all laws equal (all thresholds), or the widths below (means)

Counts that show p_x - p_y <= bound have u(k_x) - l(k_y) <= bound. Clopper-Pearson: for its two ends, and that is all.
exact2 at `level`: its p-value at p_y with P(X_y >= k_y) = 1/2 is at least P(X_x <= k_x | p_y + bound) / 2, so for u at
2 level and l at 1/2; likewise for u at 1/2 and l at 2 level. Both directions leave few counts: those near 0 and n.
Means: u = z + e and l = z - e, within [0, 1]: the least of max(u_a - l_b, u_b - l_a) is the smaller of e_a and
e_a / 2 + e_b, for e_a >= e_b.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from .bounds import dkw, two_binomials
from .bounds.binomial import Floats, clopper_pearson_lower, clopper_pearson_upper
from .bounds.shift import BALLS, two_point, worst
from .bounds.two_binomials import Counts
from .policy import Claim
from .rounding import LEVEL_MARGIN

MAX_WORK = 200.0  # most that is tried before nothing is said: a pair of counts is 1, and 1 more for 10,000 units
FLOAT_SLACK = 1e-8  # of conditions in floats


def some_scores(
    claim: Claim, level: float, units: Mapping[tuple[str, str], int], masses: Mapping[tuple[str, str], Floats]
) -> bool:
    """Whether scores may exist with which the claim is certified at `level`; False only if there are none.

    `units` of every (block, group), at least 1 each; for `unit-ratio` also their `masses`, as shares of the cap.
    """
    return all(
        _block(
            claim,
            level,
            sorted(units[block.name, group] for group in claim.groups),
            [masses[block.name, group] for group in claim.groups if masses],
        )
        for block in claim.blocks
    )


def _block(claim: Claim, level: float, sizes: Sequence[int], masses: Sequence[Floats]) -> bool:
    bound = claim.bound
    if claim.method == "unit-ratio":
        if claim.moves:  # one sample: the mean of (1 + difference) / 2
            return all(_winnable(unit_masses, (1 + float(bound)) / 2, level) for unit_masses in masses)
        return claim.paired or all(_winnable(unit_masses, float(bound), level) for unit_masses in masses)
    if claim.method == "block-pair":
        return _winnable(np.ones(sizes[0]), (1 + float(bound)) / 2, level)
    if claim.everywhere:
        same = [np.zeros(n) for n in sizes]
        return all(dkw.upper(a, b, level) <= bound for a, b in itertools.combinations(same, 2))
    if claim.method == "dkw":
        if claim.ball not in (None, "w1"):
            return True
        widths = [min(1.0, float(dkw.mean_excess(n, level / 2))) for n in sizes]  # falling
        return all(min(a, a / 2 + b) <= float(bound) + FLOAT_SLACK for a, b in itertools.combinations(widths, 2))
    if claim.method == "exact2":

        def close(x: Counts, y: Counts) -> bool:
            return two_binomials.rejects(x, y, bound, level)

        return some_counts(sizes, float(bound), [Ends(2 * level, 0.5), Ends(0.5, 2 * level)], close)
    at = level / 2 if claim.paired else level

    @cache
    def shifted(rate: Decimal) -> Decimal:
        return worst(BALLS[claim.ball], two_point(rate), claim.radius).value if claim.ball else rate

    if not claim.paired:
        return all(shifted(clopper_pearson_upper(0, n, at)) <= bound for n in sizes)

    def apart(x: Counts, y: Counts) -> bool:
        lower = 1 - shifted(1 - clopper_pearson_lower(y.k, y.n, at))
        return shifted(clopper_pearson_upper(x.k, x.n, at)) - lower <= bound

    return some_counts(sizes, float(bound), [Ends(at, at)], apart)


def _winnable(masses: Floats, rate: float, level: float) -> bool:
    """Whether "the rate is at least this" can be rejected by betting: bets are at most 3 / (4 (1 - rate)), and units
    of these masses (shares of the cap) gain most with totals of 0."""
    return rate >= 1 or bool(np.log1p(0.75 * rate / (1 - rate) * masses).sum() >= np.log(1 / level) + LEVEL_MARGIN)


class Ends(NamedTuple):
    """Clopper-Pearson ends of a rate at two levels of their own, as floats; a level of 1 or more says nothing."""

    above: float
    below: float

    def upper(self, k: ArrayLike, n: int) -> Floats:
        interior = special.betainccinv(np.add(k, 1), np.maximum(np.subtract(n, k), 1), min(self.above, 1.0))
        return np.where(np.equal(k, n), 1.0, interior)

    def lower(self, k: ArrayLike, n: int) -> Floats:
        interior = special.betaincinv(np.maximum(k, 1), np.subtract(n, k) + 1, min(self.below, 1.0))
        return np.where(np.equal(k, 0), 0.0, interior)


def some_counts(
    sizes: Sequence[int], bound: float, ends: Sequence[Ends], shows: Callable[[Counts, Counts], bool]
) -> bool:
    """Whether counts k_g of n_g exist of which all ordered pairs are within the bound, as `shows` says; True also where
    more than `MAX_WORK` would have to be done to tell. Necessary: u(k_x) - l(k_y) <= bound for all `ends`."""
    left = MAX_WORK

    def extended(chosen: tuple[Counts, ...]) -> bool:
        nonlocal left
        if len(chosen) == len(sizes):
            return True
        for k in _candidates(sizes[len(chosen)], chosen, bound + FLOAT_SLACK, ends):
            counts, fits = Counts(k, sizes[len(chosen)]), True
            for other in chosen:
                left -= 1 + (counts.n + other.n) / 10_000
                if left < 0:
                    return True
                if not (shows(counts, other) and shows(other, counts)):
                    fits = False
                    break
            if fits and extended((*chosen, counts)):
                return True
        return False

    return extended(())


def _candidates(n: int, chosen: tuple[Counts, ...], bound: float, ends: Sequence[Ends]) -> Iterator[int]:
    """Counts of n that the conditions leave beside those chosen, the likeliest first."""
    if not chosen:
        yield 0  # nearly always enough, where anything is
        counts = np.arange(1, n + 1)
        wide = ends[0].upper(counts, n) - ends[-1].lower(counts, n)  # another's rate lies between, but for the bound
        yield from sorted(counts[wide <= 2 * bound].tolist(), key=lambda k: min(k, n - k))
        return
    low, high = 0, n
    for end in ends:
        for k, m in chosen:
            least, most = float(end.upper(k, m)) - bound, float(end.lower(k, m)) + bound
            low = max(low, bisect.bisect_left(range(n + 1), least, key=lambda k: float(end.lower(k, n))))
            high = min(high, bisect.bisect_right(range(n + 1), most, key=lambda k: float(end.upper(k, n))) - 1)
    yield from sorted(range(low, high + 1), key=lambda k: abs(2 * k - low - high))
