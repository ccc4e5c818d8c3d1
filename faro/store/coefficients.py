"""What a saved linear model makes of every feature, by name. Nothing here imports jax.

    standardised  the weight of the coded feature: of a number in spreads of train, of a level 0 or 1
    natural       the same per unit of the number, which is taken from its train mean:  standardised / spread

A product of an alternative's and a context's feature has both names. Without an outside option what is the same for all
alternatives of a choice cancels, so that the intercept and the context's own weights are left out.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy

LINEAR = "linear"  # the type of model files
CODING = "coding/"  # what names of the coding's arrays begin with; those of parameters are JSON lists
TIMES = " x "


class Coefficient(NamedTuple):
    """Of one feature or product, see above."""

    name: str
    standardised: float
    natural: float


@dataclasses.dataclass(frozen=True)
class Coefficients:
    """Of one model, the largest standardised first; `more` are not listed."""

    listed: tuple[Coefficient, ...]
    more: int


def read(path: Path, most: int) -> Coefficients | None:
    """Those of the model in this JSON file and its tensors, at most so many; None for one that is not `Linear`, that is
    drawn from several, or whose files are not there or are damaged."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["model"].get("type", record["model"].get("kind")) != LINEAR or record.get("draw") is not None:
            return None
        tensors = safetensors.numpy.load_file(path.with_suffix(".safetensors"))
        params = {json.loads(name)[0]: array for name, array in tensors.items() if not name.startswith(CODING)}
        schema, coding = record["schema"], record["coding"]
        outside = schema["format"] == "accept" or bool(schema.get("outside"))
        names, weights, scales = (
            np.concatenate(column) for column in zip(*_parts(params, coding, tensors, outside), strict=True)
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, safetensors.SafetensorError):
        return None
    natural = weights / scales
    order = np.argsort(-np.abs(weights), kind="stable")[:most]
    listed = tuple(Coefficient(str(names[at]), float(weights[at]), float(natural[at])) for at in order)
    return Coefficients(listed, len(weights) - len(listed))


def _parts(
    params: Mapping[str, np.ndarray], coding: Mapping[str, Any], tensors: Mapping[str, np.ndarray], outside: bool
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Names, weights and spreads of every kind of feature."""
    items, item_scales = _columns(coding, "items", tensors)
    yield items, params["item"].astype(float), item_scales
    if "cross" in params:
        context, context_scales = _columns(coding, "context", tensors)
        products = np.char.add(np.char.add(items[:, None], TIMES), context[None])
        yield products.ravel(), params["cross"].astype(float).ravel(), np.outer(item_scales, context_scales).ravel()
        if outside:
            yield context, params["context"].astype(float), context_scales
    if outside:
        yield np.array(["(intercept)"]), params["intercept"].astype(float).reshape(1), np.ones(1)


def _columns(coding: Mapping[str, Any], side: str, tensors: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Names and spreads of the coded columns of a side, as `faro.data.coding.Block` lays them out."""
    names, scales = [], []
    for number in coding[side]["numbers"]:
        names += [number["name"], *([f"{number['name']}=(missing)"] if number["indicator"] else [])]
        scales += [number["scale"], *([1.0] if number["indicator"] else [])]
    for part in coding[side]["levels"]:
        names += [f"{part['name']}={level}" for level in part["levels"]]
        scales += [1.0] * len(part["levels"])
    for vector in coding[side]["vectors"]:
        name = vector["name"]
        scale = vector["scale"] if "scale" in vector else tensors[f"{CODING}{side}/{name}/scale"]
        width = vector["width"] if "width" in vector else len(scale)
        names += [f"{name}[{place}]" for place in range(width)]
        scales += np.broadcast_to(scale, width).tolist()
    return np.array(names, dtype=np.str_), np.array(scales, float)
