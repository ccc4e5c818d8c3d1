"""A finished sweep is certified: once, by the models that are in it, on people whom they did not see."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from faro.certify import description, rescore
from faro.certify.columns import read_columns
from faro.certify.policy import read_policy
from faro.errors import UnprovedError
from faro.report import read_run
from faro.report._commands import of_trial
from tests.builders.swept import SWEEP

pytestmark = pytest.mark.usefixtures("place")


@pytest.mark.slow
def test_a_run_is_certified_once(run, faro):
    table = pd.read_csv("out/frontier.csv")
    assert faro("policy", "out", "--bound", "0.2", "--out", "out/faro.toml")[0] == 0
    text = Path("out/faro.toml").read_text()
    assert 'method = "unit-ratio"' in text
    assert 'levels = ["a", "b"]' in text
    ask = ("--policy", "out/faro.toml", "--data", "t.csv")
    assert faro("certify", "out", "--disclose", *ask)[0] == 6  # no ledger
    assert faro("ledger", "init", "out", "--policy", "out/faro.toml")[0] == 2  # a table of one's own has to be given
    code, out, _ = faro("ledger", "init", "out", *ask)
    assert (code, "no attempt yet" in out) == (0, True)
    code, out, err = faro("certify", "out", "--disclose", "--json", *ask)
    assert code == 0, err
    rows = json.loads(out)
    certified = pd.read_csv("out/frontier.csv")
    assert certified["certified_slack"].notna().sum() == len(rows) == table["pareto"].sum()
    assert certified.drop(columns=["certified_slack", "certified_verdict"]).equals(table)
    for name in sorted(Path("out/certificates").glob("*-seed?.json")):
        words = [name, name.with_suffix(".csv"), "--policy", "out/faro.toml", "--train-units"]
        code, out, err = faro("verify", *words, "out/models/seed0.units.txt")
        assert code in (1, 3), err
        assert "iid-units" in out
        assert "unchecked" not in out
    verdict, asked = code, [*words, "out/models/seed0.units.txt", "--model", f"out/models/{name.name}"]
    asked += ["--model", f"out/models/{name.stem}.safetensors"]
    code, out, err = faro("verify", *asked, "--rescore", "t.csv")
    assert (code, "scored again" in out) == (verdict, True), err
    assert faro("verify", *words, "out/models/seed0.units.txt", "--rescore", "t.csv")[0] == 2  # with what model?
    before = Path("out/ledger.jsonl").read_bytes()
    assert faro("certify", "out", "--disclose", *ask)[0] == 0  # interrupted: what was shown may be shown again
    assert Path("out/ledger.jsonl").read_bytes() == before
    _refuses_what_the_model_does_not_give(name)
    assert faro("report", "out")[0] == 0
    assert faro(*SWEEP)[0] == 0  # read again, with its new columns
    bound = certified.loc[certified["pareto"], "bound"].max()
    assert faro("card", "out", "--bound", str(bound))[0] == 0
    card = " ".join(Path("out/MODEL_CARD.md").read_text().split())
    for part in ("how often the model chooses an alternative differs by at most 0.2", "The recorded group labels are"):
        assert part in card or part.capitalize() in card
    ends = json.loads(
        next(Path("out/certificates").glob(f"{card.split('models/')[1].split('.json')[0]}.json")).read_text()
    )
    low, high = (float(end) for end in ends["claims"]["demographic_parity"]["ends"][""]["b"])
    shown = re.search(r"\| demographic\\_parity: b \| ([\d.]+) \| ([\d.]+) \|", card)
    assert shown and low - 1e-4 < float(shown[1]) <= low and high <= float(shown[2]) < high + 1e-4  # rounded outward
    assert re.search(r"At 9\d(\.\d+)? % confidence, for the population", card)
    check = of_trial(read_run("out"), int(np.flatnonzero(certified["pareto"])[0]))[3]
    assert check.title == "Check its certificate"
    assert faro(*shlex.split(check.text.replace("\\\n", " "))[1:])[0] in (1, 3)


def _refuses_what_the_model_does_not_give(certificate):
    table, policy = certificate.with_suffix(".csv"), read_policy("out/faro.toml")
    model = f"out/models/{certificate.name}"
    scored = pd.read_csv(table, dtype=str, keep_default_na=False)
    assert rescore.rescore(table, policy, model, "t.csv").rows == len(scored)
    better = scored.assign(reward=scored["reward"].mask(scored.index == 3, "9.5"))
    moved = scored.assign(alternative=scored["alternative"].mask(scored.index == 3, "another"))
    weighted = scored.assign(weight="0.5")
    less = scored.iloc[1:]
    described = description.read_description(table)
    tables = {"not what the model gives": better, "not in": moved, "other people": weighted, "1 rows .* missing": less}
    for reason, wrong in tables.items():
        wrong.to_csv("wrong.csv", index=False)
        digest = description.table_digest(read_columns("wrong.csv"))
        description.write_description("wrong.csv", dataclasses.replace(described, table_sha256=digest))
        with pytest.raises(UnprovedError, match=reason):
            rescore.rescore("wrong.csv", policy, model, "t.csv")


def test_training_units_are_refused_in_an_audit(run, faro):
    model = "out/models/bound01-seed0.json"
    faro("policy", model, "--out", "faro.toml")
    Path("faro.toml").write_text(Path("faro.toml").read_text().replace('ledger = "ledger.jsonl"', "").replace(
        'assumptions = [', 'assumptions = ["no-ledger", '))  # fmt: skip
    for part, code in (("train", 6), ("dev", (0, 1, 3))):
        faro("score", model, "t.csv", "--part", part, "--twins", "group", "--out", "scored.csv")
        assert "reward:group=a" in pd.read_csv("scored.csv")
        asked = ("--policy", "faro.toml", "--train-units", "out/models/seed0.units.txt")
        got, _, err = faro("certify", "scored.csv", *asked)
        assert got in np.atleast_1d(code), err
        if part == "train":
            assert "were seen in training" in err
