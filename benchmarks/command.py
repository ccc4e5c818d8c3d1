"""The whole command, from the shell: `faro frontier` as a process, cold and warm, beside scripts with fairlearn.

Every contender is a process, from its imports to its files on disk, for the same bounds and seeds:

    cold        an empty folder of kept programs
    warm        the programs that a run before has kept
    old cold, old warm      the same of the sources in --old FOLDER, such as a git worktree of an earlier commit
    ExponentiatedGradient, GridSearch    benchmarks/_reductions.py, with faro's rows of train and dev for every seed

They alternate: a round runs each once, in an order that turns. A line per process goes to --out at once, so the same
command goes on where it was stopped. Shown are wall seconds and CPU seconds (of all threads, user and system),
smallest, median and largest, and the ratio of medians to the first line; ratios of CPU seconds hold on a busy machine
as well.
Then the stages of one cold and one warm process (benchmarks/_stages.py). With --old the bars: wall at most .5 of old
cold and .4 of old warm; and ExponentiatedGradient at least 5 times cold. Ends with 1 if one is missed.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
COMMAND = "import sys; from faro.cli import main; sys.exit(main())"
BARS = (("cold", "old cold", 0.5), ("warm", "old warm", 0.4), ("cold", "ExponentiatedGradient", 0.2))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="compas")
    parser.add_argument("--bounds", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--old", type=Path, help="sources of an earlier commit to compare with")
    parser.add_argument("--only", nargs="+", help="these contenders alone")
    parser.add_argument("--out", type=Path, default=Path("out/command.jsonl"))
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    text = options.out.read_text() if options.out.exists() else ""
    done = {(line["round"], line["who"]): line for line in map(json.loads, text.splitlines())}
    with tempfile.TemporaryDirectory() as place:
        contenders = Contenders(options, Path(place))
        chosen = [name for name in contenders.known if not options.only or name in options.only]
        print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}; load "
              f"{os.getloadavg()[0]:.1f}; {options.data}, {options.bounds} bounds x {options.seeds} seeds")  # fmt: skip
        for turn in range(options.rounds):
            first = turn % len(chosen)
            for name in [*chosen[first:], *chosen[:first]]:
                if (turn, name) not in done:
                    line = {"round": turn, "who": name, **contenders.run(name)}
                    done[turn, name] = line
                    with options.out.open("a") as file:
                        print(json.dumps(line), file=file)
        missed = show(list(done.values()), chosen)
        if not options.only or {"cold", "warm"} <= set(options.only):
            contenders.stages()
    return missed


class Contenders:
    """What is run, in a folder that is empty at first."""

    def __init__(self, options: argparse.Namespace, place: Path):
        self.options, self.place = options, place
        self.known = ["cold", "warm"]
        self.known += ["old cold", "old warm"] if options.old else []
        self.known += ["ExponentiatedGradient", "GridSearch"]
        self.table: list[str] = []

    def run(self, name: str) -> dict[str, float]:
        """Seconds of one process."""
        kind, _, when = name.rpartition(" ")
        if name in ("ExponentiatedGradient", "GridSearch"):
            how = "eg" if name == "ExponentiatedGradient" else "grid"
            words = [str(HERE / "_reductions.py"), how, *self.splits(), str(self.place / "script.csv")]
            return self.timed([sys.executable, *words], {})
        sources = self.options.old if kind == "old" else HERE.parent
        cache = self.place / f"cache {kind}"
        if when == "cold":
            shutil.rmtree(cache, ignore_errors=True)
        elif not cache.exists():
            self.timed([sys.executable, "-c", COMMAND, *self.words()], self.variables(sources, cache))
        return self.timed([sys.executable, "-c", COMMAND, *self.words()], self.variables(sources, cache))

    def words(self) -> list[str]:
        """The command, with a folder that is new."""
        out = tempfile.mkdtemp(dir=self.place)
        asked = [f"--bounds={self.options.bounds}", f"--seeds={self.options.seeds}"]
        return ["frontier", "--data", self.options.data, *asked, "--out", f"{out}/run"]

    def variables(self, sources: Path, cache: Path) -> dict[str, str]:
        return {"PYTHONPATH": str(sources.absolute()), "FARO_CACHE": str(cache)}

    def timed(self, words: list[str], variables: dict[str, str]) -> dict[str, float]:
        own = {key: value for key, value in os.environ.items() if not key.startswith("JAX_COMPILATION_CACHE")}
        if "FARO_DATA" in own:
            own["FARO_DATA"] = os.path.abspath(own["FARO_DATA"])
        load, began = os.getloadavg()[0], time.perf_counter()
        process = subprocess.Popen(words, env=own | variables, cwd=self.place, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
        return {"wall": wall, "cpu": used.ru_utime + used.ru_stime, "load": load}

    def splits(self) -> list[str]:
        """The table and what a script is told of it, as paths."""
        if not self.table:
            import faro
            from faro.data.views import View
            from faro.sweep.grid import default_bounds

            data = faro.load(self.options.data)
            schema, attribute = data.schema, data.schema.attribute(data.defaults["attribute"])
            counted = data.frame[attribute.column].isin(attribute.levels).to_numpy()
            seeds = {}
            for seed in range(self.options.seeds):
                rows = View.of(data, seed).rows
                seeds[seed] = {name: rows[name][counted[rows[name]]].tolist() for name in ("train", "dev")}
            asked = {
                "label": schema.label,
                "group": attribute.column,
                "numeric": list(schema.numeric),
                "categorical": list(schema.categorical),
                "bounds": default_bounds(0.23, self.options.bounds),
                "seeds": seeds,
            }
            table, splits = self.place / "table.csv", self.place / "splits.json"
            data.frame.to_csv(table, index=False)
            splits.write_text(json.dumps(asked))
            self.table = [str(table), str(splits)]
        return self.table

    def stages(self) -> None:
        """Where the seconds of one cold and one warm process went."""
        cache, found = self.place / "cache stages", {}
        for when in ("cold", "warm"):
            out = self.place / f"stages {when}.json"
            words = [sys.executable, "-m", "benchmarks._stages", str(out), *self.words()]
            self.timed(words, self.variables(HERE.parent, cache))
            found[when] = json.loads(out.read_text())
        names = sorted({name for own in found.values() for name in own}, key=lambda name: -found["cold"].get(name, 0))
        print(f"\n{'stage':<12} {'cold s':>8} {'warm s':>8}   load {os.getloadavg()[0]:.1f}")
        for name in names:
            print(f"{name:<12} {found['cold'].get(name, 0):>8.2f} {found['warm'].get(name, 0):>8.2f}")


def show(lines: list[dict], chosen: list[str]) -> int:
    """Print a row per contender and the bars; 1 if one is missed."""
    middle = {}
    print(
        f"\n{'':<22} {'runs':>4} {'wall s (min median max)':>26} {'x':>6} {'CPU s (min median max)':>26} {'x':>6}  load"
    )
    for name in chosen:
        own = [line for line in lines if line["who"] == name]
        row = f"{name:<22} {len(own):>4}"
        for kind in ("wall", "cpu"):
            values = [line[kind] for line in own]
            middle[name, kind] = statistics.median(values)
            spread = f"{min(values):.1f} {middle[name, kind]:.1f} {max(values):.1f}"
            row += f" {spread:>26} {middle[name, kind] / middle[chosen[0], kind]:>6.2f}"
        print(f"{row} {statistics.median(line['load'] for line in own):>5.1f}")
    missed = 0
    for name, other, most in BARS:
        if (name, "wall") in middle and (other, "wall") in middle:
            wall, cpu = (middle[name, kind] / middle[other, kind] for kind in ("wall", "cpu"))
            kept = wall <= most
            missed |= not kept
            print(f"{'kept' if kept else 'MISSED'}: {name} / {other}: wall {wall:.2f}, CPU {cpu:.2f}, at most {most}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
