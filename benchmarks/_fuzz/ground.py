"""The projects' good files, made by faro's own commands."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._fuzz import mutations
from benchmarks._fuzz.commands import DONE, run
from benchmarks._fuzz.mutations import Table
from benchmarks._fuzz.policies import policy_of
from benchmarks._fuzz.projects import ATTRIBUTE, PROJECTS, TWINS, Ground
from benchmarks._fuzz.scored import put_scored


def make_ground(name: str, folder: Path) -> Ground:
    """A project's schema, data, model, scored table, policy, certificate and ledger, made by faro's own commands."""
    from faro.certify.columns import read_columns
    from faro.certify.scored import write_scored

    schema, columns = PROJECTS[name](np.random.default_rng([14, len(name)]))
    plain, ledgered = folder / name, folder / f"{name}-ledger"
    plain.mkdir(parents=True)
    (plain / "schema.toml").write_text(mutations.toml(schema))
    (plain / "data.csv").write_bytes(mutations.written(Table.of(columns), ".csv"))
    model = _model(name, schema, plain / "data.csv")
    saved = model.save(plain / "model")
    scored = write_scored(
        model, plain / "data.csv", plain / "scored.csv", twins=[TWINS[name]] * bool(TWINS[name]),
        files=[saved, saved.with_suffix(".safetensors")],
    )  # fmt: skip
    cells = read_columns(plain / "scored.csv")
    del cells["part"], scored
    ground = Ground(name, schema, Table.of(columns), Table.of(dict(cells)), plain, ledgered)
    put_scored(plain, ground.scored, ".csv", describe="fresh", ground=ground)
    asked = policy_of(random.Random(0), ground, form=2) | {"delta": "0.1", "estimand": "row", "min_group": 5}
    asked["claim"] = [{"name": "c0", "constraint": "demographic_parity", "attribute": ATTRIBUTE[name], "bound": 0.99,
                       "groups": asked["attributes"][ATTRIBUTE[name]]["levels"], "method": "unit-ratio",
                       "cap": 6}]  # fmt: skip
    (plain / "faro.toml").write_text(mutations.toml(asked))
    shutil.copytree(plain, ledgered)
    asked |= {"ledger": "ledger.jsonl", "escrow": "escrow", "passes": 3}
    (ledgered / "faro.toml").write_text(mutations.toml(asked))
    for where, words in (
        (plain, ["certify", "scored.csv", "--policy", "faro.toml", "--out", "cert.json"]),
        (ledgered, ["ledger", "init", "scored.csv", "--policy", "faro.toml"]),
        (ledgered, ["gate", "scored.csv", "--policy", "faro.toml"]),
    ):
        ran = run(where, [word if word[0] == "-" or "." not in word else str(where / word) for word in words])
        if ran.code not in DONE:
            raise RuntimeError(f"the ground of {name} is not good: {ran.err}")
    return ground


def _model(name: str, schema: dict[str, Any], table: Path) -> Any:
    """A linear model with fixed weights: what it says is of no interest, so nothing is trained."""
    import jax

    from faro.data import Dataset, Schema
    from faro.data.seen import Seen
    from faro.models import Linear
    from faro.registry import make_constraint
    from faro.store.model import TrainedModel
    from faro.store.spec import to_record

    data = Dataset.from_table(table, Schema.from_dict(schema))
    coding = data.fit_coding()
    constraint = make_constraint(data.attributes, "demographic_parity", ATTRIBUTE[name], bound=0.2)
    shapes = jax.eval_shape(Linear().init, jax.random.key(0), data.choices(coding))
    rng = np.random.default_rng(3)
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)
    about = {
        "seed": 0,
        "unit_rule": data.unit_rule,
        "digest": data.digest,
        "constraint": constraint.name(),
        "notes": [],
    }
    return TrainedModel(
        Linear(), params, coding, data.schema, about, seen=Seen(np.array(["nobody"])),
        specification=to_record(constraint)
    )  # fmt: skip
