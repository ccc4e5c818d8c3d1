"""Certificates that faro.certify makes of rows under a policy, in a folder with all that the checker reads."""

from __future__ import annotations

import json

from faro.certify import certificate
from faro.certify.policy import read_policy
from tests.oracles import verify_by_hand as hand


def make(folder, rules, rows, **given):
    """The record, and the arguments with which the checker is called on it."""
    (folder / "faro.toml").write_text(hand.toml(rules))
    hand.write_csv(folder / "audit.csv", rows)
    case = certificate.prepare(folder / "audit.csv", read_policy(folder / "faro.toml"), **given)
    found = certificate.make(case)
    (folder / "cert.json").write_text(json.dumps(found.record))
    return found, [str(folder / "cert.json"), str(folder / "audit.csv"), "--policy", str(folder / "faro.toml")]
