"""Attributes that a list of words gives: whom a text mentions. They are nobody's own, and are marked "by lexicon"."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd

from faro.errors import DataError, UsageError
from faro.text import dialogue
from faro.text.words import Finder, shapes

from .schema import Schema
from .specs import AttributeSpec
from .values import absent

BOTH, NEITHER = "both", "neither"
SAMPLES, SHOWN = 3, 70  # texts of a level that people may look at, and characters of each


class Mentions(NamedTuple):
    """A table with the columns that lexicons give, and a note of each."""

    frame: pd.DataFrame
    notes: tuple[str, ...]


def by_lexicon(schema: Schema, frame: pd.DataFrame, where: str) -> Mentions:
    """The table with the column of every attribute that a lexicon gives: the level whose words a text has, "both" of
    several, "neither" of none.

    schema: whose attributes are looked at
    frame: the table, with texts
    where: what messages call it

    `DataError` for a text that the table lacks.
    """
    made, notes = {}, []
    for spec in schema.attributes:
        if not spec.lexicon:
            continue
        counts: dict[str, int] = {}
        for text, column in _places(schema, spec):
            if text not in frame.columns:
                names = ", ".join(map(str, frame.columns[:30]))
                raise DataError(
                    f"{where}: no column {text!r} (the lexicon of {spec.name!r} reads it); columns are: {names}"
                )
            levels = mentioned(spec, [_spoken(cell) for cell in frame[text]])
            made[column] = pd.Series(levels, frame.index, object)
            for level in levels:
                counts[level] = counts.get(level, 0) + 1
        listed = ", ".join(f"{level} {counts.get(level, 0)}" for level in (*spec.lexicon, BOTH, NEITHER))
        notes.append(f"attribute {spec.name}: by lexicon, what texts mention and nobody's own ({listed})")
    return Mentions(frame.assign(**made), tuple(notes))


def mentioned(spec: AttributeSpec, texts: list[str]) -> list[str]:
    """Of every text which level's words it has, whole words in the cases of `faro.text.words`.

    spec: of the attribute, with a lexicon
    texts: to look at
    """
    finders = {level: _finder(spec, words) for level, words in spec.lexicon.items()}
    levels = []
    for text in texts:
        found = [level for level, find in finders.items() if any(find(text))]
        levels.append(found[0] if len(found) == 1 else BOTH if found else NEITHER)
    return levels


def samples(schema: Schema, spec: AttributeSpec, frame: pd.DataFrame) -> dict[str, list[str]]:
    """Level -> the beginnings of a few texts that the lexicon gives it.

    schema: of the table
    spec: of the attribute, with a lexicon
    frame: the table with its columns
    """
    shown: dict[str, list[str]] = {}
    for text, column in _places(schema, spec):
        for cell, level in zip(frame[text], frame[column], strict=True):
            some = shown.setdefault(level, [])
            beginning = " ".join(_spoken(cell).split())[:SHOWN]
            if len(some) < SAMPLES and beginning not in some:
                some.append(beginning)
    return shown


def _places(schema: Schema, spec: AttributeSpec) -> list[tuple[str, str]]:
    """(column of texts, column of levels): of each side, or one."""
    if schema.format == "wide" and not spec.chooser:
        return [(f"{side}_{spec.text}", f"{side}_{spec.column}") for side in schema.sides]
    return [(spec.text, spec.column)]


def _finder(spec: AttributeSpec, words: str) -> Finder:
    parts = filter(None, (" ".join(word.split()) for word in words.split(",")))
    try:
        return Finder(shape for word in parts for shape in shapes(word))
    except ValueError as error:
        raise UsageError(f"attribute {spec.name!r}: lexicon: expected {error}") from None


def _spoken(cell: Any) -> str:
    if absent(cell):
        return ""
    spoken = dialogue.side(cell, "a text")
    return spoken if isinstance(spoken, str) else "\n".join(message["content"] for message in spoken)
