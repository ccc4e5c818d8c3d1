"""Whose views a served reward echoes: agreement with the view that a person stated, in the mean and in the tail.

    agreement of a person   mean over the person's choices of  sum_k decision_k [k agrees]
    mean gap                mean over the same of  mean of r where k agrees - mean of r where k does not
    high people             more than one deviation above the mean of people, by taste where it is known

Rewards are known up to a constant of each choice, so the gap is taken within choices. Where no taste is known, people
are sorted by agreement in one half of their choices, and read in the other half, and the reverse: whoever is high by
chance is not high again. All is paired with another table of the same candidates (an aggregate's), or with a draw
among the candidates; intervals draw people. Every person counts once.

Source: arXiv 2503.17338 (the concern), 2602.01002 (the mean gap); the audit is ours. A mean alone may say the opposite
of the tail, so verdicts need both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

import constraints as ct

from ..errors import DataError, UsageError
from ..evaluate.resampling import interval, limits_of_mean, multiplicities
from .exposure import FEW, dispersion
from .views import Served, Views, as_chosen

QUANTILES = {"lowest": 0.0, "tenth": 0.1, "median": 0.5, "nine_tenths": 0.9, "highest": 1.0}
DRAWS = 1000
SECOND = "draw"  # what is beside, where no other table is


class High(NamedTuple):
    """Who is high: of each way to see it, people `[U]` and the choices `[n]` in which they are read."""

    by: str
    sides: tuple[tuple[np.ndarray, np.ndarray], ...]

    @property
    def people(self) -> int:
        """How many, in either half."""
        return int(np.any([who for who, _ in self.sides], 0).sum())


def agreement(views: Views, served: Served, against: Served | None = None, kept: Sequence[int] = ()) -> dict[str, Any]:
    """The audit as a plain record; figures are means over people unless they say otherwise.

    views: what candidates are
    served: the decisions that are audited
    against: those of an aggregate on the same candidates; None: a draw among them
    kept: n of best-of-n, each at most the candidates of the smallest choice; rewards are needed

    `DataError` for fewer than two people, or where nothing can agree.
    """
    sizes, of_sets = views.there.sum(1), views.share(views.draw, views.agrees)
    movable = (of_sets > 0) & (of_sets < 1)
    if views.people < 2 or not movable.any():
        raise DataError(
            "agreement: expected two people or more, and choices in which some candidates agree and some not"
        )
    for n in kept:
        if not 1 <= n <= sizes.min():
            raise UsageError(
                f"best of {n}: the smallest choice has {sizes.min()} candidates, so n is 1 to {sizes.min()}"
            )
    beside = Served(views.draw) if against is None else against
    second = SECOND if against is None else "against"
    arms = {"served": served, second: beside}
    high, every = _high(views, served), np.ones(len(sizes), bool)
    rows = []
    for view, there in (("any", every), ("wrong", views.right == 0), ("right", views.right == 1)):
        if there.any() and (view == "any" or (views.right >= 0).any()):
            rows += _rows(views, arms, views.agrees, high, view, there, second)
    found: dict[str, Any] = {
        "people": views.people,
        "choices": len(sizes),
        "candidates": {"least": int(sizes.min()), "most": int(sizes.max())},
        "second": second,
        "immovable": int((~movable).sum()),
        "high": {"by": high.by, "people": high.people},
        "agreement": rows,
        "of_people": {name: _of_people(views, arm) for name, arm in arms.items()},
        "best_of": [_best_of(views, arms, high, n, second) for n in kept],
        "gap": {name: _gap(views, arm, high, movable) for name, arm in arms.items() if arm.rewards is not None},
        "taste": _taste(views, served),
    }
    if views.truth is not None:
        found["truth"] = _rows(views, arms, views.truth, high, "any", every, second)
    if views.label is not None:
        chosen = {name: as_chosen(arm.decisions, views.label) for name, arm in arms.items()}
        found["label"] = _compared(views, chosen, high, "any", every, second)
    if views.viewpoint is not None:
        found["exposure"] = dispersion(views, {name: arm.decisions for name, arm in arms.items()}, second)
    return found


def by_person(views: Views, served: Served, against: Served | None = None) -> dict[str, np.ndarray]:
    """Column -> `[U]` of every person: choices, agreement, that of the aggregate, and how often what is true is served.

    views: what candidates are
    served: the decisions that are audited
    against: those of an aggregate on the same candidates
    """
    found = {"choices": np.bincount(views.unit, minlength=views.people)}
    for name, of in (("agreement", views.agrees), ("true", views.truth)):
        if of is not None:
            found[name] = views.means(views.share(served.decisions, of))
            found |= {f"{name}_against": views.means(views.share(against.decisions, of))} if against else {}
    return found


def _rows(
    views: Views, arms: Mapping[str, Served], of: np.ndarray, high: High, view: str, there: np.ndarray, second: str
) -> list[dict[str, Any]]:
    """How often candidates of this kind are decided for."""
    values = {name: views.share(arm.decisions, of) for name, arm in arms.items()}
    return _compared(views, values, high, view, there, second)


def _compared(
    views: Views, values: Mapping[str, np.ndarray], high: High, view: str, there: np.ndarray, second: str
) -> list[dict[str, Any]]:
    """Values `[n]` of choices, of all people and of high ones, and the paired difference."""
    rows = []
    for who, sides in (("all", ((np.ones(views.people, bool), np.ones(len(there), bool)),)), ("high", high.sides)):
        means = {
            name: np.stack([np.where(people, views.means(of_arm, there & seen), np.nan) for people, seen in sides])
            for name, of_arm in values.items()
        }
        rows.append({"who": who, "view": view} | _paired(means["served"], means[second], second))
    return rows


def _paired(served: np.ndarray, beside: np.ndarray, second: str) -> dict[str, Any]:
    """Means over people, and of their differences with an interval; `[sides, U]`, NaN of who is not among them."""
    side, person = np.nonzero(~np.isnan(served) & ~np.isnan(beside))
    if len(set(person.tolist())) < FEW:
        return {"people": len(set(person.tolist())), "served": None, second: None, "difference": None}
    own, other = served[side, person], beside[side, person]
    low, high = limits_of_mean(own - other, np.ones(len(own)), person, None)
    return {
        "people": len(set(person.tolist())),
        "served": float(own.mean()),
        second: float(other.mean()),
        "difference": {"value": float((own - other).mean()), "low": float(low), "high": float(high)},
    }


def _high(views: Views, served: Served) -> High:
    """Who is more than one deviation above the mean of people: by taste, or by agreement beyond a draw in the other
    half of the choices."""
    if views.taste is not None:
        return High("taste", ((_above(views.taste), np.ones(len(views.unit), bool)),))
    beyond = views.share(served.decisions, views.agrees) - views.share(views.draw, views.agrees)
    halves = _halves(views)
    sides = [(_above(views.means(beyond, half)), ~half) for half in (halves, ~halves)]
    return High("agreement in the other half", tuple(sides))


def _above(values: np.ndarray) -> np.ndarray:
    if np.isnan(values).all():
        return np.zeros(len(values), bool)
    return np.nan_to_num(values, nan=-np.inf) > np.nanmean(values) + np.nanstd(values)


def _halves(views: Views) -> np.ndarray:
    """`[n]` every other choice of each person."""
    order = np.argsort(views.unit, kind="stable")
    unit = views.unit[order]
    starts = np.flatnonzero(np.r_[True, unit[1:] != unit[:-1]])
    turn = np.arange(len(unit)) - np.repeat(starts, np.diff(np.r_[starts, len(unit)]))
    found = np.empty(len(unit), bool)
    found[order] = turn % 2 == 0
    return found


def _of_people(views: Views, arm: Served) -> dict[str, float]:
    """Quantiles and deviation of agreement over people, and the deviation that their numbers of choices would make."""
    share = views.share(arm.decisions, views.agrees)
    mean, square = views.means(share), views.means(share**2)
    count = np.bincount(views.unit, minlength=views.people)
    noise = (square - mean**2) / np.maximum(count - 1, 1)
    found = {name: float(np.quantile(mean, q)) for name, q in QUANTILES.items()}
    return found | {"deviation": float(mean.std()), "by_chance": float(np.sqrt(max(noise.mean(), 0.0)))}


def _best_of(views: Views, arms: Mapping[str, Served], high: High, n: int, second: str) -> dict[str, Any]:
    """Agreement of the best of n of the candidates, as the mean over all n of them."""
    decided = {}
    for name, arm in arms.items():
        if arm.rewards is None and name == "served":
            raise UsageError("best of n: the table has no column 'reward'")
        decided[name] = Served(views.draw if arm.rewards is None else _kept(arm.rewards, views.there, n))
    all_people, highest = _rows(views, decided, views.agrees, high, "any", np.ones(len(views.unit), bool), second)
    return {"n": n, "all": all_people, "high": highest}


def _kept(rewards: np.ndarray, there: np.ndarray, n: int) -> np.ndarray:
    with jax.enable_x64(True):
        choices = ct.make_choices(np.zeros((*there.shape, 1)), there / there.sum(1, keepdims=True), available=there)
        return np.asarray(ct.decide(ct.BestOfDraws(n=n), jnp.where(there, rewards, 0.0), choices).decisions)


def _gap(views: Views, arm: Served, high: High, movable: np.ndarray) -> dict[str, Any]:
    """The mean gap of rewards, and the deviation of rewards within choices, which is its unit."""
    assert arm.rewards is not None
    rewards = np.where(views.there, arm.rewards, 0.0)
    size, own = views.there.sum(1), (views.agrees & views.there).sum(1)
    agreeing = (rewards * views.agrees).sum(1)
    gap = agreeing / np.maximum(own, 1) - (rewards.sum(1) - agreeing) / np.maximum(size - own, 1)
    centred = np.where(views.there, rewards - (rewards.sum(1) / size)[:, None], 0.0)
    people = views.means(gap, movable)
    highest = [np.where(who, views.means(gap, movable & seen), np.nan) for who, seen in high.sides]
    known = people[~np.isnan(people)]
    return {
        "mean": float(known.mean()),
        "deviation": float(known.std()),
        "high": float(np.nanmean(highest)) if (~np.isnan(highest)).sum() >= FEW else None,
        "people_above_0": float((known > 0).mean()),
        "unit": float(np.sqrt((centred**2).sum() / size.sum())),
    }


def _taste(views: Views, served: Served) -> dict[str, Any]:
    """Correlation over people of how much they like agreement with the agreement they are served.

    Without a known taste it is what they chose, beyond a draw, in one half of their choices, and agreement is of the
    other half; it is not identified where both halves of what they chose do not go together.
    """
    delivered = views.share(served.decisions, views.agrees)
    if views.taste is not None:
        return {"by": "taste"} | _correlation(views.taste, views.means(delivered))
    if views.label is None:
        return {"by": None, "why": "nobody knows what people chose: the table has no labels"}
    half = _halves(views)
    liked = views.share(views.label, views.agrees) - views.share(views.draw, views.agrees)
    first, other = views.means(liked, half), views.means(liked, ~half)
    together = _correlation(first, other)
    if together["value"] is None or together["low"] <= 0:
        return {"by": None, "why": "two halves of what people chose do not go together", "halves": together}
    crossed = [_correlation(first, views.means(delivered, ~half)), _correlation(other, views.means(delivered, half))]
    return {"by": "choices", "halves": together} | {
        name: float(np.mean([of[name] for of in crossed])) for name in ("value", "low", "high")
    }


def _correlation(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Over people, with a percentile interval over draws of them."""
    known = ~np.isnan(x) & ~np.isnan(y)
    x, y = x[known], y[known]
    if len(x) < FEW or not (np.ptp(x) > 0 and np.ptp(y) > 0):
        return {"value": None, "low": None, "high": None}
    x, y = x - x.mean(), y - y.mean()
    moments = np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], 1)
    drawn = np.concatenate([times @ moments for times in multiplicities(len(x), DRAWS)]) / len(x)
    _, mx, my, xx, yy, xy = drawn.T
    spread = np.sqrt(np.maximum((xx - mx**2) * (yy - my**2), 1e-300))
    low, high = interval((xy - mx * my) / spread, 0.95)
    return {"value": float(scipy.stats.pearsonr(x, y)[0]), "low": float(low), "high": float(high)}
