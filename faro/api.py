"""The Python front door: names instead of objects, and a whole run with its pictures and report in one call."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import numbers
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from constraints import Attribute, Choices, Constraint

from . import data as _data
from . import models, report, sweep
from .data import Dataset, Sharded
from .data import Schema as Schema
from .data.mixed import SOURCE
from .errors import UsageError, beside
from .evaluate import bootstrap, subsets
from .losses import Loss, Mean, Objective
from .registry import declared, known, make, make_constraint
from .runtime import devices, locks
from .store import run as store
from .store.frontier import Frontier
from .store.model import TrainedModel
from .store.model import load_model as load_model
from .sweep import Progress
from .training import Settings as Settings
from .training.bounds import check_bounds

if TYPE_CHECKING:
    from .policies import Advantage, Optimisation
    from .policies.tune import Tuned

TRIED_CHOICES = 200  # choices that a constraint is tried on

load = _data.load
Source: TypeAlias = str | os.PathLike | pd.DataFrame | Dataset
Many: TypeAlias = Sequence[str | os.PathLike] | Sharded  # a table in several files


def train(
    data: Source | Many,
    constraint: str | Constraint | None = None,
    *,
    attribute: str | None = None,
    of: str | tuple[str, str] | None = None,
    within: str | None = None,
    bound: float = 0.05,
    seed: int = 0,
    model: str | models.Model = "linear",
    loss: str | Loss | Objective | None = None,
    settings: Settings | Mapping[str, Any] | None = None,
    schema: Any = None,
    pairs: str | None = None,
    encoder: str | None = None,
    mesh: str | None = None,
    stream: bool | int = False,
    progress: Progress = lambda done, total: None,
) -> TrainedModel:
    """Train one model whose gap on the train part is at most `bound`; `model.about["status"]` says whether it is.

        minimise loss  subject to  gap <= bound

    data: a data set's name, the path of a table or a data frame with a `schema`, or a `Dataset`
    constraint: a name (`faro constraints list`; several joined by +), or a `Constraint`, which brings its own bound;
        None: the data set's own
    attribute: a declared attribute, by name, crossed ("sex&race") or several ("sex,race", a constraint for each); None:
        the data set's own, or its only one
    of: kind of alternative that counts, (attribute, level) or "attribute=level"; needed for a chooser's attribute
    within: a declared attribute, inside each level of which groups are compared; None: everywhere at once
    bound: of the gap, in its units (rates: [0, 1]); inf trains without a constraint
    seed: of split, initial parameters and minibatches, 0 to 2**31 - 1
    model: a name ("linear", "mlp", "mlp:64,32", any that a package declares) or a `faro.models.Model`
    loss: what is minimised: a name ("logit", `faro losses list`), a `faro.losses.Loss` or an `Objective`; None: what
        the model says, "logit" as a rule
    settings: `Settings`, or a dictionary of those that differ from the defaults
    schema: of a table: a `Schema`, a dictionary, or the path of a TOML file; else None
    pairs: of answers to prompts: which features they have, as `faro.load` says it; None: the data set's
    encoder: that reads texts which no schema is about, by name or folder; None: minilm
    mesh: how several devices share the work, as "data=4,sweep=2"; None: by default
    stream: train on shards that are read one after another: True for those that `data` names, a folder or a list of
        files (of one `schema`, whole choices in each), or for some of data in memory; a number for so many
    progress: called with (done, total) as the training goes on

    `UsageError` for a wrong argument, or a constraint that no model can move; `DataError` for a table that cannot be
    read, or parts without data.
    """
    if isinstance(stream, numbers.Integral) and not isinstance(stream, bool) and stream < 1:
        raise UsageError(f"stream: expected True, or how many shards, got {stream!r}")
    data = _streamed(data, schema, stream, pairs, encoder) if stream else _dataset(data, schema, pairs, encoder)
    bound = _bound(bound)
    made_constraint = _constraint(data, constraint, attribute, of, within, bound)
    seed = _seeds([seed])[0]
    made_settings, objective = _settings(settings), None if loss is None else make_objective(loss)
    made_model, data = sweep.suited(make_model(model), data)
    return sweep.train(
        data,
        made_constraint,
        seed=seed,
        model=made_model,
        settings=made_settings,
        objective=objective,
        mesh=mesh,
        stream=stream,
        progress=progress,
    )


def frontier(
    data: Source,
    constraint: str | Constraint | None = None,
    *,
    attribute: str | None = None,
    of: str | tuple[str, str] | None = None,
    within: str | None = None,
    bounds: Sequence[float] | int = 20,
    seeds: Sequence[int] | int = 3,
    model: str | models.Model = "linear",
    loss: str | Loss | Objective | None = None,
    settings: Settings | Mapping[str, Any] | None = None,
    schema: Any = None,
    pairs: str | None = None,
    encoder: str | None = None,
    mesh: str | None = None,
    baselines: bool = False,
    memory: int | str | None = None,
    drop_people: bool = False,
    out: str | os.PathLike | None = None,
    overwrite: bool = False,
    command: str = "",
    progress: Progress = lambda done, total: None,
) -> Frontier:
    """Train and judge a model for every bound and seed; with `out`, write table, models, pictures and report there.

    A run that `out` already holds is read, not repeated; one that was killed goes on.

    data: a data set's name, the path of a table or a data frame with a `schema`, or a `Dataset`
    constraint: a name (`faro constraints list`; several joined by +), or a `Constraint`; None: the data set's own
    attribute: a declared attribute, by name, crossed ("sex&race") or several ("sex,race", a constraint for each); None:
        the data set's own, or its only one
    of: kind of alternative that counts, (attribute, level) or "attribute=level"; needed for a chooser's attribute
    within: a declared attribute, inside each level of which groups are compared; None: everywhere at once
    bounds: of the gap, in its units (rates: [0, 1]), as a list; or how many, geometric from 0.01 to
        the unconstrained train gap (from a tenth of it where that is lower)
    seeds: whole numbers as a list, or how many, from 0
    model: a name ("linear", "mlp", "mlp:64,32", any that a package declares) or a `faro.models.Model`
    loss: what is minimised: a name ("logit", `faro losses list`), a `faro.losses.Loss` or an `Objective`; None: what
        the model says, "logit" as a rule
    settings: `Settings`, or a dictionary of those that differ from the defaults
    schema: of a table: a `Schema`, a dictionary, or the path of a TOML file; else None
    pairs: of answers to prompts: which features they have, as `faro.load` says it; None: the data set's
    encoder: that reads texts which no schema is about, by name or folder; None: minilm
    mesh: how several devices share the work, as "data=4,sweep=2"; None: by default
    baselines: whether what other methods reach on the same data is measured too (`Frontier.baselines`)
    memory: about what trials may take on each device beside the data, in bytes or as "2GB"; None: half of the device
    drop_people: whether models are kept without codes and parameters of people who are known (`unit_index`)
    out: folder of the run; None: nothing is written
    overwrite: whether another run in `out` is replaced; else it is a `UsageError`
    command: how the run was started, which the manifest keeps
    progress: called with (done, total) as the training goes on

    `UsageError` for a wrong argument, or a constraint that no model can move; `DataError` for a table that cannot be
    read, or parts without data.
    """
    made_model, data = sweep.suited(make_model(model), _dataset(data, schema, pairs, encoder))
    made_constraint = _constraint(data, constraint, attribute, of, within, 0.05)

    def told(done: int, total: int) -> None:
        if done == 0 and out is not None:  # pictures will be drawn
            report.ahead()
        progress(done, total)

    run = sweep.frontier(
        data,
        made_constraint,
        bounds=_listed("bounds", bounds, numbers.Real),
        seeds=_seeds(seeds),
        model=made_model,
        settings=_settings(settings),
        objective=None if loss is None else make_objective(loss),
        mesh=mesh,
        memory=devices.parse_bytes(memory),
        folder=None if out is None else Path(out),
        overwrite=overwrite,
        baselines=baselines,
        drop_people=drop_people,
        command=command,
        progress=told,
    )
    folder = None if out is None else Path(out)
    wanted = ["hypervolume", *(["baselines"] if baselines else [])]
    there = run.reused and folder is not None and store.has(folder, *wanted) and store.shown(folder)
    if there or not devices.first() or not (folder or baselines):
        return run
    notes: list[str] = []
    with contextlib.nullcontext() if folder is None else locks.alone(folder, folder=True):
        if folder is not None and store.fingerprint(folder) != run.manifest["fingerprint"]:
            raise UsageError(f"{folder}: another run took its place before the report was written")
        sure = beside(
            lambda: bootstrap.measure(run, data, made_constraint), lambda why: notes.append(f"no intervals: {why}")
        )
        if baselines and sure:
            from . import baselines as others  # scipy's solvers take long to import

            room = devices.parse_bytes(memory)
            table = others.measure(run, data, made_constraint, sure, made_model, _settings(settings), memory=room)
            run = dataclasses.replace(run, baselines=table, reused=False)
            if folder is not None:
                others.save(table, folder)
        if folder is not None:
            if sure:
                sure.save(folder)
            if SOURCE in data.attributes:
                beside(
                    lambda: store.write_table(
                        folder, "sources", subsets.of_sources(run, data, (math.inf, report.read_run(folder).focus()))
                    ),
                    lambda why: notes.append(f"no figures of sources: {why}"),
                )
            beside(
                lambda: report.write_shown(report.read_run(folder), folder),
                lambda why: notes.append(f"no pictures and no report: {why}"),
            )
    if notes:
        run = dataclasses.replace(run, manifest={**run.manifest, "notes": [*run.manifest["notes"], *notes]})
    return run


def tune(
    rewards: TrainedModel | str | os.PathLike | Sequence[TrainedModel | str | os.PathLike],
    data: Source,
    constraint: str | Constraint | None = None,
    *,
    attribute: str | None = None,
    of: str | tuple[str, str] | None = None,
    within: str | None = None,
    bound: float | None = None,
    advantage: str | Advantage = "grpo",
    group: str | None = None,
    placebo: bool = False,
    model: str | models.Model = "linear",
    reference: TrainedModel | str | os.PathLike | None = None,
    settings: Optimisation | Mapping[str, Any] | None = None,
    seed: int = 0,
    out: str | os.PathLike | None = None,
    overwrite: bool = False,
    command: str = "",
    progress: Progress = lambda done, total: None,
) -> Tuned:
    """Train a policy over the candidates of a table on the rewards of saved models, with its own rates within a bound.

        maximise  E[reward] - beta KL(policy || reference)  subject to  gap <= bound

    The policy is the softmax of the model that is returned; `policy.about["status"]` says whether it is within the
    bound on train and selection prompts.

    rewards: a saved model, or several (paths or models) that are a reward each; the schema is that of the first
    data: a data set's name, the path of a table, a data frame or a `Dataset`, with the columns of that schema
    constraint: a name (`faro constraints list`; several joined by +), or a `Constraint`; None: the data set's own
    attribute: a declared attribute, by name, crossed ("sex&race") or several ("sex,race", a constraint for each); None:
        the data set's own, or its only one
    of: kind of alternative that counts, (attribute, level) or "attribute=level"; needed for a chooser's attribute
    within: a declared attribute, inside each level of which groups are compared; None: everywhere at once
    bound: of the policy's gap, in its units (rates: [0, 1]); None: there is none, and gaps are measured
    advantage: by which answers are compared: a name (`faro advantages list`) or a `faro.policies.Advantage`
    group: a declared attribute by which answers have a preference group; None: they have none
    placebo: whether groups are dealt at random to people, in the same numbers: what a gain by groups must be over
    model: whose rewards are the policy's logits: a name, or a `faro.models.Model`
    reference: a saved model that the policy begins as and is drawn to; None: `model` before its first step
    settings: `faro.policies.Optimisation`, or a dictionary of those that differ from the defaults
    seed: of initial parameters, prompts and answers; parts are those of the reward's own seed
    out: folder of the run, where a killed one goes on; None: nothing is written
    overwrite: whether another finished run in `out` is replaced; else it is a `UsageError`
    command: how it was started, which the manifest keeps
    progress: called with (done, total) as the training goes on

    `UsageError` for a wrong argument, `DataError` for a table or a reward that cannot be read.
    """
    from .policies import Advantage, Optimisation
    from .policies.tune import Asked
    from .policies.tune import tune as tuned

    many = [rewards] if isinstance(rewards, TrainedModel | str | os.PathLike) else list(rewards)
    loaded = [of if isinstance(of, TrainedModel) else load_model(of) for of in many]
    if not loaded:
        raise UsageError("rewards: expected a saved model, got none")
    named = isinstance(data, str) and data in _data.NAMES
    read = loaded[0].read(load(data) if named else data)
    known("attribute", group, read.attributes) if group is not None else None
    made = make("advantage", advantage) if isinstance(advantage, str) else advantage
    if not isinstance(made, Advantage):
        raise UsageError(f"advantage: expected a name or a faro.policies.Advantage, got {_what(advantage)}")
    values = dataclasses.asdict(settings) if isinstance(settings, Optimisation) else dict(settings or {})
    for name in values:
        known("setting", name, [field.name for field in dataclasses.fields(Optimisation)])
    on = None
    asked_for = any(value is not None for value in (bound, constraint, attribute, of, within))
    if asked_for or read.defaults.get("attribute") or len(read.attributes) == 1:
        on = _constraint(read, constraint, attribute, of, within, math.inf if bound is None else _bound(bound))
    asked = Asked(
        rewards=loaded,
        constraint=on,
        advantage=made,
        group=None if group is None else read.attributes[group],
        model=make_model(model),
        reference=reference if reference is None or isinstance(reference, TrainedModel) else load_model(reference),
        settings=Optimisation(**values),
        seed=_seeds([seed])[0],
        placebo=placebo,
    )
    folder = None if out is None else Path(out)
    return tuned(asked, read, folder=folder, overwrite=overwrite, command=command, progress=progress)


def tried_on(
    data: Source,
    constraint: str | Constraint,
    *,
    attribute: str | None = None,
    of: str | tuple[str, str] | None = None,
    within: str | None = None,
    schema: Any = None,
    rows: int = TRIED_CHOICES,
) -> tuple[Constraint, Choices, str]:
    """A constraint, some choices of the train part to hold it against the contract, and what to call them.

    data: a data set's name, the path of a table or a data frame with a `schema`, or a `Dataset`
    constraint: a name, or a `Constraint`
    attribute: a declared attribute, by name, crossed ("sex&race") or several ("sex,race", a constraint for each); None:
        the data set's own, or its only one
    of: kind of alternative that counts, (attribute, level) or "attribute=level"; needed for a chooser's attribute
    within: a declared attribute, inside each level of which groups are compared; None: everywhere at once
    schema: of a table: a `Schema`, a dictionary, or the path of a TOML file; else None
    rows: choices at most; they have the twins and columns that the constraint reads

    `UsageError` if there is no such column or attribute.
    """
    data = _dataset(data, schema)
    made_constraint = _constraint(data, constraint, attribute, of, within, 0.05)
    train = data.rows("train")
    some = np.sort(np.random.default_rng(0).permutation(train)[:rows])
    choices = data.choices(data.fit_coding(train), some, **made_constraint.needs())
    return made_constraint, jax.tree.map(jnp.asarray, choices), f"{len(some)} choices of {data.name}"


def make_model(model: str | models.Model) -> models.Model:
    """A model by its name.

    model: "linear", "mlp", "mlp:64,32" with the widths of its layers; any that a package declares in the entry-point
        group `faro.models`, or its place "package.module:Name", with options as "mlp(widths=(64, 32))" has them; a
        `faro.models.Model` is itself

    `UsageError` for an unknown name, and for what is no model.
    """
    if isinstance(model, models.Model):
        return model
    if not isinstance(model, str):
        raise UsageError(f"model: expected a name or a faro.models.Model (wrap a Flax module), got {_what(model)}")
    name, colon, widths = model.partition(":")
    if colon and name in declared("model"):
        try:
            sizes = tuple(int(width) for width in widths.split(","))
            if name != "mlp" or min(sizes) < 1:
                raise ValueError
        except ValueError:
            raise UsageError(
                f"model: expected linear, mlp or mlp:WIDTH,WIDTH with whole numbers, got {model!r}"
            ) from None
        model = f"mlp(widths={sizes})"
    made = make("model", model)
    if not isinstance(made, models.Model):
        raise UsageError(f"model {model!r}: expected a faro.models.Model, got {type(made).__name__}")
    return made


def make_objective(loss: str | Loss | Objective) -> Objective:
    """What training minimises.

    loss: a name ("logit", "smoothed(share=0.2)", any that a package declares, or its place), a `Loss`, whose mean it is
        then, or an `Objective`

    `UsageError` for an unknown name, and for what is neither.
    """
    made = make("loss", loss) if isinstance(loss, str) else loss
    if isinstance(made, Loss):
        return Mean(loss=made)
    if not isinstance(made, Objective):
        raise UsageError(f"loss: expected a name, a faro.losses.Loss or an Objective, got {_what(made)}")
    return made


def _settings(settings: Settings | Mapping[str, Any] | None) -> Settings:
    """Settings, checked, also from a dictionary of those that differ from the defaults."""
    values = {} if settings is None else settings
    values = dataclasses.asdict(values) if isinstance(values, Settings) else values
    if not isinstance(values, Mapping):
        raise UsageError(f"settings: expected faro.training.Settings or a dictionary, got {_what(settings)}")
    return Settings.of(values)


def _what(value: Any) -> str:
    """What was given, for a message: as it is written where that is short, else its type."""
    shown = repr(value) if isinstance(value, str | float | int | list | tuple | dict | None) else ""
    return shown if 0 < len(shown) <= 60 and "\n" not in shown else f"a {type(value).__name__}"


def _bound(bound: Any) -> float:
    if isinstance(bound, bool) or not isinstance(bound, numbers.Real):
        raise UsageError(f"bound: expected a number, got {_what(bound)}")
    return check_bounds([float(bound)])[0]


def _listed(what: str, values: Any, kind: type) -> Any:
    """A count as int, or a list of numbers of this kind; one that is no count is a list of one."""
    if isinstance(values, numbers.Integral) and not isinstance(values, bool):
        return int(values)
    many = [values] if isinstance(values, numbers.Number) else values
    wrong = isinstance(many, str) or not isinstance(many, Iterable)
    many = [] if wrong else list(many)
    if wrong or any(isinstance(value, bool) or not isinstance(value, kind) for value in many):
        raise UsageError(f"{what}: expected how many, or a list of numbers, got {_what(values)}")
    return many


def _seeds(seeds: Any) -> Any:
    values = _listed("seeds", seeds, numbers.Integral)
    if not isinstance(values, int) and any(not 0 <= seed < 2**31 for seed in values):
        raise UsageError(f"seeds: expected whole numbers from 0 to {2**31 - 1}, got {seeds}")
    return values


def _streamed(data: Any, schema: Any, stream: bool | int, pairs: str | None, encoder: str | None) -> Dataset | Sharded:
    """A table in several files, or one in memory that is to be cut."""
    several = isinstance(data, Sequence) and not isinstance(data, str)
    folder = isinstance(data, str | os.PathLike) and Path(data).is_dir() and str(data) not in _data.NAMES
    if not (several or folder or isinstance(data, Sharded)):
        return _dataset(data, schema, pairs, encoder)
    if stream is not True:
        raise UsageError("shards: a table in several files has a shard for each; leave the number out")
    if isinstance(data, Sharded):
        return data
    for option, value in (("pairs", pairs), ("encoder", encoder)):
        if value is not None:
            raise UsageError(f"{option}: files that are streamed have a schema, which says what is read; leave it out")
    if schema is None:
        raise UsageError("files need a schema: say which columns are the choice, the label, the features")
    schema = _data.schema_of(schema)
    return Sharded.of_folder(data, schema) if folder else Sharded(data, schema)


def _dataset(data: Any, schema: Any, pairs: str | None = None, encoder: str | None = None) -> Dataset:
    if isinstance(data, Sharded) or (isinstance(data, Sequence) and not isinstance(data, str)):
        raise UsageError("data: a table in several files is streamed; faro.train(stream=True), faro train --stream")
    if isinstance(data, Dataset) and schema is not None:
        raise UsageError("schema: a Dataset has one already; leave it out")
    for option, value in (("pairs", pairs), ("encoder", encoder)):
        if isinstance(data, Dataset) and value is not None:
            raise UsageError(f"{option}: a Dataset has its features already; say it to faro.load")
    return data if isinstance(data, Dataset) else load(data, schema, pairs=pairs, encoder=encoder)


def _constraint(data: Dataset | Sharded, constraint, attribute, of, within, bound) -> Constraint:
    if constraint is not None and not isinstance(constraint, str | Constraint):
        raise UsageError(f"constraint: expected a name or a Constraint, got {_what(constraint)}")
    for what, name in (("attribute", attribute), ("within", within)):
        if isinstance(name, Attribute):
            raise UsageError(
                f"{what}: expected the name of a declared attribute, {name.name!r}, got the Attribute itself"
            )
        if name is not None and not isinstance(name, str):
            raise UsageError(f"{what}: expected the name of a declared attribute, got {_what(name)}")
    if of is not None and not isinstance(of, str | tuple | list):
        raise UsageError(f"of: expected attribute=level, or a pair of both, got {_what(of)}")
    if isinstance(constraint, Constraint):
        if attribute or of or within:
            raise UsageError(
                "attribute, of and within go with a constraint's name; this constraint is an object already"
            )
        return constraint
    default = data.defaults
    unless: tuple[str, ...] = ()
    if attribute is None:  # the data set's own constraint, or another notion on its own attribute
        sole = next(iter(data.attributes)) if len(data.attributes) == 1 else None
        unless = ("attribute",) if of else ("attribute", "of")
        attribute, of = default.get("attribute", sole), of or default.get("of")
    return make_constraint(
        data.attributes,
        default.get("constraint", "demographic_parity") if constraint is None else constraint,
        attribute,
        of=of,
        within=within,
        bound=bound,
        unless=unless,
    )
