"""A policy over the candidates of a table, trained on the rewards of saved models; what it leaves on disk; resuming."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from constraints import Attribute, Choices, Constraint, DecisionRule, Softmax, add, rule_text

from .. import files, models
from ..data import Dataset
from ..data.candidates import check_sets
from ..data.coding import Coding
from ..data.seen import Seen
from ..data.views import SEEN
from ..errors import DataError, UsageError
from ..runtime import locks
from ..runtime.checkpoint import Keeper
from ..store.model import TrainedModel, load_model
from ..store.spec import to_record
from ..training.bounds import within
from ..training.notes import fit_for
from .advantage import Advantage
from .policy import GIBBS, Answers, Candidates
from .train import Figures, Optimisation, Prompts, State, Task, Trainer

FORMAT = "faro-tune/1"
MANIFEST, TRACE, POLICY, STEPS = "tune.json", "tune.csv", "policy", "steps"
PARTS = {"train": ("train", "dual"), "selection": ("selection",), "dev": ("dev",)}
HELD = ("train", "selection")  # the parts that the bound is held on, together
NO_SOLUTION = "no solution found: no evaluated policy was within the bound on train and selection together"
FEW = "the bound may be out of reach: a multiplier stood at its cap"
OTHER = (
    "{} was trained on another table, or on other columns of this one: its own people are not in policy.units.txt, so "
    "an audit of the policy needs people whom it has not seen either"
)
BIAS = (
    "a group's low mean reward may be the bias of the reward model, which this advantage takes for granted as its "
    "baseline: audit the reward per group first"
)


class Tuned(NamedTuple):
    """A tuned policy.

    policy: a model whose softmax it is; `about["policy"]` says how it was made, `about["status"]` whether it is within
        the bound
    trace: a row per evaluation
    """

    policy: TrainedModel
    trace: pd.DataFrame


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a tuning is, beside the data: all that its result follows from.

    rewards: saved models whose rewards answers have; of several the mean, or what the advantage makes of them
    constraint: on the policy's rates, with its bound (inf: measured only); None: there is none
    advantage: by which answers are compared
    group: attribute by which answers have a preference group; None: they have none
    model: whose rewards are the logits
    reference: a saved model that the policy begins as; None: `model` at the start
    settings: how it is trained
    seed: of initial parameters, prompts and answers; parts are those of the first reward's own seed
    placebo: whether groups are dealt at random, in the same numbers
    """

    rewards: Sequence[TrainedModel]
    constraint: Constraint | None
    advantage: Advantage
    group: Attribute | None = None
    model: models.Model = dataclasses.field(default_factory=models.Linear)
    reference: TrainedModel | None = None
    settings: Optimisation = dataclasses.field(default_factory=Optimisation)
    seed: int = 0
    placebo: bool = False


def tune(
    asked: Asked,
    data: Dataset,
    *,
    folder: Path | None = None,
    overwrite: bool = False,
    command: str = "",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tuned:
    """Train a policy over the candidates of a table; with `folder`, write it there, and go on where a killed run was.

    asked: what is wanted
    data: read by the schema of the first reward; every choice is a prompt and counts once in the reward, by its weight
        in the constraint
    folder: of the run; None: nothing is written
    overwrite: whether another finished run there is replaced
    command: how it was started, which the manifest keeps
    progress: called with (done, total) steps

    `UsageError` for what cannot be trained so, `DataError` for a group with one prompt, a part without prompts, or a
    reference that is none on some set.
    """
    first = asked.rewards[0]
    if asked.reference is not None:
        asked = dataclasses.replace(asked, model=asked.reference.model)
    _check(asked, data)
    check_sets(data, _rule(data))
    coding = first.coding if asked.reference is None else asked.reference.coding
    rows = {part: data.rows(names, _seed(first)) for part, names in PARTS.items()}
    for part, its in rows.items():
        if not len(its):
            raise DataError(f"{data.name}: no prompts in the part {part}; give more data, or another reward's seed")
    told = _told(asked, data, rows)
    manifest = _manifest(asked, data, command)
    if folder is None:
        return _tuned(asked, data, coding, rows, told, Keeper(None), manifest, progress)
    folder.mkdir(parents=True, exist_ok=True)
    with locks.alone(folder, folder=True):
        if (found := _finished(folder, manifest, overwrite)) is not None:
            return found
        keeper = Keeper(folder / STEPS, manifest["fingerprint"])
        tuned = _tuned(asked, data, coding, rows, told, keeper, manifest, progress)
        tuned.policy.save(folder / POLICY)
        files.write_text(folder / TRACE, tuned.trace.to_csv(index=False))
        files.write_json(folder / MANIFEST, manifest)
        keeper.close()
    return tuned


def read(folder: Path) -> Tuned:
    """What `tune` wrote.

    folder: of the run

    `DataError` where there is no finished one.
    """
    if not (folder / MANIFEST).exists():
        raise DataError(f"{folder}: expected a finished run of faro tune, with {MANIFEST}")
    return Tuned(load_model(folder / POLICY), pd.read_csv(folder / TRACE))


def _finished(folder: Path, manifest: dict[str, Any], overwrite: bool) -> Tuned | None:
    """A finished run of the same; `UsageError` for one of another."""
    if not (folder / MANIFEST).exists():
        return None
    stored = json.loads((folder / MANIFEST).read_text("utf-8"))
    if stored.get("fingerprint") == manifest["fingerprint"]:
        return read(folder)
    if not overwrite:
        raise UsageError(f"{folder}: has another finished run; choose another folder, or --overwrite")
    (folder / MANIFEST).unlink()
    return None


# What is asked --------------------------------------------------------------------------------------------------------


def _seed(reward: TrainedModel) -> int:
    return int(reward.about.get("seed", 0))


def _rule(data: Dataset) -> DecisionRule:
    return Softmax() if data.parsed.log_ref is None else GIBBS


def _doubts(asked: Asked, data: Dataset) -> list[str]:
    """What is to be known of the sets, and of the people of other models."""
    models_read = [("a reward", reward) for reward in asked.rewards]
    models_read += [] if asked.reference is None else [("the reference", asked.reference)]
    others = {what for what, model in models_read if model.about.get("digest", data.digest) != data.digest}
    return [*check_sets(data, _rule(data)), *(OTHER.format(what) for what in sorted(others))]


def _check(asked: Asked, data: Dataset) -> None:
    for what, model in (("policy", asked.model), *(("reward", reward.model) for reward in asked.rewards)):
        if model.support or model.own_layers:
            raise UsageError(
                f"{what}: {type(model).__name__} reads earlier choices or layers of an encoder; take another"
            )
    if asked.reference is not None and asked.reference.draw is not None:
        raise UsageError("reference: a randomised model has no one law; take one of its components")
    others = [("rewards", reward) for reward in asked.rewards[1:]]
    others += [("reference", asked.reference)] if asked.reference is not None else []
    for what, other in others:
        if _seed(other) != _seed(asked.rewards[0]):
            raise UsageError(f"{what}: expected models of one seed, whose parts are the same people")
    if asked.placebo and asked.group is None:
        raise UsageError("placebo: there are no groups to deal at random; name a group")
    if asked.advantage.reads and "several" in asked.advantage.reads and len(asked.rewards) < 2:
        raise UsageError(f"{asked.advantage.name()} reads several rewards of each answer; give several models")
    if asked.advantage.name() == "OwnZ" and asked.group and len(asked.rewards) != len(asked.group.levels):
        levels = ", ".join(asked.group.levels)
        raise UsageError(f"OwnZ: expected a reward for each of {levels}, in this order, got {len(asked.rewards)}")


def _told(asked: Asked, data: Dataset, rows: dict[str, np.ndarray]) -> dict[str, Any]:
    """Of every part the rewards `[n, K, M]` and codes of groups `[n, K]`, or None."""
    found = {}
    for part, its in rows.items():
        some = data.take(its)
        rewards = np.stack([reward.rewards(some) for reward in asked.rewards], -1)
        found[part] = np.nan_to_num(rewards), _groups(asked, some, part)
    return found


def _groups(asked: Asked, data: Dataset, part: str) -> np.ndarray | None:
    """Codes `[n, K]` of preference groups; dealt at random to people, or to candidates, where that is asked for."""
    if asked.group is None:
        return None
    codes = np.where(data.parsed.inside, data.parsed.attributes[asked.group.name], -1)
    if part == "train":
        for code, level in enumerate(asked.group.levels):
            if (codes == code).any(1).sum() == 1:
                raise DataError(
                    f"{data.name}: group {level!r} has 1 prompt in train: too few to know its rewards; merge levels"
                )
    if not asked.placebo:
        return codes
    rng = np.random.default_rng(asked.seed)
    if asked.group.chooser:
        _, first, inverse = np.unique(data.unit_codes, return_index=True, return_inverse=True)
        return np.where(codes >= 0, _dealt(codes.max(1)[first], rng)[inverse][:, None], -1)
    return _dealt(codes, rng)


def _dealt(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same codes at other places; -1 stays where it is."""
    dealt = codes.copy()
    dealt[codes >= 0] = rng.permutation(codes[codes >= 0])
    return dealt


def _manifest(asked: Asked, data: Dataset, command: str) -> dict[str, Any]:
    def digest(model: TrainedModel | None) -> str | None:
        if model is None:
            return None
        leaves = [*jax.tree.leaves(model.params), *model.coding.arrays().values()]
        whole = hashlib.sha256(json.dumps([to_record(model.model), model.coding.to_dict()], default=str).encode())
        for leaf in map(np.asarray, leaves):
            whole.update(f"{leaf.shape} {leaf.dtype}".encode() + leaf.tobytes())
        return whole.hexdigest()

    said = {
        "data": data.name,
        "digest": data.digest,
        "rule": rule_text(_rule(data)),
        "candidates": data.schema.candidates or ("" if data.parsed.log_ref is None else "enumerated"),
        "rewards": [digest(reward) for reward in asked.rewards],
        "constraint": None if asked.constraint is None else to_record(asked.constraint),
        "advantage": {"type": asked.advantage.name(), "options": _numbers(asked.advantage)},
        "group": None if asked.group is None else asked.group.name,
        "placebo": asked.placebo,
        "model": to_record(asked.model),
        "reference": digest(asked.reference),
        "settings": dataclasses.asdict(asked.settings),
        "seed": asked.seed,
    }
    fingerprint = hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()
    return {"format": FORMAT, **said, "command": command, "fingerprint": fingerprint}


def _numbers(advantage: Advantage) -> dict[str, Any]:
    return {field.name: getattr(advantage, field.name) for field in dataclasses.fields(advantage)}


# The training ---------------------------------------------------------------------------------------------------------


def _reward(prompts: Prompts, answers: Answers) -> jax.Array:
    rewards, _ = prompts.told
    of_answers = jnp.take_along_axis(rewards, answers.tokens, 1)
    return of_answers[..., 0] if rewards.shape[-1] == 1 else of_answers


def _group(prompts: Prompts, answers: Answers) -> jax.Array:
    return jnp.take_along_axis(prompts.told[1], answers.tokens[..., 0], 1)


def _prompts(choices: Choices, told: Any, real: Any) -> Prompts:
    rewards, codes = told
    return Prompts(
        jax.tree.map(jnp.asarray, choices), (jnp.asarray(rewards, real), None if codes is None else jnp.asarray(codes))
    )


def _tuned(
    asked: Asked,
    data: Dataset,
    coding: Coding,
    rows: dict[str, np.ndarray],
    told: dict[str, Any],
    keeper: Keeper,
    manifest: dict[str, Any],
    progress: Callable[[int, int], None],
) -> Tuned:
    needs = {} if asked.constraint is None else asked.constraint.needs()

    def part(name: str, real: Any = np.float32) -> Prompts:
        return _prompts(data.choices(coding, rows[name], **needs, dtype=real), told[name], real)

    train, selection = part("train"), part("selection")
    notes = _doubts(asked, data)
    notes += [] if asked.constraint is None else fit_for(asked.constraint, train.asked, data.name).all
    group = asked.group
    task = Task(_reward, None if group is None else _group, 1 if group is None else len(group.levels))
    units = 0 if coding.units is None else coding.units.size
    trainer = Trainer(Candidates(asked.model, units), task, asked.advantage, asked.settings)
    beginning, playing = jax.random.split(jax.random.key(asked.seed))
    if asked.reference is None:
        params = trainer.policy.init(beginning, train.asked)
    else:
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), asked.reference.params)
    state, figures = _play(trainer, params, train, selection, asked.constraint, playing, keeper, progress)
    return _result(asked, data, coding, rows, trainer, params, state, figures, part, manifest, notes)


def _play(
    trainer: Trainer,
    params: Any,
    train: Prompts,
    selection: Prompts,
    constraint: Constraint | None,
    key: Any,
    keeper: Keeper,
    progress: Callable[[int, int], None],
) -> tuple[State, Figures]:
    """All evaluations up to the last with finite numbers, from the newest that a killed run kept."""
    count = trainer.settings.steps // trainer.settings.every
    advance = jax.jit(trainer.advance)
    state = trainer.start(params, train, constraint)
    shapes = jax.eval_shape(advance, state, params, train, selection, constraint, key)[1]
    empty = jax.tree.map(lambda leaf: jnp.zeros((count, *leaf.shape), leaf.dtype), shapes)
    done, kept = keeper.newest("state", (state, empty))
    state, figures = jax.tree.map(jnp.asarray, kept)
    for number in range(done, count):
        if not bool(state.finite):
            break
        progress(number * trainer.settings.every, trainer.settings.steps)
        state, now = advance(state, params, train, selection, constraint, key)
        figures = jax.tree.map(lambda whole, leaf, at=number: whole.at[at].set(leaf), figures, now)
        keeper.keep("state", number + 1, (state, figures))
    progress(trainer.settings.steps, trainer.settings.steps)
    played = int(state.played) // trainer.settings.every
    return state, jax.tree.map(lambda leaf: leaf[:played], figures)


def _result(
    asked: Asked,
    data: Dataset,
    coding: Coding,
    rows: dict[str, np.ndarray],
    trainer: Trainer,
    reference: Any,
    state: State,
    traced: Figures,
    part: Any,
    manifest: dict[str, Any],
    notes: list[str],
) -> Tuned:
    """Figures in float64 from the parameters that are saved, and what is said of them."""
    params = jax.tree.map(np.asarray, state.best.params)
    labels = [""] if asked.group is None else [f":{level}" for level in asked.group.levels]
    figures: dict[str, Any] = {}
    sums = []
    with jax.enable_x64(True):
        judge: Any = jax.jit(lambda own, theirs, prompts: trainer.judge(own, theirs, prompts, asked.constraint))
        own, theirs = (jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree) for tree in (params, reference))
        for name in rows:
            prompts = part(name, np.float64)
            for what, its in (("", own), ("reference_", theirs)):
                found = jax.tree.map(np.asarray, judge(its, theirs, prompts))
                groups = {
                    f"{name}_{what}value{label}": float(v) for label, v in zip(labels, found["groups"], strict=True)
                }
                figures |= {f"{name}_{what}value": float(found["value"])} | (groups if asked.group else {})
                if asked.group:
                    figures[f"{name}_{what}worst_value"] = float(np.nanmin(found["groups"]))
                if not what:
                    figures[f"{name}_divergence"] = float(found["divergence"])
                if asked.constraint is not None:
                    figures[f"{name}_{what}gap"] = float(np.max(found["gap"]))
                    sums += [found["statistics"]] if not what and name in HELD else []
        held = np.zeros(0) if asked.constraint is None else np.asarray(asked.constraint.gap(add(*sums)))
    bounds = np.array([] if asked.constraint is None else [float(of.bound) for of in asked.constraint.parts()])
    kept = bool(within(held, bounds))
    figures |= {"held_gap": float(held.max())} if len(held) else {}
    finite = bool(state.finite) and np.isfinite(figures["train_value"])
    status = "DIVERGED" if not finite else "FEASIBLE" if kept else "INFEASIBLE"
    notes = [*notes, NO_SOLUTION] if status == "INFEASIBLE" else notes
    notes += [FEW] if status == "INFEASIBLE" and np.asarray(traced.capped).any() else []
    remembered = {name: np.asarray(of).tolist() for name, of in asked.advantage.remembered(state.advantage).items()}
    if asked.group is not None and remembered:
        least = getattr(asked.advantage, "least", 0)
        quiet = [level for level, n in zip(asked.group.levels, remembered["seen"], strict=True) if n < least]
        notes += [f"no advantage for {', '.join(quiet)}: fewer rewards than `least`"] if quiet else []
        notes += [BIAS]
    about = {
        "data": data.name,
        "digest": data.digest,
        "unit_rule": data.unit_rule,
        "seed": _seed(asked.rewards[0]),
        "constraint": "" if asked.constraint is None else asked.constraint.name(),
        "bound": [float(bound) if np.isfinite(bound) else None for bound in bounds],
        "status": status,
        "figures": {name: value if np.isfinite(value) else None for name, value in figures.items()},
        "notes": notes,
        "rule": manifest["rule"],
        "candidates": manifest["candidates"],
        "policy": {
            "rule": manifest["rule"],
            "step": int(state.best.step),
            "group_rewards": remembered,
            "levels": [] if asked.group is None else list(asked.group.levels),
            **{name: manifest[name] for name in ("advantage", "group", "placebo", "rewards", "reference", "settings")},
            "seed": asked.seed,
        },
    }
    specification = None if asked.constraint is None else to_record(asked.constraint)
    seen = Seen.of(data, data.rows(SEEN, _seed(asked.rewards[0])))
    trained = TrainedModel(asked.model, params, coding, data.schema, about, seen, None, specification)
    return Tuned(trained, _trace(asked, trainer.settings, traced))


def _trace(asked: Asked, settings: Optimisation, traced: Figures) -> pd.DataFrame:
    columns: dict[str, Any] = {"step": settings.every * (1 + np.arange(len(np.asarray(traced.value))))}
    for name in ("value", "selection_value", "divergence", "selection_divergence"):
        columns[name] = np.asarray(getattr(traced, name), float)
    for code, level in enumerate(() if asked.group is None else asked.group.levels):
        columns[f"selection_value:{level}"] = np.asarray(traced.groups, float)[:, code]
    if asked.constraint is not None:
        columns["gap"] = np.asarray(traced.gap, float).max(1)
        for label, of in zip(asked.constraint.labels(), np.asarray(traced.multipliers, float).T, strict=True):
            columns[f"multiplier:{label}"] = of
    return pd.DataFrame(columns)
