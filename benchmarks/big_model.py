"""A model of which no two fit: 5 million parameters, batches of 256, all trials one after another under 2 GB.

20,000 accept-or-reject choices of 384 features, 20 bounds x 3 seeds of 50 steps each, on a CPU. The sweep runs in a
process of its own; killed, or stopped by --minutes, it goes on where it was when the command is given again.

    execution      what the memory model decided, and why
    seconds        of this call; seconds of all calls are in FOLDER/spent.json
    peak memory    largest resident memory of the process, as the system counted it
    evaluations    passes over all of train of a trial: its evaluations in training, and the judgement
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

FEATURES = 384
LIMITS = {"minutes": 25.0, "gigabytes": 4.0, "evaluations": 4}


def table(n: int, features: int = FEATURES, seed: int = 0) -> Any:
    """Accept-or-reject choices whose labels depend on few features, and on the group."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    group = rng.integers(0, 2, n)
    x = rng.normal(size=(n, features)).astype(np.float32)
    x[:, 0] += 0.8 * group
    label = x[:, 0] + 0.7 * x[:, 1] * x[:, 2] + rng.logistic(size=n) > 0.4
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(features)])
    people = [f"p{i}" for i in range(n)]
    return frame.assign(person=people, group=np.where(group, "b", "a"), accepted=label.astype(int))


def dataset(n: int, features: int = FEATURES) -> Any:
    """The same as a `Dataset`."""
    import faro
    from faro.data import Dataset

    schema = faro.Schema.from_dict(
        {
            "unit": "person",
            "label": "accepted",
            "format": "accept",
            "numeric": [f"x{i}" for i in range(features)],
            "attributes": [{"name": "group", "levels": ["a", "b"]}],
        }
    )
    return Dataset.from_table(table(n, features), schema, name="made up")


def model(widths: tuple[int, ...]) -> Any:
    """A Flax module of these layers."""
    import flax.linen as nn

    from faro import models

    class Network(nn.Module):
        widths: tuple[int, ...]

        @nn.compact
        def __call__(self, x):
            for width in self.widths:
                x = nn.relu(nn.Dense(width)(x))
            return nn.Dense(1)(x)

    return models.FlaxModel(Network(widths))


def sweep(own: argparse.Namespace) -> None:
    """The sweep itself, in a process of its own; writes what it measured."""
    import jax

    import faro
    from faro.runtime import programs

    programs.keep_programs()
    began = time.perf_counter()
    data = dataset(own.choices)
    print(f"data: {time.perf_counter() - began:.1f} s", flush=True)
    last = [time.perf_counter()]

    def progress(done: int, total: int) -> None:
        now = time.perf_counter()
        print(f"  {done}/{total}: {now - last[0]:.1f} s, {peak(resource.RUSAGE_SELF):.2f} GB", flush=True)
        last[0] = now

    run = faro.frontier(
        data,
        "demographic_parity",
        attribute="group",
        bounds=own.bounds,
        seeds=own.seeds,
        model=model(tuple(own.widths)),
        settings={"steps": own.steps, "batch": own.batch},
        memory=own.memory,
        out=own.folder,
        progress=progress,
    )
    numbers = sum(leaf.size for leaf in jax.tree.leaves(run.models[0].params))
    found = {
        "execution": run.manifest.get("execution", ""),
        "traced": run.manifest["traced"],
        "parameters": numbers,
        "trials": len(run.table),
        "feasible": int((run.table["status"] == "FEASIBLE").sum()),
        "evaluations": int(run.traces["loss"].shape[1]) + 1,  # those of training, and the judgement
        "every": run.manifest["configuration"]["every"],
        "processor seconds": round(sum(resource.getrusage(resource.RUSAGE_SELF)[:2])),
    }
    (own.folder / "measured.json").write_text(json.dumps(found, indent=1))


def peak(who: int) -> float:
    """Largest resident memory in GB."""
    return resource.getrusage(who).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("out/big_model"))
    parser.add_argument("--choices", type=int, default=20_000)
    parser.add_argument("--widths", type=int, nargs="+", default=[2048, 2048])
    parser.add_argument("--bounds", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--minutes", type=float, default=None, help="stop after so long; the next call goes on")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    own = parser.parse_args()
    if own.inside:
        sweep(own)
        return 0
    own.folder.mkdir(parents=True, exist_ok=True)
    spent = own.folder / "spent.json"
    before = json.loads(spent.read_text()) if spent.exists() else {"seconds": 0.0, "gigabytes": 0.0}
    began = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.big_model", *sys.argv[1:], "--inside"]
    ended = True
    try:
        subprocess.run(command, check=True, timeout=own.minutes and own.minutes * 60)
    except subprocess.TimeoutExpired:
        ended = False
    seconds, gigabytes = time.perf_counter() - began, peak(resource.RUSAGE_CHILDREN)
    total = {"seconds": before["seconds"] + seconds, "gigabytes": max(before["gigabytes"], gigabytes)}
    spent.write_text(json.dumps(total))
    print(f"seconds: {seconds:.0f} of this call, {total['seconds']:.0f} of all")
    print(f"peak memory: {total['gigabytes']:.2f} GB")
    if not ended:
        print("not finished: the same command goes on")
        return 3
    found = json.loads((own.folder / "measured.json").read_text())
    print("\n".join(f"{name}: {value}" for name, value in found.items()))
    bars = {
        "sequential": found["execution"].startswith("sequential"),
        "minutes": total["seconds"] / 60 <= LIMITS["minutes"],
        "gigabytes": total["gigabytes"] <= LIMITS["gigabytes"],
        "evaluations": found["evaluations"] <= LIMITS["evaluations"],
    }
    print("\n".join(f"{'kept' if kept else 'MISSED'}: {name}" for name, kept in bars.items()))
    return 0 if all(bars.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
