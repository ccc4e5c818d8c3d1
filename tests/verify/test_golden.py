"""Certificates that an earlier version of faro made, stored with their inputs: today's checker must still prove them.

`python -m tests.verify.test_golden` writes what the folder `golden` lacks; what is there stays, for it is of its time.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from faro import verify
from tests.oracles import verify_by_hand as hand

GOLDEN = Path(__file__).parents[1] / "golden"
CODES = {
    "applicants": 3,
    "choosers": 3,
    "refuted": 1,
    "certified": 0,
    "served": 0,
    "pairs": 0,
}  # two of format 3


@pytest.mark.parametrize("name", CODES)
def test_a_stored_certificate_still_checks_and_a_changed_one_does_not(name, tmp_path, capsys):
    words = [str(GOLDEN / f"{name}.csv"), "--policy", str(GOLDEN / f"{name}.toml")]
    assert verify.main([str(GOLDEN / f"{name}.json"), *words]) == CODES[name], capsys.readouterr().err
    record = json.loads((GOLDEN / f"{name}.json").read_text())
    claim = next(iter(record["claims"].values()))
    claim["ucb"] = str(float(claim["ucb"]) - 0.001)
    (tmp_path / "changed.json").write_text(json.dumps(hand.seal(record)))
    assert verify.main([str(tmp_path / "changed.json"), *words]) == 4


def write() -> None:
    from faro.certify import certificate
    from faro.certify.policy import read_policy
    from tests.builders.claims import BOTH, accepted, claim

    many = [
        claim(method="exact2"), claim(method="block-pair"), claim("equalized_odds", "clopper-pearson"),
        claim("threshold_parity", "dkw", thresholds="all"),
        claim(method="clopper-pearson", ball="tv", radius="0.01"),
        claim("reward_parity", "dkw", ball="kl", radius="0.001"),
        claim("threshold_parity", "dkw", thresholds=[0], ball="w1", radius="0.01"),
        {"name": "", "constraint": "rate_cap", "method": "unit-ratio", "bound": "0.5"},
    ]  # fmt: skip
    twins = [claim(f"counterfactual_{x}", "unit-ratio", bound="0.3") for x in ("parity", "flip", "oscillation")]
    twins = [claim(method="unit-ratio"), *twins, claim("demographic_parity", "exact2", within="s")]

    def named(claims):
        return [each | {"name": f"claim {i}"} for i, each in enumerate(claims)]

    people = hand.applicants(240, {"A": 0.3, "B": 0.32})
    cases = {
        "applicants": (accepted(*named(many)), people),
        "choosers": (hand.policy(*named(twins), estimand="unit", attributes=BOTH), hand.choosers(60)),
        "refuted": (accepted(claim(bound="0.05")), hand.applicants(400, {"A": 0.3, "B": 0.6})),
        "certified": (accepted(claim(bound="0.1")), hand.applicants(1000, {"A": 0.3, "B": 0.3})),
    }
    more = {"constraint": "person_exchange", "method": "unit-ratio", "bound": "0.7"}
    asked = {"name": "all"} | more, {"name": "marked", "of": ["s", "y"]} | more, {"name": "g", "within": "g"} | more
    attributes = BOTH | {"g": {"levels": ["A", "B"], "chooser": True}}
    rules = hand.policy2(*asked, schema="faro-policy/3", attributes=attributes, cap=15, outside="none")
    cases["pairs"] = rules, hand.in_pairs(121)
    GOLDEN.mkdir(exist_ok=True)
    for name, (rules, rows) in cases.items():
        if (GOLDEN / f"{name}.json").exists():
            continue
        (GOLDEN / f"{name}.toml").write_text(hand.toml(rules))
        hand.write_csv(GOLDEN / f"{name}.csv", rows)
        policy = read_policy(GOLDEN / f"{name}.toml")
        found = certificate.make(certificate.prepare(GOLDEN / f"{name}.csv", policy))
        (GOLDEN / f"{name}.json").write_text(json.dumps(found.record, indent=1) + "\n")
        print(name, found.verdict.value)


if __name__ == "__main__":
    write()
