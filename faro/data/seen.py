"""The units that training saw, as salted hashes in a file: whoever audits a model compares, and learns no name.

faro-units/1 SALT
one line per unit, sorted: sha256 of the JSON list [SALT, unit], in hex
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from faro.files import write_text


def write_units(path: str | Path, units: Iterable[str], salt: str) -> None:
    """Write the digest file of these units. The salt hides names only from those who cannot guess them."""
    hashes = {
        hashlib.sha256(json.dumps([salt, str(unit)], separators=(",", ":")).encode()).hexdigest() for unit in units
    }
    write_text(path, "\n".join([f"faro-units/1 {salt}", *sorted(hashes)]) + "\n")
