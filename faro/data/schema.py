"""How a table is read as choices: a declarative record, written in TOML by people and stored as JSON with a model."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from constraints import ANOTHER, CANDIDATES
from faro.errors import UsageError
from faro.files import parse_toml
from faro.registry import known
from faro.text.exchange import Rules
from faro.units import PAIR

from .specs import KEPT, ArraySpec, AttributeSpec, Only, SummarySpec, TextSpec, TwinSpec, apart, choose, one_text
from .values import TYPES, canonical

FORMATS = ("long", "wide", "accept")
ON_MISSING = ("error", "level", "drop")
# columns of a scored table that are not attributes, and what its readers know besides
RESERVED = ("unit", "choice", "alternative", "label", "reward", "decision", "weight", "part", "outside", "content",
            PAIR)  # fmt: skip


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
        self._check_candidates()
        if not self.unit:
            raise UsageError("schema: declare `unit`, the column of the person or prompt, or unit = 'row'")
        if self.format == "long" and not (self.choice and self.label):
            raise UsageError("schema: format 'long' needs `choice` (the column of the choice's id) and `label`")
        if self.format == "accept" and not self.label:
            raise UsageError("schema: format 'accept' needs `label`")
        for field, format_ in (("available", "wide"), ("alternative", "wide"), ("outside", "long")):
            if getattr(self, field) and self.format not in ("long", format_):
                raise UsageError(f"schema: `{field}` belongs to format 'long', not {self.format!r}")
        self._check_sides()
        arrays = {spec.name: spec.context for spec in self.arrays}
        arrays |= {spec.name: spec.context for spec in self.texts}
        features = (*self.item_features, *self.context_features, *arrays)
        if not self.item_features and all(arrays.values()):
            raise UsageError(
                "schema: name at least one feature of the alternatives (numeric, categorical, vectors, arrays or texts)"
            )
        for column in features:
            if features.count(column) > 1:
                raise UsageError(f"schema: feature {column!r} is declared twice")
        if self.label in features:
            raise UsageError(f"schema: {self.label!r} is the label and cannot be a feature too")
        for spec in self.arrays:
            if spec.context and not spec.index and self.format == "long":
                raise UsageError(f"array {spec.name!r}: rows of a choice share it, so it needs an `index` column")
        if both := set(self.indices(context=True)) & {*self.indices(context=False), *self.item_features}:
            raise UsageError(f"schema: index {both.pop()!r} is of an alternative and of the context; use two columns")
        if self.crossed and self.unit in (self.crossed, "row"):
            raise UsageError(f"schema: crossed is a second cluster, beside the unit; both are {self.unit!r}")
        if self.order and self.unit in (self.order, "row"):
            raise UsageError(f"schema: order is of the choices of a unit; got unit and order {self.unit!r}")
        if self.order and self.types.get(self.order, "number") not in ("number", "date"):
            raise UsageError(f"schema: order {self.order!r} is of type number or date, not {self.types[self.order]!r}")
        if self.unit_index and self.unit == "row":
            raise UsageError("schema: unit_index needs units that come again; name the column of the `unit`")
        if len({(own.k, own.order) for own in self.summaries.values()}) > 1 or (self.summaries and self.unit == "row"):
            raise UsageError("schema: summaries are of persons (`unit`), and all of the same earlier choices of theirs")
        self._check_types()
        self._lexicons()
        self._spell()
        for twin in self.twins:
            self._check_twin(twin)
        self._check_twin_arrays()
        self._check_names()

    def _check_candidates(self) -> None:
        if self.candidates:
            choose("candidates", self.candidates, CANDIDATES)
        if self.candidates == "sampled" and self.log_ref:
            raise UsageError(
                f"schema: log_ref {self.log_ref!r} beside candidates = 'sampled': draws are kept as they came, so "
                "log_ref squares the reference; leave it out, or declare candidates = 'enumerated'"
            )
        if (self.reference or self.decoding) and not self.candidates:
            raise UsageError("schema: reference and decoding are of `candidates`: say 'enumerated' or 'sampled'")

    def _check_sides(self) -> None:
        wide = self.format == "wide"
        if len(set(self.sides)) < max(2, len(self.sides)):
            raise UsageError(f"schema: expected two or more different `sides`, got {list(self.sides)}")
        if wide and not self.label and (len(self.sides) > 2 or self.alternative):
            what = "`alternative`" if self.alternative else f"{len(self.sides)} sides"
            raise UsageError(f"schema: {what} need `label`, the column that says which side was chosen")
        if self.codes and not (wide and self.label and len(set(self.codes)) == len(self.sides) == len(self.codes)):
            raise UsageError(
                f"schema: `codes` are the cells of the label of a wide table, one for each of {len(self.sides)} sides"
            )
        if self.positive and self.label_names_sides:
            raise UsageError("schema: `positive` is of labels that are 1 or 0; this label names sides, by `codes`")
        if self.unknown and not (self.positive or self.label_names_sides):
            raise UsageError("schema: `unknown` goes with a label of words, so with `positive` or `codes`")

    @property
    def label_names_sides(self) -> bool:
        """Whether the label says which side was chosen, and not how many preferred the first."""
        return self.format == "wide" and bool(self.codes or len(self.sides) > 2)

    def _check_types(self) -> None:
        known = (*self.numbers, *self.words, self.order)
        for column, kind in self.types.items():
            choose(f"the type of {column!r}", kind, TYPES)
            if column not in known:
                raise UsageError(f"schema: types names {column!r}, which the schema reads as no cell of text or number")
            if kind in ("text", "date") and column in self.numbers:
                raise UsageError(f"schema: column {column!r} is read as numbers and cannot be of type {kind!r}")

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

    def _check_names(self) -> None:
        """No two columns of the scored table have one name."""
        taken = dict.fromkeys(RESERVED, "a column of every scored table")
        for twin in self.twins:
            for level in self.attribute(twin.attribute).levels:
                name = f"reward:{twin.attribute}={level}"
                if name in taken:
                    raise UsageError(f"schema: twins of {twin.attribute!r} make a second column {name!r}; rename one")
                taken[name] = f"a reward of the twins of {twin.attribute!r}"
        for spec in self.attributes:
            if taken.get(spec.name) == "an attribute":
                raise UsageError(f"schema: two attributes have the same name {spec.name!r}")
            if not spec.name or spec.name in taken or spec.name.startswith("reward:"):
                why = taken.get(spec.name, "no name that a scored table can give to an attribute")
                raise UsageError(
                    f"attribute {spec.name!r} is {why}: give it another name and say column = {spec.column!r}"
                )
            taken[spec.name] = "an attribute"
        columns = {spec.name: spec.column for spec in self.attributes}
        for column in self.shared_columns:
            if columns.get(column) == column:
                continue  # the scored table shows it already
            if column in taken or column.startswith("reward:"):
                why = taken.get(column, "reserved")
                raise UsageError(f"schema: rows are shared by {column!r}, which is {why}; rename the column")

    def _check_twin(self, twin: TwinSpec) -> None:
        spec = self.attribute(twin.attribute)
        known = self.settable(spec)
        for name in twin.features:
            if name not in known and "*" not in name:
                whose = "" if spec.chooser else " of an alternative"
                raise UsageError(
                    f"twins of {spec.name!r}: {name!r} is no feature{whose}; those are: {', '.join(known) or 'none'}"
                )
        if twin.rewrites_history and not (spec.chooser and self.unit != "row"):
            raise UsageError(
                f"twins of {spec.name!r}: history is of the person who chooses: rewritten it can be for a chooser's "
                "attribute, where a column names persons (`unit`)"
            )
        if twin.rewrites_history and self.summaries:
            raise UsageError(
                f"twins of {spec.name!r}: history stands in the summaries {next(iter(self.summaries))!r}, which nobody "
                'rewrites; say history = "kept"'
            )
        if twin.rules is not None:
            self._check_rules(twin, twin.rules)
        for only in twin.only:
            if only.column not in self.categorical + self.context_categorical:
                raise UsageError(
                    f"twins of {spec.name!r}: `only` names {only.column!r}, which is no categorical feature"
                )
            if unknown := set(only.levels) - set(spec.levels):
                raise UsageError(f"twins of {spec.name!r}: `only` names the undeclared level {sorted(unknown)[0]!r}")

    def _check_rules(self, twin: TwinSpec, rules: Rules) -> None:
        spec, where = self.attribute(twin.attribute), f"twins of {twin.attribute!r}"
        texts = self.rewritable(spec)
        if not texts or not {*twin.texts} <= {*texts}:
            got = ", ".join(twin.texts) or "none"
            raise UsageError(f"{where}: rules rewrite texts; expected of {', '.join(texts) or 'none'}, got {got}")
        if lacking := [level for level in spec.levels if level not in rules.levels]:
            theirs = ", ".join(rules.levels)
            raise UsageError(f"{where}: {rules.called} have the levels {theirs}, and not {lacking[0]!r}")

    def _check_twin_arrays(self) -> None:
        features = {spec.name: spec for spec in self.feature_arrays}
        for spec in self.arrays:
            if spec.name in features:
                continue
            feature = next(name for name in features if spec.name.startswith(f"{name}:"))
            if (spec.context, spec.raw) != (features[feature].context, features[feature].raw):
                raise UsageError(f"array {spec.name!r} is a twin of {feature!r}: its context and raw must be the same")

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
        values = dataclasses.asdict(self)
        for field in (
            "arrays",
            "texts",
            "unit_index",
            "codes",
            "unknown",
            "margin",
            "crossed",
            "order",
            "candidates",
            "reference",
            "decoding",
        ):  # a schema without them is written as before there were any
            if not values[field]:
                del values[field]
        for text in values.get("texts", ()):
            for field in ("times", "without"):
                if not text[field]:
                    del text[field]
        for attribute in values["attributes"]:
            if not attribute["lexicon"]:
                del attribute["lexicon"], attribute["text"]
        for text in values.get("texts", ()):
            for field in ("layers", "summary"):
                if not text[field]:
                    del text[field]
        for twin in values["twins"]:
            if not twin["features"]:
                del twin["features"]
            if twin["missing"] == "error":
                del twin["missing"]
            if twin["history"] == KEPT:
                del twin["history"]
            for field in ("rules", "texts"):
                if not twin[field]:
                    del twin[field]
        return json.dumps(values, sort_keys=True)

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
        return _build(cls, _with_rules(values, Path(folder)), "schema")

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
_RECORDS = {"attributes": AttributeSpec, "twins": TwinSpec, "only": Only, "arrays": ArraySpec, "texts": TextSpec}


def _typed(word: str, kind: str, where: str) -> str:
    try:
        return canonical(word, kind)
    except ValueError as error:
        raise UsageError(f"{where}: its column is of type {kind!r}: expected {error}, got {word!r}") from None


def _build(cls: type, values: Any, where: str) -> Any:
    """A record from plain values, every field of the declared type."""
    if not isinstance(values, Mapping):
        raise UsageError(f"{where}: expected a table of keys, got {values!r}")
    fields = {field.name: field for field in dataclasses.fields(cls)}
    if unknown := [key for key in values if key not in fields]:
        raise UsageError(f"{where}: unknown key {unknown[0]!r}{_home(unknown[0], cls)}; known: {', '.join(fields)}")
    for name, field in fields.items():
        needed = field.default is field.default_factory is dataclasses.MISSING
        if needed and name not in values:
            raise UsageError(f"{where}: key {name!r} is needed")
    return cls(**{key: _value(key, value, str(fields[key].type), f"{where}.{key}") for key, value in values.items()})


def _with_rules(values: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """The same with rules, where twins name their file, as they stand in it."""
    twins = values.get("twins") if isinstance(values, Mapping) else None
    if not isinstance(twins, list | tuple):
        return values
    read = [
        {**twin, "rules": Rules.named(twin["rules"], folder)}
        if isinstance(twin, Mapping) and isinstance(twin.get("rules"), str)
        else twin
        for twin in twins
    ]
    return {**values, "twins": read}


def _home(key: str, cls: type) -> str:
    """Where a key that stands in the wrong table belongs, in words."""
    tables = {
        name: "twins.only" if record is Only else name
        for name, record in _RECORDS.items()
        if record is not cls and key in {field.name for field in dataclasses.fields(record)}
    }
    if cls is not Schema and key in {field.name for field in dataclasses.fields(Schema)}:
        return ", a key of the schema itself: put it above the first [[...]], which all that follows belongs to"
    return f", a key of {' or '.join(f'[[{name}]]' for name in tables.values())}" if tables else ""


def _value(key: str, value: Any, kind: str, where: str) -> Any:
    if (kind == "bool" and isinstance(value, bool)) or (kind == "str" and isinstance(value, str)):
        return value
    if kind == "int" and type(value) is int:
        return value
    if kind.startswith("Rules"):
        return value if isinstance(value, Rules) else Rules.from_dict(value, where)
    if kind.startswith("SummarySpec"):
        return value if isinstance(value, SummarySpec) else _build(SummarySpec, value, where)
    if kind.startswith("Mapping"):
        if isinstance(value, Mapping) and all(isinstance(part, str) for part in value.values()):
            return dict(value)
        kind = "table of strings"
    if kind.startswith("tuple"):
        if kind != "tuple[str, ...]":
            if isinstance(value, (list, tuple)):
                return tuple(_build(_RECORDS[key], part, where) for part in value)
            raise UsageError(f"{where}: expected a list of tables, [[{key}]] in TOML, got {value!r}")
        if isinstance(value, str):
            value = [value]
        if isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value):
            return tuple(value)
        kind = "list of strings"
    kind = "whole number" if kind == "int" else kind
    raise UsageError(f"{where}: expected a {kind}, got {value!r}")
