"""Methods side by side on one table, as one record: chosen on the selection part, shown on dev people, out of fold."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from constraints import Constraint

from ..data import NAMES, Dataset, load
from ..errors import DataError, UsageError
from ..training import Settings
from . import evidence, figures, methods, questions, shown, sure
from .evidence import Fitted, Said
from .names import AGGREGATE, NEW_PEOPLE, QUESTIONS
from .questions import Questions

FORMAT = "faro comparison 1"
SEEDS = 5
SUPPORT = 10  # choices of a person that methods read
RUNS = "runs"  # of a folder: a run of each method
COLD = (0, 1, 2, 3, 5, 10, 20)
KEPT = 3  # choices that everybody who is scored in the cold start keeps
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
    names: of models; "aggregate" is `linear`, beside which all others stand. None: `methods.DEFAULT`
    constraint: with which every method is trained as well, at its bound; one that has parts has one bound
    seeds: of splits by person, paired over methods; a list, or how many
    support: choices of a person that methods read before they are asked
    schema: of a table; None: the data set's own
    settings: of training, alike for all
    folder: in which each method has a run; one that is finished is read, one that was stopped goes on. None: no file
    overwrite: runs of something else in that folder
    source: what a command line calls the table; None: its name
    progress: called with a line as each method begins

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
    train, roles = question.training(whole), [question.roles(whole, seed) for seed in splits]
    options = settings if isinstance(settings, Settings) else Settings(**(settings or {}))
    fitted: dict[str, Fitted] = {}
    said: dict[tuple[str, bool], list[Said]] = {}
    for name, model in made.items():
        progress(f"{name}: {len(splits)} seeds")
        base, place = fitted.get(AGGREGATE), None if folder is None else Path(folder, RUNS, methods.file_name(name))
        fitted[name] = evidence.fit(train, model, splits, constraint, options, base, place, overwrite)
        for held, trained in fitted[name].models.items():
            said[name, held] = [evidence.say(own, question.data) for own in trained]
    table = _Table(whole, question, roles, said)
    rows = [table.row(name, held, fitted[name]) for name, held in said]
    if constraint is not None:
        for row in rows:
            progress(f"{row['method']}: what dev people show")
            models_of_row = fitted[row["method"]].models[row["constrained"]]
            row["shown"] = shown.shown(models_of_row, whole, _bound(constraint))
    gains, columns = table.gains(asked)
    intervals = sure.together(gains)
    told = {} if intervals is None else dict(zip(columns, (own._asdict() for own in intervals), strict=True))
    choice = _recommended(asked, {name: table.selection(name) for name in asked}, told)
    certify = []
    if constraint is not None and folder is not None:
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
        "cold_start": _cold(table, {name: own.models[False] for name, own in fitted.items()}),
        "recommended": choice,
        "certify": certify,
        "notes": list(whole.notes) + _doubts(table, most),
    }


def _bound(constraint: Constraint) -> float:
    return float(constraint.parts()[0].bound)


class _Table:
    """What was said, by person."""

    def __init__(
        self,
        whole: Dataset,
        question: Questions,
        roles: list[dict[str, np.ndarray]],
        said: dict[tuple[str, bool], list[Said]],
    ):
        self.whole, self.question, self.roles, self.said = whole, question, roles, said
        names, self.person = np.unique(question.data.units, return_inverse=True)
        self.people, self.weight = len(names), np.asarray(question.data.weight, float)

    def means(self, method: tuple[str, bool], what: str, role: str) -> np.ndarray:
        """`[people]` of a method, of loss or right, over its seeds."""
        found = []
        for own, rows in zip(self.said[method], self.roles, strict=True):
            weight = np.where(rows[role], self.weight, 0)
            found.append(figures.by_person(getattr(own, what), weight, self.person, self.people))
        return figures.over_seeds(found)

    def selection(self, name: str) -> float:
        """Mean loss of the selection part, by which a method is chosen."""
        value = figures.mean(self.means((name, False), "loss", "selection"))
        return float("inf") if value is None else value

    def row(self, name: str, held: bool, fitted: Fitted) -> dict[str, Any]:
        """All figures of a method, with a constraint or without."""
        method = (name, held)
        by_question = {}
        for role in QUESTIONS:
            if role in self.roles[0]:
                calibrated = [
                    (own, rows[role], self.weight) for own, rows in zip(self.said[method], self.roles, strict=True)
                ]
                by_question[role] = {
                    "nll": figures.mean(self.means(method, "loss", role)),
                    "accuracy": figures.mean(self.means(method, "right", role)),
                    "ece": figures.calibration(calibrated),
                }
        right = self.means(method, "right", NEW_PEOPLE)
        sizes = np.max([np.bincount(self.person[rows[NEW_PEOPLE]], minlength=self.people) for rows in self.roles], 0)
        trials = fitted.run.table
        bound = trials["bound"].max() if not held else trials["bound"].min()
        mine = trials[trials["bound"] == bound]
        return {
            "method": name,
            "constrained": held,
            "questions": by_question,
            "selection_nll": self.selection(name) if not held else None,
            "accuracy_interval": figures.ends(right),
            "spread": figures.spread(right, sizes),
            "groups": {
                own: figures.of_groups(right, self._codes(own), attribute.levels)
                for own, attribute in self.whole.attributes.items()
                if attribute.chooser
            },
            "against_aggregate": None if method == (AGGREGATE, False) else self._against(method),
            "gap": float(mine["dev_gap"].mean()),
            "feasible": int((mine["status"] == "FEASIBLE").sum()) if held else None,
            "seconds": round(fitted.seconds, 2),
        }

    def _codes(self, attribute: str) -> np.ndarray:
        """`[people]` the level of each, by their first choice."""
        codes = self.question.data.parsed.attributes[attribute].max(1)
        first = np.unique(self.person, return_index=True)[1]
        return codes[first]

    def _against(self, method: tuple[str, bool]) -> dict[str, Any]:
        """Who gains and who loses against the aggregate without a bound: every person by one seed, the first."""
        gain, person, taken = [], [], np.zeros(self.people, bool)
        for own, base, rows in zip(self.said[method], self.said[AGGREGATE, False], self.roles, strict=True):
            mine = rows[NEW_PEOPLE] & (self.weight > 0) & ~taken[self.person]
            gain.append((own.right - base.right)[mine])
            person.append(self.person[mine])
            taken[self.person[mine]] = True
        return figures.helped_and_hurt(np.concatenate(gain), np.concatenate(person), self.people)

    def gains(self, asked: list[str]) -> tuple[np.ndarray, list[tuple[str, str]]]:
        """`[people, columns]` gains of nll of every method over every simpler one, and which these are."""
        loss = {name: self.means((name, False), "loss", NEW_PEOPLE) for name in asked}
        columns = [(name, other) for name in asked for other in methods.simpler(name, asked)]
        made = [loss[other] - loss[name] for name, other in columns]
        return np.stack(made, 1) if made else np.zeros((self.people, 0)), columns


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


def _how_many(table: _Table, role: str) -> dict[str, Any]:
    """People and choices of a question, over seeds; why it cannot be asked."""
    if role not in table.roles[0]:
        return {"people": 0, "choices": 0, "why": "no column of prompts that several people answer (`shared`)"}
    rows = np.logical_or.reduce([own[role] & (table.weight > 0) for own in table.roles])
    found = {"people": len(np.unique(table.person[rows])), "choices": int(rows.sum())}
    return found if found["choices"] else found | {"why": "no choice is left for it"}


def _cold(table: _Table, models: dict[str, list[Any]]) -> dict[str, Any]:
    """nll and accuracy of new people after k of their choices, on the same choices for all k."""
    data, reading = table.question.data, {name: own for name, own in models.items() if own[0].model.support}
    most = max((own[0].model.support for own in reading.values()), default=0)
    steps = [k for k in COLD if k <= most]
    if not reading:
        return {"k": [], "why": "no method reads earlier choices of a person"}
    left = np.bincount(table.person, questions.queries(data, most), table.people)
    kept = left >= KEPT
    roles = [own[NEW_PEOPLE] & kept[table.person] for own in table.roles]
    people = len(np.unique(table.person[np.logical_or.reduce(roles)]))
    if not people:
        return {"k": [], "why": f"nobody keeps {KEPT} choices after {most}"}
    curves: dict[str, list[dict[str, Any]]] = {}
    for name, trained in models.items():
        curves[name] = []
        for k in steps if name in reading else steps[:1]:
            loss, right = [], []
            for model, rows in zip(trained, roles, strict=True):
                own = evidence.say(model, data, k if name in reading else None)
                weight = np.where(rows, table.weight, 0)
                loss.append(figures.by_person(own.loss, weight, table.person, table.people))
                right.append(figures.by_person(own.right, weight, table.person, table.people))
            point = {"nll": figures.mean(figures.over_seeds(loss)), "accuracy": figures.mean(figures.over_seeds(right))}
            curves[name].append({"k": k, **point})
        if name not in reading:
            curves[name] = [{**curves[name][0], "k": k} for k in steps]
    return {"k": steps, "people": people, "curves": curves}


def _doubts(table: _Table, most: int) -> list[str]:
    """What a reader must know of these figures."""
    notes = []
    alone = np.bincount(table.person, table.question.asked, table.people) == 0
    if alone.any():
        notes.append(f"{int(alone.sum())} people have no choice beyond {most} of support: they are asked nothing")
    if len(table.roles) == 1:
        notes.append("one split alone: figures vary with who is of dev")
    return notes
