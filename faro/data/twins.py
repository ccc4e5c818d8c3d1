"""Twins: the same choices with one attribute set to each level, and which of those the design supports.

What a level changes is the categorical feature with the attribute's column, and every feature whose twins the table
brings (`Parsed.twins`); all else stays.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from constraints import Twin
from faro.errors import DataError

from .arrays import Features, Moved, Parsed
from .coding import Block, Coding
from .schema import Schema
from .specs import FEATURES, AttributeSpec


def build_twin(schema: Schema, coding: Coding, parsed: Parsed, items: Any, context: Any, name: str) -> Twin:
    """The `Twin` of attribute `name`; `items [n, J, ...]` and `context [n, ...]` are what models read: coded features,
    or a dict of them and of raw arrays. A chooser's has a context, be it empty, and items where those are set too."""
    spec, brought = schema.attribute(name), parsed.twins.get(name, ())
    _check_brought(schema, name, brought)
    column = spec.column if schema.seen(spec) else ""
    valid: Any = supported(schema, parsed, name)
    made: dict[str, Any] = {}
    if not spec.chooser or any(moved.items.names for moved in brought):
        width = jax.tree.leaves(items)[0].shape[1]
        live = parsed.items.live[:, :width]  # an outside option has no items
        at_levels = [moved.items for moved in brought]
        made["items"] = _at_levels(coding.items, items, live, spec, "" if spec.chooser else column, at_levels)
    if spec.chooser:
        at_levels = [moved.context for moved in brought]
        made["context"] = _at_levels(coding.context, context, parsed.context.live, spec, column, at_levels)
    return Twin(valid=valid, **made)


def _at_levels(
    block: Block, base: Any, live: np.ndarray, spec: AttributeSpec, column: str, brought: Sequence[Features]
) -> Any:
    """What models read of one side, `base [n, ...]`, with an axis of levels behind those of `live`: the categorical
    feature `column`, if one is named, and those that the table sets, at every level."""
    axis = live.ndim
    tree = dict(base) if isinstance(base, dict) else {FEATURES: base}
    tree = {part: np.repeat(np.expand_dims(values, axis), len(spec.levels), axis) for part, values in tree.items()}
    if column:
        _set(block, tree[FEATURES], live, column, spec.levels)
    for index, moved in enumerate(brought):
        at_level = {part: values[(slice(None),) * axis + (index,)] for part, values in tree.items()}
        _move(block, at_level, moved)
    return tree if isinstance(base, dict) else tree[FEATURES]


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
    for index, moved in enumerate(parsed.twins.get(name, ())):
        if spec.chooser:  # sets all alternatives at once
            valid[..., index] &= (moved.context.live & (moved.items.live | ~parsed.inside).all(1))[:, None]
        else:
            valid[..., index] &= moved.items.live
    return valid


def _check_brought(schema: Schema, name: str, brought: tuple[Moved, ...]) -> None:
    """`DataError` for a table that lacks the twins of a feature that has them."""
    for feature in schema.twin(name).features:
        if not brought or any(feature not in moved.names for moved in brought):
            level = schema.attribute(name).levels[0]
            column = schema.twin(name).column(feature, level)
            raise DataError(
                f"twins of {name!r}: they set the feature {feature!r}, and the table has no values to set it to, "
                f"or none that differ from its own (columns such as {column!r}, after the feature's own column)"
            )


def _set(block: Block, features: np.ndarray, live: np.ndarray, column: str, levels: tuple[str, ...]) -> None:
    """Set a categorical feature of coded features `[..., L, F]` to every level."""
    alone, where = block.only(column)
    part = alone.levels[0]
    features[..., where] = 0
    for index, level in enumerate(levels):
        if level not in part.seen:
            raise DataError(f"twins of {column!r}: no train row has the level {level!r}, so no model has learned it")
        features[..., index, where.start + part.levels.index(level)] = live


def _move(block: Block, tree: dict[str, np.ndarray], moved: Features) -> None:
    """Set the features of `tree`, at one level, to those of `moved`, where these have a value."""
    raw = [part.name for part in block.raw]
    for name in moved.names:
        there = moved.live & moved.present(name)
        if name in raw:
            values, target = moved.raw[name].gather(there), tree[name]
        else:
            alone, where = block.only(name)
            target = tree[FEATURES][..., where]
            values = alone.transform(dataclasses.replace(moved, live=there), target.dtype)
        if target.ndim > 1 and there.ndim > 1:  # an outside option has no items
            values, there = values[:, : target.shape[1]], there[:, : target.shape[1]]
        target[there] = values[there]
