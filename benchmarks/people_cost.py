"""What models of people cost: memory of many people, a fit beside those of an aggregate, the weights of a new person.

memory   a table is read, support dealt, and drawn once as a step draws it: peak bytes of a process at a size, at half
         of it, and with less support. Bars: twice the size takes at most 2.2 times as much; 1,000,000 rows of 50,000
         people with support of 20 less than 2 GiB
fits     CPU seconds of `pref` beside `linear`, one bound and seed, `demo-people` with more people; the second of two in
         the same process, so that nothing is compiled. Bar: at most four fits of `linear` by the same player (adam),
         with its own 600 steps; beside it, without a bar, `linear` by its own player, which finds its optimum at once
new      milliseconds until a new person's weights are there, after ten answers. Bar: 10

    python -m benchmarks people_cost                 lines that are finished are not made again
    python -m benchmarks people_cost -- --rows 20000 --parts fits,new
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

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from faro import sweep
from faro.data import Dataset, Schema
from faro.data.demo_people import CHOICES_PER_PERSON, WORLDS
from faro.data.draws import drawn, pool_of, questions_of, told
from faro.data.support import SupportRule
from faro.models import InputSpec, Linear, PReF
from faro.registry import make_constraint
from faro.training import Settings

from . import _lines

FEATURES = tuple(f"x{place}" for place in range(8))
TWICE, MOST, FITS, NEW = 2.2, 2 * 2**30, 4.0, 10.0  # bars
ANSWERS = 10


def peak(rows: int, people: int, support: int) -> int:
    """Peak resident bytes of this process after reading a table and drawing support of all people once."""
    rng = np.random.default_rng(0)
    table = {"who": rng.integers(0, people, rows), "took": rng.integers(0, 2, rows)}
    table |= {name: rng.normal(size=rows).astype(np.float32) for name in FEATURES}
    schema = Schema(unit="who", format="accept", label="took", numeric=FEATURES)
    data, rule = Dataset.from_table(pd.DataFrame(table), schema), SupportRule(support)
    coding = data.fit_coding()
    every = np.arange(data.n)
    pool, questions = pool_of(data, coding, rule, data.unit_codes), questions_of(data, rule, every)
    pool, questions, choices = jax.device_put((pool, questions, data.choices(coding)))

    @jax.jit
    def step(key: Any) -> Any:
        asked, before = told(pool, questions, choices, drawn(pool, key), support)
        return asked.unit, before.weight

    jax.block_until_ready(step(jax.random.key(0)))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fits(rows: int) -> dict[str, float]:
    """CPU seconds of a fit of each, the second in this process."""
    world = WORLDS["demo-people"]
    table = world.generate(people=-(-rows // CHOICES_PER_PERSON))
    data = Dataset.from_table(table, world.schema, name="demo-people, more")
    constraint = make_constraint(data.attributes, "demographic_parity", "dialect", bound=0.05)
    asked = {"pref": (PReF(rank=2), {}), "linear adam": (Linear(), {"primal": "adam"}), "linear": (Linear(), {})}
    found = {}
    for name, (model, settings) in asked.items():
        for _ in range(2):
            began = time.process_time()
            sweep.frontier(data, constraint, bounds=[0.05], seeds=1, model=model, settings=Settings(**settings))
            found[name] = time.process_time() - began
    return found


def new_person() -> float:
    """Milliseconds, the median of 100, after compiling."""
    model, choices = PReF(), WORLDS["demo-people"].arrays(0, 1, ANSWERS)
    params = model.init(jax.random.key(0), InputSpec.of(choices))
    before = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32)[None], choices.replace(unit=None))
    of_person = jax.jit(model.law)
    times = []
    for _ in range(101):
        began = time.perf_counter()
        jax.block_until_ready(of_person(params, before))
        times.append(time.perf_counter() - began)
    return 1e3 * float(np.median(times[1:]))


def main(argv: list[str] | None = None) -> int:
    """Print all figures; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/people_cost"))
    parser.add_argument("--parts", default="memory,fits,new")
    parser.add_argument("--people", type=int, default=50_000, help="of memory; 20 rows each")
    parser.add_argument("--rows", type=int, default=100_000, help="of fits")
    parser.add_argument("--peak", nargs=3, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.peak:
        print(peak(*options.peak))
        return 0
    path, people = options.out / "lines.jsonl", options.people
    known = _lines.finished(path, lambda line: tuple(line["what"]))

    def once(what: tuple, make: Any) -> Any:
        if what not in known:
            known[what] = {"what": what, "found": make()}
            _lines.add(path, known[what])
        print(*what, json.dumps(known[what]["found"]), flush=True)
        return known[what]["found"]

    def apart(*size: int) -> int:
        words = [sys.executable, "-m", "benchmarks.people_cost", "--peak", *map(str, size)]
        return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)

    kept = []
    if "memory" in options.parts:
        sizes = [(20 * people, people, 20), (10 * people, people // 2, 20), (20 * people, people, 5)]
        whole, half, _ = (once(("memory", *size), lambda size=size: apart(*size)) for size in sizes)
        kept.append(whole <= TWICE * half and (people < 50_000 or whole < MOST))
    if "fits" in options.parts:
        seconds = once(("fits", options.rows), lambda: fits(options.rows))
        print({name: round(seconds["pref"] / own, 2) for name, own in seconds.items() if name != "pref"})
        kept.append(seconds["pref"] <= FITS * seconds["linear adam"])
    if "new" in options.parts:
        kept.append(once(("new",), new_person) < NEW)
    print("all bars kept" if all(kept) else "a bar is not kept")
    return int(not all(kept))


if __name__ == "__main__":
    sys.exit(main())
