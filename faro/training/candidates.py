"""What an evaluation of a trial records, and which of the evaluated iterates would be returned.

A candidate is an iterate whose hard gap is within the bound and where at most `max_ties` of the choices are decided by
a tie. Among candidates the lowest selection loss wins; while there is none, the smallest excess of the gap does.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from constraints import Constraint

from ..lagrangian import KKT
from .bounds import decides, within
from .settings import Settings


class EvaluationRecord(NamedTuple):
    """One evaluation on the whole train and selection parts."""

    loss: Array  # train NLL
    selection_loss: Array
    gap: Array  # [P] hard gap of train, or of the dual player's own data
    violation: Array  # [m] hard
    multipliers: Array  # [m]
    ties: Array
    kkt: KKT  # of the step from here
    capped: Array  # bool: then a violated row's multiplier could grow no more
    params: Any = None  # the iterate, where `advance` is told to keep it


class Best(NamedTuple):
    """The iterate that would be returned now."""

    params: Any
    candidate: Array  # bool: within the bound, with few ties
    merit: Array  # the lower, the better: selection loss of a candidate, else by how much the gap exceeds the bound
    gap: Array  # [P] its hard gap
    finite: Array  # bool: whether the newest evaluation was finite
    smallest_gap: Array  # [P] the smallest gap of any evaluation with few ties
    selection_loss: Array  # of this iterate

    @classmethod
    def unknown(cls, params: Any, constraint: Constraint) -> Best:
        """Before the first evaluation."""
        real = jnp.result_type(float)
        never, gap = jnp.asarray(False), jnp.full(len(constraint.parts()), jnp.inf, real)
        worst = jnp.asarray(jnp.inf, real)
        return cls(params, never, worst, gap, never, gap, worst)

    def after(self, params: Any, evaluation: EvaluationRecord, constraint: Constraint, settings: Settings) -> Best:
        """The better of this one and the iterate of an evaluation: candidates before others, then by merit."""
        finite = jnp.isfinite(evaluation.loss) & jnp.isfinite(evaluation.selection_loss)
        few_ties = finite & decides(evaluation.ties, settings)
        bounds = jnp.stack([jnp.asarray(part.bound) for part in constraint.parts()])
        candidate = few_ties & within(evaluation.gap, bounds, candidate=True)
        excess = jnp.where(few_ties, jnp.max(evaluation.gap - bounds), jnp.inf)
        merit = jnp.where(candidate, evaluation.selection_loss, excess)
        wins = (candidate & ~self.candidate) | ((candidate == self.candidate) & (merit < self.merit))
        return Best(
            params=jax.tree.map(lambda new, old: jnp.where(wins, new, old), params, self.params),
            candidate=self.candidate | candidate,
            merit=jnp.where(wins, merit, self.merit),
            gap=jnp.where(wins, evaluation.gap, self.gap),
            finite=finite,
            smallest_gap=jnp.where(few_ties, jnp.minimum(self.smallest_gap, evaluation.gap), self.smallest_gap),
            selection_loss=jnp.where(wins, evaluation.selection_loss, self.selection_loss),
        )
