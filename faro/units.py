"""A person has one name however a file spells it: 7, 007, 7.0 and " 7" are the unit "7". Case is kept.

The rule by which units are spelled has a number, which models, runs and scored tables carry:

1   a unit is its cell, without white space at its ends and ".0" (faro before the rule had a number)
2   a unit is its `plain` name; characters that nobody sees (`unseen`) are refused where a table is read

NFKC and the cutting of white space belong to `plain`, so a no-break space is a space in every place. What `plain` lets
through and no screen shows (zero width, soft hyphen, byte order mark, bidirectional and control marks, fillers) would
make two people of one, so it is refused and not cut: the checker cuts nothing either.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from hashlib import blake2b

NO_NOUNS = ("id", "ids", "uid", "key", "code", "no", "nr", "number", "name", "hash")
PAIR = "pair of people"  # the column of a scored table that names both, where somebody else takes a person's place
PAIR_SALT = b"faro pair 1"
RULE = 2
RULES = (1, 2)
WHOLE = re.compile(r"[+]?0*([0-9]+)(\.0*)?")
# in no category of their own: joiners, fillers and variation selectors that are shown as nothing
BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def plain(name: str) -> str:
    """The name in Unicode NFKC, white space cut and single; a whole number without sign, leading zeros and ".0"."""
    name = " ".join((name if name.isascii() else unicodedata.normalize("NFKC", name)).split())
    number = WHOLE.fullmatch(name)
    return number[1] if number else name


def unseen(name: str) -> str:
    """The first character of a plain name that nobody sees, as "U+200B (ZERO WIDTH SPACE)"; "" if there is none."""
    for character in () if name.isascii() and name.isprintable() else name:
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") or BLANK.match(character):
            return f"U+{ord(character):04X} ({unicodedata.name(character, 'a control character')})"
    return ""


def two_by_two(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Units in pairs that share nobody: in the order of a hash of their names, the last of an odd number alone. Nobody
    chooses who is paired with whom: whoever could, could choose those that are alike."""
    ordered = sorted(set(names), key=lambda name: (_lot(name), name))
    return [tuple(ordered[at : at + 2]) for at in range(0, len(ordered), 2)]


def pair_name(both: Iterable[str]) -> str:
    """What a pair is called, "A & B", and who is alone, "A"; an "&" of a name is doubled, so that no two have one."""
    return " & ".join(name.replace("&", "&&") for name in sorted(both))


def _lot(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8, key=PAIR_SALT).digest(), "big") >> 11


def called(unit: str) -> str:
    """What many units are called, by the name of their column or by words that begin with one: "rater_id" are raters,
    "person (ID)" are people, "row" are rows; "units" where the name is no noun.

    unit: as a schema or a data set's description has it
    """
    first = (unit.split() or [""])[0]
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", first)]
    noun = next((word for word in reversed(words) if word not in NO_NOUNS), "") if first.isascii() else ""
    if noun in ("person", "people"):
        return "people"
    if len(noun) < 3:
        return "units"
    if noun.endswith("s"):
        return noun
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("ch", "sh", "x", "z")) else f"{noun}s"
