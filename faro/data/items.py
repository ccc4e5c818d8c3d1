"""What an item is: by content, whatever ids rows have and in whatever order alternatives stand.

    contents   two alternatives are one where all is equal that the schema names of them
    question   two choices are of one item where they have the same alternatives, in any order, and were asked the same:
               the second cluster (`Schema.crossed`), and features of the context that vary within some person
    digests    what a choice asks as a text, in whatever table it stands
    touched    all that a choice has in common with others: its question, each alternative, what it was asked behind
    of_people  which features of the context vary within nobody

A feature of the context that varies within nobody is the person's, and no part of an item.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
import pandas as pd

from .arrays import Features, Parsed
from .mapped import Rows

SOME = 2**12  # rows of an array that are compared at once


def codes(values: Any) -> np.ndarray:
    """Whole numbers that are equal where values are, in the order of the values, so in any order of rows."""
    values = np.asarray(values)
    found = np.asarray(pd.factorize(values.ravel(), sort=True, use_na_sentinel=False)[0])
    return found.reshape(values.shape)


def combined(columns: list[np.ndarray]) -> np.ndarray:
    """Codes that are equal where every column is."""
    found = np.zeros(columns[0].shape, np.int64)
    for column in columns:
        own = codes(column)
        found = codes(found * (int(own.max(initial=0)) + 1) + own)
    return found


def contents(parsed: Parsed, shared: bool = True) -> np.ndarray:
    """`[n, K]` codes of alternatives, equal where their content is; -1 = none, or the outside option.

    parsed: the choices
    shared: whether columns by which rows belong together are part of it
    """
    told = [*feature_codes(parsed.items, parsed.inside.shape), *(map(codes, parsed.shared.values()) if shared else ())]
    return np.where(parsed.inside, combined(told), -1)


def question(parsed: Parsed, alternative: np.ndarray, person: np.ndarray, crossed: np.ndarray | None) -> np.ndarray:
    """`[n]` codes of whole choices.

    parsed: the choices
    alternative: `[n, K]` codes of alternatives
    person: `[n]` codes of people
    crossed: `[n]` codes of the second cluster, if there is one
    """
    told = [np.sort(alternative, 1)[:, k] for k in range(alternative.shape[1])]
    told += [column for column in feature_codes(parsed.context, (len(person),))[1:] if varies(column, person)]
    return combined([*told, *([] if crossed is None else [crossed])])


def digests(parsed: Parsed, person: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`[n]` a digest of what every choice asks: its alternatives, in any order, and that of its context which is not
    the same in all choices of the person; and one of that and of how much of each alternative was chosen, the same
    where nobody knows. Texts count as they are written, and not as an encoder reads them.

    parsed: the choices
    person: `[n]` codes of people
    """
    inside, context = parsed.inside, _row_digests(parsed.context, person.shape, person)
    alternatives = _row_digests(parsed.items, inside.shape)

    def whole(told: np.ndarray) -> np.ndarray:
        rows = zip(told, inside, context, strict=True)
        asked = (b"".join([*sorted(own[there]), of_context]) for own, there, of_context in rows)
        return np.array([hashlib.blake2b(one, digest_size=16).hexdigest() for one in asked], object)

    asked = whole(alternatives)
    if parsed.chosen is None:
        return asked, asked
    return asked, whole(alternatives + _shaped(_cells(parsed.chosen, 2), inside.shape))


def _row_digests(features: Features, shape: tuple[int, ...], person: np.ndarray | None = None) -> np.ndarray:
    """Of every row a hash of its features, by name.

    features: of one side
    shape: of its rows
    person: codes of people, `[n]`: what varies within none of a person's rows is left out
    """
    columns: dict[str, Any] = {name: category.values() for name, category in features.categorical.items()}
    columns |= features.numeric | features.vectors | features.raw
    found = [hashlib.blake2b(digest_size=16) for _ in range(math.prod(shape))]
    for name in sorted(columns):
        cells, begin = _cells(columns[name], len(shape)), f"{name}\x1f".encode()
        rows = np.arange(len(found))
        if person is not None:
            rows = rows[within(codes(np.array(cells, object)), person)[person]]
        for row in rows:
            found[row].update(begin + len(cells[row]).to_bytes(8, "little") + cells[row])
    return _shaped([told.digest() for told in found], shape)


def _shaped(cells: list[bytes], shape: tuple[int, ...]) -> np.ndarray:
    """Bytes as objects, in rows of this shape; numpy's own kind of bytes has no zeros at the end."""
    return np.array(cells, object).reshape(shape)


def _cells(values: Any, axes: int) -> list[bytes]:
    """What every row says of a feature, as bytes.

    values: of the feature
    axes: of rows; what is behind them is a row's
    """
    if isinstance(values, Rows):
        return values.contents().ravel().tolist()
    values = np.asarray(values)
    if values.dtype.kind not in "fiub":
        return [str(value).encode("utf-8", "surrogatepass") for value in values.ravel()]
    rows = values.reshape(*values.shape[:axes], -1).astype("<f8") + 0.0  # 0 has one sign
    return [row.tobytes() for row in rows.reshape(-1, rows.shape[-1])]


def touched(parsed: Parsed, person: np.ndarray, crossed: np.ndarray | None) -> list[np.ndarray]:
    """Kinds of things that a choice has in common with others of its person, codes `[n, C]` of each, -1 = none: the
    question; its alternatives, by their features alone, unless they stand in every choice of the table (then they are
    kinds, as of brands); the second cluster; vectors and arrays of the context, and shared columns, that vary within
    some person: prompts and items by name."""
    alternative = contents(parsed, shared=False)
    everywhere = _everywhere(alternative)
    kinds = [question(parsed, alternative, person, crossed)[:, None], np.where(everywhere, -1, alternative)]
    kinds += [] if crossed is None else [crossed[:, None]]
    wide = Features(parsed.context.live, {}, {}, parsed.context.vectors, raw=parsed.context.raw)
    prompts = [column for column in feature_codes(wide, (len(person),))[1:] if varies(column, person)]
    kinds += [combined(prompts)[:, None]] if prompts else []
    named = [np.where(parsed.inside, codes(texts), -1) for texts in parsed.shared.values()]
    return [*kinds, *(column for column in named if varies(column, person))]


def _everywhere(alternative: np.ndarray) -> np.ndarray:
    """`[n, K]` whether an alternative stands in every choice, where there are several."""
    n, there = len(alternative), alternative >= 0
    rows = np.broadcast_to(np.arange(n)[:, None], alternative.shape)[there]
    pairs = np.unique(alternative[there] * n + rows) // n
    often = np.bincount(pairs, minlength=int(alternative.max(initial=0)) + 1) == n
    return often[alternative] & there & (n > 1)


def varies(column: np.ndarray, person: np.ndarray) -> bool:
    """Whether a column differs within some person.

    column: codes `[n]` or `[n, C]`, -1 = none
    person: `[n]` codes of people
    """
    return bool(within(column, person).any())


def within(column: np.ndarray, person: np.ndarray) -> np.ndarray:
    """`[U]` whether a column differs within each person.

    column: codes `[n]` or `[n, C]`, -1 = none
    person: `[n]` codes of people
    """
    column = column.reshape(len(person), -1)
    least, most = np.where(column < 0, np.iinfo(np.int64).max, column).min(1), column.max(1)
    size = int(person.max(initial=-1)) + 1
    low, high = np.full(size, np.iinfo(np.int64).max), np.full(size, -1)
    np.minimum.at(low, person, least)
    np.maximum.at(high, person, most)
    return low < high


def of_people(features: Features, person: np.ndarray) -> tuple[str, ...]:
    """Names of the features that vary within no person.

    features: of the context
    person: `[n]` codes of people
    """
    _, first, whose = np.unique(person, return_index=True, return_inverse=True)
    first = first[whose]

    def same(values: Any) -> bool:
        if not isinstance(values, Rows):
            return _equal(np.asarray(values), np.asarray(values)[first])
        apart = np.flatnonzero(values.index != values.index[first])
        some = (apart[at : at + SOME] for at in range(0, len(apart), SOME))  # that one differs shows soon
        return all((values[rows].contents() == values[first[rows]].contents()).all() for rows in some)

    columns: dict[str, Any] = {name: category.codes for name, category in features.categorical.items()}
    columns |= features.numeric | features.vectors | features.raw
    return tuple(name for name in features.names if same(columns[name]))


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether all is equal, what is missing too."""
    return bool(((one == other) | ((one != one) & (other != other))).all())


def feature_codes(features: Features, shape: tuple[int, ...]) -> list[np.ndarray]:
    """Codes `[...]` of every feature, in the order of their names, equal where its values are; before them a column
    that is equal everywhere.

    features: of one side
    shape: of that column
    """
    found: list[np.ndarray] = [np.zeros(shape, np.int64)]
    found += [codes(values) for values in features.numeric.values()]
    found += [codes(category.values()) for category in features.categorical.values()]
    for values in (*features.vectors.values(), *features.raw.values()):
        if isinstance(values, Rows):
            found.append(codes(values.contents()))
        else:
            flat = np.ascontiguousarray(values.reshape(-1, values.shape[-1]))
            found.append(codes(np.array([row.tobytes() for row in flat], object)).reshape(shape))
    return found
