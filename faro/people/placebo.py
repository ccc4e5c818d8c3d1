"""Groups that mean nothing: the control of every method that learns from groups of people."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from ..data import Dataset
from ..data.split import uniform
from ..errors import DataError


def placebo(data: Dataset, attribute: str, seed: int = 0) -> Dataset:
    """The same table with the groups of an attribute dealt anew to people, by hash: each keeps its size in people.
    What a method gains here it does not owe to the groups. Features stay, also those that tell the true group.

    data: as loaded
    attribute: of choosers, by its name
    seed: of the deal, >= 0

    `UsageError` for an attribute that is not declared, `DataError` for one that is no column of the choosers.
    """
    spec = data.schema.attribute(attribute)
    if not spec.chooser or spec.column not in data.frame.columns or data.schema.unit not in data.frame.columns:
        raise DataError(f"{data.name}: placebo: expected a column's attribute of the chooser, got {attribute!r}")
    people, first = np.unique(data.frame[data.schema.unit].astype(str), return_index=True)
    groups = data.frame[spec.column].iloc[first].reset_index(drop=True)
    dealt = groups.iloc[np.argsort(uniform(f"faro placebo {attribute} {int(seed)}", [*people]), kind="stable")]
    of_person = pd.Series(dealt.array, index=people)[data.frame[data.schema.unit].astype(str)]
    schema, column = data.declared or data.schema, f"{spec.column} (placebo)"
    specs = tuple(
        dataclasses.replace(own, column=column) if own.name == attribute else own for own in schema.attributes
    )
    again = Dataset.from_table(
        data.frame.assign(**{column: of_person.array}),
        schema.replace(attributes=specs),
        name=data.name,
        unit_rule=data.unit_rule,
        arrays=data.files,
    )
    return dataclasses.replace(again, defaults=data.defaults, info=data.info)
