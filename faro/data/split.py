"""Who is in which part: by unit, by salted hash, so that adding rows never moves anybody."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import pandas as pd

from faro.errors import DataError, UsageError

PARTS = ("train", "dual", "selection", "dev", "gate")
GATE = 0.15  # carved first, with a salt of its own: no seed moves it
SHARES = (0.5, 0.1, 0.1, 0.15)  # of the whole; train, dual, selection, dev-audit share what the gate leaves


def uniform(salt: str, names: Sequence[str]) -> np.ndarray:
    """`[N]` a number in [0, 1) for every name, fixed by salt and name alone."""
    key = salt.encode()
    digests = (blake2b(str(name).encode(), digest_size=8, key=key).digest() for name in names)
    return np.array([int.from_bytes(digest, "big") >> 11 for digest in digests], np.float64) / 2.0**53


def assign(names: np.ndarray, seed: int) -> np.ndarray:
    """`[n]` int8 codes into `PARTS` of choices placed by these names; equal names share a part."""
    codes, unique = pd.factorize(names)
    gate = uniform("faro gate-audit 1", unique) < GATE
    edges = np.cumsum(SHARES[:-1]) / (1 - GATE)
    part = np.searchsorted(edges, uniform(f"faro split {int(seed)}", unique), side="right")
    return np.where(gate, PARTS.index("gate"), part).astype(np.int8)[codes]


def check_parts(parts: np.ndarray, units: int) -> None:
    """`DataError` if a part is empty."""
    for code, name in enumerate(PARTS):
        if not (parts == code).any():
            raise DataError(f"the {name} part is empty: {units} units are too few to split five ways; add people")


def part_codes(names: str | Sequence[str]) -> list[int]:
    """Codes of these parts; `UsageError` naming the known ones."""
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        if name not in PARTS:
            raise UsageError(f"no part {name!r}; parts: {', '.join(PARTS)}")
    return [PARTS.index(name) for name in names]
