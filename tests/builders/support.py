"""Tables and a model for what a model is told of a person before it is asked."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from faro.data import Dataset, Schema
from faro.models import Model

PAIRS = Schema(unit="rater", format="wide", choice=("id",), sides=("a", "b"), label="first", numeric=("x",))


def pairs(rows, schema=PAIRS, **columns) -> Dataset:
    """Of (rater, item, item): an item's feature is its number."""
    raters, first, second = zip(*rows, strict=True)
    table = {"rater": raters, "id": [f"c{i}" for i in range(len(rows))], "a_x": first, "b_x": second}
    return Dataset.from_table(pd.DataFrame(table | {"first": 1} | columns), schema)


def drawn(seed: int, people: int = 12, items: int = 9) -> list[tuple[str, int, int]]:
    """Some pairs of a few items for each of some people."""
    rng, rows = np.random.default_rng(seed), []
    for person in range(people):
        count = int(rng.integers(1, 15))
        rows += [(f"p{person}", *map(int, rng.choice(items, 2, replace=False))) for _ in range(count)]
    return [rows[i] for i in rng.permutation(len(rows))]


def touching(one, other) -> bool:
    return bool({*one[1:]} & {*other[1:]})


SCHEMA = {
    "format": "wide", "unit": "rater", "sides": ["a", "b"], "label": "first", "numeric": ["x"],
    "attributes": [{"name": "group", "levels": ["x", "y"], "chooser": True}],
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Follows(Model):
    """The direction in which the person chose before."""

    support: int = 4

    def init(self, key, spec):
        return {"common": jnp.zeros(spec.items.shape[-1]), "follow": jnp.zeros(())}

    def apply(self, params, choices, *, people):
        before = jax.tree.map(lambda leaf: leaf[choices.unit], people)
        liked = jnp.einsum("nskd,nsk,ns->nd", before.items, before.chosen - 1 / 2, before.weight)
        return jnp.einsum("nkd,nd->nk", choices.items, params["common"] + params["follow"] * liked)


def opposed(people: int = 120, each: int = 10) -> pd.DataFrame:
    """Half of the people want what the other half does not, so nothing common predicts anything."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(people), each)
    first, second = rng.normal(size=(2, len(person)))
    likes = np.where(person % 2, 4, -4) * (first - second) + rng.logistic(size=len(person)) > 0
    table = {"rater": [f"r{p}" for p in person], "group": np.where(person % 3, "x", "y"), "first": likes.astype(int)}
    return pd.DataFrame(table | {"a_x": first, "b_x": second})
