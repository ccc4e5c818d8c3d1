"""Members of a sweep without a game: the exact path of a linear model, and the best point of it for every bound.

`faro.exact` bounds an affine proxy, faro a gap of hard decisions. So the proxy's bound eps is only a dial: from the
unconstrained optimum it is turned down to the smallest eps that parameters can satisfy, every point is read on hard
decisions, and each member gets

    the point with the lowest selection loss among those whose hard train gap is within its bound

after eps was refined by bisection between the last point within the bound and the first beyond it. All in float64, on
the data on which a member is judged, so nothing is lost between the two.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import constraints as ct
from constraints import Choices, Constraint

from . import exact, metrics, models
from .errors import UsageError
from .exact.newton import Solver, least_bound
from .lagrangian import KKT
from .training import ROUNDING, Best, Data, Look, Settings, outcome

POINTS = 40  # of the path, before bisection
HALVINGS = 6  # of eps, for each bound


class Seen(NamedTuple):
    """A point of the path as it is judged: of one seed, numbers and small arrays."""

    bound: float  # eps, of the proxy
    params: Any
    look: Look


def check(model: models.Model, constraint: Constraint) -> Constraint:
    """The constraint in rows that an exact solve can take; `UsageError` for a model that is not linear."""
    if not isinstance(model, models.Linear):
        raise UsageError(
            f"solver exact: expected the model linear, got {type(model).__name__}; leave --solver out, or solve the "
            "last layer on the network's features with faro.exact"
        )
    return exact.linear(constraint)


def solve(
    data: list[Data], grid: Callable[[float], list[Constraint]], constraint: Constraint, settings: Settings
) -> tuple[list[Constraint], Best, Look]:
    """Every seed's members: the constraints of the grid, and `Best` and `Look` as numpy, `[seeds, 1 + bounds, ...]`, the
    unconstrained members first, each with one look. `data` is in float64, an element per seed."""
    paths = [_Path(own, constraint, settings) for own in data]
    constraints = grid(float(np.mean([np.max(path.points[0].look.gap) for path in paths])))
    members = [[path.member(own) for own in [constraint.at(np.inf), *constraints]] for path in paths]
    stacked = [jax.tree.map(lambda *leaves: np.stack(leaves), *own) for own in members]
    best, look = jax.tree.map(lambda *leaves: np.stack(leaves), *stacked)
    return constraints, best, jax.tree.map(lambda leaf: leaf[:, :, None], look)


class _Path:
    """The points of one seed, the unconstrained one first; bounds that are asked for add more."""

    def __init__(self, data: Data, constraint: Constraint, settings: Settings):
        self.data, self.constraint, self.settings = data, constraint, settings
        self.head = exact.Head.of(data.train, settings.weight_decay)
        self.rows = exact.rows_of(constraint, self.head)
        free = exact.solve(self.head, exact.Rows.of(np.zeros((0, self.head.d))), 0.0)
        self.points = [self._seen(np.inf, free.w, np.zeros(len(self.rows.labels)))]
        self.solver = Solver(self.head, self.rows)
        lowest = max(0.0, least_bound(self.rows))
        lowest = lowest * (1 + 1e-6) if lowest > 0 else 0.0
        moved = self.rows.slope > 0
        over = (self.rows.matrix @ free.w - self.rows.base)[moved] / self.rows.slope[moved]
        top = max(float(np.max(over, initial=0)), lowest)
        w = free.w
        for bound in sorted(set(np.linspace(top, lowest, POINTS)), reverse=True) if np.isfinite(lowest) else ():
            w = self._add(float(bound), w)

    def _add(self, bound: float, start: np.ndarray) -> np.ndarray:
        point = self.solver.at(bound, start)
        self.points.append(self._seen(bound, point.w, point.multipliers))
        self.points.sort(key=lambda seen: -seen.bound)
        return point.w

    def _seen(self, bound: float, w: np.ndarray, multipliers: np.ndarray) -> Seen:
        with jax.enable_x64(True):
            params = jax.tree.map(jnp.asarray, self.head.params(w))
            figures = jax.tree.map(np.asarray, _figures(self.constraint, params, self.data))
        rate = self.head.moments(w, curvature=False).gradient + self.head.ridge * w + multipliers @ self.rows.matrix
        slack = np.zeros(0) if np.isinf(bound) else self.rows.matrix @ w - self.rows.limits(bound)
        kkt = KKT(np.abs(rate).max(), np.max(slack, initial=0), np.abs(multipliers[: len(slack)] * slack).max(initial=0))
        look = Look(
            loss=figures["loss"],
            selection_loss=figures["selection_loss"],
            gap=figures["gap"],
            violation=figures["measure"],
            multipliers=multipliers,
            ties=figures["ties"],
            kkt=jax.tree.map(np.asarray, kkt),
        )
        return Seen(bound, jax.tree.map(np.asarray, params), look)

    def member(self, constraint: Constraint) -> tuple[Best, Look]:
        """The best point for this constraint; the point nearest to its bounds if none is within them."""
        bounds = np.array([float(part.bound) for part in constraint.parts()])

        def within(seen: Seen) -> bool:
            few_ties = seen.look.ties <= self.settings.max_ties
            return bool(few_ties and np.all(seen.look.gap <= bounds * (1 - ROUNDING)))

        for _ in range(HALVINGS):
            chosen = self._best(within)
            if chosen is None or chosen == 0 or within(self.points[chosen - 1]):
                break
            above, below = self.points[chosen - 1].bound, self.points[chosen].bound
            if not np.isfinite(above):  # nothing lies between the unconstrained optimum and the first point of the path
                break
            start = self.head.weights(self.points[chosen].params)
            self._add((above + below) / 2, start)
        chosen = self._best(within)
        few_ties = [seen for seen in self.points if seen.look.ties <= self.settings.max_ties]
        near = min(few_ties or self.points, key=lambda seen: np.max(seen.look.gap - bounds))
        seen = near if chosen is None else self.points[chosen]
        look = seen.look._replace(violation=seen.look.violation - np.asarray(constraint.bounds(), np.float64))
        smallest = np.min([own.look.gap for own in few_ties], axis=0) if few_ties else np.full(len(bounds), np.inf)
        best = Best(
            params=seen.params,
            candidate=np.asarray(chosen is not None),
            merit=np.asarray(look.selection_loss if chosen is not None else np.max(look.gap - bounds)),
            gap=look.gap,
            finite=np.asarray(True),
            smallest_gap=smallest,
        )
        return best, look

    def _best(self, within: Callable[[Seen], bool]) -> int | None:
        held = [index for index, seen in enumerate(self.points) if within(seen)]
        return min(held, key=lambda index: float(self.points[index].look.selection_loss), default=None)


@jax.jit
def _figures(constraint: Constraint, params: Any, data: Data) -> dict[str, Any]:
    model = models.Linear()
    hard = outcome(model, params, data.train, ct.Hard(), constraint.twins())
    statistics = constraint.statistics(hard, data.train)
    return {
        "loss": metrics.nll(hard.rewards, data.train),
        "selection_loss": metrics.nll(models.rewards(model, params, data.selection), data.selection),
        "gap": constraint.gap(statistics),
        "measure": constraint.combine(statistics),
        "ties": metrics.ties(hard.rewards, data.train),
    }
