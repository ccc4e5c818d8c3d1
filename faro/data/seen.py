"""The units that training saw, as salted hashes in a file: whoever audits a model compares, and learns no name.

faro-units/1 SALT
one line per unit, sorted: sha256 of the JSON list [SALT, unit], in hex

A unit whose plain name differs has a line for that as well, so that 7.0 in training is found as 7 in an audit. A value
of a shared column (a prompt, an item) has a line of [SALT, column, value], so that an audit can count those it has in
common with training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from json.encoder import encode_basestring_ascii
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from faro.files import write_text
from faro.units import plain

if TYPE_CHECKING:
    from .dataset import Dataset
    from .sharded import Sharded

Shared = Mapping[str, Iterable[str]]


class Seen(NamedTuple):
    """What training saw: `units` `[U]`, and shared column -> the different values in it."""

    units: np.ndarray
    shared: Mapping[str, np.ndarray] = MappingProxyType({})

    @classmethod
    def of(cls, data: Dataset | Sharded, rows: np.ndarray) -> Seen:
        """In these choices of a data set."""
        units: list[np.ndarray] = []
        shared: dict[str, list[np.ndarray]] = {}
        for piece, local in data.pieces(rows):
            inside = piece.parsed.inside[local]
            units.append(np.unique(piece.units[local]))
            for name, texts in piece.shared.items():
                shared.setdefault(name, []).append(np.unique(texts[local][inside].astype(str)))
        together = {name: np.unique(np.concatenate(values)) for name, values in shared.items()}
        return cls(np.unique(np.concatenate(units)), together)


def write_units(path: str | Path, units: Iterable[str], salt: str, shared: Shared = MappingProxyType({})) -> None:
    """Write the digest file of these units and shared values. The salt hides names only from those who cannot guess."""
    write_text(path, units_text(units, salt, shared))


def units_text(units: Iterable[str], salt: str, shared: Shared = MappingProxyType({})) -> str:
    """What `write_units` writes."""
    names: set[tuple[str, ...]] = {(name,) for unit in units for name in (str(unit), plain(str(unit)))}
    names |= {(column, str(value)) for column, values in shared.items() for value in values}
    listed = (",".join(map(encode_basestring_ascii, (salt, *name))) for name in names)  # as JSON has them
    hashes = {hashlib.sha256(f"[{text}]".encode()).hexdigest() for text in listed}
    return "\n".join([f"faro-units/1 {salt}", *sorted(hashes)]) + "\n"
