"""What a certificate says on the terminal: its claims, what would change them, and the verdict."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..certify.certificate import Certificate
    from ..certify.policy import Policy


def described(certificate: Certificate, policy: Policy) -> tuple[list[dict[str, Any]], list[str], str]:
    """Rows, notes and the verdict for a reader: what is claimed of whom, and what would change it."""
    from ..certify.sample_size import advice
    from ..certify.statements import about_table, rules_of

    rows, notes = [], []
    units = certificate.record["data"] and certificate.record["data"]["units"]
    for claim in policy.claims:
        finding = certificate.findings[claim.name]
        shifted = f", {claim.ball} {claim.radius}" if claim.ball else ""
        vacuous = finding.ucb is not None and finding.ucb >= 1
        rows.append(
            {
                "claim": f"{claim.name}: {claim.constraint}{shifted} by {claim.method or 'exact arithmetic'}",
                "counted": finding.counted, "at least": finding.lcb and float(finding.lcb),
                "at most": "VACUOUS" if vacuous else finding.ucb and float(finding.ucb),
                "bound": float(claim.bound), "verdict": finding.verdict.value,
            }
        )  # fmt: skip
        notes += [f"{claim.name}: {cell}" for cell in finding.short]
        notes += [f"{claim.name}: {finding.blind}"] if finding.blind else []
        if hint := advice(claim, finding, float(policy.delta), units):
            notes.append(f"{claim.name}: {hint}")
        notes += repair_hints(claim, finding, certificate)
    record = certificate.record
    spent = record["ledger"] and record["ledger"]["delta"]
    confidence = 1 - float(Fraction(spent) if spent else Fraction(policy.delta))
    notes.append(f"confidence {confidence:.4g} per claim; every {policy.estimand} counts alike")
    rules = rules_of(policy.estimand, policy.units, policy.audited, policy.rule)
    notes += about_table(record["data"], record["info"].get("table"), rules)
    notes.append(f"assumed: {', '.join(record['assumptions'])}")
    if "note" in record["info"]:
        notes.append(record["info"]["note"])
    return rows, notes, certificate.verdict.value


def repair_hints(claim: Any, finding: Any, certificate: Certificate) -> list[str]:
    """What parity would cost where dev rows were counted; never of gate rows."""
    if "note" not in certificate.record["info"] or finding.verdict.value == "CERTIFIED" or not finding.rates:
        return []
    from ..certify.repair import advice

    return advice(claim, finding)
