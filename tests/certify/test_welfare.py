"""Claims in which people count once: values by hand, the checker's own proof, attacks, and how often they are wrong."""

import copy
import json
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from faro import verify
from faro.certify import certificate
from faro.certify.audit import audit_of
from faro.certify.bounds import betting
from faro.certify.cells import People
from faro.certify.ledger import digest
from faro.certify.policy import policy_of, read_policy
from faro.errors import DataError, UsageError
from tests.builders import people as built


def counted(columns, asked, outside="none"):
    """The rates of the cells of the one claim."""
    policy = policy_of((built.POLICY.format(outside=outside, sha=built.AGGREGATE) + asked).encode())
    audit = audit_of(columns, policy)
    (claim,) = policy.audited
    blocks = People(policy, audit, "key").cells(claim)
    return {
        (block, group): float((cell.mass * cell.z).sum() / cell.mass.sum())
        for block, groups in blocks.items()
        for group, cell in groups.items()
    }


def table(*rows, outside=False):
    """(unit, choice, label, reward, aggregate's) of pairs by both sides, or of what is accepted."""
    columns = {}
    for unit, choice, label, reward, other in rows:
        sides = [(label, reward, other)] if outside else [(label, reward, other), (1 - label, 0.0, 0.0)]
        for side, (y, r, a) in enumerate(sides):
            cells = {"unit": unit, "choice": choice, "alternative": str(side), "sex": "F" if unit < "c" else "M",
                     "label": str(y), "reward": str(r), "reward:linear": str(a)}  # fmt: skip
            for name, cell in cells.items():
                columns.setdefault(name, []).append(cell)
    return columns


def test_a_person_counts_once_whatever_the_number_of_choices():
    rows = [("a", f"a{i}", 1, 1, -1) for i in range(9)] + [("b", "b0", 1, -1, 1), ("c", "c0", 0, 1, -1)]
    found = counted(table(*rows), built.claims(kinds=["welfare_floor"], welfares=["decision"]))
    assert found["sex=F", "model"] == found["sex=F", "aggregate"] == 0.5  # not 9/10 and 1/10
    assert (found["sex=M", "model"], found["sex=M", "aggregate"]) == (0, 1)
    found = counted(table(*rows), built.claims(kinds=["accuracy_parity"], welfares=["decision"]))
    assert found == {("", "F"): 0.5, ("", "M"): 0.0}


@pytest.mark.parametrize("outside", [False, True])
def test_welfare_by_hand(outside):
    """Of one choice, accepted with probability 1 / (1 + e^-1), against an aggregate that does not know."""
    rows, p = table(("a", "a0", 0.75, 1, 0), ("c", "c0", 1, 1, 0), outside=outside), 1 / (1 + math.exp(-1))
    how = "all" if outside else "none"
    expected = {
        "decision": (0.75, 0.5),
        "brier": (1 - (0.75 - p) ** 2, 1 - 0.25**2),
        "log": (1 + (0.75 * math.log(p) + 0.25 * math.log(1 - p)) / 3, 1 - math.log(2) / 3),
    }
    for welfare, (model, aggregate) in expected.items():
        found = counted(rows, built.claims(kinds=["welfare_floor"], welfares=[welfare]), how)
        assert found["sex=F", "model"] == pytest.approx(model) and found["sex=F", "aggregate"] == pytest.approx(
            aggregate
        )


def test_the_tail_is_ranked_by_one_half_and_counted_by_the_other():
    """Whoever loses in every choice is of the tail, whoever gains in every one is not; who has one choice cannot be."""
    rows = [(u, f"{u}{i}", 1, sign, -sign) for u, sign in (("a", 1), ("b", -1)) for i in range(5)]
    rows.append(("c", "c0", 1, -1, 1))
    policy = policy_of((built.POLICY.format(outside="none", sha=built.AGGREGATE) + built.claims(
        kinds=["welfare_tail"], welfares=["decision"])).encode())  # fmt: skip
    audit = audit_of(table(*rows), policy)
    (cells,) = People(policy, audit, "key").cells(policy.claims[0]).values()
    assert {audit.unit[row] for row in cells["model"].rows} == {"b"}
    assert len(cells["model"].rows) == 3 and cells["model"].mass.sum() == pytest.approx(1)  # 5 // 2 rank
    assert set(cells["model"].z) == {0} and set(cells["aggregate"].z) == {1}


@pytest.mark.parametrize("outside", ["none", "all"])
def test_the_checker_proves_every_claim_by_itself(tmp_path, outside):
    table_place, policy = built.store(tmp_path, built.people(60, outside=outside), outside)
    made = certificate.make(certificate.prepare(table_place, read_policy(policy)))
    cert = built.write(made.record, tmp_path / "cert.json")
    result = verify.verify(cert, str(table_place), policy=policy)
    assert {name: f.verdict for name, f in result.findings.items()} == {
        name: f.verdict.value for name, f in made.findings.items()
    }
    assert f"aggregate linear at {built.AGGREGATE}" in result.assumed
    assert "every unit counts alike" in verify.report(result)


def test_a_floor_that_is_broken_is_refuted(tmp_path):
    columns = built.people(120, better=-1.0)
    columns["reward:linear"] = [repr(float(label)) for label in columns["label"]]  # the aggregate knows everything
    kinds = ["welfare_floor", "accuracy_parity"]
    asked = built.claims("0.01", kinds, ["decision"])
    columns["reward"] = [
        label if sex == "M" else reward
        for label, sex, reward in zip(columns["label"], columns["sex"], columns["reward"], strict=True)
    ]
    table_place, policy = built.store(tmp_path, columns, asked=asked)
    made = certificate.make(certificate.prepare(table_place, read_policy(policy)))
    assert {finding.verdict.value for finding in made.findings.values()} == {"REFUTED"}
    cert = built.write(made.record, tmp_path / "cert.json")
    assert verify.verify(cert, str(table_place), policy=policy).verdict == "REFUTED"


# Attacks --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("welfare")
    columns = built.people(30)
    asked = built.claims(kinds=built.KINDS, welfares=["decision"]) + built.claims(
        kinds=["welfare_floor"], welfares=["log"])  # fmt: skip
    places = built.store(folder, columns, asked=asked)
    made = certificate.make(certificate.prepare(places[0], read_policy(places[1])))
    return folder, columns, asked, *places, made.record


def code(folder, record, table_place, policy):
    cert = built.write(record, folder / "changed.json")
    try:
        result = verify.verify(cert, str(table_place), policy=policy)
    except verify.Refused as refused:
        return refused.code
    return {"CERTIFIED": 0, "REFUTED": 1, "INCONCLUSIVE": 3}[result.verdict]


def sealed(record):
    body = {key: value for key, value in record.items() if key not in ("sha256", "info")}
    return record | {"sha256": digest(body)}


def test_no_strengthened_claim_passes(case):
    """Every number of every claim is moved to what would claim more, and the certificate sealed again."""
    folder, _, _, table_place, policy, record = case
    assert code(folder, record, table_place, policy) in (0, 3)
    tried = 0
    for name, claim in record["claims"].items():
        moves = [(("ucb",), -1)]
        for block, groups in claim.get("ends", {}).items():
            for group in groups:
                moves += [(("ends", block, group, 0), 1), (("ends", block, group, 1), -1)]
        for path, sign in moves:
            changed = copy.deepcopy(record)
            place = changed["claims"][name]
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = str(Decimal(place[path[-1]]) + sign * Decimal("0.002"))
            assert code(folder, sealed(changed), table_place, policy) in (4, 5), (name, path)
            tried += 1
        for value in ("NaN", "-1", None, [], 0):
            changed = copy.deepcopy(record)
            changed["claims"][name]["ucb"] = value
            assert code(folder, sealed(changed), table_place, policy) in (4, 5)
    assert tried > 10
    lcb = {"block": "sex=F", "high": "aggregate", "low": "model", "value": "0.2", "split": None}
    changed = copy.deepcopy(record)
    changed["claims"]["welfare_floor decision"]["lcb"] = lcb
    assert code(folder, sealed(changed), table_place, policy) == 4


def test_another_aggregate_is_refused(case, tmp_path):
    """Its rewards, its digest, and a table that says nothing of it: none of them is the aggregate of the policy."""
    folder, columns, asked, _, policy, record = case
    worse = columns | {"reward:linear": [str(-float(cell)) for cell in columns["reward:linear"]]}
    table_place, _ = built.store(tmp_path, worse, asked=asked)
    assert code(folder, record, table_place, policy) == 5  # other rows
    table_place, _ = built.store(tmp_path, columns, asked=asked, aggregates={"linear": "b" * 64})
    with pytest.raises(UsageError, match=f"aggregate linear at {'b' * 64}"):
        certificate.prepare(table_place, read_policy(policy))
    described = json.loads((tmp_path / "people.csv-metadata.json").read_text())
    changed = copy.deepcopy(record)
    changed["data"]["description_sha256"] = described["sha256"]
    assert code(folder, sealed(changed), table_place, policy) in (2, 4)
    changed["assumptions"] = [a.replace("a" * 64, "b" * 64) if "aggregate" in a else a for a in record["assumptions"]]
    assert code(folder, sealed(changed), table_place, policy) == 2  # the policy does not admit it
    table_place, _ = built.store(tmp_path, columns, asked=asked, aggregates={})
    with pytest.raises(DataError, match="rewards of the aggregate"):
        certificate.prepare(table_place, read_policy(policy))


def test_old_policies_know_no_such_claims():
    for kind in built.KINDS:
        old = built.claims(kinds=[kind], welfares=["decision"])
        with pytest.raises(UsageError):
            policy_of(b'schema = "faro-policy/1"\nnonce = "n"\ndelta = 0.05\nestimand = "row"\nmin_group = 1\n'
                      b"assumptions = []\n" + old.encode())  # fmt: skip


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("unknown key", ("cutoff", 'cutoff = -0.1\nattribute = "sex"')),
        ("cutoff", ("cutoff = -0.1", "cutoff = -2")),
        ("against", ('against = "linear"', "")),
        ("method", ("unit-ratio", "exact2")),
        ("welfare", ('welfare = "decision"', 'welfare = "utility"')),
    ],
)
def test_a_policy_that_asks_otherwise_is_refused(words, change):
    asked = built.claims(kinds=["welfare_tail"], welfares=["decision"])
    asked = asked.replace("cutoff = -0.1", change[1]) if words == "unknown key" else asked.replace(*change)
    with pytest.raises(UsageError, match=words):
        policy_of((built.POLICY.format(outside="none", sha=built.AGGREGATE) + asked).encode())


# How often they are wrong ---------------------------------------------------------------------------------------------


def false_passes(draws, bound, level, once):
    """How often a floor is shown that is broken by a hair: people's mean loss is the bound exactly, and those who
    answer more lose less. Without `once` rows are taken for people."""
    rng, passed = np.random.default_rng(0), 0
    for _ in range(draws):
        sizes = rng.choice([1, 9], 80)
        loss = np.where(sizes == 1, 2 * bound, 0.0)  # the mean over people is the bound, over rows a tenth of that
        lost = [rng.choice([-1, 0, 1], n, p=[0.1, 0.8 - own, 0.1 + own]) for n, own in zip(sizes, loss, strict=True)]
        means = np.array([each.mean() for each in lost]) if once else np.concatenate(lost)
        z = (1 + means) / 2
        passed += bool(betting.rejects(z, np.ones(len(z)), 1.0, (1 + bound) / 2, level))
    return passed / draws


def test_a_broken_floor_is_rarely_certified_and_rows_for_people_are_wrong():
    assert false_passes(200, 0.15, 0.1, once=True) <= 0.1
    assert false_passes(200, 0.15, 0.1, once=False) > 0.2  # the control


@pytest.mark.slow
def test_coverage_of_floors():
    for bound in (0.05, 0.15):
        assert false_passes(2000, bound, 0.05, once=True) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 2000)


@pytest.mark.slow
def test_a_tail_that_ranks_by_what_it_counts_is_wrong():
    """Nobody loses in truth: half B of the tail is covered, the same half that ranks looks harmed."""
    rng, wrong = np.random.default_rng(0), {"B": 0, "A": 0}
    for _ in range(300):
        gains = rng.choice([-1.0, 1.0], (150, 6))
        a, b = gains[:, :3].mean(1), gains[:, 3:].mean(1)
        tail = a <= -0.3
        for half, values in (("B", b), ("A", a)):
            z = (1 + values[tail]) / 2  # shown to lose, though nobody does
            wrong[half] += bool(betting.rejects(z, np.ones(len(z)), 1.0, 0.5, 0.05))
    assert wrong["B"] <= 0.05 * 300 + 8 and wrong["A"] > 290


def test_fractions_of_a_ratio(case):
    """1 - worst / best is what is bounded: at most 1 - lowest end / highest end."""
    *_, record = case
    claim = record["claims"]["accuracy_ratio decision"]
    ends = claim["ends"][""]
    for high, low in (("F", "M"), ("M", "F")):
        assert Fraction(claim["ucb"]) >= 1 - Fraction(ends[low][0]) / Fraction(ends[high][1])
