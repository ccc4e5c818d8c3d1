"""Encoders: a folder of config.json, model.safetensors and tokenizer.json, and vectors of texts by it."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.flax
from jax import Array
from safetensors import SafetensorError

from faro.errors import DataError, UsageError
from faro.files import sha256_of

from .architecture import Architecture
from .tokens import Text, Tokenizer, Tokens

FILES = ("config.json", "model.safetensors", "tokenizer.json")
BUCKETS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)  # lengths that a program is compiled for
AT_ONCE = 1024  # tokens of a batch, padding among them: as few as fill a CPU, for texts of more lengths are padded more
WIDER = 16  # times as many on other devices
_MODES = {"mean": "mean", "cls": "first", "lasttoken": "last"}  # as 1_Pooling/config.json calls them


@dataclasses.dataclass(frozen=True)
class Pooling:
    """How vectors of tokens become one of the text.

    how: "mean" of all tokens, "first" or "last" of them; normalised: whether it is then brought to length 1
    """

    how: str = "mean"
    normalised: bool = False

    @classmethod
    def of_folder(cls, folder: Path) -> Pooling:
        """What modules.json and the folder of the pooling say; without modules.json the mean, as sentence-transformers
        takes it.

        folder: of the encoder

        `DataError` for another step, and for a file that is named and absent.
        """
        if not (folder / "modules.json").is_file():
            return cls()
        how, normalised = "", False
        for module in _json(folder / "modules.json", list):
            module = module if isinstance(module, dict) else {"type": module}
            kind = str(module.get("type", "")).rsplit(".", 1)[-1]
            if kind == "Pooling":
                how = _pooled_how(folder / str(module.get("path", "")) / "config.json")
            elif kind == "Normalize":
                normalised = True
            elif kind != "Transformer":
                known = "Transformer, Pooling, Normalize"
                raise DataError(f"{folder / 'modules.json'}: expected the modules {known}, got {kind!r}")
        if not how:
            raise DataError(f"{folder / 'modules.json'}: no Pooling among its modules: not an encoder of texts")
        return cls(how, normalised)


def _pooled_how(path: Path) -> str:
    config = _json(path)
    named = config.get("pooling_mode")
    modes = [key.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token") for key in config
             if key.startswith("pooling_mode_") and config[key]]  # fmt: skip
    modes = [named] if isinstance(named, str) else modes
    if len(modes) != 1 or modes[0] not in _MODES:
        raise DataError(f"{path}: expected one pooling of {', '.join(_MODES)}, got {', '.join(modes) or 'none'}")
    return _MODES[modes[0]]


@dataclasses.dataclass(frozen=True, eq=False)
class Encoder:
    """Vectors of texts.

    name: what outputs call it
    folder: that it was read from
    sizes: its architecture
    params: of `Bert`
    tokenizer: of its folder
    pooling: how vectors of tokens become one of the text
    limit: tokens of a text at most; what is beyond is cut off, and counted
    digest: sha256 of all that decides a vector: weights, sizes, tokenizer, pooling, limit
    """

    name: str
    folder: Path
    sizes: Architecture
    params: Any
    tokenizer: Tokenizer
    pooling: Pooling
    limit: int
    digest: str

    @classmethod
    def read(cls, folder: Path, name: str = "", limit: int = 0) -> Encoder:
        """The encoder in a folder.

        folder: with config.json, model.safetensors and tokenizer.json; modules.json and sentence_bert_config.json are
            read where they are there
        name: what outputs call it; "": the folder's
        limit: tokens of a text at most; 0: what the folder says

        `DataError` for a file that is absent (it names it), damaged, or at odds with the others; `UsageError` without
        the package `tokenizers`, or for a limit that the encoder does not have.
        """
        if lacking := [file for file in FILES if not (folder / file).is_file()]:
            raise DataError(f"{folder}: no file {lacking[0]}; an encoder is a folder of {', '.join(FILES)}")
        sizes = Architecture.of(_json(folder / "config.json"), str(folder / "config.json"))
        pooling, limit = Pooling.of_folder(folder), _limit(folder, sizes, limit)
        from .bert import parameters  # Flax takes long to import, and most commands read no text

        tokenizer = Tokenizer(folder / "tokenizer.json", sizes.vocabulary)
        weights = folder / "model.safetensors"
        try:
            tensors = safetensors.flax.load_file(weights)
        except (OSError, ValueError, SafetensorError) as error:
            raise DataError(f"{weights}: damaged, or no safetensors file: {' '.join(str(error).split())}") from error
        params = jax.tree.map(jnp.asarray, parameters(sizes, tensors, str(weights)))
        told = [dataclasses.asdict(sizes), dataclasses.asdict(pooling), limit]
        told += [sha256_of(weights), sha256_of(folder / "tokenizer.json")]
        digest = hashlib.sha256(json.dumps(["faro encoder 1", *told]).encode()).hexdigest()
        return cls(name or folder.name, folder, sizes, {"params": params}, tokenizer, pooling, limit, digest)

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return self.sizes.width

    def vectors(self, tokens: Sequence[Tokens]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(which texts `[B]`, their vectors `[B, width]` in float32), a batch after another, longest texts first.

        tokens: of every text, in any order

        Texts of like length go together, padded to one of a few lengths, so that a program is compiled for each of
        those alone. A vector does not depend on what else is in its batch, beyond rounding.
        """
        return self._batches(tokens, lambda *batch: _pooled(self.sizes, self.pooling, self.params, *batch))

    def states(self, tokens: Sequence[Tokens], layers: int) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
        """(which texts `[B]`, of each the vectors of its tokens `[T, width]` in float32, before the last `layers`
        layers), a batch after another, as `vectors` goes.

        tokens: of every text, in any order
        layers: how many of the last layers are left out

        `UsageError` for more layers than the encoder has.
        """
        self.check_layers(layers)
        before = {"params": self.split(layers)[0]}
        for which, states in self._batches(tokens, lambda *batch: _before(self.sizes, layers, before, *batch)):
            yield which, [own[: len(tokens[at].ids)] for at, own in zip(which, states, strict=True)]

    def split(self, layers: int) -> tuple[Any, Any]:
        """(parameters of all before the last layers, {"layers": those of the last}).

        layers: how many layers are the last
        """
        from .bert import cut

        return cut(self.params["params"], layers)

    def check_layers(self, layers: int) -> None:
        """`UsageError` for a number of last layers that the encoder does not have.

        layers: how many of them
        """
        if not 1 <= layers <= self.sizes.layers:
            raise UsageError(f"{self.name}: expected 1 to {self.sizes.layers} last layers, got {layers}")

    def _batches(self, tokens: Sequence[Tokens], run: Callable[..., Array]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        order = np.argsort([-len(text.ids) for text in tokens], kind="stable")
        pending: tuple[np.ndarray, Array] | None = None
        at_once = AT_ONCE * (1 if jax.default_backend() == "cpu" else WIDER)
        done = 0
        while done < len(order):
            length = min(bucket(len(tokens[order[done]].ids)), self.sizes.longest)  # no place is beyond the table
            which = order[done : done + max(1, at_once // length)]
            done += len(which)
            batch = _padded([tokens[at] for at in which], max(1, at_once // length), length)
            with jax.enable_x64(False):  # whoever scores in double precision reads the same vectors
                now = which, run(*batch)
            if pending is not None:  # the next batch is laid out while this one is computed
                yield pending[0], np.asarray(pending[1])[: len(pending[0])]
            pending = now
        if pending is not None:
            yield pending[0], np.asarray(pending[1])[: len(pending[0])]

    def encode(self, texts: Sequence[Text]) -> np.ndarray:
        """`[N, width]` in float32: a vector of every text.

        texts: one each, or two that are read together
        """
        return self.of_tokens(self.tokenizer(texts, self.limit))

    def of_tokens(self, tokens: Sequence[Tokens]) -> np.ndarray:
        """`[N, width]` in float32: a vector of every text, in their order.

        tokens: of every text
        """
        out = np.zeros((len(tokens), self.width), np.float32)
        for which, vectors in self.vectors(tokens):
            out[which] = vectors
        return out

    def states_of_tokens(self, tokens: Sequence[Tokens], layers: int) -> np.ndarray:
        """`[N, T, width + 1]` in float32: what comes before the last layers, as `side_by_side` has it.

        tokens: of every text
        layers: how many of the last layers are left out
        """
        own: list[Any] = [None] * len(tokens)
        for which, states in self.states(tokens, layers):
            for at, of_text in zip(which, states, strict=True):
                own[at] = of_text
        return side_by_side(own, places([len(its.ids) for its in tokens]), self.width + 1, np.float32)


def bucket(length: int) -> int:
    """The length that a text is padded to.

    length: of its tokens
    """
    return next((size for size in BUCKETS if size >= length), -(-length // BUCKETS[-1]) * BUCKETS[-1])


def places(read: Any) -> int:
    """To how many tokens texts are padded whose states stand side by side: those of the longest, or a few more.

    read: `[N]` how many tokens of each are read
    """
    return int(-(-max(1, np.max(read, initial=0)) // 8) * 8)


def side_by_side(states: Sequence[np.ndarray], length: int, width: int, dtype: Any) -> np.ndarray:
    """`[N, length, width]`: the vectors of the tokens of every text, 0 behind the last of them; in the last column 1
    where there is a token.

    states: of each text `[T, width - 1]`
    length: tokens, at least those of the longest
    width: one more than that of a vector
    dtype: of the numbers
    """
    out = np.zeros((len(states), length, width), dtype)
    for whole, own in zip(out, states, strict=True):
        whole[: len(own), :-1] = own
        whole[: len(own), -1] = 1
    return out


def _limit(folder: Path, sizes: Architecture, asked: int) -> int:
    path = folder / "sentence_bert_config.json"
    said = _json(path).get("max_seq_length") if path.is_file() else None
    limit = asked or said or sizes.longest
    if type(limit) is not int or not 0 < limit <= sizes.longest:
        raise DataError(f"{folder}: expected a limit of 1 to {sizes.longest} tokens, got {limit!r}")
    return limit


def _json(path: Path, kind: type = dict) -> Any:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path}: not JSON: {' '.join(str(error).split())}") from error
    if not isinstance(value, kind):
        raise DataError(f"{path}: expected {'an object' if kind is dict else 'a list'}, got {ascii(value)[:40]}")
    return value


def _padded(tokens: Sequence[Tokens], rows: int, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ids, types, mask = (np.zeros((rows, length), kind) for kind in (np.int32, np.int32, bool))
    mask[len(tokens) :, 0] = True  # rows of nobody attend to something
    for row, text in enumerate(tokens):
        ids[row, : len(text.ids)], types[row, : len(text.ids)] = text.ids, text.types
        mask[row, : len(text.ids)] = True
    return ids, mask, types


@functools.partial(jax.jit, static_argnums=(0, 1))
def _pooled(sizes: Architecture, pooling: Pooling, params: Any, ids: Array, mask: Array, types: Array) -> Array:
    from .bert import Bert

    with jax.default_matmul_precision("highest"):
        vectors: Any = Bert(sizes).apply(params, ids, mask, types)
    return pooled(pooling, vectors, mask)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _before(sizes: Architecture, layers: int, params: Any, ids: Array, mask: Array, types: Array) -> Array:
    from .bert import Bert

    with jax.default_matmul_precision("highest"):
        states: Any = Bert(sizes, without=layers).apply(params, ids, mask, types)
    return states


def pooled(pooling: Pooling, vectors: Array, mask: Array) -> Array:
    """`[B, width]` a vector of every text; 0 of one without tokens.

    pooling: how
    vectors: `[B, T, width]` of tokens
    mask: `[B, T]` whether a place has a token
    """
    if pooling.how == "mean":
        weight = mask[..., None].astype(vectors.dtype)
        text = (vectors * weight).sum(1) / jnp.maximum(weight.sum(1), 1)
    else:
        last = jnp.where(pooling.how == "last", jnp.maximum(mask.sum(1) - 1, 0), 0)
        text = jnp.take_along_axis(vectors, last[:, None, None], 1)[:, 0]
    if pooling.normalised:  # in a form that has a gradient at 0
        text = text * jax.lax.rsqrt(jnp.maximum(jnp.square(text).sum(-1, keepdims=True), 1e-24))
    return text
