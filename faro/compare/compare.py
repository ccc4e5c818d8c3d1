"""Methods side by side on one table, as one record: chosen on the selection part, shown on dev people, out of fold."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from constraints import Constraint

from ..data import NAMES, Dataset, load
from ..errors import DataError, FaroError, UsageError
from ..training import Settings
from . import evidence, methods, shown, sure
from .cold import cold_start
from .evidence import Fitted, Said
from .names import AGGREGATE, NEIGHBOURS, QUESTIONS
from .questions import Questions
from .table import Table

FORMAT = "faro comparison 1"
SEEDS = 5
SUPPORT = 10  # choices of a person that methods read
RUNS = "runs"  # of a folder: a run of each method
Progress = Callable[[str], None]


def compare(
    data: str | os.PathLike | Dataset,
    names: Sequence[str] | None = None,
    *,
    constraint: Constraint | None = None,
    seeds: Sequence[int] | int = SEEDS,
    support: int = SUPPORT,
    schema: Any = None,
    settings: Settings | Mapping[str, Any] | None = None,
    folder: str | os.PathLike | None = None,
    overwrite: bool = False,
    source: str | None = None,
    progress: Progress = lambda line: None,
) -> dict[str, Any]:
    """Which methods are worth it on a table of people: plain data.

    data: a known data set's name, the path of a table, or a `Dataset`
    names: of models; "aggregate" is `linear`, beside which all others stand, and "all" whatever `methods.ALL` names.
        None: `methods.DEFAULT`
    constraint: with which every method is trained as well, at its bound; one that has parts has one bound
    seeds: of splits by person, paired over methods; a list, or how many
    support: choices of a person that methods read before they are asked
    schema: of a table; None: the data set's own
    settings: of training, alike for all
    folder: in which each method has a run; one that is finished is read, one that was stopped goes on. None: no file
    overwrite: runs of something else in that folder
    source: what a command line calls the table; None: its name
    progress: called with a line as each method begins

    A method that cannot read the table is `refused`, with the reason, and the others go on.
    `DataError` for a table that names no people; `UsageError` for unknown methods.
    """
    whole = data if isinstance(data, Dataset) else load(data, schema)
    if whole.unit_origin != "column" or not whole.labelled:
        raise DataError(f"{whole.name}: people are compared: needs a column that names them, and the label")
    splits = list(range(seeds)) if isinstance(seeds, int) else [int(seed) for seed in seeds]
    if not splits or support < 0:
        raise UsageError("expected one seed or more, and support of at least 0")
    asked = methods.listed(names)
    made = {name: methods.model_of(name, support) for name in asked}
    most = max(model.support for model in made.values())
    question = Questions.of(whole, most)
    roles = [question.roles(whole, seed) for seed in splits]
    options = settings if isinstance(settings, Settings) else Settings(**(settings or {}))
    tables: dict[str, Dataset] = {}
    fitted: dict[str, Fitted] = {}
    said: dict[tuple[str, bool], list[Said]] = {}
    refused: dict[str, str] = {}
    for name, model in made.items():
        progress(f"{name}: {len(splits)} seeds")
        base, place = fitted.get(AGGREGATE), None if folder is None else Path(folder, RUNS, methods.file_name(name))
        try:
            methods.check_width(name, names, whole)
            tables[name] = methods.table_of(name, whole)
            train, rest = question.training(tables[name]), tables[name].take(question.rows)
            if name == NEIGHBOURS and base is not None:
                own = evidence.near(base, train, rest, support)
            else:
                own = evidence.fit(train, rest, model, splits, constraint, options, base, place, overwrite)
            heard = {(name, held): [evidence.say(one, rest) for one in trained] for held, trained in own.models.items()}
        except Exception as error:  # of whatever kind: one method costs the others nothing
            if name == AGGREGATE:
                raise
            refused[name] = str(error) if isinstance(error, FaroError) else f"{type(error).__name__}: {error}"
            progress(f"{name} is left out: {refused[name]}")
            continue
        fitted[name] = own
        said |= heard
    asked = [name for name in asked if name in fitted]
    table = Table(whole, question, roles, said)
    rows = [table.row(name, held, fitted[name]) for name, held in said]
    if constraint is not None:
        for row in rows:
            progress(f"{row['method']}: what dev people show")
            models_of_row = fitted[row["method"]].models[row["constrained"]]
            row["shown"] = shown.shown(models_of_row, tables[row["method"]], _bound(constraint))
    gains, columns = table.gains(asked)
    intervals = sure.together(gains)
    told = {} if intervals is None else dict(zip(columns, (own._asdict() for own in intervals), strict=True))
    choice = _recommended(asked, {name: table.selection(name) for name in asked}, told)
    certify = []
    if constraint is not None and folder is not None and choice["method"] != NEIGHBOURS:  # which has no run of its own
        run = Path(folder, RUNS, methods.file_name(choice["method"]))
        certify = shown.commands(run, _bound(constraint), source or whole.name, whole.name in NAMES)
    return {
        "format": FORMAT,
        "data": whole.name,
        "digest": whole.digest,
        "seeds": splits,
        "support": most,
        "people": table.people,
        "constraint": None if constraint is None else {"name": constraint.name(), "bound": _bound(constraint)},
        "asked": {name: _how_many(table, name) for name in QUESTIONS},
        "methods": rows,
        "gains": [{"method": a, "over": b, **told.get((a, b), {"value": None})} for a, b in columns],
        "field": table.field(),
        "cold_start": cold_start(table, fitted),
        "refused": refused,
        "recommended": choice,
        "certify": certify,
        "notes": list(whole.notes) + _doubts(table, most),
    }


def _bound(constraint: Constraint) -> float:
    return float(constraint.parts()[0].bound)


def _recommended(
    asked: list[str], selection: dict[str, float], told: dict[tuple[str, str], dict[str, float]]
) -> dict[str, Any]:
    """The first by the selection part whose gains over what is simpler are above 0 beyond chance, or the simplest."""
    order = sorted((name for name in asked if name != AGGREGATE), key=selection.__getitem__)
    for name in order:
        over = [told.get((name, other), {}).get("low", -np.inf) for other in methods.simpler(name, asked)]
        if over and min(over) > 0:
            rest = " and ".join(methods.simpler(name, asked))
            return {"method": name, "why": f"its nll on new people is below that of {rest}, beyond chance"}
    if not order:
        return {"method": AGGREGATE, "why": "nothing else was compared"}
    if not told:
        return {"method": AGGREGATE, "why": "too few people on dev to tell methods apart: the simplest"}
    beaten = next((name for name in order if told[name, AGGREGATE]["low"] > 0), None)
    if beaten is not None:
        why = f"{beaten} has a lower nll, but none beats everything simpler beyond chance: the simplest"
        return {"method": AGGREGATE, "why": why}
    return {"method": AGGREGATE, "why": "it is as good here: no gain over it is above 0 beyond chance"}


def _how_many(table: Table, role: str) -> dict[str, Any]:
    """People and choices of a question, over seeds; why it cannot be asked."""
    if role not in table.roles[0]:
        return {"people": 0, "choices": 0, "why": "no column of prompts that several people answer (`shared`)"}
    rows = np.logical_or.reduce([own[role] & (table.weight > 0) for own in table.roles])
    found = {"people": len(np.unique(table.person[rows])), "choices": int(rows.sum())}
    return found if found["choices"] else found | {"why": "no choice is left for it"}


def _doubts(table: Table, most: int) -> list[str]:
    """What a reader must know of these figures."""
    notes = []
    alone = np.bincount(table.person, table.question.asked, table.people) == 0
    if alone.any():
        notes.append(f"{int(alone.sum())} people have no choice beyond {most} of support: they are asked nothing")
    if len(table.roles) == 1:
        notes.append("one split alone: figures vary with who is of dev")
    return notes
