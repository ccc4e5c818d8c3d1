"""Advantages of the GRPO family on a bandit whose values are known, by preference group: who gains, and over what.

40 prompts with 12 answers each, two groups of people, of whom 10 % are the minority. The logits are theta[prompt] +
phi[group, prompt], both from 0; the reward of an answer is a group's mean + offset of the prompt + scale * N(0, 1),
seen with noise of a tenth of the scale. A step asks 8 prompts for 8 answers each; its gradient is that of the clipped
surrogate, summed over prompts. A row of answers belongs to one person's group (unmixed), or each answer to its own
(mixed). Groups differ in nothing, in means (.7 and .2), scales (.3 and .05) or both; offsets have two scales.

Score: mean over prompts of (value - that of chance) / (the best - that of chance), for each group. Rates are chosen for
each method on seeds that are not scored, by the mean of both scores; the others share seeds and worlds, so differences
are paired, with intervals of Student's t. A placebo is the same method with coins for groups: the claim is the gain
over that. `shared`: one policy for both groups, all of whom rate every answer. A line a method stands in
OUT/policies.jsonl, so a run that was stopped goes on. Ends with 1 unless the directions of the method notes hold.

`python -m benchmarks policies -- --out out/policies`
"""

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import t as student

from faro.policies import Advantage, Rated, clipped
from faro.registry import make

from . import _lines

PROMPTS, ANSWERS, ASKED, EACH = 40, 12, 8, 8
SHARES = jnp.array([0.9, 0.1])
RATES = (0.25, 1.0, 4.0, 16.0)
ONE_RATE = 0.25
TUNING_SEEDS = 1000  # and the next ones: never scored
METHODS = {  # advantage, and whether groups are coins
    "grpo": ("grpo", False),
    "dr_grpo": ("dr_grpo", False),
    "lite_ppo": ("lite_ppo", False),
    "ebpo": ("ebpo", False),
    "gdpo": ("gdpo", False),
    "p_grpo": ("p_grpo", False),
    "p_grpo placebo": ("p_grpo", True),
    "stratified": ("stratified", False),
    "own_z": ("own_z", False),
    "hybrid": ("hybrid", False),
    "hybrid placebo": ("hybrid", True),
}
PLACEBO = {"p_grpo": "p_grpo placebo", "hybrid": "hybrid placebo"}
ONE_POLICY = ("grpo", "lite_ppo", "ebpo", "gdpo")
AT_ONE_RATE = ("grpo", "dr_grpo", "p_grpo", "p_grpo placebo")


class Condition(NamedTuple):
    """How groups and rows differ."""

    name: str
    mixed: bool
    means: tuple[float, float]
    scales: tuple[float, float]
    offset: float = 0.0  # standard deviation, in scales
    shared: bool = False  # one policy, whose reward is the sum of both groups'


SAME, MEANS, ONE_SCALE, SCALES = (0.5, 0.5), (0.7, 0.2), (0.3, 0.3), (0.3, 0.05)
CONDITIONS = (
    Condition("unmixed same", False, SAME, ONE_SCALE),
    Condition("unmixed scale", False, SAME, SCALES),
    Condition("unmixed both", False, MEANS, SCALES),
    Condition("unmixed both + offset", False, MEANS, SCALES, 2.0),
    Condition("mixed same", True, SAME, ONE_SCALE),
    Condition("mixed mean", True, MEANS, ONE_SCALE),
    Condition("mixed scale", True, SAME, SCALES),
    Condition("mixed both", True, MEANS, SCALES),
    Condition("mixed both + offset", True, MEANS, SCALES, 2.0),
    Condition("shared same", False, SAME, ONE_SCALE, 0.0, True),
    Condition("shared scale", False, SAME, SCALES, 0.0, True),
)
ALONE = {"unmixed both", "unmixed both + offset", "mixed both", "mixed both + offset"}  # of the grid at one rate
NO_GAIN = 0.02
DIFFER = ("mixed mean", "mixed scale", "mixed both", "mixed both + offset")


class Lane(NamedTuple):
    """One training: a world, how rows are filled, and the rate."""

    rewards: Any  # [2, PROMPTS, ANSWERS]
    noise: Any  # [2] standard deviations
    mixed: Any
    shared: Any
    rate: Any
    key: Any


def lane(condition: Condition, seed: int, rate: float) -> Lane:
    """The same numbers are drawn for a seed whatever the condition, the method and the rate."""
    rng = np.random.default_rng(seed)
    answers, offsets = rng.normal(size=(2, PROMPTS, ANSWERS)), rng.normal(size=(2, PROMPTS, 1))
    scales = np.array(condition.scales)[:, None, None]
    rewards = np.array(condition.means)[:, None, None] + scales * (condition.offset * offsets + answers)
    seen_noise = 0.1 * np.array(condition.scales)
    return Lane(rewards, seen_noise, condition.mixed, condition.shared, rate, jax.random.key(seed))


@functools.partial(jax.jit, static_argnames=("steps", "coins"))
def trained(advantage: Advantage, lanes: Lane, steps: int, coins: bool) -> Any:
    """Scores `[lanes, 2]` after so many steps, all lanes side by side."""
    return jax.vmap(lambda one: _trained(advantage, one, steps, coins))(lanes)


def _trained(advantage: Advantage, one: Lane, steps: int, coins: bool) -> Any:
    def step(carry: Any, number: Any) -> Any:
        params, state = carry
        asked, who, choice, noise, coin = jax.random.split(jax.random.fold_in(one.key, number), 5)
        prompts = jax.random.randint(asked, (ASKED, 1), 0, PROMPTS)
        groups = jnp.asarray(jax.random.uniform(who, (ASKED, EACH)) >= SHARES[0], int)
        groups = jnp.where(one.mixed, groups, groups[:, :1])
        answers = jnp.sum(
            jnp.cumsum(jnp.exp(law(params, prompts, groups)), -1) < jax.random.uniform(choice, (ASKED, EACH, 1)), -1
        )
        answers = jnp.minimum(answers, ANSWERS - 1)
        several = one.rewards[:, prompts, answers] + one.noise[:, None, None] * jax.random.normal(
            noise, (2, ASKED, EACH)
        )
        own = jnp.where(groups == 1, several[1], several[0])
        told = jnp.asarray(jax.random.bernoulli(coin, 0.5, groups.shape), int) if coins else groups
        rated = Rated(jnp.where(one.shared, several.sum(0), own), told, jnp.moveaxis(several, 0, -1))
        advantages, state = advantage.of(state, rated)

        def surrogate(params: Any) -> Any:
            logs = jnp.take_along_axis(law(params, prompts, groups), answers[..., None], -1)
            old = jax.lax.stop_gradient(logs)
            return clipped(logs, old, advantages, jnp.ones(logs.shape, bool)).mean(1).sum()

        slope = jax.grad(surrogate)(params)
        theta = params[0] + one.rate * slope[0]
        phi = params[1] + jnp.where(one.shared, 0, one.rate) * slope[1]
        return ((theta, phi), state), None

    begin = (jnp.zeros((PROMPTS, ANSWERS)), jnp.zeros((2, PROMPTS, ANSWERS)))
    (params, _), _ = jax.lax.scan(step, (begin, advantage.begin(2)), jnp.arange(steps))
    policy = jax.nn.softmax(params[0] + params[1], -1)
    chance, best = one.rewards.mean(-1), one.rewards.max(-1)
    return (((policy * one.rewards).sum(-1) - chance) / (best - chance)).mean(-1)


def law(params: Any, prompts: Any, groups: Any) -> Any:
    """Log-probabilities `[N, G, ANSWERS]`."""
    theta, phi = params
    return jax.nn.log_softmax(theta[prompts] + phi[groups, prompts], -1)


def scores(method: str, asked: list[tuple[Condition, int, float]], steps: int, at_once: int) -> np.ndarray:
    """`[len(asked), 2]`, in programs of equal size."""
    name, coins = METHODS[method]
    advantage, found = make("advantage", name), []
    for first in range(0, len(asked), at_once):
        some = asked[first : first + at_once]
        lanes = [lane(*one) for one in (some + [some[0]] * (at_once - len(some)))]
        stacked = Lane(*(jnp.stack([jnp.asarray(part) for part in parts]) for parts in zip(*lanes, strict=True)))
        found.append(np.asarray(trained(advantage, stacked, steps, coins))[: len(some)])
    return np.concatenate(found)


def of_method(method: str, seeds: int, tuning: int, steps: int, only: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Rate and scores of every condition, rates chosen on other seeds."""
    conditions = [one for one in CONDITIONS if (method in ONE_POLICY if one.shared else method != "gdpo")]
    conditions = [one for one in conditions if only is None or one.name in only]
    at_once = len(conditions) * seeds
    tried = [(one, TUNING_SEEDS + seed, rate) for one in conditions for rate in RATES for seed in range(tuning)]
    values = scores(method, tried, steps, at_once).reshape(len(conditions), len(RATES), tuning, 2)
    best = values.mean((2, 3)).argmax(1)
    asked = [(one, seed, RATES[at]) for one, at in zip(conditions, best, strict=True) for seed in range(seeds)]
    found = scores(method, asked, steps, at_once).reshape(len(conditions), seeds, 2)
    return {
        one.name: {"rate": RATES[at], "scores": its.round(5).tolist()}
        for one, at, its in zip(conditions, best, found, strict=True)
    }


def at_one_rate(method: str, seeds: int, steps: int) -> dict[str, Any]:
    """Scores of every condition at one rate for all methods."""
    conditions = [one for one in CONDITIONS if one.name in ALONE]
    asked = [(one, seed, ONE_RATE) for one in conditions for seed in range(seeds)]
    found = scores(method, asked, steps, len(asked)).reshape(len(conditions), seeds, 2)
    return {
        one.name: {"rate": ONE_RATE, "scores": its.round(5).tolist()}
        for one, its in zip(conditions, found, strict=True)
    }


def interval(differences: np.ndarray) -> tuple[float, float, float]:
    """Mean, and the interval of Student's t at .95."""
    mean, n = differences.mean(), len(differences)
    half = student.ppf(0.975, n - 1) * differences.std(ddof=1) / n**0.5
    return float(mean), float(mean - half), float(mean + half)


def gain(table: dict[str, Any], method: str, other: str, condition: str, group: int = 1) -> tuple[float, float, float]:
    """By how much a group's score is above that under another method."""
    its, theirs = (np.array(table[name][condition]["scores"])[:, group] for name in (method, other))
    return interval(its - theirs)


def show(table: dict[str, Any], title: str) -> None:
    """Mean scores of majority/minority, and paired differences of the minority."""
    present = [one.name for one in CONDITIONS if any(one.name in its for its in table.values())]
    print(f"\n{title}: score of majority / minority, mean over seeds (rate); the minority's is the worst group's")
    for condition in present:
        print(f"  {condition}")
        for method, its in table.items():
            if condition in its:
                mean = np.array(its[condition]["scores"]).mean(0)
                worst = np.array(its[condition]["scores"]).min(1).mean()
                line = f"    {method:15s} {mean[0]:.2f} / {mean[1]:.2f}   both {mean.mean():.2f}, worst {worst:.2f}"
                print(f"{line}   rate {its[condition]['rate']:g}")
        for method, other in (("p_grpo", "grpo"), ("p_grpo", PLACEBO["p_grpo"]), ("ebpo", "grpo"), ("hybrid", "grpo"),
                              ("hybrid", PLACEBO["hybrid"]), ("own_z", "grpo"), ("gdpo", "grpo")):  # fmt: skip
            if all(condition in table.get(name, {}) for name in (method, other)):
                mean, low, high = gain(table, method, other, condition)
                print(f"    minority, {method} - {other}: {mean:+.3f} [{low:+.3f}, {high:+.3f}]")


def directions(one: dict[str, Any], tuned: dict[str, Any]) -> list[str]:
    """Which of the directions of the notes do not hold, with their intervals."""
    wrong = []

    def expect(table: dict[str, Any], where: str, method: str, other: str, condition: str, sign: int) -> None:
        """Above 0 (1), below 0 (-1), or next to 0 and not above (0)."""
        if condition not in table.get(method, {}) or condition not in table.get(other, {}):
            return
        mean, low, high = gain(table, method, other, condition)
        if not {1: low > 0, -1: high < 0, 0: high < NO_GAIN and low > -0.1}[sign]:
            words = f"{where}, {condition}: {method} - {other} is {mean:+.3f} [{low:+.3f}, {high:+.3f}]"
            wrong.append(f"{words}, expected {('next to', 'above', 'below')[sign]} 0")

    for condition in ALONE:
        signs = {"unmixed both": 0, "unmixed both + offset": -1}
        expect(one, "one rate", "p_grpo", "grpo", condition, signs.get(condition, 1))
    for condition in DIFFER:
        expect(tuned, "tuned", "p_grpo", "grpo", condition, 1)
        expect(tuned, "tuned", "p_grpo", "p_grpo placebo", condition, 1)
        expect(tuned, "tuned", "hybrid", "grpo", condition, 1)
    for condition in ("unmixed same", "unmixed scale", "unmixed both"):
        expect(tuned, "tuned", "p_grpo", "grpo", condition, 0)
    expect(tuned, "tuned", "p_grpo", "grpo", "unmixed both + offset", -1)
    expect(tuned, "tuned", "gdpo", "grpo", "shared scale", 1)
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--tuning", type=int, default=4, help="seeds on which rates are chosen")
    parser.add_argument("--steps", type=int, default=1000, help="of the tuned grid; that at one rate takes half more")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--out", type=Path, default=Path("out/policies"))
    options = parser.parse_args()
    size = [options.seeds, options.tuning, options.steps]
    path = options.out / "policies.jsonl"
    done = _lines.finished(path, lambda record: (record["method"], record["grid"], *record["size"]))
    tables: dict[str, dict[str, Any]] = {"one rate": {}, "tuned": {}}
    for method in options.methods.split(","):
        for grid in tables:
            if grid == "one rate" and method not in AT_ONE_RATE:
                continue
            if (method, grid, *size) not in done:
                found = (
                    at_one_rate(method, options.seeds, options.steps * 3 // 2)
                    if grid == "one rate"
                    else of_method(method, *size)
                )
                record = {"method": method, "grid": grid, "size": size, "found": found}
                _lines.add(path, record)
                done[(method, grid, *size)] = record
            tables[grid][method] = done[method, grid, *size]["found"]
            print(f"{method}, {grid}: done", flush=True)
    for grid, table in tables.items():
        show(table, grid)
    wrong = directions(tables["one rate"], tables["tuned"])
    print("\n" + ("; ".join(wrong) if wrong else "the directions of the method notes hold"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
