"""Which methods are compared, what each reads, and which of them are simpler than others: names of models."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Sequence

import numpy as np

from .. import models
from ..data import Dataset
from ..errors import DataError, UsageError
from ..registry import find, make
from .names import AGGREGATE, CONSTANTS, GROUPED, NEIGHBOURS

MODEL_OF = {AGGREGATE: "linear", GROUPED: "linear"}
DEFAULT = (AGGREGATE, CONSTANTS, "mixed_logit")
EVERY = "all"
WIDE = 32  # weights of a person, whose covariance takes hours
ALL = (
    AGGREGATE, CONSTANTS, GROUPED, NEIGHBOURS, "pebs", "mixed_logit", "pref", "latent_class", "lore", "ideal_point",
    "plus", "vpl", "gpo", "distributional", "ensemble", "position_tower",
)  # fmt: skip


def listed(names: Sequence[str] | None) -> list[str]:
    """The names of the methods, the simplest first: whatever is asked for, the aggregate is beside it.

    names: of models; "aggregate" is the linear one without anything of people, and "all" stands for `ALL`. None:
        `DEFAULT`

    `UsageError` for one that stands twice.
    """
    given = [own for name in (DEFAULT if names is None else names) for own in (ALL if name == EVERY else (name,))]
    asked = [AGGREGATE if name == MODEL_OF[AGGREGATE] else name for name in given]
    if EVERY in (names or ()):  # what is named beside it stands once
        asked = list(dict.fromkeys(asked))
    if len(set(asked)) < len(asked):
        raise UsageError(f"models: one stands twice: {', '.join(asked)}")
    simple = [name for name in (AGGREGATE, CONSTANTS) if name in asked or name == AGGREGATE]
    return simple + [name for name in asked if name not in simple]


def simpler(name: str, names: Sequence[str]) -> list[str]:
    """Those that a method has to beat: the aggregate, and person constants.

    name: of the method
    names: of all
    """
    below = [other for other in (AGGREGATE, CONSTANTS) if other in names]
    return below[: below.index(name)] if name in below else below


def file_name(name: str) -> str:
    """What the folder of a method is called.

    name: of the method
    """
    return re.sub(r"[^\w.=]+", "-", name).strip("-.")


def model_of(name: str, support: int) -> models.Model:
    """The model of a method.

    name: of the method
    support: choices of a person that a model which reads any is given

    `UsageError` for a name that no package declares.
    """
    if name == NEIGHBOURS:
        return models.Neighbours(models.Linear(), support)
    text = MODEL_OF.get(name, name)
    takes = inspect.signature(find("model", text.partition("(")[0])).parameters
    if "support" in takes and "support=" not in text:
        text = f"{text.removesuffix(')')}, support={support})" if "(" in text else f"{text}(support={support})"
    made = make("model", text)
    if not isinstance(made, models.Model):
        raise UsageError(f"model {name!r}: expected a faro.models.Model, got {type(made).__name__}")
    return made


def check_width(name: str, names: Sequence[str] | None, data: Dataset) -> None:
    """`DataError` for a method that only "all" asks for, and that would take hours: a full covariance of the weights of
    vectors.

    name: of the method
    names: that were asked for
    data: which it would read
    """
    width = sum(own.shape[-1] for own in data.parsed.items.vectors.values())
    if name == "mixed_logit" and EVERY in (names or ()) and name not in (names or ()) and width > WIDE:
        raise DataError(
            f"{data.name}: the covariance of {width} weights of a person takes long; name mixed_logit beside all if "
            "it is to be there, pref has a few directions of them"
        )


def table_of(name: str, data: Dataset) -> Dataset:
    """The table as a method reads it: that of `GROUPED` has the groups of choosers among the context.

    name: of the method
    data: as its schema reads it

    `DataError` where no groups are declared, or all are read by every method.
    """
    if name != GROUPED:
        return data
    schema = data.schema
    groups = [own.column for own in schema.attributes if own.chooser]
    added = tuple(own for own in groups if own not in schema.context_categorical)
    if not added:
        why = "the aggregate reads them all as context" if groups else "no attribute of choosers is declared"
        raise DataError(f"{data.name}: nothing is known of groups beside the aggregate: {why}")
    missing = "level" if schema.on_missing == "error" else schema.on_missing  # who says nothing of it is asked as well
    reading = schema.replace(context_categorical=(*schema.context_categorical, *added), on_missing=missing)
    read = Dataset.from_table(data.frame, reading, name=data.name, unit_rule=data.unit_rule, arrays=data.files)
    rows = np.flatnonzero(np.isin(read.parsed.source.max(1), data.parsed.source.max(1)))
    read = read if len(rows) == read.n else read.take(rows)
    return dataclasses.replace(read, info=data.info, defaults=data.defaults, notes=data.notes)
