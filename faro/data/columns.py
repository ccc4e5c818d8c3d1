"""Which columns of a table a schema reads, and by what names: sides of a wide table, and the twins that a table brings.

A twin of a feature stands beside it: where the feature is in the column `chosen_emb`, its values with gender set to
female are in `chosen_emb:gender=female`. Of an array the index is so: `chosen_row:gender=female`.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Collection, Iterable

import pandas as pd

from faro.errors import DataError, UsageError

from .schema import Schema
from .specs import AttributeSpec, TwinSpec

LISTS = ("numeric", "categorical", "vectors", "context_numeric", "context_categorical", "context_vectors")
Places = dict[str, tuple[str | None, ...]]  # name -> its column on every side (None: the side has none), or one for all


def need(frame: pd.DataFrame, column: str, what: str, where: str) -> pd.Series:
    """A column of the table, or a `DataError` that lists what there is."""
    if column not in frame.columns:
        shown = ", ".join(map(str, frame.columns[:30]))
        raise DataError(f"{where}: no column {column!r} (needed as {what}); columns are: {shown}")
    return frame[column]


def expanded(schema: Schema, frame: pd.DataFrame, where: str) -> Schema:
    """The schema with the columns that its patterns stand for, in the table's order: `emb_*` are all columns of such
    names that the schema says nothing else of.

    `DataError` for a pattern that no column matches.
    """
    columns = [*map(str, frame.columns)]
    sides = {column: _without_side(schema, column) for column in columns}
    of_sides = [*dict.fromkeys(name for name in sides.values() if name)]
    known = {*of_sides, *columns}
    patterns = {
        field: [name for name in getattr(schema, field) if "*" in name and name not in known] for field in LISTS
    }
    if not any(patterns.values()) and not any("*" in name for twin in schema.twins for name in twin.features):
        return schema
    twins = [twin.column("", level) for twin in schema.twins for level in schema.attribute(twin.attribute).levels]
    said = {*schema.numbers, *schema.words, *schema.vectors, *schema.context_vectors}
    changes: dict[str, tuple[str, ...]] = {}
    for field in LISTS:
        shared = columns if schema.format != "wide" else [column for column in columns if not sides[column]]
        there = shared if field.startswith("context") else of_sides
        free = [name for name in there if name not in said and not name.endswith(tuple(twins))]
        names: list[str] = []
        for name in getattr(schema, field):
            matching = _matching(name, free) if name in patterns[field] else [name]
            if not matching:
                shown = ", ".join(free[:30]) or "none"
                raise DataError(f"{where}: no column matches {name!r} (`{field}`); those that are free: {shown}")
            names += matching
        changes[field] = tuple(dict.fromkeys(names))
    features = [name for names in changes.values() for name in names]
    moved = []
    for twin in schema.twins:
        names = []
        for name in twin.features:
            names += _matching(name, features) if "*" in name else [name]
        moved.append(dataclasses.replace(twin, features=tuple(dict.fromkeys(names))))
    return schema.replace(**changes, twins=tuple(moved))


def _matching(pattern: str, names: Iterable[str]) -> list[str]:
    parts = re.compile(".*".join(map(re.escape, pattern.split("*"))))
    return [name for name in names if parts.fullmatch(name)]


def _without_side(schema: Schema, column: str) -> str:
    """What the column of a side of a wide table is called without the side, "" if it is of none; in any other table
    its name."""
    if schema.format != "wide":
        return column
    for side, mark in itertools.product(schema.sides, "_."):
        if column.startswith(side + mark):
            return column.removeprefix(side + mark)
        if column.endswith(mark + side):
            return column.removesuffix(mark + side)
    return ""


def shared_names(schema: Schema) -> list[str]:
    """Columns that all alternatives of a row share."""
    names = [
        schema.weight,
        schema.margin,
        "" if schema.unit == "row" else schema.unit,
        *schema.shared,
        *schema.context_features,
    ]
    names += [*schema.choice, *(spec.column for spec in schema.attributes if spec.chooser)]
    names += schema.indices(context=True)
    names += [spec.index for spec in schema.arrays if spec.context]
    return list(dict.fromkeys(filter(None, names)))


def side_names(schema: Schema) -> list[str]:
    """Columns that belong to one alternative."""
    names = [*schema.item_features, *(spec.column for spec in schema.attributes if not spec.chooser), schema.log_ref]
    names += schema.indices(context=False)
    names += [spec.index for spec in schema.arrays if not spec.context]
    wide = schema.format == "wide"
    names += [schema.available] if wide else []
    made = {"", schema.alternative} if wide else {""}  # a wide table has the sides' names in no column
    return [name for name in dict.fromkeys(names) if name not in made]


def of_side(frame: pd.DataFrame, side: str, name: str) -> list[str]:
    """The columns that are there of something of a side of a wide table; without a side those of its name.

    frame: the table
    side: its name, or ""
    name: of a feature or an attribute
    """
    ways = [(f"{side}_{name}", f"{name}_{side}"), (f"{side}.{name}", f"{name}.{side}")] if side else [(name,)]
    for columns in ways:
        if there := [column for column in columns if column in frame.columns]:
            return there
    return []


def serving(schema: Schema, frame: pd.DataFrame, reads: Collection[str], where: str) -> Schema:
    """The schema without the attributes, and their twins, that the table has no column of: who serves a model need not
    know groups that it does not read.

    schema: of training
    frame: the table
    reads: names of the attributes without which the model gives no rewards
    where: what messages call the table

    `DataError` where the table has no column of one of those.
    """
    sides = {False: schema.sides if schema.format == "wide" else ("",), True: ("",)}
    absent = {
        spec.name: spec.column
        for spec in schema.attributes
        if not any(of_side(frame, side, spec.column) for side in sides[spec.chooser])
    }
    if lacking := [column for name, column in absent.items() if name in reads]:
        raise DataError(f"{where}: no column {lacking[0]!r}, which the model reads; add it")
    if not absent:
        return schema
    return schema.replace(
        attributes=tuple(spec for spec in schema.attributes if spec.name not in absent),
        twins=tuple(twin for twin in schema.twins if twin.attribute not in absent),
        types={column: kind for column, kind in schema.types.items() if column not in absent.values()},
    )


def side_columns(schema: Schema, frame: pd.DataFrame, side: str, where: str) -> dict[str, str]:
    """Feature -> its column for one side of a wide table; optional columns that are absent are left out."""
    columns, needed = {}, (*schema.item_features, *schema.indices(context=False))
    for name in side_names(schema):
        both = of_side(frame, side, name)
        if len(both) > 1:
            raise DataError(f"{where}: both {both[0]!r} and {both[1]!r} exist; keep one")
        if both:
            columns[name] = both[0]
        elif name in needed and not (len(schema.sides) > 2 and schema.on_missing == "level"):
            what = "feature" if name in schema.item_features else "row of an array:"
            raise DataError(f"{where}: no column '{side}_{name}' or '{name}_{side}' (needed as {what} {name!r})")
    return columns


def places(schema: Schema, frame: pd.DataFrame, where: str) -> tuple[Places, Places]:
    """(what belongs to one alternative, what all share) among the columns that are there."""
    shared: Places = {name: (name,) for name in shared_names(schema) if name in frame.columns}
    names = side_names(schema)
    if schema.format != "wide":
        return {name: (name,) for name in names if name in frame.columns}, shared
    sides = [side_columns(schema, frame, side, where) for side in schema.sides]
    there = [name for name in names if any(name in columns for columns in sides)]
    if lacking := [name for name in names if name in schema.item_features and name not in there]:
        raise DataError(
            f"{where}: no side has a column of the feature {lacking[0]!r}, as '{schema.sides[0]}_{lacking[0]}'"
        )
    return {name: tuple(columns.get(name) for columns in sides) for name in there}, shared


def twin_places(schema: Schema, frame: pd.DataFrame, where: str) -> tuple[Places, Places]:
    """The same of what twins set an alternative's and the chooser's features to; its name is that of the feature, or
    of an array's index, in `TwinSpec.column`.

    `DataError` for a feature of which some columns are there and some are not.
    """
    both = places(schema, frame, where)
    twins_of: tuple[Places, Places] = {}, {}
    for twin in schema.twins:
        spec = schema.attribute(twin.attribute)
        for name, context in dict.fromkeys((base, context) for _, base, context in _bases(schema, twin, spec)):
            columns = both[context].get(name, ())
            levels = {
                level: tuple(column and twin.column(column, level) for column in columns) for level in spec.levels
            }
            wanted = [column for at_level in levels.values() for column in at_level if column]
            lacking = [column for column in wanted if column not in frame.columns]
            if lacking and len(lacking) < len(wanted):
                raise DataError(
                    f"{where}: no column {lacking[0]!r}: twins of {twin.attribute!r} need {name!r} at every level"
                )
            if wanted and not lacking:
                twins_of[context].update({twin.column(name, level): at_level for level, at_level in levels.items()})
    return twins_of


def _bases(schema: Schema, twin: TwinSpec, spec: AttributeSpec) -> list[tuple[str, str, bool]]:
    """(feature that a twin may set, what a column of its twin is named after, whether it is of the context): itself, or
    the index of an array whose twins are rows of the same one."""
    arrays = {array.name: array.index for array in schema.feature_arrays}
    apart = {array.name for array in schema.arrays}
    of_context = {name for kind in schema.kinds(context=True) for name in kind}
    bases = []
    for name in schema.settable(spec):
        base = arrays.get(name, name)
        if base and base != spec.column and twin.column(name, spec.levels[0]) not in apart:
            bases.append((name, base, name in of_context))
    return bases


def recognise(schema: Schema, frame: pd.DataFrame, where: str, arrays: Collection[str]) -> Schema:
    """The schema with the features whose twins the table, or the `arrays` beside it, bring.

    `UsageError` for twins that no model could tell apart: of an attribute that is no feature and sets none.
    """
    there = twin_places(schema, frame, where)
    twins = []
    for twin in schema.twins:
        spec = schema.attribute(twin.attribute)
        level, settable = spec.levels[0], schema.settable(spec)
        brought = [
            name for name, base, context in _bases(schema, twin, spec) if twin.column(base, level) in there[context]
        ]
        brought += [name for name in settable if twin.column(name, level) in arrays]
        features = tuple(dict.fromkeys((*twin.features, *brought)))
        if not features and not schema.seen(spec):
            kind = "context_categorical" if spec.chooser else "categorical"
            people = (
                "; what it knows of people by their earlier choices, bound by person_exchange" if spec.chooser else ""
            )
            raise UsageError(
                f"twins of {spec.name!r}: column {spec.column!r} is no {kind} feature, and {where} has no columns such "
                f"as {twin.column(settable[0], level)!r}, so a model cannot see them{people}"
            )
        twins.append(dataclasses.replace(twin, features=features))
    return schema.replace(twins=tuple(twins))


def used_columns(schema: Schema, frame: pd.DataFrame, twins: bool = True) -> tuple[dict[str, str], list[str]]:
    """(column -> the schema's name of it, vector columns) of the given table that the schema reads and that are
    there; `twins`: those of twins too, by the names of their features."""
    of_alternatives, shared = places(schema, frame, "table")
    singles = [*schema.choice, schema.label, schema.weight, schema.outside]
    singles += [] if schema.format == "wide" else [schema.alternative, schema.available]
    named = {column: name for name, columns in of_alternatives.items() for column in columns if column}
    named |= {column: column for column in (*singles, *shared) if column and column in frame.columns}
    if twins:
        there = twin_places(schema, frame, "table")
        for twin in schema.twins:
            spec = schema.attribute(twin.attribute)
            for context, names in enumerate((of_alternatives, shared)):
                for name, level in itertools.product(names, spec.levels):
                    columns = there[context].get(twin.column(name, level), ())
                    named |= {column: name for column in columns if column}
    vectors = {*schema.vectors, *schema.context_vectors}
    plain = {column: name for column, name in named.items() if name not in vectors}
    return plain, [column for column, name in named.items() if name in vectors]
