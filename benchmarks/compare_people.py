"""`faro compare` on real people: which method is recommended on each set, and whether what is recommended is worth it.

Of every set: nll of new people by each method, gains over the aggregate and over person constants with the intervals
that hold for all of them at once, who is helped and who is hurt. Bars:

    no harm   on no set does the interval of (recommended - aggregate) lie wholly above .002 nll
    gain      on swissmetro and pluriharms the gain of what is recommended over the aggregate has its interval above 0

What the best other method gains over person constants is printed whatever its sign.

So that it stays cheap, at most so many people of a set are drawn by a hash of their names (`SETS`), and of texts no
method reads who chooses: products of 384 numbers with groups take minutes. A set has a folder in OUT with a run of
every method, so a benchmark that was stopped goes on; `--sets` names some. Weights of the encoder (`make text`) and
FARO_DATA are needed.

`python -m benchmarks compare_people -- --out out/compare-people`
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import faro
from faro.compare.compare import compare
from faro.compare.names import AGGREGATE, CONSTANTS, NEW_PEOPLE
from faro.data import Dataset
from faro.data.split import uniform
from faro.files import write_json

HARM = 0.002  # nll
SALT = "faro compare people 1"


class Asked(NamedTuple):
    """How a set is compared: choices of support, methods beside the aggregate, and of how many people at most."""

    support: int
    models: tuple[str, ...]
    people: int | None = None
    gains: bool = False


SETS = {
    "swissmetro": Asked(4, (CONSTANTS, "mixed_logit(draws=32)", "latent_class"), 400, gains=True),
    "pluriharms": Asked(10, (CONSTANTS, "pref", "latent_class"), gains=True),
    "immigration": Asked(2, (CONSTANTS, "pref", "latent_class"), 500),
    "polarized-issues": Asked(5, (CONSTANTS, "pref", "latent_class"), 400),
    "polarized-agree": Asked(5, (CONSTANTS, "pref", "latent_class"), 400),
}


def table(name: str, people: int | None) -> Dataset:
    """A set, of at most so many people; of texts without features of the chooser."""
    data = faro.load(name)
    if data.schema.texts:
        plain = data.schema.replace(context_categorical=(), context_numeric=())
        data = Dataset.from_table(data.frame, plain, name=name)
    names = np.unique(data.units)
    if people is None or len(names) <= people:
        return data
    kept = names[np.argsort(uniform(SALT, names.tolist()), kind="stable")[:people]]
    return data.take(np.flatnonzero(np.isin(data.units, kept)))


def found(name: str, asked: Asked, seeds: int, folder: Path) -> dict[str, Any]:
    """The comparison of a set, made or read."""
    place = folder / name / "comparison.json"
    if place.exists():
        record = json.loads(place.read_text(encoding="utf-8"))
        if len(record["seeds"]) == seeds:
            return record
    began = time.perf_counter(), time.process_time()
    data = table(name, asked.people)
    record = compare(
        data,
        asked.models,
        seeds=seeds,
        support=asked.support,
        folder=folder / name,
        progress=lambda line: print(f"{name}: {line}", file=sys.stderr, flush=True),
    )
    record["took"] = {"wall": time.perf_counter() - began[0], "cpu": time.process_time() - began[1]}
    write_json(place, record)
    return record


def first(record: dict[str, Any]) -> str:
    """The method beside the aggregate and person constants with the least nll on the selection part."""
    rows = [row for row in record["methods"] if row["method"] not in (AGGREGATE, CONSTANTS) and not row["constrained"]]
    return min(rows, key=lambda row: row["selection_nll"])["method"]


def interval(gain: dict[str, Any]) -> str:
    """A gain and its interval."""
    return f"{gain['value']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f})"


def spelled(kept: bool) -> str:
    """A bar."""
    return "kept" if kept else "NOT KEPT"


def told(name: str, record: dict[str, Any], gains: bool) -> bool:
    """Print a set; whether its bars are kept."""
    over = {(gain["method"], gain["over"]): gain for gain in record["gains"]}
    asked, took = record["asked"][NEW_PEOPLE], record.get("took", {})
    print(
        f"\n{name}: {asked['people']} new people, {asked['choices']} choices, {len(record['seeds'])} splits, "
        f"after {record['support']} choices of a person; {took.get('cpu', 0):.0f} s of CPU"
    )
    for row in record["methods"]:
        method, of, who = row["method"], row["questions"][NEW_PEOPLE], row["against_aggregate"]
        base = interval(over[method, AGGREGATE]) if (method, AGGREGATE) in over else "-"
        level = interval(over[method, CONSTANTS]) if (method, CONSTANTS) in over else "-"
        hurt = f"{who['helped']:.2f} / {who['hurt']:.2f}" if who else "-"
        print(f"  {method:<23}{of['nll']:.4f}  {of['accuracy']:.3f}  {base:<32}{level:<32}{hurt}")
    recommended, best = record["recommended"]["method"], first(record)
    gain = over.get((recommended, AGGREGATE), {"low": 0.0, "high": 0.0})
    harmless, kept = gain["high"] >= -HARM, not gains or gain["low"] > 0
    bars = f"no harm: {spelled(harmless)}" + (f"; gain: {spelled(kept)}" if gains else "")
    print(f"  recommended: {recommended}; {bars}; {best} over person constants {interval(over[best, CONSTANTS])}")
    return kept and harmless


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS), help="some of them, by name")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("out/compare-people"))
    options = parser.parse_args()
    names = options.sets.split(",")
    records = {name: found(name, SETS[name], options.seeds, options.out) for name in names}
    print(f"  {'':<23}{'nll':<8}{'acc.':<7}{'gain over the aggregate':<32}{'over person constants':<32}helped / hurt")
    kept = [told(name, record, SETS[name].gains) for name, record in records.items()]
    print("\nall bars kept" if all(kept) else "\na bar is not kept")
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
