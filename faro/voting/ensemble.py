"""Pairwise calibrated ensembles: a few weighted rewards whose votes on every pair are as people's are.

    sum_k a_k 1[r_k(y) > r_k(y')]  =  the share of people who prefer y to y'        a on the simplex

Shares of pairs are all that is read: no names of people, no groups. The least error over K rewards is hard to find
(NP-hard in general); here rewards are linear, r_k = x . h_k with |h_k| = 1, votes are soft, sigmoid(sharpness r_k), and

    stagewise    F_t = (1 - eta) F_t-1 + eta sigmoid(r_t),  reward and eta by least squares;  then the a_k once more, of
                 hard votes, by least squares without negative ones
    joint        all h_k and a_k together, at a sharpness of 3, 8 and 20 in turn; the best of several starts

To serve: draw k by a, then answer by r_k. Rewards of a stagewise fit are not groups of people; those of a joint one
are, where the shares come of so many linear tastes and are known well. `faro.models.Ensemble` is the same as a model
that is trained under constraints.

Source: pairwise calibration, arXiv 2506.06298, whose fit is stagewise; least squares of unit rewards, and the joint
refinement, are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jax import Array
from jax.flatten_util import ravel_pytree

from ..errors import UsageError
from .numbers import array, count

SHARPNESS = (3.0, 8.0, 20.0)
STEPS = 100  # of L-BFGS at each, at most
LEAST, MOST = 1e-2, 1e4  # of the largest feature: beyond, votes have no slope at any sharpness
HEAVY = 1e3  # weight of "shares add up to 1" beside a pair


class Ensemble(NamedTuple):
    """K weighted rewards.

    heads: `[K, d]`, each of length 1
    weights: `[K]`, which add up to 1, the largest first
    """

    heads: np.ndarray
    weights: np.ndarray

    def votes(self, apart: np.ndarray) -> np.ndarray:
        """Share of the rewards, by weight, that prefer the first of each pair, `[n]`.

        apart: features of the first less those of the second, `[n, d]`
        """
        return _votes(self.heads, apart) @ self.weights


def stagewise(apart: np.ndarray, share: np.ndarray, members: int, *, starts: int = 8, seed: int = 0) -> Ensemble:
    """One reward after another, each fitted to what the ones before leave.

    apart: features of the first less those of the second of every pair, `[n, d]`
    share: of people who prefer the first, `[n]` in [0, 1]
    members: K, >= 1
    starts: of every reward, of which the best is taken
    seed: of the starts

    `UsageError` for shares that are none.
    """
    apart, share = _checked(apart, share, members, starts)
    d, so_far = apart.shape[1], jnp.full(len(apart), 0.5)
    heads: list[np.ndarray] = []

    def said(params: Any, so_far: Array, sharpness: Any) -> Array:
        eta = jax.nn.sigmoid(params["eta"])
        return (1 - eta) * so_far + eta * jax.nn.sigmoid(sharpness * (jnp.asarray(apart) @ _unit(params["heads"])))

    def begun(key: Array) -> Any:
        return {"heads": jax.random.normal(key, (d,)), "eta": jnp.zeros(())}

    fit = _fitted(said, begun, share, starts)
    for stage in range(members):
        found, error = fit(jax.random.fold_in(jax.random.key(seed), stage), so_far)
        best = found[int(np.argmin(error))]
        heads.append(np.asarray(_unit(best["heads"])))
        so_far = said(best, so_far, SHARPNESS[-1]) if stage else jax.nn.sigmoid(SHARPNESS[-1] * (apart @ heads[0]))
    votes = _votes(np.stack(heads), apart)
    weights = scipy.optimize.nnls(
        np.vstack([votes, HEAVY * np.ones(members)]), np.append(share, HEAVY), maxiter=100 * members
    )[0]
    return _ordered(np.stack(heads), weights)


def joint(apart: np.ndarray, share: np.ndarray, members: int, *, starts: int = 8, seed: int = 0) -> Ensemble:
    """All rewards and weights together; with one reward it is the best single vote that descent finds.

    apart: features of the first less those of the second of every pair, `[n, d]`
    share: of people who prefer the first, `[n]` in [0, 1]
    members: K, >= 1
    starts: of which the one is taken whose votes are nearest to the shares
    seed: of the starts

    `UsageError` for shares that are none.
    """
    apart, share = _checked(apart, share, members, starts)

    def said(params: Any, _: Any, sharpness: Any) -> Array:
        margins = jnp.asarray(apart) @ _unit(params["heads"]).T
        return jax.nn.sigmoid(sharpness * margins) @ jax.nn.softmax(params["weights"])

    def begun(key: Array) -> Any:
        return {"heads": jax.random.normal(key, (members, apart.shape[1])), "weights": jnp.zeros(members)}

    found, _ = _fitted(said, begun, share, starts)(jax.random.key(seed), None)
    every = [
        _ordered(np.asarray(_unit(own["heads"])), np.asarray(jax.nn.softmax(own["weights"]), float)) for own in found
    ]
    return min(every, key=lambda ensemble: float(np.mean((ensemble.votes(apart) - share) ** 2)))


def _fitted(said: Callable[..., Array], begun: Callable[[Array], Any], share: np.ndarray, starts: int) -> Any:
    """(key, what is there before) -> parameters of every start by L-BFGS at one sharpness after another, and errors."""
    _, unravel = ravel_pytree(begun(jax.random.key(0)))

    @jax.jit
    def error(flat: Array, before: Any, sharp: Any) -> tuple[Array, Array]:
        def of(flat: Array) -> Array:
            return jnp.mean((said(unravel(flat), before, sharp) - share) ** 2)

        return jax.value_and_grad(of)(flat)

    def one(key: Array, before: Any) -> tuple[Any, float]:
        flat, value = np.asarray(ravel_pytree(begun(key))[0], float), np.inf
        for sharp in SHARPNESS:

            def plain(at: np.ndarray, sharp: float = sharp) -> tuple[float, np.ndarray]:
                value, slope = error(jnp.asarray(at, jnp.float32), before, sharp)
                return float(value), np.asarray(slope, float)

            done = scipy.optimize.minimize(plain, flat, jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
            flat, value = done.x, float(done.fun)
        return unravel(jnp.asarray(flat, jnp.float32)), value

    def every(key: Array, before: Any) -> tuple[list[Any], list[float]]:
        found = [one(own, before) for own in jax.random.split(key, starts)]
        return [params for params, _ in found], [value for _, value in found]

    return every


def _unit(heads: Any) -> Any:
    return heads / jnp.sqrt(jnp.sum(heads**2, -1, keepdims=True) + 1e-12)


def _votes(heads: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """`[n, K]`; a tie is half a vote."""
    return (np.sign(np.asarray(apart, float) @ heads.T) + 1) / 2


def _ordered(heads: np.ndarray, weights: np.ndarray) -> Ensemble:
    order, weights = np.argsort(-weights, kind="stable"), weights / weights.sum()
    return Ensemble(heads[order], weights[order])


def _checked(apart: np.ndarray, share: np.ndarray, members: int, starts: int) -> tuple[np.ndarray, np.ndarray]:
    apart, share = array("ensemble: features", apart), array("ensemble: shares", share)
    count("ensemble: members", members)
    count("ensemble: starts", starts)
    if apart.ndim != 2 or share.shape != apart.shape[:1] or not np.isfinite(apart).all():
        raise UsageError(f"ensemble: expected finite features [n, d] and shares [n], got {apart.shape}, {share.shape}")
    if not apart.size or not ((share >= 0) & (share <= 1)).all():
        raise UsageError("ensemble: expected shares in [0, 1], of one pair or more with one feature or more")
    size = np.abs(apart).max()
    if not LEAST <= size <= MOST and size > 0:
        raise UsageError(f"ensemble: expected features of about 1, for votes are soft at first, got up to {size:g}")
    return apart, share
