"""What nearest neighbours add to a model, on sets in which people were asked the same questions.

Of the aggregate and of person constants, on new people (dev, not gate) and mean over people: nll as trained, and with
`faro.people.neighbours`, and the gain with an interval of 95 % over people, each the mean of the splits in which they
are dev. `dealt` is the control: everybody is read with the earlier choices of somebody else, so that nobody's likeness
is their own. A set has lines in OUT, a line a split, so it goes on where it was stopped. Weights of the encoder (`make
text`) and FARO_DATA are needed, but for `kinds`, which is generated: two kinds of 120 people whose opinions of 24
statements are coins, and no feature tells of them.

`python -m benchmarks people_neighbours -- --seeds 5 --out out/people-neighbours`
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd

import faro
from constraints import log_softmax
from constraints.alternatives import joined
from faro.data import Dataset, Schema
from faro.data.support import QUERY, SupportRule, roles, support_sets
from faro.models import predict
from faro.people import neighbours
from faro.store.model import TrainedModel
from faro.sweep.aggregates import everyones_error

from . import _lines
from .compare_people import SETS, table

KINDS = "kinds"
MODELS = ("linear", "person_constants")
SETTINGS = {"steps": 120}


def of_kinds(people: int = 240, items: int = 24, each: int = 12) -> Dataset:
    """People of two kinds, whose opinion of a statement is a coin each; x is noise."""
    rng = np.random.default_rng([20, 18])
    opinion, x = rng.integers(0, 2, (2, items)), rng.normal(size=items)
    kind, item = rng.integers(0, 2, people), np.argsort(rng.random((people, items)), 1)[:, :each]
    agrees = opinion[kind[:, None], item] ^ (rng.random(item.shape) < 0.1)
    frame = pd.DataFrame({
        "person": np.repeat([f"p{i}" for i in range(people)], each), "x": x[item].ravel(),
        "agree": agrees.ravel().astype(int), "theme": np.where(item % 2, "a", "b").ravel(),
    })  # fmt: skip
    schema = {"format": "accept", "unit": "person", "label": "agree", "numeric": ["x"]}
    themes = {"attributes": [{"name": "theme", "levels": ["a", "b"]}]}
    return Dataset.from_table(frame, Schema.from_dict({**schema, **themes}), name=KINDS)


def losses(model: TrainedModel, data: Dataset, rule: SupportRule, rows: np.ndarray, dealt: bool = False) -> np.ndarray:
    """-log p of what was chosen, `[rows]`; `dealt`: everybody is read with the earlier choices of somebody else."""
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), model.params)
        choices = data.choices(model.coding, rows, dtype=np.float64)
        people: Any = support_sets(data, model.coding, rule, np.float64)
        if dealt:
            other = np.random.default_rng([20, 18]).permutation(len(people.weight))
            people = jax.tree.map(lambda leaf: leaf[other], people)
        seen = predict(model.model, params, choices, people=people)
        logs = log_softmax(joined(seen.scores), choices.available)
        return np.asarray(-(choices.chosen * np.where(choices.available, logs, 0)).sum(1))


def found(data: Dataset, support: int, name: str, seed: int) -> dict[str, Any]:
    """Of a split: mean nll of every dev person as trained, with neighbours, and with dealt answers."""
    if name == "person_constants":
        name = f"person_constants(support={support})"
    free = everyones_error().at(float("inf"))
    base = faro.train(data, free, model=name, seed=seed, settings=SETTINGS)
    own, rule = neighbours.fit(base, data, support), SupportRule(support, data.schema.order)
    rows = data.rows("dev", seed)
    rows = rows[(roles(data, rule)[rows] == QUERY) & (np.asarray(data.weight)[rows] > 0)]
    arms = {
        "as trained": losses(base, data, rule, rows),
        "neighbours": losses(own, data, rule, rows),
        "dealt": losses(own, data, rule, rows, dealt=True),
    }
    people = {arm: pd.Series(loss).groupby(data.units[rows]).mean().to_dict() for arm, loss in arms.items()}
    right = {arm: float(np.exp(-loss).mean()) for arm, loss in arms.items()}
    return {"people": people, "worth": own.about["neighbours"], "size": own.model.size, "probability": right}


def told(name: str, model: str, lines: list[dict[str, Any]]) -> None:
    """A row of the table: means over people of their means over splits."""
    arms = {arm: pd.concat([pd.Series(line["people"][arm]) for line in lines]).groupby(level=0).mean()
            for arm in ("as trained", "neighbours", "dealt")}  # fmt: skip
    gains = [arms["as trained"] - arms[arm] for arm in ("neighbours", "dealt")]
    shown = [f"{own.mean():+.4f} ±{1.96 * own.std() / len(own) ** 0.5:.4f}" for own in gains]
    near, crowd = (np.mean([line["worth"][what] for line in lines]) for what in ("near", "crowd"))
    print(f"{name:18}{model:18}{len(gains[0]):>7}{arms['as trained'].mean():>8.4f}  {shown[0]:18}{shown[1]:18}"
          f"{near:>6.2f}{crowd:>7.2f}")  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=f"{KINDS},pluriharms,polarized-agree,polarized-issues")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("out/people-neighbours"))
    options = parser.parse_args()
    path = options.out / "lines.jsonl"
    known = _lines.finished(path, lambda line: tuple(line["what"]))
    print(f"{'':18}{'':18}{'people':>7}{'nll':>8}  {'gain':18}{'dealt':18}{'near':>6}{'crowd':>7}")
    for name in options.sets.split(","):
        data = None
        for model in MODELS:
            lines = []
            for seed in range(options.seeds):
                if (what := (name, model, seed)) not in known:
                    asked = None if name == KINDS else SETS[name]
                    if data is None:
                        data = of_kinds() if asked is None else table(name, asked.people)
                    split = found(data, 6 if asked is None else asked.support, model, seed)
                    known[what] = {"what": what, **split}
                    _lines.add(path, known[what])
                lines.append(known[what])
            told(name, model, lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
