"""Which bound people like these could show at all, and by which method: asked of a run's dev people, before any gate.

Of a comparison, what its method adds to the difference that was counted depends on numbers of people, on rates, and on
how rows of a person agree, and hardly on the difference itself. So the largest of these is what could be shown if all
groups were treated alike; a bound below it asks for luck.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..data import Dataset
from ..errors import UsageError
from ..store.model import TrainedModel
from . import claims
from .audit import Audit
from .cells import People
from .dev_people import KEYS, asked_of, audited, foretellable, names_of, samples_of
from .policy import METHODS, Claim, Policy
from .predicted import NOBODY
from .sample_size import more, times_as_many

HARDEST = 12  # comparisons of the largest standard errors that are looked at


class Showable(NamedTuple):
    """A method, and the least bound that it could show of people like these."""

    method: str
    bound: float


def dev_audit(model: TrainedModel, data: Dataset, policy: Policy, files: Sequence[Path] = ()) -> Audit:
    """The dev people of a model, as a gate would read them."""
    part = data.take(data.rows("dev", model.about.get("seed", 0)))
    twins = policy.twins
    return audited(model, part, files, policy, twins)[1]


def showable(claim: Claim, policy: Policy, audit: Audit, level: float) -> list[Showable]:
    """Every method that suits a claim and these people, sharpest first; none for a claim about whole distributions.

    claim   of the policy; its own method is one of several here
    policy  whose estimand, cap and order count
    audit   the people
    level   error probability of the gate
    """
    found = []
    for method in METHODS:
        own = dataclasses.replace(claim, method=method)
        if own.unsuitable(policy.rule) is None and foretellable(own):
            try:
                found.append(Showable(method, _added(own, policy, audit, level)))
            except UsageError:  # these people have rows that it cannot count
                continue
    return sorted(found, key=lambda each: each.bound)


def _added(claim: Claim, policy: Policy, audit: Audit, level: float) -> float:
    """The most that the method adds to a difference."""
    asked = asked_of(dataclasses.replace(policy, claims=(claim,)))
    most = []
    for key in KEYS:
        people = People(dataclasses.replace(policy, claims=(claim,)), audit, key)
        cells = samples_of(people, names_of([people]))
        sides = [[cells[place] for place in (own.high, own.low) if place != NOBODY] for own in asked]
        errors = [sum(each.rate * (1 - each.rate) / each.size for each in own) for own in sides]
        hardest = np.argsort(errors)[::-1][:HARDEST]
        uppers = claims.uppers(claim, people, level, [asked[place].comparison for place in hardest])
        moved = 2 if claim.moves else 1  # its cells hold (1 + difference) / 2
        apart = [
            moved * sides[at][0].counted - (moved - 1) - sum(own.counted for own in sides[at][1:]) for at in hardest
        ]
        most.append(max(float(upper) - counted for upper, counted in zip(uppers, apart, strict=True)))
    return float(np.mean(most))


def remarks(claim: Claim, policy: Policy, audit: Audit, level: float) -> tuple[str, list[str], bool]:
    """The sharpest method, what is to be said of a claim beside it, and whether people like these could show it."""
    found = showable(claim, policy, audit, level)
    if not found:
        return claim.method, [], True
    best = found[0]
    others = ", ".join(f"{each.bound:.3f} by {each.method}" for each in found[1:])
    lines = [
        f"As many units as on dev could show {best.bound:.3f} by {best.method}" + (f" ({others})" if others else "")
    ]
    if policy.estimand == "row":
        by_unit = showable(claim, dataclasses.replace(policy, estimand="unit"), audit, level)
        if by_unit and by_unit[0].bound < 0.9 * best.bound:
            lines.append(
                f'with estimand = "unit", where every unit counts once, {by_unit[0].bound:.3f} by {by_unit[0].method}'
            )
    able = best.bound <= float(claim.bound)
    if not able:
        times = times_as_many(best.bound, 0.0, claim.bound)
        enough = "" if times is None else f"; {more(times, 'units')} would have an even chance with equal groups"
        lines.append(f"so {claim.bound} would take luck, whatever the model{enough}")
    people = People(dataclasses.replace(policy, claims=(claim,)), audit, KEYS[0])
    own = dataclasses.replace(claim, method=best.method)
    short = [
        claims.too_few(place, n, policy) for place, n in claims.units_of(own, people).items() if n < policy.min_group
    ]
    lines += [f"on dev {each}: no model passes; leave groups out with `groups = [...]`" for each in short[:3]]
    return best.method, lines, able and not short
