"""Whether a scored table came from the model: the rows are scored again, and what the claims read of them compared.

    |reward - reward again| <= tolerance (1 + |reward again|), and the same for every value z that a claim counts

A decision is 0 or 1, or a share of a tie, so a decision that differs is never within the tolerance: a reward that is
as near to a threshold as that refuses the table. The frame (units, labels, weights, groups) must be the same as well.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .certify.audit import Audit, audit_of
from .certify.cells import People
from .certify.columns import read_columns
from .certify.policy import Policy
from .data import NAMES, load, write_table
from .errors import UnprovedError
from .trained import load_model

NAMED = ("unit", "choice", "alternative")


class Rescored(NamedTuple):
    """How many rows were scored again, and the largest difference of a reward."""

    rows: int
    largest: float


def rescore(table: str | Path, policy: Policy, model: str | Path, source: str, tolerance: float = 1e-5) -> Rescored:
    """Score the people of `table` again with the saved `model` on `source` (a known data set, or a file).

    `UnprovedError` if a row of the table is not in the data, the frames differ, or a value differs by more than the
    tolerance.
    """
    columns = read_columns(table)
    stored = audit_of(columns, policy, str(table))
    again = audit_of(_scored(columns, policy, model, source), policy, source)
    if stored.frame_sha256 != again.frame_sha256:
        raise UnprovedError(f"{table}: other people, labels, weights or groups than {source} has")
    largest = _apart(f"{table}: rewards", stored.reward, again.reward, tolerance)
    for name, rewards in stored.twins.items():
        largest = max(largest, _apart(f"{table}: twins of {name!r}", rewards, again.twins[name], tolerance))
    for claim in policy.audited:
        found, expected = (_values(policy, each, claim) for each in (stored, again))
        _apart(f"{table}: values of claim {claim.name!r}", found, expected, tolerance)
    return Rescored(len(stored.unit), largest)


def _scored(columns: dict[str, list[str]], policy: Policy, model: str | Path, source: str) -> dict[str, list[str]]:
    """The model's scores of the table's rows, as columns of texts."""
    trained = load_model(model)
    twins = sorted({claim.attribute for claim in policy.audited if claim.twins and claim.attribute})
    with tempfile.TemporaryDirectory() as folder:
        write_table(trained.score(load(source) if source in NAMES else source, twins), Path(folder, "scored.csv"))
        scored = read_columns(Path(folder, "scored.csv"))
    wanted = set(zip(*(columns[name] for name in NAMED), strict=True))
    rows = [i for i, row in enumerate(zip(*(scored[name] for name in NAMED), strict=True)) if row in wanted]
    if len(rows) < len(wanted):
        raise UnprovedError(f"{len(wanted) - len(rows)} rows of the table are not in {source}")
    return {name: [cells[i] for i in rows] for name, cells in scored.items()}


def _values(policy: Policy, audit: Audit, claim: Any) -> NDArray:
    cells = People(policy, audit).cells(claim)
    return np.concatenate([cell.z for groups in cells.values() for cell in groups.values()])


def _apart(what: str, stored: NDArray, again: NDArray, tolerance: float) -> float:
    """The largest difference; an error if one is beyond the tolerance."""
    apart = np.abs(stored - again)
    beyond = (apart > tolerance * (1 + np.abs(again))) | (np.isnan(stored) != np.isnan(again))
    if beyond.any():
        raise UnprovedError(
            f"{what}: {int(beyond.sum())} of {beyond.size} are not what the model gives (by up to "
            f"{np.nanmax(apart, initial=0):.3g}; tolerance {tolerance:g})"
        )
    return float(np.nanmax(apart, initial=0))
