"""What packages declare, by name; and from what a command line says ("demographic_parity", "sex") to a `Constraint`.

Constraints, models, losses, advantages and summarisers are made by functions or classes. Those in the groups of entry
points `faro.constraints`, `faro.models`, `faro.losses`, `faro.advantages` and `faro.summarisers`, the built-in ones
among them, are known by name; any other by its place, `package.module:Name`. Options are Python literals in brackets
behind the name.

    demographic_parity    calibration(bins=5)    rate_cap    mypkg.mine:WaitingTime    demographic_parity+group_error
    linear    mlp(widths=(64, 32))    mypkg.nets:Tokens(depth=2)

A notion is what makes a constraint.
"""

from __future__ import annotations

import ast
import difflib
import functools
import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from types import FunctionType
from typing import Any

import constraints as ct
from constraints import Attribute, Constraint

from .errors import UsageError

GROUPS = {
    "constraint": "faro.constraints",
    "model": "faro.models",
    "loss": "faro.losses",
    "advantage": "faro.advantages",
    "summariser": "faro.summarisers",
}
# what an option is that a maker says is of this kind, and what that is called
KINDS: dict[str, tuple[Any, str]] = {
    "bool": (bool, "True or False"),
    "int": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "str": (str, "a text in quotes"),
}
Notion = Callable[..., Constraint]


def known(kind: str, name: str, names: Mapping | tuple | list) -> None:
    """Raise `UsageError` listing what exists if `name` is not among `names`."""
    if name not in names:
        close = difflib.get_close_matches(name, list(names), 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"unknown {kind} {name!r}{hint} (known: {', '.join(names) or 'none'})")


@functools.cache
def declared(kind: str) -> dict[str, EntryPoint]:
    """The makers of this kind ("constraint", "model", ..., a key of `GROUPS`) that installed packages declare, by name;
    faro's own first."""
    points = sorted(entry_points(group=GROUPS[kind]), key=lambda point: point.name)
    of_faro = [point for point in points if point.module.partition(".")[0] in ("constraints", "faro")]
    named = {point.name: point for point in of_faro}  # nobody else's point takes a name of faro's
    return named | {point.name: point for point in points if point.name not in named}


def find(kind: str, name: str) -> Callable[..., Any]:
    """The maker of this name, or at this place (`package.module:Name`); `UsageError` if there is none."""
    if ":" not in name:
        known(kind, name, declared(kind))
        maker = _imported(kind, name, declared(kind)[name].load)
    else:
        module, _, attribute = name.partition(":")
        maker = _imported(
            kind, name, lambda: functools.reduce(getattr, attribute.split("."), importlib.import_module(module))
        )
    try:
        parameters(maker)
    except (TypeError, ValueError):
        what = "constraints.Constraint" if kind == "constraint" else kind
        message = f"{kind} {name!r}: expected a function or class that makes a {what}, got {maker!r}"
        raise UsageError(message) from None
    return maker


def parameters(maker: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """What a maker takes, by name."""
    return _parameters(maker) if isinstance(maker, type | FunctionType) else inspect.signature(maker).parameters


@functools.cache
def _parameters(maker: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(maker).parameters


def make(kind: str, text: str) -> Any:
    """What "name", "name(option=value)" or a place with options makes; `UsageError` for what does not exist or fit."""
    name, options = _options(text, kind)
    maker = find(kind, name)
    takes = parameters(maker)
    if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in takes.values()):
        for option in options:
            known(f"option of {name}", option, takes)
    for option, value in options.items():
        _check_kind(f"{kind} {text!r}: {option}", value, takes[option].annotation if option in takes else "")
    try:
        return maker(**options)
    except (TypeError, ValueError, KeyError) as error:
        raise UsageError(f"{kind} {text!r} cannot be made: {error}") from error


def _check_kind(where: str, value: Any, said: Any) -> None:
    """`UsageError` for an option of another kind than its maker says, where that is a plain one."""
    kind = said if isinstance(said, str) else getattr(said, "__name__", "")
    good, expected = KINDS.get(kind, (object, ""))
    if not isinstance(value, good) or (isinstance(value, bool) and kind != "bool" and kind in KINDS):
        raise UsageError(f"{where}: expected {expected}, got {value!r}")


def notions() -> dict[str, EntryPoint]:
    """The notions that installed packages declare, by name; faro's own first."""
    return declared("constraint")


def find_notion(name: str) -> Notion:
    """The notion of this name, or at this place (`package.module:Name`)."""
    return find("constraint", name)


def import_constraints(names: Iterable[str]) -> None:
    """Import the modules of these constraints, so that what is stored of them can be read."""
    for name in names:
        find_notion(name)


def _imported(kind: str, name: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"{kind} {name!r} cannot be imported: {error}") from error


def make_constraint(
    attributes: Mapping[str, Attribute],
    constraint: str = "demographic_parity",
    attribute: str | None = None,
    *,
    of: str | tuple[str, str] | None = None,
    within: str | None = None,
    bound: float = 0.05,
    unless: tuple[str, ...] = (),
) -> Constraint:
    """The constraint of this name on declared attributes; several names joined by "+" make a `Stack`.

    `attribute` may be crossed, "sex&race", or several, "sex,race": a `Stack` of one constraint for each; `of` is
    "attribute=level" (or the pair), `within` an attribute's name; options of the notion itself go in brackets behind
    its name. `UsageError` for what does not exist or fit; the arguments named in `unless` are defaults, which a notion
    that does not take them goes without.
    """
    if attribute is not None and "," in attribute and attribute not in attributes:
        several = [name.strip() for name in attribute.split(",")]
        if len(set(several)) < len(several):
            raise UsageError(f"the same attribute twice in {attribute!r}; name each once")
        options = {"of": of, "within": within, "bound": bound, "unless": unless}
        constraints = [make_constraint(attributes, constraint, name, **options) for name in several]  # type: ignore[arg-type]
        return ct.Stack(members=tuple(part for made in constraints for part in made.parts()))
    names = split(constraint)
    if len(set(names)) < len(names):
        raise UsageError(f"the same constraint twice in {constraint!r}; name each once")
    given: dict[str, Any] = {}
    if attribute is not None:
        given["attribute"] = _attribute(attributes, attribute)
    if within is not None:
        if within == attribute:
            raise UsageError(f"within: {within!r} is the attribute whose groups are compared; choose another")
        given["within"] = _attribute(attributes, within)
    if of is not None:
        kind, level = _kind(of)
        known("attribute", kind, attributes)
        known(f"level of {kind}", level, attributes[kind].levels)
        if kind == attribute:
            raise UsageError(f"of: {kind!r} is the attribute whose groups are compared; choose another")
        given["of"] = (attributes[kind], level)
    taken = {option for name in names for option in parameters(find_notion(_options(name)[0]))}
    for option in given:
        if option not in taken and option not in unless:
            raise UsageError(f"{constraint} takes no {option}")
    made = [_make(name, given, bound, attributes) for name in names]
    return made[0] if len(made) == 1 else ct.Stack(members=tuple(made))


def _make(text: str, given: dict[str, Any], bound: float, attributes: Mapping[str, Attribute]) -> Constraint:
    name, options = _options(text)
    notion = find_notion(name)
    accepted = parameters(notion)
    options_of_notion = [option for option in accepted if option not in ("attribute", "bound", "of", "within")]
    for option in options:
        known(f"option of {name}", option, options_of_notion)
    given = {option: value for option, value in given.items() if option in accepted}
    needs = "attribute" in accepted and accepted["attribute"].default is inspect.Parameter.empty
    if needs and "attribute" not in given:
        raise UsageError(f"{name} needs an attribute (known: {', '.join(attributes) or 'none'})")
    try:
        made = notion(**given, **options, bound=bound)
    except (TypeError, ValueError, KeyError) as error:
        raise UsageError(f"constraint {text!r} cannot be made: {error}") from error
    if not isinstance(made, Constraint):
        raise UsageError(f"constraint {name!r}: expected a constraints.Constraint, got {type(made).__name__}")
    return made


def split(text: str, at: str = "+") -> list[str]:
    """The names in a text, cut at every such letter outside brackets.

    text: as a command line says it
    at: the letter
    """
    texts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == at and depth == 0:
            texts.append("")
        else:
            texts[-1] += letter
    return texts


def _options(text: str, kind: str = "constraint") -> tuple[str, dict[str, Any]]:
    """ "name(a=1, b=True)" -> the name and its options, which are Python literals."""
    name, bracket, rest = text.partition("(")
    if not bracket:
        return text, {}
    try:
        call = ast.parse(f"f({rest}", mode="eval").body
        assert isinstance(call, ast.Call) and not call.args
        return name, {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (SyntaxError, AssertionError, ValueError):
        raise UsageError(f"{kind}: expected NAME or NAME(option=value, ...), got {text!r}") from None


def _attribute(attributes: Mapping[str, Attribute], name: str) -> Attribute:
    """A declared attribute, or several joined by "&" and crossed; "&&" stands for an "&" in the name of one of them."""
    names = [name]
    if name not in attributes:
        names = [text.replace("&&", "&") for text in re.split("(?<!&)&(?!&)", name)]
    for single in names:
        known("attribute", single, attributes)
    if len(set(names)) < len(names):
        raise UsageError(f"the same attribute twice in {name!r}; name each once")
    return functools.reduce(ct.cross, [attributes[single] for single in names])


def _kind(of: str | tuple[str, str]) -> tuple[str, str]:
    """An attribute's name and a level of it."""
    pair = tuple(of.split("=", 1)) if isinstance(of, str) else tuple(of)
    if len(pair) != 2:
        raise UsageError(f"of: expected attribute=level, got {of!r}")
    return pair[0], pair[1]
