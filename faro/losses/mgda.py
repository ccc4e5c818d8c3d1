"""A step that raises no group's loss: the shortest of all mixtures of the groups' gradients."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from constraints import Grouping, static

from .groups import belongs
from .objective import Objective

MOVES = 8  # of the shares, a group


class MGDA(Objective):
    """The losses of groups, under the shares that make their gradient shortest: multiple-gradient descent.

        sum_g q_g loss_g        q = argmin |sum_g q_g gradient_g|^2 over shares q

    To first order its step raises no group's loss, and where that gradient is 0 no step lowers all: Pareto stationary.
    So it stays wherever any weights of groups are at their optimum, the pooled one among them, and where it ends
    depends on where it begins. A step goes back once more for every group. A group that a batch has nobody of takes no
    part in its step. Iterates are compared by the mean of the groups' losses, each group alike.

    who: the groups, a `constraints.Grouping`; a choice belongs to those of its alternatives
    Source: Desideri, C. R. Acad. Sci. Paris 350 (2012); Sener & Koltun NeurIPS 2018.
    """

    steers = True

    who: Grouping = static()

    def prepare(self, choices, known):
        return belongs(self.who, choices)

    def masses(self, choices, rows):
        return choices.weight @ rows

    def begin(self, choices):
        return jnp.ones(len(self.who.cells))

    def sums(self, state, sight, choices, rows):
        return (choices.weight * sight.losses) @ rows

    def parts(self, sums, masses):
        return sums / jnp.where(masses > 0, masses, 1)

    def steer(self, state, products):
        return shortest(products)

    def combine(self, state, sums, masses):
        share = jnp.where(masses > 0, state, 0)
        return jnp.sum(share * self.parts(sums, masses)) / jnp.maximum(jnp.sum(share), 1e-30)


def shortest(products: Array) -> Array:
    """Shares `[G]` of least |sum_g q_g v_g|^2; 0 of a vector that is 0, unless all are.

    Pairwise Frank-Wolfe with exact steps: what the worst share can give is moved to the best. Of two it is exact.

    products: inner products of the vectors v_g, `[G, G]`
    """
    there = jnp.diagonal(products) > 0
    there = there | ~jnp.any(there)

    def move(_: int, share: Array) -> Array:
        slope = products @ share
        to = jnp.argmin(jnp.where(there, slope, jnp.inf))
        of = jnp.argmax(jnp.where(share > 0, slope, -jnp.inf))
        bend = products[to, to] - 2 * products[to, of] + products[of, of]
        step = jnp.clip((slope[of] - slope[to]) / jnp.where(bend > 0, bend, 1), 0, share[of])
        return share.at[to].add(step).at[of].add(-step)

    return jax.lax.fori_loop(0, MOVES * len(products), move, there / jnp.sum(there))
