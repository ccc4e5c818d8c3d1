"""Trials of a sweep without a game: the exact path of a linear model, and the best point of it for every bound.

`faro.exact` bounds an affine proxy of the measurement, faro a gap of hard decisions. Its bound eps is a dial:

    path       from the unconstrained optimum, eps is turned down to 0 (or what parameters can satisfy)
    anchors    what is left of the hard gap then: the rows are made to agree with the hard measurement h at the last
               point w',  h(w') + c A (w - w') <= limits(0),  c how much faster h moves than the proxy
    trials     the point with the lowest selection loss among those whose hard train gap is within the trial's bound;
               before, eps is refined by bisection between that point and its neighbour beyond the bound

Every point is an exact optimum of its own rows. All in float64, on the choices on which a trial is judged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from constraints import Choices, Constraint

from .. import exact, models
from ..errors import UsageError
from ..exact.newton import Solver, least_bound
from ..lagrangian import KKT
from ..runtime import devices
from ..training import Best, Data, EvaluationRecord, Settings
from ..training.bounds import decides, within
from ..training.figures import figures
from ..training.ridge import Ridge
from ..training.trainer import Fitted, Trials

POINTS = 24  # of the path
ANCHORS = 10  # steps beyond it
HALVINGS = 6  # of eps, for each bound


@dataclasses.dataclass(eq=False)
class PathPoint:
    """A point, with the rows whose optimum it is at eps = `bound`, and the eps at which they meet the point before."""

    rows: exact.Rows
    bound: float
    before: float
    w: np.ndarray
    params: Any
    evaluation: EvaluationRecord


def check(model: models.Model, constraint: Constraint) -> Constraint:
    """The constraint in rows that an exact solve can take; `UsageError` for a model that is not linear."""
    if not model.linear:
        raise UsageError(
            f"solver exact: expected the model linear, got {type(model).__name__}; leave --solver out, or solve the "
            "last layer on the network's features with faro.exact"
        )
    return exact.linear(constraint)


class ExactPath:
    """The trainer of exact optima: every seed's path, and for every bound the best point of it. `data` is in float64;
    every trial has one evaluation, and nothing is kept of a killed run."""

    def __init__(self, settings: Settings):
        self.settings, self.mesh, self.traced = settings, devices.mesh(1), dict[str, int]()

    def total(self, seeds: int, bounds: int) -> int:
        return seeds + 1

    def fit(self, trials: Trials) -> Fitted:
        """See `Trainer`."""
        paths = []
        for done, seed_data in enumerate(trials.data):
            trials.progress(done, self.total(len(trials.data), 1))
            paths.append(_Path(seed_data, trials.constraint, self.settings))
        constraints = trials.grid(float(np.mean([np.max(path.points[0].evaluation.gap) for path in paths])))
        by_seed = [
            [path.trial(constraint) for constraint in [trials.constraint.at(np.inf), *constraints]] for path in paths
        ]
        stacked = [jax.tree.map(lambda *leaves: np.stack(leaves), *of_seed) for of_seed in by_seed]
        best, evaluation = jax.tree.map(lambda *leaves: np.stack(leaves), *stacked)
        return Fitted(constraints, best, jax.tree.map(lambda leaf: leaf[:, :, None], evaluation))


class _Path:
    """The points of one seed in order, the unconstrained one first; bounds that are asked for add more."""

    def __init__(self, data: Data, constraint: Constraint, settings: Settings):
        self.data, self.constraint, self.settings = data, constraint, settings
        self.head = self._head(data.train)
        rows = exact.rows_of(constraint, self.head)
        self.solver = Solver(self.head, rows)
        free: np.ndarray = self._free(self.head)
        nothing = np.zeros(len(rows.labels))
        self.points = [self._seen(rows, np.inf, np.inf, free, nothing)]
        self.free = self.points[0]
        if data.ridge is not None:  # nothing is selected here
            both = self._head(jax.tree.map(lambda *parts: np.concatenate(parts), data.train, data.selection))
            self.free = self._seen(rows, np.inf, np.inf, self._free(both), nothing, both)
        moved = rows.slope > 0
        top = max(0.0, np.max(((rows.matrix @ free - rows.base) / np.where(moved, rows.slope, 1))[moved], initial=0))
        low = least_bound(rows)
        low = 0.0 if low <= 0 else low * (1 + 1e-6)
        if low < np.inf:
            before = max(top, low)
            for bound in np.linspace(before, low, POINTS):
                self.points.append(self._solved(rows, float(bound), before, self.points[-1].w))
                before = float(bound)
            self._anchor(rows, low)

    def _head(self, choices: Choices) -> exact.Head:
        decay, interactions, _ = self.data.ridge or Ridge.unchosen(self.settings)
        shares = models.Linear().shares(models.PARTS, float(interactions))
        return exact.Head.of(choices, float(decay), shares=shares)

    @staticmethod
    def _free(head: exact.Head) -> np.ndarray:
        return exact.solve(head, exact.Rows.of(np.zeros((0, head.d))), 0.0).w

    def _anchor(self, rows: exact.Rows, low: float) -> None:
        """Points beyond the path, each by rows that agree with the hard measurement at the one before it."""
        limits = np.asarray(self.constraint.at(0.0).bounds(), np.float64)
        first, last = self.points[0], self.points[-1]
        proxy, hard = rows.matrix @ (first.w - last.w), first.evaluation.violation - last.evaluation.violation
        steeper = max(1.0, float(proxy @ hard) / max(float(proxy @ proxy), 1e-12))
        for _ in range(ANCHORS):
            last = self.points[-1]
            gap = float(np.max(last.evaluation.gap))
            matrix = steeper * rows.matrix
            agreed = dataclasses.replace(rows, matrix=matrix, base=matrix @ last.w - last.evaluation.violation + limits)
            try:
                point = self._solved(agreed, low, gap, last.w)
            except UsageError:  # no parameters satisfy these rows
                return
            if np.max(point.evaluation.gap) < gap:
                self.points.append(point)
            else:  # went too far
                steeper *= 2

    def _solved(self, rows: exact.Rows, bound: float, before: float, start: np.ndarray) -> PathPoint:
        self.solver.rows = rows
        point = self.solver.at(bound, start)
        return self._seen(rows, bound, before, point.w, point.multipliers)

    def _seen(
        self, rows: exact.Rows, bound: float, before: float, w: np.ndarray, multipliers: Any, head: Any = None
    ) -> PathPoint:
        head = head or self.head
        with jax.enable_x64(True):
            params = jax.tree.map(jnp.asarray, head.params(w))
            figures = jax.tree.map(np.asarray, _figures(self.constraint, params, self.data))
        rate = head.moments(w, curvature=False).gradient + head.ridge * w + multipliers @ rows.matrix
        slack = rows.matrix @ w - rows.limits(bound) if np.isfinite(bound) else np.zeros_like(multipliers)
        kkt = KKT(np.abs(rate).max(), np.max(slack, initial=0), np.max(np.abs(multipliers * slack), initial=0))
        evaluation = EvaluationRecord(
            loss=figures["loss"],
            selection_loss=figures["selection_loss"],
            gap=figures["gap"],
            violation=figures["measure"],
            multipliers=multipliers,
            ties=figures["ties"],
            kkt=jax.tree.map(np.asarray, kkt),
            capped=jnp.asarray(False),
        )
        return PathPoint(rows, bound, before, w, jax.tree.map(np.asarray, params), evaluation)

    def trial(self, constraint: Constraint) -> tuple[Best, EvaluationRecord]:
        """The best point for this constraint; the point nearest to its bounds if none is within them."""
        bounds = np.array([float(part.bound) for part in constraint.parts()])

        def candidate(point: PathPoint) -> bool:
            few_ties = decides(point.evaluation.ties, self.settings)
            return bool(few_ties and within(point.evaluation.gap, bounds, candidate=True))

        if np.isinf(bounds).all():
            return self._returned(self.free, constraint, candidate(self.free))
        for _ in range(HALVINGS):
            chosen = self._best(candidate)
            if chosen is None or chosen == 0 or candidate(self.points[chosen - 1]):
                break
            here, last = self.points[chosen], self.points[chosen - 1]
            middle = (here.before + here.bound) / 2
            if not here.bound < middle < here.before:
                break
            self.points.insert(chosen, self._solved(here.rows, middle, here.before, last.w))
            here.before = middle
        chosen = self._best(candidate)
        few_ties = [point for point in self.points if decides(point.evaluation.ties, self.settings)]
        near = min(few_ties or self.points, key=lambda point: np.max(point.evaluation.gap - bounds))
        return self._returned(near if chosen is None else self.points[chosen], constraint, chosen is not None)

    def _returned(self, point: PathPoint, constraint: Constraint, candidate: bool) -> tuple[Best, EvaluationRecord]:
        few_ties = [point for point in self.points if decides(point.evaluation.ties, self.settings)]
        bounds = np.array([float(part.bound) for part in constraint.parts()])
        evaluation = point.evaluation._replace(
            violation=point.evaluation.violation - np.asarray(constraint.bounds(), np.float64)
        )
        smallest: Any = (
            np.min([point.evaluation.gap for point in few_ties], axis=0) if few_ties else np.full(len(bounds), np.inf)
        )
        best = Best(
            params=point.params,
            candidate=jnp.asarray(candidate),
            merit=evaluation.selection_loss if candidate else np.max(evaluation.gap - bounds),
            gap=evaluation.gap,
            finite=jnp.asarray(True),
            smallest_gap=smallest,
            selection_loss=evaluation.selection_loss,
        )
        return best, evaluation

    def _best(self, candidate: Callable[[PathPoint], bool]) -> int | None:
        held = [index for index, point in enumerate(self.points) if candidate(point)]
        return min(held, key=lambda index: float(self.points[index].evaluation.selection_loss), default=None)


@jax.jit
def _figures(constraint: Constraint, params: Any, data: Data) -> dict[str, Any]:
    train = figures(models.Linear(), constraint, params, data.train)
    return {
        "loss": train.loss,
        "selection_loss": figures(models.Linear(), None, params, data.selection).loss,
        "gap": constraint.gap(train.statistics),
        "measure": constraint.combine(train.statistics),
        "ties": train.ties,
    }
