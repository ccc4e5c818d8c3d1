"""Vectors of texts on disk: computed once, found by what was read and by what read it, mapped and never loaded whole.

A folder holds the vectors of one encoder in one number type. Its embeddings.json says which: digests of weights,
tokenizer, pooling and limit, as one. Beside it stand shards, safetensors files of `vectors [m, d]`, `texts [m, 32]`,
the sha256 of each text, and `tokens [m, 2]`, how many it has and how many were read. A shard is written under a
temporary name and renamed, so a run that was killed goes on behind the last one, and two runs at once disturb nobody.

Where the last layers of an encoder are trained, what is kept is what comes before them: of each text a vector of every
token that is read, one text behind the other in `vectors`; embeddings.json says `layers`, how many are left out.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy

from faro.errors import DataError, UsageError
from faro.files import cache_folder, replacing, write_json

from .encoder import Encoder, places, side_by_side
from .tokens import Text, Tokens

FORMAT = "faro-embeddings/1"
DTYPES = ("float32", "float16")
SHARD = 2048  # texts whose vectors are written at once: what a killed run loses at most
HELD = 2**24  # numbers of vectors of tokens, likewise
_NUMBERS = {"F32": "<f4", "F16": "<f2", "U8": "|u1", "I32": "<i4"}
Progress = Callable[[int, int], None]


def key_of(text: Text) -> bytes:
    """The sha256 that a text is found by, 32 bytes; two texts that are read together have one of their own.

    text: in Unicode
    """
    joined = text if isinstance(text, str) else "pair\0" + json.dumps(text)
    try:
        return hashlib.sha256(joined.encode()).digest()
    except UnicodeEncodeError:
        raise DataError(f"expected Unicode text, got half of a character in {ascii(text)[:40]}") from None


@dataclasses.dataclass(frozen=True, eq=False)
class Embedded:
    """`[N, d]` the vectors of some texts, read from their shards when they are asked for.

    shards: the files; shard, row: `[N]` which of them, and where in it; width: d; dtype: of the numbers; keys: `[N]`
    sha256 of each text; tokens: `[N]` how many each has; read: `[N]` how many of those the encoder read; new: how many
    had to be computed; digest: of the encoder
    """

    shards: tuple[Path, ...]
    shard: np.ndarray
    row: np.ndarray
    width: int
    dtype: np.dtype
    keys: list[bytes]
    tokens: np.ndarray
    read: np.ndarray
    new: int
    digest: str

    @property
    def shape(self) -> tuple[int, int]:
        """(N, d)."""
        return len(self.row), self.width

    @property
    def truncated(self) -> int:
        """How many texts have more tokens than were read."""
        return int((self.read < self.tokens).sum())

    def __getitem__(self, rows: Any) -> np.ndarray:
        shard, row = self.shard[rows], self.row[rows]
        out = np.zeros((*np.shape(row), self.width), self.dtype)
        for number in np.unique(shard):
            here = shard == number
            out[here] = _mapped(self.shards[number])["vectors"][row[here]]
        return out


@dataclasses.dataclass(frozen=True, eq=False)
class States(Embedded):
    """`[N, T, d + 1]` what comes before the last layers of an encoder: vectors of the tokens of each text, 0 behind the
    last one, and in the last column 1 where there is a token. T is that of `places`."""

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """(N, T, d + 1)."""
        return len(self.row), places(self.read), self.width + 1

    def __getitem__(self, rows: Any) -> np.ndarray:
        shard, row, read = self.shard[rows], self.row[rows], self.read[rows]
        own: list[Any] = [None] * np.size(row)
        for number in np.unique(shard):
            vectors = _mapped(self.shards[number])["vectors"]
            for at in np.flatnonzero(shard == number):
                first = np.ravel(row)[at]
                own[at] = vectors[first : first + np.ravel(read)[at]]
        _, length, width = self.shape
        return side_by_side(own, length, width, self.dtype).reshape(*np.shape(row), length, width)


class Counted(NamedTuple):
    """What is known of texts before a vector is computed.

    keys: `[N]` sha256 of each; tokens: `[N]` how many it has; read: `[N]` how many of those the encoder reads; there:
    `[N]` whether its vector is on disk
    """

    keys: list[bytes]
    tokens: np.ndarray
    read: np.ndarray
    there: np.ndarray


def count(
    encoder: Encoder, texts: Sequence[Text], *, folder: Path | None = None, dtype: str = "float32", layers: int = 0
) -> Counted:
    """Tokens of texts, and which of them have a vector already.

    encoder: that reads them
    texts: in any order
    folder: of the vectors; None: `folder_of`
    dtype: of the numbers
    layers: 0, or how many of the last layers come behind what is kept of every token

    `NoTokens` for texts without any.
    """
    keys = [key_of(text) for text in texts]
    there = _index(folder or folder_of(encoder, dtype, layers), layers)[1]
    known = np.array([key in there for key in keys], bool)
    counts = np.zeros((len(keys), 2), np.int64)
    counts[known] = np.array([there[key][2:] for key in keys if key in there], np.int64).reshape(-1, 2)
    new = [text for text, is_known in zip(texts, known, strict=True) if not is_known]
    counts[~known] = np.array([(its.full, len(its.ids)) for its in _tokens(encoder, new)], np.int64).reshape(-1, 2)
    return Counted(keys, counts[:, 0], counts[:, 1], known)


class NoTokens(DataError):
    """Some texts have no tokens.

    texts: which
    """

    def __init__(self, texts: Sequence[Text]):
        shown = texts[0] if isinstance(texts[0], str) else texts[0][-1]
        super().__init__(f"a text has no tokens: {ascii(shown)[:40]}; leave its row out")
        self.texts = tuple(texts)


def _tokens(encoder: Encoder, texts: Sequence[Text]) -> list[Tokens]:
    """Those that are read; `NoTokens` for texts without any."""
    tokens = encoder.tokenizer(texts, encoder.limit) if texts else []
    if empty := [text for text, its in zip(texts, tokens, strict=True) if its.own == 0]:
        raise NoTokens(empty)
    return tokens


def folder_of(encoder: Encoder, dtype: str = "float32", layers: int = 0) -> Path:
    """Where vectors of an encoder are kept unless another folder is named.

    encoder: that makes them
    dtype: of the numbers
    layers: 0, or how many of the last layers come behind what is kept of every token
    """
    before = f"-before{layers}" if layers else ""
    return cache_folder() / "embeddings" / f"{encoder.digest[:32]}-{dtype}{before}"


def embed(
    encoder: Encoder,
    texts: Sequence[Text],
    *,
    folder: Path | None = None,
    dtype: str = "float32",
    layers: int = 0,
    progress: Progress = lambda done, total: None,
) -> Embedded:
    """The vectors of texts; those that the folder lacks are computed and kept there, each different text once.

    encoder: that makes them
    texts: one each, or two that are read together
    folder: of the vectors, made where it is not there; None: `folder_of`
    dtype: of the numbers on disk, "float32" or "float16"
    layers: 0: a vector of each text; else `States`, of every token what comes before so many of the last layers
    progress: called with (done, total) texts among those to compute

    `DataError` for a text without tokens (it says which), for a folder of another encoder, and for a damaged shard;
    `OSError` where there is no room: what was written stays, and the next call goes on.
    """
    if dtype not in DTYPES:
        raise UsageError(f"dtype: expected {' or '.join(DTYPES)}, got {dtype!r}")
    folder = folder_of(encoder, dtype, layers) if folder is None else folder
    keys = [key_of(text) for text in texts]
    _check(folder, encoder, dtype, layers)
    paths, there = _index(folder, layers)
    new = {key: text for key, text in zip(keys, texts, strict=True) if key not in there}
    if new:
        _fill(encoder, list(new), list(new.values()), folder, dtype, layers, progress)
        paths, there = _index(folder, layers)
    found = np.array([there[key] for key in keys], np.int64).reshape(-1, 4)
    kind = States if layers else Embedded
    return kind(
        tuple(paths), found[:, 0], found[:, 1], encoder.width, np.dtype(dtype), keys, found[:, 2], found[:, 3],
        len(new), encoder.digest,
    )  # fmt: skip


def _fill(
    encoder: Encoder,
    keys: list[bytes],
    texts: list[Text],
    folder: Path,
    dtype: str,
    layers: int,
    progress: Progress,
) -> None:
    """Compute vectors and write them, a shard after another."""
    tokens = _tokens(encoder, texts)
    done = 0
    held: list[tuple[np.ndarray, list[np.ndarray]]] = []  # which texts, of each its rows of `vectors`
    progress(0, len(texts))

    def write() -> None:
        which = np.concatenate([which for which, _ in held])
        of_texts = [own for _, some in held for own in some]
        vectors = np.concatenate(of_texts).astype(dtype)
        if not np.isfinite(vectors).all():
            at = which[int(np.argmin([np.isfinite(own.astype(dtype)).all() for own in of_texts]))]
            raise DataError(f"{encoder.name}: a vector is not finite, of the text {ascii(texts[at])[:40]}")
        counts = np.array([(tokens[at].full, len(tokens[at].ids)) for at in which], np.int32)
        own = np.frombuffer(b"".join(keys[at] for at in which), np.uint8).reshape(-1, 32)
        if not (folder / "embeddings.json").exists():
            write_json(folder / "embeddings.json", _manifest(encoder, dtype, layers))
        name = hashlib.sha256(own.tobytes()).hexdigest()[:16]
        content = safetensors.numpy.save({"vectors": vectors, "texts": own, "tokens": counts})
        with replacing(folder / f"{name}.safetensors") as temporary:
            temporary.write_bytes(content)
        held.clear()

    for which, of_texts in _computed(encoder, tokens, layers):
        held.append((which, of_texts))
        done += len(which)
        progress(done, len(texts))
        if sum(len(some) for some, _ in held) >= SHARD or sum(own.size for _, some in held for own in some) >= HELD:
            write()
    if held:
        write()


def _computed(encoder: Encoder, tokens: Sequence[Tokens], layers: int) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """(which texts, of each what is kept `[rows, width]`), a batch after another."""
    if layers:
        yield from encoder.states(tokens, layers)
        return
    for which, vectors in encoder.vectors(tokens):
        yield which, np.split(vectors, len(vectors))


def _manifest(encoder: Encoder, dtype: str, layers: int) -> dict[str, Any]:
    its = {"encoder": encoder.digest, "name": encoder.name, "width": encoder.width, "limit": encoder.limit}
    its |= {"layers": layers} if layers else {}
    return {"format": FORMAT, **its, "pooling": dataclasses.asdict(encoder.pooling), "dtype": dtype}


def _check(folder: Path, encoder: Encoder, dtype: str, layers: int) -> None:
    """`DataError` for a folder that is neither this encoder's, before these layers, nor empty."""
    path = folder / "embeddings.json"
    if not path.exists():
        if folder.is_dir() and any(entry.name[0] != "." for entry in folder.iterdir()):
            raise DataError(f"{folder}: a folder with other files and no embeddings.json; name another one")
        return
    try:
        theirs = json.loads(path.read_text(encoding="utf-8"))
        if theirs["format"] != FORMAT:
            raise ValueError(f"expected format {FORMAT}, got {theirs['format']!r}")
        what = theirs["encoder"], theirs["dtype"], theirs.get("layers", 0)
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path}: damaged: {error}; name another folder") from error
    if what != (encoder.digest, dtype, layers):
        made, wanted = f"{theirs.get('name')} {_said(*what)}", f"{encoder.name} {_said(encoder.digest, dtype, layers)}"
        raise DataError(f"{folder}: holds vectors of {made}, not of {wanted}")


def _said(digest: Any, dtype: Any, layers: Any) -> str:
    return f"{str(digest)[:12]} in {dtype}" + (f" before {layers} layers" if layers else "")


def _index(folder: Path, layers: int) -> tuple[list[Path], dict[bytes, tuple[int, int, int, int]]]:
    """(shards, key of a text -> shard, first row of its own, tokens, tokens that were read)."""
    paths: list[Path] = []
    there: dict[bytes, tuple[int, int, int, int]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        if path.name[0] == ".":
            continue
        shard = _mapped(path)
        counts = shard["tokens"].tolist()
        row = 0
        for key, (full, read) in zip(map(bytes, shard["texts"]), counts, strict=True):
            there.setdefault(key, (len(paths), row, full, read))
            row += read if layers else 1
        paths.append(path)
    return paths, there


def _mapped(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a shard, mapped; `DataError` if it is damaged."""
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length < path.stat().st_size:
                raise ValueError("no header of a safetensors file")
            header = json.loads(file.read(length))
        return {
            name: np.memmap(
                path, _NUMBERS[header[name]["dtype"]], "r", 8 + length + header[name]["data_offsets"][0],
                tuple(header[name]["shape"]),
            )
            for name in ("vectors", "texts", "tokens")
        }  # fmt: skip
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path}: damaged, or gone while in use ({error}); remove it and embed again") from error
