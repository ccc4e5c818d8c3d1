"""What a game returns: one of its iterates, or a randomised choice among several, judged by what it does on average.

    best       the candidate with the lowest selection loss, see `faro.training`
    last       the last iterate
    average    all kept iterates with equal weights: what the theory of such games speaks of
    mixture    the weights of least selection loss whose expected rows are within the bound, on at most m + 1 iterates

Expected rates are linear in the weights, so the mixture is a linear program (`faro.exact.mix`), and fits the bound
where no iterate does. The best candidate and the unconstrained optimum are mixed too. Source: Cotter et al. JMLR 2019.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from constraints import Constraint, Statistics

from .. import models
from ..errors import UsageError
from .bounds import ROUNDING, decides
from .candidates import Best
from .figures import figures
from .settings import Settings
from .trial import Data

LEADING = 2  # components before those that were kept: the best candidate, the unconstrained optimum


class Solution(NamedTuple):
    """Parameters and weights of what is returned: leaves `[seeds, trials, A, ...]` and `[seeds, trials, A]`. Every
    trial of a sweep has A components; one of weight 0 is not there."""

    params: Any
    weights: np.ndarray

    def components(self, seed: int, trial: int) -> Any:
        """Parameters of all components of a trial, `[A, ...]`, also of those that are not there."""
        return jax.tree.map(lambda leaf: np.asarray(leaf[seed, trial]), self.params)


def choose(
    model: models.Model, constraints: list[Constraint], settings: Settings, data: list[Data], best: Best, kept: Any
) -> Solution:
    """The solution of every trial, the unconstrained ones first. `best` has leaves `[seeds, 1 + bounds, ...]`, `kept`
    the iterates `[seeds, bounds, T, ...]`; `data` is in float64, one per seed, and is used by mixtures alone.

    Raises `UsageError` if a mixture is asked for and the constraint's rows are not linear in its statistics.
    """
    alone = jax.tree.map(lambda leaf: np.asarray(leaf)[:, :, None], best.params)
    seeds, trials = np.shape(best.finite)
    if settings.solution == "best":
        return Solution(alone, np.ones((seeds, trials, 1)))
    # components: the best one, the unconstrained one, and all that were kept; the unconstrained trial has kept none
    first = jax.tree.map(
        lambda one, many: np.concatenate(
            [
                one,
                np.repeat(one[:, :1], trials, 1),
                np.concatenate([np.repeat(one[:, :1], many.shape[2], 2), many], 1),
            ],
            2,
        ),
        alone,
        jax.tree.map(np.asarray, kept),
    )
    weights = np.zeros((seeds, trials, jax.tree.leaves(first)[0].shape[2]))
    weights[:, 0, 0] = 1
    for s in range(seeds):
        for b, constraint in enumerate(constraints, 1):
            components = jax.tree.map(lambda leaf, s=s, b=b: leaf[s, b], first)
            finite = np.all(
                [np.isfinite(leaf).all(tuple(range(1, leaf.ndim))) for leaf in jax.tree.leaves(components)], 0
            )
            trial_weights = weights[s, b]
            if settings.solution == "last":
                trial_weights[-1] = 1
            elif settings.solution == "average" and finite[LEADING:].any():
                trial_weights[LEADING:] = finite[LEADING:] / finite[LEADING:].sum()
            elif settings.solution == "mixture":
                trial_weights[:] = _mixed(model, constraint, settings, data[s], components, finite)
            else:
                trial_weights[0] = 1
    most = int(np.count_nonzero(weights, -1).max())
    order = np.argsort(weights == 0, -1, kind="stable")[..., :most]

    def pick(leaf):
        return np.take_along_axis(leaf, order.reshape(*order.shape, *[1] * (leaf.ndim - 3)), 2)

    return Solution(jax.tree.map(pick, first), np.take_along_axis(weights, order, -1))


def _mixed(model, constraint, settings, data: Data, components: Any, finite: np.ndarray) -> np.ndarray:
    """Weights `[A]` of the mixture; if no mixture is within the bound, of the one that exceeds it least."""
    from .. import exact  # cvxpy takes long to import

    rows = exact.linear(constraint)
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), components)
        held = data.train if data.dual is None else data.dual
        seen = jax.tree.map(np.asarray, _figures(rows, params, held, data.selection, data.people, model))
        fit = finite & decides(seen["ties"], settings) & np.isfinite(seen["loss"])
        weights = np.zeros(len(fit))
        if not fit.any():
            weights[0] = 1
            return weights
        limits = np.asarray(rows.bounds(), np.float64)
        bounded = np.isfinite(limits)
        limits = limits[bounded] * np.where(limits[bounded] > 0, 1 - ROUNDING, 1)
        measured = seen["measure"][fit][:, bounded]
        mixture = exact.mix(seen["loss"][fit], measured, limits)
        chosen = np.flatnonzero(fit)[list(mixture.members)]
        weights[chosen] = np.array([float(weight) for weight in mixture.weights])
        together = Statistics(jax.tree.map(lambda leaf: np.tensordot(weights, leaf, 1), seen["sums"]), seen["masses"])
        if not np.allclose(rows.combine(together)[bounded], weights @ seen["measure"][:, bounded], atol=1e-9):
            raise UsageError(
                f"{constraint.name()}: its rows are not linear in rates, so no linear program mixes iterates; "
                "use solution = best"
            )
    return weights


def _figures_of(
    rows: Constraint, params: Any, held: Any, selection: Any, people: Any, model: models.Model
) -> dict[str, Any]:
    def of_component(component):
        measured = figures(model, rows, component, held, people)
        loss = figures(model, None, component, selection, people).loss
        measure = rows.combine(measured.statistics)
        return {"loss": loss, "ties": measured.ties, "measure": measure, "sums": measured.statistics.sums}

    return jax.lax.map(of_component, params) | {"masses": rows.masses(rows.prepare(held))}


_figures = jax.jit(_figures_of, static_argnames="model")
