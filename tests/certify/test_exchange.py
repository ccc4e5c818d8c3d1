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
    names = sorted(set(columns["unit"]), key=lot)
    columns["pair of people"] = [f"pair{names.index(unit) // 2}" for unit in columns["unit"]]
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
    for broken in (three, chosen):
        with pytest.raises(NotIndependentError, match="not paired as names are"):
            audit_of(broken, read)
    torn = columns | {"pair of people": [*columns["pair of people"][:-1], "pair0"]}
    with pytest.raises(NotIndependentError, match="is of two pairs"):
        audit_of(torn, read)
    for broken in (three, torn, chosen):
        table, place = stored(tmp_path, broken, policy())
        with pytest.raises(verify.Refused) as refused:
            verify.read_audit(str(table), verify.read_policy(place))
        assert refused.value.code == 6
    for name in ("pair of people", f"reward:{ANOTHER}"):
        with pytest.raises(DataError, match=name):
            audit_of({key: cells for key, cells in columns.items() if key != name}, read)


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
    renamed = columns | {"pair of people": [f"of {pair}" for pair in columns["pair of people"]]}
    stored(tmp_path, renamed, policy())
    assert code(made.record) == 5  # what pairs are called is part of the digest


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
