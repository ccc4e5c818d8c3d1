"""What is said of a run beside its figures: notes on its data, doubts about its models, alarms of their own."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from constraints import Choices, Constraint

from .. import models
from ..data import Dataset, Sharded
from ..data.coded import CodedShards
from ..data.sharded import cuts
from ..data.views import View
from ..store.frontier import Frontier
from ..store.on_disk import OnDisk
from ..training import Data, doubts
from ..training.notes import Notes, fit_for, reason, together
from .seed_data import choices_of


def notes_of(
    data: Dataset | Sharded, constraint: Constraint, model: models.Model, views: list[View], training_data: list[Data]
) -> dict[int, Notes]:
    """What is to be known of every seed's train and dev parts, by seed; `DataError` for what cannot carry the
    constraint."""
    notes, schema = {}, data.schema
    sides = schema.format == "wide" and bool(schema.label)  # else a choice's alternatives stand in no order
    held = [own for own in training_data if isinstance(own.train, Choices)]  # else in shards
    rows = max((own.train.shape[0] for own in held), default=0)
    for view, seed_data in zip(views, training_data, strict=True):  # padded: one shape, one compilation
        where = f"{data.name}, seed {view.seed}"
        if held:
            train = seed_data.train.pad(rows)
            dev: Any = choices_of(data, view.rows["dev"], view, constraint.needs()).pad(rows)
        else:
            train = functools.partial(iter, seed_data.train)
            dev = CodedShards(data, view.coding, cuts(data, view.rows["dev"]), constraint.needs(), 1.0)
        fit = fit_for(constraint, train, where, dev, model.support)
        twins = [told for name in constraint.twins() for told in schema.twin(name).told]
        judged = {"selection": [seed_data.selection], "dev": [dev] if held else dev}
        constants = doubts.constant_losses([train] if held else train(), judged, sides)
        notes[view.seed] = dataclasses.replace(fit, train=(*data.notes, *twins, *fit.train), constants=constants)
    return notes


def tell(
    run: Frontier,
    constraint: Constraint,
    model: models.Model,
    notes: Mapping[int, Notes],
    views: list[View],
    training_data: list[Data],
    bounded_part: str,
) -> None:
    """Every model and the manifest are told: of the data, of doubts, and why a model is INFEASIBLE.

    bounded_part: on which the dual player held the bound
    """
    abouts = list(run.models.about() if isinstance(run.models, OnDisk) else (own.about for own in run.models))
    doubted = _doubts(constraint, model, abouts, notes, views, training_data)
    alarms = _alarms(run, model, {view.seed: own.people for view, own in zip(views, training_data, strict=True)})
    for about, doubt, alarm in zip(abouts, doubted, alarms, strict=True):
        own_notes = notes[about["seed"]]
        about.update(notes=[*own_notes.all, *doubts.said([doubt]), *alarm], dev_gap_over=list(own_notes.dev))
        if because := reason(constraint, about, own_notes, bounded_part):
            about["reason"] = because
    sounded = [f"{alarms.count(one)} of {len(alarms)} models: {said}" for one in dict.fromkeys(alarms) for said in one]
    run.manifest.update(
        notes=together({seed: of_seed.all for seed, of_seed in notes.items()}) + doubts.said(doubted) + sounded,
        dev_gap_over=together({seed: of_seed.dev for seed, of_seed in notes.items()}),
    )


def _doubts(
    constraint: Constraint,
    model: models.Model,
    abouts: Sequence[Mapping[str, Any]],
    notes: Mapping[int, Notes],
    views: list[View],
    training_data: list[Data],
) -> list[doubts.Doubts]:
    """What gives reason to doubt every model; of its seed it is what the unconstrained one does, the first."""
    of_seeds = {}
    for about, view, seed_data in zip(abouts, views, training_data, strict=False):
        shapes = seed_data.train if isinstance(seed_data.train, Choices) else seed_data.train[0]
        size = models.parameter_count(model, shapes, view.units)
        of_seeds[view.seed] = doubts.of_seed(about["figures"], notes[view.seed].constants, size, view.seed)
    return [
        of_seeds[about["seed"]]._replace(apart=doubts.apart(constraint, about, notes[about["seed"]].cells))
        for about in abouts
    ]


def _alarms(run: Frontier, model: models.Model, people: Mapping[int, Any]) -> list[tuple[str, ...]]:
    """What the models say of themselves as they were trained; one that is a draw of several says nothing.

    people: of every seed, whose earlier choices they read
    """
    if not models.overrides(model, "alarms"):
        return [() for _ in run.table["model"]]
    return [
        () if own.draw is not None else tuple(model.alarms(own.params, people[own.about["seed"]])) for own in run.models
    ]
