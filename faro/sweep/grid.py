"""The bounds of a sweep."""

from __future__ import annotations

import numpy as np

from ..errors import UsageError

LOWEST_BOUND = 0.01
NO_GAP = 1e-6  # rates that are the same may differ by as much in single precision
SHARE = 0.1  # of the unconstrained gap, at which bounds begin where that is lower


def default_bounds(gap: float, count: int) -> list[float]:
    """`count` bounds, geometric from 0.01, or a tenth of the gap if that is lower, to the gap; half of it if one.

    gap: unconstrained, on train
    count: how many

    `UsageError` for a gap of 0: there is nothing to constrain.
    """
    if gap < NO_GAP:
        raise UsageError(
            "nothing to constrain here: the train gap of the unconstrained model is 0 at every seed; name the bounds "
            "to train under them nevertheless"
        )
    bounds = np.geomspace(min(LOWEST_BOUND, SHARE * gap), gap, count) if count > 1 else np.array([gap / 2])
    return [float(f"{bound:.4g}") for bound in bounds]
