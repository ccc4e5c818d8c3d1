"""What a schema may not say: columns, types, twins and names that go together, or do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from constraints import CANDIDATES
from faro.errors import UsageError
from faro.text.exchange import Rules
from faro.units import PAIR

from .specs import TwinSpec, choose
from .values import TYPES

if TYPE_CHECKING:
    from .schema import Schema

# columns of a scored table that are not attributes, and what its readers know besides
RESERVED = ("unit", "choice", "alternative", "label", "reward", "decision", "weight", "part", "outside", "content",
            PAIR)  # fmt: skip


def check_columns(schema: Schema) -> None:
    """`UsageError` for columns that do not go together."""
    _check_candidates(schema)
    if not schema.unit:
        raise UsageError("schema: declare `unit`, the column of the person or prompt, or unit = 'row'")
    if schema.format == "long" and not (schema.choice and schema.label):
        raise UsageError("schema: format 'long' needs `choice` (the column of the choice's id) and `label`")
    if schema.format == "accept" and not schema.label:
        raise UsageError("schema: format 'accept' needs `label`")
    for field, format_ in (("available", "wide"), ("alternative", "wide"), ("outside", "long")):
        if getattr(schema, field) and schema.format not in ("long", format_):
            raise UsageError(f"schema: `{field}` belongs to format 'long', not {schema.format!r}")
    _check_sides(schema)
    arrays = {spec.name: spec.context for spec in schema.arrays}
    arrays |= {spec.name: spec.context for spec in schema.texts}
    features = (*schema.item_features, *schema.context_features, *arrays)
    if not schema.item_features and all(arrays.values()):
        raise UsageError(
            "schema: name at least one feature of the alternatives (numeric, categorical, vectors, arrays or texts)"
        )
    for column in features:
        if features.count(column) > 1:
            raise UsageError(f"schema: feature {column!r} is declared twice")
    if schema.label in features:
        raise UsageError(f"schema: {schema.label!r} is the label and cannot be a feature too")
    for spec in schema.arrays:
        if spec.context and not spec.index and schema.format == "long":
            raise UsageError(f"array {spec.name!r}: rows of a choice share it, so it needs an `index` column")
    if both := set(schema.indices(context=True)) & {*schema.indices(context=False), *schema.item_features}:
        raise UsageError(f"schema: index {both.pop()!r} is of an alternative and of the context; use two columns")
    if schema.crossed and schema.unit in (schema.crossed, "row"):
        raise UsageError(f"schema: crossed is a second cluster, beside the unit; both are {schema.unit!r}")
    if schema.order and schema.unit in (schema.order, "row"):
        raise UsageError(f"schema: order is of the choices of a unit; got unit and order {schema.unit!r}")
    if schema.order and schema.types.get(schema.order, "number") not in ("number", "date"):
        raise UsageError(
            f"schema: order {schema.order!r} is of type number or date, not {schema.types[schema.order]!r}"
        )
    if schema.unit_index and schema.unit == "row":
        raise UsageError("schema: unit_index needs units that come again; name the column of the `unit`")
    if len({(own.k, own.order) for own in schema.summaries.values()}) > 1 or (
        schema.summaries and schema.unit == "row"
    ):
        raise UsageError("schema: summaries are of persons (`unit`), and all of the same earlier choices of theirs")


def check_types(schema: Schema) -> None:
    """`UsageError` for a type that a column cannot have."""
    known = (*schema.numbers, *schema.words, schema.order)
    for column, kind in schema.types.items():
        choose(f"the type of {column!r}", kind, TYPES)
        if column not in known:
            raise UsageError(f"schema: types names {column!r}, which the schema reads as no cell of text or number")
        if kind in ("text", "date") and column in schema.numbers:
            raise UsageError(f"schema: column {column!r} is read as numbers and cannot be of type {kind!r}")


def check_twins(schema: Schema) -> None:
    """`UsageError` for twins that cannot be made."""
    for twin in schema.twins:
        _check_twin(schema, twin)
    _check_twin_arrays(schema)


def check_names(schema: Schema) -> None:
    """`UsageError` for two columns of the scored table of one name."""
    taken = dict.fromkeys(RESERVED, "a column of every scored table")
    for twin in schema.twins:
        for level in schema.attribute(twin.attribute).levels:
            name = f"reward:{twin.attribute}={level}"
            if name in taken:
                raise UsageError(f"schema: twins of {twin.attribute!r} make a second column {name!r}; rename one")
            taken[name] = f"a reward of the twins of {twin.attribute!r}"
    for spec in schema.attributes:
        if taken.get(spec.name) == "an attribute":
            raise UsageError(f"schema: two attributes have the same name {spec.name!r}")
        if not spec.name or spec.name in taken or spec.name.startswith("reward:"):
            why = taken.get(spec.name, "no name that a scored table can give to an attribute")
            raise UsageError(f"attribute {spec.name!r} is {why}: give it another name and say column = {spec.column!r}")
        taken[spec.name] = "an attribute"
    columns = {spec.name: spec.column for spec in schema.attributes}
    for column in schema.shared_columns:
        if columns.get(column) == column:
            continue  # the scored table shows it already
        if column in taken or column.startswith("reward:"):
            why = taken.get(column, "reserved")
            raise UsageError(f"schema: rows are shared by {column!r}, which is {why}; rename the column")


def _check_candidates(schema: Schema) -> None:
    if schema.candidates:
        choose("candidates", schema.candidates, CANDIDATES)
    if schema.candidates == "sampled" and schema.log_ref:
        raise UsageError(
            f"schema: log_ref {schema.log_ref!r} beside candidates = 'sampled': draws are kept as they came, so "
            "log_ref squares the reference; leave it out, or declare candidates = 'enumerated'"
        )
    if (schema.reference or schema.decoding) and not schema.candidates:
        raise UsageError("schema: reference and decoding are of `candidates`: say 'enumerated' or 'sampled'")


def _check_sides(schema: Schema) -> None:
    wide = schema.format == "wide"
    if len(set(schema.sides)) < max(2, len(schema.sides)):
        raise UsageError(f"schema: expected two or more different `sides`, got {list(schema.sides)}")
    if wide and not schema.label and (len(schema.sides) > 2 or schema.alternative):
        what = "`alternative`" if schema.alternative else f"{len(schema.sides)} sides"
        raise UsageError(f"schema: {what} need `label`, the column that says which side was chosen")
    if schema.codes and not (
        wide and schema.label and len(set(schema.codes)) == len(schema.sides) == len(schema.codes)
    ):
        raise UsageError(
            f"schema: `codes` are the cells of the label of a wide table, one for each of {len(schema.sides)} sides"
        )
    if schema.positive and schema.label_names_sides:
        raise UsageError("schema: `positive` is of labels that are 1 or 0; this label names sides, by `codes`")
    if schema.unknown and not (schema.positive or schema.label_names_sides):
        raise UsageError("schema: `unknown` goes with a label of words, so with `positive` or `codes`")


def _check_twin(schema: Schema, twin: TwinSpec) -> None:
    spec = schema.attribute(twin.attribute)
    known = schema.settable(spec)
    for name in twin.features:
        if name not in known and "*" not in name:
            whose = "" if spec.chooser else " of an alternative"
            raise UsageError(
                f"twins of {spec.name!r}: {name!r} is no feature{whose}; those are: {', '.join(known) or 'none'}"
            )
    if twin.rewrites_history and not (spec.chooser and schema.unit != "row"):
        raise UsageError(
            f"twins of {spec.name!r}: history is of the person who chooses: rewritten it can be for a chooser's "
            "attribute, where a column names persons (`unit`)"
        )
    if twin.rewrites_history and schema.summaries:
        raise UsageError(
            f"twins of {spec.name!r}: history stands in the summaries {next(iter(schema.summaries))!r}, which nobody "
            'rewrites; say history = "kept"'
        )
    if twin.rules is not None:
        _check_rules(schema, twin, twin.rules)
    for only in twin.only:
        if only.column not in schema.categorical + schema.context_categorical:
            raise UsageError(f"twins of {spec.name!r}: `only` names {only.column!r}, which is no categorical feature")
        if unknown := set(only.levels) - set(spec.levels):
            raise UsageError(f"twins of {spec.name!r}: `only` names the undeclared level {sorted(unknown)[0]!r}")


def _check_rules(schema: Schema, twin: TwinSpec, rules: Rules) -> None:
    spec, where = schema.attribute(twin.attribute), f"twins of {twin.attribute!r}"
    texts = schema.rewritable(spec)
    if not texts or not {*twin.texts} <= {*texts}:
        got = ", ".join(twin.texts) or "none"
        raise UsageError(f"{where}: rules rewrite texts; expected of {', '.join(texts) or 'none'}, got {got}")
    if lacking := [level for level in spec.levels if level not in rules.levels]:
        theirs = ", ".join(rules.levels)
        raise UsageError(f"{where}: {rules.called} have the levels {theirs}, and not {lacking[0]!r}")


def _check_twin_arrays(schema: Schema) -> None:
    features = {spec.name: spec for spec in schema.feature_arrays}
    for spec in schema.arrays:
        if spec.name in features:
            continue
        feature = next(name for name in features if spec.name.startswith(f"{name}:"))
        if (spec.context, spec.raw) != (features[feature].context, features[feature].raw):
            raise UsageError(f"array {spec.name!r} is a twin of {feature!r}: its context and raw must be the same")
