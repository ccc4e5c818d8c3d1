"""What any parameters w and multipliers nu prove: a loss, a lower bound for every bound, and the gap between them.

With E = sum_i p_i H(alpha_i), H the entropy in nats, v = sum_i p_i X_i'(alpha_i - y_i), for ANY nu >= 0 and ANY
distributions alpha_i over the available alternatives of choice i:

    least loss at eps  >=  E - |v + A'nu|^2 / (2 mu) - nu . (base + slope eps)          affine in eps

because log sum_k exp u_k >= alpha . u + H(alpha), nu . (A w - b) <= 0 where the rows hold, and what remains is
quadratic in w. Here alpha = softmax of the rewards at w, so (w, nu) is the whole proof: one O(n K d) pass checks it.
(Labels that sum to 1 only up to rounding multiply H and the first alpha_i by their sum.) Source: Fenchel duality,
Rockafellar 1970, section 31.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ..errors import UsageError
from .head import Head, Moments
from .rows import Rows

SCOPE = (
    "no model of this head class on these frozen features, on this sample, with this convex proxy at slack eps, has "
    "loss lower than LB"
)
FEASIBLE = 1e-9  # rows that are over their limit by less than this count as held, in units of the rows
ROUNDING = 1e-12  # the lower bound is lowered by this share of its terms, more than their sums lose in float64


@dataclasses.dataclass(frozen=True, eq=False)
class Point:
    """Parameters and multipliers at a bound, and what they prove; `loss`, `lower` and `gap` are in nats, with ridge."""

    bound: float
    w: np.ndarray  # [d]
    multipliers: np.ndarray  # nu [m] >= 0
    loss: float  # of w
    violation: float  # of w at the bound, in units of the rows
    constant: float  # the lower bound is constant - price * eps, at every eps
    price: float  # nu . slope: what the last unit of the bound costs in loss

    def lower(self, bound: Any = None) -> Any:
        """No head whose rows hold at `bound` (this point's, if None) has a lower loss; see `SCOPE`."""
        return self.constant - self.price * (self.bound if bound is None else np.asarray(bound))

    @property
    def gap(self) -> float:
        """loss - lower: w is at most this far from the least loss; infinite if the rows do not hold at w."""
        return self.loss - self.lower() if self.violation <= FEASIBLE else np.inf


def certify(head: Head, rows: Rows, bound: float, w: Any, multipliers: Any) -> Point:
    """What (w, nu) of any origin prove: for instance the last iterate and the averaged multipliers of a training run.

    Raises `UsageError` for shapes that do not fit, numbers that are not finite, or negative multipliers.
    """
    w, multipliers = np.array(w, np.float64), np.array(multipliers, np.float64)
    m, d = rows.matrix.shape
    if d != head.d or w.shape != (d,) or multipliers.shape != (m,):
        raise UsageError(f"expected w [{head.d}] and multipliers [{m}], got {w.shape} and {multipliers.shape}")
    if not (np.isfinite(w).all() and np.isfinite(multipliers).all() and np.isfinite(bound)):
        raise UsageError("w, multipliers and bound: expected finite numbers; the run that made them has diverged")
    if (multipliers < 0).any():
        raise UsageError(f"multipliers: expected numbers >= 0, got {multipliers.min():.3g}; clip them at 0")
    return point(head, rows, bound, w, multipliers, head.moments(w, curvature=False))


def point(head: Head, rows: Rows, bound: float, w: np.ndarray, nu: np.ndarray, at_w: Moments) -> Point:
    """`certify` when the moments at w are known already."""
    work = float(at_w.gradient @ w)
    entropy = at_w.loss - work  # softmax attains the inequality, so E = loss - v . w
    square = float(np.sum((at_w.gradient + nu @ rows.matrix) ** 2)) / (2 * head.ridge)
    fixed = float(nu @ rows.base)
    terms = abs(at_w.loss) + abs(work) + square + float(nu @ np.abs(rows.base))
    return Point(
        bound=float(bound),
        w=w,
        multipliers=nu,
        loss=at_w.loss + head.ridge / 2 * float(w @ w),
        violation=rows.violation(w, bound),
        constant=entropy - square - fixed - ROUNDING * terms,
        price=float(nu @ rows.slope),
    )
