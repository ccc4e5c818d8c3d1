"""A personal model under every kind of constraint: trained, saved, scored alike elsewhere, certified, verified.
Models stand under one each; `python -m benchmarks people_constraints` trains every pair."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys

import pandas as pd
import pytest

import faro
from faro import registry, sweep, verify
from faro.certify.certificate import make, prepare
from faro.certify.drafts import draft_policy
from faro.certify.policy import read_policy
from faro.certify.scored import write_scored
from faro.data import Dataset
from faro.data.demo_people import WORLDS
from faro.data.specs import TwinSpec
from faro.files import write_json
from tests.builders.processes import environment

pytestmark = pytest.mark.slow
PEOPLE, EACH = 150, 10
DIALECT, COMMUNITY = ("dialect", None), ("community", None)
CELLS = [  # the models have 4 steps, so that bounds are wide
    ("pref(rank=1, support=4)", "demographic_parity", DIALECT, 0.3),
    ("pref(rank=1, support=4)", "welfare_floor", COMMUNITY, 0.3),
    ("person_constants(support=4)", "group_error", COMMUNITY, 0.8),
    ("latent_class(kinds=2, support=4)", "counterfactual_parity", ("community", "dialect=B"), 0.3),
    ("lore(rewards=2, support=4)", "equal_opportunity", DIALECT, 0.3),
    ("ensemble(members=2)", "demographic_parity", DIALECT, 0.5),
    ("vpl(size=2, width=4, support=4)", "equal_opportunity", DIALECT, 0.3),
    ("plus(phrases=2, width=4, support=4)", "counterfactual_parity", ("community before", "dialect=B"), 0.3),
    ("distributional(widths=(4,))", "equal_opportunity", DIALECT, 0.3),
]


@pytest.fixture(scope="module")
def data():
    world = WORLDS["demo-people"]
    exchanged = {"origin": "the model's input exchanged"}
    before = dataclasses.replace(world.schema.attribute("community"), name="community before", column="community")
    twins = (
        TwinSpec(attribute="community", **exchanged),
        TwinSpec(attribute=before.name, **exchanged, history="rewritten"),
    )
    schema = world.schema.replace(attributes=(*world.schema.attributes, before), twins=twins)
    return Dataset.from_table(world.generate(0, PEOPLE, EACH), schema, name="few people")


@pytest.mark.parametrize(
    ("model", "constraint", "of", "bound"), CELLS, ids=[f"{cell[0].split('(')[0]}-{cell[1]}" for cell in CELLS]
)
def test_trained_saved_scored_certified_verified(data, model, constraint, of, bound, tmp_path):
    made = registry.make_constraint(data.attributes, constraint, of[0], of=of[1], bound=bound)
    trained = sweep.train(data, made, model=registry.make("model", model), settings=faro.Settings(steps=4, every=2))
    assert trained.about["status"] == "FEASIBLE"
    files = [trained.save(tmp_path / "m"), tmp_path / "m.safetensors"]
    table, again, rules = tmp_path / "gate.csv", tmp_path / "again.csv", tmp_path / "faro.toml"
    twins = made.twins()
    write_scored(trained, data, table, part="gate", twins=twins, files=files)
    data.frame.to_csv(tmp_path / "data.csv", index=False)
    words = ["score", str(files[0]), "data.csv", "--part", "gate", "--out", "again.csv"]
    words += [word for name in twins for word in ("--twins", name)]
    subprocess.run([sys.executable, "-m", "faro", *words], check=True, cwd=tmp_path)
    here, there = pd.read_csv(table), pd.read_csv(again)
    pd.testing.assert_frame_equal(here, there, rtol=1e-9, atol=1e-12)  # programs of tests are compiled less well
    drafted = draft_policy(trained).replace('ledger = "ledger.jsonl"\nescrow = "escrow"\n', "")
    rules.write_text(drafted.replace("assumptions = [", 'assumptions = ["no-ledger", ').replace("= 30", "= 5"))
    units = tmp_path / "m.units.txt"
    case = prepare(table, read_policy(rules), train_units=units, models=files)
    write_json(tmp_path / "cert.json", make(case).record)
    verify.verify(
        tmp_path / "cert.json", str(table), policy=rules, train_units=str(units), models=list(map(str, files))
    )


SWEEP = """
import os, signal
import faro
from faro import registry, sweep
from faro.data import Dataset
from faro.data.demo_people import WORLDS

world = WORLDS["demo-people"]
data = Dataset.from_table(world.generate(0, 60, 6), world.schema, name="few people")
constraint = registry.make_constraint(data.attributes, "demographic_parity", "dialect", bound=0.2)
asked = {"bounds": [0.2, 0.4], "seeds": 2, "settings": faro.Settings(steps=6, every=1)}

def run(folder, stop=None):
    def progress(done, total):
        if done == stop:
            os.kill(os.getpid(), signal.SIGKILL)

    model = registry.make("model", "pref(rank=1, support=2)")
    return sweep.frontier(data, constraint, **asked, model=model, folder=folder, progress=progress).manifest["resumed"]

"""


def test_a_killed_sweep_goes_on_to_the_same_bytes(tmp_path):
    def runs(words):
        words, variables = [sys.executable, "-c", SWEEP + words], environment(tmp_path / "programs")
        return subprocess.run(words, cwd=tmp_path, env=variables, check=False)

    assert runs("run('killed', 2)").returncode == -signal.SIGKILL
    assert (tmp_path / "killed" / ".progress").exists() and not (tmp_path / "killed" / "frontier.csv").exists()
    assert runs("assert run('killed') and not run('whole')").returncode == 0
    assert not (tmp_path / "killed" / ".progress").exists()
    files = sorted(path.name for path in (tmp_path / "whole" / "models").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "killed" / "models").iterdir())
    for name in ("frontier.csv", *(f"models/{file}" for file in files if file.endswith("safetensors"))):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
