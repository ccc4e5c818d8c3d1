"""What an object is, as a value that does not depend on the process: by which a killed sweep knows itself again.

The record of `faro.store.spec`, where the object is data. Of anything else: its class and fields, and of a function
where it is defined, its code, its defaults and what it encloses. So two lambdas of the same text are the same, whatever
their addresses; what a function calls by name is known by that name alone.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import re
import types
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from .spec import to_record

MAX_DEPTH = 20  # what is nested deeper is told apart by its type alone
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def fingerprint(*things: Any) -> str:
    """sha256 of plain values and of descriptions of what is none, in hex."""
    text = json.dumps([describe(thing) for thing in things], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def describe(thing: Any, depth: int = 0) -> Any:
    """An object as JSON values: equal objects of two processes have equal ones, and different objects different ones as
    far as their fields and code tell."""
    if thing is None or isinstance(thing, bool | int | float | str):
        return repr(thing) if isinstance(thing, float) else thing
    if depth > MAX_DEPTH:
        return type(thing).__qualname__

    def described(values: Any) -> list[Any]:
        return [describe(value, depth + 1) for value in values]

    if isinstance(thing, list | tuple):
        return described(thing)
    if isinstance(thing, set | frozenset):
        return sorted(map(json.dumps, described(thing)))
    if isinstance(thing, np.ndarray | np.generic | jax.Array):
        array = np.asarray(thing)
        return [str(array.dtype), array.shape, hashlib.sha256(array.tobytes()).hexdigest()]
    if isinstance(thing, Mapping):
        pairs = zip(map(str, thing), described(thing.values()), strict=True)
        return {"mapping": sorted(pairs, key=lambda pair: pair[0])}
    if isinstance(thing, type | types.ModuleType | types.BuiltinFunctionType):
        return f"{getattr(thing, '__module__', '')}:{getattr(thing, '__qualname__', thing.__name__)}"
    if isinstance(thing, types.CodeType):
        return [thing.co_code.hex(), thing.co_names, thing.co_varnames, described(thing.co_consts)]
    if isinstance(thing, types.FunctionType):
        enclosed = [cell.cell_contents for cell in thing.__closure__ or () if cell != types.CellType()]
        code = [thing.__code__, thing.__defaults__, thing.__kwdefaults__, enclosed]
        return {"function": f"{thing.__module__}:{thing.__qualname__}", "is": described(code)}
    if isinstance(thing, types.MethodType):
        return described([thing.__func__, thing.__self__])
    if isinstance(thing, functools.partial):
        return described([thing.func, thing.args, thing.keywords])
    if callable(thing) and hasattr(thing, "__wrapped__"):  # of a jitted function that one
        return describe(thing.__wrapped__, depth + 1)
    record = to_record(thing)
    if "opaque" not in record:
        return record
    if dataclasses.is_dataclass(thing):
        fields = {field.name: getattr(thing, field.name, None) for field in dataclasses.fields(thing)}
    else:
        fields = getattr(thing, "__dict__", None)  # type: ignore[assignment]
    if fields is None:
        fields = {"value": ADDRESS.sub("", repr(thing))}
    return {"type": record["type"], "fields": describe(fields, depth + 1)}
