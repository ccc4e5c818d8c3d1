"""Methods fitted on paired seeds, and what each says of every choice: loss, whether it decides right, how surely."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from constraints import Argmax, Choices, Constraint, log_softmax
from constraints.alternatives import joined

from .. import models, sweep
from ..data import Dataset
from ..data.slices import Slices
from ..data.support import SupportRule, support_sets
from ..errors import DataError
from ..models import Model
from ..models.evaluate import BLOCK
from ..people import neighbours
from ..store.frontier import Frontier
from ..store.model import TrainedModel
from ..sweep.aggregates import everyones_error
from ..sweep.ridges import has_products
from ..training import Settings
from ..training.ridge import Ridge

QUICK = {"steps": 120, "every": 10}  # of all methods but the aggregate: a step is dear, few are enough


class Said(NamedTuple):
    """What a model says of n choices.

    loss: `[n]` -log p of what was chosen, in nats
    right: `[n]` share of what was chosen that is decided
    surely: `[n]` probability of the most probable alternative
    drawn: `[n]` probability of what was chosen: share of it that is decided if answers are drawn
    """

    loss: np.ndarray
    right: np.ndarray
    surely: np.ndarray
    drawn: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Fitted:
    """A method on all seeds.

    asked: the choices that are asked, as the method reads them
    models: by whether a constraint held, of every seed
    run: with its figures
    seconds: of a seed, the compiling included
    """

    asked: Dataset
    models: dict[bool, list[TrainedModel]]
    run: Frontier
    seconds: float

    def ridge(self, model: Model, data: Dataset) -> dict[str, Any]:
        """Settings of a ridge like that of these models, the middle one of the seeds', as far as a model has it.

        model: that is to be trained
        data: on which
        """
        chosen = [Ridge.read(own.about["ridge"]) for own in self.models[False]]
        found = {"weight_decay": _middle([float(own.decay) for own in chosen if own])}
        if has_products(model, data.choices(self.models[False][0].coding, data.rows("train")[:1])):
            found["interactions"] = _middle([float(own.interactions) for own in chosen if own])
        return found | ({"width": max(model.widths_offered)} if len(model.widths_offered) > 1 else {})


def fit(
    data: Dataset,
    asked: Dataset,
    model: models.Model,
    seeds: Sequence[int],
    constraint: Constraint | None,
    settings: Settings,
    base: Fitted | None = None,
    folder: Path | None = None,
    overwrite: bool = False,
) -> Fitted:
    """A method on every seed, without a bound and, if there is a constraint, at its bound.

    data: in which hidden choices weigh nothing
    asked: the choices that will be asked
    model: of the method
    seeds: of the splits
    constraint: None: only without
    settings: of training
    base: the aggregate, whose ridge the method has, and takes few steps; None: the data choose
    folder: of a run, which is gone on with or read; None: nothing is kept
    overwrite: another run that is there
    """
    began = time.perf_counter()
    model, data = sweep.suited(model, data)
    if base is not None:
        settings = settings.suiting(QUICK | base.ridge(model, data))
    under = everyones_error() if constraint is None else constraint
    bounds = [float("inf")] if constraint is None else [float(constraint.parts()[0].bound)]
    run = sweep.frontier(
        data,
        under,
        bounds=bounds,
        seeds=seeds,
        model=model,
        settings=settings,
        folder=folder,
        overwrite=overwrite,
    )
    found: dict[bool, list[TrainedModel]] = {}
    for held in (False, True) if constraint is not None else (False,):
        bound = bounds[0] if held else float("inf")
        rows = [run.table.index[(run.table["seed"] == seed) & (run.table["bound"] == bound)][0] for seed in seeds]
        found[held] = [run.models[row] for row in rows]
    seconds = run.manifest.get("seconds", time.perf_counter() - began)
    return Fitted(asked, found, run, seconds / len(seeds))


def near(base: Fitted, data: Dataset, asked: Dataset, support: int) -> Fitted:
    """The models of a method with a memory of train people's answers, by whether a constraint held in their training.

    base: the method
    data: in which hidden choices weigh nothing
    asked: the choices that will be asked
    support: choices of a person that are compared
    """
    began, seeds = time.perf_counter(), len(base.models[False])
    found = {held: [neighbours.fit(own, data, support) for own in trained] for held, trained in base.models.items()}
    return Fitted(asked, found, base.run, base.seconds + (time.perf_counter() - began) / seeds)


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def say(trained: TrainedModel, data: Dataset, known: int | None = None) -> Said:
    """What a model says of all choices of a table, in float64; `DataError` where that is no number: whoever has none
    would be taken for one who was not asked.

    trained: the model
    data: the table, whole people of it
    known: so many choices of support are shown; None: all that it reads
    """
    coding = trained.coding
    model, data = sweep.suited(trained.model, data)
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), trained.params)
        people = support_sets(data, coding, SupportRule(model.support, data.schema.order), np.float64)
        if people is not None and known is not None:
            people = people.replace(weight=people.weight * (np.arange(model.support) < known))
        found = []
        for choices in Slices.of([(data, np.arange(data.n))], coding, {"dtype": np.float64}, BLOCK):
            found.append(jax.tree.map(np.asarray, _say(model, params, choices, people)))
    said = Said(*(np.concatenate(parts)[: data.n] for parts in zip(*found, strict=True)))
    if lost := int((~np.isfinite(said.loss)).sum()):
        raise DataError(
            f"{data.name}: of {lost} of {data.n} choices the model says no number: its training diverged; scale the "
            "features, or set a lower rate"
        )
    return said


@functools.partial(jax.jit, static_argnames="model")
def _say(model: models.Model, params: Any, choices: Choices, people: Any) -> Any:
    def of_slice(seen: models.Seen, outcome: Any, some: Choices, rows: Any) -> Any:
        scores = joined(seen.scores)
        logs = log_softmax(scores, some.available)
        loss = -jnp.sum(jnp.where(some.chosen > 0, some.chosen * logs, 0), -1)
        decided = Argmax().decide(scores, some.available, jnp.zeros_like(scores))
        chances = jnp.where(some.available, jnp.exp(logs), 0)
        return loss, jnp.sum(some.chosen * decided, -1), chances.max(-1), jnp.sum(some.chosen * chances, -1)

    return models.evaluate(model, params, choices, each=of_slice, people=people)[1]
