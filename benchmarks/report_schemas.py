"""Whether SARIF and JUnit of certificates fit the whole published schemas, which the tests check in part.

    pip install jsonschema xmlschema
    python -m benchmarks report_schemas -- sarif-2.1.0-rtm.5.json junit-10.xsd

The first schema is in the npm package @microsoft/jest-sarif, the second in Jenkins' xunit plugin. Every exit code of
every command is written, with and without a baseline; two planted faults must be found.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from faro.report.certificate import Mode, Outcome, junit_xml, sarif

POLICY = """schema = "faro-policy/1"
delta = 0.05
[attributes.group]
levels = ["A", "B"]
[[claim]]
name = "parity"
constraint = "demographic_parity"
attribute = "group"
bound = 0.05
"""
LOWER = {"block": "", "high": "A", "low": "B", "value": "0.06", "split": None}
RECORD = {
    "data": {"rows": 900, "units": 900}, "ledger": None, "assumptions": ["iid-units"], "sha256": "0" * 64,
    "claims": {"parity": {"ucb": "0.07", "lcb": LOWER}},
}  # fmt: skip
VERDICTS = {0: "CERTIFIED", 1: "REFUTED", 3: "INCONCLUSIVE"}


def outcomes() -> Iterator[Outcome]:
    """One of every mode, exit code and comparison."""
    for mode in Mode:
        for code in (0, 1, 2, 3, 4, 5, 6, 7, 70):
            yield Outcome(mode, code, POLICY, reason="one line")
            for worse in ({}, {"parity": False}, {"parity": True}) if code in VERDICTS else ():
                yield Outcome(
                    mode, code, POLICY, certificate=RECORD, verdicts={"parity": VERDICTS[code]}, worse=worse
                )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sarif", help="the JSON schema of SARIF 2.1.0")
    parser.add_argument("junit", help="junit-10.xsd")
    options = parser.parse_args()
    import jsonschema
    import xmlschema

    with open(options.sarif, encoding="utf-8") as file:
        schema = json.load(file)
    log = jsonschema.validators.validator_for(schema)(schema)
    suites = xmlschema.XMLSchema(options.junit)
    written = list(outcomes())
    logs = [json.loads(sarif(each)) for each in written]
    found = [error.message for each in logs for error in log.iter_errors(each)]
    found += [str(error) for each in written for error in suites.iter_errors(ET.fromstring(junit_xml(each)))]
    assert list(log.iter_errors(logs[0] | {"surprise": 1}))
    assert list(suites.iter_errors(ET.fromstring("<testsuite surprise='1'/>")))
    print(f"{len(written)} SARIF logs and {len(written)} JUnit files: {len(found)} faults")
    print("\n".join(found[:20]))
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main()
