"""A data set: choices read once from a table, then split by people, coded from the train part and handed out."""

from __future__ import annotations

import collections
import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd

from constraints import ANOTHER, UNIT_SHARE, Attribute, Choices, check_choices
from faro.errors import DataError, UsageError
from faro.units import RULE, RULES, called, plain

from .arrays import Parsed, select
from .coding import Coding
from .columns import expanded, need, serving, used_columns
from .containers import frame_of, read_table, unique_columns
from .exchange import exchanged
from .history import of_histories, whole
from .items import digests, of_people
from .made import UnitShare, is_made
from .mapped import Stored, stored_arrays
from .parse import parse
from .schema import Schema
from .specs import TextSpec
from .split import assign, check_parts, part_codes
from .support import QUERY, SupportRule, Turns, roles, turns_of
from .table import content_digest, row_digests
from .texts import StoredTexts, with_texts
from .twins import build_twin
from .values import quoted, read
from .vocabulary import Vocabulary

FEW_CLUSTERS = 20  # below it a bootstrap knows little of how clusters vary


class Whole(NamedTuple):
    """What a shard must know of the table that it is a piece of."""

    units: np.ndarray | None  # names of all, sorted; None: every row is a unit
    first: int  # units in the shards before this one, where every row is a unit
    outsiders: bool  # see `Dataset.outsiders`


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """n choices among K alternatives with their schema; make one with `Dataset.from_table` or `faro.load`.

    name: what outputs call it
    frame: the table as it was read
    schema: with the type of every column
    parsed: the table as dense arrays `[n, K]`
    defaults: the constraint, attribute and model to begin with, by name
    info: source, licence, traps, as texts
    population: the known truth of generated data, or None
    unit_rule: how units are spelled (`faro.units`)
    declared: the schema as it was given, without what the table added to the columns that it names
    arrays: those that the schema declares, by name
    whole: the table that it is a shard of, if it is one
    notes: what is to be known of how it was read, a sentence each
    """

    name: str
    frame: pd.DataFrame
    schema: Schema
    parsed: Parsed
    defaults: dict[str, Any] = dataclasses.field(default_factory=dict)
    info: dict[str, Any] = dataclasses.field(default_factory=dict)
    population: Any = None
    unit_rule: int = RULE
    declared: Schema | None = None
    arrays: Mapping[str, Stored] = dataclasses.field(default_factory=dict)
    whole: Whole | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {self.n} choices among {self.k}, {self.people} units)"

    @classmethod
    def from_table(
        cls,
        table: Any,
        schema: Schema,
        *,
        name: str | None = None,
        labels: bool = True,
        defaults: dict[str, Any] | None = None,
        info: dict[str, Any] | None = None,
        population: Any = None,
        unit_rule: int = RULE,
        arrays: Mapping[str, Any] = MappingProxyType({}),
        folder: str | os.PathLike | None = None,
        reads: Collection[str] | None = None,
    ) -> Dataset:
        """The choices in a table.

        table: a data frame (of pandas, polars, pyarrow, Hugging Face), or the path of a CSV, Parquet or JSON-lines file
            or of a folder of such files
        schema: which column is what
        name: what outputs call it; None: the file's name
        labels: False reads new data to score: label, weight, unit, shared and attribute columns may then be absent, and
            every available alternative has the same label
        defaults: the constraint, attribute and model to begin with, by name
        info: source, licence, traps, as texts
        population: the known truth of generated data
        unit_rule: 1 reads cells and units as models did that carry no number
        arrays: name -> the array, or a path to it, in place of the file that the schema names
        folder: where such files are looked for; None: the table's, of a data frame the working directory
        reads: of a table that a model serves, the attributes that it reads: the others may have no column, and are left
            out then; None: as labels say

        `DataError` naming the first row or cell that the schema does not allow.
        """
        if unit_rule not in RULES:
            raise UsageError(f"unit_rule is one of {', '.join(map(str, RULES))}; got {unit_rule!r}")
        held = frame_of(table)
        if held is not None:
            where, beside = name or "table", Path()
            frame = unique_columns(held.reset_index(drop=True), where)
        else:
            where, beside = name or Path(table).name, Path(table).parent
            frame = read_table(table)
        schema, frame, of_texts, notes = with_texts(schema, frame, where, labels)
        schema = expanded(schema, frame, where)
        schema = schema if reads is None else serving(schema, frame, reads, where)
        needed = [spec.name for spec in schema.feature_arrays]
        given = {**arrays, **of_texts}
        stored = stored_arrays(schema.arrays, given, beside if folder is None else Path(folder), needed)
        try:
            resolved, parsed = parse(schema, frame, where, labels, unit_rule, stored)
        except DataError as error:
            raise error if str(error).startswith(where) else DataError(f"{where}: {error}") from error
        about = (dict(defaults or {}), dict(info or {}), population)
        made = cls(name or where, frame, resolved, parsed, *about, unit_rule, schema, stored, notes=notes)
        if not (labels and schema.crossed):
            return made
        need(frame, schema.crossed, "crossed", where)
        return dataclasses.replace(made, notes=(*notes, made._both_drawn()))

    def read_by(self, schema: Schema, unit_rule: int) -> Dataset:
        """The same table, its cells and units read as a model reads them; itself, if it was read so.

        schema: whose types, label words and features of texts it is read by
        unit_rule: how units are spelled
        """
        given = self.declared or self.schema
        types = {name: kind for name, kind in schema.types.items() if name in self.schema.types}
        types = types if unit_rule < RULE else {**given.types, **types}
        words = {"negative": schema.negative} if given.positive and given.label == schema.label else {}
        changes: dict[str, Any] = {"types": types, **words}
        schema = schema.replace(texts=tuple(_by(spec, self.schema) for spec in schema.texts))
        if texts := bool(self.schema.texts) and schema.texts != self.schema.texts:  # a model says what it reads of them
            changes |= _with_texts_of(schema, given, types)
        asked = given.replace(**changes)
        same = all(self.schema.types[name] == kind for name, kind in types.items() if name in self.schema.types)
        same = same and not texts and unit_rule == self.unit_rule
        if same and (not words or words["negative"] == self.schema.negative):
            return self
        again = Dataset.from_table(
            self.frame, asked, name=self.name, labels=self.labelled, unit_rule=unit_rule, arrays=self.files
        )
        kept = {"defaults": self.defaults, "info": self.info, "population": self.population, "notes": self.notes}
        return dataclasses.replace(again, **kept)

    def before_layers(self, layers: int) -> Dataset:
        """The same table for a model that has the last layers of the encoder of its texts: they are what comes before
        those, of every token.

        layers: how many
        """
        texts = tuple(dataclasses.replace(spec, layers=layers) for spec in self.schema.texts)
        return self.read_by(self.schema.replace(texts=texts), self.unit_rule)

    def embed(self, progress: Callable[[int, int], None] = lambda done, total: None) -> Dataset:
        """Compute the vectors of its texts that are not on disk; they would be when they are first read.

        progress: called with (done, total) texts among those to compute
        """
        for stored in self.arrays.values():
            if isinstance(stored, StoredTexts):
                stored.embed(progress)
        return self

    @property
    def files(self) -> dict[str, Stored]:
        """The arrays that came with the table, by name: those of texts are made."""
        return {name: stored for name, stored in self.arrays.items() if not isinstance(stored, StoredTexts)}

    @property
    def n(self) -> int:
        """Number of choices."""
        return len(self.parsed.weight)

    @property
    def k(self) -> int:
        """Alternatives of the largest choice."""
        return self.parsed.available.shape[1]

    @property
    def dropped(self) -> int:
        """Choices left out because a cell was missing (`on_missing = "drop"`)."""
        return self.parsed.dropped

    @property
    def labelled(self) -> bool:
        """Whether the table says what was chosen."""
        return self.parsed.chosen is not None

    @property
    def choice_ids(self) -> np.ndarray:
        """`[n]` the id of every choice, as text."""
        return self.parsed.choice_ids

    @property
    def alternatives(self) -> np.ndarray:
        """`[n, K]` names of the alternatives, "" where there is none."""
        return self.parsed.alternatives

    @functools.cached_property
    def attributes(self) -> dict[str, Attribute]:
        """The declared attributes by name."""
        return {spec.name: spec.attribute for spec in self.schema.attributes}

    @property
    def unit_origin(self) -> str:
        """Where units come from: "column"; "content", where every row is a unit; or "none", where the table lacks what
        names or places them (the unit's column; the label, which is part of a row's content): then parts mean nothing.
        """
        if self.parsed.units is not None:
            return "column"
        return "content" if self.schema.unit == "row" and self.labelled else "none"

    @property
    def shared(self) -> dict[str, np.ndarray]:
        """Column -> `[n, K]` texts ("" = no alternative) by which rows of different units belong together."""
        return self.parsed.shared

    def _quoted(self, column: pd.Series) -> Any:
        """A column of the table as JSON strings of its canonical cells."""
        name = self._used[0][str(column.name)]
        spell = plain if name == self.schema.unit and self.unit_rule >= RULE else str
        return quoted(column, self.schema.types[name], self.schema.missing, spell)

    @functools.cached_property
    def _used(self) -> tuple[dict[str, str], list[str]]:
        return used_columns(self.schema, self.frame)

    @functools.cached_property
    def digest(self) -> str:
        """sha256 of the canonical content of the schema's columns and arrays, whatever files they came in."""
        table = content_digest(self.frame, *self._used, self._quoted)
        if not self.arrays:
            return table
        arrays = sorted([name, stored.scan.sha256] for name, stored in self.arrays.items())
        return hashlib.sha256(json.dumps(["faro table and arrays 1", table, arrays]).encode()).hexdigest()

    @functools.cached_property
    def placement(self) -> np.ndarray:
        """`[n]` what places a choice in a part: its unit, or its content where every row is a unit."""
        if self.parsed.units is not None:
            return self.parsed.units
        schema = self.schema
        names = {*schema.choice, schema.alternative, schema.weight, *schema.shared}
        features = {*schema.item_features, *schema.context_features}
        apart = names - features  # do not make equal rows differ
        places = {spec.index for spec in schema.arrays} - features  # the array's numbers count
        columns, arrays = used_columns(schema, self.frame, twins=False)  # with or without its twins a row is the same
        told = [column for column, name in columns.items() if column not in apart and name not in places]
        digests = row_digests(self.frame, told, arrays, self._quoted)
        of_alternatives, shared = (
            [rows.contents() for rows in of.stored] for of in (self.parsed.items, self.parsed.context)
        )
        names_of = []
        for choice, rows in enumerate(self.parsed.source):
            arrays = ["".join(part[choice, slot].hex() for part in of_alternatives) for slot in range(len(rows))]
            if schema.format == "long":
                cells = sorted(digests[row].hex() + array for row, array in zip(rows, arrays, strict=True) if row >= 0)
            else:
                cells = [digests[rows[0]].hex(), *arrays]
            names_of.append("".join([*cells, *(part[choice].hex() for part in shared)]))
        return np.array(names_of, object)

    @functools.cached_property
    def choice_names(self) -> np.ndarray:
        """`[n]` what a choice of a unit is called where choices are drawn by hashes: its id; where no column has one, a
        digest of what is asked and a count of the unit's equal ones, in the order of what was chosen. So no order of
        rows, or of sides, moves what is drawn."""
        if self.schema.choice:
            return self.choice_ids
        asked, answered = digests(self.parsed, self.unit_codes)
        order = np.argsort(answered, kind="stable")
        equal = pd.DataFrame({"unit": self.units, "asked": asked}).iloc[order].groupby(["unit", "asked"], sort=False)
        return np.array([f"{name}#{n}" for name, n in zip(asked, equal.cumcount().sort_index(), strict=True)], object)

    @functools.cached_property
    def units(self) -> np.ndarray:
        """`[n]` the person, annotator or prompt of every choice; where every row is a unit, its content and a count."""
        if self.parsed.units is not None:
            return self.parsed.units
        seen: collections.Counter[str] = collections.Counter()
        names = []
        for content in self.placement:
            told = content if len(content) == 32 else hashlib.sha256(content.encode()).hexdigest()[:32]
            names.append(
                f"{told}#{seen[content]}"
            )  # a row's digest, or one of those of all its alternatives and arrays
            seen[content] += 1
        return np.array(names, object)

    @property
    def people(self) -> int:
        """Number of units."""
        return len(set(self.units))

    @property
    def weight(self) -> np.ndarray:
        """`[n]` the weight of every choice."""
        return self.parsed.weight

    def pieces(self, rows: np.ndarray) -> Iterator[tuple[Dataset, np.ndarray]]:
        """The tables that these choices are in, one after another, and where in each: this one.

        rows: indices of choices
        """
        yield self, rows

    @property
    def outsiders(self) -> bool:
        """Whether the last alternative of every choice is the outside option: it has no items then."""
        return bool(np.all(self.parsed.outside[:, -1])) if self.whole is None else self.whole.outsiders

    @functools.cached_property
    def unit_codes(self) -> np.ndarray:
        """`[n]` int32: equal where the unit is equal, in every part of the data set; in another table, or a part of
        this one, a unit has another code. What a model may know of units is `Choices.unit_index`."""
        units, codes = np.unique(self.units, return_inverse=True)
        if self.whole is not None:
            places = np.arange(len(units)) + self.whole.first
            codes = (places if self.whole.units is None else np.searchsorted(self.whole.units, units))[codes]
        return codes.astype(np.int32)

    @functools.cached_property
    def crossed_codes(self) -> np.ndarray | None:
        """`[n]` equal where the second cluster of `Schema.crossed` is, in every part; a choice whose cell is empty is
        one of its own. None without such a column.

        `DataError` for a choice whose rows differ in it.
        """
        column = self.schema.crossed
        if not column or column not in self.frame.columns:
            return None
        cells, source = read(self.frame[column], "text", self.schema.missing), self.parsed.source
        of_rows = np.where(cells.missing, len(cells.texts) + np.arange(len(cells.codes)), cells.codes)
        codes = of_rows[source]
        differ = ((codes != codes[:, :1]) & (source >= 0) & ~cells.missing[source]).any(1)
        if differ.any():
            choice = self.choice_ids[int(np.argmax(differ))]
            raise DataError(f"{self.name}: choice {choice}: column {column!r}, which is crossed, varies within it")
        return codes[:, 0]

    @functools.cached_property
    def when(self) -> np.ndarray | None:
        """`[n]` whole numbers that are less where a choice came earlier, by `Schema.order`; of a choice of several rows
        the time of the latest. None without such a column.

        `DataError` for a table that lacks it, and for a cell that is missing or no number or date.
        """
        column = self.schema.order
        if not column:
            return None
        cells, source = need(self.frame, column, "order", self.name), self.parsed.source
        kinds = [self.schema.types[column]] if column in self.schema.types else ["number", "date"]
        readings = [(kind, read(cells, kind, self.schema.missing)) for kind in kinds]
        kind, found = next((reading for reading in readings if not any(reading[1].faults)), readings[0])
        used = np.unique(source[source >= 0])
        if (bad := found.missing[used] | (found.faults[found.codes[used]] != "")).any():
            row = used[int(np.argmax(bad))]
            got = "none" if found.missing[row] else repr(found.values[row])
            at = f"{self.name}: column {column!r} (order), row {row + 1}"
            raise DataError(f"{at}: expected numbers or dates, got {got}")
        texts = found.values[used]
        ranks = np.zeros(len(found.codes), np.int64)
        ranks[used] = np.unique(texts.astype(float) if kind == "number" else texts, return_inverse=True)[1]
        return np.where(source >= 0, ranks[source], -1).max(1)

    @functools.cached_property
    def turns(self) -> Turns:
        """The choices of every person in the order in which models may read them (`faro.data.support`)."""
        return turns_of(self)

    def _both_drawn(self) -> str:
        """What a reader of intervals must know: who is drawn."""
        people = called(self.info.get("unit") or self.schema.unit)
        count = 0 if self.crossed_codes is None else len(np.unique(self.crossed_codes))
        few = f"; {count} are few, and such intervals rough" if count < FEW_CLUSTERS else ""
        others = called(self.schema.crossed)
        return f"intervals draw {self.people} {people} and, crossed with them, {count} {others}{few}"

    def parts(self, seed: int = 0) -> np.ndarray:
        """`[n]` int8 codes into `PARTS`, not to be written to; the gate part is the same for every seed.

        seed: of the split, >= 0

        `DataError` where a part would be empty.
        """
        if seed not in self._parts:
            parts = assign(self.placement, seed)
            check_parts(parts, len(set(self.placement)))
            parts.flags.writeable = False
            self._parts[seed] = parts
        return self._parts[seed]

    @functools.cached_property
    def _parts(self) -> dict[int, np.ndarray]:
        return {}

    def rows(self, part_names: str | Sequence[str], seed: int = 0) -> np.ndarray:
        """Indices of the choices in these parts.

        part_names: one of "train", "dual", "selection", "dev", "gate", or several
        seed: of the split, >= 0
        """
        return np.flatnonzero(np.isin(self.parts(seed), part_codes(part_names)))

    def take(self, rows: np.ndarray) -> Dataset:
        """These choices alone, whose units and parts are what they are in the whole table.

        rows: indices of choices, whole units of them
        """
        names = None if self.unit_origin != "column" else np.unique(self.units)
        own = Whole(names, 0, self.outsiders) if self.whole is None else self.whole
        return dataclasses.replace(self, parsed=select(self.parsed, rows), whole=own)

    def fit_coding(self, rows: Any = None) -> Coding:
        """The coding learned from these choices and from nothing else: means, spreads, levels, known units.

        rows: indices of choices, as of the train part; None: all
        """
        part = self._select(rows)
        coding = Coding.fit([(part.items, part.context)], self.schema, self._vocabulary(rows))
        person = self.unit_codes if rows is None else self.unit_codes[rows]
        if self.unit_origin == "column" and np.bincount(person).max(initial=0) > 1:
            coding = dataclasses.replace(coding, people=of_people(part.context, person))
        coding.items.check_size(self.parsed.items.live.size)  # all of it is coded at the end
        coding.context.check_size(self.parsed.context.live.size)
        return coding

    def _vocabulary(self, rows: Any) -> Vocabulary | None:
        """The units of these choices, where the schema asks for it and the table names units."""
        if not self.schema.unit_index or self.unit_origin != "column":
            return None
        units = self.units if rows is None else self.units[np.asarray(rows)]
        return Vocabulary.of(units, self.people, f"faro units {self.digest[:16]}")

    def _unit_index(self, coding: Coding, rows: Any) -> np.ndarray | None:
        """`[n]` which unit of the coding each choice is of, -1 if of none."""
        if coding.units is None:
            return None
        codes = np.full(self.n, -1, np.int32)
        if self.unit_origin == "column":
            codes = coding.units.codes(self.units)
        return codes if rows is None else codes[np.asarray(rows)]

    def unseen(self, coding: Coding, rows: Any = None) -> dict[str, int]:
        """Feature -> how many entries have a level that the coding never saw; worth a note to the user.

        coding: learned from train
        rows: indices of choices; None: all
        """
        part = self._select(rows)
        return coding.unseen(part.items, part.context)

    def choices(
        self,
        coding: Coding,
        rows: Any = None,
        *,
        twins: Sequence[str] = (),
        columns: Sequence[str] = (),
        dtype: Any = np.float32,
    ) -> Choices:
        """These choices, coded, as numpy arrays.

        coding: learned from train
        rows: indices of choices; None: all
        twins: attributes whose twins are built, `constraints.ANOTHER` among them
        columns: numeric columns that are handed out in the table's own units, or made (`faro.data.made`)
        dtype: of coded features and weights: float32, or float64 under `jax_enable_x64`

        Without labels, `chosen` is uniform. Where the schema has a `margin`, it is the column "margin".
        Where it has raw arrays, items (context) are a dict of the coded features, "features", and of each array under
        its name, in its own shape and dtype whatever `dtype` is.

        `UsageError` for a column that is not numeric in the schema, `DataError` for one with a missing cell.
        """
        dtype = np.dtype(dtype)
        if dtype == np.float64 and not jax.config.read("jax_enable_x64"):
            raise UsageError(f"dtype {dtype} needs jax.config.update('jax_enable_x64', True)")
        part = self._select(rows)
        if not (set(coding.features) <= {*part.items.names, *part.context.names}):
            raise UsageError(f"the coding belongs to other features: {', '.join(coding.features)}")
        items, context = coding.transform(part.items, part.context, dtype)
        items, context = coding.items.tree(items, part.items), coding.context.tree(context, part.context)
        items = jax.tree.map(lambda leaf: leaf[:, :-1], items) if self.outsiders else items
        chosen = part.available / part.available.sum(1, keepdims=True) if part.chosen is None else part.chosen
        shown = context if isinstance(context, dict) or context.shape[1] else None
        host: dict[str, Any] = {  # a device is given them once they are padded, stacked and dealt out
            "items": items,
            "context": shown,
            "available": part.available,
            "chosen": np.asarray(chosen, dtype),
            "weight": np.asarray(part.weight, dtype),
            "unit": self.unit_codes if rows is None else self.unit_codes[rows],
            "unit_index": self._unit_index(coding, rows),
            "outside": part.outside,
            "attributes": {name: np.asarray(codes, np.int32) for name, codes in part.attributes.items()},
            "log_ref": None if part.log_ref is None else np.asarray(part.log_ref, dtype),
            "twins": {
                name: exchanged(self, coding, rows, shown, dtype)
                if name == ANOTHER
                else of_histories(self, build_twin(self.schema, coding, part, items, context, name), name, rows)
                for name in twins
            },
            "columns": {name: np.asarray(self.column(part, name), dtype) for name in columns if not is_made(name)},
        }
        if part.margin is not None:
            host["columns"]["margin"] = np.broadcast_to(part.margin[:, None], part.available.shape).astype(dtype)
        choices = Choices(**host)
        made: dict[str, Any] = {name: self._made(coding, name, choices, rows) for name in filter(is_made, columns)}
        choices = choices.replace(columns={**choices.columns, **made}) if made else choices
        check_choices(choices)
        return choices

    def _made(self, coding: Coding, name: str, choices: Choices, rows: Any) -> np.ndarray:
        """A column that no table has, 0 where nothing is."""
        maker = coding.made.get(name, UnitShare() if name == UNIT_SHARE else None)
        if maker is None:
            raise UsageError(
                f"{self.name}: column {name!r}: no model was fitted that makes it; train with a constraint"
            )
        values = maker(self, choices.replace(columns={}, twins={}), rows)
        return np.where(choices.inside, values, 0).astype(choices.weight.dtype)

    def unit_weights(self, support: int = 0) -> np.ndarray:
        """`[U]` the weight of all choices of every unit code.

        support: how many choices of a person a model reads first; what is then no query is left out
        """
        if support not in self._unit_weights:
            weight = self.weight
            if support:
                weight = np.where(roles(self, SupportRule(support, self.schema.order)) == QUERY, weight, 0.0)
            self._unit_weights[support] = np.bincount(self.unit_codes, weight)
        return self._unit_weights[support]

    def rewritable(self, name: str) -> np.ndarray:
        """`[U, L]` whose choices all have a twin of this attribute at each level, by unit code.

        name: of a chooser's attribute
        """
        if name not in self._rewritable:
            self._rewritable[name] = whole(self, name)
        return self._rewritable[name]

    @functools.cached_property
    def _rewritable(self) -> dict[str, np.ndarray]:
        return {}

    @functools.cached_property
    def of_people(self) -> tuple[str, ...]:
        """The features of the context that vary within no person of this table."""
        return of_people(self.parsed.context, self.unit_codes)

    @functools.cached_property
    def _unit_weights(self) -> dict[int, np.ndarray]:
        return {}

    def column(self, part: Parsed, name: str) -> np.ndarray:
        """`[n, K]` the numbers of a numeric column, as the table has them; 0 where nothing is.

        part: the parsed choices that it is read of
        name: of the column

        `UsageError` for a column that is not numeric in the schema, `DataError` for one with a missing cell.
        """
        numeric = {**part.items.numeric, **part.context.numeric}
        if name not in numeric:
            names = ", ".join(numeric) or "none"
            others = {*part.items.names, *part.context.names}
            what = "is not numeric in the schema" if name in others else "is not in the schema"
            raise UsageError(f"{self.name}: column {name!r}, which a constraint reads, {what} (numeric: {names})")
        inside = part.inside
        values = np.broadcast_to(numeric[name].reshape(len(inside), -1), inside.shape)
        absent = inside & np.isnan(values)
        if absent.any():
            choice = part.choice_ids[int(np.argmax(absent.any(1)))]
            raise DataError(
                f"{self.name}: column {name!r}, choice {choice}: the cell is missing, and a constraint reads it; fill "
                'it in, or say on_missing = "drop"'
            )
        return np.where(inside, values, 0.0)

    def _select(self, rows: Any) -> Parsed:
        return self.parsed if rows is None else select(self.parsed, np.asarray(rows))


def _by(spec: TextSpec, schema: Schema) -> TextSpec:
    """The text, but a summary is by whom a table has it, and in the column that it is in there."""
    own = {text.name: text for text in schema.texts}.get(spec.name)
    if spec.summary is None or own is None or own.summary is None:
        return spec
    return dataclasses.replace(spec, **{spec.of_person: getattr(own, spec.of_person)}, summary=own.summary)


def _with_texts_of(model: Schema, given: Schema, types: Mapping[str, str]) -> dict[str, Any]:
    """What changes in a schema that reads its table's texts as a model does: texts, their arrays and types."""
    before, after = ({spec.name for spec in of.texts} for of in (given, model))
    arrays = [spec for spec in given.arrays if spec.name not in before]
    arrays += [spec for spec in model.arrays if spec.name in after]
    gone = {spec.index for spec in given.arrays if spec.name in before - after}
    kinds = {name: kind for name, kind in types.items() if name not in gone}
    return {"texts": model.texts, "arrays": tuple(arrays), "types": kinds}
