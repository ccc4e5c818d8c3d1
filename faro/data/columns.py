"""Which columns of a table a schema reads, and by what names: sides of a wide table, and the twins that a table brings.

A twin of a feature stands beside it: where the feature is in the column `chosen_emb`, its values with gender set to
female are in `chosen_emb:gender=female`. Of an array the index is so: `chosen_row:gender=female`.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection

import pandas as pd

from faro.errors import DataError, UsageError

from .schema import AttributeSpec, Schema, TwinSpec

Places = dict[str, tuple[str | None, ...]]  # name -> its column on every side (None: the side has none), or one for all


def need(frame: pd.DataFrame, column: str, what: str, where: str) -> pd.Series:
    """A column of the table, or a `DataError` that lists what there is."""
    if column not in frame.columns:
        shown = ", ".join(map(str, frame.columns[:30]))
        raise DataError(f"{where}: no column {column!r} (needed as {what}); columns are: {shown}")
    return frame[column]


def shared_names(schema: Schema) -> list[str]:
    """Columns that all alternatives of a row share."""
    names = [schema.weight, "" if schema.unit == "row" else schema.unit, *schema.shared, *schema.context_features]
    names += [*schema.choice, *(spec.column for spec in schema.attributes if spec.chooser)]
    names += schema.indices(context=True)
    names += [spec.index for spec in schema.arrays if spec.context]
    return list(dict.fromkeys(filter(None, names)))


def side_names(schema: Schema) -> list[str]:
    """Columns that belong to one alternative."""
    names = [*schema.item_features, *(spec.column for spec in schema.attributes if not spec.chooser), schema.log_ref]
    names += schema.indices(context=False)
    names += [spec.index for spec in schema.arrays if not spec.context]
    return list(dict.fromkeys(filter(None, names)))


def side_columns(schema: Schema, frame: pd.DataFrame, side: str, where: str) -> dict[str, str]:
    """Feature -> its column for one side of a wide table; optional columns that are absent are left out."""
    columns, needed = {}, (*schema.item_features, *schema.indices(context=False))
    for name in side_names(schema):
        both = [column for column in (f"{side}_{name}", f"{name}_{side}") if column in frame.columns]
        if len(both) > 1:
            raise DataError(f"{where}: both {both[0]!r} and {both[1]!r} exist; keep one")
        if both:
            columns[name] = both[0]
        elif name in needed:
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
        for name in dict.fromkeys(_bases(schema, twin, spec).values()):
            columns = both[spec.chooser].get(name, ())
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
                twins_of[spec.chooser].update(
                    {twin.column(name, level): at_level for level, at_level in levels.items()}
                )
    return twins_of


def _bases(schema: Schema, twin: TwinSpec, spec: AttributeSpec) -> dict[str, str]:
    """Feature -> what a column of its twin is named after: itself, or the index of an array whose twins are rows of the
    same one."""
    arrays = {array.name: array.index for array in schema.feature_arrays}
    apart = {array.name for array in schema.arrays}
    names = [name for kind in schema.kinds(spec.chooser) for name in kind]
    bases = {name: arrays.get(name, name) for name in names if twin.column(name, spec.levels[0]) not in apart}
    return {name: base for name, base in bases.items() if base and base != spec.column}


def recognise(schema: Schema, frame: pd.DataFrame, where: str, arrays: Collection[str]) -> Schema:
    """The schema with the features whose twins the table, or the `arrays` beside it, bring.

    `UsageError` for twins that no model could tell apart: of an attribute that is no feature and sets none.
    """
    there = twin_places(schema, frame, where)
    twins = []
    for twin in schema.twins:
        spec = schema.attribute(twin.attribute)
        level, bases = spec.levels[0], _bases(schema, twin, spec)
        brought = [name for name, base in bases.items() if twin.column(base, level) in there[spec.chooser]]
        brought += [array.name for array in schema.feature_arrays if twin.column(array.name, level) in arrays]
        features = tuple(dict.fromkeys((*twin.features, *brought)))
        if not features and not schema.seen(spec):
            kind = "context_categorical" if spec.chooser else "categorical"
            known = [name for names in schema.kinds(spec.chooser) for name in names] or ["FEATURE"]
            raise UsageError(
                f"twins of {spec.name!r}: column {spec.column!r} is no {kind} feature, and {where} has no columns such "
                f"as {twin.column(known[0], level)!r}, so a model cannot see them"
            )
        twins.append(dataclasses.replace(twin, features=features))
    return schema.replace(twins=tuple(twins))


def used_columns(schema: Schema, frame: pd.DataFrame, twins: bool = True) -> tuple[dict[str, str], list[str]]:
    """(column -> the schema's name of it, vector columns) of the given table that the schema reads and that are
    there; `twins`: those of twins too, by the names of their features."""
    of_alternatives, shared = places(schema, frame, "table")
    singles = [*schema.choice, schema.alternative, schema.label, schema.weight, schema.available, schema.outside]
    named = {column: name for name, columns in of_alternatives.items() for column in columns if column}
    named |= {column: column for column in (*singles, *shared) if column and column in frame.columns}
    if twins:
        there = twin_places(schema, frame, "table")
        for twin in schema.twins:
            spec = schema.attribute(twin.attribute)
            for name, level in itertools.product((of_alternatives, shared)[spec.chooser], spec.levels):
                columns = there[spec.chooser].get(twin.column(name, level), ())
                named |= {column: name for column in columns if column}
    vectors = {*schema.vectors, *schema.context_vectors}
    plain = {column: name for column, name in named.items() if name not in vectors}
    return plain, [column for column, name in named.items() if name in vectors]
