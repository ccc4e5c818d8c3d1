"""The evaluation of a sweep: every trial's figures again, in float64, from the parameters that are saved.

answer      of a bound: the trial of the seed with the lowest selection loss among those within it, see `answering`
status      FEASIBLE iff the hard train gap is within the requested bound, with few choices decided by a tie
pareto      not dominated by a feasible trial of the same seed on the selection part
"""

from __future__ import annotations

import dataclasses
import functools
import platform
import re
from collections.abc import Sequence
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
from ..data.support import SupportRule, support_sets
from ..data.views import BOUNDED_PART, PARTS, SEEN, View
from ..losses import Mean, Objective
from ..models.evaluate import BLOCK
from ..runtime.checkpoint import Keeper
from ..runtime.programs import Program
from ..runtime.versions import OURS, versions
from ..store import columns
from ..store.draw import Draw
from ..store.frontier import Frontier
from ..store.model import TrainedModel
from ..store.on_disk import OnDisk
from ..store.run import FORMAT, model_name
from ..store.spec import arguments_of, to_record, typed
from ..training import Best, EvaluationRecord, Settings
from ..training.bounds import answering, status_of
from ..training.problem import DEFAULT
from ..training.returned import Solution
from .pareto import pareto

REWARDS = ("alternatives", "rewards", "squared rewards")  # sums from which a model's rewards have a mean and a spread


class Evaluator:
    """Every trial's figures in float64 from its saved parameters, its status, and who is not dominated."""

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
            seeds = [_all_parts(data, view, population, constraint) for view in views]
            largest = max(slices.length for slices, _ in seeds)  # one shape, one compilation
            most = max(len(slices) for slices, _ in seeds)
            self.all_parts = [(slices.padded(largest, most), of_part) for slices, of_part in seeds]
            self.shape = self.all_parts[0][0].shape
            rule = SupportRule(model.support, data.schema.order)
            self.people = [support_sets(data, view.coding, rule, np.float64) for view in views]
        self.program = _program(model, data.k, settings.decides)

    def ahead(self) -> None:
        """Begin to compile what evaluates a trial of one component."""
        choices, of_part = self.shape, self.all_parts[0][1]

        def trial(choices):
            params = models.initial(self.model, jax.random.key(0), choices, self.views[0].units)
            params = jax.tree.map(lambda leaf: jnp.zeros((1, *leaf.shape), np.float64), params)
            return Solution(params, jnp.ones(1, np.float64))  # type: ignore[arg-type]

        with jax.enable_x64(True):
            component = jax.eval_shape(trial, choices)
            self.program.ahead(
                self.doubled, component, choices, np.zeros((len(of_part), choices.shape[0])), self.people[0]
            )

    def figures(self, solution: Any, keeper: Keeper | None = None) -> dict[tuple[str, int], dict[str, np.ndarray]]:
        """By part and seed, figures of all trials `[trials, ...]`; `solution` is read one trial at a time. What a
        `keeper` keeps of a killed run is not evaluated again."""
        kept, figures_of = keeper or Keeper(None), {}
        here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        with jax.enable_x64(True):
            for s, (slices, of_part) in enumerate(self.all_parts):
                weights = np.asarray(solution.weights[s], np.float64)

                def evaluate(trial: int, block: int, *given: Any, s: int = s, weights: np.ndarray = weights) -> Any:
                    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), solution.components(s, trial))
                    args = (self.doubled, Solution(params, weights[trial]), *given)
                    return kept.once(f"seed{self.views[s].seed}.judged{trial}.{block}", self.program, args, here)

                for part, part_figures in _figures(evaluate, weights, slices, of_part, self.people[s]).items():
                    figures_of[part, s] = part_figures
        return figures_of

    def frontier(
        self,
        constraints: list[Constraint],
        best: Best,
        solution: Any,
        trace: EvaluationRecord,
        keeper: Keeper | None = None,
        held: list[Constraint] | None = None,
    ) -> Frontier:
        """The finished sweep; `constraints` are those of its trials as asked, `held` as training held them, if that is
        tighter."""
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
            held,
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
    trace: EvaluationRecord,
    figures,
    objective,
    held: list[Constraint] | None = None,
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
    seen_by_seed = [Seen.of(data, data.rows(SEEN, view.seed)) for view in views]
    sizes = audit_sizes(data, constraint, model.support)
    asked = _bounds(constraints)
    tighter = None if held is None else _bounds(held)
    bounded_part = BOUNDED_PART[settings.dual_data]
    answers = [
        answering(
            figures[bounded_part, s],
            figures["selection", s]["nll"] if objective is None or settings.solution != "best" else best_losses,
            np.array(asked),
            np.asarray(best.finite[s]),
            settings,
            None if tighter is None else np.array(tighter),
        )
        for s, best_losses in enumerate(np.asarray(best.selection_loss))
    ]
    order = [(b, s, int(answers[s][b])) for b in range(len(constraints)) for s in range(len(views))]
    records = []
    for b, s, trial in order:
        part_figures = {
            part: jax.tree.map(lambda leaf, trial=trial: leaf[trial], of_trials)
            for (part, t), of_trials in figures.items()
            if t == s
        }
        record = {
            "constraint": constraint.name(),
            "bound": max(asked[b]),
            columns.TRAINED_AT: max(asked[trial]),
            **({} if tighter is None else {columns.HELD_AT: max(tighter[b])}),
            "seed": views[s].seed,
            "status": status_of(part_figures[bounded_part], asked[b], bool(best.finite[s, b]), settings),
            "pareto": False,
        }
        for part in part_figures:
            record |= {columns.figure(part, key): _scalar(part_figures[part][key]) for key in columns.FIGURES}
            record |= dict(zip(columns.gaps(part, names), map(float, part_figures[part]["gap"]), strict=True))
        if knows:
            record[columns.TRUTH] = float(data.population.frontier([max(asked[b])])[0])
        for part in part_figures:
            record |= {
                columns.rate(part, cell): rate
                for cell, rate in zip(cells, part_figures[part]["rates"].tolist(), strict=True)
            }
        multipliers = np.asarray(trace.multipliers)[s, trial, -1].tolist()
        record |= {
            columns.multiplier(label): value for label, value in zip(constraint.labels(), multipliers, strict=True)
        }
        record[columns.SMALLEST_GAP] = float(np.max(best.smallest_gap[s, trial]))
        record["model"] = model_name(trial, views[s].seed)
        records.append(record)

    def trained(s: int, trial: int) -> TrainedModel:
        """What answers some bounds, by the one that it was trained at, if that is among them, else by the tightest."""
        answered = [b for b, t in enumerate(answers[s]) if t == trial]
        b = trial if trial in answered else min(answered, key=lambda b: max(asked[b]))
        weights = solution.weights[s, trial]
        weights = weights[weights != 0]
        draw = Draw(tuple(weights.tolist()), views[s].seed) if len(weights) > 1 else None
        record = records[b * len(views) + s]
        about = {
            "data": data.name,
            "digest": data.digest,
            "unit_rule": data.unit_rule,
            "seed": views[s].seed,
            "constraint": constraint.name(),
            "bound": [_finite(bound) for bound in asked[b]],
            "trained_at": [_finite(bound) for bound in asked[trial]],
            **({} if tighter is None else {"held_at": [_finite(bound) for bound in tighter[trial]]}),
            "status": record["status"],
            "temperature": settings.temperature,
            **({} if settings.rule == "argmax" else {"rule": settings.rule, "candidates": settings.candidates}),
            "figures": {key: _finite(record[key]) for key in columns.figures_in(record, parts)},
            "audit": sizes,
        }
        if draw is None and (spread := _spread(figures["train", s], trial)):
            about["rewards"] = spread
        specification = to_record(constraints[b])
        return TrainedModel(
            model, None, views[s].coding, data.schema, about, seen_by_seed[s], draw, specification, loss
        )

    members = {(s, trial): trained(s, trial) for s, trial in dict.fromkeys((s, trial) for _, s, trial in order)}

    def params_of(row: int) -> Any:
        _, s, trial = order[row]
        there = np.flatnonzero(solution.weights[s, trial])
        components = jax.tree.map(lambda leaf: leaf[there], solution.components(s, trial))
        return components if len(there) > 1 else jax.tree.map(lambda leaf: leaf[0], components)

    in_rows: Sequence[TrainedModel] = OnDisk([members[s, trial] for _, s, trial in order], params_of)
    in_rows = list(in_rows) if isinstance(solution, Solution) else in_rows
    table = pd.DataFrame(records)
    table["pareto"] = pareto(table)
    step = (settings.every or 1) * np.arange(np.asarray(trace.loss).shape[2])  # an exact solve has one evaluation
    fields = {"loss": trace.loss, "gap": trace.gap, "violation": trace.violation, "multiplier": trace.multipliers}
    fields |= {**trace.kkt._asdict(), "capped": trace.capped}
    traces = {
        name: np.stack([np.asarray(values)[s, trial] for _, s, trial in order]) for name, values in fields.items()
    }
    manifest = _manifest(data, constraint, cells, constraints, views, model, settings, objective)
    return Frontier(table, in_rows, {"step": step, **traces}, manifest)


def _spread(figures: dict[str, np.ndarray], trial: int) -> dict[str, float] | None:
    """Mean and standard deviation of a trial's rewards, of all alternatives of train choices but outside options; None
    where they are no numbers."""
    count, total, squares = (float(figures[name][trial]) for name in REWARDS)
    centre = total / max(count, np.finfo(float).tiny)
    scale = max(0.0, squares / max(count, np.finfo(float).tiny) - centre**2) ** 0.5
    return {"centre": centre, "scale": scale or 1.0} if np.isfinite([centre, scale]).all() else None


def _bounds(constraints: list[Constraint]) -> list[list[float]]:
    return [[float(part.bound) for part in constraint.parts()] for constraint in constraints]


def _all_parts(
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
    evaluate: Any, trial_weights: np.ndarray, slices: Slices, of_part: dict[str, slice], people: Any = None
) -> dict[str, dict[str, np.ndarray]]:
    """By part, figures of all trials of a seed `[trials, ...]`, in expectation over the draw of a component; one
    trial and one slice at a time, so memory grows neither with the sweep nor with the choices. `evaluate(trial, slice,
    ...)` runs the program for one."""
    trials, first = range(len(trial_weights)), 0
    totals: list[Any] = [()] * len(trial_weights)  # what the program is given of the slices before: nothing at first
    measures: list[list[Any]] = [[] for _ in trials]
    shares = []
    for block, choices in enumerate(slices):
        weights = np.zeros((len(of_part), slices.size))
        for row, rows in zip(weights, of_part.values(), strict=True):
            mine = slice(max(0, rows.start - first), max(0, rows.stop - first))
            row[mine] = choices.weight[mine]
        shares.append((np.asarray(choices.weight), weights))
        on_device = jax.device_put((choices, weights))
        for trial in trials:
            added, measured, top = evaluate(trial, block, *on_device, people, *totals[trial])
            totals[trial] = (added,)
            measures[trial].append((measured, top))
            if trial:  # no more than two at a time
                jax.block_until_ready(measures[trial - 1][-1])
        first += slices.size
    weight, weights = (
        np.concatenate([block_weight for block_weight, _ in shares]),
        np.concatenate([block_weights for _, block_weights in shares], 1),
    )
    total = np.maximum(weights.sum(1), np.finfo(float).tiny)
    figures: list[list[dict[str, Any]]] = [[] for _ in of_part]
    for trial in trials:
        sums, measured = jax.tree.map(np.asarray, (totals[trial][0][0], measures[trial][-1][0]))
        confidence, label = jax.tree.map(
            lambda *leaves: np.concatenate(leaves, 1), *[top for _, top in measures[trial]]
        )
        for p, rows in enumerate(of_part.values()):
            components = zip(trial_weights[trial], confidence, label, strict=True)
            errors = [
                share * metrics.ece(sure[rows], said[rows], weight[rows]) for share, sure, said in components if share
            ]
            figures[p].append(
                {name: value[p] / total[p] for name, value in sums.items()}
                | {name: value[p] for name, value in measured.items()}
                | {"n": np.sum(weight[rows] > 0), "ece": np.sum(errors)}
            )
    return {
        part: jax.tree.map(lambda *leaves: np.stack(leaves), *of_trials)
        for part, of_trials in zip(of_part, figures, strict=True)
    }


@functools.lru_cache(maxsize=16)
def _program(model: models.Model, alternatives: int, rule: ct.DecisionRule) -> Program:
    how = models.options(model, alternatives, models.ALTERNATIVES_WORTH_OPTIMISING)  # it runs once a trial
    return Program(functools.partial(_of_trial, model, rule), how, known=("of_trial", model, ct.rule_text(rule)))


def _of_trial(
    model: models.Model,
    rule: ct.DecisionRule,
    constraint: Constraint,
    trial: Solution,
    choices: Choices,
    weights: Array,
    people: Any = None,
    before: Any = None,
) -> Any:
    """Of one trial, on parts with weights `[P, n]`: (weighted sums `[P]` and the constraint's, added to those `before`
    of other choices), gaps and rates `[P, ...]` by all of these, and of every component what `ece` needs `[A, n]`."""

    def sums(seen, hard, slice_choices, part_weights):
        scores, of_parts = joined(seen.scores), part_weights.T
        values = {
            "accuracy": jnp.sum(slice_choices.chosen * hard.decisions, -1),
            "nll": metrics.log_losses(scores, slice_choices),
            "ties": metrics.tied(scores, slice_choices),
        }
        inside = slice_choices.available & ~slice_choices.outside
        rewards = jnp.where(inside, joined(seen.rewards), 0)
        values |= {name: jnp.sum(power, -1) for name, power in zip(REWARDS, (inside, rewards, rewards**2), strict=True)}
        added = {name: of_parts @ jnp.asarray(value, weights.dtype) for name, value in values.items()}
        return added, jax.vmap(lambda weight: constraint.statistics(hard, slice_choices.replace(weight=weight)))(
            of_parts
        )

    def top(seen, hard, slice_choices, part_weights):
        return metrics.top_label(joined(seen.scores), slice_choices)

    def of_component(params):
        return models.evaluate(
            model, params, choices, sums=sums, each=top, rows=weights.T, rule=rule, twins=constraint.twins(),
            people=people,
        )  # fmt: skip

    seen, tops = jax.lax.map(of_component, trial.params)
    added, statistics = jax.tree.map(lambda leaf: jnp.tensordot(trial.weights, leaf, 1), seen)
    if before is not None:
        added, statistics = jax.tree.map(jnp.add, before, (added, statistics))

    def measured(part_statistics):
        pieces = zip(constraint.parts(), ct.statistics_of_parts(constraint, part_statistics), strict=True)
        rates = [part.rates(piece) for part, piece in pieces if isinstance(part, RateConstraint)]
        return {"gap": constraint.gap(part_statistics), "rates": jnp.concatenate([jnp.zeros(0), *rates])}

    return (added, statistics), jax.vmap(measured)(statistics), tops


def _manifest(data, constraint, cells, constraints, views, model, settings, objective) -> dict[str, Any]:
    known = versions(OURS, "jax", "jaxlib", "flax", "optax", "numpy", "pandas")
    manifest = {
        "format": FORMAT,
        "faro": known[OURS],
        "versions": {"python": platform.python_version(), **known},
        "data": {
            "name": data.name,
            "digest": data.digest,
            "unit_rule": data.unit_rule,
            "choices": data.n,
            "people": data.people,
            "unit": data.schema.unit,
            **({"crossed": data.schema.crossed} if data.schema.crossed else {}),
            **data.info,
        },
        "constraint": {
            "name": constraint.name(),
            "parts": [part.name() for part in constraint.parts()],
            "labels": list(constraint.labels()),
            "cells": cells,
            "record": to_record(constraint),
            "asked": arguments_of(constraint, data.attributes),
            "twins": list(constraint.twins()),
        },
        "model": {"name": _said(model), "record": to_record(model), "asked": typed(model)},
        "loss": None if objective is None else _loss(objective),
        "configuration": {"model": _said(model)}
        | {name: _finite(value) for name, value in dataclasses.asdict(settings).items()},
        "seeds": [view.seed for view in views],
        "bounds": [
            max(_finite(float(part.bound)) for part in trial_constraint.parts()) for trial_constraint in constraints[1:]
        ],
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
    named = typed(objective.loss if objective == Mean(loss=objective.loss) else objective)
    return {"name": _said(objective), "record": to_record(objective), "asked": named}


def _scalar(value: Any) -> Any:
    return np.asarray(value).item()


def _finite(value: Any) -> Any:
    """JSON has no infinity and no NaN: they become text."""
    return value if not isinstance(value, float) or np.isfinite(value) else str(value)
