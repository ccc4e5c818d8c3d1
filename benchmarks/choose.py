"""Whether `faro choose` names the member that will pass: simulated projects from a frontier to the gate, by counts.

A project has 2 to 4 groups, 100 to 2,500 people of each in its dev part and as many in its gate part, a policy
(parity within .05 to .15 at delta .05, by exact2), and 3 seeds of 8 members: 7 bounds and the unconstrained one. A
population gap is the bound, a floor that training could not get below, chance of the member's own, and chance that
its seed's train people brought, half as large as that of dev. Seeds have dev people of their own; within a seed four
in five people are decided by one and the same order in all members, so that luck on dev is shared. Utility is 1 for
the unconstrained member and falls, at first slowly, to .2 to .8 for the smallest bound. Mixes, by the true power of
the members:

    easy     some member passes with .98 or more, the unconstrained one with less than .5
    boundary the best passes with .80 to .98
    none     the best passes with less than .80
    edge     every member's population gap is the policy's bound itself: whatever passes is a false pass

Every rule names one member from the dev counts; it is asked at GATES gates of new people, each decided by the exact
test. A line per project stands in OUT/projects.jsonl, so a run that was stopped goes on. Bars, at the end, are the
project's; a missed one ends with 1.

`python -m benchmarks choose -- --count 700 --out out/choose`
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np

from faro.certify import predicted
from faro.certify.bounds import two_binomials
from faro.certify.bounds.binomial import Floats, clopper_pearson_lower
from faro.certify.bounds.two_binomials import Counts
from faro.certify.predicted import Draws, Gate

from . import _lines

DELTA = 0.05
SEEDS, BOUNDS = 3, 8
MEMBERS = SEEDS * BOUNDS
SHARED = 0.8  # of the people: decided by one order in all members
DRAWS = 400
GATES = 2
SIZES = np.array([100, 160, 250, 400, 630, 1000, 1600, 2500])  # of a group; few, so that widths are found again
MIXES: dict[str, Callable[[Floats], bool]] = {
    "easy": lambda power: bool(power.max() >= 0.98 and power[BOUNDS - 1] < 0.5),
    "boundary": lambda power: bool(0.8 <= power.max() < 0.98),
    "none": lambda power: bool(power.max() < 0.8),
    "edge": lambda power: True,
}
RULES = ("oracle", "choose", "unpriced", "plug-in", "smallest bound", "half the gap", "dev gap alone")


class Project(NamedTuple):
    """The population: a policy's bound, people in each group `[G]`, rates `[M, G]`, utilities and bounds `[M]`."""

    bound: Decimal
    n: np.ndarray
    rates: Floats
    utility: Floats
    bounds: Floats

    @property
    def gaps(self) -> Floats:
        return np.ptp(self.rates, 1)

    def seed(self, number: int) -> Project:
        """The members of a seed."""
        return self._replace(rates=self.rates[number * BOUNDS : (number + 1) * BOUNDS])


class People(NamedTuple):
    """A sample: of those decided by the shared order how many lie between neighbouring rates, `[G, M + 1]`; of the
    others, `[G]`, how many each member chose, `[G, M]`."""

    ordered: np.ndarray
    chosen: np.ndarray
    others: np.ndarray


# A project ------------------------------------------------------------------------------------------------------------


def invented(rng: np.random.Generator, edge: bool) -> Project:
    """Any project."""
    groups = int(rng.choice([2, 2, 3, 4]))
    bound = Decimal(str(rng.choice(["0.05", "0.08", "0.1", "0.15"])))
    largest = rng.integers(1, len(SIZES))
    n = SIZES[rng.integers(max(0, largest - 2), largest + 1, groups)]
    free, floor = rng.uniform(0.15, 0.35), rng.uniform(0, 0.6) * float(bound)
    bounds = np.tile(np.r_[np.geomspace(0.01, free, BOUNDS - 1), free], SEEDS)
    error = 0.5 * np.sqrt((1 / n.astype(float)).max())  # of a rate on dev, at most
    of_seed = np.repeat(rng.normal(0, 0.5 * np.sqrt(2) * error, SEEDS), BOUNDS)
    gaps = abs(np.hypot(bounds, floor) * np.exp(rng.normal(0, 0.06, MEMBERS)) + of_seed)
    gaps = np.full(MEMBERS, float(bound)) if edge else gaps
    place = np.r_[0, 1, rng.uniform(0, 1, groups - 2)]
    kept, eased = rng.uniform(0.2, 0.8), 1 - (1 - bounds / free) ** 2
    utility = kept + (1 - kept) * eased + rng.normal(0, 0.01, MEMBERS)
    return Project(bound, n, np.clip(rng.uniform(0.1, 0.6) + gaps[:, None] * place, 0, 1), utility, bounds)


def sample(rng: np.random.Generator, own: Project) -> People:
    groups = len(own.n)
    shared = rng.binomial(own.n, SHARED)
    edges = np.sort(own.rates, 0)
    between = np.diff(np.concatenate([np.zeros((1, groups)), edges, np.ones((1, groups))]), axis=0)
    ordered = np.stack([rng.multinomial(shared[g], between[:, g]) for g in range(groups)])
    return People(ordered, rng.binomial((own.n - shared)[:, None], own.rates.T), own.n - shared)


def chosen_of(own: Project, ordered: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """`[..., M, G]` how many each member chose, of arrays `[..., G, M + 1]` and `[..., G, M]`."""
    rank = np.argsort(np.argsort(own.rates, 0), 0)
    below = np.cumsum(ordered, -1)
    found = [below[..., g, rank[:, g]] + chosen[..., g, :] for g in range(len(own.n))]
    return np.stack(found, -1)


def drawn(rng: np.random.Generator, own: Project, seen: People) -> tuple[Floats, Floats]:
    """Rates `once` and `twice` `[B, M, G]`: of counts a bootstrap over units is a draw of gammas and of Poissons; half
    a person whom all chose and half a one whom none chose are added."""
    halves = np.zeros(seen.ordered.shape)
    halves[:, [0, -1]] = 0.5
    shape = (DRAWS, *seen.chosen.shape)
    parts = [
        rng.standard_gamma(np.broadcast_to(seen.ordered + halves, (DRAWS, *halves.shape))),
        rng.standard_gamma(np.broadcast_to(seen.chosen, shape)),
        rng.standard_gamma(np.broadcast_to(seen.others[:, None] - seen.chosen, shape)),
    ]

    def rates(ordered: Floats, chosen: Floats, left: Floats) -> Floats:
        everyone = ordered.sum(-1)[:, None] + np.moveaxis(chosen + left, -1, -2)
        return chosen_of(own, ordered, chosen) / everyone

    return rates(*parts), rates(*(rng.poisson(part).astype(float) for part in parts))


# The gate -------------------------------------------------------------------------------------------------------------


@functools.cache
def width(n_a: int, n_b: int, percent_a: int, percent_b: int) -> float:
    """What exact2 adds to a difference of two rates, in standard errors."""
    a, b = (Counts(round(n * percent / 100), n) for n, percent in ((n_a, percent_a), (n_b, percent_b)))
    error = np.sqrt(sum(one.k / one.n * (1 - one.k / one.n) / one.n for one in (a, b)))
    return (float(two_binomials.upper(a, b, DELTA)) - a.k / a.n + b.k / b.n) / error


def measured(own: Project, rates: Floats) -> Callable[[Gate, int], Floats]:
    """Widths at the rates `[M, G]` of a member."""

    def measure(gate: Gate, member: int) -> Floats:
        percent = np.clip(np.round(100 * rates[member] / 5).astype(int) * 5, 1, 99)
        pairs = zip(gate.high.tolist(), gate.low.tolist(), strict=True)
        return np.array([width(int(own.n[a]), int(own.n[b]), int(percent[a]), int(percent[b])) for a, b in pairs])

    return measure


def asked(own: Project) -> Gate:
    """What the policy asks of every member, before any width is measured."""
    pairs = np.array([(a, b) for a in range(len(own.n)) for b in range(len(own.n)) if a != b])
    each = np.full(len(pairs), float(own.bound))
    size = np.broadcast_to(own.n, (MEMBERS, len(own.n))).astype(float)
    return Gate(np.arange(len(pairs)), pairs[:, 0], pairs[:, 1], each, np.full(len(pairs), predicted.USUAL), size)


def passes(own: Project, counts: np.ndarray) -> bool:
    """What the gate says of counts `[G]`: the exact test of every pair at the whole level."""
    rates = counts / own.n
    each = [Counts(int(k), int(n)) for k, n in zip(counts, own.n, strict=True)]
    order = sorted(((a, b) for a in range(len(each)) for b in range(len(each)) if a != b),
                   key=lambda pair: rates[pair[1]] - rates[pair[0]])  # fmt: skip
    return all(two_binomials.rejects(each[a], each[b], own.bound, DELTA) for a, b in order)


def true_powers(rng: np.random.Generator, own: Project, gate: Gate, draws: int) -> Floats:
    return gate.passes(rng.binomial(own.n, own.rates, (draws, *own.rates.shape)) / own.n).mean(0)


# One project ----------------------------------------------------------------------------------------------------------


def follow(mix: str, seed: int) -> dict:
    """Of every rule: share of gates passed, what it stated, true power, utility got, whether at or over the bound."""
    rng = np.random.default_rng([list(MIXES).index(mix), seed])
    while True:
        own = invented(rng, mix == "edge")
        gate = asked(own)
        if MIXES[mix](true_powers(rng, own, gate, 200)):
            power = measured_powers(rng, own, gate)
            if MIXES[mix](power):
                break
    of_seeds = [own.seed(number) for number in range(SEEDS)]
    seen = [sample(rng, each) for each in of_seeds]
    dev = np.concatenate([chosen_of(each, s.ordered, s.chosen) for each, s in zip(of_seeds, seen, strict=True)]) / own.n
    noise = 0.5 / np.sqrt(own.n.sum())  # of a difference of accuracies on these people
    utility = own.utility + rng.normal(0, noise, MEMBERS)
    rates = [drawn(rng, each, people) for each, people in zip(of_seeds, seen, strict=True)]
    once, twice = (np.concatenate(part, 1) for part in zip(*rates, strict=True))
    draws = Draws(once, twice, utility + rng.normal(0, noise, (DRAWS, MEMBERS)))
    found = predicted.choose(gate, draws, utility, measured(own, dev), np.tile(np.arange(BOUNDS), SEEDS))
    plug = predicted.powers(found.gate, draws)
    gap, feasible = np.ptp(dev, 1), power >= predicted.WANTED
    named = {
        "oracle": int(np.argmax(np.where(feasible, own.utility, -1))) if feasible.any() else None,
        "choose": found.member,
        "unpriced": int(predicted.best(found.chances, utility, predicted.WANTED)),
        "plug-in": int(predicted.best(plug, utility, predicted.WANTED)),
        "smallest bound": 0,
        "half the gap": int(np.argmin(abs(own.bounds - own.bounds[-1] / 2))),
        "dev gap alone": int(predicted.best((gap <= float(own.bound)) - 1e-3 * gap, utility, 0.5)),
    }
    gates = [sample(rng, own) for _ in range(GATES)]
    seen_there = [chosen_of(own, each.ordered, each.chosen) for each in gates]
    share = {m: np.mean([passes(own, there[m]) for there in seen_there]) for m in {*named.values()} - {None}}
    stated = {"choose": found.stated, "unpriced": found.chances[named["unpriced"]], "plug-in": plug[named["plug-in"]]}
    rules = {
        rule: None if m is None else {
            "passed": float(share[m]), "stated": float(stated.get(rule, np.nan)), "power": float(power[m]),
            "utility": float(share[m] * own.utility[m]), "false": bool(own.gaps[m] >= float(own.bound) - 1e-9),
        }
        for rule, m in named.items()
    }  # fmt: skip
    return {"mix": mix, "seed": seed, "reached": found.reached, "rules": rules}


def measured_powers(rng: np.random.Generator, own: Project, gate: Gate) -> Floats:
    """`[M]` true power with the widths of the member that is nearest to what is wanted."""
    power = true_powers(rng, own, gate, 500)
    near = int(np.argmin(abs(power - predicted.WANTED)))
    return true_powers(rng, own, gate._replace(width=measured(own, own.rates)(gate, near)), 2000)


# All of them ----------------------------------------------------------------------------------------------------------


def of_rule(records: list[dict], rule: str) -> dict[str, Floats]:
    """The numbers of a rule over projects; 0 where it names nobody."""
    nobody = {"passed": 0.0, "stated": np.nan, "power": np.nan, "utility": 0.0, "false": False}
    each = [record["rules"][rule] or nobody for record in records]
    return {name: np.array([float(own[name]) for own in each]) for name in nobody}


def table(mix: str, records: list[dict]) -> Iterator[str]:
    yield f"{mix}: {len(records)} projects, {np.mean([r['reached'] for r in records]):.2f} of them reach what is wanted"
    yield f"  {'rule':<16}{'passes':>8}{'stated':>8}{'true power':>12}{'utility':>9}"
    for rule in RULES:
        own = of_rule(records, rule)
        stated = "" if np.isnan(own["stated"]).all() else f"{own['stated'].mean():.3f}"
        some = own["power"][~np.isnan(own["power"])]
        power = f"{some.mean():.3f}" if len(some) else ""
        yield f"  {rule:<16}{own['passed'].mean():>8.3f}{stated:>8}{power:>12}{own['utility'].mean():>9.3f}"
    for words, reached in (("reached", True), ("not reached", False)):
        some = [record for record in records if record["reached"] is reached]
        if some:
            own = of_rule(some, "choose")
            passed, stated = own["passed"].mean(), own["stated"].mean()
            yield f"  of choose, {words}: {len(some)}, passes {passed:.3f}, stated {stated:.3f}"


def bars(by_mix: dict[str, list[dict]]) -> Iterator[tuple[str, bool]]:
    """What must hold, and whether it does."""
    for mix in ("easy", "boundary", "none"):
        own = of_rule(by_mix[mix], "choose")
        apart = float(own["passed"].mean() - own["stated"].mean())
        yield f"{mix}: pass rate less mean stated chance {apart:+.3f}, at most .03 either way", abs(apart) <= 0.03
    utility = {rule: float(of_rule(by_mix["easy"], rule)["utility"].mean()) for rule in RULES}
    share = utility["choose"] / utility["oracle"]
    yield f"easy: {share:.3f} of the oracle's utility, at least .85", share >= 0.85
    for rule in ("smallest bound", "half the gap", "plug-in", "dev gap alone"):
        yield (
            f"easy: utility {utility['choose']:.3f}, above that of {rule}, {utility[rule]:.3f}",
            utility["choose"] > utility[rule],
        )
    alone, ours = (of_rule(by_mix["easy"], rule)["passed"].mean() for rule in ("dev gap alone", "choose"))
    yield f"easy: by dev gap alone {alone:.3f} pass, by choose {ours:.3f}: far worse", alone < ours - 0.3
    edge = of_rule(by_mix["edge"], "choose")["passed"]
    wrong, tried = round(float(edge.sum() * GATES)), len(edge) * GATES
    low = float(clopper_pearson_lower(wrong, tried, 0.05))
    yield f"edge: {wrong} false passes of {tried}, lower 95 % limit {low:.4f}, at most {DELTA}", low <= DELTA


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=700, help="projects of every mix (default 700)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--out", type=Path, default=Path("out/choose"), help="folder (default out/choose)")
    given = parser.parse_args(argv)
    lines, began = given.out / "projects.jsonl", time.process_time()
    done = _lines.finished(lines, lambda record: (record["mix"], record["seed"]))
    seeds = range(given.first, given.first + given.count)
    for seed in seeds:
        for mix in MIXES:
            if (mix, seed) in done:
                continue
            done[mix, seed] = follow(mix, seed)
            _lines.add(lines, done[mix, seed])
    by_mix = {mix: [done[mix, seed] for seed in seeds] for mix in MIXES}
    for mix, records in by_mix.items():
        print("\n".join(table(mix, records)))
    missed = 0
    for words, held in bars(by_mix):
        missed += not held
        print(f"{'ok  ' if held else 'MISS'} {words}")
    print(f"{time.process_time() - began:.0f} s of CPU")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
