"""Which units training knew: a number each, the same in any table, kept as salted hashes and not as names.

    unit -> blake2b(name, 16 bytes, keyed by the salt) -> its place among the sorted hashes; -1 if it is not there

The order of the numbers says nothing of names or of the table. A hash hides a name only from those who cannot guess it.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

BYTES = 16  # of a hash: two of a billion units meet with probability 1e-21
SALT = 64  # bytes of a key of blake2b, at most


@dataclasses.dataclass(frozen=True, eq=False)
class Vocabulary:
    """The units of the fit rows. hashes: `[U, 16]` bytes, sorted; salt: keys them; size: units of the whole table, at
    least U: how many rows a table of parameters per unit has, so that it has one shape for every seed."""

    salt: str
    size: int
    hashes: np.ndarray

    def __len__(self) -> int:
        """U, the units that it knows."""
        return len(self.hashes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary) or (self.salt, self.size) != (other.salt, other.size):
            return False
        return np.array_equal(self.hashes, other.hashes)

    @classmethod
    def of(cls, units: np.ndarray, size: int, salt: str) -> Vocabulary:
        """Of these units, which may repeat."""
        return cls(salt, size, np.unique(_hashes(np.unique(units.astype(str)), salt), axis=0))

    def forgotten(self) -> Vocabulary:
        """The same of nobody: every unit is new to it."""
        return Vocabulary(self.salt, self.size, self.hashes[:0])

    def codes(self, units: np.ndarray) -> np.ndarray:
        """`[n]` int32: the number of every unit, 0 to U - 1, or -1."""
        names, place = np.unique(units.astype(str), return_inverse=True)
        hashed, known = _joined(_hashes(names, self.salt)), _joined(self.hashes)
        if not len(known):
            return np.full(len(units), -1, np.int32)
        at = np.minimum(np.searchsorted(known, hashed), len(known) - 1)
        return np.where(known[at] == hashed, at, -1).astype(np.int32)[place]

    def to_dict(self) -> dict[str, Any]:
        """All but the hashes."""
        return {"salt": self.salt, "size": self.size}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], hashes: np.ndarray) -> Vocabulary:
        """What `to_dict` and `hashes` described; `ValueError` for what they never wrote."""
        salt, size = values["salt"], values["size"]
        joined = _joined(hashes) if hashes.dtype == np.uint8 and hashes.shape[1:] == (BYTES,) else None
        if joined is None or (joined[1:] <= joined[:-1]).any():
            raise ValueError(f"coding: expected hashes of units, {BYTES} bytes each, sorted and different")
        if type(salt) is not str or len(salt.encode()) > SALT or type(size) is not int or size < len(hashes):
            raise ValueError("coding: expected units with a salt, and a size that is not below their number")
        return cls(salt, size, hashes)


def _hashes(names: np.ndarray, salt: str) -> np.ndarray:
    """`[N, 16]` the hash of every name."""
    key = salt.encode()
    joined = b"".join(hashlib.blake2b(name.encode(), digest_size=BYTES, key=key).digest() for name in names.tolist())
    return np.frombuffer(joined, np.uint8).reshape(-1, BYTES)


def _joined(hashes: np.ndarray) -> np.ndarray:
    """`[N]` hashes as one value each, in the order of their bytes."""
    return np.ascontiguousarray(hashes).view(f"S{BYTES}").ravel()
