"""A table and its schema into dense arrays `[n, K]`, every promise checked, every broken one named in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from faro.errors import DataError

from .arrays import MISSING, Category, Features, Parsed
from .melt import choice_ids, melt, need, numbers, shares
from .schema import AttributeSpec, Schema
from .table import cells, texts, vectors


def parse(schema: Schema, frame: pd.DataFrame, where: str, labels: bool = True) -> Parsed:
    """The choices in a table. `labels = False`: label, weight, unit and attribute columns may be absent."""
    if labels and schema.label:
        need(frame, schema.label, "label", where)
    schema, frame, row = melt(schema, frame, where, labels)
    return _Parser(schema, frame, where, row, labels).run()


class _Parser:
    """One pass over a long table; `self.grid [n, K]` indexes its rows, -1 where a choice has fewer alternatives."""

    def __init__(self, schema: Schema, frame: pd.DataFrame, where: str, row: np.ndarray, labels: bool):
        self.schema, self.frame, self.where, self.row, self.labels = schema, frame, where, row, labels
        self.allow = schema.on_missing != "error"  # missing cells
        self.gaps = np.zeros(len(frame), bool)  # rows with a missing cell, for on_missing = "drop"
        self._group()

    def _group(self) -> None:
        self.choice, self.ids = pd.factorize(choice_ids(self.schema, self.frame, self.where))
        order = np.argsort(self.choice, kind="stable")
        counts = np.bincount(self.choice)
        slot = np.empty(len(order), int)
        slot[order] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        self.grid = np.full((len(counts), counts.max()), -1)
        self.grid[self.choice, slot] = np.arange(len(order))
        self.first = self.grid[:, 0]

    def _refuse(self, bad: np.ndarray, column: str, message: str) -> None:
        """`DataError` naming the first bad row `[R]` of the table."""
        if bad.any():
            at = int(np.argmax(bad))
            raise DataError(f"{self.where}: column {column!r}, row {self.row[at] + 1}: {message}")

    def _refuse_choice(self, bad: Any, column: str, message: str) -> None:
        """`DataError` naming the first bad choice `[n]`."""
        if bad.any():
            raise DataError(f"{self.where}: choice {self.ids[int(np.argmax(bad))]}: {message} (column {column!r})")

    def dense(self, values: np.ndarray, fill: Any, name: str = "") -> np.ndarray:
        """`[R, ...]` -> `[n, K, ...]`."""
        out = values[self.grid]
        out[self.grid < 0] = fill
        return out

    def _flag(self, column: str, what: str, default: bool) -> np.ndarray:
        if not column:
            return np.full(len(self.frame), default)
        values = numbers(
            need(self.frame, column, what, self.where), self.where, self.row, np.ones(len(self.frame), bool)
        )
        self._refuse((values != 0) & (values != 1), column, "expected 1 or 0")
        return values == 1

    def run(self) -> Parsed:
        schema, rows = self.schema, np.ones(len(self.frame), bool)
        self.available = self._flag(schema.available, "available", True)
        self.outside = self._flag(schema.outside, "outside", False)
        self.inside = self.available & ~self.outside
        items = self._features(schema.numeric, schema.categorical, schema.vectors, self.inside)
        context = self._features(schema.context_numeric, schema.context_categorical, schema.context_vectors, rows)
        attributes = {spec.name: self._attribute(spec) for spec in schema.attributes}
        available = self.dense(self.available, False)
        keep = np.arange(len(self.ids))
        if schema.on_missing == "drop":
            keep = keep[~self.dense(self.gaps, False).any(1)]
            if not len(keep):
                raise DataError(f"{self.where}: every choice has a missing cell; nothing is left to read")
        self._refuse_choice(~available.any(1), schema.available, "no alternative is available; drop the choice")
        grid_items = self._spread(items, self.dense(self.inside, False), self.dense)
        grid_context = self._spread(context, np.ones(len(self.ids), bool), self._of_choice)
        arrays: dict[str, Any] = {
            "choice_ids": self.ids.astype(object),
            "alternatives": self._alternatives(),
            "available": available,
            "outside": self.dense(self.outside, False) & available,
            "chosen": self._chosen(available),
            "weight": self._weight(),
            "units": self._units(),
            "log_ref": self._log_ref(),
            "source": self.dense(self.row, -1),
        }
        arrays = {name: value if value is None else value[keep] for name, value in arrays.items()}
        return Parsed(
            **arrays,
            attributes={name: codes[keep] for name, codes in attributes.items()},
            items=grid_items.take(keep),
            context=grid_context.take(keep),
            dropped=len(self.ids) - len(keep),
        )

    def _features(self, numeric, categorical, vector_columns, read: np.ndarray) -> Features:
        """Features as columns `[R]` of the long table."""
        level = self.schema.on_missing == "level"
        floats, categories, arrays = {}, {}, {}
        for name in numeric:
            column = need(self.frame, name, "a numeric feature", self.where)
            floats[name] = numbers(column, self.where, self.row, read, self.schema.missing, self.allow)
            self.gaps |= read & np.isnan(floats[name])
        for name in categorical:
            codes, known = cells(need(self.frame, name, "a categorical feature", self.where))
            absent = np.isin(known, ["", *self.schema.missing])[codes] & read
            if not self.allow:
                self._refuse(absent, name, "the cell is missing; declare on_missing = 'level' or 'drop'")
            self.gaps |= absent
            if level and absent.any():
                known = np.append(known, MISSING)
                codes = np.where(absent, len(known) - 1, codes)
            used = np.unique(codes[read & (level | ~absent)])
            position = np.full(len(known) + 1, -1)
            position[used] = np.arange(len(used))
            categories[name] = Category(position[np.where(read, codes, -1)], known[used])
        for name in vector_columns:
            arrays[name] = vectors(need(self.frame, name, "a vector feature", self.where))
            bad = read & ~np.isfinite(arrays[name]).all(1)
            empty = np.isnan(arrays[name]).all(1)
            self._refuse(
                bad & ~(empty & (self.schema.on_missing == "drop")), name, "expected a vector of finite numbers"
            )
            self.gaps |= bad
        incomplete = frozenset(n for n, values in floats.items() if level and (read & np.isnan(values)).any())
        return Features(read, floats, categories, arrays, incomplete)

    @staticmethod
    def _spread(rows: Features, live: np.ndarray, spread) -> Features:
        """The same as arrays of choices."""
        return Features(
            live,
            {name: spread(values, np.nan, name) for name, values in rows.numeric.items()},
            {name: Category(spread(c.codes, -1, name), c.texts) for name, c in rows.categorical.items()},
            {name: spread(values, 0.0, name) for name, values in rows.vectors.items()},
            rows.incomplete,
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

    def _attribute(self, spec: AttributeSpec) -> np.ndarray:
        """Codes `[n, K]`; -1 for the outside option, absent alternatives and excluded levels."""
        absent = np.full(self.grid.shape, -1, np.int32)
        if spec.column not in self.frame.columns and not self.labels:
            return absent
        codes, known = cells(need(self.frame, spec.column, f"attribute {spec.name!r}", self.where))
        level = np.array([spec.levels.index(value) if value in spec.levels else -1 for value in known])[codes]
        read = np.ones(len(codes), bool) if spec.chooser else self.inside
        if spec.others == "error":
            gone = read & np.isin(known, ["", *self.schema.missing])[codes] & (level < 0)
            if self.schema.on_missing == "drop":
                self.gaps |= gone
                read = read & ~gone
            self._refuse(gone & read, spec.column, f"attribute {spec.name!r} is missing; declare others = 'exclude'")
            bad = read & (level < 0)
            got = known[codes[int(np.argmax(bad))]]
            self._refuse(
                bad, spec.column, f"attribute {spec.name!r} has no level {got!r}; declared: {', '.join(spec.levels)}"
            )
        if spec.chooser:
            level = self._of_choice(level, name=spec.column)[self.choice]
        level = np.where(read & ~self.outside, level, -1)
        return self.dense(level.astype(np.int32), -1)

    def _alternatives(self) -> np.ndarray:
        if not self.schema.alternative:
            slots = np.array([str(k + 1) for k in range(self.grid.shape[1])], object)
            return np.where(self.grid < 0, "", slots).astype(object)
        column = self.schema.alternative
        codes, known = cells(need(self.frame, column, "alternative", self.where))
        twice = pd.Series(self.choice * len(known) + codes).duplicated().to_numpy()
        at = int(np.argmax(twice))
        self._refuse(twice, column, f"alternative {known[codes[at]]!r} is twice in choice {self.ids[self.choice[at]]}")
        return self.dense(known[codes], "")

    def _chosen(self, available: np.ndarray) -> np.ndarray | None:
        if not self.labels:
            return None
        schema = self.schema
        column = need(self.frame, schema.label, "label", self.where)
        label = shares(column, schema.positive, self.where, self.row, self.available)
        if not schema.positive:  # an unavailable alternative may leave its label empty
            label = np.where(self.available, label, numbers(column, self.where, self.row, ~self.available, (), True))
        label = self.dense(np.nan_to_num(label), 0.0)
        self._refuse_choice((label * ~available).any(1), schema.label, "an unavailable alternative carries the label")
        total = label.sum(1)
        self._refuse_choice(total == 0, schema.label, "no alternative is labelled as chosen")
        self._refuse_choice((label == 1).sum(1) > 1, schema.label, "two alternatives are labelled as chosen")
        off = np.abs(total - 1) > 1e-4
        self._refuse_choice(off, schema.label, f"labels must sum to 1, got {total[int(np.argmax(off))]:.6g}")
        return label

    def _weight(self) -> np.ndarray:
        name = self.schema.weight
        if not name or (name not in self.frame.columns and not self.labels):
            return np.ones(len(self.ids))
        values = numbers(
            need(self.frame, name, "weight", self.where), self.where, self.row, np.ones(len(self.frame), bool)
        )
        self._refuse(values < 0, name, "expected a weight that is not negative")
        return self._of_choice(values, name=name)

    def _units(self) -> np.ndarray | None:
        name = self.schema.unit
        if name == "row" or (name not in self.frame.columns and not self.labels):
            return None
        values = texts(need(self.frame, name, "unit", self.where))
        self._refuse(values == "", name, "the unit is missing")
        return self._of_choice(values, name=name)

    def _log_ref(self) -> np.ndarray | None:
        if not self.schema.log_ref:
            return None
        column = need(self.frame, self.schema.log_ref, "log_ref", self.where)
        return self.dense(np.nan_to_num(numbers(column, self.where, self.row, self.inside)), 0.0)
