"""How long a certificate of 100,000 people takes: made within 3 s, checked within 10 s, below 20 kB.

    make bench ARGS="certificates"
    python -m benchmarks certificates -- --units 100000 --repeats 3

Four groups, one row per person: rates (exact2), all thresholds (dkw), rates under shift and label noise with breakdown
radius (clopper-pearson). Times are of the best of the repeats, without starting Python; the table is read from CSV.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from faro import verify
from faro.certify import certificate
from faro.certify.policy import read_policy

POLICY = """schema = "faro-policy/1"
delta = 0.05
estimand = "row"
nonce = "bench"
min_group = 100
outside = "all"
assumptions = ["iid-units", "group-labels-correct", "label-noise-bounded", "train-overlap-unchecked", "no-ledger"]
[attributes.group]
levels = ["A", "B", "C", "D"]
"""
CLAIMS = [
    ("rates", 'constraint = "demographic_parity"\nmethod = "exact2"\nbound = 0.05'),
    ("all thresholds", 'constraint = "threshold_parity"\nthresholds = "all"\nmethod = "dkw"\nbound = 0.05'),
    *(
        (
            ball,
            'constraint = "demographic_parity"\nmethod = "clopper-pearson"\n'
            f'ball = "{ball}"\nradius = {radius}\nbound = 0.2',
        )
        for ball, radius in (("tv", 0.01), ("label-noise", 0.02), ("kl", 0.001), ("cvar", 0.95))
    ),
]  # fmt: skip


def write_inputs(folder: Path, units: int, seed: int = 0) -> tuple[Path, Path]:
    """A table of one row per person whose groups differ by nothing, and the policy."""
    rng = np.random.default_rng(seed)
    rewards, groups = rng.normal(-0.5, 1, units), rng.choice(list("ABCD"), units)
    table = folder / "audit.csv"
    lines = (f"p{i},c{i},{g},{r:.9g}\n" for i, (g, r) in enumerate(zip(groups, rewards, strict=True)))
    table.write_text("unit,choice,group,reward\n" + "".join(lines))
    policy = folder / "faro.toml"
    policy.write_text(POLICY + "".join(f'[[claim]]\nname = "{n}"\nattribute = "group"\n{text}\n' for n, text in CLAIMS))
    return table, policy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--units", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table, policy = write_inputs(folder, options.units)
        made, checked = [], []
        for _ in range(options.repeats):
            began = time.perf_counter(), time.process_time()
            found = certificate.make(certificate.prepare(table, read_policy(policy)))
            made.append((time.perf_counter() - began[0], time.process_time() - began[1]))
            text = json.dumps(found.record)
            (folder / "cert.json").write_text(text)
            verify.upper_end.cache_clear()
            verify.radius_tail.cache_clear()
            began = time.perf_counter(), time.process_time()
            result = verify.verify(folder / "cert.json", str(table), policy=policy)
            checked.append((time.perf_counter() - began[0], time.process_time() - began[1]))
        print(f"{options.units:,} units, 4 groups, {len(CLAIMS)} claims: {result.verdict}, {len(text) / 1000:.1f} kB")
        for what, times, bar in (("made", made, 3), ("checked", checked, 10)):
            wall, cpu = min(times)
            print(f"{what}: {wall:.2f} s (CPU {cpu:.2f} s; bar {bar} s)")


if __name__ == "__main__":
    main()
