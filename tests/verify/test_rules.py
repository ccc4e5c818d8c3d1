"""Certificates of policies: decisions by a rule that is not argmax, from generator to checker; forgeries."""

from __future__ import annotations

import copy
import csv
import json
import math
import re

import numpy as np
import pytest

from faro import verify
from faro.certify import rules
from faro.certify.policy import policy_of
from faro.errors import DataError, UsageError
from tests.oracles import verify_by_hand as hand
from tests.oracles.schema import SCHEMA, fits

ATTRIBUTES = {"dialect": {"levels": ["A", "B"], "chooser": True}, "kind": {"levels": ["plain", "harsh"]}}
RULES = {
    "softmax": "softmax(temperature=0.5)", "kl_tilted": "kl_tilted(beta=0.25)", "best_of": "best_of(n=3)",
}  # fmt: skip


def prompts(n=300, size=4, seed=0, log_ref=True, gap=0.0):
    """Sets of candidates of prompts of two dialects, a quarter of the candidates harsh; one set is of one candidate."""
    rng, rows = np.random.default_rng(seed), []
    for i in range(n):
        dialect = "AB"[i % 2]
        there = 1 if i == 0 and log_ref else size
        reference = np.log(rng.dirichlet(np.ones(there) * 3))
        for k in range(there):
            harsh = k % 4 == 1
            reward = round(float(rng.normal() - 0.5 * harsh + gap * harsh * (dialect == "B")), 1)
            row = {"unit": f"u{i}", "choice": f"p{i}", "alternative": f"y{k}", "dialect": dialect}
            row |= {"kind": "harsh" if harsh else "plain", "reward": reward, "weight": 1.0}
            rows.append(row | ({"log_ref": float(reference[k])} if log_ref else {}))
    return rows


def claim(constraint="policy_parity", method="block-pair", **more):
    spec = {"name": f"{constraint} {method}", "constraint": constraint, "attribute": "dialect", "of": ["kind", "harsh"]}
    return spec | {"bound": "0.3", "method": method} | more


CLAIMS = (
    claim(), claim(method="unit-ratio"), claim("demographic_parity", "unit-ratio"),
    claim("demographic_parity", "block-pair"), claim("rate_cap", "unit-ratio", bound="0.6"),
)  # fmt: skip


def asked(rule="best_of", kind="enumerated", claims=CLAIMS, **changes):
    sampled = {"draws": 4, "reference": "base", "decoding": "temperature 1"} if kind == "sampled" else {}
    values = hand.policy2(*claims, attributes=ATTRIBUTES, outside="none", estimand="unit", units="prompt")
    values["attributes"] = ATTRIBUTES
    more = {"schema": "faro-policy/3", "rule": RULES[rule], "min_group": 30}
    values = {k: v for k, v in values.items() if k not in ("attributes", "claim")} | more | changes
    return values, {"kind": kind} | sampled, claims


def toml(values, candidates, claims):
    text = hand.toml({**values, "attributes": ATTRIBUTES, "claim": list(claims)})
    head, rest = text.split("[attributes.", 1)
    lines = [f"{key} = {json.dumps(value)}" for key, value in candidates.items()]
    return "\n".join([head.rstrip(), "[candidates]", *lines]) + "\n[attributes." + rest


def made(folder, rows, *policy):
    """The certificate, and the arguments of the checker."""
    from faro.certify import certificate
    from faro.certify.policy import read_policy

    (folder / "faro.toml").write_text(toml(*policy))
    hand.write_csv(folder / "audit.csv", rows)
    case = certificate.prepare(folder / "audit.csv", read_policy(folder / "faro.toml"))
    found = certificate.make(case)
    (folder / "cert.json").write_text(json.dumps(found.record))
    return found, [str(folder / "cert.json"), str(folder / "audit.csv"), "--policy", str(folder / "faro.toml")]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", ["enumerated", "sampled"])
def test_the_checker_proves_what_the_generator_finds(rule, kind, tmp_path, capsys):
    found, words = made(tmp_path, prompts(log_ref=kind == "enumerated"), *asked(rule, kind))
    assert verify.main(words) == found.verdict.exit_code == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert RULES[rule] in said and "nothing is claimed of a single draw" in said
    assert fits(found.record, SCHEMA)
    candidates = found.record["data"]["candidates"]
    assert candidates["singles"] == (kind == "enumerated") and candidates["sets"] == 300
    assert candidates["mass"] == ("1.000000" if kind == "enumerated" else None)


def test_both_decide_as_constraints_do():
    import jax

    import constraints as ct

    rng = np.random.default_rng(1)
    for kind in rules.KINDS:
        for rule in RULES:
            rewards, logs = np.round(rng.normal(size=9), 1), np.log(rng.dirichlet(np.ones(9)))
            logs = logs if kind == "enumerated" else None
            with jax.enable_x64(True):
                law = ct.rule_of(RULES[rule], kind).decide(rewards, np.ones(9, bool), 0.0 if logs is None else logs)
            mine = rules.served(RULES[rule], kind)
            assert mine is not None
            theirs = verify.Rule(RULES[rule], rule, verify.Fraction(mine.value), kind, None, None, "", "")
            assert np.allclose(mine.decide(rewards, logs), law, atol=1e-12)
            assert np.allclose(theirs.decide(list(rewards), None if logs is None else list(logs)), law, atol=1e-12)


@pytest.mark.parametrize("rule, logs", [("softmax", None), ("kl_tilted", None), ("kl_tilted", [-0.5, -1.0])])
def test_rewards_at_the_end_of_doubles_decide_as_others_do(rule, logs):
    """Divided by a small temperature they are infinite; a decision that is no number would count as 1."""
    mine, own = rules.served(RULES[rule], "enumerated"), None if logs is None else np.array(logs)
    assert mine is not None
    theirs = verify.Rule(RULES[rule], rule, verify.Fraction(mine.value), "enumerated", None, None, "", "")
    for rewards in ([1e308, 1.7e308], [-1.7e308, 1.7e308]):
        assert theirs.decide(rewards, logs) == mine.decide(np.array(rewards), own).tolist() == [0.0, 1.0]


def test_weights_whose_sum_is_infinite_prove_nothing(tmp_path, capsys):
    """Of an infinite sum every share is 0: people of several prompts would count as never answered harshly."""
    rows = [row | {"unit": f"u{int(row['unit'][1:]) // 4 * 2 + int(row['unit'][1:]) % 2}"} for row in prompts()]
    _, words = made(tmp_path, rows, *asked("softmax", claims=CLAIMS[:1]))
    assert verify.main(words) == 0
    hand.write_csv(tmp_path / "audit.csv", [row | {"weight": 1e308} for row in rows])
    assert verify.main(words) == 5
    assert "weights overflow when they are added up" in capsys.readouterr().err


def test_what_the_reference_is_said_to_be_does_not_hide_what_it_was(tmp_path, capsys):
    values, candidates, claims = asked("kl_tilted", claims=CLAIMS[:1])
    for log_ref, words in ((True, "the column log_ref"), (False, "uniform, all candidates of a set alike")):
        _, args = made(tmp_path, prompts(log_ref=log_ref), values, candidates | {"reference": "base-7b"}, claims)
        assert verify.main(args) == 0
        assert f"reference: {words}, said to be base-7b" in capsys.readouterr().out
        case = json.loads((tmp_path / "cert.json").read_text())["data"]["candidates"]
        said = rules.said(values["rule"], candidates | {"reference": "base-7b"}, case)
        assert f"the reference is {words}, said to be base-7b" in said


def test_no_forgery_of_the_new_fields_is_accepted(tmp_path, capsys):
    """Every leaf of `data.candidates`, the rule and the sets of the policy, resealed; and cells of the table."""
    rows = prompts()
    policy = asked("best_of")
    found, words = made(tmp_path, rows, *policy)
    assert verify.main(words) == 0
    for key, values in {
        "sha256": ["0" * 64, None], "sets": [299, 301, -1, "300"], "singles": [0, 2], "mass": ["0.999999", None, "1"],
    }.items():  # fmt: skip
        for value in values:
            forged = copy.deepcopy(found.record)
            forged["data"]["candidates"][key] = value
            (tmp_path / "cert.json").write_text(json.dumps(hand.seal(forged)))
            assert verify.main(words) == 5, (key, value)
    for change in (lambda data: data.pop("candidates"), lambda data: data["candidates"].update(more=1)):
        forged = copy.deepcopy(found.record)
        change(forged["data"])
        (tmp_path / "cert.json").write_text(json.dumps(hand.seal(forged)))
        assert verify.main(words) == 5
    forged = copy.deepcopy(found.record) | {"schema": "faro-certificate/2"}
    (tmp_path / "cert.json").write_text(json.dumps(hand.seal(forged)))
    assert verify.main(words) == 5

    def under(values, candidates, claims):
        """The code for the same certificate, sealed again for another policy."""
        (tmp_path / "faro.toml").write_text(toml(values, candidates, claims))
        other = copy.deepcopy(found.record) | {"policy_sha256": verify.sha256((tmp_path / "faro.toml").read_bytes())}
        (tmp_path / "cert.json").write_text(json.dumps(hand.seal(other)))
        return verify.main(words)

    values, candidates, claims = policy
    assert under(*policy) == 0
    for rule in ("best_of(n=60)", "kl_tilted(beta=0.01)", "softmax(temperature=0.01)"):
        assert under(values | {"rule": rule}, candidates, claims) in (4, 5), rule
    assert under(values, candidates | {"sha256": "0" * 64}, claims) == 5
    assert under(values, candidates | {"sha256": found.record["data"]["candidates"]["sha256"]}, claims) == 0
    assert under(values, {"kind": "sampled", "draws": 4, "reference": "r", "decoding": "d"}, claims) == 5
    for wrong in ("argmax(n=1)", "best_of(n=0)", "best_of(n=1e3)", "kl_tilted(beta=0)", "kl_tilted(beta=nan)"):
        assert under(values | {"rule": wrong}, candidates, claims) == 2, wrong
    assert under(values, candidates | {"draws": 4}, claims) == 2
    assert under(values, {"kind": "sampled", "draws": 2, "reference": "r", "decoding": "d"}, claims) == 2
    assert under(values | {"outside": "all"}, candidates, claims) == 2
    assert under(values, candidates, [claim(method="exact2")]) == 2
    assert under(values, candidates, [claim("demographic_parity", "clopper-pearson")]) == 2
    twins = claim("counterfactual_parity", "block-pair")
    assert under(values, candidates, [twins]) == 2
    (tmp_path / "faro.toml").write_text(toml(*policy))
    (tmp_path / "cert.json").write_text(json.dumps(found.record))
    for column, value in (("log_ref", "-0.5"), ("reward", "3.0"), ("log_ref", "")):
        with open(tmp_path / "audit.csv") as file:
            table = list(csv.DictReader(file))
        table[3][column] = value
        hand.write_csv(tmp_path / "changed.csv", table)
        assert verify.main([words[0], str(tmp_path / "changed.csv"), *words[2:]]) == 5
    capsys.readouterr()


def with_twins(rows):
    """Kinds and dialects of candidates exchanged: harshness costs .5, dialect B what falls on each answer."""
    rng, twins = np.random.default_rng(1), []
    for row in rows:
        harsh, plain = row["kind"] == "harsh", "plain"
        moved = {f"reward:kind={kind}": row["reward"] - 0.5 * ((kind != plain) - harsh) for kind in (plain, "harsh")}
        costs = round(float(rng.normal()) * 0.3, 1)
        for dialect in "AB":
            moved[f"reward:dialect={dialect}"] = row["reward"] + costs * (dialect != row["dialect"])
        twins.append(row | moved)
    return twins


@pytest.mark.parametrize("rule, kind", [("softmax", "enumerated"), ("kl_tilted", "enumerated"), ("best_of", "sampled")])
def test_decisions_on_twins_are_the_rules(rule, kind, tmp_path, capsys, x64):
    """Generator and checker agree, and both with the law that training reads, of either kind of attribute."""
    import constraints as ct

    claims = (
        claim("counterfactual_parity", "unit-ratio", attribute="kind", of=None, bound="0.4"),
        claim("counterfactual_flip", "unit-ratio", attribute="dialect", of=["kind", "harsh"], bound="0.4"),
    )
    claims = tuple({key: value for key, value in one.items() if value is not None} for one in claims)
    rows = [row for row in with_twins(prompts(log_ref=kind == "enumerated")) if row["choice"] != "p0"]  # all of four
    values, candidates, _ = asked(rule, kind, claims)
    found, words = made(tmp_path, rows, values, candidates, claims)
    assert verify.main(words) == found.verdict.exit_code == 0, capsys.readouterr().err
    counted = [float(number) for number in re.findall(r"counted (\S+)\)", capsys.readouterr().out)]
    sets = [[row for row in rows if row["choice"] == f"p{i}"] for i in range(1, 300)]

    def column(name):
        return np.array([[row[name] for row in one] for one in sets])

    twin = {
        name: np.stack([column(f"reward:{name}={level}") for level in spec["levels"]], -1)
        for name, spec in ATTRIBUTES.items()
    }
    valid = np.ones(twin["kind"].shape, bool)
    sides = {"kind": ct.Twin(valid=valid, items=np.zeros((299, 4, 2, 0)))}
    sides["dialect"] = ct.Twin(valid=valid, context=np.zeros((299, 2, 0)))
    logs = column("log_ref") if kind == "enumerated" else None
    chosen = np.eye(4)[np.zeros(299, int)]
    choices = ct.make_choices(np.zeros((299, 4, 1)), chosen, log_ref=logs, twins=sides)
    seen = ct.decide(ct.rule_of(RULES[rule], kind), column("reward"), choices, twin)
    rates = np.asarray(seen.twins["kind"].decisions).mean((0, 1))
    flips = np.abs(np.asarray(seen.twins["dialect"].decisions) - np.asarray(seen.decisions)[..., None])
    harsh, other = column("kind") == "harsh", column("dialect")[..., None] != np.array(["A", "B"])
    by_level = [flips[..., level][harsh & other[..., level]].mean() for level in range(2)]
    assert counted == pytest.approx([rates.max() - rates.min(), max(by_level)], abs=1e-4)


def test_lowering_a_bound_by_a_thousandth_is_refused(tmp_path, capsys):
    found, words = made(tmp_path, prompts(), *asked("kl_tilted"))
    for name in found.record["claims"]:
        forged = copy.deepcopy(found.record)
        forged["claims"][name]["ucb"] = str(float(forged["claims"][name]["ucb"]) - 0.001)
        (tmp_path / "cert.json").write_text(json.dumps(hand.seal(forged)))
        assert verify.main(words) == 4, name
    capsys.readouterr()


@pytest.mark.parametrize(
    "change, kind, words",
    [
        (lambda row: row | {"log_ref": row["log_ref"] - 0.3}, "enumerated", "needs the whole reference"),
        (lambda row: row | {"log_ref": row["log_ref"] + 0.3}, "enumerated", "1 at most"),
        (lambda row: row, "sampled", "stand for it"),
    ],
)
def test_a_reference_that_does_not_fit_is_refused_by_both(change, kind, words, tmp_path, capsys):
    rows = [change(row) for row in prompts()[1:]]
    with pytest.raises(DataError, match=words):
        made(tmp_path, rows, *asked("best_of", kind))
    found, args = made(tmp_path, prompts(), *asked("best_of"))
    hand.write_csv(tmp_path / "audit.csv", rows)
    (tmp_path / "faro.toml").write_text(toml(*asked("best_of", kind)))
    forged = found.record | {"policy_sha256": verify.sha256((tmp_path / "faro.toml").read_bytes())}
    (tmp_path / "cert.json").write_text(json.dumps(hand.seal(forged)))
    assert verify.main(args) == 5
    assert "reference" in (said := capsys.readouterr().err) or "above 1" in said


def test_a_part_of_the_reference_is_said(tmp_path, capsys):
    rows = [row | {"log_ref": row["log_ref"] + math.log(0.75)} for row in prompts()]
    found, words = made(tmp_path, rows, *asked("kl_tilted"))
    assert found.record["data"]["candidates"]["mass"] == "0.750000"
    assert verify.main(words) == 0
    assert "0.750000 or more" in capsys.readouterr().out


def test_sets_of_other_sizes_are_no_draws_of_n(tmp_path):
    rows = [row for row in prompts(log_ref=False) if (row["choice"], row["alternative"]) != ("p4", "y3")]
    with pytest.raises(DataError, match="a choice has 3 draws, the policy says 4"):
        made(tmp_path, rows, *asked("best_of", "sampled"))


def test_format_2_knows_no_rule():
    values, candidates, claims = asked()
    for schema in ("faro-policy/1", "faro-policy/2"):
        with pytest.raises(UsageError):
            policy_of(toml(values | {"schema": schema}, candidates, claims).encode())


def test_a_policy_that_amplifies_is_refuted_where_its_rewards_are_not(tmp_path):
    """Harsh answers to B get a little more reward: best of 2 keeps the bound, best of 64 does not."""
    rows = prompts(1200, 8, gap=1.0, log_ref=False)
    verdicts = {}
    for n in (2, 64):
        values, candidates, claims = asked("best_of", claims=(claim(bound="0.18"),))
        found, _ = made(tmp_path, rows, values | {"rule": f"best_of(n={n})"}, candidates, claims)
        verdicts[n] = found.verdict.value
    assert verdicts == {2: "CERTIFIED", 64: "REFUTED"}
