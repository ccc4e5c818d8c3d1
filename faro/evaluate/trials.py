"""The judgement of a sweep: every member's figures again, in float64, from the parameters that are saved.

status      FEASIBLE iff the hard train gap is within the bound that was asked, with few choices decided by a tie
pareto      not dominated by a feasible member of the same seed on the selection part
"""

from __future__ import annotations

import dataclasses
import functools
import platform
import re
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array

import constraints as ct
from constraints import Choices, Constraint, RateConstraint
from constraints.alternatives import joined

from .. import metrics, models
from ..data import Dataset, Seen, Sharded
from ..data.masses import audit_sizes
from ..data.slices import Slices
from ..data.support import support_sets
from ..data.views import ASKED, PARTS, SEEN, View
from ..losses import Mean, Objective
from ..models.evaluate import BLOCK
from ..runtime import devices
from ..runtime.checkpoint import Keeper
from ..store import columns
from ..store.frontier import Frontier
from ..store.model import Draw, TrainedModel
from ..store.on_disk import OnDisk
from ..store.run import FORMAT, model_name
from ..store.spec import asked as asked_for
from ..store.spec import to_record, typed
from ..training import Best, Look, Settings
from ..training.bounds import status_of
from ..training.game import DEFAULT
from ..training.returned import Solution
from .pareto import pareto


class Judge:
    """Every member's figures in float64 from its saved parameters, its status, and who is not dominated."""

    def __init__(
        self,
        data: Dataset | Sharded,
        constraint: Constraint,
        model: models.Model,
        settings: Settings,
        views: list[View],
        objective: Objective = DEFAULT,
    ):
        self.objective = None if objective == DEFAULT else objective
        self.data, self.constraint, self.model, self.settings, self.views = data, constraint, model, settings, views
        population = None if data.population is None or model.support else data.population.dataset()
        with jax.enable_x64(True):
            self.doubled = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), constraint)
            seeds = [_everybody(data, view, population, constraint) for view in views]
            largest = max(slices.length for slices, _ in seeds)  # one shape, one compilation
            most = max(len(slices) for slices, _ in seeds)
            self.everybody = [(slices.padded(largest, most), of_part) for slices, of_part in seeds]
            self.shape = self.everybody[0][0].shape
            self.people = [support_sets(data, view.coding, model.support, np.float64) for view in views]
        self.program = _program(model, data.k)

    def ahead(self) -> None:
        """Begin to compile what judges a member of one atom."""
        choices, of_part = self.shape, self.everybody[0][1]

        def member(choices):
            params = models.initial(self.model, jax.random.key(0), choices, self.views[0].units)
            params = jax.tree.map(lambda leaf: jnp.zeros((1, *leaf.shape), np.float64), params)
            return Solution(params, jnp.ones(1, np.float64))  # type: ignore[arg-type]

        with jax.enable_x64(True):
            atom = jax.eval_shape(member, choices)
            self.program.ahead(self.doubled, atom, choices, np.zeros((len(of_part), choices.shape[0])), self.people[0])

    def figures(self, solution: Any, keeper: Keeper | None = None) -> dict[tuple[str, int], dict[str, np.ndarray]]:
        """By part and seed, figures of all members `[members, ...]`; `solution` is read one member at a time. What a
        `keeper` keeps of a killed run is not judged again."""
        kept, found = keeper or Keeper(None), {}
        here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        with jax.enable_x64(True):
            for s, (slices, of_part) in enumerate(self.everybody):
                weights = np.asarray(solution.weights[s], np.float64)

                def judge(m: int, block: int, *given: Any, s: int = s, weights: np.ndarray = weights) -> Any:
                    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), solution.atoms(s, m))
                    args = (self.doubled, Solution(params, weights[m]), *given)
                    return kept.once(f"seed{self.views[s].seed}.judged{m}.{block}", self.program, args, here)

                for part, own in _figures(judge, weights, slices, of_part, self.people[s]).items():
                    found[part, s] = own
        return found

    def frontier(
        self, constraints: list[Constraint], best: Best, solution: Any, trace: Look, keeper: Keeper | None = None
    ) -> Frontier:
        """The finished sweep; `constraints` are those of its members."""
        figures = self.figures(solution, keeper)
        return _frontier(
            self.data,
            self.constraint,
            constraints,
            self.model,
            self.settings,
            self.views,
            best,
            solution,
            trace,
            figures,
            self.objective,
        )


def _frontier(
    data,
    constraint,
    constraints,
    model,
    settings,
    views,
    best: Best,
    solution: Any,
    trace: Look,
    figures,
    objective,
) -> Frontier:
    loss = None if objective is None else to_record(objective)
    parts, population = PARTS[settings.dual_data], data.population
    names = [part.name() for part in constraint.parts()]
    knows = population is not None and data.population.constraint == constraint.name()
    cells = [
        columns.cell_of(names, part.name(), cell)
        for part in constraint.parts()
        if isinstance(part, RateConstraint)
        for cell in part.cells()
    ]
    seen = [Seen.of(data, data.rows(SEEN, view.seed)) for view in views]
    sizes = audit_sizes(data, constraint)
    records, trained = [], []
    for b, own in enumerate(constraints):
        asked, specification = [float(part.bound) for part in own.parts()], to_record(own)
        for s, view in enumerate(views):
            judged = {
                part: jax.tree.map(lambda leaf, b=b: leaf[b], own) for (part, t), own in figures.items() if t == s
            }
            status = status_of(judged[ASKED[settings.dual_data]], asked, bool(best.finite[s, b]), settings)
            record = {
                "constraint": constraint.name(),
                "bound": max(asked),
                "seed": view.seed,
                "status": status,
                "pareto": False,
            }
            for part in judged:
                record |= {columns.figure(part, key): _scalar(judged[part][key]) for key in columns.FIGURES}
                record |= dict(zip(columns.gaps(part, names), map(float, judged[part]["gap"]), strict=True))
            if knows:
                record[columns.TRUTH] = float(data.population.frontier([max(asked)])[0])
            for part in judged:
                record |= {
                    columns.rate(part, cell): rate
                    for cell, rate in zip(cells, judged[part]["rates"].tolist(), strict=True)
                }
            multipliers = np.asarray(trace.multipliers)[s, b, -1].tolist()
            record |= {
                columns.multiplier(label): value for label, value in zip(constraint.labels(), multipliers, strict=True)
            }
            record[columns.SMALLEST_GAP] = float(np.max(best.smallest_gap[s, b]))
            record["model"] = model_name(b, view.seed)
            records.append(record)
            weights = solution.weights[s, b]
            weights = weights[weights != 0]
            draw = Draw(tuple(weights.tolist()), view.seed) if len(weights) > 1 else None
            about = {
                "data": data.name,
                "digest": data.digest,
                "unit_rule": data.unit_rule,
                "seed": view.seed,
                "constraint": constraint.name(),
                "bound": [_finite(bound) for bound in asked],
                "status": status,
                "temperature": settings.temperature,
                "figures": {key: _finite(record[key]) for key in columns.figures_in(record, parts)},
                "audit": sizes,
            }
            own_model = TrainedModel(model, None, view.coding, data.schema, about, seen[s], draw, specification, loss)
            trained.append(own_model)

    def params_of(row: int) -> Any:
        b, s = divmod(row, len(views))
        there = np.flatnonzero(solution.weights[s, b])
        own = jax.tree.map(lambda leaf: leaf[there], solution.atoms(s, b))
        return own if len(there) > 1 else jax.tree.map(lambda leaf: leaf[0], own)

    held: Sequence[TrainedModel] = OnDisk(trained, params_of)
    held = list(held) if isinstance(solution, Solution) else held
    table = pd.DataFrame(records)
    table["pareto"] = pareto(table)
    order = [(s, b) for b in range(len(constraints)) for s in range(len(views))]
    step = (settings.every or 1) * np.arange(np.asarray(trace.loss).shape[2])  # an exact solve has one look
    fields = {"loss": trace.loss, "gap": trace.gap, "violation": trace.violation, "multiplier": trace.multipliers}
    fields |= {**trace.kkt._asdict(), "capped": trace.capped}
    traces = {name: np.stack([np.asarray(values)[s, b] for s, b in order]) for name, values in fields.items()}
    manifest = _manifest(data, constraint, cells, constraints, views, model, settings, objective)
    return Frontier(table, held, {"step": step, **traces}, manifest)


def _everybody(
    data: Dataset | Sharded, view: View, population: Any, constraint: Constraint
) -> tuple[Slices, dict[str, slice]]:
    """The choices of all parts of a seed one after another, and where each part is among them."""
    sources = [(data, np.concatenate(list(view.rows.values())))]
    sizes = {part: len(rows) for part, rows in view.rows.items()}
    if population is not None:
        sources.append((population, np.arange(population.n)))
        sizes["population"] = population.n
    ends = np.cumsum(list(sizes.values())).tolist()
    of_part = {part: slice(end - size, end) for (part, size), end in zip(sizes.items(), ends, strict=True)}
    return Slices.of(sources, view.coding, {**constraint.needs(), "dtype": np.float64}, BLOCK), of_part


def _figures(
    judge: Any, member_weights: np.ndarray, slices: Slices, of_part: dict[str, slice], people: Any = None
) -> dict[str, dict[str, np.ndarray]]:
    """By part, figures of all members of a seed `[members, ...]`, in expectation over the draw of an atom; one member
    and one slice at a time, so memory grows neither with the sweep nor with the choices. `judge(member, slice, ...)`
    runs the program for one."""
    every, first = range(len(member_weights)), 0
    totals: list[Any] = [()] * len(member_weights)  # what the program is given of the slices before: nothing at first
    judged: list[list[Any]] = [[] for _ in every]
    shares = []
    for block, choices in enumerate(slices):
        weights = np.zeros((len(of_part), slices.size))
        for row, own in zip(weights, of_part.values(), strict=True):
            mine = slice(max(0, own.start - first), max(0, own.stop - first))
            row[mine] = choices.weight[mine]
        shares.append((np.asarray(choices.weight), weights))
        on_device = jax.device_put((choices, weights))
        for m in every:
            added, measured, top = judge(m, block, *on_device, people, *totals[m])
            totals[m] = (added,)
            judged[m].append((measured, top))
            if m:  # no more than two at a time
                jax.block_until_ready(judged[m - 1][-1])
        first += slices.size
    weight, weights = np.concatenate([own for own, _ in shares]), np.concatenate([own for _, own in shares], 1)
    total = np.maximum(weights.sum(1), np.finfo(float).tiny)
    found: list[list[dict[str, Any]]] = [[] for _ in of_part]
    for m in every:
        sums, measured = jax.tree.map(np.asarray, (totals[m][0][0], judged[m][-1][0]))
        confidence, label = jax.tree.map(lambda *leaves: np.concatenate(leaves, 1), *[top for _, top in judged[m]])
        for p, own in enumerate(of_part.values()):
            atoms = zip(member_weights[m], confidence, label, strict=True)
            errors = [share * metrics.ece(sure[own], said[own], weight[own]) for share, sure, said in atoms if share]
            found[p].append(
                {name: value[p] / total[p] for name, value in sums.items()}
                | {name: value[p] for name, value in measured.items()}
                | {"n": np.sum(weight[own] > 0), "ece": np.sum(errors)}
            )
    return {
        part: jax.tree.map(lambda *leaves: np.stack(leaves), *own) for part, own in zip(of_part, found, strict=True)
    }


@functools.lru_cache(maxsize=16)
def _program(model: models.Model, alternatives: int) -> devices.Program:
    how = models.options(model, alternatives, models.FEW)  # it runs once a member
    return devices.Program(jax.jit(functools.partial(_of_member, model), compiler_options=how))


def _of_member(
    model: models.Model,
    constraint: Constraint,
    member: Solution,
    choices: Choices,
    weights: Array,
    people: Any = None,
    before: Any = None,
) -> Any:
    """Of one member, on parts with weights `[P, n]`: (weighted sums `[P]` and the constraint's, added to those `before`
    of other choices), gaps and rates `[P, ...]` by all of these, and of every atom what `ece` needs `[A, n]`."""

    def sums(seen, hard, own, part_weights):
        scores, of_parts = joined(seen.scores), part_weights.T
        values = {
            "accuracy": jnp.sum(own.chosen * hard.decisions, -1),
            "nll": metrics.log_losses(scores, own),
            "ties": metrics.tied(scores, own),
        }
        added = {name: of_parts @ jnp.asarray(value, weights.dtype) for name, value in values.items()}
        return added, jax.vmap(lambda weight: constraint.statistics(hard, own.replace(weight=weight)))(of_parts)

    def top(seen, hard, own, part_weights):
        return metrics.top_label(joined(seen.scores), own)

    def of_atom(params):
        return models.evaluate(
            model, params, choices, sums=sums, each=top, rows=weights.T, twins=constraint.twins(), people=people
        )

    seen, tops = jax.lax.map(of_atom, member.params)
    added, statistics = jax.tree.map(lambda leaf: jnp.tensordot(member.weights, leaf, 1), seen)
    if before is not None:
        added, statistics = jax.tree.map(jnp.add, before, (added, statistics))

    def measured(own):
        pieces = zip(constraint.parts(), ct.pieces(constraint, own), strict=True)
        rates = [part.rates(piece) for part, piece in pieces if isinstance(part, RateConstraint)]
        return {"gap": constraint.gap(own), "rates": jnp.concatenate([jnp.zeros(0), *rates])}

    return (added, statistics), jax.vmap(measured)(statistics), tops


def _manifest(data, constraint, cells, constraints, views, model, settings, objective) -> dict[str, Any]:
    names = ("faro-fairness", "jax", "jaxlib", "flax", "optax", "numpy", "pandas")
    manifest = {
        "format": FORMAT,
        "faro": metadata.version("faro-fairness"),
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in names}},
        "data": {
            "name": data.name,
            "digest": data.digest,
            "unit_rule": data.unit_rule,
            "choices": data.n,
            "people": data.people,
            **data.info,
        },
        "constraint": {
            "name": constraint.name(),
            "parts": [part.name() for part in constraint.parts()],
            "labels": list(constraint.labels()),
            "cells": cells,
            "record": to_record(constraint),
            "asked": asked_for(constraint, data.attributes),
            "twins": list(constraint.twins()),
        },
        "model": {"name": _said(model), "record": to_record(model), "asked": typed(model)},
        "loss": None if objective is None else _loss(objective),
        "configuration": {"model": _said(model), **dataclasses.asdict(settings)},
        "seeds": [view.seed for view in views],
        "bounds": [max(_finite(float(part.bound)) for part in own.parts()) for own in constraints[1:]],
        "device": jax.devices()[0].device_kind,
    }
    if data.population is not None and data.population.constraint == constraint.name():
        top = max([0.1, *(b for b in manifest["bounds"] if not isinstance(b, str))])
        fine = np.linspace(0, 1.1 * top, 60)
        manifest["truth"] = {"bounds": fine.tolist(), "accuracy": np.asarray(data.population.frontier(fine)).tolist()}
    return manifest


def _said(thing: models.Model | Objective) -> str:
    """A model or an objective for readers; a function has no address there."""
    return re.sub(" at 0x[0-9a-f]+", "", repr(thing))


def _loss(objective: Objective) -> dict[str, Any]:
    """An objective as data, and the text that `faro.api.make_objective` makes it of."""
    asked = typed(objective.loss if objective == Mean(loss=objective.loss) else objective)
    return {"name": _said(objective), "record": to_record(objective), "asked": asked}


def _scalar(value: Any) -> Any:
    return np.asarray(value).item()


def _finite(value: Any) -> Any:
    """JSON has no infinity and no NaN: they become text."""
    return value if not isinstance(value, float) or np.isfinite(value) else str(value)
