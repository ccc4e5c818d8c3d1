"""Arrays in files: described once, checked once, read by rows and never wholly; dtype and shape stay their own.

A file is mapped only while rows are read from it, so memory holds what was asked for; a file that changed since it was
described is refused. Its content is hashed in blocks, once per file and process.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from faro.errors import DataError

from .specs import ArraySpec

SUFFIXES = (".npy", ".safetensors")
BLOCK = 2**22  # numbers that are read or computed with at once: 32 MiB in double precision
NARROW = 4  # bytes of a number that jax holds without being told otherwise
_TENSORS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1"}
_TENSORS |= {"U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1"}
_scanned: dict[Any, Scan] = {}


class Scan(NamedTuple):
    """What one pass over an array finds."""

    sha256: str  # of dtype, shape and numbers, whatever file they came in
    endless: np.ndarray  # rows with a number that is not finite


@dataclasses.dataclass(frozen=True, eq=False)
class Stored:
    """An array `[N, ...]` in a file, or in memory. `where`: what messages call it; `place`: (path, first byte, order in
    memory, what identifies the file), None for `held`, an array in memory."""

    name: str
    where: str
    shape: tuple[int, ...]
    dtype: np.dtype
    place: tuple[Path, int, Any, tuple] | None = None
    held: np.ndarray | None = None

    @classmethod
    def of(cls, spec: ArraySpec, given: Any, folder: Path) -> Stored:
        """The array that a schema declares: `given` (a path or an array), else its file, looked for in `folder`.
        `DataError` for a file that is absent, of another kind or damaged, or an array that cannot be what was declared.
        """
        if isinstance(given, Stored):
            return given
        if given is not None and not isinstance(given, str | os.PathLike):
            held = np.asarray(given)
            stored = cls(spec.name, f"array {spec.name!r}", held.shape, held.dtype, None, held)
        else:
            stored = cls._open(spec, folder / (spec.file if given is None else given))
        stored._check(spec)
        return stored

    @classmethod
    def _open(cls, spec: ArraySpec, path: Path) -> Stored:
        where = f"array {spec.name!r} in {path}"
        if path.suffix not in SUFFIXES:
            raise DataError(f"{where}: expected a file ending in {' or '.join(SUFFIXES)}; save it as one of them")
        try:
            known = _identity(path)
            header = _npy if path.suffix == ".npy" else functools.partial(_tensor, name=spec.key or spec.name)
            shape, dtype, start, order = header(path)
            if not dtype.hasobject and path.stat().st_size < start + math.prod(shape) * dtype.itemsize:
                raise ValueError("the file is cut short")
        except FileNotFoundError as error:
            raise DataError(f"{where}: no such file; its place is beside the table, or give its path") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{where}: cannot be read: {' '.join(str(error).split())}") from error
        return cls(spec.name, where, tuple(shape), dtype, (path, start, order, known))

    def _check(self, spec: ArraySpec) -> None:
        numbers = self.dtype.kind in "biuf" or self.dtype == jnp.bfloat16
        if not numbers or self.dtype != self.dtype.newbyteorder("<"):
            raise DataError(f"{self.where}: expected numbers in little-endian order, got {self.dtype.str}")
        if len(self.shape) < 1 or 0 in self.shape:
            raise DataError(f"{self.where}: expected one row or more, got shape {list(self.shape)}")
        if spec.raw and self.dtype.itemsize > NARROW:
            raise DataError(f"{self.where}: a raw array is handed out as it is, in at most 32 bits; got {self.dtype}")
        if not spec.raw and len(self.shape) != 2:
            shape = list(self.shape)
            raise DataError(f"{self.where}: expected [rows, d], got shape {shape}; or declare raw = true")

    @property
    def row(self) -> tuple[int, ...]:
        """The shape of a row, as far as it is the same in every table: 0 for an axis that is as long as it must be."""
        return self.shape[1:]

    def read(self, rows: Any) -> np.ndarray:
        """These rows (indices or a slice), in memory, in the array's own dtype."""
        if self.place is None:
            return np.asarray(self.held)[rows]
        path, start, order, known = self.place
        try:
            changed = _identity(path) != known
        except OSError:
            changed = True
        if changed:
            raise DataError(f"{self.where}: the file was changed or removed while it was in use; begin again")
        return np.array(np.memmap(path, self.dtype, "r", start, self.shape, order)[rows])

    @property
    def tokens(self) -> np.ndarray | None:
        """`[N]` how many tokens the text has that each row is of; None where rows are of no texts."""
        return None

    def contents(self, rows: np.ndarray) -> list[bytes]:
        """A 16-byte hash of the numbers of each of these rows."""
        block = np.ascontiguousarray(self.read(rows))
        return [
            hashlib.blake2b(row.data, digest_size=16).digest() for row in block.reshape(len(block), -1).view(np.uint8)
        ]

    @property
    def step(self) -> int:
        """Rows of one block."""
        return max(1, BLOCK // math.prod(self.shape[1:]))

    @functools.cached_property
    def scan(self) -> Scan:
        """One pass over all of it."""
        key = None if self.place is None else (self.place[1:], self.shape, str(self.dtype))
        if key is None or key not in _scanned:
            digest = hashlib.sha256(b"faro array 1\n" + json.dumps([str(self.dtype), self.shape]).encode())
            endless = []
            for first in range(0, self.shape[0], self.step):
                block = np.ascontiguousarray(self.read(slice(first, first + self.step)))
                digest.update(block.view(np.uint8).data)
                if self.dtype.kind not in "biu":
                    bad = ~np.isfinite(block).reshape(len(block), -1).all(1)
                    endless.append(first + np.flatnonzero(bad))
            scan = Scan(digest.hexdigest(), np.concatenate([np.zeros(0, int), *endless]))
            if key is None:
                return scan
            _scanned[key] = scan
        return _scanned[key]


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """`[..., D]` rows of a stored array, read when they are asked for; `index [...]` says which, -1 = none."""

    of: Stored
    index: np.ndarray

    def __getitem__(self, rows: Any) -> Rows:
        return Rows(self.of, self.index[rows])

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.index.shape, *self.of.shape[1:])

    def gather(self, live: np.ndarray | None = None) -> np.ndarray:
        """The values, in their own dtype; 0 where there is no row, or where it is not `live`."""
        there = self.index >= 0 if live is None else live & (self.index >= 0)
        out = np.zeros(self.shape, self.of.dtype)
        flat, entries = out.reshape(-1, *self.of.shape[1:]), np.flatnonzero(there)
        wanted = self.index[there]
        for first in range(0, len(wanted), self.of.step):
            part = slice(first, first + self.of.step)
            flat[entries[part]] = self.of.read(wanted[part])
        return out

    def blocks(self, live: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(how often each occurs among the live entries `[R]`, values `[R, D]` in float64) of the different rows, a
        block at a time and in the order of the file."""
        rows, counts = np.unique(self.index[live], return_counts=True)
        for first in range(0, len(rows), self.of.step):
            part = slice(first, first + self.of.step)
            yield counts[part], self.of.read(rows[part]).astype(np.float64)

    @property
    def tokens(self) -> np.ndarray:
        """`[...]` how many tokens each text has, 1 where there is no row; `DataError` for rows that are of no texts."""
        if self.of.tokens is None:
            raise DataError(f"{self.of.where}: its length is to be removed, and it is an array and no texts")
        return np.append(self.of.tokens, 1)[self.index]

    def contents(self) -> np.ndarray:
        """`[...]` a 16-byte hash of the numbers of each row, b"" where there is none."""
        rows, place = np.unique(self.index, return_inverse=True)
        hashes = [b""] * int((rows < 0).sum())
        for first in range(len(hashes), len(rows), self.of.step):
            hashes += self.of.contents(rows[first : first + self.of.step])
        return np.array(hashes, object)[place.reshape(self.index.shape)]


def stored_arrays(
    specs: Sequence[ArraySpec], given: Mapping[str, Any], folder: Path, needed: Collection[str]
) -> dict[str, Stored]:
    """Name -> the array, of every declared one; one that is not `needed` (a twin) may be absent. `DataError` for a
    given one that is not declared."""
    if unknown := [name for name in given if name not in {spec.name for spec in specs}]:
        declared = ", ".join(spec.name for spec in specs) or "none"
        raise DataError(f"array {unknown[0]!r} is not declared in the schema (declared: {declared})")
    there = [spec for spec in specs if spec.name in {*needed, *given} or (folder / spec.file).is_file()]
    return {spec.name: Stored.of(spec, given.get(spec.name), folder) for spec in there}


def _identity(path: Path) -> tuple:
    about = path.stat()
    return (str(path.resolve()), about.st_ino, about.st_size, about.st_mtime_ns)


def _npy(path: Path) -> tuple[tuple[int, ...], np.dtype, int, Any]:
    """(shape, dtype, first byte, order) of a .npy file; its header alone is read."""
    with open(path, "rb") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        return shape, dtype, file.tell(), "F" if fortran else "C"


def _tensor(path: Path, name: str) -> tuple[tuple[int, ...], np.dtype, int, Any]:
    """The same of a tensor in a .safetensors file."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length < path.stat().st_size:
            raise ValueError("no header of a safetensors file")
        header = json.loads(file.read(length))
    if name not in header:
        names = ", ".join(key for key in header if key != "__metadata__")
        raise ValueError(f"no tensor {name!r} (name one of these as `key`: {names})")
    kind, shape, start = header[name]["dtype"], header[name]["shape"], header[name]["data_offsets"][0]
    if not all(type(size) is int and size >= 0 for size in (*shape, start)):
        raise ValueError(f"tensor {name!r} has no sensible shape")
    if kind != "BF16" and kind not in _TENSORS:
        raise ValueError(f"tensor {name!r} is of type {kind}, which is not read")
    dtype = np.dtype(jnp.bfloat16 if kind == "BF16" else _TENSORS[kind])
    return tuple(shape), dtype, 8 + length + start, "C"
