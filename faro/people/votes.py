"""Who chose what of which item (`faro.data.items`): the choices of a data set, laid so that two people who were asked
the same are side by side."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from faro.data import Dataset
from faro.data.items import contents, question
from faro.errors import DataError, UsageError
from faro.units import called

ACCEPT, PAIRS, SETS = "accept", "pairs", "sets"
MOST_NAMES = 50  # of alternatives that count as kinds, of which a person can have a level


@dataclasses.dataclass(frozen=True)
class Votes:
    """n choices of P people on I items, each among K alternatives that stand in one order for everybody.

    kind: "accept" (an alternative or none), "pairs" or "sets" (more than two)
    share: `[n, K]` what was chosen, rows sum to 1; ties are equal shares
    available: `[n, K]`
    alternative: `[n, K]` codes of the alternatives by content, -1 = none or the outside option
    person: `[n]` codes 0 to P - 1
    item: `[n]` codes 0 to I - 1
    level: what a person can have a level of, such as "accepted"; "" where alternatives have no names of their own
    place: `[n]` share given to what stood first, in pairs whose places are told; else None
    groups: declared attributes of people: name -> (levels, codes `[P]`, -1 = in no group)
    called: people and items in the words of the table
    rows: `[n]` which choices of the table these are
    notes: what is to be known of how they were read, a sentence each
    """

    kind: str
    share: np.ndarray
    available: np.ndarray
    alternative: np.ndarray
    person: np.ndarray
    item: np.ndarray
    level: str
    place: np.ndarray | None = None
    groups: dict[str, tuple[tuple[str, ...], np.ndarray]] = dataclasses.field(default_factory=dict)
    called: tuple[str, str] = ("people", "items")
    rows: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, int))
    notes: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """Number of choices."""
        return len(self.person)

    @property
    def people(self) -> int:
        """P."""
        return int(self.person.max()) + 1

    @property
    def items(self) -> int:
        """I."""
        return int(self.item.max()) + 1

    @property
    def centred(self) -> np.ndarray:
        """`[n, K]` shares less what is known before person and item: where alternatives have names how often each is
        chosen, among those that are there, else equal shares."""
        rates = self.share.mean(0) if self.level else np.ones(self.share.shape[1])
        before = self.available * rates
        return self.share - before / np.maximum(before.sum(1, keepdims=True), np.finfo(float).tiny)


def votes_of(data: Dataset, item: str | None = None) -> Votes:
    """The choices of a data set by person and item.

    data: with labels, and a column that names people
    item: column that says which choices are of one item; None: by their content

    Rows whose label is the share of several people are left out, as are pairs of two equal alternatives, and counted.
    `DataError` where nobody is named, labels are lacking, or nothing is left; `UsageError` for an item that is no
    column.
    """
    parsed = data.parsed
    if parsed.chosen is None:
        raise DataError(f"{data.name}: no labels, so nobody says what was chosen")
    if data.unit_origin != "column":
        raise DataError(f"{data.name}: every row is a unit, so nobody is known to have chosen twice; name the column")
    if item is not None and item not in data.frame.columns:
        raise UsageError(f"--item {item}: no such column; columns are: {', '.join(map(str, data.frame.columns[:30]))}")
    kind = _kind(parsed.available, parsed.outside)
    alternative = contents(parsed)
    slots, level = _slots(data, kind, alternative)
    order = np.argsort(slots, 1, kind="stable")
    share, available, alternative = (
        np.take_along_axis(of, order, 1) for of in (np.asarray(parsed.chosen, float), parsed.available, alternative)
    )
    slots = np.take_along_axis(slots, order, 1)
    if level and kind != ACCEPT:  # every name has its column
        share, available, alternative = (
            _spread(of, slots, fill) for of, fill in ((share, 0), (available, False), (alternative, -1))
        )
    if item is None:
        codes = question(parsed, alternative, data.unit_codes, data.crossed_codes)
    else:
        codes = _named(data, item, alternative if kind != ACCEPT and not level else None)
    kept, notes = _kept(share, available, alternative, kind, called(data.info.get("unit") or data.schema.unit))
    if not kept.any():
        raise DataError(f"{data.name}: no row is the choice of one person; {'; '.join(notes)}")
    person = np.unique(data.unit_codes[kept], return_inverse=True)[1]
    groups, left = _groups(data, kept, person)
    place = _place(data, kind)
    if not np.all(parsed.weight == parsed.weight[0]):
        notes.append("every choice counts alike here, whatever the table says it weighs")
    return Votes(
        kind, share[kept], available[kept], alternative[kept], person, np.unique(codes[kept], return_inverse=True)[1],
        level, None if place is None else place[kept], groups,
        (called(data.schema.unit), {ACCEPT: "items", PAIRS: "pairs", SETS: "sets"}[kind]),
        np.flatnonzero(kept), (*notes, *left),
    )  # fmt: skip


def _kind(available: np.ndarray, outside: np.ndarray) -> str:
    if available.shape[1] == 2 and np.all(outside.sum(1) == 1):
        return ACCEPT
    return PAIRS if np.all(available.sum(1) == 2) and not outside.any() else SETS


def _named(data: Dataset, item: str, alternative: np.ndarray | None) -> np.ndarray:
    """`[n]` codes of the items that a column names; `DataError` where it names none, or one of other alternatives."""
    cells = data.frame[item].to_numpy(object)[data.parsed.source.max(1)]
    codes = np.asarray(pd.factorize(cells.astype(str), sort=True)[0])
    if pd.isna(cells).any():
        raise DataError(f"{data.name}: column {item!r}: a cell is missing, and it names the item; fill it in")
    first = np.unique(codes, return_index=True)[1][codes]
    if alternative is not None and (differ := (alternative != alternative[first]).any(1)).any():
        choice = data.choice_ids[int(np.argmax(differ))]
        raise DataError(
            f"{data.name}: column {item!r}: choice {choice} has other alternatives than rows before of its item, so "
            "votes on it cannot be counted together; name a column of whole choices, or none"
        )
    return codes


def _slots(data: Dataset, kind: str, alternative: np.ndarray) -> tuple[np.ndarray, str]:
    """(`[n, K]` by what alternatives are put in order, what a person can have a level of)."""
    last = np.where(
        data.parsed.available,
        np.where(data.parsed.outside, np.iinfo(np.int64).max - 1, alternative),
        np.iinfo(np.int64).max,
    )
    if kind == ACCEPT:
        return last, "accepted"
    schema = data.schema
    kinds = {*schema.categorical, *(spec.column for spec in schema.attributes if not spec.chooser)}
    if schema.format == "long" and schema.alternative in kinds:
        texts = data.parsed.alternatives
        names = sorted(set(texts[data.parsed.available].tolist()))
        if len(names) <= MOST_NAMES and not data.parsed.outside.any():
            code = {name: place for place, name in enumerate(names)}
            return np.array([[code.get(text, len(names)) for text in row] for row in texts]), called(schema.alternative)
    return last, ""


def _spread(values: np.ndarray, slots: np.ndarray, fill: Any) -> np.ndarray:
    """`[n, K]` by slot, `[n, L]` with a column for every slot that there is."""
    wide = np.full((len(values), int(slots.max()) + 2), fill, values.dtype)
    np.put_along_axis(wide, slots, values, 1)
    used = np.array([name in np.unique(slots) for name in range(wide.shape[1])])
    return wide[:, used]


def _kept(
    share: np.ndarray, available: np.ndarray, alternative: np.ndarray, kind: str, people: str
) -> tuple[np.ndarray, list[str]]:
    """Which rows are one person's choice, and what is said of the others."""
    positive = (share > 0).sum(1)
    equal = np.abs(share.max(1) * positive - 1) < 1e-4
    notes = []
    if not equal.all():
        notes.append(f"{(~equal).sum():,} rows have the share of several {people}, not the choice of one: left out")
    same = np.zeros(len(share), bool)
    if kind == PAIRS:
        same = (alternative[:, 0] == alternative[:, 1]) & equal
        if same.any():
            notes.append(f"{same.sum():,} pairs are of two equal alternatives: left out")
    ties = equal & ~same & (positive > 1)
    if ties.any():
        notes.append(f"{ties.sum():,} choices are ties, and count half for each")
    return equal & ~same, notes


def _place(data: Dataset, kind: str) -> np.ndarray | None:
    """`[n]` share of the first place, where the table tells places apart from what was chosen."""
    told = data.schema.format == "long" or (data.schema.format == "wide" and bool(data.schema.label))
    if kind != PAIRS or not told or data.parsed.chosen is None:
        return None
    first = data.parsed.available.argmax(1)
    return np.asarray(data.parsed.chosen, float)[np.arange(data.n), first]


def _groups(data: Dataset, kept: np.ndarray, person: np.ndarray) -> tuple[dict[str, Any], list[str]]:
    """The declared attributes of people, and what is said of those that are of none."""
    groups, notes = {}, []
    for spec in data.schema.attributes:
        if not spec.chooser:
            continue
        codes = data.parsed.attributes[spec.name].max(1)[kept]
        first = np.unique(person, return_index=True)[1]
        own = codes[first]
        if (codes != own[person]).any():
            notes.append(f"{spec.name} varies within a person, so it names no group of people: left out")
            continue
        groups[spec.name] = (spec.levels, own)
    return groups, notes
