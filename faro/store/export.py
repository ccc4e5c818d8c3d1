"""A model of texts as a folder that sentence-transformers loads: encoder, pooling and the reward as dense layers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.flax
import safetensors.numpy

from ..errors import DataError, NotIndependentError, UsageError
from ..files import NO_ROOM, json_text, scratch, sha256_of
from ..models import Dense
from ..text import known
from ..text.encoder import FILES, Encoder
from .model import TrainedModel, load_model
from .saved import model_files

ALONG = ("special_tokens_map.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "merges.txt")
KIND = "sentence_transformers.models"
ACTIVATIONS = {  # what torch has, by the names of `faro.models.Dense`
    "identity": "torch.nn.modules.linear.Identity",
    "gelu": "torch.nn.modules.activation.GELU",
    "relu": "torch.nn.modules.activation.ReLU",
    "silu": "torch.nn.modules.activation.SiLU",
    "tanh": "torch.nn.modules.activation.Tanh",
}
FORMAT = "faro-export/1"


def export_hf(
    path: str | os.PathLike, folder: str | os.PathLike, certificates: Sequence[str | os.PathLike] = ()
) -> Path:
    """Write a saved model as a new folder, whose `SentenceTransformer(folder).encode(texts)` are rewards, `[N, 1]`.

        reward = head((vector - mean) / scale)

    path: of the model, as `TrainedModel.save` wrote it, with one text as its only feature: linear, an MLP, or one with
        layers of its encoder, which are then the folder's
    folder: that is made; `UsageError` if it is there
    certificates: of this model, which go along; `NotIndependentError` for one of another

    Beside the modules stand `faro.json` (what the model is, digests) and the model's own files in `faro/`. `UsageError`
    for a model that dense layers cannot give, `DataError` where its encoder is not the one that it was trained with.
    """
    folder, model = Path(folder), load_model(path)
    if folder.exists():
        raise UsageError(f"{folder}: exists; name a folder that does not")
    encoder = _encoder(model)
    layers = _head(model)
    own = model_files(path)
    digests = sorted(sha256_of(file) for file in own)
    papers = [_checked(Path(paper), own) for paper in certificates]
    kept = ("data", "constraint", "bound", "status", "seed", "rewards")
    about = {"format": FORMAT, "encoder": encoder.digest, "model_files_sha256": digests}
    about |= {name: model.about[name] for name in kept if name in model.about}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _named(folder), scratch(folder.parent) as here:
        made = here / "made"
        _write_modules(made, encoder, layers)
        if model.model.own_layers:
            _put_layers(made / "model.safetensors", encoder, model)
        _write(made / "faro.json", about)
        for file in own:
            shutil.copyfile(file, _in_its_folder(made / "faro" / file.name))
        for paper in papers:
            shutil.copyfile(paper, _in_its_folder(made / "certificates" / paper.name))
        os.replace(made, folder)
    return folder


@contextlib.contextmanager
def _named(folder: Path) -> Iterator[None]:
    """Where there is no room, it is the folder that has none, and not what is copied into it."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            error.filename, error.filename2 = str(folder), None
        raise


def _write_modules(made: Path, encoder: Encoder, layers: Sequence[Dense]) -> None:
    """The encoder's files, and what sentence-transformers reads: modules in their order, a folder each."""
    for name in (*FILES, *ALONG):
        if (encoder.folder / name).is_file():
            shutil.copyfile(encoder.folder / name, _in_its_folder(made / name))
    kinds = ["Transformer", "Pooling", *(["Normalize"] if encoder.pooling.normalised else []), *["Dense"] * len(layers)]
    places = ["", *(f"{number}_{kind}" for number, kind in enumerate(kinds) if number)]
    listed = [
        {"idx": number, "name": str(number), "path": place, "type": f"{KIND}.{kind}"}
        for number, (kind, place) in enumerate(zip(kinds, places, strict=True))
    ]
    for place in places:
        (made / place).mkdir(exist_ok=True)
    modes = {"mean": "mean_tokens", "first": "cls_token", "last": "lasttoken"}
    pooling = {f"pooling_mode_{mode}": how == encoder.pooling.how for how, mode in modes.items()}
    _write(made / "modules.json", listed)
    _write(made / "sentence_bert_config.json", {"max_seq_length": encoder.limit, "do_lower_case": False})
    _write(made / places[1] / "config.json", {"word_embedding_dimension": encoder.width, **pooling})
    for place, layer in zip(places[-len(layers) :], layers, strict=True):
        out, into = layer.weight.shape
        config = {"in_features": into, "out_features": out, "bias": True}
        config |= {"activation_function": ACTIVATIONS[layer.activation]}
        _write(made / place / "config.json", config)
        tensors = {"linear.weight": layer.weight, "linear.bias": layer.bias}
        tensors = {name: np.ascontiguousarray(values, np.float32) for name, values in tensors.items()}
        safetensors.numpy.save_file(tensors, made / place / "model.safetensors")


def _put_layers(file: Path, encoder: Encoder, model: TrainedModel) -> None:
    """The layers that were trained, in the place of the encoder's own."""
    from ..text.bert import tensors_of

    tensors = safetensors.flax.load_file(file)
    with open(file, "rb") as source:
        header = json.loads(source.read(int.from_bytes(source.read(8), "little")))
    weights = model.model.weights(jax.tree.map(np.asarray, model.params))  # type: ignore[attr-defined]
    for name, values in tensors_of(encoder.sizes, weights, tensors).items():
        tensors[name] = jnp.asarray(values)
    safetensors.flax.save_file(tensors, file, header.get("__metadata__"))


def _encoder(model: TrainedModel) -> Encoder:
    """Of the one text that the model reads; `UsageError` if there is more to it."""
    schema = model.schema
    features = [name for context in (False, True) for names in schema.kinds(context) for name in names]
    if len(schema.texts) != 1 or features != [schema.texts[0].name] or schema.texts[0].context:
        raise UsageError(f"export: expected one text as the only feature, got {', '.join(features)}")
    (text,) = schema.texts
    if text.after:
        raise UsageError("export: the model reads two texts together, which sentence-transformers cuts in another way")
    if text.times:
        raise UsageError("export: the model reads products of two texts' vectors, which dense layers do not make")
    if text.without:
        raise UsageError("export: length was removed from the vectors, and dense layers do not know how long a text is")
    encoder = known.find(text.encoder, text.limit)
    if encoder.digest != text.digest:
        raise DataError(
            f"export: the text was read by encoder {text.digest[:12]}, {encoder.name} is {encoder.digest[:12]}"
        )
    return encoder


def _head(model: TrainedModel) -> list[Dense]:
    """The reward as layers on vectors as the encoder gives them."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), model.params)
    layers = None if model.draw is not None else model.model.dense(params)
    if layers is None:
        what = "a randomised model" if model.draw is not None else type(model.model).__name__
        raise UsageError(f"export: expected linear, an mlp or layers of an encoder, got {what}")
    if strange := [layer.activation for layer in layers if layer.activation not in ACTIVATIONS]:
        usable = ", ".join(f"activation='{name}'" for name in list(ACTIVATIONS)[1:])
        raise UsageError(
            f"export: no module that sentence-transformers loads has units of {strange[0]}; train "
            f"mlp(widths=(64,), ...) with one of {usable}"
        )
    layers = [layer._replace(weight=np.asarray(layer.weight), bias=np.asarray(layer.bias)) for layer in layers]
    if model.model.own_layers:
        return layers
    (vector,), first = model.coding.items.vectors, layers[0]
    weight = first.weight / vector.scale
    bias = first.bias - weight @ np.broadcast_to(vector.mean, vector.width)
    return [first._replace(weight=weight, bias=bias), *layers[1:]]


def _checked(paper: Path, own: Sequence[Path]) -> Path:
    """A certificate that is of the model of these files: of all, or of the JSON file, which has the digest of the
    others' content."""
    try:
        named = json.loads(paper.read_text(encoding="utf-8"))["model_sha256"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{paper}: not a certificate: {type(error).__name__}") from error
    records = [file for file in own if b'"parameters_sha256"' in file.read_bytes() and file.suffix == ".json"]
    if named not in [_together(files) for files in (own, *([record] for record in records))]:
        what = "names no model" if named == _together([]) else f"a certificate of another model ({str(named)[:12]})"
        raise NotIndependentError(f"{paper}: {what}; expected one that --model was given for")
    return paper


def _together(files: Sequence[Path]) -> str:
    """What a certificate calls the model of these files."""
    return hashlib.sha256("".join(sorted(map(sha256_of, files))).encode()).hexdigest()


def _in_its_folder(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _write(path: Path, value: object) -> None:
    _in_its_folder(path).write_text(json_text(value), encoding="utf-8")
