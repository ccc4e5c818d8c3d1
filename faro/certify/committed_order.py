"""Orders and choices of rows that nobody knows who makes scores: by sha256 of names and a key.

    key = sha256 of [secret, digest of the scored rows]

Betting bounds depend on the order of units, thinning on which row of a unit is kept. Whoever could pick either, or knew
it when making scores, could pick the result: so the secret is drawn with the ledger, and other scores meet another
order. Scores must not depend on names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

quote = json.encoder.encode_basestring_ascii  # what json.dumps does to a text, five times as fast


def key(nonce: str, *names: str) -> str:
    """Hex sha256 of the canonical JSON of [nonce, *names]."""
    return hashlib.sha256(f"[{','.join(map(quote, (nonce, *names)))}]".encode()).hexdigest()


def order_key(secret: str, rows_sha256: str) -> str:
    """What fixes order and thinning of one scored table; `secret` is the ledger's seed, or "" without a ledger."""
    return key(secret, rows_sha256)


def committed(units: Sequence[str], nonce: str) -> NDArray[np.intp]:
    """Positions of the units in the committed order, `[n]`."""
    return np.asarray(sorted(range(len(units)), key=lambda i: key(nonce, units[i])), np.intp)


def thinned(names: Sequence[tuple[str, ...]], nonce: str, groups: Sequence[Hashable] | None = None) -> NDArray[np.intp]:
    """Positions of the rows that are kept, one per unit, ascending: the row whose key is smallest.

    `names` are (unit, choice, alternative); `groups` stands in for the unit where it is kept apart in several blocks.
    The rates of the kept rows weigh every unit alike, not every row.
    """
    best: dict[Hashable, tuple[str, int]] = {}
    for i, name in enumerate(names):
        unit = name[0] if groups is None else groups[i]
        mine = (key(nonce, *name), i)
        best[unit] = min(best.get(unit, mine), mine)
    return np.sort(np.asarray([i for _, i in best.values()], np.intp))
