"""Entries of a ledger, and lists of the units that training saw."""

from __future__ import annotations

import hashlib

from .canonical import C, H


def entry(kind, previous, **fields):
    """An entry of a ledger, sealed, behind the one with the digest `previous`."""
    found = {"kind": kind, "previous": previous, **fields}
    return found | {"sha256": H(found)}


def units(salt, names):
    """The text of a list of units that training has seen."""
    return "".join(
        [f"faro-units/1 {salt}\n", *(hashlib.sha256(C([salt, n]).encode()).hexdigest() + "\n" for n in names)]
    )
