"""Every model of people under every kind of constraint, trained by the game on `demo-people`: how many trials are
FEASIBLE, and what that costs.

20 bounds x 3 seeds a cell; the bounds are those of `faro frontier`, from 0.01 to the unconstrained gap, those of
`welfare_floor` from 0.01 to 0.2, those of `group_error` from the worst group's error without a bound, as the mean over
seeds, to 0.05 above it: hardly a model errs less in the worst group than the one that errs least, so half of the seeds
have something to do. Bar: at least 95 % of the trials of a cell FEASIBLE. Every cell is a run in a folder
of its own: one that was killed goes on where it stopped, one that is finished is not made again.

    python -m benchmarks people_constraints
    python -m benchmarks people_constraints -- --models pref --constraints group_error --bounds 4 --seeds 1
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from faro import sweep
from faro.compare.methods import model_of
from faro.data import load
from faro.data.dataset import Dataset
from faro.data.specs import TwinSpec
from faro.registry import make_constraint

from . import _lines

MODELS = (
    "person_constants",
    "pebs",
    "mixed_logit",
    "pref",
    "latent_class",
    "lore",
    "vpl",
    "gpo",
    "ideal_point",
    "plus",
    "distributional",
)
CONSTRAINTS = {  # and the attribute of it, for a kind of alternative
    "demographic_parity": "dialect",
    "equal_opportunity": "dialect",
    "counterfactual_parity": "community of dialect=B",
    "group_error": "community",
    "welfare_floor": "community",
}
SUPPORT = 10
SHARE = 0.95


def people() -> Dataset:
    """`demo-people`, where the model may also be told of a person that the community is the other one."""
    data = load("demo-people")
    twins = (TwinSpec(attribute="community", origin="the model's input exchanged"),)
    return Dataset.from_table(data.frame, data.schema.replace(twins=twins), name="demo-people with twins")


def cell(data: Dataset, model: str, constraint: str, bounds: int, seeds: int, folder: Path) -> dict[str, Any]:
    """What became of the trials of a model under a constraint."""
    attribute, _, of = CONSTRAINTS[constraint].partition(" of ")
    made = make_constraint(data.attributes, constraint, attribute, of=of or None)

    def swept(grid: Any, place: Path) -> Any:
        run = sweep.frontier(data, made, bounds=grid, seeds=seeds, model=model_of(model, SUPPORT), folder=place)
        return run.table

    began, cpu = time.perf_counter(), time.process_time()
    grid: Any = list(np.geomspace(0.01, 0.2, bounds)) if constraint == "welfare_floor" else bounds
    if constraint == "group_error":
        free = swept([1.0], folder.with_name(f"{folder.name}-free"))
        own = free["train_gap"][~np.isfinite(free["bound"])].mean()
        grid = [round(bound, 4) for bound in np.linspace(own, own + 0.05, bounds)]
    trials = swept(grid, folder).query("bound < inf")
    return {
        "trials": len(trials),
        "feasible": int((trials["status"] == "FEASIBLE").sum()),
        "statuses": trials["status"].value_counts().to_dict(),
        "infeasible bounds": sorted({round(float(b), 4) for b in trials["bound"][trials["status"] != "FEASIBLE"]}),
        "cpu seconds": round(time.process_time() - cpu, 1),
        "seconds": round(time.perf_counter() - began, 1),
    }


def main(argv: list[str] | None = None) -> int:
    """Print a line a cell; 1 if the bar is missed in one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/people_constraints"))
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--constraints", default=",".join(CONSTRAINTS))
    parser.add_argument("--bounds", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args(argv)
    path, size = options.out / "lines.jsonl", (options.bounds, options.seeds)
    known = _lines.finished(path, lambda line: tuple(line["what"]))
    data, kept = people(), True
    for model in options.models.split(","):
        for constraint in options.constraints.split(","):
            what = (model, constraint, *size)
            if what not in known:
                folder = options.out / "-".join(map(str, what))
                known[what] = {"what": what, "found": cell(data, model, constraint, *size, folder)}
                _lines.add(path, known[what])
            found = known[what]["found"]
            good = found["feasible"] >= SHARE * found["trials"]
            kept &= good
            print(f"{model:18}{constraint:24}{'kept' if good else 'NOT KEPT':10}{found}", flush=True)
    print("all bars kept" if kept else "a bar is not kept")
    return int(not kept)


if __name__ == "__main__":
    sys.exit(main())
