"""Twins that are missing: nobody leaves out what differs unless the policy admits it, and then every output says so."""

from __future__ import annotations

import json

import pandas as pd
import pytest

import constraints as ct
from faro import verify
from faro.certify.certificate import make, prepare
from faro.certify.drafts import _assumptions
from faro.certify.policy import read_policy
from faro.data import Schema
from faro.data.specs import AttributeSpec, Only, TwinSpec
from faro.errors import UsageError
from faro.report.certificate._outcome import Outcome
from tests.oracles import verify_by_hand as hand

FLIP = {"name": "flip", "constraint": "counterfactual_flip", "attribute": "g", "bound": 0.15, "method": "unit-ratio"}
BOTH = {"g": {"levels": ["A", "B"], "chooser": False}, "s": {"levels": ["x", "y"], "chooser": False}}
TWINS = ["reward:g=A", "reward:g=B"]


def people(chooser=False):
    """Choices of people who all have twins, of which many decide otherwise."""
    rows = hand.choosers(150, per_unit=2, effect=2.0)
    frame = pd.DataFrame(rows)
    if chooser:
        frame["g"] = frame.groupby("choice")["g"].transform("first")
    for name in TWINS:
        frame[name] = frame[name].fillna(frame["reward"])
    return frame


def emptied(frame):
    """The same without the twins of all rows whose decision is another one at some level."""
    best = frame.groupby("choice")["reward"].transform("max")
    second = frame["reward"].where(frame["reward"] < best).groupby(frame["choice"]).transform("max")
    rival = best.where(frame["reward"] < best, second)
    own = frame["reward"] > rival
    other = pd.concat([(frame[name] > rival) != own for name in TWINS], axis=1).any(axis=1)
    assert 0.1 < other.mean() < 0.5
    return frame.assign(**{name: frame[name].mask(other) for name in TWINS}), other


def asked(admitted, **more):
    rules = hand.policy2(FLIP | more, attributes=BOTH, cap=9, outside="none", units="person")
    rules["assumptions"] = [name for name in rules["assumptions"] if admitted or name != "twins-missing"]
    return rules


def stored(folder, frame, rules):
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    words = hand.store(folder, rules, rows, {}, hand.describe(rows, rules))
    return rows, words, read_policy(folder / "faro.toml")


def checked(folder, record):
    (folder / "cert.json").write_text(json.dumps(record))
    return verify.verify(folder / "cert.json", str(folder / "audit.csv"), policy=folder / "faro.toml")


def test_what_differs_cannot_be_left_out(tmp_path):
    """With all twins REFUTED; without those that decide otherwise no decision would differ: CERTIFIED."""
    frame = people()
    stored(tmp_path, frame, asked(False))
    case = prepare(tmp_path / "audit.csv", read_policy(tmp_path / "faro.toml"))
    whole = make(case)
    assert whole.verdict.value == "REFUTED" and "twins" not in case.data and not case.untwinned
    assert checked(tmp_path, whole.record).verdict == "REFUTED"
    gone, _ = emptied(frame)
    rows, _, policy = stored(tmp_path, gone, asked(False))
    with pytest.raises(UsageError, match=r"twins-missing.*missing in \d+ of \d+ choices .*nothing is claimed"):
        prepare(tmp_path / "audit.csv", policy)
    forged = hand.certify(asked(False), rows, description=hand.describe(rows, asked(False)))
    assert forged["result"]["verdict"] == "CERTIFIED"  # the attack
    with pytest.raises(verify.Refused, match="does not admit the assumption 'twins-missing'") as refused:
        checked(tmp_path, forged)
    assert refused.value.code == verify.USAGE
    hidden = forged | {"assumptions": [name for name in forged["assumptions"] if name != "twins-missing"]}
    for record in (hidden, forged | {"data": {k: v for k, v in forged["data"].items() if k != "twins"}}):
        with pytest.raises(verify.Refused, match=r"assumptions: expected|data.twins: expected"):
            checked(tmp_path, hand.seal(record))


def test_how_many_are_left_out_is_said(tmp_path):
    gone, other = emptied(people())
    rules = asked(True)
    rows, _, policy = stored(tmp_path, gone, rules)
    case = prepare(tmp_path / "audit.csv", policy)
    made = make(case)
    choices, missing = gone["choice"].nunique(), gone["choice"][other].nunique()
    assert case.data["twins"] == {"g": {"choices": choices, "missing": missing}}
    record = hand.certify(rules, rows, description=hand.describe(rows, rules))
    assert record["data"] == case.data and record["assumptions"] == made.record["assumptions"]
    line = f"missing in {missing} of {choices} choices (share {missing / choices:.3g}), of which nothing is claimed"
    assert line in verify.report(checked(tmp_path, made.record))
    outcome = Outcome("certificate", 0, (tmp_path / "faro.toml").read_text(), certificate=made.record)
    assert f"twins of 'g': {line}" in outcome.statements
    for other in ({}, {"g": {"choices": choices, "missing": missing - 1}}, None, {"s": {"choices": 1, "missing": 1}}):
        with pytest.raises(verify.Refused) as refused:
            checked(tmp_path, hand.seal(made.record | {"data": made.record["data"] | {"twins": other}}))
        assert refused.value.code == verify.MALFORMED


def test_rows_that_no_claim_asks_about_may_lack_twins(tmp_path):
    """Outside the strata, without a level or weight, nothing is left out."""
    frame = people()
    out = (frame["s"] == "y") & (frame.index % 3 == 0)
    frame.loc[out, TWINS] = None
    for rules, change in (
        (asked(False, within="s", strata=["x"]), {}),
        (asked(False), {"g": frame["g"].mask(out, "")}),
        (asked(False), {"weight": frame["weight"].mask(out, 0.0)}),
    ):
        rows, _, policy = stored(tmp_path, frame.assign(**change), rules)
        described = hand.describe(rows, rules)
        case = prepare(tmp_path / "audit.csv", policy)
        assert not case.untwinned and case.data == hand.certify(rules, rows, description=described)["data"]
        checked(tmp_path, make(case).record)
    stored(tmp_path, frame, asked(False))
    with pytest.raises(UsageError, match="twins-missing"):
        prepare(tmp_path / "audit.csv", read_policy(tmp_path / "faro.toml"))


def test_of_a_chooser_the_whole_choice_is_left_out(tmp_path):
    frame = people(chooser=True)
    frame.loc[frame["choice"].eq(frame["choice"][0]) & frame["alternative"].eq("1"), "reward:g=A"] = None
    rules = asked(True) | {"attributes": BOTH | {"g": {"levels": ["A", "B"], "chooser": True}}}
    rows, _, policy = stored(tmp_path, frame, rules)
    case = prepare(tmp_path / "audit.csv", policy)
    assert case.untwinned["g"] == {"choices": frame["choice"].nunique(), "missing": 1}
    assert case.data == hand.certify(rules, rows, description=hand.describe(rows, rules))["data"]
    checked(tmp_path, make(case).record)


def test_which_twins_there_are_is_of_the_audit_set(tmp_path):
    """A ledger names them: who admits that some are missing need not take any that a scorer leaves out."""
    frame = people()
    frame.loc[frame.index % 20 == 0, "reward:g=A"] = None
    stored(tmp_path, frame, asked(True))
    first = prepare(tmp_path / "audit.csv", read_policy(tmp_path / "faro.toml")).audit
    other = frame.assign(**{name: frame[name] * 2 for name in TWINS})  # another model's
    stored(tmp_path, other, asked(True))
    again = prepare(tmp_path / "audit.csv", read_policy(tmp_path / "faro.toml")).audit
    assert first.frame_sha256 == again.frame_sha256 and first.rows_sha256 != again.rows_sha256
    gone, _ = emptied(frame)
    stored(tmp_path, gone, asked(True))
    assert prepare(tmp_path / "audit.csv", read_policy(tmp_path / "faro.toml")).audit.frame_sha256 != first.frame_sha256


def test_a_draft_admits_it_where_the_schema_has_such_twins():
    """By design, or where nothing says what a twin would be; elsewhere all are asked for."""
    only = (Only(column="s", equals="x", levels=("A",)),)
    for more, lacks in (({}, False), ({"missing": "exclude"}, True), ({"only": only}, True)):
        twins = (TwinSpec(attribute="g", origin="as the data have it", **more),)
        group = AttributeSpec(name="g", levels=("A", "B"))
        schema = Schema(format="wide", unit="person", categorical=("s",), attributes=(group,), twins=twins)
        for part in (ct.counterfactual_flip(group.attribute, 0.1), ct.rate_cap(group.attribute, 0.1)):
            drafted = _assumptions(part, schema, False, False)
            assert ("twins-missing" in drafted) == (lacks and bool(part.twins())), (more, part)
