"""A table and its schema into dense arrays `[n, K]`, every promise checked, every broken one named in one line."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from faro.errors import DataError
from faro.units import RULE, plain, unseen

from .arrays import MISSING, Category, Features, Moved, Parsed
from .columns import need
from .mapped import Rows, Stored
from .melt import OUTSIDE, Long, choice_ids, melt, shares
from .schema import Schema
from .specs import ArraySpec, AttributeSpec, TwinSpec
from .values import Cells

MISSING_TWIN = "missing = 'exclude' of the twins, or on_missing = 'drop'"
HEAVY = float(np.finfo(np.float32).max)  # what a sum of weights must stay below, in whatever order it is taken


def parse(
    schema: Schema,
    frame: pd.DataFrame,
    where: str,
    labels: bool = True,
    rule: int = RULE,
    arrays: Mapping[str, Stored] = MappingProxyType({}),
) -> tuple[Schema, Parsed]:
    """(the schema with all types and label words, the choices in a table). `labels = False`: label, weight, unit,
    shared and attribute columns may be absent. `rule`: how units are spelled (`faro.units`). `arrays`: those that the
    schema declares."""
    if labels and schema.label:
        need(frame, schema.label, "label", where)
    table, schema = melt(schema, frame, where, labels, rule, arrays)
    parser = _Parser(table, labels, arrays)
    parsed = parser.run()
    if schema.format == "long":
        schema = parser.schema
    return schema, parsed


def _unit(text: str) -> tuple[str, str]:
    """(the unit that a text names, why it is refused or "")."""
    name = plain(text)
    mark = unseen(name)
    return name, mark and f"a unit in characters that show, without {mark}"


def _itself(moved: Features, own: Features, name: str) -> bool:
    """Whether a twin sets a feature to the row of the array that it is anyway, wherever it names one, as it does."""
    values, rows = ({**features.vectors, **features.raw}.get(name) for features in (moved, own))
    if not isinstance(values, Rows) or not isinstance(rows, Rows) or values.of is not rows.of:
        return False
    there = values.index >= 0
    return bool(there.any() and (values.index == rows.index)[there].all())


class _Parser:
    """One pass over a long table; `self.grid [n, K]` indexes its rows, -1 where a choice has fewer alternatives.

    First every column is read, cell by cell, and rows with a missing cell are marked as gaps if their choice is to be
    dropped; then `self.kept` choices are held to what a choice promises.
    """

    def __init__(self, table: Long, labels: bool, arrays: Mapping[str, Stored]):
        self.arrays = arrays
        self.table, self.schema, self.where, self.row, self.labels = table, table.schema, table.where, table.row, labels
        self.drop = self.schema.on_missing == "drop"
        self.gaps = np.zeros(len(table), bool)
        self.kept: np.ndarray = np.zeros(0, bool)
        self.rows = np.ones(len(table), bool)
        self._group()

    def _group(self) -> None:
        schema, cells = self.schema, []
        for column in schema.choice:
            cells.append(self._names(column, "choice", "the choice's id"))
        ids, _ = choice_ids(schema, cells, self.table.rule)
        self.choice, self.ids = pd.factorize(ids)
        order = np.argsort(self.choice, kind="stable")
        counts = np.bincount(self.choice)
        slot = np.empty(len(order), int)
        slot[order] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        self.grid = np.full((len(counts), counts.max()), -1)
        self.grid[self.choice, slot] = np.arange(len(order))
        self.first = self.grid[:, 0]

    def _names(self, column: str, what: str, called: str, read: np.ndarray | None = None) -> Cells:
        """A column of names, all there."""
        cells, read = self.table.cells(column, what, True), self.rows if read is None else read
        self._lacking(read & cells.missing, column, called)
        self.table.check(column, cells, read & ~cells.missing)
        return cells

    def _refuse(self, bad: np.ndarray, column: str, message: str) -> None:
        """`DataError` naming the first bad row `[R]` of the table."""
        self.table.refuse(column, bad, message)

    def _lacking(self, gone: np.ndarray, column: str, what: str, cure: str = "on_missing = 'drop'") -> None:
        """Rows `[R]` without a value that every row needs: a gap where choices are dropped, else a `DataError`."""
        if self.drop:
            self.gaps |= gone
            return
        self._refuse(gone, column, f"{what} is missing; declare {cure}")

    def _refuse_choice(self, bad: Any, column: str, message: str) -> None:
        """`DataError` naming the first bad choice `[n]` among those that are kept."""
        bad = bad & self.kept
        if bad.any():
            called = self.table.called.get(column, column)
            raise DataError(f"{self.where}: choice {self.ids[int(np.argmax(bad))]}: {message} (column {called!r})")

    def dense(self, values: np.ndarray, fill: Any, name: str = "") -> np.ndarray:
        """`[R, ...]` -> `[n, K, ...]`."""
        out = values[self.grid]
        out[self.grid < 0] = fill
        return out

    def _numbers(self, column: str, what: str, read: np.ndarray) -> np.ndarray:
        """`[R]` finite numbers where `read`, NaN elsewhere and where missing."""
        values, absent = self._finite(column, what, read)
        if self.schema.on_missing == "error" and (read & absent).any():
            shown = self.table.shown(column, int(np.argmax(read & absent)))
            self._refuse(read & absent, column, f"expected a finite number, got {shown} (missing)")
        self.gaps |= read & absent & self.drop
        return values

    def _finite(self, column: str, what: str, read: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(the same, `[R]` whether the cell is missing)."""
        values, absent = self.table.numbers(column, what)
        self._refuse(read & ~absent & ~np.isfinite(values), column, "expected a finite number, got {}")
        return np.where(read & ~absent, values, np.nan), absent

    def _flag(self, column: str, what: str, default: bool) -> np.ndarray:
        if not column:
            return np.full(len(self.table), default)
        values, absent = self.table.numbers(column, what)
        self._lacking(absent, column, what)
        self._refuse(~absent & (values != 0) & (values != 1), column, "expected 1 or 0, got {}")
        return values == 1

    def run(self) -> Parsed:
        schema = self.schema
        self.available = self._flag(schema.available, "available", True)
        self.outside = self._flag(schema.outside, "outside", False)
        self.inside = self.available & ~self.outside
        items = self._features(schema.numeric, schema.categorical, schema.vectors, self.inside, context=False)
        context = self._features(
            schema.context_numeric, schema.context_categorical, schema.context_vectors, self.rows, context=True
        )
        levels = {spec.name: self._level(spec) for spec in schema.attributes}
        twins = {}
        for twin in schema.twins:
            if at_levels := self._twins(twin, levels[twin.attribute], items, context):
                twins[twin.attribute] = at_levels
        names, twice = self._alternative()
        weight, margin, units, log_ref = self._weight(), self._margin(), self._units(), self._log_ref()
        label = self._label() if self.labels else None
        shared = {column: self._shared(column) for column in schema.shared_columns if self._there(column)}
        self.kept = np.logical_not(self.dense(self.gaps, False).any(1))
        if not self.kept.any():
            raise DataError(f"{self.where}: every choice has a missing cell; nothing is left to read")

        self._twice(names, twice)
        keep, available = np.flatnonzero(self.kept), np.asarray(self.dense(self.available, False))
        self._refuse_choice(~available.any(1), schema.available, "no alternative is available; drop the choice")
        arrays: dict[str, Any] = {
            "choice_ids": self.ids.astype(object),
            "alternatives": names,
            "available": available,
            "outside": self.dense(self.outside, False) & available,
            "chosen": None if label is None else self._chosen(label, available),
            "weight": self._of_choice(weight, name=schema.weight),
            "margin": None if margin is None else self._of_choice(margin, name=schema.margin),
            "units": None if units is None else self._of_choice(units, name=schema.unit),
            "log_ref": None if log_ref is None else self.dense(log_ref, 0.0),
            "source": self.dense(self.row, -1),
        }
        grid_items = self._spread(items, self.dense(self.inside, False), self.dense)
        grid_context = self._spread(context, np.ones(len(self.ids), bool), self._of_choice)
        grid_twins = {}
        for name, at_levels in twins.items():
            grid_twins[name] = tuple(
                Moved(
                    self._spread(moved.items, self.dense(moved.items.live, False), self.dense),
                    self._spread(moved.context, self._of_choice(moved.context.live), self._of_choice),
                )
                for moved in at_levels
            )
        attributes = {spec.name: self._attribute(spec, levels[spec.name]) for spec in schema.attributes}
        kept: dict[str, Any] = {name: None if value is None else value[keep] for name, value in arrays.items()}
        return Parsed(
            **kept,
            attributes={name: codes[keep] for name, codes in attributes.items()},
            shared={name: self.dense(values, "")[keep] for name, values in shared.items()},
            items=grid_items.take(keep),
            context=grid_context.take(keep),
            twins={
                name: tuple(at_level.take(keep) for at_level in at_levels) for name, at_levels in grid_twins.items()
            },
            dropped=len(self.ids) - len(keep),
        )

    def _there(self, column: str) -> bool:
        """Whether an optional column is read: without labels it may be absent."""
        return bool(column) and (self.labels or self.table.has(column))

    def _features(self, numeric, categorical, vector_columns, read: np.ndarray, context: bool) -> Features:
        """Features as columns `[R]` of the long table."""
        level = self.schema.on_missing == "level"
        floats, categories = {}, {}
        arrays: dict[str, np.ndarray | Rows] = {}
        for name in numeric:
            floats[name] = self._numbers(name, "a numeric feature", read)
        for name in categorical:
            category = self._category(name, read)
            absent = read & (category.codes < 0)
            if not level:
                self._lacking(absent, name, "the cell", "on_missing = 'level' or 'drop'")
            elif absent.any():
                at = np.append(np.flatnonzero(category.texts == MISSING), len(category.texts))[0]
                category = Category(np.where(absent, at, category.codes), np.append(category.texts, MISSING))
            categories[name] = category.used()
        for name in vector_columns:
            arrays[name] = values = self._vectors(name, read)
            empty = read & ~np.isfinite(values).all(1)
            self._refuse(empty & (not self.drop), name, "expected a vector of finite numbers")
            self.gaps |= empty
        incomplete = frozenset(n for n, values in floats.items() if level and (read & np.isnan(values)).any())
        specs = [spec for spec in self.schema.feature_arrays if spec.context == context]
        placed = {spec.name: self._rows_of(spec, spec.index, read) for spec in specs}
        for spec in specs:
            if spec.index:
                absent = read & (placed[spec.name].index < 0)
                self._lacking(absent, spec.index, f"the row of array {spec.name!r}")
        arrays |= {spec.name: placed[spec.name] for spec in specs if not spec.raw}
        raw = {spec.name: placed[spec.name] for spec in specs if spec.raw}
        return Features(read, floats, categories, arrays, incomplete, raw)

    def _category(self, name: str, read: np.ndarray) -> Category:
        """Levels `[R]`, -1 where nothing is read or the cell is missing."""
        cells = self.table.cells(name, "a categorical feature")
        there = read & ~cells.missing
        self.table.check(name, cells, there)
        return Category(np.where(there, cells.codes, -1), cells.texts)

    def _vectors(self, name: str, read: np.ndarray) -> np.ndarray:
        """`[R, D]`, NaN where there is none."""
        values = self.table.vectors(name, "a vector feature")
        bad = read & ~np.isfinite(values).all(1) & ~np.isnan(values).all(1)
        self._refuse(bad, name, "expected a vector of finite numbers")
        return values

    def _rows_of(self, spec: ArraySpec, column: str, read: np.ndarray) -> Rows:
        """The row `[R]` of an array that each row of the long table has by an index column (or by its place), where it
        is `read`; -1 where none is named."""
        stored = self.arrays[spec.name]
        count = stored.shape[0]
        if column:
            values, absent = self.table.numbers(column, f"row of array {spec.name!r}")
            whole = np.isfinite(values) & (values >= 0) & (values < count) & (values == np.floor(values))
            expected = f"expected a row of {stored.where}, 0 to {count - 1}"
            self._refuse(read & ~absent & ~whole, column, f"{expected}, got {{}}")
            index = np.where(read & whole, values, -1).astype(np.int64)
        else:
            pairs = self.table.width > 1 and self.schema.outside != OUTSIDE and not spec.context
            index = np.arange(len(self.table)) if pairs else self.row
            if count != index.max() + 1:
                rows = f"{index.max() + 1} rows" + (f", {self.table.width} for each row of the table" if pairs else "")
                raise DataError(f"{stored.where}: expected {rows}, got {count}; or name the column of the `index`")
            index = np.where(read, index, -1)
        endless = np.isin(index, stored.scan.endless)
        if endless.any():
            at = int(np.argmax(endless))
            where = f"{self.where}: row {self.row[at] + 1}"
            raise DataError(f"{where}: expected finite numbers, got others in row {index[at]} of {stored.where}")
        return Rows(stored, index)

    def _twins(self, twin: TwinSpec, own_level: np.ndarray, items: Features, context: Features) -> tuple[Moved, ...]:
        """At every level what the table sets features to, as columns `[R]`; empty without such.

        own_level: `[R]` that a row has itself, -1 = none
        """
        spec = self.schema.attribute(twin.attribute)
        made = []
        for code, level in enumerate(spec.levels):
            needed = (own_level >= 0) & (own_level != code)
            for only in twin.only:
                side = items if only.column in items.categorical else context
                needed &= (side.categorical[only.column].values() != only.equals) | (level in only.levels)
            sides = []
            for features in (items, context):
                moved, there = self._moved(twin, level, features), features.live
                for name in moved.names:
                    gone = needed & features.live & ~moved.present(name) & features.present(name)
                    if twin.missing == "exclude":
                        there = there & ~gone
                    else:
                        self._lacking(gone, self._twin_column(twin, name, level), "the twin", MISSING_TWIN)
                sides.append(dataclasses.replace(moved, live=there))
            made.append(Moved(*sides))
        pairs = [(side, own) for moved in made for side, own in zip(moved, (items, context), strict=True)]
        changed = any(not _itself(side, own, name) for side, own in pairs for name in side.names)
        return tuple(made) if changed else ()  # twins that are the rows themselves, as of a prompt that is not read

    def _twin_column(self, twin: TwinSpec, name: str, level: str) -> str:
        """The column that a feature's twin is in; of an array its index."""
        arrays = {spec.name: spec for spec in self.schema.arrays}
        apart = twin.column(name, level)
        if name not in arrays:
            return apart
        return arrays[apart].index if apart in arrays else twin.column(arrays[name].index, level)

    def _moved(self, twin: TwinSpec, level: str, features: Features) -> Features:
        """Those of the features whose twin is there."""
        arrays = {spec.name: spec for spec in self.schema.arrays}
        read = features.live

        def there(name: str) -> bool:
            if name not in twin.features:
                return False
            if twin.column(name, level) in arrays:
                return twin.column(name, level) in self.arrays
            return self.table.has(self._twin_column(twin, name, level))

        def rows(name: str) -> Rows:
            apart = twin.column(name, level)
            twin_rows = self._rows_of(arrays.get(apart, arrays[name]), self._twin_column(twin, name, level), read)
            whole = {**features.vectors, **features.raw}[name]
            kinds = [(rows_of.of.shape[1:], rows_of.of.dtype) for rows_of in (whole, twin_rows)]  # type: ignore[union-attr]
            if kinds[0] != kinds[1]:
                raise DataError(f"{twin_rows.of.where}: expected rows of the shape and dtype of {name!r}, as its twin")
            return twin_rows

        def vectors(name: str) -> np.ndarray | Rows:
            return rows(name) if name in arrays else self._vectors(twin.column(name, level), read)

        return Features(
            read,
            {
                name: self._finite(twin.column(name, level), "a twin of a numeric feature", read)[0]
                for name in filter(there, features.numeric)
            },
            {name: self._category(twin.column(name, level), read) for name in filter(there, features.categorical)},
            {name: vectors(name) for name in filter(there, features.vectors)},
            frozenset(),
            {name: rows(name) for name in filter(there, features.raw)},
        )

    @staticmethod
    def _spread(rows: Features, live: np.ndarray, spread) -> Features:
        """The same as arrays of choices."""

        def placed(name: str, values: Any) -> Any:
            if isinstance(values, Rows):
                return Rows(values.of, spread(values.index, -1, name))
            return spread(values, 0.0, name)

        return Features(
            live,
            {name: spread(values, np.nan, name) for name, values in rows.numeric.items()},
            {name: Category(spread(c.codes, -1, name), c.texts) for name, c in rows.categorical.items()},
            {name: placed(name, values) for name, values in rows.vectors.items()},
            rows.incomplete,
            {name: placed(name, values) for name, values in rows.raw.items()},
        )

    def _of_choice(self, values: np.ndarray, fill: Any = None, name: str = "") -> np.ndarray:
        """`[R, ...]` -> `[n, ...]`: the value that all rows of a choice share."""
        first = values[self.first][self.choice]
        differs = (values != first) & ~((values != values) & (first != first))
        differs = differs.reshape(len(values), -1).any(1)
        if differs.any():
            varies = np.bincount(self.choice, differs) > 0
            self._refuse_choice(varies, name, "a value of the choice or chooser varies within it")
        return values[self.first]

    def _level(self, spec: AttributeSpec) -> np.ndarray:
        """Codes `[R]` of the levels; -1 for the outside option and excluded levels."""
        if not self._there(spec.column):
            return np.full(len(self.table), -1)
        cells = self.table.cells(spec.column, f"attribute {spec.name!r}")
        code = {level: code for code, level in enumerate(spec.levels)}
        level = np.array([code.get(text, -1) for text in cells.texts])[cells.codes]
        read = self.rows if spec.chooser else self.inside
        if spec.others == "error":
            gone = read & cells.missing & (level < 0)
            self._lacking(gone, spec.column, f"attribute {spec.name!r}", "others = 'exclude', or on_missing = 'drop'")
            read = read & ~gone
            bad = read & (level < 0)
            got = cells.texts[cells.codes[int(np.argmax(bad))]]
            levels = ", ".join(spec.levels)
            self._refuse(bad, spec.column, f"attribute {spec.name!r} has no level {got!r}; declared: {levels}")
        return level if spec.chooser else np.where(read, level, -1)

    def _attribute(self, spec: AttributeSpec, level: np.ndarray) -> np.ndarray:
        """Codes `[n, K]`; -1 also for absent alternatives."""
        if spec.chooser:
            level = self._of_choice(level, name=spec.column)[self.choice]
        return self.dense(np.where(self.outside, -1, level).astype(np.int32), -1)

    def _alternative(self) -> tuple[np.ndarray, np.ndarray]:
        """(names `[n, K]`, whether a row's name `[R]` stands in its choice already)."""
        column = self.schema.alternative
        if not column:
            slots = np.array([str(k + 1) for k in range(self.grid.shape[1])], object)
            return np.where(self.grid < 0, "", slots).astype(object), np.zeros(len(self.table), bool)
        cells = self._names(column, "alternative", "the alternative's name", self.inside)
        twice = pd.Series(self.choice * len(cells.texts) + cells.codes).duplicated().to_numpy() & ~cells.missing
        return self.dense(np.where(cells.missing, "", cells.values), ""), twice

    def _twice(self, names: np.ndarray, twice: np.ndarray) -> None:
        twice = twice & self.kept[self.choice]
        if twice.any():
            at = int(np.argmax(twice))
            choice = self.choice[at]
            name = names[choice][self.grid[choice] == at][0]
            self._refuse(twice, self.schema.alternative, f"alternative {name!r} is twice in choice {self.ids[choice]}")

    def _label(self) -> np.ndarray:
        """`[R]` labels; an unavailable alternative may leave its own empty."""
        name = self.schema.label
        label, self.schema = shares(self.table, self.schema, name, self.rows)
        self._lacking(self.available & np.isnan(label), name, "the label")
        return np.nan_to_num(label)

    def _chosen(self, label: np.ndarray, available: np.ndarray) -> np.ndarray:
        label, name = self.dense(label, 0.0), self.schema.label
        self._refuse_choice((label * ~available).any(1), name, "an unavailable alternative carries the label")
        total = label.sum(1)
        self._refuse_choice(total == 0, name, "no alternative is labelled as chosen")
        self._refuse_choice((label == 1).sum(1) > 1, name, "two alternatives are labelled as chosen")
        off = np.abs(total - 1) > 1e-4
        wrong = total[int(np.argmax(off & self.kept))]
        self._refuse_choice(off, name, f"labels must sum to 1, got {wrong:.6g}")
        return label

    def _weight(self) -> np.ndarray:
        name = self.schema.weight
        if not self._there(name):
            return np.ones(len(self.table))
        values, absent = self.table.numbers(name, "weight")
        self._lacking(absent, name, "the weight")
        self._refuse(~absent & ~np.isfinite(values), name, "expected a finite number, got {}")
        self._refuse(values < 0, name, "expected a weight that is not negative, got {}")
        heavy = values >= HEAVY / len(values)
        self._refuse(heavy, name, "weights like {} overflow when they are added up; divide all of them by the largest")
        return values

    def _margin(self) -> np.ndarray | None:
        name = self.schema.margin
        if not self._there(name):
            return None
        values, absent = self._finite(name, "margin", self.rows)
        self._lacking(absent, name, "the margin")
        self._refuse(values < 0, name, "expected a margin that is not negative (the label says who is ahead), got {}")
        return values

    def _units(self) -> np.ndarray | None:
        name = self.schema.unit
        if name == "row" or not self._there(name):
            return None
        cells = self._names(name, "unit", "the unit")
        if self.table.rule < RULE:
            return cells.values
        named, faults = zip(*map(_unit, cells.texts), strict=True)
        cells = dataclasses.replace(cells, texts=np.array(named, object), faults=np.array(faults, object))
        self.table.check(name, cells, ~cells.missing)
        return cells.values

    def _shared(self, column: str) -> np.ndarray:
        return self._names(column, "a column that units share", f"the cell of {column!r}").values

    def _log_ref(self) -> np.ndarray | None:
        name = self.schema.log_ref
        if not name:
            return None
        values, absent = self.table.numbers(name, "log_ref")
        self._lacking(self.inside & absent, name, "log_ref")
        self._refuse(self.inside & ~absent & ~np.isfinite(values), name, "expected a finite number, got {}")
        return np.where(self.inside & np.isfinite(values), values, 0.0)
