"""What CI and people see of a certificate: JUnit, SARIF, Markdown, annotations and the page, from plain records.

The schemas in `SARIF` and `JUNIT` are subsets written for this test, of the parts that faro uses: no copy of the
published schemas is kept here. They are closed, so that a field which the subset does not know fails.
"""

from __future__ import annotations

import io
import json
import re
from decimal import Decimal
from xml.etree import ElementTree as ET

import pytest

from faro.errors import UsageError
from faro.report.certificate import (
    Outcome,
    certificate_page,
    github_annotations,
    junit_xml,
    markdown,
    sarif,
    write_outputs,
)
from tests.oracles.page import Page

POLICY = """schema = "faro-policy/1"
delta = 0.05
estimand = "unit"
nonce = "before any score"
min_group = 100
assumptions = ["iid-units", "group-labels-correct", "train-overlap-unchecked", "no-ledger"]

[attributes.dialect]
levels = ["A", "B", "C"]

[[claim]]
name = "parity"
constraint = "demographic_parity"
attribute = "dialect"
bound = 0.05
method = "exact2"

[[claim]]
name = "caps"
constraint = "rate_cap"
attribute = "dialect"
groups = ["A", "B"]
bound = 0.5
method = "clopper-pearson"
ball = "tv"
radius = 0.01

[[claim]]
name = "odds"
constraint = "equalized_odds"
attribute = "dialect"
bound = 0.2
method = "clopper-pearson"
"""
ENDS = {event: {"A": ["0.2", "0.3"], "B": ["0.25", "0.35"], "C": ["0.4", "0.5"]} for event in ("chosen", "rejected")}
POINT = {"up": {"eta": "0"}}
CERTIFICATE = {
    "schema": "faro-certificate/1",
    "policy_sha256": "a" * 64,
    "model_sha256": "b" * 64,
    "data": {"rows": 7313, "units": 7313, "rows_sha256": "c" * 64, "frame_sha256": "d" * 64},
    "ledger": {"attempt": 2, "delta": "607927101854/80000000000000", "entry": "e" * 64},
    "train_units_sha256": None,
    "assumptions": ["group-labels-correct", "iid-units", "train-overlap-unchecked"],
    "claims": {
        "parity": {"ucb": "0.0340001", "lcb": None},
        "caps": {"ucb": "0.4179", "lcb": None, "ends": {}, "dual": {}, "breakdown": {"radius": "0.0829", "dual": {}}},
        "odds": {"ucb": "0.3", "lcb": None, "ends": ENDS},
    },
    "result": {"verdict": "CERTIFIED"},
    "sha256": "f" * 64,
    "info": {"tool": "faro 0.1.0", "note": "</pre><script>alert(1)</script>"},
}
LOWER = {"block": "chosen", "high": "C", "low": "A", "value": "0.2113", "split": "0.4"}
WORDS = {"parity": "CERTIFIED", "caps": "CERTIFIED", "odds": "INCONCLUSIVE"}
OUTPUTS = {"junit_xml": junit_xml, "sarif": sarif, "markdown": markdown, "html": certificate_page}


def certificate(**odds):
    claims = CERTIFICATE["claims"] | {"odds": CERTIFICATE["claims"]["odds"] | odds}
    return CERTIFICATE | {"claims": claims}


GOOD = Outcome("certificate", 0, POLICY, "policies/faro.toml", certificate(ucb="0.19"))
OPEN = Outcome(
    "certificate", 3, POLICY, certificate=CERTIFICATE, verdicts=WORDS,
    sizes={"odds": {("chosen", "A"): 1234}, "caps": {("", ""): 567}},
    needed={"odds": "even with equal rates of 0.30, 23,456 units per group are needed"},
)  # fmt: skip
BAD = Outcome("certificate", 1, POLICY, certificate=certificate(lcb=LOWER), verdicts=WORDS | {"odds": "REFUTED"})
TUNING = Outcome("tuning", 0, POLICY, certificate=certificate(ucb="0.19"))
REFUSED = Outcome("certificate", 4, POLICY, certificate=CERTIFICATE, reason="claim 'odds': ucb is not proved")
ALL = {"good": GOOD, "open": OPEN, "bad": BAD, "tuning": TUNING, "refused": REFUSED}
ALL |= {f"gate-{code}": Outcome("gate", code, POLICY, certificate=CERTIFICATE) for code in (1, 2, 3, 4, 5, 6, 7, 70)}
each = pytest.mark.parametrize("outcome", ALL.values(), ids=ALL)


# ---------------------------------------------------------------- a small checker of JSON against a closed schema
TEXT, COUNT = {"type": str}, {"type": int}
MESSAGE = {"fields": {"text": TEXT}, "needed": ["text"]}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
PLACE = {
    "fields": {
        "artifactLocation": {"fields": {"uri": {"type": str, "match": r"[A-Za-z0-9._~/%-]+"}}, "needed": ["uri"]},
        "region": {"fields": {"startLine": COUNT}, "needed": ["startLine"]},
    },
    "needed": ["artifactLocation"],
}
RULE = {
    "fields": {"id": TEXT, "name": TEXT, "shortDescription": MESSAGE,
               "defaultConfiguration": {"fields": {"level": LEVEL}}},
    "needed": ["id"],
}  # fmt: skip
RESULT = {
    "fields": {
        "ruleId": TEXT, "ruleIndex": COUNT, "level": LEVEL, "message": MESSAGE,
        "locations": {"items": {"fields": {"physicalLocation": PLACE}}}, "partialFingerprints": {"values": TEXT},
    },
    "needed": ["message"],
}  # fmt: skip
RUN = {
    "fields": {
        "tool": {"fields": {"driver": {"fields": {"name": TEXT, "rules": {"items": RULE}}, "needed": ["name"]}},
                 "needed": ["driver"]},
        "automationDetails": {"fields": {"id": TEXT}},
        "invocations": {"items": {"fields": {"executionSuccessful": {"type": bool}},
                                  "needed": ["executionSuccessful"]}},
        "results": {"items": RESULT},
        "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
        "properties": {"values": {"items": TEXT}},  # a property bag: what the whole rests on
    },
    "needed": ["tool"],
}  # fmt: skip
SARIF = {
    "fields": {"$schema": TEXT, "version": {"enum": ["2.1.0"]}, "runs": {"items": RUN}},
    "needed": ["version", "runs"],
}


def mismatch(value, schema, where="log"):
    """The first place where the value does not fit, or None."""
    if "fields" in schema:
        if not isinstance(value, dict) or set(schema.get("needed", [])) - set(value):
            return where
        found = (
            f"{where}.{key}"
            if key not in schema["fields"]
            else mismatch(inner, schema["fields"][key], f"{where}.{key}")
            for key, inner in value.items()
        )
    elif "items" in schema or "values" in schema:
        if not isinstance(value, list if "items" in schema else dict):
            return where
        inner = schema.get("items") or schema["values"]
        found = (mismatch(v, inner, f"{where}[]") for v in (value if "items" in schema else value.values()))
    else:
        good = value in schema["enum"] if "enum" in schema else type(value) is schema["type"]
        return None if good and re.fullmatch(schema.get("match", "(?s).*"), str(value)) else where
    return next((place for place in found if place), None)


JUNIT = {  # element -> (attributes, those needed, children)
    "testsuites": ("name tests failures errors", "", "testsuite"),
    "testsuite": ("name tests failures errors skipped", "name tests failures errors", "properties testcase"),
    "properties": ("", "", "property"),
    "property": ("name value", "name value", ""),
    "testcase": ("name classname", "name", "failure error skipped"),
    **dict.fromkeys(("failure", "error", "skipped"), ("type message", "", "")),
}


def junit_mismatch(element):
    attributes, needed, children = (set(words.split()) for words in JUNIT[element.tag])
    if not needed <= set(element.attrib) <= attributes or not {child.tag for child in element} <= children:
        return element.tag
    return next((place for child in element if (place := junit_mismatch(child))), None)


# ---------------------------------------------------------------- every output of every outcome
@each
def test_schemas(outcome):
    log = json.loads(sarif(outcome))
    assert mismatch(log, SARIF) is None
    root = ET.fromstring(junit_xml(outcome))
    assert junit_mismatch(root) is None
    for key, kind in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
        assert int(root.get(key)) == len(root.findall(f".//{kind}"))
        assert sum(int(suite.get(key)) for suite in root) == int(root.get(key))


def test_the_small_checkers_can_fail():
    log = json.loads(sarif(BAD))
    for planted in ({"version": "2.0"}, {"runs": {}}, {"runs": [log["runs"][0] | {"surprise": 1}]}, {"runs": [{}]}):
        assert mismatch(log | planted, SARIF)
    assert junit_mismatch(ET.fromstring("<testsuite name='x'/>"))
    assert junit_mismatch(ET.fromstring("<testcase name='x'><surprise/></testcase>"))


@each
def test_only_a_pass_looks_like_one(outcome):
    """Whatever is no pass shows in every machine-readable output, and the other way round."""
    passed = outcome.code == 0
    root = ET.fromstring(junit_xml(outcome))
    assert (not [e for e in root.iter() if e.tag in ("failure", "error", "skipped")]) == passed
    assert (not json.loads(sarif(outcome))["runs"][0]["results"]) == passed
    assert (not github_annotations(outcome)) == passed


@each
def test_same_record_same_bytes(outcome):
    for make in OUTPUTS.values():
        assert make(outcome) == make(outcome)


# ---------------------------------------------------------------- one bit
PLANTED = ("0.34567", "0.76543", "86421", "97531", "dialect-B-leads")


@pytest.mark.parametrize("code", [1, 3, 4, 7, 70])
def test_nothing_numeric_leaves_a_gate_that_does_not_pass(code, tmp_path, capsys):
    planted = certificate(ucb=PLANTED[0], lcb=LOWER | {"value": PLANTED[1], "high": PLANTED[4]})
    planted = planted | {"data": planted["data"] | {"units": 86421, "rows": 86421}, "info": {"gap": PLANTED[3]}}
    many = {"odds": {("chosen", "A"): 97531}}
    outcome = Outcome(
        "gate", code, POLICY, certificate=planted, verdicts=WORDS | {"odds": "REFUTED"}, sizes=many,
        needed={"odds": "97531"}, reason="" if code == 3 else f"gap {PLANTED[0]} of {PLANTED[4]}",
    )  # fmt: skip
    bare = Outcome("gate", code, POLICY)
    assert outcome == bare  # the record itself holds nothing
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    paths = write_outputs(outcome, {kind: tmp_path / kind for kind in OUTPUTS}, environ)
    texts = [path.read_text() for path in (*paths, tmp_path / "summary")] + ["".join(capsys.readouterr())]
    assert all(len(text) > 40 for text in texts)
    for text in texts:
        assert not [number for number in PLANTED if number in text]
        for word in ("REFUTED", "INCONCLUSIVE", *("f" * 64,)):
            assert word not in text
    # every number that is there stands in the policy, or belongs to the form
    seen = set(re.findall(r"\d+\.\d+", re.sub(r"<style>.*?</style>", "", "".join(texts), flags=re.S)))
    assert seen <= set(re.findall(r"\d+\.\d+", POLICY)) | {"2.1", "1.0"}


def test_the_planted_numbers_are_seen_where_they_may_be():
    """The control: outside the gate the same record shows them, so that the test above can fail."""
    outcome = Outcome(
        "certificate", 1, POLICY, certificate=certificate(lcb=LOWER | {"value": "0.34567"}),
        verdicts=WORDS | {"odds": "REFUTED"}, needed={"odds": "97,531 people"},
    )  # fmt: skip
    assert all("0.3456" in make(outcome) for make in OUTPUTS.values())
    assert "97,531" in certificate_page(outcome)


def test_a_pass_shows_its_certificate_where_it_was_given():
    last = Outcome("gate", 0, POLICY, certificate=certificate(ucb="0.19"))
    assert last.verdict == "PASS"
    assert "0.19" in markdown(last)
    more = Outcome("gate", 0, POLICY)  # passes are left: the certificate stays in escrow
    assert "0.19" not in "".join(make(more) for make in OUTPUTS.values())
    assert ET.fromstring(junit_xml(more)).get("failures") == "0"
    assert "Pass." in certificate_page(more)


# ---------------------------------------------------------------- the record
def test_claims_are_read():
    parity, caps, odds = BAD.claims
    assert (parity.ucb, parity.lcb, caps.breakdown, odds.lcb) == tuple(
        Decimal(x) if x else None for x in ("0.0340001", None, "0.0829", "0.2113")
    )
    assert len(parity.comparisons) == 6
    assert [one.name for one in caps.comparisons] == ["A", "B"]
    status = {one.name: (one.status, one.upper) for one in odds.comparisons}
    assert len(status) == 12
    assert status["chosen: C - A"] == ("REFUTED", Decimal("0.3"))
    assert status["rejected: C - A"] == ("INCONCLUSIVE", Decimal("0.3"))
    assert status["chosen: A - B"] == ("CERTIFIED", Decimal("0.05"))  # by its own ends
    assert [POLICY.splitlines()[BAD.line(c.name) - 1 : BAD.line(c.name) + 1][1] for c in BAD.claims] == [
        f'name = "{name}"' for name in ("parity", "caps", "odds")
    ]
    assert BAD.line("absent") == BAD.line(None) == 1
    assert BAD.confidence == "99.24 %"  # the ledger's share for attempt 2, rounded down


def test_blocks_are_those_of_the_checker():
    """Names of blocks and comparisons, against the checker's own reading of the same policy."""
    from faro import verify

    rules = {
        "name": "it", "constraint": "threshold_parity", "attribute": "dialect", "bound": "0.1", "method": "exact2",
        "thresholds": ["0", "0.5"], "within": "dialect", "strata": ["B"], "groups": ["A", "C"],
    }  # fmt: skip
    attributes = {"dialect": verify.Attribute(("A", "B", "C"), False)}
    nobody = dict.fromkeys(("attribute", "groups", "within", "strata"))
    for change in (
        {},
        {"thresholds": None},
        {"constraint": "equalized_odds"},
        {"constraint": "group_error"},
        {"constraint": "rate_cap"} | nobody,
    ):
        spec = {k: v for k, v in (rules | change).items() if v is not None}
        if spec["constraint"] != "threshold_parity":
            spec.pop("thresholds", None)
        elif "thresholds" not in spec:
            spec["thresholds"] = "all"
        theirs = verify._claim(verify.Keys(spec, "claim"), attributes, 1)
        text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in spec.items())
        ours = Outcome("tuning", 5, f'[attributes.dialect]\nlevels = ["A", "B", "C"]\n[[claim]]\n{text}').asked[0]
        assert [(one.block, one.high, one.low) for one in ours.comparisons] == theirs.comparisons


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"code": 9}, "code: expected one of 0, 1, 2"),
        ({"verdicts": {"parity": "GOOD"}}, "verdicts: expected CERTIFIED"),
        ({"verdicts": {"parity": "CERTIFIED"}}, "one for every claim"),
    ],
)
def test_wrong_records_are_refused(change, said):
    with pytest.raises(UsageError, match=said):
        Outcome(**{"mode": "certificate", "code": 3, "policy": POLICY, "certificate": CERTIFICATE} | change)
    with pytest.raises(UsageError, match="files: expected junit_xml"):
        write_outputs(GOOD, {"pdf": "x"}, {})


@pytest.mark.parametrize("policy", ["", "not [ toml", "claim = 3", "[[claim]]\nname = 3\n"])
def test_a_broken_policy_is_reported_as_one(policy):
    outcome = Outcome("gate", 2, policy, reason="faro.toml: not TOML")
    for make in OUTPUTS.values():
        assert "not TOML" in make(outcome)
    assert github_annotations(outcome) == [
        "::error file=faro.toml,line=1,title=faro%3A NOT CHECKED::faro.toml: not TOML"
    ]


# ---------------------------------------------------------------- one output each
def test_junit_kinds():
    kinds = {
        f"{case.get('classname')} {case.get('name')}": [child.tag for child in case]
        for case in ET.fromstring(junit_xml(BAD)).iter("testcase")
    }
    assert len(kinds) == 6 + 2 + 12
    assert kinds["faro.odds chosen: C - A"] == ["failure"]
    assert kinds["faro.odds rejected: C - A"] == ["skipped"]
    assert kinds["faro.parity A - B"] == []
    refused = ET.fromstring(junit_xml(REFUSED))
    assert [e.get("message") for e in refused.iter("error")] == ["claim 'odds': ucb is not proved"]
    gate = ET.fromstring(junit_xml(ALL["gate-3"]))
    assert gate.get("failures") == "1"  # no reader may count it as passed
    assert "tuning data, no guarantee" in junit_xml(TUNING)


def test_a_refuted_or_open_claim_never_has_clean_cases_only():
    """Even where the certificate names a comparison that the policy does not know, or ends that are all small."""
    small = {block: {group: ["0.2", "0.21"] for group in "ABC"} for block in ENDS}
    for verdict, code in (("REFUTED", 1), ("INCONCLUSIVE", 3)):
        planted = certificate(lcb=LOWER | {"high": "Z"}, ends=small)
        outcome = Outcome("certificate", code, POLICY, certificate=planted, verdicts=WORDS | {"odds": verdict})
        root = ET.fromstring(junit_xml(outcome))
        assert list(root.iter({"REFUTED": "failure", "INCONCLUSIVE": "skipped"}[verdict]))


def test_sarif_places_and_fingerprints():
    results = json.loads(sarif(BAD))["runs"][0]["results"]
    assert [(r["ruleId"], r["level"]) for r in results] == [("faro/refuted", "error")]
    place = results[0]["locations"][0]["physicalLocation"]
    assert POLICY.splitlines()[place["region"]["startLine"]] == 'name = "odds"'
    other = Outcome(
        "certificate", 1, "\n" + POLICY, certificate=certificate(ucb="0.4", lcb=LOWER | {"value": "0.3"}),
        verdicts=WORDS | {"odds": "REFUTED"},
    )  # fmt: skip
    again = json.loads(sarif(other))["runs"][0]["results"][0]
    assert again["partialFingerprints"] == results[0]["partialFingerprints"]  # no number, no line
    assert again["locations"] != results[0]["locations"]
    assert json.loads(sarif(OPEN))["runs"][0]["results"][0]["partialFingerprints"] != results[0]["partialFingerprints"]
    spaced = Outcome("gate", 1, POLICY, "my policies/faro.toml")
    assert "my%20policies/faro.toml" in sarif(spaced)


NASTY = 'a|b`c`<img src=x onerror=y>\n::error::x%25, "q" & \x01 [l](u) *s*'


def nasty(code=1):
    policy = POLICY.replace('name = "odds"', f"name = {json.dumps(NASTY).replace(chr(1), '')}")
    claims = {NASTY if name == "odds" else name: value for name, value in certificate(lcb=LOWER)["claims"].items()}
    verdicts = {NASTY if name == "odds" else name: value for name, value in (WORDS | {"odds": "REFUTED"}).items()}
    return Outcome("certificate", code, policy, "a,b:c%.toml", CERTIFICATE | {"claims": claims}, verdicts)


def test_names_cannot_break_out():
    outcome = nasty()
    (line,) = github_annotations(outcome)
    assert "\n" not in line
    head, _, message = line.removeprefix("::error ").partition("::")
    properties = dict(part.split("=", 1) for part in head.split(","))
    assert set(properties) == {"file", "line", "title"}
    assert properties["file"] == "a%2Cb%3Ac%25.toml"
    unescaped = properties["title"].replace("%0A", "\n").replace("%2C", ",").replace("%3A", ":").replace("%25", "%")
    assert unescaped == f"{NASTY}: REFUTED"
    assert "%" not in re.sub(r"%(25|0A|0D)", "", message)
    text = markdown(outcome)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 5 for row in rows)
    assert "<img" not in text
    case = [c.get("classname") for c in ET.fromstring(junit_xml(outcome)).iter("testcase")][-1]
    assert case == f"faro.{NASTY}".replace("\x01", "\ufffd")
    assert NASTY in json.loads(sarif(outcome))["runs"][0]["results"][0]["message"]["text"]
    assert "<img" not in certificate_page(outcome)
    assert "<script" not in certificate_page(outcome)


def test_summary_is_appended_and_stays_below_its_cap(tmp_path):
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    write_outputs(GOOD, {}, {"GITHUB_STEP_SUMMARY": str(summary)})
    assert summary.read_text().startswith("before\n## faro: CERTIFIED")
    assert len(markdown(BAD, 700).encode()) <= 700
    assert "Cut here" in markdown(BAD, 700)
    assert markdown(BAD, 10) == ""
    summary.write_text("x" * ((1 << 20) - 300))
    write_outputs(BAD, {}, {"GITHUB_STEP_SUMMARY": str(summary)})
    assert (1 << 20) - 300 < summary.stat().st_size <= 1 << 20


def test_annotations_only_where_asked_and_few():
    stream = io.StringIO()
    write_outputs(BAD, {}, {}, stream)
    assert not stream.getvalue()
    write_outputs(BAD, {}, {"GITHUB_ACTIONS": "true"}, stream)
    assert stream.getvalue().splitlines() == github_annotations(BAD)
    assert [line.split(" ")[0] for line in github_annotations(BAD, "warning")] == ["::warning"]
    names = [f"claim {i}" for i in range(30)]
    one = '[[claim]]\nname = "{}"\nconstraint = "demographic_parity"\nattribute = "dialect"\nbound = 0.1\n'
    policy = POLICY[: POLICY.index("[[claim]]")] + "".join(one.format(name) for name in names)
    record = CERTIFICATE | {"claims": {name: {"ucb": "0.5", "lcb": None} for name in names}}
    many = github_annotations(
        Outcome("certificate", 3, policy, certificate=record, verdicts=dict.fromkeys(names, "INCONCLUSIVE"))
    )
    assert len(many) == 5
    assert "26 more claims" in many[-1]


# ---------------------------------------------------------------- the page


def said(outcome):
    return Page(certificate_page(outcome)).text


@each
def test_page_is_whole_and_loads_nothing(outcome):
    page = Page(certificate_page(outcome))
    assert page.loaded == [] and "script" not in page.tags
    assert "url(" not in certificate_page(outcome)
    assert len(certificate_page(outcome)) < 60_000
    assert "{" not in page.text.replace(" ".join(json.dumps(CERTIFICATE["info"], indent=1).split()), "")  # no template


def test_page_says_what_a_reader_needs():
    text = said(GOOD)
    for part in (
        "7,313 audited units", "99.24 % confidence", "attempt 2", "0.0341", "within 0.05", "the dialect groups A, B, C",
        "up to 0.0829 of them", "No shift was looked at".lower(), "NOT checked", "The recorded group labels are right",
        "python verify.py certificate.json audit.csv --policy policies/faro.toml --ledger", "c" * 64, "f" * 64,
        "It says nothing of groups that are not named", "not the chance that this certificate is wrong",
    ):  # fmt: skip
        assert part in text, part
    assert "Even with equal rates of 0.30, 23,456 units per group are needed." in said(OPEN)
    assert "odds: chosen, A 1,234" in said(OPEN)
    assert "caps: all 567" in said(OPEN)
    short = Outcome("gate", 3, POLICY, reason="parity: C: 23 units, the policy asks for 100")
    assert "whatever the scores are. parity: C: 23 units" in said(short)
    assert "proved at least 0.2113" in said(BAD).lower()


def test_tuning_is_marked_everywhere():
    text = said(TUNING)
    assert "Tuning data, no guarantee" in text
    assert "would be certified" in text
    assert "CERTIFIED" not in text
    assert "Not at all" in text
    for make in OUTPUTS.values():
        assert not re.search(r"\bproved", make(TUNING).replace("proves nothing", ""))
    assert "Tuning data, no guarantee" in markdown(TUNING)
    assert "(tuning data)" in markdown(TUNING)
    refuted = Outcome("tuning", 1, POLICY, certificate=certificate(lcb=LOWER), verdicts=WORDS | {"odds": "REFUTED"})
    assert "Tuning data, no guarantee" in sarif(refuted)
    assert all("Tuning data, no guarantee" in line for line in github_annotations(refuted))


@each
def test_house_language(outcome):
    """Never more than was shown: the words that are refused in the documentation are refused here too."""
    text = re.sub("[Tt]uning data, no guarantee", "", said(outcome) + markdown(outcome))
    assert not re.findall(r"(?<![\w-])(?:fair|fairer|fairly|unbiased|debiased|guarantee[sd]?|bias-free)\b", text, re.I)


def test_bounds_are_rounded_against_the_claim():
    """An upper bound never looks smaller, a lower one never larger, than in the certificate."""
    assert "Proved at most 0.0341, which is within 0.05" in said(GOOD)
    low = Outcome(
        "certificate", 1, POLICY, certificate=certificate(lcb=LOWER | {"value": "0.21139"}),
        verdicts=WORDS | {"odds": "REFUTED"},
    )  # fmt: skip
    assert "Proved at least 0.2113," in said(low)


def test_vacuous_bounds_say_nothing():
    outcome = Outcome("certificate", 3, POLICY, certificate=certificate(ucb="1"), verdicts=WORDS)
    assert "(vacuous)" in said(outcome)
    assert certificate_page(outcome).count("<svg") == 2


def test_claims_about_tables():
    policy = POLICY[: POLICY.index("[attributes")] + '[[claim]]\nname = "mix"\nconstraint = "mixture"\nbound = 0.1\n'
    record = {"ucb": "0.0123", "lcb": None, "weights": {"0": "1"}, "multipliers": [], "table_sha256": "a" * 64}
    cert = CERTIFICATE | {"data": None, "ledger": None, "assumptions": [], "claims": {"mix": record}}
    outcome = Outcome("certificate", 0, policy, certificate=cert)
    text = said(outcome)
    assert "no chance is involved" in text
    assert "--table 'mix=table.csv'" in text
    assert [c.get("name") for c in ET.fromstring(junit_xml(outcome)).iter("testcase")] == ["mix"]
