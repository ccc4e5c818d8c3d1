"""A saved model as the reward function that trainers of policies call (GRPO of TRL and Tunix)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from faro.data import Dataset, Schema
from faro.data.specs import ArraySpec
from faro.data.texts import Encoded, encoder_of
from faro.errors import DataError, UsageError
from faro.store.model import TrainedModel, load_model
from faro.text import dialogue
from faro.text.encoder import Encoder
from faro.text.tokens import Text

CHOICE, LABEL, TOKENS = "(completion)", "(label)", "_tokens"
RewardFunction = Callable[..., list[float | None]]


def reward_fn(model: TrainedModel | str | os.PathLike, *, normalised: bool = True) -> RewardFunction:
    """`f(prompts, completions, **columns) -> rewards`, a number for every completion, None for one without a text.

        (reward - centre) / scale

    model: whose features are texts, and columns that the trainer's data set has; or the path of one that was saved
    normalised: whether the centre is taken off and the rest divided by the scale: mean and standard deviation of the
        model's rewards on its train part, which a model has in `about["rewards"]`. False, and of a model that was
        saved before there were any: rewards are those of `faro score`

    prompts and completions are texts or lists of messages; of columns those are read that the model's schema names as
    features (the rater's, where it needs one), any other is passed over. Nothing is written: completions of a policy
    that is trained are new each time.

    `UsageError` for a model without texts, one with arrays in files, a randomised one, or where a column that it reads
    is not given; `DataError` where the encoder is not the one that it was trained with.
    """
    trained = model if isinstance(model, TrainedModel) else load_model(model)
    schema = trained.schema
    of_texts = {spec.name for spec in schema.texts}
    trained.check_one("reward_fn")
    if not of_texts or any(spec.name not in of_texts for spec in schema.arrays):
        raise UsageError("reward_fn: expected a model whose features are texts and columns, without arrays in files")
    if trained.model.support:
        raise UsageError("reward_fn: the model reads earlier choices of a person, which a trainer does not have")
    if reads := trained.model.reads:
        raise UsageError(f"reward_fn: the model reads the attribute {reads[0]!r}, which a trainer does not have")
    encoders = {spec.name: encoder_of(spec, "reward_fn") for spec in schema.texts}
    alone = _alone(schema)
    centre, scale = _spread(trained) if normalised else (0.0, 1.0)

    def rewards(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        said = [_spoken(completion, f"completion {number}") for number, completion in enumerate(completions, 1)]
        read = [name for name in (*alone.item_features, *alone.context_features) if not _made(name, schema)]
        _check_lengths(len(said), {"prompts": prompts} | {name: columns[name] for name in read if name in columns})
        live = [number for number, text in enumerate(said) if isinstance(text, list) or text.strip()]
        for spec in (spec for spec in schema.texts if not spec.context):
            own = encoders[spec.name].tokenizer([_read(encoders[spec.name], said[at], None) for at in live], 2**31)
            live = [at for at, its in zip(live, own, strict=True) if its.own]
        out: list[float | None] = [None] * len(said)
        if not live:
            return out
        frame = pd.DataFrame({CHOICE: np.arange(len(live)), LABEL: np.ones(len(live))})
        arrays, known = dict[str, Any](), dict[tuple[str, Text], np.ndarray]()
        for spec in schema.texts:
            encoder = encoders[spec.name]
            given = prompts if spec.context else said
            before = [None] * len(live) if not spec.after else [_spoken(prompts[at], "prompt") for at in live]
            texts = [_read(encoder, _spoken(given[at], "text"), asked) for at, asked in zip(live, before, strict=True)]
            tokens = encoder.tokenizer(texts, encoder.limit)
            frame[f"{spec.name}:row"] = np.arange(len(live))
            frame[f"{spec.name}{TOKENS}"] = [its.full for its in tokens]
            if spec.layers:
                arrays[spec.name] = encoder.states_of_tokens(tokens, spec.layers).astype(spec.dtype)
                continue
            vectors = _vectors(encoder, texts, known).astype(spec.dtype)
            if spec.times:
                factors = [_read(encoder, _spoken(prompts[at], "prompt"), None) for at in live]
                vectors = vectors.astype("float32") * _vectors(encoder, factors, known).astype(spec.dtype)
            arrays[spec.name] = Encoded.of_vectors(spec.name, vectors, [its.full for its in tokens])
        for name in read:
            if name not in columns:
                raise UsageError(f"reward_fn: the model reads the column {name!r}, and the trainer gave none")
            frame[name] = pd.Series([columns[name][at] for at in live], dtype=object)
        data = Dataset.from_table(frame, alone, name="completions", labels=False, arrays=arrays)
        for at, reward in zip(live, trained.rewards(data)[:, 0].tolist(), strict=True):
            out[at] = (reward - centre) / scale
        return out

    return rewards


def _made(name: str, schema: Schema) -> bool:
    """Whether a feature is made here: how many tokens a text has."""
    return name in [f"{spec.name}{TOKENS}" for spec in schema.texts]


def _check_lengths(count: int, given: Mapping[str, Any]) -> None:
    """`UsageError` unless there is one of each for every completion."""
    for name, cells in given.items():
        if len(cells) != count:
            raise UsageError(f"reward_fn: expected {name} for each of {count} completions, got {len(cells)}")


def _spread(trained: TrainedModel) -> tuple[float, float]:
    """Centre and scale of the model's rewards; 0 and 1 where it has none."""
    stored = trained.about.get("rewards", {"centre": 0.0, "scale": 1.0})
    try:
        centre, scale = float(stored["centre"]), float(stored["scale"])
        if not (np.isfinite(centre) and 0 < scale < np.inf):
            raise ValueError(f"{centre} and {scale}")
    except (LookupError, TypeError, ValueError) as error:
        raise DataError(f"reward_fn: the model's centre and scale of rewards are no numbers: {error}") from error
    return centre, scale


def _alone(schema: Schema) -> Schema:
    """How a table of completions is read, one to a choice: the features of a schema and nothing else of it."""
    arrays = tuple(
        ArraySpec(name=spec.name, index=f"{spec.name}:row", context=spec.context, raw=spec.layers > 0)
        for spec in schema.texts
    )
    features: dict[str, Any] = {
        name: getattr(schema, name)
        for name in ("numeric", "categorical", "vectors", "context_numeric", "context_categorical", "context_vectors")
    }
    names = {name for some in features.values() for name in some}
    types = {name: kind for name, kind in schema.types.items() if name in names}
    features |= {"missing": schema.missing, "on_missing": "level" if schema.on_missing == "level" else "error"}
    return Schema(unit="row", choice=(CHOICE,), label=LABEL, arrays=arrays, types=types, **features)


def _spoken(cell: Any, where: str) -> dialogue.Side:
    return dialogue.brief(dialogue.side(cell, f"reward_fn: {where}"))


def _vectors(encoder: Encoder, texts: Sequence[Text], known: dict[tuple[str, Text], np.ndarray]) -> np.ndarray:
    """`[N, d]`; each different text is encoded once, and `known` holds it."""
    new = [text for text in dict.fromkeys(texts) if (encoder.digest, text) not in known]
    if new:
        known.update(zip(((encoder.digest, text) for text in new), encoder.encode(new), strict=True))
    return np.stack([known[encoder.digest, text] for text in texts])


def _read(encoder: Encoder, text: dialogue.Side, before: dialogue.Side | None) -> Text:
    """One text as the encoder reads it, behind what comes before."""
    if isinstance(text, list) or isinstance(before, list):
        template = dialogue.Template(encoder.folder)
        text, before = template(text), None if before is None else template(before)
    return (str(before), text) if before else text
