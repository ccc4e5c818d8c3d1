"""Is it worth training under the rule that will be used? Frontiers trained (a) under parity read by the KL-tilted
rule and (b) under argmax parity, both read by the tilted rule at beta .1, .5 and 1 on held-out people.

A sweep is bounds x seeds of `faro frontier`; (b) is one sweep for all beta. Every trial is a point of its seed: the gap
of the policy, and a yardstick that was fixed beforehand:

    demo    mean true utility of what the policy takes, in logits above that of chance, on 30,000 pairs of fresh people
    others  agreement: mean probability of what was chosen, on the dev people of the seed

A frontier is the lines between the points of a seed that no other dominates. Two are compared at five gaps, evenly from
the least that both reach to the largest that both need. Differences (a) - (b) are paired by seed, with intervals of
Student's t at .95; seeds share one table, so these say how splits vary. Bar: on demo the mean difference is not below 0
by more than .005, at no beta; of others the interval is printed, whatever its sign. A line a sweep stands in
OUT/rules.jsonl, and every sweep has a folder, so a run that was stopped goes on.

    python -m benchmarks rules -- --out out/rules
    python -m benchmarks rules -- --data demo --bounds 3 --seeds 2 --steps 20
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy.stats import t as student

import constraints as ct
import faro
from faro import sweep
from faro.data import Dataset
from faro.data.demo import BETA, COMMUNITIES, FEATURES, GAMMA
from faro.evaluate.pareto import non_dominated
from faro.store.model import TrainedModel
from faro.training.settings import Settings

from . import _lines

BETAS = (0.1, 0.5, 1.0)
NOTIONS = {"demo": "dialect", "immigration": "CountryOfOrigin", "bbq": "person"}  # whose parity
ARGMAX = "argmax"
FRESH = 30_000  # pairs of people who were in no part
PLACES = 5  # gaps at which two frontiers are compared
BAR = 0.005


def utility(data: Dataset) -> np.ndarray:
    """True utility of the alternatives of the demo less the mean of their choice, `[n, 2]` logits."""
    frame = data.frame
    who = (frame["community"] == COMMUNITIES[1]).to_numpy().astype(int)
    costs = GAMMA[who] * (frame["dialect"] == "B").to_numpy()
    values = ((frame[list(FEATURES)].to_numpy(float) * BETA[who]).sum(1) + costs).reshape(-1, 2)
    return values - values.mean(1, keepdims=True)


class Held:
    """What a seed holds back, and what taking each alternative of it is worth, `[n, K]`."""

    def __init__(self, data: Dataset):
        self.data = data
        self.fresh = None if data.population is None else data.population.dataset(FRESH)
        self.worth = None if self.fresh is None else utility(self.fresh)

    def points(self, constraint: ct.Constraint, model: TrainedModel) -> dict[str, list[float]]:
        """By every rule that is read: gap, and yardstick."""
        seed = int(model.about["seed"])
        some = self.fresh or self.data.take(self.data.rows("dev", seed))
        with jax.enable_x64(True):
            choices = some.choices(model.coding, **constraint.needs(), dtype=np.float64)
            worth = np.asarray(choices.chosen) if self.worth is None else self.worth
            rewards = np.nan_to_num(model.rewards(some))
            return {
                ct.rule_text(rule): [float(x) for x in read(rule, constraint, rewards, choices, worth)]
                for rule in (ct.KLTilted(beta=beta) for beta in BETAS)
            }


@jax.jit
def read(rule: Any, constraint: Any, rewards: Any, choices: Any, worth: Any) -> Any:
    """Gap of decisions by a rule, and the mean of what they are worth."""
    outcome = ct.decide(rule, rewards, choices)
    gap = constraint.gap(constraint.statistics(outcome, choices)).max()
    return gap, (outcome.decisions * worth).sum(-1).mean()


def swept(
    data: Dataset, name: str, rule: str, bounds: int, seeds: int, settings: dict[str, Any], folder: Path
) -> dict[str, Any]:
    """The points of a sweep under parity read by this rule: of every seed a list of what each rule reads."""
    constraint = ct.demographic_parity(data.attributes[NOTIONS[name]])
    asked = settings | ({} if rule == ARGMAX else {"rule": rule, "candidates": "enumerated"})
    began = time.process_time()
    run = sweep.frontier(data, constraint, bounds=bounds, seeds=seeds, settings=Settings.of(asked), folder=folder)
    trained, held = time.process_time() - began, Held(data)
    points: dict[str, list[Any]] = {str(seed): [] for seed in range(seeds)}
    once = functools.cache(lambda row: held.points(constraint, run.models[row]))
    rows = {model: row for row, model in enumerate(run.table["model"])}  # one model may answer several bounds
    for seed, model, status in zip(run.table["seed"], run.table["model"], run.table["status"], strict=True):
        if status != "DIVERGED":
            points[str(seed)].append(once(rows[model]))
    feasible = float((run.table["status"] == "FEASIBLE").mean())
    return {"points": points, "feasible": feasible, "cpu seconds": round(trained)}


def frontier_of(points: list[dict[str, list[float]]], rule: str) -> tuple[np.ndarray, np.ndarray]:
    """Gaps and values of the points of a seed that none dominates, by gap."""
    gap, value = np.array([point[rule] for point in points]).T
    kept = np.flatnonzero(non_dominated(value, gap, np.ones(len(gap), bool)))
    kept = kept[np.unique(gap[kept], return_index=True)[1]]
    return gap[kept], value[kept]


def differences(ours: list, others: list, rule: str) -> np.ndarray | None:
    """`[3, PLACES]` gaps at which two frontiers of a seed are compared, the values of the first, and differences; None
    where no gap is common to both."""
    (a, of_a), (b, of_b) = frontier_of(ours, rule), frontier_of(others, rule)
    low, high = max(a[0], b[0]), min(a[-1], b[-1])
    if not low < high:
        return None
    gaps = np.linspace(low, high, PLACES)
    at = np.interp(gaps, a, of_a)
    return np.stack([gaps, at, at - np.interp(gaps, b, of_b)])


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean, and the interval of Student's t at .95."""
    mean, n = float(values.mean()), len(values)
    half = float(student.ppf(0.975, n - 1) * values.std(ddof=1) / n**0.5) if n > 1 else float("nan")
    return mean, mean - half, mean + half


def compared(found: dict[str, Any], rule: str, seeds: int) -> tuple[str, float]:
    """A line of the table, and the mean difference."""
    pairs = [differences(found[rule]["points"][str(s)], found[ARGMAX]["points"][str(s)], rule) for s in range(seeds)]
    there = np.array([pair for pair in pairs if pair is not None])
    if not len(there):
        return f"| {rule} | no gap is common to both frontiers |", 0.0
    mean, low, high = interval(there[:, 2].mean(1))
    least, below, above = interval(there[:, 2, 0])
    cells = [rule, f"{there[:, 0, 0].mean():.3f} to {there[:, 0, -1].mean():.3f}", f"{there[:, 1].mean():.3f}"]
    cells += [f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]", f"{least:+.4f} [{below:+.4f}, {above:+.4f}]", str(len(there))]
    return f"| {' | '.join(cells)} |", mean


def main(argv: list[str] | None = None) -> int:
    """Print a table a data set; 1 if the bar of demo is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/rules"))
    parser.add_argument("--data", nargs="+", default=list(NOTIONS), choices=list(NOTIONS), metavar="NAME")
    parser.add_argument("--bounds", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, help="of every trial (default: training's own)")
    options = parser.parse_args(argv)
    path, settings = options.out / "rules.jsonl", {"steps": options.steps} if options.steps else {}
    known, kept = _lines.finished(path, lambda line: tuple(line["what"])), True
    rules = [ct.rule_text(ct.KLTilted(beta=beta)) for beta in BETAS]
    for name in options.data:
        data, found = None, {}
        for rule in (ARGMAX, *rules):
            what = (name, rule, options.bounds, options.seeds, options.steps or 0)
            if what not in known:
                data = faro.load(name) if data is None else data
                folder = options.out / "-".join(map(str, what))
                of_sweep = swept(data, name, rule, options.bounds, options.seeds, settings, folder)
                known[what] = {"what": what, "found": of_sweep}
                _lines.add(path, known[what])
            found[rule] = known[what]["found"]
            line = f"{name} under {rule}: {found[rule]['feasible']:.2f} FEASIBLE, {found[rule]['cpu seconds']} s of CPU"
            print(line, flush=True)
        print("| rule | gaps compared | value of (a) | (a) - (b) | at the least gap | seeds |\n" + "|---" * 6 + "|")
        for rule in rules:
            line, mean = compared(found, rule, options.seeds)
            kept &= name != "demo" or mean >= -BAR
            print(line, flush=True)
    if "demo" in options.data:
        print("the bar of demo is kept" if kept else "the bar of demo is MISSED")
    return int(not kept)


if __name__ == "__main__":
    sys.exit(main())
