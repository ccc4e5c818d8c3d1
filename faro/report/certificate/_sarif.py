"""SARIF 2.1.0: a result per claim that is not certified, at its line of the policy, the same from run to run."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import quote

from ._outcome import CLEAN, Mode, Outcome
from ._words import admitted, statement

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
RULES = {
    "refuted": ("error", "A claim of the policy is violated."),
    "inconclusive": ("warning", "A claim of the policy could neither be shown nor refuted."),
    "worse": ("error", "The bound of a claim is worse than in the baseline."),
    "no-pass": ("error", "The gate did not pass."),
    "too-few-people": ("error", "The audit set is too small for the policy, whatever the scores are."),
    "no-answer": ("error", "The certificate or its inputs were refused, so nothing is known."),
}


def sarif(outcome: Outcome) -> str:
    """One SARIF log with one run, as JSON. Rule ids and fingerprints do not depend on any number."""
    results = [_result(outcome, *finding) for finding in _findings(outcome)]
    run: dict[str, Any] = {
        "tool": {"driver": {"name": "faro", "rules": [_rule(name) for name in RULES]}},
        "automationDetails": {"id": f"faro/{outcome.mode}/"},
        "invocations": [{"executionSuccessful": outcome.code in CLEAN}],
        "results": results,
        "columnKind": "unicodeCodePoints",
    }
    if words := admitted(outcome):
        run["properties"] = {"restsOn": words}
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _findings(outcome: Outcome) -> list[tuple[str, str | None, str]]:
    """(rule, claim, message) of all that is not as it should be."""
    note = " Tuning data, no guarantee." if outcome.mode is Mode.TUNING else ""
    findings: list[tuple[str, str | None, str]] = [
        (claim.verdict.lower(), claim.name, f"{claim.name}: {statement(outcome, claim)}{note}")
        for claim in outcome.claims
        if claim.verdict in ("REFUTED", "INCONCLUSIVE")
    ]
    findings += [
        ("worse", name, f"{name}: the bound is worse than in the baseline.{note}")
        for name, is_worse in outcome.worse.items()
        if is_worse
    ]
    if not findings and outcome.code != 0:
        rule = {1: "no-pass", 3: "too-few-people"}.get(outcome.code, "no-answer")
        findings = [(rule, None, outcome.meaning)]
    return findings


def _rule(name: str) -> dict[str, Any]:
    level, text = RULES[name]
    return {
        "id": f"faro/{name}",
        "name": name.title().replace("-", ""),
        "shortDescription": {"text": text},
        "defaultConfiguration": {"level": level},
    }


def _result(outcome: Outcome, rule: str, claim: str | None, message: str) -> dict[str, Any]:
    fingerprint = hashlib.sha256(json.dumps([outcome.uri, claim, rule]).encode()).hexdigest()
    place = {"artifactLocation": {"uri": quote(outcome.uri)}, "region": {"startLine": outcome.line(claim)}}
    return {
        "ruleId": f"faro/{rule}",
        "ruleIndex": list(RULES).index(rule),
        "level": RULES[rule][0],
        "message": {"text": message},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"faroClaim/v1": fingerprint},
    }
