"""How strongly parameters are punished; by `ridge = chosen` the data say so before anything is trained.

    loss(w) + mu / 2 * sum_j share_j w_j^2         share: 1, of an intercept next to nothing, of products `interactions`

Of a linear model by folds over units of train and selection. A path of Newton steps of every fold goes from the
strongest ridge to the weakest, each from where the one before it ended:

    w_-f    the optimum of the other folds; its first steps are by H - H_f + mu S, H_f the curvature of the fold's rows
    risk    sum over folds of the fold's loss at w_-f

Of many choices a sample is enough, for mu n is a precision that does not depend on n. Other models are trained without
constraint at each of a few ridges, and the selection part decides (`faro.sweep.ridges`). Source: Hastie, Tibshirani and
Friedman, The Elements of Statistical Learning (2009), 7.10 and 18.3.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from constraints import Choices

from .. import models
from ..data.split import uniform

FOLDS = 5
PATH = tuple(10.0 ** np.arange(1, -5.1, -1.0))  # of a linear model's path, the strongest first
PRODUCTS = (float("inf"), 10.0, 1.0)  # how many times as much products are punished, the strongest first
FEW = (1e-4, 1e-3, 1e-2)  # of other models
SAMPLE = 2048  # choices, at least, among which folds are made, if there are so many; and
SAMPLE_PER_WEIGHT = 20  # so many for each parameter
STEPS = 3  # with one curvature
LENGTHS = (1.0, 0.5, 0.25, 0.05, 0.0)  # shares of a step that are tried
CLOSE = 1e-5  # nats that are left to be gained
ROUNDS = 8  # curvatures at each ridge, at most
HOPELESS = 0.01  # nats above the least so far: no weaker ridge is tried


class Ridge(NamedTuple):
    """How strongly parameters are punished: `decay / 2 * sum_j share_j w_j^2`, in units of the loss.

    decay: mu >= 0
    interactions: share of products of features and context, >= 0; inf: there are none. None: all parameters alike
    """

    decay: Any
    interactions: Any = None

    def said(self) -> dict[str, Any]:
        """As the settings that give the same ridge; JSON has no infinity, it becomes text."""
        interactions = float(self.interactions)
        return {
            "weight_decay": float(self.decay),
            "interactions": interactions if np.isfinite(interactions) else str(interactions),
        }

    @classmethod
    def read(cls, said: Mapping[str, Any] | None) -> Ridge | None:
        """The inverse of `said`; None of None, as a model has that was made before ridges were chosen."""
        return None if said is None else cls(float(said["weight_decay"]), float(said["interactions"]))

    def shares(self, model: models.Model, params: Any) -> Any:
        """The share of every parameter, a pytree like `params` of numbers or scalars; inf: it stays 0."""
        shares = 1.0 if self.interactions is None else model.shares(params, self.interactions)
        return jax.tree.broadcast(shares, params)

    def vector(self, model: models.Model, params: Any) -> Array:
        """The shares in one vector `[D]`, in the order of `ravel_pytree`."""
        shares = self.shares(model, params)
        return ravel_pytree(jax.tree.map(lambda leaf, own: jnp.full(leaf.shape, own, leaf.dtype), params, shares))[0]

    def held(self, model: models.Model, params: Any) -> Any:
        """The parameters, 0 and without gradient where their share is infinite."""

        def hold(leaf: Array, share: Any) -> Array:
            return leaf if _plain(share) else jnp.where(jnp.isinf(share), 0, leaf)

        return jax.tree.map(hold, params, self.shares(model, params))

    def punishment(self, model: models.Model, params: Any, moved: Any = True) -> Array:
        """`decay / 2 * sum_j share_j w_j^2` over the parameters whose share is finite, and of those only over what
        training moves.

        moved: a pytree of bools like `params`, or a prefix of it
        """

        def square(leaf: Array, share: Any, counts: bool) -> Array:
            share = share if _plain(share) else jnp.where(jnp.isinf(share), 0, share)
            return share * jnp.vdot(leaf, leaf) if counts else jnp.zeros(())

        parts = jax.tree.map(square, params, self.shares(model, params), jax.tree.broadcast(moved, params))
        return self.decay / 2 * sum(jax.tree.leaves(parts), jnp.zeros(()))


def _plain(share: Any) -> bool:
    """Whether a share is known to be finite before anything runs: then nothing is traced for its sake."""
    return isinstance(share, float) and bool(np.isfinite(share))


def fold_rows(names: Sequence[str], weights: int) -> np.ndarray:
    """Rows `[F, r]` of every fold, -1 where it has fewer: by unit, and a sample where there are many rows.

    names: of the unit of every row, train and selection one after another
    weights: number of parameters
    """
    fold = np.minimum((uniform("faro folds", names) * FOLDS).astype(int), FOLDS - 1)
    every = -(-len(names) // max(SAMPLE, SAMPLE_PER_WEIGHT * weights))
    rows = [np.flatnonzero(fold == number)[::every] for number in range(FOLDS)]
    filled = np.full((FOLDS, max(map(len, rows))), -1)
    for own, some in zip(filled, rows, strict=True):
        own[: len(some)] = some
    return filled


@functools.partial(jax.jit, static_argnames="model")
def risks(model: models.Model, choices: Choices, ridges: Array, products: Array) -> Array:
    """Mean loss `[P, R]` of the choices of each fold at parameters that have not seen it, for every candidate.

    model: linear, see `unconstrained.suits`
    choices: F * r choices, those of a fold one after another; weight 0: not there
    ridges: `[R]` mu, the strongest first, for these choices
    products: `[P]` shares of products of features and context, the strongest first
    """
    params = jax.tree.map(jnp.zeros_like, models.initial(model, jax.random.key(0), choices))
    choices = model.prepare(choices).replace(twins={})
    features = jnp.concatenate(model.linear_features(params, choices))  # [K, N, D]
    available, chosen = choices.available.T, choices.chosen.T  # [K, N]
    k, n, d = features.shape
    weight = choices.weight / choices.weight.sum()
    counts = weight * chosen.sum(0)
    left_out = jnp.repeat(jnp.arange(FOLDS), n // FOLDS)[:, None] == jnp.arange(FOLDS)  # [N, F]
    precise: Any = functools.partial(jnp.einsum, precision="highest")

    def log_probs(w: Array) -> Array:  # of parameters [D, T] -> [K, N, T]
        rewards = jnp.where(available[..., None], precise("knd,dt->knt", features, w), -jnp.inf)
        return jax.nn.log_softmax(rewards, axis=0)

    def losses(logs: Array) -> Array:  # [N, T]
        own = chosen[..., None]
        return -jnp.sum(jnp.where(own > 0, own * logs, 0), 0) * weight[:, None]

    def slopes(logs: Array, rows: Array) -> Array:  # [D, T], of the rows [N, T] that are counted
        error = jnp.exp(logs) * counts[:, None] - (chosen * weight)[..., None]
        return precise("knd,knt->dt", features, jnp.where(rows, error, 0))

    def curvatures(logs: Array, rows: Array) -> Array:  # [F, D, D], of those of the rows [N] that are in every fold
        odds = jnp.exp(logs)  # [K, N, 1]
        share = jnp.where(rows, counts, 0)[:, None]
        spread = (features - jnp.sum(odds * features, 0)) * jnp.sqrt(odds * share)
        spread = jnp.moveaxis(spread.reshape(k, FOLDS, -1, d), 1, 0).reshape(FOLDS, -1, d)
        return precise("frd,fre->fde", spread, spread)

    def of_products(share: Array) -> Array:
        shares = Ridge(0.0, share).vector(model, params)
        there = jnp.isfinite(shares)
        shares, both = jnp.where(there, shares, 1), there[:, None] & there

        def steps(w: Array, ridge: Array, inverses: Array) -> tuple[Array, Array]:
            """Steps of every fold by these inverses of its curvature, and what the last of them promised."""

            def step(w: Array, _: Any) -> tuple[Array, Array]:
                slope = jnp.where(there[:, None], slopes(log_probs(w), ~left_out) + ridge[:, None] * w, 0)
                move = jnp.where(there[:, None], precise("fde,ef->df", inverses, slope), 0)
                tried = w[:, None] - move[:, None] * jnp.asarray(LENGTHS)[:, None]  # [D, T, F]
                value = losses(log_probs(tried.reshape(d, -1))).reshape(n, *tried.shape[1:])
                value = (
                    jnp.sum(jnp.where(left_out[:, None], 0, value), 0)
                    + precise("d,dtf->tf", ridge, jnp.square(tried)) / 2
                )
                least = jnp.argmin(jnp.where(jnp.isnan(value), jnp.inf, value), 0)
                return jnp.take_along_axis(tried, least[None, None], 1)[:, 0], jnp.sum(slope * move, 0) / 2

            w, promised = jax.lax.scan(step, w, length=STEPS)
            return w, jnp.max(promised[-1])

        def fitted(w: Array, mu: Array) -> Array:
            """Every fold's parameters `[D, F]`, of the rows of the others."""
            ridge = mu * shares + 10 * jnp.finfo(w.dtype).eps

            def inverted(curvature: Array) -> Array:
                return jnp.linalg.inv(curvature * both + jnp.diag(ridge))

            def again(now: Any) -> Any:
                w, _, rounds = now

                def of_fold(fold: Array) -> Array:
                    return inverted(curvatures(log_probs(w[:, fold, None]), ~left_out[:, fold]).sum(0))

                return *steps(w, ridge, jax.lax.map(of_fold, jnp.arange(FOLDS))), rounds + 1

            everybody = curvatures(log_probs(w.mean(1, keepdims=True)), jnp.ones(n, bool))
            first = steps(w, ridge, inverted(everybody.sum(0) - everybody))
            return jax.lax.while_loop(lambda now: (now[1] > CLOSE) & (now[2] < ROUNDS), again, (*first, 1))[0]

        def of_ridge(path: tuple[Array, Array], mu: Array) -> tuple[Any, Array]:
            w, least = path

            def risk(w: Array) -> tuple[Array, Array]:
                w = fitted(w, mu)
                return w, jnp.sum(jnp.where(left_out, losses(log_probs(w)), 0))

            nothing = jnp.asarray(jnp.inf, w.dtype)
            w, found = jax.lax.cond(least[1] > least[0] + HOPELESS, lambda w: (w, nothing), risk, w)
            return (w, jnp.stack([jnp.minimum(least[0], found), found])), found

        begin = jnp.zeros((d, FOLDS)), jnp.asarray([jnp.inf, -jnp.inf])
        return jax.lax.scan(of_ridge, begin, ridges)[1]

    return jax.lax.map(of_products, products)


def best(risk: np.ndarray, ridges: Sequence[float], products: Sequence[float]) -> Ridge:
    """The candidate of least risk; between its two neighbours the ridge is that of a parabola through all three."""
    risk = np.where(np.isfinite(risk), risk, np.inf)
    c, r = map(int, np.unravel_index(np.argmin(risk), risk.shape))
    place = np.log10(ridges[r])
    if 0 < r < len(ridges) - 1:
        before, here, after = risk[c, r - 1 : r + 2]
        bend = before - 2 * here + after
        shift = 0.5 * (before - after) / bend if np.isfinite(bend) and bend > 0 else 0.0
        place += shift * (np.log10(ridges[r + 1]) - place)
    return Ridge(float(f"{10**place:.3g}"), float(products[c]))
