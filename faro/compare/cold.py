"""The cold start: what methods make of so many choices of somebody new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from . import evidence, figures, questions
from .evidence import Fitted
from .names import NEW_PEOPLE
from .table import Table

COLD = (0, 1, 2, 3, 5, 10, 20)
KEPT = 3  # choices that everybody who is scored keeps


def cold_start(table: Table, fitted: Mapping[str, Fitted]) -> dict[str, Any]:
    """nll and accuracy of new people after k of their choices, on the same choices for all k.

    table: of what methods said
    fitted: the methods, of which those without a bound are asked
    """
    models = {name: own.models[False] for name, own in fitted.items()}
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
                own = evidence.say(model, fitted[name].asked, k if name in reading else None)
                weight = np.where(rows, table.weight, 0)
                loss.append(figures.by_person(own.loss, weight, table.person, table.people))
                right.append(figures.by_person(own.right, weight, table.person, table.people))
            point = {"nll": figures.mean(figures.over_seeds(loss)), "accuracy": figures.mean(figures.over_seeds(right))}
            curves[name].append({"k": k, **point})
        if name not in reading:
            curves[name] = [{**curves[name][0], "k": k} for k in steps]
    return {"k": steps, "people": people, "curves": curves}
