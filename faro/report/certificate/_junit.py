"""JUnit XML: a case per comparison; refuted is a failure, no answer an error, inconclusive is skipped."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from ._outcome import CLEAN, Mode, Outcome
from ._words import admitted, result, sentence

ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # no character of XML 1.0
JUNIT_ELEMENTS = {"REFUTED": "failure", "INCONCLUSIVE": "skipped"}


def junit_xml(outcome: Outcome) -> str:
    """One `<testsuites>` document; a suite per claim, or one with one case where nothing is said of single claims.

    Whoever reads it should look at the exit code as well: many readers count skipped as passed, and INCONCLUSIVE is
    no pass. Therefore a gate that does not pass, with too few people too, is a failure, never skipped.
    """
    root = ET.Element("testsuites", name="faro")
    if outcome.claims:
        for claim in outcome.claims:
            cases = [(one.name, one.status) for one in claim.comparisons] or [(claim.name, claim.verdict or "")]
            statuses = {status for _, status in cases}
            if claim.verdict == "REFUTED" and "REFUTED" not in statuses:
                cases.append(("all together", "REFUTED"))
            if claim.verdict == "INCONCLUSIVE" and "INCONCLUSIVE" not in statuses:
                cases.append(("all together", "INCONCLUSIVE"))
            suite = ET.SubElement(root, "testsuite", name=_legal(claim.name))
            properties = ET.SubElement(suite, "properties")
            ET.SubElement(properties, "property", name="claim", value=_legal(sentence(claim)))
            if outcome.mode is Mode.TUNING:
                ET.SubElement(properties, "property", name="data", value="tuning data, no guarantee")
            for name, status in cases:
                unknown = f"not shown to be within {claim.bound}"
                message = f"{name}: {unknown if status == 'INCONCLUSIVE' else result(outcome, claim)}"
                _case(suite, f"faro.{claim.name}", name, JUNIT_ELEMENTS.get(status), status, message)
            if claim.name in outcome.worse:
                kind = "failure" if outcome.worse[claim.name] else None
                message = f"{claim.name}: the bound is worse than in the baseline"
                _case(suite, f"faro.{claim.name}", "no worse than the baseline", kind, "WORSE", message)
    else:
        suite = ET.SubElement(root, "testsuite", name="faro")
        kind = None if outcome.code == 0 else "failure" if outcome.code in CLEAN else "error"
        _case(suite, "faro", outcome.mode, kind, outcome.verdict, outcome.meaning)
    for suite in root:
        _admit(suite, outcome)
        _count(suite)
    for key in ("tests", "failures", "errors"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    ET.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _admit(suite: ET.Element, outcome: Outcome) -> None:
    """What the whole rests on, as properties, which come first in a suite."""
    if words := admitted(outcome):
        properties = suite.find("properties")
        if properties is None:
            properties = ET.Element("properties")
            suite.insert(0, properties)
        for line in words:
            name, colon, value = line.partition(": ")
            ET.SubElement(properties, "property", name=_legal(name if colon else "table"), value=_legal(value or line))


def _case(suite: ET.Element, classname: str, name: str, kind: str | None, status: str, message: str) -> None:
    case = ET.SubElement(suite, "testcase", name=_legal(name), classname=_legal(classname))
    if kind:
        ET.SubElement(case, kind, type=status, message=_legal(message))


def _count(suite: ET.Element) -> None:
    suite.set("tests", str(len(suite.findall("testcase"))))
    for key, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(key, str(len(suite.findall(f"testcase/{kind}"))))


def _legal(text: str) -> str:
    return ILLEGAL.sub("\ufffd", text)
