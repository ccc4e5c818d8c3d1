"""What happens to files on their way: cells, columns, JSON, TOML and bytes, changed as programs and people change them.

Every mutation takes a `random.Random` and what it changes, and returns the changed thing; the same seed, the same file.
"""

from __future__ import annotations

import copy
import csv
import datetime
import decimal
import gzip
import io
import json
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

CONTAINERS = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet")
SHALLOW, DEEP = "(lists in lists)", "(many lists in lists)"
SURROGATE = "a\ud800b"
NUMBERS: tuple[Any, ...] = (
    1e300, -1e300, 1e308, 1e-320, -0.0, float("nan"), float("inf"), float("-inf"), 0.1 + 0.2, 2**53 + 1, 2**63, 2**64,
    -1, 0, 1, 2, 10**40, "1e300", "1e400", "-0", "1e-320", "NaN", "nan", "inf", "-Infinity", "1_000", "٣", "1,5",
    "0x10",
    "1.0.0", "1e", "+5", " 7", "007", "7.0", "\uff11\uff12", "1/2", "½", "-99.90", "-99.9", "9" * 20, "1" * 70,
    "1e-400", "-1e308", ".5", "5.", "True", "\u22123",
)  # fmt: skip
TEXTS: tuple[Any, ...] = (
    "", " ", "\t", "\n", "\r\n", "a\nb",
    '"', "'", ",", ";", "\\", SURROGATE, "\udfff", "\x00", "a\x00b", "\ufeff", "\ufeffa",
    "\u200b", "a\u200bb", "\u202eabc", "\u200f", "\u2028", "\x85", "\x1c", "é", "e\u0301", "ﬁ", "ⅷ", "日本", "😀",
    "=cmd|' /C calc'!A0",
    "unit", "reward", "decision", "reward:sex=F", "reward:x=y", "part", "gate", "none", "None", "null", "NA", "N/A",
    "nan",
    "true", "F", "f", "<b>x</b>", "{}", "[]", "[1, 2]", '{"a": 1}', "../x", "a" * 70_000, "{0}", "%s", "a=b",
    "(missing)",
    "2024-01-01", "2024-13-45", "24:00", "\x7f", "\x1b[31m", "::error::x",
)  # fmt: skip
TYPED: tuple[Any, ...] = (
    None, True, False, [], [1.0, 2.0], ["a"], {}, {"a": 1}, {"a": {"b": [1]}}, [[1], [2]], b"\xff\xfe", b"abc",
    datetime.date(2024, 1, 2), datetime.datetime(2024, 1, 2, 3, 4, 5, 6), datetime.datetime(1, 1, 1),
    decimal.Decimal("1.10"), decimal.Decimal("1E+30"), datetime.time(1, 2), datetime.timedelta(1),
)  # fmt: skip
ODD = (*NUMBERS, *TEXTS, *TYPED)
PLAIN: tuple[Any, ...] = (
    0,
    1,
    -1,
    2.5,
    -0.0,
    1e300,
    1e-320,
    1e-9,
    1e9,
    "0.5",
    "-1",
    "1e3",
    "0.1",
    "1/3",
)  # numbers to all
WORDS: tuple[Any, ...] = (
    "none", "all", "column", "row", "unit", "argmax", "expected", "content", "level", "drop", "error", "text", "number",
    "boolean", "date", "long", "wide", "accept", "exclude", "CERTIFIED", "0", "1", "-1", "0.5", "1e-3", "0.04", "3/4",
    "a", "b", True, False, 0, 1, 2, 3, "exact2", "unit-ratio", "dkw", "clopper-pearson", "block-pair", "rate_cap",
    "demographic_parity", "threshold_parity", "tv", "cvar", "f" * 64, [], ["a", "b"], {},
)  # fmt: skip


class Table(NamedTuple):
    """Columns as (name, cells); names may stand twice. `kinds` forces what Parquet makes of a column."""

    columns: tuple[tuple[str, list[Any]], ...]
    kinds: tuple[tuple[int, str], ...] = ()

    @classmethod
    def of(cls, columns: dict[str, list[Any]]) -> Table:
        return cls(tuple((name, list(cells)) for name, cells in columns.items()))

    @property
    def rows(self) -> int:
        return max((len(cells) for _, cells in self.columns), default=0)


# ---------------------------------------------------------------- tables
def _pick(rng: random.Random, table: Table) -> int:
    return rng.randrange(len(table.columns)) if table.columns else -1


def _with(table: Table, place: int, name: str | None = None, cells: list[Any] | None = None) -> Table:
    columns = list(table.columns)
    old, had = columns[place]
    columns[place] = (old if name is None else name, had if cells is None else cells)
    return table._replace(columns=tuple(columns))


def one_cell(rng: random.Random, table: Table) -> Table:
    place = _pick(rng, table)
    cells = list(table.columns[place][1])
    if cells:
        cells[rng.randrange(len(cells))] = rng.choice(ODD)
    return _with(table, place, cells=cells)


def plausible_cells(rng: random.Random, table: Table) -> Table:
    """Some cells of one column are numbers that can be read, or those of other rows."""
    place = _pick(rng, table)
    cells, numbers = list(table.columns[place][1]), rng.randrange(2)
    for _ in range(rng.choice([1, 3, len(cells)]) if cells else 0):
        cells[rng.randrange(len(cells))] = rng.choice(PLAIN if numbers else cells)
    return _with(table, place, cells=cells)


def several_cells(rng: random.Random, table: Table) -> Table:
    for _ in range(rng.randint(2, 5)):
        table = one_cell(rng, table)
    return table


def whole_column(rng: random.Random, table: Table) -> Table:
    place, value = _pick(rng, table), rng.choice(ODD)
    return _with(table, place, cells=[value] * len(table.columns[place][1]))


def empty_column(rng: random.Random, table: Table) -> Table:
    place = _pick(rng, table)
    return _with(table, place, cells=[rng.choice(["", None])] * len(table.columns[place][1]))


def odd_column(rng: random.Random, table: Table) -> Table:
    """Every cell another odd value."""
    place = _pick(rng, table)
    return _with(table, place, cells=[rng.choice(ODD) for _ in table.columns[place][1]])


def _as(value: Any, kind: Callable[[Any], Any]) -> Any:
    try:
        return kind(value)
    except (ValueError, TypeError, ArithmeticError):
        return None


RETYPES: tuple[Callable[[Any], Any], ...] = (
    str, lambda v: f" {v} ", lambda v: str(v).encode(), lambda v: [v], lambda v: {"v": v}, lambda v: f"{v}.0",
    lambda v: bool(v),
    lambda v: _as(v, float), lambda v: _as(v, int), lambda v: _as(v, lambda w: decimal.Decimal(str(w))),
    lambda v: json.dumps(v),
    lambda v: _as(v, lambda w: datetime.date.fromordinal(700_000 + int(float(w)))), lambda v: f"{v}".replace(".", ","),
    lambda v: f"\u200f{v}", lambda v: f"{v}"[::-1], lambda v: _as(v, lambda w: float(w) * 1e300), lambda v: _as(v,
    lambda w: float(w) * 1e-320),
)  # fmt: skip


def retyped_column(rng: random.Random, table: Table) -> Table:
    place, kind = _pick(rng, table), rng.choice(RETYPES)
    return _with(table, place, cells=[value if value is None else kind(value) for value in table.columns[place][1]])


def categorical_column(rng: random.Random, table: Table) -> Table:
    place, kind = (
        _pick(rng, table),
        rng.choice(["dictionary", "float32", "float16", "int8", "large", "binary", "invalid", "decimal"]),
    )
    return table._replace(kinds=(*table.kinds, (place, kind)))  # fmt: skip


def renamed_column(rng: random.Random, table: Table) -> Table:
    names = [str(value) for value in TEXTS] + [name for name, _ in table.columns]
    return _with(table, _pick(rng, table), name=rng.choice(names))


def padded_name(rng: random.Random, table: Table) -> Table:
    place = _pick(rng, table)
    name = table.columns[place][0]
    forms = [
        f" {name} ",
        name.upper(),
        f"{name}\u200b",
        f"\ufeff{name}",
        f"{name}\n",
        name.title(),
        f'"{name}"',
        f"{name}.1",
    ]
    return _with(table, place, name=rng.choice(forms))


def dropped_column(rng: random.Random, table: Table) -> Table:
    place = _pick(rng, table)
    kinds = tuple((at - (at > place), kind) for at, kind in table.kinds if at != place)
    return Table(tuple(column for i, column in enumerate(table.columns) if i != place), kinds)


def doubled_column(rng: random.Random, table: Table) -> Table:
    return table._replace(columns=(*table.columns, table.columns[_pick(rng, table)]))


def added_column(rng: random.Random, table: Table) -> Table:
    name = rng.choice(["weight", "part", "outside", "decision", "content", "label", "reward", "unit", *map(str, TEXTS)])
    value = rng.choice(ODD)
    return table._replace(columns=(*table.columns, (name, [value] * table.rows)))


def swapped_columns(rng: random.Random, table: Table) -> Table:
    first, second = _pick(rng, table), _pick(rng, table)
    one, two = table.columns[first][1], table.columns[second][1]
    return _with(_with(table, first, cells=two), second, cells=one)


def _rows(table: Table, chosen: list[int]) -> Table:
    return table._replace(columns=tuple((name, [cells[i] for i in chosen]) for name, cells in table.columns))


def copied_row(rng: random.Random, table: Table) -> Table:
    """A row in the place of another: as many as before."""
    if not table.rows:
        return table
    chosen = list(range(table.rows))
    chosen[rng.randrange(table.rows)] = rng.randrange(table.rows)
    return _rows(table, chosen)


def dropped_row(rng: random.Random, table: Table) -> Table:
    return _rows(table, sorted(rng.sample(range(table.rows), max(0, table.rows - 1))))


def few_rows(rng: random.Random, table: Table) -> Table:
    return _rows(table, list(range(min(table.rows, rng.choice([0, 0, 1, 2])))))


def shuffled(rng: random.Random, table: Table) -> Table:
    return _rows(table, rng.sample(range(table.rows), table.rows))


def one_value(rng: random.Random, table: Table) -> Table:
    """A column that is constant."""
    place = _pick(rng, table)
    cells = table.columns[place][1]
    return _with(table, place, cells=[rng.choice(cells)] * len(cells) if cells else cells)


TABLES: tuple[Callable[[random.Random, Table], Table], ...] = (
    one_cell, several_cells, whole_column, empty_column, odd_column, retyped_column, categorical_column, renamed_column,
    padded_name, dropped_column, doubled_column, added_column, swapped_columns, copied_row, dropped_row, few_rows,
    shuffled, one_value, plausible_cells, plausible_cells, plausible_cells,
)  # fmt: skip


# ---------------------------------------------------------------- containers
def written(table: Table, container: str) -> bytes:
    """The table as a file; what a container cannot hold is written as the text of it."""
    if container == ".parquet":
        return _parquet(table)
    content = _csv(table) if container.startswith(".csv") else _jsonl(table)
    return gzip.compress(content, 1, mtime=0) if container.endswith(".gz") else content


def _csv(table: Table) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([name for name, _ in table.columns])
    for i in range(table.rows):
        writer.writerow(["" if (v := cells[i]) is None else v for _, cells in table.columns])
    return file.getvalue().encode("utf-8", "surrogatepass")


def _jsonl(table: Table) -> bytes:
    lines = []
    for i in range(table.rows):
        pairs = (f"{json.dumps(name)}: {json.dumps(cells[i], default=str)}" for name, cells in table.columns)
        lines.append("{" + ", ".join(pairs) + "}")
    return "".join(f"{line}\n" for line in lines).encode()


def _parquet(table: Table) -> bytes:
    kinds = dict(table.kinds)
    arrays = [_array(cells, kinds.get(i, "")) for i, (_, cells) in enumerate(table.columns)]
    names = [name.encode("utf-8", "replace").decode() for name, _ in table.columns]
    file = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, names=names), file)
    return file.getvalue()


def _array(cells: list[Any], kind: str) -> pa.Array:
    def text(value: Any) -> Any:
        return value if value is None or isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")

    try:
        if kind == "invalid" or (not kind and any(isinstance(v, str) and not _encodes(v) for v in cells)):
            return pa.array([text(v) for v in cells], pa.binary()).view(pa.string())
        if kind == "binary":
            return pa.array([text(v) for v in cells], pa.binary())
        made = pa.array(cells)
        if pa.types.is_struct(made.type) and not made.type.num_fields:  # Parquet has no record without a field
            raise TypeError
        if kind == "dictionary":
            return made.dictionary_encode()
        types = {
            "float32": pa.float32(),
            "float16": pa.float16(),
            "int8": pa.int8(),
            "large": pa.large_string(),
            "decimal": pa.decimal128(20, 4),
        }
        return made.cast(types[kind]) if kind else made  # fmt: skip
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return pa.array([text(v) for v in cells], pa.binary()).view(pa.string())


def _encodes(value: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in value)


# ---------------------------------------------------------------- JSON
def changed_json(rng: random.Random, value: Any) -> Any:
    """A value somewhere inside replaced, dropped, added or nested."""
    value = copy.deepcopy(value)
    places = list(_places(value))
    if not places:
        return rng.choice([None, 1, [], {}, "x"])
    holder, key = rng.choice(places)
    what = rng.randrange(14)
    if what == 0:
        del holder[key]
    elif what == 1 and isinstance(holder, dict):
        holder[str(rng.choice(TEXTS))] = rng.choice(ODD)
    elif what == 2:
        other, there = rng.choice(places)
        holder[key] = copy.deepcopy(other[there]) if there in other or isinstance(other, list) else None
    elif what == 3:
        holder[key] = [holder[key]]
    elif what == 4:
        holder[key] = rng.choice([SHALLOW, DEEP])
    elif what in (5, 6, 7) and isinstance(holder[key], str):
        holder[key] = _near(rng, holder[key])
    elif what in (8, 9):
        same = [other[there] for other, there in places if type(other[there]) is type(holder[key])]
        holder[key] = copy.deepcopy(rng.choice(same))
    elif what in (10, 11):
        holder[key] = copy.deepcopy(rng.choice(WORDS))
    else:
        holder[key] = rng.choice(ODD)
    return value


def _near(rng: random.Random, text: str) -> str:
    """Nearly the same text."""
    place = rng.randrange(len(text) + 1)
    return (
        text[:place]
        + rng.choice(["0", "9", "-", ".", " ", "e", "\u200b", "\ud800", "x"])
        + text[place + rng.randrange(2) :]
    )


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in list(items):
        yield value, key
        yield from _places(child)


def json_text(value: Any) -> str:
    """JSON of nearly anything."""
    return _deepened(json.dumps(value, default=str))


def _deepened(text: str) -> str:
    """With lists in lists in place of the marks of them, which no program has to walk through before."""
    for mark, depth in ((SHALLOW, 20), (DEEP, 5000)):
        text = text.replace(f'"{mark}"', "[" * depth + "]" * depth)
    return text


# ---------------------------------------------------------------- TOML
def toml(values: Any) -> str:
    """TOML of plain values, tables inline; what is no table is written as no TOML has it."""
    if not isinstance(values, dict):
        return "x\n"
    return _deepened("".join(f"{_key(key)} = {_toml(value)}\n" for key, value in values.items()))


def _key(key: Any) -> str:
    return json.dumps(str(key))


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_toml(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, float):
        return {"inf": "inf", "-inf": "-inf", "nan": "nan"}.get(str(value), repr(value))
    if isinstance(value, int | datetime.date | datetime.time):
        return value.isoformat() if hasattr(value, "isoformat") else str(value)
    if value is None:
        return '""'
    return json.dumps(value if isinstance(value, str) else str(value))


def toml_text(rng: random.Random, text: str) -> str:
    """Lines doubled, dropped, swapped; deep tables; what is no TOML."""
    lines = text.splitlines()
    place = rng.randrange(len(lines)) if lines else 0
    what = rng.randrange(8)
    if what == 0:
        lines.insert(place, lines[place])
    elif what == 1:
        del lines[place]
    elif what == 2:
        lines.append("deep = " + "[" * rng.choice([20, 5000]))
    elif what == 3:
        depth = rng.choice([20, 3000])
        lines.append("deep = " + "[" * depth + "]" * depth)
    elif what == 4:
        lines.append("a." * rng.choice([20, 3000]) + "b = 1")
    elif what == 5:
        lines.append(f"{json.dumps(str(rng.choice(TEXTS)))} = {_toml(rng.choice(ODD))}")
    elif what == 6:
        lines = [line.replace('"', "'", 1) for line in lines]
    else:
        lines.append(
            "x = "
            + rng.choice(
                ["9" * 5000, "1e999", "0x" + "f" * 5000, "00", "1__0", "2024-02-30", '"\\ud800"', "nan", "-nan"]
            )
        )
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------- bytes
def broken(rng: random.Random, content: bytes) -> bytes:
    """Bytes flipped, cut, put in or written in another encoding."""
    what, place = rng.randrange(14), rng.randrange(len(content) + 1)
    if what <= 2 and content:
        found = bytearray(content)
        for _ in range(rng.choice([1, 1, 3, 30])):
            found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
        return bytes(found)
    if what <= 4:
        return content[:place]
    inserted = (b"\x00", b"\xef\xbb\xbf", b"\xff", b"\xed\xa0\x80", b"\r", b"\n", b'"', b"\xc3", "\u2028".encode())
    if what <= 7:
        return content[:place] + rng.choice(inserted) + content[place:]
    others: tuple[Callable[[], bytes], ...] = (
        lambda: b"", lambda: b"\xef\xbb\xbf" + content, lambda: content.replace(b"\n", b"\r"),
        lambda: content + content,
        lambda: content.decode("latin-1").encode("utf-16"), lambda: content.replace(b"\n", b"\r\n"),
        lambda: content + b"\x00" * 100,
        lambda: gzip.compress(content, mtime=0), lambda: content[place:], lambda: b"\n" * 3 + content,
        lambda: b"\x00" * len(content),
        lambda: content.split(b"\n", 1)[0] + b"\n",
    )  # fmt: skip
    return rng.choice(others)()
