"""A certificate: every claim of a policy, bounded on one audit table, sealed as docs/certificate-format.md says.

`prepare` reads and checks everything that needs no score: policy, table, overlap with training, assumptions. `make`
finds the bounds and seals them; the same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DataError, NotIndependentError, UsageError
from . import claims, optimum, overlap
from .audit import Audit, audit_of
from .cells import People
from .columns import read_columns
from .gate import Verdict, all_of
from .ledger import Attempt, digest
from .policy import Policy

SCHEMA = "faro-certificate/1"


class Case(NamedTuple):
    """What a certificate is about, before any bound is looked for."""

    policy: Policy
    columns: dict[str, list[str]] | None  # of the table as it was read
    audit: Audit | None
    train_units_sha256: str | None
    model_sha256: str
    tables: dict[str, str]

    @property
    def part(self) -> str | None:
        """The part of the split that all rows are from, if the table has a column `part`."""
        parts = set((self.columns or {}).get("part", [""]))
        return parts.pop() if len(parts) == 1 else "several"

    def short(self) -> list[str]:
        """Cells with too few units, whatever the scores; `UsageError` if the method does not suit these people."""
        if self.audit is None:
            return []
        people = People(self.policy, self.audit)
        found = []
        for claim in self.policy.audited:
            for place, n in claims.units_of(claim, people).items():
                if n < self.policy.min_group:
                    found.append(f"{claim.name}: {claims.too_few(place, n, self.policy)}")
        return found

    def hopeless(self, level: float) -> list[str]:
        """Claims that these people could not show at this level even if every decision were the same; `UsageError` if
        a unit is above the cap."""
        if self.audit is None:
            return []
        people = People(self.policy, self.audit)
        least = {claim: claims.least(claim, people, level) for claim in self.policy.audited}
        return [
            f"{claim.name}: even if every decision were the same, only {found:.4f} could be shown, not {claim.bound}"
            for claim, found in least.items()
            if found > claim.bound
        ]


class Certificate(NamedTuple):
    """The sealed record, and what was found per claim."""

    record: dict[str, Any]
    findings: dict[str, claims.Finding]
    verdict: Verdict


def prepare(
    table: str | Path | Mapping[str, list[str]] | None,
    policy: Policy,
    *,
    train_units: str | Path | None = None,
    models: Sequence[str | Path] = (),
    tables: Mapping[str, str] | None = None,
) -> Case:
    """Read the table and check what must hold before any bound; `NotIndependentError` for a leak or one unchecked."""
    given = dict(tables or {})
    wanted = {claim.name for claim in policy.claims if not claim.of_people}
    if set(given) != wanted:
        raise UsageError(f"--table: expected NAME=FILE for exactly {sorted(wanted) or 'no claim'}")
    columns = audit = seen = None
    if policy.audited:
        if table is None:
            raise UsageError("the policy has claims about people: give a scored table")
        columns = dict(table) if isinstance(table, Mapping) else read_columns(table)
        audit = audit_of(columns, policy, "table" if isinstance(table, Mapping) else str(table))
        seen = None if train_units is None else overlap.check_units(train_units, audit)
    elif table is not None or train_units is not None:
        raise UsageError("no claim of the policy reads a scored table")
    for name in policy.assumed(seen is not None):
        if name not in policy.assumptions:
            refusal = NotIndependentError if name in ("train-overlap-unchecked", "no-ledger") else UsageError
            advice = {
                "train-overlap-unchecked": "give --train-units FILE, or let the policy admit it",
                "no-ledger": "name a ledger in the policy, or let it admit that",
            }.get(name, "let the policy admit it")
            raise refusal(f"the claims need the assumption {name!r}: {advice}")
    return Case(policy, columns, audit, seen, model_digest(models), given)


def model_digest(files: Sequence[str | Path]) -> str:
    """sha256 over the sorted sha256 of the model's files; of nothing, where no file is named."""
    try:
        each = sorted(hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in files)
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from None
    return hashlib.sha256("".join(each).encode()).hexdigest()


def make(case: Case, attempt: Attempt | None = None, info: dict[str, Any] | None = None) -> Certificate:
    """Bounds at the attempt's share of delta (all of it without a ledger), and the sealed record."""
    policy, audit = case.policy, case.audit
    level = float(attempt.share if attempt else Fraction(policy.delta))
    people = None if audit is None else People(policy, audit)
    findings = {}
    for claim in policy.claims:
        if claim.of_people:
            assert people is not None
            findings[claim.name] = claims.find(claim, people, level)
        else:
            findings[claim.name] = optimum.find(claim, case.tables[claim.name])
    verdict = all_of([found.verdict for found in findings.values()])
    data = None
    if audit is not None:
        data = {
            "rows": len(audit.unit), "units": audit.units,
            "rows_sha256": audit.rows_sha256, "frame_sha256": audit.frame_sha256,
        }  # fmt: skip
    record = {
        "schema": SCHEMA,
        "policy_sha256": policy.sha256,
        "model_sha256": case.model_sha256,
        "data": data,
        "ledger": attempt.record if attempt else None,
        "train_units_sha256": case.train_units_sha256,
        "assumptions": policy.assumed(case.train_units_sha256 is not None),
        "claims": {name: found.record for name, found in findings.items()},
        "result": {"verdict": verdict.value},
    }
    return Certificate(record | {"sha256": digest(record), "info": info or {}}, findings, verdict)
