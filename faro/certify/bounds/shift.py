"""Distribution shift: how large a mean or a rate can become when the law moves within a ball around P.

    sup { E_Q z : Q in ball(P, radius) }  <=  dual(law, radius, point)        for ANY dual point, z in [0, 1]

The dual point is the certificate, a formula of O(cells); whoever found it does not matter. The lower side is 1 - the
upper side of 1 - z. Balls sit around each cell's own law, so any change of the groups' sizes is free.

    tv, label-noise  half the L1 distance <= radius      anything on a share `radius` of the mass
    kl               KL(Q || P) <= radius                reweightings
    chi2             sum (q - p)^2 / p <= radius         reweightings, with bounded variance of the weights
    lr               1 / radius <= q / p <= radius       bounded weights
    cvar             q <= p / radius                     every sub-population with a share of at least `radius`
    w1               transport distance <= radius        every reward moves by `radius` on average

Label noise: if at most a share `radius` of those recorded in a group do not belong there, and as many of those who do
are not recorded, the two laws are within that TV distance. Every dual is E f(z) of some convex rising f, which is what
lets sampling in: E f(z) <= (1 - m) f(0) + m f(1) for any upper bound m on E z, and the worst law has two points.
Sources: Ben-Tal et al., Management Science 2013; Rockafellar & Uryasev 2000 (cvar); Mohajerin Esfahani & Kuhn 2018
(w1); Wang et al. NeurIPS 2020 (label noise).
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ...errors import DataError, NoProofError, UsageError
from ..rounding import short, up
from .binomial import Floats

MIN_LAMBDA, MAX_COORDINATE = 1e-3, 1e6  # of lambda; other coordinates are within +-MAX_COORDINATE


class Law(NamedTuple):
    """An upper expectation: E f <= weights . f(values) + excess (f(best) - f(worst)) for the f of every dual."""

    values: Floats  # [m]
    weights: Floats  # [m], sum 1
    excess: float = 0.0  # mass that sampling error may have moved from `worst` to `best`
    best: float = 1.0
    worst: float = 0.0

    def mean(self, f: Callable[[Floats], Floats]) -> float:
        """The upper expectation of f."""
        low, high = f(np.array([self.worst, self.best]))
        return float(self.weights @ f(self.values) + self.excess * (high - low))


def two_point(mean: float | Decimal) -> Law:
    """The worst law on [0, 1] with this mean: a rate, or an upper bound of one."""
    return Law(np.array([0.0, 1.0]), np.array([1 - float(mean), float(mean)]))


def histogram(z: ArrayLike, excess: float = 0.0, bins: int = 256) -> Law:
    """The empirical law of z in [0, 1] with values rounded up to multiples of 1 / bins: outer, whatever n is."""
    z = np.asarray(z, float)
    if not (len(z) and (z >= 0).all() and (z <= 1).all()):
        raise DataError("expected values in [0, 1], at least one")
    counts = np.bincount(np.ceil(z * bins).astype(int), minlength=bins + 1)
    return Law(np.arange(bins + 1) / bins, counts / len(z), float(excess))


def distances(reward: ArrayLike, threshold: float, excess: float = 0.0, below: bool = False) -> Law:
    """For `w1`: how far each reward is from {reward > threshold} (`below`: from {reward <= threshold})."""
    away = (1 if below else -1) * (np.asarray(reward, float) - threshold)
    values, counts = np.unique(np.maximum(away, 0), return_counts=True)
    return Law(values, counts / counts.sum(), float(excess), 0.0, np.inf)


class Ball(abc.ABC):
    """A family of laws around P, and the dual of the largest mean in it. Coordinates of a point: `names`."""

    names: ClassVar[tuple[str, ...]]
    still: ClassVar[float] = 0.0  # the radius at which the ball is P alone
    widest: ClassVar[float] = 1.0  # the end of the scale on which a breakdown radius is looked for

    @abc.abstractmethod
    def dual(self, law: Law, radius: float, *point: float) -> float:
        """An upper bound on E_Q z over the ball, whatever the point."""

    @abc.abstractmethod
    def best(self, law: Law, radius: float) -> tuple[float, ...]:
        """The point with the least bound, from a scalar equation: no solver, so it never fails."""


class TV(Ball):
    """radius + eta (1 - radius) + E(z - eta)+, 0 <= eta <= 1: the lowest share `radius` moves to 1."""

    names = ("eta",)

    def dual(self, law, radius, *point):
        (eta,) = point
        return radius + eta * (1 - radius) + law.mean(lambda z: np.maximum(z - eta, 0))

    def best(self, law, radius):
        return (quantile(law, radius),)


class KL(Ball):
    """lambda radius + lambda log E exp(z / lambda), lambda > 0."""

    names = ("lambda",)
    widest = 50.0

    def dual(self, law, radius, *point):
        (lam,) = point
        top = law.best if law.excess > 0 else float(law.values[law.weights > 0].max())

        def less(z: Floats) -> Floats:
            return np.minimum((z - top) / lam, 0)

        small = law.mean(lambda z: np.expm1(less(z)))
        log = math.log1p(small) if small > -0.5 else math.log(law.mean(lambda z: np.exp(less(z))))
        return top + lam * (radius + log)

    def best(self, law, radius):
        from scipy import optimize  # here: it takes long to import, and few policies speak of shifts

        def value(log: float) -> float:
            return self.dual(law, radius, math.exp(log))

        optimum = optimize.minimize_scalar(
            value, bounds=(math.log(MIN_LAMBDA), math.log(MAX_COORDINATE)), method="bounded", options={"xatol": 1e-9}
        )
        return (float(np.clip(math.exp(optimum.x), MIN_LAMBDA, MAX_COORDINATE)),)


class Chi2(Ball):
    """eta + lambda radius + lambda E f((z - eta) / lambda), f(s) = s + s^2 / 4 if s >= -2, else -1; lambda > 0."""

    names = ("lambda", "eta")
    widest = 1e3

    def dual(self, law, radius, *point):
        lam, eta = point

        def conjugate(z: Floats) -> Floats:
            s = np.maximum((z - eta) / lam, -2)
            return s + s**2 / 4

        return eta + lam * (radius + law.mean(conjugate))

    def best(self, law, radius):
        from scipy import optimize

        # The worst weights are proportional to (z - c)+: lambda = E(z - c)+ / 2, eta = c + 2 lambda. Their distance
        # rises with c, to the one that puts all mass on the largest value.
        def kept(c: float) -> float:
            return law.mean(lambda z: np.maximum(z - c, 0))

        def beyond(c: float) -> float:
            return law.mean(lambda z: np.maximum(z - c, 0) ** 2) / kept(c) ** 2 - 1 - radius

        low, high = -2 * MAX_COORDINATE + 2.0, float(law.values[law.weights > 0].max()) - 1e-9
        if law.excess > 0:
            high = law.best - 1e-9
        c = low if beyond(low) >= 0 else high if beyond(high) <= 0 else optimize.brentq(beyond, low, high, xtol=1e-13)
        lam = float(np.clip(kept(c) / 2, MIN_LAMBDA, MAX_COORDINATE))
        return lam, float(np.clip(c + 2 * lam, -MAX_COORDINATE, MAX_COORDINATE))


class LR(Ball):
    """eta + G E(z - eta)+ - E(eta - z)+ / G, with G = radius >= 1."""

    names, still, widest = ("eta",), 1.0, 1e6

    def dual(self, law, radius, *point):
        (eta,) = point
        return eta + law.mean(lambda z: radius * np.maximum(z - eta, 0) - np.maximum(eta - z, 0) / radius)

    def best(self, law, radius):
        return (quantile(law, radius / (1 + radius)),)


class CVaR(Ball):
    """eta + E(z - eta)+ / alpha, with alpha = radius in (0, 1]: the ball grows as the radius falls."""

    names, still, widest = ("eta",), 1.0, 1e-6

    def dual(self, law, radius, *point):
        (eta,) = point
        return eta + law.mean(lambda z: np.maximum(z - eta, 0)) / radius

    def best(self, law, radius):
        return (quantile(law, 1 - radius),)


class W1(Ball):
    """lambda radius + E max(0, 1 - lambda distance), lambda > 0, for the `distances` to one side of a threshold."""

    names = ("lambda",)
    widest = 1e6

    def dual(self, law, radius, *point):
        (lam,) = point
        return lam * radius + law.mean(lambda away: np.maximum(1 - lam * away, 0))

    def best(self, law, radius):
        # A fractional knapsack: the nearest move first, until the budget is spent on the cell at distance 1 / lambda.
        spent = np.cumsum(law.values * law.weights)
        edge = law.values[min(np.searchsorted(spent, radius), len(law.values) - 1)]
        return (float(np.clip(1 / max(edge, 1e-300), MIN_LAMBDA, MAX_COORDINATE)),)


BALLS: Mapping[str, Ball] = {
    "tv": TV(), "label-noise": TV(), "kl": KL(), "chi2": Chi2(), "lr": LR(), "cvar": CVaR(), "w1": W1(),
}  # fmt: skip


class Worst(NamedTuple):
    """An upper bound on the mean of any law in the ball, at most 1, and the dual point that proves it."""

    value: Decimal
    dual: dict[str, Decimal]


def worst(ball: Ball, law: Law, radius: float | Decimal, point: tuple[float, ...] | None = None) -> Worst:
    """The largest mean in the ball: the dual at its best point (or at `point`, if somebody else has found a better).

    The point is rounded to decimals before it is evaluated, so that its value can be checked. Raises NoProofError
    where the formula gives no number: then nothing is claimed.
    """
    low, high = sorted((ball.still, math.inf if ball.widest > 1 else ball.widest))
    if not low <= float(radius) <= high:
        raise UsageError(f"expected a radius of this ball between {low:g} and {high:g}, got {radius}")
    candidates = [ball.best(law, float(radius)), *([point] if point is not None else [])]
    rounded = [tuple(map(short, candidate)) for candidate in candidates if np.isfinite(candidate).all()]
    values = [(ball.dual(law, float(radius), *map(float, dual_point)), dual_point) for dual_point in rounded]
    values = [(value, dual_point) for value, dual_point in values if math.isfinite(value)]
    if not values:
        raise NoProofError(f"no dual point of the ball has a finite value at radius {radius}: nothing can be claimed")
    value, chosen = min(values)
    return Worst(min(Decimal(1), up(value)), dict(zip(ball.names, chosen, strict=True)))


def worst_difference(ball: Ball, high: Law, low: Law, radius: float | Decimal) -> Decimal:
    """Upper bound on E z under any law in one cell's ball less that in another's: `low` is the law of 1 - z there."""
    return worst(ball, high, radius).value + worst(ball, low, radius).value - 1


def breakdown(ball: Ball, exceeds: Callable[[Decimal], Decimal], bound: Decimal, digits: int = 6) -> Decimal | None:
    """The largest radius found at which `exceeds(radius)`, rising with the shift, is within the bound; None if even the
    law itself is not: "the claim survives shifts of up to this radius"."""
    step = Decimal(1).scaleb(-digits)

    def at(share: float) -> Decimal:  # geometric where the scale runs over decades, so that every radius has 6 digits
        still, widest = ball.still, ball.widest
        if still > 0:
            return Decimal(still * (widest / still) ** share).quantize(step)
        return Decimal(share * widest if widest <= 1 else math.expm1(share * math.log1p(widest))).quantize(step)

    if exceeds(at(0)) > bound:
        return None
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if exceeds(at(middle)) <= bound else (low, middle)
    return at(low)


def quantile(law: Law, share: float) -> float:
    """The least value with at least `share` of the mass at or below it, after `excess` has moved to the best value."""
    order = np.argsort(law.values)
    reached = np.cumsum(law.weights[order]) - law.excess
    return float(law.values[order][min(int(np.searchsorted(reached, share - 1e-12)), len(order) - 1)])
