"""A certified sandwich of the whole frontier: least loss as a function of the bound.

    lower(eps) = max over points of constant - price * eps      valid at every eps, whoever made the points
    upper(eps) = chord between the losses of solved points      means of parameters satisfy the mean of their bounds

The least loss is convex and falls in eps, so both are tight at solved points, and between two of them they are furthest
apart where their lower lines cross. `frontier` solves there until the sandwich is thin enough.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import DataError, UsageError
from .dual import FEASIBLE, SCOPE, Point, certify
from .head import Head
from .newton import TOLERANCE, Solver
from .rows import Rows


@dataclasses.dataclass(frozen=True, eq=False)
class Envelope:
    """Points in the order of their bounds, and what they prove together. What it says of: `SCOPE`."""

    points: tuple[Point, ...]

    @classmethod
    def of(cls, points: Any) -> Envelope:
        """The envelope of points from solves, from `certify`, or both; `UsageError` without any."""
        points = tuple(sorted(points, key=lambda point: point.bound))
        if not points:
            raise UsageError("envelope: expected at least one point; make some with `solve` or `certify`")
        return cls(points)

    def lower(self, bound: Any) -> np.ndarray:
        """No head whose rows hold at `bound` has a lower loss; any shape of bounds."""
        bound = np.asarray(bound, np.float64)
        return np.max([point.lower(bound) for point in self.points], axis=0)

    def upper(self, bound: Any) -> np.ndarray:
        """A loss that some head attains within `bound` (a mean of two stored ones); inf below the first one's."""
        held = [point for point in self.points if point.violation <= FEASIBLE]
        if not held:
            return np.full(np.shape(bound), np.inf)
        bounds, losses = zip(*_falling(held), strict=True)
        return np.interp(np.asarray(bound, np.float64), bounds, losses, left=np.inf)

    def widest(self) -> tuple[float, float]:
        """(bound, width): the sandwich is nowhere wider between the first and the last bound; beyond them it is not
        told. Every pair of neighbours is judged by their own two lines, which is never too small."""
        widest = (self.points[0].bound, -np.inf)
        for a, b in [*zip(self.points, self.points, strict=True), *itertools.pairwise(self.points)]:
            steeper = a.price - b.price
            cross = (a.constant - b.constant) / steeper if steeper > 0 else a.bound
            at = float(np.clip(cross, a.bound, b.bound))
            width = float(self.upper(at) - max(a.lower(at), b.lower(at)))
            widest = max(widest, (at, width), key=lambda pair: pair[1])
        return widest

    def plain(self, head: Head, rows: Rows) -> dict[str, Any]:
        """What a verifier needs, as JSON values; numbers are decimal strings that read back as the same doubles."""
        return {
            "scope": SCOPE,
            "ridge": repr(head.ridge),
            "rows": {
                "labels": list(rows.labels),
                "matrix": [_plain(row) for row in rows.matrix],
                "base": _plain(rows.base),
                "slope": _plain(rows.slope),
            },
            "points": [
                {
                    "bound": repr(point.bound),
                    "w": _plain(point.w),
                    "multipliers": _plain(point.multipliers),
                    "loss": repr(point.loss),
                    "violation": repr(point.violation),
                    "constant": repr(point.constant),
                    "price": repr(point.price),
                }
                for point in self.points
            ],
        }


def frontier(
    head: Head,
    rows: Rows,
    low: float,
    high: float,
    *,
    width: float = 1e-3,
    most: int = 64,
    tolerance: float = TOLERANCE,
) -> Envelope:
    """The least loss for every bound in [low, high], to within `width` nats, with as few solves as that takes.

    Bounds are added where the sandwich is widest; at most `most` points, so look at `widest()` for what was reached.
    """
    if not low < high:
        raise UsageError(f"bounds: expected low < high, got {low} and {high}")
    solver = Solver(head, rows, tolerance)
    points = [solver.at(high)]
    points.append(solver.at(low, points[0].w))
    while len(points) < most:
        at, reached = Envelope.of(points).widest()
        known = [point.bound for point in points]
        if not reached > width or at in known:
            break
        nearest = min((point for point in points if point.bound > at), key=lambda point: point.bound)
        points.append(solver.at(at, nearest.w))
    return Envelope.of(points)


def check(head: Head, rows: Rows, plain: Mapping[str, Any]) -> Envelope:
    """Compute the envelope of `plain` again from its dual points alone: O(n d) a point, no solver.

    `head` and `rows` are the verifier's own, from the data and the constraint. Raises `DataError` if ridge or rows are
    others, or if a stored number claims more than the dual point proves (to within 1e-12 relative).
    """
    try:
        stored = plain["rows"]
        same = (
            plain["scope"] == SCOPE
            and float(plain["ridge"]) == head.ridge
            and tuple(stored["labels"]) == rows.labels
            and all(_close(stored[name], getattr(rows, name)) for name in ("matrix", "base", "slope"))
        )
        if not same:
            raise DataError("envelope: its scope, ridge or rows are not those of this head and constraint")
        points = []
        for claim in plain["points"]:
            w, nu = np.array(claim["w"], np.float64), np.array(claim["multipliers"], np.float64)
            proved = certify(head, rows, float(claim["bound"]), w, nu)
            said = {name: float(claim[name]) for name in ("loss", "violation", "constant", "price")}
            slack = 1e-12 * (1 + abs(proved.constant) + proved.price * abs(proved.bound))
            honest = (
                said["constant"] <= proved.constant + slack
                and said["price"] >= proved.price - slack
                and said["loss"] >= proved.loss - slack
                and said["violation"] >= proved.violation - slack
            )
            if not honest:
                raise DataError(f"envelope: the point at bound {claim['bound']} claims more than its (w, nu) prove")
            points.append(proved)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"envelope: expected what `Envelope.plain` writes ({error})") from error
    return Envelope.of(points)


def _falling(points: list[Point]) -> list[tuple[float, float]]:
    """(bound, loss) with the least loss so far: what holds at a bound holds at every larger one."""
    least, found = np.inf, []
    for point in points:
        least = min(least, point.loss)
        found.append((point.bound, least))
    return found


def _plain(values: np.ndarray) -> list[str]:
    return [repr(float(value)) for value in values]


def _close(stored: Any, own: np.ndarray) -> bool:
    """Equal up to the rounding of another machine's sums."""
    stored = np.array(stored, np.float64)
    size = 1 + np.abs(own).max(initial=0)
    return stored.shape == own.shape and bool(np.all(np.abs(stored - own) <= 1e-12 * size))
