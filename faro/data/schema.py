"""How a table is read as choices: a declarative record, written in TOML by people and stored as JSON with a model."""

from __future__ import annotations

import dataclasses
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from constraints import Attribute
from faro.errors import UsageError

from .table import text

FORMATS = ("long", "wide", "accept")
ON_MISSING = ("error", "level", "drop")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttributeSpec:
    """A declared attribute: the `column` (default: its name) whose cells are the `levels`, of the chooser or of an
    alternative. Cells that are no level are an error, or with `others = "exclude"` apply to nobody (-1)."""

    name: str
    levels: tuple[str, ...]
    column: str = ""
    chooser: bool = False
    others: str = "error"

    def __post_init__(self):
        object.__setattr__(self, "column", self.column or self.name)
        object.__setattr__(self, "levels", tuple(map(text, self.levels)))
        if len(set(self.levels)) < 2 or len(set(self.levels)) < len(self.levels):
            raise UsageError(f"attribute {self.name!r}: expected two or more different levels, got {list(self.levels)}")
        if self.others not in ("error", "exclude"):
            raise UsageError(f"attribute {self.name!r}: others is 'error' or 'exclude', got {self.others!r}")

    @property
    def attribute(self) -> Attribute:
        """As the constraints know it."""
        return Attribute(self.name, self.levels, self.chooser)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Only:
    """A restriction of the design: where `column` is `equals`, an alternative supports only these `levels`."""

    column: str
    equals: str
    levels: tuple[str, ...]

    def __post_init__(self):
        object.__setattr__(self, "equals", text(self.equals))
        object.__setattr__(self, "levels", tuple(map(text, self.levels)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwinSpec:
    """Twins of an attribute: the feature with its column is set to every level. `origin` says in plain words how
    they arise (randomised, generated, the model's input exchanged); `only` names the twins that the design excludes."""

    attribute: str
    origin: str
    only: tuple[Only, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schema:
    """Which column of a table is what.

    format "long": a row is an alternative, rows with equal `choice` are one choice, `label` is 1/0 or a share.
    "wide": a row is a pair; the feature f of each side is in the columns `{side}_{f}` or `{f}_{side}`; `label` is the
    share that preferred the first side (default 1). "accept": a row is an applicant, `label` says whether it was
    accepted, and the other alternative is the outside option. `positive` is the cell that means 1, if labels are words.

    `unit` is the column of the person, annotator or prompt that makes rows dependent, or "row". numeric, categorical,
    vectors describe an alternative; context_* the chooser or prompt. Cells that are empty or listed in `missing` are
    missing, and `on_missing` says what then: an error, a level of its own (numbers: the mean and an indicator), or the
    whole choice is dropped and counted.
    """

    unit: str
    format: str = "long"
    choice: tuple[str, ...] = ()
    alternative: str = ""
    label: str = ""
    positive: str = ""
    weight: str = ""
    available: str = ""
    outside: str = ""
    log_ref: str = ""
    sides: tuple[str, str] = ("chosen", "rejected")
    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    vectors: tuple[str, ...] = ()
    context_numeric: tuple[str, ...] = ()
    context_categorical: tuple[str, ...] = ()
    context_vectors: tuple[str, ...] = ()
    attributes: tuple[AttributeSpec, ...] = ()
    twins: tuple[TwinSpec, ...] = ()
    missing: tuple[str, ...] = ()
    on_missing: str = "error"

    def __post_init__(self):
        object.__setattr__(self, "missing", tuple(map(text, self.missing)))
        object.__setattr__(self, "positive", text(self.positive))
        _choose("format", self.format, FORMATS)
        _choose("on_missing", self.on_missing, ON_MISSING)
        if not self.unit:
            raise UsageError("schema: declare `unit`, the column of the person or prompt, or unit = 'row'")
        if self.format == "long" and not (self.choice and self.label):
            raise UsageError("schema: format 'long' needs `choice` (the column of the choice's id) and `label`")
        if self.format == "accept" and not self.label:
            raise UsageError("schema: format 'accept' needs `label`")
        if len(self.sides) != 2 or self.sides[0] == self.sides[1]:
            raise UsageError(f"schema: expected two different `sides`, got {list(self.sides)}")
        for field in ("available", "outside", "alternative"):
            if getattr(self, field) and self.format != "long":
                raise UsageError(f"schema: `{field}` belongs to format 'long', not {self.format!r}")
        features = self.item_features + self.context_features
        if not self.item_features:
            raise UsageError("schema: name at least one feature of the alternatives (numeric, categorical or vectors)")
        for column in features:
            if features.count(column) > 1:
                raise UsageError(f"schema: feature {column!r} is declared twice")
        if self.label in features:
            raise UsageError(f"schema: {self.label!r} is the label and cannot be a feature too")
        names = [spec.name for spec in self.attributes]
        if len(set(names)) < len(names):
            raise UsageError("schema: two attributes have the same name")
        for twin in self.twins:
            self._check_twin(twin)

    def _check_twin(self, twin: TwinSpec) -> None:
        spec = self.attribute(twin.attribute)
        features = self.context_categorical if spec.chooser else self.categorical
        if spec.column not in features:
            kind = "context_categorical" if spec.chooser else "categorical"
            raise UsageError(
                f"twins of {spec.name!r}: column {spec.column!r} is no {kind} feature, so a model cannot see them"
            )
        for only in twin.only:
            if only.column not in self.categorical + self.context_categorical:
                raise UsageError(
                    f"twins of {spec.name!r}: `only` names {only.column!r}, which is no categorical feature"
                )
            if unknown := set(only.levels) - set(spec.levels):
                raise UsageError(f"twins of {spec.name!r}: `only` names the undeclared level {sorted(unknown)[0]!r}")

    @property
    def item_features(self) -> tuple[str, ...]:
        """Columns that describe an alternative."""
        return self.numeric + self.categorical + self.vectors

    @property
    def context_features(self) -> tuple[str, ...]:
        """Columns that describe the chooser or prompt."""
        return self.context_numeric + self.context_categorical + self.context_vectors

    def attribute(self, name: str) -> AttributeSpec:
        """The declared attribute of this name; `UsageError` naming those that are."""
        for spec in self.attributes:
            if spec.name == name:
                return spec
        declared = ", ".join(spec.name for spec in self.attributes) or "none"
        raise UsageError(f"no attribute {name!r}; declared: {declared}")

    def twin(self, name: str) -> TwinSpec:
        """How twins of this attribute arise; `UsageError` if the data set has none."""
        self.attribute(name)
        for twin in self.twins:
            if twin.attribute == name:
                return twin
        declared = ", ".join(twin.attribute for twin in self.twins) or "none"
        raise UsageError(f"attribute {name!r} has no twins; declare them under [[twins]] (twins exist for: {declared})")

    def replace(self, **changes: Any) -> Schema:
        """A copy with some fields exchanged."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, dicts and strings."""
        return json.loads(self.to_json())

    def to_json(self) -> str:
        """One line of JSON, for storing with a model."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, line: str) -> Schema:
        """The schema that `to_json` wrote."""
        return cls.from_dict(json.loads(line))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Schema:
        """From plain values; an unknown key or a wrong type is a `UsageError`."""
        return _build(cls, values, "schema")

    @classmethod
    def read(cls, path: str | os.PathLike) -> Schema:
        """The schema in a TOML file."""
        try:
            values = tomllib.loads(Path(path).read_text("utf-8"))
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: is not TOML: {' '.join(str(error).split())}") from error
        try:
            return cls.from_dict(values)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error


_RECORDS = {"attributes": AttributeSpec, "twins": TwinSpec, "only": Only}


def _choose(field: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"schema: {field} is one of {', '.join(known)}; got {value!r}")


def _build(cls: type, values: Any, where: str) -> Any:
    """A record from plain values, every field of the declared type."""
    if not isinstance(values, Mapping):
        raise UsageError(f"{where}: expected a table of keys, got {values!r}")
    fields = {field.name: field for field in dataclasses.fields(cls)}
    if unknown := [key for key in values if key not in fields]:
        raise UsageError(f"{where}: unknown key {unknown[0]!r}; known: {', '.join(fields)}")
    for name, field in fields.items():
        if field.default is dataclasses.MISSING and name not in values:
            raise UsageError(f"{where}: key {name!r} is needed")
    return cls(**{key: _value(key, value, str(fields[key].type), f"{where}.{key}") for key, value in values.items()})


def _value(key: str, value: Any, kind: str, where: str) -> Any:
    if (kind == "bool" and isinstance(value, bool)) or (kind == "str" and isinstance(value, str)):
        return value
    if kind.startswith("tuple"):
        if key in _RECORDS and isinstance(value, (list, tuple)):
            return tuple(_build(_RECORDS[key], part, where) for part in value)
        if isinstance(value, str):
            value = [value]
        if isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value):
            return tuple(value)
        kind = "list of strings"
    raise UsageError(f"{where}: expected a {kind}, got {value!r}")
