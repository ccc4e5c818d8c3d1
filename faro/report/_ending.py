"""How a trial's training ended, read off its traces: settled, oscillating, unfinished, infeasible or diverged.

Judged on the last quarter of the records, against the quarter before it. A reading of the traces, not a proof: the
status (FEASIBLE or not) comes from the saved model alone.
"""

from __future__ import annotations

import math

import numpy as np

from ._run import Run

MEANINGS = {
    "settled": "the gap came to rest within its bound",
    "oscillating": "the gap still swung around its bound by more than half of it; try more steps "
    "(of primal adam also a lower dual_rate)",
    "unfinished": "the violation was still falling; give it more steps",
    "infeasible": "the violation stalled above 0 while its price rose; the bound is beyond this model on these data",
    "diverged": "loss or gap stopped being a number; of primal adam, try a lower learning_rate",
    "unconstrained": "no bound was asked for",
}
STALLED_SHARE = 0.8  # of the violation of the quarter before: less progress than this is none


def ending(run: Run, row: int) -> str:
    """One of the words of `MEANINGS` for trial `row` of frontier.csv."""
    bound, gap = float(run.trained_at[row]), run.traces["gap"][row].max(axis=-1)
    if not (np.isfinite(gap).all() and np.isfinite(run.traces["loss"][row]).all()):
        return "diverged"
    if not math.isfinite(bound):
        return "unconstrained"
    worst = run.traces["violation"][row].max(axis=-1, initial=-math.inf)
    quarter = max(1, len(worst) // 4)
    last, before = worst[-quarter:], worst[-2 * quarter : -quarter]
    if last.min() > 0:  # never within the bound
        price = run.traces["multiplier"][row].sum(axis=-1)
        rising = bool(run.traces["capped"][row][-1]) or price[-1] > price[-quarter:].mean()
        stalled = not len(before) or np.median(last) > STALLED_SHARE * np.median(before)
        return "infeasible" if stalled and rising else "unfinished"
    swings = np.ptp(gap[-quarter:]) > bound / 2 and np.any(last > 0)
    return "oscillating" if swings else "settled"
