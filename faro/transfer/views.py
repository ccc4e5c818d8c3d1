"""What candidates are to the person who is served: whether they agree with the view that was stated, which are true."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..data.decided import Decided
from ..errors import DataError, UsageError


@dataclasses.dataclass(frozen=True, eq=False)
class Views:
    """What candidates are to the person, in n choices of up to K.

    unit: `[n]` codes of people, 0..U-1
    there: `[n, K]` where a candidate is
    agrees: `[n, K]` whether it agrees with the view that the person stated
    right: `[n]` 1 where that view is right, 0 where wrong, -1 where nobody knows
    truth: `[n, K]` whether the candidate is true; None: nobody knows
    label: `[n, K]` what people chose, as shares; None: nobody knows
    weight: `[n]` of the choice among the person's
    taste: `[U]` how much the person likes agreement, where it is known
    viewpoint: `[n, K]` codes of viewpoints, -1 of none; None: nobody knows
    viewpoints: their names
    """

    unit: np.ndarray
    there: np.ndarray
    agrees: np.ndarray
    right: np.ndarray
    truth: np.ndarray | None = None
    label: np.ndarray | None = None
    weight: np.ndarray | None = None
    taste: np.ndarray | None = None
    viewpoint: np.ndarray | None = None
    viewpoints: tuple[str, ...] = ()

    @property
    def people(self) -> int:
        """U."""
        return int(self.unit.max()) + 1

    def means(self, values: np.ndarray, where: np.ndarray | bool = True) -> np.ndarray:
        """`[U]` mean of each person over choices; NaN of who has none.

        values: `[n]`
        where: `[n]` choices that count
        """
        weight = np.where(where, np.ones(len(self.unit)) if self.weight is None else self.weight, 0.0)
        mass, total = (np.bincount(self.unit, of, self.people) for of in (weight, weight * np.where(where, values, 0)))
        return np.divide(total, mass, out=np.full(self.people, np.nan), where=mass > 0)

    def share(self, decisions: np.ndarray, of: np.ndarray) -> np.ndarray:
        """`[n]` how much of a choice is decided for some of its candidates.

        decisions, of: `[n, K]`
        """
        return (decisions * (of & self.there)).sum(1)

    @property
    def draw(self) -> np.ndarray:
        """`[n, K]` decisions of a draw among the candidates."""
        return self.there / self.there.sum(1, keepdims=True)


class Served(NamedTuple):
    """What is decided, and the rewards by which: `[n, K]` each; rewards may be missing."""

    decisions: np.ndarray
    rewards: np.ndarray | None = None


class Asked(NamedTuple):
    """Which columns say what, as COLUMN or COLUMN=LEVEL.

    agrees: of candidates, whether one agrees with the view that the person stated
    right: of choices, whether that view is right; "": of no choice is it known, unless `true` says so
    true: of candidates, whether one is true; a view is then right where all that agree are true, wrong where none is
    viewpoint: column of candidates
    taste: column of people, a number: how much the person likes agreement
    """

    agrees: str
    right: str = ""
    true: str = ""
    viewpoint: str = ""
    taste: str = ""


def as_chosen(decisions: np.ndarray, label: np.ndarray) -> np.ndarray:
    """`[n]` how much of each choice is decided as people chose: sum y d, also of the outside option, which has no row.

    decisions: `[n, K]`
    label: `[n, K]` shares of what was chosen
    """
    return (decisions * label).sum(1) + outside_of(decisions) * outside_of(label)


def outside_of(law: np.ndarray) -> np.ndarray:
    """`[n]` what none of the candidates has.

    law: `[n, K]` shares of each choice
    """
    return np.maximum(1 - law.sum(1), 0)


def read_views(table: Decided, asked: Asked) -> tuple[Views, np.ndarray]:
    """What a table says of its candidates, and which of its choices `[n]` do: those that weigh and have a stated view.

    table: of decisions
    asked: which columns say what
    """
    agrees = table.whether(asked.agrees)
    kept = (agrees >= 0).any(1) & ~((agrees < 0) & table.there).any(1)
    if not kept.any():
        raise DataError(f"{table.where}: {asked.agrees!r} is empty in some row of every choice; who stated a view?")
    weight = table.of_choice("weight", table.numbers("weight", 0)) if "weight" in table.frame else None
    if weight is not None:
        kept &= weight > 0
        if not kept.any():
            raise DataError(f"{table.where}: every choice with a stated view has weight 0")
        weight = weight[kept]
    there, agrees = table.there[kept], agrees[kept] == 1
    unit = pd.factorize(table.units[kept])[0]
    truth, right = None, np.full(len(unit), -1)
    if asked.true:
        told = table.whether(asked.true)[kept]
        if ((told < 0) & there).any():
            raise DataError(f"{table.where}: {asked.true!r} is empty in some row; expected one for every candidate")
        truth = told == 1
        many, of_them = agrees.sum(1), (agrees & truth).sum(1)
        right = np.where(many == 0, -1, np.where(of_them == many, 1, np.where(of_them == 0, 0, -1)))
    if asked.right:
        right = table.of_choice(asked.right, table.whether(asked.right))[kept]
    viewpoint, names = None, ()
    if asked.viewpoint:
        texts = table.texts(asked.viewpoint)[kept]
        names = tuple(sorted(set(texts[there].tolist()) - {""}))
        if len(names) < 2:
            raise UsageError(f"{table.where}: {asked.viewpoint!r} has {len(names)} viewpoints; expected two or more")
        codes = {name: code for code, name in enumerate(names)}
        viewpoint = np.vectorize(lambda text: codes.get(text, -1), otypes=[int])(texts)
    taste = None
    if asked.taste:
        values = table.of_choice(asked.taste, table.numbers(asked.taste))[kept]
        taste = np.zeros(unit.max() + 1)
        taste[unit] = values
        if (taste[unit] != values).any():
            person = table.units[kept][int(np.argmax(taste[unit] != values))]
            raise DataError(f"{table.where}: {asked.taste!r} differs within {person!r}; expected one for every person")
    label = None
    if table.filled("label"):
        label = table.numbers("label", 0, 1)[kept]
    return Views(unit, there, agrees, right, truth, label, weight, taste, viewpoint, names), kept


def read_served(table: Decided, kept: np.ndarray, of: Decided | None = None) -> Served:
    """Decisions and rewards of these choices; `DataError` where another table lacks a row of theirs.

    table: of decisions
    kept: `[n]` choices that are wanted
    of: the table whose choices they are; None: this one
    """
    read = [table.decisions] + ([table.numbers("reward")] if table.filled("reward") else [])
    found = [(values if of is None else like(table, of, values))[kept] for values in read]
    return Served(found[0], found[1] if len(found) > 1 else None)


def like(table: Decided, wanted: Decided, values: np.ndarray) -> np.ndarray:
    """Values of one table's rows, in the places of another's; `DataError` where a row of that has none, or the table
    has more candidates of these choices.

    table: whose values `[n, K]` these are
    wanted: in whose places they are wanted
    values: of the candidates
    """
    if table is wanted:
        return values
    key = ["unit", "choice", "alternative"]
    theirs, asked = (pd.DataFrame({name: own.flat(own.texts(name)) for name in key}) for own in (table, wanted))
    number = theirs.assign(place=np.arange(len(theirs)))
    found = asked.merge(number, "left", on=key)["place"]
    if len(found) != len(asked) or found.isna().any():
        row = asked.iloc[int(np.argmax(found.isna()))]
        raise DataError(
            f"{table.where}: no row of unit {row['unit']!r}, choice {row['choice']!r}, alternative "
            f"{row['alternative']!r}, which {wanted.where} has; score the same data by both models"
        )
    among = pd.MultiIndex.from_frame(theirs[key[:2]]).isin(pd.MultiIndex.from_frame(asked[key[:2]]))
    beyond = among & ~number["place"].isin(found).to_numpy()
    if beyond.any():
        row = number.iloc[int(np.argmax(beyond))]
        raise DataError(
            f"{table.where}: alternative {row['alternative']!r} of unit {row['unit']!r}, choice {row['choice']!r} is "
            f"not in {wanted.where}; score the same data by both models"
        )
    return np.where(wanted.there, table.flat(values)[found.to_numpy(int)][wanted.rows], 0.0)
