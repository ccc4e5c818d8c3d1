"""One canonical form of a cell, by the type of its column, whatever container and writer it came from.

text      Unicode NFC, white space cut at the ends; never read as a number: 02139, 2139 and 2139.0 are three texts
number    the nearest double in its shortest decimal: 12, 12.0, "012.00", 1.2e1 are 12; a whole
          number of 64 bits is exact
boolean   True or False: TRUE, true, T, 1, 1.0 are True
date      ISO 8601, in UTC where there is an offset; a time of midnight is left out
cell      as faro read every cell before unit rule 2 (`faro.data.table.text`): text, whole numbers without ".0"

NFC and not NFKC: it unites what two programs encode differently and nothing that people write differently (x² is not
x2). A cell that is no text in a column of text has one text as well: the form of its own type.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from faro.errors import DataError

from .table import cells as old_cells
from .table import quoted as old_quoted
from .table import several
from .table import text as old_text

TYPES = ("text", "number", "boolean", "date", "cell")
EXACT = 2**53  # beyond it a float stands for several whole numbers
WIDEST = 2**64  # whole numbers below it are written in digits
_WORDS = {"true": "1", "false": "0"}
_TRUTH = {"true": "True", "t": "True", "1": "True", "false": "False", "f": "False", "0": "False"}
_DAY, _TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}", r"[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?"
_DATE = re.compile(rf"{_DAY}({_TIME}( ?(Z|UTC|[+-][0-9:]{{2,6}}))?)?")
# how programs write a float, and nobody a name
_FLOAT = re.compile(r"[+-]?[0-9]+([.]0*|[.][0-9]+[eE][+-]?[0-9]+|[eE][+][0-9]+)")
# of pandas' words for what a column of objects holds; anything else, a mixture too, is text
_INFERRED = {"boolean": "boolean", "date": "date", "datetime": "date", "datetime64": "date"}
_INFERRED |= dict.fromkeys(("integer", "floating", "mixed-integer-float", "decimal"), "number")


def canonical(value: object, kind: str) -> str:
    """The form of a cell that is not null in a column of type `kind`; `ValueError` saying what was expected."""
    if kind == "cell":
        return old_text(value)
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, str):
        value = plain_text(value)
        return value if kind == "text" else _FORMS[kind](value)
    return _FORMS[_type_of(value) if kind == "text" else kind](value)


def plain_text(value: str) -> str:
    """NFC, white space cut at the ends; `ValueError` for half a surrogate pair, which no file can hold."""
    if value.isascii():
        return value.strip()
    value = unicodedata.normalize("NFC", value).strip()
    for character in value:
        if unicodedata.category(character) == "Cs":
            raise ValueError(f"text (U+{ord(character):04X} is half a character)")
    return value


def absent(value: object) -> bool:
    """Whether a cell of a table holds nothing: None, NA, or a float that is none."""
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)


def _type_of(value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return "boolean"
    if isinstance(value, int | float | np.number | decimal.Decimal):
        return "number"
    return "date" if isinstance(value, datetime.date | np.datetime64) else "object"


def _number(value: object) -> str:
    try:
        if isinstance(value, str):
            value = _WORDS.get(value.lower(), value)
            near = float("nan" if "_" in value else value)
        else:
            value = float(str(value)) if isinstance(value, np.float16 | np.float32) else value
            value = value.item() if isinstance(value, np.generic) else value
            near = float(value)  # type: ignore[arg-type]
        if not math.isfinite(near):
            raise ValueError
        if abs(near) < EXACT or isinstance(value, float):
            return str(int(near)) if near.is_integer() and abs(near) < WIDEST else repr(near)
        exact = decimal.Decimal(value)  # type: ignore[arg-type]
    except (ValueError, TypeError, OverflowError, decimal.InvalidOperation):
        raise ValueError("a finite number") from None
    return str(int(exact)) if abs(near) < WIDEST and exact == exact.to_integral_value() else repr(near)


def _boolean(value: object) -> str:
    try:
        word = value.lower() if isinstance(value, str) else ""
        return _TRUTH[word if word in _TRUTH else _number(value)]
    except (ValueError, KeyError):
        raise ValueError("1 or 0, true or false") from None


def _date(value: object) -> str:
    try:
        if isinstance(value, str) and not _DATE.fullmatch(value):
            raise ValueError
        if isinstance(value, str | datetime.date | np.datetime64):
            at = pd.Timestamp(value)
            at = at.tz_convert("UTC") if at.tzinfo else at
            written = at.isoformat().replace("+00:00", "Z")
            written = re.sub(r"([.][0-9]*?)0+(?=Z|$)", r"\1", written).replace(".Z", "Z").removesuffix(".")
            return written.removesuffix("T00:00:00")
    except (ValueError, OverflowError):
        pass
    raise ValueError("a date such as 2026-11-28")


_FORMS: dict[str, Callable[..., str]] = {"number": _number, "boolean": _boolean, "date": _date, "object": str}


def infer(columns: Sequence[pd.Series], words: Iterable[str] = ()) -> str:
    """The type that typed containers give these columns, if `words` (levels) are of it as well; otherwise "text"."""
    kinds = {_container(column) for column in columns}
    kind = kinds.pop() if len(kinds) == 1 else "text"
    return kind if all(is_of(word, kind) for word in words) else "text"


def _container(column: pd.Series) -> str:
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = pd.Series(column.cat.categories)
    return _INFERRED.get(pd.api.types.infer_dtype(column, skipna=True), "text")


def is_of(word: str, kind: str) -> bool:
    """Whether a word is a cell of this type."""
    try:
        canonical(word, kind)
    except ValueError:
        return False
    return True


@dataclasses.dataclass(frozen=True)
class Cells:
    """A column, each canonical form once: `codes [R]` index `texts`; `absent`: empty, or listed as missing; `faults`:
    what was expected where a cell is none of its type ("" elsewhere), `texts` then holding it as it stands."""

    codes: np.ndarray
    texts: np.ndarray
    absent: np.ndarray
    faults: np.ndarray

    @property
    def values(self) -> np.ndarray:
        """`[R]` texts."""
        return self.texts[self.codes]

    @property
    def missing(self) -> np.ndarray:
        """`[R]` where there is no value."""
        return self.absent[self.codes]

    @classmethod
    def of(cls, entries: Sequence[tuple[str, bool, str]], codes: np.ndarray) -> Cells:
        """From (text, absent, fault), equal ones united."""
        position: dict[tuple[str, bool, str], int] = {}
        remap = np.array([position.setdefault(entry, len(position)) for entry in entries], np.int64)
        texts, absent, faults = zip(*position, strict=True) if position else ((), (), ())
        return cls(remap[codes], np.array(texts, object), np.array(absent, bool), np.array(faults, object))

    @property
    def entries(self) -> list[tuple[str, bool, str]]:
        return list(zip(self.texts.tolist(), self.absent.tolist(), self.faults.tolist(), strict=True))

    @classmethod
    def dealt(cls, parts: Sequence[Cells]) -> Cells:
        """Several columns of one length dealt into one: row 0 of each, row 1 of each ..."""
        starts = np.cumsum([0, *(len(part.texts) for part in parts[:-1])])
        codes = np.stack([part.codes + start for part, start in zip(parts, starts, strict=True)], 1).ravel()
        return cls.of([entry for part in parts for entry in part.entries], codes)


def read(column: pd.Series, kind: str, missing: Sequence[str] = (), names: bool = False) -> Cells:
    """A column as cells of type `kind`; words of `missing` are compared by that type too: -99.90 is the number -99.9.

    Of `names` (units, choices), what a program wrote as a float must stand for one whole number."""
    if kind == "cell":
        codes, texts = old_cells(column)
        words = {"", *map(old_text, missing)}
        return Cells(codes, texts, np.array([text in words for text in texts], bool), np.full(len(texts), "", object))
    words = {"", *missing, *(canonical(word, kind) for word in missing if is_of(word, kind))}
    codes, uniques = _uniques(column)
    return Cells.of([*(_entry(value, kind, words, names) for value in uniques), ("", True, "")], codes)


def _uniques(column: pd.Series) -> tuple[np.ndarray, Iterable[object]]:
    """(codes `[R]`, -1 for null; distinct values): True, 1 and 1.0 are three values."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy(np.int64), shortest(pd.Series(column.cat.categories))
    column = shortest(column)
    try:
        if column.dtype == object and pd.api.types.infer_dtype(column, skipna=True).startswith("mixed"):
            position: dict[tuple[type, object], int] = {}
            null = pd.isna(column).to_numpy()
            pairs = ((type(value), value) for value in column)
            codes = [
                -1 if gone else position.setdefault(pair, len(position)) for pair, gone in zip(pairs, null, strict=True)
            ]
            return np.array(codes, np.int64), [value for _, value in position]
        codes, uniques = pd.factorize(column)
    except TypeError as error:
        raise DataError(several(column)) from error
    return np.asarray(codes, np.int64), uniques


def _entry(value: object, kind: str, words: set[str], names: bool) -> tuple[str, bool, str]:
    stands = ""
    try:
        if isinstance(value, str):
            stands = plain_text(value)
            if stands in words:
                return stands, True, ""
            form = stands if kind == "text" else _FORMS[kind](stands)
        else:
            form = canonical(value, kind)
    except (ValueError, UnicodeDecodeError) as error:
        expected = "text" if isinstance(error, UnicodeDecodeError) else str(error)
        return stands or ascii(value), False, expected
    if names and form not in words and _rounded(value, kind):
        return form, False, "a name, written in digits or as text and not as a float"
    return form, form in words, ""


def _rounded(value: object, kind: str) -> bool:
    """Whether a name is a number that stands for several whole ones (a float of 2^53 or more, or the text of one; any
    of 2^64 or more), or a text as 1e+05, which another program writes as 100000."""
    if isinstance(value, float | np.floating):
        return bool(abs(float(value)) >= EXACT)
    if not isinstance(value, str):
        return _type_of(value) == "number" and abs(float(value)) >= WIDEST  # type: ignore[arg-type]
    if _FLOAT.fullmatch(value.strip()) and (abs(float(value)) >= EXACT or (kind != "number" and "e" in value.lower())):
        return True
    return kind == "number" and abs(float(canonical(value, kind))) >= WIDEST


def numbers(column: pd.Series, kind: str, missing: Sequence[str] = ()) -> tuple[np.ndarray, np.ndarray]:
    """(`[R]` float64, NaN where a cell is no finite number; `[R]` whether it is missing)."""
    plain = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype)
    if plain and kind != "boolean":
        column = column if kind == "cell" else shortest(column)
        values = column.to_numpy(np.float64, na_value=np.nan)
        words = [float(canonical(word, "number")) for word in missing if is_of(word, "number")]
        return values, np.isnan(values) | np.isin(values, words)
    cells = read(column, kind, missing)
    values = np.array([_double(*entry) for entry in cells.entries], np.float64)
    return values[cells.codes], cells.missing


def _double(text: str, absent: bool, fault: str) -> float:
    try:
        return np.nan if absent or fault or "_" in text else float(_WORDS.get(text.lower(), text))
    except ValueError:
        return np.nan


def shortest(column: pd.Series) -> pd.Series:
    """A column of half or single precision as the doubles that its shortest decimals read as; any other as it is."""
    dtype = getattr(column.dtype, "numpy_dtype", column.dtype)
    if dtype == np.float16:
        values = np.array([float(str(value)) for value in column.to_numpy(np.float16, na_value=np.nan)], np.float64)
    elif dtype == np.float32:
        single = pa.array(column.to_numpy(np.float32, na_value=np.nan))
        values = single.cast(pa.large_string()).cast(pa.float64()).to_numpy(zero_copy_only=False)
    else:
        return column
    return pd.Series(values, column.index, name=column.name)


def quoted(column: pd.Series, kind: str, missing: Sequence[str] = (), name: Callable[[str], str] = str) -> pa.Array:
    """`[R]` the canonical forms of a column as JSON strings; `name` spells them again. Missing cells are all written as
    the first word of `missing`, so that no container tells them apart."""
    if kind == "cell":
        return old_quoted(column)
    gap = next(iter(missing), "")
    gap = canonical(gap, kind) if is_of(gap, kind) else gap
    if kind == "number" and name is str:
        values, absent = numbers(column, kind, missing)
        if (absent | (np.abs(values) < EXACT)).all():  # then doubles are all there is to know, and arrow is quick
            quoted_numbers = old_quoted(pd.Series(values), lambda value: _number(value) if math.isfinite(value) else "")
            return pc.if_else(pa.array(absent), pa.scalar(json.dumps(gap), pa.large_string()), quoted_numbers)
    cells = read(column, kind, missing)
    texts = [json.dumps(gap if absent else name(text)) for text, absent, _ in cells.entries]
    return pa.array(texts, pa.large_string()).take(pa.array(cells.codes))
