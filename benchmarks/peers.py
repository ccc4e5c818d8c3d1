"""faro beside its peers: what a 20-point frontier of logistic models costs, and how good it is, in one run.

Against fairlearn (ExponentiatedGradient, GridSearch), cooper, fairret, OxonFair and plain JAX loops, on compas and
adult, under demographic parity and equalized odds: the same splits (faro's), features, loss, bounds and number of
threads. Who they are and how each is called: benchmarks/_contenders.py. Per data set and constraint a table:

    cold, warm  seconds of the first call in a fresh process with no compiled program (importing and loading apart) and
                of the second, as multiples of faro's in the same run. faro's call includes judging its models, the
                others' is fitting alone. "=": no second one, the first took longer than --patience and
                nothing of it is compiled
    default     dev accuracy of faro, interpolated at the dev gap of the peer's model, minus the peer's: mean over its
                models and paired splits, in brackets the lower 95 % limit of the mean (t, over splits)
    at train    the same at the peer's train gap, which is less noisy than the dev gap of a small part
    tuned       as default, with the peer's best of 9 tunings for each bound: within it on train, then the most
                accurate on the selection part
    over train  how far the train gap of the worst model for a bound exceeds it; `over dev`: on average, on dev
    points      how many of the 20 models are not dominated by another of the same method on dev
    failures    fits that raised or gave figures that are not finite, of all that were asked

Where a method takes no bound, its most accurate model within the bound on train answers it, else its smallest gap.
faro is interpolated between its FEASIBLE models and the best constant decision, which has gap 0. Ends with 1 if a bar
of the project is missed. A peer that cannot be imported is a line that says so.
"""

import argparse
import dataclasses
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks._contenders import ATTRIBUTE, CONTENDERS, NOTIONS, POINTS

FAIRLEARN = "ExponentiatedGradient"
BARS = {  # (data, constraint) -> (contender, cold or warm, at least so many times as long as faro)
    ("adult", "demographic_parity"): [
        (FAIRLEARN, "cold", 25),
        ("cooper", "cold", 10),
        ("GridSearch(20)", "cold", 1),
    ],
    ("compas", "demographic_parity"): [(FAIRLEARN, "warm", 30), (FAIRLEARN, "cold", 5)],
}
BELOW = (0.002, 0.005)  # where peers are compared faro has these bounds too: some of them end far below what was asked
LOWEST = -0.01  # of the lower limit of the difference of accuracies
PACKAGES = ("faro-fairness", "jax", "jaxlib", "numpy", "scikit-learn", "fairlearn", "torch", "cooper-optim")
PACKAGES += ("fairret", "oxonfair")


# Machine and processes ------------------------------------------------------------------------------------------------


def machine(threads: int) -> str:
    """One line: what the figures were measured on."""
    model = platform.processor() or platform.machine()
    about = Path("/proc/cpuinfo")
    if about.exists():
        named = [line.partition(":")[2].strip() for line in about.read_text().splitlines() if "model name" in line]
        model = named[0] if named else model
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{model}, {os.cpu_count()} cores, {threads} threads for everyone, {gib:.0f} GiB, {platform.system()}, "
        f"Python {platform.python_version()}, {versions}; load {load()} at the start"
    )


def version(name: str) -> str:
    """Of an installed package."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def load() -> str:
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def environment(threads: int) -> dict[str, str]:
    """The same number of threads for every library, and no compiled program from before."""
    own = {name: text for name, text in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    pools = ("OMP", "OPENBLAS", "MKL", "NUMEXPR")
    own |= {f"{name}_NUM_THREADS": str(threads) for name in pools}
    return own | {"NPROC": str(threads), "JAX_ENABLE_COMPILATION_CACHE": "false", "JAX_PLATFORMS": "cpu"}


def spawn(job: dict, threads: int) -> dict:
    """The answer to a job from a fresh process; a process that dies is a job that failed."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answer = Path(folder, "job.json"), Path(folder, "answer.json")
        asked.write_text(json.dumps(job), "utf-8")
        command = [sys.executable, "-m", "benchmarks._contenders", str(asked), str(answer)]
        ended = subprocess.run(command, env=environment(threads), capture_output=True, text=True)
        if ended.returncode:
            said = ended.stderr.strip().splitlines()[-1:] or [f"ended with {ended.returncode}"]
            fits = [{**fit, "points": [], "failures": said * len(fit["bounds"])} for fit in job.get("fits", [])]
            return {**job, "fits": fits, "died": said[0]}
        return json.loads(answer.read_text("utf-8"))


# What is asked --------------------------------------------------------------------------------------------------------


def timed(case: tuple[str, str], bounds: list[float], options: argparse.Namespace) -> list[dict]:
    """Every contender in a process of its own, one after another, faro first and last in every round."""
    answers = []
    for _ in range(options.repeats):
        for name in ["faro", *(own for own in options.contenders if own != "faro"), "faro"]:
            own = {"seed": 0, "bounds": bounds, "tuning": tunings(name, options)[0]}
            job = {"contender": name, "data": case[0], "notion": case[1], "fits": [own]}
            print(f"  load {load()} | {' '.join(case)} | {name} ...", end=" ", file=sys.stderr, flush=True)
            answer = spawn({**job, "timed": True, "patience": options.patience}, options.threads)
            answers.append(answer)
            fit = answer["fits"][0]
            said = answer.get("missing") or answer.get("died") or f"{fit.get('cold')} s, {fit.get('warm')} s"
            print(said, file=sys.stderr, flush=True)
    return answers


def tunings(name: str, options: argparse.Namespace) -> list[dict]:
    """Of a contender; faro's are its defaults, but for the settings that were asked for."""
    asked = dict(options.settings) if name == "faro" else {}
    return [own | asked for own in CONTENDERS[name].tunings()]


def setting(text: str) -> tuple[str, object]:
    """A name and a value from "name=value"; values as in JSON, else text."""
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def quality_jobs(case: tuple[str, str], bounds: list[float], options: argparse.Namespace) -> list[dict]:
    """Jobs for the paired splits: all bounds for faro, some of them for the others, tuned on fewer splits."""
    some = [bounds[i] for i in np.unique(np.linspace(0, len(bounds) - 1, options.points + 2).round().astype(int))[1:-1]]
    jobs = []
    for name in options.contenders:
        if name.startswith("JAX"):
            continue
        fits: list[dict] = []
        for place in range(options.splits):
            seed, each = options.first + place, tunings(name, options)[: None if place < options.tuned_splits else 1]
            asked = [*BELOW, *bounds] if name == "faro" else some
            fits += [{"seed": seed, "bounds": asked, "tuning": tuning} for tuning in each]
        job = {"contender": name, "data": case[0], "notion": case[1]}
        size = len(fits) if name == "faro" else -(-len(fits) // 4)
        jobs += [{**job, "fits": fits[at : at + size]} for at in range(0, len(fits), size)]
    return jobs


# What is made of it ---------------------------------------------------------------------------------------------------


def picked(name: str, fits: list[dict]) -> list[dict]:
    """For each bound of these fits of one split, the model that answers it, with `bound`; see the module."""
    contender, found = CONTENDERS[name], []
    for i, bound in enumerate(fits[0]["bounds"]):
        if contender.takes_bounds:
            rivals = [fit["points"][i] for fit in fits if len(fit["points"]) > i]
        else:
            rivals = [point for fit in fits for point in fit["points"]]
        rivals = [point for point in rivals if point]
        by = "selection_accuracy" if len(fits) > 1 else "train_accuracy"
        within = [point for point in rivals if point["train_gap"] <= bound]
        if rivals:
            best = max(within, key=lambda p: p[by]) if within else min(rivals, key=lambda p: p["train_gap"])
            found.append({**best, "bound": bound})
    return found


def interpolated(fit: dict, gaps: list[float], part: str = "dev") -> np.ndarray:
    """faro's dev accuracy at these gaps of a part: between its FEASIBLE models and the best constant decision."""
    own = [p for p, status in zip(fit["points"], fit["statuses"], strict=True) if p and status == "FEASIBLE"]
    pairs = sorted([(0.0, fit["constant"]), *((p[f"{part}_gap"], p["dev_accuracy"]) for p in own)])
    return np.interp(gaps, *zip(*pairs, strict=True))


def difference(name: str, faro: dict[int, dict], peers: dict[int, list[dict]], part: str = "dev") -> dict | None:
    """faro's dev accuracy minus the peer's, at the peer's gaps on a part: mean over splits, its lower 95 % limit (None:
    one split), N."""
    each = []
    for seed, fits in sorted(peers.items()):
        points = picked(name, fits)
        if points and seed in faro and faro[seed]["points"]:
            ours = interpolated(faro[seed], [point[f"{part}_gap"] for point in points], part)
            each.append(float(np.mean(ours - [point["dev_accuracy"] for point in points])))
    if not each:
        return None
    mean, count = float(np.mean(each)), len(each)
    error = float(np.std(each, ddof=1) / np.sqrt(count)) if count > 1 else None
    lower = None if error is None else mean - float(stats.t.ppf(0.95, count - 1)) * error
    return {"mean": mean, "lower": lower, "splits": count}


def non_dominated(points: list[dict]) -> int:
    """How many of them no other one beats in dev accuracy or gap without losing in the other."""
    pairs = np.array([(p["dev_accuracy"], -p["dev_gap"]) for p in points if p]).reshape(-1, 2)
    no_worse = (pairs[None] >= pairs[:, None]).all(2) & (pairs[None] > pairs[:, None]).any(2)
    return int((~no_worse.any(1)).sum())


def over(points: list[dict], part: str) -> list[float]:
    """How far the gap on a part exceeds the bound, 0 if it does not."""
    return [max(point[f"{part}_gap"] - point["bound"], 0.0) for point in points]


def lines(name: str, answers: list[dict], qualities: list[dict]) -> dict:
    """The line of a contender in the table of a case."""
    mine = [answer for answer in [*answers, *qualities] if answer["contender"] == name]
    missing = next((answer["missing"] for answer in mine if "missing" in answer), None)
    line: dict = {"name": name, "missing": missing, "remark": CONTENDERS[name].remark}
    if missing or not mine:
        return line
    for kind in ("cold", "warm"):
        own, base = ([_seconds(a, kind) for a in answers if a["contender"] == who] for who in (name, "faro"))
        own, base = ([value for value in values if value] for values in (own, base))
        line[kind] = float(np.median(own)) if own else None
        line[f"{kind}_ratio"] = line[kind] / float(np.median(base)) if own and base else None
    first = next((a["fits"][0] for a in answers if a["contender"] == name), None)
    line["patience"] = bool(first and first.get("cold") and not first.get("warm"))
    line["points"] = non_dominated(first["points"]) if first and first["points"] else None
    line["training"] = first["training"] / first["cold"] if first and first.get("training") else None
    warm = first and first.get("warm_training") and first.get("warm")
    line["warm_training"] = first["warm_training"] / first["warm"] if warm else None
    fits = [fit for answer in mine for fit in answer["fits"]]
    line["failures"] = sum(len(fit["failures"]) for fit in fits)
    line["asked"] = sum(max(len(fit["bounds"]), len(fit["points"])) for fit in fits)
    default = CONTENDERS[name].tunings()[0]
    splits: dict[int, list[dict]] = {}
    for fit in [fit for answer in qualities if answer["contender"] == name for fit in answer["fits"]]:
        splits.setdefault(fit["seed"], []).append(fit)
    plain = {seed: own for seed, fits in splits.items() if (own := [fit for fit in fits if fit["tuning"] == default])}
    tuned = {seed: fits for seed, fits in splits.items() if len(fits) > 1}
    faro = {f["seed"]: f for a in qualities if a["contender"] == "faro" for f in a["fits"] if f["points"]}
    if name == "faro":
        feasible = [
            {**point, "bound": bound}
            for fit in faro.values()
            for point, bound, status in zip(fit["points"], fit["bounds"], fit["statuses"], strict=True)
            if point and status == "FEASIBLE"
        ]
        line["feasible"] = len(feasible) / max(1, sum(len(fit["bounds"]) for fit in faro.values()))
        line["room"] = min((point["bound"] - point["train_gap"] for point in feasible), default=None)
        points = feasible
    else:
        line["default"] = difference(name, faro, plain) if plain else None
        line["at_train"] = difference(name, faro, plain, "train") if plain else None
        line["tuned"] = difference(name, faro, tuned) if tuned else None
        points = [point for fits in plain.values() for point in picked(name, fits)]
    points = points or (picked(name, [first]) if first and first["points"] else [])
    line["over_train"] = max(over(points, "train"), default=None)
    line["over_dev"] = float(np.mean(over(points, "dev"))) if points else None
    return line


def _seconds(answer: dict, kind: str) -> float | None:
    fit = {} if "missing" in answer else answer["fits"][0]
    return fit.get(kind) or (None if CONTENDERS[answer["contender"]].compiles else fit.get("cold"))


@dataclasses.dataclass(frozen=True)
class Bar:
    """What was promised, and whether it was kept."""

    what: str
    value: float | None
    least: float

    @property
    def kept(self) -> bool:
        return self.value is not None and self.value > self.least

    def __str__(self) -> str:
        shown = "not measured" if self.value is None else f"{self.value:.4g}"
        return f"{'pass  ' if self.kept else 'MISSED'} {self.what}: {shown} (more than {self.least:g})"


def bars(case: tuple[str, str], found: list[dict], timed: bool = True) -> list[Bar]:
    """The bars of a case; those of contenders that were not asked for, or are not installed, are left out."""
    by, kept = {line["name"]: line for line in found if not line["missing"]}, []
    where = " ".join(case)
    for name, kind, least in BARS.get(case, []) if timed else []:
        if name in by:
            line = by[name]
            kept.append(Bar(f"{where}: {name} / faro, {kind}", line.get(f"{kind}_ratio"), least))
    if "faro" in by and by["faro"].get("room") is not None:
        kept.append(Bar(f"{where}: least room of a FEASIBLE train gap below its bound", by["faro"]["room"], -1e-9))
    for name, line in by.items():
        for which in ("default", "tuned"):
            own = line.get(which)
            if CONTENDERS[name].in_processing and own and own["lower"] is not None:
                what = f"{where}: accuracy at matched gap minus {name}'s, {which}, lower limit, {own['splits']} splits"
                kept.append(Bar(what, own["lower"], LOWEST))
    return kept


HEAD = "| | cold | warm | default | at train gap | tuned | over train | over dev | points | failures | |"


def table(found: list[dict]) -> str:
    """The lines as a table in Markdown."""
    rows = [HEAD, "|" + "---|" * (HEAD.count("|") - 1)]
    for line in found:
        if line["missing"]:
            rows.append(f"| {line['name']} | not installed |" + " |" * 8 + f" {line['missing']} |")
            continue
        times = []
        for kind in ("cold", "warm"):
            own, ratio = line.get(kind), line.get(f"{kind}_ratio")
            times.append("-" if own is None else f"{own:.2f} s" if line["name"] == "faro" else f"{ratio:.1f} x")
        if line.get("patience"):
            times[1] = f"= {times[1]}"
        cells = [*times, *(_shown(line.get(which)) for which in ("default", "at_train", "tuned"))]
        cells += ["-" if line.get(k) is None else f"{line[k]:.4f}" for k in ("over_train", "over_dev")]
        cells += ["-" if line.get("points") is None else f"{line['points']}"]
        cells += [f"{line.get('failures', 0)} of {line.get('asked', 0)}", line["remark"]]
        if line["name"] == "faro" and line.get("training"):
            cells[-1] = f"training is {line['training']:.0%} of the cold call"
            cells[-1] += f", {line['warm_training']:.0%} of the warm one" if line.get("warm_training") else ""
            cells[-1] += f"; {line['feasible']:.0%} FEASIBLE" if line.get("feasible") else ""
        rows.append(f"| {line['name']} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _shown(own: dict | None) -> str:
    if own is None:
        return "-"
    lower = "" if own["lower"] is None else f"{own['lower']:+.4f}, "
    return f"{own['mean']:+.4f} ({lower}N={own['splits']})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["compas", "adult"], help="compas, adult, synthetic:N,D,GROUPS")
    parser.add_argument("--notions", nargs="+", default=list(NOTIONS), choices=NOTIONS)
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS), choices=list(CONTENDERS))
    parser.add_argument("--splits", type=int, default=10, help="paired splits of the comparison of quality")
    parser.add_argument("--first", type=int, default=0, help="the first of them; defaults were chosen on 0 to 21")
    parser.add_argument("--points", type=int, default=3, help="bounds of the 20 at which peers are compared")
    parser.add_argument("--tuned-splits", type=int, default=1, help="of the splits, on how many peers are tuned")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1), help="of every timed contender")
    parser.add_argument("--repeats", type=int, default=1, help="rounds of timing; ratios are of medians")
    parser.add_argument("--patience", type=float, default=20, help="seconds; no second call after a longer first one")
    parser.add_argument("--settings", nargs="+", type=setting, default=[], help="of faro, as primal=sqp temperature=1")
    parser.add_argument("--no-times", action="store_true", help="quality only")
    parser.add_argument("--out", type=Path, help="everything that was measured, as JSON")
    options = parser.parse_args()
    if unknown := [own for own in options.data if own not in ATTRIBUTE and not own.startswith("synthetic:")]:
        parser.error(f"unknown data {', '.join(unknown)}")
    options.contenders = ["faro", *(name for name in options.contenders if name != "faro")]
    began, record, kept = time.perf_counter(), [], []
    about = machine(options.threads)
    print(f"{about}\n{POINTS} bounds, seconds of {options.repeats} round(s)", flush=True)
    for case in [(data, notion) for data in options.data for notion in options.notions]:
        laid = spawn({"contender": "grid", "data": case[0], "notion": case[1]}, options.threads)
        if "died" in laid:
            sys.exit(f"no bounds for {' '.join(case)}: {laid['died']}")
        bounds = laid["grid"]
        times = [] if options.no_times else timed(case, bounds, options)
        jobs = quality_jobs(case, bounds, options)
        with ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool:  # not timed: a process per core
            qualities = list(pool.map(lambda job: spawn(job, 1), jobs))
        found = [lines(name, times, qualities) for name in options.contenders]
        own = bars(case, found, not options.no_times)
        kept += own
        print(f"\n{case[0]}, {case[1]}, bounds {bounds[0]:g} to {bounds[-1]:g}; load {load()}\n")
        print(table(found), "", *own, sep="\n", flush=True)
        record.append({"case": case, "bounds": bounds, "lines": found, "timed": times, "quality": qualities})
        if options.out:
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps({"machine": about, "cases": record}), "utf-8")
    missed = [bar for bar in kept if not bar.kept]
    print(f"\nbars: {len(kept) - len(missed)} met, {len(missed)} MISSED; {time.perf_counter() - began:.0f} s")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
