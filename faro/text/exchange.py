"""Words of a text exchanged by rules: she for he, in their case, so that it reads as if it were of another level.

    levels = ["female", "male"]
    words = [["she", "he"], ["her", "him"], ["her", "his"], ["hers", "his"]]

    [[resolve]]
    row = ["her", "him"]
    before = ["", "to", "that"]     # the word that follows; "": a mark of punctuation or nothing, "*": any word

A row has the word of every level. From one level to another the words of both are exchanged for each other, so that
exchanging twice gives the text again where every word has one counterpart. One that stands in rows of different
counterparts is ambiguous: which is meant is what the first `resolve` says whose row has it and whose `before` the word
that follows is in; if none does, nobody knows. Agreement is a row of several words, ["she is", "they are"]: the longest
is found first.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from faro.errors import UsageError
from faro.files import parse_toml

from .words import WORD, Finder, following, shapes

ANY = "*"


@dataclasses.dataclass(frozen=True)
class Resolve:
    """Before which words a word that stands in several rows is that of `row`."""

    row: tuple[str, ...]
    before: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Rules:
    """Which words are exchanged for which.

    levels: names of the columns of `words`
    words: rows of a word for every level
    resolve: what an ambiguous word means
    file: the name of the file that they stood in, "" if in none
    sha256: of levels, words and resolve; given, it must be right

    `UsageError` for rules that contradict themselves.
    """

    levels: tuple[str, ...]
    words: tuple[tuple[str, ...], ...]
    resolve: tuple[Resolve, ...] = ()
    file: str = ""
    sha256: str = ""

    def __post_init__(self):
        if len(self.levels) < 2 or len({*self.levels}) < len(self.levels):
            raise UsageError(f"{self.called}: expected two or more different levels, got {list(self.levels)}")
        if not self.words:
            raise UsageError(f"{self.called}: expected rows of words, got none")
        for row in self.words:
            one_each = len(row) == len(self.levels) and all(WORD.match(word) and "," not in word for word in row)
            if not one_each or len({*row}) == 1:
                of = ", ".join(self.levels)
                expected = f"different words for {of}, each beginning with a letter or a digit and without a comma"
                raise UsageError(f"{self.called}: expected {expected}, got {list(row)}")
        for resolve in self.resolve:
            if resolve.row not in self.words or not resolve.before:
                raise UsageError(
                    f"{self.called}: resolve: expected a row of `words` and the words that it stands `before`, got "
                    f"{list(resolve.row)} before {list(resolve.before)}"
                )
        said = [self.levels, self.words, [dataclasses.astuple(resolve) for resolve in self.resolve]]
        digest = hashlib.sha256(json.dumps(["faro words 1", *said]).encode()).hexdigest()
        if self.sha256 not in ("", digest):
            raise UsageError(f"{self.called}: sha256 is of other words; leave it out if they were changed on purpose")
        object.__setattr__(self, "sha256", digest)

    @property
    def called(self) -> str:
        """What messages call them."""
        return f"rules {self.file}" if self.file else "rules"

    @property
    def origin(self) -> str:
        """How a text that they made arose, in words."""
        return f"word exchange by {self.called}: not causal"

    def of_level(self, level: str) -> tuple[str, ...]:
        """The words of a level that no other has.

        level: one of `levels`
        """
        place = self.levels.index(level)
        others = {word for row in self.words for number, word in enumerate(row) if number != place}
        return tuple(dict.fromkeys(row[place] for row in self.words if row[place] not in others))

    @classmethod
    def from_dict(cls, values: Any, where: str = "rules") -> Rules:
        """Rules from plain values.

        values: keys `levels`, `words`, `resolve`, as TOML has them
        where: what messages call them

        `UsageError` for an unknown key or a wrong type.
        """
        if not isinstance(values, Mapping):
            raise UsageError(f"{where}: expected a table of levels and words, got {values!r}")
        known = [field.name for field in dataclasses.fields(cls)]
        if unknown := [key for key in values if key not in known]:
            raise UsageError(f"{where}: unknown key {unknown[0]!r}; known: {', '.join(known)}")
        resolve, names = values.get("resolve", []), [values.get(name, "") for name in ("file", "sha256")]
        if not isinstance(resolve, list | tuple) or not all(isinstance(name, str) for name in names):
            raise UsageError(f"{where}: expected [[resolve]] tables, and texts as file and sha256")
        pairs = []
        for part in resolve:
            if not isinstance(part, Mapping) or {*part} != {"row", "before"}:
                raise UsageError(f"{where}: resolve: expected the keys row and before, got {part!r}")
            pairs.append(Resolve(_strings(part["row"], f"{where}: row"), _strings(part["before"], f"{where}: before")))
        rows = values.get("words", [])
        if not isinstance(rows, list | tuple):
            raise UsageError(f"{where}: words: expected a list of rows, got {rows!r}")
        words = tuple(_strings(row, f"{where}: words") for row in rows)
        return cls(_strings(values.get("levels", []), f"{where}: levels"), words, tuple(pairs), *names)

    @classmethod
    def named(cls, name: str, folder: Path = Path()) -> Rules:
        """The rules of a name.

        name: of a TOML file; without an ending one of faro's own: "gender", English words
        folder: where the file is

        `UsageError` if it cannot be read, or holds none.
        """
        own = Path(__file__).with_name(f"{name}.toml")
        return cls.read(own if name.isalpha() and own.is_file() else folder / name)

    @classmethod
    def read(cls, path: Path) -> Rules:
        """The rules in a TOML file.

        path: of the file

        `UsageError` if it cannot be read, or holds none.
        """
        try:
            values = parse_toml(path.read_bytes())
        except OSError as error:
            raise UsageError(f"rules {path}: cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise UsageError(f"rules {path}: {error}") from error
        return cls.from_dict({**values, "file": path.name}, f"rules {path.name}")


def _strings(values: Any, where: str) -> tuple[str, ...]:
    if isinstance(values, list | tuple) and all(isinstance(value, str) for value in values):
        return tuple(values)
    raise UsageError(f"{where}: expected a list of texts, got {values!r}")


class Exchanged(NamedTuple):
    """A text as it would be.

    text: with the words exchanged; at: where the first of them stands, -1 where there is none; ambiguous: the words of
    which nobody knows what they mean, left as they are
    """

    text: str
    at: int
    ambiguous: tuple[str, ...]


class Exchange:
    """The words of two levels exchanged for each other.

    rules: which
    own, other: the levels

    `find` gives the words of a text that may be exchanged.
    """

    def __init__(self, rules: Rules, own: str, other: str):
        one, two = (rules.levels.index(level) for level in (own, other))
        self._meant: dict[str, dict[str, list[tuple[str, ...]]]] = {}  # word -> counterpart -> the rows of both
        for row in rules.words:
            for word, counterpart in ((row[one], row[two]), (row[two], row[one])):
                alike: dict[str, str] = {}
                for shape, its in zip(shapes(word), shapes(counterpart), strict=True):
                    alike.setdefault(shape, its)
                for shape, its in alike.items():
                    self._meant.setdefault(shape, {}).setdefault(its, []).append(row)
        self.find, self._resolve = Finder(self._meant), rules.resolve

    def __call__(self, text: str) -> Exchanged:
        """A text with the words exchanged.

        text: to rewrite
        """
        pieces, end, at, unknown = [], 0, -1, []
        for start, word in self.find(text):
            stop = start + len(word)
            its = self._counterpart(word, following(text, stop))
            if its is None:
                unknown.append(word)
            elif its != word:
                pieces += [text[end:start], its]
                at, end = (start if at < 0 else at), stop
        return Exchanged("".join([*pieces, text[end:]]), at, tuple(dict.fromkeys(unknown)))

    def _counterpart(self, word: str, after: str) -> str | None:
        meant = self._meant[word]
        if len(meant) == 1:
            return next(iter(meant))
        for resolve in self._resolve:
            if after in resolve.before or (after and ANY in resolve.before):
                for its, rows in meant.items():
                    if resolve.row in rows:
                        return its
        return None
