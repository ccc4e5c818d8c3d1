"""Claims of person exchange: counted by hand, proved by the checker; pairs that share somebody, and planted faults."""

import copy
import hashlib
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

import faro
from constraints import ANOTHER, person_exchange
from faro import verify
from faro.certify import certificate
from faro.certify.audit import audit_of
from faro.certify.cells import People
from faro.certify.drafts import draft_policy
from faro.certify.ledger import digest
from faro.certify.policy import policy_of, read_policy
from faro.certify.scored import write_scored
from faro.errors import DataError, NotIndependentError, UsageError
from tests.builders import people as built

POLICY = """schema = "faro-policy/3"
delta = 0.05
estimand = "{estimand}"
outside = "{outside}"
threshold = 0
units = "person"
min_group = 5
{cap}
assumptions = ["iid-units", "group-labels-correct", "twins-as-declared", "train-overlap-unchecked", "no-ledger"]

[attributes.sex]
levels = ["F", "M"]
chooser = true

[[claim]]
name = "exchange"
constraint = "person_exchange"
bound = {bound}
method = "unit-ratio"
{more}
"""


def policy(bound="0.6", estimand="unit", outside="none", more="", cap=""):
    return POLICY.format(bound=bound, estimand=estimand, outside=outside, more=more, cap=cap)


def people(count=60, outside="none", seed=0):
    """A table of people in pairs, whose partner's rewards agree with their own in about half of the choices."""
    columns, rng = built.people(count, outside=outside, seed=seed), np.random.default_rng(seed)
    del columns["reward:linear"]
    same = {choice: rng.random() < 0.5 for choice in dict.fromkeys(columns["choice"])}
    columns[f"reward:{ANOTHER}"] = [
        reward if same[choice] else repr(-float(reward))
        for reward, choice in zip(columns["reward"], columns["choice"], strict=True)
    ]
    return paired(columns)


def paired(columns):
    """The same with the column of pairs; who is alone has nobody's rewards."""
    names = sorted(set(columns["unit"]), key=lot)
    both = {name: names[at - at % 2 : at - at % 2 + 2] for at, name in enumerate(names)}
    called = {name: " & ".join(one.replace("&", "&&") for one in sorted(people)) for name, people in both.items()}
    columns["pair of people"] = [called[unit] for unit in columns["unit"]]
    columns[f"reward:{ANOTHER}"] = [
        cell if len(both[unit]) == 2 else ""
        for unit, cell in zip(columns["unit"], columns[f"reward:{ANOTHER}"], strict=True)
    ]
    return columns


def lot(name):
    """Of the order in which people are paired, as docs/certificate-format.md has it."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8, key=b"faro pair 1").digest(), "big") >> 11


def stored(folder, columns, asked, outside="none"):
    table, _ = built.store(folder, columns, outside=outside, aggregates={})
    place = folder / "policy.toml"
    place.write_text(asked)
    return table, place


def by_hand(columns, outside, estimand):
    """The mean by pandas: of every choice the total variation, by pairs or by choices."""
    frame = pd.DataFrame(columns)
    values = []
    for (pair, _), rows in frame.groupby(["pair of people", "choice"], sort=False):
        laws = []
        for name in ("reward", f"reward:{ANOTHER}"):
            rewards = [*rows[name].astype(float), *([0.0] if outside == "all" else [])]
            best = [reward == max(rewards) for reward in rewards]
            laws.append(np.array(best) / sum(best))
        values.append((pair, np.abs(laws[0] - laws[1]).sum() / 2))
    means = pd.DataFrame(values, columns=["pair", "apart"])
    return means.groupby("pair")["apart"].mean().mean() if estimand == "unit" else means["apart"].mean()


@pytest.mark.parametrize("outside", ["none", "all"])
@pytest.mark.parametrize("estimand", ["unit", "row"])
def test_counted_by_hand_and_proved_by_the_checker(tmp_path, outside, estimand):
    columns = people(60, outside)
    cap = "cap = 20" if estimand == "row" else ""
    table, place = stored(tmp_path, columns, policy(estimand=estimand, outside=outside, cap=cap), outside)
    read = read_policy(place)
    own = People(read, audit_of(columns, read), "key")
    cell = own.cells(read.claims[0])[""][""]
    assert len(set(own.rank(read.claims[0])[cell.rows])) == 30  # units are pairs
    if estimand == "row":
        assert (cell.mass * cell.z).sum() / cell.mass.sum() == pytest.approx(by_hand(columns, outside, estimand))
    else:
        sample = own.sample(read.claims[0], *cell)
        assert (sample.totals / sample.masses).mean() == pytest.approx(by_hand(columns, outside, estimand))
    made = certificate.make(certificate.prepare(table, read))
    cert = built.write(made.record, tmp_path / "cert.json")
    result = verify.verify(cert, str(table), policy=place)
    assert result.findings["exchange"].verdict == made.findings["exchange"].verdict.value
    assert list(made.findings["exchange"].units.values()) == [30]
    assert "twins-as-declared" in result.assumed


def test_what_is_marked_alone_counts(tmp_path):
    columns = people(40)
    read = policy_of(policy(more='within = "sex"\nstrata = ["F"]').encode())
    cells = People(read, audit_of(columns, read), "key").cells(read.claims[0])
    assert set(cells) == {"sex=F"}
    audit = audit_of(columns, read)
    assert {audit.unit[row] for row in cells["sex=F"][""].rows} == {unit for unit, sex in zip(
        columns["unit"], columns["sex"], strict=True) if sex == "F"}  # fmt: skip


def test_pairs_that_share_somebody_are_refused(tmp_path):
    """All pairs of people, as if they were independent, is what a bound must not be made of."""
    columns = people(40)
    read = policy_of(policy().encode())
    three = columns | {"pair of people": [f"pair{int(unit[1:]) // 3}" for unit in columns["unit"]]}
    chosen = columns | {"pair of people": [f"pair{int(unit[1:]) // 2}" for unit in columns["unit"]]}
    renamed = columns | {"pair of people": [f"of {pair}" for pair in columns["pair of people"]]}
    torn = columns | {"pair of people": [*columns["pair of people"][:-1], columns["pair of people"][0]]}
    one_gone = {key: cells[1:] for key, cells in columns.items()}
    while one_gone["unit"][0] == columns["unit"][0]:
        one_gone = {key: cells[1:] for key, cells in one_gone.items()}
    for broken in (three, torn, chosen, renamed, one_gone):
        with pytest.raises(NotIndependentError, match="by the hash of names of"):
            audit_of(broken, read)
        table, place = stored(tmp_path, broken, policy())
        with pytest.raises(verify.Refused) as refused:
            verify.read_audit(str(table), verify.read_policy(place))
        assert refused.value.code == 6
    parts = columns | {"part": [f"part of {pair}" for pair in columns["pair of people"]]}  # a part for every two
    with pytest.raises(NotIndependentError, match="within one part"):
        audit_of(parts, read)
    table, place = stored(tmp_path, parts, policy())
    with pytest.raises(verify.Refused, match="within one part"):
        verify.read_audit(str(table), verify.read_policy(place))
    for name in ("pair of people", f"reward:{ANOTHER}"):
        with pytest.raises(DataError, match=name):
            audit_of({key: cells for key, cells in columns.items() if key != name}, read)


@pytest.mark.parametrize("left_out", ["where they differ", "one alternative", "everywhere"])
def test_nobody_leaves_out_choices_in_which_much_changes(left_out, tmp_path):
    """Empty cells would be no members: with those that differ left out, hardly any bound is too small to be shown."""
    columns, name = people(40), f"reward:{ANOTHER}"
    differ = [mine != other for mine, other in zip(columns["reward"], columns[name], strict=True)]
    if left_out == "one alternative":
        differ = [own and row == "0" for own, row in zip(differ, columns["alternative"], strict=True)]
    cells = ["" if own or left_out == "everywhere" else cell for own, cell in zip(differ, columns[name], strict=True)]
    refused_with(tmp_path, columns | {name: cells}, "has no reward with the partner")


def test_who_is_alone_is_compared_with_nobody(tmp_path):
    columns, name = people(41), f"reward:{ANOTHER}"
    read = policy_of(policy().encode())
    alone = next(unit for unit, pair in zip(columns["unit"], columns["pair of people"], strict=True) if unit == pair)
    own = People(read, audit_of(columns, read), "key")
    cell = own.cells(read.claims[0])[""][""]
    assert alone not in {own.audit.unit[row] for row in cell.rows} and own.units(read.claims[0], cell) == 20
    filled = [cell or reward for cell, reward in zip(columns[name], columns["reward"], strict=True)]
    refused_with(tmp_path, columns | {name: filled}, "has a reward with a partner, and has none")


def refused_with(folder, columns, words):
    """Generator and checker refuse the table, with the code of a malformed one."""
    with pytest.raises(DataError, match=words):
        audit_of(columns, policy_of(policy().encode()))
    table, place = stored(folder, columns, policy())
    with pytest.raises(verify.Refused, match="rewards with another person") as refused:
        verify.read_audit(str(table), verify.read_policy(place))
    assert refused.value.code == 5


def test_names_that_look_like_pairs_are_no_pairs(tmp_path):
    """ "a & b" and "c" are two people, and not those that "a" and "b & c" are."""
    columns = people(40)
    odd = ["a & b", "c", "a", "b & c", "&", "&&", "a &", "& b", "a && b", "b"]
    names = dict(zip(sorted(set(columns["unit"])), odd + [f"u{n}" for n in range(30)], strict=True))
    columns["unit"] = [names[unit] for unit in columns["unit"]]
    table, place = stored(tmp_path, paired(columns), policy())
    made = certificate.make(certificate.prepare(table, read_policy(place)))
    assert list(made.findings["exchange"].units.values()) == [20]
    cert = built.write(made.record, tmp_path / "cert.json")
    assert verify.verify(cert, str(table), policy=place).verdict == made.verdict.value


def test_no_other_table_and_no_stronger_claim_passes(tmp_path):
    columns = people(60)
    table, place = stored(tmp_path, columns, policy())
    made = certificate.make(certificate.prepare(table, read_policy(place)))

    def code(record):
        body = {key: value for key, value in record.items() if key not in ("sha256", "info")}
        cert = built.write(record | {"sha256": digest(body)}, tmp_path / "changed.json")
        try:
            verify.verify(cert, str(table), policy=place)
        except verify.Refused as refused:
            return refused.code
        return 0

    assert code(made.record) == 0
    changed = copy.deepcopy(made.record)
    changed["claims"]["exchange"]["ucb"] = str(Decimal(changed["claims"]["exchange"]["ucb"]) - Decimal("0.002"))
    assert code(changed) in (4, 5)
    quieter = columns | {f"reward:{ANOTHER}": columns["reward"]}  # nobody is another
    stored(tmp_path, quieter, policy())
    assert code(made.record) == 5


def test_what_a_policy_may_not_ask():
    for more in ('per = "sex"', 'ball = "tv"\nradius = 0.1', 'attribute = "sex"', "tail = true"):
        with pytest.raises(UsageError):
            policy_of(policy(more=more).encode())
    with pytest.raises(UsageError):
        policy_of(policy().replace("unit-ratio", "clopper-pearson").encode())
    with pytest.raises(UsageError):
        policy_of(policy().replace("policy/3", "policy/2").encode())


@pytest.mark.slow
def test_from_training_to_a_verified_certificate(tmp_path):
    """The gap of training is what its claim counts of the same people, and the model's own gate passes the checker."""
    data = faro.load("demo-people")
    model = faro.train(data, person_exchange(0.2), model="pref(rank=1, support=4)", settings={"steps": 40})
    asked = draft_policy(model, 0.9).replace('ledger = "ledger.jsonl"\n', "").replace('escrow = "escrow"\n', "")
    asked = asked.replace('assumptions = ["', 'assumptions = ["no-ledger", "')
    place = tmp_path / "policy.toml"
    place.write_text(asked)
    model.save(tmp_path / "model")
    files = [tmp_path / f"model.{kind}" for kind in ("json", "safetensors")]
    write_scored(model, data, tmp_path / "gate.csv", part="gate", twins=[ANOTHER], files=files)
    read = read_policy(place)
    units = tmp_path / "model.units.txt"
    made = certificate.make(certificate.prepare(tmp_path / "gate.csv", read, train_units=units))
    cert = built.write(made.record, tmp_path / "cert.json")
    result = verify.verify(cert, str(tmp_path / "gate.csv"), policy=place, train_units=str(units))
    assert result.verdict == "CERTIFIED"
    dev = model.score(data, [ANOTHER])
    dev = dev[dev["part"] == "dev"].dropna(subset=[f"reward:{ANOTHER}"])
    wins = dev.groupby("choice")[["reward", f"reward:{ANOTHER}"]].transform("max")
    moved = (dev["reward"] == wins["reward"]) != (dev[f"reward:{ANOTHER}"] == wins[f"reward:{ANOTHER}"])
    assert model.about["figures"]["dev_gap"] == pytest.approx(moved.groupby(dev["choice"]).mean().mean(), abs=1e-6)
