"""A model of texts as a folder that sentence-transformers loads: encoder, pooling and the reward as a dense layer."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import safetensors.numpy

from ..errors import DataError, NotIndependentError, UsageError
from ..files import json_text, scratch, sha256_of
from ..text import known
from ..text.encoder import FILES, Encoder
from .model import TrainedModel, load_model, model_files

ALONG = ("special_tokens_map.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "merges.txt")
KIND = "sentence_transformers.models"
DENSE = {"out_features": 1, "bias": True, "activation_function": "torch.nn.modules.linear.Identity"}
FORMAT = "faro-export/1"


def export_hf(
    path: str | os.PathLike, folder: str | os.PathLike, certificates: Sequence[str | os.PathLike] = ()
) -> Path:
    """Write a saved model as a new folder, whose `SentenceTransformer(folder).encode(texts)` are rewards, `[N, 1]`.

        reward = b + sum_d w_d (vector_d - mean_d) / scale_d

    path: of the model, as `TrainedModel.save` wrote it: linear, with one text as its only feature
    folder: that is made; `UsageError` if it is there
    certificates: of this model, which go along; `NotIndependentError` for one of another

    Beside the modules stand `faro.json` (what the model is, digests) and the model's own files in `faro/`. `UsageError`
    for a model that dense layers cannot give, `DataError` where its encoder is not the one that it was trained with.
    """
    folder, model = Path(folder), load_model(path)
    if folder.exists():
        raise UsageError(f"{folder}: exists; name a folder that does not")
    encoder = _encoder(model)
    weight, bias = _head(model)
    own = model_files(path)
    digests = sorted(sha256_of(file) for file in own)
    papers = [_checked(Path(paper), digests) for paper in certificates]
    kept = ("data", "constraint", "bound", "status", "seed")
    about = {"format": FORMAT, "encoder": encoder.digest, "model_files_sha256": digests}
    about |= {name: model.about[name] for name in kept if name in model.about}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with scratch(folder.parent) as here:
        made = here / "made"
        _write_modules(made, encoder, weight, bias)
        _write(made / "faro.json", about)
        for file in own:
            shutil.copyfile(file, _in_its_folder(made / "faro" / file.name))
        for paper in papers:
            shutil.copyfile(paper, _in_its_folder(made / "certificates" / paper.name))
        os.replace(made, folder)
    return folder


def _write_modules(made: Path, encoder: Encoder, weight: np.ndarray, bias: np.ndarray) -> None:
    """The encoder's files, and what sentence-transformers reads: modules in their order, a folder each."""
    for name in (*FILES, *ALONG):
        if (encoder.folder / name).is_file():
            shutil.copyfile(encoder.folder / name, _in_its_folder(made / name))
    modules = {"Transformer": "", "Pooling": "1_Pooling"}
    modules |= {"Normalize": "2_Normalize"} if encoder.pooling.normalised else {}
    modules["Dense"] = f"{len(modules)}_Dense"
    listed = [
        {"idx": number, "name": str(number), "path": place, "type": f"{KIND}.{kind}"}
        for number, (kind, place) in enumerate(modules.items())
    ]
    for place in modules.values():
        (made / place).mkdir(exist_ok=True)
    modes = {"mean": "mean_tokens", "first": "cls_token", "last": "lasttoken"}
    pooling = {f"pooling_mode_{mode}": how == encoder.pooling.how for how, mode in modes.items()}
    _write(made / "modules.json", listed)
    _write(made / "sentence_bert_config.json", {"max_seq_length": encoder.limit, "do_lower_case": False})
    _write(made / modules["Pooling"] / "config.json", {"word_embedding_dimension": encoder.width, **pooling})
    _write(made / modules["Dense"] / "config.json", {"in_features": encoder.width, **DENSE})
    layer = {"linear.weight": weight[None], "linear.bias": bias[None]}
    safetensors.numpy.save_file(layer, made / modules["Dense"] / "model.safetensors")


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


def _head(model: TrainedModel) -> tuple[np.ndarray, np.ndarray]:
    """Weight `[d]` and bias of the reward on vectors as the encoder gives them, in float32."""
    plain = model.model.linear and set(model.params) == {"intercept", "item"}
    if not plain or model.draw is not None:
        what = "a randomised model" if model.draw is not None else type(model.model).__name__
        raise UsageError(f"export: expected a linear model, got {what}: dense layers do not give its rewards to 1e-5")
    (vector,) = model.coding.items.vectors
    weight = np.asarray(model.params["item"], np.float64) / vector.scale
    bias = float(model.params["intercept"]) - float(np.sum(weight * vector.mean))
    return weight.astype(np.float32), np.array(bias, np.float32)


def _checked(paper: Path, digests: Sequence[str]) -> Path:
    """A certificate that is of this model."""
    try:
        named = json.loads(paper.read_text(encoding="utf-8"))["model_sha256"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{paper}: not a certificate: {type(error).__name__}") from error
    if named != hashlib.sha256("".join(digests).encode()).hexdigest():
        raise NotIndependentError(f"{paper}: a certificate of another model (model_sha256 {str(named)[:12]})")
    return paper


def _in_its_folder(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _write(path: Path, value: object) -> None:
    _in_its_folder(path).write_text(json_text(value), encoding="utf-8")
