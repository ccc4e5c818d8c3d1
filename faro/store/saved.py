"""The files of a trained model: parameters and arrays as safetensors, all else as JSON, hashed units as text."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import safetensors.numpy

from .. import files, models
from ..data import Coding, Schema, units_text
from ..errors import DAMAGE, DataError, FaroError, UsageError
from . import others
from .coefficients import CODING
from .draw import stored_draw
from .parameters import begun_with, named, nested, tensor_name
from .run import units_of
from .spec import from_record, to_record

if TYPE_CHECKING:
    from .model import TrainedModel

FORMAT = "faro-model/3"
ITS_NAME_ALONE = "files of this older format have its name alone"
# the first has a constraint's name alone, both a model's kind and the coding's vectors as lists in the JSON file
FORMATS = ("faro-model/1", "faro-model/2", FORMAT)


def base_of(path: str | os.PathLike) -> Path:
    """The path that the files of a model begin with."""
    path = Path(path)
    return path.with_suffix("") if path.suffix in (".json", ".safetensors") else path


def model_files(path: str | os.PathLike) -> list[Path]:
    """The files of a saved model."""
    base = base_of(path)
    return [base.with_name(base.name + suffix) for suffix in (".json", ".safetensors")]


def units_file(path: str | os.PathLike) -> Path | None:
    """The hashed units that a saved model was trained on: PATH.units.txt, or that of all models of a run's seed."""
    base = base_of(path)
    return next((file for file in (base.with_name(f"{base.name}.units.txt"), units_of(base)) if file.exists()), None)


def write(trained: TrainedModel, base: Path) -> Path:
    """Write the files of a model; the path of the JSON file."""
    arrays = {f"{CODING}{name}": np.asarray(array, order="C") for name, array in trained.coding.arrays().items()}
    records, of_others = others.stored(trained.coding)
    tensors = safetensors.numpy.save(named(trained.params) | arrays | of_others)
    record = {
        "format": FORMAT,
        "model": to_record(trained.model),
        "parameters_sha256": hashlib.sha256(tensors).hexdigest(),
        "constraint": trained.specification,
        "loss": trained.loss,
        "about": trained.about,
        "draw": None if trained.draw is None else dataclasses.asdict(trained.draw),
        "features": {"items": trained.coding.items.summary, "context": trained.coding.context.summary},
        "coding": trained.coding.to_dict(),
        "schema": trained.schema.to_dict(),
        **({"others": records} if records else {}),
        **({"personal_data": trained.personal_data} if trained.people else {}),
    }
    target = base.with_name(base.name + ".json")
    with contextlib.ExitStack() as stack:  # all are written before the first is renamed, and the JSON file is last

        def replacing(path: Path) -> Path:
            return stack.enter_context(files.replacing(path))

        replacing(target).write_text(files.json_text(record), encoding="utf-8")
        if trained.seen is not None:
            units = replacing(base.with_name(base.name + ".units.txt"))
            units.write_text(units_text(trained.seen.units, trained.salt, trained.seen.shared), encoding="utf-8")
        replacing(base.with_name(base.name + ".safetensors")).write_bytes(tensors)
        target.unlink(missing_ok=True)
    return target


def save_made(made: TrainedModel, source: str | os.PathLike, path: str | os.PathLike) -> Path:
    """Write a model that was made of a saved one, with the hashed units of that one; the path of the JSON file.

    made: of the model at `source`, which it was not trained beyond
    source: of the saved one
    path: what the files begin with

    `UsageError` where they would replace the saved one.
    """
    if base_of(path).resolve() == base_of(source).resolve():
        raise UsageError(f"{path}: is the model that it is made of; choose another name")
    place = made.save(path)
    if made.seen is None and (units := units_file(source)) is not None:
        base = base_of(place)
        files.write_text(base.with_name(f"{base.name}.units.txt"), units.read_text(encoding="utf-8"))
    return place


def read_fields(path: str | os.PathLike, model: models.Model | None) -> dict[str, Any]:
    """The fields of the `TrainedModel` that `write` wrote, checked against each other; see `load_model`."""
    base = base_of(path)
    try:
        record = json.loads(base.with_name(base.name + ".json").read_text(encoding="utf-8"))
        stored = base.with_name(base.name + ".safetensors").read_bytes()
        if record.get("format") not in FORMATS:
            raise DataError(f"{base}.json: expected format {FORMAT}, got {record.get('format')!r}")
        if record["format"] != FORMATS[0] and record["parameters_sha256"] != hashlib.sha256(stored).hexdigest():
            raise DataError(f"{base}.safetensors: damaged, or not the parameters that {base.name}.json is about")
        tensors = safetensors.numpy.load(stored)
        model = _stored_model(record, base) if model is None else model
        arrays = {name: tensors.pop(name) for name in [*tensors] if name.startswith(CODING)}
        arrays = {name.removeprefix(CODING): array for name, array in arrays.items()}
        coding, schema = Coding.from_dict(record["coding"], arrays), Schema.from_dict(record["schema"])
        coding = dataclasses.replace(coding, seed=int(record["about"].get("seed", 0)))
        coding = others.with_made(coding, model.support, others.read(record.get("others", {}), tensors, coding))
        params, draw = nested(tensors, model, coding), record.get("draw")
        draw = None if draw is None else stored_draw(base, draw, params)
        _check_about(record["about"])
        _check_coded(coding, schema)
        if (begun := begun_with(model, coding)) is not None:
            wider = begun_with(model, coding, 3)
            _check_shapes(params, begun, begun if wider is None else wider, components=draw is not None)
        own = {"model": model, "params": params, "coding": coding, "schema": schema, "about": record["about"]}
        return own | {"draw": draw, "specification": _specification(record), "loss": record.get("loss")}
    except FaroError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"no model at {base}: expected {base.name}.json and {base.name}.safetensors") from error
    except (*DAMAGE, safetensors.SafetensorError) as error:
        raise DataError(f"{base}: not a saved model or damaged ({type(error).__name__}: {error})") from error


def _check_coded(coding: Coding, schema: Schema) -> None:
    """`ValueError` for a coding of features that the schema does not read so."""
    for block, declared in ((coding.items, schema.kinds(context=False)), (coding.context, schema.kinds(context=True))):
        coded: tuple[Sequence[Any], ...] = (block.numbers, block.levels, block.vectors, block.raw)
        for features, names in zip(coded, declared, strict=True):
            if strange := [feature.name for feature in features if feature.name not in names]:
                raise ValueError(f"coding of {strange[0]!r}, which the schema does not read so")


def _check_shapes(params: Any, begun: Any, wider: Any, components: bool) -> None:
    """`ValueError` for parameters that are not of these shapes, after the axis of components if they have one; a size
    that differs between the two is that of the alternatives, and may be any."""
    given, expected, other = (jax.tree_util.tree_flatten_with_path(tree)[0] for tree in (params, begun, wider))
    shapes = {tensor_name(path): np.shape(leaf)[components:] for path, leaf in given}
    pairs = zip(expected, other, strict=True)
    begins = {tensor_name(path): (leaf.shape, wide.shape) for (path, leaf), (_, wide) in pairs}
    if shapes.keys() != begins.keys() or not all(_fits(shape, *begins[name]) for name, shape in shapes.items()):
        raise ValueError("parameters of other shapes than the model and its coding have")
    if not all(np.issubdtype(leaf.dtype, np.floating) for _, leaf in given):
        raise ValueError("parameters that are no floats")


def _fits(shape: tuple[int, ...], begun: tuple[int, ...], wider: tuple[int, ...]) -> bool:
    return len(shape) == len(begun) and all(
        size == first or first != second for size, first, second in zip(shape, begun, wider, strict=True)
    )


def _check_about(about: Mapping[str, Any]) -> None:
    """`ValueError` where what scoring reads of `about` is not of its type."""
    numbers = [about.get("seed", 0), about.get("unit_rule", 1)]
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError(f"about: expected seed and unit_rule as whole numbers, got {str(numbers)[:60]}")
    if not all(isinstance(about.get(name) or "", str) for name in ("digest", "constraint")):
        raise ValueError("about: expected texts as digest and constraint")
    notes = about.get("notes", [])
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise ValueError("about: expected notes as a list of texts")


def _specification(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The stored constraint; of format 1 its name, which is no data."""
    if record["format"] != FORMATS[0]:
        return record["constraint"]
    name = record["about"].get("constraint")
    return {"type": name, "opaque": ITS_NAME_ALONE} if name else None


def _stored_model(record: Mapping[str, Any], base: Path) -> models.Model:
    """The model that a file has as data; `UsageError` if it has none, or may not import it."""
    stored = record["model"]
    if record["format"] != FORMAT:
        kind = stored["kind"]
        rest = {"options": stored["options"]} if kind else {"opaque": ITS_NAME_ALONE}
        stored = {"type": kind or stored["class"], **rest}
    try:
        return from_record(stored, "model")
    except UsageError as error:
        raise UsageError(f"{base}: {error}: call load_model(path, model=...) with it") from None
