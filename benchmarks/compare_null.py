"""How often `faro compare` recommends more than the aggregate where people do not differ: populations drawn anew, all
of one taste. Bar: the aggregate in at least 95 %. The control, people who differ in level alone, must get person
constants.

A line per population stands in OUT/compare_null.jsonl, so a run that was stopped goes on.

`python -m benchmarks compare_null -- --count 200 --out out/compare-null`
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from faro.compare.compare import compare
from faro.data import Dataset
from faro.data.demo_people import MEAN, World

from . import _lines

ALIKE = World("alike", "people of one taste", MEAN[None])
LEVELS = World("levels", "people who differ in level alone", MEAN[None], spread=2.0)
SHARE = 0.95


def table(world: World, seed: int, people: int, choices: int) -> Dataset:
    """A population of a world."""
    return Dataset.from_table(world.generate(seed, people, choices), world.schema, name=f"{world.name} {seed}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--people", type=int, default=150)
    parser.add_argument("--choices", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path("out/compare-null"))
    options = parser.parse_args()
    place = options.out / "compare_null.jsonl"
    done = _lines.finished(place, lambda own: (own["world"], own["seed"]))
    wanted = [(ALIKE, seed) for seed in range(options.count)]
    wanted += [(LEVELS, seed) for seed in range(max(1, options.count // 20))]
    for world, seed in wanted:
        if (world.name, seed) in done:
            continue
        data = table(world, seed, options.people, options.choices)
        settings = {"steps": options.steps, "every": 10}
        found = compare(data, ["person_constants"], seeds=options.seeds, support=5, settings=settings)
        record = {
            "world": world.name,
            "seed": seed,
            "method": found["recommended"]["method"],
            "gain": found["gains"][0],
        }
        _lines.add(place, record)
        done[world.name, seed] = record
        print(record, flush=True)
    kept = {
        name: [own["method"] for own in done.values() if own["world"] == name] for name in (ALIKE.name, LEVELS.name)
    }
    share = float(np.mean([method == "aggregate" for method in kept[ALIKE.name]]))
    control = float(np.mean([method == "person_constants" for method in kept[LEVELS.name]]))
    print(f"aggregate recommended where people are alike: {share:.3f} of {len(kept[ALIKE.name])}; bar {SHARE}")
    print(f"person constants where they differ in level: {control:.3f} of {len(kept[LEVELS.name])}; bar {SHARE}")
    return int(share < SHARE or control < SHARE)


if __name__ == "__main__":
    sys.exit(main())
