"""The leak check: no audited unit may be among those that training saw, compared by salted hashes.

    faro-units/1 SALT
    one line per unit: sha256 of the canonical JSON of [SALT, unit]; and per value of a shared column, of
    [SALT, column, value]

Whoever trains a model writes this file (faro does, beside every model); what he leaves out no check can see. A unit is
looked for by its name and by its plain name, so that 7, 7.0 and " 7" are one person.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError, NotIndependentError
from ..units import plain, unseen
from .committed_order import key

if TYPE_CHECKING:
    from .audit import Audit

HEX = re.compile("[0-9a-f]{64}")


def check_spellings(units: Iterable[str], where: str) -> None:
    """`NotIndependentError` if a unit stands under two names: a person counts once. `DataError` for a name with
    characters that nobody sees."""
    first: dict[str, str] = {}
    for name in units:
        if mark := unseen(plain(name)):
            raise DataError(f"{where}: unit {ascii(name)[:60]} holds {mark}, which nobody sees; write the unit without")
        if (other := first.setdefault(plain(name), name)) != name:
            raise NotIndependentError(
                f"{where}: units {other[:40]!r} and {name[:40]!r} are one name in two spellings; a unit has one"
            )


def sharing_content(columns: Mapping[str, list[str]]) -> int:
    """How many units show content that another unit shows as well; 0 without a column `content`.

    Equal content need not be one person (two may fill in a form alike), so it is counted, and refused only if the
    policy says `equal_content = "refuse"`.
    """
    owners: dict[str, set[str]] = {}
    for unit, content in zip(columns.get("unit", []), columns.get("content", []), strict=False):
        if content:
            owners.setdefault(content, set()).add(unit)
    return len({unit for units in owners.values() if len(units) > 1 for unit in units})


def check_units(path: str | Path, audit: Audit) -> tuple[str, dict[str, int]]:
    """sha256 of the file, where it holds no unit of the audit, else `NotIndependentError` with their number; and shared
    column -> how many of its values training saw."""
    try:
        data = Path(path).read_bytes()
        lines = data.decode("utf-8-sig").replace("\r\n", "\n").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: units of training cannot be read: {error}") from None
    head, space, salt = lines[0].partition(" ")
    if head + space != "faro-units/1 " or not all(map(HEX.fullmatch, lines[1:])):
        raise DataError(f"{path}: expected a first line 'faro-units/1 SALT' and a sha256 on every other line")
    listed = set(lines[1:])
    if not listed:
        raise DataError(f"{path}: names no unit; a model that saw nobody was not trained")
    leaked = sum(not listed.isdisjoint(key(salt, name) for name in {unit, plain(unit)}) for unit in set(audit.unit))
    if leaked:
        raise NotIndependentError(f"{leaked} audited units were seen in training; an audit needs people it never saw")
    trained = {
        name: sum(key(salt, name, value) in listed for value in set(values)) for name, values in audit.shared.items()
    }
    return hashlib.sha256(data).hexdigest(), trained
