"""From the names that a command line uses ("demographic_parity", "sex", "mode=Swissmetro") to a `Constraint`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping

import constraints as ct
from constraints import Attribute, Constraint

from .errors import UsageError

NOTIONS: dict[str, Callable[..., Constraint]] = {
    "demographic_parity": ct.demographic_parity,
    "equalized_odds": ct.equalized_odds,
    "equal_opportunity": ct.equal_opportunity,
    "counterfactual_parity": ct.counterfactual_parity,
    "counterfactual_flip": ct.counterfactual_flip,
}


def known(kind: str, name: str, names: Mapping | tuple | list) -> None:
    """Raise `UsageError` listing what exists if `name` is not among `names`."""
    if name not in names:
        close = difflib.get_close_matches(name, list(names), 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"unknown {kind} {name!r}{hint} (known: {', '.join(names) or 'none'})")


def make_constraint(
    attributes: Mapping[str, Attribute],
    constraint: str = "demographic_parity",
    attribute: str | None = None,
    *,
    of: str | tuple[str, str] | None = None,
    within: str | None = None,
    bound: float = 0.05,
) -> Constraint:
    """The constraint of this name on declared attributes; several names joined by "+" make a `Stack`.

    `of` is "attribute=level" (or the pair), `within` an attribute's name. `UsageError` for a name that does not exist.
    """
    parts = []
    names = constraint.split("+")
    if len(set(names)) < len(names):
        raise UsageError(f"the same constraint twice in {constraint!r}; name each once")
    for name in names:
        known("constraint", name, NOTIONS)
        if attribute is None:
            raise UsageError(f"{name} needs an attribute (known: {', '.join(attributes) or 'none'})")
        known("attribute", attribute, attributes)
        options: dict = {}
        if within is not None:
            known("attribute", within, attributes)
            if within == attribute:
                raise UsageError(f"within: {within!r} is the attribute whose groups are compared; choose another")
            options["within"] = attributes[within]
        if of is not None:
            kind, level = _kind(of)
            known("attribute", kind, attributes)
            known(f"level of {kind}", level, attributes[kind].levels)
            if kind == attribute:
                raise UsageError(f"of: {kind!r} is the attribute whose groups are compared; choose another")
            options["of"] = (attributes[kind], level)
        parts.append(NOTIONS[name](attributes[attribute], bound, **options))
    return parts[0] if len(parts) == 1 else ct.Stack(members=tuple(parts))


def _kind(of: str | tuple[str, str]) -> tuple[str, str]:
    """An attribute's name and a level of it."""
    pair = tuple(of.split("=", 1)) if isinstance(of, str) else tuple(of)
    if len(pair) != 2:
        raise UsageError(f"of: expected attribute=level, got {of!r}")
    return pair[0], pair[1]
