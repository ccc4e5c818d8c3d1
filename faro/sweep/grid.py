"""The bounds of a sweep."""

from __future__ import annotations

import numpy as np

LOWEST_BOUND = 0.01


def default_bounds(gap: float, count: int) -> list[float]:
    """`count` bounds, geometric from 0.01 to the unconstrained train gap (from a tenth of it, if it is below 0.01)."""
    top = max(gap, 1e-6)
    bottom = LOWEST_BOUND if top > LOWEST_BOUND else top / 10
    bounds = np.geomspace(bottom, top, count) if count > 1 else np.array([top / 2])
    return [float(f"{bound:.4g}") for bound in bounds]
