"""Who is audited, wherever their rows lie: a look is recognised by its people, not by its file.

    faro-audit/1 SALT
    one line per audited unit, sorted: sha256 of the canonical JSON of [SALT, plain name]

`faro ledger init` writes this list beside the ledger and, under the name faro-audit-XXXX.txt, into the folders of the
table, of the policy and of the model. Whoever then looks at one of these people in any of these folders, with a row
less, in another order, with another ledger or with none, is sent to the ledger that was made for them. What someone
copies to a folder of his own no tool on his own machine can see.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import NotIndependentError
from ..files import sha256_of, write_text
from ..units import plain
from .committed_order import key

HEAD = "faro-audit/1 "
PATTERN = "faro-audit-*.txt"


def list_people(path: Path, units: Sequence[str]) -> str:
    """Write the list of these units; its sha256."""
    salt = secrets.token_hex(16)
    hashes = sorted({key(salt, plain(unit)) for unit in units})
    write_text(path, "\n".join([HEAD + salt, *hashes]) + "\n")
    return sha256_of(path)


def mark(listed: Path, folders: Iterable[Path]) -> None:
    """Leave a copy of the list in each of these folders."""
    text = listed.read_text(encoding="ascii")
    for folder in {folder.resolve() for folder in folders if folder.is_dir()}:
        write_text(folder / _name_of(text), text)


def _name_of(text: str) -> str:
    """The name of a copy of this list, so that a changed one is known."""
    return f"faro-audit-{hashlib.sha256(text.encode()).hexdigest()[:16]}.txt"


def check(units: Sequence[str], folders: Iterable[Path], allowed: str | None = None) -> None:
    """`NotIndependentError` if some of these units are listed in one of the folders, but in the list with the sha256
    `allowed`, that of the ledger through which the caller looks."""
    people = sorted({plain(unit) for unit in units})
    for marker in sorted({path for folder in folders for path in folder.resolve().glob(PATTERN)}):
        try:
            text = marker.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            raise NotIndependentError(f"{marker}: cannot be read; it lists the people of an audit set") from None
        if hashlib.sha256(text.encode()).hexdigest() == allowed:
            continue
        head, _, hashes = text.partition("\n")
        if not head.startswith(HEAD) or marker.name != _name_of(text):  # a line less would forget a person
            raise NotIndependentError(f"{marker}: was changed; it lists the people of an audit set")
        listed, salt = set(hashes.splitlines()), head.removeprefix(HEAD)
        if audited := sum(key(salt, name) in listed for name in people):
            raise NotIndependentError(
                f"{audited} of these {len(people)} units are in the audit set that {marker} lists: ask its ledger, by "
                "`faro gate` or `faro certify --disclose`; numbers are for the dev part"
            )
