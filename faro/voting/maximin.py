"""One law over answers for several kinds of people, that serves the worst served as well as can be.

    max over laws pi of  min_k  sum_i pi_i value_ki  -  beta KL(pi | reference)

The smallest is of expectations: a law may serve one kind with one answer and another kind with another. The mean of
smallest values, which a reward min_k value_ki would have, is a different and smaller thing: an answer that is second
for all then beats a fair draw of the first ones. With shares w of the kinds on the simplex the value is also

    min over w of  beta log sum_i reference_i exp(sum_k w_k value_ki / beta),        pi_i ~ reference_i exp(... / beta)

so the law is that of one mixed value, and what is between the two is known (`Maximin.gap`).

Source: MaxMin-RLHF, arXiv 2402.08925, whose public code has the smallest of each sample. beta = 0 is a zero-sum game.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import optimize, special

from ..errors import NoProofError, UsageError
from .numbers import LARGEST, array, number

CLOSE = 1e-4  # gap, as a share of the spread of values, beyond which nothing is returned
EXACT = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}  # as near as HiGHS goes
ROUNDING = 1e-12  # and as a share of their size


class Maximin(NamedTuple):
    """A law over n answers, for G kinds.

    chances: `[n]`
    of_kinds: what each kind expects, `[G]`; the smallest is the value
    shares: of the kinds in the mixed value whose best law this is, `[G]`; 0 of who is better off than the worst
    kl: from the reference, in nats; 0 at beta = 0
    gap: how far the objective is from the best there is, at most
    """

    chances: np.ndarray
    of_kinds: np.ndarray
    shares: np.ndarray
    kl: float
    gap: float


def maximin(values: np.ndarray, beta: float = 0.0, reference: np.ndarray | None = None) -> Maximin:
    """The law whose worst served kind expects most.

    values: `[G, n]`, what each answer is worth to each kind: put kinds on one scale first, for they are compared
    beta: price of a nat of divergence from the reference, >= 0
    reference: `[n]` chances above 0; None: all alike

    `UsageError` for what is none of these, `NoProofError` where the solver ends far from the best.
    """
    values = array("values", values)
    if values.ndim != 2 or 0 in values.shape or not np.isfinite(values).all():
        raise UsageError(f"values: expected finite numbers [kinds, answers], got an array of {list(values.shape)}")
    n = values.shape[1]
    plain = np.full(n, 1 / n) if reference is None else array("reference", reference)
    if plain.shape != (n,) or not (plain > 0).all() or not np.isclose(plain.sum(), 1):
        raise UsageError(f"reference: expected {n} chances above 0 that add up to 1")
    beta, spread = number("beta", beta, 0, LARGEST), float(values.max() / 2 - values.min() / 2)
    solve = _game if beta == 0 else _tilted
    scaled = (values / 2 - values.min() / 2) / (spread or 1.0)  # whatever unit values are in: from 0 to 1
    with np.errstate(over="ignore", invalid="ignore"):  # of a price beside which values are nothing, or the other way
        chances, shares = solve(scaled, beta / 2 / (spread or 0.5), plain)
        of_kinds, mixed = values @ chances, shares @ values
        kl = float(special.rel_entr(chances, plain).sum()) if beta else 0.0
        upper = beta * special.logsumexp(mixed / beta, b=plain) if beta else mixed.max()
        gap = float(upper - (of_kinds.min() - beta * kl))
    if not gap <= CLOSE * 2 * spread + ROUNDING * np.abs(values).max():
        raise NoProofError(
            f"maximin: expected a law within {CLOSE:g} of the best, got {gap:.3g}; scale values to about 1"
        )
    return Maximin(chances, of_kinds, shares, kl, max(gap, 0.0))


def _game(values: np.ndarray, beta: float, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sides of a zero-sum game, as a linear program and its prices."""
    kinds, n = values.shape
    rows = np.hstack([-values, np.ones((kinds, 1))])  # value <= what each kind expects
    one = np.append(np.ones(n), 0)[None]
    inside = [*[(0, None)] * n, (None, None)]
    found = optimize.linprog(np.append(np.zeros(n), -1), rows, np.zeros(kinds), one, [1.0], inside, options=EXACT)
    if found.status != 0:
        raise NoProofError(f"maximin: the linear program was not solved: {found.message}")
    return _law(found.x[:n]), _law(-found.ineqlin.marginals)


def _tilted(values: np.ndarray, beta: float, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The law that is best for shares of the kinds, and these: a smooth convex program in as many numbers as kinds."""

    def upper(shares: np.ndarray) -> tuple[float, np.ndarray]:
        """What the law of these shares leaves to be had, and its slope: what each kind expects."""
        tilted = shares @ values / beta + np.log(reference)
        return beta * special.logsumexp(tilted), values @ special.softmax(tilted)

    count = len(values)
    whole = {"type": "eq", "fun": lambda shares: shares.sum() - 1, "jac": lambda shares: np.ones(count)}
    found = optimize.minimize(
        upper,
        np.full(count, 1 / count),
        jac=True,
        bounds=[(0, 1)] * count,
        constraints=[whole],
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    own = _law(found.x)
    return special.softmax(own @ values / beta + np.log(reference)), own


def _law(numbers: np.ndarray) -> np.ndarray:
    inside = np.maximum(numbers, 0)
    return inside / inside.sum()
