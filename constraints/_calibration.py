"""Calibration within groups: where the model says p, people of every group chose with frequency p.

    measure[g] = sum over bins b of |sum_(i in g, p_i in b) w_i (p_i - y_i)| / sum_(i in g) w_i      each <= bound

p are the choice probabilities of the rewards, whatever the rule; bins are of equal width in p. One bin is
calibration in the large, E_g. Source: Chouldechova 2017; Pleiss et al. NeurIPS 2017. The demographic-parity gap of p is
at least the gap of base rates - E_g - E_h: calibrated and at parity is impossible where base rates differ.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ._choices import Attribute, static
from ._constraint import Constraint, Statistics
from ._grouping import Grouping
from ._parity import shares


class _Rows(NamedTuple):
    cell: Array  # [n, K], C for none
    weight: Array  # [n, K]
    label: Array  # [n, K]


class Calibration(Constraint):
    """Expected calibration error of every group, with bins of equal width, each at most `bound`.

    who: the groups
    bins: how many, of equal width in the probability
    """

    who: Grouping = static()
    bins: int = static(default=10)

    def name(self):
        return self.who.title("calibration")

    def labels(self):
        return self.who.cells

    def prepare(self, choices):
        cell = self.who.cell(choices)
        weight = jnp.where(cell < 0, 0, shares(choices, "all"))
        return _Rows(jnp.where(cell < 0, len(self.who.cells), cell), weight, choices.chosen)

    def sums(self, outcome, rows):
        return self._errors(jax.lax.stop_gradient(outcome.log_probabilities()), rows)

    def proxy_sums(self, outcome, rows):
        return self._errors(outcome.log_probabilities(), rows)

    def _errors(self, log_probabilities: Array, rows: _Rows) -> Array:
        p = jnp.exp(log_probabilities)
        bins = jnp.clip((jax.lax.stop_gradient(p) * self.bins).astype(int), 0, self.bins - 1)
        spare = len(self.who.cells)
        index = (rows.cell * self.bins + bins).ravel()
        errors = jax.ops.segment_sum((rows.weight * (p - rows.label)).ravel(), index, (spare + 1) * self.bins)
        return errors.reshape(spare + 1, self.bins)[:spare]

    def masses(self, rows):
        spare = len(self.who.cells)
        return jax.ops.segment_sum(rows.weight.ravel(), rows.cell.ravel(), spare + 1)[:spare]

    def combine(self, statistics: Statistics):
        some = statistics.masses > 0
        return jnp.where(some, jnp.abs(statistics.sums).sum(-1) / jnp.where(some, statistics.masses, 1), 0)


def calibration(attribute: Attribute, bound=0.05, *, bins: int = 10, of=None, within=None) -> Constraint:
    """Expected calibration error within every group is at most `bound`:

        sum over bins b of |sum_(i in g, p_i in b) w_i (p_i - y_i)| / sum_(i in g) w_i <= bound

    attribute: declared `Attribute`, of the alternatives or of the chooser, whose groups are looked at
    bound: in [0, 1]
    bins: of equal width in the choice probability p; 1 for calibration in the large
    of: (attribute, level): only alternatives of this kind count
    within: an attribute, inside each level of which groups are looked at; None: everywhere at once
    Source: Pleiss et al. NeurIPS 2017; Chouldechova, Big Data 2017.
    """
    return Calibration(bound=bound, who=Grouping(attribute, of, within), bins=bins)
