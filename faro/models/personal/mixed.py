"""Every weight differs between people, and weights go together: the mixed logit of stated choice."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np

from .tastes import Tastes

START = 0.3  # deviation of every weight, at the start


@dataclasses.dataclass(frozen=True)
class MixedLogit(Tastes):
    """reward = common(x, z) + [x, 1] . F u: weights of a person are N(common, F F'), F lower triangular (Cholesky),
    with a constant, a person's level, which cancels where there is no outside option.

    A person's weights given earlier choices are the empirical-Bayes posterior, here by Laplace;
    `faro.people.mixed_logit` fits the same law by simulated likelihood and reads the posterior off the draws.
    Source: Train, Discrete Choice Methods with Simulation (2009), 6 and 11.

    support: earlier choices of a person that are read, at most
    draws: points over which probabilities are means, among more than two alternatives
    """

    def begin(self, key, spec):
        size = spec.items.shape[-1] + 1
        return START * jnp.eye(size)[np.tril_indices(size)]

    def directions(self, params, items, common):
        size = items.shape[-1] + 1
        factor = jnp.zeros((size, size), params.dtype).at[np.tril_indices(size)].set(params)
        return items @ factor[:-1] + factor[-1]
