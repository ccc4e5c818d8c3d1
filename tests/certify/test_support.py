"""Certificates of models that read earlier answers of a person: for new people, of queries alone, attacked."""

from __future__ import annotations

import csv
import json

import numpy as np
import pandas as pd
import pytest

import constraints as ct
import faro
from faro import verify
from faro.certify.audit import audit_of
from faro.certify.certificate import make, prepare
from faro.certify.description import read_description, table_digest, write_description
from faro.certify.drafts import draft_policy
from faro.certify.policy import policy_of, read_policy
from faro.certify.scored import write_scored
from faro.data.seen import Seen
from faro.errors import DataError, NotIndependentError, UsageError
from faro.files import write_json
from faro.store.model import TrainedModel
from faro.store.spec import to_record
from tests.builders.support import SCHEMA, Follows, opposed

GROUP = ct.Attribute("group", ("x", "y"), True)


class World:
    """Somebody's personal model, the scored gate of its data, and a policy."""

    def __init__(self, folder, table=None):
        data = faro.load(opposed(people=400, each=6) if table is None else table, SCHEMA)
        rows = data.rows(["train", "dual", "selection"])
        params = {"common": np.zeros(1), "follow": np.ones(())}
        constraint = ct.equal_opportunity(GROUP, 0.9)
        self.data, self.folder = data, folder
        self.model = TrainedModel(
            Follows(), params, data.fit_coding(rows), data.schema, {"seed": 0, "digest": data.digest},
            seen=Seen(np.unique(data.units[rows])), specification=to_record(constraint),
        )  # fmt: skip
        self.files = [self.model.save(folder / "m"), folder / "m.safetensors"]
        self.units, self.gate, self.rules = folder / "m.units.txt", folder / "gate.csv", folder / "faro.toml"
        write_scored(self.model, data, self.gate, part="gate", files=self.files)
        drafted = draft_policy(self.model).replace('ledger = "ledger.jsonl"\nescrow = "escrow"\n', "")
        self.rules.write_text(drafted.replace("assumptions = [", 'assumptions = ["no-ledger", ').replace("= 30", "= 5"))

    def certified(self):
        case = prepare(self.gate, read_policy(self.rules), train_units=self.units, models=self.files)
        return case, make(case).record

    def verified(self, record):
        path = self.folder / "cert.json"
        write_json(path, record)
        return verify.verify(
            path, str(self.gate), policy=self.rules, train_units=str(self.units), models=list(map(str, self.files))
        )

    def cells(self):
        with self.gate.open(newline="") as file:
            return list(csv.DictReader(file))

    def forge(self, rows, describe=True):
        """Other rows in place of the table's, with a description of them, or with none."""
        with self.gate.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        beside = self.folder / "gate.csv-metadata.json"
        if not describe:
            beside.unlink()
            return
        record = json.loads(beside.read_text())
        record["table_sha256"] = table_digest({name: [row[name] for row in rows] for name in rows[0]})
        record["sha256"] = verify.digest({key: value for key, value in record.items() if key != "sha256"})
        beside.write_text(json.dumps(record))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return World(tmp_path_factory.mktemp("made"))


@pytest.fixture
def world(made):
    """The same for every test, which may change its files."""
    texts = {path: path.read_bytes() for path in made.folder.iterdir()}
    yield made
    for path in made.folder.iterdir():
        path.unlink()
    for path, text in texts.items():
        path.write_bytes(text)


def test_a_certificate_says_after_how_many_answers(world):
    assert "support = { k = 4 }" in world.rules.read_text()
    rows = world.cells()
    assert {row["role"] for row in rows} == {"query"} and {row["part"] for row in rows} == {"gate"}
    case, record = world.certified()
    assert record["data"]["support"] == {"k": 4, "order": ""}
    after = "for new people, after k = 4 answers of each (by a hash of names; fewer where that leaves no question)"
    assert after in case.statements
    assert after in verify.report(world.verified(record))
    other = record | {"data": record["data"] | {"support": {"k": 9, "order": ""}}}
    other["sha256"] = verify.digest({key: value for key, value in other.items() if key not in ("sha256", "info")})
    with pytest.raises(verify.Refused, match="other answers than the policy says"):
        world.verified(other)


def test_what_was_told_is_refused_as_evidence(world):
    """A row of support among gate queries, as it is, under another role, and its twin under another id."""
    whole = world.folder / "all.csv"
    write_scored(world.model, world.data, whole, files=world.files)
    with whole.open(newline="") as file:
        told = [row for row in csv.DictReader(file) if row["role"] == "support"]
    gate = world.cells()
    mine = {row["unit"] for row in gate}
    smuggled = [row | {"part": "gate"} for row in told if row["unit"] in mine][:2]
    _, record = world.certified()
    for describe in (True, False):
        world.forge(gate + smuggled, describe)
        with pytest.raises(NotIndependentError, match="2 rows have the role 'support'"):
            world.certified() if describe else prepare(world.gate, read_policy(world.rules), train_units=world.units)
        with pytest.raises(verify.Refused, match="no queries") as refused:
            world.verified(record)
        assert refused.value.code == 6
        world.folder.joinpath("gate.csv-metadata.json").unlink(missing_ok=True)
        write_scored(world.model, world.data, world.gate, part="gate", files=world.files)
    queries = [row | {"role": "query"} for row in smuggled]  # said to be what they are not
    for forged in (gate + queries, gate + [row | {"choice": f"{row['choice']} again"} for row in queries]):
        text = world.gate.with_name("gate.csv-metadata.json").read_text()
        world.forge(forged, describe=True)
        world.gate.with_name("gate.csv-metadata.json").write_text(text)
        with pytest.raises(DataError, match="another table"):
            world.certified()
        with pytest.raises(verify.Refused, match="another table"):
            world.verified(record)


def test_the_twin_of_a_support_row_in_the_data_never_reaches_the_gate(world):
    table = opposed(people=400, each=6)
    twice = pd.concat([table, table], ignore_index=True)  # every row again, under another id, sides exchanged
    half = len(table)
    twice.loc[half:, ["a_x", "b_x"]] = table[["b_x", "a_x"]].to_numpy()
    twice.loc[half:, "first"] = 1 - table["first"].to_numpy()
    scored = world.model.score(twice)
    told = scored[scored["role"] == "support"]
    asked = scored[scored["role"] == "query"]
    assert len(told) and not set(zip(told["unit"], told["reward"].round(9), strict=True)) & set(
        zip(asked["unit"], asked["reward"].round(9), strict=True)
    )


def test_policy_and_table_must_say_the_same_of_support(world):
    text = world.rules.read_text()
    for changed in (text.replace("support = { k = 4 }", "support = { k = 5 }"), text.replace("support = ", "# ")):
        world.rules.write_text(changed)
        with pytest.raises(DataError, match="the model read 4 answers of a person, the first by a hash of names"):
            world.certified()
    world.rules.write_text(text)
    _, record = world.certified()
    beside = world.folder / "gate.csv-metadata.json"
    described = json.loads(beside.read_text())
    described["support"] = {"k": 9, "order": ""}
    described["sha256"] = verify.digest({key: value for key, value in described.items() if key != "sha256"})
    beside.write_text(json.dumps(described))
    record["data"]["description_sha256"] = described["sha256"]
    record["sha256"] = verify.digest({key: value for key, value in record.items() if key not in ("sha256", "info")})
    with pytest.raises(verify.Refused, match="were read: 9 by hash, the policy says 4 by hash"):
        world.verified(record)


def test_seen_people_and_people_who_may_be_seen_are_not_certified(world):
    seen = world.folder / "seen.csv"
    write_scored(world.model, world.data, seen, part="train", files=world.files)
    with pytest.raises(NotIndependentError, match="seen in training"):
        prepare(seen, read_policy(world.rules), train_units=world.units, models=world.files)
    with pytest.raises(NotIndependentError, match="train-overlap-unchecked"):
        prepare(world.gate, read_policy(world.rules), models=world.files)
    admitted = world.rules.read_text().replace("assumptions = [", 'assumptions = ["train-overlap-unchecked", ')
    with pytest.raises(UsageError, match="shown for new people"):
        policy_of(admitted.encode())
    world.rules.write_text(admitted)
    with pytest.raises(verify.Refused, match="about new people"):
        verify.read_policy(world.rules)


@pytest.mark.parametrize(
    "support", ["4", "{}", "{ k = 0 }", "{ k = 4, by = 'x' }", "{ k = 4, order = '' }", "{ k = true }"]
)
def test_a_rule_of_support_that_is_none_is_refused_by_both(world, support):
    world.rules.write_text(world.rules.read_text().replace("{ k = 4 }", support))
    with pytest.raises(UsageError, match="support"):
        read_policy(world.rules)
    with pytest.raises(verify.Refused) as refused:
        verify.read_policy(world.rules)
    assert refused.value.code == 2


def test_an_attribute_may_be_called_role_where_nothing_is_read():
    text = """
schema = "faro-policy/2"
delta = 0.05
estimand = "row"
outside = "all"
threshold = 0
units = "person"
min_group = 1
assumptions = ["iid-units", "group-labels-correct", "undescribed-table", "train-overlap-unchecked", "no-ledger"]
attributes.role.levels = ["support", "sales"]
claim = [{name = "p", constraint = "demographic_parity", attribute = "role", bound = 0.9, method = "exact2"}]
"""
    columns = {"unit": ["1", "2"], "choice": ["1", "2"], "reward": ["1", "-1"], "role": ["support", "sales"]}
    assert audit_of(columns, policy_of(text.encode())).units == 2
    assert prepare(columns, policy_of(text.encode())).audit.units == 2


def test_a_column_of_the_data_called_role_is_told_to_make_way(world):
    table = opposed(people=40, each=6).rename(columns={"group": "role"})
    schema = SCHEMA | {"attributes": [{"name": "role", "levels": ["x", "y"], "chooser": True}]}
    data = faro.load(table, schema)
    model = TrainedModel(Follows(), world.model.params, data.fit_coding(), data.schema, {"seed": 0})
    with pytest.raises(DataError, match="call the column of the data otherwise"):
        model.score(data)


def test_descriptions_keep_support(world):
    described = read_description(world.gate)
    assert described is not None and described.support == (4, "", ())
    write_description(world.gate, described)
    assert read_description(world.gate) == described


def test_a_group_of_one_person_shows_nothing(tmp_path):
    table = opposed(people=400, each=6)
    data = faro.load(table, SCHEMA)
    alone = data.units[data.rows("gate")][0]
    lonely = World(tmp_path, table.assign(group=np.where(table["rater"] == alone, "y", "x")))
    _, record = lonely.certified()
    assert record["result"]["verdict"] == "INCONCLUSIVE" == lonely.verified(record).verdict


def test_votes_that_are_all_equal_are_counted_as_they_are(tmp_path):
    """Nobody ever chose anything else: taste is read, decisions are what they are, and nothing is not a number."""
    table = opposed(people=400, each=6).assign(first=1)
    agreed = World(tmp_path, table)
    assert np.isfinite([float(row["reward"]) for row in agreed.cells()]).all()
    _, record = agreed.certified()
    assert agreed.verified(record).verdict == record["result"]["verdict"]
