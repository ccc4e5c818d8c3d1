"""Vectors of texts on disk: computed once, found by what was read and by what read it, mapped and never loaded whole.

A folder holds the vectors of one encoder in one number type. Its embeddings.json says which: digests of weights,
tokenizer, pooling and limit, as one. Beside it stand shards, safetensors files of `vectors [m, d]`, `texts [m, 32]`,
the sha256 of each text, and `tokens [m, 2]`, how many it has and how many were read. A shard is written under a
temporary name and renamed, so a run that was killed goes on behind the last one, and two runs at once disturb nobody.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy

from faro.errors import DataError, UsageError
from faro.files import cache_folder, replacing, write_json

from .encoder import Encoder
from .tokens import Text, Tokens

FORMAT = "faro-embeddings/1"
DTYPES = ("float32", "float16")
SHARD = 2048  # texts whose vectors are written at once: what a killed run loses at most
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


class Counted(NamedTuple):
    """What is known of texts before a vector is computed.

    keys: `[N]` sha256 of each; tokens: `[N]` how many it has; read: `[N]` how many of those the encoder reads; there:
    `[N]` whether its vector is on disk
    """

    keys: list[bytes]
    tokens: np.ndarray
    read: np.ndarray
    there: np.ndarray


def count(encoder: Encoder, texts: Sequence[Text], *, folder: Path | None = None, dtype: str = "float32") -> Counted:
    """Tokens of texts, and which of them have a vector already.

    encoder: that reads them
    texts: in any order
    folder: of the vectors; None: `folder_of`
    dtype: of the numbers

    `DataError` for a text without tokens.
    """
    keys = [key_of(text) for text in texts]
    there = _index(folder or folder_of(encoder, dtype))[1]
    known = np.array([key in there for key in keys], bool)
    counts = np.zeros((len(keys), 2), np.int64)
    counts[known] = np.array([there[key][2:] for key in keys if key in there], np.int64).reshape(-1, 2)
    new = [text for text, is_known in zip(texts, known, strict=True) if not is_known]
    counts[~known] = np.array([(its.full, len(its.ids)) for its in _tokens(encoder, new)], np.int64).reshape(-1, 2)
    return Counted(keys, counts[:, 0], counts[:, 1], known)


def _tokens(encoder: Encoder, texts: Sequence[Text]) -> list[Tokens]:
    """Those that are read; `DataError` for a text without any."""
    tokens = encoder.tokenizer(texts, encoder.limit) if texts else []
    for text, its in zip(texts, tokens, strict=True):
        if its.own == 0:
            shown = text if isinstance(text, str) else text[-1]
            raise DataError(f"a text has no tokens: {ascii(shown)[:40]}; leave its row out")
    return tokens


def folder_of(encoder: Encoder, dtype: str = "float32") -> Path:
    """Where vectors of an encoder are kept unless another folder is named.

    encoder: that makes them
    dtype: of the numbers
    """
    return cache_folder() / "embeddings" / f"{encoder.digest[:32]}-{dtype}"


def embed(
    encoder: Encoder,
    texts: Sequence[Text],
    *,
    folder: Path | None = None,
    dtype: str = "float32",
    progress: Progress = lambda done, total: None,
) -> Embedded:
    """The vectors of texts; those that the folder lacks are computed and kept there, each different text once.

    encoder: that makes them
    texts: one each, or two that are read together
    folder: of the vectors, made where it is not there; None: `folder_of`
    dtype: of the numbers on disk, "float32" or "float16"
    progress: called with (done, total) texts among those to compute

    `DataError` for a text without tokens (it says which), for a folder of another encoder, and for a damaged shard;
    `OSError` where there is no room: what was written stays, and the next call goes on.
    """
    if dtype not in DTYPES:
        raise UsageError(f"dtype: expected {' or '.join(DTYPES)}, got {dtype!r}")
    folder = folder_of(encoder, dtype) if folder is None else folder
    keys = [key_of(text) for text in texts]
    _check(folder, encoder, dtype)
    paths, there = _index(folder)
    new = {key: text for key, text in zip(keys, texts, strict=True) if key not in there}
    if new:
        _fill(encoder, list(new), list(new.values()), folder, dtype, progress)
        paths, there = _index(folder)
    places = np.array([there[key] for key in keys], np.int64).reshape(-1, 4)
    return Embedded(
        tuple(paths), places[:, 0], places[:, 1], encoder.width, np.dtype(dtype), keys, places[:, 2], places[:, 3],
        len(new), encoder.digest,
    )  # fmt: skip


def _fill(encoder: Encoder, keys: list[bytes], texts: list[Text], folder: Path, dtype: str, progress: Progress) -> None:
    """Compute vectors and write them, a shard after another."""
    tokens = _tokens(encoder, texts)
    done = 0
    held: list[tuple[np.ndarray, np.ndarray]] = []
    progress(0, len(texts))

    def write() -> None:
        which = np.concatenate([which for which, _ in held])
        vectors = np.concatenate([vectors for _, vectors in held]).astype(dtype)
        if not np.isfinite(vectors).all():
            at = which[int(np.argmin(np.isfinite(vectors).all(1)))]
            raise DataError(f"{encoder.name}: a vector is not finite, of the text {ascii(texts[at])[:40]}")
        counts = np.array([(tokens[at].full, len(tokens[at].ids)) for at in which], np.int32)
        own = np.frombuffer(b"".join(keys[at] for at in which), np.uint8).reshape(-1, 32)
        if not (folder / "embeddings.json").exists():
            write_json(folder / "embeddings.json", _manifest(encoder, dtype))
        name = hashlib.sha256(own.tobytes()).hexdigest()[:16]
        content = safetensors.numpy.save({"vectors": vectors, "texts": own, "tokens": counts})
        with replacing(folder / f"{name}.safetensors") as temporary:
            temporary.write_bytes(content)
        held.clear()

    for which, vectors in encoder.vectors(tokens):
        held.append((which, vectors))
        done += len(which)
        progress(done, len(texts))
        if sum(len(some) for some, _ in held) >= SHARD:
            write()
    if held:
        write()


def _manifest(encoder: Encoder, dtype: str) -> dict[str, Any]:
    its = {"encoder": encoder.digest, "name": encoder.name, "width": encoder.width, "limit": encoder.limit}
    return {"format": FORMAT, **its, "pooling": dataclasses.asdict(encoder.pooling), "dtype": dtype}


def _check(folder: Path, encoder: Encoder, dtype: str) -> None:
    """`DataError` for a folder that is neither this encoder's nor empty."""
    path = folder / "embeddings.json"
    if not path.exists():
        if folder.is_dir() and any(entry.name[0] != "." for entry in folder.iterdir()):
            raise DataError(f"{folder}: a folder with other files and no embeddings.json; name another one")
        return
    try:
        theirs = json.loads(path.read_text(encoding="utf-8"))
        if theirs["format"] != FORMAT:
            raise ValueError(f"expected format {FORMAT}, got {theirs['format']!r}")
        of_another = theirs["encoder"] != encoder.digest or theirs["dtype"] != dtype
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path}: damaged: {error}; name another folder") from error
    if of_another:
        made = f"{theirs.get('name')} {str(theirs['encoder'])[:12]} in {theirs['dtype']}"
        raise DataError(f"{folder}: holds vectors of {made}, not of {encoder.name} {encoder.digest[:12]} in {dtype}")


def _index(folder: Path) -> tuple[list[Path], dict[bytes, tuple[int, int, int, int]]]:
    """(shards, key of a text -> shard, row, tokens, tokens that were read)."""
    paths: list[Path] = []
    there: dict[bytes, tuple[int, int, int, int]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        if path.name[0] == ".":
            continue
        shard = _mapped(path)
        counts = shard["tokens"].tolist()
        for row, (key, (full, read)) in enumerate(zip(map(bytes, shard["texts"]), counts, strict=True)):
            there.setdefault(key, (len(paths), row, full, read))
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
