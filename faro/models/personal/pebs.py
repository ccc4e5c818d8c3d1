"""People follow one taste more or less sharply, and from levels of their own: each rater's calibration, of choices."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from .tastes import Tastes

START = 0.3  # deviation of slope and level, at the start


@dataclasses.dataclass(frozen=True)
class PEBS(Tastes):
    """reward = slope_person common(x, z) + level_person, with (slope, level) ~ N((1, 0), F F'), F lower triangular.

    Levels cancel where there is no outside option. Of pairs a positive slope changes how sure a choice is and not which
    it is; a person who chooses against the common taste may have a slope below 0. Source: PEBS, arXiv 2606.27578, who
    calibrate ratings, after any model, in closed form, with slope and level independent: `faro.people.pebs`. Here
    choices are read, and the taste is trained with the calibration, so that a bound is about both.

    support: earlier choices of a person that are read, at most
    draws: points over which probabilities are means, among more than two alternatives
    """

    def begin(self, key, spec):
        return jnp.array([START, 0.0, START])

    def directions(self, params, items, common):
        sharper, both, level = params
        return jnp.stack([sharper * common + both, jnp.full_like(common, level)], -1)
