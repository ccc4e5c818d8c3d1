"""A person has a point, and likes what is near it: a place among prototypes that all share."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from ..base import at_least, numeric
from ..linear import UNPUNISHED
from .shares import Shares
from .tastes import COMMON, START, layer


@dataclasses.dataclass(frozen=True)
class IdealPoint(Shares):
    """reward = common(x, z) - |A x - a|^2, where the person's point a = sum_b w_b P_b is a mixture of prototypes, with
    shares w of the person (`Shares`). Since

        - |A x - a|^2 = - |A x|^2 + sum_b w_b (2 A x . P_b) - |a|^2,

    it is bilinear in item and shares, as `LoRe` is, with a level of the item, -|A x|^2, the same for everybody: too
    much of anything is liked by nobody. -|a|^2 cancels between alternatives; against an outside option a learned level
    of each prototype stands for it. `common` moves all points alike along the rows of A, and adds what no point says.

    Source: PAL, arXiv 2406.08469 (Coombs 1950), which has no common part, shares by a table of people, and a network
    for A; ours finds shares from earlier choices, so that somebody new has some.

    prototypes: B >= 2
    size: rows of A, the dimensions of points, >= 1
    support: earlier choices of a person that are read, at most
    """

    prototypes: int = 4
    size: int = 3
    support: int = 10

    def __post_init__(self):
        at_least(self, prototypes=2, size=1, support=1)

    def init(self, key, spec):
        spec, keys = numeric(spec), jax.random.split(key, 3)
        return {
            "common": COMMON.init(keys[0], spec),
            "map": layer(keys[1], spec.items.shape[-1], self.size, START),
            "point": layer(keys[2], 1, self.prototypes * self.size).reshape(self.prototypes, self.size),
            "level": jnp.zeros(self.prototypes),
            "share": jnp.zeros(self.prototypes),
            "strength": jnp.zeros(()),
        }

    def shares(self, params, interactions):
        common = COMMON.shares(params["common"], interactions)
        own = dict.fromkeys(("map", "point", "level"), 1.0)
        return {"common": common, **own, "share": UNPUNISHED, "strength": UNPUNISHED}

    def pieces(self, params, choices):
        at = choices.items @ params["map"]  # [n, J, size]
        common = COMMON.apply(params["common"], choices) - jnp.sum(at**2, -1)
        return common, 2 * at @ params["point"].T + params["level"]
