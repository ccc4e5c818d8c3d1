"""Everything is a choice: `Choices`, n sets of up to K alternatives of which one was chosen."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, cast, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

T = TypeVar("T")
ANOTHER = "another person"  # the twin in which somebody else is the chooser


def static(**kwargs: Any) -> Any:
    """A field of a `record` that is configuration: part of the jit cache key, never traced.

    kwargs: as for `dataclasses.field`, as `default=`
    """
    return dataclasses.field(metadata={"static": True}, **kwargs)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(static, dataclasses.field))
def record(cls: type[T]) -> type[T]:
    """Class decorator: a frozen dataclass that is a pytree; `static()` fields are configuration.

    cls: a class with annotated fields; they are given by keyword
    """
    made = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    fields = [field for field in dataclasses.fields(cast(Any, made)) if field.init]
    leaves, configuration = (
        tuple(field.name for field in fields if field.metadata.get("static", False) is fixed) for fixed in (False, True)
    )

    def values(instance: Any, names: tuple[str, ...]) -> tuple[Any, ...]:
        return tuple(getattr(instance, name) for name in names)

    # Not `register_dataclass`: jax 0.10.2 takes two classes with the same fields for one structure, and jit then runs
    # the program of the other, in those processes in which their hashes meet (tests/constraints/test_records.py).
    jax.tree_util.register_pytree_with_keys(
        made,
        lambda own: (
            [(jax.tree_util.GetAttrKey(name), getattr(own, name)) for name in leaves],
            values(own, configuration),
        ),
        lambda fixed, moved: made(
            **dict(zip(configuration, fixed, strict=True)), **dict(zip(leaves, moved, strict=True))
        ),
        lambda own: (values(own, leaves), values(own, configuration)),
    )
    return made


@dataclasses.dataclass(frozen=True)
class Attribute:
    """A declared attribute: its name, its ordered levels, and whether it is the chooser's or an alternative's.

    Declared with the data set and never inferred from a batch, so an absent group keeps its row.

    name: as tables call it
    levels: the groups, in the order of their codes 0..L-1
    chooser: whether it describes who chooses; else it describes an alternative
    parts: the two attributes that a crossed one is made of (`cross`)
    """

    name: str
    levels: tuple[str, ...]
    chooser: bool = False
    parts: tuple[Attribute, ...] = ()

    def code(self, level: str) -> int:
        """Index of a level.

        level: a declared one; else `KeyError` with those that are
        """
        if level not in self.levels:
            raise KeyError(f"attribute {self.name!r} has no level {level!r}; declared: {', '.join(self.levels)}")
        return self.levels.index(level)

    def codes(self, choices: Choices) -> Array:
        """Index of the level of every alternative, `[n, K]`; -1 where the attribute or a part of it does not apply.

        choices: n choices whose `attributes` have this one, or its parts
        """
        if not self.parts:
            return choices.attributes[self.name]
        first, second = (part.codes(choices) for part in self.parts)
        return jnp.where((first < 0) | (second < 0), -1, first * len(self.parts[1].levels) + second)


def cross(first: Attribute, second: Attribute) -> Attribute:
    """The attribute whose levels are all pairs of levels: intersectional groups, as "F & black".

    An "&" in a name or a level is doubled, so that no two pairs of levels are called the same.

    first: of whose levels the pairs are in the order
    second: the other attribute; the crossed one is a chooser's if both are
    """

    def part(of: Attribute, name: str) -> str:
        return name if of.parts else name.replace("&", "&&")

    levels = tuple(f"{part(first, a)} & {part(second, b)}" for a in first.levels for b in second.levels)
    name = f"{part(first, first.name)}&{part(second, second.name)}"
    return Attribute(name, levels, first.chooser and second.chooser, (first, second))


@record
class Twin:
    """The same data with one attribute set to each of its L levels, all else as it was; or with somebody else as the
    chooser (`ANOTHER`, L = 1).

    valid: `[n, K, L]` bool: which twins the design supports
    items: pytree `[n, J, L, ...]`, what alternatives have then; None where a chooser's attribute leaves it as it is
    context: pytree `[n, L, ...]`, what a chooser's attribute makes of the context, `[n, L, 0]` where there is none;
        None for an alternative's
    unit: `[n, L]` int, who chooses then, as `Choices.unit` says it; None: who chose
    unit_index: `[n, L]` int, likewise
    """

    valid: Array
    items: Any = None
    context: Any = None
    unit: Any = None
    unit_index: Any = None

    @property
    def chooser(self) -> bool:
        """Whether it is the chooser who is another, for all alternatives at once."""
        return self.context is not None or self.unit is not None


@record
class Choices:
    """n choices among up to K alternatives; a pytree, so it can be sliced, stacked, sharded and traced.

    items: pytree `[n, J, ...]`, J <= K: what alternatives have, but for the last if it is the outside option of every
        choice; one matrix of coded features, or a dict of arrays of any dtype (tokens, a mask)
    available: `[n, K]` bool
    chosen: `[n, K]` the label as a distribution over the available alternatives: a tie or a split vote is a soft label
    weight: `[n]` >= 0, finite; 0 = padding
    unit: `[n]` int: the person, annotator or prompt that makes rows dependent, numbered in this table alone
    outside: `[n, K]` bool: the option of choosing nothing, reward 0 and no attribute
    context: pytree `[n, ...]` or None: what the chooser or prompt has
    attributes: name -> int `[n, K]`, -1 = does not apply (a chooser's attribute is the same in every column)
    log_ref: `[n, K]` log pi_ref of enumerated response sets, or None
    twins: attribute name -> `Twin`
    columns: name -> `[n, K]`, numbers of the table in its own units, of those columns that a constraint asks for (a
        chooser's number is the same in every column); 0 where `inside` is false
    unit_index: `[n]` int or None: which unit of training the row is of, the same number in any table; -1 = none of them
    """

    items: Any
    available: Array
    chosen: Array
    weight: Array
    unit: Array
    outside: Array
    context: Any = None
    attributes: dict[str, Array] = dataclasses.field(default_factory=dict)
    log_ref: Array | None = None
    twins: dict[str, Twin] = dataclasses.field(default_factory=dict)
    columns: dict[str, Array] = dataclasses.field(default_factory=dict)
    unit_index: Array | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(n, K)."""
        n, k = self.available.shape
        return n, k

    @property
    def inside(self) -> Array:
        """`[n, K]` alternatives that exist and are not the outside option: those an attribute can describe."""
        return self.available & ~self.outside

    def replace(self, **changes: Any) -> Choices:
        """A copy with some fields exchanged.

        changes: by field name; nothing is checked (`check_choices`)
        """
        return dataclasses.replace(self, **changes)

    def take(self, rows: Any) -> Choices:
        """The choices at these rows, in this order.

        rows: indices `[m]`, or a slice
        """
        return jax.tree.map(lambda leaf: leaf[rows], self)

    def pad(self, n: int) -> Choices:
        """At least n rows: copies of the first row with weight 0 are appended, which no statistic sees.

        n: rows; no more than there are: itself
        """
        extra = n - self.shape[0]
        if extra <= 0:
            return self

        def grow(leaf: Any) -> np.ndarray:  # with numpy: on the host, where every new shape would be a compilation
            leaf = np.asarray(leaf)
            return np.concatenate([leaf, np.repeat(leaf[:1], extra, 0)])

        nobody = np.zeros(extra, self.weight.dtype)
        weight: Any = np.concatenate([np.asarray(self.weight), nobody])
        return jax.tree.map(grow, self).replace(weight=weight)


def make_choices(
    items: Any,
    chosen: Any,
    *,
    context: Any = None,
    available: Any = None,
    outside: Any = None,
    attributes: Mapping[str, Any] | None = None,
    weight: Any = None,
    unit: Any = None,
    log_ref: Any = None,
    twins: Mapping[str, Twin] | None = None,
    columns: Mapping[str, Any] | None = None,
    unit_index: Any = None,
) -> Choices:
    """`Choices` from arrays, with defaults filled in and every promise of the type checked.

    items: array `[n, J, d]`, or a dict of arrays `[n, J, ...]`; J = K, or K - 1 where the last is the outside option
    chosen: `[n, K]` (a distribution) or `[n]` int (the index of the chosen alternative; `available`, or else `items`,
        then says what K is)
    context: pytree `[n, ...]` of the chooser or prompt, or None
    available: `[n, K]` bool; None: all
    outside: `[n, K]` bool: the option of choosing nothing; None: there is none
    attributes: name -> int codes `[n, K]`, -1 = does not apply
    weight: `[n]` >= 0; None: 1
    unit: `[n]` int, equal where the person or prompt is; None: every row is one
    log_ref: `[n, K]` log pi_ref of enumerated response sets, or None
    twins: attribute name -> `Twin`
    columns: name -> `[n, K]` numbers in the table's own units, which constraints read
    unit_index: `[n]` int, the unit that training knew, -1 = none; or None

    `ValueError` that names the first row which breaks a promise. Not for use under jit.
    """
    leaves = jax.tree.leaves(items)
    if not leaves or any(np.ndim(leaf) < 2 for leaf in leaves):
        raise ValueError(
            "items: expected arrays [n, K, ...]; reshape features of n choices among K alternatives to that"
        )
    chosen = np.asarray(chosen)
    n, k = chosen.shape if chosen.ndim == 2 else np.shape(leaves[0] if available is None else available)[:2]
    if chosen.ndim == 1:
        if chosen.shape != (n,) or not np.issubdtype(chosen.dtype, np.integer) or chosen.min() < 0 or chosen.max() >= k:
            raise ValueError(
                f"chosen: expected n={n} indices in 0..{k - 1} or a distribution [n, K], got shape {chosen.shape}"
            )
        chosen = np.eye(k)[chosen]
    real = jnp.result_type(float)
    choices = Choices(
        items=jax.tree.map(jnp.asarray, items),
        context=jax.tree.map(jnp.asarray, context),
        available=jnp.asarray(np.ones((n, k), bool)) if available is None else jnp.asarray(available, bool),
        chosen=jnp.asarray(chosen, real),
        weight=jnp.asarray(np.ones(n), real) if weight is None else jnp.asarray(weight, real),
        unit=jnp.asarray(np.arange(n)) if unit is None else jnp.asarray(unit),
        outside=jnp.asarray(np.zeros((n, k), bool)) if outside is None else jnp.asarray(outside, bool),
        attributes={name: jnp.asarray(code, jnp.int32) for name, code in (attributes or {}).items()},
        log_ref=None if log_ref is None else jnp.asarray(log_ref, real),
        twins=dict(twins or {}),
        columns={name: jnp.asarray(values, real) for name, values in (columns or {}).items()},
        unit_index=None if unit_index is None else jnp.asarray(unit_index, jnp.int32),
    )
    check_choices(choices)
    return choices


def check_choices(choices: Choices) -> None:
    """Hold choices against what `Choices` promises: shapes, finite numbers, labels that sum to 1, availability.

    choices: arrays, not tracers

    `ValueError` naming the first broken promise, with its row.
    """
    n, k = choices.shape
    if n == 0:
        raise ValueError("choices: expected at least one choice, got none")
    expected: dict[str, tuple[int, ...]] = dict.fromkeys(("chosen", "outside", "log_ref"), (n, k))
    expected |= dict.fromkeys(("weight", "unit", "unit_index"), (n,))
    for name, shape in expected.items():
        value = getattr(choices, name)
        if value is not None and value.shape != shape:
            raise ValueError(f"{name}: expected shape {shape}, got {value.shape}")
    for name, codes in choices.attributes.items():
        if codes.shape != (n, k):
            raise ValueError(f"attribute {name!r}: expected shape {(n, k)}, got {codes.shape}")
    for name, values in choices.columns.items():
        if values.shape != (n, k):
            raise ValueError(f"column {name!r}: expected shape {(n, k)}, got {values.shape}")

    def first(bad: Any) -> int:
        return int(np.argmax(np.asarray(bad).reshape(n, -1).any(1)))

    def refuse(bad: Any, message: str) -> None:
        if np.any(np.asarray(bad)):
            raise ValueError(f"choice {first(bad)}: {message}")

    weight, chosen, available = (np.asarray(v) for v in (choices.weight, choices.chosen, choices.available))
    refuse(~np.isfinite(weight) | (weight < 0), "weight must be finite and not negative")
    refuse(~available.any(1), "no alternative is available; drop the choice or mark one available")
    refuse(~np.isfinite(chosen) | (chosen < 0), "label must be finite and not negative")
    refuse((chosen > 0) & ~available, "an unavailable alternative carries label; correct `available` or the label")
    refuse(
        np.abs(chosen.sum(1) - 1) > 1e-4,
        "labels of a choice must sum to 1: exactly one chosen, or shares of a split vote",
    )
    for name, values in choices.columns.items():
        refuse(~np.isfinite(np.asarray(values)), f"column {name!r} must be finite, got NaN or infinity")
    parts = (
        ("items", choices.items, available & ~np.asarray(choices.outside)),
        ("context", choices.context, np.ones(n, bool)),
    )
    for name, tree, live in parts:
        for leaf in map(np.asarray, jax.tree.leaves(tree)):
            width = leaf.shape[1] if name == "items" else 0
            given = live[:, :width] if width and not live[:, width:].any() else live
            if leaf.shape[: given.ndim] != given.shape:
                raise ValueError(f"{name}: expected leading shape {live.shape}, got {leaf.shape}")
            if jnp.issubdtype(leaf.dtype, jnp.floating):
                refuse(~_finite(leaf, given.shape) & given, f"{name} must be finite, got NaN or infinity")
    for name, twin in choices.twins.items():
        if twin.items is None and not twin.chooser:
            raise ValueError(f"twin of {name!r}: give items (an alternative's attribute) or context (a chooser's)")


def _finite(leaf: np.ndarray, lead: tuple[int, ...]) -> np.ndarray:
    """`lead`: whether all numbers behind these leading axes are finite; a few rows at a time, for features are wide."""
    finite, step = np.empty(lead, bool), max(1, 2**22 * len(leaf) // max(1, leaf.size))
    for rows in (slice(first, first + step) for first in range(0, len(leaf), step)):
        finite[rows] = np.isfinite(leaf[rows]).reshape(*finite[rows].shape, -1).all(-1)
    return finite
