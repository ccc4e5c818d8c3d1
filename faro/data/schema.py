"""How a table is read as choices: a declarative record, written in TOML by people and stored as JSON with a model."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from constraints import ANOTHER
from faro.errors import UsageError
from faro.files import parse_toml
from faro.registry import known

from .checks import check_columns, check_names, check_twins, check_types
from .plain import build, plain, with_rules
from .specs import ArraySpec, AttributeSpec, SummarySpec, TextSpec, TwinSpec, apart, choose, one_text
from .values import canonical

FORMATS = ("long", "wide", "accept")
ON_MISSING = ("error", "level", "drop")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schema:
    """Which column of a table is what.

    Cells that are empty or listed in `missing` are missing, in every column. A column without a declared type is a
    number where its role needs one, otherwise what a typed container says and text in a CSV file; the schema of a
    `Dataset`, which models store, has the type of every column.

    unit: column of the person, annotator or prompt that makes rows dependent, or "row"
    format: "long": a row is an alternative, rows with equal `choice` are one choice. "wide": a row is a choice, with
        columns for each side; the feature f of a side is in `{side}_{f}` or `{f}_{side}`, or with a dot between.
        "accept": a row is an applicant, and the other alternative is the outside option
    choice: column, or columns, of the choice's id (long)
    alternative: column of the alternative's name (long), or what the column of the sides' names is called (wide)
    label: column that says what was chosen: 1/0 or a share (long), the share that preferred the first of two sides
        (wide, default 1), which of more sides (wide), whether the applicant was accepted (accept)
    positive: the cell that means 1, if labels are words
    negative: the cell that means 0; default: the one other word of the table
    codes: the cells of the label that name the sides, in their order (wide); default, of three or more: their names
    unknown: cells of a label of words or codes that do not say what was chosen, as a missing one
    weight: column of weights >= 0 of choices; default 1
    margin: column of numbers >= 0 of choices, by how much the score of what was chosen should be ahead, in its units
        (`Pairwise`)
    available: column that says which alternatives were there (long, and of each side wide)
    outside: column that marks the option of choosing nothing (long)
    candidates: what the alternatives of a choice are: "enumerated", all answers there are; "sampled", draws of a
        reference, each as often as it came; "" does not say. Rules about a reference ask (`constraints.rule_of`)
    log_ref: column of log pi_ref of enumerated response sets; none beside draws, which stand for it
    reference: which policy pi_ref is, in words; certificates of policies repeat it
    decoding: with which settings it was drawn from, in words, as "temperature 1, top_p 0.95"
    sides: names of the two or more sides (wide)
    numeric: columns of numbers that describe an alternative; here and in the next five, `emb_*` stands for all columns
        of such names that the schema says nothing else of
    categorical: columns of levels, likewise
    vectors: columns of lists of numbers of one length, likewise
    context_numeric: columns of numbers that describe the chooser or prompt
    context_categorical: columns of levels, likewise
    context_vectors: columns of lists of numbers, likewise
    arrays: features in files beside the table (`ArraySpec`); those of the texts of a `Dataset` are among them
    texts: features that an encoder makes of columns of texts (`TextSpec`)
    unit_index: whether models are told which unit of training each choice is of (`Choices.unit_index`); the coding then
        holds hashes of those units
    attributes: whose groups constraints compare (`AttributeSpec`)
    twins: attributes that can be set to another level (`TwinSpec`)
    shared: further columns by which rows of different units belong together (prompt, item)
    crossed: column of a second cluster of choices, which units share (the prompt, where units are raters): intervals of
        figures draw both; neither choices nor their digest depend on it
    order: column of numbers or dates that says which of a unit's choices came first: models that read earlier choices
        of a person are given the earliest (`faro.data.support`)
    missing: texts of cells that count as empty
    on_missing: what a missing cell is: an "error", a "level" of its own (features; numbers: the mean and an indicator),
        or "drop": the whole choice is dropped and counted
    types: column -> "text", "number", "boolean" or "date" (`faro.data.values` says how each is written)

    `UsageError` for a schema that contradicts itself.
    """

    unit: str
    format: str = "long"
    choice: tuple[str, ...] = ()
    alternative: str = ""
    label: str = ""
    positive: str = ""
    negative: str = ""
    codes: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    weight: str = ""
    margin: str = ""
    available: str = ""
    outside: str = ""
    candidates: str = ""
    log_ref: str = ""
    reference: str = ""
    decoding: str = ""
    sides: tuple[str, ...] = ("chosen", "rejected")
    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    vectors: tuple[str, ...] = ()
    context_numeric: tuple[str, ...] = ()
    context_categorical: tuple[str, ...] = ()
    context_vectors: tuple[str, ...] = ()
    arrays: tuple[ArraySpec, ...] = ()
    texts: tuple[TextSpec, ...] = ()
    unit_index: bool = False
    attributes: tuple[AttributeSpec, ...] = ()
    twins: tuple[TwinSpec, ...] = ()
    shared: tuple[str, ...] = ()
    crossed: str = ""
    order: str = ""
    missing: tuple[str, ...] = ()
    on_missing: str = "error"
    types: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)

    def __post_init__(self):
        for field in (*_COLUMN, "positive", "negative", "candidates", "reference", "decoding"):
            object.__setattr__(self, field, one_text(getattr(self, field), f"schema.{field}"))
        for field in (*_COLUMNS, "codes", "unknown", "missing"):
            values = tuple(one_text(value, f"schema.{field}") for value in getattr(self, field))
            object.__setattr__(self, field, values)
        object.__setattr__(self, "types", {one_text(name, "types"): kind for name, kind in self.types.items()})
        choose("format", self.format, FORMATS)
        choose("on_missing", self.on_missing, ON_MISSING)
        check_columns(self)
        check_types(self)
        self._lexicons()
        self._spell()
        check_twins(self)
        check_names(self)

    @property
    def label_names_sides(self) -> bool:
        """Whether the label says which side was chosen, and not how many preferred the first."""
        return self.format == "wide" and bool(self.codes or len(self.sides) > 2)

    def _lexicons(self) -> None:
        """Attributes that a text gives have words: of their own, or those of the rules of their twins."""
        rules = {twin.attribute: twin.rules for twin in self.twins if twin.rules is not None}
        specs = []
        for spec in self.attributes:
            if spec.text and not spec.lexicon:
                its = rules.get(spec.name)
                if its is None or not {*spec.levels} <= {*its.levels}:
                    or_rules = "or its twins have `rules` of these levels"
                    raise UsageError(f"attribute {spec.name!r}: `text` and `lexicon` go together, {or_rules}")
                words = {level: ", ".join(its.of_level(level)) for level in its.levels}
                spec = dataclasses.replace(spec, lexicon={level: words[level] for level in spec.levels})
            specs.append(spec)
        object.__setattr__(self, "attributes", tuple(specs))

    def _spell(self) -> None:
        """Levels and words in the canonical form of their columns."""
        specs, twins = [], []
        for spec in self.attributes:
            kind = self.kind(spec.column)
            levels = tuple(_typed(level, kind, f"attribute {spec.name!r}") for level in spec.levels)
            apart(spec.name, spec.levels, levels)
            specs.append(dataclasses.replace(spec, levels=levels))
        kinds = {spec.name: self.kind(spec.column) for spec in specs}
        for twin in self.twins:
            where, kind, only = f"twins of {twin.attribute!r}", kinds.get(twin.attribute, "text"), []
            for condition in twin.only:
                levels = tuple(_typed(level, kind, where) for level in condition.levels)
                equals = _typed(condition.equals, self.kind(condition.column), where)
                only.append(dataclasses.replace(condition, levels=levels, equals=equals))
            twins.append(dataclasses.replace(twin, only=tuple(only)))
        object.__setattr__(self, "attributes", tuple(specs))
        object.__setattr__(self, "twins", tuple(twins))
        for field in ("codes", "unknown"):
            words = tuple(_typed(word, self.kind(self.label), f"schema.{field}") for word in getattr(self, field))
            object.__setattr__(self, field, words)
        if not self.positive:
            if self.negative:
                raise UsageError("schema: `negative` goes with `positive`, the word that means 1")
            return
        for field in ("positive", "negative"):
            if word := getattr(self, field):
                object.__setattr__(self, field, _typed(word, self.kind(self.label), f"schema.{field}"))
        if self.positive == self.negative:
            raise UsageError(f"schema: `positive` and `negative` are both {self.positive!r}")

    def seen(self, spec: AttributeSpec) -> bool:
        """Whether the column of an attribute is a categorical feature of whom it describes, so that models see it.

        spec: of the attribute
        """
        return spec.column in (self.context_categorical if spec.chooser else self.categorical)

    def settable(self, spec: AttributeSpec) -> tuple[str, ...]:
        """The features that a twin may set: an alternative's those of alternatives, a chooser's all.

        spec: of the attribute
        """
        kinds = (*self.kinds(context=False), *(self.kinds(context=True) if spec.chooser else ()))
        told = {text.name for text in self.texts if text.context and text.summary}
        return tuple(name for names in kinds for name in names if name not in told)

    def rewritable(self, spec: AttributeSpec) -> tuple[str, ...]:
        """The texts that a twin may rewrite: an alternative's those of alternatives, a chooser's all but summaries of
        earlier choices, which are kept.

        spec: of the attribute
        """
        texts = [text for text in self.texts if not (text.context and text.summary)]
        return tuple(text.name for text in texts if spec.chooser or not text.context)

    @property
    def feature_arrays(self) -> tuple[ArraySpec, ...]:
        """The arrays that are features themselves, and not the twins of one."""
        levels = [(twin, level) for twin in self.twins for level in self.attribute(twin.attribute).levels]
        twins = {twin.column(spec.name, level) for spec in self.arrays for twin, level in levels}
        return tuple(spec for spec in self.arrays if spec.name not in twins)

    @property
    def summaries(self) -> dict[str, SummarySpec]:
        """The texts that are summaries of earlier choices, and of which, by name."""
        return {text.name: text.summary for text in self.texts if text.summary is not None}

    @property
    def item_features(self) -> tuple[str, ...]:
        """Columns that describe an alternative."""
        return self.numeric + self.categorical + self.vectors

    @property
    def context_features(self) -> tuple[str, ...]:
        """Columns that describe the chooser or prompt."""
        return self.context_numeric + self.context_categorical + self.context_vectors

    def kinds(self, context: bool) -> tuple[tuple[str, ...], ...]:
        """Features of one kind of thing by how they are coded: numbers, levels, vectors (coded arrays among them), and
        raw arrays.

        context: whether of the chooser or prompt, else of the alternatives
        """
        coded, raw = (
            tuple(spec.name for spec in self.feature_arrays if spec.context == context and spec.raw == as_is)
            for as_is in (False, True)
        )
        if context:
            return self.context_numeric, self.context_categorical, (*self.context_vectors, *coded), raw
        return self.numeric, self.categorical, (*self.vectors, *coded), raw

    def indices(self, context: bool) -> tuple[str, ...]:
        """Columns that say which row of an array an alternative, or the chooser or prompt, has.

        context: whether of the chooser or prompt
        """
        specs = [spec for spec in self.feature_arrays if spec.context == context]
        return tuple(dict.fromkeys(spec.index for spec in specs if spec.index))

    @property
    def shared_columns(self) -> tuple[str, ...]:
        """Columns by which rows of different units belong together: `shared`, and the parts of a key of several
        columns that are not the unit."""
        keys = self.choice if len(self.choice) > 1 else ()
        return tuple(column for column in dict.fromkeys((*self.shared, *keys)) if column != self.unit)

    @property
    def numbers(self) -> tuple[str, ...]:
        """Columns that are read as numbers."""
        label = "" if self.positive or self.label_names_sides else self.label
        named = [*self.numeric, *self.context_numeric, self.available, self.outside, self.weight, self.log_ref, label]
        named.append(self.margin)
        named += [spec.index for spec in self.arrays]
        return tuple(dict.fromkeys(filter(None, named)))

    @property
    def words(self) -> tuple[str, ...]:
        """Columns whose cells are names, levels or words; a column of numbers may be among them."""
        named = [*self.categorical, *self.context_categorical, *(spec.column for spec in self.attributes)]
        named += [*self.choice, self.alternative, *self.shared, "" if self.unit == "row" else self.unit]
        label = self.label if self.positive or self.label_names_sides else ""
        return tuple(dict.fromkeys(filter(None, [*named, label])))

    def kind(self, column: str) -> str:
        """The type of a column: declared, or that of its role.

        column: its name
        """
        return self.types.get(column, "number" if column in self.numbers else "text")

    def words_of(self, column: str) -> tuple[str, ...]:
        """The levels and words that the schema declares of a column.

        column: its name
        """
        words = [level for spec in self.attributes if spec.column == column for level in spec.levels]
        words += [only.equals for twin in self.twins for only in twin.only if only.column == column]
        sides = (self.codes or self.sides) if self.label_names_sides else ()
        label = (self.positive, self.negative, *sides, *self.unknown)
        return (*words, *(label if column == self.label else ()))

    def attribute(self, name: str) -> AttributeSpec:
        """A declared attribute.

        name: of one; else `UsageError` naming those that are
        """
        declared = {spec.name: spec for spec in self.attributes}
        known("attribute", name, declared)
        return declared[name]

    def twin(self, name: str) -> TwinSpec:
        """How twins of an attribute arise.

        name: of the attribute, or `constraints.ANOTHER`; `UsageError` if the data set has no twins of it
        """
        if name == ANOTHER:
            return TwinSpec(attribute=ANOTHER, origin="another person of the same part in the person's place")
        self.attribute(name)
        for twin in self.twins:
            if twin.attribute == name:
                return twin
        declared = ", ".join(twin.attribute for twin in self.twins) or "none"
        raise UsageError(f"attribute {name!r} has no twins; declare them under [[twins]] (twins exist for: {declared})")

    def replace(self, **changes: Any) -> Schema:
        """A copy with some fields exchanged.

        changes: by field name
        """
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, dicts and strings."""
        return json.loads(self.to_json())

    def to_json(self) -> str:
        """One line of JSON, for storing with a model."""
        return json.dumps(plain(self), sort_keys=True)

    @classmethod
    def from_json(cls, line: str) -> Schema:
        """The schema that `to_json` wrote.

        line: of JSON
        """
        return cls.from_dict(json.loads(line))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], folder: str | os.PathLike = "") -> Schema:
        """A schema from plain values.

        values: key -> value, as TOML has them
        folder: from which files of rules are named

        `UsageError` for an unknown key or a wrong type.
        """
        return build(cls, with_rules(values, Path(folder)), "schema")

    @classmethod
    def read(cls, path: str | os.PathLike) -> Schema:
        """The schema in a TOML file.

        path: of the file

        `UsageError` if it cannot be read, or is no schema.
        """
        try:
            values = parse_toml(Path(path).read_bytes())
        except IsADirectoryError as error:
            raise UsageError(f"{path}: expected the TOML file of a schema, got a folder") from error
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise UsageError(f"{path}: {error}") from error
        try:
            return cls.from_dict(values, Path(path).parent)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error


_COLUMN: tuple[str, ...] = ("unit", "alternative", "label", "weight", "margin", "available", "outside", "log_ref")
_COLUMN += ("crossed", "order")
_COLUMNS: tuple[str, ...] = ("choice", "sides", "numeric", "categorical", "vectors", "shared")
_COLUMNS += ("context_numeric", "context_categorical", "context_vectors")


def _typed(word: str, kind: str, where: str) -> str:
    try:
        return canonical(word, kind)
    except ValueError as error:
        raise UsageError(f"{where}: its column is of type {kind!r}: expected {error}, got {word!r}") from None
