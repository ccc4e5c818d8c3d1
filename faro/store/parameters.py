"""Parameters of a model as named tensors, and the shapes that a model begins with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

import constraints as ct

from .. import models
from ..data import Coding
from ..errors import DataError


def tensor_name(path: Sequence[Any]) -> str:
    """The name of a tensor: the way to it through dicts (texts), sequences (numbers) and fields."""

    def step(key: Any) -> Any:
        return {"field": key.name} if hasattr(key, "name") else key.idx if hasattr(key, "idx") else key.key

    return json.dumps([step(key) for key in path])


def named(params: Any) -> dict[str, np.ndarray]:
    """Parameters as named tensors.

    params: any pytree
    """
    return {tensor_name(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]}


def nested(tensors: Mapping[str, np.ndarray], model: models.Model, coding: Coding) -> Any:
    """Parameters of named tensors; where they are more than dicts, in the structure that the model begins with."""
    ways = {name: json.loads(name) for name in tensors}
    if all(way and all(isinstance(step, str) for step in way) for way in ways.values()):
        params: dict = {}
        for name, way in ways.items():
            node = params
            for step in way[:-1]:
                node = node.setdefault(step, {})
            node[way[-1]] = tensors[name]
        return params
    begun = begun_with(model, coding)
    if begun is None:
        raise DataError(
            f"parameters that are not dicts of dicts, and {type(model).__name__} does not begin on such data"
        )
    leaves, structure = jax.tree_util.tree_flatten_with_path(begun)
    names = [tensor_name(path) for path, _ in leaves]
    if sorted(names) != sorted(tensors):
        raise ValueError("parameters of other names than the model begins with")
    return jax.tree.unflatten(structure, [tensors[name] for name in names])


def begun_with(model: models.Model, coding: Coding, alternatives: int = 2) -> Any:
    """Shapes of the parameters that the model begins with on this coding; None for a model that does not.

    model: any
    coding: of features
    alternatives: of a choice, of which no coding knows how many there are
    """
    choices = ct.make_choices(coding.items.blank(2, alternatives), [0, 1], context=coding.context.blank(2))
    units = 0 if coding.units is None else coding.units.size
    try:
        return jax.eval_shape(lambda: models.initial(model, jax.random.key(0), choices, units))
    except Exception:  # whatever a class of somebody's own raises
        return None
