"""A constraint as data: type and options in plain JSON values, read back to an equal constraint.

    {"type": "reward_parity", "options": {"attribute": {"is": "attribute", "name": "sex", "levels": ["F", "M"], ...},
                                          "bound": 0.05, "scale": 2.0, "form": "centred"}}

`type` is the name of a notion, or the place of a class, `package.module:Name`. Options are arguments of the notion, and
fields of what it makes. A constraint that is no record of plain values is stored as {"type": ..., "opaque": reason}.

A file decides over no import: read are the notions that installed packages declare, and classes of constraints in
modules that the program has imported itself.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import constraints as ct
from constraints import Attribute, Constraint, Grouping

from ..errors import DAMAGE, DataError, UsageError
from ..registry import find_notion, make_constraint, notions
from .titles import read_title

Record = dict[str, Any]
PLACED = ("attribute", "of", "within")  # arguments of a notion that are fields of its grouping


def same(first: Any, second: Any) -> bool:
    """Whether two constraints, or values of their fields, are equal: configuration, and numbers whatever their type."""
    structure: Any = jax.tree.structure(first)
    if structure != jax.tree.structure(second):
        return False
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.shape(a) == np.shape(b) and np.array_equal(a, b) for a, b in pairs)


# Constraint -> record -------------------------------------------------------------------------------------------------


class _Opaque(Exception):
    """Why something is no plain data."""


def to_record(constraint: Constraint) -> Record:
    """Type and options of a constraint as JSON values; where that cannot be, its type and the reason."""
    kind, place = type(constraint), _place(type(constraint))
    try:
        if "<locals>" in place:
            raise _Opaque("its class is defined inside a function, where no other program finds it")
        options = {field.name: getattr(constraint, field.name) for field in dataclasses.fields(constraint)}
        if kind.__module__.partition(".")[0] == "constraints" and not place.startswith("constraints:"):
            place, options = _notion(constraint, options)
        record = {"type": place, "options": {name: _plain(value, name) for name, value in options.items()}}
        if not any(_opaque(record)) and not same(_made(record, type(constraint)), constraint):
            raise _Opaque("what its fields make is another constraint")
    except (_Opaque, UsageError, DataError, *DAMAGE) as reason:
        return {"type": place, "opaque": " ".join(str(reason).split()) or type(reason).__name__}
    return record


def _place(kind: type) -> str:
    """The name under which a class is found: of an entry point, of the package `constraints`, or its module's."""
    place = f"{kind.__module__}:{kind.__qualname__}"
    declared = [name for name, point in notions().items() if point.value == place]
    return declared[0] if declared else f"constraints:{kind.__name__}" if hasattr(ct, kind.__name__) else place


def _notion(constraint: Constraint, fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The notion of faro's that makes it, and with which options: of several the one that leaves least to be said."""
    who = fields.get("who", Grouping())
    found: list[tuple[int, int, str, dict[str, Any]]] = []
    for name, point in notions().items():
        if not point.value.startswith("constraints:"):
            continue
        notion = find_notion(name)
        takes = [own for own in _arguments(notion) if own in (*PLACED, *fields)]
        given = {own: getattr(who, own) if own in PLACED else fields[own] for own in takes}
        given = {own: value for own, value in given.items() if not (own in PLACED and value is None)}
        try:
            made = notion(**given)
        except DAMAGE:
            continue
        if type(made) is type(constraint):
            rest = {own: value for own, value in fields.items() if not same(getattr(made, own), value)}
            found.append((len(rest.keys() - given.keys()), len(found), name, given | rest))
    if not found:
        raise _Opaque("no notion makes a constraint of its class")
    _, _, name, options = min(found, key=lambda each: each[:2])
    return name, options


@functools.cache
def _arguments(maker: Any) -> tuple[str, ...]:
    return tuple(inspect.signature(maker).parameters)


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, Constraint):
        return to_record(value)
    if isinstance(value, Attribute):
        parts = [_plain(part, where) for part in value.parts]
        return {"is": "attribute", "name": value.name, "levels": list(value.levels), "chooser": value.chooser} | (
            {"parts": parts} if parts else {}
        )
    if isinstance(value, Grouping):
        return {"is": "grouping"} | {name: _plain(getattr(value, name), where) for name in PLACED}
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        if np.ndim(value):
            return {"is": "array", "dtype": str(value.dtype), "value": _nested(np.asarray(value).tolist())}
        value = np.asarray(value).item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, tuple):
        return [_plain(each, where) for each in value]
    if isinstance(value, list):
        return {"is": "list", "value": [_plain(each, where) for each in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"is": "dict", "value": {key: _plain(each, where) for key, each in value.items()}}
    raise _Opaque(f"its field {where!r} is a {type(value).__name__}, which is no plain data")


def _number(value: float) -> Any:
    """JSON has no infinity and no NaN."""
    return value if math.isfinite(value) else {"is": "float", "value": repr(value)}


def _nested(value: Any) -> Any:
    if isinstance(value, list):
        return [_nested(each) for each in value]
    return _number(value) if isinstance(value, float) else value


# Record -> constraint -------------------------------------------------------------------------------------------------


def from_record(record: Any) -> Constraint:
    """The constraint that `to_record` wrote. `UsageError` for one that is not stored as data, or whose module the
    program has not imported; `DataError` for what is no such record."""
    for reason in _opaque(record):
        raise UsageError(f"the constraint is not stored as data: {reason}")
    return _made(record)


def _made(record: Any, kind: type | None = None) -> Constraint:
    if not (isinstance(record, Mapping) and isinstance(record.get("type"), str)):
        raise DataError(f"constraint: expected a record with a type, got {str(record)[:60]!r}")
    name = record["type"]
    maker = find_notion(name) if ":" not in name else kind or _class(name)
    try:
        options = {own: _value(value) for own, value in record["options"].items()}
        takes = _arguments(maker)
        made = maker(**{own: value for own, value in options.items() if own in takes})
        fields = {field.name for field in dataclasses.fields(made)} if isinstance(made, Constraint) else set()
        if unknown := sorted(options.keys() - {*takes} - fields):
            raise ValueError(f"unknown option {unknown[0]!r}")
        made = dataclasses.replace(made, **{own: value for own, value in options.items() if own in fields})
        bound: Any = getattr(made, "bound", None)
        if bound is not None and (isinstance(bound, str | bool) or np.ndim(bound) or math.isnan(bound)):
            raise ValueError(f"bound: expected a number, got {str(bound)[:40]!r}")
        made.labels()  # a damaged attribute or grouping has none
    except DAMAGE as error:
        raise DataError(f"constraint {name!r}: its options cannot be read ({type(error).__name__}: {error})") from error
    return made


def _class(place: str) -> type[Constraint]:
    """The class of constraints at this place, if its module is imported already."""
    module = place.partition(":")[0]
    if module != "constraints" and module not in sys.modules:
        raise UsageError(
            f"the constraint is {place}, and no file may decide what is imported: import {module} first, or name the "
            "constraint yourself"
        )
    found: Any = find_notion(place)
    if not (isinstance(found, type) and issubclass(found, Constraint)):
        raise DataError(f"constraint {place!r}: expected a class of constraints")
    return found


def _value(value: Any) -> Any:
    if isinstance(value, Mapping):
        kind = value.get("is")
        if kind is None:
            return _made(value)
        if kind == "attribute":
            parts = tuple(_value(part) for part in value.get("parts", ()))
            name, levels = value["name"], tuple(value["levels"])
            if not all(isinstance(text, str) for text in (name, *levels)):
                raise ValueError("attribute: expected texts as name and levels")
            return Attribute(name, levels, value["chooser"], parts)
        if kind == "grouping":
            return Grouping(**{name: _value(value[name]) for name in PLACED})
        if kind == "array":
            numbers = np.array(_value_of_nested(value["value"]), np.dtype(value["dtype"]))
            return numbers if numbers.dtype == np.float64 else jnp.asarray(numbers)
        if kind == "float":
            return float(value["value"])
        if kind == "list":
            return [_value(each) for each in value["value"]]
        if kind == "dict":
            return {key: _value(each) for key, each in value["value"].items()}
        raise ValueError(f"unknown kind of value {kind!r}")
    return tuple(_value(each) for each in value) if isinstance(value, list) else value


def _value_of_nested(value: Any) -> Any:
    return [_value_of_nested(each) for each in value] if isinstance(value, list) else _value(value)


def _opaque(record: Any) -> Iterator[str]:
    """Reasons of all constraints in a record that are not stored as data."""
    if isinstance(record, Mapping):
        if "opaque" in record:
            yield f"{record.get('type')}: {record['opaque']}"
        for value in record.values():
            yield from _opaque(value)
    elif isinstance(record, list):
        for value in record:
            yield from _opaque(value)


def crossed(record: Any) -> dict[str, Attribute]:
    """The crossed attributes that a stored constraint looks at, by name. Nothing is imported for it."""
    found: dict[str, Attribute] = {}
    try:
        attributes = [_value(value) for value in _attributes(record)]
    except DAMAGE as error:
        raise DataError(f"an attribute of the constraint cannot be read ({type(error).__name__}: {error})") from error
    for attribute in attributes:
        if attribute.parts and found.setdefault(attribute.name, attribute) != attribute:
            raise UsageError(f"two crossed attributes are called {attribute.name!r}; rename one that they are made of")
    return found


def _attributes(record: Any) -> Iterator[Mapping]:
    if isinstance(record, Mapping):
        if record.get("is") == "attribute":
            yield record
            return
        record = list(record.values())
    if isinstance(record, list):
        for value in record:
            yield from _attributes(value)


# Names ----------------------------------------------------------------------------------------------------------------


def from_name(name: str, attributes: Mapping[str, Attribute], bounds: Sequence[Any] = ()) -> Constraint:
    """The constraint that a file of format 1 calls by its display name, with default options; `bounds` of its parts.
    `UsageError` where the name is not enough."""
    made = []
    for number, part in enumerate(read_title(name)):
        bound = float(bounds[number]) if number < len(bounds) else 0.05
        of = part.get("of")
        if of is not None:  # a name may have "=" in it
            cuts = [i for i, letter in enumerate(of) if letter == "=" and of[:i] in attributes]
            of = (of[: cuts[0]], of[cuts[0] + 1 :]) if cuts else of
        try:
            made.append(make_constraint(attributes, **part | ({"of": of} if of else {}), bound=bound))
        except UsageError as error:
            raise UsageError(f"{name}: cannot be made again from its name ({error})") from None
    return made[0] if len(made) == 1 else ct.Stack(members=tuple(made))


def asked(constraint: Constraint, attributes: Mapping[str, Attribute]) -> dict[str, str] | None:
    """The arguments of `make_constraint` (and of `faro frontier`) that make it again but for its bound; None where they
    cannot: a part of its own attribute, `of` or `within`, or an option that no text can name."""
    members = constraint.members if isinstance(constraint, ct.Stack) else (constraint,)
    records = [to_record(part) for part in members]
    if not records or any(_opaque(records)) or any("options" not in record for record in records):
        return None
    try:
        texts, places = zip(*[_text(record) for record in records], strict=True)
        names = [place.pop("attribute") for place in places if "attribute" in place]
        arguments = {"constraint": "+".join(dict.fromkeys(texts)), **places[0]}
        if names:
            arguments["attribute"] = ",".join(dict.fromkeys(names))
        made = make_constraint(attributes, **arguments)
    except (UsageError, *DAMAGE):
        return None
    return arguments if same(made.at(0.05), constraint.at(0.05)) else None


def _text(record: Record) -> tuple[str, dict[str, str]]:
    """ "notion(option=value)" with the options that are not defaults; and what the grouping is called."""
    options = {name: _value(value) for name, value in record["options"].items()}
    place = {name: options.pop(name) for name in PLACED if name in options}
    options.pop("bound", None)
    usual = find_notion(record["type"])(**place, bound=0.05)
    said = [f"{name}={_literal(value)}" for name, value in options.items() if not same(getattr(usual, name), value)]
    named = {name: "=".join((value[0].name, value[1])) if name == "of" else value.name for name, value in place.items()}
    return record["type"] + (f"({', '.join(said)})" if said else ""), named


def _literal(value: Any) -> str:
    if isinstance(value, np.ndarray | jax.Array):
        value = np.asarray(value).tolist()
    return f"({''.join(f'{_literal(each)}, ' for each in value)})" if isinstance(value, list | tuple) else repr(value)
