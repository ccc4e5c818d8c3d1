"""How strongly parameters are punished: the data say so before anything is trained, unless the settings do.

    loss(w) + mu / 2 * sum_j share_j w_j^2         share: 1, of an intercept next to nothing, of products `interactions`

Of a linear model by folds over units of train and selection. A path of Newton steps of every fold goes from the
strongest ridge to the weakest, each from where the one before it ended:

    w_-f    the optimum of the other folds, by steps with H - H_f + mu S: H_f is the curvature of the fold's own rows
            near the mean of all w, and made again only where steps become slow
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
from scipy.linalg import cho_factor, cho_solve
from threadpoolctl import threadpool_limits

from constraints import Choices

from .. import models
from ..data.split import uniform
from .settings import Settings

UNCHOSEN = 1e-4  # where nothing chooses: in streams, in estimators, on tables in several files
FOLDS = 5
PATH = tuple(10.0 ** np.arange(1, -5.1, -1.0))  # of a linear model's path, the strongest first
PRODUCTS = (float("inf"), 10.0, 1.0)  # how many times as much products are punished, the strongest first
FEW = (1e-4, 1e-3, 1e-2)  # of other models
SAMPLE = 2048  # choices, at least, among which folds are made, if there are so many; and
SAMPLE_PER_WEIGHT = 20  # so many for each parameter
ROWS = 128  # of a fold, or a multiple
STEPS = 40  # at each ridge, at most
SLOW = 0.6  # a step that leaves more than this share of what the one before left asks for another curvature
HALVINGS = 6  # each to a quarter
CLOSE = 3e-6  # nats that are left to be gained
HOPELESS = 0.01  # nats above the least so far: no weaker ridge is tried


class Ridge(NamedTuple):
    """How strongly parameters are punished: `decay / 2 * sum_j share_j w_j^2`, in units of the loss.

    decay: mu >= 0
    interactions: share of products of features and context, >= 0; inf: there are none
    width: share of the hidden units that are there, in (0, 1]; None: all
    """

    decay: Any
    interactions: Any = 1.0
    width: Any = None

    def said(self) -> dict[str, Any]:
        """As the settings that give the same ridge; JSON has no infinity, it becomes text."""
        interactions = float(self.interactions)
        return {
            "weight_decay": float(self.decay),
            "interactions": interactions if np.isfinite(interactions) else str(interactions),
            **({} if self.width is None else {"width": float(self.width)}),
        }

    @classmethod
    def unchosen(cls, settings: Settings) -> Ridge:
        """That of the settings; what they leave open is not chosen by anything."""
        decay, interactions = settings.weight_decay, settings.interactions
        return cls(UNCHOSEN if decay is None else decay, 1.0 if interactions is None else interactions, settings.width)

    @classmethod
    def read(cls, said: Mapping[str, Any] | None) -> Ridge | None:
        """The inverse of `said`; None of None, as a model has that was made before ridges were chosen."""
        if said is None:
            return None
        return cls(float(said["weight_decay"]), float(said["interactions"]), said.get("width"))

    def shares(self, model: models.Model, params: Any) -> Any:
        """The share of every parameter, a pytree like `params` of numbers or scalars; inf: it stays 0."""
        return jax.tree.broadcast(model.shares(params, self.interactions), params)

    def vector(self, model: models.Model, params: Any) -> Array:
        """The shares in one vector `[D]`, in the order of `ravel_pytree`."""
        shares = self.shares(model, params)
        return ravel_pytree(jax.tree.map(lambda leaf, own: jnp.full(leaf.shape, own, leaf.dtype), params, shares))[0]

    def held(self, model: models.Model, params: Any) -> Any:
        """The parameters, 0 and without gradient where their share is infinite or their hidden unit is not there."""
        params = params if self.width is None else model.narrowed(params, self.width)

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
    """Rows `[F, r]` of every fold, -1 where it has fewer: by unit, and a sample where there are many rows, drawn at
    random, for their order may have a period. r is a multiple of `ROWS`, so that seeds share a shape and no seed
    depends on another.

    names: of the unit of every row, train and selection one after another
    weights: number of parameters
    """
    fold = np.minimum((uniform("faro folds", names) * FOLDS).astype(int), FOLDS - 1)
    every = -(-len(names) // max(SAMPLE, SAMPLE_PER_WEIGHT * weights))
    order = np.random.default_rng(0).permutation(len(names)) if every > 1 else np.arange(len(names))
    drawn = [order[fold[order] == number] for number in range(FOLDS)]
    rows = [np.sort(own[: -(-len(own) // every)]) for own in drawn]
    filled = np.full((FOLDS, -(-max(map(len, rows)) // ROWS) * ROWS), -1)
    for own, some in zip(filled, rows, strict=True):
        own[: len(some)] = some
    return filled


def chosen(
    model: models.Model, choices: Choices, path: Sequence[float], products: Sequence[float], scale: float = 1.0
) -> Ridge:
    """The ridge of least risk: of the path, then of the halves of a decade beside it, then by a parabola between those.
    On the host: of so few choices it takes less time than compiling it would.

    model: linear, see `unconstrained.suits`
    choices: F * r choices, those of a fold one after another; weight 0: not there
    path: R values of mu, the strongest first
    products: P shares of products of features and context, the strongest first
    scale: what a ridge is times, for these choices instead of all
    """
    candidates = candidates_of(model, choices, products)
    ridges = np.asarray(path, float)
    risk = risks(candidates, scale * ridges)
    place, nearest = map(int, np.unravel_index(np.argmin(risk), risk.shape))
    if len(ridges) == 1:
        return Ridge(float(ridges[0]), float(products[place]))
    beside = ridges[nearest] * np.sqrt([10.0, 0.1])
    folds, shares = candidates[place]
    ridges = np.concatenate([ridges, beside])
    own = np.concatenate([risk[place], folds.path(scale * beside, shares)])
    order = np.argsort(-ridges)
    return Ridge(least(own[order], ridges[order]), float(products[place]))


def risks(candidates: Candidates, ridges: np.ndarray) -> np.ndarray:
    """Mean loss `[P, R]` of the choices of each fold at parameters that have not seen it, for every share of products
    and each of these ridges, the strongest first; inf where a path was hopeless."""
    return np.stack([folds.path(ridges, shares) for folds, shares in candidates])


def candidates_of(model: models.Model, choices: Choices, products: Sequence[float]) -> Candidates:
    """For every share of products the folds, with the features that may count, and how strongly each is punished."""
    choices = jax.tree.map(np.asarray, choices.replace(twins={}))
    shapes = jax.eval_shape(lambda own: models.initial(model, jax.random.key(0), own), choices)
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
    features, found = np.asarray(_features(model, choices)), []
    for share in products:
        shares = np.asarray(Ridge(0.0, share).vector(model, params))
        there = np.flatnonzero(np.isfinite(shares))
        own = features if there.size == shares.size else features[..., there]
        found.append((_Folds.of(own, choices), shares[there].astype(np.float64)))
    return found


@functools.partial(jax.jit, static_argnames="model")
def _features(model: models.Model, choices: Choices) -> Array:
    """`[K, F, r, D]`."""
    params = jax.tree.map(jnp.zeros_like, models.initial(model, jax.random.key(0), choices))
    pieces = jnp.concatenate(model.linear_features(params, model.prepare(choices)))
    return pieces.reshape(pieces.shape[0], FOLDS, -1, pieces.shape[-1])


class _Folds(NamedTuple):
    """Choices in folds; parameters `w [D, F]` of a fold are those of all the others."""

    features: np.ndarray  # [K, F, r, D]
    available: np.ndarray  # [K, F, r]
    label: np.ndarray  # [K, F, r] times the weight, which sums to 1
    share: np.ndarray  # [F, r] weight times how many were chosen

    @classmethod
    def of(cls, features: np.ndarray, choices: Choices) -> _Folds:
        weight = np.asarray(choices.weight) / np.sum(choices.weight)
        label, shape = np.asarray(choices.chosen).T * weight, features.shape[:3]
        available = np.asarray(choices.available).T.reshape(shape)
        return cls(features, available, label.reshape(shape), label.sum(0).reshape(shape[1:]))

    def path(self, ridges: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """The risk `[R]` at every ridge, each from where the one before it ended, until it is hopeless."""
        with threadpool_limits(1, "blas"):  # on a busy machine several take many times as long for such small tables
            return self._path(ridges, shares)

    def _path(self, ridges: np.ndarray, shares: np.ndarray) -> np.ndarray:
        found, d = np.full(len(ridges), np.inf), self.features.shape[-1]
        w, curvature = np.zeros((d, FOLDS)), None
        for place, mu in enumerate(ridges):
            w, curvature = self.fitted(w, curvature, mu * shares + 10 * np.finfo(np.float32).eps)
            losses = self.losses(self.log_probs(w))
            found[place] = np.trace(losses)
            if not found[place] <= found.min() + HOPELESS:
                break
        return found

    def fitted(self, w: np.ndarray, curvature: Any, ridge: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The optimum of every fold, and the curvature `[F, D, D]` of its rows near there."""
        curvature, fresh = (self.curvature(w), True) if curvature is None else (curvature, False)
        logs = self.log_probs(w)
        value, before, factors = self.value(w, logs, ridge), np.inf, None
        for _ in range(STEPS):
            slope = self.slope(w, logs, ridge)
            if factors is None:
                rest = curvature.sum(0) - curvature
                factors = [cho_factor(one + np.diag(ridge), check_finite=False) for one in rest]
            move = np.stack([cho_solve(*pair, check_finite=False) for pair in zip(factors, slope.T, strict=True)], 1)
            promise = np.max(np.sum(slope * move, 0)) / 2
            if promise <= CLOSE:
                break
            if promise > SLOW * before and not fresh:  # by now the curvature is another
                curvature, fresh, factors, before = self.curvature(w), True, None, np.inf
                continue
            before, fresh, length = promise, False, np.ones(FOLDS)
            for _ in range(HALVINGS):
                tried = w - length * move
                logs_there = self.log_probs(tried)
                there = self.value(tried, logs_there, ridge)
                worse = ~(there <= value + CLOSE)
                if not worse.any():
                    break
                length = np.where(worse, length / 4, length)
            if worse.any():  # those stay
                tried = np.where(worse, w, tried)
                logs_there = self.log_probs(tried)
                there = self.value(tried, logs_there, ridge)
            w, logs, value = tried, logs_there, there
        return w, curvature

    def log_probs(self, w: np.ndarray) -> np.ndarray:
        """`[K, F, r, T]` of parameters `[D, T]`."""
        rewards = np.where(self.available[..., None], self.features @ w.astype(self.features.dtype), -np.inf)
        rewards -= rewards.max(0)
        rewards -= np.log(np.exp(rewards).sum(0))
        return rewards

    def losses(self, logs: np.ndarray) -> np.ndarray:
        """`[F, T]` of the rows of every fold."""
        label = self.label[..., None]
        return -(label * np.where(label > 0, logs, 0)).sum((0, 2), dtype=np.float64)

    def value(self, w: np.ndarray, logs: np.ndarray, ridge: np.ndarray) -> np.ndarray:
        """What every fold minimises, `[F]`."""
        losses = self.losses(logs)
        return losses.sum(0) - np.diag(losses) + ridge @ np.square(w) / 2

    def slope(self, w: np.ndarray, logs: np.ndarray, ridge: np.ndarray) -> np.ndarray:
        """And how it falls, `[D, F]`."""
        error = np.exp(logs) * self.share[..., None] - self.label[..., None]
        error[:, np.arange(FOLDS), :, np.arange(FOLDS)] = 0
        flat = self.features.reshape(-1, self.features.shape[-1])
        return flat.T @ error.reshape(-1, FOLDS) + ridge[:, None] * w

    def curvature(self, w: np.ndarray) -> np.ndarray:
        """Of the rows of every fold, `[F, D, D]`, at what all parameters are on average."""
        odds = np.exp(self.log_probs(w.mean(1, keepdims=True)))  # [K, F, r, 1]
        spread = self.features - np.sum(odds * self.features, 0)
        spread *= np.sqrt(odds * self.share[..., None])
        spread = np.moveaxis(spread, 0, 1).reshape(FOLDS, -1, spread.shape[-1])
        return (np.swapaxes(spread, 1, 2) @ spread).astype(np.float64)


Candidates = list[tuple[_Folds, np.ndarray]]


def least(risk: np.ndarray, ridges: np.ndarray) -> float:
    """The ridge of least risk `[R]`; between two neighbours that are as far away as each other, that of a parabola
    through all three, in two digits: so rounding elsewhere rarely shows."""
    risk = np.where(np.isfinite(risk), risk, np.inf)
    r = int(np.argmin(risk))
    place = np.log10(ridges[r])
    if 0 < r < len(ridges) - 1:
        before, here, after = risk[r - 1 : r + 2]
        bend = before - 2 * here + after
        shift = 0.5 * (before - after) / bend if np.isfinite(bend) and bend > 0 else 0.0
        place += shift * (np.log10(ridges[r + 1]) - place)
    return float(f"{10**place:.2g}")
