"""Worst cases within a ball around what was seen."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import minimize

from .canonical import dec


def up(ball, rho, dual, law, x=0.0):
    """Value of a dual point for a law {z: mass}; x is the deviation of means."""
    eta, lam = dual.get("eta", 0.0), dual.get("lambda", 1.0)
    f = {
        "kl": lambda z: math.exp(z / lam),
        "chi2": lambda z: (lambda s: s + s * s / 4 if s >= -2 else -1.0)((z - eta) / lam),
        "lr": lambda z: (z - eta) * (rho if z >= eta else 1 / rho),
    }.get(ball, lambda z: max(0.0, z - eta))
    mean = sum(mass * f(z) for z, mass in law.items()) + x * (f(1.0) - f(0.0))
    return {
        "kl": lambda: lam * rho + lam * math.log(mean), "chi2": lambda: eta + lam * rho + lam * mean,
        "lr": lambda: eta + mean, "cvar": lambda: eta + mean / rho,
    }.get(ball, lambda: rho + eta * (1 - rho) + mean)()  # fmt: skip


def best_dual(ball, rho, law, x=0.0):
    """A good dual point; any point is valid."""
    if ball in ("kl", "chi2"):
        free = {"kl": ("lambda",), "chi2": ("eta", "lambda")}[ball]

        def point(v):
            return dict(zip(free, [*v[:-1], max(0.001, math.exp(min(10.0, v[-1])))], strict=True))

        start = [0.0] * len(free)
        found = minimize(lambda v: up(ball, rho, point(v), law, x), start, method="Nelder-Mead").x
        return {k: dec(v) for k, v in point(found).items()}
    etas = np.linspace(0, 1, 101)
    return {"eta": dec(min(etas, key=lambda eta: up(ball, rho, {"eta": eta}, law, x)))}


def value(ball, rho, dual, law, x=0.0):
    return min(1.0, up(ball, rho, {k: float(v) for k, v in dual.items()}, law, x))


def bins(z):
    """Law of z rounded up to 256 bins; a hair for the rounding of z."""
    found = {}
    for v in np.ceil(np.asarray(z) * 256) / 256:
        found[min(1.0, float(v) + 1e-11)] = found.get(min(1.0, float(v) + 1e-11), 0.0) + 1 / len(z)
    return found
