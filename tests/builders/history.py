"""A table of people in two groups, and a model that reads the group in what they chose before, and nowhere else."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
import pandas as pd

import constraints as ct
from faro.models import Model

GROUP = ct.Attribute("group", ("x", "y"), True)
ORIGIN = "the model's input exchanged"
SCHEMA = {
    "format": "wide", "unit": "rater", "sides": ["a", "b"], "label": "first", "numeric": ["x"],
    "context_categorical": ["group"],
    "attributes": [
        {"name": "group", "levels": ["x", "y"], "chooser": True},
        {"name": "group before", "column": "group", "levels": ["x", "y"], "chooser": True},
    ],
    "twins": [
        {"attribute": "group", "origin": ORIGIN},
        {"attribute": "group before", "origin": ORIGIN, "history": "rewritten"},
    ],
}  # fmt: skip


def table(people: int = 60, each: int = 8) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(people), each)
    a, b = rng.normal(size=(2, len(person)))
    frame = {"rater": [f"r{p:03}" for p in person], "group": np.where(person % 3, "x", "y"), "a_x": a, "b_x": b}
    return pd.DataFrame(frame | {"first": (a - b + rng.logistic(size=len(a)) > 0).astype(int)})


@dataclasses.dataclass(frozen=True)
class Recalls(Model):
    """Likes x, and its opposite where most earlier choices were made at the level y; the group itself is not read."""

    support: int = 3

    def init(self, key, spec):
        return {"taste": jnp.ones(())}

    def apply(self, params, choices, *, people):
        at_y = jnp.einsum("us,us->u", people.context[..., 1], people.weight) > people.weight.sum(1) / 2
        sign = jnp.where(at_y, -1.0, 1.0)[choices.unit]
        return params["taste"] * choices.items[..., 0] * sign[:, None]
