"""Votes of people of two kinds, whom no feature tells apart, on the same statements."""

import numpy as np
import pandas as pd

from faro.data import Schema


def votes(people=240, items=24, each=12, seed=0, kinds=2):
    """People of two kinds who agree or not with statements; what a kind says of one is a coin, and x is noise."""
    rng = np.random.default_rng(seed)
    opinion = rng.integers(0, 2, (kinds, items))
    x = rng.normal(size=items)
    kind = rng.integers(0, kinds, people)
    item = np.argsort(rng.random((people, items)), 1)[:, :each]
    agrees = opinion[kind[:, None], item] ^ (rng.random(item.shape) < 0.1)
    return pd.DataFrame({
        "person": np.repeat([f"p{i}" for i in range(people)], each), "x": x[item].ravel(), "statement": item.ravel(),
        "agree": agrees.ravel().astype(int), "theme": np.where(item % 2, "a", "b").ravel(),
    })  # fmt: skip


SCHEMA = Schema.from_dict({
    "format": "accept", "unit": "person", "label": "agree", "numeric": ["x"],
    "attributes": [{"name": "theme", "levels": ["a", "b"]}],
})  # fmt: skip
