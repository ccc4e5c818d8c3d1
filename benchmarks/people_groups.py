"""Teachers of groups (PAFO-style) and their controls: who gains by them, the minority or the majority.

Populations are those of the small-scale check of PAFO and SCPO in the project's notes: 200 people, a minority of a
tenth whose taste partly conflicts with the others'; what a model reads of a person are the mean of 12 or 2 earlier
choices, or nothing. Then 2, 4, 8 and 16 groups, the smallest of 3 %; labels of groups that are missing for half of the
people of train, wrong for a fifth, or dealt to people at random, the placebo; and polarized-issues by politics
(FARO_DATA). Every fit is `Game.start`, as of `faro.train`; its iterate is the best on 100 people of selection.

Gains are of accuracy over the pooled model, paired by seed, with intervals of 95 % (Student): on 200 new people, and,
as in the notes, on new choices of the people of train, whose context training has seen. A method is *accepted* where
on new people no group's interval goes below 0 and one lies above; `share` is how often no group loses there and one
gains. What has to fail: without anything that tells groups apart, and with groups dealt at random, nothing may be
accepted. A line per cell stands in OUT/people_groups.jsonl, so a run that was stopped goes on.

`python -m benchmarks people_groups -- --seeds 20 --out out/people`
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

import constraints as ct
from constraints import Choices, make_choices, reward_by
from faro.data import load
from faro.data.support import QUERY, SupportRule, roles
from faro.data.views import View
from faro.losses import MGDA, Distilled, Mean, Objective, WorstGroup
from faro.models import Model, numeric
from faro.sweep.aggregates import everyones_error
from faro.sweep.execution import stack
from faro.training import Data, Game, Settings

from . import _lines

FEATURES, HIDDEN = 12, 4
SELECTED, NEW, PAIRS, ASKED = (
    100,
    200,
    40,
    60,
)  # people of selection, new people; pairs of those who teach, of new people
SETTINGS = Settings(primal="adam", steps=800, learning_rate=0.01, weight_decay=1e-3, batch=512, every=200)
FINE = dataclasses.replace(SETTINGS, learning_rate=0.003)  # of models that begin at the pooled one
UNBOUNDED = everyones_error()
TOY = "toy"  # what teachers' columns are called by


@dataclasses.dataclass(frozen=True)
class Hidden(Model):
    """reward = x . (b + V tanh(U e + c)), e what is known of the person: as in the notes."""

    def init(self, key, spec):
        d, c = spec.items.shape[-1], spec.context.shape[-1]
        first, second = jax.random.split(key)
        return {
            "b": jnp.zeros(d),
            "c": jnp.zeros(HIDDEN),
            "U": jax.random.normal(first, (HIDDEN, c)) / c**0.5,
            "V": 0.3 * jax.random.normal(second, (d, HIDDEN)),
        }

    def apply(self, params, choices):
        own = params["b"] + jnp.tanh(choices.context @ params["U"].T + params["c"]) @ params["V"].T
        return jnp.einsum("nkd,nd->nk", choices.items, own)


MODEL = Hidden()


@dataclasses.dataclass(frozen=True)
class World:
    """A population.

    groups, smallest: how many, and the share of the last
    people: of train
    history: earlier choices of a person that the context is the mean of; 0: there is no context
    labels: of groups in train, "true", "missing" for half, "wrong" for a fifth, or "dealt" at random
    """

    groups: int = 2
    smallest: float = 0.1
    people: int = 200
    history: int = 2
    labels: str = "true"


POLARIZED = "polarized-issues"
WORLDS: dict[str, World | str] = {
    "history of 12": World(history=12),
    "history of 2": World(),
    "history of 2, missing": World(labels="missing"),
    "history of 2, wrong": World(labels="wrong"),
    "history of 2, dealt": World(labels="dealt"),
    "no context": World(history=0),
    "no context, dealt": World(history=0, labels="dealt"),
    **{f"{groups} groups, 3 %": World(groups, 0.03, people=400) for groups in (2, 4, 8, 16)},
    POLARIZED: "true",
    f"{POLARIZED}, dealt": "dealt",
}


def methods(who: ct.Grouping) -> dict[str, Objective]:
    """Objectives by name, the pooled model first."""
    taught = functools.partial(Distilled, who=who, teacher=TOY)
    scpo = functools.partial(taught, condition="disagreement")
    return {
        "pooled": Mean(),
        "alike (1/p)": WorstGroup(who=who, ascent=0.0),
        "group DRO": WorstGroup(who=who, ascent=0.02),
        "MGDA": MGDA(who=who),
        "hinge, all": taught(condition="all"),
        "hinge, right": taught(condition="right"),
        "hinge, ahead": taught(),
        "square, ahead": taught(penalty="square", weight=0.1),
        "hinge, ahead, balanced": taught(balanced=True),
        "square, ahead, balanced": taught(penalty="square", weight=0.1, balanced=True),
        "hinge, filter": scpo(softness=float("inf")),
        "hinge, filter and weight": scpo(softness=1.0),
        "pooled, weighs filter": scpo(penalty="shifted", most=0.0, balanced=True),
        "pooled, weighs filter, weight": scpo(penalty="shifted", most=0.0, balanced=True, softness=1.0),
    }


FEW = ("pooled", "alike (1/p)", "group DRO", "MGDA", "hinge, ahead", "hinge, ahead, balanced", "hinge, filter")
CONTROLS = ("alike (1/p)", "group DRO", "MGDA", "hinge, filter", "hinge, filter and weight", "pooled, weighs filter")
STUDENTS = ("hinge, ahead", "hinge, ahead, balanced")
SCPO = {  # models of the minority alone, that begin at the pooled one: threshold of the filter, softness of the weight
    "minority: all pairs": (1.0, np.inf),
    "minority: filter": (0.5, np.inf),
    "minority: weight": (1.0, 1.0),
    "minority: filter and weight": (0.5, 1.0),
    "minority: random, as many": None,
}
NOTE = {  # (majority, minority): levels of pooled, gains of the rest
    "history of 12": {"pooled": (0.836, 0.839), "hinge, filter": (-0.002, -0.005), "hinge, ahead": (0.001, 0.006)},
    "history of 2": {
        "pooled": (0.832, 0.740), "alike (1/p)": (-0.018, 0.080), "group DRO": (-0.009, 0.072),
        "hinge, all": (0.002, -0.007), "hinge, right": (0.002, 0.009), "hinge, ahead": (0.003, 0.016),
        "square, ahead": (0.001, 0.023), "hinge, ahead, balanced": (-0.009, 0.078),
        "hinge, filter": (-0.003, 0.041), "hinge, filter and weight": (-0.001, 0.021),
        "pooled, weighs filter": (-0.004, 0.030), "pooled, weighs filter, weight": (-0.002, 0.040),
        "own teacher": (0.003, 0.079), "minority: all pairs": (-0.301, 0.080), "minority: filter": (-0.452, -0.318),
        "minority: weight": (-0.215, 0.077), "minority: filter and weight": (-0.445, -0.276),
        "minority: random, as many": (-0.289, 0.005),
    },
    "no context": {
        "pooled": (0.833, 0.372), "alike (1/p)": (-0.198, 0.278), "group DRO": (-0.198, 0.277),
        "square, ahead, balanced": (-0.085, 0.152), "hinge, ahead": (0.004, -0.026), "hinge, filter": (-0.005, 0.016),
        "minority: filter": (-0.624, 0.379), "minority: weight": (-0.296, 0.376),
        "minority: all pairs": (-0.470, 0.476),
    },
}  # fmt: skip


# Populations --------------------------------------------------------------------------------------------------------


def sizes(world: World, people: int) -> np.ndarray:
    """People of each group, the last of them the smallest."""
    last = round(world.smallest * people)
    rest = np.diff(np.linspace(0, people - last, world.groups).round()).astype(int)
    return np.array([*rest, last])


def centres(world: World, rng: np.random.Generator) -> np.ndarray:
    """Mean tastes: of two groups as in the notes, of more in directions that are drawn."""
    if world.groups > 2:
        drawn = rng.standard_normal((world.groups, FEATURES))
        return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    first, second = np.linalg.qr(rng.standard_normal((FEATURES, 2)))[0].T
    return np.stack([first, -0.5 * first + 0.75**0.5 * second])


def labelled(labels: str, group: np.ndarray, groups: int, rng: np.random.Generator) -> np.ndarray:
    """The groups of people as train is told of them; -1: not known."""
    if labels == "missing":
        return np.where(rng.random(len(group)) < 0.5, -1, group)
    if labels == "wrong":
        return np.where(rng.random(len(group)) < 0.2, (group + rng.integers(1, groups, len(group))) % groups, group)
    return rng.permutation(group) if labels == "dealt" else group


def choices_of(x: np.ndarray, first: np.ndarray, context: np.ndarray, group: np.ndarray, unit: np.ndarray) -> Choices:
    """Pairs of x and nothing, of which the first was taken or not."""
    items = np.stack([x, np.zeros_like(x)], 1)
    told = {"g": np.repeat(group[:, None], 2, 1).astype(np.int32)}
    return make_choices(items, np.stack([first, 1 - first], 1), context=context, attributes=told, unit=unit)


class Drawn(NamedTuple):
    """Pairs of a seed: of train, selection, new people, new ones of the people of train; clean answers of both."""

    train: Choices
    selection: Choices
    new: Choices
    seen: Choices | None
    clean: dict[str, np.ndarray]


def population(world: World, seed: int) -> Drawn:
    """Of train the groups are as they are told, of all others the true ones."""
    rng = np.random.default_rng([20, 18, 3, seed])
    centre, found, clean = centres(world, rng), [], {}
    for part, people, asked in (("seen", world.people, PAIRS + ASKED), ("", SELECTED, PAIRS), ("new", NEW, ASKED)):
        group = np.repeat(np.arange(world.groups), sizes(world, people))
        taste = centre[group] + 0.35 * rng.standard_normal((people, FEATURES)) / FEATURES**0.5
        x = rng.standard_normal((people, asked + world.history, FEATURES))
        margin = 4 * np.einsum("und,ud->un", x, taste)
        first = (rng.random(margin.shape) < 1 / (1 + np.exp(-margin))).astype(float)
        lead = (2 * first - 1)[..., None] * x
        context = 2 * lead[:, : world.history].mean(1) if world.history else np.zeros((people, FEATURES))
        later = world.history
        if part == "seen":
            taught, later = slice(later, later + PAIRS), later + PAIRS
            told = labelled(world.labels, group, world.groups, rng)
            found.append(_choices(x[:, taught], first[:, taught], context, told))
        found.append(_choices(x[:, later:], first[:, later:], context, group))
        clean[part] = (margin[:, later:] > 0).ravel()
    train, seen, selection, new = found
    return Drawn(train, selection, new, seen, clean)


def _choices(x: np.ndarray, first: np.ndarray, context: np.ndarray, group: np.ndarray) -> Choices:
    """Of people in a row, `[U, n, ...]`."""
    unit = np.repeat(np.arange(len(x)), x.shape[1])
    return choices_of(x.reshape(len(unit), -1), first.ravel(), context[unit], group[unit], unit)


@functools.cache
def real() -> tuple[Any, np.ndarray]:
    """polarized-issues, and which rows are a person's earlier choices."""
    data = load(POLARIZED)
    return data, roles(data, SupportRule(6, None)) != QUERY


def politics(labels: str, seed: int) -> Drawn:
    """The same of polarized-issues: a split of its people, groups by politics, texts as their first components."""
    data, earlier = real()
    view = View.of(data, seed, support=6)
    everything = data.choices(view.coding, np.arange(data.n), dtype=np.float32)
    items = np.asarray(numeric(everything).items)
    lead = items[:, 0] - items[:, 1]
    _, scale, axes = np.linalg.svd(lead[view.rows["train"]], full_matrices=False)
    x = lead @ axes[:FEATURES].T / (scale[:FEATURES] / len(view.rows["train"]) ** 0.5)
    first = np.asarray(everything.chosen)[:, 0].astype(float)
    people, unit = np.unique(data.units, return_inverse=True)
    own = np.where(earlier, 1.0, 0.0)
    told = np.stack([np.bincount(unit, own * (2 * first - 1) * x[:, at], len(people)) for at in range(FEATURES)], 1)
    context = 2 * told / np.maximum(np.bincount(unit, own, len(people)), 1)[:, None]
    group = np.zeros(len(people), int)
    group[unit] = data.parsed.attributes["politics"][:, 0]
    group = np.argsort(np.argsort(-np.bincount(group), kind="stable"))[group]  # the smallest last
    rng, found = np.random.default_rng([20, 18, 4, seed]), []
    for part in ("train", "selection", "dev"):
        rows = view.rows[part]
        dealt = labelled(labels, group, 3, rng) if part == "train" else group
        codes = np.unique(unit[rows], return_inverse=True)[1]
        found.append(choices_of(x[rows], first[rows], context[unit[rows]], dealt[unit[rows]], codes))
    return Drawn(*found, None, {"new": np.asarray(found[-1].chosen)[:, 0] > 0.5})


# Fits ---------------------------------------------------------------------------------------------------------------


@functools.partial(jax.jit, static_argnames="settings")
def fit(objective: Objective, keys: Any, data: Data, settings: Settings, begun: Any = None) -> Any:
    """Parameters of every seed, the best on selection; from `begun` on, where that is given, the last."""

    def of_seed(key: Any, data: Data, begun: Any) -> Any:
        game = Game(MODEL, settings.filled("adam", data.train.shape[0]), objective=objective)
        if begun is None:
            return game.start(key, UNBOUNDED, data, game.settings.evaluations)[0].best.params
        free, one = UNBOUNDED.at(jnp.inf), jnp.ones(len(UNBOUNDED.labels()))
        state = game.initial_state(key, begun, free, data, one)
        return game.advance(state, free, data, game.settings.evaluations)[0].game.params

    return jax.vmap(of_seed)(keys, data, begun)


@jax.jit
def rewards(params: Any, choices: Choices) -> Any:
    """`[S, n, K]`."""
    return jax.vmap(MODEL.apply)(params, choices)


def with_columns(choices: Choices, models: dict[str, Any]) -> Choices:
    """Choices that know the rewards of other models."""
    return choices.replace(columns={name: rewards(params, choices) for name, params in models.items()})


class Setting:
    """The data of a world for all seeds, its pooled model and teachers."""

    def __init__(self, name: str, seeds: int):
        world = WORLDS[name]
        draw = functools.partial(population, world) if isinstance(world, World) else functools.partial(politics, world)
        drawn = [draw(seed) for seed in range(seeds)]
        self.groups = world.groups if isinstance(world, World) else 3
        self.who = ct.Grouping(ct.Attribute("g", tuple(str(g) for g in range(self.groups)), chooser=True))
        self.keys = jax.random.split(jax.random.key(0), seeds)
        self.data = stack([Data(own.train, own.selection) for own in drawn])
        self.asked = {"new": stack([Data(own.new, own.new) for own in drawn]).train}
        if drawn[0].seen is not None:
            self.asked["seen"] = stack([Data(own.seen, own.seen) for own in drawn]).train
        self.clean = [own.clean for own in drawn]
        self.pooled = fit(Mean(), self.keys, self.data, SETTINGS)
        self.teachers = [fit(Mean(), self.keys, self.of_group(group, drawn), SETTINGS) for group in range(self.groups)]
        models = {reward_by(TOY): self.pooled}
        models |= {reward_by(f"{TOY}@g={group}"): params for group, params in enumerate(self.teachers)}
        self.taught = self.data._replace(
            train=with_columns(self.data.train, models), selection=with_columns(self.data.selection, models)
        )

    def of_group(self, group: int, drawn: Any) -> Data:
        """What a teacher sees: the choices of one group of train, again and again, as often for every group."""
        return stack([Data(*(part.take(_rows(part, group, 2048)) for part in own[:2])) for own in drawn])

    def minority(self, rule: tuple[float, float] | None) -> Any:
        """A model of the smallest group alone, fitted from the pooled one on what a filter leaves, by a weight."""
        train, last = self.data.train, self.groups - 1
        lead = rewards(self.pooled, train)
        lead = jnp.sum((2 * train.chosen - 1) * lead, -1)
        mine = (train.attributes["g"][..., 0] == last) * train.weight
        if rule is None:  # as many as the filter keeps, at random
            share = jnp.sum(mine * (lead < 0), 1, keepdims=True) / jnp.sum(mine, 1, keepdims=True)
            weight = mine * (jax.random.uniform(jax.random.key(1), mine.shape) < share)
        else:
            threshold, softness = rule
            kept = jax.nn.sigmoid(lead) < threshold if threshold < 1 else jnp.ones_like(mine)
            weight = mine * kept * jnp.exp(jnp.minimum(lead / softness, 0))
        rows = jnp.argsort(-weight, 1)[:, : int((weight > 0).sum(1).max())]
        some = jax.vmap(lambda choices, weight, rows: choices.replace(weight=weight).take(rows))(train, weight, rows)
        settings = dataclasses.replace(FINE, batch=None)
        return fit(Mean(), self.keys, self.data._replace(train=some), settings, self.pooled)

    def figures(self, scored: Callable[[Choices], Any]) -> dict[str, Any]:
        """Of every seed, for new people and those of train: accuracy and nll by group, spread and worst tenth of
        people; and of the smallest group accuracy where the pooled model is wrong of the label, and of clean answers
        where it is right of them."""
        return {part: self._figures(part, np.asarray(scored(asked))) for part, asked in self.asked.items()}

    def _figures(self, part: str, scores: np.ndarray) -> dict[str, Any]:
        choices = jax.tree.map(np.asarray, self.asked[part])
        pooled = np.asarray(rewards(self.pooled, self.asked[part]))
        found: dict[str, list] = {name: [] for name in ("accuracy", "nll", "spread", "worst", "second", "agreed")}
        for seed, of_seed in enumerate(self.clean):
            there, clean = choices.weight[seed] > 0, of_seed[part]
            first, group = choices.chosen[seed][there, 0] > 0.5, choices.attributes["g"][seed][there, 0]
            lead, before = (own[seed][there, 0] - own[seed][there, 1] for own in (scores, pooled))
            right, loss = (lead > 0) == first, np.logaddexp(0, -np.where(first, lead, -lead))
            _, codes = np.unique(choices.unit[seed][there], return_inverse=True)
            of_people = np.sort(np.bincount(codes, right) / np.bincount(codes))
            found["accuracy"].append([right[group == g].mean() for g in range(self.groups)])
            found["nll"].append([loss[group == g].mean() for g in range(self.groups)])
            found["spread"].append(of_people.std())
            found["worst"].append(of_people[: max(len(of_people) // 10, 1)].mean())
            last = group == self.groups - 1
            wrong, agreed = last & ((before > 0) != first), last & ((before > 0) == clean)
            found["second"].append(right[wrong].mean())
            found["agreed"].append(((lead > 0) == clean)[agreed].mean())
        return {name: np.round(values, 5).tolist() for name, values in found.items()}

    def own_teachers(self, asked: Choices) -> np.ndarray:
        """Rewards of each person by the teacher of the true group: who may read groups at prediction."""
        every = np.stack([np.asarray(rewards(params, asked)) for params in self.teachers])
        group = np.asarray(asked.attributes["g"])[..., 0]
        return np.take_along_axis(every, np.maximum(group, 0)[None, ..., None], 0)[0]


def _rows(train: Choices, group: int, count: int) -> np.ndarray:
    mine = np.flatnonzero(np.asarray(train.attributes["g"])[:, 0] == group)
    return np.resize(mine, count)


def cell(setting: Setting, method: str) -> dict[str, Any]:
    """Figures of a method on new people."""
    if method == "own teacher":
        return setting.figures(setting.own_teachers)
    if method in SCPO:
        params = setting.minority(SCPO[method])
    elif method == "pooled":
        params = setting.pooled
    else:
        params = fit(methods(setting.who)[method], setting.keys, setting.taught, SETTINGS)
    return setting.figures(lambda asked: rewards(params, asked))


def asked(name: str) -> tuple[str, ...]:
    """The methods of a world."""
    every = tuple(methods(ct.Grouping(ct.Attribute("g", ("0", "1"), chooser=True))))
    if name in NOTE:
        return (*every, "own teacher", *SCPO)
    return (*FEW, "own teacher")


# What is told -------------------------------------------------------------------------------------------------------


def interval(values: np.ndarray) -> tuple[float, float]:
    """Mean, and half the width of its interval."""
    n = len(values)
    half = scipy.stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / n**0.5 if n > 1 else np.nan
    return float(values.mean()), float(half)


def sides(found: dict[str, Any]) -> np.ndarray:
    """Accuracy `[S, 2]` of all groups but the smallest, each alike, and of that."""
    accuracy = np.asarray(found["accuracy"])
    return np.stack([accuracy[:, :-1].mean(1), accuracy[:, -1]], 1)


def accepted(gains: np.ndarray) -> bool:
    """Whether no group's interval of its gain goes below 0, and one lies above; gains `[S, G]`."""
    ends = np.array([np.subtract(*interval(own)) for own in gains.T])
    return bool((ends >= 0).all() and (ends > 0).any())


def told(lines: dict[tuple[str, str], dict[str, Any]]) -> int:
    """The tables, and whether what has to fail fails."""
    fails = True
    for name in dict.fromkeys(world for world, _ in lines):
        own = {method: found["new"] for (world, method), found in lines.items() if world == name}
        seen = {method: found.get("seen") for (world, method), found in lines.items() if world == name}
        base, notes = own["pooled"], NOTE.get(name, {})
        levels = [sides(found).mean(0) for found in (base, seen["pooled"]) if found]
        said = ", ".join("{:.3f} {:.3f}".format(*level) for level in levels)
        print(f"\n{name}: pooled, others and smallest group: {said}", *([f"note {notes['pooled']}"] if notes else []))
        print(f"{'':31}{'new people':32}{'people of train':32}{'note':15} worst second agreed share")
        for method, found in own.items():
            every = np.subtract(found["accuracy"], base["accuracy"])
            ends = [_ends(found, base), _ends(seen[method], seen["pooled"]) if seen[method] else ""]
            note = "{:+.3f} {:+.3f}".format(*notes[method]) if method in notes and method != "pooled" else ""
            share, yes = np.mean((every >= 0).all(1) & (every > 0).any(1)), accepted(every)
            more = "".join(f"{np.mean((seen[method] or found)[key]):7.3f}" for key in ("worst", "second", "agreed"))
            print(f"{method:31}{ends[0]:32}{ends[1]:32}{note:14}{more} {share:5.2f}" + (" accepted" if yes else ""))
            if method != "own teacher" and yes and ("no context" in name or "dealt" in name):
                fails = False
                print("  MUST NOT BE ACCEPTED")
        for student in STUDENTS:
            for control in CONTROLS:
                if student in own and control in own:
                    print(f"  {student} - {control}".ljust(56), _ends(own[student], own[control]))
            if (placebo := lines.get((f"{name}, dealt", student))) and student in own:
                print(f"  {student} - placebo".ljust(56), _ends(own[student], placebo["new"]))
                mean, half = interval((sides(own[student]) - sides(placebo["new"]))[:, 1])
                if mean - half <= 0:
                    print("  the placebo gains as much: what the smallest group gains is not owed to groups")
    print("what has to fail fails" if fails else "A CONTROL PASSES")
    return 0 if fails else 1


def _ends(found: dict[str, Any], base: dict[str, Any]) -> str:
    """By how much more accurate, of all groups but the smallest and of that."""
    gains = sides(found) - sides(base)
    return " ".join("{:+.4f} ±{:.4f}".format(*interval(side)) for side in gains.T)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--worlds", default="", help="names that begin so, separated by commas; left out: all")
    parser.add_argument("--out", type=Path, default=Path("out/people"))
    options = parser.parse_args()
    path = options.out / "people_groups.jsonl"
    known = _lines.finished(path, lambda line: (line["world"], line["method"], line["seeds"]))
    begins = tuple(options.worlds.split(","))
    worlds = [name for name in WORLDS if name.startswith(begins)]
    if "FARO_DATA" not in os.environ:
        print(f"{POLARIZED}: left out, as FARO_DATA is not set", file=sys.stderr)
        worlds = [name for name in worlds if not name.startswith(POLARIZED)]
    for name in worlds:
        missing = [method for method in asked(name) if (name, method, options.seeds) not in known]
        setting = Setting(name, options.seeds) if missing else None
        for method in missing:
            line = {"world": name, "method": method, "seeds": options.seeds, "found": cell(setting, method)}
            known[name, method, options.seeds] = line
            _lines.add(path, line)
    every = [(name, method) for name in worlds for method in asked(name)]
    return told({(name, method): known[name, method, options.seeds]["found"] for name, method in every})


if __name__ == "__main__":
    sys.exit(main())
