"""What a scored table is: which question its numbers answer, so that it travels with them to the certificate.

    TABLE-metadata.json        beside a .csv or .jsonl file; of a .parquet file the entry `faro` of its metadata

A table with a description is held against it, and against the policy, before anything is counted: `Description.check`.
A table without one is foreign. Fields: docs/certificate-format.md, "The description of a table".
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DataError, NotIndependentError
from ..files import replacing, write_json
from .columns import once
from .committed_order import quote
from .ledger import digest
from .overlap import HEX
from .policy import OWN_COLUMNS, Claim, Policy, Support, exact
from .rules import KINDS, served

SCHEMAS = ("faro-scored/1", "faro-scored/2")  # decided by argmax; by another rule, on sets that `candidates` says
PARQUET_KEY = b"faro"
MAX_BYTES = 4 << 20
ORIGINS = ("column", "content", "none")
OUTSIDE = ("none", "all", "column")
COMPARED = ("pairs", "rates")
VALUES = ("decision", "1 - decision", "column")


class Units(NamedTuple):
    """Where units come from: `origin` "column" (named `column` in the data), "content" (every row is one) or "none"
    (nobody knows who the rows are of); `rule` is the number of the rule by which spellings of a name are one."""

    origin: str
    column: str
    rule: int


class Levels(NamedTuple):
    """Declared levels of an attribute, and whether it is the chooser's."""

    levels: tuple[str, ...]
    chooser: bool


class Candidates(NamedTuple):
    """What the sets are that a rule decided on: `kind`, and in words the `reference` and how it was drawn from."""

    kind: str
    reference: str
    decoding: str


class PlugIn(NamedTuple):
    """Whose cells a table has: a constraint, its options, its source, and what its cells mean.

    plugin         name of the constraint, or place of its class
    options        what it was made with, but for the bound: canonical JSON, as text
    source_sha256  of the source files of its packages
    blocks, groups names; cell = position of the block * number of groups + position of the group
    compared       "pairs": rates of groups in each block; "rates": every rate with the bound
    values         of which the rates are means: "decision", "1 - decision", or the "column" of values
    columns        numeric columns that it reads, `column:NAME` of the table
    slots          S for columns `cell:S`, `share:S` and, of values, `value:S`
    """

    plugin: str
    options: str
    source_sha256: str
    blocks: tuple[str, ...]
    groups: tuple[str, ...]
    compared: str
    values: str
    columns: tuple[str, ...]
    slots: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Of all that makes the cells and says what they mean, wherever in a table they stand."""
        return digest({name: value for name, value in self.record().items() if name != "slots"})

    def record(self) -> dict[str, Any]:
        """As a description has it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in self._asdict().items()}

    @property
    def table_columns(self) -> tuple[str, ...]:
        """The columns of the table that it fills."""
        kinds = ("cell", "share", "value") if self.values == "column" else ("cell", "share")
        return (
            *(f"{kind}:{slot}" for slot in self.slots for kind in kinds),
            *(f"column:{name}" for name in self.columns),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """The fields of `TABLE-metadata.json`; `sha256` seals them."""

    table_sha256: str
    outside: str
    rule: str = "argmax"
    threshold: str = "0"
    estimand: str = "row"
    weights: str = "none"
    units: Units
    shared: tuple[str, ...] = ()
    attributes: Mapping[str, Levels] = dataclasses.field(default_factory=dict)
    constraint: str = ""
    model_sha256: tuple[str, ...] = ()
    train_units_sha256: str | None = None
    data_sha256: str | None = None
    support: Support | None = None  # which earlier answers the model read; a field only where it did
    candidates: Candidates | None = None  # of a rule that is not argmax; likewise
    plugins: tuple[PlugIn, ...] = ()  # whose cells it has; a field only where there are any
    aggregates: Mapping[str, str] = dataclasses.field(default_factory=dict)  # name -> sha256 of the model; likewise
    summaries: Mapping[str, str] = dataclasses.field(default_factory=dict)  # by whom -> sha256 of them all; likewise

    def body(self) -> dict[str, Any]:
        """All fields but the seal, as plain values."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        support = fields.pop("support")
        plugins = [plugin.record() for plugin in fields.pop("plugins")]
        aggregates, summaries = (dict(fields.pop(name)) for name in ("aggregates", "summaries"))
        candidates = fields.pop("candidates")
        return {
            "schema": SCHEMAS[candidates is not None],
            **fields,
            **({"candidates": candidates._asdict()} if candidates else {}),
            **({"support": support.record()} if support else {}),
            **({"plugins": plugins} if plugins else {}),
            **({"aggregates": aggregates} if aggregates else {}),
            **({"summaries": summaries} if summaries else {}),
            "units": self.units._asdict(),
            "shared": list(self.shared),
            "attributes": {
                name: {"levels": list(spec.levels), "chooser": spec.chooser} for name, spec in self.attributes.items()
            },
            "model_sha256": list(self.model_sha256),
        }

    @property
    def sha256(self) -> str:
        """Of the canonical JSON of the other fields."""
        return digest(self.body())

    def record(self) -> dict[str, Any]:
        """As the file has it."""
        return self.body() | {"sha256": self.sha256}

    def check(
        self,
        columns: Mapping[str, list[str]],
        policy: Policy,
        where: str,
        models: Mapping[str, str] | None = None,
        train_units_sha256: str | None = None,
    ) -> None:
        """Hold the table and the policy against what the table is said to be.

        columns             the cells of the table as texts, by column
        policy              what is asked
        where               name of the table, for messages
        models              file name -> sha256 of the files given with --model
        train_units_sha256  of the file given with --train-units

        `DataError` for a contradiction, `NotIndependentError` where nobody knows whose the rows are.
        """
        if self.table_sha256 != table_digest(columns):
            raise DataError(
                f"{where}: the description beside it is of another table: rows or cells were changed after scoring; "
                "score again, or take the description away and let the policy admit 'undescribed-table'"
            )
        if self.weights == "column" and "weight" not in columns:
            raise DataError(f"{where}: has no column 'weight', but was made of data with weights: score again")
        if self.weights == "none" and len(set(columns.get("weight", ()))) > 1:
            raise DataError(f"{where}: the description says that rows have no weights, the column 'weight' has several")
        asked = policy.rule.text if policy.rule else "argmax"
        if self.rule != asked:
            raise DataError(f"{where}: decided by the rule {self.rule!r}, the policy says {asked!r}: score with --rule")
        for field, made in (self.candidates._asdict() if self.candidates and policy.rule else {}).items():
            if made != getattr(policy.rule, field):
                raise DataError(
                    f"{where}: candidates.{field}: the policy says {getattr(policy.rule, field)!r}, the table {made!r}"
                )
        if self.units.origin == "none":
            raise NotIndependentError(
                f"{where}: nobody knows whose rows these are: the data had no column {self.units.column!r} when they "
                "were scored, so their units are none; score data that name them"
            )
        unit_name = "row" if self.units.origin == "content" else self.units.column
        threshold = exact(self.threshold)
        contradictions = [
            ("outside", policy.outside, self.outside),
            ("threshold", policy.threshold, threshold),
            ("units", policy.units or unit_name, unit_name),
        ]
        read = self.support and self.support.of(policy.twins)
        if read != policy.support:
            raise DataError(f"{where}: the policy says {_told(policy.support)}, the model read {_told(read)}")
        for field, required, made in contradictions:
            if required != made:
                raise DataError(
                    f"{where}: the policy says {field} = {str(required)!r}, the table was made with {str(made)!r}"
                )
        for name, attribute in policy.attributes.items():
            known = self.attributes.get(name)
            if known is None:
                raise DataError(f"{where}: has no attribute {name!r}; it has {', '.join(self.attributes) or 'none'}")
            if set(known.levels) != set(attribute.levels) or known.chooser != attribute.chooser:
                whose = "a chooser's" if known.chooser else "an alternative's"
                raise DataError(
                    f"{where}: attribute {name!r} is {whose}, with the levels {', '.join(known.levels)}; the policy "
                    f"declares others: {', '.join(attribute.levels)}"
                    + (", a chooser's" if attribute.chooser else ", an alternative's")
                )
        for claim in policy.audited:
            if claim.plugin:
                _same_cells(self.cells_of(claim.plugin, claim.plugin_sha256, where), claim, where)
        for name in self.aggregates:
            if f"reward:{name}" not in columns:
                raise DataError(f"{where}: has no column 'reward:{name}', the rewards of the aggregate: score again")
        meant = {*OWN_COLUMNS, "content", *self.shared, *self.attributes, *(["role"] if self.support else [])}
        meant |= {"log_ref"} if self.candidates else set()
        meant |= {name for plugin in self.plugins for name in plugin.table_columns}
        for name in columns:
            if name not in meant and not name.startswith("reward:"):
                raise DataError(f"{where}: the description says nothing of the column {name!r}: score again")
        for name, sha256 in (models or {}).items():
            if sha256 not in self.model_sha256:
                raise DataError(f"{where}: was not scored by {name}: another model, or changed since")
        if train_units_sha256 is not None and self.train_units_sha256 not in (None, train_units_sha256):
            raise DataError(f"{where}: the model that scored it was trained on other units than --train-units names")

    def cells_of(self, plugin: str, sha256: str, where: str = "table") -> PlugIn:
        """The cells that this plug-in made at this digest; `DataError` if the table has none."""
        made = {(plugin.plugin, plugin.sha256): plugin for plugin in self.plugins}
        if (plugin, sha256) not in made:
            others = ", ".join(f"{name} at {sha[:12]}..." for name, sha in made) or "none"
            raise DataError(
                f"{where}: has no cells by {plugin} at {sha256[:12]}...; it has {others}: another plug-in, or its "
                "source or options changed since: score again, or let the policy name this digest"
            )
        return made[plugin, sha256]


def aggregate_of(described: Description | None, against: str, where: str = "table") -> str:
    """The assumption that names the model of a column of rewards; `DataError` where nothing says whose they are."""
    known = described.aggregates if described else {}
    if against not in known:
        raise DataError(
            f"{where}: nothing says that it has rewards of the aggregate {against!r}: score a model that was trained "
            "with a welfare floor"
        )
    return f"aggregate {against} at {known[against]}"


def _same_cells(made: PlugIn, claim: Claim, where: str) -> None:
    """`DataError` where a claim asks of these cells what they are not."""
    kind = {"pairs": "plugin_parity", "rates": "plugin_cap"}[made.compared]
    for what, required, made_value in (
        ("constraint", claim.constraint, kind),
        ("scores", claim.scores, made.values == "column"),
        ("blocks", sorted(set(claim.named_blocks) - set(made.blocks)), []),
        ("groups", sorted(set(claim.groups) - set(made.groups)), []),
    ):
        if required != made_value:
            raise DataError(f"{where}: claim {claim.name!r}: {what}: {required!r}, but {made.plugin} made other cells")


def table_digest(columns: Mapping[str, list[str]]) -> str:
    """sha256 of the hash of the sorted column names and the sorted hashes of all rows, whose order means nothing."""
    names = sorted(columns)
    cells = [map(quote, columns[name]) for name in names]
    rows = sorted(hashlib.sha256(f"[{','.join(row)}]".encode()).hexdigest() for row in zip(*cells, strict=True))
    head = hashlib.sha256(f"[{','.join(map(quote, names))}]".encode()).hexdigest()
    return hashlib.sha256("".join([head, *rows]).encode()).hexdigest()


def place(table: str | Path) -> Path:
    """Where the description of a table lies."""
    return Path(f"{table}-metadata.json")


def read_description(table: str | Path) -> Description | None:
    """The description of a table, or None of a foreign one; `DataError` if it is not as it was written."""
    table = Path(table)
    try:
        if table.suffix == ".parquet":
            import pyarrow.parquet as pq

            text = (pq.read_schema(table).metadata or {}).get(PARQUET_KEY, b"")
            if not text:
                return None
        else:
            if not place(table).exists():
                return None
            text = place(table).read_bytes()
        if len(text) > MAX_BYTES:
            raise ValueError(f"longer than {MAX_BYTES} bytes")
        record = json.loads(text.decode("utf-8-sig"), object_pairs_hook=once)
        return _described(record)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{place(table)}: not the description of a scored table: {error}") from None


def write_description(table: str | Path, description: Description) -> None:
    """Beside the table, or into the metadata of a Parquet file."""
    table = Path(table)
    if table.suffix != ".parquet":
        write_json(place(table), description.record())
        return
    import pyarrow.parquet as pq

    content = pq.read_table(table)
    metadata = {**(content.schema.metadata or {}), PARQUET_KEY: json.dumps(description.record()).encode()}
    with replacing(table) as temporary:
        pq.write_table(content.replace_schema_metadata(metadata), temporary)


def _described(record: dict[str, Any]) -> Description:
    """Every field known, of its type, and sealed."""
    if record.get("schema") not in SCHEMAS:
        raise ValueError(f"expected schema {' or '.join(SCHEMAS)}, got {str(record.get('schema'))[:40]!r}")
    if (record["schema"] == SCHEMAS[1]) != ("candidates" in record):
        raise ValueError(f"candidates: a field of {SCHEMAS[1]} alone, and needed there")
    values = {key: value for key, value in record.items() if key not in ("schema", "sha256")}
    names = {field.name for field in dataclasses.fields(Description)}
    empty = any(values.get(name, ...) in ([], {}) for name in ("plugins", "aggregates", "summaries"))
    if set(values) | {"plugins", "aggregates", "summaries", "support", "candidates"} != names or empty:
        raise ValueError(f"expected exactly the fields {', '.join(sorted(names))}")
    if set(values["units"]) != set(Units._fields) or values["units"]["origin"] not in ORIGINS:
        raise ValueError("units: expected origin, column and rule")
    units = Units(**values["units"])
    attributes = {}
    for name, spec in values["attributes"].items():
        if set(spec) != set(Levels._fields) or type(spec["chooser"]) is not bool:
            raise ValueError(f"attributes: {name!r}: expected levels and chooser")
        attributes[name] = Levels(_texts(spec["levels"]), spec["chooser"])
    texts = [values[key] for key in ("table_sha256", "rule", "threshold", "constraint", "weights", "estimand")]
    texts += [units.origin, units.column]
    optional = [values[key] for key in ("train_units_sha256", "data_sha256") if values[key] is not None]
    if not all(isinstance(text, str) for text in texts + optional) or type(units.rule) is not int:
        raise ValueError("expected texts")
    if values["outside"] not in OUTSIDE or exact(values["threshold"]) is None:
        raise ValueError("outside or threshold: expected none, all or column, and a number")
    if values["estimand"] not in ("row", "unit") or values["weights"] not in ("column", "none"):
        raise ValueError("estimand is row or unit, weights is column or none")
    made = Description(
        **values
        | {
            "units": units, "attributes": attributes, "shared": _texts(values["shared"]),
            "model_sha256": _texts(values["model_sha256"]),
            "plugins": tuple(_plugin(plugin) for plugin in values.get("plugins", [])),
            "aggregates": dict(values.get("aggregates", {})), "summaries": dict(values.get("summaries", {})),
            "support": _support(values), "candidates": _candidates(values),
        }
    )  # fmt: skip
    digests = [made.table_sha256, *made.model_sha256, *optional, *made.aggregates.values(), *made.summaries.values()]
    if not all(isinstance(name, str) and name for name in (*made.aggregates, *made.summaries)):
        raise ValueError("aggregates, summaries: expected names and digests")
    if made.summaries and made.support is None:
        raise ValueError("summaries are of earlier answers, and support says of none")
    if not all(map(HEX.fullmatch, digests)) or list(made.model_sha256) != sorted(set(made.model_sha256)):
        raise ValueError("expected every sha256 in lower-case hex, those of the model sorted and each once")
    if list(made.shared) != sorted(set(made.shared)) or "" in made.shared:
        raise ValueError("shared: expected different names, sorted")
    slots = [slot for plugin in made.plugins for slot in plugin.slots]
    if len({*slots}) < len(slots) or len({plugin.sha256 for plugin in made.plugins}) < len(made.plugins):
        raise ValueError("plugins: expected different ones, of different slots")
    if record.get("sha256") != made.sha256:
        raise ValueError("it was changed after it was written")
    return made


def _candidates(values: dict[str, Any]) -> Candidates | None:
    if "candidates" not in values:
        return None
    found = Candidates(**values["candidates"])
    if not all(isinstance(text, str) for text in found) or served(values["rule"], found.kind) is None:
        raise ValueError("candidates: expected kind, reference and decoding, of a rule that is not argmax")
    if found.kind not in KINDS:
        raise ValueError(f"candidates: expected a kind, {' or '.join(KINDS)}")
    return found


def _support(values: dict[str, Any]) -> Support | None:
    if "support" not in values:
        return None
    found = Support(**values["support"])
    if type(found.k) is not int or found.k < 1 or not isinstance(found.order, str):
        raise ValueError("support: expected k, a count, and order, a column or an empty text")
    if "rewritten" not in values["support"]:
        return found
    rewritten = _texts(found.rewritten)
    if not rewritten or list(rewritten) != sorted({*rewritten} & {*values["attributes"]}):
        raise ValueError("support: rewritten: expected attributes, sorted, where there are any")
    return found._replace(rewritten=rewritten)


def _told(support: Support | None) -> str:
    if support is None:
        return "no answers of a person"
    twins = f", rewritten for twins of {', '.join(support.rewritten)}" if support.rewritten else ""
    return f"{support.k} answers of a person, the first by {support.order or 'a hash of names'}{twins}"


def _plugin(value: Any) -> PlugIn:
    if not isinstance(value, dict) or set(value) != set(PlugIn._fields):
        raise ValueError(f"plugins: expected exactly the fields {', '.join(PlugIn._fields)}")
    lists = {name: _texts(value[name]) for name in ("blocks", "groups", "columns", "slots")}
    made = PlugIn(**value | lists)
    texts = (made.plugin, made.options, *made.groups, *made.columns, *made.slots)
    if not all(isinstance(text, str) and text for text in texts):
        raise ValueError("plugins: expected texts that are not empty")
    if made.compared not in COMPARED or made.values not in VALUES or not HEX.fullmatch(made.source_sha256):
        raise ValueError("plugins: compared, values or source_sha256 is none of what it may be")
    repeats = any(len(set(names)) < len(names) for names in lists.values())
    if repeats or not (made.blocks and made.groups and made.slots):
        raise ValueError("plugins: expected one block, group and slot or more, and names that differ")
    return made


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError("expected a list of texts")
    return tuple(value)
