"""Certificates of twins say whether earlier choices are kept or rewritten too; whoever says otherwise is caught."""

from __future__ import annotations

import json

import numpy as np
import pytest

import constraints as ct
from faro import verify
from faro.certify.certificate import make, prepare
from faro.certify.drafts import draft_policy
from faro.certify.policy import policy_of, read_policy
from faro.certify.scored import write_scored
from faro.data import Dataset, Schema
from faro.data.seen import Seen
from faro.errors import DataError, UsageError
from faro.files import write_json
from faro.report.certificate._outcome import Outcome
from faro.report.certificate._words import sentence
from faro.store.model import TrainedModel
from faro.store.spec import to_record
from tests.builders.history import GROUP, SCHEMA, Recalls, table

KEPT, THROUGH = "group", "group before"


class World:
    """A model under a bound on one kind of twins, the scored gate of its data, and a policy."""

    def __init__(self, folder, name):
        folder.mkdir()
        data = Dataset.from_table(table(400, 6), Schema.from_dict(SCHEMA), name="people")
        rows = data.rows(["train", "dual", "selection"])
        made = ct.counterfactual_flip(ct.Attribute(name, GROUP.levels, True), 0.5)
        self.model = TrainedModel(
            Recalls(), {"taste": np.ones(())}, data.fit_coding(rows), data.schema, {"seed": 0, "digest": data.digest},
            seen=Seen(np.unique(data.units[rows])), specification=to_record(made),
        )  # fmt: skip
        self.folder, self.files = folder, [self.model.save(folder / "m"), folder / "m.safetensors"]
        self.units, self.gate, self.rules = folder / "m.units.txt", folder / "gate.csv", folder / "faro.toml"
        write_scored(self.model, data, self.gate, part="gate", twins=(name,), files=self.files)
        drafted = draft_policy(self.model).replace('ledger = "ledger.jsonl"\nescrow = "escrow"\n', "")
        self.rules.write_text(drafted.replace("assumptions = [", 'assumptions = ["no-ledger", ').replace("= 30", "= 5"))

    def certified(self):
        case = prepare(self.gate, read_policy(self.rules), train_units=self.units, models=self.files)
        return case, make(case).record

    def verified(self, record):
        record = record | {"sha256": sealed(record)}
        write_json(self.folder / "cert.json", record)
        return verify.verify(
            self.folder / "cert.json", str(self.gate), policy=self.rules, train_units=str(self.units),
            models=list(map(str, self.files)),
        )  # fmt: skip


def sealed(record):
    return verify.digest({key: value for key, value in record.items() if key not in ("sha256", "info")})


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worlds")
    return {name: World(folder / name.replace(" ", "_"), name) for name in (KEPT, THROUGH)}


@pytest.fixture
def through(worlds):
    """Through history; a test may change its files."""
    world = worlds[THROUGH]
    texts = {path: path.read_bytes() for path in world.folder.iterdir()}
    yield world
    for path, text in texts.items():
        path.write_bytes(text)


@pytest.mark.parametrize(
    ("name", "verdict", "support", "line", "words"),
    [
        (KEPT, "CERTIFIED", {}, "earlier answers are kept (the direct effect given history)", "staying as it was"),
        (
            THROUGH,
            "REFUTED",
            {"rewritten": [THROUGH]},
            "earlier answers are rewritten too (the effect through history)",
            "being rewritten too",
        ),
    ],
)
def test_a_certificate_names_which(worlds, name, verdict, support, line, words):
    """The same model, of which the group is read in earlier choices alone: nothing is left of one, all of the other."""
    world = worlds[name]
    case, record = world.certified()
    assert record["result"]["verdict"] == verdict
    assert record["data"]["support"] == {"k": 3, "order": "", **support}
    assert f"twins of {name!r}: {line}" in case.statements
    found = world.verified(record)
    assert found.verdict == verdict and f"twins of `{name}`: {line}" in verify.report(found)
    outcome = Outcome("certificate", 0, world.rules.read_text(), certificate=record)
    assert words in sentence(outcome.claims[0]) and case.statements == list(outcome.statements)


def test_who_says_otherwise_is_caught(through):
    _, record = through.certified()
    for support in (
        {"k": 3, "order": ""},
        {"k": 3, "order": "", "rewritten": []},
        {"k": 3, "order": "", "rewritten": ["group"]},
    ):
        with pytest.raises(verify.Refused) as refused:
            through.verified(record | {"data": record["data"] | {"support": support}})
        assert refused.value.code == 5
    text = through.rules.read_text()
    assert 'support = { k = 3, rewritten = ["group before"] }' in text
    through.rules.write_text(text.replace(', rewritten = ["group before"]', ""))
    with pytest.raises(
        DataError, match=r"hash of names, the model read 3 .* names, rewritten for twins of group before"
    ):
        through.certified()
    policy_sha = read_policy(through.rules).sha256
    forged = record | {"policy_sha256": policy_sha, "data": record["data"] | {"support": {"k": 3, "order": ""}}}
    with pytest.raises(verify.Refused, match="read: 3 by hash, rewritten for twins of group before, the policy"):
        through.verified(forged)
    through.rules.write_text(text)
    beside = through.folder / "gate.csv-metadata.json"
    described = json.loads(beside.read_text())
    del described["support"]["rewritten"]
    described["sha256"] = verify.digest({key: value for key, value in described.items() if key != "sha256"})
    beside.write_text(json.dumps(described))
    with pytest.raises(
        DataError, match=r"the policy says .* rewritten for twins of group before, the model read 3 .* names$"
    ):
        through.certified()
    record["data"]["description_sha256"] = described["sha256"]
    with pytest.raises(verify.Refused, match="read: 3 by hash, the policy says 3 by hash, rewritten"):
        through.verified(record)


@pytest.mark.parametrize("rewritten", ['["dialect"]', "[]", '["group", "group before"]', '"group before"'])
def test_only_chooser_attributes_of_twin_claims_are_rewritten(through, rewritten):
    through.rules.write_text(through.rules.read_text().replace('["group before"]', rewritten, 1))
    with pytest.raises(UsageError, match="rewritten"):
        policy_of(through.rules.read_bytes())
    with pytest.raises(verify.Refused, match="rewritten") as refused:
        verify.read_policy(through.rules)
    assert refused.value.code == 2
