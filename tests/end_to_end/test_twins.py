"""Twins from columns, from a table to a verified certificate, beside the engine on the same arrays."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import constraints as ct
import faro
from faro.cli import main
from faro.models import outcome
from faro.store.model import load_model
from faro.store.saved import units_file

N, LEVELS, SIDES = 1500, ("female", "male"), ("a", "b")
SCHEMA = """format = "wide"
unit = "who"
sides = ["a", "b"]
label = "won"
numeric = ["clarity"]
vectors = ["emb"]
[[attributes]]
name = "gender"
levels = ["female", "male"]
[[twins]]
attribute = "gender"
origin = "names and pronouns exchanged by a list of words"
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """(folder, gender `[n, 2]`, features `[n, 2, L, 4]`): pairs whose features depend on the gender in the text."""
    folder, rng = tmp_path_factory.mktemp("twins"), np.random.default_rng(0)
    gender = rng.integers(0, 2, (N, 2))
    features = rng.normal(size=(N, 2, 1, 4)) + 0.2 * rng.normal(size=(N, 2, 2, 4))
    features[..., 1, 1] += 0.8
    features = features.astype(np.float32).astype(float)  # as vectors are
    own = np.take_along_axis(features, gender[..., None, None], 2)[:, :, 0]
    value = own @ np.array([0.5, 1.0, 0.5, -0.5])
    table = {"who": [f"p{i}" for i in range(N)], "won": (rng.random(N) < 1 / (1 + np.exp(value[:, 1] - value[:, 0])))}
    for k, side in enumerate(SIDES):
        table[f"{side}_gender"] = np.array(LEVELS)[gender[:, k]]
        twins = {f":gender={level}": features[:, k, code] for code, level in enumerate(LEVELS)}
        for ending, values in {"": own[:, k], **twins}.items():
            table[f"{side}_clarity{ending}"] = values[:, 0]
            table[f"{side}_emb{ending}"] = [json.dumps(row.tolist()) for row in values[:, 1:]]
    pd.DataFrame(table).astype({"won": int}).to_csv(folder / "pairs.csv", index=False)
    (folder / "schema.toml").write_text(SCHEMA)
    return folder, gender, features


@pytest.mark.slow
def test_flips_and_parity_are_swept_scored_gated_and_verified(written, capsys):
    folder, gender, features = written
    table, run = folder / "pairs.csv", folder / "run"
    faro.frontier(
        table, "counterfactual_flip", schema=folder / "schema.toml", attribute="gender", bounds=[0.15], seeds=1,
        settings={"steps": 40}, out=run,
    )  # fmt: skip
    told = (
        "twins of gender: the table says what clarity, emb would be (names and pronouns exchanged by a list of words)"
    )
    assert told in (run / "report.html").read_text()
    path = run / "models" / "bound00-seed0.json"
    model = load_model(path)

    def command(*words) -> str:
        assert main([*map(str, words)]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    command("policy", path, "--bound", "0.5", "--out", folder / "p.toml")
    draft = (folder / "p.toml").read_text()
    claim = draft[draft.index("[[claim]]") :].replace("counterfactual_flip", "counterfactual_parity")
    (folder / "p.toml").write_text(f"{draft}\n{claim}")
    command("score", path, table, "--part", "gate", "--twins", "gender", "--out", folder / "gate.csv")
    command("ledger", "init", folder / "gate.csv", "--policy", folder / "p.toml")
    seal = ("--policy", folder / "p.toml", "--train-units", units_file(path), "--model", path)
    command("gate", folder / "gate.csv", *seal, "--out", folder / "c.json")
    said = command("verify", folder / "c.json", folder / "gate.csv", *seal, "--rescore", table)
    assert said.strip().endswith("CERTIFIED") and "scored again" in said

    data = model.read(table)
    gate, coding = data.rows("gate"), model.coding.items
    number, vector = coding.numbers[0], coding.vectors[0]
    mean, scale = ([own, *other] for own, other in ((number.mean, vector.mean), (number.scale, vector.scale)))
    coded = (features - mean) / scale
    own = np.take_along_axis(coded, gender[..., None, None], 2)[:, :, 0]
    rewards = pd.read_csv(folder / "gate.csv")[[f"reward:gender={level}" for level in LEVELS]].to_numpy()
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), model.params)
        ours = data.choices(model.coding, gate, twins=["gender"], dtype=np.float64)
        by_hand = ct.make_choices(
            own[gate], data.parsed.chosen[gate].argmax(1), attributes={"gender": gender[gate]},
            twins={"gender": ct.Twin(valid=np.ones((len(gate), 2, 2), bool), items=coded[gate])},
        )  # fmt: skip
        np.testing.assert_allclose(ours.twins["gender"].items, coded[gate], rtol=0, atol=1e-9)
        seen = outcome(model.model, params, by_hand, ct.Argmax(), ["gender"])
        np.testing.assert_allclose(rewards.reshape(-1, 2, 2), seen.twins["gender"].rewards, rtol=0, atol=1e-9)
        for notion in (ct.counterfactual_flip, ct.counterfactual_parity):
            constraint = notion(ct.Attribute("gender", LEVELS))
            gap = float(constraint.measure(seen, by_hand).max())
            again = outcome(model.model, params, ours, ct.Argmax(), ["gender"])
            assert abs(float(constraint.measure(again, ours).max()) - gap) < 1e-9
            shown = next(line for line in said.splitlines() if f" {notion.__name__}: " in line)
            assert gap > 0.02 and abs(gap - float(shown.split("counted ")[1].rstrip(")"))) < 5e-5  # as it is printed
