"""Random projects from table to certificate: what training, pandas, `certify` and the checker count of one part.

A project agrees to 1e-9, is refused in one line, or fails: another number, another error. Every fiftieth also goes
through the commands: train, score, policy, certify, ledger, gate, verify. A line per finished project stands in
OUT/projects.jsonl, so a run that was stopped goes on; seeds that are there are not followed again.

`python -m benchmarks projects -- --count 2000 --out out/projects`
"""

from __future__ import annotations

import argparse
import collections
import sys
import tempfile
import time
import traceback
from pathlib import Path

import jax

from tests.builders import projects

from . import _lines

EVERY = 50  # of how many one goes through the commands


def follow(seed: int) -> dict:
    """What became of a project."""
    began, spent = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        try:
            answer = projects.run(seed, Path(folder))
            if seed % EVERY == 0 and answer == "agreed":
                answer = projects.commands(seed, Path(folder))
            result = "agreed" if answer == "agreed" else "refused"
        except projects.Failed as failed:
            result, answer = "failed", str(failed)
        except Exception:  # whatever is no refusal is a fault of faro's, and a line of the table
            result, answer = "failed", traceback.format_exc()[-2000:]
    seconds, cpu = time.perf_counter() - began, time.process_time() - spent
    return {"seed": seed, "result": result, "answer": answer, "seconds": round(seconds, 2), "cpu": round(cpu, 2)}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=2000, help="projects (default 2000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--out", type=Path, default=Path("out/projects"), help="folder (default out/projects)")
    given = parser.parse_args(argv)
    lines = given.out / "projects.jsonl"
    jax.config.update("jax_disable_most_optimizations", True)  # programs run a few times, their time is compiling
    done = _lines.finished(lines, lambda record: record["seed"])
    seeds = range(given.first, given.first + given.count)
    for seed in seeds:
        if seed in done:
            continue
        if seed % projects.GENERATION == 0:
            jax.clear_caches()
        done[seed] = follow(seed)
        _lines.add(lines, done[seed])
        if done[seed]["result"] == "failed":
            print(f"project {seed}: {done[seed]['answer']}", flush=True)
    asked = [done[seed] for seed in seeds]
    counts = collections.Counter(record["result"] for record in asked)
    reasons = collections.Counter(
        projects.reason(record["answer"]) for record in asked if record["result"] == "refused"
    )
    print(f"{len(asked)} projects: " + ", ".join(f"{counts[name]} {name}" for name in ("agreed", "refused", "failed")))
    for why, count in reasons.most_common():
        print(f"  {count:5d} refused: {why}")
    print(f"{sum(r['cpu'] for r in asked):.0f} s of CPU, {sum(r['seconds'] for r in asked):.0f} s in all")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
