"""Schemas as plain values: read as people write them in TOML, and written as they are stored with a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faro.errors import UsageError
from faro.text.exchange import Rules

from .specs import ArraySpec, AttributeSpec, Only, SummarySpec, TextSpec, TwinSpec

if TYPE_CHECKING:
    from .schema import Schema

RECORDS = {"attributes": AttributeSpec, "twins": TwinSpec, "only": Only, "arrays": ArraySpec, "texts": TextSpec}
# fields that came later: a schema that says nothing by them is written as before there were any
LATER = ("arrays", "texts", "unit_index", "codes", "unknown", "margin", "crossed", "order", "candidates", "reference",
         "decoding")  # fmt: skip
LATER_OF = {
    "attributes": ("lexicon", "text"),
    "texts": ("times", "without", "layers", "summary"),
    "twins": ("features", "missing", "history", "rules", "texts"),
}


def plain(schema: Schema) -> dict[str, Any]:
    """The schema as plain values, without what later fields leave unsaid."""
    values = dataclasses.asdict(schema)
    for table, later in LATER_OF.items():
        defaults = {field.name: field.default for field in dataclasses.fields(RECORDS[table])}
        for record in values[table]:
            for field in later:
                if not record[field] or record[field] == defaults[field]:
                    del record[field]
    return {name: value for name, value in values.items() if value or name not in LATER}


def build(cls: type, values: Any, where: str, whole: type | None = None) -> Any:
    """A record from plain values, every field of the declared type; `UsageError` for others. `whole`: of which it is a
    part."""
    whole = whole or cls
    if not isinstance(values, Mapping):
        raise UsageError(f"{where}: expected a table of keys, got {values!r}")
    fields = {field.name: field for field in dataclasses.fields(cls)}
    if unknown := [key for key in values if key not in fields]:
        raise UsageError(
            f"{where}: unknown key {unknown[0]!r}{_home(unknown[0], cls, whole)}; known: {', '.join(fields)}"
        )
    for name, field in fields.items():
        needed = field.default is field.default_factory is dataclasses.MISSING
        if needed and name not in values:
            raise UsageError(f"{where}: key {name!r} is needed")
    return cls(
        **{key: _value(key, value, str(fields[key].type), f"{where}.{key}", whole) for key, value in values.items()}
    )


def with_rules(values: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
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


def _home(key: str, cls: type, whole: type) -> str:
    """Where a key that stands in the wrong table belongs, in words."""
    tables = {
        name: "twins.only" if record is Only else name
        for name, record in RECORDS.items()
        if record is not cls and key in {field.name for field in dataclasses.fields(record)}
    }
    if cls is not whole and key in {field.name for field in dataclasses.fields(whole)}:
        return ", a key of the schema itself: put it above the first [[...]], which all that follows belongs to"
    return f", a key of {' or '.join(f'[[{name}]]' for name in tables.values())}" if tables else ""


def _value(key: str, value: Any, kind: str, where: str, whole: type) -> Any:
    if (kind == "bool" and isinstance(value, bool)) or (kind == "str" and isinstance(value, str)):
        return value
    if kind == "int" and type(value) is int:
        return value
    if kind.startswith("Rules"):
        return value if isinstance(value, Rules) else Rules.from_dict(value, where)
    if kind.startswith("SummarySpec"):
        return value if isinstance(value, SummarySpec) else build(SummarySpec, value, where, whole)
    if kind.startswith("Mapping"):
        if isinstance(value, Mapping) and all(isinstance(part, str) for part in value.values()):
            return dict(value)
        kind = "table of strings"
    if kind.startswith("tuple"):
        if kind != "tuple[str, ...]":
            if isinstance(value, (list, tuple)):
                return tuple(build(RECORDS[key], part, where, whole) for part in value)
            raise UsageError(f"{where}: expected a list of tables, [[{key}]] in TOML, got {value!r}")
        if isinstance(value, str):
            value = [value]
        if isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value):
            return tuple(value)
        kind = "list of strings"
    kind = "whole number" if kind == "int" else kind
    raise UsageError(f"{where}: expected a {kind}, got {value!r}")
