"""Twins: the same choices with one attribute's feature set to each level, and which of those the design supports."""

from __future__ import annotations

from typing import Any

import numpy as np

from constraints import Twin
from faro.errors import DataError

from .arrays import Parsed
from .coding import Block, Coding
from .schema import FEATURES, Schema


def build_twin(schema: Schema, coding: Coding, parsed: Parsed, items: Any, context: Any, name: str) -> Twin:
    """The `Twin` of attribute `name`; `items [n, J, ...]` and `context [n, ...]` are what models read, coded features
    or a dict of them and of raw arrays, which stay as they are at every level."""
    spec = schema.attribute(name)
    schema.twin(name)
    valid: Any = supported(schema, parsed, name)
    block, base = (coding.context, context) if spec.chooser else (coding.items, items)
    tree = dict(base) if isinstance(base, dict) else {FEATURES: base}
    coded = tree.pop(FEATURES)
    live = parsed.context.live if spec.chooser else parsed.items.live[:, : coded.shape[1]]
    count, axis = len(spec.levels), live.ndim
    raw = {array: np.repeat(np.expand_dims(own, axis), count, axis) for array, own in tree.items()}
    features = _set(block, coded, live, spec.column, spec.levels)
    tree = raw | {FEATURES: features} if raw else features
    return Twin(valid=valid, context=tree) if spec.chooser else Twin(valid=valid, items=tree)


def supported(schema: Schema, parsed: Parsed, name: str) -> np.ndarray:
    """`[n, K, L]` which twins of attribute `name` the design supports."""
    spec = schema.attribute(name)
    applies = parsed.inside & (parsed.attributes[name] >= 0)
    valid = np.repeat(applies[..., None], len(spec.levels), -1)
    for only in schema.twin(name).only:
        of_item = only.column in parsed.items.categorical
        side = parsed.items if of_item else parsed.context
        hit = side.categorical[only.column].values() == only.equals
        hit = hit if of_item else np.repeat(hit[:, None], valid.shape[1], 1)
        valid &= ~hit[..., None] | np.isin(np.asarray(spec.levels, object), only.levels)
    return valid


def _set(block: Block, base: np.ndarray, live: np.ndarray, column: str, levels: tuple[str, ...]) -> Any:
    """`[..., L, F]`: the coded features with a categorical feature set to every level."""
    where = block.columns(column)
    part = next(part for part in block.levels if part.name == column)
    out = np.repeat(base[..., None, :], len(levels), -2)
    out[..., where] = 0
    for index, level in enumerate(levels):
        if level not in part.seen:
            raise DataError(f"twins of {column!r}: no train row has the level {level!r}, so no model has learned it")
        out[..., index, where.start + part.levels.index(level)] = live
    return out
