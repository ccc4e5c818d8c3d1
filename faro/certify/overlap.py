"""The leak check: no audited unit may be among those that training saw, compared by salted hashes.

    faro-units/1 SALT
    one line per unit: sha256 of the canonical JSON of [SALT, unit]

Whoever trains a model writes this file (faro does, beside every model); what he leaves out no check can see.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from ..errors import DataError, NotIndependentError
from .audit import Audit
from .order import key

HEX = re.compile("[0-9a-f]{64}")


def check_units(path: str | Path, audit: Audit) -> str:
    """sha256 of the file, where it holds no unit of the audit; else `NotIndependentError` with their number."""
    try:
        data = Path(path).read_bytes()
        lines = data.decode("utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: units of training cannot be read: {error}") from None
    head, _, salt = lines[0].partition(" ")
    if head != "faro-units/1" or not all(map(HEX.fullmatch, lines[1:])):
        raise DataError(f"{path}: expected a first line 'faro-units/1 SALT' and a sha256 on every other line")
    seen = set(lines[1:])
    leaked = sum(key(salt, unit) in seen for unit in set(audit.unit))
    if leaked:
        raise NotIndependentError(f"{leaked} audited units were seen in training; an audit needs people it never saw")
    return hashlib.sha256(data).hexdigest()
