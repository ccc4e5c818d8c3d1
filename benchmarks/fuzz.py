"""Ten thousand fuzzed tables, schemas, policies, descriptions, ledgers and certificates through every command.

    make bench ARGS="fuzz -- --n 10000 --out out/fuzz"
    python -m benchmarks fuzz -- --case 137 --out out/fuzz     # one case again, its files kept

What must hold of every command: a documented exit code, never 70; one line that says why, beside notes; no traceback,
no warning, no hang; nothing half-written and nothing left over; and no false pass: what `certify` certifies, `verify`
accepts, and what `verify` accepts, `certify` certifies of the same table and policy. A run that was cut off goes on;
files of a case that broke a rule lie in OUT/faults. A case is its number: the same files on every machine.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks._fuzz.ground import make_ground
from benchmarks._fuzz.kinds import KINDS, record, run_case
from benchmarks._fuzz.projects import PROJECTS, Ground

_grounds: dict[str, Ground] = {}


def quickly() -> None:
    """Programs run once or twice: their time is compiling."""
    import jax

    jax.config.update("jax_disable_most_optimizations", True)


def _begin(grounds: dict[str, Ground]) -> None:
    quickly()
    _grounds.update(grounds)


def _one(task: tuple[int, str]) -> dict[str, Any]:
    number, out = task
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        try:
            case = run_case(number, _grounds, Path(folder, "case"))
        except Exception as error:  # no fault of faro's, but a case that was not run
            name, why = list(KINDS)[number % len(KINDS)], f"the fuzzer failed: {type(error).__name__}: {error}"
            faults = [{"command": "fuzz", "faults": [why[:300]], "stderr": ""}]
            return {"case": number, "kind": name, "project": "", "commands": [], "faults": faults, "seconds": 0.0}
        line = record(number, case) | {"seconds": round(time.perf_counter() - started, 3)}
        if line["faults"]:
            shutil.copytree(case.folder, Path(out, "faults", f"{number:05}"), dirs_exist_ok=True)
    return line


def table(lines: list[dict[str, Any]]) -> pd.DataFrame:
    """Commands against codes: how many times each ended so."""
    counted = collections.Counter((command, code) for line in lines for command, code, _ in line["commands"])
    codes = sorted({code for _, code in counted})
    names = sorted({command for command, _ in counted})
    return pd.DataFrame({code: [counted[name, code] for name in names] for code in codes}, index=names)


def main() -> None:
    parser = argparse.ArgumentParser(prog="fuzz")
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path("out/fuzz"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--case", type=int, help="only this one, again")
    options = parser.parse_args()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    options.out.mkdir(parents=True, exist_ok=True)
    place = options.out / "cases.jsonl"
    found = [json.loads(line) for line in place.read_text().splitlines()] if place.exists() else []
    done = {line["case"]: line for line in found}
    lines = list(done.values())
    wanted = [number for number in range(options.n) if number not in done]
    if options.case is not None:
        wanted = [options.case]
    with tempfile.TemporaryDirectory() as folder:
        quickly()
        grounds = {name: make_ground(name, Path(folder)) for name in PROJECTS}
        method = multiprocessing.get_context("spawn")
        with method.Pool(min(options.jobs, max(1, len(wanted))), _begin, (grounds,)) as pool, place.open("a") as file:
            for line in pool.imap_unordered(_one, [(number, str(options.out)) for number in wanted]):
                lines.append(line)
                if options.case is None:
                    print(json.dumps(line), file=file, flush=True)
                for fault in line["faults"]:
                    print(
                        line["case"],
                        line["kind"],
                        line["project"],
                        fault["command"],
                        *fault["faults"],
                        sep=" | ",
                        flush=True,
                    )
    shown = lines if options.case is None else lines[-1:]
    print(table(shown).to_string())
    broken = [line for line in shown if line["faults"]]
    seconds = sum(line["seconds"] for line in shown) / max(1, len(shown))
    print(f"{len(shown)} cases, {seconds:.3f} s each; {len(broken)} with faults: {options.out / 'faults'}")
    if broken:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
