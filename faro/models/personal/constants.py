"""People differ in level alone: the control that says how much of a gain is no taste."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from .tastes import Tastes

START = 0.3  # deviation of every constant, at the start


@dataclasses.dataclass(frozen=True)
class PersonConstants(Tastes):
    """reward = common(x, z) + a_person,k, with a_person,k ~ N(0, s_k^2) for the alternative at place k.

    Against an outside option a is a person's level; among named alternatives (train, car) a person's own constants; in
    pairs a habit of place, for levels cancel there.

    support: earlier choices of a person that are read, at most
    draws: points over which probabilities are means, among more than two alternatives
    """

    def begin(self, key, spec):
        return jnp.full(spec.items.shape[1], START)

    def directions(self, params, items, common):
        own = jnp.eye(items.shape[1], len(params), dtype=params.dtype) * params  # none at places that training had not
        return jnp.broadcast_to(own, (*items.shape[:2], len(params)))
