"""A certified sandwich of the whole frontier: least loss as a function of the bound.

    lower(eps) = max over points of constant - price * eps      valid at every eps, whoever made the points
    upper(eps) = chord between the losses of solved points      means of parameters satisfy the mean of their bounds

The least loss is convex and falls in eps, so both are tight at solved points, and between two of them they are furthest
apart where their lower lines cross. `frontier` solves there until the sandwich is thin enough.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np

from ..errors import UsageError
from .dual import FEASIBLE, Point
from .head import Head
from .newton import TOLERANCE, Solver
from .rows import Rows


@dataclasses.dataclass(frozen=True, eq=False)
class Envelope:
    """Points in the order of their bounds, and what they prove together. What it says of: `dual.SCOPE`."""

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


def _falling(points: list[Point]) -> list[tuple[float, float]]:
    """(bound, loss) with the least loss so far: what holds at a bound holds at every larger one."""
    least, falling = np.inf, []
    for point in points:
        least = min(least, point.loss)
        falling.append((point.bound, least))
    return falling
