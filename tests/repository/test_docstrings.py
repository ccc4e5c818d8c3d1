"""`help()` of what people call says what every parameter is, on a line of its own: `name: what it is`."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import types
from collections.abc import Iterator

import pytest

import constraints
import faro
from faro import api, losses, models
from faro.data import Dataset
from faro.store.frontier import Frontier
from faro.store.model import TrainedModel

LINE = re.compile(r"^ *((?:\*{0,2}\w+, )*\*{0,2}\w+): +\S", re.M)
LEANS = re.compile(r"\b(the same[,.] of|as above|see above|arguments as for)", re.I)


def public(module: types.ModuleType) -> dict[str, object]:
    """What a package hands out: neither its modules nor anything of other packages than its own."""
    own = module.__name__.partition(".")[0]
    return {
        f"{module.__name__}.{name}": found
        for name, found in vars(module).items()
        if not name.startswith("_")
        and callable(found)
        and str(getattr(found, "__module__", "")).partition(".")[0] == own
    }


FRONT = {f"faro.{name}": getattr(faro, name) for name in faro.__all__ if name != "__version__"}
CALLED = {name: found for name, found in public(api).items() if found.__module__ == api.__name__}
RECORDS = {f"{kind.__module__}.{kind.__name__}": kind for kind in (Dataset, Frontier, TrainedModel)}
PUBLIC = FRONT | CALLED | RECORDS | public(constraints) | public(models) | public(losses)


def named(text: str | None) -> set[str]:
    """The parameters that have a line, or share one: `first, second: what they are`."""
    return {name.strip("* ") for names in LINE.findall(text or "") for name in names.split(",")}


def parameters(function: object) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]


def fields(kind: type) -> list[str]:
    """What an object of the class is made of: fields, or else the parameters of its constructor."""
    if dataclasses.is_dataclass(kind):  # a field that brings its meaning along is described by that
        return [field.name for field in dataclasses.fields(kind) if field.init and "means" not in field.metadata]
    if hasattr(kind, "_fields"):
        return list(kind._fields)
    return parameters(kind.__init__) if "__init__" in vars(kind) else []


def methods(kind: type) -> Iterator[tuple[str, object]]:
    """Public methods that the class itself gives a docstring; others are described where they come from."""
    for name, found in vars(kind).items():
        function = found.__func__ if isinstance(found, classmethod | staticmethod) else found
        if not name.startswith("_") and inspect.isfunction(function) and function.__doc__:
            yield name, function


def missing(found: object) -> list[str]:
    """What `help()` of a class or a function does not say: its own parameters, and those of its methods."""
    if not isinstance(found, type):
        return [name for name in parameters(found) if name not in named(inspect.getdoc(found))]
    told = set().union(*(named(above.__doc__) for above in found.__mro__))  # inherited like the fields
    lacking = [name for name in fields(found) if name not in told]
    for method, function in methods(found):
        here = told.union(*(named(getattr(vars(above).get(method), "__doc__", "")) for above in found.__mro__))
        lacking += [f"{method}({name})" for name in parameters(function) if name not in here]
    return lacking


@pytest.mark.parametrize("name", PUBLIC)
def test_every_parameter_is_described(name):
    assert not missing(PUBLIC[name]), f"{name}: no line `name: what it is` for {missing(PUBLIC[name])}"


@pytest.mark.parametrize("name", PUBLIC)
def test_a_docstring_stands_alone(name):
    found = PUBLIC[name]
    texts = [found.__doc__, *(function.__doc__ for _, function in methods(found))] if isinstance(found, type) else []
    for text in texts or [found.__doc__]:
        assert text and text.strip() and not LEANS.search(text), f"{name}: {text}"


def test_these_are_public():
    assert len(PUBLIC) >= 80
    assert {"faro.train", "constraints.decide", "faro.models.Model", "faro.losses.CVaR"} <= set(PUBLIC)
    assert all(importlib.import_module(found.__module__) for found in PUBLIC.values())


# Faults that must be found --------------------------------------------------------------------------------------------


def described(items, *, weight=None):
    """Adds up.

    items: numbers
    weight: of each, >= 0
    """


def half_described(items, *, weight=None):
    """Adds up the items, by weight: all of them.

    items: numbers
    """


@dataclasses.dataclass
class Described:
    """Something.

    first, second: its two halves
    """

    first: int
    second: int = 0

    def method(self, first: int) -> None:
        """Is given what the class says."""


class Further(Described):
    """More of it."""

    def other(self, third: int) -> None:
        """Is given something that nobody describes."""


@dataclasses.dataclass
class Larger(Described):
    """With a field that has no line."""

    fourth: int = 0


@pytest.mark.parametrize(
    ("found", "lacking"),
    [
        (described, []),
        (half_described, ["weight"]),
        (Described, []),
        (Further, ["other(third)"]),
        (Larger, ["fourth"]),
    ],
)
def test_what_is_missing_is_found(found, lacking):
    assert missing(found) == lacking


def test_a_docstring_that_leans_is_found():
    assert LEANS.search("The same, of columns of texts.") and not LEANS.search("The same choices, padded.")
