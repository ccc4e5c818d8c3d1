"""Texts as tokens: the tokenizer of an encoder's folder, truncation counted and never silent."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from faro.errors import DataError, UsageError

Text: TypeAlias = str | tuple[str, str]  # one text, or two that are read together
NEEDED = "reading text needs the package tokenizers: pip install 'faro-fairness[text]' (in a clone: make text)"


@dataclasses.dataclass(frozen=True)
class Tokens:
    """The tokens of one text.

    ids: `[T]` of the vocabulary, special ones among them; types: `[T]` which of two texts each is of; full: how many
    there would be without a limit; own: how many of the text itself, the second of two, are left, special ones not
    counted
    """

    ids: np.ndarray
    types: np.ndarray
    full: int
    own: int

    @property
    def truncated(self) -> bool:
        """Whether the limit cut something off."""
        return len(self.ids) < self.full


class Tokenizer:
    """What a tokenizer.json says, without the padding and truncation that it may ask for.

    path: of the file
    vocabulary: number of tokens that the encoder knows

    `UsageError` where the package `tokenizers` is absent; `DataError` for a file that is no tokenizer, or one of more
    tokens than the encoder knows.
    """

    def __init__(self, path: Path, vocabulary: int):
        try:
            import tokenizers
        except ImportError as error:
            raise UsageError(NEEDED) from error
        try:
            self._own = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the package raises `Exception` itself
            raise DataError(f"{path}: not a tokenizer: {' '.join(str(error).split())}") from error
        self._own.no_padding()  # a file may pad every text to 128 tokens, and cut it there
        self._own.no_truncation()
        top = max(self._own.get_vocab(True).values(), default=-1)
        if top >= vocabulary:
            raise DataError(f"{path}: its last token is {top}, and the encoder knows {vocabulary}: not its tokenizer")
        self.special = self._own.num_special_tokens_to_add(False), self._own.num_special_tokens_to_add(True)

    def __call__(self, texts: Sequence[Text], limit: int) -> list[Tokens]:
        """The tokens of every text, `limit` at most. Of a text the end is cut off; of two that are read together the
        beginning of the first, and the end of the second where that alone is too long.

        texts: in Unicode
        limit: special tokens counted

        `UsageError` for a limit that leaves no room beside the special tokens.
        """
        if limit <= self.special[any(isinstance(text, tuple) for text in texts)]:
            raise UsageError(f"a limit of {limit} tokens leaves none for the text")
        encodings = self._own.encode_batch(list(texts))
        last = (int(isinstance(text, tuple)) for text in texts)
        return [_cut(encoding, limit, own) for encoding, own in zip(encodings, last, strict=True)]


def _cut(encoding: Any, limit: int, last: int) -> Tokens:
    """`last`: which of the texts is the text itself; before it another one may be read."""
    which = np.array([-1 if one is None else one for one in encoding.sequence_ids], np.int8)
    ids, types = np.array(encoding.ids, np.int32), np.array(encoding.type_ids, np.int32)
    own, before = np.flatnonzero(which == last), np.flatnonzero((which >= 0) & (which != last))
    room = limit - int((which < 0).sum())
    own = own[:room]
    before = before[len(before) - min(len(before), room - len(own)) :]
    kept = np.sort(np.concatenate([np.flatnonzero(which < 0), own, before]))
    return Tokens(ids[kept], types[kept], len(ids), len(own))
