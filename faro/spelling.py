"""A person has one name however a file spells it: 7, 007, 7.0 and " 7" are the unit "7". Case is kept."""

from __future__ import annotations

import re
import unicodedata

WHOLE = re.compile(r"[+]?0*([0-9]+)(\.0*)?")


def plain(name: str) -> str:
    """The name in Unicode NFKC, white space cut and single; a whole number without sign, leading zeros and ".0"."""
    name = " ".join((name if name.isascii() else unicodedata.normalize("NFKC", name)).split())
    number = WHOLE.fullmatch(name)
    return number[1] if number else name
