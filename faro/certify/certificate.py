"""A certificate: every claim of a policy, bounded on one audit table, sealed as docs/certificate-format.md says.

`prepare` reads and checks everything that needs no bound: policy, table and description, overlap with training,
assumptions. `make` finds the bounds and seals them; the same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ..errors import DataError, NotIndependentError, UsageError
from ..files import sha256_of
from . import claims, optimum, overlap
from .audit import Audit, audit_of, check_roles
from .cells import People
from .columns import read_columns
from .combine import Verdict, all_of
from .committed_order import order_key
from .description import Description, aggregate_of, read_description
from .ledger import Attempt, digest
from .policy import Policy
from .statements import about_table, about_twins, rules_of, summary

SCHEMAS = {1: "faro-certificate/2", 2: "faro-certificate/2", 3: "faro-certificate/3"}  # by the policy's format


class Case(NamedTuple):
    """What a certificate is about, before any bound is looked for."""

    policy: Policy
    columns: dict[str, list[str]] | None  # of the table as it was read
    audit: Audit | None
    train_units_sha256: str | None
    model_sha256: str
    tables: dict[str, str]
    description: Description | None = None
    shared: Mapping[str, Mapping[str, int | None]] = MappingProxyType({})  # column -> counts, as certificates have them
    of_table: tuple[str, ...] = ()  # assumptions that the table needs
    folders: tuple[Path, ...] = ()  # where an audit set may be listed
    untwinned: Mapping[str, Mapping[str, int]] = MappingProxyType({})  # attribute -> choices, those that lack a twin

    def people(self, attempt: Attempt | None = None) -> People | None:
        """The units in the order of this attempt's seed; of a policy of format 1 without a ledger, of its nonce."""
        if self.audit is None:
            return None
        secret = attempt.seed if attempt else self.policy.nonce
        return People(self.policy, self.audit, order_key(secret, self.audit.rows_sha256))

    @property
    def assumed(self) -> list[str]:
        """The assumptions that the claims need of this table."""
        return self.policy.assumed(self.train_units_sha256 is not None, self.of_table)

    @property
    def data(self) -> dict[str, Any] | None:
        """The field `data` of a certificate."""
        if self.audit is None:
            return None
        return {
            "rows": len(self.audit.unit), "units": self.audit.units,
            "rows_sha256": self.audit.rows_sha256, "frame_sha256": self.audit.frame_sha256,
            "description_sha256": self.description and self.description.sha256,
            "shared": {name: dict(counts) for name, counts in self.shared.items()},
            **({"support": self.policy.support.record()} if self.policy.support else {}),
            **({"candidates": self.audit.candidates} if self.audit.candidates else {}),
            **({"twins": {name: dict(counts) for name, counts in self.untwinned.items()}} if self.untwinned else {}),
        }  # fmt: skip

    @property
    def statements(self) -> list[str]:
        """What is to be said of the table in every output; it depends on no score."""
        policy = self.policy
        rules = rules_of(policy.estimand, policy.units, policy.audited, policy.rule)
        return about_table(self.data, summary(self.description), rules)

    @property
    def part(self) -> str | None:
        """The part of the split that all rows are from, if the table has a column `part`."""
        parts = set((self.columns or {}).get("part", [""]))
        return parts.pop() if len(parts) == 1 else "several"

    def short(self, attempt: Attempt | None = None) -> list[str]:
        """Cells with too few units, whatever the scores; `UsageError` if the method does not suit these people."""
        people = self.people(attempt)
        if people is None:
            return []
        lines = []
        for claim in self.policy.audited:
            for place, n in claims.units_of(claim, people).items():
                if n < self.policy.min_group:
                    lines.append(f"{claim.name}: {claims.too_few(place, n, self.policy)}")
        return lines

    def hopeless(self, level: float, attempt: Attempt | None = None) -> list[str]:
        """Claims that no scores of these people could show at this level; `UsageError` if a unit is above the cap."""
        people = self.people(attempt)
        if people is None:
            return []
        return [
            f"{claim.name}: whatever the scores, so few people cannot show {claim.bound} at the share of delta left"
            for claim in self.policy.audited
            if not claims.attainable(claim, people, level)
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
    description: Description | None = None,
) -> Case:
    """Read the table and check what must hold before any bound.

    table        a file, whose description is read with it; or its columns, with their `description`
    policy       what is asked
    train_units  the file of units that training saw
    models       files of the model
    tables       claim -> table, of claims about models

    `NotIndependentError` for a leak or one unchecked, `DataError` where table, description and policy contradict.
    """
    given = dict(tables or {})
    wanted = {claim.name for claim in policy.claims if not claim.of_people}
    if set(given) != wanted:
        raise UsageError(f"--table: expected NAME=FILE for exactly {sorted(wanted) or 'no claim'}")
    columns = audit = sharing = None
    files = {str(path): _sha256(path) for path in models}
    shared: dict[str, dict[str, int | None]] = {}
    of_table: list[str] = []
    untwinned: dict[str, dict[str, int]] = {}
    if policy.audited:
        if table is None:
            raise UsageError("the policy has claims about people: give a scored table")
        columns, description, audit = read_described(table, policy, description, files, train_units)
        sharing, trained = (None, {}) if train_units is None else overlap.check_units(train_units, audit)
        shared = {
            name: {
                "values": len(set(audit.shared[name])),
                "crossed": len(audit.crossed(name)),
                "trained": trained[name] if sharing and description else None,
            }
            for name in audit.shared
        }
        untwinned = People(policy, audit).untwinned()
        of_table = _of_table(policy, audit, description) + ["twins-missing"] * bool(untwinned)
    elif table is not None or train_units is not None:
        raise UsageError("no claim of the policy reads a scored table")
    for name in policy.assumed(sharing is not None, of_table):
        if not policy.admits(name):
            refusal = NotIndependentError if name in ("train-overlap-unchecked", "no-ledger") else UsageError
            advice = {
                "train-overlap-unchecked": "give --train-units FILE, or let the policy admit it",
                "no-ledger": "name a ledger in the policy, or let it admit that",
                "undescribed-table": "nothing says what this table is: use faro score, or let the policy admit it",
                "weights-ignored": 'estimand = "unit" drops the weights of rows: say estimand = "row", or admit it',
                "twins-missing": "; ".join(about_twins(untwinned))
                + ": whoever leaves them out may leave out what differs; score again, ask `within` or `of` those that "
                "have twins, or let the policy admit it",
                "same-items": "units share "
                + ", ".join(name for name in shared if shared[name]["crossed"])
                + ", so claims are about new units and these values: give a claim `per`, or let the policy admit it",
            }.get(name, "let the policy admit it")
            raise refusal(f"the claims need the assumption {name!r}: {advice}")
    named = [policy.folder, *(Path(path).parent for path in [*models, train_units] if path is not None)]
    named += [Path(table).parent] if isinstance(table, str | Path) else []
    named += [policy.folder / Path(policy.ledger).parent] if policy.ledger else []
    return Case(
        policy,
        columns,
        audit,
        sharing,
        model_digest(files.values()),
        given,
        description,
        shared,
        tuple(of_table),
        tuple(named),
        untwinned,
    )


def read_described(
    table: str | Path | Mapping[str, list[str]],
    policy: Policy,
    description: Description | None = None,
    models: Mapping[str, str] = MappingProxyType({}),  # file -> sha256
    train_units: str | Path | None = None,
) -> tuple[dict[str, list[str]], Description | None, Audit]:
    """The columns of a table; its description, held against it (None: foreign); the table as the policy reads it."""
    where = "table" if isinstance(table, Mapping) else str(table)
    if isinstance(table, Mapping):
        columns = dict(table)
    else:
        columns, description = read_columns(table), read_description(table)
    if description is not None:
        description.check(columns, policy, where, models, None if train_units is None else _sha256(train_units))
    elif models:
        raise DataError(
            f"{where}: nothing says that this table is of the model: no description ({where}-metadata.json); score "
            "with faro score, or leave out --model"
        )
    check_roles(columns, policy, where, foreign=description is None)
    known = (description.shared, description.plugins) if description else ((), ())
    return columns, description, audit_of(columns, policy, where, *known)


def _of_table(policy: Policy, audit: Audit, description: Description | None) -> list[str]:
    """What only assumptions can cover of this table."""
    crossed = [name for name in (description.shared if description else ()) if audit.crossed(name)]
    needed = {
        "undescribed-table": description is None,
        "weights-ignored": policy.estimand == "unit" and bool(np.ptp(audit.weight) > 0),
        "same-items": bool(set(crossed) - set(policy.shared)),
    }
    aggregates = {claim.against for claim in policy.audited if claim.against}
    told = [f"summaries by {name}" for name in (description.summaries if description else ())]
    return [name for name, is_needed in needed.items() if is_needed] + sorted(
        [*(aggregate_of(description, name) for name in aggregates), *told]
    )


def _sha256(path: str | Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def model_digest(files: Iterable[str]) -> str:
    """sha256 over the sorted sha256 of the model's files; of nothing, where there are none."""
    return hashlib.sha256("".join(sorted(files)).encode()).hexdigest()


def make(case: Case, attempt: Attempt | None = None, info: dict[str, Any] | None = None) -> Certificate:
    """Bounds at the attempt's share of delta (all of it without a ledger), and the sealed record."""
    policy, audit = case.policy, case.audit
    level = float(attempt.share if attempt else Fraction(policy.delta))
    people = case.people(attempt)
    findings = {}
    for claim in policy.claims:
        if claim.of_people:
            assert people is not None
            findings[claim.name] = claims.find(claim, people, level)
        else:
            findings[claim.name] = optimum.find(claim, case.tables[claim.name])
    verdict = all_of([finding.verdict for finding in findings.values()])
    about = {"table": summary(case.description)} if audit is not None else {}
    if blind := {name: finding.blind for name, finding in findings.items() if finding.blind}:
        about["blind"] = blind
    record = {
        "schema": SCHEMAS[policy.format],
        "policy_sha256": policy.sha256,
        "model_sha256": case.model_sha256,
        "data": case.data,
        "ledger": attempt.record if attempt else None,
        "train_units_sha256": case.train_units_sha256,
        "assumptions": case.assumed,
        "claims": {name: finding.record for name, finding in findings.items()},
        "result": {"verdict": verdict.value},
    }
    return Certificate(record | {"sha256": digest(record), "info": about | (info or {})}, findings, verdict)
