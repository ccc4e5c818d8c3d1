"""Certificates made by hand from the specification, through the command line of the checker: verdicts and refusals.

Every constraint, method and ball once; what the checker proves is tight: a claim a little stronger is refused. Then
policies, tables, ledgers and lists of training units that are wrong in one thing each, with the code that follows.
"""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from faro import verify
from tests.builders.claims import (
    APPLICANTS,
    BOTH,
    CHOOSER,
    CHOOSERS,
    ONE_ROW,
    SEVERAL_ROWS,
    SHIFTS,
    accepted,
    claim,
    names,
)
from tests.oracles import verify_by_hand as hand
from tests.oracles.verdicts import check, codes


def tight(folder, rules, rows, cert, capsys):
    """The certificate checks; no number may be a little stronger."""
    args = hand.store(folder, rules, rows, cert)
    assert check(args, capsys)[0] == codes(cert)
    changes = []
    if Fraction(cert["claims"]["it"]["ucb"]) < 1:
        changes.append(("ucb", lambda record: record | {"ucb": hand.dec(float(record["ucb"]) - 2e-5)}))
    if cert["claims"]["it"]["lcb"]:
        lcb = cert["claims"]["it"]["lcb"]
        changes.append(("lcb", lambda record: record | {"lcb": lcb | {"value": hand.dec(float(lcb["value"]) + 2e-5)}}))
    for _, change in changes:
        bad = copy.deepcopy(cert)
        bad["claims"]["it"] = change(bad["claims"]["it"])
        args = hand.store(folder, rules, rows, hand.seal(bad))
        assert check(args, capsys)[0] == 4
    return len(changes)


@pytest.mark.parametrize("wanted", ONE_ROW, ids=names)
def test_one_row_per_unit(wanted, tmp_path, capsys):
    rules = accepted(wanted)
    assert tight(tmp_path, rules, APPLICANTS, hand.certify(rules, APPLICANTS), capsys)


@pytest.mark.parametrize("entry", SEVERAL_ROWS, ids=names)
def test_several_rows_per_unit(entry, tmp_path, capsys):
    estimand, wanted = entry
    rules = hand.policy(wanted, estimand=estimand, attributes=BOTH, cap=9)
    assert tight(tmp_path, rules, CHOOSERS, hand.certify(rules, CHOOSERS), capsys)


@pytest.mark.parametrize("wanted", SHIFTS, ids=names)
def test_shifts(wanted, tmp_path, capsys):
    rules = accepted(wanted)
    cert = hand.certify(rules, APPLICANTS)
    tight(tmp_path, rules, APPLICANTS, cert, capsys)
    assert codes(cert) == 0
    record = cert["claims"]["it"]
    assert record["breakdown"] is not None
    larger = {"cvar": "0.2", "lr": "9"}.get(wanted["ball"], "0.9")
    for radius, code in ((larger, 4), ("-1", 5)):
        bad = copy.deepcopy(cert)
        bad["claims"]["it"]["breakdown"]["radius"] = radius
        assert check(hand.store(tmp_path, rules, APPLICANTS, hand.seal(bad)), capsys)[0] == code


def test_a_breakdown_radius_beyond_the_policy_is_proved(tmp_path, capsys):
    rules = accepted(claim(method="clopper-pearson", ball="tv", radius=0.01, bound=0.35))
    cert = hand.certify(rules, APPLICANTS)
    ends = cert["claims"]["it"]["ends"][""]
    nominal = max(float(ends[a][1]) - float(ends[b][0]) for a, b in ("AB", "BA"))
    for radius, code in (((0.35 - nominal) / 2 - 1e-6, 0), ((0.35 - nominal) / 2 + 1e-6, 4)):
        cert["claims"]["it"]["breakdown"] = {"radius": hand.dec(radius), "dual": cert["claims"]["it"]["dual"]}
        zero = {side: {"eta": "0"} for side in ("up", "down")}
        cert["claims"]["it"]["breakdown"]["dual"] = {"": {"A": zero, "B": zero}}
        assert check(hand.store(tmp_path, rules, APPLICANTS, hand.seal(cert)), capsys)[0] == code


def test_dual_points_outside_their_domain(tmp_path, capsys):
    for ball, radius, point in (("tv", 0.01, "1.5"), ("tv", 0.01, "-0.1"), ("kl", 0.01, "0"), ("kl", 0.01, "-2")):
        rules = accepted(claim(method="clopper-pearson", ball=ball, radius=radius))
        cert = hand.certify(rules, APPLICANTS)
        key = "eta" if ball == "tv" else "lambda"
        cert["claims"]["it"]["dual"][""]["B"]["down"] = {key: point}
        assert check(hand.store(tmp_path, rules, APPLICANTS, hand.seal(cert)), capsys)[0] == 7


# ---------------------------------------------------------------- verdicts
def test_four_verdicts(tmp_path, capsys):
    refuted = hand.applicants(600, {"A": 0.2, "B": 0.6})
    for rows, bound, min_group, code in (
        (APPLICANTS, 0.25, 5, 0), (refuted, 0.1, 5, 1), (APPLICANTS, 0.05, 5, 3), (APPLICANTS, 0.25, 121, 3),
    ):  # fmt: skip
        rules = accepted(claim(bound=bound), min_group=min_group)
        assert check(hand.store(tmp_path, rules, rows, hand.certify(rules, rows)), capsys)[0] == code


def test_a_conjunction_passes_only_if_all_claims_do(tmp_path, capsys):
    rules = accepted(claim(), {**claim("reward_parity", "block-pair", bound=0.01), "name": "scores"})
    cert = hand.certify(rules, APPLICANTS)
    assert check(hand.store(tmp_path, rules, APPLICANTS, cert), capsys)[0] == 3
    cert["result"]["verdict"] = "CERTIFIED"
    assert check(hand.store(tmp_path, rules, APPLICANTS, hand.seal(cert)), capsys)[0] == 4


def test_a_violation_in_one_place_is_found(tmp_path, capsys):
    """Above reward 1 only: one threshold passes, all thresholds refute. In one label only: parity passes, not odds."""
    rows = hand.applicants(3000, {"A": 0.3, "B": 0.3}, label=lambda rng, i: float(rng.random() < 0.5))
    for row in rows:
        if row["g"] == "B" and row["reward"] > 0:
            row["reward"] = round(0.9 * row["reward"] / 2, 6)
    for wanted, code in (
        (claim("threshold_parity", "clopper-pearson", thresholds=[0], bound=0.1), 0),
        (claim("threshold_parity", "dkw", thresholds="all", bound=0.1), 1),
    ):  # fmt: skip
        rules = accepted(wanted)
        assert check(hand.store(tmp_path, rules, rows, hand.certify(rules, rows)), capsys)[0] == code
    rows = hand.applicants(2000, {"A": 0.3, "B": 0.3}, label=lambda rng, i: 0.0)
    for i, row in enumerate(rows):
        row["label"] = float((row["reward"] > 0) == (row["g"] == "A") if i % 4 < 2 else i % 3 == 0)
    for wanted, code in ((claim(method="block-pair"), 0), (claim("equalized_odds", "clopper-pearson", bound=0.12), 1)):
        rules = accepted(wanted)
        assert check(hand.store(tmp_path, rules, rows, hand.certify(rules, rows)), capsys)[0] == code


def test_a_constant_reward_passes_no_count(tmp_path, capsys):
    rows = [row | {"reward": 0.0} for row in APPLICANTS]
    rules = accepted(claim(bound=0.5))
    cert = hand.certify(rules, rows)
    assert cert["claims"]["it"]["ucb"] == "1.000000000"
    assert check(hand.store(tmp_path, rules, rows, cert), capsys)[0] == 3


def test_format_and_order_of_the_table_mean_nothing(tmp_path, capsys):
    rules = hand.policy(claim("demographic_parity", "exact2"), estimand="unit", attributes=BOTH)
    cert = hand.certify(rules, CHOOSERS)
    args = hand.store(tmp_path, rules, CHOOSERS[::-1], cert)
    assert check(args, capsys)[0] == codes(cert)
    lines = [json.dumps({k: (-0.0 if x == 0 else x) for k, x in row.items()}) for row in CHOOSERS]
    (tmp_path / "audit.jsonl").write_text("\n".join(lines) + "\n")
    assert check([args[0], str(tmp_path / "audit.jsonl"), *args[2:]], capsys)[0] == codes(cert)
    wide = [row | {"part": "gate", "decision": 0.5} for row in CHOOSERS]  # columns that nobody reads
    assert check(hand.store(tmp_path, rules, wide, cert), capsys)[0] == codes(cert)


def test_outside_options(tmp_path, capsys):
    rows = [row | {"outside": int(row["choice"][-1] == "0")} for row in CHOOSERS]
    for outside in ("none", "all", "column"):
        rules = hand.policy(claim(method="unit-ratio", bound=0.4), attributes=BOTH, cap=9, outside=outside, threshold=1)
        assert check(hand.store(tmp_path, rules, rows, hand.certify(rules, rows)), capsys)[0] == 0


def test_the_checker_stands_alone(tmp_path):
    """One file, copied away, with an interpreter that sees nothing but the standard library."""
    rules = accepted(claim(), {**claim("reward_parity", "dkw", ball="kl", radius=0.001, bound=0.4), "name": "shift"})
    args = hand.store(tmp_path, rules, APPLICANTS, hand.certify(rules, APPLICANTS))
    copied = shutil.copy(Path(verify.__file__), tmp_path / "alone.py")
    ran = subprocess.run([sys.executable, "-I", "-S", copied, *args], capture_output=True, text=True, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.endswith("\nCERTIFIED\n")
    ran = subprocess.run([sys.executable, "-I", "-S", copied], capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr


# ---------------------------------------------------------------- the policy
BAD_POLICIES = [
    {"schema": "faro-policy/2"}, {"delta": 0}, {"delta": 0.6}, {"delta": "nan"}, {"delta": True}, {"delta": [1]},
    {"estimand": "rows"}, {"nonce": ""}, {"nonce": 3}, {"min_group": 0}, {"min_group": 2.5}, {"assumptions": ["luck"]},
    {"assumptions": "iid-units"}, {"outside": "some"}, {"threshold": "a"}, {"cap": 0}, {"cap": -1}, {"passes": 0},
    {"unknown": 1}, {"attributes": {"g": {"levels": ["A"]}}}, {"attributes": {"g": {"levels": ["A", "A"]}}},
    {"attributes": {"g": {"levels": ["A", "B"], "chooser": 1}}}, {"attributes": {"g": {"levels": ["A", "B"], "x": 1}}},
    {"equal_content": "no"}, {"ledger": 5},
]  # fmt: skip
BAD_CLAIMS = [
    {"constraint": "equal"}, {"bound": 1}, {"bound": -0.1}, {"bound": "0.05x"}, {"method": "wald"}, {"attribute": "h"},
    {"attribute": None}, {"groups": ["A"]}, {"groups": ["A", "C"]}, {"of": ["g"]}, {"of": ["g", "C"]},
    {"strata": ["A"]},
    {"within": "h"}, {"thresholds": [0]}, {"score": "clip"}, {"scale": 2}, {"tail": True}, {"radius": 0.1},
    {"ball": "tv"}, {"ball": "tv", "radius": 0.01}, {"method": "dkw"}, {"constraint": "rate_cap"}, {"mu": 1},
    {"constraint": "threshold_parity"}, {"constraint": "threshold_parity", "thresholds": []},
    {"constraint": "threshold_parity", "thresholds": "all"}, {"constraint": "threshold_parity", "thresholds": [1, 1.0]},
    {"constraint": "reward_parity"}, {"constraint": "counterfactual_parity"}, {"constraint": "mixture"},
    {"constraint": "reward_parity", "method": "block-pair", "score": "clip", "low": 1, "high": 1},
    {"method": "clopper-pearson", "ball": "tv", "radius": 1},
    {"method": "clopper-pearson", "ball": "lr", "radius": 0.5},
    {"method": "clopper-pearson", "ball": "cvar", "radius": 0},
    {"method": "clopper-pearson", "ball": "w1", "radius": 0.1},
    {"method": "clopper-pearson", "ball": "kl", "radius": -0.1}, {"name": ""}, {"surprise": 1},
]  # fmt: skip


@pytest.fixture(scope="module")
def good():
    rules = accepted()
    return rules, hand.certify(rules, APPLICANTS)


def without_none(values):
    return {k: x for k, x in values.items() if x is not None}


@pytest.mark.parametrize("change", BAD_POLICIES, ids=str)
def test_bad_policies(change, good, tmp_path, capsys):
    rules, cert = good
    args = hand.store(tmp_path, rules, APPLICANTS, cert)
    bad = {k: x for k, x in (rules | change).items() if k != "claim"} | {"claim": rules["claim"]}
    (tmp_path / "faro.toml").write_text(hand.toml(bad))
    cert = hand.seal(cert | {"policy_sha256": hashlib.sha256(hand.toml(bad).encode()).hexdigest()})
    (tmp_path / "cert.json").write_text(json.dumps(cert))
    assert check(args, capsys)[0] == 2


@pytest.mark.parametrize("change", BAD_CLAIMS, ids=str)
def test_bad_claims(change, good, tmp_path, capsys):
    rules, cert = good
    args = hand.store(tmp_path, rules, APPLICANTS, cert)
    (tmp_path / "faro.toml").write_text(hand.toml(rules | {"claim": [without_none(rules["claim"][0] | change)]}))
    assert check(args, capsys)[0] == 2


def test_policies_that_are_no_policies(good, tmp_path, capsys):
    rules, cert = good
    args = hand.store(tmp_path, rules, APPLICANTS, cert)
    for text in (b"", b"claim = 1", b"\xff\xfe", b"a = [" * 5000, b"delta = 0.05", b"x" * (5 << 20), b"a = 1979-05-27"):
        (tmp_path / "faro.toml").write_bytes(text)
        assert check(args, capsys)[0] == 2
    (tmp_path / "faro.toml").unlink()
    assert check(args, capsys)[0] == 2
    two = hand.policy(claim(), claim(), outside="all")
    (tmp_path / "faro.toml").write_text(hand.toml(two))
    assert "share a name" in check(args, capsys)[1]


def test_another_policy_is_another_certificate(good, tmp_path, capsys):
    """A higher delta, a larger bound, fewer groups: the policy that the checker is given decides."""
    rules, cert = good
    args = hand.store(tmp_path, rules, APPLICANTS, cert)
    for other in (rules | {"delta": 0.2}, rules | {"claim": [claim(bound=0.9)]}, rules | {"min_group": 1}):
        (tmp_path / "faro.toml").write_text(hand.toml(other))
        assert check(args, capsys)[0] == 5


def test_a_method_that_does_not_suit_the_data(tmp_path, capsys, good):
    _, cert = good
    weights = [row | {"weight": 1.0 + (row["unit"] == "u3")} for row in APPLICANTS]
    twice = [row | {"unit": f"u{i // 2}"} for i, row in enumerate(APPLICANTS)]
    for rows, change in (
        (weights, {}), (twice, {}), (weights, {"estimand": "unit", "claim": [claim(method="unit-ratio")]}),
        (weights, {"claim": [claim(method="unit-ratio")]}),
    ):  # fmt: skip
        rules = accepted() | change
        full, frame = hand.digests(rows, rules)
        data = {"rows": len(rows), "units": len({r["unit"] for r in rows}), "rows_sha256": full, "frame_sha256": frame}
        bad = cert | {"data": data, "policy_sha256": hashlib.sha256(hand.toml(rules).encode()).hexdigest()}
        code = 5 if change.get("estimand") else 2  # estimand "unit" divides the weight away; then `ends` are missing
        assert check(hand.store(tmp_path, rules, rows, hand.seal(bad)), capsys)[0] == code


def test_what_no_model_can_move_is_refused(tmp_path, capsys):
    rows = [row | {"g": "A" if int(row["unit"][1:]) % 2 else "B"} for row in CHOOSERS]
    for wanted, code in (
        (claim(method="unit-ratio"), 2), (claim("rate_cap", "unit-ratio"), 2),
        (claim("counterfactual_parity", "unit-ratio"), 2),
        (claim("equal_opportunity", "unit-ratio", bound=0.5), None), (claim(method="unit-ratio", of=["s", "x"]), None),
        (claim("reward_parity", "unit-ratio"), None),
    ):  # fmt: skip
        other = [row | {"s": "x" if row["alternative"] == "0" else "y"} for row in rows]
        rules = hand.policy(wanted, attributes=CHOOSER, cap=9)
        cert = hand.certify(rules, other)
        found, text = check(hand.store(tmp_path, rules, other, cert), capsys)
        assert found == (codes(cert) if code is None else code)
        assert ("no model can move" in text) == (code == 2)


# ---------------------------------------------------------------- the table
def rewrite(args, change):
    path = Path(args[1])
    path.write_bytes(change(path.read_bytes()))
    return args


BAD_TABLES = {
    "empty": (lambda b: b"", 5), "header only": (lambda b: b.split(b"\n")[0], 5),
    "not UTF-8": (lambda b: b.replace(b"u7,", b"\xff7,"), 5), "NaN": (lambda b: b.replace(b"c7,", b"c7,nan,", 1), 5),
    "short row": (lambda b: b + b"u999,c999\r\n", 5), "blank line": (lambda b: b + b"\r\n", 5),
    "no reward": (lambda b: b.replace(b"reward", b"score", 1), 5),
    "no unit": (lambda b: b.replace(b"unit", b"user", 1), 5),
    "no group": (lambda b: b.replace(b",g,", b",h,", 1), 5),
    "two columns": (lambda b: b.replace(b"label", b"unit", 1), 5),
    "another level": (lambda b: b.replace(b",A,", b",Z,", 1), 5), "a lone quote": (lambda b: b + b'"', 5),
    "a field of 10 MB": (lambda b: b + b"x" * 10_000_000 + b",c,1,A,1\r\n", 5),
    "dropped": (lambda b: b[: b.rindex(b"u239")], 5),
    "empty unit": (lambda b: b.replace(b"u7,", b",", 1), 5),
    "changed group": (lambda b: b.replace(b",A,", b",B,", 1), 5),
    "duplicate": (lambda b: b + b[b.rindex(b"u239") :], 6), "a null byte": (lambda b: b.replace(b"u7,", b"u\x007,"), 5),
    "no group given": (lambda b: b.replace(b",A,", b",,", 1), 5),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_tables(name, good, tmp_path, capsys):
    change, code = BAD_TABLES[name]
    args = hand.store(tmp_path, good[0], APPLICANTS, good[1])
    before = Path(args[1]).read_bytes()
    assert change(before) != before
    assert check(rewrite(args, change), capsys)[0] == code


@pytest.mark.parametrize(
    "text", ["nan", "inf", "-inf", "1e999", "", "1_0", "0x1", " 1", "\uff11", "1,0", "+", "1e", "9" * 100]
)
def test_cells_that_are_no_numbers(text, good, tmp_path, capsys):
    rows = [row | {"reward": text} if i == 7 else row for i, row in enumerate(APPLICANTS)]
    assert check(hand.store(tmp_path, good[0], rows, good[1]), capsys)[0] == 5


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "1",
        '{"unit": "a"}',
        '{"unit": NaN}',
        '{"unit": [1]}',
        '{"unit": true}',
        "",
        '{"unit":"a","unit":"a"}',
    ],
)
def test_bad_lines(line, good, tmp_path, capsys):
    args = hand.store(tmp_path, good[0], APPLICANTS, good[1])
    lines = [json.dumps(row) for row in APPLICANTS]
    (tmp_path / "audit.jsonl").write_text("\n".join([*lines[:5], line, *lines[5:]]) + "\n")
    assert check([args[0], str(tmp_path / "audit.jsonl"), *args[2:]], capsys)[0] == 5


def test_columns_that_a_policy_asks_for(tmp_path, capsys):
    rows = [row | {"content": f"t{i}", "outside": 1} for i, row in enumerate(APPLICANTS)]
    rules = accepted(claim(), equal_content="refuse") | {"outside": "column"}
    cert = hand.certify(rules, rows)
    assert check(hand.store(tmp_path, rules, rows, cert), capsys)[0] == 0
    for change, code in (({"content": "t0"}, 6), ({"content": ""}, 5), ({"outside": 2}, 5), ({"outside": ""}, 5),
                         ({"reward": None}, 5), ({"choice": "c0"}, 5)):  # fmt: skip
        bad = [row | change if i == 9 else row for i, row in enumerate(rows)]
        assert check(hand.store(tmp_path, rules, bad, cert), capsys)[0] == code
    for label in (1.5, -0.5, None):
        rules = accepted(claim("equal_opportunity"))
        bad = [row | {"label": label} if i == 9 else row for i, row in enumerate(APPLICANTS)]
        assert check(hand.store(tmp_path, rules, bad, hand.certify(rules, APPLICANTS)), capsys)[0] == 5
    negative = [row | {"weight": -1.0 if i == 9 else 1.0} for i, row in enumerate(APPLICANTS)]
    assert check(hand.store(tmp_path, accepted(), negative, hand.certify(accepted(), APPLICANTS)), capsys)[0] == 5


# ---------------------------------------------------------------- independence
def ledger(*kinds, rules, rows):
    """A ledger with these entries after init; `attempt` stands for these rows, `other` for other scores."""
    full, frame = hand.digests(rows, rules)
    policy = hashlib.sha256(hand.toml(rules).encode()).hexdigest()
    chain = [hand.entry("init", "0" * 64, schema="faro-ledger/1", policy_sha256=policy, frame_sha256=frame)]
    attempts = 0
    for kind in kinds:
        fields = {"reason": "shown in a talk"}
        if kind in ("attempt", "other"):
            attempts += 1
            fields = {"attempt": attempts, "rows_sha256": full if kind == "attempt" else hand.H([attempts])}
        elif kind == "passed":
            fields = {"attempt": attempts}
        elif kind.startswith("sequence"):  # of other scores O, and these T
            listed = [full if each == "T" else hand.H([place]) for place, each in enumerate(kind.split()[1], 1)]
            kind, fields = "sequence", {"rows_sha256": listed}
        chain.append(hand.entry("attempt" if kind == "other" else kind, chain[-1]["sha256"], **fields))
    return chain


def share(j, passes=1):
    transcripts = {1: 1, 2: j}[passes]
    return Fraction(1, 20) * Fraction(607927101854, 10**12) / (j * j * transcripts)


LEDGERS = [
    (("attempt",), 1, 1, 0), (("other", "other", "attempt"), 3, 1, 0),
    (("other", "attempt", "passed", "retired"), 2, 1, 0),
    (("other", "passed", "attempt"), 2, 1, 6), (("other", "passed", "attempt"), 2, 2, 0),
    (("disclosed", "attempt"), 1, 1, 6),
    (("attempt", "disclosed"), 1, 1, 0), (("retired", "attempt"), 1, 1, 6), (("attempt", "other", "passed"), 1, 1, 0),
    (("other", "passed", "other", "passed", "attempt"), 3, 2, 6), (("other",), 1, 1, 5),
]  # fmt: skip


SEQUENCES = [
    (("sequence T", "attempt"), 1, 0), (("sequence OOT", "other", "passed", "other", "passed", "attempt"), 3, 0),
    (("sequence OT", "other", "attempt"), 2, 6), (("sequence OT", "attempt"), 1, 5), (("sequence TO", "attempt"), 1, 0),
    (("attempt", "sequence T"), 1, 5), (("sequence T", "sequence T", "attempt"), 1, 5),
    (("sequence OTO", "other", "passed", "attempt", "passed", "other"), 2, 0), (("sequence OO", "attempt"), 1, 5),
    (("sequence T", "disclosed", "attempt"), 1, 6), (("sequence TT", "attempt"), 1, 5),
]  # fmt: skip


@pytest.mark.parametrize(("kinds", "attempt", "code"), SEQUENCES)
def test_sequences(kinds, attempt, code, tmp_path, capsys):
    rules = accepted(ledger="book.jsonl", passes=1)
    chain = ledger(*kinds, rules=rules, rows=APPLICANTS)
    mine = next(e for e in chain if e.get("attempt") == attempt)
    (tmp_path / "book.jsonl").write_text("".join(hand.C(e) + "\n" for e in chain))
    for spent, expected in ((Fraction(1, 20), code), (share(attempt), code or 4), (Fraction(1, 10), code or 4)):
        cert = hand.certify(rules, APPLICANTS, ledger=(attempt, spent, mine["sha256"]))
        assert check(hand.store(tmp_path, rules, APPLICANTS, cert), capsys)[0] == expected


@pytest.mark.parametrize(("kinds", "attempt", "passes", "code"), LEDGERS)
def test_ledgers(kinds, attempt, passes, code, tmp_path, capsys):
    rules = accepted(ledger="book.jsonl", passes=passes)
    chain = ledger(*kinds, rules=rules, rows=APPLICANTS)
    mine = next(e for e in chain if e.get("attempt") == attempt)
    cert = hand.certify(rules, APPLICANTS, ledger=(attempt, share(attempt, passes), mine["sha256"]))
    args = hand.store(tmp_path, rules, APPLICANTS, cert)
    assert "cannot be read" in check(args, capsys)[1]
    (tmp_path / "book.jsonl").write_text("".join(hand.C(e) + "\n" for e in chain))
    assert check(args, capsys)[0] == code


def test_a_certificate_cannot_spend_more_than_its_share(tmp_path, capsys):
    rules = accepted(ledger="book.jsonl")
    chain = ledger("other", "attempt", rules=rules, rows=APPLICANTS)
    (tmp_path / "book.jsonl").write_text("".join(hand.C(e) + "\n" for e in chain))
    for j, spent, mine, code in (
        (2, share(2), 2, 0),
        (2, share(1), 2, 4),
        (1, share(1), 2, 5),
        (1, share(1), 1, 5),
        (1, share(1), 0, 5),
    ):
        cert = hand.certify(rules, APPLICANTS, ledger=(j, spent, chain[mine]["sha256"]))
        assert check(hand.store(tmp_path, rules, APPLICANTS, cert), capsys)[0] == code
    cert = hand.certify(rules, APPLICANTS)
    assert check(hand.store(tmp_path, rules, APPLICANTS, cert), capsys)[0] == 6  # tuning data
    args = hand.store(tmp_path, accepted(), APPLICANTS, hand.certify(accepted(), APPLICANTS))
    assert check([*args, "--ledger", str(tmp_path / "book.jsonl")], capsys)[0] == 2


def test_a_ledger_that_was_touched(tmp_path, capsys):
    rules = accepted(ledger="book.jsonl")
    chain = ledger("other", "attempt", rules=rules, rows=APPLICANTS)
    cert = hand.certify(rules, APPLICANTS, ledger=(2, share(2), chain[2]["sha256"]))
    args = hand.store(tmp_path, rules, APPLICANTS, cert)
    lines = [hand.C(e) for e in chain]
    elsewhere = ledger("other", "attempt", rules=accepted(ledger="x.jsonl"), rows=APPLICANTS)
    fewer = ledger("other", "attempt", rules=rules, rows=APPLICANTS[:-1])
    late = [
        chain[0],
        hand.entry("init", chain[0]["sha256"], **{k: chain[0][k] for k in ("schema", "policy_sha256", "frame_sha256")}),
    ]
    again = ledger("attempt", "attempt", rules=rules, rows=APPLICANTS)
    touched = [
        "", "\n".join(lines[:1] + lines[2:]), "\n".join(lines[1:]), "\n".join([lines[0], lines[2], lines[1]]),
        "\n".join(lines)[:-5],
        "\n".join(lines).replace('"attempt":1', '"attempt":9'), "\n".join([*lines, "{}"]), "\n".join([*lines, "[]"]),
        "\n\n",
        *("\n".join(map(hand.C, other)) for other in (elsewhere, fewer, late, again)),
    ]  # fmt: skip
    for text in touched:
        (tmp_path / "book.jsonl").write_text(text)
        assert check(args, capsys)[0] == 5, text
    (tmp_path / "book.jsonl").write_text("\r\n".join(lines))
    assert check(args, capsys)[0] == 0


def test_units_of_training(tmp_path, capsys):
    path = tmp_path / "train.txt"
    rules = accepted()
    rules["assumptions"] = [a for a in rules["assumptions"] if a != "train-overlap-unchecked"]
    for seen, code in ((["t1", "t2"], 0), (["t1", "u17"], 6), ([], 5)):
        path.write_text(hand.units("salt 1", seen))
        cert = hand.certify(rules, APPLICANTS, train_units=hashlib.sha256(path.read_bytes()).hexdigest())
        args = hand.store(tmp_path, rules, APPLICANTS, cert)
        assert check([*args, "--train-units", str(path)], capsys)[0] == code
    assert check(args, capsys)[0] == 2  # the file that the certificate names is not given
    path.write_text(hand.units("salt 1", ["t1"]))
    assert check([*args, "--train-units", str(path)], capsys)[0] == 5
    for text in ("", "faro-units/1\n", "other 1\n", "faro-units/1 s\nxyz\n", "faro-units/1 s\n" + "A" * 64 + "\n"):
        path.write_text(text)
        cert = hand.certify(rules, APPLICANTS, train_units=hashlib.sha256(path.read_bytes()).hexdigest())
        assert check([*hand.store(tmp_path, rules, APPLICANTS, cert), "--train-units", str(path)], capsys)[0] == 5
    cert = hand.certify(rules, APPLICANTS)
    assert check(hand.store(tmp_path, rules, APPLICANTS, cert), capsys)[0] == 6


@pytest.mark.parametrize(
    ("missing", "code"),
    [("iid-units", 2), ("group-labels-correct", 2), ("no-ledger", 6), ("train-overlap-unchecked", 6)],
)
def test_assumptions_that_the_policy_does_not_admit(missing, code, tmp_path, capsys):
    rules = accepted()
    rules["assumptions"] = [a for a in rules["assumptions"] if a != missing]
    assert check(hand.store(tmp_path, rules, APPLICANTS, hand.certify(rules, APPLICANTS)), capsys)[0] == code


def test_models_are_compared_by_digest(tmp_path, capsys, good):
    rules, cert = good
    files = [tmp_path / "a.json", tmp_path / "b.safetensors"]
    for i, file in enumerate(files):
        file.write_bytes(bytes([i]))
    both = "".join(sorted(hashlib.sha256(file.read_bytes()).hexdigest() for file in files))
    cert = hand.seal(cert | {"model_sha256": hashlib.sha256(both.encode()).hexdigest()})
    args = hand.store(tmp_path, rules, APPLICANTS, cert)
    assert check([*args, "--model", str(files[1]), "--model", str(files[0])], capsys)[0] == 0
    assert check([*args, "--model", str(files[0])], capsys)[0] == 5
    assert check([*args, "--model", str(tmp_path / "none")], capsys)[0] == 2


# ---------------------------------------------------------------- tables of optimality, command line, documents
def test_claims_about_tables_alone(tmp_path, capsys):
    table = tmp_path / "mix.csv"
    table.write_text("loss,c1\n0.4,0.1\n0.5,-0.1\n0.6,-0.2\n")
    rules = hand.policy(
        {"name": "mix", "constraint": "mixture", "bound": 0.001, "tolerance": 0}, attributes={"g": BOTH["g"]}
    )
    record = {"ucb": "0", "lcb": None, "weights": {"0": "1/2", "1": "0.5"}, "multipliers": ["0.5"],
              "table_sha256": hashlib.sha256(table.read_bytes()).hexdigest()}  # fmt: skip
    cert = hand.certify(rules, [], tables={"mix": record})
    args = hand.store(tmp_path, rules, [], cert)
    assert check([*args, "--table", f"mix={table}"], capsys)[0] == 0
    assert check(args, capsys)[0] == 2
    for more, code in (
        (["--table", "mix"], 2), (["--table", f"other={table}"], 2), (["--table", "mix=none.csv"], 2),
        (["--table", f"mix={table}", "--table", f"mix={table}"], 2), (["--table", f"mix={table}", "--ledger", "x"], 2),
    ):  # fmt: skip
        assert check([*args, *more], capsys)[0] == code
    hand.write_csv(tmp_path / "audit.csv", APPLICANTS)
    assert check([args[0], str(tmp_path / "audit.csv"), *args[1:], "--table", f"mix={table}"], capsys)[0] == 2
    for text in (
        "",
        "loss\n1\n",
        "loss,c1\n",
        "loss,c2\n1,1\n",
        "loss,c1\n1\n",
        "loss,c1\n1,x\n",
        'loss,c1\n"1,1\n',
        "\xff",
    ):
        table.write_bytes(text.encode("latin-1"))
        changed = hand.seal(
            cert | {"claims": {"mix": record | {"table_sha256": hashlib.sha256(table.read_bytes()).hexdigest()}}}
        )
        assert check([*hand.store(tmp_path, rules, [], changed), "--table", f"mix={table}"], capsys)[0] == 5


def test_usage(good, tmp_path, capsys):
    args = hand.store(tmp_path, good[0], APPLICANTS, good[1])
    assert check([args[0], *args[2:]], capsys)[0] == 2
    assert check([str(tmp_path / "none.json"), *args[1:]], capsys)[0] == 2
    assert check([args[0], str(tmp_path / "none.csv"), *args[2:]], capsys)[0] == 2
    assert check([args[0], args[0], *args[2:]], capsys)[0] == 2
    assert check([*args, "--table", "it=x"], capsys)[0] == 2
    assert check([str(tmp_path), *args[1:]], capsys)[0] == 2


def test_a_fault_of_the_checker_is_never_a_pass(good, tmp_path, capsys, monkeypatch):
    args = hand.store(tmp_path, good[0], APPLICANTS, good[1])
    monkeypatch.setattr(verify, "exact2", lambda *_: 1 / 0)
    assert check(args, capsys)[0] == 70


def test_the_page_shows_what_is_read(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "certificate-format.md").read_text("utf-8")
    policy = page.split("```toml\n")[1].split("```")[0]
    (tmp_path / "faro.toml").write_text(policy)
    assert verify.read_policy(tmp_path / "faro.toml").claims[0].method == "exact2"
    shown = json.loads(page.split("```json\n")[1].split("```")[0])
    assert set(shown) == set(verify.TOP.split())
    for word in (
        *verify.PAIRS,
        *verify.CAPS,
        *verify.PLUGINS,
        *verify.MADE.split(),
        *verify.TABLES,
        *verify.BALLS,
        *verify.ASSUMPTIONS,
        *verify.ENTRIES,
    ):
        assert f"`{word}`" in page or f"**{word}**" in page, word
