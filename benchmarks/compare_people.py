"""`faro compare` on real people, with every method: which is recommended on each set, whether that is worth it, who is
served by which, and what each costs.

Of every set: nll of new people by each method, gains over the aggregate and over person constants with the intervals
that hold for all of them at once, who is helped and who is hurt; the share of choices that are decided right, of people
on average, of the worst group and of the tail, with intervals of all at once. Bars:

    no harm   on no set does the interval of (recommended - aggregate) lie wholly above .002 nll
    gain      on swissmetro and pluriharms the gain of what is recommended over the aggregate has its interval above 0
    cost      all of polarized-issues, polarized-agree, pluriharms and swissmetro takes at most 60 minutes of CPU

What the best other method gains over person constants is printed whatever its sign.

So that it stays cheap, at most so many people of a set are drawn by a hash of their names (`SETS`). Of texts only
`group_conditional` reads who chooses, and `mixed_logit`, a full covariance of 385 weights of a person, is not asked. A
set has a folder in OUT with a run of every method, the page and the picture, so a benchmark that was stopped goes on
method by method; `cpu.jsonl` there counts the seconds of CPU of all attempts. `--sets` names some. Weights of the
encoder (`make text`) and FARO_DATA are needed.

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
from faro.compare.methods import ALL
from faro.compare.names import AGGREGATE, CONSTANTS, NEW_PEOPLE
from faro.compare.words import FIGURES, called
from faro.data import Dataset
from faro.data.split import uniform
from faro.files import write_json
from faro.report import write_methods

from . import _lines

MINUTES = 60  # of CPU
HARM = 0.002  # nll
SALT = "faro compare people 1"


class Asked(NamedTuple):
    """How a set is compared: choices of support, methods beside the aggregate, and of how many people at most."""

    support: int
    models: tuple[str, ...]
    people: int | None = None
    gains: bool = False


SMALL = tuple(name for name in ALL if name not in (AGGREGATE, "mixed_logit"))
SETS = {
    "swissmetro": Asked(4, (*SMALL, "mixed_logit(draws=32)"), 400, gains=True),
    "pluriharms": Asked(10, SMALL, gains=True),
    "polarized-issues": Asked(5, SMALL, 400),
    "polarized-agree": Asked(5, SMALL, 400),
    "immigration": Asked(2, (CONSTANTS, "pref", "latent_class"), 500),
}
UNTIMED = ("immigration",)


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
    data, clock = table(name, asked.people), Clock(folder / name / "cpu.jsonl")

    def progress(line: str) -> None:
        print(f"{name}: {line}", file=sys.stderr, flush=True)
        clock.turn(line if line.endswith("seeds") else "")

    record = compare(data, asked.models, seeds=seeds, support=asked.support, folder=folder / name, progress=progress)
    clock.turn("")
    write_methods(record, folder / name)
    write_json(place, record)
    return record


class Clock:
    """Seconds of CPU between what is said, a line each in a file that only grows."""

    def __init__(self, path: Path):
        self.path, self.what, self.began = path, "", time.process_time()

    def turn(self, what: str) -> None:
        """Something else begins."""
        now = time.process_time()
        _lines.add(self.path, {"what": self.what.partition(":")[0], "cpu": now - self.began})
        self.what, self.began = what, now


def spent(path: Path) -> dict[str, float]:
    """Seconds of CPU by method, of all attempts; "" is reading, and figures after the last method."""
    found: dict[str, float] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        own = json.loads(line)
        found[own["what"]] = found.get(own["what"], 0.0) + own["cpu"]
    return found


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


def served(row: dict[str, Any]) -> str:
    """Mean, worst group and tail of a method: of the aggregate what they are, of others what they gain."""
    cells = []
    for name in FIGURES:
        of = row[name]
        if of is None:
            cells.append("-")
        elif "gain" in of:
            cells.append(f"{of['gain']:+.3f} ({of['low']:+.3f} to {of['high']:+.3f})")
        else:
            cells.append(f"{of['value']:.3f}")
    return "".join(f"{cell:<27}" for cell in cells)


def told(name: str, record: dict[str, Any], gains: bool, cpu: dict[str, float]) -> bool:
    """Print a set; whether its bars are kept."""
    over = {(gain["method"], gain["over"]): gain for gain in record["gains"]}
    asked = record["asked"][NEW_PEOPLE]
    print(
        f"\n{name}: {asked['people']} new people, {asked['choices']} choices, {len(record['seeds'])} splits, "
        f"after {record['support']} choices of a person; {sum(cpu.values()):.0f} s of CPU"
    )
    print(
        f"  {'':<23}{'nll':<8}{'acc.':<7}{'gain over the aggregate':<32}{'over person constants':<32}helped / hurt  CPU"
    )
    for row in record["methods"]:
        method, of, who = row["method"], row["questions"][NEW_PEOPLE], row["against_aggregate"]
        base = interval(over[method, AGGREGATE]) if (method, AGGREGATE) in over else "-"
        level = interval(over[method, CONSTANTS]) if (method, CONSTANTS) in over else "-"
        hurt = f"{who['helped']:.2f} / {who['hurt']:.2f}" if who else "-"
        line = f"  {method:<23}{of['nll']:.4f}  {of['accuracy']:.3f}  {base:<32}{level:<32}{hurt:<15}"
        print(f"{line}{cpu.get(method, 0):.0f} s")
    for method, why in record["refused"].items():
        print(f"  {method} is left out: {why}")
    field = record["field"]
    group = f"worst group of {field['attribute']}"
    print(f"  {'decided right of ' + str(field['people']):<23}{'mean':<27}{group:<27}tail")
    for row in field["methods"]:
        print(f"  {called(row):<23}{served(row)}".rstrip())
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
    cpu = {name: spent(options.out / name / "cpu.jsonl") for name in names}
    kept = [told(name, record, SETS[name].gains, cpu[name]) for name, record in records.items()]
    minutes = sum(sum(own.values()) for name, own in cpu.items() if name not in UNTIMED) / 60
    cheap = minutes <= MINUTES
    print(f"\ncost: {minutes:.1f} minutes of CPU without {', '.join(UNTIMED)}; bar {MINUTES}: {spelled(cheap)}")
    print("all bars kept" if all(kept) and cheap else "a bar is not kept")
    return 0 if all(kept) and cheap else 1


if __name__ == "__main__":
    sys.exit(main())
