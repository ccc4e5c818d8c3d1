"""Columns of rewritten texts: what a text would be at each level of an attribute, by rules of words.

Where an alternative's gender has rules, its text in `chosen_answer` is rewritten into `chosen_answer:gender=female` and
`chosen_answer:gender=male`, which are read as the twins that a table brings. At its own level a text is itself, so its
cell is empty there. A text without a word to exchange, or with one of which nobody knows what it means, has no twin. A
chooser's attribute rewrites all texts of the row as one, with what they are read after.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from faro.errors import DataError
from faro.text import dialogue
from faro.text.exchange import Exchange, Exchanged

from .columns import of_side
from .schema import Schema
from .specs import AttributeSpec, TwinSpec
from .values import absent, infer, read

SAMPLES, SHOWN, LEAD = 3, 70, 25  # texts that people may look at, characters of each, and of those before the change


@dataclasses.dataclass(frozen=True)
class Sample:
    """A few words of a text and of what it became."""

    own: str
    other: str
    before: str
    after: str


@dataclasses.dataclass
class Count:
    """What rules did to the texts of a table; a text is counted for every level but its own.

    attribute: whose twins they make; origin: in words; sha256: of the rules; rewritten, unchanged, ambiguous: texts;
    one_way: of those that were rewritten, how many do not become themselves again by the same rules; words: ambiguous
    ones and how often; samples: of what was rewritten; through: whether history is rewritten too: then a text without
    such a word is its own twin, for what was told before it changes
    """

    attribute: str
    origin: str
    sha256: str
    rewritten: int = 0
    unchanged: int = 0
    ambiguous: int = 0
    one_way: int = 0
    through: bool = False
    words: dict[str, int] = dataclasses.field(default_factory=dict)
    samples: list[Sample] = dataclasses.field(default_factory=list)

    @property
    def note(self) -> str:
        """In a sentence."""
        listed = ", ".join(sorted(self.words, key=lambda word: -self.words[word])[:3])
        unknown = f"{self.ambiguous} a word that could be several" + (f" ({listed})" if listed else "")
        stay = " and stay as they are," if self.through else ""
        return (
            f"twins of {self.attribute}: {self.origin}; of {self.rewritten + self.unchanged + self.ambiguous} texts "
            f"{self.rewritten} are rewritten, {self.unchanged} have no word to exchange{stay} and {unknown}: those "
            f"have no twin; {self.one_way} would not be exchanged back into themselves"
        )


class Rewritten(NamedTuple):
    """A table with the columns that rules make, and what they did."""

    frame: pd.DataFrame
    counts: tuple[Count, ...]


def rewritten(schema: Schema, frame: pd.DataFrame, where: str) -> Rewritten:
    """The table with a column of every text that rules rewrite, at every level.

    schema: whose twins are looked at
    frame: the table, with the columns that lexicons give
    where: what messages call it

    `DataError` for a table that brings such a column of its own.
    """
    made: dict[str, pd.Series] = {}
    counts = []
    for twin in schema.twins:
        if twin.rules is None:
            continue
        spec = schema.attribute(twin.attribute)
        count = Count(spec.name, twin.origin, twin.rules.sha256, through=twin.rewrites_history)
        together = _together(schema, spec, frame)
        for column, texts in _places(schema, spec, twin, frame):
            made |= _columns(twin, spec, frame, together, _levels(schema, spec, frame[column]), texts, count)
        counts.append(count)
        for name, cells in made.items():
            if name in frame.columns and _plain(frame[name]) != _plain(cells):
                rules = f"the {twin.rules.called} make it for the twins of {spec.name!r}"
                raise DataError(f"{where}: a column {name!r} is there, and {rules}; leave out one of them")
    return Rewritten(frame.assign(**made) if made else frame, tuple(counts))


def _places(schema: Schema, spec: AttributeSpec, twin: TwinSpec, frame: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """(column of levels, columns of texts that are rewritten together): of each side, or one."""
    names = twin.texts or schema.rewritable(spec)
    specs = [text for text in schema.texts if text.name in names]
    sides = schema.sides if schema.format == "wide" else ("",)

    def columns(side: str, context: bool) -> list[str]:
        own = [of_side(frame, side, text.column or text.name) for text in specs if text.context == context]
        return [column for there in own for column in there]

    if not spec.chooser:
        places = [(of_side(frame, side, spec.column), columns(side, False)) for side in sides]
    else:
        told = {getattr(text, text.of_person) for text in specs if text.summary}  # earlier choices are kept
        beside = [name for text in specs for name in text.beside if name in frame.columns and name not in told]
        every = [column for side in sides for column in columns(side, False)]
        places = [(of_side(frame, "", spec.column), [*every, *columns("", True), *beside])]
    return [(levels[0], [*dict.fromkeys(texts)]) for levels, texts in places if levels and texts]


def _levels(schema: Schema, spec: AttributeSpec, column: pd.Series) -> list[str]:
    """The level of every row, as the schema spells it."""
    kind = schema.types.get(spec.column) or infer([column], spec.levels)
    return read(column, kind, schema.missing).values.tolist()


def _together(schema: Schema, spec: AttributeSpec, frame: pd.DataFrame) -> list[list[int]]:
    """Rows whose texts are rewritten as one: of a chooser's attribute those of a choice."""
    if not spec.chooser or schema.format != "long" or not all(column in frame.columns for column in schema.choice):
        return [[row] for row in range(len(frame))]
    keys = [frame[column].astype(str).tolist() for column in schema.choice]
    groups: dict[tuple[str, ...], list[int]] = {}
    for row, key in enumerate(zip(*keys, strict=True)):
        groups.setdefault(key, []).append(row)
    return [*groups.values()]


def _columns(
    twin: TwinSpec,
    spec: AttributeSpec,
    frame: pd.DataFrame,
    together: list[list[int]],
    levels: list[str],
    texts: list[str],
    count: Count,
) -> dict[str, pd.Series]:
    """The rewritten texts of some columns, at every level."""
    assert twin.rules is not None
    names = {(text, level): twin.column(text, level) for text in texts for level in spec.levels}
    made: dict[str, list[Any]] = {name: [None] * len(frame) for name in names.values()}
    exchanges = {
        (own, other): Exchange(twin.rules, own, other) for own in spec.levels for other in spec.levels if own != other
    }
    columns = {text: _plain(frame[text]) for text in texts}
    for rows in together:
        own, cells = levels[rows[0]], [(text, row) for row in rows for text in texts]
        spoken = [columns[text][row] for text, row in cells]
        if own not in spec.levels or not any(spoken):
            continue
        for other in spec.levels:
            if other == own:
                continue
            to = [_exchanged(exchanges[own, other], text) for text in spoken]
            if _counted(count, own, other, spoken, to, exchanges[other, own]):
                for (text, row), its in zip(cells, to, strict=True):
                    made[names[text, other]][row] = its.text or None
    return {name: pd.Series(cells, frame.index, object) for name, cells in made.items()}


def _counted(count: Count, own: str, other: str, spoken: Sequence[Any], to: Sequence[_Side], back: Exchange) -> bool:
    """Whether texts that are rewritten together have a twin; that is counted, and a few are kept to look at."""
    unknown = [word for its in to for word in its.ambiguous]
    if unknown:
        count.ambiguous += 1
        for word in map(str.lower, unknown):
            count.words[word] = count.words.get(word, 0) + 1
        return False
    changed = [its for its in to if its.sample]
    if not changed:
        count.unchanged += 1
        return count.through
    count.rewritten += 1
    count.one_way += any(_exchanged(back, its.text).text != text for text, its in zip(spoken, to, strict=True))
    sample = Sample(own, other, *changed[0].sample)
    if len(count.samples) < SAMPLES and sample not in count.samples:
        count.samples.append(sample)
    return True


class _Side(NamedTuple):
    """A text, or messages, with the words exchanged."""

    text: dialogue.Side
    ambiguous: tuple[str, ...]
    sample: tuple[str, ...]  # a few words before and after, () where nothing was exchanged


def _exchanged(exchange: Exchange, spoken: dialogue.Side) -> _Side:
    if isinstance(spoken, str):
        its = exchange(spoken)
        return _Side(its.text, its.ambiguous, _around(spoken, its))
    parts = [exchange(message["content"]) for message in spoken]
    samples = [_around(message["content"], its) for message, its in zip(spoken, parts, strict=True)]
    return _Side(
        [{**message, "content": its.text} for message, its in zip(spoken, parts, strict=True)],
        tuple(word for its in parts for word in its.ambiguous),
        next(filter(None, samples), ()),
    )


def _around(text: str, its: Exchanged) -> tuple[str, ...]:
    if its.at < 0:
        return ()
    first = text.rfind(" ", 0, max(its.at - LEAD, 0)) + 1 if its.at > LEAD else 0
    return tuple(" ".join(whole[first : first + SHOWN].split()) for whole in (text, its.text))


def _spoken(cell: Any) -> dialogue.Side:
    return "" if absent(cell) else dialogue.side(cell, "a text")


def _plain(column: pd.Series) -> list[Any]:
    return [_spoken(cell) for cell in column]
