"""What a data set holds, as a plain record: sizes, features, groups by part, base rates, licence and traps."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import numpy as np

from faro.units import called

from .dataset import Dataset
from .lexicon import samples
from .registry import load
from .rewriting import rewritten
from .schema import Schema
from .specs import AttributeSpec, TwinSpec
from .split import PARTS
from .texts import StoredTexts


def describe(data: str | Dataset, seed: int = 0, root: str | os.PathLike | None = None) -> dict[str, Any]:
    """Rows, choices, units, features, attributes with counts per split part and base rates, twins, source and traps."""
    dataset = data if isinstance(data, Dataset) else load(data, root=root)
    schema, parts = dataset.schema, dataset.parts(seed)
    return {
        "name": dataset.name,
        "rows": len(dataset.frame),
        "choices": dataset.n,
        "dropped": dataset.dropped,
        "units": len(set(dataset.units.tolist())),
        "called": called(dataset.info.get("unit") or schema.unit),
        "alternatives": dataset.k,
        "available": float(dataset.parsed.available.mean()),
        "parts": {name: _size(dataset, parts == code) for code, name in enumerate(PARTS)},
        "features": {
            "items": [name for names in schema.kinds(context=False) for name in names],
            "context": [name for names in schema.kinds(context=True) for name in names],
        },
        "attributes": [_attribute(dataset, spec, parts) for spec in schema.attributes],
        "twins": {twin.attribute: twin.origin for twin in schema.twins},
        "twin_features": {twin.attribute: list(_set_features(schema, twin)) for twin in schema.twins},
        "rewritten": [dataclasses.asdict(count) for count in rewritten(schema, dataset.frame, dataset.name).counts],
        "texts": [_texts(stored) for stored in dataset.arrays.values() if isinstance(stored, StoredTexts)],
        "notes": list(dataset.notes),
        "defaults": {
            key: list(value) if isinstance(value, tuple) else value for key, value in dataset.defaults.items()
        },
        "digest": dataset.digest,
        **{key: dataset.info.get(key, "") for key in ("title", "source", "licence", "unit", "traps")},
    }


def _texts(stored: StoredTexts) -> dict[str, Any]:
    """How many different texts there are, how many have a vector on disk, and how long they are."""
    counted, encoder = stored.counted, stored.encoder
    assert counted is not None and encoder is not None
    return {
        "name": stored.name,
        "texts": len(counted.keys),
        "embedded": int(counted.there.sum()),
        "truncated": stored.truncated,
        "median_tokens": float(np.median(counted.tokens)),
        "encoder": encoder.name,
        "limit": encoder.limit,
    }


def _set_features(schema: Schema, twin: TwinSpec) -> tuple[str, ...]:
    """The features that a twin sets."""
    spec = schema.attribute(twin.attribute)
    return (*((spec.column,) if schema.seen(spec) else ()), *twin.features)


def _size(dataset: Dataset, where: np.ndarray) -> dict[str, int]:
    return {"choices": int(where.sum()), "units": len(set(dataset.units[where].tolist()))}


def _attribute(dataset: Dataset, spec: AttributeSpec, parts: np.ndarray) -> dict[str, Any]:
    """Alternatives counted for an alternative's attribute, choices and people for a chooser's."""
    codes, parsed = dataset.parsed.attributes[spec.name], dataset.parsed
    mine = codes.max(1) if spec.chooser else codes
    levels = []
    for index, level in enumerate(spec.levels):
        of_group = mine == index
        record: dict[str, Any] = {"level": level, "count": int(of_group.sum())}
        record["parts"] = {name: int(of_group[parts == code].sum()) for code, name in enumerate(PARTS)}
        if spec.chooser:
            record["units"] = len(set(dataset.units[of_group].tolist()))
        else:
            mass = (of_group * parsed.weight[:, None]).sum()
            chosen = 0.0 if parsed.chosen is None else (of_group * parsed.chosen * parsed.weight[:, None]).sum()
            record["base_rate"] = float(chosen / mass) if mass and parsed.chosen is not None else None
        levels.append(record)
    live = parsed.inside.any(1) if spec.chooser else parsed.inside
    return {
        "name": spec.name,
        "of": "chooser" if spec.chooser else "alternative",
        **({"by": "lexicon", "samples": samples(dataset.schema, spec, dataset.frame)} if spec.lexicon else {}),
        "excluded": int(((mine < 0) & live).sum()),
        "levels": levels,
    }
