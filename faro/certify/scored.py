"""A scored table on disk, and beside it what it is: written together, so that the question travels with the numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from constraints import rule_text

from ..data import Dataset, write_table
from ..data.candidates import check_sets
from ..data.made import REWARD
from ..data.schema import Schema
from ..errors import DataError, UsageError
from ..files import sha256_of
from ..store.model import TrainedModel
from ..store.others import digests
from ..store.saved import units_file
from .columns import read_columns
from .description import Candidates, Description, Levels, PlugIn, Units, table_digest, write_description
from .plugins import outside_of, with_cells
from .policy import Policy, Support
from .rules import ARGMAX

NOT_SAID = "(not said)"  # of which policy draws are, or how they were drawn


def write_scored(
    model: TrainedModel,
    data: Any,
    path: str | Path,
    *,
    part: str | None = None,
    twins: Sequence[str] = (),
    expected: bool = False,
    files: Sequence[str | Path] = (),
    note: Callable[[str], None] = lambda line: None,
    rule: str | None = None,
) -> pd.DataFrame:
    """Score `data`, write the table to `path` with its description, and return it.

    model     a trained model
    data      a `Dataset`, DataFrame or path, read by the model's schema
    path      .csv, .jsonl or .parquet; the description goes to PATH-metadata.json, or into a Parquet file's metadata
    part      keep the units of this part of the split only
    twins     attributes whose twin rewards are wanted as well
    expected  of a randomised model: decisions as means over its draw; such a table cannot be audited
    files     files of the saved model, whose digests the description names
    note      is told in words of cells that the model's constraint should have and the table has not, and of sets that
              no rule can move
    rule      by which rewards become decisions, on sets of candidates that the model's schema declares; None: that of
              its training

    `DataError` if a part is asked for and the data do not say whose the rows are.
    """
    read = model.read(data)
    decides = model.rule_named(rule)
    if expected and rule_text(decides) != ARGMAX:
        raise UsageError("expected: means over the draw of a randomised model are of argmax; leave out the rule")
    scored = model.score(read, twins, expected=expected, rule=decides)
    for line in check_sets(read, decides):
        note(line)
    kept = scored if part is None else in_part(scored, read, part)
    plugins: tuple[PlugIn, ...] = ()
    mean = expected and model.draw is not None
    if not mean:
        kept, plugins = with_cells(model, read, scored, kept, note)
    write_table(kept, path)
    write_description(path, describe(model, read, path, files, "expected" if mean else rule_text(decides), plugins))
    return kept


def sets_of(model: TrainedModel) -> Candidates:
    """What the sets of a model are, in the words of its schema; of draws that these do not describe `NOT_SAID`."""
    schema = model.schema
    kind = model.candidates or "enumerated"  # a rule that needs no reference asks nobody
    needed = NOT_SAID if kind == "sampled" else ""
    return Candidates(kind, schema.reference or needed, schema.decoding or needed)


def under(model: TrainedModel, policy: Policy) -> tuple[TrainedModel, str]:
    """The model with its sets declared as the policy says, and the rule by which the policy wants them decided."""
    if policy.rule is None:
        return model, ARGMAX
    asked = policy.rule
    words = {"candidates": asked.kind, "reference": asked.reference, "decoding": asked.decoding}
    return dataclasses.replace(model, schema=model.schema.replace(**words)), asked.text


def in_part(scored: pd.DataFrame, data: Dataset, part: str) -> pd.DataFrame:
    """The rows of a part; `DataError` where the split cannot know whose rows these are, or it has none."""
    if data.unit_origin == "none":
        lacking = data.schema.label if data.schema.unit == "row" else data.schema.unit
        raise DataError(
            f"{data.name}: no column {lacking!r}: without it nobody knows which part a row is of, and which "
            "rows were trained on; add the column, or leave out --part"
        )
    kept = scored[scored["part"] == part]
    if not len(kept):
        raise DataError(f"{data.name}: no unit is in the part {part!r}")
    return kept


def describe(
    model: TrainedModel,
    data: Dataset,
    table: str | Path,
    files: Sequence[str | Path] = (),
    rule: str = ARGMAX,
    plugins: Sequence[PlugIn] = (),
) -> Description:
    """What the table is that `model` made of `data`, decided by the rule of this spelling."""
    schema = data.schema
    columns = read_columns(table)
    units, told = units_file(files[0]) if files else None, model.told(schema)
    return Description(
        table_sha256=table_digest(columns),
        outside=outside_of(schema),
        rule=rule,
        candidates=None if rule in (ARGMAX, "expected") else sets_of(model),
        weights="column" if schema.weight else "none",
        units=Units(data.unit_origin, "row" if schema.unit == "row" else schema.unit, data.unit_rule),
        shared=tuple(name for name in sorted(data.shared) if name in columns),
        attributes={
            name: Levels(attribute.levels, attribute.chooser) for name, attribute in model.attributes(data).items()
        },
        constraint=str(model.about.get("constraint", "")),
        model_sha256=tuple(sorted(map(sha256_of, files))),
        train_units_sha256=None if units is None else sha256_of(units),
        data_sha256=data.digest,
        plugins=tuple(plugins),
        support=Support(told.k, told.order, _rewritten(schema, columns)) if told.k else None,
        summaries={own.by: own.sha256 for own in schema.summaries.values()},
        aggregates={name.removeprefix(REWARD): sha for name, sha in digests(model.coding).items() if name in columns},
    )


def _rewritten(schema: Schema, columns: Collection[str]) -> tuple[str, ...]:
    """The attributes whose twins the table has with earlier answers rewritten, sorted."""
    names = [twin.attribute for twin in schema.twins if twin.rewrites_history]
    return tuple(sorted(name for name in names if f"reward:{name}={schema.attribute(name).levels[0]}" in columns))
