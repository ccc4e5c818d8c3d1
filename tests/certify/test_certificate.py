"""Certificates made by faro.certify: the checker proves them, a second generator by hand finds the same, order is
nothing, and wrong input ends with its code.

Every kind of claim is taken from the tests of the checker.
"""

from __future__ import annotations

import json
import random
from fractions import Fraction

import numpy as np
import pytest
from scipy import optimize

from faro import verify
from faro.certify import certificate, modes, optimum
from faro.certify.policy import read_policy
from faro.errors import DataError, FaroError, NotIndependentError, UsageError
from tests.builders.certificates import make
from tests.builders.claims import APPLICANTS, BOTH, CASES, CHOOSER, CHOOSERS, accepted, claim, names
from tests.oracles import verify_by_hand as hand
from tests.oracles.verdicts import CODES


@pytest.mark.slow
@pytest.mark.parametrize(("rules", "rows"), CASES, ids=[names(rules["claim"][0]) for rules, _ in CASES])
def test_the_checker_proves_every_kind_of_claim_and_a_second_generator_agrees(rules, rows, tmp_path, capsys):
    found, words = make(tmp_path, rules, rows)
    assert verify.main(words) == CODES[found.verdict.value], capsys.readouterr().err
    by_hand = hand.certify(rules, rows, form=2)
    assert found.record["data"] == by_hand["data"]
    assert found.record["result"] == by_hand["result"]
    ours, theirs = (float(record["claims"]["it"]["ucb"]) for record in (found.record, by_hand))
    ball = rules["claim"][0].get("ball")
    assert theirs - (1e-3 if ball else 1e-5) <= ours <= theirs + 1e-5  # by hand, dual points are searched less well
    if ball and theirs <= float(rules["claim"][0]["bound"]):
        assert found.record["claims"]["it"]["breakdown"] is not None


def test_the_verdicts_are_reached_from_the_other_side_as_well(tmp_path):
    rows = hand.applicants(1200, {"A": 0.2, "B": 0.6, "C": 0.4})
    levels = {"g": {"levels": ["A", "B", "C"]}}
    for method in ("exact2", "clopper-pearson", "unit-ratio", "block-pair"):
        found, words = make(tmp_path, accepted(claim(method=method, bound=0.05), attributes=levels), rows)
        lcb = found.record["claims"]["it"]["lcb"]
        assert (lcb["high"], lcb["low"]) == ("B", "A")
        assert 0.2 < float(lcb["value"]) < 0.4
        assert verify.main(words) == 1


def test_order_of_rows_and_reruns_change_no_byte(tmp_path):
    rules = hand.policy(
        claim(method="unit-ratio"), claim("counterfactual_parity", "unit-ratio") | {"name": "twins"},
        estimand="unit", attributes=BOTH,
    )  # fmt: skip
    rows = [row | {"weight": 0.1 + 0.7 * (i % 7)} for i, row in enumerate(CHOOSERS)]
    first, _ = make(tmp_path, rules, rows)
    for seed in range(3):
        random.Random(seed).shuffle(rows)
        again, words = make(tmp_path, rules, rows)
        assert json.dumps(again.record) == json.dumps(first.record)
    assert verify.main(words) == CODES[first.verdict.value]


def test_csv_jsonl_and_parquet_are_one_table(tmp_path):
    import pandas as pd

    rules = hand.policy(claim(method="unit-ratio"), estimand="unit", attributes=BOTH)
    (tmp_path / "faro.toml").write_text(hand.toml(rules))
    hand.write_csv(tmp_path / "a.csv", CHOOSERS)
    pd.DataFrame(CHOOSERS).to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in CHOOSERS))
    policy = read_policy(tmp_path / "faro.toml")
    found = {certificate.make(certificate.prepare(tmp_path / f"a.{end}", policy)).record["sha256"]
             for end in ("csv", "jsonl", "parquet")}  # fmt: skip
    assert len(found) == 1


def test_too_few_units_are_inconclusive_whatever_the_scores(tmp_path):
    rows = hand.applicants(60, {"A": 0.3, "B": 0.3, "C": 0.3})
    levels = {"g": {"levels": ["A", "B", "C", "D"]}}
    for method in ("exact2", "clopper-pearson", "unit-ratio", "block-pair"):
        rules = accepted(claim(method=method, bound=0.9), attributes=levels, min_group=5)
        found, words = make(tmp_path, rules, rows)
        assert found.findings["it"].short == ("D: 0 units, the policy asks for 5",)
        assert verify.main(words) == 3


def test_mixtures_are_proved_exactly(tmp_path):
    table = "loss,c1,c2\n0.5,0.1,-0.2\n0.6,-0.1,0.1\n0.7,-0.2,-0.1\n0.4,0.3,0.3\n"
    (tmp_path / "m.csv").write_text(table)
    (tmp_path / "n.csv").write_text("loss,c1\n0.5,0.1\n0.4,0.2\n")
    for name, tolerance, code in (("m", 0, 0), ("n", 0.01, 1)):
        wanted = {"name": "it", "constraint": "mixture", "bound": "0.0001", "tolerance": tolerance}
        (tmp_path / "faro.toml").write_text(hand.toml(hand.policy(wanted)))
        policy = read_policy(tmp_path / "faro.toml")
        case = certificate.prepare(None, policy, tables={"it": str(tmp_path / f"{name}.csv")})
        (tmp_path / "cert.json").write_text(json.dumps(certificate.make(case).record))
        words = [str(tmp_path / "cert.json"), "--policy", str(tmp_path / "faro.toml"), "--table"]
        assert verify.main([*words, f"it={tmp_path / name}.csv"]) == code


def head_table(folder, alternatives, rows, n=300, seed=0):
    """Choices by a linear utility, and the rows of M; the differences `[n, alternatives - 1, 3]`."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, alternatives, 3)).round(6)
    utility = features @ [1.0, -0.5, 0.3] + rng.gumbel(size=(n, alternatives))
    order = np.argsort(-utility, axis=1)
    chosen, *rejected = (np.take_along_axis(features, order[:, [k], None], 1)[:, 0] for k in range(alternatives))
    apart = chosen[:, None] - np.stack(rejected, 1)
    lines, kinds = ["kind,x1,x2,x3"], ["pair", *["also"] * (alternatives - 2)]
    for choice in apart:
        lines += [f"{kind},{','.join(f'{x:.6f}' for x in row)}" for kind, row in zip(kinds, choice, strict=True)]
    (folder / "t.csv").write_text("\n".join([*lines, *(f"row,{row}" for row in rows)]) + "\n")
    return apart


@pytest.mark.parametrize("alternatives", [2, 3, 5])
@pytest.mark.parametrize("slack", ["0.2", "0.05", "5", "0"])
def test_heads_are_proved_to_be_near_the_best(tmp_path, alternatives, slack):
    rows = ["1,0.123456,0", "0.2,0.5,-0.1"] if slack != "0" else ["1,0.123456,0", "0.5,0.061728,0"]  # one twice
    apart = head_table(tmp_path, alternatives, rows)
    wanted = {"name": "it", "constraint": "head_optimum", "bound": "0.000001", "mu": "0.01", "slack": slack}
    (tmp_path / "faro.toml").write_text(hand.toml(hand.policy(wanted)))
    case = certificate.prepare(None, read_policy(tmp_path / "faro.toml"), tables={"it": str(tmp_path / "t.csv")})
    record = certificate.make(case).record
    (tmp_path / "cert.json").write_text(json.dumps(record))
    words = [str(tmp_path / "cert.json"), "--policy", str(tmp_path / "faro.toml"), "--table"]
    assert verify.main([*words, f"it={tmp_path}/t.csv"]) == 0

    m = np.array([[float(x) for x in row.split(",")] for row in rows])
    w = np.array([float(Fraction(x)) for x in record["claims"]["it"]["w"]])
    assert np.abs(m @ w).max() <= float(slack) + 1e-12

    def loss(w):
        return np.log1p(np.exp(-apart @ w).sum(1)).mean() + 0.005 * w @ w

    low, high = np.full(2, -float(slack) - 1e-9), np.full(2, float(slack) + 1e-9)
    best = optimize.minimize(loss, np.zeros(3), constraints=[optimize.LinearConstraint(m, low, high)], method="SLSQP")
    assert loss(w) - best.fun < 1e-6
    assert abs(loss(w) - best.fun) < 1e-4  # an independent solver, by differences of the loss


def test_a_planted_head_of_several_alternatives_is_as_far_as_the_logarithms_say(tmp_path):
    apart = head_table(tmp_path, 4, ["1,0.5,-1"])
    w, nu, mu, slack, m = np.array([0.1, -0.1, 0.02]), 0.03, 0.05, 0.1, np.array([1, 0.5, -1])
    e = np.exp(-apart @ w)
    a = e / (1 + e.sum(1, keepdims=True))
    rest = 1 - a.sum(1)
    entropy = -(a * np.log(a)).sum() - (rest * np.log(rest)).sum()
    v = (a[..., None] * apart).sum((0, 1)) / len(apart)
    lower = entropy / len(apart) - ((v - m * nu) ** 2).sum() / (2 * mu) - slack * nu
    gap = np.log1p(e.sum(1)).mean() + mu / 2 * w @ w - lower
    assert gap > 0.1
    wanted = {"name": "it", "constraint": "head_optimum", "bound": "0.9", "mu": "0.05", "slack": "0.1"}
    (tmp_path / "faro.toml").write_text(hand.toml(hand.policy(wanted)))
    claim = verify.read_policy(tmp_path / "faro.toml").claims[0]
    record = {"lcb": None, "w": ["0.1", "-0.1", "0.02"], "nu": ["0.03"],
              "table_sha256": verify.sha256((tmp_path / "t.csv").read_bytes())}  # fmt: skip
    assert verify.head_optimum(claim, record | {"ucb": f"{gap + 1e-9:.12f}"}, str(tmp_path / "t.csv")).ucb
    with pytest.raises(verify.Refused, match="not proved"):
        verify.head_optimum(claim, record | {"ucb": f"{gap - 1e-9:.12f}"}, str(tmp_path / "t.csv"))
    for wrong in ("kind,x1,x2,x3\nalso,1,2,3\n", "kind,x1,x2,x3\nrow,1,2,3\nalso,1,2,3\n", "kind,x1\npairs,1\n"):
        (tmp_path / "w.csv").write_text(wrong)
        with pytest.raises(DataError):
            optimum.read_pairs(tmp_path / "w.csv")
        digest = verify.sha256((tmp_path / "w.csv").read_bytes())
        with pytest.raises(verify.Refused) as refused:
            verify.head_optimum(claim, record | {"ucb": "0.5", "table_sha256": digest}, str(tmp_path / "w.csv"))
        assert refused.value.code == 5


# What is refused -----------------------------------------------------------------------------------------------------


def broken(change):
    return [change(dict(row)) if i == 3 else row for i, row in enumerate(APPLICANTS)]


BAD_TABLES = {
    "NaN": (broken(lambda r: r | {"reward": "nan"}), DataError, "finite"),
    "infinite": (broken(lambda r: r | {"reward": "inf"}), DataError, "finite"),
    "no reward": (broken(lambda r: r | {"reward": ""}), DataError, "empty"),
    "text": (broken(lambda r: r | {"reward": "0.5 "}), DataError, "finite"),
    "group": (broken(lambda r: r | {"g": "C"}), DataError, "'C' is no level"),
    "weight": ([r | {"weight": -1} for r in APPLICANTS], DataError, ">= 0"),
    "label": ([r | {"label": 2} for r in APPLICANTS], DataError, "[0, 1]"),
    "duplicate": ([*APPLICANTS, APPLICANTS[7]], NotIndependentError, "2 times"),
    "choice of two": (broken(lambda r: r | {"choice": "c9", "alternative": "b"}), DataError, "two values of 'unit'"),
    "column": ([{k: v for k, v in r.items() if k != "g"} for r in APPLICANTS], DataError, "no column 'g'"),
    "two rows": ([*APPLICANTS, APPLICANTS[0] | {"choice": "c-new"}], UsageError, "one row per unit"),
    "weights": (broken(lambda r: r | {"weight": 2}) , UsageError, "equal weights"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_tables_end_with_their_code_and_one_line(name, tmp_path):
    rows, kind, text = BAD_TABLES[name]
    rows = [{"alternative": "", "weight": 1} | row for row in rows]
    with pytest.raises(kind) as caught:
        make(tmp_path, accepted(claim("equalized_odds")), rows)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    ['{"unit": "u", "cho', '{"unit": ["u"]}', "[" * 5000, '{"unit": "a", "unit": "b"}', "", "null", '{"other": 1}',
     '{"unit": "u0", "choice": "x", "reward": NaN, "g": "A"}', '{"unit": "' + "x" * 10_000_000 + '"}'],
    ids=["cut", "list", "deep", "twice", "empty", "null", "names", "NaN", "long"],
)  # fmt: skip
def test_bad_lines_are_bad_data(line, tmp_path):
    (tmp_path / "faro.toml").write_text(hand.toml(accepted()))
    rows = [{name: row[name] for name in ("unit", "choice", "reward", "g")} for row in APPLICANTS]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + line + "\n")
    with pytest.raises(DataError) as caught:
        certificate.prepare(tmp_path / "a.jsonl", read_policy(tmp_path / "faro.toml"))
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_a_unit_above_the_cap_is_refused_never_cut(tmp_path):
    with pytest.raises(UsageError, match="above the cap 2"):
        make(tmp_path, hand.policy(claim(method="unit-ratio"), attributes=BOTH, cap=2), CHOOSERS)


def test_what_no_model_can_move_is_refused(tmp_path):
    rows = [row | {"g": "A" if int(row["choice"].split("-")[0][1:]) % 2 else "B"} for row in CHOOSERS]
    with pytest.raises(UsageError, match="no model can move"):
        make(tmp_path, hand.policy(claim(method="unit-ratio"), attributes=CHOOSER, cap=9), rows)


def test_equal_content_and_seen_units(tmp_path):
    from faro.data import write_units

    rows = [row | {"content": f"x{i // 2}"} for i, row in enumerate(APPLICANTS)]
    make(tmp_path, accepted(), rows)
    with pytest.raises(NotIndependentError, match="share the content"):
        make(tmp_path, accepted(equal_content="refuse"), rows)
    write_units(tmp_path / "clean.txt", ["somebody", "else"], "salt")
    write_units(tmp_path / "leak.txt", ["somebody", "u17"], "salt")
    rules = accepted(assumptions=["iid-units", "group-labels-correct", "no-ledger"])
    with pytest.raises(NotIndependentError, match="train-overlap-unchecked"):
        make(tmp_path, rules, APPLICANTS)
    with pytest.raises(NotIndependentError, match="1 audited units were seen"):
        make(tmp_path, rules, APPLICANTS, train_units=tmp_path / "leak.txt")
    found, words = make(tmp_path, rules, APPLICANTS, train_units=tmp_path / "clean.txt")
    assert verify.main([*words, "--train-units", str(tmp_path / "clean.txt")]) == CODES[found.verdict.value]
    (tmp_path / "bad.txt").write_text("faro-units/1 s\nnot a hash\n")
    with pytest.raises(DataError, match="sha256 on every other line"):
        make(tmp_path, rules, APPLICANTS, train_units=tmp_path / "bad.txt")


BAD_POLICIES = [
    ("delta = 0.05", "delta = 0.6"), ("delta = 0.05", "delta = 5e-2"), ("delta = 0.05", 'delta = "nan"'),
    ("delta = 0.05", ""), ('estimand = "row"', 'estimand = "rows"'), ("min_group = 5", "min_group = 0"),
    ("min_group = 5", "min_group = true"), ('"exact2"', '"wald"'), ("bound = 0.25", "bound = 1"),
    ("bound = 0.25", "bound = -0.1"), ('attribute = "g"', 'attribute = "h"'), ('levels = ["A", "B"]', 'levels = ["A"]'),
    ("cap = 1", "capp = 1"),
    ('levels = ["A", "B"]', 'levels = ["A", "A"]'), ("faro-policy/1", "faro-policy/2"), ("nonce", "nnonce"),
    ('name = "it"', 'name = "it"\nball = "tv"'), ('method = "exact2"', 'method = "exact2"\nball = "tv"\nradius = 0.1'),
    ('method = "exact2"', 'method = "dkw"'), ('name = "it"', 'name = "it"\ngroups = ["A", "C"]'),
    ("[[claim]]", "[claim]"),
    ('"iid-units"', '"trust me"'), ("[[claim]]", "[[claim"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), BAD_POLICIES)
def test_bad_policies_are_usage_errors_for_generator_and_checker_alike(old, new, tmp_path):
    text = hand.toml(accepted())
    assert old in text
    (tmp_path / "faro.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(UsageError) as caught:
        read_policy(tmp_path / "faro.toml")
    assert "\n" not in str(caught.value)
    with pytest.raises(verify.Refused) as refused:
        verify.read_policy(tmp_path / "faro.toml")
    assert refused.value.code == 2


def test_generator_and_checker_read_the_same_policies(tmp_path):
    for i, (rules, _) in enumerate(CASES):
        (tmp_path / f"{i}.toml").write_text(hand.toml(rules))
        ours, theirs = read_policy(tmp_path / f"{i}.toml"), verify.read_policy(tmp_path / f"{i}.toml")
        for one, other in zip(ours.claims, theirs.claims, strict=True):
            assert [tuple(b) for b in one.blocks] == other.blocks
            assert [tuple(c) for c in one.comparisons] == other.comparisons
            assert verify.Fraction(one.bound) == other.bound


def test_tuning_says_so_and_a_policy_with_a_ledger_keeps_gate_rows_apart(tmp_path):
    dev = [row | {"part": "dev"} for row in APPLICANTS]
    (tmp_path / "faro.toml").write_text(hand.toml(accepted()))
    hand.write_csv(tmp_path / "dev.csv", dev)
    case = certificate.prepare(tmp_path / "dev.csv", read_policy(tmp_path / "faro.toml"))
    assert modes.tune(case).record["info"]["note"] == modes.TUNING
    (tmp_path / "faro.toml").write_text(hand.toml(accepted(ledger="ledger.jsonl")))
    hand.write_csv(tmp_path / "gate.csv", [row | {"part": "gate"} for row in APPLICANTS])
    case = certificate.prepare(tmp_path / "gate.csv", read_policy(tmp_path / "faro.toml"))
    with pytest.raises(FaroError, match="gate rows"):
        modes.tune(case)
