"""Words found in texts: whole ones, in the cases that people write, the longest first.

A word of a list is found as it is written, with a capital, with a capital in each of its parts, and in capitals; so
"she" finds She and SHE, and "Will", a name, finds no will. It may have several parts, "young woman". What comes before
and after it is no letter and no digit, so she is found in she's and in she-wolf and not in sheep. A typewriter's
apostrophe finds a typesetter's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

LETTER = r"(?:[^\W_]|[\u0300-\u036f])"  # or a digit, or an accent that stands apart
WORD = re.compile(f"{LETTER}+")
FEW = 16  # beginnings that are quicker looked for than all words are looked up
NEXT = re.compile(r"\s+((?:[^\W_]|[\u0300-\u036f'\u2019-])+)")


def shapes(word: str) -> tuple[str, ...]:
    """The ways in which a word is written, in one order for all words: so the shape of one is that of its counterpart.

    word: of a list, one or several
    """
    capital, parts = word[:1].upper() + word[1:], re.sub(r"(?<!\S)\S", lambda first: first[0].upper(), word)
    plain = (word, capital, parts, word.upper())
    return (*plain, *(shape.replace("'", "\u2019") for shape in plain))


class Finder:
    """Finds words in texts.

    words: as they are to stand there, their `shapes`

    `ValueError` for one that does not begin with a letter or a digit.
    """

    def __init__(self, words: Iterable[str]):
        self._by_start: dict[str, list[str]] = {}
        for word in sorted({*words}, key=len, reverse=True):
            first = WORD.match(word)
            if first is None:
                raise ValueError(f"a word that begins with a letter or a digit, got {word!r}")
            self._by_start.setdefault(first[0], []).append(word)
        few = "|".join(map(re.escape, self._by_start))
        self._starts = WORD if len(self._by_start) > FEW else re.compile(f"(?<!{LETTER})(?:{few})(?!{LETTER})")

    def __call__(self, text: str) -> Iterator[tuple[int, str]]:
        """(where a word stands, the word), from left to right; none lies over another.

        text: to look through
        """
        end = 0
        for start in self._starts.finditer(text):
            if start.start() < end:
                continue
            for word in self._by_start.get(start[0], ()):
                stop = start.start() + len(word)
                if text.startswith(word, start.start()) and not (WORD.match(word[-1]) and WORD.match(text, stop)):
                    yield start.start(), word
                    end = stop
                    break


def following(text: str, end: int) -> str:
    """The word behind this place, in lower case; "" where a mark of punctuation or nothing is.

    text: that is read
    end: of what stands before it
    """
    after = NEXT.match(text, end)
    return after[1].lower() if after else ""
