"""What a user should know of the data under a constraint before any number: every front door says it in these words.

empty      a cell without train data: it takes no part
few        a cell of fewer than `constraints.FEW_UNITS` train units: its rate is noisy
lone       a block in which one group alone has data: nothing is compared there
unchosen   a cell in which people chose nothing, under a precision
bound      one that no model exceeds, or that no model meets
dev        who is in the dev gap, where not everybody is
alike      everybody is served alike, by a model that reads nothing of people: what somebody else would change is 0

What no model can move, and a single group, is refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

import constraints as ct
from constraints import AttainableRange, Choices, Constraint

from ..errors import DataError, UsageError
from ..store import columns
from .bounds import within
from .doubts import Cells

MOST_NAMES = 8  # names in one note
ALIKE = (
    "nothing that the model reads differs between people, so everybody is served alike and it is 0 by construction; a "
    "model that reads earlier choices of a person, or context of what people are like, can move it"
)


@dataclasses.dataclass(frozen=True)
class Notes:
    """Sentences on train, and on who is in the dev gap; by part, `empty` are the cells without train data, and `cells`
    says how many people are in those whose rates are compared; `constants` is the log-loss of a constant on parts."""

    train: tuple[str, ...] = ()
    dev: tuple[str, ...] = ()
    empty: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    cells: Mapping[str, Cells] = dataclasses.field(default_factory=dict)
    constants: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def all(self) -> list[str]:
        """Every sentence, in order."""
        return [*self.train, *self.dev]


def fit_for(
    constraint: Constraint,
    train: Choices | Callable[[], Iterable[Choices]],
    where: str,
    dev: Choices | Iterable[Choices] | None = None,
    support: int = 0,
) -> Notes:
    """Whether these train choices, or the shards of them that a call gives, can carry the constraint, and the notes;
    `where` names them, `support` is how many earlier choices of a person the model reads.

    `UsageError` if no model can move it or its twins look alike to every model, `DataError` if only one group has data.
    """
    if isinstance(train, Choices):
        alike = _twins_alike(constraint, [train], support)
        ranges = ct.attainable_range(constraint, train)
    else:
        alike = _twins_alike(constraint, train(), support)
        ranges = ct.attainable_range(constraint, train())
    said, empty = [f"{constraint.name()}: {ALIKE}"] if alike else [], {}
    for part, span in zip(constraint.parts(), ranges, strict=True):
        bound = float(part.bound)
        verdict = span.verdict(bound)
        if verdict == "immovable":
            raise UsageError(span.explain(bound))
        if verdict == "inactive":
            raise DataError(f"{where}: {span.explain(bound)} in the train part; it needs two groups")
        if verdict == "infeasible" or (verdict == "cannot bind" and bound < float("inf")):
            said.append(span.explain(bound))
        if span.empty:
            said.append(f"{span.name}: no train data for {_listed(span.empty)}; these rows are inactive")
        if span.small:
            said.append(
                f"{span.name}: fewer than {ct.FEW_UNITS} train units in {_listed(span.small)}; their rates are noisy"
            )
        if span.alone:
            said.append(f"{span.name}: one group only in {_listed(span.alone)}; nothing to compare there")
        if span.unchosen:
            said.append(
                f"{span.name}: people chose nothing in train of {_listed(span.unchosen)}; a precision there is 0, "
                "or not known if the model chooses nothing"
            )
        empty[span.name] = span.empty
    if dev is None:
        return Notes(tuple(said), (), empty)
    on_dev = ct.attainable_range(constraint, dev)
    parts = {
        part.name(): Cells.of(part, *spans) for part, *spans in zip(constraint.parts(), ranges, on_dev, strict=True)
    }
    cells = {name: own for name, own in parts.items() if own is not None}
    return Notes(tuple(said), _of_dev(on_dev), empty, cells)


def _twins_alike(constraint: Constraint, shards: Iterable[Choices], support: int) -> bool:
    """Whether somebody else in a person's place looks the same to the model; `UsageError` if other twins do."""
    alike = set(constraint.twins()) - ({ct.ANOTHER} if support else set())
    for choices in shards if alike else ():
        alike = {name for name in alike if _look_alike(name, choices)}
        if not alike:
            return False
    for name in sorted(alike - {ct.ANOTHER}):
        raise UsageError(
            f"{constraint.name()}: the twins of {name!r} look alike to the model, so it is 0 for every model; "
            f"make {name!r} a feature, or choose another constraint"
        )
    return ct.ANOTHER in alike


def _look_alike(name: str, choices: Choices) -> bool:
    twin = choices.twins[name]
    if name == ct.ANOTHER:
        pairs = zip(jax.tree.leaves(twin.context), jax.tree.leaves(choices.context), strict=True)
        same = all(np.array_equal(np.asarray(moved)[:, 0], np.asarray(own)) for moved, own in pairs)
        return same and twin.unit_index is None
    sides = ((twin.items, 2), (twin.context, 1))
    leaves = [(np.asarray(leaf), axis) for tree, axis in sides for leaf in jax.tree.leaves(tree)]
    return all(np.all(leaf == np.take(leaf, [0], axis)) for leaf, axis in leaves)


def _of_dev(ranges: Iterable[AttainableRange]) -> tuple[str, ...]:
    """A sentence per part whose dev gap leaves somebody out."""
    return tuple(
        f"{span.name}: dev gap over {_listed(span.live) or 'nobody'}; no dev data for {_listed(span.empty)}"
        for span in ranges
        if span.empty
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def together(by_seed: Mapping[int, Sequence[str]]) -> list[str]:
    """The sentences of several seeds, each once, with the seeds it holds for where that is not all of them."""
    seeds: dict[str, list[int]] = {}
    for seed, said in by_seed.items():
        for sentence in said:
            seeds.setdefault(sentence, []).append(seed)
    return [
        sentence if len(held_by) == len(by_seed) else f"{sentence} (seed {', '.join(map(str, held_by))})"
        for sentence, held_by in seeds.items()
    ]


def reason(constraint: Constraint, about: Mapping[str, Any], notes: Notes, part: str = "train") -> str:
    """Why a model under this constraint is not FEASIBLE, from what `about` says of it; "" if it is. `part` is where its
    gap was held against the bound."""
    status, figures = about["status"], about["figures"]
    if status == "FEASIBLE":
        return ""
    if status == "DIVERGED":
        return "training ended in numbers that are not finite"
    names, bounds = [one_part.name() for one_part in constraint.parts()], about["bound"]
    gaps = [float(figures[key]) for key in columns.gaps(part, names)]
    over = [
        f"{name} is {gap:.4g} on {part}, over the bound {float(bound):.4g}"
        + _unknown(name, names, figures, notes, part)
        for name, gap, bound in zip(names, gaps, bounds, strict=True)
        if not within(np.asarray(gap), np.asarray(float(bound)))
    ]
    return "; ".join(over) or "ties decide too many choices"


def _unknown(name: str, names: Sequence[str], figures: Mapping[str, Any], notes: Notes, part: str) -> str:
    """The cells with train data whose rate is not defined."""
    if part != "train":
        return ""
    rates = {cell: float(figures[key]) for cell, key in columns.rates_in(figures, part, names, name).items()}
    cells = [cell for cell, rate in rates.items() if np.isnan(rate) and cell not in notes.empty.get(name, ())]
    return f", since the model chooses nothing of {_listed(cells)}, whose rate is then not known" if cells else ""
