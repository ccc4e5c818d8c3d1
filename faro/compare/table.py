"""What methods said, by person: all figures of a row, gains, and who is served."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data import Dataset
from . import field, figures, methods
from .evidence import Fitted, Said
from .names import AGGREGATE, NEW_PEOPLE, PROPORTIONAL, QUESTIONS
from .questions import Questions
from .sure import FEW


class Table:
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

    def means(self, method: tuple[str, bool], what: str, role: str, among: Any = True) -> np.ndarray:
        """`[people]` of a method, of what it said, over its seeds.

        method: its name, and whether a constraint held
        what: of `Said`
        role: of the question
        among: `[n]` bool, choices that count; True: all
        """
        found = []
        for own, rows in zip(self.said[method], self.roles, strict=True):
            weight = np.where(rows[role] & among, self.weight, 0)
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

    def _grouped(self, there: np.ndarray) -> str | None:
        """The first attribute of choosers of which two groups have enough of these people."""
        for name, attribute in self.whole.attributes.items():
            sizes = np.bincount(self._codes(name)[there] + 1, minlength=2)[1:]
            if attribute.chooser and (sizes >= FEW).sum() > 1:
                return name
        return None

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

    def field(self) -> dict[str, Any]:
        """Who is served by which method, on average, in the worst group and in the tail."""
        counted = np.logical_or.reduce([rows[NEW_PEOPLE] for rows in self.roles]) & (self.weight > 0)
        first = field.halves(self.person, self.question.data.choice_names, counted)
        sides = [np.ones(len(first), bool), first, ~first]
        base = (AGGREGATE, False)
        rows = [(*own, "right") for own in self.said]
        rows.insert(1, (PROPORTIONAL, False, "drawn"))
        asked = [(base if name == PROPORTIONAL else (name, held), what) for name, held, what in rows]
        right = np.stack([[self.means(*own, NEW_PEOPLE, side) for own in asked] for side in sides])
        loss = np.stack([[self.means(own, "loss", NEW_PEOPLE, side) for own, _ in asked] for side in sides[1:]])
        there = ~np.isnan(right).any((0, 1))
        served = field.Served(right[0][:, there], right[1:][..., there], loss[..., there])
        attribute = self._grouped(there)
        levels = () if attribute is None else self.whole.attributes[attribute].levels
        codes = None if attribute is None else self._codes(attribute)[there]
        found = field.field(served, rows.index((*base, "right")), codes, levels)
        told = [
            {"method": name, "constrained": held, **row}
            for (name, held, _), row in zip(rows, found.get("methods", []), strict=False)
        ]
        return {**found, "attribute": attribute, "methods": told}
