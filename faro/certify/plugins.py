"""Cells by a plug-in: a constraint of anybody's, counted on held-out people from the columns of a scored table.

A claim of a policy counts what its name says from the table itself. What no name says is counted by whoever wrote the
constraint: `RateConstraint.counts` puts every row of a scored table in cells, with a share and where needed a value, in
columns of their own, and the description says whose these are. What a certificate then rests on is the assumption
"cells by PLUGIN at DIGEST", until somebody computes them again.

    uncounted   why a scored table cannot hold the cells of a constraint; "" if it can
    with_cells  a scored table with the cells of its model's constraint
    recomputed  the cells again, from the other columns of the table
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array

import constraints as ct
from constraints import Attribute, Choices, Constraint, Counts, RateConstraint
from constraints.testing import miscounted

from .._moved import old_name
from ..data import Dataset, Schema
from ..errors import DAMAGE, DataError, UnprovedError, UsageError
from ..files import sha256_of
from ..registry import find_notion
from ..store.model import TrainedModel
from ..store.spec import Record, from_record, to_record
from .audit import audit_of
from .columns import read_columns
from .description import PlugIn, read_description
from .ledger import canonical, digest
from .policy import ACCURACIES, CAPS, EXCHANGE, FLOORS, PAIRS, Policy

TOLERANCE = 1e-9  # of a share or a value to the one computed again: platforms may round differently
# options of a notion that say what a claim measures
MEASURED_OPTIONS = {"thresholds", "scale", "tail", "reference", "welfare", "floor", "against"}
TRAINING_OPTIONS = {"form", "softness"}  # options that say how a model is trained, and move no gap
TRIED_CHOICES = 60  # choices that a constraint is tried on
ROW_KEY = ("unit", "choice", "alternative")  # what rows are sorted by
NO_CERTIFICATE = "no certificate: "


def named(record: Record) -> bool:
    """Whether a claim of this name measures what the stored constraint does, from the table itself."""
    known = {"attribute", "of", "within", "bound"} | MEASURED_OPTIONS | TRAINING_OPTIONS
    strange = record.get("options", {}).keys() - known
    known_names = (*PAIRS, *CAPS, *FLOORS, *ACCURACIES, EXCHANGE)
    return "opaque" not in record and record["type"] in known_names and not strange


def unclaimed(part: Any) -> str:
    """Why no claim of its name measures what this part does, although there is one of that name; "" if it does."""
    if to_record(part)["type"] not in FLOORS + ACCURACIES:
        return ""
    who = part.who
    whole = who.of is None and who.within is None and (who.attribute is None or who.attribute.chooser)
    return "" if whole else "a claim of people is about groups of choosers, without `of` and `within`"


# Whether ------------------------------------------------------------------------------------------------------------


def certifiable_as(constraint: Constraint, choices: Choices) -> list[tuple[str, str]]:
    """(name, what a certificate of it rests on, or why there is none) of every part of a constraint, tried on choices
    with the attributes and columns that it looks at."""
    lines = []
    for part in constraint.parts():
        record = to_record(part)
        if named(record) and (reason := unclaimed(part)):
            words = NO_CERTIFICATE + reason
        elif named(record):
            words = f"certificate: {part.certifiable_as()} of the claim {record['type']}, from the table itself"
        elif reason := uncounted(part, choices):
            words = NO_CERTIFICATE + reason
        else:
            words = f"certificate: {part.certifiable_as()} in cells by {record['type']} at {describe(part).sha256[:12]}"
        lines.append((part.name(), words))
    return lines


if not TYPE_CHECKING:  # a checker of types knows the new names alone

    def __getattr__(name: str):
        return old_name(__name__, name, {"evidence": certifiable_as})


def uncounted(part: Any, choices: Choices) -> str:
    """Why a scored table cannot hold the cells of this part of a constraint, tried on choices; "" if it can."""
    if part.certifiable_as() not in ("counts", "scores"):
        return part.certifiable_as().removeprefix(NO_CERTIFICATE)
    if not isinstance(part, RateConstraint):
        return "it has no cells: only a constraints.RateConstraint does"
    if part.twins():
        return "its cells are of twins, and a scored table holds those of people alone"
    if (compared := part.compared()) is None:
        return "its bound is not known to be one of rates, or of their differences: `compared` may say so"
    for what, names in (("blocks", compared.blocks), ("groups", compared.groups)):
        if len(set(names)) < len(names) or not names or (what == "groups" and "" in names):
            return f"its {what} need names that differ and are not empty, got {', '.join(names)}"
    if "opaque" in (record := to_record(part)):
        return f"it is not stored as data: {record['opaque']}"
    try:
        source_sha256(type(part))
        return _tried(part, choices)
    except Exception as error:  # a constraint of somebody's own may fail in any way
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _tried(part: RateConstraint, choices: Choices) -> str:
    """How the cells of choices differ from those that can be computed from what a scored table has of them."""
    rng = np.random.default_rng(0)
    rewards = jnp.asarray(np.round(rng.normal(size=choices.shape), 1))
    rewards = jnp.where(choices.outside, 0, rewards)
    turned = bare(choices)
    turned = jax.tree.map(lambda leaf: leaf[:, ::-1] if np.shape(leaf)[:2] == choices.shape else leaf, turned)
    outcome = ct.decide(ct.Argmax(), rewards, choices, {})
    counts = _counted(part, rewards, choices)
    try:
        again = _counted(part, rewards[:, ::-1], turned)
        same = all(
            np.shape(a) == np.shape(b) and np.allclose(a, np.asarray(b)[:, ::-1], atol=1e-5)
            for a, b in zip(counts, again, strict=True)
        )
    except Exception:  # in any way, for want of what it reads
        same = False
    if not same:
        return (
            "its cells cannot be computed again from a scored table, which has attributes, labels, weights and the "
            "columns named in `columns`, but no features, and alternatives in no order: name what it reads in `columns`"
        )
    return miscounted(part, outcome, choices)


@jax.jit
def _counted(part: RateConstraint, rewards: Array, choices: Choices) -> Counts:
    """What the constraint counts where the best alternative is chosen; one program, for there are many small steps."""
    return part.counts(ct.decide(ct.Argmax(), rewards, choices, {}), choices)


def bare(choices: Choices) -> Choices:
    """Choices without what no scored table has: features, reference probabilities and twins."""
    return choices.replace(items=jnp.zeros((*choices.shape, 0)), context=None, log_ref=None, twins={})


def made_up(part: Constraint, schema: Schema) -> Choices:
    """Random choices with the attributes of a schema and the columns that a constraint looks at, some with an outside
    option."""
    rng, n, k = np.random.default_rng(0), TRIED_CHOICES, 4
    available = rng.random((n, k)) < 0.85
    available[:, :2] = True
    outside = np.zeros((n, k), bool)
    outside[: n // 3, 0] = True
    inside = available & ~outside
    votes = rng.random((n, k)) * available
    votes = votes / votes.sum(1, keepdims=True)
    votes[n // 2 :] = np.eye(k)[votes.argmax(1)][n // 2 :]
    attributes = {}
    for attribute in (spec.attribute for spec in schema.attributes):
        codes = rng.integers(0, len(attribute.levels), (n, 1 if attribute.chooser else k))
        attributes[attribute.name] = np.where(inside, np.broadcast_to(codes, (n, k)), -1)
    return ct.make_choices(
        rng.normal(size=(n, k, 2)), votes, context=rng.normal(size=(n, 2)), available=available, outside=outside,
        attributes=attributes, weight=rng.uniform(0.5, 2, n), unit=np.arange(n) // 2,
        columns={name: np.where(inside, rng.lognormal(1, 1, (n, k)), 0) for name in part.columns()},
    )  # fmt: skip


def attributes_of(record: Any) -> list[Attribute]:
    """The attributes in a stored constraint; of crossed ones those that they are made of."""
    if isinstance(record, Mapping):
        if record.get("is") == "attribute":
            if record.get("parts"):
                return attributes_of(record["parts"])
            return [Attribute(record["name"], tuple(record["levels"]), record["chooser"])]
        record = list(record.values())
    return [attribute for value in record for attribute in attributes_of(value)] if isinstance(record, list) else []


def counted_by_rows(part: RateConstraint, choices: Choices) -> bool:
    """Whether people of one row and one weight count alike in its cells, once a block, as far as these choices show:
    then methods that count rows suit."""
    votes = jax.nn.one_hot(jnp.argmax(choices.chosen, 1), choices.shape[1])
    choices = choices.replace(weight=jnp.ones(choices.shape[0]), chosen=votes)
    cell, share, _ = map(np.asarray, _counted(part, choices.chosen, choices))
    compared = part.compared()
    assert compared is not None
    block = np.where(cell >= 0, cell // len(compared.groups), -1)
    once = all((np.sum(block == number, -1) <= 1).all() for number in range(len(compared.blocks)))
    return once and len(np.unique(share[cell >= 0])) <= 1


# Whose --------------------------------------------------------------------------------------------------------------


def describe(part: Any, slots: Sequence[str] = ()) -> PlugIn:
    """Whose cells these are, and what they mean."""
    record, compared = to_record(part), part.compared()
    if compared is None or "opaque" in record:
        raise UsageError(f"{part.name()}: no scored table can hold its cells: faro constraints check says why")
    options = {name: value for name, value in record["options"].items() if name != "bound"}
    values = {(0.0, 1.0): "decision", (1.0, -1.0): "1 - decision"}.get(part.affine() or (0.0, 0.0), "column")
    return PlugIn(
        record["type"], canonical(options), source_sha256(type(part)), tuple(compared.blocks), tuple(compared.groups),
        "pairs" if compared.paired else "rates", values, tuple(part.columns()), tuple(slots),
    )  # fmt: skip


def made_by(made: PlugIn) -> RateConstraint:
    """The constraint that made these cells, at bound 0. `UsageError` if its module has to be imported first."""
    try:
        options = json.loads(made.options)
        part = from_record({"type": made.plugin, "options": options | {"bound": 0.0}})
    except DAMAGE as error:
        raise DataError(f"{made.plugin}: its options cannot be read: {error}") from None
    if not isinstance(part, RateConstraint):
        raise DataError(f"{made.plugin}: expected a constraint with cells")
    return part


def source_sha256(kind: type) -> str:
    """sha256 of [name, sha256] of all source files of the packages that a class comes from; of the package
    `constraints` only where no other has a part in it. `UsageError` where there is no file."""
    modules = dict.fromkeys(base.__module__.partition(".")[0] for base in kind.__mro__)
    modules = {name: None for name in modules if name not in ("builtins", "abc")}
    packages = [name for name in modules if name != "constraints"] or ["constraints"]
    files = sorted((name, str(path)) for package in packages for name, path in _sources(package))
    return digest([[name, sha256_of(path)] for name, path in files])


def _sources(package: str) -> Iterator[tuple[str, Path]]:
    """(name in the package, place) of the source files of a package or module."""
    module = sys.modules.get(package)
    folders = [Path(folder) for folder in getattr(module, "__path__", [])]
    file = getattr(module, "__file__", None)
    if not folders and (package == "__main__" or file is None or not Path(file).is_file()):
        raise UsageError(f"its source is no file that others could import ({package}): move it into a module")
    if not folders:
        yield Path(str(file)).name, Path(str(file))
    for folder in folders:
        for path in folder.rglob("*.py"):
            yield f"{package}/{path.relative_to(folder).as_posix()}", path


# The columns of a table -----------------------------------------------------------------------------------------------


def counted_parts(model: TrainedModel, note: Callable[[str], None]) -> list[RateConstraint]:
    """The parts of a model's constraint whose cells its scored tables hold; `note` is told of those that have a
    certificate but no cells here."""
    try:
        constraint = model.constraint
    except (UsageError, DataError) as error:
        note(f"no cells of the model's constraint (--plugin NAME imports one): {error}")
        return []
    parts: dict[str, RateConstraint] = {}
    for part in constraint.parts() if constraint is not None else ():
        if named(to_record(part)) or part.certifiable_as() not in ("counts", "scores"):
            continue
        if reason := uncounted(part, made_up(part, model.schema)):
            note(f"no cells of {part.name()}: {reason}")
        elif isinstance(part, RateConstraint):
            parts.setdefault(describe(part).sha256, part)
    return list(parts.values())


def with_cells(
    model: TrainedModel,
    data: Dataset,
    scored: pd.DataFrame,
    kept: pd.DataFrame,
    note: Callable[[str], None] = lambda line: None,
) -> tuple[pd.DataFrame, tuple[PlugIn, ...]]:
    """The rows of a scored table that are kept, with the cells of the model's constraint, and whose they are.

    scored  what the model says of all of `data`
    kept    rows of it
    note    is told in words of what has none: a module that nobody imported, data without labels, what a table lacks

    Cells are those of all of the data, and must be those that the kept rows give without them.
    """
    plugins: list[PlugIn] = []
    rows = kept.index.to_numpy()
    levels = {name: attribute.levels for name, attribute in model.attributes(data).items()}
    outside = outside_of(model.schema)
    for part in counted_parts(model, note):
        try:
            if not data.labelled:
                raise UsageError("the data have no labels")
            counts = jax.tree.map(lambda array: array[rows], _counts_of(part, data, model, scored))
            first = 1 + sum(len(plugin.slots) for plugin in plugins)
            made = describe(part, [str(first + slot) for slot in range(counts.cell.shape[-1])])
            if taken := sorted({*made.table_columns} & {*scored.columns}):
                raise UsageError(f"the data have a column {taken[0]!r} of their own: rename it")
            numbers = {f"column:{name}": _numbers(data, name)[rows] for name in made.columns}
            more = kept.assign(**numbers)
            _same(made, counts, counts_of_table(part, more, outside, levels), "the scored table")
        except (UsageError, DataError, UnprovedError) as error:
            note(f"no cells of {part.name()}: {error}")
            continue
        kept = more.assign(**_columns(made, counts))
        plugins.append(made)
    return kept, tuple(plugins)


def outside_of(schema: Any) -> str:
    """Which choices have an outside option: "all" in accept tables, those that the column `outside` of a scored table
    names where a long table declares one, else "none"."""
    return "all" if schema.format == "accept" else "column" if schema.outside else "none"


def _counts_of(part: RateConstraint, data: Dataset, model: TrainedModel, scored: pd.DataFrame) -> Counts:
    """Cells, shares and values `[rows, slots]` of the rows of a scored table, from the data themselves."""
    inside = data.parsed.inside
    rewards = np.zeros(inside.shape)
    rewards[inside] = scored["reward"]
    with jax.enable_x64(True):
        choices = data.choices(model.coding, columns=part.columns(), dtype=np.float64)
        choices = jax.tree.map(jnp.asarray, choices)
        counts = _counted(part, jnp.asarray(rewards), choices)
        return jax.tree.map(lambda array: np.asarray(array)[inside], counts)


def _numbers(data: Dataset, name: str) -> np.ndarray:
    return data.column(data.parsed, name)[data.parsed.inside]


def counts_of_table(
    part: RateConstraint, columns: Any, outside: str, attributes: Mapping[str, Sequence[str]]
) -> Counts:
    """Cells, shares and values `[rows, slots]` from the other columns of a scored table.

    outside     which choices have an outside option: "none", "all" or "column"
    attributes  name -> levels in their order
    """
    _, kinds = np.unique(np.asarray(columns.get("alternative", [""] * len(columns["unit"])), str), return_inverse=True)
    _, choice = np.unique(np.asarray(columns["choice"], str), return_inverse=True)
    _, unit = np.unique(np.asarray(columns["unit"], str), return_inverse=True)
    order = np.lexsort((kinds, choice))
    first = np.searchsorted(choice[order], np.arange(choice.max() + 1))
    position = np.empty(len(order), np.intp)
    position[order] = np.arange(len(order)) - first[choice[order]]
    beside = _floats(columns, "outside") == 1 if outside == "column" else np.full(len(order), outside == "all")
    n, k = len(first), int(position.max()) + 1 + bool(beside.any())
    at = (choice, position)

    def laid(values: Any, empty: Any, dtype: Any = float) -> np.ndarray:
        table = np.full((n, k), empty, dtype)
        table[at] = values
        return table

    inside = laid(True, False, bool)
    out = np.zeros((n, k), bool)
    out[choice[beside], -1] = True
    chosen = laid(_floats(columns, "label"), 0.0)
    chosen[out] = np.clip(1 - chosen.sum(1), 0, None)[out.any(1)]
    weight = np.zeros(n)
    weight[choice] = _floats(columns, "weight") if "weight" in columns else 1.0
    codes = {}
    for name, levels in attributes.items():
        known = {level: code for code, level in enumerate(levels)} | {"": -1}
        codes[name] = laid([known.get(str(level), -1) for level in columns[name]], -1, np.int32)
    with jax.enable_x64(True):
        choices = Choices(
            items=jnp.zeros((n, k, 0)), available=jnp.asarray(inside | out), chosen=jnp.asarray(chosen),
            weight=jnp.asarray(weight), unit=jnp.asarray(unit[order][first].astype(np.int32)), outside=jnp.asarray(out),
            attributes={name: jnp.asarray(code) for name, code in codes.items()},
            columns={name: jnp.asarray(laid(_floats(columns, f"column:{name}"), 0.0)) for name in part.columns()},
        )  # fmt: skip
        rewards = jnp.asarray(laid(_floats(columns, "reward"), 0.0))
        counts = _counted(part, rewards, choices)
        return jax.tree.map(lambda array: np.asarray(array)[at], counts)


def _floats(columns: Any, name: str) -> np.ndarray:
    if name not in columns:
        raise DataError(f"has no column {name!r}")
    try:
        values = np.array([float(cell) for cell in columns[name]])
    except ValueError:
        raise DataError(f"column {name!r}: expected a number in every cell") from None
    if not np.isfinite(values).all():
        raise DataError(f"column {name!r}: expected finite numbers")
    return values


def _columns(made: PlugIn, counts: Counts) -> dict[str, Any]:
    """The columns that a scored table holds of these counts."""
    columns: dict[str, Any] = {}
    for index, slot in enumerate(made.slots):
        inside = counts.cell[:, index] >= 0
        columns[f"cell:{slot}"] = np.where(inside, counts.cell[:, index].astype(str), "").astype(object)
        columns[f"share:{slot}"] = np.where(inside, counts.share[:, index], np.nan)
        if made.values == "column":
            columns[f"value:{slot}"] = np.where(inside, np.clip(counts.value[:, index], 0, 1), np.nan)
    return columns


def _same(made: PlugIn, stated: Sequence[Any], again: Counts, where: str) -> None:
    """`UnprovedError` where cells differ, or shares or values by more than rounding."""
    for what, one, other in zip(Counts._fields, stated, again, strict=True):
        if what == "value" and made.values != "column":
            continue
        if one.shape != other.shape:
            raise UnprovedError(f"{where}: {one.shape[-1]} slots of cells, {made.plugin} makes {other.shape[-1]}")
        differ = one != other if what == "cell" else ~np.isclose(one, other, rtol=TOLERANCE, atol=TOLERANCE)
        if differ.any():
            raise UnprovedError(
                f"{where}: {int(differ.any(-1).sum())} rows have another {what} than {made.plugin} gives them"
            )


# Again ----------------------------------------------------------------------------------------------------------------


def recomputed(table: str | Path, policy: Policy, plugins: Sequence[str]) -> list[str]:
    """A line for every plug-in of the policy's claims, whose cells were computed again from the other columns.

    table    a scored table with its description
    policy   whose claims are about cells
    plugins  names or places of constraints, whose modules are imported: no file decides over that

    `UsageError` for a plug-in that nobody named, `DataError` for one whose digest is another now, `UnprovedError` where
    the table has other cells, shares or values.
    """
    wanted = dict.fromkeys((claim.plugin, claim.plugin_sha256) for claim in policy.audited if claim.plugin)
    if not wanted:
        raise UsageError("--plugin: no claim of the policy is about cells of a plug-in")
    for name in plugins:
        find_notion(name)
    description = read_description(table)
    if description is None:
        raise DataError(f"{table}: no description: nothing says whose cells it has")
    columns, lines = read_columns(table), []
    description.check(columns, policy, str(table))
    order = sorted(
        range(len(columns["unit"])), key=lambda row: [columns[name][row] for name in ROW_KEY if name in columns]
    )
    columns = {name: [cells[row] for row in order] for name, cells in columns.items()}
    stated = audit_of(columns, policy, str(table), description.shared, description.plugins).plugins
    for plugin, sha256 in wanted:
        made = description.cells_of(str(plugin), sha256, str(table))
        part = made_by(made)
        if (now := describe(part).sha256) != sha256:
            raise DataError(f"{table}: cells by {plugin} at {sha256}, but here it is {now}: source or options changed")
        levels = {name: attribute.levels for name, attribute in description.attributes.items()}
        try:
            again = counts_of_table(part, columns, description.outside, levels)
        except DataError as error:
            raise DataError(f"{table}: {error}") from None
        empty = stated[sha256].share, stated[sha256].value
        share, value = (np.zeros(1) if array is None else np.nan_to_num(array) for array in empty)
        _same(made, (stated[sha256].cell, share, value), again, str(table))
        lines.append(f"computed again: the cells of {len(again.cell)} rows by {plugin} at {sha256}")
    return lines
