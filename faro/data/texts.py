"""Columns of texts as array features: an index into the vectors of the different texts, made when they are first read.

A text feature `answer` becomes the array `answer` whose rows are named by columns `answer:row` (of sides
`chosen_answer:row`), beside them `answer_tokens` and, where answers stand beside each other, `answer_length`:
"shorter", "longer" or "equal". A row is a text's vector, or the product of two texts' vectors, number by number. What
the array is, is said by its texts and by the digest of its encoder, not by its floats, so digests and parts do not
depend on the machine.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from faro.errors import DataError, UsageError
from faro.text import cache, dialogue, known
from faro.text.encoder import Encoder
from faro.text.tokens import Text
from faro.units import plain

from . import preferences
from .lexicon import by_lexicon
from .mapped import Scan, Stored
from .pair_features import FORMS, with_pairs
from .rewriting import rewritten
from .schema import Schema
from .specs import ArraySpec, SummarySpec, TextSpec, TwinSpec
from .values import absent

Progress = Callable[[int, int], None]
NO_TEXT = "fill it in, or declare on_missing = 'drop'"


@dataclasses.dataclass(frozen=True, eq=False)
class StoredTexts(Stored):
    """The vectors of texts, or products of two each, as an array `[N, d]`; computed, or found on disk, when a row is
    first read. `factors [N, 1 or 2]`: which of the different `texts` a row is of. With `layers` what
    comes before those, of every token, `[N, T, d + 1]` (`faro.text.cache.States`)."""

    encoder: Encoder | None = None
    texts: tuple[Text, ...] = ()
    factors: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 1), int))
    counted: cache.Counted | None = None
    kept: str = "float32"  # numbers of the vectors on disk
    layers: int = 0

    @classmethod
    def of_texts(
        cls, spec: TextSpec, encoder: Encoder, texts: Sequence[Text], factors: np.ndarray, where: str
    ) -> StoredTexts:
        """Those of the different texts, a row for each of the factors."""
        counted = cache.count(encoder, texts, dtype=spec.dtype, layers=spec.layers)
        own = (cache.places(counted.read), encoder.width + 1) if spec.layers else (encoder.width,)
        shape, dtype = (len(factors), *own), np.dtype("float32" if spec.times else spec.dtype)
        return cls(
            spec.name, f"text {spec.name!r} of {where}", shape, dtype, encoder=encoder, texts=tuple(texts),
            factors=factors, counted=counted, kept=spec.dtype, layers=spec.layers,
        )  # fmt: skip

    def embed(self, progress: Progress = lambda done, total: None) -> cache.Embedded:
        """Compute what is not on disk yet."""
        if "_vectors" not in self.__dict__:
            assert self.encoder is not None
            how: dict[str, Any] = {"dtype": self.kept, "layers": self.layers, "progress": progress}
            self.__dict__["_vectors"] = cache.embed(self.encoder, self.texts, **how)
        return self.__dict__["_vectors"]

    @property
    def row(self) -> tuple[int, ...]:
        return (0, *self.shape[2:]) if self.layers else self.shape[1:]

    def read(self, rows: Any) -> np.ndarray:
        vectors, (own, *other) = self.embed(), np.moveaxis(self.factors[rows], -1, 0)
        values = vectors[own].astype(self.dtype, copy=False)
        return values * vectors[other[0]] if other else values

    def contents(self, rows: np.ndarray) -> list[bytes]:
        return [key if len(key) == 16 else hashlib.sha256(key).digest()[:16] for key in self._keys(rows, 16)]

    def _keys(self, rows: Any, size: int) -> list[bytes]:
        """What names each of these rows: so many bytes for every text that it is of."""
        assert self.counted is not None
        keys = self.counted.keys
        return [b"".join(keys[text][:size] for text in texts) for texts in self.factors[rows].tolist()]

    @functools.cached_property
    def scan(self) -> Scan:
        assert self.encoder is not None
        before = f" before {self.layers}" if self.layers else ""
        kind = "texts" if self.factors.shape[1] == 1 else "products of texts"
        digest = hashlib.sha256(f"faro {kind} 1 {self.encoder.digest} {self.kept}{before}".encode())
        for key in self._keys(slice(None), 32):
            digest.update(key)
        return Scan(digest.hexdigest(), np.zeros(0, int))

    @property
    def tokens(self) -> np.ndarray:
        """`[N]` how many tokens the text of each row has; of a product the first."""
        assert self.counted is not None
        return self.counted.tokens[self.factors[:, 0]]

    @property
    def truncated(self) -> int:
        """How many texts have more tokens than the encoder reads."""
        assert self.counted is not None
        return int((self.counted.read < self.counted.tokens).sum())


@dataclasses.dataclass(frozen=True, eq=False)
class Encoded(Stored):
    """Vectors of texts in memory, with the tokens of each."""

    counts: np.ndarray | None = None

    @classmethod
    def of_vectors(cls, name: str, vectors: np.ndarray, tokens: Sequence[int]) -> Encoded:
        """`[N, d]` of texts that have so many tokens."""
        where = f"text {name!r}"
        return cls(name, where, vectors.shape, vectors.dtype, held=vectors, counts=np.asarray(tokens))

    @property
    def tokens(self) -> np.ndarray | None:
        return self.counts


class WithTexts(NamedTuple):
    """A table whose texts are rows of arrays."""

    schema: Schema
    frame: pd.DataFrame
    arrays: dict[str, StoredTexts]
    notes: tuple[str, ...]


def with_texts(schema: Schema, frame: pd.DataFrame, where: str, labels: bool) -> WithTexts:
    """The table with the columns that its texts and lexicons need, and their arrays; without either it is itself.

    schema: that names texts
    frame: the table
    where: what messages call it
    labels: whether it says what was chosen: two texts of a pair must then differ

    `DataError` naming the row of a text that is absent or of a pair of equal texts, where `on_missing` does not drop
    it; also where the encoder is not the one that the schema's digest names.
    """
    lexicons = any(spec.lexicon for spec in schema.attributes)
    if not (schema.texts or lexicons):
        return WithTexts(schema, frame, {}, ())
    frame, mentions = by_lexicon(schema, preferences.plain(frame, where, labels), where)
    frame, counts = rewritten(schema, frame, where)
    specs, arrays, notes, made = [], {}, [*mentions, *(count.note for count in counts)], dict[str, Any]()
    readers = [_Reader(schema, spec, frame, where, encoder_of(spec, where)) for spec in schema.texts]
    for reader in readers:
        reader.read()
    if labels:
        _refuse_equals(schema, readers, where)
    for reader in readers:
        spec, encoder = reader.spec, reader.encoder
        made |= reader.columns()
        arrays[spec.name] = reader.stored
        spec = dataclasses.replace(spec, digest=encoder.digest)
        if spec.summary is not None:
            spec = dataclasses.replace(spec, summary=with_digest(spec, spec.summary, schema, frame, where))
            notes.append(f"text {spec.name}: summaries {spec.summary}; those choices are not in the table")
        specs.append(spec)
        if cut := reader.stored.truncated:
            total = len(reader.stored.texts)
            notes.append(
                f"text {spec.name}: {cut} of {total} texts have more than {encoder.limit} tokens; the rest is not read"
            )
        if reader.unread:
            notes.append(
                f"text {spec.name}: {reader.unread} twins are alike in all {encoder.limit} tokens read: they are none"
            )
    of_texts = [
        ArraySpec(name=spec.name, index=f"{spec.name}:row", context=spec.context, **_handed_out(spec)) for spec in specs
    ]
    others = [spec for spec in schema.arrays if spec.name not in arrays]
    schema = schema.replace(texts=tuple(specs), arrays=(*others, *of_texts))
    return WithTexts(schema, frame.assign(**made), arrays, tuple(notes))


def with_digest(spec: TextSpec, summary: SummarySpec, schema: Schema, frame: pd.DataFrame, where: str) -> SummarySpec:
    """The same with the digest of the summaries that the table has, a person's each once.

    spec: of the text
    summary: what it says of it
    schema: that names people
    frame: the table, with the text's column
    where: what messages call it

    `DataError` where somebody has two.
    """
    people = [plain(str(cell)) for cell in frame[schema.unit]] if schema.unit in frame.columns else [""] * len(frame)
    texts = frame[getattr(spec, spec.of_person) or spec.name].astype(str).tolist()
    told = sorted({*zip(people, texts, strict=True)})
    twice = [one for (one, _), (other, _) in itertools.pairwise(told) if one == other]
    if schema.unit in frame.columns and twice:
        who = ascii(twice[0])[:40]
        raise DataError(f"{where}: text {spec.name!r}: {who} has two summaries; expected one of a person")
    digest = hashlib.sha256(json.dumps(["faro summaries 1", told]).encode()).hexdigest()
    return dataclasses.replace(summary, sha256=digest)


def _handed_out(spec: TextSpec) -> dict[str, Any]:
    """How the array of a text is coded: as other arrays, or as it is where a model has the last layers."""
    return {"raw": True} if spec.layers else {"scaling": spec.scaling}


def encoder_of(spec: TextSpec, where: str) -> Encoder:
    """What reads a text; `DataError` for another one than that which its digest names.

    spec: of the text
    where: what messages call the place
    """
    encoder = known.find(spec.encoder, spec.limit)
    if spec.digest not in ("", encoder.digest):
        here = f"{spec.encoder!r} here is {encoder.digest[:12]}"
        raise DataError(f"{where}: text {spec.name!r} was read by encoder {spec.digest[:12]}, and {here}")
    return encoder


def texts_of(frame: pd.DataFrame, where: str, encoder: str, limit: int, pairs: str = FORMS[0]) -> list[Text]:
    """The different texts that features of preference data are made of, as an encoder reads them.

    frame: with the columns as they ship
    where: what messages call it
    encoder: a name or a folder
    limit: tokens at most; 0: the encoder's own
    pairs: which features (`faro.data.pair_features`)

    `UsageError` for a table in no known format.
    """
    known_as = preferences.recognise(frame, where)
    if known_as is None:
        raise UsageError(f"{where}: no preference data by its columns; name columns of texts, by --column")
    schema = with_pairs(known_as.schema, pairs, where)
    texts = tuple(dataclasses.replace(spec, encoder=encoder, limit=limit) for spec in schema.texts)
    read = with_texts(schema.replace(texts=texts), known_as.frame, where, labels=False)
    return list(dict.fromkeys(text for stored in read.arrays.values() for text in stored.texts))


def _refuse_equals(schema: Schema, readers: Sequence[_Reader], where: str) -> None:
    """`DataError` for a pair that is alike in all that is read of it, also where truncation makes it so; or its row is
    dropped."""
    own = [reader for reader in readers if not reader.spec.context]
    names = {spec.name for spec in schema.texts}
    others = [spec for spec in schema.arrays if not spec.context and spec.name not in names]
    if not own or len(own[0].sides) != 2 or schema.item_features or others:
        return
    equal = np.logical_and.reduce([reader.equal() for reader in own])
    if equal.any() and schema.on_missing != "drop":
        row = int(np.argmax(equal))
        once = all(reader.one(row) for reader in own)
        why = "are one text" if once else f"are alike in all {own[0].encoder.limit} tokens read"
        sides = " and ".join(schema.sides)
        raise DataError(f"{where}: row {row + 1}: {sides} {why}; leave it out, or declare on_missing = 'drop'")
    for reader in own:
        reader.drop(equal)


class _Reader:
    """One text feature of a table, in all columns that hold it: of each side, and of twins."""

    def __init__(self, schema: Schema, spec: TextSpec, frame: pd.DataFrame, where: str, encoder: Encoder):
        self.schema, self.spec, self.frame, self.where, self.encoder = schema, spec, frame, where, encoder
        self.numbers: dict[Text, int] = {}
        self.rows: dict[tuple[int, ...], int] = {}  # the texts that a row of the array is of -> which row it is
        self.template: dialogue.Template | None = None
        self.places: dict[str, np.ndarray] = {}  # name of an index column -> [R] which row of the array, -1 = none
        self.sides: list[str] = []  # the index columns of the table itself
        self.unread = 0  # twins whose change is behind the limit

    def read(self) -> None:
        own = self.spec.column or self.spec.name
        wide = self.schema.format == "wide" and not self.spec.context
        for prefix in [f"{side}_" for side in self.schema.sides] if wide else [""]:
            column = self._column(own, prefix)
            index = f"{prefix}{self.spec.name}:row"
            self.places[index] = self._texts(column, self.schema.on_missing != "drop")
            self.sides.append(index)
            for twin in self.schema.twins:
                for level in self.schema.attribute(twin.attribute).levels:
                    if (of_twin := twin.column(column, level)) in self.frame.columns:
                        self.places[twin.column(index, level)] = self._texts(of_twin, False, (twin, level))
        try:
            self._store()
        except cache.NoTokens as error:
            self._leave_out({*error.texts})
            self._store()
        self._forget_unread()

    def _store(self) -> None:
        if not self.numbers:
            raise DataError(f"{self.where}: no row has a text {self.spec.name!r}")
        factors = np.array([*self.rows], int)
        self.stored = StoredTexts.of_texts(self.spec, self.encoder, [*self.numbers], factors, self.where)

    def _leave_out(self, empty: set[Text]) -> None:
        """A text without tokens is none: its row is refused, or dropped."""
        names = [*self.numbers]
        of_rows = [tuple(names[text] for text in of) for of in self.rows]
        gone = np.array([not empty.isdisjoint(of) for of in of_rows])
        for index, places in self.places.items():
            here = (places >= 0) & gone[places]
            if here.any() and index in self.sides and self.schema.on_missing != "drop":
                where = f"{self.where}: column {index.removesuffix(':row')!r}, row {int(np.argmax(here)) + 1}"
                raise DataError(f"{where}: expected a text, got one without tokens; {NO_TEXT}")
            self.places[index] = np.where(here | (places < 0), -1, (np.cumsum(~gone) - 1)[places])
        self.numbers, self.rows = {}, {}
        for of in (of for of, is_gone in zip(of_rows, gone, strict=True) if not is_gone):
            numbers = tuple(self.numbers.setdefault(text, len(self.numbers)) for text in of)
            self.rows.setdefault(numbers, len(self.rows))

    def _forget_unread(self) -> None:
        """Where this is the only text, a twin by rules that is alike in all tokens that are read is none; a chooser's,
        if it is so on all sides."""
        for twin in self.schema.twins if len(self.schema.texts) == 1 else ():
            spec = self.schema.attribute(twin.attribute)
            if twin.rules is None or twin.rewrites_history or (spec.chooser and self.schema.format == "long"):
                continue
            for level in spec.levels:
                columns = {twin.column(index, level): index for index in self.sides}
                there = {column: index for column, index in columns.items() if column in self.places}
                alike = {
                    column: self._alike(self.places[column], self.places[index]) for column, index in there.items()
                }
                if spec.chooser and alike:
                    everywhere: np.ndarray = np.logical_and.reduce([*alike.values()])
                    alike = dict.fromkeys(alike, everywhere)
                for column, rows in alike.items():
                    self.places[column][rows] = -1
                    self.unread += int(rows.sum())

    def _alike(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """`[R]` whether what stands in two columns of a row, by its places, is one text or alike in all tokens that are
        read; of products both factors."""
        there = (first >= 0) & (second >= 0)
        of = [np.append(texts, -1) for texts in self.stored.factors.T]
        return there & np.logical_and.reduce([self._read_alike(texts[first], texts[second]) for texts in of])

    def _read_alike(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The same of texts `[R]` by their numbers, -1 = none."""
        alike = first == second
        counted = self.stored.counted
        assert counted is not None
        cut = counted.read < counted.tokens
        both = np.flatnonzero((first >= 0) & (second >= 0) & ~alike)
        both = both[cut[first[both]] & cut[second[both]]]
        pairs = [(self.stored.texts[first[row]], self.stored.texts[second[row]]) for row in both]
        if pairs:
            read = self.encoder.tokenizer([text for pair in pairs for text in pair], self.encoder.limit)
            same = [np.array_equal(one.ids, other.ids) for one, other in zip(read[::2], read[1::2], strict=True)]
            alike[both[same]] = True
        return alike

    def _column(self, own: str, prefix: str) -> str:
        side = prefix.removesuffix("_")
        names = [f"{side}_{own}", f"{own}_{side}", f"{side}.{own}", f"{own}.{side}"] if side else [own]
        there = [name for name in names if name in self.frame.columns]
        if len(there) != 1:
            columns = ", ".join(map(str, self.frame.columns[:30]))
            which = f"both {there[0]!r} and {there[1]!r}; keep one" if there else f"no column {names[0]!r}"
            raise DataError(f"{self.where}: {which} (needed as text {self.spec.name!r}); columns are: {columns}")
        return there[0]

    def _texts(self, column: str, needed: bool, twin: tuple[TwinSpec, str] | None = None) -> np.ndarray:
        before, times = (self._beside(name, twin) for name in (self.spec.after, self.spec.times))
        places = np.full(len(self.frame), -1)
        for row, cell in enumerate(self.frame[column]):
            text = self._needed(cell, column, row, needed)
            factor = self._needed(times.iloc[row], self.spec.times, row, needed) if text and times is not None else ""
            if not text or (times is not None and not factor):
                continue
            whole: Text = text
            if before is not None:
                asked = self._text(before.iloc[row], self.spec.after, row)
                whole = (asked, text) if asked.strip() else text
            of = tuple(self.numbers.setdefault(part, len(self.numbers)) for part in (whole, factor) if part)
            places[row] = self.rows.setdefault(of, len(self.rows))
        return places

    def _beside(self, column: str, twin: tuple[TwinSpec, str] | None) -> pd.Series | None:
        """The column of another text that goes with this one, if one is named; at the level of a twin of the chooser
        what it would be there, where the table says so."""
        if column and column not in self.frame.columns:
            what = "read after" if column == self.spec.after else "multiplied by"
            raise DataError(f"{self.where}: no column {column!r}, which text {self.spec.name!r} is {what}")
        if not column or twin is None or not self.schema.attribute(twin[0].attribute).chooser:
            return self.frame[column] if column else None
        moved = twin[0].column(column, twin[1])
        if moved not in self.frame.columns:
            return self.frame[column]
        gone = self.frame[moved].map(absent)
        return self.frame[moved].where(~gone, self.frame[column])

    def _needed(self, cell: Any, column: str, row: int, needed: bool) -> str:
        """A text, "" where there is none and none is `needed`."""
        text = self._text(cell, column, row)
        if text.strip() and text.strip() not in self.schema.missing:
            return text
        if needed:
            where = f"{self.where}: column {column!r}, row {row + 1}"
            raise DataError(f"{where}: expected a text, got none; {NO_TEXT}")
        return ""

    def _text(self, cell: Any, column: str, row: int) -> str:
        if absent(cell):
            return ""
        where = f"{self.where}: column {column!r}, row {row + 1}"
        spoken = dialogue.brief(dialogue.side(cell, where))
        if isinstance(spoken, str):
            return spoken
        if not spoken:
            return ""
        if self.template is None:
            self.template = dialogue.Template(self.encoder.folder)
        return self.template(spoken)

    def equal(self) -> np.ndarray:
        """`[R]` whether both sides of a pair are one text, or alike in all tokens that are read."""
        return self._alike(*(self.places[index] for index in self.sides))

    def one(self, row: int) -> bool:
        """Whether both sides of a row of the table are one text."""
        first, second = (self.places[index][row] for index in self.sides)
        return bool(first == second)

    def drop(self, rows: np.ndarray) -> None:
        """Rows `[R]` of the table are without a text."""
        for index in self.sides:
            self.places[index] = np.where(rows, -1, self.places[index])

    def columns(self) -> dict[str, Any]:
        """Index, tokens and length of every side."""
        tokens = np.append(self.stored.tokens, 0)
        made: dict[str, Any] = {
            index: pd.Series([place if place >= 0 else None for place in places.tolist()], self.frame.index, object)
            for index, places in self.places.items()
        }
        lengths = {}
        for index in self.sides:
            name = index.removesuffix(":row")
            lengths[name] = tokens[self.places[index]]
            cells = [
                count if place >= 0 else None
                for count, place in zip(lengths[name].tolist(), self.places[index], strict=True)
            ]
            made[f"{name}_tokens"] = pd.Series(cells, self.frame.index, object)
        for name, own in lengths.items():
            if len(lengths) > 1:
                mean = np.mean([*lengths.values()], 0)
            elif (
                self.schema.format == "long"
                and not self.spec.context
                and all(c in self.frame for c in self.schema.choice)
            ):
                by = [self.frame[column].astype(str) for column in self.schema.choice]
                mean = pd.Series(own, self.frame.index).groupby(by).transform("mean").to_numpy()
            else:
                continue
            words = np.where(own < mean, "shorter", np.where(own > mean, "longer", "equal"))
            made[f"{name}_length"] = pd.Series(words, self.frame.index, object)
        return {
            name: cells
            for name, cells in made.items()
            if name.endswith(":row") or ":row:" in name or name not in self.frame
        }
