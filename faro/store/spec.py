"""A constraint, a model or a loss as data: type and options in plain JSON values, read back to an equal object.

    {"type": "reward_parity", "options": {"attribute": {"is": "attribute", "name": "sex", "levels": ["F", "M"], ...},
                                          "bound": 0.05, "scale": 2.0, "form": "centred"}}

`type` is the name that a package declares in the kind's entry-point group, or the place of a class,
`package.module:Name`. Options are, of a constraint, arguments of the notion and fields of what it makes; of a model its
`config()`; of a loss or an objective its fields. What is no record of plain values is stored as {"type": ..., "opaque":
reason}.

A file decides over no import: read are what installed packages declare, and classes in modules that they declare or
that the program has imported itself.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import constraints as ct
from constraints import Attribute, Constraint, Grouping

from ..data.table import one_line
from ..errors import DAMAGE, DataError, UsageError
from ..losses import Loss, Objective
from ..models import Model
from ..registry import GROUPS, declared, find, find_notion, make, make_constraint, notions, parameters

Record = dict[str, Any]
PLACED = ("attribute", "of", "within")  # arguments of a notion that are fields of its grouping
BASES: dict[str, tuple[type, ...]] = {"constraint": (Constraint,), "model": (Model,), "loss": (Loss, Objective)}
OBJECT = "object"  # what is of no kind: a frozen dataclass, such as a Flax module


def same(first: Any, second: Any) -> bool:
    """Whether two constraints, or values of their fields, are equal: configuration, and numbers whatever their type."""
    structure: Any = jax.tree.structure(first)
    if structure != jax.tree.structure(second):
        return False
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.shape(a) == np.shape(b) and np.array_equal(a, b) for a, b in pairs)


# Object -> record -----------------------------------------------------------------------------------------------------


class _Opaque(Exception):
    """Why something is no plain data."""


def to_record(thing: Any) -> Record:
    """Type and options of a constraint, model, loss or objective as JSON values; where that cannot be, its type and the
    reason."""
    place = _place(type(thing))
    try:
        return _stored(thing)
    except (_Opaque, UsageError, DataError, *DAMAGE) as reason:
        return {"type": place, "opaque": one_line(reason)}


def _stored(thing: Any) -> Record:
    kind, place = kind_of(thing), _place(type(thing))
    if "<locals>" in place:
        raise _Opaque("its class is defined inside a function, where no other program finds it")
    options = _options(thing, kind)
    if kind == "constraint" and _is_faros(type(thing)) and not place.startswith("constraints:"):
        place, options = _notion(thing, options)
    record = {"type": place, "options": _plain_options(thing, options)}
    if not any(_opaque(record)) and not _equal(_made(record, kind, type(thing)), thing, kind):
        raise _Opaque("what its options make is another one")
    return record


def kind_of(thing: Any) -> str:
    """ "constraint", "model" or "loss"; "object" for anything else."""
    return next((kind for kind, bases in BASES.items() if isinstance(thing, bases)), OBJECT)


def _options(thing: Any, kind: str) -> dict[str, Any]:
    """What makes it again, by name."""
    if kind == "model":
        if not dataclasses.is_dataclass(thing) and not thing.config() and vars(thing):
            raise _Opaque("its class says no config(): make it a frozen dataclass, or give it config and from_config")
        return thing.config()
    if not dataclasses.is_dataclass(thing):
        raise _Opaque(f"a {type(thing).__name__} is no dataclass")
    return {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing) if field.init}


def _plain_options(thing: Any, options: Mapping[str, Any]) -> Record:
    """Options as JSON values, without those that are no plain data and the very default of their field."""
    defaults = (
        {field.name: field.default for field in dataclasses.fields(thing)} if dataclasses.is_dataclass(thing) else {}
    )
    options_as_data = {}
    for name, value in options.items():
        try:
            options_as_data[name] = _plain(value, name)
        except _Opaque:
            if defaults.get(name, dataclasses.MISSING) is not value:
                raise
    return options_as_data


def _equal(made: Any, thing: Any, kind: str) -> bool:
    if kind in ("constraint", "loss"):
        return same(made, thing)
    pair = [_plain_options(value, _options(value, kind)) for value in (made, thing)]
    return type(made) is type(thing) and pair[0] == pair[1]


def _is_faros(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "constraints"


def _place(kind: type) -> str:
    """The name under which a class is found: of an entry point, or of the package that shows it, else its module's."""
    group = next((name for name, bases in BASES.items() if issubclass(kind, bases)), None)
    for name, point in declared(group).items() if group else ():
        within = f"{kind.__module__}.".startswith(f"{point.module}.")  # so it is imported already
        if within and point.attr.rpartition(".")[2] == kind.__name__ and point.load() is kind:
            return name
    packages = itertools.accumulate(kind.__module__.split("."), "{}.{}".format)
    shown = (name for name in packages if getattr(sys.modules.get(name), kind.__name__, None) is kind)
    return f"{next(shown, kind.__module__)}:{kind.__qualname__}"


def _notion(constraint: Constraint, fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The notion of faro's that makes it, and with which options: of several the one that leaves least to be said."""
    who = fields.get("who", Grouping())
    makers: list[tuple[int, int, str, dict[str, Any]]] = []
    for name, point in notions().items():
        if not point.value.startswith("constraints:"):
            continue
        notion = find_notion(name)
        takes = [option for option in parameters(notion) if option in (*PLACED, *fields)]
        given = {option: getattr(who, option) if option in PLACED else fields[option] for option in takes}
        given = {option: value for option, value in given.items() if not (option in PLACED and value is None)}
        try:
            made = notion(**given)
        except DAMAGE:
            continue
        if type(made) is type(constraint):
            rest = {option: value for option, value in fields.items() if not same(getattr(made, option), value)}
            makers.append((len(rest.keys() - given.keys()), len(makers), name, given | rest))
            if not makers[-1][0]:  # less cannot be left
                break
    if not makers:
        raise _Opaque("no notion makes a constraint of its class")
    _, _, name, options = min(makers, key=lambda maker: maker[:2])
    return name, options


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
        return [_plain(item, where) for item in value]
    if isinstance(value, list):
        return {"is": "list", "value": [_plain(item, where) for item in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"is": "dict", "value": {key: _plain(item, where) for key, item in value.items()}}
    if kind_of(value) != OBJECT or _is_constant(value):
        return {"is": kind_of(value), **_stored(value)}
    raise _Opaque(f"its field {where!r} is a {type(value).__name__}, which is no plain data")


def _is_constant(value: Any) -> bool:
    """Whether its fields are all there is to know: those of a frozen dataclass, or of a Linen module."""
    parameters: Any = getattr(value, "__dataclass_params__", None)
    if isinstance(value, type) or parameters is None:
        return False
    linen = sys.modules.get("flax.linen")  # whoever has a module of it has imported it
    return parameters.frozen or (linen is not None and isinstance(value, linen.Module))


def _number(value: float) -> Any:
    """JSON has no infinity and no NaN."""
    return value if math.isfinite(value) else {"is": "float", "value": repr(value)}


def _nested(value: Any) -> Any:
    if isinstance(value, list):
        return [_nested(item) for item in value]
    return _number(value) if isinstance(value, float) else value


# Record -> object -----------------------------------------------------------------------------------------------------


def from_record(record: Any, kind: str = "constraint") -> Any:
    """What `to_record` wrote of a thing of this kind ("constraint", "model", "loss"). `UsageError` for one that is not
    stored as data, or whose module the program has not imported; `DataError` for what is no such record."""
    for reason in _opaque(record):
        raise UsageError(f"the {kind} is not stored as data: {reason}")
    return _made(record, kind)


def _made(record: Any, kind: str, made_by: type | None = None) -> Any:
    """What a record says; of the class `made_by`, where that is known."""
    if not (isinstance(record, Mapping) and isinstance(record.get("type"), str)):
        raise DataError(f"{kind}: expected a record with a type, got {str(record)[:60]!r}")
    name = record["type"]
    maker = find(kind, name) if ":" not in name and kind in GROUPS else made_by or _class(name, kind)
    try:
        options = {option: _value(value) for option, value in record["options"].items()}
        made = _from_options(maker, options, kind)
    except DAMAGE as error:
        raise DataError(f"{kind} {name!r}: its options cannot be read ({type(error).__name__}: {error})") from error
    if not isinstance(made, BASES.get(kind, object)):
        raise DataError(f"{kind} {name!r}: it makes a {type(made).__name__}")
    return made


def _from_options(maker: Any, options: Record, kind: str) -> Any:
    if kind == "model":
        return maker.from_config(options)
    if kind != "constraint":
        return maker(**options)
    takes = parameters(maker)
    made = maker(**{option: value for option, value in options.items() if option in takes})
    fields = {field.name for field in dataclasses.fields(made)} if isinstance(made, Constraint) else set()
    if unknown := sorted(options.keys() - {*takes} - fields):
        raise ValueError(f"unknown option {unknown[0]!r}")
    made = dataclasses.replace(made, **{option: value for option, value in options.items() if option in fields})
    bound: Any = getattr(made, "bound", None)
    if bound is not None and (isinstance(bound, str | bool) or np.ndim(bound) or math.isnan(bound)):
        raise ValueError(f"bound: expected a number, got {str(bound)[:40]!r}")
    made.labels()  # a damaged attribute or grouping has none
    return made


def _class(place: str, kind: str) -> type:
    """The class at this place, if its module is imported already or a package declares it."""
    module, _, path = place.partition(":")
    if module not in sys.modules and module not in _declared_modules():
        raise UsageError(
            f"the {kind} is {place}, and no file may decide what is imported: import {module} first (a command that "
            f"takes it: --plugin {place}), declare it by an entry point of its package, or name the {kind} yourself"
        )
    thing: Any = find(kind, place) if path else None
    suits = isinstance(thing, type) and issubclass(thing, BASES.get(kind, object))
    if not (suits and (kind in BASES or dataclasses.is_dataclass(thing))):
        raise DataError(f"{kind} {place!r}: expected a class of {kind}s")
    return thing


@functools.cache
def _declared_modules() -> frozenset[str]:
    """Modules of what installed packages declare."""
    return frozenset(point.module for kind in GROUPS for point in declared(kind).values())


def _value(value: Any) -> Any:
    if isinstance(value, Mapping):
        kind = value.get("is")
        if kind is None:
            return _made(value, "constraint")
        if kind in BASES or kind == OBJECT:
            return _made(value, kind)
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
            return [_value(item) for item in value["value"]]
        if kind == "dict":
            return {key: _value(item) for key, item in value["value"].items()}
        raise ValueError(f"unknown kind of value {kind!r}")
    return tuple(_value(item) for item in value) if isinstance(value, list) else value


def _value_of_nested(value: Any) -> Any:
    return [_value_of_nested(item) for item in value] if isinstance(value, list) else _value(value)


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
    attributes_by_name: dict[str, Attribute] = {}
    try:
        attributes = [_value(value) for value in _attributes(record)]
    except DAMAGE as error:
        raise DataError(f"an attribute of the constraint cannot be read ({type(error).__name__}: {error})") from error
    for attribute in attributes:
        if attribute.parts and attributes_by_name.setdefault(attribute.name, attribute) != attribute:
            raise UsageError(f"two crossed attributes are called {attribute.name!r}; rename one that they are made of")
    return attributes_by_name


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


def typed(thing: Any) -> str | None:
    """The text by which `faro.registry.make` makes this model or loss; None where no text can name it."""
    record = to_record(thing)
    if any(_opaque(record)):
        return None
    try:
        usual = {field.name: field.default for field in dataclasses.fields(thing)}
        options = {name: _value(value) for name, value in record["options"].items()}
        texts = [f"{name}={_literal(value)}" for name, value in options.items() if usual[name] != value]
        text = record["type"] + (f"({', '.join(texts)})" if texts else "")
        return text if _equal(make(kind_of(thing), text), thing, kind_of(thing)) else None
    except (UsageError, *DAMAGE):
        return None


def arguments_of(constraint: Constraint, attributes: Mapping[str, Attribute]) -> dict[str, str] | None:
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
    texts = [f"{name}={_literal(value)}" for name, value in options.items() if not same(getattr(usual, name), value)]
    named = {name: "=".join((value[0].name, value[1])) if name == "of" else value.name for name, value in place.items()}
    return record["type"] + (f"({', '.join(texts)})" if texts else ""), named


def _literal(value: Any) -> str:
    if isinstance(value, np.ndarray | jax.Array):
        value = np.asarray(value).tolist()
    if not isinstance(value, list | tuple):
        return repr(value)
    return f"({', '.join(map(_literal, value))}{',' * (len(value) == 1)})"
