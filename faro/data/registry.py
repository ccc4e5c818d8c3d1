"""Data sets by name: where they are looked for, and how a name, a file or a data frame becomes a `Dataset`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from constraints import Choices
from faro.errors import DataError, UsageError
from faro.files import cache_folder

from . import demo, demo_people
from .containers import frame_of, read_table, unique_columns
from .dataset import Dataset
from .pair_features import with_pairs
from .preferences import LENGTH, recognise
from .schema import Schema
from .sets import SETS

BY_LENGTH = {"constraint": "demographic_parity", "attribute": LENGTH.name}  # what pairs of texts begin with
GENERATED: dict[str, tuple[str, Callable[[], Dataset]]] = {  # title, and what makes it
    "demo": (demo.INFO["title"], demo.demo),
    **{name: (world.title, world.dataset) for name, world in demo_people.WORLDS.items()},
}
NAMES = (*GENERATED, *SETS)


def folders(root: str | os.PathLike | None = None) -> list[Path]:
    """Where data sets are looked for: `root` if given, else $FARO_DATA and the cache."""
    if root is not None:
        return [Path(root)]
    named = os.environ.get("FARO_DATA")
    return ([Path(named)] if named else []) + [cache_folder()]


def locate(name: str, root: str | os.PathLike | None = None) -> Path | None:
    """The first folder that holds every file of a data set, or None."""
    for folder in folders(root):
        if all(path.is_file() for path in SETS[name].paths(folder)):
            return folder
    return None


def load(
    data: Any,
    schema: Schema | Mapping[str, Any] | str | os.PathLike | None = None,
    root: str | os.PathLike | None = None,
    arrays: Mapping[str, Any] | None = None,
    pairs: str | None = None,
    encoder: str | None = None,
) -> Dataset:
    """A data set by name, or a table with its schema, as a `Dataset`; never from the network.

    data: a name that `faro data list` shows, the path of a table or of a folder of its parts, or a data frame (of
        pandas, polars, pyarrow or Hugging Face)
    schema: of a table: a `Schema`, a dictionary, or the path of a TOML file; of a name None, and of preference data
        whose columns say what they are (`faro.data.preferences`)
    root: folder in which registered data sets are looked for; None: $FARO_DATA and the cache
    arrays: name -> an array, or a path to its file, in place of the file that the schema names beside the table
    pairs: of answers to prompts without a schema of yours: which features they have, "answer", "together", "both" or
        "products" (`faro.data.pair_features`); None: those of the data set, of any other table the answer alone
    encoder: that reads the texts of such a table, by name or folder; None: minilm

    `DataError` for an absent data set, which says how to fetch it, and for a table that its schema does not read;
    `UsageError` for an unknown name or a schema that is missing or wrong.
    """
    asked = {name: value for name, value in (("pairs", pairs), ("encoder", encoder)) if value is not None}
    frame = frame_of(data)
    if frame is None and not isinstance(data, str | os.PathLike):
        what = f"a {type(data).__name__}"
        if isinstance(data, Choices):
            what = (
                "Choices, which do not say who is in which part: give the table that they were made of, with a schema"
            )
        raise UsageError(f"data: expected a data set's name, the path of a table or a data frame, got {what}")
    if schema is not None:
        schema = schema_of(schema)
        if asked:
            keys = {"pairs": "after or times", "encoder": "encoder"}
            option = next(iter(asked))
            raise UsageError(f"{option}: a schema says itself what is read, by [[texts]] with {keys[option]}")
        if frame is None and not Path(data).is_file() and str(data) in NAMES:
            raise UsageError(f"data set {str(data)!r} brings its own schema; leave out schema")
        return Dataset.from_table(data if frame is None else frame, schema, arrays=arrays or {})
    if frame is not None:
        return _recognised(unique_columns(frame.reset_index(drop=True), "table"), "table", "a data frame", asked)
    name = str(data)
    if name in GENERATED:
        made = GENERATED[name][1]()
        _as_asked(made.schema, asked, name)  # it has no answers
        return made
    if name not in SETS:
        if Path(name).exists():
            return _recognised(read_table(name), Path(name).name, f"{name}: a table", asked)
        raise UsageError(f"no data set and no file {name!r}; data sets: {', '.join(NAMES)}")
    folder = locate(name, root)
    if folder is None:
        looked = " and ".join(map(str, folders(root)))
        raise DataError(f"data set {name!r} is not in {looked}; {SETS[name].advice(name)}")
    spec = SETS[name]
    tables = [spec.open(path) for path in spec.paths(folder)]
    try:
        frame, its_schema = spec.read(*tables)
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{folder / spec.files[0]}: is not the published table ({error}); {spec.advice(name)}"
        ) from error
    its_schema, info = _as_asked(its_schema, asked, name), spec.info | asked
    return Dataset.from_table(frame, its_schema, name=name, defaults=spec.defaults, info=info)


def _as_asked(schema: Schema, asked: Mapping[str, str], where: str) -> Schema:
    """The schema with the features of pairs and the encoder that are asked for."""
    if "pairs" in asked:
        schema = with_pairs(schema, asked["pairs"], where)
    if "encoder" in asked:
        if not schema.texts:
            raise UsageError(f"encoder: {where} has no texts that one could read")
        texts = tuple(dataclasses.replace(spec, encoder=os.fspath(asked["encoder"])) for spec in schema.texts)
        schema = schema.replace(texts=texts)
    return schema


def _recognised(frame: pd.DataFrame, where: str, what: str, asked: Mapping[str, str]) -> Dataset:
    """A table in one of the formats of preference data, which needs no schema."""
    known = recognise(frame, where)
    if known is None:
        raise UsageError(
            f"{what} needs a schema: say which columns are the choice, the label, the features (read without one: "
            "prompt, chosen, rejected; prompt, completion, label; prompt, completions, ranks)"
        )
    defaults = BY_LENGTH if any(spec == LENGTH for spec in known.schema.attributes) else {}
    schema = _as_asked(known.schema, asked, where)
    made = Dataset.from_table(known.frame, schema, name=where, defaults=defaults, info=dict(asked))
    return dataclasses.replace(made, notes=(*known.notes, *made.notes))


def schema_of(schema: Schema | Mapping[str, Any] | str | os.PathLike) -> Schema:
    """A schema, from a dict or a TOML file too."""
    if isinstance(schema, Mapping):
        return Schema.from_dict(schema)
    if isinstance(schema, Schema):
        return schema
    if not isinstance(schema, str | os.PathLike):
        what = f"a {type(schema).__name__}"
        raise UsageError(f"schema: expected a Schema, a dictionary or the path of a TOML file, got {what}")
    return Schema.read(schema)


def listing(root: str | os.PathLike | None = None) -> list[dict[str, Any]]:
    """One record per known data set: name, title, whether it is here, and where."""
    records = [
        {"name": name, "title": title, "present": True, "where": "generated", "fetched": False}
        for name, (title, _) in GENERATED.items()
    ]
    for name, spec in SETS.items():
        folder = locate(name, root)
        records.append(
            {
                "name": name,
                "title": spec.info["title"],
                "present": folder is not None,
                "where": str(folder or ""),
                "fetched": spec.fetched,
            }
        )
    return records
