"""A finished run of linear models that nobody trained: what it costs to have one is a table and a few files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd

import constraints as ct
from faro import models
from faro.data import Dataset, Schema, Seen, write_units
from faro.store import columns, run
from faro.store.model import TrainedModel
from faro.store.spec import to_record

SHIFTS = (1.0, 0.0, 0.25, 0.5)  # what members add to group b's reward; the first is the unconstrained one
BOUNDS = (float("inf"), 0.02, 0.1, 0.2)


def people(n: int = 2400, seed: int = 0) -> pd.DataFrame:
    """Accept or reject; group b is accepted more often, so that to add nothing for it costs accuracy."""
    rng = np.random.default_rng(seed)
    group, x = rng.choice(["a", "b"], n), rng.normal(size=n).round(3)
    hired = (x + (group == "b") + rng.logistic(size=n) / 2 > 0).astype(int)
    return pd.DataFrame({"person": [f"p{i}" for i in range(n)], "x": x, "group": group, "hired": hired})


def schema() -> Schema:
    """Of these people."""
    return Schema.from_dict({
        "format": "accept", "unit": "person", "label": "hired", "numeric": ["x"], "categorical": ["group"],
        "attributes": [{"name": "group", "levels": ["a", "b"]}],
    })  # fmt: skip


def invented(
    folder: Path, frame: pd.DataFrame, like: pd.DataFrame | None = None, seeds: tuple[int, ...] = (0, 1)
) -> Path:
    """A run about these people in a folder, and the table beside it; its models are those of a run about people `like`
    these, if they are given."""
    frame.to_csv(folder / "people.csv", index=False)
    data = Dataset.from_table(folder / "people.csv", schema(), name="people.csv")
    trained = data if like is None else Dataset.from_table(like, schema(), name="people.csv")
    constraint = ct.demographic_parity(data.attributes["group"])
    place, records = folder / "out", []
    (place / run.MODELS).mkdir(parents=True)
    for seed in seeds:
        coding = trained.fit_coding(trained.rows(("train", "dual"), seed))
        told = data.rows(("train", "dual", "selection"), seed)
        write_units(place / run.units_name(seed), Seen.of(data, told).units, f"salt {seed}")
        for number, (shift, bound) in enumerate(zip(SHIFTS, BOUNDS, strict=True)):
            about = {"data": "people.csv", "digest": data.digest, "unit_rule": data.unit_rule, "seed": seed,
                     "constraint": constraint.name(), "audit": {"cap": 1.0, "single": True, "crossed": []}}  # fmt: skip
            own = TrainedModel(models.Linear(), None, coding, data.schema, about, specification=to_record(constraint))
            own = dataclasses.replace(own, params=_params(own, trained, shift))
            name = run.model_name(number, seed)
            own.save(place / name)
            records.append(_figures(own, data, seed) | {"constraint": constraint.name(), "bound": bound, "seed": seed,
                           "status": "FEASIBLE", "pareto": True, "model": name})  # fmt: skip
    table = pd.DataFrame(records)
    labels = list(constraint.labels())
    shape = (len(table), 1)
    traces = {name: np.zeros(shape) for name in columns.TRACES} | {"step": np.zeros(1)}
    traces |= {"gap": np.zeros((*shape, 1))}
    traces |= {name: np.zeros((*shape, len(labels))) for name in ("violation", "multiplier")}
    about_run = {"name": constraint.name(), "labels": labels}
    about_data = {"name": "people.csv", "digest": data.digest, "choices": data.n}
    run.write(place, table, traces, {"format": run.FORMAT, "constraint": about_run, "data": about_data})
    return place


def _params(own: TrainedModel, data: Dataset, shift: float) -> dict[str, np.ndarray]:
    """Weights with which the reward is x + shift in group b, and x in a."""
    items = data.choices(own.coding).items[:, 0]
    wanted = data.frame["x"].to_numpy(float) + shift * (data.frame["group"] == "b").to_numpy()
    *item, intercept = np.linalg.lstsq(np.c_[items, np.ones(data.n)], wanted, rcond=None)[0]
    return {"item": np.float32(item), "intercept": np.float32(intercept)}


def _figures(own: TrainedModel, data: Dataset, seed: int) -> dict:
    """Of every part, by pandas."""
    scored, found = own.score(data), {}
    for part in columns.PARTS:
        mine = scored[scored["part"].isin(["train", "dual"] if part == "train" else [part])]
        right = mine["label"] * mine["decision"] + (1 - mine["label"]) * (1 - mine["decision"])
        figures = {"n": len(mine), "accuracy": right.mean(), "nll": 0.5, "ece": 0.0,
                   "gap": np.ptp(mine.groupby("group")["decision"].mean())}  # fmt: skip
        found |= {columns.figure(part, name): float(value) for name, value in figures.items()}
    return found
