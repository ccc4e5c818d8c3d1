"""Models of people who disagree, on populations whose law is known, beside an oracle that sees the same choices.

The oracle knows the law of people's weights, and nothing of the person but the same earlier choices; its posterior is a
sum over nodes of Gauss and Hermite, or over kinds. Where a method's assumptions hold it has to be within .02 of the
oracle's accuracy and nll, on new people, after 5, 10 and 20 choices. The control, which must be worse than that, is the
same model with the earlier choices of somebody else. Of coins, and against the aggregate, nothing may be gained.
Training draws how many earlier choices are seen anew for each person in each step. A line per cell stands in
OUT/people.jsonl, so a run that was stopped goes on.

`python -m benchmarks people -- --seeds 20 --out out/people`
"""

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from constraints import Choices, log_softmax
from constraints.alternatives import joined
from faro.data.demo_people import WORLDS, World
from faro.models import (
    GPO,
    PEBS,
    PLUS,
    VPL,
    IdealPoint,
    InputSpec,
    LatentClass,
    Linear,
    LoRe,
    MixedLogit,
    Model,
    PersonConstants,
    PReF,
    predict,
)

from . import _lines

SUPPORT, ASKED = 20, 20  # choices of each person that may be read, and that are asked about
SEEN = (5, 10, 20)
CLOSE = 0.02
GAIN = 0.005  # nll, where there is nothing to gain
NODES = 32  # a direction
METHODS: dict[str, Model] = {
    "aggregate": Linear(),
    "person_constants": PersonConstants(support=SUPPORT),
    "pebs": PEBS(support=SUPPORT),
    "mixed_logit": MixedLogit(support=SUPPORT),
    "pref": PReF(support=SUPPORT, rank=2),
    "latent_class": LatentClass(support=SUPPORT, kinds=2),
    "lore": LoRe(support=SUPPORT, rewards=3),
    "vpl": VPL(support=SUPPORT, size=2, width=8),
    "gpo": GPO(support=SUPPORT),
    "ideal_point": IdealPoint(support=SUPPORT, prototypes=3, size=2),
    "plus": PLUS(support=SUPPORT),
}
HOLDS = {  # whose assumptions a population meets
    "demo-people": ("mixed_logit", "pref", "lore", "vpl"),
    "demo-51-49": ("latent_class",),  # of the others' laws none has two atoms
    "demo-levels": ("person_constants", "pebs", "mixed_logit"),
    "demo-coins": (),
}


def parts(choices: Choices, each: int, support: int) -> tuple[Choices, Choices]:
    """Earlier choices with leading axes `[U, S]`, and the others, of people who make so many each in a row."""
    people = jax.tree.map(lambda leaf: np.asarray(leaf).reshape(-1, each, *leaf.shape[1:]), choices)
    before = jax.tree.map(lambda leaf: leaf[:, :support], people)
    return before, jax.tree.map(lambda leaf: leaf[:, support:].reshape(-1, *leaf.shape[2:]), people)


def masked(people: Choices, seen: Any) -> Choices:
    """The first `seen` of each person alone; a number, or one of each."""
    there = jnp.arange(people.weight.shape[1]) < jnp.reshape(jnp.asarray(seen), (-1, 1))
    return people.replace(weight=jnp.broadcast_to(there, people.weight.shape).astype(float))


@functools.partial(jax.jit, static_argnames="model")
def logs(model: Model, params: Any, choices: Choices, people: Choices) -> Any:
    """log probabilities of all alternatives, `[n, K]`."""
    return log_softmax(joined(predict(model, params, choices, people=people).scores), choices.available)


@functools.partial(jax.jit, static_argnames=("model", "steps"))
def fit(
    model: Model, key: Any, choices: Choices, people: Choices, steps: int, decay: float = 1e-4, begun: Any = None
) -> Any:
    """Parameters after so many steps of Adam on the mean nll, as a trial's first stage takes them."""
    rate = optax.adam(optax.cosine_decay_schedule(0.03, steps, alpha=0.1))

    def loss(params: Any, key: Any) -> Any:
        seen = jax.random.randint(key, people.weight.shape[:1], 0, people.weight.shape[1] + 1)
        noise = jax.random.fold_in(key, 1)
        said = predict(model, params, choices, people=masked(people, seen), key=noise, train=True)
        every = log_softmax(joined(said.scores), choices.available)
        ridge = sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(params))
        return -jnp.sum(choices.chosen * every, -1).mean() + model.penalty(params, said) + decay / 2 * ridge

    def step(state: Any, key: Any) -> Any:
        params, moments = state
        moved, moments = rate.update(jax.grad(loss)(params, key), moments)
        moved = jax.tree.map(
            lambda trained, part: jax.tree.map(lambda leaf: trained * leaf, part), model.trainable(params), moved
        )
        return (optax.apply_updates(params, moved), moments), None

    begun = model.init(key, InputSpec.of(choices)) if begun is None else begun
    return jax.lax.scan(step, (begun, rate.init(begun)), jax.random.split(key, steps))[0][0]


def nodes(world: World) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights `[R, d]`, levels and log shares `[R]` that stand for the law of a world."""
    points, share = np.polynomial.hermite_e.hermegauss(NODES)
    log_share, directions = np.log(share / share.sum()), np.reshape(world.directions, (-1, 4))
    axes = len(directions) + (world.spread > 0)
    grid = np.stack(np.meshgrid(*[points] * axes, indexing="ij"), -1).reshape(-1, axes) if axes else np.zeros((1, 0))
    of_grid = sum(np.meshgrid(*[log_share] * axes, indexing="ij"), np.zeros([NODES] * axes)).ravel()
    own = grid[:, : len(directions)] @ directions
    levels = world.spread * grid[:, -1] if world.spread else np.zeros(len(grid))
    every = [(mean + own, levels, np.log(kind) + of_grid) for mean, kind in zip(world.mean, world.share, strict=True)]
    return tuple(np.concatenate(some) for some in zip(*every, strict=True))  # type: ignore[return-value]


@jax.jit
def oracle(law: Any, choices: Choices, people: Choices) -> Any:
    """log probabilities `[n, K]` of who knows the law, and the same earlier choices."""
    weights, levels, log_share = law

    def every(some: Choices) -> Any:  # [n, R, K]
        scores = jnp.moveaxis(jnp.einsum("nkd,rd->nkr", some.items, weights) + levels, 1, 2)
        rest = jnp.zeros((*scores.shape[:2], some.available.shape[1] - scores.shape[2]))
        return log_softmax(jnp.concatenate([scores, rest], -1), some.available[:, None])

    def of_person(before: Choices) -> Any:
        return before.weight @ jnp.sum(before.chosen[:, None] * every(before), -1)

    after = jax.nn.log_softmax(log_share + jax.lax.map(of_person, people))
    return jax.nn.logsumexp(every(choices) + after[choices.unit][..., None], 1)


def figures(said: Any, choices: Choices) -> dict[str, float]:
    """nll and accuracy, ties shared."""
    best = said == said.max(-1, keepdims=True)
    right = jnp.sum(choices.chosen * best, -1) / best.sum(-1)
    return {"nll": float(-jnp.sum(choices.chosen * said, -1).mean()), "accuracy": float(right.mean())}


def cell(name: str, method: str, seed: int, people: int = 400, steps: int = 400, new: int = 200) -> dict[str, Any]:
    """Figures of a method and of the oracle on new people, by how many earlier choices are seen."""
    world, model, each = WORLDS[name], METHODS[method], SUPPORT + ASKED
    before, asked = parts(world.arrays(2 * seed, people, each), each, SUPPORT)
    params = fit(model, jax.random.key(seed), asked, before, steps)
    before, asked = parts(world.arrays(2 * seed + 1, new, each), each, SUPPORT)
    law, found = nodes(world), {}
    for seen in SEEN:
        told = masked(before, seen)
        others = jax.tree.map(lambda leaf: jnp.roll(leaf, 1, 0), told)
        found[str(seen)] = {
            "method": figures(logs(model, params, asked, told), asked),
            "oracle": figures(oracle(law, asked, told), asked),
            "control": figures(logs(model, params, asked, others), asked),
        }
    return found


def gaps(found: dict[str, Any], who: str, seen: int) -> tuple[float, float]:
    """By how much `who` is worse than the oracle: nll, accuracy."""
    own, best = found[str(seen)][who], found[str(seen)]["oracle"]
    return own["nll"] - best["nll"], best["accuracy"] - own["accuracy"]


def told(lines: dict[tuple[str, str, int], dict[str, Any]], methods: list[str], seeds: int) -> int:
    """The table, and whether every bar is kept."""
    kept = True
    print(f"{'population':14}{'method':18}{'seen':>5}{'nll':>8}{'oracle':>8}{'apart':>8}{'acc apart':>11}  bar")
    for name in WORLDS:
        base = [lines[name, "aggregate", seed]["found"] for seed in range(seeds)]
        for method in methods:
            for seen in SEEN:
                found = [lines[name, method, seed]["found"] for seed in range(seeds)]
                nll, accuracy = np.mean([gaps(own, "method", seen) for own in found], 0)
                mean, best = (np.mean([own[str(seen)][who]["nll"] for own in found]) for who in ("method", "oracle"))
                said = ""
                if method in HOLDS[name]:
                    wrong = np.mean([gaps(own, "control", seen) for own in found], 0)
                    good, control = max(nll, accuracy) <= CLOSE, max(wrong) > CLOSE
                    kept &= bool(good and control)
                    said = ("kept" if good else "NOT KEPT") + ("" if control else ", CONTROL PASSES")
                elif name == "demo-coins":
                    pairs = zip(base, found, strict=True)
                    gain = np.array(
                        [first[str(seen)]["method"]["nll"] - own[str(seen)]["method"]["nll"] for first, own in pairs]
                    )
                    most = gain.mean() + 3 * gain.std(ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else gain.mean()
                    kept &= bool(most < GAIN)
                    said = f"gain at most {most:.4f}: " + ("kept" if most < GAIN else "NOT KEPT")
                print(f"{name:14}{method:18}{seen:5}{mean:8.4f}{best:8.4f}{nll:8.4f}{accuracy:11.4f}  {said}")
    print("all bars kept" if kept else "a bar is not kept")
    return 0 if kept else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--people", type=int, default=400)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--out", type=Path, default=Path("out/people"))
    parser.add_argument("--methods", default=",".join(METHODS), help="the aggregate is always with them")
    options = parser.parse_args()
    methods = [name for name in METHODS if name in ("aggregate", *options.methods.split(","))]
    path, asked = options.out / "people.jsonl", [options.people, options.steps]
    known = _lines.finished(path, lambda line: (line["population"], line["method"], line["seed"], *line["asked"]))
    for name in WORLDS:
        for method in methods:
            for seed in range(options.seeds):
                if (name, method, seed, *asked) not in known:
                    found = cell(name, method, seed, *asked)
                    line = {"population": name, "method": method, "seed": seed, "asked": asked, "found": found}
                    known[name, method, seed, *asked] = line
                    _lines.add(path, line)
    mine = {key[:3]: line for key, line in known.items() if list(key[3:]) == asked}
    return told(mine, methods, options.seeds)


if __name__ == "__main__":
    sys.exit(main())
