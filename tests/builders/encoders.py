"""A small encoder where the known one would be, and preference data of its words."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from faro.data import Dataset
from faro.models import Linear, Model, initial
from faro.store.model import TrainedModel
from faro.text import known
from tests.oracles import bert

WORDS = [word for word in bert.WORDS if word.isalpha()]


def install(cache: Path) -> Path:
    """An encoder of random weights by the name of minilm, in a cache that FARO_CACHE is to name."""
    folder = bert.write(cache / "encoders" / "minilm")
    (folder / known.DONE).write_text("{}")
    return folder


def untrained(data: Dataset, seed: int = 0, model: Model | None = None) -> TrainedModel:
    """A model (linear) with random weights on the data's coding, which scores as one that was trained."""
    model = model or Linear(scale=1.0)
    coding = data.fit_coding(data.rows("train"))
    few = jax.tree.map(jnp.asarray, data.choices(coding, [0, 1]))
    params = initial(model, jax.random.key(seed), few, 0)
    about = {"seed": seed, "digest": data.digest, "unit_rule": data.unit_rule}
    return TrainedModel(model, params, coding, data.schema, about)


def pairs(n: int = 120, seed: int = 0) -> list[dict[str, str]]:
    """Prompts, chosen and rejected answers; a longer answer is chosen more often."""
    rng = np.random.default_rng(seed)

    def text(number: int, least: int = 2) -> str:
        return " ".join([WORDS[number % len(WORDS)], *rng.choice(WORDS, rng.integers(least, 9))])

    prompts = [f"{text(number)} {number}" for number in range(n)]
    records: list[dict[str, str]] = []
    while len(records) < n:
        one, other = sorted((text(len(records)), text(len(records) + 1)), key=len, reverse=rng.random() < 0.7)
        if one != other:
            politics = ("left", "right")[int(rng.integers(2))]
            records.append(
                {"prompt": prompts[len(records) // 2], "chosen": one, "rejected": other, "politics": politics}
            )
    return records
