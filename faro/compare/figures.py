"""Figures of what methods said: means over people, each of whom counts once, spread, who gains and who loses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special

from ..metrics import ece
from .evidence import Said
from .sure import FEW

NORMAL = 1.96  # standard errors to either side of 95 %


def by_person(values: np.ndarray, weight: np.ndarray, person: np.ndarray, count: int) -> np.ndarray:
    """`[count]` the mean of every person, NaN of those without.

    values, weight, person: `[n]`, the last as numbers
    count: people in all
    """
    mass = np.bincount(person, weight, count)
    total = np.bincount(person, weight * values, count)
    return np.divide(total, mass, out=np.full(count, np.nan), where=mass > 0)


def over_seeds(per_seed: list[np.ndarray]) -> np.ndarray:
    """`[people]` the mean of a person over the seeds in which the person is asked, NaN of the others.

    per_seed: `[people]` of each
    """
    stacked = np.stack(per_seed)
    counted = ~np.isnan(stacked)
    total = np.where(counted, stacked, 0).sum(0)
    return np.divide(total, counted.sum(0), out=np.full(len(total), np.nan), where=counted.any(0))


def mean(values: np.ndarray) -> float | None:
    """Over people that have any; None of nobody.

    values: `[people]`, NaN of those without
    """
    some = values[~np.isnan(values)]
    return float(some.mean()) if len(some) else None


def ends(values: np.ndarray) -> list[float] | None:
    """The 95 % interval of the mean over people, by its standard error; None of too few people.

    values: `[people]`, NaN of those without
    """
    some = values[~np.isnan(values)]
    if len(some) < FEW:
        return None
    around = NORMAL * float(some.std(ddof=1)) / math.sqrt(len(some))
    return [float(some.mean()) - around, float(some.mean()) + around]


def calibration(said: list[tuple[Said, np.ndarray, np.ndarray]]) -> float | None:
    """ece of choices, each by its weight, seeds together; None of none.

    said: (what was said, rows that are asked, weights) of every seed
    """
    parts = [(own.surely[rows], own.right[rows], weight[rows]) for own, rows, weight in said]
    surely, right, weight = (np.concatenate(one) for one in zip(*parts, strict=True))
    return ece(surely, right, weight) if weight.sum() > 0 else None


def spread(right: np.ndarray, sizes: np.ndarray) -> float | None:
    """Standard deviation of people's true accuracy: that of means, binomial noise taken off,
    sqrt(max(0, Var c_u - mean c_u (1 - c_u) / (n_u - 1))). None of fewer than two people with two choices.

    right: `[people]` mean accuracy, NaN of those without
    sizes: `[people]` choices behind it
    """
    some = ~np.isnan(right) & (sizes >= 2)
    if some.sum() < 2:
        return None
    c, n = right[some], sizes[some]
    return math.sqrt(max(0.0, float(np.var(c, ddof=1) - np.mean(c * (1 - c) / (n - 1)))))


def helped_and_hurt(gain: np.ndarray, person: np.ndarray, count: int) -> dict[str, Any]:
    """Shares of people for whom more, or fewer, choices are decided right than by the aggregate; as many as chance
    alone would make seem hurt, were no choice more likely to be lost than to be won; and an estimate of those truly
    hurt, with the noise of few choices taken off (a normal law of true gains), None where true gains are not shown to
    differ: of equal ones it would be 0 or 1 by the sign of a mean. No share is certified.

    gain: `[n]` right by the method less right by the aggregate, of a person's choices
    person: `[n]` whose they are
    count: people in all
    """
    size = np.bincount(person, minlength=count)
    people = size > 0
    total = np.bincount(person, gain, count)[people]
    n = size[people]
    moved = np.bincount(person, np.abs(gain) > 1e-12, count)[people].astype(int)
    log_even = special.gammaln(moved + 1) - 2 * special.gammaln(moved / 2 + 1) - moved * math.log(2)
    even = np.where(moved % 2 == 0, np.exp(log_even), 0.0)  # as many won as lost
    seems = (1 - even) / 2
    means = total / n
    squares = np.bincount(person, gain**2, count)[people] / n - means**2
    several = n >= 2
    estimate = None
    if several.sum() >= FEW:
        var = float(np.var(means[several], ddof=1))
        true = var - float(np.mean(squares[several] / (n[several] - 1)))
        if true > 2 * var * math.sqrt(2 / (several.sum() - 1)):  # two standard errors of var
            estimate = float(special.ndtr(-float(np.mean(means[several])) / math.sqrt(true)))
    return {
        "people": int(people.sum()),
        "helped": float(np.mean(total > 1e-12)),
        "hurt": float(np.mean(total < -1e-12)),
        "expected_if_nobody": float(np.mean(seems)),
        "hurt_without_noise": estimate,
    }


def of_groups(right: np.ndarray, codes: np.ndarray, levels: tuple[str, ...]) -> dict[str, Any]:
    """Mean accuracy of every group of people, the worst of them, and largest less smallest.

    right: `[people]` mean accuracy, NaN of those without
    codes: `[people]` of their level, -1 where none applies
    levels: their names
    """
    means = {level: mean(np.where(codes == code, right, np.nan)) for code, level in enumerate(levels)}
    known = {level: value for level, value in means.items() if value is not None}
    worst = min(known, key=known.__getitem__) if known else None
    gap = max(known.values()) - min(known.values()) if known else None
    interval = None if worst is None else ends(np.where(codes == levels.index(worst), right, np.nan))
    return {
        "accuracy": means, "worst": worst, "worst_accuracy": known.get(worst or ""), "worst_interval": interval,
        "gap": gap,
    }  # fmt: skip
