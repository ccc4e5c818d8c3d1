"""Whether a scored table came from the model and holds all the people that it should: the data are scored again.

    rows      exactly those that the data have in the part that the table names
    rewards   |reward - reward again| <= tolerance * spread of the rewards
    order     where all thresholds are compared, the same order and the same ties

A decision is 0 or 1, or a share of a tie, so a decision that differs is never within the tolerance: a reward that is
as near to a threshold as that refuses the table. The frame (units, labels, weights, groups) must be the same as well.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data import NAMES, load, write_table
from ..errors import DataError, UnprovedError, UsageError
from ..store.model import load_model
from .audit import Audit, audit_of
from .cells import People
from .columns import read_columns
from .description import Description, read_description
from .plugins import with_cells
from .policy import Claim, Policy
from .scored import under

ROW_KEY = ("unit", "choice", "alternative")


class Rescored(NamedTuple):
    """How many rows were scored again, and the largest difference of a reward."""

    rows: int
    largest: float


def rescore(table: str | Path, policy: Policy, model: str | Path, source: str, tolerance: float = 1e-5) -> Rescored:
    """Score the people of `table` again with the saved `model` on `source` (a known data set, or a file).

    table      the audited table, with its description
    policy     whose claims say what is compared
    model      the saved model
    source     name of a known data set, or a file: all the data that were scored
    tolerance  of a reward, as a share of the spread of rewards, in [0, 1)

    `UnprovedError` if rows are missing or too many, or of another part, the data are others than were scored, the
    frames differ, or a value differs by more than the tolerance.
    """
    described = read_description(table)
    if described is None:
        raise DataError(
            f"{table}: nothing says that it is of the model; only a table with a description is scored again"
        )
    columns = read_columns(table)
    known = (described.shared, described.plugins)
    stored = audit_of(columns, policy, str(table), *known)
    again = audit_of(_scored(columns, policy, model, source, described), policy, source, *known)
    if stored.frame_sha256 != again.frame_sha256:
        raise UnprovedError(f"{table}: other people, labels, weights, groups or twins than {source} has")
    largest = _apart(f"{table}: rewards", stored.reward, again.reward, tolerance * _spread(again.reward))
    for name, rewards in stored.twins.items():
        largest = max(
            largest,
            _apart(f"{table}: twins of {name!r}", rewards, again.twins[name], tolerance * _spread(again.reward)),
        )
    for claim in policy.audited:
        stated, expected = (_values(policy, audit, claim) for audit in (stored, again))
        if claim.everywhere:
            stated, expected = (np.unique(x, return_inverse=True)[1].astype(float) for x in (stated, expected))
        _apart(f"{table}: values of claim {claim.name!r}", stated, expected, tolerance * _slope(policy, claim, again))
    return Rescored(len(stored.unit), largest)


def _scored(
    columns: dict[str, list[str]], policy: Policy, model: str | Path, source: str, described: Description
) -> dict[str, list[str]]:
    """The model's scores of the rows that the table should have, as columns of texts."""
    trained, rule = under(load_model(model), policy)
    twins = policy.twins
    data = trained.read(load(source) if source in NAMES else source)
    if described.data_sha256 not in (None, data.digest):
        raise UnprovedError(f"{source}: other data than the table was scored from")
    with tempfile.TemporaryDirectory() as folder:
        scored = trained.score(data, twins, rule=trained.rule_named(rule))
        if described.plugins:
            scored, _ = with_cells(trained, data, scored, scored, _refused)
        write_table(scored, Path(folder, "scored.csv"))
        scored = read_columns(Path(folder, "scored.csv"))
    part = set(columns.get("part", [])) - {""}
    keep = [i for i, row_part in enumerate(scored["part"]) if not part or row_part in part]
    expected = Counter(zip(*([scored[name][i] for i in keep] for name in ROW_KEY), strict=True))
    stated = Counter(zip(*(columns[name] for name in ROW_KEY), strict=True))
    what = f"the part {', '.join(sorted(part))} of {source}" if part else str(source)
    for wrong, words in ((stated - expected, "are not in"), (expected - stated, "are missing: they are in")):
        if wrong:
            raise UnprovedError(f"{sum(wrong.values())} rows of the table {words} {what}, by this model's split")
    return {name: [cells[i] for i in keep] for name, cells in scored.items()}


def _refused(reason: str) -> None:
    raise UsageError(reason)


def _spread(rewards: NDArray) -> float:
    """Standard deviation; of equal rewards their size."""
    return float(np.std(rewards)) or float(np.max(np.abs(rewards), initial=0.0))


def _values(policy: Policy, audit: Audit, claim: Any) -> NDArray:
    cells = People(policy, audit).cells(claim)
    return np.concatenate([cell.z for groups in cells.values() for cell in groups.values()])


def _slope(policy: Policy, claim: Claim, audit: Audit) -> float:
    """How far a decision may move for every share of the spread by which rewards do, at least 1: a probability moves by
    at most half of what rewards do in units of the temperature."""
    rule = policy.rule
    soft = rule is not None and rule.name != "best_of" and claim.decided
    return max(1.0, _spread(audit.reward) / float(rule.value)) if soft and rule is not None else 1.0


def _apart(what: str, stored: NDArray, again: NDArray, tolerance: float) -> float:
    """The largest difference; an error if one is beyond the tolerance."""
    apart = np.abs(stored - again)
    beyond = (apart > tolerance) | (np.isnan(stored) != np.isnan(again))
    if beyond.any():
        raise UnprovedError(
            f"{what}: {int(beyond.sum())} of {beyond.size} are not what the model gives (by up to "
            f"{np.nanmax(apart, initial=0):.3g}; tolerance {tolerance:g})"
        )
    return float(np.nanmax(apart, initial=0))
