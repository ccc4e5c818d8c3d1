"""The units that training saw, as salted hashes in a file: whoever audits a model compares, and learns no name.

faro-units/1 SALT
one line per unit, sorted: sha256 of the JSON list [SALT, unit], in hex

A unit whose plain name differs has a line for that as well, so that 7.0 in training is found as 7 in an audit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from faro.files import write_text
from faro.spelling import plain


def write_units(path: str | Path, units: Iterable[str], salt: str) -> None:
    """Write the digest file of these units. The salt hides names only from those who cannot guess them."""
    write_text(path, units_text(units, salt))


def units_text(units: Iterable[str], salt: str) -> str:
    """What `write_units` writes."""
    names = {name for unit in units for name in (str(unit), plain(str(unit)))}
    hashes = {hashlib.sha256(json.dumps([salt, name], separators=(",", ":")).encode()).hexdigest() for name in names}
    return "\n".join([f"faro-units/1 {salt}", *sorted(hashes)]) + "\n"
