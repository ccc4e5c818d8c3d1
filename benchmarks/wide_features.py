"""Wide array features: what a model of them weighs in JSON, and what time and memory `faro frontier` takes.

Pairs of alternatives whose features are rows of a memory-mapped `.npy` file in half precision; demographic parity of an
attribute that the features tell. Bars: JSON beside a saved model under 20 kB; 5 bounds x 1 seed under 3 GB and 5
minutes.

    python -m benchmarks wide_features              d = 4,096, 20,000 choices
    python -m benchmarks wide_features -- --quick   d = 256, 1,000 choices
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

BARS = {"json": 20_000, "bytes": 3 * 10**9, "seconds": 300.0}
SCHEMA = """
format = "wide"
unit = "rater"

[[arrays]]
name = "embedding"
file = "embedding.npy"
index = "row"

[[attributes]]
name = "style"
levels = ["A", "B"]
"""


def generate(folder: Path, choices: int, d: int, seed: int = 0) -> None:
    """pairs.csv, embedding.npy `[2 n, d]` in half precision and schema.toml in a folder; labels by a logit of a few
    directions of the embedding, one of which leans on the style."""
    rng = np.random.default_rng(seed)
    embedding = np.lib.format.open_memmap(folder / "embedding.npy", "w+", "<f2", (2 * choices, d))
    style = rng.integers(0, 2, 2 * choices)
    taste, lean = rng.normal(size=(2, d)) / np.sqrt(d)
    value = np.empty(2 * choices)
    for first in range(0, 2 * choices, 1000):
        rows = slice(first, first + 1000)
        block = rng.normal(size=(len(style[rows]), d)) + 3 * style[rows, None] * lean
        value[rows] = block @ taste + 0.5 * style[rows]
        embedding[rows] = block / np.sqrt(d)
    embedding.flush()
    order = rng.permutation(2 * choices).reshape(choices, 2)
    first_wins = rng.random(choices) < 1 / (1 + np.exp(value[order[:, 1]] - value[order[:, 0]]))
    won = np.where(first_wins[:, None], order, order[:, ::-1])
    table = {"rater": rng.integers(0, max(50, choices // 20), choices)}
    for side, rows in zip(("chosen", "rejected"), won.T, strict=True):
        table |= {f"{side}_row": rows, f"{side}_style": np.array(["A", "B"])[style[rows]]}
    pd.DataFrame(table).to_csv(folder / "pairs.csv", index=False)
    (folder / "schema.toml").write_text(SCHEMA)


def measure(folder: Path, *options: str) -> dict[str, Any]:
    """Seconds, peak resident bytes and the largest JSON file of `faro frontier` on the generated files."""
    words = ["frontier", "--data", "pairs.csv", "--schema", "schema.toml", "--constraint", "demographic_parity"]
    words += ["--attribute", "style", "--bounds", "5", "--seeds", "1", "--out", "run", *options]
    began = time.perf_counter()
    with open(folder / "log", "wb") as log:
        child = subprocess.Popen([sys.executable, "-m", "faro", *words], cwd=folder, stdout=log, stderr=log)
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError((folder / "log").read_text())
    largest = max(path.stat().st_size for path in (folder / "run" / "models").glob("*.json"))
    return {"json": largest, "bytes": usage.ru_maxrss * 1024, "seconds": time.perf_counter() - began}


def main(argv: list[str] | None = None) -> int:
    """Print the figures as JSON; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--choices", type=int)
    parser.add_argument("--d", type=int)
    parser.add_argument("--scratch", type=Path, help="folder for what is generated (default: that of the system)")
    args = parser.parse_args(argv)
    choices, d = args.choices or (1_000 if args.quick else 20_000), args.d or (256 if args.quick else 4_096)
    with tempfile.TemporaryDirectory(dir=args.scratch) as folder:
        generate(Path(folder), choices, d)
        found = measure(Path(folder))
    print(json.dumps({"choices": choices, "d": d, **found, "bars": BARS}, indent=1))
    return int(any(found[name] > bar for name, bar in BARS.items()))


if __name__ == "__main__":
    sys.exit(main())
