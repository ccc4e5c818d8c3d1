"""A finished run read by another rule than that of its training: the same models, other decisions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from constraints import Argmax, DecisionRule

from ..data import Dataset
from ..data.candidates import check_sets
from ..errors import UsageError
from ..evaluate.bootstrap import first
from ..evaluate.part import Part, figures
from ..evaluate.resampling import interval
from ..store.frontier import Frontier

DRAWS = 400  # of units


def read(run: Frontier, data: Dataset, rule: DecisionRule) -> pd.DataFrame:
    """A row per bound, the unconstrained models last: gap and agreement of all seeds' models on dev people, by a rule.

    run: with models in memory
    data: those of the run
    rule: from rewards to decisions, on sets as the run's models declare them

    Columns: `bound`; `gap` of the run's constraint and `accuracy`, the mean probability of what was chosen, means over
    seeds of models that did not diverge, each with `_low` and `_high`, a 95 % interval over units for these models.

    `UsageError` for a run that has not its constraint as data; `DataError` for sets on which the rule has no law.
    """
    constraint = run.models[0].constraint
    if constraint is None:
        raise UsageError("the run has its constraint's name alone; read one of its models: faro transfer MODEL")
    check_sets(data, rule)
    dev = dataclasses.replace(Part.of(data, constraint, first(run)), rule=None if isinstance(rule, Argmax) else rule)
    alive = np.flatnonzero(run.table["status"] != "DIVERGED")
    rows = {seed: alive[run.table["seed"].to_numpy()[alive] == seed].tolist() for seed in dev.choices}
    sums = {seed: dev.of_models(seed, [run.models[row] for row in some]) for seed, some in rows.items() if some}
    drawn = dev.bootstrap(sums, DRAWS)
    itself = {seed: figures(dev.constraint, own) for seed, own in sums.items()}
    records = []
    for bound in sorted(set(run.table["bound"])):
        here = [(seed, at) for seed in sums for at, row in enumerate(rows[seed]) if run.table["bound"][row] == bound]
        record = {"bound": bound}
        for name in ("gap", "accuracy") if here else ():
            record[name] = float(np.mean([getattr(itself[seed], name)[at, 0] for seed, at in here]))
            draws = np.mean([getattr(drawn[seed], name)[at] for seed, at in here], 0)
            record[f"{name}_low"], record[f"{name}_high"] = interval(draws)
        records.append(record)
    return pd.DataFrame(records)
